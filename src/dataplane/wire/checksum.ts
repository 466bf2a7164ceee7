/**
 * The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words.
 *
 * Everything here works on *sums*: a sum is a number below 2^32 that stands for a one's complement sum not yet folded, so
 * that pseudo headers and scattered parts can be added up in any order. A *checksum* is the folded complement, as it
 * lies in a header. An odd last octet counts as the high half of a word, so only the last part of a sum may be odd.
 */
import { u8, u16, u32 } from "./bytes.js";

/**
 * The sum of bytes[at, end), added to `initial`. Good for 64 KiB and a bit, more than any packet has.
 *
 * High and low octets are summed apart, which leaves one shift for the whole range instead of one for each word.
 */
export function checksumSum(bytes: Uint8Array, at: number, end: number, initial = 0): number {
  let high = 0;
  let low = 0;
  const whole = end - 7;
  for (; at < whole; at += 8) {
    high += u8(bytes, at) + u8(bytes, at + 2) + u8(bytes, at + 4) + u8(bytes, at + 6);
    low += u8(bytes, at + 1) + u8(bytes, at + 3) + u8(bytes, at + 5) + u8(bytes, at + 7);
  }
  for (; at < end - 1; at += 2) {
    high += u8(bytes, at);
    low += u8(bytes, at + 1);
  }
  if (at < end) high += u8(bytes, at);
  return initial + high * 0x100 + low;
}

/** Folds the carries of a sum back in (RFC 1071 §2): 16 bits. */
export function foldSum(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  const twice = (once & 0xffff) + (once >>> 16);
  return (twice & 0xffff) + (twice >>> 16);
}

/** The checksum that belongs to a sum. */
export const checksumOfSum = (sum: number): number => ~foldSum(sum) & 0xffff;

/** The checksum of bytes[at, end); the checksum field inside, if any, must be zero. */
export const checksum = (bytes: Uint8Array, at: number, end: number, initial = 0): number =>
  checksumOfSum(checksumSum(bytes, at, end, initial));

/** Does bytes[at, end), checksum field included, add up to all ones (RFC 1071 §1)? */
export const checksumIsRight = (bytes: Uint8Array, at: number, end: number, initial = 0): boolean =>
  foldSum(checksumSum(bytes, at, end, initial)) === 0xffff;

/**
 * The checksum after one 16-bit word under it changed: HC' = ~(~HC + ~m + m') (RFC 1624 §3, equation 3).
 *
 * Never turns a right checksum into a wrong one, but where a recomputation gives 0xffff this may give 0x0000 or
 * the reverse: the same number in one's complement.
 */
export const updateChecksum = (old: number, oldWord: number, newWord: number): number =>
  checksumOfSum((~old & 0xffff) + (~oldWord & 0xffff) + newWord);

/** The same for a 32-bit field: an IPv4 address, a sequence number. */
export const updateChecksum32 = (old: number, oldValue: number, newValue: number): number =>
  checksumOfSum(
    (~old & 0xffff) + (~oldValue & 0xffff) + (~(oldValue >>> 16) & 0xffff) + (newValue & 0xffff) + (newValue >>> 16),
  );

/**
 * The same for a part of whatever length: the checksum after words that summed to `before` came to sum to `after`. Both sums are of
 * words at even distances from where the checksum begins to count.
 */
export const updateChecksumOfPart = (old: number, before: number, after: number): number =>
  checksumOfSum((~old & 0xffff) + (~foldSum(before) & 0xffff) + foldSum(after));

/** The sum of the pseudo header of TCP (RFC 9293 §3.1) and UDP (RFC 768) over the IPv4 header at `ipAt`. */
export const pseudoHeaderSumIpv4 = (frame: Uint8Array, ipAt: number, protocol: number, length: number): number =>
  wordsOf(u32(frame, ipAt + 12)) + wordsOf(u32(frame, ipAt + 16)) + protocol + length;

/**
 * The sum of the pseudo header over the IPv6 header at `ipAt` (RFC 8200 §8.1). `protocol` is the transport's, not the header's
 * next header field. Holds for packets at their final destination: under a routing header with segments left, the
 * destination that counts is the last of its list.
 */
export const pseudoHeaderSumIpv6 = (frame: Uint8Array, ipAt: number, protocol: number, length: number): number =>
  checksumSum(frame, ipAt + 8, ipAt + 40) + wordsOf(length) + protocol;

/** The sum of the pseudo header over either header; the version nibble decides. */
export const pseudoHeaderSum = (frame: Uint8Array, ipAt: number, protocol: number, length: number): number =>
  u16(frame, ipAt) >>> 12 === 4
    ? pseudoHeaderSumIpv4(frame, ipAt, protocol, length)
    : pseudoHeaderSumIpv6(frame, ipAt, protocol, length);

const wordsOf = (value: number): number => (value >>> 16) + (value & 0xffff);
