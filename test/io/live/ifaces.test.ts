/** What is read from /sys and /proc, in a folder that stands for a machine. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { type HostInterface, type Machine, surveyInterfaces } from "../../../src/io/live/ifaces.js";
import { HNV } from "../../cli/helpers.js";
import { createNetnsLab, netnsMissing } from "../../oracles/netns.js";
import { warnSkipped } from "../../oracles/programs.js";

const ALL_CAPABILITIES = "000001ffffffffff";
const PROTOCOLS = "protocol  size sockets\nPACKET     1408      3\nXDP         960      0\nUDP        1152      2\n";

/** Attributes of an interface below /sys/class/net; a value of null is a folder. */
type Attributes = Readonly<Record<string, string | null>>;

const ETHERNET: Attributes = {
  ifindex: "2",
  iflink: "2",
  type: "1",
  flags: "0x1003",
  operstate: "up",
  mtu: "1500",
  address: "02:fc:00:00:00:01",
  speed: "10000",
  "queues/rx-0": null,
  "queues/rx-1": null,
  "queues/tx-0": null,
};

interface Setting {
  readonly faces?: Readonly<Record<string, Attributes>>;
  readonly capabilities?: string;
  readonly protocols?: string;
  readonly config?: string | null;
  readonly bootConfig?: string;
  readonly drivers?: Readonly<Record<string, string>>;
  readonly hasTun?: boolean;
  readonly machine?: Partial<Machine>;
}

