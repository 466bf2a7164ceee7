/**
 * The engine: nodes, ports and links, one packet memory, one flow table, one kernel.
 *
 * A burst of frames stands at ports of nodes. The kernel looks each up; what it knows, it rewrites and sends on, over links, until
 * every frame has left at a port without a link or has met another end. What it does not know comes here: the node's layers
 * decide, the decision is compiled into a flow entry, and the kernel carries it out, so that the first packet of a flow and the
 * millionth are rewritten by the same code.
 *
 *     rows ─► kernel ── hit ──────────────────────► rewrite ─► link ─► next round
 *               │ miss, or no key, or guard             ▲
 *               ▼                                       │
 *         node.decide ─► Decision ─► compile ─► entry (in the table, or for this packet only)
 *
 * What must always hold:
 *   - frames in + copies + injected = delivered + dropped + passed + consumed, after every burst;
 *   - bursts of any size give the same frames, counters and order per port;
 *   - a decision is used only as long as every stamp that it rests on stands still.
 *
 * A decision may come with answers: frames that a responder has made. They are sent once the burst has come to its end, in the order
 * of the packets that caused them, whose time and sequence number they bear; what they cause in turn comes after that.
 *
 * The engine reads no clock and no file: time comes with each burst, the kernel's code with the constructor.
 */
import { Reason } from "./drop-reasons.js";
import { type CompileTarget, compileDecision, writeEnd } from "./flow/compile.js";
import { type FlowEntryView, flowEntries } from "./flow/entries.js";
import { type IdleTimeouts, writeIdleTimeouts } from "./flow/idle-timeouts.js";
import { allocateQueueCounts, queueCounts } from "./flow/queue-counts.js";
import { type KernelCalls, loadKernel } from "./kernel/kernel.js";
import {
  BURST_BYTES_MAX,
  BURST_MAX,
  CAUSE,
  CONTROL,
  DROPS_PER_PORT,
  ENTRY,
  ENTRY_SIZE,
  FRAME_LENGTH_MAX,
  NO_PORT,
  NODE,
  NODE_SIZE,
  PORT,
  PORT_FLAG,
  PORT_SIZE,
  ROW,
  ROW_SIZE,
  VERDICT,
} from "./packet/layout.js";
import { PacketMemory } from "./packet/memory.js";
import { AnswerLimit } from "./slowpath/answer-limit.js";
import { type DecideContext, type FrameAtPort, NO_REENTRY, type Node, type NodeWork } from "./slowpath/layer.js";
import { StormMeter } from "./slowpath/storm-meter.js";
import { type Companions, type TimedEvent, Timeline, type TimelineHost } from "./timeline/index.js";
import type { Decision, Effect, Emission, NodeIndex, PortIndex, Stamp } from "./transposition/transposition.js";

export interface PortSpec {
  /** `host1/Blue1` */
  readonly name: string;
  readonly node: NodeIndex;
  /** Does an NVE listen here, or the far end of a gateway's tunnels, so that GRE is looked into? */
  readonly tunnel: boolean;
  /** Do decisions of its node depend on the identifier of ICMP echo? No unless told. */
  readonly echo?: boolean;
  /** The port at the other end of the link; null where the lab ends. */
  readonly peer: PortIndex | null;
  /** Over so many receive queues the NIC here spreads what enters, at most 128; left out: 1. */
  readonly receiveQueues?: number;
}

export interface EngineLimits {
  /**
   * Most flow entries at a time. Beyond it flows that have shown one packet give way, and established ones only to other
   * established ones. Default 131072 (32 MiB when full).
   */
  readonly flowCapacity?: number;
  /** How long a flow entry may be idle; `DEFAULT_IDLE_TIMEOUTS` fills the gaps. */
  readonly idleTimeouts?: Partial<IdleTimeouts>;
  /**
   * Most decisions that a burst may ask of each node that its packets pass. Packets beyond it are dropped for
   * SLOWPATH_OVERLOAD; packets with a flow entry go on, and so do those whose entry a change of policy has outdated. Default: no
   * limit, as for capture files, which must not depend on load.
   */
  readonly decisionsPerBurst?: number;
  /**
   * Most frames that responders make because of packets that enter at one port, per second of the packets' time, and at once after a
   * pause. A packet whose answer is held back ends as RESPONDER_LIMIT, unless it has been dropped for a reason of its own. Default: no limit,
   * as for capture files, where who answers must not depend on how frames are shared among workers.
   */
  readonly answersPerSecond?: number;
}

