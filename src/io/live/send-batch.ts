/**
 * Frames on their way out of a packet socket: collected where they lie, handed over by one sendmmsg(2) per burst.
 *
 *     mmsghdr 0 ─► iovec 0 ─► frame in the packet memory
 *     mmsghdr 1 ─► iovec 1 ─► …
 *
 * Headers and iovecs lie in the packet memory, too; the kernel gets real addresses, which follow from where that memory begins.
 */
import type { PacketMemory } from "../../dataplane/packet/index.js";
import { IOVEC, MMSGHDR, MSG_DONTWAIT, type System } from "./system.js";

/** Handed over at once when so many wait. */
const CAPACITY = 512;

export class SendBatch {
  sent = 0;
  /** Frames that the system refused. */
  refused = 0;
  readonly #headers: number;
  readonly #iovecs: number;
  #count = 0;
  /** Where the packet memory begins, as the headers have it. */
  #base = 0;

  constructor(
    private readonly system: System,
    private readonly memory: PacketMemory,
  ) {
    this.#headers = memory.allocate(CAPACITY * MMSGHDR.SIZE);
    this.#iovecs = memory.allocate(CAPACITY * IOVEC.SIZE);
  }

  /** The frame must stay where it is until `flush`. `descriptor` is where the batch goes should it be full. */
  add(descriptor: number, offset: number, length: number): void {
    if (this.#count === CAPACITY) this.flush(descriptor);
    if (this.#count === 0) this.#find();
    const iovec = this.#iovecs + this.#count * IOVEC.SIZE;
    setPointer(this.memory, iovec, this.#base + offset);
    this.memory.setU32(iovec + IOVEC.LENGTH, length);
    this.#count++;
  }

  /** Hands over what was added; what the system refuses is counted. −1 as descriptor refuses all. */
  flush(descriptor: number): void {
    let done = descriptor < 0 ? this.#count : 0;
    this.refused += done;
    while (done < this.#count) {
      const headers = this.#base + this.#headers + done * MMSGHDR.SIZE;
      const sent = this.system.sendmmsg(descriptor, headers, this.#count - done, MSG_DONTWAIT);
      if (sent > 0) {
        this.sent += sent;
        done += sent;
      } else {
        this.refused++; // the first of those left, for its length or because the device takes no more
        done++;
      }
    }
    this.#count = 0;
  }

  /** Memory that grows may move. */
  #find(): void {
    const base = this.system.addressOf(this.memory.memory.buffer);
    if (base === this.#base) return;
    this.#base = base;
    for (let i = 0; i < CAPACITY; i++) {
      const header = this.#headers + i * MMSGHDR.SIZE;
      setPointer(this.memory, header + MMSGHDR.IOV, base + this.#iovecs + i * IOVEC.SIZE);
      this.memory.setU32(header + MMSGHDR.IOV_COUNT, 1);
    }
  }
}

/** Writes an address of 64 bits into the packet memory. */
export function setPointer(memory: PacketMemory, at: number, address: number): void {
  memory.setU32(at, address >>> 0);
  memory.setU32(at + 4, Math.floor(address / 0x1_0000_0000));
}
