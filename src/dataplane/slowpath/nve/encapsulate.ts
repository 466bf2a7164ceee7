/**
 * Encapsulation: from a lookup record to outer headers.
 *
 *   source PA      the one in the sender's own record, which is what the far end will check
 *   next hop       provider route of the PA's interface, then its MAC address
 *   size           the whole frame in one outer packet; RFC 7637 §4.4 forbids to fragment it
 *   entropy        FlowID and flow label from the frame as it will be inside
 */
import { Reason } from "../../drop-reasons.js";
import { flowHash, type ParsedFrame } from "../../packet/parse.js";
import type { HostPolicy, LookupRecord, NveSettings, ProviderAddress } from "../../policy/policy.js";
import { providerStamp } from "../../policy/stamps.js";
import type { DscpMode, EcnMode, EthernetFields, NodeIndex, NvgrePush } from "../../transposition/transposition.js";
import { type Address, type AddressFamily, isMulticast } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { FlowId, Vsid } from "../../wire/bytes.js";
import { flowIdOfHash, flowLabelOfHash } from "../../wire/entropy.js";
import { ETHERNET_LENGTH } from "../../wire/ethernet.js";
import { IPV4_LENGTH, IPV4_PACKET_MAX, PROTOCOL_TCP } from "../../wire/ipv4.js";
import { IPV6_LENGTH } from "../../wire/ipv6.js";
import { formatMac, groupMacOf } from "../../wire/mac.js";
import { NVGRE_LENGTH } from "../../wire/nvgre.js";
import { makeTci, vidOf } from "../../wire/vlan.js";
import { consumeAs, dropFor, forwardTo, ongoingFrame } from "../evaluate.js";
import { CONSUME, type Layer, type LayerContext, type PacketView } from "../layer.js";
import { finishChecksum } from "./checksum-offload.js";
import { tell } from "./explain.js";
import { isLargeSend } from "./large-send.js";
import type { LocalPorts } from "./local-ports.js";
import { clampMss } from "./mss-clamp.js";
import { handlesFamilies, hasFault } from "./offload.js";
import { insteadOfOversize } from "./oversize.js";
import type { NveSnapshot } from "./snapshot.js";
import type { NveEffect } from "./state.js";

/** What Windows sends; never copied from the packet inside. */
export const OUTER_TTL = 128;

export const encapsulation: Layer<NveSnapshot> = {
  name: "encapsulation",
  evaluate(snapshot, packet, context) {
    const { policy, ports } = snapshot;
    const { plan } = packet;
    const record = plan.destinationRecord!;
    const destination = record.providerAddress;
    context.consulted(providerStamp(context.node));
    const saw = (): string => `VSID ${plan.vsid}, provider address ${formatAddress(destination)}`;

    const way = wayTo(policy, packet, destination);
    if (isRefusal(way)) {
      if (context.observer) tell(context.observer, saw(), way.why(), record);
      return askForNextHop(snapshot, packet, way, context) ? CONSUME : dropFor(way.reason);
    }
    const finished = checksumFinished(ports, packet, way, context);
    if (finished) {
      context.resubmit(packet.ingress, finished);
      if (context.observer) tell(context.observer, saw(), "the VM has left its checksum to others: finished");
      return consumeAs(Reason.TX_CHECKSUM_FINISHED);
    }
    // Does it fit? Every longer packet is asked again.
    const frame = ongoingFrame(packet);
    const { fits, holds } = limitsOf(snapshot, packet, way);
    if (isTooBig(frame, fits) || isLargeSend(packet, ports.settingsOf(packet.ingress).guestOffload)) {
      const push = (): NvgrePush => nvgrePush(packet, way);
      const { outcome, text } = insteadOfOversize(snapshot, packet, { ...way, push }, context);
      if (context.observer) tell(context.observer, saw(), text(), record);
      return outcome;
    }
    const isOdd = isTooBig(frame, holds); // too long for its VM, and yet nothing that could be cut
    if (isOdd) context.doNotCache();
    plan.lengthLimit = isOdd ? fits : holds;
    if (policy.settings.mssClamp && frame.ip?.protocol === PROTOCOL_TCP) {
      const clamped = clampMss(packet.bytes, packet.parsed, way.innerMtu);
      if (clamped) {
        context.resubmit(packet.ingress, clamped);
        if (context.observer)
          tell(context.observer, saw(), "a SYN that announces too long segments; its MSS is lowered");
        return consumeAs(Reason.TX_MSS_CLAMPED);
      }
      plan.guardsSyn = true; // what a SYN announces is in no flow key
    }
    const push = nvgrePush(packet, way);
    if (context.observer) tell(context.observer, saw(), wayText(way, push), record);
    return forwardTo(packet, ports.nicPort(way.interfaceIndex), push);
  },
};

/**
 * If only the next hop's MAC address is missing, and the wire can tell (`resolve: wire`), asks for it; the packet waits until
 * then and is decided again, unless others have copies of it already. Returns whether it is taken.
 */
