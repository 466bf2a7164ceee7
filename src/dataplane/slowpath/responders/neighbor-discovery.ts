/**
 * Neighbor discovery as a responder sees it (RFC 4861): what a message says, and the advertisement that answers a solicitation.
 */
import type { ParsedFrame, ParsedIp } from "../../packet/parse.js";
import { Address, isLinkLocal, isMulticast, isUnspecified } from "../../wire/address.js";
import { parseAddress } from "../../wire/address-text.js";
import type { Mac } from "../../wire/bytes.js";
import { ETHERNET_LENGTH, ETHERTYPE_IPV6, writeEthernet } from "../../wire/ethernet.js";
import {
  checkIcmpv6,
  icmpv6ChecksumIsRight,
  icmpv6CodeAt,
  icmpv6RestAt,
  icmpv6TypeAt,
  isNdType,
  ND_FLAG_OVERRIDE,
  ND_FLAG_ROUTER,
  ND_FLAG_SOLICITED,
  ND_NEIGHBOR_ADVERTISEMENT,
  ND_NEIGHBOR_LENGTH,
  ND_NEIGHBOR_SOLICITATION,
  ND_OPTION_SOURCE_MAC,
  ND_OPTION_TARGET_MAC,
  ND_REDIRECT,
  ND_ROUTER_ADVERTISEMENT,
  ND_ROUTER_SOLICITATION,
  ndLinkLayerAddress,
  ndOptions,
  ndTargetAt,
  setIcmpv6Checksum,
  writeNeighborMessage,
} from "../../wire/icmpv6.js";
import { PROTOCOL_ICMPV6 } from "../../wire/ipv4.js";
import { IPV6_LENGTH, writeIpv6 } from "../../wire/ipv6.js";
import { groupMacOf } from "../../wire/mac.js";
import type { Asking } from "./arp.js";
import type { Message, Question } from "./message.js";

/** Who receives it knows that no router has forwarded the message (RFC 4861 §3.1). */
const ND_HOP_LIMIT = 255;
const ALL_NODES = parseAddress("ff02::1")!;
const ALL_NODES_MAC = 0x3333_0000_0001 as Mac; // RFC 2464 §7
const MAC_OPTION_LENGTH = 8;

/** What the neighbor discovery message in a frame says; null if a receiver must discard it (RFC 4861 §6.1, §7.1, §8.1). */
export function readNeighborDiscovery(bytes: Uint8Array, { ip, source }: ParsedFrame): Message | null {
  if (ip === null || !isValid(bytes, ip)) return null;
  const at = ip.transportAt;
  const type = icmpv6TypeAt(bytes, at);
  const isToAll = isMulticast(ip.destination);
  if (type === ND_NEIGHBOR_SOLICITATION) {
    const target = ndTargetAt(bytes, at);
    const asker = isUnspecified(ip.source) ? null : ip.source;
    const option = ndLinkLayerAddress(bytes, at, ip.end, ND_OPTION_SOURCE_MAC);
    if (isMulticast(target) || (asker === null && (!isSolicitedNode(ip.destination) || option))) return null;
    const claims = { mac: option ?? source, addresses: asker ? [asker] : [] };
    return { kind: "question", target, asker, askerMac: source, isToAll, claims };
  }
  if (type === ND_NEIGHBOR_ADVERTISEMENT) {
    const target = ndTargetAt(bytes, at);
    const isSolicited = (icmpv6RestAt(bytes, at) & ND_FLAG_SOLICITED) !== 0;
    if (isMulticast(target) || (isToAll && isSolicited)) return null;
    const mac = ndLinkLayerAddress(bytes, at, ip.end, ND_OPTION_TARGET_MAC) ?? source;
    return { kind: isToAll ? "announcement" : "answer", target, claims: { mac, addresses: [ip.source, target] } };
  }
  return readRouterMessage(bytes, ip, source, type);
}

/** What passes between routers and hosts; only a solicitation may come without an address, and then without a MAC address too. */
function readRouterMessage(bytes: Uint8Array, ip: ParsedIp, source: Mac, type: number): Message | null {
  const isSolicitation = type === ND_ROUTER_SOLICITATION;
  const isAnonymous = isUnspecified(ip.source);
  const option = ndLinkLayerAddress(bytes, ip.transportAt, ip.end, ND_OPTION_SOURCE_MAC);
  if (isSolicitation ? isAnonymous && option !== undefined : !isLinkLocal(ip.source)) return null;
  const claims = { mac: option ?? source, addresses: isAnonymous ? [] : [ip.source] };
  return { kind: "other", what: ROUTER_MESSAGES[type] ?? `ICMPv6 type ${type}`, claims };
}

