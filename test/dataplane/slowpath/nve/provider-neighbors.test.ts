/** The neighbor cache by itself; what hosts make of it is in test/vswitch/provider-neighbors.test.ts. */
import { expect, it } from "vitest";
import { type NeighborEffect, ProviderNeighbors } from "../../../../src/dataplane/slowpath/nve/provider-neighbors.js";
import type { NveWork } from "../../../../src/dataplane/slowpath/nve/work.js";
import type { PortIndex } from "../../../../src/dataplane/transposition/index.js";
import { parseAddress } from "../../../../src/dataplane/wire/address-text.js";
import type { Mac } from "../../../../src/dataplane/wire/bytes.js";

const NIC = 1 as PortIndex;
const address = parseAddress("192.168.4.22")!;
const from = {
  providerAddress: parseAddress("192.168.4.11")!,
  prefixLength: 24,
  interfaceIndex: 1,
  macAddress: 0x0200_c0a8_040b as Mac,
  vlanID: 0,
  addressState: "Preferred",
} as Extract<NeighborEffect, { kind: "neighborWanted" }>["from"];
const heard: NeighborEffect = { kind: "neighborHeard", address, mac: 0x0200_c0a8_0416 as Mac, port: NIC, vlan: 0 };

it("a neighbor that is heard again and again has one timer, and is asked half a minute after the last time", () => {
  const neighbors = new ProviderNeighbors();
  const timers: { readonly atMs: number; readonly effect: NeighborEffect }[] = [];
  const asked: number[] = [];
  const settle = (effect: NeighborEffect, nowMs: number): void => {
    const work = {
      nowMs,
      emit: () => asked.push(nowMs),
      setTimer: (atMs: number, timed: NeighborEffect) => timers.push({ atMs, effect: timed }),
      notify: () => {},
      resubmit: () => {},
      changePolicy: () => {},
      policy: { neighbors: { all: [], find: () => undefined }, providerAddresses: { find: () => from } },
      ports: { nicPort: () => NIC },
    };
    neighbors.settle(effect, work as unknown as NveWork);
  };
  settle({ kind: "neighborWanted", address, from, packet: null }, 0);
  for (let ms = 1; ms <= 10_000; ms++) settle(heard, ms);
  expect(asked).toEqual([0]);
  expect(timers.length).toBeLessThan(5);
  while (asked.length === 1) {
    const next = timers.sort((a, b) => a.atMs - b.atMs).shift()!;
    settle(next.effect, next.atMs);
  }
  expect(asked).toEqual([0, 40_000]);
});
