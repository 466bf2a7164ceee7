/** Time for a live run: one reading of the monotonic clock per round. */
export class Clock {
  readonly #start = process.hrtime.bigint();
  /** What the monotonic clock must be added to for nanoseconds since the epoch; a step of the system's clock is not followed. */
  readonly #epoch = BigInt(Date.now()) * 1_000_000n - this.#start;
  /** Nanoseconds since the epoch. */
  nowNs = this.#epoch + this.#start;
  /** Whole milliseconds since this clock was made. */
  nowMs = 0;

  advance(): void {
    const now = process.hrtime.bigint();
    this.nowNs = this.#epoch + now;
    this.nowMs = Number((now - this.#start) / 1_000_000n);
  }
}
