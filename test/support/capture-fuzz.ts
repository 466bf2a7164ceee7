/**
 * The capture scanner with assertions, fed with sound and damaged records: each of its functions may touch what it was given, and
 * nothing else.
 */
import { ROW, ROW_SIZE, STREAM_ITEM, STREAM_ITEM_SIZE } from "../../src/dataplane/packet/layout.js";
import { EPB, EPB_GAP, EPB_LENGTH_MIN, INTERFACE, RECORD } from "../../src/io/capture/layout.js";
import { PlainMemory } from "../../src/io/capture/memory.js";
import type { Scanner } from "../../src/io/capture/scanner.js";
import { type CheckedModule, Fences, READ, WRITE } from "./fences.js";
import type { Random } from "./random.js";
import { Tally } from "./tally.js";

const KINDS = {
  capture: ["records", "blocks", "frames", "frames cut"],
  stop: ["full", "more", "bad", "other", "link"],
  output: ["sorted", "written", "rewritten", "packed", "blocks rewritten"],
} as const;
export type CaptureTally = Tally<typeof KINDS>;
export const makeCaptureTally = (): CaptureTally => new Tally(KINDS);
/** In the order of their numbers. */
const STOPS = KINDS.stop;

const INPUT_BYTES = 16_384;
const ROWS = 64;
const FACES = 3;
/** More than any scan below gives. */
const OUTPUT_BYTES = 4 * INPUT_BYTES;
const FRAME_ODD = [0, 1, 13, 14, 59, 60, 61, 62, 63, 64, 200, 1500];
const LENGTHS_ODD = [0, 1, 3, 4, 31, 32, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, 0xffff_ffff, 262_144, 262_145];

export class CaptureFuzz {
  readonly #memory = new PlainMemory();
  readonly #scanner: Scanner;
  readonly #fences: Fences;
  readonly #input = this.#memory.allocate(INPUT_BYTES);
  readonly #rows = this.#memory.allocate(ROWS * ROW_SIZE);
  readonly #faces = this.#memory.allocate(FACES * INTERFACE.SIZE);
  readonly #list = this.#memory.allocate((ROWS + 1) * STREAM_ITEM_SIZE);
  readonly #stream = this.#memory.allocate(OUTPUT_BYTES);
  readonly #spare = this.#memory.allocate(OUTPUT_BYTES);
  readonly #tally: CaptureTally;

  constructor({ module, sites }: CheckedModule, tally: CaptureTally) {
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.#memory.memory } });
    this.#scanner = exports as unknown as Scanner;
    this.#fences = new Fences(this.#memory, sites);
    this.#tally = tally;
  }

