/** `hnv import`: operators' scripts to a fabric file. */
import { chmodSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Imported, importScripts, type ScriptText } from "../control/index.js";
import { failure } from "./errors.js";
import { checkFiles } from "./files.js";
import { problemLine, readText } from "./lab-file.js";
import { SCHEMA_VERSION } from "./results.js";
import { countOf, err, out, painter, printJson, table } from "./terminal.js";

interface ImportCommandOptions {
  readonly output?: string;
  readonly mode: "2012" | "2012R2";
  readonly host: readonly string[];
  readonly set: ReadonlyMap<string, string>;
  readonly lenient?: boolean;
  readonly assumeWildcard?: boolean;
  readonly json?: boolean;
}

export function addImportCommand(program: Command, setExitStatus: (status: number) => void): void {
  program
    .command("import")
    .summary("make a fabric file of operators' scripts")
    .description(
      "Makes a fabric file of PowerShell scripts that configure hosts with NetWNV and Hyper-V cmdlets. Scripts run on tables of this program's own: nothing of this machine, or of any other, is touched.",
    )
    .argument("<script...>", "scripts, run one after the other in one session; - for standard input")
    .option("-o, --output <LAB>", "write the fabric file there (default: standard output)")
    .addOption(
      new Option("--mode <mode>", "the Windows Server of the hosts").choices(["2012", "2012R2"]).default("2012R2"),
    )
    .option(
      "--host <NAME>",
      "a host that there is, may be repeated: others are errors, and the first is where commands act that name none (default: all that the scripts name, and host1)",
      (name: string, before: readonly string[]) => [...before, name],
      [],
    )
    .option("--set <NAME=VALUE>", "a parameter of the first script, may be repeated", parameterValue, new Map())
    .option("--lenient", "a line that begins with a parameter continues the command above")
    .option("--assume-wildcard", "a record for 0.0.0.0 or :: without -Type stands for a gateway")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  hnv import blue.ps1 -o imported.yaml
  hnv import blue.ps1 --json
  hnv import blue.ps1 | hnv check -
  hnv import blue.ps1 --host host1 --host host2 --set Nic=Wnv

What is understood is in docs/IMPORT.md. Exit status: 0 done, 1 done, but
commands of the script failed, as they would have on real hosts, 2 wrong usage or
a script that makes no lab; then nothing is written.`,
    )
    .action((files: readonly string[], options: ImportCommandOptions) => {
      setExitStatus(importFiles(files, options));
    });
}

/** `NAME=VALUE` */
function parameterValue(text: string, before: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Expected NAME=VALUE.");
  return new Map([...before, [text.slice(0, at), text.slice(at + 1)]]);
}

function importFiles(files: readonly string[], options: ImportCommandOptions): number {
  checkFiles(files, options.output === undefined ? [] : [options.output]);
  const scripts = files.map((name): ScriptText => ({ name, text: readText(name, "a script") }));
  const imported = importScripts(scripts, {
    mode: options.mode,
    known: options.host,
    assumeWildcard: options.assumeWildcard === true,
    lenient: options.lenient === true,
    parameters: options.set,
  });
  const { lab, problems, errors } = imported;
  if (lab !== null && options.output !== undefined) writeWhole(options.output, lab);
  if (options.json) printResult(files, imported, options.output);
  else {
    // Where the lab itself goes to standard output, everything about it goes beside.
    const isBeside = options.output === undefined || options.output === "-";
    if (lab !== null && isBeside) process.stdout.write(lab);
    report(imported, options.output, isBeside ? err : out);
    for (const problem of problems) err(problemLine(problem));
  }
  return lab === null ? 2 : errors.length > 0 ? 1 : 0;
}

const BITS_OF_MODE = 0o777;

/** Under its name only when it is whole. As with captures, pipes and devices are written in place, and links lead to the file that is replaced. */
function writeWhole(path: string, text: string): void {
  if (path === "-") return;
  try {
    const existing = statSync(path, { throwIfNoEntry: false });
    if (existing && !existing.isFile()) writeFileSync(path, text);
    else replaceFile(existing ? realpathSync(path) : path, text, existing?.mode);
  } catch (error) {
    throw failure(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function replaceFile(path: string, text: string, mode: number | undefined): void {
  const partial = `${path}.partial`;
  try {
    writeFileSync(partial, text);
    if (mode !== undefined) chmodSync(partial, mode & BITS_OF_MODE);
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
}

function printResult(files: readonly string[], { lab, ...imported }: Imported, output: string | undefined): void {
  const isInside = output === undefined || output === "-";
  printJson({
    schemaVersion: SCHEMA_VERSION,
    scripts: files,
    ...imported,
    output: lab === null || isInside ? null : output,
    lab: isInside ? lab : null,
  });
}

function report(imported: Imported, output: string | undefined, say: (text: string) => void): void {
  const paint = painter();
  for (const line of imported.printed) say(`  | ${line}`);
  const place = ({ file, line, column }: { file: string; line: number; column: number }): string =>
    `${file}:${line}:${column}`;
  for (const warning of imported.warnings) {
    say(`${place(warning)}: ${paint("yellow", "warning")}: ${warning.message} [${warning.code}]`);
    if (warning.cure !== null) say(`    cure: ${warning.cure}`);
  }
  for (const error of imported.errors) {
    say(`${place(error)}: ${paint("red", "error")}: ${error.message} [${error.code}]`);
    if (error.cure !== null) say(`    cure: ${error.cure}`);
  }
  for (const skipped of imported.skipped) say(`${place(skipped)}: skipped: ${skipped.command} is not known here`);
  for (const ignored of imported.ignored) say(`${place(ignored)}: ${ignored.parameter} has no effect in a lab`);
  if (imported.leftOut > 0) say(`${countOf(imported.leftOut, "message")} more`);
  if (imported.lab === null) return;
  const rows = imported.hosts.map((host) => [
    host.name,
    countOf(host.lookupRecords, "lookup record"),
    countOf(host.customerRoutes, "customer route"),
    countOf(host.providerAddresses, "provider address", "provider addresses"),
    countOf(host.providerRoutes, "provider route"),
  ]);
  for (const line of table(rows)) say(line);
  if (output !== undefined && output !== "-") say(`wrote ${output}`);
}
