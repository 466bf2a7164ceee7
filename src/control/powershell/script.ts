/** A script's text, places in it, and what can be wrong there. */

import { Lines } from "../fabric-file/lines.js";

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

/** A script that is being read. A place in it is an offset until somebody asks for line and column. */
export class Script {
  #lines: Lines | undefined;

  constructor(
    readonly name: string,
    readonly text: string,
  ) {}

  position(offset: number): Position {
    this.#lines ??= new Lines(this.text);
    return { file: this.name, ...this.#lines.position(offset) };
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
