/** The compiled kernel, which `npm run build` leaves in `dist`. */
import { readFileSync } from "node:fs";

const KERNEL = new URL("../../dist/dataplane/kernel/kernel.wasm", import.meta.url);
export const kernelModule = (): WebAssembly.Module => new WebAssembly.Module(readFileSync(KERNEL));
