/**
 * Cutting IP packets into fragments: IPv4 by RFC 791 §3.2, IPv6 by RFC 8200 §4.5.
 *
 *     packet                 [header, options ][        data of 2,000 octets       ]
 *     fragment 1   offset 0  [header, options ][ 1,432 octets ]                         MF
 *     fragment 2   at 1,432  [header, copied  ][  568 octets  ]                         MF as the packet had it
 *
 * What is cut may be a fragment itself: offsets go on from its own. Every piece but the last carries a multiple of eight octets, for the
 * offset counts in such units. Frames go in and frames come out, each with the link header of the one that was cut.
 */
import { setU8, setU16, setU32, u16 } from "./bytes.js";
import {
  IPV4_LENGTH,
  ipv4HeaderLengthAt,
  ipv4Options,
  ipv4TotalLengthAt,
  PROTOCOL_IPV6_FRAGMENT,
  setIpv4Checksum,
} from "./ipv4.js";
import { IPV6_LENGTH, ipv6NextHeaderAt, ipv6PayloadLengthAt } from "./ipv6.js";

/** The Fragment header of IPv6 (RFC 8200 §4.5): next header, reserved, offset and M flag, identification. */
export const IPV6_FRAGMENT_LENGTH = 8;

const TOTAL_LENGTH = 2;
const FLAGS_FRAGMENT = 6;
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET = 0x1fff;
/** The flag in an option's type: it stands in every fragment (RFC 791 §3.1). */
const OPTION_COPIED = 0x80;

/**
 * The frames that carry the IPv4 packet at `networkAt` in pieces of at most `mtu` octets, header included; `frame` begins with its first
 * octet. One frame if the packet fits. Padding behind the packet stays behind. None if its options cannot be read, if `mtu` leaves no room
 * for data, or if it is a fragment that reaches beyond the last offset that a header can tell. DF is the caller's business.
 */
export function fragmentIpv4(frame: Uint8Array, networkAt: number, mtu: number): Uint8Array[] {
  const dataAt = networkAt + ipv4HeaderLengthAt(frame, networkAt);
  const end = networkAt + ipv4TotalLengthAt(frame, networkAt);
  if (end - networkAt <= mtu) return [frame.slice(0, end)];
  const copied = copiedOptions(frame, networkAt);
  if (!copied) return [];
  const all = frame.subarray(networkAt + IPV4_LENGTH, dataAt);
  const flags = u16(frame, networkAt + FLAGS_FRAGMENT);
  const fragments: Uint8Array[] = [];
  for (let from = dataAt; from < end; ) {
    const options = from === dataAt ? all : copied;
    const length = pieceLength(end - from, mtu - IPV4_LENGTH - options.length);
    if (length <= 0) return [];
    const isLast = from + length === end;
    const offset = (flags & FRAGMENT_OFFSET) + (from - dataAt) / 8;
    if (offset > FRAGMENT_OFFSET) return [];
    const more = isLast ? flags & MORE_FRAGMENTS : MORE_FRAGMENTS;
    fragments.push(ipv4Fragment(frame, networkAt, options, frame.subarray(from, from + length), more | offset));
    from += length;
  }
  return fragments;
}

/** How much of what is `left` goes into a piece with this much `room`. */
const pieceLength = (left: number, room: number): number => (left <= room ? left : room - (room % 8));

function ipv4Fragment(
  frame: Uint8Array,
  networkAt: number,
  options: Uint8Array,
  data: Uint8Array,
  flagsAndOffset: number,
): Uint8Array {
  const headerLength = IPV4_LENGTH + options.length;
  const fragment = new Uint8Array(networkAt + headerLength + data.length);
  fragment.set(frame.subarray(0, networkAt + IPV4_LENGTH));
  fragment.set(options, networkAt + IPV4_LENGTH);
  fragment.set(data, networkAt + headerLength);
  setU8(fragment, networkAt, 0x40 | (headerLength / 4));
  setU16(fragment, networkAt + TOTAL_LENGTH, headerLength + data.length);
  setU16(fragment, networkAt + FLAGS_FRAGMENT, flagsAndOffset);
  setIpv4Checksum(fragment, networkAt);
  return fragment;
}

/** The options that stand in every fragment, padded with End of Options; null if they cannot be told apart. */
function copiedOptions(frame: Uint8Array, networkAt: number): Uint8Array | null {
  const { options, wellFormed } = ipv4Options(frame, networkAt);
  if (!wellFormed) return null;
  const copied = options.filter(({ type }) => (type & OPTION_COPIED) !== 0);
  const length = copied.reduce((sum, option) => sum + option.length, 0);
  const octets = new Uint8Array((length + 3) & ~3);
  let to = 0;
  for (const option of copied) {
    octets.set(frame.subarray(option.at, option.at + option.length), to);
    to += option.length;
  }
  return octets;
}

/**
 * The same for an IPv6 packet without extension headers, which only its source may cut; `identification` has 32 bits. None if `mtu`
 * leaves no room for data.
 */
export function fragmentIpv6(frame: Uint8Array, networkAt: number, mtu: number, identification: number): Uint8Array[] {
  const dataAt = networkAt + IPV6_LENGTH;
  const end = dataAt + ipv6PayloadLengthAt(frame, networkAt);
  if (end - networkAt <= mtu) return [frame.slice(0, end)];
  const fragments: Uint8Array[] = [];
  for (let from = dataAt; from < end; ) {
    const length = pieceLength(end - from, mtu - IPV6_LENGTH - IPV6_FRAGMENT_LENGTH);
    if (length <= 0) return [];
    const more = from + length === end ? 0 : 1;
    const data = frame.subarray(from, from + length);
    fragments.push(ipv6Fragment(frame, networkAt, data, (from - dataAt) | more, identification));
    from += length;
  }
  return fragments;
}

function ipv6Fragment(
  frame: Uint8Array,
  networkAt: number,
  data: Uint8Array,
  offsetAndMore: number,
  identification: number,
): Uint8Array {
  const headerAt = networkAt + IPV6_LENGTH;
  const fragment = new Uint8Array(headerAt + IPV6_FRAGMENT_LENGTH + data.length);
  fragment.set(frame.subarray(0, headerAt));
  fragment.set(data, headerAt + IPV6_FRAGMENT_LENGTH);
  setU16(fragment, networkAt + 4, IPV6_FRAGMENT_LENGTH + data.length);
  setU8(fragment, networkAt + 6, PROTOCOL_IPV6_FRAGMENT);
  setU8(fragment, headerAt, ipv6NextHeaderAt(frame, networkAt));
  setU16(fragment, headerAt + 2, offsetAndMore);
  setU32(fragment, headerAt + 4, identification);
  return fragment;
}
