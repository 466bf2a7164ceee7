/**
 * The Ethernet II header (IEEE 802.3 §3.1.1), without preamble and without FCS: the NIC adds and checks the FCS, so the
 * data plane never sees one, and the inner frame of NVGRE has none.
 *
 *     0                   6                   12      14
 *     +-------------------+-------------------+-------+
 *     | destination MAC   | source MAC        | type  |  payload …
 *     +-------------------+-------------------+-------+
 *
 * With an 802.1Q tag the type field holds the TPID and the tag follows; see `vlan.ts`.
 */
import { Reason } from "../drop-reasons.js";
import type { Mac } from "./bytes.js";
import { macAt, setU16, setU48, u16 } from "./bytes.js";

export const ETHERNET_LENGTH = 14;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
/** Transparent Ethernet Bridging: in GRE, an Ethernet frame follows (RFC 7637 §3.2). */
export const ETHERTYPE_TEB = 0x6558;
export const ETHERTYPE_CTAG = 0x8100;
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPE_MPLS = 0x8847;
export const ETHERTYPE_SLOW_PROTOCOLS = 0x8809;
export const ETHERTYPE_STAG = 0x88a8;
export const ETHERTYPE_LLDP = 0x88cc;
/** The TPID of stacked tags before 802.1ad, still seen. */
export const ETHERTYPE_OLD_STAG = 0x9100;
/** Smaller values of the type field are the length of an IEEE 802.2 frame. */
export const ETHERTYPE_MIN = 0x0600;

const DESTINATION = 0;
const SOURCE = 6;
const TYPE = 12;

/** Is there a whole Ethernet header at `at`, before `end`? */
export const checkEthernet = (_frame: Uint8Array, at: number, end: number): Reason =>
  end - at < ETHERNET_LENGTH ? Reason.RX_ETH_SHORT : Reason.NONE;

export const destinationMacAt = (frame: Uint8Array, at: number): Mac => macAt(frame, at + DESTINATION);
export const sourceMacAt = (frame: Uint8Array, at: number): Mac => macAt(frame, at + SOURCE);
/** The type field: an EtherType, a TPID when the frame is tagged, or a length below ETHERTYPE_MIN. */
export const etherTypeAt = (frame: Uint8Array, at: number): number => u16(frame, at + TYPE);

export function setDestinationMac(frame: Uint8Array, at: number, mac: Mac): void {
  setU48(frame, at + DESTINATION, mac);
}
export function setSourceMac(frame: Uint8Array, at: number, mac: Mac): void {
  setU48(frame, at + SOURCE, mac);
}
export function setEtherType(frame: Uint8Array, at: number, etherType: number): void {
  setU16(frame, at + TYPE, etherType);
}

/** Writes the 14 octets of the header. */
export function writeEthernet(frame: Uint8Array, at: number, destination: Mac, source: Mac, etherType: number): void {
  setU48(frame, at + DESTINATION, destination);
  setU48(frame, at + SOURCE, source);
  setU16(frame, at + TYPE, etherType);
}
