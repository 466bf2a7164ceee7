/**
 * A lab as the checks look at it: each host with its tables for looking things up, and the way from what a lab has back to where the
 * file says it.
 */
import {
  CustomerRoutes,
  type LookupRecord,
  Neighbors,
  type ProviderAddress,
  ProviderRoutes,
} from "../../dataplane/policy/index.js";
import { type Address, gatewayAddressOf, sameAddress, type Vsid } from "../../dataplane/wire/index.js";
import type { AdapterSettings, HostSettings, LabSettings } from "../../vswitch/index.js";
import { addressKey } from "../fabric-file/consistency/index.js";
import { adapterPorts, oncePer, recordIdentity } from "../fabric-file/derive.js";
import type { FabricDocument } from "../fabric-file/load.js";
import { readLookupRecord } from "../fabric-file/read-lookup-record.js";
import { readAddress, readPrefix } from "../fabric-file/scalars.js";
import type { Path } from "../problem.js";

export interface HostView {
  readonly host: HostSettings;
  readonly path: Path;
  /** Hosts with the same routes, records or neighbors share the objects. */
  readonly routes: CustomerRoutes;
  readonly providerRoutes: ProviderRoutes;
  readonly neighbors: Neighbors;
}

export interface AdapterPlace {
  readonly host: HostView;
  readonly adapter: AdapterSettings;
  /** `host1/Blue1` */
  readonly port: string;
  readonly path: Path;
  /** As written; labs of raw records often give none. */
  readonly addresses: readonly Address[];
}

export interface LabView {
  readonly document: FabricDocument;
  readonly lab: LabSettings;
  readonly hosts: readonly HostView[];
  /** Those with a VSID. */
  readonly adapters: readonly AdapterPlace[];
  /** The host that has a provider address. */
  ownerOf(providerAddress: Address): HostView | undefined;
  recordPath(host: HostView, record: LookupRecord): Path;
  routePath(host: HostView, index: number): Path;
  providerAddressPath(host: HostView, address: Address): Path;
}

export function viewLab(document: FabricDocument, lab: LabSettings): LabView {
  const routesOf = oncePer((list: HostSettings["customerRoutes"]) => CustomerRoutes.from(list));
  const neighborsOf = oncePer((list: HostSettings["neighbors"]) => new Neighbors(list));
  const hosts = lab.hosts.map((host, h): HostView => {
    const providerRoutes = new ProviderRoutes(host.providerRoutes, host.providerAddresses.map(asPolicy));
    const path = ["hosts", h];
    return {
      host,
      path,
      routes: routesOf(host.customerRoutes),
      providerRoutes,
      neighbors: neighborsOf(host.neighbors),
    };
  });
  const owners = new Map<string, HostView>();
  for (const view of hosts) {
    for (const pa of view.host.providerAddresses) owners.set(addressKey(pa.address), view);
  }
  const adapters = adapterPlaces(document, hosts);
  const recordPaths = recordPathsOf(document, adapters);
  const find = (host: HostView, identity: string): Path =>
    recordPaths.get(`${host.host.name}|${identity}`) ?? recordPaths.get(`|${identity}`) ?? host.path;
  return {
    document,
    lab,
    hosts,
    adapters,
    ownerOf: (address) => owners.get(addressKey(address)),
    recordPath: (host, record) => find(host, recordIdentity(record)),
    routePath: (host, index) => routePath(document, host, index),
    providerAddressPath: (host, address) => providerAddressPath(document, host, address),
  };
}

const asPolicy = (pa: HostSettings["providerAddresses"][number]): ProviderAddress => ({
  providerAddress: pa.address,
  interfaceIndex: pa.interfaceIndex,
  prefixLength: pa.prefixLength,
  vlanID: pa.vlan,
  macAddress: pa.mac ?? (0 as NonNullable<typeof pa.mac>), // plays no part in routing
  addressState: "Preferred",
});

