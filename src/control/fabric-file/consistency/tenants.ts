/**
 * Routing domains, virtual subnets and the VMs in them: VSIDs that exist and belong to one routing domain, prefixes that do not
 * overlap in it, and adapters whose addresses fit their subnet and are theirs alone.
 */
import {
  type Address,
  directedBroadcastOf,
  formatAddress,
  formatMac,
  formatPrefix,
  gatewayAddressOf,
  isGroupMac,
  isUnicast,
  type Prefix,
  prefixContains,
  sameAddress,
} from "../../../dataplane/wire/index.js";
import type { Path } from "../../problem.js";
import { each } from "../report.js";
import { PORT_VSID_MAX, readAddress, readGuid, readMac, readPrefix } from "../scalars.js";
import { addressKey, type Checking, type Claims } from "./context.js";
import { vsidsOf } from "./names.js";

/** Virtual subnets by VSID, with those of their prefixes that are well formed. */
export type Subnets = ReadonlyMap<number, readonly Prefix[]>;

export function checkTenants(checking: Checking): Subnets {
  const subnets = checkSubnets(checking);
  checkAdapters(checking, subnets);
  return subnets;
}

function checkSubnets({ file, report }: Checking): Subnets {
  const subnets = new Map<number, Prefix[]>();
  const vsids: Claims = new Map();
  const ids: Claims = new Map();
  for (const [domain, d] of each(file.routingDomains)) {
    const id = domain.id === undefined ? undefined : readGuid(domain.id);
    if (id !== undefined) {
      report.claim(ids, id, ["routingDomains", d, "id"], "DUPLICATE_ID", "another routing domain has this id");
    }
    const before: Prefix[] = [];
    for (const [subnet, s] of each(domain.subnets)) {
      const path = ["routingDomains", d, "subnets", s];
      if (subnet.vsid !== undefined) {
        const cure = "a VSID belongs to one virtual subnet of one routing domain";
        report.claim(
          vsids,
          String(subnet.vsid),
          [...path, "vsid"],
          "DUPLICATE_VSID",
          `VSID ${subnet.vsid} is already a subnet's`,
          cure,
        );
      }
      const own: Prefix[] = [];
      for (const [text, p] of each(subnet.prefixes)) {
        const prefix = readPrefix(text);
        if (prefix === undefined) continue;
        const at = [...path, "prefixes", p];
        checkSubnetPrefix({ file, report }, prefix, at, own, before);
        own.push(prefix);
      }
      before.push(...own);
      if (subnet.vsid !== undefined && !subnets.has(subnet.vsid)) subnets.set(subnet.vsid, own);
      checkUnicastMac({ file, report }, subnet.gatewayMac, [...path, "gatewayMac"]);
    }
  }
  return subnets;
}

function checkSubnetPrefix(
  { report }: Checking,
  prefix: Prefix,
  at: Path,
  own: readonly Prefix[],
  before: readonly Prefix[],
): void {
  if (own.some((other) => other.address.family === prefix.address.family)) {
    const message = `the subnet has a second IPv${prefix.address.family} prefix`;
    report.add(at, "SECOND_PREFIX", message, "a virtual subnet has one prefix per address family");
    return;
  }
  const other = before.find((candidate) => overlap(candidate, prefix));
  if (other !== undefined) {
    const message = `${formatPrefix(prefix)} overlaps ${formatPrefix(other)} of another subnet of this routing domain`;
    report.add(at, "PREFIX_OVERLAP", message, "prefixes of one routing domain must not overlap");
  }
}

export const overlap = (a: Prefix, b: Prefix): boolean =>
  a.length <= b.length ? prefixContains(a, b.address) : prefixContains(b, a.address);

export function checkUnicastMac({ report }: Checking, text: string | undefined, path: Path): void {
  const mac = readMac(text);
  if (mac === undefined || (mac !== 0 && !isGroupMac(mac))) return;
  report.add(
    path,
    "BAD_MAC",
    `${formatMac(mac)} is ${mac === 0 ? "the zero" : "a group"} address and names no adapter`,
  );
}

