/**
 * The NVGRE header: GRE with the key split in VSID and FlowID (RFC 7637 §3.2).
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-+-+-+-+-----------------+-----+-------------------------------+
 *     |0|0|1|0|        0        |  0  |             0x6558            |
 *     +-+-+-+-+-----------------+-----+---------------+---------------+
 *     |             virtual subnet ID (24)            |   FlowID (8)  |
 *     +-----------------------------------------------+---------------+
 *
 * Always eight octets: C and S are clear, so no optional word can precede or follow the key. A lenient receiver also takes
 * headers with a checksum or a sequence number, which some other GRE implementations send; then the general readers of
 * `gre.ts` find the key.
 */
import { Reason } from "../drop-reasons.js";
import type { FlowId, Vsid } from "./bytes.js";
import { setU8, setU16, setU24, u8, u16, u24 } from "./bytes.js";
import { ETHERNET_LENGTH, ETHERTYPE_TEB } from "./ethernet.js";
import {
  GRE_CHECKSUM_PRESENT,
  GRE_KEY_PRESENT,
  GRE_LENGTH,
  GRE_REFUSED_BITS,
  GRE_SEQUENCE_PRESENT,
  GRE_VERSION_BITS,
  greChecksumIsRight,
  greHeaderLength,
} from "./gre.js";

export const NVGRE_LENGTH = 8;
/** What an NVE sends: K set, all else clear, version 0 (RFC 7637 §3.2). */
export const NVGRE_FLAGS_VERSION = GRE_KEY_PRESENT;
export const PROTOCOL_TRANSPARENT_ETHERNET = ETHERTYPE_TEB;

/** Below lies the range that RFC 7637 §3.4 reserves. */
export const MIN_VSID = 4096 as Vsid;
export const MAX_VSID = 16_777_214 as Vsid;
/** For messages between NVEs of one vendor (RFC 7637 §3.4). */
export const VENDOR_VSID = 0xff_ffff as Vsid;

const FLAGS_VERSION = 0;
const PROTOCOL = 2;
const VSID = 4; // 24 bits
const FLOW_ID = 7; // 8 bits

/** `strict` takes what RFC 7637 lets an NVE send; `lenient` also a checksum (then verified) and a sequence number. */
export type ReceiveMode = "strict" | "lenient";

/**
 * Is there an NVGRE header at `at` with an inner Ethernet header, whole before `end`, the end of the outer IP packet?
 * The first failing check names the reason. RX_GRE_VERSION and RX_GRE_PROTO mean: not NVGRE, leave it to others.
 */
export function checkNvgre(frame: Uint8Array, at: number, end: number, mode: ReceiveMode = "strict"): Reason {
  if (end - at < GRE_LENGTH) return Reason.RX_GRE_SHORT;
  const flags = u16(frame, at + FLAGS_VERSION);
  if (flags & GRE_VERSION_BITS) return Reason.RX_GRE_VERSION; // not ours: 1 is PPTP's
  if (u16(frame, at + PROTOCOL) !== PROTOCOL_TRANSPARENT_ETHERNET) return Reason.RX_GRE_PROTO; // not ours either
  if (flags & GRE_REFUSED_BITS) return Reason.RX_GRE_FLAGS; // RFC 2784 §2.3
  if (!(flags & GRE_KEY_PRESENT)) return Reason.RX_GRE_NO_KEY;
  if (flags & (GRE_CHECKSUM_PRESENT | GRE_SEQUENCE_PRESENT)) {
    if (mode === "strict") return Reason.RX_GRE_FLAGS;
    // A header cut in its optional words has nothing to add up; that it is short is judged below.
    if (end - at >= greHeaderLength(flags) && !greChecksumIsRight(frame, at, end)) return Reason.RX_GRE_CSUM;
  }
  return end - at < greHeaderLength(flags) + ETHERNET_LENGTH ? Reason.RX_INNER_SHORT : Reason.NONE;
}

/** May a tenant's frame carry this VSID on the wire? NONE if it may. */
export function checkVsid(vsid: Vsid): Reason {
  if (vsid < MIN_VSID) return Reason.RX_VSID_RESERVED;
  return vsid > MAX_VSID ? Reason.RX_VSID_VENDOR : Reason.NONE;
}

/** Of a header that passed the strict check. */
export const vsidAt = (frame: Uint8Array, at: number): Vsid => u24(frame, at + VSID) as Vsid;
export const flowIdAt = (frame: Uint8Array, at: number): FlowId => u8(frame, at + FLOW_ID) as FlowId;

/** The parts of a GRE key, for headers that only the lenient check lets pass. */
export const vsidOfKey = (key: number): Vsid => (key >>> 8) as Vsid;
export const flowIdOfKey = (key: number): FlowId => (key & 0xff) as FlowId;
export const makeNvgreKey = (vsid: Vsid, flowId: FlowId): number => ((vsid << 8) | flowId) >>> 0;

/** Writes the eight octets. A sender without flow entropy gives 0 as FlowID (RFC 7637 §3.2). */
export function writeNvgre(frame: Uint8Array, at: number, vsid: Vsid, flowId: FlowId): void {
  setU16(frame, at + FLAGS_VERSION, NVGRE_FLAGS_VERSION);
  setU16(frame, at + PROTOCOL, PROTOCOL_TRANSPARENT_ETHERNET);
  setU24(frame, at + VSID, vsid);
  setU8(frame, at + FLOW_ID, flowId);
}
