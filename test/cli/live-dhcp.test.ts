/**
 * A guest of the Linux kernel behind an emulated host gets its addresses from a DHCP server of the tenant's own behind another one, and is
 * reached at them: dhclient and dnsmasq, in namespaces of their own, on TAP devices.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { createNetnsLab, type NetnsLab, netnsMissing } from "../oracles/netns.js";
import { firstMissing, warnSkipped } from "../oracles/programs.js";
import { ROOT } from "./helpers.js";
import { BLUE1, BLUE2, LiveHnv, ping, until } from "./live-lab.js";

const program = firstMissing(["dnsmasq", "dhclient", "ping"]);
const missing = netnsMissing() ?? (program ? `${program} is not installed` : null);
if (missing) warnSkipped("DHCP through live hosts", missing);

const LAB = join(ROOT, "examples/own-dhcp-server.yaml");
const LEASED = { v4: "10.0.0.55", v6: "fd00:10::55" } as const;
const LINK_LOCAL = { blue1: "fe80::406:6ff:fe00:5", blue2: "fe80::406:6ff:fe00:7" } as const;
/** dhclient says what it was given; this makes it so. */
const CONFIGURE = `#!/bin/sh
[ "$reason" != BOUND ] || ip addr add "$new_ip_address/24" dev "$interface"
[ "$reason" != BOUND6 ] || ip addr add "$new_ip6_address/64" dev "$interface" nodad
`;

let lab: NetnsLab | undefined;
let folder = "";
afterEach(async () => {
  await lab?.close();
  lab = undefined;
  if (folder) rmSync(folder, { recursive: true });
  folder = "";
}, 30_000);

/** Makes a TAP device of the hosts' namespace a guest's adapter, with nothing but a link-local address. */
async function plug(lab: NetnsLab, guest: typeof BLUE1 | typeof BLUE2, linkLocal: string): Promise<void> {
  const ip = (...args: string[]): Promise<string> => lab.exec(guest.namespace, "ip", ...args);
  await lab.exec("hosts", "ip", "link", "set", guest.namespace, "netns", lab.name(guest.namespace));
  await ip("link", "set", guest.namespace, "name", "eth0", "address", guest.mac);
  await ip("link", "set", "eth0", "up");
  await ip("addr", "add", `${linkLocal}/64`, "dev", "eth0", "nodad");
}

function startServer(lab: NetnsLab): void {
  const options = ["-k", "-p", "0", "-C", "/dev/null", "-i", "eth0", "--bind-interfaces", "-u", "root", "--no-ping"];
  const ranges = [
    `--dhcp-range=${LEASED.v4},${LEASED.v4},255.255.255.0,600`,
    `--dhcp-range=${LEASED.v6},${LEASED.v6},64,600`,
  ];
  const files = [`--dhcp-leasefile=${join(folder, "server")}`, "--pid-file=", "--dhcp-authoritative"];
  lab.start(BLUE2.namespace, "dnsmasq", ...options, ...ranges, ...files);
}

function startClient(lab: NetnsLab, family: "-4" | "-6"): void {
  const script = join(folder, "configure");
  writeFileSync(script, CONFIGURE, { mode: 0o755 });
  const files = [
    "-lf",
    join(folder, `leases${family}`),
    "-pf",
    join(folder, `pid${family}`),
    "-sf",
    script,
    "-cf",
    "/dev/null",
  ];
  lab.start(BLUE1.namespace, "dhclient", family, "-d", ...files, "eth0");
}

const addressesOf = (lab: NetnsLab): Promise<string> =>
  lab.exec(BLUE1.namespace, "ip", "-o", "addr", "show", "dev", "eth0");

describe.skipIf(missing !== null)("a guest and a DHCP server behind two hosts", () => {
  test("gets its IPv4 and its IPv6 address, and is reached at both", { timeout: 120_000 }, async () => {
    folder = mkdtempSync(join(tmpdir(), "hnv-dhcp-"));
    lab = await createNetnsLab(["hosts", BLUE1.namespace, BLUE2.namespace]);
    const binds = ["--bind", "host1/Blue1=tap:blue1", "--bind", "host2/Blue2=tap:blue2"];
    const hosts = new LiveHnv(lab, "hosts", [LAB, ...binds, "--json"]);
    await hosts.ready();
    await plug(lab, BLUE1, LINK_LOCAL.blue1);
    await plug(lab, BLUE2, LINK_LOCAL.blue2);
    for (const address of ["10.0.0.7/24", "fd00:10::7/64"]) {
      await lab.exec(
        BLUE2.namespace,
        "ip",
        "addr",
        "add",
        address,
        "dev",
        "eth0",
        ...(address.includes(":") ? ["nodad"] : []),
      );
    }
    startServer(lab);
    startClient(lab, "-4");
    await until("an IPv4 lease", async () => (await addressesOf(lab!)).includes(LEASED.v4), 30_000);
    startClient(lab, "-6");
    await until("an IPv6 lease", async () => (await addressesOf(lab!)).includes(LEASED.v6), 30_000);

    expect(await ping(lab, BLUE1, "10.0.0.7")).toBe(5);
    expect(await ping(lab, BLUE2, LEASED.v4)).toBe(5);
    expect(await ping(lab, BLUE1, "fd00:10::7", 5, "-6", "-I", LEASED.v6)).toBe(5);
    expect(await ping(lab, BLUE2, LEASED.v6, 5, "-6")).toBe(5);

    const { status, result } = await hosts.end();
    expect(status).toBe(0);
    expect(hosts.stderr).toBe("");
    const { totals } = result;
    expect(totals.delivered + totals.dropped + totals.passed + totals.consumed).toBe(
      totals.in + totals.copies + totals.injected,
    );
    // Neighbor discovery before anybody had an address is all that may have come to nothing.
    expect(result.drops.filter(({ reason }) => !["TX_NO_FLOOD", "TX_UNANSWERED"].includes(reason))).toEqual([]);
  });
});
