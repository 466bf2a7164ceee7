/**
 * Path MTU discovery on the provider network: routers that cannot forward an NVGRE packet say so by ICMP to the provider address that
 * sent it (RFC 1191, RFC 8201), because DF is set and nothing may cut it (RFC 7637 §4.4).
 *
 *     ICMP  3/4, next-hop MTU ┐
 *     ICMPv6 2, MTU           ┘ [outer IP: our PA -> their PA][GRE 0x2000 0x6558 VSID …]    the quote: what we had sent
 *
 * Anybody can send such a message, and it can make a host believe in a path too small to be of use. So it must quote what we send: from the
 * provider address that it is sent to, to a provider address of our records, with DF, and longer than the MTU that it tells
 * (RFC 5927 §7). What it tells never raises an MTU, and never lowers it below 576 octets for IPv4; it is forgotten after ten minutes.
 *
 * The quote is too short to say which VM sent the packet inside. The next packet that does not fit is answered, or cut.
 */
import type { ParsedIp } from "../../packet/parse.js";
import type { HostPolicy, ProviderAddress } from "../../policy/policy.js";
import { type Address, addressAt, sameAddress } from "../../wire/address.js";
import { u16, u32 } from "../../wire/bytes.js";
import { ETHERTYPE_TEB } from "../../wire/ethernet.js";
import { GRE_KEY_PRESENT } from "../../wire/gre.js";
import {
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_LENGTH,
  ICMP_UNREACHABLE,
  icmpChecksumIsRight,
  icmpCodeAt,
  icmpNextHopMtuAt,
  icmpTypeAt,
} from "../../wire/icmp.js";
import { ICMPV6_LENGTH, ICMPV6_PACKET_TOO_BIG, icmpv6ChecksumIsRight, icmpv6MtuAt } from "../../wire/icmpv6.js";
import {
  IPV4_LENGTH,
  ipv4DontFragmentAt,
  ipv4HeaderLengthAt,
  ipv4ProtocolAt,
  ipv4TotalLengthAt,
  PROTOCOL_GRE,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
} from "../../wire/ipv4.js";
import { IPV6_LENGTH, IPV6_MTU_MIN, ipv6NextHeaderAt, ipv6PayloadLengthAt } from "../../wire/ipv6.js";

/** What every IPv4 path is taken to carry; a lower report is raised to it. */
const IPV4_PATH_MTU_MIN = 576;

export type PathMtuMessage =
  | { readonly kind: "learnt"; readonly destination: Address; readonly mtu: number }
  | { readonly kind: "ignored"; readonly why: string };

/**
 * What a "too big" message (`isTooBigMessage`) that has reached the provider address `pa` tells about an NVGRE packet of ours; null if it is
 * about something else.
 */
export function pathMtuMessage(
  policy: HostPolicy,
  bytes: Uint8Array,
  ip: ParsedIp,
  pa: ProviderAddress,
): PathMtuMessage | null {
  const quote = ip.family === 4 ? quotedIpv4(bytes, ip) : quotedIpv6(bytes, ip);
  if (!quote || !sameAddress(quote.source, pa.providerAddress)) return null;

  const { destination } = quote;
  const isRight =
    ip.family === 4
      ? icmpChecksumIsRight(bytes, ip.transportAt, ip.end)
      : icmpv6ChecksumIsRight(bytes, ip.at, ip.transportAt, ip.end);
  if (!isRight) return ignored("its checksum is wrong");
  if (!quote.dontFragment) return ignored("it quotes a packet without DF");
  if (!policy.lookupRecords.hasProviderAddress(destination)) return ignored("no lookup record names the destination");
  const mtu = ip.family === 4 ? icmpNextHopMtuAt(bytes, ip.transportAt) : icmpv6MtuAt(bytes, ip.transportAt);
  if (ip.family === 4 && mtu === 0) return ignored("it tells no MTU, as routers before RFC 1191 do");
  if (ip.family === 6 && mtu < IPV6_MTU_MIN) return ignored(`${mtu} octets are less than any IPv6 path carries`);
  if (mtu >= quote.length) return ignored(`the packet of ${quote.length} octets would have fitted ${mtu}`);

  const believed = ip.family === 4 ? Math.max(mtu, IPV4_PATH_MTU_MIN) : mtu;
  const known = policy.pathMtus.find(destination);
  if (known !== undefined && known < believed) return ignored(`a smaller path MTU of ${known} is known`);
  if (known === undefined && policy.pathMtus.isFull) return ignored("so many paths are known that there is no room");
  return { kind: "learnt", destination, mtu: believed };
}

const ignored = (why: string): PathMtuMessage => ({ kind: "ignored", why });

/** ICMP "fragmentation needed", or ICMPv6 Packet Too Big, whose code counts for nothing (RFC 4443 §3.2). */
export function isTooBigMessage(
  bytes: Uint8Array,
  { family, protocol, fragment, transportAt, end }: ParsedIp,
): boolean {
  if (fragment !== "none" || end - transportAt < ICMP_LENGTH) return false;
  const type = icmpTypeAt(bytes, transportAt);
  if (family === 6) return protocol === PROTOCOL_ICMPV6 && type === ICMPV6_PACKET_TOO_BIG;
  const code = icmpCodeAt(bytes, transportAt);
  return protocol === PROTOCOL_ICMP && type === ICMP_UNREACHABLE && code === ICMP_FRAGMENTATION_NEEDED;
}

/** The packet that a message quotes, if it is NVGRE; only its first octets are there. */
interface Quote {
  readonly source: Address;
  readonly destination: Address;
  readonly dontFragment: boolean;
  /** Of the packet as it was. */
  readonly length: number;
}

function quotedIpv4(bytes: Uint8Array, { transportAt, end }: ParsedIp): Quote | null {
  const at = transportAt + ICMP_LENGTH;
  if (end - at < IPV4_LENGTH || u16(bytes, at) >>> 12 !== 4 || ipv4ProtocolAt(bytes, at) !== PROTOCOL_GRE) return null;
  if (!isNvgre(bytes, at + ipv4HeaderLengthAt(bytes, at), end)) return null;
  return {
    source: addressAt(4, bytes, at + 12),
    destination: addressAt(4, bytes, at + 16),
    dontFragment: ipv4DontFragmentAt(bytes, at),
    length: ipv4TotalLengthAt(bytes, at),
  };
}

function quotedIpv6(bytes: Uint8Array, { transportAt, end }: ParsedIp): Quote | null {
  const at = transportAt + ICMPV6_LENGTH;
  if (end - at < IPV6_LENGTH || u16(bytes, at) >>> 12 !== 6 || ipv6NextHeaderAt(bytes, at) !== PROTOCOL_GRE)
    return null;
  if (!isNvgre(bytes, at + IPV6_LENGTH, end)) return null;
  return {
    source: addressAt(6, bytes, at + 8),
    destination: addressAt(6, bytes, at + 24),
    dontFragment: true,
    length: IPV6_LENGTH + ipv6PayloadLengthAt(bytes, at),
  };
}

/** The four octets with which all that we send begins (RFC 7637 §3.2). */
const isNvgre = (bytes: Uint8Array, at: number, end: number): boolean =>
  end - at >= 4 && u32(bytes, at) === GRE_KEY_PRESENT * 0x1_0000 + ETHERTYPE_TEB;
