/**
 * The provider network: subnets that do not overlap, NICs and teams, and provider addresses that are one host's each, lie in a
 * provider subnet and agree with its VLAN.
 */
import {
  type Address,
  formatAddress,
  formatPrefix,
  isUnicast,
  maskAddress,
  type Prefix,
  prefixContains,
  sameAddress,
} from "../../../dataplane/wire/index.js";
import type { Path } from "../../problem.js";
import { each, type Loose } from "../report.js";
import { readAddress, readMac, readPrefix } from "../scalars.js";
import type { HostDocument } from "../schema.js";
import { nearestName } from "../validate.js";
import { addressKey, type Checking, type Claims } from "./context.js";
import { checkUnicastMac, overlap } from "./tenants.js";

interface Subnet {
  readonly prefix: Prefix;
  readonly vlan: number;
  readonly gateway: Address | undefined;
  readonly path: Path;
}

export function checkProvider(checking: Checking): void {
  const subnets = checkProviderSubnets(checking);
  checkProviderMacs(checking);
  const { file } = checking;
  for (const [host, h] of each(file.hosts)) {
    checkTeam(checking, host, h);
    checkNicReferences(checking, host, h);
  }
  checkInterfaceIndexes(checking);
  checkProviderAddresses(checking, subnets);
}

/** The subnets as written; undefined when there are none or one of them is in doubt. */
function checkProviderSubnets(checking: Checking): readonly Subnet[] | undefined {
  const { file, report } = checking;
  const subnets: Subnet[] = [];
  let inDoubt = false;
  for (const [subnet, s] of each(file.provider?.subnets)) {
    const path = ["provider", "subnets", s];
    const prefix = readPrefix(subnet.prefix);
    const gateway = readAddress(subnet.gateway);
    if (prefix === undefined) {
      inDoubt = true;
      continue;
    }
    const other = subnets.find((candidate) => overlap(candidate.prefix, prefix));
    if (other !== undefined) {
      const message = `${formatPrefix(prefix)} overlaps provider subnet ${formatPrefix(other.prefix)}`;
      report.add([...path, "prefix"], "PREFIX_OVERLAP", message);
    }
    if (gateway !== undefined && !(prefixContains(prefix, gateway) && isUnicast(gateway))) {
      const message = `${formatAddress(gateway)} is no address of ${formatPrefix(prefix)}`;
      report.add([...path, "gateway"], "ADDRESS_OUTSIDE_SUBNET", message);
    }
    subnets.push({ prefix, vlan: subnet.vlan ?? 0, gateway, path });
  }
  checkUnicastMac(checking, file.provider?.routerMac, ["provider", "routerMac"]);
  return inDoubt || subnets.length === 0 ? undefined : subnets;
}

/** In the provider network a MAC is one NIC's. A PA may have its NIC's MAC or one of its own. */
function checkProviderMacs(checking: Checking): void {
  const { file, report } = checking;
  const macs: Claims = new Map();
  const claim = (text: string | undefined, path: Path): void => {
    const mac = readMac(text);
    if (mac !== undefined) {
      report.claim(macs, String(mac), path, "DUPLICATE_MAC", "this MAC is already used in the provider network");
    }
  };
  claim(file.provider?.routerMac, ["provider", "routerMac"]);
  for (const [host, h] of each(file.hosts)) {
    const own = new Set<number>();
    for (const [nic, n] of each(host.nics)) {
      const path = ["hosts", h, "nics", n, "mac"];
      checkUnicastMac(checking, nic.mac, path);
      claim(nic.mac, path);
      const mac = readMac(nic.mac);
      if (mac !== undefined) own.add(mac);
    }
    for (const [pa, p] of each(host.providerAddresses)) {
      const path = ["hosts", h, "providerAddresses", p, "mac"];
      checkUnicastMac(checking, pa.mac, path);
      const mac = readMac(pa.mac);
      if (mac === undefined || own.has(mac)) continue;
      own.add(mac);
      claim(pa.mac, path);
    }
  }
  for (const [pa, p] of each(file.providerAddresses))
    checkUnicastMac(checking, pa.macAddress, ["providerAddresses", p, "macAddress"]);
  for (const [neighbor, n] of each(file.neighbors)) checkUnicastMac(checking, neighbor.mac, ["neighbors", n, "mac"]);
}

