/** `hnv check`: what is wrong with a fabric file, or will be once frames flow, and who can reach whom. */
import type { Command } from "commander";
import {
  checkLab,
  type DomainReach,
  type FabricFile,
  type Finding,
  loadFabricFile,
  type Problem,
  reachabilityOf,
  type Severity,
  settledLab,
} from "../control/index.js";
import { kernelModule } from "../kernel-file.js";
import { Lab } from "../vswitch/index.js";
import { reachReport, reachToJson } from "./check/reach-report.js";
import { readLabText } from "./lab-file.js";
import { SCHEMA_VERSION } from "./results.js";
import { countOf, out, painter, printJson, type Style } from "./terminal.js";

export function addCheckCommand(program: Command, setExitStatus: (status: number) => void): void {
  program
    .command("check")
    .summary("look for mistakes in a fabric file")
    .description(
      "Finds mistakes in a fabric file, what will keep packets from arriving in the lab that it describes, and who can reach whom.",
    )
    .argument("<lab>", "fabric file, - for standard input")
    .option("--no-reach", "do not try who can reach whom")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  hnv check lab.yaml
  hnv check lab.yaml --json
  hnv check lab.yaml --no-reach

Who can reach whom does not change the exit status. Exit status: 0
clean or with warnings, 1 with errors, 2 wrong usage or an unreadable file.`,
    )
    .action((labFile: string, options: { readonly reach: boolean; readonly json?: boolean }) => {
      const checked = check(labFile, options.reach);
      if (options.json) printResult(labFile, checked);
      else printReport(labFile, checked);
      setExitStatus(countsOf(checked.findings).error > 0 ? 1 : 0);
    });
}

interface Checked {
  readonly findings: readonly Finding[];
  /** Null when nobody asked, or there is no lab to ask. */
  readonly reach: readonly DomainReach[] | null;
  readonly domains: FabricFile["routingDomains"];
}

/** Entries for the few flows that are asked about: none, since tracing installs nothing. */
const FLOW_CAPACITY = 1024;

function check(labFile: string, wantsReach: boolean): Checked {
  const loaded = loadFabricFile(readLabText(labFile), labFile);
  if (!loaded.ok) return { findings: loaded.problems.map(asFinding), reach: null, domains: undefined };
  const found = [...loaded.findings, ...checkLab(loaded.document, loaded.lab)];
  const findings = found.sort((a, b) => a.line - b.line || a.column - b.column);
  const domains = loaded.document.fabric.routingDomains;
  if (!wantsReach) return { findings, reach: null, domains };
  const lab = new Lab(settledLab(loaded), { kernel: kernelModule(), flowCapacity: FLOW_CAPACITY });
  return { findings, reach: reachabilityOf(lab), domains };
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

function printResult(file: string, { findings, reach, domains }: Checked): void {
  const { error, warning, info } = countsOf(findings);
  const counts = { errors: error, warnings: warning, infos: info };
  const reachability = reach?.map((domain) => reachToJson(domain, domains)) ?? null;
  printJson({ schemaVersion: SCHEMA_VERSION, file, findings, ...counts, reachability });
}

const STYLES: Readonly<Record<Severity, Style>> = { error: "red", warning: "yellow", info: "dim" };

function printReport(file: string, { findings, reach, domains }: Checked): void {
  const paint = painter();
  for (const { severity, code, line, column, message, cure } of findings) {
    out(`${file}:${line}:${column}: ${paint(STYLES[severity], severity)}: ${message} [${code}]`);
    if (cure !== null) out(`    cure: ${cure}`);
  }
  const { error, warning, info } = countsOf(findings);
  const parts = [countOf(error, "error"), countOf(warning, "warning"), ...(info > 0 ? [countOf(info, "remark")] : [])];
  out(findings.length === 0 ? `${file}: clean` : `${file}: ${parts.join(", ")}`);
  for (const domain of reach ?? []) for (const line of reachReport(domain, domains)) out(line);
}
