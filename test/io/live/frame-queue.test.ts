/** The ring in which frames wait, against a plain list. */
import { expect, test } from "vitest";
import { ROW, ROW_SIZE } from "../../../src/dataplane/packet/layout.js";
import { PlainMemory } from "../../../src/io/capture/memory.js";
import { FrameQueue } from "../../../src/io/live/frame-queue.js";
import { seededRandom } from "../../support/random.js";

test("frames and their headroom keep apart, come in order, and fill the ring to its end and again", () => {
  const random = seededRandom();
  const memory = new PlainMemory();
  const queue = new FrameQueue(memory);
  const rows = memory.allocate(256 * ROW_SIZE);
  const waiting: { at: number; length: number; mark: number }[] = [];
  let full = 0;
  let mark = 0;
  for (let step = 0; step < 800; step++) {
    for (let burst = random.below(90); burst > 0; burst--) {
      const length = random.chance(0.1) ? random.between(9000, 65_549) : random.between(0, 1514);
      const at = queue.add(length);
      if (at === 0) {
        full++;
        continue;
      }
      mark = (mark + 1) & 0xff;
      memory.bytes.fill(mark, at - 128, at + length);
      waiting.push({ at, length, mark });
    }
    expect(queue.waiting).toBe(waiting.length);
    const count = queue.take(rows, random.between(1, 64), 77n);
    if (count > 0) expect(queue.take(rows, 64, 77n)).toBe(0);
    let bytes = 0;
    for (const [index, { at, length, mark: expected }] of waiting.splice(0, count).entries()) {
      const row = rows + index * ROW_SIZE;
      expect([memory.u32(row + ROW.OFFSET), memory.u32(row + ROW.LENGTH)]).toEqual([at, length]);
      const isWhole = memory.bytes.subarray(at - 128, at + length).every((octet) => octet === expected);
      expect(isWhole, `seed ${random.seed}, step ${step}`).toBe(true);
      bytes += length;
    }
    expect(bytes).toBeLessThanOrEqual(512 * 1024);
    queue.release();
  }
  expect(full, `seed ${random.seed}`).toBeGreaterThan(0);
});
