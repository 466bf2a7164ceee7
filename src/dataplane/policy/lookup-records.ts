/**
 * The lookup records of a host, made for a million of them: immutable, shared between snapshots, changed in microseconds.
 *
 * Four persistent tables (`row-table.ts`) make up one snapshot:
 *
 *     rows        identity -> MAC, rule, provider address; the record's texts beside
 *     links       (VSID, MAC, n) -> identity of the n-th record of that MAC, and
 *                 (VSID, wildcard list, n) -> identity of the n-th GatewayWildcard record
 *     providers   the distinct provider addresses, with a count of their records
 *     nat         provider address -> identity of the record that is rewritten to it (IP Rewrite), of which there is one at most
 *
 * A record's identity says where it lives, so a table never holds two records that could answer the same question:
 * (VSID, CA) for Static and Dynamic ones, (VSID, family, MAC, type) for L2Only and GatewayWildcard ones, whose CA is unspecified.
 * `LookupRecord` objects are made when somebody asks; equal questions give equal, not identical, objects.
 *
 * What size costs: with a million records in random order `find` takes about three times as long as with a thousand (some 290 ns
 * against 90), for one row that comes from main memory. A slow-path decision, which asks twice or thrice, feels little of it.
 *
 * A row is eight words:
 *
 *     0  used | use VM's MAC | rule (2) | dynamic | family | kind (2) | VSID (24)
 *     1–4  kind ADDRESS: the CA; else 0, 0, MAC
 *     5  number of the provider address       6  MAC, low 32 bits       7  MAC, high 16 bits
 *
 * and a link:
 *
 *     0  used | list | family | kind (2) | VSID (24)       1, 2  MAC (0 for the wildcard list)       3  n       4–7  as a row's 1–4
 */
import { strict as assert } from "node:assert";
import { Address, type AddressFamily, isMulticast, sameAddress } from "../wire/address.js";
import type { Mac, Vsid } from "../wire/bytes.js";
import { AddressPool, type AddressPoolDraft } from "./address-pool.js";
import type { LookupRecord, LookupRecordTable, RecordType, TranslationRule } from "./policy.js";
import {
  asideAt,
  forEachRow,
  hashKey,
  type KeyMask,
  type Page,
  ROW_WORDS,
  type RowDraft,
  RowTable,
  seek,
  USED,
} from "./row-table.js";
import { type MemberChange, SubnetMembers } from "./subnet-members.js";
import {
  checkLookupRecordAddress,
  checkNatRecord,
  type LookupRecordIdentity,
  lookupRecordConflict,
  type PolicyError,
} from "./validate.js";

/** A record's free texts. */
export type LookupRecordTexts = Pick<LookupRecord, "customerID" | "context" | "vmName">;

const VSID_BITS = 0x00ff_ffff;
const KIND_SHIFT = 24;
const KIND_BITS = 3 << KIND_SHIFT;
const FAMILY_6 = 1 << 26;
const DYNAMIC = 1 << 27;
const RULE_SHIFT = 28;
const RULE_BITS = 3 << RULE_SHIFT;
const USE_VM_MAC = 1 << 30;
const PROVIDER = 5;
const MAC_LOW = 6;
const MAC_HIGH = 7;

/** In a link: the list is that of the VSID's GatewayWildcard records. */
const WILDCARD_LIST = 1 << 27;
const LINKED = 4;

const IDENTITY: KeyMask = { word0: VSID_BITS | KIND_BITS | FAMILY_6, word4: -1 };
const LIST_PLACE: KeyMask = { word0: VSID_BITS | WILDCARD_LIST, word4: 0 };
/** A row of `nat`: [identity's word 0, number of the provider address, 0, 0, a row's 1–4]. */
const NAT_PLACE: KeyMask = { word0: 0, word4: 0 };

const Kind = { ADDRESS: 0, L2_ONLY: 1, WILDCARD: 2 } as const;
type Kind = (typeof Kind)[keyof typeof Kind];
const KIND_OF_TYPE: Readonly<Record<RecordType, Kind>> = {
  Static: Kind.ADDRESS,
  Dynamic: Kind.ADDRESS,
  L2Only: Kind.L2_ONLY,
  GatewayWildcard: Kind.WILDCARD,
};
const RULES: readonly TranslationRule[] = ["TranslationMethodNat", "TranslationMethodEncap", "TranslationMethodNone"];
/** Beyond so many changes at once the index of members is made anew when it is next asked. */
const MEMBER_CHANGES_MAX = 1000;
const ENCAP = RULES.indexOf("TranslationMethodEncap");
const NAT = RULES.indexOf("TranslationMethodNat");

