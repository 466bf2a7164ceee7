/**
 * Reads captures as a stream, in constant memory: frames become rows of the engine where they lie.
 *
 * Two buffers in the WebAssembly memory, or more, take turns. While the records of one are scanned into rows, the next piece of the
 * file is read into the next one. What is left of a record at the end of a buffer is moved in front of the piece that follows it:
 *
 *   buffer A   |        front          | piece n                        … rec|
 *   buffer B   |                … rec  | ord … piece n + 1                   |
 *
 * so every record is whole in one buffer, and no frame is copied. A frame therefore stays where it is until `more` is called, or,
 * with n buffers, until it is called for the (n − 1)th time.
 *
 * Damage ends the capture: the frames before it are given first, then `damage` says what is wrong and at which byte.
 */
import { ROW, ROW_SIZE } from "../../dataplane/packet/index.js";
import { COMPRESSION_MAGIC_LENGTH, decompressed } from "./compression.js";
import { CaptureError, type CaptureErrorCode, systemReason } from "./errors.js";
import { EPB_LENGTH_MIN, FRAME_MAX, INTERFACE, PACKET_BLOCK_MAX, RECORD, STOP } from "./layout.js";
import { LINKTYPE_ETHERNET, linkTypeRefusal } from "./link-types.js";
import type { Memory } from "./memory.js";
import { isPcapMagic, PCAP_HEADER_LENGTH, type PcapHeader, readPcapHeader } from "./pcap.js";
import {
  BLOCK,
  BLOCK_LENGTH_MAX,
  BLOCK_LENGTH_MIN,
  type CaptureInterface,
  INTERFACE_LENGTH_MIN,
  isFinerThanMicroseconds,
  OPB,
  padded,
  readInterface,
  SECTION_LENGTH_MIN,
  SPB,
  sectionIsLittleEndian,
  sectionVersion,
  writeScannerInterface,
} from "./pcapng.js";
import { type Scanner, scannerOf } from "./scanner.js";
import { type ByteSource, inputName, openSource, ResumedSource } from "./source.js";

export type CaptureFormat = "pcap" | "pcapng";

export interface CaptureReaderOptions {
  /** Size of the pieces that are read; a buffer takes this much and half a megabyte for a record that straddles. */
  readonly chunkBytes?: number;
  /** How many buffers take turns, at least two. Frames stay valid until `more` was called one time less. */
  readonly buffers?: number;
  /** Keep the blocks of a pcapng file that are no packets, for a rewriter. */
  readonly keepsBlocks?: boolean;
}

/** A pcapng block that is no packet, as it stood in the file. */
export interface KeptBlock {
  readonly type: number;
  /** The address at which it stood: before every record of the buffer at a higher address. */
  readonly address: number;
  readonly isLittleEndian: boolean;
  readonly bytes: Uint8Array;
}

const CHUNK_BYTES = 4 * 1024 * 1024;
/** Room for the beginning of a straddling record. */
const FRONT_BYTES = PACKET_BLOCK_MAX;
const HEAD_BYTES = 65_536;
const INTERFACES_MAX = 65_536;

/**
 * Opens a capture file, a FIFO, or "-" for standard input, and reads as far as the first packet. Refuses with a CaptureError
 * what is no capture or not of Ethernet.
 */
export async function openCapture(
  path: string,
  memory: Memory,
  options: CaptureReaderOptions = {},
): Promise<CaptureReader> {
  const file = inputName(path);
  const source = await openSource(path);
  let plain: ByteSource = source;
  try {
    const head = await readHead(source, file);
    plain = decompressed(head, new ResumedSource(head, source), file);
    const reader = new CaptureReader(file, plain, memory, options);
    await reader.begin();
    return reader;
  } catch (error) {
    await plain.close();
    throw error;
  }
}

