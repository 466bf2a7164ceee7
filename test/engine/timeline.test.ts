/**
 * State that packets and time change: a node that counts what it is told to count, and shows the count to every packet.
 *
 * Frames say in the last octet of their source MAC what they are: data, which goes through with the count in its destination; an
 * increment; a question that the node answers a while later by itself; a pair, which goes on as two frames.
 */
import { describe, expect, test } from "vitest";
import { Engine, type TimedEvent } from "../../src/dataplane/index.js";
import { ROW } from "../../src/dataplane/packet/index.js";
import type { DecideContext, FrameAtPort, Node, NodeWork } from "../../src/dataplane/slowpath/index.js";
import type { Decision, NodeIndex, PortIndex, Stamp } from "../../src/dataplane/transposition/index.js";
import { kernelModule } from "../../src/kernel-file.js";

const NODE = 0 as NodeIndex;
const IN = 0 as PortIndex;
const OUT = 1 as PortIndex;
const COUNT = 2 as Stamp;
const DATA = 0;
const INCREMENT = 1;
const LATER = 2;
const PAIR = 3;
const DELAY_MS = 5;

interface Increment {
  readonly kind: "increment";
  readonly by: number;
}
type CounterEffect = Increment | { readonly kind: "answerLater" } | { readonly kind: "answer" };

/** The count is part of every decision about data, and its stamp moves with it. */
function counter(): Node & { decisions: number } {
  let count = 0;
  const once = (more: Partial<Decision>): Decision => ({
    verdict: { kind: "consume" },
    cacheable: false,
    stamps: [],
    ...more,
  });
  return {
    name: "counter",
    decisions: 0,
    decide({ bytes, start, end }: FrameAtPort, _context: DecideContext): Decision {
      this.decisions++;
      const kind = bytes[start + 11]!;
      const by = bytes[start + 10]!;
      if (kind === INCREMENT) return once({ effects: [{ kind: "increment", by } as Increment] });
      if (kind === LATER) return once({ effects: [{ kind: "answerLater" }] });
      if (kind === PAIR) {
        const piece = bytes.slice(start, end);
        piece[11] = DATA;
        const emission = { port: IN, direction: "in", frame: piece } as const;
        return once({ emissions: [emission, { ...emission, frame: piece.slice() }] });
      }
      const ethernet = { destination: count, source: bytes[start + 10], tag: null } as never;
      return {
        verdict: {
          kind: "forward",
          outputs: [
            {
              output: OUT,
              pop: false,
              dscpInwards: false,
              ethernet,
              decrementTtl: false,
              push: null,
              lengthLimit: null,
            },
          ],
        },
        cacheable: true,
        stamps: [COUNT],
      };
    },
    state: {
      begin(work: NodeWork) {
        work.notify({ kind: "begun" });
      },
      settle(raised, work) {
        const effect = raised as CounterEffect;
        if (effect.kind === "answerLater") work.setTimer(work.nowMs + DELAY_MS, { kind: "answer" });
        else if (effect.kind === "answer") work.emit(OUT, frame(0xee, count));
        else {
          count = count * 3 + effect.by; // the order shows
          work.moveStamps([COUNT]);
          work.notify({ kind: "counted" });
        }
      },
    },
  };
}

function frame(kind: number, tag = 0): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes[0] = 2;
  bytes[10] = tag;
  bytes[11] = kind;
  bytes[12] = 0x88;
  bytes[13] = 0xb5;
  return bytes;
}

interface Timed {
  readonly timeUs: number;
  readonly frame: Uint8Array;
}
const at = (timeUs: number, kind: number, tag = 0): Timed => ({ timeUs, frame: frame(kind, tag) });
/** Of 2023, in nanoseconds. */
const EPOCH = 1_700_000_000_000_000_000n;

function makeEngine(events: TimedEvent[] = []): { engine: Engine; node: ReturnType<typeof counter> } {
  const node = counter();
  const port = (name: string) => ({ name, node: NODE, tunnel: false, peer: null });
  const engine = new Engine({
    kernel: kernelModule(),
    nodes: [node],
    ports: [port("in"), port("out")],
    stampCount: 3,
    onEvent: (event) => events.push(event),
  });
  return { engine, node };
}

