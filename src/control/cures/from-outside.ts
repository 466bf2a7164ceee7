/**
 * Packets from outside of a routing domain. No record names their source and none should: there is one for every address of the Internet.
 * What vouches for them is the GatewayWildcard record of the gateway that brings them in, and that is a next hop of the domain's routes.
 */
import type { CustomerRoute, HostPolicy, LookupRecord, RoutingDomain } from "../../dataplane/policy/index.js";
import {
  type Address,
  gatewayAddressOf,
  isLinkLocal,
  isUnspecified,
  maskAddress,
  prefixContains,
  type Vsid,
} from "../../dataplane/wire/index.js";
import { type NewRecord, newLookupRecord, setLookupRecord } from "./command.js";
import type { LabKnowledge } from "./lab-knowledge.js";

/** A packet that the source policy has dropped. */
export interface Stranger {
  readonly lab: LabKnowledge;
  readonly hostName: string;
  /** Of that host. */
  readonly policy: HostPolicy;
  readonly vsid: Vsid;
  readonly source: Address;
}

/**
 * Is the source in no virtual subnet of the routing domain, as far as any host knows? Behind an external router even the domain's other
 * virtual subnets are outside.
 */
export function isFromOutside(stranger: Stranger): boolean {
  const { policy, vsid, source } = stranger;
  const isAround = ({ virtualSubnetID, nextHop, destinationPrefix }: CustomerRoute): boolean =>
    isUnspecified(nextHop) &&
    prefixContains(destinationPrefix, source) &&
    (virtualSubnetID === vsid || !policy.settings.useExternalRouter);
  const domain = domainOf(stranger);
  if (isUnspecified(source) || isLinkLocal(source)) return false; // addresses of those that have no other yet
  return domain !== undefined && routeOf(stranger, domain, isAround) === undefined;
}

/** The record of the gateway that has brought the packet in: of the next hops that may be its sender, the one on the way to the source. */
export function gatewayOf(stranger: Stranger, isSender: (record: LookupRecord) => boolean): LookupRecord | undefined {
  const { lab, hostName, policy, vsid, source } = stranger;
  const domain = domainOf(stranger);
  if (!domain) return undefined;
  const recordOf = (at: Vsid, address: Address): LookupRecord | undefined => {
    const record = policy.lookupRecords.find(at, address) ?? lab.recordElsewhere(at, address, hostName)?.record;
    return record && isSender(record) ? record : undefined;
  };
  const byRoute = ({ virtualSubnetID, nextHop }: CustomerRoute): LookupRecord | undefined =>
    isUnspecified(nextHop) ? undefined : recordOf(virtualSubnetID, nextHop);
  const best = policy.customerRoutes.lookup(domain, source, vsid);
  const found = best && byRoute(best);
  if (found) return found;
  const route = routeOf(stranger, domain, (candidate) => byRoute(candidate) !== undefined);
  if (route) return byRoute(route);
  if (!policy.settings.useExternalRouter) return undefined;
  const gateways = policy.customerRoutes.onLinkPrefixes(vsid).map(gatewayAddressOf);
  return gateways.flatMap((address) => (address && recordOf(vsid, address)) ?? [])[0];
}

/** The command that has a host trust this gateway, whatever the source. */
export function trustGateway({ hostName, policy, source }: Stranger, gateway: LookupRecord): string {
  const { virtualSubnetID, macAddress, providerAddress } = gateway;
  const wildcard = policy.lookupRecords
    .findByMac(virtualSubnetID, macAddress)
    .find(({ type, customerAddress }) => type === "GatewayWildcard" && customerAddress.family === source.family);
  if (wildcard) return setLookupRecord(hostName, wildcard, { providerAddress });
  const customerAddress = maskAddress(source, 0);
  const record: NewRecord = { virtualSubnetID, customerAddress, macAddress, providerAddress };
  // Windows Server 2012 knows no types; there this address alone makes it one.
  return newLookupRecord(hostName, policy.settings.mode === "2012" ? record : { ...record, type: "GatewayWildcard" });
}

const domainOf = ({ lab, policy, vsid }: Stranger): RoutingDomain | undefined =>
  policy.customerRoutes.routingDomainOf(vsid) ?? lab.domainOf(vsid);

/** The first route of the domain that fits: the host's own, else another's. */
const routeOf = (
  { lab, hostName }: Stranger,
  domain: RoutingDomain,
  fits: (route: CustomerRoute) => boolean,
): CustomerRoute | undefined =>
  domain.routes.find(fits) ??
  lab.routeElsewhere(hostName, (route) => route.routingDomainID === domain.id && fits(route))?.route;
