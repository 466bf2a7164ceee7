/**
 * Which provider groups the host is in, and that it says so: the host's side of IGMP 3 (RFC 3376) and MLD 2 (RFC 3810), with what queriers of
 * older versions understand.
 *
 *     policy, ports ─► groups wanted ─► joined or left: told at once, and once more a second later
 *     query ──────────────────────────► answered within the time that it gives
 *
 * Wanted are the groups of the VMs' virtual subnets, and those in which neighbor discovery asks for the host's IPv6 addresses.
 * A host speaks on each network of its provider addresses on its own, in the VLAN of the address (`Link`). It says nothing about sources:
 * whoever sends to a group of the tenants, the copy is wanted.
 *
 * Where the RFCs ask for random delays these hash MAC and group, which spreads hosts as well and gives the same in every run. Everything is bounded:
 * groups, queries that are heeded, sources that are remembered, reports that answer.
 */
import type { HostPolicy, ProviderAddress } from "../../policy/policy.js";
import type { PortIndex } from "../../transposition/transposition.js";
import { type Address, type AddressFamily, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Mac } from "../../wire/bytes.js";
import {
  GROUP_RECORD,
  type GroupRecord,
  type GroupRecordType,
  type MembershipQuery,
  type MembershipVersion,
} from "../../wire/group-membership.js";
import { AnswerLimit } from "../answer-limit.js";
import { leaveMessage, membershipReports, olderReport, type Reporter } from "../responders/group-membership.js";
import { solicitedNodeOf } from "../responders/neighbor-discovery.js";
import type { LocalPorts } from "./local-ports.js";
import { inVlan } from "./provider-frames.js";
import { groupAddresses, ownGroups } from "./provider-groups.js";
import type { NveWork } from "./work.js";

/** RFC 3376 §8.1, RFC 3810 §9.1: a change is told so many times. */
const ROBUSTNESS = 2;
/** RFC 3376 §8.11, RFC 3810 §9.11. */
const REPEAT_MS = 1_000;
/** RFC 3376 §8.12, RFC 3810 §9.12, with the defaults of what queriers of old versions do not tell. */
const OLDER_QUERIER_MS = 260_000;
/** Answers come so soon even if a query gives more time: as much as version 2 could give. */
const RESPONSE_MAX_MS = 25_500;
/** Most groups that a host is in, counted on each of its networks. */
const GROUPS_MAX = 256;
const QUERIES_PER_SECOND = 100;
/** Frames that answer queries. */
const REPORTS_PER_SECOND = 256;
/** Most sources of a group that an answer names; of more the whole group is told, which says as much. */
const SOURCES_MAX = 64;

export type MembershipEffect =
  /** The policy or the ports are others: which groups are wanted now? */
  | { readonly kind: "groupsChanged" }
  | { readonly kind: "groupQuery"; readonly at: ArrivalPlace; readonly query: MembershipQuery }
  /** Another host of that network is in the group, and has said so in an old version. */
  | { readonly kind: "groupReported"; readonly at: ArrivalPlace; readonly group: Address }
  /** A timer: tell it again. */
  | { readonly kind: "groupsTold"; readonly change: Change }
  /** About one group, or with null about all of the network. */
  | { readonly kind: "groupAnswer"; readonly at: ArrivalPlace; readonly group: Address | null; readonly dueMs: number };

/** Where a message came from. */
export interface ArrivalPlace {
  readonly port: PortIndex;
  readonly vlan: number;
  readonly family: AddressFamily;
}

/** What is told on one network, and who tells it. */
interface Change {
  readonly link: string;
  readonly from: ProviderAddress;
  readonly version: MembershipVersion;
  readonly groups: readonly { readonly group: Address; readonly isJoined: boolean }[];
  /** How often it is to be told yet, now included. */
  readonly times: number;
}

/** A network of the host's provider addresses: a NIC, a VLAN and a family. */
interface Link {
  readonly key: string;
  /** Who reports there. */
  from: ProviderAddress;
  readonly groups: Map<string, Membership>;
  /** Until when queriers of versions 1 and 2 count as present. */
  readonly olderUntilMs: { 1: number; 2: number };
  /** To a query about all groups. */
  answer: Pending | null;
}

interface Membership {
  readonly group: Address;
  answer: Pending | null;
  /** When another host was heard to be in the group. */
  heardMs: number;
}

