/**
 * Carries out a script's syntax tree, against hosts that exist only as tables (`hosts.ts`). Nothing of this machine is read, started or written:
 * there are no commands but those of `cmdlets/`; any other is noted and gives nothing.
 *
 * Each statement gives a list of outputs. Break, continue, return and exit are exceptions of their own; errors are RuntimeProblems, which a
 * try block catches and which otherwise end their statement; a LimitReached ends everything.
 */
import { assign, BindingError, convertArgument, type Given, withCommon } from "./binding.js";
import type { Budget } from "./budget.js";
import { withPlainDashes } from "./characters.js";
import type { Call, Cmdlet, ParameterSpec } from "./cmdlets/cmdlet.js";
import type { ScriptHosts } from "./hosts.js";
import type { Journal } from "./journal.js";
import { call, property, staticMember } from "./members.js";
import { binary, isEqual, join, match, OperatorError, type Work } from "./operators.js";
import { isLike, PatternError } from "./patterns.js";
import { Scope } from "./scope.js";
import { type Place, RuntimeProblem, ScriptError } from "./script.js";
import type { Block, CommandCall, Expression, Parameter, Statement, Variable } from "./syntax.js";
import {
  Code,
  ConversionError,
  castTo,
  isList,
  isTrue,
  numberIn,
  objectsOf,
  oneValue,
  shown,
  Table,
  Thing,
  TypeName,
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

export interface Surroundings {
  readonly hosts: ScriptHosts;
  readonly journal: Journal;
  readonly budget: Budget;
  /** By lower-case name, aliases included. */
  readonly cmdlets: ReadonlyMap<string, Cmdlet>;
}

/** Takes what statements give, one after the other. */
interface Outputs {
  push(value: Value): unknown;
}

/** What of a call is the same for all objects that come through the pipeline. */
interface Prepared {
  readonly cmdlet: Cmdlet;
  readonly args: Map<string, Value>;
  readonly hosts: readonly string[];
  readonly isExplicit: boolean;
  readonly isPiped: boolean;
  readonly errorAction: string | null;
  readonly place: Place;
}

export class Interpreter {
  readonly #global = new Scope(null);
  #scope = this.#global;
  #host: string;
  /** How many try blocks are around what is carried out. */
  #tries = 0;
  #madeGuids = 0;

  constructor(private readonly around: Surroundings) {
    this.#host = around.hosts.standard;
  }

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

  // Statements

  #statements(statements: readonly Statement[], out: Outputs): void {
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
    return toText(this.#scope.find("ErrorActionPreference") ?? null).toLowerCase() === "stop";
  }

  #noteError(error: RuntimeProblem): void {
    const preference = toText(this.#scope.find("ErrorActionPreference") ?? null);
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
        this.#assignment(statement);
        return;
      case "if": {
        const taken = statement.branches.find(([condition]) => isTrue(this.#valueOf(condition)));
        this.#statements(taken ? taken[1] : statement.otherwise, out);
        return;
      }
      case "for":
        this.#for(statement, out);
        return;
      case "do":
        this.#do(statement, out);
        return;
      case "foreach": {
        for (const item of objectsOf(this.#valueOf(statement.items))) {
          this.#assignVariable(statement.variable, item);
          if (!this.#loopBody(statement.body, statement.label, statement.place, out)) return;
        }
        return;
      }
      case "switch":
        this.#switch(statement, out);
        return;
      case "function":
        this.#scope.setFunction(statement.name, statement.block);
        return;
      case "try":
        this.#try(statement, out);
        return;
      case "inline":
        this.#statements(statement.body, out);
        return;
      case "return":
        if (statement.value) push(out, this.#outputsOf(statement.value));
        throw new ReturnSignal();
      case "exit":
        throw new ExitSignal();
      case "throw": {
        const thrown = statement.value ? this.#valueOf(statement.value) : (this.#scope.find("_") ?? null);
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
  #valueOf(statement: Statement): Value {
    if (statement.kind === "pipeline" && statement.stages.length === 1 && !statement.isDiscarded) {
      const [stage] = statement.stages;
      if (stage!.kind === "expression") return this.#evaluate(stage!.expression);
    }
    return oneValue(this.#outputsOf(statement));
  }

  #assignment(statement: Extract<Statement, { kind: "assignment" }>): void {
    const { target, operator, place } = statement;
    const fresh = this.#valueOf(statement.value);
    const value =
      operator === "="
        ? fresh
        : this.#compute(place, () => binary(operator.slice(0, -1), this.#evaluate(target), fresh, this.#work(place)));
    this.#assignTo(target, value);
  }

  #assignTo(target: Expression, value: Value): void {
    switch (target.kind) {
      case "variable":
        this.#assignVariable(target, value);
        return;
      case "cast":
        this.#assignTo(
          target.operand,
          this.#compute(target.place, () => castTo(target.type, value)),
        );
        return;
      case "list": {
        const items = objectsOf(value);
        for (const [index, item] of target.items.entries()) {
          const isLast = index === target.items.length - 1;
          this.#assignTo(item, isLast && items.length > index + 1 ? items.slice(index) : (items[index] ?? null));
        }
        return;
      }
      case "member": {
        const owner = this.#evaluate(target.target);
        const name = toText(this.#evaluate(target.name));
        const table = owner instanceof Table ? owner : owner instanceof Thing ? owner.properties : undefined;
        if (!table) throw new RuntimeProblem("SCRIPT_ERROR", `there is no property ${name} to set`, target.place);
        this.around.budget.list(table.size + 1, target.place, 1);
        table.set(name, value);
        return;
      }
      case "index": {
        const owner = this.#evaluate(target.target);
        const index = this.#evaluate(target.index);
        if (owner instanceof Table) {
          this.around.budget.list(owner.size + 1, target.place, 1);
          owner.set(toText(index), value);
          return;
        }
        const at = numberIn(index);
        if (!isList(owner) || at === undefined)
          throw new RuntimeProblem("SCRIPT_ERROR", "this cannot be set by an index", target.place);
        const place = at < 0 ? owner.length + at : at;
        if (!(place in owner)) throw new RuntimeProblem("SCRIPT_ERROR", `the list has no element ${at}`, target.place);
        (owner as Value[])[place] = value;
        return;
      }
      default:
        throw new RuntimeProblem("SCRIPT_ERROR", "nothing can be assigned to this", target.place);
    }
  }

  #assignVariable({ scope, name }: Variable, value: Value): void {
    if (/^(?:null|true|false)$/i.test(name)) return; // $null = … throws something away
    if (scope === "script" || scope === "global") this.#scope.root.set(name, value);
    else if (scope !== "env" && scope !== "using") this.#scope.set(name, value);
  }

  #for(statement: Extract<Statement, { kind: "for" }>, out: Outputs): void {
    if (statement.first) this.#outputsOf(statement.first);
    while (!statement.condition || isTrue(this.#valueOf(statement.condition))) {
      if (!this.#loopBody(statement.body, statement.label, statement.place, out)) return;
      if (statement.step) this.#outputsOf(statement.step);
    }
  }

  #do(statement: Extract<Statement, { kind: "do" }>, out: Outputs): void {
    do {
      if (!this.#loopBody(statement.body, statement.label, statement.place, out)) return;
    } while (isTrue(this.#valueOf(statement.condition)) !== statement.isUntil);
  }

  /** One pass; false if the loop is over. */
  #loopBody(body: readonly Statement[], label: string | null, place: Place, out: Outputs): boolean {
    this.around.budget.spend(1, place);
    try {
      this.#statements(body, out);
      return true;
    } catch (signal) {
      if (!(signal instanceof LoopSignal) || (signal.label !== null && signal.label !== label)) throw signal;
      return signal.kind === "continue";
    }
  }

  #switch(statement: Extract<Statement, { kind: "switch" }>, out: Outputs): void {
    for (const item of objectsOf(this.#valueOf(statement.value))) {
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
    const wanted = this.#evaluate(test);
    if (wanted instanceof Code) return isTrue(oneValue(this.#runHere(wanted, item)));
    if (how === "exact") return isEqual(item, wanted);
    const [text, pattern] = [toText(item), toText(wanted)];
    if (how === "regex") return this.#compute(place, () => match(text, pattern, this.#work(place))) !== null;
    this.around.budget.spend(1 + (text.length * pattern.length) / 16, place);
    return isLike(text, pattern);
  }

  #try(statement: Extract<Statement, { kind: "try" }>, out: Outputs): void {
    const { body, catchBody, finallyBody } = statement;
    let [isTrying, isLimit] = [true, false];
    this.#tries++;
    try {
      this.#statements(body, out);
    } catch (error) {
      isLimit = error instanceof ScriptError && !(error instanceof RuntimeProblem);
      if (!(error instanceof RuntimeProblem) || !catchBody) throw error;
      this.#tries--;
      isTrying = false;
      this.#withItem(errorRecord(error), () => this.#statements(catchBody, out));
    } finally {
      if (isTrying) this.#tries--;
      if (!isLimit) this.#statements(finallyBody, out);
    }
  }

  // Pipelines and commands

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
    const value = this.#evaluate(expression);
    if (expression.kind === "step") return [];
    if (isList(value)) return value;
    const isVoid =
      expression.kind === "call" || (expression.kind === "cast" && /^(?:system\.)?void$/i.test(expression.type));
    return value === null && isVoid ? [] : [value];
  }

  #command(command: CommandCall, input: readonly Value[] | undefined, isPiped: boolean): readonly Value[] {
    const { budget, cmdlets, journal } = this.around;
    budget.spend(1 + (input?.length ?? 0), command.place);
    const target = this.#evaluate(command.name);
    if (target instanceof Code) {
      const given = this.#given(command);
      if (command.invocation === ".") {
        this.#bindFunction(target.block, given, "the block");
        return this.#outputsOfBlock(target.block, input);
      }
      return this.#callBlock(target.block, given, input, "the block");
    }
    const name = withPlainDashes(toText(target));
    const block = this.#scope.findFunction(name);
    if (block) return this.#callBlock(block, this.#given(command), input, name);
    const cmdlet = cmdlets.get(
      name.toLowerCase().replace(/^(?:netwnv|hyper-v|netadapter|microsoft\.powershell\.\w+|cimcmdlets)\\/, ""),
    );
    if (!cmdlet) {
      journal.skip(name, command.place);
      return [];
    }
    return this.#cmdlet(cmdlet, command, input, isPiped);
  }

  /** The command line's arguments as values. */
  #given(command: CommandCall): readonly Given[] {
    return command.elements.flatMap((element): readonly Given[] => {
      if (element.kind === "argument") return [{ name: null, value: this.#argument(element.value) }];
      if (element.kind === "parameter") {
        return [{ name: element.name, value: element.value && this.#argument(element.value) }];
      }
      const value = this.#evaluate(element.variable);
      if (value instanceof Table) return value.entries().map(([name, entry]): Given => ({ name, value: entry }));
      return objectsOf(value).map((item): Given => ({ name: null, value: item }));
    });
  }

  /** A bare 060600000005 stays the text it is; in an expression it would be a number. */
  #argument(expression: Expression): Value {
    if (expression.kind === "literal" && expression.text !== undefined && /^0\d/.test(expression.text))
      return expression.text;
    if (expression.kind === "list") return expression.items.map((item) => this.#argument(item));
    return this.#evaluate(expression);
  }

  #cmdlet(
    cmdlet: Cmdlet,
    command: CommandCall,
    input: readonly Value[] | undefined,
    isPiped: boolean,
  ): readonly Value[] {
    const out: Value[] = [];
    try {
      const { assigned, prepared } = this.#prepare(cmdlet, command, isPiped);
      const pipelined = cmdlet.parameters.find((parameter) => parameter.fromPipeline && !assigned.has(parameter.name));
      if (input === undefined || cmdlet.takesAll) {
        this.#runCmdlet(prepared, input, out);
        return out;
      }
      if (!pipelined) {
        if (input.length === 0) return out;
        throw new BindingError("INPUT_NOT_TAKEN", `${cmdlet.name} takes nothing from the pipeline here`);
      }
      for (const item of input) {
        const args = new Map(prepared.args).set(pipelined.name, convertArgument(item, pipelined));
        // An object of another computer is handled there, unless the command names one.
        const origin = item instanceof Thing && !prepared.isExplicit ? item.origin : null;
        this.#runCmdlet({ ...prepared, args, hosts: origin === null ? prepared.hosts : [origin] }, input, out);
      }
      return out;
    } catch (error) {
      if (!(error instanceof BindingError)) throw error;
      throw new RuntimeProblem(error.code, error.message, command.place, error.cure);
    }
  }

  #prepare(
    cmdlet: Cmdlet,
    command: CommandCall,
    isPiped: boolean,
  ): { assigned: ReadonlySet<string>; prepared: Prepared } {
    const { hosts, journal } = this.around;
    if (cmdlet.isNewInR2 && hosts.mode === "2012") {
      throw new BindingError("NEW_IN_R2", `${cmdlet.name} came with Windows Server 2012 R2`);
    }
    const parameters = withCommon(cmdlet.parameters, cmdlet.changes === true);
    const { assigned, left } = assign<ParameterSpec>(this.#given(command), parameters, cmdlet.name);
    const rest = cmdlet.parameters.find(({ takesRest }) => takesRest);
    if (rest && left.length > 0)
      assigned.set(rest, [...objectsOf(assigned.get(rest) ?? null), ...left.flatMap(objectsOf)]);
    else if (left.length > 0) {
      const cure = cmdlet.parameters.some(({ position }) => position !== undefined)
        ? undefined
        : "all its parameters are named";
      throw new BindingError("NO_POSITION", `${cmdlet.name} has no parameter for ${shown(left[0]!)}`, cure);
    }
    const args = new Map<string, Value>();
    let sessions: Value | undefined;
    for (const [parameter, value] of assigned) {
      if (parameter.isNewInR2 && hosts.mode === "2012") {
        throw new BindingError("NEW_IN_R2", `-${parameter.name} came with Windows Server 2012 R2`);
      }
      if (parameter.isIgnored) journal.note(`${cmdlet.name} -${parameter.name}`, command.place);
      if (parameter.isSession) sessions = value;
      else args.set(parameter.name, convertArgument(value, parameter));
    }
    const prepared: Prepared = {
      cmdlet,
      args,
      hosts:
        sessions === undefined ? [this.#host] : objectsOf(sessions).map((session) => sessionHost(session, this.#host)),
      isExplicit: sessions !== undefined,
      isPiped,
      errorAction: args.has("ErrorAction") ? toText(args.get("ErrorAction")!) : null,
      place: command.place,
    };
    return { assigned: new Set(args.keys()), prepared };
  }

  #runCmdlet(prepared: Prepared, input: readonly Value[] | undefined, out: Value[]): void {
    const { cmdlet, args, place } = prepared;
    const missing = cmdlet.parameters.filter((parameter) => parameter.isRequired && !args.has(parameter.name));
    if (missing.length > 0) {
      const names = missing.map(({ name }) => `-${name}`).join(", ");
      throw new BindingError("MISSING_PARAMETER", `${cmdlet.name} needs ${names}`);
    }
    if (args.get("WhatIf") === true) {
      this.around.journal.say(`What if: ${cmdlet.name}`);
      return;
    }
    const before = out.length;
    for (const host of prepared.hosts) {
      if (!this.around.hosts.isKnown(host)) {
        const cure = `known are ${this.around.hosts.known.join(", ")}`;
        this.#fail(prepared, "UNKNOWN_HOST", `there is no host ${JSON.stringify(host)}`, cure);
        continue;
      }
      this.#compute(place, () => cmdlet.run(this.#call(prepared, host, input, out)));
    }
    const outVariable = args.get("OutVariable");
    if (outVariable !== undefined) this.#scope.set(toText(outVariable).replace(/^\+/, ""), oneValue(out.slice(before)));
  }

  #call(prepared: Prepared, host: string, input: readonly Value[] | undefined, out: Outputs): Call {
    const { hosts, budget, journal } = this.around;
    return {
      cmdlet: prepared.cmdlet.name,
      args: prepared.args,
      input,
      host,
      hosts,
      budget,
      place: prepared.place,
      isPiped: prepared.isPiped,
      newGuid: () => this.#newGuid(prepared.place),
      emit: (value) => {
        if (prepared.isExplicit && value instanceof Thing) value.properties.set("PSComputerName", host);
        budget.spend(STEPS_PER_OBJECT, prepared.place);
        out.push(value);
      },
      fail: (code, message, cure) => this.#fail(prepared, code, message, cure),
      warn: (code, message, cure) => journal.warn(code, message, prepared.place, cure),
      say: (text) => journal.say(text),
      show: (value) => journal.print(value),
      runBlock: (code, item) => this.#runHere(code, item),
      runOn: (where, code, args) => this.#runOn(where, code, args),
    };
  }

  /** A command's error does not end its statement, unless errors are to stop. */
  #fail({ errorAction, place }: Prepared, code: string, message: string, cure: string | undefined): void {
    const action = errorAction ?? toText(this.#scope.find("ErrorActionPreference") ?? null);
    const isStop = action.toLowerCase() === "stop";
    const error = new RuntimeProblem(code, message, place, cure, isStop);
    if (isStop) throw error;
    if (!isSilent(action)) this.around.journal.error(error);
  }

  // Blocks and functions

  /** In a scope of its own. */
  #callBlock(
    block: Block,
    given: readonly Given[],
    input: readonly Value[] | undefined,
    name: string,
  ): readonly Value[] {
    return this.#inScope(new Scope(this.#scope), block.place, () => {
      this.#bindFunction(block, given, name);
      return this.#outputsOfBlock(block, input);
    });
  }

  #inScope<T>(scope: Scope, place: Place, work: () => T): T {
    const outer = this.#scope;
    this.#scope = scope;
    try {
      return this.around.budget.within(place, work);
    } finally {
      this.#scope = outer;
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
        this.#scope.set(spec.name, this.#parameterValue(spec.parameter, value));
      }
      this.#scope.set("args", left);
    } catch (error) {
      if (!(error instanceof BindingError)) throw error;
      throw new RuntimeProblem(error.code, error.message, block.place, name === THE_SCRIPT ? error.cure : undefined);
    }
  }

  #parameterValue({ type, standard, place, ...parameter }: Parameter, given: Value | undefined): Value {
    if (given === undefined && !standard)
      return isSwitch({ type }) ? false : type?.toLowerCase() === "string" ? "" : null;
    const value = given === undefined ? this.#evaluate(standard!) : given;
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
    if (input) this.#scope.set("input", input);
    const piped = block.parameters.find(({ fromPipeline }) => fromPipeline);
    try {
      this.#statements(block.begin, out);
      if (block.process) {
        for (const item of input ?? [null]) {
          if (piped && input) this.#scope.set(piped.name, this.#parameterValue(piped, item));
          this.#withItem(item, () => this.#returning(() => this.#statements(block.process!, out)));
        }
      }
      if (!block.process && piped && input) this.#scope.set(piped.name, input.at(-1) ?? null); // as an end block sees it
      this.#statements(block.end, out);
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
  #runHere(code: Code, item: Value): readonly Value[] {
    return this.around.budget.within(code.block.place, () =>
      this.#withItem(item, () => this.#outputsOfBlock(code.block, code.block.process ? [item] : undefined)),
    );
  }

  #withItem<T>(item: Value, work: () => T): T {
    const [scope, before] = [this.#scope, this.#scope.find("_")];
    scope.set("_", item);
    try {
      return work();
    } finally {
      scope.set("_", before ?? null);
    }
  }

  #runOn(host: string, code: Code, args: readonly Value[]): readonly Value[] {
    const before = this.#host;
    this.#host = host;
    try {
      return this.#inScope(new Scope(null, this.#scope), code.block.place, () => {
        this.#bindFunction(
          code.block,
          args.map((value) => ({ name: null, value })),
          "the block",
        );
        return this.#outputsOfBlock(code.block, undefined);
      });
    } finally {
      this.#host = before;
    }
  }

  // Expressions

  #work(place: Place): Work {
    return { budget: this.around.budget, place };
  }

  /** Operators and members complain without knowing where they stand. */
  #compute<T>(place: Place, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof OperatorError || error instanceof ConversionError || error instanceof PatternError) {
        throw new RuntimeProblem("SCRIPT_ERROR", error.message, place);
      }
      throw error;
    }
  }

  #evaluate(expression: Expression): Value {
    this.around.budget.spend(1, expression.place);
    return this.#compute(expression.place, () => this.#evaluated(expression));
  }

  #evaluated(expression: Expression): Value {
    const { place } = expression;
    const { budget } = this.around;
    switch (expression.kind) {
      case "literal":
        return expression.value;
      case "variable":
        return this.#variable(expression);
      case "expandable": {
        const texts = expression.parts.map((part) => (typeof part === "string" ? part : toText(this.#evaluate(part))));
        budget.text(
          texts.reduce((sum, text) => sum + text.length, 0),
          place,
        );
        return texts.join("");
      }
      case "list":
        budget.list(expression.items.length, place);
        return expression.items.map((item) => this.#evaluate(item));
      case "array":
      case "subexpression": {
        const out: Value[] = [];
        budget.within(place, () => this.#statements(expression.body, out));
        budget.list(out.length, place);
        return expression.kind === "array" ? out : oneValue(out);
      }
      case "group":
        return this.#grouped(expression.body);
      case "hash": {
        const table = new Table();
        for (const [key, value] of expression.entries) table.set(toText(this.#evaluate(key)), this.#valueOf(value));
        budget.list(table.size, place);
        return table;
      }
      case "block":
        return new Code(expression.block);
      case "unary":
        return this.#unary(expression.operator, this.#evaluate(expression.operand), place);
      case "step": {
        const before = numberIn(this.#evaluate(expression.target));
        if (before === undefined) throw new OperatorError("only a number can be counted up or down");
        this.#assignTo(expression.target, before + expression.by);
        return expression.isPrefix ? before + expression.by : before;
      }
      case "binary":
        return this.#binary(expression);
      case "cast":
        return this.#cast(expression.type, expression.operand);
      case "type":
        return new TypeName(expression.type);
      case "member":
      case "call":
        return this.#member(expression);
      case "index":
        return this.#index(this.#evaluate(expression.target), this.#evaluate(expression.index), place);
    }
  }

  /** ( … ): an assignment in brackets gives what it assigned. */
  #grouped(body: Statement): Value {
    if (body.kind !== "assignment") return this.#valueOf(body);
    this.#assignment(body);
    return this.#evaluate(body.target);
  }

  #unary(operator: string, operand: Value, place: Place): Value {
    switch (operator) {
      case "!":
      case "not":
        return !isTrue(operand);
      case ",":
        return [operand];
      case "join":
        return join(operand, "", this.#work(place));
      case "split":
        return binary("split", operand, "\\s+", this.#work(place));
      default:
        return binary(operator === "-" ? "-" : "+", 0, operand, this.#work(place));
    }
  }

  #binary({ operator, left, right, place }: Extract<Expression, { kind: "binary" }>): Value {
    const first = this.#evaluate(left);
    if (operator === "and") return isTrue(first) && isTrue(this.#evaluate(right));
    if (operator === "or") return isTrue(first) || isTrue(this.#evaluate(right));
    const second = this.#evaluate(right);
    if (operator === "match" && !isList(first)) {
      const found = match(first, second, this.#work(place));
      if (found) this.#scope.set("Matches", groupsOf(found));
      if (found) return true;
    }
    return binary(operator, first, second, this.#work(place));
  }

  #cast(type: string, operand: Expression): Value {
    return castTo(type, this.#evaluate(operand));
  }

  #member(expression: Extract<Expression, { kind: "member" | "call" }>): Value {
    const { place } = expression;
    const name = toText(this.#evaluate(expression.name));
    const args = expression.kind === "call" ? expression.args.map((arg) => this.#evaluate(arg)) : undefined;
    if (expression.isStatic) {
      const owner = this.#evaluate(expression.target);
      const type = owner instanceof TypeName ? owner.name : toText(owner);
      return staticMember(type, name, args, { ...this.#work(place), newGuid: () => this.#newGuid(place) });
    }
    const target = this.#evaluate(expression.target);
    if (!args) return property(target, name, this.#work(place));
    if (target instanceof Code)
      return oneValue(
        this.#callBlock(
          target.block,
          args.map((value) => ({ name: null, value })),
          undefined,
          name,
        ),
      );
    return call(target, name, args, this.#work(place));
  }

  /** The same at each import: a lab does not change by itself. */
  #newGuid(place: Place): string {
    const message = "the script makes a new GUID; each run on real hosts makes another";
    this.around.journal.warn("NEW_GUID", message, place);
    this.#madeGuids++;
    return `00000000-0000-4000-8000-${String(this.#madeGuids).padStart(12, "0")}`;
  }

  #index(owner: Value, index: Value, place: Place): Value {
    if (owner instanceof Table)
      return isList(index) ? index.map((key) => owner.get(toText(key)) ?? null) : (owner.get(toText(index)) ?? null);
    if (owner === null) throw new OperatorError("$null has no elements");
    const items: readonly Value[] | string = isList(owner) || typeof owner === "string" ? owner : [owner];
    const at = (where: Value): Value => {
      const number = numberIn(where);
      if (number === undefined) throw new OperatorError(`${shown(where)} is no index`);
      return items[number < 0 ? items.length + number : number] ?? null;
    };
    if (!isList(index)) return at(index);
    this.around.budget.list(index.length, place);
    return index.map(at);
  }

  #variable({ scope, name, place }: Variable): Value {
    switch (scope) {
      case "using":
        return this.#scope.findUsing(name) ?? null;
      case "script":
      case "global":
        return this.#scope.root.find(name) ?? null;
      case "env":
        return name.toLowerCase() === "computername" ? this.#host : null; // nothing of this machine
    }
    const known = this.#scope.find(name);
    if (known !== undefined) return known;
    switch (name.toLowerCase()) {
      case "true":
        return true;
      case "false":
        return false;
      case "psitem":
        return this.#scope.find("_") ?? null;
      case "?":
        return true;
    }
    if (this.#scope.isLeftBehind(name)) {
      const message = `$${name} is not there in a block that runs on another computer`;
      this.around.journal.warn("REMOTE_VARIABLE", message, place, `write $using:${name}`);
    }
    return null;
  }
}

/** An object with a dozen properties takes some kilobytes. */
const STEPS_PER_OBJECT = 50;

/** What a whole script is called in messages about its parameters. */
const THE_SCRIPT = "the script";

/** Of a function's parameter: is it a switch? */
const isSwitch = ({ type }: Pick<Parameter, "type">): boolean =>
  /^(?:switch|system\.management\.automation\.switchparameter)$/i.test(type ?? "");

const isSilent = (action: string): boolean => /^(?:silentlycontinue|ignore|0|4)$/i.test(action);

function push(out: Outputs, values: readonly Value[]): void {
  for (const value of values) out.push(value);
}

/** $_ in a catch block. */
const errorRecord = (error: RuntimeProblem): Thing => {
  const exception = new Thing("Exception", new Table().set("Message", error.message), error.message);
  const properties = new Table().set("Exception", exception).set("FullyQualifiedErrorId", error.code);
  return new Thing("ErrorRecord", properties, error.message);
};

function groupsOf(found: RegExpExecArray): Table {
  const groups = new Table();
  for (const [index, group] of found.entries()) if (group !== undefined) groups.set(String(index), group);
  for (const [name, group] of Object.entries(found.groups ?? {})) if (group !== undefined) groups.set(name, group);
  return groups;
}

/** The computer that a session object or a text names. */
function sessionHost(session: Value, current: string): string {
  const name = session instanceof Thing ? toText(session.properties.get("ComputerName") ?? null) : toText(session);
  return /^(?:localhost|\.|127\.0\.0\.1|::1|)$/i.test(name) ? current : name;
}
