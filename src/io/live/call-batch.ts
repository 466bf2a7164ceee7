/**
 * Many calls of read(2) and writev(2) at the price of one: by io_uring (`uring.ts`), where the system lets us have it, else one after the other.
 *
 *     read, read, … or writev, writev, … ─► run ─► result(0), result(1), …
 */
import { ERRNO, type System } from "./system.js";

/** Calls that are made in order, on descriptors that do not wait (O_NONBLOCK). */
export interface CallBatch {
  /** Adds a call; at most as many as the batch holds before the next `run`. Addresses stay valid until then. */
  read(descriptor: number, to: number, length: number): void;
  writev(descriptor: number, iovecs: number, count: number): void;
  /** Makes the calls, and gives how many. Their results stand until the next call is added. */
  run(): number;
  /** What call `index` of the last `run` gave: octets, or −errno. */
  result(index: number): number;
  close(): void;
}

/** For systems without io_uring, and those that forbid it (containers, `kernel.io_uring_disabled`): a call each, when it is added. */
export class SingleCalls implements CallBatch {
  readonly #results: Int32Array;
  #added = 0;
  #isEmpty = false;

  constructor(
    private readonly system: System,
    size: number,
  ) {
    this.#results = new Int32Array(size);
  }

  /** Where one read found nothing, those behind it are spared. */
  read(descriptor: number, to: number, length: number): void {
    const result = this.#isEmpty ? -ERRNO.EAGAIN : this.system.read(descriptor, to, length);
    this.#isEmpty = result < 0;
    this.#results[this.#added++] = result;
  }

  writev(descriptor: number, iovecs: number, count: number): void {
    this.#results[this.#added++] = this.system.writev(descriptor, iovecs, count);
  }

  run(): number {
    const added = this.#added;
    this.#added = 0;
    this.#isEmpty = false;
    return added;
  }

  result(index: number): number {
    return this.#results[index]!;
  }

  close(): void {}
}
