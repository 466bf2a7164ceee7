// From frame bytes to flow key, in one straight pass (the layout of keys is drawn in packet/layout.ts).
//
// What the parser does not make a key for is UNKEYED and goes to the slow path packet by packet: malformed headers, cut
// captures, and NVGRE that its receive checklist would refuse or that needs the lenient rules. So every key stands for
// packets that passed the same structural checks, and a cached decision never has to repeat them.
//
// Keys are written in words of 64 bits and more, because the hash reads them back at once in words of 64: a load that spans
// several narrower stores waits for all of them to reach the cache, which cost a third of the whole kernel.

import { be16, headerChecksumHolds } from "./bytes";
import {
  CONTROL_PORTS, FRAME_LENGTH_MAX, KEY_BODY, KEY_FLAGS, KEY_FLAG_EXTENSIONS, KEY_FLAG_FIRST_FRAGMENT, KEY_FLAG_LATER_FRAGMENT, KEY_FLAG_TAGGED,
  KEY_FLAG_TRANSPORT_CUT, KEY_KIND, KEY_PORT, KEY_PROTOCOL, KEY_TCI, KEY_VSID_HIGH, KIND_GRE4_IPV4, KIND_GRE6_IPV4, KIND_IPV4, KIND_IPV6, KIND_LINK,
  KIND_NVGRE4_LINK, KIND_NVGRE6_LINK, KIND_UNKEYED, PORT_FLAGS, PORT_FLAG_ECHO, PORT_SIZE, ROW_INNER_NETWORK, ROW_KEEP_END, ROW_LENGTH, ROW_MISSING,
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
const NOT_WHOLE: u32 = FRAGMENT_OFFSET | MORE_FRAGMENTS;
const PROTOCOL_ICMP: u32 = 1;
const PROTOCOL_TCP: u32 = 6;
const PROTOCOL_UDP: u32 = 17;
const PROTOCOL_GRE: u32 = 47;
const PROTOCOL_ICMPV6: u32 = 58;
const ANY_FRAGMENT: u32 = KEY_FLAG_FIRST_FRAGMENT | KEY_FLAG_LATER_FRAGMENT;
/** As the slow path's walker: longer chains are nobody's flow. */
const EXTENSION_HEADERS_MAX: u32 = 8;

// Where fields lie in the two 32-bit words of the key that no frame has in its place (packet/layout.ts, KEY):
// the link word at 12 with tag, flags and VSID, and the port word at 16 with kind, protocol and port.
const LINK_WORD: u32 = KEY_TCI;
const FLAGS_SHIFT: u32 = (KEY_FLAGS - LINK_WORD) * 8;
const VSID_HIGH_SHIFT: u32 = (KEY_VSID_HIGH - LINK_WORD) * 8;
const PORT_WORD: u32 = KEY_KIND;
const PROTOCOL_SHIFT: u32 = (KEY_PROTOCOL - PORT_WORD) * 8;
const PORT_SHIFT: u32 = (KEY_PORT - PORT_WORD) * 8;

/** EtherType IPv4, version 4 and IHL 5 at octets 12 to 14 of a frame, as a little-endian load sees them. */
const PLAIN_IPV4: u32 = 0x45_0008;

/** Results of `ipv4Header` and `ipv6Header`, valid until the next call. */
let protocol: u32 = 0;
let flags: u32 = 0;
let transport: usize = 0;
let packetEnd: usize = 0;

/** Makes the row's key at `key`, notes the header offsets in the row, returns the kind. `isTunnel`: PORT_FLAG.TUNNEL of the port. */
// @ts-ignore: decorator
@inline
export function parse(row: usize, key: usize, port: u32, isTunnel: bool): u32 {
  const frame: usize = load<u32>(row, ROW_OFFSET);
  const length = load<u32>(row, ROW_LENGTH);
  const end = frame + length;
  store<u64>(row, 14, ROW_NETWORK); // INNER_NETWORK and TCP_FLAGS are cleared
  store<u32>(row, length, ROW_KEEP_END);
  if (length < 38 || length > FRAME_LENGTH_MAX || load<u32>(row, ROW_MISSING) != 0) return parseRare(row, key, port, isTunnel);
  if (isTunnel) {
    if ((load<u32>(frame, 12) & 0xff_ffff) != PLAIN_IPV4 || load<u8>(frame, 23) != PROTOCOL_GRE || load<u16>(frame, 20) & NOT_WHOLE)
      return parseRare(row, key, port, true);
    const outerEnd = frame + 14 + be16(frame + 16);
    if (outerEnd > end || !headerChecksumHolds(frame + 14, 20)) return KIND_UNKEYED;
    return nvgre(row, key, port, frame, frame + 14, frame + 34, outerEnd, 4, 0);
  }
  const kind = plainFlow(row, key, port, frame, end, 0, KIND_LINK);
  return kind ? kind : parseRare(row, key, port, false);
}

/** All frames that `parse` does not recognise at a glance. */
function parseRare(row: usize, key: usize, port: u32, isTunnel: bool): u32 {
  const frame: usize = load<u32>(row, ROW_OFFSET);
  const length = load<u32>(row, ROW_LENGTH);
  const end = frame + length;
  if (length < 14 || length > FRAME_LENGTH_MAX || load<u32>(row, ROW_MISSING) != 0) return KIND_UNKEYED;
  let link: u32 = 0;
  let etherType = <u32>load<u16>(frame, 12);
  let network = frame + 14;
  if (etherType == ETHERTYPE_VLAN) {
    if (length < 18) return KIND_UNKEYED;
    link = <u32>load<u16>(frame, 14) | (KEY_FLAG_TAGGED << FLAGS_SHIFT);
    etherType = load<u16>(frame, 16);
    network = frame + 18;
    store<u16>(row, 18, ROW_NETWORK);
  }
  if (isTunnel) {
    if (etherType == ETHERTYPE_IPV4) {
      if (!ipv4Header(network, end) || !headerChecksumHolds(network, (load<u8>(network) & 15) << 2)) return KIND_UNKEYED;
      if (protocol == PROTOCOL_GRE) {
        return flags ? KIND_UNKEYED : nvgre(row, key, port, frame, network, transport, packetEnd, 4, link);
      }
    } else if (etherType == ETHERTYPE_IPV6) {
      if (!ipv6Header(network, end)) return KIND_UNKEYED;
      // Outer extension headers are rare enough for the slow path, which also asks for segments left.
      if (protocol == PROTOCOL_GRE) {
        return transport == network + 40 ? nvgre(row, key, port, frame, network, transport, packetEnd, 16, link) : KIND_UNKEYED;
      }
    }
  }
  return flow(row, key, port, frame, etherType, network, end, link, KIND_LINK);
}

/**
 * The key of TCP or UDP in IPv4 without tag, options or fragments, in two vectors; 0 if the frame is anything else. `frame` has at
 * least 38 octets before `end`. `link`, `firstKind`: as for `flow`.
 */
// @ts-ignore: decorator
@inline
function plainFlow(row: usize, key: usize, port: u32, frame: usize, end: usize, link: u32, firstKind: u32): u32 {
  if ((load<u32>(frame, 12) & 0xff_ffff) != PLAIN_IPV4) return 0;
  const fragmentAndProtocol = load<u32>(frame, 20);
  if (fragmentAndProtocol & NOT_WHOLE) return 0;
  const plainProtocol = fragmentAndProtocol >>> 24;
  const totalLength = be16(frame + 16);
  if (frame + 14 + totalLength > end) return 0;
  if (plainProtocol == PROTOCOL_TCP) {
    if (totalLength < 34) return 0;
    store<u8>(row, load<u8>(frame, 47), ROW_TCP_FLAGS);
  } else if (plainProtocol != PROTOCOL_UDP || totalLength < 24) return 0;
  const kind = firstKind + (KIND_IPV4 - KIND_LINK);
  v128.store(key, i32x4.replace_lane(v128.load(frame), 3, link));
  v128.store(key, i32x4.replace_lane(v128.load(frame, 22), 0, kind | (plainProtocol << PROTOCOL_SHIFT) | (port << PORT_SHIFT)), 16);
  return kind;
}

/**
 * The key of any frame; 0 if it cannot have one. `link`: what is known of the link word; `firstKind`: KIND of a frame that
 * is not IP, those of IPv4 and IPv6 follow.
 */
function flow(row: usize, key: usize, port: u32, frame: usize, etherType: u32, network: usize, end: usize, link: u32, firstKind: u32): u32 {
  let kind = firstKind;
  let portWord = port << PORT_SHIFT;
  let first = etherType;
  if (etherType == ETHERTYPE_IPV4) {
    if (!ipv4Header(network, end)) return KIND_UNKEYED;
    kind += KIND_IPV4 - KIND_LINK;
    first = load<u32>(network, 12);
    const ports = transportFields(row, port);
    store<u64>(key, <u64>load<u32>(network, 16) | (<u64>ports << 32), KEY_BODY + 4);
  } else if (etherType == ETHERTYPE_IPV6) {
    if (!ipv6Header(network, end)) return KIND_UNKEYED;
    kind += KIND_IPV6 - KIND_LINK;
    first = load<u32>(network, 8);
    const ports = transportFields(row, port);
    store<u64>(key, load<u64>(network, 12), KEY_BODY + 4);
    store<u64>(key, load<u64>(network, 20), KEY_BODY + 12);
    store<u64>(key, load<u64>(network, 28), KEY_BODY + 20);
    store<u64>(key, <u64>load<u32>(network, 36) | (<u64>ports << 32), KEY_BODY + 28);
    store<u64>(key, 0, KEY_BODY + 36);
  } else {
    store<u64>(key, 0, KEY_BODY + 4);
  }
  if (kind != firstKind) {
    link |= flags << FLAGS_SHIFT;
    portWord |= protocol << PROTOCOL_SHIFT;
  }
  store<u64>(key, load<u64>(frame));
  store<u64>(key, <u64>load<u32>(frame, 8) | (<u64>link << 32), 8);
  store<u64>(key, <u64>(portWord | kind) | (<u64>first << 32), 16);
  return kind;
}

/** TCP's flags into the row; returns the ports, or what ICMP has in their place, or 0. Cut ones are noted in `flags`. */
// @ts-ignore: decorator
@inline
function transportFields(row: usize, port: u32): u32 {
  if (flags & ANY_FRAGMENT) return 0;
  const isTcp = protocol == PROTOCOL_TCP;
  const isIcmp = protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6;
  if (!isTcp && !isIcmp && protocol != PROTOCOL_UDP) return 0;
  const room = <i32>(packetEnd - transport);
  if (room < 4) {
    flags |= KEY_FLAG_TRANSPORT_CUT;
    return 0;
  }
  if (isTcp && room >= 14) store<u8>(row, load<u8>(transport, 13), ROW_TCP_FLAGS);
  return isIcmp ? icmpFields(room, port) : load<u32>(transport);
}

/** ICMP's type and code; of echo messages also the identifier, if the port wants it, which all eight octets of their header must show. */
function icmpFields(room: i32, port: u32): u32 {
  const typeAndCode = <u32>load<u16>(transport);
  const isEcho = protocol == PROTOCOL_ICMP ? (typeAndCode & 0xf7) == 0 : (typeAndCode & 0xfe) == 128;
  if (!isEcho || !(load<u32>(<usize>load<u32>(CONTROL_PORTS) + <usize>port * PORT_SIZE, PORT_FLAGS) & PORT_FLAG_ECHO)) return typeAndCode;
  if (room < 8) {
    flags |= KEY_FLAG_TRANSPORT_CUT;
    return 0;
  }
  return typeAndCode | (<u32>load<u16>(transport, 4) << 16);
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
  flags = 0;
  if (fragment & NOT_WHOLE) {
    flags = fragment & FRAGMENT_OFFSET ? KEY_FLAG_LATER_FRAGMENT : KEY_FLAG_FIRST_FRAGMENT;
  }
  protocol = load<u8>(at, 9);
  transport = at + headerLength;
  packetEnd = at + totalLength;
  return true;
}

/** Where the transport header of the well-formed packet [at, end) begins; 0 if it has fewer than `needed` octets. */
export function transportHeader(at: usize, end: usize, needed: u32): usize {
  const isRead = load<u8>(at) >>> 4 == 4 ? ipv4Header(at, end) : ipv6Header(at, end);
  return isRead && transport + needed <= packetEnd ? transport : 0;
}

/** RFC 8200 §3 and §4: walks hop-by-hop, routing, destination options and AH, and ends behind a fragment header. */
function ipv6Header(at: usize, end: usize): bool {
  if (end < at + 40 || load<u8>(at) >>> 4 != 6) return false;
  packetEnd = at + 40 + be16(at + 4);
  if (packetEnd > end) return false;
  flags = 0;
  let next = <u32>load<u8>(at, 6);
  let position = at + 40;
  for (let headers: u32 = 0; next == 0 || next == 43 || next == 44 || next == 51 || next == 60; headers++) {
    if (headers == EXTENSION_HEADERS_MAX || packetEnd < position + 8) return false;
    const units = <u32>load<u8>(position, 1);
    const length = next == 44 ? 8 : next == 51 ? (units + 2) << 2 : (units + 1) << 3;
    if (packetEnd < position + length) return false;
    const isFragment = next == 44;
    // Offset zero counts as first even when nothing follows (atomic fragments, RFC 6946).
    if (isFragment) flags |= be16(position + 2) & 0xfff8 ? KEY_FLAG_LATER_FRAGMENT : KEY_FLAG_FIRST_FRAGMENT;
    flags |= KEY_FLAG_EXTENSIONS;
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
function nvgre(row: usize, key: usize, port: u32, frame: usize, network: usize, gre: usize, end: usize, addressBytes: u32, link: u32): u32 {
  if (end < gre + 8 + 14) return KIND_UNKEYED;
  // Two octets of flags and version, two of protocol type, as a little-endian load sees them.
  if ((load<u32>(gre) & 0xffff_07fc) != 0x5865_0020) return ipInGre(row, key, port, frame, network, gre, end, addressBytes, link);
  const vsid = bswap<u32>(load<u32>(gre, 4)) >>> 8;
  if (vsid < 0x1000 || vsid == 0xffffff) return KIND_UNKEYED;

  const inner = gre + 8;
  link |= (vsid >>> 16) << VSID_HIGH_SHIFT;
  const firstKind = addressBytes == 4 ? KIND_NVGRE4_LINK : KIND_NVGRE6_LINK;
  let kind = end >= inner + 38 ? plainFlow(row, key, port, inner, end, link, firstKind) : 0;
  if (!kind) {
    const innerType = <u32>load<u16>(inner, 12);
    if (innerType == ETHERTYPE_VLAN || innerType == ETHERTYPE_SERVICE_VLAN || innerType == ETHERTYPE_QINQ) return KIND_UNKEYED;
    kind = flow(row, key, port, inner, innerType, inner + 14, end, link, firstKind);
    if (!kind) return KIND_UNKEYED;
  }
  store<u16>(row, <u16>(inner + 14 - frame), ROW_INNER_NETWORK);
  store<u32>(row, <u32>(end - frame), ROW_KEEP_END);

  const isInnerIpv6 = kind == firstKind + (KIND_IPV6 - KIND_LINK);
  const stationAndVsid = (load<u64>(frame) & 0x0000_ffff_ffff_ffff) | (<u64>(vsid & 0xffff) << 48);
  outerPart(key, network, addressBytes, isInnerIpv6, stationAndVsid);
  return kind;
}

/** The part of the key behind that of the inner packet: outer addresses, and eight octets that say which tunnel. */
// @ts-ignore: decorator
@inline
function outerPart(key: usize, network: usize, addressBytes: u32, isInnerIpv6: bool, tunnel: u64): void {
  const at = key + (isInnerIpv6 ? 56 : 32);
  if (addressBytes == 4) {
    store<u64>(at, load<u64>(network, 12));
    store<u64>(at, tunnel, 8);
    if (isInnerIpv6) store<u64>(at, 0, 16);
  } else {
    store<u64>(at, load<u64>(network, 8));
    store<u64>(at, load<u64>(network, 16), 8);
    store<u64>(at, load<u64>(network, 24), 16);
    store<u64>(at, load<u64>(network, 32), 24);
    store<u64>(at, tunnel, 32);
    if (!isInnerIpv6) store<u64>(at, 0, 40);
  }
}

/** GRE with a key and nothing else optional, around an IP packet, behind which nothing counts. Other GRE has no key. */
function ipInGre(row: usize, key: usize, port: u32, frame: usize, network: usize, gre: usize, end: usize, addressBytes: u32, link: u32): u32 {
  const head = load<u32>(gre);
  const etherType = head >>> 16;
  if ((head & 0x07fc) != 0x0020 || (etherType != ETHERTYPE_IPV4 && etherType != ETHERTYPE_IPV6)) return KIND_UNKEYED;
  const firstKind = (addressBytes == 4 ? KIND_GRE4_IPV4 : KIND_GRE6_IPV4) - (KIND_IPV4 - KIND_LINK);
  const kind = flow(row, key, port, frame, etherType, gre + 8, end, link, firstKind);
  if (!kind) return KIND_UNKEYED;
  store<u16>(row, <u16>(gre + 8 - frame), ROW_INNER_NETWORK);
  store<u32>(row, <u32>(packetEnd - frame), ROW_KEEP_END);
  outerPart(key, network, addressBytes, etherType == ETHERTYPE_IPV6, load<u32>(gre, 4));
  return kind;
}
