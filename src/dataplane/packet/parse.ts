/**
 * The slow path's parser: one pass over a frame to the offsets of its headers and the fields that decide a flow.
 *
 * The kernel has a parser of its own that makes flow keys; the two are held together by tests. This one is written for
 * reading and returns plain objects. It looks at one level only: what NVGRE carries is parsed by calling it again on the
 * inner frame.
 */
import type { Address, AddressFamily } from "../wire/address.js";
import type { Mac, Tci } from "../wire/bytes.js";
import { u16 } from "../wire/bytes.js";
import { hasFlowPorts, ipFlowHash, linkFlowHash } from "../wire/entropy.js";
import {
  checkEthernet,
  destinationMacAt,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherTypeAt,
  sourceMacAt,
} from "../wire/ethernet.js";
import {
  checkIpv4,
  ipv4DestinationAt,
  ipv4DontFragmentAt,
  ipv4FragmentAt,
  ipv4HeaderLengthAt,
  ipv4ProtocolAt,
  ipv4SourceAt,
  ipv4TosAt,
  ipv4TotalLengthAt,
  ipv4TtlAt,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
} from "../wire/ipv4.js";
import {
  checkIpv6,
  IPV6_LENGTH,
  ipv6DestinationAt,
  ipv6HopLimitAt,
  ipv6PayloadLengthAt,
  ipv6SourceAt,
  ipv6TrafficClassAt,
  walkIpv6Extensions,
} from "../wire/ipv6.js";
import { checkTaggedEthernet, TPID_CTAG, tciAt, VLAN_TAG_LENGTH, VLAN_TAG_OFFSET } from "../wire/vlan.js";

export interface ParsedFrame {
  /** The frame is bytes[start, end) of the buffer that was parsed; all offsets count from the buffer's beginning. */
  readonly start: number;
  readonly end: number;
  readonly destination: Mac;
  readonly source: Mac;
  /** The outermost 802.1Q tag (TPID 0x8100), if any. Only one tag is taken off. */
  readonly tag: Tci | null;
  /** The EtherType after that tag. */
  readonly etherType: number;
  /** Where the network layer begins. */
  readonly networkAt: number;
  /** The IP header, when the EtherType says IP and the header is well-formed. */
  readonly ip: ParsedIp | null;
}

export interface ParsedIp {
  readonly family: AddressFamily;
  readonly at: number;
  /** End of the IP packet by its own length field; never behind the frame's end, before it when the frame is padded. */
  readonly end: number;
  readonly source: Address;
  readonly destination: Address;
  /** TTL or hop limit. */
  readonly ttl: number;
  /** DSCP and ECN: the TOS octet or the traffic class. */
  readonly trafficClass: number;
  /** IPv4's DF; true for IPv6. */
  readonly dontFragment: boolean;
  readonly fragment: "none" | "first" | "later";
  /** The protocol of the transport header, behind all extension headers. */
  readonly protocol: number;
  readonly transportAt: number;
  /** Ports of TCP and UDP, type and code of ICMP in `source` (type << 8 | code); null in fragments, other protocols, or if cut off. */
  readonly ports: { readonly source: number; readonly destination: number } | null;
}

/**
 * Parses bytes[start, end). Null if there is no whole Ethernet header, tag included. Never throws and never looks outside of
 * the range, whatever the bytes are.
 */
export function parseFrame(bytes: Uint8Array, start: number, end: number): ParsedFrame | null {
  if (checkEthernet(bytes, start, end)) return null;
  const isTagged = etherTypeAt(bytes, start) === TPID_CTAG;
  if (isTagged && checkTaggedEthernet(bytes, start, end)) return null;
  const typeAt = start + (isTagged ? VLAN_TAG_LENGTH : 0);
  const etherType = etherTypeAt(bytes, typeAt);
  const networkAt = typeAt + ETHERNET_LENGTH;
  return {
    start,
    end,
    destination: destinationMacAt(bytes, start),
    source: sourceMacAt(bytes, start),
    tag: isTagged ? tciAt(bytes, start + VLAN_TAG_OFFSET) : null,
    etherType,
    networkAt,
    ip: parseIp(bytes, networkAt, end, etherType),
  };
}

