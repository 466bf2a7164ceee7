/** Random damage to a lab: whatever is in the file, the answer is a lab or problems, and a lab can always be checked. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, it } from "vitest";
import { checkLab, loadFabricFile } from "../../../src/control/index.js";
import { TWO_HOSTS } from "../labs.js";

const example = (name: string): string => readFileSync(new URL(`../../../examples/${name}`, import.meta.url), "utf8");
const TEXTS = [TWO_HOSTS, example("one-host-records.yaml"), example("two-tenants-v6.yaml")];

/** Pieces that belong somewhere, but perhaps not here. */
const PIECES = [
  "null",
  "true",
  "-1",
  "0",
  "5001",
  "16777215",
  "1e400",
  '""',
  "''",
  "[]",
  "{}",
  "[[]]",
  "host1",
  "nic1",
  "provider",
  "Blue1",
  "10.0.0.5",
  "0.0.0.0",
  "255.255.255.255",
  '"::"',
  '"ff02::1"',
  "10.0.0.0/24",
  "0.0.0.0/0",
  "10.0.0.1/32",
  '"::/0"',
  "060600000005",
  "ff-ff-ff-ff-ff-ff",
  "*a",
  "&a x",
  "!!binary aGk=",
  "? x",
  "- x",
  "|",
  ">",
  "#",
  "{",
  "}",
  "[",
  "]",
  ":",
  ",",
  '"',
  "'",
  "\t",
  "\n",
  "é",
  "\u{1f600}",
  "<<: *a",
  "---",
  "...",
  "L2Only",
  "GatewayWildcard",
  "TranslationMethodNat",
  "2012",
  "__proto__: 1",
  "constructor: 1",
  "lookupRecords: [{}]",
  "hosts: [{}]",
  "team: { name: t, members: [nic1] }",
];

const mutation = fc.record({
  kind: fc.constantFrom("replace", "insert", "delete line", "repeat line", "swap lines"),
  at: fc.nat(1000),
  other: fc.nat(1000),
  piece: fc.constantFrom(...PIECES),
});

function mutate(
  text: string,
  { kind, at, other, piece }: typeof mutation extends fc.Arbitrary<infer T> ? T : never,
): string {
  const words = text.split(/([\s,{}[\]]+)/);
  const lines = text.split("\n");
  const line = at % lines.length;
  switch (kind) {
    case "replace":
      words[(at % Math.ceil(words.length / 2)) * 2] = piece;
      return words.join("");
    case "insert":
      words.splice(at % words.length, 0, piece);
      return words.join("");
    case "delete line":
      return lines.toSpliced(line, 1).join("\n");
    case "repeat line":
      return lines.toSpliced(other % lines.length, 0, lines[line]!).join("\n");
    default: {
      const swapped = [...lines];
      [swapped[line], swapped[other % lines.length]] = [swapped[other % lines.length]!, swapped[line]!];
      return swapped.join("\n");
    }
  }
}

it("damaged labs give problems with places in the file, or labs that can be checked", () => {
  const arbitrary = fc.tuple(fc.constantFrom(...TEXTS), fc.array(mutation, { minLength: 1, maxLength: 4 }));
  fc.assert(
    fc.property(arbitrary, ([original, mutations]) => {
      const text = mutations.reduce(mutate, original);
      const loaded = loadFabricFile(text, "damaged.yaml");
      const lines = text.split("\n");
      const said = loaded.ok ? [...loaded.findings, ...checkLab(loaded.document, loaded.lab)] : loaded.problems;
      if (!loaded.ok) expect(said.length).toBeGreaterThan(0);
      for (const { line, column, message } of said) {
        expect(line).toBeGreaterThanOrEqual(1);
        expect(line).toBeLessThanOrEqual(lines.length);
        expect(column).toBeGreaterThanOrEqual(1);
        expect(column).toBeLessThanOrEqual(lines[line - 1]!.length + 1);
        expect(message).not.toMatch(/undefined|\[object|NaN/);
      }
    }),
    { numRuns: 400 },
  );
});
