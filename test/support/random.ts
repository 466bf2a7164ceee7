/** Random numbers from a seed that is printed when a test fails, so that every failure can be seen again. */

/** A seeded generator (xorshift32 with a multiply): same seed, same numbers, everywhere. */
export class Random {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = (seed ^ 0x9e37_79b9) >>> 0 || 1;
  }

  /** 32 random bits. */
  bits(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return Math.imul(x, 0x2c1b_3c6d) >>> 0;
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return this.bits() % below;
  }

  /** A whole number in [from, to]. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  chance(probability: number): boolean {
    return this.bits() < probability * 0x1_0000_0000;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at++) bytes[at] = this.bits();
    return bytes;
  }
}

/** HNV_TEST_SEED fixes the seed; otherwise each run draws another. */
export function seededRandom(): Random {
  const fixed = process.env.HNV_TEST_SEED;
  return new Random(fixed === undefined ? Math.floor(Math.random() * 0xffff_ffff) : Number(fixed));
}
