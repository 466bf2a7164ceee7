/** One emulated host against Open vSwitch's userspace GRE, on a cable, with a guest behind each. */
import { afterEach, describe, expect, test } from "vitest";
import { type NetnsLab, netnsMissing } from "../oracles/netns.js";
import { ovsMissing } from "../oracles/ovs.js";
import type { OvsEndpoint } from "../oracles/ovs-endpoint.js";
import { hasProgram, warnSkipped } from "../oracles/programs.js";
import {
  BLUE1,
  BLUE2,
  expectConserved,
  iperf,
  ping,
  startHost,
  transfer,
  transferBothWays,
  until,
} from "./live-lab.js";
import { buildOvsLab, type Cable, expectNothingRefused, type OvsLab } from "./live-ovs-lab.js";

const missing =
  netnsMissing() ?? ovsMissing() ?? (hasProgram("ping") ? null : "ping is not installed (Debian package iputils-ping)");
if (missing) warnSkipped("hnv against Open vSwitch on a cable", missing);

const MEBIBYTE = 1 << 20;
/** A transfer of a GiB is made as long as it takes no longer; else one of what can be sent in this time. */
const LONG_TRANSFER_SECONDS = 20;

let lab: NetnsLab | undefined;
let ovs: OvsEndpoint | undefined;
afterEach(async () => {
  await ovs?.stop();
  await lab?.close();
  lab = undefined;
  ovs = undefined;
}, 30_000);

/** Blue1 behind hnv, Blue2 behind Open vSwitch. */
async function build(cable: Partial<Cable> = {}): Promise<OvsLab> {
  const built = await buildOvsLab(cable);
  ({ lab, ovs } = built);
  return built;
}

describe.skipIf(missing !== null)("hnv and Open vSwitch", () => {
  test.each([
    ["zero", 0, 1],
    ["hash", 0x5a, 1],
    ["hash", 0x5a, 2],
  ])(
    "FlowID %s (%i), %i workers: ARP and ping, full frames, TCP both ways",
    { timeout: 90_000 },
    async (ours, flowId, workers) => {
      const { lab, hnv } = await build({ settings: { flowId: ours }, flowId, workers });
      expect(await ping(lab, BLUE1, BLUE2.address)).toBe(5);
      expect(await ping(lab, BLUE2, BLUE1.address, 2, "-s", "1472", "-M", "do")).toBe(2);
      const { sent, received } = await transferBothWays(lab, 32 * MEBIBYTE);
      expect(received).toEqual(sent);
      const { status, result } = await hnv.end();
      expect(status).toBe(0);
      expectConserved(result);
      expectNothingRefused(result);
      expect(result.inByWorker).toHaveLength(workers);
      expect(result.totals.delivered).toBeGreaterThan((2 * 32 * MEBIBYTE) / 1500);
    },
  );

  test("a GiB over TCP, or as much as goes in some seconds", { timeout: 150_000 }, async () => {
    const { lab, hnv } = await build();
    const began = performance.now();
    await transfer(lab, BLUE1, BLUE2, 32 * MEBIBYTE);
    const bytesPerSecond = (32 * MEBIBYTE) / ((performance.now() - began) / 1000);
    const mebibytes = Math.min(1024, Math.floor((bytesPerSecond * LONG_TRANSFER_SECONDS) / MEBIBYTE));
    const { sent, received } = await transfer(lab, BLUE1, BLUE2, mebibytes * MEBIBYTE);
    expect(received).toBe(sent);
    const { result } = await hnv.end();
    expectConserved(result);
    expectNothingRefused(result);
    expect(result.totals.delivered).toBeGreaterThan((mebibytes * MEBIBYTE) / 1500);
  });

  test.skipIf(!hasProgram("iperf3"))("iperf3: TCP both ways, UDP", { timeout: 90_000 }, async () => {
    const { lab, hnv } = await build();
    for (const options of [[], ["-R"]]) {
      const { bytes } = await iperf(lab, BLUE1, BLUE2, "-t", "2", ...options);
      expect(bytes).toBeGreaterThan(10 * MEBIBYTE);
    }
    for (const options of [[], ["-R"]]) {
      const udp = await iperf(lab, BLUE1, BLUE2, "-u", "-b", "20M", "-l", "1400", "-t", "2", ...options);
      expect(udp.bytes).toBeGreaterThan(4 * MEBIBYTE);
      expect(udp.lostPercent).toBeLessThan(5);
    }
    expectNothingRefused((await hnv.end()).result);
  });

  test("guests with IPv6: neighbour discovery, ping, TCP", { timeout: 90_000 }, async () => {
    const { lab, hnv } = await build();
    await until("IPv6 to be up", async () => (await ping(lab, BLUE1, BLUE2.address6!, 1)) === 1);
    expect(await ping(lab, BLUE1, BLUE2.address6!)).toBe(5);
    expect(await ping(lab, BLUE2, BLUE1.address6!, 2, "-s", "1452", "-M", "do")).toBe(2);
    const { sent, received } = await transfer(lab, BLUE2, BLUE1, 16 * MEBIBYTE, BLUE1.address6);
    expect(received).toBe(sent);
    expectNothingRefused((await hnv.end()).result);
  });

  test("jumbo frames", { timeout: 90_000 }, async () => {
    const { lab, hnv } = await build({ mtu: 9100, guestMtu: 9000 });
    expect(await ping(lab, BLUE1, BLUE2.address, 3, "-s", "8972", "-M", "do")).toBe(3);
    expect(await ping(lab, BLUE2, BLUE1.address, 3, "-s", "8972", "-M", "do")).toBe(3);
    const { sent, received } = await transfer(lab, BLUE1, BLUE2, 64 * MEBIBYTE);
    expect(received).toBe(sent);
    const { result } = await hnv.end();
    expectNothingRefused(result);
    expect(result.totals.delivered).toBeLessThan((2 * 64 * MEBIBYTE) / 1500); // whole segments went as they were
  });

  test("path MTU: a guest learns what fits, and its TCP goes on with it", { timeout: 90_000 }, async () => {
    const { lab, hnv } = await build({ mtu: 1500 });
    expect(await ping(lab, BLUE1, BLUE2.address, 2, "-s", "1430", "-M", "do")).toBe(2);
    const { sent, received } = await transfer(lab, BLUE1, BLUE2, 8 * MEBIBYTE);
    expect(received).toBe(sent);
    expect(await lab.exec(BLUE1.namespace, "ip", "route", "get", BLUE2.address)).toContain("mtu 1458");
    const { result } = await hnv.end();
    expect(result.drops).toContainEqual(expect.objectContaining({ reason: "TX_TOO_BIG_ICMP4" }));
    expectNothingRefused(result);
  });

  test("either side may be restarted", { timeout: 90_000 }, async () => {
    const { lab, hnv, ovs } = await build();
    expect(await ping(lab, BLUE1, BLUE2.address, 2)).toBe(2);
    await ovs.restart();
    expect(await ping(lab, BLUE1, BLUE2.address, 2)).toBe(2);
    await hnv.end();
    await startHost(lab, "host1", [BLUE1]);
    expect(await ping(lab, BLUE2, BLUE1.address, 2)).toBe(2);
  });
});
