/**
 * Do the hosts of a lab agree about where VMs live? If they do, nothing that the lab's own VMs send ever earns a REDIRECT or UNREACHABLE.
 *
 * It is enough that all hosts go by the same records and routes, and that these tell the truth about the adapters. Where one of the
 * conditions does not hold there need not be a message, but may be one.
 */
import { type Address, formatAddress, type Mac, type Vsid } from "../dataplane/wire/index.js";
import type { HostSettings, LabSettings } from "./settings.js";

/** What they may not agree about, in words that go on after "because"; undefined if there is nothing. May look at every record. */
export function disagreement({ hosts, provider }: LabSettings): string | undefined {
  const [first, ...others] = hosts;
  if (!first || provider === null || others.length === 0) return undefined; // no host hears of another
  const different = others.find(
    ({ lookupRecords, customerRoutes }) =>
      lookupRecords !== first.lookupRecords || customerRoutes !== first.customerRoutes,
  );
  if (different) return `${first.name} and ${different.name} have different records or routes`;
  const families = new Set(hosts.flatMap((host) => host.providerAddresses.map(({ address }) => address.family)));
  if (families.size > 1) return "packets may leave from an address of another family than their sender's record has";
  return hosts.map(misplacedAdapter).find((text) => text !== undefined) ?? misplacedRecord(hosts, first);
}

/** An adapter of the host that may send in the name of others, or that a record places elsewhere. */
function misplacedAdapter({ name, adapters, providerAddresses, lookupRecords }: HostSettings): string | undefined {
  const own = new Set(providerAddresses.map(({ address }) => formatAddress(address)));
  for (const { portName, mac, vsid, macAddressSpoofing } of adapters) {
    if (vsid === 0) continue;
    if (macAddressSpoofing) return `${name}/${portName} may send in other names`;
    const isElsewhere = lookupRecords
      .findByMac(vsid, mac)
      .some((record) => !own.has(formatAddress(record.providerAddress)));
    if (isElsewhere) return `${name}/${portName} is on record at another host`;
  }
  return undefined;
}

/** A record for an adapter that is not where the record says, or whose VM may have any address. */
function misplacedRecord(hosts: readonly HostSettings[], { lookupRecords }: HostSettings): string | undefined {
  const homes = new Map<string, string>();
  const places = new Set<string>();
  const place = (vsid: Vsid, mac: Mac, pa: Address): string => `${vsid} ${mac} ${formatAddress(pa)}`;
  for (const { name, adapters, providerAddresses } of hosts) {
    for (const { address } of providerAddresses) {
      homes.set(formatAddress(address), name);
      for (const { vsid, mac } of adapters) places.add(place(vsid, mac, address));
    }
  }
  for (const { virtualSubnetID, macAddress, providerAddress, type } of lookupRecords) {
    if (type === "L2Only") return "a VM with an L2Only record may send from addresses that no record has";
    const home = homes.get(formatAddress(providerAddress));
    if (home !== undefined && !places.has(place(virtualSubnetID, macAddress, providerAddress)))
      return `${home} lacks an adapter that is on record there`;
  }
  return undefined;
}
