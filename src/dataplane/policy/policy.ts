/**
 * The policy of one host as the data plane sees it: an immutable snapshot of the tables that the NetWNV cmdlets write.
 *
 * Field names are the cmdlets' parameter names with a lower first letter. Values are already parsed and checked;
 * `validate.ts` holds the cmdlets' limits. A change makes a new snapshot that shares all unchanged parts, and moves the
 * stamps (`stamps.ts`) of what changed.
 */
import type { DscpMode, EcnMode, NodeIndex } from "../transposition/transposition.js";
import type { Address, AddressFamily, Prefix } from "../wire/address.js";
import type { Mac, Vsid } from "../wire/bytes.js";

/** `-Rule` of New-NetVirtualizationLookupRecord: IP Rewrite, NVGRE, none. */
export type TranslationRule = "TranslationMethodNat" | "TranslationMethodEncap" | "TranslationMethodNone";
/** `-Type` of New-NetVirtualizationLookupRecord (Windows Server 2012 R2). */
export type RecordType = "Static" | "Dynamic" | "GatewayWildcard" | "L2Only";

/** One row of Get-NetVirtualizationLookupRecord: (VSID, CA) is a VM with this MAC on the host with this PA. */
export interface LookupRecord {
  readonly customerAddress: Address;
  readonly virtualSubnetID: Vsid;
  readonly macAddress: Mac;
  readonly providerAddress: Address;
  readonly rule: TranslationRule;
  readonly type: RecordType;
  readonly useVmMACAddress: boolean;
  readonly customerID: string | null;
  readonly context: string | null;
  readonly vmName: string | null;
}

/** Get-NetVirtualizationCustomerRoute. */
export interface CustomerRoute {
  /** GUID in braces, upper case. */
  readonly routingDomainID: string;
  readonly virtualSubnetID: Vsid;
  readonly destinationPrefix: Prefix;
  /** Unspecified: on-link. */
  readonly nextHop: Address;
  readonly metric: number;
}

/** Get-NetVirtualizationProviderAddress. */
export interface ProviderAddress {
  readonly providerAddress: Address;
  readonly interfaceIndex: number;
  readonly prefixLength: number;
  /** 0: untagged. */
  readonly vlanID: number;
  /** The PA's own MAC, by default its NIC's. */
  readonly macAddress: Mac;
  readonly addressState: "Invalid" | "Tentative" | "Duplicate" | "Deprecated" | "Preferred";
}

/** Get-NetVirtualizationProviderRoute. */
export interface ProviderRoute {
  readonly interfaceIndex: number;
  readonly destinationPrefix: Prefix;
  /** Unspecified: on-link. */
  readonly nextHop: Address;
  readonly metric: number;
}

/** What ARP or ND would find in the provider network. */
export interface Neighbor {
  readonly address: Address;
  readonly mac: Mac;
}

/** Switches of a host that the NVE obeys; the lab's `settings:`. */
export interface NveSettings {
  readonly mode: "2012" | "2012R2";
  readonly flowId: "hash" | "zero";
  readonly ecn: EcnMode;
  readonly dscp: DscpMode;
  /** Accept GRE with checksum or sequence number on receipt. */
  readonly receive: "strict" | "lenient";
  /** Carry broadcast and multicast to other hosts in every virtual subnet, or only where a record is L2Only. */
  readonly flood: "always" | "l2only";
  /** Tell a host that sent us what we cannot deliver: REDIRECT and UNREACHABLE. In mode 2012 never. */
  readonly sendControlMessages: boolean;
  /** Obey REDIRECT. In mode 2012 never. */
  readonly acceptRedirect: boolean;
  /** Believe what routers of the provider network tell about the MTU of a path. */
  readonly learnPathMtu: boolean;
  /** wire: ask for provider neighbors, and answer for our provider addresses, by ARP and ND. static: all is known. */
  readonly resolve: "static" | "wire";
  /** With `resolve: wire`, find out whether a provider address is free before using it. */
  readonly duplicateAddressDetection: boolean;
  /** Cut IPv4 packets without DF that do not fit, before they are encapsulated; otherwise they are dropped. */
  readonly innerFragmentation: boolean;
  /** Lower the segment size that SYN packets announce to what the way holds. */
  readonly mssClamp: boolean;
  /** Cut NVGRE packets that do not fit after encapsulation, which RFC 7637 §4.4 forbids. */
  readonly outerFragmentation: boolean;
  /** Put outer fragments together, which RFC 7637 §4.4 leaves to the receiver. */
  readonly reassembly: boolean;
  /** Learn the addresses of VMs with an L2Only record also from the source of what they send. */
  readonly learnFromTraffic: boolean;
  /** Learn those of other hosts' VMs from the ARP and neighbor discovery that they flood. */
  readonly learnFromFloods: boolean;
  /** Most addresses that the host holds learnt. */
  readonly learnedAddressLimit: number;
  /** -UseExternalRouter of Set-NetVirtualizationGlobal: what leaves its virtual subnet is left to a router outside of the host. */
  readonly useExternalRouter: boolean;
}

