import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import {
  checkIcmp,
  ICMP_ECHO_REQUEST,
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_LENGTH,
  ICMP_REDIRECT,
  ICMP_UNREACHABLE,
  icmpChecksumAt,
  icmpChecksumIsRight,
  icmpCodeAt,
  icmpIdentifierAt,
  icmpNextHopMtuAt,
  icmpRestAt,
  icmpSequenceAt,
  icmpTypeAt,
  isIcmpError,
  setIcmpChecksum,
  writeIcmp,
} from "../../../src/dataplane/wire/icmp.js";
import { bytesOf, hexOf, innerOf, workedPacket } from "../../vectors/worked-packets.js";
import { anyPayload, anyU8, anyU32, expectEveryTruncation, patched, written } from "./classics.js";

/** Scapy: echo request with an odd number of octets; fragmentation needed, MTU 1458. */
const ECHO = bytesOf("0800 226c 1122 3344 6162 6364 6566 67");
const TOO_BIG = bytesOf(`0304 2675 0000 05b2 4500 001c 0001 0000 4011 66c5 0a00 0005 0a00 0007 3132 3334 3536 3738`);

describe("ICMP", () => {
  it("reads packet A's echo request", () => {
    const message = innerOf("a").slice(34);
    expect(checkIcmp(message, 0, 40)).toBe(Reason.NONE);
    expect([icmpTypeAt(message, 0), icmpCodeAt(message, 0)]).toEqual([ICMP_ECHO_REQUEST, 0]);
    expect([icmpIdentifierAt(message, 0), icmpSequenceAt(message, 0)]).toEqual([1, 1]);
    expect(icmpChecksumAt(message, 0)).toBe(0x4d5a);
    expect(icmpChecksumIsRight(message, 0, 40)).toBe(true);
  });

  it("reads fragmentation needed, and packet E's redirect with its target", () => {
    expect([icmpTypeAt(TOO_BIG, 0), icmpCodeAt(TOO_BIG, 0)]).toEqual([ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED]);
    expect(icmpNextHopMtuAt(TOO_BIG, 0)).toBe(1458);
    expect(icmpChecksumIsRight(TOO_BIG, 0, TOO_BIG.length)).toBe(true);
    const frame = workedPacket("e");
    expect([icmpTypeAt(frame, 76), icmpCodeAt(frame, 76)]).toEqual([ICMP_REDIRECT, 10]);
    expect(icmpRestAt(frame, 76)).toBe(0xc0a8_0421);
    expect(icmpChecksumIsRight(frame, 76, frame.length)).toBe(true);
  });

  it("writes the header, and nothing else", () => {
    expect(written(ICMP_LENGTH, (frame, at) => writeIcmp(frame, at, 8, 0, 0x1122_3344))).toBe("0800000011223344");
  });

  it("fills the checksum that Scapy computed", () => {
    const copy = patched(ECHO, { 2: 0xa5, 3: 0xa5 });
    setIcmpChecksum(copy, 0, copy.length);
    expect(hexOf(copy)).toBe(hexOf(ECHO));
  });

  it("refuses every truncation of the header", () => {
    expectEveryTruncation(checkIcmp, ECHO, ICMP_LENGTH, Reason.INVALID_PACKET);
  });

  it("finds every wrong octet", () => {
    for (let at = 0; at < ECHO.length; at++) {
      expect(icmpChecksumIsRight(patched(ECHO, { [at]: ECHO[at]! ^ 1 }), 0, ECHO.length)).toBe(false);
    }
  });

  it("tells errors, which quote a packet, from the rest", () => {
    expect([3, 4, 5, 11, 12].every(isIcmpError)).toBe(true);
    expect([0, 8, 9, 10, 13, 14].some(isIcmpError)).toBe(false);
  });

  it("reads back what it wrote, checksum right", () => {
    fc.assert(
      fc.property(anyU8, anyU8, anyU32, anyPayload, (type, code, rest, payload) => {
        const frame = new Uint8Array(80).fill(0xa5);
        const end = 3 + ICMP_LENGTH + payload.length;
        writeIcmp(frame, 3, type, code, rest);
        frame.set(payload, 3 + ICMP_LENGTH);
        setIcmpChecksum(frame, 3, end);
        expect([icmpTypeAt(frame, 3), icmpCodeAt(frame, 3), icmpRestAt(frame, 3)]).toEqual([type, code, rest]);
        expect(icmpChecksumIsRight(frame, 3, end)).toBe(true);
      }),
    );
  });
});
