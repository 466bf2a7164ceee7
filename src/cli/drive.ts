/**
 * Drives frames through an engine, from captures to captures, burst by burst, until the inputs end, an output fails or the
 * user has had enough.
 */
import type { Engine } from "../dataplane/index.js";
import type { CaptureOutput } from "../io/index.js";
import type { Arrivals } from "./arrivals.js";
import type { Departure } from "./departures.js";
import { failure } from "./errors.js";
import { Progress } from "./terminal.js";

export interface Drive {
  readonly engine: Engine;
  readonly arrivals: Arrivals;
  /** The outputs in the order in which they look at a burst. */
  readonly departures: readonly Departure[];
  /** Must the streams be empty before an input goes on? So it is where outputs look back at the records of the input. */
  readonly drainsBeforeMore?: boolean;
}

/** Runs to the end. Outputs get their names; if anything goes wrong on the way they are given up as FILE.partial. */
export async function drive({ engine, arrivals, departures, drainsBeforeMore = false }: Drive): Promise<void> {
  const { rows } = engine.memory;
  const interruption = new Interruption();
  const progress = new Progress();
  try {
    do {
      for (let count = arrivals.fill(rows); count > 0; count = arrivals.fill(rows)) {
        for (const _ of engine.run(count)) {
          for (const departure of departures) {
            const work = departure.afterBurst();
            if (work) await work;
          }
        }
        progress.update(() => engine.totals().in);
        interruption.check();
      }
      if (drainsBeforeMore) await drainAll(departures);
    } while (await interruption.unless(arrivals.more()));
    for (const _ of engine.passTime(engine.nowMs + OVERTIME_MS)) {
      for (const departure of departures) await departure.afterBurst();
    }
    await drainAll(departures);
  } catch (error) {
    for (const output of outputsOf(departures)) await output.abandon();
    throw error;
  } finally {
    progress.clear();
    interruption.end();
  }
  await finishAll(outputsOf(departures));
}

/** How long the clock runs on behind the last frame for what nodes still have to do. */
const OVERTIME_MS = 10_000;

const outputsOf = (departures: readonly Departure[]): readonly CaptureOutput[] =>
  departures.flatMap((departure) => departure.outputs);

async function drainAll(departures: readonly Departure[]): Promise<void> {
  for (const departure of departures) await departure.drain();
}

/** Gives all outputs their names; if one fails the others are still finished, for they are whole. */
export async function finishAll(outputs: readonly CaptureOutput[]): Promise<void> {
  const failures: unknown[] = [];
  for (const output of outputs) {
    await output.finish().catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** Signals so close behind the first are the same wish: timeout(1) sends one to the process and one to its group. */
export const SAME_WISH_MS = 200;

/**
 * A signal ends the run between two bursts (or batches), or while it waits for an input. A second one ends the process, which may wait for
 * somebody who does not read what it writes.
 */
export class Interruption {
  #signal: NodeJS.Signals | undefined;
  #firstMs: number | undefined;
  /** Ends the waiting of `unless`. */
  #interrupt: () => void = () => {};
  readonly #listener = (signal: NodeJS.Signals): void => {
    this.#firstMs ??= performance.now();
    if (performance.now() - this.#firstMs >= SAME_WISH_MS) {
      this.end();
      process.kill(process.pid, signal); // does what it does where nobody listens
      return;
    }
    this.#signal = signal;
    this.#interrupt();
    this.notify();
  };

  /** `notify` is called when a signal has come. */
  constructor(private readonly notify: () => void = () => {}) {
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  check(): void {
    if (this.#signal) throw failure(`ended by ${this.#signal}; what was written so far stays as FILE.partial`);
  }

  /** Waits for one thing at a time. A promise of the signal, raced with each, would keep them all until it comes. */
  async unless<Result>(work: Promise<Result>): Promise<Result> {
    const settled = work.then(
      () => {},
      () => {}, // it may fail after nobody waits for it any more
    );
    this.check();
    await new Promise<void>((resolve) => {
      this.#interrupt = resolve;
      settled.then(resolve);
    });
    this.check();
    return work;
  }

  end(): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }
}
