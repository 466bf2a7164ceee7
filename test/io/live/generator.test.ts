/** `gen:SPEC`: what it sends, when, and what its checker notices. */
import { expect, test } from "vitest";
import { u16, u32, u48 } from "../../../src/dataplane/wire/index.js";
import { LiveError } from "../../../src/io/live/errors.js";
import { openGenerator } from "../../../src/io/live/generator.js";
import { LatencyHistogram } from "../../../src/io/live/generator-latency.js";
import { MARK_MAGIC } from "../../../src/io/live/generator-mark.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";
import { seededRandom } from "../../support/random.js";
import { LiveBench } from "./helpers.js";

const ENDS = "src=10.0.0.5,dst=10.0.0.7,smac=06-06-00-00-00-05,dmac=06-06-00-00-00-07";
const ENDS6 = "src=fd00:10::5,dst=fd00:10::7,smac=06-06-00-00-00-05,dmac=06-06-00-00-00-07";
const START = 1_700_000_000_000_000_000n;

/** Everything that a generator with a count has to give, and the bench with which it was made. */
function framesOf(uri: string, bench = new LiveBench(), clock = () => 0n): Uint8Array[] {
  const generator = openGenerator(uri, bench.memory, clock);
  const frames: Uint8Array[] = [];
  for (let ms = 0n; generator.isOpen; ms++) {
    frames.push(...bench.receive(generator, START + ms * 1_000_000n).map(({ data }) => data));
  }
  return frames;
}

// In UDP over IPv4: 14 + 20 + 8.
const MARK = 42;
const flowOf = (frame: Uint8Array): number => u32(frame, MARK + 4);
const sequenceOf = (frame: Uint8Array): number => u32(frame, MARK + 8);

test.each([
  ["gen:", '"": expected KEY=VALUE, with commas between'],
  ["gen:size", '"size": expected KEY=VALUE, with commas between'],
  ["gen:colour=red", "colour: no such key; there are seed, size,"],
  [`gen:${ENDS},rate=1,rate=2`, "rate is given twice"],
  ["gen:size=64", "src is missing"],
  [`gen:${ENDS},size=63`, "size=63: udp over IPv4 with its mark needs 64 octets at least"],
  [`gen:${ENDS},size=64,proto=udp+tcp`, "size=64: udp+tcp over IPv4 with its mark needs 76 octets at least"],
  [`gen:${ENDS6},size=80`, "size=80: udp over IPv6 with its mark needs 84 octets at least"],
  [`gen:${ENDS},size=9217`, "size=9217: 9216 octets at most"],
  [`gen:${ENDS},size=64x0`, "size=64x0: a weight is 1 at least"],
  [`gen:${ENDS},size=small`, "size=small: expected octets, octets x weight, or imix"],
  [`gen:${ENDS},flows=0`, "flows=0: expected a number from 1 to 16777216"],
  [`gen:${ENDS},flows=1.5`, "flows=1.5: expected a whole number"],
  [`gen:${ENDS},rate=fast`, "rate=fast: expected a number from 0 to 1000000000"],
  [`gen:${ENDS},seconds=0`, "seconds=0: expected a number from 0.001 to 1000000000"],
  [`gen:${ENDS},proto=sctp`, "proto=sctp: expected udp, tcp or icmp, or several with + between"],
  [`gen:${ENDS},proto=udp+udp`, "proto names one protocol twice"],
  [`gen:${ENDS.replace("10.0.0.7", "fd00::7")}`, "src and dst are of different IP versions"],
  [`gen:${ENDS.replace("10.0.0.7", "224.0.0.7")}`, "dst=224.0.0.7: expected a unicast IPv4 or IPv6 address"],
  [
    `gen:${ENDS.replace("06-06-00-00-00-05", "01-00-5E-00-00-01")}`,
    "smac=01-00-5E-00-00-01: a group address cannot send",
  ],
  [`gen:${ENDS.replace("06-06-00-00-00-07", "here")}`, "dmac=here: expected a MAC address such as 02-00-C0-A8-04-0B"],
  [`gen:${ENDS}+06-06-00-00-00-08`, "dmac has 2 addresses; expected one, or one for each of the 1 of dst"],
])("%s is refused in one line", (uri, what) => {
  const bench = new LiveBench();
  const open = () => openGenerator(uri, bench.memory);
  expect(open).toThrow(LiveError);
  expect(open).toThrow(`${uri}: ${what}`);
});

