/** Fragments from Scapy, put together here; and what is refused, limit by limit. */
import { describe, expect, it } from "vitest";
import {
  type Reassembled,
  Reassembly,
  type ReassemblyLimits,
} from "../../../../src/dataplane/slowpath/nve/reassembly.js";
import { fragmentIpv4 } from "../../../../src/dataplane/wire/fragmentation.js";
import { hexOf } from "../../../engine/build.js";
import { isScapyAvailable, scapyFrames } from "../../../oracles/scapy.js";
import { ipFrame, MACS, PA1, PA2, repairIpv4 } from "../fixture.js";

const LIMITS: ReassemblyLimits = { contexts: 3, bytes: 10_000, timeoutMs: 60_000 };

/** An outer packet of this many octets of data, with an identification. */
function packet(data: number, identification = 1, trafficClass = 0): Uint8Array {
  const payload = Uint8Array.from({ length: data }, (_, at) => (at * 11) & 0xff);
  const frame = ipFrame({
    destination: MACS.nic2,
    source: MACS.nic1,
    from: PA1,
    to: PA2,
    protocol: 47,
    payload,
    trafficClass,
  });
  frame[18] = identification >>> 8;
  frame[19] = identification & 0xff;
  return repairIpv4(frame);
}
const fragments = (data: number, mtu = 500, identification = 1): Uint8Array[] =>
  fragmentIpv4(packet(data, identification), 14, mtu);

/** What came of each; the last one in full. */
function addAll(reassembly: Reassembly, pieces: readonly Uint8Array[], nowMs = 0): Reassembled {
  let result: Reassembled = { kind: "waiting" };
  for (const piece of pieces) result = reassembly.add(piece, nowMs);
  return result;
}
const wholeOf = (result: Reassembled): string =>
  result.kind === "whole" ? hexOf(result.frame) : JSON.stringify(result);

describe.runIf(isScapyAvailable())("what Scapy has cut", () => {
  it("is whole again, whatever the order and the tag", () => {
    const link = "Ether(dst='02:00:c0:a8:04:16',src='02:00:c0:a8:04:0b')/Dot1Q(vlan=103)";
    const pieces =
      scapyFrames(`p=${link}/IP(src='${PA1}',dst='${PA2}',proto=47,id=77)/Raw(bytes(i*3%256 for i in range(3000)))
emit(p)
for f in fragment(p, fragsize=800): emit(f)`);
    const [whole, ...cut] = pieces;
    expect(cut.length).toBeGreaterThan(3);
    for (const order of [cut, cut.toReversed(), [cut[1]!, cut[3]!, cut[0]!, cut[2]!]]) {
      const reassembly = new Reassembly(LIMITS);
      const result = addAll(reassembly, order);
      expect(wholeOf(result)).toBe(hexOf(whole!));
      expect([reassembly.contexts, reassembly.bytes]).toEqual([0, 0]);
    }
  });

  it("over IPv6 too", () => {
    const pieces = scapyFrames(`e=Ether(dst='02:00:c0:a8:04:16',src='02:00:c0:a8:04:0b')
i=IPv6(src='2001:db8:4::11',dst='2001:db8:4::22',hlim=128)
r=Raw(bytes(i*3%256 for i in range(3000)))
emit(e/IPv6(src=i.src,dst=i.dst,hlim=128,nh=47)/r)
for f in fragment6(i/IPv6ExtHdrFragment(id=0xabcdef01,nh=47)/r, 1280): emit(e/f)`);
    const [whole, ...cut] = pieces;
    expect(cut.length).toBe(3);
    expect(wholeOf(addAll(new Reassembly(LIMITS), cut.toReversed()))).toBe(hexOf(whole!));
  });
});

describe("two packets at a time", () => {
  it("are told apart by their identification", () => {
    const reassembly = new Reassembly(LIMITS);
    const [a, b] = [fragments(900, 500, 1), fragments(900, 500, 2)];
    expect(addAll(reassembly, [a[0]!, b[0]!]).kind).toBe("waiting");
    expect(wholeOf(reassembly.add(b[1]!, 0))).toBe(hexOf(packet(900, 2)));
    expect(wholeOf(reassembly.add(a[1]!, 0))).toBe(hexOf(packet(900, 1)));
  });
});

