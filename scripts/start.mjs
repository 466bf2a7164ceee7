// The main job of `npm start`: two tenants with the same addresses send at once, and what each host puts on the wire and hands to
// its VMs is written into out/. `npm start` has built everything before.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const LAB = "examples/two-tenants.yaml";
const JOB = [
  ["run", LAB],
  ["--in", "host1/Blue1=pcaps/mixed-blue1-sent.pcap"],
  ["--in", "host1/Red1=pcaps/mixed-red1-sent.pcap"],
  ["--out", "host1/nic1=out/wire.pcap"],
  ["--out", "host2/Blue2=out/blue2.pcap"],
  ["--out", "host2/Red2=out/red2.pcap"],
  ["--drops", "out/drops.pcapng"],
].flat();

mkdirSync(`${root}out`, { recursive: true });
console.log(`$ bin/hnv ${JOB.join(" ")}`);
const { status, error } = spawnSync(process.execPath, [`${root}bin/hnv`, ...JOB], { cwd: root, stdio: "inherit" });
if (error) console.error(`hnv: could not be started: ${error.message}`);
if (status !== 0) process.exit(status ?? 1);

console.log(`
Blue and Red both use 10.0.0.0/24. Two VMs of host1 sent at once; the NVE of host1 wrapped each frame into NVGRE under its
tenant's VSID, the provider network carried it, and host2 unwrapped it for the VM of the same tenant.

The result lies in ${root}out:
  wire.pcap      what host1 put on the wire, for Wireshark or tshark
  blue2.pcap     what Blue2 received          red2.pcap   what Red2 received
  drops.pcapng   what was dropped, each frame with its reason

Next:
  bin/hnv trace ${LAB} --port host1/Blue1 --flow 'udp 10.0.0.5:4000 > 10.0.1.9:53'
  bin/hnv --help, and the tour in README.md`);
