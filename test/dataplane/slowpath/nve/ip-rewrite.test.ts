/**
 * IP Rewrite (TranslationMethodNat), row by row of what is known of it. Two hosts whose NICs end outside of the lab, so that what is on the wire can
 * be seen, and be sent to the other host. Frames and their checksums are made without help of the code under test.
 */
import { describe, expect, it } from "vitest";
import { loadFabricFile } from "../../../../src/control/index.js";
import type { LookupRecord } from "../../../../src/dataplane/policy/index.js";
import type { PortIndex } from "../../../../src/dataplane/transposition/index.js";
import { parseAddress, type Vsid } from "../../../../src/dataplane/wire/index.js";
import { kernelModule } from "../../../../src/kernel-file.js";
import { EmulatedLab, type FrameEnd } from "../../../../src/library.js";
import { Lab } from "../../../../src/vswitch/index.js";
import {
  addressBytes,
  arp,
  concatenate,
  frame as ethernet,
  hexOf,
  icmp,
  icmpv6,
  internetChecksum,
  ip,
  neighborMessage,
  nvgre,
  tagged,
  udp,
} from "../../../engine/build.js";
import { isScapyAvailable, scapyFrames } from "../../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../../oracles/tshark.js";

const [NIC1, NIC2] = ["02-00-C0-A8-04-0B", "02-00-C0-A8-04-16"];
const [BLUE1, BLUE2, BLUE3] = ["06-06-00-00-00-05", "06-06-00-00-00-07", "06-06-00-00-00-09"];
const [GATEWAY, GATEWAY_5002] = ["02-00-5E-00-01-01", "06-06-00-00-02-01"];
const [BLUE_ID, RED_ID] = ["{11111111-2222-3333-4444-000000005001}", "{11111111-2222-3333-4444-000000006001}"];
const VLAN = 103;

/** Red1 and Red2 have the addresses and the MACs of Blue1 and Blue2, and PAs of their own. Blue5 is encapsulated. */
const RECORDS = [
  `{ virtualSubnetID: 5001, customerAddress: 10.0.0.5, macAddress: ${BLUE1}, providerAddress: 192.168.4.101, rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 5001, customerAddress: 10.0.0.7, macAddress: ${BLUE2}, providerAddress: 192.168.4.102, rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 5002, customerAddress: 10.0.1.9, macAddress: ${BLUE3}, providerAddress: 192.168.4.103, rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 5001, customerAddress: "fd00:10::5", macAddress: ${BLUE1}, providerAddress: "2001:db8:4::101", rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 5001, customerAddress: "fd00:10::7", macAddress: ${BLUE2}, providerAddress: "2001:db8:4::102", rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 6001, customerAddress: 10.0.0.5, macAddress: ${BLUE1}, providerAddress: 192.168.4.201, rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 6001, customerAddress: 10.0.0.7, macAddress: ${BLUE2}, providerAddress: 192.168.4.202, rule: TranslationMethodNat }`,
  "{ virtualSubnetID: 5001, customerAddress: 10.0.0.10, macAddress: 06-06-00-00-00-0A, providerAddress: 192.168.4.22 }",
  `{ virtualSubnetID: 5002, customerAddress: 10.0.1.1, macAddress: ${GATEWAY_5002}, providerAddress: 169.254.254.254 }`,
];
const labText = (records: readonly string[] = RECORDS, more = "", blue1 = ""): string => `
apiVersion: hnv/v1
hosts:
  - name: host1
    mtu: 1500
    nics: [{ name: nic1, mac: ${NIC1} }]
    providerAddresses: [${pas(["192.168.4.11", "192.168.4.101", "192.168.4.201", "2001:db8:4::101"])}]
    vms:
      - { name: Blue1, adapters: [{ mac: ${BLUE1}, vsid: 5001${blue1 && `, ${blue1}`} }] }
      - { name: Red1, adapters: [{ mac: ${BLUE1}, vsid: 6001 }] }
  - name: host2
    mtu: 1500
    nics: [{ name: nic1, mac: ${NIC2} }]
    providerAddresses: [${pas(["192.168.4.22", "192.168.4.102", "192.168.4.103", "192.168.4.202", "2001:db8:4::102"])}]
    vms:
      - { name: Blue2, adapters: [{ mac: ${BLUE2}, vsid: 5001 }] }
      - { name: Blue3, adapters: [{ mac: ${BLUE3}, vsid: 5002 }] }
      - { name: Red2, adapters: [{ mac: ${BLUE2}, vsid: 6001 }] }
      - { name: Blue5, adapters: [{ mac: 06-06-00-00-00-0A, vsid: 5001 }] }
customerRoutes:
  - { routingDomainID: "${BLUE_ID}", virtualSubnetID: 5001, destinationPrefix: 10.0.0.0/24, nextHop: 0.0.0.0 }
  - { routingDomainID: "${BLUE_ID}", virtualSubnetID: 5001, destinationPrefix: "fd00:10::/64", nextHop: "::" }
  - { routingDomainID: "${BLUE_ID}", virtualSubnetID: 5002, destinationPrefix: 10.0.1.0/24, nextHop: 0.0.0.0 }
  - { routingDomainID: "${RED_ID}", virtualSubnetID: 6001, destinationPrefix: 10.0.0.0/24, nextHop: 0.0.0.0 }
${more}lookupRecords:
${records.map((record) => `  - ${record}\n`).join("")}`;
const pas = (addresses: readonly string[]): string =>
  addresses
    .map((address) => `{ address: "${address}", prefixLength: ${address.includes(":") ? 64 : 24}, vlan: ${VLAN} }`)
    .join(", ");
