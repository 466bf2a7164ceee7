/**
 * What a generator writes behind the headers of its frames, so that whoever receives one knows which it is, when it was sent, and
 * whether it is whole:
 *
 *     0       2       4               8               12                      18              22
 *     +-------+-------+---------------+---------------+-----------------------+---------------+
 *     | magic | stream| flow          | sequence      | sent                  | check         | filling …
 *     +-------+-------+---------------+---------------+-----------------------+---------------+
 *
 * The sequence counts the frames of one generator, modulo 2^32. `sent` is nanoseconds of the machine's monotonic clock, modulo
 * 2^48 (three days), and so means something on the same machine only. The check is a hash of the mark and the filling.
 */
import { setU16, setU32, setU48, u8, u16, u32, u48 } from "../../dataplane/wire/index.js";

export const MARK_LENGTH = 22;
export const MARK_MAGIC = 0x6867;
const STREAM = 2;
const FLOW = 4;
const SEQUENCE = 8;
const SENT = 12;
const CHECK = 18;

/** `sent` counts modulo this. */
export const SENT_MODULUS = 2 ** 48;
const SENT_MASK = (1n << 48n) - 1n;
/** A monotonic time as a mark holds it. */
export const sentTimeOf = (timeNs: bigint): number => Number(timeNs & SENT_MASK);

export const hasMark = (bytes: Uint8Array, at: number): boolean => u16(bytes, at) === MARK_MAGIC;
export const markStreamAt = (bytes: Uint8Array, at: number): number => u16(bytes, at + STREAM);
export const markFlowAt = (bytes: Uint8Array, at: number): number => u32(bytes, at + FLOW);
export const markSequenceAt = (bytes: Uint8Array, at: number): number => u32(bytes, at + SEQUENCE);
export const markSentAt = (bytes: Uint8Array, at: number): number => u48(bytes, at + SENT);

/** Writes the part that all frames of a generator share. */
export function writeMarkConstants(bytes: Uint8Array, at: number, stream: number): void {
  setU16(bytes, at, MARK_MAGIC);
  setU16(bytes, at + STREAM, stream);
}

/** Writes the rest; `fillingHash` is that of what follows the mark. */
export function writeMark(
  bytes: Uint8Array,
  at: number,
  flow: number,
  sequence: number,
  sent: number,
  fillingHash: number,
): void {
  setU32(bytes, at + FLOW, flow);
  setU32(bytes, at + SEQUENCE, sequence);
  setU48(bytes, at + SENT, sent);
  setU32(bytes, at + CHECK, checkOf(bytes, at, fillingHash));
}

/** Are the mark at `at` and the filling behind it, up to `end`, what the generator wrote? */
export const markIsRight = (bytes: Uint8Array, at: number, end: number): boolean =>
  u32(bytes, at + CHECK) === checkOf(bytes, at, hashFilling(bytes, at + MARK_LENGTH, end));

/** The one's complement sum, not folded, of the words of a mark that `writeMark` writes. */
export const markSum = (bytes: Uint8Array, at: number): number =>
  u16(bytes, at + FLOW) +
  u16(bytes, at + FLOW + 2) +
  u16(bytes, at + SEQUENCE) +
  u16(bytes, at + SEQUENCE + 2) +
  u16(bytes, at + SENT) +
  u16(bytes, at + SENT + 2) +
  u16(bytes, at + SENT + 4) +
  u16(bytes, at + CHECK) +
  u16(bytes, at + CHECK + 2);

function checkOf(bytes: Uint8Array, at: number, fillingHash: number): number {
  let hash = mix(fillingHash, u32(bytes, at));
  hash = mix(hash, u32(bytes, at + FLOW));
  hash = mix(hash, u32(bytes, at + SEQUENCE));
  hash = mix(hash, u32(bytes, at + SENT));
  return mix(hash, u16(bytes, at + SENT + 4)) >>> 0;
}

/** 32 bits over bytes[at, end) and their number. */
export function hashFilling(bytes: Uint8Array, at: number, end: number): number {
  let hash = end - at;
  for (; at < end - 3; at += 4) hash = mix(hash, u32(bytes, at));
  for (; at < end; at++) hash = mix(hash, u8(bytes, at));
  return hash;
}

/** One to one in either argument, so that no change of a single word goes unseen. */
function mix(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x9e37_79b1);
  return product ^ (product >>> 15);
}
