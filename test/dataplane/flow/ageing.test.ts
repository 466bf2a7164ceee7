/**
 * Which flow entries go, and when: idle ones by their state, and in a full table those of one packet before established ones.
 * None of it may be seen in what leaves the engine.
 */
import { describe, expect, test } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { Engine, type EngineLimits } from "../../../src/dataplane/engine.js";
import { DEFAULT_IDLE_TIMEOUTS, type FlowState } from "../../../src/dataplane/flow/index.js";
import type { Node } from "../../../src/dataplane/slowpath/layer.js";
import type { NodeIndex, PortIndex } from "../../../src/dataplane/transposition/transposition.js";
import { setU16, setU32, u16 } from "../../../src/dataplane/wire/bytes.js";
import { kernelModule } from "../../support/kernel.js";
import { seededRandom } from "../../support/random.js";

const NODE = 0 as NodeIndex;
const IN = 0 as PortIndex;
const [ICMP, TCP, UDP, ESP] = [1, 6, 17, 50];
const [FIN, SYN, RST, ACK] = [0x01, 0x02, 0x04, 0x10];

/** From 10.0.0.0 + flow, which is also the source port. */
function packet(flow: number, protocol = UDP, tcpFlags = 0): Uint8Array {
  const frame = new Uint8Array(60);
  frame.set([6, 6, 0, 0, 0, 7, 6, 6, 0, 0, 0, 5, 8, 0, 0x45]);
  setU16(frame, 16, 46);
  frame[22] = 64;
  frame[23] = protocol;
  setU32(frame, 26, 0x0a00_0000 + flow);
  setU32(frame, 30, 0x0a00_0007);
  if (protocol !== ICMP) setU16(frame, 34, flow & 0xffff);
  frame[46] = 0x50;
  frame[47] = tcpFlags;
  return frame;
}

/** A node that drops everything and counts how often it was asked about each source port. */
function countingEngine(limits: EngineLimits = {}): { engine: Engine; asked: number[] } {
  const asked: number[] = [];
  const node: Node = {
    name: "n",
    decide({ bytes, start }) {
      const flow = u16(bytes, start + 34);
      asked[flow] = (asked[flow] ?? 0) + 1;
      return { verdict: { kind: "drop", reason: Reason.TX_NO_RECORD }, cacheable: true, stamps: [] };
    },
  };
  const ports = [{ name: "n/in", node: NODE, tunnel: false, peer: null }];
  return { engine: new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 2, ...limits }), asked };
}

function send(engine: Engine, frames: readonly Uint8Array[], ms = 0): void {
  engine.send(
    frames.map((frame) => ({ port: IN, frame })),
    BigInt(ms) * 1_000_000n,
  );
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, index) => from + index);

/** Lets the time of an engine without traffic go on. */
function wait(engine: Engine, fromMs: number, toMs: number): void {
  for (let ms = fromMs; ms < toMs; ms += 100) engine.process(0, ms);
  engine.process(0, toMs);
}

describe("the state of a flow", () => {
  const cases: readonly [string, FlowState, number, readonly number[]][] = [
    ["one packet", "new", UDP, [0]],
    ["two packets of UDP", "udp", UDP, [0, 0]],
    ["two packets of ICMP", "icmp", ICMP, [0, 0]],
    ["two packets of another protocol", "other", ESP, [0, 0]],
    ["a SYN, repeated", "new", TCP, [SYN, SYN, SYN]],
    ["a SYN, then an acknowledgment", "tcpEstablished", TCP, [SYN, ACK]],
    ["TCP picked up midway", "tcpEstablished", TCP, [ACK, ACK]],
    ["TCP that ends", "tcpClosing", TCP, [SYN, ACK, FIN | ACK]],
    ["TCP that is refused", "tcpClosing", TCP, [RST | ACK]],
    ["a segment that follows a FIN", "tcpClosing", TCP, [ACK, FIN | ACK, ACK]],
  ];
  const SWEEP_MS = 2_000;

  test.each(cases)("%s: %s, and goes after its idle timeout", (_, state, protocol, flags) => {
    const { engine } = countingEngine();
    for (const bits of flags) send(engine, [packet(1, protocol, bits)]);
    expect([...engine.flows()].map((entry) => entry.state)).toEqual([state]);
    const timeout = DEFAULT_IDLE_TIMEOUTS[state];
    wait(engine, 0, timeout);
    expect(engine.flowCounters()).toMatchObject({ entries: 1, expired: 0 });
    wait(engine, timeout, timeout + SWEEP_MS + 1);
    expect(engine.flowCounters()).toMatchObject({ entries: 0, expired: 1 });
    expect([...engine.flows()]).toEqual([]);
  });

  test("timeouts can be set one by one, and Infinity means for ever", () => {
    const { engine } = countingEngine({ idleTimeouts: { new: 200, icmp: Number.POSITIVE_INFINITY } });
    send(engine, [packet(1), packet(2), packet(2), packet(3, ICMP), packet(3, ICMP)]);
    wait(engine, 0, 4_000);
    expect([...engine.flows()].map((entry) => entry.state).sort()).toEqual(["icmp", "udp"]);
    wait(engine, 4_000, 1_000_000);
    expect([...engine.flows()].map((entry) => entry.state)).toEqual(["icmp"]);
  });
});

