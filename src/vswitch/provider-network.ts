/**
 * The provider network as one node: bridges by VLAN, and routes between its subnets.
 *
 * Every NIC of the lab ends at one of its ports, which carry all provider VLANs as trunks. It knows where each MAC and each
 * provider address lives, since the lab says so, and learns nothing; group addresses reach all provider addresses of the VLAN. A frame
 * for the router's MAC is routed, any other one bridged. Each subnet has its own MTU; what does not fit is dropped here.
 *
 * The router tells the sender why, from its address in the subnet that the packet came from: too big with DF set (RFC 1191, RFC 8201), and
 * TTL exceeded. IPv4 without DF goes on in fragments. A subnet without a router's address hears nothing, and switches say nothing either: what is bridged and too long is lost.
 */
import { Reason } from "../dataplane/index.js";
import {
  answerWith,
  CONSUME,
  CONTINUE,
  consumeAs,
  dropFor,
  errorAbout,
  forwardOf,
  forwardTo,
  inVlan,
  isAddressResolution,
  type Layer,
  type LayerContext,
  makeNode,
  type Node,
  type Outcome,
  type PacketView,
  type Problem,
  readMessage,
} from "../dataplane/slowpath/index.js";
import { apply, type Forward, type PortIndex } from "../dataplane/transposition/index.js";
import {
  type Address,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  formatAddress,
  formatMac,
  formatPrefix,
  fragmentIpv4,
  isGroupMac,
  type Mac,
  makeTci,
  prefixContains,
  sameAddress,
  VLAN_TAG_LENGTH,
  vidOf,
} from "../dataplane/wire/index.js";
import type { ProviderSettings, ProviderSubnetSettings } from "./settings.js";

/** A provider address and the NIC behind which it lives. */
export interface ProviderStation {
  readonly address: Address;
  readonly mac: Mac;
  readonly vlan: number;
  readonly port: PortIndex;
}

export interface ProviderSnapshot {
  readonly settings: ProviderSettings;
  readonly stations: readonly ProviderStation[];
  /** By VLAN, then MAC. */
  readonly macs: ReadonlyMap<number, ReadonlyMap<Mac, PortIndex>>;
  /** By VLAN, the ports behind which it has provider addresses. */
  readonly members: ReadonlyMap<number, readonly PortIndex[]>;
}

/** `nicMacs` are reachable on every VLAN, as a trunk's NIC is; provider addresses with a MAC of their own on theirs. */
export function makeProviderSnapshot(
  settings: ProviderSettings,
  stations: readonly ProviderStation[],
  nicMacs: ReadonlyMap<Mac, PortIndex>,
): ProviderSnapshot {
  const macs = new Map<number, Map<Mac, PortIndex>>();
  for (const { vlan } of settings.subnets) macs.set(vlan, new Map(nicMacs));
  const members = new Map<number, PortIndex[]>();
  for (const { vlan, mac, port } of stations) {
    macs.get(vlan)?.set(mac, port);
    const ports = members.get(vlan) ?? [];
    if (!ports.includes(port)) members.set(vlan, [...ports, port]);
  }
  return { settings, stations, macs, members };
}

export const makeProviderNode = (name: string, snapshot: ProviderSnapshot): Node =>
  makeNode(
    name,
    () => snapshot,
    () => ({ layers: LAYERS, unreadable: Reason.PROVIDER_MALFORMED }),
  );

const vlanOf = ({ parsed }: PacketView): number => (parsed.tag === null ? 0 : vidOf(parsed.tag));

/** Octets from the network header to the frame's end: what an MTU limits. */
const networkLength = ({ parsed }: PacketView): number => parsed.end - parsed.networkAt;

const vlan: Layer<ProviderSnapshot> = {
  name: "provider VLAN",
  evaluate({ macs }, packet, { observer }): Outcome {
    const vid = vlanOf(packet);
    const isKnown = macs.has(vid);
    observer?.note({
      saw: `VLAN ${vid}`,
      decided: isKnown ? "a provider subnet uses it" : "drop: no provider subnet uses it",
    });
    if (!isKnown) return dropFor(Reason.PROVIDER_VLAN);
    const { etherType, ip } = packet.parsed;
    if ((etherType === ETHERTYPE_IPV4 || etherType === ETHERTYPE_IPV6) && !ip) {
      observer?.note({ saw: "an IP header that does not add up", decided: "drop" });
      return dropFor(Reason.PROVIDER_MALFORMED);
    }
    return CONTINUE;
  },
};

