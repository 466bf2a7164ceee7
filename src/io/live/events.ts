/** Counts what happens to an interface besides frames, by name. */
export class EventCounts {
  readonly #counts = new Map<string, number>();

  count(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  /** `malformed`: frames that contradict their offload header, which the intake has counted. */
  all(malformed = 0): Readonly<Record<string, number>> {
    return { ...Object.fromEntries(this.#counts), ...(malformed > 0 && { malformed }) };
  }
}
