/** `pcap:FILE`: frames of a capture arrive when their time has come. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { CaptureError } from "../../../src/io/index.js";
import { liveErrorAt } from "../../../src/io/live/errors.js";
import { openPacedCapture, type PacedCapture, parsePacedCaptureUri } from "../../../src/io/live/paced-capture.js";
import { scratchFolder } from "../helpers.js";
import { LiveBench, type ReceivedFrame } from "./helpers.js";

const folder = scratchFolder();
const START = 1_800_000_000_000_000_000n;

interface Record {
  /** Since the beginning of the capture. */
  readonly us: number;
  readonly data: Uint8Array;
}

/** A classic capture of microseconds that begins in 2020. */
function capture(name: string, records: readonly Record[], cutBytes = 0): string {
  const header = Buffer.from("d4c3b2a10200040000000000000000000000040001000000", "hex");
  const parts = records.map(({ us, data }) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(1_577_836_800 + Math.floor(us / 1e6), 0);
    record.writeUInt32LE(us % 1e6, 4);
    record.writeUInt32LE(data.length, 8);
    record.writeUInt32LE(data.length, 12);
    return Buffer.concat([record, data]);
  });
  const bytes = Buffer.concat([header, ...parts]);
  const path = join(folder, name);
  writeFileSync(path, bytes.subarray(0, bytes.length - cutBytes));
  return path;
}

const numbered = (number: number, length = 60): Uint8Array => {
  const frame = Buffer.alloc(length, number & 0xff);
  frame.writeUInt32BE(number, 12);
  return frame;
};
const numberOf = ({ data }: ReceivedFrame): number => Buffer.from(data).readUInt32BE(12);

/** What has arrived by a time, with as many turns of the event loop as reading takes. */
async function arrivals(bench: LiveBench, face: PacedCapture, nowNs: bigint, max?: number): Promise<ReceivedFrame[]> {
  const frames: ReceivedFrame[] = [];
  for (let turn = 0; turn < 20; turn++) {
    const some = bench.receive(face, nowNs, max);
    frames.push(...some);
    if (some.length === 0) await setTimeout(1); // the thread pool reads the file meanwhile
  }
  return frames;
}

test("the URI has a file, which may contain #, and perhaps a speed", () => {
  expect(parsePacedCaptureUri("pcap:a.pcap")).toEqual({ file: "a.pcap", speed: 1 });
  expect(parsePacedCaptureUri("pcap:/tmp/a#1=b.pcap#speed=0.5")).toEqual({ file: "/tmp/a#1=b.pcap", speed: 0.5 });
  expect(parsePacedCaptureUri("pcap:a#2")).toEqual({ file: "a#2", speed: 1 });
  for (const [uri, what] of [
    ["pcap:", "expected pcap:FILE or pcap:FILE#speed=N"],
    ["pcap:#speed=2", "expected pcap:FILE or pcap:FILE#speed=N"],
    ["pcap:a#speed=fast", "speed=fast: expected a number from 0 to 1000000"],
    ["pcap:a#speed=-1", "speed=-1: expected a number from 0 to 1000000"],
    ["pcap:a#speed=", "speed=: expected a number from 0 to 1000000"],
  ] as const) {
    expect(() => parsePacedCaptureUri(uri)).toThrow(liveErrorAt("LIVE_URI", uri, what));
  }
});

test("frames arrive by their distance, also behind one whose time goes back", async () => {
  const times = [0, 10, 1500, 1400, 2_000_000];
  const path = capture(
    "five.pcap",
    times.map((us, index) => ({ us, data: numbered(index) })),
  );
  for (const speed of [1, 10, 0.5]) {
    const bench = new LiveBench();
    const face = await openPacedCapture(`pcap:${path}#speed=${speed}`, bench.memory);
    const due = [0, 10, 1500, 1500, 2_000_000].map((us) => START + BigInt(Math.round((us * 1000) / speed)));
    const seen: ReceivedFrame[] = [];
    for (const [index, time] of due.entries()) {
      expect(face.isOpen).toBe(true);
      if (index !== 3 && index > 0) {
        expect(await arrivals(bench, face, time - 1n)).toEqual([]);
        expect(face.nextFrameNs).toBe(time);
      }
      // The receiver may be a little late; rows have the time at which the frame was due.
      seen.push(...(await arrivals(bench, face, index === 0 ? START : time + 2n)));
    }
    expect(seen.map(numberOf)).toEqual([0, 1, 2, 3, 4]);
    expect(seen.map(({ timestampNs }) => timestampNs)).toEqual(due);
    expect(face.isOpen).toBe(false);
    face.close();
  }
});

test("without a pace all come at once, as many as are asked for, from one piece of the file to the next", async () => {
  const count = 12_000;
  const records = Array.from({ length: count }, (_, number) => ({ us: number * 1e5, data: numbered(number, 800) }));
  const bench = new LiveBench();
  const face = await openPacedCapture(`pcap:${capture("long.pcap", records)}#speed=0`, bench.memory);
  const seen: number[] = [];
  for (let turn = 0; face.isOpen && turn < 5000; turn++) {
    const frames = bench.receive(face, START + BigInt(turn), 100);
    expect(frames.length).toBeLessThanOrEqual(100);
    for (const frame of frames) {
      expect(frame.timestampNs).toBe(START + BigInt(turn));
      expect(Buffer.compare(frame.data, records[numberOf(frame)]!.data)).toBe(0);
      seen.push(numberOf(frame));
    }
    if (frames.length === 0) await setTimeout(1);
  }
  expect(seen).toEqual(Array.from({ length: count }, (_, number) => number));
  expect(face.counters()).toMatchObject({ received: count, events: {} });
});

test("frames stay where they are until they are released", async () => {
  const records = Array.from({ length: 3 }, (_, number) => ({ us: 0, data: numbered(number) }));
  const bench = new LiveBench();
  const face = await openPacedCapture(`pcap:${capture("held.pcap", records)}`, bench.memory);
  expect(face.receive(bench.rows, 2, START)).toBe(2);
  expect(face.receive(bench.rows, 2, START)).toBe(0);
  face.release();
  expect(bench.receive(face, START).map(numberOf)).toEqual([2]);
});

test("damage ends the capture behind its whole frames, and is told", async () => {
  const records = Array.from({ length: 4 }, (_, number) => ({ us: 0, data: numbered(number) }));
  const bench = new LiveBench();
  const face = await openPacedCapture(`pcap:${capture("cut.pcap", records, 7)}`, bench.memory);
  expect((await arrivals(bench, face, START)).map(numberOf)).toEqual([0, 1, 2]);
  expect(face.isOpen).toBe(false);
  expect(face.damage?.code).toBe("CAPTURE_TRUNCATED");
  expect(face.counters().events).toEqual({ "capture damaged": 1 });
  await expect(openPacedCapture(`pcap:${folder}/none.pcap`, bench.memory)).rejects.toThrow(CaptureError);
});

test("what is sent there leaves the lab", async () => {
  const bench = new LiveBench();
  const face = await openPacedCapture(`pcap:${capture("one.pcap", [{ us: 0, data: numbered(0) }])}`, bench.memory);
  expect(bench.send(face, [numbered(1), numbered(2)])).toEqual([true, true]);
  expect(face.counters()).toMatchObject({ sent: 2, sendDrops: 0 });
  face.close();
  expect(face.isOpen).toBe(false);
});
