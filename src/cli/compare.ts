/** `hnv compare`: two captures, frame by frame. */
import { type Command, InvalidArgumentError } from "commander";
import { dissect } from "../dataplane/wire/index.js";
import { type CapturedFrame, CaptureError, readFrames } from "../io/index.js";
import { compareFrames, type Difference, type Ignored } from "./compare-frames.js";
import { CliError, usageError } from "./errors.js";
import { checkFiles } from "./files.js";
import { integer } from "./options.js";
import { SCHEMA_VERSION } from "./results.js";
import { countOf, out, painter, printJson } from "./terminal.js";

const IGNORABLE = ["identification", "checksum", "timestamps"] as const;
type Ignorable = (typeof IGNORABLE)[number];

interface CompareOptions {
  readonly ignore: readonly Ignorable[];
  readonly limit: number;
  readonly json?: boolean;
}

const LIMIT = 20;

export function addCompareCommand(program: Command, setExitStatus: (status: number) => void): void {
  program
    .command("compare")
    .summary("tell two captures apart")
    .description("Compares two captures frame by frame, and tells what differs and in which header field.")
    .argument("<a>", "capture, - for standard input")
    .argument("<b>", "capture, - for standard input")
    .option("--ignore <list>", `what may differ, of ${IGNORABLE.join(", ")}; separated by commas`, parseIgnored, [])
    .option("--limit <N>", "differences that are shown; all are counted", integer(0, 1_000_000_000), LIMIT)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  hnv compare expected.pcap wire.pcap
  hnv compare expected.pcap wire.pcap --ignore identification,checksum,timestamps
  hnv compare a.pcap b.pcapng --json

Identification and checksum are those of the outermost IPv4 header. Exit status: 0 no difference, 1 differences or a damaged
capture, 2 wrong usage.`,
    )
    .action(async (a: string, b: string, options: CompareOptions) => {
      const isSame = await compare(a, b, options);
      setExitStatus(isSame ? 0 : 1);
    });
}

function parseIgnored(text: string): readonly Ignorable[] {
  return text.split(",").map((word) => {
    const found = IGNORABLE.find((candidate) => candidate === word.trim());
    if (!found) throw new InvalidArgumentError(`Expected a list of ${IGNORABLE.join(", ")}.`);
    return found;
  });
}

interface Counts {
  equal: number;
  changed: number;
  /** In the first capture only. */
  missing: number;
  /** In the second only. */
  extra: number;
}

async function compare(fileA: string, fileB: string, { ignore, limit, json }: CompareOptions): Promise<boolean> {
  if (fileA === "-" && fileB === "-") throw usageError("standard input (-) can be read only once");
  checkFiles([fileA, fileB], []);
  const ignored: Ignored = {
    identification: ignore.includes("identification"),
    checksum: ignore.includes("checksum"),
    timestamps: ignore.includes("timestamps"),
  };
  const a = new UpToDamage(fileA);
  const b = new UpToDamage(fileB);
  const counts: Counts = { equal: 0, changed: 0, missing: 0, extra: 0 };
  const shown: Difference[] = [];
  for await (const result of compareFrames(a.frames(), b.frames(), ignored)) {
    if (result === "equal") counts.equal++;
    else {
      counts[result.kind]++;
      if (shown.length < limit) shown.push(result);
    }
  }
  const isSame = counts.changed + counts.missing + counts.extra === 0;
  const files = { a: { file: fileA, frames: a.count }, b: { file: fileB, frames: b.count } };
  if (json)
    printJson({
      schemaVersion: SCHEMA_VERSION,
      ...files,
      ignored: ignore,
      isSame,
      ...counts,
      differences: shown.map(toJson),
    });
  else printReport(files.a, files.b, counts, shown);
  const damage = [a.damage, b.damage].flatMap((error) => (error ? [`hnv: ${error.message}`] : []));
  if (damage.length > 0) throw new CliError(1, damage);
  return isSame;
}

/** The frames of a capture up to where it is damaged; the damage is told in the end. */
class UpToDamage {
  count = 0;
  damage: CaptureError | undefined;

  constructor(private readonly file: string) {}

  async *frames(): AsyncGenerator<CapturedFrame, void, void> {
    try {
      for await (const frame of readFrames(this.file)) {
        this.count++;
        yield frame;
      }
    } catch (error) {
      if (!(error instanceof CaptureError) || this.count === 0) throw error;
      this.damage = error;
    }
  }
}

const toJson = (difference: Difference): unknown =>
  difference.kind === "changed" ? difference : { ...difference, frame: Buffer.from(difference.frame).toString("hex") };

interface ComparedFile {
  readonly file: string;
  readonly frames: number;
}

function printReport(a: ComparedFile, b: ComparedFile, counts: Counts, shown: readonly Difference[]): void {
  const paint = painter();
  for (const difference of shown) for (const line of differenceLines(difference, a.file, b.file)) out(line);
  const { equal, changed, missing, extra } = counts;
  const all = changed + missing + extra;
  if (all > shown.length)
    out(paint("dim", `… and ${countOf(all - shown.length, "more difference")}; --limit shows more`));
  if (all === 0) out(paint("green", `no difference in ${countOf(equal, "frame")}`));
  else {
    const parts = [
      `${equal} equal`,
      `${changed} changed`,
      `${missing} only in ${a.file}`,
      `${extra} only in ${b.file}`,
    ];
    out(paint("red", parts.join(", ")));
  }
}

function differenceLines(difference: Difference, fileA: string, fileB: string): string[] {
  switch (difference.kind) {
    case "changed": {
      const { a, b, fields } = difference;
      const title = a === b ? `frame ${a}` : `frame ${a} | ${b}`;
      return fields.map(({ field, offset, a: left, b: right }) => {
        const place = offset === null ? field : `${field} at ${offset}`;
        return `${title}: ${place}: ${left} | ${right}`;
      });
    }
    case "missing":
      return [`frame ${difference.a} only in ${fileA}: ${summary(difference.frame)}`];
    case "extra":
      return [`frame ${difference.b} only in ${fileB}: ${summary(difference.frame)}`];
  }
}

/** The innermost header says most. */
const summary = (frame: Uint8Array): string => `${frame.length} octets, ${dissect(frame).at(-1)?.trim() ?? "empty"}`;
