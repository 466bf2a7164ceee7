/** Rows on their way into a capture: which frames, in what records, in what pieces. The files are judged by tshark in `cli/live-capture`. */
import { describe, expect, test } from "vitest";
import { PacketMemory, ROW, ROW_SIZE, VERDICT } from "../../../src/dataplane/packet/index.js";
import { CaptureQueue, makeCaptureQueue } from "../../../src/io/live/capture-queue.js";
import { PortCapture, portCaptureForm } from "../../../src/io/live/port-capture.js";

const PORT = 3;
const ANOTHER = 4;
const TIME_NS = 1_700_000_000_123_456_789n;
const FRAME_LONGEST = 262_144;

interface Row {
  readonly frame: Buffer;
  readonly port?: number;
  readonly verdict?: number;
  readonly missing?: number;
}

function setUp(format: "pcap" | "pcapng", queueBytes = 1 << 22) {
  const memory = new PacketMemory({ ports: 1, nodes: 1, stamps: 1, flowCapacity: 16 });
  const shared = makeCaptureQueue(queueBytes);
  const bell = new Int32Array(new SharedArrayBuffer(8));
  const capture = new PortCapture(memory, new CaptureQueue(shared, bell), format, PORT);
  const taker = new CaptureQueue(shared, bell);
  const writeRows = (rows: readonly Row[]): number => {
    const first = memory.allocate(rows.length * ROW_SIZE);
    rows.forEach(({ frame, port = PORT, verdict = VERDICT.DELIVERED, missing = 0 }, index) => {
      const row = first + index * ROW_SIZE;
      const at = memory.allocate(Math.max(frame.length, 1));
      memory.bytes.set(frame, at);
      memory.setU32(row + ROW.OFFSET, at);
      memory.setU32(row + ROW.LENGTH, frame.length);
      memory.setU16(row + ROW.PORT, port);
      memory.bytes[row + ROW.VERDICT] = verdict;
      memory.setU32(row + ROW.TIMESTAMP, Number(TIME_NS & 0xffff_ffffn));
      memory.setU32(row + ROW.TIMESTAMP + 4, Number(TIME_NS >> 32n));
      memory.setU32(row + ROW.MISSING, missing);
    });
    return first;
  };
  const pieces: { bytes: Buffer; frames: number }[] = [];
  const take = () => {
    for (let piece = taker.peek(); piece; piece = taker.peek()) {
      pieces.push({ bytes: Buffer.from(piece.bytes), frames: piece.frames });
      taker.release();
    }
    return { bytes: Buffer.concat(pieces.map(({ bytes }) => bytes)), frames: pieces.map(({ frames }) => frames) };
  };
  const rings = () => Atomics.load(bell, 0);
  return { capture, writeRows, take, rings };
}

const frameOf = (length: number, first = 1): Buffer => Buffer.from(Uint8Array.from({ length }, (_, at) => first + at));

const words = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32LE(value, index * 4);
  });
  return bytes;
};

/** draft-ietf-opsawg-pcap §5, with nanoseconds. */
const record = (frame: Buffer, missing = 0): Buffer =>
  Buffer.concat([words(1_700_000_000, 123_456_789, frame.length, frame.length + missing), frame]);

/** draft-ietf-opsawg-pcapng §4.3. */
function block(id: number, frame: Buffer, missing = 0): Buffer {
  const padding = Buffer.alloc((4 - (frame.length % 4)) % 4);
  const total = 32 + frame.length + padding.length;
  const head = words(6, total, id, Number(TIME_NS >> 32n), Number(TIME_NS & 0xffff_ffffn), frame.length);
  return Buffer.concat([head, words(frame.length + missing), frame, padding, words(total)]);
}

const LENGTHS = [14, 15, 16, 17, 60, 63, 64, 65, 127, 1514, 9014];

