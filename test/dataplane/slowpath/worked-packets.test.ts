/** The worked packets, byte for byte: decided by the layers, carried out by the plain interpreter. */
import { describe, expect, it } from "vitest";
import { encapNode } from "../../../src/dataplane/slowpath/index.js";
import { makeTci } from "../../../src/dataplane/wire/vlan.js";
import { hexOf, innerOf, workedPacket } from "../../vectors/worked-packets.js";
import {
  carryOut,
  decideWith,
  HOST1,
  HOST2,
  host1,
  host2,
  ip,
  labRecords,
  MACS,
  mac,
  NIC,
  node,
  outputOf,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  port,
  providerAddress,
  vsid,
} from "./fixture.js";

const VLAN = 103;
const v6 = { lookupRecords: labRecords(PA1_V6, PA2_V6) };

describe("a host that sends", () => {
  it("packet A: IPv4 in IPv4, same subnet", () => {
    const sent = host1().send(innerOf("a"), HOST1.blue1, 0x1a2b);
    expect(sent.output).toBe(NIC);
    expect(hexOf(sent.frame)).toBe(hexOf(workedPacket("a")));
  });

  it("packet A-vlan with PCP 0: the provider address has a VLAN", () => {
    const host = host1({ providerAddresses: [providerAddress(PA1, { vlanID: VLAN })] });
    const expected = workedPacket("aVlan");
    expected[14] = 0x00; // PCP 5 is a command line's to choose
    expect(hexOf(host.send(innerOf("a"), HOST1.blue1, 0x1a2b).frame)).toBe(hexOf(expected));
  });

  it("packet B: routed, VSID of the destination, MACs, TTL and checksum rewritten, VLAN", () => {
    const host = host1({ providerAddresses: [providerAddress(PA1, { vlanID: VLAN })] });
    const sent = host.send(workedPacket("bFromVm"), HOST1.blue1, 0x1a2c);
    expect(hexOf(sent.frame)).toBe(hexOf(workedPacket("b")));
  });

  it("packet C: IPv6 in IPv4", () => {
    expect(hexOf(host1().send(innerOf("c"), HOST1.blue1, 0x1a2d).frame)).toBe(hexOf(workedPacket("c")));
  });

  it("packet D: IPv4 in IPv6", () => {
    const host = host1({ ...v6, providerAddresses: [providerAddress(PA1_V6)] });
    expect(hexOf(host.send(innerOf("d"), HOST1.blue1).frame)).toBe(hexOf(workedPacket("d")));
  });

  it("packet D-vlan", () => {
    const host = host1({ ...v6, providerAddresses: [providerAddress(PA1_V6, { vlanID: VLAN })] });
    expect(hexOf(host.send(innerOf("d"), HOST1.blue1).frame)).toBe(hexOf(workedPacket("dVlan")));
  });
});

describe("a host that receives", () => {
  it.each(["a", "c"] as const)("packet %s gives back its inner frame", (name) => {
    const received = host2().send(workedPacket(name), NIC);
    expect(received.output).toBe(HOST2.blue2);
    expect(hexOf(received.frame)).toBe(hexOf(innerOf(name)));
  });

  it("packet A-vlan and B, in their VLAN", () => {
    const host = host2({ providerAddresses: [providerAddress(PA2, { vlanID: VLAN })] });
    const a = host.send(workedPacket("aVlan"), NIC);
    expect([a.output, hexOf(a.frame)]).toEqual([HOST2.blue2, hexOf(innerOf("aVlan"))]);
    const b = host.send(workedPacket("b"), NIC);
    expect([b.output, hexOf(b.frame)]).toEqual([HOST2.blue3, hexOf(innerOf("b"))]);
  });

  it.each([
    ["d", 0],
    ["dVlan", VLAN],
  ] as const)("packet %s", (name, vlanID) => {
    const host = host2({ ...v6, providerAddresses: [providerAddress(PA2_V6, { vlanID })] });
    const received = host.send(workedPacket(name), NIC);
    expect([received.output, hexOf(received.frame)]).toEqual([HOST2.blue2, hexOf(innerOf(name))]);
  });
});

describe("the codec of hnv encap", () => {
  const ethernet = { destination: mac(MACS.nic2), source: mac(MACS.nic1), tag: null };
  const common = { output: port(9), vsid: vsid(5001), source: ip(PA1), destination: ip(PA2), ethernet };
  const wrap = (options: Parameters<typeof encapNode>[1], frame: Uint8Array, identification: number): string => {
    const decision = decideWith(encapNode("encap", options), node(3), frame, port(8));
    return hexOf(carryOut(outputOf(decision), frame, identification));
  };

  it("packet A-vlan, PCP 5 included", () => {
    const tagged = { ...common, ethernet: { ...ethernet, tag: makeTci(5, false, VLAN) } };
    expect(wrap(tagged, innerOf("a"), 0x1a2b)).toBe(hexOf(workedPacket("aVlan")));
  });

  it("packets A, C and D, and B from its inner frame", () => {
    expect(wrap(common, innerOf("a"), 0x1a2b)).toBe(hexOf(workedPacket("a")));
    expect(wrap(common, innerOf("c"), 0x1a2d)).toBe(hexOf(workedPacket("c")));
    const v6Tunnel = { ...common, source: ip(PA1_V6), destination: ip(PA2_V6) };
    expect(wrap(v6Tunnel, innerOf("d"), 0)).toBe(hexOf(workedPacket("d")));
    const b = { ...common, vsid: vsid(5002), ethernet: { ...ethernet, tag: makeTci(0, false, VLAN) } };
    expect(wrap(b, innerOf("b"), 0x1a2c)).toBe(hexOf(workedPacket("b")));
  });

  it("packet G: a broadcast is a frame like any other", () => {
    expect(wrap(common, innerOf("g"), 0x1a2e)).toBe(hexOf(workedPacket("g")));
  });
});
