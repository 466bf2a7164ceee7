/**
 * The addresses that the host has learnt (docs/decisions/0019-learning.md): a Dynamic lookup record each, within limits, until the VM has
 * been silent for too long.
 *
 *     lesson ─► refused: another VM's for certain, outside of the virtual subnet, held by another, no room
 *            ─► known: the VM has shown that it is there
 *            ─► Added, or Moved from another VM or host
 *
 *     quiet ── 9 min ─► watched ── 1 min, 3 unanswered probes with 1 s each ─► Deleted
 *       ▲                  │                                                       ▲
 *       └── the VM's next packet, or answer       a DHCP RELEASE or DECLINE of its ┘
 *
 * Packets of known flows never come here, so silence is only presumed: the record's stamp moves when the watch begins, and the next
 * packet of a live flow is decided again and shows that the VM is there (`learnFromTraffic`). A VM of another host cannot be probed; its
 * record goes at the end of the watch.
 */
import { strict as assert } from "node:assert";
import type { HostPolicyChange } from "../../policy/host-policy.js";
import type { HostPolicy, LookupRecord } from "../../policy/policy.js";
import { ANY_STAMP, portStamp, providerStamp, recordStamp } from "../../policy/stamps.js";
import type { PortIndex, Stamp } from "../../transposition/transposition.js";
import { type Address, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Mac, Vsid } from "../../wire/bytes.js";
import { formatMac } from "../../wire/mac.js";
import type { NodeEvent } from "../layer.js";
import { arpRequest } from "../responders/arp.js";
import { neighborSolicitation } from "../responders/neighbor-discovery.js";
import { gatewayAddress } from "./gateway.js";
import { type Lesson, type Refusal, refusalOf, teachingRecord } from "./lesson.js";
import type { LocalPorts } from "./local-ports.js";
import type { NveWork } from "./work.js";

const WATCH_AFTER_MS = 9 * 60_000;
const PROBE_AFTER_MS = 10 * 60_000;
const PROBE_EVERY_MS = 1_000;
const PROBES = 3;

/** How Windows numbers what happened to a customer address; 1 is documented, the others follow from it. */
const CHANGE_NUMBERS = { Added: 0, Deleted: 1, Moved: 2 } as const;

/** Windows' notification of an object change, for customer addresses. The record is as it is now, or as it was if it has been deleted. */
export interface CustomerAddressEvent extends NodeEvent {
  readonly kind: "customerAddressChanged";
  readonly change: keyof typeof CHANGE_NUMBERS;
  readonly changeNumber: number;
  readonly virtualSubnetID: number;
  readonly customerAddress: string;
  readonly macAddress: string;
  readonly providerAddress: string;
}

export type RefusalCounts = Readonly<Record<Refusal | "held" | "portLimit" | "hostLimit", number>>;

export interface LearningCounters {
  /** Addresses that the host holds learnt. */
  readonly held: number;
  readonly added: number;
  readonly moved: number;
  readonly deleted: number;
  /** Lessons that were not taken, by why. */
  readonly refused: RefusalCounts;
}

const NOTHING_COUNTED: LearningCounters = {
  held: 0,
  added: 0,
  moved: 0,
  deleted: 0,
  refused: { static: 0, foreign: 0, held: 0, portLimit: 0, hostLimit: 0 },
};

interface Learned {
  record: LookupRecord;
  /** The VM's adapter; null if it is another host's. */
  port: PortIndex | null;
  seenMs: number;
  isWatched: boolean;
  /** Asked since the watch began. */
  probes: number;
}

export type LearningEffect =
  | { readonly kind: "addressTaught"; readonly lesson: Lesson }
  /** The VM behind the port says that it does not have the address any more. */
  | {
      readonly kind: "addressGivenUp";
      readonly vsid: Vsid;
      readonly address: Address;
      readonly mac: Mac;
      readonly port: PortIndex;
    }
  /** One timer per learnt address; it outlives the address if that goes by other ways. */
  | { readonly kind: "addressSilence"; readonly learned: Learned };

/** What room there is depends on. */
interface Room {
  readonly policy: HostPolicy;
  readonly ports: LocalPorts;
}

export class LearnedAddresses {
  readonly #learned = new Map<string, Learned>();
  readonly #countByPort = new Map<PortIndex, number>();
  readonly #counts: Record<CustomerAddressEvent["change"], number>;
  readonly #refused: Record<keyof RefusalCounts, number>;

  /** `counted`: what the host has counted before it lost its memory. */
  constructor({ added, moved, deleted, refused }: LearningCounters = NOTHING_COUNTED) {
    this.#counts = { Added: added, Moved: moved, Deleted: deleted };
    this.#refused = { ...refused };
  }

  /** Has the VM been silent for so long that its next packet is waited for? When this becomes true the record's stamp moves. */
  isWatched(vsid: Vsid, address: Address): boolean {
    return this.#learned.get(keyOf(vsid, address))?.isWatched === true;
  }

  /** May a VM behind this port teach another address? When it may again, the port's stamp and the provider stamp move. */
  hasRoom(port: PortIndex, policy: HostPolicy, ports: LocalPorts): boolean {
    return this.#lackOfRoom(port, { policy, ports }) === undefined;
  }

