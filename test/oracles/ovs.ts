/**
 * Open vSwitch's userspace data path as a second opinion on bytes. It needs no privilege and touches nothing of the
 * system: a private database and a private ovs-vswitchd with `dummy` ports only, in a temporary folder of their own.
 *
 *      vm ──┐                                     a frame put into `vm` leaves at `wire` with outer headers;
 *           int ── gre4, gre6 ═ native tunnel ═ phy ── wire
 *      key ─┘                                     a frame put into `wire` leaves at `vm` without them
 *
 * What leaves a dummy port is appended to its `tx_pcap`. A decapsulated frame leaves twice: unchanged at `vm`, and at `key`
 * with the tunnel id moved into the last four octets of its source MAC, which spares us reading debug text.
 *
 * How do we know that nothing came out? Dummy ports handle frames in order, so each question is followed by a marker frame
 * that its bridge sends straight back; when the marker is there, everything before it has been decided.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { firstMissing, run, searchPath } from "./programs.js";

const PROGRAMS = ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"];
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";

/** OpenFlow port numbers. */
const WIRE = 1;
const VM = 1;
const KEY = 2;
const GRE4 = 3;
const GRE6 = 4;
/** Source MAC and EtherType (IEEE Std 802 local experimental 2) that mark the end of a question. */
const MARKER_MAC = "02:68:6e:76:00:01";
const MARKER = Buffer.from("02686e7600ff02686e76000188b6656e64", "hex");
/** What a dummy port can carry at most. */
const DUMMY_MTU = 9000;

/** Looks, 10 ms apart, before a frame counts as dropped. */
const LATE_TURNS = 30;
const PCAP_HEADER_LENGTH = 24;
const PCAP_RECORD_LENGTH = 16;

export interface OvsSettings {
  /** MAC of the underlay interface, with colons. */
  readonly mac: string;
  /** Provider addresses with their prefix lengths, IPv4 or IPv6: `192.168.4.11/24`. */
  readonly addresses: readonly string[];
  /** Provider next hops, which a dummy switch cannot resolve. */
  readonly neighbours: readonly { readonly address: string; readonly mac: string }[];
  /** Further options of the GRE ports, for example `{ csum: "true" }`, `{ seq: "true" }`, `{ ttl: "128", tos: "inherit" }`. */
  readonly tunnelOptions?: Readonly<Record<string, string>>;
}

export interface Decapsulated {
  /** The whole 32-bit GRE key: VSID << 8 | FlowID. */
  readonly tunId: number;
  readonly inner: Uint8Array;
}

export interface Ovs {
  /** The outer frame that Open vSwitch sends for `inner`, or null if it sends none. */
  encapsulate(
    inner: Uint8Array | string,
    to: { readonly key: number; readonly pa: string },
  ): Promise<Uint8Array | null>;
  /** What Open vSwitch finds in `outer`, or null if it refuses the frame. */
  decapsulate(outer: Uint8Array | string): Promise<Decapsulated | null>;
  /** Ends both daemons and removes their folder. */
  stop(): Promise<void>;
}

/** What is missing for `startOvs` on this machine, or null. */
export function ovsMissing(): string | null {
  const program = firstMissing(PROGRAMS);
  if (program) return `${program} is not installed (Debian package openvswitch-switch)`;
  return existsSync(SCHEMA) ? null : `${SCHEMA} is missing`;
}

export const isAvailable = (): boolean => ovsMissing() === null;

const isIpv6 = (address: string): boolean => address.includes(":");
const toHex = (frame: Uint8Array | string): string =>
  typeof frame === "string" ? frame.replace(/\s+/g, "") : Buffer.from(frame).toString("hex");

/** Frames from `offset` on of a capture that is still being written: whole records only, and where the next begins. */
function framesFrom(file: string, offset: number): { frames: Uint8Array[]; next: number } {
  const bytes = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  const frames: Uint8Array[] = [];
  let at = Math.max(offset, PCAP_HEADER_LENGTH);
  while (at + PCAP_RECORD_LENGTH <= bytes.length) {
    const end = at + PCAP_RECORD_LENGTH + bytes.readUInt32LE(at + 8);
    if (end > bytes.length) break;
    frames.push(new Uint8Array(bytes.subarray(at + PCAP_RECORD_LENGTH, end)));
    at = end;
  }
  return { frames, next: at };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 5) {
    if (waited > 10_000) throw new Error(`Open vSwitch: ${what} did not happen in 10 s`);
    await pause(5);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const force = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await gone;
  clearTimeout(force);
}

