/**
 * The slow path's budget: what exceeds it is dropped under SLOWPATH_OVERLOAD, known flows go on, and nothing of it is seen
 * where no budget is set.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { loadFabricFile } from "../../src/control/index.js";
import { Reason } from "../../src/dataplane/drop-reasons.js";
import { Engine, type EngineLimits } from "../../src/dataplane/engine.js";
import type { Node } from "../../src/dataplane/slowpath/layer.js";
import type { NodeIndex, PortIndex, Stamp } from "../../src/dataplane/transposition/transposition.js";
import { setU16, setU32 } from "../../src/dataplane/wire/bytes.js";
import { Lab } from "../../src/vswitch/index.js";
import { kernelModule } from "../support/kernel.js";
import { seededRandom } from "../support/random.js";

const IN = 0 as PortIndex;
const LENGTH_LIMIT = 100;

function packet(flow: number, length = 60): Uint8Array {
  const frame = new Uint8Array(length);
  frame.set([6, 6, 0, 0, 0, 7, 6, 6, 0, 0, 0, 5, 8, 0, 0x45]);
  setU16(frame, 16, length - 14);
  frame[22] = 64;
  frame[23] = 17;
  setU32(frame, 26, 0x0a00_0000 + flow);
  setU32(frame, 30, 0x0a00_0007);
  return frame;
}

/** Nodes in a row, each of which sends everything on; frames enter at the first and leave the lab behind the last. */
function chain(length: number, limits: EngineLimits): { engine: Engine; decisions: () => number } {
  let decisions = 0;
  const nodes = Array.from({ length }, (_, index): Node => {
    const forward = { pop: false, dscpInwards: false, ethernet: null, decrementTtl: false, push: null };
    const outputs = [{ ...forward, output: (2 * index + 1) as PortIndex, lengthLimit: LENGTH_LIMIT }] as const;
    return {
      name: `n${index}`,
      decide({ start, end }) {
        decisions++;
        if (end - start - 14 > LENGTH_LIMIT)
          return { verdict: { kind: "drop", reason: Reason.TX_TOO_BIG }, cacheable: false, stamps: [1 as Stamp] };
        return { verdict: { kind: "forward", outputs }, cacheable: true, stamps: [1 as Stamp] };
      },
    };
  });
  const ports = nodes.flatMap(({ name }, index) => [
    { name: `${name}/in`, node: index as NodeIndex, tunnel: false, peer: null },
    {
      name: `${name}/out`,
      node: index as NodeIndex,
      tunnel: false,
      peer: index + 1 < length ? ((2 * index + 2) as PortIndex) : null,
    },
  ]);
  const engine = new Engine({ kernel: kernelModule(), nodes, ports, stampCount: 2, ...limits });
  return { engine, decisions: () => decisions };
}

const send = (engine: Engine, frames: readonly Uint8Array[], ms = 0): ReturnType<Engine["send"]> =>
  engine.send(
    frames.map((frame) => ({ port: IN, frame })),
    BigInt(ms) * 1_000_000n,
  );
const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, index) => from + index);
const overloadDrops = (engine: Engine): { port: number; count: number }[] =>
  engine
    .reasonCounts()
    .filter(({ reason }) => reason === Reason.SLOWPATH_OVERLOAD)
    .map(({ port, count }) => ({ port, count }));

