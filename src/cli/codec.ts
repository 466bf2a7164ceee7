/**
 * What `hnv encap` and `hnv decap` share: one capture through one node, out in the very form in which it came in.
 *
 *     capture ─► rows ─► in │ node │ out ─► stream ─► rewriter ─► capture
 *
 * The output port has no peer, so the kernel writes frames straight into the stream, with room for record headers in between.
 */
import { type Engine, Reason, reasonText } from "../dataplane/index.js";
import { ROW } from "../dataplane/packet/index.js";
import type { PortIndex } from "../dataplane/transposition/index.js";
import { type CaptureReader, createRewriter, openCapture } from "../io/index.js";
import { type Arrivals, arrivalsOf, type BurstLimits, FULL_BURST, type RowMemory } from "./arrivals.js";
import { type Departure, PortTap } from "./departures.js";
import { drive } from "./drive.js";
import { type CodecRecipe, INPUT, makeCodec, OTHER, OUTPUT } from "./engines.js";
import { failure, usageError } from "./errors.js";
import { checkFiles } from "./files.js";
import {
  type Counters,
  conservationLine,
  countersOf,
  engineResult,
  type ReasonResult,
  SCHEMA_VERSION,
} from "./results.js";
import { countOf, err, formatNumber, formatSeconds, printJson, table } from "./terminal.js";
import { BatchedInput } from "./workers/batched-input.js";

/** Names given on the command line. */
export interface CodecFiles {
  readonly input: string;
  readonly output: string;
  readonly json: boolean;
}

/** Refuses what cannot work before anything is opened. */
export function checkCodecFiles({ input, output, json }: CodecFiles): void {
  if (json && output === "-") throw usageError("--json and an output to standard output (-) exclude each other");
  checkFiles([input], [output]);
}

export interface OutputResult {
  readonly file: string;
  readonly frames: number;
}

export interface CodecRun {
  readonly files: CodecFiles;
  readonly recipe: CodecRecipe;
  readonly workers: number;
  /** By how much each frame becomes longer; `first` is the first one, if there is any. */
  frameGrowth(first: Uint8Array | undefined): number;
}

/** Runs the capture through the codec into one output, tells what happened, and fails if the input was damaged. */
export function runCodec(run: CodecRun): Promise<void> {
  return run.workers === 1 ? runAlone(run) : runWithWorkers(run);
}

/** Frames that are not ours but wanted leave at a port of their own, and go to the same file. */
const portsOf = ({ recipe }: CodecRun): readonly PortIndex[] =>
  recipe.kind === "decap" && recipe.keepsOthers ? [OUTPUT, OTHER] : [OUTPUT];

async function runAlone(run: CodecRun): Promise<void> {
  const { files, recipe } = run;
  const engine = makeCodec(recipe);
  const { memory } = engine;
  let tap: PortTap | undefined;
  await runThrough({
    files,
    engine,
    open: async (reader) => {
      const frameGrowth = run.frameGrowth(firstFrame(memory, memory.rows, reader));
      const rewriter = await createRewriter(reader, files.output, { frameGrowth });
      tap = new PortTap(engine, portsOf(run), rewriter, FULL_BURST);
      return tap;
    },
    results: () => [{ file: files.output, frames: tap!.outputs[0]!.frameCount }],
  });
}

async function runWithWorkers(run: CodecRun): Promise<void> {
  const started = performance.now();
  const { files, recipe, workers } = run;
  const { Crew } = await import("./workers/crew.js");
  const crew = new Crew(workers);
  const reader = await openCapture(files.input, crew.memory, { ...crew.readerOptions, keepsBlocks: true });
  try {
    const arrivals = new PeekedArrivals(crew.arrivalsOf([{ port: INPUT, reader }]));
    arrivals.peek(crew.firstRows);
    const input = new BatchedInput(reader);
    const frameGrowth = run.frameGrowth(firstFrame(crew.memory, crew.firstRows, reader));
    const output = await createRewriter(input, files.output, { frameGrowth });
    const outputs = [{ ports: portsOf(run), output }];
    const counters = await crew.drive({ recipe, arrivals, outputs, limits: FULL_BURST, input });
    finish({
      files,
      engine: makeCodec(recipe), // for the names of its ports
      counters,
      reader,
      started,
      workers,
      outputs: [{ file: files.output, frames: output.frameCount }],
    });
  } finally {
    await reader.close();
  }
}

