// From frame bytes to flow key, in one straight pass (the layout of keys is drawn in packet/layout.ts).
//
// What the parser does not make a key for is UNKEYED and goes to the slow path packet by packet: malformed headers, cut
// captures, and NVGRE that its receive checklist would refuse or that needs the lenient rules. So every key stands for
// packets that passed the same structural checks, and a cached decision never has to repeat them.
//
// Keys are written in whole 64-bit words, because the hash reads them back at once in such words: a load that spans several
// narrower stores waits for all of them to reach the cache, which cost a third of the whole kernel.

import { be16, headerChecksumHolds } from "./bytes";
import {
  FRAME_LENGTH_MAX, KEY_FLAGS, KEY_FLAG_FIRST_FRAGMENT, KEY_FLAG_LATER_FRAGMENT, KEY_FLAG_TAGGED,
  KEY_FLAG_TRANSPORT_CUT, KEY_KIND, KEY_MACS, KEY_PROTOCOL, KEY_TCI, KEY_VSID_HIGH, KIND_IPV4, KIND_IPV6, KIND_LINK,
  KIND_NVGRE4_LINK, KIND_NVGRE6_LINK, KIND_UNKEYED, ROW_INNER_NETWORK, ROW_KEEP_END, ROW_LENGTH, ROW_MISSING,
  ROW_NETWORK, ROW_OFFSET, ROW_TCP_FLAGS,
} from "./layout.generated";

// EtherTypes and masks as a little-endian load sees them, so that the common frame needs no swap.
const ETHERTYPE_IPV4: u32 = 0x0008;
const ETHERTYPE_IPV6: u32 = 0xdd86;
const ETHERTYPE_VLAN: u32 = 0x0081;
const ETHERTYPE_SERVICE_VLAN: u32 = 0xa888;
const ETHERTYPE_QINQ: u32 = 0x0091;
const FRAGMENT_OFFSET: u32 = 0xff1f;
const MORE_FRAGMENTS: u32 = 0x0020;
const PROTOCOL_ICMP: u32 = 1;
const PROTOCOL_TCP: u32 = 6;
const PROTOCOL_UDP: u32 = 17;
const PROTOCOL_GRE: u32 = 47;
const PROTOCOL_ICMPV6: u32 = 58;
/** As the slow path's walker: longer chains are nobody's flow. */
const EXTENSION_HEADERS_MAX: u32 = 8;

/** Where the fields of the key's first word lie in it. */
const KIND_SHIFT: u64 = KEY_KIND * 8;
const PROTOCOL_SHIFT: u64 = KEY_PROTOCOL * 8;
const TCI_SHIFT: u64 = KEY_TCI * 8;
const FLAGS_SHIFT: u64 = KEY_FLAGS * 8;
const VSID_HIGH_SHIFT: u64 = KEY_VSID_HIGH * 8;

/** The key's first word, as far as it is known. */
let head: u64 = 0;
/** Results of `ipv4Header` and `ipv6Header`, valid until the next call. */
let protocol: u32 = 0;
let fragmentFlags: u32 = 0;
let transport: usize = 0;
let packetEnd: usize = 0;

/** Makes the row's key at `key`, notes the header offsets in the row, returns the kind. `isTunnel`: PORT_FLAG.TUNNEL of the port. */
export function parse(row: usize, key: usize, port: u32, isTunnel: bool): u32 {
  const frame: usize = load<u32>(row, ROW_OFFSET);
  const length = load<u32>(row, ROW_LENGTH);
  const end = frame + length;
  store<u64>(row, 0, ROW_NETWORK); // NETWORK, INNER_NETWORK and TCP_FLAGS
  store<u32>(row, length, ROW_KEEP_END);
  if (length < 14 || length > FRAME_LENGTH_MAX || load<u32>(row, ROW_MISSING) != 0) return KIND_UNKEYED;

  let etherType = <u32>load<u16>(frame, 12);
  let network = frame + 14;
  head = port;
  if (etherType == ETHERTYPE_VLAN) {
    if (length < 18) return KIND_UNKEYED;
    head |= (<u64>load<u16>(frame, 14) << TCI_SHIFT) | (<u64>KEY_FLAG_TAGGED << FLAGS_SHIFT);
    etherType = load<u16>(frame, 16);
    network = frame + 18;
  }
  store<u16>(row, <u16>(network - frame), ROW_NETWORK);

  if (isTunnel) {
    if (etherType == ETHERTYPE_IPV4) {
      if (!ipv4Header(network, end) || !headerChecksumHolds(network, (load<u8>(network) & 15) << 2)) return KIND_UNKEYED;
      if (protocol == PROTOCOL_GRE) return nvgre(row, key, frame, network, 4);
    } else if (etherType == ETHERTYPE_IPV6) {
      if (!ipv6Header(network, end)) return KIND_UNKEYED;
      // Outer extension headers are rare enough for the slow path, which also asks for segments left.
      if (protocol == PROTOCOL_GRE) return transport == network + 40 ? nvgre(row, key, frame, network, 16) : KIND_UNKEYED;
    }
  }
  const kind = flow(row, key, frame, etherType, network, end);
  store<u64>(key, head | (<u64>kind << KIND_SHIFT));
  return kind;
}

