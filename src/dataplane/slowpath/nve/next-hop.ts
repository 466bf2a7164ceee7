/**
 * Where a unicast packet of a virtual subnet goes: the decision that Select-NetVirtualizationNextHop shows.
 *
 *   2012R2              route (longest prefix in the routing domain) -> next hop CA and wire VSID -> record
 *   2012                record of the destination anywhere in the routing domain -> else as 2012R2
 *   useExternalRouter   route of the sender's own virtual subnet, else its gateway address -> record in that subnet
 *
 * The wire VSID is that of the route, so a routed packet travels in the virtual subnet of its *destination* (of the gateway,
 * for a route with a next hop), and the far end needs no router: (VSID, MAC) finds the port.
 */
import { Reason } from "../../drop-reasons.js";
import type { CustomerRoute, HostPolicy, LookupRecord, RoutingDomain } from "../../policy/policy.js";
import { routesStamp } from "../../policy/stamps.js";
import { type Address, isUnspecified, prefixContains } from "../../wire/address.js";
import type { Mac, Vsid } from "../../wire/bytes.js";
import type { Consultation } from "../layer.js";
import { gatewayAddress } from "./gateway.js";
import { findByMac, findRecord } from "./records.js";

export interface NextHop {
  readonly record: LookupRecord;
  /** The virtual subnet in which the packet goes on. */
  readonly vsid: Vsid;
  /** The CA whose record was asked for: the destination, or the route's next hop. */
  readonly address: Address;
  /** The customer route that decided; null where a record decided alone. */
  readonly route: CustomerRoute | null;
  /** Passes the distributed router: TTL one less, and its MAC address as the source. */
  readonly isRouted: boolean;
}

/** Why there is none, and how far the search came. */
export interface NoNextHop {
  readonly reason: Reason;
  readonly vsid: Vsid;
  readonly address: Address;
  readonly route: CustomerRoute | null;
}

export const isNextHop = (found: NextHop | NoNextHop): found is NextHop => "record" in found;

/** The next hop for `destination`, one station's address, sent in virtual subnet `vsid` to the MAC address `destinationMac`. */
export function selectNextHop(
  policy: HostPolicy,
  vsid: Vsid,
  destination: Address,
  destinationMac: Mac,
  context: Consultation,
): NextHop | NoNextHop {
  context.consulted(routesStamp(context.node));
  const domain = policy.customerRoutes.routingDomainOf(vsid);
  if (!domain) return withoutDomain(policy, vsid, destination, destinationMac, context);
  if (policy.settings.useExternalRouter) {
    return withinSubnet(policy, domain, vsid, destination, destinationMac, context);
  }
  if (policy.settings.mode === "2012") {
    const found = anywhereInDomain(policy, domain, vsid, destination, destinationMac, context);
    if (found) return found;
  }

  // 1. The route; ties are the table's business.
  const route = policy.customerRoutes.lookup(domain, destination, vsid);
  if (!route) return { reason: Reason.TX_NO_ROUTE, vsid, address: destination, route: null };

  // 2. The next hop's CA, in the virtual subnet where it lives.
  const address = isUnspecified(route.nextHop) ? destination : route.nextHop;

  // 3. Its record.
  return recordOf(policy, vsid, route.virtualSubnetID, address, route, destinationMac, context);
}

/** A virtual subnet that no customer route names has no routing domain: its VMs reach each other and nobody else. */
function withoutDomain(
  policy: HostPolicy,
  vsid: Vsid,
  destination: Address,
  destinationMac: Mac,
  context: Consultation,
): NextHop | NoNextHop {
  const found = recordOf(policy, vsid, vsid, destination, null, destinationMac, context);
  return isNextHop(found) ? found : { ...found, reason: Reason.TX_NO_ROUTE };
}

/**
 * Windows Server 2012 asks the records before the routes, in every virtual subnet of the routing domain; the order (the
 * sender's own, then ascending) is ours.
 */
function anywhereInDomain(
  policy: HostPolicy,
  domain: RoutingDomain,
  vsid: Vsid,
  destination: Address,
  destinationMac: Mac,
  context: Consultation,
): NextHop | undefined {
  const isToRouter = policy.isGatewayMac(vsid, destinationMac);
  const own = findRecord(policy, vsid, destination, context);
  if (own) return { record: own, vsid, address: destination, route: null, isRouted: isToRouter };
  for (const other of domain.vsids) {
    const record = other === vsid ? undefined : findRecord(policy, other, destination, context);
    if (record) return { record, vsid: other, address: destination, route: null, isRouted: true };
  }
  return undefined;
}

/**
 * Set-NetVirtualizationGlobal -UseExternalRouter: this host routes nothing. What does not stay on the link goes, as it is, to the router
 * that the virtual subnet's own routes name, or else to the one that has its gateway address.
 */
function withinSubnet(
  policy: HostPolicy,
  domain: RoutingDomain,
  vsid: Vsid,
  destination: Address,
  destinationMac: Mac,
  context: Consultation,
): NextHop | NoNextHop {
  const route = ownRoute(domain, vsid, destination);
  if (route && isUnspecified(route.nextHop)) {
    const found = recordOf(policy, vsid, vsid, destination, route, destinationMac, context);
    return isNextHop(found) ? { ...found, isRouted: false } : found;
  }
  const address = route?.nextHop ?? gatewayAddress(policy, vsid, destination.family);
  if (!address) return { reason: Reason.TX_NO_ROUTE, vsid, address: destination, route: null };
  const record = findRecord(policy, vsid, address, context);
  if (!record) return { reason: Reason.TX_NO_RECORD, vsid, address, route };
  return { record, vsid, address, route, isRouted: false };
}

/** Of the virtual subnet's own routes: the longest prefix, then the lowest metric, then the first. Walks the domain's routes. */
function ownRoute(domain: RoutingDomain, vsid: Vsid, destination: Address): CustomerRoute | null {
  let best: CustomerRoute | null = null;
  for (const route of domain.routes) {
    if (route.virtualSubnetID !== vsid || !prefixContains(route.destinationPrefix, destination)) continue;
    const longer = best === null ? 1 : route.destinationPrefix.length - best.destinationPrefix.length;
    if (longer > 0 || (longer === 0 && route.metric < best!.metric)) best = route;
  }
  return best;
}

/**
 * The record of (wire VSID, next hop). Where there is none, and the packet stays in its virtual subnet, the MAC address
 * that the VM chose may name a VM whose CA is not known yet: so a DHCP server's unicast offer arrives.
 */
function recordOf(
  policy: HostPolicy,
  vsid: Vsid,
  wireVsid: Vsid,
  address: Address,
  route: CustomerRoute | null,
  destinationMac: Mac,
  context: Consultation,
): NextHop | NoNextHop {
  const record =
    findRecord(policy, wireVsid, address, context) ??
    (wireVsid === vsid ? findByMac(policy, vsid, destinationMac, context) : undefined);
  if (!record) return { reason: Reason.TX_NO_RECORD, vsid: wireVsid, address, route };
  const isRouted = wireVsid !== vsid || policy.isGatewayMac(vsid, destinationMac);
  return { record, vsid: wireVsid, address, route, isRouted };
}