interface Pending {
  readonly askedMs: number;
  readonly dueMs: number;
  /** A change of version cancels it (RFC 3376 §7.2.1). */
  readonly version: MembershipVersion;
  /** Of the group that was asked for; none: all. */
  readonly sources: readonly Address[];
}

export interface MembershipCounters {
  /** Groups that the host is in, counted on each of its networks. */
  readonly groups: number;
  /** Groups that it should be in, but is in too many others. */
  readonly refused: number;
  /** Reports and leaves. */
  readonly sent: number;
  /** Queries heeded. */
  readonly queries: number;
  /** Queries and answers that a limit has held back. */
  readonly held: number;
}

export class Memberships {
  readonly #links = new Map<string, Link>();
  readonly #queryLimit = new AnswerLimit(1, QUERIES_PER_SECOND);
  readonly #answerLimit = new AnswerLimit(1, REPORTS_PER_SECOND);
  readonly #counters: { -readonly [Name in keyof MembershipCounters]: number };

  /** Counters go on from `counted`. */
  constructor(counted: MembershipCounters = NOTHING_COUNTED) {
    this.#counters = { ...counted, groups: 0, refused: 0 };
  }

  get counters(): MembershipCounters {
    return { ...this.#counters };
  }

  /** Does the host have a network there, so that what queriers say matters to it? */
  listensAt(place: ArrivalPlace): boolean {
    return this.#links.has(keyOf(place));
  }

  settle(effect: MembershipEffect, work: NveWork): void {
    switch (effect.kind) {
      case "groupsChanged":
        this.#follow(work);
        break;
      case "groupQuery":
        this.#heed(effect, work);
        break;
      case "groupReported":
        this.#hear(effect, work);
        break;
      case "groupsTold":
        this.#repeat(effect.change, work);
        break;
      case "groupAnswer":
        this.#answer(effect, work);
        break;
    }
  }

  /** Joins and leaves, so that the host is in the groups that its policy and ports ask for now. */
  #follow(work: NveWork): void {
    const wanted = wantedGroups(work.policy, work.ports);
    this.#counters.refused = 0;
    for (const link of this.#links.values()) {
      if (wanted.has(link.key)) continue;
      this.#setGroups(link, [], work);
      this.#links.delete(link.key);
    }
    for (const [key, { from, groups }] of wanted) {
      const link = this.#links.get(key) ?? newLink(key, from);
      this.#links.set(key, link);
      link.from = from;
      this.#setGroups(link, groups, work);
    }
  }

