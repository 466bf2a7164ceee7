/** Command lines as an operator types them: cmdlets of the modules NetWNV and Hyper-V with their parameters. */
import type { CustomerRoute, LookupRecord } from "../../dataplane/policy/index.js";
import {
  type Address,
  formatAddress,
  formatMac,
  formatPrefix,
  type Mac,
  type Prefix,
  type Vsid,
} from "../../dataplane/wire/index.js";
import type { AdapterSettings, HostSettings } from "../../vswitch/index.js";

/** Something to be filled in by the operator: `<MAC of the VM>`. */
export interface Blank {
  readonly blank: string;
}

type Value = string | number | Address | Blank;
type Parameters = Readonly<Record<string, Value | undefined>>;

/** Parameters whose value is undefined are left out. Texts that a shell would take apart are quoted. */
export function commandLine(cmdlet: string, parameters: Parameters): string {
  const words = Object.entries(parameters).map(([name, value]) =>
    value === undefined ? "" : ` -${name} ${valueText(value)}`,
  );
  return cmdlet + words.join("");
}

/** What PowerShell takes for more than itself between double quotes, those of word processors included. */
const EXPANDED = /[`$"\u201c-\u201e]/g;

function valueText(value: Value): string {
  if (typeof value === "number") return String(value);
  if (typeof value === "string")
    return /^[\w.:/][\w.:/-]*$/.test(value) ? value : `"${value.replace(EXPANDED, "`$&")}"`;
  return "blank" in value ? `"<${value.blank}>"` : formatAddress(value);
}

/**
 * Changes one adapter of a VM. `-VMName` alone means all adapters of the VM, so where it has several, the MAC address tells which.
 */
export function setAdapter(host: HostSettings, { vmName, mac }: AdapterSettings, change: Parameters): string {
  const vm = { ComputerName: host.name, VMName: vmName };
  // The ports of one adapter with isolation have one MAC address.
  const isOnlyOne = host.adapters.every((other) => other.vmName !== vmName || other.mac === mac);
  if (isOnlyOne) return commandLine("Set-VMNetworkAdapter", { ...vm, ...change });
  const itself = `Where-Object { $_.MacAddress -eq "${macText(mac)}" }`;
  return `${commandLine("Get-VMNetworkAdapter", vm)} | ${itself} | ${commandLine("Set-VMNetworkAdapter", change)}`;
}

/** As the cmdlets print it: `060600000005`. */
const macText = (mac: Mac): string => formatMac(mac).replaceAll("-", "");

export interface NewRecord {
  readonly virtualSubnetID: Vsid | Blank;
  readonly customerAddress: Address | Blank;
  readonly macAddress: Mac | Blank;
  readonly providerAddress: Address | Blank;
  readonly type?: LookupRecord["type"];
  /** TranslationMethodEncap if left out. */
  readonly rule?: LookupRecord["rule"];
}

export const newLookupRecord = (host: string, record: NewRecord): string =>
  commandLine("New-NetVirtualizationLookupRecord", {
    CimSession: host,
    VirtualSubnetID: record.virtualSubnetID,
    CustomerAddress: record.customerAddress,
    MACAddress: typeof record.macAddress === "number" ? macText(record.macAddress) : record.macAddress,
    ProviderAddress: record.providerAddress,
    Rule: record.rule ?? "TranslationMethodEncap",
    Type: record.type === "Static" ? undefined : record.type,
  });

export const setLookupRecord = (
  host: string,
  { virtualSubnetID, customerAddress, macAddress }: LookupRecord,
  change: { readonly providerAddress?: Address | Blank; readonly rule?: LookupRecord["rule"] },
): string =>
  commandLine("Set-NetVirtualizationLookupRecord", {
    CimSession: host,
    VirtualSubnetID: virtualSubnetID,
    CustomerAddress: customerAddress,
    MACAddress: macText(macAddress),
    ProviderAddress: change.providerAddress,
    Rule: change.rule,
  });

export const removeLookupRecord = (
  host: string,
  { virtualSubnetID, customerAddress, macAddress }: LookupRecord,
): string =>
  commandLine("Remove-NetVirtualizationLookupRecord", {
    CimSession: host,
    VirtualSubnetID: virtualSubnetID,
    CustomerAddress: customerAddress,
    MACAddress: macText(macAddress),
  });

export interface NewRoute {
  readonly routingDomainID: string | Blank;
  readonly virtualSubnetID: Vsid | Blank;
  readonly destinationPrefix: Prefix | Blank;
  readonly nextHop: Address | Blank;
  readonly metric: number;
}

export const newCustomerRoute = (host: string, route: CustomerRoute | NewRoute): string =>
  commandLine("New-NetVirtualizationCustomerRoute", {
    CimSession: host,
    RoutingDomainID: route.routingDomainID,
    VirtualSubnetID: route.virtualSubnetID,
    DestinationPrefix:
      "blank" in route.destinationPrefix ? route.destinationPrefix : formatPrefix(route.destinationPrefix),
    NextHop: route.nextHop,
    Metric: route.metric === 0 ? undefined : route.metric,
  });