export interface EngineOptions extends EngineLimits {
  readonly kernel: WebAssembly.Module;
  readonly nodes: readonly Node[];
  readonly ports: readonly PortSpec[];
  /** How many stamps the policies of the nodes use. */
  readonly stampCount: number;
  /** Hears what nodes tell, while `run` and `passTime` settle their state. `isOurs`: no companion tells the same. */
  readonly onEvent?: (event: TimedEvent, isOurs: boolean) => void;
  /** Engines that carry the same nodes beside this one. */
  readonly companions?: Companions;
}

/** Both directions are seen from the node: rx entered it at the port. */
export interface PortCounters {
  readonly rx: { readonly packets: number; readonly bytes: number };
  readonly tx: { readonly packets: number; readonly bytes: number };
  /** Of a NIC with several receive queues: how many of the packets stood in each. Those that no node has decided count for the first. */
  readonly queues?: readonly number[];
}

export interface Totals {
  readonly in: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly passed: number;
  readonly consumed: number;
  /** Further outputs of replicated packets; each is also counted under its own end. */
  readonly copies: number;
  /** Frames that responders made. */
  readonly injected: number;
}

export interface FlowCounters {
  readonly hits: number;
  readonly misses: number;
  readonly entries: number;
  /** Packets decided one by one because a guard (length, TTL) did not hold. */
  readonly guarded: number;
  readonly evictions: number;
  /** Entries that went because they were idle for too long. */
  readonly expired: number;
  /** Entries found outdated by a change of policy. */
  readonly stale: number;
  /** Decisions that found no room in the table. */
  readonly uncached: number;
}

export interface ReasonCount {
  readonly port: PortIndex;
  readonly reason: Reason;
  readonly count: number;
}

/** The end that a packet met, as `lastBurst` reports it. */
export interface PacketEnd {
  readonly sequence: number;
  readonly verdict: "delivered" | "dropped" | "passed" | "consumed";
  /** Where it left, or where it stood when it met its end. */
  readonly port: PortIndex;
  readonly reason: Reason;
  /** The receive queue in which it stood, if the last node had it from a NIC with several; else 0. */
  readonly queue: number;
  /** The frame as it was at that moment; a view that the next burst overwrites. */
  readonly frame: Uint8Array;
  readonly timestampNs: bigint;
  readonly missing: number;
  readonly source: number;
  readonly tag: number;
}

export const DEFAULT_FLOW_CAPACITY = 131_072;
/** Later than any packet. */
const TIMELESS = 0xffff_ffff_ffff_ffffn;
/** In this time a look is taken at every flow entry, if bursts come often enough. */
const SWEEP_PERIOD_MS = 2_000;
/** Most entries looked at before one burst. */
const SWEEP_STEPS_MAX = 64;
const VERDICT_NAMES = ["pending", "delivered", "dropped", "passed", "consumed"] as const;

export class Engine {
  readonly nodes: readonly Node[];
  readonly #ports: PortSpec[];
  readonly memory: PacketMemory;
  readonly #kernel: KernelCalls;
  readonly #target: CompileTarget;
  readonly #decisionsPerBurst: number;
  /** Decisions left to this round of the burst. */
  #decisionsLeft = 0;
  #round = 0;
  /** The entry of all packets that find no decisions left. */
  readonly #overload: number;
  readonly #answerLimit: AnswerLimit | null;
  readonly #stormMeter: StormMeter;
  /** What responders have made in this burst and is still to be sent. */
  #emitted: { readonly row: number; readonly emission: Emission }[] = [];
  #held = 0;
  /** The entry that sends an injected frame out of a port, as it is. */
  readonly #injection: number;
  /** Only if a node has state. */
  readonly #timeline: Timeline | null;
  /** Stands for the packet that caused what a node sends by itself: only its time and sequence number count. */
  readonly #instant: number;
  /** Rows that wait while those before them are run. */
  readonly #waiting: Uint8Array;
  #arrived = 0;
  #nowMs = 0;
  #sweptMs = 0;
  #generation = 1;
  /** The generation for which the nodes were asked what may enter again. */
  #askedGeneration = 0;
  #inputBuffer = 0;
  #sequence = 0;

