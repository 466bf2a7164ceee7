/** Carries out expressions and assignments. What stands in brackets are statements again; those are carried out by the class that extends this one. */

import type { Given } from "./binding.js";
import type { Budget } from "./budget.js";
import type { Cmdlet } from "./cmdlets/cmdlet.js";
import type { ScriptHosts } from "./hosts.js";
import type { Journal } from "./journal.js";
import { call, property, staticMember } from "./members.js";
import { binary, join, match, OperatorError, type Work } from "./operators.js";
import { PatternError } from "./patterns.js";
import { Scope } from "./scope.js";
import { type Place, RuntimeProblem } from "./script.js";
import type { Block, Expression, Statement, Variable } from "./syntax.js";
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

export interface Surroundings {
  readonly hosts: ScriptHosts;
  readonly journal: Journal;
  readonly budget: Budget;
  /** By lower-case name, aliases included. */
  readonly cmdlets: ReadonlyMap<string, Cmdlet>;
}

/** Takes what statements give, one after the other. */
export interface Outputs {
  push(value: Value): unknown;
}

export abstract class ExpressionEvaluator {
  protected scope = new Scope(null);
  /** Where commands act that name no host. */
  protected host: string;
  #madeGuids = 0;

  constructor(protected readonly around: Surroundings) {
    this.host = around.hosts.standard;
  }

  protected abstract statements(statements: readonly Statement[], out: Outputs): void;
  /** What a statement gives, as one value. */
  protected abstract valueOf(statement: Statement): Value;
  /** Runs a block in a scope of its own. */
  protected abstract callBlock(
    block: Block,
    given: readonly Given[],
    input: readonly Value[] | undefined,
    name: string,
  ): readonly Value[];

  protected work(place: Place): Work {
    return { budget: this.around.budget, place };
  }

