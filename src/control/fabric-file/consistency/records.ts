/**
 * The raw records: possible in themselves, and no two of them in conflict. One that names its host overrides one for
 * every host, and both override what is derived; two of the same scope and identity conflict.
 */
import { checkLookupRecordAddress, type RecordType } from "../../../dataplane/policy/index.js";
import {
  type Address,
  formatAddress,
  formatPrefix,
  gatewayAddressOf,
  isLimitedBroadcast,
  isMulticast,
  isUnicast,
  isUnspecified,
  type Prefix,
  sameAddress,
} from "../../../dataplane/wire/index.js";

import type { Path } from "../../problem.js";
import { each, type Loose } from "../report.js";
import { readAddress, readGuid, readMac, readPrefix } from "../scalars.js";
import type { FabricFile } from "../schema.js";
import { addressKey, type Checking, type Claims, scopesMeet } from "./context.js";
import { checkUnicastMac, overlap } from "./tenants.js";

export function checkRecords(checking: Checking): void {
  checkLookupRecords(checking);
  checkCustomerRoutes(checking);
  checkProviderRoutes(checking);
  checkNeighbors(checking);
  checkDerivable(checking);
}

function checkLookupRecords(checking: Checking): void {
  const { file, report } = checking;
  const identities: Claims = new Map();
  const rewritten: RewrittenRecord[] = [];
  for (const [record, i] of each(file.lookupRecords)) {
    const path = ["lookupRecords", i];
    const identity = checkLookupRecord(checking, record, path);
    if (identity === undefined) continue;
    const message = `VSID ${record.virtualSubnetID} already has ${identity.what}`;
    const key = `${record.host ?? ""}/${record.virtualSubnetID}/${identity.key}`;
    report.claim(identities, key, [...path, "customerAddress"], "LOOKUP_RECORD_CONFLICT", message);
    const [ca, pa] = [readAddress(record.customerAddress)!, readAddress(record.providerAddress)];
    if (record.rule === "TranslationMethodNat" && pa !== undefined && !isUnspecified(ca)) {
      rewritten.push({ host: record.host, identity: `${record.virtualSubnetID}/${identity.key}`, ca, pa, path });
    }
  }
  checkRewritten(checking, rewritten, identities);
}

/** A record of IP Rewrite. */
interface RewrittenRecord {
  readonly host: string | undefined;
  readonly identity: string;
  readonly ca: Address;
  readonly pa: Address;
  readonly path: Path;
}

/**
 * IP Rewrite names a VM by its provider address alone: no host may have two records with that rule and one address. A record for every
 * host does not count where the host has one of its own in its place.
 */
function checkRewritten({ file, report }: Checking, records: readonly RewrittenRecord[], identities: Claims): void {
  const names = (file.hosts ?? []).map((host) => host?.name);
  const isOn = (record: RewrittenRecord, host: string | undefined): boolean =>
    record.host === undefined ? !identities.has(`${host}/${record.identity}`) : record.host === host;
  for (const sharing of groupBy(records, ({ pa }) => addressKey(pa)).values()) {
    for (const [index, record] of sharing.entries()) {
      const isClash = (other: RewrittenRecord): boolean =>
        other.identity !== record.identity && names.some((host) => isOn(record, host) && isOn(other, host));
      const other = sharing.slice(0, index).find(isClash);
      if (!other) continue;
      const message = `${formatAddress(record.pa)} already stands for ${formatAddress(other.ca)}`;
      const cure = "IP Rewrite needs a provider address for each customer address";
      report.add([...record.path, "providerAddress"], "LOOKUP_RECORD_NAT_SHARED_PA", message, cure);
    }
  }
}

