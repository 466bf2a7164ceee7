/**
 * Addresses that many rows share, each stored once under a small number, with a count of its users; persistent.
 *
 * A fabric has a million lookup records but only as many provider addresses as hosts. A row keeps the number; reading it back gives
 * the same immutable `Address` object every time, without an allocation.
 */
import type { Address } from "../wire/address.js";
import { hashKey, type KeyMask, ROW_WORDS, type RowDraft, RowTable, seek, USED } from "./row-table.js";

// A row: [USED | FAMILY_6, w0, w1, w2, w3, number, users, -]
const FAMILY_6 = 1 << 26;
const MASK: KeyMask = { word0: FAMILY_6, word4: -1 };
const NUMBER = 5;
const USERS = 6;
/** Addresses by number come in chunks, so that a new one copies a chunk and not the whole list. */
const CHUNK = 1024;

/** Numbers that lost their last user, to be given out again. */
type FreeNumbers = { readonly number: number; readonly next: FreeNumbers } | null;

export class AddressPool {
  static readonly EMPTY = new AddressPool(RowTable.empty<undefined>(MASK), [], 0, null);

  constructor(
    private readonly table: RowTable<undefined>,
    private readonly chunks: readonly (readonly Address[])[],
    private readonly given: number,
    private readonly free: FreeNumbers,
  ) {}

  get size(): number {
    return this.table.size;
  }

  has(address: Address): boolean {
    return this.numberOf(address) >= 0;
  }

  /** -1 if the address is not there. */
  numberOf(address: Address): number {
    return numberIn(this.table, address);
  }

  /** The address of a number that is in use. */
  at(number: number): Address {
    return this.chunks[Math.floor(number / CHUNK)]![number % CHUNK]!;
  }

  /** All that are in use. */
  *[Symbol.iterator](): IterableIterator<Address> {
    for (const { words } of this.table.pages()) {
      for (let at = 0; at < words.length; at += ROW_WORDS) if (words[at] !== 0) yield this.at(words[at + NUMBER]!);
    }
  }

  draft(): AddressPoolDraft {
    return new AddressPoolDraft(this.table.draft(), this.chunks.slice(), this.given, this.free);
  }
}

export class AddressPoolDraft {
  private readonly ownChunks = new Set<number>();
  private readonly row = new Int32Array(ROW_WORDS);

  constructor(
    private readonly table: RowDraft<undefined>,
    private readonly chunks: (readonly Address[])[],
    private given: number,
    private free: FreeNumbers,
  ) {}

  /** The address of a number that is in use. */
  at(number: number): Address {
    return this.chunks[Math.floor(number / CHUNK)]![number % CHUNK]!;
  }

  /** -1 if the address is not there. */
  numberOf(address: Address): number {
    return numberIn(this.table, address);
  }

  /** One user more; gives the address's number. */
  retain(address: Address): number {
    const hash = hashOf(address);
    const { words } = this.table.writablePageOf(hash);
    const at = rowOf(words, hash, address);
    if (at < 0) return this.add(address);
    words[at + USERS] = words[at + USERS]! + 1;
    return words[at + NUMBER]!;
  }

  /** One user less; the last one takes the address out. */
  release(number: number): void {
    const address = this.at(number);
    const hash = hashOf(address);
    const { words } = this.table.writablePageOf(hash);
    const at = rowOf(words, hash, address);
    words[at + USERS] = words[at + USERS]! - 1;
    if (words[at + USERS] !== 0) return;
    this.table.remove(hash, at);
    this.free = { number, next: this.free };
  }

  freeze(): AddressPool {
    return new AddressPool(this.table.freeze(), this.chunks, this.given, this.free);
  }

  private add(address: Address): number {
    const number = this.takeNumber();
    const { row } = this;
    row[0] = address.family === 6 ? USED | FAMILY_6 : USED;
    row[1] = address.w0;
    row[2] = address.w1;
    row[3] = address.w2;
    row[4] = address.w3;
    row[NUMBER] = number;
    row[USERS] = 1;
    this.table.insert(row, undefined);
    this.writableChunkOf(number)[number % CHUNK] = address;
    return number;
  }

  private takeNumber(): number {
    if (this.free === null) return this.given++;
    const { number, next } = this.free;
    this.free = next;
    return number;
  }

  private writableChunkOf(number: number): Address[] {
    const index = Math.floor(number / CHUNK);
    if (!this.ownChunks.has(index)) {
      this.chunks[index] = [...(this.chunks[index] ?? [])];
      this.ownChunks.add(index);
    }
    return this.chunks[index] as Address[];
  }
}

function numberIn(table: { pageOf(hash: number): { readonly words: Int32Array } }, address: Address): number {
  const hash = hashOf(address);
  const { words } = table.pageOf(hash);
  const at = rowOf(words, hash, address);
  return at < 0 ? -1 : words[at + NUMBER]!;
}

const familyBit = (a: Address): number => (a.family === 6 ? FAMILY_6 : 0);
const hashOf = (a: Address): number => hashKey(familyBit(a), a.w0, a.w1, a.w2, a.w3);
const rowOf = (words: Int32Array, hash: number, a: Address): number =>
  seek(words, MASK, hash, familyBit(a), a.w0, a.w1, a.w2, a.w3);