test.runIf(isTsharkAvailable())("tshark finds the frames well made, whatever is inside", () => {
  const names = [
    "eth.src",
    "eth.dst",
    "ip.src",
    "ipv6.src",
    "ip.dst",
    "ipv6.dst",
    "frame.len",
    "frame.protocols",
  ] as const;
  const checks = ["ip.checksum.status", "udp.checksum.status", "tcp.checksum.status", "icmp.checksum.status"] as const;
  const ports = ["udp.srcport", "udp.dstport", "tcp.srcport", "icmpv6.checksum.status", "icmp.ident"] as const;
  for (const [ends, least] of [
    [ENDS, 76],
    [ENDS6, 96],
  ] as const) {
    const rest = `proto=udp+tcp+icmp,flows=300,size=${least}+${least + 1}+1514,count=400,sport=65000,dport=700`;
    const frames = framesOf(`gen:${ends},${rest}`);
    const isIpv4 = ends === ENDS;
    const seen = new Map<string, number>();
    for (const [index, fields] of tsharkFields(frames, [...names, ...checks, ...ports]).entries()) {
      const bad = [...checks, "icmpv6.checksum.status" as const].filter((name) =>
        fields[name].some((is) => is !== "1"),
      );
      expect(bad, `frame ${index}: ${fields["frame.protocols"]}`).toEqual([]);
      expect(fields["eth.src"]).toEqual(["06:06:00:00:00:05"]);
      expect(fields["eth.dst"]).toEqual(["06:06:00:00:00:07"]);
      expect(fields[isIpv4 ? "ip.src" : "ipv6.src"]).toEqual([isIpv4 ? "10.0.0.5" : "fd00:10::5"]);
      expect(fields[isIpv4 ? "ip.dst" : "ipv6.dst"]).toEqual([isIpv4 ? "10.0.0.7" : "fd00:10::7"]);
      for (const port of [...fields["udp.srcport"], ...fields["tcp.srcport"]])
        expect(Number(port)).toBeGreaterThanOrEqual(65_000);
      const checksums = [...checks.slice(1), "icmpv6.checksum.status" as const].flatMap((name) => fields[name]);
      expect(checksums).toHaveLength(1);
      const kind = `${fields["frame.protocols"][0]!.split(":")[3]} ${fields["frame.len"][0]}`;
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
    }
    const sizes = [least, least + 1, 1514];
    const kinds = ["udp", "tcp", isIpv4 ? "icmp" : "icmpv6"].flatMap((kind) => sizes.map((size) => `${kind} ${size}`));
    expect([...seen.keys()].sort()).toEqual(kinds.sort());
  }
});

test("the same seed gives the same frames, another seed others", () => {
  const uri = `gen:${ENDS},flows=50,size=imix,count=300,seed=`;
  expect(framesOf(`${uri}7`)).toEqual(framesOf(`${uri}7`));
  expect(framesOf(`${uri}7`).map(flowOf)).not.toEqual(framesOf(`${uri}8`).map(flowOf));
});

test("IMIX has its proportions, short frames raised to what the mark needs", () => {
  const lengths = framesOf(`gen:${ENDS},size=imix,count=12000`).map(({ length }) => length);
  const share = (length: number): number => lengths.filter((one) => one === length).length / 1000;
  expect(share(64)).toBeCloseTo(7, 0);
  expect(share(590)).toBeCloseTo(4, 0);
  expect(share(1514)).toBeCloseTo(1, 0);
  expect(share(64) + share(590) + share(1514)).toBe(12);
});

