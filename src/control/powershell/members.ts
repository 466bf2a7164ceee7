/** Properties and methods of values: those of .NET's texts, lists, tables, numbers and GUIDs that scripts use. */
import { format, formatOne, join, OperatorError, type Work } from "./operators.js";
import {
  castTo,
  guidThing,
  isList,
  numberIn,
  objectsOf,
  readGuidText,
  shown,
  Table,
  Thing,
  toEven,
  toInteger,
  toText,
  type Value,
} from "./values.js";

/** $value.name; what there is not, is $null. A list has its own, and else those of its elements. */
export function property(value: Value, name: string, work: Work): Value {
  const key = name.toLowerCase();
  if (value instanceof Table) {
    const found = value.get(name);
    if (found !== undefined) return found;
    if (key === "keys") return value.entries().map(([entry]) => entry);
    if (key === "values") return value.entries().map(([, entry]) => entry);
    return key === "count" ? value.size : null;
  }
  if (value instanceof Thing) return value.properties.get(name) ?? (key === "count" || key === "length" ? 1 : null);
  if (isList(value)) {
    if (key === "count" || key === "length") return value.length;
    work.budget.list(value.length, work.place);
    return value.map((item) => (isList(item) ? null : property(item, name, work))).filter((found) => found !== null);
  }
  if (key === "length" && typeof value === "string") return value.length;
  if (key === "count" || key === "length") return value === null ? 0 : 1;
  return null;
}

type Method = (value: Value, args: readonly Value[], work: Work) => Value;

const text =
  (method: (subject: string, ...args: string[]) => Value): Method =>
  (value, args) =>
    method(toText(value), ...args.map(toText));

const whole = (value: Value | undefined): number => toInteger(value ?? null, "int");

function within(at: number, length: number): number {
  if (at < 0 || at > length) throw new OperatorError(`${at} is behind the end of the text`);
  return at;
}

const TEXT_METHODS: Readonly<Record<string, Method>> = {
  tostring: (value) => value,
  toupper: text((subject) => subject.toUpperCase()),
  tolower: text((subject) => subject.toLowerCase()),
  toupperinvariant: text((subject) => subject.toUpperCase()),
  tolowerinvariant: text((subject) => subject.toLowerCase()),
  trim: text((subject, characters) => trimmed(subject, characters, true, true)),
  trimstart: text((subject, characters) => trimmed(subject, characters, true, false)),
  trimend: text((subject, characters) => trimmed(subject, characters, false, true)),
  startswith: text((subject, start = "") => subject.startsWith(start)),
  endswith: text((subject, end = "") => subject.endsWith(end)),
  contains: text((subject, part = "") => subject.includes(part)),
  indexof: text((subject, part = "") => subject.indexOf(part)),
  lastindexof: text((subject, part = "") => subject.lastIndexOf(part)),
  replace: (value, [from, to], { budget, place }) => {
    const [subject, old, fresh] = [toText(value), toText(from ?? null), toText(to ?? null)];
    if (old === "") throw new OperatorError("an empty text cannot be replaced");
    budget.text(subject.length + (subject.length / old.length) * fresh.length, place);
    return subject.replaceAll(old, () => fresh);
  },
  split: (value, [separators, options], { budget, place }) => {
    const subject = toText(value);
    budget.list(subject.length, place);
    const set =
      separators === undefined ? " \t\n\r" : (isList(separators) ? separators : [separators]).map(toText).join("");
    const parts: string[] = [""];
    for (const character of subject) {
      if (set.includes(character)) parts.push("");
      else parts[parts.length - 1] += character;
    }
    return /RemoveEmptyEntries|^1$/i.test(toText(options ?? null)) ? parts.filter((part) => part !== "") : parts;
  },
  substring: (value, [from, length]) => {
    const subject = toText(value);
    const start = within(whole(from), subject.length);
    const end = length === undefined ? subject.length : within(start + whole(length), subject.length);
    return subject.slice(start, end);
  },
  insert: (value, [at, part], { budget, place }) => {
    const subject = toText(value);
    const start = within(whole(at), subject.length);
    budget.text(subject.length + toText(part ?? null).length, place);
    return subject.slice(0, start) + toText(part ?? null) + subject.slice(start);
  },
  remove: (value, [at, length]) => {
    const subject = toText(value);
    const start = within(whole(at), subject.length);
    return (
      subject.slice(0, start) +
      (length === undefined ? "" : subject.slice(within(start + whole(length), subject.length)))
    );
  },
  padleft: padded((subject, width, fill) => subject.padStart(width, fill)),
  padright: padded((subject, width, fill) => subject.padEnd(width, fill)),
  equals: (value, [other]) => toText(value) === toText(other ?? null),
};

function padded(pad: (subject: string, width: number, fill: string) => string): Method {
  return (value, [width, fill], { budget, place }) => {
    budget.text(whole(width), place);
    return pad(toText(value), whole(width), fill === undefined ? " " : toText(fill));
  };
}

function trimmed(subject: string, characters: string | undefined, atStart: boolean, atEnd: boolean): string {
  const isExtra = (character: string): boolean =>
    characters ? characters.includes(character) : character.trim() === "";
  let [from, to] = [0, subject.length];
  while (atStart && from < to && isExtra(subject[from]!)) from++;
  while (atEnd && to > from && isExtra(subject[to - 1]!)) to--;
  return subject.slice(from, to);
}

