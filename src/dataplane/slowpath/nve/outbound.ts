/**
 * The NVE's send side: what happens to a frame that a VM of a virtual subnet sends.
 *
 *   virtual subnet      which one, and no tag inside it
 *   local switching     Windows Server 2012 only: the switch comes before network virtualization
 *   EtherType           IPv4, IPv6 and ARP, nothing else
 *   address resolution  ARP and ND are answered, or find their next hop and skip the next three layers
 *   source policy       the sender's address is the one that its record gives it
 *   packet class        broadcast and multicast, the router's own addresses, link-local
 *   next hop            route and record: wire VSID, MAC addresses, TTL
 *   wire VSID           may the VSID go on the wire?
 *   redirect            another host has said where the VM lives now
 *   local delivery      the next hop lives on this host
 *   translation rule    Encap goes on, Nat leaves with other addresses (ip-rewrite.ts), None is dropped
 *   encapsulation       provider addresses, route, neighbor, size, headers (encapsulate.ts)
 *
 * The ingress checks of the switch (source MAC, guards, storm limit) come before these layers, and are `vswitch`'s.
 */
import { Reason } from "../../drop-reasons.js";
import type { HostPolicy, LookupRecord } from "../../policy/policy.js";
import { portStamp, providerStamp, recordStamp, routesStamp } from "../../policy/stamps.js";
import { type Address, isLinkLocal, isUnspecified, sameAddress } from "../../wire/address.js";
import { formatAddress, formatPrefix } from "../../wire/address-text.js";
import type { Vsid } from "../../wire/bytes.js";
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "../../wire/ethernet.js";
import { formatMac, isGroupMac } from "../../wire/mac.js";
import { MAX_VSID, MIN_VSID } from "../../wire/nvgre.js";
import { isTpid, vidOf } from "../../wire/vlan.js";
import { dropFor, forwardOf, passFor } from "../evaluate.js";
import { CONTINUE, type Layer, type LayerContext, type Outcome, type PacketView } from "../layer.js";
import { addressResolution, isAddressResolution } from "./address-resolution.js";
import { deliverLocally } from "./deliver.js";
import { encapsulation } from "./encapsulate.js";
import { flowText, frameText, hex, icmpText, keyText, nearestRecord, tell } from "./explain.js";
import { tellSender } from "./gateway.js";
import { rewrittenGroupCopy, sendRewritten } from "./ip-rewrite.js";
import { forgetWhatIsGivenUp, learnFromTraffic } from "./learning.js";
import { isNextHop, type NextHop, type NoNextHop, selectNextHop } from "./next-hop.js";
import { gatewayOwner, isBroadcastOrMulticast } from "./packet-classes.js";
import {
  findAnyByMac,
  findByMac,
  findOwn,
  findRecord,
  isFoundByMac,
  unusableAddress,
  unusableText,
} from "./records.js";
import { replicate } from "./replicate.js";
import { takenBy } from "./senders.js";
import type { NveSnapshot } from "./snapshot.js";

/** The packet's virtual subnet is its port's; a frame with a VLAN of its own has no place there. */
const virtualSubnet: Layer<NveSnapshot> = {
  name: "virtual subnet",
  evaluate({ ports }, packet, context) {
    const { parsed, plan } = packet;
    context.consulted(portStamp(packet.ingress));
    plan.vsid = ports.settingsOf(packet.ingress).vsid;
    if (plan.vsid === 0) {
      if (context.observer) tell(context.observer, "VSID 0", "outside of network virtualization: passed on untouched");
      return passFor(Reason.NONE);
    }
    // RFC 7637 §3.3: the tag is removed before encapsulation. Only a priority tag can be, without losing a VLAN.
    const isPriorityTagged = parsed.tag !== null && vidOf(parsed.tag) === 0;
    if (isPriorityTagged) plan.removeTag = true;
    const isTagged = isTpid(parsed.etherType) || (parsed.tag !== null && !plan.removeTag);
    if (context.observer) {
      const saw = parsed.tag === null ? frameText(parsed) : `${frameText(parsed)}, tag with VID ${vidOf(parsed.tag)}`;
      const decided = isTagged
        ? "a virtual subnet carries no VLAN tags"
        : `travels in virtual subnet ${plan.vsid}${plan.removeTag ? ", without its tag" : ""}`;
      tell(context.observer, saw, decided);
    }
    return isTagged ? dropFor(Reason.TX_INNER_VLAN) : CONTINUE;
  },
};

