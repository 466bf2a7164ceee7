/**
 * Builds a lab: one node per host, one for the provider network, one per built-in gateway, links between them, all in one engine.
 *
 *     host1/Blue1 ─┐                                                      ┌─ host2/Blue2
 *                  host1 ── host1/nic1 ══ provider/host1.nic1 ── provider ══ … ── host2
 *     host1/Red1 ──┘                                                      └─ host2/Red2
 *
 * VM ports end outside of the lab; so do NICs when the lab has no provider network.
 */

import { type Companions, Engine, type EngineLimits, type PortSpec, type TimedEvent } from "../dataplane/index.js";
import {
  type HostPolicy,
  type HostPolicyChange,
  type ProviderAddress,
  STAMP_COUNT,
} from "../dataplane/policy/index.js";
import {
  type ControlCounters,
  innerMtu,
  type LearningCounters,
  type MembershipCounters,
  type Node,
} from "../dataplane/slowpath/index.js";
import type { NodeIndex, PortIndex } from "../dataplane/transposition/index.js";
import { formatAddress, IPV6_MTU_MIN, type Mac, type Vsid } from "../dataplane/wire/index.js";
import { disagreement } from "./agreement.js";
import { type ChangingLab, carryOut } from "./carry-out.js";
import type { LabChange } from "./changes.js";
import { makeGatewayNode } from "./gateway/gateway.js";
import { GatewayState } from "./gateway/gateway-state.js";
import { makeHostNode } from "./host.js";
import { HostState } from "./host-state.js";
import { isCustomerAddressEvent, Management } from "./management.js";
import { makeProviderNode, makeProviderSnapshot, type ProviderStation } from "./provider-network.js";
import type { GatewaySettings, LabSettings } from "./settings.js";

const PROVIDER_NAME = "provider";

export interface LabOptions extends EngineLimits {
  /** The compiled kernel (`dataplane/kernel/kernel.wasm`). */
  readonly kernel: WebAssembly.Module;
  /** Hears what the nodes tell (`TimedEvent`). */
  readonly onEvent?: (event: TimedEvent) => void;
  /** Labs of the same settings that carry frames beside this one, and which this one tells what it learns. */
  readonly companions?: Companions;
}

export interface ProviderAddressState {
  readonly host: string;
  readonly address: string;
  readonly state: ProviderAddress["addressState"];
}

export class Lab {
  readonly engine: Engine;
  readonly settings: LabSettings;
  readonly #ports: ReadonlyMap<string, PortIndex>;
  readonly #hosts: ReadonlyMap<string, HostState>;
  readonly #management: Management;
  readonly #limitsAnswers: boolean;
  readonly #onEvent: NonNullable<LabOptions["onEvent"]>;
  #eventsAhead: number;
  /** Where frames enter the provider network, or come out of what stands in for it. */
  readonly #wirePorts: ReadonlySet<PortIndex>;

