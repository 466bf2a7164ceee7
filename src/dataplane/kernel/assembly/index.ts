// The kernel: the unified flow table and what is done to every packet that has an entry there. It knows bytes, keys, templates
// and counters; it knows no policy and no name. TypeScript drives it so:
//
//   fill rows 0 … n−1, begin(n)
//   while ((unresolved = advance()) > 0)
//     for each row in the unresolved list: find(row), or decide it and fill install(row) or transient()
//   while responders have made frames
//     for each: inject(cause) and write it, send(row, entry with the output) or enter(row, port)
//     advance() as before
//   … the burst is done: verdicts in the rows, frames in the streams, counts in the counters
//
// A burst goes through the nodes of the engine in rounds: all packets pass one node, those that reached another node's
// port pass that one in the next round. Within a round packets are handled in groups: all keys of the group are made and their
// buckets touched before the first is looked up, so that cache misses overlap. The first packet that needs the slow path, and
// all behind it, wait until the whole group is resolved, so that frames leave in order.

import { setGroup, stateOf } from "./ageing";
import { be16 } from "./bytes";
import { candidate, discard as discardEntry, expire, find as findEntry, firstBucket, hashKey, hasOtherKey, install as installEntry, isCurrent, keyChunks, stampSum } from "./flow-table";
import {
  ACTION_ADDRESS, ACTION_DECREMENT_TTL, ACTION_GUARD_PADDING, ACTION_GUARD_SYN, ACTION_INNER_IPV4, ACTION_KEEP_MASK, ACTION_TCP_END_GUARD, CAUSE_GUARD, CAUSE_MISS,
  CAUSE_STALE, CAUSE_UNKEYED,
  CONTROL_COPY_BYTES, CONTROL_COPY_ROWS, CONTROL_FAN_OUT, CONTROL_GUARDED, CONTROL_HITS, CONTROL_IN, CONTROL_KEYS, CONTROL_LIST_CURRENT, CONTROL_LIST_NEXT,
  CONTROL_LIST_UNRESOLVED, CONTROL_MISSES, CONTROL_ONE_NODE_BURSTS, CONTROL_ROWS, CONTROL_ROW_COUNT, CONTROL_STALE, CONTROL_TRANSIENTS,
  ENTRY_ACTION, ENTRY_LIMIT, ENTRY_SIZE, ENTRY_TRANSPORT, GROUP_SIZE, KEEP_INNER_NETWORK, KEY_SIZE, KIND_UNKEYED, PORT_BURST_ENDS_ABOVE,
  PORT_FLAGS, PORT_FLAG_BURST_ENDS_AT_SYN, PORT_FLAG_TUNNEL, PORT_NODE, PORT_RX_STREAM, ROW_CAUSE, ROW_ENTRY, ROW_HASH, ROW_HOPS, ROW_INNER_NETWORK, ROW_KEEP_END,
  ROW_KIND, ROW_LENGTH, ROW_NETWORK, ROW_OFFSET, ROW_PORT, ROW_SIZE, ROW_TCP_FLAGS, ROW_TIMESTAMP, TRANSIENT_COUNT,
  TRANSPORT_CHECKSUM_MASK,
} from "./layout.generated";
import { parse, transportHeader } from "./parse";
import { carryOut, copyToStream, countReceived, enter, inject, portAt, resetArena, takeNextCount } from "./rewrite";

export { enter, expire, inject, stampSum, stateOf };

/** Addresses of rows, 4 bytes each: the packets of this round. */
let list: usize = 0;
let count: u32 = 0;
/** The group in hand begins here in the list; its first `carriedOut` packets are done. */
let position: u32 = 0;
let groupCount: u32 = 0;
let carriedOut: u32 = 0;
let transientCount: u32 = 0;

// @ts-expect-error: decorator
@inline
function rowInGroup(i: u32): usize {
  return rowOf(position + i);
}

// @ts-expect-error: decorator
@inline
function keyOf(i: u32): usize {
  return <usize>load<u32>(CONTROL_KEYS) + <usize>i * KEY_SIZE;
}

