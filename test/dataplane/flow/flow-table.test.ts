/**
 * The flow table as its users see it: one decision per flow, counters per entry, a limit, and decisions made
 * again exactly when one of their stamps has moved.
 */
import { describe, expect, test } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { Engine } from "../../../src/dataplane/engine.js";
import type { Node } from "../../../src/dataplane/slowpath/layer.js";
import type { NodeIndex, PortIndex, Stamp } from "../../../src/dataplane/transposition/transposition.js";
import { setU16, setU32 } from "../../../src/dataplane/wire/bytes.js";
import { kernelModule } from "../../support/kernel.js";
import { seededRandom } from "../../support/random.js";

const NODE = 0 as NodeIndex;
const IN = 0 as PortIndex;
const STAMPS = 1024;

/** UDP from 10.0.0.0 + flow. */
function udp(flow: number, length = 60): Uint8Array {
  const frame = new Uint8Array(length);
  frame.set([6, 6, 0, 0, 0, 7, 6, 6, 0, 0, 0, 5, 8, 0, 0x45]);
  setU16(frame, 16, length - 14);
  frame[22] = 64;
  frame[23] = 17;
  setU32(frame, 26, 0x0a00_0000 + flow);
  setU32(frame, 30, 0x0a00_0007);
  return frame;
}

/** A node that drops everything and counts how often it was asked; a flow's decision rests on stamp 2 + flow mod 100. */
function countingEngine(flowCapacity: number): { engine: Engine; asked: Map<number, number> } {
  const asked = new Map<number, number>();
  const node: Node = {
    name: "n",
    decide({ bytes, start }) {
      const flow = (bytes[start + 28]! << 8) | bytes[start + 29]!;
      asked.set(flow, (asked.get(flow) ?? 0) + 1);
      const stamps = [(2 + (flow % 100)) as Stamp];
      return { verdict: { kind: "drop", reason: Reason.TX_NO_RECORD }, cacheable: true, stamps };
    },
  };
  const ports = [{ name: "n/in", node: NODE, tunnel: false, peer: null }];
  return {
    engine: new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: STAMPS, flowCapacity }),
    asked,
  };
}

const send = (engine: Engine, flows: readonly number[], ms = 0): void => {
  engine.send(
    flows.map((flow) => ({ port: IN, frame: udp(flow) })),
    BigInt(ms) * 1_000_000n,
  );
};