/** The part of the key that describes one frame, from its MAC addresses on: IP addresses and ports; the rest goes to `head`. */
// @ts-ignore: decorator
@inline
function flow(row: usize, key: usize, frame: usize, etherType: u32, network: usize, end: usize): u32 {
  store<u64>(key, load<u64>(frame), KEY_MACS);
  const macTail = <u64>load<u32>(frame, 8);
  if (etherType == ETHERTYPE_IPV4) {
    if (!ipv4Header(network, end)) return KIND_UNKEYED;
    const addresses = load<u64>(network, 12);
    store<u64>(key, macTail | (addresses << 32), KEY_MACS + 8);
    store<u64>(key, (addresses >>> 32) | (<u64>transportFields(row) << 32), KEY_MACS + 16);
    return KIND_IPV4;
  }
  if (etherType == ETHERTYPE_IPV6) {
    if (!ipv6Header(network, end)) return KIND_UNKEYED;
    store<u64>(key, macTail | (<u64>load<u32>(network, 8) << 32), KEY_MACS + 8);
    store<u64>(key, load<u64>(network, 12), KEY_MACS + 16);
    store<u64>(key, load<u64>(network, 20), KEY_MACS + 24);
    store<u64>(key, load<u64>(network, 28), KEY_MACS + 32);
    store<u64>(key, <u64>load<u32>(network, 36) | (<u64>transportFields(row) << 32), KEY_MACS + 40);
    store<u64>(key, 0, KEY_MACS + 48);
    return KIND_IPV6;
  }
  store<u64>(key, macTail | (<u64>etherType << 32), KEY_MACS + 8);
  store<u64>(key, 0, KEY_MACS + 16);
  return KIND_LINK;
}

/** Protocol and fragment class into `head`, TCP's flags into the row; returns the ports, or ICMP's type and code, or 0. */
// @ts-ignore: decorator
@inline
function transportFields(row: usize): u32 {
  let ports: u32 = 0;
  let flags = fragmentFlags;
  if (flags == 0) {
    const room = <i32>(packetEnd - transport);
    if (protocol == PROTOCOL_UDP) {
      if (room >= 4) ports = load<u32>(transport);
      else flags = KEY_FLAG_TRANSPORT_CUT;
    } else if (protocol == PROTOCOL_TCP) {
      if (room >= 4) ports = load<u32>(transport);
      else flags = KEY_FLAG_TRANSPORT_CUT;
      if (room >= 14) store<u8>(row, load<u8>(transport, 13), ROW_TCP_FLAGS);
    } else if (protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6) {
      if (room >= 4) ports = load<u16>(transport);
      else flags = KEY_FLAG_TRANSPORT_CUT;
    }
  }
  head |= (<u64>protocol << PROTOCOL_SHIFT) | (<u64>flags << FLAGS_SHIFT);
  return ports;
}

/** RFC 791 §3.1: version, IHL and total length that fit; sets protocol, fragment class, transport and end. */
// @ts-ignore: decorator
@inline
function ipv4Header(at: usize, end: usize): bool {
  const room = <i32>(end - at);
  if (room < 20) return false;
  const versionIhl = <u32>load<u8>(at);
  const headerLength: u32 = versionIhl == 0x45 ? 20 : (versionIhl & 15) << 2;
  const totalLength = be16(at + 2);
  if (versionIhl >>> 4 != 4 || headerLength < 20 || totalLength < headerLength || <i32>totalLength > room) return false;
  const fragment = <u32>load<u16>(at, 6);
  fragmentFlags = 0;
  if (fragment & (FRAGMENT_OFFSET | MORE_FRAGMENTS)) {
    fragmentFlags = fragment & FRAGMENT_OFFSET ? KEY_FLAG_LATER_FRAGMENT : KEY_FLAG_FIRST_FRAGMENT;
  }
  protocol = load<u8>(at, 9);
  transport = at + headerLength;
  packetEnd = at + totalLength;
  return true;
}

