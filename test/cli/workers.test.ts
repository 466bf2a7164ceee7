/** `--workers N`: the same files and counts as with one, whatever the input; or one worker, and a line that says so. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sumCounters } from "../../src/cli/workers/counters.js";
import { Reason } from "../../src/dataplane/index.js";
import type { PortIndex } from "../../src/dataplane/transposition/index.js";
import { readFrames } from "../../src/io/index.js";
import { frame, icmp, ip, udp } from "../engine/build.js";
import { innerOf } from "../vectors/worked-packets.js";
import {
  hnv,
  hnvMany,
  inParallel,
  LABS,
  pcapBytes,
  ROOT,
  type RunResult,
  resultOf,
  shell,
  withoutLessonsFromWire,
  workplace,
} from "./helpers.js";

const PCAPS = join(ROOT, "pcaps");
const TUNNEL = ["--vsid", "5001", "--pa-src", "192.168.4.11", "--pa-dst", "192.168.4.22"];
/** Without IPv4 identification, so that all bytes can be compared. */
const TUNNEL6 = ["--vsid", "5001", "--pa-src", "2001:db8:4::11", "--pa-dst", "2001:db8:4::22"];
/** Ethernet, IPv6 and NVGRE. */
const OUTER6_LENGTH = 14 + 40 + 8;
const COUNTS = ["1", "2", "3"] as const;

const BLUE1_TO_NOBODY = { source: "10.0.0.5", destination: "10.0.0.99" };

const specimens = readdirSync(PCAPS).filter((name) => /\.pcap(ng)?$/.test(name));
const PCAP_HEADER = 24;

/** A capture again and again, until it makes several batches: of pcapng whole sections, of pcap the records. */
function multiplied(name: string, leastBytes = 2 * 1024 * 1024): Buffer {
  const bytes = readFileSync(join(PCAPS, name));
  const isPcap = name.endsWith(".pcap");
  const body = isPcap ? bytes.subarray(PCAP_HEADER) : bytes;
  const times = body.length === 0 ? 0 : Math.ceil(leastBytes / body.length);
  return Buffer.concat([...(isPcap ? [bytes.subarray(0, PCAP_HEADER)] : []), ...Array<Buffer>(times).fill(body)]);
}

/** The frames of all specimens, twice, which makes several batches. */
async function allFrames(): Promise<Buffer> {
  const frames: Uint8Array[] = [];
  for (const name of specimens) {
    // Captures that are cut within their frames are left to the formats.
    for await (const { data, originalLength } of readFrames(join(PCAPS, name)))
      if (data.length === originalLength) frames.push(data);
  }
  return pcapBytes([...frames, ...frames]);
}

/** 30,000 small frames of the worked packet A, a microsecond apart: four batches. */
const manyFrames = (count = 30_000): Buffer =>
  pcapBytes(Array.from({ length: count }, (_, index) => ({ data: innerOf("a"), time: 1_700_000_000e6 + index })));

const isSame = (a: string, b: string): boolean => readFileSync(a).equals(readFileSync(b));

/** Standard output of each line; every one must end well. */
async function results(lines: readonly (readonly string[])[]): Promise<string[]> {
  const ended = await hnvMany(lines);
  ended.forEach(({ status, stdout }, index) => {
    expect({ line: lines[index], status, stdout }).toMatchObject({ status: 0 });
  });
  return ended.map(({ stdout }) => stdout);
}

async function encapsAndDecaps(at: (name: string) => string, name: string): Promise<void> {
  const file = (what: string, n: string): string => at(`${what}-${n}-${name}`);
  const encaps = COUNTS.map((n) => ["encap", at(name), file("wire", n), ...TUNNEL6, "--workers", n, "--json"]);
  const keeping = ["--keep-other", "--json"];
  const decaps = COUNTS.map((n) => ["decap", file("wire", "1"), file("back", n), "--workers", n, ...keeping]);
  const [a1, a2, a3, b1, b2, b3] = await results([...encaps, ...decaps]);
  expect([a2, a3].map((text) => withoutTeam(text!))).toEqual([withoutTeam(a1!), withoutTeam(a1!)]);
  expect([b2, b3].map((text) => withoutTeam(text!))).toEqual([withoutTeam(b1!), withoutTeam(b1!)]);
  for (const what of ["wire", "back"])
    for (const n of ["2", "3"]) expect(isSame(file(what, n), file(what, "1")), `${what} ${n}`).toBe(true);
}

