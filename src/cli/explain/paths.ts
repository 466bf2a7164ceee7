/**
 * Packets by the path that they take: the account that `hnv explain` gives.
 *
 *     before a burst   signature of each frame; the engine is told to leave the frames as they are
 *     the burst        the engine forwards, drops, counts: it alone decides
 *     after it         (signature, end) met before? count ─ else trace the frame, find its path ─ drops: find their cause
 *
 * A path is a sequence of nodes, the layers that were passed in each, and how it ended. What the engine says about the end is what is
 * counted; the trace, which asks the same layers, tells the way there.
 *
 * Copies, pieces and answers that are dropped belong to the packet that they come from: they are on its path, and it is their witness.
 */

import { type Cure, curesFor, type LabKnowledge } from "../../control/index.js";
import { type Engine, Reason, type TraceStep, trace } from "../../dataplane/index.js";
import { BURST_MAX, CONTROL, READ_ONLY, ROW, ROW_SIZE, VERDICT } from "../../dataplane/packet/index.js";
import type { PortIndex } from "../../dataplane/transposition/index.js";
import type { CaptureOutput } from "../../io/index.js";
import type { Arrivals } from "../arrivals.js";
import type { Departure } from "../departures.js";
import { signatureOf, withEnd } from "./signature.js";

/** Flows that are kept in mind. Beyond them all are forgotten, and traced again when they come again: time, no error. */
const FLOWS_MAX = 1_000_000;
/** Paths told apart; what is on further ones counts as one. */
const PATHS_MAX = 10_000;
/** Causes of drops told apart per path. */
const CAUSES_MAX = 1000;

/** A packet to look at: number N of an input, from 1. */
export interface Witness {
  readonly input: number;
  readonly packet: number;
  readonly frame: Uint8Array;
  readonly timestampNs: bigint;
}

/** Why packets of one path were dropped, as far as it can be told apart. */
export interface Cause {
  packets: number;
  bytes: number;
  readonly witness: Witness;
  readonly cures: readonly Cure[];
}

/** Drops for one cause, at one place of a path. */
export interface Drop {
  readonly path: Path;
  readonly reason: Reason;
  readonly port: PortIndex;
  readonly cause: Cause;
}

export interface Path {
  packets: number;
  bytes: number;
  /** Signatures and ends that were traced to this path. */
  flows: number;
  readonly port: PortIndex;
  readonly end: End;
  readonly witness: Witness;
  /** With notes. Empty where the engine refuses a frame before any layer sees it. */
  readonly steps: readonly TraceStep[];
  /** Of drops: by their cures. Others have none. */
  readonly causes: Map<string, Cause>;
  /** Packets whose cause was one too many. */
  uncounted: number;
}

export interface End {
  readonly verdict: "delivered" | "dropped" | "passed" | "consumed";
  readonly port: PortIndex;
  readonly reason: Reason;
}

/** One flow: where its packets are counted. */
interface Flow {
  readonly path: Path;
  readonly cause: Cause | null;
  /** Who else counts them. */
  readonly watchers: readonly { packets: number }[];
  /** What is dropped of what its packets bring forth, each reason and port once. */
  readonly further: Drop[];
}

/** Looks at the way of one packet of each flow, and says where the flow's packets are to be counted. */
export interface FlowWatcher {
  look(steps: readonly TraceStep[], witness: Witness): readonly { packets: number }[];
}

const VERDICTS = ["dropped", "delivered", "dropped", "passed", "consumed"] as const;

export class PathAccount implements Departure {
  readonly outputs: readonly CaptureOutput[] = [];
  readonly #flows = new Map<number, Flow>();
  readonly #paths = new Map<string, Path>();
  readonly #further = new Map<string, Drop>();
  /** Of the burst under way. */
  readonly #signatures = new Float64Array(BURST_MAX);
  readonly #offsets = new Uint32Array(BURST_MAX);
  readonly #lengths = new Uint32Array(BURST_MAX);
  readonly #ports = new Uint16Array(BURST_MAX);
  readonly #ends = new Int32Array(BURST_MAX);
  readonly #flowOf: Flow[] = [];
  /** Those packets are accounted for that came before this one in the fill. */
  #next = 0;
  /** Flows that were traced, those traced again included. */
  traced = 0;

  constructor(
    private readonly engine: Engine,
    private readonly knowledge: LabKnowledge,
    private readonly watcher: FlowWatcher,
  ) {}

