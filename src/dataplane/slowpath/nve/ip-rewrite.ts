/**
 * IP Rewrite (TranslationMethodNat): the packet is not wrapped; the provider addresses of its two ends take the place of their customer
 * addresses, and the far host puts those back. So every CA needs a PA of its own, for nothing else on the wire names the tenant:
 * no VSID, no inner Ethernet header, and no octet more than before.
 *
 *     VM        [06-…-05 > 06-…-07][10.0.0.5      > 10.0.0.7     ][TCP …]
 *     wire      [NIC     > next hop][192.168.4.101 > 192.168.4.102][TCP …]      checksums follow (RFC 1624)
 *     far VM    [06-…-05 > 06-…-07][10.0.0.5      > 10.0.0.7     ][TCP …]
 *
 * Both ends' records must say so, each with a PA of the CA's family. What is neither from nor to the very addresses of
 * the two records (through a gateway, before a VM has an address, ARP) cannot be told by them and is dropped.
 */
import { Reason } from "../../drop-reasons.js";
import type { ParsedIp } from "../../packet/parse.js";
import type { HostPolicy, LookupRecord } from "../../policy/policy.js";
import { membersStamp, natStamp, providerStamp, routesStamp } from "../../policy/stamps.js";
import type { Forward } from "../../transposition/index.js";
import { type Address, isMulticast, isUnicast, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Vsid } from "../../wire/bytes.js";
import { PROTOCOL_TCP } from "../../wire/ipv4.js";
import { formatMac, groupMacOf } from "../../wire/mac.js";
import { makeTci, vidOf } from "../../wire/vlan.js";
import { consumeAs, dropFor, forwardOf } from "../evaluate.js";
import { CONSUME, type LayerContext, type Outcome, type PacketView } from "../layer.js";
import { isErrorMessage } from "../quoted-packet.js";
import { isAddressResolution } from "./address-resolution.js";
import { finishChecksum } from "./checksum-offload.js";
import { deliverLocally } from "./deliver.js";
import { askForNextHop, isRefusal, isTooBig, type Refusal, wayTo } from "./encapsulate.js";
import { flowText, frameText, keyText, tell } from "./explain.js";
import { isLargeSend } from "./large-send.js";
import { insteadOfOversize } from "./oversize.js";
import { copiesHere } from "./replicate.js";
import { customerAddressIn, inOneDomain, tellOfRouter, withQuote } from "./rewritten-errors.js";
import type { NveSnapshot } from "./snapshot.js";

/** Sends the packet to the VM of the next hop's record, whose rule is TranslationMethodNat. */
export function sendRewritten(snapshot: NveSnapshot, packet: PacketView, context: LayerContext): Outcome {
  const { policy, ports } = snapshot;
  const { plan } = packet;
  const destination = plan.destinationRecord!;
  context.consulted(providerStamp(context.node));
  const saw = (): string => flowText(plan.vsid, packet.parsed);

  // 1. Do records stand for both addresses?
  const source = senderTo(destination, policy, packet);
  if (isRefusal(source)) {
    if (context.observer) tell(context.observer, saw(), source.why(), destination);
    return dropFor(source.reason);
  }

  // 2. The way from one provider address to the other.
  const way = wayTo(policy, packet, destination.providerAddress);
  if (isRefusal(way)) {
    if (context.observer) tell(context.observer, saw(), way.why(), destination);
    return askForNextHop(snapshot, packet, way, context) ? CONSUME : dropFor(way.reason);
  }

  // 3. What the VM has left to hardware: its NIC sees an ordinary packet.
  const guest = ports.settingsOf(packet.ingress).guestOffload;
  const isLarge = isLargeSend(packet, guest);
  if (guest?.checksum && !isLarge) {
    context.doNotCache(); // checksums are in no flow key
    const finished = finishChecksum(packet.bytes, packet.parsed);
    if (finished) {
      context.resubmit(packet.ingress, finished);
      if (context.observer) tell(context.observer, saw(), "the VM has left its checksum to others: finished");
      return consumeAs(Reason.TX_CHECKSUM_FINISHED);
    }
  }

  // 4. Does it fit? Nothing is added, so whatever the interface carries does.
  const mtu = policy.interfaceMtu(way.interfaceIndex);
  if (isTooBig(packet.parsed, mtu) || isLarge) {
    const { outcome, text } = insteadOfOversize(snapshot, packet, { ...way, innerMtu: mtu, push: null }, context);
    if (context.observer) tell(context.observer, saw(), text(), destination);
    return outcome;
  }

  // 5. On its way. TCP of a VM with large sends is asked again from the VM's own MTU on, since a longer packet is to be cut.
  const mayBeLarge = guest?.lso === true && packet.parsed.ip!.protocol === PROTOCOL_TCP;
  const holds = mayBeLarge ? Math.min(mtu, guest.mtu) : mtu;
  const isOdd = isTooBig(packet.parsed, holds); // too long for its VM, and yet nothing that could be cut
  if (isOdd) context.doNotCache();
  const ethernet = { ...way.ethernet, source: source.useVmMACAddress ? source.macAddress : way.ethernet.source };
  const output = ports.nicPort(way.interfaceIndex);
  const forward = rewritten(packet, source, destination, { output, ethernet, lengthLimit: isOdd ? mtu : holds });
  if (context.observer) tell(context.observer, saw(), sentText(forward), destination);
  const toProvider = (address: Address): Address | undefined => natOf(policy, plan.vsid, address)?.providerAddress;
  return withQuote(packet, { kind: "forward", outputs: [forward] }, toProvider, context);
}

