/**
 * The yardstick: what this core could carry if a frame only had to be copied. Blocks as long as a frame, with one memory.copy
 * each, from a buffer that is larger than caches usually are to where the engine puts frames: the slots of one burst, which the
 * next burst overwrites, and which therefore stay in a cache. A destination as large as the source would be slower by up to
 * half, and a limit that one can beat.
 */
import { readFileSync } from "node:fs";
import { BURST_BYTES_MAX, BURST_MAX } from "../../dataplane/packet/index.js";

/** One level above `cli` is the package's `dist`, from `src` as from `dist`. */
const FILE = new URL("../../../dist/cli/bench/copy.wasm", import.meta.url);
const SOURCE_BYTES = 64 * 1024 * 1024;
const PAGE = 65_536;

interface CopyCalls {
  copyBlocks(to: number, from: number, length: number, stride: number, count: number): void;
}

export const copyModule = (): WebAssembly.Module => new WebAssembly.Module(readFileSync(FILE));

export class CopyLimit {
  readonly #calls: CopyCalls;
  readonly #length: number;
  readonly #stride: number;
  readonly #blocks: number;
  readonly #blocksAtOnce: number;
  #position = 0;

  /** For blocks of `length` bytes, each at the beginning of a cache line as frames are. */
  constructor(module: WebAssembly.Module, length: number) {
    const memory = new WebAssembly.Memory({ initial: (SOURCE_BYTES + BURST_BYTES_MAX) / PAGE });
    new Uint8Array(memory.buffer).fill(1); // pages that were never written would be one and the same
    this.#calls = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as CopyCalls;
    this.#length = length;
    this.#stride = (length + 63) & ~63;
    this.#blocks = Math.floor(SOURCE_BYTES / this.#stride);
    this.#blocksAtOnce = Math.min(BURST_MAX, Math.floor(BURST_BYTES_MAX / this.#stride));
  }

  /** Copies as many blocks as a burst has frames, or those that are left in the source, and returns how many bytes that were. */
  copyBurst(): number {
    const count = Math.min(this.#blocksAtOnce, this.#blocks - this.#position);
    this.#calls.copyBlocks(SOURCE_BYTES, this.#position * this.#stride, this.#length, this.#stride, count);
    this.#position = (this.#position + count) % this.#blocks;
    return count * this.#length;
  }
}
