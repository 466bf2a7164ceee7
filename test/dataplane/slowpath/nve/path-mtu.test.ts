/** ICMP errors about NVGRE packets, as they reach host 1's provider address: which are believed, and why the others are not. */
import { describe, expect, it } from "vitest";
import { PathMtus } from "../../../../src/dataplane/policy/index.js";
import { concatenate, frame, hexOf, icmp, icmpv6, internetChecksum } from "../../../engine/build.js";
import { isScapyAvailable, scapyFrames } from "../../../oracles/scapy.js";
import {
  type Changes,
  host1,
  ip,
  labRecords,
  MACS,
  NIC,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  providerAddress,
  type TestHost,
  verdictName,
} from "../fixture.js";

const ROUTER = "192.168.4.1";
const ROUTER_V6 = "2001:db8:4::1";
const overV6: Changes = { providerAddresses: [providerAddress(PA1_V6)], lookupRecords: labRecords(PA1_V6, PA2_V6) };

interface Quoted {
  readonly source?: string;
  readonly destination?: string;
  readonly protocol?: number;
  readonly length?: number;
  readonly flags?: number;
  readonly gre?: readonly number[];
}
const GRE = [0x20, 0, 0x65, 0x58, 0, 0x13, 0x89, 7];

/** The header and eight octets of an NVGRE packet that host 1 has sent. */
function quote({
  source = PA1,
  destination = PA2,
  protocol = 47,
  length = 1600,
  flags = 0x40,
  gre = GRE,
}: Quoted = {}) {
  const octets = (text: string): number[] => text.split(".").map(Number);
  const head = [0x45, 0, length >> 8, length & 0xff, 0, 1, flags, 0, 120, protocol, 0, 0];
  const header = Uint8Array.from([...head, ...octets(source), ...octets(destination)]);
  const sum = internetChecksum(header);
  header.set([sum >> 8, sum & 0xff], 10);
  return concatenate(header, gre);
}
const tooBig = (mtu: number, quoted: Quoted = {}, [type, code] = [3, 4]): Uint8Array =>
  frame(
    MACS.nic1,
    MACS.providerRouter,
    icmp(ROUTER, PA1, [type!, code!, 0, 0, 0, 0, mtu >> 8, mtu & 0xff, ...quote(quoted)]),
  );
function quoteV6(length: number, gre: readonly number[] = GRE, source = PA1_V6): Uint8Array {
  const address = (text: string): number[] => {
    const { w0, w1, w2, w3 } = ip(text);
    return [w0, w1, w2, w3].flatMap((w) => [w >>> 24, (w >>> 16) & 0xff, (w >>> 8) & 0xff, w & 0xff]);
  };
  const head = [0x60, 0, 0, 0, (length - 40) >> 8, (length - 40) & 0xff, 47, 120];
  return Uint8Array.from([...head, ...address(source), ...address(PA2_V6), ...gre]);
}
const tooBigV6 = (mtu: number, code = 0, length = 1600): Uint8Array =>
  frame(
    MACS.nic1,
    MACS.providerRouter,
    icmpv6(ROUTER_V6, PA1_V6, [2, code, 0, 0, 0, 0, mtu >> 8, mtu & 0xff, ...quoteV6(length)]),
  );

/** The verdict, and what the host wants to remember. */
function heard(bytes: Uint8Array, host: TestHost = host1()): readonly unknown[] {
  const decision = host.decide(bytes, NIC);
  expect(decision.cacheable).toBe(false);
  return [verdictName(decision), ...(decision.effects ?? [])];
}
const learnt = (destination: string, mtu: number) => [
  "consume RX_PATH_MTU",
  { kind: "pathMtu", destination: ip(destination), mtu },
];
const IGNORED = ["drop RX_PATH_MTU_IGNORED"].map((text) => text.replace("drop ", ""));

