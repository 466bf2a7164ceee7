// Capture records in bulk: from a buffer of a capture file to rows, and from an output stream, or from rows, to records.
//
// Everything works in place, on addresses in the memory that the kernel works on too, so that a frame is never moved
// between the file's buffer and the engine. One call handles a burst or a whole stream. What is uncommon (section and
// interface blocks, simple packet blocks, damage) is not decided here: the scan stops in front of it and says so in `stop`,
// and TypeScript looks at it. This module holds no data of its own beyond the results below.
import { copy } from "../../dataplane/kernel/assembly/bytes";
import {
  ROW_HEADROOM, ROW_LENGTH, ROW_MISSING, ROW_OFFSET, ROW_PORT, ROW_SIZE, ROW_SOURCE, ROW_TAG, ROW_TIMESTAMP, ROW_VERDICT,
  STREAM_ITEM_LENGTH, STREAM_ITEM_MISSING, STREAM_ITEM_OFFSET, STREAM_ITEM_SEQUENCE, STREAM_ITEM_SIZE, STREAM_ITEM_SOURCE,
  STREAM_ITEM_TIMESTAMP,
} from "../../dataplane/kernel/assembly/layout.generated";
import {
  EPB, EPB_FRAME, EPB_LENGTH_MIN, INTERFACE_DIVISOR, INTERFACE_FLAGS, INTERFACE_MULTIPLIER, INTERFACE_OFFSET_NS,
  INTERFACE_SHIFT, INTERFACE_SIZE, RECORD_CAPTURED, RECORD_LENGTH, RECORD_ORIGINAL, STOP_BAD, STOP_FULL, STOP_LINK,
  STOP_MORE, STOP_OTHER, FRAME_MAX, PACKET_BLOCK_MAX,
} from "./constants.generated";

/** Where the last scan or write stopped. */
export let cursor: u32 = 0;
/** Why the last scan stopped: STOP_… */
export let stop: u32 = 0;
/** The longest frame of the last write. */
export let longest: u32 = 0;
/** Frames that the last `gather` took, and those that were too long for it. */
export let gathered: u32 = 0;
export let refused: u32 = 0;

function swap32(value: u32, swapped: bool): u32 {
  return swapped ? bswap<u32>(value) : value;
}

function storeRow(row: usize, frame: usize, captured: u32, original: u32, timestamp: u64, source: usize, tag: u32): void {
  store<u32>(row, <u32>frame, ROW_OFFSET);
  store<u32>(row, captured, ROW_LENGTH);
  store<u32>(row, 0, ROW_HEADROOM);
  store<u64>(row, timestamp, ROW_TIMESTAMP);
  // Some programs write an original length below the captured one; such a frame is whole.
  store<u32>(row, original > captured ? original - captured : 0, ROW_MISSING);
  store<u32>(row, <u32>source, ROW_SOURCE);
  store<u32>(row, tag, ROW_TAG);
}

/**
 * Classic pcap records from `at` to `end` into rows. `header` is the length of a record header (16, or 24 in modified
 * files), `unit` the nanoseconds of one step of its fraction (1000 or 1). Returns the number of rows.
 */
export function scanRecords(
  at: usize, end: usize, row: usize, rowsMax: u32, bytesMax: u32, header: u32, unit: u32, swapped: bool, tag: u32,
): u32 {
  let count: u32 = 0;
  let bytes: u32 = 0;
  stop = STOP_FULL;
  while (count < rowsMax) {
    if (end - at < <usize>header) {
      stop = STOP_MORE;
      break;
    }
    const captured = swap32(load<u32>(at, RECORD_CAPTURED), swapped);
    if (captured > FRAME_MAX) {
      stop = STOP_BAD;
      break;
    }
    const frame = at + header;
    if (end - frame < <usize>captured) {
      stop = STOP_MORE;
      break;
    }
    bytes += captured;
    if (bytes > bytesMax && count) break;
    const seconds = swap32(load<u32>(at), swapped);
    const fraction = swap32(load<u32>(at, 4), swapped);
    const original = swap32(load<u32>(at, RECORD_ORIGINAL), swapped);
    storeRow(row, frame, captured, original, <u64>seconds * 1000000000 + <u64>fraction * unit, at, tag);
    row += ROW_SIZE;
    at = frame + captured;
    ++count;
  }
  cursor = <u32>at;
  return count;
}

