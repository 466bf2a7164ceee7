/** Guests, hosts and peers in network namespaces, for tests of `hnv run` on live interfaces. */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckerReport, SlotCounts } from "../../src/io/index.js";
import { createNetnsLab, type NetnsLab } from "../oracles/netns.js";
import { HNV, LABS } from "./paths.js";

export interface Guest {
  /** A namespace of its own. */
  readonly namespace: string;
  readonly address: string;
  readonly address6?: string;
  /** With colons. */
  readonly mac: string;
}

/** Those of the labs in `examples`. */
export const BLUE1: Guest = {
  namespace: "blue1",
  address: "10.0.0.5",
  address6: "fd00:10::5",
  mac: "06:06:00:00:00:05",
};
export const BLUE2: Guest = {
  namespace: "blue2",
  address: "10.0.0.7",
  address6: "fd00:10::7",
  mac: "06:06:00:00:00:07",
};
export const RED1: Guest = { namespace: "red1", address: "10.0.0.5", mac: "08:08:00:00:00:05" };
export const RED2: Guest = { namespace: "red2", address: "10.0.0.7", mac: "08:08:00:00:00:07" };

const folder = mkdtempSync(join(tmpdir(), "hnv-live-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/**
 * A file with the lab of another, `settings` and more, in which hosts use their provider addresses at once: to find out whether they are free takes
 * three seconds, which one test waits for.
 */
export function labFile(
  settings: Readonly<Record<string, string | boolean>> = {},
  base: string = LABS.plain,
  more = "",
): string {
  const file = join(folder, `${files++}.yaml`);
  const all = JSON.stringify({ duplicateAddressDetection: false, ...settings });
  writeFileSync(file, `${readFileSync(base, "utf8")}\nsettings: ${all}\n${more}`);
  return file;
}

/** A running `hnv run`. */
export class LiveHnv {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  #exit: Promise<number | null>;
  readonly #objects: LiveObject[] = [];
  /** How much of `stdout` they are. */
  #readTo = 0;

  constructor(lab: NetnsLab, namespace: string, args: readonly string[]) {
    this.child = lab.start(namespace, HNV, "run", ...args);
    this.child.stdout!.on("data", (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    this.child.stderr!.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.#exit = new Promise((resolve) => this.child.once("close", resolve));
  }

  /** Objects that `--json` has printed so far. */
  objects(): readonly LiveObject[] {
    const end = this.stdout.lastIndexOf("\n") + 1;
    this.#objects.push(...objectsIn(this.stdout.slice(this.#readTo, end)));
    this.#readTo = end;
    return this.#objects;
  }

  /** Its interfaces exist once it has said anything. */
  async ready(): Promise<void> {
    await until(`hnv to bind its interfaces: ${this.stderr}`, () => {
      if (this.child.exitCode !== null) throw new Error(`hnv ended: ${this.stderr}`);
      return this.stdout.includes("\n");
    });
  }

  /** Ends it by a signal, and gives its exit status and its last object. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<{ status: number | null; result: LiveObject }> {
    this.child.kill(signal);
    const status = await this.#exit;
    return { status, result: this.objects().at(-1)! };
  }

  /** Seconds of processor time so far. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.child.pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }
}

/** What `--json` prints once a second, and at the end. */
export interface LiveObject {
  readonly kind: "status" | "result";
  readonly elapsedMs: number;
  readonly rates: { readonly in: number; readonly reasons: Record<string, number>; readonly heldAnswers: number };
  readonly slowPathOverload: number;
  readonly heldAnswers: number;
  readonly captures?: readonly {
    readonly port: string;
    readonly file: string;
    readonly frames: number;
    readonly lost: number;
    readonly files: number | null;
  }[];
  /** Of status objects. */
  readonly interfaceEvents?: readonly { readonly port: string; readonly event: string }[];
  /** Of hosts that look for their neighbors on a wire. */
  readonly providerAddresses: readonly { readonly host: string; readonly address: string; readonly state: string }[];
  /** Of hosts that are in provider groups. */
  readonly memberships?: Readonly<Record<string, { readonly groups: number; readonly queries: number }>>;
  /** What nodes told. */
  readonly events: { readonly count: number; readonly first?: readonly Readonly<Record<string, unknown>>[] };
  readonly totals: Record<"in" | "delivered" | "dropped" | "passed" | "consumed" | "copies" | "injected", number>;
  readonly inByWorker?: readonly number[];
  readonly ports: Record<
    string,
    { readonly rx: { readonly packets: number }; readonly tx: { readonly packets: number } }
  >;
  readonly drops: readonly { readonly port: string; readonly reason: string; readonly count: number }[];
  /** By host. */
  readonly controlMessages?: Readonly<Record<string, { readonly sent: number; readonly redirects: number }>>;
  readonly interfaces: readonly {
    readonly port: string;
    readonly uri: string;
    readonly received: number;
    readonly sent: number;
    readonly receiveDrops: number;
    readonly sendDrops: number;
    readonly events: Record<string, number>;
    readonly mtu: number | null;
    readonly checker?: CheckerReport;
    readonly slots?: SlotCounts;
  }[];
}

/** Makes a device of a namespace the guest's network adapter, with an address. Hosts answer its ARP. */
export async function settle(
  lab: NetnsLab,
  guest: Guest,
  from: { readonly namespace: string; readonly device: string },
  mtu = 1500,
): Promise<void> {
  const { namespace, address, address6, mac } = guest;
  const ip = (...args: string[]): Promise<string> => lab.exec(namespace, "ip", ...args);
  if (from.namespace !== namespace) {
    await lab.exec(from.namespace, "ip", "link", "set", from.device, "netns", lab.name(namespace));
  }
  await ip("link", "set", from.device, "name", "eth0", "address", mac, "mtu", String(mtu));
  await ip("addr", "add", `${address}/24`, "dev", "eth0");
  if (address6) await ip("addr", "add", `${address6}/64`, "dev", "eth0", "nodad");
  await ip("link", "set", "eth0", "up");
}

/** Lines of `--json`. */
export const objectsIn = (stdout: string): LiveObject[] =>
  stdout
    .slice(0, stdout.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LiveObject);

/** Two hosts with a cable between their NICs, and namespaces for guests. */
export async function twoHosts(guests: readonly Guest[], mtu = 1600): Promise<NetnsLab> {
  const lab = await createNetnsLab(["host1", "host2", ...guests.map(({ namespace }) => namespace)]);
  const nic = (namespace: string) => ({ namespace, device: "nic1" });
  await lab.veth(nic("host1"), nic("host2"), mtu);
  return lab;
}

export interface HostChoices {
  readonly file?: string;
  /** What `HOST/nic1` is bound to. */
  readonly nic?: string;
  /** MTU of the guests. */
  readonly mtu?: number;
  readonly options?: readonly string[];
}

/** An hnv that is one host of the lab file, with its guests on TAP devices. */
export async function startHost(
  lab: NetnsLab,
  host: string,
  guests: readonly Guest[],
  { file = labFile(), nic = "afpacket:nic1", mtu = 1500, options = [] }: HostChoices = {},
): Promise<LiveHnv> {
  const portOf = ({ namespace }: Guest): string => `${host}/${namespace[0]!.toUpperCase()}${namespace.slice(1)}`;
  const binds = guests.flatMap((guest) => ["--bind", `${portOf(guest)}=tap:${guest.namespace}`]);
  const live = new LiveHnv(lab, host, [file, "--bind", `${host}/nic1=${nic}`, ...binds, "--json", ...options]);
  await live.ready();
  for (const guest of guests) await settle(lab, guest, { namespace: host, device: guest.namespace }, mtu);
  return live;
}

/** Everything that came in has met one end. */
export function expectConserved({ totals }: LiveObject): void {
  const { in: entered, copies, injected, delivered, dropped, passed, consumed } = totals;
  if (entered + copies + injected === delivered + dropped + passed + consumed) return;
  throw new Error(`frames are missing or too many: ${JSON.stringify(totals)}`);
}

/** The counters of interfaces, ports and reasons tell of the same frames. */
export function expectBalanced(result: LiveObject): void {
  expectConserved(result);
  const { totals, drops, interfaces, ports } = result;
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
  const pairs: [string, number, number][] = [
    ["dropped, by reason", totals.dropped, sum(drops.map(({ count }) => count))],
    ["in, by interface", totals.in, sum(interfaces.map(({ received }) => received))],
  ];
  for (const { port, received, sent, sendDrops } of interfaces) {
    const { rx, tx } = ports[port]!;
    // What waited for a neighbor has entered again, and is injected.
    const again = Math.min(Math.max(rx.packets - received, 0), totals.injected);
    pairs.push([`into ${port}`, rx.packets, received + again], [`out of ${port}`, tx.packets, sent + sendDrops]);
  }
  const wrong = pairs.filter(([, a, b]) => a !== b).map(([what, a, b]) => `${what}: ${a} and ${b}`);
  if (wrong.length > 0) throw new Error(`counters differ: ${wrong.join("; ")}`);
}

/**
 * How many of `count` pings were answered. Of several, one more goes ahead, whose answer does not matter: while hosts look for each other three packets
 * wait, and on a busy machine that takes longer than it does to send three.
 */
export async function ping(lab: NetnsLab, from: Guest, to: string, count = 5, ...options: string[]): Promise<number> {
  const once = async (packets: number): Promise<number> => {
    const args = ["-c", String(packets), "-i", "0.1", "-W", "2", ...options, to];
    const report = await lab.exec(from.namespace, "ping", ...args).catch((error: Error) => error.message);
    return Number(/(\d+) received/.exec(report)?.[1] ?? 0);
  };
  if (count > 1) await once(1);
  return once(count);
}

const RECEIVE = `
  const { createHash } = require("node:crypto");
  const hash = createHash("sha256");
  let last = Infinity;
  let silenceMs = 0;
  require("node:net").createServer((socket) => {
    socket.on("data", (chunk) => {
      const now = performance.now();
      silenceMs = Math.max(silenceMs, now - last);
      last = now;
      hash.update(chunk);
    });
    socket.on("end", () => {
      console.log(hash.digest("hex") + " " + Math.round(silenceMs));
      socket.end();
      process.exit();
    });
  }).listen(5000, process.argv[1], () => console.log("ready"));`;

const SEND = `
  const { createHash, createCipheriv } = require("node:crypto");
  const hash = createHash("sha256");
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16, 7), Buffer.alloc(16));
  let [left, everyMs] = process.argv.slice(2).map(Number);
  const zeros = Buffer.alloc(everyMs > 0 ? 1 << 16 : 1 << 20);
  const socket = require("node:net").connect(5000, process.argv[1], () => {
    const later = everyMs > 0 ? () => setTimeout(go, everyMs) : go;
    function go() {
      while (left > 0) {
        const chunk = noise.update(zeros.subarray(0, Math.min(left, zeros.length)));
        left -= chunk.length;
        hash.update(chunk);
        if (!socket.write(chunk)) return socket.once("drain", later);
        if (everyMs > 0) return later();
      }
      socket.end();
    }
    go();
  });
  socket.on("close", () => console.log(hash.digest("hex")));`;

export interface Transferred {
  /** Digests on both sides. */
  readonly sent: string;
  readonly received: string;
  /** For how long nothing came in the midst of it. */
  readonly silenceMs: number;
}

/** Sends bytes over TCP: as fast as they go, or 64 KiB now and then. */
export async function transfer(
  lab: NetnsLab,
  from: Guest,
  to: Guest,
  bytes: number,
  address = to.address,
  everyMs = 0,
): Promise<Transferred> {
  const server = lab.start(to.namespace, process.execPath, "-e", RECEIVE, address);
  let said = "";
  server.stdout!.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  await until("the receiver to listen", () => said.includes("ready\n"));
  const ended = new Promise((resolve) => server.once("close", resolve));
  const args = [address, String(bytes), String(everyMs)];
  const sent = (await outputOf(lab.start(from.namespace, process.execPath, "-e", SEND, ...args))).trim();
  await ended;
  const [received = "", silenceMs] = (said.split("\n")[1] ?? "").split(" ");
  return { sent, received, silenceMs: Number(silenceMs) };
}

/** What iperf3 reports of a test between two guests, at the receiver. */
export async function iperf(
  lab: NetnsLab,
  from: Guest,
  to: Guest,
  ...options: string[]
): Promise<{ readonly bytes: number; readonly seconds: number; readonly lostPercent: number }> {
  const server = lab.start(to.namespace, "iperf3", "-s", "-1", "--forceflush");
  let said = "";
  server.stdout!.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const ended = new Promise((resolve) => server.once("close", resolve));
  await until("iperf3 to listen", () => said.includes("listening"));
  const report = JSON.parse(await outputOf(lab.start(from.namespace, "iperf3", "-c", to.address, "-J", ...options)));
  await ended; // the next one needs its port
  const { sum, sum_received: received = sum } = report.end;
  return { bytes: received.bytes, seconds: received.seconds, lostPercent: sum?.lost_percent ?? 0 };
}

/** What a program prints until it ends, however long that takes. Rejects if it fails. */
export function outputOf(child: ChildProcess): Promise<string> {
  const texts = { out: "", err: "" };
  child.stdout!.on("data", (chunk: Buffer) => {
    texts.out += chunk.toString();
  });
  child.stderr!.on("data", (chunk: Buffer) => {
    texts.err += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("close", (status) =>
      status === 0 ? resolve(texts.out) : reject(new Error(`${child.spawnargs.join(" ")}: ${texts.err || texts.out}`)),
    );
  });
}

export async function until(what: string, holds: () => boolean | Promise<boolean>, patienceMs = 15_000): Promise<void> {
  for (const end = Date.now() + patienceMs; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Blue1 to Blue2 and back, so many octets each over TCP: digests of what was sent and of what arrived. */
export async function transferBothWays(lab: NetnsLab, bytes: number): Promise<{ sent: string[]; received: string[] }> {
  const there = await transfer(lab, BLUE1, BLUE2, bytes);
  const back = await transfer(lab, BLUE2, BLUE1, bytes);
  return { sent: [there.sent, back.sent], received: [there.received, back.received] };
}
