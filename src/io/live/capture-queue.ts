/**
 * Pieces of a capture on their way from a thread that forwards to the one that writes, one behind the other in a circle of shared
 * memory. Whoever puts never waits: where there is no room, the piece is refused.
 *
 *     | put | taken | where, length, frames of piece 0 | … of piece 1 | …        32 bits each; pieces are counted from the beginning
 *     | a circle of octets; no piece lies across its end
 *
 * A writer that keeps up always finds its piece at the begin of the circle, in octets that are still in the processor's cache: with
 * nothing under way, the circle starts over. One thread puts, one takes. A bell, one word for all queues of a writer, wakes it.
 */
const PIECES = 1024;
const PUT = 0;
const TAKEN = 1;
const FIRST = 2;
const PIECE = { WORDS: 3, AT: 0, LENGTH: 1, FRAMES: 2 } as const;
const HEADER_BYTES = (FIRST + PIECES * PIECE.WORDS) * 4;

/** Records of a capture, back to back. */
export interface CapturePiece {
  readonly bytes: Uint8Array;
  readonly frames: number;
}

/** A queue that holds `capacity` octets at most. */
export const makeCaptureQueue = (capacity: number): SharedArrayBuffer => new SharedArrayBuffer(HEADER_BYTES + capacity);

export class CaptureQueue {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  /** Behind the piece that was put last. */
  #end = 0;

  constructor(
    shared: SharedArrayBuffer,
    private readonly bell: Int32Array,
  ) {
    this.#words = new Int32Array(shared, 0, HEADER_BYTES / 4);
    this.#bytes = new Uint8Array(shared, HEADER_BYTES);
  }

  /** Copies the piece; false if there is no room for it. The writer hears of it by `wake`. */
  put({ bytes, frames }: CapturePiece): boolean {
    const words = this.#words;
    const put = words[PUT]!;
    const at = this.#roomFor(bytes.length, put, Atomics.load(words, TAKEN));
    if (at === null) return false;
    this.#bytes.set(bytes, at);
    this.#end = at + bytes.length;
    const piece = pieceAt(put);
    words[piece + PIECE.AT] = at;
    words[piece + PIECE.LENGTH] = bytes.length;
    words[piece + PIECE.FRAMES] = frames;
    Atomics.store(words, PUT, (put + 1) | 0);
    return true;
  }

  wake(): void {
    ringBell(this.bell);
  }

  /** Where so many octets may be put. Pieces lie from the oldest that is not taken to `#end`, once around at most. */
  #roomFor(length: number, put: number, taken: number): number | null {
    const capacity = this.#bytes.length;
    if (put === taken) return length <= capacity ? 0 : null;
    if (((put - taken) | 0) === PIECES) return null;
    const oldest = this.#words[pieceAt(taken) + PIECE.AT]!;
    const isAround = this.#end <= oldest;
    if (!isAround && this.#end + length <= capacity) return this.#end;
    const at = isAround ? this.#end : 0;
    return at + length <= oldest ? at : null;
  }

  /** The oldest piece, which stays until `release`. */
  peek(): CapturePiece | undefined {
    const words = this.#words;
    const taken = words[TAKEN]!;
    if (Atomics.load(words, PUT) === taken) return undefined;
    const piece = pieceAt(taken);
    const at = words[piece + PIECE.AT]!;
    return {
      bytes: this.#bytes.subarray(at, at + words[piece + PIECE.LENGTH]!),
      frames: words[piece + PIECE.FRAMES]!,
    };
  }

  release(): void {
    Atomics.store(this.#words, TAKEN, (this.#words[TAKEN]! + 1) | 0);
  }
}

/** The word where piece `number` is described. */
const pieceAt = (number: number): number => FIRST + ((number >>> 0) % PIECES) * PIECE.WORDS;

export function ringBell(bell: Int32Array): void {
  Atomics.add(bell, 0, 1);
  Atomics.notify(bell, 0);
}
