/** The objects that the module NetWNV prints, and how their properties are called in a fabric file. */

/** Lists of a fabric file. Global settings have none: they become the settings of their host. */
export type ListName = "lookupRecords" | "customerRoutes" | "providerAddresses" | "providerRoutes";

export interface PolicyClass {
  /** As in Get-NetVirtualization…. */
  readonly name: string;
  readonly list: ListName | null;
  /** Property to field. What is not here is of no interest, above all what CIM adds to every object. */
  readonly fields: Readonly<Record<string, string>>;
  /** What an object of this class has, where nothing else names it. */
  has(properties: ReadonlySet<string>): boolean;
}

export const CLASSES: readonly PolicyClass[] = [
  {
    name: "LookupRecord",
    list: "lookupRecords",
    fields: {
      CustomerAddress: "customerAddress",
      VirtualSubnetID: "virtualSubnetID",
      MACAddress: "macAddress",
      ProviderAddress: "providerAddress",
      Rule: "rule",
      Type: "type",
      CustomerID: "customerID",
      Context: "context",
      VMName: "vmName",
      UseVmMACAddress: "useVmMACAddress",
    },
    has: (properties) => properties.has("CustomerAddress"),
  },
  {
    name: "CustomerRoute",
    list: "customerRoutes",
    fields: {
      RoutingDomainID: "routingDomainID",
      VirtualSubnetID: "virtualSubnetID",
      DestinationPrefix: "destinationPrefix",
      NextHop: "nextHop",
      Metric: "metric",
    },
    has: (properties) => properties.has("RoutingDomainID"),
  },
  {
    name: "ProviderAddress",
    list: "providerAddresses",
    fields: {
      ProviderAddress: "providerAddress",
      InterfaceIndex: "interfaceIndex",
      PrefixLength: "prefixLength",
      VlanID: "vlanID",
      MACAddress: "macAddress",
    },
    has: (properties) => properties.has("ProviderAddress") && properties.has("PrefixLength"),
  },
  {
    name: "ProviderRoute",
    list: "providerRoutes",
    fields: {
      InterfaceIndex: "interfaceIndex",
      DestinationPrefix: "destinationPrefix",
      NextHop: "nextHop",
      Metric: "metric",
    },
    has: (properties) => properties.has("DestinationPrefix") && properties.has("InterfaceIndex"),
  },
  {
    name: "Global",
    list: null,
    fields: { UseExternalRouter: "useExternalRouter" },
    has: (properties) => properties.has("UseExternalRouter"),
  },
];

/** `LookupRecord`, `NetVirtualizationLookupRecord`, `Get-NetVirtualizationLookupRecord` or `MSFT_NetVirtualizationLookupRecordSettingData`. */
export function classNamed(text: string): PolicyClass | undefined {
  const name = text.replace(/^(?:Get-|MSFT_)?(?:NetVirtualization)?/i, "").replace(/SettingData$/i, "");
  return CLASSES.find((candidate) => new RegExp(`^${candidate.name}s?$`, "i").test(name));
}

/** Names by number, as ConvertTo-Json of Windows PowerShell writes enumerations. Sources disagree on some; these are the ones in use. */
export const ENUMS: Readonly<Record<string, readonly string[]>> = {
  rule: ["TranslationMethodNat", "TranslationMethodEncap", "TranslationMethodNone"],
  type: ["Static", "Dynamic", "GatewayWildcard", "L2Only"],
};
const NUMBERS: ReadonlySet<string> = new Set(["virtualSubnetID", "metric", "interfaceIndex", "prefixLength", "vlanID"]);

/** Puts a property of an object of the class into a raw record; false if it is of no interest. `value` is asked for only then. */
export function putField(
  raw: Record<string, unknown>,
  { fields }: PolicyClass,
  property: string,
  value: () => unknown,
): boolean {
  const field = Object.hasOwn(fields, property) ? fields[property]! : undefined;
  if (field === undefined) return false;
  const written = fieldValue(field, value());
  if (written !== undefined) raw[field] = written;
  return true;
}

/** The value as a fabric file has it; undefined where it says nothing. What cannot be one is left for the schema to refuse. */
function fieldValue(field: string, value: unknown): unknown {
  if (value === null || value === "") return undefined;
  const isDigits = typeof value === "string" && /^\d{1,10}$/.test(value);
  const number = isDigits ? Number(value) : value;
  const names = ENUMS[field];
  if (names) {
    if (typeof number === "number") return names[number] ?? value;
    return names.find((name) => name.toLowerCase() === String(value).toLowerCase()) ?? value;
  }
  return NUMBERS.has(field) ? number : value;
}
