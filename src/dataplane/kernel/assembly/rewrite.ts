// Carries out a flow entry on a packet: replaces everything before what stays by the entry's template, patches what depends on
// the packet, and sends the frame on, in place, into a slot with headroom, or straight into a capture stream.
//
//   before   [outer headers | inner Ethernet][inner IP … ]        KEEP = INNER_NETWORK: decapsulation
//            [Ethernet, tag                 ][IP … ]              KEEP = NETWORK: encapsulation, routing
//                                            └── what stays: `stay` bytes, written once or not at all
//   after    [template, 14 to 88 bytes      ][IP … ]

import { be16, copy, fold, setBe16, updateChecksum } from "./bytes";
import {
  ACTION_DECREMENT_TTL, ACTION_DSCP_COPY, ACTION_DSCP_DECAP, ACTION_ECN_DECAP, ACTION_ECN_MODE_MASK,
  ACTION_ECN_MODE_SHIFT, ACTION_INNER_IPV4, ACTION_INNER_IPV6, ACTION_KEEP_MASK, ACTION_PATCH_IPV4, ACTION_PATCH_IPV6,
  ACTION_VERDICT_MASK, ACTION_VERDICT_SHIFT, CONTROL_ARENA, CONTROL_ARENA_END, CONTROL_ARENA_FULL, CONTROL_CONSUMED,
  CONTROL_COPIES, CONTROL_DELIVERED, CONTROL_DROPPED, CONTROL_DROPS, CONTROL_EMITTED, CONTROL_LIST_NEXT,
  CONTROL_NODES, CONTROL_NOW_MS, CONTROL_PASSED, CONTROL_PORTS, CONTROL_ROWS, CONTROL_ROW_CAPACITY, CONTROL_ROW_COUNT,
  DROPS_PER_PORT, ECN_MODE_LINUX, ECN_MODE_ZERO, ENTRY_ACTION, ENTRY_BYTES, ENTRY_CHECKSUM_BASE, ENTRY_LAST_USED_MS,
  ENTRY_NEXT_OUTPUT, ENTRY_NODE, ENTRY_OUTPUT, ENTRY_PACKETS, ENTRY_QUEUE, ENTRY_REASON, ENTRY_TEMPLATE,
  ENTRY_TEMPLATE_IP, ENTRY_TEMPLATE_LENGTH, HOPS_MAX, KEEP_FRAME, KEEP_INNER_NETWORK, NODE_SIZE, NO_PORT, PORT_PEER,
  PORT_RX_BYTES, PORT_RX_PACKETS, PORT_RX_STREAM, PORT_SIZE, PORT_TX_BYTES, PORT_TX_PACKETS, PORT_TX_STREAM,
  REASON_HOP_LIMIT, REASON_RESOURCES, REASON_RX_ECN, ROW_ENTRY, ROW_HEADROOM, ROW_HOPS, ROW_INNER_NETWORK,
  ROW_KEEP_END, ROW_LENGTH, ROW_MISSING, ROW_NETWORK, ROW_OFFSET, ROW_PORT, ROW_QUEUE, ROW_REASON, ROW_SEQUENCE,
  ROW_SIZE, ROW_SOURCE, ROW_TAG, ROW_TIMESTAMP, ROW_VERDICT, SLOT_HEADROOM, STREAM_CURSOR, STREAM_DISORDERED,
  STREAM_END, STREAM_GAP, STREAM_ITEM_LENGTH, STREAM_ITEM_MISSING, STREAM_ITEM_OFFSET, STREAM_ITEM_ORDER,
  STREAM_ITEM_ROW, STREAM_ITEM_SEQUENCE, STREAM_ITEM_SIZE, STREAM_ITEM_SOURCE, STREAM_ITEM_TAG, STREAM_ITEM_TIMESTAMP,
  STREAM_LAST_SEQUENCE, STREAM_LIST, STREAM_LIST_CAPACITY, STREAM_LIST_COUNT, STREAM_OVERFLOW, VERDICT_CONSUMED,
  VERDICT_DELIVERED, VERDICT_DROPPED, VERDICT_PASSED, VERDICT_PENDING,
} from "./layout.generated";

