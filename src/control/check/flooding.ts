/** Do broadcasts reach the other hosts of a virtual subnet? A copy goes to each provider address that its records name. */
import type { LookupRecord, LookupRecordTable } from "../../dataplane/policy/index.js";
import {
  formatAddress,
  isLinkLocal,
  isMulticast,
  isUnicast,
  sameAddress,
  type Vsid,
} from "../../dataplane/wire/index.js";
import { oncePer } from "../fabric-file/derive.js";
import type { Findings } from "./findings.js";
import { type HostView, isGatewayAddress, type LabView } from "./places.js";

export function checkFlooding(view: LabView, findings: Findings): void {
  checkGroups(view, findings);
  const dummiesOf = oncePer(recordsWithDummies);
  for (const host of view.hosts) {
    if (host.host.nve.mode === "2012") continue; // nothing is flooded between hosts anyway
    const { lookupRecords, adapters } = host.host;
    for (const vsid of new Set(adapters.map((adapter) => adapter.vsid))) {
      const isReached = lookupRecords.providerAddressesOf(vsid).some((pa) => isFloodedTo(host, pa));
      const record = isReached
        ? undefined
        : dummiesOf(lookupRecords)
            .get(vsid)
            ?.find(({ customerAddress }) => !isGatewayAddress(host, vsid, customerAddress));
      if (!record) continue;
      const message =
        `broadcasts of VSID ${vsid} on ${host.host.name} reach no other host: its records of VMs elsewhere name ` +
        `dummies only, such as ${formatAddress(record.providerAddress)} for ${formatAddress(record.customerAddress)}`;
      const cure = "name the provider address of the host that runs the VM";
      findings.add("warning", "FLOOD_TO_DUMMIES", view.recordPath(host, record), message, cure);
    }
  }
}

/** A copy to a provider group reaches the hosts that are in it: those whose own records name it. */
function checkGroups(view: LabView, findings: Findings): void {
  const seen = new Set<string>();
  for (const from of view.hosts) {
    for (const record of from.host.lookupRecords) {
      if (!isMulticast(record.providerAddress)) continue;
      const { virtualSubnetID: vsid, providerAddress: group } = record;
      const deaf = view.hosts.find(
        ({ host }) =>
          host !== from.host &&
          host.adapters.some((adapter) => adapter.vsid === vsid) &&
          !host.lookupRecords.hasProviderAddress(group),
      );
      const path = view.recordPath(from, record);
      if (!deaf || seen.has(path.join("."))) continue;
      seen.add(path.join("."));
      const message = `${deaf.host.name} has VMs in VSID ${vsid}, and is not in provider group ${formatAddress(group)}: no record of its own names it`;
      const cure = `give ${deaf.host.name} the same record`;
      findings.add("warning", "GROUP_NOT_JOINED", path, message, cure);
    }
  }
}

const isFloodedTo = ({ host }: HostView, pa: LookupRecord["providerAddress"]): boolean =>
  isUnicast(pa) && !isLinkLocal(pa) && !host.providerAddresses.some(({ address }) => sameAddress(address, pa));

/** By VSID: the records whose provider address is link-local, as those of gateway addresses often are; a few of them. */
function recordsWithDummies(table: LookupRecordTable): ReadonlyMap<Vsid, readonly LookupRecord[]> {
  const found = new Map<Vsid, LookupRecord[]>();
  for (const record of table) {
    if (!isLinkLocal(record.providerAddress) || record.rule !== "TranslationMethodEncap") continue;
    const list = found.get(record.virtualSubnetID) ?? [];
    found.set(record.virtualSubnetID, list);
    if (list.length < DUMMIES_MAX) list.push(record);
  }
  return found;
}

/** One more than a virtual subnet has gateway addresses. */
const DUMMIES_MAX = 3;
