/**
 * A persistent hash table of fixed-size rows, for a million of them: the store beneath `lookup-records.ts`.
 *
 * The problem: lookups must cost about one cache miss, a change must make a new table in microseconds while the old one
 * stays as it was, and the bytes must lie where workers can read them. One big open-addressing table has the first only.
 *
 * The design is extendible hashing. A row is 32 bytes, key and contents, two to a cache line. Rows live in *pages*: small
 * open-addressing tables in a SharedArrayBuffer each. A *directory* indexed by the top bits of the hash names the page:
 *
 *     hash    dddd dddd .... .... .... .... ssss ssss ssss
 *             directory (depth bits)        slot in page
 *
 *     directory  [ A | A | B | C ]     depth 2; A has depth 1, so two entries share it
 *
 * A full page doubles until it has PAGE_SLOTS slots, then splits in two by the next hash bit; if the directory has no bit
 * left for that it doubles first. So no insertion ever moves more than one page, and there is never a pause for rehashing.
 *
 * A change goes through a *draft*, which copies a page before its first write to it and shares all others. Rows sit in
 * the pages themselves, not in columns beside an index: that would be a second cache miss per lookup, which measured about 100 ns
 * with a million rows. Pages split but never merge: a table that shrinks keeps its pages.
 *
 * Word 0 of a row has USED set; a free slot is 0 there. Which bits of words 0 and 4 belong to the key is the table's choice.
 * Each row may carry one object (`aside`), which lives in an array beside the page's words.
 */

export const ROW_WORDS = 8;
/** Bit 31 of word 0: the slot holds a row. */
export const USED = 1 << 31;

const FIRST_SLOTS = 8;
/** 32 KiB per page: copied in some microseconds, and a million rows need a directory of 2,048 pages, which stays in cache. */
const PAGE_SLOTS = 1024;
/** Where pages stop splitting and grow instead; only keys made to collide get there. */
const DEPTH_LIMIT = 18;
/** At most three quarters of the slots are taken: a miss probes 9 rows at worst on average, and there is always a free slot. */
const rowLimit = (words: Int32Array): number => (words.length / ROW_WORDS) * 0.75;

/** Of the key: word 1 to 3 whole, and of words 0 and 4 these bits. */
export interface KeyMask {
  readonly word0: number;
  readonly word4: number;
}

/** A page is written only by the draft whose token it bears; once that is frozen, by nobody. */
export interface Page<Aside> {
  readonly words: Int32Array;
  readonly owner: object;
  /** How many leading hash bits all its rows share. */
  readonly depth: number;
  count: number;
  /** By slot; null while no row has any. */
  aside: (Aside | undefined)[] | null;
}

/** The hash of a key; every word is an int32 or uint32, bits outside of the mask already cleared. */
export function hashKey(k0: number, k1: number, k2: number, k3: number, k4: number): number {
  let h = Math.imul(k4 ^ 0x9e37_79b9, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 15) ^ k0, 0xc2b2_ae35);
  h = Math.imul(h ^ (h >>> 13) ^ k1, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 15) ^ k2, 0xc2b2_ae35);
  h = Math.imul(h ^ (h >>> 13) ^ k3, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}

/** Index of the key's first word within the page's words, or -1. */
export function seek(
  words: Int32Array,
  mask: KeyMask,
  hash: number,
  k0: number,
  k1: number,
  k2: number,
  k3: number,
  k4: number,
): number {
  const last = words.length - 1;
  for (let at = firstSlot(hash, last); ; at = (at + ROW_WORDS) & last) {
    const word0 = words[at]!;
    if (
      ((words[at + 4]! ^ k4) & mask.word4) === 0 &&
      ((word0 ^ k0) & mask.word0) === 0 &&
      words[at + 3] === (k3 | 0) &&
      words[at + 2] === (k2 | 0) &&
      words[at + 1] === (k1 | 0) &&
      word0 !== 0
    ) {
      return at;
    }
    if (word0 === 0) return -1;
  }
}

/** Index of the first word where a row of this hash is looked for: its lowest bits, times ROW_WORDS. */
const firstSlot = (hash: number, last: number): number => (hash << 3) & last;

/** The directory entry for a hash: its top `depth` bits. */
const directoryIndex = (hash: number, depth: number): number => (hash >>> 1) >>> (31 - depth);

/** An immutable snapshot. */
export class RowTable<Aside> {
  constructor(
    readonly mask: KeyMask,
    private readonly directory: readonly Page<Aside>[],
    private readonly depth: number,
    readonly size: number,
  ) {}

  static empty<Aside>(mask: KeyMask): RowTable<Aside> {
    return new RowTable<Aside>(mask, [emptyPage<Aside>(FIRST_SLOTS, 0, {})], 0, 0);
  }

  pageOf(hash: number): Page<Aside> {
    return this.directory[directoryIndex(hash, this.depth)]!;
  }

  draft(): RowDraft<Aside> {
    return new RowDraft<Aside>(this.mask, this.directory.slice(), this.depth, this.size);
  }

  /** Each page once. */
  *pages(): IterableIterator<Page<Aside>> {
    for (let index = 0; index < this.directory.length; ) {
      const page = this.directory[index]!;
      yield page;
      index += 1 << (this.depth - page.depth);
    }
  }
}

/** A table in the making: mutable, for one owner, of no use once frozen. */
export class RowDraft<Aside> {
  private readonly token = {};

  constructor(
    readonly mask: KeyMask,
    private directory: Page<Aside>[],
    private depth: number,
    private size: number,
  ) {}

