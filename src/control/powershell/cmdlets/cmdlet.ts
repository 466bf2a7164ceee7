/** What a cmdlet is here: a table of parameters, and what it does. Binding and conversion follow from the table. */
import type { Budget } from "../budget.js";
import type { ScriptHosts } from "../hosts.js";
import type { Place } from "../script.js";
import type { Code, Value } from "../values.js";

/** How a parameter's value is read. Addresses, prefixes, MAC addresses and GUIDs are texts in the form that the cmdlets print. */
export type ValueKind =
  | "string"
  | "uint64"
  | "uint32"
  | "uint16"
  | "int32"
  | "byte"
  | "boolean"
  | "switch"
  | "address"
  | "prefix"
  | "mac"
  | "guid"
  | "vsid"
  | "enum"
  | "block"
  /** What Get-VMNetworkAdapter gives. */
  | "adapter"
  | "object";

export interface ParameterSpec {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly kind: ValueKind;
  /** Takes several values. */
  readonly isList?: boolean;
  readonly isRequired?: boolean;
  /** From 0; without one it has to be named. */
  readonly position?: number;
  /** Takes all values that are left over. */
  readonly takesRest?: boolean;
  /** Takes the objects of the pipeline. */
  readonly fromPipeline?: boolean;
  /** Of enumerations, by their number. */
  readonly values?: readonly string[];
  /** Names of sessions or computers: the cmdlet runs once for each. */
  readonly isSession?: boolean;
  /** The parameter came with Windows Server 2012 R2. */
  readonly isNewInR2?: boolean;
  /** Taken, and of no effect in a lab. */
  readonly isIgnored?: boolean;
}

/** The values that a call gave, by the parameters' names as the table spells them. */
export type Arguments = ReadonlyMap<string, Value>;

export interface Call {
  /** As the table spells it. */
  readonly cmdlet: string;
  readonly args: Arguments;
  /** The objects of the pipeline; undefined when the cmdlet stands at its beginning. */
  readonly input: readonly Value[] | undefined;
  /** Where it acts. */
  readonly host: string;
  readonly hosts: ScriptHosts;
  readonly budget: Budget;
  readonly place: Place;
  /** Does another command of the pipeline take what it emits? */
  readonly isPiped: boolean;
  /** The computers that sessions or names stand for; those that there are not are errors. */
  hostsOf(sessions: Value): Iterable<string>;
  newGuid(): string;
  emit(value: Value): void;
  /** An error of this command, which goes on. */
  fail(code: string, message: string, cure?: string): void;
  warn(code: string, message: string, cure?: string): void;
  say(text: string): void;
  /** Prints a value as PowerShell prints what nobody takes. */
  show(value: Value): void;
  /** Runs a block here, as ForEach-Object does: $_ is the item. */
  runBlock(code: Code, item: Value): readonly Value[];
  /** Runs a block on a computer, with nothing of the caller's but what $using: names. */
  runOn(host: string, code: Code, args: readonly Value[]): readonly Value[];
}

export interface Cmdlet {
  readonly name: string;
  readonly parameters: readonly ParameterSpec[];
  /** Knows -WhatIf and -Confirm. */
  readonly changes?: boolean;
  /** Is called once with all objects of the pipeline; otherwise once for each. */
  readonly takesAll?: boolean;
  readonly isNewInR2?: boolean;
  run(call: Call): void;
}

// Tables of parameters are long; these make them short.

/** Parameters of one kind that are named only. */
export const named = (kind: ValueKind, ...names: readonly string[]): readonly ParameterSpec[] =>
  names.map((name) => ({ name, kind }));

/** Parameters of one kind at the positions 0, 1, … */
export const positioned = (kind: ValueKind, ...names: readonly string[]): readonly ParameterSpec[] =>
  names.map((name, position) => ({ name, kind, position }));

/** Objects of the pipeline. */
export const INPUT_OBJECT: ParameterSpec = { name: "InputObject", kind: "object", isList: true, fromPipeline: true };

/** What all CIM cmdlets have: -CimSession A, B runs the cmdlet on each. */
export const CIM: readonly ParameterSpec[] = [
  { name: "CimSession", aliases: ["Session"], kind: "object", isList: true, isSession: true },
  ...named("int32", "ThrottleLimit"),
  ...named("switch", "AsJob"),
];
