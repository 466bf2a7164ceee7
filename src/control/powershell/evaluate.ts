/**
 * Carries out a script's syntax tree, against hosts that exist only as tables (`hosts.ts`). Nothing of this machine is read, started or written:
 * there are no commands but those of `cmdlets/`; any other is noted and gives nothing.
 *
 * Each statement gives a list of outputs. Break, continue, return and exit are exceptions of their own; errors are RuntimeProblems, which a
 * try block catches and which otherwise end their statement; a LimitReached ends everything.
 */
import { assign, BindingError, type Given, withCommon } from "./binding.js";
import { withPlainDashes } from "./characters.js";
import { CommandRunner, isSilent } from "./evaluate-commands.js";
import type { Outputs } from "./evaluate-expressions.js";
import { isEqual, match } from "./operators.js";
import { isLike } from "./patterns.js";
import { Scope } from "./scope.js";
import { type Place, RuntimeProblem, ScriptError } from "./script.js";
import type { Block, CommandCall, Expression, Parameter, Statement } from "./syntax.js";
import {
  Code,
  ConversionError,
  castTo,
  isList,
  isTrue,
  objectsOf,
  oneValue,
  Table,
  Thing,
  toText,
  type Value,
} from "./values.js";

class LoopSignal {
  constructor(
    readonly kind: "break" | "continue",
    readonly label: string | null,
  ) {}
}
class ReturnSignal {}
class ExitSignal {}

export class Interpreter extends CommandRunner {
  /** How many try blocks are around what is carried out. */
  #tries = 0;

  /** Runs a whole script; what it leaves in variables and functions, the next one finds. */
  run(block: Block, parameters: ReadonlyMap<string, string>): void {
    const given = [...parameters].map(([name, value]): Given => ({ name, value }));
    try {
      this.#bindFunction(block, given, THE_SCRIPT);
      this.#blockBody(block, undefined, { push: (value) => this.around.journal.print(value) });
    } catch (error) {
      if (!(error instanceof ExitSignal || error instanceof ReturnSignal || error instanceof LoopSignal)) throw error;
    }
  }

  protected override statements(statements: readonly Statement[], out: Outputs): void {
    for (const statement of statements) {
      this.around.budget.spend(1, statement.place);
      try {
        this.around.budget.within(statement.place, () => this.#statement(statement, out));
      } catch (error) {
        if (!(error instanceof RuntimeProblem) || error.endsScript || this.#tries > 0 || this.#isStopping())
          throw error;
        this.#noteError(error);
      }
    }
  }

  #isStopping(): boolean {
    return toText(this.scope.find("ErrorActionPreference") ?? null).toLowerCase() === "stop";
  }

  #noteError(error: RuntimeProblem): void {
    const preference = toText(this.scope.find("ErrorActionPreference") ?? null);
    if (!isSilent(preference)) this.around.journal.error(error);
  }

