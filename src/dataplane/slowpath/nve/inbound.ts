/**
 * The NVE's receive side: what happens to a frame that a NIC takes from the provider network.
 *
 * The layers follow the receive checklist row by row (docs/RFC-COMPLIANCE.md); the first row that fails decides. "Pass" means
 * that the frame is not NVGRE for this host and goes on unchanged to whoever else lives here. A received packet is never
 * sent on to another host.
 */
import { Reason } from "../../drop-reasons.js";
import type { ParsedFrame } from "../../packet/parse.js";
import type { HostPolicy, LookupRecord } from "../../policy/policy.js";
import { macRecordStamp, providerStamp, recordStamp, routesStamp } from "../../policy/stamps.js";
import { type Address, isLinkLocal, isUnicast, isUnspecified, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Mac, Vsid } from "../../wire/bytes.js";
import { BROADCAST_MAC, formatMac, isGroupMac } from "../../wire/mac.js";
import { vidOf } from "../../wire/vlan.js";
import { dropFor, passFor } from "../evaluate.js";
import { CONTINUE, type Layer, type LayerContext, type Outcome, type PacketView } from "../layer.js";
import { isAddressResolution, isArp, isNeighborDiscovery, readMessage } from "./address-resolution.js";
import { controlMessage, controlText, tellSendingHost } from "./control-messages.js";
import { deliverLocally } from "./deliver.js";
import { frameText, hex, type Nearest, nearestRecord, tell } from "./explain.js";
import { holdFragment } from "./hold-fragment.js";
import { receiveRewritten } from "./ip-rewrite.js";
import { learnFromFlood } from "./learning.js";
import type { LocalPorts } from "./local-ports.js";
import { isTooBigMessage, takePathMtu } from "./path-mtu.js";
import { memberAddress } from "./provider-groups.js";
import { checkCongestion, checkOuterIp, enterInnerFrame, isGre, isIpEtherType, openNvgre } from "./receive.js";
import { findAnyByMac, recordOnTheWay } from "./records.js";
import { copiesHere } from "./replicate.js";
import { isKnownVsid, type NveSnapshot } from "./snapshot.js";

/**
 * Rows 2 to 9: an IP packet with GRE for one of our provider addresses. One that stands for a customer address takes nothing but packets of
 * IP Rewrite, GRE of tenants among them (ip-rewrite.ts).
 */
const providerAddress: Layer<NveSnapshot> = {
  name: "provider address",
  evaluate(snapshot, packet, context) {
    const { policy, ports } = snapshot;
    const { parsed } = packet;
    context.consulted(providerStamp(context.node)); // and whether the address stands for a customer address (IP Rewrite)
    const member = memberAddress(policy, ports, packet, context);
    if (!member && !isOurMac(policy, ports, packet)) return pass(packet, context, "the destination MAC is not ours");
    if (!isIpEtherType(parsed.etherType)) return pass(packet, context, "not IP");

    const { ip } = parsed;
    const reason = checkOuterIp(packet.bytes, ip);
    if (ip === null || reason !== Reason.NONE) {
      context.doNotCache();
      return drop(packet, context, reason, "the outer IP header is broken");
    }
    const pa = member ?? policy.providerAddresses.find(ip.destination);
    if (!pa) return pass(packet, context, `${formatTo(context, ip.destination)} is no provider address of this host`);

    const vid = parsed.tag === null ? 0 : vidOf(parsed.tag); // a priority tag counts as none
    if (vid !== pa.vlanID) {
      return drop(packet, context, Reason.RX_OUTER_VLAN, `arrived with VID ${vid}, the address has ${pa.vlanID}`, pa);
    }
    if (pa.addressState !== "Preferred" && pa.addressState !== "Deprecated") {
      return drop(packet, context, Reason.RX_PA_STATE, `the provider address is ${pa.addressState}`, pa);
    }
    const rewritten = isNeighborDiscovery(parsed) ? undefined : policy.lookupRecords.findNat(ip.destination);
    if (rewritten) return receiveRewritten(snapshot, packet, rewritten, context);
    const told = !member && isTooBigMessage(packet.bytes, ip) ? takePathMtu(policy, packet, pa, context) : null;
    if (told) return told;
    if (!isGre(packet.bytes, ip)) return pass(packet, context, `protocol ${ip.protocol}, not GRE`);
    if (context.observer) tell(context.observer, frameText(parsed), "GRE for a provider address of this host", pa);
    return CONTINUE;
  },
};