  /** Operators and members complain without knowing where they stand. */
  protected compute<T>(place: Place, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof OperatorError || error instanceof ConversionError || error instanceof PatternError) {
        throw new RuntimeProblem("SCRIPT_ERROR", error.message, place);
      }
      throw error;
    }
  }

  protected evaluate(expression: Expression): Value {
    this.around.budget.spend(1, expression.place);
    return this.compute(expression.place, () => this.#evaluated(expression));
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
        const texts = expression.parts.map((part) => (typeof part === "string" ? part : toText(this.evaluate(part))));
        budget.text(
          texts.reduce((sum, text) => sum + text.length, 0),
          place,
        );
        return texts.join("");
      }
      case "list":
        budget.list(expression.items.length, place);
        return expression.items.map((item) => this.evaluate(item));
      case "array":
      case "subexpression": {
        const out: Value[] = [];
        budget.within(place, () => this.statements(expression.body, out));
        budget.list(out.length, place);
        return expression.kind === "array" ? out : oneValue(out);
      }
      case "group":
        return this.#grouped(expression.body);
      case "hash": {
        const table = new Table();
        for (const [key, value] of expression.entries) table.set(toText(this.evaluate(key)), this.valueOf(value));
        budget.list(table.size, place);
        return table;
      }
      case "block":
        return new Code(expression.block);
      case "unary":
        return this.#unary(expression.operator, this.evaluate(expression.operand), place);
      case "step": {
        const before = numberIn(this.evaluate(expression.target));
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
        return this.#index(this.evaluate(expression.target), this.evaluate(expression.index), place);
    }
  }

  /** ( … ): an assignment in brackets gives what it assigned. */
  #grouped(body: Statement): Value {
    if (body.kind !== "assignment") return this.valueOf(body);
    this.assignment(body);
    return this.evaluate(body.target);
  }

  #unary(operator: string, operand: Value, place: Place): Value {
    switch (operator) {
      case "!":
      case "not":
        return !isTrue(operand);
      case ",":
        return [operand];
      case "join":
        return join(operand, "", this.work(place));
      case "split":
        return binary("split", operand, "\\s+", this.work(place));
      default:
        return binary(operator === "-" ? "-" : "+", 0, operand, this.work(place));
    }
  }

  #binary({ operator, left, right, place }: Extract<Expression, { kind: "binary" }>): Value {
    const first = this.evaluate(left);
    if (operator === "and") return isTrue(first) && isTrue(this.evaluate(right));
    if (operator === "or") return isTrue(first) || isTrue(this.evaluate(right));
    const second = this.evaluate(right);
    if (operator === "match" && !isList(first)) {
      const found = match(first, second, this.work(place));
      if (found) this.scope.set("Matches", groupsOf(found));
      if (found) return true;
    }
    return binary(operator, first, second, this.work(place));
  }

  #cast(type: string, operand: Expression): Value {
    return castTo(type, this.evaluate(operand));
  }

  #member(expression: Extract<Expression, { kind: "member" | "call" }>): Value {
    const { place } = expression;
    const name = toText(this.evaluate(expression.name));
    const args = expression.kind === "call" ? expression.args.map((arg) => this.evaluate(arg)) : undefined;
    if (expression.isStatic) {
      const owner = this.evaluate(expression.target);
      const type = owner instanceof TypeName ? owner.name : toText(owner);
      return staticMember(type, name, args, { ...this.work(place), newGuid: () => this.newGuid(place) });
    }
    const target = this.evaluate(expression.target);
    if (!args) return property(target, name, this.work(place));
    if (target instanceof Code)
      return oneValue(
        this.callBlock(
          target.block,
          args.map((value) => ({ name: null, value })),
          undefined,
          name,
        ),
      );
    return call(target, name, args, this.work(place));
  }

  /** The same at each import: a lab does not change by itself. */
  protected newGuid(place: Place): string {
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
        return this.scope.findUsing(name) ?? null;
      case "script":
      case "global":
        return this.scope.root.find(name) ?? null;
      case "env":
        return name.toLowerCase() === "computername" ? this.host : null; // nothing of this machine
    }
    const known = this.scope.find(name);
    if (known !== undefined) return known;
    switch (name.toLowerCase()) {
      case "true":
        return true;
      case "false":
        return false;
      case "psitem":
        return this.scope.find("_") ?? null;
      case "?":
        return true;
    }
    if (this.scope.isLeftBehind(name)) {
      const message = `$${name} is not there in a block that runs on another computer`;
      this.around.journal.warn("REMOTE_VARIABLE", message, place, `write $using:${name}`);
    }
    return null;
  }

  protected assignment(statement: Extract<Statement, { kind: "assignment" }>): void {
    const { target, operator, place } = statement;
    const fresh = this.valueOf(statement.value);
    const value =
      operator === "="
        ? fresh
        : this.compute(place, () => binary(operator.slice(0, -1), this.evaluate(target), fresh, this.work(place)));
    this.#assignTo(target, value);
  }

  #assignTo(target: Expression, value: Value): void {
    switch (target.kind) {
      case "variable":
        this.assignVariable(target, value);
        return;
      case "cast":
        this.#assignTo(
          target.operand,
          this.compute(target.place, () => castTo(target.type, value)),
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
        const owner = this.evaluate(target.target);
        const name = toText(this.evaluate(target.name));
        const table = owner instanceof Table ? owner : owner instanceof Thing ? owner.properties : undefined;
        if (!table) throw new RuntimeProblem("SCRIPT_ERROR", `there is no property ${name} to set`, target.place);
        this.around.budget.list(table.size + 1, target.place, 1);
        table.set(name, value);
        return;
      }
      case "index": {
        const owner = this.evaluate(target.target);
        const index = this.evaluate(target.index);
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

  protected assignVariable({ scope, name }: Variable, value: Value): void {
    if (/^(?:null|true|false)$/i.test(name)) return; // $null = … throws something away
    if (scope === "script" || scope === "global") this.scope.root.set(name, value);
    else if (scope !== "env" && scope !== "using") this.scope.set(name, value);
  }
}

function groupsOf(found: RegExpExecArray): Table {
  const groups = new Table();
  for (const [index, group] of found.entries()) if (group !== undefined) groups.set(String(index), group);
  for (const [name, group] of Object.entries(found.groups ?? {})) if (group !== undefined) groups.set(name, group);
  return groups;
}
