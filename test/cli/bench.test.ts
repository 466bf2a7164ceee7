/** `hnv bench` as a user runs it, tiny: what it prints, and that it measures real work on real bytes. Its speed is nobody's test. */
import { expect, it } from "vitest";
import { benchList, caseName, DEFAULT_CASE, framesPerPass, withMisses } from "../../src/cli/bench/cases.js";
import { FrameWriter } from "../../src/cli/bench/frames.js";
import { BLUE1, VSID } from "../../src/cli/bench/lab.js";
import { summary } from "../../src/cli/bench/measure.js";
import { dissect } from "../../src/dataplane/wire/index.js";
import { hnv, inParallel } from "./helpers.js";

const QUICK = ["--seconds", "0.01", "--size", "64", "--flows", "10"];

interface BenchResult {
  readonly [field: string]: number | string | null;
  readonly case: string;
  readonly digest: string;
  readonly hits: number;
  readonly misses: number;
}

async function bench(...args: string[]): Promise<BenchResult> {
  const { status, stdout, stderr } = await hnv(["bench", "--json", ...args]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  return JSON.parse(stdout) as BenchResult;
}

it("prints one object per case with --json", async () => {
  const result = await bench(...QUICK);
  expect(result).toEqual({
    schemaVersion: 1,
    case: "encap-4in4-64-10flows",
    direction: "encap",
    inner: 4,
    outer: 4,
    size: 64,
    flows: 10,
    traffic: "hits",
    output: "slots",
    workers: 1,
    mpps: expect.any(Number),
    spread: expect.any(Number),
    nsPerPacket: expect.any(Number),
    gbps: expect.any(Number),
    allocBytesPerPacket: expect.any(Number),
    copyGigabytesPerSecond: expect.any(Number),
    copyBandwidthShare: expect.any(Number),
    speedup: null,
    hits: expect.any(Number),
    misses: 0,
    digest: expect.stringMatching(/^[0-9a-f]{8}$/),
  });
  const figure = (name: string): number => result[name] as number;
  expect(figure("hits")).toBeGreaterThan(0);
  expect((figure("nsPerPacket") * figure("mpps")) / 1000).toBeCloseTo(1, 2); // each has four digits
  expect(figure("gbps") / figure("mpps")).toBeCloseTo(((64 + 42) * 8) / 1000, 2); // on the wire: 42 bytes more
  const moved = (figure("mpps") * (64 + 42)) / 1000 / figure("copyGigabytesPerSecond");
  expect(figure("copyBandwidthShare") / moved).toBeCloseTo(1, 2);
});

it("prints a table with one line per case", async () => {
  const { status, stdout, stderr } = await hnv(["bench", ...QUICK, "--direction", "decap"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const [head, line, ...more] = stdout.trimEnd().split("\n");
  expect(more).toEqual([]);
  expect(head).toMatch(/^ +way +IP in IP +bytes +flows +workers +Mpps .* digest$/);
  expect(line).toMatch(/^decap +v4 in v4 +64 +10 +1 +\d+\.\d\d .* [0-9a-f]{8}$/);
  expect(line!.length).toBe(head!.length);
});

it("gives the same digest for every worker count, output and run, and another one for other bytes", async () => {
  const { digest } = await bench(...QUICK);
  const same = [[], ["--workers", "2"], ["--workers", "3"], ["--output", "capture"]];
  await inParallel(same, async (args) => expect((await bench(...QUICK, ...args)).digest, args.join(" ")).toBe(digest));
  const others = [
    ["--outer", "6"],
    ["--inner", "6"],
    ["--direction", "decap"],
    ["--size", "65"],
    ["--flows", "11"],
  ];
  const digests = new Set([digest]);
  await inParallel(others, async (args) => void digests.add((await bench(...QUICK, ...args)).digest));
  expect(digests.size).toBe(1 + others.length);
});

it("decap gives what the VM should get, whatever the tunnel: the outer version changes no digest", async () => {
  const decap = [...QUICK, "--direction", "decap"];
  const { digest } = await bench(...decap);
  expect((await bench(...decap, "--outer", "6", "--workers", "2")).digest).toBe(digest);
  expect((await bench(...decap, "--inner", "6")).digest).not.toBe(digest);
});

it("--misses sends nothing but new flows through the slow path", async () => {
  const misses = ["--misses", "--seconds", "0.01"];
  const one = await bench(...misses);
  expect(one).toMatchObject({ case: "encap-4in4-64-new", traffic: "misses", hits: 0 });
  expect(one.misses).toBeGreaterThan(0);
  expect(one.allocBytesPerPacket).toBeGreaterThan(100); // the slow path makes objects; this figure is no constant
  const two = await bench(...misses, "--workers", "2", "--direction", "encap");
  expect(two).toMatchObject({ case: "encap-4in4-64-new-2workers", hits: 0, digest: one.digest });
});

it.each([
  [["--size", "63"], "Expected a number from 64 to 9216"],
  [["--flows", "0"], "Expected a number from 1 to"],
  [["--direction", "sideways"], "Allowed choices are encap, decap"],
  [["--inner", "5"], "Allowed choices are 4, 6"],
  [["--workers", "many"], "Expected a number from 1 to"],
  [["--seconds", "0"], "Expected seconds, more than 0"],
  [["--seconds", "-1"], "Expected seconds, more than 0"],
  [["--output", "disk"], "Allowed choices are slots, capture"],
  [["--misses", "--flows", "10"], "--misses' cannot be used with option '--flows"],
  [["--flows", "1", "--workers", "2"], "2 workers need at least as many flows; there is 1"],
  [["--flows", "1000000", "--size", "9000"], "do not fit"],
  [["quickly"], "too many arguments"],
])("refuses %j with one line", async (args, message) => {
  const { status, stdout, stderr } = await hnv(["bench", ...args]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toContain(message);
  expect(stderr.trimEnd().split("\n")).toHaveLength(1);
});

it("the list has some forty cases of different names, over everything that there is to vary", () => {
  const list = benchList("slots", 2);
  expect(list.length).toBeGreaterThanOrEqual(38);
  expect(list.length).toBeLessThanOrEqual(45);
  expect(new Set(list.map(caseName)).size).toBe(list.length);
  const values = (of: (one: (typeof list)[number]) => unknown): unknown[] => [...new Set(list.map(of))].sort();
  expect(new Set(list.map(({ size }) => size))).toEqual(new Set([64, 256, 512, 1500, 9000]));
  expect(new Set(list.filter(({ traffic }) => traffic === "hits").map(({ flows }) => flows))).toEqual(
    new Set([1, 1_000, 100_000, 1_000_000]),
  );
  expect(values(({ direction }) => direction)).toEqual(["decap", "encap"]);
  expect(values(({ inner, outer }) => `${inner}in${outer}`)).toEqual(["4in4", "4in6", "6in4", "6in6"]);
  expect(values(({ traffic }) => traffic)).toEqual(["hits", "misses"]);
  expect(values(({ workers }) => workers)).toEqual([1, 2]);
  // each case with two workers comes right behind its like with one
  for (const [index, one] of list.entries()) {
    if (one.workers > 1) expect(list[index - 1]).toEqual({ ...one, workers: 1 });
  }
  expect(benchList("slots", 1).every(({ workers }) => workers === 1)).toBe(true);
});

it("has as many frames in a pass as it has flows, and enough to leave the caches", () => {
  expect(framesPerPass(DEFAULT_CASE)).toBe(65_536);
  expect(framesPerPass({ ...DEFAULT_CASE, flows: 100_000 })).toBe(100_000);
  expect(framesPerPass({ ...DEFAULT_CASE, size: 9000 }) * 9000).toBeGreaterThan(64 * 2 ** 20);
  const misses = withMisses(DEFAULT_CASE);
  expect(misses.flows).toBe(framesPerPass(misses));
});

it("sends frames that a dissector reads as what they should be", () => {
  const one = { ...DEFAULT_CASE, direction: "decap", inner: 6, outer: 6 } as const;
  const writer = new FrameWriter(one);
  const frame = new Uint8Array(64 + 62);
  writer.write(frame, 0, 65_536 + 7);
  const text = JSON.stringify(dissect(frame));
  expect(text).toContain(String(VSID));
  expect(text).toContain("fd00:10::5");
  expect(BLUE1.customerAddress(6).w3).toBe(5);
  const before = frame.slice();
  writer.renewFlow(frame, 0, 1);
  expect(frame).toEqual(before); // that flow is already in round 1
  writer.renewFlow(frame, 0, 2);
  expect(frame).not.toEqual(before);
});

it("summarises by median and half the distance of the extremes", () => {
  expect(summary([5, 1, 4])).toEqual({ median: 4, spread: 0.5 });
  expect(summary([2])).toEqual({ median: 2, spread: 0 });
});