describe("flow table", () => {
  test("equals a Map of flows under a long random sequence", () => {
    const random = seededRandom();
    const { engine, asked } = countingEngine(20_000);
    const packets = new Map<number, number>();
    for (let round = 0; round < 100; round++) {
      const flows = Array.from({ length: 256 }, () => random.below(random.pick([50, 1000, 10_000])));
      for (const flow of flows) packets.set(flow, (packets.get(flow) ?? 0) + 1);
      send(engine, flows);
    }
    expect(
      [...asked.values()].every((times) => times === 1),
      `seed ${random.seed}`,
    ).toBe(true);
    expect(asked.size).toBe(packets.size);
    const counters = engine.flowCounters();
    expect(counters).toMatchObject({
      misses: packets.size,
      hits: 25_600 - packets.size,
      entries: packets.size,
      evictions: 0,
    });
    expect([...engine.flows()].reduce((sum, entry) => sum + entry.packets, 0)).toBe(25_600);
  });

  test("at its limit flows that have shown one packet give way, and are counted", () => {
    const { engine, asked } = countingEngine(8);
    const busy = [1, 2, 3];
    for (let ms = 0; ms < 200; ms++) send(engine, [...busy, 1000 + ms], ms * 10);
    for (const flow of busy) expect(asked.get(flow)).toBe(1);
    const { entries, evictions, uncached } = engine.flowCounters();
    expect(entries).toBe(8);
    // Where all candidates belong to packets of the same burst, the decision is used once and not kept.
    expect(evictions + uncached).toBe(203 - 8);
    expect(evictions).toBeGreaterThan(150);
  });

  test("a new flow with several outputs finds its place in a full table, as one with a single output does", () => {
    let asked = 0;
    const node: Node = {
      name: "n",
      decide({ bytes, start }) {
        const isToMany = bytes[start + 28] === 0xff;
        if (isToMany) asked++;
        const untouched = { pop: false, dscpInwards: false, ethernet: null, decrementTtl: false, push: null };
        const output = { ...untouched, output: IN, lengthLimit: null };
        return {
          verdict: { kind: "forward", outputs: isToMany ? [output, output, output] : [output] },
          cacheable: true,
          stamps: [],
        };
      },
    };
    const ports = [{ name: "n/in", node: NODE, tunnel: false, peer: null }];
    const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: STAMPS, flowCapacity: 64 });
    const toMany = 0xff00;
    for (let ms = 0; ms < 64; ms++) send(engine, [ms], ms);
    for (let ms = 64; ms < 164; ms++) send(engine, [toMany, 1000 + ms], ms); // a scan goes on beside it
    expect(asked).toBe(1);
    expect(engine.totals()).toMatchObject({ in: 264, copies: 200, delivered: 464 });
    expect(engine.flowCounters()).toMatchObject({ entries: 64, uncached: 0 });
    expect([...engine.flows()].filter(({ packets }) => packets === 100)).toHaveLength(1);
  });

  test("a burst of more new flows than the table holds is decided all the same", () => {
    const { engine } = countingEngine(8);
    const flows = Array.from({ length: 256 }, (_, flow) => flow);
    send(engine, flows);
    expect(engine.totals()).toMatchObject({ in: 256, dropped: 256 });
    expect(engine.flowCounters().uncached).toBeGreaterThan(0);
  });
});

describe("invalidation", () => {
  test("a moved stamp has only those flows decided again that rest on it", () => {
    const { engine, asked } = countingEngine(4096);
    const flows = Array.from({ length: 1000 }, (_, flow) => flow);
    send(engine, flows);
    engine.moveStamps([(2 + 17) as Stamp]);
    send(engine, flows);
    send(engine, flows);
    for (const flow of flows) expect(asked.get(flow), `flow ${flow}`).toBe(flow % 100 === 17 ? 2 : 1);
    expect(engine.flowCounters()).toMatchObject({ stale: 10, entries: 1000 });
  });

  test("an entry that forwards what it has dropped before says so, and no longer why it did", () => {
    let isOpen = false;
    const node: Node = {
      name: "n",
      decide() {
        const untouched = { pop: false, dscpInwards: false, ethernet: null, decrementTtl: false, push: null };
        const outputs = [{ ...untouched, output: IN, lengthLimit: null }] as const;
        const stamps = [2 as Stamp];
        if (isOpen) return { verdict: { kind: "forward", outputs }, cacheable: true, stamps };
        return { verdict: { kind: "drop", reason: Reason.TX_NO_RECORD }, cacheable: true, stamps };
      },
    };
    const ports = [{ name: "n/in", node: NODE, tunnel: false, peer: null }];
    const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: STAMPS });
    send(engine, [1]);
    expect([...engine.flows()]).toMatchObject([{ verdict: "DROPPED", output: null, reason: Reason.TX_NO_RECORD }]);
    isOpen = true;
    engine.moveStamps([2 as Stamp]);
    send(engine, [1]);
    expect([...engine.flows()]).toMatchObject([{ verdict: "FORWARD", output: IN, reason: Reason.NONE }]);
  });

  test("packets of one flow behind the first in the same burst find the new decision", () => {
    const { engine, asked } = countingEngine(64);
    send(engine, [17]);
    engine.moveStamps([(2 + 17) as Stamp]);
    send(engine, new Array(100).fill(17));
    expect(asked.get(17)).toBe(2);
  });
});
