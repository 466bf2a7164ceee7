/**
 * Does the steady state allocate? The JavaScript heap before and after ten million packets of known flows; more than 0.1 bytes a
 * packet fails. Needs `--expose-gc`, which `run.mjs` gives.
 *
 * The heap is read without collecting in between, so garbage counts too; what a collection in between would hide shows as
 * their number, which must be 0.
 */
import { PerformanceObserver } from "node:perf_hooks";
import { allocateStream } from "../dist/io/index.js";
import { Bursts } from "./support/bursts.mjs";
import { constantEngine, INSIDE, WIRE } from "./support/constant-engine.mjs";
import { overheadOf, writeFrame } from "./support/frames.mjs";
import { quick } from "./support/measure.mjs";

if (!globalThis.gc) {
  console.error("memory: run with node --expose-gc");
  process.exit(2);
}
const PACKETS = quick ? 500_000 : 10_000_000;
const WARM_UP = quick ? 500_000 : 1_000_000;
const FLOWS = 1_000;
const LIMIT = quick ? 1 : 0.1; // a short run weighs the fixed cost of measuring against few packets
const PER_PASS = 10_000;

let collections = 0;
new PerformanceObserver((list) => {
  collections += list.getEntries().length;
}).observe({ entryTypes: ["gc"] });

const engine = constantEngine({ direction: "encap", outerFamily: 4, flows: FLOWS });
const bursts = new Bursts(engine, {
  count: PER_PASS,
  lengthMax: 64 + overheadOf(4),
  port: INSIDE,
  write: (view, at, index) => writeFrame(view, at, { family: 4, length: 64, flow: index % FLOWS }),
});
const stream = allocateStream(engine.memory, 1024 * 1024, 512, 16);
engine.setStream(WIRE, "tx", stream.address);

for (let sent = 0; sent < WARM_UP; sent += PER_PASS) bursts.send(stream);
globalThis.gc();
await settled();
collections = 0;
const before = process.memoryUsage();
for (let sent = 0; sent < PACKETS; sent += PER_PASS) bursts.send(stream);
const after = process.memoryUsage();
await settled();

const perPacket = (after.heapUsed - before.heapUsed) / PACKETS;
const { delivered } = engine.totals();
console.log(
  `${PACKETS} packets: heap ${before.heapUsed} → ${after.heapUsed} bytes, ${perPacket.toFixed(4)} bytes per packet, ` +
    `${collections} collections, outside of the heap ${after.external - before.external} bytes`,
);
console.log(`digest: ${delivered} delivered, ${engine.flowCounters().entries} flows`);
if (perPacket > LIMIT || collections > 0 || delivered !== PACKETS + WARM_UP) {
  console.error(`memory: more than ${LIMIT} bytes per packet, or garbage was collected, or packets went missing`);
  process.exitCode = 1;
}

/** Performance entries come with a later turn of the event loop. */
function settled() {
  return new Promise((resolve) => setTimeout(resolve, 50));
}
