/**
 * A frame in words: one line per header, for `trace`, for test failures, for people.
 *
 * Reads any bytes without throwing; where a header is cut short or impossible its line says so and the dissection ends. What is
 * inside NVGRE continues indented, as do the packets that ICMP errors quote:
 *
 *     Ethernet 02-00-C0-A8-04-0B > 02-00-C0-A8-04-16, IPv4
 *     IPv4 192.168.4.11 > 192.168.4.22, GRE, length 102, TTL 128, id 0x1a2b, DF
 *     NVGRE VSID 5001, FlowID 0xa5
 *       Ethernet 06-06-00-00-00-05 > 06-06-00-00-00-07, IPv4
 *       IPv4 10.0.0.5 > 10.0.0.7, ICMP, length 60, TTL 128, id 0x0001
 *       ICMP echo request, id 1, seq 1, 32 octets of data
 */
import { Reason } from "../drop-reasons.js";
import { isUnspecified } from "./address.js";
import { formatAddress } from "./address-text.js";
import {
  ARP_REPLY,
  ARP_REQUEST,
  arpOperationAt,
  arpSenderAddressAt,
  arpSenderMacAt,
  arpTargetAddressAt,
  checkArp,
} from "./arp.js";
import { u8, u16 } from "./bytes.js";
import {
  checkDhcp,
  DHCP_ACK,
  DHCP_DECLINE,
  DHCP_DISCOVER,
  DHCP_INFORM,
  DHCP_NAK,
  DHCP_OFFER,
  DHCP_RELEASE,
  DHCP_REQUEST,
  DHCP_SERVER_PORT,
  dhcpClientMacAt,
  dhcpMessageType,
  dhcpYourAddressAt,
  isDhcpRelayed,
} from "./dhcp.js";
import {
  checkDhcpv6,
  DHCPV6_ADVERTISE,
  DHCPV6_CLIENT_PORT,
  DHCPV6_RECONFIGURE,
  DHCPV6_RELAY_FORWARD,
  DHCPV6_RELAY_REPLY,
  DHCPV6_REPLY,
  DHCPV6_SERVER_PORT,
  DHCPV6_SOLICIT,
  dhcpv6ClientMac,
  dhcpv6LeasedAddresses,
  dhcpv6TypeAt,
} from "./dhcpv6.js";
import {
  checkEthernet,
  destinationMacAt,
  ETHERNET_LENGTH,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_LLDP,
  ETHERTYPE_MIN,
  ETHERTYPE_MPLS,
  ETHERTYPE_SLOW_PROTOCOLS,
  ETHERTYPE_TEB,
  etherTypeAt,
  sourceMacAt,
} from "./ethernet.js";
import {
  GRE_LENGTH,
  GRE_REFUSED_BITS,
  GRE_VERSION_BITS,
  greChecksumAt,
  greChecksumIsRight,
  greFlagsAt,
  greKeyAt,
  greLengthAt,
  greProtocolAt,
  greSequenceAt,
} from "./gre.js";
import {
  checkIcmp,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_LENGTH,
  ICMP_REDIRECT,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  icmpChecksumIsRight,
  icmpCodeAt,
  icmpIdentifierAt,
  icmpNextHopMtuAt,
  icmpSequenceAt,
  icmpTypeAt,
  isIcmpError,
} from "./icmp.js";
import {
  checkIcmpv6,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_LENGTH,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  icmpv6ChecksumIsRight,
  icmpv6CodeAt,
  icmpv6IdentifierAt,
  icmpv6MtuAt,
  icmpv6SequenceAt,
  icmpv6TypeAt,
  isIcmpv6Error,
  isNdType,
  ND_NEIGHBOR_ADVERTISEMENT,
  ND_NEIGHBOR_SOLICITATION,
  ND_OPTION_SOURCE_MAC,
  ND_OPTION_TARGET_MAC,
  ND_REDIRECT,
  ND_ROUTER_ADVERTISEMENT,
  ND_ROUTER_SOLICITATION,
  ndLinkLayerAddress,
  ndOptions,
  ndTargetAt,
} from "./icmpv6.js";
import {
  checkIpv4,
  IPV4_LENGTH,
  ipv4ChecksumIsRight,
  ipv4DestinationAt,
  ipv4DontFragmentAt,
  ipv4FragmentAt,
  ipv4FragmentOffsetAt,
  ipv4HeaderLengthAt,
  ipv4IdentificationAt,
  ipv4MoreFragmentsAt,
  ipv4Options,
  ipv4ProtocolAt,
  ipv4SourceAt,
  ipv4TosAt,
  ipv4TotalLengthAt,
  ipv4TtlAt,
  PROTOCOL_AH,
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_ESP,
  PROTOCOL_GRE,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_IGMP,
  PROTOCOL_IPV6_FRAGMENT,
  PROTOCOL_IPV6_ROUTING,
  PROTOCOL_NO_NEXT_HEADER,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "./ipv4.js";
import {
  checkIpv6,
  IPV6_LENGTH,
  ipv6DestinationAt,
  ipv6FlowLabelAt,
  ipv6HopLimitAt,
  ipv6PayloadLengthAt,
  ipv6SourceAt,
  ipv6TrafficClassAt,
  walkIpv6Extensions,
} from "./ipv6.js";
import { formatMac } from "./mac.js";
import { flowIdOfKey, vsidOfKey } from "./nvgre.js";
import {
  checkTcp,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
  tcpAcknowledgmentAt,
  tcpChecksumIsRight,
  tcpFlagsAt,
  tcpHeaderLengthAt,
  tcpMssAt,
  tcpOptions,
  tcpSequenceAt,
  tcpWindowAt,
} from "./tcp.js";
import { checkUdp, UDP_LENGTH, udpChecksumIsRight, udpDestinationPortAt, udpLengthAt, udpSourcePortAt } from "./udp.js";
import { deiOf, isTpid, pcpOf, tciAt, VLAN_TAG_LENGTH, vidOf } from "./vlan.js";

/** Tunnels in tunnels, tags on tags and quotes of quotes are followed this deep. */
const DEPTH_MAX = 8;

/** The bytes, and how many tunnels and quotes deep we are in them. */
interface Place {
  readonly bytes: Uint8Array;
  readonly depth: number;
}

/** One line per header of bytes[start, end). Never throws, whatever the bytes are. */
export function dissect(bytes: Uint8Array, start = 0, end = bytes.length): string[] {
  return ethernet({ bytes, depth: 0 }, start, Math.min(end, bytes.length));
}

/** Sixteen octets a line, as `0000  02 00 c0 …`; offsets count from `start`. */
export function hexDump(bytes: Uint8Array, start = 0, end = bytes.length): string[] {
  const lines: string[] = [];
  for (let at = start; at < end; at += 16) {
    const row = Array.from(bytes.subarray(at, Math.min(at + 16, end)), (octet) => hex(octet, 2));
    lines.push(`${hex(at - start, 4)}  ${row.join(" ")}`);
  }
  return lines;
}

/** The lines of what lies one level deeper, indented. */
function nested(place: Place, lines: (inner: Place) => string[]): string[] {
  if (place.depth === DEPTH_MAX) return ["nested too deep, not followed"];
  return lines({ ...place, depth: place.depth + 1 }).map((line) => `  ${line}`);
}

const octets = (count: number): string => (count === 1 ? "1 octet" : `${count} octets`);
const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");
const hex16 = (value: number): string => `0x${hex(value, 4)}`;
const unless = (right: boolean, what: string): string => (right ? "" : `, ${what} wrong`);

// Link layer.

function ethernet(place: Place, at: number, end: number): string[] {
  const { bytes } = place;
  if (checkEthernet(bytes, at, end)) return [`Ethernet, cut short: ${octets(Math.max(0, end - at))}`];
  const type = etherTypeAt(bytes, at);
  const route = `${formatMac(sourceMacAt(bytes, at))} > ${formatMac(destinationMacAt(bytes, at))}`;
  return [`Ethernet ${route}, ${etherTypeName(type)}`, ...linkPayload(place, at + ETHERNET_LENGTH, end, type)];
}

/** What follows a type field: tags, each with a type field of its own, and then the network layer. */
function linkPayload(place: Place, at: number, end: number, type: number, tagCount = 0): string[] {
  if (!isTpid(type)) return networkLayer(place, at, end, type);
  if (tagCount === DEPTH_MAX) return ["more tags, not followed"];
  if (end - at < VLAN_TAG_LENGTH) return [`VLAN tag, cut short: ${octets(end - at)}`];
  const tci = tciAt(place.bytes, at - 2); // the TPID is the type field before
  const next = u16(place.bytes, at + 2);
  const dei = deiOf(tci) ? ", DEI" : "";
  return [
    `VLAN tag VID ${vidOf(tci)}, PCP ${pcpOf(tci)}${dei}, ${etherTypeName(next)}`,
    ...linkPayload(place, at + VLAN_TAG_LENGTH, end, next, tagCount + 1),
  ];
}

function networkLayer(place: Place, at: number, end: number, type: number): string[] {
  switch (type) {
    case ETHERTYPE_IPV4:
      return ipv4(place, at, end);
    case ETHERTYPE_IPV6:
      return ipv6(place, at, end);
    case ETHERTYPE_ARP:
      return arp(place, at, end);
    default:
      return [`${octets(end - at)} of payload`];
  }
}

function etherTypeName(type: number): string {
  const name = ETHERTYPE_NAMES[type];
  if (name) return name;
  if (type < ETHERTYPE_MIN) return `802.2 length ${type}`;
  return isTpid(type) ? `tagged (${hex16(type)})` : `EtherType ${hex16(type)}`;
}

const ETHERTYPE_NAMES: Readonly<Record<number, string>> = {
  [ETHERTYPE_IPV4]: "IPv4",
  [ETHERTYPE_IPV6]: "IPv6",
  [ETHERTYPE_ARP]: "ARP",
  [ETHERTYPE_TEB]: "Ethernet",
  [ETHERTYPE_LLDP]: "LLDP",
  [ETHERTYPE_SLOW_PROTOCOLS]: "slow protocols",
  [ETHERTYPE_MPLS]: "MPLS",
};

function arp({ bytes }: Place, at: number, end: number): string[] {
  if (checkArp(bytes, at, end)) return [`ARP, malformed: ${octets(end - at)}, or not for IPv4 over Ethernet`];
  const operation = arpOperationAt(bytes, at);
  const sender = formatAddress(arpSenderAddressAt(bytes, at));
  const senderMac = formatMac(arpSenderMacAt(bytes, at));
  const target = formatAddress(arpTargetAddressAt(bytes, at));
  if (operation === ARP_REQUEST) return [`ARP who has ${target}, tell ${sender} at ${senderMac}`];
  if (operation === ARP_REPLY) return [`ARP ${sender} is at ${senderMac}, to ${target}`];
  return [`ARP operation ${operation}, ${sender} > ${target}`];
}

// Network layer.

/** Where an IP packet lies and what it carries. `isQuote`: in an ICMP error, where it may end anywhere behind the header. */
interface IpPacket {
  readonly at: number;
  readonly end: number;
  readonly protocol: number;
  readonly transportAt: number;
  readonly fragment: "none" | "first" | "later";
  /** In an IPv6 routing header. */
  readonly segmentsLeft: number;
  readonly isQuote: boolean;
}

function ipv4(place: Place, at: number, end: number, isQuote = false): string[] {
  const { bytes } = place;
  const problem = ipv4Problem(bytes, at, end, isQuote);
  if (problem) return [`IPv4, malformed: ${problem}`];
  const headerLength = ipv4HeaderLengthAt(bytes, at);
  const totalLength = ipv4TotalLengthAt(bytes, at);
  const packet: IpPacket = {
    at,
    end: Math.min(end, at + totalLength),
    protocol: ipv4ProtocolAt(bytes, at),
    transportAt: at + headerLength,
    fragment: ipv4FragmentAt(bytes, at),
    segmentsLeft: 0,
    isQuote,
  };
  const route = `${formatAddress(ipv4SourceAt(bytes, at))} > ${formatAddress(ipv4DestinationAt(bytes, at))}`;
  const more = ipv4MoreFragmentsAt(bytes, at) ? ", more fragments" : "";
  const parts = [
    `IPv4 ${route}, ${protocolName(packet.protocol)}, length ${totalLength}`,
    `, TTL ${ipv4TtlAt(bytes, at)}, id ${hex16(ipv4IdentificationAt(bytes, at))}`,
    ipv4DontFragmentAt(bytes, at) ? ", DF" : "",
    trafficClass(ipv4TosAt(bytes, at)),
    packet.fragment === "none" ? "" : `, fragment at ${ipv4FragmentOffsetAt(bytes, at)}${more}`,
    headerLength > IPV4_LENGTH ? `, ${ipv4OptionsText(bytes, at)}` : "",
    unless(ipv4ChecksumIsRight(bytes, at), "checksum"),
  ];
  return [parts.join(""), ...transport(place, packet), ...padding(packet, end)];
}

/** Why it is no IPv4 packet, if it is none. */
function ipv4Problem(bytes: Uint8Array, at: number, end: number, isQuote: boolean): string | undefined {
  if (!checkIpv4(bytes, at, end)) return undefined;
  if (end - at < IPV4_LENGTH) return `${octets(end - at)}, the header needs ${IPV4_LENGTH}`;
  if (u8(bytes, at) >>> 4 !== 4) return `version ${u8(bytes, at) >>> 4}`;
  const headerLength = ipv4HeaderLengthAt(bytes, at);
  if (headerLength < IPV4_LENGTH) return `header length ${headerLength}`;
  const totalLength = ipv4TotalLengthAt(bytes, at);
  if (totalLength < headerLength) return `total length ${totalLength} below header length ${headerLength}`;
  if (isQuote && headerLength <= end - at) return undefined;
  return `total length ${totalLength}, ${octets(end - at)} present`;
}

function ipv4OptionsText(bytes: Uint8Array, at: number): string {
  const { options, wellFormed } = ipv4Options(bytes, at);
  const list = options.map((option) => option.type).join(" ");
  return `options ${list || "none"}${wellFormed ? "" : ", then malformed"}`;
}

function ipv6(place: Place, at: number, end: number, isQuote = false): string[] {
  const { bytes } = place;
  const problem = ipv6Problem(bytes, at, end, isQuote);
  if (problem) return [`IPv6, malformed: ${problem}`];
  const payloadLength = ipv6PayloadLengthAt(bytes, at);
  const packetEnd = Math.min(end, at + IPV6_LENGTH + payloadLength);
  const chain = walkIpv6Extensions(bytes, at, packetEnd);
  const packet: IpPacket = { ...chain, at, end: packetEnd, isQuote };
  const route = `${formatAddress(ipv6SourceAt(bytes, at))} > ${formatAddress(ipv6DestinationAt(bytes, at))}`;
  const extensionsLength = chain.transportAt - at - IPV6_LENGTH;
  const flowLabel = ipv6FlowLabelAt(bytes, at);
  const parts = [
    `IPv6 ${route}, ${protocolName(chain.protocol)}, payload length ${payloadLength}`,
    `, hop limit ${ipv6HopLimitAt(bytes, at)}`,
    flowLabel ? `, flow label 0x${hex(flowLabel, 5)}` : "",
    trafficClass(ipv6TrafficClassAt(bytes, at)),
    extensionsLength ? `, ${octets(extensionsLength)} of extension headers` : "",
    chain.fragment === "none" ? "" : `, ${chain.fragment} fragment`,
    chain.ok ? "" : ", extension chain malformed",
  ];
  return [parts.join(""), ...(chain.ok ? transport(place, packet) : []), ...padding(packet, end)];
}

/** Why it is no IPv6 packet, if it is none. */
function ipv6Problem(bytes: Uint8Array, at: number, end: number, isQuote: boolean): string | undefined {
  if (!checkIpv6(bytes, at, end)) return undefined;
  if (end - at < IPV6_LENGTH) return `${octets(end - at)}, the header needs ${IPV6_LENGTH}`;
  if (u8(bytes, at) >>> 4 !== 6) return `version ${u8(bytes, at) >>> 4}`;
  const payloadLength = ipv6PayloadLengthAt(bytes, at);
  if (payloadLength === 0) return "jumbogram";
  return isQuote ? undefined : `payload length ${payloadLength}, ${octets(end - at - IPV6_LENGTH)} present`;
}

/** DSCP and ECN, when there is something to say. */
function trafficClass(value: number): string {
  const ecn = ["", ", ECT(1)", ", ECT(0)", ", CE"][value & 3]!;
  return (value >>> 2 ? `, DSCP ${value >>> 2}` : "") + ecn;
}

const padding = (packet: IpPacket, end: number): string[] =>
  end > packet.end ? [`${octets(end - packet.end)} of padding`] : [];

const protocolName = (protocol: number): string => PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`;

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  [PROTOCOL_HOP_BY_HOP]: "hop-by-hop options",
  [PROTOCOL_ICMP]: "ICMP",
  [PROTOCOL_IGMP]: "IGMP",
  [PROTOCOL_TCP]: "TCP",
  [PROTOCOL_UDP]: "UDP",
  [PROTOCOL_IPV6_ROUTING]: "routing header",
  [PROTOCOL_IPV6_FRAGMENT]: "fragment header",
  [PROTOCOL_GRE]: "GRE",
  [PROTOCOL_ESP]: "ESP",
  [PROTOCOL_AH]: "AH",
  [PROTOCOL_ICMPV6]: "ICMPv6",
  [PROTOCOL_NO_NEXT_HEADER]: "no next header",
  [PROTOCOL_DESTINATION_OPTIONS]: "destination options",
};

// Transport layer.

function transport(place: Place, packet: IpPacket): string[] {
  const payload = octets(packet.end - packet.transportAt);
  if (packet.fragment === "later") return [`${payload} of a fragment`];
  switch (packet.protocol) {
    case PROTOCOL_GRE:
      return gre(place, packet);
    case PROTOCOL_TCP:
      return tcp(place, packet);
    case PROTOCOL_UDP:
      return udp(place, packet);
    case PROTOCOL_ICMP:
      return icmp(place, packet);
    case PROTOCOL_ICMPV6:
      return icmpv6(place, packet);
    default:
      return [`${payload} of payload`];
  }
}

/** Is all there that a checksum covers? Not in a fragment, not in a quote, and not before the final destination is set. */
const isWhole = (packet: IpPacket): boolean =>
  packet.fragment === "none" && !packet.isQuote && packet.segmentsLeft === 0;

function gre(place: Place, packet: IpPacket): string[] {
  const { bytes } = place;
  const { transportAt: at, end } = packet;
  if (end - at < GRE_LENGTH) return [`GRE, cut short: ${octets(end - at)}`];
  const flags = greFlagsAt(bytes, at);
  const protocol = greProtocolAt(bytes, at);
  const about = `protocol ${hex16(protocol)}, flags ${hex16(flags)}`;
  if (flags & GRE_VERSION_BITS) return [`GRE version ${flags & GRE_VERSION_BITS}, ${about}`];
  if (flags & GRE_REFUSED_BITS) return [`GRE, ${about}, reserved bits set`];
  const length = greLengthAt(bytes, at);
  if (end - at < length) return [`GRE, ${about}, cut short: ${octets(end - at)}, the header needs ${length}`];
  const inner = (below: Place): string[] =>
    protocol === ETHERTYPE_TEB ? ethernet(below, at + length, end) : linkPayload(below, at + length, end, protocol);
  return [greText(bytes, packet), ...nested(place, inner)];
}

/** NVGRE's own form when it carries Ethernet under a key, plain GRE otherwise. */
function greText(bytes: Uint8Array, packet: IpPacket): string {
  const { transportAt: at, end } = packet;
  const protocol = greProtocolAt(bytes, at);
  const key = greKeyAt(bytes, at);
  const check = greChecksumAt(bytes, at);
  const sequence = greSequenceAt(bytes, at);
  const rest = [
    check === null ? "" : `, checksum ${hex16(check)}`,
    isWhole(packet) ? unless(greChecksumIsRight(bytes, at, end), "checksum") : "",
    sequence === null ? "" : `, sequence ${sequence}`,
  ].join("");
  if (key === null) return `GRE ${etherTypeName(protocol)}${rest}`;
  if (protocol !== ETHERTYPE_TEB) return `GRE ${etherTypeName(protocol)}, key 0x${hex(key, 8)}${rest}`;
  return `NVGRE VSID ${vsidOfKey(key)}, FlowID 0x${hex(flowIdOfKey(key), 2)}${rest}`;
}

function tcp({ bytes }: Place, packet: IpPacket): string[] {
  const { at: ipAt, transportAt: at, end } = packet;
  const name = `TCP${ports(bytes, packet)}`;
  if (checkTcp(bytes, at, end)) return [`${name}, cut short or malformed: ${octets(end - at)}`];
  const flags = tcpFlagsAt(bytes, at);
  const mss = tcpMssAt(bytes, at);
  const parts = [
    `${name}, ${tcpFlagNames(flags)}, seq ${tcpSequenceAt(bytes, at)}`,
    flags & TCP_ACK ? `, ack ${tcpAcknowledgmentAt(bytes, at)}` : "",
    `, window ${tcpWindowAt(bytes, at)}`,
    mss === null ? "" : `, MSS ${mss}`,
    tcpOptions(bytes, at).wellFormed ? "" : ", options malformed",
    `, ${octets(end - at - tcpHeaderLengthAt(bytes, at))} of data`,
    isWhole(packet) ? unless(tcpChecksumIsRight(bytes, ipAt, at, end), "checksum") : "",
  ];
  return [parts.join("")];
}

function tcpFlagNames(flags: number): string {
  const names = TCP_FLAG_NAMES.filter(([bit]) => flags & bit).map(([, name]) => name);
  return names.join(" ") || "no flags";
}

const TCP_FLAG_NAMES = [
  [TCP_SYN, "SYN"],
  [TCP_FIN, "FIN"],
  [TCP_RST, "RST"],
  [TCP_PSH, "PSH"],
  [TCP_ACK, "ACK"],
  [TCP_URG, "URG"],
  [TCP_ECE, "ECE"],
  [TCP_CWR, "CWR"],
] as const;

function udp({ bytes }: Place, packet: IpPacket): string[] {
  const { at: ipAt, transportAt: at, end } = packet;
  const name = `UDP${ports(bytes, packet)}`;
  // The length field counts the whole datagram, of which a fragment or quote has only a part.
  const isCut = isWhole(packet) ? checkUdp(bytes, at, end) !== Reason.NONE : end - at < UDP_LENGTH;
  if (isCut) return [`${name}, cut short or malformed: ${octets(end - at)}`];
  const wrong = isWhole(packet) ? unless(udpChecksumIsRight(bytes, ipAt, at), "checksum") : "";
  return [`${name}, length ${udpLengthAt(bytes, at)}${wrong}`, ...(isWhole(packet) ? dhcp(bytes, at) : [])];
}

/** DHCP of either family behind a checked UDP header, told by its ports; no line for anything else. */
function dhcp(bytes: Uint8Array, udpAt: number): string[] {
  const ports = [udpSourcePortAt(bytes, udpAt), udpDestinationPortAt(bytes, udpAt)];
  const at = udpAt + UDP_LENGTH;
  const end = udpAt + udpLengthAt(bytes, udpAt);
  if (ports.includes(DHCP_SERVER_PORT)) return [dhcpv4Text(bytes, at, end)];
  return ports.includes(DHCPV6_SERVER_PORT) || ports.includes(DHCPV6_CLIENT_PORT) ? [dhcpv6Text(bytes, at, end)] : [];
}

function dhcpv4Text(bytes: Uint8Array, at: number, end: number): string {
  if (checkDhcp(bytes, at, end)) return `DHCP, cut short or malformed: ${octets(end - at)}`;
  const type = dhcpMessageType(bytes, at, end);
  const yours = dhcpYourAddressAt(bytes, at);
  return [
    `DHCP ${type === undefined ? "without message type" : (DHCP_NAMES[type] ?? `type ${type}`)}`,
    `, client ${formatMac(dhcpClientMacAt(bytes, at))}`,
    isUnspecified(yours) ? "" : `, address ${formatAddress(yours)}`,
    isDhcpRelayed(bytes, at) ? ", relayed" : "",
  ].join("");
}

const DHCP_NAMES: Readonly<Record<number, string>> = {
  [DHCP_DISCOVER]: "discover",
  [DHCP_OFFER]: "offer",
  [DHCP_REQUEST]: "request",
  [DHCP_DECLINE]: "decline",
  [DHCP_ACK]: "ack",
  [DHCP_NAK]: "nak",
  [DHCP_RELEASE]: "release",
  [DHCP_INFORM]: "inform",
};

function dhcpv6Text(bytes: Uint8Array, at: number, end: number): string {
  if (end - at >= 1 && DHCPV6_RELAYS.includes(dhcpv6TypeAt(bytes, at))) return "DHCPv6 relay message";
  if (checkDhcpv6(bytes, at, end)) return `DHCPv6, cut short or malformed: ${octets(end - at)}`;
  const type = dhcpv6TypeAt(bytes, at);
  const client = dhcpv6ClientMac(bytes, at, end);
  const addresses = dhcpv6LeasedAddresses(bytes, at, end).map(formatAddress);
  return [
    `DHCPv6 ${DHCPV6_NAMES[type] ?? `type ${type}`}`,
    client === undefined ? "" : `, client ${formatMac(client)}`,
    addresses.length === 0 ? "" : `, address ${addresses.join(" ")}`,
  ].join("");
}

const DHCPV6_RELAYS: readonly number[] = [DHCPV6_RELAY_FORWARD, DHCPV6_RELAY_REPLY];

/** RFC 8415 §7.3. */
const DHCPV6_NAMES: Readonly<Record<number, string>> = {
  [DHCPV6_SOLICIT]: "solicit",
  [DHCPV6_ADVERTISE]: "advertise",
  3: "request",
  4: "confirm",
  5: "renew",
  6: "rebind",
  [DHCPV6_REPLY]: "reply",
  8: "release",
  9: "decline",
  [DHCPV6_RECONFIGURE]: "reconfigure",
  11: "information request",
};

/** TCP and UDP both begin with them. */
const ports = (bytes: Uint8Array, { transportAt: at, end }: IpPacket): string =>
  end - at < 4 ? "" : ` ${udpSourcePortAt(bytes, at)} > ${udpDestinationPortAt(bytes, at)}`;

function icmp(place: Place, packet: IpPacket): string[] {
  const { bytes } = place;
  const { transportAt: at, end } = packet;
  if (checkIcmp(bytes, at, end)) return [`ICMP, cut short: ${octets(end - at)}`];
  const type = icmpTypeAt(bytes, at);
  const wrong = isWhole(packet) ? unless(icmpChecksumIsRight(bytes, at, end), "checksum") : "";
  const data = `${octets(end - at - ICMP_LENGTH)} of data`;
  const line = `ICMP ${ICMP_NAMES[type] ?? `type ${type}`}${icmpText(bytes, at)}, ${data}${wrong}`;
  return isIcmpError(type) ? [line, ...quote(place, at + ICMP_LENGTH, end)] : [line];
}

function icmpText(bytes: Uint8Array, at: number): string {
  const type = icmpTypeAt(bytes, at);
  const code = icmpCodeAt(bytes, at);
  if (type === ICMP_ECHO_REQUEST || type === ICMP_ECHO_REPLY) {
    return `, id ${icmpIdentifierAt(bytes, at)}, seq ${icmpSequenceAt(bytes, at)}`;
  }
  const isTooBig = type === ICMP_UNREACHABLE && code === ICMP_FRAGMENTATION_NEEDED;
  return isTooBig ? `, code ${code}, MTU ${icmpNextHopMtuAt(bytes, at)}` : `, code ${code}`;
}

const ICMP_NAMES: Readonly<Record<number, string>> = {
  [ICMP_ECHO_REPLY]: "echo reply",
  [ICMP_UNREACHABLE]: "destination unreachable",
  [ICMP_REDIRECT]: "redirect",
  [ICMP_ECHO_REQUEST]: "echo request",
  [ICMP_TIME_EXCEEDED]: "time exceeded",
};

function icmpv6(place: Place, packet: IpPacket): string[] {
  const { bytes } = place;
  const { at: ipAt, transportAt: at, end } = packet;
  if (checkIcmpv6(bytes, at, end)) return [`ICMPv6, cut short: ${octets(end - at)}`];
  const type = icmpv6TypeAt(bytes, at);
  // Under IPv4 there is no pseudo header that it could be right with.
  const isRight = u8(bytes, ipAt) >>> 4 === 6 && icmpv6ChecksumIsRight(bytes, ipAt, at, end);
  const wrong = isWhole(packet) ? unless(isRight, "checksum") : "";
  const line = `ICMPv6 ${ICMPV6_NAMES[type] ?? `type ${type}`}${icmpv6Text(bytes, at, end)}${wrong}`;
  return isIcmpv6Error(type) ? [line, ...quote(place, at + ICMPV6_LENGTH, end)] : [line];
}

function icmpv6Text(bytes: Uint8Array, at: number, end: number): string {
  const type = icmpv6TypeAt(bytes, at);
  const data = `${octets(end - at - ICMPV6_LENGTH)} of data`;
  if (isNdType(type)) return ndText(bytes, at, end);
  if (type === ICMPV6_ECHO_REQUEST || type === ICMPV6_ECHO_REPLY) {
    return `, id ${icmpv6IdentifierAt(bytes, at)}, seq ${icmpv6SequenceAt(bytes, at)}, ${data}`;
  }
  if (type === ICMPV6_PACKET_TOO_BIG) return `, MTU ${icmpv6MtuAt(bytes, at)}, ${data}`;
  return `, code ${icmpv6CodeAt(bytes, at)}, ${data}`;
}

function ndText(bytes: Uint8Array, at: number, end: number): string {
  const type = icmpv6TypeAt(bytes, at);
  const hasTarget = type >= ND_NEIGHBOR_SOLICITATION;
  const isAnswer = type === ND_NEIGHBOR_ADVERTISEMENT || type === ND_REDIRECT;
  const mac = ndLinkLayerAddress(bytes, at, end, isAnswer ? ND_OPTION_TARGET_MAC : ND_OPTION_SOURCE_MAC);
  return [
    hasTarget ? `, target ${formatAddress(ndTargetAt(bytes, at))}` : "",
    mac === undefined ? "" : `, ${isAnswer ? "at" : "from"} ${formatMac(mac)}`,
    ndOptions(bytes, at, end).wellFormed ? "" : ", options malformed",
  ].join("");
}

const ICMPV6_NAMES: Readonly<Record<number, string>> = {
  [ICMPV6_UNREACHABLE]: "destination unreachable",
  [ICMPV6_PACKET_TOO_BIG]: "packet too big",
  [ICMPV6_TIME_EXCEEDED]: "time exceeded",
  [ICMPV6_PARAMETER_PROBLEM]: "parameter problem",
  [ICMPV6_ECHO_REQUEST]: "echo request",
  [ICMPV6_ECHO_REPLY]: "echo reply",
  [ND_ROUTER_SOLICITATION]: "router solicitation",
  [ND_ROUTER_ADVERTISEMENT]: "router advertisement",
  [ND_NEIGHBOR_SOLICITATION]: "neighbor solicitation",
  [ND_NEIGHBOR_ADVERTISEMENT]: "neighbor advertisement",
  [ND_REDIRECT]: "redirect",
};

/** The packet that an error complains about, as far as it was sent along. */
function quote(place: Place, at: number, end: number): string[] {
  if (at === end) return [];
  const version = u8(place.bytes, at) >>> 4;
  return nested(place, (inner) => {
    if (version === 4) return ipv4(inner, at, end, true);
    return version === 6 ? ipv6(inner, at, end, true) : [`${octets(end - at)} quoted`];
  });
}
