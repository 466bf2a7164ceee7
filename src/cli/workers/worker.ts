/**
 * One worker: an engine of its own, with a kernel, a memory and a flow table that nobody else sees.
 *
 *     shared memory                       private memory
 *     frames of a batch  ── copied once ─► input ─► bursts of rows ─► kernel ─► streams
 *     slot's streams     ◄─ copied once ──────────────────────────────────────────┘
 *
 * A batch may become more than its slot's streams hold, where frames are replicated. Then it is handed over in parts, and the worker
 * waits after each until the main thread has taken it.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { Engine } from "../../dataplane/index.js";
import { ROW, ROW_SIZE } from "../../dataplane/packet/index.js";
import type { NodeIndex } from "../../dataplane/transposition/index.js";
import { type Encoded, encode, type StreamBuffer } from "../../io/index.js";
import { checkOverflow, hasRoomForBurst, makeStream } from "../departures.js";
import { makeEngine } from "../engines.js";
import { countersOf } from "../results.js";
import type { FromWorker, Job, SlotPlaces, ToWorker, WorkerOutput } from "./messages.js";

const port = parentPort!;
const job = workerData as Job;

/** Orders in the order in which they come; "go on" overtakes batches that wait. */
class Inbox {
  readonly #orders: Exclude<ToWorker, { kind: "go on" }>[] = [];
  #wake: () => void = () => {};
  #goOn: () => void = () => {};

  constructor() {
    port.on("message", (message: ToWorker) => {
      if (message.kind === "go on") this.#goOn();
      else {
        this.#orders.push(message);
        this.#wake();
      }
    });
  }

  async next(): Promise<Exclude<ToWorker, { kind: "go on" }>> {
    for (;;) {
      const order = this.#orders.shift();
      if (order) return order;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Called before the message that asks for it is sent. */
  goAhead(): Promise<void> {
    return new Promise((resolve) => {
      this.#goOn = resolve;
    });
  }
}

/** Copies batches from the shared memory, and runs them through the engine. */
class BatchRunner {
  readonly #engine: Engine;
  readonly #streams: readonly StreamBuffer[];
  /** Where the frames are copied to, wherever they lay. */
  readonly #input: number;
  /** For each capture: private address minus shared address of the frames of this batch. */
  readonly #distances: number[];
  readonly #inbox: Inbox;

  constructor(engine: Engine, inbox: Inbox) {
    const { memory } = engine;
    this.#engine = engine;
    this.#inbox = inbox;
    this.#streams = job.outputs.map(({ ports, gapBytes }) => {
      const stream = makeStream(memory, job.limits, gapBytes);
      for (const at of ports) engine.setStream(at, "tx", stream.address);
      return stream;
    });
    // The frames of one capture lie in one buffer of its reader. What is read behind the last frame must lie in the memory too.
    const most = job.buffers.reduce((sum, { bytesEach }) => sum + bytesEach + WORD, SLACK);
    this.#input = memory.allocate(most);
    this.#distances = job.buffers.map(() => 0);
    engine.nodes.forEach((_, index) => {
      const node = index as NodeIndex;
      engine.setIdentification(node, (engine.identificationOf(node) + job.identificationOffset) & 0xffff);
    });
  }

