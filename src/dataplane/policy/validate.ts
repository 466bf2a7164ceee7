/**
 * The limits of the NetWNV cmdlets: what New-, Set- and Remove-NetVirtualization… would refuse, and why.
 *
 * Each check answers with the first PolicyError or undefined, those of whole tables with all of them. None throws: the caller
 * decides whether to collect (a fabric file), to answer (REST) or to throw. What the type system already holds is not
 * checked again, but numbers are, since a brand is only a promise.
 */
import {
  type Address,
  gatewayAddressOf,
  isLimitedBroadcast,
  isMulticast,
  isUnicast,
  isUnspecified,
  maskAddress,
  type Prefix,
  prefixContains,
  sameAddress,
} from "../wire/address.js";
import { formatAddress, formatPrefix } from "../wire/address-text.js";
import type { Mac, Vsid } from "../wire/bytes.js";
import { formatMac, isGroupMac } from "../wire/mac.js";
import { AddressMap } from "./address-map.js";
import type {
  CustomerRoute,
  LookupRecord,
  Neighbor,
  NveSettings,
  ProviderAddress,
  ProviderRoute,
  RecordType,
} from "./policy.js";

/** Stable: programs compare them. */
export type PolicyErrorCode =
  | "VSID_OUT_OF_RANGE"
  | "MAC_ADDRESS_INVALID"
  | "PREFIX_LENGTH_OUT_OF_RANGE"
  | "PREFIX_HOST_BITS"
  | "METRIC_OUT_OF_RANGE"
  | "CUSTOMER_ADDRESS_INVALID"
  | "LOOKUP_RECORD_CUSTOMER_ADDRESS"
  | "LOOKUP_RECORD_PROVIDER_ADDRESS"
  | "LOOKUP_RECORD_USE_VM_MAC"
  | "LOOKUP_RECORD_CONFLICT"
  | "LOOKUP_RECORD_NAT_SHARED_PA"
  | "LOOKUP_RECORD_NOT_FOUND"
  | "ROUTING_DOMAIN_ID_INVALID"
  | "CUSTOMER_ROUTE_NEXT_HOP"
  | "CUSTOMER_ROUTE_NEXT_HOP_IS_GATEWAY"
  | "CUSTOMER_ROUTE_EXISTS"
  | "CUSTOMER_ROUTE_SECOND_ON_LINK"
  | "CUSTOMER_ROUTE_OVERLAP"
  | "VSID_IN_TWO_ROUTING_DOMAINS"
  | "VLAN_OUT_OF_RANGE"
  | "INTERFACE_INDEX_INVALID"
  | "PROVIDER_ADDRESS_INVALID"
  | "PROVIDER_ADDRESS_EXISTS"
  | "PROVIDER_ROUTE_NEXT_HOP"
  | "PROVIDER_ROUTE_EXISTS"
  | "NEIGHBOR_ADDRESS_INVALID"
  | "NEIGHBOR_EXISTS";

/** Somebody asked for what the policy cannot hold. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
  constructor(
    readonly code: PolicyErrorCode,
    message: string,
    /** What was asked for. */
    readonly value: unknown,
    /** What would be taken instead, for people. */
    readonly accepted: string,
  ) {
    super(message);
  }
}

/** The key properties of a record: what Get, Set and Remove name it by. */
export type LookupRecordIdentity = Pick<LookupRecord, "virtualSubnetID" | "customerAddress" | "macAddress" | "type">;

export type Checked = PolicyError | undefined;

/** VSIDs of records and routes: RFC 7637 §3.2 reserves 0–4095 and leaves 16777215 to vendors. */
export const VSID_MIN = 4096;
export const VSID_MAX = 0xff_fffe;
export const VLAN_ID_MAX = 4094;
const UINT32_MAX = 0xffff_ffff;

// Values

export const checkVsid = (vsid: number): Checked =>
  isWithin(vsid, VSID_MIN, VSID_MAX)
    ? undefined
    : new PolicyError("VSID_OUT_OF_RANGE", `VSID ${vsid} is out of range.`, vsid, `${VSID_MIN}–${VSID_MAX}`);

/** A MAC address that one station can have: neither zero nor a group address. */
export const checkMacAddress = (mac: Mac): Checked =>
  isWithin(mac, 1, 0xffff_ffff_ffff) && !isGroupMac(mac)
    ? undefined
    : new PolicyError(
        "MAC_ADDRESS_INVALID",
        `${macText(mac)} is no station's MAC address.`,
        mac,
        "a unicast MAC address",
      );