describe.each(["pcap", "pcapng"] as const)("%s", (format) => {
  const encoded = (direction: number, frame: Buffer, missing?: number): Buffer =>
    format === "pcap" ? record(frame, missing) : block(direction, frame, missing);

  test("frames of any length, in the order of their rows, each direction by itself", () => {
    const { capture, writeRows, take } = setUp(format);
    const frames = LENGTHS.map((length) => frameOf(length, length));
    const rows = frames.map((frame, index) => ({ frame, missing: index }));
    capture.received(writeRows(rows), rows.length);
    capture.sent(writeRows(rows), rows.length);
    capture.finish();
    const expected = [0, 1].flatMap((direction) => frames.map((frame, index) => encoded(direction, frame, index)));
    const { bytes, frames: counts } = take();
    expect(bytes.equals(Buffer.concat(expected))).toBe(true);
    expect(counts).toEqual([2 * rows.length]);
    expect([capture.frames, capture.lost]).toEqual([2 * rows.length, 0]);
  });

  test("of the port's rows those that came, and those that were delivered", () => {
    const { capture, writeRows, take } = setUp(format);
    const frame = frameOf(60);
    const rows = [
      { frame, verdict: VERDICT.DROPPED },
      { frame, port: ANOTHER },
      { frame, verdict: VERDICT.PASSED },
      { frame, verdict: VERDICT.DELIVERED },
    ];
    capture.received(writeRows(rows), rows.length);
    capture.finish();
    expect(take().frames).toEqual([3]);
    capture.sent(writeRows(rows), rows.length);
    capture.finish();
    expect(take().frames).toEqual([3, 1]);
  });

  test("a piece is handed over at 64 KiB, what is left when it has waited for a tenth of a second", () => {
    const { capture, writeRows, take, rings } = setUp(format);
    const row = { frame: frameOf(1000) };
    const perPiece = Math.ceil(65_536 / encoded(0, row.frame).length);
    const rows = Array.from({ length: 2 * perPiece + 5 }, () => row);
    capture.update(1_000_000);
    capture.received(writeRows(rows), rows.length);
    capture.update(1_000_099);
    expect(take().frames).toEqual([2 * perPiece]); // two, taken as one
    expect(rings()).toBe(0);
    capture.update(1_000_100);
    expect(rings()).toBe(1);
    expect(take().frames).toEqual([2 * perPiece, 5]);
    capture.update(2_000_000);
    expect(rings()).toBe(1); // nothing waits
  });

  test("the longest frame fits behind a piece that is almost full; a longer one is lost, and counted", () => {
    const { capture, writeRows, take } = setUp(format);
    const small = { frame: frameOf(100) };
    const most = Math.ceil(65_536 / encoded(0, small.frame).length) - 1;
    const rows = [...Array.from({ length: most }, () => small), { frame: frameOf(FRAME_LONGEST) }, small];
    capture.received(writeRows(rows), rows.length);
    capture.received(writeRows([{ frame: frameOf(FRAME_LONGEST + 1) }, small]), 2);
    capture.finish();
    expect(take().frames.reduce((sum, count) => sum + count)).toBe(most + 3);
    expect([capture.frames, capture.lost]).toEqual([most + 3, 1]);
  });

  test("a writer that stands still for hours loses nothing that has room", () => {
    const { capture, writeRows, take } = setUp(format);
    const row = writeRows([{ frame: frameOf(60) }]);
    const count = 20_000;
    for (let index = 0; index < count; index++) {
      capture.received(row, 1);
      capture.update(1_000_000 + 1000 * index);
    }
    capture.finish();
    expect([capture.frames, capture.lost]).toEqual([count, 0]);
    expect(take().bytes.length).toBe(count * encoded(0, frameOf(60)).length);
  });

  test("of damaged ends whole records count, whatever frames hold", () => {
    const { whole, count } = portCaptureForm(format, "host1/nic1");
    const frame = Buffer.alloc(65_504, 0);
    frame.writeUInt32BE(256, 224); // as the end of a block of 256 octets, were it of the other byte order
    const one = encoded(0, frame);
    const bytes = Buffer.concat([one, one.subarray(0, -1)]);
    expect([whole(bytes), count(bytes)]).toEqual([one.length, 1]);
    expect([whole(one.subarray(0, 7)), count(one.subarray(0, 7))]).toEqual([0, 0]);
  });

  test("what a full queue refuses is lost, and counted", () => {
    const { capture, writeRows, take } = setUp(format, 100_000);
    const rows = Array.from({ length: 200 }, () => ({ frame: frameOf(1000) }));
    capture.received(writeRows(rows), rows.length);
    capture.finish();
    const [frames] = take().frames;
    expect(frames).toBeGreaterThan(60);
    expect(capture.frames).toBe(frames);
    expect(capture.lost).toBe(rows.length - frames!);
  });
});
