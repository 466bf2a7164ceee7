/**
 * Big-endian reads and writes at (bytes, offset), and the branded numbers of the data plane.
 *
 * All indexing of packet bytes lives here, so that every other file can keep `noUncheckedIndexedAccess` on without
 * paying for it. Nothing here checks bounds: each header file checks once at the edge, and after a passed check no getter can
 * run off the end.
 */

declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** A 24-bit virtual subnet identifier (RFC 7637 §3.2). */
export type Vsid = Branded<"Vsid">;
/** An 8-bit flow identifier (RFC 7637 §3.2). */
export type FlowId = Branded<"FlowId">;
/** A 48-bit MAC address as one number: 06-06-00-00-00-05 is 0x060600000005. */
export type Mac = Branded<"Mac">;
/** An 802.1Q tag control information word: PCP (3 bits), DEI (1), VID (12). */
export type Tci = Branded<"Tci">;

export const u8 = (bytes: Uint8Array, at: number): number => bytes[at]!;
export const u16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
export const u24 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
export const u32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
export const u48 = (bytes: Uint8Array, at: number): number => u16(bytes, at) * 0x1_0000_0000 + u32(bytes, at + 2);

export function setU8(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
}
export function setU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
export function setU24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
}
export function setU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
export function setU48(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at, Math.floor(value / 0x1_0000_0000));
  setU32(bytes, at + 2, value >>> 0);
}

/** The MAC address at `at`. */
export const macAt = (bytes: Uint8Array, at: number): Mac => u48(bytes, at) as Mac;