/** Every port ends outside of the lab. */
function lab(records?: readonly string[], more?: string, blue1?: string): EmulatedLab {
  const loaded = loadFabricFile(labText(records, more, blue1), "ip-rewrite.yaml");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const built = new Lab(loaded.lab, { kernel: kernelModule() });
  for (const port of built.engine.ports.keys()) built.engine.setPeer(port as PortIndex, null);
  return new EmulatedLab(built);
}
const changed = (from: string, to: string): EmulatedLab => {
  const records = RECORDS.map((record) => record.replace(from, to));
  expect(records).not.toEqual(RECORDS);
  return lab(records);
};

/** What is at an address: its PA, and the MACs between Blue1 and its peer. */
const V4 = { from: "10.0.0.5", to: "10.0.0.7", fromPa: "192.168.4.101", toPa: "192.168.4.102" };
const V6 = { from: "fd00:10::5", to: "fd00:10::7", fromPa: "2001:db8:4::101", toPa: "2001:db8:4::102" };
type Ends = typeof V4;
const back = ({ from, to, fromPa, toPa }: Ends): Ends => ({ from: to, to: from, fromPa: toPa, toPa: fromPa });

/** `packet` as Blue1 sends it to Blue2, and as it is on the wire; it is made from two addresses. */
type Packet = (source: string, destination: string) => Uint8Array;
const asSent = ({ from, to }: Ends, packet: Packet): Uint8Array => ethernet(BLUE2, BLUE1, packet(from, to));
const onWire = ({ fromPa, toPa }: Ends, packet: Packet): Uint8Array =>
  ethernet(NIC2, NIC1, tagged(VLAN, packet(fromPa, toPa)));
const datagram =
  (length = 20, ttl = 64): Packet =>
  (source, destination) =>
    ip({
      source,
      destination,
      protocol: 17,
      payload: udp(source, destination, [4000, 53], new Uint8Array(length).fill(7)),
      ttl,
    });

/** `port frame`, or the reason, for each end. */
const text = ({ verdict, port, frame, reason }: FrameEnd): string =>
  verdict === "delivered" ? `${port} ${hexOf(frame)}` : (reason?.reason ?? verdict);
const ends = (to: EmulatedLab, port: string, frame: Uint8Array): string[] => to.send(port, frame).map(text);
const wireEnd = (frame: Uint8Array, host = "host1"): string => `${host}/nic1 ${hexOf(frame)}`;

