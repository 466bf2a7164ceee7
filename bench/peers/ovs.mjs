/**
 * A private Open vSwitch with its DPDK datapath, which replays a capture from memory into a GRE tunnel, or out of one.
 *
 *     encap     source ──► br-int ──► gre0 (pushes) ──► br-phy ──► sink-phy
 *     decap     source ──► br-phy ──► gre0 (pops)   ──► br-int ──► sink-int
 *     forward   source ──► its own bridge ──► the sink there: what source, switching and sink cost without the tunnel
 *
 * The source is DPDK's `net_pcap` with `infinite_rx`, which copies every frame; the sinks are `net_null`. Database, switch, sockets
 * and logs live in a folder of their own, the switch in a network namespace that ends with it. Its one polling thread is bound to a
 * core and would keep it busy for ever, so the switch is stopped (SIGSTOP) while others use the core.
 *
 * Needs root, and raises the number of huge pages while it runs. `close` undoes everything; it also runs when the process exits.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { FAR_NIC_MAC, NIC_MAC, PROVIDER4, VSID } from "../support/frames.mjs";
import { threadSeconds } from "./program.mjs";

const DAEMON = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const LIBRARIES = "/usr/lib";
const DRIVERS = ["librte_net_pcap", "librte_net_null"];
const PACKAGES = "openvswitch-switch openvswitch-switch-dpdk librte-net-pcap23 librte-net-null23";
const HUGE_PAGES = "/proc/sys/vm/nr_hugepages";
const HUGE_PAGE_MIB = 2;
const MEMORY_MIB = 2_048;
const START_MS = 20_000;
/** From a change of rules, or a pause, until the caches of the datapath are full again. */
const SETTLE_MS = 300;
const RECORD_MS = 50;
/** Longer than any frame here with its outer headers. */
const MTU = 2_000;
const FLOW_ID = 7;
const SINKS = { "br-int": "sink-int", "br-phy": "sink-phy" };
const KEY = `0x${((VSID << 8) | FLOW_ID).toString(16)}`;

/** What is missing here to run it with a polling thread on `core`, in a few words; null if nothing is. */
export function whatIsMissing(core) {
  const library = (name) =>
    readdirSync(LIBRARIES).some((folder) => folder.endsWith("-linux-gnu") && hasFile(join(LIBRARIES, folder), name));
  if (process.platform !== "linux") return "Linux";
  if (!existsSync(DAEMON) || !existsSync(SCHEMA) || !DRIVERS.every(library)) return `the packages ${PACKAGES}`;
  if (process.getuid() !== 0) return "root";
  return core === null || core === 0 ? "taskset and a second core" : null;
}

const hasFile = (folder, prefix) => readdirSync(folder).some((file) => file.startsWith(prefix));

export class OpenVswitch {
  #folder = mkdtempSync(join(tmpdir(), "hnv-ovs-"));
  #children = [];
  #hugePagesBefore = null;
  #switch;
  #pollingThread;
  #direction;
  #isClosed = false;

  /** Starts one whose packets are moved by a thread on `core`; it is stopped but in the calls below. */
  static async start(core) {
    const it = new OpenVswitch();
    process.once("exit", () => it.close());
    try {
      await it.#start(core);
    } catch (error) {
      it.close();
      throw error;
    }
    return it;
  }

  get version() {
    return spawnSync(DAEMON, ["--version"], { encoding: "utf8" }).stdout.split("\n").slice(0, 2).join(", ");
  }

