/**
 * `gen:SPEC`: a source of made-up frames, and at the same interface a sink that checks what generators' frames went through.
 * `gen:sink` is the sink alone.
 *
 * With the same seed and specification the same frames come in the same order; only the times in them differ. Flows that are
 * replaced (`newflows`) at no particular rate go by the clock, and so may differ, too.
 */
import { BURST_BYTES_MAX, BURST_MAX, ROW_SIZE, SLOT_HEADROOM } from "../../dataplane/packet/index.js";
import { type CheckerReport, GeneratorChecker } from "./generator-checker.js";
import { GeneratorFrames } from "./generator-frames.js";
import { sentTimeOf } from "./generator-mark.js";
import { type GeneratorSpec, parseGeneratorSpec } from "./generator-spec.js";
import type { LiveCounters } from "./live-interface.js";
import { type RowMemory, setTime, writeRow } from "./rows.js";
import type { TimedInterface } from "./timed.js";

/** The machine's monotonic clock, in nanoseconds. */
export type Clock = () => bigint;

const SINK = "gen:sink";
/** A source that was not asked for longer than this leaves out what it is behind. */
const CATCH_UP_SECONDS = 0.1;

/** Opens `gen:SPEC` or `gen:sink`. The clock is that of the times in the frames, read once per burst. */
export const openGenerator = (uri: string, memory: RowMemory, clock: Clock = process.hrtime.bigint): Generator =>
  new Generator(uri, memory, uri === SINK ? null : parseGeneratorSpec(uri), clock);

export class Generator implements TimedInterface {
  readonly mtu = null;
  readonly descriptor = null;
  readonly #memory: RowMemory;
  readonly #clock: Clock;
  readonly #source: Source | null;
  readonly #checker = new GeneratorChecker();
  readonly #time = { low: 0, high: 0 };
  /** Frames of the last `receive`. */
  #held = 0;
  #sent = 0;
  /** When the frames that are being sent arrived; -1: the clock was not read yet. */
  #now = -1;

  constructor(
    readonly uri: string,
    memory: RowMemory,
    spec: GeneratorSpec | null,
    clock: Clock,
  ) {
    this.#memory = memory;
    this.#clock = clock;
    this.#source = spec && new Source(memory, spec, streamOf(uri));
  }

  get isOpen(): boolean {
    return this.#source !== null && !this.#source.isOver;
  }

  get nextFrameNs(): bigint | null {
    return this.#source?.nextFrameNs ?? null;
  }

