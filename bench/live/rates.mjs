/** Frames per second and CPU time per frame through one program, hnv or C, between two devices. */
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  addNamespace,
  end,
  folder,
  inside,
  median,
  pause,
  removeNamespace,
  run,
  start,
  startHnv,
  threadTimes,
  until,
  veth,
} from "./namespaces.mjs";

/** `forward` is a port outside of HNV, whose frames the virtual switch passes on as they are. Nobody on the wire answers. */
const LAB = (vsid) => `apiVersion: hnv/v1
settings: { resolve: static }
routingDomains:
  - { name: Blue, id: "{11111111-2222-3333-4444-000000005001}", subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }] }
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B, mtu: 1600 }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms: [{ name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, ${vsid} }] }]
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16, mtu: 1600 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms: [{ name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, ${vsid} }] }]
`;
const LABS = {
  forward: LAB("vsid: 0"),
  encap: LAB("vsid: 5001, addresses: [ADDRESS]").replace("ADDRESS", "10.0.0.5").replace("ADDRESS", "10.0.0.7"),
};

/**
 * The C program's path, and the root of hnv. Gives for each backend, work and length the median of C's and hnv's rates and nanoseconds over so many
 * frames, behind half as many to warm up; the two take turns.
 */
export async function measureRates({ c, root }, { kinds, works, lengths, rounds, frames, patience }, print) {
  for (const kind of kinds)
    for (const work of works)
      for (const length of lengths) {
        const rivals = {
          c: async (namespace) => [start(namespace, c, kind, work, "in", "out")],
          hnv: async (namespace) => [await startForwarding(namespace, root, kind, work)],
        };
        const results = await inTurn(rivals, rounds, (startAll) =>
          passThrough({ c, kind, length, frames, patience }, startAll),
        );
        print({ kind, work, length, c: medians(results.c), hnv: medians(results.hnv) });
      }
}

/** What `once` gives for each rival in so many rounds, in which they take turns, now forth, now back. */
export async function inTurn(rivals, rounds, once) {
  const names = Object.keys(rivals);
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++)
    for (const name of round % 2 === 0 ? names : names.toReversed()) results[name].push(await once(rivals[name]));
  return results;
}

/** The median of each figure. */
export const medians = (results) =>
  Object.fromEntries(
    Object.keys(results[0]).map((figure) => [figure, median(results.map((result) => result[figure]))]),
  );

/**
 * Sends frames into the device `in` of a new namespace, and gives how many a second leave it at `out`, with the processor time of each in
 * nanoseconds, that of the busiest thread of the first program (`path`), and what the programs themselves lost (`lost`, asked when they have
 * ended). `startAll` starts what stands between, and gives it.
 */
export async function passThrough({ c, kind, length, frames, patience }, startAll) {
  const namespace = addNamespace("rates");
  try {
    // TAP devices come with the program; frames enter and leave at their other side, the kernel's.
    if (kind !== "tap") {
      veth({ namespace, device: "feed" }, { namespace, device: "in" });
      veth({ namespace, device: "out" }, { namespace, device: "sink" });
    }
    const programs = await startAll(namespace);
    const devices = () => inside(namespace, "ip", "-br", "link");
    if (kind === "tap") await until("the devices", () => /^in /m.test(devices()) && /^out /m.test(devices()));
    const sender = start(namespace, c, "send", kind === "tap" ? "in" : "feed", String(length));
    await until("the sender", () => readlinkSync(`/proc/${sender.child.pid}/exe`) === c);
    const look = () => ({
      frames: packets(sender.child.pid, "out")[kind === "tap" ? "received" : "sent"],
      threads: programs.map(({ child }) => threadTimes(child.pid)),
      at: performance.now(),
    });
    await until("frames", () => look().frames > 0);
    await passed(look, frames / 2, patience);
    const before = look();
    await passed(look, frames, patience);
    const after = look();
    await end(sender, "SIGKILL");
    for (const program of programs) await end(program);
    const count = after.frames - before.frames;
    if (count === 0) throw new Error(`no frames left (${programs.map(({ text }) => text).join("")})`);
    const lost = Math.max(0, ...programs.map((program) => program.lost?.() ?? 0));
    const worked = after.threads.map((times, program) =>
      [...times].map(([task, ns]) => (ns - (before.threads[program].get(task) ?? 0)) / count),
    );
    return {
      rate: (count * 1000) / (after.at - before.at),
      ns: worked.flat().reduce((sum, ns) => sum + ns),
      path: Math.max(...worked[0]),
      lost,
    };
  } finally {
    removeNamespace(namespace);
  }
}

/** Counted by frames, so that a program that gets little of the machine is as warm as another; but `patience` seconds at most. */
async function passed(look, frames, patience) {
  const begin = look();
  while (look().frames < begin.frames + frames && performance.now() < begin.at + patience * 1000) await pause(0.02);
}

/** What passed a device of the namespace that a process is in: read where it costs next to nothing, for both cores are busy. */
function packets(pid, device) {
  const lines = readFileSync(`/proc/${pid}/net/dev`, "utf8").split("\n");
  const fields = lines.find((line) => line.trim().startsWith(`${device}:`)).split(/[\s:]+/);
  const [received, sent] = fields
    .slice(fields.indexOf(device) + 1)
    .flatMap((field, at) => (at % 8 === 1 ? [Number(field)] : []));
  return { received, sent };
}

/** hnv between the devices `in` and `out`. */
export function startForwarding(namespace, root, kind, work, ...options) {
  const lab = join(folder, `${work}.yaml`);
  writeFileSync(lab, LABS[work]);
  return startHnv(namespace, root, lab, [`host1/Blue1=${kind}:in`, `host1/nic1=${kind}:out`], ...options);
}

export function compileC(root) {
  const binary = join(folder, "live");
  run("gcc", "-O3", "-march=native", "-o", binary, `${root}bench/peers/live.c`);
  return binary;
}
