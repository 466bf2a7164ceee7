/** What a live run says while it runs: rates of the last second, and what happened to its interfaces. */
import { type ReasonName, reasonName } from "../../dataplane/index.js";
import type { LiveCounters } from "../../io/index.js";
import type { ProviderAddressState } from "../../vswitch/index.js";
import type { PortValue } from "../options.js";
import { countOf, formatNumber } from "../terminal.js";
import { sumCounters } from "../workers/counters.js";
import type { LiveState } from "./messages.js";

/** Per second. */
export interface Rates {
  readonly in: number;
  readonly delivered: number;
  readonly dropped: number;
  /** Of `dropped`, and of what is passed on for a reason. */
  readonly reasons: Readonly<Partial<Record<ReasonName, number>>>;
  readonly heldAnswers: number;
}

export function ratesBetween(before: LiveState | undefined, now: LiveState): Rates {
  const seconds = (now.elapsedMs - (before?.elapsedMs ?? 0)) / 1000;
  const rate = (count: number): number => (seconds > 0 ? Math.round(count / seconds) : 0);
  const totals = now.counters.totals;
  const earlier = before?.counters.totals;
  return {
    in: rate(totals.in - (earlier?.in ?? 0)),
    delivered: rate(totals.delivered - (earlier?.delivered ?? 0)),
    dropped: rate(totals.dropped - (earlier?.dropped ?? 0)),
    reasons: reasonRates(before, now, rate),
    heldAnswers: rate(now.heldAnswers - (before?.heldAnswers ?? 0)),
  };
}

/** The counters of all threads as those of one. What happens to a device happens to it in every thread, and counts once. */
export function sumStates(states: readonly LiveState[]): LiveState {
  return {
    elapsedMs: Math.max(...states.map(({ elapsedMs }) => elapsedMs)),
    counters: sumCounters(states.map(({ counters }) => counters)),
    inByWorker: states.map(({ counters }) => counters.totals.in),
    interfaces: states[0]!.interfaces.map((_, index) =>
      sumInterfaces(states.map(({ interfaces }) => interfaces[index]!)),
    ),
    mtus: states[0]!.mtus,
    startMs: states[0]!.startMs,
    told: states.flatMap(({ told }) => told),
    untold: states.reduce((sum, state) => sum + state.untold, 0),
    controlled: states[0]!.controlled, // all threads know, and count, what one has learnt
    learning: states[0]!.learning,
    memberships: states[0]!.memberships,
    providerAddresses: states[0]!.providerAddresses,
    heldAnswers: states.reduce((sum, state) => sum + state.heldAnswers, 0),
    captures: states[0]!.captures.map((_, index) => ({
      frames: states.reduce((sum, { captures }) => sum + captures[index]!.frames, 0),
      lost: states.reduce((sum, { captures }) => sum + captures[index]!.lost, 0),
    })),
  };
}

function sumInterfaces(parts: readonly LiveCounters[]): LiveCounters {
  const sum = (field: "received" | "sent" | "receiveDrops" | "sendDrops"): number =>
    parts.reduce((total, part) => total + part[field], 0);
  const events: Record<string, number> = {};
  for (const part of parts) {
    for (const [name, count] of Object.entries(part.events)) {
      const before = events[name] ?? 0;
      events[name] = name === "malformed" ? before + count : Math.max(before, count); // frames, of which each thread has others
    }
  }
  const [received, sent, receiveDrops, sendDrops] = [
    sum("received"),
    sum("sent"),
    sum("receiveDrops"),
    sum("sendDrops"),
  ];
  const slots = parts.find((part) => part.slots)?.slots; // what has slots or a checker is not shared
  const checker = parts.find((part) => part.checker)?.checker;
  return { received, sent, receiveDrops, sendDrops, events, ...(slots && { slots }), ...(checker && { checker }) };
}

/** All ports together; reasons without a packet are left out. */
function reasonRates(before: LiveState | undefined, now: LiveState, rate: (count: number) => number): Rates["reasons"] {
  const counts = new Map<ReasonName, number>();
  const add = (state: LiveState | undefined, sign: number): void => {
    for (const { reason, count } of state?.counters.reasons ?? []) {
      counts.set(reasonName(reason), (counts.get(reasonName(reason)) ?? 0) + sign * count);
    }
  };
  add(now, 1);
  add(before, -1);
  return Object.fromEntries([...counts].filter(([, count]) => count > 0).map(([name, count]) => [name, rate(count)]));
}

