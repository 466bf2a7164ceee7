import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as bytes from "../../../src/dataplane/wire/bytes.js";

const SIZES = [
  ["8", 1, bytes.u8, bytes.setU8],
  ["16", 2, bytes.u16, bytes.setU16],
  ["24", 3, bytes.u24, bytes.setU24],
  ["32", 4, bytes.u32, bytes.setU32],
  ["48", 6, bytes.u48, bytes.setU48],
] as const;

describe("bytes", () => {
  it.each(SIZES)("u%s is big-endian, unsigned, and stays in its octets", (_, length, get, set) => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** (8 * length) - 1 }), fc.nat(4), (value, at) => {
        const buffer = Buffer.alloc(12, 0xa5);
        const expected = Buffer.alloc(12, 0xa5);
        expected.writeUIntBE(value, at, length);
        set(buffer, at, value);
        expect(buffer.equals(expected)).toBe(true);
        expect(get(buffer, at)).toBe(value);
      }),
    );
  });

  it("reads the largest values as positive numbers", () => {
    const ones = new Uint8Array(8).fill(0xff);
    expect(SIZES.map(([, , get]) => get(ones, 1))).toEqual([0xff, 0xffff, 0xff_ffff, 0xffff_ffff, 0xffff_ffff_ffff]);
  });

  it("reads a MAC address", () => {
    expect(bytes.macAt(Uint8Array.of(0, 6, 6, 0, 0, 0, 5), 1)).toBe(0x0606_0000_0005);
  });
});
