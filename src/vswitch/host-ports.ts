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

/**
 * Immutable: a change makes the next one.
 *
 * A port is down for two reasons, each of which ends by itself: its own (the NIC has no link, the adapter's VM is on its way to another host),
 * and the host's, which is away.
 */
export class HostPorts implements LocalPorts {
  readonly #adapters = new Map<PortIndex, AdapterSettings>();
  readonly #local = new Map<PortIndex, LocalPort>();
  readonly #nics: PortIndex[] = [];
  /** By VSID, then MAC: two virtual subnets may use the same MAC. */
  readonly #owners = new Map<Vsid, Map<Mac, PortIndex>>();
  readonly #plain: PortIndex[] = [];

  /** `stopped`: NICs without a link, and adapters of VMs on their way. What is down owns nothing for the time being. */
  constructor(
    private readonly adapters: readonly AdapterAtPort[],
    private readonly nics: readonly NicAtPort[],
    private readonly stopped: ReadonlySet<PortIndex> = new Set(),
    /** The host is switched off, or starts. */
    readonly isAway = false,
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
      if (!this.isUp(port)) continue;
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
    return new HostPorts([...this.adapters, ...added], this.nics, this.stopped, this.isAway);
  }

  withoutAdapters(ports: ReadonlySet<PortIndex>): HostPorts {
    const others = this.adapters.filter(({ port }) => !ports.has(port));
    const stopped = new Set([...this.stopped].filter((port) => !ports.has(port)));
    return new HostPorts(others, this.nics, stopped, this.isAway);
  }

  /** These ports stop, or start again, for a reason of their own. */
  withStopped(ports: Iterable<PortIndex>, isStopped: boolean): HostPorts {
    const stopped = new Set(this.stopped);
    for (const port of ports) {
      if (isStopped) stopped.add(port);
      else stopped.delete(port);
    }
    return new HostPorts(this.adapters, this.nics, stopped, this.isAway);
  }

  /** The host goes away with all its ports, or is back with those that have not stopped. */
  withHostAway(isAway: boolean): HostPorts {
    return new HostPorts(this.adapters, this.nics, this.stopped, isAway);
  }

  isUp(port: PortIndex): boolean {
    return !this.isAway && !this.stopped.has(port);
  }
  /** Of a NIC: has it no link? Of an adapter: is its VM on its way? Whether or not the host is away. */
  hasStopped(port: PortIndex): boolean {
    return this.stopped.has(port);
  }
  get areAllUp(): boolean {
    return !this.isAway && this.stopped.size === 0;
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
