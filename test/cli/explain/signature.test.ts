/** What makes two frames take one path: header octets that a policy can look at, and none that change from packet to packet. */
import { expect, it } from "vitest";
import { signatureOf, withEnd } from "../../../src/cli/explain/signature.js";
import { innerOf, workedPacket } from "../../vectors/worked-packets.js";

const of = (frame: Uint8Array, port = 0): number => signatureOf(frame, 0, frame.length, port);
/** The frame with one octet changed. */
function changed(frame: Uint8Array, at: number, by = 1): Uint8Array {
  const copy = Uint8Array.from(frame);
  copy[at] = copy[at]! ^ by;
  return copy;
}

/** Offsets in an untagged frame of IPv4 and ICMP, and behind it with 42 octets of NVGRE over IPv4. */
const COUNTS = [0, 5, 6, 11, 12, 15, 20, 23, 26, 29, 30, 33, 34, 35];
const DOES_NOT_COUNT = [17, 18, 19, 24, 25, 36, 37, 41];

it.each(COUNTS)("octet %i of ICMP in IPv4 counts", (at) => {
  expect(of(changed(innerOf("a"), at, at === 12 ? 0x40 : 1))).not.toBe(of(innerOf("a")));
});
it.each(DOES_NOT_COUNT)("octet %i, a length, identification or checksum, does not", (at) => {
  expect(of(changed(innerOf("a"), at))).toBe(of(innerOf("a")));
});
it.each(COUNTS)("octet %i within NVGRE counts as it does outside", (at) => {
  const wire = workedPacket("a");
  expect(of(changed(wire, 42 + at, at === 12 ? 0x40 : 1))).not.toBe(of(wire));
});
it.each(DOES_NOT_COUNT)("octet %i within NVGRE does not, as outside", (at) => {
  const wire = workedPacket("a");
  expect(of(changed(wire, 42 + at))).toBe(of(wire));
});

it("ports of UDP and TCP count", () => {
  for (const protocol of [6, 17]) {
    const frame = Uint8Array.from(innerOf("a"));
    frame[23] = protocol;
    for (const at of [34, 35, 36, 37]) expect(of(changed(frame, at))).not.toBe(of(frame));
    expect(of(changed(frame, 38))).toBe(of(frame));
  }
});

it("RFC 7637 §3.2: the VSID counts, the FlowID does not", () => {
  const wire = workedPacket("a");
  for (const at of [38, 39, 40]) expect(of(changed(wire, at))).not.toBe(of(wire));
  expect(of(changed(wire, 41))).toBe(of(wire));
});

it("TTL counts at 0 and 1 only, where a router drops", () => {
  const withTtl = (ttl: number): Uint8Array => {
    const copy = Uint8Array.from(innerOf("a"));
    copy[22] = ttl;
    return copy;
  };
  expect(of(withTtl(64))).toBe(of(withTtl(2)));
  expect(new Set([0, 1, 2].map((ttl) => of(withTtl(ttl)))).size).toBe(3);
});

it("where a frame enters and how it ends count", () => {
  expect(of(innerOf("a"), 1)).not.toBe(of(innerOf("a"), 0));
  expect(withEnd(of(innerOf("a")), 1)).not.toBe(withEnd(of(innerOf("a")), 2));
});

it("every cut of a frame has a signature of its octets alone, and never looks behind its end", () => {
  for (const frame of [innerOf("a"), workedPacket("a"), workedPacket("d")]) {
    for (let length = 0; length <= frame.length; length++) {
      const loud = Uint8Array.from(frame).fill(0xa5, length);
      expect(signatureOf(loud, 0, length, 0)).toBe(signatureOf(frame, 0, length, 0));
      expect(Number.isSafeInteger(signatureOf(frame, 0, length, 0))).toBe(true);
    }
  }
});

it("a million flows, a million signatures", () => {
  const frame = Uint8Array.from(innerOf("a"));
  const seen = new Set<number>();
  for (let flow = 0; flow < 1_000_000; flow++) {
    frame[31] = flow >>> 16;
    frame[34] = flow >>> 8;
    frame[35] = flow;
    seen.add(of(frame));
  }
  expect(seen.size).toBe(1_000_000);
});
