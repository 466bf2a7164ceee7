/**
 * The IPv4 header (RFC 791 §3.1), options included.
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-------+-------+---------------+-------------------------------+
 *     |   4   |  IHL  |   DSCP    |ECN|         total length          |
 *     +-------+-------+---------------+-----+-------------------------+
 *     |         identification        |0 D M|     fragment offset     |
 *     +---------------+---------------+-----+-------------------------+
 *     |      TTL      |   protocol    |        header checksum        |
 *     +---------------+---------------+-------------------------------+
 *     |                        source address                         |
 *     +---------------------------------------------------------------+
 *     |                      destination address                      |
 *     +---------------------------------------------------------------+
 *     |                options, up to 40 octets …                     |
 *
 * The check judges shape only; the checksum is judged apart, because a NIC may have done so already and the tunnel
 * does not judge inner checksums at all.
 */
import { Reason } from "../drop-reasons.js";
import type { Address } from "./address.js";
import { ipv4AddressAt, writeAddress } from "./address.js";
import { setU8, setU16, u8, u16 } from "./bytes.js";
import { checksum, checksumIsRight, checksumSum, updateChecksum, updateChecksumOfPart } from "./checksum.js";

/** Without options. */
export const IPV4_LENGTH = 20;
export const IPV4_LENGTH_MAX = 60;
export const IPV4_PACKET_MAX = 65_535;

export const PROTOCOL_HOP_BY_HOP = 0;
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_IGMP = 2;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_IPV6_ROUTING = 43;
export const PROTOCOL_IPV6_FRAGMENT = 44;
/** RFC 2784 §2.5; carries NVGRE. */
export const PROTOCOL_GRE = 47;
export const PROTOCOL_ESP = 50;
export const PROTOCOL_AH = 51;
export const PROTOCOL_ICMPV6 = 58;
export const PROTOCOL_NO_NEXT_HEADER = 59;
export const PROTOCOL_DESTINATION_OPTIONS = 60;

const VERSION_IHL = 0;
const TOS = 1;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FLAGS_FRAGMENT = 6;
const TTL_PROTOCOL = 8; // two fields of one checksummed word
const CHECKSUM = 10;
const SOURCE = 12;
const DESTINATION = 16;
const OPTIONS = 20;

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET = 0x1fff;

/**
 * Is there an IPv4 packet at `at`, whole before `end`? Version 4, IHL of 5 or more, and a total length that covers
 * the header and is present (RFC 791 §3.1, RFC 1122 §3.2.1.1). Octets behind the total length are padding.
 */
export function checkIpv4(frame: Uint8Array, at: number, end: number): Reason {
  if (end - at < IPV4_LENGTH) return Reason.RX_IP_MALFORMED;
  if (u8(frame, at + VERSION_IHL) >>> 4 !== 4) return Reason.RX_IP_MALFORMED;
  const headerLength = ipv4HeaderLengthAt(frame, at);
  const totalLength = ipv4TotalLengthAt(frame, at);
  if (headerLength < IPV4_LENGTH || totalLength < headerLength || totalLength > end - at) return Reason.RX_IP_MALFORMED;
  return Reason.NONE;
}

/** IHL in octets. */
export const ipv4HeaderLengthAt = (frame: Uint8Array, at: number): number => (u8(frame, at + VERSION_IHL) & 0x0f) * 4;
/** Header and payload, in octets. */
export const ipv4TotalLengthAt = (frame: Uint8Array, at: number): number => u16(frame, at + TOTAL_LENGTH);
/** DSCP (6 bits, RFC 2474) and ECN (2 bits, RFC 3168). */
export const ipv4TosAt = (frame: Uint8Array, at: number): number => u8(frame, at + TOS);
export const ipv4DscpAt = (frame: Uint8Array, at: number): number => u8(frame, at + TOS) >>> 2;
export const ipv4EcnAt = (frame: Uint8Array, at: number): number => u8(frame, at + TOS) & 3;
export const ipv4IdentificationAt = (frame: Uint8Array, at: number): number => u16(frame, at + IDENTIFICATION);
export const ipv4DontFragmentAt = (frame: Uint8Array, at: number): boolean =>
  (u16(frame, at + FLAGS_FRAGMENT) & DONT_FRAGMENT) !== 0;
export const ipv4MoreFragmentsAt = (frame: Uint8Array, at: number): boolean =>
  (u16(frame, at + FLAGS_FRAGMENT) & MORE_FRAGMENTS) !== 0;
/** In octets; the field itself counts units of eight. */
export const ipv4FragmentOffsetAt = (frame: Uint8Array, at: number): number =>
  (u16(frame, at + FLAGS_FRAGMENT) & FRAGMENT_OFFSET) * 8;
/** `first` has more fragments to come, `later` has a place behind the first; `none` is a whole datagram. */
export function ipv4FragmentAt(frame: Uint8Array, at: number): "none" | "first" | "later" {
  const word = u16(frame, at + FLAGS_FRAGMENT);
  if (word & FRAGMENT_OFFSET) return "later";
  return word & MORE_FRAGMENTS ? "first" : "none";
}
export const ipv4TtlAt = (frame: Uint8Array, at: number): number => u8(frame, at + TTL_PROTOCOL);
export const ipv4ProtocolAt = (frame: Uint8Array, at: number): number => u8(frame, at + TTL_PROTOCOL + 1);
export const ipv4ChecksumAt = (frame: Uint8Array, at: number): number => u16(frame, at + CHECKSUM);
export const ipv4SourceAt = (frame: Uint8Array, at: number): Address => ipv4AddressAt(frame, at + SOURCE);
export const ipv4DestinationAt = (frame: Uint8Array, at: number): Address => ipv4AddressAt(frame, at + DESTINATION);

