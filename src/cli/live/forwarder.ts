/**
 * Moves frames between live interfaces and an engine. One round:
 *
 *     receive at every interface ─► rows ─► bursts ─► engine ─► send where each frame left, flush ─► release
 *
 * Frames of all interfaces go together, for a burst is the faster the longer it is.
 */
import type { Engine } from "../../dataplane/index.js";
import { BURST_BYTES_MAX, BURST_MAX, CONTROL, ROW, ROW_SIZE, VERDICT } from "../../dataplane/packet/index.js";
import type { PortIndex } from "../../dataplane/transposition/index.js";
import type { LiveInterface, PortCapture } from "../../io/index.js";

export interface Binding {
  readonly port: PortIndex;
  readonly live: LiveInterface;
}

export class Forwarder {
  readonly #engine: Engine;
  readonly #bindings: readonly Binding[];
  /** By port; frames that leave elsewhere have left the lab, and are counted as delivered there. */
  readonly #interfaces: readonly (LiveInterface | undefined)[];
  /** Rows of this round's arrivals, BURST_MAX for each interface. */
  readonly #arrivals: number;
  readonly #captures: readonly PortCapture[];
  #sequence = 0;

  constructor(engine: Engine, bindings: readonly Binding[], captures: readonly PortCapture[] = []) {
    this.#engine = engine;
    this.#bindings = bindings;
    this.#captures = captures;
    this.#interfaces = engine.ports.map((_, port) => bindings.find((binding) => binding.port === port)?.live);
    this.#arrivals = engine.memory.allocate(bindings.length * BURST_MAX * ROW_SIZE);
  }

  /** Gives how many frames came. `nowNs` counts from the epoch, and never goes back. */
  round(nowNs: bigint): number {
    let end = this.#arrivals;
    for (const { port, live } of this.#bindings) {
      const count = live.receive(end, BURST_MAX, nowNs);
      this.#setPlaces(end, count, port);
      if (count > 0) for (const capture of this.#captures) capture.received(end, count);
      end += count * ROW_SIZE;
    }
    for (let first = this.#arrivals; first < end; ) first = this.#runBurst(first, end);
    if (end > this.#arrivals) for (const { live } of this.#bindings) live.release();
    return (end - this.#arrivals) / ROW_SIZE;
  }

  /** Until nodes have something to do by themselves. */
  untilNextInstantMs(nowNs: bigint): number {
    const next = this.#engine.nextInstantMs;
    return next === null ? Number.POSITIVE_INFINITY : Math.max(0, next - Number(nowNs / 1_000_000n));
  }

  #setPlaces(rows: number, count: number, port: PortIndex): void {
    const { memory } = this.#engine;
    for (let row = rows; row < rows + count * ROW_SIZE; row += ROW_SIZE) {
      memory.setU16(row + ROW.PORT, port);
      memory.setU32(row + ROW.SEQUENCE, this.#sequence++ >>> 0);
    }
  }

  /** Runs as many of these rows as a burst may have, and gives the first of those left. */
  #runBurst(first: number, end: number): number {
    const { memory } = this.#engine;
    const most = Math.min(end, first + BURST_MAX * ROW_SIZE);
    let bytes = 0;
    let row = first;
    for (; row < most; row += ROW_SIZE) {
      bytes += memory.u32(row + ROW.LENGTH);
      if (bytes > BURST_BYTES_MAX && row > first) break;
    }
    memory.bytes.copyWithin(memory.rows, first, row);
    for (const _ of this.#engine.run((row - first) / ROW_SIZE)) this.#sendAll();
    return row;
  }

  /** Time goes on without frames: nodes do what is due, and flow entries age. */
  idle(nowNs: bigint): void {
    const nowMs = Number(nowNs / 1_000_000n);
    for (const _ of this.#engine.passTime(nowMs)) this.#sendAll();
    this.#engine.process(0, nowMs);
    for (const capture of this.#captures) capture.update(nowMs);
  }

  /** Copies included. Frames that had to move lie in the arena, which the next burst uses again. */
  #sendAll(): void {
    const { memory } = this.#engine;
    const count = memory.u32(CONTROL.ROW_COUNT);
    const end = memory.rows + count * ROW_SIZE;
    for (const capture of this.#captures) capture.sent(memory.rows, count);
    for (let row = memory.rows; row < end; row += ROW_SIZE) {
      if (memory.bytes[row + ROW.VERDICT] !== VERDICT.DELIVERED) continue;
      const live = this.#interfaces[memory.u16(row + ROW.PORT)];
      live?.send(memory.u32(row + ROW.OFFSET), memory.u32(row + ROW.LENGTH));
    }
    for (const { live } of this.#bindings) live.flush();
    for (const capture of this.#captures) capture.update(this.#engine.nowMs);
  }
}
