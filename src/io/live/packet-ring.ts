/**
 * The receive ring of a packet socket (packet(7), TPACKET_V3): blocks in a mapping of their own, which the kernel fills one after
 * the other and hands over whole: when the next frame does not fit, or after a millisecond.
 *
 *     block:  48 bytes of description, then frames:
 *             ┌─ tpacket3_hdr ─ address ─ offload header ─ frame ─ padding ─┬─ tpacket3_hdr ─ …
 *             └────────── free for our headers once it is read ──┘
 *
 * A block is copied into the packet memory in one piece, headers and all, and given back at once. So the room in front of each
 * frame comes with it, and a frame costs no copy of its own.
 */
import type { PacketMemory } from "../../dataplane/packet/index.js";
import { setU16, VLAN_TAG_LENGTH, VLAN_TAG_OFFSET } from "../../dataplane/wire/index.js";
import type { Intake, Time } from "./intake.js";
import { OFFLOAD_HEADER_LENGTH, offloadAt } from "./offload.js";
import { int32, MAP_SHARED, type Mapping, PROT_READ, PROT_WRITE, SOL_PACKET, type System } from "./system.js";

const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_VERSION = 10;
const PACKET_VNET_HDR = 15;
const TPACKET_V3 = 2;

/** Frames that segmentation offload makes have up to 64 KiB and headers; seven of them fit. */
const BLOCK_BYTES = 512 * 1024;
const BLOCK_COUNT = 32;
/** Of no importance to version 3, which packs frames; must divide the block. */
const FRAME_BYTES = 2048;
/** The shortest there is: what a lone frame waits for. */
const BLOCK_TIMEOUT_MS = 1;

/** struct tpacket_block_desc */
const BLOCK = { STATUS: 8, FRAME_COUNT: 12, FIRST_FRAME: 16, LENGTH: 20 } as const;
/** struct tpacket3_hdr */
const FRAME = {
  NEXT: 0,
  CAPTURED: 12,
  LENGTH: 16,
  STATUS: 20,
  MAC: 24,
  TCI: 32,
  TPID: 36,
} as const;
const STATUS_KERNEL = 0;
const STATUS_USER = 1;
const STATUS_VLAN = 0x10;
const STATUS_VLAN_TPID = 0x40;
const TPID_CTAG = 0x8100;

export class PacketRing {
  /** Frames that were longer than a block. */
  cut = 0;
  #lost = 0;
  readonly #mapping: Mapping;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  #block = 0;
  /** In the copy of the block in hand: frames left, and where the next one begins. */
  #left = 0;
  #next = 0;

  /** `copy` is where blocks are copied to: `PacketRing.allocateCopy`. The socket must not be bound yet. */
  constructor(
    private readonly system: System,
    private readonly memory: PacketMemory,
    private readonly socket: number,
    private readonly copy: number,
  ) {
    system.setSocketOption(socket, SOL_PACKET, PACKET_VERSION, int32(TPACKET_V3), "PACKET_VERSION");
    system.setSocketOption(socket, SOL_PACKET, PACKET_VNET_HDR, int32(1), "PACKET_VNET_HDR");
    const frameCount = (BLOCK_BYTES / FRAME_BYTES) * BLOCK_COUNT;
    const request = new Uint32Array([BLOCK_BYTES, BLOCK_COUNT, FRAME_BYTES, frameCount, BLOCK_TIMEOUT_MS, 0, 0]);
    system.setSocketOption(socket, SOL_PACKET, PACKET_RX_RING, new Uint8Array(request.buffer), "PACKET_RX_RING");
    this.#mapping = system.map(BLOCK_BYTES * BLOCK_COUNT, PROT_READ | PROT_WRITE, MAP_SHARED, socket, 0);
    this.#bytes = new Uint8Array(this.#mapping.bytes);
    this.#words = new Int32Array(this.#mapping.bytes);
  }

  static allocateCopy(memory: PacketMemory): number {
    return memory.allocate(BLOCK_BYTES);
  }

  /** Gives frames of one block to the intake, until that is full. The copy must not be overwritten before they are released. */
  receive(intake: Intake, time: Time): void {
    if (intake.isFull) return; // a frame of the copy may be half cut
    if (this.#left === 0) this.#takeBlock();
    while (this.#left > 0 && !intake.isFull) this.#takeFrame(intake, time);
  }

  /** Copies the next block if the kernel has handed it over. */
  #takeBlock(): void {
    const block = this.#block * BLOCK_BYTES;
    const status = (block + BLOCK.STATUS) / 4;
    if ((Atomics.load(this.#words, status) & STATUS_USER) === 0) return;
    const length = this.#words[(block + BLOCK.LENGTH) / 4]!;
    this.memory.bytes.set(this.#bytes.subarray(block, block + length), this.copy);
    Atomics.store(this.#words, status, STATUS_KERNEL);
    this.#block = (this.#block + 1) % BLOCK_COUNT;
    this.#left = this.memory.u32(this.copy + BLOCK.FRAME_COUNT);
    this.#next = this.copy + this.memory.u32(this.copy + BLOCK.FIRST_FRAME);
  }

  #takeFrame(intake: Intake, time: Time): void {
    const { memory } = this;
    const header = this.#next;
    this.#left--;
    this.#next += memory.u32(header + FRAME.NEXT);
    const status = memory.u32(header + FRAME.STATUS);
    let at = header + memory.u16(header + FRAME.MAC);
    let length = memory.u32(header + FRAME.CAPTURED);
    if (length < memory.u32(header + FRAME.LENGTH)) {
      this.cut++;
      return;
    }
    const isTagged = (status & STATUS_VLAN) !== 0;
    const offload = offloadAt(memory, at - OFFLOAD_HEADER_LENGTH, isTagged ? VLAN_TAG_LENGTH : 0);
    if (isTagged) {
      const tpid = (status & STATUS_VLAN_TPID) === 0 ? TPID_CTAG : memory.u16(header + FRAME.TPID);
      const tci = memory.u32(header + FRAME.TCI);
      at -= VLAN_TAG_LENGTH;
      length += VLAN_TAG_LENGTH;
      memory.bytes.copyWithin(at, at + VLAN_TAG_LENGTH, at + VLAN_TAG_LENGTH + VLAN_TAG_OFFSET);
      setU16(memory.bytes, at + VLAN_TAG_OFFSET, tpid);
      setU16(memory.bytes, at + VLAN_TAG_OFFSET + 2, tci);
    }
    intake.add(at, length, at - header, time, offload);
  }

  /** Frames that found the ring full, or that could not be described, so far. */
  lost(): number {
    const statistics = new Uint8Array(12); // packets, drops, times that the ring was full; reading clears them
    this.system.getSocketOption(this.socket, SOL_PACKET, PACKET_STATISTICS, statistics, "PACKET_STATISTICS");
    this.#lost += new DataView(statistics.buffer).getUint32(4, true);
    return this.#lost;
  }

  close(): void {
    this.system.unmap(this.#mapping);
  }
}
