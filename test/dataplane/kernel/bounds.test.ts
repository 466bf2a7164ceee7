/**
 * The kernel writes nowhere but where it may: guard bytes around every frame, every region and behind the arena stay as they were,
 * whatever the frames are.
 */
import { expect, test } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { Engine } from "../../../src/dataplane/engine.js";
import {
  PORT,
  PORT_SIZE,
  ROW,
  ROW_SIZE,
  STREAM,
  STREAM_ITEM_SIZE,
  STREAM_SIZE,
  TEMPLATE_SIZE,
} from "../../../src/dataplane/packet/layout.js";
import { decapNode } from "../../../src/dataplane/slowpath/index.js";
import type { Node } from "../../../src/dataplane/slowpath/layer.js";
import type { Forward, NodeIndex, PortIndex } from "../../../src/dataplane/transposition/transposition.js";
import { ipv6AddressAt } from "../../../src/dataplane/wire/address.js";
import type { FlowId, Mac, Tci, Vsid } from "../../../src/dataplane/wire/bytes.js";
import { tenantFrame, wireFrame } from "../../support/frames.js";
import { kernelModule } from "../../support/kernel.js";
import { seededRandom } from "../../support/random.js";

const NODE = 0 as NodeIndex;
const IN = 0 as PortIndex;
const OUT = 1 as PortIndex;
const GUARD = 0xa5;
const GUARD_BYTES = 256;
const SIZE_MAX = 200;
const HEADROOM_MAX = 130;
const STREAM_GAP = 16;
/** So that many fit into SIZE_MAX with their headers. */
const SHORT = { hosts: 4, ports: 3, maxPayload: 60 };

/** The longest template there is: outer IPv6, both frames tagged. */
const WIDEST: Forward = {
  output: OUT,
  pop: false,
  dscpInwards: false,
  ethernet: { destination: 1 as Mac, source: 2 as Mac, tag: 5 as Tci },
  decrementTtl: false,
  push: {
    ethernet: { destination: 3 as Mac, source: 4 as Mac, tag: 6 as Tci },
    source: ipv6AddressAt(new Uint8Array(16).fill(1), 0),
    destination: ipv6AddressAt(new Uint8Array(16).fill(2), 0),
    ttl: 64,
    ecn: "normal",
    dscp: { model: "uniform" },
    dontFragment: true,
    flowLabel: 1,
    identification: NODE,
    vsid: 5001 as Vsid,
    flowId: 1 as FlowId,
  },
  lengthLimit: null,
};

const node: Node = {
  name: "n",
  decide: ({ start, end }) => ({
    verdict:
      end - start < 18 ? { kind: "drop", reason: Reason.INVALID_PACKET } : { kind: "forward", outputs: [WIDEST] },
    cacheable: true,
    stamps: [],
  }),
};

/** Frames packed into a region of `roomFor(frames)` bytes, each between two fences. */
function fenceFrames(
  engine: Engine,
  region: number,
  frames: readonly Uint8Array[],
  headroom: number,
): { check(what: string): void } {
  const { memory } = engine;
  memory.bytes.fill(GUARD, region, region + roomFor(frames, headroom));
  let at = region + GUARD_BYTES;
  const fences: [number, number][] = [[region, at]];
  frames.forEach((frame, index) => {
    memory.bytes.set(frame, at + headroom);
    engine.setRow(index, at + headroom, frame.length, IN, 0n, index);
    memory.setU32(memory.rows + index * ROW_SIZE + ROW.HEADROOM, headroom);
    const end = at + headroom + frame.length;
    at = end + GUARD_BYTES;
    fences.push([end, at]);
  });
  return {
    check(what) {
      for (const [from, to] of fences) {
        const hit = memory.bytes.subarray(from, to).findIndex((byte) => byte !== GUARD);
        if (hit >= 0) expect.fail(`${what}: byte ${hit} of the fence [${from}, ${to}) was written`);
      }
    },
  };
}

const roomFor = (frames: readonly Uint8Array[], headroom: number): number =>
  frames.reduce((bytes, frame) => bytes + frame.length + headroom + GUARD_BYTES, GUARD_BYTES);