/** Starts a private switch. The caller must `stop` it; should the test process die first, its daemons are ended with it. */
export async function startOvs(settings: OvsSettings): Promise<Ovs> {
  const missing = ovsMissing();
  if (missing) throw new Error(missing);
  const folder = mkdtempSync(join(tmpdir(), "hnv-ovs-"));
  const env = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder, OVS_SYSCONFDIR: folder };
  const at = (name: string): string => join(folder, name);
  const children: ChildProcess[] = [];
  const daemon = (program: string, args: readonly string[]): ChildProcess => {
    const child = spawn(program, [...args], { env: { ...process.env, PATH: searchPath(), ...env }, stdio: "ignore" });
    children.push(child);
    return child;
  };
  const endNow = (): void => {
    for (const child of children) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", endNow);
  const stop = async (): Promise<void> => {
    process.off("exit", endNow);
    for (const child of [...children].reverse()) await end(child);
    rmSync(folder, { recursive: true, force: true });
  };

  const vsctl = (...args: string[]): Promise<string> =>
    run("ovs-vsctl", [`--db=unix:${at("db.sock")}`, "--timeout=10", ...args], { env });
  const appctl = (...args: string[]): Promise<string> => run("ovs-appctl", ["-t", at("switch.ctl"), ...args], { env });
  const addFlow = (bridge: string, flow: string): Promise<string> =>
    run("ovs-ofctl", ["-O", "OpenFlow13", "add-flow", `unix:${at(`${bridge}.mgmt`)}`, flow], { env });

  try {
    // 1. The two daemons.
    await run("ovsdb-tool", ["create", at("conf.db"), SCHEMA], { env });
    daemon("ovsdb-server", [at("conf.db"), `--remote=punix:${at("db.sock")}`, `--unixctl=${at("db.ctl")}`]);
    await until("the database socket", () => existsSync(at("db.sock")));
    await vsctl("--no-wait", "init");
    daemon("ovs-vswitchd", [
      `unix:${at("db.sock")}`,
      "--enable-dummy",
      "--disable-system",
      `--unixctl=${at("switch.ctl")}`,
      `--log-file=${at("switch.log")}`,
    ]);
    await until("the control socket", () => existsSync(at("switch.ctl")));

    // 2. Bridges and ports.
    const bridge = (name: string, ...more: string[]): string[] => [
      "add-br",
      name,
      "--",
      "set",
      "bridge",
      name,
      "datapath_type=dummy",
      "fail-mode=secure",
      ...more,
      "--",
    ];
    const dummy = (on: string, name: string, port: number): string[] =>
      ["add-port", on, name, "--", "set", "interface", name, "type=dummy", `ofport_request=${port}`].concat([
        `mtu_request=${DUMMY_MTU}`,
        `options:tx_pcap=${at(`${name}.pcap`)}`,
        "--",
      ]);
    const options = { key: "flow", remote_ip: "flow", local_ip: "flow", ...settings.tunnelOptions };
    const tunnel = (name: string, type: string, port: number): string[] =>
      ["add-port", "int", name, "--", "set", "interface", name, `type=${type}`, `ofport_request=${port}`].concat(
        Object.entries(options).map(([option, value]) => `options:${option}=${value}`),
      );
    await vsctl(
      ...bridge("phy", `other-config:hwaddr="${settings.mac}"`),
      ...bridge("int"),
      ...dummy("phy", "wire", WIRE),
      ...dummy("int", "vm", VM),
      ...dummy("int", "key", KEY),
      ...tunnel("gre4", "gre", GRE4),
      "--",
      ...tunnel("gre6", "ip6gre", GRE6),
    );

    // 3. Provider addresses, routes, next hops.
    for (const address of settings.addresses) {
      await appctl(isIpv6(address) ? "netdev-dummy/ip6addr" : "netdev-dummy/ip4addr", "phy", address);
      await appctl("ovs/route/add", address, "phy");
    }
    for (const { address, mac } of settings.neighbours) await appctl("tnl/neigh/set", "phy", address, mac);

    // 4. Flows.
    const marker = `priority=65535,in_port=1,dl_src=${MARKER_MAC},dl_type=0x88b6,actions=IN_PORT`;
    for (const name of ["phy", "int"]) await addFlow(name, marker);
    await addFlow("phy", `in_port=${WIRE},actions=LOCAL`);
    await addFlow("phy", `in_port=LOCAL,actions=output:${WIRE}`);
    for (const port of [GRE4, GRE6])
      await addFlow(
        "int",
        `in_port=${port},actions=output:${VM},move:NXM_NX_TUN_ID[0..31]->NXM_OF_ETH_SRC[0..31],output:${KEY}`,
      );
  } catch (error) {
    await stop();
    throw error;
  }

  const offsets: Record<string, number> = {};
  const take = (port: string): Uint8Array[] => {
    const { frames, next } = framesFrom(at(`${port}.pcap`), offsets[port] ?? 0);
    offsets[port] = next;
    return frames;
  };
  /** Puts a frame into a port, waits until it is decided, and gives what left at that port itself (mirrored traffic). */
  const push = async (port: string, hex: string): Promise<void> => {
    await appctl("netdev-dummy/receive", port, hex, MARKER.toString("hex"));
    await until("the return of the marker", () =>
      take(port).some((frame) => MARKER.equals(frame.subarray(0, MARKER.length))),
    );
  };

  // One question at a time: two would read each other's answers.
  let last: Promise<unknown> = Promise.resolve();
  const alone = <T>(question: () => Promise<T>): Promise<T> => {
    const answer = last.then(question);
    last = answer.catch(() => undefined);
    return answer;
  };

  return {
    encapsulate: (inner, { key, pa }) =>
      alone(async () => {
        const [field, port] = isIpv6(pa) ? ["tun_ipv6_dst", GRE6] : ["tun_dst", GRE4];
        await addFlow("int", `in_port=${VM},actions=set_field:${pa}->${field},set_field:${key}->tun_id,output:${port}`);
        await appctl("revalidator/wait"); // until then the flow before it may still be cached
        take("wire");
        await push("vm", toHex(inner));
        return take("wire")[0] ?? null;
      }),
    decapsulate: (outer) =>
      alone(async () => {
        take("vm");
        take("key");
        await push("wire", toHex(outer));
        // The files of other ports than the marker's may be written a little later.
        const vm: Uint8Array[] = [];
        const key: Uint8Array[] = [];
        for (let turn = 0; turn < LATE_TURNS && (vm.length === 0 || key.length === 0); turn++) {
          if (turn > 0) await delay(10);
          vm.push(...take("vm"));
          key.push(...take("key"));
        }
        const [inner] = vm;
        const [keyed] = key;
        if (!inner || !keyed) return null;
        return { tunId: Buffer.from(keyed).readUInt32BE(8), inner };
      }),
    stop: () => alone(stop),
  };
}
