/**
 * Runs every bench in turn, each in a process of its own, and fails if one fails. `npm run bench` builds first.
 *
 *     node bench/run.mjs [--quick] [NAME…]       NAME is a file's name up to `.bench.mjs`
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("..", import.meta.url));
const SUFFIX = ".bench.mjs";
/** `memory` looks at the heap between two points in time. */
const NODE_OPTIONS = { memory: ["--expose-gc"] };

const flags = process.argv.slice(2).filter((word) => word.startsWith("--"));
const asked = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const all = readdirSync(folder)
  .filter((file) => file.endsWith(SUFFIX))
  .map((file) => file.slice(0, -SUFFIX.length))
  .sort();
const unknown = [...asked.filter((name) => !all.includes(name)), ...flags.filter((flag) => flag !== "--quick")];
if (unknown.length > 0) {
  console.error(`bench: ${unknown.join(", ")} is none of --quick, ${all.join(", ")}`);
  process.exit(2);
}

const failed = (asked.length > 0 ? asked : all).filter((name) => !runs(name));
if (failed.length > 0) {
  console.error(`\nbench: failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}

function runs(name) {
  console.log(`\n── bench ${name}`);
  const began = process.hrtime.bigint();
  const args = [...(NODE_OPTIONS[name] ?? []), `${folder}${name}${SUFFIX}`, ...flags];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  const elapsed = (Number(process.hrtime.bigint() - began) / 1e9).toFixed(1);
  console.log(`── bench ${name}: ${status === 0 ? "done" : "FAILED"} (${elapsed} s)`);
  return status === 0;
}