const bridge: Layer<ProviderSnapshot> = {
  name: "provider bridge",
  evaluate(snapshot, packet, context): Outcome {
    const { destination } = packet.parsed;
    const { observer } = context;
    const saw = () => `destination ${formatMac(destination)} in VLAN ${vlanOf(packet)}`;
    if (destination === snapshot.settings.routerMac) {
      observer?.note({ saw: saw(), decided: "for the provider router" });
      return CONTINUE;
    }
    if (isGroupMac(destination)) {
      const others = (snapshot.members.get(vlanOf(packet)) ?? []).filter((port) => port !== packet.ingress);
      observer?.note({
        saw: saw(),
        decided: `to the ${others.length} other ports with a provider address in the VLAN`,
      });
      if (others.length === 0) return dropFor(Reason.PROVIDER_GROUP);
      const subnet = subnetOf(snapshot, packet);
      if (subnet && networkLength(packet) > subnet.mtu) return tooBig(packet, subnet, context);
      packet.plan.lengthLimit = subnet?.mtu ?? null;
      return { kind: "forward", outputs: others.map((port) => forwardOf(packet, port, null)) };
    }
    const port = snapshot.macs.get(vlanOf(packet))?.get(destination);
    if (port === undefined || port === packet.ingress) {
      observer?.note({
        saw: saw(),
        decided: port === undefined ? "drop: nobody has this address" : "drop: it lies where the frame came from",
      });
      return dropFor(Reason.PROVIDER_UNKNOWN_MAC);
    }
    const subnet = subnetOf(snapshot, packet);
    if (subnet && networkLength(packet) > subnet.mtu) return tooBig(packet, subnet, context);
    observer?.note({ saw: saw(), decided: "bridged", ...(subnet ? { record: describe(subnet) } : {}) });
    packet.plan.lengthLimit = subnet?.mtu ?? null;
    return forwardTo(packet, port, null);
  },
};

const route: Layer<ProviderSnapshot> = {
  name: "provider router",
  evaluate(snapshot, packet, context): Outcome {
    const { ip } = packet.parsed;
    const { observer } = context;
    if (!ip) {
      observer?.note({
        saw: `EtherType 0x${packet.parsed.etherType.toString(16)}`,
        decided: "drop: the router routes IP only",
      });
      return dropFor(Reason.PROVIDER_NO_ROUTE);
    }
    const saw = () => `destination ${formatAddress(ip.destination)}, TTL ${ip.ttl}`;
    const subnet = bestSubnet(snapshot.settings.subnets, ip.destination);
    if (!subnet) {
      observer?.note({ saw: saw(), decided: "drop: no provider subnet holds it" });
      return dropFor(Reason.PROVIDER_NO_ROUTE);
    }
    const station = snapshot.stations.find((s) => s.vlan === subnet.vlan && sameAddress(s.address, ip.destination));
    if (!station) {
      observer?.note({ saw: saw(), decided: "drop: no host has this provider address", record: describe(subnet) });
      return dropFor(Reason.PROVIDER_UNRESOLVED);
    }
    if (ip.ttl <= 1) {
      context.doNotCache(); // the TTL is not in the flow key
      const told = tellSender(snapshot, packet, { kind: "timeExceeded" }, context);
      observer?.note({ saw: saw(), decided: `drop: the TTL runs out here; ${told}` });
      return dropFor(Reason.PROVIDER_TTL);
    }
    const forward = routedTo(snapshot, station, subnet);
    if (networkLength(packet) > subnet.mtu) {
      if (ip.family === 4 && !ip.dontFragment) return fragmented(packet, forward, subnet, context);
      const isTooLong = ip.end - ip.at > subnet.mtu; // padding that is too long is no fault of the packet
      const problem: Problem = { kind: "tooBig", mtu: subnet.mtu };
      return tooBig(packet, subnet, context, isTooLong ? tellSender(snapshot, packet, problem, context) : NOBODY_TOLD);
    }
    observer?.note({ saw: saw(), decided: `routed to ${formatMac(station.mac)}`, record: describe(subnet) });
    return { kind: "forward", outputs: [{ ...forward, lengthLimit: subnet.mtu }] };
  },
};

const routedTo = (
  { settings }: ProviderSnapshot,
  station: ProviderStation,
  subnet: ProviderSubnetSettings,
): Forward => ({
  output: station.port,
  pop: false,
  dscpInwards: false,
  ethernet: {
    destination: station.mac,
    source: settings.routerMac,
    tag: subnet.vlan === 0 ? null : makeTci(0, false, subnet.vlan),
  },
  decrementTtl: true,
  push: null,
  lengthLimit: null,
});

