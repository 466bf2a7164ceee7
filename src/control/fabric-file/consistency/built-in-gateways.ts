/** Built-in gateways: they stand behind an adapter, serve tenants that know them, and give no external endpoint away twice. */
import {
  type Address,
  formatAddress,
  isUnicast,
  isUnspecified,
  type Prefix,
  prefixContains,
  sameAddress,
} from "../../../dataplane/wire/index.js";
import type { Path } from "../../problem.js";
import { each, type Loose } from "../report.js";
import { readAddress, readPrefix } from "../scalars.js";
import type { FabricFile } from "../schema.js";
import { nearestName } from "../validate.js";
import { addressKey, type Checking, type Claims } from "./context.js";
import { PROVIDER_NODE } from "./names.js";
import { checkUnicastMac } from "./tenants.js";

type GatewayDocument = NonNullable<FabricFile["gateways"]>[number];
type TenantDocument = GatewayDocument["tenants"][number];

export function checkBuiltInGateways(checking: Checking): void {
  const { file, report } = checking;
  const nodes: Claims = new Map();
  for (const [host, h] of each(file.hosts)) if (host.name !== undefined) nodes.set(host.name, ["hosts", h, "name"]);
  const adapters: Claims = new Map();
  for (const [gateway, g] of each(file.gateways)) {
    const path = ["gateways", g];
    if (gateway.name === PROVIDER_NODE) {
      report.add([...path, "name"], "RESERVED_NAME", "provider is the name of the provider network");
    } else if (gateway.name !== undefined) {
      report.claim(nodes, gateway.name, [...path, "name"], "DUPLICATE_NAME", `another node is called ${gateway.name}`);
    }
    if (gateway.adapter !== undefined) {
      const message = `another gateway stands behind ${gateway.adapter}`;
      report.claim(adapters, gateway.adapter, [...path, "adapter"], "DUPLICATE_ADAPTER", message);
    }
    checkExternal(checking, gateway, path);
    const external: Claims = new Map();
    const tunnels: Claims = new Map();
    const domains: Claims = new Map();
    for (const [tenant, t] of each(gateway.tenants)) {
      const at = [...path, "tenants", t];
      if (tenant.routingDomain !== undefined) {
        const message = `${tenant.routingDomain} is already a tenant of this gateway`;
        report.claim(domains, tenant.routingDomain, [...at, "routingDomain"], "DUPLICATE_NAME", message);
      }
      checkRoutingDomain(checking, gateway, tenant, at);
      checkRanges(checking, tenant, at);
      checkMappings(checking, tenant, at, external);
      checkTunnels(checking, tenant, at, tunnels);
    }
  }
}

/** Next hops have a MAC, and are of their destination's family. */
function checkExternal(checking: Checking, gateway: Loose<GatewayDocument>, path: Path): void {
  const { report } = checking;
  const { external } = gateway;
  if (external === undefined) return;
  checkUnicastMac(checking, external.mac, [...path, "external", "mac"]);
  const neighbors = (external.neighbors ?? []).map((neighbor) => readAddress(neighbor?.address));
  for (const [route, r] of each(external.routes)) {
    const hop = readAddress(route.nextHop);
    const prefix = readPrefix(route.destinationPrefix);
    if (hop === undefined || prefix === undefined || isUnspecified(hop)) continue;
    const at = [...path, "external", "routes", r, "nextHop"];
    const { family } = prefix.address;
    if (!isUnicast(hop) || hop.family !== family) {
      report.add(at, "CUSTOMER_ROUTE_NEXT_HOP", `${formatAddress(hop)} cannot be an IPv${family} next hop`);
    } else if (!neighbors.includes(undefined) && !neighbors.some((known) => sameAddress(known!, hop))) {
      const message = `the MAC of ${formatAddress(hop)} is not known`;
      report.add(at, "NEXT_HOP_WITHOUT_NEIGHBOR", message, "add it to the neighbors of the gateway's external side");
    }
  }
}

/** The tenant has this adapter among its gateways, at a port of its own. */
function checkRoutingDomain(
  { file, report }: Checking,
  gateway: Loose<GatewayDocument>,
  { routingDomain }: Loose<TenantDocument>,
  path: Path,
): void {
  if (routingDomain === undefined) return;
  const at = [...path, "routingDomain"];
  const domains = (file.routingDomains ?? []).filter((domain) => domain !== undefined);
  const domain = domains.find(({ name }) => name === routingDomain);
  if (domain === undefined) {
    if (domains.some(({ name }) => name === undefined)) return;
    const names = domains.map(({ name }) => name!);
    const nearest = nearestName(routingDomain, names);
    const cure =
      nearest === undefined ? `routing domains here: ${names.slice(0, 8).join(", ")}` : `did you mean ${nearest}?`;
    report.add(at, "UNKNOWN_ROUTING_DOMAIN", `no routing domain is called ${routingDomain}`, cure);
    return;
  }
  const own = (domain.gateways ?? []).find((candidate) => candidate?.adapter === gateway.adapter);
  if (own === undefined) {
    if (gateway.adapter === undefined || (domain.gateways ?? []).some((other) => other?.adapter === undefined)) return;
    const message = `${routingDomain} has no gateway at ${gateway.adapter}`;
    report.add(at, "TENANT_WITHOUT_GATEWAY", message, "name the adapter under gateways: of the routing domain");
    return;
  }
  if (isHidden(file, gateway.adapter, own.vsid)) {
    const message = `${gateway.adapter} has no port for VSID ${own.vsid} without multiTenantStack`;
    report.add(at, "GATEWAY_WITHOUT_VSID", message, "set multiTenantStack: true");
  }
}

