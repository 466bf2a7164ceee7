import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ParsedFrame } from "../../../src/dataplane/packet/parse.js";
import { flowHash, parseFrame } from "../../../src/dataplane/packet/parse.js";
import { formatAddress } from "../../../src/dataplane/wire/address-text.js";
import type { Mac } from "../../../src/dataplane/wire/bytes.js";
import { flowIdOfHash } from "../../../src/dataplane/wire/entropy.js";
import { formatMac } from "../../../src/dataplane/wire/mac.js";
import { vidOf } from "../../../src/dataplane/wire/vlan.js";
import { bytesOf, INNER_AT, innerOf, WORKED_PACKETS, workedPacket } from "../../vectors/worked-packets.js";
import { patched } from "../wire/classics.js";

const MACS = "0606 0000 0007 0606 0000 0005";
const V6 = "fd00 0010 0000 0000 0000 0000 0000 0005 fd00 0010 0000 0000 0000 0000 0000 0007";

function parse(frame: Uint8Array, start = 0, end = frame.length): ParsedFrame {
  const parsed = parseFrame(frame, start, end);
  if (!parsed) throw new Error("no Ethernet header");
  return parsed;
}

const parseHex = (hex: string) => parse(bytesOf(MACS + hex));
/** UDP from 4000 to 53 over IPv4 with some header words changed. */
const udp4 = (changes: Record<number, number> = {}) =>
  parse(
    patched(
      bytesOf(`${MACS} 0800 4500 0021 0001 0000 4011 66c0 0a00 0005 0a00 0007 0fa0 0035 000d 9821 6865 6c6c 6f`),
      changes,
    ),
  );