  /** Replays the capture from now on. */
  async connect(direction, capture) {
    this.#resume();
    if (this.#direction !== undefined) this.#vsctl("del-port", this.#sourceBridge, "source");
    this.#direction = direction;
    this.#setRules();
    this.#addPort(this.#sourceBridge, "source", `net_pcap0,rx_pcap=${capture},infinite_rx=1`);
    this.#pause();
  }

  /**
   * Lets it run for some seconds, in the direction of `connect` or as plain forwarding: how many frames reached the sink in a second
   * of its polling thread.
   */
  async round(seconds, { forward = false } = {}) {
    this.#resume();
    this.#setRules({ forward });
    await delay(SETTLE_MS);
    const sinkBridge = forward ? this.#sourceBridge : this.#tunnelEnd;
    const read = () => ({
      frames: this.#transmitted(sinkBridge),
      time: threadSeconds(this.#switch.pid, this.#pollingThread),
    });
    const before = read();
    await delay(seconds * 1e3);
    const after = read();
    this.#pause();
    return (after.frames - before.frames) / (after.time - before.time);
  }

  /** Writes what leaves during a moment to a capture file. */
  async record(path) {
    this.#resume();
    const bridge = this.#tunnelEnd;
    this.#addPort(bridge, "recorder", `net_pcap1,tx_pcap=${path}`);
    this.#setRules({ sink: "recorder" });
    await delay(RECORD_MS);
    this.#setRules();
    this.#vsctl("del-port", bridge, "recorder");
    this.#pause();
  }

  /** Ends both processes, and sets back what was changed. May be called twice. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const child of this.#children) child.kill("SIGKILL");
    if (this.#hugePagesBefore !== null) writeFileSync(HUGE_PAGES, this.#hugePagesBefore);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start(core) {
    this.#raiseHugePages();
    const database = join(this.#folder, "conf.db");
    run("ovsdb-tool", ["create", database, SCHEMA]);
    this.#spawn("ovsdb-server", [database, `--remote=p${this.#socket("db")}`, "--unixctl=db.ctl"]);
    await this.#appears("db.sock");
    this.#vsctl("--no-wait", "init");
    const options = {
      "dpdk-init": "true",
      "dpdk-lcore-mask": "0x1",
      "dpdk-socket-mem": MEMORY_MIB,
      "dpdk-extra": '"--no-pci --no-telemetry --in-memory"',
      "pmd-cpu-mask": `0x${(2 ** core).toString(16)}`,
    };
    const settings = Object.entries(options).map(([name, value]) => `other_config:${name}=${value}`);
    this.#vsctl("--no-wait", "set", "Open_vSwitch", ".", ...settings);
    this.#switch = this.#spawn("unshare", ["--net", DAEMON, this.#socket("db"), "--unixctl=switch.ctl"]);
    await this.#appears("switch.ctl");
    this.#addBridges();
    this.#addPort("br-int", "sink-int", "net_null0,no-rx=1");
    this.#addPort("br-phy", "sink-phy", "net_null1,no-rx=1");
    this.#pollingThread = this.#threadNamed("pmd-");
    this.#pause();
  }

  /** The provider side has the addresses of our own wire, so that its headers are the same. */
  #addBridges() {
    const own = ipv4Text(PROVIDER4.source);
    const far = ipv4Text(PROVIDER4.destination);
    for (const bridge of ["br-int", "br-phy"]) {
      this.#vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail-mode=secure");
    }
    this.#vsctl("set", "bridge", "br-phy", `other-config:hwaddr="${macText(NIC_MAC)}"`);
    this.#vsctl("set", "interface", "br-phy", `mtu_request=${MTU}`);
    const inside = ["--net", `--target=${this.#switch.pid}`, "ip"];
    run("nsenter", [...inside, "address", "add", `${own}/24`, "dev", "br-phy"]);
    run("nsenter", [...inside, "link", "set", "br-phy", "up"]);
    this.#appctl("tnl/neigh/set", "br-phy", far, macText(FAR_NIC_MAC));
    const options = [
      `options:remote_ip=${far}`,
      "options:key=flow",
      "options:ttl=128",
      "options:packet_type=legacy_l2",
    ];
    this.#vsctl("add-port", "br-int", "gre0", "--", "set", "interface", "gre0", "type=gre", ...options);
  }

  #addPort(bridge, name, device) {
    const options = ["type=dpdk", `options:dpdk-devargs="${device}"`, `mtu_request=${MTU}`];
    this.#vsctl("add-port", bridge, name, "--", "set", "interface", name, ...options);
    const error = this.#vsctl("get", "interface", name, "error").trim();
    if (error !== "[]" && error !== '""') throw new Error(`Open vSwitch, port ${name}: ${error}`);
  }