describe("ageing", () => {
  test("a flow that sends in time stays", () => {
    const { engine, asked } = countingEngine();
    for (let ms = 0; ms <= 200_000; ms += 5_000) send(engine, [packet(1), packet(1000 + ms / 5_000)], ms);
    expect(asked[1]).toBe(1);
    expect(engine.flowCounters().expired).toBeGreaterThan(30);
  });

  test("a burst pays for at most 64 entries, however many are overdue", () => {
    const { engine } = countingEngine();
    send(
      engine,
      range(0, 1_000).map((flow) => packet(flow)),
    );
    let left = 1_000;
    for (let burst = 1; left > 0; burst++) {
      engine.process(0, 1_000_000 + burst * 2_000);
      const { entries } = engine.flowCounters();
      expect(left - entries).toBeLessThanOrEqual(64);
      expect(burst).toBeLessThanOrEqual(Math.ceil(1_000 / 64));
      left = entries;
    }
    expect(engine.flowCounters().expired).toBe(1_000);
  });

  test("time that goes back, as in merged captures, or wraps at 32 bits, expires nothing", () => {
    const { engine } = countingEngine();
    send(engine, [packet(1)], 50_000);
    wait(engine, 10_000, 60_000);
    expect(engine.flowCounters().entries).toBe(1);
    const other = countingEngine().engine;
    const wrap = 2 ** 32 - 5_000;
    send(other, [packet(2)], wrap);
    wait(other, wrap, wrap + 9_000);
    expect([...other.flows()].map((entry) => entry.idleMs)).toEqual([9_000]);
  });

  test("the dump and the counters agree with each other after any mix of arrivals, evictions and expiries", () => {
    const random = seededRandom();
    const { engine } = countingEngine({ flowCapacity: 512, idleTimeouts: { new: 500, udp: 2_000 } });
    let ms = 0;
    for (let round = 0; round < 300; round++) {
      const flows = Array.from({ length: 1 + random.below(200) }, () => random.below(random.pick([40, 300, 30_000])));
      ms += random.pick([0, 10, 300, 3_000]);
      send(
        engine,
        flows.map((flow) => packet(flow)),
        ms,
      );
      const sources = [...engine.flows()].map((entry) => entry.ip!.source);
      expect(new Set(sources).size, `seed ${random.seed}`).toBe(sources.length);
      const { entries, misses, evictions, expired, uncached } = engine.flowCounters();
      expect(entries, `seed ${random.seed}`).toBe(sources.length);
      expect(misses, `seed ${random.seed}`).toBe(entries + evictions + expired + uncached);
    }
    const { evictions, expired } = engine.flowCounters();
    expect(Math.min(evictions, expired), `seed ${random.seed}`).toBeGreaterThan(500);
  });
});

test("a dump may be read in pieces while packets pass and entries go", () => {
  const { engine } = countingEngine({ idleTimeouts: { new: 1_000 } });
  const all = range(0, 500);
  const lasting = all.map((flow) => packet(flow)).filter((_, flow) => flow % 2 === 0);
  send(
    engine,
    all.map((flow) => packet(flow)),
  );
  send(engine, lasting);
  const seen = new Set<string>();
  let ms = 0;
  for (const entry of engine.flows()) {
    seen.add(entry.ip!.source);
    ms += 100;
    send(engine, [packet(9_000 + ms)], ms);
    engine.memory.allocate(1_000); // which now and then moves the memory's views
    if (seen.size > 5_000) break;
  }
  expect(engine.flowCounters().expired).toBeGreaterThan(100);
  for (const flow of all.filter((number) => number % 2 === 0 && number < 256)) expect(seen).toContain(`10.0.0.${flow}`);
});

