/** Calls in batches: by io_uring and one after the other, which must not differ but in what they cost. */
import { createRequire } from "node:module";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type CallBatch, SingleCalls } from "../../../src/io/live/call-batch.js";
import { block, ERRNO, IOVEC, O_NONBLOCK, type System, system } from "../../../src/io/live/system.js";
import { openRing } from "../../../src/io/live/uring.js";

const SIZE = 8;
const EBADF = 9;

const isLinux = process.platform === "linux" && ["x64", "arm64"].includes(process.arch);

/** A pipe's ends, from which one reads and to which one writes. */
function makePipe(): [number, number] {
  const koffi = createRequire(import.meta.url)("koffi");
  const ends = new Int32Array(2);
  expect(koffi.load(null).func("int pipe2(void *ends, int flags)")(ends, O_NONBLOCK)).toBe(0);
  return [ends[0]!, ends[1]!];
}

function hasRing(): boolean {
  const [from, to] = makePipe();
  const ring = openRing(system(), SIZE, from);
  ring?.close();
  for (const end of [from, to]) system().close(end);
  return ring !== null;
}

const isRingHere = isLinux && hasRing();
if (!isRingHere) console.warn("SKIPPED: io_uring: the system has none, or not for us");

const kinds: [string, (system: System, descriptor: number) => CallBatch][] = [
  ["one after the other", (calls) => new SingleCalls(calls, SIZE)],
  ...(isRingHere
    ? [["io_uring", (calls, descriptor) => openRing(calls, SIZE, descriptor)!] as (typeof kinds)[number]]
    : []),
];

describe.runIf(isLinux).each(kinds)("%s", (_, open) => {
  const calls = isLinux ? system() : (undefined as never);
  const memory = block(4096);
  let from: number;
  let to: number;
  let batch: CallBatch;

  beforeEach(() => {
    [from, to] = makePipe();
    batch = open(calls, from);
    memory.bytes.fill(0);
  });
  afterEach(() => {
    batch.close();
    calls.close(from);
    calls.close(to);
  });

  const address = (at: number): number => calls.addressOf(memory.bytes.buffer as ArrayBuffer) + at;
  const results = (): number[] => Array.from({ length: batch.run() }, (__, index) => batch.result(index));

  /** A text in two pieces, as an offload header and its frame are written. */
  function write(text: string): void {
    const at = memory.bytes.length - 256;
    memory.bytes.set(Buffer.from(text), at);
    for (const [index, [from, length]] of [
      [at, 1],
      [at + 1, text.length - 1],
    ].entries()) {
      const iovec = memory.bytes.length - 128 + index * IOVEC.SIZE;
      memory.view.setBigUint64(iovec, BigInt(address(from!)), true);
      memory.view.setBigUint64(iovec + IOVEC.LENGTH, BigInt(length!), true);
    }
    batch.writev(to, address(memory.bytes.length - 128), 2);
  }

  test("calls are made in order; where nothing is left, a read says so and does not wait", () => {
    for (let round = 0; round < 5; round++) {
      write("abcd");
      write("abcd");
      write("abcd");
      expect(results()).toEqual([4, 4, 4]);
      for (let slot = 0; slot < 5; slot++) batch.read(from, address(slot * 8), 4);
      expect(results()).toEqual([4, 4, 4, -ERRNO.EAGAIN, -ERRNO.EAGAIN]);
      for (let slot = 0; slot < 3; slot++)
        expect(Buffer.from(memory.bytes.subarray(slot * 8, slot * 8 + 8)).toString()).toBe("abcd\0\0\0\0");
    }
  });

  test("a full batch, again and again", () => {
    for (let round = 0; round < 7; round++) {
      for (let i = 0; i < SIZE; i++) write("xy");
      expect(results()).toEqual(Array(SIZE).fill(2));
      batch.read(from, address(0), 64);
      expect(results()).toEqual([2 * SIZE]);
    }
  });

  test("a descriptor that is not one, and an empty batch", () => {
    expect(results()).toEqual([]);
    batch.read(-1, address(0), 4);
    expect(results()).toEqual([-EBADF]);
    batch.read(from, address(0), 4);
    expect(results()).toEqual([-ERRNO.EAGAIN]);
  });
});
