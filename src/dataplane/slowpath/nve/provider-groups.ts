/**
 * Provider multicast: the groups of the provider network that carry the broadcast and multicast of virtual subnets (RFC 7637 §4.2), as lookup
 * records with a multicast provider address say.
 *
 *   sending     the record of the group's CA; else that of 255.255.255.255, or ff02::1, which stands for all groups of the subnet: one
 *               copy to the group, in place of one for each host
 *   receiving   a host is in the groups that its own records name
 *
 * Several virtual subnets may share a group: the receiver goes by the VSID as always. Memberships are not announced (IGMP, MLD); a
 * provider network that prunes its groups has to be told.
 */
import type { HostPolicy, LookupRecord, ProviderAddress } from "../../policy/policy.js";
import { ANY_STAMP } from "../../policy/stamps.js";
import { type Address, ipv4Address, isMulticast } from "../../wire/address.js";
import { parseAddress } from "../../wire/address-text.js";
import type { Vsid } from "../../wire/bytes.js";
import { groupMacOf } from "../../wire/mac.js";
import { vidOf } from "../../wire/vlan.js";
import type { LayerContext, PacketView } from "../layer.js";
import type { LocalPorts } from "./local-ports.js";
import { findRecord } from "./records.js";

const ALL_IPV4 = ipv4Address(0xffff_ffff);
const ALL_IPV6 = parseAddress("ff02::1")!;

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
 * The provider address that takes a packet for a provider group: one of the NIC and the VLAN where it arrived, if the host is in the
 * group.
 */
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
  return policy.providerAddresses.all.find(
    ({ providerAddress, interfaceIndex, vlanID }) =>
      providerAddress.family === group.family && ports.nicPort(interfaceIndex) === ingress && vlanID === vlan,
  );
}
