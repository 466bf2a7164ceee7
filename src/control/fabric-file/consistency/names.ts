/** Names of hosts, NICs, teams and VMs: unique where ports are named by them, and known where they are referred to. */
import type { Path } from "../../problem.js";
import { each, type Loose } from "../report.js";
import type { AdapterDocument, HostDocument } from "../schema.js";
import { nearestName } from "../validate.js";
import type { Checking, Claims } from "./context.js";

/** The provider network's node name; its ports are `provider/host.nic`. */
export const PROVIDER_NODE = "provider";

/** `Blue1`, `Blue1.2`, … */
export const adapterPortName = (vm: string, index: number): string => (index === 0 ? vm : `${vm}.${index + 1}`);

/** `GW:6001`: where the guest's frames with an isolation id enter and leave. */
export const isolationPortName = (adapter: string, id: number): string => `${adapter}:${id}`;

type IsolationDocument = NonNullable<AdapterDocument["isolation"]>;

/** The isolation ids that frames bring from and to the guest: all but that of frames without one, and none without MultiTenantStack. */
export function carriedIds(isolation: Loose<IsolationDocument> | undefined): readonly number[] {
  return isolation?.multiTenantStack === true ? listedIds(isolation) : [];
}

/** The isolation ids of an adapter's routing domain mappings, each once, without that of frames that bring none. */
export function listedIds(isolation: Loose<IsolationDocument> | undefined): readonly number[] {
  if (isolation === undefined || (isolation.mode ?? "None") === "None") return [];
  const ids = new Set<number>();
  for (const [mapping] of each(isolation.routingDomains)) for (const [id] of each(mapping.isolationIDs)) ids.add(id);
  if (isolation.allowUntaggedTraffic === true) ids.delete(isolation.defaultIsolationID ?? 0);
  return [...ids];
}

/** The VSIDs whose frames an adapter takes. */
export const vsidsOf = (adapter: Loose<AdapterDocument>): readonly number[] => {
  const { isolation } = adapter;
  if (isolation === undefined || isolation.mode === "None") return adapter.vsid ? [adapter.vsid] : [];
  const untagged = isolation.allowUntaggedTraffic ? (isolation.defaultIsolationID ?? 0) : 0;
  return untagged === 0 ? listedIds(isolation) : [untagged, ...listedIds(isolation)];
};

export function checkNames({ file, report }: Checking): void {
  const domains: Claims = new Map();
  for (const [domain, d] of each(file.routingDomains)) {
    if (domain.name === undefined) continue;
    const path = ["routingDomains", d, "name"];
    report.claim(domains, domain.name, path, "DUPLICATE_NAME", `another routing domain is called ${domain.name}`);
  }

  const hosts: Claims = new Map();
  const providerPorts: Claims = new Map();
  for (const [host, h] of each(file.hosts)) {
    const path = ["hosts", h, "name"];
    let isFirst = false;
    if (host.name !== undefined) {
      isFirst = report.claim(hosts, host.name, path, "DUPLICATE_NAME", `another host is called ${host.name}`);
      if (host.name === PROVIDER_NODE) {
        report.add(path, "RESERVED_NAME", "provider is the name of the provider network", "choose another host name");
      }
    }
    checkPortNames({ file, report }, host, h);
    for (const [nic, n] of each(host.nics)) {
      if (!isFirst || nic.name === undefined) continue;
      const nicPath = ["hosts", h, "nics", n, "name"];
      const port = `${host.name}.${nic.name}`;
      // Twice the same NIC in one host is already said; this finds host a.b with NIC c beside host a with NIC b.c.
      const before = providerPorts.get(port);
      if (before?.[1] !== h) {
        report.claim(
          providerPorts,
          port,
          nicPath,
          "DUPLICATE_NAME",
          `the provider port provider/${port} already exists`,
        );
      }
    }
  }
  checkHostReferences({ file, report }, hosts);
}

/** NICs, the team and the VMs' adapters share one name space: each is a port `host/name`. */
function checkPortNames({ report }: Checking, host: Loose<HostDocument>, h: number): void {
  const ports: Claims = new Map();
  const claim = (name: string, path: Path): boolean =>
    report.claim(
      ports,
      name,
      path,
      "DUPLICATE_NAME",
      `this host already has a port called ${name}`,
      "NICs, the team and VMs share one name space",
    );
  for (const [nic, n] of each(host.nics)) {
    if (nic.name !== undefined) claim(nic.name, ["hosts", h, "nics", n, "name"]);
  }
  if (host.team?.name !== undefined) claim(host.team.name, ["hosts", h, "team", "name"]);
  for (const [vm, v] of each(host.vms)) {
    if (vm.name === undefined) continue;
    const path = ["hosts", h, "vms", v, "name"];
    const count = Math.max(1, vm.adapters?.length ?? 1);
    for (let a = 0; a < count; a++) {
      const name = adapterPortName(vm.name, a);
      if (!claim(name, path)) break;
      for (const id of carriedIds(vm.adapters?.[a]?.isolation)) claim(isolationPortName(name, id), path);
    }
  }
}

/** Every raw record's `host` is a host of the lab. */
function checkHostReferences({ file, report }: Checking, hosts: Claims): void {
  // While a host's own name is in doubt, one cannot say that a reference misses it.
  if ((file.hosts ?? []).some((host) => host?.name === undefined)) return;
  const refer = (
    list: string,
    items: readonly ({ readonly host?: string | undefined } | undefined)[] | undefined,
  ): void => {
    for (const [item, i] of each(items)) {
      if (item.host === undefined || hosts.has(item.host)) continue;
      const nearest = nearestName(item.host, hosts.keys());
      const cure =
        nearest === undefined ? `hosts here: ${[...hosts.keys()].slice(0, 8).join(", ")}` : `did you mean ${nearest}?`;
      report.add([list, i, "host"], "UNKNOWN_HOST", `no host is called ${item.host}`, cure);
    }
  };
  refer("lookupRecords", file.lookupRecords);
  refer("customerRoutes", file.customerRoutes);
  refer("providerAddresses", file.providerAddresses);
  refer("providerRoutes", file.providerRoutes);
  refer("neighbors", file.neighbors);
}
