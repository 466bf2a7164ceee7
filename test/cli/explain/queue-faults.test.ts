/** What explain and its neighbors say about a NIC that hashes the outer header of NVGRE. */
import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { QueueFaults } from "../../../src/cli/explain/queue-faults.js";
import { trace } from "../../../src/dataplane/index.js";
import { kernelModule } from "../../../src/kernel-file.js";
import { Lab } from "../../../src/vswitch/index.js";
import { load } from "../../control/labs.js";
import { OUTER_HASH, queueLab, ROWS, SEGMENTS, segment } from "../../engine/queue-lab.js";
import { hnv, workplace, writePcap } from "../helpers.js";

const [TO, , FROM] = ROWS[0]!;
const [OUTER_TO, , OUTER_FROM] = ROWS[1]!;
/** Flows of one pair of VMs, and those of the suite. */
const flows = (count: number): Uint8Array[] =>
  [...SEGMENTS, ...Array.from({ length: count }, (_, index) => segment(FROM, 50_000 + index, TO, 80))].slice(0, count);

const FAULTY = ", rss: { numberOfReceiveQueues: 4 }, encapsulatedTaskOffload: { faults: [hashOnOuterHeader] }";

/** What is found when these frames of VM A have been looked at, each of them twice. */
function found(nic: string, frames: readonly Uint8Array[]) {
  const lab = new Lab(load(queueLab(nic)).lab, { kernel: kernelModule() });
  const faults = new QueueFaults(lab);
  frames.forEach((frame, index) => {
    const steps = trace(lab.engine, lab.port("host1/A")!, frame, 0, "layers");
    for (const tally of faults.look(steps, { input: 0, packet: index + 1 })) tally.packets += 2;
  });
  return faults.found();
}

describe("flows of one host that stand in one queue", () => {
  it("are found where the NIC has the fault, with sender, witness and cure", () => {
    expect(found(FAULTY, flows(20))).toMatchObject([
      {
        code: "HASH_ON_OUTER_HEADER",
        sender: OUTER_FROM,
        packets: 40,
        witness: { input: 0, packet: 1 },
        text: `one of 20 flows, all in receive queue ${OUTER_HASH & 3} of host2/nic1, which by their inner headers belong in 4 queues`,
        cure: expect.stringContaining("Get-NetAdapterRss") as string,
      },
    ]);
  });

  it("are a finding from eight on, and only if they belonged elsewhere", () => {
    expect(found(FAULTY, flows(8))).toHaveLength(1);
    expect(found(FAULTY, flows(7))).toEqual([]);
    expect(found(FAULTY, [...flows(7), ...flows(7)])).toEqual([]);
    const inQueue = (frame: Uint8Array): number | undefined =>
      trace(sound.engine, sound.port("host1/A")!, frame).at(-1)!.decision.queue;
    const sound = new Lab(load(queueLab(", rss: { numberOfReceiveQueues: 4 }")).lab, { kernel: kernelModule() });
    const together = flows(60).filter((frame) => inQueue(frame) === 2);
    expect(together.length).toBeGreaterThanOrEqual(8);
    expect(found(FAULTY, together)).toEqual([]);
  });

  it.each([
    ["a sound NIC", ", rss: { numberOfReceiveQueues: 4 }"],
    ["one queue", ", encapsulatedTaskOffload: { faults: [hashOnOuterHeader] }"],
    ["a NIC that cannot look inside", `, rss: { numberOfReceiveQueues: 4 }, encapsulatedTaskOffload: { rss: false }`],
    [
      "families that it does not read",
      `, rss: { numberOfReceiveQueues: 4 }, encapsulatedTaskOffload: { families: [innerIPv6, outerIPv6] }`,
    ],
    [
      "headers that it does not read",
      `, rss: { numberOfReceiveQueues: 4 }, encapsulatedTaskOffload: { maxHeaderSize: 64 }`,
    ],
  ])("are no finding with %s", (_what, nic) => {
    expect(found(nic, flows(20))).toEqual([]);
  });
});

it("run counts packets by queue, trace tells what was hashed, explain finds the fault", async () => {
  const place = workplace();
  writeFileSync(place("faulty.yaml"), queueLab(FAULTY));
  writeFileSync(place("sound.yaml"), queueLab(", rss: { numberOfReceiveQueues: 4 }"));
  const frames = [...flows(12), ...flows(12)];
  writePcap(place("vm.pcap"), frames);
  const input = ["--in", `host1/A=${place("vm.pcap")}`];
  const json = async <Result>(...args: readonly string[]): Promise<Result> => {
    const { stdout, status } = await hnv([...args, "--json"]);
    expect(status).toBe(0);
    return JSON.parse(stdout) as Result;
  };
  interface Run {
    readonly workers: number;
    readonly ports: Readonly<Record<string, { readonly queues?: readonly number[] }>>;
  }

  const [faulty, sound] = [place("faulty.yaml"), place("sound.yaml")];
  const ofFaulty = await json<Run>("run", faulty, ...input);
  const queue = OUTER_HASH & 3;
  expect(ofFaulty.ports["host2/nic1"]!.queues).toEqual([0, 1, 2, 3].map((at) => (at === queue ? frames.length : 0)));
  expect(ofFaulty.ports["host1/nic1"]).not.toHaveProperty("queues");
  const ofSound = await json<Run>("run", sound, ...input);
  const { queues } = ofSound.ports["host2/nic1"]!;
  expect(queues!.every((count) => count > 0 && count < frames.length)).toBe(true);
  const text = (await hnv(["run", sound, ...input])).stdout;
  const stateless = "settings: { sendControlMessages: false, acceptRedirect: false, learnPathMtu: false }";
  writeFileSync(place("shared.yaml"), queueLab(", rss: { numberOfReceiveQueues: 4 }", stateless));
  expect(text).toContain(`host2/nic1 by receive queue: ${queues!.join(" ")}`);
  const shared = await json<Run>("run", place("shared.yaml"), ...input, "--workers", "2");
  expect(shared.workers).toBe(2);
  expect(shared.ports["host2/nic1"]!.queues).toEqual(queues);

  const packet = ["--port", "host1/A", "--pcap", `${place("vm.pcap")}:1`];
  interface Traced {
    readonly steps: readonly { readonly layer: string; readonly decision: string; readonly queue?: number }[];
  }
  const { steps } = await json<Traced>("trace", sound, ...packet);
  const note = steps.find(({ layer }) => layer === "receive queue")!;
  expect(note.decision).toBe(
    `queue 0 of 4: hash 0x51ccc178 of the inner addresses and ports, ${FROM} 2794 -> ${TO} 1766`,
  );
  expect(steps.filter((step) => step.queue !== undefined).map((step) => step.queue)).toEqual([0]);
  expect((await hnv(["trace", faulty, ...packet])).stdout).toContain(
    `queue ${queue} of 4: hash 0xd718262a of the outer addresses, ${OUTER_FROM} -> ${OUTER_TO}: fault hashOnOuterHeader`,
  );

  interface Explained {
    readonly findings: readonly unknown[];
  }
  expect((await json<Explained>("explain", sound, ...input)).findings).toEqual([]);
  expect((await json<Explained>("explain", faulty, ...input)).findings).toMatchObject([
    { code: "HASH_ON_OUTER_HEADER", sender: OUTER_FROM, packets: 24, witness: { port: "host1/A", packet: 1 } },
  ]);
  expect((await hnv(["explain", faulty, ...input])).stdout).toContain("found HASH_ON_OUTER_HEADER, 24 packets");
});
