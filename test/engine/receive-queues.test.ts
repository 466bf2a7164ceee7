/** Receive queues in whole labs: the published hashes say where packets stand, and each stands in one queue. */
import { describe, expect, it } from "vitest";
import { loadFabricFile } from "../../src/control/index.js";
import { type PacketEnd, reasonName } from "../../src/dataplane/index.js";
import { parseAddress, type Vsid } from "../../src/dataplane/wire/index.js";
import { kernelModule } from "../../src/kernel-file.js";
import { Lab, type LabOptions } from "../../src/vswitch/index.js";
import { load } from "../control/labs.js";
import { concatenate } from "./build.js";
import { HASHES, OUTER_HASH, queueLab, ROWS, SEGMENTS, segment } from "./queue-lab.js";

const rss = (queues: number, offload = "{}"): string =>
  `, rss: { numberOfReceiveQueues: ${queues} }, encapsulatedTaskOffload: ${offload}`;

class Bench {
  readonly lab: Lab;
  constructor(text: string, options: Partial<LabOptions> = {}) {
    this.lab = new Lab(load(text).lab, { kernel: kernelModule(), ...options });
  }

  send(frames: readonly Uint8Array[], ms = 0, port = "host1/A"): PacketEnd[] {
    const at = this.lab.port(port)!;
    return this.lab.engine.send(
      frames.map((frame) => ({ port: at, frame })),
      BigInt(ms) * 1_000_000n,
    );
  }

  /** Of host2's NIC. */
  get queues(): readonly number[] | undefined {
    return this.lab.engine.portCounters(this.lab.port("host2/nic1")!).queues;
  }
  get received(): number {
    return this.lab.engine.portCounters(this.lab.port("host2/nic1")!).rx.packets;
  }
}

const sumOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);
/** How many of these numbers are 0, 1, … */
const tally = (queues: readonly number[], count: number): number[] =>
  Array.from({ length: count }, (_, queue) => queues.filter((found) => found === queue).length);

describe("where packets stand", () => {
  it.each([2, 4, 7, 128])("in the queue that the published hash of their inner header names, of %i", (count) => {
    const bench = new Bench(queueLab(rss(count)));
    const expected = HASHES.map((hash) => (hash & 127) % count);
    for (let round = 0; round < 3; round++) {
      const ends = bench.send(SEGMENTS);
      expect(ends.map(({ verdict }) => verdict)).toEqual(ROWS.map(() => "delivered"));
      expect(ends.map(({ queue }) => queue)).toEqual(expected);
    }
    expect(bench.queues).toEqual(tally([...expected, ...expected, ...expected], count));
    expect(bench.lab.engine.flowCounters().misses).toBe(2 * ROWS.length + 1); // the provider network knows one flow
  });

  it("with the fault in that of the outer addresses, all of them", () => {
    const bench = new Bench(queueLab(rss(4, "{ faults: [hashOnOuterHeader] }")));
    expect(new Set(HASHES.map((hash) => hash & 3)).size).toBeGreaterThan(2);
    expect(bench.send(SEGMENTS).map(({ queue }) => queue)).toEqual(ROWS.map(() => OUTER_HASH & 3));
    expect(bench.queues).toEqual(
      tally(
        ROWS.map(() => OUTER_HASH & 3),
        4,
      ),
    );
  });

  it("where the NIC reads IPv4 only, IPv6 by the outer addresses", () => {
    const bench = new Bench(queueLab(rss(4, "{ families: [innerIPv4, outerIPv4] }")));
    const expected = HASHES.map((hash, row) => (ROWS[row]![0].includes(":") ? OUTER_HASH : hash) & 3);
    expect(bench.send(SEGMENTS).map(({ queue }) => queue)).toEqual(expected);
  });

  it("a NIC that reads few octets decides by the header length of every packet", () => {
    const bench = new Bench(queueLab(rss(128, "{ maxHeaderSize: 100 }"))); // 96 octets of headers, and 12 of options
    const plain = SEGMENTS[0]!;
    const withOptions = new Uint8Array(plain.length + 12);
    withOptions.set(plain);
    withOptions[46] = 0x80;
    withOptions[17]! += 12;
    withOptions[25]! -= 12; // the header's checksum
    const frames = [plain, withOptions, plain, withOptions];
    const ends = bench.send(frames);
    expect(ends.map(({ verdict }) => verdict)).toEqual(frames.map(() => "delivered"));
    const [inner, outer] = [HASHES[0]! & 127, OUTER_HASH & 127];
    expect(ends.map(({ queue }) => queue)).toEqual([inner, outer, inner, outer]);
    expect(bench.queues![inner]).toBe(2);
    expect(bench.queues![outer]).toBe(2);
  });

  it("extension headers before the inner TCP header hide it from the NIC, whatever packets of the flow came before", () => {
    const row = ROWS.findIndex(([to]) => to.includes(":"));
    const plain = SEGMENTS[row]!;
    const options = [6, 0, 1, 4, 0, 0, 0, 0]; // a destination options header of padding, before TCP
    const hidden = concatenate(plain.subarray(0, 54), options, plain.subarray(54));
    hidden[19]! += options.length;
    hidden[20] = 60;
    const [inner, outer] = [HASHES[row]! & 127, OUTER_HASH & 127];
    expect(inner).not.toBe(outer);
    for (const frames of [
      [plain, hidden, plain, hidden],
      [hidden, plain, hidden, plain],
    ]) {
      const bench = new Bench(queueLab(rss(128)));
      const ends = bench.send(frames);
      expect(ends.map(({ verdict }) => verdict)).toEqual(frames.map(() => "delivered"));
      expect(ends.map(({ queue }) => queue)).toEqual(frames.map((frame) => (frame === plain ? inner : outer)));
      expect([bench.queues![inner], bench.queues![outer]]).toEqual([2, 2]);
    }
  });

  it("a NIC with one queue has no such counts", () => {
    for (const nic of ["", rss(1)]) {
      const bench = new Bench(queueLab(nic));
      expect(bench.send(SEGMENTS).map(({ queue }) => queue)).toEqual(ROWS.map(() => 0));
      expect(bench.queues).toBeUndefined();
    }
  });
});

