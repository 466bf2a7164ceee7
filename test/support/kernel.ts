/** The compiled kernel, which `npm run build` leaves in `dist`. */
import { readFileSync } from "node:fs";

const KERNEL = new URL("../../dist/dataplane/kernel/kernel.wasm", import.meta.url);

let compiled: WebAssembly.Module | undefined;

/** Compiled once for all engines of a test file. */
export function kernelModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(KERNEL));
  return compiled;
}