describe("IP Rewrite: decision", () => {
  it("both records say TranslationMethodNat: the packet goes out with the PAs, and comes in with the CAs", () => {
    const both = lab();
    for (const addresses of [V4, V6]) {
      const [sent, wire] = [asSent(addresses, datagram()), onWire(addresses, datagram())];
      expect(ends(both, "host1/Blue1", sent)).toEqual([wireEnd(wire)]);
      expect(ends(both, "host2/nic1", wire)).toEqual([`host2/Blue2 ${hexOf(sent)}`]);
    }
  });

  it("later packets of the flow never leave the kernel", () => {
    const both = lab();
    const [sent, wire] = [asSent(V4, datagram()), onWire(V4, datagram())];
    for (let n = 0; n < 5; n++) {
      expect(ends(both, "host1/Blue1", sent)).toEqual([wireEnd(wire)]);
      expect(ends(both, "host2/nic1", wire)).toEqual([`host2/Blue2 ${hexOf(sent)}`]);
    }
    expect(both.counters().flows).toMatchObject({ misses: 2, hits: 8, guarded: 0 });
  });

  it.each([
    [
      "the sender's record says TranslationMethodEncap",
      "192.168.4.101, rule: TranslationMethodNat",
      "192.168.4.11",
      "TX_NAT_SOURCE",
    ],
    ["the sender's PA is on another host", "192.168.4.101", "192.168.4.104", "TX_NO_PA"],
    ["no way to the destination's PA", "192.168.4.102", "192.168.9.102", "TX_NO_PROVIDER_ROUTE"],
    ["nobody has the destination's PA", "192.168.4.102", "192.168.4.104", "TX_PA_UNRESOLVED"],
  ])("%s", (_what, from, to, reason) => {
    expect(ends(changed(from, to), "host1/Blue1", asSent(V4, datagram()))).toEqual([reason]);
  });

  it("a rewritten sender reaches an encapsulated VM by NVGRE: the destination's rule decides", () => {
    const packet = datagram()("10.0.0.5", "10.0.0.10");
    const sent = ethernet("06-06-00-00-00-0A", BLUE1, packet);
    const both = lab();
    const [end] = both.send("host1/Blue1", sent);
    expect(hexOf(end!.frame)).toContain(hexOf(sent));
    expect(ends(both, "host2/nic1", end!.frame)).toEqual([`host2/Blue5 ${hexOf(sent)}`]);
  });

  it("through a gateway, whose record's address is not the packet's: it would be lost", () => {
    const route = `  - { routingDomainID: "${BLUE_ID}", virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.1.9 }\n`;
    const sent = ethernet(GATEWAY, BLUE1, datagram()("10.0.0.5", "198.51.100.1"));
    expect(ends(lab(RECORDS, route), "host1/Blue1", sent)).toEqual(["TX_RULE_NAT"]);
  });

  it("from whom a wildcard vouches for: its address would be lost", () => {
    const wildcard = `{ virtualSubnetID: 5001, customerAddress: 0.0.0.0, macAddress: ${BLUE1}, providerAddress: 192.168.4.11, rule: TranslationMethodNat, type: GatewayWildcard }`;
    const sent = ethernet(BLUE2, BLUE1, datagram()("198.51.100.1", "10.0.0.7"));
    expect(ends(lab([...RECORDS, wildcard]), "host1/Blue1", sent)).toEqual(["TX_RULE_NAT"]);
  });

  it("VMs of one host: local delivery, nothing is rewritten", () => {
    const sent = ethernet(GATEWAY, BLUE2, datagram()("10.0.0.7", "10.0.1.9"));
    const routed = ethernet(BLUE3, GATEWAY_5002, datagram(20, 63)("10.0.0.7", "10.0.1.9"));
    expect(ends(lab(), "host2/Blue2", sent)).toEqual([`host2/Blue3 ${hexOf(routed)}`]);
  });
});

describe("IP Rewrite: decision of the receiver", () => {
  const wire = (source: string, destination = "192.168.4.102"): Uint8Array =>
    ethernet(NIC2, NIC1, tagged(VLAN, datagram()(source, destination)));
  it.each([
    ["a source that stands for nobody", wire("192.168.4.99"), "RX_NAT_SOURCE"],
    ["a source whose record is encapsulated", wire("192.168.4.11"), "RX_NAT_SOURCE"],
    ["a source of another routing domain, with the same CA", wire("192.168.4.201"), "RX_NAT_SOURCE"],
    ["one of our own addresses", wire("192.168.4.103"), "RX_OUTER_SRC"],
    ["a destination that stands for nobody here", wire("192.168.4.101", "192.168.4.22"), "passed"],
    ["the VLAN is not the PA's", ethernet(NIC2, NIC1, datagram()("192.168.4.101", "192.168.4.102")), "RX_OUTER_VLAN"],
    [
      "a wrong header checksum",
      wire("192.168.4.101").map((octet, at) => (at === 28 ? octet ^ 1 : octet)),
      "RX_IP_CSUM",
    ],
  ])("%s", (_what, frame, reason) => {
    const both = lab();
    expect(ends(both, "host2/nic1", frame)).toEqual([reason]);
    expect(ends(both, "host2/nic1", frame)).toEqual([reason]);
  });

  it("nobody with that MAC is here", () => {
    const both = changed(`macAddress: ${BLUE2}`, "macAddress: 06-06-00-00-00-99");
    expect(ends(both, "host2/nic1", wire("192.168.4.101"))).toEqual(["RX_NO_LOCAL_DST"]);
  });

  it("two tenants with the same addresses and MACs: the PA alone tells them apart", () => {
    const both = lab();
    const sent = asSent(V4, datagram());
    const red = onWire({ ...V4, fromPa: "192.168.4.201", toPa: "192.168.4.202" }, datagram());
    expect(ends(both, "host1/Red1", sent)).toEqual([wireEnd(red)]);
    expect(ends(both, "host2/nic1", red)).toEqual([`host2/Red2 ${hexOf(sent)}`]);
  });

  it("what is for such a PA is nothing else: a tenant's GRE comes through, NVGRE of others too", () => {
    const payload = nvgre(5001, 7, ethernet(BLUE2, BLUE1, datagram()("10.0.0.5", "10.0.0.7")));
    const gre: Packet = (source, destination) => ip({ source, destination, protocol: 47, payload });
    const both = lab();
    for (let n = 0; n < 2; n++) {
      expect(ends(both, "host1/Blue1", asSent(V4, gre))).toEqual([wireEnd(onWire(V4, gre))]);
      expect(ends(both, "host2/nic1", onWire(V4, gre))).toEqual([`host2/Blue2 ${hexOf(asSent(V4, gre))}`]);
    }
  });
});