  #setGroups(link: Link, wanted: readonly Address[], work: NveWork): void {
    const names = new Map(wanted.map((group) => [formatAddress(group), group]));
    const changes: Change["groups"][number][] = [];
    for (const [name, { group }] of link.groups) {
      if (names.has(name)) continue;
      link.groups.delete(name);
      this.#counters.groups--;
      changes.push({ group, isJoined: false });
    }
    for (const [name, group] of names) {
      if (link.groups.has(name)) continue;
      if (this.#counters.groups >= GROUPS_MAX) {
        this.#counters.refused++;
        continue;
      }
      link.groups.set(name, { group, answer: null, heardMs: Number.NEGATIVE_INFINITY });
      this.#counters.groups++;
      changes.push({ group, isJoined: true });
    }
    if (changes.length === 0) return;
    const { key, from } = link;
    for (const { group, isJoined } of changes) {
      const where = { address: formatAddress(from.providerAddress), vlan: from.vlanID };
      work.notify({ kind: isJoined ? "groupJoined" : "groupLeft", group: formatAddress(group), ...where });
    }
    if (!work.ports.isUp(work.ports.nicPort(from.interfaceIndex))) return; // nobody would hear it
    this.#tell({ link: key, from, version: versionOf(link, work.nowMs), groups: changes, times: ROBUSTNESS }, work);
  }

  #tell(change: Change, work: NveWork): void {
    this.#send(change.from, changeFrames(change, work), work);
    const times = change.times - 1;
    if (times === 0) return;
    const repeat: MembershipEffect = { kind: "groupsTold", change: { ...change, times } };
    work.setTimer(work.nowMs + REPEAT_MS, repeat);
  }

  /** What has become untrue since is not told again, nor what queriers would not understand any more. */
  #repeat(change: Change, work: NveWork): void {
    const link = this.#links.get(change.link);
    if (link && versionOf(link, work.nowMs) !== change.version) return;
    const groups = change.groups.filter(
      ({ group, isJoined }) => (link?.groups.has(formatAddress(group)) ?? false) === isJoined,
    );
    // Version 2 leaves once (RFC 2236 §3).
    const repeated = change.version === 3 ? groups : groups.filter(({ isJoined }) => isJoined);
    if (repeated.length > 0) this.#tell({ ...change, groups: repeated }, work);
  }

  #heed({ at, query }: Extract<MembershipEffect, { kind: "groupQuery" }>, work: NveWork): void {
    const link = this.#links.get(keyOf(at));
    if (!link) return;
    const { nowMs } = work;
    if (!this.#queryLimit.take(0, 1, nowMs)) {
      this.#counters.held++;
      return;
    }
    this.#counters.queries++;
    if (query.version < 3) link.olderUntilMs[query.version as 1 | 2] = nowMs + OLDER_QUERIER_MS;
    const version = versionOf(link, nowMs);
    const most = Math.min(query.maxResponseMs, RESPONSE_MAX_MS);
    const isInTime = (answer: Pending | null): answer is Pending =>
      answer?.version === version && answer.dueMs <= nowMs + most;
    if (isInTime(link.answer)) return; // it answers this query too (RFC 3376 §5.2)
    const membership = query.group && link.groups.get(formatAddress(query.group));
    if (membership === undefined) return;
    const sources = version === 3 ? few(query.sources) : [];
    if (membership && isInTime(membership.answer)) {
      membership.answer = { ...membership.answer, sources: mergedSources(membership.answer.sources, sources) };
      return;
    }
    const dueMs = nowMs + delayMs(link.from.macAddress, query.group, most);
    (membership ?? link).answer = { askedMs: nowMs, dueMs, version, sources };
    work.setTimer<MembershipEffect>(dueMs, { kind: "groupAnswer", at, group: query.group, dueMs });
  }

  /** RFC 2236 §3, RFC 2710 §4: one member of a network is enough for queriers of old versions. */
  #hear({ at, group }: Extract<MembershipEffect, { kind: "groupReported" }>, work: NveWork): void {
    const membership = this.#links.get(keyOf(at))?.groups.get(formatAddress(group));
    if (!membership) return;
    membership.heardMs = work.nowMs;
    if (membership.answer && membership.answer.version < 3) membership.answer = null;
  }

  #answer({ at, group, dueMs }: Extract<MembershipEffect, { kind: "groupAnswer" }>, work: NveWork): void {
    const link = this.#links.get(keyOf(at));
    const place = group === null ? link : link?.groups.get(formatAddress(group));
    const pending = place?.answer;
    if (!link || !place || pending?.dueMs !== dueMs) return;
    place.answer = null;
    const { from } = link;
    const { version, askedMs, sources } = pending;
    if (version !== versionOf(link, work.nowMs)) return;
    const asked = "group" in place ? [place] : [...link.groups.values()];
    const unheard = asked.filter(({ heardMs }) => heardMs < askedMs);
    const frames =
      version === 3
        ? reports(
            from,
            asked.map((each) => currentState(each.group, sources)),
            work,
          )
        : unheard.map((each) => framed(from, olderReport(reporterOf(from), each.group, version)));
    const allowed = frames.filter(() => this.#answerLimit.take(0, 1, work.nowMs));
    this.#counters.held += frames.length - allowed.length;
    this.#send(from, allowed, work);
  }

  #send({ interfaceIndex }: ProviderAddress, frames: readonly Uint8Array[], work: NveWork): void {
    this.#counters.sent += frames.length;
    for (const frame of frames) work.emit(work.ports.nicPort(interfaceIndex), frame);
  }
}

const NOTHING_COUNTED: MembershipCounters = { groups: 0, refused: 0, sent: 0, queries: 0, held: 0 };

const keyOf = ({ port, vlan, family }: ArrivalPlace): string => `${port} ${vlan} ${family}`;

