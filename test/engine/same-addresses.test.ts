/** Two tenants with the same addresses and the same MACs, on the same hosts: see `isolation.ts`. HNV_TEST_SEED repeats a run. */
import { expect, it } from "vitest";
import { kernelModule } from "../../src/kernel-file.js";
import { ISOLATION_VARIANTS, makeIsolationTally, runIsolation } from "../support/isolation.js";
import { Random, seededRandom } from "../support/random.js";

const ROUNDS = 2 * ISOLATION_VARIANTS;

it("two tenants with equal addresses and MACs never see an octet of each other: 50,000 random frames from VMs and wire", () => {
  const seeds = seededRandom();
  const tally = makeIsolationTally();
  for (let round = 0; round < ROUNDS; round++) {
    const seed = round === 0 ? seeds.seed : seeds.bits();
    try {
      runIsolation(new Random(seed), {
        frames: Math.ceil(50_000 / ROUNDS),
        kernel: kernelModule(),
        tally,
        variant: round % ISOLATION_VARIANTS,
      });
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`);
    }
  }
  expect(tally.missing).toEqual([]);
  const { got } = tally.counts;
  for (const [kind, count] of Object.entries(got!)) expect(count, `${kind}, seed ${seeds.seed}`).toBeGreaterThan(300);
}, 30_000);
