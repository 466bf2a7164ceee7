// Which flow entries may go: those that were idle for longer than their state allows, and, when the table is full, those that
// a newcomer may replace.
//
// An entry is a cached decision and no connection: whoever loses it is decided again, with the same result. So nothing depends on
// when an entry goes, apart from speed, and the aim is to keep those that will be used again. A scan brings flows of one
// packet, each unlike all others; were the longest idle entry to go, a scan would push out every flow that pauses for
// a moment. Therefore (segmented LRU; a clock hand in the place of lists, so that packets that hit cost nothing):
//
//   new          one packet so far, or closing: go first, in the order in which the hand comes by
//   established  seen to have come back; go, the longest idle of those looked at, only while they are more than
//                three quarters of the table; that is, only because other flows have established themselves
//
//   entries   [new][est][est][free][new][est] …     the hand goes round in the order of addresses; who gets the place of a
//                   ▲ hand ──►                      victim stands behind the hand, and is looked at a whole round later
//
// Work is bounded: a search looks at VICTIM_STEPS entries, and if none of them may go the newcomer stays without an entry. The
// next search goes on from there, so that a long row of established entries costs a few newcomers their entry once per round.

import {
  CONTROL_ENTRIES, CONTROL_ENTRY_CAPACITY, CONTROL_ENTRY_UNUSED, CONTROL_IDLE_TIMEOUTS, CONTROL_NOW_MS,
  ENTRY_ESTABLISHED, ENTRY_HASH, ENTRY_KEY, ENTRY_LAST_USED_MS, ENTRY_PACKETS, ENTRY_SIZE, ENTRY_TCP_FLAGS,
  FLOW_STATE_ICMP, FLOW_STATE_NEW, FLOW_STATE_OTHER, FLOW_STATE_TCP_CLOSING, FLOW_STATE_TCP_ESTABLISHED,
  FLOW_STATE_UDP, KEY_PROTOCOL, ROW_ENTRY,
} from "./layout.generated";

const VICTIM_STEPS: u32 = 64;

const PROTOCOL_ICMP: u32 = 1;
const PROTOCOL_TCP: u32 = 6;
const PROTOCOL_UDP: u32 = 17;
const PROTOCOL_ICMPV6: u32 = 58;
const TCP_FIN_OR_RST: u32 = 0x05;
const TCP_ACK: u32 = 0x10;

/** The entries last looked at; 0 before the first look. */
let sweepHand: usize = 0;
let victimHand: usize = 0;
/** Entries in the table with ENTRY.ESTABLISHED. */
let establishedCount: u32 = 0;

/** FLOW_STATE of an entry. It knows one direction of a flow, as an entry does: ACK without SYN may be a flow picked up midway. */
export function stateOf(entry: usize): u32 {
  const protocol = <u32>load<u8>(entry, ENTRY_KEY + KEY_PROTOCOL);
  const flags = <u32>load<u8>(entry, ENTRY_TCP_FLAGS);
  if (flags & TCP_FIN_OR_RST) return FLOW_STATE_TCP_CLOSING;
  if (load<u64>(entry, ENTRY_PACKETS) < 2) return FLOW_STATE_NEW;
  if (protocol == PROTOCOL_TCP) return flags & TCP_ACK ? FLOW_STATE_TCP_ESTABLISHED : FLOW_STATE_NEW;
  if (protocol == PROTOCOL_UDP) return FLOW_STATE_UDP;
  return protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6 ? FLOW_STATE_ICMP : FLOW_STATE_OTHER;
}

/** Negative where the time of a capture goes back. */
function idleMs(entry: usize): i32 {
  return <i32>(load<u32>(CONTROL_NOW_MS) - load<u32>(entry, ENTRY_LAST_USED_MS));
}

function isOverdue(entry: usize, state: u32): bool {
  return idleMs(entry) > load<i32>(CONTROL_IDLE_TIMEOUTS + (<usize>state << 2));
}

function isEstablished(state: u32): bool {
  return state != FLOW_STATE_NEW && state != FLOW_STATE_TCP_CLOSING;
}

/** Counts an entry that is seen to be established for the first time. */
function settle(entry: usize): void {
  if (load<u8>(entry, ENTRY_ESTABLISHED)) return;
  store<u8>(entry, 1, ENTRY_ESTABLISHED);
  establishedCount++;
}

/** Of every entry that leaves the table. */
export function forget(entry: usize): void {
  establishedCount -= load<u8>(entry, ENTRY_ESTABLISHED);
}

/** The entry behind this one, round and round over all that were ever used. */
function after(hand: usize): usize {
  const next = hand + ENTRY_SIZE;
  return hand && next < <usize>load<u32>(CONTROL_ENTRY_UNUSED) ? next : load<u32>(CONTROL_ENTRIES);
}

/** Looks at one entry; returns it if it was idle for too long, else 0. */
export function nextOverdue(): usize {
  sweepHand = after(sweepHand);
  if (!load<u32>(sweepHand, ENTRY_HASH)) return 0;
  const state = stateOf(sweepHand);
  if (isOverdue(sweepHand, state)) return sweepHand;
  if (isEstablished(state)) settle(sweepHand);
  return 0;
}

/** The entry that gives way to a new flow; 0 if none of those looked at may. */
export function nextVictim(): usize {
  const capacity = load<u32>(CONTROL_ENTRY_CAPACITY);
  const establishedMax = capacity - (capacity >>> 2);
  let fresh: usize = 0;
  let idlest: usize = 0;
  for (let i: u32 = 0; i < VICTIM_STEPS; i++) {
    const entry = after(victimHand);
    victimHand = entry;
    if (!load<u32>(entry, ENTRY_HASH)) continue;
    const state = stateOf(entry);
    if (!isEstablished(state) || isOverdue(entry, state)) {
      if (isInUse(entry)) continue;
      if (establishedCount <= establishedMax) return entry;
      if (!fresh) fresh = entry;
    } else {
      settle(entry);
      if ((!idlest || idleMs(entry) > idleMs(idlest)) && !isInUse(entry)) idlest = entry;
    }
  }
  return idlest && establishedCount > establishedMax ? idlest : fresh;
}

/** The packets of the group in hand: a list of their rows. The rewriting pass still needs the entries that they point to. */
let groupList: usize = 0;
let groupLength: u32 = 0;
export function setGroup(list: usize, length: u32): void {
  groupList = list;
  groupLength = length;
}

function isInUse(entry: usize): bool {
  for (let i: u32 = 0; i < groupLength; i++) {
    const row: usize = load<u32>(groupList + (<usize>i << 2));
    if (<usize>load<u32>(row, ROW_ENTRY) == entry) return true;
  }
  return false;
}
