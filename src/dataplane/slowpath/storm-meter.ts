/**
 * How many packets of a kind each port may send in a second: windows of one second of the packets' time, counted by port
 * (Set-VMNetworkAdapter -StormLimit).
 *
 * A capture whose time goes back does not open a new window.
 */
const WINDOW_MS = 1_000;

export class StormMeter {
  /** The number of the window that each port is in, and what it has sent there. */
  readonly #windows: Float64Array;
  readonly #counts: Uint32Array;

  constructor(ports: number) {
    this.#windows = new Float64Array(ports).fill(Number.NEGATIVE_INFINITY);
    this.#counts = new Uint32Array(ports);
  }

  /** Counts a packet that entered at the port at this time; false if it is beyond `limit` in its window. */
  take(port: number, limit: number, nowMs: number): boolean {
    const window = Math.floor(nowMs / WINDOW_MS);
    if (window > this.#windows[port]!) {
      this.#windows[port] = window;
      this.#counts[port] = 0;
    }
    if (this.#counts[port]! >= limit) return false;
    this.#counts[port]!++;
    return true;
  }
}