/** Enough of the beginning to know a compressed file. */
async function readHead(source: ByteSource, file: string): Promise<Uint8Array> {
  const head = new Uint8Array(HEAD_BYTES);
  let length = 0;
  while (length < COMPRESSION_MAGIC_LENGTH) {
    const count = await source
      .read(() => head.subarray(length))
      .catch((error: unknown) => {
        throw new CaptureError("CAPTURE_UNREADABLE", file, `cannot be read: ${systemReason(error)}`);
      });
    if (count === 0) break;
    length += count;
  }
  if (length === 0) throw new CaptureError("CAPTURE_EMPTY", file, "is empty");
  return head.subarray(0, length);
}

/** What became of the block at the cursor. */
type Step = "done" | "row" | "packet" | "more" | "damage";

/** A block too large for the buffers, collected piece by piece. */
interface LargeBlock {
  readonly type: number;
  readonly bytes: Uint8Array;
  readonly offset: number;
  filled: number;
}

export class CaptureReader {
  format: CaptureFormat = "pcap";
  /** All interfaces so far; a row's TAG is an index into them. A classic file counts as one interface. */
  readonly interfaces: CaptureInterface[] = [];
  /** Why the capture ended early; set once all frames before the damage were given. */
  damage: CaptureError | undefined;
  frameCount = 0;
  /** The file header of a classic capture, as read. */
  header: { readonly bytes: Uint8Array; readonly fields: PcapHeader } | undefined;
  /** Blocks kept since the last `more`, in the order of the file. */
  keptBlocks: KeptBlock[] = [];
  /** Section header and interfaces that were in force at the last `more`, for a rewriter that begins later. */
  sectionBlocks: KeptBlock[] = [];
  /** Where all frames lie, each whole within one of the buffers. */
  readonly buffers: { readonly begin: number; readonly end: number; readonly bytesEach: number };

  readonly #source: ByteSource;
  readonly #memory: Memory;
  readonly #scanner: Scanner;
  readonly #keepsBlocks: boolean;
  readonly #chunkBytes: number;
  /** Addresses at which the buffers' pieces begin; the front lies below. */
  readonly #pieces: readonly number[];
  #current = 0;
  #pending: Promise<number> | undefined;
  #isOver = false;

  /** The next record, and the end of what is in the buffer. */
  #cursor: number;
  #limit: number;
  /** Byte of the data that stands at the limit. */
  #limitOffset = 0;

  // pcapng: the section in force.
  #isLittleEndian = true;
  #hasSection = false;
  #faces = 0;
  #faceCapacity = 0;
  #faceCount = 0;
  #firstTag = 0;
  /** Nanoseconds of the last frame, low and high half, for simple packet blocks, which have no time of their own. */
  #lastTimeLow = 0;
  #lastTimeHigh = 0;
  #large: LargeBlock | undefined;
  #view: DataView;

  constructor(
    readonly file: string,
    source: ByteSource,
    memory: Memory,
    { chunkBytes = CHUNK_BYTES, buffers = 2, keepsBlocks = false }: CaptureReaderOptions,
  ) {
    this.#source = source;
    this.#memory = memory;
    this.#keepsBlocks = keepsBlocks;
    this.#chunkBytes = Math.max(chunkBytes, 4096);
    const size = FRONT_BYTES + this.#chunkBytes;
    const base = memory.allocate(buffers * size, 64);
    this.buffers = { begin: base, end: base + buffers * size, bytesEach: size };
    this.#pieces = Array.from({ length: buffers }, (_, index) => base + index * size + FRONT_BYTES);
    this.#cursor = this.#limit = base + FRONT_BYTES;
    this.#scanner = scannerOf(memory.memory);
    this.#view = new DataView(memory.memory.buffer);
  }

  /** Are there times in this capture that microseconds cannot hold? As far as its interfaces are known by now. */
  get isFinerThanMicroseconds(): boolean {
    return this.interfaces.some(({ resolution }) => isFinerThanMicroseconds(resolution));
  }

