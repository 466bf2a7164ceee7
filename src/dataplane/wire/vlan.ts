/**
 * VLAN tags (IEEE 802.1Q §9.3): four octets that stand where the EtherType was, pushing it back.
 *
 *     0               2                   4
 *     +---------------+-----+-+-----------+
 *     | TPID          | PCP |D|    VID    |  EtherType …
 *     +---------------+-----+-+-----------+
 *                       3    1     12 bits
 *
 * `at` is that of the TPID: 12 octets into the Ethernet frame. A tag with VID 0 is a priority tag: it gives a PCP and no VLAN.
 * NVGRE's outer frame may be tagged, its inner frame never (RFC 7637 §3.3).
 */
import { Reason } from "../drop-reasons.js";
import type { Tci } from "./bytes.js";
import { setU16, u16 } from "./bytes.js";
import { ETHERNET_LENGTH, ETHERTYPE_CTAG, ETHERTYPE_OLD_STAG, ETHERTYPE_STAG } from "./ethernet.js";

export const VLAN_TAG_LENGTH = 4;
/** Where the tag of a tagged frame begins, counted from the frame's start. */
export const VLAN_TAG_OFFSET = 12;
/** C-tag: 802.1Q. */
export const TPID_CTAG = ETHERTYPE_CTAG;
/** S-tag: 802.1ad. */
export const TPID_STAG = ETHERTYPE_STAG;
export const VID_MAX = 4094;

const TPID = 0;
const TCI = 2;

/** Does the type field announce a tag of any kind: C-tag, S-tag, or the old stacked form? */
export const isTpid = (etherType: number): boolean =>
  etherType === ETHERTYPE_CTAG || etherType === ETHERTYPE_STAG || etherType === ETHERTYPE_OLD_STAG;

/** Is the frame that begins at `at` long enough for an Ethernet header with one tag? */
export const checkTaggedEthernet = (_frame: Uint8Array, at: number, end: number): Reason =>
  end - at < ETHERNET_LENGTH + VLAN_TAG_LENGTH ? Reason.RX_ETH_SHORT : Reason.NONE;

/** Octets from the beginning of the frame bytes[at, at + length) to its network header, behind any tags. */
export function networkOffset(frame: Uint8Array, at: number, length: number): number {
  let type = VLAN_TAG_OFFSET;
  while (type + VLAN_TAG_LENGTH + 2 <= length && isTpid(u16(frame, at + type))) type += VLAN_TAG_LENGTH;
  return type + 2;
}

export const tpidAt = (frame: Uint8Array, at: number): number => u16(frame, at + TPID);
export const tciAt = (frame: Uint8Array, at: number): Tci => u16(frame, at + TCI) as Tci;

/** VLAN identifier, 12 bits; 0 means none, 4095 is reserved. */
export const vidOf = (tci: Tci): number => tci & 0x0fff;
/** Priority code point, 3 bits. */
export const pcpOf = (tci: Tci): number => tci >>> 13;
/** Drop eligible indicator. */
export const deiOf = (tci: Tci): boolean => (tci & 0x1000) !== 0;

export const makeTci = (pcp: number, dei: boolean, vid: number): Tci =>
  (((pcp & 7) << 13) | (dei ? 0x1000 : 0) | (vid & 0x0fff)) as Tci;

/** Writes TPID and TCI; the EtherType behind them is the caller's. */
export function writeVlanTag(frame: Uint8Array, at: number, tpid: number, tci: Tci): void {
  setU16(frame, at + TPID, tpid);
  setU16(frame, at + TCI, tci);
}