export function checkPrefix(prefix: Prefix): Checked {
  const { address, length } = prefix;
  const longest = address.family === 4 ? 32 : 128;
  if (!isWithin(length, 0, longest)) {
    const message = `Prefix length ${length} is out of range.`;
    return new PolicyError("PREFIX_LENGTH_OUT_OF_RANGE", message, length, `0–${longest}`);
  }
  const masked = maskAddress(address, length);
  if (sameAddress(masked, address)) return undefined;
  const message = `${formatPrefix(prefix)} has bits set beyond its length.`;
  return new PolicyError("PREFIX_HOST_BITS", message, prefix, formatPrefix({ address: masked, length }));
}

export const checkVlanID = (vlanID: number): Checked =>
  isWithin(vlanID, 0, VLAN_ID_MAX)
    ? undefined
    : new PolicyError("VLAN_OUT_OF_RANGE", `VLAN ${vlanID} is out of range.`, vlanID, `0–${VLAN_ID_MAX}; 0: untagged`);

const checkMetric = (metric: number): Checked =>
  isWithin(metric, 0, UINT32_MAX)
    ? undefined
    : new PolicyError("METRIC_OUT_OF_RANGE", `Metric ${metric} is out of range.`, metric, `0–${UINT32_MAX}`);

/** Interfaces are numbered from 1. */
const checkInterfaceIndex = (index: number): Checked =>
  isWithin(index, 1, UINT32_MAX)
    ? undefined
    : new PolicyError("INTERFACE_INDEX_INVALID", `No interface has the index ${index}.`, index, `1–${UINT32_MAX}`);

// Lookup records

/**
 * The record as a host of this mode understands it: 2012 has no Type, and a record for 0.0.0.0 or :: is a gateway's there.
 */
export const lookupRecordInMode = <Record extends Pick<LookupRecord, "customerAddress" | "type">>(
  record: Record,
  mode: NveSettings["mode"],
): Record =>
  mode === "2012" && isUnspecified(record.customerAddress) && record.type !== "GatewayWildcard"
    ? { ...record, type: "GatewayWildcard" }
    : record;

/** Can the record be in a table at all? */
export function checkLookupRecord(record: LookupRecord): Checked {
  return (
    checkVsid(record.virtualSubnetID) ??
    checkMacAddress(record.macAddress) ??
    checkLookupRecordAddress(record.type, record.customerAddress) ??
    checkProviderAddressOfRecord(record) ??
    checkUseVmMACAddress(record)
  );
}

/** L2Only and GatewayWildcard records are found by MAC and name no address, the others name one. */
export function checkLookupRecordAddress(type: RecordType, customerAddress: Address): Checked {
  const byMac = type === "L2Only" || type === "GatewayWildcard";
  if (byMac === isUnspecified(customerAddress)) return undefined;
  const accepted = byMac ? "0.0.0.0 or ::" : "an address other than 0.0.0.0 and ::";
  const message = `A record of type ${type} cannot be for ${formatAddress(customerAddress)}.`;
  return new PolicyError("LOOKUP_RECORD_CUSTOMER_ADDRESS", message, customerAddress, accepted);
}

/** A group CA may be mapped to a multicast PA, which then carries it; everything else goes to one host. The families are free. */
function checkProviderAddressOfRecord({ customerAddress, providerAddress }: LookupRecord): Checked {
  const forGroup = isMulticast(customerAddress) || isLimitedBroadcast(customerAddress);
  if (isUnicast(providerAddress) || (forGroup && isMulticast(providerAddress))) return undefined;
  const message = `${formatAddress(providerAddress)} cannot be a record's provider address.`;
  const accepted = "a host's unicast address; a multicast address only where the customer address is one too";
  return new PolicyError("LOOKUP_RECORD_PROVIDER_ADDRESS", message, providerAddress, accepted);
}

function checkUseVmMACAddress({ rule, useVmMACAddress }: LookupRecord): Checked {
  if (!useVmMACAddress || rule === "TranslationMethodNat") return undefined;
  const message = `UseVmMACAddress has no meaning with the rule ${rule}.`;
  return new PolicyError(
    "LOOKUP_RECORD_USE_VM_MAC",
    message,
    useVmMACAddress,
    "false, or the rule TranslationMethodNat",
  );
}

/**
 * May the record be added where `occupant` lives? One Static or Dynamic record per (VSID, CA), one L2Only and one
 * GatewayWildcard record per (VSID, family, MAC); but a Static record replaces a Dynamic one.
 */