  /** Reads the file's header, and of pcapng all that stands before the first packet. Called once, by `openCapture`. */
  async begin(): Promise<void> {
    this.#readAhead();
    await this.#advanceTo(4);
    const bytes = this.#memory.bytes.subarray(this.#cursor, this.#limit);
    if (bytes.length >= 4 && isPcapMagic(bytes)) await this.#beginPcap();
    else if (bytes.length >= 4 && this.#viewNow().getUint32(this.#cursor, true) === BLOCK.SECTION)
      await this.#beginPcapng();
    else throw new CaptureError("CAPTURE_UNKNOWN_FORMAT", this.file, "is neither a pcap nor a pcapng capture");
  }

  async #beginPcap(): Promise<void> {
    await this.#advanceTo(PCAP_HEADER_LENGTH);
    if (this.#limit - this.#cursor < PCAP_HEADER_LENGTH)
      throw new CaptureError("CAPTURE_TRUNCATED", this.file, "ends inside the file header, at byte 0", 0);
    const bytes = this.#memory.bytes.slice(this.#cursor, this.#cursor + PCAP_HEADER_LENGTH);
    const fields = readPcapHeader(bytes)!;
    if (fields.versionMajor !== 2 || fields.versionMinor !== 4) {
      const version = `${fields.versionMajor}.${fields.versionMinor}`;
      throw new CaptureError("CAPTURE_VERSION", this.file, `is a pcap file of version ${version}; only 2.4 is read`);
    }
    if (fields.linkType !== LINKTYPE_ETHERNET)
      throw new CaptureError("CAPTURE_LINK_TYPE", this.file, linkTypeRefusal(fields.linkType));
    if (fields.fcsLength > 0) throw new CaptureError("CAPTURE_FCS", this.file, FCS_REFUSAL);
    this.header = { bytes, fields };
    this.interfaces.push({
      name: "",
      linkType: LINKTYPE_ETHERNET,
      snaplen: fields.snaplen,
      resolution: fields.unit === 1 ? 9 : 6,
      offsetSeconds: 0n,
      fcsLength: 0,
    });
    this.#cursor += PCAP_HEADER_LENGTH;
  }

  async #beginPcapng(): Promise<void> {
    this.format = "pcapng";
    let step: Step = "done";
    while (step === "done" || step === "more") {
      if (step === "more") {
        if (!(await this.#advance())) break; // `more` will say what is missing
        // What was kept stood in buffers that are given up, and comes before all records.
        this.keptBlocks = this.keptBlocks.map((block) => ({ ...block, address: 0 }));
      }
      step = this.#large ? this.#collect() : this.#block(0);
    }
    if (step === "packet") this.#checkFirstPacket();
    if (!this.#hasSection && !this.damage) {
      this.damage = new CaptureError("CAPTURE_TRUNCATED", this.file, "ends inside the section header, at byte 0", 0);
    }
    if (this.damage) throw this.damage;
  }

  /** Refuses a capture whose very first packet cannot be read right away, before anybody makes an output for it. */
  #checkFirstPacket(): void {
    const view = this.#viewNow();
    const type = view.getUint32(this.#cursor, this.#isLittleEndian);
    const id = type === BLOCK.ENHANCED ? view.getUint32(this.#cursor + 8, this.#isLittleEndian) : 0;
    if (type === BLOCK.ENHANCED && id < this.#faceCount && !this.#isReadable(id)) this.#refuseInterface(id);
  }

  /**
   * Scans records into rows from `firstRow` on: place, length, time, missing bytes, source and tag of each. Stops after
   * `rowsMax` rows or before more than `bytesMax` bytes of frames (but gives at least one). Returns the number of rows; 0
   * means that `more` must be awaited. The frames stay valid until then.
   */
  fill(rows: number, firstRow: number, rowsMax: number, bytesMax: number): number {
    if (this.damage) return 0;
    const first = rows + firstRow * ROW_SIZE;
    const count = this.header
      ? this.#fillRecords(this.header.fields, first, rowsMax, bytesMax)
      : this.#fillBlocks(first, rowsMax, bytesMax);
    this.frameCount += count;
    return count;
  }

  #fillRecords(fields: PcapHeader, row: number, rowsMax: number, bytesMax: number): number {
    const { isLittleEndian, recordLength, unit } = fields;
    const swapped = isLittleEndian ? 0 : 1;
    const scanner = this.#scanner;
    const count = scanner.scanRecords(
      this.#cursor,
      this.#limit,
      row,
      rowsMax,
      bytesMax,
      recordLength,
      unit,
      swapped,
      0,
    );
    this.#cursor = scanner.cursor.value >>> 0;
    if (scanner.stop.value === STOP.BAD) {
      const captured = this.#viewNow().getUint32(this.#cursor + RECORD.CAPTURED, isLittleEndian);
      this.#damaged("CAPTURE_LENGTH", `a record claims an impossible ${captured} captured bytes`);
    }
    return count;
  }

  #fillBlocks(first: number, rowsMax: number, bytesMax: number): number {
    if (this.#large && this.#collect() !== "done") return 0;
    const start = this.#cursor;
    const scanner = this.#scanner;
    let count = 0;
    while (count < rowsMax) {
      const bytesLeft = bytesMax - (this.#cursor - start);
      if (count > 0 && bytesLeft < FRAME_MAX) break; // the next frame might be too much
      const row = first + count * ROW_SIZE;
      const found = scanner.scanBlocks(
        this.#cursor,
        this.#limit,
        row,
        rowsMax - count,
        bytesLeft,
        this.#faces,
        this.#faceCount,
        this.#firstTag,
        this.#isLittleEndian ? 0 : 1,
      );
      this.#cursor = scanner.cursor.value >>> 0;
      count += found;
      if (found > 0) this.#rememberTime(row + (found - 1) * ROW_SIZE);
      const stop = scanner.stop.value;
      if (stop === STOP.BAD) this.#explainPacketBlock();
      else if (stop === STOP.LINK)
        this.#refuseInterface(this.#viewNow().getUint32(this.#cursor + 8, this.#isLittleEndian));
      if (stop !== STOP.OTHER || count >= rowsMax) break;
      if (count > 0 && bytesMax - (this.#cursor - start) < FRAME_MAX) break;
      const step = this.#block(first + count * ROW_SIZE);
      if (step === "row") this.#rememberTime(first + count++ * ROW_SIZE);
      else if (step !== "done") break;
    }
    return count;
  }

  /**
   * Waits for the next piece of the file. False at the end of the capture, or of what can be read of it: see `damage`. With
   * two buffers, all frames given before become invalid.
   */
  async more(): Promise<boolean> {
    if (this.damage) return false;
    this.#foldKeptBlocks();
    if (!this.#isOver && (await this.#advance())) return true;
    if (!this.damage) this.#checkEnd();
    return false;
  }

  /** At the end of the data there must be nothing left over. */
  #checkEnd(): void {
    const rest = this.#limit - this.#cursor;
    if (this.#large) {
      const { offset, bytes, filled } = this.#large;
      this.#damaged("CAPTURE_TRUNCATED", `ends after ${filled} of ${bytes.length} bytes of a block`, offset);
    } else if (rest > 0) {
      const kind = this.format === "pcap" ? "record" : "block";
      this.#damaged("CAPTURE_TRUNCATED", `ends inside a ${kind}, ${rest} bytes after its beginning`);
    }
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#source.close();
    await this.#pending?.catch(() => 0);
  }

  // Buffers.

  #readAhead(): void {
    const at = this.#pieces[this.#next()]!;
    this.#pending = this.#source.read(() => this.#memory.bytes.subarray(at, at + this.#chunkBytes));
    this.#pending.catch(() => {}); // looked at when it is awaited
  }

  /** Goes on to the other buffer, with what is left of this one in front. False at the end and on a failed read. */
  async #advance(): Promise<boolean> {
    let count: number;
    try {
      count = this.#isOver ? 0 : await this.#pending!;
    } catch (error) {
      const offset = this.#limitOffset;
      this.damage =
        error instanceof CaptureError
          ? new CaptureError(error.code, this.file, `${withoutFile(error)}, at byte ${offset}`, offset)
          : this.#failedRead(error, offset);
      this.#isOver = true;
      return false;
    }
    if (count === 0) {
      this.#isOver = true;
      return false;
    }
    const next = this.#next();
    const piece = this.#pieces[next]!;
    const left = this.#limit - this.#cursor;
    const cursor = piece - left;
    this.#memory.bytes.copyWithin(cursor, this.#cursor, this.#limit);
    this.#cursor = cursor;
    this.#limit = piece + count;
    this.#limitOffset += count;
    this.#current = next;
    this.#readAhead();
    return true;
  }

  #next(): number {
    return (this.#current + 1) % this.#pieces.length;
  }

  #failedRead(error: unknown, offset: number): CaptureError {
    const what = `cannot be read on: ${systemReason(error)}, at byte ${offset}`;
    return new CaptureError("CAPTURE_UNREADABLE", this.file, what, offset);
  }

  async #advanceTo(length: number): Promise<void> {
    while (this.#limit - this.#cursor < length && (await this.#advance()));
    if (this.damage) throw this.damage;
  }

  #offsetOf(address: number): number {
    return this.#limitOffset - (this.#limit - address);
  }

  #viewNow(): DataView {
    if (this.#view.buffer !== this.#memory.memory.buffer) this.#view = new DataView(this.#memory.memory.buffer);
    return this.#view;
  }

  #damaged(code: CaptureErrorCode, what: string, offset = this.#offsetOf(this.#cursor)): void {
    this.damage = new CaptureError(code, this.file, `${what}, at byte ${offset}`, offset);
  }

  // Blocks that the scanner leaves to us.

  /** Handles the block at the cursor. With `row` 0, packets are left where they are. */
  #block(row: number): Step {
    const at = this.#cursor;
    const available = this.#limit - at;
    if (available < BLOCK_LENGTH_MIN) return "more";
    const view = this.#viewNow();
    const isSection = view.getUint32(at, true) === BLOCK.SECTION;
    const isLittleEndian = isSection ? sectionIsLittleEndian(view, at) : this.#isLittleEndian;
    if (isLittleEndian === undefined) return this.#corrupt("a section header has a wrong byte-order magic");
    const type = view.getUint32(at, isLittleEndian);
    const length = view.getUint32(at + 4, isLittleEndian);
    if (length < lengthMin(type) || length % 4 !== 0 || length > BLOCK_LENGTH_MAX) return this.#badLength(length);
    if (length > FRONT_BYTES) {
      if (isSection || type === BLOCK.INTERFACE || isPacket(type)) return this.#badLength(length);
      this.#large = { type, bytes: new Uint8Array(length), offset: this.#offsetOf(at), filled: 0 };
      return this.#collect();
    }
    if (available < length) return "more";
    if (view.getUint32(at + length - 4, isLittleEndian) !== length)
      return this.#corrupt("the two lengths of a block differ");

    if (type === BLOCK.SECTION) {
      const [major, minor] = sectionVersion(view, at, isLittleEndian);
      if (major !== 1) {
        this.#damaged("CAPTURE_VERSION", `is a pcapng file of version ${major}.${minor}; only 1.x is read`);
        return "damage";
      }
      this.#beginSection(isLittleEndian);
    } else if (type === BLOCK.INTERFACE) {
      if (!this.#addInterface(readInterface(view, at, length, isLittleEndian))) return "damage";
    } else if (isPacket(type)) {
      if (row === 0) return "packet";
      if (!this.#packetRow(type, at, length, row)) return "damage";
    }
    if (this.#keepsBlocks && !isPacket(type)) {
      const bytes = this.#memory.bytes.slice(at, at + length);
      this.keptBlocks.push({ type, address: at, isLittleEndian, bytes });
    }
    this.#cursor = at + length;
    return isPacket(type) ? "row" : "done";
  }

  #beginSection(isLittleEndian: boolean): void {
    this.#hasSection = true;
    this.#isLittleEndian = isLittleEndian;
    this.#firstTag = this.interfaces.length;
    this.#faceCount = 0;
  }

  #addInterface(face: CaptureInterface): boolean {
    if (this.interfaces.length === INTERFACES_MAX) {
      this.#damaged("CAPTURE_CORRUPT", `describes more than ${INTERFACES_MAX} interfaces`);
      return false;
    }
    if (this.#faceCount === this.#faceCapacity) {
      const capacity = Math.max(16, 2 * this.#faceCapacity);
      const faces = this.#memory.allocate(capacity * INTERFACE.SIZE);
      this.#memory.bytes.copyWithin(faces, this.#faces, this.#faces + this.#faceCount * INTERFACE.SIZE);
      this.#faces = faces;
      this.#faceCapacity = capacity;
    }
    const at = this.#faces + this.#faceCount * INTERFACE.SIZE;
    const isReadable = face.linkType === LINKTYPE_ETHERNET && face.fcsLength === 0;
    writeScannerInterface(this.#viewNow(), at, face, isReadable);
    this.interfaces.push(face);
    this.#faceCount++;
    return true;
  }

  #isReadable(id: number): boolean {
    return this.#viewNow().getUint32(this.#faces + id * INTERFACE.SIZE + INTERFACE.FLAGS, true) === 1;
  }

  #refuseInterface(id: number): void {
    const face = this.interfaces[this.#firstTag + id]!;
    if (face.linkType === LINKTYPE_ETHERNET) this.#damaged("CAPTURE_FCS", FCS_REFUSAL);
    else this.#damaged("CAPTURE_LINK_TYPE", `interface ${id}: ${linkTypeRefusal(face.linkType)}`);
  }

  /** A simple or obsolete packet block as a row; false if it is damaged. */
  #packetRow(type: number, at: number, length: number, row: number): boolean {
    const view = this.#viewNow();
    const isSimple = type === BLOCK.SIMPLE;
    const id = isSimple ? 0 : view.getUint16(at + OPB.INTERFACE, this.#isLittleEndian);
    if (id >= this.#faceCount) return this.#explainPacketBlock();
    if (!this.#isReadable(id)) {
      this.#refuseInterface(id);
      return false;
    }
    const original = view.getUint32(at + (isSimple ? SPB.ORIGINAL : OPB.ORIGINAL), this.#isLittleEndian);
    // A simple packet block does not tell how much was captured: all, or what the interface's limit left (§4.4).
    const snaplen = this.interfaces[this.#firstTag + id]!.snaplen;
    const captured = isSimple
      ? Math.min(original, snaplen === 0 ? original : snaplen)
      : view.getUint32(at + OPB.CAPTURED, this.#isLittleEndian);
    const overhead = isSimple ? SPB.LENGTH_MIN : OPB.LENGTH_MIN;
    if (captured > FRAME_MAX || length < overhead + padded(captured)) {
      this.#damaged("CAPTURE_LENGTH", `a packet block of ${length} bytes claims ${captured} captured bytes`);
      return false;
    }
    view.setUint32(row + ROW.OFFSET, at + (isSimple ? SPB.FRAME : OPB.FRAME), true);
    view.setUint32(row + ROW.LENGTH, captured, true);
    view.setUint32(row + ROW.HEADROOM, 0, true);
    view.setUint32(row + ROW.MISSING, Math.max(0, original - captured), true);
    view.setUint32(row + ROW.SOURCE, at, true);
    view.setUint32(row + ROW.TAG, this.#firstTag + id, true);
    if (isSimple) {
      view.setUint32(row + ROW.TIMESTAMP, this.#lastTimeLow, true);
      view.setUint32(row + ROW.TIMESTAMP + 4, this.#lastTimeHigh, true);
    } else {
      const high = view.getUint32(at + OPB.TIME, this.#isLittleEndian);
      const low = view.getUint32(at + OPB.TIME + 4, this.#isLittleEndian);
      const time = this.#scanner.toNanoseconds(high, low, this.#faces + id * INTERFACE.SIZE);
      view.setBigInt64(row + ROW.TIMESTAMP, time, true);
    }
    return true;
  }

  #rememberTime(row: number): void {
    const view = this.#viewNow();
    this.#lastTimeLow = view.getUint32(row + ROW.TIMESTAMP, true);
    this.#lastTimeHigh = view.getUint32(row + ROW.TIMESTAMP + 4, true);
  }

  /** Says what is wrong with the packet block at the cursor, which does not hold together. */
  #explainPacketBlock(): false {
    const view = this.#viewNow();
    const at = this.#cursor;
    const type = view.getUint32(at, this.#isLittleEndian);
    const length = view.getUint32(at + 4, this.#isLittleEndian);
    if (length % 4 !== 0 || length < lengthMin(type) || length > PACKET_BLOCK_MAX) {
      this.#badLength(length);
      return false;
    }
    const captured = type === BLOCK.SIMPLE ? 0 : view.getUint32(at + OPB.CAPTURED, this.#isLittleEndian);
    if (type === BLOCK.ENHANCED && (captured > FRAME_MAX || length < EPB_LENGTH_MIN + padded(captured))) {
      this.#damaged("CAPTURE_LENGTH", `a packet block of ${length} bytes claims ${captured} captured bytes`);
      return false;
    }
    const id =
      type === BLOCK.ENHANCED
        ? view.getUint32(at + 8, this.#isLittleEndian)
        : type === BLOCK.OBSOLETE
          ? view.getUint16(at + OPB.INTERFACE, this.#isLittleEndian)
          : 0;
    if (id >= this.#faceCount) this.#corrupt(`a packet block names interface ${id}, which is not described`);
    else this.#corrupt("the two lengths of a block differ");
    return false;
  }

  #corrupt(what: string): Step {
    this.#damaged("CAPTURE_CORRUPT", what);
    return "damage";
  }

  #badLength(length: number): Step {
    this.#damaged("CAPTURE_LENGTH", `a block claims an impossible length of ${length} bytes`);
    return "damage";
  }

  /** Takes what there is of a block that is larger than the buffers. */
  #collect(): Step {
    const large = this.#large!;
    const { bytes } = large;
    const part = Math.min(bytes.length - large.filled, this.#limit - this.#cursor);
    bytes.set(this.#memory.bytes.subarray(this.#cursor, this.#cursor + part), large.filled);
    large.filled += part;
    this.#cursor += part;
    if (large.filled < bytes.length) return "more";
    this.#large = undefined;
    if (new DataView(bytes.buffer).getUint32(bytes.length - 4, this.#isLittleEndian) !== bytes.length) {
      this.#damaged("CAPTURE_CORRUPT", "the two lengths of a block differ", large.offset);
      return "damage";
    }
    // It ends where the next record begins, so it comes before that one and after all others.
    if (this.#keepsBlocks) {
      const { type } = large;
      this.keptBlocks.push({ type, address: this.#cursor - 1, isLittleEndian: this.#isLittleEndian, bytes });
    }
    return "done";
  }

  /** The blocks of the buffer that is given up: the section and its interfaces are remembered, the rest is past. */
  #foldKeptBlocks(): void {
    for (const block of this.keptBlocks) {
      if (block.type === BLOCK.SECTION) this.sectionBlocks = [block];
      else if (block.type === BLOCK.INTERFACE) this.sectionBlocks.push(block);
    }
    this.keptBlocks = [];
  }
}

const FCS_REFUSAL = "its frames end with a frame check sequence; only frames without are read";

const isPacket = (type: number): boolean => type === BLOCK.ENHANCED || type === BLOCK.SIMPLE || type === BLOCK.OBSOLETE;

function lengthMin(type: number): number {
  switch (type) {
    case BLOCK.SECTION:
      return SECTION_LENGTH_MIN;
    case BLOCK.INTERFACE:
      return INTERFACE_LENGTH_MIN;
    case BLOCK.ENHANCED:
      return EPB_LENGTH_MIN;
    case BLOCK.OBSOLETE:
      return OPB.LENGTH_MIN;
    case BLOCK.SIMPLE:
      return SPB.LENGTH_MIN;
    default:
      return BLOCK_LENGTH_MIN;
  }
}

const withoutFile = (error: CaptureError): string => error.message.slice(error.file.length + 2);