/** `12 s  in 10,234/s  delivered 10,200/s  dropped 34/s (TX_UNANSWERED 34)  12 flows`, and provider addresses that are not in use. */
export function statusText(
  { elapsedMs, counters, providerAddresses }: LiveState,
  { in: entered, delivered, dropped, reasons, heldAnswers }: Rates,
): string {
  const named = Object.entries(reasons).map(([name, rate]) => `${name} ${formatNumber(rate)}`);
  return [
    `${Math.floor(elapsedMs / 1000)} s`,
    `in ${formatNumber(entered)}/s`,
    `delivered ${formatNumber(delivered)}/s`,
    `dropped ${formatNumber(dropped)}/s${named.length > 0 ? ` (${named.join(", ")})` : ""}`,
    ...(heldAnswers > 0 ? [`answers held back ${formatNumber(heldAnswers)}/s`] : []),
    countOf(counters.flows.entries, "flow"),
    ...providerAddresses
      .filter(({ state }) => state !== "Preferred")
      .map(({ address, state }) => `${address} ${state}`),
  ].join("  ");
}

/** What has become of provider addresses since, as long as nothing is wrong with them. */
export const addressLines = (before: LiveState | undefined, now: LiveState): string[] =>
  changedAddresses(before, now).flatMap(({ host, address, state }) => {
    if (state === "Tentative") return [`${host} finds out whether somebody else has ${address}`];
    return state === "Preferred" ? [`${host} uses ${address}`] : [];
  });

export const duplicateLines = (before: LiveState | undefined, now: LiveState): string[] =>
  changedAddresses(before, now)
    .filter(({ state }) => state === "Duplicate")
    .map(({ host, address }) => `hnv: ${host}: somebody else has ${address}; nothing is sent from it, nor received`);

function changedAddresses(before: LiveState | undefined, now: LiveState): readonly ProviderAddressState[] {
  const known = new Map(before?.providerAddresses.map(({ host, address, state }) => [`${host} ${address}`, state]));
  return now.providerAddresses.filter(({ host, address, state }) => state !== known.get(`${host} ${address}`));
}

/** Something that happened to an interface. */
export interface LiveEvent {
  readonly port: string;
  readonly uri: string;
  readonly event: string;
  readonly mtu: number | null;
}

/** What happened to the interfaces since. */
export function eventsBetween(binds: readonly PortValue[], before: LiveState | undefined, now: LiveState): LiveEvent[] {
  return binds.flatMap(({ port, value }, index) =>
    Object.entries(now.interfaces[index]!.events)
      .filter(([name, count]) => count > (before?.interfaces[index]?.events[name] ?? 0))
      .map(([event]) => ({ port, uri: value, event, mtu: now.mtus[index]! })),
  );
}

const EVENT_TEXT: Readonly<Record<string, string>> = {
  down: "is down",
  up: "is up again",
  gone: "is gone; waiting for it to come back",
  back: "is back",
  renamed: "has another name; it is used on",
  malformed: "brought frames that contradict their offload header",
  skipped: "could not be asked in time, and left out frames",
};

export const eventLine = ({ uri, event, mtu }: LiveEvent): string =>
  `hnv: ${uri} ${event === "mtu" ? `has MTU ${mtu} now` : (EVENT_TEXT[event] ?? event)}`;

/** One line on a terminal's standard error that is written over again and again. */
export class StatusLine {
  readonly #isTerminal = process.stderr.isTTY === true;
  #isShown = false;

  show(text: string): void {
    if (!this.#isTerminal) return;
    const width = process.stderr.columns ?? 80;
    process.stderr.write(`\r${text.slice(0, width - 1)}\u001b[K`);
    this.#isShown = true;
  }

  clear(): void {
    if (this.#isShown) process.stderr.write("\r\u001b[K");
    this.#isShown = false;
  }
}
