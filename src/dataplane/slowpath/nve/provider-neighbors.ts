/**
 * The neighbor cache of the provider network (RFC 4861 §7.3, and the same for ARP): which MAC address each next hop has.
 *
 *     wanted ─► incomplete ── answer ─► reachable ── 30 s ─► probing ── answer ─► reachable
 *                   └── 3 tries ─► failed, for 3 s              └── 3 tries ─► forgotten
 *
 * A neighbor that is in use is asked again before it is forgotten, by unicast, so that flows need not be decided anew; the answer
 * comes in time if the neighbor is there. What is given by policy is not asked for. Packets that need an unknown neighbor wait, a few for
 * each; when it fails they are decided again, and dropped.
 */
import type { Neighbor, ProviderAddress } from "../../policy/policy.js";
import type { PortIndex } from "../../transposition/transposition.js";
import { type Address, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Mac } from "../../wire/bytes.js";
import { formatMac } from "../../wire/mac.js";
import { askFor } from "./provider-frames.js";
import type { NveWork } from "./work.js";

/** REACHABLE_TIME of RFC 4861 §10. */
const REACHABLE_MS = 30_000;
/** RETRANS_TIMER, MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT of RFC 4861 §10. */
const RETRY_MS = 1_000;
const TRIES_MAX = 3;
/** Packets to a neighbor that has just failed are dropped at once. */
const FAILED_MS = 3_000;
/** Most neighbors at a time, and most packets that wait for one. */
export const NEIGHBORS_MAX = 1_024;
export const WAITING_MAX = 3;

/** A packet that waits, and where it had entered. */
export interface WaitingPacket {
  readonly port: PortIndex;
  readonly frame: Uint8Array;
}

export type NeighborEffect =
  | {
      readonly kind: "neighborWanted";
      readonly address: Address;
      /** Who asks. */
      readonly from: ProviderAddress;
      readonly packet: WaitingPacket | null;
    }
  /** A neighbor told where it is, by a frame that came to this port in this VLAN. */
  | {
      readonly kind: "neighborHeard";
      readonly address: Address;
      readonly mac: Mac;
      readonly port: PortIndex;
      readonly vlan: number;
    }
  | { readonly kind: "neighborTimer"; readonly address: Address; readonly round: number };

interface Entry {
  readonly address: Address;
  readonly from: ProviderAddress;
  state: "incomplete" | "reachable" | "probing" | "failed";
  mac: Mac | null;
  /** When it was last heard. */
  heardMs: number;
  tries: number;
  /** Timers of earlier rounds no longer matter. */
  round: number;
  waiting: WaitingPacket[];
}

export class ProviderNeighbors {
  readonly #entries = new Map<string, Entry>();

  get size(): number {
    return this.#entries.size;
  }

  /** Has this address been asked for? */
  isKnown(address: Address): boolean {
    return this.#entries.has(formatAddress(address));
  }

  /** May a packet wait for this neighbor? Not if nobody answered for it just now, if enough wait already, or if there is no place for it. */
  mayWait(address: Address): boolean {
    const entry = this.#entries.get(formatAddress(address));
    if (entry === undefined) return this.#entries.size < NEIGHBORS_MAX || this.#oldestAnswered() !== undefined;
    return entry.state !== "failed" && entry.waiting.length < WAITING_MAX;
  }

  settle(effect: NeighborEffect, work: NveWork): void {
    if (effect.kind === "neighborWanted") this.#wanted(effect, work);
    else if (effect.kind === "neighborHeard") this.#heard(effect, work);
    else this.#timer(effect, work);
  }

