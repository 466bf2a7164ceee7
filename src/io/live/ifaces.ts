/**
 * Which interfaces this machine has, and what each kind of live interface could do with each: `hnv ifaces`.
 *
 * Everything is read from /sys/class/net and /proc, so that it works without root, without any package, and in a test's folder. Where
 * a driver's abilities would have to be asked for over netlink, a list of drivers stands in.
 */

import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { networkInterfaces, release } from "node:os";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { packageObstacle } from "./optional-package.js";

export const BACKENDS = ["xdp", "afpacket", "tap", "cap", "rawip"] as const;
export type Backend = (typeof BACKENDS)[number];

/** What stands in the way; empty if nothing does. */
export type Obstacles = readonly string[];

export interface HostInterface {
  readonly name: string;
  /** What it is, as far as that can be told: `ethernet`, `loopback`, `veth`, `tap`, `bridge`, … */
  readonly kind: string;
  /** `up`, `down`, `unknown` and so on, as the kernel says it. */
  readonly state: string;
  readonly mtu: number | null;
  /** With colons, as the system writes it; null where it has none. */
  readonly mac: string | null;
  readonly speedMbps: number | null;
  readonly receiveQueues: number | null;
  readonly sendQueues: number | null;
  readonly driver: string | null;
  readonly addresses: readonly string[];
  /** How XDP would run: in the driver, or behind it at about the cost of a packet socket. */
  readonly xdpMode: "native" | "generic";
  readonly obstacles: Readonly<Record<Backend, Obstacles>>;
}

export interface HostSurvey {
  readonly platform: string;
  readonly kernel: string;
  readonly interfaces: readonly HostInterface[];
  /** Could `tap:NAME` make a new device? */
  readonly newTap: Obstacles;
}

/** What the survey asks of the machine; a test can answer instead. */
export interface Machine {
  readonly platform: string;
  readonly kernel: string;
  /** The folder that has `sys`, `proc`, `dev` and `boot`. */
  readonly root: string;
  /** Why a package cannot be used, or null. */
  packageObstacle(name: string): string | null;
  /** IP addresses by interface. */
  addresses(): Readonly<Record<string, readonly string[]>>;
}

export const thisMachine = (): Machine => ({
  platform: process.platform,
  kernel: release(),
  root: "/",
  packageObstacle,
  addresses: () =>
    Object.fromEntries(
      Object.entries(networkInterfaces()).map(([name, list]) => [name, (list ?? []).map(({ address }) => address)]),
    ),
});

export function surveyInterfaces(machine: Machine = thisMachine()): HostSurvey {
  const { platform, kernel } = machine;
  if (platform !== "linux") return { platform, kernel, ...surveyElsewhere(machine) };
  const system = new LinuxSystem(machine);
  const general = generalObstacles(system);
  const addresses = machine.addresses();
  const interfaces = system.interfaceNames().map((name) => describe(system, name, general, addresses[name] ?? []));
  return { platform, kernel, interfaces, newTap: general.tap };
}

/** Other systems have libpcap, and tell no more than addresses. */
function surveyElsewhere(machine: Machine): Pick<HostSurvey, "interfaces" | "newTap"> {
  const onlyLinux = ["is for Linux only"];
  const obstacles = { xdp: onlyLinux, afpacket: onlyLinux, tap: onlyLinux, rawip: onlyLinux };
  const cap = listOf(machine.packageObstacle("cap"));
  const interfaces = Object.entries(machine.addresses()).map(
    ([name, addresses]): HostInterface => ({
      name,
      kind: "unknown",
      state: "up",
      mtu: null,
      mac: null,
      speedMbps: null,
      receiveQueues: null,
      sendQueues: null,
      driver: null,
      addresses,
      xdpMode: "generic",
      obstacles: { ...obstacles, cap },
    }),
  );
  return { interfaces, newTap: onlyLinux };
}

const listOf = (...obstacles: readonly (string | null)[]): string[] => obstacles.filter((each) => each !== null);

// Linux.

/** Bits of the capability sets (linux/capability.h). */
const CAPABILITY = { NET_ADMIN: 12, NET_RAW: 13, SYS_ADMIN: 21, BPF: 39 } as const;
/** Interface flags and types (linux/if.h, linux/if_arp.h). */
const IFF_UP = 1;
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
/** Of a tun device (linux/if_tun.h). */
const IFF_TAP = 2;
/** What every veth device says, and no other virtual one. */
const VETH_SPEED = 10_000;
/** The longest packet that `xdp.ts` has room for in a chunk. */
const XDP_MTU_MAX = 3818;
/** Octets up to which frame, headroom and what drivers put behind fit a page, as they want it without multi-buffer. */
const NATIVE_XDP_MTU_MAX = 3498;