it.each([0, 129, 1.5])("%s receive queues: no NIC has so many", (count) => {
  const problem = { path: "hosts[1].nics[0].rss.numberOfReceiveQueues" };
  expect(loadFabricFile(queueLab(rss(count)), "lab.yaml")).toMatchObject({ ok: false, problems: [problem] });
});

describe("what was counted stays counted", () => {
  /** Segments of the suite between others of many flows, some dropped, some that have no key. */
  const mixed = Array.from({ length: 3000 }, (_, index) => {
    if (index % 3 === 0) return SEGMENTS[(index / 3) % SEGMENTS.length]!;
    const [to, toPort, from] = ROWS[index % 5]!;
    const other = segment(from, 1024 + ((index * 7) % 997), to, toPort);
    if (index % 11 === 0) other[24] = 0xff; // a header checksum that is wrong
    if (index % 13 === 0) other[14] = 0x43; // a broken header
    return other;
  });

  it("bursts of any size count alike", () => {
    const whole = new Bench(queueLab(rss(4)));
    const single = new Bench(queueLab(rss(4)));
    const ends = whole.send(mixed).map(({ queue, verdict }) => `${queue} ${verdict}`);
    expect(mixed.flatMap((frame) => single.send([frame])).map(({ queue, verdict }) => `${queue} ${verdict}`)).toEqual(
      ends,
    );
    expect(single.queues).toEqual(whole.queues);
    expect(sumOf(whole.queues!)).toBe(whole.received);
    expect(Math.min(...whole.queues!)).toBeGreaterThan(300);
  });

  it("when entries give way to others, and when they age", () => {
    const roomy = new Bench(queueLab(rss(4)));
    const tight = new Bench(queueLab(rss(4)), { flowCapacity: 64 });
    const ageing = new Bench(queueLab(rss(4)));
    for (let first = 0; first < mixed.length; first += 100) {
      const some = mixed.slice(first, first + 100);
      roomy.send(some);
      tight.send(some);
      ageing.send(some, first * 10_000);
    }
    expect(tight.lab.engine.flowCounters().evictions).toBeGreaterThan(1000);
    expect(ageing.lab.engine.flowCounters().expired).toBeGreaterThan(1000);
    expect(tight.queues).toEqual(roomy.queues);
    expect(ageing.queues).toEqual(roomy.queues);
  });

  it("when policy changes, and while the NIC has no link", () => {
    const bench = new Bench(queueLab(rss(4)));
    const once = tally(
      HASHES.map((hash) => hash & 3),
      4,
    );
    bench.send(SEGMENTS);
    bench.lab.change({ kind: "linkDown", host: "host2", nic: "nic1" });
    const received = bench.received;
    const ends = bench.send(SEGMENTS, 10).map(({ verdict }) => verdict);
    expect(ends).toEqual(ROWS.map(() => "dropped"));
    const times = 2 + (bench.received - received) / ROWS.length; // what does not arrive stands nowhere
    bench.lab.change({ kind: "linkUp", host: "host2", nic: "nic1" });
    bench.send(SEGMENTS, 20);
    expect(bench.queues).toEqual(once.map((count) => times * count));
  });

  it("dropped packets stood in a queue, too", () => {
    const bench = new Bench(queueLab(rss(4)));
    const [, , from] = ROWS[0]!;
    const record = { virtualSubnetID: 5001 as Vsid, customerAddress: parseAddress(from)! };
    bench.lab.change({ kind: "recordRemoved", host: "host2", record });
    const frames = [SEGMENTS[0]!, SEGMENTS[0]!, SEGMENTS[0]!];
    expect(bench.send(frames).map(({ reason }) => reasonName(reason))).toEqual(frames.map(() => "RX_SRC_POLICY"));
    expect(bench.queues![HASHES[0]! & 3]).toBe(3);
  });
});