/** Row 2: the NIC's MAC, that of a provider address, or broadcast. */
export function isOurMac(policy: HostPolicy, ports: LocalPorts, packet: PacketView): boolean {
  const { destination } = packet.parsed;
  if (destination === ports.nicMac(packet.ingress) || destination === BROADCAST_MAC) return true;
  return policy.providerAddresses.all.some((pa) => pa.macAddress === destination);
}

function pass(packet: PacketView, context: LayerContext, why: string): Outcome {
  if (context.observer) tell(context.observer, frameText(packet.parsed), `passed on: ${why}`);
  return passFor(Reason.NONE);
}

function drop(packet: PacketView, context: LayerContext, reason: Reason, why: string, about?: unknown): Outcome {
  if (context.observer) tell(context.observer, frameText(packet.parsed), why, about);
  return dropFor(reason);
}

/** Text costs, so it is made only for a listener. */
const formatTo = (context: LayerContext, address: Address): string => (context.observer ? formatAddress(address) : "");

/** Rows 10 to 20. */
const nvgreHeader: Layer<NveSnapshot> = {
  name: "NVGRE header",
  evaluate(snapshot, packet, context) {
    const { reassembly, receive } = snapshot.policy.settings;
    const isFragment = packet.parsed.ip!.fragment !== "none";
    return isFragment && reassembly ? holdFragment(snapshot, packet, context) : openNvgre(packet, receive, context);
  },
};

/** Row 21: the sender is another host's. */
const outerSource: Layer<NveSnapshot> = {
  name: "outer source",
  evaluate({ policy }, packet, context) {
    const { source } = packet.parsed.ip!;
    const isOurs = policy.providerAddresses.find(source) !== undefined;
    const isForeign = isUnicast(source) && !isOurs;
    if (context.observer) {
      const decided = isForeign ? "a foreign unicast address" : isOurs ? "one of our own addresses" : "not unicast";
      tell(context.observer, `outer source ${formatAddress(source)}`, decided);
    }
    return isForeign ? CONTINUE : dropFor(Reason.RX_OUTER_SRC);
  },
};

/** Rows 22 and 23. */
const innerFrame: Layer<NveSnapshot> = {
  name: "inner frame",
  evaluate({ policy }, packet, context) {
    const outcome = enterInnerFrame(packet, context);
    if (outcome !== CONTINUE) return outcome;
    const { plan } = packet;
    plan.dscpInwards = policy.settings.dscp.model === "uniform"; // RFC 2983 §4.2
    if (plan.sourceMac !== 0 && !isGroupMac(plan.sourceMac)) return CONTINUE;
    if (context.observer) {
      tell(context.observer, `inner source MAC ${formatMac(plan.sourceMac)}`, "a group address or zero");
    }
    return dropFor(Reason.RX_INNER_SRC_MAC);
  },
};

/** Rows 25 and 26. */
const innerPacket: Layer<NveSnapshot> = {
  name: "inner packet",
  evaluate(_snapshot, packet, context) {
    const inner = packet.plan.inner!;
    const { etherType, ip } = inner;
    const isIp = isIpEtherType(etherType);
    const isCarried = isIp || isArp(inner);
    const isBroken = isIp && ip === null;
    if (context.observer) {
      const decided = isBroken ? "the inner IP header is broken" : isCarried ? "carried" : "neither IPv4, IPv6 nor ARP";
      tell(context.observer, `inner EtherType ${hex(etherType)}`, decided);
    }
    if (!isCarried) return dropFor(Reason.RX_INNER_ETHERTYPE);
    if (isBroken || isAddressResolution(inner)) context.doNotCache();
    return isBroken ? dropFor(Reason.RX_INNER_IP_MALFORMED) : CONTINUE;
  },
};

/** Row 27. */
const virtualSubnet: Layer<NveSnapshot> = {
  name: "virtual subnet",
  evaluate(snapshot, packet, context) {
    const { vsid } = packet.plan;
    const isKnown = isKnownVsid(snapshot, vsid, context);
    const isTold = !isKnown && tellSendingHost(snapshot, packet, null, context);
    if (context.observer) {
      const unknown = `neither a customer route nor a port here; ${controlText(isTold, "UNREACHABLE")}`;
      tell(context.observer, `VSID ${vsid}`, isKnown ? "known on this host" : unknown);
    }
    return isKnown ? CONTINUE : dropFor(Reason.RX_VSID_UNKNOWN);
  },
};

