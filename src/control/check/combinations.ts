/** Records that are fine one by one and contradict each other: types, gateways and rules that do not go together. */
import { formatAddress, formatMac, isUnspecified, type Mac, type Vsid } from "../../dataplane/wire/index.js";
import type { AdapterSettings, HostSettings } from "../../vswitch/index.js";
import type { Findings } from "./findings.js";
import { type HostView, isGatewayAddress, type LabView } from "./places.js";

export function checkCombinations(view: LabView, findings: Findings): void {
  const seen = new Set<HostSettings["lookupRecords"]>();
  const seenRoutes = new Set<string>();
  for (const host of view.hosts) {
    checkGatewaySubnets(view, host, seenRoutes, findings);
    if (seen.has(host.host.lookupRecords)) continue;
    seen.add(host.host.lookupRecords);
    checkTypes(view, host, findings);
    checkNat(view, host, findings);
  }
  checkPlainPorts(view, findings);
}

/** A VM whose address is on record needs no flooding; an L2Only record makes its whole virtual subnet flood. */
function checkTypes(view: LabView, host: HostView, findings: Findings): void {
  const table = host.host.lookupRecords;
  for (const record of table) {
    if (record.type !== "L2Only") continue;
    const fixed = table
      .findByMac(record.virtualSubnetID, record.macAddress)
      .find(({ type, customerAddress: ca }) => type === "Static" && ca.family === record.customerAddress.family);
    if (!fixed) continue;
    const message = `${formatMac(record.macAddress)} has an L2Only record in VSID ${record.virtualSubnetID}, and a Static one for ${formatAddress(fixed.customerAddress)}`;
    const cure = "remove the L2Only record, unless the VM has further addresses that are to be learnt";
    findings.add("warning", "L2ONLY_BESIDE_STATIC", view.recordPath(host, record), message, cure);
  }
}

/** IP Rewrite puts the provider address in the place of the customer address: it must fit there, and stand for nothing else. */
function checkNat(view: LabView, host: HostView, findings: Findings): void {
  const table = host.host.lookupRecords;
  for (const record of table) {
    const { customerAddress: ca, providerAddress: pa } = record;
    if (isGatewayAddress(host, record.virtualSubnetID, ca)) continue; // nothing is sent there
    if (record.rule === "TranslationMethodEncap") {
      const holder = table.findNat(pa);
      if (!holder) continue;
      const message = `${formatAddress(pa)} stands for ${formatAddress(holder.customerAddress)} of VSID ${holder.virtualSubnetID} (TranslationMethodNat), so nothing encapsulated is taken there`;
      const cure = "give the rewritten customer address a provider address of its own";
      findings.add("error", "NAT_BESIDE_ENCAP", [...view.recordPath(host, record), "providerAddress"], message, cure);
    } else if (record.rule === "TranslationMethodNat" && isUnspecified(ca)) {
      const message = `the ${record.type} record of ${formatMac(record.macAddress)} is never used: IP Rewrite needs a customer address`;
      findings.add(
        "warning",
        "NAT_WITHOUT_ADDRESS",
        view.recordPath(host, record),
        message,
        "use TranslationMethodEncap",
      );
    } else if (record.rule === "TranslationMethodNat" && ca.family !== pa.family) {
      const message = `${formatAddress(pa)} cannot stand for ${formatAddress(ca)} of the other family (TranslationMethodNat)`;
      const cure = `name an IPv${ca.family} provider address, or use TranslationMethodEncap`;
      findings.add("error", "NAT_FAMILY", [...view.recordPath(host, record), "providerAddress"], message, cure);
    }
  }
}

/** Windows Server 2012 R2 wants a gateway in a virtual subnet of its own; 2012 does not mind. */
function checkGatewaySubnets(view: LabView, host: HostView, seen: Set<string>, findings: Findings): void {
  if (host.host.nve.mode === "2012") return;
  const { lookupRecords, customerRoutes } = host.host;
  const neighbors = vmsBySubnet(host);
  for (const [index, route] of customerRoutes.entries()) {
    if (isUnspecified(route.nextHop) || route.destinationPrefix.length !== 0) continue;
    const gateway = lookupRecords.find(route.virtualSubnetID, route.nextHop);
    const other = [...(neighbors.get(route.virtualSubnetID) ?? [])].find((mac) => mac !== gateway?.macAddress);
    const path = view.routePath(host, index);
    if (!gateway || other === undefined || seen.has(path.join("."))) continue;
    seen.add(path.join("."));
    const message = `the gateway ${formatAddress(route.nextHop)} shares VSID ${route.virtualSubnetID} with VMs, such as ${formatMac(other)}`;
    const cure = "Windows Server 2012 R2 needs a virtual subnet of its own for a gateway";
    findings.add("warning", "GATEWAY_AMONG_VMS", [...path, "nextHop"], message, cure);
  }
}

/** MACs with Static records by VSID, those of the distributed router left out; made once a table is asked for. */
function vmsBySubnet(host: HostView): ReadonlyMap<Vsid, ReadonlySet<Mac>> {
  const macs = new Map<Vsid, Set<Mac>>();
  if (!host.host.customerRoutes.some(({ nextHop }) => !isUnspecified(nextHop))) return macs;
  for (const { type, virtualSubnetID: vsid, customerAddress, macAddress } of host.host.lookupRecords) {
    if (type !== "Static" || isGatewayAddress(host, vsid, customerAddress)) continue;
    macs.set(vsid, (macs.get(vsid) ?? new Set()).add(macAddress));
  }
  return macs;
}

const isPlain = ({ vsid, isolation }: AdapterSettings): boolean => vsid === 0 && isolation === null;

/** A port without a VSID bypasses network virtualization, whatever is on record about its MAC. */
function checkPlainPorts(view: LabView, findings: Findings): void {
  for (const host of view.hosts) {
    const plain = new Map(host.host.adapters.filter(isPlain).map((adapter) => [adapter.mac, adapter]));
    if (plain.size === 0) continue;
    const virtualized = new Set(host.host.adapters.filter(({ vsid }) => vsid !== 0).map(({ mac }) => mac));
    for (const record of host.host.lookupRecords) {
      const adapter = plain.get(record.macAddress);
      if (!adapter || virtualized.has(record.macAddress) || view.ownerOf(record.providerAddress) !== host) continue;
      const message = `${host.host.name}/${adapter.portName} has VSID 0 and bypasses network virtualization, but VSID ${record.virtualSubnetID} has a record of its MAC`;
      const cure = `Set-VMNetworkAdapter -VMName ${adapter.vmName} -VirtualSubnetId ${record.virtualSubnetID}`;
      findings.add("error", "PORT_NOT_VIRTUALIZED", view.recordPath(host, record), message, cure);
    }
  }
}
