/**
 * What a host knows, and how packets and time change it. Decisions see `snapshot`; what they raise, and timers, come to `settle`
 * between two ticks.
 */
import {
  ANY_STAMP,
  type CustomerRoute,
  changeHostPolicy,
  type HostPolicy,
  type HostPolicyChange,
  type HostPolicySnapshot,
  LookupRecords,
  type LookupRecordTable,
  makeHostPolicy,
  PolicyError,
  type ProviderAddress,
  portStamp,
  providerStamp,
} from "../dataplane/policy/index.js";
import {
  type ControlCounters,
  type MembershipCounters,
  type NodeState,
  type NodeWork,
  type NveEffect,
  NveState,
  type NveWork,
  toldOf,
} from "../dataplane/slowpath/index.js";
import type { Effect, NodeIndex, PortIndex, Stamp } from "../dataplane/transposition/index.js";
import type { Mac } from "../dataplane/wire/index.js";
import { HostPorts } from "./host-ports.js";
import type { HostSnapshot } from "./host-snapshot.js";
import type { AdapterSettings, HostSettings, ProviderAddressSettings } from "./settings.js";

/** What somebody wants of a host: the changes of policy, given its lookup records. */
export type ChangesFor = (records: LookupRecordTable) => readonly HostPolicyChange[];

/** Of a timer: in which life of the host it was set. */
interface OfLife {
  readonly life?: number;
}

export class HostState implements NodeState {
  readonly name: string;
  readonly node: NodeIndex;
  readonly settings: HostSettings;
  #snapshot: HostSnapshot;
  #life = 0;
  /** From a reboot on, until it is written again: the policy as management knows it. */
  #toRestore: HostPolicySnapshot | null = null;
  /** Since time has begun: has something settled at the next tick. */
  #later: ((effect: NveEffect) => void) | null = null;
  /** That has been asked for, and is to come. */
  #isFollowing = false;

