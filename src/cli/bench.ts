/** `hnv bench`: how many packets a second the engine carries, case by case. */
import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  type BenchCase,
  benchList,
  caseName,
  DEFAULT_CASE,
  memoryBytesOf,
  SIZE_MAX,
  SIZE_MIN,
  withMisses,
} from "./bench/cases.js";
import { type CaseResult, runCase } from "./bench/crew.js";
import { hex } from "./bench/measure.js";
import { usageError } from "./errors.js";
import { integer } from "./options.js";
import { SCHEMA_VERSION } from "./results.js";
import { formatNumber, out } from "./terminal.js";

interface BenchOptions {
  readonly size?: number;
  readonly flows?: number;
  readonly misses?: boolean;
  readonly direction?: BenchCase["direction"];
  readonly inner?: "4" | "6";
  readonly outer?: "4" | "6";
  readonly workers?: number;
  readonly output: BenchCase["output"];
  readonly seconds: number;
  readonly json?: boolean;
}

const FLOWS_MAX = 4_000_000;
const WORKERS_MAX = 256;
const SECONDS_MAX = 3600;
const SECONDS_DEFAULT = 1.5;
/** What one engine's 32-bit addresses reach, less what is not counted. */
const MEMORY_MAX = 3.75 * 2 ** 30;

export function addBenchCommand(program: Command): void {
  program
    .command("bench")
    .summary("measure how fast packets are carried")
    .description(
      "Sends made-up frames through a host's whole data plane and measures. Without options of a case: a list of some forty.",
    )
    .option("--size <N>", `bytes of the VM's frame (default: ${DEFAULT_CASE.size})`, integer(SIZE_MIN, SIZE_MAX))
    .option("--flows <N>", `flows, in random order (default: ${DEFAULT_CASE.flows})`, integer(1, FLOWS_MAX))
    .addOption(new Option("--misses", "every packet begins a new flow").conflicts("flows"))
    .addOption(new Option("--direction <which>", "from the VM to the wire, or back").choices(["encap", "decap"]))
    .addOption(new Option("--inner <family>", "IP version of the VMs").choices(["4", "6"]))
    .addOption(new Option("--outer <family>", "IP version of the tunnel").choices(["4", "6"]))
    .option("--workers <N>", "engines side by side, a thread each (default: 1)", integer(1, WORKERS_MAX))
    .addOption(
      new Option("--output <where>", "leave frames in slots, or collect them as for a capture file")
        .choices(["slots", "capture"])
        .default("slots"),
    )
    .option("--seconds <S>", "how long each case is measured", seconds, SECONDS_DEFAULT)
    .option("--json", "print each case as JSON, on one line")
    .addHelpText(
      "after",
      `
Examples:
  hnv bench --size 1500 --flows 1000 --seconds 0.1
  hnv bench --direction decap --inner 6 --outer 6 --workers 2 --seconds 0.1
  hnv bench --misses --seconds 0.1 --json

docs/CLI.md says what each figure means. Exit status: 0 done, 1 a case was not carried as it should be, 2 wrong usage.`,
    )
    .action(bench);
}

function seconds(text: string): number {
  const value = /^\d{1,4}(\.\d{1,6})?$/.test(text) ? Number(text) : 0;
  if (!(value > 0 && value <= SECONDS_MAX))
    throw new InvalidArgumentError(`Expected seconds, more than 0 and at most ${SECONDS_MAX}.`);
  return value;
}

async function bench(options: BenchOptions): Promise<void> {
  const cases = chosenCases(options);
  const finished: CaseResult[] = [];
  if (!options.json) out(rowOf(COLUMNS.map(({ title }) => title)));
  for (const [index, one] of cases.entries()) {
    showProgress(`case ${index + 1} of ${cases.length}: ${caseName(one)}`);
    const result = await runCase(one, options.seconds).finally(() => showProgress(""));
    finished.push(result);
    const line = { ...result, speedup: speedupOf(result, finished) };
    out(options.json ? JSON.stringify(toJson(line)) : rowOf(COLUMNS.map(({ cell }) => cell(line))));
  }
}