/** RFC 1812 §5.2.6: what does not fit, and has no DF, goes on in fragments. */
function fragmented(
  { bytes, start, end }: PacketView,
  forward: Forward,
  subnet: ProviderSubnetSettings,
  context: LayerContext,
): Outcome {
  context.doNotCache();
  const routed = apply(forward, bytes.subarray(start, end), () => 0);
  const networkAt = ETHERNET_LENGTH + (subnet.vlan === 0 ? 0 : VLAN_TAG_LENGTH);
  const fragments = typeof routed === "number" ? [] : fragmentIpv4(routed, networkAt, subnet.mtu);
  for (const fragment of fragments) context.emit(forward.output, fragment);
  const decided = `routed in ${fragments.length} fragments: the MTU is ${subnet.mtu}`;
  context.observer?.note({ saw: `${end - start} bytes without DF`, decided, record: describe(subnet) });
  return fragments.length > 0 ? consumeAs(Reason.PROVIDER_FRAGMENTED) : dropFor(Reason.PROVIDER_MTU);
}

/** The router answers for its addresses, in the VLAN of each. */
const gatewayResolution: Layer<ProviderSnapshot> = {
  name: "provider gateway",
  evaluate({ settings }, packet, context): Outcome {
    const { parsed } = packet;
    const message = isAddressResolution(parsed) ? readMessage(packet.bytes, parsed) : null;
    const vlanID = vlanOf(packet);
    const isGateway = ({ vlan: own, gateway }: ProviderSubnetSettings): boolean =>
      message?.kind === "question" && own === vlanID && gateway !== null && sameAddress(gateway, message.target);
    const isAsked = settings.subnets.some(isGateway);
    const decided = isAsked ? "answered: the address is the provider router's" : "does not ask for the provider router";
    context.observer?.note({ saw: `EtherType 0x${parsed.etherType.toString(16)}`, decided });
    if (!isAsked || message?.kind !== "question") return CONTINUE;
    context.emit(packet.ingress, inVlan(answerWith(message, settings.routerMac, true), vlanID));
    return CONSUME;
  },
};

const LAYERS: readonly Layer<ProviderSnapshot>[] = [vlan, gatewayResolution, bridge, route];

const NOBODY_TOLD = "nobody is told";

/** The router's error message to the sender, through the port where the packet came in; says whether there is one. */
function tellSender(snapshot: ProviderSnapshot, packet: PacketView, problem: Problem, context: LayerContext): string {
  const { settings } = snapshot;
  const vid = vlanOf(packet);
  const from = settings.subnets.filter((subnet) => subnet.vlan === vid);
  const gateway = bestSubnet(from, packet.parsed.ip!.source)?.gateway;
  if (!gateway) return NOBODY_TOLD;
  const router = { address: gateway, mac: settings.routerMac };
  const error = errorAbout(packet.bytes, packet.parsed, problem, router);
  if (!error) return NOBODY_TOLD;
  context.emit(packet.ingress, inVlan(error, vid));
  return `${formatAddress(gateway)} tells the sender by ICMP`;
}

function tooBig(
  packet: PacketView,
  subnet: ProviderSubnetSettings,
  context: LayerContext,
  told = NOBODY_TOLD,
): Outcome {
  context.doNotCache(); // neither is the length
  context.observer?.note({
    saw: `${networkLength(packet)} bytes from the network header on`,
    decided: `drop: the MTU is ${subnet.mtu}; ${told}`,
    record: describe(subnet),
  });
  return dropFor(Reason.PROVIDER_MTU);
}

/** The subnet that a bridged frame crosses: that of its destination, else the narrowest of its VLAN. */
function subnetOf({ settings }: ProviderSnapshot, packet: PacketView): ProviderSubnetSettings | undefined {
  const here = settings.subnets.filter((subnet) => subnet.vlan === vlanOf(packet));
  const { ip } = packet.parsed;
  return (ip && bestSubnet(here, ip.destination)) ?? here.toSorted((a, b) => a.mtu - b.mtu)[0];
}

const bestSubnet = (subnets: readonly ProviderSubnetSettings[], address: Address): ProviderSubnetSettings | undefined =>
  subnets
    .filter(({ prefix }) => prefixContains(prefix, address))
    .toSorted((a, b) => b.prefix.length - a.prefix.length)[0];

const describe = (subnet: ProviderSubnetSettings): string =>
  `provider subnet ${formatPrefix(subnet.prefix)}, VLAN ${subnet.vlan}, MTU ${subnet.mtu}`;