/** An engine made already, and outputs that may be several. */
export interface EngineRun {
  readonly files: CodecFiles;
  readonly engine: Engine;
  readonly limits?: BurstLimits;
  /** Makes the outputs, when the first burst lies in the rows. */
  open(reader: CaptureReader): Promise<Departure>;
  /** What was written, when all is done. */
  results(): readonly OutputResult[];
}

/** As `runCodec`, on this thread. */
export async function runThrough({ files, engine, limits = FULL_BURST, open, results }: EngineRun): Promise<void> {
  const started = performance.now();
  const reader = await openCapture(files.input, engine.memory, { keepsBlocks: true });
  try {
    const arrivals = new PeekedArrivals(arrivalsOf(engine.memory, [{ port: INPUT, reader }], limits));
    arrivals.peek(engine.memory.rows);
    const departure = await open(reader);
    await drive({ engine, arrivals, departures: [departure], drainsBeforeMore: true });
    finish({ files, engine, counters: countersOf(engine), reader, started, workers: 1, outputs: results() });
  } finally {
    await reader.close();
  }
}

/** Fills the rows with the first burst ahead of time, so that outputs can be made to fit its frames. */
class PeekedArrivals implements Arrivals {
  #peeked = 0;

  constructor(private readonly arrivals: Arrivals) {}

  /** The next `fill` must be into the same rows. */
  peek(rows: number): void {
    this.#peeked = this.arrivals.fill(rows);
  }

  fill(rows: number): number {
    const count = this.#peeked || this.arrivals.fill(rows);
    this.#peeked = 0;
    return count;
  }

  more(): Promise<boolean> {
    return this.arrivals.more();
  }
}

/** The first frame of the burst that lies in the rows; undefined if the reader gave none. */
export function firstFrame(memory: RowMemory, rows: number, { frameCount }: CaptureReader): Uint8Array | undefined {
  if (frameCount === 0) return undefined;
  const at = memory.u32(rows + ROW.OFFSET);
  return memory.bytes.subarray(at, at + memory.u32(rows + ROW.LENGTH));
}

interface Account {
  readonly files: CodecFiles;
  readonly engine: Pick<Engine, "nodes" | "ports">;
  readonly counters: Counters;
  readonly reader: CaptureReader;
  /** In the terms of `performance.now`. */
  readonly started: number;
  readonly workers: number;
  readonly outputs: readonly OutputResult[];
}

function finish(account: Account): void {
  report(account);
  const { damage } = account.reader;
  if (damage) throw failure(damage.message);
}

/** The result on standard output as JSON, or a summary on standard error, since the capture may go to standard output. */
function report({ files, engine, counters, reader, started, workers, outputs }: Account): void {
  const elapsedMs = Math.round(performance.now() - started);
  const { drops, passed, totals: counted, flows } = engineResult(engine, counters);
  // What is not ours and was written all the same left the engine like any other frame.
  const others = counters.ports[OTHER]?.tx.packets ?? 0;
  const totals = { ...counted, delivered: counted.delivered - others, passed: counted.passed + others };
  if (files.json) {
    const damage = reader.damage
      ? { code: reader.damage.code, offset: reader.damage.offset, message: reader.damage.message }
      : null;
    const input = { file: files.input, frames: reader.frameCount, damage };
    printJson({ schemaVersion: SCHEMA_VERSION, input, outputs, drops, passed, totals, flows, workers, elapsedMs });
    return;
  }
  err(`read ${countOf(reader.frameCount, "frame")} from ${reader.file}`);
  for (const { file, frames } of outputs)
    err(`wrote ${countOf(frames, "frame")} to ${file === "-" ? "standard output" : file}`);
  for (const line of table(drops.map(dropRow), "dropped ")) err(line);
  err(`${conservationLine(totals)}, in ${formatSeconds(elapsedMs)}${rateOf(totals.in, elapsedMs)}`);
}

const dropRow = ({ count, reason }: ReasonResult): readonly (string | number)[] => [
  count,
  reason,
  reasonText(Reason[reason]),
];

const rateOf = (frames: number, elapsedMs: number): string =>
  elapsedMs < 100 ? "" : ` (${formatNumber(Math.round(frames / (elapsedMs / 1000)))} frames/s)`;
