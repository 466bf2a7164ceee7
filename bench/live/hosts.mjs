/** Two hosts with a guest each: hnv, Open vSwitch's userspace GRE, or a plain cable. TCP, round trips, and what they do when idle. */
import {
  addNamespace,
  cpuNs,
  end,
  inside,
  pause,
  removeNamespace,
  run,
  start,
  startHnv,
  startOvs,
  until,
  veth,
} from "./namespaces.mjs";

const MTU = 1600;
const HOSTS = [
  {
    name: "host1",
    address: "192.168.4.11",
    mac: "02:00:c0:a8:04:0b",
    vm: "Blue1",
    guest: "10.0.0.5",
    guestMac: "06:06:00:00:00:05",
  },
  {
    name: "host2",
    address: "192.168.4.22",
    mac: "02:00:c0:a8:04:16",
    vm: "Blue2",
    guest: "10.0.0.7",
    guestMac: "06:06:00:00:00:07",
  },
];

/** `kind`: `ovs`, `cable`, or `hnv NIC+GUEST` with what NIC and guest are bound to. Guests on anything but TAP devices have a veth pair. */
export async function buildHosts(kind, root) {
  const [, nic, adapter] = /^hnv (\w+)\+(\w+)$/.exec(kind) ?? [];
  const hosts = HOSTS.map((host) => ({ ...host, namespace: addNamespace(host.name), inner: addNamespace(host.vm) }));
  const [one, two] = hosts;
  const parts = [];
  if (kind === "cable") {
    veth({ namespace: one.inner, device: "eth0" }, { namespace: two.inner, device: "eth0" }, 1500);
  } else {
    veth({ namespace: one.namespace, device: "nic1" }, { namespace: two.namespace, device: "nic1" }, MTU);
    for (const host of hosts) {
      const { namespace, inner } = host;
      if (adapter !== "tap") veth({ namespace, device: "guest" }, { namespace: inner, device: "eth0" }, 1500);
      if (kind === "ovs") {
        const peer = host === one ? two : one;
        parts.push(...(await startOvs(host, peer, { wire: "nic1", guest: "guest", vsid: 5001, mtu: MTU })));
        continue;
      }
      const binds = [`${host.name}/nic1=${nic}:nic1`, `${host.name}/${host.vm}=${adapter}:guest`];
      parts.push(await startHnv(namespace, root, `${root}examples/two-tenants.yaml`, binds));
      if (adapter === "tap") {
        await until("the guest's device", () => inside(namespace, "ip", "link").includes("guest"));
        run("ip", "-n", namespace, "link", "set", "guest", "netns", inner);
        run("ip", "-n", inner, "link", "set", "guest", "name", "eth0");
      }
    }
  }
  for (const { inner, guest, guestMac } of hosts) {
    run("ip", "-n", inner, "link", "set", "eth0", "address", guestMac, "mtu", "1500");
    run("ip", "-n", inner, "addr", "add", `${guest}/24`, "dev", "eth0");
    run("ip", "-n", inner, "link", "set", "eth0", "up");
  }
  await until(`${kind}: the guests to hear each other`, () => answers(hosts));
  return {
    hosts,
    parts,
    async close() {
      for (const part of parts) await end(part);
      for (const { namespace, inner } of hosts) for (const name of [namespace, inner]) removeNamespace(name);
    },
  };
}

function answers([one, two]) {
  try {
    return inside(one.inner, "ping", "-c", "1", "-W", "1", two.guest).includes("1 received");
  } catch {
    return false;
  }
}

/** Mbit/s of one TCP connection. */
export async function tcp({ hosts: [one, two] }, seconds) {
  const server = start(two.inner, "iperf3", "-s", "-1", "--forceflush");
  await until("iperf3 to listen", () => server.text.includes("listening"));
  const client = start(one.inner, "iperf3", "-c", two.guest, "-J", "-t", String(seconds));
  await Promise.all([client.ended, server.ended]);
  return JSON.parse(client.text).end.sum_received.bits_per_second / 1e6;
}

/** Round trips in microseconds, sorted: `count` pings, one every two milliseconds. */
export async function roundTrips({ hosts: [one, two] }, count) {
  const ping = start(one.inner, "ping", "-c", String(count), "-i", "0.002", two.guest);
  await ping.ended;
  const times = [...ping.text.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms) * 1000);
  if (times.length < count / 2) throw new Error(`${times.length} of ${count} pings were answered`);
  return times.sort((a, b) => a - b);
}

/** Processor time of each part in a while without traffic, as a share of one core. */
export async function idleShares({ parts }, seconds) {
  const before = parts.map(({ child }) => cpuNs(child.pid));
  await pause(seconds);
  return parts.map(({ child }, index) => (cpuNs(child.pid) - before[index]) / (seconds * 1e9));
}