function makeEngine(tunnel: boolean, decides: Node): Engine {
  const ports = [
    { name: "n/in", node: NODE, tunnel, peer: null },
    { name: "n/out", node: NODE, tunnel: false, peer: null },
  ];
  return new Engine({ kernel: kernelModule(), nodes: [decides], ports, stampCount: 4, flowCapacity: 64 });
}

const DIRECTIONS = [
  { name: "encapsulation", tunnel: false, node, frameOf: tenantFrame },
  { name: "NVGRE wrapped once more", tunnel: true, node, frameOf: wireFrame },
  {
    name: "decapsulation",
    tunnel: true,
    node: decapNode("n", { outputOf: () => OUT, receive: "lenient" }),
    frameOf: wireFrame,
  },
] as const;

for (const { name, tunnel, node: decides, frameOf } of DIRECTIONS) {
  test(`no write outside of a frame and its headroom, ${name}, 0 to 200 bytes, headroom of 0 to 130`, () => {
    const random = seededRandom();
    const engine = makeEngine(tunnel, decides);
    const frames = Array.from({ length: SIZE_MAX + 1 }, () => new Uint8Array(SIZE_MAX));
    const region = engine.memory.allocate(roomFor(frames, HEADROOM_MAX));
    for (let headroom = 0; headroom <= HEADROOM_MAX; headroom++) {
      const sized = frames.map((_, size) => exactly(size, () => frameOf(random, SHORT)));
      const fenced = fenceFrames(engine, region, sized, headroom);
      engine.process(sized.length, 0);
      fenced.check(`seed ${random.seed}, headroom ${headroom}`);
    }
    expect(engine.totals().delivered, `seed ${random.seed}`).toBeGreaterThan(1000);
  });

  test(`no write outside of a frame and its headroom, ${name}, frames as they come`, () => {
    const random = seededRandom();
    const engine = makeEngine(tunnel, decides);
    const longest = Array.from({ length: 64 }, () => new Uint8Array(1000));
    const region = engine.memory.allocate(roomFor(longest, 200));
    for (let round = 0; round < 40; round++) {
      const headroom = random.pick([0, 13, 84, 200]);
      const frames = longest.map(() => frameOf(random)).filter(({ length }) => length <= 1000);
      const fenced = fenceFrames(engine, region, frames, headroom);
      engine.process(frames.length, 0);
      fenced.check(`seed ${random.seed}, headroom ${headroom}`);
    }
  });

  test(`a stream holds a frame that fits exactly and none that is a byte longer, ${name}`, () => {
    const random = seededRandom();
    const engine = makeEngine(tunnel, decides);
    const { memory } = engine;
    const longest = SIZE_MAX + TEMPLATE_SIZE + STREAM_GAP;
    const stream = memory.allocate(STREAM_SIZE);
    const list = memory.allocate(STREAM_ITEM_SIZE);
    const buffer = memory.allocate(longest + 2 * GUARD_BYTES) + GUARD_BYTES;
    memory.setU32(stream + STREAM.GAP, STREAM_GAP);
    memory.setU32(stream + STREAM.LIST, list);
    memory.setU32(stream + STREAM.LIST_CAPACITY, 1);
    const run = (frame: Uint8Array, capacity: number) => {
      memory.bytes.fill(GUARD, buffer - GUARD_BYTES, buffer + longest + GUARD_BYTES);
      memory.setU32(stream + STREAM.BASE, buffer);
      memory.setU32(stream + STREAM.CURSOR, buffer);
      memory.setU32(stream + STREAM.END, buffer + capacity);
      memory.setU32(stream + STREAM.LIST_COUNT, 0);
      const [end] = engine.send([{ port: IN, frame }]);
      const fences = [
        memory.bytes.subarray(buffer - GUARD_BYTES, buffer),
        memory.bytes.subarray(buffer + capacity, buffer + longest + GUARD_BYTES),
      ];
      const isIntact = fences.every((fence) => fence.every((byte) => byte === GUARD));
      expect(isIntact, `seed ${random.seed}, ${Buffer.from(frame).toString("hex")}, ${capacity} bytes`).toBe(true);
      return end!;
    };
    let delivered = 0;
    for (let round = 0; round < 5; round++) {
      for (let size = 0; size <= SIZE_MAX; size++) {
        const frame = exactly(size, () => frameOf(random, SHORT));
        engine.setStream(OUT, "tx", 0);
        const [plain] = engine.send([{ port: IN, frame }]);
        if (plain!.verdict !== "delivered") continue;
        delivered++;
        engine.setStream(OUT, "tx", stream);
        const capacity = STREAM_GAP + plain!.frame.length;
        expect(run(frame, capacity).frame.length).toBe(plain!.frame.length);
        expect(run(frame, capacity - 1)).toMatchObject({ verdict: "dropped", reason: Reason.RESOURCES });
      }
    }
    expect(delivered, `seed ${random.seed}`).toBeGreaterThan(100);
  });
}