  constructor(settings: LabSettings, options: LabOptions) {
    const plan = planPorts(settings);
    const hosts = settings.hosts.map((host, index) => new HostState(host, index as NodeIndex, plan.ports));
    const nodes: Node[] = hosts.map((host) => makeHostNode(host));
    if (settings.provider) nodes.push(makeProvider(settings, plan.ports));
    for (const gateway of settings.gateways) nodes.push(makeGateway(gateway, nodes.length as NodeIndex, plan.ports));
    this.settings = settings;
    this.#limitsAnswers = options.answersPerSecond !== undefined;
    this.#ports = plan.ports;
    this.#wirePorts = wirePorts(settings, plan.ports);
    this.#hosts = new Map(hosts.map((host) => [host.name, host]));
    this.engine = new Engine({
      ...options,
      nodes,
      ports: plan.specs,
      stampCount: STAMP_COUNT,
      onEvent: (event, isOurs) => {
        this.#manage(event);
        if (isOurs) options.onEvent?.(event);
      },
    });
    this.#management = new Management({
      hosts,
      schedule: (atMs, action) => this.engine.schedule(atMs, action),
      write: (host, changesFor) => this.engine.moveStamps(host.write(changesFor)),
    });
    this.#onEvent = options.onEvent ?? (() => {});
    this.#eventsAhead = settings.events.length;
    for (const { atMs, change } of settings.events) {
      this.engine.scheduleAfterStart(atMs, (nowMs) => {
        this.#eventsAhead--;
        carryOut(this.#changing(nowMs), change);
      });
    }
  }

  /** How many of the lab's own events have not happened yet. */
  get eventsAhead(): number {
    return this.#eventsAhead;
  }

  /** Makes this happen now, as if it stood among the lab's events; call it between two bursts. */
  change(change: LabChange): void {
    carryOut(this.#changing(this.engine.nowMs), change);
  }

  #changing(nowMs: number): ChangingLab {
    const { engine } = this;
    return {
      engine,
      nowMs,
      hosts: [...this.#hosts.values()],
      notify: (host, event) => this.#onEvent({ timeMs: nowMs, node: host.node, event }),
      later: (afterMs, action) => {
        if (afterMs <= 0) action(this.#changing(nowMs));
        else engine.schedule(nowMs + afterMs, (dueMs) => action(this.#changing(dueMs)));
      },
    };
  }

  /** The port with this name (`host1/Blue1`); undefined if the lab has none. */
  port(name: string): PortIndex | undefined {
    return this.#ports.get(name);
  }

  get portNames(): readonly string[] {
    return [...this.#ports.keys()];
  }

  /** Why all packets of this lab must go through one engine (`Node.keepsStateAcrossFlows`); undefined if they need not. */
  get keepsStateAcrossFlows(): string | undefined {
    if (this.obstacleToCompanions !== undefined) return this.obstacleToCompanions;
    if (isTooNarrowForIpv6(this.settings))
      return "its hosts tell, once in a second, of IPv6 that their NICs are too narrow for";
    return this.engine.nodes.find((node) => node.learnsAcrossFlows !== undefined)?.learnsAcrossFlows;
  }

  /** The same for engines that tell each other what they learn (`LabOptions.companions`). */
  get obstacleToCompanions(): string | undefined {
    if (this.settings.events.length > 0) return "its events happen between two frames, for all flows together";
    if (this.#limitsAnswers) return "the answers that a port gets are limited, whatever flows they are for";
    if (learnsPathMtus(this.settings) && tellsPathMtus(this.settings))
      return "its router tells hosts how much a path carries, for all flows together";
    return this.engine.nodes.find((node) => node.keepsStateAcrossFlows !== undefined)?.keepsStateAcrossFlows;
  }

  /**
   * Why all packets that enter at these ports must go through one engine, in words that go on after "because"; undefined if they need not.
   * To `keepsStateAcrossFlows` it adds what one packet tells a host and many follow: path MTUs, REDIRECT and UNREACHABLE.
   */
  obstacleToSharing(entries: readonly PortIndex[]): string | undefined {
    if (this.keepsStateAcrossFlows !== undefined) return this.keepsStateAcrossFlows;
    const controlMessages = usesControlMessages(this.settings) ? [CONTROL_MESSAGES] : [];
    if (entries.some((port) => this.#wirePorts.has(port))) {
      const lessons = [...(learnsPathMtus(this.settings) ? [PATH_MTUS] : []), ...controlMessages];
      return lessons.length === 0
        ? undefined
        : `frames enter from the wire, where hosts hear of ${lessons.join(" and ")}`;
    }
    const why = controlMessages.length === 0 ? undefined : disagreement(this.settings);
    return why && `hosts may send each other ${CONTROL_MESSAGES}: ${why}`;
  }

  /** The policy in force on a host; undefined for a name that is no host's. */
  policyOf(host: string): HostPolicy | undefined {
    return this.#hosts.get(host)?.snapshot.policy;
  }

  /** The provider addresses of hosts that find out on a wire whether they may use them, and what they know about them. */
  providerAddressStates(): readonly ProviderAddressState[] {
    return [...this.#hosts].flatMap(([host, { snapshot }]) => {
      const { settings, providerAddresses } = snapshot.policy;
      if (settings.resolve !== "wire") return [];
      return providerAddresses.all.map(({ providerAddress, addressState }) => ({
        host,
        address: formatAddress(providerAddress),
        state: addressState,
      }));
    });
  }

  /** What a host has sent and obeyed of REDIRECT and UNREACHABLE; undefined for a name that is no host's. */
  controlCounters(host: string): ControlCounters | undefined {
    return this.#hosts.get(host)?.controlCounters;
  }

  /** Changes one host's policy. The next burst sees all of it; flows that rested on what changed are decided again. */
  changePolicy(host: string, change: HostPolicyChange): void {
    const state = this.#hosts.get(host);
    if (!state) throw new RangeError(`no host is named ${host}`);
    this.engine.moveStamps(state.write(() => [change]));
  }

  /** The provider groups that hosts are in, and what was said about them, by name; hosts without any are left out. */
  memberships(): Readonly<Record<string, MembershipCounters>> {
    const all = [...this.#hosts].map(([name, { membershipCounters }]) => [name, membershipCounters] as const);
    return Object.fromEntries(all.filter(([, { groups, refused, sent }]) => groups + refused + sent > 0));
  }

  /** What the hosts have learnt of VMs' addresses, by name; those that were taught nothing are left out. */
  learning(): Readonly<Record<string, LearningCounters>> {
    const all = [...this.#hosts].map(([name, { snapshot }]) => [name, snapshot.state.learned.counters] as const);
    return Object.fromEntries(all.filter(([, counters]) => wasTaught(counters)));
  }

  /** Does what the management layer would do about what a host tells. */
  #manage({ node, timeMs, event }: TimedEvent): void {
    const settings = this.settings.hosts[node];
    if (!settings || settings.distributeLearnedMs === null || !isCustomerAddressEvent(event)) return;
    this.#management.distribute(event, this.#hosts.get(settings.name)!, timeMs + settings.distributeLearnedMs);
  }
}

/** Is a subnet of the provider network narrower than a NIC, so that the router has something to tell? */
function tellsPathMtus({ hosts, provider }: LabSettings): boolean {
  const routed = (provider?.subnets ?? []).filter(({ gateway }) => gateway !== null);
  const widest = Math.max(...hosts.flatMap(({ nics }) => nics.map(({ mtu }) => mtu)));
  return routed.length > 1 && routed.some(({ mtu }) => mtu < widest);
}

/** Does a NIC leave less of it for packets of VMs than any IPv6 link may carry (RFC 8200 §5), at least in a tunnel over IPv6? */
const isTooNarrowForIpv6 = ({ hosts }: LabSettings): boolean =>
  hosts.some(({ nics }) => nics.some(({ mtu }) => innerMtu(mtu, 6) < IPV6_MTU_MIN));

const wasTaught = ({ added, moved, refused }: LearningCounters): boolean =>
  added + moved + Object.values(refused).reduce((sum, count) => sum + count, 0) > 0;

/** Numbers all ports, in the order of the file: hosts, then the provider network, then gateways. */
function planPorts(settings: LabSettings): { ports: Map<string, PortIndex>; specs: PortSpec[] } {
  const ports = new Map<string, PortIndex>();
  const specs: PortSpec[] = [];
  const add = (name: string, node: number, tunnel: boolean, peer: PortIndex | null, echo = false): void => {
    ports.set(name, specs.length as PortIndex);
    specs.push({ name, node: node as NodeIndex, tunnel, peer, ...(echo ? { echo } : {}) });
  };
  settings.hosts.forEach((host, node) => {
    for (const adapter of host.adapters) add(`${host.name}/${adapter.portName}`, node, false, null);
    for (const nic of host.nics) {
      add(`${host.name}/${nic.name}`, node, true, null);
      if (nic.rssQueues > 1) specs.push({ ...specs.pop()!, receiveQueues: nic.rssQueues });
    }
  });
  if (settings.provider) {
    for (const host of settings.hosts) {
      for (const nic of host.nics) {
        const far = ports.get(`${host.name}/${nic.name}`)!;
        const near = specs.length as PortIndex;
        add(providerPortName(host.name, nic.name), settings.hosts.length, false, far);
        specs[far] = { ...specs[far]!, peer: near };
      }
    }
  }
  const link = (a: PortIndex, b: PortIndex): void => {
    specs[a] = { ...specs[a]!, peer: b };
    specs[b] = { ...specs[b]!, peer: a };
  };
  const firstGateway = settings.hosts.length + (settings.provider ? 1 : 0);
  settings.gateways.forEach(({ name, tenants }, index) => {
    const hasTunnels = tenants.some(({ tunnels }) => tunnels.length > 0);
    const node = firstGateway + index;
    for (const { vsid, adapterPort } of tenants) {
      add(insidePortName(name, vsid), node, false, null, true);
      link(ports.get(insidePortName(name, vsid))!, ports.get(adapterPort)!);
    }
    add(externalPortName(name), node, hasTunnels, null, true);
  });
  return { ports, specs };
}

/** NICs, their ends at the provider network, and adapters without a virtual subnet, whose frames the NICs send as they are. */
function wirePorts(settings: LabSettings, ports: ReadonlyMap<string, PortIndex>): ReadonlySet<PortIndex> {
  const names = settings.hosts.flatMap(({ name, nics, adapters }) => [
    ...nics.flatMap((nic) => [`${name}/${nic.name}`, providerPortName(name, nic.name)]),
    ...adapters.filter(({ vsid }) => vsid === 0).map(({ portName }) => `${name}/${portName}`),
  ]);
  return new Set(names.flatMap((name) => ports.get(name) ?? []));
}

const PATH_MTUS = "path MTUs (learnPathMtu)";
const CONTROL_MESSAGES = "REDIRECT and UNREACHABLE (sendControlMessages, acceptRedirect)";

const learnsPathMtus = ({ hosts }: LabSettings): boolean => hosts.some(({ nve }) => nve.learnPathMtu);

const usesControlMessages = ({ hosts }: LabSettings): boolean =>
  hosts.some(({ nve }) => nve.mode !== "2012" && (nve.sendControlMessages || nve.acceptRedirect));

const insidePortName = (gateway: string, vsid: Vsid): string => `${gateway}/${vsid}`;
const externalPortName = (gateway: string): string => `${gateway}/external`;

function makeGateway(settings: GatewaySettings, node: NodeIndex, ports: ReadonlyMap<string, PortIndex>): Node {
  const { name, tenants } = settings;
  const inside = tenants.map(({ vsid }) => ports.get(insidePortName(name, vsid))!);
  return makeGatewayNode(new GatewayState(settings, node, { external: ports.get(externalPortName(name))!, inside }));
}

/** The port of the provider network that a host's NIC is linked to. */
export const providerPortName = (host: string, nic: string): string => `${PROVIDER_NAME}/${host}.${nic}`;

function makeProvider(settings: LabSettings, ports: ReadonlyMap<string, PortIndex>): Node {
  const nicMacs = new Map<Mac, PortIndex>();
  const stations: ProviderStation[] = [];
  for (const host of settings.hosts) {
    for (const nic of host.nics) nicMacs.set(nic.mac, ports.get(providerPortName(host.name, nic.name))!);
    for (const address of host.providerAddresses) {
      const nic = host.nics[address.interfaceIndex - 1]!;
      stations.push({
        address: address.address,
        mac: address.mac ?? nic.mac,
        vlan: address.vlan,
        port: ports.get(providerPortName(host.name, nic.name))!,
      });
    }
  }
  return makeProviderNode(PROVIDER_NAME, makeProviderSnapshot(settings.provider!, stations, nicMacs));
}