describe("IP Rewrite: IP header", () => {
  it("TTL by §5.3.5: one less for routed packets, by the sender only", () => {
    const both = lab();
    const sent = ethernet(GATEWAY, BLUE1, datagram(20, 9)("10.0.0.5", "10.0.1.9"));
    const wire = ethernet(NIC2, NIC1, tagged(VLAN, datagram(20, 8)("192.168.4.101", "192.168.4.103")));
    expect(ends(both, "host1/Blue1", sent)).toEqual([wireEnd(wire)]);
    const delivered = ethernet(BLUE3, GATEWAY_5002, datagram(20, 8)("10.0.0.5", "10.0.1.9"));
    expect(ends(both, "host2/nic1", wire), "the source MAC is the gateway's").toEqual([
      `host2/Blue3 ${hexOf(delivered)}`,
    ]);
    const expired = ethernet(GATEWAY, BLUE1, datagram(20, 1)("10.0.0.5", "10.0.1.9"));
    expect(ends(both, "host1/Blue1", expired)[0]).toBe("TX_TTL_EXCEEDED");
  });
});

describe("IP Rewrite: TCP/UDP/ICMPv6 checksum", () => {
  it("UDP without a checksum has none on the wire either", () => {
    const none: Packet = (source, destination) =>
      ip({ source, destination, protocol: 17, payload: Uint8Array.of(15, 160, 0, 53, 0, 8, 0, 0) });
    for (const addresses of [V4, V6]) {
      expect(ends(lab(), "host1/Blue1", asSent(addresses, none))).toEqual([wireEnd(onWire(addresses, none))]);
    }
  });

  it("ICMP echo has no pseudo header, ICMPv6 echo has", () => {
    const ping: Packet = (source, destination) => icmp(source, destination, [8, 0, 0, 0, 0, 1, 0, 2, 9]);
    const ping6: Packet = (source, destination) => icmpv6(source, destination, [128, 0, 0, 0, 0, 1, 0, 2, 9, 9]);
    for (const [addresses, packet] of [
      [V4, ping],
      [V6, ping6],
    ] as const) {
      const both = lab();
      expect(ends(both, "host1/Blue1", asSent(addresses, packet))).toEqual([wireEnd(onWire(addresses, packet))]);
      const wire = onWire(addresses, packet);
      expect(ends(both, "host2/nic1", wire)).toEqual([`host2/Blue2 ${hexOf(asSent(addresses, packet))}`]);
    }
  });

  it.skipIf(!isScapyAvailable() || !isTsharkAvailable())(
    "as Scapy writes TCP, UDP and ICMP; tshark finds every checksum right",
    () => {
      const frames = scapyFrames(`
def ends(i, v): return [[("10.0.0.5","10.0.0.7"),("192.168.4.101","192.168.4.102")],[("fd00:10::5","fd00:10::7"),("2001:db8:4::101","2001:db8:4::102")]][v][i]
def link(i): return [Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05"), Ether(dst="02:00:c0:a8:04:16", src="02:00:c0:a8:04:0b")/Dot1Q(vlan=103)][i]
def four(i): return IP(src=ends(i,0)[0], dst=ends(i,0)[1], id=77, ttl=64, tos=0x2a)
def six(i): return IPv6(src=ends(i,1)[0], dst=ends(i,1)[1], hlim=64, tc=0x2a, fl=5)
inside = [TCP(sport=40000, dport=443, flags="S", options=[("MSS", 1460), ("WScale", 7)]), TCP(sport=40000, dport=443, flags="PA")/b"odd", UDP(sport=1, dport=2)/bytes(range(200))]
for p in inside + [ICMP(type=8, id=3, seq=4)/b"ping"]:
    for i in range(2): emit(link(i)/four(i)/p)
for p in inside + [ICMPv6EchoRequest(id=3, seq=4, data=b"ping")]:
    for i in range(2): emit(link(i)/six(i)/p)
`);
      const both = lab();
      const wires: Uint8Array[] = [];
      for (let at = 0; at < frames.length; at += 2) {
        const [sent, wire] = [frames[at]!, frames[at + 1]!];
        const [end] = both.send("host1/Blue1", sent);
        expect(text(end!)).toBe(wireEnd(wire));
        expect(ends(both, "host2/nic1", end!.frame)).toEqual([`host2/Blue2 ${hexOf(sent)}`]);
        wires.push(end!.frame);
      }
      const fields = [
        "ip.checksum.status",
        "tcp.checksum.status",
        "udp.checksum.status",
        "icmp.checksum.status",
        "icmpv6.checksum.status",
      ] as const;
      for (const row of tsharkFields(wires, fields)) {
        const statuses = fields.flatMap((name) => row[name]);
        expect(statuses.length).toBeGreaterThan(0);
        expect(new Set(statuses), "1: good").toEqual(new Set(["1"]));
      }
    },
  );
});

