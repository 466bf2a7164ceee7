/** What an address is to the VMs of a virtual subnet, before any record is asked: a group's, or the distributed router's. */
import type { HostPolicy } from "../../policy/policy.js";
import { type Address, directedBroadcastOf, isLimitedBroadcast, isMulticast, sameAddress } from "../../wire/address.js";
import type { Vsid } from "../../wire/bytes.js";

export function isBroadcastOrMulticast(policy: HostPolicy, vsid: Vsid, address: Address): boolean {
  if (isMulticast(address) || isLimitedBroadcast(address)) return true;
  if (address.family === 6) return false;
  for (const prefix of policy.customerRoutes.onLinkPrefixes(vsid)) {
    const broadcast = directedBroadcastOf(prefix);
    if (broadcast && sameAddress(broadcast, address)) return true;
  }
  return false;
}

/** The virtual subnet that has this gateway address. Those of other virtual subnets are an external router's business, where there is one. */
export function gatewayOwner(policy: HostPolicy, vsid: Vsid, address: Address): Vsid | undefined {
  const domain = policy.customerRoutes.routingDomainOf(vsid);
  const owner = domain && policy.customerRoutes.gatewayOwner(domain, address);
  return owner === vsid || !policy.settings.useExternalRouter ? owner : undefined;
}
