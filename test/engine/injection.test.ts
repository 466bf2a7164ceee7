/** Frames that responders make: when they leave, with whose time and order, and what bounds them. */
import { describe, expect, test } from "vitest";
import { Reason, reasonName } from "../../src/dataplane/drop-reasons.js";
import { Engine, type EngineLimits, type PacketEnd, type Totals } from "../../src/dataplane/engine.js";
import type { Node } from "../../src/dataplane/slowpath/layer.js";
import type { Decision, Emission, NodeIndex, PortIndex } from "../../src/dataplane/transposition/transposition.js";
import { kernelModule } from "../support/kernel.js";
import { seededRandom } from "../support/random.js";

const VM = 0 as PortIndex;
const FAR = 1 as PortIndex;
const LEFT = 0 as PortIndex;
const RIGHT = 1 as PortIndex;

/** Not IP: MAC addresses, EtherType 0x88b5, a number. */
const frameOf = (number: number, kind = 0): Uint8Array =>
  Uint8Array.of(6, 6, 0, 0, 0, 7, 6, 6, 0, 0, 0, kind, 0x88, 0xb5, number >>> 8, number & 0xff);
const numberOf = (frame: Uint8Array): number => frame[14]! * 256 + frame[15]!;

const end = (kind: "consume" | "drop", emissions: readonly Emission[]): Decision => ({
  verdict: kind === "consume" ? { kind } : { kind, reason: Reason.TX_TOO_BIG },
  cacheable: false,
  stamps: [],
  emissions,
});
const forwardTo = (output: PortIndex): Decision => ({
  verdict: {
    kind: "forward",
    outputs: [
      { output, pop: false, dscpInwards: false, ethernet: null, decrementTtl: false, push: null, lengthLimit: null },
    ],
  },
  cacheable: true,
  stamps: [],
});

/** One node between two ports. It answers frames of source 1 as often as `answers` says, refuses those of source 2 with one answer, and sends others on. */
function responder(limits: EngineLimits = {}, answers = 1): Engine {
  const node: Node = {
    name: "n",
    decide({ bytes, start, end: until, ingress }) {
      const frame = bytes.slice(start, until);
      const answer = (index: number): Emission => {
        const reply = frame.slice();
        reply[0] = 0xaa;
        reply[1] = index;
        return { port: ingress, direction: "out", frame: reply };
      };
      if (frame[11] === 1)
        return end(
          "consume",
          Array.from({ length: answers }, (_, index) => answer(index)),
        );
      if (frame[11] === 2) return end("drop", [answer(0)]);
      return forwardTo(ingress === VM ? FAR : VM);
    },
  };
  const port = (name: string) => ({ name, node: 0 as NodeIndex, tunnel: false, peer: null });
  return new Engine({
    kernel: kernelModule(),
    nodes: [node],
    ports: [port("n/vm"), port("n/far")],
    stampCount: 2,
    ...limits,
  });
}

function expectConserved({ in: entered, copies, injected, delivered, dropped, passed, consumed }: Totals): void {
  expect(entered + copies + injected).toBe(delivered + dropped + passed + consumed);
}

describe("an answer", () => {
  test("leaves behind the packet that caused it, with its time and place in the order, and is counted as injected", () => {
    const engine = responder();
    const ends = engine.send([{ port: VM, frame: frameOf(7, 1) }], 123_456_789_012n);
    expect(ends.map(({ verdict, port, sequence, timestampNs }) => ({ verdict, port, sequence, timestampNs }))).toEqual([
      { verdict: "consumed", port: VM, sequence: 0, timestampNs: 123_456_789_012n },
      { verdict: "delivered", port: VM, sequence: 0, timestampNs: 123_456_789_012n },
    ]);
    expect(ends[1]!.frame[0]).toBe(0xaa);
    expect(ends[1]!.missing).toBe(0);
    expect(engine.totals()).toMatchObject({ in: 1, injected: 1, consumed: 1, delivered: 1 });
    expect(engine.portCounters(VM)).toEqual({ rx: { packets: 1, bytes: 16 }, tx: { packets: 1, bytes: 16 } });
    expect(engine.flowCounters().entries, "answers are never cached").toBe(0);
  });

  test("comes with a drop as well as with a packet that is taken", () => {
    const engine = responder();
    const ends = engine.send([{ port: VM, frame: frameOf(7, 2) }]);
    expect(ends.map(({ verdict, reason }) => [verdict, reasonName(reason)])).toEqual([
      ["dropped", "TX_TOO_BIG"],
      ["delivered", "NONE"],
    ]);
    expectConserved(engine.totals());
  });

  test("comes in the same order, whatever the size of bursts", () => {
    const random = seededRandom();
    const frames = Array.from({ length: 600 }, (_, number) => ({
      port: random.pick([VM, FAR]),
      frame: frameOf(number, random.below(4)),
    }));
    const inBursts = (size: number): { order: string[]; totals: Totals } => {
      const engine = responder({ answersPerSecond: 200 }, 2);
      const ends: PacketEnd[] = [];
      for (let at = 0; at < frames.length; at += size) {
        ends.push(...engine.send(frames.slice(at, at + size), BigInt(at - (at % 100)) * 1_000_000n));
      }
      // As a capture is put in order: by sequence number, then as emitted.
      const byPort = ends.sort((a, b) => a.sequence - b.sequence || a.port - b.port);
      return {
        order: byPort.map((e) => `${e.port} ${e.verdict} ${numberOf(e.frame)} ${e.frame[0]} ${e.frame[1]}`),
        totals: engine.totals(),
      };
    };
    const whole = inBursts(100);
    expect(whole.totals.injected, `seed ${random.seed}`).toBeGreaterThan(100);
    for (const size of [1, 10]) expect(inBursts(size), `seed ${random.seed}, bursts of ${size}`).toEqual(whole);
  });
});