const UNSPECIFIED: Readonly<Record<AddressFamily, Address>> = {
  4: new Address(4, 0, 0, 0xffff, 0),
  6: new Address(6, 0, 0, 0, 0),
};
const NO_TEXTS: LookupRecordTexts = Object.freeze({ customerID: null, context: null, vmName: null });
const NO_RECORDS: readonly LookupRecord[] = Object.freeze([]);

export class LookupRecords implements LookupRecordTable {
  static readonly EMPTY = new LookupRecords(
    RowTable.empty<LookupRecordTexts>(IDENTITY),
    RowTable.empty<undefined>(LIST_PLACE),
    AddressPool.EMPTY,
    RowTable.empty<undefined>(NAT_PLACE),
  );

  /** Made by a builder; elsewhere use EMPTY, `from` and `with`. */
  constructor(
    private readonly rows: RowTable<LookupRecordTexts>,
    private readonly links: RowTable<undefined>,
    private readonly providers: AddressPool,
    private readonly nat: RowTable<undefined>,
    private members: SubnetMembers | null = null,
    /** The subnets that came to a provider address or left one when this table was made from another; null: not known. */
    readonly membersMoved: ReadonlySet<Vsid> | null = null,
  ) {}

  /** A table of these records. Throws a PolicyError for the first that conflicts with one before it. */
  static from(records: Iterable<LookupRecord>): LookupRecords {
    const builder = new LookupRecordsBuilder();
    for (const record of records) {
      if (!builder.addRecord(record)) throw builder.conflictOf(record);
    }
    return builder.build();
  }

  get size(): number {
    return this.rows.size;
  }

  find(vsid: Vsid, customerAddress: Address): LookupRecord | undefined {
    const { w0, w1, w2, w3 } = customerAddress;
    const word0 = vsid | (customerAddress.family === 6 ? FAMILY_6 : 0); // kind ADDRESS is 0
    const hash = hashKey(word0, w0, w1, w2, w3);
    const page = this.rows.pageOf(hash);
    const at = seek(page.words, IDENTITY, hash, word0, w0, w1, w2, w3);
    return at < 0 ? undefined : readRow(page, at, this.providers, customerAddress);
  }

  findByMac(vsid: Vsid, mac: Mac): readonly LookupRecord[] {
    return this.list(vsid, highOf(mac), lowOf(mac));
  }

  wildcards(vsid: Vsid): readonly LookupRecord[] {
    return this.list(vsid | WILDCARD_LIST, 0, 0);
  }

  findNat(providerAddress: Address): LookupRecord | undefined {
    const number = this.providers.numberOf(providerAddress);
    return number < 0 ? undefined : readNat(this.nat, this.rows, this.providers, number);
  }

  hasProviderAddress(address: Address): boolean {
    return this.providers.has(address);
  }

  providerGroups(): readonly Address[] {
    return [...this.providers].filter(isMulticast);
  }

  providerAddressesOf(vsid: Vsid): readonly Address[] {
    return Array.from(this.membersNow().of(vsid), (number) => this.providers.at(number));
  }

  hasL2Only(vsid: Vsid): boolean {
    return this.membersNow().hasL2Only(vsid);
  }

  private membersNow(): SubnetMembers {
    if (this.members) return this.members;
    const members = new SubnetMembers();
    for (const page of this.rows.pages()) {
      forEachRow(page, (at) => {
        const change = memberChange(page.words, at, 1);
        if (change) members.apply(change);
      });
    }
    this.members = members;
    return members;
  }

  /** For the builder: the index moves on to the table that is made from this one. */
  takeMembers(): SubnetMembers | null {
    const { members } = this;
    this.members = null;
    return members;
  }

  /** The record with exactly these key properties. */
  get(identity: LookupRecordIdentity): LookupRecord | undefined {
    const found = this.occupant(identity);
    return found && isIdentityOf(identity, found) ? found : undefined;
  }

