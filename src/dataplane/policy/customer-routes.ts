/**
 * The customer routes of a host: per routing domain a table for longest prefix match, and what follows from the routes:
 * which VSID belongs to which domain, the on-link prefixes, the gateway addresses. Immutable; a change builds anew the
 * domains whose routes differ and shares the others.
 */
import { type Address, gatewayAddressOf, isUnspecified, type Prefix, sameAddress } from "../wire/address.js";
import type { Vsid } from "../wire/bytes.js";
import { AddressMap } from "./address-map.js";
import type { CustomerRoute, CustomerRouteTable, RoutingDomain } from "./policy.js";
import { PrefixTable } from "./prefix-table.js";
import { checkSecondOnLinkRoutes, checkVsidBindings } from "./validate.js";

const NO_PREFIXES: readonly Prefix[] = Object.freeze([]);

export class CustomerRoutes implements CustomerRouteTable {
  static readonly EMPTY = new CustomerRoutes([], new Map());

  private readonly domainOfVsid = new Map<Vsid, Domain>();

  private constructor(
    readonly all: readonly CustomerRoute[],
    private readonly domains: ReadonlyMap<string, Domain>,
  ) {
    for (const domain of domains.values()) for (const vsid of domain.vsids) this.domainOfVsid.set(vsid, domain);
  }

  /**
   * A table of these routes. Throws a PolicyError where they contradict each other so that no answer would be right: a VSID
   * in two routing domains, or two on-link prefixes of one family for a VSID. `checkCustomerRoutes` tells of all else.
   */
  static from(routes: readonly CustomerRoute[]): CustomerRoutes {
    return CustomerRoutes.EMPTY.withRoutes(routes);
  }

  /** The table with these routes in place of all; as `from`, but shares the domains that stay as they are. */
  withRoutes(routes: readonly CustomerRoute[]): CustomerRoutes {
    const error = checkVsidBindings(routes)[0] ?? checkSecondOnLinkRoutes(routes)[0];
    if (error) throw error;
    const domains = new Map<string, Domain>();
    for (const [id, domainRoutes] of routesByDomain(routes)) {
      const old = this.domains.get(id);
      domains.set(id, old && sameRoutes(old.routes, domainRoutes) ? old : new Domain(id, domainRoutes));
    }
    return new CustomerRoutes(routes, domains);
  }

  routingDomainOf(vsid: Vsid): RoutingDomain | undefined {
    return this.domainOfVsid.get(vsid);
  }

  lookup(domain: RoutingDomain, destination: Address, preferred: Vsid): CustomerRoute | undefined {
    return this.domains.get(domain.id)?.lookup(destination, preferred);
  }

  onLinkPrefixes(vsid: Vsid): readonly Prefix[] {
    return this.domainOfVsid.get(vsid)?.onLink.get(vsid) ?? NO_PREFIXES;
  }

  gatewayOwner(domain: RoutingDomain, address: Address): Vsid | undefined {
    return this.domains.get(domain.id)?.gateways.find(0, address);
  }
}

class Domain implements RoutingDomain {
  readonly vsids: readonly Vsid[];
  /** On-link prefixes of each VSID, IPv4 first. */
  readonly onLink: ReadonlyMap<Vsid, readonly Prefix[]>;
  readonly gateways: AddressMap<Vsid>;
  private readonly table: PrefixTable<CustomerRoute>;

  constructor(
    readonly id: string,
    readonly routes: readonly CustomerRoute[],
  ) {
    this.vsids = [...new Set(routes.map((route) => route.virtualSubnetID))].sort((a, b) => a - b);
    this.onLink = onLinkPrefixesOf(routes);
    this.gateways = gatewaysOf(this.onLink);
    this.table = new PrefixTable<CustomerRoute>();
    for (const route of [...routes].sort(byMetricAndVsid)) this.table.add(route.destinationPrefix, route);
  }

  lookup(destination: Address, preferred: Vsid): CustomerRoute | undefined {
    const candidates = this.table.longest(destination);
    if (candidates === undefined) return undefined;
    const best = candidates[0]!;
    const own = candidates.find((route) => route.metric === best.metric && route.virtualSubnetID === preferred);
    return own ?? best;
  }
}

/** Stable, so that routes alike in both stay in the order of their insertion. */
const byMetricAndVsid = (a: CustomerRoute, b: CustomerRoute): number =>
  a.metric - b.metric || a.virtualSubnetID - b.virtualSubnetID;

function routesByDomain(routes: readonly CustomerRoute[]): ReadonlyMap<string, readonly CustomerRoute[]> {
  const domains = new Map<string, CustomerRoute[]>();
  for (const route of routes) {
    const list = domains.get(route.routingDomainID);
    if (list) list.push(route);
    else domains.set(route.routingDomainID, [route]);
  }
  return domains;
}

function onLinkPrefixesOf(routes: readonly CustomerRoute[]): ReadonlyMap<Vsid, readonly Prefix[]> {
  const onLink = new Map<Vsid, readonly Prefix[]>();
  for (const { virtualSubnetID, destinationPrefix, nextHop } of routes) {
    const prefixes = onLink.get(virtualSubnetID) ?? NO_PREFIXES;
    const isKnown = prefixes.some((prefix) => prefix.address.family === destinationPrefix.address.family);
    if (!isUnspecified(nextHop) || isKnown) continue;
    const both = [...prefixes, destinationPrefix].sort((a, b) => a.address.family - b.address.family);
    onLink.set(virtualSubnetID, both);
  }
  return onLink;
}

function gatewaysOf(onLink: ReadonlyMap<Vsid, readonly Prefix[]>): AddressMap<Vsid> {
  const gateways = new AddressMap<Vsid>();
  for (const [vsid, prefixes] of onLink) {
    for (const gateway of prefixes.map(gatewayAddressOf)) if (gateway) gateways.set(0, gateway, vsid);
  }
  return gateways;
}

const sameRoutes = (a: readonly CustomerRoute[], b: readonly CustomerRoute[]): boolean =>
  a.length === b.length && a.every((route, index) => sameRoute(route, b[index]!));

const sameRoute = (a: CustomerRoute, b: CustomerRoute): boolean =>
  a === b ||
  (a.virtualSubnetID === b.virtualSubnetID &&
    a.metric === b.metric &&
    a.destinationPrefix.length === b.destinationPrefix.length &&
    sameAddress(a.destinationPrefix.address, b.destinationPrefix.address) &&
    sameAddress(a.nextHop, b.nextHop));