describe("parseFrame", () => {
  it("finds everything in packet A, outside and inside", () => {
    const frame = workedPacket("a");
    const outer = parse(frame);
    expect([outer.start, outer.end, outer.etherType, outer.networkAt, outer.tag]).toEqual([0, 116, 0x0800, 14, null]);
    expect([formatMac(outer.destination), formatMac(outer.source)]).toEqual(["02-00-C0-A8-04-16", "02-00-C0-A8-04-0B"]);
    expect(outer.ip).toMatchObject({ family: 4, at: 14, end: 116, ttl: 128, trafficClass: 0, dontFragment: true });
    expect(outer.ip).toMatchObject({ fragment: "none", protocol: 47, transportAt: 34, ports: null });
    expect(formatAddress(outer.ip!.source)).toBe("192.168.4.11");
    expect(formatAddress(outer.ip!.destination)).toBe("192.168.4.22");
    const inner = parse(frame, INNER_AT.a);
    expect([inner.start, inner.end, inner.networkAt]).toEqual([42, 116, 56]);
    expect(inner.ip).toMatchObject({ at: 56, end: 116, protocol: 1, transportAt: 76, dontFragment: false });
    expect(inner.ip!.ports).toEqual({ source: 0x0800, destination: 0 });
  });

  it("takes off one C-tag", () => {
    const outer = parse(workedPacket("b"));
    expect(vidOf(outer.tag!)).toBe(103);
    expect([outer.etherType, outer.networkAt, outer.ip!.transportAt]).toEqual([0x0800, 18, 38]);
    expect(outer.ip!.trafficClass).toBe(2);
    const twice = parseHex("8100 0001 8100 0002 0800 4500");
    expect([twice.tag, twice.etherType, twice.networkAt, twice.ip]).toEqual([1, 0x8100, 18, null]);
    const service = parseHex("88a8 0001 0800 4500");
    expect([service.tag, service.etherType, service.ip]).toEqual([null, 0x88a8, null]);
  });

  it("finds ports over IPv6, and IPv6's own fields", () => {
    const inner = parse(workedPacket("c"), INNER_AT.c);
    expect(inner.ip).toMatchObject({ family: 6, ttl: 64, dontFragment: true, protocol: 17, fragment: "none" });
    expect(inner.ip!.ports).toEqual({ source: 49153, destination: 5001 });
    expect(formatAddress(inner.ip!.destination)).toBe("fd00:10::7");
    const marked = parseHex(`86dd 6b9a bcde 0000 3b21 ${V6}`);
    expect(marked.ip).toMatchObject({ trafficClass: 0xb9, ttl: 0x21, protocol: 59, ports: null });
  });

  it("ends the packet where its length field says, not where the frame is padded to", () => {
    const padded = Uint8Array.of(...workedPacket("a"), ...new Uint8Array(10));
    expect(parse(padded).end).toBe(126);
    expect(parse(padded).ip!.end).toBe(116);
    const short = bytesOf(`${MACS} 86dd 6000 0000 0000 3b40 ${V6} 0000 0000`);
    expect(parse(short).ip!.end).toBe(54);
  });

  it("does not read ports out of the padding", () => {
    const cut = udp4({ 17: 23 });
    expect(cut.ip).toMatchObject({ protocol: 17, transportAt: 34, end: 37, ports: null });
    expect(udp4({ 17: 24 }).ip!.ports).toEqual({ source: 4000, destination: 53 });
  });

  it("tells fragments and their ports' absence", () => {
    expect(udp4().ip).toMatchObject({ fragment: "none", ports: { source: 4000, destination: 53 } });
    expect(udp4({ 20: 0x40 }).ip).toMatchObject({ fragment: "none", dontFragment: true });
    expect(udp4({ 20: 0x20 }).ip).toMatchObject({ fragment: "first", ports: null, protocol: 17 });
    expect(udp4({ 20: 0x20, 21: 1 }).ip).toMatchObject({ fragment: "later", ports: null });
    expect(udp4({ 20: 0x1f }).ip).toMatchObject({ fragment: "later", ports: null });
    expect(udp4({ 20: 0x80 }).ip).toMatchObject({ fragment: "none" });
  });

  it("finds the transport header behind IPv4 options", () => {
    const parsed = parseHex(`0800 4700 0020 0001 0000 4011 0000 0a00 0005 0a00 0007 9404 0000 0101 0101 0fa0 0035`);
    expect(parsed.ip).toMatchObject({ transportAt: 42, end: 46, ports: { source: 4000, destination: 53 } });
  });

  it("walks extension headers, and ends at a fragment's", () => {
    const chain = `86dd 6000 0000 003a 0040 ${V6} 3c00 0502 0000 0100 2b01 010c 0000 0000 0000 0000 0000 0000
      1102 0000 0000 0000 fd00 0010 0000 0000 0000 0000 0000 0009 0fa0 0035 000a 8d6e 6869`;
    expect(parseHex(chain).ip).toMatchObject({
      protocol: 17,
      transportAt: 102,
      ports: { source: 4000, destination: 53 },
    });
    const first = `86dd 6000 0000 0010 2c40 ${V6} 1100 0001 0000 0007 0fa0 0035 000d 9821`;
    expect(parseHex(first).ip).toMatchObject({ protocol: 17, fragment: "first", transportAt: 62, ports: null });
    const later = first.replace("1100 0001", "1100 05a9");
    expect(parseHex(later).ip).toMatchObject({ protocol: 17, fragment: "later", transportAt: 62, ports: null });
  });

  it("names the extension at which a broken chain ends", () => {
    const broken = `86dd 6000 0000 000c 0040 ${V6} 3c00 0502 0000 0100 1105 0102`;
    expect(parseHex(broken).ip).toMatchObject({
      protocol: 60,
      transportAt: 62,
      end: 66,
      fragment: "none",
      ports: null,
    });
  });

  it("gives ICMP's type and code for the family's own ICMP", () => {
    const echo6 = parseHex(`86dd 6000 0000 0008 3a40 ${V6} 8003 0000 1122 0003`);
    expect(echo6.ip!.ports).toEqual({ source: 0x8003, destination: 0 });
    const wrongFamily = parseHex(`86dd 6000 0000 0008 0140 ${V6} 0800 0000 1122 0003`);
    expect(wrongFamily.ip!.ports).toBeNull();
  });

  it("has no IP header where the EtherType says otherwise, or where it is malformed", () => {
    expect(parseHex("0806 0001 0800 0604 0001").ip).toBeNull();
    expect(parseHex(`0800 6000 0000 0000 3b40 ${V6}`).ip).toBeNull();
    expect(parseHex("86dd 4500 0014 0001 0000 4000 66de 0a00 0005 0a00 0007").ip).toBeNull();
    for (const changes of [{ 14: 0x44 }, { 14: 0x4f }, { 16: 0xff }, { 16: 0, 17: 10 }])
      expect(udp4(changes).ip).toBeNull();
    expect(parseHex("0800").ip).toBeNull();
    expect(parseHex(`86dd 6000 0000 0000 0040 ${V6} 1100 c204 0001 0000`).ip).toBeNull();
  });

  it("refuses what has no whole Ethernet header, tag included", () => {
    for (const name of ["a", "aVlan"] as const) {
      const frame = workedPacket(name);
      const needed = name === "a" ? 14 : 18;
      for (let length = 0; length < 40; length++) {
        expect(parseFrame(frame, 0, length) === null).toBe(length < needed);
        expect(parseFrame(frame.slice(0, length), 0, length) === null).toBe(length < needed);
      }
    }
  });

  it("never throws, and never looks or points outside of its range, whatever the bytes", () => {
    const names = Object.keys(WORKED_PACKETS) as (keyof typeof WORKED_PACKETS)[];
    const worked = fc.constantFrom(...names).map((name) => workedPacket(name));
    const garbage = fc.uint8Array({ minLength: 14, maxLength: 120 });
    const base = fc.oneof(worked, garbage).chain((frame) =>
      fc.record({
        frame: fc.constant(frame),
        changes: fc.array(fc.tuple(fc.nat(frame.length - 1), fc.nat(255)), { maxLength: 8 }),
        type: fc.constantFrom(undefined, 0x0800, 0x86dd, 0x8100),
        length: fc.nat(frame.length),
        before: fc.nat(5),
      }),
    );
    fc.assert(
      fc.property(base, ({ frame, changes, type, length, before }) => {
        for (const [at, value] of changes) frame[at] = value;
        if (type !== undefined) frame.set([type >> 8, type & 0xff], 12);
        // Two surroundings: the result may not depend on them.
        const [parsed, again] = [0xff, 0x00].map((filler) => {
          const buffer = new Uint8Array(before + length + 64).fill(filler);
          buffer.set(frame.subarray(0, length), before);
          const result = parseFrame(buffer, before, before + length);
          return { result, hash: result && flowHash(buffer, result) };
        });
        expect(parsed).toEqual(again);
        if (!parsed?.result) return;
        const { start, end, networkAt, ip } = parsed.result;
        expect([start, end]).toEqual([before, before + length]);
        expect(networkAt).toBeLessThanOrEqual(end);
        if (!ip) return;
        expect(ip.at).toBe(networkAt);
        expect(ip.transportAt).toBeGreaterThanOrEqual(ip.at + 20);
        expect(ip.transportAt).toBeLessThanOrEqual(ip.end);
        expect(ip.end).toBeLessThanOrEqual(end);
        if (ip.ports) expect(ip.transportAt + 4).toBeLessThanOrEqual(ip.end);
      }),
      { numRuns: 3000 },
    );
  });
});

