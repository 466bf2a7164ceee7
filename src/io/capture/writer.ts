/**
 * Writes new captures: the frames of output streams in bulk, and single frames with comments.
 *
 * A stream's frames lie with a gap before each. For classic pcap the record headers are written into the gaps, and the region
 * is the file's next piece as it stands. For pcapng the frames are packed into blocks within the region. Either way the region
 * goes to the file in one write, while the kernel fills the stream's other one. Only frames that left their port out of order
 * are put together one by one.
 */
import { STREAM_ITEM } from "../../dataplane/packet/index.js";
import { type Encoded, type Encoding, encode } from "./encoding.js";
import { CaptureError } from "./errors.js";
import { EPB_GAP, FRAME_MAX, RECORD } from "./layout.js";
import { openOutput, StagedOutput, wholeBlocks, wholeRecords } from "./output.js";
import { pcapHeader } from "./pcap.js";
import { interfaceBlock, type PacketDetails, packetBlock, sectionBlock } from "./pcapng.js";
import type { CaptureFormat } from "./reader.js";
import { scannerOf } from "./scanner.js";
import type { StreamBuffer } from "./stream.js";

export interface CaptureWriterOptions {
  readonly format: CaptureFormat;
  /** Times in nanoseconds; microseconds otherwise. */
  readonly isNanoseconds: boolean;
  /** What the file says is its longest frame. */
  readonly snaplen?: number;
}

export interface InterfaceOptions {
  readonly name?: string;
  readonly description?: string;
  /** As the writer's, unless told. */
  readonly isNanoseconds?: boolean;
}

export interface FrameDetails extends PacketDetails {
  readonly timestampNs: bigint;
  /** Length on the wire, if the frame was cut. */
  readonly originalLength?: number;
  /** Which interface of a pcapng file. */
  readonly interfaceId?: number;
}

/** What a command writes its frames to: a new capture, or one that follows the input's form (`rewriter.ts`). */
export interface CaptureOutput {
  /** As messages call it. */
  readonly name: string;
  readonly format: CaptureFormat;
  /** The gap that a stream for this output needs. */
  readonly gapBytes: number;
  readonly frameCount: number;
  /**
   * Takes all frames of the stream, in the order of their sequence numbers, and empties it. When it resolves, the kernel may go
   * on; the writing may still be under way. Throws the CaptureError of a failed write, now or at a later call.
   */
  drainStream(stream: StreamBuffer, interfaceId?: number): Promise<void>;
  /** How streams of this output may be encoded elsewhere before `drainEncoded`; null where more is needed than the stream. */
  readonly encoding: Encoding | null;
  /** As `drainStream`, of a stream that was encoded so. */
  drainEncoded(stream: StreamBuffer, encoded: Encoded): Promise<void>;
  /** Takes one frame of a stream, which is not emptied. Await `ready` now and then. */
  appendItem(stream: StreamBuffer, index: number, interfaceId?: number): void;
  /** Hands over what was collected; holds back who is faster than the file. */
  ready(): Promise<void>;
  /** Writes the rest and gives the file its name. */
  finish(): Promise<void>;
  /** Ends early: whole frames stay in FILE.partial. Never throws. */
  abandon(): Promise<void>;
}

/** Type by the suffix of the path, else as `fallback`, which is the first input's. */
export function formatFor(path: string, fallback: CaptureFormat): CaptureFormat {
  const lower = path.toLowerCase();
  if (lower.endsWith(".pcapng")) return "pcapng";
  return lower.endsWith(".pcap") ? "pcap" : fallback;
}

/** Begins a capture file, or a capture on a pipe, a device, or standard output ("-"). */
export async function createCapture(path: string, options: CaptureWriterOptions): Promise<CaptureWriter> {
  return new CaptureWriter(await openOutput(path), options);
}

/** The last that 32 bits can tell; times before 1970 look like later ones. */
const SECONDS_MAX = 0xffff_ffff;

interface WrittenInterface {
  readonly unit: 1 | 1000;
}

export class CaptureWriter implements CaptureOutput {
  readonly name: string;
  readonly format: CaptureFormat;
  readonly gapBytes: number;
  frameCount = 0;
  readonly #output: StagedOutput;
  readonly #options: CaptureWriterOptions;
  readonly #interfaces: WrittenInterface[] = [];

  constructor(file: Awaited<ReturnType<typeof openOutput>>, options: CaptureWriterOptions) {
    const { format, isNanoseconds, snaplen = FRAME_MAX } = options;
    this.name = file.name;
    this.format = format;
    this.#options = options;
    this.gapBytes = format === "pcap" ? RECORD.LENGTH : EPB_GAP;
    this.#output =
      format === "pcap"
        ? new StagedOutput(file, pcapHeader(isNanoseconds, snaplen), wholeRecords(RECORD.LENGTH, true))
        : new StagedOutput(file, sectionBlock(), wholeBlocks);
  }

