/**
 * Writes a capture in the very form of the one that its frames come from: magic number, byte order and resolution, interfaces,
 * options and comments, times as they stand in the file, bit for bit, and all blocks that are no packets, in their places. What
 * the engine dropped is left out. Encapsulating a capture and decapsulating the result gives back the identical file.
 *
 * Each frame knows the record that it came from (STREAM_ITEM.SOURCE), which lies in the reader's buffer until the reader's next
 * `more`. So the output must be drained before every `more`; then the address of a record also tells which of the kept
 * blocks come before it.
 */
import { STREAM_ITEM } from "../../dataplane/packet/index.js";
import { type Encoded, type Encoding, encode } from "./encoding.js";
import { EPB_FRAME, EPB_GAP, RECORD } from "./layout.js";
import { type OutputFile, openOutput, StagedOutput, wholeBlocks, wholeRecords } from "./output.js";
import { PCAP_SNAPLEN } from "./pcap.js";
import { BLOCK, INTERFACE_SNAPLEN, OPB, padded, SECTION_LENGTH, SECTION_LENGTH_MIN, SPB } from "./pcapng.js";
import type { CaptureFormat, CaptureReader, KeptBlock } from "./reader.js";
import { scannerOf } from "./scanner.js";
import type { StreamBuffer } from "./stream.js";
import { type CaptureOutput, CaptureWriter, formatFor } from "./writer.js";

export interface RewriterOptions {
  /**
   * By how much frames become longer (encapsulation) or shorter (negative: decapsulation) at most. A length limit that the input
   * states is changed by as much if that is needed and possible.
   */
  readonly frameGrowth: number;
}

/** What a rewriter asks of the reader that it follows. */
export type RewriterInput = Pick<
  CaptureReader,
  "format" | "header" | "isFinerThanMicroseconds" | "sectionBlocks" | "keptBlocks"
>;

/** A capture output that follows a reader. */
export interface CaptureRewriter extends CaptureOutput {
  /** Writes the blocks that stand behind the last packet so far; `drainStream` does it too. */
  passBlocks(): void;
}

/**
 * Begins an output for frames of `reader`, which must have been opened with `keepsBlocks`. Where the path asks for the other
 * format, frames and times are carried over and the rest is not.
 */
export async function createRewriter(
  reader: RewriterInput,
  path: string,
  { frameGrowth }: RewriterOptions,
): Promise<CaptureRewriter> {
  const format = formatFor(path, reader.format);
  const file = await openOutput(path);
  if (format !== reader.format) return new Converter(file, { format, isNanoseconds: reader.isFinerThanMicroseconds });
  return format === "pcap"
    ? new PcapRewriter(file, reader, frameGrowth)
    : new PcapngRewriter(file, reader, frameGrowth);
}

class Converter extends CaptureWriter implements CaptureRewriter {
  passBlocks(): void {}
}

/** Limits from here on are as good as none and stay as they are, as does 0, which is none. */
const SNAPLEN_AMPLE = 65_535;

/**
 * The length limit of a file whose frames grow: raised at once, because the header goes first. When they shrink it is lowered in
 * the end, by as much as encapsulation would have raised it, if no frame is in the way and the file can be changed.
 */
class LengthLimit {
  longest = 0;
  readonly #growth: number;
  readonly #input: number;

  constructor(input: number, growth: number) {
    this.#input = input;
    this.#growth = input === 0 || input >= SNAPLEN_AMPLE ? 0 : growth;
  }
  /** Does it stay as it is whatever the frames are? */
  get isFixed(): boolean {
    return this.#growth === 0;
  }
  get atFirst(): number {
    return this.#input + Math.max(0, this.#growth);
  }
  get inTheEnd(): number {
    const lowered = this.#input + this.#growth;
    return this.#growth < 0 && lowered > 0 && this.longest <= lowered ? lowered : this.atFirst;
  }
}

class PcapRewriter implements CaptureRewriter {
  readonly name: string;
  readonly format: CaptureFormat = "pcap";
  readonly gapBytes: number;
  frameCount = 0;
  readonly #output: StagedOutput;
  readonly #isLittleEndian: boolean;
  readonly #limit: LengthLimit;

