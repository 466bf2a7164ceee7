/** Fragments, put together again by others: Scapy's `defragment` and tshark's reassembly. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fragmentIpv4, fragmentIpv6 } from "../../../src/dataplane/wire/fragmentation.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";
import { bytesOf, hexOf } from "../../vectors/worked-packets.js";

const LINK = "0606 0000 0007 0606 0000 0005 0800";
/** 10.0.0.5 to 10.0.0.7, UDP in `data` octets, identification 0x1234; `flags` with the offset in units of eight. */
function packet(data: number, { flags = 0, options = [] as readonly number[] } = {}): Uint8Array {
  const header = 20 + options.length;
  const length = header + data;
  const word = (value: number): number[] => [value >>> 8, value & 0xff];
  const start = [0x40 | (header / 4), 0x28, ...word(length), 0x12, 0x34, ...word(flags), 64, 17, 0, 0];
  const frame = [...bytesOf(LINK), ...start, 10, 0, 0, 5, 10, 0, 0, 7, ...options];
  return Uint8Array.from([...frame, ...Array.from({ length: data }, (_, at) => (at * 7 + (at >>> 8)) & 0xff)]);
}

/** What RFC 791 lets a fragment differ in; read octet by octet. */
const shape = (frame: Uint8Array) => ({
  length: frame[16]! * 256 + frame[17]!,
  offset: ((frame[20]! & 0x1f) * 256 + frame[21]!) * 8,
  more: (frame[20]! & 0x20) !== 0,
  header: (frame[14]! & 15) * 4,
});
const dataOf = (frame: Uint8Array): Uint8Array => frame.subarray(14 + shape(frame).header);

describe("IPv4, RFC 791 §3.2", () => {
  it("a packet that fits goes whole, without its padding", () => {
    const whole = packet(100);
    expect(fragmentIpv4(Uint8Array.from([...whole, 0, 0, 0]), 14, 120).map(hexOf)).toEqual([hexOf(whole)]);
  });

  it("all but the last piece hold a multiple of eight octets, as many as fit", () => {
    const [first, last, ...others] = fragmentIpv4(packet(1480), 14, 1458);
    expect(others).toEqual([]);
    expect(shape(first!)).toEqual({ length: 20 + 1432, offset: 0, more: true, header: 20 });
    expect(shape(last!)).toEqual({ length: 20 + 48, offset: 1432, more: false, header: 20 });
    expect(hexOf(last!.subarray(0, 14))).toBe(hexOf(bytesOf(LINK)));
    expect([last![18], last![19]]).toEqual([0x12, 0x34]);
  });

  it("a fragment is cut further: offsets go on from its own, and its last piece has its MF", () => {
    const pieces = fragmentIpv4(packet(160, { flags: 0x2000 | 50 }), 14, 20 + 64);
    expect(pieces.map(shape)).toEqual([
      { length: 84, offset: 400, more: true, header: 20 },
      { length: 84, offset: 464, more: true, header: 20 },
      { length: 52, offset: 528, more: true, header: 20 },
    ]);
    const end = fragmentIpv4(packet(100, { flags: 50 }), 14, 20 + 64);
    expect(end.map(shape).map(({ more }) => more)).toEqual([true, false]);
  });

  it("options with the copied flag stand in every fragment, the others in the first", () => {
    // Record route (7), no-operation, router alert (148, copied), end of options.
    const options = [7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0];
    const pieces = fragmentIpv4(packet(200, { options }), 14, 132);
    expect(pieces.map(shape)).toEqual([
      { length: 32 + 96, offset: 0, more: true, header: 32 },
      { length: 24 + 104, offset: 96, more: false, header: 24 },
    ]);
    expect([...pieces[0]!.subarray(34, 46)]).toEqual(options);
    expect([...pieces[1]!.subarray(34, 38)]).toEqual([148, 4, 0, 0]);
  });

  it.each([
    ["options that run out of the header", packet(200, { options: [7, 40, 4, 0] }), 100],
    ["an MTU without room for eight octets", packet(200), 27],
    ["a fragment that reaches beyond the last offset there is", packet(200, { flags: 0x1fff }), 84],
  ])("%s: no fragments", (_, frame, mtu) => {
    expect(fragmentIpv4(frame, 14, mtu)).toEqual([]);
  });

  it("no piece is longer than the MTU, and together they are the packet", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: 68, max: 2000 }), (data, mtu) => {
        const whole = packet(data);
        const pieces = fragmentIpv4(whole, 14, mtu);
        for (const piece of pieces) expect(piece.length - 14).toBeLessThanOrEqual(mtu);
        expect(Buffer.concat(pieces.map(dataOf))).toEqual(Buffer.from(dataOf(whole)));
      }),
    );
  });

  it.runIf(isScapyAvailable())("Scapy puts fragments of fragments together again", () => {
    const [whole] = scapyFrames(
      "emit(Ether(dst='06:06:00:00:00:07',src='06:06:00:00:00:05')/IP(src='10.0.0.5',dst='10.0.0.7',id=7)" +
        "/UDP(sport=4000,dport=5000)/Raw(bytes(i*7%256 for i in range(3000))))",
    );
    const pieces = fragmentIpv4(whole!, 14, 1458).flatMap((piece) => fragmentIpv4(piece, 14, 576));
    expect(pieces.length).toBeGreaterThan(5);
    const hex = pieces.map((piece) => `'${hexOf(piece).replaceAll(" ", "")}'`).join(",");
    const [joined, ...others] = scapyFrames(
      `for p in defragment([Ether(bytes.fromhex(h)) for h in [${hex}]]): emit(p)`,
    );
    expect(others).toEqual([]);
    expect(Buffer.from(joined!)).toEqual(Buffer.from(whole!));
  });

  it.runIf(isTsharkAvailable())("tshark finds every header checksum right and reassembles", () => {
    const pieces = fragmentIpv4(packet(3000), 14, 1000);
    const fields = tsharkFields(pieces, ["ip.checksum.status", "ip.fragment.count", "ip.reassembled.length"]);
    expect(fields.map((frame) => frame["ip.checksum.status"])).toEqual(pieces.map(() => ["1"]));
    expect(fields.at(-1)).toMatchObject({ "ip.fragment.count": ["4"], "ip.reassembled.length": ["3000"] });
  });
});

