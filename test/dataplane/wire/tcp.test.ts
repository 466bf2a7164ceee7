import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { PROTOCOL_TCP, writeIpv4 } from "../../../src/dataplane/wire/ipv4.js";
import {
  checkTcp,
  setTcpChecksum,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_OPTION_MSS,
  TCP_OPTION_SACK_PERMITTED,
  TCP_OPTION_TIMESTAMPS,
  TCP_OPTION_WINDOW_SCALE,
  TCP_PSH,
  TCP_SYN,
  tcpAcknowledgmentAt,
  tcpChecksumAt,
  tcpChecksumIsRight,
  tcpDestinationPortAt,
  tcpFlagsAt,
  tcpHeaderLengthAt,
  tcpMssAt,
  tcpOptions,
  tcpSequenceAt,
  tcpSourcePortAt,
  tcpUrgentPointerAt,
  tcpWindowAt,
  writeTcp,
} from "../../../src/dataplane/wire/tcp.js";
import { bytesOf, hexOf, innerOf } from "../../vectors/worked-packets.js";
import { anyIpv4, anyPayload, anyU8, anyU16, anyU32, expectEveryTruncation, patched, written } from "./classics.js";

/** Packet D's inner packet: a SYN with MSS, window scale and SACK permitted. */
const SYN = innerOf("d").slice(14);
/** Scapy: PSH ACK ECE CWR, urgent pointer 7, timestamps, "abc". */
const DATA = bytesOf(`4500 0037 0001 0000 4006 66b5 0a00 0005 0a00 0007
  c002 01bb 0102 0304 fffe fdfc 80d8 0200 d7ba 0007 0101 080a 0000 0001 0000 0002 6162 63`);

