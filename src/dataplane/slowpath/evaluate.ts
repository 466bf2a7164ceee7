/**
 * Walks a frame through the layers of a node: the heart of the slow path.
 *
 * The frame is parsed once, the layers see it one after the other, the first that ends the walk decides. On the way the walk
 * collects what the decision rests on. Explanations come from the same walk: an observer is handed to the layers, or it
 * is not, and nothing else differs.
 *
 * A flow entry carries the guards of what it does, length and TTL, but an entry that drops does nothing and so has none.
 * A packet is dropped for a reason further down the pipeline only if it passed the guards before; such drops are
 * therefore not cached, or a packet that fails the guard would later be counted under the wrong reason.
 */
import { Reason } from "../drop-reasons.js";
import { type ParsedFrame, parseFrame } from "../packet/parse.js";
import { ANY_STAMP, isPortStamp, providerStamp } from "../policy/stamps.js";
import type {
  Decision,
  Effect,
  Emission,
  Forward,
  NodeIndex,
  NvgrePush,
  PortIndex,
  Stamp,
} from "../transposition/transposition.js";
import type { Vsid } from "../wire/bytes.js";
import type {
  DecideContext,
  FrameAtPort,
  Layer,
  LayerContext,
  Node,
  NodeState,
  Observer,
  Outcome,
  PacketView,
  Plan,
} from "./layer.js";

/** What a frame that entered at some port goes through. */
export interface Pipeline<Snapshot> {
  readonly layers: readonly Layer<Snapshot>[];
  /** Why a frame that ends within its Ethernet header is dropped here: RX_ETH_SHORT or INVALID_PACKET. */
  readonly unreadable: Reason;
}

/** Names that a flow entry has room for (STAMPS_PER_ENTRY in `packet/layout.ts`). */
const STAMPS_MAX = 4;
/** Beyond this many the decision rests on more than can be named, and the walk stops counting. */
const STAMPS_COLLECTED_MAX = 2 * STAMPS_MAX;
const REST_ON_ANY: readonly Stamp[] = Object.freeze([ANY_STAMP]);

/**
 * A node that decides by `layers`. `snapshot` is asked once for each frame, so a decision never sees half of a change;
 * `pipelineOf` names the layers for the port that the frame entered at; `state` settles what they raise.
 */
export function makeNode<Snapshot>(
  name: string,
  snapshot: () => Snapshot,
  pipelineOf: (snapshot: Snapshot, ingress: PortIndex) => Pipeline<Snapshot>,
  state?: NodeState,
): Node {
  const walk = new Walk(); // one for all frames: deciding is never entered twice
  return {
    name,
    ...(state ? { state } : {}),
    decide(frame: FrameAtPort, context: DecideContext): Decision {
      const current = snapshot();
      const { layers, unreadable } = pipelineOf(current, frame.ingress);
      const parsed = parseFrame(frame.bytes, frame.start, frame.end);
      if (parsed === null) return { verdict: { kind: "drop", reason: unreadable }, cacheable: false, stamps: [] };
      const packet = viewOf(frame, parsed);
      walk.begin(context);
      const verdict = evaluate(layers, current, packet, walk, context.observe);
      return walk.decide(verdict, packet.plan);
    },
  };
}

function evaluate<Snapshot>(
  layers: readonly Layer<Snapshot>[],
  snapshot: Snapshot,
  packet: PacketView,
  walk: Walk,
  observe: DecideContext["observe"],
): Ending {
  for (const layer of layers) {
    if (observe) walk.observer = observe(layer.name);
    const outcome = layer.evaluate(snapshot, packet, walk);
    if (outcome.kind !== "continue") return outcome;
  }
  return NOBODY_WANTED_IT;
}

/** An outcome that ends the walk. */
type Ending = Exclude<Outcome, { readonly kind: "continue" }>;

/** Pipelines end with a layer that decides; where one does not, the frame has no taker. */
const NOBODY_WANTED_IT: Ending = Object.freeze({ kind: "drop", reason: Reason.NOT_ACCEPTED });

function viewOf(frame: FrameAtPort, parsed: ParsedFrame): PacketView {
  const plan: Plan = {
    vsid: 0 as Vsid,
    inner: null,
    pop: false,
    dscpInwards: false,
    destinationMac: parsed.destination,
    sourceMac: parsed.source,
    removeTag: false,
    decrementTtl: false,
    address: null,
    lengthLimit: null,
    guardsSyn: false,
    besides: null,
    queue: null,
    sourceRecord: null,
    destinationRecord: null,
  };
  return { bytes: frame.bytes, start: frame.start, end: frame.end, ingress: frame.ingress, parsed, plan };
}

/** What one walk collects. */
class Walk implements LayerContext {
  node = 0 as NodeIndex;
  nowMs = 0;
  observer: Observer | null = null;
  private stamps: Stamp[] = [];
  private cacheable = true;
  private emissions: Emission[] = [];
  private effects: Effect[] = [];
  private counts: DecideContext["meter"];

