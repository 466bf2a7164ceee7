import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../src/dataplane/wire/address-text.js";
import { TOEPLITZ_SYMMETRIC_KEY, Toeplitz, writeAddress } from "../../../src/dataplane/wire/index.js";
import { RSS_SUITE } from "../../vectors/rss-suite.js";

/** An IP header at 14 with nothing but its addresses, and ports at 60. */
function packet(source: string, sourcePort: number, destination: string, destinationPort: number) {
  const bytes = new Uint8Array(64);
  const from = parseAddress(source)!;
  const addresses = from.family === 4 ? 14 + 12 : 14 + 8;
  writeAddress(bytes, addresses, from);
  writeAddress(bytes, addresses + (from.family === 4 ? 4 : 16), parseAddress(destination)!);
  new DataView(bytes.buffer).setUint16(60, sourcePort);
  new DataView(bytes.buffer).setUint16(62, destinationPort);
  return { bytes, family: from.family };
}

describe("the Toeplitz hash", () => {
  const normal = new Toeplitz();
  const symmetric = new Toeplitz(TOEPLITZ_SYMMETRIC_KEY);

  it.each(RSS_SUITE)(
    "has the published values, %s :%i from %s",
    (to, toPort, from, fromPort, bare, full, bareSym, fullSym) => {
      const { bytes, family } = packet(from, fromPort, to, toPort);
      expect(normal.hashIp(bytes, family, 14, -1)).toBe(bare);
      expect(normal.hashIp(bytes, family, 14, 60)).toBe(full);
      expect(symmetric.hashIp(bytes, family, 14, -1)).toBe(bareSym);
      expect(symmetric.hashIp(bytes, family, 14, 60)).toBe(fullSym);
      const back = packet(to, toPort, from, fromPort);
      expect(symmetric.hashIp(back.bytes, family, 14, 60)).toBe(fullSym);
    },
  );

  it("of single bits is a window of the key, up to its last bit", () => {
    const input = new Uint8Array(36);
    expect(normal.hash(input, 0, 36)).toBe(0);
    input[0] = 0x80;
    expect(normal.hash(input, 0, 12)).toBe(0x6d5a56da);
    input[0] = 0;
    input[35] = 1;
    expect(normal.hash(input, 0, 36)).toBe(0xdf5600fd);
    expect(normal.hash(new Uint8Array(36).fill(0xff), 0, 36)).toBe(0xb15232e0);
    expect(normal.hash(new Uint8Array(12).fill(0xff), 0, 12)).toBe(0xe5a8b726);
  });

  it("refuses keys of any other length than 40", () => {
    expect(() => new Toeplitz(new Uint8Array(39))).toThrow(RangeError);
  });
});
