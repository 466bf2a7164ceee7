/** From what a command line says to the values of a cmdlet's parameters. */
import {
  formatAddress,
  formatMac,
  formatPrefix,
  parseAddress,
  parseMac,
  parsePrefix,
} from "../../dataplane/wire/index.js";
import { PORT_VSID_MAX, VSID_MIN } from "../fabric-file/scalars.js";
import { nearestName } from "../fabric-file/validate.js";
import type { ParameterSpec } from "./cmdlets/cmdlet.js";
import {
  Code,
  ConversionError,
  isList,
  isTrue,
  numberIn,
  readGuidText,
  shown,
  Thing,
  toInteger,
  toText,
  type Value,
} from "./values.js";

/** The command line does not fit the parameters, or a value not its parameter. */
export class BindingError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly cure?: string,
  ) {
    super(message);
  }
}

/** What a call gives, in its order. `value` is undefined for a parameter with nothing behind it. */
export interface Given {
  /** null: by position. */
  readonly name: string | null;
  readonly value: Value | undefined;
}

/** Parameters that all cmdlets have; null: taken and without effect here. */
const COMMON: readonly ParameterSpec[] = [
  { name: "ErrorAction", aliases: ["EA"], kind: "string" },
  { name: "ErrorVariable", aliases: ["EV"], kind: "string" },
  { name: "WarningAction", aliases: ["WA"], kind: "string" },
  { name: "WarningVariable", aliases: ["WV"], kind: "string" },
  { name: "InformationAction", aliases: ["InfA"], kind: "string" },
  { name: "OutVariable", aliases: ["OV"], kind: "string" },
  { name: "OutBuffer", aliases: ["OB"], kind: "int32" },
  { name: "PipelineVariable", aliases: ["PV"], kind: "string" },
  { name: "Verbose", aliases: ["vb"], kind: "switch" },
  { name: "Debug", aliases: ["db"], kind: "switch" },
];
const OF_CHANGES: readonly ParameterSpec[] = [
  { name: "WhatIf", aliases: ["wi"], kind: "switch" },
  { name: "Confirm", aliases: ["cf"], kind: "switch" },
];

/** The parameters of a cmdlet with those that all have. */
export const withCommon = (parameters: readonly ParameterSpec[], changes: boolean): readonly ParameterSpec[] => [
  ...parameters,
  ...COMMON,
  ...(changes ? OF_CHANGES : []),
];

/** Where parameters of other modules come from, for those who have mixed them up. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  skipassource: "it belongs to New-NetIPAddress",
};

/** By the exact name, else an alias, else the one name that begins so. */
export function parameterNamed<P extends { readonly name: string; readonly aliases?: readonly string[] }>(
  name: string,
  parameters: readonly P[],
  command: string,
): P {
  const key = name.toLowerCase();
  const named = parameters.find((parameter) => parameter.name.toLowerCase() === key);
  const aliased = named ?? parameters.find(({ aliases }) => aliases?.some((alias) => alias.toLowerCase() === key));
  if (aliased) return aliased;
  const begun = parameters.filter((parameter) => parameter.name.toLowerCase().startsWith(key));
  if (begun.length === 1) return begun[0]!;
  if (begun.length > 1) {
    const candidates = begun.map((parameter) => `-${parameter.name}`).join(", ");
    throw new BindingError("AMBIGUOUS_PARAMETER", `-${name} could be ${candidates}`, "write more of the name");
  }
  const near = nearestName(
    name,
    parameters.map((parameter) => parameter.name),
  );
  const elsewhere = Object.hasOwn(ELSEWHERE, key) ? ELSEWHERE[key] : undefined;
  const cure = elsewhere ?? (near === undefined ? undefined : `did you mean -${near}?`);
  throw new BindingError("UNKNOWN_PARAMETER", `${command} has no parameter -${name}`, cure);
}

/** Assigns what was given to parameters. What is left over has no place. Throws a BindingError. */
export function assign<
  P extends { readonly name: string; readonly kind: string; readonly position?: number | undefined },
>(
  given: readonly Given[],
  parameters: readonly (P & { readonly aliases?: readonly string[] })[],
  command: string,
): { readonly assigned: Map<P, Value>; readonly left: readonly Value[] } {
  const assigned = new Map<P, Value>();
  const positional: Value[] = [];
  const items = [...given];
  for (let at = 0; at < items.length; at++) {
    const { name, value } = items[at]!;
    if (name === null) {
      positional.push(value!);
      continue;
    }
    const parameter = parameterNamed(name, parameters, command);
    if (assigned.has(parameter)) throw new BindingError("PARAMETER_TWICE", `-${parameter.name} is given twice`);
    const next = items[at + 1];
    if (value !== undefined) assigned.set(parameter, value);
    else if (parameter.kind === "switch") assigned.set(parameter, true);
    else if (next?.name === null) {
      assigned.set(parameter, next.value!);
      at++;
    } else throw new BindingError("MISSING_VALUE", `-${parameter.name} has no value`);
  }
  const free = parameters
    .filter((parameter) => parameter.position !== undefined && !assigned.has(parameter))
    .sort((a, b) => a.position! - b.position!);
  const left = positional.filter((value) => {
    const fits = free.findIndex(({ kind }) => fitsPosition(kind, value));
    if (fits < 0) return true;
    assigned.set(free[fits]!, value);
    free.splice(fits, 1);
    return false;
  });
  return { assigned, left };
}

