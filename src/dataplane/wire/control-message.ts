/**
 * Control messages between NVEs, from the NVGRE extensions ([MS-NVGREE]): an NVE that cannot deliver a packet tells the one that
 * sent it. They travel like a tenant's frame, inside of NVGRE, as an ICMP message from NVE to NVE:
 *
 *     outer headers, NVGRE | Ethernet | IP, from PA to PA | ICMP (8) | the packet in question …
 *                                                                    └ outer IP | NVGRE | inner Ethernet | inner IP | …
 *
 *                   ICMP     ICMPv6    IP destination
 *     REDIRECT      5/10     137/1     the PA where the VM lives now
 *     UNREACHABLE   3/10     1/1       the PA of the NVE that is told
 *
 * The IP version inside is that of the PAs. The document draws an ICMP header of four octets only, where every other ICMP message
 * has eight, and lets the quoted packet begin with its outer IP header or with its GRE header. We write eight octets, in a REDIRECT
 * of IPv4 the last four with the gateway address (RFC 792), elsewhere zero, and quote from the outer IP header on; we read
 * either form of either.
 */
import { type Address, type AddressFamily, addressAt, addressLength } from "./address.js";
import { type Mac, u8, u16, type Vsid } from "./bytes.js";
import {
  destinationMacAt,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherTypeAt,
  writeEthernet,
} from "./ethernet.js";
import { ICMP_LENGTH, ICMP_REDIRECT, ICMP_UNREACHABLE, setIcmpChecksum, writeIcmp } from "./icmp.js";
import { ICMPV6_LENGTH, ICMPV6_UNREACHABLE, ND_REDIRECT, setIcmpv6Checksum, writeIcmpv6 } from "./icmpv6.js";
import {
  IPV4_LENGTH,
  ipv4DestinationAt,
  ipv4HeaderLengthAt,
  ipv4ProtocolAt,
  ipv4SourceAt,
  PROTOCOL_GRE,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  writeIpv4,
} from "./ipv4.js";
import { IPV6_LENGTH, ipv6DestinationAt, ipv6SourceAt, walkIpv6Extensions, writeIpv6 } from "./ipv6.js";
import { NVGRE_FLAGS_VERSION, NVGRE_LENGTH, PROTOCOL_TRANSPARENT_ETHERNET, vsidAt } from "./nvgre.js";

export type ControlKind = "redirect" | "unreachable";

/** By family. */
const TYPE = {
  4: { redirect: ICMP_REDIRECT, unreachable: ICMP_UNREACHABLE },
  6: { redirect: ND_REDIRECT, unreachable: ICMPV6_UNREACHABLE },
} as const;
/** A code that these types have for nothing else. */
const CODE = { 4: 10, 6: 1 } as const;

/** What an ICMP message of this family with `type << 8 | code` may be; null if it is none of the two. */
export function controlKindOf(family: AddressFamily, typeAndCode: number): ControlKind | null {
  const kinds: readonly ControlKind[] = ["redirect", "unreachable"];
  return kinds.find((kind) => typeAndCode === ((TYPE[family][kind] << 8) | CODE[family])) ?? null;
}

/** As in the outer header, what Windows sends. */
const TTL = 128;
/** The longest message, IP header included; the document names no limit. */
const PACKET_MAX = { 4: 548, 6: 1232 } as const;

/** How much of a packet may be quoted, where the IP packet inside of NVGRE may have `mtu` octets. */
export function quoteLengthMax(family: AddressFamily, mtu: number): number {
  const headers = family === 4 ? IPV4_LENGTH + ICMP_LENGTH : IPV6_LENGTH + ICMPV6_LENGTH;
  return Math.min(mtu, PACKET_MAX[family]) - headers;
}

export interface ControlFields {
  readonly kind: ControlKind;
  /** MAC addresses of the two NVEs. */
  readonly destinationMac: Mac;
  readonly sourceMac: Mac;
  /** PA of the NVE that complains. */
  readonly source: Address;
  /** The PA where the VM lives now, or in UNREACHABLE that of the NVE that is told; of the family of `source`. */
  readonly destination: Address;
  /** The packet in question, from its outer IP header on, cut to `quoteLengthMax`. */
  readonly quote: Uint8Array;
  /** Of an IPv4 header; 0 if left out. */
  readonly identification?: number;
}

/** The message as the frame that goes inside of NVGRE. */
export function makeControlMessage(fields: ControlFields): Uint8Array {
  return fields.source.family === 4 ? makeIpv4Message(fields) : makeIpv6Message(fields);
}

