// Network-order loads, copies that never touch a byte outside their range, and the one's complement sum.

// @ts-expect-error: decorator
@inline
export function be16(at: usize): u32 {
  return <u32>bswap<u16>(load<u16>(at));
}

// @ts-expect-error: decorator
@inline
export function setBe16(at: usize, value: u32): void {
  store<u16>(at, bswap<u16>(<u16>value));
}

/** Beyond this the engine's own copy of memory, a call out of WebAssembly, is faster; below, ours is where frames come from main memory. */
const BULK_COPY: u32 = 4096;

/** Copies `n` bytes between ranges that do not overlap. Small frames are copied without a loop: the words overlap instead. */
// @ts-expect-error: decorator
@inline
export function copy(to: usize, from: usize, n: u32): void {
  if (n > 64) {
    copyLong(to, from, n);
  } else if (n >= 32) {
    const last: usize = n - 32;
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    v128.store(to + last, v128.load(from + last));
    v128.store(to + last, v128.load(from + last, 16), 16);
  } else {
    copyShort(to, from, n);
  }
}

/** More than 64 bytes, in blocks of 64; the last block overlaps the one before. */
function copyLong(to: usize, from: usize, n: u32): void {
  if (n > BULK_COPY) {
    memory.copy(to, from, n);
    return;
  }
  const last = n - 64;
  let i: u32 = 0;
  do {
    copyBlock(to + i, from + i);
    i += 64;
  } while (i < last);
  copyBlock(to + last, from + last);
}

// @ts-expect-error: decorator
@inline
function copyBlock(to: usize, from: usize): void {
  v128.store(to, v128.load(from));
  v128.store(to, v128.load(from, 16), 16);
  v128.store(to, v128.load(from, 32), 32);
  v128.store(to, v128.load(from, 48), 48);
}

/** Less than 32 bytes. */
function copyShort(to: usize, from: usize, n: u32): void {
  if (n >= 16) {
    const last: usize = n - 16;
    v128.store(to, v128.load(from));
    v128.store(to + last, v128.load(from + last));
  } else if (n >= 8) {
    const last: usize = n - 8;
    store<u64>(to, load<u64>(from));
    store<u64>(to + last, load<u64>(from + last));
  } else if (n >= 4) {
    const last: usize = n - 4;
    store<u32>(to, load<u32>(from));
    store<u32>(to + last, load<u32>(from + last));
  } else {
    for (let i: u32 = 0; i < n; i++) store<u8>(to + i, load<u8>(from + i));
  }
}

/** Folds a sum of 16-bit words to 16 bits with end-around carry (RFC 1071 §2). */
// @ts-expect-error: decorator
@inline
export function fold(sum: u32): u32 {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** Does the IPv4 header of `length` bytes (a multiple of 4, at least 20) sum to all ones (RFC 791 §3.1)? Any byte order serves. */
// @ts-expect-error: decorator
@inline
export function headerChecksumHolds(at: usize, length: u32): bool {
  let sum = <u64>load<u32>(at) + <u64>load<u32>(at, 4) + <u64>load<u32>(at, 8) + <u64>load<u32>(at, 12) + <u64>load<u32>(at, 16);
  for (let i: u32 = 20; i < length; i += 4) sum += load<u32>(at + i);
  // Each line halves the width: 35 bits, 33, 18, 17, 16.
  sum = (sum & 0xffffffff) + (sum >>> 32);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return sum == 0xffff;
}

/** Replaces a 16-bit word under an internet checksum: HC' = ~(~HC + ~m + m') (RFC 1624 §3, equation 3). */
// @ts-expect-error: decorator
@inline
export function updateChecksum(at: usize, before: u32, after: u32): void {
  const sum = (~be16(at) & 0xffff) + (~before & 0xffff) + after;
  setBe16(at, ~fold(sum));
}
