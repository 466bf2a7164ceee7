/** docs/RFC-COMPLIANCE.md names files, tests and drop reasons: all of them exist, and no row is missing. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Reason } from "../src/dataplane/drop-reasons.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PAGE = readFileSync(join(ROOT, "docs", "RFC-COMPLIANCE.md"), "utf8");

interface Table {
  readonly heading: string;
  readonly columns: readonly string[];
  /** Cells by the name of their column. */
  readonly rows: readonly Readonly<Record<string, string>>[];
}

const cellsOf = (line: string): string[] =>
  line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());

/** The page has one table per section at most. */
const TABLES: readonly Table[] = PAGE.split(/^## /m)
  .slice(1)
  .flatMap((section) => {
    const [head, , ...body] = section.split("\n").filter((line) => line.startsWith("|"));
    if (head === undefined) return [];
    const columns = cellsOf(head);
    const rows = body.map((line) => {
      const cells = cellsOf(line);
      expect(cells, line).toHaveLength(columns.length);
      return Object.fromEntries(columns.map((column, index) => [column, cells[index]!]));
    });
    return [{ heading: section.split("\n")[0]!, columns, rows }];
  });

const quotedIn = (cell: string): string[] => [...cell.matchAll(/"([^"]+)"/g)].map((match) => match[1]!);
const TITLES = [...new Set(TABLES.flatMap(({ rows }) => rows.flatMap((row) => quotedIn(row.Test ?? ""))))];

const TESTS = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => readFileSync(join(ROOT, "test", name), "utf8"));
/** A title is a whole literal, so that a part of another title does not do. */
const isTitle = (title: string): boolean => TESTS.some((text) => text.includes(`"${title}"`));

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