  constructor(options: EngineOptions) {
    this.nodes = options.nodes;
    this.#ports = [...options.ports];
    this.memory = new PacketMemory({
      ports: options.ports.length,
      nodes: options.nodes.length,
      stamps: options.stampCount,
      flowCapacity: options.flowCapacity ?? DEFAULT_FLOW_CAPACITY,
    });
    this.#kernel = loadKernel(options.kernel, this.memory);
    this.#target = { memory: this.memory, kernel: this.#kernel };
    this.#decisionsPerBurst = options.decisionsPerBurst ?? Number.POSITIVE_INFINITY;
    this.#overload = this.memory.allocate(ENTRY_SIZE);
    writeEnd(this.memory, this.#overload, VERDICT.DROPPED, Reason.SLOWPATH_OVERLOAD);
    this.#injection = this.memory.allocate(ENTRY_SIZE); // all zero: the whole frame stays
    const hasState = options.nodes.some(({ state }) => state !== undefined);
    this.#timeline = hasState
      ? new Timeline(options.nodes, this.#timelineHost(options.onEvent), options.companions)
      : null;
    this.#instant = this.memory.allocate(ROW_SIZE);
    this.#waiting = new Uint8Array(BURST_MAX * ROW_SIZE);
    const { answersPerSecond } = options;
    this.#answerLimit = answersPerSecond === undefined ? null : new AnswerLimit(options.ports.length, answersPerSecond);
    this.#stormMeter = new StormMeter(options.ports.length);
    if (options.ports.some(hasQueues)) allocateQueueCounts(this.memory, options.ports.length);
    writeIdleTimeouts(this.memory, options.idleTimeouts ?? {});
    this.memory.setU32(CONTROL.GENERATION, this.#generation);
    this.memory.setU32(CONTROL.ONE_NODE_BURSTS, options.nodes.some(({ turnsBack }) => turnsBack) ? 1 : 0);
    options.ports.forEach((port, index) => {
      const at = this.memory.ports + index * PORT_SIZE;
      this.memory.setU32(at + PORT.FLAGS, flagsOf(port));
      this.memory.setU32(at + PORT.PEER, port.peer ?? NO_PORT);
      this.memory.setU32(at + PORT.NODE, port.node);
    });
  }

  get ports(): readonly PortSpec[] {
    return this.#ports;
  }

  /** Ends or makes the link of a port: with null, frames that leave there leave the lab. */
  setPeer(port: PortIndex, peer: PortIndex | null): void {
    this.memory.setU32(this.memory.ports + port * PORT_SIZE + PORT.PEER, peer ?? NO_PORT);
  }

  /** The port at the other end of the link; null where the lab ends. */
  peerOf(port: PortIndex): PortIndex | null {
    const peer = this.memory.u32(this.memory.ports + port * PORT_SIZE + PORT.PEER);
    return peer === NO_PORT ? null : (peer as PortIndex);
  }

  /** Collects the frames that leave (`tx`) or enter (`rx`) the node at a port in the stream block at this address; 0 ends it. */
  setStream(port: PortIndex, direction: "rx" | "tx", stream: number): void {
    const field = direction === "tx" ? PORT.TX_STREAM : PORT.RX_STREAM;
    this.memory.setU32(this.memory.ports + port * PORT_SIZE + field, stream);
  }

  /** The identification that the node's next outer IPv4 header will carry. */
  identificationOf(node: NodeIndex): number {
    return this.memory.u32(this.memory.nodes + node * NODE_SIZE + NODE.IP_IDENTIFICATION) & 0xffff;
  }

  /** The port goes over to another node; whoever does this moves the stamps of the port and of both nodes. */
  movePort(port: PortIndex, node: NodeIndex): void {
    this.#ports[port] = { ...this.#ports[port]!, node };
    this.memory.setU32(this.memory.ports + port * PORT_SIZE + PORT.NODE, node);
  }

  /**
   * Has `action` called between two ticks, this long after the first frame; `passTime` and `run` do so. Only in engines in which a
   * node has state.
   */
  scheduleAfterStart(afterMs: number, action: (nowMs: number) => void): void {
    if (!this.#timeline) throw new Error("no node of this engine has state, so nothing keeps its time");
    this.#timeline.scheduleAfterStart(afterMs, action);
  }

  /** As `scheduleAfterStart`, at a time of the packets. */
  schedule(atMs: number, action: (nowMs: number) => void): void {
    this.#timeline?.schedule(atMs, action);
  }

  /** A companion has told this (`Companions`); `run` and `passTime` settle it before all else. */
  hear(node: NodeIndex, effect: Effect): void {
    this.#timeline?.hear(node, effect);
  }

  /** What a node may do between two ticks, for an `action` that was scheduled and acts for the node. */
  workOf(node: NodeIndex): NodeWork {
    if (!this.#timeline) throw new Error("no node of this engine has state");
    return this.#timeline.workOf(node);
  }

  /** Sets the identification that the node's next outer IPv4 header carries. */
  setIdentification(node: NodeIndex, value: number): void {
    this.memory.setU32(this.memory.nodes + node * NODE_SIZE + NODE.IP_IDENTIFICATION, value);
  }

  /** Something that decisions rest on has changed: entries that name one of these stamps are decided again. */
  moveStamps(stamps: Iterable<Stamp>): void {
    for (const stamp of stamps) {
      const at = this.memory.stamps + stamp * 4;
      this.memory.setU32(at, this.memory.u32(at) + 1);
    }
    this.#generation = (this.#generation + 1) >>> 0;
    this.memory.setU32(CONTROL.GENERATION, this.#generation);
  }

  /** The number of the policy state that the next burst sees. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Runs the packets in rows 0 … count−1 to their ends. The caller has set OFFSET, LENGTH, HEADROOM, PORT, TIMESTAMP,
   * SEQUENCE and MISSING of each; at most BURST_MAX rows and BURST_BYTES_MAX bytes. Goes in steps: after each, `lastBurst`, the
   * streams and the rows show what it did, and the caller takes it before the next.
   */
  *run(count: number): IterableIterator<void> {
    const { memory } = this;
    const { rows } = memory;
    if (count === 0) return;
    this.#findBurstEnds();
    let tick = this.#tickOfFirstRow();
    let length = this.#timeline?.reach(tick) === false ? 0 : this.#kernel.span(count, this.#endOf(tick));
    // Most bursts go as one. Otherwise rows wait where neither copies nor the frames of nodes come.
    if (length < count) this.#waiting.set(memory.bytes.subarray(rows, rows + count * ROW_SIZE));
    const restore = (first: number): void => {
      memory.bytes.set(this.#waiting.subarray(first * ROW_SIZE, count * ROW_SIZE), rows);
    };
    for (let first = 0; ; ) {
      if (length === 0) {
        for (const _ of this.passTime(tick)) {
          yield;
          restore(first);
        }
        this.#findBurstEnds();
        length = this.#kernel.span(count - first, this.#endOf(tick));
      }
      memory.setU32(this.#instant + ROW.SEQUENCE, memory.u32(rows + (length - 1) * ROW_SIZE + ROW.SEQUENCE));
      this.process(length, tick);
      yield;
      first += length;
      if (first === count) return;
      restore(first);
      tick = this.#tickOfFirstRow();
      length = 0;
    }
  }

  /** Has the kernel know behind which frames a burst ends (`Node.reentry`). */
  #findBurstEnds(): void {
    if (this.#askedGeneration === this.#generation) return;
    this.#askedGeneration = this.#generation;
    const { memory } = this;
    this.#ports.forEach((spec, port) => {
      const { above, syn } = this.nodes[spec.node]!.reentry?.(port as PortIndex) ?? NO_REENTRY;
      const at = memory.ports + port * PORT_SIZE;
      memory.setU32(at + PORT.BURST_ENDS_ABOVE, Math.min(above, LONGER_THAN_ANY));
      memory.setU32(at + PORT.FLAGS, flagsOf(spec) | (syn ? PORT_FLAG.BURST_ENDS_AT_SYN : 0));
    });
  }

  /** Exact, as the kernel's comparison with the end of a tick is: the nanoseconds of our days have more digits than a double. */
  #tickOfFirstRow(): number {
    const { memory } = this;
    const at = memory.rows + ROW.TIMESTAMP;
    const high = memory.u32(at + 4);
    const timeMs = high * 4_294 + Math.floor((high * 967_296 + memory.u32(at)) / 1_000_000); // 2^32 ns are 4294.967296 ms
    return this.#timeline?.tickOf(timeMs) ?? timeMs;
  }

  /** In nanoseconds; a time later than any packet's where nothing hangs on ticks. */
  #endOf(tick: number): bigint {
    return this.#timeline ? BigInt(tick + 1) * 1_000_000n : TIMELESS;
  }

  /**
   * Lets the nodes settle all that is due until this time of the packets (`dataplane/timeline`), in steps as `run` does. `run` does so by itself
   * up to the time of its packets; who has no traffic calls this, and then `process(0, …)`, now and then.
   */
  *passTime(untilMs: number): IterableIterator<void> {
    const timeline = this.#timeline;
    if (!timeline) return;
    while (timeline.settleNext(untilMs)) {
      if (this.#emitted.length === 0) continue;
      this.#nowMs = timeline.nowMs;
      this.memory.setU32(CONTROL.NOW_MS, this.#nowMs >>> 0);
      this.memory.setU64(this.#instant + ROW.TIMESTAMP, BigInt(this.#nowMs) * 1_000_000n);
      const emitted = this.#emitted;
      for (let first = 0, next = 0; first < emitted.length; first = next) {
        next = this.#endOfStep(emitted, first);
        this.#emitted = emitted.slice(first, next);
        this.#arrived = 0;
        this.#round = -1; // the budget of the burst before is not theirs
        this.#kernel.begin(0);
        this.#injectAll();
        yield;
      }
      this.#emitted = [];
    }
  }

  /** Behind the frames from `first` on that are sent together: a question to everybody leaves at every port, and all lie in the arena. */
  #endOfStep(emitted: readonly { readonly emission: Emission }[], first: number): number {
    const frames = Math.max(1, Math.floor(this.memory.u32(CONTROL.COPY_ROWS) / (2 * this.ports.length)));
    const end = Math.min(emitted.length, first + frames);
    let bytesLeft = this.memory.u32(CONTROL.COPY_BYTES) - emitted[first]!.emission.frame.length;
    for (let at = first + 1; at < end; at++) {
      bytesLeft -= emitted[at]!.emission.frame.length;
      if (bytesLeft < 0) return at;
    }
    return end;
  }

  /** Cuts bursts so that their packets become no more copies than this; a single packet may. */
  limitCopies(frames: number, bytes: number): void {
    const { copyRoom } = this.memory;
    this.memory.setU32(CONTROL.COPY_ROWS, Math.min(frames, copyRoom.frames));
    this.memory.setU32(CONTROL.COPY_BYTES, Math.min(bytes, copyRoom.bytes));
  }

  /** How many packets the last step brought in from outside: rows 0 … n−1, before copies and what nodes have sent. */
  get arrivedInBurst(): number {
    return this.#arrived;
  }

  /** Time of the packets as far as they have been run, in milliseconds. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Time of the first packet, in milliseconds; null before it, and in engines in which nothing hangs on time. */
  get startMs(): number | null {
    return this.#timeline?.startMs ?? null;
  }

  /** When nodes have something to settle next; null if nothing waits. */
  get nextInstantMs(): number | null {
    return this.#timeline?.nextMs ?? null;
  }

  /** Runs rows 0 … count−1 as one burst of one time, whatever their own; with no rows, entries age. */
  process(count: number, nowMs: number): void {
    this.#nowMs = nowMs;
    this.memory.setU32(CONTROL.NOW_MS, nowMs >>> 0);
    this.#age();
    this.#round = -1;
    this.#arrived = count;
    this.#kernel.begin(count);
    this.#finish();
    this.#injectAll();
  }

  #timelineHost(onEvent: EngineOptions["onEvent"]): TimelineHost {
    return {
      emit: (emission) => {
        this.#emitted.push({ row: this.#instant, emission });
      },
      moveStamps: (stamps) => this.moveStamps(stamps),
      notify: (event, isOurs) => onEvent?.(event, isOurs),
    };
  }

  /** Rounds until every packet has met its end. */
  #finish(): void {
    for (let unresolved = this.#kernel.advance(); unresolved > 0; unresolved = this.#kernel.advance()) {
      for (let i = 0; i < unresolved; i++) this.#resolve(this.memory.u32(this.memory.unresolved + i * 4));
    }
  }

  /** Sends what nodes have made, and what they make of that, until there is no more. */
  #injectAll(): void {
    while (this.#emitted.length > 0) {
      this.#inject();
      this.#finish();
    }
  }

  /** Sends what nodes have made so far. */
  #inject(): void {
    const { memory } = this;
    const sequenceOf = (row: number): number => memory.u32(row + ROW.SEQUENCE);
    const emitted = this.#emitted.sort((a, b) => (sequenceOf(a.row) - sequenceOf(b.row)) | 0);
    this.#emitted = [];
    for (const { row: cause, emission } of emitted) {
      const { port, direction, frame } = emission;
      const row = this.#kernel.inject(cause, frame.length) >>> 0;
      if (row === 0) continue;
      memory.bytes.set(frame, memory.u32(row + ROW.OFFSET));
      if (direction === "in") {
        this.#kernel.enter(row, port);
        continue;
      }
      memory.setU16(this.#injection + ENTRY.OUTPUT, port);
      this.#kernel.send(row, this.#injection);
    }
  }

  /** Looks at as many flow entries as the time that has passed is worth. */
  #age(): void {
    const used = (this.memory.u32(CONTROL.ENTRY_UNUSED) - this.memory.u32(CONTROL.ENTRIES)) / ENTRY_SIZE;
    const elapsed = this.#nowMs - this.#sweptMs;
    const steps = Math.floor((used * Math.min(elapsed, SWEEP_PERIOD_MS)) / SWEEP_PERIOD_MS);
    if (steps === 0) return; // the time goes to a later burst
    this.#sweptMs = this.#nowMs;
    if (steps > 0) this.#kernel.expire(Math.min(steps, SWEEP_STEPS_MAX));
  }

  #resolve(place: number): void {
    const kernel = this.#kernel;
    if (kernel.resolve(place)) return;
    const row = kernel.rowOf(place) >>> 0;
    const cause = this.memory.bytes[row + ROW.CAUSE]!;
    if (cause !== CAUSE.STALE && !this.#mayDecide(row)) {
      kernel.bind(place, this.#overload);
      return;
    }
    const decision = this.#withAnswers(row, this.#decide(row));
    const isOnce = decision.emissions !== undefined || decision.effects !== undefined;
    const cache = decision.cacheable && !isOnce && (cause === CAUSE.MISS || cause === CAUSE.STALE);
    this.#raise(row, decision);
    const isKept = compileDecision(decision, this.#target, place, row, cache);
    // An outdated entry is decided again without regard to the budget, therefore only once.
    if (cause === CAUSE.STALE && !isKept) kernel.discard(place);
  }

  #raise(row: number, { effects }: Decision): void {
    if (!effects) return;
    const { node } = this.ports[this.memory.u16(row + ROW.PORT)]!;
    for (const effect of effects) this.#timeline!.raise(node, effect, this.memory.u32(row + ROW.SEQUENCE));
  }

  /** Keeps what is to be sent for later; if the port has used up what it may cause, the packet goes without answers. */
  #withAnswers(row: number, decision: Decision): Decision {
    const { emissions } = decision;
    if (!emissions) return decision;
    const port = this.memory.u16(row + ROW.PORT);
    const answers = emissions.filter(({ direction }) => direction === "out").length; // pieces of the packet are no answers
    if (answers > 0 && this.#answerLimit?.take(port, answers, this.#timeOf(row)) === false) {
      this.#held += answers;
      return decision.verdict.kind === "consume" ? dropOnce(Reason.RESPONDER_LIMIT) : decision;
    }
    for (const emission of emissions) this.#emitted.push({ row, emission });
    return decision;
  }

  /** The packet's own time, in milliseconds: that of the burst would make answers depend on the size of bursts. */
  #timeOf(row: number): number {
    const low = this.memory.u32(row + ROW.TIMESTAMP);
    const high = this.memory.u32(row + ROW.TIMESTAMP + 4);
    return (high * 0x1_0000_0000 + low) / 1_000_000;
  }

