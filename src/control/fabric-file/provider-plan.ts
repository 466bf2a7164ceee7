/**
 * The provider network of a lab: its subnets, as written or as the provider addresses imply them, and each host's
 * provider addresses with all defaults filled in.
 */
import { DEFAULT_MTU } from "../../dataplane/policy/index.js";
import {
  type Address,
  isUnspecified,
  type Mac,
  maskAddress,
  type Prefix,
  prefixContains,
  sameAddress,
} from "../../dataplane/wire/index.js";
import type { ProviderAddressSettings, ProviderSettings, ProviderSubnetSettings } from "../../vswitch/index.js";
import { readAddress, readMac, readPrefix } from "./scalars.js";
import type { FabricFile, HostDocument } from "./schema.js";

/** Locally administered, beside the default gateway MAC of virtual subnets. */
export const DEFAULT_ROUTER_MAC = 0x0200_5e00_0201 as Mac;

export interface ProviderPlan {
  /** Written or implied; also there when the lab has no provider network, for defaults of MTU and prefix length. */
  readonly subnets: readonly ProviderSubnetSettings[];
  /** null when the NICs end outside of the lab. */
  readonly provider: ProviderSettings | null;
  /** In the order of the file's hosts. */
  readonly addresses: readonly (readonly ProviderAddressSettings[])[];
}

export function planProvider(file: FabricFile): ProviderPlan {
  const written = (file.provider?.subnets ?? []).map(subnetAsWritten);
  const addresses = file.hosts.map((host) => providerAddressesOf(file, host, written));
  const subnets = written.length > 0 ? written : impliedSubnets(file, addresses.flat());
  const isEmulated = file.provider !== undefined || file.hosts.length > 1;
  const routerMac = readMac(file.provider?.routerMac) ?? DEFAULT_ROUTER_MAC;
  return { subnets, provider: isEmulated ? { subnets, routerMac } : null, addresses };
}

function subnetAsWritten(
  subnet: NonNullable<NonNullable<FabricFile["provider"]>["subnets"]>[number],
): ProviderSubnetSettings {
  return {
    prefix: readPrefix(subnet.prefix)!,
    vlan: subnet.vlan ?? 0,
    mtu: subnet.mtu ?? DEFAULT_MTU,
    gateway: readAddress(subnet.gateway) ?? null,
  };
}

/** The host's PAs: those of the fabric level, a raw record of the same address in its place, then the other raw ones. */
function providerAddressesOf(
  file: FabricFile,
  host: HostDocument,
  subnets: readonly ProviderSubnetSettings[],
): readonly ProviderAddressSettings[] {
  const list = (host.providerAddresses ?? []).map((pa) => {
    const address = readAddress(pa.address)!;
    const interfaceIndex = interfaceIndexOf(host, pa.nic);
    return fill(address, pa.prefixLength, pa.vlan, readMac(pa.mac) ?? null, interfaceIndex, subnets);
  });
  for (const raw of file.providerAddresses ?? []) {
    if (raw.host !== undefined && raw.host !== host.name) continue;
    const address = readAddress(raw.providerAddress)!;
    const macAddress = readMac(raw.macAddress) ?? null;
    const filled = fill(address, raw.prefixLength, raw.vlanID, macAddress, raw.interfaceIndex ?? 1, subnets);
    const place = list.findIndex((pa) => sameAddress(pa.address, address));
    if (place < 0) list.push(filled);
    else list[place] = filled;
  }
  return list;
}

function fill(
  address: Address,
  prefixLength: number | undefined,
  vlan: number | undefined,
  mac: Mac | null,
  interfaceIndex: number,
  subnets: readonly ProviderSubnetSettings[],
): ProviderAddressSettings {
  const subnet = subnets.find((candidate) => prefixContains(candidate.prefix, address));
  return {
    address,
    prefixLength: prefixLength ?? subnet?.prefix.length ?? 0,
    vlan: vlan ?? subnet?.vlan ?? 0,
    mac,
    interfaceIndex,
  };
}

/** From 1; a team stands for its only member. */
function interfaceIndexOf(host: HostDocument, nic: string | undefined): number {
  const name = nic !== undefined && nic === host.team?.name ? host.team.members[0] : (nic ?? host.team?.members[0]);
  const index = (host.nics ?? []).findIndex((candidate) => candidate.name === name);
  return Math.max(index, 0) + 1;
}

/** One subnet per prefix of a PA; its router is the next hop that a provider route names in it. */
function impliedSubnets(
  file: FabricFile,
  addresses: readonly ProviderAddressSettings[],
): readonly ProviderSubnetSettings[] {
  const nextHops = (file.providerRoutes ?? []).map((route) => readAddress(route.nextHop)!);
  const subnets: ProviderSubnetSettings[] = [];
  for (const pa of addresses) {
    const prefix: Prefix = { address: maskAddress(pa.address, pa.prefixLength), length: pa.prefixLength };
    if (subnets.some((subnet) => prefixContains(subnet.prefix, pa.address))) continue;
    const isRouter = (hop: Address): boolean =>
      !isUnspecified(hop) && prefixContains(prefix, hop) && !addresses.some((other) => sameAddress(other.address, hop));
    subnets.push({ prefix, vlan: pa.vlan, mtu: DEFAULT_MTU, gateway: nextHops.find(isRouter) ?? null });
  }
  return subnets;
}