  constructor(file: OutputFile, reader: RewriterInput, frameGrowth: number) {
    const { fields, bytes } = reader.header!;
    const header = bytes.slice();
    this.#limit = new LengthLimit(fields.snaplen, frameGrowth);
    new DataView(header.buffer).setUint32(PCAP_SNAPLEN, this.#limit.atFirst, fields.isLittleEndian);
    this.name = file.name;
    this.gapBytes = fields.recordLength;
    this.#isLittleEndian = fields.isLittleEndian;
    this.#output = new StagedOutput(file, header, wholeRecords(fields.recordLength, fields.isLittleEndian));
  }

  async drainStream(stream: StreamBuffer): Promise<void> {
    const { count } = stream;
    if (count === 0) return this.ready();
    const encoded = encode(stream, this.encoding);
    if (encoded) return this.drainEncoded(stream, encoded);
    if (stream.isDisordered) scannerOf(stream.memory.memory).sortItems(stream.list, count);
    for (let index = 0; index < count; index++) this.appendItem(stream, index);
    stream.reset();
    await this.ready();
  }

  get encoding(): Encoding {
    return { kind: "rewritten records", headerLength: this.gapBytes, isLittleEndian: this.#isLittleEndian };
  }

  async drainEncoded(stream: StreamBuffer, { bytes, frames, longestFrame }: Encoded): Promise<void> {
    const { memory, base } = stream;
    this.#limit.longest = Math.max(this.#limit.longest, longestFrame);
    await this.#output.write(() => memory.bytes.subarray(base, base + bytes));
    stream.swap();
    this.frameCount += frames;
  }

  appendItem(stream: StreamBuffer, index: number): void {
    const { memory } = stream;
    const item = stream.itemAt(index);
    const from = new DataView(memory.memory.buffer);
    const frame = from.getUint32(item + STREAM_ITEM.OFFSET, true);
    const length = from.getUint32(item + STREAM_ITEM.LENGTH, true);
    const source = from.getUint32(item + STREAM_ITEM.SOURCE, true);
    const at = this.#output.reserve(this.gapBytes + length);
    const { bytes } = this.#output;
    bytes.set(memory.bytes.subarray(source, source + this.gapBytes), at);
    bytes.set(memory.bytes.subarray(frame, frame + length), at + this.gapBytes);
    setLengths(new DataView(bytes.buffer), at + RECORD.CAPTURED, length, this.#isLittleEndian);
    this.#limit.longest = Math.max(this.#limit.longest, length);
    this.frameCount++;
  }

  passBlocks(): void {} // a classic file has none

  ready(): Promise<void> {
    return this.#output.ready();
  }

  async finish(): Promise<void> {
    const { atFirst, inTheEnd } = this.#limit;
    if (inTheEnd !== atFirst && this.#output.file.isPatchable)
      this.#output.file.patch(PCAP_SNAPLEN, uint32(inTheEnd, this.#isLittleEndian));
    await this.#output.finish();
  }

  abandon(): Promise<void> {
    return this.#output.abandon();
  }
}

/** The section that is being written. */
interface Section {
  readonly isLittleEndian: boolean;
  /** Where the header block's length field lies, if the input told the section's length. */
  readonly lengthField: number | undefined;
  /** Where the body begins. */
  readonly start: number;
  readonly interfaces: { readonly limit: LengthLimit; readonly snaplenField: number }[];
}

class PcapngRewriter implements CaptureRewriter {
  readonly name: string;
  readonly format: CaptureFormat = "pcapng";
  /** Blocks are put together elsewhere. The gap makes sure that they find room there, if they have no options. */
  readonly gapBytes = EPB_GAP;
  /** What stands between the packets is known to the reader only. */
  readonly encoding = null;
  frameCount = 0;
  readonly #output: StagedOutput;
  readonly #reader: RewriterInput;
  readonly #frameGrowth: number;
  #section: Section | undefined;
  #kept: readonly KeptBlock[];
  /** The first of the kept blocks that was not written yet. */
  #nextKept = 0;

  constructor(file: OutputFile, reader: RewriterInput, frameGrowth: number) {
    this.name = file.name;
    this.#reader = reader;
    this.#frameGrowth = frameGrowth;
    this.#output = new StagedOutput(file, new Uint8Array(0), wholeBlocks);
    this.#kept = reader.keptBlocks;
    for (const block of reader.sectionBlocks) this.#passBlock(block);
  }

  async drainStream(stream: StreamBuffer): Promise<void> {
    const { count, memory } = stream;
    if (stream.isDisordered) scannerOf(memory.memory).sortItems(stream.list, count);
    for (let index = 0; index < count; ) {
      const done = await this.#appendMany(stream, index);
      if (done === 0) this.appendItem(stream, index);
      index += Math.max(done, 1);
    }
    this.passBlocks();
    stream.reset();
    await this.ready();
  }

  drainEncoded(): Promise<void> {
    throw new Error("streams for a pcapng rewriter cannot be encoded elsewhere");
  }

  /**
   * The common case in bulk: from this item on only enhanced packet blocks, no other block between them, and no length limits
   * to watch. The blocks are made in the stream's spare region. Returns how many items were taken, 0 if it is not that case.
   */
  async #appendMany(stream: StreamBuffer, index: number): Promise<number> {
    const { count, memory, spare } = stream;
    const view = new DataView(memory.memory.buffer);
    const sourceOf = (item: number): number => view.getUint32(stream.itemAt(item) + STREAM_ITEM.SOURCE, true);
    this.#passBlocksBefore(sourceOf(index));
    const section = this.#section!;
    const nextKept = this.#kept[this.#nextKept];
    const isCommon =
      view.getUint32(sourceOf(index), section.isLittleEndian) === BLOCK.ENHANCED &&
      section.interfaces.every(({ limit }) => limit.isFixed) &&
      (!nextKept || nextKept.address > sourceOf(count - 1));
    if (!isCommon) return 0;

    await this.#output.idle(); // the spare region may still be on its way
    const scanner = scannerOf(memory.memory);
    const spareEnd = spare + stream.capacity;
    const isSwapped = section.isLittleEndian ? 0 : 1;
    const done = scanner.rewriteBlocks(stream.itemAt(index), count - index, spare, spareEnd, isSwapped);
    if (done === 0) return 0;
    const end = scanner.cursor.value >>> 0;
    await this.#output.write(() => memory.bytes.subarray(spare, end));
    this.frameCount += done;
    return done;
  }

  appendItem(stream: StreamBuffer, index: number): void {
    const { memory } = stream;
    const item = stream.itemAt(index);
    const from = new DataView(memory.memory.buffer);
    const frame = from.getUint32(item + STREAM_ITEM.OFFSET, true);
    const length = from.getUint32(item + STREAM_ITEM.LENGTH, true);
    const source = from.getUint32(item + STREAM_ITEM.SOURCE, true);
    this.#passBlocksBefore(source);

    // 1. The block that the frame came from: its kind, and where the options begin.
    const section = this.#section!;
    const { isLittleEndian } = section;
    const type = from.getUint32(source, isLittleEndian);
    const sourceLength = from.getUint32(source + 4, isLittleEndian);
    const isSimple = type === BLOCK.SIMPLE;
    const headerLength = isSimple ? SPB.FRAME : EPB_FRAME;
    const captured = isSimple ? 0 : from.getUint32(source + OPB.CAPTURED, isLittleEndian);
    const optionsAt = isSimple ? source + sourceLength - 4 : source + headerLength + padded(captured);

    // 2. The same block around the new frame.
    const optionsLength = source + sourceLength - 4 - optionsAt;
    const total = headerLength + padded(length) + optionsLength + 4;
    const at = this.#output.reserve(total);
    const { bytes } = this.#output;
    const view = new DataView(bytes.buffer);
    bytes.set(memory.bytes.subarray(source, source + headerLength), at);
    view.setUint32(at + 4, total, isLittleEndian);
    if (isSimple) view.setUint32(at + SPB.ORIGINAL, length, isLittleEndian);
    else setLengths(view, at + OPB.CAPTURED, length, isLittleEndian);
    bytes.set(memory.bytes.subarray(frame, frame + length), at + headerLength);
    bytes.set(memory.bytes.subarray(optionsAt, optionsAt + optionsLength), at + headerLength + padded(length));
    view.setUint32(at + total - 4, total, isLittleEndian);

    // 3. The interface's length limit.
    const id =
      type === BLOCK.ENHANCED
        ? from.getUint32(source + 8, isLittleEndian)
        : isSimple
          ? 0
          : from.getUint16(source + OPB.INTERFACE, isLittleEndian);
    const { limit } = section.interfaces[id]!;
    if (length > limit.longest) limit.longest = length;
    this.frameCount++;
  }

  passBlocks(): void {
    this.#passBlocksBefore(Number.POSITIVE_INFINITY);
  }

  #passBlocksBefore(address: number): void {
    const { keptBlocks } = this.#reader;
    if (keptBlocks !== this.#kept) {
      if (this.#nextKept < this.#kept.length) throw new Error("a rewriter was not drained before its reader went on");
      this.#kept = keptBlocks;
      this.#nextKept = 0;
    }
    for (; this.#nextKept < keptBlocks.length; this.#nextKept++) {
      const block = keptBlocks[this.#nextKept]!;
      if (block.address >= address) return;
      this.#passBlock(block);
    }
  }

  #passBlock({ type, bytes: original, isLittleEndian }: KeptBlock): void {
    if (type === BLOCK.SECTION) this.#endSection();
    const bytes = original.slice();
    const view = new DataView(bytes.buffer);
    const { position } = this.#output;
    if (type === BLOCK.SECTION && bytes.length >= SECTION_LENGTH_MIN) {
      // What the section will be long is known when it ends; until then, and on pipes, it says "not specified". Some
      // programs write 0 for that.
      const told = view.getBigInt64(SECTION_LENGTH, isLittleEndian);
      const isTold = told !== -1n && told !== 0n;
      if (isTold) view.setBigInt64(SECTION_LENGTH, -1n, isLittleEndian);
      const lengthField = isTold ? position + SECTION_LENGTH : undefined;
      this.#section = { isLittleEndian, lengthField, start: position + bytes.length, interfaces: [] };
    } else if (type === BLOCK.INTERFACE) {
      const limit = new LengthLimit(view.getUint32(INTERFACE_SNAPLEN, isLittleEndian), this.#frameGrowth);
      view.setUint32(INTERFACE_SNAPLEN, limit.atFirst, isLittleEndian);
      this.#section!.interfaces.push({ limit, snaplenField: position + INTERFACE_SNAPLEN });
    }
    this.#output.append(bytes);
  }

  #endSection(): void {
    const section = this.#section;
    const { file, position } = this.#output;
    if (!section || !file.isPatchable) return;
    const { isLittleEndian, lengthField, start } = section;
    if (lengthField !== undefined) {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigInt64(0, BigInt(position - start), isLittleEndian);
      file.patch(lengthField, bytes);
    }
    for (const { limit, snaplenField } of section.interfaces)
      if (limit.inTheEnd !== limit.atFirst) file.patch(snaplenField, uint32(limit.inTheEnd, isLittleEndian));
  }

  ready(): Promise<void> {
    return this.#output.ready();
  }

  async finish(): Promise<void> {
    this.#endSection();
    await this.#output.finish();
  }

  abandon(): Promise<void> {
    return this.#output.abandon();
  }
}

/** Sets captured and original length, which stand at `at` as copied from the source, to a frame of `length` bytes cut as much. */
function setLengths(view: DataView, at: number, length: number, isLittleEndian: boolean): void {
  const cut = view.getUint32(at + 4, isLittleEndian) - view.getUint32(at, isLittleEndian);
  view.setUint32(at, length, isLittleEndian);
  view.setUint32(at + 4, length + cut, isLittleEndian);
}

function uint32(value: number, isLittleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, isLittleEndian);
  return bytes;
}
