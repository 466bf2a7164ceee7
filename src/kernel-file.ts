/**
 * The compiled kernel, read from the package's `dist`. The data plane knows no files, so whoever builds an engine brings the
 * code along; this is where programs get it.
 */
import { readFileSync } from "node:fs";

/** One level up from here is the package, in `src` as in `dist`. */
const FILE = new URL("../dist/dataplane/kernel/kernel.wasm", import.meta.url);

let compiled: WebAssembly.Module | undefined;

/** Compiled once for all engines of the process. Throws if the package was not built. */
export function kernelModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(FILE));
  return compiled;
}
