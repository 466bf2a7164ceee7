/** Pieces of captures between threads: in order, bounded, whole. */
import { expect, test } from "vitest";
import { CaptureQueue, makeCaptureQueue } from "../../../src/io/live/capture-queue.js";

const CAPACITY = 300;
const PIECES_MAX = 2048;

function ends(capacity = CAPACITY) {
  const bell = new Int32Array(new SharedArrayBuffer(8));
  const shared = makeCaptureQueue(capacity);
  return { putter: new CaptureQueue(shared, bell), taker: new CaptureQueue(shared, bell) };
}

const piece = (number: number) => ({
  bytes: new Uint8Array((number % 100) + 1).fill(number),
  frames: number,
});

/** What a queue of so many octets may refuse: each piece lies in the first gap, from the front, in which it fits. */
class Places {
  readonly #pieces: { at: number; end: number }[] = [];

  fits(length: number): boolean {
    const taken = this.#pieces.toSorted((a, b) => a.at - b.at);
    const begins = [0, ...taken.map(({ end }) => end)];
    const at = begins.find((begin, index) => begin + length <= (taken[index]?.at ?? CAPACITY));
    if (at !== undefined) this.#pieces.push({ at, end: at + length });
    return at !== undefined;
  }

  /** The oldest pieces, of so many octets, are gone. */
  drop(bytes: number): void {
    for (let left = bytes; left > 0; ) {
      const { at, end } = this.#pieces.shift()!;
      left -= end - at;
    }
  }
}

test("what is put comes out, in order, and only what has no room is refused", () => {
  const { putter, taker } = ends();
  const places = new Places();
  const sent: number[] = [];
  const received: number[] = [];
  let [frames, refused, joined] = [0, 0, 0];
  for (let round = 0; round < 1000; round++) {
    for (let i = 0; i < (round % 7) + 1; i++) {
      const next = piece(37 * round + 11 * i);
      const isPut = putter.put(next);
      expect(isPut).toBe(places.fits(next.bytes.length));
      if (isPut) sent.push(...next.bytes);
      else refused++;
      frames += isPut ? next.frames : 0;
    }
    for (let i = 0; i < round % 3; i++) {
      const got = taker.peek();
      if (!got) break;
      received.push(...got.bytes);
      if (new Set(got.bytes).size > 1) joined++;
      frames -= got.frames;
      taker.release();
      places.drop(got.bytes.length);
    }
  }
  for (let got = taker.peek(); got; got = taker.peek()) {
    received.push(...got.bytes);
    frames -= got.frames;
    taker.release();
  }
  expect(received).toEqual(sent);
  expect(frames).toBe(0);
  expect(refused).toBeGreaterThan(100);
  expect(joined).toBeGreaterThan(100);
});

test("what lies side by side comes as one piece", () => {
  const { putter, taker } = ends();
  putter.put(piece(1));
  putter.put(piece(2));
  expect(taker.peek()).toEqual({ bytes: Uint8Array.of(1, 1, 2, 2, 2), frames: 3 });
  putter.put(piece(3)); // comes too late for this one
  taker.release();
  expect(taker.peek()).toEqual(piece(3));
});

test("a writer that keeps up finds its pieces in the same octets", () => {
  const { putter, taker } = ends();
  for (let number = 0; number < 2000; number++) {
    putter.put(piece(number));
    expect(taker.peek()?.bytes.byteOffset).toBe(taker.peek()!.bytes.buffer.byteLength - CAPACITY);
    taker.release();
  }
});

test("a full queue refuses, and has room again when a piece is done with", () => {
  const { putter, taker } = ends();
  const third = { bytes: new Uint8Array(CAPACITY / 3), frames: 1 };
  for (let number = 0; number < 3; number++) expect(putter.put(third)).toBe(true);
  expect(putter.put(piece(0))).toBe(false);
  expect(taker.peek()).toEqual({ bytes: new Uint8Array(CAPACITY), frames: 3 });
  expect(putter.put(piece(0))).toBe(false); // they are still being written
  taker.release();
  for (let number = 0; number < 3; number++) expect(putter.put(third)).toBe(true);
  expect(putter.put(piece(0))).toBe(false);
});

test("no more pieces wait than can be described, however short they are", () => {
  const { putter, taker } = ends(2 * PIECES_MAX);
  for (let number = 0; number < PIECES_MAX; number++) expect(putter.put(piece(0))).toBe(true);
  expect(putter.put(piece(0))).toBe(false);
  expect(taker.peek()?.frames).toBe(0);
  taker.release();
  expect(putter.put(piece(0))).toBe(true);
});

test("a piece that is longer than the queue is refused; one as long as that is not", () => {
  expect(ends().putter.put({ bytes: new Uint8Array(CAPACITY + 1), frames: 1 })).toBe(false);
  expect(ends().putter.put({ bytes: new Uint8Array(CAPACITY), frames: 1 })).toBe(true);
});
