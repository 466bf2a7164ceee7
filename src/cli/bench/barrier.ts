/** Where threads wait for each other, so that all begin a round of measuring at the same moment. */

const ARRIVED = 0;
const ROUND = 1;

export class Barrier {
  readonly #cells: Int32Array;
  readonly #parties: number;

  /** `shared` is what `Barrier.allocate` gave; `parties` threads meet here, as often as they like. */
  constructor(shared: SharedArrayBuffer, parties: number) {
    this.#cells = new Int32Array(shared);
    this.#parties = parties;
  }

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);
  }

  /** Returns when all parties have called it. Blocks the thread. */
  wait(): void {
    const round = Atomics.load(this.#cells, ROUND);
    if (Atomics.add(this.#cells, ARRIVED, 1) + 1 === this.#parties) {
      Atomics.store(this.#cells, ARRIVED, 0);
      Atomics.add(this.#cells, ROUND, 1);
      Atomics.notify(this.#cells, ROUND);
      return;
    }
    while (Atomics.load(this.#cells, ROUND) === round) Atomics.wait(this.#cells, ROUND, round);
  }
}
