/** `hnv check`: what is wrong with a fabric file, or will be once frames flow. */
import type { Command } from "commander";
import { checkLab, type Finding, loadFabricFile, type Problem, type Severity } from "../control/index.js";
import { readLabText } from "./lab-file.js";
import { SCHEMA_VERSION } from "./results.js";
import { countOf, out, painter, printJson, type Style } from "./terminal.js";

export function addCheckCommand(program: Command, setExitStatus: (status: number) => void): void {
  program
    .command("check")
    .summary("look for mistakes in a fabric file")
    .description(
      "Finds mistakes in a fabric file, and what will keep packets from arriving in the lab that it describes.",
    )
    .argument("<lab>", "fabric file, - for standard input")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  hnv check lab.yaml
  hnv check lab.yaml --json

Exit status: 0 clean or with warnings, 1 with errors, 2 wrong usage or an unreadable file.`,
    )
    .action((labFile: string, options: { readonly json?: boolean }) => {
      const findings = findingsOf(labFile);
      if (options.json) printResult(labFile, findings);
      else printReport(labFile, findings);
      setExitStatus(countsOf(findings).error > 0 ? 1 : 0);
    });
}

function findingsOf(labFile: string): readonly Finding[] {
  const loaded = loadFabricFile(readLabText(labFile), labFile);
  if (!loaded.ok) return loaded.problems.map(asFinding);
  const found = [...loaded.findings, ...checkLab(loaded.document, loaded.lab)];
  return found.sort((a, b) => a.line - b.line || a.column - b.column);
}

/** A problem keeps the lab from being built, which no finding does. */
const asFinding = ({ code, path, line, column, message, cure }: Problem): Finding => ({
  severity: "error",
  code,
  path,
  line,
  column,
  message,
  cure: cure ?? null,
});

function countsOf(findings: readonly Finding[]): Record<Severity, number> {
  const counts = { error: 0, warning: 0, info: 0 };
  for (const { severity } of findings) counts[severity]++;
  return counts;
}

function printResult(file: string, findings: readonly Finding[]): void {
  const { error, warning, info } = countsOf(findings);
  printJson({ schemaVersion: SCHEMA_VERSION, file, findings, errors: error, warnings: warning, infos: info });
}

const STYLES: Readonly<Record<Severity, Style>> = { error: "red", warning: "yellow", info: "dim" };

function printReport(file: string, findings: readonly Finding[]): void {
  const paint = painter();
  for (const { severity, code, line, column, message, cure } of findings) {
    out(`${file}:${line}:${column}: ${paint(STYLES[severity], severity)}: ${message} [${code}]`);
    if (cure !== null) out(`    cure: ${cure}`);
  }
  const { error, warning, info } = countsOf(findings);
  const parts = [countOf(error, "error"), countOf(warning, "warning"), ...(info > 0 ? [countOf(info, "remark")] : [])];
  out(findings.length === 0 ? `${file}: clean` : `${file}: ${parts.join(", ")}`);
}