  /**
   * The record that lives where a record of this identity would: the same one, or for Static and Dynamic records the one
   * of the same (VSID, CA), whatever its MAC and type.
   */
  occupant(identity: LookupRecordIdentity): LookupRecord | undefined {
    const { word0, w0, w1, w2, w3 } = keyOf(identity);
    const hash = hashKey(word0, w0, w1, w2, w3);
    const page = this.rows.pageOf(hash);
    const at = seek(page.words, IDENTITY, hash, word0, w0, w1, w2, w3);
    return at < 0 ? undefined : readRow(page, at, this.providers, null);
  }

  /** With this record, in place of the one that lives there if any. Whether that is allowed, `checkNewLookupRecord` tells. */
  with(record: LookupRecord): LookupRecords {
    const builder = new LookupRecordsBuilder(this);
    builder.put(record);
    return builder.build();
  }

  /** Without the record of exactly these key properties; the same table if there is none. */
  without(identity: LookupRecordIdentity): LookupRecords {
    if (this.get(identity) === undefined) return this;
    const builder = new LookupRecordsBuilder(this);
    builder.remove(identity);
    return builder.build();
  }

  *[Symbol.iterator](): IterableIterator<LookupRecord> {
    for (const page of this.rows.pages()) {
      for (let at = 0; at < page.words.length; at += ROW_WORDS) {
        if (page.words[at] !== 0) yield readRow(page, at, this.providers, null);
      }
    }
  }

  findAnywhere(customerAddress: Address): readonly LookupRecord[] {
    const { w0, w1, w2, w3 } = customerAddress;
    const word0 = customerAddress.family === 6 ? FAMILY_6 : 0;
    const found: LookupRecord[] = [];
    for (const page of this.rows.pages()) {
      const { words } = page;
      forEachRow(page, (at) => {
        if (words[at + 4] !== (w3 | 0) || ((words[at]! ^ word0) & (KIND_BITS | FAMILY_6)) !== 0) return;
        if (words[at + 3] !== (w2 | 0) || words[at + 2] !== (w1 | 0) || words[at + 1] !== (w0 | 0)) return;
        found.push(readRow(page, at, this.providers, customerAddress));
      });
    }
    return found;
  }

  /** How many distinct provider addresses the records name. */
  get providerAddressCount(): number {
    return this.providers.size;
  }

  /** For the builder. */
  parts() {
    const { rows, links, providers, nat } = this;
    return { rows: rows.draft(), links: links.draft(), providers: providers.draft(), nat: nat.draft() };
  }

  private list(word0: number, high: number, low: number): readonly LookupRecord[] {
    let records: LookupRecord[] | undefined;
    for (let n = 0; ; n++) {
      const hash = hashKey(word0, high, low, n, 0);
      const { words } = this.links.pageOf(hash);
      const at = seek(words, LIST_PLACE, hash, word0, high, low, n, 0);
      if (at < 0) return records ?? NO_RECORDS;
      records ??= [];
      records.push(this.linked(words, at));
    }
  }

  /** The record that a link names. */
  private linked(links: Int32Array, link: number): LookupRecord {
    const word0 = links[link]! & IDENTITY.word0;
    const [w0, w1, w2, w3] = [links[link + 4]!, links[link + 5]!, links[link + 6]!, links[link + 7]!];
    const hash = hashKey(word0, w0, w1, w2, w3);
    const page = this.rows.pageOf(hash);
    return readRow(page, seek(page.words, IDENTITY, hash, word0, w0, w1, w2, w3), this.providers, null);
  }
}

/**
 * Fills a table, from nothing or from an existing one, which stays as it is. For many changes at once: a page is copied
 * at its first change only, so that a change costs some hundred nanoseconds. `build` ends the builder.
 */
export class LookupRecordsBuilder {
  private readonly rows: RowDraft<LookupRecordTexts>;
  private readonly links: RowDraft<undefined>;
  private readonly providers: AddressPoolDraft;
  private readonly nat: RowDraft<undefined>;
  /** What the base's index of members has to learn; null if that is more than to make it anew. */
  private memberChanges: MemberChange[] | null = [];
  private readonly row = new Int32Array(ROW_WORDS);
  private readonly link = new Int32Array(ROW_WORDS);
  /** Texts that repeat from record to record are kept once. */
  private lastTexts: LookupRecordTexts = NO_TEXTS;

