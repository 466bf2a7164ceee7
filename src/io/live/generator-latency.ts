/**
 * A histogram of times: exact below 64 ns, and from there on 32 steps to each doubling, so that no value is reported more than
 * a thirty-second too high. It takes 11 KiB, whatever it counts.
 *
 *     0 1 2 … 63 | 64 66 68 … 126 | 128 132 … 252 | 256 …
 */
const EXACT = 64;
const STEPS = 32;
/** Values below 2^48. */
const DOUBLINGS = 48 - 6;

/** Nanoseconds. */
export interface LatencySummary {
  readonly count: number;
  readonly min: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export class LatencyHistogram {
  readonly #counts = new Float64Array(EXACT + STEPS * DOUBLINGS);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;

  /** Counts a whole number of nanoseconds in [0, 2^48). */
  add(ns: number): void {
    this.#counts[placeOf(ns)]!++;
    this.#count++;
    this.#sum += ns;
    if (ns < this.#min) this.#min = ns;
    if (ns > this.#max) this.#max = ns;
  }

  /** The value that this share of all values does not exceed, or up to a thirty-second more. */
  quantile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let place = 0; place < this.#counts.length; place++) {
      seen += this.#counts[place]!;
      if (seen >= rank) return Math.min(lastOf(place), this.#max);
    }
    return this.#max;
  }

  /** Null while nothing was counted. */
  summary(): LatencySummary | null {
    if (this.#count === 0) return null;
    return {
      count: this.#count,
      min: this.#min,
      mean: this.#sum / this.#count,
      p50: this.quantile(0.5),
      p90: this.quantile(0.9),
      p99: this.quantile(0.99),
      p999: this.quantile(0.999),
      max: this.#max,
    };
  }
}

function placeOf(ns: number): number {
  if (ns < EXACT) return ns;
  const exponent = ns < 2 ** 32 ? 31 - Math.clz32(ns) : 63 - Math.clz32(ns / 2 ** 32);
  const step = Math.floor(ns / 2 ** (exponent - 5)) - STEPS;
  return EXACT + (exponent - 6) * STEPS + step;
}

/** The highest value that is counted at this place. */
function lastOf(place: number): number {
  if (place < EXACT) return place;
  const exponent = 6 + Math.floor((place - EXACT) / STEPS);
  const step = (place - EXACT) % STEPS;
  return (STEPS + step + 1) * 2 ** (exponent - 5) - 1;
}
