/**
 * How a forwarding loop waits for frames. A thread of its own sleeps in poll(2). The main thread must not: interfaces that come
 * through its event loop (`cap:`, `rawip:`, `pcap:`) get a turn after every round, and descriptors are polled beside it.
 */
import { type EventedInterface, type Pollable, Poller } from "../../io/index.js";

export interface Pause {
  /** After a round that had frames; undefined if nobody needs a turn. */
  turn(): Promise<void> | undefined;
  /** After a round without: until frames come, or for so long. */
  wait(timeoutMs: number): Promise<void> | undefined;
  /** Before the interfaces are closed. */
  end(): Promise<void> | undefined;
}

/** For interfaces, and whatever else can wake the loop. `round` is what there is to do when frames press. */
export type MakePause = (interfaces: readonly Pollable[], round: () => void) => Pause;

export class BlockingPause implements Pause {
  readonly #poller: Poller;

  constructor(interfaces: readonly Pollable[]) {
    this.#poller = new Poller(interfaces);
  }

  turn(): undefined {}

  wait(timeoutMs: number): undefined {
    this.#poller.wait(timeoutMs);
  }

  end(): undefined {}
}

/** A poll that nobody needs any more goes on for so long. */
const POLL_MS = 100;

export class EventLoopPause implements Pause {
  /** Null where no interface has a descriptor; then koffi is not needed either. */
  readonly #poller: Poller | null;
  #polling: Promise<void> | null = null;
  /** Something has come since the last wait began. */
  #isAwake = false;
  #wake: () => void = () => {};

  constructor(interfaces: readonly Pollable[], round: () => void) {
    this.#poller = interfaces.some(({ descriptor }) => descriptor !== null) ? new Poller(interfaces) : null;
    for (const live of interfaces) {
      if (!("onArrival" in live)) continue;
      (live as EventedInterface).onArrival = (isFull) => {
        if (isFull) round();
        this.#notice();
      };
    }
  }

  #notice(): void {
    this.#isAwake = true;
    this.#wake();
  }

  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  wait(timeoutMs: number): Promise<void> {
    const isAwake = this.#isAwake;
    this.#isAwake = false;
    if (isAwake || timeoutMs === 0) return this.turn();
    this.#polling ??= this.#poll();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #poll(): Promise<void> {
    if (this.#poller === null) return;
    await this.#poller.waitAside(POLL_MS);
    this.#polling = null;
    this.#notice(); // though none may be ready: whoever waits has to ask anew
  }

  async end(): Promise<void> {
    await this.#polling;
  }
}
