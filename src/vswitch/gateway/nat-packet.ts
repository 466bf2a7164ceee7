/**
 * What a NAT reads of a packet, and the translation of error messages. They quote the packet that they are about, as it was where it
 * went wrong; what is quoted is translated back, or its sender would not know it again (RFC 5508 REQ-4 and REQ-5). All other packets
 * get their new addresses and ports from the header transposition.
 */
import type { ParsedFrame, ParsedIp } from "../../dataplane/packet/index.js";
import { messageIsIntact } from "../../dataplane/slowpath/index.js";
import type { AddressRewrite } from "../../dataplane/transposition/index.js";
import {
  type Address,
  type AddressFamily,
  addressAt,
  addressLength,
  checksumSum,
  decrementIpv4Ttl,
  decrementIpv6HopLimit,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_IDENTIFIER,
  ICMP_REDIRECT,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  isIcmpError,
  isIcmpv6Error,
  type Mac,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  setIcmpChecksum,
  setIcmpv6Checksum,
  setIpv4Addresses,
  setIpv6Addresses,
  setU16,
  transportChecksumOf,
  u8,
  u16,
  updateChecksumOfPart,
  writeEthernet,
} from "../../dataplane/wire/index.js";
import type { NatProtocol } from "../settings.js";
import type { Endpoint } from "./nat-table.js";

/** A packet of a flow that a binding can be for; of ICMP echo, both ends have the identifier as their port. */
export interface NatFlow {
  readonly kind: "flow";
  readonly protocol: NatProtocol;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  /** Is it an echo reply? No flow begins with one. */
  readonly isReply: boolean;
  /** Of TCP; else 0. */
  readonly tcpFlags: number;
}

/** An error message, and the endpoints of the packet that it quotes. */
export interface QuotingError {
  readonly kind: "error";
  readonly quoted: NatFlow;
}

export type NatPacket =
  | NatFlow
  | QuotingError
  | { readonly kind: "fragment" }
  /** Neither TCP, UDP nor ICMP that a NAT knows. */
  | { readonly kind: "other" }
  | { readonly kind: "malformed" };

/** From the beginning of a TCP header to the end of its checksum. */
const TCP_NEEDED = 18;
/** The least that an error message quotes of the transport (RFC 792), and the length of a header of UDP and ICMP. */
const EIGHT = 8;

export function readNatPacket(bytes: Uint8Array, ip: ParsedIp): NatPacket {
  if (ip.fragment !== "none") return { kind: "fragment" };
  return readWhole(bytes, ip);
}

/** The flow of a first fragment, which has the headers that its followers lack. */
export function readFirstFragment(bytes: Uint8Array, ip: ParsedIp): NatFlow | undefined {
  const read = readWhole(bytes, ip);
  return read.kind === "flow" ? read : undefined;
}

