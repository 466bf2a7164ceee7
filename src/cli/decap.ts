/** `hnv decap`: the inner frames of an NVGRE capture, without a lab. */
import { extname } from "node:path";
import { type Command, Option } from "commander";
import type { Engine } from "../dataplane/index.js";
import { parseFrame } from "../dataplane/packet/index.js";
import type { DecapOptions } from "../dataplane/slowpath/index.js";
import type { PortIndex } from "../dataplane/transposition/index.js";
import { GRE_LENGTH, greLengthAt, MAX_VSID, MIN_VSID, PROTOCOL_GRE, type Vsid } from "../dataplane/wire/index.js";
import {
  type CaptureOutput,
  type CaptureReader,
  type CaptureRewriter,
  createRewriter,
  type StreamBuffer,
} from "../io/index.js";
import type { BurstLimits } from "./arrivals.js";
import { type CodecFiles, checkCodecFiles, firstFrame, runCodec, runThrough } from "./codec.js";
import { type Departure, hasRoomForBurst, makeStream } from "./departures.js";
import { decapEngine, OTHER } from "./engines.js";
import { failure, usageError } from "./errors.js";
import { checkFiles } from "./files.js";
import { integer, workerCount } from "./options.js";
import { workersFor } from "./workers/workers-for.js";

interface DecapFlags {
  readonly vsid?: Vsid;
  readonly splitBy?: "vsid";
  readonly keepOther?: boolean;
  readonly receive: "strict" | "lenient";
  readonly workers: number;
  readonly json?: boolean;
}

