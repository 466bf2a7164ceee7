/** docs/POLICY-COVERAGE.md names tests for every row of the policy: all of them exist, and no row is missing. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isTitle, quotedIn, ROOT, tablesOf, titlesIn } from "./support/coverage-page.js";

const PAGE = readFileSync(join(ROOT, "docs", "POLICY-COVERAGE.md"), "utf8");
const TABLES = tablesOf(PAGE);

describe("docs/POLICY-COVERAGE.md", () => {
  it("names tests that exist", () => {
    const titles = titlesIn(TABLES);
    expect(titles.length).toBeGreaterThan(80);
    expect(titles.filter((title) => !isTitle(title))).toEqual([]);
  });

  it("has every row, in order", () => {
    const counts = TABLES.map(({ heading, rows }) => [heading, rows.map((row) => Number(row["#"]))]);
    const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
    expect(counts).toEqual([
      ["ARP and neighbor discovery", upTo(9)],
      ["Packet classes", upTo(4)],
      ["The unicast decision", upTo(9)],
      ["On the wire", upTo(7)],
      ["Windows Server 2012", upTo(4)],
      ["Other routers", upTo(4)],
      ["Broadcast and multicast", upTo(8)],
      ["Inbound", upTo(5)],
      ["IP Rewrite", upTo(12)],
      ["Gateways", upTo(11)],
      ["Ingress checks", upTo(8)],
      ["DHCP and learning", upTo(16)],
      ["Situations", upTo(12)],
      ["Worked examples", upTo(11)],
      ["Hard cases", upTo(16)],
    ]);
  });

  it("has a test for every row", () => {
    const bare = TABLES.flatMap(({ heading, rows }) =>
      rows.filter((row) => quotedIn(row.Test!).length === 0).map((row) => `${heading} ${row["#"]}`),
    );
    expect(bare).toEqual([]);
  });

  it("names findings and problems that exist", () => {
    const explained = readFileSync(join(ROOT, "docs", "FABRIC-FILE.md"), "utf8");
    const sources = readFileSync(join(ROOT, "src/control/fabric-file/consistency/records.ts"), "utf8");
    const codes = TABLES.find(({ heading }) => heading === "Hard cases")!.rows.flatMap((row) =>
      [...row["hnv check"]!.matchAll(/`([A-Z0-9_]+)`/g)].map((match) => match[1]!),
    );
    expect(codes.length).toBeGreaterThan(10);
    expect(codes.filter((code) => !explained.includes(`\`${code}\``) && !sources.includes(`"${code}"`))).toEqual([]);
  });
});