export const checkNewLookupRecord = (record: LookupRecord, occupant: LookupRecord | undefined): Checked =>
  occupant === undefined || (record.type === "Static" && occupant.type === "Dynamic")
    ? undefined
    : lookupRecordConflict(record, occupant);

export const lookupRecordConflict = (record: LookupRecord, occupant: LookupRecord): PolicyError =>
  new PolicyError(
    "LOOKUP_RECORD_CONFLICT",
    `VSID ${record.virtualSubnetID} already has a ${occupant.type} record for ${formatAddress(record.customerAddress)} ` +
      `with MAC ${formatMac(occupant.macAddress)}.`,
    record,
    "one record per VSID and customer address, or per VSID and MAC for L2Only and GatewayWildcard: remove the old one first",
  );

/** Do packets for the record's customer address get its provider address in the place of it (IP Rewrite)? */
export const isRewritten = ({ rule, customerAddress }: LookupRecord): boolean =>
  rule === "TranslationMethodNat" && !isUnspecified(customerAddress);

/**
 * IP Rewrite names a VM by its provider address alone: may the record have its, of which `holder` is the record with that rule so
 * far? Records that are found by MAC are not rewritten, and may share one.
 */
export function checkNatRecord(record: LookupRecord, holder: LookupRecord | undefined): Checked {
  if (!isRewritten(record) || holder === undefined) return undefined;
  const isSame =
    holder.virtualSubnetID === record.virtualSubnetID && sameAddress(holder.customerAddress, record.customerAddress);
  if (isSame) return undefined;
  const pa = formatAddress(record.providerAddress);
  return new PolicyError(
    "LOOKUP_RECORD_NAT_SHARED_PA",
    `${pa} stands for ${formatAddress(holder.customerAddress)} of VSID ${holder.virtualSubnetID} already (TranslationMethodNat).`,
    record,
    "a provider address for each customer address that is rewritten",
  );
}

export const lookupRecordNotFound = (identity: LookupRecordIdentity): PolicyError =>
  new PolicyError(
    "LOOKUP_RECORD_NOT_FOUND",
    `VSID ${identity.virtualSubnetID} has no ${identity.type} record for ${formatAddress(identity.customerAddress)} ` +
      `with MAC ${formatMac(identity.macAddress)}.`,
    identity,
    "the VSID, customer address, MAC and type of an existing record",
  );

// Customer routes

/** The GUID in braces and upper case, from any spelling; undefined if it is none. */
export function parseRoutingDomainID(text: string): string | undefined {
  const guid = /^\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?$/i.exec(text.trim());
  return guid ? `{${guid[1]!.toUpperCase()}}` : undefined;
}

/** Can the route be in a table at all? */
export function checkCustomerRoute(route: CustomerRoute): Checked {
  const { routingDomainID: id } = route;
  if (parseRoutingDomainID(id) !== id) {
    const message = `"${id}" is no routing domain's id.`;
    return new PolicyError("ROUTING_DOMAIN_ID_INVALID", message, id, "a GUID in braces, upper case");
  }
  return (
    checkVsid(route.virtualSubnetID) ??
    checkPrefix(route.destinationPrefix) ??
    checkNextHop("CUSTOMER_ROUTE_NEXT_HOP", route) ??
    checkMetric(route.metric)
  );
}

/** On-link is 0.0.0.0 or ::, whatever the prefix's family. */
function checkNextHop(
  code: PolicyErrorCode,
  route: { readonly nextHop: Address; readonly destinationPrefix: Prefix },
): Checked {
  const { nextHop, destinationPrefix } = route;
  if (isUnspecified(nextHop)) return undefined;
  if (isUnicast(nextHop) && nextHop.family === destinationPrefix.address.family) return undefined;
  const message = `${formatAddress(nextHop)} cannot be the next hop to ${formatPrefix(destinationPrefix)}.`;
  return new PolicyError(code, message, nextHop, "a unicast address of the prefix's family; 0.0.0.0 or :: for on-link");
}

/** All that is wrong with a table of routes, each error at the later one of two that clash. */
export function checkCustomerRoutes(routes: readonly CustomerRoute[]): readonly PolicyError[] {
  const errors = routes.map(checkCustomerRoute).filter(isError);
  if (errors.length > 0) return errors;
  return [
    ...repeated(
      routes,
      customerRouteKey,
      "CUSTOMER_ROUTE_EXISTS",
      "one route per routing domain, VSID, prefix and next hop",
    ),
    ...checkVsidBindings(routes),
    ...checkOnLinkRoutes(routes),
    ...checkNextHopsAgainstGateways(routes),
  ];
}

