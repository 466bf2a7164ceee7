/** Bad input and bad luck: one clear line, the right exit status, and what was good is kept. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { innerOf } from "../vectors/worked-packets.js";
import { hnv, inParallel, LABS, pcapBytes, ROOT, readPcap, resultOf, shell, workplace, writePcap } from "./helpers.js";

const PCAPS = join(ROOT, "pcaps");
const TUNNEL = ["--vsid", "5001", "--pa-src", "192.168.4.11", "--pa-dst", "192.168.4.22"];
const ONE_LINE = /^hnv: [^\n]+\n$/;

describe("inputs", () => {
  it("a directory, an empty file, no file, a terminal's worth of text, an unknown link type: each by name", async () => {
    const at = workplace();
    mkdirSync(at("dir"));
    writeFileSync(at("empty.pcap"), "");
    writeFileSync(at("text.pcap"), "this is no capture, although it is long enough to hold a header\n");
    const wlan = pcapBytes([innerOf("a")]);
    wlan.writeUInt32LE(105, 20);
    writeFileSync(at("wlan.pcap"), wlan);
    const cases = [
      ["dir", 2, "is a directory"],
      ["empty.pcap", 1, "is empty"],
      ["missing.pcap", 2, "no such file"],
      ["text.pcap", 2, "neither a pcap nor a pcapng"],
      ["wlan.pcap", 2, "IEEE802_11 (105)"],
    ] as const;
    await inParallel(cases, async ([name, status, words]) => {
      const run = await hnv([
        "run",
        LABS.plain,
        "--in",
        `host1/Blue1=${at(name)}`,
        "--out",
        `host1/nic1=${at("w.pcap")}`,
      ]);
      const encap = await hnv(["encap", at(name), at("w.pcap"), ...TUNNEL]);
      for (const { status: found, stderr } of [run, encap]) {
        expect({ name, found }).toEqual({ name, found: status });
        expect(stderr).toMatch(ONE_LINE);
        expect(stderr).toContain(at(name));
        expect(stderr).toContain(words);
      }
    });
    expect(readdirSync(at(".")).filter((name) => name.startsWith("w.pcap"))).toEqual([]);
  });

  it("what is there and cannot be seen is not told to be missing", async () => {
    const at = workplace();
    symlinkSync("loop.pcap", at("loop.pcap")); // as good as a directory that is closed to us, which there is none to root
    const { status, stderr } = await hnv(["run", LABS.plain, "--in", `host1/Blue1=${at("loop.pcap")}`]);
    expect(status).toBe(1);
    expect(stderr).toMatch(ONE_LINE);
    expect(stderr).toContain(`${at("loop.pcap")}: cannot be opened: ELOOP`);
  });

  it("a FIFO is read like a file", async () => {
    const at = workplace();
    const file = join(PCAPS, "blue1-tcp-sent.pcap");
    const line = `mkfifo f; cat ${file} > f & hnv run ${LABS.plain} --in host1/Blue1=f --out host2/Blue2=out.pcap --json`;
    const ended = await shell(line, { cwd: at(".") });
    expect(ended.status).toBe(0);
    expect(resultOf(ended).totals.in).toBe(readPcap(file).length);
  });

  it("more captures at a time than there is memory for are refused in one line", async () => {
    const ins = Array.from({ length: 200 }, () => ["--in", `host1/Blue1=${join(PCAPS, "blue1-tcp-sent.pcap")}`]).flat();
    const { status, stderr } = await hnv(["run", LABS.plain, ...ins, "--workers", "2"]);
    expect(status).toBe(2);
    expect(stderr).toMatch(ONE_LINE);
    expect(stderr).toContain("200 inputs at a time need more memory");
  });

  it("damage: all frames before it, whole outputs, the byte offset, status 1", async () => {
    const at = workplace();
    const whole = readFileSync(join(PCAPS, "blue1-tcp-sent.pcap"));
    const frames = readPcap(join(PCAPS, "blue1-tcp-sent.pcap"));
    // The third record is cut in its middle, and begins at:
    const offset = 24 + 16 + frames[0]!.data.length + 16 + frames[1]!.data.length;
    writeFileSync(at("cut.pcap"), whole.subarray(0, offset + 40));
    const run = await hnv([
      "run",
      LABS.plain,
      "--in",
      `host1/Blue1=${at("cut.pcap")}`,
      "--out",
      `host2/Blue2=${at("b.pcap")}`,
      "--json",
    ]);
    expect(run.status).toBe(1);
    expect(run.stderr).toMatch(ONE_LINE);
    expect(run.stderr).toContain(`at byte ${offset}`);
    expect(readPcap(at("b.pcap"))).toEqual(frames.slice(0, 2));
    expect(resultOf(run).inputs[0]).toMatchObject({ frames: 2, damage: { offset } });

    const encap = await hnv(["encap", at("cut.pcap"), at("w.pcap"), ...TUNNEL]);
    expect(encap.status).toBe(1);
    expect(encap.stderr).toContain(`at byte ${offset}`);
    expect(readPcap(at("w.pcap"))).toHaveLength(2);
    expect(existsSync(at("w.pcap.partial"))).toBe(false);
  });

  it("captures cut anywhere end in one line and status 0 or 1, never in a stack trace", async () => {
    const at = workplace();
    for (const name of ["blue1-arp.pcap", "worked-sent.pcapng"]) {
      const whole = readFileSync(join(PCAPS, name));
      const step = 97 * Math.ceil(whole.length / 97 / 8); // about eight places of every file; io's own tests try them all
      const lengths = Array.from({ length: Math.ceil(whole.length / step) - 1 }, (_, index) => (index + 1) * step);
      await inParallel(lengths, async (length) => {
        const file = at(`${length}-${name}`);
        writeFileSync(file, whole.subarray(0, length));
        const { status, stderr } = await hnv(["run", LABS.plain, "--in", `host1/Blue1=${file}`, "--json"]);
        expect([0, 1]).toContain(status);
        if (status === 1) expect(stderr).toMatch(/^hnv: .*at byte \d+\n$/);
      });
    }
  });

  it("one damaged input of two does not stop the other", async () => {
    const at = workplace();
    writePcap(at("good.pcap"), [innerOf("a"), innerOf("a")]);
    writeFileSync(at("cut.pcap"), readFileSync(at("good.pcap")).subarray(0, 150));
    const ins = ["--in", `host1/Blue1=${at("cut.pcap")}`, "--in", `host1/Blue1=${at("good.pcap")}`];
    const ended = await hnv(["run", LABS.plain, ...ins, "--json"]);
    expect(ended.status).toBe(1);
    expect(resultOf(ended).totals.in).toBe(3);
  });
});

describe("outputs", () => {
  it("a full disk ends the run in one line", async () => {
    const file = join(PCAPS, "blue1-tcp-sent.pcap");
    for (const args of [
      ["encap", file, "/dev/full", ...TUNNEL],
      ["run", LABS.plain, "--in", `host1/Blue1=${file}`, "--out", "host1/nic1=/dev/full"],
    ]) {
      const { status, stderr } = await hnv(args);
      expect(status).toBe(1);
      expect(stderr).toMatch(ONE_LINE);
      expect(stderr).toContain("no space left");
    }
  });

  it("when one output fails, another keeps what it got as FILE.partial", async () => {
    const at = workplace();
    const file = join(PCAPS, "blue1-tcp-sent.pcap");
    const outs = ["--out", `host2/Blue2=${at("b.pcap")}`, "--out", "host1/nic1=/dev/full"];
    const ended = await hnv(["run", LABS.plain, "--in", `host1/Blue1=${file}`, ...outs]);
    expect(ended.status).toBe(1);
    expect(existsSync(at("b.pcap"))).toBe(false);
    expect(existsSync(at("b.pcap.partial"))).toBe(true);
  });

  it("a closed pipe ends a capture with a line and text without one", async () => {
    const at = workplace();
    writePcap(
      at("big.pcap"),
      Array.from({ length: 20_000 }, () => innerOf("a")),
    );
    const capture = await shell(
      `hnv encap big.pcap - ${TUNNEL.join(" ")} | head -c 100 | wc -c; echo \${PIPESTATUS[0]}`,
      { cwd: at(".") },
    );
    expect(capture.stdout.split(/\s+/).slice(0, 2)).toEqual(["100", "1"]);
    expect(capture.stderr).toMatch(/^hnv: standard output: .*closed the pipe.*\n$/);
    const text = await shell(
      `hnv trace ${LABS.plain} --port host1/Blue1 --flow 'udp 10.0.0.5:1 > 10.0.0.7:2' | head -1`,
    );
    expect(text).toMatchObject({ status: 0, stderr: "" });
  });

  it("messages that nobody reads end no work", async () => {
    const at = workplace();
    const line = `exec 2> >(exit 0); sleep 0.5; hnv encap ${join(PCAPS, "worked-a-sent.pcap")} w.pcap ${TUNNEL.join(" ")}; echo $?; ls`;
    expect((await shell(line, { cwd: at(".") })).stdout).toBe("0\nw.pcap\n");
    const run = `exec 2> >(exit 0); sleep 0.5; hnv run ${LABS.plain} --in host1/Blue1=${join(PCAPS, "worked-a-sent.pcap")}`;
    const { stdout } = await shell(`${run} --workers 2 --drops d.pcapng --json; echo $?; ls`, { cwd: at(".") });
    expect(stdout).toMatch(/\n0\nd\.pcapng\nw\.pcap\n$/);
  });

  it("a signal leaves what was written as FILE.partial", async () => {
    const at = workplace();
    const line = `mkfifo f; (cat ${join(PCAPS, "blue1-tcp-sent.pcap")}; sleep 20) > f & writer=$!
      hnv run ${LABS.plain} --in host1/Blue1=f --out host2/Blue2=b.pcap & child=$!
      until test -e b.pcap.partial; do sleep 0.1; done; sleep 1; kill -TERM $child; wait $child; status=$?; kill $writer; exit $status`;
    const ended = await shell(line, { cwd: at(".") });
    expect(ended.status).toBe(1);
    expect(ended.stderr).toMatch(/^hnv: ended by SIGTERM/m);
    expect(existsSync(at("b.pcap"))).toBe(false);
    expect(existsSync(at("b.pcap.partial"))).toBe(true);
  });

  it.each(["", "--workers 2"])("a second signal does not wait for somebody who does not read %s", async (workers) => {
    const at = workplace();
    writePcap(at("in.pcap"), Array<Uint8Array>(20_000).fill(innerOf("a"))); // more than a pipe holds
    const line = `mkfifo f; sleep 10 < f & reader=$!
      hnv encap in.pcap - ${TUNNEL.join(" ")} ${workers} > f & child=$!
      sleep 1.5; kill -TERM $child; sleep 1; kill -0 $child && echo waits; kill -TERM $child; wait $child; status=$?
      kill $reader; exit $status`;
    expect(await shell(line, { cwd: at(".") })).toMatchObject({ status: 128 + 15, stdout: "waits\n" });
  });

  it("no place, two roles, one name twice: refused before anything is touched", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf("a")]);
    const before = readFileSync(at("in.pcap"));
    const ins = ["--in", `host1/Blue1=${at("in.pcap")}`];
    const cases = [
      [["--out", `host1/nic1=${at("no/such/dir/w.pcap")}`], "there is no directory"],
      [["--out", `host1/nic1=${at("in.pcap")}`], "is both read and written"],
      [["--out", `host1/nic1=${at("w.pcap")}`, "--drops", at("./w.pcap")], "pcapng"],
      [["--out", `host1/nic1=${at("w.pcapng")}`, "--drops", at("./w.pcapng")], "is named as an output twice"],
      [["--out", `host1/nic1=${at("w")}`, "--out", `host1/nic1=${at("v")}`], "given twice"],
      [["--out", `host1/nic9=${at("w")}`], "no port host1/nic9"],
      [["--out", "host1/nic1"], "PORT=FILE"],
      [["--bind", "host1/nic1=wifi:eth0"], "expected afpacket:…, cap:…, gen:…, pcap:…"],
      [["--bind", "host1/nic1=eth0"], "expected afpacket:…, cap:…, gen:…, pcap:…"],
      [["--burst", "257"], "1 to 256"],
      [["--out", "host1/nic1=-", "--json"], "exclude each other"],
    ] as const;
    await inParallel(cases, async ([outs, words]) => {
      const { status, stderr } = await hnv(["run", LABS.plain, ...ins, ...outs]);
      expect({ outs, status }).toEqual({ outs, status: 2 });
      expect(stderr).toMatch(ONE_LINE);
      expect(stderr).toContain(words);
    });
    expect(readdirSync(at("."))).toEqual(["in.pcap"]);
    expect(readFileSync(at("in.pcap")).equals(before)).toBe(true);
  });
});

describe("fabric files", () => {
  const FIVE_MISTAKES = `apiVersion: hnv/v1
routingDomains:
  - name: Blue
    id: "{not-a-guid}"
    subnets:
      - { vsid: 17, prefixes: [10.0.0.0/24] }
      - { vsid: 5002, prefixes: [10.0.1.7/24] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04 }]
    colour: blue
`;

  it("five mistakes are five lines with file, line and column, and nothing runs", async () => {
    const at = workplace();
    writeFileSync(at("lab.yaml"), FIVE_MISTAKES);
    writePcap(at("in.pcap"), [innerOf("a")]);
    const args = ["run", "lab.yaml", "--in", "host1/Blue1=in.pcap", "--out", "host1/nic1=w.pcap"];
    const { status, stdout, stderr } = await hnv(args, { cwd: at(".") });
    expect(status).toBe(2);
    expect(stdout).toBe("");
    const places = stderr
      .trimEnd()
      .split("\n")
      .map((line) => /^lab\.yaml:(\d+):(\d+): ./.exec(line)?.slice(1).map(Number));
    expect(places).toEqual([
      [4, 9],
      [6, 17],
      [7, expect.any(Number)],
      [10, expect.any(Number)],
      [11, 5],
    ]);
    expect(existsSync(at("w.pcap"))).toBe(false);

    const check = await hnv(["check", "lab.yaml", "--json"], { cwd: at(".") });
    expect(check.status).toBe(1);
    const { errors, findings } = JSON.parse(check.stdout) as {
      errors: number;
      findings: { line: number; severity: string }[];
    };
    expect(errors).toBe(5);
    expect(findings.map(({ line }) => line)).toEqual([4, 6, 7, 10, 11]);
  });

  it("no file, a directory, a capture in its place", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf("a")]);
    for (const file of ["missing.yaml", ".", "in.pcap"]) {
      const { status, stderr } = await hnv(["run", file, "--in", "host1/Blue1=in.pcap"], { cwd: at(".") });
      expect(status).toBe(2);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(stderr).toContain(file);
    }
  });

  it("standard input that somebody has set to non-blocking is waited for", async () => {
    const line = `(sleep 1; cat ${LABS.plain}) | (python3 -c 'import os; os.set_blocking(0, False)'; hnv check - --no-reach)`;
    expect(await shell(line)).toEqual(expect.objectContaining({ status: 0, stdout: "-: clean\n", stderr: "" }));
  });
});

it("wrong usage: one line, status 2", async () => {
  const lines = [
    ["frob"],
    ["run"],
    ["run", LABS.plain],
    ["encap", "a", "b"],
    ["run", LABS.plain, "--loud"],
    ["mtu"],
    ["trace", LABS.plain],
  ];
  await inParallel(lines, async (args) => {
    const { status, stdout, stderr } = await hnv(args);
    expect({ args, status, stdout }).toEqual({ args, status: 2, stdout: "" });
    expect(stderr).toMatch(ONE_LINE);
  });
});
