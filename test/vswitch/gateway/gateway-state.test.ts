/** What a gateway's state costs: timers and memory are bounded, whatever packets say. */
import { expect, it } from "vitest";
import type { NodeWork } from "../../../src/dataplane/slowpath/index.js";
import type { Effect, NodeIndex, PortIndex } from "../../../src/dataplane/transposition/index.js";
import { parseAddress } from "../../../src/dataplane/wire/index.js";
import { FRAGMENTED_MAX, type GatewayEffect, GatewayState } from "../../../src/vswitch/gateway/gateway-state.js";
import { load } from "../../control/labs.js";
import { EXAMPLE } from "./gateway-lab.js";

const EXTERNAL = 2 as PortIndex;
const INSIDE = [0, 1] as PortIndex[];

function gateway() {
  const state = new GatewayState(load(EXAMPLE).lab.gateways[0]!, 0 as NodeIndex, {
    external: EXTERNAL,
    inside: INSIDE,
  });
  const timers: { atMs: number; effect: Effect }[] = [];
  const workAt = (nowMs: number): NodeWork => ({
    node: 0 as NodeIndex,
    nowMs,
    emit: () => {},
    resubmit: () => {},
    setTimer: (atMs, effect) => timers.push({ atMs, effect }),
    moveStamps: () => {},
    notify: () => {},
  });
  const settle = (nowMs: number, effect: GatewayEffect): void => state.settle(effect, workAt(nowMs));
  return { state, timers, settle };
}

it("a binding has few timers, however often its connections begin and end", () => {
  const { state, timers, settle } = gateway();
  const internal = { address: parseAddress("10.0.1.101")!, port: 5000 };
  const frame = new Uint8Array(0);
  settle(0, { kind: "open", tenant: 0, protocol: "tcp", internal, fragments: null, ingress: INSIDE[0]!, frame });
  const { id } = state.table.fromInside(0, "tcp", internal)!;
  for (let nowMs = 1; nowMs < 50_000; nowMs++) {
    settle(nowMs, { kind: "used", binding: id, phase: nowMs % 2 === 0 ? "established" : "closing" });
  }
  expect(timers.length).toBeLessThanOrEqual(2);
});

it("datagrams in pieces are remembered up to a number, and with one timer", () => {
  const { state, timers, settle } = gateway();
  for (let n = 0; n < 3 * FRAGMENTED_MAX; n++)
    settle(n, { kind: "laterFragment", key: `${n}`, ingress: EXTERNAL, frame: new Uint8Array(0) });
  expect(timers.length).toBe(1);
  expect(state.bindingOfFragments("0")).toBeUndefined();
  expect(state.bindingOfFragments(`${3 * FRAGMENTED_MAX - 1}`)).toBeNull();
  for (let next = 0; next < timers.length; next++) settle(timers[next]!.atMs, timers[next]!.effect as GatewayEffect);
  expect(state.bindingOfFragments(`${3 * FRAGMENTED_MAX - 1}`)).toBeUndefined();
});