/** What left at OUT, in the order of capture files, as `time count or tag`. */
function play(input: readonly Timed[], burst: number, events: TimedEvent[] = []): string[] {
  const { engine } = makeEngine(events);
  const { memory } = engine;
  const buffer = memory.allocate(256 * 64);
  const left: { sequence: number; text: string }[] = [];
  const collect = (): void => {
    const ends = [...engine.lastBurst()]
      .filter(({ verdict, port }) => verdict === "delivered" && port === OUT)
      .map(({ sequence, timestampNs, frame: bytes }) => ({
        sequence,
        text: `${Number(timestampNs / 1000n)} ${bytes[11] === 0xee ? `timer ${bytes[10]}` : `data ${bytes[11]} count ${bytes[5]}`}`,
      }));
    left.push(...ends.sort((a, b) => a.sequence - b.sequence)); // the sort is stable
  };
  for (let first = 0; first < input.length; first += burst) {
    const frames = input.slice(first, first + burst);
    frames.forEach((one, index) => {
      const place = buffer + index * 64;
      memory.bytes.set(one.frame, place);
      engine.setRow(index, place, one.frame.length, IN, BigInt(one.timeUs) * 1000n, first + index);
    });
    for (const _ of engine.run(frames.length)) collect();
  }
  for (const _ of engine.passTime(engine.nowMs + 100)) collect();
  return left.map(({ text }) => text);
}

describe("ticks", () => {
  test("an effect takes hold at the next millisecond of the packets' time, not before", () => {
    const input = [at(100, DATA), at(200, INCREMENT, 1), at(300, DATA), at(999, DATA), at(1000, DATA)];
    expect(play(input, 256)).toEqual([
      "100 data 0 count 0",
      "300 data 0 count 0",
      "999 data 0 count 0",
      "1000 data 0 count 1",
    ]);
  });

  test.each([1, 2])("a packet some nanoseconds before a tick is not in it, in bursts of %i", (burst) => {
    const { engine } = makeEngine();
    const { memory } = engine;
    const buffer = memory.allocate(2 * 64);
    const input = [
      { frame: frame(INCREMENT, 1), timeNs: EPOCH + 500_000n },
      { frame: frame(DATA), timeNs: EPOCH + 999_950n }, // a double would say that it is the next millisecond
    ];
    const counts: number[] = [];
    for (let first = 0; first < input.length; first += burst) {
      const some = input.slice(first, first + burst);
      some.forEach((one, index) => {
        memory.bytes.set(one.frame, buffer + index * 64);
        engine.setRow(index, buffer + index * 64, one.frame.length, IN, one.timeNs, first + index);
      });
      for (const _ of engine.run(some.length)) {
        for (const { verdict, frame: bytes } of engine.lastBurst()) if (verdict === "delivered") counts.push(bytes[5]!);
      }
    }
    expect(counts).toEqual([0]);
    expect(engine.nowMs).toBe(Number(EPOCH / 1_000_000n));
  });

  test("effects of one tick are settled in the order of the packets", () => {
    const input = [at(0, INCREMENT, 1), at(1, INCREMENT, 2), at(2, INCREMENT, 3), at(5000, DATA)];
    expect(play(input, 256)).toEqual(["5000 data 0 count 18"]); // ((1 * 3) + 2) * 3 + 3
  });

  test("a timer's frame leaves at its time, between the packets before and behind", () => {
    const input = [at(0, LATER), at(5_999, DATA), at(6_000, DATA), at(7_000, DATA)];
    expect(play(input, 256)).toEqual([
      "5999 data 0 count 0",
      "6000 timer 0",
      "6000 data 0 count 0",
      "7000 data 0 count 0",
    ]);
  });

  test("time goes on behind the last packet", () => {
    expect(play([at(0, LATER)], 1)).toEqual(["6000 timer 0"]);
  });

  test("a capture whose time goes back does not turn the clock back", () => {
    const input = [at(9_000, INCREMENT, 1), at(3_000, DATA), at(10_000, DATA)];
    expect(play(input, 256)).toEqual(["3000 data 0 count 0", "10000 data 0 count 1"]);
  });

  test("over a pause of years time leaps, rather than settle millions of instants", () => {
    let everyMs = 1;
    let settled = 0;
    let lastMs = 0;
    const node: Node = {
      name: "n",
      decide: () => ({ verdict: { kind: "consume" }, cacheable: true, stamps: [] }),
      state: {
        begin: (work) => work.setTimer(work.nowMs + everyMs, { kind: "tick" }),
        settle(_effect, work) {
          settled++;
          lastMs = work.nowMs;
          work.setTimer(work.nowMs + everyMs, { kind: "tick" });
        },
      },
    };
    const ports = [{ name: "n/in", node: NODE, tunnel: false, peer: null }];
    const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 2 });
    const send = (ms: number): void => void engine.send([{ port: IN, frame: frame(DATA) }], BigInt(ms) * 1_000_000n);
    const years = 50 * 365 * 86_400_000;
    send(0);
    send(150_000); // as many as there are, within a day
    expect(settled).toBe(150_000);
    everyMs = 1_000;
    send(years);
    expect(settled).toBeLessThan(300_000);
    expect([engine.nowMs, lastMs]).toEqual([years, years]);
    const before = settled;
    send(years + 100_000);
    expect(settled - before).toBe(100); // and goes on as ever
  });

  test("nodes begin at the time of the first packet, and tell with the time of the instant", () => {
    const events: TimedEvent[] = [];
    play([at(41_700, INCREMENT, 1), at(50_000, DATA)], 256, events);
    expect(events).toEqual([
      { timeMs: 41, node: NODE, event: { kind: "begun" } },
      { timeMs: 42, node: NODE, event: { kind: "counted" } },
    ]);
  });
});

