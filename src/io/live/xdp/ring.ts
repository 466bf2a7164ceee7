/**
 * One of the four rings that an AF_XDP socket shares with the kernel: single producer, single consumer, without locks.
 *
 *     fill         ours ─► kernel   chunks into which frames may be received      entries of 8 bytes: an address
 *     receive      kernel ─► ours   chunks with frames                            16 bytes: address 64, length 32, options 32
 *     transmit     ours ─► kernel   chunks with frames to be sent                 16 bytes
 *     completion   kernel ─► ours   chunks that have been sent                    8 bytes
 *
 * Indexes count entries since the beginning and wrap at 2^32. The one who writes entries stores the producer index after them,
 * the reader loads it before; Atomics give that order, since a plain store could be moved. Addresses are offsets in the UMEM, which
 * is below 4 GiB, so the high words stay zero and are never looked at.
 */
export interface RingLayout {
  /** Offsets in the mapping, in bytes: `struct xdp_ring_offset`. */
  readonly producer: number;
  readonly consumer: number;
  readonly entries: number;
  readonly flags: number;
}

/** The kernel sleeps and looks at the ring only when asked to. */
const NEED_WAKEUP = 1;

export class Ring {
  /** The whole mapping in 32-bit words. */
  readonly words: Uint32Array<ArrayBuffer>;
  /** The first word of the entries. */
  readonly entries: number;
  readonly mask: number;
  /** The next entry of ours to be written or read. */
  own = 0;
  /** How far the kernel was when we last looked. */
  theirs = 0;
  readonly #producer: number;
  readonly #consumer: number;
  readonly #flags: number;

  constructor(mapping: ArrayBuffer, layout: RingLayout, size: number) {
    this.words = new Uint32Array(mapping);
    this.entries = layout.entries / 4;
    this.mask = size - 1;
    this.#producer = layout.producer / 4;
    this.#consumer = layout.consumer / 4;
    this.#flags = layout.flags / 4;
  }

  /** For a ring that we fill: how many entries may be written, of `wanted`. */
  room(wanted: number): number {
    let room = this.mask + 1 - ((this.own - this.theirs) >>> 0);
    if (room < wanted) {
      this.theirs = Atomics.load(this.words, this.#consumer);
      room = this.mask + 1 - ((this.own - this.theirs) >>> 0);
    }
    return room < wanted ? room : wanted;
  }
  /** Shows the kernel what has been written up to `own`. */
  publish(): void {
    Atomics.store(this.words, this.#producer, this.own);
  }
  /** For a ring that we fill: has the kernel taken everything? */
  get isTaken(): boolean {
    this.theirs = Atomics.load(this.words, this.#consumer);
    return this.theirs === this.own;
  }

  /** For a ring that the kernel fills: how many entries may be read, of `wanted`. */
  available(wanted: number): number {
    let available = (this.theirs - this.own) >>> 0;
    if (available < wanted) {
      this.theirs = Atomics.load(this.words, this.#producer);
      available = (this.theirs - this.own) >>> 0;
    }
    return available < wanted ? available : wanted;
  }
  /** Gives the kernel back what has been read up to `own`. */
  consumed(): void {
    Atomics.store(this.words, this.#consumer, this.own);
  }

  get needsWakeup(): boolean {
    return (Atomics.load(this.words, this.#flags) & NEED_WAKEUP) !== 0;
  }
}
