/**
 * Expressions, by precedence, the loosest first:
 *
 *     -and -or -xor │ -band -bor -bxor │ -eq -match -in … │ + - │ * / % │ -f │ .. │ , │ ! -not - [cast] ++ │ .member [index] (call)
 *
 * What stands in brackets are statements again; those are read by the parser that extends this one.
 */
import { isDash, isDigit, isDoubleQuote, isLetter, isNewline, isSingleQuote, isWordCharacter } from "./characters.js";
import { Lexer, NUMBER, numberValue } from "./lexer.js";
import { LimitReached, type Place } from "./script.js";
import type { Block, Expression, Statement, Variable } from "./syntax.js";

/** Brackets, blocks and operators within each other. */
const DEPTH_MAX = 200;

/** Named operators by their precedence; what may stand before their name (c, i) is in `operatorNamed`. */
const LOGICAL = ["and", "or", "xor"];
const BITWISE = ["band", "bor", "bxor", "shl", "shr"];
const COMPARISON = [
  ...["eq", "ne", "lt", "le", "gt", "ge", "like", "notlike", "match", "notmatch", "replace", "split"],
  ...["contains", "notcontains", "in", "notin", "is", "isnot", "as", "join"],
];
const CASED = new Set(COMPARISON.slice(0, COMPARISON.indexOf("is")));
const UNARY = ["not", "bnot", "join", "split"];
const SCOPES = ["using", "script", "global", "local", "private", "env", "variable", "workflow", "function"];
/** What ends a bare word of a command line. */
const WORD_ENDS = "(){},;|&<>";

export abstract class ExpressionParser extends Lexer {
  #depth = 0;
  /** Commas build lists, but divide arguments of methods and parameters. */
  #isDividedByCommas = false;
  /** Calls that stand as arguments without brackets around them; only where that is taken. */
  readonly bareCalls: Place[] = [];

  /** Statements up to a closing bracket, which is taken. */
  protected abstract statementsUntil(close: string, from: number): readonly Statement[];
  /** One statement within ( ). */
  protected abstract groupedStatement(): Statement;
  /** A script block, behind its opening brace. */
  protected abstract block(from: number): Block;

  protected nested<T>(read: () => T): T {
    if (++this.#depth > DEPTH_MAX) {
      throw new LimitReached("SCRIPT_TOO_DEEP", `nested more than ${DEPTH_MAX} levels deep`, this.here());
    }
    const result = read();
    this.#depth--;
    return result;
  }

  /** Reads an expression that ends at a comma. */
  protected dividedByCommas<T>(read: () => T): T {
    return this.#withCommas(true, read);
  }

