/** `hnv run` on live interfaces: hosts, guests and peers in network namespaces of their own. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { packageObstacle } from "../../src/io/live/optional-package.js";
import { createNetnsLab, type NetnsLab, netnsMissing } from "../oracles/netns.js";
import { ovsMissing } from "../oracles/ovs.js";
import { hasProgram, run, warnSkipped } from "../oracles/programs.js";
import { fuzzLive } from "../support/live-fuzz.js";
import { HNV, hnv, LABS, ROOT, workplace } from "./helpers.js";
import {
  BLUE1,
  BLUE2,
  expectConserved,
  type Guest,
  LiveHnv,
  labFile,
  ping,
  RED1,
  RED2,
  settle,
  startHost,
  transfer,
  twoHosts,
  until,
} from "./live-lab.js";

const missing = netnsMissing() ?? (hasProgram("ping") ? null : "ping is not installed (Debian package iputils-ping)");
if (missing) warnSkipped("live interfaces", missing);

const UNDERLAY_MTU = 1600;
const MEBIBYTE = 1 << 20;

let lab: NetnsLab | undefined;
afterEach(async () => {
  await lab?.close();
  lab = undefined;
}, 30_000);

describe.skipIf(missing !== null)("two hosts, guests on TAP devices", () => {
  test("two workers share the devices: both get frames, flows stay whole, counters add up", {
    timeout: 90_000,
  }, async () => {
    lab = await twoHosts([BLUE1, BLUE2]);
    const host1 = await startHost(lab, "host1", [BLUE1], { options: ["--workers", "2"] });
    const host2 = await startHost(lab, "host2", [BLUE2], { options: ["--workers", "2"] });
    expect(await ping(lab, BLUE1, BLUE2.address)).toBe(5);
    // The kernel's hash, whose key is random, chooses the worker: with so many connections hardly ever always the same.
    for (let connection = 0; connection < 12; connection++) {
      const { sent, received } = await transfer(lab, BLUE1, BLUE2, MEBIBYTE / 4);
      expect(received).toBe(sent);
    }
    for (const { status, result } of await Promise.all([host1.end(), host2.end()])) {
      expect(status).toBe(0);
      expectConserved(result);
      expect(result.inByWorker).toHaveLength(2);
      for (const count of result.inByWorker!) expect(count).toBeGreaterThan(10);
      expect(result.inByWorker!.reduce((sum, count) => sum + count)).toBe(result.totals.in);
    }
    expect([host1.stderr, host2.stderr]).toEqual(["", ""]);
  });

  test("two tenants with equal addresses: ping, TCP both ways, and nobody hears the other", {
    timeout: 90_000,
  }, async () => {
    lab = await twoHosts([BLUE1, BLUE2, RED1, RED2]);
    const host1 = await startHost(lab, "host1", [BLUE1, RED1]);
    const host2 = await startHost(lab, "host2", [BLUE2, RED2]);
    expect(await ping(lab, BLUE1, BLUE2.address)).toBe(5);
    expect(await ping(lab, RED1, RED2.address, 3)).toBe(3);
    expect(await ping(lab, BLUE1, BLUE2.address, 2, "-s", "1472", "-M", "do")).toBe(2);
    for (const [from, to] of [
      [BLUE1, BLUE2],
      [RED2, RED1],
    ] as const) {
      const { sent, received } = await transfer(lab, from, to, 64 * MEBIBYTE);
      expect(received).toBe(sent);
      expect(sent).toMatch(/^[0-9a-f]{64}$/);
    }
    const ends = await Promise.all([host1.end("SIGTERM"), host2.end("SIGINT")]);
    for (const { status, result } of ends) {
      expect(status).toBe(0);
      expect(result.kind).toBe("result");
      expectConserved(result);
      for (const { events, received } of result.interfaces) {
        expect(events).toEqual({});
        expect(received).toBeGreaterThan(0);
      }
      expect(result.drops.filter(({ reason }) => reason.startsWith("RX_"))).toEqual([]);
    }
    expect(host1.objects().filter(({ kind }) => kind === "status").length).toBeGreaterThan(1);
    expect([host1.stderr, host2.stderr]).toEqual(["", ""]);
    // TAP devices go with whoever made them.
    expect(await lab.exec("blue1", "ip", "-br", "link")).not.toContain("eth0");
  });

  test("the MTU of the device that a NIC is bound to takes the place of the lab's", { timeout: 60_000 }, async () => {
    lab = await twoHosts([BLUE1, BLUE2], 1500);
    const host1 = await startHost(lab, "host1", [BLUE1]);
    const host2 = await startHost(lab, "host2", [BLUE2]);
    expect(host1.stderr).toBe("hnv: host1/nic1: MTU 1500, as its interface has it; the lab says 1600\n");
    expect(await ping(lab, BLUE1, BLUE2.address, 3, "-s", "1430", "-M", "do")).toBe(3); // 1,458 octets of IP
    expect(await ping(lab, BLUE1, BLUE2.address, 2, "-s", "1431", "-M", "do")).toBe(0);
    const { result } = await host1.end();
    // The gateway told the guest's kernel what fits, so the second never left the guest.
    expect(result.drops).toContainEqual(
      expect.objectContaining({ port: "host1/Blue1", reason: "TX_TOO_BIG_ICMP4", count: 1 }),
    );
    expect(result.totals.injected).toBeGreaterThanOrEqual(1);
    await host2.end();
  });

  test("an MTU that changes while it runs is the policy's within a second or two", { timeout: 60_000 }, async () => {
    lab = await twoHosts([BLUE1, BLUE2]);
    const host1 = await startHost(lab, "host1", [BLUE1]);
    const host2 = await startHost(lab, "host2", [BLUE2]);
    const whole = (size: string) => ping(lab!, BLUE1, BLUE2.address, 2, "-s", size, "-M", "do");
    expect(await whole("1472")).toBe(2);
    for (const host of ["host1", "host2"]) await lab.exec(host, "ip", "link", "set", "nic1", "mtu", "1500");
    await until("the MTU to be noticed", () => host1.objects().at(-1)?.interfaces[0]?.mtu === 1500);
    expect(host1.stderr).toContain("afpacket:nic1 has MTU 1500 now");
    expect(await whole("1472")).toBe(0); // the flow was cached, and is decided again
    expect(await whole("1430")).toBe(2);
    for (const host of ["host1", "host2"]) await lab.exec(host, "ip", "link", "set", "nic1", "mtu", "1600");
    await until("the MTU to be noticed again", () => host1.objects().at(-1)?.interfaces[0]?.mtu === 1600);
    await lab.exec(BLUE1.namespace, "ip", "route", "flush", "cache"); // the guest has learnt of the shorter path
    expect(await whole("1472")).toBe(2);
    const { result } = await host1.end();
    expectConserved(result);
    expect(result.drops).toContainEqual(expect.objectContaining({ reason: "TX_TOO_BIG_ICMP4" }));
    await host2.end();
  });

  test("guests with IPv6 and jumbo frames", { timeout: 60_000 }, async () => {
    lab = await twoHosts([BLUE1, BLUE2], 9100);
    const host1 = await startHost(lab, "host1", [BLUE1], { mtu: 9000 });
    const host2 = await startHost(lab, "host2", [BLUE2], { mtu: 9000 });
    await until("IPv6 to be up", async () => (await ping(lab!, BLUE1, BLUE2.address6!, 1)) === 1);
    expect(await ping(lab, BLUE1, BLUE2.address6!)).toBe(5);
    expect(await ping(lab, BLUE2, BLUE1.address6!, 2, "-s", "8952", "-M", "do")).toBe(2);
    const { sent, received } = await transfer(lab, BLUE1, BLUE2, 32 * MEBIBYTE, BLUE2.address6);
    expect(received).toBe(sent);
    for (const { result } of await Promise.all([host1.end(), host2.end()])) expectConserved(result);
  });

  test.each([1, 2])(
    "without a word of the lab, provider addresses are made sure of and resolved on the wire: %i workers",
    {
      timeout: 60_000,
    },
    async (workers) => {
      const choices = { file: LABS.plain, options: ["--workers", String(workers)] };
      lab = await twoHosts([BLUE1, BLUE2]);
      // Together: on a busy machine the first would have its address before the second has begun.
      const [host1, host2] = await Promise.all([
        startHost(lab, "host1", [BLUE1], choices),
        startHost(lab, "host2", [BLUE2], choices),
      ]);
      const states = () => [host1, host2].map((host) => host.objects().at(-1)?.providerAddresses[0]?.state);
      await until("a first look", () => !states().includes(undefined));
      expect(states()).toEqual(["Tentative", "Tentative"]);
      expect(await ping(lab, BLUE1, BLUE2.address, 1)).toBe(0);
      // Nothing is sent from an address before three probes, a second apart, have stayed unanswered.
      await until("the addresses to be usable", () => states().every((state) => state === "Preferred"));
      expect(await ping(lab, BLUE2, BLUE1.address)).toBe(5);
      const { sent, received } = await transfer(lab, BLUE1, BLUE2, 4 * MEBIBYTE);
      expect(received).toBe(sent);
      for (const { result } of await Promise.all([host1.end(), host2.end()])) {
        expectConserved(result);
        expect(result.events.count).toBeGreaterThan(0);
        expect(result.events.first).toHaveLength(result.events.count);
        expect(result.events.first!.map(({ kind }) => kind)).toContain("neighborChanged");
        expect(result.drops).toContainEqual(expect.objectContaining({ reason: "TX_NO_PA" }));
      }
    },
  );

  test.each([1, 2])(
    "an address that somebody else has is not used, which is said: %i workers",
    {
      timeout: 60_000,
    },
    async (workers) => {
      lab = await createNetnsLab(["host1", "peer"]);
      await lab.veth({ namespace: "host1", device: "nic1" }, { namespace: "peer", device: "wire" }, UNDERLAY_MTU);
      await lab.exec("peer", "ip", "addr", "add", "192.168.4.11/24", "dev", "wire");
      const binds = ["--bind", "host1/nic1=afpacket:nic1", "--workers", String(workers)];
      const live = new LiveHnv(lab, "host1", [LABS.plain, ...binds, "--json"]);
      await live.ready();
      await until("the other one to be noticed", () => live.stderr !== "");
      expect(live.stderr).toBe("hnv: host1: somebody else has 192.168.4.11; nothing is sent from it, nor received\n");
      const { result } = await live.end();
      expect(result.providerAddresses).toEqual([{ host: "host1", address: "192.168.4.11", state: "Duplicate" }]);
    },
  );

  test("what one thread must see all of gets one worker", { timeout: 60_000 }, async () => {
    lab = await createNetnsLab(["host1", "peer"]);
    await lab.veth({ namespace: "host1", device: "nic1" }, { namespace: "peer", device: "wire" }, UNDERLAY_MTU);
    const file = labFile({ reassembly: true });
    const binds = ["--bind", "host1/nic1=afpacket:nic1"];
    const live = new LiveHnv(lab, "host1", [file, ...binds, "--workers", "2", "--json"]);
    await live.ready();
    expect(live.stderr).toBe("hnv: one worker instead of 2, because host1 puts fragments together\n");
    expect((await live.end()).status).toBe(0);
  });

  test("NICs on AF_XDP", { timeout: 60_000 }, async () => {
    lab = await twoHosts([BLUE1, BLUE2]);
    const host1 = await startHost(lab, "host1", [BLUE1], { nic: "xdp:nic1" });
    const host2 = await startHost(lab, "host2", [BLUE2], { nic: "xdp:nic1" });
    expect(await ping(lab, BLUE1, BLUE2.address)).toBe(5);
    const { sent, received } = await transfer(lab, BLUE1, BLUE2, 16 * MEBIBYTE);
    expect(received).toBe(sent);
    for (const { status, result } of await Promise.all([host1.end(), host2.end()])) {
      expect(status).toBe(0);
      expectConserved(result);
    }
  });

  test.each([
    ["VLAN-tagged provider network", LABS.vlan],
    ["IPv6 provider network", LABS.v6],
  ])("%s", { timeout: 60_000 }, async (_, base) => {
    const file = labFile({}, base);
    lab = await twoHosts([BLUE1, BLUE2]);
    const host1 = await startHost(lab, "host1", [BLUE1], { file });
    await startHost(lab, "host2", [BLUE2], { file });
    expect(await ping(lab, BLUE1, BLUE2.address)).toBe(5);
    const { sent, received } = await transfer(lab, BLUE2, BLUE1, 4 * MEBIBYTE);
    expect(received).toBe(sent);
    expectConserved((await host1.end()).result);
  });
});

describe.skipIf(missing !== null)("one host", () => {
  /** Blue1 and Blue2 on veth pairs, and a host for each; the lab's namespaces are theirs. */
  async function guestsOnVeth(): Promise<[LiveHnv, LiveHnv]> {
    lab = await createNetnsLab(["host1", "blue1", "blue2", "host2"]);
    const nic = (namespace: string) => ({ namespace, device: "nic1" });
    await lab.veth(nic("host1"), nic("host2"), UNDERLAY_MTU);
    const hosts: [string, Guest][] = [
      ["host1", BLUE1],
      ["host2", BLUE2],
    ];
    for (const [host, guest] of hosts) {
      const { namespace } = guest;
      const peer = ["type", "veth", "peer", "name", namespace, "netns", lab.name(host)];
      await lab.exec(namespace, "ip", "link", "add", "cable", ...peer);
      await settle(lab, guest, { namespace, device: "cable" });
      await lab.exec(host, "ip", "link", "set", namespace, "up");
    }
    const start = (host: string, port: string, device: string) =>
      new LiveHnv(lab!, host, [
        labFile(),
        "--bind",
        `${host}/nic1=afpacket:nic1`,
        "--bind",
        `${port}=afpacket:${device}`,
        "--json",
      ]);
    const host1 = start("host1", "host1/Blue1", "blue1");
    const host2 = start("host2", "host2/Blue2", "blue2");
    await host1.ready();
    await host2.ready();
    return [host1, host2];
  }

  test("guests on veth pairs that leave checksums and segmentation to the other end", { timeout: 60_000 }, async () => {
    const [host1, host2] = await guestsOnVeth();
    expect(await ping(lab!, BLUE1, BLUE2.address)).toBe(5);
    const { sent, received } = await transfer(lab!, BLUE1, BLUE2, 32 * MEBIBYTE);
    expect(received).toBe(sent);
    const { result } = await host1.end();
    expectConserved(result);
    expect(result.interfaces.map(({ events }) => events)).toEqual([{}, {}]); // nothing malformed
    await host2.end();
  });

  test("guests with a tunnel of their own, whose long frames are cut in its inside", { timeout: 60_000 }, async () => {
    const [host1, host2] = await guestsOnVeth();
    expect(await ping(lab!, BLUE1, BLUE2.address)).toBe(5);
    for (const checksums of ["noudpcsum", "udpcsum"]) {
      for (const [guest, far] of [
        [BLUE1, BLUE2],
        [BLUE2, BLUE1],
      ] as const) {
        const ip = (...args: string[]) => lab!.exec(guest.namespace, "ip", ...args);
        const vxlan = ["type", "vxlan", "id", "7", "remote", far.address, "dstport", "4789", checksums];
        await ip("link", "add", "tunnel", ...vxlan);
        await ip("addr", "add", `${guest.address.replace("10.0.0", "172.31.0")}/24`, "dev", "tunnel");
        await ip("link", "set", "tunnel", "up");
      }
      const { sent, received } = await transfer(lab!, BLUE1, BLUE2, 8 * MEBIBYTE, "172.31.0.7");
      expect(received).toBe(sent);
      for (const { namespace } of [BLUE1, BLUE2]) await lab!.exec(namespace, "ip", "link", "del", "tunnel");
    }
    for (const { result } of await Promise.all([host1.end(), host2.end()])) {
      expectConserved(result);
      expect(result.interfaces.map(({ events }) => events)).toEqual([{}, {}]); // nothing malformed
    }
  });

  test("a device that goes down, comes up, goes away and comes back is reported and used again", {
    timeout: 60_000,
  }, async () => {
    lab = await createNetnsLab(["host1", "peer"]);
    const near = { namespace: "host1", device: "nic1" };
    const far = { namespace: "peer", device: "wire" };
    await lab.veth(near, far);
    const live = new LiveHnv(lab, "host1", [LABS.plain, "--bind", "host1/nic1=afpacket:nic1", "--json"]);
    await live.ready();
    const events = () => live.objects().at(-1)?.interfaces[0]?.events ?? {};
    const link = (...args: string[]) => lab!.exec("host1", "ip", "link", ...args);
    await link("set", "nic1", "down");
    await until("the device to be noticed down", () => events().down === 1);
    await link("set", "nic1", "up");
    await until("the device to be noticed up", () => events().up === 1);
    await link("del", "nic1");
    await until("the device to be missed", () => events().gone === 1);
    await lab.veth(near, far);
    await until("the device to be found again", () => events().back === 1);
    const before = live.objects().at(-1)!.totals.in;
    await lab.exec("peer", "ip", "addr", "add", "192.168.4.22/24", "dev", "wire");
    await lab.exec("peer", "ping", "-c", "1", "-W", "1", "192.168.4.11").catch(() => "");
    await until("frames to come again", () => live.objects().at(-1)!.totals.in > before);
    for (const text of ["is down", "is up again", "is gone", "is back"])
      expect(live.stderr).toContain(`afpacket:nic1 ${text}`);
    expect((await live.end()).status).toBe(0);
  });

  test("a renamed device is used on under its new name, and looked for under the old one", {
    timeout: 60_000,
  }, async () => {
    lab = await createNetnsLab(["host1", "peer"]);
    const near = { namespace: "host1", device: "nic1" };
    const far = { namespace: "peer", device: "wire" };
    await lab.veth(near, far);
    const live = new LiveHnv(lab, "host1", [LABS.plain, "--bind", "host1/nic1=afpacket:nic1", "--json"]);
    await live.ready();
    const link = (...args: string[]) => lab!.exec("host1", "ip", "link", ...args);
    const happened = () => live.objects().flatMap((object) => object.interfaceEvents ?? []);
    await link("set", "nic1", "down");
    await link("set", "nic1", "name", "nic9");
    await link("set", "nic9", "up");
    await until("the new name to be noticed", () => happened().some(({ event }) => event === "renamed"));
    expect(live.stderr).toContain("afpacket:nic1 has another name; it is used on");
    const before = live.objects().at(-1)!.totals.in;
    await lab.exec("peer", "ip", "addr", "add", "192.168.4.22/24", "dev", "wire");
    await lab.exec("peer", "ping", "-c", "1", "-W", "1", "192.168.4.11").catch(() => "");
    await until("frames to come on", () => live.objects().at(-1)!.totals.in > before);
    await link("del", "nic9");
    await until("the device to be missed", () => happened().some(({ event }) => event === "gone"));
    await lab.veth(near, far);
    await until("another one to be found", () => happened().some(({ event }) => event === "back"));
    expect(happened().filter(({ event }) => event === "renamed")).toEqual([{ port: "host1/nic1", event: "renamed" }]);
    expect((await live.end()).status).toBe(0);
  });

  test("anything may come from wire and guest, at full rate: nothing crashes, all is counted", {
    timeout: 60_000,
  }, async () => {
    const figures = await fuzzLive({ seconds: 3, seed: Date.now() % 65_536 });
    expect(figures.in).toBeGreaterThan(10_000);
    expect(figures.delivered).toBeGreaterThan(1000); // frames as they are, and those that were changed where it does not matter
    expect(figures.reasons).toBeGreaterThan(15);
  });

  test("a TAP device that is removed is made again", { timeout: 60_000 }, async () => {
    lab = await createNetnsLab(["host1"]);
    const live = new LiveHnv(lab, "host1", [LABS.plain, "--bind", "host1/Blue1=tap:blue1", "--json"]);
    await live.ready();
    await lab.exec("host1", "ip", "link", "del", "blue1");
    await until("the device to be made again", () => live.objects().at(-1)?.interfaces[0]?.events.back === 1);
    expect(await lab.exec("host1", "ip", "-br", "link", "show", "blue1")).toContain("blue1");
    await lab.exec("host1", "ip", "link", "set", "blue1", "down");
    const before = live.cpuSeconds();
    await until("the device to be noticed down", () => live.objects().at(-1)?.interfaces[0]?.events.down === 1);
    expect(live.cpuSeconds() - before).toBeLessThan(0.5); // it sleeps
    expect((await live.end()).status).toBe(0);
  });

  test("receive offload is switched off while bound, and on again after", { timeout: 60_000 }, async () => {
    lab = await createNetnsLab(["host1", "peer"]);
    await lab.veth({ namespace: "host1", device: "nic1" }, { namespace: "peer", device: "wire" });
    await lab.exec("host1", "ethtool", "-K", "nic1", "gro", "on");
    const gro = async () =>
      /generic-receive-offload: (\w+)/.exec(await lab!.exec("host1", "ethtool", "-k", "nic1"))?.[1];
    expect(await gro()).toBe("on");
    const live = new LiveHnv(lab, "host1", [LABS.plain, "--bind", "host1/nic1=afpacket:nic1", "--json"]);
    await live.ready();
    expect(await gro()).toBe("off");
    expect(await lab.exec("host1", "ip", "-d", "link", "show", "nic1")).toMatch(/promiscuity 1\b/);
    live.child.kill("SIGTERM"); // two signals at once are one wish, as of timeout(1)
    const { status, result } = await live.end();
    expect(status).toBe(0);
    expect(result.kind).toBe("result");
    expect(await gro()).toBe("on");
    expect(await lab.exec("host1", "ip", "-d", "link", "show", "nic1")).toMatch(/promiscuity 0\b/);
  });

  test("sleeps when nothing comes: below 2 % of a core", { timeout: 60_000 }, async () => {
    lab = await createNetnsLab(["host1"]);
    const live = new LiveHnv(lab, "host1", [LABS.plain, "--bind", "host1/Blue1=tap:blue1", "--json"]);
    await live.ready();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const before = live.cpuSeconds();
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect(live.cpuSeconds() - before).toBeLessThan(0.08);
  });

  test("what cannot be bound is one line that says why", { timeout: 60_000 }, async () => {
    lab = await createNetnsLab(["host1"]);
    const refusal = (uri: string) =>
      lab!.exec("host1", HNV, "run", LABS.plain, "--bind", `host1/nic1=${uri}`).then(
        () => "it ran",
        ({ message }: Error) => message.split(": hnv: ")[1] ?? message,
      );
    expect(await refusal("afpacket:eth9")).toBe("afpacket:eth9: there is no interface eth9 here");
    expect(await refusal("tap:a-name-of-more-than-15")).toContain("name has at most 15 characters");
  });
});