  #wanted({ address, from, packet }: Extract<NeighborEffect, { kind: "neighborWanted" }>, work: NveWork): void {
    const key = formatAddress(address);
    const known = this.#entries.get(key);
    if (known?.state === "incomplete" && known.waiting.length < WAITING_MAX) {
      if (packet) known.waiting.push(packet);
      return;
    }
    const isInPolicy = work.policy.neighbors.find(address) !== undefined;
    if (known || isInPolicy) {
      if (known && known.mac !== null && !isInPolicy) replaceNeighbor(work, address, known.mac); // somebody took it out
      if (packet) work.resubmit(packet.port, packet.frame); // to be decided by what is known now
      return;
    }
    if (!this.#makePlace(work)) {
      if (packet) work.resubmit(packet.port, packet.frame); // to be dropped, unless there is a place by then
      return;
    }
    const entry: Entry = { address, from, state: "incomplete", mac: null, heardMs: 0, tries: 0, round: 0, waiting: [] };
    if (packet) entry.waiting.push(packet);
    this.#entries.set(key, entry);
    this.#ask(entry, work);
  }

  #heard({ address, mac, port, vlan }: Extract<NeighborEffect, { kind: "neighborHeard" }>, work: NveWork): void {
    const entry = this.#entries.get(formatAddress(address));
    if (!entry) return; // nobody wants to know any more
    const { interfaceIndex, vlanID } = entry.from;
    if (work.ports.nicPort(interfaceIndex) !== port || vlanID !== vlan) return; // another neighbor of that address
    const isNew = entry.mac !== mac || entry.state === "failed";
    const hasTimer = entry.state === "reachable"; // which sees that it was heard since
    entry.mac = mac;
    entry.heardMs = work.nowMs;
    entry.state = "reachable";
    if (!hasTimer) {
      entry.round++;
      work.setTimer<NeighborEffect>(work.nowMs + REACHABLE_MS, { kind: "neighborTimer", address, round: entry.round });
    }
    if (isNew) {
      replaceNeighbor(work, address, mac);
      work.notify({ kind: "neighborChanged", address: formatAddress(address), mac: formatMac(mac) });
    }
    this.#release(entry, work);
  }

  #timer({ address, round }: Extract<NeighborEffect, { kind: "neighborTimer" }>, work: NveWork): void {
    const entry = this.#entries.get(formatAddress(address));
    if (!entry || entry.round !== round) return;
    if (entry.state === "failed" || !isStillThere(entry.from, work)) {
      this.#forget(entry, work);
      return;
    }
    if (entry.state === "reachable") {
      const dueMs = entry.heardMs + REACHABLE_MS;
      if (work.nowMs < dueMs) {
        work.setTimer<NeighborEffect>(dueMs, { kind: "neighborTimer", address, round });
        return;
      }
      entry.state = "probing";
      entry.tries = 0;
    }
    if (entry.tries < TRIES_MAX) this.#ask(entry, work);
    else this.#fail(entry, work);
  }

  #ask(entry: Entry, work: NveWork): void {
    entry.tries++;
    entry.round++;
    const port = work.ports.nicPort(entry.from.interfaceIndex);
    work.emit(port, askFor(entry.from, entry.address, entry.mac));
    const { address, round } = entry;
    work.setTimer<NeighborEffect>(work.nowMs + RETRY_MS, { kind: "neighborTimer", address, round });
  }

  #fail(entry: Entry, work: NveWork): void {
    if (entry.mac !== null) replaceNeighbor(work, entry.address, null);
    entry.state = "failed";
    entry.mac = null;
    entry.round++;
    const { address, round } = entry;
    work.setTimer<NeighborEffect>(work.nowMs + FAILED_MS, { kind: "neighborTimer", address, round });
    work.notify({ kind: "neighborFailed", address: formatAddress(address) });
    this.#release(entry, work);
  }

  /** Those who waited are decided again, by what is known now. */
  #release(entry: Entry, work: NveWork): void {
    for (const { port, frame } of entry.waiting) work.resubmit(port, frame);
    entry.waiting = [];
  }

  /**
   * Makes place for one more; false if there is none. Who is still being asked for stays: else more than have a place would push each other
   * out and be asked for anew without end.
   */
  #makePlace(work: NveWork): boolean {
    if (this.#entries.size < NEIGHBORS_MAX) return true;
    const oldest = this.#oldestAnswered();
    if (oldest) this.#forget(oldest, work);
    return oldest !== undefined;
  }

  #forget(entry: Entry, work: NveWork): void {
    this.#entries.delete(formatAddress(entry.address));
    if (entry.mac !== null) replaceNeighbor(work, entry.address, null);
    this.#release(entry, work);
  }

  /** The oldest of those whose question has come to an end, one way or the other: no packet waits for it. */
  #oldestAnswered(): Entry | undefined {
    for (const entry of this.#entries.values()) if (entry.state !== "incomplete") return entry;
    return undefined;
  }
}

/** Has the host this address still, and where it asked from? It may have been taken away, or moved, since. */
function isStillThere(
  { providerAddress, interfaceIndex, vlanID, macAddress }: ProviderAddress,
  { policy }: NveWork,
): boolean {
  const now = policy.providerAddresses.find(providerAddress);
  return now?.interfaceIndex === interfaceIndex && now.vlanID === vlanID && now.macAddress === macAddress;
}

/** The neighbors of the policy are what layers go by: those that were given, and those that were learnt. */
function replaceNeighbor(work: NveWork, address: Address, mac: Mac | null): void {
  const others = work.policy.neighbors.all.filter((neighbor) => !sameAddress(neighbor.address, address));
  const neighbors: readonly Neighbor[] = mac === null ? others : [...others, { address, mac }];
  work.changePolicy({ kind: "providerReplaced", neighbors });
}
