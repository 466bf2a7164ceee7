import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Address, ipv4Address } from "../../../src/dataplane/wire/address.js";
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from "../../../src/dataplane/wire/address-text.js";
import { anyIpv4, anyIpv6 } from "./classics.js";

const normal = (text: string) => {
  const address = parseAddress(text);
  return address && formatAddress(address);
};

describe("address text", () => {
  it("reads both families", () => {
    expect(parseAddress("192.168.4.11")).toEqual(ipv4Address(0xc0a8_040b));
    expect(parseAddress("2001:db8:4::11")).toEqual(new Address(6, 0x2001_0db8, 0x0004_0000, 0, 0x11));
    expect(parseAddress("255.255.255.255")).toEqual(ipv4Address(0xffff_ffff));
    expect(parseAddress("::")).toEqual(new Address(6, 0, 0, 0, 0));
  });

  it("keeps an IPv4-mapped IPv6 address apart from the IPv4 address", () => {
    const mapped = parseAddress("::ffff:10.0.0.5")!;
    expect(mapped).toEqual(new Address(6, 0, 0, 0xffff, 0x0a00_0005));
    expect(formatAddress(mapped)).toBe("::ffff:10.0.0.5");
    expect(formatAddress(parseAddress("10.0.0.5")!)).toBe("10.0.0.5");
  });

  it.each([
    ["2001:0db8::0001", "2001:db8::1"],
    ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:DB8::AAAA", "2001:db8::aaaa"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["1:0:0:0:0:0:0:0", "1::"],
    ["0:0:0:0:0:ffff:c000:0201", "::ffff:192.0.2.1"],
  ])("RFC 5952 §4, §5: %s is written %s", (text, expected) => {
    expect(normal(text)).toBe(expected);
  });

  it.each([
    "",
    "10.0.0",
    "10.0.0.256",
    "010.0.0.5",
    "10.0.0.5 ",
    "10.0.0.5/24",
    "10.0.0.5.6",
    "0x0a.0.0.5",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "fd00::g",
    "fe80::1%eth0",
    "fd00::/64",
    "[::1]",
    ":",
    "host",
  ])("refuses %j", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  it("agrees with the C library's reader on what is an address", () => {
    const alphabet = fc.constantFrom("0", "1", "9", "a", "f", ":", "::", ".", "ffff", "255", "10.0.0.1");
    const texts = fc.array(alphabet, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.oneof(texts, anyIpv6.map(formatAddress)), (text) => {
        expect(parseAddress(text)?.family ?? 0).toBe(isIP(text));
      }),
      { numRuns: 2000 },
    );
  });

  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(fc.oneof(anyIpv4, anyIpv6), (address) => {
        expect(parseAddress(formatAddress(address))).toEqual(address);
      }),
    );
    const sparse = fc.array(fc.constantFrom(0, 1, 0x10000, 0xffff), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(sparse, ([a, b, c, d]) => {
        const address = new Address(6, a!, b!, c!, d!);
        const text = formatAddress(address);
        expect(parseAddress(text)).toEqual(address);
        // The longest run, two groups at least, is the one left out: what remains has none as long.
        if (!text.startsWith("::ffff:")) expect(new URL(`http://[${text}]`).hostname).toBe(`[${text}]`);
      }),
    );
  });
});

describe("prefix text", () => {
  it("reads both families, from /0 to single addresses", () => {
    expect(parsePrefix("10.0.1.0/24")).toEqual({ address: ipv4Address(0x0a00_0100), length: 24 });
    expect(parsePrefix("fd00:10::/64")).toEqual({ address: parseAddress("fd00:10::"), length: 64 });
    expect(parsePrefix("0.0.0.0/0")).toEqual({ address: ipv4Address(0), length: 0 });
    expect(parsePrefix("::/0")).toMatchObject({ length: 0 });
    expect(parsePrefix("10.0.0.5/32")).toMatchObject({ length: 32 });
    expect(parsePrefix("fd00::5/128")).toMatchObject({ length: 128 });
  });

  it("tells bits behind the length from nonsense", () => {
    for (const text of ["10.0.0.5/24", "10.0.0.1/31", "1.0.0.0/0", "fd00::1/64", "fd00:0:0:1::/48", "::1/0"]) {
      expect(parsePrefix(text), text).toBe("host-bits");
    }
    for (const text of [
      "10.0.0.0",
      "10.0.0.0/33",
      "fd00::/129",
      "10.0.0.0/-1",
      "10.0.0.0/024",
      "10.0.0.0/",
      "/24",
      "a/8",
      "10.0.0.0/8/8",
      "10.0.0.0/ 8",
    ]) {
      expect(parsePrefix(text), text).toBeUndefined();
    }
  });

  it("writes what it read", () => {
    for (const text of ["10.0.1.0/24", "0.0.0.0/0", "fd00:10::/64", "::/0", "::ffff:10.0.0.0/104"]) {
      const prefix = parsePrefix(text);
      expect(typeof prefix === "object" && formatPrefix(prefix)).toBe(text);
    }
  });
});
