/**
 * The main thread's half of `--workers`: reads captures, cuts them into batches, gives these to workers, and writes what
 * comes back, in the order of the input.
 *
 *     captures ─► buffers ─► slot 0: rows, streams ─► worker 1 ─► slot 0 ─┐
 *                            slot 1: rows, streams ─► worker 2 ─► slot 1 ─┼─► outputs
 *                            slot 2: …             ─► worker 1 ─► …      ─┘
 *
 * All this lies in one shared memory of a size that is fixed at the start, the private memories of the workers apart. A slot serves
 * one batch from its first row to its last byte written; no slot free, no further batch. The outputs are the same objects as
 * without workers and see the same frames in the same order, so their files are the same.
 *
 * A batch goes to the worker with the least before it. Which worker had it shows in nothing but the IPv4 identification.
 */
import { Worker } from "node:worker_threads";
import { ROW, ROW_SIZE } from "../../dataplane/packet/index.js";
import type { PortIndex } from "../../dataplane/transposition/index.js";
import {
  type CaptureOutput,
  type CaptureReader,
  type CaptureReaderOptions,
  type CaptureRewriter,
  type KeptBlock,
  PlainMemory,
  type StreamBuffer,
} from "../../io/index.js";
import { type Arrival, type Arrivals, arrivalsOf, type BurstLimits } from "../arrivals.js";
import { makeStream } from "../departures.js";
import { finishAll, Interruption } from "../drive.js";
import type { EngineRecipe } from "../engines.js";
import { failure, usageError } from "../errors.js";
import type { Counters } from "../results.js";
import { Progress } from "../terminal.js";
import type { BatchedInput } from "./batched-input.js";
import { sumCounters } from "./counters.js";
import type { FromWorker, Job, SlotPlaces, ToWorker } from "./messages.js";

/** What one worker does at a time: about a millisecond's work, so that handing over hardly shows. */
const BATCH: BurstLimits = { frames: 8192, bytes: 1024 * 1024 };
/** Buffers of a reader: as many as the batches under way spread over, and one to read ahead. */
const BUFFERS = 4;
/** Batches that wait while each worker has one; with many workers there is always one about to be done. */
const WAITING_MAX = 4;
const MEMORY_MAX = 3 * 1024 * 1024 * 1024;

/** A capture output, and the ports whose frames it takes. */
export interface CrewOutput {
  readonly ports: readonly PortIndex[];
  readonly output: CaptureOutput & Partial<Pick<CaptureRewriter, "passBlocks">>;
}

export interface CrewDrive {
  readonly recipe: EngineRecipe;
  readonly arrivals: Arrivals;
  readonly outputs: readonly CrewOutput[];
  /** The workers' bursts. */
  readonly limits: BurstLimits;
  /** For outputs that follow the form of their input. */
  readonly input?: BatchedInput;
}

interface Slot {
  readonly index: number;
  readonly rows: number;
  /** One per output. */
  streams: readonly StreamBuffer[];
}

/** A slot's worth of frames, and the blocks of the capture between them that are no packets. */
interface Batch {
  /** Null if there are only blocks. */
  readonly work: Work | null;
  readonly blocks: readonly KeptBlock[];
}

interface Work {
  readonly slot: Slot;
  readonly member: Member;
  /** What the worker has handed over. */
  readonly parts: Part[];
}

type Part = Extract<FromWorker, { kind: "part" }>;

interface Member {
  readonly worker: Worker;
  /** Given to it and not yet done, in order. */
  readonly work: Work[];
  counters: Counters | undefined;
}

export class Crew {
  /** The captures of the input are opened in here, with `readerOptions`. */
  readonly memory = new PlainMemory({ maximumBytes: MEMORY_MAX, shared: true });
  readonly readerOptions: CaptureReaderOptions = { buffers: BUFFERS };
  readonly #slots: readonly Slot[];
  readonly #free: Slot[];
  readonly #buffers: CaptureReader["buffers"][] = [];
  readonly #members: Member[] = [];
  /** Batches in the order of the input, from the one whose frames are written next. */
  readonly #queue: Batch[] = [];
  #begun = 0;
  #done = 0;
  #isComplete = false;
  #interruption: Interruption | undefined;
  #failure: unknown;
  #waiting: (() => void)[] = [];