/**
 * Windows Server 2012: what a port of the same virtual subnet owns never reaches network virtualization. What is for all does, and has been
 * given to those ports before, whatever it is.
 */
const localSwitching: Layer<NveSnapshot> = {
  name: "local switching",
  evaluate(snapshot, packet, context) {
    const is2012 = snapshot.policy.settings.mode === "2012";
    const { destinationMac, vsid } = packet.plan;
    context.consulted(providerStamp(context.node));
    if (is2012 && isGroupMac(destinationMac)) return floodLocally(snapshot, packet, context);
    const isLocal = is2012 && snapshot.ports.portOf(vsid, destinationMac) !== undefined;
    if (isLocal) return deliverLocally(snapshot, packet, context, Reason.NOT_ACCEPTED);
    if (context.observer) {
      const decided = is2012 ? "not a local port's MAC" : "not in 2012R2 mode, where policy decides about every packet";
      tell(context.observer, `destination MAC ${formatMac(destinationMac)}`, decided);
    }
    return CONTINUE;
  },
};

function floodLocally({ ports }: NveSnapshot, packet: PacketView, { observer }: LayerContext): Outcome {
  const { plan, ingress } = packet;
  const others = ports.portsOf(plan.vsid).filter((port) => port !== ingress);
  if (others.length > 0) plan.besides = others.map((port) => forwardOf(packet, port, null));
  if (observer) {
    const saw = `destination MAC ${formatMac(plan.destinationMac)}`;
    tell(observer, saw, `flooded to ${others.length} other local ports, and on to network virtualization`);
  }
  return CONTINUE;
}

const etherType: Layer<NveSnapshot> = {
  name: "EtherType",
  evaluate(_snapshot, packet, context) {
    const { etherType, ip } = packet.parsed;
    const isIp = etherType === ETHERTYPE_IPV4 || etherType === ETHERTYPE_IPV6;
    const isCarried = isIp || etherType === ETHERTYPE_ARP;
    if (context.observer) {
      const decided = !isCarried
        ? "neither IPv4, IPv6 nor ARP"
        : isIp && ip === null
          ? "the IP header is broken"
          : "carried by network virtualization";
      tell(context.observer, `EtherType ${hex(etherType)}`, decided);
    }
    if (!isCarried) return dropFor(Reason.TX_NON_IP);
    if (isIp && ip === null) {
      context.doNotCache();
      return dropFor(Reason.INVALID_PACKET);
    }
    return CONTINUE;
  },
};

/** Source policy: (VSID, source CA, source MAC) must be on record, so that nobody sends in another VM's name. */
const sourcePolicy: Layer<NveSnapshot> = {
  name: "source policy",
  evaluate(snapshot, packet, context) {
    const { policy } = snapshot;
    const { plan } = packet;
    const source = packet.parsed.ip!.source;
    const byAddress = findRecord(policy, plan.vsid, source, context);
    const isOwner = byAddress !== undefined && byAddress.macAddress === plan.sourceMac;
    const isAnonymous = isLocalSource(source);
    const byMac = isOwner ? undefined : findByMac(policy, plan.vsid, plan.sourceMac, context);
    const isByMac = byMac !== undefined && !isAnonymous;
    const taken = isByMac ? takenBy(policy, plan.vsid, plan.sourceMac, source, context) : undefined;
    const record = isOwner ? byAddress : taken ? undefined : byMac;
    const isAccepted = record !== undefined || isAnonymous;
    plan.sourceRecord =
      record ?? (isAnonymous ? findOwn(policy, plan.vsid, plan.sourceMac, context) : undefined) ?? null;
    if (record) learnFromTraffic(snapshot, packet, record, context);
    if (record && record.type !== "Static") forgetWhatIsGivenUp(snapshot, packet, context);
    if (context.observer) {
      const saw = `VSID ${plan.vsid}, source ${formatAddress(source)}, source MAC ${formatMac(plan.sourceMac)}`;
      if (record) tell(context.observer, saw, `accepted by a ${record.type} record`, record);
      else if (isAnonymous) tell(context.observer, saw, "accepted: unspecified or link-local", plan.sourceRecord);
      else {
        const holder = byAddress ?? taken?.holder;
        const nearest = holder && { record: holder, differs: "macAddress" };
        const why = taken?.why ?? "no record gives this address to this MAC";
        tell(context.observer, saw, why, undefined, nearest ?? nearestRecord(policy.lookupRecords, plan.vsid, source));
      }
    }
    return isAccepted ? CONTINUE : dropFor(Reason.TX_SRC_POLICY);
  },
};

