/**
 * Blocks and options of pcapng (draft-ietf-opsawg-pcapng), as far as they are handled one by one. Enhanced packet blocks, the
 * common case, go through the WebAssembly scanner instead.
 *
 *   | type | total length | body, padded to 4 bytes … | total length |
 *
 * All numbers are in the byte order of the section; its header block tells it by a magic word. Readers must skip blocks and
 * options that they do not know (§3.1, §3.5).
 */
import { EPB, EPB_FRAME, INTERFACE } from "./layout.js";

export const BLOCK = {
  SECTION: 0x0a0d0d0a,
  INTERFACE: 1,
  /** The obsolete packet block (appendix A). */
  OBSOLETE: 2,
  SIMPLE: 3,
  NAMES: 4,
  STATISTICS: 5,
  ENHANCED: EPB,
} as const;
export const BLOCK_LENGTH_MIN = 12;
/** Larger blocks are taken for damage. */
export const BLOCK_LENGTH_MAX = 16 * 1024 * 1024;

const BYTE_ORDER = 8;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const VERSION_MAJOR = 12;
const VERSION_MINOR = 14;
/** Length of the section without its header block, 64 bits; all ones if not told. */
export const SECTION_LENGTH = 16;
export const SECTION_OPTIONS = 24;
export const SECTION_LENGTH_MIN = 28;

const INTERFACE_LINK_TYPE = 8;
export const INTERFACE_SNAPLEN = 12;
const INTERFACE_OPTIONS = 16;
export const INTERFACE_LENGTH_MIN = 20;

/** A simple packet block (§4.4): original length, then the frame. No time, always interface 0. */
export const SPB = { ORIGINAL: 8, FRAME: 12, LENGTH_MIN: 16 } as const;
/** The obsolete packet block: as the enhanced one, but with a drop count beside a short interface id. */
export const OPB = { INTERFACE: 8, TIME: 12, CAPTURED: 20, ORIGINAL: 24, FRAME: 28, LENGTH_MIN: 32 } as const;

export const OPTION = {
  END: 0,
  COMMENT: 1,
  IF_NAME: 2,
  IF_DESCRIPTION: 3,
  IF_TSRESOL: 9,
  IF_FCSLEN: 13,
  IF_TSOFFSET: 14,
  EPB_FLAGS: 2,
  EPB_PACKETID: 5,
  SHB_USERAPPL: 4,
} as const;

export const padded = (length: number): number => (length + 3) & ~3;

/** The byte order of a section whose header block begins at `at`; undefined if it is none. */
export function sectionIsLittleEndian(view: DataView, at: number): boolean | undefined {
  if (view.getUint32(at + BYTE_ORDER, true) === BYTE_ORDER_MAGIC) return true;
  if (view.getUint32(at + BYTE_ORDER, false) === BYTE_ORDER_MAGIC) return false;
  return undefined;
}

export const sectionVersion = (view: DataView, at: number, isLittleEndian: boolean): readonly [number, number] => [
  view.getUint16(at + VERSION_MAJOR, isLittleEndian),
  view.getUint16(at + VERSION_MINOR, isLittleEndian),
];

/** An interface as its description block tells it. */
export interface CaptureInterface {
  readonly name: string;
  readonly linkType: number;
  /** 0: no limit. */
  readonly snaplen: number;
  /** if_tsresol: 6 is microseconds; with the top bit set, a negative power of two. */
  readonly resolution: number;
  readonly offsetSeconds: bigint;
  readonly fcsLength: number;
}

const MICROSECONDS = 6;