  constructor(private readonly size: number) {
    this.#slots = Array.from({ length: size + Math.min(size, WAITING_MAX) + 1 }, (_, index) => ({
      index,
      rows: this.memory.allocate(BATCH.frames * ROW_SIZE, 64),
      streams: [],
    }));
    this.#free = [...this.#slots];
  }

  /** Where the first batch will lie. */
  get firstRows(): number {
    return this.#slots[0]!.rows;
  }

  /** Batches of the frames of these captures, which were opened in the crew's memory. */
  arrivalsOf(entries: readonly { readonly port: Arrival["port"]; readonly reader: CaptureReader }[]): Arrivals {
    const held = entries.map(({ port, reader }): Arrival => {
      this.#buffers.push(reader.buffers);
      return { port, reader: this.#hold(reader) };
    });
    return arrivalsOf(this.memory, held, BATCH);
  }

  /** The reader, but it does not go on into a buffer before everything in there was written. */
  #hold(reader: CaptureReader): Arrival["reader"] {
    const lastBatches: number[] = [];
    return {
      fill: (rows, firstRow, rowsMax, bytesMax) => reader.fill(rows, firstRow, rowsMax, bytesMax),
      more: async () => {
        lastBatches.push(this.#begun);
        if (lastBatches.length >= BUFFERS - 1) {
          const last = lastBatches.shift()!;
          await this.#until(() => this.#done >= last);
        }
        return reader.more();
      },
    };
  }

  /** Runs to the end, as `drive` does, and returns what all workers have counted. */
  async drive({ recipe, arrivals, outputs, limits, input }: CrewDrive): Promise<Counters> {
    const interruption = new Interruption(() => this.#wake());
    this.#interruption = interruption;
    const progress = new Progress();
    let writing: Promise<void> | undefined;
    let counters: Counters;
    try {
      this.#allocateStreams(outputs, limits);
      this.#hire(recipe, outputs, limits);
      writing = this.#write(outputs, input).catch((error: unknown) => this.#fail(error));
      let frames = 0;
      for (;;) {
        await this.#until(() => this.#free.length > 0);
        const count = arrivals.fill(this.#free[0]!.rows);
        this.#begin(count, input?.takeBlocks() ?? []);
        frames += count;
        progress.update(() => frames);
        if (count === 0 && !(await interruption.unless(arrivals.more()))) break;
      }
      this.#isComplete = true;
      this.#wake();
      counters = await this.#dismissed();
      await writing;
    } catch (error) {
      this.#fail(error);
      await writing;
      for (const { output } of outputs) await output.abandon();
      throw error;
    } finally {
      progress.clear();
      interruption.end();
      await Promise.all(this.#members.map(({ worker }) => worker.terminate()));
    }
    await finishAll(outputs.map(({ output }) => output));
    return counters;
  }

  #allocateStreams(outputs: readonly CrewOutput[], limits: BurstLimits): void {
    try {
      for (const slot of this.#slots) {
        slot.streams = outputs.map(({ output }) => makeStream(this.memory, limits, output.gapBytes));
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw usageError(`${this.size} workers with ${outputs.length} outputs need too much memory; use fewer workers`);
    }
  }

  #hire(recipe: EngineRecipe, outputs: readonly CrewOutput[], limits: BurstLimits): void {
    for (let index = 0; index < this.size; index++) {
      const job: Job = {
        memory: this.memory.memory,
        recipe,
        buffers: this.#buffers,
        outputs: outputs.map(({ ports, output: { gapBytes, encoding } }) => ({ ports, gapBytes, encoding })),
        slots: this.#slots.map(
          ({ rows, streams }): SlotPlaces => ({ rows, streams: streams.map(({ address }) => address) }),
        ),
        limits,
        identificationOffset: Math.floor((index * 65_536) / this.size),
      };
      // Options of this thread, such as those of `node --input-type=module -e`, do not fit a file.
      const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: job, execArgv: [] });
      const member: Member = { worker, work: [], counters: undefined };
      this.#members.push(member);
      worker.on("message", (message: FromWorker) => this.#hear(member, message));
      worker.on("error", (error) =>
        this.#fail(failure(`${this.#nameOf(member)} ended unexpectedly: ${error.message}`)),
      );
      worker.on("exit", (status) => {
        if (!member.counters) this.#fail(failure(`${this.#nameOf(member)} ended unexpectedly, with status ${status}`));
      });
    }
  }

  #nameOf(member: Member): string {
    return `worker ${this.#members.indexOf(member) + 1} of ${this.size}`;
  }

  #hear(member: Member, message: FromWorker): void {
    if (message.kind === "counters") member.counters = message.counters;
    else {
      member.work[0]!.parts.push(message);
      if (message.isLast) member.work.shift();
    }
    this.#wake();
  }

  /** Makes a batch of the first `count` rows of the next free slot. */
  #begin(count: number, blocks: readonly KeptBlock[]): void {
    if (count === 0 && blocks.length === 0) return;
    this.#queue.push({ work: count > 0 ? this.#assign(count) : null, blocks });
    this.#begun++;
    this.#wake();
  }

  #assign(count: number): Work {
    const slot = this.#free.shift()!;
    const member = this.#members.reduce((best, one) => (one.work.length < best.work.length ? one : best));
    const work: Work = { slot, member, parts: [] };
    member.work.push(work);
    tell(member, { kind: "batch", slot: slot.index, count });
    return work;
  }

  /** Writes batch after batch until all are written. */
  async #write(outputs: readonly CrewOutput[], input: BatchedInput | undefined): Promise<void> {
    for (;;) {
      await this.#until(() => this.#queue.length > 0 || this.#isComplete);
      const batch = this.#queue[0];
      if (!batch) return;
      await this.#writeBatch(batch, outputs, input);
      this.#queue.shift();
      if (batch.work) this.#free.push(batch.work.slot);
      this.#done++;
      this.#wake();
    }
  }

  async #writeBatch({ work, blocks }: Batch, outputs: readonly CrewOutput[], input?: BatchedInput): Promise<void> {
    if (!work) return this.#passBlocks(blocks, outputs, input);
    const { slot, member, parts } = work;
    let blockCount = 0;
    for (let isLast = false; !isLast; ) {
      await this.#until(() => parts.length > 0);
      const part = parts.shift()!;
      isLast = part.isLast;
      // Blocks behind the last frame of this part come with the next one.
      const next = isLast
        ? Number.POSITIVE_INFINITY
        : this.memory.u32(slot.rows + part.rowCount * ROW_SIZE + ROW.SOURCE);
      const due = blocks.slice(blockCount).filter(({ address }) => address < next);
      blockCount += due.length;
      input?.show(due);
      for (const [index, { output }] of outputs.entries()) {
        const stream = slot.streams[index]!;
        const encoded = part.encoded[index];
        await (encoded ? output.drainEncoded(stream, encoded) : output.drainStream(stream));
      }
      if (!isLast) tell(member, { kind: "go on" });
    }
  }

  async #passBlocks(blocks: readonly KeptBlock[], outputs: readonly CrewOutput[], input?: BatchedInput): Promise<void> {
    input?.show(blocks);
    for (const { output } of outputs) {
      output.passBlocks?.();
      await output.ready();
    }
  }

  /** Ends the workers, once everything is written. */
  async #dismissed(): Promise<Counters> {
    await this.#until(() => this.#done === this.#begun);
    for (const member of this.#members) tell(member, { kind: "end" });
    await this.#until(() => this.#members.every(({ counters }) => counters !== undefined));
    return sumCounters(this.#members.map(({ counters }) => counters!));
  }

  // Waiting for each other. The first failure, or a signal, wakes everybody up.

  async #until(isSo: () => boolean): Promise<void> {
    for (;;) {
      this.#check();
      if (isSo()) return;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#wake();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#interruption?.check();
  }
}

const tell = ({ worker }: Member, message: ToWorker): void => worker.postMessage(message);
