/** The operators of expressions. They throw an OperatorError where PowerShell would complain. */
import type { Budget } from "./budget.js";
import { isLike, regularExpression } from "./patterns.js";
import type { Place } from "./script.js";
import {
  Code,
  castTo,
  isList,
  isTrue,
  numberIn,
  shown,
  Table,
  Thing,
  TypeName,
  toEven,
  toInteger,
  toText,
  Unknown,
  type Value,
} from "./values.js";

export class OperatorError extends Error {}

/** Where an operator is carried out, and what it may use up. */
export interface Work {
  readonly budget: Budget;
  readonly place: Place;
}

type Operator = (left: Value, right: Value, work: Work) => Value;

export function binary(operator: string, left: Value, right: Value, work: Work): Value {
  const carryOut = OPERATORS[operator];
  if (!carryOut) throw new OperatorError(`the operator ${operator} is not known here`);
  return carryOut(left, right, work);
}

/** With a list on the left, a comparison picks the elements for which it holds. */
const comparing =
  (holds: (left: Value, right: Value, work: Work) => boolean): Operator =>
  (left, right, work) => {
    if (!isList(left)) return holds(left, right, work);
    work.budget.list(left.length, work.place);
    return left.filter((item) => holds(item, right, work));
  };
const not =
  (holds: (left: Value, right: Value, work: Work) => boolean) =>
  (left: Value, right: Value, work: Work): boolean =>
    !holds(left, right, work);

/** -eq: the right side is turned into the kind of the left; texts without regard to case. */
export function isEqual(left: Value, right: Value): boolean {
  if (left instanceof Unknown) return right !== null && left.suppose(toText(right));
  if (right instanceof Unknown) return left !== null && right.suppose(toText(left));
  if (left === null || right === null) return left === right;
  if (typeof left === "boolean") return left === isTrue(right);
  if (typeof left === "number") return numberIn(right) === left;
  if (left instanceof Thing && left.text === null && right instanceof Thing) return left === right;
  if (left instanceof Table || left instanceof Code) return left === right;
  return toText(left).toLowerCase() === toText(right).toLowerCase();
}

function order(left: Value, right: Value): number {
  if (typeof left === "number" || left === null) {
    const number = numberIn(right);
    if (number === undefined) throw new OperatorError(`${shown(right)} is not a number`);
    return (left ?? 0) - number;
  }
  const [a, b] = [toText(left).toLowerCase(), toText(right).toLowerCase()];
  return a < b ? -1 : a > b ? 1 : 0;
}

function like(text: Value, pattern: Value, { budget, place }: Work): boolean {
  if (text instanceof Unknown) return text.suppose(toText(pattern));
  const [subject, mask] = [toText(text), toText(pattern)];
  budget.spend(1 + (subject.length * mask.length) / 16, place);
  return isLike(subject, mask);
}

const paidBy =
  (budget: Budget, place: Place) =>
  (steps: number): void =>
    budget.spend(steps, place);

export function match(text: Value, pattern: Value, { budget, place }: Work): RegExpExecArray | null {
  const subject = toText(text);
  budget.text(subject.length, place);
  return regularExpression(toText(pattern), subject.length, "i", paidBy(budget, place)).exec(subject);
}

const isMatch = (text: Value, pattern: Value, work: Work): boolean =>
  text instanceof Unknown ? text.suppose(toText(pattern)) : match(text, pattern, work) !== null;

function contains(list: Value, item: Value, { budget, place }: Work): boolean {
  const items = isList(list) ? list : [list];
  budget.list(items.length, place);
  return items.some((candidate) => isEqual(candidate, item));
}
const isIn = (item: Value, list: Value, work: Work): boolean => contains(list, item, work);

function number(value: Value): number {
  const found = numberIn(value);
  if (found === undefined) throw new OperatorError(`${shown(value)} is not a number`);
  return found;
}

const arithmetic =
  (compute: (left: number, right: number) => number): Operator =>
  (left, right) =>
    compute(number(left), number(right));

const bitwise =
  (compute: (left: bigint, right: bigint) => bigint): Operator =>
  (left, right) =>
    Number(compute(BigInt(toInteger(left, "int64")), BigInt(toInteger(right, "int64"))));

