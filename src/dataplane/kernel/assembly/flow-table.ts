// The unified flow table: keys to entries, bounded, with eviction by age.
//
//   hash ──► bucket (64 bytes):  [tag ×8][entry ×8]      a second bucket is tried when the first has no match
//                                          │
//                                          ▼
//                                entry (256 bytes): action, counters, key, template; stamps
//
// A tag is the full 32-bit hash, so that almost no entry is opened in vain. Each key may live in two buckets; if both are full, one
// of their entries moves to its other bucket. There are twice as many slots as entries, so entries run out long before slots do;
// which of them then gives way is the business of `ageing.ts`.

import { forget, nextOverdue, nextVictim } from "./ageing";
import {
  ACTION_KEY_CHUNKS_MASK, ACTION_KEY_CHUNKS_SHIFT, BUCKET_SIZE, BUCKET_SLOTS, CONTROL_BUCKETS, CONTROL_BUCKET_MASK,
  CONTROL_ENTRIES_END, CONTROL_ENTRY_CAPACITY, CONTROL_ENTRY_COUNT, CONTROL_ENTRY_FREE, CONTROL_ENTRY_UNUSED, CONTROL_EVICTIONS,
  CONTROL_EXPIRED, CONTROL_GENERATION, CONTROL_NOW_MS, CONTROL_QUEUE_COUNTS, CONTROL_REVALIDATIONS, CONTROL_STAMPS, CONTROL_UNCACHED,
  ENTRY_ACTION, ENTRY_GENERATION, ENTRY_HASH, ENTRY_KEY, ENTRY_LAST_USED_MS, ENTRY_NEXT_OUTPUT, ENTRY_PACKETS, ENTRY_QUEUE,
  ENTRY_SIZE, ENTRY_STAMPS, ENTRY_STAMP_SUM, KEY_LENGTH_1, KEY_LENGTH_2, KEY_LENGTH_3, KEY_LENGTH_4, KEY_LENGTH_5, KEY_LENGTH_6,
  KEY_LENGTH_7, KEY_LENGTH_8, KEY_LENGTH_9, KEY_LENGTH_10, KEY_LENGTH_11, KEY_LENGTH_12, KEY_LENGTH_13, KEY_PORT, KIND_IPV4, QUEUES_PER_PORT,
} from "./layout.generated";

const ENTRY_OF_SLOT: u32 = BUCKET_SLOTS * 4;

/** Key lengths by kind in units of 16 bytes, a nibble each. */
const CHUNKS: u64 =
  (<u64>(KEY_LENGTH_1 >>> 4) << 4) | (<u64>(KEY_LENGTH_2 >>> 4) << 8) | (<u64>(KEY_LENGTH_3 >>> 4) << 12) |
  (<u64>(KEY_LENGTH_4 >>> 4) << 16) | (<u64>(KEY_LENGTH_5 >>> 4) << 20) | (<u64>(KEY_LENGTH_6 >>> 4) << 24) |
  (<u64>(KEY_LENGTH_7 >>> 4) << 28) | (<u64>(KEY_LENGTH_8 >>> 4) << 32) | (<u64>(KEY_LENGTH_9 >>> 4) << 36) |
  (<u64>(KEY_LENGTH_10 >>> 4) << 40) | (<u64>(KEY_LENGTH_11 >>> 4) << 44) | (<u64>(KEY_LENGTH_12 >>> 4) << 48) |
  (<u64>(KEY_LENGTH_13 >>> 4) << 52);

// @ts-expect-error: decorator
@inline
export function keyChunks(kind: u32): u32 {
  return <u32>(CHUNKS >>> (<u64>kind << 2)) & 15;
}

/** The words are multiplied side by side, not one after the other, because the bucket cannot be fetched before. Never 0. */
// @ts-expect-error: decorator
@inline
export function hashKey(key: usize, kind: u32): u32 {
  let h =
    load<u64>(key) * 0x9e3779b97f4a7c15 + load<u64>(key, 8) * 0xff51afd7ed558ccd +
    load<u64>(key, 16) * 0xc4ceb9fe1a85ec53 + load<u64>(key, 24) * 0xc2b2ae3d27d4eb4f;
  if (kind > KIND_IPV4) {
    const end = key + (<usize>keyChunks(kind) << 4);
    for (let at = key + 32; at < end; at += 16) {
      h = rotl<u64>(h, 29) + load<u64>(at) * 0xff51afd7ed558ccd + load<u64>(at, 8) * 0xc4ceb9fe1a85ec53;
    }
  }
  h = (h ^ (h >>> 32)) * 0x9fb21c651e98df25;
  return <u32>(h >>> 32) | 0x8000_0000;
}

