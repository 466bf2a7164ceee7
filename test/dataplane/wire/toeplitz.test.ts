import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../src/dataplane/wire/address-text.js";
import { TOEPLITZ_SYMMETRIC_KEY, Toeplitz, writeAddress } from "../../../src/dataplane/wire/index.js";

/** Microsoft's verification suite for RSS: destination, source, addresses only, with ports; then this with the key 6d5a…. */
const SUITE = [
  ["161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178, 0x0a590a59, 0x9fcc9fcc],
  ["65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea, 0x7ba97ba9, 0x60d760d7],
  ["12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a, 0xa55aa55a, 0x3a3e3a3e],
  ["209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f, 0xf8a7f8a7, 0xd26ed26e],
  ["202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2, 0x57545754, 0xf23ef23e],
  ["3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d, 0x867e867e, 0x13eb13eb],
  ["ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf, 0x2def2def, 0x36913691],
  [
    ...(["fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251] as const),
    ...([0x4b61e985, 0x02d1feef, 0xc85ec85e, 0x08090809] as const),
  ],
] as const;

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

  it.each(SUITE)(
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
