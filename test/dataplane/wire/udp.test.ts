import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { PROTOCOL_UDP, writeIpv4 } from "../../../src/dataplane/wire/ipv4.js";
import { writeIpv6 } from "../../../src/dataplane/wire/ipv6.js";
import {
  checkUdp,
  setUdpChecksum,
  UDP_LENGTH,
  udpChecksumAt,
  udpChecksumIsRight,
  udpDestinationPortAt,
  udpLengthAt,
  udpSourcePortAt,
  writeUdp,
} from "../../../src/dataplane/wire/udp.js";
import { bytesOf, hexOf } from "../../vectors/worked-packets.js";
import { anyIpv4, anyIpv6, anyPayload, anyU16, expectEveryTruncation, patched, written } from "./classics.js";

/** Scapy: UDP 4000 to 53 with "hello", under IPv4 and under IPv6. */
const OVER_IPV4 = bytesOf("4500 0021 0001 0000 4011 66c0 0a00 0005 0a00 0007 0fa0 0035 000d 9821 6865 6c6c 6f");
const OVER_IPV6 = bytesOf(`6b9a bcde 000d 1121 fd00 0010 0000 0000 0000 0000 0000 0005
  fd00 0010 0000 0000 0000 0000 0000 0007 0fa0 0035 000d b1ff 6865 6c6c 6f`);

describe("UDP", () => {
  it("reads a datagram over IPv4 and over IPv6", () => {
    for (const [packet, at, sum] of [
      [OVER_IPV4, 20, 0x9821],
      [OVER_IPV6, 40, 0xb1ff],
    ] as const) {
      expect(checkUdp(packet, at, packet.length)).toBe(Reason.NONE);
      expect([udpSourcePortAt(packet, at), udpDestinationPortAt(packet, at)]).toEqual([4000, 53]);
      expect([udpLengthAt(packet, at), udpChecksumAt(packet, at)]).toEqual([13, sum]);
      expect(udpChecksumIsRight(packet, 0, at)).toBe(true);
      expect(udpChecksumIsRight(patched(packet, { [packet.length - 1]: 0 }), 0, at)).toBe(false);
    }
  });

  it("writes the header, and nothing else", () => {
    const fields = { sourcePort: 4000, destinationPort: 53, payloadLength: 5 };
    expect(written(UDP_LENGTH, (frame, at) => writeUdp(frame, at, fields))).toBe("0fa00035000d0000");
  });

  it("fills the checksum that Scapy computed", () => {
    for (const [packet, at] of [
      [OVER_IPV4, 20],
      [OVER_IPV6, 40],
    ] as const) {
      const copy = patched(packet, { [at + 6]: 0xa5, [at + 7]: 0xa5 });
      setUdpChecksum(copy, 0, at);
      expect(hexOf(copy)).toBe(hexOf(packet));
    }
  });

  it("refuses every truncation", () => {
    expectEveryTruncation(checkUdp, Uint8Array.of(...OVER_IPV4.slice(20), 0, 0), 13, Reason.INVALID_PACKET);
  });

  it("refuses a length below the header's", () => {
    for (const length of [0, 1, 7])
      expect(checkUdp(patched(OVER_IPV4, { 25: length }), 20, 33)).toBe(Reason.INVALID_PACKET);
    expect(checkUdp(patched(OVER_IPV4, { 25: 8 }), 20, 33)).toBe(Reason.NONE);
  });

  it("RFC 768: no checksum is as good as a right one, and a computed zero is sent as ffff", () => {
    expect(udpChecksumIsRight(patched(OVER_IPV4, { 26: 0, 27: 0 }), 0, 20)).toBe(true);
    // The payload's word makes the sum all ones.
    const packet = bytesOf("4500 001e 0001 0000 4011 66c3 0a00 0005 0a00 0007 0fa0 0035 000a 0000 0000");
    setUdpChecksum(packet, 0, 20);
    const rest = udpChecksumAt(packet, 20);
    const zeroed = patched(packet, { 28: rest >>> 8, 29: rest & 0xff });
    setUdpChecksum(zeroed, 0, 20);
    expect(udpChecksumAt(zeroed, 20)).toBe(0xffff);
    expect(udpChecksumIsRight(zeroed, 0, 20)).toBe(true);
  });

  it("reads back what it wrote, checksum right, under both IP versions", () => {
    const addresses = fc.oneof(fc.tuple(anyIpv4, anyIpv4), fc.tuple(anyIpv6, anyIpv6));
    fc.assert(
      fc.property(
        addresses,
        anyU16,
        anyU16,
        anyPayload,
        ([source, destination], sourcePort, destinationPort, payload) => {
          const frame = new Uint8Array(160).fill(0xa5);
          const payloadLength = payload.length;
          const length = UDP_LENGTH + payloadLength;
          const headerLength =
            source.family === 4
              ? writeIpv4(frame, 0, { source, destination, protocol: PROTOCOL_UDP, ttl: 1, payloadLength: length })
              : writeIpv6(frame, 0, {
                  source,
                  destination,
                  nextHeader: PROTOCOL_UDP,
                  hopLimit: 1,
                  payloadLength: length,
                });
          writeUdp(frame, headerLength, { sourcePort, destinationPort, payloadLength });
          frame.set(payload, headerLength + UDP_LENGTH);
          setUdpChecksum(frame, 0, headerLength);
          expect(checkUdp(frame, headerLength, headerLength + length)).toBe(Reason.NONE);
          expect(udpSourcePortAt(frame, headerLength)).toBe(sourcePort);
          expect(udpDestinationPortAt(frame, headerLength)).toBe(destinationPort);
          expect(udpLengthAt(frame, headerLength)).toBe(length);
          expect(udpChecksumAt(frame, headerLength)).not.toBe(0);
          expect(udpChecksumIsRight(frame, 0, headerLength)).toBe(true);
        },
      ),
    );
  });
});
