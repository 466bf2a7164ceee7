/** RFC 7637, rule by rule, where no test beside the code names the rule: through whole labs, or one host of the two-tenant lab. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createLab, type EmulatedLab, loadLab } from "../../src/index.js";
import {
  adapter,
  HOST1,
  HOST2,
  host1,
  host2,
  ipFrame,
  MACS,
  NIC,
  PA1,
  PA2,
  port,
  record,
  repairIpv4,
  splice,
} from "../dataplane/slowpath/fixture.js";
import { hexOf, innerOf, workedPacket } from "../vectors/worked-packets.js";

const example = (name: string): EmulatedLab =>
  loadLab(fileURLToPath(new URL(`../../examples/${name}.yaml`, import.meta.url)));
/** Where GRE begins in a frame without IPv4 options or IPv6 extension headers. */
function greAt(frame: Uint8Array): number {
  const network = frame[12] === 0x81 ? 18 : 14;
  return network + (frame[network]! >>> 4 === 4 ? 20 : 40);
}
/** Packet A's inner frame as it leaves host 1 for the wire. */
const onTheWire = (lab: EmulatedLab): Uint8Array => lab.explain("host1/Blue1", innerOf("a"))[0]!.outputs[0]!.after;
const LABS = ["two-tenants", "two-tenants-vlan", "two-tenants-v6"];

describe("the header on the wire, untagged, tagged and over IPv6", () => {
  it("RFC 7637 §3.2: every lab sends with K set, C and S clear", () => {
    for (const name of LABS) {
      const frame = onTheWire(example(name));
      expect(hexOf(frame.slice(greAt(frame), greAt(frame) + 2)), name).toBe("2000");
    }
  });

  it("RFC 7637 §3.2: the outer IP header says GRE, GRE says Ethernet", () => {
    for (const name of LABS) {
      const frame = onTheWire(example(name));
      const network = frame[12] === 0x81 ? 18 : 14;
      expect(frame[network + (frame[network]! >>> 4 === 4 ? 9 : 6)], name).toBe(47);
      expect(hexOf(frame.slice(greAt(frame) + 2, greAt(frame) + 4)), name).toBe("6558");
    }
  });

  it("RFC 7637 §3.2: the key is the VSID in 24 bits, then the FlowID in 8", () => {
    for (const name of LABS) {
      const frame = onTheWire(example(name));
      expect(hexOf(frame.slice(greAt(frame) + 4, greAt(frame) + 8)), name).toBe("001389a5");
    }
  });

  it("RFC 7637 §3.2: the whole inner frame follows, and nothing behind it", () => {
    for (const name of LABS) {
      const frame = onTheWire(example(name));
      expect(hexOf(frame.slice(greAt(frame) + 8)), name).toBe(hexOf(innerOf("a")));
    }
  });
});

describe("FlowID", () => {
  const flow = (sourcePort: number, length = 8): Uint8Array => {
    const payload = new Uint8Array(length);
    payload.set([sourcePort >>> 8, sourcePort & 0xff, 0x13, 0x88, 0, length]);
    return ipFrame({ destination: MACS.blue2, source: MACS.blue1, from: "10.0.0.5", to: "10.0.0.7", payload });
  };
  const lab = host1();
  const flowIdOf = (frame: Uint8Array): number => lab.send(frame, HOST1.blue1).frame[0x29]!;

  it("RFC 7637 §3.2: one flow has one FlowID, many flows have many", () => {
    expect(flowIdOf(flow(49152, 8))).toBe(flowIdOf(flow(49152, 500)));
    const seen = new Set(Array.from({ length: 256 }, (_, index) => flowIdOf(flow(49152 + index))));
    expect(seen.size).toBeGreaterThan(128);
  });

  it("RFC 7637 §3.2: the FlowID does not choose the virtual subnet", () => {
    const far = host2();
    for (let flowId = 0; flowId < 256; flowId++) {
      expect(far.forward(splice(workedPacket("a"), 0x29, [flowId]), NIC).output).toBe(HOST2.blue2);
    }
  });

  it("RFC 7637 §3.2: the provider router changes neither VSID nor FlowID", () => {
    const routed = createLab(`
apiVersion: hnv/v1
routingDomains:
  - { name: Blue, id: "{11111111-2222-3333-4444-000000005001}", subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }] }
provider:
  subnets:
    - { prefix: 192.168.4.0/24, mtu: 1600, gateway: 192.168.4.1 }
    - { prefix: 192.168.5.0/24, vlan: 104, mtu: 1600, gateway: 192.168.5.1 }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms: [{ name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5] }] }]
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-05-16 }]
    providerAddresses: [{ address: 192.168.5.22, vlan: 104 }]
    vms: [{ name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }]
`);
    const { before, outputs } = routed.explain("host1/Blue1", innerOf("a"))[1]!;
    const { after } = outputs[0]!;
    expect(before[22]! - after[26]!, "it was routed").toBe(1);
    expect(hexOf(after.slice(greAt(after)))).toBe(hexOf(before.slice(greAt(before))));
  });
});

it("RFC 7637 §3.4: the reserved range is not sent, even if a port carries it", () => {
  for (const [reserved, expected] of [
    [4095, "TX_VSID_RANGE"],
    [4096, "forward"],
  ] as const) {
    const host = host1({
      ports: { 9: adapter(reserved, MACS.blue1) },
      lookupRecords: [record(reserved, "10.0.0.5", MACS.blue1, PA1), record(reserved, "10.0.0.7", MACS.blue2, PA2)],
    });
    expect(host.verdict(innerOf("a"), port(9))).toBe(expected);
  }
});

it("RFC 7637 §4.4: what is sent is whole: DF set, no fragment", () => {
  const { frame } = host1().send(innerOf("a"), HOST1.blue1);
  expect(hexOf(frame.slice(20, 22))).toBe("4000");
});

it("RFC 7637 §4.5: packets that arrive teach no mapping", () => {
  const host = host2();
  const stranger = { destination: MACS.blue2, source: "06-06-00-00-00-08", from: "10.0.0.8", to: "10.0.0.7" };
  const arrived = repairIpv4(splice(workedPacket("a"), 0x2a, Array.from(ipFrame(stranger)), 74));
  const answer = ipFrame({ destination: stranger.source, source: MACS.blue2, from: "10.0.0.7", to: "10.0.0.8" });
  expect(host.verdict(arrived, NIC)).toBe("RX_SRC_POLICY");
  expect(host.verdict(answer, HOST2.blue2)).toBe("TX_NO_RECORD");
});