describe("believed", () => {
  it("ICMP 3/4 about a packet of ours: the path to its destination, RFC 1191", () => {
    expect(heard(tooBig(1500))).toEqual(learnt(PA2, 1500));
  });
  it("less than 576 octets counts as 576", () => {
    expect(heard(tooBig(68))).toEqual(learnt(PA2, 576));
  });
  it("ICMPv6 Packet Too Big, whatever its code, RFC 8201 and RFC 4443 §3.2", () => {
    for (const code of [0, 7]) expect(heard(tooBigV6(1400, code), host1(overV6))).toEqual(learnt(PA2_V6, 1400));
    expect(heard(tooBigV6(1280), host1(overV6))).toEqual(learnt(PA2_V6, 1280));
  });
  it.runIf(isScapyAvailable())("as Scapy writes it", () => {
    const [message] = scapyFrames(`
packet = IP(src='${PA1}',dst='${PA2}',proto=47,flags='DF',len=1600)/Raw(bytes.fromhex('2000655800138907'))
emit(Ether(dst='${MACS.nic1.replaceAll("-", ":")}',src='02:00:c0:a8:04:01')/IP(src='${ROUTER}',dst='${PA1}')/ICMP(type=3,code=4,nexthopmtu=1476)/packet)`);
    expect(heard(message!)).toEqual(learnt(PA2, 1476));
  });
});

describe("ignored, and counted", () => {
  it.each<[string, Uint8Array]>([
    ["an MTU of 0, as before RFC 1191", tooBig(0)],
    ["an MTU that the packet would have fitted, RFC 5927 §7", tooBig(1600)],
    ["a destination that no lookup record names", tooBig(1500, { destination: "192.168.4.99" })],
    ["a packet without DF", tooBig(1500, { flags: 0 })],
    ["a wrong checksum", tooBig(1500).map((octet, at) => (at === 41 ? octet ^ 1 : octet))],
  ])("%s", (_, bytes) => {
    expect(heard(bytes)).toEqual(IGNORED);
  });
  it("all of them with learnPathMtu off", () => {
    const settings = { learnPathMtu: false };
    expect(heard(tooBig(1500), host1({ settings }))).toEqual(IGNORED);
    expect(heard(tooBigV6(1400), host1({ ...overV6, settings }))).toEqual(IGNORED);
  });
  it("an IPv6 report below 1280, RFC 8201 §4", () => {
    expect(heard(tooBigV6(1279), host1(overV6))).toEqual(IGNORED);
  });
});

describe("none of our business, passed on", () => {
  it.each<[string, Uint8Array]>([
    ["another code", tooBig(1500, {}, [3, 1])],
    ["a packet that somebody else has sent", tooBig(1500, { source: "192.168.4.77" })],
    ["another protocol", tooBig(1500, { protocol: 6 })],
    ["GRE without a key", tooBig(1500, { gre: [0, 0, 0x65, 0x58, 0, 0, 0, 0] })],
    ["GRE that carries IPv4", tooBig(1500, { gre: [0x20, 0, 8, 0, 0, 0, 0, 0] })],
    ["a quote without the GRE header", tooBig(1500, { gre: [] })],
  ])("%s", (_, bytes) => {
    expect(verdictName(host1().decide(bytes, NIC))).toBe("pass NONE");
  });
  it("every truncation is met without an error", () => {
    const whole = tooBig(1500);
    for (let length = 34; length < whole.length; length++) {
      const cut = whole.slice(0, length);
      cut.set([(length - 14) >> 8, (length - 14) & 0xff], 16);
      cut.set([0, 0], 24);
      const sum = internetChecksum(cut.subarray(14, 34));
      cut.set([sum >> 8, sum & 0xff], 24);
      expect(["pass NONE", "RX_PATH_MTU_IGNORED"], hexOf(cut)).toContain(verdictName(host1().decide(cut, NIC)));
    }
  });
});

describe("what a host keeps", () => {
  const entry = (low: number, mtu = 1400, expiresMs = 600_000) => ({
    destination: ip(`10.0.${low >> 8}.${low & 255}`),
    mtu,
    expiresMs,
  });
  it("is bounded: beyond 1024 destinations nothing new is learnt, what is known is renewed", () => {
    let known = new PathMtus();
    for (let low = 0; low < 1024; low++) known = known.with(entry(low));
    expect([known.isFull, known.all.length]).toEqual([true, 1024]);
    expect(known.with(entry(2000))).toBe(known);
    expect(known.with(entry(5, 1300)).find(entry(5).destination)).toBe(1300);
  });
  it("ends when its time is over, and not before", () => {
    const known = new PathMtus([entry(1)]);
    expect(known.expired(entry(1).destination, 599_999)).toBe(known);
    expect(known.expired(entry(1).destination, 600_000).all).toEqual([]);
  });
});
