/**
 * The parts of the receive checklist that need no policy: outer IP header, NVGRE header, inner Ethernet header. The NVE's
 * receive side and the codec of `hnv decap` share them. "Row" is that of the checklist in docs/RFC-COMPLIANCE.md.
 */
import { Reason } from "../../drop-reasons.js";
import { type ParsedIp, parseFrame } from "../../packet/parse.js";
import { ECN_DROP, innerEcn } from "../../wire/ecn.js";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, etherTypeAt } from "../../wire/ethernet.js";
import { greKeyAt, greLengthAt } from "../../wire/gre.js";
import { ipv4ChecksumIsRight, PROTOCOL_GRE } from "../../wire/ipv4.js";
import { IPV6_LENGTH, walkIpv6Extensions } from "../../wire/ipv6.js";
import { checkNvgre, checkVsid, NVGRE_LENGTH, type ReceiveMode, vsidOfKey } from "../../wire/nvgre.js";
import { isTpid } from "../../wire/vlan.js";
import { dropFor, passFor } from "../evaluate.js";
import { CONTINUE, type LayerContext, type Outcome, type PacketView } from "../layer.js";
import { hex, tell } from "./explain.js";

export const isIpEtherType = (etherType: number): boolean =>
  etherType === ETHERTYPE_IPV4 || etherType === ETHERTYPE_IPV6;

/** Rows 4 and 5: a well-formed outer IP header whose checksum holds. */
export function checkOuterIp(bytes: Uint8Array, ip: ParsedIp | null): Reason {
  if (ip === null) return Reason.RX_IP_MALFORMED;
  return ip.family === 6 || ipv4ChecksumIsRight(bytes, ip.at) ? Reason.NONE : Reason.RX_IP_CSUM;
}

/**
 * Row 9: GRE that has arrived. A routing header with segments left (RFC 8200 §4.4) says that this is not the last destination;
 * the packet is the business of whoever routes.
 */
export function isGre(bytes: Uint8Array, ip: ParsedIp): boolean {
  if (ip.protocol !== PROTOCOL_GRE) return false;
  if (ip.family === 4 || ip.transportAt === ip.at + IPV6_LENGTH) return true;
  return walkIpv6Extensions(bytes, ip.at, ip.end).segmentsLeft === 0;
}

/**
 * Rows 10 to 20: opens the outer packet. On success the plan holds the inner frame, to be popped, and its virtual subnet.
 * What fails here has no flow key of its own kind, so none of it is cached.
 */
export function openNvgre(packet: PacketView, mode: ReceiveMode, context: LayerContext): Outcome {
  const { bytes, plan } = packet;
  const ip = packet.parsed.ip!;
  const reason = checkUnfragmentedNvgre(bytes, ip, mode);
  if (reason !== Reason.NONE) {
    context.doNotCache();
    const isOurs = reason !== Reason.RX_GRE_VERSION && reason !== Reason.RX_GRE_PROTO;
    if (context.observer) tellGre(packet, isOurs ? "refused" : "not NVGRE: left to other consumers", context);
    return isOurs ? dropFor(reason) : passFor(reason);
  }
  const length = greLengthAt(bytes, ip.transportAt);
  if (length !== NVGRE_LENGTH) context.doNotCache(); // lenient: the checksum is verified packet by packet
  plan.vsid = vsidOfKey(greKeyAt(bytes, ip.transportAt)!);
  const vsidReason = checkVsid(plan.vsid);
  if (vsidReason !== Reason.NONE) context.doNotCache();
  if (context.observer) {
    tellGre(packet, vsidReason === Reason.NONE ? "NVGRE" : "no tenant's frame may carry this VSID", context);
  }
  return vsidReason === Reason.NONE ? CONTINUE : dropFor(vsidReason);
}

/** Rows 10 to 18. */
function checkUnfragmentedNvgre(bytes: Uint8Array, ip: ParsedIp, mode: ReceiveMode): Reason {
  if (ip.fragment !== "none") return Reason.RX_OUTER_FRAGMENT; // RFC 7637 §4.4: may be discarded
  return checkNvgre(bytes, ip.transportAt, ip.end, mode);
}

function tellGre(packet: PacketView, decided: string, context: LayerContext): void {
  const { transportAt, end } = packet.parsed.ip!;
  const length = end - transportAt;
  const head = packet.bytes.subarray(transportAt, Math.min(end, transportAt + NVGRE_LENGTH));
  const octets = Array.from(head, (octet) => octet.toString(16).padStart(2, "0")).join(" ");
  tell(context.observer, `GRE header ${octets}, ${length} octets`, `${decided}; VSID ${packet.plan.vsid}`);
}

/** Row 22, and on success the inner frame is the one that goes on: RFC 7637 §3.3, no tag inside. */
export function enterInnerFrame(packet: PacketView, context: LayerContext): Outcome {
  const { bytes, plan } = packet;
  const { transportAt, end } = packet.parsed.ip!;
  const innerAt = transportAt + greLengthAt(bytes, transportAt);
  const etherType = etherTypeAt(bytes, innerAt);
  const inner = isTpid(etherType) ? null : parseFrame(bytes, innerAt, end);
  if (context.observer) {
    const decided = inner ? "no tag" : "the inner frame carries a VLAN tag";
    tell(context.observer, `inner frame of ${end - innerAt} octets, EtherType ${hex(etherType)}`, decided);
  }
  if (!inner) {
    context.doNotCache();
    return dropFor(Reason.RX_INNER_VLAN);
  }
  plan.pop = true;
  plan.inner = inner;
  plan.destinationMac = inner.destination;
  plan.sourceMac = inner.source;
  return CONTINUE;
}

/** Row 29: the mark would be lost on a transport that cannot hear it (RFC 6040 §4.2). The field is not part of the flow key. */
export function checkCongestion(packet: PacketView, context: LayerContext): Outcome {
  const outer = packet.parsed.ip!.trafficClass & 3;
  const inner = packet.plan.inner!.ip;
  const isLost = inner !== null && innerEcn(outer, inner.trafficClass & 3) === ECN_DROP;
  if (context.observer) {
    const saw = `outer ECN ${outer}, inner ${inner ? inner.trafficClass & 3 : "not IP"}`;
    tell(context.observer, saw, isLost ? "congestion experienced, inner transport not ECN-capable" : "combined");
  }
  if (!isLost) return CONTINUE;
  context.doNotCache();
  return dropFor(Reason.RX_ECN);
}