describe("IP Rewrite: ICMP errors", () => {
  /** An error from Blue2 about a packet of Blue1: what it quotes goes the other way. */
  const about =
    (quoted: Packet, length?: number): Packet =>
    (source, destination) => {
      const quote = quoted(destination, source).subarray(2); // without its EtherType
      const octets = [...quote.subarray(0, length)];
      return source.includes(":")
        ? icmpv6(source, destination, [1, 4, 0, 0, 0, 0, 0, 0, ...octets], 64)
        : icmp(source, destination, [3, 3, 0, 0, 0, 0, 0, 0, ...octets]);
    };
  const tcp: Packet = (source, destination) =>
    ip({ source, destination, protocol: 6, payload: Uint8Array.from([0, 80, 1, 2, 0, 0, 0, 9]) });
  const cases: readonly (readonly [string, Ends, Packet])[] = [
    ["the whole packet, with its checksum", V4, about(datagram())],
    ["the whole packet over IPv6", V6, about(datagram())],
    ["eight octets of TCP, where no checksum shows", V4, about(tcp)],
    ["a packet cut within UDP", V4, about(datagram(), 25)],
    ["less than an IP header, which stays as it is", V4, about(() => Uint8Array.of(8, 0, 0x45, 0, 0, 40))],
  ];
  it.each(cases)("quoting %s: addresses inside change too, both ways", (_what, addresses, packet) => {
    const toBlue1 = back(addresses);
    const sent = ethernet(BLUE1, BLUE2, packet(toBlue1.from, toBlue1.to));
    const wire = ethernet(NIC1, NIC2, tagged(VLAN, packet(toBlue1.fromPa, toBlue1.toPa)));
    const both = lab();
    for (let n = 0; n < 2; n++) {
      expect(ends(both, "host2/Blue2", sent)).toEqual(["consumed", wireEnd(wire, "host2")]);
      expect(ends(both, "host1/nic1", wire)).toEqual(["consumed", `host1/Blue1 ${hexOf(sent)}`]);
    }
    expect(both.counters().flows.hits, "decided one by one").toBe(0);
    const { totals } = both.counters();
    expect(totals.in + totals.injected).toBe(totals.delivered + totals.consumed);
  });

  it("a quoted address that stands for nobody stays", () => {
    const stray: Packet = () => datagram()("198.51.100.1", "198.51.100.2");
    const quoting: Packet = (source, destination) =>
      icmp(source, destination, [11, 0, 0, 0, 0, 0, 0, 0, ...stray("", "").subarray(2)]);
    expect(ends(lab(), "host1/Blue1", asSent(V4, quoting))).toEqual(["consumed", wireEnd(onWire(V4, quoting))]);
  });
});

describe("IP Rewrite: Ethernet", () => {
  it("UseVmMACAddress: the record's MAC in the place of the NIC's", () => {
    const both = changed(
      "192.168.4.101, rule: TranslationMethodNat",
      "192.168.4.101, rule: TranslationMethodNat, useVmMACAddress: true",
    );
    const wire = ethernet(NIC2, BLUE1, tagged(VLAN, datagram()(V4.fromPa, V4.toPa)));
    expect(ends(both, "host1/Blue1", asSent(V4, datagram()))).toEqual([wireEnd(wire)]);
    expect(ends(both, "host2/nic1", wire)).toEqual([`host2/Blue2 ${hexOf(asSent(V4, datagram()))}`]);
  });
});

