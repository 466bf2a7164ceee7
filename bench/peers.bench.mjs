/**
 * Our kernel beside its peers: a plain C loop of the same work, Open vSwitch with DPDK, the bare copy of the same frames, and that of
 * large blocks of memory. All get the same capture, run on the same core, and take turns within a round; each waits while another
 * runs. What each figure includes: bench/README.md.
 *
 *     node bench/peers.bench.mjs [--quick] [--json]     --json: one object per line and case
 */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { framesOf, writeCapture } from "./peers/capture.mjs";
import { OpenVswitch, whatIsMissing } from "./peers/ovs.mjs";
import { coreToUse, Program } from "./peers/program.mjs";
import { quick, spreadText, summary } from "./support/measure.mjs";

const ROUNDS = quick ? 1 : 3;
const SECONDS = quick ? 0.01 : 1;
const FLOWS = quick ? [1, 1_000] : [1, 1_000, 100_000];
const LENGTHS = quick ? [64] : [64, 1_500];
const OUTER = 42;
/** As much of a recording as surely holds each frame of a short capture. */
const RECORDED_BYTES = 4_000_000;
const SHORT_CAPTURE_FLOWS = 1_000;
const COLUMNS = { hnv: "ours", c: "plain C", ovs: "OVS", ovsForward: "OVS forward", copy: "copy", block: "block" };
const json = process.argv.includes("--json");
const here = fileURLToPath(new URL("peers/", import.meta.url));
const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "hnv-peers-"));
const file = (name) => join(folder, name);

for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
]) {
  process.once(signal, () => process.exit(status));
}
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

const core = coreToUse();
const hasC = buildLoop();
const ovs = quick ? null : await startOvs();
const block = hasC ? await Program.start(core, file("kernel-loop"), ["block"]) : null;
printHead();
for (const direction of ["encap", "decap"])
  for (const length of LENGTHS) for (const flows of FLOWS) print(await measure({ direction, length, flows }));
await block?.stop();
ovs?.close();

/** Rates of all peers for one kind of frames, in frames a second; of `block`, in bytes. */
async function measure(what) {
  const capture = file("case.pcap");
  writeCapture(capture, what);
  const programs = await startPrograms(what, capture);
  await ovs?.connect(what.direction, capture);
  const recorded = ovs && what.flows <= SHORT_CAPTURE_FLOWS ? await recordedFrames() : null;
  checkOutputs(programs, recorded);
  const peers = Object.entries(programs).map(([name, program]) => [name, () => program.round(SECONDS)]);
  if (ovs) peers.push(["ovs", () => ovs.round(SECONDS)], ["ovsForward", () => ovs.round(SECONDS, { forward: true })]);
  if (block) peers.push(["block", async () => (await block.round(SECONDS)) * block.description.bytes]);

  const rates = Object.fromEntries(peers.map(([name]) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, run] of peers) rates[name].push(await run());
  }
  for (const program of Object.values(programs)) await program.stop();
  rmSync(capture);
  const results = Object.fromEntries(Object.entries(rates).map(([name, values]) => [name, summary(values)]));
  return { ...what, results, digest: programs.hnv.description.digest };
}

async function startPrograms({ direction, flows }, capture) {
  const programs = {
    hnv: await Program.start(core, process.execPath, [join(here, "ours.mjs"), direction, capture, String(flows)]),
  };
  if (hasC) {
    programs.c = await Program.start(core, file("kernel-loop"), [direction, capture]);
    programs.copy = await Program.start(core, file("kernel-loop"), ["copy", capture]);
  }
  return programs;
}

/** All frames of the C loop are ours, byte for byte, by their digest; so are the first one as text, and one of Open vSwitch's. */
function checkOutputs({ hnv, c }, recorded) {
  const { digest, frame } = hnv.description;
  if (c && (c.description.frame !== frame || c.description.digest !== digest)) {
    throw new Error(
      `other frames from C (${c.description.digest}) than from us (${digest}):\n${c.description.frame}\n${frame}`,
    );
  }
  // Our first frame has identification 0, which Open vSwitch writes into all.
  if (recorded && !recorded.includes(frame)) {
    throw new Error(`Open vSwitch sends other frames:\n${recorded[0]}\nthan we do:\n${frame}`);
  }
}

/** The first frames that Open vSwitch sends, as text. */
async function recordedFrames() {
  const recording = file("recorded.pcap");
  await ovs.record(recording);
  const head = Buffer.alloc(RECORDED_BYTES);
  const descriptor = openSync(recording, "r");
  const length = readSync(descriptor, head);
  closeSync(descriptor);
  rmSync(recording);
  return framesOf(head.subarray(0, length)).map((frame) => frame.toString("hex"));
}

/** False where there is no C compiler; the bench then goes without. */
function buildLoop() {
  const args = ["-O3", "-march=native", "-o", file("kernel-loop"), join(here, "kernel-loop.c")];
  const { status } = spawnSync("cc", args, { stdio: "ignore" });
  if (status !== 0) console.error("no C compiler here: without the plain C loop and the copy");
  return status === 0;
}

async function startOvs() {
  const missing = whatIsMissing(core);
  if (missing) {
    console.error(`Open vSwitch needs ${missing}: without it`);
    return null;
  }
  try {
    return await OpenVswitch.start(core);
  } catch (error) {
    console.error(`Open vSwitch does not start, without it: ${error.message}`);
    return null;
  }
}

function printHead() {
  if (json) return;
  if (ovs) console.log(ovs.version);
  console.log("million frames a second on one core (block: GB/s), and ours divided by theirs");
  const titles = Object.values(COLUMNS).map((title) => title.padStart(13));
  console.log(`what   bytes   flows${titles.join("")}   ours/C  /OVS /copy /block   digest`);
}

function print({ direction, length, flows, results, digest }) {
  const ours = results.hnv.median;
  const ratio = (name, value = ours) => (results[name] ? value / results[name].median : null);
  const bytes = direction === "encap" ? length + OUTER : length;
  const ratios = { c: ratio("c"), ovs: ratio("ovs"), copy: ratio("copy"), block: ratio("block", ours * bytes) };
  const perMicrosecond = (name) => (results[name] ? results[name].median / 1e6 : null);
  if (json) {
    const { block: megabytes, ...mpps } = Object.fromEntries(
      Object.keys(COLUMNS).map((name) => [name, perMicrosecond(name)]),
    );
    const blockGBps = megabytes && megabytes / 1e3;
    console.log(JSON.stringify({ direction, size: length, flows, mpps, blockGBps, ratios, digest }));
    return;
  }
  const rates = Object.keys(COLUMNS).map((name) => rateText(results[name], name === "block" ? 1e9 : 1e6).padStart(13));
  const shares = Object.values(ratios).map((share) => (share === null ? "-" : share.toFixed(2)).padStart(5));
  console.log(
    `${direction}  ${String(length).padStart(5)} ${String(flows).padStart(7)}${rates.join("")}    ${shares.join(" ")}    ${digest}`,
  );
}

function rateText(result, unit) {
  return result ? `${(result.median / unit).toFixed(2)} ${spreadText(result).replaceAll(" ", "")}` : "-";
}
