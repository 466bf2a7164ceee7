// Carries out a flow entry on a packet: replaces everything before what stays by the entry's template, patches what depends on
// the packet, and sends the frame on, in place, into a slot with headroom, or straight into a capture stream.
//
//   before   [outer headers | inner Ethernet][inner IP … ]        KEEP = INNER_NETWORK: decapsulation
//            [Ethernet, tag                 ][IP … ]              KEEP = NETWORK: encapsulation, routing
//                                            └── what stays: `stay` bytes, written once or not at all
//   after    [template, 14 to 88 bytes      ][IP … ]

import { be16, copy, fold, setBe16, updateChecksum } from "./bytes";
import {
  ACTION_ADDRESS, ACTION_CLASS_SHIFT, ACTION_DECREMENT_TTL, ACTION_DSCP_DECAP, ACTION_ECN_DECAP, ACTION_ECN_LINUX,
  ACTION_INNER_IPV4, ACTION_INNER_IPV6, ACTION_KEEP_MASK, ACTION_KEY_CHUNKS_MASK, ACTION_KEY_CHUNKS_SHIFT,
  ACTION_OUTER_TAGGED, ACTION_PATCH_IPV4, ACTION_PATCH_IPV6, ACTION_REPLICATE, ACTION_VERDICT_MASK,
  ACTION_VERDICT_SHIFT, CONTROL_ARENA, CONTROL_ARENA_END, CONTROL_ARENA_FULL, CONTROL_CONSUMED, CONTROL_COPIES,
  CONTROL_DELIVERED, CONTROL_DROPPED, CONTROL_DROPS, CONTROL_EMITTED, CONTROL_INJECTED, CONTROL_LIST_NEXT,
  CONTROL_NODES, CONTROL_NOW_MS, CONTROL_PASSED, CONTROL_PORTS, CONTROL_ROWS, CONTROL_ROW_CAPACITY, CONTROL_ROW_COUNT,
  DROPS_PER_PORT, ENTRY_ACTION, ENTRY_BYTES, ENTRY_CHECKSUM_BASE, ENTRY_HEADER_DELTA, ENTRY_KEY, ENTRY_LAST_USED_MS,
  ENTRY_NEW_ADDRESSES, ENTRY_NEW_PORTS, ENTRY_NEXT_OUTPUT, ENTRY_NODE, ENTRY_OUTPUT, ENTRY_PACKETS, ENTRY_QUEUE,
  ENTRY_REASON, ENTRY_TCP_FLAGS, ENTRY_TEMPLATE_LENGTH, ENTRY_TRANSPORT, ENTRY_TRANSPORT_DELTA, HOPS_MAX, KEEP_FRAME,
  KEEP_INNER_NETWORK, NODE_SIZE, NO_PORT, PORT_PEER, PORT_RX_BYTES, PORT_RX_PACKETS, PORT_SIZE, PORT_TX_BYTES,
  PORT_TX_PACKETS, PORT_TX_STREAM, READ_ONLY, REASON_HOP_LIMIT, REASON_RESOURCES, REASON_RX_ECN, ROW_HEADROOM,
  ROW_HOPS, ROW_INNER_NETWORK, ROW_KEEP_END, ROW_LENGTH, ROW_MISSING, ROW_NETWORK, ROW_OFFSET, ROW_PORT, ROW_QUEUE,
  ROW_REASON, ROW_SEQUENCE, ROW_SIZE, ROW_SOURCE, ROW_TAG, ROW_TCP_FLAGS, ROW_TIMESTAMP, ROW_VERDICT, SLOT_HEADROOM,
  STREAM_CURSOR, STREAM_DISORDERED, STREAM_END, STREAM_GAP, STREAM_ITEM_LENGTH, STREAM_ITEM_MISSING,
  STREAM_ITEM_OFFSET, STREAM_ITEM_ORDER, STREAM_ITEM_ROW, STREAM_ITEM_SEQUENCE, STREAM_ITEM_SIZE, STREAM_ITEM_SOURCE,
  STREAM_ITEM_TAG, STREAM_ITEM_TIMESTAMP, STREAM_LAST_SEQUENCE, STREAM_LIST, STREAM_LIST_CAPACITY, STREAM_LIST_COUNT,
  STREAM_OVERFLOW, TRANSPORT_CHECKSUM_MASK, TRANSPORT_NEW_IDENTIFIER, TRANSPORT_NEW_PORTS, TRANSPORT_ZERO_IS_NONE,
  VERDICT_CONSUMED, VERDICT_DELIVERED, VERDICT_DROPPED, VERDICT_PASSED, VERDICT_PENDING,
} from "./layout.generated";
import { transportHeader } from "./parse";

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

