/**
 * Pieces of a capture on their way from a thread that forwards to the one that writes: slots in shared memory, in a circle. Whoever
 * puts never waits: with all slots taken the piece is refused.
 *
 *     | put | taken | length, frames of slot 0 | … of slot 1 | …        32 bits each
 *     | slot 0 | slot 1 | …
 *
 * One thread puts, one takes. A bell, one word for all queues of a writer, wakes it.
 */
const SLOTS = 16;
const PUT = 0;
const TAKEN = 1;
const SLOT_WORDS = 2;
const HEADER_BYTES = (2 + SLOTS * 2) * 4;

/** Records of a capture, back to back. */
export interface CapturePiece {
  readonly bytes: Uint8Array;
  readonly frames: number;
}

export const makeCaptureQueue = (pieceBytesMax: number): SharedArrayBuffer =>
  new SharedArrayBuffer(HEADER_BYTES + SLOTS * pieceBytesMax);

export class CaptureQueue {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #slotBytes: number;

  constructor(
    shared: SharedArrayBuffer,
    private readonly bell: Int32Array,
  ) {
    this.#words = new Int32Array(shared, 0, HEADER_BYTES / 4);
    this.#bytes = new Uint8Array(shared, HEADER_BYTES);
    this.#slotBytes = this.#bytes.length / SLOTS;
  }

  get pieceBytesMax(): number {
    return this.#slotBytes;
  }

  /** Copies the piece; false if there is no room for it. */
  put({ bytes, frames }: CapturePiece): boolean {
    const words = this.#words;
    const put = words[PUT]!;
    if (((put - Atomics.load(words, TAKEN)) | 0) === SLOTS || bytes.length > this.#slotBytes) return false;
    const slot = (put >>> 0) % SLOTS;
    this.#bytes.set(bytes, slot * this.#slotBytes);
    words[SLOT_WORDS + slot * 2] = bytes.length;
    words[SLOT_WORDS + slot * 2 + 1] = frames;
    Atomics.store(words, PUT, (put + 1) | 0);
    ringBell(this.bell);
    return true;
  }

  /** The oldest piece, which stays until `release`. */
  peek(): CapturePiece | undefined {
    const words = this.#words;
    const taken = words[TAKEN]!;
    if (Atomics.load(words, PUT) === taken) return undefined;
    const slot = (taken >>> 0) % SLOTS;
    const begin = slot * this.#slotBytes;
    return {
      bytes: this.#bytes.subarray(begin, begin + words[SLOT_WORDS + slot * 2]!),
      frames: words[SLOT_WORDS + slot * 2 + 1]!,
    };
  }

  release(): void {
    Atomics.store(this.#words, TAKEN, (this.#words[TAKEN]! + 1) | 0);
  }
}

export function ringBell(bell: Int32Array): void {
  Atomics.add(bell, 0, 1);
  Atomics.notify(bell, 0);
}
