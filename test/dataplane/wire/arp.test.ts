import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { formatAddress, parseAddress } from "../../../src/dataplane/wire/address-text.js";
import {
  ARP_LENGTH,
  ARP_REPLY,
  ARP_REQUEST,
  arpOperationAt,
  arpSenderAddressAt,
  arpSenderMacAt,
  arpTargetAddressAt,
  arpTargetMacAt,
  checkArp,
  writeArp,
} from "../../../src/dataplane/wire/arp.js";
import type { Mac } from "../../../src/dataplane/wire/bytes.js";
import { bytesOf, hexOf } from "../../vectors/worked-packets.js";
import { anyIpv4, anyMac, anyU16, expectEveryTruncation, patched, written } from "./classics.js";

/** Scapy: ARP(op=1, hwsrc=06:06:00:00:00:05, psrc=10.0.0.5, pdst=10.0.0.7), and the answer. */
const REQUEST = bytesOf("0001 0800 0604 0001 0606 0000 0005 0a00 0005 0000 0000 0000 0a00 0007");
const REPLY = bytesOf("0001 0800 0604 0002 0606 0000 0007 0a00 0007 0606 0000 0005 0a00 0005");

describe("ARP", () => {
  it("reads a request", () => {
    expect(checkArp(REQUEST, 0, 28)).toBe(Reason.NONE);
    expect(arpOperationAt(REQUEST, 0)).toBe(ARP_REQUEST);
    expect(arpSenderMacAt(REQUEST, 0)).toBe(0x0606_0000_0005);
    expect(formatAddress(arpSenderAddressAt(REQUEST, 0))).toBe("10.0.0.5");
    expect(arpTargetMacAt(REQUEST, 0)).toBe(0);
    expect(formatAddress(arpTargetAddressAt(REQUEST, 0))).toBe("10.0.0.7");
  });

  it("writes the reply, and nothing else", () => {
    const hex = written(ARP_LENGTH, (frame, at) =>
      writeArp(frame, at, {
        operation: ARP_REPLY,
        senderMac: 0x0606_0000_0007 as Mac,
        senderAddress: parseAddress("10.0.0.7")!,
        targetMac: 0x0606_0000_0005 as Mac,
        targetAddress: parseAddress("10.0.0.5")!,
      }),
    );
    expect(hex).toBe(hexOf(REPLY));
  });

  it("refuses every truncation", () => {
    expectEveryTruncation(checkArp, Uint8Array.of(...REQUEST, 0, 0), ARP_LENGTH, Reason.INVALID_PACKET);
  });

  it("refuses other hardware, other protocols and other address lengths", () => {
    for (const change of [{ 1: 6 }, { 0: 1 }, { 2: 0x86, 3: 0xdd }, { 3: 1 }, { 4: 8 }, { 5: 16 }]) {
      expect(checkArp(patched(REQUEST, change), 0, 28)).toBe(Reason.INVALID_PACKET);
    }
  });

  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(
        anyU16,
        anyMac,
        anyIpv4,
        anyMac,
        anyIpv4,
        (operation, senderMac, senderAddress, targetMac, target) => {
          const frame = new Uint8Array(40).fill(0xa5);
          writeArp(frame, 3, { operation, senderMac, senderAddress, targetMac, targetAddress: target });
          expect(checkArp(frame, 3, 31)).toBe(Reason.NONE);
          expect([arpOperationAt(frame, 3), arpSenderMacAt(frame, 3)]).toEqual([operation, senderMac]);
          expect([arpSenderAddressAt(frame, 3), arpTargetMacAt(frame, 3)]).toEqual([senderAddress, targetMac]);
          expect(arpTargetAddressAt(frame, 3)).toEqual(target);
        },
      ),
    );
  });
});
