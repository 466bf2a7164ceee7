/** Can encapsulated packets travel: a provider address of the right family, a route, a neighbor, and room for guests' packets. */
import type { LookupRecordTable } from "../../dataplane/policy/index.js";
import {
  type Address,
  formatAddress,
  formatPrefix,
  IPV6_MTU_MIN,
  isMulticast,
  prefixContains,
  sameAddress,
} from "../../dataplane/wire/index.js";
import type { HostSettings, ProviderAddressSettings } from "../../vswitch/index.js";
import { addressKey } from "../fabric-file/consistency/index.js";
import { GUEST_MTU, providerMtuFor, tunnelOverhead } from "../mtu.js";
import type { Path } from "../problem.js";
import type { Findings } from "./findings.js";
import { type HostView, isGatewayAddress, type LabView } from "./places.js";

export function checkProvider(view: LabView, findings: Findings): void {
  const targets = targetsOf(view);
  for (const host of view.hosts) {
    if (runsVirtualized(host.host)) checkPaths(view, host, targets.get(host.host.lookupRecords)!, findings);
    checkPrefixLengths(view, host, findings);
  }
  checkMtu(view, targets, findings);
}

const runsVirtualized = (host: HostSettings): boolean => host.adapters.some((adapter) => adapter.vsid !== 0);

interface Target {
  readonly address: Address;
  /** The first record that names it. */
  readonly path: Path;
}

type Targets = ReadonlyMap<LookupRecordTable, readonly Target[]>;

/** The provider addresses that records of a table send to, once per table. */
function targetsOf(view: LabView): Targets {
  const targets = new Map<LookupRecordTable, readonly Target[]>();
  for (const host of view.hosts) {
    const table = host.host.lookupRecords;
    if (targets.has(table)) continue;
    const found = new Map<string, Target>();
    for (const record of table) {
      const { providerAddress: address, rule } = record;
      if (rule === "TranslationMethodNone" || isMulticast(address) || found.has(addressKey(address))) continue;
      if (isGatewayAddress(host, record.virtualSubnetID, record.customerAddress)) continue;
      // Records of hosts that nobody has are a finding of their own.
      if (view.lab.provider !== null && view.ownerOf(address) === undefined) continue;
      found.set(addressKey(address), { address, path: view.recordPath(host, record) });
    }
    targets.set(table, [...found.values()]);
  }
  return targets;
}

function checkPaths(view: LabView, host: HostView, targets: readonly Target[], findings: Findings): void {
  const { name, providerAddresses } = host.host;
  const lackingFamilies = new Set<number>();
  for (const { address, path } of targets) {
    if (view.ownerOf(address) === host) continue;
    const sources = providerAddresses.filter((pa) => pa.address.family === address.family);
    const text = formatAddress(address);
    if (sources.length === 0) {
      if (lackingFamilies.has(address.family)) continue;
      lackingFamilies.add(address.family);
      const message = `${name} has no IPv${address.family} provider address to reach ${text} from`;
      findings.add("error", "PA_FAMILY_MISMATCH", path, message, "both ends of a tunnel need addresses of one family");
      continue;
    }
    const hops = sources.map((pa) => ({ pa, nextHop: host.providerRoutes.nextHop(pa.interfaceIndex, address) }));
    const reaching = hops.filter(({ nextHop }) => nextHop !== undefined);
    const from = view.providerAddressPath(host, sources[0]!.address);
    if (reaching.length === 0) {
      const cure = "give both provider subnets a gateway, or add a provider route";
      findings.add("error", "PROVIDER_ROUTE_MISSING", from, `${name} has no provider route to ${text}`, cure);
      continue;
    }
    const nextHop = reaching[0]!.nextHop!;
    if (host.host.nve.resolve === "wire") continue; // the wire will tell
    if (reaching.some((hop) => host.neighbors.find(hop.nextHop!) !== undefined)) continue;
    const via = sameAddress(nextHop, address) ? "" : `, the next hop to ${text}`;
    const message = `${name} does not know the MAC of ${formatAddress(nextHop)}${via}`;
    findings.add(
      "error",
      "NEIGHBOR_MISSING",
      sameAddress(nextHop, address) ? path : from,
      message,
      "add it to neighbors:",
    );
  }
}

/** A PA whose mask is not that of its subnet sees neighbors where there are none, or the reverse. */
function checkPrefixLengths(view: LabView, host: HostView, findings: Findings): void {
  for (const pa of host.host.providerAddresses) {
    const subnet = view.lab.provider?.subnets.find((candidate) => prefixContains(candidate.prefix, pa.address));
    if (subnet === undefined || subnet.prefix.length === pa.prefixLength) continue;
    const message = `${formatAddress(pa.address)} has prefix length ${pa.prefixLength}, its subnet is ${formatPrefix(subnet.prefix)}`;
    const cure = `set prefixLength: ${subnet.prefix.length}`;
    findings.add("warning", "PREFIX_LENGTH_MISMATCH", view.providerAddressPath(host, pa.address), message, cure);
  }
}