describe("bounds", () => {
  test("two responders that answer each other for ever are stopped as a loop", () => {
    const nodes = ["left", "right"].map(
      (name): Node => ({
        name,
        decide: ({ bytes, start, end: until, ingress }) =>
          end("consume", [{ port: ingress, direction: "out", frame: bytes.slice(start, until) }]),
      }),
    );
    const ports = [
      { name: "left/p", node: 0 as NodeIndex, tunnel: false, peer: RIGHT },
      { name: "right/p", node: 1 as NodeIndex, tunnel: false, peer: LEFT },
    ];
    const engine = new Engine({ kernel: kernelModule(), nodes, ports, stampCount: 2 });
    engine.send([{ port: LEFT, frame: frameOf(1) }]);
    expect(engine.reasonCounts().map(({ reason, count }) => [reasonName(reason), count])).toEqual([["HOP_LIMIT", 1]]);
    expect(engine.totals().injected).toBeLessThan(20);
    expectConserved(engine.totals());
    engine.send([{ port: RIGHT, frame: frameOf(2) }]);
    expectConserved(engine.totals());
  });

  test("more answers than a burst has room for are dropped by name", () => {
    const engine = responder({}, 40);
    const frames = Array.from({ length: 256 }, (_, number) => ({ port: VM, frame: frameOf(number, 1) }));
    engine.send(frames);
    const totals = engine.totals();
    expect(totals.injected).toBe(256 * 40);
    expect(totals.delivered).toBeGreaterThan(3000);
    expect(engine.reasonCounts()).toEqual([{ port: VM, reason: Reason.RESOURCES, count: totals.dropped }]);
    expectConserved(totals);
    engine.send([{ port: VM, frame: frameOf(1, 1) }]);
    expect(engine.totals().delivered, "the next burst has room again").toBe(totals.delivered + 40);
  });

  test("a port gets no more answers a second than it is given, by the packets' own time", () => {
    const engine = responder({ answersPerSecond: 10 });
    const ask = (port: PortIndex, count: number, seconds: number, kind = 1): number => {
      const frames = Array.from({ length: count }, (_, number) => ({ port, frame: frameOf(number, kind) }));
      const ends = engine.send(frames, BigInt(Math.round(seconds * 1e9)));
      return ends.filter(({ verdict }) => verdict === "delivered").length;
    };
    expect(ask(VM, 30, 1000)).toBe(10);
    expect(ask(FAR, 5, 1000), "another port has its own").toBe(5);
    expect(ask(VM, 30, 1000.25)).toBe(2); // a quarter of a second is worth two and a half
    expect(ask(VM, 30, 999), "time that goes back is worth nothing").toBe(0);
    expect(ask(VM, 30, 1000.3)).toBe(1);
    expect(engine.reasonCounts()).toEqual([{ port: VM, reason: Reason.RESPONDER_LIMIT, count: 20 + 28 + 30 + 29 }]);
    expect(ask(VM, 3, 1000.3, 2), "a drop keeps its reason").toBe(0);
    expect(engine.reasonCounts()).toContainEqual({ port: VM, reason: Reason.TX_TOO_BIG, count: 3 });
    expect(engine.heldAnswers).toBe(20 + 28 + 30 + 29 + 3);
    expectConserved(engine.totals());
  });
});