describe("the budget", () => {
  test("a burst gets so many decisions; the rest is dropped by name, counted, and leaves no entry", () => {
    const { engine, decisions } = chain(1, { decisionsPerBurst: 32 });
    const ends = send(
      engine,
      range(0, 256).map((flow) => packet(flow)),
    );
    expect(decisions()).toBe(32);
    expect(ends.map(({ verdict, reason }) => `${verdict} ${reason}`)).toEqual([
      ...new Array(32).fill(`delivered ${Reason.NONE}`),
      ...new Array(224).fill(`dropped ${Reason.SLOWPATH_OVERLOAD}`),
    ]);
    expect(engine.totals()).toMatchObject({ in: 256, delivered: 32, dropped: 224 });
    expect(overloadDrops(engine)).toEqual([{ port: IN, count: 224 }]);
    expect(engine.flowCounters()).toMatchObject({ entries: 32, misses: 256, uncached: 0 });
  });

  test("packets behind one that was decided in the same burst need none of it", () => {
    const { engine, decisions } = chain(1, { decisionsPerBurst: 1 });
    send(engine, new Array(256).fill(packet(7)));
    expect(decisions()).toBe(1);
    expect(engine.totals().delivered).toBe(256);
  });

  test("malformed packets and those that fail a guard use it too", () => {
    const { engine, decisions } = chain(1, { decisionsPerBurst: 10 });
    send(engine, [packet(1)]);
    const malformed = packet(2);
    malformed[14] = 0x4f;
    send(engine, [...new Array(100).fill(malformed), ...new Array(100).fill(packet(1, 200))]);
    send(engine, new Array(200).fill(packet(1, 200)));
    expect(decisions()).toBe(1 + 10 + 10);
    expect(overloadDrops(engine)).toEqual([{ port: IN, count: 190 + 190 }]);
  });

  test("each node that a burst passes has its own, so that new flows come through to the last", () => {
    const { engine, decisions } = chain(3, { decisionsPerBurst: 10 });
    send(
      engine,
      range(0, 100).map((flow) => packet(flow)),
    );
    expect(decisions()).toBe(30);
    expect(engine.totals()).toMatchObject({ delivered: 10, dropped: 90 });
    expect(overloadDrops(engine)).toEqual([{ port: IN, count: 90 }]);
  });

  test("flows whose entries a change of policy has outdated are no newcomers", () => {
    const { engine } = chain(1, { decisionsPerBurst: 8 });
    const known = range(0, 100).map((flow) => packet(flow));
    while (engine.flowCounters().entries < known.length) send(engine, known);
    const { delivered } = engine.totals();
    engine.moveStamps([1 as Stamp]);
    send(engine, [...range(1_000, 100).map((flow) => packet(flow)), ...known]);
    expect(engine.totals().delivered).toBe(delivered + 8 + known.length);
  });

  test("and that only once, where the new decision is not one to keep", () => {
    let cacheable = true;
    let decisions = 0;
    const node: Node = {
      name: "n",
      decide() {
        decisions++;
        return { verdict: { kind: "drop", reason: Reason.TX_NO_RECORD }, cacheable, stamps: [1 as Stamp] };
      },
    };
    const ports = [{ name: "n/in", node: 0 as NodeIndex, tunnel: false, peer: null }];
    const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 2, decisionsPerBurst: 5 });
    send(engine, [packet(1)]);
    engine.moveStamps([1 as Stamp]);
    cacheable = false;
    send(engine, new Array(256).fill(packet(1)));
    expect(decisions).toBe(1 + 1 + 5);
    expect(engine.flowCounters()).toMatchObject({ entries: 0, stale: 1 });
    expect([...engine.flows()]).toEqual([]);
  });

  test("what a node sends on between two ticks has its own, whatever the burst before has used up", () => {
    const [again, rest, later] = [packet(2), packet(3), packet(4)];
    const consumed = { verdict: { kind: "consume" }, cacheable: false, stamps: [] } as const;
    const decided: number[] = [];
    const node: Node = {
      name: "n",
      decide({ bytes, start }) {
        const flow = bytes[start + 29]!;
        decided.push(flow);
        if (flow !== 1) return consumed;
        const emissions = [again, rest].map((frame) => ({ port: IN, direction: "in", frame }) as const);
        return { ...consumed, emissions, effects: [{ kind: "later" }] };
      },
      state: { settle: (_effect, work) => work.resubmit(IN, later) },
    };
    const ports = [{ name: "n/in", node: 0 as NodeIndex, tunnel: false, peer: null }];
    const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 2, decisionsPerBurst: 1 });
    send(engine, [packet(1)]);
    expect([decided, overloadDrops(engine)]).toEqual([[1, 2], [{ port: IN, count: 1 }]]);
    engine.sendNothing(10_000_000n);
    expect([decided, overloadDrops(engine)]).toEqual([[1, 2, 4], [{ port: IN, count: 1 }]]);
  });

  test("a budget of 0 lets known flows pass and nothing else; without one, nothing is dropped for load", () => {
    const closed = chain(1, { decisionsPerBurst: 0 });
    send(closed.engine, [packet(1), packet(1)]);
    expect([closed.decisions(), closed.engine.totals().dropped]).toEqual([0, 2]);
    const open = chain(1, {});
    send(
      open.engine,
      range(0, 20_000).map((flow) => packet(flow)),
    );
    expect(open.engine.totals()).toMatchObject({ delivered: 20_000, dropped: 0 });
  });
});

/**
 * A fifth of a million packets, nine of ten from flows that never come again, in a table that is far too small for them. The
 * rate of the established flows is what they would have without the scan if every one of their packets is delivered, and the work
 * that the scan causes has a limit: decisions per burst. What that means in time, bench/flood.bench.mjs measures.
 */
test("a scan of 90 % of all packets costs established flows not one packet and not one entry", () => {
  const random = seededRandom();
  const budget = 16;
  const { engine, decisions } = chain(1, { decisionsPerBurst: budget, flowCapacity: 2_048 });
  const established = 1_000;
  const known = range(0, established).map((flow) => packet(flow));
  while (engine.flowCounters().entries < established) send(engine, known);
  send(engine, known);
  const before = decisions();
  const bursts = 800;
  let scanned = 0;
  let expected = 0;
  let got = 0;
  for (let burst = 0; burst < bursts; burst++) {
    const isKnown = Array.from({ length: 256 }, () => random.chance(0.1));
    const frames = isKnown.map((is) => (is ? known[random.below(established)]! : packet(0x10_0000 + scanned++)));
    const ends = send(engine, frames, burst * 10);
    expected += isKnown.filter((is) => is).length;
    got += ends.filter(({ verdict }, index) => isKnown[index] && verdict === "delivered").length;
  }
  expect(expected, `seed ${random.seed}`).toBeGreaterThan(15_000);
  expect(got, `seed ${random.seed}`).toBe(expected);
  expect(decisions() - before, `seed ${random.seed}: the whole budget, and all of it went to the scan`).toBe(
    bursts * budget,
  );
  expect([...engine.flows()].filter(({ state }) => state === "udp")).toHaveLength(established);
});

test("a lab hands its limits on to its engine", () => {
  const file = readFileSync(fileURLToPath(new URL("../../examples/two-tenants.yaml", import.meta.url)), "utf8");
  const loaded = loadFabricFile(file, "two-tenants.yaml");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const { engine } = new Lab(loaded.lab, { kernel: kernelModule(), decisionsPerBurst: 1 });
  send(engine, [packet(1), packet(2)]);
  expect(overloadDrops(engine)).toEqual([{ port: IN, count: 1 }]);
});