/** Counts frames that enter a node at the port with this record. */
// @ts-expect-error: decorator
@inline
export function countReceived(port: usize, packets: u32, bytes: u32): void {
  store<u64>(port, load<u64>(port, PORT_RX_PACKETS) + packets, PORT_RX_PACKETS);
  store<u64>(port, load<u64>(port, PORT_RX_BYTES) + bytes, PORT_RX_BYTES);
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

/** A copy of the frame for whoever watches a port. */
export function copyToStream(stream: usize, row: usize): void {
  const length = load<u32>(row, ROW_LENGTH);
  const at = streamRoom(stream, length);
  if (!at) return;
  copy(at, load<u32>(row, ROW_OFFSET), length);
  listInStream(stream, row, at, length);
}

/** A slot of the arena for `length` bytes; 0 if the arena is used up. */
// @ts-expect-error: decorator
@inline
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

/** Carries out an entry on a packet: ends it, or sends it and its copies on. */
// @ts-expect-error: decorator
@inline
export function carryOut(row: usize, entry: usize): void {
  const action = load<u32>(entry, ENTRY_ACTION);
  store<u64>(entry, load<u64>(entry, ENTRY_PACKETS) + 1, ENTRY_PACKETS);
  store<u64>(entry, load<u64>(entry, ENTRY_BYTES) + load<u32>(row, ROW_LENGTH), ENTRY_BYTES);
  store<u32>(entry, load<u32>(CONTROL_NOW_MS), ENTRY_LAST_USED_MS);
  store<u8>(entry, load<u8>(entry, ENTRY_TCP_FLAGS) | load<u8>(row, ROW_TCP_FLAGS), ENTRY_TCP_FLAGS);

  if (action & (ACTION_VERDICT_MASK | ACTION_REPLICATE)) {
    const verdict = (action & ACTION_VERDICT_MASK) >>> ACTION_VERDICT_SHIFT;
    if (verdict != VERDICT_PENDING) {
      end(row, verdict, load<u8>(entry, ENTRY_REASON));
      return;
    }
    replicate(row, load<u32>(entry, ENTRY_NEXT_OUTPUT));
  }
  forward(row, entry, action);
}

/** Sends copies of the packet on, one for each entry of the chain, or drops them. */
function replicate(row: usize, output: usize): void {
  for (; output; output = load<u32>(output, ENTRY_NEXT_OUTPUT)) {
    const action = load<u32>(output, ENTRY_ACTION);
    if (action & ACTION_VERDICT_MASK) {
      dropCopies(row, load<u16>(output, ENTRY_OUTPUT), load<u8>(output, ENTRY_REASON));
      continue;
    }
    const twin = duplicate(row);
    increment(CONTROL_COPIES);
    if (twin) forward(twin, output, action);
    else countDrop(row, REASON_RESOURCES);
  }
}

/** Copies that cannot be sent. Those that find no row are counted all the same. */
function dropCopies(row: usize, copies: u32, reason: u32): void {
  for (; copies; copies--) {
    const twin = duplicate(row);
    increment(CONTROL_COPIES);
    if (twin) drop(twin, reason);
    else countDrop(row, reason);
  }
}

function end(row: usize, verdict: u32, reason: u32): void {
  if (verdict == VERDICT_DROPPED) {
    drop(row, reason);
    return;
  }
  store<u8>(row, <u8>verdict, ROW_VERDICT);
  store<u8>(row, <u8>reason, ROW_REASON);
  increment(verdict == VERDICT_PASSED ? CONTROL_PASSED : CONTROL_CONSUMED);
  if (reason) increment(<usize>load<u32>(CONTROL_DROPS) + ((<usize>load<u16>(row, ROW_PORT) * DROPS_PER_PORT + reason) << 3));
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

/**
 * A further row for a frame of `length` octets that a responder has made because of the packet in row `cause`, whose time and place in
 * the order it takes. The caller writes the frame at OFFSET. 0, with the frame counted as dropped, if there is no room for it,
 * or if the packets that bring forth one another have passed too many nodes.
 */
export function inject(cause: usize, length: u32): usize {
  increment(CONTROL_INJECTED);
  const row = duplicate(cause);
  if (!row) {
    countDrop(cause, REASON_RESOURCES);
    return 0;
  }
  const hops = <u32>load<u8>(cause, ROW_HOPS) + 1;
  store<u16>(row, <u16>hops, ROW_HOPS); // and VERDICT
  store<u32>(row, length, ROW_LENGTH);
  store<u32>(row, 0, ROW_MISSING);
  store<u32>(row, 0, ROW_REASON); // and KIND, CAUSE, QUEUE
  store<u8>(row, 0, ROW_TCP_FLAGS);
  const at: usize = hops > HOPS_MAX ? 0 : takeSlot(length);
  if (!at) {
    store<u32>(row, 0, ROW_LENGTH); // there is no frame to show
    drop(row, hops > HOPS_MAX ? REASON_HOP_LIMIT : REASON_RESOURCES);
    return 0;
  }
  memory.fill(at, 0, length); // nothing of another packet may show, whatever the caller writes
  store<u32>(row, <u32>at, ROW_OFFSET);
  store<u32>(row, SLOT_HEADROOM, ROW_HEADROOM);
  return row;
}

/** Sends the frame of a row that is in no list into a node, as if it had come to this port over a link. */
export function enter(row: usize, port: u32): void {
  store<u16>(row, <u16>port, ROW_PORT);
  store<u32>(<usize>load<u32>(CONTROL_LIST_NEXT) + (<usize>nextCount << 2), <u32>row);
  nextCount++;
}

// Inlined, as `carryOut` and the parser's `flow` are: calls cost a tenth of the hot loop's time (docs/decisions/0010).
// @ts-ignore: decorator
@inline
function forward(row: usize, entry: usize, action: u32): void {
  const frame: usize = load<u32>(row, ROW_OFFSET);
  const output = <u32>load<u16>(entry, ENTRY_OUTPUT);
  const port = portAt(output);
  const peer = load<u32>(port, PORT_PEER);
  const stream: usize = load<u32>(port, PORT_TX_STREAM);
  const keep = action & ACTION_KEEP_MASK;

  // 1. What stays, and how long the template before it is.
  let from = frame;
  let end: u32 = load<u32>(row, ROW_LENGTH);
  let templateLength: u32 = 0;
  if (keep != KEEP_FRAME) {
    templateLength = load<u8>(entry, ENTRY_TEMPLATE_LENGTH);
    if (keep == KEEP_INNER_NETWORK) {
      from += load<u16>(row, ROW_INNER_NETWORK);
      end = load<u32>(row, ROW_KEEP_END);
    } else {
      from += load<u16>(row, ROW_NETWORK);
    }
  }
  const stay = end - <u32>(from - frame);

  // 2. DSCP and ECN of the header that goes on. RFC 6040 §4.2: may the congestion mark be dropped with the outer header?
  let oldClass: u32 = 0;
  let newClass: u32 = 0;
  if (action & (ACTION_INNER_IPV4 | ACTION_INNER_IPV6)) {
    oldClass = action & ACTION_INNER_IPV4 ? <u32>load<u8>(from, 1) : (be16(from) >>> 4) & 0xff;
    newClass = oldClass;
    if (action & (ACTION_ECN_DECAP | ACTION_DSCP_DECAP)) {
      const outerClass = trafficClass(frame + load<u16>(row, ROW_NETWORK));
      if (action & ACTION_ECN_DECAP) {
        const ecn = <u32>(ECN_DECAP >>> (<u64>(((oldClass & 3) << 2) | (outerClass & 3)) << 2)) & 15;
        if (ecn == ECN_DROP) {
          drop(row, REASON_RX_ECN);
          return;
        }
        newClass = (oldClass & 0xfc) | ecn;
      }
      if (action & ACTION_DSCP_DECAP) newClass = (newClass & 3) | (outerClass & 0xfc);
    }
  }

  // 3. Where the frame goes. At most one copy: into the capture stream if there is one, and the packet goes on from there.
  const newLength = templateLength + stay;
  const before = <u32>(from - frame) + load<u32>(row, ROW_HEADROOM);
  const mayWrite = before < READ_ONLY && !(action & ACTION_REPLICATE);
  const staysHere = keep == KEEP_FRAME || (mayWrite && before >= templateLength);
  let isInStream = false;
  let at: usize;
  let headroom = READ_ONLY;
  if (staysHere && (peer != NO_PORT || !stream)) {
    at = from - templateLength;
    if (mayWrite) headroom = before - templateLength;
  } else {
    if (stream) {
      at = streamRoom(stream, newLength);
      isInStream = true;
    } else {
      at = takeSlot(newLength);
      headroom = SLOT_HEADROOM;
    }
    if (!at) {
      drop(row, REASON_RESOURCES);
      return;
    }
    copy(at + templateLength, from, stay);
  }

  // 4. The fields of the packet that change, and the template with those of its fields that depend on the packet.
  if (keep != KEEP_FRAME) {
    const network = at + templateLength;
    if (newClass != oldClass) setClass(network, action, newClass);
    if (action & (ACTION_DECREMENT_TTL | ACTION_ADDRESS)) {
      if (action & ACTION_DECREMENT_TTL) decrementTtl(network, action);
      if (action & ACTION_ADDRESS) readdress(network, network + stay, entry, action);
    }
    const template = templateOf(entry, action);
    writeTemplate(at, template, templateLength);
    if (action & (ACTION_PATCH_IPV4 | ACTION_PATCH_IPV6)) patchOuter(at, entry, template, action, newClass, newLength);
  }

  // 5. On its way.
  store<u64>(row, <u64>at | (<u64>newLength << 32), ROW_OFFSET); // and LENGTH
  store<u32>(row, headroom, ROW_HEADROOM);
  store<u8>(row, load<u8>(entry, ENTRY_QUEUE), ROW_QUEUE);
  store<u64>(port, load<u64>(port, PORT_TX_PACKETS) + 1, PORT_TX_PACKETS);
  store<u64>(port, load<u64>(port, PORT_TX_BYTES) + newLength, PORT_TX_BYTES);
  if (stream) {
    if (isInStream) listInStream(stream, row, at, newLength);
    else copyToStream(stream, row);
  }
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
  store<u32>(<usize>load<u32>(CONTROL_LIST_NEXT) + (<usize>nextCount << 2), <u32>row);
  nextCount++;
}

/** DSCP and ECN of the IP header at `at`, of either version. */
// @ts-expect-error: decorator
@inline
function trafficClass(at: usize): u32 {
  return load<u8>(at) >>> 4 == 4 ? <u32>load<u8>(at, 1) : (be16(at) >>> 4) & 0xff;
}

// @ts-expect-error: decorator
@inline
function templateOf(entry: usize, action: u32): usize {
  return entry + ENTRY_KEY + (<usize>((action & ACTION_KEY_CHUNKS_MASK) >>> ACTION_KEY_CHUNKS_SHIFT) << 4);
}

/** Writes 14 to 88 bytes in words that overlap rather than reach beyond. */
// @ts-expect-error: decorator
@inline
function writeTemplate(to: usize, template: usize, length: u32): void {
  if (length < 16) {
    const last: usize = length - 8;
    store<u64>(to, load<u64>(template));
    store<u64>(to + last, load<u64>(template + last));
    return;
  }
  const last: usize = length - 16;
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
  v128.store(to + last, v128.load(template + last));
}

/** A new DSCP and ECN in the header that goes on, after decapsulation. */
function setClass(at: usize, action: u32, after: u32): void {
  const word = be16(at);
  if (action & ACTION_INNER_IPV4) {
    setBe16(at, (word & 0xff00) | after);
    updateChecksum(at + 10, word, (word & 0xff00) | after);
  } else {
    setBe16(at, (word & 0xf00f) | (after << 4));
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

/**
 * New addresses and ports for the packet whose IP header is at `at`. What they change in sums was worked out with the decision, so
 * each checksum takes one addition (RFC 1624 §3, equation 3), in the order of bytes in memory, which one's complement does not mind.
 */
function readdress(at: usize, end: usize, entry: usize, action: u32): void {
  if (action & ACTION_INNER_IPV4) {
    store<u64>(at, load<u64>(entry, ENTRY_NEW_ADDRESSES), 12);
    store<u16>(at, <u16>changedChecksum(load<u16>(at, 10), load<u16>(entry, ENTRY_HEADER_DELTA)), 10);
  } else {
    v128.store(at, v128.load(entry, ENTRY_NEW_ADDRESSES), 8);
    v128.store(at, v128.load(entry, ENTRY_NEW_ADDRESSES + 16), 24);
  }
  const change = <u32>load<u8>(entry, ENTRY_TRANSPORT);
  if (!change) return;
  const offset = change & TRANSPORT_CHECKSUM_MASK;
  const header = transportHeader(at, end, offset + 2);
  if (!header) return;
  if (change & TRANSPORT_NEW_PORTS) store<u32>(header, load<u32>(entry, ENTRY_NEW_PORTS));
  if (change & TRANSPORT_NEW_IDENTIFIER) store<u16>(header, load<u16>(entry, ENTRY_NEW_PORTS), 4);
  const before = <u32>load<u16>(header + offset);
  if (!before && change & TRANSPORT_ZERO_IS_NONE) return;
  const after = changedChecksum(before, load<u16>(entry, ENTRY_TRANSPORT_DELTA));
  store<u16>(header + offset, <u16>(!after && change & TRANSPORT_ZERO_IS_NONE ? 0xffff : after));
}

// @ts-expect-error: decorator
@inline
function changedChecksum(before: u32, delta: u32): u32 {
  return ~fold((~before & 0xffff) + delta) & 0xffff;
}

/**
 * Length, identification, DSCP/ECN and checksum of the outer header that the template brought. `innerClass`: DSCP and ECN of
 * the header inside. The header's first 8 octets are taken from the template again, where these fields are zero, and
 * written as one word; reading them back from the frame would wait for the stores before.
 */
// @ts-expect-error: decorator
@inline
function patchOuter(at: usize, entry: usize, template: usize, action: u32, innerClass: u32, newLength: u32): void {
  const ipOffset: usize = action & ACTION_OUTER_TAGGED ? 18 : 14;
  const ip = at + ipOffset;
  let outerClass = innerClass & (action >>> ACTION_CLASS_SHIFT);
  if (action & ACTION_ECN_LINUX && (outerClass & 3) == 3) outerClass ^= 1;
  const ipLength = newLength - <u32>ipOffset;
  const head = load<u64>(template + ipOffset);
  if (action & ACTION_PATCH_IPV4) {
    const counter = <usize>load<u32>(CONTROL_NODES) + <usize>load<u16>(entry, ENTRY_NODE) * NODE_SIZE;
    const identification = load<u32>(counter);
    store<u32>(counter, identification + 1);
    // As they lie in memory: TOS is the second octet, length and identification are swapped. The sum does not mind (RFC 1071 §2).
    const tos = outerClass << 8;
    const length = <u32>bswap<u16>(<u16>ipLength);
    const id = <u32>bswap<u16>(<u16>identification);
    store<u64>(ip, head | <u64>tos | (<u64>length << 16) | (<u64>id << 32));
    store<u16>(ip, <u16>~fold(<u32>load<u16>(entry, ENTRY_CHECKSUM_BASE) + tos + length + id), 10);
  } else {
    const length = <u64>bswap<u16>(<u16>(ipLength - 40));
    const class6 = (outerClass >>> 4) | ((outerClass & 15) << 12);
    store<u64>(ip, head | <u64>class6 | (length << 32));
  }
}