/** The one case that options describe; the list, if there are none. */
function chosenCases(options: BenchOptions): BenchCase[] {
  const { size, flows, misses, direction, inner, outer, workers, output } = options;
  const asked = [size, flows, misses, direction, inner, outer, workers].some((value) => value !== undefined);
  if (!asked) return benchList(output, availableParallelism());
  const given: BenchCase = {
    direction: direction ?? DEFAULT_CASE.direction,
    inner: inner === "6" ? 6 : 4,
    outer: outer === "6" ? 6 : 4,
    size: size ?? DEFAULT_CASE.size,
    flows: flows ?? DEFAULT_CASE.flows,
    traffic: "hits",
    output,
    workers: workers ?? DEFAULT_CASE.workers,
  };
  const one = misses ? withMisses(given) : given;
  if (one.flows < one.workers) {
    throw usageError(
      `${one.workers} workers need at least as many flows; there ${one.flows === 1 ? "is" : "are"} ${one.flows}`,
    );
  }
  if (memoryBytesOf(one) > MEMORY_MAX) {
    throw usageError(
      `${formatNumber(one.flows)} flows with frames of ${one.size} bytes do not fit one worker's memory of 4 GiB; use fewer flows, shorter frames or more workers`,
    );
  }
  return [one];
}

interface Line extends CaseResult {
  /** How many times the rate of the same case with one worker; null if that is not among the cases before. */
  readonly speedup: number | null;
}

function speedupOf(result: CaseResult, finished: readonly CaseResult[]): number | null {
  if (result.case.workers === 1) return null;
  const wanted = caseName({ ...result.case, workers: 1 });
  const single = finished.find((other) => caseName(other.case) === wanted);
  return single ? result.packetsPerSecond.median / single.packetsPerSecond.median : null;
}

interface Column {
  readonly title: string;
  readonly width: number;
  readonly cell: (line: Line) => string;
}

/** The table is printed line by line, so its widths are fixed. */
const COLUMNS: readonly Column[] = [
  { title: "way", width: 5, cell: ({ case: { direction } }) => direction },
  { title: "IP in IP", width: 8, cell: ({ case: { inner, outer } }) => `v${inner} in v${outer}` },
  { title: "bytes", width: 5, cell: ({ case: { size } }) => String(size) },
  {
    title: "flows",
    width: 9,
    cell: ({ case: one }) => (one.traffic === "misses" ? "all new" : formatNumber(one.flows)),
  },
  { title: "workers", width: 7, cell: ({ case: { workers } }) => String(workers) },
  { title: "Mpps", width: 7, cell: ({ packetsPerSecond }) => (packetsPerSecond.median / 1e6).toFixed(2) },
  { title: "±", width: 5, cell: ({ packetsPerSecond }) => `${(100 * packetsPerSecond.spread).toFixed(0)} %` },
  { title: "ns/packet", width: 9, cell: ({ packetsPerSecond }) => (1e9 / packetsPerSecond.median).toFixed(1) },
  { title: "Gbit/s", width: 7, cell: ({ wireBitsPerSecond }) => (wireBitsPerSecond / 1e9).toFixed(2) },
  { title: "copy GB/s", width: 9, cell: ({ copiedBytesPerSecond }) => (copiedBytesPerSecond / 1e9).toFixed(2) },
  { title: "of copy", width: 7, cell: ({ copyBandwidthShare }) => copyBandwidthShare.toFixed(2) },
  { title: "heap B/packet", width: 13, cell: ({ allocBytesPerPacket }) => allocBytesPerPacket.toFixed(2) },
  { title: "of 1 worker", width: 11, cell: ({ speedup }) => (speedup === null ? "" : speedup.toFixed(2)) },
  { title: "digest", width: 8, cell: ({ digest }) => hex(digest) },
];

const rowOf = (cells: readonly string[]): string =>
  cells.map((cell, index) => cell.padStart(COLUMNS[index]!.width)).join("  ");

const toJson = ({ case: one, ...result }: Line): unknown => ({
  schemaVersion: SCHEMA_VERSION,
  case: caseName(one),
  direction: one.direction,
  inner: one.inner,
  outer: one.outer,
  size: one.size,
  flows: one.flows,
  traffic: one.traffic,
  output: one.output,
  workers: one.workers,
  mpps: rounded(result.packetsPerSecond.median / 1e6),
  spread: rounded(result.packetsPerSecond.spread),
  nsPerPacket: rounded(1e9 / result.packetsPerSecond.median),
  gbps: rounded(result.wireBitsPerSecond / 1e9),
  allocBytesPerPacket: rounded(result.allocBytesPerPacket),
  copyGigabytesPerSecond: rounded(result.copiedBytesPerSecond / 1e9),
  copyBandwidthShare: rounded(result.copyBandwidthShare),
  speedup: result.speedup === null ? null : rounded(result.speedup),
  hits: result.hits,
  misses: result.misses,
  digest: hex(result.digest),
});

/** More digits than that are noise. */
const rounded = (value: number): number => Number(value.toPrecision(4));

/** On a terminal only; an empty text takes the line away. */
function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${text}\u001b[K`);
}
