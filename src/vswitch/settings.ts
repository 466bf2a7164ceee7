/**
 * A lab as plain settings: what `control` derives from a fabric file, and all that `vswitch` needs to build it.
 *
 * No text, no file and no optional field is left here: addresses are parsed, defaults are filled in, records are derived.
 * The names are those of the fabric file (docs/FABRIC-FILE.md).
 */
import type {
  CustomerRoute,
  LookupRecordTable,
  Neighbor,
  NveSettings,
  ProviderRoute,
} from "../dataplane/policy/index.js";
import type { GuestOffload, NicOffload } from "../dataplane/slowpath/index.js";
import type { Address, Mac, Prefix, Vsid } from "../dataplane/wire/index.js";
import type { TimedChange } from "./changes.js";

export interface LabSettings {
  readonly hosts: readonly HostSettings[];
  /** The network between the hosts; null when the hosts' NICs end outside of the lab. */
  readonly provider: ProviderSettings | null;
  readonly gateways: readonly GatewaySettings[];
  /** What happens while frames pass, in the order of the file. */
  readonly events: readonly TimedChange[];
}

export interface HostSettings {
  readonly name: string;
  /** How late events that change policy reach this host, in milliseconds. */
  readonly policyDelayMs: number;
  readonly nve: NveSettings;
  /**
   * How long it takes until the other hosts of the routing domain have the record of an address that this host has learnt; null: nobody
   * tells them.
   */
  readonly distributeLearnedMs: number | null;
  readonly nics: readonly NicSettings[];
  readonly adapters: readonly AdapterSettings[];
  readonly providerAddresses: readonly ProviderAddressSettings[];
  readonly providerRoutes: readonly ProviderRoute[];
  readonly neighbors: readonly Neighbor[];
  /**
   * The neighbors that stay known where the host looks for the others on a wire; null: the lab says itself whether it does
   * (`nve.resolve`), and whoever runs it has no choice.
   */
  readonly neighborsOnWire: readonly Neighbor[] | null;
  readonly customerRoutes: readonly CustomerRoute[];
  /** Hosts with the same records share one table object. */
  readonly lookupRecords: LookupRecordTable;
}

/** A physical NIC. Its port is `host/name`; its interface index is its place in the list, from 1. */
export interface NicSettings {
  readonly name: string;
  readonly mac: Mac;
  /** IP MTU. */
  readonly mtu: number;
  readonly offload: NicOffload;
  /** Receive queues over which RSS spreads what arrives. */
  readonly rssQueues: number;
}

/**
 * A VM's network adapter as one port of the virtual switch. An adapter that carries isolation ids to its guest is several: one for each
 * id, named `GW:6001`, beside the plain one for frames without an id.
 */
export interface AdapterSettings {
  /** The port's name within the host: `Blue1`, `Blue1.2`, `GW:6001`. */
  readonly portName: string;
  readonly vmName: string;
  readonly mac: Mac;
  /** 0: not virtualized. */
  readonly vsid: Vsid;
  readonly macAddressSpoofing: boolean;
  readonly ieeePriorityTag: boolean;
  readonly guest: GuestOffload;
  /** Drop what the VM sends as a DHCP server. */
  readonly dhcpGuard: boolean;
  /** Drop what the VM sends as a router: advertisements and redirects. */
  readonly routerGuard: boolean;
  /** Most broadcast and multicast frames that the VM may send in a second; 0: no limit. */
  readonly stormLimit: number;
  /** Most addresses that are learnt on the port; 0: no limit. */
  readonly dynamicIPAddressLimit: number;
  /** null: mode None of Set-VMNetworkAdapterIsolation. */
  readonly isolation: PortIsolation | null;
}

/** What Set-VMNetworkAdapterIsolation makes of one port of an adapter. */
export interface PortIsolation {
  /** External: a forwarding extension's business, network virtualization leaves the frames alone. */
  readonly mode: "NativeVirtualSubnet" | "ExternalVirtualSubnet";
  /** The plain port without AllowUntaggedTraffic: takes nothing from the guest and has nothing for it. */
  readonly isFiltered: boolean;
  /** Without MultiTenantStack the plain port has the frames of these virtual subnets for the guest, which is not told their ids. */
  readonly hiddenVsids: readonly Vsid[];
}

