/**
 * What is to happen at which time: a queue ordered by time, and among equal times by the order in which things were put in.
 */
interface Item<Thing> {
  readonly atMs: number;
  readonly order: number;
  readonly thing: Thing;
}

/** A binary heap: putting in and taking out cost the logarithm of how much is in it. */
export class Agenda<Thing> {
  readonly #heap: Item<Thing>[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** The time of what comes next; null if nothing does. */
  get nextMs(): number | null {
    return this.#heap[0]?.atMs ?? null;
  }

  put(atMs: number, thing: Thing): void {
    const heap = this.#heap;
    const item = { atMs, order: this.#order++, thing };
    let at = heap.length;
    for (let above = (at - 1) >> 1; at > 0 && isBefore(item, heap[above]!); above = (at - 1) >> 1) {
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = item;
  }

  /** Takes out what comes next, if it is due by then. */
  takeDue(byMs: number): Thing | undefined {
    const first = this.#heap[0];
    if (!first || first.atMs > byMs) return undefined;
    const last = this.#heap.pop()!;
    if (last !== first) this.#sink(last);
    return first.thing;
  }

  /** Puts an item where the first one was, and down to its place. */
  #sink(item: Item<Thing>): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++;
      if (below >= heap.length || !isBefore(heap[below]!, item)) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = item;
  }
}

const isBefore = <Thing>(a: Item<Thing>, b: Item<Thing>): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
