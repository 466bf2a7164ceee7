/** A lesson: what a packet teaches about the address of a VM, and what the policy has against it. */
import type { HostPolicy, LookupRecord } from "../../policy/policy.js";
import type { PortIndex } from "../../transposition/transposition.js";
import { type Address, directedBroadcastOf, isUnicast, prefixContains, sameAddress } from "../../wire/address.js";
import type { Mac, Vsid } from "../../wire/bytes.js";
import { isGatewayAddress } from "./gateway.js";

/** The VM with this MAC has this address. */
export interface Lesson {
  readonly vsid: Vsid;
  readonly address: Address;
  readonly mac: Mac;
  /** The VM's adapter on this host; null if it lives at another one. */
  readonly port: PortIndex | null;
  /** Where its host is: a provider address of this host, or the one that the flooded message came from. */
  readonly providerAddress: Address;
  /** A lease is somebody else's word, and a source address is no word at all: neither can take an address from a VM that has it. */
  readonly by: "claim" | "lease" | "traffic" | "flood";
}

/** Why a lesson is not taken: the address belongs to another VM for certain, or no VM of this virtual subnet can have it. */
export type Refusal = "static" | "foreign";

/** Why the policy forbids to learn this; undefined if it does not. */
export function refusalOf(policy: HostPolicy, { vsid, address, mac }: Lesson): Refusal | undefined {
  if (!canBeVms(policy, vsid, address)) return "foreign";
  const record = policy.lookupRecords.find(vsid, address);
  return record?.type === "Static" && record.macAddress !== mac ? "static" : undefined;
}

/** A unicast address of the virtual subnet's own prefix, if it has one of the family, but neither the router's nor the broadcast address. */
function canBeVms(policy: HostPolicy, vsid: Vsid, address: Address): boolean {
  if (!isUnicast(address) || isGatewayAddress(policy, vsid, address)) return false;
  const prefix = policy.customerRoutes.onLinkPrefixes(vsid).find((each) => each.address.family === address.family);
  if (!prefix) return true;
  const broadcast = directedBroadcastOf(prefix);
  const isBroadcast = broadcast !== undefined && sameAddress(broadcast, address);
  return prefixContains(prefix, address) && !isBroadcast;
}

/**
 * The L2Only record that lets this VM teach addresses of a family: the family's own, else the other's. With IP Rewrite every address needs a
 * provider address of its own, which nobody can learn.
 */
export function teachingRecord(
  { lookupRecords }: HostPolicy,
  vsid: Vsid,
  mac: Mac,
  family: 4 | 6,
): LookupRecord | undefined {
  const records = lookupRecords
    .findByMac(vsid, mac)
    .filter(({ type, rule }) => type === "L2Only" && rule === "TranslationMethodEncap");
  return records.find(({ customerAddress }) => customerAddress.family === family) ?? records[0];
}