/** The IP packet at `at`, of the version that the EtherType says and well-formed before `end`; else null. */
export function parseIp(bytes: Uint8Array, at: number, end: number, etherType: number): ParsedIp | null {
  if (etherType === ETHERTYPE_IPV4) return checkIpv4(bytes, at, end) ? null : parseIpv4(bytes, at);
  if (etherType === ETHERTYPE_IPV6) return checkIpv6(bytes, at, end) ? null : parseIpv6(bytes, at);
  return null;
}

function parseIpv4(bytes: Uint8Array, at: number): ParsedIp {
  const end = at + ipv4TotalLengthAt(bytes, at);
  const fragment = ipv4FragmentAt(bytes, at);
  const protocol = ipv4ProtocolAt(bytes, at);
  const transportAt = at + ipv4HeaderLengthAt(bytes, at);
  return {
    family: 4,
    at,
    end,
    source: ipv4SourceAt(bytes, at),
    destination: ipv4DestinationAt(bytes, at),
    ttl: ipv4TtlAt(bytes, at),
    trafficClass: ipv4TosAt(bytes, at),
    dontFragment: ipv4DontFragmentAt(bytes, at),
    fragment,
    protocol,
    transportAt,
    ports: fragment === "none" ? parsePorts(bytes, transportAt, end, protocol, PROTOCOL_ICMP) : null,
  };
}

/**
 * The IP packet that GRE carries without an Ethernet header, from `at` on: as a frame with nothing before its network header and
 * nothing behind its packet. Null if there is none.
 */
export function parseBarePacket(bytes: Uint8Array, at: number, end: number, etherType: number): ParsedFrame | null {
  const ip = parseIp(bytes, at, end, etherType);
  const nobody = 0 as Mac;
  return ip && { start: at, end: ip.end, destination: nobody, source: nobody, tag: null, etherType, networkAt: at, ip };
}

/** A broken extension chain leaves the header well-formed: `protocol` is then that of the extension where the walk ended. */
function parseIpv6(bytes: Uint8Array, at: number): ParsedIp {
  const end = at + IPV6_LENGTH + ipv6PayloadLengthAt(bytes, at);
  const { fragment, protocol, transportAt } = walkIpv6Extensions(bytes, at, end);
  return {
    family: 6,
    at,
    end,
    source: ipv6SourceAt(bytes, at),
    destination: ipv6DestinationAt(bytes, at),
    ttl: ipv6HopLimitAt(bytes, at),
    trafficClass: ipv6TrafficClassAt(bytes, at),
    dontFragment: true,
    fragment,
    protocol,
    transportAt,
    ports: fragment === "none" ? parsePorts(bytes, transportAt, end, protocol, PROTOCOL_ICMPV6) : null,
  };
}

/** The first four octets of TCP, UDP and ICMP decide; a header with fewer is cut off. `icmp` is the family's own protocol. */
function parsePorts(bytes: Uint8Array, at: number, end: number, protocol: number, icmp: number): ParsedIp["ports"] {
  if (end - at < 4) return null;
  if (hasFlowPorts(protocol)) return { source: u16(bytes, at), destination: u16(bytes, at + 2) };
  if (protocol === icmp) return { source: u16(bytes, at), destination: 0 };
  return null;
}

/**
 * The hash that FlowID and outer flow label are folded from. `destination` and `source` are the MAC addresses that the frame
 * will carry; they count only where it is not IP. What does not hold a well-formed IP header is not IP.
 */
export function flowHash(
  bytes: Uint8Array,
  frame: ParsedFrame,
  destination = frame.destination,
  source = frame.source,
): number {
  const { ip } = frame;
  if (!ip) return linkFlowHash(destination, source, frame.etherType);
  const portsAt = ip.ports && hasFlowPorts(ip.protocol) ? ip.transportAt : -1;
  return ipFlowHash(bytes, ip.family, ip.at, ip.protocol, portsAt);
}
