/** docs/RFC-COMPLIANCE.md names files, tests and drop reasons: all of them exist, and no row is missing. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Reason } from "../src/dataplane/drop-reasons.js";
import { isTitle, quotedIn, ROOT, tablesOf, titlesIn } from "./support/coverage-page.js";

const PAGE = readFileSync(join(ROOT, "docs", "RFC-COMPLIANCE.md"), "utf8");
const TABLES = tablesOf(PAGE);
const TITLES = titlesIn(TABLES);

describe("docs/RFC-COMPLIANCE.md", () => {
  it("names tests that exist", () => {
    expect(TITLES.length).toBeGreaterThan(80);
    expect(TITLES.filter((title) => !isTitle(title))).toEqual([]);
  });

  it("names files that exist", () => {
    const named = [...PAGE.matchAll(/`((?:src|test|docs|pcaps|examples|scripts)\/[^`]*)`/g)].map((match) => match[1]!);
    expect(named.length).toBeGreaterThan(80);
    expect(named.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
  });

  it("names drop reasons that exist", () => {
    const named = [...PAGE.matchAll(/`((?:RX|TX)_[A-Z0-9_]+)`/g)].map((match) => match[1]!);
    expect(named.length).toBeGreaterThan(50);
    expect(named.filter((name) => !Object.hasOwn(Reason, name))).toEqual([]);
  });

  it("has every row of the checklists and every negative vector, in order", () => {
    const numbersOf = (heading: string): string[] =>
      TABLES.find((table) => table.heading === heading)!.rows.map((row) => row["#"]!);
    const upTo = (count: number, prefix = ""): string[] =>
      Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
    expect(numbersOf("Receive checklist")).toEqual(upTo(33));
    expect(numbersOf("Send checklist")).toEqual(upTo(15));
    expect(numbersOf("Negative vectors")).toEqual(upTo(19, "N"));
  });

  it("claims nothing without a file and a test", () => {
    for (const { heading, columns, rows } of TABLES) {
      if (!columns.includes("State")) continue;
      for (const row of rows) {
        const what = `${heading}: ${row.Rule ?? row.Check ?? row.Step}`;
        expect(row.State, what).toMatch(/^(yes|partly|no|n\/a)\b/);
        if (!/^(yes|partly)/.test(row.State!)) continue;
        expect(row.Where, what).toMatch(/^`src\//);
        expect(quotedIn(row.Test!), what).not.toEqual([]);
      }
    }
  });
});