/**
 * RFC 6040 §4.2, figure 4: the new inner ECN, a nibble each, by (inner << 2 | outer); 8 means drop.
 * Rows: inner Not-ECT, ECT(1), ECT(0), CE; columns: outer Not-ECT, ECT(1), ECT(0), CE.
 */
const ECN_DECAP: u64 = 0x3333_3212_3111_8000;
const ECN_DROP: u32 = 8;

let arenaCursor: usize = 0;
let nextCount: u32 = 0;

export function resetArena(): void {
  arenaCursor = load<u32>(CONTROL_ARENA);
}

export function takeNextCount(): u32 {
  const count = nextCount;
  nextCount = 0;
  return count;
}

// @ts-expect-error: decorator
@inline
function increment(at: usize): void {
  store<u64>(at, load<u64>(at) + 1);
}

// @ts-expect-error: decorator
@inline
export function portAt(port: u32): usize {
  return <usize>load<u32>(CONTROL_PORTS) + <usize>port * PORT_SIZE;
}

export function drop(row: usize, reason: u32): void {
  store<u8>(row, <u8>VERDICT_DROPPED, ROW_VERDICT);
  store<u8>(row, <u8>reason, ROW_REASON);
  countDrop(row, reason);
}

function countDrop(row: usize, reason: u32): void {
  const port = <usize>load<u16>(row, ROW_PORT);
  increment(<usize>load<u32>(CONTROL_DROPS) + ((port * DROPS_PER_PORT + reason) << 3));
  increment(CONTROL_DROPPED);
}

/** Counts a frame that enters a node, and copies it where somebody watches the port. */
export function enter(row: usize): void {
  const port = portAt(load<u16>(row, ROW_PORT));
  increment(port + PORT_RX_PACKETS);
  store<u64>(port, load<u64>(port, PORT_RX_BYTES) + load<u32>(row, ROW_LENGTH), PORT_RX_BYTES);
  const stream: usize = load<u32>(port, PORT_RX_STREAM);
  if (stream) copyToStream(stream, row);
}

/** Room for `length` bytes behind a stream's cursor and gap; 0 if there is none. */
// @ts-expect-error: decorator
@inline
function streamRoom(stream: usize, length: u32): usize {
  const at: usize = load<u32>(stream, STREAM_CURSOR) + load<u32>(stream, STREAM_GAP);
  const full = at + length > <usize>load<u32>(stream, STREAM_END) || load<u32>(stream, STREAM_LIST_COUNT) >= load<u32>(stream, STREAM_LIST_CAPACITY);
  if (full) {
    store<u32>(stream, load<u32>(stream, STREAM_OVERFLOW) + 1, STREAM_OVERFLOW);
    return 0;
  }
  return at;
}

function listInStream(stream: usize, row: usize, at: usize, length: u32): void {
  const count = load<u32>(stream, STREAM_LIST_COUNT);
  const item = <usize>load<u32>(stream, STREAM_LIST) + <usize>count * STREAM_ITEM_SIZE;
  const sequence = load<u32>(row, ROW_SEQUENCE);
  store<u32>(item, <u32>at, STREAM_ITEM_OFFSET);
  store<u32>(item, length, STREAM_ITEM_LENGTH);
  store<u32>(item, <u32>(row - <usize>load<u32>(CONTROL_ROWS)) / ROW_SIZE, STREAM_ITEM_ROW);
  store<u32>(item, sequence, STREAM_ITEM_SEQUENCE);
  store<u64>(item, load<u64>(row, ROW_TIMESTAMP), STREAM_ITEM_TIMESTAMP);
  store<u32>(item, load<u32>(row, ROW_MISSING), STREAM_ITEM_MISSING);
  store<u32>(item, load<u32>(row, ROW_SOURCE), STREAM_ITEM_SOURCE);
  store<u32>(item, load<u32>(row, ROW_TAG), STREAM_ITEM_TAG);
  const emitted = load<u32>(CONTROL_EMITTED);
  store<u32>(item, emitted, STREAM_ITEM_ORDER);
  store<u32>(CONTROL_EMITTED, emitted + 1);
  if (count && <i32>(sequence - load<u32>(stream, STREAM_LAST_SEQUENCE)) < 0) store<u32>(stream, 1, STREAM_DISORDERED);
  store<u32>(stream, sequence, STREAM_LAST_SEQUENCE);
  store<u32>(stream, count + 1, STREAM_LIST_COUNT);
  store<u32>(stream, <u32>at + length, STREAM_CURSOR);
}

