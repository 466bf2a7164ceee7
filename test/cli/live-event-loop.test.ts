/** `hnv run` on interfaces that take the event loop of the main thread: `cap:`, `rawip:`, and captures at their own pace. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { packageObstacle } from "../../src/io/live/optional-package.js";
import { type NetnsLab, netnsMissing } from "../oracles/netns.js";
import { hasProgram, warnSkipped } from "../oracles/programs.js";
import { hnv, LABS, ROOT, readPcap, workplace, writePcap } from "./helpers.js";
import { BLUE1, BLUE2, expectConserved, objectsIn, ping, startHost, transfer, twoHosts } from "./live-lab.js";

const missing = netnsMissing() ?? (hasProgram("ping") ? null : "ping is not installed (Debian package iputils-ping)");
if (missing) warnSkipped("live interfaces of the event loop", missing);
const withoutCap = missing ?? packageObstacle("cap");
const withoutRawSocket = missing ?? packageObstacle("raw-socket");

const MEBIBYTE = 1 << 20;

let lab: NetnsLab | undefined;
afterEach(async () => {
  await lab?.close();
  lab = undefined;
}, 30_000);

describe("two hosts, one of them on another kind of interface than the other", () => {
  test.skipIf(withoutCap !== null)("cap: ping and TCP, then a signal", { timeout: 60_000 }, async () => {
    lab = await twoHosts([BLUE1, BLUE2]);
    const host1 = await startHost(lab, "host1", [BLUE1], { nic: "cap:nic1" });
    const host2 = await startHost(lab, "host2", [BLUE2]);
    expect(await ping(lab, BLUE1, BLUE2.address)).toBe(5);
    const { sent, received } = await transfer(lab, BLUE1, BLUE2, 4 * MEBIBYTE);
    expect(received).toBe(sent);
    for (const { status, result } of [await host1.end("SIGINT"), await host2.end()]) {
      expect(status).toBe(0);
      expectConserved(result);
    }
    expect(host1.stderr).toBe("");
    expect(host1.objects().filter(({ kind }) => kind === "status").length).toBeGreaterThan(1);
  });

  test.skipIf(withoutRawSocket !== null)("rawip: the kernel does the outer IP", { timeout: 60_000 }, async () => {
    lab = await twoHosts([BLUE1, BLUE2]);
    // The kernel of host1 has the address that the lab gives to host1; it finds host2 as a kernel does, and host2 finds it.
    await lab.exec("host1", "ip", "addr", "add", "192.168.4.11/24", "dev", "nic1");
    const host1 = await startHost(lab, "host1", [BLUE1], { nic: "rawip:192.168.4.11" });
    const host2 = await startHost(lab, "host2", [BLUE2]);
    expect(await ping(lab, BLUE2, BLUE1.address)).toBe(5);
    const { sent, received } = await transfer(lab, BLUE2, BLUE1, 4 * MEBIBYTE);
    expect(received).toBe(sent);
    const { status, result } = await host1.end();
    expect(status).toBe(0);
    expectConserved(result);
    expect(result.interfaces[0]!.received).toBeGreaterThan((4 * MEBIBYTE) / 1500);
    await host2.end();
  });

  test.skipIf(withoutCap !== null)("sleeps when nothing comes", { timeout: 60_000 }, async () => {
    lab = await twoHosts([BLUE1]);
    const host1 = await startHost(lab, "host1", [BLUE1], { nic: "cap:nic1" });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const before = host1.cpuSeconds();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(host1.cpuSeconds() - before).toBeLessThan(0.12);
    await host1.end();
  });
});

describe("captures at their own pace", () => {
  const CAPTURE = join(ROOT, "pcaps/blue1-icmp-sent.pcap");
  test("frames come by their timestamps, faster on request; the run ends with the capture", async () => {
    const path = workplace()("slow.pcap");
    const { data } = readPcap(CAPTURE)[0]!;
    writePcap(
      path,
      [0, 1, 6].map((second) => ({ data, time: (1_700_000_000 + second) * 1e6 })),
    );
    const elapsedMs = async (speed: string) => {
      const args = ["run", LABS.plain, "--bind", `host1/Blue1=pcap:${path}`, "--speed", speed, "--json"];
      const { status, stdout, stderr } = await hnv(args);
      expect([status, stderr]).toEqual([0, ""]);
      const result = objectsIn(stdout).at(-1)!;
      expectConserved(result);
      expect(result.totals).toMatchObject({ in: 3, dropped: 0 });
      return result.elapsedMs;
    };
    expect(await elapsedMs("2")).toBeGreaterThanOrEqual(3000);
    expect(await elapsedMs("0")).toBeLessThan(3000);
  });

  test("a damaged capture ends the run with status 1, after the account of what came", async () => {
    const path = workplace()("cut.pcap");
    const whole = readFileSync(CAPTURE);
    writeFileSync(path, whole.subarray(0, whole.length - 5));
    const args = ["run", LABS.plain, "--bind", `host1/Blue1=pcap:${path}`, "--speed", "0", "--json"];
    const { status, stdout, stderr } = await hnv(args);
    expect(status).toBe(1);
    expect(objectsIn(stdout).at(-1)).toMatchObject({ kind: "result", totals: { in: framesIn(CAPTURE) - 1 } });
    expect(stderr).toContain(path);
    expect(stderr).toContain("capture damaged");
  });

  test("a missing file is one line", async () => {
    const args = ["run", LABS.plain, "--bind", "host1/Blue1=pcap:no-such.pcap", "--speed", "1"];
    const { status, stderr } = await hnv(args);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^hnv: no-such\.pcap: .*\n$/);
  });
});

describe("usage", () => {
  test.each([
    ["cap", "cap:lo"],
    ["raw-socket", "rawip:127.0.0.1"],
  ])("without the package %s there is one line that names it", (name, uri) => {
    const script = `
      const Module = require("node:module");
      const resolve = Module._resolveFilename;
      Module._resolveFilename = function (name, ...rest) {
        if (name !== "${name}") return resolve.call(this, name, ...rest);
        throw Object.assign(new Error("Cannot find module '${name}'"), { code: "MODULE_NOT_FOUND" });
      };
      import(process.argv[1]).then(({ main }) => main(process.argv.slice(2))).then((status) => { process.exitCode = status; });`;
    const args = [join(ROOT, "dist/cli/main.js"), "run", LABS.plain, "--bind", `host1/nic1=${uri}`];
    const { status, stderr } = spawnSync(process.execPath, ["-e", script, ...args], { encoding: "utf8" });
    const lines = stderr.split("\n").filter((line) => !line.includes("as its interface has it"));
    expect(lines).toEqual([`hnv: ${uri}: package ${name} is not installed (npm install ${name})`, ""]);
    expect(status).toBe(1);
  });
});

const framesIn = (path: string): number => readPcap(path).length;
