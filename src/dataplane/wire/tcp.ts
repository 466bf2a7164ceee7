/**
 * The TCP header (RFC 9293 §3.1), options included.
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-------------------------------+-------------------------------+
 *     |          source port          |       destination port        |
 *     +-------------------------------+-------------------------------+
 *     |                        sequence number                        |
 *     +---------------------------------------------------------------+
 *     |                     acknowledgment number                     |
 *     +-------+-------+---------------+-------------------------------+
 *     | offset|  res. |C E U A P R S F|            window             |
 *     +-------+-------+---------------+-------------------------------+
 *     |           checksum            |        urgent pointer         |
 *     +-------------------------------+-------------------------------+
 *     |                options, up to 40 octets …                     |
 */
import { Reason } from "../drop-reasons.js";
import { setU16, setU32, u8, u16, u32 } from "./bytes.js";
import { checksum, checksumIsRight, pseudoHeaderSum } from "./checksum.js";
import { PROTOCOL_TCP } from "./ipv4.js";

/** Without options. */
export const TCP_LENGTH = 20;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

export const TCP_OPTION_END = 0;
export const TCP_OPTION_NOP = 1;
export const TCP_OPTION_MSS = 2;
export const TCP_OPTION_WINDOW_SCALE = 3;
export const TCP_OPTION_SACK_PERMITTED = 4;
export const TCP_OPTION_SACK = 5;
export const TCP_OPTION_TIMESTAMPS = 8;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const SEQUENCE = 4;
const ACKNOWLEDGMENT = 8;
const OFFSET_FLAGS = 12;
const WINDOW = 14;
export const TCP_CHECKSUM_OFFSET = 16;
const CHECKSUM = TCP_CHECKSUM_OFFSET;
const URGENT = 18;
const OPTIONS = 20;

/** Is there a whole TCP header at `at`, before `end`? The data offset must be five or more and present. */
export function checkTcp(frame: Uint8Array, at: number, end: number): Reason {
  if (end - at < TCP_LENGTH) return Reason.INVALID_PACKET;
  const headerLength = tcpHeaderLengthAt(frame, at);
  return headerLength < TCP_LENGTH || headerLength > end - at ? Reason.INVALID_PACKET : Reason.NONE;
}

export const tcpSourcePortAt = (frame: Uint8Array, at: number): number => u16(frame, at + SOURCE_PORT);
export const tcpDestinationPortAt = (frame: Uint8Array, at: number): number => u16(frame, at + DESTINATION_PORT);
export const tcpSequenceAt = (frame: Uint8Array, at: number): number => u32(frame, at + SEQUENCE);
export const tcpAcknowledgmentAt = (frame: Uint8Array, at: number): number => u32(frame, at + ACKNOWLEDGMENT);
/** The data offset, in octets. */
export const tcpHeaderLengthAt = (frame: Uint8Array, at: number): number => (u8(frame, at + OFFSET_FLAGS) >>> 4) * 4;
/** Eight bits, CWR to FIN. */
export const tcpFlagsAt = (frame: Uint8Array, at: number): number => u8(frame, at + OFFSET_FLAGS + 1);
/** Not scaled. */
export const tcpWindowAt = (frame: Uint8Array, at: number): number => u16(frame, at + WINDOW);
export const tcpChecksumAt = (frame: Uint8Array, at: number): number => u16(frame, at + CHECKSUM);
export const tcpUrgentPointerAt = (frame: Uint8Array, at: number): number => u16(frame, at + URGENT);

export interface TcpOption {
  readonly kind: number;
  readonly at: number;
  /** With kind and length octet. */
  readonly length: number;
}

/**
 * The options of a checked header, up to its end or an End of Option List (RFC 9293 §3.1); No-Operation is left out.
 * `wellFormed` is false when a length is impossible; what came before is still listed.
 */
export function tcpOptions(frame: Uint8Array, at: number): { options: TcpOption[]; wellFormed: boolean } {
  const end = at + tcpHeaderLengthAt(frame, at);
  const options: TcpOption[] = [];
  for (let cursor = at + OPTIONS; cursor < end; ) {
    const kind = u8(frame, cursor);
    if (kind === TCP_OPTION_END) break;
    if (kind === TCP_OPTION_NOP) {
      cursor++;
      continue;
    }
    const length = cursor + 1 < end ? u8(frame, cursor + 1) : 0;
    if (length < 2 || cursor + length > end) return { options, wellFormed: false };
    options.push({ kind, at: cursor, length });
    cursor += length;
  }
  return { options, wellFormed: true };
}

/** The maximum segment size option's value; null if there is none (RFC 9293 §3.7.1). */
export function tcpMssAt(frame: Uint8Array, at: number): number | null {
  const option = tcpOptions(frame, at).options.find(({ kind, length }) => kind === TCP_OPTION_MSS && length === 4);
  return option ? u16(frame, option.at + 2) : null;
}

/** Does the checksum of the segment [at, end) under the IP header at `ipAt` add up? */
export const tcpChecksumIsRight = (frame: Uint8Array, ipAt: number, at: number, end: number): boolean =>
  checksumIsRight(frame, at, end, pseudoHeaderSum(frame, ipAt, PROTOCOL_TCP, end - at));

/** Fills the checksum of a segment whose payload and IP addresses are in place. */
export function setTcpChecksum(frame: Uint8Array, ipAt: number, at: number, end: number): void {
  setU16(frame, at + CHECKSUM, 0);
  setU16(frame, at + CHECKSUM, checksum(frame, at, end, pseudoHeaderSum(frame, ipAt, PROTOCOL_TCP, end - at)));
}

export interface TcpFields {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgment?: number;
  readonly flags: number;
  readonly window: number;
  readonly urgentPointer?: number;
  /** Up to 40 octets; padded with End of Option List to a multiple of four. */
  readonly options?: Uint8Array;
}

/** Writes the header with a zero checksum, see `setTcpChecksum`; returns its length. */
export function writeTcp(frame: Uint8Array, at: number, fields: TcpFields): number {
  const options = fields.options ?? new Uint8Array(0);
  const headerLength = TCP_LENGTH + Math.ceil(options.length / 4) * 4;
  setU16(frame, at + SOURCE_PORT, fields.sourcePort);
  setU16(frame, at + DESTINATION_PORT, fields.destinationPort);
  setU32(frame, at + SEQUENCE, fields.sequence);
  setU32(frame, at + ACKNOWLEDGMENT, fields.acknowledgment ?? 0);
  setU16(frame, at + OFFSET_FLAGS, ((headerLength / 4) << 12) | fields.flags);
  setU16(frame, at + WINDOW, fields.window);
  setU16(frame, at + CHECKSUM, 0);
  setU16(frame, at + URGENT, fields.urgentPointer ?? 0);
  frame.fill(0, at + OPTIONS, at + headerLength);
  frame.set(options, at + OPTIONS);
  return headerLength;
}
