/**
 * A tenant's gateway VMs (`gateways:` of a routing domain), and the policy that they need:
 *
 *     each address        a Static record with the gateway's MAC: the next hop
 *     each family         a GatewayWildcard record: any address may come from there
 *     each destination    a route through the gateway, on every host that has VMs of the tenant
 */
import type { CustomerRoute, LookupRecord } from "../../dataplane/policy/index.js";
import {
  Address,
  type AddressFamily,
  ipv4Address,
  type Mac,
  type Prefix,
  type Vsid,
} from "../../dataplane/wire/index.js";
import { adapterPortName, vsidsOf } from "./consistency/index.js";
import type { ProviderPlan } from "./provider-plan.js";
import { readAddress, readGuid, readMac, readPrefix } from "./scalars.js";
import type { AdapterDocument, FabricFile } from "./schema.js";

export const DERIVED_ROUTE_METRIC = 255;

export interface TenantGateway {
  readonly routingDomainID: string;
  /** Index into the file's hosts. */
  readonly host: number;
  readonly vmName: string;
  /** As written: host/VM. */
  readonly adapter: string;
  /** The same within its host. */
  readonly portName: string;
  readonly mac: Mac;
  readonly vsid: Vsid;
  readonly addresses: readonly Address[];
  readonly destinations: readonly Prefix[];
  /** Has its host other adapters of the routing domain, which need the routes too? */
  readonly hasTenantsBeside: boolean;
}

export interface PlacedAdapter {
  readonly host: number;
  readonly vmName: string;
  readonly portName: string;
  readonly adapter: AdapterDocument;
}

export function* adaptersOf(file: FabricFile): Generator<PlacedAdapter> {
  for (const [host, { name, vms }] of file.hosts.entries()) {
    for (const vm of vms ?? []) {
      for (const [index, adapter] of vm.adapters.entries()) {
        yield { host, vmName: vm.name, portName: `${name}/${adapterPortName(vm.name, index)}`, adapter };
      }
    }
  }
}

export function tenantGateways(file: FabricFile): readonly TenantGateway[] {
  const adapters = [...adaptersOf(file)];
  return (file.routingDomains ?? []).flatMap((domain) => {
    const vsids = new Set(domain.subnets.map(({ vsid }) => vsid));
    return (domain.gateways ?? []).map((gateway): TenantGateway => {
      const own = adapters.find(({ portName }) => portName === gateway.adapter)!;
      const addresses = gateway.addresses.map((text) => readAddress(text)!);
      const isBeside = (other: PlacedAdapter): boolean =>
        other !== own && other.host === own.host && vsidsOf(other.adapter).some((vsid) => vsids.has(vsid));
      return {
        routingDomainID: readGuid(domain.id)!,
        host: own.host,
        vmName: own.vmName,
        adapter: gateway.adapter,
        portName: own.portName.slice(own.portName.indexOf("/") + 1),
        mac: readMac(own.adapter.mac)!,
        vsid: gateway.vsid as Vsid,
        addresses,
        destinations:
          gateway.destinations?.map((text) => readPrefix(text)!) ??
          addresses.map(({ family }) => ({ address: unspecified(family), length: 0 })),
        hasTenantsBeside: adapters.some(isBeside),
      };
    });
  });
}

export const unspecified = (family: AddressFamily): Address =>
  family === 4 ? ipv4Address(0) : new Address(6, 0, 0, 0, 0);

export function gatewayRecords(file: FabricFile, plan: ProviderPlan): readonly LookupRecord[] {
  return tenantGateways(file).flatMap((gateway) => {
    const providerAddress = plan.addresses[gateway.host]![0]?.address;
    if (providerAddress === undefined) return []; // the checks saw to it that raw records cover it
    return gateway.addresses.flatMap((address): LookupRecord[] => {
      const record: LookupRecord = {
        customerAddress: address,
        virtualSubnetID: gateway.vsid,
        macAddress: gateway.mac,
        providerAddress,
        rule: "TranslationMethodEncap",
        type: "Static",
        useVmMACAddress: false,
        customerID: gateway.routingDomainID,
        context: null,
        vmName: gateway.vmName,
      };
      return [record, { ...record, customerAddress: unspecified(address.family), type: "GatewayWildcard" }];
    });
  });
}

/** The routes that lead to gateways, for one host: a gateway's own host needs none unless it has other VMs of the tenant. */
export function gatewayRoutes(gateways: readonly TenantGateway[], host: number): readonly CustomerRoute[] {
  return gateways
    .filter((gateway) => gateway.host !== host || gateway.hasTenantsBeside)
    .flatMap(({ routingDomainID, vsid, addresses, destinations }) =>
      destinations.map((destinationPrefix) => ({
        routingDomainID,
        virtualSubnetID: vsid,
        destinationPrefix,
        nextHop: addresses.find(({ family }) => family === destinationPrefix.address.family)!,
        metric: DERIVED_ROUTE_METRIC,
      })),
    );
}