// @ts-expect-error: decorator
@inline
export function firstBucket(hash: u32): usize {
  return <usize>load<u32>(CONTROL_BUCKETS) + <usize>(hash & load<u32>(CONTROL_BUCKET_MASK)) * BUCKET_SIZE;
}

// @ts-expect-error: decorator
@inline
function secondBucket(hash: u32): usize {
  return <usize>load<u32>(CONTROL_BUCKETS) + <usize>((rotl<u32>(hash, 15) * 0x85ebca6b) & load<u32>(CONTROL_BUCKET_MASK)) * BUCKET_SIZE;
}

// @ts-expect-error: decorator
@inline
function matches(bucket: usize, hash: u32): u32 {
  const wanted = i32x4.splat(hash);
  return i32x4.bitmask(i32x4.eq(v128.load(bucket), wanted)) | (i32x4.bitmask(i32x4.eq(v128.load(bucket, 16), wanted)) << 4);
}

/** The entry in the first bucket whose tag fits, unopened; 0 if none. To fetch it early. */
// @ts-expect-error: decorator
@inline
export function candidate(hash: u32): usize {
  const bucket = firstBucket(hash);
  const mask = matches(bucket, hash);
  return mask ? <usize>load<u32>(bucket + (<usize>ctz<u32>(mask) << 2), ENTRY_OF_SLOT) : 0;
}

/** Is the entry's key another one? Keys whose first 32 bytes agree are of one kind, and of one length. */
// @ts-expect-error: decorator
@inline
export function hasOtherKey(entry: usize, key: usize): bool {
  const head = v128.or(
    v128.xor(v128.load(entry, ENTRY_KEY), v128.load(key)),
    v128.xor(v128.load(entry, ENTRY_KEY + 16), v128.load(key, 16)),
  );
  if (v128.any_true(head)) return true;
  const chunks = (load<u32>(entry, ENTRY_ACTION) & ACTION_KEY_CHUNKS_MASK) >>> ACTION_KEY_CHUNKS_SHIFT;
  return chunks > 2 && hasOtherTail(entry, key, chunks);
}

function hasOtherTail(entry: usize, key: usize, chunks: u32): bool {
  let difference = v128.xor(v128.load(entry, ENTRY_KEY + 32), v128.load(key, 32));
  for (let at: usize = 48; at < <usize>chunks << 4; at += 16) {
    difference = v128.or(difference, v128.xor(v128.load(entry + at, ENTRY_KEY), v128.load(key + at)));
  }
  return v128.any_true(difference);
}

function findIn(bucket: usize, key: usize, hash: u32): usize {
  let mask = matches(bucket, hash);
  while (mask) {
    const entry: usize = load<u32>(bucket + (<usize>ctz<u32>(mask) << 2), ENTRY_OF_SLOT);
    if (entry && !hasOtherKey(entry, key)) return entry;
    mask &= mask - 1;
  }
  return 0;
}

/** The entry with this key, valid or stale; 0 if there is none. */
export function find(key: usize, hash: u32): usize {
  const entry = findIn(firstBucket(hash), key, hash);
  return entry ? entry : findIn(secondBucket(hash), key, hash);
}

/**
 * Is the decision still good? An entry of the current generation is; an older one is checked once against the versions of what it
 * rests on (packet/layout.ts, ENTRY.STAMPS), and if none moved it belongs to the current generation from then on.
 */
// @ts-expect-error: decorator
@inline
export function isCurrent(entry: usize): bool {
  return load<u32>(entry, ENTRY_GENERATION) == load<u32>(CONTROL_GENERATION) || revalidate(entry);
}

