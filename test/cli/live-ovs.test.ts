/** One emulated host against Open vSwitch's userspace GRE, on a cable, with a guest behind each. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { createNetnsLab, type NetnsLab, netnsMissing } from "../oracles/netns.js";
import { ovsMissing } from "../oracles/ovs.js";
import { type OvsEndpoint, startOvsEndpoint } from "../oracles/ovs-endpoint.js";
import { hasProgram, warnSkipped } from "../oracles/programs.js";
import { LABS, workplace } from "./helpers.js";
import { BLUE1, BLUE2, LiveHnv, ping, settle, transfer } from "./live-lab.js";

const missing =
  netnsMissing() ?? ovsMissing() ?? (hasProgram("ping") ? null : "ping is not installed (Debian package iputils-ping)");
if (missing) warnSkipped("hnv against Open vSwitch on a cable", missing);

const UNDERLAY_MTU = 1600;
const MEBIBYTE = 1 << 20;

let lab: NetnsLab | undefined;
let ovs: OvsEndpoint | undefined;
afterEach(async () => {
  await ovs?.stop();
  await lab?.close();
  lab = undefined;
  ovs = undefined;
}, 30_000);

/** Blue1 behind hnv, Blue2 behind Open vSwitch. */
async function build(labFile: string, flowId: number): Promise<{ lab: NetnsLab; hnv: LiveHnv; ovs: OvsEndpoint }> {
  lab = await createNetnsLab(["host1", "ovs", BLUE1.namespace, BLUE2.namespace]);
  await lab.veth({ namespace: "host1", device: "nic1" }, { namespace: "ovs", device: "wire" }, UNDERLAY_MTU);
  await lab.veth({ namespace: "ovs", device: "guest" }, { namespace: BLUE2.namespace, device: "cable" });
  await settle(lab, BLUE2, { namespace: BLUE2.namespace, device: "cable" });
  ovs = await startOvsEndpoint(lab, {
    namespace: "ovs",
    wire: "wire",
    guest: "guest",
    address: "192.168.4.22/24",
    mac: "02:00:c0:a8:04:16",
    mtu: UNDERLAY_MTU,
    peer: { address: "192.168.4.11", mac: "02:00:c0:a8:04:0b" },
    vsid: 5001,
    flowId,
  });
  const hnv = await startHnv(lab, labFile);
  return { lab, hnv, ovs };
}

async function startHnv(lab: NetnsLab, labFile: string): Promise<LiveHnv> {
  const binds = ["--bind", "host1/nic1=afpacket:nic1", "--bind", "host1/Blue1=tap:blue1"];
  const hnv = new LiveHnv(lab, "host1", [labFile, ...binds, "--json"]);
  await hnv.ready();
  await settle(lab, BLUE1, { namespace: "host1", device: "blue1" });
  return hnv;
}

describe.skipIf(missing !== null)("hnv and Open vSwitch", () => {
  test.each([
    ["zero", 0],
    ["hash", 0x5a],
  ])("FlowID %s: ping, full frames, TCP both ways", { timeout: 90_000 }, async (flowId, theirs) => {
    const file = workplace()("lab.yaml");
    writeFileSync(file, `${readFileSync(LABS.plain, "utf8")}settings: { flowId: ${flowId} }\n`);
    const { lab, hnv } = await build(file, theirs);
    expect(await ping(lab, BLUE1, BLUE2.address)).toBe(5);
    expect(await ping(lab, BLUE2, BLUE1.address, 2, "-s", "1472", "-M", "do")).toBe(2);
    for (const [from, to] of [
      [BLUE1, BLUE2],
      [BLUE2, BLUE1],
    ] as const) {
      const { sent, received } = await transfer(lab, from, to, 64 * MEBIBYTE);
      expect(received).toBe(sent);
    }
    const { status, result } = await hnv.end();
    expect(status).toBe(0);
    expect(result.drops.filter(({ reason }) => reason.startsWith("RX_"))).toEqual([]);
    expect(result.totals.delivered).toBeGreaterThan((2 * 64 * MEBIBYTE) / 1500);
  });

  test("either side may be restarted", { timeout: 90_000 }, async () => {
    const { lab, hnv, ovs } = await build(LABS.plain, 0);
    expect(await ping(lab, BLUE1, BLUE2.address, 2)).toBe(2);
    await ovs.restart();
    expect(await ping(lab, BLUE1, BLUE2.address, 2)).toBe(2);
    await hnv.end();
    await startHnv(lab, LABS.plain);
    expect(await ping(lab, BLUE2, BLUE1.address, 2)).toBe(2);
  });
});
