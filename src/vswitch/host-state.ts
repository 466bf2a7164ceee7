/**
 * What a host knows, and how packets and time change it. Decisions see `snapshot`; what they raise, and timers, come to `settle`
 * between two ticks.
 */
import {
  ANY_STAMP,
  changeHostPolicy,
  type HostPolicy,
  type HostPolicyChange,
  LookupRecords,
  type LookupRecordTable,
  makeHostPolicy,
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
} from "../dataplane/slowpath/index.js";
import type { Effect, NodeIndex, PortIndex, Stamp } from "../dataplane/transposition/index.js";
import type { Mac } from "../dataplane/wire/index.js";
import { HostPorts } from "./host-ports.js";
import type { HostSnapshot } from "./host-snapshot.js";
import type { AdapterSettings, HostSettings, ProviderAddressSettings } from "./settings.js";

export class HostState implements NodeState {
  readonly name: string;
  readonly node: NodeIndex;
  /** As it was written, for when the host loses it. */
  readonly settings: HostSettings;
  #snapshot: HostSnapshot;
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

  /** What decisions go by until the next change. */
  get snapshot(): HostSnapshot {
    return this.#snapshot;
  }

  begin(work: NodeWork): void {
    this.#later = (effect) => work.setTimer(work.nowMs, effect);
    this.#snapshot.state.begin(this.#nveWork(work));
  }

  settle(effect: Effect, work: NodeWork): void {
    if (effect.kind === "groupsChanged") this.#isFollowing = false;
    this.#snapshot.state.settle(effect as NveEffect, this.#nveWork(work));
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

  /** The ports come, go, or change their state; names the stamps that move. */
  changePorts(ports: HostPorts, changed: Iterable<PortIndex>): readonly Stamp[] {
    this.#snapshot = { ...this.#snapshot, ports };
    this.#groupsMayChange();
    return [ANY_STAMP, providerStamp(this.node), ...[...changed].map(portStamp)];
  }

  /** Lookup records, routes and provider addresses are not persistent; what the NVE remembers is not either. */
  forget(): readonly Stamp[] {
    const counted = { control: this.controlCounters, memberships: this.membershipCounters };
    this.#snapshot = { ...this.#snapshot, state: new NveState(this.node, counted) };
    return this.#changeAll({
      lookupRecords: LookupRecords.from([]),
      customerRoutes: [],
      provider: { providerAddresses: [], providerRoutes: [], neighbors: [] },
    });
  }

  /** Management writes the policy again, as it was at first. */
  restore(work: NodeWork): void {
    const { settings } = this;
    const { lookupRecords, customerRoutes, providerRoutes, neighbors } = settings;
    const providerAddresses = settings.providerAddresses.map((address) => providerAddress(settings, address));
    const provider = { providerAddresses, providerRoutes, neighbors };
    work.moveStamps(this.#changeAll({ lookupRecords, customerRoutes, provider }));
    this.begin(work);
  }

  #changeAll(parts: {
    readonly lookupRecords: LookupRecordTable;
    readonly customerRoutes: HostSettings["customerRoutes"];
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
