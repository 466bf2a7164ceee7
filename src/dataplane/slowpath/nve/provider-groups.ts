/**
 * Provider multicast: the groups of the provider network that carry the broadcast and multicast of virtual subnets (RFC 7637 §4.2), as lookup
 * records with a multicast provider address say.
 *
 *   sending     the record of the group's CA; else that of 255.255.255.255, or ff02::1, which stands for all groups of the subnet: one
 *               copy to the group, in place of one for each host
 *   receiving   a host is in the groups that its own records name
 *   joining     those of virtual subnets of which it has VMs; on a wire it tells so (`memberships.ts`)
 *
 * Several virtual subnets may share a group: the receiver goes by the VSID as always.
 */
import type { HostPolicy, LookupRecord, ProviderAddress } from "../../policy/policy.js";
import { ANY_STAMP } from "../../policy/stamps.js";
import { type Address, ipv4Address, isMulticast, maskAddress, sameAddress } from "../../wire/address.js";
import { formatAddress, parseAddress } from "../../wire/address-text.js";
import type { Vsid } from "../../wire/bytes.js";
import { groupMacOf } from "../../wire/mac.js";
import { vidOf } from "../../wire/vlan.js";
import type { LayerContext, PacketView } from "../layer.js";
import type { LocalPorts } from "./local-ports.js";
import { findRecord } from "./records.js";

const ALL_IPV4 = ipv4Address(0xffff_ffff);
const ALL_IPV6 = parseAddress("ff02::1")!;
const ALL_HOSTS = 0xe000_0001;

/** The record of the provider group that carries this broadcast or multicast packet; undefined: every host gets a copy of its own. */
export function groupRecord(policy: HostPolicy, packet: PacketView, context: LayerContext): LookupRecord | undefined {
  if (policy.settings.mode === "2012") return undefined;
  const { vsid } = packet.plan;
  const { ip } = packet.parsed;
  const exact = ip && groupOf(policy, vsid, ip.destination, context);
  return exact ?? groupOf(policy, vsid, ip?.family === 6 ? ALL_IPV6 : ALL_IPV4, context);
}

function groupOf(policy: HostPolicy, vsid: Vsid, address: Address, context: LayerContext): LookupRecord | undefined {
  const record = findRecord(policy, vsid, address, context);
  return record?.rule === "TranslationMethodEncap" && isMulticast(record.providerAddress) ? record : undefined;
}

/**
 * The provider addresses that packets for groups come to: of each network, a VLAN and a subnet, the first that is in use. With two NICs in
 * the same network VMs would get everything twice.
 */
export function groupAddresses({ providerAddresses }: HostPolicy, ports: LocalPorts): readonly ProviderAddress[] {
  const networks = new Map<string, ProviderAddress>();
  for (const pa of providerAddresses.all) {
    const { addressState, interfaceIndex, vlanID, providerAddress, prefixLength } = pa;
    const isInUse = addressState === "Preferred" || addressState === "Deprecated";
    if (!isInUse || !ports.isUp(ports.nicPort(interfaceIndex))) continue;
    const network = `${vlanID} ${formatAddress(maskAddress(providerAddress, prefixLength))}/${prefixLength}`;
    if (!networks.has(network)) networks.set(network, pa);
  }
  return [...networks.values()];
}

/** The groups of virtual subnets that the host has VMs of, in the order of their text; those that no host has to join are left out. */
export function ownGroups({ lookupRecords, settings }: HostPolicy, ports: LocalPorts): readonly Address[] {
  if (settings.mode === "2012" || lookupRecords.providerGroups().length === 0) return [];
  const groups = new Map<string, Address>();
  for (const vsid of ports.vsids()) {
    for (const pa of lookupRecords.providerAddressesOf(vsid)) {
      if (isMulticast(pa) && !isOfAllHosts(pa)) groups.set(formatAddress(pa), pa);
    }
  }
  return [...groups.keys()].sort().map((name) => groups.get(name)!);
}

/** RFC 3376 §6: 224.0.0.1. RFC 3810 §6: ff02::1, and what does not leave an interface. */
const isOfAllHosts = (group: Address): boolean =>
  group.family === 4 ? group.w3 === ALL_HOSTS : sameAddress(group, ALL_IPV6) || ((group.w0 >>> 16) & 15) < 2;

/** The provider address that takes a packet for a provider group: that of the network where it arrived, if the host is in the group. */
export function memberAddress(
  policy: HostPolicy,
  ports: LocalPorts,
  packet: PacketView,
  context: LayerContext,
): ProviderAddress | undefined {
  const { parsed, ingress } = packet;
  const group = parsed.ip?.destination;
  if (!group || !isMulticast(group) || parsed.destination !== groupMacOf(group)) return undefined;
  context.consulted(ANY_STAMP); // any record may name the group
  if (!policy.lookupRecords.hasProviderAddress(group)) return undefined;
  const vlan = parsed.tag === null ? 0 : vidOf(parsed.tag);
  return groupAddresses(policy, ports).find(
    ({ providerAddress, interfaceIndex, vlanID }) =>
      providerAddress.family === group.family && ports.nicPort(interfaceIndex) === ingress && vlanID === vlan,
  );
}
