/**
 * Adapters of VMs, cmdlets of the module Hyper-V. A script knows VMs that nobody has described here; so a VM that it names is there, and has
 * an adapter. That adapter's MAC address is the one that the script looks for (`where { $_.MacAddress -eq … }`), or sets, or else the one that the
 * lookup records give for the VM's name (`to-fabric.ts`).
 */
import { parseMac } from "../../../dataplane/wire/index.js";
import { ADAPTERS_MAX, type Adapter, type Mapping, newAdapter, type Vm } from "../hosts.js";
import { isLike } from "../patterns.js";
import { isList, objectsOf, shown, Table, Thing, toText, Unknown, type Value } from "../values.js";
import type { Call, Cmdlet, ParameterSpec } from "./cmdlet.js";

/** What an adapter object of the script stands for. */
interface AdapterReference {
  readonly vm: Vm;
  /** null: a further adapter that the VM may have; it comes into being when the script looks for its MAC. */
  adapter: Adapter | null;
}

/** The VM to which adapters of the management OS belong. */
const MANAGEMENT_OS = "ManagementOS";

const COMPUTER: readonly ParameterSpec[] = [
  { name: "ComputerName", kind: "object", isList: true, isSession: true },
  { name: "CimSession", kind: "object", isList: true, isSession: true },
  { name: "Credential", kind: "object" },
];
/** Which adapters: by objects, by VM, or of the host itself. */
const WHICH: readonly ParameterSpec[] = [
  {
    name: "VMNetworkAdapter",
    aliases: ["Input", "InputObject"],
    kind: "adapter",
    isList: true,
    position: 0,
    fromPipeline: true,
  },
  { name: "VMName", kind: "string", isList: true, position: 0 },
  { name: "VM", kind: "object", isList: true },
  { name: "ManagementOS", kind: "switch" },
];
const ADAPTER_NAME: ParameterSpec = { name: "Name", aliases: ["VMNetworkAdapterName"], kind: "string", isList: true };
const PASS_THRU: ParameterSpec = { name: "Passthru", kind: "switch" };

/** A VM takes memory, and a place in the lab. */
const STEPS_PER_VM = 100;

const texts = (value: Value | undefined): readonly string[] =>
  value === undefined ? [] : (isList(value) ? value : [value]).map(toText);

/** The adapters that a command names; a VM without any gets one. */
function adaptersOf(call: Call): readonly AdapterReference[] {
  const given = call.args.get("VMNetworkAdapter");
  if (given !== undefined) {
    return objectsOf(given).flatMap((object) => (object instanceof Thing ? [object.behind as AdapterReference] : []));
  }
  const names = texts(call.args.get("Name")).concat(texts(call.args.get("VMNetworkAdapterName")));
  return vmsOf(call).flatMap((vm) => {
    if (names.length > 0) return names.flatMap((name) => adapterNamed(vm, name, call) ?? []);
    if (vm.adapters.length === 0) vm.adapters.push(newAdapter(call.place));
    return vm.adapters.map((adapter) => ({ vm, adapter }));
  });
}