/** A timestamp in an interface's own units as nanoseconds since the epoch. */
export function toNanoseconds(high: u32, low: u32, face: usize): u64 {
  const raw = ((<u64>high) << 32) | <u64>low;
  const offset = load<u64>(face, INTERFACE_OFFSET_NS);
  const multiplier = load<u64>(face, INTERFACE_MULTIPLIER);
  if (multiplier) return raw * multiplier + offset;
  const divisor = load<u64>(face, INTERFACE_DIVISOR);
  if (divisor) return raw / divisor + offset;
  // Units of 2^-shift seconds. Below 2^-34 the rest is less than a nanosecond and would not fit the product.
  const shift = <u64>load<u32>(face, INTERFACE_SHIFT);
  if (shift > 63) return offset;
  const seconds = raw >> shift;
  let fraction = raw - (seconds << shift);
  let fractionBits = shift;
  if (shift > 34) {
    fraction >>= shift - 34;
    fractionBits = 34;
  }
  return seconds * 1000000000 + ((fraction * 1000000000) >> fractionBits) + offset;
}

/**
 * Enhanced packet blocks from `at` to `end` into rows, until another kind of block comes. `faces` is the section's table of
 * interfaces, `firstTag` what the first of them is called in the rows. Returns the number of rows.
 */
export function scanBlocks(
  at: usize, end: usize, row: usize, rowsMax: u32, bytesMax: u32, faces: usize, faceCount: u32, firstTag: u32, swapped: bool,
): u32 {
  let count: u32 = 0;
  let bytes: u32 = 0;
  stop = STOP_FULL;
  while (count < rowsMax) {
    if (end - at < EPB_LENGTH_MIN) {
      stop = STOP_OTHER; // perhaps a short block of another kind, perhaps the end of the data
      break;
    }
    if (swap32(load<u32>(at), swapped) != EPB) {
      stop = STOP_OTHER;
      break;
    }
    const length = swap32(load<u32>(at, 4), swapped);
    const captured = swap32(load<u32>(at, 20), swapped);
    const id = swap32(load<u32>(at, 8), swapped);
    if (length & 3 || length > PACKET_BLOCK_MAX || captured > FRAME_MAX || length < EPB_LENGTH_MIN + ((captured + 3) & ~3) || id >= faceCount) {
      stop = STOP_BAD;
      break;
    }
    if (end - at < <usize>length) {
      stop = STOP_OTHER; // TypeScript knows how much may come
      break;
    }
    if (swap32(load<u32>(at + length - 4), swapped) != length) {
      stop = STOP_BAD;
      break;
    }
    const face = faces + <usize>id * INTERFACE_SIZE;
    if (load<u32>(face, INTERFACE_FLAGS) == 0) {
      stop = STOP_LINK;
      break;
    }
    bytes += captured;
    if (bytes > bytesMax && count) break;
    const high = swap32(load<u32>(at, 12), swapped);
    const low = swap32(load<u32>(at, 16), swapped);
    const original = swap32(load<u32>(at, 24), swapped);
    storeRow(row, at + EPB_FRAME, captured, original, toNanoseconds(high, low, face), at, firstTag + id);
    row += ROW_SIZE;
    at += length;
    ++count;
  }
  cursor = <u32>at;
  return count;
}

/** Items of a stream in the order of their sequence numbers; equal ones keep their places. Almost sorted is cheap. */
export function sortItems(list: usize, count: u32): void {
  const end = list + <usize>count * STREAM_ITEM_SIZE;
  const spare = end; // one free item behind the list
  for (let item = list + STREAM_ITEM_SIZE; item < end; item += STREAM_ITEM_SIZE) {
    const sequence = load<u32>(item, STREAM_ITEM_SEQUENCE);
    let to = item;
    while (to > list && <i32>(load<u32>(to - STREAM_ITEM_SIZE, STREAM_ITEM_SEQUENCE) - sequence) > 0) to -= STREAM_ITEM_SIZE;
    if (to == item) continue;
    memory.copy(spare, item, STREAM_ITEM_SIZE);
    memory.copy(to + STREAM_ITEM_SIZE, to, item - to);
    memory.copy(to, spare, STREAM_ITEM_SIZE);
  }
}

