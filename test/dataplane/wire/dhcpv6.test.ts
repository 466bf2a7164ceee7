import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { formatAddress } from "../../../src/dataplane/wire/address-text.js";
import {
  checkDhcpv6,
  DHCPV6_LENGTH,
  DHCPV6_REPLY,
  DHCPV6_SOLICIT,
  dhcpv6ClientMac,
  dhcpv6LeasedAddresses,
  dhcpv6NamedAddresses,
  dhcpv6TypeAt,
} from "../../../src/dataplane/wire/dhcpv6.js";
import { bytesOf } from "../../vectors/worked-packets.js";
import { expectEveryTruncation, patched } from "./classics.js";

/** Scapy: DUID-LLT of the client, DUID-LL of the server, and an IA_NA with a lease and a withdrawal. */
const REPLY = bytesOf(`0711 2233 0001 000e 0001 0001 0000 0001 0606 0000 0005 0002 000a 0003 0001 0606 0000 0007
  0003 0044 0000 0005 0000 0064 0000 00c8
  0005 0018 fd00 0010 0000 0000 0000 0000 0000 0055 0000 012c 0000 0258
  0005 0018 fd00 0010 0000 0000 0000 0000 0000 0056 0000 0000 0000 0000`);
const IA_AT = 36;
/** Scapy: with a DUID-LL. */
const SOLICIT = bytesOf("0111 2233 0001 000a 0003 0001 0606 0000 0005 0003 000c 0000 0005 0000 0000 0000 0000");
const RELAY = bytesOf(`0d00 fd00 0010 0000 0000 0000 0000 0000 0001 fe80 0000 0000 0000 0000 0000 0000 0005
  0009 0004 0700 0001`);

const leased = (message: Uint8Array) => dhcpv6LeasedAddresses(message, 0, message.length).map(formatAddress);
const clientOf = (message: Uint8Array) => dhcpv6ClientMac(message, 0, message.length);

describe("DHCPv6", () => {
  it("reads the leases of a reply, without those that are taken back", () => {
    expect(checkDhcpv6(REPLY, 0, REPLY.length)).toBe(Reason.NONE);
    expect(dhcpv6TypeAt(REPLY, 0)).toBe(DHCPV6_REPLY);
    expect(leased(REPLY)).toEqual(["fd00:10::55"]);
    expect(dhcpv6NamedAddresses(REPLY, 0, REPLY.length).map(formatAddress)).toEqual(["fd00:10::55", "fd00:10::56"]);
    expect(dhcpv6TypeAt(SOLICIT, 0)).toBe(DHCPV6_SOLICIT);
    expect(leased(SOLICIT)).toEqual([]);
  });

  it("reads temporary addresses: an IA_TA has no timers", () => {
    const ia = REPLY.slice(IA_AT);
    const temporary = Uint8Array.of(...REPLY.slice(0, IA_AT), 0, 4, 0, 60, ...ia.slice(4, 8), ...ia.slice(16));
    expect(leased(temporary)).toEqual(["fd00:10::55"]);
  });

  it("RFC 8415 §11: finds the Ethernet address in DUID-LLT and DUID-LL, and in no other", () => {
    expect([REPLY, SOLICIT].map(clientOf)).toEqual([0x0606_0000_0005, 0x0606_0000_0005]);
    expect(clientOf(patched(SOLICIT, { 9: 4 }))).toBeUndefined(); // DUID-UUID
    expect(clientOf(patched(SOLICIT, { 11: 6 }))).toBeUndefined(); // hardware type 6
    expect(clientOf(patched(REPLY, { 9: 3 }))).toBeUndefined(); // of DUID-LL's kind, of DUID-LLT's length
    expect(clientOf(REPLY.slice(0, DHCPV6_LENGTH))).toBeUndefined();
  });

  it("refuses relay messages, in both directions", () => {
    for (const type of [12, 13]) {
      expect(checkDhcpv6(patched(RELAY, { 0: type }), 0, RELAY.length)).toBe(Reason.INVALID_PACKET);
    }
  });

  it("refuses every truncation of the fixed part", () => {
    expectEveryTruncation(checkDhcpv6, SOLICIT, DHCPV6_LENGTH, Reason.INVALID_PACKET);
  });

  it("believes nothing of a reply of which any option runs over", () => {
    for (let length = DHCPV6_LENGTH; length < REPLY.length; length++)
      expect(leased(REPLY.slice(0, length))).toEqual([]);
    expect(leased(patched(REPLY, { [IA_AT + 3]: 0x45 }))).toEqual([]); // the IA over the message
    expect(leased(patched(REPLY, { [IA_AT + 3]: 8 }))).toEqual([]); // the IA shorter than its timers
    expect(leased(patched(REPLY, { [IA_AT + 47]: 0x19 }))).toEqual([]); // the second address over the IA
    expect(leased(patched(REPLY, { [IA_AT + 47]: 0x17 }))).toEqual([]); // the second address too short
  });

  it("reads hostile options to their end and never beyond", () => {
    const anyOption = fc
      .tuple(fc.constantFrom(1, 3, 4, 5, 13), fc.nat(70), fc.uint8Array({ maxLength: 70 }))
      .map(([code, length, value]) => [0, code, 0, length, ...value]);
    fc.assert(
      fc.property(fc.array(anyOption, { maxLength: 4 }), fc.uint8Array({ maxLength: 60 }), (options, behind) => {
        const message = Uint8Array.of(7, 1, 2, 3, ...options.flat());
        const followed = Uint8Array.of(...message, ...behind);
        const end = message.length;
        expect(dhcpv6LeasedAddresses(followed, 0, end)).toEqual(dhcpv6LeasedAddresses(message, 0, end));
        expect(dhcpv6ClientMac(followed, 0, end)).toBe(dhcpv6ClientMac(message, 0, end));
      }),
    );
  });
});
