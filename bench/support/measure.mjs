/** What all benches share: the smallest size, median and spread, and the digest that makes results comparable. */
import b from "benny";

/** Tiny, against rot: `--quick`. Figures of a quick run mean nothing. */
export const quick = process.argv.includes("--quick");

export const seconds = (work) => {
  const began = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - began) / 1e9;
};

/** Median, and half the distance between the extremes as a share of it. */
export function summary(values) {
  const sorted = [...values].sort((x, y) => x - y);
  const median = sorted[sorted.length >> 1];
  return { median, spread: (sorted.at(-1) - sorted[0]) / 2 / median };
}

export const spreadText = ({ spread }) => `± ${(100 * spread).toFixed(0)} %`;

const DIGEST_START = 0x811c9dc5;

/** FNV-1a over bytes, to be continued from `digest`. */
export function digestOf(bytes, digest = DIGEST_START) {
  for (let at = 0; at < bytes.length; at++) digest = Math.imul(digest ^ bytes[at], 0x01000193);
  return digest >>> 0;
}

export const hex = (digest) => digest.toString(16).padStart(8, "0");

/** A generator of numbers below `limit`; the same seed gives the same numbers. */
export function makeRandom(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

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
