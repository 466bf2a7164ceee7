/** What a live run says of itself: generators' frames at their checker, answers held back, packets that the slow path had no time for. */
import { expect, test } from "vitest";
import { hnv, LABS, workplace, writePcap } from "./helpers.js";
import { expectConserved, objectsIn } from "./live-lab.js";

const generator = (...more: string[]): string =>
  ["gen:src=10.0.0.5,dst=10.0.0.7,smac=06-06-00-00-00-05,dmac=06-06-00-00-00-07", ...more].join(",");

const run = (...args: string[]) => hnv(["run", LABS.plain, ...args]);

test("frames of a generator are checked where they arrive, in NVGRE or behind both hosts", async () => {
  for (const sink of ["host1/nic1", "host2/Blue2"]) {
    const source = generator("flows=10", "rate=20000", "count=4000", "size=64+512");
    const { status, stdout } = await run("--bind", `host1/Blue1=${source}`, "--bind", `${sink}=gen:sink`, "--json");
    expect(status).toBe(0);
    const result = objectsIn(stdout).at(-1)!;
    expectConserved(result);
    expect(result).toMatchObject({ kind: "result", heldAnswers: 0, slowPathOverload: 0 });
    const [from, to] = result.interfaces;
    expect(from).toMatchObject({ received: 4000, sent: 0 });
    expect(from!.checker).toBeUndefined();
    expect(to).toMatchObject({ received: 0, sent: 4000 });
    const { latencyNs, ...counts } = to!.checker!;
    const none = { lost: 0, duplicated: 0, reordered: 0, late: 0, corrupted: 0, foreign: 0 };
    expect(counts).toEqual({ frames: 4000, ...none });
    expect(latencyNs!.count).toBe(4000);
    expect(latencyNs!.p50).toBeLessThanOrEqual(latencyNs!.p999);
  }
});

test("people read the checker's account behind the interfaces", async () => {
  const binds = ["--bind", `host1/Blue1=${generator("count=500")}`, "--bind", "host1/nic1=gen:sink"];
  const { status, stdout } = await run(...binds);
  expect(status).toBe(0);
  expect(stdout).toContain(
    "gen:sink checked 500 frames: 0 lost, 0 duplicated, 0 reordered, 0 late, 0 corrupted; 0 foreign\n",
  );
  expect(stdout).toMatch(/^latency +min +mean +50 % +90 % +99 % +99\.9 % +max\nµs( +[\d,.]+){7}$/m);
});

test("a flood of new flows is cut to the slow path's budget, and that is told", async () => {
  const source = generator("flows=20000", "count=20000");
  const { stdout } = await run("--bind", `host1/Blue1=${source}`, "--bind", "host1/nic1=gen:sink", "--json");
  const result = objectsIn(stdout).at(-1)!;
  expect(result.slowPathOverload).toBeGreaterThan(1000);
  expect(result.totals.dropped).toBe(result.slowPathOverload);
  const { frames, lost } = result.interfaces[1]!.checker!;
  expect(frames).toBe(result.totals.delivered);
  // What was dropped behind the last that came is not known to the checker.
  expect(lost).toBeLessThanOrEqual(result.slowPathOverload);
  expect(lost).toBeGreaterThan(result.slowPathOverload - 1000);
});

test("answers beyond a thousand a second are held back, and that is told", async () => {
  const path = workplace()("arp.pcap");
  // Who has 10.0.0.7? Tell 10.0.0.5.
  const request = `ffffffffffff0606000000050806${"0001080006040001"}0606000000050a000005${"000000000000"}0a000007`;
  const data = Buffer.from(request.padEnd(120, "0"), "hex");
  // Of each burst only some are decided at all; these are enough for thousands of answers in a second or two.
  const frame = { data, time: 1_700_000_000e6 };
  writePcap(path, new Array(100_000).fill(frame));
  const binds = ["--bind", `host1/Blue1=pcap:${path}`, "--speed", "0"];
  const { status, stdout } = await run(...binds, "--json");
  expect(status).toBe(0);
  const result = objectsIn(stdout).at(-1)!;
  expectConserved(result);
  expect(result.heldAnswers).toBeGreaterThan(100);
  expect(result.totals.injected + result.heldAnswers + result.slowPathOverload).toBe(100_000);
  expect((await run(...binds)).stdout).toMatch(/^[\d,]+ answers held back: ports over 1,000 a second$/m);
});