test("flows have ports of their own, destinations their MAC addresses", () => {
  const two = ENDS.replace("10.0.0.7", "10.0.0.7+10.0.0.8").replace("00-07", "00-07+06-06-00-00-00-08");
  const frames = framesOf(`gen:${two},flows=3000,count=9000,sport=65000`);
  const keys = new Map<number, string>();
  for (const frame of frames) {
    const ends = `${u48(frame, 0).toString(16)} ${u32(frame, 30).toString(16)} ${u32(frame, 34).toString(16)}`;
    expect(keys.get(flowOf(frame)) ?? ends).toBe(ends);
    keys.set(flowOf(frame), ends);
    expect(u32(frame, 30) & 0xff).toBe(u48(frame, 0) & 0xff);
  }
  expect(keys.size).toBeGreaterThan(2700);
  expect(new Set(keys.values()).size).toBe(keys.size);
});

test("frames come due at their rate, in bursts, and not all at once after a pause", () => {
  const bench = new LiveBench();
  const generator = openGenerator(`gen:${ENDS},rate=1000,burst=10`, bench.memory);
  const ms = (time: number): bigint => START + BigInt(Math.round(time * 1e6));
  expect(bench.receive(generator, ms(0))).toHaveLength(10);
  expect(bench.receive(generator, ms(9.9))).toHaveLength(0);
  expect(generator.nextFrameNs).toBe(ms(10));
  expect(bench.receive(generator, ms(10), 4)).toHaveLength(4);
  expect(bench.receive(generator, ms(10.1))).toHaveLength(6);
  expect(bench.receive(generator, ms(45)).map(({ timestampNs }) => timestampNs)).toEqual(Array(30).fill(ms(45)));
  // Ten seconds later a tenth of a second is made up for, and the pace goes on.
  expect(bench.receive(generator, ms(10_045))).toHaveLength(100);
  expect(bench.receive(generator, ms(10_045))).toHaveLength(0);
  expect(bench.receive(generator, ms(10_050))).toHaveLength(10);
  expect(generator.counters().events).toEqual({ skipped: 9900 });
});

test("new flows take the place of the oldest at their own rate", () => {
  const frames = framesOf(`gen:${ENDS},flows=10,newflows=100,rate=10000,count=5000`);
  for (const frame of frames) {
    const oldest = Math.floor((sequenceOf(frame) / 10_000) * 100);
    expect(flowOf(frame)).toBeGreaterThanOrEqual(oldest);
    expect(flowOf(frame)).toBeLessThan(oldest + 10);
  }
  expect(new Set(frames.map(flowOf)).size).toBe(59);
});

test("frames have headroom, stay until they are released, and end with the count", () => {
  const bench = new LiveBench();
  const generator = openGenerator(`gen:${ENDS},count=300`, bench.memory);
  expect(generator.receive(bench.rows, 256, START)).toBe(256);
  expect(generator.receive(bench.rows, 256, START)).toBe(0);
  generator.release();
  const last = bench.receive(generator, START);
  expect(last).toHaveLength(44);
  expect(last.every(({ headroom, missing }) => headroom >= 128 && missing === 0)).toBe(true);
  expect(last.map(({ data }) => sequenceOf(data))).toEqual(Array.from({ length: 44 }, (_, index) => 256 + index));
  expect(last.every(({ data }) => u16(data, MARK) === MARK_MAGIC)).toBe(true);
  expect(generator.isOpen).toBe(false);
  expect(bench.receive(generator, START)).toEqual([]);
  expect(generator.counters().received).toBe(300);
  expect(openGenerator("gen:sink", bench.memory).isOpen).toBe(false);
});