export interface ProviderAddressSettings {
  readonly address: Address;
  readonly prefixLength: number;
  /** 0: untagged. */
  readonly vlan: number;
  /** null: the NIC's. */
  readonly mac: Mac | null;
  /** From 1, into `nics`. */
  readonly interfaceIndex: number;
}

export interface ProviderSettings {
  readonly subnets: readonly ProviderSubnetSettings[];
  /** MAC of the router between the subnets. */
  readonly routerMac: Mac;
}

export interface ProviderSubnetSettings {
  readonly prefix: Prefix;
  readonly vlan: number;
  /** IP MTU. */
  readonly mtu: number;
  /** The router's address in this subnet; null when the subnet has none. */
  readonly gateway: Address | null;
}

/** A built-in gateway: what stands behind a gateway VM's adapter in place of a guest. Its ports are `name/VSID` and `name/external`. */
export interface GatewaySettings {
  readonly name: string;
  /** MAC of the adapter that it stands behind. */
  readonly mac: Mac;
  readonly external: ExternalSettings;
  readonly tenants: readonly GatewayTenant[];
  readonly timeouts: NatTimeouts;
}

/** The side that faces the physical network; its port is `name/external`. */
export interface ExternalSettings {
  readonly mac: Mac;
  /** IP MTU. */
  readonly mtu: number;
  readonly routes: readonly ExternalRoute[];
  readonly neighbors: readonly Neighbor[];
}

export interface ExternalRoute {
  readonly destinationPrefix: Prefix;
  /** Unspecified: on-link. */
  readonly nextHop: Address;
}

/** One tenant of a gateway: New-NetNat and what belongs to it. */
export interface GatewayTenant {
  readonly routingDomain: string;
  /** The gateway's virtual subnet. */
  readonly vsid: Vsid;
  /** The port of the virtual switch that it is linked to: `gw1/GW:6001`. */
  readonly adapterPort: string;
  /** Its own addresses there. */
  readonly addresses: readonly Address[];
  /** MAC of the distributed router there. */
  readonly routerMac: Mac;
  /** -InternalIPInterfaceAddressPrefix: sources that may go out. */
  readonly internalPrefixes: readonly Prefix[];
  /** Add-NetNatExternalAddress. */
  readonly ranges: readonly ExternalRange[];
  /** Add-NetNatStaticMapping. */
  readonly staticMappings: readonly StaticMapping[];
  /** Add-VpnS2SInterface -GreTunnel. */
  readonly tunnels: readonly GreTunnel[];
}

export interface ExternalRange {
  readonly address: Address;
  readonly portStart: number;
  /** Inclusive. */
  readonly portEnd: number;
}

export type NatProtocol = "tcp" | "udp" | "icmp";

export interface StaticMapping {
  readonly protocol: "tcp" | "udp";
  readonly external: { readonly address: Address; readonly port: number };
  readonly internal: { readonly address: Address; readonly port: number };
}

/** A site-to-site tunnel: IP in GRE with key, between two addresses of the outside. */
export interface GreTunnel {
  readonly name: string;
  readonly key: number;
  readonly source: Address;
  readonly destination: Address;
  /** What lies behind the far end. */
  readonly prefixes: readonly Prefix[];
}

/** How long bindings may be idle, in milliseconds. */
export interface NatTimeouts {
  readonly tcpEstablishedMs: number;
  readonly tcpTransitoryMs: number;
  readonly udpMs: number;
  readonly icmpMs: number;
}

/** RFC 5382 REQ-5: two hours and four minutes, and four minutes. RFC 4787 REQ-5: five minutes. RFC 5508 REQ-2: one. */
export const DEFAULT_NAT_TIMEOUTS: NatTimeouts = Object.freeze({
  tcpEstablishedMs: 7_440_000,
  tcpTransitoryMs: 240_000,
  udpMs: 300_000,
  icmpMs: 60_000,
});
