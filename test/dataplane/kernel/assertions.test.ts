/**
 * The kernel with an assertion in front of every memory access: whatever the packets are, it reads and writes nothing but what it
 * may, to the byte, and does the same as without. What it may is in `support/fences.ts`.
 */
import { describe, expect, test } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { Engine } from "../../../src/dataplane/engine.js";
import { PORT, ROW, ROW_SIZE, STREAM, STREAM_ITEM_SIZE, STREAM_SIZE } from "../../../src/dataplane/packet/layout.js";
import type { Node } from "../../../src/dataplane/slowpath/layer.js";
import type { NodeIndex, PortIndex } from "../../../src/dataplane/transposition/transposition.js";
import { BATCH_PACKETS, explain, makeTally, randomBatch, runBatch } from "../../support/differential.js";
import { buildCheckedModule, EngineFences, recordRegions } from "../../support/fences.js";
import { seededRandom } from "../../support/random.js";

const PACKETS = 40_000;
const kernel = buildCheckedModule("kernel");

test(`${PACKETS} packets of all kinds stay within the fences`, { timeout: 120_000 }, () => {
  const random = seededRandom();
  const tally = makeTally();
  for (let done = 0; done < PACKETS; done += BATCH_PACKETS) {
    const seed = done === 0 ? random.seed : random.bits();
    const batch = randomBatch(seed);
    const { difference } = runBatch(batch, { kernel, tally });
    if (difference) expect.fail(explain(batch, difference, seed, { kernel }));
  }
  // Bursts and flow tables differ by batch, and these are few.
  expect(
    tally.missing.filter((kind) => !/^(burst|flow)/.test(kind)),
    `seed ${random.seed}`,
  ).toEqual([]);
});

describe("an assertion", () => {
  const frame = new Uint8Array(60).fill(7);
  const drop: Node = {
    name: "n",
    decide: () => ({ verdict: { kind: "drop", reason: Reason.TX_NO_RECORD }, cacheable: true, stamps: [] }),
  };

  /** An engine behind fences that runs the frame as its first row, with what a test changes. */
  function run(change: (engine: Engine, row: number) => void): Engine {
    const ports = [{ name: "n/in", node: 0 as NodeIndex, tunnel: false, peer: null }];
    const { made: engine, regions } = recordRegions(
      () => new Engine({ kernel: kernel.module, nodes: [drop], ports, stampCount: 1, flowCapacity: 64 }),
    );
    const { memory } = engine;
    const input = memory.allocate(256) + 64;
    const stream = memory.allocate(STREAM_SIZE);
    const list = memory.allocate(STREAM_ITEM_SIZE);
    const region = memory.allocate(128);
    memory.bytes.set(frame, input);
    memory.setU32(stream + STREAM.BASE, region);
    memory.setU32(stream + STREAM.CURSOR, region);
    memory.setU32(stream + STREAM.END, region + 64);
    memory.setU32(stream + STREAM.LIST, list);
    memory.setU32(stream + STREAM.LIST_CAPACITY, 1);
    engine.setStream(0 as PortIndex, "rx", stream);
    new EngineFences(engine, regions, kernel.sites, { isSingleHop: true });
    engine.setRow(0, input, frame.length, 0 as PortIndex, 0n, 0);
    change(engine, memory.rows);
    engine.process(1, 0);
    return engine;
  }
  const streamOf = ({ memory }: Engine): number => memory.u32(memory.ports + PORT.RX_STREAM);

  test("holds for what the kernel does", () => {
    expect(run(() => {}).totals().dropped).toBe(1);
  });

  test("refuses to read what is only headroom", () => {
    const overlapping = run.bind(null, (engine, row) => {
      const { memory } = engine;
      engine.setRow(1, memory.u32(row + ROW.OFFSET) + frame.length, 0, 0 as PortIndex, 0n, 1);
      memory.setU32(row + ROW_SIZE + ROW.HEADROOM, 1); // the last byte of the frame
      engine.process(2, 0);
    });
    expect(overlapping).toThrow(
      / reads \d+ bytes at \d+; byte \d+ is in the headroom of row 1 \[\d+, \d+\), closed for this$/,
    );
  });

  test("refuses to write behind the end of a stream", () => {
    const longer = run.bind(null, (engine) => {
      const { memory } = engine;
      memory.setU32(streamOf(engine) + STREAM.CURSOR, memory.u32(streamOf(engine) + STREAM.BASE) + 32);
      memory.setU32(streamOf(engine) + STREAM.END, memory.u32(streamOf(engine) + STREAM.BASE) + 96);
    });
    expect(longer).toThrow(
      /^(v128|i64|i32)\.store.* in .*assembly\/.* writes \d+ bytes at \d+; byte \d+ is 0 behind the end of a stream \[/,
    );
  });
});