function copyToStream(stream: usize, row: usize): void {
  const length = load<u32>(row, ROW_LENGTH);
  const at = streamRoom(stream, length);
  if (!at) return;
  copy(at, load<u32>(row, ROW_OFFSET), length);
  listInStream(stream, row, at, length);
}

/** A slot of the arena for `length` bytes; 0 if the arena is used up. */
function takeSlot(length: u32): usize {
  const at = arenaCursor + SLOT_HEADROOM;
  const next = (at + length + 63) & ~63;
  if (next > <usize>load<u32>(CONTROL_ARENA_END)) {
    increment(CONTROL_ARENA_FULL);
    return 0;
  }
  arenaCursor = next;
  return at;
}

/** Carries out the row's entry: ends the packet, or sends it and its copies on. */
export function carryOut(row: usize): void {
  const entry: usize = load<u32>(row, ROW_ENTRY);
  const length = load<u32>(row, ROW_LENGTH);
  increment(entry + ENTRY_PACKETS);
  store<u64>(entry, load<u64>(entry, ENTRY_BYTES) + length, ENTRY_BYTES);
  store<u32>(entry, load<u32>(CONTROL_NOW_MS), ENTRY_LAST_USED_MS);

  const verdict = (load<u32>(entry, ENTRY_ACTION) & ACTION_VERDICT_MASK) >>> ACTION_VERDICT_SHIFT;
  if (verdict != VERDICT_PENDING) {
    end(row, verdict, load<u8>(entry, ENTRY_REASON));
    return;
  }
  let output: usize = load<u32>(entry, ENTRY_NEXT_OUTPUT);
  while (output) {
    const twin = duplicate(row);
    increment(CONTROL_COPIES);
    if (twin) forward(twin, output, false);
    else countDrop(row, REASON_RESOURCES);
    output = load<u32>(output, ENTRY_NEXT_OUTPUT);
  }
  forward(row, entry, true);
}

function end(row: usize, verdict: u32, reason: u32): void {
  if (verdict == VERDICT_DROPPED) {
    drop(row, reason);
    return;
  }
  store<u8>(row, <u8>verdict, ROW_VERDICT);
  store<u8>(row, <u8>reason, ROW_REASON);
  if (verdict == VERDICT_PASSED) {
    increment(CONTROL_PASSED);
    if (reason) increment(<usize>load<u32>(CONTROL_DROPS) + ((<usize>load<u16>(row, ROW_PORT) * DROPS_PER_PORT + reason) << 3));
  } else if (verdict == VERDICT_CONSUMED) increment(CONTROL_CONSUMED);
}

/** A further row for a copy of the packet; 0 if there is none left. */
function duplicate(row: usize): usize {
  const index = load<u32>(CONTROL_ROW_COUNT);
  if (index >= load<u32>(CONTROL_ROW_CAPACITY)) return 0;
  store<u32>(CONTROL_ROW_COUNT, index + 1);
  const twin = <usize>load<u32>(CONTROL_ROWS) + <usize>index * ROW_SIZE;
  memory.copy(twin, row, ROW_SIZE);
  return twin;
}

