/**
 * Linux guests of examples/linux-guests.yaml in namespaces of their own, on TAP devices of one hnv that is both hosts: a DHCP client, a DHCP server, and
 * a guest in another virtual subnet. What they say is recorded as a user would record it, with `--capture`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createNetnsLab, type NetnsLab } from "../oracles/netns.js";
import { BLUE1, BLUE2, type Guest, LiveHnv, type LiveObject, ping, transfer, twoHosts, until } from "./live-lab.js";
import { ROOT } from "./paths.js";

export const GUESTS_LAB = join(ROOT, "examples/linux-guests.yaml");

/** A guest with both addresses, its port, and the files that it is recorded in. */
export interface RecordedGuest extends Guest {
  readonly address6: string;
  readonly host: string;
  readonly port: string;
  readonly recording: string;
}

/** What the DHCP server gives its client. */
const LEASED = { address: "10.0.0.55", address6: "fd00:10::55" } as const;

const guest = (host: string, it: Guest & { readonly address6: string }): RecordedGuest => {
  const port = `${host}/B${it.namespace.slice(1)}`;
  return { ...it, host, port, recording: `guests-${it.namespace}.pcapng` };
};
export const CLIENT = guest("host1", { ...BLUE1, ...LEASED });
export const SERVER = guest("host2", { ...BLUE2, address6: BLUE2.address6! });
export const ROUTED = guest("host2", {
  namespace: "blue3",
  address: "10.0.1.9",
  address6: "fd00:11::9",
  mac: "06:06:00:00:00:09",
});
export const RECORDED_GUESTS = [CLIENT, SERVER, ROUTED] as const;

/**
 * Octets by TCP, each over a path that carries less than the sender thinks: within the virtual subnet, and routed. More than a connection begins with, so that
 * their last, short segment does not come ahead of those that were too long.
 */
export const TRANSFERS = [
  { from: CLIENT, to: SERVER, bytes: 16 * 1024, family: 4 },
  { from: SERVER, to: CLIENT, bytes: 16 * 1024, family: 6 },
  { from: ROUTED, to: CLIENT, bytes: 16 * 1024, family: 4 },
  { from: CLIENT, to: ROUTED, bytes: 16 * 1024, family: 6 },
] as const;

/** Who asks whom for an echo, in both families; `PINGS` times each. */
export const PAIRS = [
  [CLIENT, SERVER],
  [SERVER, CLIENT],
  [CLIENT, ROUTED],
] as const;
export const PINGS = 3;

/** dhclient says what it was given; this makes it so. No router advertises itself, so the IPv6 router is as given as the guests' that have no DHCP. */
const CONFIGURE = `#!/bin/sh
case $reason in
BOUND) ip addr add "$new_ip_address/24" dev "$interface"; ip route add default via "$new_routers" ;;
BOUND6) ip addr add "$new_ip6_address/64" dev "$interface" nodad; ip -6 route add default via fd00:10::1 ;;
esac
`;

export interface Recorded {
  readonly status: number | null;
  readonly stderr: string;
  readonly result: LiveObject;
  /** Answers to each of `PAIRS`, in IPv4 and IPv6. */
  readonly answers: readonly number[];
  /** Digests at both ends of each of `TRANSFERS`. */
  readonly digests: readonly { readonly sent: string; readonly received: string }[];
}

/** Has the guests talk, and leaves what passed their ports in the folder. */
export async function recordGuests(folder: string): Promise<Recorded> {
  const lab = await createNetnsLab(["hosts", ...RECORDED_GUESTS.map(({ namespace }) => namespace)]);
  try {
    return await record(lab, folder);
  } finally {
    await lab.close();
  }
}

async function record(lab: NetnsLab, folder: string): Promise<Recorded> {
  // 1. Two hosts in one process, with a cable to each guest.
  const binds = RECORDED_GUESTS.flatMap(({ port, namespace }) => ["--bind", `${port}=tap:${namespace}`]);
  const captures = RECORDED_GUESTS.flatMap(({ port, recording }) => [
    "--capture",
    `${port}=${join(folder, recording)}`,
  ]);
  const hosts = new LiveHnv(lab, "hosts", [GUESTS_LAB, ...binds, ...captures, "--json"]);
  await hosts.ready();
  for (const guest of RECORDED_GUESTS) await plug(lab, guest, "hosts");

  // 2. Addresses: written down for two, from DHCP for the client.
  for (const guest of [SERVER, ROUTED]) await configure(lab, guest);
  await lease(lab, folder);

  // 3. Echoes, and TCP whose segments are too long at first.
  const answers: number[] = [];
  for (const [from, to] of PAIRS) {
    answers.push(await ping(lab, from, to.address, PINGS));
    answers.push(await ping(lab, from, to.address6, PINGS, "-6", "-I", from.address6));
  }
  const digests: { sent: string; received: string }[] = [];
  for (const { from, to, bytes, family } of TRANSFERS) {
    digests.push(await transfer(lab, from, to, bytes, family === 4 ? to.address : to.address6));
  }
  const { status, result } = await hosts.end();
  return { status, stderr: hosts.stderr, result, answers, digests };
}