/** Does the header, options included, add up (RFC 791 §3.1)? */
export const ipv4ChecksumIsRight = (frame: Uint8Array, at: number): boolean =>
  checksumIsRight(frame, at, at + ipv4HeaderLengthAt(frame, at));

export interface Ipv4Option {
  /** Copied flag, class and number in one octet. */
  readonly type: number;
  readonly at: number;
  /** With type and length octet. */
  readonly length: number;
}

/**
 * The options of a checked header, up to its end or an End of Options (RFC 791 §3.1); No-Operation is left out.
 * `wellFormed` is false when a length octet is missing, below two, or points out of the header; what came before is still listed.
 */
export function ipv4Options(frame: Uint8Array, at: number): { options: Ipv4Option[]; wellFormed: boolean } {
  const end = at + ipv4HeaderLengthAt(frame, at);
  const options: Ipv4Option[] = [];
  for (let cursor = at + OPTIONS; cursor < end; ) {
    const type = u8(frame, cursor);
    if (type === 0) break;
    if (type === 1) {
      cursor++;
      continue;
    }
    const length = cursor + 1 < end ? u8(frame, cursor + 1) : 0;
    if (length < 2 || cursor + length > end) return { options, wellFormed: false };
    options.push({ type, at: cursor, length });
    cursor += length;
  }
  return { options, wellFormed: true };
}

/** Writes the checksum that fits the header as it stands. */
export function setIpv4Checksum(frame: Uint8Array, at: number): void {
  setU16(frame, at + CHECKSUM, 0);
  setU16(frame, at + CHECKSUM, checksum(frame, at, at + ipv4HeaderLengthAt(frame, at)));
}

/** TTL minus one; the checksum follows (RFC 1624). The caller has made sure that the TTL is not zero. */
export function decrementIpv4Ttl(frame: Uint8Array, at: number): void {
  patchWord(frame, at, TTL_PROTOCOL, u16(frame, at + TTL_PROTOCOL) - 0x0100);
}

/** Sets the two ECN bits; the checksum follows. */
export function setIpv4Ecn(frame: Uint8Array, at: number, ecn: number): void {
  patchWord(frame, at, VERSION_IHL, (u16(frame, at + VERSION_IHL) & 0xfffc) | ecn);
}

/** Sets the six DSCP bits; the checksum follows. */
export function setIpv4Dscp(frame: Uint8Array, at: number, dscp: number): void {
  patchWord(frame, at, VERSION_IHL, (u16(frame, at + VERSION_IHL) & 0xff03) | (dscp << 2));
}

/** Sets the length of header and payload, in octets; the checksum follows. */
export function setIpv4TotalLength(frame: Uint8Array, at: number, totalLength: number): void {
  patchWord(frame, at, TOTAL_LENGTH, totalLength);
}

/** Sets the identification; the checksum follows. */
export function setIpv4Identification(frame: Uint8Array, at: number, identification: number): void {
  patchWord(frame, at, IDENTIFICATION, identification);
}

/** Sets both addresses; the checksum follows. */
export function setIpv4Addresses(frame: Uint8Array, at: number, source: Address, destination: Address): void {
  const before = checksumSum(frame, at + SOURCE, at + OPTIONS);
  writeAddress(frame, at + SOURCE, source);
  writeAddress(frame, at + DESTINATION, destination);
  const after = checksumSum(frame, at + SOURCE, at + OPTIONS);
  setU16(frame, at + CHECKSUM, updateChecksumOfPart(u16(frame, at + CHECKSUM), before, after));
}

/** Replaces a 16-bit word of the header and updates the checksum (RFC 1624 §3). Unchanged words leave the checksum alone. */
function patchWord(frame: Uint8Array, at: number, offset: number, word: number): void {
  const old = u16(frame, at + offset);
  if (old === word) return;
  setU16(frame, at + offset, word);
  setU16(frame, at + CHECKSUM, updateChecksum(u16(frame, at + CHECKSUM), old, word));
}

export interface Ipv4Fields {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly ttl: number;
  /** Octets behind the header. */
  readonly payloadLength: number;
  /** DSCP and ECN; 0 if left out, as are the following. */
  readonly tos?: number;
  readonly identification?: number;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** In octets, a multiple of eight. */
  readonly fragmentOffset?: number;
  /** Up to 40 octets; padded with End of Options to a multiple of four. */
  readonly options?: Uint8Array;
}

/** Writes the header, checksum included; returns its length. */
export function writeIpv4(frame: Uint8Array, at: number, fields: Ipv4Fields): number {
  const options = fields.options ?? new Uint8Array(0);
  const headerLength = IPV4_LENGTH + Math.ceil(options.length / 4) * 4;
  const flags = (fields.dontFragment ? DONT_FRAGMENT : 0) | (fields.moreFragments ? MORE_FRAGMENTS : 0);
  setU8(frame, at + VERSION_IHL, 0x40 | (headerLength / 4));
  setU8(frame, at + TOS, fields.tos ?? 0);
  setU16(frame, at + TOTAL_LENGTH, headerLength + fields.payloadLength);
  setU16(frame, at + IDENTIFICATION, fields.identification ?? 0);
  setU16(frame, at + FLAGS_FRAGMENT, flags | ((fields.fragmentOffset ?? 0) / 8));
  setU16(frame, at + TTL_PROTOCOL, (fields.ttl << 8) | fields.protocol);
  writeAddress(frame, at + SOURCE, fields.source);
  writeAddress(frame, at + DESTINATION, fields.destination);
  frame.fill(0, at + OPTIONS, at + headerLength);
  frame.set(options, at + OPTIONS);
  setIpv4Checksum(frame, at);
  return headerLength;
}
