/**
 * Are the lookup records true: provider addresses that a host has, VMs that are there with this VSID and MAC, addresses that a route
 * leads to; and where raw records hide each other or disagree with what the fabric says.
 */
import type { LookupRecord } from "../../dataplane/policy/index.js";
import {
  formatAddress,
  formatMac,
  formatPrefix,
  isLimitedBroadcast,
  isLinkLocal,
  isMulticast,
  isUnspecified,
  prefixContains,
  sameAddress,
} from "../../dataplane/wire/index.js";
import type { HostSettings } from "../../vswitch/index.js";
import { addressKey } from "../fabric-file/consistency/index.js";
import { deriveLookupRecords, recordIdentity } from "../fabric-file/derive.js";
import { planProvider } from "../fabric-file/provider-plan.js";
import { readLookupRecord } from "../fabric-file/read-lookup-record.js";
import type { Findings } from "./findings.js";
import { type AdapterPlace, type HostView, isGatewayAddress, type LabView } from "./places.js";

export function checkRecords(view: LabView, findings: Findings): void {
  const byMac = new Map<string, AdapterPlace[]>();
  const byAddress = new Map<string, AdapterPlace>();
  for (const place of view.adapters) {
    const key = `${place.host.host.name}|${place.adapter.mac}`;
    byMac.set(key, [...(byMac.get(key) ?? []), place]);
    for (const address of place.addresses) byAddress.set(`${place.adapter.vsid}/${addressKey(address)}`, place);
  }
  const adapters = { byMac, byAddress };

  const seen = new Set<string>();
  for (const host of distinctHosts(view)) {
    for (const record of host.host.lookupRecords) {
      const path = view.recordPath(host, record);
      const key = path.join(".");
      if (seen.has(key)) continue;
      seen.add(key);
      checkRecord(view, host, record, adapters, findings);
    }
  }
  checkContested(view, byMac, findings);
  checkDisagreement(view, findings);
  checkOverlays(view, findings);
}

/** One host for each pair of record table and route list; the others would say the same again. */
function distinctHosts(view: LabView): readonly HostView[] {
  const seen = new Map<HostSettings["lookupRecords"], Set<HostSettings["customerRoutes"]>>();
  return view.hosts.filter(({ host }) => {
    const routes = seen.get(host.lookupRecords) ?? new Set();
    seen.set(host.lookupRecords, routes);
    return !routes.has(host.customerRoutes) && routes.add(host.customerRoutes) !== undefined;
  });
}

interface Adapters {
  /** Host name and MAC. */
  readonly byMac: ReadonlyMap<string, readonly AdapterPlace[]>;
  /** VSID and CA. */
  readonly byAddress: ReadonlyMap<string, AdapterPlace>;
}

function checkRecord(
  view: LabView,
  host: HostView,
  record: LookupRecord,
  adapters: Adapters,
  findings: Findings,
): void {
  if (isGatewayAddress(host, record.virtualSubnetID, record.customerAddress)) return;
  checkReach(view, host, record, findings);
  if (record.rule === "TranslationMethodNone" || isMulticast(record.providerAddress)) return;

  const owner = view.ownerOf(record.providerAddress);
  const path = view.recordPath(host, record);
  if (owner !== undefined) {
    checkTarget(owner, record, [...path], adapters, findings);
    return;
  }
  // Without a provider network the far hosts are not part of the lab.
  if (view.lab.provider === null) return;
  const message = `${describe(record)} names provider address ${formatAddress(record.providerAddress)}, which no host has`;
  findings.add("error", "RECORD_PA_UNKNOWN", path, message, "name a provider address of the host that runs the VM");
}

/** Does the host that the record names run the VM, in this VSID and with this MAC? */
function checkTarget(
  owner: HostView,
  record: LookupRecord,
  path: (string | number)[],
  adapters: Adapters,
  findings: Findings,
): void {
  const { virtualSubnetID: vsid, macAddress: mac, customerAddress: ca } = record;
  const name = owner.host.name;
  const sameMac = adapters.byMac.get(`${name}|${mac}`) ?? [];
  if (sameMac.some((place) => place.adapter.vsid === vsid)) return;
  const other = sameMac[0];
  if (other !== undefined) {
    const message = `${describe(record)} points at ${other.port}, whose port has VSID ${other.adapter.vsid}`;
    findings.add("error", "RECORD_WRONG_VSID", path, message, "the record's VSID and the port's must be equal");
    return;
  }
  const vm = adapters.byAddress.get(`${vsid}/${addressKey(ca)}`);
  if (vm === undefined) {
    const message = `${describe(record)} points at ${name}, where no port has MAC ${formatMac(mac)} in VSID ${vsid}`;
    findings.add("warning", "RECORD_WITHOUT_PORT", path, message, "traffic to it is dropped there");
  } else if (vm.host !== owner) {
    const message = `${describe(record)} points at ${name}, but ${vm.port} has that address`;
    findings.add("error", "RECORD_WRONG_HOST", path, message, "name the provider address of the host that runs the VM");
  } else {
    const message = `${describe(record)} gives MAC ${formatMac(mac)}, but ${vm.port} has ${formatMac(vm.adapter.mac)}`;
    findings.add("error", "RECORD_WRONG_MAC", path, message, "traffic to it is dropped there");
  }
}