describe("what is refused", () => {
  it("overlapping fragments end their context, RFC 5722", () => {
    const reassembly = new Reassembly(LIMITS);
    const shifted = fragments(900, 300);
    expect(addAll(reassembly, [fragments(900)[0]!, shifted[1]!])).toEqual({ kind: "refused", why: "overlap" });
    expect([reassembly.contexts, reassembly.bytes]).toEqual([0, 0]);
    expect(addAll(reassembly, [fragments(900)[1]!, fragments(904, 500)[1]!])).toEqual({
      kind: "refused",
      why: "overlap",
    });
  });

  it("the same fragment twice is taken once", () => {
    const pieces = fragments(900);
    expect(wholeOf(addAll(new Reassembly(LIMITS), [pieces[0]!, pieces[0]!, pieces[1]!]))).toBe(hexOf(packet(900)));
  });

  it("data behind the end, and two ends", () => {
    const long = fragments(2000);
    const short = fragments(900);
    expect(addAll(new Reassembly(LIMITS), [short[1]!, long[3]!])).toEqual({ kind: "refused", why: "overlap" });
    expect(addAll(new Reassembly(LIMITS), [long[3]!, short[1]!])).toEqual({ kind: "refused", why: "overlap" });
  });

  it.each([
    ["a middle piece of 7 octets", (frame: Uint8Array) => repairIpv4(frame.slice(0, 34 + 7))],
    ["an empty middle piece", (frame: Uint8Array) => repairIpv4(frame.slice(0, 34))],
    [
      "a piece behind octet 65,535",
      (frame: Uint8Array) => {
        frame[20] = 0x3f;
        frame[21] = 0xff;
        return repairIpv4(frame);
      },
    ],
    [
      "no fragment",
      (frame: Uint8Array) => {
        frame[20] = 0;
        frame[21] = 0;
        return repairIpv4(frame);
      },
    ],
  ])("%s", (_, change) => {
    expect(new Reassembly(LIMITS).add(change(fragments(900)[0]!), 0)).toEqual({ kind: "refused", why: "malformed" });
  });

  it("more octets than a packet has, as the first piece has the longer header", () => {
    const whole = packet(65_515);
    const pieces = fragmentIpv4(whole, 14, 33_000);
    const first = pieces[0]!;
    const withOptions = new Uint8Array(first.length + 40);
    withOptions.set(first.subarray(0, 34));
    withOptions.fill(1, 34, 74); // No-Operation
    withOptions.set(first.subarray(34), 74);
    withOptions[14] = 0x4f;
    const roomy = { ...LIMITS, bytes: 200_000 };
    expect(wholeOf(addAll(new Reassembly(roomy), pieces))).toBe(hexOf(whole));
    const reassembly = new Reassembly(roomy);
    expect(addAll(reassembly, [repairIpv4(withOptions), ...pieces.slice(1)])).toEqual({
      kind: "refused",
      why: "malformed",
    });
    expect([reassembly.contexts, reassembly.bytes]).toEqual([0, 0]);
  });

  it("congestion marked on a packet that does not know it, RFC 3168 §5.3; on one that does, it is kept", () => {
    const marked = (mark: number, rest: number): Reassembled => {
      const [first] = fragmentIpv4(packet(900, 1, mark), 14, 500);
      const [, last] = fragmentIpv4(packet(900, 1, rest), 14, 500);
      return addAll(new Reassembly(LIMITS), [first!, last!]);
    };
    expect(marked(0, 3)).toEqual({ kind: "refused", why: "congestion" });
    expect(wholeOf(marked(2, 3))).toBe(hexOf(packet(900, 1, 3)));
  });
});

describe("limits", () => {
  it("contexts: a fourth packet is refused, further pieces of the three are not", () => {
    const reassembly = new Reassembly(LIMITS);
    const packets = [1, 2, 3, 4].map((identification) => fragments(900, 500, identification));
    const results = packets.map(([first]) => reassembly.add(first!, 0));
    expect(results.slice(0, 3).every(({ kind }) => kind === "waiting")).toBe(true);
    expect(results[3]).toEqual({ kind: "refused", why: "contexts" });
    expect(reassembly.add(packets[2]![1]!, 0).kind).toBe("whole");
    expect(reassembly.counters).toMatchObject({ whole: 1, expired: 0, refused: { contexts: 1, bytes: 0 } });
    expect(reassembly.add(packets[3]![0]!, 0).kind).toBe("waiting");
  });

  it("octets: never more than the limit are kept", () => {
    const reassembly = new Reassembly({ ...LIMITS, bytes: 1000 });
    const [first, second, third] = fragments(1400);
    expect(addAll(reassembly, [first!, second!])).toEqual({ kind: "refused", why: "bytes" });
    expect(third).toBeDefined();
    expect(reassembly.bytes).toBe(first!.length);
    expect(reassembly.refusal(second!)).toBe("bytes");
    expect(reassembly.counters.refused).toMatchObject({ contexts: 0, bytes: 1 });
  });

  it("time: after 60 s a packet is given up, and its late fragment begins anew", () => {
    const reassembly = new Reassembly(LIMITS);
    const [first, last] = fragments(900);
    reassembly.add(first!, 1000);
    expect(reassembly.expire(60_999)).toBe(0);
    expect(reassembly.expire(61_000)).toBe(1);
    expect(reassembly.counters).toMatchObject({ whole: 0, expired: 1 });
    expect([reassembly.contexts, reassembly.bytes]).toEqual([0, 0]);
    expect(reassembly.add(last!, 61_001).kind).toBe("waiting");
  });
});
