import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { formatAddress, parseAddress } from "../../../src/dataplane/wire/address-text.js";
import type { Mac } from "../../../src/dataplane/wire/bytes.js";
import {
  checkIcmpv6,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_LENGTH,
  ICMPV6_PACKET_TOO_BIG,
  icmpv6ChecksumAt,
  icmpv6ChecksumIsRight,
  icmpv6CodeAt,
  icmpv6IdentifierAt,
  icmpv6MtuAt,
  icmpv6RestAt,
  icmpv6SequenceAt,
  icmpv6TypeAt,
  isIcmpv6Error,
  isNdType,
  ND_FLAG_OVERRIDE,
  ND_FLAG_SOLICITED,
  ND_NEIGHBOR_ADVERTISEMENT,
  ND_NEIGHBOR_SOLICITATION,
  ND_OPTION_MTU,
  ND_OPTION_PREFIX,
  ND_OPTION_SOURCE_MAC,
  ND_OPTION_TARGET_MAC,
  ND_ROUTER_ADVERTISEMENT,
  ndLinkLayerAddress,
  ndOptions,
  ndTargetAt,
  setIcmpv6Checksum,
  writeIcmpv6,
  writeNeighborMessage,
} from "../../../src/dataplane/wire/icmpv6.js";
import { PROTOCOL_ICMPV6 } from "../../../src/dataplane/wire/ipv4.js";
import { writeIpv6 } from "../../../src/dataplane/wire/ipv6.js";
import { bytesOf, hexOf } from "../../vectors/worked-packets.js";
import { anyIpv6, anyMac, anyPayload, anyU8, anyU32, expectEveryTruncation, patched, written } from "./classics.js";

/** All from Scapy, each with its IPv6 header of 40 octets. */
const SOLICITATION = bytesOf(`6000 0000 0020 3aff fd00 0010 0000 0000 0000 0000 0000 0005
  ff02 0000 0000 0000 0000 0001 ff00 0007 8700 795f 0000 0000 fd00 0010 0000 0000 0000 0000 0000 0007
  0101 0606 0000 0005`);
const ADVERTISEMENT = bytesOf(`6000 0000 0020 3aff fd00 0010 0000 0000 0000 0000 0000 0007
  fd00 0010 0000 0000 0000 0000 0000 0005 8800 1851 6000 0000 fd00 0010 0000 0000 0000 0000 0000 0007
  0201 0606 0000 0007`);
const ROUTER = bytesOf(`6000 0000 0040 3aff fe80 0000 0000 0000 0000 0000 0000 0001
  ff02 0000 0000 0000 0000 0000 0000 0001 8600 215f 0008 0708 0000 0000 0000 0000 0101 0606 0000 0101
  0501 0000 0000 05b2 0304 40c0 ffff ffff ffff ffff 0000 0000 fd00 0010 0000 0000 0000 0000 0000 0000`);
const TOO_BIG = bytesOf(`6000 0000 0038 3a40 fd00 0010 0000 0000 0000 0000 0000 0001
  fd00 0010 0000 0000 0000 0000 0000 0005 0200 8c98 0000 059e 6000 0000 0008 1140
  fd00 0010 0000 0000 0000 0000 0000 0005 fd00 0010 0000 0000 0000 0000 0000 0007 0001 0002 0008 05ae`);
const ECHO = bytesOf(`6000 0000 000b 3a40 fd00 0010 0000 0000 0000 0000 0000 0005
  fd00 0010 0000 0000 0000 0000 0000 0007 8000 81ed 1122 0003 7879 7a`);