describe("IP Rewrite: fragments", () => {
  /** An IPv4 fragment; checksums by the addresses. */
  const fragment =
    (flagsAndOffset: number, payload: (source: string, destination: string) => Uint8Array): Packet =>
    (source, destination) => {
      const whole = ip({ source, destination, protocol: 17, payload: payload(source, destination) });
      whole[8] = flagsAndOffset >>> 8;
      whole[9] = flagsAndOffset & 0xff;
      whole.set([0, 0], 12);
      const sum = whole.subarray(2, 22).reduce((total, octet, at) => total + (at % 2 === 0 ? octet << 8 : octet), 0);
      const folded = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
      whole.set([folded >>> 8, folded & 0xff], 12);
      return whole;
    };
  const whole = (source: string, destination: string) =>
    udp(source, destination, [4000, 53], new Uint8Array(40).fill(7));

  it("are rewritten one by one; only the first has a checksum", () => {
    const first = fragment(0x2000, (source, destination) => whole(source, destination).subarray(0, 24));
    const last = fragment(3, (source, destination) => whole(source, destination).subarray(24));
    const both = lab();
    for (let n = 0; n < 2; n++) {
      for (const packet of [first, last]) {
        expect(ends(both, "host1/Blue1", asSent(V4, packet))).toEqual([wireEnd(onWire(V4, packet))]);
        expect(ends(both, "host2/nic1", onWire(V4, packet))).toEqual([`host2/Blue2 ${hexOf(asSent(V4, packet))}`]);
      }
    }
    expect(both.counters().flows).toMatchObject({ misses: 4, hits: 4 });
  });
});

describe("IP Rewrite: MTU", () => {
  it("nothing is added: 1500 octets pass where the interface's MTU is 1500; one more is told so", () => {
    const both = lab();
    const fits = datagram(1500 - 28);
    expect(ends(both, "host1/Blue1", asSent(V4, fits))).toEqual([wireEnd(onWire(V4, fits))]);
    const [end, told] = both.send("host1/Blue1", asSent(V4, datagram(1501 - 28)));
    expect(text(end!)).toBe("TX_TOO_BIG_ICMP4");
    expect(told!.port).toBe("host1/Blue1");
    expect(
      [...told!.frame.subarray(34, 42)].filter((_, at) => at < 2 || at > 3),
      "next-hop MTU",
    ).toEqual([3, 4, 0, 0, 5, 220]);
  });
});

describe("IP Rewrite: ordinary NIC offloads work", () => {
  const offloading = (): EmulatedLab => lab(RECORDS, "", "mtu: 1500, lso: true, checksumOffload: true");
  const segment = (
    source: string,
    destination: string,
    sequence: number,
    data: Uint8Array,
    push = true,
  ): Uint8Array => {
    const head = [
      15,
      160,
      0,
      80,
      0,
      0,
      sequence >>> 8,
      sequence & 0xff,
      0,
      0,
      0,
      1,
      0x50,
      push ? 0x18 : 0x10,
      16,
      0,
      0,
      0,
      0,
      0,
    ];
    const tcp = concatenate(head, data);
    const pseudo = concatenate(
      addressBytes(source),
      addressBytes(destination),
      [0, 6],
      [tcp.length >>> 8, tcp.length & 0xff],
    );
    const sum = internetChecksum(concatenate(pseudo, tcp));
    tcp.set([sum >>> 8, sum & 0xff], 16);
    return tcp;
  };
  /** What the VM leaves in the field: the sum of the pseudo header. */
  const unfinished = (source: string, destination: string, tcp: Uint8Array): Uint8Array => {
    const pseudo = concatenate(
      addressBytes(source),
      addressBytes(destination),
      [0, 6],
      [tcp.length >>> 8, tcp.length & 0xff],
    );
    const sum = ~internetChecksum(pseudo) & 0xffff;
    return concatenate(tcp.subarray(0, 16), [sum >>> 8, sum & 0xff], tcp.subarray(18));
  };
  const tcpPacket =
    (finish: (source: string, destination: string, tcp: Uint8Array) => Uint8Array, data: Uint8Array): Packet =>
    (source, destination) =>
      ip({
        source,
        destination,
        protocol: 6,
        payload: finish(source, destination, segment(source, destination, 0, data)),
      });

  it("a checksum that the VM leaves to hardware is finished, and right for the addresses on the wire", () => {
    const data = Uint8Array.from({ length: 101 }, (_, at) => at);
    const both = offloading();
    const wire = onWire(
      V4,
      tcpPacket((_source, _destination, tcp) => tcp, data),
    );
    for (let n = 0; n < 2; n++) {
      expect(ends(both, "host1/Blue1", asSent(V4, tcpPacket(unfinished, data)))).toContain(wireEnd(wire));
    }
  });

  it("a large send is cut by the VM's own MTU, from which nothing is taken", () => {
    const data = Uint8Array.from({ length: 3000 }, (_, at) => at & 0xff);
    const sent = asSent(V4, tcpPacket(unfinished, data));
    const delivered = offloading()
      .send("host1/Blue1", sent)
      .filter(({ verdict }) => verdict === "delivered");
    const pieces = delivered.map(({ frame }) => frame);
    expect(pieces.map(({ length }) => length - 18)).toEqual([1500, 1500, 120]);
    expect(hexOf(concatenate(...pieces.map((frame) => frame.subarray(18 + 40))))).toBe(hexOf(data));
    for (const frame of pieces) {
      const tcp = frame.subarray(18 + 20);
      const pseudo = concatenate(frame.subarray(30, 38), [0, 6], [tcp.length >>> 8, tcp.length & 0xff]);
      expect(internetChecksum(concatenate(pseudo, tcp)), "adds up").toBe(0);
      expect(internetChecksum(frame.subarray(18, 38)), "so does the IP header").toBe(0);
    }
  });
});