  constructor(private readonly base: LookupRecords = LookupRecords.EMPTY) {
    ({ rows: this.rows, links: this.links, providers: this.providers, nat: this.nat } = base.parts());
  }

  /**
   * Adds a record given by its values, unless one of its identity is there already, or for IP Rewrite one of its provider address; a
   * Static record replaces a Dynamic one of the same (VSID, CA). Says whether it was added. The values must have passed `checkLookupRecord`.
   */
  add(
    vsid: Vsid,
    customerAddress: Address,
    mac: Mac,
    providerAddress: Address,
    rule: TranslationRule = "TranslationMethodEncap",
    type: RecordType = "Static",
    useVmMACAddress = false,
    texts: LookupRecordTexts = NO_TEXTS,
  ): boolean {
    this.writeRow(vsid, customerAddress, mac, rule, type, useVmMACAddress);
    const hash = this.rowHash();
    const { words } = this.rows.pageOf(hash);
    const at = this.seekRow(words, hash);
    if (at >= 0 && !(type === "Static" && (words[at]! & DYNAMIC) !== 0)) return false;
    if (isRewritten(this.row[0]!) && !this.mayHaveNat(providerAddress)) return false;
    this.store(hash, at, providerAddress, texts);
    return true;
  }

  addRecord(r: LookupRecord): boolean {
    const { virtualSubnetID: vsid, customerAddress: ca, macAddress: mac, providerAddress: pa } = r;
    return this.add(vsid, ca, mac, pa, r.rule, r.type, r.useVmMACAddress, r);
  }

  /** May `this.row` be rewritten to this address: does no other record have it for that? */
  private mayHaveNat(providerAddress: Address): boolean {
    const number = this.providers.numberOf(providerAddress);
    if (number < 0) return true;
    const { words } = this.nat.pageOf(natHash(number));
    const at = this.seekNat(number);
    if (at < 0) return true;
    const isSameKind = ((words[at]! ^ this.row[0]!) & IDENTITY.word0) === 0;
    return isSameKind && [0, 1, 2, 3].every((word) => words[at + LINKED + word] === this.row[1 + word]);
  }

  /** Why `add` did not take the record. */
  conflictOf(record: LookupRecord): PolicyError {
    const occupant = this.occupant(record);
    if (occupant) return lookupRecordConflict(record, occupant);
    const number = this.providers.numberOf(record.providerAddress);
    return checkNatRecord(record, readNat(this.nat, this.rows, this.providers, number))!;
  }

  /** Adds the record, in place of the one that lives there if any. */
  put(r: LookupRecord): void {
    this.writeRow(r.virtualSubnetID, r.customerAddress, r.macAddress, r.rule, r.type, r.useVmMACAddress);
    const hash = this.rowHash();
    this.store(hash, this.seekRow(this.rows.pageOf(hash).words, hash), r.providerAddress, r);
  }

  /** Takes out the record of exactly these key properties; says whether there was one. */
  remove(identity: LookupRecordIdentity): boolean {
    const { virtualSubnetID: vsid, customerAddress: ca, macAddress: mac, type } = identity;
    this.writeRow(vsid, ca, mac, "TranslationMethodNat", type, false);
    const hash = this.rowHash();
    const page = this.rows.pageOf(hash);
    const at = this.seekRow(page.words, hash);
    if (at < 0 || !isIdentityOf(identity, readRow(page, at, this.providers, null))) return false;
    this.drop(hash, at);
    return true;
  }

  /** As `LookupRecords.occupant`, of what has been built so far. */
  occupant(identity: LookupRecordIdentity): LookupRecord | undefined {
    const { word0, w0, w1, w2, w3 } = keyOf(identity);
    const hash = hashKey(word0, w0, w1, w2, w3);
    const page = this.rows.pageOf(hash);
    const at = seek(page.words, IDENTITY, hash, word0, w0, w1, w2, w3);
    return at < 0 ? undefined : readRow(page, at, this.providers, null);
  }

