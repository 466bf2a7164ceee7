/**
 * Where the kernel collects the frames that leave a tapped port, and the writer takes them from: the STREAM block and its
 * items (`dataplane/packet/layout.ts`).
 *
 * A stream has two regions. The kernel fills one while the other is being written to the file, so that neither waits for the
 * other as long as both are fast enough.
 */
import { STREAM, STREAM_ITEM, STREAM_ITEM_SIZE, STREAM_SIZE } from "../../dataplane/packet/index.js";
import type { Memory } from "./memory.js";

/** The kernel copies 16 bytes at a time and may write this much behind the end of a frame. */
const SLACK = 64;

/**
 * Sets up a stream of two regions of `capacityBytes` and room for `itemCapacity` frames. The gap is that of the writer that will
 * take the frames (`gapBytes`). A region should hold several bursts, so that what is written is large.
 */
export const allocateStream = (
  memory: Memory,
  capacityBytes: number,
  itemCapacity: number,
  gapBytes: number,
): StreamBuffer => new StreamBuffer(memory, capacityBytes, itemCapacity, gapBytes);

export class StreamBuffer {
  /** Address of the STREAM block, for the port's record. */
  readonly address: number;
  readonly memory: Memory;
  readonly #regions: readonly [number, number];
  readonly #capacity: number;
  readonly #list: number;
  #current: 0 | 1 = 0;
  #view: DataView;

  constructor(memory: Memory, capacityBytes: number, itemCapacity: number, gapBytes: number) {
    this.memory = memory;
    this.#capacity = capacityBytes;
    this.address = memory.allocate(STREAM_SIZE, 64);
    this.#list = memory.allocate((itemCapacity + 1) * STREAM_ITEM_SIZE, 64); // one more to sort with
    const first = memory.allocate(capacityBytes + SLACK, 64);
    this.#regions = [first, memory.allocate(capacityBytes + SLACK, 64)];
    this.#view = new DataView(memory.memory.buffer);
    this.#set(STREAM.LIST, this.#list);
    this.#set(STREAM.LIST_CAPACITY, itemCapacity);
    this.#set(STREAM.GAP, gapBytes);
    this.reset();
  }

  get base(): number {
    return this.#regions[this.#current];
  }
  /** The region that the kernel does not fill now, from here to here plus `capacity`. */
  get spare(): number {
    return this.#regions[this.#current === 0 ? 1 : 0];
  }
  get capacity(): number {
    return this.#capacity;
  }
  get list(): number {
    return this.#list;
  }
  get gap(): number {
    return this.#get(STREAM.GAP);
  }
  /** Frames since the stream was last emptied. */
  get count(): number {
    return this.#get(STREAM.LIST_COUNT);
  }
  /** What they take of the region, gaps included. */
  get usedBytes(): number {
    return this.#get(STREAM.CURSOR) - this.base;
  }
  get isDisordered(): boolean {
    return this.#get(STREAM.DISORDERED) !== 0;
  }
  /** Frames that found no room: a defect of whoever should have emptied the stream. */
  get overflow(): number {
    return this.#get(STREAM.OVERFLOW);
  }

  /** Would so many frames of so many bytes in all, headers that are pushed included, still fit? */
  hasRoom(bytes: number, frames: number): boolean {
    const fitsBytes = this.usedBytes + bytes + frames * this.gap <= this.#capacity;
    return fitsBytes && this.count + frames <= this.#get(STREAM.LIST_CAPACITY);
  }

  /** Address of the `index`-th STREAM_ITEM. */
  itemAt(index: number): number {
    return this.#list + index * STREAM_ITEM_SIZE;
  }

  /** Forgets all frames; the kernel begins at the base again. */
  reset(): void {
    this.#set(STREAM.BASE, this.base);
    this.#set(STREAM.CURSOR, this.base);
    this.#set(STREAM.END, this.base + this.#capacity);
    this.#set(STREAM.LIST_COUNT, 0);
    this.#set(STREAM.DISORDERED, 0);
  }

  /** Empties the stream by giving the kernel the other region; the bytes of this one stay until the next swap. */
  swap(): void {
    this.#current = this.#current === 0 ? 1 : 0;
    this.reset();
  }

  /**
   * Empties the stream into one of another memory that was empty and has the same capacity and gap: its STREAM block lies at
   * `address`. Everything about the frames is the same there, but where they lie; `sourceShift` is added to where their
   * records lie.
   */
  moveTo(memory: WebAssembly.Memory, address: number, sourceShift: number): void {
    const block = new DataView(memory.buffer, address, STREAM_SIZE);
    const list = block.getUint32(STREAM.LIST, true);
    const { base, count } = this;
    const bytes = this.usedBytes;
    const shift = this.#copyTo(memory, block, bytes) - base;
    new Uint8Array(memory.buffer).set(this.memory.bytes.subarray(this.#list, this.itemAt(count)), list);
    const items = new DataView(memory.buffer, list, count * STREAM_ITEM_SIZE);
    for (let item = 0; item < count * STREAM_ITEM_SIZE; item += STREAM_ITEM_SIZE) {
      const offset = items.getUint32(item + STREAM_ITEM.OFFSET, true);
      const source = items.getUint32(item + STREAM_ITEM.SOURCE, true);
      items.setUint32(item + STREAM_ITEM.OFFSET, offset + shift, true);
      items.setUint32(item + STREAM_ITEM.SOURCE, source + sourceShift, true);
    }
    block.setUint32(STREAM.CURSOR, block.getUint32(STREAM.BASE, true) + bytes, true);
    for (const field of [STREAM.LIST_COUNT, STREAM.DISORDERED, STREAM.OVERFLOW]) {
      block.setUint32(field, this.#get(field), true);
    }
    this.reset();
  }

  /** As `moveTo`, of a stream that was encoded: only its bytes count. */
  moveEncodedTo(memory: WebAssembly.Memory, address: number, bytes: number): void {
    this.#copyTo(memory, new DataView(memory.buffer, address, STREAM_SIZE), bytes);
    this.reset();
  }

  /** Copies the first bytes of this region to the other stream's, and returns where that begins. */
  #copyTo(memory: WebAssembly.Memory, block: DataView, bytes: number): number {
    const to = block.getUint32(STREAM.BASE, true);
    new Uint8Array(memory.buffer).set(this.memory.bytes.subarray(this.base, this.base + bytes), to);
    return to;
  }

  #get(field: number): number {
    return this.#viewNow().getUint32(this.address + field, true);
  }
  #set(field: number, value: number): void {
    this.#viewNow().setUint32(this.address + field, value, true);
  }
  #viewNow(): DataView {
    if (this.#view.buffer !== this.memory.memory.buffer) this.#view = new DataView(this.memory.memory.buffer);
    return this.#view;
  }
}
