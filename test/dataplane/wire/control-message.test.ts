/** REDIRECT and UNREACHABLE: written as the worked packets E and F, read as Scapy writes them, decoded by tshark. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ControlFields,
  type ControlKind,
  controlKindOf,
  formatAddress,
  makeControlMessage,
  parseAddress,
  parseMac,
  quoteLengthMax,
  readQuote,
} from "../../../src/dataplane/wire/index.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";
import { hexOf, innerOf, workedPacket } from "../../vectors/worked-packets.js";

const ip = (text: string) => parseAddress(text)!;
const mac = (text: string) => parseMac(text)!;
/** Packets A and D from their outer IP header on. */
const A = workedPacket("a").slice(14);
const D = workedPacket("d").slice(14);
/** Where the ICMP message begins within a message's frame. */
const ICMP_AT = { 4: 34, 6: 54 } as const;

const fields = (kind: ControlKind, destination: string, more: Partial<ControlFields> = {}): ControlFields => ({
  kind,
  destinationMac: mac("02-00-C0-A8-04-0B"),
  sourceMac: mac("02-00-C0-A8-04-16"),
  source: ip("192.168.4.22"),
  destination: ip(destination),
  quote: A,
  ...more,
});
const fields6 = (kind: ControlKind, destination: string): ControlFields =>
  fields(kind, destination, { source: ip("2001:db8:4::22"), quote: D });

describe("writing", () => {
  it("packet E: REDIRECT over IPv4, with the target as destination and as gateway address", () => {
    const message = makeControlMessage(fields("redirect", "192.168.4.33", { identification: 1 }));
    expect(hexOf(message)).toBe(hexOf(innerOf("e")));
  });

  it("packet F: UNREACHABLE over IPv4", () => {
    const message = makeControlMessage(fields("unreachable", "192.168.4.11", { identification: 2 }));
    expect(hexOf(message)).toBe(hexOf(innerOf("f")));
  });

  it.skipIf(!isTsharkAvailable())("tshark finds types, addresses and right checksums in all four", () => {
    /** The outermost of each field: tshark looks into the quote as well. */
    const first = (message: Uint8Array, names: readonly string[]) =>
      Object.values(tsharkFields([message], names)[0]!).map((values) => values[0]);
    const ofIpv4 = [
      "icmp.type",
      "icmp.code",
      "icmp.checksum.status",
      "ip.src",
      "ip.dst",
      "ip.ttl",
      "ip.checksum.status",
    ];
    const ofIpv6 = ["icmpv6.type", "icmpv6.code", "icmpv6.checksum.status", "ipv6.src", "ipv6.dst", "ipv6.hlim"];
    const redirect = makeControlMessage(fields("redirect", "192.168.4.33"));
    expect(first(redirect, ofIpv4)).toEqual(["5", "10", "1", "192.168.4.22", "192.168.4.33", "128", "1"]);
    expect(first(redirect, ["icmp.redir_gw"])).toEqual(["192.168.4.33"]);
    const unreachable = makeControlMessage(fields("unreachable", "192.168.4.11"));
    expect(first(unreachable, ofIpv4)).toEqual(["3", "10", "1", "192.168.4.22", "192.168.4.11", "128", "1"]);
    const redirect6 = makeControlMessage(fields6("redirect", "2001:db8:4::33"));
    expect(first(redirect6, ofIpv6)).toEqual(["137", "1", "1", "2001:db8:4::22", "2001:db8:4::33", "128"]);
    const unreachable6 = makeControlMessage(fields6("unreachable", "2001:db8:4::11"));
    expect(first(unreachable6, ofIpv6)).toEqual(["1", "1", "1", "2001:db8:4::22", "2001:db8:4::11", "128"]);
  });

  it("an IP packet of 548 octets at most over IPv4, 1232 over IPv6, and never more than fits", () => {
    expect([quoteLengthMax(4, 1458), quoteLengthMax(6, 1438)]).toEqual([520, 1184]);
    expect([quoteLengthMax(4, 300), quoteLengthMax(6, 600)]).toEqual([272, 552]);
    const longest = makeControlMessage(fields("redirect", "192.168.4.33", { quote: new Uint8Array(520) }));
    expect(longest.length).toBe(14 + 548);
  });
});

describe("kinds", () => {
  it("ICMP 5/10 and 3/10, ICMPv6 137/1 and 1/1, and nothing else", () => {
    const all = Array.from({ length: 0x10000 }, (_, typeAndCode) => typeAndCode);
    const found = ([4, 6] as const).flatMap((family) =>
      all.flatMap((value) => {
        const kind = controlKindOf(family, value);
        return kind ? [[family, value >>> 8, value & 0xff, kind]] : [];
      }),
    );
    expect(found).toEqual([
      [4, 3, 10, "unreachable"],
      [4, 5, 10, "redirect"],
      [6, 1, 1, "unreachable"],
      [6, 137, 1, "redirect"],
    ]);
  });
});

