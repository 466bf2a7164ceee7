/**
 * ICMP errors of the provider network's routers about packets of IP Rewrite: told to the VM whose packet it was, as from its gateway. Messages, and
 * what the VM shall get, are Scapy's; tshark reads the results.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { createLab } from "../../../../src/index.js";
import { frame as ethernet, hexOf, internetChecksum } from "../../../engine/build.js";
import { isScapyAvailable, scapyFrames } from "../../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../../oracles/tshark.js";
import { BLUE_ID, BLUE1, BLUE2, datagram, ends, GATEWAY, lab, NIC1, NIC2, RECORDS, V4, V6 } from "./ip-rewrite-lab.js";

/**
 * `err(message, quoted, source, destination, cut)`: on the wire, from router 192.168.4.1 or 2001:db8:4::1, quoting the first octets of what
 * `quoted(source, destination)` makes; and as Blue1 shall get it.
 */
const SCRIPT = `
V4 = dict(router=("192.168.4.1", "10.0.0.1"), near=("192.168.4.101", "10.0.0.5"), far=("192.168.4.102", "10.0.0.7"))
V6 = dict(router=("2001:db8:4::1", "fd00:10::1"), near=("2001:db8:4::101", "fd00:10::5"), far=("2001:db8:4::102", "fd00:10::7"))
def link(i): return [Ether(dst="02:00:c0:a8:04:0b", src="02:00:c0:a8:04:01")/Dot1Q(vlan=103), Ether(dst="06:06:00:00:00:05", src="02:00:5e:00:01:01")][i]
def head(a, s, d, i, **more): return (IP if a is V4 else IPv6)(src=a[s][i], dst=a[d][i], **more)
def err(a, message, inside, cut=None, told=None, near="near", far="far", flags="DF"):
    for i in range(2):
        extra = dict(flags=flags, id=9, ttl=63) if a is V4 else dict(hlim=63)
        quoted = bytes(head(a, near, far, i, **extra)/inside)[:cut]
        say = told if told is not None and i == 1 else message
        emit(link(i)/head(a, "router", "near", i, **(dict(id=0, ttl=250, tos=0xc0) if a is V4 else dict(hlim=250, tc=0xc0)))/say/Raw(quoted))
BIG = Raw(bytes(x % 251 for x in range(1400)))
def needed(mtu): return ICMP(type=3, code=4, nexthopmtu=mtu)
def toobig(mtu, code=0): return ICMPv6PacketTooBig(mtu=mtu, code=code)
`;
interface Case {
  readonly wire: Uint8Array;
  readonly told: Uint8Array;
}
const casesOf = (statements: string): Case[] => {
  const frames = scapyFrames(SCRIPT + statements);
  return Array.from({ length: frames.length / 2 }, (_, at) => ({ wire: frames[2 * at]!, told: frames[2 * at + 1]! }));
};