/**
 * Row 28: the outer source is where the inner source lives.
 *
 * A routed packet carries the VSID of its destination, while its source is on record in the source's own virtual subnet, so the
 * whole routing domain counts. What comes through a gateway VM has source addresses without any record; its
 * GatewayWildcard record speaks for it. And before a VM has an address, its MAC address must do.
 */
const sourcePolicy: Layer<NveSnapshot> = {
  name: "source policy",
  evaluate(snapshot, packet, context) {
    const { policy } = snapshot;
    const { plan } = packet;
    const inner = plan.inner!;
    const pa = packet.parsed.ip!.source;
    const record = findSource(policy, plan.vsid, inner, pa, context);
    const isTold = !record && tellSendingHost(snapshot, packet, null, context);
    if (context.observer) {
      const saw = `VSID ${plan.vsid}, inner source ${sourceText(inner)}, outer source ${formatAddress(pa)}`;
      if (record) tell(context.observer, saw, "the source is on record there", record);
      else {
        const why = `no lookup record places the inner source at the outer source; ${controlText(isTold, "UNREACHABLE")}`;
        tell(context.observer, saw, why, undefined, nearestSource(policy, plan.vsid, inner));
      }
    }
    return record ? CONTINUE : dropFor(Reason.RX_SRC_POLICY);
  },
};

/** The record that places the inner source at the provider address `pa`. */
function findSource(
  policy: HostPolicy,
  vsid: Vsid,
  inner: ParsedFrame,
  pa: Address,
  context: LayerContext,
): LookupRecord | undefined {
  const byAddress = inner.ip && sourceByAddress(policy, vsid, inner.ip.source, pa, context);
  return (
    byAddress ??
    sourceByWildcard(policy, vsid, inner.source, pa, context) ??
    (isNamedByMac(inner)
      ? findAnyByMac(policy, vsid, inner.source, (r) => sameAddress(r.providerAddress, pa), context)
      : undefined)
  );
}

/**
 * A record of the inner source CA with that PA, in the virtual subnet or its routing domain. One record is enough, so an
 * acceptance rests on that record alone; a refusal rests on all that were asked.
 */
function sourceByAddress(
  policy: HostPolicy,
  vsid: Vsid,
  source: Address,
  pa: Address,
  context: LayerContext,
): LookupRecord | undefined {
  const found = recordAt(policy, vsid, source, pa, context);
  if (found) return found;
  const { customerRoutes } = policy;
  const domain = customerRoutes.routingDomainOf(vsid);
  if (domain) {
    // The source's own prefix names the virtual subnet where its record should be.
    const likely = customerRoutes.lookup(domain, source, vsid)?.virtualSubnetID;
    const early = likely !== undefined && likely !== vsid ? recordAt(policy, likely, source, pa, context) : undefined;
    const record = early ?? firstOf(domain.vsids, (other) => recordAt(policy, other, source, pa, context));
    context.consulted(routesStamp(context.node));
    if (record) return record;
    for (const other of domain.vsids) context.consulted(recordStamp(context.node, other, source));
  }
  context.consulted(recordStamp(context.node, vsid, source));
  context.consulted(routesStamp(context.node));
  return undefined;
}

function recordAt(
  policy: HostPolicy,
  vsid: Vsid,
  source: Address,
  pa: Address,
  context: LayerContext,
): LookupRecord | undefined {
  const record = policy.lookupRecords.find(vsid, source);
  if (!record || !sameAddress(record.providerAddress, pa)) return undefined;
  context.consulted(recordStamp(context.node, vsid, source));
  return record;
}

/** A gateway VM at that PA in the routing domain; what it sends itself bears its MAC, what the router sent on a gateway MAC. */
function sourceByWildcard(
  policy: HostPolicy,
  vsid: Vsid,
  sourceMac: Mac,
  pa: Address,
  context: LayerContext,
): LookupRecord | undefined {
  const vsids = policy.customerRoutes.routingDomainOf(vsid)?.vsids ?? [vsid];
  const isRouted = policy.isGatewayMac(vsid, sourceMac);
  context.consulted(routesStamp(context.node));
  return firstOf(vsids, (other) => {
    context.consulted(macRecordStamp(context.node, other));
    return policy.lookupRecords
      .wildcards(other)
      .find((record) => sameAddress(record.providerAddress, pa) && (isRouted || record.macAddress === sourceMac));
  });
}

function firstOf<Item, Found>(items: readonly Item[], find: (item: Item) => Found | undefined): Found | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** ARP, neighbor discovery, and packets whose source address names nobody. */
const isNamedByMac = (inner: ParsedFrame): boolean =>
  inner.ip === null || isUnspecified(inner.ip.source) || isLinkLocal(inner.ip.source) || isNeighborDiscovery(inner);

