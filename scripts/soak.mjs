/**
 * `npm run soak`: the differential and bounds tests for long (`test/soak/soak.ts` says what runs). Compiles them as plain modules,
 * which run faster than under the test runner, and the WebAssembly with assertions, both into `build/soak`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
mkdirSync("build/soak", { recursive: true });
// The tests look for compiled WebAssembly in `dist`, beside `test` and `src`.
if (!existsSync("build/soak/dist")) symlinkSync("../../dist", "build/soak/dist", "dir");
run("node_modules/typescript/bin/tsc", "-p", "test/soak/tsconfig.json");
run("scripts/build-wasm.mjs", "--checked", "build/soak/checked");
run("build/soak/test/soak/soak.js", "build/soak/checked", ...process.argv.slice(2));

function run(script, ...args) {
  const { status } = spawnSync(process.execPath, [script, ...args], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
