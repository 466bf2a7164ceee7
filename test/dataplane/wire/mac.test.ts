import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Mac } from "../../../src/dataplane/wire/bytes.js";
import {
  BROADCAST_MAC,
  formatMac,
  isBridgeReservedMac,
  isGroupMac,
  parseMac,
  ZERO_MAC,
} from "../../../src/dataplane/wire/mac.js";
import { anyMac } from "./classics.js";

const mac = (text: string) => parseMac(text)!;

describe("MAC addresses", () => {
  it("are read in every common form", () => {
    const forms = ["060600000a05", "06-06-00-00-0A-05", "06:06:00:00:0a:05", "0606.0000.0a05"];
    expect(forms.map(parseMac)).toEqual(Array(4).fill(0x0606_0000_0a05));
  });

  it.each([
    "",
    "06-06-00-00-00",
    "06-06-00-00-00-05-06",
    "06:06-00:00:00:05",
    "0606.00000005",
    "0g0600000005",
    "6-6-0-0-0-5",
    " 060600000005",
  ])("refuses %j", (text) => {
    expect(parseMac(text)).toBeUndefined();
  });

  it("are written as Windows does, and read back", () => {
    expect(formatMac(0x0a as Mac)).toBe("00-00-00-00-00-0A");
    fc.assert(
      fc.property(anyMac, (any) => {
        expect(parseMac(formatMac(any))).toBe(any);
      }),
    );
  });

  it("tell groups by the lowest bit of the first octet", () => {
    expect(
      [BROADCAST_MAC, mac("01-00-5e-00-00-01"), mac("33-33-00-00-00-01"), mac("ff-00-00-00-00-00")].every(isGroupMac),
    ).toBe(true);
    expect(
      [ZERO_MAC, mac("02-00-c0-a8-04-0b"), mac("00-01-00-00-00-00"), mac("fe-ff-ff-ff-ff-ff")].some(isGroupMac),
    ).toBe(false);
  });

  it("tell what bridges never forward", () => {
    expect(["01-80-c2-00-00-00", "01-80-c2-00-00-02", "01-80-c2-00-00-0f"].map(mac).every(isBridgeReservedMac)).toBe(
      true,
    );
    expect(["01-80-c2-00-00-10", "01-80-c1-ff-ff-ff", "00-80-c2-00-00-00"].map(mac).some(isBridgeReservedMac)).toBe(
      false,
    );
  });
});
