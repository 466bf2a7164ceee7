/** A script's text, places in it, and what can be wrong there. */

/** A place that people can find. */
export interface Position {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
}

/** An operator's script as text; files are opened elsewhere. */
export interface ScriptText {
  /** For messages. */
  readonly name: string;
  readonly text: string;
}

/** Offsets of a text to lines and columns. A place is worked out when somebody asks for it. */
export class Script {
  readonly #starts: number[] = [0];

  constructor(
    readonly name: string,
    readonly text: string,
  ) {
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#starts.push(at + 1);
  }

  position(offset: number): Position {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return { file: this.name, line: low + 1, column: offset - this.#starts[low]! + 1 };
  }
}

/** Where a part of the syntax tree begins. */
export interface Place {
  readonly script: Script;
  readonly offset: number;
}

export const positionOf = ({ script, offset }: Place): Position => script.position(offset);

/** What ends the reading or the running of a script, at a place. */
export abstract class ScriptError extends Error {
  constructor(
    /** Stable: programs compare it. */
    readonly code: string,
    message: string,
    readonly place: Place,
    /** What would help. */
    readonly cure?: string,
  ) {
    super(message);
  }
}

/** The text is not PowerShell, or of a kind that is not read here. */
export class SyntaxProblem extends ScriptError {}

/** The script asks for more time or memory than it is given. A script cannot catch it. */
export class LimitReached extends ScriptError {}

/**
 * An error of the running script: a catch block takes it. Otherwise it ends the statement it happened in, or, where it was thrown or
 * errors are to stop, the script.
 */
export class RuntimeProblem extends ScriptError {
  constructor(
    code: string,
    message: string,
    place: Place,
    cure?: string,
    readonly endsScript = false,
  ) {
    super(code, message, place, cure);
  }
}
