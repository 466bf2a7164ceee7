import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { formatAddress } from "../../../src/dataplane/wire/address-text.js";
import {
  BOOTP_REPLY,
  BOOTP_REQUEST,
  checkDhcp,
  DHCP_ACK,
  DHCP_DECLINE,
  DHCP_DISCOVER,
  DHCP_LENGTH,
  DHCP_OFFER,
  DHCP_RELEASE,
  dhcpClientAddressAt,
  dhcpClientMacAt,
  dhcpMessageType,
  dhcpOpAt,
  dhcpRequestedAddress,
  dhcpYourAddressAt,
  isDhcpRelayed,
} from "../../../src/dataplane/wire/dhcp.js";
import { bytesOf } from "../../vectors/worked-packets.js";
import { anyU8, expectEveryTruncation, patched } from "./classics.js";

/** `chaddr` behind its six octets, `sname` and `file`, all empty. */
const EMPTY = "00".repeat(10 + 64 + 128);
/** Scapy: an ACK with four options, and a broadcast DISCOVER whose first option is padding. */
const ACK = bytesOf(`0201 0600 1122 3344 0000 0000 0000 0000 0a00 0005 0a00 0007 0000 0000 0606 0000 0005 ${EMPTY}
  6382 5363 3501 0536 040a 0000 0733 0400 000e 1001 04ff ffff 00ff`);
const DISCOVER = bytesOf(`0101 0600 1122 3344 0000 8000 0000 0000 0000 0000 0000 0000 0000 0000 0606 0000 0005 ${EMPTY}
  6382 5363 0035 0101 ff`);
/** Scapy: a DECLINE, and a RELEASE, of 10.0.0.5. */
const DECLINE = bytesOf(`0101 0600 1122 3344 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0606 0000 0005 ${EMPTY}
  6382 5363 3501 0432 040a 0000 0536 040a 0000 07ff`);
const RELEASE = bytesOf(`0101 0600 1122 3344 0000 0000 0a00 0005 0000 0000 0000 0000 0000 0000 0606 0000 0005 ${EMPTY}
  6382 5363 3501 0736 040a 0000 07ff`);
const RELAYED = bytesOf(`0201 0600 1122 3344 0000 0000 0000 0000 0a00 0005 0000 0000 0a00 0901 0606 0000 0005 ${EMPTY}
  6382 5363 3501 02ff`);

const typeOf = (message: Uint8Array) => dhcpMessageType(message, 0, message.length);

describe("DHCP", () => {
  it("reads who speaks, for whom, and about which address", () => {
    expect(checkDhcp(ACK, 0, ACK.length)).toBe(Reason.NONE);
    expect([dhcpOpAt(ACK, 0), typeOf(ACK)]).toEqual([BOOTP_REPLY, DHCP_ACK]);
    expect(formatAddress(dhcpYourAddressAt(ACK, 0))).toBe("10.0.0.5");
    expect(dhcpClientMacAt(ACK, 0)).toBe(0x0606_0000_0005);
    expect([dhcpOpAt(DISCOVER, 0), typeOf(DISCOVER)]).toEqual([BOOTP_REQUEST, DHCP_DISCOVER]);
    expect(formatAddress(dhcpYourAddressAt(DISCOVER, 0))).toBe("0.0.0.0");
  });

  it("tells what came through a relay agent", () => {
    expect([ACK, DISCOVER, RELAYED].map((message) => isDhcpRelayed(message, 0))).toEqual([false, false, true]);
    expect(typeOf(RELAYED)).toBe(DHCP_OFFER);
  });

  it("reads which address a client gives up, or will not have", () => {
    const requested = (message: Uint8Array) => dhcpRequestedAddress(message, 0, message.length);
    expect([typeOf(DECLINE), typeOf(RELEASE)]).toEqual([DHCP_DECLINE, DHCP_RELEASE]);
    expect([formatAddress(requested(DECLINE)!), requested(RELEASE)]).toEqual(["10.0.0.5", undefined]);
    expect([DECLINE, RELEASE].map((message) => formatAddress(dhcpClientAddressAt(message, 0)))).toEqual([
      "0.0.0.0",
      "10.0.0.5",
    ]);
    for (let end = DHCP_LENGTH; end < DHCP_LENGTH + 9; end++) expect(requested(DECLINE.slice(0, end))).toBeUndefined();
    expect(requested(patched(DECLINE, { 244: 3 })), "an option of another length").toBeUndefined();
  });

  it("refuses every truncation", () => {
    expectEveryTruncation(checkDhcp, DISCOVER, DHCP_LENGTH, Reason.INVALID_PACKET);
  });

  it("refuses other hardware, other address lengths and plain BOOTP", () => {
    for (const change of [{ 1: 6 }, { 2: 8 }, { 236: 0 }, { 239: 0x64 }]) {
      expect(checkDhcp(patched(ACK, change), 0, ACK.length)).toBe(Reason.INVALID_PACKET);
    }
  });

  it("knows no message type behind the end option, in an option of another length, or in one that runs over", () => {
    expect(typeOf(patched(ACK, { 240: 0xff }))).toBeUndefined();
    expect(typeOf(patched(ACK, { 241: 2 }))).toBeUndefined();
    expect(typeOf(patched(ACK, { 240: 12, 241: 200 }))).toBeUndefined();
    expect(typeOf(ACK.slice(0, 242))).toBeUndefined();
    expect(typeOf(ACK.slice(0, 241))).toBeUndefined();
    expect(typeOf(ACK.slice(0, 240))).toBeUndefined();
  });

  it("RFC 2131 §4.1: finds it in file and sname, if option overload says that they hold options", () => {
    const inFile = { 108: 53, 109: 1, 110: 5, 111: 255 };
    const inName = { 44: 53, 45: 1, 46: 2, 47: 255 };
    const overload = (value: number) => ({ 240: 52, 241: 1, 242: value, 243: 255 });
    expect(typeOf(patched(ACK, { ...inFile, ...overload(1) }))).toBe(5);
    expect(typeOf(patched(ACK, { ...inName, ...overload(2) }))).toBe(2);
    expect(typeOf(patched(ACK, { ...inName, ...inFile, ...overload(3) }))).toBe(5);
    expect(typeOf(patched(ACK, { ...inFile, ...overload(2) }))).toBeUndefined();
    expect(typeOf(patched(ACK, { ...inFile, ...overload(0) }))).toBeUndefined();
  });

  it("reads hostile options to their end and never beyond", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.uint8Array({ minLength: 192, maxLength: 192 }),
        (options, names) => {
          const message = Uint8Array.of(...ACK.slice(0, 44), ...names, ...ACK.slice(236, 240), ...options);
          const poisoned = Uint8Array.of(...message, 53, 1, 7, 255);
          expect(dhcpMessageType(poisoned, 0, message.length)).toBe(typeOf(message));
        },
      ),
    );
    fc.assert(
      fc.property(fc.array(anyU8, { maxLength: 300 }), (octets) => {
        const bytes = Uint8Array.from(octets);
        if (checkDhcp(bytes, 0, bytes.length) === Reason.NONE) typeOf(bytes);
        expect(bytes.length >= DHCP_LENGTH || checkDhcp(bytes, 0, bytes.length) !== Reason.NONE).toBe(true);
      }),
    );
  });
});
