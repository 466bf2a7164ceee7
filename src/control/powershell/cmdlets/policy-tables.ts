/**
 * The four tables of NetWNV: their properties, which of them a cmdlet takes for what, what tells two rows apart, and what a host refuses. What
 * may stand in a table is judged by the very checks of the data plane's policy.
 */
import {
  type Checked,
  type CustomerRoute,
  checkCustomerRoutes,
  checkLookupRecord,
  checkNatRecord,
  checkNewLookupRecord,
  checkProviderAddresses,
  checkProviderRoutes,
  DEFAULT_NVE_SETTINGS,
  type HostPolicy,
  type LookupRecord,
  LookupRecords,
  makeHostPolicy,
  type NveSettings,
  type ProviderAddress,
  type ProviderRoute,
  type RecordType,
  type TranslationRule,
} from "../../../dataplane/policy/index.js";
import type { NodeIndex } from "../../../dataplane/transposition/index.js";
import {
  isUnspecified,
  type Mac,
  type Prefix,
  parseAddress,
  parseMac,
  parsePrefix,
  type Vsid,
} from "../../../dataplane/wire/index.js";
import { ENUMS, type ListName } from "../../fabric-file/powershell/classes.js";
import type { Row, ScriptHost } from "../hosts.js";
import { toText, type Value } from "../values.js";
import type { Call, ValueKind } from "./cmdlet.js";

export interface Property {
  readonly name: string;
  readonly kind: ValueKind;
  readonly values?: readonly string[];
  readonly onNew: "required" | "optional" | "no";
  /** What a row has when nobody says anything else. */
  readonly standard: Value;
  /** A filter of Set-; those of Get- and Remove- are all properties. */
  readonly isKey: boolean;
  /** Changed by Set-. */
  readonly isSettable: boolean;
  readonly isNewInR2?: boolean;
}

export interface PolicyTable {
  /** As in Get-NetVirtualization…. */
  readonly name: string;
  readonly list: ListName;
  readonly properties: readonly Property[];
  /** What a host has at most one row of. */
  identity(row: Row): string;
  /** A new row with what follows from the others; undefined, after a warning, if it cannot be. */
  complete(row: Row, call: Call): Row | undefined;
  /** Why a host would not take the row, in place of `old` if there is one. */
  refusal(row: Row, old: Row | undefined, host: ScriptHost | undefined, call: Call): Checked;
}

const key = (name: string, kind: ValueKind): Property => ({
  name,
  kind,
  onNew: "required",
  standard: null,
  isKey: true,
  isSettable: false,
});
const settable = (name: string, kind: ValueKind, standard: Value = null): Property => ({
  name,
  kind,
  onNew: "optional",
  standard,
  isKey: false,
  isSettable: true,
});
const readOnly = (name: string, standard: Value): Property => ({
  name,
  kind: "boolean",
  onNew: "no",
  standard,
  isKey: false,
  isSettable: false,
  isNewInR2: true,
});

const text = (row: Row, name: string): string => toText(row.properties[name] ?? null);
const number = (row: Row, name: string): number => Number(row.properties[name]);
const asItIs = (row: Row): Row => row;

/** Reads each row once. Rows never change. */
function oncePerRow<T>(read: (row: Row) => T): (row: Row) => T {
  const known = new WeakMap<Row, { readonly value: T }>();
  return (row) => {
    const found = known.get(row) ?? { value: read(row) };
    known.set(row, found);
    return found.value;
  };
}

/** Routes and addresses are compared with all others each time. */
const STEPS_PER_CHECK = 10;

/** The rows that would be there beside a new or changed one. */
function others(table: ListName, host: ScriptHost | undefined, old: Row | undefined, call: Call): readonly Row[] {
  const rows = [...(host?.tables[table].values() ?? [])];
  call.budget.spend(1 + rows.length / 8, call.place);
  return old ? rows.filter((row) => row !== old) : rows;
}

// Lookup records

const recordOf = oncePerRow(
  (row): LookupRecord => ({
    customerAddress: parseAddress(text(row, "CustomerAddress"))!,
    virtualSubnetID: number(row, "VirtualSubnetID") as Vsid,
    macAddress: parseMac(text(row, "MACAddress"))!,
    providerAddress: parseAddress(text(row, "ProviderAddress"))!,
    rule: text(row, "Rule") as TranslationRule,
    type: text(row, "Type") as RecordType,
    useVmMACAddress: row.properties.UseVmMACAddress === true,
    customerID: null,
    context: null,
    vmName: null,
  }),
);