function readWhole(bytes: Uint8Array, ip: ParsedIp): NatPacket {
  const { family, protocol, transportAt, end } = ip;
  const isIcmp = protocol === icmpOf(family);
  if (!isIcmp && protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return { kind: "other" };
  const flow = readFlow(bytes, family, protocol, ip.source, ip.destination, transportAt, end, TCP_NEEDED);
  if (flow) return flow;
  if (!isIcmp || end - transportAt < EIGHT) return { kind: "malformed" }; // cut short
  if (!isTranslated(family, u8(bytes, transportAt))) return { kind: "other" };
  if (!messageIsIntact(bytes, ip)) return { kind: "malformed" }; // RFC 5508 REQ-3 (a)
  const quoted = readQuoted(bytes, family, transportAt + EIGHT, end);
  return quoted ? { kind: "error", quoted } : { kind: "other" };
}

/** A redirect is for a link and its hosts, and means nothing behind a router. */
const isTranslated = (family: AddressFamily, type: number): boolean =>
  family === 4 ? isIcmpError(type) && type !== ICMP_REDIRECT : isIcmpv6Error(type);

const icmpOf = (family: AddressFamily): number => (family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6);

function readFlow(
  bytes: Uint8Array,
  family: AddressFamily,
  protocol: number,
  source: Address,
  destination: Address,
  at: number,
  end: number,
  tcpNeeded: number,
): NatFlow | undefined {
  const room = end - at;
  const isTcp = protocol === PROTOCOL_TCP;
  if (room < (isTcp ? tcpNeeded : EIGHT)) return undefined;
  if (isTcp || protocol === PROTOCOL_UDP) {
    return {
      kind: "flow",
      protocol: isTcp ? "tcp" : "udp",
      source: { address: source, port: u16(bytes, at) },
      destination: { address: destination, port: u16(bytes, at + 2) },
      isReply: false,
      tcpFlags: isTcp && room > 13 ? u8(bytes, at + 13) : 0,
    };
  }
  if (protocol !== icmpOf(family)) return undefined;
  const type = u8(bytes, at);
  const [request, reply] =
    family === 4 ? [ICMP_ECHO_REQUEST, ICMP_ECHO_REPLY] : [ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY];
  if (type !== request && type !== reply) return undefined;
  const port = u16(bytes, at + 4);
  return {
    kind: "flow",
    protocol: "icmp",
    source: { address: source, port },
    destination: { address: destination, port },
    isReply: type === reply,
    tcpFlags: 0,
  };
}

/** The packet in an error message: cut off anywhere behind its first eight octets of transport (RFC 792), else of no use. */
function readQuoted(bytes: Uint8Array, family: AddressFamily, at: number, end: number): NatFlow | undefined {
  const transportAt = quotedTransportAt(bytes, family, at, end);
  if (transportAt === undefined) return undefined;
  const protocol = u8(bytes, at + protocolIn(family));
  const addresses = at + addressesIn(family);
  const source = addressAt(family, bytes, addresses);
  const destination = addressAt(family, bytes, addresses + addressLength(family));
  return readFlow(bytes, family, protocol, source, destination, transportAt, end, EIGHT);
}

/** IPv6 extension headers inside are not walked: such a message is not translated. */
function quotedTransportAt(bytes: Uint8Array, family: AddressFamily, at: number, end: number): number | undefined {
  const least = family === 4 ? 20 : 40;
  if (end - at < least + EIGHT || u8(bytes, at) >>> 4 !== family) return undefined;
  if (family === 6) return at + least;
  const length = (u8(bytes, at) & 15) * 4;
  const isLater = (u16(bytes, at + 6) & 0x1fff) !== 0;
  return length < least || isLater || end - at < length + EIGHT ? undefined : at + length;
}

const protocolIn = (family: AddressFamily): number => (family === 4 ? 9 : 6);
const addressesIn = (family: AddressFamily): number => (family === 4 ? 12 : 8);

/** The end of the quoted packet that was translated on its way, as its sender knows it. */
export type QuotedEnd = { readonly source: Endpoint } | { readonly destination: Endpoint };

export interface Link {
  readonly destination: Mac;
  readonly source: Mac;
}

/**
 * The error message of `frame` one hop on, as a frame on `link`: with a new address of its own, source or destination, and the quoted
 * packet as its sender knows it. Code and type stay (RFC 5508 REQ-4, REQ-5).
 */
export function translatedError(
  bytes: Uint8Array,
  frame: ParsedFrame,
  link: Link,
  outer: AddressRewrite,
  quoted: QuotedEnd,
): Uint8Array {
  const ip = frame.ip!;
  const { family } = ip;
  const out = forwarded(bytes, frame, link);
  const at = ETHERNET_LENGTH;
  const icmpAt = at + ip.transportAt - ip.at;
  const end = at + ip.end - ip.at;
  translateQuoted(out, family, icmpAt + EIGHT, end, quoted);
  setAddresses(out, family, at, outer.source ?? ip.source, outer.destination ?? ip.destination);
  if (family === 4) setIcmpChecksum(out, icmpAt, end);
  else setIcmpv6Checksum(out, at, icmpAt, end);
  return out;
}

/** The frame's packet with what follows it, without a tag, on another link, one hop on. */
export function forwarded(bytes: Uint8Array, frame: ParsedFrame, link: Link): Uint8Array {
  const { family } = frame.ip!;
  const out = new Uint8Array(ETHERNET_LENGTH + frame.end - frame.networkAt);
  writeEthernet(out, 0, link.destination, link.source, family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
  out.set(bytes.subarray(frame.networkAt, frame.end), ETHERNET_LENGTH);
  if (family === 4) decrementIpv4Ttl(out, ETHERNET_LENGTH);
  else decrementIpv6HopLimit(out, ETHERNET_LENGTH);
  return out;
}

/** Addresses, ports and checksums of the packet that begins at `at`, which ends where its quotation does. */
function translateQuoted(out: Uint8Array, family: AddressFamily, at: number, end: number, quoted: QuotedEnd): void {
  const isSource = "source" in quoted;
  const { address, port } = isSource ? quoted.source : quoted.destination;
  const addressesAt = at + addressesIn(family);
  const length = addressLength(family);
  const protocol = u8(out, at + protocolIn(family));
  const transportAt = quotedTransportAt(out, family, at, end)!;
  const portAt = transportAt + (protocol === icmpOf(family) ? ICMP_IDENTIFIER : isSource ? 0 : 2);

  const addressesBefore = checksumSum(out, addressesAt, addressesAt + 2 * length);
  const portBefore = u16(out, portAt);
  const source = isSource ? address : addressAt(family, out, addressesAt);
  const destination = isSource ? addressAt(family, out, addressesAt + length) : address;
  setAddresses(out, family, at, source, destination);
  setU16(out, portAt, port);
  const addressesAfter = checksumSum(out, addressesAt, addressesAt + 2 * length);

  const { offset, coversAddresses, zeroIsNone } = transportChecksumOf(family, protocol)!;
  const checksumAt = transportAt + offset;
  if (checksumAt + 2 > end) return; // TCP, cut before it
  const old = u16(out, checksumAt);
  if (old === 0 && zeroIsNone) return;
  const [before, after] = coversAddresses ? [addressesBefore, addressesAfter] : [0, 0];
  const updated = updateChecksumOfPart(old, before + portBefore, after + port);
  setU16(out, checksumAt, updated === 0 && zeroIsNone ? 0xffff : updated);
}

function setAddresses(out: Uint8Array, family: AddressFamily, at: number, source: Address, destination: Address): void {
  if (family === 4) setIpv4Addresses(out, at, source, destination);
  else setIpv6Addresses(out, at, source, destination);
}
