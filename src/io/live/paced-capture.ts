/**
 * `pcap:FILE`: a capture whose frames arrive when their time has come, `pcap:FILE#speed=10` ten times as fast, `#speed=0` as
 * fast as they are taken.
 *
 * The first frame arrives with the first `receive`; every other one as much later as its timestamp says, divided by the speed. A
 * frame that is older than the one before it follows at once, for a capture keeps its order. Rows carry the time of arrival, so that
 * the frames of all interfaces of a run have one clock.
 *
 * Reading is asynchronous: between two pieces of the file `receive` may have nothing though frames are due, until the program has
 * been back in its event loop.
 */
import { BURST_BYTES_MAX, BURST_MAX, ROW, ROW_SIZE } from "../../dataplane/packet/index.js";
import type { CaptureError } from "../capture/errors.js";
import { type CaptureReader, openCapture } from "../capture/reader.js";
import { liveErrorAt } from "./errors.js";
import type { LiveCounters } from "./live-interface.js";
import type { RowMemory } from "./rows.js";
import { setTime } from "./rows.js";
import type { TimedInterface } from "./timed.js";

const SPEED_MAX = 1e6;

export interface PacedCaptureUri {
  readonly file: string;
  /** Seconds of the capture per second; 0: no pace. */
  readonly speed: number;
}

/** Reads `pcap:FILE` or `pcap:FILE#speed=N`. File names may contain `#`; only a last part that begins with `#speed=` is an option. */
export function parsePacedCaptureUri(uri: string): PacedCaptureUri {
  const [, file, text] = /^pcap:(.*?)(?:#speed=([^#]*))?$/s.exec(uri) ?? [];
  if (!file) throw liveErrorAt("LIVE_URI", uri, "expected pcap:FILE or pcap:FILE#speed=N");
  if (text === undefined) return { file, speed: 1 };
  const speed = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(speed <= SPEED_MAX))
    throw liveErrorAt("LIVE_URI", uri, `speed=${text}: expected a number from 0 to ${SPEED_MAX}`);
  return { file, speed };
}

/** Opens the capture, and reads as far as its first packet. Throws a LiveError for the URI and a CaptureError for the file. */
export async function openPacedCapture(uri: string, memory: RowMemory): Promise<PacedCapture> {
  const { file, speed } = parsePacedCaptureUri(uri);
  return new PacedCapture(uri, memory, await openCapture(file, memory), speed);
}

export class PacedCapture implements TimedInterface {
  readonly mtu = null;
  readonly descriptor = null;
  readonly #memory: RowMemory;
  readonly #reader: CaptureReader;
  readonly #speed: number;
  /** Rows that the reader has filled; those from `#next` to `#count` wait for their time. */
  readonly #rows: number;
  #next = 0;
  #count = 0;
  /** The frames of the last `receive` are still in use. */
  #isHeld = false;
  #isReading = false;
  #isOver = false;
  #received = 0;
  #sent = 0;
  readonly #time = { low: 0, high: 0 };
  /** When the first frame arrived, and the time it carries. */
  #startNs: bigint | null = null;
  #firstNs = 0n;
  /** When the next frame is due, never before the one in front of it. */
  #dueNs = 0n;

  constructor(
    readonly uri: string,
    memory: RowMemory,
    reader: CaptureReader,
    speed: number,
  ) {
    this.#memory = memory;
    this.#reader = reader;
    this.#speed = speed;
    this.#rows = memory.allocate(BURST_MAX * ROW_SIZE, 64);
  }

  get isOpen(): boolean {
    return !this.#isOver;
  }

  get nextFrameNs(): bigint | null {
    return this.#startNs === null || this.#next === this.#count ? null : this.#dueNs;
  }

  /** Why the capture ended early, if it did. */
  get damage(): CaptureError | undefined {
    return this.#reader.damage;
  }

  receive(rows: number, max: number, nowNs: bigint): number {
    if (this.#isHeld || this.#isReading || this.#isOver) return 0;
    if (this.#next === this.#count && !this.#refill(nowNs)) return 0;
    setTime(this.#time, nowNs);
    let count = 0;
    while (count < max && this.#next < this.#count && this.#dueNs <= nowNs) {
      this.#give(rows + count++ * ROW_SIZE);
      if (this.#next < this.#count) this.#schedule();
    }
    this.#received += count;
    this.#isHeld = count > 0;
    return count;
  }

  /** Moves the next row to `row`. It arrived when it was due, except where there is no pace. */
  #give(row: number): void {
    const from = this.#rows + this.#next++ * ROW_SIZE;
    this.#memory.bytes.copyWithin(row, from, from + ROW_SIZE);
    if (this.#speed > 0) setTime(this.#time, this.#dueNs);
    this.#memory.setU32(row + ROW.TIMESTAMP, this.#time.low);
    this.#memory.setU32(row + ROW.TIMESTAMP + 4, this.#time.high);
  }

  /** Works out when the next row is due. */
  #schedule(): void {
    if (this.#speed === 0) return;
    const after = Number(this.#timestampOf(this.#next) - this.#firstNs) / this.#speed;
    const due = this.#startNs! + BigInt(Math.round(after));
    if (due > this.#dueNs) this.#dueNs = due;
  }

  #timestampOf(index: number): bigint {
    const at = this.#rows + index * ROW_SIZE + ROW.TIMESTAMP;
    return (BigInt(this.#memory.u32(at + 4)) << 32n) | BigInt(this.#memory.u32(at));
  }

  /** Scans further records; false if the file must be read first, which is begun. No frame is in use at this time. */
  #refill(nowNs: bigint): boolean {
    this.#next = 0;
    this.#count = this.#reader.fill(this.#rows, 0, BURST_MAX, BURST_BYTES_MAX);
    if (this.#count === 0) {
      this.#read();
      return false;
    }
    if (this.#startNs === null) {
      this.#startNs = this.#dueNs = nowNs;
      this.#firstNs = this.#timestampOf(0);
    } else this.#schedule();
    return true;
  }

  #read(): void {
    this.#isReading = true;
    const done = (isMore: boolean): void => {
      this.#isReading = false;
      this.#isOver ||= !isMore;
    };
    this.#reader.more().then(done, () => done(false));
  }

  release(): void {
    this.#isHeld = false;
  }

  /** A capture that is read takes nothing in; frames that leave here have left the lab. */
  send(): boolean {
    this.#sent++;
    return true;
  }

  flush(): void {}

  counters(): LiveCounters {
    const events: Record<string, number> = this.damage ? { "capture damaged": 1 } : {};
    return { received: this.#received, sent: this.#sent, receiveDrops: 0, sendDrops: 0, events };
  }

  close(): void {
    this.#isOver = true;
    this.#reader.close().catch(() => {}); // nothing was written, so nothing is lost
  }
}
