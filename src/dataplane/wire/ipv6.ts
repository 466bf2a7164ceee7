/**
 * The IPv6 header and its extension chain (RFC 8200 §3 and §4).
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-------+---------------+---------------------------------------+
 *     |   6   | traffic class |              flow label               |
 *     +-------+---------------+-------+---------------+---------------+
 *     |         payload length        |  next header  |   hop limit   |
 *     +-------------------------------+---------------+---------------+
 *     |                    source address (16 octets)                 |
 *     |                 destination address (16 octets)               |
 *
 * The header has no checksum, so its setters need none. Everything behind the 40 octets is payload by the length field;
 * the walker says where the transport header begins in it.
 */
import { Reason } from "../drop-reasons.js";
import type { Address } from "./address.js";
import { ipv6AddressAt, writeAddress } from "./address.js";
import { setU8, setU16, setU32, u8, u16, u32 } from "./bytes.js";
import {
  PROTOCOL_AH,
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_IPV6_FRAGMENT,
  PROTOCOL_IPV6_ROUTING,
} from "./ipv4.js";

export const IPV6_LENGTH = 40;
/** Every link carries packets of this size (RFC 8200 §5). */
export const IPV6_MTU_MIN = 1280;
/** The walker gives up behind this many extension headers; RFC 8200 §4.1 expects each kind once, destination options twice. */
export const IPV6_EXTENSIONS_MAX = 8;

const VERSION_CLASS_LABEL = 0;
const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
const SOURCE = 8;
const DESTINATION = 24;

/**
 * Is there an IPv6 packet at `at`, whole before `end`? A jumbogram (payload length 0 with a hop-by-hop header, RFC 2675 §3)
 * is refused: its true length is in an option, and no frame that we handle is that long. Payload length 0 otherwise is a
 * packet without payload, which is odd but legal.
 */
export function checkIpv6(frame: Uint8Array, at: number, end: number): Reason {
  if (end - at < IPV6_LENGTH) return Reason.RX_IP_MALFORMED;
  if (u8(frame, at) >>> 4 !== 6) return Reason.RX_IP_MALFORMED;
  const payloadLength = ipv6PayloadLengthAt(frame, at);
  if (payloadLength > end - at - IPV6_LENGTH) return Reason.RX_IP_MALFORMED;
  if (payloadLength === 0 && ipv6NextHeaderAt(frame, at) === PROTOCOL_HOP_BY_HOP) return Reason.RX_IP_MALFORMED;
  return Reason.NONE;
}

/** DSCP (6 bits, RFC 2474) and ECN (2 bits, RFC 3168). */
export const ipv6TrafficClassAt = (frame: Uint8Array, at: number): number => (u16(frame, at) >>> 4) & 0xff;
export const ipv6DscpAt = (frame: Uint8Array, at: number): number => ipv6TrafficClassAt(frame, at) >>> 2;
export const ipv6EcnAt = (frame: Uint8Array, at: number): number => ipv6TrafficClassAt(frame, at) & 3;
/** 20 bits. */
export const ipv6FlowLabelAt = (frame: Uint8Array, at: number): number => u32(frame, at) & 0xfffff;
/** Everything behind the 40 octets, extension headers included. */
export const ipv6PayloadLengthAt = (frame: Uint8Array, at: number): number => u16(frame, at + PAYLOAD_LENGTH);
/** Of the first header behind this one; the transport's only if there are no extension headers. */
export const ipv6NextHeaderAt = (frame: Uint8Array, at: number): number => u8(frame, at + NEXT_HEADER);
export const ipv6HopLimitAt = (frame: Uint8Array, at: number): number => u8(frame, at + HOP_LIMIT);
export const ipv6SourceAt = (frame: Uint8Array, at: number): Address => ipv6AddressAt(frame, at + SOURCE);
export const ipv6DestinationAt = (frame: Uint8Array, at: number): Address => ipv6AddressAt(frame, at + DESTINATION);

/** Hop limit minus one. The caller has made sure that it is not zero. */
export function decrementIpv6HopLimit(frame: Uint8Array, at: number): void {
  setU8(frame, at + HOP_LIMIT, ipv6HopLimitAt(frame, at) - 1);
}

/** Sets the length of everything behind the 40 octets. */
export function setIpv6PayloadLength(frame: Uint8Array, at: number, payloadLength: number): void {
  setU16(frame, at + PAYLOAD_LENGTH, payloadLength);
}

export function setIpv6TrafficClass(frame: Uint8Array, at: number, trafficClass: number): void {
  setU16(frame, at, (u16(frame, at) & 0xf00f) | (trafficClass << 4));
}

/** Sets the two ECN bits. */
export function setIpv6Ecn(frame: Uint8Array, at: number, ecn: number): void {
  setIpv6TrafficClass(frame, at, (ipv6TrafficClassAt(frame, at) & 0xfc) | ecn);
}

/** Sets the six DSCP bits. */
export function setIpv6Dscp(frame: Uint8Array, at: number, dscp: number): void {
  setIpv6TrafficClass(frame, at, (ipv6TrafficClassAt(frame, at) & 0x03) | (dscp << 2));
}

