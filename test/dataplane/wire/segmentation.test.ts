/** Super-frames of TCP, cut: judged by tshark, which verifies every checksum and follows the stream. */
import { describe, expect, it } from "vitest";
import { segmentTcp } from "../../../src/dataplane/wire/segmentation.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";

const isOracleAvailable = isScapyAvailable() && isTsharkAvailable();
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString("hex");
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

  it.each([
    ["NVGRE", "IP(src='192.168.4.11',dst='192.168.4.22',id=7+n)/GRE(key_present=1,proto=0x6558,key=0x138907)/inner"],
    ["GRE without a key, of IP", "IPv6(src='fd00::1',dst='fd00::2')/GRE(proto=0x800)/inner.payload"],
    ["IP in IP", "IP(src='192.168.4.11',dst='192.168.4.22',id=7+n,options=[IPOption_NOP()]*4)/inner.payload"],
    ["VXLAN", "IP(src='192.168.4.11',dst='192.168.4.22',id=7+n)/UDP(sport=777,dport=8472)/VXLAN(vni=9)/inner"],
    ["VXLAN without UDP's checksum", "IP(id=7+n)/UDP(sport=777,dport=4789,chksum=0)/VXLAN(vni=9)/inner"],
    ["Geneve", "IPv6(src='fd00::1',dst='fd00::2')/UDP(sport=777)/GENEVE(vni=9,options=b'\\0\\1\\2\\1abcd')/inner"],
    [
      "a tunnel in a tunnel",
      "IP(id=7+n)/GRE(proto=0x6558)/Ether()/IPv6()/UDP(sport=777,dport=4789)/VXLAN(vni=9)/inner",
    ],
  ])("inside %s: as scapy writes the segments", (_, tunnel) => {
    const [whole, ...segments] = scapyFrames(`
from scapy.contrib.geneve import GENEVE
from scapy.layers.vxlan import VXLAN
data = bytes(i * 7 % 256 for i in range(5000))
def frame(n, payload):
    inner = Ether(dst='06:06:00:00:00:07', src='06:06:00:00:00:05')/IP(src='10.0.0.5', dst='10.0.0.7', id=0xffff + n & 0xffff)
    inner = inner/TCP(sport=40000, dport=5001, seq=1000 + n * 1400, flags='A')/Raw(payload)
    emit(Ether(dst='02:00:00:00:00:02', src='02:00:00:00:00:01')/${tunnel})
frame(0, data)
for n in range(4): frame(n, data[n * 1400:(n + 1) * 1400])`);
    expect(segmentTcp(whole!, whole!.length - 5020, 1400).map(hex)).toEqual(segments.map(hex));
  });

  it.each([
    ["GRE with a checksum", "GRE(chksum_present=1,proto=0x800)"],
    ["GRE with sequence numbers", "GRE(seqnum_present=1,proto=0x800)"],
    ["what is no tunnel", "Raw(b'12345678')"],
  ])("inside %s nothing is cut, since that would not be right", (_, between) => {
    const [whole] = scapyFrames(`emit(Ether()/IP()/${between}/IP()/TCP()/Raw(bytes(3000)))`);
    expect(segmentTcp(whole!, whole!.length - 3020, 1400)).toEqual([]);
  });

  it("what is not such a frame gives no segments", () => {
    const whole = superFrame("IP(src='10.0.0.5',dst='10.0.0.7')");
    expect(segmentTcp(whole, 34, 0)).toEqual([]);
    expect(segmentTcp(whole.subarray(0, 60), 34, 1400)).toEqual([]);
    const headless = whole.slice();
    headless[46] = 0x20; // a data offset of eight octets: no TCP header is that short
    expect(segmentTcp(headless, 34, 1400)).toEqual([]);
  });
});
