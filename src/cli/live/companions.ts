/**
 * The forwarding threads of one run tell each other what packets have taught them (`Companions`): neighbors, path MTUs, REDIRECTs, addresses
 * of VMs. Each of them has the whole lab, and comes to know all of it.
 *
 *     thread 0 ═ port ═ thread 1         a message for each effect; what was told before a frame left is there before the answer
 *         ╚═ port ═ thread 2 ═╝          to that can come
 *
 * Forwarding threads do not return to their event loop, so messages are taken from the ports by hand; a word for each thread counts those that
 * wait for it, and it is woken when that was 0. It may have heard all before it is: then it wakes once for nothing.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { Companions } from "../../dataplane/index.js";
import type { Effect, NodeIndex } from "../../dataplane/transposition/index.js";
import { type Pollable, Wakeup } from "../../io/index.js";

/** A thread that does not take what it is told is not told more than this. */
const WAITING_MAX = 65_536;
/** How long to wait for others before it is looked whether the run is to end. */
const JOIN_STEP_MS = 100;

/** Given to each thread at its birth; the port is to be transferred. */
export interface CompanionsJob {
  readonly worker: number;
  /** To all threads, in their order; null in its own place. */
  readonly ports: readonly (MessagePort | null)[];
  /** Of all threads: descriptors. */
  readonly wakeups: readonly number[];
  /** 32-bit words, shared: for each thread how many messages wait for it, and behind them how many threads are there. */
  readonly words: SharedArrayBuffer;
}

interface Message {
  readonly node: NodeIndex;
  readonly effect: Effect;
}

/** For so many threads; `close` when all have ended. */
export function makeCompanions(count: number): { readonly jobs: readonly CompanionsJob[]; close(): void } {
  const ports = Array.from({ length: count }, () => new Array<MessagePort | null>(count).fill(null));
  for (let a = 0; a < count; a++) {
    for (let b = a + 1; b < count; b++) {
      const { port1, port2 } = new MessageChannel();
      ports[a]![b] = port1;
      ports[b]![a] = port2;
    }
  }
  const wakeups = ports.map(() => new Wakeup());
  const shared = { wakeups: wakeups.map(({ descriptor }) => descriptor), words: new SharedArrayBuffer(4 * count + 4) };
  return {
    jobs: ports.map((own, worker) => ({ worker, ports: own, ...shared })),
    close: () => {
      for (const wakeup of wakeups) wakeup.close();
    },
  };
}

/** One thread's side. */
export class LiveCompanions implements Companions, Pollable {
  readonly isSpeaker: boolean;
  /** Effects that a thread was not told, since too many waited for it. */
  untold = 0;
  readonly #worker: number;
  readonly #ports: readonly (MessagePort | null)[];
  readonly #wakeups: readonly Wakeup[];
  readonly #words: Int32Array;

  constructor({ worker, ports, wakeups, words }: CompanionsJob) {
    this.isSpeaker = worker === 0;
    this.#worker = worker;
    this.#ports = ports;
    this.#wakeups = wakeups.map((descriptor) => new Wakeup(descriptor));
    this.#words = new Int32Array(words);
  }

  /** Readable when something was told. */
  get descriptor(): number {
    return this.#wakeups[this.#worker]!.descriptor;
  }

  /** Returns when all threads are there, or the run is to end. */
  join(stop: Int32Array): void {
    const words = this.#words;
    const joined = this.#ports.length;
    Atomics.add(words, joined, 1);
    Atomics.notify(words, joined);
    for (let count = 0; count < this.#ports.length && Atomics.load(stop, 0) === 0; ) {
      count = Atomics.load(words, joined);
      if (count < this.#ports.length) Atomics.wait(words, joined, count, JOIN_STEP_MS);
    }
  }

  tell(node: NodeIndex, effect: Effect): void {
    const message: Message = { node, effect };
    this.#ports.forEach((port, worker) => {
      if (port === null) return;
      if (Atomics.load(this.#words, worker) >= WAITING_MAX) {
        this.untold++;
        return;
      }
      port.postMessage(message);
      if (Atomics.add(this.#words, worker, 1) === 0) this.#wakeups[worker]!.ring();
    });
  }

  /** A ring may come when all has been heard: to be silenced here, whatever there is to hear. */
  woken(): void {
    this.#wakeups[this.#worker]!.reset();
  }

  /** Gives what the others have told since the last call, what each told in its order. Whoever tells more meanwhile need not wake us. */
  hear(take: (node: NodeIndex, effect: Effect) => void): void {
    for (let hasHeard = true; hasHeard && Atomics.load(this.#words, this.#worker) > 0; ) {
      hasHeard = false;
      for (const port of this.#ports) hasHeard = this.#hear(port, take) || hasHeard;
    }
  }

  /** False if nothing was told at this port. What a thread that has ended told may be lost though it was counted. */
  #hear(port: MessagePort | null, take: (node: NodeIndex, effect: Effect) => void): boolean {
    let hasHeard = false;
    if (port === null) return hasHeard;
    for (let received = receiveMessageOnPort(port); received; received = receiveMessageOnPort(port)) {
      Atomics.sub(this.#words, this.#worker, 1);
      const { node, effect } = received.message as Message;
      take(node, effect);
      hasHeard = true;
    }
    return hasHeard;
  }

  close(): void {
    for (const port of this.#ports) port?.close();
  }
}
