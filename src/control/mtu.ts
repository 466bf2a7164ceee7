/**
 * MTU arithmetic: what NVGRE leaves of a provider path for guests, and the MTU of the path between two ports of a lab.
 *
 *     provider path's IP MTU   |<------------------------------ P ------------------------------>|
 *     wire frame   | Ethernet  | outer IP 20/40 | GRE 8 | inner Ethernet 14 |     inner IP       |
 *     inner frame                                       |<--------- P - 28 / P - 48 ------------>|
 *     inner MTU                                                             |<- P - 42 / P - 62 ->|
 *
 * An outer VLAN tag lengthens the frame and changes none of these, since MTUs do not count the Ethernet header; the inner IP
 * version plays no part either, but for the MSS. An NVE does not fragment what it encapsulated (RFC 7637 §4.4), so P decides.
 */
import type { LookupRecord } from "../dataplane/policy/index.js";
import {
  type Address,
  type AddressFamily,
  formatAddress,
  formatPrefix,
  IPV6_MTU_MIN,
  prefixContains,
  sameAddress,
} from "../dataplane/wire/index.js";
import type { AdapterSettings, HostSettings, LabSettings } from "../vswitch/index.js";

const ETHERNET_LENGTH = 14;
const VLAN_TAG_LENGTH = 4;
const FCS_LENGTH = 4;
/** GRE with a key (RFC 2890 §2). */
const NVGRE_LENGTH = 8;
const IP_LENGTH: Readonly<Record<AddressFamily, number>> = { 4: 20, 6: 40 };
const TCP_LENGTH = 20;
/** What guests send unless they are told otherwise. */
export const GUEST_MTU = 1500;

/** Bytes that NVGRE adds within the provider's IP MTU: 42 over IPv4, 62 over IPv6. */
export const tunnelOverhead = (outer: AddressFamily): number => IP_LENGTH[outer] + NVGRE_LENGTH + ETHERNET_LENGTH;

/** The provider IP MTU that carries a guest's packet of this length. */
export const providerMtuFor = (innerIpMtu: number, outer: AddressFamily): number => innerIpMtu + tunnelOverhead(outer);

/** All lengths in bytes. */
export interface MtuTable {
  readonly pathMtu: number;
  readonly outerFamily: AddressFamily;
  /** Longest inner Ethernet frame, without FCS. */
  readonly innerFrame: number;
  /** Longest inner IP packet: the MTU that guests should have. */
  readonly innerIpMtu: number;
  /** TCP without options; null where no such packets can travel: IPv6 needs an MTU of 1280 (RFC 8200 §5). */
  readonly mssIpv4: number | null;
  readonly mssIpv6: number | null;
  /** Longest frame on the wire, without FCS. */
  readonly wireFrame: number;
  readonly wireFrameTagged: number;
  readonly wireFrameWithFcs: number;
  readonly wireFrameTaggedWithFcs: number;
  /** What guests send, the path MTU that would carry it, and by how much this one falls short of that. */
  readonly guestMtu: number;
  readonly pathMtuForGuests: number;
  readonly missingForGuests: number;
}

export function mtuTable(pathMtu: number, outerFamily: AddressFamily, guestMtu = GUEST_MTU): MtuTable {
  const innerIpMtu = pathMtu - tunnelOverhead(outerFamily);
  const wireFrame = pathMtu + ETHERNET_LENGTH;
  const pathMtuForGuests = providerMtuFor(guestMtu, outerFamily);
  return {
    pathMtu,
    outerFamily,
    innerFrame: innerIpMtu + ETHERNET_LENGTH,
    innerIpMtu,
    mssIpv4: innerIpMtu > IP_LENGTH[4] + TCP_LENGTH ? innerIpMtu - IP_LENGTH[4] - TCP_LENGTH : null,
    mssIpv6: innerIpMtu >= IPV6_MTU_MIN ? innerIpMtu - IP_LENGTH[6] - TCP_LENGTH : null,
    wireFrame,
    wireFrameTagged: wireFrame + VLAN_TAG_LENGTH,
    wireFrameWithFcs: wireFrame + FCS_LENGTH,
    wireFrameTaggedWithFcs: wireFrame + VLAN_TAG_LENGTH + FCS_LENGTH,
    guestMtu,
    pathMtuForGuests,
    missingForGuests: Math.max(0, pathMtuForGuests - pathMtu),
  };
}

/** Something on the way with an MTU of its own. */
export interface PathHop {
  /** `host1/nic1`, or `provider 192.168.4.0/24 vlan 103`. */
  readonly where: string;
  readonly mtu: number;
}

/** The way between two provider addresses. */
export interface ProviderPath {
  readonly mtu: number;
  readonly outerFamily: AddressFamily;
  readonly tagged: boolean;
  readonly source: Address;
  readonly destination: Address;
  /** IP MTU of the sending VM's adapter, as it is or was made at boot. */
  readonly guestMtu: number;
  readonly hops: readonly PathHop[];
}

export type PathMtu =
  | ({ readonly kind: "provider" } & ProviderPath)
  /** IP Rewrite (TranslationMethodNat): nothing is added, so guests may use all of it. */
  | ({ readonly kind: "rewritten" } & ProviderPath)
  /** Both ports are on one host: nothing is encapsulated. */
  | { readonly kind: "local" }
  | { readonly kind: "none"; readonly code: PathMtuRefusal; readonly message: string };

export type PathMtuRefusal =
  | "UNKNOWN_PORT"
  | "NOT_VIRTUALIZED"
  | "OTHER_ROUTING_DOMAIN"
  | "NO_RECORD"
  | "NO_PA"
  | "PA_FAMILY"
  | "PA_NOT_IN_LAB";

