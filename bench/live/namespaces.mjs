/** Network namespaces for the benches of live interfaces, with all that was started in them; everything goes with the process. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const PATIENCE_MS = 15_000;
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const prefix = `hnv-b-${process.pid}`;
const namespaces = [];
const children = new Set();

export const folder = mkdtempSync(join(tmpdir(), "hnv-live-"));

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const name of namespaces) spawnSync("ip", ["netns", "del", name]);
  rmSync(folder, { recursive: true, force: true });
});

/** Why nothing can be measured here, or null. */
export function obstacle(...programs) {
  if (process.platform !== "linux" || process.getuid() !== 0) return "live interfaces need Linux and root";
  const missing = programs.find((name) => !PATH.split(":").some((path) => existsSync(join(path, name))));
  return missing === undefined ? null : `${missing} is not installed`;
}

export function run(program, ...args) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", env: { ...process.env, PATH } });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr || stdout}`);
  return stdout;
}

/** The system's name of a new namespace, in which nobody says anything unasked. */
export function addNamespace(name) {
  const full = `${prefix}-${name}`;
  run("ip", "netns", "add", full);
  namespaces.push(full);
  inside(full, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1");
  inside(full, "ip", "link", "set", "lo", "up");
  return full;
}

export function removeNamespace(name) {
  run("ip", "netns", "del", name);
  namespaces.splice(namespaces.indexOf(name), 1);
}

export const inside = (namespace, program, ...args) => run("ip", "netns", "exec", namespace, program, ...args);

/** A veth pair, both ends up, without offloads. */
export function veth(one, other, mtu = 1600) {
  const end = ({ namespace, device }) => [device, "netns", namespace, "mtu", String(mtu)];
  run("ip", "link", "add", ...end(one), "type", "veth", "peer", "name", ...end(other));
  for (const { namespace, device } of [one, other]) {
    inside(namespace, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off");
    run("ip", "-n", namespace, "link", "set", device, "up");
  }
}

/** Starts a program in a namespace; `text` collects what it prints. */
export function start(namespace, program, ...args) {
  const child = spawn("ip", ["netns", "exec", namespace, program, ...args], {
    env: { ...process.env, PATH },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const started = { child, text: "", ended: new Promise((resolve) => child.once("close", resolve)) };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (piece) => {
      started.text += piece;
    });
  }
  children.add(child);
  child.once("close", () => children.delete(child));
  return started;
}

export async function end({ child, ended }, signal = "SIGTERM") {
  child.kill(signal);
  await ended;
}

export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export async function until(what, holds) {
  for (const patience = Date.now() + PATIENCE_MS; !(await holds()); await pause(0.02))
    if (Date.now() > patience) throw new Error(`waited in vain for ${what}`);
}

/** hnv in a namespace, once its interfaces are there. */
export async function startHnv(namespace, root, lab, binds, ...options) {
  const hnv = start(
    namespace,
    process.execPath,
    `${root}bin/hnv`,
    "run",
    lab,
    ...binds.flatMap((bind) => ["--bind", bind]),
    ...options,
  );
  await until(`hnv in ${namespace}: ${hnv.text}`, () => {
    if (hnv.child.exitCode !== null) throw new Error(`hnv ended: ${hnv.text}`);
    return hnv.text.includes("bound ");
  });
  return hnv;
}

/** Nanoseconds of processor time that each thread of a process has had. */
export function threadTimes(pid) {
  const time = (task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
  return new Map(readdirSync(`/proc/${pid}/task`).map((task) => [task, time(task)]));
}

/** Of all its threads. */
export const cpuNs = (pid) => [...threadTimes(pid).values()].reduce((sum, ns) => sum + ns, 0);

/** Open vSwitch's userspace data path as an NVGRE endpoint, as the tests' oracle has it. `host`: `{ namespace, address, mac }`. */
export async function startOvs(host, peer, { wire, guest, vsid, mtu }) {
  const { namespace, address, mac } = host;
  const home = mkdtempSync(join(folder, "ovs-"));
  const at = (name) => join(home, name);
  const environment = ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"].map((name) => `${name}=${home}`);
  const exec = (...command) => inside(namespace, "env", ...environment, ...command);
  const daemon = (...command) => start(namespace, "env", ...environment, ...command);
  exec("ovsdb-tool", "create", at("conf.db"), SCHEMA);
  const database = daemon(
    "ovsdb-server",
    at("conf.db"),
    `--remote=punix:${at("db.sock")}`,
    `--unixctl=${at("db.ctl")}`,
  );
  await until("the database", () => existsSync(at("db.sock")));
  const vsctl = (...args) => exec("ovs-vsctl", `--db=unix:${at("db.sock")}`, "-t", "10", ...args);
  vsctl("--no-wait", "init");
  const log = `--log-file=${at("log")}`;
  const ovs = daemon("ovs-vswitchd", `unix:${at("db.sock")}`, "--disable-system", `--unixctl=${at("switch.ctl")}`, log);
  await until("the switch", () => existsSync(at("switch.ctl")));
  vsctl(
    ...["add-br", "phy", "--", "set", "bridge", "phy", "datapath_type=netdev", `other-config:hwaddr="${mac}"`, "--"],
    ...["add-port", "phy", wire, "--", "set", "interface", "phy", `mtu_request=${mtu}`, "--"],
    ...["add-br", "int", "--", "set", "bridge", "int", "datapath_type=netdev", "fail-mode=secure", "--"],
    ...["add-port", "int", guest, "--", "set", "interface", guest, "ofport_request=1", "--"],
    ...["add-port", "int", "gre0", "--", "set", "interface", "gre0", "type=gre", "ofport_request=2"],
    ...[`options:remote_ip=${peer.address}`, "options:key=flow", "options:packet_type=legacy_l2"],
  );
  run("ip", "-n", namespace, "addr", "add", `${address}/24`, "dev", "phy");
  run("ip", "-n", namespace, "link", "set", "phy", "up", "mtu", String(mtu));
  const control = (...args) => exec("ovs-appctl", "-t", at("switch.ctl"), ...args);
  await until("the route to be known", () => control("ovs/route/show").includes("dev phy"));
  control("tnl/neigh/set", "phy", peer.address, peer.mac);
  const addFlow = (flow) => exec("ovs-ofctl", "-O", "OpenFlow13", "add-flow", `unix:${at("int.mgmt")}`, flow);
  const key = (vsid * 0x100).toString(16);
  addFlow(`in_port=1,actions=set_field:0x${key}->tun_id,output:2`);
  addFlow(`in_port=2,tun_id=0x${key}/0xffffff00,actions=output:1`);
  return [ovs, database];
}

export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
