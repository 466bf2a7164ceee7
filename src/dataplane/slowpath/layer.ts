/**
 * The contract of a layer: a function of (snapshot, packet, context) to an outcome.
 *
 * A node's pipeline is an ordered list of layers. The first packet of a flow walks it; every layer either continues,
 * having noted what shall change, or ends the walk with a verdict. Layers keep no state of their own: what outlives a packet
 * lives in the snapshot or in named stores that the context hands in. Everything is written for the reader; what it
 * costs is paid once per flow.
 */
import type { Reason } from "../drop-reasons.js";
import type { ParsedFrame } from "../packet/parse.js";
import type { LookupRecord } from "../policy/policy.js";
import type {
  AddressRewrite,
  Decision,
  Effect,
  Forward,
  NodeIndex,
  PortIndex,
  RefusedCopies,
  Stamp,
} from "../transposition/transposition.js";
import type { Mac, Vsid } from "../wire/bytes.js";

/** The packet that is being decided: the bytes as they came, their parse, and what the layers so far want changed. */
export interface PacketView {
  readonly bytes: Uint8Array;
  /** The frame is bytes[start, end). */
  readonly start: number;
  readonly end: number;
  readonly ingress: PortIndex;
  /** Headers of the frame as it came. */
  readonly parsed: ParsedFrame;
  /** What the layers have decided so far; they write, in the order of the pipeline. */
  readonly plan: Plan;
}

/** Changes noted by layers; `forwardTo` (evaluate.ts) turns them into a transposition. */
export interface Plan {
  /** The virtual subnet in which the packet travels; 0 for none. */
  vsid: Vsid;
  /** The inner frame once `pop` is set, else null. */
  inner: ParsedFrame | null;
  pop: boolean;
  dscpInwards: boolean;
  /** MAC addresses of the frame that goes on (the inner one after `pop`), to begin with its own. */
  destinationMac: Mac;
  sourceMac: Mac;
  /** Take an 802.1Q tag off the frame that goes on. */
  removeTag: boolean;
  decrementTtl: boolean;
  /** New IP addresses of the frame that goes on. */
  address: AddressRewrite | null;
  lengthLimit: number | null;
  /** The decision does not hold for TCP packets with SYN. */
  guardsSyn: boolean;
  /** Copies that leave whatever the layers decide about the packet, but not twice for one port; null: none. */
  besides: readonly Forward[] | null;
  /** The receive queue of the NIC where the packet came in; null where there is only one. */
  queue: number | null;
  /** The lookup record that vouches for the sending VM: its provider address is where the packet leaves from. */
  sourceRecord: LookupRecord | null;
  /** The lookup record of the next hop, once that is decided. */
  destinationRecord: LookupRecord | null;
}

export type Outcome =
  | { readonly kind: "continue" }
  /** As in a `Verdict`. */
  | { readonly kind: "forward"; readonly outputs: readonly Forward[]; readonly refused?: readonly RefusedCopies[] }
  | { readonly kind: "drop"; readonly reason: Reason }
  | { readonly kind: "pass"; readonly reason: Reason }
  | { readonly kind: "consume"; readonly reason?: Reason };

export const CONTINUE: Outcome = Object.freeze({ kind: "continue" });
/** A responder took the packet: it has answered it, or nothing is to be said to it. */
export const CONSUME: Outcome = Object.freeze({ kind: "consume" });

/** What a layer is handed besides the snapshot and the packet. */
export interface LayerContext {
  readonly node: NodeIndex;
  /** Engine time in milliseconds. */
  readonly nowMs: number;
  /** The decision rests on this stamp, also when nothing was found there. */
  consulted(stamp: Stamp): void;
  /** This decision is for one packet only: the outcome depends on something that is not in the flow key. */
  doNotCache(): void;
  /**
   * Sends a frame of the node's own through one of its ports, because of this packet and after it: an answer, or an error message.
   * Implies `doNotCache`. The frame is the layer's to give away.
   */
  emit(output: PortIndex, frame: Uint8Array): void;
  /**
   * Sends a frame on as if it had entered at a port of this node, because of this packet and after it: a piece of it, or what it
   * completes. Implies `doNotCache`. The frame is the layer's to give away.
   */
  resubmit(ingress: PortIndex, frame: Uint8Array): void;
  /**
   * Wants the node's state changed because of this packet. The node settles it before the next tick (`dataplane/timeline`); this
   * decision, and all others of the tick, see the state as it is. Implies `doNotCache`.
   */
  raise<Raised extends Effect>(effect: Raised): void;
  /**
   * Counts the packet among those that its port may send in a second of the packets' time. False: it is beyond this limit. Implies
   * `doNotCache`. Explanations count nothing. Frames that the node sends on by itself are not counted again.
   */
  meter(packetsPerSecond: number): boolean;
  /** Present when somebody wants an explanation; layers tell it what they saw and why they chose. */
  readonly observer: Observer | null;
}

