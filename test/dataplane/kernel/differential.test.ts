/**
 * The kernel makes the same bytes as the plain interpreter (`support/differential.ts`), whatever the burst size, and with a table
 * that is far too small. `npm run soak` runs the same for long.
 */
import { expect, test } from "vitest";
import {
  BATCH_PACKETS,
  type Batch,
  explain,
  inBursts,
  type KernelTally,
  makeTally,
  randomBatch,
  runBatch,
} from "../../support/differential.js";
import { kernelModule } from "../../support/kernel.js";
import { seededRandom } from "../../support/random.js";

const PACKETS = 200_000;
const kernel = kernelModule();

function expectSame(batch: Batch, seed: number, tally?: KernelTally): ReturnType<typeof runBatch>["engine"] {
  const { difference, engine } = runBatch(batch, { kernel, ...(tally ? { tally } : {}) });
  if (difference) expect.fail(explain(batch, difference, seed, { kernel }));
  return engine;
}

const NEVER = {
  new: Infinity,
  tcpEstablished: Infinity,
  tcpClosing: Infinity,
  udp: Infinity,
  icmp: Infinity,
  other: Infinity,
};

test(`the kernel makes the same bytes as the plain interpreter, ${PACKETS} packets`, { timeout: 120_000 }, () => {
  const random = seededRandom();
  const tally = makeTally();
  for (let done = 0; done < PACKETS; done += BATCH_PACKETS) {
    const seed = done === 0 ? random.seed : random.bits();
    expectSame(randomBatch(seed), seed, tally);
  }
  expect(tally.missing, `seed ${random.seed}: all kinds of packets, decisions and ends came up`).toEqual([]);
  const { hits } = tally.counts.flow as { hits: number };
  expect(hits, "most packets repeat a flow, so a table that never hits is broken").toBeGreaterThan(PACKETS / 5);
});

test("bursts of any size give the same bytes, counters included", () => {
  const { seed } = seededRandom();
  // Entries that age are looked at between bursts, so how many there are depends on the bursts.
  const batch = { ...randomBatch(seed, 3000), flowCapacity: 4096, idleTimeouts: NEVER };
  const whole = expectSame(inBursts(batch, 256), seed);
  for (const burst of [1, 7, 32, 33]) {
    const other = expectSame(inBursts(batch, burst), seed);
    expect(other.totals(), `seed ${seed}, burst ${burst}`).toEqual(whole.totals());
    expect(other.flowCounters(), `seed ${seed}, burst ${burst}`).toEqual(whole.flowCounters());
    expect(other.reasonCounts(), `seed ${seed}, burst ${burst}`).toEqual(whole.reasonCounts());
  }
});

test("a table that is far too small costs speed, never a wrong byte", () => {
  const random = seededRandom();
  let evictions = 0;
  // Of one lab in thirty hardly any flow is ever worth an entry.
  for (let batch = 0; batch < 4; batch++) {
    const seed = batch === 0 ? random.seed : random.bits();
    const flows = expectSame({ ...randomBatch(seed, 5000), flowCapacity: 8 }, seed).flowCounters();
    expect(flows.entries, `seed ${seed}`).toBeLessThanOrEqual(8);
    evictions += flows.evictions;
  }
  expect(evictions, `seed ${random.seed}`).toBeGreaterThan(100);
});
