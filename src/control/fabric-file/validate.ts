/**
 * A source against the schema: every mistake of form, in words for people, and what is left when those parts are taken out.
 */
import type { z } from "zod";
import type { Path } from "../problem.js";
import type { Loose, Report } from "./report.js";
import { quote } from "./scalars.js";
import { API_VERSION, type FabricFile, fabricFileJsonSchema, fabricFileSchema } from "./schema.js";

/**
 * Reports all mistakes of form. Returns the document without the ill-formed parts, for the checks that look at how its parts
 * agree; `plain` is changed.
 */
export function validateForm(plain: unknown, report: Report): Loose<FabricFile> {
  const result = fabricFileSchema.safeParse(plain, { reportInput: true });
  if (result.success) return result.data;
  const { issues } = result.error;
  // Of one place the first is told; the field's own limit says more than that of whole numbers as such.
  for (const issue of [...issues.filter((one) => !isUnsafe(one)), ...issues.filter(isUnsafe)])
    reportIssue(issue, plain, report);
  for (const issue of issues) {
    const path = issue.path as Path;
    if (issue.code !== "unrecognized_keys") takeOut(plain, path);
    else for (const key of issue.keys) takeOut(plain, [...path, key]);
  }
  return isObject(plain) ? (plain as Loose<FabricFile>) : {};
}

/** The document as it stands, when `validateForm` had nothing to say. */
export const asFabricFile = (loose: Loose<FabricFile>): FabricFile => loose as FabricFile;

type Issue = z.core.$ZodIssue;

/** A number that is too large, or too small, to be exact. */
const isUnsafe = (issue: Issue): boolean =>
  (issue.code === "too_big" || issue.code === "too_small") && issue.origin === "int";

function reportIssue(issue: Issue, plain: unknown, report: Report): void {
  const path = issue.path as Path;
  if (issue.code === "unrecognized_keys") {
    const known = knownFields(path);
    for (const key of issue.keys) {
      report.add([...path, key], "UNKNOWN_FIELD", `unknown field ${quote(key)}`, unknownFieldCure(key, known), true);
    }
    return;
  }
  if (isMissing(plain, path)) {
    const field = String(path[path.length - 1]);
    const cure = field === "apiVersion" ? `begin with: apiVersion: ${API_VERSION}` : undefined;
    report.add(path, "MISSING_FIELD", `the field ${quote(field)} is missing`, cure);
    return;
  }
  const { code, message, cure } = describe(
    issue,
    path.reduce<unknown>((value, step) => valueAt(value, step), plain),
  );
  report.add(path, code, message, cure);
}

interface Description {
  readonly code: string;
  readonly message: string;
  readonly cure?: string;
}

/** `value` is what stands where the issue is; an issue with a choice of mappings has the mapping itself as input. */
function describe(issue: Issue, value: unknown): Description {
  const found = describeInput(issue.code === "invalid_union" ? value : issue.input);
  switch (issue.code) {
    case "invalid_type":
      return { code: "WRONG_TYPE", message: `expected ${typeName(issue.expected)}, found ${found}` };
    case "invalid_value":
      return { code: "NOT_ALLOWED", message: `expected ${orList(issue.values.map(String))}, found ${found}` };
    case "invalid_union":
      return { code: "NOT_ALLOWED", message: `${issue.message}, found ${found}` };
    case "too_small":
    case "too_big":
      return outOfRange(issue, found);
    case "custom": {
      const params = (issue.params ?? {}) as { code?: string; cure?: string };
      const cure = params.cure === undefined ? {} : { cure: params.cure };
      return { code: params.code ?? "NOT_ALLOWED", message: issue.message, ...cure };
    }
    default:
      return { code: "NOT_ALLOWED", message: issue.message };
  }
}

function outOfRange(issue: Extract<Issue, { code: "too_small" | "too_big" }>, found: string): Description {
  const bound = issue.code === "too_small" ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
  if (issue.origin === "array") return { code: "OUT_OF_RANGE", message: `expected ${bound} entries in this list` };
  if (issue.origin === "string") return { code: "OUT_OF_RANGE", message: `expected ${bound} characters` };
  return { code: "OUT_OF_RANGE", message: `${found} is out of range: expected ${bound}` };
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
};
const typeName = (expected: string): string => TYPE_NAMES[expected] ?? expected;

function describeInput(input: unknown): string {
  if (input === null || input === undefined) return "nothing";
  if (Array.isArray(input)) return "a list";
  if (typeof input === "string") return `the text ${quote(input)}`;
  return typeof input === "object" ? "a mapping" : String(input);
}

const orList = (values: readonly string[]): string =>
  values.length < 2 ? values.join("") : `${values.slice(0, -1).join(", ")} or ${values[values.length - 1]}`;

function isMissing(plain: unknown, path: Path): boolean {
  const parent = path.slice(0, -1).reduce<unknown>((value, step) => valueAt(value, step), plain);
  const last = path[path.length - 1];
  return typeof last === "string" && isObject(parent) && !Object.hasOwn(parent, last);
}

function takeOut(plain: unknown, path: Path): void {
  const parent = path.slice(0, -1).reduce<unknown>((value, step) => valueAt(value, step), plain);
  const last = path[path.length - 1];
  if (Array.isArray(parent) && typeof last === "number") parent[last] = undefined;
  else if (isObject(parent) && last !== undefined) delete parent[String(last)];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const valueAt = (value: unknown, step: string | number): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, step)
    ? (value as Record<string | number, unknown>)[step]
    : undefined;

/** The fields that the schema knows in the mapping at `path`. */
function knownFields(path: Path): readonly string[] {
  const schema = path.reduce<unknown>((at, step) => {
    if (!isObject(at)) return undefined;
    return typeof step === "number" ? at.items : valueAt(at.properties, step);
  }, fabricFileJsonSchema());
  return isObject(schema) && isObject(schema.properties) ? Object.keys(schema.properties) : [];
}

function unknownFieldCure(key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known);
  if (nearest !== undefined) return `did you mean ${nearest}?`;
  return `known here: ${known.join(", ")}`;
}

/** The name that differs from `name` by the fewest letters, if these are few enough to be a slip. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    if (candidate.toLowerCase() === name.toLowerCase()) return candidate;
    const distance = editDistance(name.toLowerCase().slice(0, 64), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Letters to insert, remove or change (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