/** Blocks and adapters have positions of their own beside the texts'. */
function fitsPosition(kind: string, value: Value): boolean {
  const first = isList(value) ? value[0] : value;
  const isAdapter = first instanceof Thing && first.typeName === "VMNetworkAdapter";
  if (kind === "block") return value instanceof Code;
  if (kind === "adapter") return isAdapter;
  return kind === "object" || !(value instanceof Code || isAdapter);
}

/** The value as its parameter takes it. Throws a BindingError that names the parameter. */
export function convertArgument(value: Value, parameter: ParameterSpec): Value {
  try {
    if (!parameter.isList) return convertOne(isList(value) && value.length === 1 ? value[0]! : value, parameter);
    const items = isList(value) ? value : [value];
    return items.map((item) => convertOne(item, parameter));
  } catch (error) {
    if (!(error instanceof ConversionError)) throw error;
    throw new BindingError("BAD_ARGUMENT", `-${parameter.name}: ${error.message}`, cureOf(value));
  }
}

function convertOne(value: Value, { kind, values }: ParameterSpec): Value {
  if (isList(value) && kind !== "object") throw new ConversionError(`one value is expected, not ${value.length}`);
  switch (kind) {
    case "object":
      return value;
    case "adapter":
      if (value instanceof Thing && value.typeName === "VMNetworkAdapter") return value;
      throw new ConversionError(`${shown(value)} is no adapter of a VM`);
    case "block":
      if (value instanceof Code) return value;
      throw new ConversionError(`${shown(value)} is not a script block`);
    case "switch":
      return isTrue(value);
    case "boolean":
      if (typeof value === "boolean") return value;
      if (typeof value === "number") return value !== 0;
      throw new ConversionError(`${shown(value)} is neither $true nor $false`);
    case "string":
      if (value === null) throw new ConversionError("the value is $null");
      return toText(value);
    case "enum":
      return enumValue(value, values!);
    case "vsid":
      return vsidValue(value);
    case "uint64":
    case "uint32":
    case "uint16":
    case "int32":
    case "byte":
      if (value === null) throw new ConversionError("the value is $null");
      return toInteger(value, kind);
    default:
      return networkText(value, kind);
  }
}

function networkText(value: Value, kind: "address" | "prefix" | "mac" | "guid"): string {
  if (value === null) throw new ConversionError("the value is $null");
  const text = toText(value);
  if (kind === "address") {
    const address = parseAddress(text);
    if (address) return formatAddress(address);
    throw new ConversionError(`${shown(value)} is not an IPv4 or IPv6 address`);
  }
  if (kind === "mac") {
    const mac = parseMac(text);
    if (mac !== undefined) return formatMac(mac).replaceAll("-", "");
    throw new ConversionError(`${shown(value)} is not a MAC address of 12 hexadecimal digits`);
  }
  if (kind === "guid") {
    const guid = readGuidText(text);
    if (guid !== undefined) return `{${guid.toUpperCase()}}`;
    throw new ConversionError(`${shown(value)} is not a GUID`);
  }
  const prefix = parsePrefix(text);
  if (prefix === "host-bits") throw new ConversionError(`${shown(value)} has bits set behind its length`);
  if (prefix) return formatPrefix(prefix);
  throw new ConversionError(`${shown(value)} is not a prefix such as 10.0.0.0/24`);
}

/** 0, or 4096 to 16777215: Set-VMNetworkAdapter takes one more than the records do. */
function vsidValue(value: Value): number {
  if (value === null) throw new ConversionError("the value is $null");
  const vsid = toInteger(value, "uint32");
  if (vsid === 0 || (vsid >= VSID_MIN && vsid <= PORT_VSID_MAX)) return vsid;
  throw new ConversionError(`${vsid} is out of range: 0, or ${VSID_MIN} to ${PORT_VSID_MAX}`);
}

/** By name, by the beginning of one name only, or by number. */
function enumValue(value: Value, names: readonly string[]): string {
  const number = typeof value === "number" || /^\d+$/.test(toText(value)) ? numberIn(value) : undefined;
  const text = toText(value).toLowerCase();
  const begun = text === "" ? [] : names.filter((name) => name.toLowerCase().startsWith(text));
  const exact = names.find((name) => name.toLowerCase() === text);
  const found = number === undefined ? (exact ?? (begun.length === 1 ? begun[0] : undefined)) : names[number];
  if (found !== undefined) return found;
  throw new ConversionError(`${shown(value)} is none of ${names.join(", ")}`);
}

const cureOf = (value: Value): string | undefined =>
  value === null
    ? "commands that were skipped give nothing, and variables that were never set hold nothing"
    : undefined;