const refuse = (code: PathMtuRefusal, message: string): PathMtu => ({ kind: "none", code, message });

/**
 * The provider path from one VM port to another, both named `host/port`. Where the target's records name several provider
 * addresses, the path that leaves the guest least.
 */
export function pathMtu(lab: LabSettings, fromPort: string, toPort: string): PathMtu {
  const from = findAdapter(lab, fromPort);
  const to = findAdapter(lab, toPort);
  if (from === undefined) return refuse("UNKNOWN_PORT", `no VM port is called ${fromPort}`);
  if (to === undefined) return refuse("UNKNOWN_PORT", `no VM port is called ${toPort}`);
  for (const end of [from, to]) {
    if (end.adapter.vsid === 0)
      return refuse("NOT_VIRTUALIZED", `${end.host.name}/${end.adapter.portName} has no VSID`);
  }
  if (!isSameDomain(from.host, from.adapter, to.adapter)) {
    return refuse("OTHER_ROUTING_DOMAIN", `${fromPort} and ${toPort} are in different routing domains`);
  }
  if (from.host === to.host) return { kind: "local" };

  const records = from.host.lookupRecords.findByMac(to.adapter.vsid, to.adapter.mac);
  if (records.length === 0) return refuse("NO_RECORD", `${from.host.name} has no lookup record of ${toPort}`);
  const paths = records.map((record) => providerPath(lab, from.host, from.adapter, record));
  return paths.reduce((worst, path) => (innerMtu(path) < innerMtu(worst) ? path : worst));
}

function innerMtu(path: PathMtu): number {
  if (path.kind === "rewritten") return path.mtu;
  return path.kind === "provider" ? path.mtu - tunnelOverhead(path.outerFamily) : -Infinity;
}

interface PortEnd {
  readonly host: HostSettings;
  readonly adapter: AdapterSettings;
}

function findAdapter(lab: LabSettings, port: string): PortEnd | undefined {
  for (const host of lab.hosts) {
    for (const adapter of host.adapters) if (`${host.name}/${adapter.portName}` === port) return { host, adapter };
  }
  return undefined;
}

function isSameDomain(host: HostSettings, a: AdapterSettings, b: AdapterSettings): boolean {
  if (a.vsid === b.vsid) return true;
  const domainOf = (adapter: AdapterSettings): string | undefined =>
    host.customerRoutes.find((route) => route.virtualSubnetID === adapter.vsid)?.routingDomainID;
  return domainOf(a) !== undefined && domainOf(a) === domainOf(b);
}

function providerPath(lab: LabSettings, host: HostSettings, adapter: AdapterSettings, record: LookupRecord): PathMtu {
  const { providerAddress: destination, rule } = record;
  const source = sourceAddress(host, adapter, destination.family, rule);
  if (typeof source === "string")
    return refuse(source, `${host.name} has no provider address to reach ${formatAddress(destination)} from`);
  const owner = lab.hosts.find((candidate) =>
    candidate.providerAddresses.some((pa) => sameAddress(pa.address, destination)),
  );
  if (owner === undefined)
    return refuse("PA_NOT_IN_LAB", `no host of the lab has provider address ${formatAddress(destination)}`);
  const hops = [nicHop(host, source), ...subnetHops(lab, source, destination), nicHop(owner, destination)];
  return {
    kind: rule === "TranslationMethodNat" ? "rewritten" : "provider",
    mtu: Math.min(...hops.map((hop) => hop.mtu)),
    outerFamily: destination.family,
    tagged: host.providerAddresses.some((pa) => sameAddress(pa.address, source) && pa.vlan !== 0),
    source,
    destination,
    guestMtu: adapter.guest.mtu,
    hops,
  };
}

/** The PA in the VM's own record if the host has it; else the host's only PA of the family, unless it must be the VM's alone (IP Rewrite). */
function sourceAddress(
  host: HostSettings,
  adapter: AdapterSettings,
  family: AddressFamily,
  rule: LookupRecord["rule"],
): Address | "NO_PA" | "PA_FAMILY" {
  const owned = host.lookupRecords
    .findByMac(adapter.vsid, adapter.mac)
    .filter((record) => host.providerAddresses.some((pa) => sameAddress(pa.address, record.providerAddress)));
  if (rule === "TranslationMethodNat") {
    const rewritten = owned.filter((record) => record.rule === rule).map(({ providerAddress }) => providerAddress);
    return rewritten.find((address) => address.family === family) ?? (rewritten.length > 0 ? "PA_FAMILY" : "NO_PA");
  }
  const own = owned.find(({ providerAddress }) => providerAddress.family === family) ?? owned[0];
  if (own !== undefined) return own.providerAddress.family === family ? own.providerAddress : "PA_FAMILY";
  const candidates = host.providerAddresses.filter((pa) => pa.address.family === family);
  return candidates.length === 1 ? candidates[0]!.address : "NO_PA";
}

function nicHop(host: HostSettings, address: Address): PathHop {
  const pa = host.providerAddresses.find((candidate) => sameAddress(candidate.address, address))!;
  const nic = host.nics[pa.interfaceIndex - 1]!;
  return { where: `${host.name}/${nic.name}`, mtu: nic.mtu };
}

function subnetHops(lab: LabSettings, source: Address, destination: Address): readonly PathHop[] {
  const subnets = lab.provider?.subnets ?? [];
  const passed = subnets.filter(
    (subnet) => prefixContains(subnet.prefix, source) || prefixContains(subnet.prefix, destination),
  );
  return passed.map(({ prefix, vlan, mtu }) => ({
    where: `provider ${formatPrefix(prefix)}${vlan === 0 ? "" : ` vlan ${vlan}`}`,
    mtu,
  }));
}