/** The interface description block of `length` bytes at `at`. */
export function readInterface(view: DataView, at: number, length: number, isLittleEndian: boolean): CaptureInterface {
  let name = "";
  let resolution = MICROSECONDS;
  let offsetSeconds = 0n;
  let fcsLength = 0;
  for (const [code, from, size] of options(view, at + INTERFACE_OPTIONS, at + length - 4, isLittleEndian)) {
    if (code === OPTION.IF_NAME) name = text(view, from, size);
    else if (code === OPTION.IF_TSRESOL && size >= 1) resolution = view.getUint8(from);
    else if (code === OPTION.IF_TSOFFSET && size >= 8) offsetSeconds = view.getBigInt64(from, isLittleEndian);
    else if (code === OPTION.IF_FCSLEN && size >= 1) fcsLength = view.getUint8(from);
  }
  return {
    name,
    linkType: view.getUint16(at + INTERFACE_LINK_TYPE, isLittleEndian),
    snaplen: view.getUint32(at + INTERFACE_SNAPLEN, isLittleEndian),
    resolution,
    offsetSeconds,
    fcsLength,
  };
}

/**
 * Does an interface with this if_tsresol tell times that microseconds cannot hold? One test for both kinds, because 2^-6
 * seconds are a whole number of microseconds and 2^-7 are not.
 */
export const isFinerThanMicroseconds = (resolution: number): boolean => (resolution & 0x7f) > MICROSECONDS;

/** Writes what the scanner must know of an interface (INTERFACE of layout.ts). */
export function writeScannerInterface(view: DataView, at: number, face: CaptureInterface, isReadable: boolean): void {
  const isBinary = (face.resolution & 0x80) !== 0;
  const exponent = face.resolution & 0x7f;
  // Beyond 10^-28 a 64-bit count of units is less than a nanosecond in all.
  const multiplier = !isBinary && exponent <= 9 ? 10n ** BigInt(9 - exponent) : 0n;
  const divisor = !isBinary && exponent > 9 ? 10n ** BigInt(Math.min(exponent - 9, 19)) : 0n;
  view.setBigUint64(at + INTERFACE.MULTIPLIER, multiplier, true);
  view.setBigUint64(at + INTERFACE.DIVISOR, divisor, true);
  view.setBigUint64(at + INTERFACE.OFFSET_NS, BigInt.asUintN(64, face.offsetSeconds * 1_000_000_000n), true);
  view.setUint32(at + INTERFACE.SHIFT, isBinary ? exponent : 64, true);
  view.setUint32(at + INTERFACE.FLAGS, isReadable ? 1 : 0, true);
}

/** Options between `at` and `end` as (code, place of the value, its length); stops at what is not whole. */
export function* options(
  view: DataView,
  at: number,
  end: number,
  isLittleEndian: boolean,
): Generator<readonly [number, number, number]> {
  while (at + 4 <= end) {
    const code = view.getUint16(at, isLittleEndian);
    const length = view.getUint16(at + 2, isLittleEndian);
    if (code === OPTION.END || at + 4 + length > end) return;
    yield [code, at + 4, length];
    at += 4 + padded(length);
  }
}

const DECODER = new TextDecoder();
const ENCODER = new TextEncoder();

export const text = (view: DataView, at: number, length: number): string =>
  DECODER.decode(new Uint8Array(view.buffer, view.byteOffset + at, length).slice());

// What follows writes new blocks, in little-endian order.

type Option = readonly [code: number, value: Uint8Array];

const textOption = (code: number, value: string): Option => [code, utf8(value)];

/** At most what an option can hold, cut between characters. */
function utf8(value: string): Uint8Array {
  const bytes = new Uint8Array(65_535);
  return bytes.subarray(0, ENCODER.encodeInto(value, bytes).written);
}

const optionsLength = (list: readonly Option[]): number =>
  list.length === 0 ? 0 : list.reduce((sum, [, value]) => sum + 4 + padded(value.length), 4);

function writeOptions(block: Uint8Array, view: DataView, at: number, list: readonly Option[]): void {
  for (const [code, value] of list) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    block.set(value, at + 4);
    at += 4 + padded(value.length);
  }
}