/**
 * A copy of a multicast packet for the provider group that its record names, if the rule is TranslationMethodNat; or why there can be none;
 * undefined without such a record. Broadcast, and groups without a record, are not rewritten; Windows Server 2012 sends no group
 * packets to other hosts at all.
 */
export function rewrittenGroupCopy(
  { policy, ports }: NveSnapshot,
  packet: PacketView,
  context: LayerContext,
): Forward | Reason | undefined {
  const { plan, parsed } = packet;
  const group = parsed.ip?.destination;
  if (!group || !isMulticast(group) || policy.settings.mode === "2012") return undefined;
  context.consulted(membersStamp(context.node, plan.vsid));
  const record = policy.lookupRecords.find(plan.vsid, group);
  if (record?.rule !== "TranslationMethodNat" || !isMulticast(record.providerAddress)) return undefined;

  const source = senderTo(record, policy, packet);
  if (isRefusal(source)) {
    if (context.observer) tell(context.observer, frameText(parsed), `no rewritten copy: ${source.why()}`, record);
    return source.reason;
  }
  const from = policy.providerAddresses.find(source.providerAddress)!;
  const mtu = policy.interfaceMtu(from.interfaceIndex);
  if (isTooBig(parsed, mtu)) {
    context.doNotCache();
    return Reason.TX_TOO_BIG;
  }
  const ethernet = {
    destination: groupMacOf(record.providerAddress),
    source: source.useVmMACAddress ? source.macAddress : from.macAddress,
    tag: from.vlanID === 0 ? null : makeTci(0, false, from.vlanID),
  };
  const output = ports.nicPort(from.interfaceIndex);
  const forward = rewritten(packet, source, record, { output, ethernet, lengthLimit: mtu });
  if (context.observer) tell(context.observer, frameText(parsed), sentText(forward), record);
  return forward;
}

/**
 * The record of the sender of a packet for `destination`: both must say TranslationMethodNat for the very addresses of the packet, and the
 * sender's provider address must be one that this host may send from.
 */
function senderTo(destination: LookupRecord, policy: HostPolicy, { parsed, plan }: PacketView): LookupRecord | Refusal {
  const { ip } = parsed;
  const source = plan.sourceRecord;
  if (ip === null || isAddressResolution(parsed)) {
    return { reason: Reason.TX_RULE_NAT, why: () => "IP Rewrite carries neither ARP nor neighbor discovery" };
  }
  if (source?.rule !== "TranslationMethodNat") {
    const why = () => `the sender's own record says ${source?.rule ?? "nothing"}, so no provider address stands for it`;
    return { reason: Reason.TX_NAT_SOURCE, why };
  }
  const misfit = misfitOf(source, ip.source) ?? misfitOf(destination, ip.destination);
  if (misfit) return misfit;
  const own = policy.providerAddresses.find(source.providerAddress);
  if (own?.addressState === "Preferred") return source;
  const state = own ? own.addressState : "not on this host";
  const why = () => `the sender's provider address ${formatAddress(source.providerAddress)} is ${state}`;
  return { reason: Reason.TX_NO_PA, why };
}

/** Why the record's provider address cannot stand for this address of a packet; undefined if it can. */
function misfitOf({ customerAddress, providerAddress }: LookupRecord, address: Address): Refusal | undefined {
  if (!sameAddress(customerAddress, address)) {
    const why = () => `the record is for ${formatAddress(customerAddress)}, so ${formatAddress(address)} would be lost`;
    return { reason: Reason.TX_RULE_NAT, why };
  }
  if (customerAddress.family === providerAddress.family) return undefined;
  const why = () =>
    `${formatAddress(providerAddress)} cannot stand for ${formatAddress(customerAddress)} of the other family`;
  return { reason: Reason.TX_NAT_FAMILY, why };
}

function rewritten(
  packet: PacketView,
  source: LookupRecord,
  destination: LookupRecord,
  way: Pick<Forward, "output" | "ethernet" | "lengthLimit">,
): Forward {
  const address = { source: source.providerAddress, destination: destination.providerAddress };
  return { ...forwardOf(packet, way.output, null), ...way, address };
}

function sentText({ address, ethernet }: Forward): string {
  const { source, destination, tag } = ethernet!;
  const vlan = tag === null ? "untagged" : `VLAN ${vidOf(tag)}`;
  const ends = `${formatAddress(address!.source!)} -> ${formatAddress(address!.destination!)}`;
  return `IP Rewrite: ${ends}, ${formatMac(source)} -> ${formatMac(destination)}, ${vlan}`;
}

