/** What a script's run has to say: errors, warnings, what was skipped, and the script's own output. Each list is bounded, and counts what it leaves out. */
import { type Place, type Position, positionOf, type ScriptError } from "./script.js";
import { Table, Thing, toText, Unknown, type Value } from "./values.js";

export interface Message extends Position {
  readonly code: string;
  readonly message: string;
  readonly cure: string | null;
}

/** A command that is not known here, and where it stands. */
export interface Skipped extends Position {
  readonly command: string;
}

/** A parameter that was taken and changes nothing in a lab. */
export interface Ignored extends Position {
  readonly parameter: string;
}

const MESSAGES_MAX = 1000;
const OUTPUT_LINES_MAX = 1000;
const LINE_LENGTH_MAX = 400;

export class Journal {
  readonly errors: Message[] = [];
  readonly warnings: Message[] = [];
  readonly skipped: Skipped[] = [];
  readonly ignored: Ignored[] = [];
  readonly output: string[] = [];
  /** Messages and lines beyond the limits. */
  leftOut = 0;
  readonly #said = new Set<string>();

  error(error: ScriptError): void {
    const message = { ...positionOf(error.place), code: error.code, message: error.message, cure: error.cure ?? null };
    this.#put(this.errors, message, `${error.code} ${error.message}`, message);
  }

  warn(code: string, message: string, place: Place, cure?: string): void {
    this.#put(
      this.warnings,
      { ...positionOf(place), code, message, cure: cure ?? null },
      `${code} ${message}`,
      positionOf(place),
    );
  }

  skip(command: string, place: Place): void {
    const name = command.length > 60 ? `${command.slice(0, 57)}...` : command;
    this.#put(this.skipped, { ...positionOf(place), command: name }, `skip ${name}`, positionOf(place));
  }

  note(parameter: string, place: Place): void {
    this.#put(this.ignored, { ...positionOf(place), parameter }, `note ${parameter}`, positionOf(place));
  }

  /** What is said again of the same place, in a loop, is said once. */
  #put<T>(list: T[], item: T, key: string, { file, line, column }: Position): void {
    const whole = `${key} ${file} ${line} ${column}`;
    if (this.#said.has(whole)) return;
    if (list.length >= MESSAGES_MAX) this.leftOut++;
    else {
      this.#said.add(whole);
      list.push(item);
    }
  }

  say(text: string): void {
    for (const line of text.split("\n")) {
      if (this.output.length >= OUTPUT_LINES_MAX) this.leftOut++;
      else this.output.push(line.length > LINE_LENGTH_MAX ? `${line.slice(0, LINE_LENGTH_MAX)}…` : line);
    }
  }

  /** As PowerShell lists what nobody takes from the pipeline. */
  print(value: Value): void {
    const properties =
      value instanceof Table ? value : value instanceof Thing && value.text === null ? value.properties : null;
    if (!properties) {
      this.say(toText(value));
      return;
    }
    const entries = properties.entries();
    const width = Math.max(0, ...entries.map(([name]) => name.length));
    for (const [name, inner] of entries) {
      this.say(`${name.padEnd(width)} : ${inner instanceof Unknown ? "" : toText(inner)}`);
    }
    this.say("");
  }
}