/** RFC 8200 §3 and §4: walks hop-by-hop, routing, destination options and AH, and ends behind a fragment header. */
function ipv6Header(at: usize, end: usize): bool {
  if (end < at + 40 || load<u8>(at) >>> 4 != 6) return false;
  packetEnd = at + 40 + be16(at + 4);
  if (packetEnd > end) return false;
  fragmentFlags = 0;
  let next = <u32>load<u8>(at, 6);
  let position = at + 40;
  for (let headers: u32 = 0; next == 0 || next == 43 || next == 44 || next == 51 || next == 60; headers++) {
    if (headers == EXTENSION_HEADERS_MAX || packetEnd < position + 8) return false;
    const units = <u32>load<u8>(position, 1);
    const length = next == 44 ? 8 : next == 51 ? (units + 2) << 2 : (units + 1) << 3;
    if (packetEnd < position + length) return false;
    const isFragment = next == 44;
    // Offset zero counts as first even when nothing follows (atomic fragments, RFC 6946).
    if (isFragment) fragmentFlags = be16(position + 2) & 0xfff8 ? KEY_FLAG_LATER_FRAGMENT : KEY_FLAG_FIRST_FRAGMENT;
    next = load<u8>(position);
    position += length;
    if (isFragment) break;
  }
  protocol = next;
  transport = position;
  return true;
}

/**
 * NVGRE behind an outer IP header that is already read (RFC 7637 §3.2). Only what the strict checklist accepts gets a key:
 * no fragment, K set and C, R, S and bits 4–5 clear, version 0, Ethernet inside, a tenant's VSID, no inner tag.
 */
function nvgre(row: usize, key: usize, frame: usize, network: usize, addressBytes: u32): u32 {
  const gre = transport;
  const end = packetEnd;
  if (fragmentFlags != 0 || end < gre + 8 + 14) return KIND_UNKEYED;
  const flags = be16(gre);
  if ((flags & 0xfc07) != 0x2000 || be16(gre + 2) != 0x6558) return KIND_UNKEYED;
  const vsid = bswap<u32>(load<u32>(gre, 4)) >>> 8;
  if (vsid < 0x1000 || vsid == 0xffffff) return KIND_UNKEYED;

  const inner = gre + 8;
  const innerType = <u32>load<u16>(inner, 12);
  if (innerType == ETHERTYPE_VLAN || innerType == ETHERTYPE_SERVICE_VLAN || innerType == ETHERTYPE_QINQ) return KIND_UNKEYED;
  const innerKind = flow(row, key, inner, innerType, inner + 14, end);
  if (innerKind == KIND_UNKEYED) return KIND_UNKEYED;
  store<u16>(row, <u16>(inner + 14 - frame), ROW_INNER_NETWORK);
  store<u32>(row, <u32>(end - frame), ROW_KEEP_END);

  let at = key + (innerKind == KIND_IPV6 ? 56 : 32);
  const stationAndVsid = (load<u64>(frame) & 0x0000_ffff_ffff_ffff) | (<u64>(vsid & 0xffff) << 48);
  let kind = innerKind - KIND_LINK;
  if (addressBytes == 4) {
    kind += KIND_NVGRE4_LINK;
    store<u64>(at, load<u64>(network, 12));
    store<u64>(at, stationAndVsid, 8);
    if (innerKind == KIND_IPV6) store<u64>(at, 0, 16);
  } else {
    kind += KIND_NVGRE6_LINK;
    store<u64>(at, load<u64>(network, 8));
    store<u64>(at, load<u64>(network, 16), 8);
    store<u64>(at, load<u64>(network, 24), 16);
    store<u64>(at, load<u64>(network, 32), 24);
    store<u64>(at, stationAndVsid, 32);
    if (innerKind != KIND_IPV6) store<u64>(at, 0, 40);
  }
  store<u64>(key, head | (<u64>kind << KIND_SHIFT) | (<u64>(vsid >>> 16) << VSID_HIGH_SHIFT));
  return kind;
}
