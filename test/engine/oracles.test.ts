/**
 * The whole engine against programs and recordings that are not ours: Open vSwitch, a Linux router, Wireshark, Scapy.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLab, type EmulatedLab, loadLab, readFrames } from "../../src/index.js";
import { type Ovs, ovsMissing, startOvs } from "../oracles/ovs.js";
import { warnSkipped } from "../oracles/programs.js";
import { isScapyAvailable, scapyFrames } from "../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../oracles/tshark.js";
import { type Random, seededRandom } from "../support/random.js";
import { innerOf } from "../vectors/worked-packets.js";
import { frame as ethernet, hexOf, ip, udp } from "./build.js";

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const LAB = at("examples/two-tenants.yaml");
const BLUE1 = "06-06-00-00-00-05";
const BLUE2 = "06-06-00-00-00-07";

async function framesOf(name: string): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  for await (const { data } of readFrames(at(`pcaps/${name}`))) frames.push(data.slice());
  expect(frames.length, name).toBeGreaterThan(0);
  return frames;
}

/** What leaves the lab at `to` when these frames enter at `from`. */
const arrivals = (lab: EmulatedLab, from: string, frames: readonly Uint8Array[], to: string): string[] =>
  lab
    .sendAll(frames.map((frame) => ({ port: from, frame })))
    .filter(({ verdict, port }) => verdict === "delivered" && port === to)
    .map(({ frame }) => hexOf(frame));

const hexes = (frames: readonly Uint8Array[]): string[] => frames.map(hexOf);

/** What host1 puts on the wire. */
const onWire = (lab: EmulatedLab, frame: Uint8Array): Uint8Array =>
  lab.explain("host1/Blue1", frame)[0]!.outputs[0]!.after;

function fromBlue1(random: Random): Uint8Array {
  const [source, destination] = random.chance(0.5) ? ["10.0.0.5", "10.0.0.7"] : ["fd00:10::5", "fd00:10::7"];
  // Ports and data that no dissector takes for a protocol of its own, which Wireshark would then call malformed.
  const ports = [random.between(62_000, 64_000), random.between(62_000, 64_000)] as const;
  const payload = udp(source!, destination!, ports, new Uint8Array(random.below(1300)).fill(0x5a));
  const packet = ip({ source: source!, destination: destination!, protocol: 17, payload, ttl: random.between(1, 255) });
  return ethernet(BLUE2, BLUE1, packet);
}

const missing = ovsMissing();
if (missing) warnSkipped("Open vSwitch against the whole engine", missing);

describe.skipIf(missing !== null)("Open vSwitch", () => {
  let host1: Ovs;
  let host2: Ovs;
  beforeAll(async () => {
    const [a, b] = [
      { address: "192.168.4.11", mac: "02:00:c0:a8:04:0b" },
      { address: "192.168.4.22", mac: "02:00:c0:a8:04:16" },
    ];
    host1 = await startOvs({ mac: a.mac, addresses: [`${a.address}/24`], neighbours: [b] });
    host2 = await startOvs({ mac: b.mac, addresses: [`${b.address}/24`], neighbours: [a] });
  });
  afterAll(async () => {
    await host1?.stop();
    await host2?.stop();
  });

  it("sends what host1 sends, and finds in it what Blue1 sent", async () => {
    const random = seededRandom();
    const lab = loadLab(LAB);
    const inners = [innerOf("a"), innerOf("c"), innerOf("d"), ...Array.from({ length: 50 }, () => fromBlue1(random))];
    for (const inner of inners) {
      const ours = onWire(lab, inner);
      const key = new DataView(ours.buffer, ours.byteOffset).getUint32(38);
      const theirs = await host1.encapsulate(inner, { key, pa: "192.168.4.22" });
      const what = `seed ${random.seed}: ${hexOf(inner)}`;
      expect(parts(ours), what).toEqual(parts(theirs!));
      expect(key >>> 8, what).toBe(5001);
      const opened = await host2.decapsulate(ours);
      expect({ key: opened?.tunId, inner: hexOf(opened!.inner) }, what).toEqual({ key, inner: hexOf(inner) });
    }
  });
});

/** An outer IPv4 packet without what two senders choose for themselves: identification, TTL, and so the checksum. */
const parts = (outer: Uint8Array) => ({
  ethernet: hexOf(outer.slice(0, 14)),
  versionToLength: hexOf(outer.slice(14, 18)),
  fragment: hexOf(outer.slice(20, 22)),
  protocol: outer[23],
  addresses: hexOf(outer.slice(26, 34)),
  gre: hexOf(outer.slice(34, 42)),
  inner: hexOf(outer.slice(42)),
});

describe("recordings", () => {
  it.each([
    ["ovs-gre-from-host1.pcap", "host2/nic1", "ovs-gre-blue2-received.pcap", "host2/Blue2"],
    ["ovs-gre-from-host2.pcap", "host1/nic1", "ovs-gre-blue1-received.pcap", "host1/Blue1"],
  ])("%s, opened by hnv, is what Open vSwitch handed to the VM", async (wire, nic, received, vm) => {
    const frames = await framesOf(wire);
    expect(arrivals(loadLab(LAB), nic, frames, vm)).toEqual(hexes(await framesOf(received)));
  });

  it("the distributed router does to Blue1's frames what a Linux router did", async () => {
    const sent = await framesOf("blue1-routed-sent.pcap");
    const received = arrivals(loadLab(LAB), "host1/Blue1", sent, "host2/Blue3");
    expect(received).toEqual(hexes(await framesOf("blue3-routed-received.pcap")));
  });
});

