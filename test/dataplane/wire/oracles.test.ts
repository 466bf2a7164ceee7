/**
 * Second opinions: tshark reads what we write, and we read what Scapy writes. Generated from a seed that a failure prints.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { parseFrame } from "../../../src/dataplane/packet/parse.js";
import type { Address, FlowId, Vsid } from "../../../src/dataplane/wire/index.js";
import {
  addressLength,
  checkNvgre,
  dissect,
  ETHERNET_LENGTH,
  ETHERTYPE_CTAG,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  flowIdAt,
  formatAddress,
  formatMac,
  ipv4ChecksumIsRight,
  makeNvgreKey,
  makeTci,
  NVGRE_LENGTH,
  PROTOCOL_GRE,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  setIcmpChecksum,
  setIcmpv6Checksum,
  setTcpChecksum,
  setUdpChecksum,
  TCP_LENGTH,
  TPID_CTAG,
  UDP_LENGTH,
  VLAN_TAG_LENGTH,
  VLAN_TAG_OFFSET,
  vsidAt,
  writeEthernet,
  writeIcmp,
  writeIcmpv6,
  writeIpv4,
  writeIpv6,
  writeNvgre,
  writeTcp,
  writeUdp,
  writeVlanTag,
} from "../../../src/dataplane/wire/index.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";
import { WORKED_PACKETS, workedPacket } from "../../vectors/worked-packets.js";
import { anyMac, anyU16 } from "./classics.js";

const seed = Date.now() >>> 0;

/** Addresses that no decoder treats in a special way. */
const plainIpv4 = fc.integer({ min: 0x0a00_0001, max: 0x0aff_fffe });
const plainAddress = fc.tuple(fc.constantFrom(4, 6), plainIpv4);
const addressPair = fc
  .tuple(plainAddress, plainIpv4)
  .map(([[family, low], other]) => [addressFrom(family, low), addressFrom(family, other)]);

function addressFrom(family: number, low: number): Address {
  return family === 4
    ? { family, w0: 0, w1: 0, w2: 0xffff, w3: low }
    : { family: 6, w0: 0x2001_0db8, w1: 0, w2: 0, w3: low };
}

const anyTunnelled = fc.record({
  outerMacs: fc.tuple(anyMac, anyMac),
  vid: fc.option(fc.integer({ min: 1, max: 4094 })),
  outer: addressPair,
  vsid: fc.integer({ min: 4096, max: 0xfffffe }),
  flowId: fc.nat(255),
  ttl: fc.integer({ min: 1, max: 255 }),
  tos: fc.nat(255),
  innerMacs: fc.tuple(anyMac, anyMac),
  inner: addressPair,
  transport: fc.constantFrom("udp", "tcp", "icmp"),
  // Ports above those that tshark takes for some application.
  ports: fc.tuple(fc.integer({ min: 61_000, max: 65_000 }), fc.integer({ min: 61_000, max: 65_000 })),
  // Plain text, so that none of tshark's guesses at the application takes it.
  payload: fc.nat(64).map((length) => new Uint8Array(length).fill(0x78)),
});
type Tunnelled = typeof anyTunnelled extends fc.Arbitrary<infer Value> ? Value : never;

/** Writes the frame from the inside out, with our own writers. */
function build(spec: Tunnelled): Uint8Array {
  const frame = new Uint8Array(400).fill(0xa5);
  const tagLength = spec.vid === null ? 0 : VLAN_TAG_LENGTH;
  const outerAt = ETHERNET_LENGTH + tagLength;
  const greAt = outerAt + ipLength(spec.outer[0]!);
  const innerAt = greAt + NVGRE_LENGTH;
  const ipAt = innerAt + ETHERNET_LENGTH;
  const transportAt = ipAt + ipLength(spec.inner[0]!);
  const end = transportAt + TRANSPORT_LENGTH[spec.transport]! + spec.payload.length;
  frame.set(spec.payload, end - spec.payload.length);

  const outerType = etherTypeOf(spec.outer[0]!);
  const [destination, source] = spec.outerMacs;
  writeEthernet(frame, 0, destination, source, spec.vid === null ? outerType : ETHERTYPE_CTAG);
  if (spec.vid !== null) {
    writeVlanTag(frame, VLAN_TAG_OFFSET, TPID_CTAG, makeTci(3, false, spec.vid));
    frame.set([outerType >> 8, outerType & 0xff], VLAN_TAG_OFFSET + VLAN_TAG_LENGTH);
  }
  writeIp(frame, outerAt, spec.outer, PROTOCOL_GRE, end - greAt, spec);
  writeNvgre(frame, greAt, spec.vsid as Vsid, spec.flowId as FlowId);
  writeEthernet(frame, innerAt, spec.innerMacs[0], spec.innerMacs[1], etherTypeOf(spec.inner[0]!));
  writeIp(frame, ipAt, spec.inner, protocolOf(spec), end - transportAt, { ttl: 64, tos: 0 });
  writeTransport(frame, ipAt, transportAt, end, spec);
  return frame.slice(0, end);
}

