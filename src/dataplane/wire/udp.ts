/**
 * The UDP header (RFC 768).
 *
 *     0       2       4       6       8
 *     +-------+-------+-------+-------+
 *     | source| dest. | length| check |
 *     +-------+-------+-------+-------+
 *
 * A checksum of zero says that there is none; one that comes out as zero is sent as 0xffff. Over IPv6 there must be one (RFC 8200
 * §8.1), tunnels apart (RFC 6935).
 */
import { Reason } from "../drop-reasons.js";
import { setU16, u16 } from "./bytes.js";
import { checksum, checksumIsRight, pseudoHeaderSum } from "./checksum.js";
import { PROTOCOL_UDP } from "./ipv4.js";

export const UDP_LENGTH = 8;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const LENGTH = 4;
export const UDP_CHECKSUM_OFFSET = 6;
const CHECKSUM = UDP_CHECKSUM_OFFSET;

/** Is there a UDP datagram at `at`, whole before `end`? Its length must cover the header; octets behind it are padding. */
export function checkUdp(frame: Uint8Array, at: number, end: number): Reason {
  if (end - at < UDP_LENGTH) return Reason.INVALID_PACKET;
  const length = udpLengthAt(frame, at);
  return length < UDP_LENGTH || length > end - at ? Reason.INVALID_PACKET : Reason.NONE;
}

export const udpSourcePortAt = (frame: Uint8Array, at: number): number => u16(frame, at + SOURCE_PORT);
export const udpDestinationPortAt = (frame: Uint8Array, at: number): number => u16(frame, at + DESTINATION_PORT);
/** Header and payload. */
export const udpLengthAt = (frame: Uint8Array, at: number): number => u16(frame, at + LENGTH);
/** Zero: there is none. */
export const udpChecksumAt = (frame: Uint8Array, at: number): number => u16(frame, at + CHECKSUM);

/** Does the checksum of a checked datagram under the IP header at `ipAt` add up? A missing one does. */
export function udpChecksumIsRight(frame: Uint8Array, ipAt: number, at: number): boolean {
  if (udpChecksumAt(frame, at) === 0) return true;
  const length = udpLengthAt(frame, at);
  return checksumIsRight(frame, at, at + length, pseudoHeaderSum(frame, ipAt, PROTOCOL_UDP, length));
}

/** Fills the checksum of a datagram whose payload and IP addresses are in place. */
export function setUdpChecksum(frame: Uint8Array, ipAt: number, at: number): void {
  const length = udpLengthAt(frame, at);
  setU16(frame, at + CHECKSUM, 0);
  setU16(
    frame,
    at + CHECKSUM,
    checksum(frame, at, at + length, pseudoHeaderSum(frame, ipAt, PROTOCOL_UDP, length)) || 0xffff,
  );
}

export interface UdpFields {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payloadLength: number;
}

/** Writes the eight octets, with no checksum: that needs the payload, see `setUdpChecksum`. */
export function writeUdp(frame: Uint8Array, at: number, fields: UdpFields): void {
  setU16(frame, at + SOURCE_PORT, fields.sourcePort);
  setU16(frame, at + DESTINATION_PORT, fields.destinationPort);
  setU16(frame, at + LENGTH, UDP_LENGTH + fields.payloadLength);
  setU16(frame, at + CHECKSUM, 0);
}
