/** Super-frames of TCP, cut: judged by tshark, which verifies every checksum and follows the stream. */
import { describe, expect, it } from "vitest";
import { segmentTcp } from "../../../src/dataplane/wire/segmentation.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";

const isOracleAvailable = isScapyAvailable() && isTsharkAvailable();
const superFrame = (ip: string): Uint8Array =>
  scapyFrames(
    `emit(Ether(dst='06:06:00:00:00:07',src='06:06:00:00:00:05')/${ip}` +
      "/TCP(sport=40000,dport=5001,seq=0xfffffff0,ack=9,flags='FPAC',options=[('NOP',None),('NOP',None),('Timestamp',(1,2))])" +
      "/Raw(bytes(i*7%256 for i in range(10000))))",
  )[0]!;

describe.runIf(isOracleAvailable)("TCP segmentation", () => {
  it.each([
    ["IPv4", "IP(src='10.0.0.5',dst='10.0.0.7',id=0xfffe,flags='DF')", 34],
    ["IPv6", "IPv6(src='fd00:10::5',dst='fd00:10::7')", 54],
  ])("over %s: sequence numbers, flags and identifications count on, checksums are right", (name, ip, transport) => {
    const whole = superFrame(ip);
    const segments = segmentTcp(whole, transport, 1400);
    expect(segments.map((segment) => segment.length - transport - 32)).toEqual([...Array(7).fill(1400), 200]);
    const payloads = segments.map((segment) => segment.subarray(transport + 32));
    expect(Buffer.concat(payloads)).toEqual(Buffer.from(whole.subarray(transport + 32)));
    const fields = tsharkFields(segments, [
      "tcp.seq_raw",
      "tcp.flags",
      "tcp.checksum.status",
      "ip.checksum.status",
      "ip.id",
    ]);
    const numbers = (field: "tcp.seq_raw" | "tcp.flags" | "ip.id"): number[] =>
      fields.map((one) => Number(one[field][0]));
    expect(numbers("tcp.seq_raw")).toEqual(segments.map((_, index) => (0xffff_fff0 + index * 1400) % 2 ** 32));
    expect(numbers("tcp.flags")).toEqual([0x90, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x19]);
    expect(fields.every((one) => one["tcp.checksum.status"][0] === "1")).toBe(true);
    if (name === "IPv6") return;
    expect(fields.every((one) => one["ip.checksum.status"][0] === "1")).toBe(true);
    expect(numbers("ip.id")).toEqual([0xfffe, 0xffff, 0, 1, 2, 3, 4, 5]);
  });

  it("what is not such a frame gives no segments", () => {
    const whole = superFrame("IP(src='10.0.0.5',dst='10.0.0.7')");
    expect(segmentTcp(whole, 34, 0)).toEqual([]);
    expect(segmentTcp(whole.subarray(0, 60), 34, 1400)).toEqual([]);
  });
});
