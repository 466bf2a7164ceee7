/** Pieces of captures between threads: in order, bounded, whole. */
import { expect, test } from "vitest";
import { CaptureQueue, makeCaptureQueue } from "../../../src/io/live/capture-queue.js";

const CAPACITY = 300;
const PIECES_MAX = 1024;

function ends(capacity = CAPACITY) {
  const bell = new Int32Array(new SharedArrayBuffer(8));
  const shared = makeCaptureQueue(capacity);
  return { putter: new CaptureQueue(shared, bell), taker: new CaptureQueue(shared, bell) };
}

const piece = (number: number) => ({ bytes: new Uint8Array((number % 100) + 1).fill(number), frames: number });

test("what is put comes out, in order, however often the circle is gone round", () => {
  const { putter, taker } = ends();
  let taken = 0;
  let put = 0;
  let refused = 0;
  for (let round = 0; round < 1000; round++) {
    for (let i = 0; i < (round % 7) + 1; i++) {
      if (putter.put(piece(put))) put++;
      else refused++;
    }
    for (let next = taker.peek(); next && taken < put - (round % 3); next = taker.peek()) {
      expect(next).toEqual(piece(taken++));
      taker.release();
    }
  }
  expect(taken).toBeGreaterThan(1000);
  expect(refused).toBeGreaterThan(100);
});

test("a full queue refuses, and has room again when a piece is done with", () => {
  const { putter, taker } = ends();
  const third = { bytes: new Uint8Array(CAPACITY / 3), frames: 1 };
  for (let number = 0; number < 3; number++) expect(putter.put(third)).toBe(true);
  expect(putter.put(piece(0))).toBe(false);
  expect(taker.peek()).toEqual(third);
  expect(putter.put(piece(0))).toBe(false); // it is still being written
  taker.release();
  expect(putter.put(third)).toBe(true);
  expect(putter.put(piece(0))).toBe(false);
});

test("no more pieces wait than can be described, however short they are", () => {
  const { putter, taker } = ends(2 * PIECES_MAX);
  for (let number = 0; number < PIECES_MAX; number++) expect(putter.put(piece(0))).toBe(true);
  expect(putter.put(piece(0))).toBe(false);
  taker.release();
  expect(putter.put(piece(0))).toBe(true);
});

test("a piece that is longer than the circle is refused; one as long as that is not", () => {
  expect(ends().putter.put({ bytes: new Uint8Array(CAPACITY + 1), frames: 1 })).toBe(false);
  expect(ends().putter.put({ bytes: new Uint8Array(CAPACITY), frames: 1 })).toBe(true);
});