/** What may not depend on the number of workers. Each worker makes its own flow entries. */
function withoutTeam(text: string): unknown {
  // Whether a packet meets a guard or no entry at all is also a matter of what its worker saw before.
  const { flows, workers, elapsedMs, outputs, events, ...rest } = JSON.parse(text) as RunResult & {
    readonly workers: number;
    readonly events: unknown;
  };
  const frames = outputs.map((output) => output.frames);
  return { ...rest, frames, looked: flows.hits + flows.misses + flows.guarded };
}

describe("the same bytes from 1, 2 and 3 workers", () => {
  it("encap and decap: every frame of every specimen", async () => {
    const at = workplace();
    writeFileSync(at("all.pcap"), await allFrames());
    await encapsAndDecaps(at, "all.pcap");
  });

  it.each(specimens.filter((name) => name.startsWith("format-")))("encap and decap: %s", async (name) => {
    const at = workplace();
    writeFileSync(at(name), multiplied(name));
    await encapsAndDecaps(at, name);
  });

  it.each(["gre-variants.pcapng", "ovs-gre.pcap"])("decap of what others encapsulated: %s", async (name) => {
    const at = workplace();
    writeFileSync(at(name), multiplied(name));
    const lines = COUNTS.map((n) => ["decap", at(name), at(`${n}-${name}`), "--workers", n, "--json"]);
    const [one, two, three] = await results(lines);
    expect(withoutTeam(two!)).toEqual(withoutTeam(one!));
    expect(withoutTeam(three!)).toEqual(withoutTeam(one!));
    for (const n of ["2", "3"]) expect(isSame(at(`${n}-${name}`), at(`1-${name}`))).toBe(true);
  });

  it("into the other format", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), manyFrames());
    const lines = COUNTS.map((n) => ["encap", at("in.pcap"), at(`${n}.pcapng`), ...TUNNEL6, "--workers", n]);
    await results(lines);
    expect(isSame(at("2.pcapng"), at("1.pcapng"))).toBe(true);
    expect(isSame(at("3.pcapng"), at("1.pcapng"))).toBe(true);
    expect(statSync(at("1.pcapng")).size).toBeGreaterThan(30_000 * 100);
  });

  it("but for identification and header checksum, over an IPv4 provider network", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), manyFrames());
    await results(COUNTS.map((n) => ["encap", at("in.pcap"), at(`${n}.pcap`), ...TUNNEL, "--workers", n]));
    for (const n of ["2", "3"]) {
      expect(statSync(at(`${n}.pcap`)).size).toBe(statSync(at("1.pcap")).size);
      const args = [at("1.pcap"), at(`${n}.pcap`), "--ignore", "identification,checksum"];
      expect(await hnv(["compare", ...args])).toMatchObject({ status: 0 });
    }
  });

  it("run: several inputs, each after its times, several outputs of both formats, all counters", async () => {
    const at = workplace();
    const inputs = specimens.filter((name) => name.startsWith("blue1-") && name.endsWith("-sent.pcap"));
    for (const name of [...inputs, "blue2-tcp-sent.pcap", "mixed-red1-sent.pcap"])
      writeFileSync(at(name), multiplied(name, 256 * 1024));
    const ins = [
      ...inputs.map((name) => `host1/Blue1=${at(name)}`),
      `host2/Blue2=${at("blue2-tcp-sent.pcap")}`,
      `host1/Red1=${at("mixed-red1-sent.pcap")}`,
    ].flatMap((value) => ["--in", value]);
    const outputs = ["host1/nic1", "host2/nic1", "host1/Blue1", "host2/Blue2", "host2/Blue3", "host2/Red2"];
    const file = (port: string, index: number, n: string): string =>
      at(`${port.replace("/", "-")}-${n}.pcap${index % 2 === 0 ? "" : "ng"}`);
    const lines = COUNTS.map((n) => {
      const outs = outputs.flatMap((port, index) => ["--out", `${port}=${file(port, index, n)}`]);
      return ["run", LABS.v6, ...ins, ...outs, "--workers", n, "--json"];
    });
    const [one, two, three] = await results(lines);
    expect(withoutTeam(two!)).toEqual(withoutTeam(one!));
    expect(withoutTeam(three!)).toEqual(withoutTeam(one!));
    expect((JSON.parse(three!) as { workers: number }).workers).toBe(3);
    for (const [index, port] of outputs.entries()) {
      for (const n of ["2", "3"])
        expect(isSame(file(port, index, n), file(port, index, "1")), `${port} ${n}`).toBe(true);
    }
    expect(statSync(file("host1/nic1", 0, "1")).size).toBeGreaterThan(3 * 1024 * 1024);
  });

  it("run: bursts of 7, --bind, and a flow table of 8 entries", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), multiplied("mixed-blue1-sent.pcap"));
    writeFileSync(at("lab.yaml"), withoutLessonsFromWire(LABS.plain));
    const small = ["--burst", "7", "--flow-capacity", "8"];
    const lines = COUNTS.map((n) => {
      const ends = ["--in", `host1/Blue1=${at("in.pcap")}`, "--bind", `host1/nic1=pcap:${join(PCAPS, "ovs-gre.pcap")}`];
      const outs = ["--out", `host1/nic1=${at(`w${n}.pcap`)}`, "--out", `host1/Blue1=${at(`b${n}.pcap`)}`];
      return ["run", at("lab.yaml"), ...ends, ...outs, ...small, "--workers", n, "--json"];
    });
    const [one, two, three] = await results(lines);
    expect((JSON.parse(three!) as { workers: number }).workers).toBe(3);
    expect(withoutTeam(two!)).toEqual(withoutTeam(one!));
    expect(withoutTeam(three!)).toEqual(withoutTeam(one!));
    for (const n of ["2", "3"]) {
      const args = [at("w1.pcap"), at(`w${n}.pcap`), "--ignore", "identification,checksum"];
      expect(await hnv(["compare", ...args])).toMatchObject({ status: 0 });
    }
  });

  it("where a batch becomes more than its slot holds, it comes back in parts", async () => {
    const at = workplace();
    writeFileSync(at("in.pcapng"), multiplied("format-blocks.pcapng"));
    // No lab replicates that much yet; the workers' streams claim to be full after each burst of 5 frames or more.
    writeFileSync(
      at("full.mjs"),
      `import { isMainThread } from "node:worker_threads";
       import { StreamBuffer } from ${JSON.stringify(join(ROOT, "dist/io/capture/stream.js"))};
       if (!isMainThread) StreamBuffer.prototype.hasRoom = function () { return this.count < 5; };`,
    );
    const env = { NODE_OPTIONS: `--import ${at("full.mjs")}` };
    const args = (n: string) => ["encap", at("in.pcapng"), at(`${n}.pcapng`), ...TUNNEL6, "--workers", n, "--json"];
    const [one, two] = [await hnv(args("1"), { env }), await hnv(args("2"), { env })];
    expect([one.status, two.status]).toEqual([0, 0]);
    expect(withoutTeam(two.stdout)).toEqual(withoutTeam(one.stdout));
    expect(isSame(at("2.pcapng"), at("1.pcapng"))).toBe(true);
  });

  it("through pipes, compressed", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), manyFrames());
    const line = `gzip -1 in.pcap -c | hnv encap - - ${TUNNEL6.join(" ")} --workers 3 | hnv decap - back.pcap --workers 2`;
    expect(await shell(line, { cwd: at(".") })).toMatchObject({ status: 0 });
    expect(isSame(at("back.pcap"), at("in.pcap"))).toBe(true);
  });
});

