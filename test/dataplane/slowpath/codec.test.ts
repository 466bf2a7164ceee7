/** The nodes behind hnv encap and hnv decap. The worked packets are in worked-packets.test.ts. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decapNode, type EncapOptions, encapNode } from "../../../src/dataplane/slowpath/index.js";
import { hexOf, innerOf, workedPacket } from "../../vectors/worked-packets.js";
import {
  carryOut,
  decideWith,
  ip,
  ipFrame,
  MACS,
  mac,
  macOctets,
  node,
  outputOf,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  port,
  repairIpv4,
  splice,
  verdictName,
  vsid,
} from "./fixture.js";

const IN = port(1);
const OUT = port(2);
const tunnel: EncapOptions = {
  output: OUT,
  vsid: vsid(5001),
  source: ip(PA1),
  destination: ip(PA2),
  ethernet: { destination: mac(MACS.nic2), source: mac(MACS.nic1), tag: null },
};
const decap = decapNode("decap", { outputOf: () => OUT });
const encapDecision = (frame: Uint8Array, more: Partial<EncapOptions> = {}) =>
  decideWith(encapNode("encap", { ...tunnel, ...more }), node(1), frame, IN);
const encapped = (frame: Uint8Array, more: Partial<EncapOptions> = {}): Uint8Array =>
  carryOut(outputOf(encapDecision(frame, more)), frame);
const decapDecision = (frame: Uint8Array, of = decap) => decideWith(of, node(1), frame, IN);
const decapped = (frame: Uint8Array): Uint8Array => carryOut(outputOf(decapDecision(frame)), frame);

const blue = ipFrame({ destination: MACS.blue2, source: MACS.blue1, from: "10.0.0.5", to: "10.0.0.7" });
const isTagged = (frame: Uint8Array): boolean => ["8100", "88a8", "9100"].includes(hexOf(frame.subarray(12, 14)));

describe("encap", () => {
  it("decap(encap(x)) = x for every untagged frame of 14 octets and more", () => {
    const ofAnyKind = fc
      .tuple(
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        fc.constantFrom([8, 0], [0x86, 0xdd], [8, 6], [0x88, 0xcc], [0, 0x26], [0x88, 0x47]),
        fc.uint8Array({ maxLength: 200 }),
      )
      .map(([macs, type, rest]) => Uint8Array.from([...macs, ...type, ...rest]));
    const options = fc.record({
      ecn: fc.constantFrom("normal" as const, "compat" as const, "linux" as const),
      dscp: fc.constantFrom({ model: "uniform" as const }, { model: "pipe" as const, value: 46 }),
      flowId: fc.constantFrom("hash" as const, "zero" as const),
    });
    fc.assert(
      fc.property(fc.oneof(ofAnyKind, fc.uint8Array({ minLength: 14, maxLength: 100 })), options, (frame, more) => {
        fc.pre(!isTagged(frame));
        expect(hexOf(decapped(encapped(frame, more)))).toBe(hexOf(frame));
        const v6 = { source: ip(PA1_V6), destination: ip(PA2_V6) };
        expect(hexOf(decapped(encapped(frame, { ...more, ...v6 })))).toBe(hexOf(frame));
      }),
      { numRuns: 300 },
    );
  });

  it("takes IP with any class, and gives it back", () => {
    for (let trafficClass = 0; trafficClass < 256; trafficClass += 5) {
      const frame = ipFrame({ destination: MACS.blue2, source: MACS.blue1, from: "::5", to: "::7", trafficClass });
      expect(hexOf(decapped(encapped(frame)))).toBe(hexOf(frame));
    }
  });

  it("RFC 7637 §3.3: refuses tags by default", () => {
    for (const octets of [
      [0x81, 0x00, 0x00, 0x00],
      [0x88, 0xa8, 0x00, 0x05],
      [0x91, 0x00, 0x00, 0x05],
    ]) {
      expect(verdictName(encapDecision(splice(blue, 12, octets, 0)))).toBe("TX_INNER_VLAN");
    }
  });

  it("takes one 802.1Q tag off on request, no other and no second", () => {
    const tagged = splice(blue, 12, [0x81, 0x00, 0xa0, 0x05], 0);
    expect(hexOf(encapped(tagged, { tagged: "strip" }))).toBe(hexOf(encapped(blue)));
    expect(verdictName(encapDecision(splice(tagged, 12, [0x81, 0, 0, 7], 0), { tagged: "strip" }))).toBe(
      "TX_INNER_VLAN",
    );
    expect(verdictName(encapDecision(splice(blue, 12, [0x88, 0xa8, 0, 7], 0), { tagged: "strip" }))).toBe(
      "TX_INNER_VLAN",
    );
  });

  it("frames shorter than their Ethernet header are refused", () => {
    expect(verdictName(encapDecision(blue.subarray(0, 13)))).toBe("INVALID_PACKET");
    expect(encapped(blue.subarray(0, 14)).length).toBe(56);
  });

  it("TTL, DSCP, tag and MACs as told", () => {
    const frame = encapped(blue, { ttl: 7, dscp: { model: "pipe", value: 46 }, ecn: "compat" });
    expect([frame[15], frame[22]]).toEqual([0xb8, 7]);
  });

  it("RFC 7637 §4.4: what does not fit the MTU is dropped; without one only what IP can not count", () => {
    const frame = (length: number): Uint8Array => new Uint8Array(14 + length);
    expect(verdictName(encapDecision(frame(1458), { mtu: 1500 }))).toBe("forward");
    const tooBig = encapDecision(frame(1459), { mtu: 1500 });
    expect([verdictName(tooBig), tooBig.cacheable]).toEqual(["TX_TOO_BIG", false]);
    expect(encapped(frame(65_535 - 42)).length).toBe(65_535 + 14);
    expect(verdictName(encapDecision(frame(65_535 - 41)))).toBe("TX_TOO_BIG");
    const v6 = { source: ip(PA1_V6), destination: ip(PA2_V6) };
    expect(encapped(frame(65_535 - 22), v6).length).toBe(65_535 + 54);
    expect(verdictName(encapDecision(frame(65_535 - 21), v6))).toBe("TX_TOO_BIG");
  });

  it("malformed IP is not cached: its entropy is not that of its flow key", () => {
    expect(encapDecision(splice(blue, 14, [0x55])).cacheable).toBe(false);
    expect(encapDecision(blue).cacheable).toBe(true);
  });
});

describe("decap", () => {
  it("needs no address of its own, no VLAN, no known VSID, no foreign source", () => {
    for (const name of ["a", "aVlan", "b", "c", "d", "dVlan", "g", "e", "f"] as const) {
      expect(hexOf(decapped(workedPacket(name)))).toBe(hexOf(innerOf(name)));
    }
    const own = workedPacket("a");
    own.set([192, 168, 4, 22], 0x1a);
    expect(verdictName(decapDecision(repairIpv4(own)))).toBe("forward");
  });

  it("passes what is not NVGRE", () => {
    expect(verdictName(decapDecision(blue))).toBe("pass NONE");
    expect(verdictName(decapDecision(splice(blue, 12, [8, 6])))).toBe("pass NONE");
    expect(verdictName(decapDecision(splice(workedPacket("a"), 0x24, [8, 0])))).toBe("pass RX_GRE_PROTO");
    expect(verdictName(decapDecision(splice(workedPacket("a"), 0x22, [0x20, 1])))).toBe("pass RX_GRE_VERSION");
  });

  it.each([
    ["row 1", workedPacket("a").subarray(0, 13), "RX_ETH_SHORT"],
    ["row 4", splice(workedPacket("a"), 14, [0x44]), "RX_IP_MALFORMED"],
    ["row 5", splice(workedPacket("a"), 0x18, [0x57]), "RX_IP_CSUM"],
    ["row 10", repairIpv4(splice(workedPacket("a"), 0x14, [0x20])), "RX_OUTER_FRAGMENT"],
    ["row 14", splice(workedPacket("a"), 0x22, [0x60]), "RX_GRE_FLAGS"],
    ["row 15", splice(workedPacket("a"), 0x22, [0x00]), "RX_GRE_NO_KEY"],
    ["row 18", repairIpv4(workedPacket("a").slice(0, 55)), "RX_INNER_SHORT"],
    ["row 19", splice(workedPacket("a"), 0x26, [0, 0x0f, 0xff]), "RX_VSID_RESERVED"],
    ["row 20", splice(workedPacket("a"), 0x26, [0xff, 0xff, 0xff]), "RX_VSID_VENDOR"],
    ["row 22", splice(workedPacket("a"), 0x36, [0x81, 0x00]), "RX_INNER_VLAN"],
    ["row 29", repairIpv4(splice(workedPacket("a"), 0x0f, [3])), "RX_ECN"],
  ])("%s of the receive checklist", (_title, frame, expected) => {
    expect(verdictName(decapDecision(frame))).toBe(expected);
  });

  it("gives back any inner frame: group sources, unknown EtherTypes, broken IP", () => {
    for (const inner of [
      splice(blue, 6, macOctets("FF-FF-FF-FF-FF-FF")),
      splice(blue, 12, [0x88, 0xcc]),
      splice(blue, 14, [0x99]),
    ]) {
      expect(hexOf(decapped(encapped(inner)))).toBe(hexOf(inner));
    }
  });

  it("sorts by VSID, and passes the VSIDs that nobody asked for", () => {
    const sorted = decapNode("decap", { outputOf: (of) => (of === 5001 ? port(51) : undefined) });
    expect(outputOf(decapDecision(workedPacket("a"), sorted)).output).toBe(51);
    expect(verdictName(decapDecision(workedPacket("b"), sorted))).toBe("pass NONE");
  });

  it("lenient receive is an option", () => {
    const sequence = splice(workedPacket("a"), 0x2a, [0, 0, 0, 1], 0);
    sequence[0x22] = 0x30;
    repairIpv4(sequence);
    expect(verdictName(decapDecision(sequence))).toBe("RX_GRE_FLAGS");
    const lenient = decapNode("decap", { outputOf: () => OUT, receive: "lenient" });
    expect(hexOf(carryOut(outputOf(decapDecision(sequence, lenient)), sequence))).toBe(hexOf(innerOf("a")));
  });
});
