/**
 * Questions to the lookup records that several layers ask, each together with the stamps that the answer rests on.
 */
import type { HostPolicy, LookupRecord, ProviderAddress } from "../../policy/policy.js";
import { ANY_STAMP, macRecordStamp, recordStamp } from "../../policy/stamps.js";
import type { Stamp } from "../../transposition/transposition.js";
import { type Address, isLinkLocal } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Mac, Vsid } from "../../wire/bytes.js";
import type { Consultation } from "../layer.js";

/** The Static or Dynamic record of (VSID, CA). */
export function findRecord(
  policy: HostPolicy,
  vsid: Vsid,
  address: Address,
  context: Consultation,
): LookupRecord | undefined {
  context.consulted(recordStamp(context.node, vsid, address));
  return policy.lookupRecords.find(vsid, address);
}

/** The records that are found by MAC: a VM whose CA is not known (L2Only), or a gateway for many (GatewayWildcard). */
export const isFoundByMac = (record: LookupRecord): boolean =>
  record.type === "L2Only" || record.type === "GatewayWildcard";

/**
 * A record is Unusable (Get-NetVirtualizationLookupRecord) if its provider address is one of this host's and not in use: that address;
 * undefined if it is not so. Rests on the host's provider side.
 */
export function unusableAddress(policy: HostPolicy, record: LookupRecord): ProviderAddress | undefined {
  const own = policy.providerAddresses.find(record.providerAddress);
  if (!own || record.rule === "TranslationMethodNone") return undefined;
  return own.addressState === "Preferred" || own.addressState === "Deprecated" ? undefined : own;
}

/** For people. */
export const unusableText = (record: LookupRecord, { providerAddress, addressState }: ProviderAddress): string =>
  `the record of ${formatAddress(record.customerAddress)} is Unusable: provider address ${formatAddress(providerAddress)} is ${addressState}`;

/** The GatewayWildcard or L2Only record of a MAC. */
export function findByMac(policy: HostPolicy, vsid: Vsid, mac: Mac, context: Consultation): LookupRecord | undefined {
  context.consulted(macRecordStamp(context.node, vsid));
  return policy.lookupRecords.findByMac(vsid, mac).find(isFoundByMac);
}

/** A record of a MAC of whatever type, those that are found by MAC first. */
export function findAnyByMac(
  policy: HostPolicy,
  vsid: Vsid,
  mac: Mac,
  accepts: (record: LookupRecord) => boolean,
  context: Consultation,
): LookupRecord | undefined {
  const candidates = policy.lookupRecords.findByMac(vsid, mac).filter(accepts);
  const found = candidates.find(isFoundByMac) ?? candidates[0];
  context.consulted(found ? stampOf(found, context) : ANY_STAMP); // any record that is added might be the one
  return found;
}

/**
 * The record that leads a packet to the VM with this MAC: that of its destination; or, where the packet is on its way through a gateway VM, one
 * of that VM's own addresses. For questions that are asked about single packets, so without stamps.
 */
export function recordOnTheWay(
  { lookupRecords }: HostPolicy,
  vsid: Vsid,
  destination: Address,
  mac: Mac,
): LookupRecord | undefined {
  const own = lookupRecords.find(vsid, destination);
  if (own) return own.macAddress === mac ? own : undefined;
  if (isLinkLocal(destination)) return undefined; // no gateway sends it on
  const isOfFamily = ({ customerAddress }: LookupRecord): boolean => customerAddress.family === destination.family;
  return lookupRecords.findByMac(vsid, mac).find((record) => !isFoundByMac(record) && isOfFamily(record));
}

/** A record of a VM's MAC that places it on this host: for packets whose source address names nobody. */
export const findOwn = (policy: HostPolicy, vsid: Vsid, mac: Mac, context: Consultation): LookupRecord | undefined =>
  findAnyByMac(policy, vsid, mac, (r) => policy.providerAddresses.find(r.providerAddress) !== undefined, context);

const stampOf = (record: LookupRecord, context: Consultation): Stamp =>
  isFoundByMac(record)
    ? macRecordStamp(context.node, record.virtualSubnetID)
    : recordStamp(context.node, record.virtualSubnetID, record.customerAddress);