  #withCommas<T>(divide: boolean, read: () => T): T {
    const before = this.#isDividedByCommas;
    this.#isDividedByCommas = divide;
    const result = read();
    this.#isDividedByCommas = before;
    return result;
  }

  expression(): Expression {
    return this.nested(() => this.#named(LOGICAL, () => this.#named(BITWISE, () => this.#comparison())));
  }

  #comparison(): Expression {
    return this.#named(COMPARISON, () => this.#additive());
  }

  /** Left to right, operators with these names. */
  #named(names: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      this.skipSpace();
      const place = this.here();
      const word = this.peekDashWord();
      const operator = operatorNamed(word, names);
      if (operator === undefined) return left;
      this.skip(word.length + 1);
      this.skipLines();
      left = { kind: "binary", operator, left, right: operand(), place };
    }
  }

  #additive(): Expression {
    return this.#signed(
      () => (this.peek() === "+" || (isDash(this.peek()) && !isLetter(this.peek(1)))) && this.#isLonely(),
      () =>
        this.#signed(
          () => "*/%".includes(this.peek() || " ") && this.#isLonely(),
          () => this.#format(),
        ),
    );
  }

  /** No ++, --, += and the like. */
  #isLonely(): boolean {
    const [first, second] = [this.peek(), this.peek(1)];
    return second !== "=" && !(first === "+" && second === "+") && !(isDash(first) && isDash(second));
  }

  #signed(isHere: () => boolean, operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      this.skipSpace();
      if (!isHere()) return left;
      const place = this.here();
      const operator = isDash(this.peek()) ? "-" : this.peek();
      this.skip();
      this.skipLines();
      left = { kind: "binary", operator, left, right: operand(), place };
    }
  }

  #format(): Expression {
    return this.#named(["f"], () => this.#range());
  }

  #range(): Expression {
    const left = this.list();
    this.skipSpace();
    const place = this.here();
    if (!this.take("..")) return left;
    this.skipLines();
    return { kind: "binary", operator: "..", left, right: this.list(), place };
  }

  protected list(): Expression {
    const first = this.unary();
    this.skipSpace();
    if (this.#isDividedByCommas || this.peek() !== ",") return first;
    const items = [first];
    while (this.take(",")) {
      this.skipLines();
      items.push(this.unary());
      this.skipSpace();
    }
    return { kind: "list", items, place: first.place };
  }

  protected unary(): Expression {
    return this.nested(() => {
      this.skipSpace();
      const place = this.here();
      const word = this.peekDashWord();
      const named = operatorNamed(word, UNARY);
      if (named !== undefined) {
        this.skip(word.length + 1);
        this.skipLines();
        return { kind: "unary", operator: named, operand: this.unary(), place };
      }
      const [first, second] = [this.peek(), this.peek(1)];
      if ((isDash(first) && isDash(second)) || (first === "+" && second === "+")) {
        this.skip(2);
        this.skipSpace();
        return { kind: "step", by: first === "+" ? 1 : -1, isPrefix: true, target: this.unary(), place };
      }
      if (first === "!" || first === "," || first === "+" || isDash(first)) {
        this.skip();
        this.skipLines();
        return { kind: "unary", operator: isDash(first) ? "-" : first, operand: this.unary(), place };
      }
      if (first === "[") return this.#typeOrCast();
      return this.#postfix(this.#primary());
    });
  }

  #typeOrCast(): Expression {
    const place = this.here();
    this.skip();
    const type = this.bracketed(place.offset).trim();
    if (this.peek() === ":" && this.peek(1) === ":") return this.#postfix({ kind: "type", type, place });
    this.skipSpace();
    const isOperand = /[$@("'\u2018-\u201e[{\p{L}\p{N}.!+-]/u.test(this.peek() || " ") && !this.#isOperatorHere();
    return isOperand ? { kind: "cast", type, operand: this.unary(), place } : { kind: "type", type, place };
  }

  #isOperatorHere(): boolean {
    const word = this.peekDashWord();
    return [LOGICAL, COMPARISON].some((names) => operatorNamed(word, names) !== undefined);
  }

  /** Members, indexes and calls, without blanks before them. */
  #postfix(target: Expression): Expression {
    let value = target;
    for (;;) {
      const place = this.here();
      const isStatic = this.peek() === ":" && this.peek(1) === ":";
      if (isStatic || (this.peek() === "." && this.peek(1) !== "." && this.#isMemberAhead())) {
        this.skip(isStatic ? 2 : 1);
        value = this.#member(value, isStatic, place);
      } else if (this.peek() === "[") {
        this.skip();
        this.skipLines();
        const index = this.#withCommas(false, () => this.expression());
        this.skipLines();
        this.expect("]", "behind an index");
        value = { kind: "index", target: value, index, place };
      } else if (this.peek() === "+" && this.peek(1) === "+") {
        this.skip(2);
        value = { kind: "step", by: 1, isPrefix: false, target: value, place };
      } else if (isDash(this.peek()) && isDash(this.peek(1))) {
        this.skip(2);
        value = { kind: "step", by: -1, isPrefix: false, target: value, place };
      } else return value;
    }
  }

  #isMemberAhead(): boolean {
    const next = this.peek(1);
    return isLetter(next) || next === "$" || next === "(" || isDoubleQuote(next) || isSingleQuote(next);
  }

  #member(target: Expression, isStatic: boolean, place: Expression["place"]): Expression {
    const at = this.here();
    const name: Expression = isLetter(this.peek())
      ? { kind: "literal", value: this.word(), text: undefined, place: at }
      : this.#primary();
    if (this.peek() !== "(") return { kind: "member", target, name, isStatic, place };
    this.skip();
    const args: Expression[] = [];
    this.skipLines();
    while (this.peek() !== ")") {
      args.push(this.dividedByCommas(() => this.expression()));
      this.skipLines();
      if (!this.take(",")) break;
      this.skipLines();
    }
    this.expect(")", "behind the arguments of a method");
    return { kind: "call", target, name, isStatic, args, place };
  }

  /** In brackets of any kind, commas build lists again. */
  #primary(): Expression {
    return this.#withCommas(false, () => this.#bracketsOrValue());
  }

  #bracketsOrValue(): Expression {
    const place = this.here();
    const from = this.at;
    const [first, second] = [this.peek(), this.peek(1)];
    if (first === "$" && second === "(") {
      this.skip(2);
      return { kind: "subexpression", body: this.statementsUntil(")", from), place };
    }
    if (first === "$") return this.variable();
    if (first === "(") {
      this.skip();
      this.skipLines();
      const body = this.groupedStatement();
      this.skipLines();
      this.expect(")", "for the bracket opened before");
      return { kind: "group", body, place };
    }
    if (first === "@") return this.#at(from);
    if (isDoubleQuote(first) || isSingleQuote(first)) return this.quoted();
    if (first === "{") {
      this.skip();
      return { kind: "block", block: this.block(from), place };
    }
    const number = this.isAtDigit ? this.number() : undefined;
    if (number) {
      const text = String(number.value) === number.text ? undefined : number.text;
      return { kind: "literal", value: number.value, text, place };
    }
    return this.wrong(`expected a value${this.foundHere()}`);
  }

  /** @( ), @{ }, @"…"@ and @'…'@ */
  #at(from: number): Expression {
    const place = this.here(from);
    const second = this.peek(1);
    this.skip(2);
    if (second === "(") return { kind: "array", body: this.statementsUntil(")", from), place };
    if (second === "{") return this.#hash(from);
    if (isDoubleQuote(second)) return this.#hereString(from);
    if (!isSingleQuote(second)) this.wrong("expected (, { or a quote behind @", from);
    this.beginHereString(from);
    let value = "";
    for (let isFirst = true; !this.endHereString(isSingleQuote, isFirst); isFirst = false) {
      if (this.isAtEnd)
        this.wrong(
          "the here-string that opens here is never closed",
          from,
          "end it with '@ at the beginning of a line",
        );
      value += this.peek();
      this.skip();
    }
    return { kind: "literal", value: withoutReturns(value), text: undefined, place };
  }

  #hash(from: number): Expression {
    const entries: (readonly [Expression, Statement])[] = [];
    for (;;) {
      this.skipSeparators();
      if (this.take("}")) return { kind: "hash", entries, place: this.here(from) };
      if (this.isAtEnd) this.wrong("the table that opens here is never closed", from);
      const place = this.here();
      const key: Expression = isLetter(this.peek())
        ? { kind: "literal", value: this.#hashWord(), text: undefined, place }
        : this.unary();
      this.skipSpace();
      this.expect("=", "behind a key");
      this.skipLines();
      entries.push([key, this.groupedStatement()]);
      this.skipSpace();
      if (!isNewline(this.peek()) && this.peek() !== ";" && this.peek() !== "}") {
        this.wrong(`expected a line end, ; or } behind a value${this.foundHere()}`);
      }
    }
  }

  #hashWord(): string {
    let word = "";
    while (isWordCharacter(this.peek()) || isDash(this.peek())) {
      word += this.peek();
      this.skip();
    }
    return word;
  }

  variable(): Variable {
    const place = this.here();
    this.skip();
    if (this.take("{")) {
      let name = "";
      while (this.peek() !== "}") {
        if (this.isAtEnd) this.wrong("the brace that opens here is never closed", place.offset);
        if (this.peek() === "`") this.skip();
        name += this.peek();
        this.skip();
      }
      this.skip();
      const [, scope, rest] = /^(\w+):(.+)$/s.exec(name) ?? [];
      const isScoped = scope !== undefined && SCOPES.includes(scope.toLowerCase());
      return { kind: "variable", scope: isScoped ? scope.toLowerCase() : null, name: isScoped ? rest! : name, place };
    }
    if ("$?^".includes(this.peek() || " ")) {
      const name = this.peek();
      this.skip();
      return { kind: "variable", scope: null, name, place };
    }
    const name = this.word();
    if (name === "") this.wrong(`expected the name of a variable behind $${this.foundHere()}`, place.offset);
    const isScope = this.peek() === ":" && isWordCharacter(this.peek(1)) && SCOPES.includes(name.toLowerCase());
    if (!isScope) return { kind: "variable", scope: null, name, place };
    this.skip();
    return { kind: "variable", scope: name.toLowerCase(), name: this.word(), place };
  }

  /** "…" or '…' */
  protected quoted(): Expression {
    const place = this.here();
    const from = this.at;
    const isSingle = isSingleQuote(this.peek());
    this.skip();
    if (isSingle) return { kind: "literal", value: this.singleQuoted(from), text: undefined, place };
    const parts: (string | Expression)[] = [];
    for (;;) {
      if (this.isAtEnd) this.wrong("the quote that opens here is never closed", from);
      if (isDoubleQuote(this.peek())) {
        this.skip();
        if (!isDoubleQuote(this.peek())) return expandable(parts, place);
        parts.push('"');
        this.skip();
      } else parts.push(this.#expanded());
    }
  }

  #hereString(from: number): Expression {
    const place = this.here(from);
    this.beginHereString(from);
    const parts: (string | Expression)[] = [];
    for (let isFirst = true; !this.endHereString(isDoubleQuote, isFirst); isFirst = false) {
      if (this.isAtEnd)
        this.wrong(
          "the here-string that opens here is never closed",
          from,
          'end it with "@ at the beginning of a line',
        );
      parts.push(this.#expanded());
    }
    return expandable(parts, place);
  }

  /** The next character of a text that expands, or the variable or statements that begin with it. */
  #expanded(): string | Expression {
    if (this.take("`")) return this.escaped();
    const [first, second] = [this.peek(), this.peek(1)];
    if (first === "$" && second === "(") return this.nested(() => this.#primary());
    if (first === "$" && (second === "{" || isWordCharacter(second))) return this.variable();
    this.skip();
    return first === "\r" && this.peek() === "\n" ? "" : first;
  }

  // Arguments of commands.

  /** One or several, divided by commas. */
  protected commandValues(): Expression {
    const first = this.#commandValue();
    this.skipSpace();
    if (this.peek() !== ",") return first;
    const items = [first];
    while (this.take(",")) {
      this.skipLines();
      items.push(this.#commandValue());
      this.skipSpace();
    }
    return { kind: "list", items, place: first.place };
  }

  #commandValue(): Expression {
    return this.nested(() => {
      const from = this.at;
      const first = this.peek();
      if (first === "(" || first === "{" || (first === "@" && "({".includes(this.peek(1) || " "))) {
        return this.#postfix(this.#primary());
      }
      if (first === "@" && (isDoubleQuote(this.peek(1)) || isSingleQuote(this.peek(1)))) return this.#primary();
      if (first === "$" || isDoubleQuote(first) || isSingleQuote(first)) {
        const value = this.#postfix(this.#primary());
        if (this.#isWordEnd()) return value;
        this.rewind(from); // $prefix/24 and "a"b are one word
      }
      return this.bareWord();
    });
  }

  /** [GUID]::NewGuid() as an argument, which PowerShell does not take without brackets around it. */
  #bareCall(from: number): Expression {
    if (!this.isLenient) {
      const cure =
        "write ([GUID]::NewGuid()), and once, into a variable: each call makes another id. Or import with --lenient";
      this.wrong("a call as an argument needs brackets around it", from, cure);
    }
    this.bareCalls.push(this.here(from));
    this.rewind(from);
    return this.unary();
  }

  #isWordEnd(): boolean {
    const character = this.peek();
    return character === "" || isNewline(character) || /\s/.test(character) || WORD_ENDS.includes(character);
  }

  /** A word without quotes: a number if it looks like one, else text in which variables expand. */
  protected bareWord(): Expression {
    const place = this.here();
    const from = this.at;
    const parts: (string | Expression)[] = [];
    while (!this.#isWordEnd()) {
      const character = this.peek();
      if (isDoubleQuote(character) || isSingleQuote(character)) {
        const inner = this.quoted();
        if (inner.kind === "expandable") parts.push(...inner.parts);
        else if (inner.kind === "literal") parts.push(String(inner.value));
      } else if (character === "$" && this.peek(1) !== "(" && !isWordCharacter(this.peek(1)) && this.peek(1) !== "{") {
        parts.push(character);
        this.skip();
      } else parts.push(this.#expanded());
    }
    if (this.at === from) this.wrong(`expected a value${this.foundHere()}`);
    const word = expandable(parts, place);
    const text = this.script.text.slice(from, this.at);
    if (/^\[[^\]]*\]::/.test(text) && this.peek() === "(") return this.#bareCall(from);
    if (word.kind !== "literal" || !NUMBER.test(text) || !isDigit(text.replace(/^[-+]/, "")[0]!)) return word;
    const value = numberValue(text);
    return { kind: "literal", value, text: String(value) === text ? undefined : text, place };
  }
}

/** A literal where nothing expands. */
function expandable(parts: readonly (string | Expression)[], place: Expression["place"]): Expression {
  const merged: (string | Expression)[] = [];
  for (const part of parts) {
    const last = merged.length - 1;
    if (typeof part === "string" && typeof merged[last] === "string") merged[last] += part;
    else merged.push(part);
  }
  if (merged.every((part) => typeof part === "string")) {
    return { kind: "literal", value: merged.join(""), text: undefined, place };
  }
  return { kind: "expandable", parts: merged, place };
}

const withoutReturns = (text: string): string => text.replaceAll("\r\n", "\n");

/** The operator that a word behind a dash names, if it is one of these; -ceq and -ieq are -eq here. */
function operatorNamed(word: string, names: readonly string[]): string | undefined {
  if (names.includes(word)) return word;
  const bare = word.slice(1);
  return /^[ci]/.test(word) && CASED.has(bare) && names.includes(bare) ? bare : undefined;
}
