/**
 * REDIRECT and UNREACHABLE as single decisions: which packet earns which message, what the message is, and what a received one is taken for.
 * How often they are sent and how long they hold is in `control-state.test.ts`.
 */
import { describe, expect, it } from "vitest";
import type { Redirect } from "../../../../src/dataplane/slowpath/index.js";
import type { Decision } from "../../../../src/dataplane/transposition/index.js";
import { formatAddress } from "../../../../src/dataplane/wire/address-text.js";
import { icmp, icmpv6 } from "../../../engine/build.js";
import { isScapyAvailable, scapyFrames } from "../../../oracles/scapy.js";
import { hexOf, innerOf, workedPacket } from "../../../vectors/worked-packets.js";
import {
  type Changes,
  type FrameOptions,
  HOST1,
  host1,
  host2,
  ip,
  ipFrame,
  labRecords,
  MACS,
  mac,
  macOctets,
  NIC,
  nic,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  providerAddress,
  record,
  repairIpv4,
  splice,
  type TestHost,
  verdictName,
  vsid,
} from "../fixture.js";

const PA3 = "192.168.4.33";
const PA3_V6 = "2001:db8:4::33";
const OTHERS = labRecords().filter(({ macAddress }) => macAddress !== mac(MACS.blue2));
/** The records of the lab, with Blue2 at this provider address. */
const blue2At = (pa: string, more: Parameters<typeof record>[4] = {}) => [
  ...OTHERS,
  record(5001, "10.0.0.7", MACS.blue2, pa, more),
];
/** What a REDIRECT of Blue2 to this provider address leaves behind. */
const blue2Redirect = (target: string): Redirect => ({
  virtualSubnetID: vsid(5001),
  customerAddress: ip("10.0.0.7"),
  target: ip(target),
});
/** Host 2 without an adapter for Blue2. */
const left = (changes: Changes = {}): TestHost => host2({ ports: { 1: nic(MACS.nic2, 9) }, ...changes });

/** What the decision wants done, in words. */
function wishOf({ effects = [] }: Decision): string[] {
  return effects.map((effect) => {
    const fields = Object.values(effect).map((value) =>
      typeof value === "object" && "family" in value ? formatAddress(value) : "",
    );
    return [effect.kind, ...fields.filter(Boolean)].join(" ");
  });
}

/** The frame that the only effect sends. */
function messageOf(decision: Decision): Uint8Array {
  const [effect] = decision.effects ?? [];
  if (effect?.kind !== "controlMessage") throw new Error("no control message");
  return (effect as unknown as { frame: Uint8Array }).frame;
}

/** `redirect`, `unreachable`, or `silent`, by type and code of the message inside. */
function said(host: TestHost, frame: Uint8Array): string {
  const decision = host.decide(frame, NIC);
  if (!decision.effects) return `${verdictName(decision)}, silent`;
  const message = messageOf(decision);
  const at = message[12] === 0x81 ? 4 : 0;
  const isV4 = message[12 + at] === 0x08;
  const icmpAt = at + (isV4 ? 14 + 20 + 8 + 14 + 20 : 14 + 40 + 8 + 14 + 40);
  return `${verdictName(decision)}, ${message[icmpAt]}/${message[icmpAt + 1]}`;
}

const REDIRECT = "RX_MOVED, 5/10";