/** On each network: who reports there, and which groups. */
function wantedGroups(
  policy: HostPolicy,
  ports: LocalPorts,
): ReadonlyMap<string, { from: ProviderAddress; groups: Address[] }> {
  const wanted = new Map<string, { from: ProviderAddress; groups: Address[] }>();
  const add = (from: ProviderAddress, groups: readonly Address[]): void => {
    const { interfaceIndex, vlanID: vlan, providerAddress } = from;
    const key = keyOf({ port: ports.nicPort(interfaceIndex), vlan, family: providerAddress.family });
    const before = wanted.get(key);
    if (before) before.groups.push(...groups);
    else wanted.set(key, { from, groups: [...groups] });
  };
  for (const pa of solicitedAddresses(policy, ports)) add(pa, [solicitedNodeOf(pa.providerAddress)]);
  const own = ownGroups(policy, ports);
  for (const pa of groupAddresses(policy, ports))
    add(
      pa,
      own.filter(({ family }) => family === pa.providerAddress.family),
    );
  return wanted;
}

/** RFC 4861 §7.2.1, RFC 4862 §5.4.2: who asks for an IPv6 address, or whether it is free, asks a group of it, which its host is in. */
const solicitedAddresses = ({ providerAddresses }: HostPolicy, ports: LocalPorts): readonly ProviderAddress[] =>
  providerAddresses.all.filter(
    ({ providerAddress, addressState, interfaceIndex }) =>
      providerAddress.family === 6 &&
      addressState !== "Invalid" &&
      addressState !== "Duplicate" &&
      ports.isUp(ports.nicPort(interfaceIndex)),
  );

const newLink = (key: string, from: ProviderAddress): Link => ({
  key,
  from,
  groups: new Map(),
  olderUntilMs: { 1: Number.NEGATIVE_INFINITY, 2: Number.NEGATIVE_INFINITY },
  answer: null,
});

/** That of the oldest querier that counts as present. */
function versionOf({ olderUntilMs }: Link, nowMs: number): MembershipVersion {
  if (nowMs < olderUntilMs[1]) return 1;
  return nowMs < olderUntilMs[2] ? 2 : 3;
}

/** From 1 to `most`, or 1. */
function delayMs(mac: Mac, group: Address | null, most: number): number {
  let hash = Math.imul((mac % 0x1_0000_0000) ^ (group?.w3 ?? 0), 0x9e37_79b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85eb_ca77);
  return 1 + (((hash ^ (hash >>> 13)) >>> 0) % Math.max(1, most));
}

/** RFC 3376 §5.2: sources add up; whoever asks about the whole group asks about them all. */
function mergedSources(before: readonly Address[], more: readonly Address[]): readonly Address[] {
  if (before.length === 0 || more.length === 0) return [];
  const all = [...before, ...more.filter((source) => !before.some((known) => sameAddress(known, source)))];
  return few(all);
}

const few = (sources: readonly Address[]): readonly Address[] => (sources.length > SOURCES_MAX ? [] : sources);

const record = (type: GroupRecordType, group: Address, sources: readonly Address[] = []): GroupRecord => ({
  type,
  group,
  sources,
});

/** All sources are wanted, or of some that were asked for: these (RFC 3376 §5.2). */
const currentState = (group: Address, sources: readonly Address[]): GroupRecord =>
  sources.length === 0 ? record(GROUP_RECORD.isExclude, group) : record(GROUP_RECORD.isInclude, group, sources);

function changeFrames({ from, version, groups }: Change, work: NveWork): Uint8Array[] {
  if (version === 3) {
    const { toExclude, toInclude } = GROUP_RECORD;
    const records = groups.map(({ group, isJoined }) => record(isJoined ? toExclude : toInclude, group));
    return reports(from, records, work);
  }
  const told = version === 1 ? groups.filter(({ isJoined }) => isJoined) : groups; // nobody leaves in version 1
  const reporter = reporterOf(from);
  return told.map(({ group, isJoined }) =>
    framed(from, isJoined ? olderReport(reporter, group, version) : leaveMessage(reporter, group)),
  );
}

const reports = (from: ProviderAddress, records: readonly GroupRecord[], { policy }: NveWork): Uint8Array[] =>
  membershipReports(reporterOf(from), records, policy.interfaceMtu(from.interfaceIndex)).map((frame) =>
    framed(from, frame),
  );

const reporterOf = ({ providerAddress: address, macAddress: mac }: ProviderAddress): Reporter => ({ address, mac });

const framed = ({ vlanID }: ProviderAddress, frame: Uint8Array): Uint8Array => inVlan(frame, vlanID);
