/**
 * Offsets and numbers of the capture formats that TypeScript and the WebAssembly scanner share. `../assembly/constants.generated.ts`
 * is generated from this file, and a test fails if they differ.
 */

/** A record header of a classic pcap file (draft-ietf-opsawg-pcap §5); the fraction of the second stands at 4. */
export const RECORD = { SECONDS: 0, FRACTION: 4, CAPTURED: 8, ORIGINAL: 12, LENGTH: 16 } as const;
/** Modified files have an interface index, a protocol and a packet type more in each record header. */
export const MODIFIED_RECORD_LENGTH = 24;

/** The block type of an enhanced packet block (draft-ietf-opsawg-pcapng §4.3). */
export const EPB = 6;
/** Where the frame begins in an enhanced packet block. */
export const EPB_FRAME = 28;
/** An enhanced packet block around an empty frame. */
export const EPB_LENGTH_MIN = 32;
/** What packing enhanced packet blocks in place needs before each frame: header, trailer and padding of the one before. */
export const EPB_GAP = 36;

/** Larger packet blocks are taken for damage: with all its options, a packet has to fit into a buffer together with others. */
export const PACKET_BLOCK_MAX = 524_288;

/** Longest captured length that is believed; what libpcap allows for Ethernet too. */
export const FRAME_MAX = 262_144;

/** One interface of a pcapng section, as the scanner needs it. Exactly one of multiplier, divisor and shift is in use. */
export const INTERFACE = {
  /** Nanoseconds per unit (64 bits), or 0. */
  MULTIPLIER: 0,
  /** Units per nanosecond (64 bits), or 0. */
  DIVISOR: 8,
  /** if_tsoffset in nanoseconds (64 bits, modulo 2^64). */
  OFFSET_NS: 16,
  /** Units are 2^-shift seconds. */
  SHIFT: 24,
  /** 1 if the interface's frames can be read. */
  FLAGS: 28,
  SIZE: 32,
} as const;

/** Why a scan stopped. */
export const STOP = {
  /** As many rows or bytes as were asked for. */
  FULL: 0,
  /** The next record is not whole in the buffer. */
  MORE: 1,
  /** An impossible length. */
  BAD: 2,
  /** Not an enhanced packet block, or not whole. */
  OTHER: 3,
  /** A frame of an interface that cannot be read. */
  LINK: 4,
} as const;
