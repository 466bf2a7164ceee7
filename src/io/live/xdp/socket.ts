/**
 * An AF_XDP socket (Documentation/networking/af_xdp.rst of Linux): one queue of one interface, with its four rings.
 *
 * The UMEM is handed in. Sockets of other queues could share it by XDP_SHARED_UMEM, each with rings of its own.
 */
import { SystemError } from "../errors.js";
import { block, MAP_SHARED, type Mapping, PROT_READ, PROT_WRITE, SO_ERROR, SOCK_RAW, SOL_SOCKET } from "../system.js";
import { Ring, type RingLayout } from "./ring.js";
import type { XdpSystem } from "./system-calls.js";
import type { Umem } from "./umem.js";

const AF_XDP = 44;
const SOL_XDP = 283;
const MAP_POPULATE = 0x8000;

/** Options of SOL_XDP, and where the mapping of each ring begins. */
const OPTION = { MMAP_OFFSETS: 1, UMEM_REGISTER: 4, STATISTICS: 7, TRANSMIT_BUDGET: 9 } as const;
const RINGS = {
  receive: { option: 2, offsets: 0, mapping: 0, entrySize: 16 },
  transmit: { option: 3, offsets: 32, mapping: 0x8000_0000, entrySize: 16 },
  fill: { option: 5, offsets: 64, mapping: 0x1_0000_0000, entrySize: 8 },
  completion: { option: 6, offsets: 96, mapping: 0x1_8000_0000, entrySize: 8 },
} as const;
/** struct xdp_mmap_offsets: producer, consumer, entries, flags of 64 bits for each ring. */
const OFFSETS_SIZE = 128;

/** Flags of bind. */
const COPY = 2;
const ZERO_COPY = 4;
const USE_NEED_WAKEUP = 8;
/** Frames that one wakeup sends where the driver cannot zero-copy; Linux takes 32 unless told (since 6.17). */
const TRANSMIT_BUDGET = 256;
const RETRY_MS = 10;

export interface XdpSocketOptions {
  readonly interfaceIndex: number;
  readonly queue: number;
  readonly umem: Umem;
  /** Entries of each ring, a power of two. */
  readonly ringSize: number;
  /** How long to wait for a queue that is busy. */
  readonly patienceMs: number;
}

export interface XdpStatistics {
  /** Longer than a chunk, or there was no chunk in the fill ring. */
  readonly receiveDropped: number;
  readonly receiveRingFull: number;
  readonly receiveInvalid: number;
  readonly transmitInvalid: number;
}

export class XdpSocket {
  readonly descriptor: number;
  readonly receive: Ring;
  readonly transmit: Ring;
  readonly fill: Ring;
  readonly completion: Ring;
  readonly isZeroCopy: boolean;
  readonly #system: XdpSystem;
  readonly #mappings: Mapping[] = [];