test("frames come due for as long as was asked, however late the last are fetched", () => {
  const ms = (time: number): bigint => START + BigInt(Math.round(time * 1e6));
  const bench = new LiveBench();
  const paced = openGenerator(`gen:${ENDS},rate=1000,burst=10,seconds=0.035`, bench.memory);
  expect(bench.receive(paced, ms(0))).toHaveLength(10);
  expect(bench.receive(paced, ms(29))).toHaveLength(20);
  expect(paced.isOpen).toBe(true);
  expect(bench.receive(paced, ms(90))).toHaveLength(10);
  expect(paced.isOpen).toBe(false);
  expect(bench.receive(paced, ms(91))).toEqual([]);

  const late = openGenerator(`gen:${ENDS},rate=1000,seconds=2`, bench.memory);
  expect(bench.receive(late, ms(0))).toHaveLength(1);
  expect(bench.receive(late, ms(9000))).toHaveLength(100);
  expect(late.counters()).toMatchObject({ received: 101, events: { skipped: 1899 } });
  expect(late.isOpen).toBe(false);

  // 0.28 · 25 is a little more than 7 in binary.
  expect(framesOf(`gen:${ENDS},rate=25,seconds=0.28`)).toHaveLength(7);

  const fast = openGenerator(`gen:${ENDS},seconds=0.5`, bench.memory);
  expect(bench.receive(fast, ms(0), 50)).toHaveLength(50);
  expect(bench.receive(fast, ms(499.999), 50)).toHaveLength(50);
  expect(fast.isOpen).toBe(true);
  expect(bench.receive(fast, ms(500), 50)).toEqual([]);
  expect(fast.isOpen).toBe(false);
  expect(fast.counters()).toMatchObject({ received: 100, events: {} });

  const counted = openGenerator(`gen:${ENDS},rate=1000,seconds=1,count=3`, bench.memory);
  expect(bench.receive(counted, ms(0))).toHaveLength(1);
  expect(bench.receive(counted, ms(800))).toHaveLength(2);
  expect(counted.isOpen).toBe(false);
});

test("a burst stays within the engine's limit of octets", () => {
  const bench = new LiveBench();
  const generator = openGenerator(`gen:${ENDS},size=9000`, bench.memory);
  expect(bench.receive(generator, START)).toHaveLength(Math.floor((512 * 1024) / 9000));
});

test("the checker counts what was lost, came twice or out of order", () => {
  const bench = new LiveBench();
  const frames = framesOf(`gen:${ENDS},flows=20,count=5000`, bench);
  const random = seededRandom();
  const way = frames.slice();
  const expected = { lost: 0, duplicated: 0, reordered: 0 };
  for (let step = 0; step < 100; step++) {
    // The last frame stays, or the loss behind it could not be seen; the first 2000 are reordered, the rest thinned and doubled.
    const place = 2000 + random.below(way.length - 2001);
    if (random.chance(0.5)) {
      if (way.indexOf(way[place]!) !== way.lastIndexOf(way[place]!)) continue;
      way.splice(place, 1);
      expected.lost++;
    } else {
      way.splice(place + random.below(way.length - 1 - place), 0, way[place]!);
      expected.duplicated++;
    }
  }
  const swaps = new Set(Array.from({ length: 50 }, () => 40 * random.below(45)));
  for (const place of swaps) {
    const next = way.findIndex((frame, index) => index > place && flowOf(frame) === flowOf(way[place]!));
    if (next - place > 39 || next < 0) continue;
    [way[place], way[next]] = [way[next]!, way[place]!];
    expected.reordered++;
  }
  const sink = openGenerator("gen:sink", bench.memory);
  expect(bench.send(sink, way).every(Boolean)).toBe(true);
  const report = sink.report();
  expect({ ...report, latencyNs: null }, `seed ${random.seed}`).toEqual({
    ...expected,
    frames: way.length,
    foreign: 0,
    corrupted: 0,
    late: 0,
    latencyNs: null,
  });
  expect(report.latencyNs!.count).toBe(way.length - expected.duplicated);
  expect(expected.lost * expected.duplicated * expected.reordered).toBeGreaterThan(0);
});

test("each changed bit behind the addresses is noticed", () => {
  const bench = new LiveBench();
  for (const uri of [
    `gen:${ENDS},size=65,count=1`,
    `gen:${ENDS6},size=97,proto=tcp,count=1`,
    `gen:${ENDS},proto=icmp,count=1`,
  ]) {
    const [frame] = framesOf(uri, bench);
    for (let bit = 14 * 8; bit < frame!.length * 8; bit++) {
      const sink = openGenerator("gen:sink", bench.memory);
      const damaged = frame!.slice();
      damaged[bit >>> 3]! ^= 1 << (bit & 7);
      bench.send(sink, [damaged]);
      // IPv6 has no checksum over traffic class, flow label and hop limit, which routers may change.
      const isFree =
        uri.includes("fd00") && ((bit >= 14 * 8 && bit < 18 * 8 && (bit < 116 || bit > 119)) || bit >>> 3 === 21);
      expect(sink.report().frames, `${uri} bit ${bit}`).toBe(isFree ? 1 : 0);
    }
  }
});