function adapterPlaces({ fabric }: FabricDocument, hosts: readonly HostView[]): readonly AdapterPlace[] {
  const places = fabric.hosts.flatMap((host, h) => {
    const view = hosts[h]!;
    let next = 0; // adapters stand in the settings in the order of the file
    return (host.vms ?? []).flatMap((vm, v) =>
      vm.adapters.flatMap((written, a): AdapterPlace[] => {
        const ports = view.host.adapters.slice(next, next + adapterPorts(vm, written, a).length);
        next += ports.length;
        const path = ["hosts", h, "vms", v, "adapters", a];
        const addresses = (written.addresses ?? []).map((text) => readAddress(text)!);
        return ports.map((adapter) => ({
          host: view,
          adapter,
          port: `${host.name}/${adapter.portName}`,
          path,
          addresses,
        }));
      }),
    );
  });
  return places.filter((place) => place.adapter.vsid !== 0);
}

/** Keys: host name, or nothing for every host, and the record's identity. Raw records are set last, since they win. */
function recordPathsOf({ fabric }: FabricDocument, adapters: readonly AdapterPlace[]): Map<string, Path> {
  const paths = new Map<string, Path>();
  for (const [d, domain] of (fabric.routingDomains ?? []).entries()) {
    for (const [s, subnet] of domain.subnets.entries()) {
      for (const prefix of subnet.prefixes) {
        const gateway = gatewayAddressOf(readPrefix(prefix)!);
        const path = ["routingDomains", d, "subnets", s, "gatewayMac"];
        if (gateway !== undefined) paths.set(`|${subnet.vsid}/${addressKey(gateway)}`, path);
      }
    }
  }
  for (const { adapter, addresses, path } of adapters) {
    for (const [i, address] of addresses.entries()) {
      paths.set(`|${adapter.vsid}/${addressKey(address)}`, [...path, "addresses", i]);
    }
  }
  for (const [i, raw] of (fabric.lookupRecords ?? []).entries()) {
    paths.set(`${raw.host ?? ""}|${recordIdentity(readLookupRecord(raw))}`, ["lookupRecords", i]);
  }
  return paths;
}

function routePath({ fabric }: FabricDocument, host: HostView, index: number): Path {
  const route = host.host.customerRoutes[index]!;
  const isIt = (raw: NonNullable<typeof fabric.customerRoutes>[number]): boolean => {
    const prefix = readPrefix(raw.destinationPrefix)!;
    return (
      (raw.host ?? host.host.name) === host.host.name &&
      raw.virtualSubnetID === route.virtualSubnetID &&
      prefix.length === route.destinationPrefix.length &&
      sameAddress(prefix.address, route.destinationPrefix.address) &&
      sameAddress(readAddress(raw.nextHop)!, route.nextHop)
    );
  };
  const at = (fabric.customerRoutes ?? []).findIndex(isIt);
  return at >= 0 ? ["customerRoutes", at] : ["routingDomains"];
}

function providerAddressPath({ fabric }: FabricDocument, host: HostView, address: Address): Path {
  const key = addressKey(address);
  const written = fabric.hosts[Number(host.path[1])]?.providerAddresses ?? [];
  const own = written.findIndex((pa) => addressKey(readAddress(pa.address)!) === key);
  if (own >= 0) return [...host.path, "providerAddresses", own];
  const raw = (fabric.providerAddresses ?? []).findIndex(
    (pa) => (pa.host ?? host.host.name) === host.host.name && addressKey(readAddress(pa.providerAddress)!) === key,
  );
  return raw >= 0 ? ["providerAddresses", raw] : host.path;
}

/** Is the address the gateway address of its virtual subnet? The PA of its record has no meaning then. */
export function isGatewayAddress(host: HostView, vsid: Vsid, customerAddress: Address): boolean {
  return host.routes.onLinkPrefixes(vsid).some((prefix) => {
    const gateway = gatewayAddressOf(prefix);
    return gateway !== undefined && sameAddress(gateway, customerAddress);
  });
}
