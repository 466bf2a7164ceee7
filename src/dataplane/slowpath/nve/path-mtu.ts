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
import { Reason } from "../../drop-reasons.js";
import type { ParsedIp } from "../../packet/parse.js";
import type { HostPolicy, ProviderAddress } from "../../policy/policy.js";
import { type Address, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import { u32 } from "../../wire/bytes.js";
import { ETHERTYPE_TEB } from "../../wire/ethernet.js";
import { GRE_KEY_PRESENT } from "../../wire/gre.js";
import {
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_LENGTH,
  ICMP_UNREACHABLE,
  icmpCodeAt,
  icmpNextHopMtuAt,
  icmpTypeAt,
} from "../../wire/icmp.js";
import { ICMPV6_PACKET_TOO_BIG, icmpv6MtuAt } from "../../wire/icmpv6.js";
import { PROTOCOL_GRE, PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../../wire/ipv4.js";
import { IPV6_MTU_MIN } from "../../wire/ipv6.js";
import { consumeAs, dropFor } from "../evaluate.js";
import type { LayerContext, Outcome, PacketView } from "../layer.js";
import { messageIsIntact, quotedLength, quotedPacket } from "../quoted-packet.js";
import { frameText, tell } from "./explain.js";
import type { NveEffect } from "./state.js";

/** What every IPv4 path is taken to carry; a lower report is raised to it. */
const IPV4_PATH_MTU_MIN = 576;

export type PathMtuMessage =
  | { readonly kind: "learnt"; readonly destination: Address; readonly mtu: number }
  | { readonly kind: "ignored"; readonly why: string };

/**
 * A router could not forward something that this provider address has sent. What the message (`isTooBigMessage`) quotes is payload; null if
 * that is other traffic than NVGRE.
 */
export function takePathMtu(
  policy: HostPolicy,
  packet: PacketView,
  pa: ProviderAddress,
  context: LayerContext,
): Outcome | null {
  context.doNotCache();
  const { bytes, parsed } = packet;
  const message = pathMtuMessage(policy, bytes, parsed.ip!, pa);
  if (message === null) return null;
  if (message.kind === "ignored") {
    if (context.observer)
      tell(context.observer, frameText(parsed), `an ICMP error about NVGRE, ignored: ${message.why}`, pa);
    return dropFor(Reason.RX_PATH_MTU_IGNORED);
  }
  const { destination, mtu } = message;
  context.raise<NveEffect>({ kind: "pathMtu", destination, mtu });
  if (context.observer)
    tell(context.observer, frameText(parsed), `the path to ${formatAddress(destination)} carries ${mtu} octets`);
  return consumeAs(Reason.RX_PATH_MTU);
}

/**
 * What a "too big" message (`isTooBigMessage`) that has reached the provider address `pa` tells about an NVGRE packet of ours; null if it is
 * about something else.
 */
function pathMtuMessage(
  policy: HostPolicy,
  bytes: Uint8Array,
  ip: ParsedIp,
  pa: ProviderAddress,
): PathMtuMessage | null {
  const quoted = quotedPacket(bytes, ip);
  if (!quoted || !isNvgre(bytes, quoted) || !sameAddress(quoted.source, pa.providerAddress)) return null;

  if (!policy.settings.learnPathMtu) return ignored("this host learns no path MTUs");
  const { destination } = quoted;
  if (!messageIsIntact(bytes, ip)) return ignored("its checksum is wrong");
  if (!policy.lookupRecords.hasProviderAddress(destination)) return ignored("no lookup record names the destination");
  const mtu = believedMtu(bytes, ip, quoted);
  if (typeof mtu === "string") return ignored(mtu);
  const known = policy.pathMtus.find(destination);
  if (known !== undefined && known < mtu) return ignored(`a smaller path MTU of ${known} is known`);
  if (known === undefined && policy.pathMtus.isFull) return ignored("so many paths are known that there is no room");
  return { kind: "learnt", destination, mtu };
}

/** The MTU that a "too big" message `ip` tells, as far as it can be true of the packet that it quotes; or why it cannot. */
export function believedMtu(bytes: Uint8Array, ip: ParsedIp, quoted: ParsedIp): number | string {
  if (!quoted.dontFragment) return "it quotes a packet without DF";
  const mtu = ip.family === 4 ? icmpNextHopMtuAt(bytes, ip.transportAt) : icmpv6MtuAt(bytes, ip.transportAt);
  if (ip.family === 4 && mtu === 0) return "it tells no MTU, as routers before RFC 1191 do";
  if (ip.family === 6 && mtu < IPV6_MTU_MIN) return `${mtu} octets are less than any IPv6 path carries`; // RFC 8201 §4
  const length = quotedLength(bytes, quoted);
  if (mtu >= length) return `the packet of ${length} octets would have fitted ${mtu}`;
  return ip.family === 4 ? Math.max(mtu, IPV4_PATH_MTU_MIN) : mtu;
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

/** The protocol and the four octets with which all that we send begins (RFC 7637 §3.2). */
const isNvgre = (bytes: Uint8Array, { protocol, transportAt, end }: ParsedIp): boolean =>
  protocol === PROTOCOL_GRE &&
  end - transportAt >= 4 &&
  u32(bytes, transportAt) === GRE_KEY_PRESENT * 0x1_0000 + ETHERTYPE_TEB;
