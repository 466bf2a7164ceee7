// Compiles the AssemblyScript parts to WebAssembly. Each imports the memory it works on and brings no data that could
// collide with the layout of that memory, apart from what its entry says.
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));

const MODULES = [
  { source: "src/dataplane/kernel/assembly/index.ts", output: "dist/dataplane/kernel/kernel.wasm", options: [] },
  { source: "src/io/assembly/index.ts", output: "dist/io/capture.wasm", options: [] },
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

process.chdir(root);
for (const { source, output, options } of MODULES) {
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
}