/**
 * Takes a packet for a provider address that stands for the customer address of `destination`: one of this host, or a group's that it
 * is in.
 */
export function receiveRewritten(
  snapshot: NveSnapshot,
  packet: PacketView,
  destination: LookupRecord,
  context: LayerContext,
): Outcome {
  const { policy } = snapshot;
  const { plan, parsed } = packet;
  const ip = parsed.ip!;
  const { virtualSubnetID: vsid } = destination;

  // 1. Whose address is the source? A router's on the way, if it complains.
  context.consulted(natStamp(context.node, ip.source));
  context.consulted(routesStamp(context.node));
  const source = senderFor(destination, policy, ip);
  if (isRefusal(source)) {
    if (source.isStranger && isErrorMessage(parsed)) return tellOfRouter(snapshot, packet, destination, context);
    if (context.observer) tell(context.observer, frameText(parsed), source.why(), destination);
    return dropFor(source.reason);
  }

  // 2. What it was.
  const isGroup = isMulticast(destination.customerAddress);
  plan.vsid = vsid;
  plan.removeTag = true;
  plan.destinationMac = isGroup ? groupMacOf(destination.customerAddress) : destination.macAddress;
  plan.sourceMac = source.virtualSubnetID === vsid ? source.macAddress : policy.gatewayMac(vsid, ip.family);
  plan.address = { source: source.customerAddress, destination: destination.customerAddress };
  if (context.observer) {
    const was = `${formatAddress(source.customerAddress)} -> ${formatAddress(destination.customerAddress)}`;
    tell(context.observer, frameText(parsed), `IP Rewrite: was ${was} in VSID ${vsid}`, destination);
  }
  const outcome = isGroup
    ? deliverCopies(snapshot, packet, context)
    : deliverLocally(snapshot, packet, context, Reason.RX_NO_LOCAL_DST);
  return withQuote(packet, outcome, customerAddressIn(policy, vsid), context);
}

function deliverCopies(snapshot: NveSnapshot, packet: PacketView, context: LayerContext): Outcome {
  const outputs = copiesHere(snapshot, packet, context);
  if (context.observer)
    tell(context.observer, frameText(packet.parsed), `a copy each for ${outputs.length} adapters of this host`);
  return outputs.length > 0 ? { kind: "forward", outputs } : dropFor(Reason.RX_NO_LOCAL_DST);
}

/** Why a source stands for nobody who may send here. */
interface Unknown extends Refusal {
  /** No record stands for it at all: it may be a router's. */
  readonly isStranger: boolean;
}

/**
 * The record that the source of a packet for `destination` stands for: one of the same routing domain, of another host; for a group one of
 * the same virtual subnet, which no group packet leaves.
 */
function senderFor(destination: LookupRecord, policy: HostPolicy, ip: ParsedIp): LookupRecord | Unknown {
  const text = (): string => formatAddress(ip.source);
  const refuse = (reason: Reason, why: () => string): Unknown => ({ reason, why, isStranger: false });
  if (!isUnicast(ip.source) || policy.providerAddresses.find(ip.source)) {
    return refuse(Reason.RX_OUTER_SRC, () => `${text()} is one of our own addresses, or not unicast`);
  }
  const source = policy.lookupRecords.findNat(ip.source);
  if (!source) {
    const why = () => `${text()} stands for no customer address (TranslationMethodNat)`;
    return { reason: Reason.RX_NAT_SOURCE, why, isStranger: true };
  }
  const { virtualSubnetID: vsid, customerAddress: ca } = source;
  const isGroup = isMulticast(destination.customerAddress);
  const { virtualSubnetID: there } = destination;
  const mayReach = isGroup ? vsid === there : inOneDomain(policy, vsid, there);
  if (!mayReach) {
    const elsewhere = `of another ${isGroup ? "virtual subnet" : "routing domain"}`;
    return refuse(Reason.RX_NAT_SOURCE, () => `${text()} stands for ${keyText(vsid, ca)}, ${elsewhere}`);
  }
  const misfit = [source, destination].find(({ customerAddress }) => customerAddress.family !== ip.family);
  if (!misfit) return source;
  const why = () => `${formatAddress(misfit.customerAddress)} is of the other family and cannot be put back`;
  return refuse(Reason.RX_NAT_FAMILY, why);
}

/** The record of a CA in the routing domain of a virtual subnet whose rule is TranslationMethodNat. */
function natOf({ lookupRecords, customerRoutes }: HostPolicy, vsid: Vsid, address: Address): LookupRecord | undefined {
  const domain = customerRoutes.routingDomainOf(vsid);
  for (const each of domain?.vsids ?? [vsid]) {
    const record = lookupRecords.find(each, address);
    if (record?.rule === "TranslationMethodNat") return record;
  }
  return undefined;
}