  build(): LookupRecords {
    const [rows, links, providers] = [this.rows.freeze(), this.links.freeze(), this.providers.freeze()];
    const nat = this.nat.freeze();
    const members = this.memberChanges && this.base.takeMembers();
    if (!members) return new LookupRecords(rows, links, providers, nat);
    const moved = new Set<Vsid>();
    for (const change of this.memberChanges!) if (members.apply(change)) moved.add(change.vsid);
    return new LookupRecords(rows, links, providers, nat, members, moved);
  }

  /** Fills `this.row`, but for the provider address. */
  private writeRow(
    vsid: Vsid,
    customerAddress: Address,
    mac: Mac,
    rule: TranslationRule,
    type: RecordType,
    useVmMACAddress: boolean,
  ): void {
    const { row } = this;
    const kind = KIND_OF_TYPE[type];
    const byAddress = kind === Kind.ADDRESS;
    const refused = checkLookupRecordAddress(type, customerAddress);
    if (refused) throw refused; // an L2Only record has no room for an address
    row[0] =
      USED |
      (useVmMACAddress ? USE_VM_MAC : 0) |
      (RULES.indexOf(rule) << RULE_SHIFT) |
      (type === "Dynamic" ? DYNAMIC : 0) |
      (customerAddress.family === 6 ? FAMILY_6 : 0) |
      (kind << KIND_SHIFT) |
      vsid;
    row[1] = byAddress ? customerAddress.w0 : 0;
    row[2] = byAddress ? customerAddress.w1 : 0;
    row[3] = byAddress ? customerAddress.w2 : highOf(mac);
    row[4] = byAddress ? customerAddress.w3 : lowOf(mac);
    row[MAC_LOW] = lowOf(mac);
    row[MAC_HIGH] = highOf(mac);
  }

  /** Enters `this.row`, in place of the row at `replaced` unless that is -1. */
  private store(hash: number, replaced: number, providerAddress: Address, texts: LookupRecordTexts): void {
    this.row[PROVIDER] = this.providers.retain(providerAddress);
    // First the new one, so that whoever stays at the same provider address neither comes nor goes.
    this.noteMember(this.row, 0, 1);
    if (replaced >= 0) this.drop(hash, replaced);
    this.rows.insert(this.row, this.textsToKeep(texts));
    this.enlist(this.row[0]! & VSID_BITS, this.row[MAC_HIGH]!, this.row[MAC_LOW]!);
    if (isWildcard(this.row[0]!)) this.enlist((this.row[0]! & VSID_BITS) | WILDCARD_LIST, 0, 0);
    if (isRewritten(this.row[0]!)) this.enterNat();
  }

  private drop(hash: number, at: number): void {
    const { words } = this.rows.pageOf(hash);
    const word0 = words[at]!;
    const number = words[at + PROVIDER]!;
    this.noteMember(words, at, -1);
    this.providers.release(number);
    this.delist(word0 & VSID_BITS, words[at + MAC_HIGH]!, words[at + MAC_LOW]!, words, at);
    if (isWildcard(word0)) this.delist((word0 & VSID_BITS) | WILDCARD_LIST, 0, 0, words, at);
    if (isRewritten(word0)) this.nat.remove(natHash(number), this.seekNat(number));
    this.rows.remove(hash, at);
  }

  private noteMember(words: Int32Array, at: number, records: 1 | -1): void {
    if (this.memberChanges === null) return;
    const change = memberChange(words, at, records);
    if (change) this.memberChanges.push(change);
    if (this.memberChanges.length > MEMBER_CHANGES_MAX) this.memberChanges = null;
  }

  /** Enters `this.row`, whose provider address no other record is rewritten to. */
  private enterNat(): void {
    const { row, link } = this;
    assert(this.seekNat(row[PROVIDER]!) < 0, "a provider address of IP Rewrite has one record");
    link[0] = row[0]! & (USED | VSID_BITS | KIND_BITS | FAMILY_6);
    link[1] = row[PROVIDER]!;
    link[2] = 0;
    link[3] = 0;
    for (let word = 0; word < 4; word++) link[LINKED + word] = row[1 + word]!;
    this.nat.insert(link, undefined);
  }

  private seekNat(number: number): number {
    const hash = natHash(number);
    return seek(this.nat.pageOf(hash).words, NAT_PLACE, hash, 0, number, 0, 0, 0);
  }

