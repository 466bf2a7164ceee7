/**
 * The memory that captures share with the engine, as far as they need to know it, and a plain one for those who read
 * captures without an engine, or for engines in other threads.
 */
export interface Memory {
  readonly memory: WebAssembly.Memory;
  /** The whole memory as it is now; do not keep it across `allocate`. */
  readonly bytes: Uint8Array;
  /** Zeroed room that is never given back; may grow the memory, which makes older views useless. */
  allocate(bytes: number, alignment?: number): number;
}

const PAGE = 65_536;

export interface PlainMemoryOptions {
  readonly maximumBytes?: number;
  readonly shared?: boolean;
}

/** A memory that grows as it hands out regions, one behind the other. Other threads can see it if it is `shared`. */
export class PlainMemory implements Memory {
  readonly memory: WebAssembly.Memory;
  #bytes: Uint8Array;
  #view: DataView;
  /** The first page stays free, so that no region has the address 0. */
  #next = PAGE;

  constructor({ maximumBytes = 256 * 1024 * 1024, shared = false }: PlainMemoryOptions = {}) {
    this.memory = new WebAssembly.Memory({ initial: 1, maximum: Math.ceil(maximumBytes / PAGE), shared });
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#view = new DataView(this.memory.buffer);
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }
  setU16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }
  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  allocate(bytes: number, alignment = 16): number {
    const at = Math.ceil(this.#next / alignment) * alignment;
    this.#next = at + bytes;
    const missing = this.#next - this.memory.buffer.byteLength;
    if (missing > 0) {
      this.memory.grow(Math.ceil(missing / PAGE));
      this.#bytes = new Uint8Array(this.memory.buffer);
      this.#view = new DataView(this.memory.buffer);
    }
    return at;
  }
}
