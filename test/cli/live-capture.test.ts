/** `hnv run --capture`: what passes a bound port, in files of bounded size, beside the forwarding. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { readFrames } from "../../src/io/index.js";
import { runSync } from "../oracles/programs.js";
import { isTsharkAvailable } from "../oracles/tshark.js";
import { HNV, hnv, LABS, shell, workplace, writePcap } from "./helpers.js";
import { objectsIn, until } from "./live-lab.js";

const generator = (...more: string[]): string =>
  ["gen:src=10.0.0.5,dst=10.0.0.7,smac=06-06-00-00-00-05,dmac=06-06-00-00-00-07", ...more].join(",");

const run = (...args: string[]) => hnv(["run", LABS.plain, ...args, "--json"]);

async function framesIn(path: string): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  for await (const { data } of readFrames(path)) frames.push(data.slice());
  return frames;
}

/** A field of every packet, as tshark reads it. */
const tshark = (path: string, ...fields: string[]): string[] =>
  runSync("tshark", ["-r", path, "-T", "fields", ...fields.flatMap((field) => ["-e", field])])!
    .trim()
    .split("\n");

describe("captures of ports", () => {
  test.skipIf(!isTsharkAvailable())("both directions of a port, told apart by interface", async () => {
    const at = workplace();
    // Who has 10.0.0.7? Tell 10.0.0.5: host1 answers.
    const request = "ffffffffffff06060000000508060001080006040001" + "0606000000050a0000050000000000000a000007";
    writePcap(at("arp.pcap"), [Buffer.from(request.padEnd(120, "0"), "hex")]);
    const binds = ["--bind", `host1/Blue1=pcap:${at("arp.pcap")}`, "--speed", "0"];
    const { status, stdout } = await run(...binds, "--capture", `host1/Blue1=${at("vm.pcapng")}`);
    expect(status).toBe(0);
    const capture = { port: "host1/Blue1", file: at("vm.pcapng"), frames: 2, lost: 0, files: 1 };
    expect(objectsIn(stdout).at(-1)!.captures).toEqual([capture]);
    expect(tshark(at("vm.pcapng"), "frame.interface_name", "frame.interface_description", "arp.opcode")).toEqual([
      "host1/Blue1\treceived\t1",
      "host1/Blue1\tsent\t2",
    ]);
  });

  test.skipIf(!isTsharkAvailable())("every frame once, at two ports at a time", async () => {
    const at = workplace();
    const binds = ["--bind", `host1/Blue1=${generator("rate=20000", "count=3000")}`, "--bind", "host1/nic1=gen:sink"];
    const captures = ["--capture", `host1/Blue1=${at("vm.pcapng")}`, "--capture", `host1/nic1=${at("wire.pcap")}`];
    const { status, stdout } = await run(...binds, ...captures);
    expect(status).toBe(0);
    expect(objectsIn(stdout).at(-1)!.captures).toMatchObject([
      { port: "host1/Blue1", frames: 3000, lost: 0 },
      { port: "host1/nic1", frames: 3000, lost: 0 },
    ]);
    const inner = await framesIn(at("vm.pcapng"));
    const outer = await framesIn(at("wire.pcap"));
    expect(inner).toHaveLength(3000);
    expect(outer.map((frame) => Buffer.from(frame.subarray(42)).toString("hex"))).toEqual(
      inner.map((frame) => Buffer.from(frame).toString("hex")),
    );
    expect(new Set(tshark(at("wire.pcap"), "gre.key"))).toHaveProperty("size", 1);
    expect(tshark(at("wire.pcap"), "frame.number").at(-1)).toBe("3000");
  });

  test("files of bounded size, of which the newest are kept", async () => {
    const at = workplace();
    const binds = ["--bind", `host1/Blue1=${generator("size=1000", "rate=20000", "count=5000")}`];
    const rotate = async (file: string, ...options: string[]) => {
      const captures = ["--capture", `host1/Blue1=${at(file)}`, "--capture-size", "1", ...options];
      const { status, stdout } = await run(...binds, ...captures);
      expect(status).toBe(0);
      return objectsIn(stdout).at(-1)!.captures![0]!;
    };
    const filesLike = (name: string): string[] =>
      readdirSync(dirname(at("x")))
        .filter((file) => file.startsWith(name))
        .sort();
    const all = await rotate("all.pcap");
    expect(all).toMatchObject({ frames: 5000, lost: 0, files: 5 });
    expect(filesLike("all.")).toEqual([1, 2, 3, 4, 5].map((number) => `all.${number}.pcap`));
    let count = 0;
    for (const file of filesLike("all.")) {
      expect(statSync(at(file)).size).toBeLessThanOrEqual(1024 * 1024);
      count += (await framesIn(at(file))).length;
    }
    expect(count).toBe(5000);
    expect(await rotate("some.pcapng", "--capture-files", "2")).toMatchObject({ frames: 5000, files: 5 });
    expect(filesLike("some.")).toEqual(["some.4.pcapng", "some.5.pcapng"]);
    expect((await framesIn(at("some.4.pcapng"))).length).toBeGreaterThan(900);
  });

  test("a disk that is full stops the capture, not the forwarding, and is told", async () => {
    const binds = ["--bind", `host1/Blue1=${generator("rate=10000", "count=5000")}`, "--bind", "host1/nic1=gen:sink"];
    const { status, stdout, stderr } = await run(...binds, "--capture", "host1/nic1=/dev/full");
    expect(status).toBe(1);
    expect(stderr).toContain("hnv: /dev/full: cannot be written on: no space left on the device");
    const result = objectsIn(stdout).at(-1)!;
    expect(result.totals.delivered).toBe(5000);
    expect(result.captures).toMatchObject([{ frames: 0, lost: 5000 }]);
  });

  test.each(["a.pcap", "a.pcapng"])(
    "of a piece that is written in part, the frames that are in %s count",
    async (name) => {
      const file = workplace()(name);
      const binds = ["--bind", `host1/Blue1=${generator("size=1000", "rate=20000", "count=5000")}`];
      const limited = 'trap "" XFSZ; ulimit -f 600; exec "$0" "$@"'; // 600 KiB
      const args = [HNV, "run", LABS.plain, ...binds, "--capture", `host1/Blue1=${file}`, "--json"];
      const { status, stdout } = spawnSync("bash", ["-c", limited, ...args], { encoding: "utf8" });
      expect(status).toBe(1);
      const [capture] = objectsIn(stdout).at(-1)!.captures!;
      const count = (await framesIn(`${file}.partial`)).length;
      expect(count).toBeGreaterThan(500);
      expect(capture).toMatchObject({ frames: count, lost: 5000 - count });
    },
  );

  test("a reader that stands still loses frames, not the run; a third signal does not wait for it", async () => {
    const fifo = workplace()("pipe");
    spawnSync("mkfifo", [fifo]);
    const reader = spawn("sh", ["-c", `exec sleep 60 <"${fifo}"`]);
    const binds = ["--bind", `host1/Blue1=${generator("size=1000")}`, "--bind", "host1/nic1=gen:sink"];
    const child = spawn(HNV, ["run", LABS.plain, ...binds, "--capture", `host1/nic1=${fifo}`, "--json"]);
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    const ended = new Promise((resolve) => child.once("close", resolve));
    await until("frames to be lost", () => (objectsIn(stdout).at(-1)?.captures?.[0]?.lost ?? 0) > 0);
    for (const _ of [1, 2]) {
      child.kill("SIGINT");
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect([child.exitCode, child.signalCode]).toEqual([null, null]); // it waits for the reader
    }
    child.kill("SIGINT");
    await ended;
    expect(child.signalCode).toBe("SIGINT");
    reader.kill();
  });

  test("a reader that stands still keeps no other capture waiting", async () => {
    const at = workplace();
    const fifo = at("pipe");
    spawnSync("mkfifo", [fifo]);
    const reader = spawn("sh", ["-c", `exec sleep 60 <"${fifo}"`]);
    const count = 150_000; // twice as much as a queue takes
    const generate = generator("size=1000", "rate=60000", `count=${count}`);
    const binds = ["--bind", `host1/Blue1=${generate}`, "--bind", "host1/nic1=gen:sink"];
    const captures = ["--capture", `host1/Blue1=${fifo}`, "--capture", `host1/nic1=${at("wire.pcap")}`];
    const child = spawn(HNV, ["run", LABS.plain, ...binds, ...captures, "--json"]);
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    const ended = new Promise((resolve) => child.once("close", resolve));
    const partial = at("wire.pcap.partial");
    await until(
      "the last frame",
      () => existsSync(partial) && statSync(partial).size === 24 + count * (16 + 42 + 1000),
    );
    reader.kill();
    await ended;
    const [stuck, whole] = objectsIn(stdout).at(-1)!.captures!;
    expect(stuck!.lost).toBeGreaterThan(0);
    expect(whole).toMatchObject({ frames: count, lost: 0 });
  });

  test("a file that cannot be made ends the run before it begins", async () => {
    const { status, stdout, stderr } = await run("--bind", "host1/nic1=gen:sink", "--capture", "host1/nic1=/proc/x");
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toBe("hnv: /proc/x: cannot be opened for writing: no such file\n");
  });

  test("a reader who has read enough ends the run as a signal does: what was begun is finished", async () => {
    const at = workplace();
    const binds = `--bind host1/Blue1=${generator("rate=1000")} --bind host1/nic1=gen:sink`;
    const line = `hnv run ${LABS.plain} ${binds} --capture host1/nic1=a.pcapng --json | head -1; echo \${PIPESTATUS[0]}`;
    const { stdout } = await shell(line, { cwd: at(".") });
    expect(stdout).toMatch(/^\{.*\}\n0\n$/);
    expect(readdirSync(at("."))).toEqual(["a.pcapng"]);
  });

  test("events that cannot be written end it, too, with a capture asked for", async () => {
    const capture = `host1/nic1=${workplace()("a.pcapng")}`;
    const ended = await run("--bind", "host1/nic1=gen:sink", "--capture", capture, "--events", "/proc/x");
    expect(ended).toMatchObject({ status: 1, stdout: "", stderr: expect.stringMatching(/^hnv: \/proc\/x: [^\n]*\n$/) });
  });

  test("files with two roles, or none: refused before anything is touched", async () => {
    const at = workplace();
    const lab = readFileSync(LABS.plain);
    writeFileSync(at("lab.yaml"), lab);
    writePcap(at("vm.pcap"), [Buffer.alloc(60)]);
    const captured = readFileSync(at("vm.pcap"));
    const binds = ["--bind", "host1/Blue1=pcap:vm.pcap", "--bind", "host1/nic1=gen:sink"];
    for (const [options, words] of [
      [["--capture", "host1/Blue1=vm.pcap"], "vm.pcap: is both read and written"],
      [["--capture", "host1/nic1=lab.yaml"], "lab.yaml: is both read and written"],
      [["--events", "lab.yaml"], "lab.yaml: is both read and written"],
      [["--capture", "host1/Blue1=a.pcap", "--capture", "host1/nic1=./a.pcap"], "is named as an output twice"],
      [["--capture", "host1/Blue1=a.pcap", "--events", "a.pcap"], "is named as an output twice"],
      [["--capture", "host1/Blue1=no/a.pcap"], "there is no directory no"],
      [["--events", "-"], "--events needs a file"],
    ] as const) {
      const { status, stderr } = await hnv(["run", "lab.yaml", ...binds, ...options], { cwd: at(".") });
      expect({ options, status }).toEqual({ options, status: 2 });
      expect(stderr).toContain(words);
    }
    expect(readdirSync(at(".")).sort()).toEqual(["lab.yaml", "vm.pcap"]);
    expect(readFileSync(at("lab.yaml")).equals(lab) && readFileSync(at("vm.pcap")).equals(captured)).toBe(true);
  });
});

