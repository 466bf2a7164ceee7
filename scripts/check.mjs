// The whole truth about a change, before every commit and in CI: types, lint and format, generated files, tests (import
// directions among them), and every bench in its smallest size.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => `${root}node_modules/.bin/${name}`;
const STEPS = [
  ["types", bin("tsc"), ["-p", "tsconfig.check.json"]],
  ["lint and format", bin("biome"), ["check", "--error-on-warnings", "."]],
  ["generated files", process.execPath, ["scripts/generate-layouts.mjs", "--check"]],
  ["tests", bin("vitest"), ["run"]],
  ["benches, smallest size", process.execPath, ["bench/run.mjs", "--quick"]],
];

const withoutTests = process.argv.includes("--without-tests");
for (const [name, command, args] of STEPS) {
  if (withoutTests && name === "tests") continue;
  const began = process.hrtime.bigint();
  console.log(`\n── ${name}`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  console.log(
    `── ${name}: ${status === 0 ? "good" : "FAILED"} (${Number((process.hrtime.bigint() - began) / 100_000_000n) / 10} s)`,
  );
  if (status !== 0) process.exit(1);
}