function checkAdapters(checking: Checking, subnets: Subnets): void {
  const { file, report } = checking;
  const macs: Claims = new Map();
  const addresses: Claims = new Map();
  const known = knownVsids(checking);
  for (const [host, h] of each(file.hosts)) {
    for (const [vm, v] of each(host.vms)) {
      for (const [adapter, a] of each(vm.adapters)) {
        const path = ["hosts", h, "vms", v, "adapters", a];
        const vsid = adapter.vsid ?? 0;
        checkUnicastMac(checking, adapter.mac, [...path, "mac"]);
        const mac = readMac(adapter.mac);
        if (mac !== undefined) {
          const message = `${formatMac(mac)} is already an adapter's ${vsid === 0 ? "outside of any VSID" : `in VSID ${vsid}`}`;
          report.claim(macs, `${vsid}/${mac}`, [...path, "mac"], "DUPLICATE_MAC", message);
          for (const id of adapter.isolation === undefined ? [] : vsidsOf(adapter)) {
            const taken = `${formatMac(mac)} is already an adapter's in VSID ${id}`;
            report.claim(macs, `${id}/${mac}`, [...path, "mac"], "DUPLICATE_MAC", taken);
          }
        }
        if (vsid === 0) continue;
        if (known !== undefined && !known.has(vsid)) {
          const vsids = [...known].slice(0, 8).join(", ");
          report.add([...path, "vsid"], "UNKNOWN_VSID", `no virtual subnet has VSID ${vsid}`, `VSIDs here: ${vsids}`);
        }
        for (const [text, i] of each(adapter.addresses)) {
          const address = readAddress(text);
          if (address === undefined) continue;
          const at = [...path, "addresses", i];
          const message = `${formatAddress(address)} is already an adapter's in VSID ${vsid}`;
          const isFree = report.claim(addresses, `${vsid}/${addressKey(address)}`, at, "DUPLICATE_ADDRESS", message);
          if (isFree) checkCustomerAddress(checking, address, at, subnets.get(vsid), vsid);
        }
      }
    }
  }
}

export function checkCustomerAddress(
  { report }: Checking,
  address: Address,
  at: Path,
  prefixes: readonly Prefix[] | undefined,
  vsid: number,
): void {
  const text = formatAddress(address);
  if (!isUnicast(address)) {
    report.add(at, "ADDRESS_NOT_UNICAST", `${text} cannot be an adapter's address`);
    return;
  }
  if (prefixes === undefined || prefixes.length === 0) return; // a VSID of raw records, or one whose prefixes are in doubt
  const prefix = prefixes.find((candidate) => prefixContains(candidate, address));
  if (prefix === undefined) {
    const expected = prefixes.map(formatPrefix).join(" and ");
    report.add(at, "ADDRESS_OUTSIDE_SUBNET", `${text} lies outside VSID ${vsid}, which has ${expected}`);
    return;
  }
  const gateway = gatewayAddressOf(prefix);
  if (gateway === undefined) return;
  if (sameAddress(gateway, address)) {
    const cure = "the lowest address of a prefix belongs to the distributed router";
    report.add(at, "ADDRESS_IS_GATEWAY", `${text} is the gateway address of VSID ${vsid}`, cure);
    return;
  }
  const broadcast = directedBroadcastOf(prefix);
  const isBroadcast = broadcast !== undefined && sameAddress(broadcast, address);
  if (isBroadcast || sameAddress(prefix.address, address)) {
    const what = isBroadcast ? "broadcast" : "subnet";
    report.add(at, "ADDRESS_NOT_UNICAST", `${text} is the ${what} address of ${formatPrefix(prefix)}`);
  }
}

/**
 * The VSIDs that a port may have; undefined when one cannot tell: a lab of raw records only may leave a VSID without any,
 * and a subnet whose VSID is ill formed may be the one that is meant.
 */
function knownVsids({ file }: Checking): ReadonlySet<number> | undefined {
  if (file.routingDomains === undefined) return undefined;
  const known = new Set<number>();
  for (const [domain] of each(file.routingDomains)) {
    if (domain.subnets === undefined || domain.subnets.some((subnet) => subnet?.vsid === undefined)) return undefined;
    for (const [subnet] of each(domain.subnets)) known.add(subnet.vsid!);
  }
  for (const raw of [...(file.lookupRecords ?? []), ...(file.customerRoutes ?? [])]) {
    if (raw?.virtualSubnetID === undefined) return undefined;
    known.add(raw.virtualSubnetID);
  }
  // A port may have it though no record can: `hnv check` says so.
  known.add(PORT_VSID_MAX);
  return known;
}
