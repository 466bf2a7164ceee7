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

export interface CheckedModules {
  readonly kernel: CheckedModule;
  readonly capture: CheckedModule;
}

/** Reads what `build-wasm.mjs --checked FOLDER` left. */
export function readCheckedModules(folder: string): CheckedModules {
  const read = (name: string): CheckedModule => ({
    module: new WebAssembly.Module(readFileSync(join(folder, `${name}.wasm`))),
    sites: JSON.parse(readFileSync(join(folder, `${name}.sites.json`), "utf8")) as string[],
  });
  return { kernel: read("kernel"), capture: read("capture") };
}

/** Builds both modules from the sources as they are now; takes some seconds. */
export function buildCheckedModules(): CheckedModules {
  const folder = mkdtempSync(join(tmpdir(), "hnv-checked-"));
  try {
    execFileSync(process.execPath, ["scripts/build-wasm.mjs", "--checked", folder], { stdio: "inherit" });
    return readCheckedModules(folder);
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
    const nearest = this.#open.reduce<Range | null>(
      (best, range) => (best === null || distance(range) < distance(best) ? range : best),
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
const CONTROL_END = Math.max(...Object.values(CONTROL)) + 8;

/**
 * Fences around everything that one engine's kernel has to do with: the regions of its memory, and during a burst
 *   - of what surrounds a frame, its headroom for writing, and the frame;
 *   - streams from BASE to END for writing, their lists and blocks;
 *   - the arena for writing; with `isSingleHop`, where rows keep their slots, nothing of it outside of a slot.
 */
export class EngineFences {
  readonly #engine: Engine;
  readonly #fences: Fences;
  readonly #streams: ReadonlySet<number>;
  readonly #isSingleHop: boolean;

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
      if (at !== memory.u32(CONTROL.ARENA)) this.#fences.open(names.get(at) ?? "a region", at, bytes, READ | WRITE);
    }
    const streams = engine.ports.flatMap((_, port) => {
      const record = memory.ports + port * PORT_SIZE;
      return [memory.u32(record + PORT.TX_STREAM), memory.u32(record + PORT.RX_STREAM)];
    });
    this.#streams = new Set(streams.filter((stream) => stream !== 0));
    for (const stream of this.#streams) {
      const listBytes = memory.u32(stream + STREAM.LIST_CAPACITY) * STREAM_ITEM_SIZE;
      this.#fences.open("a stream's block", stream, STREAM_SIZE, READ | WRITE);
      this.#fences.open("a stream's list", memory.u32(stream + STREAM.LIST), listBytes, READ | WRITE);
    }
    const process = engine.process.bind(engine);
    engine.process = (count, nowMs) => this.#burst(count, () => process(count, nowMs));
  }

  #burst(count: number, process: () => void): void {
    const fences = this.#fences;
    const mark = fences.mark;
    this.#openArena();
    for (const stream of this.#streams) this.#openStream(stream);
    for (let index = 0; index < count; index++) this.#openFrame(index);
    fences.guard(process);
    if (this.#isSingleHop) this.#checkSlots();
    fences.closeTo(mark);
  }

  #openArena(): void {
    const { memory } = this.#engine;
    const arena = memory.u32(CONTROL.ARENA);
    this.#fences.open("ARENA", arena, memory.u32(CONTROL.ARENA_END) - arena, WRITE);
  }

  #openStream(stream: number): void {
    const { memory } = this.#engine;
    const word = (field: number): number => memory.u32(stream + field);
    this.#fences.open("a stream", word(STREAM.BASE), word(STREAM.END) - word(STREAM.BASE), WRITE);
  }

  #openFrame(index: number): void {
    const { memory } = this.#engine;
    const row = memory.rows + index * ROW_SIZE;
    const [at, length] = [memory.u32(row + ROW.OFFSET), memory.u32(row + ROW.LENGTH)];
    const headroom = memory.u32(row + ROW.HEADROOM);
    this.#fences.open(`the headroom of row ${index}`, at - headroom, headroom, WRITE);
    this.#fences.open(`the frame of row ${index}`, at, length, READ | WRITE);
  }

  /** Nothing of the arena was written but the slots of the rows that have one. */
  #checkSlots(): void {
    const { memory } = this.#engine;
    const flags = this.#fences.flags;
    const [arena, end] = [memory.u32(CONTROL.ARENA), memory.u32(CONTROL.ARENA_END)];
    for (let index = memory.u32(CONTROL.ROW_COUNT) - 1; index >= 0; index--) {
      const row = memory.rows + index * ROW_SIZE;
      const at = memory.u32(row + ROW.OFFSET);
      if (at < arena || at >= end) continue;
      const slotEnd = Math.ceil((at + memory.u32(row + ROW.LENGTH)) / SLOT_ALIGNMENT) * SLOT_ALIGNMENT;
      flags.fill(WRITE, at - SLOT_HEADROOM, slotEnd);
    }
    const stray = flags.subarray(arena, end).indexOf(READ | WRITE);
    if (stray >= 0) throw new FenceError(`byte ${stray} of the arena was written and lies in no row's slot`);
  }
}
