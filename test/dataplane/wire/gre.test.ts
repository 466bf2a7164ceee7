import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import type { GreFields } from "../../../src/dataplane/wire/gre.js";
import {
  checkGre,
  greChecksumAt,
  greChecksumIsRight,
  greFlagsAt,
  greHeaderLength,
  greKeyAt,
  greLengthAt,
  greProtocolAt,
  greSequenceAt,
  greVersionAt,
  setGreChecksum,
  writeGre,
} from "../../../src/dataplane/wire/gre.js";
import { bytesOf, hexOf, workedPacket } from "../../vectors/worked-packets.js";
import { anyPayload, anyU16, anyU32, expectEveryTruncation, patched, written } from "./classics.js";

/** Scapy: C, K and S over an empty Ethernet frame; K alone; S alone; C alone over three octets. */
const FULL = bytesOf("b000 6558 c4cc 0000 0013 89a5 0000 0009 0606 0000 0007 0606 0000 0005 9000");
const KEYED = bytesOf("2000 6558 0013 89a5 0606 0000 0007 0606 0000 0005 9000");
const SEQUENCED = bytesOf("1000 0800 dead beef 45");
const SUMMED = bytesOf("8000 0800 31ff 0000 4500 01");
const PLAIN = bytesOf("0000 86dd 60");

const read = (header: Uint8Array, at = 0) => ({
  length: greLengthAt(header, at),
  protocol: greProtocolAt(header, at),
  checksum: greChecksumAt(header, at),
  key: greKeyAt(header, at),
  sequence: greSequenceAt(header, at),
});

describe("GRE", () => {
  it("reads every mix of optional fields", () => {
    expect(read(FULL)).toEqual({ length: 16, protocol: 0x6558, checksum: 0xc4cc, key: 0x001389a5, sequence: 9 });
    expect(read(KEYED)).toEqual({ length: 8, protocol: 0x6558, checksum: null, key: 0x001389a5, sequence: null });
    expect(read(SEQUENCED)).toEqual({ length: 8, protocol: 0x0800, checksum: null, key: null, sequence: 0xdead_beef });
    expect(read(SUMMED)).toEqual({ length: 8, protocol: 0x0800, checksum: 0x31ff, key: null, sequence: null });
    expect(read(PLAIN)).toEqual({ length: 4, protocol: 0x86dd, checksum: null, key: null, sequence: null });
    expect(read(workedPacket("a"), 34)).toMatchObject({ length: 8, key: 0x001389a5 });
  });

  it("verifies the checksum over header and payload, and finds every wrong octet", () => {
    for (const packet of [FULL, SUMMED]) {
      expect(greChecksumIsRight(packet, 0, packet.length)).toBe(true);
      for (let at = 2; at < packet.length; at++) {
        expect(greChecksumIsRight(patched(packet, { [at]: packet[at]! ^ 1 }), 0, packet.length)).toBe(false);
      }
    }
    expect(greChecksumIsRight(KEYED, 0, KEYED.length)).toBe(true);
  });

  it("writes what Scapy wrote, and nothing else", () => {
    const write = (length: number, fields: GreFields) => written(length, (frame, at) => writeGre(frame, at, fields));
    expect(write(8, { protocol: 0x6558, key: 0x001389a5 })).toBe(hexOf(KEYED.slice(0, 8)));
    expect(write(8, { protocol: 0x0800, sequence: 0xdead_beef })).toBe(hexOf(SEQUENCED.slice(0, 8)));
    expect(write(4, { protocol: 0x86dd })).toBe(hexOf(PLAIN.slice(0, 4)));
    const full = { protocol: 0x6558, checksum: true, key: 0x001389a5, sequence: 9 };
    expect(write(16, full)).toBe(hexOf(patched(FULL, { 4: 0, 5: 0 }).slice(0, 16)));
    for (const packet of [FULL, SUMMED]) {
      const copy = patched(packet, { 4: 0xa5, 5: 0xa5 });
      setGreChecksum(copy, 0, copy.length);
      expect(hexOf(copy)).toBe(hexOf(packet));
    }
  });

  it("refuses every truncation of each mix", () => {
    expectEveryTruncation(checkGre, FULL, 16, Reason.RX_GRE_SHORT);
    expectEveryTruncation(checkGre, KEYED, 8, Reason.RX_GRE_SHORT);
    expectEveryTruncation(checkGre, PLAIN, 4, Reason.RX_GRE_SHORT);
  });

  it("refuses other versions, and bits 1, 4 and 5 (RFC 2784 §2.3), but ignores bits 6 to 12", () => {
    const check = (flags: number) => checkGre(patched(FULL, { 0: flags >>> 8, 1: flags & 0xff }), 0, FULL.length);
    for (let version = 1; version < 8; version++) expect(check(0x2000 | version)).toBe(Reason.RX_GRE_VERSION);
    for (const bit of [0x4000, 0x0800, 0x0400]) expect(check(0x2000 | bit)).toBe(Reason.RX_GRE_FLAGS);
    for (const bit of [0x0200, 0x0100, 0x80, 0x40, 0x20, 0x10, 0x08]) expect(check(0x2000 | bit)).toBe(Reason.NONE);
    expect(greVersionAt(bytesOf("3001 880b"), 0)).toBe(1);
  });

  it("counts four octets for each optional field and none for other bits", () => {
    expect([0, 0x8000, 0x2000, 0x1000, 0xb000, 0x4fff].map(greHeaderLength)).toEqual([4, 8, 8, 8, 16, 4]);
  });

  it("reads back what it wrote", () => {
    const fields = fc.record(
      { protocol: anyU16, checksum: fc.constant(true), key: anyU32, sequence: anyU32 },
      { requiredKeys: ["protocol"] },
    );
    fc.assert(
      fc.property(fields, anyPayload, (header, payload) => {
        const frame = new Uint8Array(100).fill(0xa5);
        const length = writeGre(frame, 3, header);
        const end = 3 + length + payload.length;
        frame.set(payload, 3 + length);
        if (header.checksum) setGreChecksum(frame, 3, end);
        expect(checkGre(frame, 3, end)).toBe(Reason.NONE);
        expect(greFlagsAt(frame, 3) & 0x4fff).toBe(0);
        expect(read(frame, 3)).toMatchObject({
          length,
          protocol: header.protocol,
          key: header.key ?? null,
          sequence: header.sequence ?? null,
        });
        expect(greChecksumIsRight(frame, 3, end)).toBe(true);
      }),
    );
  });
});
