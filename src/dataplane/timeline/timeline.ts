/**
 * State that outlives packets, and when it changes.
 *
 * Decisions read the state of their node and never write it; they raise *effects*. Time goes in ticks of a millisecond of the packets' own
 * time. All packets of one tick see the same state; between two ticks timers that are due and the effects of the tick before are
 * settled, first those, then these in the order of the packets that raised them:
 *
 *     tick 41                 │ settle: timers due by 42, effects of tick 41 │ tick 42 …
 *     packets ─► decisions    │ node.state.settle(effect) ─► new state,      │ packets ─► decisions
 *                  └ effects ─┘   stamps moved, frames, timers, notices      │
 *
 * So it does not matter how the packets of a tick are cut into bursts, and the same capture gives the same bytes.
 *
 * Where several engines carry one lab (`Companions`), what the packets of one have raised is settled by all.
 */

import type { Node, NodeEvent, NodeWork } from "../slowpath/layer.js";
import type { Effect, Emission, NodeIndex, Stamp } from "../transposition/transposition.js";
import { Agenda } from "./agenda.js";

/** What a node tells whoever watches the lab. */
export interface TimedEvent {
  /** Time of the packets, in milliseconds. */
  readonly timeMs: number;
  readonly node: NodeIndex;
  readonly event: NodeEvent;
}

/**
 * Engines that carry the same lab side by side, each a part of its frames: what a packet teaches one of them, all have to know. Each settles
 * what its own packets raise, and what the others tell of theirs. A frame of a node's own leaves only where the packet was that caused it,
 * and what is caused by time only at the speaker; so it is with what nodes notify.
 */
export interface Companions {
  readonly isSpeaker: boolean;
  /** Called with what a packet has raised here before that is settled, so that no frame is ahead of it. Plain data. */
  tell(node: NodeIndex, effect: Effect): void;
}

/** What the engine does for those who settle. */
export interface TimelineHost {
  /** Sends a frame of a node's own, at the instant that is being settled. */
  emit(emission: Emission): void;
  moveStamps(stamps: Iterable<Stamp>): void;
  /** `isOurs`: companions do not tell the same. */
  notify(event: TimedEvent, isOurs: boolean): void;
}

/**
 * On the way to the next packet, or to where time is let go on to, so many instants are settled, and all of the first day; the rest of the
 * way is one leap. Two hosts that refresh what they know of each other have something to settle every half minute: a month goes by before.
 */
const INSTANTS_MAX = 100_000;
const DAY_MS = 86_400_000;

interface Raised {
  readonly node: NodeIndex;
  readonly effect: Effect;
  readonly sequence: number;
}

export class Timeline {
  readonly #nodes: readonly Node[];
  readonly #host: TimelineHost;
  readonly #companions: Companions | undefined;
  readonly #agenda = new Agenda<(nowMs: number) => void>();
  /** Effects of the tick in hand. */
  #raised: Raised[] = [];
  #raisedTick = 0;
  /** What companions have told since the last instant that was settled. */
  #heard: { readonly node: NodeIndex; readonly effect: Effect }[] = [];
  #hasBegun = false;
  #startMs = 0;
  /** What waits for the time of the first packet to be known. */
  #afterStart: { readonly afterMs: number; readonly action: (nowMs: number) => void }[] = [];
  #nowMs = 0;
  /** Instants settled since time was last where it should be, and when that was. */
  #instants = 0;
  #pausedMs = 0;

  constructor(nodes: readonly Node[], host: TimelineHost, companions?: Companions) {
    this.#nodes = nodes;
    this.#host = host;
    this.#companions = companions;
  }

  /** Time as far as everything is settled. It never goes back, as that of packets may. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** The time of the first packet; null before it. */
  get startMs(): number | null {
    return this.#hasBegun ? this.#startMs : null;
  }