describe("IP Rewrite: non-IP, ARP, broadcast, multicast", () => {
  it("ARP for all is answered as always, and never carried", () => {
    const question = arp({ operation: 1, senderMac: BLUE1, sender: "10.0.0.5", target: "10.0.0.7" });
    const answer = arp({ operation: 2, senderMac: BLUE2, sender: "10.0.0.7", targetMac: BLUE1, target: "10.0.0.5" });
    const both = lab();
    expect(ends(both, "host1/Blue1", ethernet("FF-FF-FF-FF-FF-FF", BLUE1, question))).toEqual([
      "consumed",
      `host1/Blue1 ${hexOf(ethernet(BLUE1, BLUE2, answer))}`,
    ]);
    expect(ends(both, "host1/Blue1", ethernet(BLUE2, BLUE1, question)), "a unicast probe").toEqual(["TX_RULE_NAT"]);
    const probe = icmpv6("fd00:10::5", "fd00:10::7", neighborMessage(135, 0, "fd00:10::7", [1, BLUE1]));
    expect(ends(both, "host1/Blue1", ethernet(BLUE2, BLUE1, probe)), "neighbor discovery").toEqual(["TX_RULE_NAT"]);
    expect(ends(both, "host1/Blue1", ethernet(BLUE2, BLUE1, concatenate([0x88, 0xcc], new Uint8Array(46))))).toEqual([
      "TX_NON_IP",
    ]);
  });

  it("neighbor discovery for such a PA is left to others", () => {
    const probe = icmpv6(V6.fromPa, V6.toPa, neighborMessage(135, 0, V6.toPa, [1, NIC1]));
    expect(ends(lab(), "host2/nic1", ethernet(NIC2, NIC1, tagged(VLAN, probe)))).toEqual(["passed"]);
  });

  it("broadcast goes to nobody, whose records all say TranslationMethodNat", () => {
    const rewritten = RECORDS.filter((record) => record.includes("Nat"));
    const sent = ethernet("FF-FF-FF-FF-FF-FF", BLUE1, datagram()("10.0.0.5", "10.0.0.255"));
    expect(ends(lab(rewritten), "host1/Blue1", sent)).toEqual(["TX_NO_FLOOD"]);
  });

  const group = (ca: string, pa: string): string =>
    `{ virtualSubnetID: 5001, customerAddress: "${ca}", macAddress: 06-06-00-00-00-EE, providerAddress: "${pa}", rule: TranslationMethodNat }`;
  it.each([
    ["IPv4", V4, "239.1.2.3", "239.192.200.7", "01-00-5E-01-02-03", "01-00-5E-40-C8-07"],
    ["IPv6", V6, "ff08::1:3", "ff08::8000:7", "33-33-00-01-00-03", "33-33-80-00-00-07"],
  ])(
    "an %s multicast CA whose record has a multicast PA: rewritten to that group",
    (_family, { from, fromPa }, ca, pa, mac, wireMac) => {
      const both = lab([...RECORDS.filter((record) => record.includes("Nat")), group(ca, pa)]);
      const wire = ethernet(wireMac, NIC1, tagged(VLAN, datagram(20, 5)(fromPa, pa)));
      for (let n = 0; n < 2; n++) {
        expect(ends(both, "host1/Blue1", ethernet(mac, BLUE1, datagram(20, 5)(from, ca)))).toEqual([wireEnd(wire)]);
      }
      expect(ends(both, "host1/Blue1", ethernet(mac, BLUE1, datagram(1473)(from, ca)))).toEqual(["TX_TOO_BIG"]);
    },
  );

  it("such a group's record comes and goes, and the next packet knows", () => {
    const both = lab(RECORDS.filter((record) => record.includes("Nat")));
    const sent = ethernet("01-00-5E-01-02-03", BLUE1, datagram()("10.0.0.5", "239.1.2.3"));
    expect(ends(both, "host1/Blue1", sent)).toEqual(["TX_NO_FLOOD"]);
    const record: LookupRecord = {
      ...both.policyOf("host1").lookupRecords.find(5001 as Vsid, parseAddress("10.0.0.7")!)!,
      customerAddress: parseAddress("239.1.2.3")!,
      providerAddress: parseAddress("239.192.200.7")!,
    };
    both.changePolicy("host1", { kind: "recordAdded", record });
    expect(both.send("host1/Blue1", sent)[0]!.port).toBe("host1/nic1");
    both.changePolicy("host1", { kind: "recordRemoved", record });
    expect(ends(both, "host1/Blue1", sent)).toEqual(["TX_NO_FLOOD"]);
  });
});

