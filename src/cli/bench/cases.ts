/** What `hnv bench` can measure, and the list that it measures when nobody asks for one case. */
import { DEFAULT_FLOW_CAPACITY } from "../../dataplane/index.js";
import { BUCKET_SIZE, ENTRY_SIZE } from "../../dataplane/packet/index.js";
import {
  type AddressFamily,
  ETHERNET_LENGTH,
  IPV4_LENGTH,
  IPV6_LENGTH,
  NVGRE_LENGTH,
} from "../../dataplane/wire/index.js";

export interface BenchCase {
  readonly direction: "encap" | "decap";
  /** IP versions inside and outside of the tunnel. */
  readonly inner: AddressFamily;
  readonly outer: AddressFamily;
  /** Bytes of the VM's frame, without FCS. */
  readonly size: number;
  /** Distinct flows of one pass over the frames. */
  readonly flows: number;
  /** Misses: no packet belongs to a flow that was seen before. */
  readonly traffic: "hits" | "misses";
  /** Slots: frames stay in the engine's memory. Capture: they are collected back to back, as for a file. */
  readonly output: "slots" | "capture";
  readonly workers: number;
}

export const SIZE_MIN = 64;
/** What jumbo-capable NICs carry. */
export const SIZE_MAX = 9216;

/** A pass has so many frames, or as many as there are flows; of long ones as many as fit the budget, which no cache holds. */
const FRAMES_PER_PASS = 65_536;
const BYTES_PER_PASS = 96 * 1024 * 1024;

/** How much longer a frame is on the wire. */
export const overheadOf = (outer: AddressFamily): number =>
  ETHERNET_LENGTH + (outer === 4 ? IPV4_LENGTH : IPV6_LENGTH) + NVGRE_LENGTH;

export const wireLengthOf = ({ size, outer }: BenchCase): number => size + overheadOf(outer);
export const inputLengthOf = (one: BenchCase): number => (one.direction === "encap" ? one.size : wireLengthOf(one));
export const outputLengthOf = (one: BenchCase): number => (one.direction === "encap" ? wireLengthOf(one) : one.size);

/** From the beginning of one input frame to that of the next: whole cache lines. */
export const strideOf = (one: BenchCase): number => (inputLengthOf(one) + 63) & ~63;

/** Frames of one pass, over all workers. */
export function framesPerPass(one: BenchCase): number {
  const usual = Math.min(FRAMES_PER_PASS, Math.floor(BYTES_PER_PASS / strideOf(one)));
  return one.traffic === "misses" ? usual : Math.max(one.flows, usual);
}

/** Flow entries that each worker has room for. */
export const flowCapacityOf = ({ flows, workers }: BenchCase): number =>
  Math.max(DEFAULT_FLOW_CAPACITY, 2 * Math.ceil(flows / workers));

/** About what one worker's engine takes: frames and flow table. */
export const memoryBytesOf = (one: BenchCase): number =>
  Math.ceil(framesPerPass(one) / one.workers) * strideOf(one) +
  flowCapacityOf(one) * (ENTRY_SIZE + BUCKET_SIZE) +
  64 * 1024 * 1024;

/** `encap-4in4-64-1000flows`, `decap-6in6-64-new-2workers` */
export function caseName({ direction, inner, outer, size, flows, traffic, output, workers }: BenchCase): string {
  const parts = [direction, `${inner}in${outer}`, size, traffic === "misses" ? "new" : `${flows}flows`];
  if (output === "capture") parts.push(output);
  if (workers > 1) parts.push(`${workers}workers`);
  return parts.join("-");
}

export const DEFAULT_CASE: BenchCase = {
  direction: "encap",
  inner: 4,
  outer: 4,
  size: 64,
  flows: 1_000,
  traffic: "hits",
  output: "slots",
  workers: 1,
};

/** A case in which every packet begins a flow; its flows are its packets. */
export const withMisses = (one: BenchCase): BenchCase => {
  const misses: BenchCase = { ...one, traffic: "misses" };
  return { ...misses, flows: framesPerPass(misses) };
};

/** The named list. Each case with several workers follows the same case with one, so that their ratio is of one moment. */
export function benchList(output: BenchCase["output"], cores: number): BenchCase[] {
  return (["encap", "decap"] as const).flatMap((direction) => {
    const plain: BenchCase = { ...DEFAULT_CASE, direction, output };
    const withWorkers = (one: BenchCase): BenchCase[] => (cores > 1 ? [one, { ...one, workers: cores }] : [one]);
    return [
      // frame sizes
      ...withWorkers(plain),
      ...[256, 512].map((size) => ({ ...plain, size })),
      ...withWorkers({ ...plain, size: 1500 }),
      { ...plain, size: 9000 },
      // numbers of flows
      { ...plain, flows: 1 },
      ...withWorkers({ ...plain, flows: 100_000 }),
      ...withWorkers({ ...plain, flows: 1_000_000 }),
      { ...plain, size: 1500, flows: 100_000 },
      // IP versions
      { ...plain, inner: 6 },
      { ...plain, outer: 6 },
      { ...plain, inner: 6, outer: 6 },
      { ...plain, inner: 6, outer: 6, flows: 100_000 },
      { ...plain, inner: 6, outer: 6, size: 1500 },
      // new flows
      ...withWorkers(withMisses(plain)),
      withMisses({ ...plain, inner: 6, outer: 6 }),
    ] as const;
  });
}
