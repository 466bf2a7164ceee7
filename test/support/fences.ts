/**
 * Memory in which every access of an instrumented module is held against what it may touch (docs/decisions/0009-bounds-assertions.md;
 * `scripts/instrument-wasm.mjs` is the other side). Whoever runs the module says before each burst or call what is open; all else
 * is closed, to the byte.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Engine } from "../../src/dataplane/engine.js";
import {
  CONTROL,
  PORT,
  PORT_SIZE,
  ROW,
  ROW_SIZE,
  SLOT_HEADROOM,
  STREAM,
  STREAM_ITEM_SIZE,
  STREAM_SIZE,
} from "../../src/dataplane/packet/layout.js";
import { PacketMemory } from "../../src/dataplane/packet/memory.js";

export const READ = 1;
/** What is written may be read from then on. */
export const WRITE = 2;

const SHADOW_WORD = 512;
const LIMIT_WORD = 516;
const REPORT = { NEED: 520, AT: 524, SIZE: 528, BYTE: 532, SITE: 536 } as const;

/** A compiled module with assertions. */
export interface CheckedModule {
  readonly module: WebAssembly.Module;
  /** What stands at each place that may fail. */
  readonly sites: readonly string[];
}

/** Reads what `build-wasm.mjs --checked FOLDER` left. */
export const readCheckedModule = (folder: string, name: "kernel" | "capture"): CheckedModule => ({
  module: new WebAssembly.Module(readFileSync(join(folder, `${name}.wasm`))),
  sites: JSON.parse(readFileSync(join(folder, `${name}.sites.json`), "utf8")) as string[],
});