/** Would a route lookup ever ask for this record? */
function checkReach(view: LabView, host: HostView, record: LookupRecord, findings: Findings): void {
  const { virtualSubnetID: vsid, customerAddress: ca } = record;
  if (isUnspecified(ca) || isLinkLocal(ca) || isMulticast(ca) || isLimitedBroadcast(ca)) return;
  const domain = host.routes.routingDomainOf(vsid);
  if (domain === undefined) {
    const message = `${describe(record)} cannot be reached: ${host.host.name} has no customer route for VSID ${vsid}`;
    findings.add(
      "error",
      "VSID_UNREACHABLE",
      view.recordPath(host, record),
      message,
      "add a customer route for the VSID",
    );
    return;
  }
  const isOnLink = host.routes.onLinkPrefixes(vsid).some((prefix) => prefixContains(prefix, ca));
  const isNextHop = domain.routes.some((route) => route.virtualSubnetID === vsid && sameAddress(route.nextHop, ca));
  if (isOnLink || isNextHop || host.routes.lookup(domain, ca, vsid)?.virtualSubnetID === vsid) return;
  const prefixes = host.routes.onLinkPrefixes(vsid).map(formatPrefix).join(" and ") || "no prefix on-link";
  const message = `${describe(record)} is never used: no customer route leads to it, VSID ${vsid} has ${prefixes}`;
  const cure = "give it an address of the virtual subnet, or add a customer route that leads to it";
  findings.add("warning", "RECORD_UNREACHABLE", view.recordPath(host, record), message, cure);
}

/** A VM whose address is on record for another VM of its virtual subnet: whoever probes it is told that it is taken. */
function checkContested(view: LabView, byMac: Adapters["byMac"], findings: Findings): void {
  for (const { host, adapter, addresses, port } of view.adapters) {
    for (const address of addresses) {
      const record = host.host.lookupRecords.find(adapter.vsid, address);
      if (!record || record.macAddress === adapter.mac) continue;
      const owner = view.ownerOf(record.providerAddress)?.host.name;
      const other = byMac
        .get(`${owner}|${record.macAddress}`)
        ?.find((place) => place.adapter.vsid === record.virtualSubnetID);
      if (!other) continue; // a MAC that no VM has is a finding of its own
      const message = `${port} has ${formatAddress(address)}, which ${describe(record)} gives to ${other.port}: the VM's duplicate address detection is told that the address is taken`;
      findings.add(
        "error",
        "ADDRESS_OF_ANOTHER_VM",
        view.recordPath(host, record),
        message,
        "one of the two needs another address",
      );
    }
  }
}

/** Hosts with tables of their own that give one address to two MACs. */
function checkDisagreement(view: LabView, findings: Findings): void {
  const tables = new Map(view.hosts.map((host) => [host.host.lookupRecords, host]));
  if (tables.size < 2) return;
  const first = new Map<string, { readonly record: LookupRecord; readonly host: HostView }>();
  const seen = new Set<string>();
  for (const host of tables.values()) {
    for (const record of host.host.lookupRecords) {
      if (isUnspecified(record.customerAddress)) continue;
      const key = recordIdentity(record);
      const other = first.get(key);
      if (!other) first.set(key, { record, host });
      const path = view.recordPath(host, record);
      if (!other || other.record.macAddress === record.macAddress || seen.has(path.join("."))) continue;
      seen.add(path.join("."));
      const message = `${describe(record)} has MAC ${formatMac(record.macAddress)} on ${host.host.name}, and ${formatMac(other.record.macAddress)} on ${other.host.host.name}`;
      findings.add(
        "error",
        "RECORDS_DISAGREE",
        path,
        message,
        "write the same record on every host of the routing domain",
      );
    }
  }
}

/** Raw records over derived ones, and raw ones of a host over raw ones of every host. */
function checkOverlays({ document, hosts }: LabView, findings: Findings): void {
  const { fabric } = document;
  const raw = fabric.lookupRecords ?? [];
  if (raw.length === 0) return;
  const derived = new Map(
    deriveLookupRecords(fabric, planProvider(fabric)).map((record) => [recordIdentity(record), record]),
  );
  const hostsOverriding = new Map<string, Set<string>>();
  for (const item of raw) {
    if (item.host === undefined) continue;
    const identity = recordIdentity(readLookupRecord(item));
    hostsOverriding.set(identity, (hostsOverriding.get(identity) ?? new Set()).add(item.host));
  }
  for (const [i, item] of raw.entries()) {
    const record = readLookupRecord(item);
    const identity = recordIdentity(record);
    if (item.host === undefined && hostsOverriding.get(identity)?.size === hosts.length) {
      const message = `every host has its own record in place of ${describe(record)}`;
      findings.add("warning", "RECORD_SHADOWED", ["lookupRecords", i], message, "remove it");
      continue;
    }
    const other = derived.get(identity);
    if (other === undefined) continue;
    const isGateway = hosts.some((host) => isGatewayAddress(host, record.virtualSubnetID, record.customerAddress));
    const differences = differencesOf(other, record, isGateway);
    if (differences.length > 0) {
      const message = `${describe(record)} wins over the derived one and differs in ${differences.join(", ")}`;
      const cure = "remove the record, or write the same into the fabric";
      findings.add("warning", "RECORD_DIFFERS_FROM_DERIVED", ["lookupRecords", i], message, cure);
    }
  }
}

function differencesOf(derived: LookupRecord, raw: LookupRecord, isGateway: boolean): readonly string[] {
  const differences: string[] = [];
  const compare = (field: string, was: string, is: string): void => {
    if (was !== is) differences.push(`${field} (derived ${was}, written ${is})`);
  };
  compare("macAddress", formatMac(derived.macAddress), formatMac(raw.macAddress));
  if (!isGateway)
    compare("providerAddress", formatAddress(derived.providerAddress), formatAddress(raw.providerAddress));
  compare("rule", derived.rule, raw.rule);
  return differences;
}

const describe = (record: LookupRecord): string =>
  isUnspecified(record.customerAddress)
    ? `the ${record.type} record of ${formatMac(record.macAddress)} in VSID ${record.virtualSubnetID}`
    : `the record of ${formatAddress(record.customerAddress)} in VSID ${record.virtualSubnetID}`;
