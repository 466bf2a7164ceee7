/**
 * ICMPv6 (RFC 4443) and Neighbor Discovery (RFC 4861).
 *
 *     0   1   2       4               8                       24
 *     +---+---+-------+---------------+-----------------------+
 *     |typ|cod| check |    the rest   |  target address (ND)  |  options …
 *     +---+---+-------+---------------+-----------------------+
 *                      echo: identifier, sequence number
 *                      packet too big: MTU
 *                      neighbor advertisement: flags R, S, O
 *
 * Unlike ICMP the checksum covers a pseudo header (RFC 4443 §2.3). Router solicitations have their options at 8, neighbor
 * messages at 24, router advertisements at 16, redirects at 40.
 */
import { Reason } from "../drop-reasons.js";
import type { Address } from "./address.js";
import { ipv6AddressAt, writeAddress } from "./address.js";
import type { Mac } from "./bytes.js";
import { macAt, setU8, setU16, setU32, setU48, u8, u16, u32 } from "./bytes.js";
import { checksum, checksumIsRight, pseudoHeaderSumIpv6 } from "./checksum.js";
import { PROTOCOL_ICMPV6 } from "./ipv4.js";

export const ICMPV6_LENGTH = 8;
/** A neighbor solicitation or advertisement without options. */
export const ND_NEIGHBOR_LENGTH = 24;

export const ICMPV6_UNREACHABLE = 1;
export const ICMPV6_PACKET_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_PARAMETER_PROBLEM = 4;
export const ICMPV6_ECHO_REQUEST = 128;
export const ICMPV6_ECHO_REPLY = 129;
export const ND_ROUTER_SOLICITATION = 133;
export const ND_ROUTER_ADVERTISEMENT = 134;
export const ND_NEIGHBOR_SOLICITATION = 135;
export const ND_NEIGHBOR_ADVERTISEMENT = 136;
export const ND_REDIRECT = 137;

/** Flags of a neighbor advertisement (RFC 4861 §4.4). */
export const ND_FLAG_ROUTER = 0x8000_0000;
export const ND_FLAG_SOLICITED = 0x4000_0000;
export const ND_FLAG_OVERRIDE = 0x2000_0000;

export const ND_OPTION_SOURCE_MAC = 1;
export const ND_OPTION_TARGET_MAC = 2;
export const ND_OPTION_PREFIX = 3;
export const ND_OPTION_REDIRECTED = 4;
export const ND_OPTION_MTU = 5;

const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const REST = 4;
const TARGET = 8;

/** Octets before the options, by ND message type. */
const ND_FIXED_LENGTH: Readonly<Record<number, number>> = {
  [ND_ROUTER_SOLICITATION]: 8,
  [ND_ROUTER_ADVERTISEMENT]: 16,
  [ND_NEIGHBOR_SOLICITATION]: ND_NEIGHBOR_LENGTH,
  [ND_NEIGHBOR_ADVERTISEMENT]: ND_NEIGHBOR_LENGTH,
  [ND_REDIRECT]: 40,
};

/** Error messages quote the packet they complain about; their types are below 128 (RFC 4443 §2.1). */
export const isIcmpv6Error = (type: number): boolean => type < ICMPV6_ECHO_REQUEST;

/** Has the message an identifier that tells one conversation from another? */
export const isIcmpv6Echo = (type: number): boolean => type === ICMPV6_ECHO_REQUEST || type === ICMPV6_ECHO_REPLY;

export const isNdType = (type: number): boolean => type in ND_FIXED_LENGTH;

/** Is there a whole ICMPv6 header at `at`, before `end`, and if it is Neighbor Discovery, all that comes before its options? */
export function checkIcmpv6(frame: Uint8Array, at: number, end: number): Reason {
  if (end - at < ICMPV6_LENGTH) return Reason.INVALID_PACKET;
  const needed = ND_FIXED_LENGTH[icmpv6TypeAt(frame, at)] ?? ICMPV6_LENGTH;
  return end - at < needed ? Reason.INVALID_PACKET : Reason.NONE;
}

