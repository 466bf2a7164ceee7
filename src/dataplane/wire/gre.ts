/**
 * The general GRE header, version 0: RFC 2784 with the key and sequence number of RFC 2890.
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-+-+-+-+---------+-------+-----+-------------------------------+
 *     |C|R|K|S|     reserved    | ver |         protocol type         |
 *     +-+-+-+-+---------+-------+-----+-------------------------------+
 *     |      checksum (if C)          |       reserved (if C)         |
 *     +-------------------------------+-------------------------------+
 *     |                          key (if K)                           |
 *     +---------------------------------------------------------------+
 *     |                    sequence number (if S)                     |
 *     +---------------------------------------------------------------+
 *
 * NVGRE is the special case with K alone, see `nvgre.ts`; this file reads what other senders put on protocol 47.
 */
import { Reason } from "../drop-reasons.js";
import { setU16, setU32, u16, u32 } from "./bytes.js";
import { checksum, checksumIsRight } from "./checksum.js";

/** Without optional fields. */
export const GRE_LENGTH = 4;
/** With a key and nothing else. */
export const GRE_KEYED_LENGTH = 8;
export const GRE_CHECKSUM_PRESENT = 0x8000;
/** R of RFC 1701, reserved since. */
export const GRE_ROUTING_PRESENT = 0x4000;
export const GRE_KEY_PRESENT = 0x2000;
export const GRE_SEQUENCE_PRESENT = 0x1000;
export const GRE_VERSION_BITS = 0x0007;
/** Bits 1, 4 and 5 of RFC 2784 §2.3: a receiver that does not know RFC 1701 discards the packet. Bits 6–12 are ignored. */
export const GRE_REFUSED_BITS = 0x4c00;

const FLAGS_VERSION = 0;
const PROTOCOL = 2;
const OPTIONAL = 4;

/** Is there a version 0 GRE header at `at`, with all its optional fields before `end`? Any payload protocol will do. */
export function checkGre(frame: Uint8Array, at: number, end: number): Reason {
  if (end - at < GRE_LENGTH) return Reason.RX_GRE_SHORT;
  const flags = greFlagsAt(frame, at);
  if (flags & GRE_VERSION_BITS) return Reason.RX_GRE_VERSION; // RFC 2784 §2.3.1
  if (flags & GRE_REFUSED_BITS) return Reason.RX_GRE_FLAGS;
  return end - at < greHeaderLength(flags) ? Reason.RX_GRE_SHORT : Reason.NONE;
}

/** The first 16 bits: flags, reserved bits, version. */
export const greFlagsAt = (frame: Uint8Array, at: number): number => u16(frame, at + FLAGS_VERSION);
export const greVersionAt = (frame: Uint8Array, at: number): number => greFlagsAt(frame, at) & GRE_VERSION_BITS;
/** The payload's EtherType (RFC 2784 §2.4). */
export const greProtocolAt = (frame: Uint8Array, at: number): number => u16(frame, at + PROTOCOL);

/** Length of a header with these flags (RFC 2890 §2): four octets, and four for each optional field. */
export const greHeaderLength = (flags: number): number =>
  GRE_LENGTH +
  (flags & GRE_CHECKSUM_PRESENT ? 4 : 0) +
  (flags & GRE_KEY_PRESENT ? 4 : 0) +
  (flags & GRE_SEQUENCE_PRESENT ? 4 : 0);
export const greLengthAt = (frame: Uint8Array, at: number): number => greHeaderLength(greFlagsAt(frame, at));

/** The checksum field; null unless C is set. */
export const greChecksumAt = (frame: Uint8Array, at: number): number | null =>
  greFlagsAt(frame, at) & GRE_CHECKSUM_PRESENT ? u16(frame, at + OPTIONAL) : null;
/** The key; null unless K is set. */
export function greKeyAt(frame: Uint8Array, at: number): number | null {
  const flags = greFlagsAt(frame, at);
  return flags & GRE_KEY_PRESENT ? u32(frame, at + greHeaderLength(flags & GRE_CHECKSUM_PRESENT)) : null;
}
/** The sequence number; null unless S is set. */
export function greSequenceAt(frame: Uint8Array, at: number): number | null {
  const flags = greFlagsAt(frame, at);
  const before = GRE_CHECKSUM_PRESENT | GRE_KEY_PRESENT;
  return flags & GRE_SEQUENCE_PRESENT ? u32(frame, at + greHeaderLength(flags & before)) : null;
}

/** Does the checksum over header and payload, which ends at `end`, add up (RFC 2784 §2.5)? True if there is none. */
export const greChecksumIsRight = (frame: Uint8Array, at: number, end: number): boolean =>
  (greFlagsAt(frame, at) & GRE_CHECKSUM_PRESENT) === 0 || checksumIsRight(frame, at, end);

export interface GreFields {
  readonly protocol: number;
  readonly checksum?: boolean;
  readonly key?: number;
  readonly sequence?: number;
}

/** Writes the header; returns its length. A checksum field is left zero until `setGreChecksum`, as it covers the payload. */
export function writeGre(frame: Uint8Array, at: number, fields: GreFields): number {
  const flags =
    (fields.checksum ? GRE_CHECKSUM_PRESENT : 0) |
    (fields.key === undefined ? 0 : GRE_KEY_PRESENT) |
    (fields.sequence === undefined ? 0 : GRE_SEQUENCE_PRESENT);
  setU16(frame, at + FLAGS_VERSION, flags);
  setU16(frame, at + PROTOCOL, fields.protocol);
  let cursor = at + OPTIONAL;
  for (const word of [fields.checksum ? 0 : undefined, fields.key, fields.sequence]) {
    if (word === undefined) continue;
    setU32(frame, cursor, word);
    cursor += 4;
  }
  return cursor - at;
}

/** Fills the checksum field of a header with C set, over header and payload up to `end`. */
export function setGreChecksum(frame: Uint8Array, at: number, end: number): void {
  setU32(frame, at + OPTIONAL, 0);
  setU16(frame, at + OPTIONAL, checksum(frame, at, end));
}