describe.skipIf(!isScapyAvailable())("an error of a router about a rewritten packet", () => {
  const TOLD: readonly (readonly [string, string])[] = [
    ["fragmentation needed, quoting 8 octets of TCP", `err(V4, needed(1400), TCP(sport=40000, dport=443)/BIG, 28)`],
    ["fragmentation needed, quoting 528 octets of UDP", `err(V4, needed(1400), UDP(sport=4000, dport=53)/BIG, 548)`],
    ["fragmentation needed, less than any path carries: 576", `err(V4, needed(68), UDP()/BIG, 28, told=needed(576))`],
    [
      "host unreachable, quoting all of an echo request",
      `err(V4, ICMP(type=3, code=1), ICMP(type=8, id=3)/Raw(b"ping"))`,
    ],
    [
      "time exceeded about a packet without DF",
      `err(V4, ICMP(type=11, code=0), UDP(dport=33434)/Raw(b"trace"), flags=0)`,
    ],
    ["time exceeded about a later fragment", `err(V4, ICMP(type=11, code=0), Raw(bytes(range(40))), 28, flags="MF")`],
    ["packet too big, quoting 1192 octets", `err(V6, toobig(1400), TCP(sport=40000, dport=443)/BIG, 1232)`],
    [
      "packet too big of exactly 1280, with another code",
      `err(V6, toobig(1280, 7), UDP(sport=4000, dport=53)/BIG, 48)`,
    ],
    [
      "no route to destination, quoting all of an ICMPv6 echo",
      `err(V6, ICMPv6DestUnreach(code=0), ICMPv6EchoRequest(id=3))`,
    ],
    ["hop limit exceeded", `err(V6, ICMPv6TimeExceeded(code=0), UDP(dport=33434)/Raw(b"trace"))`],
  ];
  let told: readonly Case[];
  beforeAll(() => {
    told = casesOf(TOLD.map(([, statement]) => statement).join("\n"));
  });

  it.each(TOLD.map(([what], at) => [what, at] as const))(
    "%s: the VM hears of its own packet, from its gateway",
    (_, at) => {
      const { wire, told: expected } = told[at]!;
      const both = lab();
      for (let n = 0; n < 2; n++) {
        expect(ends(both, "host1/nic1", wire)).toEqual(["consumed", `host1/Blue1 ${hexOf(expected)}`]);
      }
      expect(both.counters().flows.hits, "what is quoted is in no flow key").toBe(0);
      const { totals } = both.counters();
      expect(totals.in + totals.injected).toBe(totals.delivered + totals.consumed);
    },
  );

  it.skipIf(!isTsharkAvailable())("tshark reads CAs alone, inside and outside, and finds every checksum right", () => {
    const both = lab();
    const frames = told.map(({ wire }) => both.send("host1/nic1", wire)[1]!.frame);
    const fields = ["ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "icmp.mtu", "icmpv6.mtu"] as const;
    const rows = tsharkFields(frames, fields);
    rows.forEach((row, at) => {
      const isIpv4 = row["ip.src"].length > 0;
      expect([row["ip.src"], row["ip.dst"]], TOLD[at]![0]).toEqual(
        isIpv4
          ? [
              ["10.0.0.1", V4.from],
              [V4.from, V4.to],
            ]
          : [[], []],
      );
      expect([row["ipv6.src"], row["ipv6.dst"]]).toEqual(
        isIpv4
          ? [[], []]
          : [
              ["fd00:10::1", V6.from],
              [V6.from, V6.to],
            ],
      );
    });
    expect(rows.flatMap((row) => row["icmp.mtu"])).toEqual(["1400", "1400", "576"]);
    expect(rows.flatMap((row) => row["icmpv6.mtu"])).toEqual(["1400", "1280"]);
    const statuses = ["ip.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status"] as const;
    for (const row of tsharkFields(frames, statuses)) {
      const found = statuses.map((name) => row[name]).filter((each) => each.length > 0);
      expect(new Set(found.map(([outer]) => outer)), "1: good").toEqual(new Set(["1"]));
      expect(found.flat(), "0: bad; 2: quoted in part, so not to be told").not.toContain("0");
    }
  });

  const IGNORED: readonly (readonly [string, string])[] = [
    ["an IPv6 report below 1280 (RFC 8201 §4)", `err(V6, toobig(1279), UDP()/BIG, 48)`],
    ["an MTU of 0, as before RFC 1191", `err(V4, needed(0), UDP()/BIG, 28)`],
    ["an MTU that the packet would have fitted (RFC 5927 §7)", `err(V4, needed(1428), UDP()/BIG, 28)`],
    ["too big about a packet without DF", `err(V4, needed(1400), UDP()/BIG, 28, flags=0)`],
    [
      "a quote of another sender's packet",
      `V4["other"] = ("192.168.4.201",)*2; err(V4, needed(1400), UDP()/BIG, 28, near="other")`,
    ],
    [
      "a quote of a packet to another tenant",
      `V4["red"] = ("192.168.4.202",)*2; err(V4, needed(1400), UDP()/BIG, 28, far="red")`,
    ],
    [
      "a quote of a packet to nobody",
      `V4["nobody"] = ("192.168.4.99",)*2; err(V4, ICMP(type=3, code=1), UDP()/BIG, 28, far="nobody")`,
    ],
    ["a quote cut within its IP header", `err(V4, ICMP(type=11, code=0), UDP()/BIG, 19)`],
    [
      "a redirect, which is for a link and its hosts",
      `err(V4, ICMP(type=5, code=1, gw="192.168.4.66"), UDP()/BIG, 28)`,
    ],
    ["source quench (RFC 6633 §4)", `err(V4, ICMP(type=4, code=0), UDP()/BIG, 28)`],
    ["a wrong checksum", `err(V4, ICMP(type=3, code=1, chksum=0x1234), UDP()/BIG, 28)`],
    ["a wrong checksum over IPv6", `err(V6, ICMPv6PacketTooBig(mtu=1400, cksum=0x1234), UDP()/BIG, 48)`],
  ];
  it("is ignored and counted where it could not be true, or is of no use", () => {
    const cases = casesOf(IGNORED.map(([, statement]) => statement).join("\n"));
    const both = lab();
    cases.forEach(({ wire }, at) => {
      for (let n = 0; n < 2; n++) expect(ends(both, "host1/nic1", wire), IGNORED[at]![0]).toEqual(["RX_NAT_ERROR"]);
    });
  });

  it("is never told as from an address that the subnet does not have", () => {
    const [{ wire }] = casesOf(`err(V4, needed(1400), UDP()/BIG, 28)`) as [Case];
    const both = lab();
    const routes = both
      .policyOf("host1")
      .customerRoutes.all.filter(({ destinationPrefix }) => destinationPrefix.address.family === 6);
    both.changePolicy("host1", { kind: "customerRoutesReplaced", routes });
    expect(ends(both, "host1/nic1", wire)).toEqual(["RX_NAT_ERROR"]);
  });

  it("about NVGRE that such a VM has sent to an encapsulated one, tells the host", () => {
    const [{ wire }] = casesOf(
      `V4["encap"] = ("192.168.4.22",)*2; err(V4, needed(1400), GRE(key_present=1, proto=0x6558, key=5001 << 8)/Ether()/IP()/BIG, 48, far="encap")`,
    ) as [Case];
    const both = lab();
    // Scapy announces the protocol by the quoted header.
    expect(ends(both, "host1/nic1", wire)).toEqual(["RX_PATH_MTU"]);
    both.pass(1_000_000_000n);
    expect(both.policyOf("host1").pathMtus.all).toMatchObject([{ mtu: 1400 }]);
  });

  it("every truncation is met without an error", () => {
    const { wire } = told[1]!;
    const both = lab();
    for (let length = 38; length < 120; length++) {
      const cut = wire.slice(0, length);
      cut.set([(length - 18) >> 8, (length - 18) & 0xff], 20);
      cut.set([0, 0], 28);
      const sum = internetChecksum(cut.subarray(18, 38));
      cut.set([sum >> 8, sum & 0xff], 28);
      expect(["RX_NAT_ERROR", "RX_NAT_SOURCE"]).toContain(ends(both, "host1/nic1", cut)[0]);
    }
  });
});

describe("path MTU discovery of a rewritten flow", () => {
  /** Each host has a provider subnet of its own; what is between them is the lab's. */
  const labText = (): string => `
apiVersion: hnv/v1
provider:
  subnets:
    - { prefix: 192.168.4.0/24, vlan: 103, mtu: 1500, gateway: 192.168.4.1 }
    - { prefix: 192.168.5.0/24, vlan: 104, mtu: 1400, gateway: 192.168.5.1 }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: ${NIC1} }]
    providerAddresses: [{ address: 192.168.4.11 }, { address: 192.168.4.101 }]
    vms: [{ name: Blue1, adapters: [{ mac: ${BLUE1}, vsid: 5001 }] }]
  - name: host2
    nics: [{ name: nic1, mac: ${NIC2} }]
    providerAddresses: [{ address: 192.168.5.22 }, { address: 192.168.5.102 }]
    vms: [{ name: Blue2, adapters: [{ mac: ${BLUE2}, vsid: 5001 }] }]
customerRoutes:
  - { routingDomainID: "${BLUE_ID}", virtualSubnetID: 5001, destinationPrefix: 10.0.0.0/24, nextHop: 0.0.0.0 }
lookupRecords:
${[RECORDS[0]!, RECORDS[1]!.replace("192.168.4.102", "192.168.5.102")].map((record) => `  - ${record}\n`).join("")}`;

  it("the VM learns what the path carries, and what fits arrives", () => {
    const both = createLab(labText());
    const sent = (length: number): Uint8Array =>
      ethernet(BLUE2, BLUE1, dontFragment(datagram(length - 28)(V4.from, V4.to)));
    const [lost, taken, told] = both.send("host1/Blue1", sent(1500));
    expect([lost!.reason?.reason, taken!.verdict, told!.port]).toEqual(["PROVIDER_MTU", "consumed", "host1/Blue1"]);
    expect([...told!.frame.subarray(34, 36), told!.frame[40]! * 256 + told!.frame[41]!]).toEqual([3, 4, 1400]);
    const quoted = told!.frame.subarray(42);
    expect([quoted[12], quoted[16]].join(), "CAs").toBe("10,10");
    expect(both.send("host1/Blue1", sent(1400)).map(({ port }) => port)).toEqual(["host2/Blue2"]);
  });

  it("a TTL that runs out at the provider router is told too: each is a hop of the tenant's packet", () => {
    const both = createLab(labText());
    const results = both.send("host1/Blue1", ethernet(BLUE2, BLUE1, datagram(20, 1)(V4.from, V4.to)));
    const told = results.at(-1)!;
    expect([told.port, told.frame[34]]).toEqual(["host1/Blue1", 11]);
    expect(hexOf(told.frame.subarray(0, 12))).toBe(hexOf(ethernet(BLUE1, GATEWAY, new Uint8Array())));
  });
});

/** With DF, and the checksum that belongs to it. */
function dontFragment(packet: Uint8Array): Uint8Array {
  const changed = packet.slice();
  changed[8] = 0x40;
  changed.set([0, 0], 12);
  const sum = internetChecksum(changed.subarray(2, 22));
  changed.set([sum >> 8, sum & 0xff], 12);
  return changed;
}