  get counters(): LearningCounters {
    const { Added: added, Moved: moved, Deleted: deleted } = this.#counts;
    return { held: this.#learned.size, added, moved, deleted, refused: { ...this.#refused } };
  }

  get records(): readonly LookupRecord[] {
    return Array.from(this.#learned.values(), ({ record }) => record);
  }

  /** Tells that these, which the host had learnt, went with its memory. */
  tellLost(records: readonly LookupRecord[], work: NveWork): void {
    for (const record of records) this.#tell("Deleted", record, work);
  }

  settle(effect: LearningEffect, work: NveWork): void {
    switch (effect.kind) {
      case "addressTaught":
        this.#learn(effect.lesson, work);
        break;
      case "addressGivenUp":
        this.#giveUp(effect, work);
        break;
      case "addressSilence":
        this.#onTimer(effect.learned, work);
    }
  }

  /** The policy has changed: what is no longer on record is forgotten. Names the stamps that move with it. */
  policyChanged(change: HostPolicyChange, room: Room): readonly Stamp[] {
    const stale: Learned[] = [];
    const check = (learned: Learned | undefined): void => {
      if (learned && !isOnRecord(learned.record, room.policy)) stale.push(learned);
    };
    switch (change.kind) {
      case "recordAdded":
      case "recordRemoved":
      case "recordReplaced":
        check(this.#learned.get(keyOf(change.record.virtualSubnetID, change.record.customerAddress)));
        break;
      case "recordsReplaced":
        for (const learned of this.#learned.values()) check(learned);
    }
    return stale.flatMap((learned) => this.#forget(learned, room));
  }

  #learn(lesson: Lesson, work: NveWork): void {
    const { policy } = work;
    const { vsid, address, mac, providerAddress } = lesson;
    const teacher = teachingRecord(policy, vsid, mac, address.family);
    const hasMoved = !teacher || !sameAddress(teacher.providerAddress, providerAddress);
    if (hasMoved || !ownsPort(lesson, work)) return;
    const known = policy.lookupRecords.find(vsid, address);
    const learned = this.#learned.get(keyOf(vsid, address));
    const isKnown = known?.macAddress === mac && sameAddress(known.providerAddress, providerAddress);
    const refusal = refusalOf(policy, lesson) ?? (isKnown ? undefined : this.#refusalOf(lesson, known, learned, work));
    if (refusal) this.#refused[refusal]++;
    else if (known?.type === "Static") return;
    else if (known && isKnown) this.#see(known, lesson.port, learned, work);
    else this.#take({ ...teacher, customerAddress: address, type: "Dynamic" }, lesson.port, known, learned, work);
  }

  /** Of its own address only, as this host has learnt it. */
  #giveUp({ vsid, address, mac, port }: Extract<LearningEffect, { kind: "addressGivenUp" }>, work: NveWork): void {
    const learned = this.#learned.get(keyOf(vsid, address));
    if (learned && learned.port === port && learned.record.macAddress === mac) this.#delete(learned, work);
  }

  /** The VM is there. A record that somebody else has written for it, as after a migration, is kept from now on as if it had been learnt. */
  #see(known: LookupRecord, port: PortIndex | null, learned: Learned | undefined, work: NveWork): void {
    if (learned) showLife(learned, work.nowMs);
    else if (port !== null && !this.#lackOfRoom(port, work)) this.#remember(known, port, undefined, work);
  }

  /** Why something new is not learnt; undefined if it is. */
  #refusalOf(
    { by, mac, port }: Lesson,
    known: LookupRecord | undefined,
    learned: Learned | undefined,
    work: NveWork,
  ): "held" | "portLimit" | "hostLimit" | undefined {
    const isOnlyAdded = by === "lease" || (by === "traffic" && known?.macAddress !== mac);
    if (known?.type === "Dynamic" && isOnlyAdded) return "held";
    return learned && learned.port === port ? undefined : this.#lackOfRoom(port, work, learned !== undefined);
  }

  /** Puts the record in place of the one that is `known`, and remembers it in place of what was `learned`. */
  #take(
    record: LookupRecord,
    port: PortIndex | null,
    known: LookupRecord | undefined,
    learned: Learned | undefined,
    work: NveWork,
  ): void {
    if (learned) work.moveStamps(this.#forget(learned, work));
    if (known) work.changePolicy({ kind: "recordRemoved", record: known });
    work.changePolicy({ kind: "recordAdded", record });
    this.#remember(record, port, learned, work);
    this.#tell(known ? "Moved" : "Added", record, work);
  }

  #remember(record: LookupRecord, port: PortIndex | null, learned: Learned | undefined, work: NveWork): void {
    const fresh: Learned = learned ?? { record, port, seenMs: work.nowMs, isWatched: false, probes: 0 };
    Object.assign(fresh, { record, port });
    showLife(fresh, work.nowMs);
    this.#learned.set(keyOf(record.virtualSubnetID, record.customerAddress), fresh);
    this.#count(port, 1);
    if (!learned) setTimer(fresh, work.nowMs + WATCH_AFTER_MS, work); // else its timer goes on
  }

  #onTimer(learned: Learned, work: NveWork): void {
    const { record, port, seenMs } = learned;
    const { virtualSubnetID: vsid, customerAddress: address, macAddress: mac } = record;
    if (this.#learned.get(keyOf(vsid, address)) !== learned) return;
    const isGone = port !== null && work.ports.portOf(vsid, mac) !== port;
    if (isGone) this.#delete(learned, work);
    else if (learned.isWatched) this.#probe(learned, work);
    else if (work.nowMs < seenMs + WATCH_AFTER_MS) setTimer(learned, seenMs + WATCH_AFTER_MS, work);
    else {
      learned.isWatched = true;
      learned.probes = 0;
      work.moveStamps([ANY_STAMP, recordStamp(work.node, vsid, address)]);
      setTimer(learned, seenMs + PROBE_AFTER_MS, work);
    }
  }

  /** Asks the VM from the router's address whether it is there. When it has been asked often enough, or cannot be, it is gone. */
  #probe(learned: Learned, work: NveWork): void {
    const { policy } = work;
    const { virtualSubnetID: vsid, customerAddress: address, macAddress: mac } = learned.record;
    const asker = gatewayAddress(policy, vsid, address.family);
    if (learned.port === null || !asker || learned.probes === PROBES) {
      this.#delete(learned, work);
      return;
    }
    const question = address.family === 4 ? arpRequest : neighborSolicitation;
    work.emit(
      learned.port,
      question({ mac: policy.gatewayMac(vsid, address.family), address: asker, target: address, targetMac: mac }),
    );
    learned.probes++;
    setTimer(learned, work.nowMs + PROBE_EVERY_MS, work);
  }

  #delete(learned: Learned, work: NveWork): void {
    const { record } = learned;
    work.moveStamps(this.#forget(learned, work));
    work.changePolicy({ kind: "recordRemoved", record });
    this.#tell("Deleted", record, work);
  }

  /** Names the stamps that move because there is room now where there was none. */
  #forget({ record, port }: Learned, room: Room): readonly Stamp[] {
    const isHere = port !== null && room.ports.portOf(record.virtualSubnetID, record.macAddress) === port;
    const wasFull = this.#lackOfRoom(isHere ? port : null, room) !== undefined;
    this.#learned.delete(keyOf(record.virtualSubnetID, record.customerAddress));
    this.#count(port, -1);
    if (!wasFull) return [];
    return [ANY_STAMP, providerStamp(room.policy.node), ...(isHere ? [portStamp(port)] : [])];
  }