function forward(row: usize, entry: usize, mayOverwrite: bool): void {
  const action = load<u32>(entry, ENTRY_ACTION);
  const frame: usize = load<u32>(row, ROW_OFFSET);
  const length = load<u32>(row, ROW_LENGTH);
  const output = <u32>load<u16>(entry, ENTRY_OUTPUT);
  const port = portAt(output);
  const peer = load<u32>(port, PORT_PEER);
  const stream: usize = load<u32>(port, PORT_TX_STREAM);
  const keep = action & ACTION_KEEP_MASK;

  // 1. What stays, and what the headers before it say that is needed later.
  let from = frame;
  let stay = length;
  let templateLength: u32 = 0;
  let outerClass: u32 = 0;
  if (keep != KEEP_FRAME) {
    const network = load<u32>(row, ROW_NETWORK);
    templateLength = load<u8>(entry, ENTRY_TEMPLATE_LENGTH);
    if (keep == KEEP_INNER_NETWORK) {
      const innerNetwork = load<u32>(row, ROW_INNER_NETWORK);
      from = frame + innerNetwork;
      stay = load<u32>(row, ROW_KEEP_END) - innerNetwork;
      outerClass = trafficClass(frame + network);
    } else {
      from = frame + network;
      stay = length - network;
    }
  }

  // 2. RFC 6040 §4.2: may the congestion mark be dropped with the outer header?
  let innerEcn: u32 = 0;
  if (action & ACTION_ECN_DECAP) {
    const inner = trafficClass(from) & 3;
    innerEcn = <u32>(ECN_DECAP >>> (<u64>((inner << 2) | (outerClass & 3)) << 2)) & 15;
    if (innerEcn == ECN_DROP) {
      drop(row, REASON_RX_ECN);
      return;
    }
  }

  // 3. Where the frame goes.
  const newLength = templateLength + stay;
  let at: usize;
  let headroom: u32;
  const direct = peer == NO_PORT && stream != 0;
  if (direct) {
    at = streamRoom(stream, newLength);
    if (!at) {
      drop(row, REASON_RESOURCES);
      return;
    }
    headroom = 0;
    copy(at + templateLength, from, stay);
  } else {
    const before = <u32>(from - frame) + load<u32>(row, ROW_HEADROOM);
    if (mayOverwrite && before >= templateLength) {
      at = from - templateLength;
      headroom = before - templateLength;
    } else {
      at = takeSlot(newLength);
      if (!at) {
        drop(row, REASON_RESOURCES);
        return;
      }
      headroom = SLOT_HEADROOM;
      copy(at + templateLength, from, stay);
    }
  }

  // 4. The template, and the fields that depend on the packet.
  if (keep != KEEP_FRAME) {
    const network = at + templateLength;
    if (action & (ACTION_ECN_DECAP | ACTION_DSCP_DECAP)) setInnerClass(network, action, innerEcn, outerClass);
    if (action & ACTION_DECREMENT_TTL) decrementTtl(network, action);
    writeTemplate(at, entry + ENTRY_TEMPLATE, templateLength);
    if (action & (ACTION_PATCH_IPV4 | ACTION_PATCH_IPV6)) patchOuter(at, entry, action, network, newLength);
  }

  // 5. On its way.
  store<u32>(row, <u32>at, ROW_OFFSET);
  store<u32>(row, newLength, ROW_LENGTH);
  store<u32>(row, headroom, ROW_HEADROOM);
  store<u8>(row, load<u8>(entry, ENTRY_QUEUE), ROW_QUEUE);
  increment(port + PORT_TX_PACKETS);
  store<u64>(port, load<u64>(port, PORT_TX_BYTES) + newLength, PORT_TX_BYTES);
  if (direct) listInStream(stream, row, at, newLength);
  else if (stream) copyToStream(stream, row);
  if (peer == NO_PORT) {
    store<u16>(row, <u16>output, ROW_PORT);
    store<u8>(row, <u8>VERDICT_DELIVERED, ROW_VERDICT);
    increment(CONTROL_DELIVERED);
    return;
  }
  store<u16>(row, <u16>peer, ROW_PORT);
  const hops = <u32>load<u8>(row, ROW_HOPS) + 1;
  store<u8>(row, <u8>hops, ROW_HOPS);
  if (hops > HOPS_MAX) {
    drop(row, REASON_HOP_LIMIT);
    return;
  }
  enter(row);
  store<u32>(
    <usize>load<u32>(CONTROL_LIST_NEXT) + (<usize>nextCount << 2),
    <u32>(row - <usize>load<u32>(CONTROL_ROWS)) / ROW_SIZE,
  );
  nextCount++;
}