describe("a full table", () => {
  test("a scan of 100,000 one-packet flows takes no entry of an established flow", () => {
    const { engine, asked } = countingEngine({ flowCapacity: 2_048 });
    const established = range(1, 1_000);
    const frames = established.map((flow) => packet(flow));
    send(engine, [...frames, ...frames], 0);
    const scanned = 100_000;
    for (let done = 0; done < scanned; done += 1_000)
      send(
        engine,
        range(0x10_0000 + done, 1_000).map((flow) => packet(flow)),
        done / 100,
      );
    const before = asked.slice(1, 1_001);
    send(engine, frames, 1_000);
    expect(asked.slice(1, 1_001)).toEqual(before);
    const { entries, evictions, uncached } = engine.flowCounters();
    expect(entries).toBe(2_048);
    // All of the scan came into the table or was turned away, and few were.
    expect(evictions + uncached).toBe(1_000 + scanned - 2_048);
    expect(uncached).toBeLessThan(scanned / 20);
  });

  test("closing connections go before open ones", () => {
    const { engine } = countingEngine({ flowCapacity: 64 });
    const open = range(1, 32).map((flow) => packet(flow, TCP, ACK));
    const closing = range(101, 32).map((flow) => packet(flow, TCP, FIN | ACK));
    send(engine, [...open, ...closing, ...open, ...closing]);
    send(
      engine,
      range(201, 32).map((flow) => packet(flow)),
      1,
    );
    const states = [...engine.flows()].map((entry) => entry.state);
    expect(states.filter((state) => state === "tcpEstablished")).toHaveLength(32);
    expect(states.filter((state) => state === "tcpClosing")).toHaveLength(0);
  });

  test("where all are established, a scan gets no more than a quarter, and the longest idle lose", () => {
    const { engine, asked } = countingEngine({ flowCapacity: 64 });
    for (const flow of range(0, 64)) send(engine, [packet(flow), packet(flow)], flow);
    for (const flow of range(1_000, 5_000)) send(engine, [packet(flow)], 100);
    const left = [...engine.flows()].filter((entry) => entry.state === "udp");
    expect(left.map((entry) => entry.ip!.source).sort()).toEqual(
      range(16, 48)
        .map((flow) => `10.0.0.${flow}`)
        .sort(),
    );
    expect(asked[0]).toBe(1);
  });

  test("new flows that come back soon take over from established ones that do not", () => {
    const { engine, asked } = countingEngine({ flowCapacity: 64 });
    for (const flow of range(0, 64)) send(engine, [packet(flow), packet(flow)], flow);
    const fresh = range(1_000, 40);
    for (const flow of fresh) send(engine, [packet(flow), packet(flow)], 1_000 + flow);
    for (const flow of fresh) send(engine, [packet(flow)], 3_000);
    for (const flow of fresh) expect(asked[flow], `flow ${flow}`).toBe(1);
  });
});

test("bursts of any size put out the same, whatever ages and is pushed out meanwhile", () => {
  const random = seededRandom();
  const forward = { pop: false, dscpInwards: false, ethernet: null, lengthLimit: null, push: null };
  const node: Node = {
    name: "n",
    decide({ bytes, start }) {
      const outputs = [
        { ...forward, output: (1 + (bytes[start + 29]! & 1)) as PortIndex, decrementTtl: true },
      ] as const;
      return { verdict: { kind: "forward", outputs }, cacheable: true, stamps: [] };
    },
  };
  const ports = ["in", "even", "odd"].map((name) => ({ name: `n/${name}`, node: NODE, tunnel: false, peer: null }));
  const batches = range(0, 100).map((index) => ({
    ms: 700 * index,
    frames: Array.from({ length: 100 }, () => packet(random.below(random.pick([20, 2_000])))),
  }));
  const runs = [1, 7, 100].map((burst) => {
    const engine = new Engine({
      kernel: kernelModule(),
      nodes: [node],
      ports,
      stampCount: 2,
      flowCapacity: 64,
      idleTimeouts: { new: 500, udp: 3_000 },
    });
    const ends = batches.flatMap(({ ms, frames }) =>
      range(0, Math.ceil(frames.length / burst)).flatMap((part) =>
        engine
          .send(
            frames.slice(part * burst, (part + 1) * burst).map((frame) => ({ port: IN, frame })),
            BigInt(ms) * 1_000_000n,
          )
          .map(({ port, verdict, frame }) => `${port} ${verdict} ${Buffer.from(frame).toString("hex")}`),
      ),
    );
    return { ends, counters: engine.flowCounters() };
  });
  for (const { ends, counters } of runs) {
    expect(ends, `seed ${random.seed}`).toEqual(runs[0]!.ends);
    expect(Math.min(counters.expired, counters.evictions), `seed ${random.seed}`).toBeGreaterThan(100);
  }
});