describe("what goes wrong is told as with one worker", () => {
  const DAMAGED: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
    ["cut off within the last record", (bytes) => bytes.subarray(0, bytes.length - 11)],
    ["an impossible length in the third batch", (bytes) => spoiled(bytes)],
  ];

  it.each(DAMAGED)("%s", async (_, damage) => {
    const at = workplace();
    writeFileSync(at("in.pcap"), damage(manyFrames()));
    const runs = await Promise.all(
      COUNTS.map((n) => hnv(["encap", at("in.pcap"), at(`${n}.pcap`), ...TUNNEL6, "--workers", n, "--json"])),
    );
    for (const { status, stderr, stdout } of runs) {
      expect(status).toBe(1);
      expect(stderr).toBe(runs[0]!.stderr);
      expect(stderr).toMatch(/^hnv: .*, at byte \d+\n$/);
      expect(withoutTeam(stdout)).toEqual(withoutTeam(runs[0]!.stdout));
    }
    expect(isSame(at("2.pcap"), at("1.pcap"))).toBe(true);
    expect(isSame(at("3.pcap"), at("1.pcap"))).toBe(true);
    expect(statSync(at("1.pcap")).size).toBeGreaterThan(15_000 * 100);
    expect(existsSync(at("3.pcap.partial"))).toBe(false);
  });

  it("a full disk: FILE.partial holds whole records, and nothing has the output's name", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), manyFrames());
    const line = `ulimit -f 1500; hnv encap in.pcap out.pcap ${TUNNEL6.join(" ")} --workers 2`;
    const { status, stderr } = await shell(line, { cwd: at(".") });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^hnv: out\.pcap: cannot be written on: .*\n$/);
    expect(existsSync(at("out.pcap"))).toBe(false);
    const partial = readFileSync(at("out.pcap.partial"));
    const record = 16 + partial.readUInt32LE(PCAP_HEADER + 8);
    expect(partial.length).toBeGreaterThan(1_000_000);
    expect((partial.length - PCAP_HEADER) % record).toBe(0);
  });

  it("a signal: what was read until then is in FILE.partial", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), manyFrames());
    const whole = PCAP_HEADER + 30_000 * (16 + innerOf("a").length + OUTER6_LENGTH);
    const line = `mkfifo f; (cat in.pcap; sleep 30) > f & writer=$!
      hnv encap f w.pcap ${TUNNEL6.join(" ")} --workers 2 & child=$!
      for i in $(seq 100); do [ "$(stat -c %s w.pcap.partial 2>/dev/null)" = ${whole} ] && break; sleep 0.2; done
      kill -TERM $child; wait $child; status=$?; kill $writer; exit $status`;
    const { status, stderr } = await shell(line, { cwd: at(".") });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^hnv: ended by SIGTERM/m);
    expect(existsSync(at("w.pcap"))).toBe(false);
    expect(statSync(at("w.pcap.partial")).size).toBe(whole);
  });

  it("a worker that dies ends the run with one line", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), manyFrames());
    writeFileSync(
      at("die.mjs"),
      `import { isMainThread } from "node:worker_threads"; if (!isMainThread) process.exit(3);`,
    );
    const env = { NODE_OPTIONS: `--import ${at("die.mjs")}` };
    const ended = await hnv(["encap", at("in.pcap"), at("out.pcap"), ...TUNNEL6, "--workers", "2"], { env });
    expect(ended.status).toBe(1);
    expect(ended.stderr).toMatch(/^hnv: worker [12] of 2 ended unexpectedly, with status 3\n$/);
    expect(existsSync(at("out.pcap"))).toBe(false);
  });

  it("a number of workers that cannot be is refused", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), manyFrames(1));
    const commands = {
      encap: ["encap", at("in.pcap"), at("out.pcap"), ...TUNNEL],
      decap: ["decap", at("in.pcap"), at("out.pcap")],
      run: ["run", LABS.plain, "--in", `host1/Blue1=${at("in.pcap")}`],
    };
    const { encap, decap, run } = commands;
    const cases = [
      ...(["0", "65", "-1", "two", "1.5", ""] as const).map((count) => [encap, count] as const),
      [decap, "0"],
      [decap, "65"],
      [run, "0"],
      [run, "65"],
    ] as const;
    await inParallel(cases, async ([line, count]) => {
      const { status, stderr } = await hnv([...line, `--workers=${count}`]);
      expect({ count, status }).toEqual({ count, status: 2 });
      expect(stderr).toMatch(/^hnv: .*--workers.*Expected a number from 1 to 64\.\n$/);
    });
    expect(existsSync(at("out.pcap"))).toBe(false);
  });

  it("more workers and outputs than fit the shared memory are refused", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), manyFrames(1));
    const ports = ["host1/Blue1", "host1/Red1", "host1/nic1", "host2/Blue2", "host2/Blue3", "host2/Red2", "host2/nic1"];
    const outs = [...ports, "provider/host1.nic1", "provider/host2.nic1"].flatMap((port, index) => [
      "--out",
      `${port}=${at(`${index}.pcap`)}`,
    ]);
    const args = ["run", LABS.plain, "--in", `host1/Blue1=${at("in.pcap")}`, ...outs, "--workers", "64"];
    const { status, stderr } = await hnv(args);
    expect(status).toBe(2);
    expect(stderr).toBe("hnv: 64 workers with 9 outputs need too much memory; use fewer workers\n");
  });
});