/** A record that stands for itself: what a host has at most one of; undefined where it is wrong, or lacks a part. */
export function checkLookupRecord(
  checking: Checking,
  record: RawLookupRecord,
  path: Path,
): { readonly key: string; readonly what: string } | undefined {
  const { report } = checking;
  checkUnicastMac(checking, record.macAddress, [...path, "macAddress"]);
  if (record.useVmMACAddress === true && (record.rule ?? "TranslationMethodEncap") !== "TranslationMethodNat") {
    const message = "useVmMACAddress has a meaning with TranslationMethodNat only";
    report.add([...path, "useVmMACAddress"], "LOOKUP_RECORD_USE_VM_MAC", message);
  }
  const ca = readAddress(record.customerAddress);
  const pa = readAddress(record.providerAddress);
  const mac = readMac(record.macAddress);
  if (ca === undefined) return undefined;
  // A group CA may be carried by a multicast PA.
  if (pa !== undefined && !isUnicast(pa) && !(isMulticast(pa) && (isMulticast(ca) || isLimitedBroadcast(ca)))) {
    const message = `${formatAddress(pa)} cannot be the provider address of a record`;
    report.add([...path, "providerAddress"], "LOOKUP_RECORD_PROVIDER_ADDRESS", message);
  }
  const type = typeInMode(checking, record, ca);
  const refused = checkLookupRecordAddress(type, ca);
  if (refused !== undefined) {
    const isByMac = type === "L2Only" || type === "GatewayWildcard";
    const cure = isByMac ? `write ${ca.family === 4 ? "0.0.0.0" : '"::"'}` : "or set type to L2Only or GatewayWildcard";
    const message = isByMac ? `a ${type} record has no customer address` : `a ${type} record needs a customer address`;
    report.add([...path, "customerAddress"], refused.code, message, cure);
    return undefined;
  }
  if (record.virtualSubnetID === undefined || (isUnspecified(ca) && mac === undefined)) return undefined;
  return isUnspecified(ca)
    ? { key: `${type}/${ca.family}/${mac}`, what: `a ${type} record of this MAC` }
    : { key: addressKey(ca), what: `a record of ${formatAddress(ca)}` };
}

type RawLookupRecord = Loose<NonNullable<FabricFile["lookupRecords"]>[number]>;

/** Windows Server 2012 knows no types: a record without an address is a gateway's there, if all its hosts are of 2012. */
function typeInMode({ file }: Checking, record: RawLookupRecord, ca: Address): RecordType {
  const hosts = (file.hosts ?? []).filter((host) => record.host === undefined || host?.name === record.host);
  const is2012 = hosts.every((host) => (host?.mode ?? file.mode) === "2012");
  return isUnspecified(ca) && is2012 ? "GatewayWildcard" : (record.type ?? "Static");
}

/** A customer route of either level, as far as it is well formed. */
interface RouteEntry {
  readonly host: string | undefined;
  readonly id: string;
  readonly vsid: number;
  readonly prefix: Prefix;
  readonly nextHop: Address | undefined;
  /** null: derived. */
  readonly path: Path | null;
}

function checkCustomerRoutes(checking: Checking): void {
  const { file, report } = checking;
  const derived = derivedRoutes(checking);
  const routes: RouteEntry[] = [];
  const identities: Claims = new Map();
  for (const [route, i] of each(file.customerRoutes)) {
    const path = ["customerRoutes", i];
    const prefix = readPrefix(route.destinationPrefix);
    const nextHop = readAddress(route.nextHop);
    const id = route.routingDomainID === undefined ? undefined : readGuid(route.routingDomainID);
    if (prefix === undefined || nextHop === undefined) continue;
    if (
      !checkNextHop(checking, [...path, "nextHop"], "CUSTOMER_ROUTE_NEXT_HOP", prefix, nextHop) ||
      id === undefined ||
      route.virtualSubnetID === undefined
    )
      continue;
    const key = [route.host ?? "", id, route.virtualSubnetID, formatPrefix(prefix), addressKey(nextHop)].join("|");
    const message = "this customer route is already there";
    if (!report.claim(identities, key, path, "CUSTOMER_ROUTE_EXISTS", message)) continue;
    routes.push({ host: route.host, id, vsid: route.virtualSubnetID, prefix, nextHop, path });
  }
  const all = [...derived, ...routes];
  const ofVsid = meeting(all, ({ vsid }) => vsid);
  const onLinkOfId = meeting(all.filter(isOnLink), ({ id }) => id);
  for (const route of routes) checkOneRoute(checking, route, ofVsid(route), onLinkOfId(route));
}

