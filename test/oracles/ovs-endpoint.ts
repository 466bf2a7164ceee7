/**
 * Open vSwitch's userspace data path as an NVGRE endpoint on a real cable, inside a network namespace of a `NetnsLab`:
 *
 *     guest's veth ── int ── gre (key=flow, legacy_l2) ═ native tunnel ═ phy (provider address) ── wire
 *
 * One virtual subnet; what comes from the guest leaves with its VSID and this FlowID, what comes with the VSID, under any FlowID, goes
 * to the guest. Both sides find each other by ARP.
 */
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NetnsLab } from "./netns.js";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const PATIENCE_MS = 15_000;

export interface OvsEndpointSettings {
  /** The namespace in which it runs, and its devices there. */
  readonly namespace: string;
  readonly wire: string;
  readonly guest: string;
  /** Provider address with prefix length, and MAC with colons. */
  readonly address: string;
  readonly mac: string;
  readonly mtu: number;
  /** The other side's provider address. */
  readonly peer: string;
  readonly vsid: number;
  readonly flowId: number;
}

export interface OvsEndpoint {
  /** Ends the daemons and starts them anew, with an empty flow cache. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** The devices must exist; `ovsMissing` in `ovs.ts` says what else may be missing. */
export async function startOvsEndpoint(lab: NetnsLab, settings: OvsEndpointSettings): Promise<OvsEndpoint> {
  const folder = mkdtempSync(join(tmpdir(), "hnv-ovs-"));
  const at = (name: string): string => join(folder, name);
  const folders = ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"].map((name) => `${name}=${folder}`);
  const exec = (...command: string[]): Promise<string> => lab.exec(settings.namespace, "env", ...folders, ...command);
  const vsctl = (...args: string[]): Promise<string> =>
    exec("ovs-vsctl", `--db=unix:${at("db.sock")}`, "-t", "10", ...args);
  let daemons: ChildProcess[] = [];

  const start = async (): Promise<void> => {
    const daemon = (...command: string[]): ChildProcess => lab.start(settings.namespace, "env", ...folders, ...command);
    daemons = [daemon("ovsdb-server", at("conf.db"), `--remote=punix:${at("db.sock")}`, `--unixctl=${at("db.ctl")}`)];
    await until("the database", () => existsSync(at("db.sock")));
    await vsctl("--no-wait", "init");
    daemons.push(
      daemon(
        "ovs-vswitchd",
        `unix:${at("db.sock")}`,
        "--disable-system",
        `--unixctl=${at("switch.ctl")}`,
        `--log-file=${at("log")}`,
      ),
    );
    await until("the switch", () => existsSync(at("switch.ctl")));
    await configure(exec, vsctl, at, settings);
  };
  const end = async (): Promise<void> => {
    for (const child of daemons.splice(0).reverse()) {
      const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        await gone;
      }
    }
    for (const name of ["db.sock", "switch.ctl", "db.ctl"]) rmSync(at(name), { force: true });
  };
  const stop = async (): Promise<void> => {
    await end();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await exec("ovsdb-tool", "create", at("conf.db"), SCHEMA);
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    stop,
    async restart() {
      await end();
      await start();
    },
  };
}

type Run = (...args: string[]) => Promise<string>;

async function configure(
  exec: Run,
  vsctl: Run,
  at: (name: string) => string,
  settings: OvsEndpointSettings,
): Promise<void> {
  const { wire, guest, address, mac, mtu, peer, vsid, flowId } = settings;
  // 1. Bridges and ports. OpenFlow port 1 is the guest, 2 the tunnel.
  const bridge = (name: string, ...more: string[]): string[] =>
    ["--may-exist", "add-br", name, "--"].concat(["set", "bridge", name, "datapath_type=netdev", ...more, "--"]);
  await vsctl(
    ...bridge("phy", `other-config:hwaddr="${mac}"`, "fail-mode=standalone"),
    ...bridge("int", "fail-mode=secure"),
    ...["--may-exist", "add-port", "phy", wire, "--"],
    ...["set", "interface", "phy", `mtu_request=${mtu}`, "--"],
    ...["--may-exist", "add-port", "int", guest, "--", "set", "interface", guest, "ofport_request=1", "--"],
    ...["--may-exist", "add-port", "int", "gre0", "--", "set", "interface", "gre0", "type=gre", "ofport_request=2"],
    ...[`options:remote_ip=${peer}`, "options:key=flow", "options:packet_type=legacy_l2"],
  );
  // 2. The provider address, on the bridge's own device.
  await exec("ip", "addr", "replace", address, "dev", "phy");
  await exec("ip", "link", "set", wire, "arp", "off"); // or the kernel would answer for it there, with another MAC
  await exec("ip", "link", "set", "phy", "up", "mtu", String(mtu));
  const route = async (): Promise<string> => exec("ovs-appctl", "-t", at("switch.ctl"), "ovs/route/show");
  await until("the route to be known", async () => (await route()).includes("dev phy"));
  // 3. Flows: the GRE key is the VSID in 24 bits and the FlowID in 8.
  const addFlow = (flow: string): Promise<string> =>
    exec("ovs-ofctl", "-O", "OpenFlow13", "add-flow", `unix:${at("int.mgmt")}`, flow);
  const key = (vsid * 0x100 + flowId).toString(16);
  await addFlow(`in_port=1,actions=set_field:0x${key}->tun_id,output:2`);
  await addFlow(`in_port=2,tun_id=0x${(vsid * 0x100).toString(16)}/0xffffff00,actions=output:1`);
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`Open vSwitch: waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