  /** A buffer of records or blocks, scanned to its end, and every way of writing what came out. */
  round(random: Random): void {
    const isSwapped = random.chance(0.5);
    const isPcap = random.chance(0.5);
    const header = isPcap ? random.pick([RECORD.LENGTH, 24]) : 0;
    const at = this.#input + random.below(64);
    const bytes = isPcap ? records(random, isSwapped, header) : blocks(random, isSwapped);
    this.#tally.count("capture", isPcap ? "records" : "blocks");
    this.#memory.bytes.set(bytes, at);
    for (let face = 0; face < FACES; face++) this.#setFace(random, this.#faces + face * INTERFACE.SIZE);
    let cursor = at;
    const end = at + bytes.length;
    for (let isGoingOn = true; isGoingOn; ) {
      const count = isPcap
        ? this.#scanRecords(random, cursor, end, header, isSwapped)
        : this.#scanBlocks(random, cursor, end, isSwapped);
      const next = this.#scanner.cursor.value >>> 0;
      const stop = STOPS[this.#scanner.stop.value]!;
      this.#tally.count("stop", stop);
      this.#checkRows(cursor, next, end, count);
      this.#write(random, count, header, isSwapped);
      isGoingOn = stop === "full" && next > cursor;
      cursor = next;
    }
  }

  #scanRecords(random: Random, at: number, end: number, header: number, isSwapped: boolean): number {
    const rowsMax = random.between(1, ROWS);
    return this.#call(
      [
        ["the buffer", at, end - at, READ],
        ["the rows", this.#rows, rowsMax * ROW_SIZE, WRITE],
      ],
      (scanner) =>
        scanner.scanRecords(at, end, this.#rows, rowsMax, bytesMax(random), header, 1000, Number(isSwapped), 0),
    );
  }

  #scanBlocks(random: Random, at: number, end: number, isSwapped: boolean): number {
    const rowsMax = random.between(1, ROWS);
    const faces = random.below(FACES + 1);
    return this.#call(
      [
        ["the buffer", at, end - at, READ],
        ["the rows", this.#rows, rowsMax * ROW_SIZE, WRITE],
        ["the interfaces", this.#faces, faces * INTERFACE.SIZE, READ],
      ],
      (scanner) =>
        scanner.scanBlocks(at, end, this.#rows, rowsMax, bytesMax(random), this.#faces, faces, 7, Number(isSwapped)),
    );
  }

  /** Frames lie one behind the other, all in the part of the buffer that was scanned. */
  #checkRows(at: number, next: number, end: number, count: number): void {
    const view = this.#view;
    if (next < at || next > end) throw new Error(`the scan of [${at}, ${end}) stopped at ${next}`);
    let last = at;
    for (let row = this.#rows; row < this.#rows + count * ROW_SIZE; row += ROW_SIZE) {
      const [offset, length] = [view.getUint32(row + ROW.OFFSET, true), view.getUint32(row + ROW.LENGTH, true)];
      if (offset < last || offset + length > next) throw new Error(`a frame at ${offset}, ${length} octets long`);
      last = offset + length;
      this.#tally.count("capture", view.getUint32(row + ROW.MISSING, true) > 0 ? "frames cut" : "frames");
    }
  }

  /** The rows' frames as a stream, shortened or prolonged, then written in each way that fits the input. */
  #write(random: Random, count: number, header: number, isSwapped: boolean): void {
    const swapped = Number(isSwapped);
    const list: Opened = ["the list", this.#list, count * STREAM_ITEM_SIZE, READ];
    const base = this.#stream;

    this.#fillStream(random, count, RECORD.LENGTH);
    this.#call([list, ...this.#gaps(count, RECORD.LENGTH)], (s) => s.writeRecords(this.#list, count, base, 1000));
    this.#tally.count("output", "written");

    if (header > 0) {
      this.#fillStream(random, count, header);
      const opened = [list, ...this.#gaps(count, header), ...this.#sources(count, () => header)];
      this.#call(opened, (s) => s.rewriteRecords(this.#list, count, base, header, swapped));
      this.#tally.count("output", "rewritten");
    } else {
      this.#fillStream(random, count, 0);
      const lengthOf = (source: number): number => this.#view.getUint32(source + 4, !isSwapped);
      const frames = this.#items(count).map(({ offset, length }): Opened => ["a frame", offset, length, READ]);
      const room = random.below(OUTPUT_BYTES);
      const opened: Opened[] = [list, ...frames, ...this.#sources(count, lengthOf)];
      opened.push(["the output", this.#spare, room, WRITE]);
      const written = this.#call(opened, (s) =>
        s.rewriteBlocks(this.#list, count, this.#spare, this.#spare + room, swapped),
      );
      this.#tally.count("output", "blocks rewritten", written);
    }

    const end = this.#fillStream(random, count, EPB_GAP);
    this.#call([list, ["the stream", base, end - base, READ | WRITE]], (s) =>
      s.packBlocks(this.#list, count, base, 3, 1000),
    );
    this.#tally.count("output", "packed");

    this.#shuffleList(random, count);
    this.#call([["the list", this.#list, (count + 1) * STREAM_ITEM_SIZE, READ | WRITE]], (s) =>
      s.sortItems(this.#list, count),
    );
    const order = this.#items(count).map(({ sequence }) => sequence);
    if (order.some((sequence, index) => index > 0 && sequence < order[index - 1]!)) throw new Error("not sorted");
    this.#tally.count("output", "sorted");
  }

  /** Copies the frames of the rows into the stream; where it ends. */
  #fillStream(random: Random, count: number, gap: number): number {
    const view = this.#view;
    let at = this.#stream;
    for (let index = 0; index < count; index++) {
      const row = this.#rows + index * ROW_SIZE;
      const item = this.#list + index * STREAM_ITEM_SIZE;
      const was = view.getUint32(row + ROW.LENGTH, true);
      const length = random.pick([was, was + 66, Math.max(0, was - 14)]);
      at += gap;
      view.setUint32(item + STREAM_ITEM.OFFSET, at, true);
      view.setUint32(item + STREAM_ITEM.LENGTH, length, true);
      view.setUint32(item + STREAM_ITEM.SEQUENCE, index, true);
      view.setUint32(item + STREAM_ITEM.MISSING, view.getUint32(row + ROW.MISSING, true), true);
      view.setUint32(item + STREAM_ITEM.SOURCE, view.getUint32(row + ROW.SOURCE, true), true);
      view.setBigUint64(item + STREAM_ITEM.TIMESTAMP, view.getBigUint64(row + ROW.TIMESTAMP, true), true);
      at += length;
    }
    return at;
  }

  #items(count: number): { offset: number; length: number; source: number; sequence: number }[] {
    const view = this.#view;
    return Array.from({ length: count }, (_, index) => {
      const item = this.#list + index * STREAM_ITEM_SIZE;
      const word = (field: number): number => view.getUint32(item + field, true);
      return {
        offset: word(STREAM_ITEM.OFFSET),
        length: word(STREAM_ITEM.LENGTH),
        source: word(STREAM_ITEM.SOURCE),
        sequence: word(STREAM_ITEM.SEQUENCE),
      };
    });
  }

  #gaps = (count: number, gap: number): Opened[] =>
    this.#items(count).map(({ offset }) => ["a gap", offset - gap, gap, WRITE]);

  #sources = (count: number, lengthOf: (source: number) => number): Opened[] =>
    this.#items(count).map(({ source }) => ["a source", source, lengthOf(source), READ]);

  #shuffleList(random: Random, count: number): void {
    for (let swaps = random.below(8); swaps > 0 && count > 1; swaps--) {
      const [a, b] = [random.below(count), random.below(count)].map((i) => this.#list + i * STREAM_ITEM_SIZE);
      const first = this.#memory.bytes.slice(a, a! + STREAM_ITEM_SIZE);
      this.#memory.bytes.copyWithin(a!, b!, b! + STREAM_ITEM_SIZE);
      this.#memory.bytes.set(first, b!);
    }
  }

  #setFace(random: Random, at: number): void {
    const view = this.#view;
    const units = random.below(3);
    view.setBigUint64(at + INTERFACE.MULTIPLIER, units === 0 ? 1000n : 0n, true);
    view.setBigUint64(at + INTERFACE.DIVISOR, units === 1 ? 1000n : 0n, true);
    view.setUint32(at + INTERFACE.SHIFT, random.below(80), true);
    view.setUint32(at + INTERFACE.FLAGS, random.chance(0.9) ? 1 : 0, true);
  }

  #call<T>(opened: readonly Opened[], call: (scanner: Scanner) => T): T {
    const mark = this.#fences.mark;
    for (const range of opened) this.#fences.open(...range);
    const result = this.#fences.guard(() => call(this.#scanner));
    this.#fences.closeTo(mark);
    return result;
  }

  get #view(): DataView {
    return new DataView(this.#memory.memory.buffer);
  }
}

type Opened = [name: string, from: number, bytes: number, flags: number];

const bytesMax = (random: Random): number => random.pick([0, 100, 2000, 262_144]);

/** Classic records, now and then with a length that lies. */
function records(random: Random, isSwapped: boolean, header: number): Uint8Array {
  const bytes = random.bytes(INPUT_BYTES - 64);
  const view = new DataView(bytes.buffer);
  const starts: number[] = [];
  for (let at = 0; at + header <= bytes.length; ) {
    const length = random.chance(0.03) ? random.pick(LENGTHS_ODD) : random.pick(FRAME_ODD);
    view.setUint32(at + RECORD.CAPTURED, length, !isSwapped);
    view.setUint32(at + RECORD.ORIGINAL, random.chance(0.8) ? length : random.bits(), !isSwapped);
    starts.push(at);
    at += header + (length > bytes.length ? random.below(100) : length);
  }
  return cut(random, bytes, starts);
}

/** Enhanced packet blocks with options, and others between them; now and then a number that lies. */
function blocks(random: Random, isSwapped: boolean): Uint8Array {
  const bytes = random.bytes(INPUT_BYTES - 64);
  const view = new DataView(bytes.buffer);
  const starts: number[] = [];
  for (let at = 0; ; ) {
    const captured = random.pick(FRAME_ODD);
    const total = EPB_LENGTH_MIN + ((captured + 3) & ~3) + random.pick([0, 0, 0, 4, 12]);
    if (at + total > bytes.length) return cut(random, bytes, starts);
    const words: [number, number][] = [
      [0, random.chance(0.98) ? EPB : random.pick([1, 3, 5, 0x0a0d_0d0a])],
      [4, total],
      [8, random.chance(0.97) ? 0 : random.below(5)],
      [20, captured],
      [24, random.chance(0.8) ? captured : random.bits()],
      [total - 4, total],
    ];
    for (const [field, value] of words)
      view.setUint32(at + field, random.chance(0.005) ? random.pick(LENGTHS_ODD) : value, !isSwapped);
    starts.push(at);
    at += total;
  }
}

/** Cut anywhere, or in the header of the record that begins at one of these places. */
const cut = (random: Random, bytes: Uint8Array, starts: readonly number[]): Uint8Array =>
  bytes.subarray(0, random.chance(0.3) ? random.below(bytes.length) : random.pick(starts) + random.below(40));
