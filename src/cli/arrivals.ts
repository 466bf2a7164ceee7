/**
 * Frames on their way into an engine: captures that enter at ports, as bursts of rows.
 *
 * A single capture is scanned straight into the rows that are asked for. Several are scanned into rows of their own first, and merged:
 * by timestamp, equal ones in the order in which the captures were named, each capture in its own order even where its
 * time goes back. The frames themselves are never moved.
 */
import { BURST_BYTES_MAX, BURST_MAX, type PacketMemory, ROW, ROW_SIZE } from "../dataplane/packet/index.js";
import type { PortIndex } from "../dataplane/transposition/index.js";
import type { CaptureReader, Memory } from "../io/index.js";

export interface Arrival {
  /** Where all its frames enter, or who tells it of each. */
  readonly port: PortIndex | Placement;
  readonly reader: Pick<CaptureReader, "fill" | "more">;
}

/** Tells where each frame of a capture enters (`demultiplex.ts`). */
export interface Placement {
  /**
   * Sets the PORT of the rows at `rows`. Rows of frames that enter nowhere are taken out, and the others close up; returns how many
   * are left.
   */
  place(memory: RowMemory, rows: number, count: number): number;
}

/** The memory in which the captures' buffers and the rows lie. */
export type RowMemory = Memory & Pick<PacketMemory, "u32" | "setU16" | "setU32">;

export interface BurstLimits {
  /** At most BURST_MAX for an engine. */
  readonly frames: number;
  /** At most BURST_BYTES_MAX for an engine; a single frame may be longer than a smaller limit. */
  readonly bytes: number;
  /** What copies of its packets may come to besides (`PacketMemory.copyRoom`); nothing where none are made. */
  readonly copies?: { readonly frames: number; readonly bytes: number };
}

export const FULL_BURST: BurstLimits = { frames: BURST_MAX, bytes: BURST_BYTES_MAX };

export interface Arrivals {
  /** Makes the next burst in the rows at this address, which are ready to be processed. 0: `more` must be awaited first. */
  fill(rows: number): number;
  /** False when all captures are at their end. All frames given before become invalid. */
  more(): Promise<boolean>;
}

export function arrivalsOf(memory: RowMemory, arrivals: readonly Arrival[], limits: BurstLimits): Arrivals {
  const [first] = arrivals;
  return arrivals.length === 1 && first
    ? new OneCapture(memory, first, limits)
    : new MergedCaptures(memory, arrivals, limits);
}

/** Fills rows with the next frames of a capture that enter somewhere, and sets where. 0: `more` must be awaited first. */
function fillPlaced(memory: RowMemory, { port, reader }: Arrival, rows: number, limits: BurstLimits): number {
  for (;;) {
    const count = reader.fill(rows, 0, limits.frames, limits.bytes);
    if (typeof port !== "number") {
      const left = port.place(memory, rows, count);
      if (left > 0 || count === 0) return left;
      continue;
    }
    for (let row = rows, end = rows + count * ROW_SIZE; row < end; row += ROW_SIZE) memory.setU16(row + ROW.PORT, port);
    return count;
  }
}

/** Numbers rows in the order of their arrival. */
function setSequence(memory: RowMemory, firstRow: number, count: number, sequence: number): void {
  const end = firstRow + count * ROW_SIZE;
  for (let row = firstRow; row < end; row += ROW_SIZE) memory.setU32(row + ROW.SEQUENCE, sequence++);
}

class OneCapture implements Arrivals {
  #sequence = 0;

  constructor(
    private readonly memory: RowMemory,
    private readonly arrival: Arrival,
    private readonly limits: BurstLimits,
  ) {}

  fill(rows: number): number {
    const { memory, arrival, limits } = this;
    const count = fillPlaced(memory, arrival, rows, limits);
    setSequence(memory, rows, count, this.#sequence);
    this.#sequence = (this.#sequence + count) >>> 0;
    return count;
  }

  more(): Promise<boolean> {
    return this.arrival.reader.more();
  }
}

/** Rows of one capture that wait for their turn. */
interface Queue extends Arrival {
  readonly rows: number;
  next: number;
  count: number;
  isOver: boolean;
}

class MergedCaptures implements Arrivals {
  readonly #queues: readonly Queue[];
  #sequence = 0;

  constructor(
    private readonly memory: RowMemory,
    arrivals: readonly Arrival[],
    private readonly limits: BurstLimits,
  ) {
    this.#queues = arrivals.map(({ port, reader }) => {
      const rows = memory.allocate(limits.frames * ROW_SIZE);
      return { port, reader, rows, next: 0, count: 0, isOver: false };
    });
  }

  fill(rows: number): number {
    const { memory, limits } = this;
    let bytes = 0;
    for (let count = 0; count < limits.frames; count++) {
      const queue = this.#earliest();
      if (!queue) return count;
      const from = queue.rows + queue.next * ROW_SIZE;
      bytes += memory.u32(from + ROW.LENGTH);
      if (count > 0 && bytes > limits.bytes) return count;
      const row = rows + count * ROW_SIZE;
      memory.bytes.copyWithin(row, from, from + ROW_SIZE);
      setSequence(memory, row, 1, this.#sequence);
      this.#sequence = (this.#sequence + 1) >>> 0;
      queue.next++;
    }
    return limits.frames;
  }

  /**
   * The queue whose first frame is the earliest; none while a capture that is not over shows no frame. All are looked at even then: `more`
   * goes by what they hold, and a reader must not go on before it has given all that it has.
   */
  #earliest(): Queue | undefined {
    let best: Queue | undefined;
    let isDry = false;
    for (const queue of this.#queues) {
      if (queue.isOver) continue;
      if (queue.next === queue.count && !this.#refill(queue)) isDry = true;
      else if (!best || this.#isEarlier(queue, best)) best = queue;
    }
    return isDry ? undefined : best;
  }

  #refill(queue: Queue): boolean {
    queue.next = 0;
    queue.count = fillPlaced(this.memory, queue, queue.rows, this.limits);
    return queue.count > 0;
  }

  #isEarlier(a: Queue, b: Queue): boolean {
    const { memory } = this;
    const timeA = a.rows + a.next * ROW_SIZE + ROW.TIMESTAMP;
    const timeB = b.rows + b.next * ROW_SIZE + ROW.TIMESTAMP;
    const high = memory.u32(timeA + 4) - memory.u32(timeB + 4);
    return high === 0 ? memory.u32(timeA) < memory.u32(timeB) : high < 0;
  }

  async more(): Promise<boolean> {
    for (const queue of this.#queues) {
      if (!queue.isOver && queue.next === queue.count) queue.isOver = !(await queue.reader.more());
    }
    return this.#queues.some((queue) => !queue.isOver);
  }
}
