/**
 * From the hosts that a script has configured to a fabric file: the rows of their tables, as what the cmdlets print is taken anywhere else
 * (`fabric-file/powershell`), and the VMs whose adapters the script has set.
 */
import { formatAddress, formatMac, parseAddress, parseMac } from "../../dataplane/wire/index.js";
import { CLASSES, putField } from "../fabric-file/powershell/classes.js";
import { policySource } from "../fabric-file/powershell/policy-source.js";
import type { KnownVm, PolicyLists, PolicyObject } from "../fabric-file/powershell/surroundings.js";
import type { Source, SourcePosition } from "../fabric-file/source.js";
import type { Path } from "../problem.js";
import type { Adapter, Row, ScriptHost, ScriptHosts, Vm } from "./hosts.js";
import type { Journal } from "./journal.js";
import { type Place, type Position, positionOf } from "./script.js";
import { toText } from "./values.js";

/** The fabric file as plain values, of which every part leads back to the command that made it. */
export interface FabricSource extends Source {
  readonly plain: Record<string, unknown>;
}

export function fabricSource(hosts: ScriptHosts, journal: Journal, start: Position): FabricSource {
  const places: Place[] = [];
  /** Rows are known by a number in the place of an offset. */
  const numbered = (place: Place): number => places.push(place) - 1;
  const lists: PolicyLists = { lookupRecords: [], customerRoutes: [], providerAddresses: [], providerRoutes: [] };
  const globals: PolicyObject[] = [];
  for (const host of hosts.all) {
    for (const isA of CLASSES) {
      if (isA.list === null) continue;
      for (const row of host.tables[isA.list].values()) {
        const raw: Record<string, unknown> = { host: host.name };
        for (const [property, value] of Object.entries(row.properties)) putField(raw, isA, property, () => value);
        lists[isA.list].push({ raw: withoutUsual(raw), offset: numbered(row.place) });
      }
    }
    const { useExternalRouter: global } = host;
    if (global)
      globals.push({ raw: { host: host.name, useExternalRouter: global.value }, offset: numbered(global.place) });
  }
  const vms = new KnownVms(hosts, journal);
  const { plain, originOf } = policySource({
    lists,
    globals,
    hosts: hosts.all.map(({ name }) => name),
    knowledge: {
      nicName: (host, index) => hosts.find(host)?.nics.find((nic) => nic.index === index)?.name,
      vms: (host) => vms.of(host).map(({ vm, place }) => ({ ...vm, offset: numbered(place) })),
    },
  });
  for (const [list, objects] of Object.entries(lists)) {
    const merged = mergedHosts(objects, hosts.all.length);
    objects.length = 0;
    for (const object of merged) objects.push(object);
    if (list in plain) plain[list] = objects.map(({ raw }) => raw);
  }
  if (hosts.mode === "2012") plain.mode = "2012";
  const position = (path: Path): SourcePosition => {
    const found = originOf(path);
    return found ? positionOf(places[found.origin.offset]!) : start;
  };
  return { plain, problems: [], warnings: [], position, keyPosition: position };
}

/** What a row has anyway need not be written. */
function withoutUsual(raw: Record<string, unknown>): Record<string, unknown> {
  if (raw.type === "Static") delete raw.type;
  if (raw.useVmMACAddress === false) delete raw.useVmMACAddress;
  return raw;
}

/** A row that all hosts have is written once, without a host. */
function mergedHosts(objects: readonly PolicyObject[], hosts: number): readonly PolicyObject[] {
  const keyOf = ({ raw: { host: _, ...rest } }: PolicyObject): string => JSON.stringify(rest);
  const counts = new Map<string, number>();
  for (const object of objects) counts.set(keyOf(object), (counts.get(keyOf(object)) ?? 0) + 1);
  const written = new Set<string>();
  return objects.flatMap((object) => {
    const key = keyOf(object);
    if (counts.get(key)! < hosts) return [object];
    if (written.has(key)) return [];
    written.add(key);
    const { host: _, ...raw } = object.raw;
    return [{ ...object, raw }];
  });
}

interface PlacedVm {
  readonly vm: Omit<KnownVm, "offset">;
  readonly place: Place;
}

/** The VMs that the script names, with the MAC addresses that it left to be known from elsewhere. */
class KnownVms {
  readonly #hosts: readonly ScriptHost[];
  /** Where a MAC is at home, by the provider addresses of its records. */
  readonly #homes = new Map<string, Set<string>>();
  readonly #macs = new Map<Adapter, string>();
  readonly #owners = new Map<string, Set<string>>();

