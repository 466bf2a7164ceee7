/**
 * The WebAssembly side of captures (`../assembly/index.ts`), bound to one memory. See there for what each function does.
 */
import { readFileSync } from "node:fs";

export interface Scanner {
  /** An address; WebAssembly gives it signed. */
  readonly cursor: { readonly value: number };
  readonly stop: { readonly value: number };
  readonly longest: { readonly value: number };
  scanRecords(
    at: number,
    end: number,
    row: number,
    rowsMax: number,
    bytesMax: number,
    header: number,
    unit: number,
    swapped: number,
    tag: number,
  ): number;
  scanBlocks(
    at: number,
    end: number,
    row: number,
    rowsMax: number,
    bytesMax: number,
    faces: number,
    faceCount: number,
    firstTag: number,
    swapped: number,
  ): number;
  toNanoseconds(high: number, low: number, face: number): bigint;
  sortItems(list: number, count: number): void;
  writeRecords(list: number, count: number, base: number, unit: number): number;
  rewriteRecords(list: number, count: number, base: number, header: number, swapped: number): number;
  rewriteBlocks(list: number, count: number, out: number, outEnd: number, swapped: number): number;
  packBlocks(list: number, count: number, base: number, id: number, unit: number): void;
}

/** Three levels up from here is the package, in `src` as in `dist`. */
const FILE = new URL("../../../dist/io/capture.wasm", import.meta.url);

let compiled: WebAssembly.Module | undefined;
const scanners = new WeakMap<WebAssembly.Memory, Scanner>();

/** The scanner that works on this memory; one for all readers and writers of it. */
export function scannerOf(memory: WebAssembly.Memory): Scanner {
  let scanner = scanners.get(memory);
  if (!scanner) {
    compiled ??= new WebAssembly.Module(readFileSync(FILE));
    const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
    scanner = exports as unknown as Scanner;
    scanners.set(memory, scanner);
  }
  return scanner;
}
