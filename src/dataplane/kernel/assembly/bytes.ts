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

/** Copies `n` bytes between ranges that do not overlap. */
export function copy(to: usize, from: usize, n: u32): void {
  if (n >= 16) {
    if (n > 512) {
      memory.copy(to, from, n);
      return;
    }
    const last = n - 16;
    let i: u32 = 0;
    for (; i + 32 <= n; i += 32) {
      v128.store(to + i, v128.load(from + i));
      v128.store(to + i + 16, v128.load(from + i, 16));
    }
    if (i + 16 <= n) v128.store(to + i, v128.load(from + i));
    v128.store(to + last, v128.load(from + last));
    return;
  }
  if (n >= 8) {
    store<u64>(to, load<u64>(from));
    store<u64>(to + n - 8, load<u64>(from + n - 8));
    return;
  }
  if (n >= 4) {
    store<u32>(to, load<u32>(from));
    store<u32>(to + n - 4, load<u32>(from + n - 4));
    return;
  }
  for (let i: u32 = 0; i < n; i++) store<u8>(to + i, load<u8>(from + i));
}

/** Folds a sum of 16-bit words to 16 bits with end-around carry (RFC 1071 §2). */
// @ts-expect-error: decorator
@inline
export function fold(sum: u32): u32 {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** Does the IPv4 header of `length` bytes (a multiple of 4, at least 20) sum to all ones (RFC 791 §3.1)? Any byte order serves. */
export function headerChecksumHolds(at: usize, length: u32): bool {
  let sum: u64 = 0;
  for (let i: u32 = 0; i < length; i += 4) sum += load<u32>(at + i);
  sum = (sum & 0xffffffff) + (sum >>> 32);
  sum = (sum & 0xffff) + ((sum >>> 16) & 0xffff) + (sum >>> 32);
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
