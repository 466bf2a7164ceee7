/**
 * Whole processes: how many frames a second do `hnv encap`, `decap` and `run` carry from file to file, beside `cp` of the same
 * input and a plain C program that does the work of `encap` (peers/wrap.c)? 64-byte frames of 1,000 flows in a memory file system
 * where there is one. "2 workers" is the same with `--workers 2`, `run` through one node. All take turns within a round; every output
 * must hold every frame.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeFrame } from "./support/frames.mjs";
import { digestOf, hex, quick, seconds, spreadText, summary } from "./support/measure.mjs";

const FRAMES = quick ? 20_000 : 10_000_000;
const ROUNDS = quick ? 1 : 3;
const RECORD = 16 + 64;
const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "hnv-bench-"));
const file = (name) => join(folder, name);
const TUNNEL = ["--vsid", "5001", "--pa-src", "192.168.4.11", "--pa-dst", "192.168.4.22"];
/** Tells the largest resident set when the process ends. */
const REPORT = `data:text/javascript,import{writeFileSync as w}from"node:fs";process.on("exit",()=>w(${JSON.stringify(file("rss"))},String(process.resourceUsage().maxRSS)))`;
const hnv = (...args) => [process.execPath, ["--import", REPORT, join(root, "bin/hnv"), ...args]];
const run = (lab, port, ...more) => {
  const frames = ["--in", `host1/Blue1=${file("vm.pcap")}`, "--out", `${port}=${file("out.pcap")}`];
  return hnv("run", join(root, "examples", lab), ...frames, ...more);
};
const CASES = [
  ["encap", file("wire.pcap"), hnv("encap", file("vm.pcap"), file("wire.pcap"), ...TUNNEL)],
  ["decap", file("back.pcap"), hnv("decap", file("wire.pcap"), file("back.pcap"))],
  [
    "encap, 2 workers",
    file("wire2.pcap"),
    hnv("encap", file("vm.pcap"), file("wire2.pcap"), ...TUNNEL, "--workers", "2"),
  ],
  ["decap, 2 workers", file("back.pcap"), hnv("decap", file("wire.pcap"), file("back.pcap"), "--workers", "2")],
  ["run, one node", file("out.pcap"), run("one-host-records.yaml", "host1/nic1")],
  ["run, 2 workers", file("out.pcap"), run("one-host-records.yaml", "host1/nic1", "--workers", "2")],
  ["run, three nodes", file("out.pcap"), run("two-tenants.yaml", "host2/Blue2")],
  ["plain C", file("c.pcap"), [file("wrap"), [file("vm.pcap"), file("c.pcap")]]],
  ["cp", file("copy.pcap"), ["cp", [file("vm.pcap"), file("copy.pcap")]]],
]
  .filter(([name]) => name !== "plain C" || buildPeer())
  .map(([name, output, [command, args]]) => ({ name, output, command, args, times: [], rss: 0, digest: "" }));
/** Bytes that each puts before a frame. */
const GROWTH = { encap: 42, "encap, 2 workers": 42, "plain C": 42, "run, one node": 46, "run, 2 workers": 46 };

try {
  generate();
  for (let round = 0; round < ROUNDS; round++) for (const one of CASES) runOnce(one);
  const copy = summary(CASES.at(-1).times).median;
  const peer = CASES.find(({ name }) => name === "plain C");
  const plain = peer ? summary(peer.times).median : 0;
  for (const { name, times, rss, digest } of CASES) {
    const result = summary(times);
    const rate = (FRAMES / result.median / 1e6).toFixed(2).padStart(6);
    const memory = rss > 0 ? `${(rss / 1024).toFixed(0)} MiB` : "";
    console.log(
      `${name.padEnd(17)} ${rate} million frames/s ${spreadText(result)}, ${(copy / result.median).toFixed(2)} of cp${plain ? `, ${(plain / result.median).toFixed(2)} of plain C` : ""} ${memory}   digest ${digest}`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}

/** False where there is no C compiler; the bench then goes without. */
function buildPeer() {
  const source = join(root, "bench/peers/wrap.c");
  const { status } = spawnSync("cc", ["-O3", "-march=native", "-o", file("wrap"), source], { stdio: "ignore" });
  if (status !== 0) console.log("no C compiler here: without the plain C program");
  return status === 0;
}

function generate() {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt32LE(0x00040002, 4);
  head.writeUInt32LE(65_535, 16);
  head.writeUInt32LE(1, 20);
  const block = Buffer.alloc(1_000 * RECORD);
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  for (let flow = 0; flow < 1_000; flow++) {
    const at = flow * RECORD;
    view.setUint32(at, 1_700_000_000, true);
    view.setUint32(at + 8, 64, true);
    view.setUint32(at + 12, 64, true);
    writeFrame(view, at + 16, { family: 4, length: 64, flow });
  }
  const descriptor = openSync(file("vm.pcap"), "w");
  writeSync(descriptor, head);
  for (let written = 0; written < FRAMES; written += 1_000) writeSync(descriptor, block);
  closeSync(descriptor);
}

function runOnce(one) {
  let done;
  one.times.push(
    seconds(() => {
      done = spawnSync(one.command, one.args, { stdio: ["ignore", "ignore", "pipe"] });
    }),
  );
  if (done.status !== 0) throw new Error(`${one.name}: ${done.stderr}`);
  const wanted = 24 + FRAMES * (RECORD + (GROWTH[one.name] ?? 0));
  const got = statSync(one.output).size;
  if (got !== wanted) throw new Error(`${one.name} wrote ${got} bytes, not ${wanted}: not every frame arrived`);
  if (one.args[0] === "--import") one.rss = Math.max(one.rss, Number(readFileSync(file("rss"), "utf8")));
  one.digest = digestOfHead(one.output);
  if (one.name !== "encap") rmSync(one.output); // decap still reads what encap wrote
}

/** Of the first part of the output, which one worker makes: further on the identification tells which worker it was. */
function digestOfHead(path) {
  const descriptor = openSync(path, "r");
  const head = Buffer.alloc(90_000);
  const length = readSync(descriptor, head);
  closeSync(descriptor);
  return hex(digestOf(head.subarray(0, length)));
}
