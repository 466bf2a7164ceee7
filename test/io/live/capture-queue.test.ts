/** Pieces of captures between threads: in order, bounded, whole. */
import { expect, test } from "vitest";
import { CaptureQueue, makeCaptureQueue } from "../../../src/io/live/capture-queue.js";

const SLOTS = 16;

function ends() {
  const bell = new Int32Array(new SharedArrayBuffer(8));
  const shared = makeCaptureQueue(100);
  return { bell, putter: new CaptureQueue(shared, bell), taker: new CaptureQueue(shared, bell) };
}

const piece = (number: number) => ({ bytes: new Uint8Array((number % 100) + 1).fill(number), frames: number });

test("what is put comes out, in order, however often the circle is gone round", () => {
  const { putter, taker, bell } = ends();
  let taken = 0;
  let put = 0;
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < (round % SLOTS) + 1 && put - taken < SLOTS; i++) expect(putter.put(piece(put++))).toBe(true);
    for (let next = taker.peek(); next && taken < put - (round % 3); next = taker.peek()) {
      expect(next).toEqual(piece(taken++));
      taker.release();
    }
  }
  expect(taken).toBeGreaterThan(3 * SLOTS);
  expect(bell[0]).toBe(put);
});

test("a full queue refuses, and has room again when a piece is done with", () => {
  const { putter, taker } = ends();
  for (let number = 0; number < SLOTS; number++) expect(putter.put(piece(number))).toBe(true);
  expect(putter.put(piece(99))).toBe(false);
  expect(taker.peek()).toEqual(piece(0));
  expect(putter.put(piece(99))).toBe(false); // it is still being written
  taker.release();
  expect(putter.put(piece(99))).toBe(true);
});

test("a piece that is longer than a slot is refused", () => {
  expect(ends().putter.put({ bytes: new Uint8Array(101), frames: 1 })).toBe(false);
});
