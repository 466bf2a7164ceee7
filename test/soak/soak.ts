/**
 * Long runs of what the tests run short: the kernel against the plain interpreter, random fabrics against their plan, both, and
 * the capture scanner, with an assertion in front of every memory access, and tenants who must not see each other.
 *
 *     npm run soak -- [--packets N] [--seed S] [--only NAME] [--processes N] [--seconds N]
 *
 *   kernel    N packets (10,000,000): engine and interpreter give the same bytes, under many burst sizes
 *   fabrics   N / 100 packets through random fabrics, and N / 1000 of them hop by hop
 *   bounds    N / 10 packets as in kernel, N / 500 as in fabrics, and N / 1000 captures, with assertions
 *   isolation N / 10 frames of two tenants with equal addresses and MACs, none of which reaches the other
 *   live      interfaces in namespaces, for so many seconds (900) and about as many for the rest: `live.ts`
 *
 * Work comes in batches, each with a seed of its own, and is the same for any number of processes. Seeds follow from S, which is
 * printed. At the first difference all ends with status 1 and a description with the batch's own seed: that as S, and as many
 * packets as one batch has, repeat it. What came up is counted by kind; a kind that never came up in a long run fails too.
 */
import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type FabricTally, makeFabricTally, runRandomFabric, runRandomFabricByHops } from "../engine/random-fabric.js";
import { CaptureFuzz, type CaptureTally, makeCaptureTally } from "../support/capture-fuzz.js";
import { BATCH_PACKETS, explain, type KernelTally, makeTally, randomBatch, runBatch } from "../support/differential.js";
import { type CheckedModule, readCheckedModule } from "../support/fences.js";
import { type IsolationTally, makeIsolationTally, runIsolation } from "../support/isolation.js";
import { kernelModule } from "../support/kernel.js";
import { Random } from "../support/random.js";
import { soakLive } from "./live.js";

const NAMES = ["kernel", "fabrics", "bounds", "isolation"] as const;
type Name = (typeof NAMES)[number];
const LIVE = "live";

const FABRIC_PACKETS = 500;
const HOP_PACKETS = 50;
const CHECKED_FABRIC_PACKETS = 20;
const CHECKED_CAPTURES = 10;
const ISOLATION_FRAMES = 20_000;
/** From here on everything that can come up must have. */
const LONG_RUN = 1_000_000;

/** What a process is told, and what it answers after each batch. */
interface Task {
  readonly name: Name;
  readonly seed: number;
}
type Answer = { readonly counts: Counts } | { readonly failure: string };
interface Counts {
  readonly kernel: KernelTally["counts"];
  readonly fabrics: FabricTally["counts"];
  readonly captures: CaptureTally["counts"];
  readonly isolation: IsolationTally["counts"];
}

const [, , folder, ...args] = process.argv;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1)); // namespaces end with us
if (process.send) work(folder!);
else process.exitCode = await main();

// One process that does batches.

function work(checkedFolder: string): void {
  const kernel = kernelModule();
  const checked = readCheckedModule(checkedFolder, "kernel");
  const capture = readCheckedModule(checkedFolder, "capture");
  process.on("message", (task: Task) => {
    let answer: Answer;
    try {
      answer = { counts: runTask(task, { kernel, checked, capture }) };
    } catch (error) {
      answer = { failure: (error as Error).message };
    }
    process.send!(answer);
  });
}

interface Modules {
  readonly kernel: WebAssembly.Module;
  readonly checked: CheckedModule;
  readonly capture: CheckedModule;
}

