/**
 * Statements and commands: a script's text to its syntax tree, or a SyntaxProblem with its place.
 *
 * Reads Windows PowerShell 5 as far as scripts that configure networks use it; what is left out (classes, traps, data sections) is refused by name.
 */
import { isDash, isLetter, isNewline, isSpace, isWordCharacter } from "./characters.js";
import { ExpressionParser } from "./parse-expressions.js";
import { type Place, Script, type ScriptText } from "./script.js";
import type { Block, CommandCall, Element, Expression, Parameter, Stage, Statement, Variable } from "./syntax.js";

export interface Parsed {
  readonly block: Block;
  /** Where a line with a parameter was taken to continue the command above; only when asked for. */
  readonly joined: readonly Place[];
  /** Where a call without brackets was taken for an argument; only when asked for. */
  readonly bareCalls: readonly Place[];
}

export interface ParseOptions {
  /** A line that begins with a parameter continues the command above, as slides and web pages wrap them. */
  readonly lenient: boolean;
}

/** Throws a SyntaxProblem, or LimitReached where the text is nested too deeply. */
export function parseScript({ name, text }: ScriptText, options: ParseOptions): Parsed {
  return new Parser(new Script(name, text), options.lenient).wholeScript();
}

const REFUSED = ["class", "enum", "trap", "data", "configuration", "using"];
const ASSIGNMENTS = ["=", "+=", "-=", "*=", "/=", "%="];

class Parser extends ExpressionParser {
  readonly #joined: Place[] = [];

  wholeScript(): Parsed {
    this.take("\ufeff");
    const block = this.#blockBody("", 0);
    return { block, joined: this.#joined, bareCalls: this.bareCalls };
  }

  protected override block(from: number): Block {
    return this.nested(() => this.#blockBody("}", from));
  }

  /** Parameters, then parts or plain statements, up to the bracket. */
  #blockBody(close: string, from: number): Block {
    const place = this.here(from);
    const parameters = this.#paramBlock();
    const parts: { begin: readonly Statement[]; process?: readonly Statement[]; end: readonly Statement[] } = {
      begin: [],
      end: [],
    };
    let hasParts = false;
    for (;;) {
      this.skipSeparators();
      const part = this.keyword("begin", "process", "end", "dynamicparam");
      if (part === undefined) break;
      hasParts = true;
      const body = this.#braces(`behind ${part}`);
      if (part === "begin" || part === "process" || part === "end") parts[part] = body;
    }
    const rest = this.statementsUntil(close, from);
    if (hasParts && rest.length > 0) {
      this.wrong("beside begin, process and end a block has no other statements", rest[0]!.place.offset);
    }
    return { parameters, begin: parts.begin, process: parts.process, end: hasParts ? parts.end : rest, place };
  }

  #paramBlock(): readonly Parameter[] {
    this.skipSeparators();
    const from = this.at;
    while (this.peek() === "[") {
      this.skip();
      this.bracketed(this.at); // [CmdletBinding()]
      this.skipSeparators();
    }
    if (this.keyword("param") === undefined) {
      this.rewind(from);
      return [];
    }
    this.skipLines();
    return this.#parameterList();
  }

  #parameterList(): readonly Parameter[] {
    this.expect("(", "before parameters");
    const parameters: Parameter[] = [];
    for (;;) {
      this.skipLines();
      if (this.take(")")) return parameters;
      parameters.push(this.#parameter());
      this.skipLines();
      if (!this.take(",") && this.peek() !== ")") this.wrong(`expected , or ) behind a parameter${this.foundHere()}`);
    }
  }

