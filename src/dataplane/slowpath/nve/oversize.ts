/**
 * What happens to a packet that does not fit the provider path. An NVGRE packet is not fragmented (RFC 7637 §4.4), so
 *
 *   large send             is cut into segments
 *   IPv4 without DF        is cut into fragments before encapsulation, each an NVGRE packet of its own (`innerFragmentation`)
 *   IPv4 with DF, IPv6     is dropped, and the VM is told what would fit (RFC 1191 §4, RFC 8201 §4)
 *   anything else          is dropped
 *
 * Segments and fragments enter the VM's port again, and so go the way of everything that the VM sends.
 */
import { Reason } from "../../drop-reasons.js";
import type { ParsedIp } from "../../packet/parse.js";
import { fragmentIpv4 } from "../../wire/fragmentation.js";
import { consumeAs, dropFor, ongoingFrame } from "../evaluate.js";
import type { LayerContext, Outcome, PacketView } from "../layer.js";
import { icmpText } from "./explain.js";
import { tellSender } from "./gateway.js";
import { cutLargeSend, isLargeSend, type TunnelRoom } from "./large-send.js";
import { DEFAULT_NIC_OFFLOAD } from "./offload.js";
import type { NveSnapshot } from "./snapshot.js";

/** What is done instead of sending the packet as it is. */
export interface Instead {
  readonly outcome: Outcome;
  /** For people; made on demand. */
  readonly text: () => string;
}

/** For a packet that is too long for `room`, whose NIC is the one of this interface. */
export function insteadOfOversize(
  snapshot: NveSnapshot,
  packet: PacketView,
  room: TunnelRoom & { readonly interfaceIndex: number },
  context: LayerContext,
): Instead {
  context.doNotCache(); // the length is in no flow key
  return (
    asSegments(snapshot, packet, room, context) ??
    asFragments(snapshot, packet, room.innerMtu, context) ??
    dropped(snapshot, packet, room.innerMtu, context)
  );
}

function asSegments(
  { ports }: NveSnapshot,
  packet: PacketView,
  room: TunnelRoom & { readonly interfaceIndex: number },
  context: LayerContext,
): Instead | null {
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

/** RFC 791 §3.2, on the packet as the VM sent it: routing and addresses are decided for each fragment anew, with the same result. */
function asFragments({ policy }: NveSnapshot, packet: PacketView, mtu: number, context: LayerContext): Instead | null {
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

function dropped({ policy, ports }: NveSnapshot, packet: PacketView, mtu: number, context: LayerContext): Instead {
  const { ip } = packet.parsed;
  const { vsid } = ports.settingsOf(packet.ingress);
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
