/**
 * Where a unicast packet of a virtual subnet goes: the decision that Select-NetVirtualizationNextHop shows.
 *
 *   2012R2   route (longest prefix in the routing domain) -> next hop CA and wire VSID -> record
 *   2012     record of the destination anywhere in the routing domain -> else as 2012R2
 *
 * The wire VSID is that of the route, so a routed packet travels in the virtual subnet of its *destination* (of the gateway,
 * for a route with a next hop), and the far end needs no router: (VSID, MAC) finds the port.
 */
import { Reason } from "../../drop-reasons.js";
import type { CustomerRoute, HostPolicy, LookupRecord, RoutingDomain } from "../../policy/policy.js";
import { routesStamp } from "../../policy/stamps.js";
import { type Address, isUnspecified } from "../../wire/address.js";
import type { Mac, Vsid } from "../../wire/bytes.js";
import type { LayerContext } from "../layer.js";
import { findByMac, findRecord } from "./records.js";

export interface NextHop {
  readonly record: LookupRecord;
  /** The virtual subnet in which the packet goes on. */
  readonly vsid: Vsid;
  /** The CA whose record was asked for: the destination, or the route's next hop. */
  readonly address: Address;
  /** The customer route that decided; null where a record decided alone. */
  readonly route: CustomerRoute | null;
}

/** Why there is none, and how far the search came. */
export interface NoNextHop {
  readonly reason: Reason;
  readonly vsid: Vsid;
  readonly address: Address;
  readonly route: CustomerRoute | null;
}

export const isNextHop = (found: NextHop | NoNextHop): found is NextHop => "record" in found;

/** The next hop for `destination`, sent in virtual subnet `vsid` to the MAC address `destinationMac`. */
export function selectNextHop(
  policy: HostPolicy,
  vsid: Vsid,
  destination: Address,
  destinationMac: Mac,
  context: LayerContext,
): NextHop | NoNextHop {
  context.consulted(routesStamp(context.node));
  const domain = policy.customerRoutes.routingDomainOf(vsid);
  if (!domain) return withoutDomain(policy, vsid, destination, destinationMac, context);
  if (policy.settings.mode === "2012") {
    const found = anywhereInDomain(policy, domain, vsid, destination, context);
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
  context: LayerContext,
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
  context: LayerContext,
): NextHop | undefined {
  const own = findRecord(policy, vsid, destination, context);
  if (own) return { record: own, vsid, address: destination, route: null };
  for (const other of domain.vsids) {
    const record = other === vsid ? undefined : findRecord(policy, other, destination, context);
    if (record) return { record, vsid: other, address: destination, route: null };
  }
  return undefined;
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
  context: LayerContext,
): NextHop | NoNextHop {
  const record =
    findRecord(policy, wireVsid, address, context) ??
    (wireVsid === vsid ? findByMac(policy, vsid, destinationMac, context) : undefined);
  if (!record) return { reason: Reason.TX_NO_RECORD, vsid: wireVsid, address, route };
  return { record, vsid: wireVsid, address, route };
}
