// Compiles the AssemblyScript parts to WebAssembly. Each imports the memory it works on and brings no data that could
// collide with the layout of that memory, apart from what its entry says.
//
//     node scripts/build-wasm.mjs [--checked FOLDER [NAME]]
//
// With --checked they, or that one, go to the folder instead, with an assertion in front of every memory access
// (instrument-wasm.mjs) and a list of these in NAME.sites.json.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));

const MODULES = [
  { source: "src/dataplane/kernel/assembly/index.ts", output: "dist/dataplane/kernel/kernel.wasm", options: [] },
  { source: "src/io/assembly/index.ts", output: "dist/io/capture.wasm", options: [] },
  // Once more, for a memory that threads share.
  {
    source: "src/io/assembly/index.ts",
    output: "dist/io/capture-shared.wasm",
    options: ["--enable", "threads", "--sharedMemory", "--maximumMemory", "65536"],
  },
  { source: "src/cli/bench/assembly/index.ts", output: "dist/cli/bench/copy.wasm", options: [] },
];
const OPTIONS = [
  "-O3",
  "--runtime",
  "stub",
  "--importMemory",
  "--noExportMemory",
  "--enable",
  "simd",
  "--use",
  "abort=",
];

const [flag, folder, name] = process.argv.slice(2);
if (flag !== undefined && (flag !== "--checked" || folder === undefined)) {
  console.error("usage: build-wasm.mjs [--checked FOLDER [NAME]]");
  process.exit(2);
}
const checkedFolder = flag && resolve(folder);

process.chdir(root);
for (const module of MODULES) {
  const { source } = module;
  if (name !== undefined && basename(module.output, ".wasm") !== name) continue;
  const output = checkedFolder ? join(checkedFolder, basename(module.output)) : module.output;
  const options = checkedFolder ? [...module.options, "--debug"] : module.options; // names of functions, the same code
  if (!existsSync(dirname(source))) continue;
  if (!existsSync(source)) {
    console.error(`${source} is missing`);
    process.exit(1);
  }
  mkdirSync(dirname(output), { recursive: true });
  const { error, stderr } = await asc.main([source, "-o", output, ...OPTIONS, ...options]);
  if (error) {
    console.error(`${source} does not compile:\n${stderr.toString()}`);
    process.exit(1);
  }
  if (checkedFolder) {
    const { instrument } = await import("./instrument-wasm.mjs");
    const { binary, sites } = instrument(readFileSync(output));
    writeFileSync(output, binary);
    writeFileSync(output.replace(/wasm$/, "sites.json"), JSON.stringify(sites));
  }
}