/** Sets both addresses. */
export function setIpv6Addresses(frame: Uint8Array, at: number, source: Address, destination: Address): void {
  writeAddress(frame, at + SOURCE, source);
  writeAddress(frame, at + DESTINATION, destination);
}

export interface Ipv6Chain {
  /** The first protocol that is not skipped: the transport's, or that of the header at which the walk ended. */
  readonly protocol: number;
  /** Where that header begins. */
  readonly transportAt: number;
  /**
   * By the Fragment header: `later` has a place behind the first. Offset zero is `first` even when nothing follows (an atomic
   * fragment, RFC 6946): so the header alone decides, and all fragments of one datagram look alike up to their place.
   */
  readonly fragment: "none" | "first" | "later";
  /** Segments left in a routing header; more than zero: the destination address is not yet the final one. */
  readonly segmentsLeft: number;
  /** False when the chain runs out of the packet or is longer than IPV6_EXTENSIONS_MAX; `protocol` is then an extension's. */
  readonly ok: boolean;
}

/**
 * Walks the extension headers of the IPv6 header at `at`, whose packet ends at `end`: hop-by-hop options, routing,
 * destination options (RFC 8200 §4.3, §4.4, §4.6) and AH (RFC 4302 §2.2) are skipped.
 *
 * The walk ends at a Fragment header, taking the protocol from it: behind it only the first fragment has headers, and a
 * protocol that the other fragments do not show must not tell them apart. It ends before ESP, whose content nobody can read, and
 * before what it does not know.
 */
export const walkIpv6Extensions = (frame: Uint8Array, at: number, end: number): Ipv6Chain =>
  walkIpv6ExtensionsFrom(frame, ipv6NextHeaderAt(frame, at), at + IPV6_LENGTH, end);

/** As `walkIpv6Extensions`, from a header of this protocol at `at` on: to go on where a walk has ended. */
export function walkIpv6ExtensionsFrom(frame: Uint8Array, first: number, at: number, end: number): Ipv6Chain {
  let protocol = first;
  let cursor = at;
  let segmentsLeft = 0;
  for (let count = 0; isSkipped(protocol); count++) {
    const length = end - cursor < 8 ? 8 : extensionLength(frame, cursor, protocol);
    if (end - cursor < length || count === IPV6_EXTENSIONS_MAX) {
      return { protocol, transportAt: cursor, fragment: "none", segmentsLeft, ok: false };
    }
    const next = u8(frame, cursor);
    if (protocol === PROTOCOL_IPV6_FRAGMENT) {
      const fragment = u16(frame, cursor + 2) >>> 3 ? "later" : "first";
      return { protocol: next, transportAt: cursor + length, fragment, segmentsLeft, ok: true };
    }
    if (protocol === PROTOCOL_IPV6_ROUTING) segmentsLeft = u8(frame, cursor + 3);
    protocol = next;
    cursor += length;
  }
  return { protocol, transportAt: cursor, fragment: "none", segmentsLeft, ok: true };
}

const isSkipped = (protocol: number): boolean =>
  protocol === PROTOCOL_HOP_BY_HOP ||
  protocol === PROTOCOL_DESTINATION_OPTIONS ||
  protocol === PROTOCOL_IPV6_ROUTING ||
  protocol === PROTOCOL_IPV6_FRAGMENT ||
  protocol === PROTOCOL_AH;

/** Octets of the extension header. AH counts in units of four, less two (RFC 4302 §2.2); the rest in units of eight, less one. */
function extensionLength(frame: Uint8Array, at: number, protocol: number): number {
  if (protocol === PROTOCOL_IPV6_FRAGMENT) return 8;
  if (protocol === PROTOCOL_AH) return (u8(frame, at + 1) + 2) * 4;
  return (u8(frame, at + 1) + 1) * 8;
}

export interface Ipv6Fields {
  readonly source: Address;
  readonly destination: Address;
  readonly nextHeader: number;
  readonly hopLimit: number;
  /** Octets behind the 40 of the header. */
  readonly payloadLength: number;
  /** DSCP and ECN; 0 if left out. */
  readonly trafficClass?: number;
  /** 20 bits; 0 if left out. */
  readonly flowLabel?: number;
}

/** Writes the 40 octets of the header; returns their number. */
export function writeIpv6(frame: Uint8Array, at: number, fields: Ipv6Fields): number {
  setU32(
    frame,
    at + VERSION_CLASS_LABEL,
    0x6000_0000 | ((fields.trafficClass ?? 0) << 20) | ((fields.flowLabel ?? 0) & 0xfffff),
  );
  setU16(frame, at + PAYLOAD_LENGTH, fields.payloadLength);
  setU8(frame, at + NEXT_HEADER, fields.nextHeader);
  setU8(frame, at + HOP_LIMIT, fields.hopLimit);
  writeAddress(frame, at + SOURCE, fields.source);
  writeAddress(frame, at + DESTINATION, fields.destination);
  return IPV6_LENGTH;
}