/** A classic record header, with a time in steps of `unit` nanoseconds. Returns the seconds, of which it holds 32 bits. */
// @ts-expect-error: decorator
@inline
function storeRecord(record: usize, time: u64, unit: u32, length: u32, missing: u32): u64 {
  const seconds = time / 1000000000;
  store<u32>(record, <u32>seconds);
  store<u32>(record, <u32>(time - seconds * 1000000000) / unit, 4);
  store<u32>(record, length, RECORD_CAPTURED);
  store<u32>(record, length + missing, RECORD_ORIGINAL);
  return seconds;
}

/** An enhanced packet block around a frame that stands in its place in it, with a time in the interface's units. Returns its end. */
// @ts-expect-error: decorator
@inline
function storeBlock(block: usize, id: u32, time: u64, length: u32, missing: u32): usize {
  const padded = (length + 3) & ~3;
  const total = EPB_LENGTH_MIN + padded;
  const data = block + EPB_FRAME;
  store<u32>(block, EPB);
  store<u32>(block, total, 4);
  store<u32>(block, id, 8);
  store<u32>(block, <u32>(time >> 32), 12);
  store<u32>(block, <u32>time, 16);
  store<u32>(block, length, 20);
  store<u32>(block, length + missing, 24);
  for (let pad = length; pad < padded; ++pad) store<u8>(data + pad, 0);
  store<u32>(data + padded, total);
  return data + padded + 4;
}

/**
 * Writes a classic pcap record header into the gap before each frame of a stream, with a time in steps of `unit`
 * nanoseconds. Returns 1 if the records then lie back to back from `base`, in order, ending at `cursor`, and hold their times;
 * otherwise 0.
 */
export function writeRecords(list: usize, count: u32, base: usize, unit: u32): u32 {
  let expected = base;
  let inOrder: u32 = 1;
  longest = 0;
  const end = list + <usize>count * STREAM_ITEM_SIZE;
  for (let item = list; item < end; item += STREAM_ITEM_SIZE) {
    const frame: usize = load<u32>(item, STREAM_ITEM_OFFSET);
    const length = load<u32>(item, STREAM_ITEM_LENGTH);
    const record = frame - RECORD_LENGTH;
    const seconds = storeRecord(record, load<u64>(item, STREAM_ITEM_TIMESTAMP), unit, length, load<u32>(item, STREAM_ITEM_MISSING));
    if (record != expected || seconds >> 32) inOrder = 0;
    if (length > longest) longest = length;
    expected = frame + length;
  }
  cursor = <u32>expected;
  return inOrder;
}

/**
 * As `writeRecords`, but each header is made from the one of the record that the frame came from: the time as it stands
 * there, bit for bit, what a longer header holds beyond the lengths, and lengths changed by as much as the frame's.
 */
export function rewriteRecords(list: usize, count: u32, base: usize, header: u32, swapped: bool): u32 {
  let expected = base;
  let inOrder: u32 = 1;
  longest = 0;
  const end = list + <usize>count * STREAM_ITEM_SIZE;
  for (let item = list; item < end; item += STREAM_ITEM_SIZE) {
    const frame: usize = load<u32>(item, STREAM_ITEM_OFFSET);
    const length = load<u32>(item, STREAM_ITEM_LENGTH);
    const source: usize = load<u32>(item, STREAM_ITEM_SOURCE);
    const record = frame - header;
    const cut = swap32(load<u32>(source, RECORD_ORIGINAL), swapped) - swap32(load<u32>(source, RECORD_CAPTURED), swapped);
    store<u64>(record, load<u64>(source));
    store<u32>(record, swap32(length, swapped), RECORD_CAPTURED);
    store<u32>(record, swap32(length + cut, swapped), RECORD_ORIGINAL);
    if (header > RECORD_LENGTH) store<u64>(record, load<u64>(source, RECORD_LENGTH), RECORD_LENGTH);
    if (record != expected) inOrder = 0;
    if (length > longest) longest = length;
    expected = frame + length;
  }
  cursor = <u32>expected;
  return inOrder;
}

/**
 * Packs the frames of a stream, which must lie in order with a gap of at least 36 bytes before each, into enhanced packet
 * blocks back to back from `base`, in place: a block takes at most 35 bytes more than its frame, so no block reaches the
 * frame behind it. The blocks end at `cursor`.
 */
