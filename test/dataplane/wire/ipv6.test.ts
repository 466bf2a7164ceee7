import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { formatAddress, parseAddress } from "../../../src/dataplane/wire/address-text.js";
import {
  checkIpv6,
  decrementIpv6HopLimit,
  IPV6_EXTENSIONS_MAX,
  IPV6_LENGTH,
  ipv6DestinationAt,
  ipv6DscpAt,
  ipv6EcnAt,
  ipv6FlowLabelAt,
  ipv6HopLimitAt,
  ipv6NextHeaderAt,
  ipv6PayloadLengthAt,
  ipv6SourceAt,
  ipv6TrafficClassAt,
  setIpv6Dscp,
  setIpv6Ecn,
  walkIpv6Extensions,
  writeIpv6,
} from "../../../src/dataplane/wire/ipv6.js";
import { bytesOf, hexOf, workedPacket } from "../../vectors/worked-packets.js";
import { anyIpv6, anyU8, anyU16, expectEveryTruncation, patched, written } from "./classics.js";

const ADDRESSES = "fd00 0010 0000 0000 0000 0000 0000 0005 fd00 0010 0000 0000 0000 0000 0000 0007";
/** Scapy: traffic class 0xb9, flow label 0xabcde, hop limit 33, UDP with "hello". */
const UDP = bytesOf(`6b9a bcde 000d 1121 ${ADDRESSES} 0fa0 0035 000d b1ff 6865 6c6c 6f`);
/** Scapy: hop-by-hop (router alert), destination options (12 octets of PadN), routing (no segments left), UDP with "hi". */
const CHAIN = bytesOf(`6000 0000 003a 0040 ${ADDRESSES} 3c00 0502 0000 0100 2b01 010c 0000 0000 0000 0000 0000 0000
  1102 0000 0000 0000 fd00 0010 0000 0000 0000 0000 0000 0009 0fa0 0035 000a 8d6e 6869`);
/** Scapy: hop-by-hop, first fragment of UDP; and a last fragment at 1448. */
const FIRST_FRAGMENT = bytesOf(
  `6000 0000 001a 0040 ${ADDRESSES} 2c00 0104 0000 0000 1100 0001 0000 0007 0fa0 0035 0064 0001 6869`,
);
const LAST_FRAGMENT = bytesOf(`6000 0000 0010 2c40 ${ADDRESSES} 1100 05a8 0000 0007 3132 3334 3536 3738`);
/** Scapy: authentication header with 12 octets of ICV, TCP. */
const AH = bytesOf(`6000 0000 002c 3340 ${ADDRESSES} 0604 0000 0000 0001 0000 0002 0000 0000 0000 0000 0000 0000
  0005 0006 0000 0000 0000 0000 5002 2000 0000 0000`);

const walk = (packet: Uint8Array) => walkIpv6Extensions(packet, 0, packet.length);

describe("IPv6", () => {
  it("reads packet D's outer header", () => {
    const frame = workedPacket("d");
    expect(checkIpv6(frame, 14, frame.length)).toBe(Reason.NONE);
    expect(ipv6TrafficClassAt(frame, 14)).toBe(0);
    expect(ipv6FlowLabelAt(frame, 14)).toBe(0xcb735);
    expect([ipv6PayloadLengthAt(frame, 14), ipv6NextHeaderAt(frame, 14)]).toEqual([74, 47]);
    expect(ipv6HopLimitAt(frame, 14)).toBe(128);
    expect(formatAddress(ipv6SourceAt(frame, 14))).toBe("2001:db8:4::11");
    expect(formatAddress(ipv6DestinationAt(frame, 14))).toBe("2001:db8:4::22");
  });

  it("reads traffic class and flow label where neither lies on an octet's border", () => {
    expect([ipv6DscpAt(UDP, 0), ipv6EcnAt(UDP, 0), ipv6FlowLabelAt(UDP, 0)]).toEqual([46, 1, 0xabcde]);
  });

  it("writes both headers, and nothing else", () => {
    const outer = {
      source: parseAddress("2001:db8:4::11")!,
      destination: parseAddress("2001:db8:4::22")!,
      nextHeader: 47,
      hopLimit: 128,
      payloadLength: 74,
      flowLabel: 0xcb735,
    };
    expect(written(IPV6_LENGTH, (frame, at) => writeIpv6(frame, at, outer))).toBe(
      hexOf(workedPacket("d").slice(14, 54)),
    );
    const udp = {
      source: parseAddress("fd00:10::5")!,
      destination: parseAddress("fd00:10::7")!,
      nextHeader: 17,
      hopLimit: 33,
      payloadLength: 13,
      trafficClass: 0xb9,
      flowLabel: 0xabcde,
    };
    expect(written(IPV6_LENGTH, (frame, at) => writeIpv6(frame, at, udp))).toBe(hexOf(UDP.slice(0, 40)));
  });

  it("refuses every truncation", () => {
    expectEveryTruncation(checkIpv6, Uint8Array.of(...UDP, 0, 0), 53, Reason.RX_IP_MALFORMED);
  });

  it("refuses other versions, too large a payload length, and jumbograms", () => {
    for (const change of [{ 0: 0x4b }, { 0: 0x7b }, { 0: 0 }, { 5: 14 }, { 4: 1 }, { 4: 0, 5: 0, 6: 0 }]) {
      expect(checkIpv6(patched(UDP, change), 0, UDP.length)).toBe(Reason.RX_IP_MALFORMED);
    }
    expect(checkIpv6(patched(UDP, { 5: 0, 6: 59 }), 0, UDP.length)).toBe(Reason.NONE);
  });

  it("reads back what it wrote", () => {
    const fields = fc.record({
      source: anyIpv6,
      destination: anyIpv6,
      nextHeader: fc.integer({ min: 1, max: 255 }),
      hopLimit: anyU8,
      payloadLength: anyU16,
      trafficClass: anyU8,
      flowLabel: fc.nat(0xfffff),
    });
    fc.assert(
      fc.property(fields, (packet) => {
        const frame = new Uint8Array(48).fill(0xa5);
        writeIpv6(frame, 4, packet);
        expect(checkIpv6(frame, 4, 44 + packet.payloadLength)).toBe(Reason.NONE);
        expect({
          source: ipv6SourceAt(frame, 4),
          destination: ipv6DestinationAt(frame, 4),
          nextHeader: ipv6NextHeaderAt(frame, 4),
          hopLimit: ipv6HopLimitAt(frame, 4),
          payloadLength: ipv6PayloadLengthAt(frame, 4),
          trafficClass: ipv6TrafficClassAt(frame, 4),
          flowLabel: ipv6FlowLabelAt(frame, 4),
        }).toEqual(packet);
      }),
    );
  });

  it("setters touch their own bits only", () => {
    const frame = UDP.slice();
    setIpv6Ecn(frame, 0, 2);
    expect(hexOf(frame)).toBe(hexOf(patched(UDP, { 1: 0xaa })));
    setIpv6Ecn(frame, 0, 3);
    expect(hexOf(frame)).toBe(hexOf(patched(UDP, { 1: 0xba })));
    setIpv6Dscp(frame, 0, 0);
    expect(hexOf(frame)).toBe(hexOf(patched(UDP, { 0: 0x60, 1: 0x3a })));
    decrementIpv6HopLimit(frame, 0);
    expect(hexOf(frame)).toBe(hexOf(patched(UDP, { 0: 0x60, 1: 0x3a, 7: 32 })));
  });
});