  receive(rows: number, max: number, nowNs: bigint): number {
    if (this.#held > 0 || !this.#source || this.#source.isOver) return 0;
    const due = this.#source.due(nowNs, Math.min(max, BURST_MAX));
    if (due <= 0) return 0;
    const sent = sentTimeOf(this.#clock());
    setTime(this.#time, nowNs);
    let bytes = 0;
    while (this.#held < due) {
      const slot = this.#source.slot(this.#held);
      const length = this.#source.nextLength();
      bytes += length;
      if (bytes > BURST_BYTES_MAX) break;
      this.#source.writeNext(slot, sent);
      writeRow(this.#memory, rows + this.#held * ROW_SIZE, slot, length, SLOT_HEADROOM, this.#time);
      this.#held++;
    }
    return this.#held;
  }

  release(): void {
    this.#held = 0;
  }

  send(offset: number, length: number): boolean {
    if (this.#now < 0) this.#now = sentTimeOf(this.#clock());
    this.#checker.take(this.#memory.bytes, offset, length, this.#now);
    this.#sent++;
    return true;
  }

  flush(): void {
    this.#now = -1;
  }

  /** What became of the frames that arrived here. */
  report(): CheckerReport {
    return this.#checker.report();
  }

  counters(): LiveCounters {
    const skipped = this.#source?.skipped ?? 0;
    return {
      received: this.#source?.emitted ?? 0,
      sent: this.#sent,
      receiveDrops: 0,
      sendDrops: 0,
      events: skipped > 0 ? { skipped } : {},
      ...(this.#sent > 0 && { checker: this.report() }),
    };
  }

  close(): void {}
}

/** Which frame is next, and when. */
class Source {
  emitted = 0;
  /** Frames that came due while nobody asked for long. */
  skipped = 0;
  readonly #spec: GeneratorSpec;
  readonly #frames: GeneratorFrames;
  readonly #slots: number;
  readonly #slotBytes: number;
  readonly #random: Random;
  readonly #weights: number;
  /** Frames that come due in `seconds` at a rate. */
  readonly #framesInAll: number;
  /** At no particular rate `seconds` end by the clock. */
  #isTimeUp = false;
  #startNs: bigint | null = null;
  #elapsedNs = 0;
  /** Size of the next frame, chosen ahead: an index. */
  #size: number;

  constructor(memory: RowMemory, spec: GeneratorSpec, stream: number) {
    this.#spec = spec;
    this.#frames = new GeneratorFrames(memory, spec, stream);
    const longest = Math.max(...spec.sizes.map(({ length }) => length));
    this.#slotBytes = Math.ceil((SLOT_HEADROOM + longest) / 64) * 64;
    this.#slots = memory.allocate(BURST_MAX * this.#slotBytes, 64);
    this.#random = new Random(spec.seed);
    this.#weights = spec.sizes.reduce((sum, { weight }) => sum + weight, 0);
    const { rate, burst, seconds } = spec;
    this.#framesInAll =
      rate === 0 || seconds === null ? Number.POSITIVE_INFINITY : burst * wholeAbove((seconds * rate) / burst);
    this.#size = this.#pickSize();
  }

  get isOver(): boolean {
    return this.#isTimeUp || this.emitted === this.#spec.count || this.emitted + this.skipped >= this.#framesInAll;
  }

  get nextFrameNs(): bigint | null {
    const { rate, burst } = this.#spec;
    if (this.#startNs === null || rate === 0) return null;
    const burstsBefore = Math.floor((this.emitted + this.skipped) / burst);
    return this.#startNs + BigInt(Math.ceil((burstsBefore * burst * 1e9) / rate));
  }

  /** How many frames may go now, at most `max`. The clock of the pace begins with the first call. */
  due(nowNs: bigint, max: number): number {
    const { rate, burst, count, seconds } = this.#spec;
    this.#startNs ??= nowNs;
    this.#elapsedNs = Number(nowNs - this.#startNs);
    const left = Math.min(max, (count ?? Number.POSITIVE_INFINITY) - this.emitted);
    if (rate === 0) {
      this.#isTimeUp = seconds !== null && this.#elapsedNs >= seconds * 1e9;
      return this.#isTimeUp ? 0 : left;
    }
    const bursts = Math.floor((this.#elapsedNs * rate) / 1e9 / burst) + 1;
    const behind = Math.min(bursts * burst, this.#framesInAll) - this.emitted - this.skipped;
    const most = Math.ceil(Math.max(burst, CATCH_UP_SECONDS * rate) / burst) * burst;
    if (behind > most) this.skipped += behind - most;
    return Math.min(left, behind, most);
  }

  slot(index: number): number {
    return this.#slots + index * this.#slotBytes + SLOT_HEADROOM;
  }

  nextLength(): number {
    return this.#spec.sizes[this.#size]!.length;
  }

  writeNext(at: number, sent: number): void {
    const { flows, newFlowsPerSecond, rate } = this.#spec;
    const seconds = rate > 0 ? (this.emitted + this.skipped) / rate : this.#elapsedNs / 1e9;
    const oldest = Math.floor(seconds * newFlowsPerSecond);
    const flow = (oldest + this.#random.below(flows)) >>> 0;
    this.#frames.write(at, flow, this.#size, this.emitted >>> 0, sent);
    this.emitted++;
    this.#size = this.#pickSize();
  }

  #pickSize(): number {
    const { sizes } = this.#spec;
    if (sizes.length === 1) return 0;
    let ticket = this.#random.below(this.#weights);
    let index = 0;
    while (ticket >= sizes[index]!.weight) ticket -= sizes[index++]!.weight;
    return index;
  }
}

/** The next whole number, where what decimal fractions are off by in binary does not count. */
const wholeAbove = (value: number): number => Math.ceil(Number(value.toPrecision(15)));

/** Tells generators apart that send to one sink: 16 bits of a hash of all that the user wrote, the seed included (FNV-1a). */
function streamOf(uri: string): number {
  let hash = 0x811c_9dc5;
  for (const octet of Buffer.from(uri)) hash = Math.imul(hash ^ octet, 0x0100_0193);
  return (hash ^ (hash >>> 16)) & 0xffff;
}

/** Marsaglia's xorshift of 32 bits, scrambled by a multiplication: the same numbers from the same seed, everywhere. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e37_79b1) ^ 0x5bd1_e995) >>> 0 || 1;
  }

  /** A whole number in [0, limit). */
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return Math.floor(((Math.imul(x, 0x2c1b_3c6d) >>> 0) / 0x1_0000_0000) * limit);
  }
}