// @ts-expect-error: decorator
@inline
function add(at: usize, n: u64): void {
  store<u64>(at, load<u64>(at) + n);
}

/** Takes rows 0 … n−1, whose frame, port, time and sequence the caller has set, as the next burst. */
export function begin(n: u32): void {
  resetArena();
  takeNextCount();
  list = load<u32>(CONTROL_LIST_CURRENT);
  let row: usize = load<u32>(CONTROL_ROWS);
  for (let i: u32 = 0; i < n; i++) {
    store<u16>(row, 0, ROW_HOPS); // and VERDICT
    store<u32>(list + (<usize>i << 2), <u32>row);
    row += ROW_SIZE;
  }
  add(CONTROL_IN, n);
  store<u32>(CONTROL_ROW_COUNT, n);
  count = n;
  position = 0;
  groupCount = 0;
  carriedOut = 0;
}

/**
 * How many of rows 0 … n−1 may go together: those before the first whose time is not before `untilNs`, up to the first that may enter its
 * port again, as long as room is left for all copies that they may become, a packet to many as many as `CONTROL_FAN_OUT`, and with
 * `CONTROL_ONE_NODE_BURSTS` those that enter the same node as the first. At least one.
 */
export function span(n: u32, untilNs: u64): u32 {
  const fanOut = load<u32>(CONTROL_FAN_OUT);
  let rowsLeft: i64 = load<u32>(CONTROL_COPY_ROWS);
  let bytesLeft: i64 = load<u32>(CONTROL_COPY_BYTES);
  let row: usize = load<u32>(CONTROL_ROWS);
  const node = load<u32>(CONTROL_ONE_NODE_BURSTS) ? load<u32>(portAt(load<u16>(row, ROW_PORT)), PORT_NODE) : ANY_NODE;
  for (let i: u32 = 0; i < n; i++, row += ROW_SIZE) {
    if (load<u64>(row, ROW_TIMESTAMP) >= untilNs && i) return i;
    const port = portAt(load<u16>(row, ROW_PORT));
    if (node != ANY_NODE && load<u32>(port, PORT_NODE) != node) return i;
    if (isToMany(row, port)) {
      rowsLeft -= fanOut;
      bytesLeft -= <i64>(load<u32>(row, ROW_LENGTH) + FAN_OUT_GROWTH) * fanOut;
      if ((rowsLeft < 0 || bytesLeft < 0) && i) return i;
    }
    if (mayEnterAgain(row, port)) return i + 1;
  }
  return n;
}

const ANY_NODE: u32 = 0xffff_ffff;

/** What a copy may grow by, headroom and alignment included. */
const FAN_OUT_GROWTH: u32 = 256;

/** Does the Ethernet header of the frame, or of one that NVGRE carries in it, name a group? A guess that errs on the side of many. */
function isToMany(row: usize, port: usize): bool {
  const frame: usize = load<u32>(row, ROW_OFFSET);
  const length = load<u32>(row, ROW_LENGTH);
  if (length < 14) return false;
  if (load<u8>(frame) & 1) return true;
  if (!(load<u32>(port, PORT_FLAGS) & PORT_FLAG_TUNNEL)) return false;
  const ip: u32 = be16(frame + 12) == TPID_CTAG ? 18 : 14;
  if (length < ip + 1) return false;
  const version = load<u8>(frame + ip) >>> 4;
  const gre = ip + (version == 4 ? (<u32>load<u8>(frame + ip) & 15) << 2 : 40);
  return length > gre + 8 && (load<u8>(frame + gre + 8) & 1) != 0 && be16(frame + gre + 2) == TRANSPARENT_ETHERNET;
}

const TPID_CTAG: u32 = 0x8100;
const TRANSPARENT_ETHERNET: u32 = 0x6558;

/** Might the node send the frame through its port again, changed or in pieces? Those must go before later packets. */
function mayEnterAgain(row: usize, port: usize): bool {
  if (load<u32>(row, ROW_LENGTH) > load<u32>(port, PORT_BURST_ENDS_ABOVE)) return true;
  return (load<u32>(port, PORT_FLAGS) & PORT_FLAG_BURST_ENDS_AT_SYN) != 0 && mayBeSyn(row);
}

