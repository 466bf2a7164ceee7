/**
 * Frames that came by themselves and wait to be received: a ring of octets in the packet memory, each frame with headroom, and a
 * ring of their places.
 *
 *       ┌ taken, until released ┐┌ waiting ┐
 *     ──┤▒▒frame  ▒▒frame       ▒▒frame    ├──────── free ────────
 */
import { BURST_BYTES_MAX, BURST_MAX, ROW_SIZE, SLOT_HEADROOM } from "../../dataplane/packet/index.js";
import { type RowMemory, setTime, writeRow } from "./rows.js";

/** A power of two. */
const FRAMES = 4096;
const BYTES = 8 * 1024 * 1024;
const ALIGNMENT = 64;

export class FrameQueue {
  readonly #memory: RowMemory;
  readonly #begin: number;
  readonly #end: number;
  /** Where the next frame's headroom may begin. */
  #free: number;
  /** Addresses and lengths by frame number modulo FRAMES. Frame numbers: released < taken < all. */
  readonly #offsets = new Uint32Array(FRAMES);
  readonly #lengths = new Uint32Array(FRAMES);
  #released = 0;
  #taken = 0;
  #all = 0;
  readonly #time = { low: 0, high: 0 };

  constructor(memory: RowMemory) {
    this.#memory = memory;
    this.#begin = this.#free = memory.allocate(BYTES, ALIGNMENT);
    this.#end = this.#begin + BYTES;
  }

  /** Frames that wait. */
  get waiting(): number {
    return this.#all - this.#taken;
  }

  /** Room for a frame that the caller writes there at once; 0 if there is none. */
  add(length: number): number {
    const need = Math.ceil((SLOT_HEADROOM + length) / ALIGNMENT) * ALIGNMENT;
    if (this.#all - this.#released === FRAMES) return 0;
    const at = this.#roomFor(need);
    if (at === 0) return 0;
    this.#free = at + need;
    const place = this.#all++ & (FRAMES - 1);
    this.#offsets[place] = at + SLOT_HEADROOM;
    this.#lengths[place] = length;
    return at + SLOT_HEADROOM;
  }

  #roomFor(need: number): number {
    if (this.#all === this.#released) return need <= BYTES ? this.#begin : 0;
    const oldest = this.#offsets[this.#released & (FRAMES - 1)]! - SLOT_HEADROOM;
    if (this.#free <= oldest) return oldest - this.#free >= need ? this.#free : 0;
    if (this.#end - this.#free >= need) return this.#free;
    return oldest - this.#begin >= need ? this.#begin : 0;
  }

  /** As LiveInterface.receive. */
  take(rows: number, max: number, nowNs: bigint): number {
    if (this.#taken !== this.#released) return 0;
    setTime(this.#time, nowNs);
    const most = Math.min(max, BURST_MAX, this.waiting);
    let count = 0;
    for (let bytes = 0; count < most; count++) {
      const place = (this.#taken + count) & (FRAMES - 1);
      const length = this.#lengths[place]!;
      bytes += length;
      if (bytes > BURST_BYTES_MAX) break;
      writeRow(this.#memory, rows + count * ROW_SIZE, this.#offsets[place]!, length, SLOT_HEADROOM, this.#time);
    }
    this.#taken += count;
    return count;
  }

  /** The frames that were taken are done with. */
  release(): void {
    this.#released = this.#taken;
  }
}