  constructor(settings: HostSettings, node: NodeIndex, ports: ReadonlyMap<string, PortIndex>) {
    this.name = settings.name;
    this.node = node;
    this.settings = settings;
    const portOf = (name: string): PortIndex => ports.get(`${settings.name}/${name}`)!;
    this.#snapshot = {
      policy: makeHostPolicy({
        node,
        settings: settings.nve,
        lookupRecords: settings.lookupRecords,
        customerRoutes: settings.customerRoutes,
        providerAddresses: settings.providerAddresses.map((address) => providerAddress(settings, address)),
        providerRoutes: settings.providerRoutes,
        neighbors: settings.neighbors,
        interfaceMtus: settings.nics.map((nic) => nic.mtu),
      }),
      ports: new HostPorts(
        settings.adapters.map((adapter) => ({ port: portOf(adapter.portName), settings: adapter })),
        settings.nics.map((nic) => ({ port: portOf(nic.name), settings: nic })),
      ),
      state: new NveState(node),
    };
  }

  /** Is there a VM here, or do others tell of theirs, whose addresses can be learnt? As far as the policy in force goes. */
  get learns(): boolean {
    const { policy, ports } = this.#snapshot;
    if (policy.settings.mode === "2012") return false;
    const isL2Only = ({ vsid, mac }: AdapterSettings): boolean =>
      policy.lookupRecords.findByMac(vsid, mac).some(({ type }) => type === "L2Only");
    return policy.settings.learnFromFloods || ports.allAdapters.some(isL2Only);
  }

  /** How often the host has lost its memory. What was to happen in an earlier life does not. */
  get life(): number {
    return this.#life;
  }

  /** What decisions go by until the next change. */
  get snapshot(): HostSnapshot {
    return this.#snapshot;
  }

  begin(work: NodeWork): void {
    this.#later = (effect) => work.setTimer(work.nowMs, effect);
    this.#snapshot.state.begin(this.#nveWork(work));
  }

  settle(effect: Effect & OfLife, work: NodeWork): void {
    if (effect.kind === "groupsChanged") this.#isFollowing = false;
    if (this.#snapshot.ports.isAway || (effect.life ?? this.#life) !== this.#life) return;
    this.#snapshot.state.settle(effect as NveEffect, this.#nveWork(work));
  }

  told(effect: Effect): Effect | null {
    return toldOf(effect as NveEffect);
  }

  #nveWork(work: NodeWork): NveWork {
    const policy = (): HostPolicy => this.#snapshot.policy;
    const ports = (): HostPorts => this.#snapshot.ports;
    return {
      ...work,
      get policy() {
        return policy();
      },
      get ports() {
        return ports();
      },
      emit: (port, frame) => {
        if (ports().isUp(port)) work.emit(port, frame);
      },
      setTimer: (atMs, effect) => work.setTimer(atMs, { ...effect, life: this.#life }),
      changePolicy: (change) => work.moveStamps(this.changePolicy(change)),
    };
  }

  get controlCounters(): ControlCounters {
    return this.#snapshot.state.control.counters;
  }

  get membershipCounters(): MembershipCounters {
    return this.#snapshot.state.memberships.counters;
  }

  /** The host joins and leaves provider groups at the next tick, after all that happens now. */
  #groupsMayChange(): void {
    if (this.#isFollowing || !this.#later || this.#snapshot.policy.settings.resolve !== "wire") return;
    this.#isFollowing = true;
    this.#later({ kind: "groupsChanged" });
  }

  /** Changes the policy, as a cmdlet does, and names the stamps that move with it. Throws a PolicyError where a cmdlet would refuse. */
  changePolicy(change: HostPolicyChange): readonly Stamp[] {
    const { policy, stamps } = changeHostPolicy(this.#snapshot.policy, change);
    this.#snapshot = { ...this.#snapshot, policy };
    this.#snapshot.state.control.redirects.forget(stamps);
    if (mayChangeGroups(change, this.#snapshot)) this.#groupsMayChange();
    return [...stamps, ...this.#snapshot.state.learned.policyChanged(change, this.#snapshot)];
  }

  /** Changes the policy as management does, which writes it again after a reboot. */
  write(changesFor: ChangesFor): readonly Stamp[] {
    this.note(changesFor);
    return changesFor(this.#snapshot.policy.lookupRecords).flatMap((change) => this.changePolicy(change));
  }

  /** Management takes note of changes for when it writes the policy again. The host has nothing of it, and what cannot be is left out. */
  note(changesFor: ChangesFor): void {
    if (!this.#toRestore) return; // the host has it all
    for (const change of changesFor(this.#toRestore.lookupRecords)) {
      try {
        this.#toRestore = changeHostPolicy(this.#toRestore, change).policy;
      } catch (error) {
        if (!(error instanceof PolicyError)) throw error;
      }
    }
  }

  /** The policy as management knows it: the host's, or as long as that is lost the one that is to be written again. */
  get intended(): HostPolicySnapshot {
    return this.#toRestore ?? this.#snapshot.policy;
  }

  /** The ports come, go, or change their state; names the stamps that move. */
  changePorts(ports: HostPorts, changed: Iterable<PortIndex>): readonly Stamp[] {
    this.#snapshot = { ...this.#snapshot, ports };
    this.#groupsMayChange();
    return [ANY_STAMP, providerStamp(this.node), ...[...changed].map(portStamp)];
  }

  /** A NIC, by its interface index, has a link again. */
  linkUp(interfaceIndex: number, work: NodeWork): void {
    if (!this.#snapshot.ports.isAway) this.#snapshot.state.linkUp(interfaceIndex, this.#nveWork(work));
  }

  /** Lookup records, routes and provider addresses are not persistent; what the NVE remembers is not either. */
  forget(work: NodeWork): void {
    this.#toRestore ??= this.#withoutOwnFindings();
    this.#life++;
    const { policy, state } = this.#snapshot;
    const counted = {
      control: this.controlCounters,
      learned: state.learned.counters,
      memberships: this.membershipCounters,
    };
    this.#snapshot = { ...this.#snapshot, state: new NveState(this.node, counted) };
    for (const { destination } of policy.pathMtus.all)
      work.moveStamps(this.changePolicy({ kind: "pathMtuExpired", destination, nowMs: Number.POSITIVE_INFINITY }));
    const provider = { providerAddresses: [], providerRoutes: [], neighbors: [] };
    work.moveStamps(this.#changeAll({ lookupRecords: LookupRecords.from([]), customerRoutes: [], provider }));
    this.#snapshot.state.learned.tellLost(state.learned.records, this.#nveWork(work));
  }

  /** What others have written of the policy: without the addresses that the host has learnt, and the neighbors that it has found. */
  #withoutOwnFindings(): HostPolicySnapshot {
    const { policy, state } = this.#snapshot;
    let written = policy;
    for (const record of state.learned.records)
      written = changeHostPolicy(written, { kind: "recordRemoved", record }).policy;
    const neighbors = policy.neighbors.all.filter(({ address }) => !state.neighbors.isKnown(address));
    return changeHostPolicy(written, { kind: "providerReplaced", neighbors }).policy;
  }

  /** Management writes the policy again, with what it has changed meanwhile. */
  restore(work: NodeWork): void {
    const { lookupRecords, customerRoutes, providerAddresses, providerRoutes, neighbors } = this.intended;
    this.#toRestore = null;
    const provider = {
      providerAddresses: providerAddresses.all.map((pa) => ({ ...pa, addressState: "Preferred" as const })), // as at first
      providerRoutes: providerRoutes.all,
      neighbors: neighbors.all,
    };
    work.moveStamps(this.#changeAll({ lookupRecords, customerRoutes: customerRoutes.all, provider }));
    this.begin(work);
  }

  #changeAll(parts: {
    readonly lookupRecords: LookupRecordTable;
    readonly customerRoutes: readonly CustomerRoute[];
    readonly provider: Omit<Extract<HostPolicyChange, { kind: "providerReplaced" }>, "kind">;
  }): readonly Stamp[] {
    return [
      ...this.changePolicy({ kind: "recordsReplaced", records: parts.lookupRecords }),
      ...this.changePolicy({ kind: "customerRoutesReplaced", routes: parts.customerRoutes }),
      ...this.changePolicy({ kind: "providerReplaced", ...parts.provider }),
    ];
  }
}

/** Can the change bring provider groups, take them away, or change where they are heard? */
function mayChangeGroups(change: HostPolicyChange, { policy, ports }: HostSnapshot): boolean {
  switch (change.kind) {
    case "recordAdded":
    case "recordRemoved":
    case "recordReplaced": {
      const { membersMoved } = policy.lookupRecords;
      return membersMoved === null || [...membersMoved].some((vsid) => ports.hasVsid(vsid));
    }
    case "recordsReplaced":
    case "settingsReplaced":
      return true;
    case "providerReplaced":
      return change.providerAddresses !== undefined;
    case "customerRoutesReplaced":
    case "pathMtuLearnt":
    case "pathMtuExpired":
      return false;
  }
}

/** In capture runs provider addresses are usable at once: duplicate address detection needs a live network. */
const providerAddress = (host: HostSettings, settings: ProviderAddressSettings): ProviderAddress => ({
  providerAddress: settings.address,
  interfaceIndex: settings.interfaceIndex,
  prefixLength: settings.prefixLength,
  vlanID: settings.vlan,
  macAddress: settings.mac ?? nicMacOf(host, settings.interfaceIndex),
  addressState: "Preferred",
});

const nicMacOf = (host: HostSettings, interfaceIndex: number): Mac => host.nics[interfaceIndex - 1]!.mac;
