/**
 * How many frames a port may make responders send: a bucket of tokens per port, filled by time.
 *
 * It bounds what a VM that asks without end costs others, and is the limit that RFC 4443 §2.4 (f) and RFC 1812 §4.3.2.8 demand
 * for error messages. Time is that of the packets. Where it goes back, as it does in merged captures, a bucket fills no further.
 */
export class AnswerLimit {
  readonly #tokens: Float64Array;
  readonly #filledMs: Float64Array;

  /** `perSecond` answers a second for each port, and as many at once after a pause. */
  constructor(
    ports: number,
    private readonly perSecond: number,
  ) {
    this.#tokens = new Float64Array(ports).fill(perSecond);
    this.#filledMs = new Float64Array(ports).fill(Number.NEGATIVE_INFINITY);
  }

  /** May `count` frames be sent because of a packet that entered at this port at this time? */
  take(port: number, count: number, nowMs: number): boolean {
    const elapsedMs = Math.max(0, nowMs - this.#filledMs[port]!);
    this.#filledMs[port] = Math.max(nowMs, this.#filledMs[port]!);
    const tokens = Math.min(this.perSecond, this.#tokens[port]! + (elapsedMs * this.perSecond) / 1000);
    this.#tokens[port] = tokens >= count ? tokens - count : tokens;
    return tokens >= count;
  }
}
