/** What a live run tells of its provider addresses: on the status line as long as they are not in use, and in a line each time that this changes. */
import { expect, it } from "vitest";
import type { LiveState } from "../../src/cli/live/messages.js";
import { addressLines, duplicateLines, ratesBetween, statusText, sumStates } from "../../src/cli/live/status.js";
import type { ProviderAddressState } from "../../src/vswitch/index.js";

const TOTALS = { in: 0, delivered: 0, dropped: 0, passed: 0, consumed: 0, copies: 0, injected: 0 };
const FLOWS = { hits: 0, misses: 0, entries: 0, guarded: 0, evictions: 0, expired: 0, stale: 0, uncached: 0 };

/** A second after the start, with one address of host1 in each of these states. */
const withAddresses = (...states: readonly ProviderAddressState["state"][]): LiveState => ({
  elapsedMs: 1000,
  startMs: 0,
  counters: { ports: [], reasons: [], totals: TOTALS, flows: FLOWS },
  interfaces: [],
  mtus: [],
  heldAnswers: 0,
  untold: 0,
  told: [],
  controlled: {},
  learning: {},
  memberships: {},
  providerAddresses: states.map((state, index) => ({ host: "host1", address: `192.168.4.1${index + 1}`, state })),
  captures: [],
});

it("the status line names addresses that are not in use, and why", () => {
  const textOf = (state: LiveState): string => statusText(state, ratesBetween(undefined, state));
  expect(textOf(withAddresses("Tentative", "Preferred", "Duplicate"))).toMatch(
    / {2}0 flows {2}192\.168\.4\.11 Tentative {2}192\.168\.4\.13 Duplicate$/,
  );
  expect(textOf(withAddresses("Preferred"))).toMatch(/ {2}0 flows$/);
});

it("a change is told once: what is found out, what is used, and on standard error what somebody else has", () => {
  const tentative = withAddresses("Tentative", "Tentative");
  const decided = withAddresses("Preferred", "Duplicate");
  const lines = (before: LiveState | undefined, now: LiveState) => [
    addressLines(before, now),
    duplicateLines(before, now),
  ];
  expect(lines(undefined, tentative)).toEqual([
    [
      "host1 finds out whether somebody else has 192.168.4.11",
      "host1 finds out whether somebody else has 192.168.4.12",
    ],
    [],
  ]);
  expect(lines(tentative, decided)).toEqual([
    ["host1 uses 192.168.4.11"],
    ["hnv: host1: somebody else has 192.168.4.12; nothing is sent from it, nor received"],
  ]);
  expect(lines(decided, decided)).toEqual([[], []]);
  expect(lines(undefined, withAddresses("Preferred"))).toEqual([["host1 uses 192.168.4.11"], []]);
});

it("what happens to a device that threads share counts once, frames count in each", () => {
  const state = withAddresses();
  const thread = (down: number, malformed: number): LiveState => {
    const events = { down, malformed };
    return {
      ...state,
      interfaces: [{ received: 5, sent: 1, receiveDrops: malformed, sendDrops: 0, events }],
      mtus: [1500],
    };
  };
  expect(sumStates([thread(1, 3), thread(1, 4)]).interfaces).toEqual([
    { received: 10, sent: 2, receiveDrops: 7, sendDrops: 0, events: { down: 1, malformed: 7 } },
  ]);
});