/**
 * DHCP, duplicate address detection, and what never leaves its virtual subnet (RFC 1812 §5.3.7, RFC 3927 §2.7, RFC 4291 §2.5.2 and §2.5.6):
 * such a source needs no record, and what comes from it is not routed.
 */
const isLocalSource = (source: Address): boolean => isUnspecified(source) || isLinkLocal(source);

/** What is not routed: groups, the router's own addresses, link-local. Windows Server 2012 R2 looks at the IP address only. */
const packetClass: Layer<NveSnapshot> = {
  name: "packet class",
  evaluate(snapshot, packet, context) {
    const { policy } = snapshot;
    const { plan } = packet;
    const destination = packet.parsed.ip!.destination;
    context.consulted(routesStamp(context.node));
    const isGroup = isBroadcastOrMulticast(policy, plan.vsid, destination);
    const gatewayVsid = isGroup ? undefined : gatewayOwner(policy, plan.vsid, destination);
    if (context.observer) {
      const decided = isGroup
        ? "broadcast or multicast"
        : gatewayVsid !== undefined
          ? `gateway address of virtual subnet ${gatewayVsid}: the distributed router does not answer`
          : isLinkLocal(destination)
            ? "link-local: stays in its virtual subnet"
            : "unicast";
      tell(context.observer, flowText(plan.vsid, packet.parsed), decided);
    }
    if (isGroup) return replicate(snapshot, packet, context, rewrittenGroupCopy(snapshot, packet, context));
    if (gatewayVsid !== undefined) return dropFor(Reason.TX_ROUTER_SELF);
    return isLinkLocal(destination) ? toLinkLocal(snapshot, packet, destination, context) : CONTINUE;
  },
};

/** Link-local addresses are never routed: the record of the address, or of the MAC that the VM found by itself. */
function toLinkLocal(
  { policy, state }: NveSnapshot,
  packet: PacketView,
  destination: Address,
  context: LayerContext,
): Outcome {
  const { plan } = packet;
  const isToRouter = policy.isGatewayMac(plan.vsid, plan.destinationMac); // whose record leads nowhere
  const byMac = (): LookupRecord | undefined =>
    isToRouter ? undefined : findAnyByMac(policy, plan.vsid, plan.destinationMac, () => true, context);
  const record = findRecord(policy, plan.vsid, destination, context) ?? byMac();
  if (!record) {
    if (context.observer) {
      const why = `no lookup record ${keyText(plan.vsid, destination)}, none with MAC ${formatMac(plan.destinationMac)}`;
      const nearest = nearestRecord(policy.lookupRecords, plan.vsid, destination);
      tell(context.observer, flowText(plan.vsid, packet.parsed), why, undefined, nearest);
    }
    state.control.missing.missed(plan.vsid, destination, context);
    return dropFor(Reason.TX_NO_RECORD);
  }
  plan.destinationRecord = record;
  plan.destinationMac = record.macAddress;
  return CONTINUE;
}