  #statement(statement: Statement, out: Outputs): void {
    switch (statement.kind) {
      case "pipeline": {
        const outputs = this.#pipeline(statement);
        if (!statement.isDiscarded) push(out, outputs);
        return;
      }
      case "assignment":
        this.assignment(statement);
        return;
      case "if": {
        const taken = statement.branches.find(([condition]) => isTrue(this.valueOf(condition)));
        this.statements(taken ? taken[1] : statement.otherwise, out);
        return;
      }
      case "for":
        this.#for(statement, out);
        return;
      case "do":
        this.#do(statement, out);
        return;
      case "foreach": {
        for (const item of objectsOf(this.valueOf(statement.items))) {
          this.assignVariable(statement.variable, item);
          if (!this.#loopBody(statement.body, statement.label, statement.place, out)) return;
        }
        return;
      }
      case "switch":
        this.#switch(statement, out);
        return;
      case "function":
        this.scope.setFunction(statement.name, statement.block);
        return;
      case "try":
        this.#try(statement, out);
        return;
      case "inline":
        this.statements(statement.body, out);
        return;
      case "return":
        if (statement.value) push(out, this.#outputsOf(statement.value));
        throw new ReturnSignal();
      case "exit":
        throw new ExitSignal();
      case "throw": {
        const thrown = statement.value ? this.valueOf(statement.value) : (this.scope.find("_") ?? null);
        const message = thrown instanceof Thing ? toText(thrown) : toText(thrown) || "the script gives up";
        throw new RuntimeProblem("SCRIPT_THROWN", message, statement.place, undefined, true);
      }
      case "break":
      case "continue":
        throw new LoopSignal(statement.kind, statement.label);
    }
  }

  #outputsOf(statement: Statement): readonly Value[] {
    const out: Value[] = [];
    this.around.budget.within(statement.place, () => this.#statement(statement, out));
    return out;
  }

  /** As one value. A list of one element that is written as such stays a list. */
  protected override valueOf(statement: Statement): Value {
    if (statement.kind === "pipeline" && statement.stages.length === 1 && !statement.isDiscarded) {
      const [stage] = statement.stages;
      if (stage!.kind === "expression") return this.evaluate(stage!.expression);
    }
    return oneValue(this.#outputsOf(statement));
  }

  #for(statement: Extract<Statement, { kind: "for" }>, out: Outputs): void {
    if (statement.first) this.#outputsOf(statement.first);
    while (!statement.condition || isTrue(this.valueOf(statement.condition))) {
      if (!this.#loopBody(statement.body, statement.label, statement.place, out)) return;
      if (statement.step) this.#outputsOf(statement.step);
    }
  }

  #do(statement: Extract<Statement, { kind: "do" }>, out: Outputs): void {
    do {
      if (!this.#loopBody(statement.body, statement.label, statement.place, out)) return;
    } while (isTrue(this.valueOf(statement.condition)) !== statement.isUntil);
  }

  /** One pass; false if the loop is over. */
  #loopBody(body: readonly Statement[], label: string | null, place: Place, out: Outputs): boolean {
    this.around.budget.spend(1, place);
    try {
      this.statements(body, out);
      return true;
    } catch (signal) {
      if (!(signal instanceof LoopSignal) || (signal.label !== null && signal.label !== label)) throw signal;
      return signal.kind === "continue";
    }
  }

  #switch(statement: Extract<Statement, { kind: "switch" }>, out: Outputs): void {
    for (const item of objectsOf(this.valueOf(statement.value))) {
      const isCase = (test: Expression): boolean => this.#isCase(item, test, statement.match);
      const taken = statement.cases.filter(({ test }) => test !== null && isCase(test));
      const chosen = taken.length > 0 ? taken : statement.cases.filter(({ test }) => test === null);
      for (const { body } of chosen) {
        const isOver = this.#withItem(item, () => !this.#loopBody(body, statement.label, statement.place, out));
        if (isOver) return;
      }
    }
  }

