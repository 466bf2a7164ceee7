/** Pages of docs/ that quote titles of tests in tables: reads the tables, and knows all titles. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Table {
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

/** A page has one table per section at most. */
export const tablesOf = (page: string): readonly Table[] =>
  page
    .split(/^## /m)
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

export const quotedIn = (cell: string): string[] => [...cell.matchAll(/"([^"]+)"/g)].map((match) => match[1]!);

/** The titles that the tables quote in their column Test. */
export const titlesIn = (tables: readonly Table[]): readonly string[] => [
  ...new Set(tables.flatMap(({ rows }) => rows.flatMap((row) => quotedIn(row.Test ?? "")))),
];

const TESTS = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => readFileSync(join(ROOT, "test", name), "utf8"));

/** A title is a whole literal, so that a part of another title does not do. */
export const isTitle = (title: string): boolean => TESTS.some((text) => text.includes(`"${title}"`));
