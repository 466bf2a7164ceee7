import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reasonName } from "../../../src/dataplane/drop-reasons.js";
import type { FlowId, Vsid } from "../../../src/dataplane/wire/bytes.js";
import { setU16 } from "../../../src/dataplane/wire/bytes.js";
import { etherTypeAt } from "../../../src/dataplane/wire/ethernet.js";
import { greKeyAt, greLengthAt, setGreChecksum } from "../../../src/dataplane/wire/gre.js";
import type { ReceiveMode } from "../../../src/dataplane/wire/nvgre.js";
import {
  checkNvgre,
  checkVsid,
  flowIdAt,
  flowIdOfKey,
  MAX_VSID,
  MIN_VSID,
  makeNvgreKey,
  NVGRE_LENGTH,
  VENDOR_VSID,
  vsidAt,
  vsidOfKey,
  writeNvgre,
} from "../../../src/dataplane/wire/nvgre.js";
import { isTpid } from "../../../src/dataplane/wire/vlan.js";
import { bytesOf, hexOf, INNER_AT, workedPacket } from "../../vectors/worked-packets.js";
import { anyU8, patched, written } from "./classics.js";

/** Packet A from its GRE header on: 8 octets of header, 74 of inner frame. */
const A = workedPacket("a").slice(34);
const vsid = (value: number) => value as Vsid;
const flowId = (value: number) => value as FlowId;

/** Packet A's GRE part with other flags, and optional words inserted before or behind the key. */
function withFlags(flags: number, before = "", behind = ""): Uint8Array {
  const frame = Uint8Array.of(
    ...A.slice(0, 4),
    ...bytesOf(before),
    ...A.slice(4, 8),
    ...bytesOf(behind),
    ...A.slice(8),
  );
  setU16(frame, 0, flags);
  return frame;
}

const verdict = (gre: Uint8Array, mode: ReceiveMode = "strict") => reasonName(checkNvgre(gre, 0, gre.length, mode));

describe("NVGRE", () => {
  it("reads VSID and FlowID of all worked packets", () => {
    const known = {
      a: [5001, 0xa5],
      aVlan: [5001, 0xa5],
      b: [5002, 0x63],
      c: [5001, 0x46],
      d: [5001, 0xbd],
      dVlan: [5001, 0xbd],
      g: [5001, 0xf6],
      e: [5001, 0],
      f: [5001, 0],
    } as const;
    for (const name of Object.keys(known) as (keyof typeof known)[]) {
      const frame = workedPacket(name);
      const at = INNER_AT[name] - NVGRE_LENGTH;
      expect(reasonName(checkNvgre(frame, at, frame.length))).toBe("NONE");
      expect([vsidAt(frame, at), flowIdAt(frame, at)]).toEqual(known[name]);
    }
  });

  it("RFC 7637 §3.2: sends with K set, C and S clear, version 0, protocol 6558, and nothing else", () => {
    const write = (id: number, flow: number) =>
      written(NVGRE_LENGTH, (frame, at) => writeNvgre(frame, at, vsid(id), flowId(flow)));
    expect(write(5001, 0xa5)).toBe(hexOf(A.slice(0, 8)));
    expect(write(5002, 0x63)).toBe(hexOf(workedPacket("b").slice(38, 46)));
    expect(write(MAX_VSID, 0xff)).toBe("20006558fffffeff");
    expect(write(MIN_VSID, 0)).toBe("2000655800100000");
  });

  it("names the reason at every truncation", () => {
    for (let length = 0; length <= A.length; length++) {
      const expected = length < 4 ? "RX_GRE_SHORT" : length < 8 + 14 ? "RX_INNER_SHORT" : "NONE";
      expect(reasonName(checkNvgre(A, 0, length))).toBe(expected);
      expect(verdict(A.slice(0, length))).toBe(expected);
    }
  });

  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(fc.nat(0xff_ffff), anyU8, (id, flow) => {
        const frame = new Uint8Array(40).fill(0xa5);
        writeNvgre(frame, 1, vsid(id), flowId(flow));
        expect(reasonName(checkNvgre(frame, 1, 40))).toBe("NONE");
        expect([vsidAt(frame, 1), flowIdAt(frame, 1)]).toEqual([id, flow]);
        const key = makeNvgreKey(vsid(id), flowId(flow));
        expect(key).toBe(greKeyAt(frame, 1));
        expect([vsidOfKey(key), flowIdOfKey(key)]).toEqual([id, flow]);
      }),
    );
  });
});

