/**
 * The WebAssembly side of captures (`../assembly/index.ts`), bound to one memory. See there for what each function does.
 */
import { readFileSync } from "node:fs";

export interface Scanner {
  /** An address; WebAssembly gives it signed. */
  readonly cursor: { readonly value: number };
  readonly stop: { readonly value: number };
  readonly longest: { readonly value: number };
  readonly gathered: { readonly value: number };
  readonly refused: { readonly value: number };
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
  gather(
    row: number,
    end: number,
    port: number,
    verdict: number,
    id: number,
    to: number,
    limit: number,
    frameMax: number,
  ): number;
}

/** Three levels up from here is the package, in `src` as in `dist`. */
const FILE = new URL("../../../dist/io/capture.wasm", import.meta.url);
/** The same code for memories that several threads see: a module says which kind it takes. */
const SHARED_FILE = new URL("../../../dist/io/capture-shared.wasm", import.meta.url);

const compiled = new Map<URL, WebAssembly.Module>();
const scanners = new WeakMap<WebAssembly.Memory, Scanner>();

/** The scanner that works on this memory; one for all readers and writers of it. */
export function scannerOf(memory: WebAssembly.Memory): Scanner {
  let scanner = scanners.get(memory);
  if (!scanner) {
    const file = memory.buffer instanceof SharedArrayBuffer ? SHARED_FILE : FILE;
    const module = compiled.get(file) ?? new WebAssembly.Module(readFileSync(file));
    compiled.set(file, module);
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    scanner = exports as unknown as Scanner;
    scanners.set(memory, scanner);
  }
  return scanner;
}
