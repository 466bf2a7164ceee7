/** Waits for several descriptors at once (poll(2)). */
import { POLLFD, POLLIN, type System, system } from "./system.js";

/** What can be waited for, and told that its descriptor reports an error, or has become readable. */
export interface Pollable {
  readonly descriptor: number | null;
  check?(): void;
  woken?(): void;
}

const TROUBLE = ~POLLIN;

export class Poller {
  readonly #system: System = system();
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(private readonly pollables: readonly Pollable[]) {
    this.#bytes = new Uint8Array(pollables.length * POLLFD.SIZE);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Returns when one is readable, reports an error, or the time is over. Those with an error are checked. */
  wait(timeoutMs: number): void {
    this.#ask();
    if (this.#system.poll(this.#bytes, this.pollables.length, timeoutMs) > 0) this.#pass();
  }

  /** The same, but the event loop goes on meanwhile. One at a time. */
  async waitAside(timeoutMs: number): Promise<void> {
    this.#ask();
    const count = await this.#system.pollAside(this.#bytes, this.pollables.length, timeoutMs);
    if (count > 0) this.#pass();
  }

  #ask(): void {
    this.pollables.forEach(({ descriptor }, index) => {
      const at = index * POLLFD.SIZE;
      this.#view.setInt32(at, descriptor ?? -1, true); // poll passes over negative ones
      this.#view.setInt16(at + POLLFD.EVENTS, POLLIN, true);
      this.#view.setInt16(at + POLLFD.REVENTS, 0, true);
    });
  }

  #pass(): void {
    this.pollables.forEach((pollable, index) => {
      const events = this.#view.getUint16(index * POLLFD.SIZE + POLLFD.REVENTS, true);
      if ((events & TROUBLE) !== 0) pollable.check?.();
      if ((events & POLLIN) !== 0) pollable.woken?.();
    });
  }
}
