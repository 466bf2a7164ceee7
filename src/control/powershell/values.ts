/** The values of a running script, and how PowerShell turns one kind into another. */
import type { Block } from "./syntax.js";

export type Value = null | boolean | number | string | readonly Value[] | Table | Thing | Code | TypeName | Unknown;

/** @{ … }: keys without regard to case, in their order. */
export class Table {
  readonly #entries = new Map<string, readonly [string, Value]>();

  get size(): number {
    return this.#entries.size;
  }
  get(key: string): Value | undefined {
    return this.#entries.get(key.toLowerCase())?.[1];
  }
  has(key: string): boolean {
    return this.#entries.has(key.toLowerCase());
  }
  set(key: string, value: Value): this {
    const known = this.#entries.get(key.toLowerCase());
    this.#entries.set(key.toLowerCase(), [known?.[0] ?? key, value]);
    return this;
  }
  delete(key: string): void {
    this.#entries.delete(key.toLowerCase());
  }
  entries(): readonly (readonly [string, Value])[] {
    return [...this.#entries.values()];
  }
}

/** An object with properties: what a cmdlet gives, a GUID, a [pscustomobject]. */
export class Thing {
  constructor(
    readonly typeName: string,
    readonly properties: Table,
    /** How it looks as text; by default its properties. */
    readonly text: string | null = null,
    /** What a cmdlet that takes such objects wants to know and scripts do not see. */
    readonly behind: unknown = null,
    /** The computer that a CIM object came from: commands that it is piped to act there. */
    readonly origin: string | null = null,
  ) {}
}

/** A script block. Its variables are looked up where it runs. */
export class Code {
  constructor(readonly block: Block) {}
}

/** [int] as a value. */
export class TypeName {
  constructor(readonly name: string) {}
}

/**
 * What the real host would know and we do not: the MAC address of an adapter that no command has described. It is what a script first
 * compares it with, if it can be; and where a script wants to have it, it is made up.
 */
export class Unknown {
  constructor(
    readonly suppose: (text: string) => boolean,
    readonly reveal: () => string,
  ) {}
}

export class ConversionError extends Error {}

export const isList = (value: Value): value is readonly Value[] => Array.isArray(value);

/** The objects that a value is in a pipeline: a list is its elements, nothing is none. */
export const objectsOf = (value: Value): readonly Value[] => (isList(value) ? value : value === null ? [] : [value]);

/** What several outputs are as one value. */
export const oneValue = (outputs: readonly Value[]): Value =>
  outputs.length === 0 ? null : outputs.length === 1 ? outputs[0]! : outputs;

export const guidThing = (text: string): Thing => new Thing("System.Guid", new Table().set("Guid", text), text);

/** How many values a text shows before it ends in dots; lists may hold lists, and themselves. */
const SHOWN_MAX = 200_000;

export function toText(value: Value): string {
  return textOf(value, { left: SHOWN_MAX, depth: 0 });
}

function textOf(value: Value, room: { left: number; depth: number }): string {
  if (value === null) return "";
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (value instanceof Table) return "System.Collections.Hashtable";
  if (value instanceof Code) return "{ … }";
  if (value instanceof TypeName) return value.name;
  if (value instanceof Unknown) return value.reveal();
  if (value instanceof Thing && value.text !== null) return value.text;
  if (room.depth >= 8) return "…";
  room.depth++;
  const inner = (item: Value): string => (--room.left < 0 ? "…" : textOf(item, room));
  const text = isList(value)
    ? value
        .slice(0, room.left + 1)
        .map(inner)
        .join(" ")
    : `@{${value.properties
        .entries()
        .map(([name, item]) => `${name}=${inner(item)}`)
        .join("; ")}}`;
  room.depth--;
  return text;
}

export function isTrue(value: Value): boolean {
  for (let depth = 0; isList(value) && value.length === 1 && depth < 8; depth++) value = value[0]!;
  if (isList(value)) return value.length > 0;
  return value !== null && value !== false && value !== 0 && value !== "";
}

/** A number from a value; undefined where there is none in it. */
export function numberIn(value: Value): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (value === null) return 0;
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  if (text === "") return 0;
  if (!/^[-+]?(?:0x[0-9a-f]+|\d+(?:\.\d*)?(?:e[-+]?\d+)?|\.\d+)$/i.test(text)) return undefined;
  return /^[-+]/.test(text) ? (text[0] === "-" ? -1 : 1) * Number(text.slice(1)) : Number(text);
}

