/**
 * What the NVE of one host remembers of packets and of time. Layers read it; only what they raise, and timers, change it, between two
 * ticks. Each part is a store with its own effects.
 */
import type { NodeIndex } from "../../transposition/transposition.js";
import { formatAddress } from "../../wire/address-text.js";
import { type ControlCounters, type ControlEffect, ControlState } from "./control-state.js";
import { DuplicateDetection, type DuplicateEffect } from "./duplicate-detection.js";
import { LearnedAddresses, type LearningCounters, type LearningEffect } from "./learned-addresses.js";
import { type MembershipCounters, type MembershipEffect, Memberships } from "./memberships.js";
import { type PathMtuEffect, type PathMtuStore, settlePathMtu } from "./path-mtu-state.js";
import { type NeighborEffect, ProviderNeighbors } from "./provider-neighbors.js";
import { Reassembly, type ReassemblyEffect } from "./reassembly.js";
import type { NveWork } from "./work.js";

/** What layers raise, by store. */
export type NveEffect =
  | NeighborEffect
  | DuplicateEffect
  | ControlEffect
  | PathMtuEffect
  | ReassemblyEffect
  | LearningEffect
  | MembershipEffect;

/** What a host has counted of what its NVE did. */
export interface NveCounters {
  readonly control: ControlCounters;
  readonly learned: LearningCounters;
  readonly memberships: MembershipCounters;
}

export class NveState {
  readonly neighbors = new ProviderNeighbors();
  readonly duplicates = new DuplicateDetection();
  readonly reassembly = new Reassembly();
  readonly learned: LearnedAddresses;
  readonly control: ControlState;
  readonly memberships: Memberships;

  /** `counted`: what a host has counted before it lost its memory. */
  constructor(node: NodeIndex, counted?: NveCounters) {
    this.control = new ControlState(node, counted?.control);
    this.learned = new LearnedAddresses(counted?.learned);
    this.memberships = new Memberships(counted?.memberships);
  }

  begin(work: NveWork): void {
    if (work.policy.settings.resolve !== "wire") return;
    this.duplicates.markTentative(work);
    this.memberships.settle({ kind: "groupsChanged" }, work); // before the probes, so that others' probes are heard
    this.duplicates.begin(work);
  }

  /** A NIC has a link again: it may be that of another network, or others may have come (RFC 5227 §2.1). */
  linkUp(interfaceIndex: number, work: NveWork): void {
    if (work.policy.settings.resolve !== "wire") return;
    this.duplicates.markTentative(work, interfaceIndex);
    this.duplicates.begin(work, interfaceIndex);
  }

  settle(effect: NveEffect, work: NveWork): void {
    switch (effect.kind) {
      case "neighborWanted":
      case "neighborHeard":
      case "neighborTimer":
        this.neighbors.settle(effect, work);
        break;
      case "addressProbe":
      case "addressConflict":
      case "addressAnnounce":
        this.duplicates.settle(effect, work);
        break;
      case "controlMessage":
      case "controlMessageHeld":
      case "redirect":
      case "redirectsEnd":
      case "policyMismatch":
      case "recordMissing":
      case "missingRecordsEnd":
      case "configurationError":
        this.control.settle(effect, work);
        break;
      case "pathMtu":
      case "pathMtuEnd":
        settlePathMtu(effect, pathMtusOf(work), work);
        break;
      case "fragment":
      case "fragmentsEnd":
        this.reassembly.settle(effect, work);
        break;
      case "addressTaught":
      case "addressGivenUp":
      case "addressSilence":
        this.learned.settle(effect, work);
        break;
      case "groupsChanged":
      case "groupQuery":
      case "groupReported":
      case "groupsTold":
      case "groupAnswer":
        this.memberships.settle(effect, work);
        break;
    }
  }
}

/**
 * What the same NVE in another engine must know of what was raised here (`NodeState.told`). Packets wait where they are; the fragments of one
 * must come to one engine.
 */
export function toldOf(effect: NveEffect): NveEffect | null {
  switch (effect.kind) {
    case "fragment":
    case "fragmentsEnd":
      return null;
    case "neighborWanted":
      return { ...effect, packet: null };
    default:
      return effect;
  }
}

/** They lie in the host's policy, for encapsulation goes by them as it does by routes and neighbors. */
const pathMtusOf = (work: NveWork): PathMtuStore => ({
  all: () => work.policy.pathMtus.all,
  learn: (pathMtu) => work.changePolicy({ kind: "pathMtuLearnt", pathMtu }),
  expire: (destination) => work.changePolicy({ kind: "pathMtuExpired", destination, nowMs: work.nowMs }),
  tell: (destination, mtu) => work.notify({ kind: "pathMtu", providerAddress: formatAddress(destination), mtu }),
});