const ROUTER_MESSAGES: Readonly<Record<number, string>> = {
  [ND_ROUTER_SOLICITATION]: "router solicitation",
  [ND_ROUTER_ADVERTISEMENT]: "router advertisement",
  [ND_REDIRECT]: "redirect",
};

function isValid(bytes: Uint8Array, ip: ParsedIp): boolean {
  const { transportAt: at, end } = ip;
  return (
    ip.ttl === ND_HOP_LIMIT &&
    !checkIcmpv6(bytes, at, end) &&
    isNdType(icmpv6TypeAt(bytes, at)) &&
    icmpv6CodeAt(bytes, at) === 0 &&
    icmpv6ChecksumIsRight(bytes, ip.at, at, end) &&
    ndOptions(bytes, at, end).wellFormed
  );
}

/** ff02::1:ff00:0/104 (RFC 4291 §2.7.1). */
const isSolicitedNode = ({ w0, w1, w2, w3 }: Address): boolean =>
  w0 === 0xff02_0000 && w1 === 0 && w2 === 1 && w3 >>> 24 === 0xff;

/** The advertisement (RFC 4861 §4.4, §7.2.4) that gives `mac` as that of the address in question. */
export function neighborAdvertisement(
  { target, asker, askerMac }: Question,
  mac: Mac,
  { isRouter }: { readonly isRouter: boolean },
): Uint8Array {
  const ipAt = ETHERNET_LENGTH;
  const at = ipAt + IPV6_LENGTH;
  const payloadLength = ND_NEIGHBOR_LENGTH + MAC_OPTION_LENGTH;
  const frame = new Uint8Array(at + payloadLength);
  writeEthernet(frame, 0, asker ? askerMac : ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
  writeIpv6(frame, ipAt, {
    source: target,
    destination: asker ?? ALL_NODES,
    nextHeader: PROTOCOL_ICMPV6,
    hopLimit: ND_HOP_LIMIT,
    payloadLength,
  });
  const flags = (isRouter ? ND_FLAG_ROUTER : 0) | (asker ? ND_FLAG_SOLICITED : 0) | ND_FLAG_OVERRIDE;
  writeNeighborMessage(frame, at, ND_NEIGHBOR_ADVERTISEMENT, flags >>> 0, target, mac);
  setIcmpv6Checksum(frame, ipAt, at, frame.length);
  return frame;
}

/**
 * The solicitation (RFC 4861 §4.3) that asks for an address: everybody who may have it, or the station where it was last. Without
 * an address of the asker's own it is duplicate address detection (RFC 4862 §5.4.2).
 */
export function neighborSolicitation({ mac, address, target, targetMac }: Asking): Uint8Array {
  const ipAt = ETHERNET_LENGTH;
  const at = ipAt + IPV6_LENGTH;
  const payloadLength = ND_NEIGHBOR_LENGTH + (address ? MAC_OPTION_LENGTH : 0);
  const frame = new Uint8Array(at + payloadLength);
  const group = solicitedNodeOf(target);
  writeEthernet(frame, 0, targetMac ?? groupMacOf(group), mac, ETHERTYPE_IPV6);
  writeIpv6(frame, ipAt, {
    source: address ?? UNSPECIFIED_IPV6,
    destination: targetMac === null ? group : target,
    nextHeader: PROTOCOL_ICMPV6,
    hopLimit: ND_HOP_LIMIT,
    payloadLength,
  });
  writeNeighborMessage(frame, at, ND_NEIGHBOR_SOLICITATION, 0, target, address ? mac : null);
  setIcmpv6Checksum(frame, ipAt, at, frame.length);
  return frame;
}

/** The group in which an address is asked for (RFC 4291 §2.7.1). */
export const solicitedNodeOf = ({ w3 }: Address): Address =>
  new Address(
    6,
    SOLICITED_NODES.w0,
    SOLICITED_NODES.w1,
    SOLICITED_NODES.w2,
    (SOLICITED_NODES.w3 | (w3 & 0xff_ffff)) >>> 0,
  );

const SOLICITED_NODES = parseAddress("ff02::1:ff00:0")!;
const UNSPECIFIED_IPV6 = parseAddress("::")!;