describe("NVGRE that cannot be, made from packet A", () => {
  it("N1: no key", () => {
    const noKey = Uint8Array.of(0, 0, 0x65, 0x58, ...A.slice(8));
    expect(verdict(noKey)).toBe("RX_GRE_NO_KEY");
    expect(verdict(noKey, "lenient")).toBe("RX_GRE_NO_KEY");
  });

  it("N2: a sequence number, which only the lenient receiver takes", () => {
    const sequenced = withFlags(0x3000, "", "0000 0001");
    expect(verdict(sequenced)).toBe("RX_GRE_FLAGS");
    expect(verdict(sequenced, "lenient")).toBe("NONE");
    expect(greLengthAt(sequenced, 0)).toBe(12);
    expect(vsidOfKey(greKeyAt(sequenced, 0)!)).toBe(5001);
  });

  it("N3: a checksum, which only the lenient receiver takes, if it is right", () => {
    const summed = withFlags(0xa000, "0000 0000");
    setGreChecksum(summed, 0, summed.length);
    expect(verdict(summed)).toBe("RX_GRE_FLAGS");
    expect(verdict(summed, "lenient")).toBe("NONE");
    expect(vsidOfKey(greKeyAt(summed, 0)!)).toBe(5001);
    expect(flowIdOfKey(greKeyAt(summed, 0)!)).toBe(0xa5);
    const last = summed.length - 1;
    expect(verdict(patched(summed, { [last]: summed[last]! ^ 1 }), "lenient")).toBe("RX_GRE_CSUM");
    expect(verdict(patched(summed, { 5: summed[5]! ^ 1 }), "lenient")).toBe("RX_GRE_CSUM");
  });

  it("N3: a lenient receiver does not read optional words that are not there", () => {
    const both = withFlags(0xb000, "0000 0000", "0000 0001");
    for (let length = 4; length < 16; length++) {
      expect(verdict(both.slice(0, length), "lenient")).toBe("RX_INNER_SHORT");
    }
  });

  it("N4: the routing bit", () => {
    expect(verdict(withFlags(0x6000))).toBe("RX_GRE_FLAGS");
    expect(verdict(withFlags(0x6000), "lenient")).toBe("RX_GRE_FLAGS");
  });

  it("N5: another version is not ours, whatever else is wrong", () => {
    for (let version = 1; version < 8; version++) expect(verdict(withFlags(0x2000 | version))).toBe("RX_GRE_VERSION");
    expect(verdict(patched(withFlags(0x6001), { 2: 0x88, 3: 0x0b }))).toBe("RX_GRE_VERSION");
  });

  it("N6: another protocol is not ours, whatever the flags", () => {
    for (const [high, low] of [
      [0x08, 0x00],
      [0x86, 0xdd],
      [0x88, 0xbe],
      [0x65, 0x59],
      [0x00, 0x00],
    ] as const) {
      expect(verdict(patched(A, { 2: high, 3: low }))).toBe("RX_GRE_PROTO");
      expect(verdict(patched(withFlags(0x4000), { 2: high, 3: low }))).toBe("RX_GRE_PROTO");
    }
  });

  it("N7, N8, N9: the ends of the VSID's range (RFC 7637 §3.4)", () => {
    const range = [0, 0x000fff, 0x001000, 0xfffffe, 0xffffff].map((value) => reasonName(checkVsid(vsid(value))));
    expect(range).toEqual(["RX_VSID_RESERVED", "RX_VSID_RESERVED", "NONE", "NONE", "RX_VSID_VENDOR"]);
    expect([MIN_VSID, MAX_VSID, VENDOR_VSID]).toEqual([4096, 16_777_214, 16_777_215]);
    for (const [id, reason] of [
      ["000fff", "RX_VSID_RESERVED"],
      ["ffffff", "RX_VSID_VENDOR"],
      ["001000", "NONE"],
    ] as const) {
      const frame = A.slice();
      frame.set(bytesOf(id), 4);
      expect(verdict(frame)).toBe("NONE");
      expect(reasonName(checkVsid(vsidAt(frame, 0)))).toBe(reason);
    }
  });

  it("N10: an inner tag is seen behind the header", () => {
    const tagged = Uint8Array.of(...A.slice(0, 20), ...bytesOf("8100 0005"), ...A.slice(20));
    expect(verdict(tagged)).toBe("NONE");
    expect(isTpid(etherTypeAt(tagged, NVGRE_LENGTH))).toBe(true);
    expect(isTpid(etherTypeAt(A, NVGRE_LENGTH))).toBe(false);
  });

  it("N15: an inner frame of an Ethernet header alone is whole", () => {
    expect(verdict(A.slice(0, 8 + 14))).toBe("NONE");
  });

  it("N17: any FlowID", () => {
    for (let flow = 0; flow < 256; flow++) expect(verdict(patched(A, { 7: flow }))).toBe("NONE");
  });

  it("N18: reserved bits 6 to 12 are ignored (RFC 2784 §2.3)", () => {
    for (const bit of [0x08, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200])
      expect(verdict(withFlags(0x2000 | bit))).toBe("NONE");
  });

  it("N19: reserved bits 4 and 5 are not", () => {
    expect(verdict(withFlags(0x2800))).toBe("RX_GRE_FLAGS");
    expect(verdict(withFlags(0x2400))).toBe("RX_GRE_FLAGS");
  });

  it("judges flags before the key, so that a routing bit without key is a matter of flags", () => {
    expect(verdict(withFlags(0x4000))).toBe("RX_GRE_FLAGS");
  });
});
