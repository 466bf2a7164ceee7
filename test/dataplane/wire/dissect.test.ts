import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dissect, hexDump } from "../../../src/dataplane/wire/dissect.js";
import { bytesOf, innerOf, WORKED_PACKETS, workedPacket } from "../../vectors/worked-packets.js";
import { patched } from "./classics.js";

const MACS = "0606 0000 0007 0606 0000 0005";
/** The lines behind the Ethernet line, of a frame given as hex behind its MAC addresses. */
const behindMacs = (hex: string) => dissect(bytesOf(MACS + hex)).slice(1);
/** The lines that do not say where the frame goes, for packet A with changes. */
const changedA = (changes: Record<number, number>) => dissect(patched(workedPacket("a"), changes));

describe("dissect", () => {
  it("gives a line to each header of packet A, the inner ones indented", () => {
    expect(dissect(workedPacket("a"))).toEqual([
      "Ethernet 02-00-C0-A8-04-0B > 02-00-C0-A8-04-16, IPv4",
      "IPv4 192.168.4.11 > 192.168.4.22, GRE, length 102, TTL 128, id 0x1a2b, DF",
      "NVGRE VSID 5001, FlowID 0xa5",
      "  Ethernet 06-06-00-00-00-05 > 06-06-00-00-00-07, IPv4",
      "  IPv4 10.0.0.5 > 10.0.0.7, ICMP, length 60, TTL 128, id 0x0001",
      "  ICMP echo request, id 1, seq 1, 32 octets of data",
    ]);
  });

  it("tells of tags, ECN and ports in packet B", () => {
    expect(dissect(workedPacket("b"))).toEqual([
      "Ethernet 02-00-C0-A8-04-0B > 02-00-C0-A8-04-16, tagged (0x8100)",
      "VLAN tag VID 103, PCP 0, IPv4",
      "IPv4 192.168.4.11 > 192.168.4.22, GRE, length 75, TTL 128, id 0x1a2c, DF, ECT(0)",
      "NVGRE VSID 5002, FlowID 0x63",
      "  Ethernet 06-06-00-00-02-01 > 06-06-00-00-00-09, IPv4",
      "  IPv4 10.0.0.5 > 10.0.1.9, UDP, length 33, TTL 127, id 0x0002, DF, ECT(0)",
      "  UDP 49152 > 5000, length 13",
    ]);
  });

  it("tells of flow label and TCP in packet D", () => {
    expect(dissect(workedPacket("d")).slice(1)).toEqual([
      "IPv6 2001:db8:4::11 > 2001:db8:4::22, GRE, payload length 74, hop limit 128, flow label 0xcb735",
      "NVGRE VSID 5001, FlowID 0xbd",
      "  Ethernet 06-06-00-00-00-05 > 06-06-00-00-00-07, IPv4",
      "  IPv4 10.0.0.5 > 10.0.0.7, TCP, length 52, TTL 128, id 0x0003, DF",
      "  TCP 49154 > 80, SYN, seq 287454020, window 64240, MSS 1398, 0 octets of data",
    ]);
  });

  it("follows what ICMP errors quote: packet E", () => {
    expect(dissect(workedPacket("e")).slice(4)).toEqual([
      "  IPv4 192.168.4.22 > 192.168.4.33, ICMP, length 130, TTL 128, id 0x0001, DF",
      "  ICMP redirect, code 10, 102 octets of data",
      "    IPv4 192.168.4.11 > 192.168.4.22, GRE, length 102, TTL 128, id 0x1a2b, DF",
      "    NVGRE VSID 5001, FlowID 0xa5",
      "      Ethernet 06-06-00-00-00-05 > 06-06-00-00-00-07, IPv4",
      "      IPv4 10.0.0.5 > 10.0.0.7, ICMP, length 60, TTL 128, id 0x0001",
      "      ICMP echo request, id 1, seq 1, 32 octets of data",
    ]);
  });

  it("reads frames of ARP, Neighbor Discovery and double tags", () => {
    const arp = "0001 0800 0604 0001 0606 0000 0005 0a00 0005 0000 0000 0000 0a00 0007";
    expect(behindMacs(`0806 ${arp}`)).toEqual(["ARP who has 10.0.0.7, tell 10.0.0.5 at 06-06-00-00-00-05"]);
    const solicitation = `6000 0000 0020 3aff fd00 0010 0000 0000 0000 0000 0000 0005
      ff02 0000 0000 0000 0000 0001 ff00 0007 8700 795f 0000 0000 fd00 0010 0000 0000 0000 0000 0000 0007
      0101 0606 0000 0005`;
    expect(behindMacs(`86dd ${solicitation}`)).toEqual([
      "IPv6 fd00:10::5 > ff02::1:ff00:7, ICMPv6, payload length 32, hop limit 255",
      "ICMPv6 neighbor solicitation, target fd00:10::7, from 06-06-00-00-00-05",
    ]);
    const header = "4500 0014 0001 0000 4000 66de 0a00 0005 0a00 0007";
    expect(behindMacs(`88a8 7ffe 8100 e067 0800 ${header}`)).toEqual([
      "VLAN tag VID 4094, PCP 3, DEI, tagged (0x8100)",
      "VLAN tag VID 103, PCP 7, IPv4",
      "IPv4 10.0.0.5 > 10.0.0.7, hop-by-hop options, length 20, TTL 64, id 0x0001",
      "0 octets of payload",
    ]);
  });

  it("reads ICMPv6 echo, errors with their quotes, and other messages", () => {
    const addresses = "fd00 0010 0000 0000 0000 0000 0000 0005 fd00 0010 0000 0000 0000 0000 0000 0007";
    const last = (payloadLength: string, message: string) =>
      behindMacs(`86dd 6000 0000 ${payloadLength} 3a40 ${addresses} ${message}`).slice(1);
    expect(last("000b", "8000 81ed 1122 0003 7879 7a")).toEqual([
      "ICMPv6 echo request, id 4386, seq 3, 3 octets of data",
    ]);
    expect(last("0008", "8100 74ed 1122 0003").at(-1)).toMatch(/^ICMPv6 echo reply, id 4386, seq 3, 0 octets of data/);
    expect(last("0034", `0200 0000 0000 059e 6000 0000 0010 0640 ${addresses} 0001 0002`)).toEqual([
      "ICMPv6 packet too big, MTU 1438, 44 octets of data, checksum wrong",
      "  IPv6 fd00:10::5 > fd00:10::7, TCP, payload length 16, hop limit 64",
      "  TCP 1 > 2, cut short or malformed: 4 octets",
    ]);
    expect(last("0008", "0402 0000 0000 0006").at(-1)).toMatch(/^ICMPv6 parameter problem, code 2, 0 octets of data/);
    expect(last("0008", "8f00 0000 0000 0000").at(-1)).toBe(
      "ICMPv6 type 143, code 0, 0 octets of data, checksum wrong",
    );
    expect(behindMacs(`86dd 6000 0000 0000 3b40 ${addresses}`)[0]).toMatch(/, no next header, payload length 0/);
  });

  it("names every TCP flag", () => {
    const segment = (flags: string) => {
      const tcp = `0001 0002 0000 0005 0000 0007 50${flags} 2000 0000 0000`;
      return behindMacs(`0800 4500 0028 0001 0000 4006 66c4 0a00 0005 0a00 0007 ${tcp}`).at(-1)!.split(", ");
    };
    const single = ["01", "02", "04", "08", "10", "20", "40", "80"].map((flags) => segment(flags)[1]);
    expect(single).toEqual(["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"]);
    expect(segment("12").slice(1, 4)).toEqual(["SYN ACK", "seq 5", "ack 7"]);
    expect(segment("00")[1]).toBe("no flags");
  });

  it("reads GRE of other kinds", () => {
    const gre = (length: string, hex: string) =>
      behindMacs(`0800 4500 00${length} 0001 0000 402f 0000 0a00 0005 0a00 0007 ${hex}`).slice(1);
    expect(gre("18", "0000 88b5")).toEqual(["GRE EtherType 0x88b5", "  0 octets of payload"]);
    expect(gre("17", "0000 88")).toEqual(["GRE, cut short: 3 octets"]);
    expect(gre("20", "3000 0800 0000 002a 0000 0007")).toEqual([
      "GRE IPv4, key 0x0000002a, sequence 7",
      "  IPv4, malformed: 0 octets, the header needs 20",
    ]);
    const short = "GRE, protocol 0x6558, flags 0x2000, cut short: 7 octets, the header needs 8";
    expect(gre("1b", "2000 6558 0013 89")).toEqual([short]);
  });

  it("quotes cut short are read as far as they go", () => {
    const tooBig = "0304 2675 0000 05b2 4500 001c 0001 0000 4011 66c5 0a00 0005 0a00 0007 3132 3334 3536 3738";
    expect(behindMacs(`0800 4500 0038 0001 0000 4001 66b9 0a00 0005 0a00 0007 ${tooBig}`).slice(1)).toEqual([
      "ICMP destination unreachable, code 4, MTU 1458, 28 octets of data",
      "  IPv4 10.0.0.5 > 10.0.0.7, UDP, length 28, TTL 64, id 0x0001",
      "  UDP 12594 > 13108, length 13622",
    ]);
  });

  it.each([
    ["an IP version", { 14: 0x55 }, "IPv4, malformed: version 5"],
    ["an IHL below five", { 14: 0x44 }, "IPv4, malformed: header length 16"],
    ["a total length below the header's", { 16: 0, 17: 19 }, "IPv4, malformed: total length 19 below header length 20"],
    ["a total length beyond the frame", { 17: 0x67 }, "IPv4, malformed: total length 103, 102 octets present"],
    ["a GRE version", { 35: 1 }, "GRE version 1, protocol 0x6558, flags 0x2001"],
    ["reserved bits", { 34: 0x60 }, "GRE, protocol 0x6558, flags 0x6000, reserved bits set"],
    ["an inner IP header", { 56: 0x05 }, "  IPv4, malformed: version 0"],
  ] as const)("says what is wrong with %s, and stops there", (_, changes, line) => {
    expect(changedA(changes).at(-1)).toBe(line);
  });

  it("says what is wrong with a header that has just its twenty octets", () => {
    const line = (octet: string) => behindMacs(`0800 ${octet}00 0014 0001 0000 4011 66c0 0a00 0005 0a00 0007`)[0];
    expect(line("65")).toBe("IPv4, malformed: version 6");
    expect(line("46")).toBe("IPv4, malformed: total length 20 below header length 24");
  });

  it("says which checksum is wrong", () => {
    expect(changedA({ 24: 0x57 })[1]).toMatch(/, checksum wrong$/);
    expect(changedA({ 78: 0x4e })[5]).toBe("  ICMP echo request, id 1, seq 1, 32 octets of data, checksum wrong");
    expect(dissect(patched(workedPacket("c"), { 104: 1 })).at(-1)).toBe(
      "  UDP 49153 > 5001, length 14, checksum wrong",
    );
    expect(dissect(patched(workedPacket("d"), { 112: 1 })).at(-1)).toMatch(/, checksum wrong$/);
    const summed = "8000 0800 31ff 0000 4500 01";
    const carrier = "0800 4500 001f 0001 0000 402f 66a4 0a00 0005 0a00 0007";
    expect(behindMacs(carrier + summed)[1]).toBe("GRE IPv4, checksum 0x31ff");
    expect(behindMacs(carrier + summed.replace("01", "02"))[1]).toBe("GRE IPv4, checksum 0x31ff, checksum wrong");
  });

  it("counts padding that belongs to no packet", () => {
    expect(dissect(Uint8Array.of(...workedPacket("a"), ...new Uint8Array(10))).at(-1)).toBe("10 octets of padding");
  });

  it("says where a frame is cut, at every length", () => {
    for (const name of ["a", "aVlan", "c", "d", "e"] as const) {
      const frame = workedPacket(name);
      for (let length = 0; length < frame.length; length++) {
        const lines = dissect(frame, 0, length);
        expect(lines.at(-1), `${name} cut at ${length}`).toMatch(/cut short|malformed|of payload/);
      }
    }
  });

  it("reads a part of a buffer as if it were alone", () => {
    for (const name of ["a", "c", "d", "e"] as const) {
      const inner = innerOf(name);
      const frame = workedPacket(name);
      expect(dissect(frame, frame.length - inner.length)).toEqual(dissect(inner));
    }
  });

  it("does not follow tunnels and tags for ever", () => {
    const link = `${MACS} 0800 4500 ffff 0001 0000 402f 0000 0a00 0005 0a00 0007 2000 6558 0013 8900`;
    const tunnels = bytesOf(link.repeat(20));
    for (let level = 0; level < 20; level++) {
      const left = tunnels.length - level * 42 - 14;
      tunnels[level * 42 + 16] = left >> 8;
      tunnels[level * 42 + 17] = left & 0xff;
    }
    const lines = dissect(tunnels);
    expect(lines.filter((line) => line.includes("NVGRE"))).toHaveLength(9);
    expect(lines.at(-1)!.trim()).toBe("nested too deep, not followed");
    expect(behindMacs("8100 0001".repeat(2000)).at(-1)).toBe("more tags, not followed");
  });

  it("never throws, and always says something, whatever the bytes", () => {
    const names = Object.keys(WORKED_PACKETS) as (keyof typeof WORKED_PACKETS)[];
    const changes = fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 12 });
    const damaged = fc.tuple(fc.constantFrom(...names), changes, fc.nat(200)).map(([name, list, length]) => {
      const frame = workedPacket(name);
      for (const [at, value] of list) if (at < frame.length) frame[at] = value;
      return frame.slice(0, Math.max(14, length));
    });
    const options = fc.constantFrom(0x0800, 0x86dd, 0x8100, 0x0806);
    const garbage = fc.tuple(fc.uint8Array({ maxLength: 200 }), options).map(([bytes, type]) => {
      if (bytes.length < 14) return bytes;
      return patched(bytes, { 12: type >> 8, 13: type & 0xff });
    });
    fc.assert(
      fc.property(fc.oneof(damaged, garbage), (frame) => {
        const lines = dissect(frame);
        expect(lines.length).toBeGreaterThan(0);
        expect(lines.every((line) => line.trim() !== "" && !/NaN|undefined|null/.test(line))).toBe(true);
        expect(lines).toEqual(dissect(Uint8Array.of(1, 2, 3, ...frame, 4, 5), 3, 3 + frame.length));
      }),
      { numRuns: 3000 },
    );
  });
});

describe("hexDump", () => {
  it("has sixteen octets a line, with offsets", () => {
    expect(hexDump(workedPacket("a")).slice(0, 2)).toEqual([
      "0000  02 00 c0 a8 04 16 02 00 c0 a8 04 0b 08 00 45 00",
      "0010  00 66 1a 2b 40 00 80 2f 56 cc c0 a8 04 0b c0 a8",
    ]);
    expect(hexDump(workedPacket("a")).at(-1)).toBe("0070  66 67 68 69");
  });

  it("counts from the start of its range", () => {
    expect(hexDump(Uint8Array.of(1, 2, 3, 0xff), 2)).toEqual(["0000  03 ff"]);
    expect(hexDump(new Uint8Array(0))).toEqual([]);
  });
});