/** Drivers with an XDP hook of their own, in kernels of the 6.x series. */
const NATIVE_XDP_DRIVERS: ReadonlySet<string> = new Set(
  (
    "atlantic bnxt_en bonding cpsw ena fec fsl_dpa fsl_dpaa2_eth fsl_enetc gve hv_netvsc i40e ice igb igc ionic ixgbe ixgbevf " +
    "lan966x-switch mana mlx4_core mlx5_core mtk_soc_eth mvneta mvpp2 netdevsim nfp qede rvu_nicpf rvu_nicvf sfc tap " +
    "thunder-nicvf tsnep tun veth vif virtio_net vmxnet3"
  ).split(" "),
);

/** A file's text without the white space at its end, or null where it cannot be read. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trimEnd();
  } catch {
    return null;
  }
}

class LinuxSystem {
  readonly machine: Machine;
  readonly #capabilities: bigint;
  readonly #config: string | null;

  constructor(machine: Machine) {
    this.machine = machine;
    const [, digits] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText(this.path("proc/self/status")) ?? "") ?? [];
    this.#capabilities = BigInt(`0x${digits ?? "0"}`);
    this.#config = this.#readConfig();
  }

  path(...parts: readonly string[]): string {
    return join(this.machine.root, ...parts);
  }

  hasCapability(bit: number): boolean {
    return ((this.#capabilities >> BigInt(bit)) & 1n) === 1n;
  }

  /** Is the running kernel at least this one? */
  isKernel(major: number, minor: number): boolean {
    const [, a, b] = /^(\d+)\.(\d+)/.exec(this.machine.kernel) ?? [];
    return Number(a) > major || (Number(a) === major && Number(b) >= minor);
  }

  /** The kernel's build configuration; null where the system does not show it. */
  #readConfig(): string | null {
    try {
      return gunzipSync(readFileSync(this.path("proc/config.gz"))).toString();
    } catch {
      return readText(this.path("boot", `config-${this.machine.kernel}`));
    }
  }

  /** Is a feature configured, built in or as module? null: that cannot be told. */
  isConfigured(option: string): boolean | null {
    return this.#config === null ? null : new RegExp(`^${option}=[ym]$`, "m").test(this.#config);
  }

  /** Is a protocol family loaded? */
  hasProtocol(name: string): boolean {
    return new RegExp(`^${name}\\s`, "m").test(readText(this.path("proc/net/protocols")) ?? "");
  }

  /** In the order of their numbers. */
  interfaceNames(): string[] {
    const names = existsSync(this.path("sys/class/net")) ? readdirSync(this.path("sys/class/net")) : [];
    const isInterface = (name: string): boolean => existsSync(this.path("sys/class/net", name, "ifindex"));
    return names
      .filter(isInterface)
      .sort((a, b) => (this.number(a, "ifindex") ?? 0) - (this.number(b, "ifindex") ?? 0));
  }

  text(name: string, attribute: string): string | null {
    return readText(this.path("sys/class/net", name, attribute));
  }

  /** Decimal or hexadecimal; null where the attribute is missing or means nothing for this interface. */
  number(name: string, attribute: string): number | null {
    const text = this.text(name, attribute);
    return text === null || !/^-?(0x)?[0-9a-f]+$/i.test(text) ? null : Number(text);
  }

  files(name: string, folder = ""): string[] {
    const path = this.path("sys/class/net", name, folder);
    return existsSync(path) ? readdirSync(path) : [];
  }

  driver(name: string): string | null {
    try {
      return basename(readlinkSync(this.path("sys/class/net", name, "device/driver")));
    } catch {
      return null;
    }
  }
}

