/**
 * An IP address of either family as four 32-bit words: the value that policy keys, records and headers share.
 *
 * IPv4 addresses are held in their IPv4-mapped form (::ffff:a.b.c.d, RFC 4291 §2.5.5.2), so that one table serves both
 * families; `family` tells them apart, since a real IPv6 packet may legally carry a mapped address. Immutable.
 * Text is the business of `address-text.ts`.
 */
import { setU32, u32 } from "./bytes.js";

export type AddressFamily = 4 | 6;

export class Address {
  constructor(
    readonly family: AddressFamily,
    readonly w0: number,
    readonly w1: number,
    readonly w2: number,
    readonly w3: number,
  ) {}
}

const MAPPED = 0xffff;

export const ipv4Address = (value: number): Address => new Address(4, 0, 0, MAPPED, value >>> 0);
export const ipv4AddressAt = (bytes: Uint8Array, at: number): Address => new Address(4, 0, 0, MAPPED, u32(bytes, at));
export const ipv6AddressAt = (bytes: Uint8Array, at: number): Address =>
  new Address(6, u32(bytes, at), u32(bytes, at + 4), u32(bytes, at + 8), u32(bytes, at + 12));
export const addressAt = (family: AddressFamily, bytes: Uint8Array, at: number): Address =>
  family === 4 ? ipv4AddressAt(bytes, at) : ipv6AddressAt(bytes, at);

/** Writes the 4 or 16 octets of the address. */
export function writeAddress(bytes: Uint8Array, at: number, address: Address): void {
  if (address.family === 4) {
    setU32(bytes, at, address.w3);
    return;
  }
  setU32(bytes, at, address.w0);
  setU32(bytes, at + 4, address.w1);
  setU32(bytes, at + 8, address.w2);
  setU32(bytes, at + 12, address.w3);
}

export const addressLength = (family: AddressFamily): 4 | 16 => (family === 4 ? 4 : 16);

export const sameAddress = (a: Address, b: Address): boolean =>
  a.w3 === b.w3 && a.w2 === b.w2 && a.w1 === b.w1 && a.w0 === b.w0 && a.family === b.family;

export const isUnspecified = (a: Address): boolean =>
  a.w3 === 0 && a.w0 === 0 && a.w1 === 0 && (a.family === 4 || a.w2 === 0);

/** 224.0.0.0/4 or ff00::/8. */
export const isMulticast = (a: Address): boolean => (a.family === 4 ? a.w3 >>> 28 === 0xe : a.w0 >>> 24 === 0xff);

export const isLimitedBroadcast = (a: Address): boolean => a.family === 4 && a.w3 === 0xffff_ffff;

/** 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291 §2.5.6). */
export const isLinkLocal = (a: Address): boolean => (a.family === 4 ? a.w3 >>> 16 === 0xa9fe : a.w0 >>> 22 === 0x3fa);

/** Can the address name one host: neither unspecified, nor multicast, nor broadcast. */
export const isUnicast = (a: Address): boolean => !isUnspecified(a) && !isMulticast(a) && !isLimitedBroadcast(a);

/** A prefix: an address whose bits beyond `length` are zero. `length` counts within the family: 0–32 or 0–128. */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

const wordMask = (bits: number): number =>
  bits <= 0 ? 0 : bits >= 32 ? 0xffff_ffff : (0xffff_ffff << (32 - bits)) >>> 0;

/** The address with all bits beyond the prefix length cleared. */
export function maskAddress(a: Address, length: number): Address {
  if (a.family === 4) return new Address(4, 0, 0, MAPPED, (a.w3 & wordMask(length)) >>> 0);
  return new Address(
    6,
    (a.w0 & wordMask(length)) >>> 0,
    (a.w1 & wordMask(length - 32)) >>> 0,
    (a.w2 & wordMask(length - 64)) >>> 0,
    (a.w3 & wordMask(length - 96)) >>> 0,
  );
}

export const prefixContains = (prefix: Prefix, a: Address): boolean =>
  prefix.address.family === a.family && sameAddress(maskAddress(a, prefix.length), prefix.address);

/**
 * The gateway address of a virtual subnet: the lowest host address of its prefix.
 * Prefixes without room for one (/31, /32, /127, /128) have none.
 */
export function gatewayAddressOf(prefix: Prefix): Address | undefined {
  const { address, length } = prefix;
  const bits = address.family === 4 ? 32 : 128;
  if (bits - length < 2) return undefined;
  return new Address(address.family, address.w0, address.w1, address.w2, (address.w3 + 1) >>> 0);
}

/** The directed broadcast address of an IPv4 prefix; none for IPv6 and for /31 and /32. */
export function directedBroadcastOf(prefix: Prefix): Address | undefined {
  if (prefix.address.family === 6 || prefix.length > 30) return undefined;
  return ipv4Address(prefix.address.w3 | ~wordMask(prefix.length));
}