/** A guess that errs on the side of yes: of IPv6 with extension headers it only sees that there are some. */
function mayBeSyn(row: usize): bool {
  const frame: usize = load<u32>(row, ROW_OFFSET);
  const length = load<u32>(row, ROW_LENGTH);
  if (length < 18) return false;
  const ip: u32 = be16(frame + 12) == TPID_CTAG ? 18 : 14;
  if (length < ip + 20) return false;
  const isVersion4 = load<u8>(frame + ip) >>> 4 == 4;
  if (isVersion4 ? load<u8>(frame + ip + 9) != PROTOCOL_TCP : load<u8>(frame + ip + 6) == PROTOCOL_UDP) return false;
  if (!isVersion4 && load<u8>(frame + ip + 6) != PROTOCOL_TCP) return true;
  const tcp = ip + (isVersion4 ? (<u32>load<u8>(frame + ip) & 15) << 2 : 40);
  return length > tcp + 13 && (load<u8>(frame + tcp + 13) & TCP_SYN) != 0;
}

const PROTOCOL_TCP: u32 = 6;
const PROTOCOL_UDP: u32 = 17;

/** Goes on until a group has rows that only the slow path can decide, and returns how many (0: the burst is done). */
export function advance(): u32 {
  while (true) {
    for (let i = carriedOut; i < groupCount; i++) {
      const row = rowInGroup(i);
      carryOut(row, load<u32>(row, ROW_ENTRY));
    }
    position += groupCount;
    if (position >= count) {
      count = takeNextCount();
      if (count == 0) {
        groupCount = 0; // the caller may send frames on and come back
        carriedOut = 0;
        return 0;
      }
      const next: u32 = load<u32>(CONTROL_LIST_NEXT);
      store<u32>(CONTROL_LIST_NEXT, <u32>list);
      store<u32>(CONTROL_LIST_CURRENT, next);
      list = next;
      position = 0;
    }
    groupCount = min<u32>(GROUP_SIZE, count - position);
    const unresolved = resolveGroup();
    if (unresolved) return unresolved;
  }
}

/**
 * Looks up the packets of the group, and carries out those before the first that has no usable entry; lists all that have
 * none.
 */
