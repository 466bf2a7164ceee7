/**
 * Does the steady state allocate? The JavaScript heap before and after ten million packets of known flows, as `hnv bench` sends
 * them; more than 0.1 bytes a packet fails. Needs `--expose-gc`, which `run.mjs` gives.
 *
 * The heap is read without collecting in between, so garbage counts too; what a collection in between would hide shows as
 * their number, which must be 0.
 */
import { PerformanceObserver } from "node:perf_hooks";
import { DEFAULT_CASE } from "../dist/cli/bench/cases.js";
import { makeBenchLab } from "../dist/cli/bench/lab.js";
import { Traffic } from "../dist/cli/bench/traffic.js";
import { kernelModule } from "../dist/kernel-file.js";
import { hex, quick } from "./support/measure.mjs";

if (!globalThis.gc) {
  console.error("memory: run with node --expose-gc");
  process.exit(2);
}
const PACKETS = quick ? 500_000 : 10_000_000;
const WARM_UP = quick ? 500_000 : 1_000_000;
const LIMIT = quick ? 1 : 0.1; // a short run weighs the fixed cost of measuring against few packets

let collections = 0;
new PerformanceObserver((list) => {
  collections += list.getEntries().length;
}).observe({ entryTypes: ["gc"] });

const one = { ...DEFAULT_CASE, output: "capture" };
const lab = makeBenchLab(one, kernelModule());
const traffic = new Traffic(lab, one, { index: 0, count: 1 });
const send = (packets) => {
  let sent = 0;
  while (sent < packets) sent += traffic.sendBurst();
  return sent;
};

const warmedUp = send(WARM_UP);
globalThis.gc();
await settled();
collections = 0;
const before = process.memoryUsage();
const sent = send(PACKETS);
const after = process.memoryUsage();
await settled();

const perPacket = (after.heapUsed - before.heapUsed) / sent;
const { delivered } = lab.engine.totals();
console.log(
  `${sent} packets: heap ${before.heapUsed} → ${after.heapUsed} bytes, ${perPacket.toFixed(4)} bytes per packet, ` +
    `${collections} collections, outside of the heap ${after.external - before.external} bytes`,
);
console.log(`digest: ${hex(traffic.sendForDigest())}`);
if (perPacket > LIMIT || collections > 0 || delivered !== sent + warmedUp) {
  console.error(`memory: more than ${LIMIT} bytes per packet, or garbage was collected, or packets went missing`);
  process.exitCode = 1;
}

/** Performance entries come with a later turn of the event loop. */
function settled() {
  return new Promise((resolve) => setTimeout(resolve, 50));
}