/** A machine on which everything works but for what the setting says. */
function machine(setting: Setting = {}): Machine {
  const root = mkdtempSync(join(tmpdir(), "hnv-ifaces-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const put = (path: string, content: string | Uint8Array | null): void => {
    mkdirSync(content === null ? join(root, path) : dirname(join(root, path)), { recursive: true });
    if (content !== null) writeFileSync(join(root, path), content);
  };
  put("sys/class/net/bonding_masters", "\n");
  for (const [name, attributes] of Object.entries(setting.faces ?? { eth0: ETHERNET })) {
    for (const [attribute, value] of Object.entries(attributes))
      put(`sys/class/net/${name}/${attribute}`, value === null ? null : `${value}\n`);
  }
  for (const [name, driver] of Object.entries(setting.drivers ?? {})) {
    put(`sys/class/net/${name}/device`, null);
    symlinkSync(`../../../../bus/pci/drivers/${driver}`, join(root, `sys/class/net/${name}/device/driver`));
  }
  put("proc/self/status", `Name:\tnode\nCapEff:\t${setting.capabilities ?? ALL_CAPABILITIES}\n`);
  put("proc/net/protocols", setting.protocols ?? PROTOCOLS);
  const config = setting.config === undefined ? "CONFIG_BPF_SYSCALL=y\n" : setting.config;
  if (config !== null) put("proc/config.gz", gzipSync(config));
  if (setting.bootConfig !== undefined) put("boot/config-6.1.0-test", setting.bootConfig);
  if (setting.hasTun ?? true) put("dev/net/tun", "");
  return {
    platform: "linux",
    kernel: "6.1.0-test",
    root,
    packageObstacle: () => null,
    addresses: () => ({ eth0: ["192.168.4.11"] }),
    ...setting.machine,
  };
}

const only = (setting?: Setting): HostInterface => surveyInterfaces(machine(setting)).interfaces[0]!;

test("an interface as the kernel describes it", () => {
  const face = only({ drivers: { eth0: "ixgbe" } });
  expect(face).toEqual({
    name: "eth0",
    kind: "ethernet",
    state: "up",
    mtu: 1500,
    mac: "02:fc:00:00:00:01",
    speedMbps: 10_000,
    receiveQueues: 2,
    sendQueues: 1,
    driver: "ixgbe",
    addresses: ["192.168.4.11"],
    xdpMode: "native",
    obstacles: { xdp: [], afpacket: [], tap: ["is no TAP device"], cap: [], rawip: [] },
  });
  expect(only({ drivers: { eth0: "e1000" } })).toMatchObject({ driver: "e1000", xdpMode: "generic" });
  expect(only({ faces: { eth0: { ...ETHERNET, speed: "-1" } } }).speedMbps).toBeNull();
});

test("an MTU that native XDP has no room for leaves generic XDP, up to what a chunk takes", () => {
  const withMtu = (mtu: string) => only({ faces: { eth0: { ...ETHERNET, mtu } }, drivers: { eth0: "ixgbe" } });
  expect(withMtu("3498")).toMatchObject({ xdpMode: "native", obstacles: { xdp: [] } });
  expect(withMtu("3499")).toMatchObject({ xdpMode: "generic", obstacles: { xdp: [] } });
  expect(withMtu("3818").obstacles.xdp).toEqual([]); // test/io/live/xdp.test.ts opens such a device
  expect(withMtu("3819").obstacles.xdp).toEqual(["has an MTU of 3819, more than the 3818 of XDP in one buffer"]);
});

test("interfaces come in the order of their numbers, and what is none is left out", () => {
  const faces = { zeta: { ...ETHERNET, ifindex: "3" }, alpha: { ...ETHERNET, ifindex: "20" }, eth0: ETHERNET };
  expect(surveyInterfaces(machine({ faces })).interfaces.map(({ name }) => name)).toEqual(["eth0", "zeta", "alpha"]);
});

test.each<[string, Attributes]>([
  ["loopback", { type: "772" }],
  ["tap", { tun_flags: "0x1002" }],
  ["tun", { tun_flags: "0x1001", type: "65534" }],
  ["bridge", { uevent: "DEVTYPE=bridge\nINTERFACE=br0" }],
  ["vlan", { uevent: "DEVTYPE=vlan" }],
  ["bonding", { uevent: "DEVTYPE=bond" }],
  ["veth", { iflink: "7", speed: "-1" }],
  ["veth", { speed: "10000" }],
  ["virtual", { speed: "1000" }],
  ["virtual", { iflink: "7", lower_eth0: null }],
  ["other", { type: "778" }],
])("%s is recognised", (kind, attributes) => {
  const face = only({ faces: { eth0: { ...ETHERNET, ...attributes } } });
  expect(face.kind).toBe(kind);
  expect(face.xdpMode).toBe(["tap", "tun", "veth", "bonding"].includes(kind) ? "native" : "generic");
  expect(face.obstacles.tap).toEqual(kind === "tap" ? [] : ["is no TAP device"]);
  const hasFrames = kind !== "tun" && kind !== "other";
  expect(face.obstacles.afpacket).toEqual(hasFrames ? [] : [`carries no Ethernet frames (type ${attributes.type})`]);
});

const raw = "no privilege CAP_NET_RAW (run as root, or setcap)";
const admin = "no privilege CAP_NET_ADMIN (run as root, or setcap)";
const bpf = "no privilege CAP_BPF (run as root, or setcap)";
const noTap = "is no TAP device";

test.each<[string, Setting, Partial<HostInterface["obstacles"]>]>([
  [
    "no privileges",
    { capabilities: "0" },
    { xdp: [raw, admin, bpf], afpacket: [raw], tap: [admin, noTap], cap: [raw], rawip: [raw] },
  ],
  [
    "CAP_NET_RAW alone",
    { capabilities: "2000" },
    { xdp: [admin, bpf], afpacket: [], tap: [admin, noTap], cap: [], rawip: [] },
  ],
  ["CAP_BPF too", { capabilities: "8000003000" }, { xdp: [], tap: [noTap] }],
  ["CAP_SYS_ADMIN for it", { capabilities: "203000" }, { xdp: [] }],
  ["neither protocol, no configuration", { protocols: "", config: null }, { xdp: [], afpacket: [] }],
  [
    "a kernel without",
    { protocols: "", config: "# CONFIG_XDP_SOCKETS is not set\n" },
    {
      xdp: [
        "the kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)",
        "the kernel has no bpf system call (CONFIG_BPF_SYSCALL)",
      ],
      afpacket: ["the kernel has no packet sockets (CONFIG_PACKET)"],
      cap: ["the kernel has no packet sockets (CONFIG_PACKET)"],
    },
  ],
  [
    "a kernel with modules, described in /boot",
    { protocols: "", config: null, bootConfig: "CONFIG_XDP_SOCKETS=y\nCONFIG_PACKET=m\n" },
    { xdp: ["the kernel has no bpf system call (CONFIG_BPF_SYSCALL)"], afpacket: [] },
  ],
  [
    "an old kernel",
    { machine: { kernel: "3.1.9" } },
    {
      xdp: ["the kernel has no links for XDP programs: 3.1.9 is older than 5.9"],
      afpacket: ["the kernel has no TPACKET_V3: 3.1.9 is older than 3.2"],
    },
  ],
  [
    "no tun device",
    { hasTun: false },
    { tap: ["the kernel has no /dev/net/tun (CONFIG_TUN, or the device is not in this container)", noTap] },
  ],
  [
    "no packages",
    { machine: { packageObstacle: (name) => `no ${name}` } },
    { xdp: ["no koffi"], afpacket: ["no koffi"], tap: ["no koffi", noTap], cap: ["no cap"], rawip: ["no raw-socket"] },
  ],
  ["no address", { machine: { addresses: () => ({}) } }, { rawip: ["has no IP address"], afpacket: [] }],
  [
    "an interface that is down",
    { faces: { eth0: { ...ETHERNET, flags: "0x1002", operstate: "down" } } },
    { xdp: ["is down"], afpacket: ["is down"], cap: ["is down"], rawip: [] },
  ],
  [
    "jumbo frames",
    { faces: { eth0: { ...ETHERNET, mtu: "9000" } } },
    { xdp: ["has an MTU of 9000, more than the 3818 of XDP in one buffer"], afpacket: [] },
  ],
])("each obstacle is named: %s", (_, setting, expected) => {
  expect(only(setting).obstacles).toMatchObject(expected);
});

test("a new TAP device needs no interface", () => {
  expect(surveyInterfaces(machine({ faces: {} }))).toMatchObject({ interfaces: [], newTap: [] });
  expect(surveyInterfaces(machine({ capabilities: "0" })).newTap).toEqual([admin]);
});

test("other systems have cap only", () => {
  const survey = surveyInterfaces(machine({ machine: { platform: "darwin" } }));
  const no = ["is for Linux only"];
  expect(survey.interfaces).toMatchObject([
    { name: "eth0", addresses: ["192.168.4.11"], obstacles: { xdp: no, afpacket: no, tap: no, rawip: no, cap: [] } },
  ]);
});

const missing = netnsMissing();
if (missing) warnSkipped("hnv ifaces in a network namespace", missing);
test.skipIf(missing)("hnv ifaces sees the interfaces of its namespace, and asks without privileges", async () => {
  const lab = await createNetnsLab(["a", "b"]);
  onTestFinished(() => lab.close());
  const end = (namespace: string, device: string, mac: string) => ({ namespace, device, mac });
  await lab.veth(end("a", "wire0", "02:00:00:00:00:0a"), end("b", "wire1", "02:00:00:00:00:0b"), 1600);
  await lab.exec("a", "ip", "tuntap", "add", "guest0", "mode", "tap");
  const asRoot = JSON.parse(await lab.exec("a", process.execPath, HNV, "ifaces", "--json"));
  const wire = { kind: "veth", mac: "02:00:00:00:00:0a", mtu: 1600, state: "up", receiveQueues: expect.any(Number) };
  expect(asRoot.interfaces).toEqual([
    expect.objectContaining({ name: "lo", kind: "loopback" }),
    expect.objectContaining({ name: "wire0", ...wire }),
    expect.objectContaining({ name: "guest0", kind: "tap", state: "down" }),
  ]);
  const asNobody = ["setpriv", "--reuid=65534", "--clear-groups"] as const;
  const text = await lab.exec("a", ...asNobody, process.execPath, HNV, "ifaces");
  expect(text).toMatch(/^afpacket +all +no privilege CAP_NET_RAW \(run as root, or setcap\)$/m);
  expect(text).toMatch(/^tap +lo wire0 +is no TAP device$/m);
});
