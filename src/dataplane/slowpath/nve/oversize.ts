/**
 * What happens to a packet that does not fit the provider path. An NVGRE packet is not fragmented (RFC 7637 §4.4), so
 *
 *   large send             is cut into segments
 *   (any, on request       is fragmented after encapsulation, against the RFC (`outerFragmentation`))
 *   IPv4 without DF        is cut into fragments before encapsulation, each an NVGRE packet of its own (`innerFragmentation`)
 *   IPv4 with DF, IPv6     is dropped, and the VM is told what would fit (RFC 1191 §4, RFC 8201 §4); but no IPv6 sender is asked for less
 *                          than 1280 octets (RFC 8200 §5): the operator is told instead
 *   anything else          is dropped
 *
 * Segments and fragments enter the VM's port again, and so go the way of everything that the VM sends.
 */
import { Reason } from "../../drop-reasons.js";
import type { ParsedIp } from "../../packet/parse.js";
import { apply } from "../../transposition/apply.js";
import type { NvgrePush } from "../../transposition/transposition.js";
import { u8 } from "../../wire/bytes.js";
import { ETHERNET_LENGTH } from "../../wire/ethernet.js";
import { fragmentIpv4, fragmentIpv6 } from "../../wire/fragmentation.js";
import { IPV4_PACKET_MAX } from "../../wire/ipv4.js";
import { IPV6_LENGTH, IPV6_MTU_MIN } from "../../wire/ipv6.js";
import { NVGRE_LENGTH } from "../../wire/nvgre.js";
import { VLAN_TAG_LENGTH } from "../../wire/vlan.js";
import { consumeAs, dropFor, forwardOf, ongoingFrame } from "../evaluate.js";
import type { LayerContext, Outcome, PacketView } from "../layer.js";
import { icmpText } from "./explain.js";
import { tellSender } from "./gateway.js";
import { cutLargeSend, isLargeSend, type TunnelRoom } from "./large-send.js";
import { DEFAULT_NIC_OFFLOAD } from "./offload.js";
import type { NveSnapshot } from "./snapshot.js";
import type { NveEffect } from "./state.js";

/** What is done instead of sending the packet as it is. */
export interface Instead {
  readonly outcome: Outcome;
  /** For people; made on demand. */
  readonly text: () => string;
}

/** The way that the packet does not fit. */
export interface Room extends TunnelRoom {
  readonly interfaceIndex: number;
  readonly pathMtu: number;
  /** null: it goes without a tunnel. */
  readonly push: (() => NvgrePush) | null;
}

/** For a packet that is too long for its way. */
export function insteadOfOversize(
  snapshot: NveSnapshot,
  packet: PacketView,
  room: Room,
  context: LayerContext,
): Instead {
  context.doNotCache(); // the length is in no flow key
  return (
    asSegments(snapshot, packet, room, context) ??
    asOuterFragments(snapshot, packet, room, context) ??
    asFragments(snapshot, packet, room.innerMtu, context) ??
    dropped(snapshot, packet, room, context)
  );
}

function asSegments({ ports }: NveSnapshot, packet: PacketView, room: Room, context: LayerContext): Instead | null {
  const guest = ports.settingsOf(packet.ingress).guestOffload;
  if (!guest || !isLargeSend(packet, guest)) return null;
  const offload = ports.settingsOf(ports.nicPort(room.interfaceIndex)).nicOffload ?? DEFAULT_NIC_OFFLOAD;
  const { segments, segmentSize, nic } = cutLargeSend(packet, room, guest, offload);
  if (segments.length === 0) return null;
  for (const segment of segments) context.resubmit(packet.ingress, segment);
  const text = (): string =>
    `a large send: ${nic ? "the NIC" : "the host"} cuts it into ${segments.length} segments of up to ${segmentSize} octets`;
  return { outcome: consumeAs(Reason.TX_SEGMENTED), text };
}

/**
 * The encapsulated packet in fragments, out of the NIC. They need an identification of their own, which a counter cannot give to a decision
 * that changes nothing: it is made of the packet's octets, so that packets with equal identification are mostly equal packets.
 */
