/**
 * The packet that an ICMP or ICMPv6 error message quotes: whoever changes the addresses of packets must change those inside the
 * errors about them too, or the sender does not know what the error is about (RFC 3022 §4.3, RFC 5508 §4).
 *
 *     [IP][ICMP, 8 octets][IP | first octets of what it carried …]
 *                          └── often cut short, so its own lengths say nothing
 *
 * Quotes are payload: no flow key knows them, and such packets are changed one by one.
 */
import { type ParsedFrame, type ParsedIp, parseFrame } from "../packet/parse.js";
import { type AddressRewrite, readdress } from "../transposition/index.js";
import { setU16, u8, u16 } from "../wire/bytes.js";
import { checksumSum, updateChecksumOfPart } from "../wire/checksum.js";
import { hasFlowPorts } from "../wire/entropy.js";
import { ICMP_LENGTH, icmpChecksumIsRight, isIcmpError } from "../wire/icmp.js";
import { icmpv6ChecksumIsRight, isIcmpv6Error } from "../wire/icmpv6.js";
import {
  IPV4_LENGTH,
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
  IPV6_LENGTH,
  ipv6DestinationAt,
  ipv6HopLimitAt,
  ipv6PayloadLengthAt,
  ipv6SourceAt,
  ipv6TrafficClassAt,
  walkIpv6Extensions,
} from "../wire/ipv6.js";

/** Both families have the checksum there. */
const ICMP_CHECKSUM = 2;

/** Is it a whole, unfragmented error message by its type? That is in the flow key. */
export function isErrorMessage({ ip }: ParsedFrame): boolean {
  if (ip === null || ip.ports === null) return false;
  const type = ip.ports.source >>> 8;
  return ip.family === 4
    ? ip.protocol === PROTOCOL_ICMP && isIcmpError(type)
    : ip.protocol === PROTOCOL_ICMPV6 && isIcmpv6Error(type);
}

/** The packet that the error message `ip` quotes; null if no whole IP header is there. Its `end` is where the quote ends. */
export function quotedPacket(frame: Uint8Array, { family, transportAt, end }: ParsedIp): ParsedIp | null {
  const at = transportAt + ICMP_LENGTH;
  return family === 4 ? quotedIpv4(frame, at, end) : quotedIpv6(frame, at, end);
}

/** Of the quoted packet as it was when it met the one that complains. */
export const quotedLength = (frame: Uint8Array, { family, at }: ParsedIp): number =>
  family === 4 ? ipv4TotalLengthAt(frame, at) : IPV6_LENGTH + ipv6PayloadLengthAt(frame, at);

/** Does the checksum of the ICMP or ICMPv6 message `ip` hold? */
export const messageIsIntact = (frame: Uint8Array, { family, at, transportAt, end }: ParsedIp): boolean =>
  family === 4 ? icmpChecksumIsRight(frame, transportAt, end) : icmpv6ChecksumIsRight(frame, at, transportAt, end);

/**
 * Changes the packet quoted by the error message in `frame`, which is one, as `rewriteOf` says, and the message's checksum with it. Nothing
 * changes if no whole IP header is quoted.
 */
export function rewriteQuoted(frame: Uint8Array, rewriteOf: (quoted: ParsedIp) => AddressRewrite): void {
  const ip = parseFrame(frame, 0, frame.length)!.ip!;
  const quoted = quotedPacket(frame, ip);
  if (quoted === null) return;
  const before = checksumSum(frame, ip.transportAt, ip.end);
  readdress(frame, quoted, rewriteOf(quoted));
  const after = checksumSum(frame, ip.transportAt, ip.end);
  const checksumAt = ip.transportAt + ICMP_CHECKSUM;
  setU16(frame, checksumAt, updateChecksumOfPart(u16(frame, checksumAt), before, after));
}

function quotedIpv4(frame: Uint8Array, at: number, end: number): ParsedIp | null {
  if (end - at < IPV4_LENGTH || u8(frame, at) >>> 4 !== 4) return null;
  const transportAt = at + ipv4HeaderLengthAt(frame, at);
  if (transportAt < at + IPV4_LENGTH || transportAt > end) return null;
  const protocol = ipv4ProtocolAt(frame, at);
  const fragment = ipv4FragmentAt(frame, at);
  return {
    family: 4,
    at,
    end,
    source: ipv4SourceAt(frame, at),
    destination: ipv4DestinationAt(frame, at),
    ttl: ipv4TtlAt(frame, at),
    trafficClass: ipv4TosAt(frame, at),
    dontFragment: ipv4DontFragmentAt(frame, at),
    fragment,
    protocol,
    transportAt,
    ports: portsAt(frame, transportAt, end, protocol, fragment),
  };
}

function quotedIpv6(frame: Uint8Array, at: number, end: number): ParsedIp | null {
  if (end - at < IPV6_LENGTH || u8(frame, at) >>> 4 !== 6) return null;
  const { protocol, transportAt, fragment } = walkIpv6Extensions(frame, at, end);
  return {
    family: 6,
    at,
    end,
    source: ipv6SourceAt(frame, at),
    destination: ipv6DestinationAt(frame, at),
    ttl: ipv6HopLimitAt(frame, at),
    trafficClass: ipv6TrafficClassAt(frame, at),
    dontFragment: true,
    fragment,
    protocol,
    transportAt,
    ports: portsAt(frame, transportAt, end, protocol, fragment),
  };
}

/** Of TCP and UDP only; nobody complains about an ICMP message by its type. */
function portsAt(
  frame: Uint8Array,
  at: number,
  end: number,
  protocol: number,
  fragment: ParsedIp["fragment"],
): ParsedIp["ports"] {
  if (fragment === "later" || !hasFlowPorts(protocol) || end - at < 4) return null;
  return { source: u16(frame, at), destination: u16(frame, at + 2) };
}