/** Of the routes with the same key those that some host has together with the one asked about. By host, for a fabric has many with the same routes. */
function meeting(
  routes: readonly RouteEntry[],
  keyOf: (route: RouteEntry) => string | number,
): (route: RouteEntry) => readonly RouteEntry[] {
  const byKey = groupBy(routes, keyOf);
  const byHost = groupBy(routes, (route) => `${keyOf(route)}|${route.host ?? ""}`);
  return (route) => {
    const key = keyOf(route);
    if (route.host === undefined) return byKey.get(key) ?? [];
    return [...(byHost.get(`${key}|`) ?? []), ...(byHost.get(`${key}|${route.host}`) ?? [])];
  };
}

function checkOneRoute(
  { report }: Checking,
  route: RouteEntry,
  sameVsid: readonly RouteEntry[],
  sameDomain: readonly RouteEntry[],
): void {
  const path = route.path!;
  const before = (other: RouteEntry): boolean =>
    other !== route &&
    scopesMeet(other.host, route.host) &&
    (other.path === null || Number(other.path[1]) < Number(path[1]));

  const elsewhere = sameVsid.find((other) => before(other) && other.id !== route.id);
  if (elsewhere !== undefined) {
    const message = `VSID ${route.vsid} already belongs to routing domain ${elsewhere.id}`;
    report.add(
      [...path, "routingDomainID"],
      "VSID_IN_TWO_ROUTING_DOMAINS",
      message,
      "a VSID belongs to one routing domain",
    );
    return;
  }
  if (isOnLink(route)) {
    const isSecond = (other: RouteEntry): boolean =>
      before(other) &&
      isOnLink(other) &&
      sameFamily(other, route) &&
      formatPrefix(other.prefix) !== formatPrefix(route.prefix);
    const second = sameVsid.find(isSecond);
    if (second !== undefined) {
      const message = `VSID ${route.vsid} is already on-link in ${formatPrefix(second.prefix)}`;
      report.add(
        [...path, "destinationPrefix"],
        "CUSTOMER_ROUTE_SECOND_ON_LINK",
        message,
        "one on-link route per VSID and address family",
      );
      return;
    }
    const covering = sameDomain.find(
      (other) => before(other) && other.vsid !== route.vsid && overlap(other.prefix, route.prefix),
    );
    if (covering !== undefined) {
      const message = `${formatPrefix(route.prefix)} overlaps ${formatPrefix(covering.prefix)} of VSID ${covering.vsid} in this routing domain`;
      report.add([...path, "destinationPrefix"], "CUSTOMER_ROUTE_OVERLAP", message);
    }
    return;
  }
  const isOwnGateway = (other: RouteEntry): boolean => {
    const gateway = isOnLink(other) && scopesMeet(other.host, route.host) ? gatewayAddressOf(other.prefix) : undefined;
    return gateway !== undefined && route.nextHop !== undefined && sameAddress(gateway, route.nextHop);
  };
  if (sameVsid.some(isOwnGateway)) {
    const message = `the next hop ${formatAddress(route.nextHop!)} is the gateway address of VSID ${route.vsid} itself`;
    report.add([...path, "nextHop"], "CUSTOMER_ROUTE_NEXT_HOP_IS_GATEWAY", message, "name the address of a gateway VM");
  }
}

function derivedRoutes({ file }: Checking): readonly RouteEntry[] {
  const routes: RouteEntry[] = [];
  for (const [domain] of each(file.routingDomains)) {
    const id = domain.id === undefined ? undefined : readGuid(domain.id);
    for (const [subnet] of each(domain.subnets)) {
      for (const [text] of each(subnet.prefixes)) {
        const prefix = readPrefix(text);
        if (id === undefined || subnet.vsid === undefined || prefix === undefined) continue;
        routes.push({ host: undefined, id, vsid: subnet.vsid, prefix, nextHop: undefined, path: null });
      }
    }
  }
  return routes;
}