function vmsOf(call: Call): readonly Vm[] {
  const host = call.hosts.host(call.host);
  if (call.args.get("ManagementOS") === true) return [host.vm(MANAGEMENT_OS)];
  const objects = objectsOf(call.args.get("VM") ?? null).map((vm) =>
    toText(vm instanceof Thing ? (vm.properties.get("VMName") ?? vm) : vm),
  );
  return [...texts(call.args.get("VMName")), ...objects].flatMap((name) => {
    call.budget.spend(STEPS_PER_VM, call.place);
    if (!/[*?[]/.test(name)) return [host.vm(name)];
    return [...host.vms.values()].filter((vm) => isLike(vm.name, name));
  });
}

/** The adapter of that name; else one that has no name yet; else a new one. */
function adapterNamed(vm: Vm, name: string, call: Call): AdapterReference | undefined {
  const known = vm.adapters.find((adapter) => adapter.name?.toLowerCase() === name.toLowerCase());
  if (known) return { vm, adapter: known };
  const nameless = vm.adapters.find((candidate) => candidate.name === null);
  if (nameless) {
    nameless.name = name;
    return { vm, adapter: nameless };
  }
  if (vm.adapters.length >= ADAPTERS_MAX) {
    call.fail("TOO_MANY_ADAPTERS", `${vm.name} has ${ADAPTERS_MAX} adapters already`);
    return undefined;
  }
  const adapter = newAdapter(call.place, name);
  vm.adapters.push(adapter);
  return { vm, adapter };
}

// Get-VMNetworkAdapter

function get(call: Call): void {
  const isAll = !["VMName", "VM", "ManagementOS", "VMNetworkAdapter"].some((name) => call.args.has(name));
  const host = call.hosts.host(call.host);
  const references = isAll
    ? [...host.vms.values()].flatMap((vm) => vm.adapters.map((adapter): AdapterReference => ({ vm, adapter })))
    : adaptersOf(call);
  for (const reference of references) call.emit(objectOf(reference, call));
  if (!call.isPiped || call.args.has("Name")) return; // nobody to look for a further one
  for (const vm of isAll ? [] : vmsOf(call)) {
    if (vm.adapters.some(({ mac }) => mac === null)) continue;
    call.emit(objectOf({ vm, adapter: null }, call));
  }
}

function objectOf(reference: AdapterReference, call: Call): Thing {
  const { vm, adapter } = reference;
  const name = new Unknown(
    (text) => supposeText(reference, "name", text),
    () => adapter?.name ?? DEFAULT_NAME,
  );
  const switchName = new Unknown(
    (text) => supposeText(reference, "switchName", text),
    () => adapter?.switchName ?? "",
  );
  const mac = new Unknown(
    (text) => supposeMac(reference, text, call),
    () => macOf(reference, call),
  );
  const properties = new Table()
    .set("Name", adapter?.name ?? name)
    .set("VMName", vm.name)
    .set("MacAddress", adapter?.mac ?? mac)
    .set("SwitchName", adapter?.switchName ?? switchName)
    .set("VirtualSubnetId", adapter?.settings.get("vsid") ?? 0)
    .set("IsManagementOs", vm.name === MANAGEMENT_OS)
    .set("ComputerName", call.host)
    .set("PSComputerName", call.host);
  return new Thing("VMNetworkAdapter", properties, null, reference);
}

/** The name that Hyper-V gives adapters. */
const DEFAULT_NAME = "Network Adapter";

/** A script that wants to have the MAC address, to write it into a record, gets one. */
function macOf({ vm, adapter }: AdapterReference, call: Call): string {
  if (!adapter) return "";
  if (adapter.mac === null) {
    adapter.mac = call.hosts.makeUpMac();
    const message = `the script asks for the MAC address of ${vm.name}, which nobody has told: ${adapter.mac} is made up`;
    call.warn("VM_MAC_MADE_UP", message);
  }
  return adapter.mac;
}

/** Is this the adapter with that MAC? Unless its own is known, it is, if no other one of the VM has it. */
function supposeMac(reference: AdapterReference, text: string, call: Call): boolean {
  const mac = parseMac(text);
  if (mac === undefined) return false;
  const digits = mac.toString(16).toUpperCase().padStart(12, "0");
  const { vm, adapter } = reference;
  if (adapter?.mac) return adapter.mac === digits;
  if (vm.adapters.some((other) => other.mac === digits)) return false;
  if (adapter) adapter.mac = digits;
  else if (vm.adapters.length >= ADAPTERS_MAX) return false;
  else {
    reference.adapter = newAdapter(call.place, null, digits);
    vm.adapters.push(reference.adapter);
  }
  return true;
}

/** The same of a name; only for an adapter that is there. */
function supposeText({ vm, adapter }: AdapterReference, field: "name" | "switchName", text: string): boolean {
  if (!adapter) return false;
  const isTaken =
    field === "name" &&
    vm.adapters.some((other) => other !== adapter && other.name?.toLowerCase() === text.toLowerCase());
  if (adapter[field] === null && !isTaken) adapter[field] = text;
  return adapter[field]?.toLowerCase() === text.toLowerCase();
}

// Set-VMNetworkAdapter

const ON_OFF = ["On", "Off"];
/** Parameter to field of a fabric file. */
const SETTINGS: readonly (readonly [ParameterSpec, string])[] = [
  [{ name: "VirtualSubnetId", kind: "vsid" }, "vsid"],
  [{ name: "MacAddressSpoofing", kind: "enum", values: ON_OFF }, "macAddressSpoofing"],
  [{ name: "DhcpGuard", kind: "enum", values: ON_OFF }, "dhcpGuard"],
  [{ name: "RouterGuard", kind: "enum", values: ON_OFF }, "routerGuard"],
  [{ name: "IeeePriorityTag", kind: "enum", values: ON_OFF }, "ieeePriorityTag"],
  [{ name: "StormLimit", kind: "uint32" }, "stormLimit"],
  [{ name: "DynamicIPAddressLimit", kind: "uint32" }, "dynamicIPAddressLimit"],
];
const WITHOUT_EFFECT: readonly ParameterSpec[] = [
  { name: "DynamicMacAddress", kind: "switch" },
  { name: "AllowTeaming", kind: "enum", values: ON_OFF },
  { name: "PortMirroring", kind: "enum", values: ["None", "Source", "Destination"] },
  { name: "MinimumBandwidthAbsolute", kind: "uint64" },
  { name: "MinimumBandwidthWeight", kind: "uint32" },
  { name: "MaximumBandwidth", kind: "uint64" },
  { name: "VmqWeight", kind: "uint32" },
  { name: "IovWeight", kind: "uint32" },
  { name: "IovQueuePairsRequested", kind: "uint32" },
  { name: "IPsecOffloadMaximumSecurityAssociation", kind: "uint32" },
  { name: "TestReplicaSwitchName", kind: "string" },
  { name: "TestReplicaPoolName", kind: "string" },
  { name: "ResourcePoolName", kind: "string" },
  { name: "NotMonitoredInCluster", kind: "boolean" },
];

/** On is true, Off is false, numbers and texts are themselves. */
const settingOf = (value: Value): Value => (value === "On" ? true : value === "Off" ? false : value);

function set(call: Call): void {
  for (const reference of adaptersOf(call)) {
    const { adapter } = reference;
    if (!adapter) continue; // nobody has looked for it
    adapter.place = call.place;
    for (const [{ name }, field] of SETTINGS) {
      const value = call.args.get(name);
      if (value !== undefined) adapter.settings.set(field, settingOf(value));
    }
    const mac = call.args.get("StaticMacAddress");
    if (mac !== undefined) adapter.mac = toText(mac);
    if (call.args.get("Passthru") === true) call.emit(objectOf(reference, call));
  }
}

// Isolation

const MODES = ["None", "NativeVirtualSubnet", "ExternalVirtualSubnet", "Vlan"];

function setIsolation(call: Call): void {
  for (const { adapter } of adaptersOf(call)) {
    if (!adapter) continue;
    adapter.place = call.place;
    const mode = call.args.get("IsolationMode");
    if (mode === "Vlan") call.fail("ISOLATION_MODE_VLAN", "isolation by VLAN is not emulated");
    else if (mode !== undefined) adapter.isolation.set("mode", mode);
    for (const [name, field] of ISOLATION_FIELDS) {
      const value = call.args.get(name);
      if (value !== undefined) adapter.isolation.set(field, settingOf(value));
    }
  }
}

const ISOLATION_FIELDS: readonly (readonly [string, string])[] = [
  ["MultiTenantStack", "multiTenantStack"],
  ["AllowUntaggedTraffic", "allowUntaggedTraffic"],
  ["DefaultIsolationID", "defaultIsolationID"],
];

function getIsolation(call: Call): void {
  for (const { vm, adapter } of adaptersOf(call)) {
    if (!adapter) continue;
    const value = (field: string, standard: Value): Value => adapter.isolation.get(field) ?? standard;
    const properties = new Table()
      .set("IsolationMode", value("mode", "None"))
      .set("AllowUntaggedTraffic", value("allowUntaggedTraffic", false))
      .set("DefaultIsolationID", value("defaultIsolationID", 0))
      .set("MultiTenantStack", value("multiTenantStack", false) === true ? "On" : "Off")
      .set("VMName", vm.name)
      .set("PSComputerName", call.host);
    call.emit(new Thing("VMNetworkAdapterIsolationSetting", properties));
  }
}

// Routing domains of a multi-tenant gateway's adapter

function mappingObject(adapter: Adapter, mapping: Mapping, host: string): Thing {
  const properties = new Table()
    .set("RoutingDomainID", mapping.id)
    .set("RoutingDomainName", mapping.name)
    .set("IsolationID", mapping.isolationIDs)
    .set("IsolationName", mapping.isolationNames)
    .set("PSComputerName", host);
  return new Thing("VMNetworkAdapterRoutingDomainMapping", properties, null, { adapter, mapping });
}

interface MappingReference {
  readonly adapter: Adapter;
  readonly mapping: Mapping;
}

function addMapping(call: Call): void {
  const id = toText(call.args.get("RoutingDomainID")!);
  const name = toText(call.args.get("RoutingDomainName")!);
  for (const { adapter } of adaptersOf(call)) {
    if (!adapter) continue;
    if (adapter.mappings.some((mapping) => mapping.id === id || mapping.name.toLowerCase() === name.toLowerCase())) {
      call.fail("MAPPING_EXISTS", `the adapter has a mapping for ${shown(name)} or ${id} already`);
      continue;
    }
    adapter.place = call.place;
    const mapping: Mapping = {
      id,
      name,
      isolationIDs: objectsOf(call.args.get("IsolationID")!).map(Number),
      isolationNames: texts(call.args.get("IsolationName")),
    };
    adapter.mappings.push(mapping);
    if (call.args.get("Passthru") === true) call.emit(mappingObject(adapter, mapping, call.host));
  }
}

/** The mappings that filters or objects pick; without a VM those of all. */
function mappingsOf(call: Call): readonly MappingReference[] {
  const given = objectsOf(call.args.get("InputObject") ?? null);
  if (given.length > 0)
    return given.flatMap((object) => (object instanceof Thing ? [object.behind as MappingReference] : []));
  const isAll = !["VMName", "VM", "ManagementOS", "VMNetworkAdapter"].some((name) => call.args.has(name));
  const all = [...call.hosts.host(call.host).vms.values()].flatMap((vm) => vm.adapters);
  const adapters = isAll ? all : adaptersOf(call).flatMap(({ adapter }) => adapter ?? []);
  const id = call.args.get("RoutingDomainID");
  const name = call.args.get("RoutingDomainName");
  return adapters.flatMap((adapter) =>
    adapter.mappings
      .filter((mapping) => id === undefined || mapping.id === id)
      .filter((mapping) => name === undefined || mapping.name.toLowerCase() === toText(name).toLowerCase())
      .map((mapping) => ({ adapter, mapping })),
  );
}

function changeMappings(call: Call, change: (reference: MappingReference) => Mapping | null): void {
  const found = mappingsOf(call);
  if (found.length === 0) call.fail("NOT_FOUND", `no routing domain mapping on ${call.host} is meant by this`);
  for (const reference of found) {
    const { adapter, mapping } = reference;
    const changed = change(reference);
    adapter.place = call.place;
    adapter.mappings.splice(adapter.mappings.indexOf(mapping), 1, ...(changed ? [changed] : []));
    if (call.args.get("Passthru") === true) call.emit(mappingObject(adapter, changed ?? mapping, call.host));
  }
}

function setMapping(call: Call): void {
  changeMappings(call, ({ mapping }) => ({
    id: mapping.id,
    name: call.args.has("NewRoutingDomainName") ? toText(call.args.get("NewRoutingDomainName")!) : mapping.name,
    isolationIDs: call.args.has("IsolationID")
      ? objectsOf(call.args.get("IsolationID")!).map(Number)
      : mapping.isolationIDs,
    isolationNames: call.args.has("IsolationName") ? texts(call.args.get("IsolationName")) : mapping.isolationNames,
  }));
}

const RDID: ParameterSpec = { name: "RoutingDomainID", kind: "guid" };
const RD_NAME: ParameterSpec = { name: "RoutingDomainName", kind: "string" };
const ISOLATION_ID: ParameterSpec = { name: "IsolationID", kind: "int32", isList: true };
const ISOLATION_NAME: ParameterSpec = { name: "IsolationName", kind: "string", isList: true };
const VM_ADAPTER_NAME: ParameterSpec = { name: "VMNetworkAdapterName", kind: "string", isList: true };
const MAPPING_INPUT: ParameterSpec = { name: "InputObject", kind: "object", isList: true, fromPipeline: true };
/** Where -InputObject is a mapping, adapters come by their own parameter only. */
const WHICH_OF_MAPPINGS = WHICH.map((parameter) =>
  parameter.name === "VMNetworkAdapter" ? { ...parameter, aliases: [], fromPipeline: false } : parameter,
);

export const VM_NETWORK_ADAPTER: readonly Cmdlet[] = [
  {
    name: "Get-VM",
    parameters: [
      { name: "Name", aliases: ["VMName"], kind: "string", isList: true, position: 0, fromPipeline: true },
      ...COMPUTER,
    ],
    run: (call) => {
      const host = call.hosts.host(call.host);
      const names = texts(call.args.get("Name"));
      const vms = names.length > 0 ? names.map((name) => host.vm(name)) : [...host.vms.values()];
      for (const { name } of vms) {
        const properties = new Table()
          .set("Name", name)
          .set("VMName", name)
          .set("State", "Running")
          .set("PSComputerName", call.host);
        call.emit(new Thing("VirtualMachine", properties, name));
      }
    },
  },
  {
    name: "Get-VMNetworkAdapter",
    parameters: [
      ...WHICH.map((parameter) => ({ ...parameter, fromPipeline: parameter.name === "VM" })),
      ADAPTER_NAME,
      { name: "All", kind: "switch" },
      ...COMPUTER,
    ],
    run: get,
  },
  {
    name: "Set-VMNetworkAdapter",
    parameters: [
      ...WHICH,
      ADAPTER_NAME,
      ...SETTINGS.map(([parameter]) => parameter),
      { name: "StaticMacAddress", kind: "mac" },
      ...WITHOUT_EFFECT.map((parameter) => ({ ...parameter, isIgnored: true })),
      PASS_THRU,
      ...COMPUTER,
    ],
    changes: true,
    run: set,
  },
  {
    name: "Set-VMNetworkAdapterIsolation",
    parameters: [
      ...WHICH,
      VM_ADAPTER_NAME,
      { name: "IsolationMode", kind: "enum", values: MODES },
      { name: "AllowUntaggedTraffic", kind: "boolean" },
      { name: "DefaultIsolationID", kind: "int32" },
      { name: "MultiTenantStack", kind: "enum", values: ON_OFF },
      PASS_THRU,
      ...COMPUTER,
    ],
    changes: true,
    isNewInR2: true,
    run: setIsolation,
  },
  {
    name: "Get-VMNetworkAdapterIsolation",
    parameters: [
      ...WHICH,
      VM_ADAPTER_NAME,
      { name: "VMSnapshot", aliases: ["VMCheckpoint"], kind: "object" },
      ...COMPUTER,
    ],
    isNewInR2: true,
    run: getIsolation,
  },
  {
    name: "Add-VMNetworkAdapterRoutingDomainMapping",
    parameters: [
      ...WHICH,
      VM_ADAPTER_NAME,
      { ...RDID, isRequired: true, position: 1 },
      { ...RD_NAME, isRequired: true, position: 2 },
      { ...ISOLATION_ID, isRequired: true, position: 3 },
      { ...ISOLATION_NAME, position: 4 },
      PASS_THRU,
      ...COMPUTER,
    ],
    changes: true,
    isNewInR2: true,
    run: addMapping,
  },
  {
    name: "Set-VMNetworkAdapterRoutingDomainMapping",
    parameters: [
      ...WHICH_OF_MAPPINGS,
      VM_ADAPTER_NAME,
      RDID,
      RD_NAME,
      { name: "NewRoutingDomainName", kind: "string" },
      ISOLATION_ID,
      ISOLATION_NAME,
      MAPPING_INPUT,
      PASS_THRU,
      ...COMPUTER,
    ],
    changes: true,
    isNewInR2: true,
    run: setMapping,
  },
  {
    name: "Get-VMNetworkAdapterRoutingDomainMapping",
    parameters: [...WHICH_OF_MAPPINGS, VM_ADAPTER_NAME, RDID, RD_NAME, ...COMPUTER],
    isNewInR2: true,
    run: (call) => {
      for (const { adapter, mapping } of mappingsOf(call)) call.emit(mappingObject(adapter, mapping, call.host));
    },
  },
  {
    name: "Remove-VMNetworkAdapterRoutingDomainMapping",
    parameters: [...WHICH_OF_MAPPINGS, VM_ADAPTER_NAME, RDID, RD_NAME, MAPPING_INPUT, PASS_THRU, ...COMPUTER],
    changes: true,
    isNewInR2: true,
    run: (call) => changeMappings(call, () => null),
  },
];
