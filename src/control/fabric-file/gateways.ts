/** Built-in gateways of a lab (`gateways:`), with the adapters that they stand behind. */
import { DEFAULT_GATEWAY_MAC, DEFAULT_MTU } from "../../dataplane/policy/index.js";
import { gatewayAddressOf, isUnspecified, type Mac, prefixContains } from "../../dataplane/wire/index.js";
import {
  DEFAULT_NAT_TIMEOUTS,
  type GatewaySettings,
  type GatewayTenant,
  type HostSettings,
} from "../../vswitch/index.js";
import { isolationPortName } from "./consistency/index.js";
import { readAddress, readGuid, readMac, readPrefix } from "./scalars.js";
import type { FabricFile } from "./schema.js";
import { adaptersOf, type TenantGateway } from "./tenant-gateways.js";

type GatewayDocument = NonNullable<FabricFile["gateways"]>[number];
type TenantDocument = GatewayDocument["tenants"][number];

export function gatewaySettings(
  file: FabricFile,
  hosts: readonly HostSettings[],
  gateways: readonly TenantGateway[],
): readonly GatewaySettings[] {
  return (file.gateways ?? []).map((written): GatewaySettings => {
    const placed = [...adaptersOf(file)].find(({ portName }) => portName === written.adapter)!;
    const host = hosts[placed.host]!;
    const mac = readMac(placed.adapter.mac)!;
    const { external, timeouts } = written;
    return {
      name: written.name,
      mac,
      external: {
        mac: readMac(external.mac)!,
        mtu: external.mtu ?? DEFAULT_MTU,
        routes: external.routes.map(({ destinationPrefix, nextHop }) => ({
          destinationPrefix: readPrefix(destinationPrefix)!,
          nextHop: readAddress(nextHop)!,
        })),
        neighbors: (external.neighbors ?? []).map((neighbor) => ({
          address: readAddress(neighbor.address)!,
          mac: readMac(neighbor.mac)!,
        })),
      },
      tenants: written.tenants.map((tenant) => {
        const domain = file.routingDomains!.find(({ name }) => name === tenant.routingDomain)!;
        const own = gateways.find(
          (gateway) => gateway.adapter === written.adapter && gateway.routingDomainID === readGuid(domain.id),
        )!;
        return tenantSettings(tenant, domain, own, host);
      }),
      timeouts: {
        tcpEstablishedMs: milliseconds(timeouts?.tcpEstablished) ?? DEFAULT_NAT_TIMEOUTS.tcpEstablishedMs,
        tcpTransitoryMs: milliseconds(timeouts?.tcpTransitory) ?? DEFAULT_NAT_TIMEOUTS.tcpTransitoryMs,
        udpMs: milliseconds(timeouts?.udp) ?? DEFAULT_NAT_TIMEOUTS.udpMs,
        icmpMs: milliseconds(timeouts?.icmp) ?? DEFAULT_NAT_TIMEOUTS.icmpMs,
      },
    };
  });
}

const milliseconds = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : seconds * 1000;

function tenantSettings(
  written: TenantDocument,
  domain: NonNullable<FabricFile["routingDomains"]>[number],
  own: TenantGateway,
  host: HostSettings,
): GatewayTenant {
  const { vsid, addresses } = own;
  const names = [own.portName, isolationPortName(own.portName, vsid)];
  const adapter = host.adapters.find(({ portName, vsid: id }) => id === vsid && names.includes(portName))!;
  return {
    routingDomain: domain.name,
    vsid,
    adapterPort: `${host.name}/${adapter.portName}`,
    addresses,
    routerMac: routerMac(host, own),
    internalPrefixes: (written.internalPrefixes ?? domain.subnets.flatMap(({ prefixes }) => prefixes)).map(
      (text) => readPrefix(text)!,
    ),
    ranges: (written.externalAddresses ?? []).map(({ address, portStart, portEnd }) => ({
      address: readAddress(address)!,
      portStart: portStart ?? 1,
      portEnd: portEnd ?? 49_151,
    })),
    staticMappings: (written.staticMappings ?? []).map((mapping) => ({
      protocol: mapping.protocol === "TCP" ? "tcp" : "udp",
      external: { address: readAddress(mapping.externalAddress)!, port: mapping.externalPort },
      internal: { address: readAddress(mapping.internalAddress)!, port: mapping.internalPort },
    })),
    tunnels: (written.tunnels ?? []).map(({ name, key, source, destination, prefixes }) => ({
      name,
      key,
      source: readAddress(source)!,
      destination: readAddress(destination)!,
      prefixes: prefixes.map((text) => readPrefix(text)!),
    })),
  };
}

/** What ARP would give the gateway for its router: the record's MAC, if the host has one. */
function routerMac(host: HostSettings, { vsid, addresses }: TenantGateway): Mac {
  for (const { virtualSubnetID, destinationPrefix, nextHop } of host.customerRoutes) {
    if (virtualSubnetID !== vsid || !isUnspecified(nextHop) || !prefixContains(destinationPrefix, addresses[0]!))
      continue;
    const router = gatewayAddressOf(destinationPrefix);
    const record = router && host.lookupRecords.find(vsid, router);
    if (record) return record.macAddress;
  }
  return DEFAULT_GATEWAY_MAC;
}
