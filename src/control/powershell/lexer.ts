/**
 * Walks through a script's text: white space, comments, names, numbers and quoted texts.
 *
 * PowerShell has no one stream of tokens: the same characters are a number behind `=` and a word behind a command's name. So
 * the parser asks for what may stand at a place, and this class knows how each looks.
 */
import { isDash, isDigit, isLetter, isNewline, isSingleQuote, isSpace, isWordCharacter } from "./characters.js";
import { type Place, type Script, SyntaxProblem } from "./script.js";

const ESCAPES: Readonly<Record<string, string>> = {
  "0": "\0",
  a: "\u0007",
  b: "\b",
  e: "\u001b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

export const NUMBER = /^[-+]?(?:0x[0-9a-f]+|\d+(?:\.\d+)?)(?:l|u|ul|kb|mb|gb)?$/i;

export class Lexer {
  #at = 0;

  constructor(
    protected readonly script: Script,
    /** Forgives what copying from pages does to scripts. */
    protected readonly isLenient: boolean,
  ) {}

  protected get at(): number {
    return this.#at;
  }

  protected get isAtEnd(): boolean {
    return this.#at >= this.script.text.length;
  }

  /** The character here, or so many further; empty behind the end. */
  protected peek(distance = 0): string {
    return this.script.text[this.#at + distance] ?? "";
  }

  protected skip(characters = 1): void {
    this.#at += characters;
  }

  /** Back to a place that was seen before. */
  protected rewind(at: number): void {
    this.#at = at;
  }

  protected here(at = this.#at): Place {
    return { script: this.script, offset: at };
  }

  protected wrong(message: string, at = this.#at, cure?: string): never {
    throw new SyntaxProblem("SCRIPT_SYNTAX", message, this.here(at), cure);
  }

  /** Takes these characters if they stand here. */
  protected take(text: string): boolean {
    if (!this.script.text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  protected expect(text: string, where: string): void {
    if (!this.take(text)) this.wrong(`expected ${text} ${where}${this.foundHere()}`);
  }

  protected foundHere(): string {
    if (this.isAtEnd) return ", found the end of the script";
    return isNewline(this.peek()) ? ", found the end of the line" : `, found ${JSON.stringify(this.peek())}`;
  }

  /** Blanks, comments and line ends behind a backtick. A # begins a comment where a token could begin, and nowhere else. */
  protected skipSpace(): void {
    for (;;) {
      const character = this.peek();
      if (isSpace(character)) this.skip();
      else if (character === "`" && this.#isContinued()) this.#skipContinuation();
      else if (character === "#") while (!this.isAtEnd && !isNewline(this.peek())) this.skip();
      else if (character === "<" && this.peek(1) === "#") this.#skipBlockComment();
      else return;
    }
  }

  /** Is the backtick here the last of its line? PowerShell takes no blanks behind it. */
  #isContinued(): boolean {
    let ahead = 1;
    while (this.isLenient && isSpace(this.peek(ahead))) ahead++;
    return isNewline(this.peek(ahead));
  }

  #skipContinuation(): void {
    this.skip();
    while (isSpace(this.peek())) this.skip();
    this.skipLineEnd();
  }

  #skipBlockComment(): void {
    const end = this.script.text.indexOf("#>", this.#at + 2);
    if (end < 0) this.wrong("the comment that opens here is never closed", this.#at, "end it with #>");
    this.#at = end + 2;
  }

  protected skipLineEnd(): boolean {
    if (this.take("\r\n")) return true;
    if (!isNewline(this.peek())) return false;
    this.skip();
    return true;
  }

  protected skipLines(): void {
    do this.skipSpace();
    while (this.skipLineEnd());
  }

  /** Line ends and semicolons between statements. */
  protected skipSeparators(): void {
    do this.skipLines();
    while (this.take(";"));
  }

  /** Letters, digits and underscores. */
  protected word(): string {
    const from = this.#at;
    while (isWordCharacter(this.peek())) this.skip();
    return this.script.text.slice(from, this.#at);
  }

  /** The word that begins here, in lower case, without taking it. */
  protected peekWord(): string {
    const from = this.#at;
    const word = isLetter(this.peek()) ? this.word() : "";
    this.#at = from;
    return word.toLowerCase();
  }

  /** Takes a keyword, in any case, if it stands here as a whole word. */
  protected keyword(...words: readonly string[]): string | undefined {
    const word = this.peekWord();
    if (!words.includes(word)) return undefined;
    this.skip(word.length);
    return word;
  }

  /** `-eq`: the operator's name in lower case, without taking it. */
  protected peekDashWord(): string {
    if (!isDash(this.peek()) || !isLetter(this.peek(1))) return "";
    const from = this.#at;
    this.skip();
    const word = this.word();
    this.#at = from;
    return word.toLowerCase();
  }

  /** A number of expression mode: 5001, 0x1389, 1.5, 4kb. */
  protected number(): { readonly value: number; readonly text: string } | undefined {
    const [text] = /^(?:0x[0-9a-f]+|\d+(?:\.\d+)?|\.\d+)(?:l|kb|mb|gb)?(?![\p{L}\p{N}_])/iu.exec(
      this.script.text.slice(this.#at, this.#at + 64),
    ) ?? [undefined];
    if (text === undefined) return undefined;
    this.skip(text.length);
    return { value: numberValue(text), text };
  }

  /** '…' with '' for one quote; behind the opening quote. */
  protected singleQuoted(from: number): string {
    let value = "";
    for (;;) {
      if (this.isAtEnd) this.wrong("the quote that opens here is never closed", from);
      const character = this.peek();
      this.skip();
      if (!isSingleQuote(character)) value += character;
      else if (isSingleQuote(this.peek())) {
        value += "'";
        this.skip();
      } else return value;
    }
  }

  /** What a backtick and the character behind it stand for; behind the backtick. A line end is swallowed. */
  protected escaped(): string {
    if (this.skipLineEnd()) return "";
    const character = this.peek();
    this.skip();
    return ESCAPES[character] ?? character;
  }

  /** Behind @" or @': the rest of the line must be empty. */
  protected beginHereString(from: number): void {
    while (isSpace(this.peek())) this.skip();
    if (!this.skipLineEnd()) this.wrong("a here-string begins with its quote at the end of a line", from);
  }

  /** Is this the line end, quote and @ that end a here-string? Then takes them. `isFirst`: at the beginning of its first line. */
  protected endHereString(isQuote: (character: string) => boolean, isFirst: boolean): boolean {
    const from = this.#at;
    if ((isFirst || this.skipLineEnd()) && isQuote(this.peek()) && this.peek(1) === "@") {
      this.skip(2);
      return true;
    }
    this.#at = from;
    return false;
  }

  /** The inside of a type's or attribute's brackets, behind the opening one. */
  protected bracketed(from: number): string {
    const start = this.#at;
    for (let depth = 1; ; this.skip()) {
      const character = this.peek();
      if (character === "" || isNewline(character)) this.wrong("the bracket that opens here is not closed", from);
      if (character === "[") depth++;
      if (character === "]" && --depth === 0) break;
    }
    const inside = this.script.text.slice(start, this.#at);
    this.skip();
    return inside;
  }

  protected get isAtDigit(): boolean {
    return isDigit(this.peek()) || (this.peek() === "." && isDigit(this.peek(1)));
  }
}

const UNITS: Readonly<Record<string, number>> = { kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30 };

/** The value of a text that NUMBER matches. */
export function numberValue(text: string): number {
  const sign = text.startsWith("-") ? -1 : 1;
  const bare = text.replace(/^[-+]/, "").toLowerCase();
  const unit = /(?:kb|mb|gb)$/.exec(bare)?.[0];
  const isHex = bare.startsWith("0x");
  const digits = bare.replace(isHex ? /(?:l|u|ul)$/ : /[a-z]+$/, "");
  return sign * Number(digits) * (unit && !isHex ? UNITS[unit]! : 1);
}