  /** Sorted by packets, most first. */
  paths(): Path[] {
    return [...this.#paths.values()].sort((a, b) => b.packets - a.packets);
  }

  /** Drops of copies, pieces and answers, as far as they can be told apart; sorted by frames, most first. */
  furtherDrops(): Drop[] {
    return [...this.#further.values()]
      .filter(({ cause }) => cause.packets > 0)
      .sort((a, b) => b.cause.packets - a.cause.packets);
  }

  /** The whole way of a cause's witness, with every layer's notes; may walk whole tables for the nearest record. */
  wayOf({ path: { port, end, steps }, cause: { witness } }: Drop): readonly TraceStep[] {
    return steps.length === 0 ? [] : this.#trace(port, end, witness, "notes");
  }

  /** The same bursts; each is looked at before it is handed on. */
  watch(arrivals: Arrivals): Arrivals {
    return {
      fill: (rows) => {
        const count = arrivals.fill(rows);
        this.#before(rows, count);
        return count;
      },
      more: () => arrivals.more(),
    };
  }

  #before(rows: number, count: number): void {
    const { memory } = this.engine;
    this.#next = 0;
    for (let index = 0; index < count; index++) {
      const row = rows + index * ROW_SIZE;
      const offset = memory.u32(row + ROW.OFFSET);
      const length = memory.u32(row + ROW.LENGTH);
      const port = memory.u16(row + ROW.PORT);
      memory.setU32(row + ROW.HEADROOM, READ_ONLY); // so the frame is still there when somebody asks what it was
      this.#offsets[index] = offset;
      this.#lengths[index] = length;
      this.#ports[index] = port;
      this.#signatures[index] = signatureOf(memory.bytes, offset, offset + length, port);
    }
  }

  afterBurst(): undefined {
    const { memory } = this.engine;
    const { rows } = memory;
    const count = this.engine.arrivedInBurst;
    const first = this.#next;
    this.#next += count;
    this.#collectEnds(count);
    for (let row = 0; row < count; row++) {
      const index = first + row;
      const key = withEnd(this.#signatures[index]!, this.#ends[row]!);
      let flow = this.#flows.get(key);
      if (!flow) {
        if (this.#flows.size >= FLOWS_MAX) this.#flows.clear();
        flow = this.#explain(rows + row * ROW_SIZE, index);
        this.#flows.set(key, flow);
      }
      this.#flowOf[row] = flow;
      const length = this.#lengths[index]!;
      flow.path.packets++;
      for (const watcher of flow.watchers) watcher.packets++;
      flow.path.bytes += length;
      if (flow.cause) {
        flow.cause.packets++;
        flow.cause.bytes += length;
      } else if (flow.path.end.verdict === "dropped") flow.path.uncounted++;
    }
    this.#countFurther(count);
  }

  /** Of what the packets of the burst have brought forth: what was dropped. */
  #countFurther(count: number): void {
    const { memory } = this.engine;
    const { rows } = memory;
    const all = memory.u32(CONTROL.ROW_COUNT);
    const first = memory.u32(rows + ROW.SEQUENCE);
    for (let index = count; index < all; index++) {
      const row = rows + index * ROW_SIZE;
      const original = (memory.u32(row + ROW.SEQUENCE) - first) >>> 0;
      if (memory.bytes[row + ROW.VERDICT] !== VERDICT.DROPPED || original >= count) continue;
      const reason = memory.bytes[row + ROW.REASON]! as Reason;
      const { cause } = this.#furtherDrop(this.#flowOf[original]!, reason, memory.u16(row + ROW.PORT) as PortIndex);
      cause.packets++;
      cause.bytes += memory.u32(row + ROW.LENGTH);
    }
  }

  #furtherDrop({ path, cause, further }: Flow, reason: Reason, port: PortIndex): Drop {
    const known = further.find((drop) => drop.reason === reason && drop.port === port);
    if (known) return known;
    // A copy that ends as its original, or what no layer has decided.
    const isOwn = cause !== null && path.end.reason === reason && path.end.port === port;
    const cures = isOwn ? cause.cures : curesFor(this.knowledge, undefined, reason);
    const drop = this.#openFurther(path, reason, port, cures, cause?.witness ?? path.witness);
    further.push(drop);
    return drop;
  }

  /** Of each packet and its copies: where they ended, and why. */
  #collectEnds(count: number): void {
    const { memory } = this.engine;
    const { rows } = memory;
    const all = memory.u32(CONTROL.ROW_COUNT);
    const first = count === 0 ? 0 : memory.u32(rows + ROW.SEQUENCE);
    for (let index = 0; index < all; index++) {
      const row = rows + index * ROW_SIZE;
      const original = index < count ? index : (memory.u32(row + ROW.SEQUENCE) - first) >>> 0;
      const end =
        (memory.u16(row + ROW.PORT) << 12) ^ (memory.bytes[row + ROW.REASON]! << 3) ^ memory.bytes[row + ROW.VERDICT]!;
      if (index < count) this.#ends[index] = end;
      else if (original < count) this.#ends[original] = (this.#ends[original]! + Math.imul(end, 0x9e37_79b1)) | 0;
    }
  }