const isWithoutAddress = (row: Row): boolean => isUnspecified(parseAddress(text(row, "CustomerAddress"))!);

/** Windows Server 2012 knows no types: a record without an address is a gateway's there. */
function withType(row: Row, call: Call): Row | undefined {
  const given = row.properties.Type ?? null;
  const type = (name: string): Row => ({ ...row, properties: { ...row.properties, Type: name } });
  if (!isWithoutAddress(row)) return given === null ? type("Static") : row;
  if (call.hosts.mode === "2012") return type("GatewayWildcard");
  if (given !== null) return row;
  if (call.hosts.assumeWildcard) return type("GatewayWildcard");
  const message = `a Static record for ${text(row, "CustomerAddress")} matches nothing, and is left out`;
  const cure =
    "write -Type GatewayWildcard or L2Only; or import with --assume-wildcard, or with --mode 2012, which has no types";
  call.warn("RECORD_WITHOUT_TYPE", message, cure);
  return undefined;
}

function refusedRecord(row: Row, old: Row | undefined, host: ScriptHost | undefined, call: Call): Checked {
  const record = recordOf(row);
  const refusal = checkLookupRecord(record);
  if (refusal) return refusal;
  const occupant = old ? undefined : host?.tables.lookupRecords.get(LOOKUP_RECORDS.identity(row));
  const conflict = checkNewLookupRecord(record, occupant && recordOf(occupant));
  if (conflict || record.rule !== "TranslationMethodNat") return conflict;
  const holder = others("lookupRecords", host, old, call).find(
    (other) =>
      text(other, "Rule") === record.rule &&
      text(other, "ProviderAddress") === text(row, "ProviderAddress") &&
      !isWithoutAddress(other),
  );
  return checkNatRecord(record, holder && recordOf(holder));
}

const LOOKUP_RECORDS: PolicyTable = {
  name: "LookupRecord",
  list: "lookupRecords",
  properties: [
    key("CustomerAddress", "address"),
    key("VirtualSubnetID", "uint32"),
    key("MACAddress", "mac"),
    { ...settable("ProviderAddress", "address"), onNew: "required" },
    { ...settable("Rule", "enum"), onNew: "required", values: ENUMS.rule! },
    { ...settable("Type", "enum"), values: ENUMS.type!, isSettable: false, isNewInR2: true },
    settable("CustomerID", "string"),
    settable("Context", "string"),
    settable("VMName", "string"),
    settable("UseVmMACAddress", "boolean", false),
    readOnly("Unusable", false),
    readOnly("Unsynchronized", false),
  ],
  identity: (row) => {
    const type = text(row, "Type");
    const ca = text(row, "CustomerAddress");
    const isByMac = type === "L2Only" || type === "GatewayWildcard";
    return `${number(row, "VirtualSubnetID")}/${isByMac ? `${type}/${ca}/${text(row, "MACAddress")}` : ca}`;
  },
  complete: withType,
  refusal: refusedRecord,
};

// Routes and addresses

const prefixOf = (row: Row): Prefix => parsePrefix(text(row, "DestinationPrefix")) as Prefix;
const nextHopOf = (row: Row): CustomerRoute["nextHop"] => parseAddress(text(row, "NextHop"))!;

const customerRouteOf = oncePerRow(
  (row): CustomerRoute => ({
    routingDomainID: text(row, "RoutingDomainID"),
    virtualSubnetID: number(row, "VirtualSubnetID") as Vsid,
    destinationPrefix: prefixOf(row),
    nextHop: nextHopOf(row),
    metric: number(row, "Metric"),
  }),
);

