import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { setU16, setU32, u16, u32 } from "../../../src/dataplane/wire/bytes.js";
import {
  checksum,
  checksumIsRight,
  checksumSum,
  foldSum,
  pseudoHeaderSumIpv4,
  pseudoHeaderSumIpv6,
  updateChecksum,
  updateChecksum32,
} from "../../../src/dataplane/wire/checksum.js";
import { bytesOf } from "../../vectors/worked-packets.js";
import { anyU16, anyU32 } from "./classics.js";

/** The definition, word by word, in big integers. */
function naive(bytes: Uint8Array, initial = 0): number {
  let sum = BigInt(initial);
  for (let at = 0; at < bytes.length; at += 2) sum += BigInt(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  while (sum >> 16n) sum = (sum & 0xffffn) + (sum >> 16n);
  return Number(sum);
}

describe("checksum", () => {
  it("RFC 1071 §3: the worked example", () => {
    const example = bytesOf("0001 f203 f4f5 f6f7");
    expect(foldSum(checksumSum(example, 0, 8))).toBe(0xddf2);
    expect(checksum(example, 0, 8)).toBe(0x220d);
  });

  it("RFC 1624 §4: the worked example that RFC 1141's method gets wrong", () => {
    expect(updateChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });

  it("equals the definition for every length, odd ones too, from any offset", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(9), anyU16, (bytes, offset, initial) => {
        const buffer = new Uint8Array(bytes.length + offset + 3).fill(0xa5);
        buffer.set(bytes, offset);
        expect(foldSum(checksumSum(buffer, offset, offset + bytes.length, initial))).toBe(naive(bytes, initial));
      }),
    );
  });

  it("does not overflow on the longest packet of the largest octets", () => {
    const bytes = new Uint8Array(65_535).fill(0xff);
    expect(foldSum(checksumSum(bytes, 0, bytes.length, 0x3_ffff))).toBe(naive(bytes, 0x3_ffff));
  });

  it("sums even parts in any order", () => {
    const bytes = bytesOf("0102 0304 0506 0708 09");
    expect(foldSum(checksumSum(bytes, 4, 9, checksumSum(bytes, 0, 4)))).toBe(foldSum(checksumSum(bytes, 0, 9)));
  });

  it("tells right from wrong, for every single wrong octet", () => {
    const header = bytesOf("4500 0066 1a2b 4000 802f 56cc c0a8 040b c0a8 0416");
    expect(checksumIsRight(header, 0, 20)).toBe(true);
    for (let at = 0; at < 20; at++) {
      const wrong = header.slice();
      wrong[at] = wrong[at]! ^ 0x40;
      expect(checksumIsRight(wrong, 0, 20)).toBe(false);
    }
  });

  it("takes pseudo headers of TCP over IPv4 and UDP over IPv6 from the worked packets", () => {
    const tcp = bytesOf(`4500 0034 0003 4000 8006 e6b5 0a00 0005 0a00 0007
      c002 0050 1122 3344 0000 0000 8002 faf0 5b99 0000 0204 0576 0103 0308 0101 0402`);
    expect(checksumIsRight(tcp, 20, 52, pseudoHeaderSumIpv4(tcp, 0, 6, 32))).toBe(true);
    const udp = bytesOf(`6000 0000 000e 1140 fd00 0010 0000 0000 0000 0000 0000 0005
      fd00 0010 0000 0000 0000 0000 0000 0007 c001 1389 000e 5068 484e 562d 4336`);
    expect(checksumIsRight(udp, 40, 54, pseudoHeaderSumIpv6(udp, 0, 17, 14))).toBe(true);
  });

  it("an incremental update verifies like a recomputation, whatever changes", () => {
    const words = fc.array(anyU16, { minLength: 10, maxLength: 10 });
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 9 }), anyU16, anyU32, (values, which, word, long) => {
        const bytes = new Uint8Array(20);
        for (const [index, value] of values.entries()) setU16(bytes, index * 2, value);
        setU16(bytes, 0, 0);
        setU16(bytes, 0, checksum(bytes, 0, 20));
        setU16(bytes, 0, updateChecksum(u16(bytes, 0), u16(bytes, which * 2), word));
        setU16(bytes, which * 2, word);
        expect(checksumIsRight(bytes, 0, 20)).toBe(true);
        setU16(bytes, 0, updateChecksum32(u16(bytes, 0), u32(bytes, 12), long));
        setU32(bytes, 12, long);
        expect(checksumIsRight(bytes, 0, 20)).toBe(true);
      }),
    );
  });
});
