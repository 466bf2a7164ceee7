/** IP Rewrite (TranslationMethodNat), row by row of what is known of it. */
import { describe, expect, it } from "vitest";
import type { LookupRecord } from "../../../../src/dataplane/policy/index.js";
import { parseAddress, type Vsid } from "../../../../src/dataplane/wire/index.js";
import { createLab, type EmulatedLab } from "../../../../src/library.js";
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
import {
  asSent,
  BLUE_ID,
  BLUE1,
  BLUE2,
  BLUE3,
  back,
  changed,
  datagram,
  type Ends,
  ends,
  GATEWAY,
  GATEWAY_5002,
  lab,
  labText,
  NIC1,
  NIC2,
  onWire,
  type Packet,
  RECORDS,
  text,
  V4,
  V6,
  VLAN,
  wireEnd,
} from "./ip-rewrite-lab.js";

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

  it.each([
    ["IPv4", V4, "239.1.2.3", "239.192.200.7", "01-00-5E-01-02-03", "01-00-5E-40-C8-07"],
    ["IPv6", V6, "ff08::1:3", "ff08::8000:7", "33-33-00-01-00-03", "33-33-80-00-00-07"],
  ])(
    "what arrives for an %s group is for every adapter of its virtual subnet here, with the CAs",
    (_family, { from, fromPa }, ca, pa, mac, wireMac) => {
      const both = lab([...RECORDS, group(ca, pa)]);
      const wire = (source: string): Uint8Array => ethernet(wireMac, NIC1, tagged(VLAN, datagram(20, 5)(source, pa)));
      const copy = hexOf(ethernet(mac, BLUE1, datagram(20, 5)(from, ca)));
      for (let n = 0; n < 2; n++) {
        const found = ends(both, "host2/nic1", wire(fromPa)).toSorted();
        expect(found, "Blue3 and Red2 are in other subnets").toEqual([`host2/Blue2 ${copy}`, `host2/Blue5 ${copy}`]);
      }
      expect(both.counters().flows, "the kernel makes later copies").toMatchObject({ misses: 1, hits: 1 });
    },
  );

  it.each([
    ["a source that stands for nobody", "192.168.4.99", "RX_NAT_SOURCE"],
    ["a source of another tenant", "192.168.4.201", "RX_NAT_SOURCE"],
    ["a source of another virtual subnet, which no group packet leaves", "192.168.4.104", "RX_NAT_SOURCE"],
    ["one of our own addresses", "192.168.4.102", "RX_OUTER_SRC"],
  ])("for a group: %s", (_what, source, reason) => {
    const other = `{ virtualSubnetID: 5002, customerAddress: 10.0.1.44, macAddress: 06-06-00-00-00-44, providerAddress: 192.168.4.104, rule: TranslationMethodNat }`;
    const both = lab([...RECORDS, other, group("239.1.2.3", "239.192.200.7")]);
    const wire = ethernet("01-00-5E-40-C8-07", NIC1, tagged(VLAN, datagram(20, 5)(source, "239.192.200.7")));
    expect(ends(both, "host2/nic1", wire)).toEqual([reason]);
  });

  it("a group that no record names is left to others; an error about a group is nobody's", () => {
    const wire = (packet: Uint8Array): Uint8Array => ethernet("01-00-5E-40-C8-07", NIC1, tagged(VLAN, packet));
    expect(ends(lab(), "host2/nic1", wire(datagram()("192.168.4.101", "239.192.200.7")))).toEqual(["passed"]);
    const quoted = datagram()("192.168.4.102", "192.168.4.101").subarray(2);
    const error = icmp("192.168.4.1", "239.192.200.7", [3, 1, 0, 0, 0, 0, 0, 0, ...quoted]);
    const both = lab([...RECORDS, group("239.1.2.3", "239.192.200.7")]);
    expect(ends(both, "host2/nic1", wire(error))).toEqual(["RX_NAT_ERROR"]);
  });

  it("from end to end: one copy on the wire serves the members on other hosts, encapsulated ones too", () => {
    const provider =
      "provider: { subnets: [{ prefix: 192.168.4.0/24, vlan: 103 }, { prefix: 2001:db8:4::/64, vlan: 103 }] }\n";
    const both = createLab(labText([...RECORDS, group("239.1.2.3", "239.192.200.7")], provider));
    const sent = ethernet("01-00-5E-01-02-03", BLUE1, datagram(20, 5)("10.0.0.5", "239.1.2.3"));
    const found = ends(both, "host1/Blue1", sent).toSorted();
    expect(found).toEqual([`host2/Blue2 ${hexOf(sent)}`, `host2/Blue5 ${hexOf(sent)}`]);
  });

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
