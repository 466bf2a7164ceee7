/**
 * Imports operators' scripts: PowerShell that configures hosts with NetWNV and Hyper-V cmdlets, to a fabric file.
 *
 *     text ─► parser.ts ─► syntax tree ─► evaluate.ts ─► hosts.ts ─► to-fabric.ts ─► fabric file, checked as any other
 *                                            │
 *                                            └─► cmdlets/ by tables of their parameters
 *
 * Nothing of this machine is touched: a script changes tables here. It is bounded in steps and memory. A command that fails is told and
 * the script goes on, as PowerShell does; a script that cannot be read, or that ends early, makes no lab.
 */
import { loadSource } from "../fabric-file/load.js";
import { FILE_LENGTH_MAX } from "../fabric-file/source.js";
import type { Problem } from "../problem.js";
import { Budget, LIMITS, type Limits } from "./budget.js";
import { CMDLETS } from "./cmdlets/index.js";
import { Interpreter } from "./evaluate.js";
import { type HostChoices, ScriptHosts } from "./hosts.js";
import { type Ignored, Journal, type Message, type Skipped } from "./journal.js";
import { type Parsed, parseScript } from "./parser.js";
import { LimitReached, type Place, positionOf, Script, ScriptError, type ScriptText } from "./script.js";
import { fabricSource } from "./to-fabric.js";
import { writeYaml } from "./write-yaml.js";

export type { ScriptText } from "./script.js";

export interface ImportOptions extends HostChoices {
  /** A line that begins with a parameter continues the command above. */
  readonly lenient: boolean;
  /** Values of the first script's parameters. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly limits?: Partial<Limits>;
}

/** What a host has after the script. */
export interface ImportedHost {
  readonly name: string;
  readonly lookupRecords: number;
  readonly customerRoutes: number;
  readonly providerAddresses: number;
  readonly providerRoutes: number;
}

export interface Imported {
  /** The fabric file, in YAML; null if there are problems. */
  readonly lab: string | null;
  readonly hosts: readonly ImportedHost[];
  /** Why there is no lab. */
  readonly problems: readonly Problem[];
  /** Commands that failed on the way, as they would have on real hosts. */
  readonly errors: readonly Message[];
  readonly warnings: readonly Message[];
  /** Commands that are not known here, and gave nothing. */
  readonly skipped: readonly Skipped[];
  /** Parameters that change nothing in a lab. */
  readonly ignored: readonly Ignored[];
  /** What the script prints. */
  readonly printed: readonly string[];
  /** How many messages and lines are not listed. */
  readonly leftOut: number;
}

const SCRIPT_LENGTH_MAX = 4_000_000;

/** The scripts, one after the other, in one session. */
export function importScripts(scripts: readonly ScriptText[], options: ImportOptions): Imported {
  const journal = new Journal();
  const hosts = new ScriptHosts(options);
  const problems: Problem[] = [];
  let lab: string | null = null;
  try {
    const parsed = parseAll(scripts, options, journal, problems);
    if (parsed) {
      run(parsed, options, hosts, journal);
      lab = labOf(hosts, journal, scripts, problems);
    }
  } catch (error) {
    problems.push(problemOf(asScriptError(error, scripts)));
  }
  const { errors, warnings, skipped, ignored, output, leftOut } = journal;
  return {
    lab,
    hosts: hosts.all.map(({ name, tables }) => ({
      name,
      lookupRecords: tables.lookupRecords.size,
      customerRoutes: tables.customerRoutes.size,
      providerAddresses: tables.providerAddresses.size,
      providerRoutes: tables.providerRoutes.size,
    })),
    problems,
    errors,
    warnings,
    skipped,
    ignored,
    printed: output,
    leftOut,
  };
}

const startOf = ({ name, text }: ScriptText): Place => ({ script: new Script(name, text.slice(0, 1)), offset: 0 });

/** All scripts, or none and a problem for each that cannot be read. */
function parseAll(
  scripts: readonly ScriptText[],
  options: ImportOptions,
  journal: Journal,
  problems: Problem[],
): readonly Parsed[] | undefined {
  const all = scripts.flatMap((script): readonly Parsed[] => {
    try {
      if (script.text.length > SCRIPT_LENGTH_MAX) {
        const message = `the script has more than ${SCRIPT_LENGTH_MAX} characters`;
        throw new LimitReached("SCRIPT_TOO_LARGE", message, startOf(script));
      }
      return [parseScript(script, options)];
    } catch (error) {
      problems.push(problemOf(asScriptError(error, [script])));
      return [];
    }
  });
  for (const { joined, bareCalls } of all) {
    for (const place of bareCalls) {
      const message =
        "a call without brackets is taken for an argument; where it makes an id, it makes another each time";
      journal.warn("BARE_CALL", message, place, "write ([GUID]::NewGuid()), and once, into a variable");
    }
    if (joined.length === 0) continue;
    const message = `${joined.length === 1 ? "a line" : `${joined.length} lines, this the first,`} taken for a part of the command above`;
    journal.warn("JOINED_LINES", message, joined[0]!);
  }
  return problems.length === 0 ? all : undefined;
}

function run(parsed: readonly Parsed[], options: ImportOptions, hosts: ScriptHosts, journal: Journal): void {
  const budget = new Budget({ ...LIMITS, ...options.limits });
  const interpreter = new Interpreter({ hosts, journal, budget, cmdlets: CMDLETS });
  for (const [index, { block }] of parsed.entries()) {
    interpreter.run(block, index === 0 ? options.parameters : new Map());
  }
}

function labOf(
  hosts: ScriptHosts,
  journal: Journal,
  scripts: readonly ScriptText[],
  problems: Problem[],
): string | null {
  const start = positionOf(startOf(scripts[0]!));
  if (!hosts.all.some(({ tables }) => tables.providerAddresses.size > 0)) {
    const message = "the scripts leave no host with a provider address, so there is nothing to make a lab of";
    const cure = "a host needs a New-NetVirtualizationProviderAddress";
    problems.push({ ...start, path: "", code: "NO_PROVIDER_ADDRESS", message, cure });
    return null;
  }
  const source = fabricSource(hosts, journal, start);
  const loaded = loadSource(source, start.file);
  if (!loaded.ok) {
    for (const problem of loaded.problems) problems.push(problem);
    return null;
  }
  const names = scripts.map(({ name }) => name.replace(/\p{Cc}/gu, "?")).join(", ");
  const text = `# Imported from ${names}.\n${writeYaml(source.plain)}`;
  if (text.length <= FILE_LENGTH_MAX) return text;
  const message = `the fabric file would have ${text.length} characters; at most ${FILE_LENGTH_MAX} are read`;
  problems.push({ ...start, path: "", code: "LAB_TOO_LARGE", message });
  return null;
}

/** An error that a script can cause; what else is thrown is a mistake of ours. */
function asScriptError(error: unknown, scripts: readonly ScriptText[]): ScriptError {
  if (error instanceof ScriptError) return error;
  if (error instanceof RangeError && /call stack/i.test(error.message)) {
    return new LimitReached("SCRIPT_TOO_DEEP", "the script is nested too deeply", startOf(scripts[0]!));
  }
  throw error;
}

const problemOf = ({ code, message, place, cure }: ScriptError): Problem => ({
  ...positionOf(place),
  path: "",
  code,
  message,
  ...(cure === undefined ? {} : { cure }),
});
