// Makes a checkout ready to run: installs what is missing, builds what is out of date. Needs Node.js and npm alone, so that
// `npm start` and `npm test` work straight after `git clone`.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const BUILT = `${root}dist/.built`;
const INSTALLED = `${root}node_modules/.package-lock.json`;

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  fail(`hnv needs Node.js 20.19 or newer; this is ${process.versions.node}`);
}

if (timeOf(INSTALLED) < Math.max(timeOf(`${root}package-lock.json`), 1)) {
  say("installing dependencies");
  run("npm", ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"]);
}
if (timeOf(BUILT) < newestSource()) {
  say("building");
  run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-p", `${root}tsconfig.json`]);
  run(process.execPath, [`${root}scripts/build-wasm.mjs`]);
  mkdirSync(`${root}dist`, { recursive: true });
  writeFileSync(BUILT, "");
}

function newestSource() {
  const files = ["package.json", "tsconfig.json", "scripts/build-wasm.mjs"].map((name) => timeOf(root + name));
  for (const entry of readdirSync(`${root}src`, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) files.push(timeOf(`${entry.parentPath}/${entry.name}`));
  }
  return Math.max(...files);
}

function timeOf(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0;
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (error) fail(`${command} could not be started: ${error.message}`);
  if (status !== 0) fail(`'${[command, ...args].join(" ")}' failed`);
}

function say(text) {
  console.error(`hnv: ${text} …`);
}

function fail(text) {
  console.error(`hnv: ${text}`);
  process.exit(1);
}