  /** Hands the pages over to an immutable table, which ends the draft. */
  freeze(): RowTable<Aside> {
    const { directory } = this;
    this.directory = [];
    return new RowTable(this.mask, directory, this.depth, this.size);
  }

  pageOf(hash: number): Page<Aside> {
    return this.directory[directoryIndex(hash, this.depth)]!;
  }

  /** The page for this hash, copied if someone else may be reading it. Same slots, same offsets. */
  writablePageOf(hash: number): Page<Aside> {
    const page = this.pageOf(hash);
    if (page.owner === this.token) return page;
    const copy: Page<Aside> = {
      words: sharedWords(page.words.length),
      owner: this.token,
      depth: page.depth,
      count: page.count,
      aside: page.aside === null ? null : page.aside.slice(),
    };
    copy.words.set(page.words);
    this.place(copy, hash);
    return copy;
  }

  /** Adds a row of eight words whose key is not in the table yet. */
  insert(row: Int32Array, aside: Aside | undefined): void {
    const hash = rowHash(row, 0, this.mask);
    let page = this.writablePageOf(hash);
    while (page.count >= rowLimit(page.words)) {
      this.makeRoom(page, hash);
      page = this.pageOf(hash);
    }
    putRow(page, hash, row, 0, aside);
    this.size++;
  }

  /** Takes out the row that begins at `at` in the page of this hash, closing the gap in the probe sequence behind it. */
  remove(hash: number, at: number): void {
    const page = this.writablePageOf(hash);
    const { words, aside } = page;
    const last = words.length - 1;
    let hole = at;
    for (let next = (at + ROW_WORDS) & last; words[next] !== 0; next = (next + ROW_WORDS) & last) {
      // A row may move into the hole unless its own first slot lies behind the hole.
      const home = firstSlot(rowHash(words, next, this.mask), last);
      if (((next - home) & last) < ((next - hole) & last)) continue;
      words.copyWithin(hole, next, next + ROW_WORDS);
      if (aside) aside[hole / ROW_WORDS] = aside[next / ROW_WORDS];
      hole = next;
    }
    words.fill(0, hole, hole + ROW_WORDS);
    if (aside) aside[hole / ROW_WORDS] = undefined;
    page.count--;
    this.size--;
  }

  private makeRoom(page: Page<Aside>, hash: number): void {
    const slots = page.words.length / ROW_WORDS;
    if (slots < PAGE_SLOTS || page.depth === DEPTH_LIMIT) this.place(this.doubled(page), hash);
    else this.split(page, hash);
  }

  private doubled(page: Page<Aside>): Page<Aside> {
    const larger = emptyPage<Aside>((page.words.length / ROW_WORDS) * 2, page.depth, this.token);
    forEachRow(page, (at) => putRow(larger, rowHash(page.words, at, this.mask), page.words, at, asideAt(page, at)));
    return larger;
  }

  private split(page: Page<Aside>, hash: number): void {
    if (page.depth === this.depth) {
      this.directory = this.directory.flatMap((entry) => [entry, entry]);
      this.depth++;
    }
    const slots = page.words.length / ROW_WORDS;
    const low = emptyPage<Aside>(slots, page.depth + 1, this.token);
    const high = emptyPage<Aside>(slots, page.depth + 1, this.token);
    const bit = 1 << (31 - page.depth);
    forEachRow(page, (at) => {
      const rowsHash = rowHash(page.words, at, this.mask);
      putRow((rowsHash & bit) === 0 ? low : high, rowsHash, page.words, at, asideAt(page, at));
    });
    this.place(low, hash & ~bit);
    this.place(high, hash | bit);
  }

  /** Enters a page in all directory entries that share its leading hash bits. */
  private place(page: Page<Aside>, hash: number): void {
    const span = 1 << (this.depth - page.depth);
    const first = directoryIndex(hash, this.depth) & -span;
    this.directory.fill(page, first, first + span);
  }
}

/** Calls back with the index of each row's first word. */
export function forEachRow(page: Page<unknown>, visit: (at: number) => void): void {
  for (let at = 0; at < page.words.length; at += ROW_WORDS) if (page.words[at] !== 0) visit(at);
}

export const asideAt = <Aside>(page: Page<Aside>, at: number): Aside | undefined =>
  page.aside === null ? undefined : page.aside[at / ROW_WORDS];

/** Sets the row's object; the page must be writable. */
export function setAside<Aside>(page: Page<Aside>, at: number, aside: Aside | undefined): void {
  if (page.aside === null) {
    if (aside === undefined) return;
    page.aside = new Array<Aside | undefined>(page.words.length / ROW_WORDS).fill(undefined);
  }
  page.aside[at / ROW_WORDS] = aside;
}

const rowHash = (words: Int32Array, at: number, mask: KeyMask): number =>
  hashKey(words[at]! & mask.word0, words[at + 1]!, words[at + 2]!, words[at + 3]!, words[at + 4]! & mask.word4);

function putRow<Aside>(
  page: Page<Aside>,
  hash: number,
  from: Int32Array,
  start: number,
  aside: Aside | undefined,
): void {
  const { words } = page;
  const last = words.length - 1;
  let at = firstSlot(hash, last);
  while (words[at] !== 0) at = (at + ROW_WORDS) & last;
  for (let word = 0; word < ROW_WORDS; word++) words[at + word] = from[start + word]!;
  setAside(page, at, aside);
  page.count++;
}

const sharedWords = (length: number): Int32Array =>
  new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));

const emptyPage = <Aside>(slots: number, depth: number, owner: object): Page<Aside> => ({
  words: sharedWords(slots * ROW_WORDS),
  owner,
  depth,
  count: 0,
  aside: null,
});
