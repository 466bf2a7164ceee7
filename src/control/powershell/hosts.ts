/**
 * The hosts that a script configures: the tables of NetWNV as their cmdlets show them, and the adapters of VMs.
 *
 * A host comes into being when a command changes something on it. Rows are the objects that Get-NetVirtualization… prints, each with the
 * place of the command that wrote it last.
 */
import type { ListName } from "../fabric-file/powershell/classes.js";
import type { Place } from "./script.js";
import type { Value } from "./values.js";

/** A row of a table: properties by name. Never changed; a change puts another in its place. */
export interface Row {
  readonly properties: Readonly<Record<string, Value>>;
  readonly place: Place;
}

/** Settings of an adapter, as a fabric file calls them. */
export interface Adapter {
  /** null: nobody has said. */
  name: string | null;
  /** 12 digits; null: nobody has said. */
  mac: string | null;
  switchName: string | null;
  readonly settings: Map<string, Value>;
  readonly isolation: Map<string, Value>;
  readonly mappings: Mapping[];
  /** The command that named it last. */
  place: Place;
}

/** Add-VMNetworkAdapterRoutingDomainMapping */
export interface Mapping {
  readonly id: string;
  readonly name: string;
  readonly isolationIDs: readonly number[];
  readonly isolationNames: readonly string[];
}

export interface Vm {
  readonly name: string;
  readonly adapters: Adapter[];
}

export interface Nic {
  name: string;
  readonly index: number;
}

/** Beyond what scripts write as an interface index. */
const FIRST_MADE_INDEX = 100_001;

export class ScriptHost {
  readonly tables: Readonly<Record<ListName, Map<string, Row>>> = {
    lookupRecords: new Map(),
    customerRoutes: new Map(),
    providerAddresses: new Map(),
    providerRoutes: new Map(),
  };
  useExternalRouter: { readonly value: boolean; readonly place: Place } | null = null;
  readonly vms = new Map<string, Vm>();
  readonly nics: Nic[] = [];

  constructor(readonly name: string) {}

  /** The NIC of this name; a new one if there is none. */
  nic(name: string): Nic {
    const known = this.nics.find((nic) => nic.name.toLowerCase() === name.toLowerCase());
    if (known) return known;
    const nic = { name, index: FIRST_MADE_INDEX + this.nics.length };
    this.nics.push(nic);
    return nic;
  }

  nicAt(index: number): Nic {
    const known = this.nics.find((nic) => nic.index === index);
    if (known) return known;
    const nic = { name: `Interface ${index}`, index };
    this.nics.push(nic);
    return nic;
  }

  /** Gives a NIC that nobody has named the name that it is asked for; false if another one has it. */
  renameNic(nic: Nic, name: string): boolean {
    const isTaken = this.nics.some((other) => other !== nic && other.name.toLowerCase() === name.toLowerCase());
    if (!isTaken) nic.name = name;
    return !isTaken;
  }

  vm(name: string): Vm {
    const key = name.toLowerCase();
    const known = this.vms.get(key);
    if (known) return known;
    const vm: Vm = { name, adapters: [] };
    this.vms.set(key, vm);
    return vm;
  }
}

/** Hyper-V's limit: eight synthetic and four legacy ones. */
export const ADAPTERS_MAX = 12;

export const newAdapter = (place: Place, name: string | null = null, mac: string | null = null): Adapter => ({
  name,
  mac,
  switchName: null,
  settings: new Map(),
  isolation: new Map(),
  mappings: [],
  place,
});

export interface HostChoices {
  readonly mode: "2012" | "2012R2";
  /** The hosts that there are; the first is where commands act that name none. Empty: whichever the script names. */
  readonly known: readonly string[];
  /** A record without an address and without a type stands for a gateway, also in 2012R2. */
  readonly assumeWildcard: boolean;
}

export class ScriptHosts {
  readonly #hosts = new Map<string, ScriptHost>();
  #madeUpMacs = 0;
  readonly mode: HostChoices["mode"];
  readonly known: readonly string[];
  readonly assumeWildcard: boolean;
  /** Where a command acts that names no host and stands in no block sent to one. */
  readonly standard: string;

  constructor({ mode, known, assumeWildcard }: HostChoices) {
    this.mode = mode;
    this.known = known;
    this.assumeWildcard = assumeWildcard;
    this.standard = known[0] ?? "host1";
  }

  isKnown(name: string): boolean {
    return this.known.length === 0 || this.known.some((known) => known.toLowerCase() === name.toLowerCase());
  }

  /** The host; it comes into being. */
  host(name: string): ScriptHost {
    const key = name.toLowerCase();
    const host =
      this.#hosts.get(key) ?? new ScriptHost(this.known.find((known) => known.toLowerCase() === key) ?? name);
    this.#hosts.set(key, host);
    return host;
  }

  /** The host if a command has changed something there. */
  find(name: string): ScriptHost | undefined {
    return this.#hosts.get(name.toLowerCase());
  }

  /** A locally administered MAC address, another each time. */
  makeUpMac(): string {
    this.#madeUpMacs++;
    return `02155D${this.#madeUpMacs.toString(16).toUpperCase().padStart(6, "0")}`;
  }

  get all(): readonly ScriptHost[] {
    return [...this.#hosts.values()];
  }
}