export const icmpv6TypeAt = (frame: Uint8Array, at: number): number => u8(frame, at + TYPE);
export const icmpv6CodeAt = (frame: Uint8Array, at: number): number => u8(frame, at + CODE);
export const icmpv6ChecksumAt = (frame: Uint8Array, at: number): number => u16(frame, at + CHECKSUM);
/** The last four octets of the header, whatever the type makes of them. */
export const icmpv6RestAt = (frame: Uint8Array, at: number): number => u32(frame, at + REST);
/** Of echo messages. */
export const icmpv6IdentifierAt = (frame: Uint8Array, at: number): number => u16(frame, at + REST);
export const icmpv6SequenceAt = (frame: Uint8Array, at: number): number => u16(frame, at + REST + 2);
/** Of Packet Too Big (RFC 4443 §3.2). */
export const icmpv6MtuAt = (frame: Uint8Array, at: number): number => u32(frame, at + REST);
/** Of neighbor solicitations, advertisements and redirects. */
export const ndTargetAt = (frame: Uint8Array, at: number): Address => ipv6AddressAt(frame, at + TARGET);

export interface NdOption {
  readonly type: number;
  readonly at: number;
  /** In octets, a multiple of eight, with type and length octet. */
  readonly length: number;
}

/**
 * The options of a checked ND message that ends at `end`. A length of zero must make the receiver discard the message (RFC 4861
 * §4.6): `wellFormed` is then false, as it is for an option that runs over the end.
 */
export function ndOptions(frame: Uint8Array, at: number, end: number): { options: NdOption[]; wellFormed: boolean } {
  const options: NdOption[] = [];
  let cursor = at + (ND_FIXED_LENGTH[icmpv6TypeAt(frame, at)] ?? end - at);
  while (cursor < end) {
    const length = cursor + 1 < end ? u8(frame, cursor + 1) * 8 : 0;
    if (length === 0 || cursor + length > end) return { options, wellFormed: false };
    options.push({ type: u8(frame, cursor), at: cursor, length });
    cursor += length;
  }
  return { options, wellFormed: true };
}

/** The source or target link-layer address among the options; undefined if there is none (RFC 4861 §4.6.1). */
export function ndLinkLayerAddress(frame: Uint8Array, at: number, end: number, type: number): Mac | undefined {
  const option = ndOptions(frame, at, end).options.find((each) => each.type === type && each.length === 8);
  return option ? macAt(frame, option.at + 2) : undefined;
}

/** Does the checksum of the message [at, end) under the IPv6 header at `ipAt` add up? */
export const icmpv6ChecksumIsRight = (frame: Uint8Array, ipAt: number, at: number, end: number): boolean =>
  checksumIsRight(frame, at, end, pseudoHeaderSumIpv6(frame, ipAt, PROTOCOL_ICMPV6, end - at));

/** Fills the checksum of a message whose content and IPv6 addresses are in place. */
export function setIcmpv6Checksum(frame: Uint8Array, ipAt: number, at: number, end: number): void {
  setU16(frame, at + CHECKSUM, 0);
  setU16(frame, at + CHECKSUM, checksum(frame, at, end, pseudoHeaderSumIpv6(frame, ipAt, PROTOCOL_ICMPV6, end - at)));
}

/** Writes the eight octets with a zero checksum, see `setIcmpv6Checksum`. */
export function writeIcmpv6(frame: Uint8Array, at: number, type: number, code: number, rest: number): void {
  setU8(frame, at + TYPE, type);
  setU8(frame, at + CODE, code);
  setU16(frame, at + CHECKSUM, 0);
  setU32(frame, at + REST, rest);
}

/**
 * Writes a neighbor solicitation or advertisement (RFC 4861 §4.3, §4.4) with a zero checksum; returns its length. With `mac` the
 * link-layer address option follows: the source's in a solicitation, the target's in an advertisement.
 */
export function writeNeighborMessage(
  frame: Uint8Array,
  at: number,
  type: typeof ND_NEIGHBOR_SOLICITATION | typeof ND_NEIGHBOR_ADVERTISEMENT,
  flags: number,
  target: Address,
  mac: Mac | null,
): number {
  writeIcmpv6(frame, at, type, 0, flags);
  writeAddress(frame, at + TARGET, target);
  if (mac === null) return ND_NEIGHBOR_LENGTH;
  const isSolicitation = type === ND_NEIGHBOR_SOLICITATION;
  setU8(frame, at + ND_NEIGHBOR_LENGTH, isSolicitation ? ND_OPTION_SOURCE_MAC : ND_OPTION_TARGET_MAC);
  setU8(frame, at + ND_NEIGHBOR_LENGTH + 1, 1);
  setU48(frame, at + ND_NEIGHBOR_LENGTH + 2, mac);
  return ND_NEIGHBOR_LENGTH + 8;
}
