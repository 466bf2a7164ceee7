/** Documents that are true: links lead somewhere, and what the README shows is what comes when one types it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { REASON_COUNT, type Reason, reasonName, reasonText, windowsReason } from "../src/dataplane/drop-reasons.js";
import { hnv, ROOT, shell, workplace } from "./cli/helpers.js";

const README = join(ROOT, "README.md");
const OUTER = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pcaps/README.md"];
const DOCUMENTS = [
  ...OUTER,
  ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];

const CODE_BLOCK = /^```\w*\n[\s\S]*?^```$/gm;

it.each(DOCUMENTS)("%s: every relative link leads to a file", (name) => {
  const prose = readFileSync(join(ROOT, name), "utf8").replace(CODE_BLOCK, "");
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  const broken = targets
    .filter((target) => !/^(?:[a-z]+:|#)/.test(target))
    .filter((target) => !existsSync(join(ROOT, dirname(name), target.replace(/#.*$/, ""))));
  expect(broken).toEqual([]);
});

it.each(DOCUMENTS)("%s: no table is cut by an empty line", (name) => {
  const lines = readFileSync(join(ROOT, name), "utf8").replace(CODE_BLOCK, "").split("\n");
  const begins = lines.flatMap((line, index) => (line.startsWith("|") && lines[index - 1] === "" ? index : []));
  const headless = begins.filter((index) => !/^\|[ :|-]+$/.test(lines[index + 1] ?? ""));
  expect(headless.map((index) => lines[index])).toEqual([]);
});

/** A stand-in for the repository's root in which commands may write. */
function stage(): string {
  const at = workplace();
  for (const name of ["bin", "examples", "pcaps"]) symlinkSync(join(ROOT, name), at(name));
  mkdirSync(at("out"));
  return at(".");
}

/** With UPDATE_DOCS=1 in the environment, the README gets the output that came; review the difference. */
it("README.md: every command line runs and gives the output that is shown, times aside", async () => {
  const withoutTimes = (text: string): string => text.replace(/\d+\.\d+ s\b.*/g, "TIME");
  const cwd = stage();
  let document = readFileSync(README, "utf8");
  let count = 0;
  for (const [block] of document.matchAll(/^```console\n[\s\S]*?^```$/gm)) {
    let fresh = "```console\n";
    for (const part of block.slice("```console\n".length, -"```".length).split(/^\$ /m).slice(1)) {
      const [line, ...shown] = part.split("\n");
      const { status, stdout } = await shell(`exec 2>&1; set -o pipefail; ${line}`, { cwd });
      expect(status, `${line}\n${stdout}`).toBe(0);
      if (process.env.UPDATE_DOCS !== "1") {
        expect(withoutTimes(stdout.trimEnd()), line).toBe(withoutTimes(shown.join("\n").trimEnd()));
      }
      fresh += `$ ${line}\n${stdout.trimEnd()}\n`;
      count++;
    }
    document = document.replace(block, () => `${fresh}\`\`\``);
  }
  expect(count).toBeGreaterThan(5);
  if (process.env.UPDATE_DOCS === "1") writeFileSync(README, document);
});

it("README.md: every line that begins with bin/hnv is in a console block, and so is run above", () => {
  const others = readFileSync(README, "utf8").replace(/^```console\n[\s\S]*?^```$/gm, "");
  expect(others).not.toMatch(/^\s*(?:\$ )?bin\/hnv /m);
});

it("README.md: the library snippet prints what it says", async () => {
  const [, snippet] = /^```js\n([\s\S]*?)^```$/m.exec(readFileSync(README, "utf8"))!;
  const [, promised] = /^\/\/ prints: (.*)$/m.exec(snippet!)!;
  const { status, stdout, stderr } = await shell("node --input-type=module -", {
    cwd: ROOT,
    input: new TextEncoder().encode(snippet),
  });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: `${promised}\n`, stderr: "" });
});

it("README.md stays short", () => {
  expect(readFileSync(README, "utf8").split("\n").length).toBeLessThan(250);
});

it("docs/COUNTERS.md lists every drop reason with its sentence", () => {
  const text = readFileSync(join(ROOT, "docs/COUNTERS.md"), "utf8");
  const rows = [...text.matchAll(/^\| `([A-Z0-9_]+)` \| (.*?) \| (.*?) \|$/gm)].map(([, ...cells]) => cells);
  const reasons = Array.from({ length: REASON_COUNT - 1 }, (_, index) => (index + 1) as Reason);
  expect(rows).toEqual(
    reasons.map((reason) => [reasonName(reason), reasonText(reason), windowsReason(reason) ?? "none"]),
  );
});

it("docs/COUNTERS.md names every total and every flow counter that `hnv run --json` has", async () => {
  const text = readFileSync(join(ROOT, "docs/COUNTERS.md"), "utf8");
  const { status, stdout } = await hnv([
    ...["run", join(ROOT, "examples/two-tenants.yaml"), "--json"],
    ...["--in", `host1/Blue1=${join(ROOT, "pcaps/worked-a-sent.pcap")}`],
  ]);
  expect(status).toBe(0);
  const { totals, flows } = JSON.parse(stdout) as { totals: object; flows: object };
  for (const name of [...Object.keys(totals), ...Object.keys(flows)]) expect(text).toContain(`| \`${name}\` |`);
});