const sourceText = ({ ip, source }: ParsedFrame): string => (ip ? formatAddress(ip.source) : formatMac(source));

/** The record of the inner source that names another provider address; else the nearest by address. */
function nearestSource(policy: HostPolicy, vsid: Vsid, { ip, source }: ParsedFrame): Nearest | undefined {
  if (ip === null) {
    const record = policy.lookupRecords.findByMac(vsid, source)[0];
    return record && { record, differs: "providerAddress" };
  }
  const vsids = policy.customerRoutes.routingDomainOf(vsid)?.vsids ?? [vsid];
  const record = firstOf(vsids, (other) => policy.lookupRecords.find(other, ip.source));
  return record ? { record, differs: "providerAddress" } : nearestRecord(policy.lookupRecords, vsid, ip.source);
}

/** Row 29. */
const congestion: Layer<NveSnapshot> = {
  name: "congestion",
  evaluate: (_snapshot, packet, context) => checkCongestion(packet, context),
};

/**
 * Rows 30 to 32: the port of (VSID, inner destination MAC), for group addresses every port of the virtual subnet; on this host or
 * not at all. Not finding one is decided behind the ECN guard, so it is not cached.
 */
const delivery: Layer<NveSnapshot> = {
  name: "delivery",
  evaluate(snapshot, packet, context) {
    const { destinationMac, vsid } = packet.plan;
    if (!isGroupMac(destinationMac)) {
      const outcome = deliverLocally(snapshot, packet, context, Reason.RX_NO_LOCAL_DST);
      return outcome.kind === "drop" ? dropUndelivered(snapshot, packet, context) : outcome;
    }
    readFlood(snapshot, packet, context);
    const outputs = copiesHere(snapshot, packet, context);
    if (context.observer) {
      const saw = `VSID ${vsid}, destination MAC ${formatMac(destinationMac)}`;
      tell(context.observer, saw, `a copy each for ${outputs.length} adapters of this host`);
    }
    if (outputs.length > 0) return { kind: "forward", outputs };
    context.doNotCache();
    return dropFor(Reason.RX_NO_LOCAL_DST);
  },
};

/** Row 31 where a record tells the provider address that the VM has moved to, else row 32. */
function dropUndelivered(snapshot: NveSnapshot, packet: PacketView, context: LayerContext): Outcome {
  context.doNotCache();
  const record = recordElsewhere(snapshot.policy, packet);
  // A message has room for addresses of its own family only.
  const moved = record?.providerAddress.family === packet.parsed.ip!.family ? record : null;
  const isTold = tellSendingHost(snapshot, packet, moved, context);
  if (context.observer) {
    const text = controlText(isTold, moved ? "REDIRECT" : "UNREACHABLE");
    const where = record ? `it lives at ${formatAddress(record.providerAddress)} now` : "no record says where it lives";
    tell(context.observer, frameText(packet.plan.inner!), `${where}; ${text}`, record);
  }
  return dropFor(record ? Reason.RX_MOVED : Reason.RX_NO_LOCAL_DST);
}

/** The record by which the packet was on its way to the destination MAC, with the provider address of another host. */
function recordElsewhere(policy: HostPolicy, { plan }: PacketView): LookupRecord | undefined {
  const { ip } = plan.inner!;
  const record = ip ? recordOnTheWay(policy, plan.vsid, ip.destination, plan.destinationMac) : undefined;
  if (record?.rule !== "TranslationMethodEncap") return undefined;
  return policy.providerAddresses.find(record.providerAddress) ? undefined : record;
}

/** What another host floods for its VM says where that VM's addresses are. */
function readFlood(snapshot: NveSnapshot, packet: PacketView, context: LayerContext): void {
  const inner = packet.plan.inner!;
  if (!snapshot.policy.settings.learnFromFloods || !isAddressResolution(inner)) return;
  const message = readMessage(packet.bytes, inner);
  if (message && message.kind !== "other") learnFromFlood(snapshot, packet, message.claims, context);
}

/** The receive side in order, for NICs; row 1 is the pipeline's `unreadable`. */
export const INBOUND_LAYERS: readonly Layer<NveSnapshot>[] = [
  providerAddress,
  nvgreHeader,
  outerSource,
  innerFrame,
  controlMessage,
  innerPacket,
  virtualSubnet,
  sourcePolicy,
  congestion,
  delivery,
];
