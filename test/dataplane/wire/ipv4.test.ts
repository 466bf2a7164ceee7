import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { formatAddress, parseAddress } from "../../../src/dataplane/wire/address-text.js";
import {
  checkIpv4,
  decrementIpv4Ttl,
  ipv4ChecksumAt,
  ipv4ChecksumIsRight,
  ipv4DestinationAt,
  ipv4DontFragmentAt,
  ipv4DscpAt,
  ipv4EcnAt,
  ipv4FragmentAt,
  ipv4FragmentOffsetAt,
  ipv4HeaderLengthAt,
  ipv4IdentificationAt,
  ipv4MoreFragmentsAt,
  ipv4Options,
  ipv4ProtocolAt,
  ipv4SourceAt,
  ipv4TosAt,
  ipv4TotalLengthAt,
  ipv4TtlAt,
  setIpv4Checksum,
  setIpv4Dscp,
  setIpv4Ecn,
  setIpv4Identification,
  writeIpv4,
} from "../../../src/dataplane/wire/ipv4.js";
import { bytesOf, hexOf, workedPacket } from "../../vectors/worked-packets.js";
import { anyIpv4, anyU8, anyU16, expectEveryTruncation, patched, written } from "./classics.js";

/** Packet A's outer header; the total length says that 82 octets follow. */
const OUTER = bytesOf("4500 0066 1a2b 4000 802f 56cc c0a8 040b c0a8 0416");

/** Scapy: record route, no-operation, router alert and end of options; a later fragment with MF, DSCP 46, ECT(1); 8 octets of payload. */
const WITH_OPTIONS = bytesOf(`48b9 0028 1234 20b9 3f11 9207 0a00 0005 0a00 0007 0707 0400 0000 0001 9404 0000
  3132 3334 3536 3738`);

