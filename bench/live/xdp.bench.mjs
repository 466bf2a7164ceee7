/**
 * AF_XDP from TypeScript beside the same program in plain C (bench/peers/xdp.c), over a veth pair in a namespace of its own: a
 * third program sends as fast as it can; the two take turns to receive, or to swap the MAC addresses and send back.
 *
 *     sudo node bench/live/xdp.bench.mjs [--quick]
 *
 * "frames/s" counts what arrives in a second, and depends on who else uses the machine; "ns" is the CPU time for each frame of
 * the program's thread, the kernel's work for it included, which is steadier. The ratio is that of the ns.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const quick = process.argv.includes("--quick");
const ROUNDS = quick ? 1 : 3;
const SECONDS = quick ? 0.1 : 1;
const LENGTHS = quick ? [60] : [60, 1500];
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "hnv-xdp-"));
const binary = join(folder, "xdp");
const namespace = `hnv-xdp-${process.pid}`;

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
process.once("exit", () => {
  spawnSync("ip", ["netns", "del", namespace]);
  rmSync(folder, { recursive: true, force: true });
});

if (process.getuid() !== 0) {
  console.log("SKIPPED: AF_XDP needs root");
  process.exit(0);
}
run("gcc", "-O3", "-march=native", "-o", binary, here("../peers/xdp.c"));
run("ip", "netns", "add", namespace);
run("ip", "-n", namespace, "link", "add", "va", "type", "veth", "peer", "name", "vb");
for (const end of ["va", "vb"]) run("ip", "-n", namespace, "link", "set", end, "up");

const PROGRAMS = { C: [binary], hnv: [process.execPath, here("xdp-program.mjs")] };
console.log("mode     bytes   C frames/s     ns   hnv frames/s     ns   ratio");
for (const mode of ["receive", "forward"]) for (const length of LENGTHS) await measure(mode, length);

async function measure(mode, length) {
  const results = { C: [], hnv: [] };
  for (let round = 0; round < ROUNDS; round++)
    for (const [name, command] of Object.entries(PROGRAMS)) results[name].push(await once(command, mode, length));
  const [c, hnv] = [results.C, results.hnv].map((of) => ({
    rate: median(of.map(({ received, seconds }) => received / seconds)),
    ns: median(of.map(({ received, busy }) => (busy * 1e9) / received)),
  }));
  const [a, b] = [c, hnv].map(({ rate, ns }) => `${rate.toFixed(0).padStart(11)} ${ns.toFixed(0).padStart(6)}`);
  console.log(`${mode} ${String(length).padStart(6)}  ${a}    ${b}   ${(c.ns / hnv.ns).toFixed(2)}`);
}

/** One run of a program while frames are sent to it. */
async function once(command, mode, length) {
  const program = start(1, ...command, mode, "vb", String(SECONDS));
  const sender = start(0, binary, "send", "va", "3600", String(length));
  const text = await program.output;
  sender.child.kill();
  await sender.output;
  const [received, sent, seconds, busy] = text.trim().split(" ").map(Number);
  if (!(received > 0) || (mode === "forward" && !(sent > 0))) throw new Error(`${command.join(" ")}: no frames`);
  return { received, sent, seconds, busy };
}

function start(core, ...command) {
  const args = ["netns", "exec", namespace, "taskset", "--cpu-list", String(core), ...command];
  const child = spawn("ip", args, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece) => {
    text += piece;
  });
  return { child, output: new Promise((done) => child.once("close", () => done(text))) };
}

function run(command, ...args) {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}