/** The distributed router: chooses the next hop, and rewrites what a router rewrites. */
const nextHop: Layer<NveSnapshot> = {
  name: "next hop",
  evaluate({ policy, state }, packet, context) {
    const { plan } = packet;
    if (plan.destinationRecord) {
      if (context.observer) {
        tell(context.observer, flowText(plan.vsid, packet.parsed), "link-local: not routed", plan.destinationRecord);
      }
      return CONTINUE;
    }
    const ip = packet.parsed.ip!;
    const { vsid } = plan;
    const found = selectNextHop(policy, vsid, ip.destination, plan.destinationMac, context);
    if (!isNextHop(found)) {
      if (context.observer) tellNoNextHop(policy, vsid, packet, found, context);
      if (found.reason === Reason.TX_NO_RECORD) state.control.missing.missed(found.vsid, found.address, context);
      return dropFor(found.reason);
    }
    const { isRouted } = found;
    if (isRouted && isLocalSource(ip.source)) {
      if (context.observer) {
        const why = `next hop ${formatAddress(found.address)}, but no router sends on what comes from ${formatAddress(ip.source)}`;
        tell(context.observer, flowText(vsid, packet.parsed), why, found.record);
      }
      return dropFor(Reason.TX_SRC_POLICY);
    }
    plan.destinationRecord = found.record;
    plan.vsid = found.vsid;
    plan.destinationMac = found.record.macAddress;
    if (isRouted) {
      plan.sourceMac = policy.gatewayMac(found.vsid, ip.family);
      plan.decrementTtl = true;
    }
    const isExpired = isRouted && ip.ttl <= 1;
    if (context.observer) tellNextHop(policy, vsid, packet, found, isExpired, context);
    if (!isExpired) return CONTINUE;
    context.doNotCache();
    const isTold = tellSender(policy, vsid, packet, { kind: "timeExceeded" }, context);
    if (context.observer) tell(context.observer, flowText(vsid, packet.parsed), icmpText(isTold, "time exceeded"));
    return dropFor(Reason.TX_TTL_EXCEEDED);
  },
};

function tellNextHop(
  policy: HostPolicy,
  vsid: Vsid,
  packet: PacketView,
  found: NextHop,
  isExpired: boolean,
  context: LayerContext,
): void {
  const { plan, parsed } = packet;
  const by = found.route ? `route ${formatPrefix(found.route.destinationPrefix)}` : "the record alone";
  const isLeftToRouter = policy.settings.useExternalRouter && !sameAddress(found.address, parsed.ip!.destination);
  const how = found.isRouted
    ? `routed: wire VSID ${found.vsid}, TTL ${parsed.ip!.ttl} minus one`
    : isLeftToRouter
      ? `left to an external router in virtual subnet ${found.vsid}`
      : `same virtual subnet ${found.vsid}`;
  const macs = `MAC ${formatMac(found.record.macAddress)}, source MAC ${formatMac(plan.sourceMac)}`;
  const decided = isExpired
    ? `routed into VSID ${found.vsid}, but the TTL is ${parsed.ip!.ttl}`
    : `${how}; next hop ${formatAddress(found.address)} by ${by}, ${macs}`;
  tell(context.observer, flowText(vsid, parsed), decided, found.record);
}

function tellNoNextHop(
  policy: HostPolicy,
  vsid: Vsid,
  packet: PacketView,
  found: NoNextHop,
  context: LayerContext,
): void {
  const decided = noNextHopText(policy, vsid, packet.parsed.ip!.destination, found);
  const nearest = nearestRecord(policy.lookupRecords, found.vsid, found.address);
  tell(context.observer, flowText(vsid, packet.parsed), decided, found.route, nearest);
}

export function noNextHopText(policy: HostPolicy, vsid: Vsid, destination: Address, found: NoNextHop): string {
  const { reason, address } = found;
  if (reason === Reason.TX_NO_ROUTE) {
    return `no customer route of the routing domain of VSID ${vsid} covers ${formatAddress(address)}`;
  }
  const isExternal = policy.settings.useExternalRouter && !sameAddress(address, destination);
  return `no lookup record ${keyText(found.vsid, address)}${isExternal ? " of an external router" : ""}`;
}

