/** Help that is true: every command has examples, and every example of the help and of docs/CLI.md does what it says. */
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { innerOf, workedPacket } from "../vectors/worked-packets.js";
import { hnv, inParallel, LABS, ROOT, shell, workplace, writePcap } from "./helpers.js";

const COMMANDS = ["run", "encap", "decap", "trace", "explain", "compare", "check", "mtu", "import", "bench", "ifaces"];

/** A directory with everything that the examples of the help name. */
function stage(): (name: string) => string {
  const at = workplace();
  cpSync(LABS.plain, at("lab.yaml"));
  cpSync(join(ROOT, "examples/operator-script.ps1"), at("blue.ps1"));
  const vm = Array.from({ length: 20 }, () => innerOf("a"));
  const wire = Array.from({ length: 20 }, () => workedPacket("a"));
  for (const name of ["vm.pcap", "a.pcap", "b.pcap", "vm.pcapng", "b.pcapng"]) writePcap(at(name), vm);
  for (const name of ["wire.pcap", "expected.pcap", "wire.pcapng", "mirror.pcap"]) writePcap(at(name), wire);
  writeFileSync(at("vm.pcap.gz"), gzipSync(readFileSync(at("vm.pcap"))));
  return at;
}

it("hnv --help lists exactly the commands that there are", async () => {
  const { status, stdout } = await hnv(["--help"]);
  expect(status).toBe(0);
  expect([...stdout.matchAll(/^ {2}([a-z]+) (?:\[options\]|<|\[)/gm)].map(([, name]) => name)).toEqual(COMMANDS);
  expect((await hnv(["--version"])).stdout).toBe(
    `${(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string }).version}\n`,
  );
});

it.each(["", ...COMMANDS])("hnv %s --help: its examples run", async (command) => {
  const { status, stdout, stderr } = await hnv([...(command ? [command] : []), "--help"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const examples = [...stdout.slice(stdout.indexOf("Examples:")).matchAll(/^ {2}(\S*\s?\S*.*hnv .*)$/gm)].map(
    ([, line]) => line!,
  );
  expect(examples.length).toBeGreaterThan(1);
  const stages = examples.map((example) => ({ example, cwd: stage()(".") }));
  await inParallel(stages, async ({ example, cwd }) => {
    const ended = await shell(`set -o pipefail; ${example}`, { cwd });
    const fine = example.startsWith("hnv compare") ? [0, 1] : [0]; // a difference is a result
    expect(fine, `${example}: ${ended.stderr}`).toContain(ended.status);
  });
});

it("colours on a terminal, none under NO_COLOR", async () => {
  const onTerminal = `script -qec 'hnv check ${LABS.plain}; hnv mtu --path-mtu 1600' /dev/null`;
  if ((await shell("command -v script")).status !== 0) {
    console.warn("SKIPPED: colours on a terminal, because the program `script` (bsdutils) is not installed");
    return;
  }
  expect((await shell(onTerminal)).stdout).toContain("\u001b[32mguests can keep");
  expect((await shell(onTerminal, { env: { NO_COLOR: "1" } })).stdout).not.toContain("\u001b");
});

const DOCUMENT = join(ROOT, "docs/CLI.md");
const CONSOLE_BLOCK = /^```console\n([\s\S]*?)^```$/gm;

/** What is typed after `$ ` in a console block, and what is shown below it. */
function examplesOf(block: string): { line: string; output: string }[] {
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const [line, ...output] = part.split("\n");
      return { line: line!, output: output.join("\n").trimEnd() };
    });
}

/** With UPDATE_DOCS=1 in the environment, the document gets the output that came; review the difference. */
it("docs/CLI.md: every example gives the output that is shown, times aside", async () => {
  const at = workplace();
  for (const name of ["examples", "pcaps"]) symlinkSync(join(ROOT, name), at(name));
  const withoutTimes = (text: string): string => text.replace(/\d+\.\d+ s\b.*|"elapsedMs": \d+/g, "TIME");
  let document = readFileSync(DOCUMENT, "utf8");
  let count = 0;
  for (const [block, content] of document.matchAll(CONSOLE_BLOCK)) {
    let fresh = "```console\n";
    for (const { line, output } of examplesOf(content!)) {
      const came = (await shell(`(${line}) 2>&1`, { cwd: at(".") })).stdout.trimEnd();
      if (!process.env.UPDATE_DOCS) expect(withoutTimes(came), line).toBe(withoutTimes(output));
      fresh += `$ ${line}\n${came === "" ? "" : `${came}\n`}`;
      count++;
    }
    document = document.replace(block, () => `${fresh}${"```"}`);
  }
  expect(count).toBeGreaterThan(8);
  if (process.env.UPDATE_DOCS) writeFileSync(DOCUMENT, document);
});
