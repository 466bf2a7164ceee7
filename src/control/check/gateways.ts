/** Gateways and routers: who has the gateway address, whether what comes back from outside is let in, and where an external router is. */
import type { LookupRecord } from "../../dataplane/policy/index.js";
import {
  type Address,
  formatAddress,
  formatMac,
  formatPrefix,
  gatewayAddressOf,
  isLinkLocal,
  isUnspecified,
  type Mac,
  type Vsid,
} from "../../dataplane/wire/index.js";
import type { HostSettings } from "../../vswitch/index.js";
import type { Path } from "../problem.js";
import type { Findings } from "./findings.js";
import type { HostView, LabView } from "./places.js";

export function checkGateways(view: LabView, findings: Findings): void {
  const seen = new Set<string>();
  /** Hosts with the same tables would say the same again. */
  const once = (path: Path, say: () => void): void => {
    const key = path.join(".");
    if (!seen.has(key)) say();
    seen.add(key);
  };
  const tables = new Map<HostSettings["lookupRecords"], Set<HostSettings["customerRoutes"]>>();
  const ports = new Map(view.adapters.map(({ adapter, port }) => [adapterKey(adapter.vsid, adapter.mac), port]));
  for (const host of view.hosts) {
    checkExternalRouter(view, host, findings);
    const routes = tables.get(host.host.lookupRecords) ?? new Set();
    tables.set(host.host.lookupRecords, routes);
    if (routes.has(host.host.customerRoutes)) continue;
    routes.add(host.host.customerRoutes);
    checkGatewayAddresses(view, host, ports, once, findings);
    checkWayBack(view, host, once, findings);
    checkWildcards(view, host, once, findings);
  }
}

type Once = (path: Path, say: () => void) => void;

/** The gateway addresses of the virtual subnets that a host has routes for. */
function* gatewaysOf({ routes, host }: HostView): IterableIterator<{ vsid: Vsid; gateway: Address }> {
  for (const vsid of new Set(host.customerRoutes.map((route) => route.virtualSubnetID))) {
    for (const prefix of routes.onLinkPrefixes(vsid)) {
      const gateway = gatewayAddressOf(prefix);
      if (gateway) yield { vsid, gateway };
    }
  }
}

/** The lowest address of a prefix is the distributed router's; a VM that has it is not heard. */
function checkGatewayAddresses(
  view: LabView,
  host: HostView,
  ports: ReadonlyMap<string, string>,
  once: Once,
  findings: Findings,
): void {
  const { lookupRecords, nve } = host.host;
  if (nve.useExternalRouter) return; // then it may be a VM's, which routes
  for (const { vsid, gateway } of gatewaysOf(host)) {
    const record = lookupRecords.find(vsid, gateway);
    const vm = record && ports.get(adapterKey(vsid, record.macAddress));
    if (!vm) continue;
    const path = view.recordPath(host, record);
    once(path, () => {
      const message = `${formatAddress(gateway)} is the gateway address of VSID ${vsid}, but its record has the MAC of ${vm}: the VM is taken for the distributed router`;
      const cure = "give the VM another address, and the record an invented MAC";
      findings.add("error", "VM_ON_GATEWAY_ADDRESS", path, message, cure);
    });
  }
}

const adapterKey = (vsid: Vsid, mac: Mac): string => `${vsid}/${mac}`;

/** What a gateway VM brings in from outside has sources that no record names: only a GatewayWildcard record vouches for it. */
function checkWayBack(view: LabView, host: HostView, once: Once, findings: Findings): void {
  const { lookupRecords, customerRoutes, nve } = host.host;
  for (const [index, route] of customerRoutes.entries()) {
    const { nextHop, virtualSubnetID: vsid, destinationPrefix } = route;
    const gateway = isUnspecified(nextHop) ? undefined : lookupRecords.find(vsid, nextHop);
    if (!gateway || nve.useExternalRouter) continue;
    const isVouchedFor = lookupRecords
      .findByMac(vsid, gateway.macAddress)
      .some(({ type }) => type === "GatewayWildcard");
    if (isVouchedFor) continue;
    const path = [...view.routePath(host, index), "nextHop"];
    once(path, () => {
      const message =
        `packets to ${formatPrefix(destinationPrefix)} go to ${formatAddress(nextHop)}, but what comes back is dropped: ` +
        `${formatMac(gateway.macAddress)} has no GatewayWildcard record in VSID ${vsid}`;
      const cure = `add a record of type GatewayWildcard with this MAC and provider address ${formatAddress(gateway.providerAddress)}`;
      findings.add("warning", "GATEWAY_WITHOUT_WILDCARD", path, message, cure);
    });
  }
}

/** A gateway speaks for any address of the whole routing domain, so one in a second virtual subnet speaks for it too. */
function checkWildcards(view: LabView, host: HostView, once: Once, findings: Findings): void {
  const { lookupRecords, customerRoutes } = host.host;
  const first = new Map<string, LookupRecord>();
  for (const vsid of new Set(customerRoutes.map((route) => route.virtualSubnetID))) {
    const domain = host.routes.routingDomainOf(vsid);
    for (const record of lookupRecords.wildcards(vsid)) {
      const key = `${domain?.id} ${record.customerAddress.family}`;
      const other = first.get(key);
      if (!other) first.set(key, record);
      if (!other || other.virtualSubnetID === vsid) continue;
      const path = view.recordPath(host, record);
      once(path, () => {
        const message =
          `VSIDs ${other.virtualSubnetID} and ${vsid} of one routing domain have GatewayWildcard records: ` +
          `${formatMac(other.macAddress)} and ${formatMac(record.macAddress)} are both let in with any source address, whichever way the routes lead`;
        const cure = "one virtual subnet for the gateways of a routing domain";
        findings.add("warning", "WILDCARD_IN_TWO_SUBNETS", path, message, cure);
      });
    }
  }
}

/** With useExternalRouter the record of the gateway address says where the router is, unless a default route of the subnet names one. */
function checkExternalRouter(view: LabView, host: HostView, findings: Findings): void {
  const { nve, adapters, lookupRecords, customerRoutes, providerAddresses, name } = host.host;
  if (!nve.useExternalRouter) return;
  const used = new Set(adapters.map((adapter) => adapter.vsid));
  for (const { vsid, gateway } of gatewaysOf(host)) {
    if (!used.has(vsid)) continue;
    const isRouted = customerRoutes.some(
      (route) =>
        route.virtualSubnetID === vsid &&
        route.destinationPrefix.length === 0 &&
        route.destinationPrefix.address.family === gateway.family,
    );
    const record = lookupRecords.find(vsid, gateway);
    const isSomewhere =
      record &&
      !isLinkLocal(record.providerAddress) &&
      !providerAddresses.some(({ address }) => formatAddress(address) === formatAddress(record.providerAddress));
    if (isRouted || isSomewhere) continue;
    const what = record
      ? `the record of ${formatAddress(gateway)} names provider address ${formatAddress(record.providerAddress)}, where no router is`
      : `there is no record of ${formatAddress(gateway)}`;
    const message = `${name} leaves what leaves VSID ${vsid} to an external router, but ${what}`;
    const cure = "write a record of the gateway address with the router's MAC and provider address";
    const path = record ? view.recordPath(host, record) : host.path;
    findings.add("error", "EXTERNAL_ROUTER_MISSING", path, message, cure);
  }
}
