/**
 * The UMEM: the chunks that AF_XDP sockets receive into and send from, as a region of the packet memory. The kernel writes frames
 * where the engine works, headers are pushed into the free bytes before a frame, and the same chunk can be sent.
 *
 *     ┌────────────────────┬──────────────────────┬──────────┐
 *     │ 256 bytes headroom │ frame                │          │   chunk of 2,048 or 4,096 bytes
 *     └────────────────────┴──────────────────────┴──────────┘
 *
 * The life of a chunk:
 *
 *     FREE ─► FILLING ─► RECEIVED ─────────────────────► FREE          received and released
 *                           └─► LENT ─► SENDING ───────► FREE          sent where it lay
 *                                 └───► RETURNED ──────► FREE          the same, sent before it was released
 *     FREE ─────────────────────────► SENDING ─────────► FREE          a copy of a frame from elsewhere
 *
 * A frame that was received may go to several ports, so a chunk that was sent is used again only when it has been released as well.
 *
 * The kernel holds the pages of the region, and knows them by address: the memory must not move. It does not when it grows, since
 * V8 reserves the address space of its maximum beforehand; `bytes` checks it.
 */
import assert from "node:assert";
import type { PacketMemory } from "../../../dataplane/packet/index.js";
import type { SlotCounts } from "../live-interface.js";
import type { System } from "../system.js";

export const CHUNK = { FREE: 0, FILLING: 1, RECEIVED: 2, LENT: 3, SENDING: 4, RETURNED: 5 } as const;

/** What the kernel leaves free before each received frame (XDP_PACKET_HEADROOM). */
export const CHUNK_HEADROOM = 256;
const PAGE = 4096;

export class Umem {
  readonly base: number;
  readonly chunkSize: number;
  /** Chunk number from an offset in the UMEM: `offset >>> chunkShift`. */
  readonly chunkShift: number;
  readonly chunkCount: number;
  /** CHUNK by chunk. */
  readonly states: Uint8Array;
  /** The free chunks, the last used on top, since that one is in the cache. */
  readonly free: Uint32Array;
  freeCount = 0;
  readonly #memory: PacketMemory;
  readonly #system: System;
  readonly #address: number;
  #bytes: Uint8Array;
  #words: Uint32Array;

  constructor(memory: PacketMemory, system: System, chunkSize: number, chunkCount: number) {
    this.chunkSize = chunkSize;
    this.chunkShift = Math.log2(chunkSize);
    this.chunkCount = chunkCount;
    this.base = memory.allocate(chunkSize * chunkCount, PAGE);
    this.#memory = memory;
    this.#system = system;
    this.#bytes = memory.bytes;
    this.#words = new Uint32Array(memory.bytes.buffer);
    this.#address = system.addressOf(this.#bytes);
    this.states = new Uint8Array(chunkCount);
    this.free = new Uint32Array(chunkCount);
    this.reclaimAll();
  }

  get length(): number {
    return this.chunkSize * this.chunkCount;
  }
  /** Where the region lies for the kernel. */
  get address(): number {
    return this.#address + this.base;
  }

  /** The whole memory, also after it has grown. */
  get bytes(): Uint8Array {
    if (this.#bytes !== this.#memory.bytes) this.#renewViews();
    return this.#bytes;
  }
  /** The same in 32-bit words. */
  get words(): Uint32Array {
    if (this.#bytes !== this.#memory.bytes) this.#renewViews();
    return this.#words;
  }

  take(state: number): number {
    const chunk = this.free[--this.freeCount]!;
    this.states[chunk] = state;
    return chunk;
  }
  give(chunk: number): void {
    this.states[chunk] = CHUNK.FREE;
    this.free[this.freeCount++] = chunk;
  }
  /** Who has the chunks. Those of a burst that is under way are counted in `total` only. */
  slots(): SlotCounts {
    const counts = new Uint32Array(6);
    for (const state of this.states) counts[state]!++;
    const sending = counts[CHUNK.SENDING]! + counts[CHUNK.LENT]! + counts[CHUNK.RETURNED]!;
    return { total: this.chunkCount, free: counts[CHUNK.FREE]!, filling: counts[CHUNK.FILLING]!, sending };
  }

  /** All chunks are free: at the beginning, and when no socket is there any more. */
  reclaimAll(): void {
    this.states.fill(CHUNK.FREE);
    for (let i = 0; i < this.chunkCount; i++) this.free[i] = this.chunkCount - 1 - i;
    this.freeCount = this.chunkCount;
  }

  #renewViews(): void {
    this.#bytes = this.#memory.bytes;
    this.#words = new Uint32Array(this.#bytes.buffer);
    assert.equal(
      this.#system.addressOf(this.#bytes),
      this.#address,
      "the packet memory has moved under an AF_XDP socket",
    );
  }
}
