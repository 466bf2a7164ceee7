/**
 * What a host remembers because of control messages: redirects, and what it has said lately; mistakes in its configuration that packets
 * have shown are told under the same limits.
 *
 * Everything here is bounded. Each kind of message to a host about one (VSID, CA) is sent once in a second, and a hundred in all; each kind of event
 * about one (VSID, CA), or one path, is told once in a second, and a thousand in all; redirects end after a minute, and sooner if there are too many.
 * What is told of missing records has limits of its own (`missing-records.ts`), so that no VM can silence the others.
 */
import { ANY_STAMP } from "../../policy/stamps.js";
import type { NodeIndex, PortIndex } from "../../transposition/transposition.js";
import { type Address, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Vsid } from "../../wire/bytes.js";
import type { ControlKind } from "../../wire/control-message.js";
import type { NodeEvent } from "../layer.js";
import { type MissingRecord, type MissingRecordEffect, MissingRecords } from "./missing-records.js";
import { type Redirect, RedirectTable } from "./redirects.js";
import type { NveWork } from "./work.js";

/** Who is told what, about which VM: what messages are limited by. */
export interface MessageSubject {
  readonly message: ControlKind;
  readonly receiver: Address;
  readonly virtualSubnetID: Vsid;
  readonly customerAddress: Address;
}

/** What decisions about packets want of this state. */
export type ControlEffect =
  | MissingRecordEffect
  /** Tell the host at `receiver` that a packet to (VSID, CA) was not delivered: send this frame. */
  | ({
      readonly kind: "controlMessage";
      readonly output: PortIndex;
      readonly frame: Uint8Array;
    } & MessageSubject)
  /** A message that a limit holds back; it has not been made. */
  | { readonly kind: "controlMessageHeld" }
  /** The host at `providerAddress`, which the packet was sent to, says where the VM lives now. */
  | { readonly kind: "redirect"; readonly providerAddress: Address; readonly redirect: Redirect }
  /** A timer: some redirects end. */
  | { readonly kind: "redirectsEnd" }
  /** The host at `providerAddress` has no policy for what was sent to (VSID, CA), or another. */
  | {
      readonly kind: "policyMismatch";
      readonly virtualSubnetID: Vsid;
      readonly customerAddress: Address;
      readonly providerAddress: Address;
    }
  /** IPv6 of a VM meets a path from `source` that leaves less than any IPv6 link may carry. */
  | {
      readonly kind: "configurationError";
      readonly source: Address;
      readonly pathMtu: number;
      readonly innerMtu: number;
    };

/** A mistake in the host's configuration that packets have shown: for an operator, since no VM can be told. */
export interface ConfigurationErrorEvent extends NodeEvent {
  readonly kind: "configurationError";
  readonly error: "IPV6_MTU_TOO_SMALL";
  /** The host's own, where the path begins. */
  readonly providerAddress: string;
  /** What the path carries, and what it leaves for packets of VMs; octets. */
  readonly pathMtu: number;
  readonly innerMtu: number;
}

/** Two of the notifications of Windows' wnvapi; addresses as text, from which the families follow. */
export interface ControlEvent extends NodeEvent {
  readonly kind: "policyMismatch" | "redirect";
  readonly virtualSubnetID: Vsid;
  readonly customerAddress: string;
  /** Where packets for the customer address were sent; null: nowhere, for lack of a record. */
  readonly providerAddress: string | null;
  /** Of a redirect: where they are sent from now on. */
  readonly newProviderAddress?: string;
}

export interface ControlCounters {
  /** REDIRECT and UNREACHABLE messages sent. */
  readonly sent: number;
  /** Messages that a limit has held back. */
  readonly held: number;
  /** Redirects obeyed. */
  readonly redirects: number;
  /** Redirects that had to go before their time because there were too many. */
  readonly redirectsEvicted: number;
  /** Events that a limit has held back. */
  readonly eventsHeld: number;
}

const NOTHING_COUNTED: ControlCounters = { sent: 0, held: 0, redirects: 0, redirectsEvicted: 0, eventsHeld: 0 };

export const CONTROL_MESSAGES_PER_SECOND = 100;
export const CONTROL_EVENTS_PER_SECOND = 1000;

export class ControlState {
  readonly redirects: RedirectTable;
  readonly missing: MissingRecords;
  readonly #messages = new OncePerSecond(CONTROL_MESSAGES_PER_SECOND);
  readonly #events = new OncePerSecond(CONTROL_EVENTS_PER_SECOND);
  readonly #counters: { -readonly [Name in keyof ControlCounters]: number };
  /** A timer is set for the end of the oldest redirect. */
  #isTimerSet = false;

  /** Counters go on from `counted`. */
  constructor(node: NodeIndex, counted: ControlCounters = NOTHING_COUNTED) {
    this.redirects = new RedirectTable(node);
    this.missing = new MissingRecords(node);
    this.#counters = { ...counted };
  }