/** Index of a record within its table; valid for that table object only. */
declare const brand: unique symbol;
export type RecordIndex = number & { readonly [brand]: "RecordIndex" };

/** Lookup records, made for a million of them; see `lookup-records.ts`. */
export interface LookupRecordTable {
  readonly size: number;
  /** The Static or Dynamic record of (VSID, CA); undefined if there is none. */
  find(vsid: Vsid, customerAddress: Address): LookupRecord | undefined;
  /** The records of a MAC within a virtual subnet, of any type; L2Only and GatewayWildcard records are found this way. */
  findByMac(vsid: Vsid, mac: Mac): readonly LookupRecord[];
  /** All GatewayWildcard records of a virtual subnet. */
  wildcards(vsid: Vsid): readonly LookupRecord[];
  /** The Static or Dynamic record with the rule TranslationMethodNat that has this provider address; there is one at most. */
  findNat(providerAddress: Address): LookupRecord | undefined;
  /** Has any record this provider address? */
  hasProviderAddress(address: Address): boolean;
  /** The distinct multicast provider addresses of all records. */
  providerGroups(): readonly Address[];
  /** The distinct provider addresses of a virtual subnet's records whose rule is TranslationMethodEncap, in no particular order. */
  providerAddressesOf(vsid: Vsid): readonly Address[];
  /** Has the virtual subnet any L2Only record whose rule is TranslationMethodEncap? */
  hasL2Only(vsid: Vsid): boolean;
  /** All records, in no particular order; for dumps, checks and explanations. */
  [Symbol.iterator](): IterableIterator<LookupRecord>;
  /** Records whose CA equals, in any virtual subnet; for explanations only, may walk the table. */
  findAnywhere(customerAddress: Address): readonly LookupRecord[];
}

/** The routing domain that a virtual subnet belongs to. */
export interface RoutingDomain {
  readonly id: string;
  /** Ascending. */
  readonly vsids: readonly Vsid[];
  readonly routes: readonly CustomerRoute[];
}

export interface CustomerRouteTable {
  /** The customer routes bind VSIDs to routing domains; a VSID without any route has none. */
  routingDomainOf(vsid: Vsid): RoutingDomain | undefined;
  /**
   * Longest prefix, then lowest metric, then the route of `preferred`, then the lowest VSID, then the first inserted
   * (the tie rules beyond the metric are ours).
   */
  lookup(domain: RoutingDomain, destination: Address, preferred: Vsid): CustomerRoute | undefined;
  /** On-link prefixes of a virtual subnet, at most one per family. */
  onLinkPrefixes(vsid: Vsid): readonly Prefix[];
  /** The virtual subnet of the domain whose gateway address this is. */
  gatewayOwner(domain: RoutingDomain, address: Address): Vsid | undefined;
  readonly all: readonly CustomerRoute[];
}

export interface ProviderAddressTable {
  find(address: Address): ProviderAddress | undefined;
  readonly all: readonly ProviderAddress[];
}

export interface ProviderRouteTable {
  /**
   * Longest prefix, then lowest metric, among the interface's routes and the on-link prefixes of its provider addresses.
   * Returns the next hop's address: the destination itself when on-link; undefined without a route.
   */
  nextHop(interfaceIndex: number, destination: Address): Address | undefined;
  readonly all: readonly ProviderRoute[];
}

export interface NeighborTable {
  find(address: Address): Mac | undefined;
  readonly all: readonly Neighbor[];
}

/** What routers have told about the path to a provider address. */
export interface PathMtu {
  readonly destination: Address;
  /** IP MTU of the whole path. */
  readonly mtu: number;
  /** When it is forgotten, in the time of the packets. */
  readonly expiresMs: number;
}

export interface PathMtuTable {
  /** Is there no room for what would be learnt about further destinations? */
  readonly isFull: boolean;
  find(destination: Address): number | undefined;
  readonly all: readonly PathMtu[];
}

/** Everything the NVE of one host decides by. */
export interface HostPolicy {
  readonly generation: number;
  readonly node: NodeIndex;
  readonly settings: NveSettings;
  readonly lookupRecords: LookupRecordTable;
  readonly customerRoutes: CustomerRouteTable;
  readonly providerAddresses: ProviderAddressTable;
  readonly providerRoutes: ProviderRouteTable;
  readonly neighbors: NeighborTable;
  readonly pathMtus: PathMtuTable;
  /** Gateway MAC of a virtual subnet: that of the record for its gateway address of this family, else 02-00-5E-00-01-01. */
  gatewayMac(vsid: Vsid, family: AddressFamily): Mac;
  /** Do the subnet's gateway records or the default make this MAC the distributed router's, in this virtual subnet? */
  isGatewayMac(vsid: Vsid, mac: Mac): boolean;
  /** IP MTU of the interface that a provider address lies on. */
  interfaceMtu(interfaceIndex: number): number;
}
