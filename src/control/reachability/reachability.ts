/**
 * Who can reach whom: for every routing domain and address family, an echo request from each address to each other one, both directions.
 *
 * The engine's own layers decide, by way of `trace`; nothing is counted. A pair is reached when the packet leaves at the port of the VM
 * that has the address. Large domains are sampled, evenly over the lab, and the result says so.
 */
import { Reason, type TraceStep, trace } from "../../dataplane/index.js";
import type { LookupRecord } from "../../dataplane/policy/index.js";
import {
  type Address,
  type AddressFamily,
  formatAddress,
  isUnspecified,
  type Mac,
  type Vsid,
} from "../../dataplane/wire/index.js";
import type { AdapterSettings, HostSettings, Lab } from "../../vswitch/index.js";
import { type Cure, curesFor } from "../cures/cures.js";
import { LabKnowledge } from "../cures/lab-knowledge.js";
import { buildProbe } from "../probe.js";

/** An address of a VM, by the lookup records. */
export interface Endpoint {
  /** `host1/Blue1` */
  readonly port: string;
  readonly host: string;
  /** Of the port; a record may say another. */
  readonly vsid: Vsid;
  readonly mac: Mac;
  readonly address: Address;
}

/** Pairs that are not reached for one reason, in one place, by one cause. */
export interface Gap {
  /** NONE: the packet reached another VM, at `at`. */
  readonly reason: Reason;
  /** The port where the packet was dropped. */
  readonly at: string;
  /** What the layer that dropped the first of them said. */
  readonly decided: string;
  readonly cures: readonly Cure[];
  /** From and to, as indexes of endpoints. */
  readonly pairs: readonly (readonly [number, number])[];
}

export interface DomainReach {
  /** Null: virtual subnets that no customer route of any host binds to a routing domain. */
  readonly routingDomainID: string | null;
  readonly family: AddressFamily;
  /** How many addresses there are; `endpoints` are those that were asked. */
  readonly addresses: number;
  readonly endpoints: readonly Endpoint[];
  /** Ports of VMs of the routing domain that no record gives any address, of either family: left out. */
  readonly withoutAddress: readonly string[];
  readonly pairs: number;
  readonly reached: number;
  /** Those with most pairs first. */
  readonly gaps: readonly Gap[];
}

export interface ReachLimits {
  /** Most endpoints per routing domain and family; of more, an even sample is asked. */
  readonly endpoints: number;
  /** Most echo requests in all; domains that come later are not asked. */
  readonly probes: number;
}

/** A domain of 64 takes 4,032 probes, about a tenth of a second. */
export const REACH_LIMITS: ReachLimits = { endpoints: 64, probes: 100_000 };

export function reachabilityOf(lab: Lab, limits = REACH_LIMITS): DomainReach[] {
  const knowledge = new LabKnowledge(lab);
  let probesLeft = limits.probes;
  const results: DomainReach[] = [];
  for (const { id, endpoints: ofDomain, withoutAddress } of groupsOf(lab, knowledge)) {
    const families = new Set(ofDomain.map(({ address }) => address.family));
    for (const family of families.size > 0 ? families : [4 as const]) {
      const all = ofDomain.filter(({ address }) => address.family === family);
      const sample = evenly(all, limits.endpoints);
      const pairs = sample.length * (sample.length - 1);
      const endpoints = pairs <= probesLeft ? sample : [];
      if (endpoints.length > 0) probesLeft -= pairs;
      const answer = ask(lab, knowledge, endpoints);
      results.push({ routingDomainID: id, family, addresses: all.length, withoutAddress, ...answer });
    }
  }
  return results;
}

/** A routing domain, or a virtual subnet that has none. */
interface Group {
  readonly id: string | null;
  readonly endpoints: Endpoint[];
  readonly withoutAddress: string[];
}

/** In the order of the lab. */
function groupsOf(lab: Lab, knowledge: LabKnowledge): Iterable<Group> {
  const groups = new Map<string, Group>();
  const groupOf = (host: HostSettings, vsid: Vsid): Group => {
    const own = lab.policyOf(host.name)!.customerRoutes.routingDomainOf(vsid);
    const id = (own ?? knowledge.domainOf(vsid))?.id ?? null;
    const key = id ?? `${vsid}`;
    const group = groups.get(key) ?? { id, endpoints: [], withoutAddress: [] };
    groups.set(key, group);
    return group;
  };
  let strays: ReadonlyMap<Mac, readonly LookupRecord[]> | undefined;
  for (const host of lab.settings.hosts) {
    for (const adapter of host.adapters) {
      const { vsid, mac } = adapter;
      if (vsid === 0) continue;
      const port = `${host.name}/${adapter.portName}`;
      let records = recordsOf(lab, host, adapter);
      if (records.length === 0) {
        strays ??= strayRecords(lab, knowledge);
        records = strays.get(mac) ?? [];
      }
      if (records.length === 0) groupOf(host, vsid).withoutAddress.push(port);
      for (const { virtualSubnetID, customerAddress: address } of records)
        groupOf(host, virtualSubnetID).endpoints.push({ port, host: host.name, vsid, mac, address });
    }
  }
  return groups.values();
}