const CUSTOMER_ROUTES: PolicyTable = {
  name: "CustomerRoute",
  list: "customerRoutes",
  properties: [
    key("RoutingDomainID", "guid"),
    key("VirtualSubnetID", "uint32"),
    key("DestinationPrefix", "prefix"),
    key("NextHop", "address"),
    settable("Metric", "uint32", 0),
  ],
  identity: (row) =>
    [
      text(row, "RoutingDomainID"),
      number(row, "VirtualSubnetID"),
      text(row, "DestinationPrefix"),
      text(row, "NextHop"),
    ].join(" "),
  complete: asItIs,
  refusal: (row, old, host, call) => {
    const beside = others("customerRoutes", host, old, call).filter(({ properties }) =>
      ["RoutingDomainID", "VirtualSubnetID"].some((name) => properties[name] === row.properties[name]),
    );
    call.budget.spend(STEPS_PER_CHECK * beside.length, call.place);
    return checkCustomerRoutes([...beside, row].map(customerRouteOf))[0];
  },
};

/** What the NIC has is not known yet. */
const SOME_MAC = 0x0200_0000_0001 as Mac;

const providerAddressOf = oncePerRow(
  (row): ProviderAddress => ({
    providerAddress: parseAddress(text(row, "ProviderAddress"))!,
    interfaceIndex: number(row, "InterfaceIndex"),
    prefixLength: number(row, "PrefixLength"),
    vlanID: number(row, "VlanID"),
    macAddress: parseMac(text(row, "MACAddress")) ?? SOME_MAC,
    addressState: "Preferred",
  }),
);

const PROVIDER_ADDRESSES: PolicyTable = {
  name: "ProviderAddress",
  list: "providerAddresses",
  properties: [
    key("ProviderAddress", "address"),
    key("InterfaceIndex", "uint32"),
    { ...settable("PrefixLength", "byte"), onNew: "required" },
    settable("VlanID", "uint16", 0),
    { ...settable("MACAddress", "mac"), isNewInR2: true },
    {
      ...key("AddressState", "enum"),
      values: ["Invalid", "Tentative", "Duplicate", "Deprecated", "Preferred"],
      onNew: "no",
      standard: "Preferred",
    },
    readOnly("ManagedByCluster", false),
  ],
  identity: (row) => text(row, "ProviderAddress"),
  complete: asItIs,
  refusal: (row, old, host, call) => {
    const beside = others("providerAddresses", host, old, call);
    call.budget.spend(STEPS_PER_CHECK * beside.length, call.place);
    return checkProviderAddresses([...beside, row].map(providerAddressOf))[0];
  },
};

const providerRouteOf = oncePerRow(
  (row): ProviderRoute => ({
    interfaceIndex: number(row, "InterfaceIndex"),
    destinationPrefix: prefixOf(row),
    nextHop: nextHopOf(row),
    metric: number(row, "Metric"),
  }),
);

const PROVIDER_ROUTES: PolicyTable = {
  name: "ProviderRoute",
  list: "providerRoutes",
  properties: [
    key("InterfaceIndex", "uint32"),
    key("DestinationPrefix", "prefix"),
    key("NextHop", "address"),
    settable("Metric", "uint32", 0),
  ],
  identity: (row) => [number(row, "InterfaceIndex"), text(row, "DestinationPrefix"), text(row, "NextHop")].join(" "),
  complete: asItIs,
  refusal: (row, old, host, call) => {
    const beside = others("providerRoutes", host, old, call);
    call.budget.spend(STEPS_PER_CHECK * beside.length, call.place);
    return checkProviderRoutes([...beside, row].map(providerRouteOf))[0];
  },
};

/** The tables of a host as the data plane has them. */
export function policyOf(host: ScriptHost | undefined, mode: NveSettings["mode"]): HostPolicy {
  const all = <T>(list: ListName, read: (row: Row) => T): readonly T[] =>
    [...(host?.tables[list].values() ?? [])].map(read);
  return makeHostPolicy({
    node: 0 as NodeIndex,
    settings: { ...DEFAULT_NVE_SETTINGS, mode, useExternalRouter: host?.useExternalRouter?.value ?? false },
    lookupRecords: LookupRecords.from(all("lookupRecords", recordOf)),
    customerRoutes: all("customerRoutes", customerRouteOf),
    providerAddresses: all("providerAddresses", providerAddressOf),
    providerRoutes: all("providerRoutes", providerRouteOf),
    neighbors: [],
    interfaceMtus: [],
  });
}

export const POLICY_TABLES: readonly PolicyTable[] = [
  LOOKUP_RECORDS,
  CUSTOMER_ROUTES,
  PROVIDER_ADDRESSES,
  PROVIDER_ROUTES,
];