test("what no generator sent is foreign, cut frames included", () => {
  const bench = new LiveBench();
  const [frame] = framesOf(`gen:${ENDS},size=100,count=1`, bench);
  const sink = openGenerator("gen:sink", bench.memory);
  for (let length = 0; length < 100; length++) bench.send(sink, [frame!.subarray(0, length)]);
  bench.send(sink, [new Uint8Array(60).fill(0xff)]);
  expect(sink.report()).toMatchObject({ frames: 0, foreign: 101, corrupted: 0 });
});

test.runIf(isScapyAvailable())("frames are found in NVGRE, and behind VLAN tags", () => {
  const bench = new LiveBench();
  const frames = framesOf(`gen:${ENDS},size=100+700,count=20`, bench);
  const list = JSON.stringify(frames.map((frame) => Buffer.from(frame).toString("hex")));
  const wrapped = scapyFrames(`
for number, digits in enumerate(${list}):
    inner = Ether(bytes.fromhex(digits))
    ether = Ether(dst="02:00:c0:a8:04:16", src="02:00:c0:a8:04:0b")
    outer = ether/Dot1Q(vlan=7) if number % 2 else ether
    ip = IPv6(src="fd00::1", dst="fd00::2", nh=47) if number % 3 else IP(src="192.168.4.11", dst="192.168.4.22", proto=47)
    emit(outer/ip/GRE(key_present=1, proto=0x6558, key=0x138901)/inner)`);
  const sink = openGenerator("gen:sink", bench.memory);
  bench.send(sink, wrapped);
  expect(sink.report()).toMatchObject({ frames: 20, foreign: 0, corrupted: 0, lost: 0 });
});

test("a stream that is met late counts from there, and frames older than the window are late", () => {
  const bench = new LiveBench();
  const frames = framesOf(`gen:${ENDS},count=300000`, bench);
  const sink = openGenerator("gen:sink", bench.memory);
  bench.send(sink, [frames[200_000]!, frames[200_002]!, frames[199_999]!]);
  expect(sink.report()).toMatchObject({ frames: 3, lost: 1, late: 1, duplicated: 0 });
  bench.send(sink, [frames[200_001]!, frames[299_999]!, frames[200_001]!]);
  expect(sink.report()).toMatchObject({ lost: 99_996, late: 1, duplicated: 1, reordered: 1 });
  const other = openGenerator("gen:sink", bench.memory);
  bench.send(other, [frames[10]!, frames[3]!, frames[299_999]!, frames[3]!]);
  expect(other.report()).toMatchObject({ lost: 299_997, late: 1, reordered: 1 });
});

test("latency is from the writing of the frame to its arrival, by the clock", () => {
  const bench = new LiveBench();
  let now = (1n << 48n) - 500n; // the time in the mark wraps on the way
  const clock = () => now;
  const generator = openGenerator(`gen:${ENDS}`, bench.memory, clock);
  const latencies = [5, 1000, 70_000, 900, 3_000_000_000];
  for (const latency of latencies) {
    const [frame] = bench.receive(generator, START, 1);
    now += BigInt(latency);
    bench.send(generator, [frame!.data]);
  }
  const { min, max, mean, count } = generator.report().latencyNs!;
  expect({ min, max, count }).toEqual({ min: 5, max: 3_000_000_000, count: 5 });
  expect(mean).toBe(latencies.reduce((sum, one) => sum + one) / 5);
});

test("quantiles of the histogram are those of a sorted list, a thirty-second at most too high", () => {
  const random = seededRandom();
  const histogram = new LatencyHistogram();
  const values = Array.from({ length: 20_000 }, () => Math.floor(2 ** ((random.bits() / 0x1_0000_0000) * 47.9)));
  for (const value of values) histogram.add(value);
  values.sort((a, b) => a - b);
  for (const share of [0.0001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1]) {
    const exact = values[Math.ceil(share * values.length) - 1]!;
    expect(histogram.quantile(share), `seed ${random.seed}, ${share}`).toBeGreaterThanOrEqual(exact);
    expect(histogram.quantile(share), `seed ${random.seed}, ${share}`).toBeLessThanOrEqual(exact * (1 + 1 / 32));
  }
});