  /** Appends `this.row` to a list. */
  private enlist(list: number, high: number, low: number): void {
    const { row, link } = this;
    link[0] = USED | list | (row[0]! & (KIND_BITS | FAMILY_6));
    link[1] = high;
    link[2] = low;
    link[3] = this.listLength(list, high, low);
    for (let word = 0; word < 4; word++) link[LINKED + word] = row[1 + word]!;
    this.links.insert(link, undefined);
  }

  /** Takes the row at `at` off a list; the last of the list moves into its place. */
  private delist(list: number, high: number, low: number, words: Int32Array, at: number): void {
    const last = this.listLength(list, high, low) - 1;
    let n = 0;
    while (!linksTo(this.linkAt(list, high, low, n), words, at)) n++;
    if (n !== last) {
      const moved = this.linkAt(list, high, low, last);
      const hash = hashKey(list, high, low, n, 0);
      const page = this.links.writablePageOf(hash).words;
      const to = seek(page, LIST_PLACE, hash, list, high, low, n, 0);
      page[to] = moved[0]!;
      for (let word = LINKED; word < ROW_WORDS; word++) page[to + word] = moved[word]!;
    }
    const hash = hashKey(list, high, low, last, 0);
    this.links.remove(hash, this.seekLink(list, high, low, last));
  }

  /** How many links a list has: they are numbered without gaps, so doubling steps and then halving ones find the end. */
  private listLength(list: number, high: number, low: number): number {
    if (this.seekLink(list, high, low, 0) < 0) return 0;
    let present = 0;
    let absent = 1;
    while (this.seekLink(list, high, low, absent) >= 0) {
      present = absent;
      absent *= 2;
    }
    while (absent - present > 1) {
      const middle = (present + absent) >>> 1;
      if (this.seekLink(list, high, low, middle) >= 0) present = middle;
      else absent = middle;
    }
    return absent;
  }

  private seekLink(list: number, high: number, low: number, n: number): number {
    const hash = hashKey(list, high, low, n, 0);
    return seek(this.links.pageOf(hash).words, LIST_PLACE, hash, list, high, low, n, 0);
  }

  /** A copy of a link that exists. */
  private linkAt(list: number, high: number, low: number, n: number): Int32Array {
    const { words } = this.links.pageOf(hashKey(list, high, low, n, 0));
    const at = this.seekLink(list, high, low, n);
    return words.slice(at, at + ROW_WORDS);
  }

  private rowHash(): number {
    const { row } = this;
    return hashKey(row[0]! & IDENTITY.word0, row[1]!, row[2]!, row[3]!, row[4]!);
  }

  private seekRow(words: Int32Array, hash: number): number {
    const { row } = this;
    return seek(words, IDENTITY, hash, row[0]! & IDENTITY.word0, row[1]!, row[2]!, row[3]!, row[4]!);
  }

  private textsToKeep(texts: LookupRecordTexts): LookupRecordTexts | undefined {
    const { customerID, context, vmName } = texts;
    if (customerID === null && context === null && vmName === null) return undefined;
    const last = this.lastTexts;
    if (customerID !== last.customerID || context !== last.context || vmName !== last.vmName) {
      this.lastTexts = { customerID, context, vmName };
    }
    return this.lastTexts;
  }
}

/** The record of a row. `customerAddress` spares making one where the caller has it in hand. */
function readRow(
  page: Page<LookupRecordTexts>,
  at: number,
  providers: { at(number: number): Address },
  customerAddress: Address | null,
): LookupRecord {
  const { words } = page;
  const word0 = words[at]!;
  const texts = asideAt(page, at) ?? NO_TEXTS;
  return {
    customerAddress: customerAddress ?? addressOf(words, at),
    virtualSubnetID: (word0 & VSID_BITS) as Vsid,
    macAddress: (words[at + MAC_HIGH]! * 0x1_0000_0000 + (words[at + MAC_LOW]! >>> 0)) as Mac,
    providerAddress: providers.at(words[at + PROVIDER]!),
    rule: RULES[(word0 & RULE_BITS) >>> RULE_SHIFT]!,
    type: typeOf(word0),
    useVmMACAddress: (word0 & USE_VM_MAC) !== 0,
    customerID: texts.customerID,
    context: texts.context,
    vmName: texts.vmName,
  };
}