describe("rows 27 to 32: what the sending host is told", () => {
  /** A worked message with the identifications that this project sends: none. */
  function unidentified(name: "e" | "f"): Uint8Array {
    const frame = workedPacket(name);
    for (const at of [14, 56]) {
      frame.set([0, 0], at + 4);
      const length = (frame[at + 2]! << 8) | frame[at + 3]!;
      repairIpv4(frame, at, frame.length - at - length);
    }
    return frame;
  }

  it("row 31: packet E, octet by octet, where the record says that the VM lives at another host", () => {
    const decision = left({ lookupRecords: blue2At(PA3) }).decide(workedPacket("a"), NIC);
    expect(verdictName(decision)).toBe("RX_MOVED");
    expect(hexOf(messageOf(decision))).toBe(hexOf(unidentified("e")));
    expect(decision.effects).toMatchObject([
      { receiver: ip(PA1), virtualSubnetID: 5001, customerAddress: ip("10.0.0.7") },
    ]);
    expect(decision.effects).toMatchObject([{ output: NIC }]);
  });

  it("row 32: packet F, octet by octet, where no record says where the VM lives", () => {
    const decision = left({ lookupRecords: OTHERS }).decide(workedPacket("a"), NIC);
    expect(verdictName(decision)).toBe("RX_NO_LOCAL_DST");
    expect(hexOf(messageOf(decision))).toBe(hexOf(unidentified("f")));
  });

  it("row 32: UNREACHABLE where the record is of no use: here, of another MAC, of another rule", () => {
    const records = [
      labRecords(),
      blue2At(PA3, { macAddress: mac(MACS.blue3) }),
      blue2At(PA3, { rule: "TranslationMethodNone" }),
    ];
    for (const lookupRecords of records)
      expect(said(left({ lookupRecords }), workedPacket("a"))).toBe("RX_NO_LOCAL_DST, 3/10");
  });

  it("row 31: a provider address of the other family is moved to, but cannot be told", () => {
    expect(said(left({ lookupRecords: blue2At(PA3_V6) }), workedPacket("a"))).toBe("RX_MOVED, 3/10");
  });

  it("row 31: the VM may have moved to the very host that sent the packet", () => {
    expect(said(left({ lookupRecords: blue2At(PA1) }), workedPacket("a"))).toBe(REDIRECT);
  });

  it("row 27: UNREACHABLE for a VSID that nobody here has", () => {
    const frame = workedPacket("a");
    frame.set([0x00, 0x10, 0x00], 0x26);
    expect(said(host2(), frame)).toBe("RX_VSID_UNKNOWN, 3/10");
    expect(hexOf(messageOf(host2().decide(frame, NIC)).subarray(0x26, 0x29))).toBe("001000");
  });

  it("row 28: UNREACHABLE where the sender is not on record at the outer source", () => {
    const lookupRecords = labRecords().filter(({ macAddress }) => macAddress !== mac(MACS.blue1));
    expect(said(host2({ lookupRecords }), workedPacket("a"))).toBe("RX_SRC_POLICY, 3/10");
  });

  it("over IPv6, ICMPv6 137/1 and 1/1", () => {
    const changes = {
      providerAddresses: [providerAddress(PA2_V6)],
      neighbors: [{ address: ip(PA1_V6), mac: mac(MACS.nic1) }],
    };
    const records = labRecords(PA1_V6, PA2_V6).filter(({ macAddress }) => macAddress !== mac(MACS.blue2));
    const moved = [...records, record(5001, "10.0.0.7", MACS.blue2, PA3_V6)];
    expect(said(left({ ...changes, lookupRecords: moved }), workedPacket("d"))).toBe("RX_MOVED, 137/1");
    expect(said(left({ ...changes, lookupRecords: records }), workedPacket("d"))).toBe("RX_NO_LOCAL_DST, 1/1");
  });

  it("leaves in the VLAN of the provider address", () => {
    const host = left({ lookupRecords: OTHERS, providerAddresses: [providerAddress(PA2, { vlanID: 103 })] });
    expect(hexOf(messageOf(host.decide(workedPacket("aVlan"), NIC)).subarray(12, 18))).toBe("810000670800");
  });

  it("leaves from the provider address that was sent to, where the host has two", () => {
    const providerAddresses = [providerAddress("192.168.4.44"), providerAddress(PA2)];
    const message = messageOf(left({ lookupRecords: OTHERS, providerAddresses }).decide(workedPacket("a"), NIC));
    expect(hexOf(message.subarray(0x1a, 0x1e))).toBe("c0a80416");
  });

  it("names the MAC of the sending host where it is known, and else that of the frame", () => {
    const frame = workedPacket("a");
    frame.set(macOctets(MACS.providerRouter), 6);
    const macIn = (changes: Changes) =>
      hexOf(messageOf(left({ lookupRecords: OTHERS, ...changes }).decide(frame, NIC)).subarray(0x2a, 0x30));
    expect(macIn({})).toBe("0200c0a8040b");
    const viaRouter = {
      neighbors: [{ address: ip("192.168.4.1"), mac: mac(MACS.providerRouter) }],
      providerAddresses: [providerAddress(PA2, { prefixLength: 30 })],
      providerRoutes: [
        {
          interfaceIndex: 1,
          destinationPrefix: { address: ip("0.0.0.0"), length: 0 },
          nextHop: ip("192.168.4.1"),
          metric: 0,
        },
      ],
    };
    expect(macIn(viaRouter)).toBe("0200c0a80401");
  });

  it("quotes no more than an IP packet of 548 octets, or what the provider network carries, holds", () => {
    const long = ipFrame({ ...BLUE, payload: new Uint8Array(1000) });
    const lengthWith = (mtu: number) => {
      const host = left({ lookupRecords: OTHERS, interfaceMtus: [mtu] });
      const decision = host.decide(inNvgre(long), NIC);
      return decision.effects ? messageOf(decision).length - (14 + 20 + 8 + 14) : null;
    };
    expect(lengthWith(1500)).toBe(548);
    expect(lengthWith(42 + 300)).toBe(300);
    // Outer IP, GRE, inner Ethernet and inner IP headers must be quoted: 62 octets, behind 28 of headers.
    expect([lengthWith(42 + 90), lengthWith(42 + 89)]).toEqual([90, null]);
  });
});