  /** The tick in which a packet with this time is decided. */
  tickOf(timeMs: number): number {
    return Math.max(Math.floor(timeMs), this.#nowMs);
  }

  /** Lets time go on to this tick, unless something is to be settled before; returns whether it does. */
  reach(tick: number): boolean {
    if (!this.#hasBegun || (this.nextMs ?? Number.POSITIVE_INFINITY) <= tick) return false;
    this.#nowMs = tick;
    return true;
  }

  /** A decision that is made now wants this changed. */
  raise(node: NodeIndex, effect: Effect, sequence: number): void {
    this.#raised.push({ node, effect, sequence });
    this.#raisedTick = this.#nowMs;
  }

  /** A companion has told this, which is settled before the next packet. */
  hear(node: NodeIndex, effect: Effect): void {
    this.#heard.push({ node, effect });
  }

  /** Has `action` called at a time, or at the next tick if that has passed. */
  schedule(atMs: number, action: (nowMs: number) => void): void {
    this.#agenda.put(Math.max(Math.ceil(atMs), this.#nowMs + 1), action);
  }

  /** As `schedule`, counted from the time of the first packet. */
  scheduleAfterStart(afterMs: number, action: (nowMs: number) => void): void {
    if (this.#hasBegun) this.schedule(this.#startMs + afterMs, action);
    else this.#afterStart.push({ afterMs, action });
  }

  /** What a node can do at the instant that is being settled. */
  workOf(node: NodeIndex): NodeWork {
    return this.#work(node, this.#nowMs, this.#isSpeaker);
  }

  /** The next instant at which something is settled; null if nothing waits. */
  get nextMs(): number | null {
    if (this.#heard.length > 0) return this.#nowMs;
    const timer = this.#agenda.nextMs;
    if (this.#raised.length === 0) return timer;
    const effects = this.#raisedTick + 1;
    return timer === null ? effects : Math.min(timer, effects);
  }

  /** Settles the next instant, or all at once beyond INSTANTS_MAX, if it is not later than this one. False: there is nothing more until then. */
  settleNext(byMs: number): boolean {
    if (!this.#hasBegun) return this.#begin(byMs);
    const next = this.nextMs;
    if (next === null || next > byMs) {
      this.#nowMs = Math.max(this.#nowMs, byMs);
      this.#instants = 0;
      return false;
    }
    if (this.#instants++ === 0) this.#pausedMs = this.#nowMs;
    const leaps = this.#instants > INSTANTS_MAX && next - this.#pausedMs > DAY_MS;
    const nowMs = Math.max(leaps ? byMs : next, this.#nowMs);
    this.#nowMs = nowMs;
    for (let action = this.#agenda.takeDue(nowMs); action; action = this.#agenda.takeDue(nowMs)) action(nowMs);
    if (this.#raised.length > 0 && this.#raisedTick < nowMs) this.#settleRaised(nowMs);
    this.#settleHeard(nowMs);
    return true;
  }

  #settleRaised(nowMs: number): void {
    const raised = this.#raised.sort((a, b) => (a.sequence - b.sequence) | 0); // numbers wrap
    this.#raised = [];
    for (const { node, effect } of raised) {
      const state = this.#nodes[node]!.state!;
      const told = this.#companions && state.told?.(effect);
      if (told) this.#companions.tell(node, told);
      state.settle(effect, this.#work(node, nowMs, true));
    }
  }

  #settleHeard(nowMs: number): void {
    const heard = this.#heard;
    this.#heard = [];
    for (const { node, effect } of heard) this.#nodes[node]!.state!.settle(effect, this.#work(node, nowMs, false));
  }

  #begin(nowMs: number): boolean {
    this.#hasBegun = true;
    this.#startMs = nowMs;
    this.#nowMs = nowMs - 1; // so that what shall happen at once does, before the first packet
    for (const { afterMs, action } of this.#afterStart) this.schedule(nowMs + afterMs, action);
    this.#nowMs = nowMs;
    this.#nodes.forEach(({ state }, index) => {
      const node = index as NodeIndex;
      state?.begin?.(this.#work(node, nowMs, this.#isSpeaker));
    });
    return true;
  }

  get #isSpeaker(): boolean {
    return this.#companions?.isSpeaker ?? true;
  }

  /** `speaks`: no companion sends and notifies the same. What had to wait here waits nowhere else. */
  #work(node: NodeIndex, nowMs: number, speaks: boolean): NodeWork {
    const host = this.#host;
    return {
      node,
      nowMs,
      emit: (port, frame) => {
        if (speaks) host.emit({ port, direction: "out", frame });
      },
      resubmit: (port, frame) => host.emit({ port, direction: "in", frame }),
      setTimer: (atMs, effect) =>
        this.schedule(atMs, (dueMs) =>
          this.#nodes[node]!.state!.settle(effect, this.#work(node, dueMs, this.#isSpeaker)),
        ),
      moveStamps: (stamps) => host.moveStamps(stamps),
      notify: (event) => host.notify({ timeMs: nowMs, node, event }, speaks),
    };
  }
}
