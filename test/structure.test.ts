/**
 * Who may know whom: the architecture's import directions, the one door of each folder, and no cycles, type-only imports included.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

/** What each room may import. A room is a folder, or a file that stands for itself. */
const MAY_KNOW: Readonly<Record<string, readonly string[]>> = {
  "dataplane/drop-reasons": [],
  "dataplane/wire": ["dataplane/drop-reasons"],
  "dataplane/transposition": ["dataplane/drop-reasons", "dataplane/wire", "dataplane/packet"],
  "dataplane/packet": ["dataplane/drop-reasons", "dataplane/wire"],
  "dataplane/policy": ["dataplane/drop-reasons", "dataplane/wire", "dataplane/transposition"],
  "dataplane/slowpath": [
    "dataplane/drop-reasons",
    "dataplane/wire",
    "dataplane/packet",
    "dataplane/policy",
    "dataplane/transposition",
  ],
  "dataplane/kernel": ["dataplane/packet"],
  "dataplane/flow": [
    "dataplane/drop-reasons",
    "dataplane/wire",
    "dataplane/packet",
    "dataplane/transposition",
    "dataplane/kernel",
  ],
  "dataplane/timeline": ["dataplane/slowpath", "dataplane/transposition"],
  "dataplane/engine": [
    "dataplane/drop-reasons",
    "dataplane/packet",
    "dataplane/slowpath",
    "dataplane/transposition",
    "dataplane/kernel",
    "dataplane/flow",
    "dataplane/timeline",
  ],
  "dataplane/trace": [
    "dataplane/drop-reasons",
    "dataplane/packet",
    "dataplane/slowpath",
    "dataplane/transposition",
    "dataplane/engine",
  ],
  dataplane: ["dataplane"],
  io: ["dataplane/packet", "dataplane/wire"],
  vswitch: ["dataplane"],
  control: ["dataplane", "vswitch"],
  "kernel-file": [],
  library: ["dataplane", "vswitch", "control", "io", "kernel-file"],
  index: ["dataplane", "vswitch", "control", "io", "library", "kernel-file"],
  cli: ["dataplane", "vswitch", "control", "io", "library", "kernel-file"],
};

/** Nothing that moves packets reads a clock, a file or a socket. */
const PURE = ["dataplane", "vswitch"];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly text: string;
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts") && !name.includes("assembly"))
  .map((name) => name.replaceAll("\\", "/"));

const imports: Import[] = files.flatMap((name) => {
  const text = readFileSync(join(SRC, name), "utf8");
  return [
    ...text.matchAll(/^(?:import|export)\b[^;]*?\bfrom "([^"]+)";|^import "([^"]+)";|\bimport\("([^"]+)"\)/gm),
  ].map((match) => {
    const target = (match[1] ?? match[2] ?? match[3])!;
    const to = target.startsWith(".")
      ? relative(SRC, resolve(SRC, dirname(name), target)).replace(/\.js$/, ".ts")
      : target;
    return { from: name, to, text: target };
  });
});
const inner = imports.filter(({ text }) => text.startsWith("."));

function roomOf(file: string): string {
  const path = file.replace(/\.ts$/, "");
  const rooms = Object.keys(MAY_KNOW).filter((room) => path === room || path.startsWith(`${room}/`));
  const room = rooms.sort((a, b) => b.length - a.length)[0];
  if (room === undefined) throw new Error(`${file} lies in no room of this test's table`);
  return room;
}

test("the reading of imports finds them", () => {
  expect(files.length).toBeGreaterThan(80);
  expect(inner.length).toBeGreaterThan(300);
});

test("rooms know only those below them", () => {
  const wrong = inner.filter(({ from, to }) => {
    const [a, b] = [roomOf(from), roomOf(to)];
    return a !== b && !MAY_KNOW[a]!.some((room) => b === room || b.startsWith(`${room}/`));
  });
  expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

test("from outside, a part is entered through its door", () => {
  const wrong = inner.filter(({ from, to }) => {
    const part = to.split("/")[0]!;
    return to.includes("/") && from.split("/")[0] !== part && !to.endsWith("/index.ts");
  });
  expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
});

test("no import cycles, type-only imports included", () => {
  const next = new Map<string, string[]>();
  for (const { from, to } of inner) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const cycles: string[] = [];
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      cycles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
      return;
    }
    if (done.has(file)) return;
    for (const target of next.get(file) ?? []) walk(target, [...path, file]);
    done.add(file);
  };
  for (const file of files) walk(file, []);
  expect(cycles).toEqual([]);
});

test("data plane and switch know no files, sockets, timers and clocks", () => {
  const outside = imports.filter(
    ({ from, text }) => PURE.includes(from.split("/")[0]!) && text.startsWith("node:") && text !== "node:assert",
  );
  expect(outside.map(({ from, text }) => `${from} imports ${text}`)).toEqual([]);
  const clocks = files.filter(
    (name) =>
      PURE.includes(name.split("/")[0]!) &&
      /\b(Date\.now|performance\.now|process\.hrtime|setTimeout|setInterval|Math\.random|new Date)\b/.test(
        readFileSync(join(SRC, name), "utf8"),
      ),
  );
  expect(clocks).toEqual([]);
});