describe("IP Rewrite: mixed families", () => {
  it("are dropped, by the sender and by the receiver", () => {
    const far = changed("192.168.4.102", '"2001:db8:4::104"');
    expect(ends(far, "host1/Blue1", asSent(V4, datagram()))).toEqual(["TX_NAT_FAMILY"]);
    const own = changed("192.168.4.101", '"2001:db8:4::104"');
    expect(ends(own, "host1/Blue1", asSent(V4, datagram()))).toEqual(["TX_NAT_FAMILY"]);
    const receiver = changed('customerAddress: "fd00:10::5"', "customerAddress: 10.0.0.55");
    expect(ends(receiver, "host2/nic1", onWire(V6, datagram()))).toEqual(["RX_NAT_FAMILY"]);
  });
});

describe("a change of records", () => {
  const find = (both: EmulatedLab, host: string, address: string): LookupRecord =>
    both.policyOf(host).lookupRecords.find(5001 as Vsid, parseAddress(address)!)!;
  it("holds for the very next packet, sent or received", () => {
    const both = lab();
    const [sent, wire] = [asSent(V4, datagram()), onWire(V4, datagram())];
    const delivered = `host2/Blue2 ${hexOf(sent)}`;
    expect(ends(both, "host1/Blue1", sent)).toEqual([wireEnd(wire)]);
    expect(ends(both, "host2/nic1", wire)).toEqual([delivered]);

    for (const address of ["10.0.0.5", "10.0.0.7"]) {
      const record = find(both, "host2", address);
      both.changePolicy("host2", { kind: "recordRemoved", record });
      const [reason] = ends(both, "host2/nic1", wire);
      expect(reason, address).toBe(address === "10.0.0.5" ? "RX_NAT_SOURCE" : "passed");
      both.changePolicy("host2", { kind: "recordAdded", record });
      expect(ends(both, "host2/nic1", wire)).toEqual([delivered]);
    }
    const far = find(both, "host1", "10.0.0.7");
    both.changePolicy("host1", { kind: "recordReplaced", record: { ...far, rule: "TranslationMethodEncap" } });
    expect(both.send("host1/Blue1", sent)[0]!.frame.length).toBe(sent.length + 4 + 42);
    both.changePolicy("host1", { kind: "recordReplaced", record: far });
    expect(ends(both, "host1/Blue1", sent)).toEqual([wireEnd(wire)]);
  });

  it("of another VM touches no flow", () => {
    const both = lab();
    const wire = onWire(V4, datagram());
    both.send("host2/nic1", wire);
    const before = both.counters().flows;
    const red = both.policyOf("host2").lookupRecords.find(6001 as Vsid, parseAddress("10.0.0.5")!)!;
    both.changePolicy("host2", { kind: "recordReplaced", record: { ...red, vmName: "other" } });
    both.send("host2/nic1", wire);
    const { stale, hits } = both.counters().flows;
    expect([stale - before.stale, hits - before.hits]).toEqual([0, 1]);
  });
});

it("explains what stands for what", () => {
  const both = lab();
  const [step] = both.explain("host1/Blue1", asSent(V4, datagram()));
  const rule = step!.layers.filter(({ layer }) => layer === "translation rule");
  expect(rule.map(({ decided }) => decided)).toEqual([
    "TranslationMethodNat",
    "IP Rewrite: 192.168.4.101 -> 192.168.4.102, 02-00-C0-A8-04-0B -> 02-00-C0-A8-04-16, VLAN 103",
  ]);
  expect(hexOf(step!.outputs[0]!.after)).toBe(hexOf(onWire(V4, datagram())));
  const [arrival] = both.explain("host2/nic1", onWire(V4, datagram()));
  expect(arrival!.layers.map(({ decided }) => decided)).toContain("IP Rewrite: was 10.0.0.5 -> 10.0.0.7 in VSID 5001");
});