describe("reading", () => {
  const read = (frame: Uint8Array, family: 4 | 6 = 4) => {
    const quote = readQuote(frame, ICMP_AT[family], frame.length);
    if (!quote) return null;
    const { outer, vsid, customerAddress } = quote;
    const from = outer && `${formatAddress(outer.source)} > ${formatAddress(outer.destination)}`;
    return { outer: from, vsid, ca: formatAddress(customerAddress) };
  };
  const OF_A = { outer: "192.168.4.11 > 192.168.4.22", vsid: 5001, ca: "10.0.0.7" };

  it.each(["e", "f"] as const)("packet %s quotes packet A", (name) => {
    expect(read(innerOf(name))).toEqual(OF_A);
  });

  /** A message with any octets behind type, code and checksum. */
  const message = (...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array =>
    Uint8Array.from([...innerOf("e").subarray(0, ICMP_AT[4] + 4), ...parts.flatMap((part) => [...part])]);

  it("the quoted packet behind four octets of ICMP header", () => {
    expect(read(message(A))).toEqual(OF_A);
  });

  it("a quote that begins with the GRE header, behind eight octets and behind four", () => {
    const gre = A.subarray(20);
    expect(read(message([0, 0, 0, 0], gre))).toEqual({ ...OF_A, outer: null });
    expect(read(message(gre))).toEqual({ ...OF_A, outer: null });
  });

  it("IPv4 in IPv6, IPv6 in IPv4", () => {
    const d = makeControlMessage(fields6("redirect", "2001:db8:4::33"));
    expect(read(d, 6)).toEqual({ outer: "2001:db8:4::11 > 2001:db8:4::22", vsid: 5001, ca: "10.0.0.7" });
    const c = makeControlMessage(fields("redirect", "192.168.4.33", { quote: workedPacket("c").slice(14) }));
    expect(read(c)).toEqual({ ...OF_A, ca: "fd00:10::7" });
  });

  it("needs the inner IP header whole, and no octet more", () => {
    const whole = 20 + 8 + 14 + 20;
    for (let length = 0; length <= A.length; length++) {
      const cut = message([0, 0, 0, 0], A.subarray(0, length));
      expect(read(cut) === null, `${length} octets`).toBe(length < whole);
    }
  });

  it("looks at nothing behind the end", () => {
    const frame = innerOf("e");
    fc.assert(
      fc.property(fc.integer({ min: ICMP_AT[4], max: frame.length }), (end) => {
        const cut = frame.slice(0, end);
        expect(readQuote(frame, ICMP_AT[4], end)).toEqual(readQuote(cut, ICMP_AT[4], end));
      }),
    );
  });

  it("any octets at all are read or refused, and never thrown at", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (octets) => {
        expect(() => readQuote(octets, 0, octets.length)).not.toThrow();
      }),
      { numRuns: 2000 },
    );
  });

  it.skipIf(!isScapyAvailable())("Scapy's messages, and what Scapy may put in place of a quote", () => {
    const frames = scapyFrames(`
outer = IP(src="192.168.4.11", dst="192.168.4.22", options=[IPOption(b"\\x01\\x01\\x01\\x01")])
outer6 = IPv6(src="2001:db8:4::11", dst="2001:db8:4::22") / IPv6ExtHdrDestOpt()
gre = GRE(key_present=1, key=0x1389a5, proto=0x6558)
ether = Ether(src="06:06:00:00:00:05", dst="06:06:00:00:00:07")
packet = IP(src="10.0.0.5", dst="10.0.0.7") / UDP() / ("x" * 20)
packet6 = IPv6(src="fd00:10::5", dst="fd00:10::7") / UDP() / ("x" * 20)
head = Ether() / IP(src="192.168.4.22", dst="192.168.4.33") / ICMP(type=5, code=10, gw="192.168.4.33")
def quoting(quoted): emit(head / Raw(bytes(quoted)))
quoting(outer / gre / ether / packet)
quoting(outer6 / gre / ether / packet6)
quoting(outer / GRE(proto=0x6558) / ether / packet)
quoting(outer / GRE(key_present=1, key=0x1389a5, proto=0x0800) / packet)
quoting(outer / GRE(key_present=1, seqnum_present=1, key=0x1389a5, proto=0x6558) / ether / packet)
quoting(outer / gre / ether / Dot1Q(vlan=5) / packet)
quoting(outer / gre / ether / ARP())
quoting(outer / UDP() / gre / ether / packet)
quoting(outer / gre / Ether(src="06:06:00:00:00:05", dst="06:06:00:00:00:07", type=0x86dd) / packet)
quoting(packet)
quoting(Raw(b""))
`);
    expect(frames.map((frame) => read(frame))).toEqual([
      OF_A,
      { outer: "2001:db8:4::11 > 2001:db8:4::22", vsid: 5001, ca: "fd00:10::7" },
      ...Array<null>(9).fill(null),
    ]);
  });
});
