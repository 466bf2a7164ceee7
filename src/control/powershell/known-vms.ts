/**
 * The VMs that a script names, as a fabric file has them: with the MAC addresses that the script left to be known from elsewhere, and each on one host.
 */
import { formatMac, parseMac } from "../../dataplane/wire/index.js";
import type { KnownVm } from "../fabric-file/powershell/surroundings.js";
import type { Adapter, Mapping, Row, ScriptHost, ScriptHosts, Vm } from "./hosts.js";
import type { Journal } from "./journal.js";
import type { Place } from "./script.js";
import { toText, type Value } from "./values.js";

export interface PlacedVm {
  readonly vm: Omit<KnownVm, "offset">;
  readonly place: Place;
}

export class KnownVms {
  readonly #records: RecordIndex;
  readonly #macs = new Map<Adapter, string>();
  /** The hosts on which the script sets a VM's adapter, by VM and MAC. */
  readonly #settings = new Map<string, Set<string>>();

  constructor(
    private readonly hosts: ScriptHosts,
    private readonly journal: Journal,
  ) {
    this.#records = new RecordIndex(hosts.all);
    for (const host of hosts.all) for (const vm of host.vms.values()) this.#settleMacs(host, vm);
  }

  /** In the script's order. */
  of(name: string): readonly PlacedVm[] {
    const host = this.hosts.find(name);
    return [...(host?.vms.values() ?? [])].flatMap((vm) => {
      const adapters = vm.adapters.filter((adapter) => this.#isHere(vm, adapter, name));
      if (adapters.length === 0) return [];
      const documents = adapters.map((adapter) => this.#document(name, adapter));
      return [{ vm: { name: vm.name, adapters: documents }, place: adapters[0]!.place }];
    });
  }

  #settleMacs(host: ScriptHost, vm: Vm): void {
    const taken = new Set(vm.adapters.flatMap(({ mac }) => mac ?? []));
    for (const adapter of vm.adapters) {
      const mac = adapter.mac ?? this.#macFromRecords(host, vm, adapter, taken) ?? this.#madeUpMac(vm, adapter);
      taken.add(mac);
      this.#macs.set(adapter, mac);
      add(this.#settings, `${vm.name.toLowerCase()} ${mac}`, host.name);
    }
  }

  /** Of the records with the VM's name; else of the one record that could be the VM's. */
  #macFromRecords(host: ScriptHost, vm: Vm, adapter: Adapter, taken: ReadonlySet<string>): string | undefined {
    const vsid = adapter.settings.get("vsid") || null;
    const named = this.#records.macsOf(vm.name, vsid).find((mac) => !taken.has(mac));
    if (named !== undefined || vsid === null) return named;
    const mac = this.#records.takeOnlyNameless(host.name, vsid);
    if (mac === undefined) return undefined;
    const message = `${vm.name} is taken for the VM with MAC ${mac}, the only one of VSID ${toText(vsid)} on ${host.name}`;
    this.journal.warn("VM_MAC_SUPPOSED", message, adapter.place, "write -VMName into its lookup records");
    return mac;
  }

  #madeUpMac(vm: Vm, adapter: Adapter): string {
    const mac = this.hosts.makeUpMac();
    const message = `the MAC address of ${vm.name} is not known, and made up: ${mac}`;
    this.journal.warn("VM_MAC_MADE_UP", message, adapter.place, "write -VMName into its lookup records");
    return mac;
  }

  /** An adapter that the script sets on several hosts is where its records place it; else where it was set first. */
  #isHere(vm: Vm, adapter: Adapter, host: string): boolean {
    const mac = this.#macs.get(adapter)!;
    const set = this.#settings.get(`${vm.name.toLowerCase()} ${mac}`)!;
    if (set.size === 1) return true;
    const homes = this.#records.homesOf(mac).filter((home) => set.has(home));
    if (homes.length > 0) return homes.includes(host);
    const [first] = set;
    const message = `the script sets ${vm.name} on ${set.size} hosts, and no record says where it is: it is on ${first!}`;
    if (host === first) this.journal.warn("VM_ON_SEVERAL_HOSTS", message, adapter.place);
    return host === first;
  }

  #document(host: string, adapter: Adapter): { readonly mac: string } {
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
      const vsid = this.#records.vsidOf(host, mac);
      if (vsid !== undefined) document.vsid = vsid;
    }
    return { mac: formatMac(parseMac(mac)!), ...document };
  }
}

const mappingDocument = ({ id, isolationIDs, isolationNames }: Mapping): object => ({
  id,
  isolationIDs,
  ...(isolationNames.length === 0 ? {} : { isolationNames }),
});

/** The lookup records of all hosts, by what tells of a VM. */
class RecordIndex {
  /** VM name, with and without VSID, to MACs. */
  readonly #named = new Map<string, Set<string>>();
  /** Host and VSID to MACs of records with a PA of the host and without a VM's name; those of named adapters left out. */
  readonly #nameless = new Map<string, Set<string>>();
  /** MAC to the hosts whose PAs its records name. */
  readonly #homes = new Map<string, Set<string>>();
  readonly #vsids = new Map<string, Value>();

  constructor(hosts: readonly ScriptHost[]) {
    const owners = new Map(
      hosts.flatMap(({ name, tables }) => [...tables.providerAddresses.keys()].map((pa) => [pa, name] as const)),
    );
    const described = new Set(
      hosts.flatMap(({ vms }) => [...vms.values()].flatMap((vm) => vm.adapters.flatMap(({ mac }) => mac ?? []))),
    );
    for (const { tables } of hosts) for (const row of tables.lookupRecords.values()) this.#add(row, owners, described);
  }

  #add({ properties }: Row, owners: ReadonlyMap<string, string>, described: ReadonlySet<string>): void {
    const text = (property: string): string => toText(properties[property] ?? null);
    const [mac, vsid, name] = [text("MACAddress"), text("VirtualSubnetID"), text("VMName").toLowerCase()];
    if (name !== "") {
      add(this.#named, name, mac);
      add(this.#named, `${name}/${vsid}`, mac);
    }
    const home = owners.get(text("ProviderAddress"));
    if (home === undefined) return;
    add(this.#homes, mac, home);
    if (name === "" && !described.has(mac)) add(this.#nameless, `${home}/${vsid}`, mac);
    if (!this.#vsids.has(`${home}/${mac}`)) this.#vsids.set(`${home}/${mac}`, properties.VirtualSubnetID ?? null);
  }

  macsOf(vm: string, vsid: Value): readonly string[] {
    const key = vm.toLowerCase();
    return [...(this.#named.get(vsid === null ? key : `${key}/${toText(vsid)}`) ?? [])];
  }

  /** The one MAC that a VM of this host and VSID could have; it is then no other VM's. */
  takeOnlyNameless(host: string, vsid: Value): string | undefined {
    const macs = this.#nameless.get(`${host}/${toText(vsid)}`);
    if (macs?.size !== 1) return undefined;
    const [mac] = macs;
    macs.clear();
    return mac;
  }

  homesOf(mac: string): readonly string[] {
    return [...(this.#homes.get(mac) ?? [])];
  }

  vsidOf(host: string, mac: string): Value | undefined {
    return this.#vsids.get(`${host}/${mac}`);
  }
}

function add(map: Map<string, Set<string>>, key: string, value: string): void {
  const known = map.get(key);
  if (known) known.add(value);
  else map.set(key, new Set([value]));
}
