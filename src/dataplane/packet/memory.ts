/**
 * The memory of one kernel: every region of `layout.ts` at its place, and an allocator for buffers that live beside them.
 *
 * The memory may grow when a buffer is allocated, and only then; never while a burst is in flight. Growing replaces the views,
 * so nobody keeps one across `allocate`.
 */
import {
  BUCKET_SIZE,
  BUCKET_SLOTS,
  BURST_BYTES_MAX,
  BURST_MAX,
  CONTROL,
  DROPS_PER_PORT,
  ENTRY_SIZE,
  FRAME_LENGTH_MAX,
  GROUP_SIZE,
  KEY_SIZE,
  NO_PORT,
  NODE_SIZE,
  PORT,
  PORT_SIZE,
  ROW_SIZE,
  SLOT_HEADROOM,
  TRANSIENT_COUNT,
} from "./layout.js";

const PAGE = 65_536;
/** The largest memory that 32-bit addresses reach, less one page so that no sum of address and length wraps. */
const MAXIMUM_PAGES = 65_535;
/** The first address behind the control block. */
const FIRST_REGION = 4096;
/** Rows for copies on top of those that come in. */
const COPY_ROWS = 3840;
/** Copies with headers of their own that the arena has room for, and how long they are. */
const COPIED_AT_ONCE = 1024;
const JUMBO_LENGTH = 9216;

export interface MemorySizes {
  readonly ports: number;
  readonly nodes: number;
  readonly stamps: number;
  /** Most flow entries at a time. */
  readonly flowCapacity: number;
}

export class PacketMemory {
  readonly memory: WebAssembly.Memory;
  /** Addresses of regions that TypeScript uses. */
  readonly ports: number;
  readonly drops: number;
  readonly nodes: number;
  readonly stamps: number;
  readonly rows: number;
  readonly unresolved: number;
  readonly flowCapacity: number;
  #free: number;
  #bytes: Uint8Array;
  #view: DataView;

  /** For copies of the packets of one burst. */
  readonly copyRoom: { readonly frames: number; readonly bytes: number };

  constructor(sizes: MemorySizes) {
    this.memory = new WebAssembly.Memory({ initial: 1, maximum: MAXIMUM_PAGES });
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#view = new DataView(this.memory.buffer);
    this.#free = FIRST_REGION;
    this.flowCapacity = sizes.flowCapacity;

    // A packet to many may leave at every port.
    const fanOut = sizes.ports;
    const rowCapacity = BURST_MAX + Math.max(COPY_ROWS, 2 * fanOut);
    this.ports = this.allocate(sizes.ports * PORT_SIZE);
    this.drops = this.allocate(sizes.ports * DROPS_PER_PORT * 8);
    this.nodes = this.allocate(sizes.nodes * NODE_SIZE);
    this.stamps = this.allocate(sizes.stamps * 4);
    this.rows = this.allocate(rowCapacity * ROW_SIZE);
    const keys = this.allocate(GROUP_SIZE * KEY_SIZE);
    const current = this.allocate(rowCapacity * 4);
    const next = this.allocate(rowCapacity * 4);
    this.unresolved = this.allocate(GROUP_SIZE * 4);
    // Half as many entries as slots: then a key finds both of its buckets full about never.
    const bucketCount = powerOfTwoAtLeast((2 * sizes.flowCapacity) / BUCKET_SLOTS);
    const buckets = this.allocate(bucketCount * BUCKET_SIZE);
    const transients = this.allocate(TRANSIENT_COUNT * ENTRY_SIZE);
    const entries = this.allocate(sizes.flowCapacity * ENTRY_SIZE);
    // Every frame of a burst in a slot of its own, and one copy of the longest frame for each byte budget used up.
    const arenaBytes =
      2 * BURST_BYTES_MAX +
      4 * (FRAME_LENGTH_MAX + SLOT_HEADROOM) +
      rowCapacity * (SLOT_HEADROOM + 192) +
      Math.min(fanOut, COPIED_AT_ONCE) * 2 * (JUMBO_LENGTH + SLOT_HEADROOM);
    const arena = this.allocate(arenaBytes);

    this.setU32(CONTROL.PORTS, this.ports);
    this.setU32(CONTROL.DROPS, this.drops);
    this.setU32(CONTROL.NODES, this.nodes);
    this.setU32(CONTROL.STAMPS, this.stamps);
    this.setU32(CONTROL.ROWS, this.rows);
    this.setU32(CONTROL.ROW_CAPACITY, rowCapacity);
    this.setU32(CONTROL.FAN_OUT, fanOut);
    this.copyRoom = { frames: rowCapacity - BURST_MAX, bytes: arenaBytes / 2 };
    this.setU32(CONTROL.COPY_ROWS, this.copyRoom.frames);
    this.setU32(CONTROL.COPY_BYTES, this.copyRoom.bytes);
    this.setU32(CONTROL.KEYS, keys);
    this.setU32(CONTROL.LIST_CURRENT, current);
    this.setU32(CONTROL.LIST_NEXT, next);
    this.setU32(CONTROL.LIST_UNRESOLVED, this.unresolved);
    this.setU32(CONTROL.BUCKETS, buckets);
    this.setU32(CONTROL.BUCKET_MASK, bucketCount - 1);
    this.setU32(CONTROL.ENTRIES, entries);
    this.setU32(CONTROL.ENTRY_CAPACITY, sizes.flowCapacity);
    this.setU32(CONTROL.TRANSIENTS, transients);
    this.setU32(CONTROL.ARENA, arena);
    this.setU32(CONTROL.ARENA_END, arena + arenaBytes);
    this.setU32(CONTROL.ENTRY_UNUSED, entries);
    this.setU32(CONTROL.ENTRIES_END, entries + sizes.flowCapacity * ENTRY_SIZE);
    for (let port = 0; port < sizes.ports; port++) this.setU32(this.ports + port * PORT_SIZE + PORT.PEER, NO_PORT);
  }

  /** The whole memory; valid until the next `allocate`. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }
  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }
  u64(at: number): bigint {
    return this.#view.getBigUint64(at, true);
  }
  setU16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }
  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }
  setU64(at: number, value: bigint): void {
    this.#view.setBigUint64(at, value, true);
  }
  /** A 64-bit counter as a number; exact up to 2^53. */
  count(at: number): number {
    return Number(this.#view.getBigUint64(at, true));
  }

  /** A zeroed region for as long as the memory lives. Throws RangeError when 4 GiB are used up. */
  allocate(bytes: number, alignment = 64): number {
    const at = Math.ceil(this.#free / alignment) * alignment;
    const end = at + bytes;
    const have = this.memory.buffer.byteLength;
    if (end > have) {
      this.memory.grow(Math.ceil((end - have) / PAGE));
      this.#bytes = new Uint8Array(this.memory.buffer);
      this.#view = new DataView(this.memory.buffer);
    }
    this.#free = end;
    return at;
  }
}

function powerOfTwoAtLeast(n: number): number {
  let power = 1;
  while (power < n) power *= 2;
  return power;
}