describe("IPv4", () => {
  it("reads packet A's outer header", () => {
    const frame = workedPacket("a");
    expect(checkIpv4(frame, 14, frame.length)).toBe(Reason.NONE);
    expect(ipv4HeaderLengthAt(frame, 14)).toBe(20);
    expect(ipv4TotalLengthAt(frame, 14)).toBe(102);
    expect(ipv4TosAt(frame, 14)).toBe(0);
    expect(ipv4IdentificationAt(frame, 14)).toBe(0x1a2b);
    expect([ipv4DontFragmentAt(frame, 14), ipv4MoreFragmentsAt(frame, 14)]).toEqual([true, false]);
    expect(ipv4FragmentAt(frame, 14)).toBe("none");
    expect([ipv4TtlAt(frame, 14), ipv4ProtocolAt(frame, 14)]).toEqual([128, 47]);
    expect(ipv4ChecksumAt(frame, 14)).toBe(0x56cc);
    expect(ipv4ChecksumIsRight(frame, 14)).toBe(true);
    expect(formatAddress(ipv4SourceAt(frame, 14))).toBe("192.168.4.11");
    expect(formatAddress(ipv4DestinationAt(frame, 14))).toBe("192.168.4.22");
  });

  it("reads a fragment with options", () => {
    expect(checkIpv4(WITH_OPTIONS, 0, 40)).toBe(Reason.NONE);
    expect(ipv4HeaderLengthAt(WITH_OPTIONS, 0)).toBe(32);
    expect([ipv4DscpAt(WITH_OPTIONS, 0), ipv4EcnAt(WITH_OPTIONS, 0)]).toEqual([46, 1]);
    expect([ipv4DontFragmentAt(WITH_OPTIONS, 0), ipv4MoreFragmentsAt(WITH_OPTIONS, 0)]).toEqual([false, true]);
    expect([ipv4FragmentOffsetAt(WITH_OPTIONS, 0), ipv4FragmentAt(WITH_OPTIONS, 0)]).toEqual([1480, "later"]);
    expect(ipv4ChecksumIsRight(WITH_OPTIONS, 0)).toBe(true);
    expect(ipv4Options(WITH_OPTIONS, 0)).toEqual({
      options: [
        { type: 7, at: 20, length: 7 },
        { type: 0x94, at: 28, length: 4 },
      ],
      wellFormed: true,
    });
  });

  it("writes both headers, and nothing else", () => {
    const addresses = { source: parseAddress("192.168.4.11")!, destination: parseAddress("192.168.4.22")! };
    const outer = {
      ...addresses,
      protocol: 47,
      ttl: 128,
      payloadLength: 82,
      identification: 0x1a2b,
      dontFragment: true,
    };
    expect(written(20, (frame, at) => writeIpv4(frame, at, outer))).toBe(hexOf(OUTER));
    const options = {
      source: parseAddress("10.0.0.5")!,
      destination: parseAddress("10.0.0.7")!,
      protocol: 17,
      ttl: 63,
      tos: 0xb9,
      payloadLength: 8,
      identification: 0x1234,
      moreFragments: true,
      fragmentOffset: 1480,
      options: bytesOf("0707 0400 0000 0001 9404"),
    };
    expect(written(32, (frame, at) => writeIpv4(frame, at, options))).toBe(hexOf(WITH_OPTIONS.slice(0, 32)));
  });

  it("refuses every truncation", () => {
    const packet = workedPacket("a").slice(14);
    expectEveryTruncation(checkIpv4, Uint8Array.of(...packet, 0, 0), 102, Reason.RX_IP_MALFORMED);
    expectEveryTruncation(checkIpv4, WITH_OPTIONS, 40, Reason.RX_IP_MALFORMED);
  });

  it("refuses other versions, a short IHL, and lengths that cannot be", () => {
    const packet = workedPacket("a").slice(14);
    const impossible = [
      { 0: 0x55 },
      { 0: 0x65 },
      { 0: 0x05 },
      { 0: 0x44 },
      { 0: 0x40 },
      { 2: 0, 3: 19 },
      { 2: 0, 3: 0 },
      { 3: 103 },
    ];
    for (const change of impossible) {
      expect(checkIpv4(patched(packet, change), 0, packet.length)).toBe(Reason.RX_IP_MALFORMED);
    }
    const justTheHeader = patched(packet, { 2: 0, 3: 20 });
    expect(checkIpv4(justTheHeader, 0, packet.length)).toBe(Reason.NONE);
    expect(checkIpv4(patched(justTheHeader, { 0: 0x46 }), 0, packet.length)).toBe(Reason.RX_IP_MALFORMED);
  });

  it("lists options up to the one that cannot be", () => {
    const optionsOf = (hex: string) => {
      const { options, wellFormed } = ipv4Options(
        bytesOf(`4600 0018 0000 0000 4011 0000 0a00 0005 0a00 0007 ${hex}`),
        0,
      );
      return [options.length, wellFormed];
    };
    expect(optionsOf("01 01 01 01")).toEqual([0, true]);
    expect(optionsOf("00 ff ff ff")).toEqual([0, true]);
    expect(optionsOf("94 04 00 00")).toEqual([1, true]);
    expect(optionsOf("01 01 94 02")).toEqual([1, true]);
    expect(optionsOf("94 05 00 00")).toEqual([0, false]);
    expect(optionsOf("94 00 00 00")).toEqual([0, false]);
    expect(optionsOf("94 01 00 00")).toEqual([0, false]);
    expect(optionsOf("82 02 01 94")).toEqual([1, false]);
  });

  it("finds an outer checksum wrong by one", () => {
    expect(ipv4ChecksumIsRight(patched(OUTER, { 10: 0x57 }), 0)).toBe(false);
  });

  it("routes packet B: TTL 128 to 127 turns checksum e5ba into e6ba", () => {
    const header = workedPacket("bFromVm").slice(14, 34);
    decrementIpv4Ttl(header, 0);
    expect(hexOf(header)).toBe(hexOf(workedPacket("b").slice(60, 80)));
  });

  it("reads back what it wrote", () => {
    const fields = fc.record({
      source: anyIpv4,
      destination: anyIpv4,
      protocol: anyU8,
      ttl: anyU8,
      payloadLength: fc.nat(1000),
      tos: anyU8,
      identification: anyU16,
      dontFragment: fc.boolean(),
      moreFragments: fc.boolean(),
      fragmentOffset: fc.nat(8191).map((units) => units * 8),
      options: fc.uint8Array({ maxLength: 40 }),
    });
    fc.assert(
      fc.property(fields, (packet) => {
        const frame = new Uint8Array(1100).fill(0xa5);
        const headerLength = writeIpv4(frame, 2, packet);
        expect(checkIpv4(frame, 2, 2 + headerLength + packet.payloadLength)).toBe(Reason.NONE);
        expect(ipv4ChecksumIsRight(frame, 2)).toBe(true);
        expect(ipv4HeaderLengthAt(frame, 2)).toBe(headerLength);
        expect({
          source: ipv4SourceAt(frame, 2),
          destination: ipv4DestinationAt(frame, 2),
          protocol: ipv4ProtocolAt(frame, 2),
          ttl: ipv4TtlAt(frame, 2),
          payloadLength: ipv4TotalLengthAt(frame, 2) - headerLength,
          tos: ipv4TosAt(frame, 2),
          identification: ipv4IdentificationAt(frame, 2),
          dontFragment: ipv4DontFragmentAt(frame, 2),
          moreFragments: ipv4MoreFragmentsAt(frame, 2),
          fragmentOffset: ipv4FragmentOffsetAt(frame, 2),
          options: frame.slice(22, 22 + packet.options.length),
        }).toEqual(packet);
      }),
    );
  });

  it("setters keep the checksum right and touch nothing else", () => {
    fc.assert(
      fc.property(
        anyIpv4,
        anyIpv4,
        anyU16,
        anyU8,
        fc.integer({ min: 1, max: 255 }),
        fc.nat(3),
        fc.nat(63),
        anyU16,
        (source, destination, identification, tos, ttl, ecn, dscp, newIdentification) => {
          const fields = { source, destination, protocol: 6, ttl, payloadLength: 0, tos, identification };
          const frame = new Uint8Array(20);
          writeIpv4(frame, 0, fields);
          decrementIpv4Ttl(frame, 0);
          setIpv4Ecn(frame, 0, ecn);
          expect(ipv4TosAt(frame, 0)).toBe((tos & 0xfc) | ecn);
          setIpv4Dscp(frame, 0, dscp);
          setIpv4Identification(frame, 0, newIdentification);
          expect(ipv4ChecksumIsRight(frame, 0)).toBe(true);
          const expected = new Uint8Array(20);
          const changes = { ttl: ttl - 1, tos: (dscp << 2) | ecn, identification: newIdentification };
          writeIpv4(expected, 0, { ...fields, ...changes });
          setIpv4Checksum(frame, 0);
          expect(hexOf(frame)).toBe(hexOf(expected));
        },
      ),
    );
  });

  it("leaves a wrong checksum as wrong as it was when nothing changes", () => {
    const header = patched(OUTER, { 10: 0x57 });
    setIpv4Ecn(header, 0, 0);
    expect(ipv4ChecksumAt(header, 0)).toBe(0x57cc);
  });
});