function makeIpv4Message(fields: ControlFields): Uint8Array {
  const { kind, source, destination, quote } = fields;
  const at = ETHERNET_LENGTH + IPV4_LENGTH;
  const frame = new Uint8Array(at + ICMP_LENGTH + quote.length);
  writeEthernet(frame, 0, fields.destinationMac, fields.sourceMac, ETHERTYPE_IPV4);
  writeIpv4(frame, ETHERNET_LENGTH, {
    source,
    destination,
    protocol: PROTOCOL_ICMP,
    ttl: TTL,
    payloadLength: ICMP_LENGTH + quote.length,
    identification: fields.identification ?? 0,
    dontFragment: true,
  });
  writeIcmp(frame, at, TYPE[4][kind], CODE[4], kind === "redirect" ? destination.w3 : 0);
  frame.set(quote, at + ICMP_LENGTH);
  setIcmpChecksum(frame, at, frame.length);
  return frame;
}

function makeIpv6Message(fields: ControlFields): Uint8Array {
  const { kind, source, destination, quote } = fields;
  const at = ETHERNET_LENGTH + IPV6_LENGTH;
  const frame = new Uint8Array(at + ICMPV6_LENGTH + quote.length);
  writeEthernet(frame, 0, fields.destinationMac, fields.sourceMac, ETHERTYPE_IPV6);
  writeIpv6(frame, ETHERNET_LENGTH, {
    source,
    destination,
    nextHeader: PROTOCOL_ICMPV6,
    hopLimit: TTL,
    payloadLength: ICMPV6_LENGTH + quote.length,
  });
  writeIcmpv6(frame, at, TYPE[6][kind], CODE[6], 0);
  frame.set(quote, at + ICMPV6_LENGTH);
  setIcmpv6Checksum(frame, ETHERNET_LENGTH, at, frame.length);
  return frame;
}

/** What a control message says about the packet in question. */
export interface Quote {
  /** Source and destination of the outer IP header; null where the quote begins behind it. */
  readonly outer: { readonly source: Address; readonly destination: Address } | null;
  readonly vsid: Vsid;
  /** Destinations of the inner Ethernet and IP headers. */
  readonly destinationMac: Mac;
  readonly customerAddress: Address;
}

/** The quote in the ICMP message [at, end), behind eight octets of header or four; null if there is none that can be read. */
export const readQuote = (frame: Uint8Array, at: number, end: number): Quote | null =>
  quoteAt(frame, at + 8, end) ?? quoteAt(frame, at + 4, end);

function quoteAt(frame: Uint8Array, at: number, end: number): Quote | null {
  const outer = outerHeaderAt(frame, at, end);
  const greAt = outer?.greAt ?? at;
  const ethernetAt = greAt + NVGRE_LENGTH;
  const ipAt = ethernetAt + ETHERNET_LENGTH;
  // 2000 6558 cannot be the beginning of an IP header, so one form is never taken for the other.
  if (end < ipAt || u16(frame, greAt) !== NVGRE_FLAGS_VERSION) return null;
  if (u16(frame, greAt + 2) !== PROTOCOL_TRANSPARENT_ETHERNET) return null;
  const family = familyAt(frame, ipAt, end);
  if (family === null || etherTypeAt(frame, ethernetAt) !== (family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6))
    return null;
  const addressesAt = ipAt + (family === 4 ? 12 : 8);
  const customerAddress = addressAt(family, frame, addressesAt + addressLength(family));
  return {
    outer: outer && { source: outer.source, destination: outer.destination },
    vsid: vsidAt(frame, greAt),
    destinationMac: destinationMacAt(frame, ethernetAt),
    customerAddress,
  };
}

/** The outer IP header at the beginning of a quote, which may be cut further on; null if what begins there is none with GRE behind. */
function outerHeaderAt(frame: Uint8Array, at: number, end: number) {
  const family = familyAt(frame, at, end);
  if (family === 4) {
    const greAt = at + ipv4HeaderLengthAt(frame, at);
    if (greAt < at + IPV4_LENGTH || ipv4ProtocolAt(frame, at) !== PROTOCOL_GRE) return null;
    return { source: ipv4SourceAt(frame, at), destination: ipv4DestinationAt(frame, at), greAt };
  }
  if (family === null) return null;
  const { protocol, transportAt: greAt, ok } = walkIpv6Extensions(frame, at, end);
  if (!ok || protocol !== PROTOCOL_GRE) return null;
  return { source: ipv6SourceAt(frame, at), destination: ipv6DestinationAt(frame, at), greAt };
}

/** By the version of an IP header whose fixed part is there. */
function familyAt(frame: Uint8Array, at: number, end: number): AddressFamily | null {
  const version = at < end ? u8(frame, at) >>> 4 : 0;
  if (version === 4 && end - at >= IPV4_LENGTH) return 4;
  return version === 6 && end - at >= IPV6_LENGTH ? 6 : null;
}
