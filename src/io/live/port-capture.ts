/**
 * What passes a bound port, on its way into a capture: two streams, for either direction, which the kernel fills, become records in
 * place and go to the thread that writes as one piece (`capture-queue.ts`). What that thread has no room for is lost, and counted:
 * forwarding never waits for a disk.
 *
 *     kernel ─► stream of what came  ─┐
 *     kernel ─► stream of what left  ─┴─► records ─► queue ═ other thread ═► file
 *
 * The frames of one piece and direction stand together in the file, in the order in which they passed; times tell how the directions
 * interleave. A capture in pcapng has an interface for each direction.
 */
import { BURST_BYTES_MAX, BURST_MAX } from "../../dataplane/packet/index.js";
import { type Encoding, encode } from "../capture/encoding.js";
import { EPB_GAP, FRAME_MAX, RECORD } from "../capture/layout.js";
import type { Memory } from "../capture/memory.js";
import { wholeBlocks, wholeRecords } from "../capture/output.js";
import { pcapHeader } from "../capture/pcap.js";
import { interfaceBlock, sectionBlock } from "../capture/pcapng.js";
import type { CaptureFormat } from "../capture/reader.js";
import type { RotationForm } from "../capture/rotation.js";
import { allocateStream, type StreamBuffer } from "../capture/stream.js";
import type { CaptureQueue } from "./capture-queue.js";

/** What a frame grows by at most on its way, with room to spare, and the copies that a burst may make. */
const GROWTH_BYTES = 128;
const BURST_FRAMES = 4 * BURST_MAX;
const BURST_BYTES = BURST_BYTES_MAX + BURST_MAX * GROWTH_BYTES;
/** A stream is handed over when it holds so much, so that it stays in the processor's cache; a burst must still fit then. */
const PIECE_BYTES = 64 * 1024;
const PIECE_FRAMES = BURST_MAX;
const STREAM_FRAMES = BURST_FRAMES + PIECE_FRAMES;
const gapOf = (format: CaptureFormat): number => (format === "pcap" ? RECORD.LENGTH : EPB_GAP);
const streamBytes = (format: CaptureFormat): number => PIECE_BYTES + BURST_BYTES + STREAM_FRAMES * gapOf(format);

/** The writer is woken for so much, or when frames have waited long enough: to wake a thread costs as much as to forward some frames. */
const WAKE_BYTES = 512 * 1024;

/** What a thread that forwards may be ahead of the one that writes: some hundredths of a second at the highest rates. */
export const CAPTURE_QUEUE_BYTES = 16 * 1024 * 1024;

/** Where a block of pcapng says how long it is. */
const BLOCK_LENGTH = 4;

/** Frames wait so long at most. */
const PIECE_MS = 100;

/** How such a capture's files look. */
export function portCaptureForm(format: CaptureFormat, port: string): RotationForm {
  if (format === "pcap") {
    const count = countBy((view, at) => RECORD.LENGTH + view.getUint32(at + RECORD.CAPTURED, true));
    return { header: pcapHeader(true, FRAME_MAX), whole: wholeRecords(RECORD.LENGTH, true), count };
  }
  const blocks = [
    sectionBlock(),
    interfaceBlock(port, "received", true, FRAME_MAX),
    interfaceBlock(port, "sent", true, FRAME_MAX),
  ];
  const count = countBy((view, at) => view.getUint32(at + BLOCK_LENGTH, true));
  return { header: Buffer.concat(blocks), whole: wholeBlocks, count };
}

/** Counts records by how long each is. */
const countBy =
  (lengthAt: (view: DataView, at: number) => number) =>
  ({ buffer, byteOffset, length }: Uint8Array): number => {
    const view = new DataView(buffer, byteOffset, length);
    let count = 0;
    for (let at = 0; at < length; count++) at += lengthAt(view, at);
    return count;
  };

export class PortCapture {
  /** For the engine: what enters the lab at the port, and what leaves it. */
  readonly received: StreamBuffer;
  readonly sent: StreamBuffer;
  #frames = 0;
  #refused = 0;
  /** When what waits is handed over at the latest. */
  #dueMs = 0;
  /** Octets that were handed over since the writer was woken. */
  #untold = 0;

  constructor(
    memory: Memory,
    private readonly queue: CaptureQueue,
    private readonly format: CaptureFormat,
  ) {
    const make = (): StreamBuffer => allocateStream(memory, streamBytes(format), STREAM_FRAMES, gapOf(format));
    this.received = make();
    this.sent = make();
  }

  /** Frames that were handed over. */
  get frames(): number {
    return this.#frames;
  }

  /** Frames that found no room. */
  get lost(): number {
    return this.#refused + this.received.overflow + this.sent.overflow;
  }

  /** Called between two bursts, and now and then when there are none. */
  update(nowMs: number): void {
    const isTime = nowMs >= this.#dueMs;
    this.#update(this.received, 0, isTime);
    this.#update(this.sent, 1, isTime);
    if (isTime) this.#dueMs = nowMs + PIECE_MS;
    if (this.#untold >= WAKE_BYTES || (isTime && this.#untold > 0)) this.#wake();
  }

  /** Hands over what waits. */
  finish(): void {
    this.#update(this.received, 0, true);
    this.#update(this.sent, 1, true);
    this.#wake();
  }

  #wake(): void {
    this.queue.wake();
    this.#untold = 0;
  }

  #update(stream: StreamBuffer, direction: 0 | 1, isTime: boolean): void {
    const { count } = stream;
    if (count === 0 || (!isTime && count < PIECE_FRAMES && stream.usedBytes < PIECE_BYTES)) return;
    const encoding: Encoding =
      this.format === "pcap" ? { kind: "records", unit: 1 } : { kind: "blocks", interfaceId: direction, unit: 1 };
    const { bytes } = encode(stream, encoding, true)!;
    const records = stream.memory.bytes.subarray(stream.base, stream.base + bytes);
    if (this.queue.put({ bytes: records, frames: count })) {
      this.#frames += count;
      this.#untold += bytes;
    } else {
      this.#refused += count;
    }
    stream.reset();
  }
}