/** An isolation id that the adapter does not tell apart. */
function isHidden({ hosts }: Loose<FabricFile>, adapter: string | undefined, vsid: number | undefined): boolean {
  const [hostName, portName] = (adapter ?? "").split("/");
  const host = (hosts ?? []).find((candidate) => candidate?.name === hostName);
  for (const [vm] of each(host?.vms)) {
    for (const [candidate, a] of each(vm.adapters)) {
      if ((a === 0 ? vm.name : `${vm.name}.${a + 1}`) !== portName) continue;
      const { isolation } = candidate;
      if (isolation?.mode === undefined || isolation.mode === "None" || isolation.multiTenantStack === true)
        return false;
      return isolation.allowUntaggedTraffic !== true || isolation.defaultIsolationID !== vsid;
    }
  }
  return false;
}

function checkRanges({ report }: Checking, tenant: Loose<TenantDocument>, path: Path): void {
  const own: Claims = new Map();
  for (const [range, r] of each(tenant.externalAddresses)) {
    const at = [...path, "externalAddresses", r];
    const address = readAddress(range.address);
    if (address !== undefined && !isUnicast(address)) {
      report.add([...at, "address"], "ADDRESS_NOT_UNICAST", `${formatAddress(address)} cannot be an external address`);
    } else if (address !== undefined) {
      const message = `${formatAddress(address)} is already an external address of this tenant`;
      report.claim(own, addressKey(address), [...at, "address"], "DUPLICATE_ADDRESS", message);
    }
    const [start, end] = [range.portStart ?? 1, range.portEnd ?? 49_151];
    if (start > end) report.add([...at, "portEnd"], "OUT_OF_RANGE", `the range ${start} to ${end} is empty`);
  }
}

function checkMappings({ report }: Checking, tenant: Loose<TenantDocument>, path: Path, taken: Claims): void {
  const prefixes = (tenant.internalPrefixes ?? []).map((text) => readPrefix(text));
  for (const [mapping, m] of each(tenant.staticMappings)) {
    const at = [...path, "staticMappings", m];
    const external = readAddress(mapping.externalAddress);
    const internal = readAddress(mapping.internalAddress);
    if (external !== undefined && mapping.protocol !== undefined && mapping.externalPort !== undefined) {
      const key = `${mapping.protocol}/${addressKey(external)}/${mapping.externalPort}`;
      const message = `${mapping.protocol} port ${mapping.externalPort} of ${formatAddress(external)} is already mapped`;
      report.claim(taken, key, [...at, "externalPort"], "DUPLICATE_MAPPING", message);
    }
    if (internal === undefined || external === undefined) continue;
    if (internal.family !== external.family) {
      const message = `${formatAddress(internal)} is not of the family of ${formatAddress(external)}`;
      report.add([...at, "internalAddress"], "BAD_ADDRESS", message);
    } else if (prefixes.length > 0 && !prefixes.includes(undefined) && !holds(prefixes as Prefix[], internal)) {
      const message = `${formatAddress(internal)} lies outside the tenant's internal prefixes`;
      report.add([...at, "internalAddress"], "ADDRESS_OUTSIDE_SUBNET", message);
    }
  }
}

const holds = (prefixes: readonly Prefix[], address: Address): boolean =>
  prefixes.some((prefix) => prefixContains(prefix, address));

function checkTunnels({ report }: Checking, tenant: Loose<TenantDocument>, path: Path, taken: Claims): void {
  for (const [tunnel, t] of each(tenant.tunnels)) {
    const at = [...path, "tunnels", t];
    const source = readAddress(tunnel.source);
    const destination = readAddress(tunnel.destination);
    if (source === undefined || destination === undefined) continue;
    if (source.family !== destination.family || !isUnicast(source) || !isUnicast(destination)) {
      const message = `no tunnel goes from ${formatAddress(source)} to ${formatAddress(destination)}`;
      report.add([...at, "destination"], "BAD_ADDRESS", message, "two unicast addresses of one family");
      continue;
    }
    const key = `${addressKey(source)}/${addressKey(destination)}/${tunnel.key}`;
    const message = `a tunnel to ${formatAddress(destination)} has key ${tunnel.key} already`;
    report.claim(
      taken,
      key,
      [...at, "key"],
      "DUPLICATE_TUNNEL",
      message,
      "the key tells tunnels between two ends apart",
    );
  }
}
