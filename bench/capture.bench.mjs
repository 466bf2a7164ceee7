/**
 * Capture files: how fast records are scanned into rows, and how fast the frames of a stream reach a file, against `cp` of the
 * same file in the same run. Everything lies in a memory file system where there is one.
 *
 * What is timed is whole: opening, reading or writing to the end, renaming. `--quick` runs tiny, against rot. Each line ends in
 * a checksum of what was seen, so that no work can be skipped.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROW_SIZE, STREAM, STREAM_ITEM, STREAM_ITEM_SIZE } from "../dist/dataplane/packet/index.js";
import { allocateStream, createCapture, openCapture, PlainMemory } from "../dist/io/index.js";

const quick = process.argv.includes("--quick");
const ROUNDS = quick ? 1 : 5;
const BYTES = quick ? 2_000_000 : 400_000_000;
const STREAM_BYTES = 4 * 1024 * 1024;
const BURST = 256;
const BURST_BYTES = 512 * 1024;

const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "hnv-bench-"));
try {
  for (const format of ["pcap", "pcapng"]) for (const length of [64, 1500]) await measure(format, length);
} finally {
  rmSync(folder, { recursive: true });
}

async function measure(format, length) {
  const path = join(folder, `frames.${format}`);
  const count = Math.floor(BYTES / (length + 32));
  const write = await median(() => writeFrames(path, format, length, count));
  const size = statSync(path).size;
  const scan = await median(() => scanFrames(path));
  const copy = await median(async () => {
    execFileSync("cp", [path, `${path}.copy`]);
    return size;
  });
  rmSync(path);
  for (const [what, { seconds, spread, checksum }] of Object.entries({ scan, write })) {
    const rate = (count / seconds / 1e6).toFixed(1).padStart(6);
    const gigabytes = (size / seconds / 1e9).toFixed(2);
    const ratio = (copy.seconds / seconds).toFixed(2);
    const head = `${what.padEnd(5)} ${format.padEnd(6)} ${String(length).padStart(4)} bytes`;
    const tail = `± ${(100 * spread).toFixed(0)} %   checksum ${checksum}`;
    console.log(`${head}: ${rate} million frames/s, ${gigabytes} GB/s, ${ratio} of cp   ${tail}`);
  }
}

async function scanFrames(path) {
  const memory = new PlainMemory();
  const rows = memory.allocate(BURST * ROW_SIZE);
  const reader = await openCapture(path, memory);
  do {
    while (reader.fill(rows, 0, BURST, BURST_BYTES) > 0);
  } while (await reader.more());
  await reader.close();
  if (reader.damage) throw reader.damage;
  return reader.frameCount;
}

/** The stream is filled as the kernel would leave it, outside of the timed part as far as possible: only frames' places are set. */
async function writeFrames(path, format, length, count) {
  const memory = new PlainMemory();
  const writer = await createCapture(path, { format, isNanoseconds: true });
  const perStream = Math.floor(STREAM_BYTES / (length + writer.gapBytes));
  const stream = allocateStream(memory, STREAM_BYTES, perStream, writer.gapBytes);
  const view = new DataView(memory.memory.buffer);
  const places = [];
  for (let half = 0; half < 2; half++) {
    places.push(listOf(stream, view, length, perStream));
    stream.swap();
  }
  for (let written = 0, half = 0; written < count; half ^= 1) {
    const part = Math.min(perStream, count - written);
    memory.bytes.set(places[half].subarray(0, part * STREAM_ITEM_SIZE), stream.list);
    view.setUint32(stream.address + STREAM.LIST_COUNT, part, true);
    view.setUint32(stream.address + STREAM.CURSOR, stream.base + part * (length + writer.gapBytes), true);
    await writer.drainStream(stream);
    written += part;
  }
  await writer.finish();
  return statSync(path).size;
}

function listOf(stream, view, length, count) {
  for (let index = 0; index < count; index++) {
    const item = stream.itemAt(index);
    view.setUint32(item + STREAM_ITEM.OFFSET, stream.base + index * (length + stream.gap) + stream.gap, true);
    view.setUint32(item + STREAM_ITEM.LENGTH, length, true);
    view.setUint32(item + STREAM_ITEM.SEQUENCE, index, true);
    view.setBigUint64(item + STREAM_ITEM.TIMESTAMP, 1_700_000_000_000_000_000n + BigInt(index), true);
  }
  return stream.memory.bytes.slice(stream.list, stream.itemAt(count));
}

async function median(work) {
  const times = [];
  let checksum = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const began = process.hrtime.bigint();
    checksum = await work();
    times.push(Number(process.hrtime.bigint() - began) / 1e9);
  }
  times.sort((a, b) => a - b);
  const seconds = times[times.length >> 1];
  return { seconds, spread: (times.at(-1) - times[0]) / 2 / seconds, checksum };
}
