/** Can the VMs' packets be decided: VSIDs with routes, adapters with records on every host that needs them, routes that lead on. */
import { formatAddress, formatPrefix, isUnspecified, sameAddress } from "../../dataplane/wire/index.js";
import type { HostSettings } from "../../vswitch/index.js";
import { PORT_VSID_MAX } from "../fabric-file/scalars.js";
import type { Findings } from "./findings.js";
import type { AdapterPlace, HostView, LabView } from "./places.js";

export function checkTenants(view: LabView, findings: Findings): void {
  checkPorts(view, findings);
  checkRecordsOfAdapters(view, findings);
  checkRoutes(view, findings);
}

function checkPorts(view: LabView, findings: Findings): void {
  for (const { host, adapter, port, path } of view.adapters) {
    if (adapter.vsid === PORT_VSID_MAX) {
      const message = `${port} has VSID ${PORT_VSID_MAX}, which a port can have but no record or route can match`;
      findings.add("error", "VSID_UNMATCHABLE", [...path, "vsid"], message, "use a VSID from 4096 to 16777214");
    } else if (host.routes.routingDomainOf(adapter.vsid) === undefined) {
      const message = `${host.host.name} has no customer route for VSID ${adapter.vsid} of ${port}: the port has no routing domain`;
      findings.add(
        "error",
        "VSID_WITHOUT_ROUTE",
        [...path, "vsid"],
        message,
        "add a routing domain with this subnet, or a customer route",
      );
    }
  }
}

/** An adapter's records must be on its own host, whose source check needs them, and on all that run VMs of its routing domain. */
function checkRecordsOfAdapters(view: LabView, findings: Findings): void {
  const domainsOf = new Map<HostView, Set<string>>();
  for (const place of view.adapters) {
    const domains = domainsOf.get(place.host) ?? new Set();
    domainsOf.set(place.host, domains.add(tenantOf(place.host, place)));
  }
  for (const place of view.adapters) {
    if (place.adapter.vsid === PORT_VSID_MAX) continue;
    const tenant = tenantOf(place.host, place);
    const concerned = view.hosts.filter((host) => host === place.host || domainsOf.get(host)?.has(tenant) === true);
    const lacking = new Set<HostSettings["lookupRecords"]>();
    const has = new Set<HostSettings["lookupRecords"]>();
    for (const { host } of concerned) {
      const table = host.lookupRecords;
      if (has.has(table) || lacking.has(table)) continue;
      (table.findByMac(place.adapter.vsid, place.adapter.mac).length > 0 ? has : lacking).add(table);
    }
    const without = concerned.filter(({ host }) => lacking.has(host.lookupRecords));
    if (without.length > 0) reportLacking(place, without, has.size > 0, findings);
  }
}

/** The routing domain, or the VSID itself where no route names one. */
const tenantOf = (host: HostView, { adapter }: AdapterPlace): string =>
  host.routes.routingDomainOf(adapter.vsid)?.id ?? `VSID ${adapter.vsid}`;

function reportLacking(
  place: AdapterPlace,
  without: readonly HostView[],
  isKnownSomewhere: boolean,
  findings: Findings,
): void {
  const { adapter, path, port } = place;
  const names = without.map(({ host }) => host.name);
  const shown =
    names.length > 4 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more hosts` : names.join(" and ");
  if (!isKnownSomewhere) {
    const message = `no host has a lookup record of ${port} in VSID ${adapter.vsid}: what it sends is dropped, and nothing reaches it`;
    findings.add(
      "error",
      "ADAPTER_WITHOUT_RECORD",
      path,
      message,
      "give the adapter addresses, or add a lookup record with its MAC",
    );
  } else if (without.includes(place.host)) {
    const message = `${shown} lacks a record of ${port}: what it sends fails the source check of its own host`;
    findings.add(
      "error",
      "RECORD_MISSING_AT_HOME",
      path,
      message,
      "write the record on every host of the routing domain",
    );
  } else {
    const message = `${shown} runs VMs of the same routing domain but has no record of ${port}: traffic is one-way at best`;
    findings.add("error", "RECORD_ONE_WAY", path, message, "write the record on every host of the routing domain");
  }
}

function checkRoutes(view: LabView, findings: Findings): void {
  const seen = new Set<HostSettings["customerRoutes"]>();
  const seenHops = new Set<string>();
  for (const host of view.hosts) {
    checkNextHops(view, host, seenHops, findings);
    if (seen.has(host.host.customerRoutes)) continue;
    seen.add(host.host.customerRoutes);
    checkTies(view, host, findings);
  }
}

function checkNextHops(view: LabView, host: HostView, seen: Set<string>, findings: Findings): void {
  for (const [index, route] of host.host.customerRoutes.entries()) {
    const { nextHop, virtualSubnetID, destinationPrefix } = route;
    if (isUnspecified(nextHop) || host.host.lookupRecords.find(virtualSubnetID, nextHop) !== undefined) continue;
    const path = view.routePath(host, index);
    if (seen.has(path.join("."))) continue;
    seen.add(path.join("."));
    const message =
      `${host.host.name} has no lookup record for ${formatAddress(nextHop)} in VSID ${virtualSubnetID}, ` +
      `the next hop of its route to ${formatPrefix(destinationPrefix)}`;
    findings.add("error", "NEXT_HOP_WITHOUT_RECORD", [...path, "nextHop"], message, "add a record for the gateway VM");
  }
}

/** Equal prefix and metric in one routing domain: the order of writing decides, which nobody meant. */
function checkTies(view: LabView, host: HostView, findings: Findings): void {
  const first = new Map<string, number>();
  const routes = host.host.customerRoutes;
  for (const [index, route] of routes.entries()) {
    const key = `${route.routingDomainID} ${formatPrefix(route.destinationPrefix)} ${route.metric}`;
    const other = routes[first.get(key) ?? -1];
    if (other === undefined) {
      first.set(key, index);
      continue;
    }
    const difference = sameAddress(other.nextHop, route.nextHop)
      ? `by VSIDs ${other.virtualSubnetID} and ${route.virtualSubnetID}`
      : `by ${formatAddress(other.nextHop)} and ${formatAddress(route.nextHop)}`;
    const message = `two routes to ${formatPrefix(route.destinationPrefix)} with metric ${route.metric}, ${difference}`;
    findings.add("warning", "ROUTES_TIE", view.routePath(host, index), message, "give them different metrics");
  }
}
