/** Standard input and output of a process of its own, which needs the built package. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { HAS_TOOLS, hex, makeSpecimens, PYTHON, readAll, scratchFolder } from "../helpers.js";

const folder = scratchFolder();
const at = (name: string): string => join(folder, name);
const door = join(import.meta.dirname, "../../../dist/io/index.js");
const isBuilt = existsSync(door);
if (!isBuilt) console.warn("SKIPPED: dist/io is not built; the tests of standard input and output are left out");

/** Copies standard input to standard output. */
const COPY = `
import { createCapture, readFrames } from "${pathToFileURL(door)}";
const writer = await createCapture("-", { format: "pcapng", isNanoseconds: true });
try {
  for await (const frame of readFrames("-")) {
    writer.writeFrame(frame.data, frame);
    await writer.ready();
  }
  await writer.finish();
} catch (error) {
  await writer.abandon();
  console.error(error.code + " " + error.message);
  process.exitCode = 1;
}
`;

describe.skipIf(!HAS_TOOLS || !isBuilt)("standard input and output", () => {
  if (HAS_TOOLS && isBuilt) makeSpecimens(folder);
  writeFileSync(at("copy.mjs"), COPY);
  const source = at("big-nano.pcap");
  const node = `"${process.execPath}" "${at("copy.mjs")}"`;

  const ways: readonly [name: string, command: string][] = [
    ["a file each", `${node} < "${source}" > "${at("out")}"`],
    ["a pipe each", `cat "${source}" | ${node} | cat > "${at("out")}"`],
    [
      "a slow pipe that does not block",
      `(head -c 500 "${source}"; sleep 0.2; tail -c +501 "${source}") | "${PYTHON}" -c 'import os, sys
os.set_blocking(0, False)
os.set_blocking(1, False)
os.execv(sys.argv[1], sys.argv[1:])' ${node} | (sleep 0.2; cat) > "${at("out")}"`,
    ],
  ];
  it.each(ways)("%s", async (_, command) => {
    writeFileSync(at("out"), "");
    execFileSync("sh", ["-c", command], { stdio: ["ignore", "ignore", "inherit"] });
    const [before, after] = [await readAll(source), await readAll(at("out"))];
    expect(after.error).toBeUndefined();
    expect(after.frames.map(({ data, timestampNs }) => [hex(data), timestampNs])).toEqual(
      before.frames.map(({ data, timestampNs }) => [hex(data), timestampNs]),
    );
  });

  it("a damaged standard input is named so, and what came before is written", async () => {
    const input = readFileSync(source).subarray(0, 1000);
    const { status, stdout, stderr } = spawnSync("sh", ["-c", `${node} | cat`], { input });
    expect(status).toBe(0); // cat's
    expect(stderr.toString()).toMatch(/^CAPTURE_TRUNCATED standard input: ends inside a record, .* at byte 9\d\d\n$/);
    writeFileSync(at("out"), stdout);
    expect((await readAll(at("out"))).frames.length).toBeGreaterThan(3);
  });

  it("a reader that goes away ends it with one line", () => {
    const input = Buffer.concat([readFileSync(source), ...Array<Buffer>(200).fill(readFileSync(source).subarray(24))]);
    writeFileSync(at("many.pcap"), input);
    const { stderr } = spawnSync("sh", ["-c", `${node} < "${at("many.pcap")}" | head -c 100 > /dev/null`]);
    expect(stderr.toString()).toMatch(
      /^CAPTURE_PIPE_CLOSED standard output: cannot be written on: the reader has closed/,
    );
    expect(stderr.toString().trim().split("\n").length).toBe(1);
  });

  it("nothing at all", () => {
    const { status, stderr } = spawnSync("sh", ["-c", `${node} < /dev/null > "${at("out")}"`]);
    expect(status).toBe(1);
    expect(stderr.toString()).toBe("CAPTURE_EMPTY standard input: is empty\n");
  });
});