/** DSCP and ECN of the IP header at `at`, of either version. */
// @ts-expect-error: decorator
@inline
function trafficClass(at: usize): u32 {
  return load<u8>(at) >>> 4 == 4 ? <u32>load<u8>(at, 1) : (be16(at) >>> 4) & 0xff;
}

/** Writes 14 to 88 bytes in words that overlap rather than reach beyond. */
// @ts-expect-error: decorator
@inline
function writeTemplate(to: usize, template: usize, length: u32): void {
  if (length < 16) {
    store<u64>(to, load<u64>(template));
    store<u64>(to + length - 8, load<u64>(template + length - 8));
    return;
  }
  v128.store(to, v128.load(template));
  if (length > 32) {
    v128.store(to, v128.load(template, 16), 16);
    if (length > 48) {
      v128.store(to, v128.load(template, 32), 32);
      if (length > 64) {
        v128.store(to, v128.load(template, 48), 48);
        if (length > 80) v128.store(to, v128.load(template, 64), 64);
      }
    }
  }
  v128.store(to + length - 16, v128.load(template + length - 16));
}

/** The inner header after decapsulation: ECN by RFC 6040, DSCP of the outer header in the uniform model (RFC 2983 §4.2). */
function setInnerClass(at: usize, action: u32, ecn: u32, outerClass: u32): void {
  const before = trafficClass(at);
  let after = action & ACTION_ECN_DECAP ? (before & 0xfc) | ecn : before;
  if (action & ACTION_DSCP_DECAP) after = (after & 3) | (outerClass & 0xfc);
  if (after == before) return;
  if (action & ACTION_INNER_IPV4) {
    const word = be16(at);
    setBe16(at, (word & 0xff00) | after);
    updateChecksum(at + 10, word, (word & 0xff00) | after);
  } else {
    setBe16(at, (be16(at) & 0xf00f) | (after << 4));
  }
}

// @ts-expect-error: decorator
@inline
function decrementTtl(at: usize, action: u32): void {
  if (action & ACTION_INNER_IPV4) {
    const word = be16(at + 8);
    setBe16(at + 8, word - 0x100);
    updateChecksum(at + 10, word, word - 0x100);
  } else {
    store<u8>(at, load<u8>(at, 7) - 1, 7);
  }
}

/** Length, identification, DSCP/ECN and checksum of the outer header that the template brought. */
// @ts-expect-error: decorator
@inline
function patchOuter(at: usize, entry: usize, action: u32, network: usize, newLength: u32): void {
  const ipOffset = <u32>load<u8>(entry, ENTRY_TEMPLATE_IP);
  const ip = at + ipOffset;
  let outerClass = trafficClass(ip);
  if (action & (ACTION_INNER_IPV4 | ACTION_INNER_IPV6)) {
    const innerClass = trafficClass(network);
    const mode = (action & ACTION_ECN_MODE_MASK) >>> ACTION_ECN_MODE_SHIFT;
    if (mode != ECN_MODE_ZERO) {
      const ecn = innerClass & 3;
      outerClass |= mode == ECN_MODE_LINUX && ecn == 3 ? 2 : ecn;
    }
    if (action & ACTION_DSCP_COPY) outerClass = (outerClass & 3) | (innerClass & 0xfc);
  }
  if (action & ACTION_PATCH_IPV4) {
    const counter = <usize>load<u32>(CONTROL_NODES) + <usize>load<u16>(entry, ENTRY_NODE) * NODE_SIZE;
    const identification = load<u32>(counter);
    store<u32>(counter, identification + 1);
    const totalLength = newLength - ipOffset;
    store<u8>(ip, <u8>outerClass, 1);
    setBe16(ip + 2, totalLength);
    setBe16(ip + 4, identification);
    setBe16(ip + 10, ~fold(<u32>load<u16>(entry, ENTRY_CHECKSUM_BASE) + outerClass + totalLength + (identification & 0xffff)));
  } else {
    setBe16(ip, (be16(ip) & 0xf00f) | (outerClass << 4));
    setBe16(ip + 4, newLength - ipOffset - 40);
  }
}