function asOuterFragments(
  { policy, ports }: NveSnapshot,
  packet: PacketView,
  { push, interfaceIndex, pathMtu }: Room,
  context: LayerContext,
): Instead | null {
  const { bytes, start, end } = packet;
  const headers = push?.();
  if (!headers || !policy.settings.outerFragmentation || end - start > IPV4_PACKET_MAX - MOST_OUTER_HEADERS)
    return null;
  const identification = hashOf(bytes, start, end);
  const output = ports.nicPort(interfaceIndex);
  const forward = forwardOf(packet, output, { ...headers, dontFragment: false });
  const whole = apply(forward, bytes.subarray(start, end), () => identification & 0xffff);
  if (typeof whole === "number") return null;
  const networkAt = ETHERNET_LENGTH + (headers.ethernet.tag === null ? 0 : VLAN_TAG_LENGTH);
  const isIpv4 = headers.source.family === 4;
  const fragments = isIpv4
    ? fragmentIpv4(whole, networkAt, pathMtu)
    : fragmentIpv6(whole, networkAt, pathMtu, identification);
  if (fragments.length === 0) return null;
  for (const fragment of fragments) context.emit(output, fragment);
  const text = (): string =>
    `encapsulated and cut into ${fragments.length} outer fragments of at most ${pathMtu}, against RFC 7637 §4.4`;
  return { outcome: consumeAs(Reason.TX_OUTER_FRAGMENTED), text };
}

/** Of a tunnel over IPv6, whose payload length and IPv4's total length have 16 bits each. */
const MOST_OUTER_HEADERS = IPV6_LENGTH + NVGRE_LENGTH;

/** FNV-1a: 32 bits that differ where packets do. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c_9dc5;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ u8(bytes, at), 0x0100_0193);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** RFC 791 §3.2, on the packet as the VM sent it: routing and addresses are decided for each fragment anew, with the same result. */
export function asFragments(
  { policy }: NveSnapshot,
  packet: PacketView,
  mtu: number,
  context: LayerContext,
): Instead | null {
  const { bytes, parsed, start, end } = packet;
  const { ip } = parsed;
  if (!policy.settings.innerFragmentation || ip?.family !== 4 || ip.dontFragment || !isTooLong(ip, mtu)) return null;
  const fragments = fragmentIpv4(bytes.subarray(start, end), ip.at - start, mtu);
  if (fragments.length === 0) return null;
  for (const fragment of fragments) context.resubmit(packet.ingress, fragment);
  const text = (): string =>
    `${ip.end - ip.at} octets without DF: cut into ${fragments.length} fragments of at most ${mtu}`;
  return { outcome: consumeAs(Reason.TX_INNER_FRAGMENTED), text };
}

function dropped({ policy, ports }: NveSnapshot, packet: PacketView, room: Room, context: LayerContext): Instead {
  const { ip } = packet.parsed;
  const { vsid } = ports.settingsOf(packet.ingress);
  const { innerMtu: mtu, pathMtu, source } = room;
  if (ip?.family === 6 && mtu < IPV6_MTU_MIN && isTooLong(ip, mtu))
    context.raise<NveEffect>({ kind: "configurationError", source, pathMtu, innerMtu: mtu });
  const isTold = ip?.dontFragment === true && isTooLong(ip, mtu);
  const isSent = isTold && tellSender(policy, vsid, packet, { kind: "tooBig", mtu }, context);
  const frame = ongoingFrame(packet);
  const text = (): string =>
    `${frame.end - frame.networkAt} octets do not fit the inner MTU of ${mtu}; ${icmpText(isSent, "packet too big")}`;
  return { outcome: dropFor(tooBigReason(ip)), text };
}

/** Padding that is too long is no fault of the packet. */
const isTooLong = (ip: ParsedIp, mtu: number): boolean => ip.end - ip.at > mtu;

function tooBigReason(ip: ParsedIp | null): Reason {
  if (ip?.family === 6) return Reason.TX_TOO_BIG_ICMP6;
  return ip?.dontFragment ? Reason.TX_TOO_BIG_ICMP4 : Reason.TX_TOO_BIG;
}