  async run(slot: SlotPlaces, count: number): Promise<void> {
    const { memory } = this.#engine;
    const shared = new Uint8Array(job.memory.buffer);
    const rows = new DataView(job.memory.buffer, slot.rows, count * ROW_SIZE);
    this.#copyFrames(rows, shared);
    for (let first = 0; first < count; ) {
      if (first > 0 && !this.#streams.every((stream) => hasRoomForBurst(stream, job.limits)))
        await this.#handOver(slot, first, false); // rare: they are made for a batch
      const end = burstEnd(rows, first);
      const from = slot.rows + first * ROW_SIZE;
      memory.bytes.set(shared.subarray(from, slot.rows + end * ROW_SIZE), memory.rows);
      this.#relocate(end - first);
      for (const _ of this.#engine.run(end - first)); // labs that send frames by themselves have one thread
      first = end;
    }
    await this.#handOver(slot, count, true);
  }

  /** Brings the region from the first to the last frame of each capture here, of a single one with the records around. */
  #copyFrames(rows: DataView, shared: Uint8Array): void {
    const { bytes } = this.#engine.memory;
    let to = this.#input;
    job.buffers.forEach((buffer, capture) => {
      const region = job.buffers.length === 1 ? wholeRegion(rows) : regionWithin(rows, buffer);
      if (region.end === 0) return;
      // V8 copies out of shared memory in words where both sides have the same alignment, else octet by octet.
      to += (region.begin - to) & (WORD - 1);
      bytes.set(shared.subarray(region.begin, region.end), to);
      this.#distances[capture] = to - region.begin;
      to += region.end - region.begin;
    });
  }

  /** Makes the engine's rows point to where the frames, and perhaps their records, lie now. */
  #relocate(count: number): void {
    const { memory } = this.#engine;
    const end = memory.rows + count * ROW_SIZE;
    const { buffers } = job;
    let capture = 0;
    for (let row = memory.rows; row < end; row += ROW_SIZE) {
      const at = memory.u32(row + ROW.OFFSET);
      if (buffers.length > 1) capture = buffers.findIndex((buffer) => liesIn(buffer, at));
      memory.setU32(row + ROW.OFFSET, at + this.#distances[capture]!);
      if (rewritesRecords) memory.setU32(row + ROW.SOURCE, memory.u32(row + ROW.SOURCE) + this.#distances[0]!);
    }
  }

  async #handOver(slot: SlotPlaces, rowCount: number, isLast: boolean): Promise<void> {
    const encoded = this.#streams.map((stream, index) =>
      this.#moveStream(stream, job.outputs[index]!, slot.streams[index]!),
    );
    const goAhead = isLast ? undefined : this.#inbox.goAhead();
    tell({ kind: "part", rowCount, isLast, encoded });
    await goAhead;
  }

  /** As records if possible, else as frames, which take the main thread to encode. */
  #moveStream(stream: StreamBuffer, { encoding }: WorkerOutput, address: number): Encoded | null {
    checkOverflow(stream);
    const encoded = encoding && stream.count > 0 ? encode(stream, encoding) : undefined;
    if (encoded) stream.moveEncodedTo(job.memory, address, encoded.bytes);
    else stream.moveTo(job.memory, address, rewritesRecords ? -this.#distances[0]! : 0);
    return encoded ?? null;
  }
}

/** Do outputs look at the records that frames came from? They do where there is but one input, whose form they follow. */
const rewritesRecords = job.outputs.some(({ encoding }) => encoding?.kind === "rewritten records");

const WORD = 8;
/** The kernel reads 16 bytes at a time, and up to four of them ahead. */
const SLACK = 64;

interface Region {
  readonly begin: number;
  /** 0: no frame. */
  readonly end: number;
}

const frameEnd = (rows: DataView, at: number): number =>
  rows.getUint32(at + ROW.OFFSET, true) + rows.getUint32(at + ROW.LENGTH, true);

/** All records, which lie in the order of the rows. */
const wholeRegion = (rows: DataView): Region => ({
  begin: rows.getUint32(ROW.SOURCE, true),
  end: frameEnd(rows, rows.byteLength - ROW_SIZE),
});

/** A frame has its record's header before it, and may be empty. */
const liesIn = ({ begin, end }: Region, at: number): boolean => at > begin && at <= end;

/** The frames of one capture, which lie in the order of the rows. */
function regionWithin(rows: DataView, buffer: Region): Region {
  let begin = 0;
  let end = 0;
  for (let at = 0; at < rows.byteLength; at += ROW_SIZE) {
    const offset = rows.getUint32(at + ROW.OFFSET, true);
    if (!liesIn(buffer, offset)) continue;
    if (end === 0) begin = offset;
    end = frameEnd(rows, at);
  }
  return { begin, end };
}

/** The row behind the last one of the burst that begins at `first`. */
function burstEnd(rows: DataView, first: number): number {
  const most = Math.min(rows.byteLength / ROW_SIZE, first + job.limits.frames);
  let bytes = 0;
  for (let row = first; row < most; row++) {
    bytes += rows.getUint32(row * ROW_SIZE + ROW.LENGTH, true);
    if (bytes > job.limits.bytes && row > first) return row;
  }
  return most;
}

const tell = (message: FromWorker): void => port.postMessage(message);

const inbox = new Inbox();
const engine = await makeEngine(job.recipe);
const runner = new BatchRunner(engine, inbox);
for (let order = await inbox.next(); order.kind === "batch"; order = await inbox.next()) {
  await runner.run(job.slots[order.slot]!, order.count);
}
tell({ kind: "counters", counters: countersOf(engine) });
port.close();
