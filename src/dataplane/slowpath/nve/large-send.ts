/**
 * Large sends: a VM whose adapter has segmentation offload hands over one TCP packet of up to 64 KiB, and what carries it on wire cuts it
 * (NDIS: LSOv2; encapsulated by `NDIS_ENCAPSULATED_PACKET_TASK_OFFLOAD`). A capture taken inside such a VM is full of them.
 *
 *     VM        [IP, TCP][            40,000 octets           ]     segments of the guest's MSS are wanted
 *     host      lowers the MSS by what the tunnel takes
 *     NIC       cuts; every segment has all headers, outer ones included
 *
 * Some stacks leave even the length to the NIC, which knows it from the frame: then it is filled in first.
 *
 * NIC or host, the bytes are the same, so both are cut here, before encapsulation; the pieces then take the ordinary way, and
 * the outer identification counts on from packet to packet. They differ where a NIC has one of the known faults, which a lab can
 * switch on. Between VMs of one host nothing is cut, as on a real one.
 */
import { type ParsedFrame, type ParsedIp, parseFrame } from "../../packet/parse.js";
import type { EthernetFields } from "../../transposition/transposition.js";
import type { Address } from "../../wire/address.js";
import { setU16, u8 } from "../../wire/bytes.js";
import { foldSum, pseudoHeaderSum } from "../../wire/checksum.js";
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "../../wire/ethernet.js";
import {
  IPV4_LENGTH,
  IPV4_PACKET_MAX,
  ipv4IdentificationAt,
  ipv4TotalLengthAt,
  PROTOCOL_TCP,
  setIpv4Checksum,
  setIpv4Identification,
  setIpv4TotalLength,
} from "../../wire/ipv4.js";
import { IPV6_LENGTH, ipv6NextHeaderAt, ipv6PayloadLengthAt, setIpv6PayloadLength } from "../../wire/ipv6.js";
import { NVGRE_LENGTH } from "../../wire/nvgre.js";
import { segmentTcp } from "../../wire/segmentation.js";
import { checkTcp, setTcpChecksum, TCP_CHECKSUM_OFFSET, tcpHeaderLengthAt } from "../../wire/tcp.js";
import { VLAN_TAG_LENGTH } from "../../wire/vlan.js";
import type { PacketView } from "../layer.js";
import { type GuestOffload, handlesFamilies, hasFault, type NicOffload } from "./offload.js";

/** Longer than the guest's own MTU, and nothing behind it: only a packet that hardware shall cut is. */
export function isLargeSend({ bytes, end, parsed: { ip } }: PacketView, guest: GuestOffload | undefined): boolean {
  if (!guest?.lso || ip?.protocol !== PROTOCOL_TCP || ip.fragment !== "none" || ip.end !== end) return false;
  return end - ip.at > guest.mtu && checkTcp(bytes, ip.transportAt, end) === 0;
}

/**
 * A large send whose IP header has no length (`lacksLength`): with that of the frame, and right in its checksums. Null if it is not longer
 * than the guest's own MTU, or if that does not make a TCP packet of it; a length of zero is then what it says, or malformed.
 */
export function lengthFilled({ bytes, start, end, parsed }: PacketView, guest: GuestOffload): Uint8Array | null {
  if (!lacksLength(bytes, parsed) || end - parsed.networkAt <= guest.mtu) return null;
  const frame = bytes.slice(start, end);
  const at = parsed.networkAt - start;
  if (parsed.etherType === ETHERTYPE_IPV4) setIpv4TotalLength(frame, at, frame.length - at);
  else setIpv6PayloadLength(frame, at, frame.length - at - IPV6_LENGTH);
  const ip = parseFrame(frame, 0, frame.length)?.ip;
  if (ip?.protocol !== PROTOCOL_TCP || ip.fragment !== "none" || checkTcp(frame, ip.transportAt, ip.end)) return null;
  if (ip.family === 4) setIpv4Checksum(frame, at); // it may have been left to hardware too
  setTcpChecksum(frame, at, ip.transportAt, ip.end);
  return frame;
}