describe("TCP", () => {
  it("reads packet D's SYN", () => {
    expect(checkTcp(SYN, 20, 52)).toBe(Reason.NONE);
    expect([tcpSourcePortAt(SYN, 20), tcpDestinationPortAt(SYN, 20)]).toEqual([49154, 80]);
    expect([tcpSequenceAt(SYN, 20), tcpAcknowledgmentAt(SYN, 20)]).toEqual([0x1122_3344, 0]);
    expect([tcpHeaderLengthAt(SYN, 20), tcpFlagsAt(SYN, 20), tcpWindowAt(SYN, 20)]).toEqual([32, TCP_SYN, 64240]);
    expect(tcpChecksumAt(SYN, 20)).toBe(0x5b99);
    expect(tcpChecksumIsRight(SYN, 0, 20, 52)).toBe(true);
    expect(tcpMssAt(SYN, 20)).toBe(1398);
    const { options, wellFormed } = tcpOptions(SYN, 20);
    expect(options.map(({ kind, length }) => [kind, length])).toEqual([
      [TCP_OPTION_MSS, 4],
      [TCP_OPTION_WINDOW_SCALE, 3],
      [TCP_OPTION_SACK_PERMITTED, 2],
    ]);
    expect(wellFormed).toBe(true);
  });

  it("reads a data segment with all its fields in use", () => {
    expect([tcpSequenceAt(DATA, 20), tcpAcknowledgmentAt(DATA, 20)]).toEqual([0x0102_0304, 0xfffe_fdfc]);
    expect(tcpFlagsAt(DATA, 20)).toBe(TCP_PSH | TCP_ACK | TCP_ECE | TCP_CWR);
    expect(tcpUrgentPointerAt(DATA, 20)).toBe(7);
    expect(tcpOptions(DATA, 20).options).toEqual([{ kind: TCP_OPTION_TIMESTAMPS, at: 42, length: 10 }]);
    expect(tcpMssAt(DATA, 20)).toBeNull();
    expect(tcpChecksumIsRight(DATA, 0, 20, 55)).toBe(true);
    expect(tcpChecksumIsRight(patched(DATA, { 54: 0x64 }), 0, 20, 55)).toBe(false);
    expect(tcpChecksumIsRight(patched(DATA, { 12: 0x0b }), 0, 20, 55)).toBe(false);
  });

  it("writes the data segment's header, and nothing else", () => {
    const fields = {
      sourcePort: 49154,
      destinationPort: 443,
      sequence: 0x0102_0304,
      acknowledgment: 0xfffe_fdfc,
      flags: TCP_PSH | TCP_ACK | TCP_ECE | TCP_CWR,
      window: 512,
      urgentPointer: 7,
      options: bytesOf("0101 080a 0000 0001 0000 0002"),
    };
    const known = hexOf(patched(DATA, { 36: 0, 37: 0 }).slice(20, 52));
    expect(written(32, (frame, at) => writeTcp(frame, at, fields))).toBe(known);
  });

  it("fills the checksum that Scapy computed", () => {
    const copy = patched(DATA, { 36: 0xa5, 37: 0xa5 });
    setTcpChecksum(copy, 0, 20, 55);
    expect(hexOf(copy)).toBe(hexOf(DATA));
  });

  it("refuses every truncation of the header", () => {
    expectEveryTruncation(checkTcp, DATA.slice(20), 32, Reason.INVALID_PACKET);
  });

  it("refuses data offsets below five or behind the end", () => {
    for (const octet of [0x00, 0x10, 0x40, 0x90, 0xf0]) {
      expect(checkTcp(patched(DATA, { 32: octet }), 20, 55)).toBe(Reason.INVALID_PACKET);
    }
    expect(checkTcp(patched(DATA, { 32: 0x50 }), 20, 55)).toBe(Reason.NONE);
  });

  it("lists options up to the one that cannot be", () => {
    const optionsOf = (hex: string) => {
      const header = bytesOf(`0001 0002 0000 0000 0000 0000 6002 2000 0000 0000 ${hex}`);
      const { options, wellFormed } = tcpOptions(header, 0);
      return [options.length, wellFormed, tcpMssAt(header, 0)];
    };
    expect(optionsOf("0204 0576")).toEqual([1, true, 1398]);
    expect(optionsOf("0000 0000")).toEqual([0, true, null]);
    expect(optionsOf("0101 0101")).toEqual([0, true, null]);
    expect(optionsOf("0101 0402")).toEqual([1, true, null]);
    expect(optionsOf("0205 0576")).toEqual([0, false, null]);
    expect(optionsOf("0200 0576")).toEqual([0, false, null]);
    expect(optionsOf("0203 0501")).toEqual([1, true, null]);
    expect(optionsOf("0402 0102")).toEqual([1, false, null]);
  });

  it("reads back what it wrote, checksum right", () => {
    const fields = fc.record({
      sourcePort: anyU16,
      destinationPort: anyU16,
      sequence: anyU32,
      acknowledgment: anyU32,
      flags: anyU8,
      window: anyU16,
      urgentPointer: anyU16,
      options: fc.uint8Array({ maxLength: 40 }),
    });
    fc.assert(
      fc.property(fields, anyPayload, anyIpv4, anyIpv4, (segment, payload, source, destination) => {
        const frame = new Uint8Array(160).fill(0xa5);
        const headerLength = writeTcp(frame, 20, segment);
        const end = 20 + headerLength + payload.length;
        writeIpv4(frame, 0, { source, destination, protocol: PROTOCOL_TCP, ttl: 1, payloadLength: end - 20 });
        frame.set(payload, 20 + headerLength);
        setTcpChecksum(frame, 0, 20, end);
        expect(checkTcp(frame, 20, end)).toBe(Reason.NONE);
        expect(tcpChecksumIsRight(frame, 0, 20, end)).toBe(true);
        expect(tcpHeaderLengthAt(frame, 20)).toBe(headerLength);
        expect({
          sourcePort: tcpSourcePortAt(frame, 20),
          destinationPort: tcpDestinationPortAt(frame, 20),
          sequence: tcpSequenceAt(frame, 20),
          acknowledgment: tcpAcknowledgmentAt(frame, 20),
          flags: tcpFlagsAt(frame, 20),
          window: tcpWindowAt(frame, 20),
          urgentPointer: tcpUrgentPointerAt(frame, 20),
          options: frame.slice(40, 40 + segment.options.length),
        }).toEqual(segment);
      }),
    );
  });
});