/** What stands in the way on every interface. */
function generalObstacles(system: LinuxSystem): Record<Backend, string[]> {
  const { machine } = system;
  const without = (bit: number, name: string): string | null =>
    system.hasCapability(bit) ? null : `no privilege ${name} (run as root, or setcap)`;
  const netRaw = without(CAPABILITY.NET_RAW, "CAP_NET_RAW");
  const netAdmin = without(CAPABILITY.NET_ADMIN, "CAP_NET_ADMIN");
  const bpf = system.hasCapability(CAPABILITY.SYS_ADMIN) ? null : without(CAPABILITY.BPF, "CAP_BPF");
  const kernel = (hasIt: boolean | null, what: string): string | null =>
    hasIt === false ? `the kernel has no ${what}` : null;
  const xdpSockets = system.hasProtocol("XDP") || system.isConfigured("CONFIG_XDP_SOCKETS");
  const packetSockets = system.hasProtocol("PACKET") || system.isConfigured("CONFIG_PACKET");
  const koffi = machine.packageObstacle("koffi");
  const noPacket = kernel(packetSockets, "packet sockets (CONFIG_PACKET)");
  return {
    xdp: listOf(
      koffi,
      kernel(xdpSockets, "AF_XDP sockets (CONFIG_XDP_SOCKETS)"),
      kernel(system.isConfigured("CONFIG_BPF_SYSCALL"), "bpf system call (CONFIG_BPF_SYSCALL)"),
      kernel(system.isKernel(5, 9), `links for XDP programs: ${machine.kernel} is older than 5.9`),
      netRaw,
      netAdmin,
      bpf,
    ),
    afpacket: listOf(
      koffi,
      noPacket,
      kernel(system.isKernel(3, 2), `TPACKET_V3: ${machine.kernel} is older than 3.2`),
      netRaw,
    ),
    tap: listOf(
      koffi,
      kernel(
        existsSync(system.path("dev/net/tun")),
        "/dev/net/tun (CONFIG_TUN, or the device is not in this container)",
      ),
      netAdmin,
    ),
    cap: listOf(machine.packageObstacle("cap"), noPacket, netRaw),
    rawip: listOf(machine.packageObstacle("raw-socket"), netRaw),
  };
}

function describe(
  system: LinuxSystem,
  name: string,
  general: Readonly<Record<Backend, readonly string[]>>,
  addresses: readonly string[],
): HostInterface {
  const driver = system.driver(name);
  const kind = kindOf(system, name);
  const mtu = system.number(name, "mtu");
  const speed = system.number(name, "speed");
  const queues = system.files(name, "queues");
  const mac = system.text(name, "address");
  const count = (prefix: string): number => queues.filter((queue) => queue.startsWith(prefix)).length;
  const isNative = NATIVE_XDP_DRIVERS.has(driver ?? kind) && (mtu ?? 0) <= NATIVE_XDP_MTU_MAX;

  const type = system.number(name, "type");
  const hasFrames = type === ARPHRD_ETHER || type === ARPHRD_LOOPBACK;
  const notEthernet = hasFrames ? null : `carries no Ethernet frames (type ${type})`;
  const down = ((system.number(name, "flags") ?? 0) & IFF_UP) === 0 ? "is down" : null;
  const tooLong =
    (mtu ?? 0) > XDP_MTU_MAX ? `has an MTU of ${mtu}, more than the ${XDP_MTU_MAX} of XDP in one buffer` : null;
  const notTap = kind === "tap" ? null : "is no TAP device";
  const noAddress = addresses.length > 0 ? null : "has no IP address";
  return {
    name,
    kind,
    state: system.text(name, "operstate") ?? "unknown",
    mtu,
    mac: mac === "" ? null : mac,
    speedMbps: speed !== null && speed > 0 ? speed : null,
    receiveQueues: count("rx-"),
    sendQueues: count("tx-"),
    driver,
    addresses,
    xdpMode: isNative ? "native" : "generic",
    obstacles: {
      xdp: [...general.xdp, ...listOf(notEthernet, tooLong, down)],
      afpacket: [...general.afpacket, ...listOf(notEthernet, down)],
      tap: [...general.tap, ...listOf(notTap)],
      cap: [...general.cap, ...listOf(notEthernet, down)],
      rawip: [...general.rawip, ...listOf(noAddress)],
    },
  };
}

function kindOf(system: LinuxSystem, name: string): string {
  const type = system.number(name, "type");
  if (type === ARPHRD_LOOPBACK) return "loopback";
  const files = system.files(name);
  const tunFlags = system.number(name, "tun_flags");
  if (tunFlags !== null) return (tunFlags & IFF_TAP) !== 0 ? "tap" : "tun";
  const [, deviceType] = /^DEVTYPE=(.+)$/m.exec(system.text(name, "uevent") ?? "") ?? [];
  if (deviceType) return deviceType === "bond" ? "bonding" : deviceType;
  if (files.includes("bonding")) return "bonding";
  if (type !== ARPHRD_ETHER) return "other";
  if (files.includes("device")) return "ethernet";
  if (files.some((file) => file.startsWith("lower_"))) return "virtual";
  // One end of a veth pair is linked to the other, whose number may be the same in its own namespace; and has a fixed speed.
  const isLinked = system.number(name, "iflink") !== system.number(name, "ifindex");
  return isLinked || system.number(name, "speed") === VETH_SPEED ? "veth" : "virtual";
}