export function addDecapCommand(program: Command): void {
  program
    .command("decap")
    .summary("unwrap the NVGRE packets of a capture")
    .description(
      "Writes the inner frame of every NVGRE packet of a capture. Times, comments and interfaces stay as they are.",
    )
    .argument("<in>", "capture to read, - for standard input")
    .argument("<out>", "capture to write, - for standard output")
    .option("--vsid <N>", "unwrap this virtual subnet only (default: all)", integer(MIN_VSID, MAX_VSID))
    .addOption(new Option("--split-by <what>", "write OUT-<vsid>.ext, a file per virtual subnet").choices(["vsid"]))
    .option("--keep-other", "also write, as they are, frames that are not unwrapped")
    .addOption(
      new Option("--receive <mode>", "lenient also takes GRE with checksum or sequence number")
        .choices(["strict", "lenient"])
        .default("strict"),
    )
    .option("--workers <N>", "threads that decapsulate; --split-by takes one", workerCount, 1)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  hnv decap wire.pcap vm.pcap
  hnv decap wire.pcap blue.pcap --vsid 5001 --json
  hnv decap wire.pcapng tenants.pcapng --split-by vsid

Frames that are not NVGRE, or of another virtual subnet, are counted as passed. With --split-by, --keep-other writes them to
OUT-other.ext. The summary goes to standard error. Exit status: 0 done, 1 the input is damaged or an output failed, 2 wrong
usage.`,
    )
    .action(decap);
}

async function decap(input: string, output: string, flags: DecapFlags): Promise<void> {
  const files: CodecFiles = { input, output, json: flags.json === true };
  if (flags.splitBy) {
    if (output === "-") throw usageError("--split-by writes several files; standard output (-) is one");
    await decapSplit(files, flags);
    return;
  }
  checkCodecFiles(files);
  await runCodec({
    files,
    recipe: { kind: "decap", vsid: flags.vsid, receive: flags.receive, keepsOthers: flags.keepOther === true },
    workers: flags.workers,
    frameGrowth: (first) => -popLength(first),
  });
}

/** Octets before the inner frame in the first frame of the capture: what the others probably have as well. */
function popLength(frame: Uint8Array | undefined): number {
  const ip = frame && parseFrame(frame, 0, frame.length)?.ip;
  if (!ip || ip.protocol !== PROTOCOL_GRE || ip.end - ip.transportAt < GRE_LENGTH) return 0;
  return ip.transportAt + greLengthAt(frame, ip.transportAt);
}

// Split by virtual subnet: a port, a stream and a file for each, as they are met.

/** Open files are few. */
const VSIDS_MAX = 1000;
/** A burst may bring as many new virtual subnets as frames, whose streams must be there before. */
const SPLIT_BURST: BurstLimits = { frames: 32, bytes: 64 * 1024 };

async function decapSplit(files: CodecFiles, flags: DecapFlags): Promise<void> {
  checkFiles([files.input], [splitName(files.output, "vsid")]);
  workersFor(flags.workers, "--split-by makes its files in the order in which virtual subnets appear");
  const split: Split = new Split(files, flags);
  await runThrough({
    files,
    engine: split.engine,
    limits: SPLIT_BURST,
    open: async (reader) => {
      await split.begin(reader);
      return split;
    },
    results: () => split.results(),
  });
}

/** `OUT-5001.pcap` of `OUT.pcap`. */
function splitName(output: string, part: string | number): string {
  const suffix = extname(output);
  return `${output.slice(0, output.length - suffix.length)}-${part}${suffix}`;
}

/** One output file; the first slot is for what is not unwrapped, and stays empty unless that is wanted. */
interface Slot {
  readonly file: string;
  part: { readonly rewriter: CaptureRewriter; readonly stream: StreamBuffer } | undefined;
}

class Split implements Departure {
  readonly engine: Engine;
  readonly outputs: CaptureOutput[] = [];
  readonly #ports = new Map<Vsid, PortIndex>();
  readonly #slots: Slot[];
  /** Of port OTHER and those behind it, in the order of the slots; some more than there are slots. */
  readonly #streams: StreamBuffer[] = [];
  #reader: CaptureReader | undefined;
  #growth = 0;
  #isFull = false;

  constructor(
    private readonly files: CodecFiles,
    private readonly flags: DecapFlags,
  ) {
    const options: DecapOptions = { outputOf: (vsid) => this.#portOf(vsid), receive: flags.receive };
    const names = ["in", "unused", "other", ...Array.from({ length: VSIDS_MAX }, (_, index) => `subnet#${index + 1}`)];
    this.engine = decapEngine(options, flags.keepOther === true, names);
    this.#slots = [{ file: splitName(files.output, "other"), part: undefined }];
  }

  /** The port of a virtual subnet, the next free one if it was not met before. */
  #portOf(vsid: Vsid): PortIndex | undefined {
    if (this.flags.vsid !== undefined && this.flags.vsid !== vsid) return undefined;
    const known = this.#ports.get(vsid);
    if (known !== undefined) return known;
    this.#isFull = this.#ports.size === VSIDS_MAX;
    if (this.#isFull) return undefined;
    const port = (OTHER + this.#slots.length) as PortIndex;
    this.#ports.set(vsid, port);
    this.#slots.push({ file: splitName(this.files.output, vsid), part: undefined });
    return port;
  }

  async begin(reader: CaptureReader): Promise<void> {
    this.#reader = reader;
    const { memory } = this.engine;
    this.#growth = -popLength(firstFrame(memory, memory.rows, reader));
    this.#replenish();
    if (this.flags.keepOther) await this.#open(0);
  }

  /** Makes streams for as many new virtual subnets as the next burst may bring. */
  #replenish(): void {
    const gapBytes = this.#reader!.header?.fields.recordLength ?? 0;
    const wanted = Math.min(1 + VSIDS_MAX, this.#slots.length + SPLIT_BURST.frames);
    while (this.#streams.length < wanted) {
      const stream = makeStream(this.engine.memory, SPLIT_BURST, gapBytes, false);
      this.engine.setStream((OTHER + this.#streams.length) as PortIndex, "tx", stream.address);
      this.#streams.push(stream);
    }
  }

  async #open(index: number): Promise<void> {
    const slot = this.#slots[index]!;
    checkFiles([this.files.input], [slot.file]);
    const rewriter = await createRewriter(this.#reader!, slot.file, { frameGrowth: index === 0 ? 0 : this.#growth });
    slot.part = { rewriter, stream: this.#streams[index]! };
    this.outputs.push(rewriter);
  }

  async afterBurst(): Promise<void> {
    if (this.#isFull)
      throw failure(`${this.files.input}: has more than ${VSIDS_MAX} virtual subnets; choose one with --vsid`);
    for (let index = 1; index < this.#slots.length; index++) if (!this.#slots[index]!.part) await this.#open(index);
    for (const { part } of this.#slots) {
      if (part && !hasRoomForBurst(part.stream, SPLIT_BURST)) await part.rewriter.drainStream(part.stream);
    }
    this.#replenish();
  }

  async drain(): Promise<void> {
    for (const { part } of this.#slots) if (part) await part.rewriter.drainStream(part.stream);
  }

  results(): { file: string; frames: number }[] {
    return this.#slots.flatMap(({ file, part }) => (part ? [{ file, frames: part.rewriter.frameCount }] : []));
  }
}