describe("IPv6 extension chain", () => {
  it("is empty for most packets", () => {
    expect(walk(UDP)).toEqual({ protocol: 17, transportAt: 40, fragment: "none", segmentsLeft: 0, ok: true });
  });

  it("skips hop-by-hop, destination options and routing", () => {
    expect(walk(CHAIN)).toEqual({ protocol: 17, transportAt: 88, fragment: "none", segmentsLeft: 0, ok: true });
  });

  it("tells of segments left", () => {
    expect(walk(patched(CHAIN, { 67: 1 }))).toEqual({ ...walk(CHAIN), segmentsLeft: 1 });
  });

  it("skips an authentication header, which counts its length otherwise", () => {
    expect(walk(AH)).toEqual({ protocol: 6, transportAt: 64, fragment: "none", segmentsLeft: 0, ok: true });
  });

  it("ends at a Fragment header and tells its place", () => {
    expect(walk(FIRST_FRAGMENT)).toEqual({
      protocol: 17,
      transportAt: 56,
      fragment: "first",
      segmentsLeft: 0,
      ok: true,
    });
    expect(walk(LAST_FRAGMENT)).toEqual({
      protocol: 17,
      transportAt: 48,
      fragment: "later",
      segmentsLeft: 0,
      ok: true,
    });
    const atomic = patched(FIRST_FRAGMENT, { 51: 0 });
    expect(walk(atomic).fragment).toBe("first");
    // All fragments of one datagram show the same protocol, whatever the first has behind its Fragment header.
    expect(walk(patched(FIRST_FRAGMENT, { 48: 60 })).protocol).toBe(walk(patched(LAST_FRAGMENT, { 40: 60 })).protocol);
  });

  it("ends before ESP, no next header and what it does not know", () => {
    for (const protocol of [50, 59, 135, 253]) {
      expect(walk(patched(CHAIN, { 6: protocol }))).toMatchObject({ protocol, transportAt: 40, ok: true });
    }
  });

  it("is malformed wherever it is cut, and stays inside the packet", () => {
    for (let end = 40; end < 88; end++) {
      const chain = walkIpv6Extensions(CHAIN, 0, end);
      expect(chain.ok, `cut at ${end}`).toBe(false);
      expect(chain.transportAt).toBeLessThanOrEqual(end);
      expect([0, 60, 43]).toContain(chain.protocol);
    }
    expect(walkIpv6Extensions(CHAIN, 0, 88).ok).toBe(true);
  });

  it("is malformed when an extension's length points out of the packet", () => {
    expect(walk(patched(CHAIN, { 41: 200 }))).toMatchObject({ protocol: 0, transportAt: 40, ok: false });
  });

  it("is not followed without end", () => {
    const endless = (count: number) => {
      const packet = new Uint8Array(40 + count * 8);
      packet.set(UDP.slice(0, 40));
      packet[6] = 60;
      for (let index = 0; index < count; index++) packet[40 + index * 8] = index === count - 1 ? 17 : 60;
      return walk(packet);
    };
    expect(endless(IPV6_EXTENSIONS_MAX)).toMatchObject({ protocol: 17, ok: true });
    expect(endless(IPV6_EXTENSIONS_MAX + 1)).toMatchObject({ protocol: 60, ok: false });
  });
});