test("bursts of any size give the same frames, in the same order, with the same times", () => {
  let seed = 0x5eed;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 16) % below;
  };
  let timeUs = 0;
  const input = Array.from({ length: 2_000 }, () => {
    timeUs += random(4) === 0 ? random(3_000) : random(50);
    return at(timeUs, [DATA, DATA, DATA, DATA, INCREMENT, LATER, PAIR][random(7)]!, random(200));
  });
  const expected = play(input, 1);
  expect(expected.length).toBeGreaterThan(1_500);
  for (const burst of [2, 7, 32, 100, 256]) expect(play(input, burst)).toEqual(expected);
});

test("what goes on as if it had entered is counted as injected, and nothing is lost", () => {
  const { engine, node } = makeEngine();
  engine.send([{ port: IN, frame: frame(PAIR) }]);
  expect(engine.totals()).toMatchObject({ in: 1, injected: 2, delivered: 2, consumed: 1 });
  expect(node.decisions).toBe(2); // the pair, and its first piece; the second finds the flow's entry
});

test("however much a node sends at an instant, all of it leaves", () => {
  const frames = Array.from({ length: 100 }, (_, index) => {
    const long = new Uint8Array(60_000);
    long.set(frame(DATA, index));
    return long;
  });
  const node: Node = {
    name: "n",
    decide: () => ({ verdict: { kind: "consume" }, cacheable: false, stamps: [], effects: [{ kind: "send" }] }),
    state: {
      settle(_effect, work) {
        for (const one of frames) work.emit(OUT, one);
      },
    },
  };
  const ports = ["in", "out"].map((name) => ({ name, node: NODE, tunnel: false, peer: null }));
  const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 2 });
  engine.send([{ port: IN, frame: frame(DATA) }]);
  const ends = engine.sendNothing(5_000_000n);
  expect(ends.map(({ verdict, frame: bytes }) => [verdict, bytes[10], bytes.length])).toEqual(
    frames.map((_, index) => ["delivered", index, 60_000]),
  );
});

test("a flow that rests on the state is decided again when it changes, and only then", () => {
  const { engine, node } = makeEngine();
  const send = (ms: number, kind: number): void =>
    void engine.send([{ port: IN, frame: frame(kind) }], BigInt(ms) * 1_000_000n);
  for (let ms = 0; ms < 50; ms++) send(ms, DATA);
  expect(node.decisions).toBe(1);
  send(50, INCREMENT);
  for (let ms = 51; ms < 99; ms++) send(ms, DATA);
  expect(node.decisions).toBe(3);
  expect(engine.memory.u32(engine.memory.rows + ROW.SEQUENCE)).toBe(98);
});