const LIST_METHODS: Readonly<Record<string, Method>> = {
  // An ArrayList is a list here, and so a list can grow.
  add: (value, [item], { budget, place }) => {
    const list = value as Value[];
    budget.list(list.length + 1, place, 1);
    list.push(item ?? null);
    return null;
  },
  addrange: (value, [items], { budget, place }) => {
    const list = value as Value[];
    const more = [...objectsOf(items ?? null)];
    budget.list(list.length + more.length, place, more.length);
    for (const item of more) list.push(item);
    return null;
  },
  toarray: (value) => value,
  contains: (value, [item]) =>
    (value as readonly Value[]).some((candidate) => toText(candidate) === toText(item ?? null)),
  indexof: (value, [item]) =>
    (value as readonly Value[]).findIndex((candidate) => toText(candidate) === toText(item ?? null)),
  tostring: () => "System.Object[]",
};

const key = (value: Value | undefined): string => toText(value ?? null);
const TABLE_METHODS: Readonly<Record<string, Method>> = {
  contains: (value, [name]) => (value as Table).has(key(name)),
  containskey: (value, [name]) => (value as Table).has(key(name)),
  containsvalue: (value, [item]) => (value as Table).entries().some(([, entry]) => toText(entry) === key(item)),
  remove: (value, [name]) => {
    (value as Table).delete(key(name));
    return null;
  },
  add: (value, [name, entry], { budget, place }) => {
    const table = value as Table;
    if (table.has(key(name))) throw new OperatorError(`the table already has the key ${shown(name ?? null)}`);
    budget.list(table.size + 1, place, 1);
    table.set(key(name), entry ?? null);
    return null;
  },
  getenumerator: (value) =>
    (value as Table).entries().map(([name, entry]) => {
      const properties = new Table().set("Key", name).set("Name", name).set("Value", entry);
      return new Thing("DictionaryEntry", properties);
    }),
};

/** $value.name(args) */
export function call(value: Value, name: string, args: readonly Value[], work: Work): Value {
  const lower = name.toLowerCase();
  if (value === null) throw new OperatorError(`$null has no method ${name}`);
  const methods =
    typeof value === "string"
      ? TEXT_METHODS
      : isList(value)
        ? LIST_METHODS
        : value instanceof Table
          ? TABLE_METHODS
          : {};
  const method = Object.hasOwn(methods, lower) ? methods[lower] : undefined;
  if (method) return method(value, args, work);
  if (lower === "tostring") return args.length === 0 ? toText(value) : formatOne(value, toText(args[0]!));
  if (lower === "gettype") return new Thing("System.Type", new Table().set("Name", typeName(value)), typeName(value));
  if (lower === "equals") return toText(value) === key(args[0]);
  throw new OperatorError(`${typeName(value)} has no method ${name} here`);
}

function typeName(value: Value): string {
  if (typeof value === "string") return "String";
  if (typeof value === "number") return "Int32";
  if (typeof value === "boolean") return "Boolean";
  if (isList(value)) return "Object[]";
  if (value instanceof Table) return "Hashtable";
  return value instanceof Thing ? value.typeName : "Object";
}

/** What static members need from outside. */
export interface Statics extends Work {
  newGuid(): string;
}

/** [type]::name and [type]::name(args); `args` is undefined for a property. */
export function staticMember(type: string, name: string, args: readonly Value[] | undefined, work: Statics): Value {
  const which = `${type.toLowerCase().replace(/^system\./, "")}::${name.toLowerCase()}`;
  const [first = null, second = null] = args ?? [];
  switch (which) {
    case "guid::newguid":
      return guidThing(work.newGuid());
    case "guid::empty":
      return guidThing("00000000-0000-0000-0000-000000000000");
    case "guid::parse":
    case "guid::new":
      return castTo("guid", first);
    case "guid::tryparse":
      return readGuidText(toText(first)) !== undefined;
    case "string::isnullorempty":
      return toText(first) === "";
    case "string::isnullorwhitespace":
      return toText(first).trim() === "";
    case "string::empty":
      return "";
    case "string::join":
      return join(args && args.length > 2 ? args.slice(1) : second, toText(first), work);
    case "string::format":
      return format(toText(first), isList(second) ? second : (args ?? []).slice(1), work);
    case "string::concat":
      return join(args ?? [], "", work);
    case "int::parse":
    case "int32::parse":
    case "convert::toint32":
      return toInteger(args && args.length > 1 && second === 16 ? `0x${toText(first)}` : first, "int");
    case "convert::tostring":
      return second === 16 ? (numberIn(first) ?? 0).toString(16) : toText(first);
    case "math::max":
      return Math.max(numberIn(first) ?? 0, numberIn(second) ?? 0);
    case "math::min":
      return Math.min(numberIn(first) ?? 0, numberIn(second) ?? 0);
    case "math::floor":
      return Math.floor(numberIn(first) ?? 0);
    case "math::ceiling":
      return Math.ceil(numberIn(first) ?? 0);
    case "math::abs":
      return Math.abs(numberIn(first) ?? 0);
    case "math::pow":
      return (numberIn(first) ?? 0) ** (numberIn(second) ?? 0);
    case "math::round":
      return toEven(numberIn(first) ?? 0);
    case "collections.arraylist::new":
    case "collections.generic.list[string]::new":
    case "collections.generic.list[object]::new":
      return [];
    default:
      throw new OperatorError(`[${type}]::${name} is not known here`);
  }
}
