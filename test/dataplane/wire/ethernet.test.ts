import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import type { Mac } from "../../../src/dataplane/wire/bytes.js";
import {
  checkEthernet,
  destinationMacAt,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  etherTypeAt,
  setDestinationMac,
  setEtherType,
  setSourceMac,
  sourceMacAt,
  writeEthernet,
} from "../../../src/dataplane/wire/ethernet.js";
import { workedPacket } from "../../vectors/worked-packets.js";
import { anyMac, anyU16, expectEveryTruncation, written } from "./classics.js";

describe("Ethernet", () => {
  it("reads the outer header of packet A", () => {
    const frame = workedPacket("a");
    expect(destinationMacAt(frame, 0)).toBe(0x0200_c0a8_0416);
    expect(sourceMacAt(frame, 0)).toBe(0x0200_c0a8_040b);
    expect(etherTypeAt(frame, 0)).toBe(ETHERTYPE_IPV4);
  });

  it("writes the inner header of packet A, and nothing else", () => {
    const hex = written(ETHERNET_LENGTH, (frame, at) =>
      writeEthernet(frame, at, 0x0606_0000_0007 as Mac, 0x0606_0000_0005 as Mac, ETHERTYPE_IPV4),
    );
    expect(hex).toBe("0606000000070606000000050800");
  });

  it("refuses every truncation", () => {
    expectEveryTruncation(checkEthernet, workedPacket("a").slice(0, 20), ETHERNET_LENGTH, Reason.RX_ETH_SHORT);
  });

  it("refuses a range that ends before it begins", () => {
    expect(checkEthernet(workedPacket("a"), 50, 40)).toBe(Reason.RX_ETH_SHORT);
  });

  it("reads back what it wrote, by one write or by setters", () => {
    fc.assert(
      fc.property(anyMac, anyMac, anyU16, (destination, source, type) => {
        const frame = new Uint8Array(40).fill(0xa5);
        writeEthernet(frame, 1, destination, source, type);
        setDestinationMac(frame, 20, destination);
        setSourceMac(frame, 20, source);
        setEtherType(frame, 20, type);
        for (const at of [1, 20]) {
          expect(destinationMacAt(frame, at)).toBe(destination);
          expect(sourceMacAt(frame, at)).toBe(source);
          expect(etherTypeAt(frame, at)).toBe(type);
        }
      }),
    );
  });
});