function resolveGroup(): u32 {
  transientCount = 0;
  setGroup(list + (<usize>position << 2), groupCount);

  const first = list + (<usize>position << 2);
  const end = first + (<usize>groupCount << 2);

  // 1. Keys and hashes. Neighbours mostly come through one port: they are counted together.
  let key: usize = load<u32>(CONTROL_KEYS);
  let port: u32 = load<u16>(load<u32>(first), ROW_PORT);
  let portRecord = portAt(port);
  let packets: u32 = 0;
  let bytes: u32 = 0;
  for (let at = first; at < end; at += 4) {
    const row: usize = load<u32>(at);
    if (port != <u32>load<u16>(row, ROW_PORT)) {
      countReceived(portRecord, packets, bytes);
      packets = 0;
      bytes = 0;
      port = load<u16>(row, ROW_PORT);
      portRecord = portAt(port);
    }
    packets++;
    bytes += load<u32>(row, ROW_LENGTH);
    const watcher: usize = load<u32>(portRecord, PORT_RX_STREAM);
    if (watcher) copyToStream(watcher, row);

    const kind = parse(row, key, port, (load<u32>(portRecord, PORT_FLAGS) & PORT_FLAG_TUNNEL) != 0);
    const hash: u32 = kind == KIND_UNKEYED ? 0 : hashKey(key, kind);
    store<u64>(row, (<u64>kind << KIND_SHIFT) | hash, ROW_HASH); // REASON, CAUSE and QUEUE are cleared
    key += KEY_SIZE;
  }
  countReceived(portRecord, packets, bytes);

  // 2. Touch the buckets. Only in a loop as short as this one do the cache misses of many packets overlap.
  for (let at = first; at < end; at += 4) load<u32>(firstBucket(load<u32>(load<u32>(at), ROW_HASH)));

  // 3. Touch the entries that the tags point to.
  for (let at = first; at < end; at += 4) {
    const row: usize = load<u32>(at);
    const hash = load<u32>(row, ROW_HASH);
    const entry: usize = hash ? candidate(hash) : 0;
    store<u32>(row, <u32>entry, ROW_ENTRY);
    if (entry) {
      load<u32>(entry);
      load<u32>(entry, CACHE_LINE);
    }
  }

  // 4. Compare keys, check that the decision is current and holds for this packet, and do what it says.
  const unresolvedList: usize = load<u32>(CONTROL_LIST_UNRESOLVED);
  let unresolved: u32 = 0;
  carriedOut = groupCount;
  key = load<u32>(CONTROL_KEYS);
  for (let at = first; at < end; at += 4, key += KEY_SIZE) {
    const row: usize = load<u32>(at);
    const hash = load<u32>(row, ROW_HASH);
    let cause = CAUSE_UNKEYED;
    if (hash) {
      let entry: usize = load<u32>(row, ROW_ENTRY);
      if (!entry || hasOtherKey(entry, key)) {
        entry = findEntry(key, hash);
        store<u32>(row, <u32>entry, ROW_ENTRY);
      }
      cause = judge(row, entry);
      if (cause == RESOLVED) {
        if (!unresolved) carryOut(row, entry);
        continue;
      }
    }
    const place = <u32>((at - list) >>> 2);
    if (!unresolved) carriedOut = place - position;
    store<u32>(row, 0, ROW_ENTRY);
    store<u8>(row, <u8>cause, ROW_CAUSE);
    store<u32>(unresolvedList + (<usize>unresolved << 2), place);
    unresolved++;
  }
  add(CONTROL_HITS, groupCount - unresolved);
  return unresolved;
}

const CACHE_LINE: usize = 64;
const RESOLVED: u32 = 255;
const TCP_SYN: u32 = 0x02;
/** KIND in the 64-bit word that begins with HASH. */
const KIND_SHIFT: u64 = (ROW_KIND - ROW_HASH) * 8;

/** May the entry decide this packet? RESOLVED, or the cause why not. */
// @ts-expect-error: decorator
@inline
function judge(row: usize, entry: usize): u32 {
  if (!entry || !isCurrent(entry)) return CAUSE_MISS;
  const action = load<u32>(entry, ENTRY_ACTION);
  const inner = (action & ACTION_KEEP_MASK) == KEEP_INNER_NETWORK;
  const network = <u32>(inner ? load<u16>(row, ROW_INNER_NETWORK) : load<u16>(row, ROW_NETWORK));
  const stay = (inner ? load<u32>(row, ROW_KEEP_END) : load<u32>(row, ROW_LENGTH)) - network;
  const limit = <u32>load<u16>(entry, ENTRY_LIMIT);
  if (stay > limit) return CAUSE_GUARD; // no keyed packet is longer than 0xffff, which stands for any length
  if (action & (ACTION_DECREMENT_TTL | ACTION_ADDRESS | ACTION_GUARD_SYN)) return judgeRare(row, entry, network, stay, action);
  return RESOLVED;
}

/** The guards that few flows have. */
// @ts-expect-error: decorator
@inline
function judgeRare(row: usize, entry: usize, network: u32, stay: u32, action: u32): u32 {
  if (action & (ACTION_GUARD_SYN | ACTION_GUARD_PADDING)) {
    if (action & ACTION_GUARD_SYN && load<u8>(row, ROW_TCP_FLAGS) & TCP_SYN) return CAUSE_GUARD;
    if (action & ACTION_GUARD_PADDING && stay != packetLength(<usize>load<u32>(row, ROW_OFFSET) + network, action)) return CAUSE_GUARD;
  }
  if (action & (ACTION_DECREMENT_TTL | ACTION_ADDRESS)) {
    const at: usize = load<u32>(row, ROW_OFFSET) + network;
    if (action & ACTION_DECREMENT_TTL) {
      const ttl = action & ACTION_INNER_IPV4 ? load<u8>(at, 8) : load<u8>(at, 7);
      if (ttl <= 1) return CAUSE_GUARD;
    }
    if (action & ACTION_ADDRESS) {
      if (action & ACTION_TCP_END_GUARD && load<u8>(row, ROW_TCP_FLAGS) & TCP_FIN_OR_RST) return CAUSE_GUARD;
      if (!showsTransport(at, at + stay, entry)) return CAUSE_GUARD;
    }
  }
  return RESOLVED;
}