const customerRouteKey = (r: CustomerRoute): string =>
  `${r.routingDomainID} ${r.virtualSubnetID} ${formatPrefix(r.destinationPrefix)} ${formatAddress(r.nextHop)}`;

/** A VSID belongs to one routing domain; the routes are what says to which. */
export function checkVsidBindings(routes: readonly CustomerRoute[]): readonly PolicyError[] {
  const domainOf = new Map<Vsid, string>();
  const errors: PolicyError[] = [];
  for (const route of routes) {
    const { virtualSubnetID: vsid, routingDomainID } = route;
    const bound = domainOf.get(vsid) ?? routingDomainID;
    domainOf.set(vsid, bound);
    if (bound === routingDomainID) continue;
    const message = `VSID ${vsid} belongs to routing domain ${bound} already.`;
    errors.push(
      new PolicyError("VSID_IN_TWO_ROUTING_DOMAINS", message, route, `routing domain ${bound}, or another VSID`),
    );
  }
  return errors;
}

/** One on-link prefix per VSID and family, and no two that overlap within a routing domain. */
function checkOnLinkRoutes(routes: readonly CustomerRoute[]): readonly PolicyError[] {
  const onLink = routes.filter((route) => isUnspecified(route.nextHop));
  const second = checkSecondOnLinkRoutes(onLink);
  const counted = new Set(second.map((error) => error.value));
  return [...second, ...checkOverlaps(onLink.filter((route) => !counted.has(route)))];
}

export function checkSecondOnLinkRoutes(routes: readonly CustomerRoute[]): readonly PolicyError[] {
  const seen = new Map<string, CustomerRoute>();
  const errors: PolicyError[] = [];
  for (const route of routes) {
    if (!isUnspecified(route.nextHop)) continue;
    const { virtualSubnetID, destinationPrefix } = route;
    const key = `${virtualSubnetID} ${destinationPrefix.address.family}`;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, route);
    else if (customerRouteKey(first) !== customerRouteKey(route)) errors.push(secondOnLink(route, first));
  }
  return errors;
}

const secondOnLink = (route: CustomerRoute, first: CustomerRoute): PolicyError =>
  new PolicyError(
    "CUSTOMER_ROUTE_SECOND_ON_LINK",
    `VSID ${route.virtualSubnetID} has the on-link prefix ${formatPrefix(first.destinationPrefix)} already.`,
    route,
    "one on-link prefix per VSID and address family; others need a next hop",
  );

/**
 * Sorted by domain, family, address and length, a prefix comes right after those that contain it, so one walk that
 * remembers the outermost one finds all overlaps.
 */
function checkOverlaps(routes: readonly CustomerRoute[]): readonly PolicyError[] {
  const order = new Map(routes.map((route, index) => [route, index]));
  const errors: PolicyError[] = [];
  let outer: CustomerRoute | undefined;
  for (const route of [...routes].sort(byDomainAndPrefix)) {
    if (outer === undefined || !isOverlap(outer, route)) {
      outer = route;
      continue;
    }
    if (customerRouteKey(outer) === customerRouteKey(route)) continue; // said already: the route exists
    const [first, later] = order.get(outer)! < order.get(route)! ? [outer, route] : [route, outer];
    const message =
      `${formatPrefix(later.destinationPrefix)} of VSID ${later.virtualSubnetID} overlaps ` +
      `${formatPrefix(first.destinationPrefix)} of VSID ${first.virtualSubnetID} in the same routing domain.`;
    errors.push(
      new PolicyError("CUSTOMER_ROUTE_OVERLAP", message, later, "prefixes that do not overlap within a routing domain"),
    );
  }
  return errors;
}

const isOverlap = (outer: CustomerRoute, inner: CustomerRoute): boolean =>
  outer.routingDomainID === inner.routingDomainID &&
  prefixContains(outer.destinationPrefix, inner.destinationPrefix.address);

function byDomainAndPrefix(a: CustomerRoute, b: CustomerRoute): number {
  if (a.routingDomainID !== b.routingDomainID) return a.routingDomainID < b.routingDomainID ? -1 : 1;
  const [p, q] = [a.destinationPrefix, b.destinationPrefix];
  const [x, y] = [p.address, q.address];
  return x.family - y.family || x.w0 - y.w0 || x.w1 - y.w1 || x.w2 - y.w2 || x.w3 - y.w3 || p.length - q.length;
}

