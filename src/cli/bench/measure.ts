/** What every measurement needs: a clock, median and spread, the digest that makes results comparable, random order. */

/** Nanoseconds on a clock that all threads of the process share. */
export const nowNs = (): bigint => process.hrtime.bigint();

export interface Summary {
  readonly median: number;
  /** Half the distance between the extremes, as a share of the median. */
  readonly spread: number;
}

/** Of at least one value. */
export function summary(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1]!;
  return { median, spread: (sorted.at(-1)! - sorted[0]!) / 2 / median };
}

const DIGEST_START = 0x811c9dc5;

/** FNV-1a over bytes, to be continued from `digest`. */
export function digestOf(bytes: Uint8Array, digest: number = DIGEST_START): number {
  for (let at = 0; at < bytes.length; at++) digest = Math.imul(digest ^ bytes[at]!, 0x01000193);
  return digest >>> 0;
}

/** Eight hexadecimal digits. */
export const hex = (digest: number): string => digest.toString(16).padStart(8, "0");

/** A generator of whole numbers below a limit; the same seed gives the same numbers. */
export function makeRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}