describe("what needs one worker gets one, and says so", () => {
  const ONE = /^hnv: one worker instead of 2, because .*\n$/;

  it("run --events; without it, several workers tell none, and say so", async () => {
    const at = workplace();
    const missed = frame(
      "06-06-00-00-00-07",
      "06-06-00-00-00-05",
      ip({ ...BLUE1_TO_NOBODY, protocol: 17, payload: new Uint8Array(8) }),
    );
    writeFileSync(at("in.pcap"), pcapBytes([missed, missed]));
    const line = ["run", LABS.plain, "--in", `host1/Blue1=${at("in.pcap")}`, "--workers", "2", "--json"];
    const [heard, unheard] = await Promise.all([hnv([...line, "--events", at("events")]), hnv(line)]);
    expect(heard.stderr).toMatch(ONE);
    expect(heard.stderr).toContain("--events");
    const event = { node: "host1", kind: "policyMismatch", customerAddress: BLUE1_TO_NOBODY.destination };
    expect(JSON.parse(heard.stdout)).toMatchObject({ events: { count: 1, first: [event] } });
    expect(JSON.parse(unheard.stdout)).toMatchObject({ workers: 2, events: null });
  });

  it.each([["--drops"], ["--capture-all"]])("run %s", async (option) => {
    const at = workplace();
    writeFileSync(at("in.pcap"), readFileSync(join(PCAPS, "mixed-blue1-sent.pcap")));
    const run = (n: string) => {
      const outs = [option, at(`log-${n}.pcapng`), "--out", `host1/nic1=${at(`w-${n}.pcap`)}`];
      return hnv(["run", LABS.plain, "--in", `host1/Blue1=${at("in.pcap")}`, ...outs, "--workers", n, "--json"]);
    };
    const [one, two] = await Promise.all([run("1"), run("2")]);
    expect(one).toMatchObject({ status: 0, stderr: "" });
    expect(two.status).toBe(0);
    expect(two.stderr).toMatch(ONE);
    expect(two.stderr).toContain(option);
    expect({ ...resultOf(two), elapsedMs: 0, outputs: [] }).toEqual({ ...resultOf(one), elapsedMs: 0, outputs: [] });
    expect(isSame(at("log-2.pcapng"), at("log-1.pcapng"))).toBe(true);
    expect(isSame(at("w-2.pcap"), at("w-1.pcap"))).toBe(true);
  });

  it("decap --split-by", async () => {
    const at = workplace();
    const file = join(PCAPS, "worked-wire.pcapng");
    const { status, stderr } = await hnv(["decap", file, at("o.pcapng"), "--split-by", "vsid", "--workers", "2"]);
    expect(status).toBe(0);
    expect(stderr).toMatch(/^hnv: one worker instead of 2, because --split-by /);
    expect(existsSync(at("o-5001.pcapng"))).toBe(true);
  });

  it("a lab whose hosts may send control messages about what comes from the wire", async () => {
    const at = workplace();
    writeFileSync(at("quiet.yaml"), withoutLessonsFromWire(LABS.plain));
    const frames = join(PCAPS, "negative-vectors.pcap");
    const run = (lab: string, n: string) => {
      const files = ["--in", `host2/nic1=${frames}`, "--out", `host2/nic1=${at(`${n}.pcap`)}`];
      return hnv(["run", lab, ...files, "--workers", n, "--json"]);
    };
    const [one, two, quiet] = await Promise.all([
      run(LABS.plain, "1"),
      run(LABS.plain, "2"),
      run(at("quiet.yaml"), "3"),
    ]);
    expect(two.stderr).toMatch(ONE);
    expect(two.stderr).toContain("REDIRECT and UNREACHABLE");
    expect({ ...resultOf(two), elapsedMs: 0, outputs: [] }).toEqual({ ...resultOf(one), elapsedMs: 0, outputs: [] });
    expect(isSame(at("2.pcap"), at("1.pcap"))).toBe(true);
    expect(JSON.parse(two.stdout)).toMatchObject({ workers: 1, totals: { injected: 1 } });
    expect(JSON.parse(quiet.stdout)).toMatchObject({ workers: 3, totals: { injected: 0 } });
    expect(quiet.stderr).toBe("");
  });

  it.each([
    ["a NIC", "host1/nic1"],
    ["an adapter without a VSID", "host2/Plain"],
  ])("a lab that one router's message, which enters at %s, tells the MTU of a path", async (_, port) => {
    const at = workplace();
    const plain = "      - name: Plain\n        adapters: [{ mac: 02-00-C0-A8-04-01 }]\n";
    const text = readFileSync(LABS.plain, "utf8") + plain;
    const controlOff = "sendControlMessages: false, acceptRedirect: false";
    writeFileSync(at("lab.yaml"), text);
    writeFileSync(at("uncontrolled.yaml"), `${text}settings: { ${controlOff} }\n`);
    writeFileSync(at("deaf.yaml"), `${text}settings: { ${controlOff}, learnPathMtu: false }\n`);
    writeFileSync(at("router.pcap"), pcapBytes([{ data: tooBig(1000), time: 1_700_000_000e6 - 2000 }]));
    const blueUdp = udp("10.0.0.5", "10.0.0.7", [1, 2], new Uint8Array(1000));
    const packet = ip({ source: "10.0.0.5", destination: "10.0.0.7", protocol: 17, payload: blueUdp });
    const data = frame("06-06-00-00-00-07", "06-06-00-00-00-05", packet);
    const long = Array.from({ length: 9000 }, (_, index) => ({ data, time: 1_700_000_000e6 + index })); // two batches
    writeFileSync(at("long.pcap"), pcapBytes(long));

    const ins = ["--in", `${port}=${at("router.pcap")}`, "--in", `host1/Blue1=${at("long.pcap")}`];
    const run = (lab: string, n: string) => hnv(["run", at(lab), ...ins, "--workers", n, "--json"]);
    const labs = ["lab.yaml", "uncontrolled.yaml", "deaf.yaml"] as const;
    const [all, uncontrolled, deaf] = await Promise.all(labs.map((lab) => run(lab, "2")));
    for (const { stderr, stdout } of [all!, uncontrolled!]) {
      expect(stderr).toMatch(ONE);
      expect(stderr).toContain("path MTUs (learnPathMtu)");
      expect(JSON.parse(stdout)).toMatchObject({ workers: 1, drops: [{ reason: "TX_TOO_BIG_ICMP4", count: 9000 }] });
    }
    expect(deaf!.stderr).toBe("");
    expect(JSON.parse(deaf!.stdout)).toMatchObject({ workers: 2, totals: { delivered: 9000, dropped: 1 } });
    expect(resultOf(deaf!).drops).toEqual(resultOf(await run("deaf.yaml", "1")).drops);
  });

  it("a lab with a node that keeps state across flows", async () => {
    const at = workplace();
    writeFileSync(at("in.pcap"), manyFrames(10));
    // No layer does so yet; one host is told that it does.
    writeFileSync(
      at("state.mjs"),
      `import { Lab } from ${JSON.stringify(join(ROOT, "dist/vswitch/index.js"))};
       const { get } = Object.getOwnPropertyDescriptor(Lab.prototype, "keepsStateAcrossFlows");
       Object.defineProperty(Lab.prototype, "keepsStateAcrossFlows", { get() {
         this.engine.nodes[1].keepsStateAcrossFlows = "host2 meters its VMs";
         return get.call(this);
       } });`,
    );
    const env = { NODE_OPTIONS: `--import ${at("state.mjs")}` };
    const ins = ["--in", `host1/Blue1=${at("in.pcap")}`];
    const ended = await hnv(["run", LABS.plain, ...ins, "--workers", "2", "--json"], { env });
    expect(ended.stderr).toBe("hnv: one worker instead of 2, because host2 meters its VMs\n");
    expect(JSON.parse(ended.stdout)).toMatchObject({ workers: 1, totals: { delivered: 10 } });
    const alone = await hnv(["run", LABS.plain, ...ins, "--json"], { env });
    expect(alone).toMatchObject({ status: 0, stderr: "" });
  });
});

