/**
 * What `hnv encap` and `hnv decap` share: one capture through one node, out in the very form in which it came in.
 *
 *     capture ─► rows ─► in │ node │ out ─► stream ─► rewriter ─► capture
 *
 * The output port has no peer, so the kernel writes frames straight into the stream, with room for record headers in between.
 */
import { Engine, type PortSpec, Reason, reasonText } from "../dataplane/index.js";
import { ROW } from "../dataplane/packet/index.js";
import type { Node } from "../dataplane/slowpath/index.js";
import type { NodeIndex, PortIndex } from "../dataplane/transposition/index.js";
import { type CaptureReader, openCapture } from "../io/index.js";
import { kernelModule } from "../kernel-file.js";
import { type Arrivals, arrivalsOf, type BurstLimits, FULL_BURST } from "./arrivals.js";
import type { Departure } from "./departures.js";
import { drive } from "./drive.js";
import { failure, usageError } from "./errors.js";
import { checkFiles } from "./files.js";
import { conservationLine, engineResult, type ReasonResult, SCHEMA_VERSION } from "./results.js";
import { countOf, err, formatNumber, formatSeconds, printJson, table } from "./terminal.js";

/** Where frames enter the codec. */
export const INPUT = 0 as PortIndex;
/** The codec's only node. */
export const CODEC = 0 as NodeIndex;

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

/** An engine with one node and the ports of a codec. */
export function codecEngine(node: Node, portNames: readonly string[], isTunnelInput: boolean): Engine {
  const ports = portNames.map(
    (name, index): PortSpec => ({ name, node: CODEC, tunnel: isTunnelInput && index === INPUT, peer: null }),
  );
  return new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 1024 });
}

export interface OutputResult {
  readonly file: string;
  readonly frames: number;
}

export interface CodecRun {
  readonly files: CodecFiles;
  readonly engine: Engine;
  readonly limits?: BurstLimits;
  /** Makes the outputs, when the first burst lies in the rows. */
  open(reader: CaptureReader): Promise<Departure>;
  /** What was written, when all is done. */
  results(): readonly OutputResult[];
  /** Frames that were written though they are not ours. */
  otherFrames?(): number;
}

/** Runs the capture through the engine, tells what happened, and fails if the input was damaged. */
export async function runCodec({
  files,
  engine,
  limits = FULL_BURST,
  open,
  results,
  otherFrames,
}: CodecRun): Promise<void> {
  const started = performance.now();
  const reader = await openCapture(files.input, engine.memory, { keepsBlocks: true });
  try {
    const arrivals = new PeekedArrivals(arrivalsOf(engine, [{ port: INPUT, reader }], limits));
    arrivals.peek();
    const departure = await open(reader);
    await drive({ engine, arrivals, departures: [departure], drainsBeforeMore: true });
    const elapsedMs = Math.round(performance.now() - started);
    report({ files, engine, reader, elapsedMs, outputs: results(), others: otherFrames?.() ?? 0 });
    if (reader.damage) throw failure(reader.damage.message);
  } finally {
    await reader.close();
  }
}

/** Fills the rows with the first burst ahead of time, so that outputs can be made to fit its frames. */
class PeekedArrivals implements Arrivals {
  #peeked = 0;

  constructor(private readonly arrivals: Arrivals) {}

  peek(): void {
    this.#peeked = this.arrivals.fill();
  }

  fill(): number {
    const count = this.#peeked || this.arrivals.fill();
    this.#peeked = 0;
    return count;
  }

  more(): Promise<boolean> {
    return this.arrivals.more();
  }
}

/** The first frame of the burst that lies in the rows. */
export function firstFrame({ memory }: Engine): Uint8Array {
  const at = memory.u32(memory.rows + ROW.OFFSET);
  return memory.bytes.subarray(at, at + memory.u32(memory.rows + ROW.LENGTH));
}

interface Account {
  readonly files: CodecFiles;
  readonly engine: Engine;
  readonly reader: CaptureReader;
  readonly elapsedMs: number;
  readonly outputs: readonly OutputResult[];
  readonly others: number;
}

/** The result on standard output as JSON, or a summary on standard error, since the capture may go to standard output. */
function report({ files, engine, reader, elapsedMs, outputs, others }: Account): void {
  const { drops, passed, totals: counted, flows } = engineResult(engine);
  // What is not ours and was written all the same left the engine like any other frame.
  const totals = { ...counted, delivered: counted.delivered - others, passed: counted.passed + others };
  if (files.json) {
    const damage = reader.damage
      ? { code: reader.damage.code, offset: reader.damage.offset, message: reader.damage.message }
      : null;
    const input = { file: files.input, frames: reader.frameCount, damage };
    printJson({ schemaVersion: SCHEMA_VERSION, input, outputs, drops, passed, totals, flows, elapsedMs });
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