/** The records by which an adapter has addresses: those of its own host; of another host, if its own has none. */
function recordsOf(lab: Lab, own: HostSettings, { vsid, mac }: AdapterSettings): readonly LookupRecord[] {
  for (const host of [own, ...lab.settings.hosts.filter((other) => other.lookupRecords !== own.lookupRecords)]) {
    const records = lab.policyOf(host.name)!.lookupRecords.findByMac(vsid, mac).filter(hasAddress);
    if (records.length > 0) return records;
  }
  return [];
}

const hasAddress = ({ customerAddress }: LookupRecord): boolean => !isUnspecified(customerAddress);

/** The records, by MAC address, whose VM stands in another virtual subnet than they say. Walks all records. */
function strayRecords(lab: Lab, knowledge: LabKnowledge): ReadonlyMap<Mac, readonly LookupRecord[]> {
  const strays = new Map<Mac, Map<string, LookupRecord>>();
  for (const table of new Set(lab.settings.hosts.map(({ name }) => lab.policyOf(name)!.lookupRecords))) {
    for (const record of table) {
      const { macAddress: mac, virtualSubnetID: vsid, customerAddress } = record;
      const places = knowledge.adaptersWith(mac);
      if (places.length === 0 || !hasAddress(record) || places.some(({ adapter }) => adapter.vsid === vsid)) continue;
      const ofMac = strays.get(mac) ?? new Map<string, LookupRecord>();
      strays.set(mac, ofMac.set(`${vsid} ${formatAddress(customerAddress)}`, record));
    }
  }
  return new Map([...strays].map(([mac, records]) => [mac, [...records.values()]]));
}

function evenly<Item>(items: readonly Item[], most: number): readonly Item[] {
  if (items.length <= most) return items;
  return Array.from({ length: most }, (_, index) => items[Math.floor((index * items.length) / most)]!);
}

type Answer = Pick<DomainReach, "endpoints" | "pairs" | "reached" | "gaps">;

function ask(lab: Lab, knowledge: LabKnowledge, endpoints: readonly Endpoint[]): Answer {
  const gaps = new Map<string, Gap & { pairs: (readonly [number, number])[] }>();
  let pairs = 0;
  for (const [f, from] of endpoints.entries()) {
    for (const [t, to] of endpoints.entries()) {
      if (f === t || from.port === to.port) continue; // what a VM sends to itself never leaves it
      pairs++;
      const frame = echo(lab, from, to);
      const outcome = outcomeOf(lab, knowledge, from, to, frame);
      if (!outcome) continue;
      const { reason, at, cures } = outcome;
      const key = `${reason} ${at} ${JSON.stringify(cures)}`;
      const known = gaps.get(key);
      if (known) known.pairs.push([f, t]);
      else gaps.set(key, { reason, at, cures, decided: wordsOf(lab, from, frame, outcome), pairs: [[f, t]] });
    }
  }
  const sorted = [...gaps.values()].sort((a, b) => b.pairs.length - a.pairs.length);
  const missing = sorted.reduce((sum, gap) => sum + gap.pairs.length, 0);
  return { endpoints, pairs, reached: pairs - missing, gaps: sorted };
}

const DATA = new TextEncoder().encode("hnv check");

/** An echo request as the VM sends it: to the MAC that ARP would tell it, which is the record's, or else to its gateway. */
function echo(lab: Lab, from: Endpoint, to: Endpoint): Uint8Array {
  const policy = lab.policyOf(from.host)!;
  const mac =
    policy.lookupRecords.find(from.vsid, to.address)?.macAddress ?? policy.gatewayMac(from.vsid, to.address.family);
  const flow = {
    protocol: "icmp",
    source: from.address,
    destination: to.address,
    sourcePort: 0,
    destinationPort: 0,
  } as const;
  return buildProbe(flow, from.mac, mac, DATA);
}

interface Missed {
  readonly reason: Reason;
  readonly at: string;
  readonly cures: readonly Cure[];
}

/** Undefined when the packet came to its port. */
function outcomeOf(
  lab: Lab,
  knowledge: LabKnowledge,
  from: Endpoint,
  to: Endpoint,
  frame: Uint8Array,
): Missed | undefined {
  const { engine } = lab;
  const steps = trace(engine, lab.port(from.port)!, frame, 0, "layers");
  const outputs = steps.flatMap((step) => step.outputs);
  const nameOf = ({ port }: { readonly port: number }): string => engine.ports[port]!.name;
  if (outputs.some((output) => nameOf(output) === to.port)) return undefined; // a gateway may stand behind the port
  const names = outputs.filter(({ peer }) => peer === null).map(nameOf);
  const dropped = steps.find((step) => reasonOf(step) !== Reason.NONE);
  if (!dropped) return { reason: Reason.NONE, at: names.join(" and "), cures: [] };
  const reason = reasonOf(dropped);
  return { reason, at: engine.ports[dropped.port]!.name, cures: curesFor(knowledge, dropped, reason) };
}

const reasonOf = ({ decision: { verdict }, refused }: TraceStep): Reason =>
  refused === Reason.NONE && "reason" in verdict ? verdict.reason : refused;

/** What the layer says that dropped the packet. */
function wordsOf(lab: Lab, from: Endpoint, frame: Uint8Array, { reason, at }: Missed): string {
  if (reason === Reason.NONE) return at === "" ? "taken by a responder" : `left at ${at}`;
  const steps = trace(lab.engine, lab.port(from.port)!, frame);
  return steps.find((step) => reasonOf(step) === reason)?.notes.at(-1)?.decided ?? "";
}