function add(left: Value, right: Value, { budget, place }: Work): Value {
  if (left === null && !isList(right)) return right;
  if (isList(left) || (left === null && isList(right))) {
    const [a, b] = [isList(left) ? left : [], isList(right) ? right : [right]];
    budget.list(a.length + b.length, place);
    return [...a, ...b];
  }
  if (typeof left === "number" || typeof left === "boolean") return number(left) + number(right);
  if (left instanceof Table) {
    if (!(right instanceof Table)) throw new OperatorError("only a table can be added to a table");
    budget.list(left.size + right.size, place);
    const sum = new Table();
    for (const [key, value] of [...left.entries(), ...right.entries()]) sum.set(key, value);
    return sum;
  }
  const [a, b] = [toText(left), toText(right)];
  budget.text(a.length + b.length, place);
  return a + b;
}

function multiply(left: Value, right: Value, { budget, place }: Work): Value {
  if (typeof left === "string") {
    const times = Math.max(0, number(right));
    budget.text(left.length * times, place);
    return left.repeat(times);
  }
  if (isList(left)) {
    const times = Math.max(0, number(right));
    budget.list(left.length * times, place);
    return Array.from({ length: times }, () => left).flat();
  }
  return number(left) * number(right);
}

function divide(left: number, right: number): number {
  if (right === 0) throw new OperatorError("a number was divided by zero");
  return left / right;
}

function range(left: Value, right: Value, { budget, place }: Work): Value {
  const [from, to] = [toEven(number(left)), toEven(number(right))];
  const length = Math.abs(to - from) + 1;
  budget.list(length, place);
  return Array.from({ length }, (_, index) => (from <= to ? from + index : from - index));
}

function replace(text: Value, how: Value, { budget, place }: Work): string {
  const subject = toText(text);
  const [pattern, substitute] = isList(how) ? how.map(toText) : [toText(how), ""];
  budget.text(subject.length, place);
  const found = regularExpression(pattern ?? "", subject.length, "gi", paidBy(budget, place));
  const { length } = subject;
  budget.text((length + 1) * ((substitute ?? "").length + 1), place); // at the worst
  return subject.replace(
    found,
    (substitute ?? "").replace(/\$\{(\w+)\}/g, (_, name) => `$<${String(name)}>`),
  );
}

function split(text: Value, how: Value, { budget, place }: Work): Value {
  const subject = toText(text);
  const [pattern, limit] = isList(how) ? how : [how];
  budget.list(subject.length, place);
  const separator = regularExpression(toText(pattern ?? null), subject.length, "gi", paidBy(budget, place));
  const parts = subject.split(separator);
  const most = limit === undefined ? 0 : number(limit);
  if (most <= 0 || parts.length <= most) return parts;
  let from = 0;
  const first: string[] = [];
  for (const found of subject.matchAll(separator)) {
    if (first.length === most - 1) break;
    first.push(subject.slice(from, found.index));
    from = found.index + found[0].length;
  }
  return [...first, subject.slice(from)];
}

export function join(items: Value, separator: string, { budget, place }: Work): string {
  const texts = (isList(items) ? items : [items]).map(toText);
  budget.text(
    texts.reduce((sum, text) => sum + text.length + separator.length, 0),
    place,
  );
  return texts.join(separator);
}

/** -f: `"{0}.{1:X2}" -f $a, $b` */
export function format(pattern: string, args: Value, { budget, place }: Work): string {
  const values = isList(args) ? args : [args];
  let length = pattern.length;
  return pattern.replace(
    /\{\{|\}\}|\{(\d{1,4})(?:,(-?\d{1,3}))?(?::([^{}]*))?\}|[{}]/g,
    (whole, index, width, spec) => {
      if (whole === "{{" || whole === "}}") return whole[0]!;
      if (index === undefined) throw new OperatorError("a brace of the format has no meaning");
      const value = values[Number(index)];
      if (value === undefined)
        throw new OperatorError(`the format asks for {${String(index)}}, and there are ${values.length} values`);
      const text = spec === undefined ? toText(value) : formatOne(value, String(spec));
      const aligned =
        width === undefined
          ? text
          : String(width).startsWith("-")
            ? text.padEnd(-Number(width))
            : text.padStart(Number(width));
      length += aligned.length;
      budget.text(length, place);
      return aligned;
    },
  );
}

