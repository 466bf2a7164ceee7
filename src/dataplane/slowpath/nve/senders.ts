/**
 * In whose name a VM may speak, where no record gives the address to its MAC: a VM whose addresses are not known in advance (L2Only) has
 * one that is nobody's, and a gateway (GatewayWildcard) speaks for the world outside of the virtual network. Neither is the distributed
 * router, a group, or another VM. Packets (`sourcePolicy` of outbound.ts) and what ARP and neighbor discovery say (address-resolution.ts)
 * are held to the same rule.
 */
import type { HostPolicy, LookupRecord } from "../../policy/policy.js";
import { routesStamp } from "../../policy/stamps.js";
import { type Address, isUnspecified, sameAddress } from "../../wire/address.js";
import type { Mac, Vsid } from "../../wire/bytes.js";
import type { Consultation } from "../layer.js";
import { isNextHop, selectNextHop } from "./next-hop.js";
import { gatewayOwner, isBroadcastOrMulticast } from "./packet-classes.js";
import { findByMac, findRecord } from "./records.js";

/** Why an address is not the sender's. */
export interface Taken {
  readonly why: string;
  /** Who has it, if that is a VM. */
  readonly holder: LookupRecord | undefined;
}

/**
 * What forbids a VM with this MAC to use `address`, where its records do not give it that; undefined if nothing does.
 *
 * A Static record holds an address for certain. One that was learnt may change hands, but not to a gateway, which speaks for addresses
 * from outside only.
 */
export function takenBy(
  policy: HostPolicy,
  vsid: Vsid,
  mac: Mac,
  address: Address,
  context: Consultation,
): Taken | undefined {
  context.consulted(routesStamp(context.node));
  if (isUnspecified(address) || isBroadcastOrMulticast(policy, vsid, address)) {
    return { why: "not the address of one station", holder: undefined };
  }
  if (gatewayOwner(policy, vsid, address) !== undefined) {
    return { why: "the distributed router's address", holder: undefined };
  }
  const holder = findRecord(policy, vsid, address, context) ?? recordInDomain(policy, vsid, mac, address, context);
  if (!holder || holder.macAddress === mac) return undefined;
  const isHeld = holder.type === "Static" || findByMac(policy, vsid, mac, context)?.type === "GatewayWildcard";
  return isHeld ? { why: "a record gives this address to another MAC", holder } : undefined;
}

/** The record by which the distributed router would deliver to the address, in whichever virtual subnet; none for what lies outside. */
function recordInDomain(
  policy: HostPolicy,
  vsid: Vsid,
  mac: Mac,
  address: Address,
  context: Consultation,
): LookupRecord | undefined {
  const found = selectNextHop(policy, vsid, address, mac, context);
  return isNextHop(found) && sameAddress(found.address, address) ? found.record : undefined;
}
