/** MAC addresses as numbers and as text. The bits are those of IEEE 802: the first octet's lowest bit is the group bit. */
import type { Address } from "./address.js";
import type { Mac } from "./bytes.js";

export const BROADCAST_MAC = 0xffff_ffff_ffff as Mac;
export const ZERO_MAC = 0 as Mac;

/** Multicast or broadcast: the group bit is set. */
export const isGroupMac = (mac: Mac): boolean => (Math.floor(mac / 0x100_0000_0000) & 1) === 1;

/** The group MAC that a multicast address is sent to: 01-00-5E and 23 bits (RFC 1112 §6.4), 33-33 and 32 bits (RFC 2464 §7). */
export const groupMacOf = ({ family, w3 }: Address): Mac =>
  (family === 4 ? 0x0100_5e00_0000 + (w3 & 0x7f_ffff) : 0x3333_0000_0000 + w3) as Mac;

/** 01-80-C2-00-00-00 to -0F: never forwarded by a bridge (IEEE 802.1D §7.12.6). */
export const isBridgeReservedMac = (mac: Mac): boolean => mac >= 0x0180_c200_0000 && mac <= 0x0180_c200_000f;

/** As Windows prints it: `06-06-00-00-00-05`. */
export function formatMac(mac: Mac): string {
  const digits = mac.toString(16).toUpperCase().padStart(12, "0");
  return digits.match(/../g)!.join("-");
}

/**
 * Reads `060600000005`, `06-06-00-00-00-05`, `06:06:00:00:00:05` and `0606.0000.0005`, in any case.
 * Returns undefined for anything else.
 */
export function parseMac(text: string): Mac | undefined {
  const shape =
    /^(?:[0-9a-f]{12}|(?:[0-9a-f]{2}-){5}[0-9a-f]{2}|(?:[0-9a-f]{2}:){5}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4})$/i;
  return shape.test(text) ? (Number.parseInt(text.replace(/[-:.]/g, ""), 16) as Mac) : undefined;
}
