/**
 * A map from (scope, address) to a value: open addressing over one typed array, no string keys.
 *
 * What the scope means is the caller's business: a prefix length, an interface index, nothing (0). Like a `Map` it is
 * filled once by whoever makes it and handed out as `ReadonlyAddressMap`. For tables of up to some hundred thousand
 * entries that are rebuilt whole; lookup records, which change one at a time, live in `row-table.ts`.
 */
import type { Address } from "../wire/address.js";

export interface ReadonlyAddressMap<Value> {
  readonly size: number;
  find(scope: number, address: Address): Value | undefined;
}

/** Words per slot: four of the address, the scope, and the family (0 where the slot is free). */
const SLOT_WORDS = 6;
const FIRST_SLOTS = 8;

export class AddressMap<Value> implements ReadonlyAddressMap<Value> {
  private keys = new Int32Array(FIRST_SLOTS * SLOT_WORDS);
  private values: (Value | undefined)[] = new Array<Value | undefined>(FIRST_SLOTS).fill(undefined);
  private count = 0;

  get size(): number {
    return this.count;
  }

  find(scope: number, address: Address): Value | undefined {
    return this.values[this.slotOf(scope, address)];
  }

  /** Adds the value, or replaces the one that is there. */
  set(scope: number, address: Address, value: Value): void {
    let slot = this.slotOf(scope, address);
    const at = slot * SLOT_WORDS;
    if (this.keys[at + 5] === 0) {
      if (this.count * 2 >= this.values.length) {
        this.grow();
        slot = this.slotOf(scope, address);
      }
      writeKey(this.keys, slot * SLOT_WORDS, scope, address);
      this.count++;
    }
    this.values[slot] = value;
  }

  /** The slot of the key, or the free one where it would go. At most half of the slots are taken, so there is one. */
  private slotOf(scope: number, address: Address): number {
    const last = this.values.length - 1;
    let slot = hashOf(scope, address) & last;
    for (;;) {
      const at = slot * SLOT_WORDS;
      if (this.keys[at + 5] === 0 || holdsKey(this.keys, at, scope, address)) return slot;
      slot = (slot + 1) & last;
    }
  }

  private grow(): void {
    const { keys, values } = this;
    this.keys = new Int32Array(keys.length * 2);
    this.values = new Array<Value | undefined>(values.length * 2).fill(undefined);
    for (let slot = 0; slot < values.length; slot++) {
      const at = slot * SLOT_WORDS;
      if (keys[at + 5] === 0) continue;
      const last = this.values.length - 1;
      let to = hashOfWords(keys[at]!, keys[at + 1]!, keys[at + 2]!, keys[at + 3]!, keys[at + 4]!, keys[at + 5]!) & last;
      while (this.keys[to * SLOT_WORDS + 5] !== 0) to = (to + 1) & last;
      this.keys.set(keys.subarray(at, at + SLOT_WORDS), to * SLOT_WORDS);
      this.values[to] = values[slot];
    }
  }
}

const hashOf = (scope: number, a: Address): number => hashOfWords(a.w0, a.w1, a.w2, a.w3, scope, a.family);

function hashOfWords(w0: number, w1: number, w2: number, w3: number, scope: number, family: number): number {
  let h = Math.imul(w3 ^ family, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 15) ^ w2, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13) ^ w1, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 15) ^ w0, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13) ^ scope, 0xc2b2_ae35);
  return h ^ (h >>> 16);
}

function writeKey(keys: Int32Array, at: number, scope: number, a: Address): void {
  keys[at] = a.w0;
  keys[at + 1] = a.w1;
  keys[at + 2] = a.w2;
  keys[at + 3] = a.w3;
  keys[at + 4] = scope;
  keys[at + 5] = a.family;
}

const holdsKey = (keys: Int32Array, at: number, scope: number, a: Address): boolean =>
  keys[at + 3] === (a.w3 | 0) &&
  keys[at + 4] === (scope | 0) &&
  keys[at + 2] === (a.w2 | 0) &&
  keys[at + 1] === (a.w1 | 0) &&
  keys[at] === (a.w0 | 0) &&
  keys[at + 5] === a.family;