/** What a question to the policy's tables needs of the context: which stamps the answer rests on. */
export type Consultation = Pick<LayerContext, "node" | "consulted">;

/** One layer's explanation. Texts are complete for people; `record` and `nearest` are the very objects of the policy. */
export interface LayerNote {
  /** What the layer looked at, e.g. `VSID 5001, 10.0.0.5 -> 10.0.0.7`. */
  readonly saw: string;
  /** What it decided and why. */
  readonly decided: string;
  /** The record, route or rule that decided. */
  readonly record?: unknown;
  /** The nearest that did not match, and the field that differed. */
  readonly nearest?: { readonly record: unknown; readonly differs: string };
}

export interface Observer {
  note(note: LayerNote): void;
}

export interface Layer<Snapshot> {
  readonly name: string;
  evaluate(snapshot: Snapshot, packet: PacketView, context: LayerContext): Outcome;
}

/** What the engine runs: a node decides what happens to a frame that entered it. */
export interface Node {
  readonly name: string;
  /**
   * Why one thread must see all packets of this node, in words that go on after "because": what one flow did decides about another,
   * as with address translation, meters or storm limits. Left out if every flow can be decided by itself.
   */
  readonly keepsStateAcrossFlows?: string;
  /** The same of what packets teach: threads that tell each other (`NodeState.told`) may share the packets. */
  readonly learnsAcrossFlows?: string;
  /** Decides one frame. `trace`, when given, is called before each layer with its name and gives that layer's observer. */
  decide(frame: FrameAtPort, context: DecideContext): Decision;
  /** Left out by nodes whose decisions rest on nothing that packets or time change. */
  readonly state?: NodeState;
  /**
   * May a packet come back to a host that it has passed, as behind a gateway? Then hosts send packets that they got at their first hop and at
   * later ones, and those that enter at different nodes are not run together, so that each host sees them in the order in which they came.
   */
  readonly turnsBack?: boolean;
  /** Which frames that enter at this port may be resubmitted. Asked whenever policy may have changed; left out: none. */
  reentry?(ingress: PortIndex): Reentry;
}

/**
 * Frames that may enter their port again, changed or in pieces. A burst ends behind each, so that what it becomes goes before the packets
 * that came after it, as if each had been run by itself.
 */
export interface Reentry {
  /** Those of more octets than this. */
  readonly above: number;
  /** Those that begin a TCP connection. */
  readonly syn: boolean;
}

export const NO_REENTRY: Reentry = Object.freeze({ above: Number.POSITIVE_INFINITY, syn: false });

/** The state of a node, which only changes between ticks (`dataplane/timeline`). */
export interface NodeState {
  /** Called once, at the time of the first packet. */
  begin?(work: NodeWork): void;
  /** Carries out what a decision has raised, or a timer that was set here. */
  settle(effect: Effect, work: NodeWork): void;
  /** What engines with the same node must know of what was raised here, to settle it too: plain data; null: nothing. Left out: of nothing. */
  told?(effect: Effect): Effect | null;
}

/** What a node can do between two ticks. */
export interface NodeWork {
  readonly node: NodeIndex;
  /** Time of the packets, in milliseconds; whole. */
  readonly nowMs: number;
  /** Sends a frame of the node's own through one of its ports. */
  emit(output: PortIndex, frame: Uint8Array): void;
  /** Sends a frame on as if it had entered at a port of the node: one that had to wait. */
  resubmit(ingress: PortIndex, frame: Uint8Array): void;
  /** Has the effect settled at that time, or at the next tick if it has passed. There is no taking back: see whether it still matters. */
  setTimer<Timed extends Effect>(atMs: number, effect: Timed): void;
  /** State has changed that decisions have read under these stamps. */
  moveStamps(stamps: Iterable<Stamp>): void;
  /** Tells those who watch the lab. */
  notify(event: NodeEvent): void;
}

/** Something that an operator, or a management agent, wants to hear of; plain data, as it is printed. */
export interface NodeEvent {
  readonly kind: string;
  readonly [detail: string]: string | number | null;
}

export interface FrameAtPort {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly ingress: PortIndex;
}

export interface DecideContext {
  readonly node: NodeIndex;
  readonly nowMs: number;
  /** What `LayerContext.meter` asks; left out where nothing is counted. */
  readonly meter?: (packetsPerSecond: number) => boolean;
  /** Called with each layer's name as it begins; its result, if any, receives that layer's notes. */
  readonly observe: ((layer: string) => Observer | null) | null;
}