  /** Which limit keeps one more address from being learnt on this port; `hasPlace` if one of the host's is moved there. */
  #lackOfRoom(
    port: PortIndex | null,
    { policy, ports }: Room,
    hasPlace = false,
  ): "portLimit" | "hostLimit" | undefined {
    const limit = port === null ? 0 : (ports.settingsOf(port).dynamicIPAddressLimit ?? 0);
    if (limit > 0 && (this.#countByPort.get(port!) ?? 0) >= limit) return "portLimit";
    return !hasPlace && this.#learned.size >= policy.settings.learnedAddressLimit ? "hostLimit" : undefined;
  }

  #count(port: PortIndex | null, change: 1 | -1): void {
    if (port === null) return;
    const count = (this.#countByPort.get(port) ?? 0) + change;
    assert(count >= 0, "more addresses are forgotten than were learnt");
    this.#countByPort.set(port, count);
  }

  #tell(change: CustomerAddressEvent["change"], record: LookupRecord, work: NveWork): void {
    this.#counts[change]++;
    const event: CustomerAddressEvent = {
      kind: "customerAddressChanged",
      change,
      changeNumber: CHANGE_NUMBERS[change],
      virtualSubnetID: record.virtualSubnetID,
      customerAddress: formatAddress(record.customerAddress),
      macAddress: formatMac(record.macAddress),
      providerAddress: formatAddress(record.providerAddress),
    };
    work.notify(event);
  }
}

const keyOf = (vsid: Vsid, address: Address): string => `${vsid} ${formatAddress(address)}`;

/** Packets for a VM that borrows another MAC address would go to the adapter that owns it. */
const ownsPort = ({ vsid, mac, port }: Lesson, { ports }: NveWork): boolean =>
  port === null || ports.portOf(vsid, mac) === port;

function isOnRecord(learned: LookupRecord, { lookupRecords }: HostPolicy): boolean {
  const record = lookupRecords.find(learned.virtualSubnetID, learned.customerAddress);
  return (
    record?.type === "Dynamic" &&
    record.macAddress === learned.macAddress &&
    sameAddress(record.providerAddress, learned.providerAddress)
  );
}

function showLife(learned: Learned, nowMs: number): void {
  learned.seenMs = nowMs;
  learned.isWatched = false;
}

const setTimer = (learned: Learned, atMs: number, work: NveWork): void =>
  work.setTimer<LearningEffect>(atMs, { kind: "addressSilence", learned });