  begin(context: DecideContext): void {
    this.node = context.node;
    this.nowMs = context.nowMs;
    this.observer = null;
    this.stamps = []; // the last one went out with its decision
    this.cacheable = true;
    this.emissions = [];
    this.effects = [];
    this.counts = context.meter;
  }

  consulted(stamp: Stamp): void {
    if (this.stamps.length <= STAMPS_COLLECTED_MAX && !this.stamps.includes(stamp)) this.stamps.push(stamp);
  }

  doNotCache(): void {
    this.cacheable = false;
  }

  emit(output: PortIndex, frame: Uint8Array): void {
    this.emissions.push({ port: output, direction: "out", frame });
    this.cacheable = false;
  }

  resubmit(ingress: PortIndex, frame: Uint8Array): void {
    this.emissions.push({ port: ingress, direction: "in", frame });
    this.cacheable = false;
  }

  raise(effect: Effect): void {
    this.effects.push(effect);
    this.cacheable = false;
  }

  meter(packetsPerSecond: number): boolean {
    this.cacheable = false;
    return this.counts?.(packetsPerSecond) ?? true;
  }

  decide(ending: Ending, plan: Plan): Decision {
    const isBehindGuard = ending.kind === "drop" && plan.decrementTtl;
    const verdict = plan.besides === null ? ending : this.withCopies(ending, plan.besides);
    const plain = { verdict, cacheable: this.cacheable && !isBehindGuard, stamps: this.condensedStamps() };
    const decision = plan.queue === null ? plain : { ...plain, queue: plan.queue };
    if (this.emissions.length === 0 && this.effects.length === 0) return decision;
    return { ...decision, emissions: this.emissions, effects: this.effects };
  }

  /**
   * What is sent in again, in pieces or changed, gets its copies then. They stand behind what was decided, for the kernel looks at the
   * guards of the first output only.
   */
  private withCopies(ending: Ending, copies: readonly Forward[]): Ending {
    if (this.emissions.some(({ direction }) => direction === "in")) return ending;
    const outputs = ending.kind === "forward" ? ending.outputs : [];
    const others = outputs.filter(({ output }) => !copies.some((copy) => copy.output === output));
    return { kind: "forward", outputs: [...others, ...copies] };
  }

  /** At most STAMPS_MAX. A change of a port moves its node's provider stamp as well, which so can stand for it. */
  private condensedStamps(): readonly Stamp[] {
    const { stamps } = this;
    if (stamps.includes(ANY_STAMP)) return REST_ON_ANY;
    if (stamps.length <= STAMPS_MAX) return stamps;
    if (stamps.length <= STAMPS_COLLECTED_MAX && stamps.includes(providerStamp(this.node))) {
      const others = stamps.filter((stamp) => !isPortStamp(stamp));
      if (others.length <= STAMPS_MAX) return others;
    }
    return REST_ON_ANY;
  }
}

/** The frame that goes on: the one that came, or after `pop` the inner one. */
export const ongoingFrame = (packet: PacketView): ParsedFrame => packet.plan.inner ?? packet.parsed;

/** The transposition for what the layers have noted, out of one port, as the end of the walk. */
export const forwardTo = (packet: PacketView, output: PortIndex, push: NvgrePush | null): Outcome => ({
  kind: "forward",
  outputs: [forwardOf(packet, output, push)],
});

/** The transposition for what the layers have noted, out of one port: one output of perhaps several. */
export function forwardOf(packet: PacketView, output: PortIndex, push: NvgrePush | null): Forward {
  const { plan } = packet;
  const frame = ongoingFrame(packet);
  const isRewritten =
    plan.destinationMac !== frame.destination ||
    plan.sourceMac !== frame.source ||
    (plan.removeTag && frame.tag !== null);
  return {
    output,
    pop: plan.pop,
    dscpInwards: plan.dscpInwards,
    ethernet: isRewritten
      ? {
          destination: plan.destinationMac,
          source: plan.sourceMac,
          tag: plan.removeTag ? null : frame.tag,
        }
      : null,
    decrementTtl: plan.decrementTtl,
    ...(plan.address ? { address: plan.address } : {}),
    push,
    lengthLimit: plan.lengthLimit,
    ...(plan.guardsSyn ? { guardsSyn: true } : {}),
  };
}

/** Outcomes by reason, made once: most drops are for one of a few. */
const DROPS: Outcome[] = [];
export const dropFor = (reason: Reason): Outcome => (DROPS[reason] ??= Object.freeze({ kind: "drop", reason }));
const PASSES: Outcome[] = [];
export const passFor = (reason: Reason): Outcome => (PASSES[reason] ??= Object.freeze({ kind: "pass", reason }));
const CONSUMED: Outcome[] = [];
/** A responder took the packet, which is counted under this reason. */
export const consumeAs = (reason: Reason): Outcome => (CONSUMED[reason] ??= Object.freeze({ kind: "consume", reason }));