describe("ICMPv6", () => {
  it("reads echo and Packet Too Big", () => {
    expect(checkIcmpv6(ECHO, 40, ECHO.length)).toBe(Reason.NONE);
    expect([icmpv6TypeAt(ECHO, 40), icmpv6CodeAt(ECHO, 40)]).toEqual([ICMPV6_ECHO_REQUEST, 0]);
    expect([icmpv6IdentifierAt(ECHO, 40), icmpv6SequenceAt(ECHO, 40)]).toEqual([0x1122, 3]);
    expect(icmpv6ChecksumAt(ECHO, 40)).toBe(0x81ed);
    expect(icmpv6TypeAt(TOO_BIG, 40)).toBe(ICMPV6_PACKET_TOO_BIG);
    expect(icmpv6MtuAt(TOO_BIG, 40)).toBe(1438);
  });

  it("verifies all checksums, and finds every wrong octet of message and pseudo header", () => {
    for (const packet of [SOLICITATION, ADVERTISEMENT, ROUTER, TOO_BIG, ECHO]) {
      expect(icmpv6ChecksumIsRight(packet, 0, 40, packet.length)).toBe(true);
      for (let at = 8; at < packet.length; at++) {
        expect(icmpv6ChecksumIsRight(patched(packet, { [at]: packet[at]! ^ 1 }), 0, 40, packet.length)).toBe(false);
      }
    }
  });

  it("reads neighbor messages and their options", () => {
    expect(icmpv6TypeAt(SOLICITATION, 40)).toBe(ND_NEIGHBOR_SOLICITATION);
    expect(formatAddress(ndTargetAt(SOLICITATION, 40))).toBe("fd00:10::7");
    expect(ndLinkLayerAddress(SOLICITATION, 40, 72, ND_OPTION_SOURCE_MAC)).toBe(0x0606_0000_0005);
    expect(ndLinkLayerAddress(SOLICITATION, 40, 72, ND_OPTION_TARGET_MAC)).toBeUndefined();
    expect(icmpv6RestAt(ADVERTISEMENT, 40)).toBe(ND_FLAG_SOLICITED + ND_FLAG_OVERRIDE);
    expect(ndLinkLayerAddress(ADVERTISEMENT, 40, 72, ND_OPTION_TARGET_MAC)).toBe(0x0606_0000_0007);
  });

  it("lists the options of a router advertisement", () => {
    expect(icmpv6TypeAt(ROUTER, 40)).toBe(ND_ROUTER_ADVERTISEMENT);
    expect(ndOptions(ROUTER, 40, ROUTER.length)).toEqual({
      options: [
        { type: ND_OPTION_SOURCE_MAC, at: 56, length: 8 },
        { type: ND_OPTION_MTU, at: 64, length: 8 },
        { type: ND_OPTION_PREFIX, at: 72, length: 32 },
      ],
      wellFormed: true,
    });
  });

  it("RFC 4861 §4.6: an option of length zero, or over the end, is malformed", () => {
    expect(ndOptions(patched(SOLICITATION, { 65: 0 }), 40, 72)).toEqual({ options: [], wellFormed: false });
    expect(ndOptions(patched(SOLICITATION, { 65: 2 }), 40, 72)).toEqual({ options: [], wellFormed: false });
    expect(ndOptions(SOLICITATION, 40, 65).wellFormed).toBe(false);
    expect(ndOptions(SOLICITATION, 40, 64)).toEqual({ options: [], wellFormed: true });
    expect(ndOptions(ECHO, 40, ECHO.length)).toEqual({ options: [], wellFormed: true });
  });

  it("writes both neighbor messages, and nothing else", () => {
    const target = parseAddress("fd00:10::7")!;
    const solicit = (frame: Uint8Array, at: number) =>
      writeNeighborMessage(frame, at, ND_NEIGHBOR_SOLICITATION, 0, target, 0x0606_0000_0005 as Mac);
    const flags = ND_FLAG_SOLICITED + ND_FLAG_OVERRIDE;
    const advertise = (frame: Uint8Array, at: number) =>
      writeNeighborMessage(frame, at, ND_NEIGHBOR_ADVERTISEMENT, flags, target, 0x0606_0000_0007 as Mac);
    const bare = (frame: Uint8Array, at: number) =>
      writeNeighborMessage(frame, at, ND_NEIGHBOR_SOLICITATION, 0, target, null);
    expect(written(32, solicit)).toBe(hexOf(patched(SOLICITATION, { 42: 0, 43: 0 }).slice(40)));
    expect(written(32, advertise)).toBe(hexOf(patched(ADVERTISEMENT, { 42: 0, 43: 0 }).slice(40)));
    expect(written(24, bare)).toBe(hexOf(patched(SOLICITATION, { 42: 0, 43: 0 }).slice(40, 64)));
  });

  it("fills the checksums that Scapy computed", () => {
    for (const packet of [SOLICITATION, ADVERTISEMENT, ROUTER, TOO_BIG, ECHO]) {
      const copy = patched(packet, { 42: 0xa5, 43: 0xa5 });
      setIcmpv6Checksum(copy, 0, 40, copy.length);
      expect(hexOf(copy)).toBe(hexOf(packet));
    }
  });

  it("refuses every truncation, of Neighbor Discovery up to its options", () => {
    expectEveryTruncation(checkIcmpv6, ECHO.slice(40), ICMPV6_LENGTH, Reason.INVALID_PACKET);
    expectEveryTruncation(checkIcmpv6, SOLICITATION.slice(40), 24, Reason.INVALID_PACKET);
    expectEveryTruncation(checkIcmpv6, ROUTER.slice(40), 16, Reason.INVALID_PACKET);
  });

  it("tells errors and Neighbor Discovery from the rest", () => {
    expect([1, 2, 3, 4, 127].every(isIcmpv6Error)).toBe(true);
    expect([128, 129, 135, 255].some(isIcmpv6Error)).toBe(false);
    expect([133, 134, 135, 136, 137].every(isNdType)).toBe(true);
    expect([128, 132, 138].some(isNdType)).toBe(false);
  });

  it("reads back what it wrote, checksum right", () => {
    fc.assert(
      fc.property(
        anyU8,
        anyU8,
        anyU32,
        anyPayload,
        anyIpv6,
        anyIpv6,
        (type, code, rest, payload, source, destination) => {
          const frame = new Uint8Array(120).fill(0xa5);
          const end = 40 + ICMPV6_LENGTH + payload.length;
          const payloadLength = end - 40;
          writeIpv6(frame, 0, { source, destination, nextHeader: PROTOCOL_ICMPV6, hopLimit: 255, payloadLength });
          writeIcmpv6(frame, 40, type, code, rest);
          frame.set(payload, 40 + ICMPV6_LENGTH);
          setIcmpv6Checksum(frame, 0, 40, end);
          expect([icmpv6TypeAt(frame, 40), icmpv6CodeAt(frame, 40), icmpv6RestAt(frame, 40)]).toEqual([
            type,
            code,
            rest,
          ]);
          expect(icmpv6ChecksumIsRight(frame, 0, 40, end)).toBe(true);
        },
      ),
    );
    fc.assert(
      fc.property(anyIpv6, anyMac, (target, mac) => {
        const frame = new Uint8Array(40).fill(0xa5);
        const length = writeNeighborMessage(frame, 2, ND_NEIGHBOR_ADVERTISEMENT, 0, target, mac);
        expect(checkIcmpv6(frame, 2, 2 + length)).toBe(Reason.NONE);
        expect(ndTargetAt(frame, 2)).toEqual(target);
        expect(ndLinkLayerAddress(frame, 2, 2 + length, ND_OPTION_TARGET_MAC)).toBe(mac);
      }),
    );
  });
});
