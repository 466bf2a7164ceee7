/**
 * What frames have in common that take one path: a number made of all header octets but those that change from packet to packet
 * (lengths, identifications, checksums, sequence numbers, payload).
 *
 * Frames of one signature and one end are explained once. A signature that is too fine costs time only; what it leaves out
 * (lengths against an MTU, a checksum that is wrong) shows in the end that the engine reports, which is part of the key.
 */
import {
  ETHERNET_LENGTH,
  ETHERTYPE_CTAG,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_TEB,
  etherTypeAt,
  GRE_KEY_PRESENT,
  IPV4_LENGTH,
  IPV6_LENGTH,
  ipv4HeaderLengthAt,
  NVGRE_LENGTH,
  PROTOCOL_GRE,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  u8,
  u16,
  u32,
  VLAN_TAG_LENGTH,
} from "../../dataplane/wire/index.js";

/** Two hashes that share no multiplier, for 53 bits in one number: one false match in 10^4 captures of a million flows. */
let high = 0;
let low = 0;

/** Of what is neither IP nor NVGRE, so many octets behind the Ethernet header count: all of ARP. */
const OTHER_OCTETS = 28;

/** A number from 0 to 2^53−1. `port` is where the frame enters. */
export function signatureOf(bytes: Uint8Array, start: number, end: number, port: number): number {
  high = 0x811c_9dc5;
  low = port + 1;
  if (end - start < ETHERNET_LENGTH) mix(0);
  else mixFrame(bytes, start, end, true);
  return asNumber();
}

/** The signature together with the end that a packet met. */
export function withEnd(signature: number, end: number): number {
  high = Math.floor(signature / 0x20_0000);
  low = signature >>> 0;
  mix(end);
  return asNumber();
}

const asNumber = (): number => (high >>> 0) * 0x20_0000 + (low >>> 11);

function mix(word: number): void {
  high = Math.imul(high ^ word, 0x0100_0193);
  high ^= high >>> 15;
  low = Math.imul(low ^ (word + 0x9e37_79b9), 0x85eb_ca6b);
  low ^= low >>> 13;
}

function mixFrame(bytes: Uint8Array, start: number, end: number, isOuter: boolean): void {
  mix(u32(bytes, start));
  mix(u32(bytes, start + 4));
  mix(u32(bytes, start + 8));
  let at = start;
  if (etherTypeAt(bytes, at) === ETHERTYPE_CTAG && end - at >= ETHERNET_LENGTH + VLAN_TAG_LENGTH) {
    mix(u16(bytes, at + ETHERNET_LENGTH));
    at += VLAN_TAG_LENGTH;
  }
  const etherType = etherTypeAt(bytes, at);
  mix(etherType);
  at += ETHERNET_LENGTH;
  if (etherType === ETHERTYPE_IPV4 && end - at >= IPV4_LENGTH) mixIpv4(bytes, at, end, isOuter);
  else if (etherType === ETHERTYPE_IPV6 && end - at >= IPV6_LENGTH) mixIpv6(bytes, at, end, isOuter);
  else for (let last = Math.min(end, at + OTHER_OCTETS); at < last; at++) mix(u8(bytes, at));
}

function mixIpv4(bytes: Uint8Array, at: number, end: number, isOuter: boolean): void {
  mix(u16(bytes, at)); // version, header length, TOS
  const flagsAndOffset = u16(bytes, at + 6);
  const isLaterFragment = (flagsAndOffset & 0x1fff) !== 0;
  mix((flagsAndOffset & 0xe000) | (isLaterFragment ? 1 : 0));
  mix(Math.min(u8(bytes, at + 8), 2)); // routers look at whether the TTL is over
  const protocol = u8(bytes, at + 9);
  mix(protocol);
  mix(u32(bytes, at + 12));
  mix(u32(bytes, at + 16));
  if (!isLaterFragment) mixTransport(bytes, at + ipv4HeaderLengthAt(bytes, at), end, protocol, isOuter);
}

/** What stands behind extension headers does not count. */
function mixIpv6(bytes: Uint8Array, at: number, end: number, isOuter: boolean): void {
  mix(u16(bytes, at)); // version and traffic class
  const protocol = u8(bytes, at + 6);
  mix(protocol);
  mix(Math.min(u8(bytes, at + 7), 2));
  for (let word = at + 8; word < at + IPV6_LENGTH; word += 4) mix(u32(bytes, word));
  mixTransport(bytes, at + IPV6_LENGTH, end, protocol, isOuter);
}

function mixTransport(bytes: Uint8Array, at: number, end: number, protocol: number, isOuter: boolean): void {
  if (end - at < 4) return;
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) mix(u32(bytes, at));
  else if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) mix(u16(bytes, at));
  else if (protocol === PROTOCOL_GRE && isOuter) mixGre(bytes, at, end);
}

/** The VSID counts, the FlowID does not; the inner frame as the outer one. */
function mixGre(bytes: Uint8Array, at: number, end: number): void {
  mix(u32(bytes, at));
  const isPlainNvgre = u16(bytes, at) === GRE_KEY_PRESENT && u16(bytes, at + 2) === ETHERTYPE_TEB;
  if (!isPlainNvgre || end - at < NVGRE_LENGTH + ETHERNET_LENGTH) return;
  mix(u32(bytes, at + 4) >>> 8);
  mixFrame(bytes, at + NVGRE_LENGTH, end, false);
}
