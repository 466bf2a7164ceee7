/**
 * Our kernel on the frames of a capture in memory, as a process of its own, so that it can be bound to a core as its peers are.
 *
 *     node bench/peers/ours.mjs encap|decap CAPTURE FLOWS
 *
 * Speaks as `kernel-loop.c` does: the first line, once it is warm, describes the output of one pass; then each line of input is a number of seconds
 * to run, and each answer tells how many frames went through.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Bursts } from "../support/bursts.mjs";
import { constantEngine, INSIDE, WIRE } from "../support/constant-engine.mjs";
import { digestOf, hex, seconds } from "../support/measure.mjs";
import { framesOf } from "./capture.mjs";

/** Long enough for the WebAssembly compiler's second tier. */
const WARM_SECONDS = 0.3;
const FRAMES_PER_LOOK = 10_000;

const [direction, path, flowsText] = process.argv.slice(2);
const frames = framesOf(readFileSync(path));
const engine = constantEngine({ direction, outerFamily: 4, flows: Number(flowsText) });
const bursts = new Bursts(engine, {
  count: frames.length,
  lengthMax: frames[0].length,
  port: direction === "encap" ? INSIDE : WIRE,
  write(view, at, index) {
    new Uint8Array(view.buffer).set(frames[index], at);
    return frames[index].length;
  },
});
let sent = bursts.count;
const description = describeOnePass();
runFor(WARM_SECONDS);
console.log(JSON.stringify(description));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify({ count: runFor(Number(line)) }));
}
check();

/** The frames of one pass, in which every flow becomes known. */
function describeOnePass() {
  let digest;
  let first;
  bursts.send(() => {
    for (const { frame } of engine.lastBurst()) {
      first ??= Buffer.from(frame).toString("hex");
      digest = digestOf(frame, digest);
    }
  });
  return { digest: hex(digest), frame: first };
}

function runFor(duration) {
  let count = 0;
  for (let time = 0; time < duration; ) {
    time += seconds(() => {
      for (let some = 0; some < FRAMES_PER_LOOK; some += bursts.count) {
        bursts.send();
        count += bursts.count;
      }
    });
  }
  sent += count;
  return count;
}

/** All were delivered, and each flow has one entry. */
function check() {
  const { delivered } = engine.totals();
  const { entries } = engine.flowCounters();
  if (delivered !== sent || entries !== Number(flowsText)) {
    throw new Error(`${delivered} of ${sent} delivered, ${entries} entries for ${flowsText} flows`);
  }
}