export function askForNextHop(
  { policy, state }: NveSnapshot,
  packet: PacketView,
  { unresolved }: Refusal,
  context: LayerContext,
): boolean {
  if (!unresolved || policy.settings.resolve !== "wire") return false;
  context.doNotCache();
  if (!state.neighbors.mayWait(unresolved.address)) return false;
  const frame = packet.plan.besides ? null : packet.bytes.slice(packet.start, packet.end);
  const waiting = frame && { port: packet.ingress, frame };
  context.raise<NveEffect>({ kind: "neighborWanted", ...unresolved, packet: waiting });
  const decided = waiting ? "asked for; the packet waits" : "asked for";
  if (context.observer) tell(context.observer, formatAddress(unresolved.address), decided);
  return true;
}

/** How a packet gets to a provider address. */
export interface Way extends Tunnel {
  readonly interfaceIndex: number;
  readonly hop: Address;
  /** What the provider network carries to the destination, outer IP header included. */
  readonly pathMtu: number;
  /** The longest packet of the tenant that fits, counted from its network header. */
  readonly innerMtu: number;
}

export interface Refusal {
  readonly reason: Reason;
  /** Set where the next hop's MAC address is all that is missing: whom to ask for, and from which address. */
  readonly unresolved?: { readonly address: Address; readonly from: ProviderAddress };
  /** For people; made on demand. */
  readonly why: () => string;
}

export const isRefusal = <Found extends object>(found: Found | Refusal): found is Refusal => "reason" in found;

/** The way to a provider address for the frame as the plan wants it to go on; rests on the host's provider side. */
export function wayTo(policy: HostPolicy, packet: PacketView, destination: Address): Way | Refusal {
  // 1. The provider address to send from.
  const { sourceRecord } = packet.plan;
  const source = sourceAddress(policy, sourceRecord, destination.family);
  if (isReason(source)) return { reason: source, why: () => noSourceText(source, sourceRecord, destination) };

  // 2. Its next hop on the provider network.
  return wayFrom(policy, source, destination);
}

/** The way to a provider address from one of the host's own; rests on the host's provider side. */
export function wayFrom(policy: HostPolicy, source: ProviderAddress, destination: Address): Way | Refusal {
  const { interfaceIndex } = source;
  const isGroup = isMulticast(destination); // stays on the link, whatever the routes say
  const hop = isGroup ? destination : policy.providerRoutes.nextHop(interfaceIndex, destination);
  if (!hop) {
    const why = () => `interface ${interfaceIndex} has no provider route to ${formatAddress(destination)}`;
    return { reason: Reason.TX_NO_PROVIDER_ROUTE, why };
  }
  const hopMac = isGroup ? groupMacOf(destination) : policy.neighbors.find(hop);
  if (hopMac === undefined) {
    const why = () => `the MAC address of ${formatAddress(hop)} is not known`;
    return { reason: Reason.TX_PA_UNRESOLVED, why, unresolved: { address: hop, from: source } };
  }

  const pathMtu = pathMtuTo(policy, interfaceIndex, destination);
  return {
    interfaceIndex,
    hop,
    pathMtu,
    innerMtu: innerMtu(pathMtu, destination.family),
    ethernet: {
      destination: hopMac,
      source: source.macAddress,
      tag: source.vlanID === 0 ? null : makeTci(0, false, source.vlanID),
    },
    source: source.providerAddress,
    destination,
    ttl: OUTER_TTL,
    settings: policy.settings,
    node: policy.node,
  };
}

/** The interface's own MTU, or less where routers have told so (RFC 1191 §3, RFC 8201 §4). */
export const pathMtuTo = (policy: HostPolicy, interfaceIndex: number, destination: Address): number =>
  Math.min(policy.interfaceMtu(interfaceIndex), policy.pathMtus.find(destination) ?? Number.POSITIVE_INFINITY);

function wayText({ source, interfaceIndex, hop, ethernet }: Way, { flowId }: NvgrePush): string {
  const from = `from ${formatAddress(source)} on interface ${interfaceIndex}`;
  const vlan = ethernet.tag === null ? "untagged" : `VLAN ${vidOf(ethernet.tag)}`;
  return `NVGRE ${from}, next hop ${formatAddress(hop)} at ${formatMac(ethernet.destination)}, ${vlan}, FlowID ${flowId}`;
}

const isReason = (value: ProviderAddress | Reason): value is Reason => typeof value === "number";

/**
 * The PA of the sender's own record, if it is on this host, can send, and is of the family of the destination. A record that names
 * a PA elsewhere, or of the other family, leaves the choice to the host, which makes it only where there is none to make.
 */
function sourceAddress(
  policy: HostPolicy,
  sender: LookupRecord | null,
  family: AddressFamily,
): ProviderAddress | Reason {
  const { providerAddresses } = policy;
  const own = sender && providerAddresses.find(sender.providerAddress);
  if (own && own.providerAddress.family === family) {
    return own.addressState === "Preferred" ? own : Reason.TX_NO_PA;
  }
  let only: ProviderAddress | undefined;
  for (const candidate of providerAddresses.all) {
    if (candidate.providerAddress.family !== family || candidate.addressState !== "Preferred") continue;
    if (only) return Reason.TX_NO_PA; // which of several would be a guess
    only = candidate;
  }
  if (only) return only;
  const isOtherFamilyUsable = providerAddresses.all.some((candidate) => candidate.addressState === "Preferred");
  return isOtherFamilyUsable ? Reason.TX_PA_FAMILY : Reason.TX_NO_PA;
}