/** Of the IP packet at `at`, by its own word. */
function packetLength(at: usize, action: u32): u32 {
  return action & ACTION_INNER_IPV4 ? be16(at + 2) : be16(at + 4) + 40;
}

const TCP_FIN_OR_RST: u32 = 0x05;

/** Is all that new addresses change behind the IP header in the packet? */
function showsTransport(at: usize, end: usize, entry: usize): bool {
  const change = <u32>load<u8>(entry, ENTRY_TRANSPORT);
  return !change || transportHeader(at, end, (change & TRANSPORT_CHECKSUM_MASK) + 2) != 0;
}

/** The address of an unresolved packet's row, by its place in the current list. */
// @ts-expect-error: decorator
@inline
export function rowOf(place: u32): usize {
  return load<u32>(list + (<usize>place << 2));
}

/**
 * Looks an unresolved packet up again, after earlier ones of the burst may have brought its entry, and counts it as hit, miss or
 * guarded. True if the entry now decides it.
 */
export function resolve(place: u32): bool {
  const row = rowOf(place);
  const cause = <u32>load<u8>(row, ROW_CAUSE);
  if (cause == CAUSE_MISS) {
    const entry = findEntry(keyOf(place - position), load<u32>(row, ROW_HASH));
    const again = judge(row, entry);
    if (again == RESOLVED) {
      store<u32>(row, <u32>entry, ROW_ENTRY);
      add(CONTROL_HITS, 1);
      return true;
    }
    const isStale = entry != 0 && again == CAUSE_MISS;
    store<u8>(row, <u8>(isStale ? CAUSE_STALE : again), ROW_CAUSE);
    if (isStale) add(CONTROL_STALE, 1);
    add(again == CAUSE_GUARD ? CONTROL_GUARDED : CONTROL_MISSES, 1);
    return false;
  }
  add(cause == CAUSE_GUARD ? CONTROL_GUARDED : CONTROL_MISSES, 1);
  return false;
}

/**
 * An entry under the packet's key for the caller to fill, with a chain of further ones if it has several outputs, already bound to the
 * packet; 0 if there is no room.
 */
export function install(place: u32, outputs: u32): usize {
  const row = rowOf(place);
  const entry = installEntry(keyOf(place - position), keyChunks(load<u8>(row, ROW_KIND)), load<u32>(row, ROW_HASH), outputs);
  if (entry) store<u32>(row, <u32>entry, ROW_ENTRY);
  return entry;
}

/** Takes the packet's outdated entry out of the table. */
export function discard(place: u32): void {
  const row = rowOf(place);
  discardEntry(keyOf(place - position), load<u32>(row, ROW_HASH));
}

/** A cleared entry outside of the table, good until the group is rewritten; 0 if no more than `reserve` are left. */
export function transient(reserve: u32): usize {
  if (transientCount + reserve >= TRANSIENT_COUNT) return 0;
  const entry = <usize>load<u32>(CONTROL_TRANSIENTS) + <usize>transientCount * ENTRY_SIZE;
  transientCount++;
  memory.fill(entry, 0, ENTRY_SIZE);
  return entry;
}

/** Carries out an entry on the packet of a row that is in no list, such as an injected one. */
export function send(row: usize, entry: usize): void {
  carryOut(row, entry);
}

/** Binds an unresolved packet to an entry. */
export function bind(place: u32, entry: usize): void {
  store<u32>(rowOf(place), <u32>entry, ROW_ENTRY);
}