export function stampSum(entry: usize): u32 {
  const stamps: usize = load<u32>(CONTROL_STAMPS);
  return (
    load<u32>(stamps + (<usize>load<u32>(entry, ENTRY_STAMPS) << 2)) +
    load<u32>(stamps + (<usize>load<u32>(entry, ENTRY_STAMPS + 4) << 2)) +
    load<u32>(stamps + (<usize>load<u32>(entry, ENTRY_STAMPS + 8) << 2)) +
    load<u32>(stamps + (<usize>load<u32>(entry, ENTRY_STAMPS + 12) << 2))
  );
}

function revalidate(entry: usize): bool {
  if (stampSum(entry) != load<u32>(entry, ENTRY_STAMP_SUM)) return false;
  store<u32>(entry, load<u32>(CONTROL_GENERATION), ENTRY_GENERATION);
  store<u64>(CONTROL_REVALIDATIONS, load<u64>(CONTROL_REVALIDATIONS) + 1);
  return true;
}

/** An entry that was given back or never used; 0 if the table is full. */
function takeFree(): usize {
  let entry: usize = load<u32>(CONTROL_ENTRY_FREE);
  if (entry) {
    store<u32>(CONTROL_ENTRY_FREE, load<u32>(entry, ENTRY_NEXT_OUTPUT));
  } else {
    entry = load<u32>(CONTROL_ENTRY_UNUSED);
    if (entry >= <usize>load<u32>(CONTROL_ENTRIES_END)) return 0;
    store<u32>(CONTROL_ENTRY_UNUSED, <u32>entry + ENTRY_SIZE);
  }
  store<u32>(CONTROL_ENTRY_COUNT, load<u32>(CONTROL_ENTRY_COUNT) + 1);
  return entry;
}

function giveBack(entry: usize): void {
  store<u32>(entry, load<u32>(CONTROL_ENTRY_FREE), ENTRY_NEXT_OUTPUT);
  store<u32>(CONTROL_ENTRY_FREE, <u32>entry);
  store<u32>(CONTROL_ENTRY_COUNT, load<u32>(CONTROL_ENTRY_COUNT) - 1);
}

/** Gives back the entries of an entry's further outputs. */
function dropChain(entry: usize): void {
  let next: usize = load<u32>(entry, ENTRY_NEXT_OUTPUT);
  store<u32>(entry, 0, ENTRY_NEXT_OUTPUT);
  while (next) {
    const following: usize = load<u32>(next, ENTRY_NEXT_OUTPUT);
    giveBack(next);
    next = following;
  }
}

/** Appends entries for further outputs; false, and none, if there are not enough. They are in no bucket: HASH is 0. */
function appendChain(entry: usize, count: u32): bool {
  for (let last = entry, i: u32 = 0; i < count; i++) {
    const next = takeFree();
    if (!next) {
      dropChain(entry);
      return false;
    }
    memory.fill(next, 0, ENTRY_SIZE);
    store<u32>(last, <u32>next, ENTRY_NEXT_OUTPUT);
    last = next;
  }
  return true;
}

/** Takes an entry out of its bucket and gives it back, with those of its further outputs. */
function remove(entry: usize): void {
  const hash = load<u32>(entry, ENTRY_HASH);
  if (!unhang(firstBucket(hash), entry)) unhang(secondBucket(hash), entry);
  forget(entry);
  keepQueueCount(entry);
  store<u32>(entry, 0, ENTRY_HASH);
  dropChain(entry);
  giveBack(entry);
}

/**
 * How many packets stood in which receive queue is known from entries (`flow/queue-counts.ts`), so it must outlive them. Queue 0 has
 * what no other has, and is not counted.
 */
function keepQueueCount(entry: usize): void {
  const queue = <u32>load<u8>(entry, ENTRY_QUEUE);
  if (!queue) return;
  const port = <u32>load<u16>(entry, ENTRY_KEY + KEY_PORT);
  const at = <usize>load<u32>(CONTROL_QUEUE_COUNTS) + ((port * QUEUES_PER_PORT + queue) << 3);
  store<u64>(at, load<u64>(at) + load<u64>(entry, ENTRY_PACKETS));
}

function unhang(bucket: usize, entry: usize): bool {
  for (let i: u32 = 0; i < BUCKET_SLOTS; i++) {
    const slot = bucket + (<usize>i << 2);
    if (<usize>load<u32>(slot, ENTRY_OF_SLOT) == entry) {
      store<u32>(slot, 0);
      store<u32>(slot, 0, ENTRY_OF_SLOT);
      return true;
    }
  }
  return false;
}