/** The distributed router is nobody's next hop: its own addresses, in any subnet of the domain, are refused. */
function checkNextHopsAgainstGateways(routes: readonly CustomerRoute[]): readonly PolicyError[] {
  const domains = new Map<string, AddressMap<Vsid>>();
  for (const { routingDomainID, virtualSubnetID, destinationPrefix, nextHop } of routes) {
    const gateway = isUnspecified(nextHop) ? gatewayAddressOf(destinationPrefix) : undefined;
    if (gateway === undefined) continue;
    const gateways = domains.get(routingDomainID) ?? new AddressMap<Vsid>();
    domains.set(routingDomainID, gateways);
    gateways.set(0, gateway, virtualSubnetID);
  }
  return routes.flatMap((route) => {
    const owner = domains.get(route.routingDomainID)?.find(0, route.nextHop);
    if (owner === undefined) return [];
    const message = `The next hop ${formatAddress(route.nextHop)} is the gateway address of VSID ${owner}.`;
    return [new PolicyError("CUSTOMER_ROUTE_NEXT_HOP_IS_GATEWAY", message, route, "the address of a gateway VM")];
  });
}

// The provider side

export function checkProviderAddress(pa: ProviderAddress): Checked {
  if (!isUnicast(pa.providerAddress)) {
    const message = `${formatAddress(pa.providerAddress)} cannot be a provider address.`;
    return new PolicyError("PROVIDER_ADDRESS_INVALID", message, pa.providerAddress, "a unicast address");
  }
  return (
    checkInterfaceIndex(pa.interfaceIndex) ??
    checkPrefixLength(pa) ??
    checkVlanID(pa.vlanID) ??
    checkMacAddress(pa.macAddress)
  );
}

function checkPrefixLength({ providerAddress, prefixLength }: ProviderAddress): Checked {
  const longest = providerAddress.family === 4 ? 32 : 128;
  if (isWithin(prefixLength, 0, longest)) return undefined;
  const message = `Prefix length ${prefixLength} is out of range.`;
  return new PolicyError("PREFIX_LENGTH_OUT_OF_RANGE", message, prefixLength, `0–${longest}`);
}

/** All that is wrong with a host's provider addresses; an address exists once per host, whatever the interface. */
export const checkProviderAddresses = (list: readonly ProviderAddress[]): readonly PolicyError[] => [
  ...list.map(checkProviderAddress).filter(isError),
  ...repeated(list, (pa) => formatAddress(pa.providerAddress), "PROVIDER_ADDRESS_EXISTS", "each address once per host"),
];

export const checkProviderRoute = (route: ProviderRoute): Checked =>
  checkInterfaceIndex(route.interfaceIndex) ??
  checkPrefix(route.destinationPrefix) ??
  checkNextHop("PROVIDER_ROUTE_NEXT_HOP", route) ??
  checkMetric(route.metric);

export const checkProviderRoutes = (routes: readonly ProviderRoute[]): readonly PolicyError[] => [
  ...routes.map(checkProviderRoute).filter(isError),
  ...repeated(
    routes,
    (r) => `${r.interfaceIndex} ${formatPrefix(r.destinationPrefix)} ${formatAddress(r.nextHop)}`,
    "PROVIDER_ROUTE_EXISTS",
    "one route per interface, prefix and next hop",
  ),
];

export function checkNeighbor({ address, mac }: Neighbor): Checked {
  if (isUnicast(address)) return checkMacAddress(mac);
  const message = `${formatAddress(address)} cannot be a neighbor's address.`;
  return new PolicyError("NEIGHBOR_ADDRESS_INVALID", message, address, "a unicast address");
}

export const checkNeighbors = (list: readonly Neighbor[]): readonly PolicyError[] => [
  ...list.map(checkNeighbor).filter(isError),
  ...repeated(list, ({ address }) => formatAddress(address), "NEIGHBOR_EXISTS", "each address once"),
];

// Helpers

const isError = (checked: Checked): checked is PolicyError => checked !== undefined;
const isWithin = (value: number, min: number, max: number): boolean =>
  Number.isInteger(value) && value >= min && value <= max;
const macText = (mac: Mac): string => (isWithin(mac, 0, 0xffff_ffff_ffff) ? formatMac(mac) : String(mac));

/** An error for each entry whose key an earlier one has. */
function repeated<Entry>(
  entries: readonly Entry[],
  keyOf: (entry: Entry) => string,
  code: PolicyErrorCode,
  accepted: string,
): readonly PolicyError[] {
  const seen = new Set<string>();
  const errors: PolicyError[] = [];
  for (const entry of entries) {
    const key = keyOf(entry);
    if (seen.has(key)) errors.push(new PolicyError(code, `There is one already: ${key}.`, entry, accepted));
    seen.add(key);
  }
  return errors;
}
