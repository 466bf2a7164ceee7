/**
 * Live interfaces for long, in network namespaces of their own:
 *
 *   fuzz   malformed frames from wire and guest at full rate, for a fifteenth of the time: nothing crashes, all is counted
 *   flat   echo requests of a generator through two hosts to a guest's kernel, and the answers back, at full rate: memory stays within 20 MiB
 *          after warm-up, no slot of a ring is lost, and every counter on the way agrees to the packet
 *   ovs    one host against Open vSwitch's userspace GRE: a GiB over TCP with matching digest, then iperf3 by TCP both ways and UDP for two thirds
 *          of the time
 *
 *     generator ─ host1 ─ packet socket ═ veth ═ AF_XDP ─ host2 ─ TAP ─ guest
 */
import { readFileSync } from "node:fs";
import {
  BLUE1,
  BLUE2,
  expectBalanced,
  expectConserved,
  iperf,
  LiveHnv,
  type LiveObject,
  labFile,
  startHost,
  transfer,
  twoHosts,
  until,
} from "../cli/live-lab.js";
import { buildOvsLab, expectNothingRefused } from "../cli/live-ovs-lab.js";
import { type NetnsLab, netnsMissing } from "../oracles/netns.js";
import { ovsMissing } from "../oracles/ovs.js";
import { hasProgram } from "../oracles/programs.js";
import { expectTapAgrees, fuzzLive, packetsOf, tapCounts } from "../support/live-fuzz.js";

const MEBIBYTE = 1 << 20;
const GROWTH_MAX_MIB = 20;

/** Runs all of it. Throws where something does not hold. */
export async function soakLive({ seconds, seed }: { readonly seconds: number; readonly seed: number }): Promise<void> {
  const missing = netnsMissing();
  if (missing) throw new Error(`live interfaces cannot be tried here: ${missing}`);
  const fuzz = await fuzzLive({ seconds: Math.ceil(seconds / 15), seed });
  console.log(`  fuzz: ${figures({ ...fuzz })}`);
  console.log(`  flat: ${figures(await soakFlat(seconds))}`);
  const without = ovsMissing() ?? (hasProgram("iperf3") ? null : "iperf3 is not installed");
  if (without) console.log(`  ovs: SKIPPED: ${without}`);
  else console.log(`  ovs: ${figures(await soakOvs((seconds * 2) / 3))}`);
}

type Figures = Readonly<Record<string, number | readonly number[]>>;