/** .ToString("X2") and {0:X2} */
export function formatOne(value: Value, spec: string): string {
  if (value instanceof Thing && value.typeName === "System.Guid") return formatGuid(toText(value), spec);
  if (typeof value !== "number") return toText(value);
  const [, kind, width] = /^([a-z])(\d{0,2})$/i.exec(spec) ?? [];
  const places = Number(width || 0);
  switch (kind?.toLowerCase()) {
    case "x": {
      const digits = (value < 0 ? value + 2 ** 32 : value).toString(16).padStart(places, "0");
      return kind === "X" ? digits.toUpperCase() : digits;
    }
    case "d":
      return `${value < 0 ? "-" : ""}${String(Math.abs(value)).padStart(places, "0")}`;
    case "f":
    case "n":
      return value.toFixed(width === "" ? 2 : places);
    case "g":
      return String(value);
  }
  if (/^0+$/.test(spec)) return String(value).padStart(spec.length, "0");
  throw new OperatorError(`the format ${JSON.stringify(spec)} is not known here`);
}

function formatGuid(guid: string, spec: string): string {
  switch (spec.toLowerCase()) {
    case "":
    case "d":
      return guid;
    case "b":
      return `{${guid}}`;
    case "p":
      return `(${guid})`;
    case "n":
      return guid.replaceAll("-", "");
    default:
      throw new OperatorError(`a GUID has no format ${JSON.stringify(spec)}`);
  }
}

const TYPES: Readonly<Record<string, (value: Value) => boolean>> = {
  string: (value) => typeof value === "string",
  int: (value) => typeof value === "number" && Number.isInteger(value),
  int32: (value) => typeof value === "number" && Number.isInteger(value),
  bool: (value) => typeof value === "boolean",
  array: isList,
  hashtable: (value) => value instanceof Table,
  scriptblock: (value) => value instanceof Code,
  guid: (value) => value instanceof Thing && value.typeName === "System.Guid",
};

function isOfType(value: Value, type: Value): boolean {
  const name = toText(type)
    .toLowerCase()
    .replace(/^system\./, "");
  const test = Object.hasOwn(TYPES, name) ? TYPES[name] : undefined;
  if (!test) throw new OperatorError(`the type [${toText(type)}] is not known here`);
  return test(value);
}

const OPERATORS: Readonly<Record<string, Operator>> = {
  "+": add,
  "-": arithmetic((a, b) => a - b),
  "*": multiply,
  "/": arithmetic(divide),
  "%": arithmetic((a, b) => {
    divide(a, b);
    return a % b;
  }),
  "..": range,
  eq: comparing(isEqual),
  ne: comparing(not(isEqual)),
  lt: comparing((a, b) => order(a, b) < 0),
  le: comparing((a, b) => order(a, b) <= 0),
  gt: comparing((a, b) => order(a, b) > 0),
  ge: comparing((a, b) => order(a, b) >= 0),
  like: comparing(like),
  notlike: comparing(not(like)),
  match: comparing(isMatch),
  notmatch: comparing(not(isMatch)),
  contains,
  notcontains: not(contains),
  in: isIn,
  notin: not(isIn),
  replace: (text, how, work) =>
    isList(text) ? text.map((item) => replace(item, how, work)) : replace(text, how, work),
  split,
  join: (items, separator, work) => join(items, toText(separator), work),
  f: (pattern, args, work) => format(toText(pattern), args, work),
  is: isOfType,
  isnot: not(isOfType),
  as: (value, type) => castTo(type instanceof TypeName ? type.name : toText(type), value),
  band: bitwise((a, b) => a & b),
  bor: bitwise((a, b) => a | b),
  bxor: bitwise((a, b) => a ^ b),
  shl: bitwise((a, b) => BigInt.asIntN(32, a << (b & 31n))),
  shr: bitwise((a, b) => a >> (b & 31n)),
  xor: (a, b) => isTrue(a) !== isTrue(b),
};
