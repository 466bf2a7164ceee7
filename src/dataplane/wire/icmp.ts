/**
 * ICMP for IPv4 (RFC 792). Every message begins with the same eight octets; what the last four mean depends on the type.
 *
 *     0   1   2       4               8
 *     +---+---+-------+---------------+
 *     |typ|cod| check |    the rest   |  echo data, or the header and first octets of the packet in question …
 *     +---+---+-------+---------------+
 *                      echo: identifier, sequence number
 *                      fragmentation needed: zero, next-hop MTU (RFC 1191 §4)
 *                      redirect: gateway address
 */
import { Reason } from "../drop-reasons.js";
import { setU8, setU16, setU32, u8, u16, u32 } from "./bytes.js";
import { checksum, checksumIsRight } from "./checksum.js";

export const ICMP_LENGTH = 8;

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
/** Deprecated by RFC 6633: to be ignored. */
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO_REQUEST = 8;
/** RFC 1256. */
export const ICMP_ROUTER_ADVERTISEMENT = 9;
export const ICMP_TIME_EXCEEDED = 11;
/** Code of ICMP_UNREACHABLE: too big, and DF is set. */
export const ICMP_FRAGMENTATION_NEEDED = 4;

const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const REST = 4;

/** Is there a whole ICMP header at `at`, before `end`? */
export const checkIcmp = (_frame: Uint8Array, at: number, end: number): Reason =>
  end - at < ICMP_LENGTH ? Reason.INVALID_PACKET : Reason.NONE;

export const icmpTypeAt = (frame: Uint8Array, at: number): number => u8(frame, at + TYPE);
export const icmpCodeAt = (frame: Uint8Array, at: number): number => u8(frame, at + CODE);
export const icmpChecksumAt = (frame: Uint8Array, at: number): number => u16(frame, at + CHECKSUM);
/** The last four octets of the header, whatever the type makes of them. */
export const icmpRestAt = (frame: Uint8Array, at: number): number => u32(frame, at + REST);
/** Of echo messages. */
export const icmpIdentifierAt = (frame: Uint8Array, at: number): number => u16(frame, at + REST);
export const icmpSequenceAt = (frame: Uint8Array, at: number): number => u16(frame, at + REST + 2);
/** Of "fragmentation needed"; 0 from routers older than RFC 1191. */
export const icmpNextHopMtuAt = (frame: Uint8Array, at: number): number => u16(frame, at + REST + 2);
/** The checksum is left to `setIcmpChecksum`. */
export const setIcmpNextHopMtu = (frame: Uint8Array, at: number, mtu: number): void =>
  setU16(frame, at + REST + 2, mtu);

/** Does the message quote the packet it complains about? */
export const isIcmpError = (type: number): boolean =>
  type === ICMP_UNREACHABLE ||
  type === ICMP_SOURCE_QUENCH ||
  type === ICMP_REDIRECT ||
  type === ICMP_TIME_EXCEEDED ||
  type === 12;

/** Does the message have an identifier that tells one conversation from another? */
export const isIcmpEcho = (type: number): boolean => type === ICMP_ECHO_REQUEST || type === ICMP_ECHO_REPLY;

/** Does the checksum over the message [at, end) add up? There is no pseudo header. */
export const icmpChecksumIsRight = (frame: Uint8Array, at: number, end: number): boolean =>
  checksumIsRight(frame, at, end);

/** Fills the checksum of a message whose content is in place. */
export function setIcmpChecksum(frame: Uint8Array, at: number, end: number): void {
  setU16(frame, at + CHECKSUM, 0);
  setU16(frame, at + CHECKSUM, checksum(frame, at, end));
}

/** Writes the eight octets with a zero checksum, see `setIcmpChecksum`. */
export function writeIcmp(frame: Uint8Array, at: number, type: number, code: number, rest: number): void {
  setU8(frame, at + TYPE, type);
  setU8(frame, at + CODE, code);
  setU16(frame, at + CHECKSUM, 0);
  setU32(frame, at + REST, rest);
}
