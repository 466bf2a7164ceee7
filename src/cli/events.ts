/** What the nodes of a lab told while it ran: the last part of a report, and on request one JSON object per line in a file. */
import { closeSync, openSync, writeSync } from "node:fs";
import type { TimedEvent } from "../dataplane/index.js";
import type { Lab } from "../vswitch/index.js";
import { failure } from "./errors.js";
import { countOf, formatNumber, table } from "./terminal.js";

/** More than anybody reads; the file of `--events` has all. */
const KEPT_MAX = 1000;
const SHOWN_MAX = 20;

/** `{"timeMs":…,"node":"host1","kind":…,…}` */
export type EventResult = Readonly<Record<string, string | number | null>>;

export class EventLog {
  readonly #first: TimedEvent[] = [];
  #file: number | undefined;
  #count = 0;
  #names: readonly string[] = [];

  /** `path`: where all events go, once it is open. */
  constructor(readonly path: string | undefined) {}

  /** Begins the file. What was in it is gone, so this comes when nothing can be refused any more. */
  open(): void {
    if (this.path === undefined) return;
    try {
      this.#file = openSync(this.path, "w");
    } catch (error) {
      throw failure(`${this.path}: ${(error as Error).message}`);
    }
    for (const event of this.#first) this.#write(this.#file, event);
  }

  /** Names nodes from here on. */
  watch({ engine }: Lab): void {
    this.#names = engine.nodes.map(({ name }) => name);
  }

  hear(event: TimedEvent): void {
    this.#count++;
    if (this.#first.length < KEPT_MAX) this.#first.push(event);
    if (this.#file !== undefined) this.#write(this.#file, event);
  }

  #write(file: number, event: TimedEvent): void {
    try {
      writeSync(file, `${JSON.stringify(this.#result(event))}\n`);
    } catch (error) {
      throw failure(`${this.path}: ${(error as Error).message}`);
    }
  }

  end(): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }

  get count(): number {
    return this.#count;
  }

  /** The first thousand. */
  results(): readonly EventResult[] {
    return this.#first.map((event) => this.#result(event));
  }

  #result({ timeMs, node, event }: TimedEvent): EventResult {
    return { timeMs, node: this.#names[node]!, ...event };
  }

  /** For people: when, counted from the first frame, where and what; and how many events of the lab came too late. */
  report(startMs: number | null, notReached = 0): readonly string[] {
    const late =
      notReached > 0
        ? [`${countOf(notReached, "event")} not reached: later than ten seconds after the last frame`]
        : [];
    if (this.#count === 0) return late;
    const rows = this.#first.slice(0, SHOWN_MAX).map((event) => {
      const { timeMs, node, kind, ...details } = this.#result(event);
      const seconds = ((timeMs as number) - (startMs ?? 0)) / 1000;
      const words = Object.entries(details).map(([name, value]) => `${name} ${value}`);
      return [`+${seconds.toFixed(3)} s`, String(node), String(kind), words.join(", ")];
    });
    const more = this.#count - rows.length;
    return [
      countOf(this.#count, "event"),
      ...table(rows),
      ...(more > 0 ? [`and ${formatNumber(more)} more`] : []),
      ...late,
    ];
  }
}
