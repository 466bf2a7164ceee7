/** The capture scanner with an assertion in front of every memory access (`support/capture-fuzz.ts`). */
import { expect, test } from "vitest";
import { ROW_SIZE } from "../../../src/dataplane/packet/layout.js";
import { PlainMemory } from "../../../src/io/capture/memory.js";
import type { Scanner } from "../../../src/io/capture/scanner.js";
import { CaptureFuzz, makeCaptureTally } from "../../support/capture-fuzz.js";
import { buildCheckedModule, Fences, READ, WRITE } from "../../support/fences.js";
import { seededRandom } from "../../support/random.js";

const capture = buildCheckedModule("capture");

test("the scanner touches nothing but what it was given, damaged captures included", { timeout: 120_000 }, () => {
  const random = seededRandom();
  const tally = makeCaptureTally();
  const fuzz = new CaptureFuzz(capture, tally);
  for (let round = 0; round < 500; round++) {
    try {
      fuzz.round(random);
    } catch (error) {
      throw new Error(`seed ${random.seed}, round ${round}: ${(error as Error).message}`);
    }
  }
  expect(tally.missing, `seed ${random.seed}`).toEqual([]);
});

test("an assertion that fails names function, address and length", () => {
  const memory = new PlainMemory();
  const [buffer, rows] = [memory.allocate(64), memory.allocate(ROW_SIZE)];
  const { exports } = new WebAssembly.Instance(capture.module, { env: { memory: memory.memory } });
  const scan = (bytes: number) => (exports as unknown as Scanner).scanRecords(buffer, bytes, rows, 1, 99, 16, 1, 0, 0);
  const fences = new Fences(memory, capture.sites);
  fences.open("the rows", rows, ROW_SIZE, WRITE);
  fences.open("the buffer", buffer, 16, READ);
  expect(fences.guard(() => scan(buffer + 16))).toBe(1);
  fences.closeTo(1);
  fences.open("the buffer", buffer, 15, READ);
  const where = `at ${buffer + 12}; byte ${buffer + 15} is 0 behind the end of the buffer [${buffer}, ${buffer + 15})`;
  expect(() => fences.guard(() => scan(buffer + 16))).toThrow(
    `i32.load in src/io/assembly/index/scanRecords reads 4 bytes ${where}`,
  );
});
