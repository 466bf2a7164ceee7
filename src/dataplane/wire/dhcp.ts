/**
 * DHCP for IPv4 (RFC 2131) over UDP, as far as somebody needs it who watches servers and clients talk.
 *
 *     0   1   2   3   4       8       12      16      20      24      28           44      108      236     240
 *     +---+---+---+---+-------+-------+-------+-------+-------+-------+------------+-------+--------+-------+---------+
 *     |op |hty|hln|hop|  xid  |s. flg | ciaddr| yiaddr| siaddr| giaddr|chaddr (16) | sname |  file  | magic | options |
 *     +---+---+---+---+-------+-------+-------+-------+-------+-------+------------+-------+--------+-------+---------+
 *
 * BOOTP without the magic cookie (RFC 951), other hardware than Ethernet, and options that run over the end are refused.
 */
import { Reason } from "../drop-reasons.js";
import type { Address } from "./address.js";
import { ipv4AddressAt, isUnspecified } from "./address.js";
import type { Mac } from "./bytes.js";
import { macAt, u8, u16, u32 } from "./bytes.js";

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;
/** Up to and with the magic cookie. */
export const DHCP_LENGTH = 240;

/** `op`: who speaks (RFC 951 §3). */
export const BOOTP_REQUEST = 1;
export const BOOTP_REPLY = 2;

/** Option 53 (RFC 2132 §9.6). */
export const DHCP_DISCOVER = 1;
export const DHCP_OFFER = 2;
export const DHCP_REQUEST = 3;
export const DHCP_DECLINE = 4;
export const DHCP_ACK = 5;
export const DHCP_NAK = 6;
export const DHCP_RELEASE = 7;
export const DHCP_INFORM = 8;

const OP = 0;
const HARDWARE = 1; // type 1 and length 6
const CLIENT_ADDRESS = 12;
const YOUR_ADDRESS = 16;
const RELAY_ADDRESS = 24;
const CLIENT_MAC = 28;
const SERVER_NAME = 44;
const BOOT_FILE = 108;
const MAGIC = 236;

const ETHERNET = 0x0106;
const MAGIC_COOKIE = 0x6382_5363;

const OPTION_PAD = 0;
const OPTION_REQUESTED_ADDRESS = 50;
const OPTION_OVERLOAD = 52;
const OPTION_MESSAGE_TYPE = 53;
const OPTION_END = 255;
/** Values of option overload: which of the two fields hold options too (RFC 2132 §9.3). */
const OVERLOADS_BOOT_FILE = 1;
const OVERLOADS_SERVER_NAME = 2;

/** Is there a DHCP message for Ethernet at `at`, whole up to its options, before `end`? */
export function checkDhcp(frame: Uint8Array, at: number, end: number): Reason {
  if (end - at < DHCP_LENGTH) return Reason.INVALID_PACKET;
  const isOurs = u16(frame, at + HARDWARE) === ETHERNET && u32(frame, at + MAGIC) === MAGIC_COOKIE;
  return isOurs ? Reason.NONE : Reason.INVALID_PACKET;
}

export const dhcpOpAt = (frame: Uint8Array, at: number): number => u8(frame, at + OP);
/** `ciaddr`: the address that the client says it has. */
export const dhcpClientAddressAt = (frame: Uint8Array, at: number): Address =>
  ipv4AddressAt(frame, at + CLIENT_ADDRESS);
/** `yiaddr`: the address that the server gives. */
export const dhcpYourAddressAt = (frame: Uint8Array, at: number): Address => ipv4AddressAt(frame, at + YOUR_ADDRESS);
/** `chaddr`, the first six octets. */
export const dhcpClientMacAt = (frame: Uint8Array, at: number): Mac => macAt(frame, at + CLIENT_MAC);
/** `giaddr` is set: the message came through a relay agent, or goes to one (RFC 2131 §2). */
export const isDhcpRelayed = (frame: Uint8Array, at: number): boolean =>
  !isUnspecified(ipv4AddressAt(frame, at + RELAY_ADDRESS));

/**
 * The message type of a checked message that ends at `end`; undefined if there is none, as in plain BOOTP, or if the options are
 * broken before it is found. Options may go on in `file` and `sname` (RFC 2131 §4.1).
 */
export function dhcpMessageType(frame: Uint8Array, at: number, end: number): number | undefined {
  const overloadAt = optionAt(frame, at + DHCP_LENGTH, end, OPTION_OVERLOAD, 1);
  const overload = overloadAt === undefined ? 0 : u8(frame, overloadAt);
  const typeIn = (from: number, to: number): number | undefined => optionAt(frame, from, to, OPTION_MESSAGE_TYPE, 1);
  const typeAt =
    typeIn(at + DHCP_LENGTH, end) ??
    ((overload & OVERLOADS_BOOT_FILE) !== 0 ? typeIn(at + BOOT_FILE, at + MAGIC) : undefined) ??
    ((overload & OVERLOADS_SERVER_NAME) !== 0 ? typeIn(at + SERVER_NAME, at + BOOT_FILE) : undefined);
  return typeAt === undefined ? undefined : u8(frame, typeAt);
}

/** The address that a client asks for, or in a DECLINE will not have (RFC 2132 §9.1); undefined if the options name none. */
export function dhcpRequestedAddress(frame: Uint8Array, at: number, end: number): Address | undefined {
  const valueAt = optionAt(frame, at + DHCP_LENGTH, end, OPTION_REQUESTED_ADDRESS, 4);
  return valueAt === undefined ? undefined : ipv4AddressAt(frame, valueAt);
}

/**
 * Where the value of the first option in [at, end) of this code and length is; undefined if there is none before the end option, or before
 * one that runs over.
 */
function optionAt(frame: Uint8Array, at: number, end: number, wanted: number, octets: number): number | undefined {
  let cursor = at;
  while (cursor < end) {
    const code = u8(frame, cursor);
    if (code === OPTION_END) break;
    if (code === OPTION_PAD) {
      cursor++;
      continue;
    }
    if (end - cursor < 2) break;
    const length = u8(frame, cursor + 1);
    if (end - cursor - 2 < length) break;
    if (code === wanted && length === octets) return cursor + 2;
    cursor += 2 + length;
  }
  return undefined;
}