it("counters add up field by field, reasons by port and reason", () => {
  const port = (n: number) => ({ rx: { packets: n, bytes: 10 * n }, tx: { packets: 2 * n, bytes: 20 * n } });
  const counters = (n: number, reasons: readonly [number, Reason, number][]) => ({
    ports: [port(n), port(n + 1)],
    reasons: reasons.map(([at, reason, count]) => ({ port: at as PortIndex, reason, count })),
    totals: { in: n, delivered: 1, dropped: 2, passed: 3, consumed: 4, copies: 5, injected: 6 },
    flows: { hits: n, misses: 1, entries: 2, guarded: 3, evictions: 4, expired: 7, stale: 5, uncached: 6 },
  });
  const sum = sumCounters([
    counters(1, [[1, Reason.TX_TOO_BIG, 5]]),
    counters(10, [
      [0, Reason.RX_GRE_SHORT, 1],
      [1, Reason.TX_TOO_BIG, 2],
    ]),
  ]);
  expect(sum).toEqual({
    ports: [port(11), port(13)],
    reasons: [
      { port: 0, reason: Reason.RX_GRE_SHORT, count: 1 },
      { port: 1, reason: Reason.TX_TOO_BIG, count: 7 },
    ],
    totals: { in: 11, delivered: 2, dropped: 4, passed: 6, consumed: 8, copies: 10, injected: 12 },
    flows: { hits: 11, misses: 2, entries: 4, guarded: 6, evictions: 8, expired: 14, stale: 10, uncached: 12 },
  });
});

/** "Fragmentation needed" about an NVGRE packet that host1 has sent to host2. */
function tooBig(mtu: number): Uint8Array {
  const nvgre = [0x20, 0, 0x65, 0x58, 0, 0x13, 0x89, 0];
  const payload = Uint8Array.from([...nvgre, ...new Uint8Array(1200)]);
  const quote = ip({ source: "192.168.4.11", destination: "192.168.4.22", protocol: 47, payload }).slice(2, 2 + 28);
  const message = [3, 4, 0, 0, 0, 0, mtu >> 8, mtu & 0xff, ...quote];
  return frame("02-00-C0-A8-04-0B", "02-00-C0-A8-04-01", icmp("192.168.4.1", "192.168.4.11", message));
}

/** The length of record 20,000 becomes impossible. */
function spoiled(bytes: Buffer): Buffer {
  const record = 16 + bytes.readUInt32LE(PCAP_HEADER + 8);
  bytes.writeUInt32LE(0x7fff_ffff, PCAP_HEADER + 20_000 * record + 8);
  return bytes;
}
