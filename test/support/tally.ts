/** Counts by group and kind, all kinds named beforehand, so that one sees which never came up. */

export type Kinds = Record<string, readonly string[]>;

export class Tally<K extends Kinds> {
  readonly #counts: Record<string, Record<string, number>>;

  constructor(kinds: K) {
    this.#counts = Object.fromEntries(
      Object.entries(kinds).map(([group, names]) => [group, Object.fromEntries(names.map((name) => [name, 0]))]),
    );
  }

  /** Throws for a kind that was not named: then something happened that nobody expected. */
  count<G extends keyof K & string>(group: G, kind: K[G][number], n = 1): void {
    const counts = this.#counts[group]!;
    if (counts[kind] === undefined) throw new Error(`${group} "${kind}" was not expected`);
    counts[kind] += n;
  }

  /** As plain data, for another process's `add`. */
  get counts(): Readonly<Record<string, Readonly<Record<string, number>>>> {
    return this.#counts;
  }

  add(counts: Tally<K>["counts"]): void {
    for (const [group, kinds] of Object.entries(counts))
      for (const [kind, n] of Object.entries(kinds)) this.count(group, kind, n);
  }

  /** What never happened: "flow uncached". */
  get missing(): string[] {
    return Object.entries(this.#counts).flatMap(([group, kinds]) =>
      Object.entries(kinds).flatMap(([kind, n]) => (n === 0 ? [`${group} ${kind}`] : [])),
    );
  }

  /** A line for each group. */
  toString(): string {
    return Object.entries(this.#counts)
      .map(
        ([group, kinds]) =>
          `${group.padEnd(9)} ${Object.entries(kinds)
            .map((pair) => pair.join(" "))
            .join(", ")}`,
      )
      .join("\n");
  }
}