test.each([
  [["--bind", "host1/nic1=gen:sink", "--capture", "host1/Blue1=a.pcap"], "expected a port that is bound: host1/nic1"],
  [["--bind", "host1/nic1=gen:sink", "--capture", "host1/nic1=-"], "--capture needs a file"],
  [["--bind", "host1/nic1=gen:sink", "--capture-size", "1"], "--capture-size is for --capture"],
  [
    ["--bind", "host1/nic1=gen:sink", "--capture", "host1/nic1=a.pcap", "--capture-files", "2"],
    "--capture-files needs --capture-size",
  ],
  [
    ["--bind", "host1/nic1=xdp:lo#0", "--bind", "host2/nic1=xdp:lo#1"],
    "--bind host2/nic1=xdp:lo#1: lo is bound to host1/nic1 already, as xdp:lo#0",
  ],
  [
    ["--bind", "host1/nic1=afpacket:lo", "--bind", "host1/Blue1=cap:lo"],
    "--bind host1/Blue1=cap:lo: lo is bound to host1/nic1 already, as afpacket:lo",
  ],
  [["--in", "host1/Blue1=a.pcap", "--capture", "host1/Blue1=b.pcap"], "--capture is for live interfaces"],
])("%j is refused", async (args, line) => {
  const { status, stderr } = await run(...args);
  expect(status).toBe(2);
  expect(stderr).toContain(line);
});