describe.skipIf(missing !== null)("the labs of the README", () => {
  const walk = async (script: string, guests: readonly string[]): Promise<void> => {
    const prefix = `hnv-t-${process.pid}-x`;
    const at = workplace();
    const lab = (action: string) =>
      run("env", [`PREFIX=${prefix}`, `OUT=${at("out")}`, join(ROOT, "examples", script), action]);
    try {
      await lab("up");
      for (const guest of guests) {
        const report = await run("ip", ["netns", "exec", `${prefix}-${guest}`, "ping", "-c", "2", "10.0.0.7"]);
        expect(report).toContain("2 received");
      }
    } finally {
      await lab("down");
    }
    expect(await run("ip", ["netns", "list"])).not.toContain(prefix);
    expect(readFileSync(at("out/host1.log"), "utf8")).toMatch(/in .*= .* delivered/);
  };

  test("two hosts", { timeout: 60_000 }, () => walk("two-hosts.sh", ["blue1", "red1"]));
  test.skipIf(ovsMissing() !== null)("Open vSwitch", { timeout: 60_000 }, () => walk("open-vswitch.sh", ["blue1"]));
});

describe("usage", () => {
  test("without koffi there is one line that names it", async () => {
    const script = `
      const Module = require("node:module");
      const resolve = Module._resolveFilename;
      Module._resolveFilename = function (name, ...rest) {
        if (name !== "koffi") return resolve.call(this, name, ...rest);
        throw Object.assign(new Error("Cannot find module"), { code: "MODULE_NOT_FOUND" });
      };
      import(process.argv[1]).then(({ main }) => main(process.argv.slice(2))).then((status) => { process.exitCode = status; });`;
    const main = join(ROOT, "dist/cli/main.js");
    const args = ["run", LABS.plain, "--bind", "host1/nic1=afpacket:lo"];
    const { status, stderr } = spawnSync(process.execPath, ["-e", script, main, ...args], { encoding: "utf8" });
    expect(stderr).toBe("hnv: live interfaces need the npm package koffi\n");
    expect(status).toBe(1);
  });

  test.skipIf(packageObstacle("cap") !== null || process.getuid?.() !== 0 || !hasProgram("setpriv"))(
    "libpcap without its privilege says which one that is",
    async () => {
      const args = ["--bounding-set=-net_raw", HNV, "run", LABS.plain, "--bind", "host1/nic1=cap:lo"];
      const { status, stderr } = spawnSync("setpriv", args, { encoding: "utf8" });
      expect(stderr).toMatch(/^hnv: cap:lo: .*not permitted.*; it needs CAP_NET_RAW$/m);
      expect(status).toBe(1);
    },
  );

  test.each([
    [
      ["--bind", "host1/Blue1=tap:x", "--in", "host1/Red1=a.pcap"],
      "--in: cannot be given together with live interfaces",
    ],
    [["--bind", "host1/Blue1=pcap:a.pcap", "--speed", "fast"], "Expected a number from 0 to 1000000"],
    [["--bind", "host1/Blue1=tap:x", "--speed", "2"], "--speed is for captures that are bound"],
    [["--bind", "host1/Blue1=tap:x", "--bind", "host1/Blue1=tap:y"], "--bind host1/Blue1 is given twice"],
    [["--bind", "host1/Blue1=tap:x", "--drops", "d.pcapng"], "--drops: cannot be given"],
    [["--bind", "host1/Blue1=wifi:x"], "expected afpacket:…, cap:…, gen:…, pcap:…, rawip:…, tap:…, xdp:…"],
    [["--bind", "host1/Blue1=tap:"], "tap:: expected"],
    [["--bind", "host1/Nobody=tap:x"], "the lab has no port host1/Nobody"],
    [["--in", "host1/Blue1=a.pcap", "--busy-poll"], "--busy-poll is for live interfaces"],
  ])("%j is refused", async (args, line) => {
    const { status, stderr } = await hnv(["run", LABS.plain, ...args]);
    expect(status).toBe(2);
    expect(stderr).toContain(line);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});