  constructor(
    private readonly hosts: ScriptHosts,
    private readonly journal: Journal,
  ) {
    this.#hosts = hosts.all;
    const owners = new Map<string, string>();
    for (const host of this.#hosts)
      for (const address of host.tables.providerAddresses.keys()) owners.set(address, host.name);
    for (const row of this.#records()) {
      const home = owners.get(text(row, "ProviderAddress"));
      if (home !== undefined) add(this.#homes, text(row, "MACAddress"), home);
    }
    for (const host of this.#hosts) for (const vm of host.vms.values()) this.#settleMacs(host, vm);
  }

  /** In the script's order; an adapter that the script names on several hosts is on the one where its records place it. */
  of(name: string): readonly PlacedVm[] {
    const host = this.#hosts.find((candidate) => candidate.name === name);
    return [...(host?.vms.values() ?? [])].flatMap((vm) => {
      const adapters = vm.adapters.filter((adapter) => this.#isAtHome(vm, adapter, name));
      if (adapters.length === 0) return [];
      const documents = adapters.map((adapter) => this.#document(host!, adapter));
      return [{ vm: { name: vm.name, adapters: documents }, place: adapters[0]!.place }];
    });
  }

  #isAtHome(vm: Vm, adapter: Adapter, host: string): boolean {
    const mac = this.#macs.get(adapter)!;
    const claimants = this.#owners.get(`${vm.name.toLowerCase()} ${mac}`)!;
    const homes = [...(this.#homes.get(mac) ?? [])].filter((home) => claimants.has(home));
    if (homes.length > 0 || claimants.size === 1) return claimants.size === 1 || homes.includes(host);
    const [first] = claimants;
    const message = `the script sets ${vm.name} on ${claimants.size} hosts, and no record says where it is: it is on ${first!}`;
    if (host === first) this.journal.warn("VM_ON_SEVERAL_HOSTS", message, adapter.place);
    return host === first;
  }

  #records(): readonly Row[] {
    return this.#hosts.flatMap((host) => [...host.tables.lookupRecords.values()]);
  }

  #settleMacs(host: ScriptHost, vm: Vm): void {
    for (const adapter of vm.adapters) {
      const mac = adapter.mac ?? this.#macFromRecords(host, vm, adapter) ?? this.#madeUpMac(vm, adapter);
      this.#macs.set(adapter, mac);
      add(this.#owners, `${vm.name.toLowerCase()} ${mac}`, host.name);
    }
  }

  /** Of the records with the VM's name; else of the one record that could be the VM's: of its VSID, with a PA of its host, and of no other VM. */
  #macFromRecords(host: ScriptHost, vm: Vm, adapter: Adapter): string | undefined {
    const vsid = adapter.settings.get("vsid");
    const records = this.#records().filter(({ properties }) => !vsid || properties.VirtualSubnetID === vsid);
    const isFree = (mac: string): boolean =>
      !vm.adapters.some((other) => other !== adapter && (other.mac ?? this.#macs.get(other)) === mac);
    const macsOf = (rows: readonly Row[]): readonly string[] =>
      [...new Set(rows.map((row) => text(row, "MACAddress")))].filter(isFree);
    const named = macsOf(records.filter((row) => text(row, "VMName").toLowerCase() === vm.name.toLowerCase()));
    if (named.length > 0) return named[0];
    const taken = new Set([...host.vms.values()].flatMap((other) => other.adapters.flatMap(({ mac }) => mac ?? [])));
    const own = host.tables.providerAddresses;
    const possible = macsOf(
      records.filter(
        (row) =>
          vsid &&
          own.has(text(row, "ProviderAddress")) &&
          text(row, "VMName") === "" &&
          !taken.has(text(row, "MACAddress")),
      ),
    );
    if (possible.length !== 1) return undefined;
    const message = `${vm.name} is taken for the VM with MAC ${possible[0]!}, the only one of VSID ${toText(vsid!)} on ${host.name}`;
    this.journal.warn("VM_MAC_SUPPOSED", message, adapter.place, "write -VMName into its lookup records");
    return possible[0];
  }

  #madeUpMac(vm: Vm, adapter: Adapter): string {
    adapter.mac = this.hosts.makeUpMac();
    const message = `the MAC address of ${vm.name} is not known, and made up: ${adapter.mac}`;
    this.journal.warn("VM_MAC_MADE_UP", message, adapter.place, "write -VMName into its lookup records");
    return adapter.mac;
  }

  #document(host: ScriptHost, adapter: Adapter): { readonly mac: string } {
    const mac = this.#macs.get(adapter)!;
    const { isolation, mappings, settings } = adapter;
    const document: Record<string, unknown> = Object.fromEntries(settings);
    if (isolation.size > 0 || mappings.length > 0) {
      document.isolation = {
        mode: "None",
        ...Object.fromEntries(isolation),
        ...(mappings.length === 0 ? {} : { routingDomains: mappings.map(mappingDocument) }),
      };
    } else if (!settings.has("vsid")) {
      const own = [...host.tables.lookupRecords.values()].find(
        (row) => text(row, "MACAddress") === mac && host.tables.providerAddresses.has(text(row, "ProviderAddress")),
      );
      if (own) document.vsid = own.properties.VirtualSubnetID;
    }
    return { mac: formatMac(parseMac(mac)!), ...document };
  }
}

const mappingDocument = ({ id, isolationIDs, isolationNames }: Adapter["mappings"][number]): object => ({
  id,
  isolationIDs,
  ...(isolationNames.length === 0 ? {} : { isolationNames }),
});

const text = ({ properties }: Row, name: string): string => {
  const value = toText(properties[name] ?? null);
  const address = name === "ProviderAddress" ? parseAddress(value) : undefined;
  return address ? formatAddress(address) : value;
};

function add(map: Map<string, Set<string>>, key: string, value: string): void {
  map.set(key, (map.get(key) ?? new Set()).add(value));
}
