/**
 * One worker of `hnv bench`: an engine of its own, its share of the flows, and what is measured. Runs in a thread of its own
 * also when it is alone, so that its heap holds nothing else and its memory goes with it.
 */
import { getHeapStatistics } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import type { Engine } from "../../dataplane/index.js";
import { Barrier } from "./barrier.js";
import { type BenchCase, outputLengthOf } from "./cases.js";
import { CopyLimit } from "./copy-limit.js";
import { makeBenchLab } from "./lab.js";
import { nowNs, summary } from "./measure.js";
import { type Share, Traffic } from "./traffic.js";

export interface Job {
  readonly case: BenchCase;
  readonly share: Share;
  readonly rounds: number;
  /** Of each round: for packets, and for copying. */
  readonly packetsNs: bigint;
  readonly copyNs: bigint;
  readonly barrier: SharedArrayBuffer;
  readonly kernel: WebAssembly.Module;
  readonly copyModule: WebAssembly.Module;
}

export interface JobResult {
  readonly digest: number;
  /** Per second, by round. */
  readonly packetRates: readonly number[];
  readonly copiedByteRates: readonly number[];
  /** Within the rounds. */
  readonly hits: number;
  readonly misses: number;
  readonly allocBytesPerPacket: number;
}

/** Between two looks at the clock. */
const BURSTS_PER_LOOK = 4;
const ALLOCATION_WINDOWS = 9;
/** Between two looks at the heap: few where every packet leaves garbage, so that it is not collected in between. */
const BURSTS_PER_WINDOW = { hits: 256, misses: 1 } as const;

function measure(job: Job): JobResult {
  const { case: one, rounds, packetsNs, copyNs } = job;
  const lab = makeBenchLab(one, job.kernel);
  const { engine } = lab;
  const traffic = new Traffic(lab, one, job.share);
  const limit = new CopyLimit(job.copyModule, outputLengthOf(one));
  const barrier = new Barrier(job.barrier, job.share.count);
  const sendSome = (): number => repeat(BURSTS_PER_LOOK, () => traffic.sendBurst());
  const copySome = (): number => repeat(BURSTS_PER_LOOK, () => limit.copyBurst());

  // 1. The flows become known, and the code fast.
  const digest = traffic.sendForDigest();
  ratePerSecond(packetsNs, sendSome);

  // 2. Packets and plain copies in turn, all workers together.
  const before = countersOf(engine);
  const packetRates: number[] = [];
  const copiedByteRates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    barrier.wait();
    packetRates.push(ratePerSecond(packetsNs, sendSome));
    barrier.wait();
    copiedByteRates.push(ratePerSecond(copyNs, copySome));
  }
  const after = countersOf(engine);
  const hits = after.hits - before.hits;
  const misses = after.misses - before.misses;

  // 3. The heap.
  const allocBytesPerPacket = allocation(() => repeat(BURSTS_PER_WINDOW[one.traffic], () => traffic.sendBurst()));

  checkAll(engine, one, hits, misses);
  if (one.traffic === "hits" && traffic.sendForDigest() !== digest) {
    throw new Error("the last pass gave other bytes than the first");
  }
  return { digest, packetRates, copiedByteRates, hits, misses, allocBytesPerPacket };
}

/** The sum of what `count` calls give. */
function repeat(count: number, work: () => number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += work();
  return sum;
}

/** Does `some` of the work again and again for so long, and returns how much of it was done per second. */
function ratePerSecond(durationNs: bigint, some: () => number): number {
  const began = nowNs();
  let done = 0;
  let elapsed: bigint;
  do {
    done += some();
    elapsed = nowNs() - began;
  } while (elapsed < durationNs);
  return (done * 1e9) / Number(elapsed);
}

/** Bytes by which the used heap grows per packet, without what looking at it takes; the median of several windows. */
function allocation(send: () => number): number {
  const growths = Array.from({ length: ALLOCATION_WINDOWS }, () => {
    const nothing = heapUsed();
    const before = heapUsed();
    const sent = send();
    return (heapUsed() - before - (before - nothing)) / sent;
  });
  return Math.max(0, summary(growths).median);
}

const heapUsed = (): number => getHeapStatistics().used_heap_size;

const countersOf = (engine: Engine): { hits: number; misses: number } => {
  const { hits, misses } = engine.flowCounters();
  return { hits, misses };
};

/** A case measures what it says, or fails. */
function checkAll(engine: Engine, one: BenchCase, hits: number, misses: number): void {
  const totals = engine.totals();
  if (totals.delivered !== totals.in) throw new Error(`${totals.delivered} frames of ${totals.in} were delivered`);
  const wrong = one.traffic === "hits" ? misses : hits;
  if (wrong > (hits + misses) / 1_000) {
    throw new Error(`${hits} hits and ${misses} misses are no case of ${one.traffic}`);
  }
}

parentPort?.postMessage(measure(workerData as Job));
