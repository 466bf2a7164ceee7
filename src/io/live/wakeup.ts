/**
 * Wakes another thread of this process that sleeps in poll(2), by a counter of the kernel (eventfd(2)). Threads know it by its descriptor;
 * who made it closes it, when no thread uses it any more.
 */
import type { Pollable } from "./poller.js";
import { type System, system } from "./system.js";

export class Wakeup implements Pollable {
  readonly #system: System = system();

  /** Without a descriptor it makes one. */
  constructor(readonly descriptor: number = system().eventCounter()) {}

  ring(): void {
    this.#system.countEvent(this.descriptor);
  }

  /** It has been heard. */
  reset(): void {
    this.#system.takeEvents(this.descriptor);
  }

  close(): void {
    this.#system.close(this.descriptor);
  }
}