/** What management tells host2 where host1, a process of its own, cannot: the addresses that the client gets. */
const TOLD = [CLIENT.address, CLIENT.address6].map(
  (address) =>
    `  - { host: host2, customerAddress: "${address}", virtualSubnetID: 5001, macAddress: ${CLIENT.mac}, providerAddress: 192.168.4.11 }\n`,
);

/** Client and server behind hosts in processes of their own, with a cable between these. Gives how many echoes were answered, in IPv4 and IPv6. */
export async function leaseBetweenProcesses(folder: string): Promise<{ answers: number[]; results: LiveObject[] }> {
  const file = join(folder, "lab.yaml");
  const prompt = readFileSync(GUESTS_LAB, "utf8").replace(
    "settings: {",
    "settings: { duplicateAddressDetection: false,",
  );
  writeFileSync(file, prompt + TOLD.join(""));
  const lab = await twoHosts([CLIENT, SERVER], 1500);
  try {
    const hosts = [CLIENT, SERVER].map(({ host, port, namespace }) => {
      const binds = ["--bind", `${host}/nic1=afpacket:nic1`, "--bind", `${port}=tap:${namespace}`];
      return new LiveHnv(lab, host, [file, ...binds, "--json"]);
    });
    for (const host of hosts) await host.ready();
    for (const guest of [CLIENT, SERVER]) await plug(lab, guest, guest.host);
    await configure(lab, SERVER);
    await lease(lab, folder);
    const answers = [
      await ping(lab, CLIENT, SERVER.address, PINGS),
      await ping(lab, SERVER, CLIENT.address6, PINGS, "-6", "-I", SERVER.address6),
    ];
    const ends = await Promise.all(hosts.map((host) => host.end()));
    return { answers, results: ends.map(({ result }) => result) };
  } finally {
    await lab.close();
  }
}

/**
 * Makes a TAP device of a host's namespace a guest's adapter. It forms no addresses by itself and believes no router's advertisement; its offloads are off,
 * so that the recording has what the guest's own stack made.
 */
async function plug(lab: NetnsLab, { namespace, mac }: Guest, from: string): Promise<void> {
  const within = (program: string, ...args: string[]): Promise<string> => lab.exec(namespace, program, ...args);
  await lab.exec(from, "ip", "link", "set", namespace, "netns", lab.name(namespace));
  await within("ip", "link", "set", namespace, "name", "eth0", "address", mac);
  await within("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off");
  await within("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=0", "net.ipv6.conf.eth0.autoconf=0");
  await within("ip", "link", "set", "eth0", "up");
}

/** Addresses by hand, and the distributed router as the way to everywhere else: it has the lowest address of each prefix. */
async function configure(lab: NetnsLab, { namespace, address, address6 }: RecordedGuest): Promise<void> {
  const ip = (...args: string[]): Promise<string> => lab.exec(namespace, "ip", ...args);
  await ip("addr", "add", `${address}/24`, "dev", "eth0");
  await ip("addr", "add", `${address6}/64`, "dev", "eth0", "nodad");
  await ip("route", "add", "default", "via", address.replace(/\d+$/, "1"));
  await ip("-6", "route", "add", "default", "via", address6.replace(/[^:]+$/, "1"));
}

/** Has the client get its addresses from the server. DHCPv6 needs link-local ones. */
async function lease(lab: NetnsLab, folder: string): Promise<void> {
  for (const [{ namespace }, linkLocal] of [
    [CLIENT, "fe80::406:6ff:fe00:5"],
    [SERVER, "fe80::406:6ff:fe00:7"],
  ] as const) {
    await lab.exec(namespace, "ip", "addr", "add", `${linkLocal}/64`, "dev", "eth0", "nodad");
  }
  startServer(lab, folder);
  for (const [family, address] of [
    ["-4", CLIENT.address],
    ["-6", CLIENT.address6],
  ] as const) {
    startClient(lab, folder, family);
    const addresses = (): Promise<string> => lab.exec(CLIENT.namespace, "ip", "-o", "addr", "show", "dev", "eth0");
    await until(`a lease of ${address}`, async () => (await addresses()).includes(`${address}/`), 30_000);
  }
}

function startServer(lab: NetnsLab, folder: string): void {
  const options = ["-k", "-p", "0", "-C", "/dev/null", "-i", "eth0", "--bind-interfaces", "-u", "root", "--no-ping"];
  const { address, address6 } = CLIENT;
  const ranges = [
    `--dhcp-range=${address},${address},255.255.255.0,600`,
    `--dhcp-range=${address6},${address6},64,600`,
  ];
  const files = [`--dhcp-leasefile=${join(folder, "server")}`, "--pid-file=", "--dhcp-authoritative"];
  lab.start(SERVER.namespace, "dnsmasq", ...options, ...ranges, "--dhcp-option=option:router,10.0.0.1", ...files);
}

function startClient(lab: NetnsLab, folder: string, family: "-4" | "-6"): void {
  const script = join(folder, "configure");
  writeFileSync(script, CONFIGURE, { mode: 0o755 });
  const file = (name: string): string => join(folder, `${name}${family}`);
  const files = ["-lf", file("leases"), "-pf", file("pid"), "-sf", script, "-cf", "/dev/null"];
  lab.start(CLIENT.namespace, "dhclient", family, "-d", ...files, "eth0");
}