function noSourceText(reason: Reason, sender: LookupRecord | null, destination: Address): string {
  if (reason === Reason.TX_PA_FAMILY) return `no usable provider address is IPv${destination.family}`;
  const named = sender ? formatAddress(sender.providerAddress) : "none";
  return `the sender's record names provider address ${named}, and no single Preferred one can take its place`;
}

/** The longest inner network packet in an outer packet of `pathMtu` octets, whose own length field has 16 bits. */
export function innerMtu(pathMtu: number, family: AddressFamily): number {
  const ipLength = family === 4 ? IPV4_LENGTH : IPV6_LENGTH;
  const longest = family === 4 ? IPV4_PACKET_MAX : IPV6_LENGTH + 0xffff;
  return Math.min(pathMtu, longest) - ipLength - NVGRE_LENGTH - ETHERNET_LENGTH;
}

/** The frame with the checksum that its VM has left to hardware; null if there is nothing to do, or the NIC has that fault. */
function checksumFinished(ports: LocalPorts, packet: PacketView, way: Way, context: LayerContext): Uint8Array | null {
  const guest = ports.settingsOf(packet.ingress).guestOffload;
  const { ip } = packet.parsed;
  if (!guest?.checksum || !ip || isLargeSend(packet, guest)) return null; // segments get their own
  context.doNotCache(); // checksums are in no flow key
  const nic = ports.settingsOf(ports.nicPort(way.interfaceIndex)).nicOffload;
  const isNics = nic?.checksum === true && handlesFamilies(nic, ip.family, way.source.family);
  return isNics && hasFault(nic, "badInnerChecksum") ? null : finishChecksum(packet.bytes, packet.parsed);
}

/** What fits, and up to which length this decision holds. */
interface Limits {
  readonly fits: number;
  readonly holds: number;
}

/**
 * TCP of a VM with large sends is asked again from the VM's own MTU on, since a longer packet is to be cut. Where a NIC forgets to lower the
 * segment size, all that the VM's MTU allows is sent, whether it fits or not.
 */
function limitsOf({ ports }: NveSnapshot, { ingress, parsed: { ip } }: PacketView, way: Way): Limits {
  const guest = ports.settingsOf(ingress).guestOffload;
  const { innerMtu: room } = way;
  if (!guest?.lso || ip?.protocol !== PROTOCOL_TCP || ip.fragment !== "none") return { fits: room, holds: room };
  const { nicOffload } = ports.settingsOf(ports.nicPort(way.interfaceIndex));
  const fits = hasFault(nicOffload, "mssNotLowered") ? Math.max(room, guest.mtu) : room;
  return { fits, holds: Math.min(fits, guest.mtu) };
}

/** Padding behind the IP packet travels along, so it counts. */
export const isTooBig = (frame: ParsedFrame, limit: number): boolean => frame.end - frame.networkAt > limit;

/** One tunnel, as policy or a command line names it. */
export interface Tunnel {
  readonly ethernet: EthernetFields;
  readonly source: Address;
  readonly destination: Address;
  readonly ttl: number;
  readonly settings: { readonly ecn: EcnMode; readonly dscp: DscpMode; readonly flowId: NveSettings["flowId"] };
  /** Whose counter gives the IPv4 identification. */
  readonly node: NodeIndex;
}

/** Outer headers for the frame as the plan wants it to go on. */
export function nvgrePush(packet: PacketView, tunnel: Tunnel): NvgrePush {
  const { plan } = packet;
  const hash = flowHash(packet.bytes, ongoingFrame(packet), plan.destinationMac, plan.sourceMac);
  const flowId = tunnel.settings.flowId === "hash" ? flowIdOfHash(hash) : NO_FLOW_ID;
  return outerHeaders(tunnel, plan.vsid, flowId, flowLabelOfHash(hash));
}

/** RFC 7637 §3.2: what stands where no FlowID is made. */
export const NO_FLOW_ID = 0 as FlowId;

/** Outer headers of a tunnel. The flow label is for IPv6. */
export const outerHeaders = (tunnel: Tunnel, vsid: Vsid, flowId: FlowId, flowLabel: number): NvgrePush => ({
  ethernet: tunnel.ethernet,
  source: tunnel.source,
  destination: tunnel.destination,
  ttl: tunnel.ttl,
  ecn: tunnel.settings.ecn,
  dscp: tunnel.settings.dscp,
  dontFragment: tunnel.source.family === 4, // RFC 2003 §3.1: so that routers report what RFC 7637 §4.4 forbids to cut
  flowLabel: tunnel.source.family === 6 ? flowLabel : 0,
  identification: tunnel.node,
  vsid,
  flowId,
});
