import { expect, it } from "vitest";
import { Ring } from "../../../../src/io/live/xdp/ring.js";

const LAYOUT = { producer: 0, consumer: 64, flags: 128, entries: 192 };
const mapping = () => new ArrayBuffer(192 + 8 * 8);

it("a ring that we fill: room, until the kernel has taken something; the indexes wrap at 2^32", () => {
  const bytes = mapping();
  const kernel = new Uint32Array(bytes);
  const ring = new Ring(bytes, LAYOUT, 8);
  const start = 0xffff_fffc;
  ring.own = start;
  ring.theirs = start;
  kernel[16] = start;
  expect(ring.room(100)).toBe(8);
  ring.own = (ring.own + 8) >>> 0;
  ring.publish();
  expect(kernel[0]).toBe(4);
  expect([ring.room(1), ring.isTaken]).toEqual([0, false]);
  kernel[16] = 1; // five taken, across the wrap
  expect(ring.room(100)).toBe(5);
  kernel[16] = 4;
  expect([ring.isTaken, ring.room(3)]).toEqual([true, 3]);
});

it("a ring that the kernel fills: what is available; the indexes wrap at 2^32", () => {
  const bytes = mapping();
  const kernel = new Uint32Array(bytes);
  const ring = new Ring(bytes, LAYOUT, 8);
  ring.own = ring.theirs = 0xffff_fffe;
  kernel[0] = 0xffff_fffe;
  expect(ring.available(10)).toBe(0);
  kernel[0] = 3;
  expect([ring.available(2), ring.available(10)]).toEqual([2, 5]);
  ring.own = (ring.own + 5) >>> 0;
  ring.consumed();
  expect([kernel[16], ring.available(10)]).toEqual([3, 0]);
});

it("the kernel says in the flags whether it sleeps", () => {
  const bytes = mapping();
  const ring = new Ring(bytes, LAYOUT, 8);
  expect(ring.needsWakeup).toBe(false);
  new Uint32Array(bytes)[32] = 1;
  expect(ring.needsWakeup).toBe(true);
});