/** RFC 7637 §3.4: neither the reserved range nor the vendors' own VSID may carry a tenant's frame. */
const wireVsid: Layer<NveSnapshot> = {
  name: "wire VSID",
  evaluate(_snapshot, packet, context) {
    const { vsid } = packet.plan;
    const isUsable = vsid >= MIN_VSID && vsid <= MAX_VSID;
    if (context.observer) {
      tell(context.observer, `VSID ${vsid}`, `${isUsable ? "lies in" : "lies outside of"} ${MIN_VSID}–${MAX_VSID}`);
    }
    return isUsable ? CONTINUE : dropFor(Reason.TX_VSID_RANGE);
  },
};

/** Where a host that was sent to has said that the VM lives elsewhere now, that takes the place of the record's provider address. */
const redirect: Layer<NveSnapshot> = {
  name: "redirect",
  evaluate({ policy, state }, packet, context) {
    const record = packet.plan.destinationRecord!;
    const { virtualSubnetID: vsid, customerAddress } = record;
    const isOpen = policy.settings.acceptRedirect && !isFoundByMac(record);
    if (isOpen) context.consulted(recordStamp(context.node, vsid, customerAddress));
    const target = isOpen ? state.control.redirects.find(vsid, customerAddress) : undefined;
    if (target) packet.plan.destinationRecord = { ...record, providerAddress: target };
    if (context.observer) {
      const decided = target ? `by a REDIRECT at ${formatAddress(target)}` : "where the record says";
      tell(context.observer, keyText(vsid, customerAddress), decided, record);
    }
    return CONTINUE;
  },
};

/**
 * A next hop at one of this host's provider addresses never sees the wire, routed or not, whatever its rule. While that address is
 * not in use it is as if there were no record.
 */
const localDelivery: Layer<NveSnapshot> = {
  name: "local delivery",
  evaluate(snapshot, packet, context) {
    const record = packet.plan.destinationRecord!;
    const { virtualSubnetID: vsid, customerAddress, providerAddress } = record;
    context.consulted(providerStamp(context.node));
    const unusable = unusableAddress(snapshot.policy, record);
    if (unusable) {
      if (context.observer)
        tell(context.observer, keyText(vsid, customerAddress), unusableText(record, unusable), record);
      if (!isFoundByMac(record)) snapshot.state.control.missing.missed(vsid, customerAddress, context);
      return dropFor(Reason.TX_NO_RECORD);
    }
    if (snapshot.policy.providerAddresses.find(providerAddress)) {
      return deliverLocally(snapshot, packet, context, Reason.NOT_ACCEPTED);
    }
    if (context.observer) {
      tell(context.observer, `provider address ${formatAddress(providerAddress)}`, "not on this host");
    }
    return CONTINUE;
  },
};

const translationRule: Layer<NveSnapshot> = {
  name: "translation rule",
  evaluate(snapshot, packet, context) {
    const record = packet.plan.destinationRecord!;
    if (context.observer) {
      tell(context.observer, keyText(record.virtualSubnetID, record.customerAddress), record.rule, record);
    }
    switch (record.rule) {
      case "TranslationMethodEncap":
        return CONTINUE;
      case "TranslationMethodNat":
        return sendRewritten(snapshot, packet, context);
      case "TranslationMethodNone":
        return dropFor(Reason.TX_RULE_NONE);
    }
  },
};

/** A layer for packets whose next hop is not decided yet; ARP and ND have theirs from `addressResolution`. */
function unlessResolved(layer: Layer<NveSnapshot>): Layer<NveSnapshot> {
  return {
    name: layer.name,
    evaluate(snapshot, packet, context) {
      const record = isAddressResolution(packet.parsed) ? packet.plan.destinationRecord : null;
      if (!record) return layer.evaluate(snapshot, packet, context);
      if (context.observer) tell(context.observer, frameText(packet.parsed), "address resolution has decided", record);
      return CONTINUE;
    },
  };
}

/** The send side in order, for ports of VMs. */
export const OUTBOUND_LAYERS: readonly Layer<NveSnapshot>[] = [
  virtualSubnet,
  localSwitching,
  etherType,
  addressResolution,
  unlessResolved(sourcePolicy),
  unlessResolved(packetClass),
  unlessResolved(nextHop),
  wireVsid,
  redirect,
  localDelivery,
  translationRule,
  encapsulation,
];
