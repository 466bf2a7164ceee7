/**
 * What a script may use up: steps, each of which is a node of its syntax tree carried out, an object looked at or some characters copied. So an
 * endless loop ends, and ends the import, with one error; and memory has a limit, since whatever is built has been paid for.
 */
import { LimitReached, type Place } from "./script.js";

export interface Limits {
  readonly steps: number;
  readonly textLength: number;
  readonly listLength: number;
  /** Calls and statements within each other. */
  readonly depth: number;
}

/** Enough for some 100,000 records; a few seconds. */
export const LIMITS: Limits = { steps: 20_000_000, textLength: 1_000_000, listLength: 200_000, depth: 400 };

const CHARACTERS_PER_STEP = 16;
const ELEMENTS_PER_STEP = 4;

export class Budget {
  #left: number;
  #depth = 0;

  constructor(readonly limits: Limits) {
    this.#left = limits.steps;
  }

  spend(steps: number, place: Place): void {
    this.#left -= steps;
    if (this.#left >= 0) return;
    const cure = "does a loop never end?";
    throw new LimitReached("SCRIPT_TOO_LONG", `the script takes more than ${this.limits.steps} steps`, place, cure);
  }

  /** Before a text of this length is made. */
  text(length: number, place: Place): void {
    if (length > this.limits.textLength) {
      const message = `a text would have more than ${this.limits.textLength} characters`;
      throw new LimitReached("SCRIPT_TEXT_TOO_LONG", message, place);
    }
    this.spend(1 + Math.max(0, length) / CHARACTERS_PER_STEP, place);
  }

  /** Before a list or table of this length is made, with so many elements copied for it. */
  list(length: number, place: Place, copied = length): void {
    if (length > this.limits.listLength) {
      const message = `a list would have more than ${this.limits.listLength} elements`;
      throw new LimitReached("SCRIPT_LIST_TOO_LONG", message, place);
    }
    this.spend(1 + Math.max(0, copied) / ELEMENTS_PER_STEP, place);
  }

  /** Carries something out within what is being carried out. */
  within<T>(place: Place, work: () => T): T {
    if (this.#depth >= this.limits.depth) {
      const message = `calls and statements are nested more than ${this.limits.depth} deep`;
      throw new LimitReached("SCRIPT_CALLS_TOO_DEEP", message, place, "does a function call itself without end?");
    }
    this.#depth++;
    try {
      return work();
    } finally {
      this.#depth--;
    }
  }
}