function addressOf(words: Int32Array, at: number): Address {
  const family = (words[at]! & FAMILY_6) === 0 ? 4 : 6;
  if (kindOf(words[at]!) !== Kind.ADDRESS) return UNSPECIFIED[family];
  return new Address(family, words[at + 1]! >>> 0, words[at + 2]! >>> 0, words[at + 3]! >>> 0, words[at + 4]! >>> 0);
}

function typeOf(word0: number): RecordType {
  const kind = kindOf(word0);
  if (kind === Kind.L2_ONLY) return "L2Only";
  if (kind === Kind.WILDCARD) return "GatewayWildcard";
  return (word0 & DYNAMIC) === 0 ? "Static" : "Dynamic";
}

const kindOf = (word0: number): number => (word0 & KIND_BITS) >>> KIND_SHIFT;
/** What a row that comes or goes means for the members of its subnet: those that packets reach by encapsulation. */
function memberChange(words: Int32Array, at: number, records: 1 | -1): MemberChange | undefined {
  const word0 = words[at]!;
  if ((word0 & RULE_BITS) >>> RULE_SHIFT !== ENCAP) return undefined;
  const isL2Only = kindOf(word0) === Kind.L2_ONLY;
  return { vsid: (word0 & VSID_BITS) as Vsid, provider: words[at + PROVIDER]!, isL2Only, records };
}

/** Does IP Rewrite put the record's provider address in the place of its CA? What has no CA cannot be told by it. */
const isRewritten = (word0: number): boolean =>
  (word0 & RULE_BITS) >>> RULE_SHIFT === NAT && kindOf(word0) === Kind.ADDRESS;

const natHash = (number: number): number => hashKey(0, number, 0, 0, 0);

/** The record that is rewritten to the provider address of this number. */
function readNat(
  nat: { pageOf(hash: number): Page<undefined> },
  rows: { pageOf(hash: number): Page<LookupRecordTexts> },
  providers: { at(number: number): Address },
  number: number,
): LookupRecord | undefined {
  const { words } = nat.pageOf(natHash(number));
  const at = seek(words, NAT_PLACE, natHash(number), 0, number, 0, 0, 0);
  if (at < 0) return undefined;
  const word0 = words[at]! & IDENTITY.word0;
  const [w0, w1, w2, w3] = [words[at + 4]!, words[at + 5]!, words[at + 6]!, words[at + 7]!];
  const hash = hashKey(word0, w0, w1, w2, w3);
  const page = rows.pageOf(hash);
  return readRow(page, seek(page.words, IDENTITY, hash, word0, w0, w1, w2, w3), providers, null);
}

const isWildcard = (word0: number): boolean => kindOf(word0) === Kind.WILDCARD;

/** Does a link name the row at `at`? */
const linksTo = (link: Int32Array, words: Int32Array, at: number): boolean =>
  link[LINKED + 3] === words[at + 4] &&
  ((link[0]! ^ words[at]!) & (KIND_BITS | FAMILY_6)) === 0 &&
  link[LINKED + 2] === words[at + 3] &&
  link[LINKED + 1] === words[at + 2] &&
  link[LINKED] === words[at + 1];

/** The identity as the words of a row's key. */
function keyOf(identity: LookupRecordIdentity) {
  const { virtualSubnetID, customerAddress: ca, macAddress: mac, type } = identity;
  const kind = KIND_OF_TYPE[type];
  const word0 = virtualSubnetID | (kind << KIND_SHIFT) | (ca.family === 6 ? FAMILY_6 : 0);
  if (kind === Kind.ADDRESS) return { word0, w0: ca.w0, w1: ca.w1, w2: ca.w2, w3: ca.w3 };
  return { word0, w0: 0, w1: 0, w2: highOf(mac), w3: lowOf(mac) };
}

const isIdentityOf = (identity: LookupRecordIdentity, record: LookupRecord): boolean =>
  identity.type === record.type &&
  identity.macAddress === record.macAddress &&
  identity.virtualSubnetID === record.virtualSubnetID &&
  sameAddress(identity.customerAddress, record.customerAddress);

const highOf = (mac: Mac): number => Math.floor(mac / 0x1_0000_0000);
const lowOf = (mac: Mac): number => mac | 0;
