/**
 * What passes a bound port, on its way into a capture: rows become records, with their frames, in a region of the packet memory, and
 * these go to the thread that writes as one piece (`capture-queue.ts`). What that thread has no room for is lost, and counted:
 * forwarding never waits for a disk.
 *
 *     rows that came ─┬─► records ─► queue ═ other thread ═► file
 *     rows that leave ┘
 *
 * The region is so short that it stays in the processor's cache, and forwarding goes on with the frames where they lie. A capture
 * in pcapng has an interface for each direction.
 */
import { ROW_SIZE, VERDICT } from "../../dataplane/packet/index.js";
import { EPB_GAP, EPB_LENGTH_MIN, FRAME_MAX, RECORD } from "../capture/layout.js";
import type { Memory } from "../capture/memory.js";
import { pcapHeader } from "../capture/pcap.js";
import { interfaceBlock, sectionBlock } from "../capture/pcapng.js";
import type { CaptureFormat } from "../capture/reader.js";
import type { RotationForm } from "../capture/rotation.js";
import { type Scanner, scannerOf } from "../capture/scanner.js";
import type { CaptureQueue } from "./capture-queue.js";

/** Records are handed over when they take so much. */
const PIECE_BYTES = 64 * 1024;

/** The writer is woken for so much, or when frames have waited long enough: to wake a thread costs as much as to forward some frames. */
const WAKE_BYTES = 1024 * 1024;

/** What a thread that forwards may be ahead of the one that writes: a tenth of a second at the highest rates. No more of it is touched than is used. */
export const CAPTURE_QUEUE_BYTES = 64 * 1024 * 1024;

/** Where a block of pcapng says how long it is. */
const BLOCK_LENGTH = 4;

/** Frames wait so long at most. */
const PIECE_MS = 100;

const ANY_VERDICT = -1;
/** Instead of an interface's number. */
const CLASSIC = -1;

/** How such a capture's files look. */
export function portCaptureForm(format: CaptureFormat, port: string): RotationForm {
  if (format === "pcap") {
    const lengthAt = (view: DataView, at: number) => RECORD.LENGTH + view.getUint32(at + RECORD.CAPTURED, true);
    return { header: pcapHeader(true, FRAME_MAX), ...formOf(RECORD.LENGTH, lengthAt) };
  }
  const blocks = [
    sectionBlock(),
    interfaceBlock(port, "received", true, FRAME_MAX),
    interfaceBlock(port, "sent", true, FRAME_MAX),
  ];
  const lengthAt = (view: DataView, at: number) => view.getUint32(at + BLOCK_LENGTH, true);
  return { header: Buffer.concat(blocks), ...formOf(EPB_LENGTH_MIN, lengthAt) };
}

/** Finds records by how long each is, which it says within its first `least` octets. */
function formOf(
  least: number,
  lengthAt: (view: DataView, at: number) => number,
): Pick<RotationForm, "whole" | "count"> {
  const walk = ({ buffer, byteOffset, length }: Uint8Array) => {
    const view = new DataView(buffer, byteOffset, length);
    let [at, count] = [0, 0];
    while (at + least <= length) {
      const end = at + lengthAt(view, at);
      if (end > length) break;
      at = end;
      count++;
    }
    return { at, count };
  };
  return { whole: (bytes) => walk(bytes).at, count: (bytes) => walk(bytes).count };
}

export class PortCapture {
  readonly #scanner: Scanner;
  /** Where records lie until they are handed over, and where they end. */
  readonly #base: number;
  #end: number;
  /** How many these are. */
  #count = 0;
  #frames = 0;
  #lost = 0;
  /** When what waits is handed over at the latest. */
  #dueMs = 0;
  /** Octets that were handed over since the writer was woken. */
  #untold = 0;

  constructor(
    private readonly memory: Memory,
    private readonly queue: CaptureQueue,
    private readonly format: CaptureFormat,
    /** As rows have it. */
    private readonly port: number,
  ) {
    this.#scanner = scannerOf(memory.memory);
    this.#base = memory.allocate(PIECE_BYTES + FRAME_MAX + EPB_GAP, 64);
    this.#end = this.#base;
  }

  /** Frames that were handed over. */
  get frames(): number {
    return this.#frames;
  }

  /** Frames that found no room. */
  get lost(): number {
    return this.#lost;
  }

  /** So many rows from here are of frames that came; of the port's, none has entered the lab yet. */
  received(rows: number, count: number): void {
    this.#gather(rows, count, ANY_VERDICT, 0);
  }

  /** So many rows from here are done with; of the port's, those that were delivered leave the lab. */
  sent(rows: number, count: number): void {
    this.#gather(rows, count, VERDICT.DELIVERED, 1);
  }

  /** Called between two bursts, and now and then when there are none. */
  update(nowMs: number): void {
    if (nowMs < this.#dueMs) {
      if (this.#untold >= WAKE_BYTES) this.#wake();
      return;
    }
    // A writer that stands still would soon have as many short pieces as a queue can describe.
    if (!this.queue.isCrowded) this.#handOver();
    if (this.#untold > 0) this.#wake();
    this.#dueMs = nowMs + PIECE_MS;
  }

  /** Hands over what waits. */
  finish(): void {
    this.#handOver();
    if (this.#untold > 0) this.#wake();
  }

  #wake(): void {
    this.queue.wake();
    this.#untold = 0;
  }

  #gather(rows: number, count: number, verdict: number, direction: 0 | 1): void {
    const scanner = this.#scanner;
    const id = this.format === "pcap" ? CLASSIC : direction;
    const limit = this.#base + PIECE_BYTES;
    const end = rows + count * ROW_SIZE;
    for (let row = rows; row < end; ) {
      row = scanner.gather(row, end, this.port, verdict, id, this.#end, limit, FRAME_MAX) >>> 0;
      this.#end = scanner.cursor.value >>> 0;
      this.#count += scanner.gathered.value;
      this.#lost += scanner.refused.value;
      if (this.#end >= limit) this.#handOver();
    }
  }

  #handOver(): void {
    if (this.#count === 0) return;
    const bytes = this.memory.bytes.subarray(this.#base, this.#end);
    if (this.queue.put({ bytes, frames: this.#count })) {
      this.#frames += this.#count;
      this.#untold += bytes.length;
    } else {
      this.#lost += this.#count;
    }
    this.#end = this.#base;
    this.#count = 0;
  }
}