function emptySlot(bucket: usize): usize {
  for (let i: u32 = 0; i < BUCKET_SLOTS; i++) {
    const slot = bucket + (<usize>i << 2);
    if (!load<u32>(slot, ENTRY_OF_SLOT)) return slot;
  }
  return 0;
}

/** Moves one entry of a full bucket to the other bucket of its key (cuckoo hashing, one step); the slot that it left, or 0. */
function makeRoom(bucket: usize): usize {
  for (let i: u32 = 0; i < BUCKET_SLOTS; i++) {
    const slot = bucket + (<usize>i << 2);
    const hash = load<u32>(slot);
    const first = firstBucket(hash);
    const free = emptySlot(bucket == first ? secondBucket(hash) : first);
    if (free) {
      store<u32>(free, hash);
      store<u32>(free, load<u32>(slot, ENTRY_OF_SLOT), ENTRY_OF_SLOT);
      store<u32>(slot, 0);
      store<u32>(slot, 0, ENTRY_OF_SLOT);
      return slot;
    }
  }
  return 0;
}

/** Looks at the next `steps` entries and takes those out that were idle for too long. Between bursts only. */
export function expire(steps: u32): void {
  for (let i: u32 = 0; i < steps; i++) {
    const entry = nextOverdue();
    if (!entry) continue;
    remove(entry);
    store<u64>(CONTROL_EXPIRED, load<u64>(CONTROL_EXPIRED) + 1);
  }
}

/** Takes the entry with this key out, if there is one. */
export function discard(key: usize, hash: u32): void {
  const entry = find(key, hash);
  if (entry) remove(entry);
}

/** Has one entry give way. */
function evict(): bool {
  const entry = nextVictim();
  if (!entry) return false;
  remove(entry);
  store<u64>(CONTROL_EVICTIONS, load<u64>(CONTROL_EVICTIONS) + 1);
  return true;
}

/** Has others give way until so many entries are free, or none may; not for more than a quarter of the table. */
function makePlace(count: u32): void {
  const capacity = load<u32>(CONTROL_ENTRY_CAPACITY);
  if (count > capacity >>> 2) return;
  while (capacity - load<u32>(CONTROL_ENTRY_COUNT) < count) {
    if (!evict()) return;
  }
}

/**
 * An entry for the key, to be filled by the caller: the one that exists (its decision is stale), or a new one, at the
 * cost of another if need be; with a chain for its further outputs. 0 if there is no slot, or no entry that may give way.
 */
export function install(key: usize, chunks: u32, hash: u32, outputs: u32): usize {
  let entry = find(key, hash);
  if (entry) dropChain(entry);
  if (outputs > 1) {
    makePlace(outputs);
    entry = find(key, hash); // it may have given way itself
  }
  if (!entry) entry = insert(key, chunks, hash);
  if (!entry || appendChain(entry, outputs - 1)) return entry;
  remove(entry);
  store<u64>(CONTROL_UNCACHED, load<u64>(CONTROL_UNCACHED) + 1);
  return 0;
}

/** A new entry in the table; 0 if there is no room. */
function insert(key: usize, chunks: u32, hash: u32): usize {
  let entry: usize = 0;
  const first = firstBucket(hash);
  const second = secondBucket(hash);
  let slot = emptySlot(first);
  if (!slot) slot = emptySlot(second);
  if (!slot) slot = makeRoom(first);
  if (!slot) slot = makeRoom(second);
  if (slot) {
    entry = takeFree();
    if (!entry && evict()) entry = takeFree();
  }
  if (!entry) {
    store<u64>(CONTROL_UNCACHED, load<u64>(CONTROL_UNCACHED) + 1);
    return 0;
  }
  memory.fill(entry, 0, ENTRY_SIZE);
  memory.copy(entry + ENTRY_KEY, key, chunks << 4);
  store<u32>(entry, chunks << ACTION_KEY_CHUNKS_SHIFT, ENTRY_ACTION);
  store<u32>(entry, hash, ENTRY_HASH);
  store<u32>(entry, load<u32>(CONTROL_NOW_MS), ENTRY_LAST_USED_MS);
  store<u32>(slot, hash);
  store<u32>(slot, <u32>entry, ENTRY_OF_SLOT);
  return entry;
}
