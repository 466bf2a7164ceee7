/** Loads the WebAssembly kernel over a packet memory. `assembly/index.ts` says what its calls do. */
import type { PacketMemory } from "../packet/memory.js";

export interface KernelCalls {
  begin(rows: number): void;
  /** How many of the first rows may go together, at most those of before `untilNs`. */
  span(rows: number, untilNs: bigint): number;
  advance(): number;
  /** The address of an unresolved packet's row. */
  rowOf(place: number): number;
  resolve(place: number): number;
  install(place: number, outputs: number): number;
  discard(place: number): void;
  transient(reserve: number): number;
  bind(place: number, entry: number): void;
  /** A row for a frame that was made because of the packet in row `cause`; 0 if it has no room, which is counted. */
  inject(cause: number, length: number): number;
  send(row: number, entry: number): void;
  enter(row: number, port: number): void;
  stampSum(entry: number): number;
  expire(steps: number): void;
  stateOf(entry: number): number;
}

/** Instantiates the compiled kernel, which the caller has read from wherever it lies: the data plane knows no files. */
export function loadKernel(module: WebAssembly.Module, memory: PacketMemory): KernelCalls {
  const instance = new WebAssembly.Instance(module, { env: { memory: memory.memory } });
  return instance.exports as unknown as KernelCalls;
}