function checkTeam({ report }: Checking, host: Loose<HostDocument>, h: number): void {
  const members = host.team?.members;
  if (members === undefined) return;
  const path = ["hosts", h, "team", "members"];
  if (members.length > 1) {
    const message = `teams of ${members.length} members are not emulated yet`;
    report.add(path, "TEAM_NOT_EMULATED", message, "name one NIC as the team's only member");
  }
  const names = nicNames(host);
  for (const [member, m] of each(members)) {
    if (names === undefined || names.includes(member)) continue;
    report.add([...path, m], "UNKNOWN_NIC", `this host has no NIC called ${member}`, nicCure(member, names));
  }
}

function checkNicReferences({ report }: Checking, host: Loose<HostDocument>, h: number): void {
  const names = nicNames(host);
  if (names === undefined) return;
  const carriers = host.team?.name === undefined ? names : [...names, host.team.name];
  for (const [pa, p] of each(host.providerAddresses)) {
    const path = ["hosts", h, "providerAddresses", p];
    if (pa.nic !== undefined && !carriers.includes(pa.nic)) {
      report.add(
        [...path, "nic"],
        "UNKNOWN_NIC",
        `this host has no NIC or team called ${pa.nic}`,
        nicCure(pa.nic, carriers),
      );
    } else if (names.length === 0) {
      report.add(path, "NO_NIC", "a provider address needs a NIC, and this host has none", "add nics: to the host");
    }
  }
}

/** The NICs' names; undefined when one of them is in doubt. */
function nicNames(host: Loose<HostDocument>): readonly string[] | undefined {
  const names = (host.nics ?? []).map((nic) => nic?.name);
  return names.every((name): name is string => name !== undefined) ? names : undefined;
}

function nicCure(name: string, names: readonly string[]): string {
  const nearest = nearestName(name, names);
  if (nearest !== undefined) return `did you mean ${nearest}?`;
  return names.length === 0 ? "add nics: to the host" : `NICs here: ${names.join(", ")}`;
}

/** The raw records' interfaces exist on every host that has them. */
function checkInterfaceIndexes({ file, report }: Checking): void {
  const check = (
    list: "providerAddresses" | "providerRoutes",
    items:
      | readonly ({ readonly host?: string | undefined; readonly interfaceIndex?: number | undefined } | undefined)[]
      | undefined,
  ): void => {
    for (const [item, i] of each(items)) {
      for (const [host] of each(file.hosts)) {
        const count = host.nics?.length ?? 0;
        const index = item.interfaceIndex ?? 1;
        if ((item.host !== undefined && item.host !== host.name) || index <= count) continue;
        const path = item.interfaceIndex === undefined ? [list, i] : [list, i, "interfaceIndex"];
        report.add(path, "UNKNOWN_NIC", `host ${host.name ?? ""} has ${count} NICs, so none with index ${index}`);
        break;
      }
    }
  };
  check("providerAddresses", file.providerAddresses);
  check("providerRoutes", file.providerRoutes);
}

/** A PA of either level, in the words of the fabric level. */
interface ProviderAddressEntry {
  readonly host: string | undefined;
  readonly address: Address;
  readonly prefixLength: number | undefined;
  readonly vlan: number | undefined;
  readonly path: Path;
  readonly fields: { readonly address: string; readonly vlan: string; readonly prefixLength: string };
}

function checkProviderAddresses(checking: Checking, subnets: readonly Subnet[] | undefined): void {
  const { file, report } = checking;
  const entries = providerAddressEntries(checking);
  const owners = new Map<string, ProviderAddressEntry>();
  const hostCount = file.hosts?.length ?? 0;
  for (const entry of entries) {
    const at = [...entry.path, entry.fields.address];
    const text = formatAddress(entry.address);
    if (!isUnicast(entry.address)) {
      report.add(at, "PROVIDER_ADDRESS_INVALID", `${text} cannot be a provider address`);
      continue;
    }
    if (entry.host === undefined && entry.path[0] === "providerAddresses" && hostCount > 1) {
      report.add(at, "PROVIDER_ADDRESS_EXISTS", `without host: every host would have ${text}`, "say which host has it");
      continue;
    }
    const key = addressKey(entry.address);
    const owner = owners.get(key);
    const isOverride = owner !== undefined && owner.host === entry.host && owner.path[0] !== entry.path[0];
    if (owner !== undefined && !isOverride) {
      const line = report.lineOf(owner.path);
      report.add(at, "PROVIDER_ADDRESS_EXISTS", `${text} is already a provider address (line ${line})`);
      continue;
    }
    owners.set(key, entry);
    if (subnets !== undefined) checkAgainstSubnets(checking, entry, subnets);
    else if (entry.prefixLength === undefined && (file.provider?.subnets ?? []).length === 0) {
      const cure = "write prefixLength, or a provider subnet that holds the address";
      report.add(at, "PREFIX_LENGTH_MISSING", `how long is the prefix of ${text}?`, cure);
    }
    if ((entry.prefixLength ?? 0) > (entry.address.family === 4 ? 32 : 128)) {
      const message = `an IPv4 prefix has at most 32 bits`;
      report.add([...entry.path, entry.fields.prefixLength], "OUT_OF_RANGE", message);
    }
  }
  if (file.provider?.subnets === undefined || file.provider.subnets.length === 0)
    checkImpliedSubnets(checking, [...owners.values()]);
}

