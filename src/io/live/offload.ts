/**
 * Frames that their sender left unfinished, because hardware would have done the rest: the checksum of TCP or UDP is that of
 * the pseudo header only, or one frame stands for many (segmentation offload). The header that says so is virtio's (Virtual
 * I/O Device 1.2 §5.1.6), which TAP devices and packet sockets put before each frame:
 *
 *     0 flags   1 GSO type   2 header length   4 segment size   6 checksum start   8 checksum offset       16 bits little-endian
 *
 * Positions count from the frame's first byte.
 */
import { type PacketMemory, SLOT_HEADROOM } from "../../dataplane/packet/index.js";
import {
  checksum,
  checksumOfSum,
  checksumSum,
  IPV4_LENGTH,
  IPV6_LENGTH,
  isTpid,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  pseudoHeaderSum,
  setU16,
  setU32,
  TCP_CWR,
  TCP_FIN,
  TCP_LENGTH,
  TCP_PSH,
  UDP_LENGTH,
  u8,
  u16,
  u32,
  VLAN_TAG_LENGTH,
  VLAN_TAG_OFFSET,
} from "../../dataplane/wire/index.js";

export const OFFLOAD_HEADER_LENGTH = 10;
const NEEDS_CHECKSUM = 1;
/** GSO types; ECN is a flag on top of them. */
const GSO_TCP_IPV4 = 1;
const GSO_TCP_IPV6 = 4;
const GSO_UDP = 5;
const GSO_ECN = 0x80;

/** Fields of the transport headers that differ from segment to segment. */
const TCP = { SEQUENCE: 4, DATA_OFFSET: 12, FLAGS: 13, CHECKSUM: 16 } as const;
const UDP = { LENGTH: 4, CHECKSUM: 6 } as const;

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

/** Cuts a frame that stands for many into those, one after the other. */
export class Segmenter {
  #at = 0;
  #end = 0;
  /** Length of all headers, and where two of them begin. */
  #headers = 0;
  #network = 0;
  #transport = 0;
  #isTcp = false;
  #segmentSize = 0;
  /** Where the payload that is still to come begins. */
  #next = 0;
  #index = 0;

  constructor(private readonly memory: PacketMemory) {}

  /** Are there segments left? The frame must stay where it is until there are none. */
  get isBusy(): boolean {
    return this.#next < this.#end;
  }

  /** Room that a segment takes, headroom included. */
  get slotBytes(): number {
    return (SLOT_HEADROOM + this.#headers + this.#segmentSize + 15) & ~15;
  }

  /** False if the frame is not what the header says. */
  start(at: number, length: number, offload: Offload): boolean {
    const { bytes } = this.memory;
    const network = networkAt(bytes, at, length);
    const transport = offload.checksumStart;
    this.#isTcp = offload.gsoType === GSO_TCP_IPV4 || offload.gsoType === GSO_TCP_IPV6;
    const isKnown = this.#isTcp || offload.gsoType === GSO_UDP;
    if (!isKnown || offload.segmentSize === 0 || transport < network + IPV4_LENGTH) return false;
    if (u8(bytes, at + network) >>> 4 === 6 && transport < network + IPV6_LENGTH) return false;
    if (transport + (this.#isTcp ? TCP_LENGTH : UDP_LENGTH) > length) return false;
    const headers = transport + (this.#isTcp ? (u8(bytes, at + transport + TCP.DATA_OFFSET) >>> 4) * 4 : UDP_LENGTH);
    if (headers >= length) return false;
    this.#at = at;
    this.#end = at + length;
    this.#headers = headers;
    this.#network = network;
    this.#transport = transport;
    this.#segmentSize = offload.segmentSize;
    this.#next = at + headers;
    this.#index = 0;
    return true;
  }

  /** Writes the next segment to an address and gives its length. */
  write(to: number): number {
    const { bytes } = this.memory;
    const payload = Math.min(this.#segmentSize, this.#end - this.#next);
    const length = this.#headers + payload;
    bytes.copyWithin(to, this.#at, this.#at + this.#headers);
    bytes.copyWithin(to + this.#headers, this.#next, this.#next + payload);
    this.#next += payload;
    this.#fixNetwork(bytes, to + this.#network, length - this.#network);
    this.#fixTransport(bytes, to, length);
    this.#index++;
    return length;
  }

  #fixNetwork(bytes: Uint8Array, ip: number, length: number): void {
    if (u8(bytes, ip) >>> 4 === 6) {
      setU16(bytes, ip + 4, length - IPV6_LENGTH);
      return;
    }
    setU16(bytes, ip + 2, length);
    setU16(bytes, ip + 4, u16(bytes, ip + 4) + this.#index);
    setU16(bytes, ip + 10, 0);
    setU16(bytes, ip + 10, checksum(bytes, ip, ip + (u8(bytes, ip) & 0x0f) * 4));
  }

  #fixTransport(bytes: Uint8Array, frame: number, length: number): void {
    const at = frame + this.#transport;
    const transportLength = length - this.#transport;
    if (this.#isTcp) {
      setU32(bytes, at + TCP.SEQUENCE, u32(bytes, at + TCP.SEQUENCE) + this.#index * this.#segmentSize);
      // The end of the data, and the answer to a congestion mark, are told once (RFC 3168 §6.1.2).
      let flags = u8(bytes, at + TCP.FLAGS);
      if (this.isBusy) flags &= ~(TCP_FIN | TCP_PSH);
      if (this.#index > 0) flags &= ~TCP_CWR;
      bytes[at + TCP.FLAGS] = flags;
    } else {
      setU16(bytes, at + UDP.LENGTH, transportLength);
    }
    const field = at + (this.#isTcp ? TCP.CHECKSUM : UDP.CHECKSUM);
    setU16(bytes, field, 0);
    const protocol = this.#isTcp ? PROTOCOL_TCP : PROTOCOL_UDP;
    const pseudo = pseudoHeaderSum(bytes, frame + this.#network, protocol, transportLength);
    setU16(bytes, field, checksumOfSum(checksumSum(bytes, at, frame + length, pseudo)) || 0xffff);
  }
}

/** Where the network header begins, behind any tags. */
function networkAt(bytes: Uint8Array, at: number, length: number): number {
  let type = VLAN_TAG_OFFSET;
  while (type + VLAN_TAG_LENGTH + 2 <= length && isTpid(u16(bytes, at + type))) type += VLAN_TAG_LENGTH;
  return type + 2;
}