const BLUE: FrameOptions = { destination: MACS.blue2, source: MACS.blue1, from: "10.0.0.5", to: "10.0.0.7" };
/** Packet A around another inner frame. */
const inNvgre = (inner: Uint8Array): Uint8Array => repairIpv4(splice(workedPacket("a"), 0x2a, [...inner], 74));

describe("what nobody is told of", () => {
  const host = left({ lookupRecords: blue2At(PA3) });

  it("the packet that all others here differ from in one thing is told of", () => {
    expect(said(host, inNvgre(ipFrame(BLUE)))).toBe(REDIRECT);
  });

  it("control messages, whatever else is wrong with them", () => {
    const about = (source: string, message: readonly number[]) =>
      said(
        host,
        inNvgre(
          Uint8Array.from([...macOctets(MACS.blue2), ...macOctets(MACS.blue1), ...icmp(source, "10.0.0.7", message)]),
        ),
      );
    const quote = new Array<number>(60).fill(0);
    expect(about("10.0.0.5", [5, 10, 0, 0, ...quote])).toBe("RX_MOVED, silent");
    expect(about("10.0.0.5", [3, 10, 0, 0, ...quote])).toBe("RX_MOVED, silent");
    expect(about("10.0.0.5", [3, 1, 0, 0, ...quote])).toBe(REDIRECT);
    const about6 = (message: readonly number[]) =>
      said(
        host,
        inNvgre(
          Uint8Array.from([
            ...macOctets(MACS.blue2),
            ...macOctets(MACS.blue1),
            ...icmpv6("fd00:10::5", "fd00:10::7", message),
          ]),
        ),
      );
    expect(about6([137, 1, 0, 0, ...quote])).toBe("RX_NO_LOCAL_DST, silent");
    expect(about6([1, 1, 0, 0, ...quote])).toBe("RX_NO_LOCAL_DST, silent");
    expect(about6([1, 0, 0, 0, ...quote])).toBe("RX_NO_LOCAL_DST, 3/10");
  });

  it("a packet that came in a frame to all", () => {
    const frame = inNvgre(ipFrame(BLUE));
    frame.set(macOctets("FF-FF-FF-FF-FF-FF"), 0);
    expect(said(host, frame)).toBe("RX_MOVED, silent");
  });

  it("an inner frame to all or to many", () => {
    const nobody = left({ ports: { 1: nic(MACS.nic2, 9), 2: nic(MACS.nic2, 8), 3: nic(MACS.nic2, 7) } });
    const broadcast = { ...BLUE, destination: "FF-FF-FF-FF-FF-FF", to: "10.0.0.255" };
    expect(said(nobody, inNvgre(ipFrame(broadcast)))).toBe("RX_NO_LOCAL_DST, silent");
    const multicast = { ...BLUE, destination: "01-00-5E-00-00-FB", to: "224.0.0.251" };
    expect(said(nobody, inNvgre(ipFrame(multicast)))).toBe("RX_NO_LOCAL_DST, silent");
    expect(said(nobody, inNvgre(ipFrame({ ...BLUE, to: "224.0.0.251" })))).toBe("RX_NO_LOCAL_DST, silent");
  });

  it("inner addresses that no record is asked for: unspecified, link-local", () => {
    expect(said(host, inNvgre(ipFrame({ ...BLUE, from: "0.0.0.0" })))).toBe("RX_MOVED, silent");
    expect(said(host, inNvgre(ipFrame({ ...BLUE, from: "169.254.1.1" })))).toBe("RX_MOVED, silent");
    expect(said(host, inNvgre(ipFrame({ ...BLUE, to: "169.254.1.1" })))).toBe("RX_NO_LOCAL_DST, silent");
  });

  it("ARP, which has no IP header to quote", () => {
    const frame = inNvgre(
      Uint8Array.from([...macOctets(MACS.blue2), ...macOctets(MACS.blue1), 8, 6, ...new Array<number>(28).fill(0)]),
    );
    expect(said(host, frame)).toBe("RX_NO_LOCAL_DST, silent");
  });

  it("a sending host that no way leads to: N14", () => {
    const frame = workedPacket("a");
    frame.set([192, 168, 4, 99], 0x1a);
    expect(said(host, repairIpv4(frame))).toBe("RX_SRC_POLICY, silent");
  });

  it("anything, with sendControlMessages off, and in Windows Server 2012", () => {
    for (const settings of [{ sendControlMessages: false }, { mode: "2012" } as const]) {
      const silent = left({ lookupRecords: blue2At(PA3), settings });
      expect(said(silent, inNvgre(ipFrame(BLUE)))).toBe("RX_MOVED, silent");
      const unknown = workedPacket("a");
      unknown.set([0x00, 0x10, 0x00], 0x26);
      expect(said(silent, unknown)).toBe("RX_VSID_UNKNOWN, silent");
    }
  });
});