  /** Throws a SystemError, with nothing left behind; EBUSY only after having waited `patienceMs`. */
  constructor(system: XdpSystem, { interfaceIndex, queue, umem, ringSize, patienceMs }: XdpSocketOptions) {
    this.#system = system;
    this.descriptor = system.socket(AF_XDP, SOCK_RAW, 0);
    try {
      this.#register(umem);
      for (const name of ["fill", "completion", "receive", "transmit"] as const) this.#makeRing(name, ringSize);
      const offsets = block(OFFSETS_SIZE);
      system.getSocketOption(
        this.descriptor,
        SOL_XDP,
        OPTION.MMAP_OFFSETS,
        offsets.bytes,
        "getsockopt(XDP_MMAP_OFFSETS)",
      );
      this.fill = this.#mapRing("fill", offsets.view, ringSize);
      this.completion = this.#mapRing("completion", offsets.view, ringSize);
      this.receive = this.#mapRing("receive", offsets.view, ringSize);
      this.transmit = this.#mapRing("transmit", offsets.view, ringSize);
      this.isZeroCopy = this.#bind(interfaceIndex, queue, patienceMs);
      this.#raiseBudget();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  statistics(): XdpStatistics {
    const { bytes, view } = block(48);
    this.#system.getSocketOption(this.descriptor, SOL_XDP, OPTION.STATISTICS, bytes, "getsockopt(XDP_STATISTICS)");
    const word = (index: number): number => Number(view.getBigUint64(index * 8, true));
    return {
      receiveDropped: word(0),
      receiveInvalid: word(1),
      transmitInvalid: word(2),
      receiveRingFull: word(3),
    };
  }

  /** A device that goes leaves an error at its socket, which is of no use any more, though one with the same index may come. */
  isLost(): boolean {
    const { bytes, view } = block(4);
    this.#system.getSocketOption(this.descriptor, SOL_SOCKET, SO_ERROR, bytes, "SO_ERROR");
    return view.getInt32(0, true) !== 0;
  }

  /** The rings must not be touched after this. */
  close(): void {
    this.#system.close(this.descriptor);
    while (this.#mappings.length > 0) this.#system.unmap(this.#mappings.pop()!);
  }

  #register(umem: Umem): void {
    const { bytes, view } = block(32);
    view.setBigUint64(0, BigInt(umem.address), true);
    view.setBigUint64(8, BigInt(umem.length), true);
    view.setUint32(16, umem.chunkSize, true);
    // Bytes 20 to 23: headroom on top of the 256 bytes that the kernel leaves anyway.
    this.#set(OPTION.UMEM_REGISTER, bytes, "setsockopt(XDP_UMEM_REG)");
  }

  #makeRing(name: keyof typeof RINGS, size: number): void {
    const { bytes, view } = block(4);
    view.setUint32(0, size, true);
    this.#set(RINGS[name].option, bytes, `setsockopt(${name} ring)`);
  }

  #mapRing(name: keyof typeof RINGS, offsets: DataView, size: number): Ring {
    const { offsets: at, mapping, entrySize } = RINGS[name];
    const offset = (index: number): number => Number(offsets.getBigUint64(at + index * 8, true));
    const layout: RingLayout = { producer: offset(0), consumer: offset(1), entries: offset(2), flags: offset(3) };
    const length = layout.entries + size * entrySize;
    const mapped = this.#system.map(
      length,
      PROT_READ | PROT_WRITE,
      MAP_SHARED | MAP_POPULATE,
      this.descriptor,
      mapping,
    );
    this.#mappings.push(mapped);
    return new Ring(mapped.bytes, layout, size);
  }

  /** Zero-copy where the driver offers it: is it? A queue that was given back a moment ago is busy for some milliseconds. */
  #bind(interfaceIndex: number, queue: number, patienceMs: number): boolean {
    for (let waitedMs = 0; ; waitedMs += RETRY_MS) {
      if (this.#tryBind(interfaceIndex, queue, ZERO_COPY) === null) return true;
      const error = this.#tryBind(interfaceIndex, queue, COPY);
      if (error === null) return false;
      if (error.code !== "EBUSY" || waitedMs >= patienceMs) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }

  /** Null if it succeeded. */
  #tryBind(interfaceIndex: number, queue: number, mode: number): SystemError | null {
    const { bytes, view } = block(16); // struct sockaddr_xdp
    view.setUint16(0, AF_XDP, true);
    view.setUint16(2, mode | USE_NEED_WAKEUP, true);
    view.setUint32(4, interfaceIndex, true);
    view.setUint32(8, queue, true);
    try {
      this.#system.bind(this.descriptor, bytes);
      return null;
    } catch (error) {
      if (error instanceof SystemError) return error;
      throw error;
    }
  }

  #raiseBudget(): void {
    const { bytes, view } = block(4);
    view.setUint32(0, TRANSMIT_BUDGET, true);
    try {
      this.#set(OPTION.TRANSMIT_BUDGET, bytes, "setsockopt(XDP_MAX_TX_SKB_BUDGET)");
    } catch (error) {
      if (!(error instanceof SystemError)) throw error; // an older kernel: more wakeups, nothing else
    }
  }

  #set(option: number, value: Uint8Array, name: string): void {
    this.#system.setSocketOption(this.descriptor, SOL_XDP, option, value, name);
  }
}
