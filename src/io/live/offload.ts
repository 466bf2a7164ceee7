/**
 * Frames that their sender left unfinished, because hardware would have done the rest: the checksum of TCP or UDP is that of
 * the pseudo header only, or one frame stands for many (segmentation offload). The header that says so is virtio's (Virtual
 * I/O Device 1.2 §5.1.6), which TAP devices and packet sockets put before each frame:
 *
 *     0 flags   1 GSO type   2 header length   4 segment size   6 checksum start   8 checksum offset       16 bits little-endian
 *
 * Positions count from the frame's first byte.
 */
import type { PacketMemory } from "../../dataplane/packet/index.js";
import { checksum, type SegmentationRequest, setU16, u8 } from "../../dataplane/wire/index.js";

export const OFFLOAD_HEADER_LENGTH = 10;
const NEEDS_CHECKSUM = 1;
/** GSO types; ECN is a flag on top of them. */
const GSO_TCP_IPV4 = 1;
const GSO_TCP_IPV6 = 4;
const GSO_UDP = 5;
const GSO_ECN = 0x80;

/** What is left to do about a frame. */
export interface Offload {
  readonly needsChecksum: boolean;
  /** 0: one frame. */
  readonly gsoType: number;
  readonly segmentSize: number;
  /** Where the transport header begins. */
  readonly checksumStart: number;
  readonly checksumOffset: number;
}

/** Null where nothing is left to do, as for most frames from a wire. `shift`: bytes put into the frame since, in front of all that counts. */
export function offloadAt({ bytes }: PacketMemory, at: number, shift: number): Offload | null {
  const needsChecksum = (u8(bytes, at) & NEEDS_CHECKSUM) !== 0;
  const gsoType = u8(bytes, at + 1) & ~GSO_ECN;
  if (!needsChecksum && gsoType === 0) return null;
  const field = (offset: number): number => bytes[at + offset]! | (bytes[at + offset + 1]! << 8);
  return {
    needsChecksum,
    gsoType,
    segmentSize: field(4),
    checksumStart: field(6) + shift,
    checksumOffset: field(8),
  };
}

/** Completes the checksum of a single frame. False if the header asks for what the frame does not have. */
export function completeChecksum({ bytes }: PacketMemory, at: number, length: number, offload: Offload): boolean {
  const start = at + offload.checksumStart;
  const field = start + offload.checksumOffset;
  const end = at + length;
  if (field + 2 > end) return false;
  // The field holds the sum of the pseudo header. A sum of zero is sent as all ones: zero means "none" in UDP (RFC 768).
  setU16(bytes, field, checksum(bytes, start, end) || 0xffff);
  return true;
}

/** What `Segmenter` needs to know about a frame that stands for many; null for a kind that nobody cuts here. */
export function segmentationOf({ gsoType, checksumStart, segmentSize }: Offload): SegmentationRequest | null {
  const isTcp = gsoType === GSO_TCP_IPV4 || gsoType === GSO_TCP_IPV6;
  return isTcp || gsoType === GSO_UDP ? { isTcp, transport: checksumStart, segmentSize } : null;
}