/** One batch. Throws at a difference, in words that repeat it. */
function runTask({ name, seed }: Task, { kernel, checked, capture }: Modules): Counts {
  const [tally, fabrics, captures, isolation] = [
    makeTally(),
    makeFabricTally(),
    makeCaptureTally(),
    makeIsolationTally(),
  ];
  if (name === "kernel" || name === "bounds") runKernelBatch(seed, name === "bounds" ? checked : kernel, tally);
  try {
    const random = new Random(seed);
    if (name === "fabrics") runFabrics(random, fabrics);
    if (name === "bounds") runBounds(random, { fabrics, captures }, { checked, capture });
    if (name === "isolation") runIsolation(random, { frames: ISOLATION_FRAMES, kernel, tally: isolation });
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}`);
  }
  return { kernel: tally.counts, fabrics: fabrics.counts, captures: captures.counts, isolation: isolation.counts };
}

function runKernelBatch(seed: number, kernel: WebAssembly.Module | CheckedModule, tally: KernelTally): void {
  const batch = randomBatch(seed);
  const { difference } = runBatch(batch, { kernel, tally });
  if (difference) throw new Error(explain(batch, difference, seed, { kernel }));
}

function runFabrics(random: Random, tally: FabricTally): void {
  runRandomFabric(random, { packets: FABRIC_PACKETS, tally });
  runRandomFabricByHops(random, { packets: HOP_PACKETS, tally });
}

function runBounds(
  random: Random,
  { fabrics, captures }: { readonly fabrics: FabricTally; readonly captures: CaptureTally },
  { checked, capture }: Pick<Modules, "checked" | "capture">,
): void {
  runRandomFabric(random, { packets: CHECKED_FABRIC_PACKETS, tally: fabrics, checked });
  const fuzz = new CaptureFuzz(capture, captures);
  for (let round = 0; round < CHECKED_CAPTURES; round++) fuzz.round(random);
}

// The process that hands them out.

async function main(): Promise<number> {
  const { packets, seed, names, processes, seconds } = readOptions();
  console.log(`soak: seed ${seed}, ${packets} packets, ${processes} processes, ${seconds} s of live interfaces`);
  for (const name of names) {
    const isGood = name === LIVE ? await runLive(seconds, seed) : await runAll(name, { packets, seed, processes });
    if (!isGood) return 1;
  }
  return 0;
}

async function runLive(seconds: number, seed: number): Promise<boolean> {
  const began = performance.now();
  try {
    await soakLive({ seconds, seed });
  } catch (error) {
    console.error(`\nlive FAILED: ${(error as Error).message}`);
    return false;
  }
  console.log(`live: ${secondsSince(began)}`);
  return true;
}

function readOptions() {
  const { values } = parseArgs({
    args,
    options: {
      packets: { type: "string", default: "10000000" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 0xffff_ffff)) },
      only: { type: "string" },
      seconds: { type: "string", default: "900" },
      processes: { type: "string", default: String(Math.min(2, availableParallelism())) },
    },
  });
  const number = (name: "packets" | "seed" | "processes" | "seconds", least: number): number => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < least || value > 0xffff_ffff)
      throw new RangeError(`--${name} is a whole number from ${least} on, not ${values[name]}`);
    return value;
  };
  const all = [...NAMES, LIVE] as const;
  const only = all.find((name) => name === values.only);
  if (values.only !== undefined && !only) throw new RangeError(`--only is one of ${all.join(", ")}`);
  return {
    packets: number("packets", 1),
    seed: number("seed", 0),
    processes: number("processes", 1),
    names: only ? [only] : all,
    seconds: number("seconds", 1),
  };
}

interface Plan {
  readonly packets: number;
  readonly seed: number;
  readonly processes: number;
}

/** Runs all batches of a name; true if nothing differed and everything came up. */
async function runAll(name: Name, { packets, seed, processes }: Plan): Promise<boolean> {
  const perBatch = {
    kernel: BATCH_PACKETS,
    fabrics: FABRIC_PACKETS * 100,
    bounds: BATCH_PACKETS * 10,
    isolation: ISOLATION_FRAMES * 10,
  }[name];
  const batches = Math.ceil(packets / perBatch);
  const began = performance.now();
  const kernel = makeTally();
  const fabrics = makeFabricTally();
  const captures = makeCaptureTally();
  const isolation = makeIsolationTally();
  const failures: string[] = [];
  const seeds = new Random(seed);
  let given = 0;
  let done = 0;
  const next = (): Task | null => {
    if (given === batches || failures.length > 0) return null;
    return { name, seed: given++ === 0 ? seed : seeds.bits() };
  };
  const take = (answer: Answer): void => {
    if ("failure" in answer) {
      failures.push(answer.failure);
      return;
    }
    kernel.add(answer.counts.kernel);
    fabrics.add(answer.counts.fabrics);
    captures.add(answer.counts.captures);
    isolation.add(answer.counts.isolation);
    done++;
    if (done % Math.ceil(batches / 10) === 0)
      console.log(`  ${name}: ${done} of ${batches} batches, ${secondsSince(began)}`);
  };
  await Promise.all(Array.from({ length: Math.min(processes, batches) }, () => runProcess(next, take)));

  console.log(`${name}: ${done} batches in ${secondsSince(began)}`);
  const used = {
    kernel: [kernel],
    fabrics: [fabrics],
    bounds: [kernel, fabrics, captures],
    isolation: [isolation],
  }[name];
  for (const tally of used) console.log(tally.toString().replace(/^/gm, "  "));
  for (const failure of failures) console.error(`\n${name} FAILED: ${failure}`);
  if (failures.length > 0) return false;
  // Hop by hop is not done with assertions.
  const missing = used
    .flatMap((tally) => tally.missing)
    .filter((kind) => name === "fabrics" || !kind.startsWith("hop"));
  if (missing.length > 0) console.error(`${name}: never came up: ${missing.join(", ")}`);
  return missing.length === 0 || packets < LONG_RUN;
}

function secondsSince(began: number): string {
  return `${((performance.now() - began) / 1000).toFixed(0)} s`;
}

/** Gives a process of its own tasks until there are none. */
function runProcess(next: () => Task | null, take: (answer: Answer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), [folder!]);
    const give = (): void => {
      const task = next();
      if (task) child.send(task);
      else child.disconnect();
    };
    child.on("message", (answer: Answer) => {
      take(answer);
      give();
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`a process of the soak ended with status ${code}`));
    });
    give();
  });
}