  /** Takes one decision from the budget, if one is left. All packets of a round have passed equally many nodes. */
  #mayDecide(row: number): boolean {
    const round = this.memory.bytes[row + ROW.HOPS]!;
    if (round !== this.#round) {
      this.#round = round;
      this.#decisionsLeft = this.#decisionsPerBurst;
    }
    if (this.#decisionsLeft <= 0) return false;
    this.#decisionsLeft--;
    return true;
  }

  #decide(row: number): Decision {
    const memory = this.memory;
    const length = memory.u32(row + ROW.LENGTH);
    if (memory.u32(row + ROW.MISSING) !== 0) return dropOnce(Reason.CAPTURE_CUT);
    if (length > FRAME_LENGTH_MAX) return dropOnce(Reason.FRAME_TOO_LONG);
    const start = memory.u32(row + ROW.OFFSET);
    const ingress = memory.u16(row + ROW.PORT) as PortIndex;
    const frame: FrameAtPort = { bytes: memory.bytes, start, end: start + length, ingress };
    const nowMs = this.#timeOf(row);
    const { node } = this.ports[ingress]!;
    const isFromOutside = memory.bytes[row + ROW.HOPS] === 0;
    const meter = (limit: number): boolean => !isFromOutside || this.#stormMeter.take(ingress, limit, nowMs);
    return this.nodes[node]!.decide(frame, { node, nowMs, meter, observe: null });
  }

  /**
   * What the node behind a port decides about a frame, without doing it. `observe` hears every layer's reasons; nothing is counted, and
   * limits have room or, if `withinLimits` is false, none.
   */
  decide(frame: FrameAtPort, nowMs: number, observe: DecideContext["observe"], withinLimits = true): Decision {
    const node = this.ports[frame.ingress]!.node;
    return this.nodes[node]!.decide(frame, { node, nowMs, meter: () => withinLimits, observe });
  }

  /**
   * Sends frames given as bytes, all at one time, and reports how each ended, copies and answers behind the originals of their burst; last
   * come the frames that nodes sent by themselves before that time. For programs and tests: capture files and live interfaces
   * fill rows in place instead.
   */
  send(frames: readonly { readonly port: PortIndex; readonly frame: Uint8Array }[], timestampNs = 0n): PacketEnd[] {
    const ends: PacketEnd[] = [];
    const others: PacketEnd[] = [];
    for (let first = 0; first < frames.length; ) {
      const count = this.#fill(frames, first, timestampNs);
      for (const _ of this.run(count)) this.#collectEnds(this.#arrived > 0 ? ends : others);
      first += count;
    }
    return [...ends, ...others];
  }

  /** Lets time pass without traffic, and reports how the frames ended that nodes sent by themselves. */
  sendNothing(untilNs: bigint): PacketEnd[] {
    const ends: PacketEnd[] = [];
    for (const _ of this.passTime(Number(untilNs / 1_000_000n))) this.#collectEnds(ends);
    return ends;
  }

  #collectEnds(ends: PacketEnd[]): void {
    for (const end of this.lastBurst()) ends.push({ ...end, frame: end.frame.slice() });
  }

  #fill(
    frames: readonly { readonly port: PortIndex; readonly frame: Uint8Array }[],
    first: number,
    timestampNs: bigint,
  ): number {
    const memory = this.memory;
    if (this.#inputBuffer === 0) this.#inputBuffer = memory.allocate(BURST_BYTES_MAX + 2 * FRAME_LENGTH_MAX);
    let at = this.#inputBuffer;
    let count = 0;
    let bytes = 0;
    while (count < BURST_MAX && first + count < frames.length) {
      const { port, frame } = frames[first + count]!;
      // A frame that nobody carries is cut here, so that it needs no buffer; its length says what it was.
      const held = Math.min(frame.length, FRAME_LENGTH_MAX + 1);
      if (count > 0 && bytes + held > BURST_BYTES_MAX) break;
      memory.bytes.set(held === frame.length ? frame : frame.subarray(0, held), at);
      this.setRow(count, at, held, port, timestampNs, this.#sequence++);
      at += (held + 15) & ~15;
      bytes += held;
      count++;
    }
    return count;
  }

  /** Describes one frame that lies in memory as row `index` of the next burst. */
  setRow(index: number, offset: number, length: number, port: PortIndex, timestampNs: bigint, sequence: number): void {
    const row = this.memory.rows + index * ROW_SIZE;
    this.memory.setU32(row + ROW.OFFSET, offset);
    this.memory.setU32(row + ROW.LENGTH, length);
    this.memory.setU32(row + ROW.HEADROOM, 0);
    this.memory.setU16(row + ROW.PORT, port);
    this.memory.setU64(row + ROW.TIMESTAMP, timestampNs);
    this.memory.setU32(row + ROW.SEQUENCE, sequence);
    this.memory.setU32(row + ROW.MISSING, 0);
  }

  /** How each packet of the last burst ended, copies after the originals. */
  *lastBurst(): IterableIterator<PacketEnd> {
    const { memory } = this;
    const count = memory.u32(CONTROL.ROW_COUNT);
    for (let index = 0; index < count; index++) {
      const row = memory.rows + index * ROW_SIZE;
      const verdict = VERDICT_NAMES[memory.bytes[row + ROW.VERDICT]!]!;
      if (verdict === "pending") throw new Error(`row ${index} met no end: a defect of the engine`);
      const offset = memory.u32(row + ROW.OFFSET);
      yield {
        sequence: memory.u32(row + ROW.SEQUENCE),
        verdict,
        port: memory.u16(row + ROW.PORT) as PortIndex,
        reason: memory.bytes[row + ROW.REASON]! as Reason,
        queue: memory.bytes[row + ROW.QUEUE]!,
        frame: memory.bytes.subarray(offset, offset + memory.u32(row + ROW.LENGTH)),
        timestampNs: memory.u64(row + ROW.TIMESTAMP),
        missing: memory.u32(row + ROW.MISSING),
        source: memory.u32(row + ROW.SOURCE),
        tag: memory.u32(row + ROW.TAG),
      };
    }
  }

  /** What entered and left a node at a port so far. */
  portCounters(port: PortIndex): PortCounters {
    const at = this.memory.ports + port * PORT_SIZE;
    const { memory } = this;
    const spec = this.#ports[port]!;
    const rx = { packets: memory.count(at + PORT.RX_PACKETS), bytes: memory.count(at + PORT.RX_BYTES) };
    const tx = { packets: memory.count(at + PORT.TX_PACKETS), bytes: memory.count(at + PORT.TX_BYTES) };
    if (!hasQueues(spec)) return { rx, tx };
    return { rx, tx, queues: queueCounts(memory, port, spec.receiveQueues, rx.packets) };
  }

  /** Packets that ended for a reason, per port and reason, zero counts left out. Passed packets with a reason are among them. */
  reasonCounts(): ReasonCount[] {
    const counts: ReasonCount[] = [];
    for (let port = 0; port < this.ports.length; port++) {
      for (let reason = 0; reason < DROPS_PER_PORT; reason++) {
        const count = this.memory.count(this.memory.drops + (port * DROPS_PER_PORT + reason) * 8);
        if (count > 0) counts.push({ port: port as PortIndex, reason: reason as Reason, count });
      }
    }
    return counts;
  }

  totals(): Totals {
    const { memory } = this;
    return {
      in: memory.count(CONTROL.IN),
      delivered: memory.count(CONTROL.DELIVERED),
      dropped: memory.count(CONTROL.DROPPED),
      passed: memory.count(CONTROL.PASSED),
      consumed: memory.count(CONTROL.CONSUMED),
      copies: memory.count(CONTROL.COPIES),
      injected: memory.count(CONTROL.INJECTED),
    };
  }

  /** Frames that responders would have made, had the port that asked not been over its limit (`answersPerSecond`). */
  get heldAnswers(): number {
    return this.#held;
  }

  flowCounters(): FlowCounters {
    const { memory } = this;
    return {
      hits: memory.count(CONTROL.HITS),
      misses: memory.count(CONTROL.MISSES),
      entries: memory.u32(CONTROL.ENTRY_COUNT),
      guarded: memory.count(CONTROL.GUARDED),
      evictions: memory.count(CONTROL.EVICTIONS),
      expired: memory.count(CONTROL.EXPIRED),
      stale: memory.count(CONTROL.STALE),
      uncached: memory.count(CONTROL.UNCACHED),
    };
  }

  /** The flow table, for dumps and live views. May be read in pieces, with bursts between them (`flowEntries`). */
  flows(): IterableIterator<FlowEntryView> {
    return flowEntries(this.#target);
  }
}

const flagsOf = ({ tunnel, echo }: PortSpec): number => (tunnel ? PORT_FLAG.TUNNEL : 0) | (echo ? PORT_FLAG.ECHO : 0);

const LONGER_THAN_ANY = 0xffff_ffff;

const hasQueues = (port: PortSpec): port is PortSpec & { readonly receiveQueues: number } =>
  (port.receiveQueues ?? 1) > 1;

const dropOnce = (reason: Reason): Decision => ({ verdict: { kind: "drop", reason }, cacheable: false, stamps: [] });
