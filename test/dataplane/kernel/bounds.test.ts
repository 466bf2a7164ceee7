/**
 * The kernel writes nowhere but where it may: guard bytes around every frame, every region and behind the arena stay as they were,
 * whatever the frames are.
 */
import { expect, test } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { Engine } from "../../../src/dataplane/engine.js";
import { PORT, PORT_SIZE, STREAM, STREAM_ITEM_SIZE, STREAM_SIZE } from "../../../src/dataplane/packet/layout.js";
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

/** Frames packed into one region, each between two fences. */
function fencedFrames(
  engine: Engine,
  frames: readonly Uint8Array[],
  headroom: number,
): { check(): void; rows: number } {
  const { memory } = engine;
  const size = frames.reduce((n, frame) => n + frame.length + headroom + GUARD_BYTES, GUARD_BYTES);
  const region = memory.allocate(size);
  memory.bytes.fill(GUARD, region, region + size);
  let at = region + GUARD_BYTES;
  const fences: [number, number][] = [[region, at]];
  frames.forEach((frame, index) => {
    memory.bytes.set(frame, at + headroom);
    engine.setRow(index, at + headroom, frame.length, IN, 0n, index);
    memory.setU32(memory.rows + index * 64 + 8, headroom);
    const end = at + headroom + frame.length;
    at = end + GUARD_BYTES;
    fences.push([end, at]);
  });
  return {
    rows: frames.length,
    check() {
      for (const [from, to] of fences) {
        expect(memory.bytes.subarray(from, to).every((byte) => byte === GUARD)).toBe(true);
      }
    },
  };
}

for (const tunnel of [false, true]) {
  for (const headroom of [0, 13, 84, 200]) {
    test(`no write outside of a frame and its headroom of ${headroom} bytes, ${tunnel ? "NVGRE" : "plain"} port`, () => {
      const random = seededRandom();
      const ports = [
        { name: "n/in", node: NODE, tunnel, peer: null },
        { name: "n/out", node: NODE, tunnel: false, peer: null },
      ];
      for (let round = 0; round < 40; round++) {
        const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 4, flowCapacity: 64 });
        const frames = Array.from({ length: 64 }, () => (tunnel ? wireFrame(random) : tenantFrame(random)));
        const fenced = fencedFrames(engine, frames, headroom);
        engine.process(fenced.rows, 0);
        fenced.check();
      }
    });
  }
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
