/** The ports of one host's virtual switch: its VMs' network adapters and its physical NICs. */
import type { LocalPort, LocalPorts } from "../dataplane/slowpath/index.js";
import type { PortIndex } from "../dataplane/transposition/index.js";
import type { Mac, Vsid } from "../dataplane/wire/index.js";
import type { AdapterSettings, NicSettings } from "./settings.js";

const NO_VSID = 0 as Vsid;

export interface AdapterAtPort {
  readonly port: PortIndex;
  readonly settings: AdapterSettings;
}
export interface NicAtPort {
  readonly port: PortIndex;
  readonly settings: NicSettings;
}

/** Immutable: a change makes the next one. */
export class HostPorts implements LocalPorts {
  readonly #adapters = new Map<PortIndex, AdapterSettings>();
  readonly #local = new Map<PortIndex, LocalPort>();
  readonly #nics: PortIndex[] = [];
  /** By VSID, then MAC: two virtual subnets may use the same MAC. */
  readonly #owners = new Map<Vsid, Map<Mac, PortIndex>>();
  readonly #plain: PortIndex[] = [];

  /** `down`: NICs without a link, and adapters of VMs that do not run; they own nothing for the time being. */
  constructor(
    private readonly adapters: readonly AdapterAtPort[],
    private readonly nics: readonly NicAtPort[],
    private readonly down: ReadonlySet<PortIndex> = new Set(),
  ) {
    for (const { port, settings } of adapters) {
      this.#adapters.set(port, settings);
      const { mac, vsid, guest, dynamicIPAddressLimit, isolation } = settings;
      this.#local.set(port, {
        kind: "adapter",
        mac,
        vsid,
        interfaceIndex: 0,
        guestOffload: guest,
        dynamicIPAddressLimit,
      });
      if (down.has(port)) continue;
      if (isolation?.mode === "ExternalVirtualSubnet") continue; // nobody here has frames for it
      for (const own of [vsid, ...(isolation?.hiddenVsids ?? [])]) {
        const owners = this.#owners.get(own) ?? new Map<Mac, PortIndex>();
        this.#owners.set(own, owners.set(mac, port));
      }
      if (vsid === NO_VSID && !this.isFiltered(port)) this.#plain.push(port);
    }
    nics.forEach(({ port, settings }, index) => {
      const { mac, offload, rssQueues } = settings;
      const interfaceIndex = index + 1;
      this.#local.set(port, { kind: "nic", mac, vsid: NO_VSID, interfaceIndex, nicOffload: offload, rssQueues });
      this.#nics.push(port);
    });
  }

  withAdapters(added: readonly AdapterAtPort[]): HostPorts {
    return new HostPorts([...this.adapters, ...added], this.nics, this.down);
  }

  withoutAdapters(ports: ReadonlySet<PortIndex>): HostPorts {
    const others = this.adapters.filter(({ port }) => !ports.has(port));
    return new HostPorts(others, this.nics, new Set([...this.down].filter((port) => !ports.has(port))));
  }

  /** These ports go up or down, the others stay as they are. */
  withState(ports: Iterable<PortIndex>, isUp: boolean): HostPorts {
    const down = new Set(this.down);
    for (const port of ports) {
      if (isUp) down.delete(port);
      else down.add(port);
    }
    return new HostPorts(this.adapters, this.nics, down);
  }

  isUp(port: PortIndex): boolean {
    return !this.down.has(port);
  }
  get areAllUp(): boolean {
    return this.down.size === 0;
  }
  get all(): readonly PortIndex[] {
    return [...this.#local.keys()];
  }
  adaptersOfVm(vm: string): readonly AdapterAtPort[] {
    return this.adapters.filter(({ settings }) => settings.vmName === vm);
  }

  settingsOf(port: PortIndex): LocalPort {
    return this.#local.get(port)!;
  }
  /** Those of VMs that do not run too. */
  get allAdapters(): readonly AdapterSettings[] {
    return [...this.#adapters.values()];
  }
  /** Has any adapter a storm limit? */
  limitsStorms(): boolean {
    return [...this.#adapters.values()].some(({ stormLimit }) => stormLimit > 0);
  }
  adapterAt(port: PortIndex): AdapterSettings {
    return this.#adapters.get(port)!;
  }
  /** The plain port of an adapter whose guest takes and sends frames with isolation ids only. */
  isFiltered(port: PortIndex): boolean {
    return this.#adapters.get(port)?.isolation?.isFiltered ?? false;
  }
  portOf(vsid: Vsid, mac: Mac): PortIndex | undefined {
    return this.#owners.get(vsid)?.get(mac);
  }
  portsOf(vsid: Vsid): readonly PortIndex[] {
    return [...(this.#owners.get(vsid)?.values() ?? [])].sort((a, b) => a - b);
  }
  hasVsid(vsid: Vsid): boolean {
    return this.#owners.has(vsid);
  }
  vsids(): Iterable<Vsid> {
    return [...this.#owners.keys()].filter((vsid) => vsid !== NO_VSID);
  }
  nicPort(interfaceIndex: number): PortIndex {
    return this.#nics[interfaceIndex - 1]!;
  }
  nicMac(port: PortIndex): Mac {
    return this.#local.get(port)!.mac;
  }
  nicPorts(): readonly PortIndex[] {
    return this.#nics;
  }
  /** Adapters outside of network virtualization. */
  plainAdapters(): readonly PortIndex[] {
    return this.#plain;
  }
}