function newBlock(type: number, bodyLength: number, list: readonly Option[]): readonly [Uint8Array, DataView] {
  const length = 12 + padded(bodyLength) + optionsLength(list);
  const block = new Uint8Array(length);
  const view = new DataView(block.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  view.setUint32(length - 4, length, true);
  writeOptions(block, view, 8 + padded(bodyLength), list);
  return [block, view];
}

/** A section header block that names this program. */
export function sectionBlock(): Uint8Array {
  const [block, view] = newBlock(BLOCK.SECTION, 16, [textOption(OPTION.SHB_USERAPPL, "hnv")]);
  view.setUint32(BYTE_ORDER, BYTE_ORDER_MAGIC, true);
  view.setUint16(VERSION_MAJOR, 1, true);
  view.setBigInt64(SECTION_LENGTH, -1n, true);
  return block;
}

/** An Ethernet interface. */
export function interfaceBlock(name: string, description: string, isNanoseconds: boolean, snaplen: number): Uint8Array {
  const list: Option[] = [];
  if (name) list.push(textOption(OPTION.IF_NAME, name));
  if (description) list.push(textOption(OPTION.IF_DESCRIPTION, description));
  list.push([OPTION.IF_TSRESOL, Uint8Array.of(isNanoseconds ? 9 : MICROSECONDS)]);
  const [block, view] = newBlock(BLOCK.INTERFACE, 8, list);
  view.setUint16(INTERFACE_LINK_TYPE, 1, true);
  view.setUint32(INTERFACE_SNAPLEN, snaplen, true);
  return block;
}

export interface PacketDetails {
  readonly comments?: readonly string[];
  /** epb_flags: which way the frame went at its interface. */
  readonly direction?: "inbound" | "outbound";
  /** epb_packetid: the same on every block that shows the same packet. */
  readonly packetId?: bigint;
}

/** An enhanced packet block; `time` is in the interface's units. */
export function packetBlock(
  frame: Uint8Array,
  interfaceId: number,
  time: bigint,
  originalLength: number,
  { comments = [], direction, packetId }: PacketDetails,
): Uint8Array {
  const list: Option[] = comments.map((comment) => textOption(OPTION.COMMENT, comment));
  if (direction) list.push([OPTION.EPB_FLAGS, Uint8Array.of(direction === "inbound" ? 1 : 2, 0, 0, 0)]);
  if (packetId !== undefined) {
    const id = new Uint8Array(8);
    new DataView(id.buffer).setBigUint64(0, BigInt.asUintN(64, packetId), true);
    list.push([OPTION.EPB_PACKETID, id]);
  }
  const [block, view] = newBlock(EPB, EPB_FRAME - 8 + frame.length, list);
  writePacketHeader(view, 0, interfaceId, time, frame.length, originalLength);
  block.set(frame, EPB_FRAME);
  return block;
}

/** The fields of an enhanced packet block behind type and length. */
export function writePacketHeader(
  view: DataView,
  at: number,
  interfaceId: number,
  time: bigint,
  captured: number,
  original: number,
): void {
  view.setUint32(at + 8, interfaceId, true);
  view.setUint32(at + 12, Number((time >> 32n) & 0xffff_ffffn), true);
  view.setUint32(at + 16, Number(time & 0xffff_ffffn), true);
  view.setUint32(at + 20, captured, true);
  view.setUint32(at + 24, original, true);
}

/** Comments of the packet block at `at`, of `length` bytes. */
export function packetComments(view: DataView, at: number, length: number, isLittleEndian: boolean): string[] {
  const type = view.getUint32(at, isLittleEndian);
  if (type !== BLOCK.ENHANCED && type !== BLOCK.OBSOLETE) return [];
  const from = at + EPB_FRAME + padded(view.getUint32(at + OPB.CAPTURED, isLittleEndian));
  const comments: string[] = [];
  for (const [code, value, size] of options(view, from, at + length - 4, isLittleEndian))
    if (code === OPTION.COMMENT) comments.push(text(view, value, size));
  return comments;
}
