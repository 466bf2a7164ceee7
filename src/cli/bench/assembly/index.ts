// The yardstick of `hnv bench`: copies blocks as long as a frame, one call of memory.copy each, and does nothing else.

/** Copies `count` blocks of `length` bytes that lie `stride` bytes apart. */
export function copyBlocks(to: usize, from: usize, length: usize, stride: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    memory.copy(to, from, length);
    to += stride;
    from += stride;
  }
}