describe("negative vectors at host2/nic1", () => {
  interface Outcome {
    readonly action: "accept" | "pass" | "drop";
    readonly reason: string | null;
  }
  const { innerFrame, vectors } = JSON.parse(readFileSync(at("pcaps/negative-vectors.json"), "utf8")) as {
    readonly innerFrame: string;
    readonly vectors: readonly { readonly name: string; readonly strict: Outcome; readonly lenient: Outcome }[];
  };
  const VERDICTS = { accept: "delivered", pass: "passed", drop: "dropped" } as const;

  it.each(["strict", "lenient"] as const)("meet the ends that the list names, %s", async (mode) => {
    const frames = await framesOf("negative-vectors.pcap");
    expect(frames).toHaveLength(vectors.length);
    const lab = createLab(readFileSync(LAB, "utf8").replace("mode: 2012R2", `settings: { receive: ${mode} }`));
    const got = frames.map((frame, index) => {
      const [end] = lab.send("host2/nic1", frame);
      const { verdict, reason, port } = end!;
      const vector = vectors[index]!;
      if (verdict === "delivered") {
        expect(port, vector.name).toBe("host2/Blue2");
        expect(hexOf(end!.frame), vector.name).toBe(innerFrame);
      }
      return [vector.name, verdict, reason?.reason ?? null];
    });
    expect(got).toEqual(vectors.map((v) => [v.name, VERDICTS[v[mode].action], v[mode].reason]));
  });
});

describe.skipIf(!isTsharkAvailable())("Wireshark reads what hnv writes", () => {
  it.each(["two-tenants.yaml", "two-tenants-v6.yaml"])("%s: 200 random flows, every field and checksum", (file) => {
    const random = seededRandom();
    const lab = loadLab(at(`examples/${file}`));
    const inners = Array.from({ length: 200 }, () => fromBlue1(random));
    const outers = inners.map((inner) => onWire(lab, inner));
    const isIpv4 = file === "two-tenants.yaml";
    const rows = tsharkFields(outers, [
      "_ws.malformed",
      "gre.flags_and_version",
      "gre.proto",
      "gre.key",
      "eth.src",
      "eth.dst",
      "ip.checksum.status",
      "ip.src",
      "ipv6.src",
      "udp.srcport",
      "udp.dstport",
      "udp.checksum.status",
      "frame.len",
    ]);
    expect(rows).toHaveLength(200);
    rows.forEach((row, index) => {
      const what = `seed ${random.seed}: ${hexOf(outers[index]!)}`;
      const inner = Buffer.from(inners[index]!);
      const innerIsIpv4 = inner.readUInt16BE(12) === 0x0800;
      const transport = innerIsIpv4 ? 34 : 54;
      expect(row["_ws.malformed"], what).toEqual([]);
      expect(Number(row["gre.flags_and_version"][0]), what).toBe(0x2000);
      expect(Number(row["gre.proto"][0]), what).toBe(0x6558);
      const flowId = outers[index]![isIpv4 ? 41 : 61]!;
      expect(Number(row["gre.key"][0]), what).toBe(5001 * 256 + flowId);
      expect(row["eth.src"], what).toEqual(["02:00:c0:a8:04:0b", "06:06:00:00:00:05"]);
      expect(row["eth.dst"], what).toEqual(["02:00:c0:a8:04:16", "06:06:00:00:00:07"]);
      expect(row["ip.src"], what).toEqual([...(isIpv4 ? ["192.168.4.11"] : []), ...(innerIsIpv4 ? ["10.0.0.5"] : [])]);
      expect(row["ipv6.src"], what).toEqual([
        ...(isIpv4 ? [] : ["2001:db8:4::11"]),
        ...(innerIsIpv4 ? [] : ["fd00:10::5"]),
      ]);
      expect(
        row["ip.checksum.status"].every((status) => status === "1" || status === "Good"),
        what,
      ).toBe(true);
      expect(Number(row["udp.srcport"][0]), what).toBe(inner.readUInt16BE(transport));
      expect(Number(row["udp.dstport"][0]), what).toBe(inner.readUInt16BE(transport + 2));
      expect(["1", "Good"], what).toContain(row["udp.checksum.status"][0]);
      expect(Number(row["frame.len"][0]), what).toBe(inner.length + (isIpv4 ? 42 : 62));
    });
  });
});

describe.skipIf(!isScapyAvailable())("Scapy's frames", () => {
  it("NVGRE made by Scapy reaches Blue2 as Scapy's inner frame", () => {
    const frames = scapyFrames(`
for i in range(40):
    inner = Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05") / IP(src="10.0.0.5", dst="10.0.0.7", id=i, ttl=1+i) / UDP(sport=1000+i, dport=53) / Raw(bytes(i * 7))
    if i % 2: inner = Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05") / IPv6(src="fd00:10::5", dst="fd00:10::7", hlim=1+i) / TCP(sport=i, dport=80, flags="S") / Raw(bytes(i))
    emit(Ether(dst="02:00:c0:a8:04:16", src="02:00:c0:a8:04:0b") / IP(src="192.168.4.11", dst="192.168.4.22", ttl=128, flags="DF") / GRE(key_present=1, proto=0x6558, key=(5001 << 8) | (i * 5)) / inner)
    emit(inner)
`);
    const outers = frames.filter((_, index) => index % 2 === 0);
    const inners = frames.filter((_, index) => index % 2 === 1);
    expect(outers).toHaveLength(40);
    expect(arrivals(loadLab(LAB), "host2/nic1", outers, "host2/Blue2")).toEqual(hexes(inners));
    // And the same inner frames, sent by Blue1, cross the whole lab.
    expect(arrivals(loadLab(LAB), "host1/Blue1", inners, "host2/Blue2")).toEqual(hexes(inners));
  });
});