  /** One more interface of a pcapng file; returns its id. Without any, the first frame makes a nameless one. */
  addInterface({ name = "", description = "", isNanoseconds }: InterfaceOptions = {}): number {
    if (this.format !== "pcapng")
      throw new CaptureError("CAPTURE_FORMAT", this.name, "a pcap file has no named interfaces; use a name in .pcapng");
    const nanoseconds = isNanoseconds ?? this.#options.isNanoseconds;
    this.#output.append(interfaceBlock(name, description, nanoseconds, this.#options.snaplen ?? FRAME_MAX));
    return this.#interfaces.push({ unit: nanoseconds ? 1 : 1000 }) - 1;
  }

  async drainStream(stream: StreamBuffer, interfaceId = 0): Promise<void> {
    const { count } = stream;
    if (count === 0) return this.ready();
    const encoded = encode(stream, this.#encodingOf(interfaceId));
    if (encoded) return this.drainEncoded(stream, encoded);
    if (stream.isDisordered) scannerOf(stream.memory.memory).sortItems(stream.list, count);
    for (let index = 0; index < count; index++) this.appendItem(stream, index, interfaceId);
    stream.reset();
    await this.ready();
  }

  get encoding(): Encoding {
    return this.#encodingOf(0);
  }

  #encodingOf(interfaceId: number): Encoding {
    const unit = this.#unitOf(interfaceId);
    return this.format === "pcap" ? { kind: "records", unit } : { kind: "blocks", interfaceId, unit };
  }

  async drainEncoded(stream: StreamBuffer, { bytes, frames }: Encoded): Promise<void> {
    const { memory, base } = stream;
    await this.#output.write(() => memory.bytes.subarray(base, base + bytes));
    stream.swap();
    this.frameCount += frames;
  }

  appendItem(stream: StreamBuffer, index: number, interfaceId = 0): void {
    const { memory } = stream;
    const item = stream.itemAt(index);
    const view = new DataView(memory.memory.buffer);
    const at = view.getUint32(item + STREAM_ITEM.OFFSET, true);
    const length = view.getUint32(item + STREAM_ITEM.LENGTH, true);
    this.writeFrame(memory.bytes.subarray(at, at + length), {
      timestampNs: view.getBigUint64(item + STREAM_ITEM.TIMESTAMP, true),
      originalLength: length + view.getUint32(item + STREAM_ITEM.MISSING, true),
      interfaceId,
    });
  }

  /** Takes one frame, copied at once. Comments, direction and packet id are kept in pcapng only. */
  writeFrame(frame: Uint8Array, details: FrameDetails): void {
    const { timestampNs, originalLength = frame.length, interfaceId = 0 } = details;
    const time = timestampNs / BigInt(this.#unitOf(interfaceId));
    if (this.format === "pcapng") this.#output.append(packetBlock(frame, interfaceId, time, originalLength, details));
    else this.#appendRecord(frame, time, originalLength);
    this.frameCount++;
  }

  #appendRecord(frame: Uint8Array, time: bigint, originalLength: number): void {
    const perSecond = this.#options.isNanoseconds ? 1_000_000_000n : 1_000_000n;
    const seconds = Number(time / perSecond);
    if (seconds > SECONDS_MAX) {
      const what = "a frame's time is not between 1970 and 2106, as pcap has them; use a name in .pcapng";
      throw new CaptureError("CAPTURE_UNWRITABLE", this.name, what);
    }
    const at = this.#output.reserve(RECORD.LENGTH + frame.length);
    const { bytes } = this.#output;
    const view = new DataView(bytes.buffer);
    view.setUint32(at + RECORD.SECONDS, seconds, true);
    view.setUint32(at + RECORD.FRACTION, Number(time % perSecond), true);
    view.setUint32(at + RECORD.CAPTURED, frame.length, true);
    view.setUint32(at + RECORD.ORIGINAL, originalLength, true);
    bytes.set(frame, at + RECORD.LENGTH);
  }

  #unitOf(interfaceId: number): 1 | 1000 {
    if (this.format === "pcap") return this.#options.isNanoseconds ? 1 : 1000;
    if (this.#interfaces.length === 0 && interfaceId === 0) this.addInterface();
    const face = this.#interfaces[interfaceId];
    if (!face) throw new RangeError(`interface ${interfaceId} was not added to ${this.name}`);
    return face.unit;
  }

  ready(): Promise<void> {
    return this.#output.ready();
  }
  finish(): Promise<void> {
    return this.#output.finish();
  }
  abandon(): Promise<void> {
    return this.#output.abandon();
  }
}
