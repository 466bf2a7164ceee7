/** What all benches share, in part with `hnv bench`. */
import b from "benny";

import { makeRandom } from "../../dist/cli/bench/measure.js";

export { digestOf, hex, makeRandom, summary } from "../../dist/cli/bench/measure.js";

/** Tiny, against rot: `--quick`. Figures of a quick run mean nothing. */
export const quick = process.argv.includes("--quick");

export const seconds = (work) => {
  const began = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - began) / 1e9;
};

export const spreadText = ({ spread }) => `± ${(100 * spread).toFixed(0)} %`;

/** `count` numbers of flows, each flow about equally often, in random order. */
export function shuffled(count, flows) {
  const random = makeRandom(1);
  const order = Uint32Array.from({ length: count }, (_, index) => index % flows);
  for (let index = count - 1; index > 0; index--) {
    const other = random(index + 1);
    [order[index], order[other]] = [order[other], order[index]];
  }
  return order;
}

/** One benny suite. `cases` maps names to functions; each call of one does `perCall` pieces of work. Charts are saved. */
export async function bennySuite(name, file, perCall, cases) {
  const options = quick ? { minSamples: 1, maxTime: 0.01 } : { minSamples: 20, maxTime: 1 };
  const saved = ["chart.html", "json"].map((format) =>
    b.save({ file, folder: "bench/results", format, details: true }),
  );
  await b.suite(
    name,
    ...Object.entries(cases).map(([title, work]) => b.add(title, work, options)),
    ...(quick ? [] : [b.cycle()]),
    b.complete(({ results }) => {
      for (const { name: title, details, margin } of results) {
        const nanoseconds = (details.median * 1e9) / perCall;
        console.log(`${nanoseconds.toFixed(1).padStart(9)} ns ± ${margin.toFixed(0)} %   ${title}`);
      }
    }),
    ...(quick ? [] : saved),
  );
}
