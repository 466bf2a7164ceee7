/**
 * Error messages about packets that a router cannot forward, ICMP (RFC 792, RFC 1191, RFC 1812 §4.3) and ICMPv6 (RFC 4443).
 *
 * An error about an error, or one that many would send, or one to an address that is not a single host's, could multiply without
 * end; the standards forbid those, and `errorAbout` then gives none.
 */
import type { ParsedFrame, ParsedIp } from "../../packet/parse.js";
import { type Address, isLimitedBroadcast, isMulticast, isUnicast } from "../../wire/address.js";
import { type Mac, u8 } from "../../wire/bytes.js";
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, writeEthernet } from "../../wire/ethernet.js";
import {
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_LENGTH,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  isIcmpError,
  setIcmpChecksum,
  writeIcmp,
} from "../../wire/icmp.js";
import {
  ICMPV6_LENGTH,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_TIME_EXCEEDED,
  isIcmpv6Error,
  ND_REDIRECT,
  setIcmpv6Checksum,
  writeIcmpv6,
} from "../../wire/icmpv6.js";
import { IPV4_LENGTH, PROTOCOL_ICMP, PROTOCOL_ICMPV6, writeIpv4 } from "../../wire/ipv4.js";
import { IPV6_LENGTH, IPV6_MTU_MIN, writeIpv6 } from "../../wire/ipv6.js";
import { isGroupMac } from "../../wire/mac.js";

export type Problem =
  /** The packet does not fit, and may not be cut; the longest that would. */
  { readonly kind: "tooBig"; readonly mtu: number } | { readonly kind: "timeExceeded" };

/** Who complains. */
export interface Router {
  readonly address: Address;
  readonly mac: Mac;
}

/** The longest error message, IP header included: RFC 1812 §4.3.2.3. */
const ICMP_PACKET_MAX = 576;
/** RFC 4443 §2.4 (c). */
const ICMPV6_PACKET_MAX = IPV6_MTU_MIN;
const TTL = 128;
/** RFC 1812 §4.3.2.5: precedence 6, internetwork control; in today's words DSCP CS6. */
const INTERNETWORK_CONTROL = 0xc0;

/** The frame that tells the sender of `frame` about the problem; null if nobody may be told. `router` is of the packet's family. */
export function errorAbout(bytes: Uint8Array, frame: ParsedFrame, problem: Problem, router: Router): Uint8Array | null {
  const { ip } = frame;
  if (ip === null || isGroupMac(frame.destination)) return null;
  if (ip.family === 4) return mayTell(bytes, ip) ? icmpError(bytes, frame, ip, problem, router) : null;
  // RFC 4443 §3.2: no link carries less, so less can not be asked for.
  if (problem.kind === "tooBig" && problem.mtu < IPV6_MTU_MIN) return null;
  return mayTellIpv6(bytes, ip) ? icmpv6Error(bytes, frame, ip, problem, router) : null;
}

/** RFC 1812 §4.3.2.7. */
function mayTell(bytes: Uint8Array, ip: ParsedIp): boolean {
  if (ip.fragment === "later") return false;
  if (isMulticast(ip.destination) || isLimitedBroadcast(ip.destination)) return false;
  if (!isSingleHost(ip.source)) return false;
  return ip.protocol !== PROTOCOL_ICMP || !isError(bytes, ip, isIcmpError);
}

/** Not "this network", loopback, a group, or of the reserved range. */
function isSingleHost(source: Address): boolean {
  const first = source.w3 >>> 24;
  return isUnicast(source) && first !== 0 && first !== 127 && first < 224;
}

/** RFC 4443 §2.4 (e). */
function mayTellIpv6(bytes: Uint8Array, ip: ParsedIp): boolean {
  if (isMulticast(ip.destination) || !isUnicast(ip.source)) return false;
  const isTold = (type: number): boolean => isIcmpv6Error(type) || type === ND_REDIRECT;
  return ip.protocol !== PROTOCOL_ICMPV6 || !isError(bytes, ip, isTold);
}

/** Does the ICMP message in the packet say so by its type? What does not show its type may be an error too. */
function isError(bytes: Uint8Array, ip: ParsedIp, judge: (type: number) => boolean): boolean {
  return ip.fragment === "later" || ip.transportAt >= ip.end || judge(u8(bytes, ip.transportAt));
}

function icmpError(bytes: Uint8Array, about: ParsedFrame, ip: ParsedIp, problem: Problem, router: Router): Uint8Array {
  const at = ETHERNET_LENGTH + IPV4_LENGTH;
  const quoted = bytes.subarray(ip.at, Math.min(ip.end, ip.at + ICMP_PACKET_MAX - IPV4_LENGTH - ICMP_LENGTH));
  const frame = new Uint8Array(at + ICMP_LENGTH + quoted.length);
  writeEthernet(frame, 0, about.source, router.mac, ETHERTYPE_IPV4);
  writeIpv4(frame, ETHERNET_LENGTH, {
    source: router.address,
    destination: ip.source,
    protocol: PROTOCOL_ICMP,
    ttl: TTL,
    payloadLength: ICMP_LENGTH + quoted.length,
    tos: INTERNETWORK_CONTROL,
    dontFragment: true, // and no identification: RFC 6864 §4.1 leaves atomic datagrams without one
  });
  if (problem.kind === "tooBig")
    writeIcmp(frame, at, ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED, problem.mtu); // RFC 1191 §4
  else writeIcmp(frame, at, ICMP_TIME_EXCEEDED, 0, 0);
  frame.set(quoted, at + ICMP_LENGTH);
  setIcmpChecksum(frame, at, frame.length);
  return frame;
}

function icmpv6Error(
  bytes: Uint8Array,
  about: ParsedFrame,
  ip: ParsedIp,
  problem: Problem,
  router: Router,
): Uint8Array {
  const at = ETHERNET_LENGTH + IPV6_LENGTH;
  const quoted = bytes.subarray(ip.at, Math.min(ip.end, ip.at + ICMPV6_PACKET_MAX - IPV6_LENGTH - ICMPV6_LENGTH));
  const frame = new Uint8Array(at + ICMPV6_LENGTH + quoted.length);
  writeEthernet(frame, 0, about.source, router.mac, ETHERTYPE_IPV6);
  writeIpv6(frame, ETHERNET_LENGTH, {
    source: router.address,
    destination: ip.source,
    nextHeader: PROTOCOL_ICMPV6,
    hopLimit: TTL,
    payloadLength: ICMPV6_LENGTH + quoted.length,
    trafficClass: INTERNETWORK_CONTROL,
  });
  if (problem.kind === "tooBig")
    writeIcmpv6(frame, at, ICMPV6_PACKET_TOO_BIG, 0, problem.mtu); // RFC 4443 §3.2
  else writeIcmpv6(frame, at, ICMPV6_TIME_EXCEEDED, 0, 0);
  frame.set(quoted, at + ICMPV6_LENGTH);
  setIcmpv6Checksum(frame, ETHERNET_LENGTH, at, frame.length);
  return frame;
}