const ipLength = (address: Address) => (addressLength(address.family) === 4 ? 20 : 40);
const etherTypeOf = (address: Address) => (address.family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
const TRANSPORT_LENGTH: Readonly<Record<string, number>> = { udp: UDP_LENGTH, tcp: TCP_LENGTH, icmp: 8 };

function protocolOf({ transport, inner }: Tunnelled): number {
  if (transport === "udp") return PROTOCOL_UDP;
  if (transport === "tcp") return PROTOCOL_TCP;
  return inner[0]!.family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
}

function writeIp(
  frame: Uint8Array,
  at: number,
  [source, destination]: readonly Address[],
  protocol: number,
  payloadLength: number,
  { ttl, tos }: { readonly ttl: number; readonly tos: number },
): void {
  const addresses = { source: source!, destination: destination! };
  if (source!.family === 4) writeIpv4(frame, at, { ...addresses, protocol, payloadLength, ttl, tos });
  else writeIpv6(frame, at, { ...addresses, nextHeader: protocol, payloadLength, hopLimit: ttl, trafficClass: tos });
}

function writeTransport(frame: Uint8Array, ipAt: number, at: number, end: number, spec: Tunnelled): void {
  const [sourcePort, destinationPort] = spec.ports;
  if (spec.transport === "udp") {
    writeUdp(frame, at, { sourcePort, destinationPort, payloadLength: spec.payload.length });
    setUdpChecksum(frame, ipAt, at);
  } else if (spec.transport === "tcp") {
    writeTcp(frame, at, { sourcePort, destinationPort, sequence: 1, flags: 0x10, window: 100 });
    setTcpChecksum(frame, ipAt, at, end);
  } else if (spec.inner[0]!.family === 4) {
    writeIcmp(frame, at, 8, 0, 0x0001_0002);
    setIcmpChecksum(frame, at, end);
  } else {
    writeIcmpv6(frame, at, 128, 0, 0x0001_0002);
    setIcmpv6Checksum(frame, ipAt, at, end);
  }
}

const LAYERS = [
  "eth.dst",
  "eth.src",
  "ip.src",
  "ip.dst",
  "ipv6.src",
  "ipv6.dst",
  "vlan.id",
  "frame.protocols",
] as const;
const TUNNEL = ["gre.key", "gre.proto", "ip.ttl", "ipv6.hlim", "ip.dsfield", "ipv6.tclass", "_ws.malformed"] as const;
const PORTS = ["udp.srcport", "udp.dstport", "tcp.srcport", "tcp.dstport"] as const;
const CHECKSUMS = [
  "ip.checksum.status",
  "udp.checksum.status",
  "tcp.checksum.status",
  "icmp.checksum.status",
  "icmpv6.checksum.status",
] as const;
const FIELDS = [...LAYERS, ...TUNNEL, ...PORTS, ...CHECKSUMS] as const;
const GOOD = "1";

const colons = (text: string) => text.toLowerCase().replaceAll("-", ":");

describe.skipIf(!isTsharkAvailable())("tshark", () => {
  it("reads every field of the frames that we write, and finds all checksums right", () => {
    const specs = fc.sample(anyTunnelled, { seed, numRuns: 300 });
    const decoded = tsharkFields(specs.map(build), FIELDS);
    specs.forEach((spec, index) => {
      const seen = decoded[index]!;
      const about = `seed ${seed}, frame ${index}`;
      expect(seen["_ws.malformed"], about).toEqual([]);
      expect(seen["eth.dst"], about).toEqual([spec.outerMacs[0], spec.innerMacs[0]].map(formatMac).map(colons));
      expect(seen["eth.src"], about).toEqual([spec.outerMacs[1], spec.innerMacs[1]].map(formatMac).map(colons));
      expect(seen["vlan.id"], about).toEqual(spec.vid === null ? [] : [String(spec.vid)]);
      expect(seen["gre.proto"].map(Number), about).toEqual([0x6558]);
      expect(Number(seen["gre.key"][0]), about).toBe(makeNvgreKey(spec.vsid as Vsid, spec.flowId as FlowId));
      const outerIs4 = spec.outer[0]!.family === 4;
      expect(Number((outerIs4 ? seen["ip.ttl"] : seen["ipv6.hlim"])[0]), about).toBe(spec.ttl);
      expect(Number((outerIs4 ? seen["ip.dsfield"] : seen["ipv6.tclass"])[0]), about).toBe(spec.tos);
      for (const family of [4, 6] as const) {
        const pairs = [spec.outer, spec.inner].filter(([source]) => source!.family === family);
        const name = family === 4 ? "ip" : "ipv6";
        expect(seen[`${name}.src`], about).toEqual(pairs.map(([source]) => formatAddress(source!)));
        expect(seen[`${name}.dst`], about).toEqual(pairs.map(([, destination]) => formatAddress(destination!)));
        if (family === 4) expect(seen["ip.checksum.status"], about).toEqual(pairs.map(() => GOOD));
      }
      const innerName = spec.transport === "icmp" && spec.inner[0]!.family === 6 ? "icmpv6" : spec.transport;
      expect(seen[`${innerName}.checksum.status` as (typeof CHECKSUMS)[number]], about).toEqual([GOOD]);
      if (spec.transport !== "icmp") {
        const name = spec.transport as "udp" | "tcp";
        const ports = [seen[`${name}.srcport`], seen[`${name}.dstport`]].map((values) => Number(values[0]));
        expect(ports, about).toEqual(spec.ports);
      }
    });
  });

  it("and we agree on addresses and keys of the worked packets", () => {
    const names = Object.keys(WORKED_PACKETS) as (keyof typeof WORKED_PACKETS)[];
    const frames = names.map(workedPacket);
    tsharkFields(frames, FIELDS).forEach((seen, index) => {
      const text = dissect(frames[index]!).join("\n");
      for (const address of [...seen["ip.src"], ...seen["ip.dst"], ...seen["ipv6.src"], ...seen["ipv6.dst"]]) {
        expect(text).toContain(address);
      }
      for (const mac of [...seen["eth.src"], ...seen["eth.dst"]]) {
        expect(text).toContain(mac.toUpperCase().replaceAll(":", "-"));
      }
      for (const key of seen["gre.key"]) expect(text).toContain(`VSID ${Number(key) >>> 8}`);
      expect(seen["ip.checksum.status"].every((status) => status === GOOD)).toBe(true);
      expect(text).not.toContain("wrong");
    });
  });

  it("and we agree on which checksums are wrong", () => {
    const specs = fc.sample(anyTunnelled, { seed, numRuns: 150 });
    const damaged = specs.map((spec, index) => {
      const frame = build(spec);
      // The inner transport's last octet: payload, or the end of its header.
      frame[frame.length - 1] = frame[frame.length - 1]! ^ (index % 2 ? 1 : 0);
      return frame;
    });
    const decoded = tsharkFields(damaged, CHECKSUMS);
    damaged.forEach((frame, index) => {
      const seen = Object.values(decoded[index]!).flat();
      const isWrong = dissect(frame).some((line) => line.endsWith("checksum wrong"));
      expect(isWrong, `seed ${seed}, frame ${index}`).toBe(seen.includes("0"));
      expect(isWrong, `seed ${seed}, frame ${index}`).toBe(index % 2 === 1);
    });
  });
});

describe.skipIf(!isScapyAvailable())("Scapy", () => {
  it("writes NVGRE that we read, in all four mixes of IP versions, tagged and not", () => {
    const frames = scapyFrames(`
for outer in (IP(src="192.168.4.11", dst="192.168.4.22"), IPv6(src="2001:db8:4::11", dst="2001:db8:4::22")):
  for tag in (None, 103):
    for inner in (IP(src="10.0.0.5", dst="10.0.0.7"), IPv6(src="fd00:10::5", dst="fd00:10::7")):
      link = Ether(dst="02:00:c0:a8:04:16", src="02:00:c0:a8:04:0b")
      if tag: link = link / Dot1Q(vlan=tag)
      key = (0xabcdef << 8) | 0x42
      vm = Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05") / inner / UDP(sport=4000, dport=53) / b"hello"
      emit(link / outer / GRE(key_present=1, key=key, proto=0x6558) / vm)
`);
    expect(frames).toHaveLength(8);
    frames.forEach((frame, index) => {
      const outer = parseFrame(frame, 0, frame.length)!;
      const [outerFamily, isTagged, innerFamily] = [index < 4 ? 4 : 6, (index >> 1) % 2 === 1, index % 2 ? 6 : 4];
      expect([outer.ip!.family, outer.tag]).toEqual([outerFamily, isTagged ? 103 : null]);
      expect(outer.ip!.protocol).toBe(PROTOCOL_GRE);
      const at = outer.ip!.transportAt;
      expect(checkNvgre(frame, at, outer.ip!.end)).toBe(Reason.NONE);
      expect([vsidAt(frame, at), flowIdAt(frame, at)]).toEqual([0xabcdef, 0x42]);
      const inner = parseFrame(frame, at + NVGRE_LENGTH, outer.ip!.end)!;
      expect(inner.ip!.family).toBe(innerFamily);
      expect(formatAddress(inner.ip!.destination)).toBe(innerFamily === 4 ? "10.0.0.7" : "fd00:10::7");
      expect(inner.ip!.ports).toEqual({ source: 4000, destination: 53 });
      expect(dissect(frame).some((line) => /wrong|malformed|cut/.test(line))).toBe(false);
    });
  });

  it("writes fragments that we tell apart", () => {
    const frames = scapyFrames(`
link = Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05")
for part in fragment(IP(src="10.0.0.5", dst="10.0.0.7", id=7) / UDP(sport=4000, dport=53) / (b"x" * 3000), fragsize=1000): emit(link / part)
whole = IPv6(src="fd00:10::5", dst="fd00:10::7") / IPv6ExtHdrFragment(id=7) / UDP(sport=4000, dport=53) / (b"x" * 3000)
for part in fragment6(whole, 1280): emit(link / part)
`);
    const fragments = frames.map((frame) => parseFrame(frame, 0, frame.length)!.ip!);
    for (const family of [4, 6]) {
      const ours = fragments.filter((ip) => ip.family === family);
      expect(ours.length).toBeGreaterThan(2);
      expect(ours.map((ip) => ip.fragment)).toEqual(ours.map((_, index) => (index === 0 ? "first" : "later")));
      expect(ours.every((ip) => ip.protocol === PROTOCOL_UDP && ip.ports === null)).toBe(true);
    }
  });

  it("writes IPv4 options and IPv6 extension chains behind which we find the ports", () => {
    const frames = scapyFrames(`
link = Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05")
four = dict(src="10.0.0.5", dst="10.0.0.7")
six = IPv6(src="fd00:10::5", dst="fd00:10::7")
tail = UDP(sport=4000, dport=53) / b"hello"
for options in ([], [IPOption_Router_Alert()], [IPOption_RR(routers=["0.0.0.0"] * 9)], [IPOption_NOP()] * 5):
  emit(link / IP(options=options, **four) / tail)
for chain in ([IPv6ExtHdrHopByHop()], [IPv6ExtHdrDestOpt(options=[PadN(optdata=b"0" * 100)])],
              [IPv6ExtHdrHopByHop(), IPv6ExtHdrRouting(addresses=["fd00::1", "fd00::2"], segleft=0), IPv6ExtHdrDestOpt()]):
  packet = six
  for header in chain: packet = packet / header
  emit(link / packet / tail)
`);
    expect(frames).toHaveLength(7);
    for (const frame of frames) {
      const { ip } = parseFrame(frame, 0, frame.length)!;
      expect(ip!.ports).toEqual({ source: 4000, destination: 53 });
      if (ip!.family === 4) expect(ipv4ChecksumIsRight(frame, ip!.at)).toBe(true);
      expect(dissect(frame).at(-1)).toBe("UDP 4000 > 53, length 13");
    }
  });

  it("writes random UDP whose ports and checksums we read", () => {
    const pairs = fc.sample(fc.tuple(anyU16, anyU16), { seed, numRuns: 50 });
    const frames = scapyFrames(`
for source, destination in ${JSON.stringify(pairs)}:
  emit(Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05") / IP(src="10.0.0.5", dst="10.0.0.7") / UDP(sport=source, dport=destination) / Raw(bytes([source & 255]) * (destination % 50)))
`);
    const read = frames.map((frame) => parseFrame(frame, 0, frame.length)!.ip!.ports!);
    expect(read.map(({ source, destination }) => [source, destination])).toEqual(pairs);
    expect(frames.flatMap((frame) => dissect(frame)).some((line) => line.includes("wrong"))).toBe(false);
  });
});
