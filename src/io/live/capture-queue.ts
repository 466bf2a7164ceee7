/**
 * Pieces of a capture on their way from a thread that forwards to the one that writes, in shared memory. Whoever puts never waits:
 * where there is no room, the piece is refused.
 *
 *     | put | taken | where, length, frames of piece 0 | … of piece 1 | …        32 bits each; pieces are counted from the beginning
 *     | octets, in which pieces lie anywhere
 *
 * A piece is put as far to the front as it fits, so that a writer that keeps up always finds it in the same few octets: those that
 * are still in the processor's cache. One thread puts, one takes. A bell, one word for all queues of a writer, wakes it.
 */
const PIECES = 2048;
const PUT = 0;
const TAKEN = 1;
const FIRST = 2;
const PIECE = { WORDS: 3, AT: 0, LENGTH: 1, FRAMES: 2 } as const;
const HEADER_BYTES = (FIRST + PIECES * PIECE.WORDS) * 4;

/** Pieces side by side are taken together up to so much: long writes cost less, and short ones make room sooner. */
const JOINED_BYTES = 1024 * 1024;

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
  readonly #buffer: Buffer;
  /** For whoever puts: where no piece lies, in order, none beside another. */
  readonly #holes: { at: number; end: number }[];
  /** Pieces whose octets are in holes again. */
  #reclaimed = 0;
  /** For whoever takes: the piece behind those that `peek` gave. */
  #peeked = 0;

  constructor(
    shared: SharedArrayBuffer,
    private readonly bell: Int32Array,
  ) {
    this.#words = new Int32Array(shared, 0, HEADER_BYTES / 4);
    this.#bytes = new Uint8Array(shared, HEADER_BYTES);
    this.#buffer = Buffer.from(shared, HEADER_BYTES);
    this.#holes = [{ at: 0, end: this.#bytes.length }];
  }

  /** Copies the piece, which is not empty; false if there is no room for it. The writer hears of it by `wake`. */
  put({ bytes, frames }: CapturePiece): boolean {
    const words = this.#words;
    const put = words[PUT]!;
    this.#reclaim(Atomics.load(words, TAKEN));
    if (((put - this.#reclaimed) | 0) === PIECES) return false;
    const at = this.#allot(bytes.length);
    if (at === null) return false;
    this.#buffer.fill(bytes, at, at + bytes.length); // `set` copies word by word into shared memory, which takes twice as long
    const piece = pieceAt(put);
    words[piece + PIECE.AT] = at;
    words[piece + PIECE.LENGTH] = bytes.length;
    words[piece + PIECE.FRAMES] = frames;
    Atomics.store(words, PUT, (put + 1) | 0);
    return true;
  }

  /** Are half of the pieces on their way that can be? */
  get isCrowded(): boolean {
    return ((this.#words[PUT]! - Atomics.load(this.#words, TAKEN)) | 0) >= PIECES / 2;
  }

  wake(): void {
    ringBell(this.bell);
  }

  /** Where so many octets are free, which they are no more. */
  #allot(length: number): number | null {
    const index = this.#holes.findIndex(({ at, end }) => end - at >= length);
    if (index < 0) return null;
    const hole = this.#holes[index]!;
    const { at } = hole;
    hole.at += length;
    if (hole.at === hole.end) this.#holes.splice(index, 1);
    return at;
  }

  /** Frees the octets of pieces that were taken. */
  #reclaim(taken: number): void {
    for (; this.#reclaimed !== taken; this.#reclaimed = (this.#reclaimed + 1) | 0) {
      const piece = pieceAt(this.#reclaimed);
      const at = this.#words[piece + PIECE.AT]!;
      this.#free(at, at + this.#words[piece + PIECE.LENGTH]!);
    }
  }

  #free(at: number, end: number): void {
    const holes = this.#holes;
    const behind = holes.findIndex((hole) => hole.at >= end);
    const index = behind < 0 ? holes.length : behind;
    const before = holes[index - 1];
    const after = holes[index];
    if (before?.end === at) {
      before.end = end;
      if (after?.at !== end) return;
      before.end = after.end;
      holes.splice(index, 1);
    } else if (after?.at === end) after.at = at;
    else holes.splice(index, 0, { at, end });
  }

  /** The oldest piece, joined by those that come next and lie next. They stay until `release`. */
  peek(): CapturePiece | undefined {
    const words = this.#words;
    const put = Atomics.load(words, PUT);
    const first = words[TAKEN]!;
    if (put === first) return undefined;
    const at = words[pieceAt(first) + PIECE.AT]!;
    let end = at;
    let frames = 0;
    let next = first;
    for (; next !== put && end - at < JOINED_BYTES; next = (next + 1) | 0) {
      const piece = pieceAt(next);
      if (words[piece + PIECE.AT] !== end) break;
      end += words[piece + PIECE.LENGTH]!;
      frames += words[piece + PIECE.FRAMES]!;
    }
    this.#peeked = next;
    return { bytes: this.#bytes.subarray(at, end), frames };
  }

  /** Gives back the room of what `peek` gave last. */
  release(): void {
    Atomics.store(this.#words, TAKEN, this.#peeked);
  }
}

/** The word where piece `number` is described. */
const pieceAt = (number: number): number => FIRST + ((number >>> 0) % PIECES) * PIECE.WORDS;

export function ringBell(bell: Int32Array): void {
  Atomics.add(bell, 0, 1);
  Atomics.notify(bell, 0);
}
