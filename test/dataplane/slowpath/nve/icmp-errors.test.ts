/**
 * What the distributed router tells a VM whose packet it drops: too big, and time exceeded, from the gateway address of the VM's own
 * subnet. From Blue1 on host 1 unless told otherwise; the provider network's MTU is 1500, so 1458 octets fit.
 */
import { describe, expect, it } from "vitest";
import { hexOf, icmpv6, internetChecksum, readIp } from "../../../engine/build.js";
import { isScapyAvailable, scapyFrames } from "../../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../../oracles/tshark.js";
import {
  BLUE,
  type Changes,
  type FrameOptions,
  HOST1,
  host1,
  ip,
  ipFrame,
  labRecords,
  labRoutes,
  MACS,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  providerAddress,
  record,
  route,
  splice,
  type TestHost,
  verdictName,
} from "../fixture.js";

const IPV4_MTU = 1500 - 42;
const IPV6_MTU = 1500 - 62;
const toBlue2: FrameOptions = {
  destination: MACS.blue2,
  source: MACS.blue1,
  from: "10.0.0.5",
  to: "10.0.0.7",
  dontFragment: true,
};
const toBlue3: FrameOptions = { ...toBlue2, destination: MACS.gateway5001, to: "10.0.1.9", ttl: 1 };
const v6 = { from: "fd00:10::5", to: "fd00:10::7" };
const host = (changes: Changes = {}): TestHost => host1({ interfaceMtus: [1500], ...changes });

/** UDP of this many octets, header included, with some content. */
const udp = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => [0xc0, 0x00, 0x13, 0x88, length >>> 8, length & 0xff, 0, 0][at] ?? at & 0xff);
/** An IP packet of this length. */
const frame = (length: number, more: Partial<FrameOptions> = {}): Uint8Array =>
  ipFrame({ ...toBlue2, payload: udp(length - (more.from?.includes(":") ? 40 : 20)), ...more });

/** The verdict, and the error message if there is one. */
function told(bytes: Uint8Array, testHost = host()): { verdict: string; error: Uint8Array | null } {
  const decision = testHost.decide(bytes, HOST1.blue1);
  const emissions = decision.emissions ?? [];
  expect(emissions.length).toBeLessThanOrEqual(1);
  for (const { port } of emissions) expect(port).toBe(HOST1.blue1);
  if (emissions.length > 0) expect(decision.cacheable).toBe(false);
  return { verdict: verdictName(decision), error: emissions[0]?.frame ?? null };
}
const word = (bytes: Uint8Array, at: number): number => bytes[at]! * 256 + bytes[at + 1]!;

describe("IPv4 with DF: fragmentation needed (RFC 1191 §4)", () => {
  it("the 1458 rule: what fits over IPv4 with an MTU of 1500 goes, one octet more is told the MTU of 1458", () => {
    expect(told(frame(IPV4_MTU))).toEqual({ verdict: "forward", error: null });
    const { verdict, error } = told(frame(IPV4_MTU + 1));
    expect(verdict).toBe("TX_TOO_BIG_ICMP4");
    expect(hexOf(error!.subarray(0, 12))).toBe(
      hexOf(frame(100, { destination: MACS.blue1, source: MACS.gateway5001 }).subarray(0, 12)),
    );
    expect(readIp(error!)).toMatchObject({ source: "0a000001", destination: "0a000005", protocol: 1 });
    expect([...error!.subarray(34, 36)], "type 3, code 4").toEqual([3, 4]);
    expect(word(error!, 40)).toBe(1458);
    expect(internetChecksum(error!.subarray(34))).toBe(0);
    expect(internetChecksum(error!.subarray(14, 34))).toBe(0);
  });

  it("RFC 1812 §4.3.2.3: quotes the packet as it came, up to 576 octets in all", () => {
    const sent = frame(IPV4_MTU + 1);
    const { error } = told(sent);
    expect(error).toHaveLength(14 + 576);
    expect(hexOf(error!.subarray(42))).toBe(hexOf(sent.subarray(14, 14 + 576 - 28)));
  });

  it("over an IPv6 provider address the rule is 1438", () => {
    const overV6 = host({
      lookupRecords: labRecords(PA1_V6, PA2_V6),
      providerAddresses: [providerAddress(PA1_V6)],
    });
    expect(told(frame(IPV6_MTU), overV6).verdict).toBe("forward");
    expect(word(told(frame(IPV6_MTU + 1), overV6).error!, 40)).toBe(1438);
  });

  it("a routed packet is told by the gateway of the sender's subnet, not of the destination's", () => {
    const { error } = told(frame(IPV4_MTU + 1, { ...toBlue3, ttl: 64 }));
    expect(readIp(error!)).toMatchObject({ source: "0a000001" });
  });

  it("without DF, and not cut either, the packet is dropped, and nobody told", () => {
    const uncut = host({ settings: { innerFragmentation: false } });
    expect(told(frame(IPV4_MTU + 1, { dontFragment: false }), uncut)).toEqual({ verdict: "TX_TOO_BIG", error: null });
  });

  it("padding that is too long is no fault of the packet", () => {
    const padded = frame(IPV4_MTU, { padding: 1 });
    expect(told(padded)).toEqual({ verdict: "TX_TOO_BIG_ICMP4", error: null });
  });
});