  #parameter(): Parameter {
    const place = this.here();
    let type: string | null = null;
    let isMandatory = false;
    let fromPipeline = false;
    const aliases: string[] = [];
    while (this.take("[")) {
      const inside = this.bracketed(this.at - 1);
      if (/^\s*Parameter\s*\(/i.test(inside)) {
        isMandatory ||= /Mandatory(?!\s*=\s*\$false)/i.test(inside);
        fromPipeline ||= /ValueFromPipeline\b(?!\s*=\s*\$false)/i.test(inside);
      } else if (/^\s*Alias\s*\(/i.test(inside)) {
        for (const [, name] of inside.matchAll(/["'\u2018-\u201e]([\w-]+)["'\u2018-\u201e]/g)) aliases.push(name!);
      } else if (!inside.includes("(")) type = inside.trim();
      this.skipLines();
    }
    if (this.peek() !== "$") this.wrong(`expected a parameter${this.foundHere()}`);
    const { name } = this.variable();
    this.skipLines();
    let standard: Expression | undefined;
    if (this.take("=")) {
      this.skipLines();
      standard = this.dividedByCommas(() => this.expression());
    }
    return { name, aliases, type, isMandatory, fromPipeline, standard, place };
  }

  protected override statementsUntil(close: string, from: number): readonly Statement[] {
    const statements: Statement[] = [];
    for (;;) {
      this.skipSeparators();
      if (close === "" ? this.isAtEnd : this.take(close)) return statements;
      if (this.isAtEnd) this.wrong(`the bracket that opens here is never closed`, from, `close it with ${close}`);
      statements.push(this.nested(() => this.#statement()));
      this.skipSpace();
      const next = this.peek();
      if (next !== "" && !isNewline(next) && next !== ";" && next !== close && !this.#endedByBrace()) {
        this.wrong(`expected the end of the statement${this.foundHere()}`);
      }
    }
  }

  /** A statement that ends in } needs no line end behind it. */
  #endedByBrace(): boolean {
    let before = -1;
    while (isSpace(this.peek(before))) before--;
    return this.peek(before) === "}";
  }

  protected override groupedStatement(): Statement {
    return this.nested(() => this.#statement());
  }

  #braces(where: string): readonly Statement[] {
    this.skipLines();
    const from = this.at;
    this.expect("{", where);
    return this.nested(() => this.statementsUntil("}", from));
  }

  #statement(): Statement {
    const place = this.here();
    let label: string | null = null;
    if (this.peek() === ":" && isLetter(this.peek(1))) {
      this.skip();
      label = this.word().toLowerCase();
      this.skipLines();
    }
    const from = this.at;
    const word = this.peekWord();
    const after = this.peek(word.length);
    if (word !== "" && !isWordCharacter(after) && !isDash(after) && !".\\/:".includes(after || " ")) {
      const read = this.#keywordStatement(word, place, label);
      if (read) return read;
      this.rewind(from);
    }
    return this.#pipelineOrAssignment(place);
  }

  /** The statement that begins with this keyword; undefined if it is none. */
  #keywordStatement(word: string, place: Place, label: string | null): Statement | undefined {
    if (REFUSED.includes(word)) this.wrong(`${word} is not read here`, place.offset);
    this.skip(word.length);
    switch (word) {
      case "if":
        return this.#if(place);
      case "for":
        return this.#for(place, label);
      case "foreach":
        return this.#foreach(place, label);
      case "while": {
        const condition = this.#condition("while");
        const body = this.#braces("behind while ( )");
        return { kind: "for", label, first: undefined, condition, step: undefined, body, place };
      }
      case "do":
        return this.#do(place, label);
      case "switch":
        return this.#switch(place, label);
      case "function":
      case "filter":
      case "workflow":
        return this.#function(word, place);
      case "try":
        return this.#try(place);
      case "return":
      case "throw":
      case "exit": {
        this.skipSpace();
        const value = this.#isStatementEnd() ? undefined : this.#pipelineOrAssignment(this.here());
        return { kind: word, value, place };
      }
      case "break":
      case "continue": {
        this.skipSpace();
        return { kind: word, label: this.#isStatementEnd() ? null : this.word().toLowerCase(), place };
      }
      case "inlinescript":
      case "sequence":
      case "parallel":
        return { kind: "inline", body: this.#braces(`behind ${word}`), place };
      default:
        return undefined;
    }
  }

  #isStatementEnd(): boolean {
    const next = this.peek();
    return next === "" || isNewline(next) || ";})".includes(next);
  }

  /** ( … ) */
  #condition(where: string): Statement {
    this.skipLines();
    this.expect("(", `behind ${where}`);
    this.skipLines();
    const condition = this.groupedStatement();
    this.skipLines();
    this.expect(")", `behind the condition of ${where}`);
    return condition;
  }

  #if(place: Place): Statement {
    const branches: [Statement, readonly Statement[]][] = [[this.#condition("if"), this.#braces("behind if ( )")]];
    for (;;) {
      const from = this.at;
      this.skipLines();
      const word = this.keyword("elseif", "else");
      if (word === "elseif") branches.push([this.#condition("elseif"), this.#braces("behind elseif ( )")]);
      else if (word === "else") return { kind: "if", branches, otherwise: this.#braces("behind else"), place };
      else {
        this.rewind(from);
        return { kind: "if", branches, otherwise: [], place };
      }
    }
  }

  #for(place: Place, label: string | null): Statement {
    this.skipLines();
    this.expect("(", "behind for");
    const part = (end: string): Statement | undefined => {
      this.skipLines();
      const statement = this.peek() === end ? undefined : this.groupedStatement();
      this.skipLines();
      return statement;
    };
    const first = part(";");
    this.expect(";", "in for ( )");
    const condition = part(";");
    this.expect(";", "in for ( )");
    const step = part(")");
    this.expect(")", "behind for ( ");
    return { kind: "for", label, first, condition, step, body: this.#braces("behind for ( )"), place };
  }

  #foreach(place: Place, label: string | null): Statement | undefined {
    this.skipSpace();
    if (isDash(this.peek())) this.#dashWord(); // -parallel
    this.skipLines();
    if (this.peek() !== "(") return undefined; // the command of that name
    this.skip();
    this.skipLines();
    if (this.peek() !== "$") this.wrong(`expected a variable in foreach ( )${this.foundHere()}`);
    const variable = this.variable();
    this.skipLines();
    if (this.keyword("in") === undefined) this.wrong(`expected in behind the variable of foreach${this.foundHere()}`);
    this.skipLines();
    const items = this.groupedStatement();
    this.skipLines();
    this.expect(")", "behind foreach ( ");
    return { kind: "foreach", label, variable, items, body: this.#braces("behind foreach ( )"), place };
  }

  #do(place: Place, label: string | null): Statement {
    const body = this.#braces("behind do");
    this.skipLines();
    const word = this.keyword("while", "until");
    if (word === undefined) this.wrong(`expected while or until${this.foundHere()}`);
    return { kind: "do", label, body, condition: this.#condition(word), isUntil: word === "until", place };
  }

  #switch(place: Place, label: string | null): Statement {
    let match: "exact" | "wildcard" | "regex" = "exact";
    this.skipLines();
    while (isDash(this.peek())) {
      const at = this.at;
      const option = this.#dashWord();
      if (option === "wildcard" || option === "regex") match = option;
      else if (option !== "exact" && option !== "casesensitive") this.wrong(`switch has no option -${option} here`, at);
      this.skipLines();
    }
    const value = this.#condition("switch");
    this.skipLines();
    const from = this.at;
    this.expect("{", "behind switch ( )");
    const cases: { test: Expression | null; body: readonly Statement[] }[] = [];
    for (;;) {
      this.skipSeparators();
      if (this.take("}")) return { kind: "switch", label, match, value, cases, place };
      if (this.isAtEnd) this.wrong("the brace that opens here is never closed", from);
      const test = this.keyword("default") === undefined ? this.commandValues() : null;
      cases.push({ test, body: this.#braces("behind a case") });
    }
  }

  #dashWord(): string {
    const word = this.peekDashWord();
    this.skip(word.length + 1);
    return word;
  }

  #function(word: string, place: Place): Statement {
    this.skipSpace();
    const from = this.at;
    while (!this.isAtEnd && !/[\s({]/.test(this.peek())) this.skip();
    const name = this.script.text.slice(from, this.at).replace(/^\w+:/, "");
    if (name === "") this.wrong(`expected a name behind ${word}${this.foundHere()}`);
    this.skipLines();
    const parameters = this.peek() === "(" ? this.#parameterList() : [];
    this.skipLines();
    const open = this.at;
    this.expect("{", `behind ${word} ${name}`);
    const block = this.block(open);
    const whole = { ...block, parameters: [...parameters, ...block.parameters] };
    const isFilter = word === "filter" && block.process === undefined;
    return { kind: "function", name, block: isFilter ? { ...whole, process: block.end, end: [] } : whole, place };
  }

  #try(place: Place): Statement {
    const body = this.#braces("behind try");
    let catchBody: readonly Statement[] | undefined;
    let finallyBody: readonly Statement[] = [];
    for (;;) {
      const from = this.at;
      this.skipLines();
      const word = this.keyword("catch", "finally");
      if (word === undefined) {
        this.rewind(from);
        return { kind: "try", body, catchBody, finallyBody, place };
      }
      if (word === "finally") finallyBody = this.#braces("behind finally");
      else {
        this.skipLines();
        while (this.take("[")) {
          this.bracketed(this.at - 1); // all kinds of errors are caught alike
          this.skipLines();
          if (this.take(",")) this.skipLines();
        }
        const caught = this.#braces("behind catch");
        catchBody ??= caught;
      }
    }
  }

  // Pipelines

  #pipelineOrAssignment(place: Place): Statement {
    const first = this.#stage(true);
    if (first.kind === "expression") {
      this.skipSpace();
      const operator = ASSIGNMENTS.find((candidate) => this.#isAssignment(candidate));
      if (operator !== undefined) {
        this.skip(operator.length);
        this.skipLines();
        return { kind: "assignment", target: first.expression, operator, value: this.groupedStatement(), place };
      }
    }
    const stages: Stage[] = [first];
    let isDiscarded = this.#redirections();
    for (;;) {
      this.skipSpace();
      if (this.peek() !== "|" || this.peek(1) === "|") break;
      this.skip();
      this.skipLines();
      stages.push(this.#stage(false));
      isDiscarded = this.#redirections() || isDiscarded;
    }
    return { kind: "pipeline", stages, isDiscarded, place };
  }

  #isAssignment(operator: string): boolean {
    if (operator.length === 1) return this.peek() === "=" && this.peek(1) !== "=";
    const sign = isDash(this.peek()) ? "-" : this.peek();
    return sign === operator[0] && this.peek(1) === "=";
  }

  #stage(isFirst: boolean): Stage {
    this.skipSpace();
    const place = this.here();
    const character = this.peek();
    if (character === "" || isNewline(character)) this.wrong(`expected a command${this.foundHere()}`);
    const isCall = character === "&" || (character === "." && /\s/.test(this.peek(1)));
    if (isCall) return this.#call(character === "&" ? "&" : ".", place);
    if (this.#isExpressionAhead()) {
      if (!isFirst) this.wrong("only the first part of a pipeline can be a value", place.offset);
      if (isDash(character) && isLetter(this.peek(1)) && !/^(?:not|bnot|join|split)$/.test(this.peekDashWord())) {
        this.#wrapped(place);
      }
      return { kind: "expression", expression: this.expression(), place };
    }
    const name = this.bareWord();
    return this.#command(name, "", place);
  }

  #isExpressionAhead(): boolean {
    const character = this.peek();
    return /[$@("'\u2018-\u201e[{!+,]/.test(character) || isDash(character) || this.isAtDigit;
  }

  #wrapped(place: Place): never {
    const cure = this.isLenient
      ? "there is no command above that it could belong to"
      : "end the line above with a backtick (`), or import with --lenient, which takes it for a part of the command above";
    this.wrong("a line begins with a parameter, but a line end ends a command", place.offset, cure);
  }

  #call(invocation: "&" | ".", place: Place): CommandCall {
    this.skip();
    this.skipSpace();
    const name = this.#isExpressionAhead() ? this.unary() : this.bareWord();
    return this.#command(name, invocation, place);
  }

  #command(name: Expression, invocation: CommandCall["invocation"], place: Place): CommandCall {
    const elements: Element[] = [];
    for (;;) {
      this.skipSpace();
      const next = this.peek();
      if (isNewline(next) && this.isLenient && this.#joinsNextLine()) continue;
      if (next === "" || isNewline(next) || ";|)}".includes(next) || next === "&") break;
      if (this.#isRedirection()) break;
      elements.push(this.#element());
    }
    return { kind: "command", name, invocation, elements, place };
  }

  /** Goes on behind a line end if the next line that says something begins with a parameter. */
  #joinsNextLine(): boolean {
    const from = this.at;
    this.skipLines();
    if (isDash(this.peek()) && isLetter(this.peek(1))) {
      this.#joined.push(this.here());
      return true;
    }
    this.rewind(from);
    return false;
  }

  #element(): Element {
    const place = this.here();
    const next = this.peek();
    if (isDash(next) && isLetter(this.peek(1))) return this.#commandParameter(place);
    if (next === "@" && isLetter(this.peek(1))) {
      const variable: Variable = this.variable();
      return { kind: "splat", variable, place };
    }
    return { kind: "argument", value: this.commandValues(), place };
  }

  #commandParameter(place: Place): Element {
    this.skip();
    let name = this.word();
    while (isDash(this.peek()) && isWordCharacter(this.peek(1))) {
      this.skip();
      name += `-${this.word()}`;
    }
    if (!this.take(":")) return { kind: "parameter", name, value: undefined, place };
    this.skipSpace();
    return { kind: "parameter", name, value: this.commandValues(), place };
  }

  #isRedirection(): boolean {
    return /^[\d*]?>/.test(this.peek() + this.peek(1)) || this.peek() === "<";
  }

  /** Reads over redirections; true if one takes the output itself away. */
  #redirections(): boolean {
    let takesOutput = false;
    for (;;) {
      this.skipSpace();
      if (!this.#isRedirection()) return takesOutput;
      if (this.peek() === "<") this.wrong("< is not used in PowerShell");
      if (this.peek() === ">" || this.peek() === "*" || this.peek() === "1") takesOutput = true;
      if (this.peek() !== ">") this.skip();
      this.skip();
      this.take(">");
      if (this.take("&1") || this.take("&2")) continue;
      this.skipSpace();
      this.commandValues();
    }
  }
}