  get #sourceBridge() {
    return this.#direction === "encap" ? "br-int" : "br-phy";
  }

  get #tunnelEnd() {
    return this.#direction === "encap" ? "br-phy" : "br-int";
  }

  /** As few rules as do the work. */
  #setRules({ forward = false, sink = SINKS[this.#tunnelEnd] } = {}) {
    const rules = forward
      ? { "br-int": "actions=output:sink-int", "br-phy": "actions=output:sink-phy" }
      : this.#direction === "encap"
        ? { "br-int": `actions=set_field:${KEY}->tun_id,output:gre0`, "br-phy": `actions=output:${sink}` }
        : { "br-int": `in_port=gre0,tun_id=${KEY},actions=output:${sink}`, "br-phy": "actions=LOCAL" };
    for (const [bridge, rule] of Object.entries(rules)) this.#ofctl("replace-flows", bridge, "-", rule);
  }

  /** Frames that the sink of a bridge has taken so far. */
  #transmitted(bridge) {
    return Number(/tx pkts=(\d+)/.exec(this.#ofctl("dump-ports", bridge, SINKS[bridge]))[1]);
  }

  #pause() {
    this.#switch.kill("SIGSTOP");
  }
  #resume() {
    this.#switch.kill("SIGCONT");
  }

  #raiseHugePages() {
    const before = readFileSync(HUGE_PAGES, "utf8").trim();
    const wanted = MEMORY_MIB / HUGE_PAGE_MIB + 64;
    if (Number(before) >= wanted) return;
    this.#hugePagesBefore = before;
    writeFileSync(HUGE_PAGES, String(wanted));
    const got = Number(readFileSync(HUGE_PAGES, "utf8"));
    if (got < wanted) throw new Error(`only ${got} of ${wanted} huge pages to be had`);
  }

  #threadNamed(prefix) {
    const tasks = `/proc/${this.#switch.pid}/task`;
    const found = readdirSync(tasks).find((task) => readFileSync(`${tasks}/${task}/comm`, "utf8").startsWith(prefix));
    if (!found) throw new Error(`Open vSwitch has no thread ${prefix}`);
    return Number(found);
  }

  #spawn(command, args) {
    const log = openSync(join(this.#folder, "log"), "a");
    const child = spawn(command, args, { cwd: this.#folder, env: this.#environment, stdio: ["ignore", log, log] });
    this.#children.push(child);
    return child;
  }

  async #appears(file) {
    const child = this.#children.at(-1);
    const end = Date.now() + START_MS;
    while (!existsSync(join(this.#folder, file))) {
      if (child.exitCode !== null || Date.now() > end) {
        throw new Error(`${child.spawnfile} did not start:\n${readFileSync(join(this.#folder, "log"), "utf8")}`);
      }
      await delay(50);
    }
  }

  get #environment() {
    const { PATH } = process.env;
    const places = ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "RUNTIME_DIRECTORY"];
    return { PATH, ...Object.fromEntries(places.map((name) => [name, this.#folder])) };
  }
  #socket(name) {
    return `unix:${join(this.#folder, name)}.sock`;
  }
  #vsctl(...args) {
    return run("ovs-vsctl", [`--db=${this.#socket("db")}`, "--timeout=30", ...args], this.#environment);
  }
  #appctl(...args) {
    return run(
      "ovs-appctl",
      [`--target=${join(this.#folder, "switch.ctl")}`, "--timeout=30", ...args],
      this.#environment,
    );
  }
  #ofctl(command, bridge, argument, input) {
    const target = `unix:${join(this.#folder, bridge)}.mgmt`;
    return run(
      "ovs-ofctl",
      ["--protocols=OpenFlow13", "--timeout=30", command, target, argument],
      this.#environment,
      input,
    );
  }
}

/** Output of a command that must succeed. */
function run(command, args, env = process.env, input = "") {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", env, input });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return stdout;
}

const ipv4Text = (address) => [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
const macText = (mac) =>
  mac
    .toString(16)
    .padStart(12, "0")
    .replace(/..(?!$)/g, "$&:");
