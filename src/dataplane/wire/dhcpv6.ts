/**
 * DHCPv6 (RFC 8415) over UDP, as far as somebody needs it who watches servers and clients talk.
 *
 *     0   1           4                     relay messages, which are refused:   0   1   2          18          34
 *     +---+-----------+-----------+                                              +---+---+----------+-----------+---------+
 *     |typ|transaction|  options …|                                              |typ|hop|   link   |   peer    |options …|
 *     +---+-----------+-----------+                                              +---+---+----------+-----------+---------+
 *
 *     option   0       2       4                IA_NA within     4       8       12      16
 *              +-------+-------+-------- …                       +-------+-------+-------+--------- …
 *              | code  | length|  value                          |  IAID |   T1  |   T2  | options
 *              +-------+-------+-------- …                       +-------+-------+-------+--------- …
 *
 *     IAADDR within   4                 20        24         28
 *                     +-----------------+---------+----------+--------- …
 *                     |  IPv6 address   |preferred|  valid   | options
 *                     +-----------------+---------+----------+--------- …
 */
import { Reason } from "../drop-reasons.js";
import type { Address } from "./address.js";
import { ipv6AddressAt } from "./address.js";
import type { Mac } from "./bytes.js";
import { macAt, u8, u16, u32 } from "./bytes.js";

export const DHCPV6_CLIENT_PORT = 546;
export const DHCPV6_SERVER_PORT = 547;
/** Message type and transaction id. */
export const DHCPV6_LENGTH = 4;

export const DHCPV6_SOLICIT = 1;
export const DHCPV6_ADVERTISE = 2;
export const DHCPV6_REPLY = 7;
export const DHCPV6_RELEASE = 8;
export const DHCPV6_DECLINE = 9;
export const DHCPV6_RECONFIGURE = 10;
export const DHCPV6_RELAY_FORWARD = 12;
export const DHCPV6_RELAY_REPLY = 13;

const OPTION_CLIENT_ID = 1;
const OPTION_IA_NA = 3;
const OPTION_IA_TA = 4;
const OPTION_IA_ADDRESS = 5;
const OPTION_LENGTH = 4;

/** Octets of a value before the options in it. */
const IA_NA_FIXED = 12;
const IA_TA_FIXED = 4;
const IA_ADDRESS_FIXED = 24;
const VALID_LIFETIME = 20;

/** DUIDs that hold a link-layer address (RFC 8415 §11.2, §11.4), and hardware type 1, Ethernet. */
const DUID_LLT_ETHERNET = 0x0001_0001;
const DUID_LL_ETHERNET = 0x0003_0001;
const DUID_LLT_LENGTH = 14;
const DUID_LL_LENGTH = 10;

/** Is there a DHCPv6 message between client and server at `at`, with its fixed part before `end`? Relay messages are refused. */
export function checkDhcpv6(frame: Uint8Array, at: number, end: number): Reason {
  if (end - at < DHCPV6_LENGTH) return Reason.INVALID_PACKET;
  const type = dhcpv6TypeAt(frame, at);
  return type === DHCPV6_RELAY_FORWARD || type === DHCPV6_RELAY_REPLY ? Reason.INVALID_PACKET : Reason.NONE;
}

/** Needs one octet. */
export const dhcpv6TypeAt = (frame: Uint8Array, at: number): number => u8(frame, at);

interface Option {
  readonly code: number;
  /** The value is [at, end). */
  readonly at: number;
  readonly end: number;
}

/** The options in [at, end); null if one runs over the end, for then none of it can be trusted. */
function optionsIn(frame: Uint8Array, at: number, end: number): readonly Option[] | null {
  const options: Option[] = [];
  let cursor = at;
  while (cursor < end) {
    if (end - cursor < OPTION_LENGTH) return null;
    const valueAt = cursor + OPTION_LENGTH;
    const valueEnd = valueAt + u16(frame, cursor + 2);
    if (valueEnd > end) return null;
    options.push({ code: u16(frame, cursor), at: valueAt, end: valueEnd });
    cursor = valueEnd;
  }
  return options;
}

/**
 * The addresses that a checked message ending at `end` leases, temporary ones too; those whose valid lifetime is 0 are taken back
 * and not among them (RFC 8415 §18.2.10.1). None if any option is malformed.
 */
export const dhcpv6LeasedAddresses = (frame: Uint8Array, at: number, end: number): readonly Address[] =>
  addressOptions(frame, at, end)
    .filter(({ validLifetime }) => validLifetime !== 0)
    .map(({ address }) => address);

/** All addresses that a checked message names, whatever their lifetime: a client gives them up by a RELEASE or DECLINE. */
export const dhcpv6NamedAddresses = (frame: Uint8Array, at: number, end: number): readonly Address[] =>
  addressOptions(frame, at, end).map(({ address }) => address);

interface AddressOption {
  readonly address: Address;
  /** In seconds. */
  readonly validLifetime: number;
}

function addressOptions(frame: Uint8Array, at: number, end: number): readonly AddressOption[] {
  const addresses: AddressOption[] = [];
  for (const ia of optionsIn(frame, at + DHCPV6_LENGTH, end) ?? []) {
    const fixed = ia.code === OPTION_IA_NA ? IA_NA_FIXED : ia.code === OPTION_IA_TA ? IA_TA_FIXED : null;
    if (fixed === null) continue;
    const inner = ia.end - ia.at < fixed ? null : optionsIn(frame, ia.at + fixed, ia.end);
    if (inner === null) return [];
    for (const { code, at: valueAt, end: valueEnd } of inner) {
      if (code !== OPTION_IA_ADDRESS) continue;
      if (valueEnd - valueAt < IA_ADDRESS_FIXED) return [];
      addresses.push({ address: ipv6AddressAt(frame, valueAt), validLifetime: u32(frame, valueAt + VALID_LIFETIME) });
    }
  }
  return addresses;
}

/**
 * The Ethernet address in the client's identifier, if it is of a kind that holds one; else undefined. It names the client, not the
 * adapter that it speaks from now (RFC 8415 §11).
 */
export function dhcpv6ClientMac(frame: Uint8Array, at: number, end: number): Mac | undefined {
  const option = (optionsIn(frame, at + DHCPV6_LENGTH, end) ?? []).find(({ code }) => code === OPTION_CLIENT_ID);
  if (!option) return undefined;
  const length = option.end - option.at;
  if (length === DUID_LLT_LENGTH && u32(frame, option.at) === DUID_LLT_ETHERNET) return macAt(frame, option.at + 8);
  if (length === DUID_LL_LENGTH && u32(frame, option.at) === DUID_LL_ETHERNET) return macAt(frame, option.at + 4);
  return undefined;
}