/** A frame of this size: one of several that fits, with padding, else cut. */
function exactly(size: number, draw: () => Uint8Array): Uint8Array {
  let frame = draw();
  for (let tries = 8; frame.length > size && tries > 0; tries--) frame = draw();
  const sized = new Uint8Array(size);
  sized.set(frame.subarray(0, size));
  return sized;
}

test("a stream that is full loses frames by count, and nothing behind it", () => {
  const ports = [
    { name: "n/in", node: NODE, tunnel: false, peer: null },
    { name: "n/out", node: NODE, tunnel: false, peer: null },
  ];
  const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 4, flowCapacity: 64 });
  const { memory } = engine;
  const capacity = 500;
  const items = 8;
  const stream = memory.allocate(STREAM_SIZE);
  const list = memory.allocate(items * STREAM_ITEM_SIZE + GUARD_BYTES);
  const buffer = memory.allocate(capacity + GUARD_BYTES);
  memory.bytes.fill(GUARD, list, list + items * STREAM_ITEM_SIZE + GUARD_BYTES);
  memory.bytes.fill(GUARD, buffer, buffer + capacity + GUARD_BYTES);
  memory.setU32(stream + STREAM.BASE, buffer);
  memory.setU32(stream + STREAM.CURSOR, buffer);
  memory.setU32(stream + STREAM.END, buffer + capacity);
  memory.setU32(stream + STREAM.GAP, 16);
  memory.setU32(stream + STREAM.LIST, list);
  memory.setU32(stream + STREAM.LIST_CAPACITY, items);
  engine.setStream(OUT, "tx", stream);
  expect(memory.u32(memory.ports + OUT * PORT_SIZE + PORT.TX_STREAM)).toBe(stream);

  const frames = Array.from({ length: 20 }, () => ({ port: IN, frame: new Uint8Array(60).fill(7) }));
  const ends = engine.send(frames);
  const written = memory.u32(stream + STREAM.LIST_COUNT);
  // 60 bytes and 66 + 4 more of headers, in gaps of 16: three fit into 500.
  expect(written).toBe(3);
  expect(memory.u32(stream + STREAM.OVERFLOW)).toBe(frames.length - written);
  expect(ends.filter(({ reason }) => reason === Reason.RESOURCES)).toHaveLength(frames.length - written);
  expect(
    memory.bytes.subarray(buffer + capacity, buffer + capacity + GUARD_BYTES).every((byte) => byte === GUARD),
  ).toBe(true);
  expect(
    memory.bytes
      .subarray(list + written * STREAM_ITEM_SIZE, list + items * STREAM_ITEM_SIZE + GUARD_BYTES)
      .every((byte) => byte === GUARD),
  ).toBe(true);
});

test("a frame longer than the engine handles is dropped by name", () => {
  const ports = [
    { name: "n/in", node: NODE, tunnel: false, peer: null },
    { name: "n/out", node: NODE, tunnel: false, peer: null },
  ];
  const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 4, flowCapacity: 64 });
  const [end] = engine.send([{ port: IN, frame: new Uint8Array(70_000) }]);
  expect(end).toMatchObject({ verdict: "dropped", reason: Reason.FRAME_TOO_LONG });
});