export function packBlocks(list: usize, count: u32, base: usize, id: u32, unit: u32): void {
  let block = base;
  longest = 0;
  const end = list + <usize>count * STREAM_ITEM_SIZE;
  for (let item = list; item < end; item += STREAM_ITEM_SIZE) {
    const length = load<u32>(item, STREAM_ITEM_LENGTH);
    const time = load<u64>(item, STREAM_ITEM_TIMESTAMP) / unit;
    memory.copy(block + EPB_FRAME, load<u32>(item, STREAM_ITEM_OFFSET), length);
    block = storeBlock(block, id, time, length, load<u32>(item, STREAM_ITEM_MISSING));
    if (length > longest) longest = length;
  }
  cursor = <u32>block;
}

/**
 * Writes the frames of a stream's items into enhanced packet blocks from `out` to `outEnd`, each made from the block that
 * its frame came from: interface, time and options as they stand there, lengths changed by as much as the frame's. Stops when
 * the room ends or at a frame that came from another kind of block. Returns the number of items; the blocks end at `cursor`.
 */
export function rewriteBlocks(list: usize, count: u32, out: usize, outEnd: usize, swapped: bool): u32 {
  const end = list + <usize>count * STREAM_ITEM_SIZE;
  let item = list;
  for (; item < end; item += STREAM_ITEM_SIZE) {
    const length = load<u32>(item, STREAM_ITEM_LENGTH);
    const source: usize = load<u32>(item, STREAM_ITEM_SOURCE);
    if (swap32(load<u32>(source), swapped) != EPB) break;
    const captured = swap32(load<u32>(source, 20), swapped);
    const missing = swap32(load<u32>(source, 24), swapped) - captured;
    const options = EPB_FRAME + ((captured + 3) & ~3);
    const optionsLength = swap32(load<u32>(source, 4), swapped) - 4 - options;
    const padded = (length + 3) & ~3;
    const total = EPB_LENGTH_MIN + padded + optionsLength;
    if (outEnd - out < <usize>total) break;
    store<u32>(out, load<u32>(source));
    store<u32>(out, swap32(total, swapped), 4);
    store<u32>(out, load<u32>(source, 8), 8);
    store<u64>(out, load<u64>(source, 12), 12);
    store<u32>(out, swap32(length, swapped), 20);
    store<u32>(out, swap32(length + missing, swapped), 24);
    const data = out + EPB_FRAME;
    memory.copy(data, load<u32>(item, STREAM_ITEM_OFFSET), length);
    for (let pad = length; pad < padded; ++pad) store<u8>(data + pad, 0);
    if (optionsLength) memory.copy(data + padded, source + options, optionsLength);
    out += total;
    store<u32>(out - 4, swap32(total, swapped));
  }
  cursor = <u32>out;
  return <u32>(item - list) / STREAM_ITEM_SIZE;
}

/**
 * Copies the frames of rows that stand at a port, and have this verdict if it is not negative, into records with times in
 * nanoseconds, back to back from `to`: enhanced packet blocks of interface `id`, or classic records if that is negative. No record
 * begins at `limit` or behind it, where there must be room for one with a frame of `frameMax` bytes; longer ones are refused.
 * Returns the first row that found no room, or `end`; the records end at `cursor`.
 */
export function gather(row: usize, end: usize, port: u32, verdict: i32, id: i32, to: usize, limit: usize, frameMax: u32): usize {
  gathered = 0;
  refused = 0;
  for (; row < end && to < limit; row += ROW_SIZE) {
    if (<u32>load<u16>(row, ROW_PORT) != port || (verdict >= 0 && <i32>load<u8>(row, ROW_VERDICT) != verdict)) continue;
    const length = load<u32>(row, ROW_LENGTH);
    if (length > frameMax) {
      refused++;
      continue;
    }
    const frame: usize = load<u32>(row, ROW_OFFSET);
    const time = load<u64>(row, ROW_TIMESTAMP);
    const missing = load<u32>(row, ROW_MISSING);
    if (id < 0) {
      storeRecord(to, time, 1, length, missing);
      copy(to + RECORD_LENGTH, frame, length);
      to += RECORD_LENGTH + length;
    } else {
      copy(to + EPB_FRAME, frame, length);
      to = storeBlock(to, <u32>id, time, length, missing);
    }
    gathered++;
  }
  cursor = <u32>to;
  return row;
}