/**
 * Is there room for packets of 1500 bytes, which guests send unless they are told otherwise, and for those of 1280 which IPv6 may always send
 * (RFC 8200 §5)?
 */
function checkMtu(view: LabView, targets: Targets, findings: Findings): void {
  const { fabric } = view.document;
  const tooSmall = new Set<string>();
  const written = fabric.provider?.subnets ?? [];
  const check = (
    what: string,
    mtu: number,
    families: readonly (4 | 6)[],
    path: Path,
    senders: readonly HostSettings[],
  ): boolean => {
    const outer = families.includes(6) ? 6 : 4;
    const needed = providerMtuFor(GUEST_MTU, outer);
    if (families.length === 0 || mtu >= needed) return false;
    const least = providerMtuFor(IPV6_MTU_MIN, outer);
    const speaker = mtu < least ? senders.find(hasIpv6) : undefined;
    if (speaker) {
      const left = mtu - tunnelOverhead(outer);
      const message =
        `${what} has IP MTU ${mtu}: over IPv${outer} that leaves ${left}, but IPv6, which VMs of ${speaker.name} have, ` +
        `needs ${IPV6_MTU_MIN}; longer packets are lost without a word to the VM`;
      findings.add("error", "IPV6_MTU_TOO_SMALL", path, message, `set mtu: ${least} or more`);
    }
    const message =
      `${what} has IP MTU ${mtu}: over IPv${outer}, guests' packets of ${GUEST_MTU} bytes need ${needed}, ` +
      `so ${needed - mtu} bytes are missing; the longest that passes has ${mtu - tunnelOverhead(outer)}`;
    findings.add("warning", "MTU_TOO_SMALL", path, message, `set mtu: ${needed} or more, or lower the guests' MTU`);
    return true;
  };
  const sending = view.hosts.filter(({ host }) => runsVirtualized(host));
  for (const [s, subnet] of (view.lab.provider?.subnets ?? []).entries()) {
    if (written[s] === undefined) continue; // implied subnets have the MTU of the NICs in them
    const isInside = ({ address }: ProviderAddressSettings): boolean => prefixContains(subnet.prefix, address);
    const inside = sending
      .map(({ host }) => host)
      .filter((host) => host.providerAddresses.some((pa) => isInside(pa) && isEncapsulating(host, pa.address)));
    const families = inside.length === 0 ? [] : [subnet.prefix.address.family];
    const path = ["provider", "subnets", s, ...(written[s]?.mtu === undefined ? [] : ["mtu"])];
    if (check(`provider subnet ${formatPrefix(subnet.prefix)}`, subnet.mtu, families, path, inside))
      tooSmall.add(formatPrefix(subnet.prefix));
  }
  for (const { host, path } of sending) {
    const document = fabric.hosts[Number(path[1])]!;
    for (const [n, nic] of host.nics.entries()) {
      // Only what is sent to counts: an IPv6 address beside IPv4 tunnels needs no room for IPv6 headers.
      const remote = targets
        .get(host.lookupRecords)!
        .filter(({ address }) => !isOwn(host, address) && isEncapsulating(host, address));
      const isUsed = (pa: ProviderAddressSettings): boolean =>
        pa.interfaceIndex === n + 1 &&
        isEncapsulating(host, pa.address) &&
        remote.some(({ address }) => address.family === pa.address.family);
      const addresses = host.providerAddresses.filter(isUsed).map((pa) => pa.address);
      const ownMtu = document.nics?.[n]?.mtu !== undefined;
      const isInherited = !ownMtu && document.mtu === undefined;
      const subnets = (view.lab.provider?.subnets ?? []).filter((subnet) =>
        addresses.some((a) => prefixContains(subnet.prefix, a)),
      );
      if (isInherited && subnets.some((subnet) => tooSmall.has(formatPrefix(subnet.prefix)))) continue;
      const at = ownMtu
        ? [...path, "nics", n, "mtu"]
        : document.mtu === undefined
          ? [...path, "nics", n]
          : [...path, "mtu"];
      check(
        `${host.name}/${nic.name}`,
        nic.mtu,
        addresses.map((a) => a.family),
        at,
        [host],
      );
    }
  }
}

/** Has a VM of the host an IPv6 address that tunnels carry? */
const hasIpv6 = ({ adapters, lookupRecords }: HostSettings): boolean =>
  adapters.some(({ vsid, mac }) =>
    lookupRecords
      .findByMac(vsid, mac)
      .some(({ customerAddress, rule }) => customerAddress.family === 6 && rule === "TranslationMethodEncap"),
  );

/** A provider address that stands for a customer address (IP Rewrite) adds nothing to packets. */
const isEncapsulating = (host: HostSettings, address: Address): boolean =>
  host.lookupRecords.findNat(address) === undefined;

const isOwn = (host: HostSettings, address: Address): boolean =>
  host.providerAddresses.some((pa) => sameAddress(pa.address, address));
