import { expect, test } from "vitest";
import { asideAt, hashKey, ROW_WORDS, RowTable, seek, USED } from "../../../src/dataplane/policy/row-table.js";
import { chanceFromSeed } from "./samples.js";

const MASK = { word0: 0xffff, word4: -1 };

function find(
  table: RowTable<string>,
  key: readonly number[],
): { contents: number; aside: string | undefined } | undefined {
  const [k0, k1, k2, k3, k4] = key as [number, number, number, number, number];
  const hash = hashKey(k0, k1, k2, k3, k4);
  const page = table.pageOf(hash);
  const at = seek(page.words, MASK, hash, k0, k1, k2, k3, k4);
  return at < 0 ? undefined : { contents: page.words[at + 5]!, aside: asideAt(page, at) };
}

const rowOf = (key: readonly number[], contents: number): Int32Array =>
  Int32Array.from([key[0]! | USED, key[1]!, key[2]!, key[3]!, key[4]!, contents, 0, 0]);

test("a row-table equals a Map through inserts, removals and old snapshots", () => {
  const chance = chanceFromSeed();
  const keyOf = (n: number): number[] => [n & 0xff, 0, n >>> 8, -n, 7];
  let table = RowTable.empty<string>(MASK);
  const model = new Map<number, number>();
  const snapshots: { table: RowTable<string>; model: Map<number, number> }[] = [];
  for (let round = 0; round < 60; round++) {
    const draft = table.draft();
    const weight = chance.below(10);
    for (let step = 0; step < 500; step++) {
      const n = chance.below(12_000);
      const key = keyOf(n) as [number, number, number, number, number];
      const hash = hashKey(...key);
      const at = seek(draft.pageOf(hash).words, MASK, hash, ...key);
      expect(at >= 0, `seed ${chance.seed} round ${round} step ${step}`).toBe(model.has(n));
      if (at >= 0 && chance.below(10) < weight) {
        draft.remove(hash, at);
        model.delete(n);
      } else if (at < 0) {
        draft.insert(rowOf(key, step), n % 3 === 0 ? `row ${n}` : undefined);
        model.set(n, step);
      }
    }
    table = draft.freeze();
    expect(table.size).toBe(model.size);
    if (round % 15 === 0) snapshots.push({ table, model: new Map(model) });
  }
  for (const snapshot of [...snapshots, { table, model }]) {
    for (let n = 0; n < 12_000; n++) {
      const contents = snapshot.model.get(n);
      const expected = contents === undefined ? undefined : { contents, aside: n % 3 === 0 ? `row ${n}` : undefined };
      expect(find(snapshot.table, keyOf(n)), `seed ${chance.seed} key ${n}`).toEqual(expected);
    }
  }
});

test("keys made to collide cost time, not correctness", () => {
  // The last word mixed in is k3, so it can undo whatever the words before it did.
  const collide = (k2: number): [number, number, number, number, number] => {
    let h = Math.imul(5 ^ 0x9e37_79b9, 0x85eb_ca6b);
    h = Math.imul(h ^ (h >>> 15) ^ 1, 0xc2b2_ae35);
    h = Math.imul(h ^ (h >>> 13) ^ 2, 0x85eb_ca6b);
    h = Math.imul(h ^ (h >>> 15) ^ k2, 0xc2b2_ae35);
    return [1, 2, k2, (h ^ (h >>> 13)) | 0, 5];
  };
  const keys = Array.from({ length: 2_000 }, (_, n) => collide(n));
  expect(new Set(keys.map((key) => hashKey(...key))).size, "the keys do collide").toBe(1);
  const draft = RowTable.empty<string>(MASK).draft();
  keys.forEach((key, n) => {
    draft.insert(rowOf(key, n), undefined);
  });
  for (let n = 0; n < keys.length; n += 2) {
    const key = keys[n]!;
    const hash = hashKey(...key);
    draft.remove(hash, seek(draft.pageOf(hash).words, MASK, hash, ...key));
  }
  const table = draft.freeze();
  expect(table.size).toBe(1_000);
  expect(keys.map((key) => find(table, key)?.contents)).toEqual(keys.map((_, n) => (n % 2 ? n : undefined)));
});

test("pages lie in shared memory, each is visited once, and a change copies one", () => {
  const draft = RowTable.empty<string>(MASK).draft();
  for (let n = 0; n < 10_000; n++) draft.insert(rowOf([1, n, 0, 0, 0], n), undefined);
  const before = draft.freeze();
  const change = before.draft();
  change.insert(rowOf([2, 0, 0, 0, 0], 0), undefined);
  const after = change.freeze();
  const [old, fresh] = [[...before.pages()], [...after.pages()]];
  expect(old.length).toBeGreaterThan(10);
  expect(new Set(old).size).toBe(old.length);
  expect(old.reduce((sum, page) => sum + page.count, 0)).toBe(10_000);
  expect(old.every((page) => page.words.buffer instanceof SharedArrayBuffer)).toBe(true);
  expect(fresh.filter((page) => !old.includes(page))).toHaveLength(1);
  expect(old[0]!.words.length % ROW_WORDS).toBe(0);
});
