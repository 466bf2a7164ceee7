/** Runs one case on its workers and puts their figures together. */
import { Worker } from "node:worker_threads";
import { kernelModule } from "../../kernel-file.js";
import { Barrier } from "./barrier.js";
import { type BenchCase, outputLengthOf, wireLengthOf } from "./cases.js";
import { copyModule } from "./copy-limit.js";
import { type Summary, summary } from "./measure.js";
import type { Job, JobResult } from "./thread.js";

/** Over all workers together. */
export interface CaseResult {
  readonly case: BenchCase;
  readonly packetsPerSecond: Summary;
  /** Of frames as they are on the wire. */
  readonly wireBitsPerSecond: number;
  /** Of plain copies, measured in turn with the packets. */
  readonly copiedBytesPerSecond: number;
  /** Bytes of output frames, as a share of those that plain copies move in the same time. */
  readonly copyBandwidthShare: number;
  readonly allocBytesPerPacket: number;
  readonly hits: number;
  readonly misses: number;
  readonly digest: number;
}

const ROUNDS = 5;
/** Of a round's time; the rest is for copying. */
const PACKETS_SHARE = 0.8;

/** Measures for about so many seconds, preparations not counted. Rejects if a worker finds that the case is not what it says. */
export async function runCase(one: BenchCase, seconds: number): Promise<CaseResult> {
  const roundNs = (seconds * 1e9) / ROUNDS;
  const common = { barrier: Barrier.allocate(), kernel: kernelModule(), copyModule: copyModule() };
  const jobs = Array.from(
    { length: one.workers },
    (_, index): Job => ({
      case: one,
      share: { index, count: one.workers },
      rounds: ROUNDS,
      packetsNs: BigInt(Math.round(roundNs * PACKETS_SHARE)),
      copyNs: BigInt(Math.round(roundNs * (1 - PACKETS_SHARE))),
      ...common,
    }),
  );
  return combine(one, await runAll(jobs));
}

/** Each job in a thread. When one fails, the others would wait for it forever and are ended. */
async function runAll(jobs: readonly Job[]): Promise<JobResult[]> {
  const threads = jobs.map((job) => new Worker(new URL("./thread.js", import.meta.url), { workerData: job }));
  try {
    return await Promise.all(threads.map(resultOf));
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

const resultOf = (thread: Worker): Promise<JobResult> =>
  new Promise((resolve, reject) => {
    thread.once("message", resolve);
    thread.once("error", reject);
    thread.once("exit", (code) => reject(new Error(`a worker ended with ${code} and no result`)));
  });

function combine(one: BenchCase, results: readonly JobResult[]): CaseResult {
  const packetsPerSecond = summary(sumByRound(results.map(({ packetRates }) => packetRates)));
  const copiedBytesPerSecond = summary(sumByRound(results.map(({ copiedByteRates }) => copiedByteRates))).median;
  const total = (of: (result: JobResult) => number): number => results.reduce((sum, result) => sum + of(result), 0);
  return {
    case: one,
    packetsPerSecond,
    wireBitsPerSecond: packetsPerSecond.median * wireLengthOf(one) * 8,
    copiedBytesPerSecond,
    copyBandwidthShare: (packetsPerSecond.median * outputLengthOf(one)) / copiedBytesPerSecond,
    allocBytesPerPacket: total(({ allocBytesPerPacket }) => allocBytesPerPacket) / results.length,
    hits: total(({ hits }) => hits),
    misses: total(({ misses }) => misses),
    digest: total(({ digest }) => digest) % 2 ** 32,
  };
}

const sumByRound = (rates: readonly (readonly number[])[]): number[] =>
  rates[0]!.map((_, round) => rates.reduce((sum, ofWorker) => sum + ofWorker[round]!, 0));
