/**
 * The file header of classic pcap (draft-ietf-opsawg-pcap §4).
 *
 *   0       4      6      8         12        16        20                    24
 *   | magic | major| minor| reserved| reserved| snaplen | FCS, link type       | records …
 *
 * The magic number tells the byte order of all headers and the unit of the fractions of seconds. A third magic number
 * marks the "modified" files of early Linux (Kuznetzov's patch), whose record headers are eight bytes longer.
 */
import { MODIFIED_RECORD_LENGTH, RECORD } from "./layout.js";

export const PCAP_HEADER_LENGTH = 24;
export const PCAP_SNAPLEN = 16;
const VERSION_MAJOR = 4;
const VERSION_MINOR = 6;
const NETWORK = 20;

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const MAGIC_MODIFIED = 0xa1b2cd34;
/** Bit 26 of the last word: the upper four bits give the length of a frame check sequence. */
const FCS_PRESENT = 0x0400_0000;

export interface PcapHeader {
  /** Numbers stand in little-endian order. */
  readonly isLittleEndian: boolean;
  /** Nanoseconds of one step of the fraction: 1000 or 1. */
  readonly unit: 1 | 1000;
  readonly recordLength: number;
  readonly versionMajor: number;
  readonly versionMinor: number;
  readonly snaplen: number;
  readonly linkType: number;
  /** Length of the frame check sequence in units of two bytes, if the header says one; else 0. */
  readonly fcsLength: number;
}

/** The header if these bytes, at least 24, begin a pcap file. */
export function readPcapHeader(bytes: Uint8Array): PcapHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const isLittleEndian of [true, false]) {
    const magic = view.getUint32(0, isLittleEndian);
    if (magic !== MAGIC_MICROSECONDS && magic !== MAGIC_NANOSECONDS && magic !== MAGIC_MODIFIED) continue;
    const network = view.getUint32(NETWORK, isLittleEndian);
    return {
      isLittleEndian,
      unit: magic === MAGIC_NANOSECONDS ? 1 : 1000,
      recordLength: magic === MAGIC_MODIFIED ? MODIFIED_RECORD_LENGTH : RECORD.LENGTH,
      versionMajor: view.getUint16(VERSION_MAJOR, isLittleEndian),
      versionMinor: view.getUint16(VERSION_MINOR, isLittleEndian),
      snaplen: view.getUint32(PCAP_SNAPLEN, isLittleEndian),
      linkType: network & 0xffff,
      fcsLength: network & FCS_PRESENT ? network >>> 28 : 0,
    };
  }
  return undefined;
}

/** Do these bytes, at least four, begin like a pcap file? */
export function isPcapMagic(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 4);
  return [true, false].some((isLittleEndian) =>
    [MAGIC_MICROSECONDS, MAGIC_NANOSECONDS, MAGIC_MODIFIED].includes(view.getUint32(0, isLittleEndian)),
  );
}

/** The header of a new file, little-endian, Ethernet. */
export function pcapHeader(isNanoseconds: boolean, snaplen: number): Uint8Array {
  const bytes = new Uint8Array(PCAP_HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, isNanoseconds ? MAGIC_NANOSECONDS : MAGIC_MICROSECONDS, true);
  view.setUint16(VERSION_MAJOR, 2, true);
  view.setUint16(VERSION_MINOR, 4, true);
  view.setUint32(PCAP_SNAPLEN, snaplen, true);
  view.setUint32(NETWORK, 1, true);
  return bytes;
}