const INTEGERS: Readonly<Record<string, readonly [number, number]>> = {
  byte: [0, 0xff],
  sbyte: [-0x80, 0x7f],
  int16: [-0x8000, 0x7fff],
  uint16: [0, 0xffff],
  int: [-0x8000_0000, 0x7fff_ffff],
  int32: [-0x8000_0000, 0x7fff_ffff],
  uint32: [0, 0xffff_ffff],
  long: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
};

/** A whole number of a .NET type, from a number or a text. Throws a ConversionError. */
export function toInteger(value: Value, type: string): number {
  const number = isList(value) && value.length === 1 ? numberIn(value[0]!) : numberIn(value);
  const [least, most] = INTEGERS[type]!;
  if (number === undefined) throw new ConversionError(`${shown(value)} is not a number`);
  const whole = toEven(number);
  if (!(whole >= least && whole <= most)) {
    throw new ConversionError(`${shown(value)} is out of range: ${type} is ${least} to ${most}`);
  }
  return whole;
}

/** .NET rounds halves to the even neighbor. */
export function toEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** A value as messages show it. */
export function shown(value: Value): string {
  if (value === null) return "$null";
  const text = toText(value);
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}

/** The GUID of a text, in lower case and without braces, as .NET prints it. */
export function readGuidText(text: string): string | undefined {
  const [, braced, bare] = /^\s*(?:\{([^{}]*)\}|([^{}]*?))\s*$/.exec(text) ?? [];
  const digits = (braced ?? bare ?? "").toLowerCase();
  if (/^[0-9a-f]{32}$/.test(digits)) return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(digits) ? digits : undefined;
}

/** [type]value. Throws a ConversionError; for types that are not known here, too. */
export function castTo(type: string, value: Value): Value {
  const name = type.toLowerCase().replace(/^system\./, "");
  if (name.endsWith("[]") && !name.endsWith("[][]")) {
    return (isList(value) ? value : value === null ? [] : [value]).map((item) => castTo(name.slice(0, -2), item));
  }
  if (Object.hasOwn(INTEGERS, name)) return toInteger(value, name);
  switch (name) {
    case "string":
      return toText(value);
    case "bool":
    case "boolean":
    case "switch":
    case "management.automation.switchparameter":
      return isTrue(value);
    case "double":
    case "single":
    case "float":
    case "decimal": {
      const number = numberIn(value);
      if (number === undefined) throw new ConversionError(`${shown(value)} is not a number`);
      return number;
    }
    case "guid": {
      const guid = readGuidText(toText(value));
      if (guid === undefined) throw new ConversionError(`${shown(value)} is not a GUID`);
      return guidThing(guid);
    }
    case "array":
      return isList(value) ? value : [value];
    case "void":
      return null;
    case "pscustomobject":
    case "psobject":
    case "management.automation.psobject":
      return value instanceof Table ? new Thing("PSCustomObject", value) : value;
    case "hashtable":
    case "ordered":
    case "collections.specialized.ordereddictionary":
      if (!(value instanceof Table)) throw new ConversionError(`${shown(value)} is not a table`);
      return value;
    case "object":
    case "char":
    case "ipaddress":
    case "net.ipaddress":
    case "scriptblock":
    case "ciminstance":
    case "microsoft.management.infrastructure.ciminstance":
    case "cimsession":
    case "microsoft.management.infrastructure.cimsession":
    case "pscredential":
    case "management.automation.pscredential":
    case "collections.arraylist":
    case "collections.generic.list[string]":
    case "collections.generic.list[object]":
      return value;
    default:
      throw new ConversionError(`the type [${type}] is not known here`);
  }
}
