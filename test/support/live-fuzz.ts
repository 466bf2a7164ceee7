/**
 * Anything may come from a wire and from a guest: malformed outer and inner frames at full rate, in namespaces of their own.
 *
 *     fuzzer ── wire ═ host2/nic1 ┐                        ┌ host1/Blue1 ═ tap ── fuzzer, in the guest
 *                                 └ hnv, host1 and host2 ┘
 *                        host2/Blue2 ═ tap ── a guest that listens
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BLUE1,
  BLUE2,
  expectBalanced,
  LiveHnv,
  type LiveObject,
  labFile,
  outputOf,
  settle,
  until,
} from "../cli/live-lab.js";
import { HNV, LABS, ROOT } from "../cli/paths.js";
import { createNetnsLab, type NetnsLab } from "../oracles/netns.js";
import { run } from "../oracles/programs.js";

const SENDER = join(ROOT, "test/support/fuzz-sender.mjs");
/** What Blue1 says to others. */
const GUEST_CAPTURES = ["arp", "dhcp", "fragments", "icmp", "icmp-errors", "ipv6", "multicast", "nd", "tcp", "udp"].map(
  (name) => join(ROOT, `pcaps/blue1-${name}-sent.pcap`),
);

export interface FuzzFigures {
  readonly seconds: number;
  /** Frames that left the fuzzers. */
  readonly fromWire: number;
  readonly fromGuest: number;
  /** Frames that came in at hnv. */
  readonly in: number;
  /** Frames that the receive ring lost, since more came than it could hold. */
  readonly lostBefore: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly passed: number;
  readonly consumed: number;
  /** Reasons that came up. */
  readonly reasons: number;
}

/** Throws if hnv crashes, or if a counter is wrong. */
export async function fuzzLive({
  seconds,
  seed,
}: {
  readonly seconds: number;
  readonly seed: number;
}): Promise<FuzzFigures> {
  const folder = mkdtempSync(join(tmpdir(), "hnv-fuzz-"));
  const lab = await createNetnsLab(["hosts", "wire", BLUE1.namespace, BLUE2.namespace]);
  try {
    return await fuzz(lab, folder, seconds, seed);
  } finally {
    await lab.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function fuzz(lab: NetnsLab, folder: string, seconds: number, seed: number): Promise<FuzzFigures> {
  // 1. Good frames to begin with: what host1 puts on the wire for its guest.
  const wire = join(folder, "wire.pcap");
  const inputs = GUEST_CAPTURES.flatMap((capture) => ["--in", `host1/Blue1=${capture}`]);
  await run(HNV, ["run", LABS.plain, ...inputs, "--out", `host1/nic1=${wire}`]);

  // 2. The hosts. Kernels that would say something of their own are kept quiet, so that every frame is a fuzzer's.
  for (const name of ["hosts", "wire", BLUE1.namespace]) {
    await lab.exec(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1");
  }
  await lab.veth({ namespace: "hosts", device: "nic1" }, { namespace: "wire", device: "wire" }, 1600);
  const binds = ["host2/nic1=afpacket:nic1", "host1/Blue1=tap:blue1", "host2/Blue2=tap:blue2"];
  const hnv = new LiveHnv(lab, "hosts", [labFile(), ...binds.flatMap((bind) => ["--bind", bind]), "--json"]);
  await hnv.ready();
  const { address6: _, ...guest } = BLUE1;
  await settle(lab, guest, { namespace: "hosts", device: "blue1" });
  await settle(lab, BLUE2, { namespace: "hosts", device: "blue2" });
  const before = await packetsOf(lab, "hosts", "nic1", "rx");

  // 3. Both fuzzers at once.
  const sender = (namespace: string, device: string, ...captures: string[]): Promise<string> =>
    outputOf(lab.start(namespace, process.execPath, SENDER, device, String(seconds), String(seed), ...captures));
  const texts = await Promise.all([sender("wire", "wire", wire), sender(BLUE1.namespace, "eth0", ...GUEST_CAPTURES)]);
  const [fromWire, fromGuest] = texts.map((text) => (JSON.parse(text) as { sent: number }).sent) as [number, number];
  const arrived = (await packetsOf(lab, "hosts", "nic1", "rx")) - before;

  // 4. Everything that came has met one end.
  await until("all of it to be received", () => isQuiet(hnv));
  const guests = [await tapCounts(lab, BLUE1.namespace), await tapCounts(lab, BLUE2.namespace)];
  const { status, result } = await hnv.end();
  if (status !== 0) throw new Error(`hnv ended with ${status}: ${hnv.stderr}`);
  expectBalanced(result);
  const nic = result.interfaces[0]!;
  if (nic.received + nic.receiveDrops !== arrived)
    throw new Error(`the NIC had ${arrived} frames; hnv tells of ${nic.received} and ${nic.receiveDrops} lost`);
  for (const [index, counts] of guests.entries()) expectTapAgrees(result.interfaces[index + 1]!, counts);
  const { in: entered, delivered, dropped, passed, consumed } = result.totals;
  return {
    seconds,
    fromWire,
    fromGuest,
    in: entered,
    lostBefore: nic.receiveDrops,
    delivered,
    dropped,
    passed,
    consumed,
    reasons: new Set(result.drops.map(({ reason }) => reason)).size,
  };
}

/** As the kernel of the namespace counts them. */
export async function packetsOf(lab: NetnsLab, namespace: string, device: string, way: "rx" | "tx"): Promise<number> {
  return Number(await lab.exec(namespace, "cat", `/sys/class/net/${device}/statistics/${way}_packets`));
}

/** What went through a guest's device, as its kernel counts. */
export interface TapCounts {
  readonly toHost: number;
  readonly toGuest: number;
}

export async function tapCounts(lab: NetnsLab, namespace: string): Promise<TapCounts> {
  return {
    toHost: await packetsOf(lab, namespace, "eth0", "tx"),
    toGuest: await packetsOf(lab, namespace, "eth0", "rx"),
  };
}

/** Of frames without offloads: a longer one counts as those that it was cut into. */
export function expectTapAgrees(tap: LiveObject["interfaces"][number], { toHost, toGuest }: TapCounts): void {
  const told = `${tap.received} and ${tap.receiveDrops} malformed from it, ${tap.sent} to it`;
  if (tap.received + tap.receiveDrops !== toHost || tap.sent !== toGuest)
    throw new Error(
      `the guest's kernel knows of ${toHost} frames to ${tap.uri}, and ${toGuest} from it; hnv of ${told}`,
    );
}

/** Did nothing come in between the last two statuses? */
function isQuiet(hnv: LiveHnv): boolean {
  const [a, b] = hnv.objects().slice(-2) as [LiveObject, LiveObject | undefined];
  return b !== undefined && a.totals.in === b.totals.in && a.totals.in > 0;
}