  /** Finds the way of a frame that was not seen before. */
  #explain(row: number, index: number): Flow {
    this.traced++;
    const { memory } = this.engine;
    const offset = this.#offsets[index]!;
    const frame = memory.bytes.slice(offset, offset + this.#lengths[index]!);
    const timestampNs = memory.u64(row + ROW.TIMESTAMP);
    const verdict = VERDICTS[memory.bytes[row + ROW.VERDICT]!]!;
    const end: End = {
      verdict,
      port: memory.u16(row + ROW.PORT) as PortIndex,
      reason: memory.bytes[row + ROW.REASON]! as Reason,
    };
    const witness = { input: memory.u32(row + ROW.SOURCE), packet: memory.u32(row + ROW.TAG), frame, timestampNs };
    const port = this.#ports[index]! as PortIndex;
    const isWhole = end.reason !== Reason.CAPTURE_CUT && end.reason !== Reason.FRAME_TOO_LONG;
    const outline = isWhole ? this.#trace(port, end, witness, "layers") : [];
    const path = this.#pathOf(port, end, outline, witness);
    path.flows++;
    const watchers = this.watcher.look(outline, witness);
    const cause = verdict === "dropped" ? this.#causeOf(path, outline, witness) : null;
    return { path, cause, watchers, further: this.#furtherOf(path, outline, witness) };
  }

  #trace(port: PortIndex, { reason }: End, { frame, timestampNs }: Witness, detail: "notes" | "layers"): TraceStep[] {
    const withinLimits = reason !== Reason.STORM_LIMIT;
    return trace(this.engine, port, frame, Number(timestampNs / 1_000_000n), detail, withinLimits);
  }

  #pathOf(port: PortIndex, end: End, outline: readonly TraceStep[], witness: Witness): Path {
    const key = `${port} ${end.verdict} ${end.port} ${end.reason} ${outline.map(stepKey).join(" ")}`;
    const known = this.#paths.get(key) ?? (this.#paths.size >= PATHS_MAX ? this.#paths.get("") : undefined);
    if (known) return known;
    const isOther = this.#paths.size >= PATHS_MAX;
    const steps = isOther || outline.length === 0 ? [] : this.#trace(port, end, witness, "notes");
    const path = { packets: 0, bytes: 0, flows: 0, port, end, witness, steps, causes: new Map(), uncounted: 0 };
    this.#paths.set(isOther ? "" : key, path);
    return path;
  }

  /** The cause that asks for these cures; null if the path has too many. */
  #causeOf(path: Path, outline: readonly TraceStep[], witness: Witness): Cause | null {
    const last = outline.find((step) => reasonOf(step) === path.end.reason);
    const cures = curesFor(this.knowledge, last, path.end.reason);
    const key = JSON.stringify(cures);
    const known = path.causes.get(key);
    if (known) return known;
    if (path.causes.size >= CAUSES_MAX) return null;
    const cause: Cause = { packets: 0, bytes: 0, witness, cures };
    path.causes.set(key, cause);
    return cause;
  }

  /** The drops on the way of a packet besides its own. */
  #furtherOf(path: Path, outline: readonly TraceStep[], witness: Witness): Drop[] {
    const { end } = path;
    const drops: Drop[] = [];
    for (const step of outline) {
      const [reason, { port }] = [reasonOf(step), step];
      const isDrop = step.refused !== Reason.NONE || step.decision.verdict.kind === "drop";
      const isOwn = end.verdict === "dropped" && end.reason === reason && end.port === port;
      if (!isDrop || isOwn || drops.some((drop) => drop.reason === reason && drop.port === port)) continue;
      drops.push(this.#openFurther(path, reason, port, curesFor(this.knowledge, step, reason), witness));
    }
    return drops;
  }

  /** Beyond the limit a drop that is counted, and not told. */
  #openFurther(path: Path, reason: Reason, port: PortIndex, cures: readonly Cure[], witness: Witness): Drop {
    const key = `${reason} ${port} ${path.port} ${JSON.stringify(cures)}`;
    const known = this.#further.get(key);
    if (known) return known;
    const drop: Drop = { path, reason, port, cause: { packets: 0, bytes: 0, witness, cures } };
    if (this.#further.size < CAUSES_MAX) this.#further.set(key, drop);
    return drop;
  }

  async drain(): Promise<void> {}
}

/** What makes two ways through a node the same: a text, since it is made for every flow. */
const stepKey = (step: TraceStep): string =>
  `${step.port} ${step.layers.join()} ${step.decision.verdict.kind} ${reasonOf(step)} ${step.outputs.map(({ port }) => port).join()}`;

/** The reason of a drop or pass; NONE for all else. */
export function reasonOf({ decision: { verdict }, refused }: TraceStep): Reason {
  if (refused !== Reason.NONE) return refused;
  return "reason" in verdict ? verdict.reason : Reason.NONE;
}