  get counters(): ControlCounters {
    return { ...this.#counters };
  }

  /** Would a message that is wanted now be sent, at the next tick? More than one may be wanted until then. */
  maySend(subject: MessageSubject, nowMs: number): boolean {
    return this.#messages.allows(keyOf(subject), nowMs + 1);
  }

  settle(effect: ControlEffect, work: NveWork): void {
    switch (effect.kind) {
      case "controlMessage":
        this.#send(effect, work);
        break;
      case "controlMessageHeld":
        this.#counters.held++;
        break;
      case "redirect":
        this.#redirect(effect, work);
        break;
      case "redirectsEnd":
        this.#endRedirects(work);
        break;
      case "policyMismatch":
        this.#tell(effect, {}, work);
        break;
      case "recordMissing":
        this.#tellOfMissing(effect, work);
        break;
      case "missingRecordsEnd":
        this.missing.end(work);
        break;
      case "configurationError":
        this.#tellError(effect, work);
        break;
    }
  }

  #send(effect: Extract<ControlEffect, { kind: "controlMessage" }>, work: NveWork): void {
    if (!this.#messages.allow(keyOf(effect), work.nowMs)) {
      this.#counters.held++;
      return;
    }
    this.#counters.sent++;
    work.emit(effect.output, effect.frame);
  }

  #redirect({ redirect, providerAddress }: Extract<ControlEffect, { kind: "redirect" }>, work: NveWork): void {
    const { virtualSubnetID, customerAddress, target } = redirect;
    // The record may have been written since, or another message of this tick may have come first.
    const sentTo = this.redirects.destinationOf(work.policy, virtualSubnetID, customerAddress);
    if (!sentTo || !sameAddress(sentTo, providerAddress)) return;
    const evicted = this.redirects.put(redirect, work.nowMs);
    this.#counters.redirects++;
    if (evicted) this.#counters.redirectsEvicted++;
    this.#moveStamps(evicted ? [redirect, evicted] : [redirect], work);
    this.#setTimer(work);
    const about = { kind: "redirect", virtualSubnetID, customerAddress, providerAddress } as const;
    this.#tell(about, { newProviderAddress: formatAddress(target) }, work);
  }

  #endRedirects(work: NveWork): void {
    this.#isTimerSet = false;
    this.#moveStamps(this.redirects.expire(work.nowMs), work);
    this.#setTimer(work);
  }

  /** Flows that rest on more than their entries can name rest on `ANY_STAMP`. */
  #moveStamps(redirects: readonly Redirect[], work: NveWork): void {
    work.moveStamps([ANY_STAMP, ...redirects.map((redirect) => this.redirects.stampOf(redirect))]);
  }

  /** One timer at a time: what comes later ends later. */
  #setTimer(work: NveWork): void {
    const endMs = this.redirects.nextEndMs;
    if (this.#isTimerSet || endMs === null) return;
    this.#isTimerSet = true;
    work.setTimer<ControlEffect>(endMs, { kind: "redirectsEnd" });
  }

  #tell(about: EventSubject, more: Partial<ControlEvent>, work: NveWork): void {
    const { kind, virtualSubnetID } = about;
    const customerAddress = formatAddress(about.customerAddress);
    const providerAddress = formatAddress(about.providerAddress);
    const event: ControlEvent = { kind, virtualSubnetID, customerAddress, providerAddress, ...more };
    this.#notify(`${kind} ${virtualSubnetID} ${customerAddress}`, event, work);
  }

  #tellError(effect: Extract<ControlEffect, { kind: "configurationError" }>, work: NveWork): void {
    const { kind, pathMtu, innerMtu } = effect;
    const providerAddress = formatAddress(effect.source);
    const event: ConfigurationErrorEvent = { kind, error: "IPV6_MTU_TOO_SMALL", providerAddress, pathMtu, innerMtu };
    this.#notify(`${kind} ${providerAddress} ${pathMtu}`, event, work);
  }

  #notify(about: string, event: NodeEvent, work: NveWork): void {
    if (this.#events.allow(about, work.nowMs)) work.notify(event);
    else this.#counters.eventsHeld++;
  }

  #tellOfMissing(missing: MissingRecord, work: NveWork): void {
    const noted = this.missing.note(missing, work);
    if (noted === "full") this.#counters.eventsHeld++;
    if (noted !== "told") return;
    const { virtualSubnetID, customerAddress } = missing;
    const about = { virtualSubnetID, customerAddress: formatAddress(customerAddress), providerAddress: null };
    const event: ControlEvent = { kind: "policyMismatch", ...about };
    work.notify(event);
  }
}

type EventSubject = Omit<Extract<ControlEffect, { kind: "policyMismatch" }>, "kind"> & Pick<ControlEvent, "kind">;

const keyOf = ({ message, receiver, virtualSubnetID, customerAddress }: MessageSubject): string =>
  `${message} ${formatAddress(receiver)} ${virtualSubnetID} ${formatAddress(customerAddress)}`;

/** Lets everything happen once in a second, and `most` things in all. It remembers no more than those. */
class OncePerSecond {
  readonly #most: number;
  /** When each thing may happen again, the first one first, as time never goes back. */
  readonly #again = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** May it happen? */
  allows(what: string, nowMs: number): boolean {
    if ((this.#again.get(what) ?? 0) > nowMs) return false;
    let over = 0;
    for (const againMs of this.#again.values()) {
      if (againMs > nowMs) break;
      over++;
    }
    return this.#again.size - over < this.#most;
  }

  /** As `allows`, and if so it has happened. */
  allow(what: string, nowMs: number): boolean {
    if (!this.allows(what, nowMs)) return false;
    for (const [one, againMs] of this.#again) {
      if (againMs > nowMs) break;
      this.#again.delete(one);
    }
    this.#again.set(what, nowMs + 1000);
    return true;
  }
}
