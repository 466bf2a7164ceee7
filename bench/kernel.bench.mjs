/**
 * The kernel alone: how many packets a second does it look up and rewrite once their flows are known?
 *
 * Every packet gets the same decision, and its bytes and row lie ready in memory. What is timed is the copy of a burst's rows and
 * the call that runs it. Flows come in random order, so that 100,000 of them miss the caches as they would in life. Output goes
 * to a stream that is emptied after each burst (as with captures) or stays in slots (as with live ports).
 */
import { STREAM_ITEM, STREAM_ITEM_SIZE } from "../dist/dataplane/packet/index.js";
import { allocateStream } from "../dist/io/index.js";
import { Bursts } from "./support/bursts.mjs";
import { constantEngine, INSIDE, WIRE } from "./support/constant-engine.mjs";
import { overheadOf, writeFrame, writeWrapped } from "./support/frames.mjs";
import { digestOf, hex, quick, seconds, shuffled, spreadText, summary } from "./support/measure.mjs";

const ROUNDS = quick ? 1 : 5;
const PACKETS_PER_ROUND = quick ? 2_048 : 1_500_000;
const PACKETS_IN_MEMORY = quick ? 2_048 : 65_536;
const FLOWS = quick ? [1, 1_000] : [1, 1_000, 100_000];
const LENGTHS = [64, 512, 1500];
const STREAM_BYTES = 1024 * 1024;
const STREAM_ITEMS = 512;
const RECORD_HEADER = 16;

console.log("what   inner bytes family    flows output      Mpps  ns/packet        digest");
for (const direction of ["encap", "decap"]) {
  for (const family of [4, 6])
    for (const length of LENGTHS)
      for (const flows of FLOWS) measure({ direction, family, length, flows, output: "stream" });
  for (const flows of FLOWS) measure({ direction, family: 4, length: 64, flows, output: "slots" });
}

function measure({ direction, family, length, flows, output }) {
  const engine = constantEngine({ direction, outerFamily: family, flows });
  const order = shuffled(Math.max(flows, PACKETS_IN_MEMORY), flows);
  const bursts = new Bursts(engine, {
    count: order.length,
    lengthMax: length + overheadOf(family),
    port: direction === "encap" ? INSIDE : WIRE,
    write(view, at, index) {
      const frame = { family, length, flow: order[index] };
      return direction === "encap" ? writeFrame(view, at, frame) : writeWrapped(view, at, family, frame);
    },
  });
  const stream = output === "stream" ? allocateStream(engine.memory, STREAM_BYTES, STREAM_ITEMS, RECORD_HEADER) : null;
  if (stream) engine.setStream(direction === "encap" ? WIRE : INSIDE, "tx", stream.address);

  bursts.send(stream); // the flows become known
  const digest = stream ? digestOfStream(engine.memory, stream) : digestOfSlots(engine);
  const passes = Math.max(1, Math.round(PACKETS_PER_ROUND / bursts.count));
  const times = [];
  for (let round = 0; round < ROUNDS; round++) {
    const time = seconds(() => {
      for (let pass = 0; pass < passes; pass++) bursts.send(stream);
    });
    times.push((time * 1e9) / passes / bursts.count);
  }
  check(engine, bursts.count * (1 + passes * ROUNDS), flows);
  const result = summary(times);
  console.log(
    `${direction}  ${String(length).padStart(11)}   IPv${family} ${String(flows).padStart(8)} ${output.padEnd(6)}` +
      ` ${(1e3 / result.median).toFixed(2).padStart(9)} ${result.median.toFixed(1).padStart(7)} ${spreadText(result).padEnd(7)} ${hex(digest)}`,
  );
}

/** The frames of the last burst, as they would be written. */
function digestOfStream(memory, stream) {
  let digest;
  for (let index = 0; index < stream.count; index++) {
    const item = stream.list + index * STREAM_ITEM_SIZE;
    const at = memory.u32(item + STREAM_ITEM.OFFSET);
    digest = digestOf(memory.bytes.subarray(at, at + memory.u32(item + STREAM_ITEM.LENGTH)), digest);
  }
  if (digest === undefined) throw new Error("nothing reached the stream");
  return digest;
}

function digestOfSlots(engine) {
  let digest;
  for (const { frame } of engine.lastBurst()) digest = digestOf(frame, digest);
  return digest;
}

/** All were delivered, and only first packets were decided. */
function check(engine, packets, flows) {
  const { delivered } = engine.totals();
  const { entries, hits } = engine.flowCounters();
  if (delivered !== packets || entries !== flows || hits < packets - 2 * flows) {
    throw new Error(`${delivered} of ${packets} delivered, ${entries} entries for ${flows} flows, ${hits} hits`);
  }
}
