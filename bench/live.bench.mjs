/**
 * Live interfaces, as root, in network namespaces of their own:
 *
 *   1. frames through one program from device to device: `hnv run` beside plain C (peers/live.c), which looks nothing up
 *   2. two hosts with a guest each: TCP and round trips through hnv and through Open vSwitch's userspace GRE; processor time when idle
 *
 *     sudo node bench/run.mjs live [--quick]
 *
 * Rivals take turns, and medians are given. "ns" is processor time of the program for each frame that left, the kernel's work in its
 * threads included; it depends less than rates on who else uses the machine. A ratio above 1 is in favour of hnv.
 */
import { availableParallelism, cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { buildHosts, idleShares, roundTrips, tcp } from "./live/hosts.mjs";
import { median, obstacle } from "./live/namespaces.mjs";
import { compileC, measureRates } from "./live/rates.mjs";

const quick = process.argv.includes("--quick");
const root = fileURLToPath(new URL("..", import.meta.url));
const ROUNDS = quick ? 1 : 3;
const FRAMES = quick ? 2000 : 400_000;

const missing = obstacle("ip", "ethtool", "gcc", "ping");
if (missing) {
  console.log(`SKIPPED: ${missing}`);
  process.exit(0);
}
const load = loadavg()[0].toFixed(1);
console.log(
  `${availableParallelism()} × ${cpus()[0].model}, load average ${load}: what others do here shows in every figure`,
);

console.log("\nFrom device to device        C frames/s     ns   hnv frames/s     ns   rate ratio   ns ratio");
const plan = quick
  ? { kinds: ["afpacket", "tap", "xdp"], works: ["encap"], lengths: [64] }
  : { kinds: ["afpacket", "tap", "xdp"], works: ["forward", "encap"], lengths: [64, 1500] };
await measureRates(
  { c: compileC(root), root },
  { ...plan, rounds: ROUNDS, frames: FRAMES, patience: quick ? 1 : 10 },
  ({ kind, work, length, c, hnv }) => {
    const cell = ({ rate, ns }) => `${rate.toFixed(0).padStart(10)} ${ns.toFixed(0).padStart(6)}`;
    const ratios = `${(hnv.rate / c.rate).toFixed(2).padStart(10)} ${(c.ns / hnv.ns).toFixed(2).padStart(10)}`;
    console.log(`${`${kind}, ${work}, ${length} bytes`.padEnd(28)} ${cell(c)}    ${cell(hnv)}   ${ratios}`);
  },
);

await twoHosts();

async function twoHosts() {
  const without = obstacle("ovs-vswitchd", "ovsdb-server", "iperf3");
  const kinds = [
    "cable",
    ...(without ? [] : ["ovs"]),
    "hnv afpacket+tap",
    "hnv xdp+tap",
    "hnv afpacket+afpacket",
    "hnv xdp+xdp",
  ];
  if (without) console.log(`\nSKIPPED: the peers of two hosts: ${without}`);
  const rates = Object.fromEntries(kinds.map((kind) => [kind, []]));
  const trips = Object.fromEntries(kinds.map((kind) => [kind, []]));
  const idle = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of quick ? kinds.slice(0, 3) : kinds) {
      const hosts = await buildHosts(kind, root);
      try {
        if (!without) rates[kind].push(await tcp(hosts, quick ? 1 : 3));
        trips[kind].push(...(await roundTrips(hosts, quick ? 50 : 1500)));
        if (round === 0) idle[kind] = Math.max(0, ...(await idleShares(hosts, quick ? 0.5 : 4)));
      } finally {
        await hosts.close();
      }
    }
  }
  const at = (kind, share) =>
    trips[kind].sort((a, b) => a - b)[Math.min(trips[kind].length - 1, Math.floor(trips[kind].length * share))];
  const added = (kind, share) => (at(kind, share) - at("cable", share)) / 2; // two hosts, each passed twice in a round trip
  console.log("\nTwo hosts               TCP Mbit/s   of OVS   added per host, µs: median   99.9 %   idle, of a core");
  for (const kind of kinds.filter((name) => trips[name].length > 0)) {
    const rate = rates[kind].length > 0 ? median(rates[kind]) : Number.NaN;
    const ofOvs = rates.ovs?.length > 0 ? rate / median(rates.ovs) : Number.NaN;
    const figures = [rate.toFixed(0).padStart(11), ofOvs.toFixed(2).padStart(8)];
    const latency = kind === "cable" ? ["(0)", "(0)"] : [added(kind, 0.5).toFixed(0), added(kind, 0.999).toFixed(0)];
    figures.push(latency[0].padStart(27), latency[1].padStart(8), `${(100 * idle[kind]).toFixed(1)} %`.padStart(17));
    console.log(`${kind.padEnd(23)} ${figures.join(" ")}`);
  }
}
