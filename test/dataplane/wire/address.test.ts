import { BlockList } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  addressAt,
  directedBroadcastOf,
  gatewayAddressOf,
  isLimitedBroadcast,
  isLinkLocal,
  isMulticast,
  isUnicast,
  isUnspecified,
  maskAddress,
  prefixContains,
  sameAddress,
  writeAddress,
} from "../../../src/dataplane/wire/address.js";
import { formatAddress, parseAddress, parsePrefix } from "../../../src/dataplane/wire/address-text.js";
import { anyIpv4, anyIpv6 } from "./classics.js";

const address = (text: string) => parseAddress(text)!;
const prefix = (text: string) => {
  const parsed = parsePrefix(text);
  if (typeof parsed !== "object") throw new Error(`not a prefix: ${text}`);
  return parsed;
};

describe("addresses", () => {
  it("are read and written in their family's length", () => {
    fc.assert(
      fc.property(fc.oneof(anyIpv4, anyIpv6), (any) => {
        const bytes = new Uint8Array(24).fill(0xa5);
        writeAddress(bytes, 3, any);
        expect(addressAt(any.family, bytes, 3)).toEqual(any);
        const length = any.family === 4 ? 4 : 16;
        expect([bytes[2], bytes[3 + length]]).toEqual([0xa5, 0xa5]);
      }),
    );
  });

  it("of different families are never the same", () => {
    expect(sameAddress(address("10.0.0.5"), address("::ffff:10.0.0.5"))).toBe(false);
    expect(sameAddress(address("10.0.0.5"), address("10.0.0.5"))).toBe(true);
  });

  it.each([
    ["0.0.0.0", "unspecified"],
    ["::", "unspecified"],
    ["224.0.0.1", "multicast"],
    ["239.255.255.255", "multicast"],
    ["ff02::1", "multicast"],
    ["255.255.255.255", "broadcast"],
    ["169.254.1.1", "link-local unicast"],
    ["fe80::1", "link-local unicast"],
    ["febf::1", "link-local unicast"],
    ["fec0::1", "unicast"],
    ["10.0.0.5", "unicast"],
    ["240.0.0.1", "unicast"],
    ["::1", "unicast"],
    ["::ffff:0.0.0.0", "unicast"],
  ])("%s is %s", (text, kinds) => {
    const any = address(text);
    const found = [
      isUnspecified(any) && "unspecified",
      isMulticast(any) && "multicast",
      isLimitedBroadcast(any) && "broadcast",
      isLinkLocal(any) && "link-local",
      isUnicast(any) && "unicast",
    ];
    expect(found.filter(Boolean).join(" ")).toBe(kinds);
  });

  it("lie in a prefix or not, as Node's own list says", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.tuple(anyIpv4, fc.nat(32)), fc.tuple(anyIpv6, fc.nat(128))),
        fc.nat(127),
        ([base, length], bit) => {
          const family = base.family === 4 ? "ipv4" : "ipv6";
          const masked = { address: maskAddress(base, length), length };
          const list = new BlockList();
          list.addSubnet(formatAddress(masked.address), length, family);
          const bytes = new Uint8Array(16);
          writeAddress(bytes, 0, base);
          const flipped = bit % (base.family === 4 ? 32 : 128);
          bytes[flipped >> 3] = bytes[flipped >> 3]! ^ (0x80 >> (flipped & 7));
          for (const other of [base, addressAt(base.family, bytes, 0)]) {
            expect(prefixContains(masked, other)).toBe(list.check(formatAddress(other), family));
          }
        },
      ),
    );
    expect(prefixContains(prefix("0.0.0.0/0"), address("::1"))).toBe(false);
  });

  it("of gateways are the lowest of their prefix, where there is room for one", () => {
    const gateway = (text: string) => {
      const found = gatewayAddressOf(prefix(text));
      return found && formatAddress(found);
    };
    expect(["10.0.0.0/24", "10.0.0.4/30", "fd00:10::/64"].map(gateway)).toEqual(["10.0.0.1", "10.0.0.5", "fd00:10::1"]);
    expect(["10.0.0.4/31", "10.0.0.4/32", "fd00::/127", "fd00::/128"].map(gateway)).toEqual(Array(4).fill(undefined));
  });

  it("of directed broadcast are the highest, in IPv4 only", () => {
    const broadcast = (text: string) => {
      const found = directedBroadcastOf(prefix(text));
      return found && formatAddress(found);
    };
    expect(["10.0.0.0/24", "10.0.0.4/30", "0.0.0.0/0"].map(broadcast)).toEqual([
      "10.0.0.255",
      "10.0.0.7",
      "255.255.255.255",
    ]);
    expect(["10.0.0.4/31", "10.0.0.4/32", "fd00::/64"].map(broadcast)).toEqual(Array(3).fill(undefined));
  });
});