const figures = (values: Figures): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${typeof value === "number" ? figure(value) : value.map(figure).join(" ")}`)
    .join(", ");

const figure = (value: number): string => value.toLocaleString("en-US", { maximumFractionDigits: 1 });

async function soakFlat(seconds: number): Promise<Figures> {
  const lab = await twoHosts([BLUE2]);
  try {
    return await flat(lab, seconds);
  } finally {
    await lab.close();
  }
}

/** Echo requests for so long, as fast as they are taken. Memory is watched after a fifth of the time. */
async function flat(lab: NetnsLab, seconds: number): Promise<Figures> {
  // 1. Two hosts. Nobody but the generator and the guest's answers says anything on the wire.
  for (const name of ["host1", "host2", BLUE2.namespace]) {
    await lab.exec(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1");
  }
  const { address6: _, ...guest } = BLUE2;
  const host2 = await startHost(lab, "host2", [guest], { nic: "xdp:nic1" });
  const nics = async (): Promise<[number, number]> => [
    await packetsOf(lab, "host1", "nic1", "tx"),
    await packetsOf(lab, "host2", "nic1", "tx"),
  ];
  const before = await nics();
  const macs = `smac=${BLUE1.mac.replaceAll(":", "-")},dmac=${BLUE2.mac.replaceAll(":", "-")}`;
  const generator = `gen:proto=icmp,src=${BLUE1.address},dst=${BLUE2.address},${macs},size=imix,flows=500,newflows=20,seconds=${seconds}`;
  const binds = ["--bind", "host1/nic1=afpacket:nic1", "--bind", `host1/Blue1=${generator}`];
  const host1 = new LiveHnv(lab, "host1", [labFile(), ...binds, "--json"]);
  await host1.ready();

  // 2. Until everything was sent and answered.
  const memory = [new MemoryWatch(host1, seconds), new MemoryWatch(host2, seconds)];
  await until(
    "the generator to come to its end",
    () => {
      for (const watch of memory) watch.look();
      return statusOf(host1).elapsedMs > seconds * 1000 && isQuiet(host1) && isQuiet(host2);
    },
    seconds * 1000 + 60_000,
  );
  const [fromHost1, fromHost2] = (await nics()).map((count, index) => count - before[index]!) as [number, number];
  const guestCounts = await tapCounts(lab, BLUE2.namespace);
  const { slots } = statusOf(host2).interfaces[0]!;
  if (slots?.sending !== 0 || slots.free + slots.filling !== slots.total)
    throw new Error(`slots are missing: ${JSON.stringify(slots)}`);

  // 3. Every counter on the way, from one end to the other and back.
  const results = [];
  for (const host of [host1, host2]) {
    const { status, result } = await host.end();
    if (status !== 0) throw new Error(`hnv ended with ${status}: ${host.stderr}`);
    expectBalanced(result);
    results.push(result);
  }
  const [one, two] = results as [LiveObject, LiveObject];
  const [nic1, source] = one.interfaces;
  const [nic2, tap] = two.interfaces;
  const { checker } = source!;
  expectSame("host1's NIC to host2's", fromHost1, nic2!.received + nic2!.receiveDrops);
  expectSame("host2's NIC to host1's", fromHost2, nic1!.received + nic1!.receiveDrops);
  expectTapAgrees(tap!, guestCounts);
  expectSame("answers at the generator", source!.sent, checker!.frames + checker!.foreign + checker!.corrupted);
  expectSame("damaged answers", checker!.corrupted, 0);
  const growthMiB = Math.max(...memory.map(({ growth }) => growth / MEBIBYTE));
  if (growthMiB > GROWTH_MAX_MIB) throw new Error(`memory has grown by ${growthMiB.toFixed(1)} MiB`);
  return {
    seconds,
    requests: source!.received,
    "requests/s": source!.received / seconds,
    answers: checker!.frames,
    "lost by full rings": nic1!.receiveDrops + nic2!.receiveDrops,
    refused: nic1!.sendDrops + nic2!.sendDrops,
    dropped: one.totals.dropped + two.totals.dropped,
    reordered: checker!.reordered,
    duplicated: checker!.duplicated,
    "slots of the UMEM": slots.total,
    "MiB of host1 in turn": memory[0]!.inTurn(),
    "MiB of host2 in turn": memory[1]!.inTurn(),
    "MiB grown": growthMiB,
  };
}

function expectSame(what: string, one: number, other: number): void {
  if (one !== other) throw new Error(`${what}: ${one} and ${other}`);
}

const statusOf = (host: LiveHnv): LiveObject => {
  if (host.child.exitCode !== null) throw new Error(`hnv ended: ${host.stderr}`);
  return host.objects().at(-1)!;
};

/** Did nothing come in between the last two statuses? */
function isQuiet(host: LiveHnv): boolean {
  const [a, b] = host.objects().slice(-2);
  return b !== undefined && a!.totals.in === b.totals.in;
}

/** How much memory of the machine a process has, and how much more than after its warm-up, a fifth of the time. */
class MemoryWatch {
  readonly #samples: { readonly ms: number; readonly bytes: number }[] = [];

  constructor(
    private readonly host: LiveHnv,
    private readonly seconds: number,
  ) {}

  /** Once for each status. */
  look(): void {
    const ms = statusOf(this.host).elapsedMs;
    if (ms === this.#samples.at(-1)?.ms) return;
    const [, kibibytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.host.child.pid}/status`, "utf8"))!;
    this.#samples.push({ ms, bytes: Number(kibibytes) * 1024 });
  }

  /** The most that it ever had later, over what it had when it was warm. */
  get growth(): number {
    const { warm, later } = this.#fifths();
    return Math.max(...later.flat()) - warm.at(-1)!;
  }

  /** What it had at the end of each fifth, in mebibytes. */
  inTurn(): number[] {
    const { warm, later } = this.#fifths();
    return [warm, ...later].map((fifth) => fifth.at(-1)! / MEBIBYTE);
  }

  #fifths(): { readonly warm: readonly number[]; readonly later: readonly (readonly number[])[] } {
    const [warm, ...later] = Array.from({ length: 5 }, (_, fifth) =>
      this.#samples
        .filter(({ ms }) => Math.min(4, Math.floor((ms * 5) / (this.seconds * 1000))) === fifth)
        .map(({ bytes }) => bytes),
    );
    return { warm: warm!, later };
  }
}

async function soakOvs(seconds: number): Promise<Figures> {
  const { lab, hnv, ovs } = await buildOvsLab();
  try {
    const began = performance.now();
    const { sent, received } = await transfer(lab, BLUE1, BLUE2, 1024 * MEBIBYTE);
    if (sent !== received) throw new Error(`a GiB came as ${received} and not as ${sent}`);
    const gibibyteSeconds = (performance.now() - began) / 1000;
    const time = ["-t", String(Math.max(1, Math.round(seconds / 3)))];
    const there = await iperf(lab, BLUE1, BLUE2, ...time);
    const back = await iperf(lab, BLUE1, BLUE2, "-R", ...time);
    const udp = await iperf(lab, BLUE1, BLUE2, "-u", "-b", "100M", "-l", "1400", ...time);
    const { status, result } = await hnv.end();
    if (status !== 0) throw new Error(`hnv ended with ${status}: ${hnv.stderr}`);
    expectConserved(result);
    expectNothingRefused(result);
    const megabits = ({ bytes, seconds }: typeof there): number => (bytes * 8) / seconds / 1e6;
    return {
      "seconds for a GiB": gibibyteSeconds,
      "Mbit/s by TCP": megabits(there),
      "Mbit/s by TCP from Open vSwitch": megabits(back),
      "Mbit/s by UDP": megabits(udp),
      "% of UDP lost": udp.lostPercent,
    };
  } finally {
    await ovs.stop();
    await lab.close();
  }
}