/**
 * Does the IP header say that the packet has no length, as that of a large send may? RFC 2675 §3 has a jumbogram's length in a hop-by-hop
 * option; before TCP it is nowhere.
 */
export function lacksLength(bytes: Uint8Array, { etherType, networkAt: at, end }: ParsedFrame): boolean {
  if (etherType === ETHERTYPE_IPV4)
    return end - at > IPV4_LENGTH && end - at <= IPV4_PACKET_MAX && ipv4TotalLengthAt(bytes, at) === 0;
  if (etherType !== ETHERTYPE_IPV6 || end - at < IPV6_LENGTH) return false;
  return ipv6PayloadLengthAt(bytes, at) === 0 && ipv6NextHeaderAt(bytes, at) === PROTOCOL_TCP;
}

/** What the tunnel leaves of the provider path, and what it puts before the frame. */
export interface TunnelRoom {
  readonly innerMtu: number;
  readonly source: Address;
  readonly ethernet: EthernetFields;
}

/** What was made of a large send. */
export interface LargeSend {
  /** The frames, each as if the VM had sent it; none if not even one octet fits. */
  readonly segments: readonly Uint8Array[];
  /** Octets of payload in each but the last. */
  readonly segmentSize: number;
  /** null: the NIC cannot, so the host did. */
  readonly nic: NicOffload | null;
}

/** Cuts a large send for a tunnel whose NIC has these capabilities. */
export function cutLargeSend(
  packet: PacketView,
  room: TunnelRoom,
  guest: GuestOffload,
  offload: NicOffload,
): LargeSend {
  const { start } = packet;
  const ip = packet.parsed.ip!;
  const headers = ip.transportAt - ip.at + tcpHeaderLengthAt(packet.bytes, ip.transportAt);
  const nic = canCut(packet, room, headers, offload) ? offload : null;
  const wanted = Math.min(guest.mss ?? Number.POSITIVE_INFINITY, guest.mtu - headers);
  const isLowered = !hasFault(nic, "mssNotLowered");
  const segmentSize = Math.max(0, isLowered ? Math.min(wanted, room.innerMtu - headers) : wanted);
  const frame = packet.bytes.subarray(start, ip.end);
  const segments = segmentTcp(frame, ip.transportAt - start, segmentSize);
  for (const segment of segments) spoil(segment, segments[0]!, ip, start, nic);
  return { segments, segmentSize, nic };
}

/** Can the NIC offload packets of these families with headers of this length? NDIS: MaxHeaderSizeSupported. */
function canCut(packet: PacketView, room: TunnelRoom, innerHeaders: number, offload: NicOffload): boolean {
  const ip = packet.parsed.ip!;
  const outer = room.source.family;
  if (!offload.lso || !handlesFamilies(offload, ip.family, outer)) return false;
  const outerLink = ETHERNET_LENGTH + (room.ethernet.tag === null ? 0 : VLAN_TAG_LENGTH);
  const outerIp = outer === 4 ? IPV4_LENGTH : IPV6_LENGTH;
  return outerLink + outerIp + NVGRE_LENGTH + ETHERNET_LENGTH + innerHeaders <= offload.maxHeaderSize;
}

/** Makes the segment what a NIC with faults would have made of it. */
function spoil(segment: Uint8Array, first: Uint8Array, ip: ParsedIp, start: number, nic: NicOffload | null): void {
  const [ipAt, tcpAt] = [ip.at - start, ip.transportAt - start];
  if (hasFault(nic, "constantIpId") && u8(segment, ipAt) >>> 4 === 4) {
    setIpv4Identification(segment, ipAt, ipv4IdentificationAt(first, ipAt));
  }
  if (hasFault(nic, "badInnerChecksum")) {
    // Left as the VM left it: the sum of the pseudo header alone.
    const pseudo = pseudoHeaderSum(segment, ipAt, PROTOCOL_TCP, segment.length - tcpAt);
    setU16(segment, tcpAt + TCP_CHECKSUM_OFFSET, foldSum(pseudo));
  }
}
