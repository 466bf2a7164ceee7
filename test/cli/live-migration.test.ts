/**
 * Live migration between two hnv processes, each a host, while a guest behind a third one sends to the VM by TCP. The VM is a namespace that stays; its
 * cable is pulled out of one host and plugged into the other. All three have the same lab file, whose `events:` tell each of the move.
 *
 *     blue1 ══ cables ══ host1 ─ nic1 ══╗
 *                 ╚═════ host2 ─ nic1 ══╬═ cables
 *     blue2 ──── tap ─── host3 ─ nic1 ══╝
 */
import { writeFileSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { createNetnsLab, type NetnsLab, netnsMissing } from "../oracles/netns.js";
import { hasProgram, warnSkipped } from "../oracles/programs.js";
import { workplace } from "./helpers.js";
import { BLUE1, BLUE2, expectConserved, LiveHnv, ping, settle, transfer } from "./live-lab.js";

const missing = netnsMissing() ?? (hasProgram("ping") ? null : "ping is not installed (Debian package iputils-ping)");
if (missing) warnSkipped("live migration", missing);

/** After the start of each process, and after everything is in place. */
const MOVE_AT_MS = 7000;
/** How long the VM is on no host. */
const DOWNTIME_MS = 200;
const host = (name: string, octet: number, more: string): string =>
  `  - { name: ${name}, nics: [{ name: nic1, mac: "02:00:c0:a8:04:${octet}" }], providerAddresses: [{ address: 192.168.4.${octet} }]${more} }`;
const vm = (name: string, { mac, address }: typeof BLUE1): string =>
  `, vms: [{ name: ${name}, adapters: [{ mac: "${mac}", vsid: 5001, addresses: [${address}] }] }]`;
const LAB = `
apiVersion: hnv/v1
settings: { duplicateAddressDetection: false }
routingDomains:
  - { name: Blue, id: "{11111111-2222-3333-4444-000000005001}", subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }] }
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
${host("host1", 11, vm("Blue1", BLUE1))}
${host("host2", 22, "")}
${host("host3", 33, vm("Blue2", BLUE2))}
events:
  - { at: ${MOVE_AT_MS}, event: vmMoved, vm: host1/Blue1, to: host2, downtime: ${DOWNTIME_MS} }
`;
/** What each process binds besides its NIC. The VM's port keeps its name wherever it is. */
const GUEST_PORTS = {
  host1: "host1/Blue1=afpacket:blue1",
  host2: "host1/Blue1=afpacket:blue1",
  host3: "host3/Blue2=tap:blue2",
} as const;
/** As long as the transfer, of 64 KiB every 10 ms. */
const ECHOES = 420;
const BYTES = 52 << 20;
const HOSTS = ["host1", "host2", "host3"] as const;
/** The lab has no IPv6. */
const { address6: _, ...VM } = BLUE1;
const { address6: __, ...PEER } = BLUE2;

/** A switch for the hosts' NICs, and one that has the VM's cable and those to the two hosts that may run it. */
async function layCables(lab: NetnsLab): Promise<void> {
  const link = (...args: string[]): Promise<string> => lab.exec("cables", "ip", "link", ...args);
  for (const name of ["wire", "vm"]) {
    await link("add", name, "type", "bridge", "stp_state", "0", "mcast_snooping", "0");
    await link("set", name, "up");
  }
  for (const host of HOSTS) {
    await lab.veth({ namespace: host, device: "nic1" }, { namespace: "cables", device: host }, 1600);
    await link("set", host, "master", "wire");
  }
  for (const host of ["host1", "host2"]) {
    await lab.veth({ namespace: host, device: "blue1" }, { namespace: "cables", device: `vm-${host}` });
  }
  await lab.veth({ namespace: VM.namespace, device: "cable" }, { namespace: "cables", device: "vm-blue1" });
  for (const device of ["vm-blue1", "vm-host1"]) await link("set", device, "master", "vm");
}

async function replug(lab: NetnsLab): Promise<void> {
  await lab.exec("cables", "ip", "link", "set", "vm-host1", "nomaster");
  await lab.exec("cables", "ip", "link", "set", "vm-host2", "master", "vm");
}

describe.skipIf(missing !== null)("a VM moves from one hnv to another", () => {
  test("a TCP transfer to it survives, and the host that it has left redirects the sender's host", {
    timeout: 90_000,
  }, async () => {
    // 1. The two hosts of the move begin at about the same time, the third one behind them. So it hears of the move later; until then it has a REDIRECT.
    const file = workplace()("lab.yaml");
    writeFileSync(file, LAB);
    const lab = await createNetnsLab([...HOSTS, "cables", VM.namespace, PEER.namespace]);
    onTestFinished(() => lab.close(), 30_000);
    await layCables(lab);
    await settle(lab, VM, { namespace: VM.namespace, device: "cable" });
    const start = (host: keyof typeof GUEST_PORTS): LiveHnv => {
      const binds = ["--bind", `${host}/nic1=afpacket:nic1`, "--bind", GUEST_PORTS[host]];
      return new LiveHnv(lab, host, [file, ...binds, "--json"]);
    };
    const processes = [start("host1"), start("host2")];
    for (const process of processes) await process.ready();
    const moveAt = performance.now() + MOVE_AT_MS;
    processes.push(start("host3"));
    await processes[2]!.ready();
    await settle(lab, PEER, { namespace: "host3", device: PEER.namespace });
    expect(await ping(lab, PEER, VM.address, 2)).toBeGreaterThan(0);
    expect(performance.now()).toBeLessThan(moveAt - 1000); // else the machine is too busy to see anything

    // 2. The move, in the midst of a transfer, and of echo requests that go on when TCP waits for an answer.
    const transferring = transfer(lab, PEER, VM, BYTES, VM.address, 10);
    const echoing = ping(lab, PEER, VM.address, ECHOES, "-i", "0.02");
    await new Promise((resolve) => setTimeout(resolve, moveAt - performance.now()));
    await replug(lab);
    const { sent, received, silenceMs } = await transferring;
    expect(received).toBe(sent);
    const answered = await echoing;
    expect(await ping(lab, VM, PEER.address, 2)).toBeGreaterThan(0);
    console.info(
      `live migration: TCP was silent for ${silenceMs} ms, ${ECHOES - answered} of ${ECHOES} echoes were lost`,
    );
    expect(silenceMs).toBeGreaterThanOrEqual(DOWNTIME_MS);

    // 3. It was reached by way of either host, and the third one was told where it had gone.
    const ends = await Promise.all(processes.map((process) => process.end()));
    for (const { status, result } of ends) {
      expect(status).toBe(0);
      expectConserved(result);
    }
    const [host1, host2, host3] = ends.map(({ result }) => result);
    for (const result of [host1!, host2!]) expect(result.ports["host1/Blue1"]!.tx.packets).toBeGreaterThan(1000);
    expect(host1!.drops).toContainEqual(expect.objectContaining({ port: "host1/nic1", reason: "RX_MOVED" }));
    expect(host1!.controlMessages!.host1!.sent).toBeGreaterThan(0);
    expect(host3!.controlMessages!.host3!.redirects).toBeGreaterThan(0);
  });
});
