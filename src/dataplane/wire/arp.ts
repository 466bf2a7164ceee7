/**
 * ARP for IPv4 over Ethernet (RFC 826).
 *
 *     0       2       4   5   6       8            14         18           24         28
 *     +-------+-------+---+---+-------+------------+----------+------------+----------+
 *     |   1   | 0800  | 6 | 4 |operat.| sender MAC | sender IP| target MAC | target IP|
 *     +-------+-------+---+---+-------+------------+----------+------------+----------+
 *
 * Other hardware and protocol types exist in the standard only; the check refuses them.
 */
import { Reason } from "../drop-reasons.js";
import type { Address } from "./address.js";
import { ipv4AddressAt, writeAddress } from "./address.js";
import type { Mac } from "./bytes.js";
import { macAt, setU16, setU32, setU48, u16, u32 } from "./bytes.js";

export const ARP_LENGTH = 28;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

const TYPES = 0; // hardware type 1 and protocol type 0x0800
const LENGTHS = 4; // 6 and 4
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_ADDRESS = 14;
const TARGET_MAC = 18;
const TARGET_ADDRESS = 24;

const ETHERNET_AND_IPV4 = 0x0001_0800;
const SIX_AND_FOUR = 0x0604;

/** Is there an ARP message for IPv4 over Ethernet at `at`, whole before `end`? The operation is not judged. */
export function checkArp(frame: Uint8Array, at: number, end: number): Reason {
  if (end - at < ARP_LENGTH) return Reason.INVALID_PACKET;
  const isOurs = u32(frame, at + TYPES) === ETHERNET_AND_IPV4 && u16(frame, at + LENGTHS) === SIX_AND_FOUR;
  return isOurs ? Reason.NONE : Reason.INVALID_PACKET;
}

export const arpOperationAt = (frame: Uint8Array, at: number): number => u16(frame, at + OPERATION);
export const arpSenderMacAt = (frame: Uint8Array, at: number): Mac => macAt(frame, at + SENDER_MAC);
export const arpSenderAddressAt = (frame: Uint8Array, at: number): Address => ipv4AddressAt(frame, at + SENDER_ADDRESS);
export const arpTargetMacAt = (frame: Uint8Array, at: number): Mac => macAt(frame, at + TARGET_MAC);
export const arpTargetAddressAt = (frame: Uint8Array, at: number): Address => ipv4AddressAt(frame, at + TARGET_ADDRESS);

export interface ArpFields {
  readonly operation: number;
  readonly senderMac: Mac;
  readonly senderAddress: Address;
  /** Zero in a request. */
  readonly targetMac: Mac;
  readonly targetAddress: Address;
}

/** Writes the 28 octets. */
export function writeArp(frame: Uint8Array, at: number, fields: ArpFields): void {
  setU32(frame, at + TYPES, ETHERNET_AND_IPV4);
  setU16(frame, at + LENGTHS, SIX_AND_FOUR);
  setU16(frame, at + OPERATION, fields.operation);
  setU48(frame, at + SENDER_MAC, fields.senderMac);
  writeAddress(frame, at + SENDER_ADDRESS, fields.senderAddress);
  setU48(frame, at + TARGET_MAC, fields.targetMac);
  writeAddress(frame, at + TARGET_ADDRESS, fields.targetAddress);
}