describe("IPv6: packet too big (RFC 4443 §3.2)", () => {
  it("one octet more than fits is told the MTU", () => {
    expect(told(frame(IPV4_MTU, v6)).verdict).toBe("forward");
    const sent = frame(IPV4_MTU + 1, v6);
    const { verdict, error } = told(sent);
    expect(verdict).toBe("TX_TOO_BIG_ICMP6");
    expect(readIp(error!)).toMatchObject({
      source: hexAddress("fd00:10::1"),
      destination: hexAddress("fd00:10::5"),
      protocol: 58,
    });
    expect([...error!.subarray(54, 62)]).toEqual([2, 0, error![56], error![57], 0, 0, IPV4_MTU >>> 8, IPV4_MTU & 0xff]);
    // RFC 4443 §2.4 (c): as much of the packet as the minimum MTU of 1280 leaves room for.
    expect(error).toHaveLength(14 + 1280);
    expect(hexOf(error!.subarray(62))).toBe(hexOf(sent.subarray(14, 14 + 1280 - 48)));
  });

  it("RFC 8201 §4: never an MTU below 1280; such a provider network is a mistake, and the VM hears nothing", () => {
    const tooNarrow = host({ interfaceMtus: [1280 + 41] });
    expect(told(frame(1280, v6), tooNarrow)).toEqual({ verdict: "TX_TOO_BIG_ICMP6", error: null });
    const justWide = host({ interfaceMtus: [1280 + 42] });
    expect(told(frame(1281, v6), justWide).error).not.toBeNull();
    expect(told(frame(1280, v6), justWide).verdict).toBe("forward");
  });
});

describe("time exceeded at the distributed router (RFC 792, RFC 4443 §3.3)", () => {
  it("IPv4: type 11, code 0, with the whole small packet in it, TTL as it came", () => {
    const sent = ipFrame(toBlue3);
    const { verdict, error } = told(sent);
    expect(verdict).toBe("TX_TTL_EXCEEDED");
    expect(readIp(error!)).toMatchObject({ source: "0a000001", destination: "0a000005", protocol: 1 });
    expect([...error!.subarray(34, 36), ...error!.subarray(38, 42)]).toEqual([11, 0, 0, 0, 0, 0]);
    expect(hexOf(error!.subarray(42))).toBe(hexOf(sent.subarray(14)));
  });

  it("IPv6: type 3, code 0", () => {
    const routes = [...labRoutes(), route(BLUE, 5002, "fd00:11::/64")];
    const records = [...labRecords(), record(5002, "fd00:11::9", MACS.blue3, PA2)];
    const routed = host({ customerRoutes: routes, lookupRecords: records });
    const sent = ipFrame({ ...toBlue3, from: "fd00:10::5", to: "fd00:11::9" });
    const { verdict, error } = told(sent, routed);
    expect(verdict).toBe("TX_TTL_EXCEEDED");
    expect([...error!.subarray(54, 56)]).toEqual([3, 0]);
    expect(hexOf(error!.subarray(62))).toBe(hexOf(sent.subarray(14)));
  });

  it("within a virtual subnet nothing is routed, and no TTL runs out", () => {
    expect(told(ipFrame({ ...toBlue2, ttl: 1 })).verdict).toBe("forward");
  });

  it.each(["2012", "2012R2"] as const)("mode %s", (mode) => {
    expect(told(ipFrame(toBlue3), host({ settings: { mode } })).error).not.toBeNull();
  });

  it("a next hop on this host is told of as well", () => {
    expect(told(ipFrame({ ...toBlue3, to: "10.0.1.4" })).error).not.toBeNull();
  });
});

