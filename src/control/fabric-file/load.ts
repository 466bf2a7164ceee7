/**
 * Loads a fabric file, or policy as PowerShell prints it (`powershell/policy-json.ts`): text in; a lab out, or every mistake in the file, each with its line and column.
 *
 * Four steps, all of which report into one list: syntax (`source.ts`), form (`validate.ts`), agreement (`consistency/`), and, only
 * when none of them complained, derivation (`derive.ts`), which cannot fail. Nothing is applied here, and nothing half.
 */
import type { LabSettings } from "../../vswitch/index.js";
import type { Finding, Path, Problem } from "../problem.js";
import { checkConsistency } from "./consistency/index.js";
import { deriveLab } from "./derive.js";
import { isPolicyJson, readPolicyJson } from "./powershell/policy-json.js";
import { type Loose, Report } from "./report.js";
import type { FabricFile } from "./schema.js";
import { readSource, type Source, type SourcePosition } from "./source.js";
import { asFabricFile, validateForm } from "./validate.js";

/** A fabric file as it was written, and where in the file each of its parts stands. */
export interface FabricDocument {
  readonly fileName: string;
  readonly fabric: FabricFile;
  position(path: Path): SourcePosition;
}

export type Loaded =
  | {
      readonly ok: true;
      readonly lab: LabSettings;
      readonly document: FabricDocument;
      /** What was noticed while reading; `checkLab` looks at the lab itself. */
      readonly findings: readonly Finding[];
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** `fileName` is for messages only; no file is opened. */
export const loadFabricFile = (text: string, fileName: string): Loaded =>
  loadSource(isPolicyJson(text) ? readPolicyJson(text) : readSource(text), fileName);

/** The same of what was read, or made, otherwise. */
export function loadSource(source: Source, fileName: string): Loaded {
  const report = new Report(fileName, source);
  for (const { derails: _, ...problem } of source.problems) report.put({ file: fileName, path: "", ...problem });
  const loose = checkDocument(source, fileName, report);
  if (loose === undefined || !report.isEmpty) return { ok: false, problems: report.problems() };

  const fabric = asFabricFile(loose);
  const document: FabricDocument = { fileName, fabric, position: (path) => source.position(path) };
  return { ok: true, lab: deriveLab(fabric), document, findings: warnings(source) };
}

/** Form and agreement; undefined when there is no document to look at. */
function checkDocument(source: Source, fileName: string, report: Report): Loose<FabricFile> | undefined {
  if (source.plain === undefined) return undefined;
  const derailed = source.problems.filter((problem) => problem.derails).map((problem) => problem.line);
  if (derailed.length === 0) {
    const loose = validateForm(source.plain, report);
    checkConsistency({ file: loose, report });
    return loose;
  }
  // After a syntax error the parser's idea of the structure is a guess: keep what is wrong with values before it, nothing else.
  const guesses = new Report(fileName, source);
  checkConsistency({ file: validateForm(source.plain, guesses), report: guesses });
  const firstError = Math.min(...derailed);
  for (const problem of guesses.problems()) {
    if (problem.line < firstError && !NEEDS_THE_WHOLE.has(problem.code)) report.put(problem);
  }
  return undefined;
}

/** What can be said of a whole document only: the part behind the syntax error may hold what seems to be missing. */
const NEEDS_THE_WHOLE: ReadonlySet<string> = new Set([
  "MISSING_FIELD",
  "WRONG_TYPE",
  "UNKNOWN_HOST",
  "UNKNOWN_NIC",
  "UNKNOWN_VSID",
  "NO_NIC",
  "NO_PROVIDER_ADDRESS",
  "PREFIX_LENGTH_MISSING",
  "PA_OUTSIDE_PROVIDER",
]);

const warnings = (source: Source): readonly Finding[] =>
  source.warnings.map(({ code, line, column, message, cure }) => ({
    severity: "warning",
    code: code === "YAML_SYNTAX" ? "YAML_WARNING" : code,
    path: "",
    line,
    column,
    message,
    cure: cure ?? null,
  }));