  #isCase(item: Value, test: Expression, how: "exact" | "wildcard" | "regex"): boolean {
    const { place } = test;
    const wanted = this.evaluate(test);
    if (wanted instanceof Code) return isTrue(oneValue(this.runHere(wanted, item)));
    if (how === "exact") return isEqual(item, wanted);
    const [text, pattern] = [toText(item), toText(wanted)];
    if (how === "regex") return this.compute(place, () => match(text, pattern, this.work(place))) !== null;
    this.around.budget.spend(1 + (text.length * pattern.length) / 16, place);
    return isLike(text, pattern);
  }

  #try(statement: Extract<Statement, { kind: "try" }>, out: Outputs): void {
    const { body, catchBody, finallyBody } = statement;
    let [isTrying, isLimit] = [true, false];
    this.#tries++;
    try {
      this.statements(body, out);
    } catch (error) {
      isLimit = error instanceof ScriptError && !(error instanceof RuntimeProblem);
      if (!(error instanceof RuntimeProblem) || !catchBody) throw error;
      this.#tries--;
      isTrying = false;
      this.#withItem(errorRecord(error), () => this.statements(catchBody, out));
    } finally {
      if (isTrying) this.#tries--;
      if (!isLimit) this.statements(finallyBody, out);
    }
  }

  #pipeline({ stages }: Extract<Statement, { kind: "pipeline" }>): readonly Value[] {
    let outputs: readonly Value[] | undefined;
    for (const [index, stage] of stages.entries()) {
      const isPiped = index < stages.length - 1;
      outputs = stage.kind === "expression" ? this.#streamed(stage.expression) : this.#command(stage, outputs, isPiped);
    }
    return outputs ?? [];
  }

  /** An expression as a statement: a list is its elements; what is stepped or called for nothing gives nothing. */
  #streamed(expression: Expression): readonly Value[] {
    const value = this.evaluate(expression);
    if (expression.kind === "step") return [];
    if (isList(value)) return value;
    const isVoid =
      expression.kind === "call" || (expression.kind === "cast" && /^(?:system\.)?void$/i.test(expression.type));
    return value === null && isVoid ? [] : [value];
  }

  #command(command: CommandCall, input: readonly Value[] | undefined, isPiped: boolean): readonly Value[] {
    const { budget, cmdlets, journal } = this.around;
    budget.spend(1 + (input?.length ?? 0), command.place);
    const target = this.evaluate(command.name);
    if (target instanceof Code) {
      const given = this.given(command);
      if (command.invocation === ".") {
        this.#bindFunction(target.block, given, "the block");
        return this.#outputsOfBlock(target.block, input);
      }
      return this.callBlock(target.block, given, input, "the block");
    }
    const name = withPlainDashes(toText(target));
    const block = this.scope.findFunction(name);
    if (block) return this.callBlock(block, this.given(command), input, name);
    const cmdlet = cmdlets.get(
      name.toLowerCase().replace(/^(?:netwnv|hyper-v|netadapter|microsoft\.powershell\.\w+|cimcmdlets)\\/, ""),
    );
    if (!cmdlet) {
      journal.skip(name, command.place);
      return [];
    }
    return this.cmdlet(cmdlet, command, input, isPiped);
  }

  /** The command line's arguments as values. */
  protected override given(command: CommandCall): readonly Given[] {
    return command.elements.flatMap((element): readonly Given[] => {
      if (element.kind === "argument") return [{ name: null, value: this.#argument(element.value) }];
      if (element.kind === "parameter") {
        return [{ name: element.name, value: element.value && this.#argument(element.value) }];
      }
      const value = this.evaluate(element.variable);
      if (value instanceof Table) return value.entries().map(([name, entry]): Given => ({ name, value: entry }));
      return objectsOf(value).map((item): Given => ({ name: null, value: item }));
    });
  }

  /** A bare 060600000005 stays the text it is; in an expression it would be a number. */
  #argument(expression: Expression): Value {
    if (expression.kind === "literal" && expression.text !== undefined && /^0\d/.test(expression.text))
      return expression.text;
    if (expression.kind === "list") return expression.items.map((item) => this.#argument(item));
    return this.evaluate(expression);
  }

  /** In a scope of its own. */
  protected override callBlock(
    block: Block,
    given: readonly Given[],
    input: readonly Value[] | undefined,
    name: string,
  ): readonly Value[] {
    return this.#inScope(new Scope(this.scope), block.place, () => {
      this.#bindFunction(block, given, name);
      return this.#outputsOfBlock(block, input);
    });
  }

  #inScope<T>(scope: Scope, place: Place, work: () => T): T {
    const outer = this.scope;
    this.scope = scope;
    try {
      return this.around.budget.within(place, work);
    } finally {
      this.scope = outer;
    }
  }

  #bindFunction(block: Block, given: readonly Given[], name: string): void {
    const specs = block.parameters.map((parameter, position) => ({
      ...parameter,
      parameter,
      kind: isSwitch(parameter) ? "switch" : "object",
      position: isSwitch(parameter) ? undefined : position,
    }));
    try {
      const isOpen = specs.length === 0 && name !== THE_SCRIPT; // without parameters everything is in $args
      const common = withCommon([], true).map((spec) => ({ ...spec, parameter: null }));
      const all: readonly ((typeof specs)[number] | (typeof common)[number])[] = [...specs, ...common];
      const known = isOpen ? given.map(({ value }): Given => ({ name: null, value: value ?? null })) : given;
      const { assigned, left } = assign(known, all, name);
      for (const spec of specs) {
        const value = assigned.get(spec);
        if (value === undefined && spec.isMandatory && !spec.fromPipeline) {
          throw new BindingError(
            "MISSING_PARAMETER",
            `${name} needs -${spec.name}`,
            `give it with --set ${spec.name}=VALUE`,
          );
        }
        this.scope.set(spec.name, this.#parameterValue(spec.parameter, value));
      }
      this.scope.set("args", left);
    } catch (error) {
      if (!(error instanceof BindingError)) throw error;
      throw new RuntimeProblem(error.code, error.message, block.place, name === THE_SCRIPT ? error.cure : undefined);
    }
  }

  #parameterValue({ type, standard, place, ...parameter }: Parameter, given: Value | undefined): Value {
    if (given === undefined && !standard)
      return isSwitch({ type }) ? false : type?.toLowerCase() === "string" ? "" : null;
    const value = given === undefined ? this.evaluate(standard!) : given;
    if (type === null) return value;
    try {
      return castTo(type, value);
    } catch (error) {
      if (!(error instanceof ConversionError)) throw error;
      throw new RuntimeProblem("BAD_ARGUMENT", `-${parameter.name}: ${error.message}`, place);
    }
  }

  #outputsOfBlock(block: Block, input: readonly Value[] | undefined): readonly Value[] {
    const out: Value[] = [];
    this.#blockBody(block, input, out);
    return out;
  }

  /** The body of a block, with $input, and with its process part once for each object. */
  #blockBody(block: Block, input: readonly Value[] | undefined, out: Outputs): void {
    if (input) this.scope.set("input", input);
    const piped = block.parameters.find(({ fromPipeline }) => fromPipeline);
    try {
      this.statements(block.begin, out);
      if (block.process) {
        for (const item of input ?? [null]) {
          if (piped && input) this.scope.set(piped.name, this.#parameterValue(piped, item));
          this.#withItem(item, () => this.#returning(() => this.statements(block.process!, out)));
        }
      }
      if (!block.process && piped && input) this.scope.set(piped.name, input.at(-1) ?? null); // as an end block sees it
      this.statements(block.end, out);
    } catch (signal) {
      if (!(signal instanceof ReturnSignal)) throw signal;
    }
  }

  #returning(work: () => void): void {
    try {
      work();
    } catch (signal) {
      if (!(signal instanceof ReturnSignal)) throw signal;
    }
  }

  /** As ForEach-Object and Where-Object run theirs: in the caller's scope, $_ being the item. */
  protected override runHere(code: Code, item: Value): readonly Value[] {
    return this.around.budget.within(code.block.place, () =>
      this.#withItem(item, () => this.#outputsOfBlock(code.block, code.block.process ? [item] : undefined)),
    );
  }

  #withItem<T>(item: Value, work: () => T): T {
    const [scope, before] = [this.scope, this.scope.find("_")];
    scope.set("_", item);
    try {
      return work();
    } finally {
      scope.set("_", before ?? null);
    }
  }

  protected override runOn(host: string, code: Code, args: readonly Value[]): readonly Value[] {
    const before = this.host;
    this.host = host;
    try {
      return this.#inScope(new Scope(null, this.scope), code.block.place, () => {
        this.#bindFunction(
          code.block,
          args.map((value) => ({ name: null, value })),
          "the block",
        );
        return this.#outputsOfBlock(code.block, undefined);
      });
    } finally {
      this.host = before;
    }
  }
}

/** What a whole script is called in messages about its parameters. */
const THE_SCRIPT = "the script";

/** Of a function's parameter: is it a switch? */
const isSwitch = ({ type }: Pick<Parameter, "type">): boolean =>
  /^(?:switch|system\.management\.automation\.switchparameter)$/i.test(type ?? "");

function push(out: Outputs, values: readonly Value[]): void {
  for (const value of values) out.push(value);
}

/** $_ in a catch block. */
const errorRecord = (error: RuntimeProblem): Thing => {
  const exception = new Thing("Exception", new Table().set("Message", error.message), error.message);
  const properties = new Table().set("Exception", exception).set("FullyQualifiedErrorId", error.code);
  return new Thing("ErrorRecord", properties, error.message);
};