describe("no error message (RFC 1812 §4.3.2.7, RFC 4443 §2.4 (e))", () => {
  const icmp = (type: number): Partial<FrameOptions> => ({
    protocol: 1,
    payload: Uint8Array.from([type, 0, 0, 0, 0, 0, 0, 0, ...new Array<number>(8).fill(0)]),
  });
  const silent = (bytes: Uint8Array, testHost?: TestHost): void => {
    expect(told(bytes, testHost)).toEqual({ verdict: "TX_TTL_EXCEEDED", error: null });
  };

  it.each([3, 4, 5, 11, 12])("about an ICMP error: type %i", (type) => {
    silent(ipFrame({ ...toBlue3, ...icmp(type) }));
  });
  it.each([0, 8, 13])("but about other ICMP: type %i", (type) => {
    expect(told(ipFrame({ ...toBlue3, ...icmp(type) })).error).not.toBeNull();
  });
  it("about ICMP that does not show its type", () => {
    silent(ipFrame({ ...toBlue3, protocol: 1, payload: new Uint8Array(0) }));
  });

  it("about a fragment that is not the first", () => {
    silent(withChecksum(splice(ipFrame(toBlue3), 20, [0x00, 0x09])));
    expect(told(withChecksum(splice(ipFrame(toBlue3), 20, [0x20, 0x00]))).error, "the first").not.toBeNull();
  });

  it("about a frame to many", () => {
    silent(ipFrame({ ...toBlue3, destination: "FF-FF-FF-FF-FF-FF" }));
  });

  it("to 0.0.0.0, from where nothing is routed, about what does not fit", () => {
    expect(told(frame(IPV4_MTU + 1, { from: "0.0.0.0" }))).toEqual({ verdict: "TX_TOO_BIG_ICMP4", error: null });
  });

  it.each(["127.0.0.1", "240.0.0.1"])("to %s, which is no single host's address", (from) => {
    const testHost = host({
      lookupRecords: [...labRecords(), record(5001, "0.0.0.0", MACS.blue1, PA1, { type: "GatewayWildcard" })],
    });
    silent(ipFrame({ ...toBlue3, from }), testHost);
  });

  it.each([1, 2, 3, 4, 100, 127])("about an ICMPv6 error: type %i", (type) => {
    silentV6([type, 0, 0, 0, 0, 0, 0, 0]);
  });
  it("but about other ICMPv6", () => {
    expect(toldV6([128, 0, 0, 0, 0, 0, 0, 0]).error).not.toBeNull();
  });

  /** Through the router to another virtual subnet, with a hop limit of 1. */
  function toldV6(message: readonly number[]): ReturnType<typeof told> {
    const customerRoutes = [...labRoutes(), route(BLUE, 5002, "fd00:11::/64")];
    const lookupRecords = [...labRecords(), record(5002, "fd00:11::9", MACS.blue3, PA2)];
    const behindMacs = icmpv6("fd00:10::5", "fd00:11::9", message, 1);
    const macs = ipFrame(toBlue3).subarray(0, 12);
    return told(Uint8Array.from([...macs, ...behindMacs]), host({ customerRoutes, lookupRecords }));
  }
  function silentV6(message: readonly number[]): void {
    expect(toldV6(message)).toEqual({ verdict: "TX_TTL_EXCEEDED", error: null });
  }

  it("where the prefix has no room for a gateway address", () => {
    const customerRoutes = [route(BLUE, 5001, "10.0.0.4/31"), route(BLUE, 5002, "10.0.1.0/24")];
    silent(ipFrame({ ...toBlue3, destination: "02-00-5E-00-01-01" }), host({ customerRoutes }));
  });

  it("for what the distributed router is asked itself: it answers no ping", () => {
    expect(told(ipFrame({ ...toBlue2, to: "10.0.0.1", ...icmp(8) }))).toEqual({
      verdict: "TX_ROUTER_SELF",
      error: null,
    });
    expect(told(ipFrame({ ...toBlue2, to: "10.0.0.1", ...icmp(3) })).verdict).toBe("TX_ROUTER_SELF");
  });
});