function providerAddressEntries({ file }: Checking): readonly ProviderAddressEntry[] {
  const entries: ProviderAddressEntry[] = [];
  for (const [host, h] of each(file.hosts)) {
    for (const [pa, p] of each(host.providerAddresses)) {
      const address = readAddress(pa.address);
      if (address === undefined) continue;
      const { prefixLength, vlan } = pa;
      const fields = { address: "address", vlan: "vlan", prefixLength: "prefixLength" };
      entries.push({
        host: host.name,
        address,
        prefixLength,
        vlan,
        path: ["hosts", h, "providerAddresses", p],
        fields,
      });
    }
  }
  const only = file.hosts?.length === 1 ? file.hosts[0]?.name : undefined;
  for (const [pa, p] of each(file.providerAddresses)) {
    const address = readAddress(pa.providerAddress);
    if (address === undefined) continue;
    const { prefixLength, vlanID: vlan } = pa;
    const fields = { address: "providerAddress", vlan: "vlanID", prefixLength: "prefixLength" };
    entries.push({ host: pa.host ?? only, address, prefixLength, vlan, path: ["providerAddresses", p], fields });
  }
  return entries;
}

function checkAgainstSubnets({ report }: Checking, entry: ProviderAddressEntry, subnets: readonly Subnet[]): void {
  const at = [...entry.path, entry.fields.address];
  const text = formatAddress(entry.address);
  const subnet = subnets.find((candidate) => prefixContains(candidate.prefix, entry.address));
  if (subnet === undefined) {
    const known = subnets
      .map((candidate) => formatPrefix(candidate.prefix))
      .slice(0, 8)
      .join(", ");
    report.add(at, "PA_OUTSIDE_PROVIDER", `${text} lies in no provider subnet`, `provider subnets here: ${known}`);
    return;
  }
  if (subnet.gateway !== undefined && sameAddress(subnet.gateway, entry.address)) {
    report.add(at, "ADDRESS_IS_GATEWAY", `${text} is the provider router's address in ${formatPrefix(subnet.prefix)}`);
  }
  if (entry.vlan !== undefined && entry.vlan !== subnet.vlan) {
    const message = `${text} is on VLAN ${entry.vlan}, but its subnet ${formatPrefix(subnet.prefix)} is on VLAN ${subnet.vlan}`;
    report.add([...entry.path, entry.fields.vlan], "VLAN_MISMATCH", message, "0 means untagged");
  }
}

/** Without provider subnets, those that the PAs' prefixes imply must be the same for all hosts. */
function checkImpliedSubnets({ report }: Checking, entries: readonly ProviderAddressEntry[]): void {
  const implied: { prefix: Prefix; vlan: number }[] = [];
  for (const entry of entries) {
    if (entry.prefixLength === undefined) continue;
    const prefix = { address: maskAddress(entry.address, entry.prefixLength), length: entry.prefixLength };
    const vlan = entry.vlan ?? 0;
    const other = implied.find((candidate) => overlap(candidate.prefix, prefix));
    if (other === undefined) implied.push({ prefix, vlan });
    else if (other.prefix.length !== prefix.length) {
      const message = `${formatPrefix(prefix)} overlaps ${formatPrefix(other.prefix)}, the subnet of another provider address`;
      report.add([...entry.path, entry.fields.prefixLength], "PREFIX_OVERLAP", message);
    } else if (other.vlan !== vlan) {
      const message = `VLAN ${vlan}, but other provider addresses in ${formatPrefix(prefix)} are on VLAN ${other.vlan}`;
      report.add([...entry.path, entry.fields.vlan], "VLAN_MISMATCH", message, "0 means untagged");
    }
  }
}
