/**
 * The memory that captures share with the engine, as far as they need to know it, and a plain one for those who read
 * captures without an engine.
 */
export interface Memory {
  readonly memory: WebAssembly.Memory;
  /** The whole memory as it is now; do not keep it across `allocate`. */
  readonly bytes: Uint8Array;
  /** Zeroed room that is never given back; may grow the memory, which makes older views useless. */
  allocate(bytes: number, alignment?: number): number;
}

const PAGE = 65_536;

/** A memory that grows as it hands out regions, one behind the other. */
export class PlainMemory implements Memory {
  readonly memory: WebAssembly.Memory;
  #view: Uint8Array;
  /** The first page stays free, so that no region has the address 0. */
  #next = PAGE;

  constructor(maximumBytes = 256 * 1024 * 1024) {
    this.memory = new WebAssembly.Memory({ initial: 1, maximum: Math.ceil(maximumBytes / PAGE) });
    this.#view = new Uint8Array(this.memory.buffer);
  }

  get bytes(): Uint8Array {
    if (this.#view.buffer !== this.memory.buffer) this.#view = new Uint8Array(this.memory.buffer);
    return this.#view;
  }

  allocate(bytes: number, alignment = 16): number {
    const at = Math.ceil(this.#next / alignment) * alignment;
    this.#next = at + bytes;
    const missing = this.#next - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return at;
  }
}
