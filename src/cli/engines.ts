/**
 * Engines by recipe: plain data that says which engine a command works with. A worker thread gets the recipe and makes the same
 * engine for itself (`workers/worker.ts`).
 */
import { Engine, type PortSpec } from "../dataplane/index.js";
import { type DecapOptions, decapNode, type EncapOptions, encapNode, type Node } from "../dataplane/slowpath/index.js";
import type { Decision, Forward, NodeIndex, PortIndex } from "../dataplane/transposition/index.js";
import type { Vsid } from "../dataplane/wire/index.js";
import { kernelModule } from "../kernel-file.js";
import type { Lab } from "../vswitch/index.js";
import type { LabChoices, LabWatch } from "./lab-file.js";

/** Where frames enter a codec. */
export const INPUT = 0 as PortIndex;
/** Where they leave it. */
export const OUTPUT = 1 as PortIndex;
/** Where frames leave `decap` that are not unwrapped and yet wanted. */
export const OTHER = 2 as PortIndex;
/** A codec's only node. */
const CODEC = 0 as NodeIndex;

export interface EncapRecipe {
  readonly kind: "encap";
  readonly options: EncapOptions;
  /** IPv4 identification of the first outer packet. */
  readonly identification: number;
}

export interface DecapRecipe {
  readonly kind: "decap";
  /** Unwrap this virtual subnet only. */
  readonly vsid: Vsid | undefined;
  readonly receive: "strict" | "lenient";
  /** Frames that are not unwrapped leave at OTHER; else they are passed. */
  readonly keepsOthers: boolean;
}

export type CodecRecipe = EncapRecipe | DecapRecipe;

export interface LabRecipe {
  readonly kind: "lab";
  /** The text of the fabric file, and its name. */
  readonly text: string;
  readonly file: string;
  readonly choices: LabChoices;
  /** Ports whose link is cut. */
  readonly cutPorts: readonly PortIndex[];
}

export type EngineRecipe = CodecRecipe | LabRecipe;

export const makeEngine = async (recipe: EngineRecipe): Promise<Engine> =>
  recipe.kind === "lab" ? (await makeRecipeLab(recipe)).engine : makeCodec(recipe);

export async function makeRecipeLab({ text, file, choices, cutPorts }: LabRecipe, watch: LabWatch = {}): Promise<Lab> {
  // Loaded when it is needed: reading fabric files takes libraries that codecs can do without.
  const { makeLab } = await import("./lab-file.js");
  const lab = makeLab(text, file, choices, watch);
  for (const port of cutPorts) cutLink(lab.engine, port);
  return lab;
}

/** Both ends of the link become ends of the lab. */
export function cutLink(engine: Engine, port: PortIndex): void {
  const peer = engine.peerOf(port);
  engine.setPeer(port, null);
  if (peer !== null) engine.setPeer(peer, null);
}

/** An engine with one node, which encapsulates or decapsulates. */
export function makeCodec(recipe: CodecRecipe): Engine {
  if (recipe.kind === "encap") {
    const engine = codecEngine(encapNode("encap", recipe.options), ["in", "out"], false);
    engine.setIdentification(CODEC, recipe.identification);
    return engine;
  }
  const { vsid: wanted, receive, keepsOthers } = recipe;
  const outputOf = (vsid: Vsid) => (wanted === undefined || wanted === vsid ? OUTPUT : undefined);
  return decapEngine({ outputOf, receive }, keepsOthers, ["in", "out", "other"]);
}

/** An engine that decapsulates, with ports of these names; INPUT and OTHER are among them. */
export function decapEngine(options: DecapOptions, keepsOthers: boolean, portNames: readonly string[]): Engine {
  const node = decapNode("decap", options);
  return codecEngine(keepsOthers ? keepingOthers(node) : node, portNames, true);
}

function codecEngine(node: Node, portNames: readonly string[], isTunnelInput: boolean): Engine {
  const ports = portNames.map(
    (name, index): PortSpec => ({ name, node: CODEC, tunnel: isTunnelInput && index === INPUT, peer: null }),
  );
  return new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 1024 });
}

/** The same node, but what it would leave to others leaves through the port OTHER. */
const keepingOthers = (node: Node): Node => ({
  name: node.name,
  decide(frame, context): Decision {
    const decision = node.decide(frame, context);
    return decision.verdict.kind === "pass"
      ? { ...decision, verdict: { kind: "forward", outputs: [UNCHANGED] } }
      : decision;
  },
});

const UNCHANGED: Forward = {
  output: OTHER,
  pop: false,
  dscpInwards: false,
  ethernet: null,
  decrementTtl: false,
  push: null,
  lengthLimit: null,
};
