/**
 * What `hnv run --capture PORT=FILE` costs the forwarding path, with files that rotate:
 *
 *   1. from a generator to a sink in one process: nothing but hnv costs anything, and the thread that writes has a core to itself if there are two
 *   2. as root, from device to device in a namespace: a program that sends as fast as it can takes a core, so that with two the writer takes
 *      its time from them; tcpdump at the other end of the wire is the rival
 *
 *     node bench/run.mjs port-capture [--quick]
 *
 * All take turns, and medians are given, also of the ratios within a round. Rates are frames a second; "ns" is processor time for
 * each frame: of the forwarding thread in 1, of hnv and tcpdump with the kernel's work in their threads in 2. "path" is how much more time
 * the forwarding thread alone takes for a frame, as a ratio of rates: what is left where nobody else is short of time. "lost" is the share
 * of frames that is not in the files, in the worst round.
 */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { folder, median, obstacle, start, threadTimes, until } from "./live/namespaces.mjs";
import { compileC, inTurn, medians, passThrough, startForwarding } from "./live/rates.mjs";

const quick = process.argv.includes("--quick");
const root = fileURLToPath(new URL("..", import.meta.url));
const ROUNDS = quick ? 1 : 5;
/** Few and small, so that the page cache takes the same memory again and again, as it does on a machine that has run for a while. */
const FILE_MIB = 64;
const FILES = 2;
/** Between devices, behind half as many: what the thread that writes runs is compiled within the first seconds. */
const FRAMES = 2_000_000;
const LENGTHS = quick ? [512] : [64, 512, 1514];

const load = loadavg()[0].toFixed(1);
console.log(
  `${availableParallelism()} × ${cpus()[0].model}, load average ${load}: what others do here shows in every figure`,
);
const captures = join(folder, "captures");
const capture = [
  "--capture",
  `host1/nic1=${join(captures, "port.pcap")}`,
  "--capture-size",
  FILE_MIB,
  "--capture-files",
  FILES,
].map(String);

await withinOneProcess();
await betweenDevices();

/** 1. A generator that checks what comes to its sink. */
async function withinOneProcess() {
  console.log("\nGenerator to sink              without     ns   with --capture     ns   rate path    lost");
  for (const length of LENGTHS) {
    const frames = quick ? 100_000 : Math.round(8e9 / (1000 + 3 * length)); // some seconds: to begin takes as long with any number
    const results = await inTurn({ without: [], with: capture }, ROUNDS, (options) =>
      generate(length, frames, options),
    );
    const kept = compare(results.with, results.without);
    console.log(
      `${`${length} bytes`.padEnd(24)} ${cell(results.without, "path")}   ${cell(results.with, "path")}   ${kept}`,
    );
  }
}

async function generate(length, count, options) {
  const generator = `gen:src=10.0.0.5,dst=10.0.0.7,smac=06-06-00-00-00-05,dmac=06-06-00-00-00-07,flows=100,size=${length},count=${count}`;
  const binds = ["--bind", `host1/Blue1=${generator}`, "--bind", "host1/nic1=gen:sink"];
  const args = [`${root}bin/hnv`, "run", `${root}examples/two-tenants.yaml`, ...binds, ...options, "--json"];
  mkdirSync(captures, { recursive: true });
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece) => {
    text += piece;
  });
  let busiest = 0;
  const timer = setInterval(() => {
    busiest = Math.max(busiest, busiestThread(child.pid));
  }, 10);
  const status = await new Promise((resolve) => child.once("close", resolve));
  clearInterval(timer);
  rmSync(captures, { recursive: true });
  if (status !== 0) throw new Error(`hnv ended with ${status}`);
  const result = JSON.parse(text.trim().split("\n").at(-1));
  return {
    rate: (count * 1000) / result.elapsedMs,
    path: busiest / count, // no thread works as much as the one that forwards
    lost: shareOf(result.captures[0]?.lost ?? 0, result.captures[0]?.frames ?? 0),
  };
}

/** Nanoseconds of processor time that it has had, as far as that can still be known. */
function busiestThread(pid) {
  try {
    return Math.max(...threadTimes(pid).values());
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "ESRCH") throw error; // it ended, or this is not Linux
    return 0;
  }
}

/** 2. Between devices. */
async function betweenDevices() {
  const missing = obstacle("ip", "ethtool", "gcc", "tcpdump");
  if (missing) {
    console.log(`\nSKIPPED: captures between devices: ${missing}`);
    return;
  }
  const c = compileC(root);
  console.log(
    "\nDevice to device, encap        without     ns   with --capture     ns   rate path    lost    with tcpdump     ns   rate path    lost",
  );
  for (const kind of quick ? ["afpacket"] : ["afpacket", "xdp"])
    for (const length of quick ? [64] : [64, 1500]) {
      const plan = { c, kind, length, frames: quick ? 2000 : FRAMES, patience: quick ? 1 : 10 };
      const hnv = (namespace, ...options) => startForwarding(namespace, root, kind, "encap", ...options);
      const rivals = {
        without: async (namespace) => [await hnv(namespace)],
        hnv: async (namespace) => [counting(await hnv(namespace, ...capture), /lost ([\d,]+)/, /captured ([\d,]+)/)],
        tcpdump: async (namespace) => [await hnv(namespace), await startTcpdump(namespace)],
      };
      const results = await inTurn(rivals, ROUNDS, async (startAll) => {
        mkdirSync(captures, { recursive: true });
        try {
          return await passThrough(plan, startAll);
        } finally {
          rmSync(captures, { recursive: true });
        }
      });
      const captured = [results.hnv, results.tcpdump].map(
        (result) => `${cell(result, "ns")}   ${compare(result, results.without)}`,
      );
      console.log(`${`${kind}, ${length} bytes`.padEnd(24)} ${cell(results.without, "ns")}   ${captured.join(" ")}`);
    }
}

/** At the other end of the wire: what hnv sends passes by whoever listens at the device that it leaves by. */
async function startTcpdump(namespace) {
  const files = ["-w", join(captures, "tcpdump.pcap"), "-C", FILE_MIB, "-W", FILES].map(String);
  const tcpdump = start(namespace, "tcpdump", "-i", "sink", "-s", "0", "-Z", "root", ...files);
  await until("tcpdump", () => tcpdump.text.includes("listening on"));
  return counting(tcpdump, /(\d+) packets? dropped by kernel/, /(\d+) packets? captured/);
}

/** The program, with the share of frames that its capture lost as it says at its end. */
function counting(program, lost, captured) {
  const numberAt = (pattern) => Number((pattern.exec(program.text)?.[1] ?? "0").replaceAll(",", ""));
  return Object.assign(program, { lost: () => shareOf(numberAt(lost), numberAt(captured)) });
}

function shareOf(part, rest) {
  return part === 0 ? 0 : part / (part + rest);
}

function cell(results, time) {
  const middle = medians(results);
  return `${middle.rate.toFixed(0).padStart(13)} ${middle[time].toFixed(0).padStart(6)}`;
}

/** What is left of the rate, and of what the forwarding thread does in its time; and the share that was lost in the worst of all rounds. */
function compare(results, without) {
  const lost = `${(100 * Math.max(...results.map((result) => result.lost))).toFixed(1)} %`;
  return [ratio(results, without, "rate"), ratio(without, results, "path"), lost.padStart(7)].join(" ");
}

/** The median of one figure's ratio in the same round, so that what else the machine does matters less. */
function ratio(results, others, figure) {
  const ratios = results.map((result, round) => result[figure] / others[round][figure]);
  return median(ratios).toFixed(2).padStart(4);
}