describe("IPv6, RFC 8200 §4.5", () => {
  it("a packet that fits goes whole", () => {
    const frame = Uint8Array.from([
      ...bytesOf("0606 0000 0007 0606 0000 0005 86dd"),
      ...bytesOf("6000 0000 0008 2f40"),
    ]);
    const whole = Uint8Array.from([...frame, ...new Uint8Array(32), ...new Uint8Array(8)]);
    expect(fragmentIpv6(whole, 14, 48, 1).map(hexOf)).toEqual([hexOf(whole)]);
    expect(fragmentIpv6(whole, 14, 47, 1)).toEqual([]);
  });

  it.runIf(isScapyAvailable())("Scapy puts the fragments together again", () => {
    const [whole] = scapyFrames(
      "emit(Ether(dst='06:06:00:00:00:07',src='06:06:00:00:00:05')/IPv6(src='2001:db8:4::11',dst='2001:db8:4::22',hlim=128,tc=0xb8)" +
        "/UDP(sport=4000,dport=5000)/Raw(bytes(i*7%256 for i in range(3000))))",
    );
    const pieces = fragmentIpv6(whole!, 14, 1438, 0xdeadbeef);
    expect(pieces.map((piece) => piece.length - 14)).toEqual([1432, 1432, 288]);
    const hex = pieces.map((piece) => `'${hexOf(piece).replaceAll(" ", "")}'`).join(",");
    const statements = `parts = [Ether(bytes.fromhex(h))[IPv6] for h in [${hex}]]
assert all(p[IPv6ExtHdrFragment].id == 0xdeadbeef for p in parts)
emit(Ether(dst='06:06:00:00:00:07',src='06:06:00:00:00:05')/IPv6(bytes(defragment6(parts))))`;
    const [joined] = scapyFrames(statements);
    expect(Buffer.from(joined!)).toEqual(Buffer.from(whole!));
  });
});
