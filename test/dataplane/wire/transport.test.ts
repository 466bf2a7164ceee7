import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../src/dataplane/wire/address-text.js";
import { checksumSum, updateChecksum, updateChecksumOfPart } from "../../../src/dataplane/wire/checksum.js";
import { ipv4ChecksumIsRight, setIpv4Addresses } from "../../../src/dataplane/wire/ipv4.js";
import { ipv6DestinationAt, ipv6SourceAt, setIpv6Addresses } from "../../../src/dataplane/wire/ipv6.js";
import { transportChecksumOf } from "../../../src/dataplane/wire/transport.js";
import { innerOf } from "../../vectors/worked-packets.js";

describe("where transports keep their checksum", () => {
  it.each([
    ["TCP", 4, 6, 16, true, false],
    ["TCP", 6, 6, 16, true, false],
    ["UDP", 4, 17, 6, true, true],
    ["UDP", 6, 17, 6, true, true],
    ["ICMP", 4, 1, 2, false, false],
    ["ICMPv6", 6, 58, 2, true, false],
  ] as const)("%s over IPv%i", (_name, family, protocol, offset, coversAddresses, zeroIsNone) => {
    expect(transportChecksumOf(family, protocol)).toEqual({ offset, coversAddresses, zeroIsNone });
  });

  it.each([
    ["ICMP over IPv6", 6, 1],
    ["ICMPv6 over IPv4", 4, 58],
    ["SCTP, whose checksum knows no addresses", 4, 132],
    ["ESP, which nobody can read", 6, 50],
  ] as const)("%s: nowhere", (_name, family, protocol) => {
    expect(transportChecksumOf(family, protocol)).toBeUndefined();
  });
});

describe("new addresses in a header", () => {
  it("IPv4: the checksum of the worked packet A still holds", () => {
    const frame = innerOf("a");
    setIpv4Addresses(frame, 14, parseAddress("192.168.4.101")!, parseAddress("255.255.0.1")!);
    expect([...frame.subarray(26, 34)]).toEqual([192, 168, 4, 101, 255, 255, 0, 1]);
    expect(ipv4ChecksumIsRight(frame, 14)).toBe(true);
  });

  it("IPv6: both, and nothing else", () => {
    const frame = innerOf("c");
    const before = frame.slice();
    const [source, destination] = [parseAddress("2001:db8::1")!, parseAddress("2001:db8::2")!];
    setIpv6Addresses(frame, 14, source, destination);
    expect([ipv6SourceAt(frame, 14), ipv6DestinationAt(frame, 14)]).toEqual([source, destination]);
    expect(frame.subarray(0, 22)).toEqual(before.subarray(0, 22));
    expect(frame.subarray(54)).toEqual(before.subarray(54));
  });

  it("RFC 1624 §4: a part of one word is that word", () => {
    expect(updateChecksumOfPart(0xdd2f, 0x5555, 0x3285)).toBe(updateChecksum(0xdd2f, 0x5555, 0x3285));
    const many = Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0x12, 0x34]);
    expect(updateChecksumOfPart(0x1234, checksumSum(many, 0, 6), 0)).toBe(updateChecksum(0x1234, 0x1234, 0));
  });
});