describe("error messages, by other hands", () => {
  const sent = (): Uint8Array[] => [frame(IPV4_MTU + 1), ipFrame(toBlue3), frame(IPV4_MTU + 1, v6)];
  const errors = (): Uint8Array[] => sent().map((bytes) => told(bytes).error!);

  it.skipIf(!isScapyAvailable())("Scapy writes the same octets", () => {
    const [big, expired, big6] = sent().map((bytes) => hexOf(bytes.subarray(14)));
    const link = `Ether(dst="06:06:00:00:00:05", src="06:06:00:00:01:01")`;
    const expected = scapyFrames(`
v4 = ${link}/IP(src="10.0.0.1", dst="10.0.0.5", tos=0xc0, id=0, flags="DF", ttl=128)
emit(v4/ICMP(type=3, code=4, nexthopmtu=1458)/Raw(bytes.fromhex("${big}")[:548]))
emit(v4/ICMP(type=11, code=0)/Raw(bytes.fromhex("${expired}")))
emit(${link}/IPv6(src="fd00:10::1", dst="fd00:10::5", tc=0xc0, hlim=128)/ICMPv6PacketTooBig(mtu=1458)/Raw(bytes.fromhex("${big6}")[:1232]))`);
    expect(errors().map(hexOf)).toEqual(expected.map(hexOf));
  });

  it.skipIf(!isTsharkAvailable())("Wireshark reads the MTU, the packet in question, and right checksums", () => {
    const fields = tsharkFields(errors(), [
      "icmp.type",
      "icmp.mtu",
      "icmp.checksum.status",
      "icmpv6.mtu",
      "icmpv6.checksum.status",
      "ip.dst",
    ]);
    expect(fields).toEqual([
      {
        "icmp.type": ["3"],
        "icmp.mtu": ["1458"],
        "icmp.checksum.status": ["1"],
        "icmpv6.mtu": [],
        "icmpv6.checksum.status": [],
        "ip.dst": ["10.0.0.5", "10.0.0.7"],
      },
      {
        "icmp.type": ["11"],
        "icmp.mtu": [],
        "icmp.checksum.status": ["1"],
        "icmpv6.mtu": [],
        "icmpv6.checksum.status": [],
        "ip.dst": ["10.0.0.5", "10.0.1.9"],
      },
      {
        "icmp.type": [],
        "icmp.mtu": [],
        "icmp.checksum.status": [],
        "icmpv6.mtu": ["1458"],
        "icmpv6.checksum.status": ["1"],
        "ip.dst": [],
      },
    ]);
  });
});

const hexAddress = (text: string): string => {
  const { w0, w1, w2, w3 } = ip(text);
  return [w0, w1, w2, w3].map((each) => each.toString(16).padStart(8, "0")).join("");
};

/** With the IPv4 checksum that fits. */
function withChecksum(bytes: Uint8Array): Uint8Array {
  const fixed = splice(bytes, 24, [0, 0]);
  const sum = internetChecksum(fixed.subarray(14, 34));
  return splice(fixed, 24, [sum >>> 8, sum & 0xff]);
}
