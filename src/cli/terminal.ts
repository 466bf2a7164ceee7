/** Text for people: tables, numbers, colours and progress. Colours and progress appear on terminals only. */

type Stream = NodeJS.WriteStream & { readonly fd: 1 | 2 };

export const out = (text: string): void => {
  process.stdout.write(`${text}\n`);
};
export const err = (text: string): void => {
  process.stderr.write(`${text}\n`);
};
export const printJson = (value: unknown): void => out(JSON.stringify(value, null, 2));

export type Style = "bold" | "dim" | "red" | "green" | "yellow";
const CODES: Readonly<Record<Style, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

/** Colours for what goes to this stream; plain text where it is no terminal or NO_COLOR is set. */
export function painter(stream: Stream = process.stdout): (style: Style, text: string) => string {
  const isColourful = stream.isTTY === true && !process.env.NO_COLOR;
  return (style, text) => (isColourful ? `\u001b[${CODES[style]}m${text}\u001b[0m` : text);
}

const NUMBERS = new Intl.NumberFormat("en-US");
/** `1,234,567` */
export const formatNumber = (value: number): string => NUMBERS.format(value);
/** `1 frame`, `2 frames` */
export const countOf = (count: number, one: string, many = `${one}s`): string =>
  `${formatNumber(count)} ${count === 1 ? one : many}`;
export const formatSeconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;

/** Lines with columns as wide as their widest cell; columns of numbers stand to the right. */
export function table(rows: readonly (readonly (string | number)[])[], indent = ""): string[] {
  const texts = rows.map((row) => row.map((cell) => (typeof cell === "number" ? formatNumber(cell) : cell)));
  const width = (column: number): number => Math.max(...texts.map((row) => row[column]?.length ?? 0));
  const isNumeric = (column: number): boolean => rows.some((row) => typeof row[column] === "number");
  return texts.map((row) => {
    const cells = row.map((cell, column) =>
      isNumeric(column) ? cell.padStart(width(column)) : cell.padEnd(width(column)),
    );
    return `${indent}${cells.join("  ")}`.trimEnd();
  });
}

const FIRST_MS = 1000;
const EVERY_MS = 200;

/** One line on a terminal's standard error that tells how far a long command is, from its first second on. */
export class Progress {
  #next = performance.now() + FIRST_MS;
  #isShown = false;
  readonly #isTerminal = process.stderr.isTTY === true;

  /** Cheap enough for every burst. */
  update(frames: () => number): void {
    if (!this.#isTerminal) return;
    const now = performance.now();
    if (now < this.#next) return;
    this.#next = now + EVERY_MS;
    this.#isShown = true;
    process.stderr.write(`\r${countOf(frames(), "frame")} …\u001b[K`);
  }

  clear(): void {
    if (this.#isShown) process.stderr.write("\r\u001b[K");
    this.#isShown = false;
  }
}