describe("flowHash", () => {
  it.each([
    ["a", 0xa5],
    ["aVlan", 0xa5],
    ["b", 0x63],
    ["c", 0x46],
    ["d", 0xbd],
    ["dVlan", 0xbd],
    ["g", 0xf6],
  ] as const)("gives packet %s its FlowID", (name, flowId) => {
    const inner = innerOf(name);
    expect(flowIdOfHash(flowHash(inner, parse(inner)))).toBe(flowId);
  });

  it("takes MAC addresses and EtherType for what is not IP, with the addresses that the frame will carry", () => {
    const arp = parseHex("0806 0001 0800 0604 0001");
    const hash = flowHash(new Uint8Array(0), arp, 0xffff_ffff_ffff as Mac, 0x0606_0000_0005 as Mac);
    expect(hash).toBe(0x3cc0_fc32);
    expect(flowHash(new Uint8Array(0), arp)).not.toBe(hash);
  });

  it("is the same for all fragments of a datagram, and ignores ICMP's type and what is cut off", () => {
    const hashOf = (changes: Record<number, number>, type = 17) => {
      const packet = bytesOf(
        `${MACS} 0800 4500 0021 0001 0000 4011 66c0 0a00 0005 0a00 0007 0fa0 0035 000d 9821 6865 6c6c 6f`,
      );
      const frame = patched(packet, { 23: type, ...changes });
      return flowHash(frame, parse(frame));
    };
    const first = hashOf({ 20: 0x20 });
    expect(hashOf({ 20: 0x20, 21: 0xb9, 34: 0x77 })).toBe(first);
    expect(hashOf({ 21: 0xb9, 34: 0x78 })).toBe(first);
    expect(hashOf({ 17: 23 })).toBe(first);
    expect(hashOf({})).not.toBe(first);
    expect(hashOf({ 34: 0 }, 1)).toBe(hashOf({ 34: 8 }, 1));
  });

  it("does not depend on TTL, identification or where the packet lies", () => {
    const inner = innerOf("d");
    const hash = flowHash(inner, parse(inner));
    const moved = patched(Uint8Array.of(9, 9, 9, ...inner, 9), { [3 + 14 + 8]: 3, [3 + 14 + 5]: 99 });
    expect(flowHash(moved, parse(moved, 3, 3 + inner.length))).toBe(hash);
  });
});