/** Builds it from the sources as they are now; takes some seconds. */
export function buildCheckedModule(name: "kernel" | "capture"): CheckedModule {
  const folder = mkdtempSync(join(tmpdir(), "hnv-checked-"));
  try {
    execFileSync(process.execPath, ["scripts/build-wasm.mjs", "--checked", folder, name], { stdio: "inherit" });
    return readCheckedModule(folder, name);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Range {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

interface GrowingMemory {
  readonly bytes: Uint8Array;
  allocate(bytes: number): number;
}

/** An access that an assertion refused. */
export class FenceError extends Error {
  override readonly name = "FenceError";
}

export class Fences {
  readonly #memory: GrowingMemory;
  readonly #sites: readonly string[];
  readonly #limit: number;
  readonly #shadow: number;
  #open: Range[] = [];

  /** From now on all memory is closed. Whatever is to be opened must have been allocated before. */
  constructor(memory: GrowingMemory, sites: readonly string[]) {
    this.#memory = memory;
    this.#sites = sites;
    this.#limit = memory.allocate(0);
    this.#shadow = memory.allocate(this.#limit);
    const words = new DataView(memory.bytes.buffer);
    words.setUint32(SHADOW_WORD, this.#shadow, true);
    words.setUint32(LIMIT_WORD, this.#limit, true);
  }

  /** A flag byte for each byte of memory. */
  get flags(): Uint8Array {
    return this.#memory.bytes.subarray(this.#shadow, this.#shadow + this.#limit);
  }

  open(name: string, from: number, bytes: number, flags: number): void {
    this.flags.fill(flags, from, from + bytes);
    this.#open.push({ name, from, to: from + bytes });
  }

  /** Closes what was opened since `mark` was asked for. */
  closeTo(mark: number): void {
    for (const { from, to } of this.#open.splice(mark)) this.flags.fill(0, from, to);
  }

  get mark(): number {
    return this.#open.length;
  }

  /** Runs a call of the module, and says where it went wrong if an assertion fails. */
  guard<T>(call: () => T): T {
    const words = new DataView(this.#memory.bytes.buffer);
    words.setUint32(REPORT.SIZE, 0, true);
    try {
      return call();
    } catch (error) {
      if (words.getUint32(REPORT.SIZE, true) === 0) throw error;
      throw new FenceError(this.#report(words));
    }
  }

  #report(words: DataView): string {
    const word = (at: number): number => words.getUint32(at, true);
    const [at, size, byte] = [word(REPORT.AT), word(REPORT.SIZE), word(REPORT.BYTE)];
    const verb = word(REPORT.NEED) === READ ? "reads" : "writes";
    const site = this.#sites[word(REPORT.SITE)];
    return `${site} ${verb} ${size} bytes at ${at}; byte ${byte} is ${this.#where(byte)}`;
  }

  /** The place of a byte against the nearest range that is open. */
  #where(byte: number): string {
    const distance = ({ from, to }: Range): number => (byte < from ? from - byte : byte >= to ? byte - to + 1 : 0);
    // Of those that hold the byte the last, which is how it stands now.
    const nearest = this.#open.reduce<Range | null>(
      (best, range) => (best === null || distance(range) <= distance(best) ? range : best),
      null,
    );
    if (nearest === null) return "closed, as all memory is";
    const { name, from, to } = nearest;
    const range = `${name} [${from}, ${to})`;
    if (byte < from) return `${from - byte} before ${range}`;
    return byte >= to ? `${byte - to} behind the end of ${range}` : `in ${range}, closed for this`;
  }
}

/** Records what a `PacketMemory` hands out while `make` runs: the regions of an engine, to the byte. */
export function recordRegions<T>(make: () => T): { readonly made: T; readonly regions: readonly [number, number][] } {
  const { allocate } = PacketMemory.prototype;
  const regions: [number, number][] = [];
  PacketMemory.prototype.allocate = function (bytes, alignment) {
    const at = allocate.call(this, bytes, alignment);
    regions.push([at, bytes]);
    return at;
  };
  try {
    return { made: make(), regions };
  } finally {
    PacketMemory.prototype.allocate = allocate;
  }
}

/** The engine's slots begin at multiples of this. */
const SLOT_ALIGNMENT = 64;
const CONTROL_START = Math.min(...Object.values(CONTROL));
/** The last field is one word. */
const CONTROL_END = Math.max(...Object.values(CONTROL)) + 4;

/**
 * Fences around everything that one engine's kernel has to do with, from now on: the regions of its memory; streams from BASE to
 * END, for writing, with their blocks and lists; the arena, for writing; and for each burst its frames, and their headroom for
 * writing. With `isSingleHop`, where rows keep their slots, nothing of the arena may be written that is in no slot.
 * Streams and buffers must have been set up before.
 */
export class EngineFences {
  readonly #engine: Engine;
  readonly #fences: Fences;
  readonly #streams: ReadonlySet<number>;
  readonly #isSingleHop: boolean;
  #bursts = 0;
  #isRunning = false;

  constructor(
    engine: Engine,
    regions: readonly (readonly [number, number])[],
    sites: readonly string[],
    { isSingleHop }: { readonly isSingleHop: boolean },
  ) {
    const { memory } = engine;
    this.#engine = engine;
    this.#isSingleHop = isSingleHop;
    this.#fences = new Fences(memory, sites);
    this.#fences.open("the control block", CONTROL_START, CONTROL_END - CONTROL_START, READ | WRITE);
    const names = new Map(Object.entries(CONTROL).map(([name, at]) => [memory.u32(at), name]));
    for (const [at, bytes] of regions) {
      const flags = at === memory.u32(CONTROL.ARENA) ? WRITE : READ | WRITE;
      this.#fences.open(names.get(at) ?? "a region", at, bytes, flags);
    }
    const streams = engine.ports.flatMap((_, port) => {
      const record = memory.ports + port * PORT_SIZE;
      return [memory.u32(record + PORT.TX_STREAM), memory.u32(record + PORT.RX_STREAM)];
    });
    this.#streams = new Set(streams.filter((stream) => stream !== 0));
    for (const stream of this.#streams) {
      const base = memory.u32(stream + STREAM.BASE);
      const listBytes = memory.u32(stream + STREAM.LIST_CAPACITY) * STREAM_ITEM_SIZE;
      this.#fences.open("a stream's block", stream, STREAM_SIZE, READ | WRITE);
      this.#fences.open("a stream", base, memory.u32(stream + STREAM.END) - base, WRITE);
      this.#fences.open("a stream's list", memory.u32(stream + STREAM.LIST), listBytes, READ | WRITE);
    }
    const process = engine.process.bind(engine);
    engine.process = (count, nowMs) =>
      this.#isRunning ? process(count, nowMs) : this.#burst(count, () => process(count, nowMs));
    const run = engine.run.bind(engine);
    engine.run = (count) => this.#run(count, run(count));
  }

  /** The frames of all rows are open from the first step to the last: how far a step goes is read off them. */
  *#run(count: number, steps: IterableIterator<void>): IterableIterator<void> {
    const fences = this.#fences;
    const mark = fences.mark;
    for (let index = 0; index < count; index++) this.#openFrame(index);
    for (let isDone = false; ; ) {
      this.#isRunning = true;
      fences.guard(() => {
        isDone = steps.next().done === true;
      });
      this.#isRunning = false;
      if (isDone) break;
      this.#closeSlots();
      for (const stream of this.#streams) this.#closeStream(stream);
      this.#bursts++;
      yield;
    }
    fences.closeTo(mark);
  }

  #burst(count: number, process: () => void): void {
    const fences = this.#fences;
    const mark = fences.mark;
    for (let index = 0; index < count; index++) this.#openFrame(index);
    fences.guard(process);
    this.#closeSlots();
    for (const stream of this.#streams) this.#closeStream(stream);
    fences.closeTo(mark);
    this.#bursts++;
  }

  /** What was written may no longer be read. */
  #closeStream(stream: number): void {
    const { memory } = this.#engine;
    const base = memory.u32(stream + STREAM.BASE);
    this.#fences.flags.fill(WRITE, base, memory.u32(stream + STREAM.CURSOR));
  }

  #openFrame(index: number): void {
    const { memory } = this.#engine;
    const row = memory.rows + index * ROW_SIZE;
    const [at, length] = [memory.u32(row + ROW.OFFSET), memory.u32(row + ROW.LENGTH)];
    const headroom = memory.u32(row + ROW.HEADROOM);
    this.#fences.open(`the headroom of row ${index}`, at - headroom, headroom, WRITE);
    this.#fences.open(`the frame of row ${index}`, at, length, READ | WRITE);
  }

  /** What was written of the arena may no longer be read; of a single hop nothing was but the slots of rows. */
  #closeSlots(): void {
    const { memory } = this.#engine;
    const flags = this.#fences.flags;
    const [arena, end] = [memory.u32(CONTROL.ARENA), memory.u32(CONTROL.ARENA_END)];
    if (!this.#isSingleHop) {
      flags.fill(WRITE, arena, end);
      return;
    }
    let used = arena;
    for (let index = memory.u32(CONTROL.ROW_COUNT) - 1; index >= 0; index--) {
      const row = memory.rows + index * ROW_SIZE;
      const at = memory.u32(row + ROW.OFFSET);
      if (at < arena || at >= end) continue;
      const slotEnd = Math.ceil((at + memory.u32(row + ROW.LENGTH)) / SLOT_ALIGNMENT) * SLOT_ALIGNMENT;
      flags.fill(WRITE, at - SLOT_HEADROOM, slotEnd);
      used = Math.max(used, slotEnd);
    }
    // The whole arena is large; what lies behind the last slot can wait.
    const searched = this.#bursts % 64 === 0 ? end : used;
    const stray = flags.subarray(arena, searched).indexOf(READ | WRITE);
    if (stray >= 0) throw new FenceError(`byte ${stray} of the arena was written and lies in no row's slot`);
  }
}