describe("row 24: control messages received", () => {
  /** Packet E or F with octets replaced; its checksums, inner to outer, are repaired. */
  function changed(name: "e" | "f", at: number, octets: readonly number[], removed = octets.length): Uint8Array {
    const frame = splice(workedPacket(name), at, octets, removed);
    repairIpv4(frame, 56);
    frame.set([0, 0], 78);
    let sum = 0;
    for (let i = 76; i < frame.length; i += 2) sum += frame[i]! * 256 + (frame[i + 1] ?? 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    frame.set([(~sum >>> 8) & 0xff, ~sum & 0xff], 78);
    return repairIpv4(frame);
  }
  const verdictAndWish = (host: TestHost, frame: Uint8Array) => {
    const decision = host.decide(frame, NIC);
    expect(decision.cacheable).toBe(false);
    return [verdictName(decision), ...wishOf(decision)];
  };
  const OBEYED = ["consume", `redirect ${PA2}`];
  const MISMATCH = ["consume", `policyMismatch 10.0.0.7 ${PA2}`];

  it("packet E: a redirect of (5001, 10.0.0.7) to 192.168.4.33", () => {
    expect(verdictAndWish(host1(), workedPacket("e"))).toEqual(OBEYED);
    const redirect = { virtualSubnetID: 5001, customerAddress: ip("10.0.0.7"), target: ip(PA3) };
    expect(host1().decide(workedPacket("e"), NIC).effects).toMatchObject([{ redirect }]);
  });

  it("packet F: a policy mismatch", () => {
    expect(verdictAndWish(host1(), workedPacket("f"))).toEqual(MISMATCH);
  });

  it("behind an ICMP header of four octets, and quoted from the GRE header on", () => {
    expect(verdictAndWish(host1(), changed("e", 80, [], 4))).toEqual(OBEYED);
    expect(verdictAndWish(host1(), changed("e", 84, [], 20))).toEqual(OBEYED);
    expect(verdictAndWish(host1(), changed("f", 80, [], 24))).toEqual(MISMATCH);
  });

  it.skipIf(!isScapyAvailable())("Scapy's, over IPv6", () => {
    const frames = scapyFrames(`
def message(kind, code, target):
  quoted = IPv6(src="${PA1_V6}", dst="${PA2_V6}") / GRE(key_present=1, key=0x138900, proto=0x6558) / Ether() / IP(src="10.0.0.5", dst="10.0.0.7") / ("x" * 30)
  outer = Ether(dst="02:00:c0:a8:04:0b", src="02:00:c0:a8:04:16") / IPv6(src="${PA2_V6}", dst="${PA1_V6}") / GRE(key_present=1, key=0x138900, proto=0x6558)
  inside = Ether(dst="02:00:c0:a8:04:0b", src="02:00:c0:a8:04:16") / IPv6(src="${PA2_V6}", dst=target, hlim=128)
  icmp = ICMPv6Unknown(type=kind, code=code, msgbody=bytes(4) + bytes(quoted))
  emit(outer / inside / icmp)
message(137, 1, "${PA3_V6}")
message(1, 1, "${PA1_V6}")
`);
    const host = host1({ providerAddresses: [providerAddress(PA1_V6)], lookupRecords: labRecords(PA1_V6, PA2_V6) });
    expect(verdictAndWish(host, frames[0]!)).toEqual(["consume", `redirect ${PA2_V6}`]);
    expect(verdictAndWish(host, frames[1]!)).toEqual(["consume", `policyMismatch 10.0.0.7 ${PA2_V6}`]);
  });

  it("all conditions are required, or it is a tenant's packet, and nobody is told of it", () => {
    expect(said(host1(), changed("e", 0x2a, macOctets(MACS.blue1)))).toBe("RX_SRC_POLICY, silent");
    expect(said(host1(), changed("e", 0x44, [192, 168, 4, 23]))).toBe("RX_SRC_POLICY, silent");
    expect(said(host1(), changed("e", 0x26, [0x00, 0x10, 0x00]))).toBe("RX_VSID_UNKNOWN, silent");
    expect(said(host1(), changed("e", 0x4d, [1]))).toBe("RX_SRC_POLICY, silent");
    expect(said(host1(), changed("e", 0x3f, [1]))).toBe("RX_SRC_POLICY, silent"); // a fragment
  });

  it("RX_CTRL_MALFORMED: a wrong checksum, or no quote", () => {
    const at = (offset: number) => {
      const frame = workedPacket("e");
      frame[offset]! ^= 1;
      return verdictAndWish(host1(), frame);
    };
    expect([at(0x40), at(0x4e), at(0xb9)]).toEqual([
      ["RX_CTRL_MALFORMED"],
      ["RX_CTRL_MALFORMED"],
      ["RX_CTRL_MALFORMED"],
    ]);
    expect(verdictAndWish(host1(), changed("e", 84, [], 102))).toEqual(["RX_CTRL_MALFORMED"]);
    expect(verdictAndWish(host1(), changed("e", 84 + 61, [], 41))).toEqual(["RX_CTRL_MALFORMED"]);
    expect(verdictAndWish(host1(), changed("e", 84 + 62, [], 40))).toEqual(OBEYED);
  });

  it("RX_CTRL_SPOOF: the quoted packet was not sent from here, or not to the host that complains", () => {
    expect(verdictAndWish(host1(), changed("e", 84 + 15, [12]))).toEqual(["RX_CTRL_SPOOF"]);
    expect(verdictAndWish(host1(), changed("e", 84 + 19, [23]))).toEqual(["RX_CTRL_SPOOF"]);
    expect(verdictAndWish(host1(), changed("f", 84 + 15, [12]))).toEqual(["RX_CTRL_SPOOF"]);
  });

  it("RX_CTRL_STALE: packets for that address are not sent to the host that complains", () => {
    expect(verdictAndWish(host1({ lookupRecords: blue2At("192.168.4.44") }), workedPacket("e"))).toEqual([
      "RX_CTRL_STALE",
    ]);
    expect(verdictAndWish(host1({ lookupRecords: OTHERS }), workedPacket("e"))).toEqual(["RX_CTRL_STALE"]);
    const redirected = host1({ redirects: [blue2Redirect(PA3)] });
    expect(verdictAndWish(redirected, workedPacket("e"))).toEqual(["RX_CTRL_STALE"]);
    const byRewrite = host1({ lookupRecords: blue2At(PA2, { rule: "TranslationMethodNat" }) });
    expect(verdictAndWish(byRewrite, workedPacket("e"))).toEqual(["RX_CTRL_STALE"]);
  });

  it("a host that a REDIRECT has led to may lead on", () => {
    const host = host1({ lookupRecords: blue2At("192.168.4.44"), redirects: [blue2Redirect(PA2)] });
    expect(verdictAndWish(host, workedPacket("e"))).toEqual(OBEYED);
  });

  it("RX_CTRL_TARGET: no provider address that this host knows", () => {
    const to = (target: readonly number[], changes: Changes = {}) =>
      verdictAndWish(host1(changes), changed("e", 0x48, target));
    expect(to([10, 9, 9, 9])).toEqual(["RX_CTRL_TARGET"]);
    expect(to([224, 0, 0, 1])).toEqual(["RX_CTRL_TARGET"]);
    expect(to([192, 168, 4, 22])).toEqual(["RX_CTRL_TARGET"]); // where it came from
    expect(
      to([10, 9, 9, 9], {
        lookupRecords: [...labRecords(), record(6001, "10.0.0.9", "08-08-00-00-00-09", "10.9.9.9")],
      }),
    ).toEqual(OBEYED);
    expect(to([10, 9, 9, 9], { neighbors: [{ address: ip("10.9.9.9"), mac: mac(MACS.nic2) }] })).toEqual(OBEYED);
    const route = (length: number) => ({
      providerRoutes: [
        {
          interfaceIndex: 1,
          destinationPrefix: { address: ip(length ? "10.9.9.0" : "0.0.0.0"), length },
          nextHop: ip("192.168.4.1"),
          metric: 0,
        },
      ],
    });
    expect([to([10, 9, 9, 9], route(24)), to([10, 9, 9, 9], route(0))]).toEqual([OBEYED, ["RX_CTRL_TARGET"]]);
  });

  it("RX_CTRL: a host with acceptRedirect off obeys UNREACHABLE only, Windows Server 2012 nothing", () => {
    const closed = host1({ settings: { acceptRedirect: false } });
    expect([verdictAndWish(closed, workedPacket("e")), verdictAndWish(closed, workedPacket("f"))]).toEqual([
      ["RX_CTRL"],
      MISMATCH,
    ]);
    const old = host1({ settings: { mode: "2012" } });
    expect([verdictAndWish(old, workedPacket("e")), verdictAndWish(old, workedPacket("f"))]).toEqual([
      ["RX_CTRL"],
      ["RX_CTRL"],
    ]);
  });

  it("a message cut anywhere is refused, and never thrown at", () => {
    for (let length = 80; length < 186; length++) {
      const cut = changed("e", length, [], 186 - length);
      expect(() => host1().decide(cut, NIC), `${length} octets`).not.toThrow();
    }
  });

  it("an explanation names the kind, and what became of it", () => {
    const [note] = host1().explain(workedPacket("e"), NIC).get("control message")!;
    expect(note).toMatchObject({
      saw: "REDIRECT",
      decided: "(VSID 5001, 10.0.0.7) is at 192.168.4.33 for the time being",
    });
  });
});

describe("the redirect in use", () => {
  const neighbors = [PA2, PA3].map((address) => ({ address: ip(address), mac: mac(MACS.nic2) }));
  const to = (target: string, changes: Changes = {}): TestHost =>
    host1({
      neighbors,
      redirects: [blue2Redirect(target)],
      ...changes,
    });

  it("takes the place of the record's provider address", () => {
    const { frame } = to(PA3).send(innerOf("a"), HOST1.blue1);
    expect(hexOf(frame.subarray(0x1e, 0x22))).toBe("c0a80421");
    expect(hexOf(frame.subarray(0x2a))).toBe(hexOf(innerOf("a")));
    expect(to(PA3).explain(innerOf("a"), HOST1.blue1).get("redirect")).toMatchObject([
      { saw: "(VSID 5001, 10.0.0.7)", decided: "by a REDIRECT at 192.168.4.33" },
    ]);
  });

  it("leads to an adapter of this host, if the VM has come here", () => {
    const ports = { 4: { kind: "adapter", mac: mac(MACS.blue2), vsid: 5001, interfaceIndex: 0 } as never };
    expect(to(PA1, { ports }).forward(innerOf("a"), HOST1.blue1).output).toBe(4);
  });

  it("is left aside with acceptRedirect off", () => {
    const { frame } = to(PA3, { settings: { acceptRedirect: false } }).send(innerOf("a"), HOST1.blue1);
    expect(hexOf(frame.subarray(0x1e, 0x22))).toBe("c0a80416");
  });

  it("is part of what the decision rests on: that of the record", () => {
    const stamps = (host: TestHost) => host.decide(innerOf("a"), HOST1.blue1).stamps;
    expect(stamps(to(PA3))).toEqual(stamps(host1()));
  });
});