const isOnLink = (route: RouteEntry): boolean => route.nextHop === undefined || isUnspecified(route.nextHop);
const sameFamily = (a: RouteEntry, b: RouteEntry): boolean => a.prefix.address.family === b.prefix.address.family;

function groupBy<T, Key>(items: readonly T[], keyOf: (item: T) => Key): Map<Key, T[]> {
  const groups = new Map<Key, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** A next hop is 0.0.0.0 or ::, which mean on-link for either family, or a unicast address of the prefix's family. */
function checkNextHop({ report }: Checking, path: Path, code: string, prefix: Prefix, nextHop: Address): boolean {
  const { family } = prefix.address;
  if (isUnspecified(nextHop) || (isUnicast(nextHop) && nextHop.family === family)) return true;
  const message = `${formatAddress(nextHop)} cannot be the next hop to ${formatPrefix(prefix)}`;
  report.add(path, code, message, `a unicast IPv${family} address; on-link is ${family === 4 ? "0.0.0.0" : '"::"'}`);
  return false;
}

function checkProviderRoutes(checking: Checking): void {
  const { file, report } = checking;
  const identities: Claims = new Map();
  for (const [route, i] of each(file.providerRoutes)) {
    const prefix = readPrefix(route.destinationPrefix);
    const nextHop = readAddress(route.nextHop);
    if (prefix === undefined || nextHop === undefined) continue;
    if (!checkNextHop(checking, ["providerRoutes", i, "nextHop"], "PROVIDER_ROUTE_NEXT_HOP", prefix, nextHop)) continue;
    const key = [route.host ?? "", route.interfaceIndex ?? 1, formatPrefix(prefix), addressKey(nextHop)].join("|");
    report.claim(
      identities,
      key,
      ["providerRoutes", i],
      "PROVIDER_ROUTE_EXISTS",
      "this provider route is already there",
    );
  }
}

function checkNeighbors({ file, report }: Checking): void {
  const identities: Claims = new Map();
  for (const [neighbor, i] of each(file.neighbors)) {
    const address = readAddress(neighbor.address);
    if (address === undefined) continue;
    if (!isUnicast(address)) {
      report.add(
        ["neighbors", i, "address"],
        "NEIGHBOR_ADDRESS_INVALID",
        `${formatAddress(address)} is no neighbor's address`,
      );
      continue;
    }
    const key = `${neighbor.host ?? ""}|${addressKey(address)}`;
    const message = `a MAC for ${formatAddress(address)} is already given`;
    report.claim(identities, key, ["neighbors", i, "address"], "NEIGHBOR_EXISTS", message);
  }
}

/** A VM's record names a PA of its host; a host without one cannot have VMs whose records are to be derived. */
function checkDerivable({ file, report }: Checking): void {
  const explicit = new Set<string>();
  for (const [record] of each(file.lookupRecords)) {
    const ca = readAddress(record.customerAddress);
    if (ca !== undefined) explicit.add(`${record.virtualSubnetID}/${addressKey(ca)}`);
  }
  for (const [host, h] of each(file.hosts)) {
    const isOurs = (pa: { readonly host?: string | undefined } | undefined): boolean =>
      pa?.host === undefined || host.name === undefined || pa.host === host.name;
    if ((host.providerAddresses?.length ?? 0) > 0 || (file.providerAddresses ?? []).some(isOurs)) continue;
    for (const [vm, v] of each(host.vms)) {
      for (const [adapter, a] of each(vm.adapters)) {
        if ((adapter.vsid ?? 0) === 0) continue;
        for (const [text, i] of each(adapter.addresses)) {
          const ca = readAddress(text);
          if (ca === undefined || explicit.has(`${adapter.vsid}/${addressKey(ca)}`)) continue;
          const message = `no lookup record can be derived for ${text}: its host has no provider address`;
          const path = ["hosts", h, "vms", v, "adapters", a, "addresses", i];
          report.add(path, "NO_PROVIDER_ADDRESS", message, "add providerAddresses: to the host");
        }
      }
    }
  }
}
