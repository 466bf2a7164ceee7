/** One emulated host against the kernel's own GRE (gretap), on a cable: Blue1 behind hnv, Blue2 is the kernel at the other end. */
import { afterEach, describe, expect, test } from "vitest";
import { createNetnsLab, gretapMissing, type NetnsLab } from "../oracles/netns.js";
import { hasProgram, warnSkipped } from "../oracles/programs.js";
import {
  BLUE1,
  BLUE2,
  expectConserved,
  type LiveHnv,
  labFile,
  ping,
  settle,
  startHost,
  transfer,
  transferBothWays,
  until,
} from "./live-lab.js";

const missing = gretapMissing() ?? (hasProgram("ping") ? null : "ping is not installed (Debian package iputils-ping)");
if (missing) warnSkipped("hnv against the kernel's gretap on a cable", missing);

const MEBIBYTE = 1 << 20;
const VSID = 5001;

let lab: NetnsLab | undefined;
afterEach(async () => {
  await lab?.close();
  lab = undefined;
}, 30_000);

/** The key of a gretap is one number: VSID and FlowID, which so must be the same both ways. */
async function build({ mtu = 1600, guestMtu = 1500 } = {}): Promise<{ lab: NetnsLab; hnv: LiveHnv }> {
  const made = await createNetnsLab(["host1", BLUE1.namespace, BLUE2.namespace]);
  lab = made;
  const far = BLUE2.namespace;
  const wire = { namespace: far, device: "wire", mac: "02:00:c0:a8:04:16", addresses: ["192.168.4.22/24"] };
  await made.veth({ namespace: "host1", device: "nic1" }, wire, mtu);
  const ends = ["local", "192.168.4.22", "remote", "192.168.4.11"];
  await made.exec(far, "ip", "link", "add", "blue", "type", "gretap", ...ends, "key", String(VSID * 256), "ttl", "64");
  await settle(made, BLUE2, { namespace: far, device: "blue" }, guestMtu);
  const hnv = await startHost(made, "host1", [BLUE1], { file: labFile({ flowId: "zero" }), mtu: guestMtu });
  return { lab: made, hnv };
}

describe.skipIf(missing !== null)("hnv and gretap", () => {
  test("ARP both ways, ping in both families, full frames, TCP", { timeout: 90_000 }, async () => {
    const { lab, hnv } = await build();
    expect(await ping(lab, BLUE1, BLUE2.address)).toBe(5);
    expect(await ping(lab, BLUE2, BLUE1.address, 2, "-s", "1472", "-M", "do")).toBe(2);
    await until("IPv6 to be up", async () => (await ping(lab, BLUE1, BLUE2.address6!, 1)) === 1);
    expect(await ping(lab, BLUE2, BLUE1.address6!, 2, "-s", "1452", "-M", "do")).toBe(2);
    const { sent, received } = await transferBothWays(lab, 32 * MEBIBYTE);
    expect(received).toEqual(sent);
    const { status, result } = await hnv.end();
    expect(status).toBe(0);
    expectConserved(result);
    expect(result.drops.filter(({ reason }) => reason.startsWith("RX_"))).toEqual([]);
  });

  test("path MTU: the guest behind hnv learns what fits", { timeout: 90_000 }, async () => {
    const { lab, hnv } = await build({ mtu: 1500 });
    expect(await ping(lab, BLUE1, BLUE2.address, 2, "-s", "1430", "-M", "do")).toBe(2);
    const { sent, received } = await transfer(lab, BLUE1, BLUE2, 8 * MEBIBYTE);
    expect(received).toBe(sent);
    expect((await hnv.end()).result.drops).toContainEqual(expect.objectContaining({ reason: "TX_TOO_BIG_ICMP4" }));
  });
});
