/**
 * Private network namespaces with veth pairs between them, for tests that need a real kernel on the other side.
 * Names carry the process id and a counter, so that test files may run at the same time; devices are born inside their
 * namespaces, so that nothing of the machine's own network is touched. What was made is removed by `close`, or at the
 * end of the process if a test dies first.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { firstMissing, run, runSync, searchPath } from "./programs.js";

export interface VethEnd {
  /** A namespace's name as given to `createNetnsLab`. */
  readonly namespace: string;
  /** At most 15 characters. */
  readonly device: string;
  readonly mac?: string;
  /** With prefix length, IPv4 or IPv6. IPv6 addresses skip duplicate detection. */
  readonly addresses?: readonly string[];
}

export interface NetnsLab {
  /** The system's name of a namespace, as `ip netns exec` takes it. */
  name(namespace: string): string;
  /** A veth pair, both ends up, checksum and segmentation offloads off, so that captures show whole, finished packets. */
  veth(a: VethEnd, b: VethEnd, mtu?: number): Promise<void>;
  /** Runs a program inside a namespace to its end; gives its standard output. */
  exec(namespace: string, program: string, ...args: string[]): Promise<string>;
  /** Starts a program inside a namespace; `close` ends it. */
  start(namespace: string, program: string, ...args: string[]): ChildProcess;
  /** Ends what was started and removes the namespaces with all that is in them. */
  close(): Promise<void>;
}

let known: string | null | undefined;

/** What is missing for network namespaces on this machine, or null. */
export function netnsMissing(): string | null {
  if (known !== undefined) return known;
  known = findMissing();
  return known;
}

/** What is missing for bridges in them, or null. */
export const bridgeMissing = (): string | null =>
  netnsMissing() ??
  (firstMissing(["bridge"]) ? "bridge is not installed (Debian package iproute2)" : null) ??
  (canAdd("bridge0", "type", "bridge") ? null : "this kernel has no bridges");

/** What is missing for GRE tunnels of the kernel that carry Ethernet, or null. */
export const gretapMissing = (): string | null =>
  netnsMissing() ??
  (canAdd("probe0", "type", "gretap", "local", "192.0.2.1", "remote", "192.0.2.2", "key", "1")
    ? null
    : "this kernel has no gretap devices");

function findMissing(): string | null {
  if (process.platform !== "linux") return "network namespaces need Linux";
  const program = firstMissing(["ip", "ethtool"]);
  if (program) return `${program} is not installed (Debian packages iproute2, ethtool)`;
  if (process.getuid?.() !== 0) return "network namespaces need root";
  const hasVeth = canAdd("probe0", "type", "veth", "peer", "name", "probe1");
  if (hasVeth === null) return "this system does not permit new network namespaces";
  return hasVeth ? null : "this kernel has no veth devices";
}

/** Can `ip link add` make such a device? null: there is no namespace to make it in. */
function canAdd(...device: string[]): boolean | null {
  const probe = `hnv-t-${process.pid}-probe`;
  if (runSync("ip", ["netns", "add", probe]) === null) return null;
  const made = runSync("ip", ["-n", probe, "link", "add", ...device]) !== null;
  runSync("ip", ["netns", "del", probe]);
  return made;
}

export const isAvailable = (): boolean => netnsMissing() === null;

let labCount = 0;

/** Makes one namespace per name, each with its loopback device up and IPv6 forming no addresses by itself. */
export async function createNetnsLab(namespaces: readonly string[]): Promise<NetnsLab> {
  const missing = netnsMissing();
  if (missing) throw new Error(missing);
  const prefix = `hnv-t-${process.pid}-${labCount++}`;
  const made: string[] = [];
  const children: ChildProcess[] = [];

  const name = (namespace: string): string => {
    if (!namespaces.includes(namespace)) throw new Error(`no namespace ${namespace} in this lab`);
    return `${prefix}-${namespace}`;
  };
  const exec = (namespace: string, program: string, ...args: string[]): Promise<string> =>
    run("ip", ["netns", "exec", name(namespace), program, ...args]);
  const endNow = (): void => {
    for (const child of children) child.kill("SIGKILL");
    for (const each of made) spawnSync("ip", ["netns", "del", each], { env: { ...process.env, PATH: searchPath() } });
  };
  process.once("exit", endNow);
  const close = async (): Promise<void> => {
    process.off("exit", endNow);
    for (const child of children.splice(0)) await endChild(child);
    for (const each of made.splice(0)) await run("ip", ["netns", "del", each]);
  };

  try {
    for (const namespace of namespaces) {
      await run("ip", ["netns", "add", name(namespace)]);
      made.push(name(namespace));
      await exec(
        namespace,
        "sysctl",
        "-qw",
        "net.ipv6.conf.default.addr_gen_mode=1",
        "net.ipv6.conf.default.accept_dad=0",
      );
      await exec(namespace, "ip", "link", "set", "lo", "up");
    }
  } catch (error) {
    await close();
    throw error;
  }

  const setUp = async (end: VethEnd): Promise<void> => {
    await exec(end.namespace, "ethtool", "-K", end.device, "tx", "off", "tso", "off", "gso", "off", "gro", "off");
    if (end.mac) await exec(end.namespace, "ip", "link", "set", end.device, "address", end.mac);
    for (const address of end.addresses ?? []) {
      const flags = address.includes(":") ? ["nodad"] : [];
      await exec(end.namespace, "ip", "addr", "add", address, "dev", end.device, ...flags);
    }
    await exec(end.namespace, "ip", "link", "set", end.device, "up");
  };

  return {
    name,
    exec,
    close,
    async veth(a, b, mtu = 1500) {
      const side = (end: VethEnd): string[] => ["netns", name(end.namespace), "mtu", String(mtu)];
      await run("ip", ["link", "add", a.device, ...side(a), "type", "veth", "peer", "name", b.device, ...side(b)]);
      await setUp(a);
      await setUp(b);
    },
    start(namespace, program, ...args) {
      const child = spawn("ip", ["netns", "exec", name(namespace), program, ...args], {
        env: { ...process.env, PATH: searchPath() },
        stdio: ["ignore", "pipe", "pipe"],
      });
      children.push(child);
      return child;
    },
  };
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const force = setTimeout(() => child.kill("SIGKILL"), 3_000);
  await gone;
  clearTimeout(force);
}
