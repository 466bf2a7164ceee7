/** The receive checklist, row by row, and the negative vectors, all made from packet A unless told otherwise. */
import { describe, expect, it } from "vitest";
import type { LookupRecord } from "../../../../src/dataplane/policy/index.js";
import { bytesOf, hexOf, innerOf, workedPacket } from "../../../vectors/worked-packets.js";
import {
  BLUE,
  type Changes,
  type FrameOptions,
  HOST2,
  host2,
  ip,
  ipFrame,
  labRecords,
  labRoutes,
  MACS,
  macOctets,
  NIC,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  providerAddress,
  record,
  repairIpv4,
  route,
  splice,
} from "../fixture.js";

/** Packet A with octets replaced at `at`; lengths and the outer checksum repaired. */
const changed = (at: number, octets: readonly number[], removed = octets.length): Uint8Array =>
  repairIpv4(splice(workedPacket("a"), at, octets, removed));
/** Packet A with any inner frame in it. */
const around = (inner: Uint8Array): Uint8Array => changed(0x2a, Array.from(inner), 74);

const GRE = 0x22;
const strict = host2();
const lenient = host2({ settings: { receive: "lenient" } });

/** GRE with C set: four octets more before the key, and the checksum over all that follows, plus an error on request. */
function withGreChecksum(error = 0): Uint8Array {
  const frame = changed(GRE, [0xa0, 0x00, 0x65, 0x58, 0, 0, 0, 0], 4);
  let sum = 0;
  for (let i = GRE; i < frame.length; i += 2) sum += (frame[i]! << 8) | (frame[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  const checksum = (~sum & 0xffff) ^ error;
  frame[GRE + 4] = checksum >>> 8;
  frame[GRE + 5] = checksum & 0xff;
  return frame;
}

describe("negative vectors", () => {
  const noKey = changed(GRE, [0x00, 0x00, 0x65, 0x58], 8);
  const sequence = changed(GRE, [0x30, 0x00, 0x65, 0x58, 0x00, 0x13, 0x89, 0xa5, 0, 0, 0, 1], 8);
  const checksumWrong = workedPacket("a");
  checksumWrong[0x18] = 0x57;
  const badIp = Uint8Array.from(workedPacket("a").subarray(0, 0x38));

  it.each([
    ["N1: RFC 7637 §3.2: without a key", noKey, "RX_GRE_NO_KEY"],
    ["N2: RFC 7637 §3.2: with a sequence number", sequence, "RX_GRE_FLAGS"],
    ["N3: RFC 7637 §3.2: with a checksum", withGreChecksum(), "RX_GRE_FLAGS"],
    ["N4: RFC 2784 §2.3: routing bit set", changed(GRE, [0x60, 0x00]), "RX_GRE_FLAGS"],
    ["N5: version 1 is left to PPTP", changed(GRE, [0x20, 0x01]), "pass RX_GRE_VERSION"],
    ["N6: GRE with IPv4 inside is left to others", changed(0x24, [0x08, 0x00]), "pass RX_GRE_PROTO"],
    ["N7: RFC 7637 §3.4: reserved VSID 4095", changed(0x26, [0x00, 0x0f, 0xff]), "RX_VSID_RESERVED"],
    ["N8: RFC 7637 §3.4: vendor VSID", changed(0x26, [0xff, 0xff, 0xff]), "RX_VSID_VENDOR"],
    ["N9: VSID 4096, not configured", changed(0x26, [0x00, 0x10, 0x00]), "RX_VSID_UNKNOWN"],
    ["N10: RFC 7637 §3.3: inner 802.1Q tag", changed(0x36, [0x81, 0x00, 0x00, 0x05], 0), "RX_INNER_VLAN"],
    ["N11: outer checksum wrong", checksumWrong, "RX_IP_CSUM"],
    ["N12: RFC 7637 §4.4: fragment", changed(0x14, [0x20]), "RX_OUTER_FRAGMENT"],
    ["N13: RFC 6040 §4.2: CE over Not-ECT", changed(0x0f, [0x03]), "RX_ECN"],
    ["N14: outer source without a record", changed(0x1a, [192, 168, 4, 99]), "RX_SRC_POLICY"],
    ["N15: inner frame of 14 octets that says IPv4", repairIpv4(badIp), "RX_INNER_IP_MALFORMED"],
    [
      "N16: padding behind the outer packet",
      splice(workedPacket("a"), 116, new Array<number>(10).fill(0), 0),
      "forward",
    ],
    ["N17: any FlowID", changed(0x29, [0x00]), "forward"],
    ["N18: RFC 2784 §2.3: bits 6 to 12 are ignored", changed(GRE, [0x20, 0x08]), "forward"],
    ["N19: RFC 2784 §2.3: bit 4 set", changed(GRE, [0x28, 0x00]), "RX_GRE_FLAGS"],
  ])("%s", (_title, frame, expected) => {
    expect(strict.verdict(frame, NIC)).toBe(expected);
  });

  it("N2 lenient: the sequence number is skipped", () => {
    expect(hexOf(lenient.send(sequence, NIC).frame)).toBe(hexOf(innerOf("a")));
  });

  it("N3 lenient: the checksum is verified, packet by packet", () => {
    expect(hexOf(lenient.send(withGreChecksum(), NIC).frame)).toBe(hexOf(innerOf("a")));
    expect(lenient.decide(withGreChecksum(), NIC).cacheable).toBe(false);
    expect(lenient.verdict(withGreChecksum(0x0100), NIC)).toBe("RX_GRE_CSUM");
  });

  it("N1 and N4 lenient: refused all the same", () => {
    expect(lenient.verdict(noKey, NIC)).toBe("RX_GRE_NO_KEY");
    expect(lenient.verdict(changed(GRE, [0x60, 0x00]), NIC)).toBe("RX_GRE_FLAGS");
  });

  it("N16: the inner frame ends where the outer packet ends", () => {
    const padded = splice(workedPacket("a"), 116, new Array<number>(10).fill(0xee), 0);
    expect(hexOf(strict.send(padded, NIC).frame)).toBe(hexOf(innerOf("a")));
  });
});

describe("receive checklist", () => {
  const pa = (more: Parameters<typeof providerAddress>[1]): Changes => ({
    providerAddresses: [providerAddress(PA2, more)],
  });

  it("row 1: a frame of 13 octets", () => {
    expect(strict.verdict(workedPacket("a").subarray(0, 13), NIC)).toBe("RX_ETH_SHORT");
    expect(strict.verdict(workedPacket("aVlan").subarray(0, 17), NIC)).toBe("RX_ETH_SHORT");
  });

  it("row 2: another station's MAC address is passed, the NIC's, a provider address's and broadcast are ours", () => {
    expect(strict.verdict(changed(0, macOctets("02-00-00-00-00-99")), NIC)).toBe("pass NONE");
    expect(strict.verdict(changed(0, macOctets("FF-FF-FF-FF-FF-FF")), NIC)).toBe("forward");
    const own = host2(pa({ macAddress: 0x0200_0000_0099 as never }));
    expect(own.verdict(changed(0, macOctets("02-00-00-00-00-99")), NIC)).toBe("forward");
  });

  it("row 3: not IP, and a second tag, are passed", () => {
    expect(strict.verdict(changed(0x0c, [0x08, 0x06]), NIC)).toBe("pass NONE");
    expect(strict.verdict(splice(workedPacket("aVlan"), 12, [0x81, 0x00, 0x00, 0x01], 0), NIC)).toBe("pass NONE");
  });

  it.each([
    ["version 5", 0x0e, [0x55]],
    ["header length 16", 0x0e, [0x44]],
    ["total length beyond the frame", 0x10, [0x40, 0x00]],
    ["total length within the header", 0x10, [0x00, 0x13]],
  ])("row 4: %s", (_title, at, octets) => {
    expect(strict.verdict(splice(workedPacket("a"), at, octets), NIC)).toBe("RX_IP_MALFORMED");
    expect(strict.decide(splice(workedPacket("a"), at, octets), NIC).cacheable).toBe(false);
  });

  it("row 4: IPv6 payload length beyond the frame", () => {
    const host = host2({ providerAddresses: [providerAddress(PA2_V6)], lookupRecords: labRecords(PA1_V6, PA2_V6) });
    expect(host.verdict(splice(workedPacket("d"), 18, [0x00, 0x4b]), NIC)).toBe("RX_IP_MALFORMED");
  });

  it("row 6: a packet for somebody else's address is passed", () => {
    expect(strict.verdict(changed(0x1e, [192, 168, 4, 23]), NIC)).toBe("pass NONE");
  });

  it("row 7: the VID must be the provider address's; a priority tag counts as none", () => {
    expect(strict.verdict(workedPacket("aVlan"), NIC)).toBe("RX_OUTER_VLAN");
    expect(strict.verdict(splice(workedPacket("aVlan"), 14, [0xa0, 0x00]), NIC)).toBe("forward");
    const tagged = host2(pa({ vlanID: 103 }));
    expect(tagged.verdict(workedPacket("a"), NIC)).toBe("RX_OUTER_VLAN");
    expect(tagged.verdict(workedPacket("aVlan"), NIC)).toBe("forward");
  });

  it.each([
    ["Preferred", "forward"],
    ["Deprecated", "forward"],
    ["Tentative", "RX_PA_STATE"],
    ["Duplicate", "RX_PA_STATE"],
    ["Invalid", "RX_PA_STATE"],
  ] as const)("row 8: a provider address in state %s", (addressState, expected) => {
    expect(host2(pa({ addressState })).verdict(workedPacket("a"), NIC)).toBe(expected);
  });

  it("row 9: ICMP to the provider address is passed", () => {
    expect(strict.verdict(changed(0x17, [0x01]), NIC)).toBe("pass NONE");
  });

  it("row 9: RFC 8200 §4.4: with segments left in a routing header the packet is only passing through", () => {
    const host = host2({ providerAddresses: [providerAddress(PA2_V6)], lookupRecords: labRecords(PA1_V6, PA2_V6) });
    const routed = (segmentsLeft: number): Uint8Array => {
      const frame = splice(workedPacket("d"), 54, [47, 0, 0, segmentsLeft, 0, 0, 0, 0], 0);
      frame[20] = 43;
      frame[19] = 74 + 8;
      return frame;
    };
    expect(host.verdict(routed(1), NIC)).toBe("pass NONE");
    expect(hexOf(host.send(routed(0), NIC).frame)).toBe(hexOf(innerOf("d")));
  });

  it("row 10: RFC 7637 §4.4: an IPv6 fragment", () => {
    const host = host2({ providerAddresses: [providerAddress(PA2_V6)], lookupRecords: labRecords(PA1_V6, PA2_V6) });
    const frame = splice(workedPacket("d"), 54, [47, 0, 0, 1, 0, 0, 0, 7], 0);
    frame[20] = 44;
    frame[19] = 74 + 8;
    expect(host.verdict(frame, NIC)).toBe("RX_OUTER_FRAGMENT");
  });

  it("row 10: a later IPv4 fragment", () => {
    expect(strict.verdict(changed(0x14, [0x00, 0x10]), NIC)).toBe("RX_OUTER_FRAGMENT");
  });

  it("row 11: three octets of GRE", () => {
    expect(strict.verdict(repairIpv4(workedPacket("a").slice(0, GRE + 3)), NIC)).toBe("RX_GRE_SHORT");
  });

  it("row 14 before row 15: routing bit and no key", () => {
    expect(strict.verdict(changed(GRE, [0x40, 0x00]), NIC)).toBe("RX_GRE_FLAGS");
  });

  it("row 18: an inner frame of 13 octets", () => {
    expect(strict.verdict(repairIpv4(workedPacket("a").slice(0, 0x2a + 13)), NIC)).toBe("RX_INNER_SHORT");
  });

  it.each([
    ["one of our own", [192, 168, 4, 22]],
    ["multicast", [224, 0, 0, 1]],
    ["broadcast", [255, 255, 255, 255]],
    ["unspecified", [0, 0, 0, 0]],
  ])("row 21: an outer source that is %s", (_title, octets) => {
    expect(strict.verdict(changed(0x1a, octets), NIC)).toBe("RX_OUTER_SRC");
  });

  it.each([
    ["802.1ad", [0x88, 0xa8]],
    ["0x9100", [0x91, 0x00]],
  ])("row 22: an inner tag of type %s", (_title, octets) => {
    expect(strict.verdict(changed(0x36, octets), NIC)).toBe("RX_INNER_VLAN");
  });

  it("row 22 before row 1: fourteen octets that announce a tag", () => {
    const frame = splice(workedPacket("a"), 0x36, [0x81, 0x00]).slice(0, 0x38);
    expect(strict.verdict(repairIpv4(frame), NIC)).toBe("RX_INNER_VLAN");
  });

  it("row 23: an inner source MAC that is a group address or zero", () => {
    expect(strict.verdict(changed(0x30, [0x07]), NIC)).toBe("RX_INNER_SRC_MAC");
    expect(strict.verdict(changed(0x30, [0, 0, 0, 0, 0, 0]), NIC)).toBe("RX_INNER_SRC_MAC");
  });

  it("row 25: an inner EtherType that network virtualization does not carry", () => {
    expect(strict.verdict(changed(0x36, [0x88, 0xcc]), NIC)).toBe("RX_INNER_ETHERTYPE");
  });

  it("row 26: an inner IP header of the wrong version", () => {
    expect(strict.verdict(changed(0x36, [0x86, 0xdd]), NIC)).toBe("RX_INNER_IP_MALFORMED");
  });

  it("row 27: a customer route without a port makes a VSID known", () => {
    const host = host2({ customerRoutes: [...labRoutes(), route(BLUE, 5003, "10.0.3.0/24")] });
    const frame = changed(0x26, [0x00, 0x13, 0x8b]); // 5003
    expect(strict.verdict(frame, NIC)).toBe("RX_VSID_UNKNOWN");
    expect(host.verdict(frame, NIC)).toBe("RX_NO_LOCAL_DST");
  });

  it("row 27: a port without a customer route makes a VSID known", () => {
    const host = host2({ customerRoutes: [] });
    expect(host.verdict(workedPacket("a"), NIC)).toBe("forward");
  });

  it("row 30: a broadcast is for every port of its virtual subnet, and for no other", () => {
    const { verdict } = strict.decide(workedPacket("g"), NIC);
    const outputs = verdict.kind === "forward" ? verdict.outputs : [];
    expect(outputs.map(({ output, pop, push }) => ({ output, pop, push }))).toEqual([
      { output: HOST2.blue2, pop: true, push: null },
    ]);
    const blue2 = strict.ports.settingsOf(HOST2.blue2);
    const nobody = host2({ ports: { 1: { ...blue2, vsid: strict.ports.settingsOf(HOST2.blue3).vsid } } });
    expect(nobody.verdict(workedPacket("g"), NIC)).toBe("RX_NO_LOCAL_DST");
  });

  it("row 32: no port of the virtual subnet has the MAC, though one of another has", () => {
    const frame = changed(0x2a, macOctets(MACS.blue3)); // a port of 5002
    expect(strict.verdict(frame, NIC)).toBe("RX_NO_LOCAL_DST");
    expect(strict.decide(frame, NIC).cacheable).toBe(false);
  });

  it("never sends a received packet out again", () => {
    const outputs = new Set<number>();
    for (const name of ["a", "b", "c", "g"] as const) {
      const { verdict } = strict.decide(workedPacket(name), NIC);
      if (verdict.kind === "forward") for (const output of verdict.outputs) outputs.add(output.output);
    }
    expect(outputs.has(NIC)).toBe(false);
  });
});

describe("row 28: source policy", () => {
  const inner = (options: Partial<FrameOptions>): Uint8Array =>
    around(ipFrame({ destination: MACS.blue2, source: MACS.blue1, from: "10.0.0.5", to: "10.0.0.7", ...options }));
  const with_ = (...more: LookupRecord[]) => host2({ lookupRecords: [...labRecords(), ...more] });
  const GATEWAY_MAC = "06-06-00-00-00-99";

  it("accepts a record of the VSID with the outer source", () => {
    expect(strict.verdict(inner({}), NIC)).toBe("forward");
  });

  it("accepts a record of another VSID of the routing domain: a routed packet", () => {
    expect(strict.verdict(inner({ from: "10.0.1.4", source: MACS.gateway5001 }), NIC)).toBe("forward");
  });

  it("accepts it also where no route leads to the record's subnet", () => {
    const host = host2({
      customerRoutes: [route(BLUE, 5001, "10.0.0.0/24"), route(BLUE, 5003, "10.0.3.0/24")],
      lookupRecords: [...labRecords(), record(5003, "172.16.0.1", "06-06-00-00-00-33", PA1)],
    });
    expect(host.verdict(inner({ from: "172.16.0.1" }), NIC)).toBe("forward");
  });

  it("refuses a record of another routing domain", () => {
    const host = with_(record(6001, "10.9.0.1", MACS.red1, PA1));
    expect(host.verdict(inner({ from: "10.9.0.1" }), NIC)).toBe("RX_SRC_POLICY");
  });

  it("refuses a source whose record has another provider address", () => {
    const host = with_(record(5001, "10.0.0.8", "06-06-00-00-00-08", "192.168.4.33"));
    expect(host.verdict(inner({ from: "10.0.0.8" }), NIC)).toBe("RX_SRC_POLICY");
  });

  it("accepts unknown sources from a GatewayWildcard record's host, with the gateway VM's MAC or the router's", () => {
    const host = with_(record(5002, "0.0.0.0", GATEWAY_MAC, PA1, { type: "GatewayWildcard" }));
    expect(strict.verdict(inner({ from: "203.0.113.9", source: GATEWAY_MAC }), NIC)).toBe("RX_SRC_POLICY");
    expect(host.verdict(inner({ from: "203.0.113.9", source: GATEWAY_MAC }), NIC)).toBe("forward");
    expect(host.verdict(inner({ from: "203.0.113.9", source: MACS.gateway5001 }), NIC)).toBe("forward");
    expect(host.verdict(inner({ from: "203.0.113.9", source: "06-06-00-00-00-98" }), NIC)).toBe("RX_SRC_POLICY");
  });

  it("refuses unknown sources from a GatewayWildcard record of another host or routing domain", () => {
    const elsewhere = record(5002, "0.0.0.0", GATEWAY_MAC, "192.168.4.33", { type: "GatewayWildcard" });
    expect(with_(elsewhere).verdict(inner({ from: "203.0.113.9", source: GATEWAY_MAC }), NIC)).toBe("RX_SRC_POLICY");
    const red = record(6001, "0.0.0.0", GATEWAY_MAC, PA1, { type: "GatewayWildcard" });
    expect(with_(red).verdict(inner({ from: "203.0.113.9", source: GATEWAY_MAC }), NIC)).toBe("RX_SRC_POLICY");
  });

  it.each([
    ["unspecified", "0.0.0.0", "10.0.0.7"],
    ["link-local", "169.254.1.1", "10.0.0.7"],
    ["unspecified IPv6", "::", "fd00:10::7"],
    ["link-local IPv6", "fe80::5", "fd00:10::7"],
  ])("accepts an %s source by (VSID, MAC)", (_title, from, to) => {
    expect(strict.verdict(inner({ from, to }), NIC)).toBe("forward");
    expect(strict.verdict(inner({ from, to, source: "06-06-00-00-00-98" }), NIC)).toBe("RX_SRC_POLICY");
    expect(strict.verdict(inner({ from, to, source: MACS.blue3 }), NIC)).toBe("RX_SRC_POLICY"); // of another VSID
  });

  it("accepts ARP and neighbor discovery by (VSID, MAC), and does not cache them", () => {
    const arp = bytesOf(`060600000007 060600000005 0806 0001 0800 06 04 0001
      060600000005 0a000005 000000000000 0a000007`);
    expect(strict.verdict(around(arp), NIC)).toBe("forward");
    expect(strict.decide(around(arp), NIC).cacheable).toBe(false);
    const foreign = splice(arp, 6, macOctets("06-06-00-00-00-98"));
    expect(strict.verdict(around(foreign), NIC)).toBe("RX_SRC_POLICY");
    const advertisement = { from: "fd00:10::99", to: "fd00:10::7", protocol: 58, ttl: 255 };
    const payload = Uint8Array.from([136, 0, 0, 0, 0x60, 0, 0, 0, ...new Array<number>(16).fill(0)]);
    expect(strict.verdict(inner({ ...advertisement, payload }), NIC)).toBe("forward");
    expect(strict.decide(inner({ ...advertisement, payload }), NIC).cacheable).toBe(false);
    const echo = Uint8Array.from([128, 0, 0, 0, 0, 0, 0, 0]);
    expect(strict.verdict(inner({ ...advertisement, payload: echo }), NIC)).toBe("RX_SRC_POLICY");
  });

  it("an L2Only record speaks for its MAC's unspecified source", () => {
    const mac = "06-06-00-00-00-77";
    const host = with_(record(5001, "0.0.0.0", mac, PA1, { type: "L2Only" }));
    expect(strict.verdict(inner({ from: "0.0.0.0", source: mac }), NIC)).toBe("RX_SRC_POLICY");
    expect(host.verdict(inner({ from: "0.0.0.0", source: mac }), NIC)).toBe("forward");
  });
});

describe("row 29: RFC 6040 §4.2, figure 4", () => {
  // Rows: inner; columns: outer 00 01 10 11. null: dropped.
  const table = [
    [0, 0, 0, null],
    [1, 1, 1, 3],
    [2, 1, 2, 3],
    [3, 3, 3, 3],
  ];
  const cases = table.flatMap((line, innerEcn) => line.map((expected, outerEcn) => ({ innerEcn, outerEcn, expected })));

  it.each(cases)("IPv4: inner $innerEcn under outer $outerEcn gives $expected", ({ innerEcn, outerEcn, expected }) => {
    const frame = around(
      ipFrame({
        destination: MACS.blue2,
        source: MACS.blue1,
        from: "10.0.0.5",
        to: "10.0.0.7",
        trafficClass: 0xb8 | innerEcn,
      }),
    );
    frame[0x0f] = outerEcn;
    repairIpv4(frame);
    if (expected === null) {
      expect(strict.verdict(frame, NIC)).toBe("RX_ECN");
      expect(strict.decide(frame, NIC).cacheable).toBe(false);
    } else {
      const arrived = strict.send(frame, NIC).frame;
      expect(arrived[15]).toBe(0xb8 | expected);
      expect(repairIpv4(arrived.slice())).toEqual(arrived); // checksum right
    }
  });

  it.each(cases)("IPv6: inner $innerEcn under outer $outerEcn gives $expected", ({ innerEcn, outerEcn, expected }) => {
    const frame = around(
      ipFrame({
        destination: MACS.blue2,
        source: MACS.blue1,
        from: "fd00:10::5",
        to: "fd00:10::7",
        trafficClass: 0xb8 | innerEcn,
      }),
    );
    frame[0x0f] = outerEcn;
    repairIpv4(frame);
    if (expected === null) expect(strict.verdict(frame, NIC)).toBe("RX_ECN");
    else
      expect(strict.send(frame, NIC).frame.subarray(14, 16)).toEqual(Uint8Array.from([0x6b, 0x80 | (expected << 4)]));
  });

  it("the outer mark is ignored over what is not IP", () => {
    const arp = bytesOf(`060600000007 060600000005 0806 0001 0800 06 04 0001
      060600000005 0a000005 000000000000 0a000007`);
    const frame = around(arp);
    frame[0x0f] = 3;
    expect(hexOf(strict.send(repairIpv4(frame), NIC).frame)).toBe(hexOf(arp));
  });
});

describe("DSCP on decapsulation", () => {
  const marked = changed(0x0f, [0xb8]);

  it("pipe: RFC 2983 §3.1: the inner class is left alone", () => {
    expect(hexOf(strict.send(marked, NIC).frame)).toBe(hexOf(innerOf("a")));
  });

  it("uniform: RFC 2983 §3.1: the outer class goes inwards", () => {
    const uniform = host2({ settings: { dscp: { model: "uniform" } } });
    const arrived = uniform.send(marked, NIC).frame;
    expect(arrived[15]).toBe(0xb8);
    expect(repairIpv4(arrived.slice())).toEqual(arrived);
  });
});

describe("what the decision rests on", () => {
  it("a delivered flow names one record and the host's provider side, nothing else", () => {
    const decision = strict.decide(workedPacket("a"), NIC);
    expect(decision.cacheable).toBe(true);
    expect(decision.stamps).toHaveLength(2);
  });

  it("a routed flow names the routes as well", () => {
    expect(strict.decide(workedPacket("b"), NIC).verdict.kind).toBe("drop"); // VLAN
    const host = host2({ providerAddresses: [providerAddress(PA2, { vlanID: 103 })] });
    expect(host.decide(workedPacket("b"), NIC).stamps).toHaveLength(3);
  });

  it("nothing that fails before the inner frame is read is cached, as it has no key of its own", () => {
    for (const frame of [changed(GRE, [0x20, 0x01]), changed(0x26, [0, 0, 1]), changed(0x14, [0x20])]) {
      expect(strict.decide(frame, NIC).cacheable).toBe(false);
    }
  });
});

describe("explanations", () => {
  it("tell the record that nearly matched, and what differed", () => {
    const notes = strict.explain(changed(0x1a, [192, 168, 4, 99]), NIC).get("source policy")!;
    expect(notes).toHaveLength(1);
    expect(notes[0]!.nearest).toMatchObject({ differs: "providerAddress", record: { providerAddress: ip(PA1) } });
  });

  it("name every layer that was walked, each with a note", () => {
    const notes = strict.explain(workedPacket("a"), NIC);
    expect([...notes.keys()]).toEqual([
      "provider address resolution",
      "provider group membership",
      "provider address",
      "NVGRE header",
      "outer source",
      "inner frame",
      "control message",
      "inner packet",
      "virtual subnet",
      "source policy",
      "congestion",
      "delivery",
    ]);
  });

  it("change nothing: the verdict is the same with and without an observer", () => {
    for (const frame of [workedPacket("a"), workedPacket("g"), changed(0x0f, [3]), changed(GRE, [0, 0])]) {
      const observe = () => ({ note: () => {} });
      const watched = strict.node.decide(
        { bytes: frame, start: 0, end: frame.length, ingress: NIC },
        { node: strict.policy.node, nowMs: 0, observe },
      );
      expect(watched).toEqual(strict.decide(frame, NIC));
    }
  });
});

describe("tenants stay apart", () => {
  it("RFC 7637 §3.2: the VSID alone selects the virtual subnet: Red's frame reaches Red", () => {
    const red = around(ipFrame({ destination: MACS.red2, source: MACS.red1, from: "10.0.0.5", to: "10.0.0.7" }));
    expect(strict.verdict(red, NIC)).toBe("RX_NO_LOCAL_DST"); // in VSID 5001
    red.set([0x00, 0x17, 0x71], 0x26); // 6001
    expect(strict.send(red, NIC).output).toBe(HOST2.red2);
  });
});
