/**
 * ARP and neighbor discovery of VMs: what a Hyper-V host does with each kind of message, in both modes. From Blue1 on host 1 unless told
 * otherwise; frames and answers are built by the tests' own encoder, and Scapy's where it is installed.
 */
import { describe, expect, it } from "vitest";
import type { Decision } from "../../../../src/dataplane/transposition/index.js";
import { arp, concatenate, frame, hexOf, icmpv6, neighborMessage, nvgre } from "../../../engine/build.js";
import { isScapyAvailable, scapyFrames } from "../../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../../oracles/tshark.js";
import {
  adapter,
  type Changes,
  HOST1,
  host1,
  ip,
  labRecords,
  labRoutes,
  MACS,
  mac,
  macOctets,
  NIC,
  PA1,
  PA2,
  port,
  providerAddress,
  record,
  splice,
  type TestHost,
  verdictName,
} from "../fixture.js";

const ALL = "FF-FF-FF-FF-FF-FF";
const ROUTER_DEFAULT = "02-00-5E-00-01-01";
const UNKNOWN = "06-06-00-00-00-99";
const BLUE5 = "06-06-00-00-00-06";
const MODES = ["2012", "2012R2"] as const;

/** Host 1 with one more VM of VSID 5001, Blue5, at port 4. */
const host = (mode: (typeof MODES)[number] = "2012R2", changes: Changes = {}): TestHost =>
  host1({
    ports: { 4: adapter(5001, BLUE5) },
    ...changes,
    lookupRecords: [
      ...(changes.lookupRecords ?? labRecords()),
      record(5001, "10.0.0.6", BLUE5, PA1),
      record(5001, "fd00:10::6", BLUE5, PA1),
    ],
    settings: { mode },
  });
const BLUE5_PORT = port(4);
/** Host 1 without it: nobody else is here to whom the switch of 2012 would flood. */
const alone = (mode: (typeof MODES)[number], changes: Changes = {}): TestHost =>
  host1({ ...changes, settings: { mode } });

interface Ask {
  readonly for: string;
  /** null: a probe, or duplicate address detection. */
  readonly by?: string | null;
  readonly from?: string;
  /** The station that is asked; all if left out. */
  readonly of?: string;
}

const arpRequest = ({ for: target, by = "10.0.0.5", from = MACS.blue1, of = ALL }: Ask): Uint8Array =>
  frame(of, from, arp({ operation: 1, senderMac: from, sender: by ?? "0.0.0.0", target }));

/** To the solicited-node address, whose last three octets are the target's (RFC 4291 §2.7.1). */
function solicitation({ for: target, by = "fd00:10::5", from = MACS.blue1, of }: Ask): Uint8Array {
  const last = Number.parseInt(target.split(":").at(-1)!, 16);
  const message = neighborMessage(135, 0, target, by === null ? null : [1, from]);
  const all = `33-33-FF-00-00-${last.toString(16).padStart(2, "0")}`;
  const destination = of === undefined ? `ff02::1:ff00:${last.toString(16)}` : target;
  return frame(of ?? all, from, icmpv6(by ?? "::", destination, message));
}

const arpReply = (from: string, target: string, to: string, toAddress: string): string =>
  hexOf(frame(to, from, arp({ operation: 2, senderMac: from, sender: target, targetMac: to, target: toAddress })));

const FLAG = { router: 0x80, solicited: 0x40, override: 0x20 } as const;
const advertisement = (from: string, target: string, to: string, toAddress: string, flags: number): string =>
  hexOf(frame(to, from, icmpv6(target, toAddress, neighborMessage(136, flags, target, [2, from]))));

/** The verdict, then each answer that leaves at the port of the asker, in hexadecimal digits. */
function outcomeOf(decision: Decision, ingress = HOST1.blue1): readonly string[] {
  expect(decision.cacheable, "what messages say is in no flow key").toBe(false);
  const emissions = decision.emissions ?? [];
  for (const { port } of emissions) expect(port).toBe(ingress);
  return [verdictName(decision), ...emissions.map((emission) => hexOf(emission.frame))];
}
const ask = (testHost: TestHost, bytes: Uint8Array, ingress = HOST1.blue1): readonly string[] =>
  outcomeOf(testHost.decide(bytes, ingress), ingress);

/** Ports that get the frame as it is. */
function copiesOf({ verdict }: Decision): readonly number[] {
  if (verdict.kind !== "forward") return [];
  for (const forward of verdict.outputs) expect(forward).toMatchObject({ pop: false, push: null, ethernet: null });
  return verdict.outputs.map(({ output }) => output);
}

describe("row 1: a question to all for an address with a lookup record", () => {
  it("2012R2: is answered with the record's MAC, and goes no further: Blue2 on host 2, Blue5 on this one", () => {
    const { blue1, blue2 } = MACS;
    expect(ask(host(), arpRequest({ for: "10.0.0.7" }))).toEqual([
      "consume",
      arpReply(blue2, "10.0.0.7", blue1, "10.0.0.5"),
    ]);
    expect(ask(host(), arpRequest({ for: "10.0.0.6" }))).toEqual([
      "consume",
      arpReply(BLUE5, "10.0.0.6", blue1, "10.0.0.5"),
    ]);
    const flags = FLAG.solicited | FLAG.override;
    expect(ask(host(), solicitation({ for: "fd00:10::7" }))).toEqual([
      "consume",
      advertisement(blue2, "fd00:10::7", blue1, "fd00:10::5", flags),
    ]);
    expect(ask(host(), solicitation({ for: "fd00:10::6", by: "fe80::5" }))).toEqual([
      "consume",
      advertisement(BLUE5, "fd00:10::6", blue1, "fe80::5", flags),
    ]);
  });

  it("2012: is answered if the VM lives on another host, and flooded to the local ports of the virtual subnet", () => {
    const { blue1, blue2 } = MACS;
    const decision = host("2012").decide(arpRequest({ for: "10.0.0.7" }), HOST1.blue1);
    expect(outcomeOf(decision)).toEqual(["forward", arpReply(blue2, "10.0.0.7", blue1, "10.0.0.5")]);
    expect(copiesOf(decision)).toEqual([BLUE5_PORT]);
    expect(ask(alone("2012"), arpRequest({ for: "10.0.0.7" }))[0]).toBe("consume");
    const flags = FLAG.solicited | FLAG.override;
    expect(ask(alone("2012"), solicitation({ for: "fd00:10::7" }))).toEqual([
      "consume",
      advertisement(blue2, "fd00:10::7", blue1, "fd00:10::5", flags),
    ]);
  });

  it("2012: a VM of this host answers itself, so that the asker sees one reply", () => {
    const decision = host("2012").decide(arpRequest({ for: "10.0.0.6" }), HOST1.blue1);
    expect(outcomeOf(decision)).toEqual(["forward"]);
    expect(copiesOf(decision)).toEqual([BLUE5_PORT]);
    expect(outcomeOf(host("2012").decide(solicitation({ for: "fd00:10::6" }), HOST1.blue1))).toEqual(["forward"]);
  });

  it.each(MODES)("%s: another tenant's record with the same address is not seen", (mode) => {
    const { red1, red2 } = MACS;
    const [verdict, answer] = ask(host(mode), arpRequest({ for: "10.0.0.7", from: red1 }), HOST1.red1);
    expect(verdict).toBe("consume");
    expect(answer).toBe(arpReply(red2, "10.0.0.7", red1, "10.0.0.5"));
    expect(ask(host(mode), arpRequest({ for: "10.0.0.6", from: red1 }), HOST1.red1)).toEqual(["TX_UNANSWERED"]);
  });

  it("a priority tag is taken off, and the answer has none", () => {
    const tagged = splice(arpRequest({ for: "10.0.0.7" }), 12, [0x81, 0, 0xa0, 0], 0);
    expect(ask(host(), tagged)).toEqual(["consume", arpReply(MACS.blue2, "10.0.0.7", MACS.blue1, "10.0.0.5")]);
  });
});

describe("row 2: a question for the gateway address of the subnet", () => {
  const { blue1, gateway5001 } = MACS;

  it.each(MODES)("%s: is answered with the gateway MAC of the record, as a router", (mode) => {
    const reply = arpReply(gateway5001, "10.0.0.1", blue1, "10.0.0.5");
    expect(ask(alone(mode), arpRequest({ for: "10.0.0.1" }))).toEqual(["consume", reply]);
    const flags = FLAG.router | FLAG.solicited | FLAG.override;
    const expected = advertisement(gateway5001, "fd00:10::1", blue1, "fd00:10::5", flags);
    expect(ask(alone(mode), solicitation({ for: "fd00:10::1" }))).toEqual(["consume", expected]);
  });

  it.each(MODES)("%s: is answered with 02-00-5E-00-01-01 where no record names another", (mode) => {
    const lookupRecords = labRecords().filter(({ macAddress }) => macAddress !== mac(gateway5001));
    const reply = arpReply(ROUTER_DEFAULT, "10.0.0.1", blue1, "10.0.0.5");
    expect(ask(alone(mode, { lookupRecords }), arpRequest({ for: "10.0.0.1" }))).toEqual(["consume", reply]);
  });

  it("2012: local ports see the question as well", () => {
    const decision = host("2012").decide(arpRequest({ for: "10.0.0.1" }), HOST1.blue1);
    expect(outcomeOf(decision)).toHaveLength(2);
    expect(copiesOf(decision)).toEqual([BLUE5_PORT]);
  });

  it("only for the asker's own subnet: the router's addresses elsewhere are not on this link", () => {
    expect(ask(host(), arpRequest({ for: "10.0.1.1" }))).toEqual(["TX_UNANSWERED"]);
  });

  it("a virtual subnet without routes has no gateway", () => {
    const customerRoutes = labRoutes().filter(({ virtualSubnetID }) => virtualSubnetID !== 6001);
    const without = host("2012R2", { customerRoutes });
    expect(ask(without, arpRequest({ for: "10.0.0.1", from: MACS.red1 }), HOST1.red1)).toEqual(["TX_UNANSWERED"]);
  });
});

describe("rows 3 and 4: a question to all for an address without a record", () => {
  it("2012R2, no L2Only record: is dropped, without an answer", () => {
    expect(ask(host(), arpRequest({ for: "10.0.0.9" }))).toEqual(["TX_UNANSWERED"]);
    expect(ask(host(), solicitation({ for: "fd00:10::9" }))).toEqual(["TX_UNANSWERED"]);
  });

  it("2012: is not answered, and seen by local ports only", () => {
    const decision = host("2012").decide(arpRequest({ for: "10.0.0.9" }), HOST1.blue1);
    expect(outcomeOf(decision)).toEqual(["forward"]);
    expect(copiesOf(decision)).toEqual([BLUE5_PORT]);
    expect(ask(alone("2012"), arpRequest({ for: "10.0.0.9" }))).toEqual(["TX_UNANSWERED"]);
  });

  it("says which record came nearest", () => {
    const notes = host()
      .explain(arpRequest({ for: "10.0.0.9" }), HOST1.blue1)
      .get("address resolution")!;
    expect(notes.some(({ nearest }) => nearest?.differs === "customerAddress")).toBe(true);
  });
});

describe("row 5: a question to one station, to see whether it is still there", () => {
  const toBlue2 = arpRequest({ for: "10.0.0.7", of: MACS.blue2 });

  it("2012R2: goes to the VM of the target's record like any unicast packet", () => {
    const testHost = host();
    const decision = testHost.decide(toBlue2, HOST1.blue1);
    expect(outcomeOf(decision)).toEqual(["forward"]);
    const sent = testHost.send(toBlue2, HOST1.blue1);
    expect(sent.output).toBe(NIC);
    expect(hexOf(sent.frame).endsWith(hexOf(toBlue2))).toBe(true);
    expect(testHost.forward(toBlue2, HOST1.blue1).push).toMatchObject({ vsid: 5001 });
    const toBlue5 = solicitation({ for: "fd00:10::6", of: BLUE5 });
    expect(copiesOf(testHost.decide(toBlue5, HOST1.blue1))).toEqual([BLUE5_PORT]);
  });

  it("2012R2: the record's MAC leads, not the one that the asker remembers", () => {
    const stale = arpRequest({ for: "10.0.0.6", of: UNKNOWN });
    const { output, ethernet } = host().forward(stale, HOST1.blue1);
    expect(output).toBe(BLUE5_PORT);
    expect(ethernet?.destination).toBe(mac(BLUE5));
  });

  it("2012R2: without a record it is dropped, or goes by the MAC of an L2Only record", () => {
    const unknown = arpRequest({ for: "10.0.0.9", of: UNKNOWN });
    expect(ask(host(), unknown)).toEqual(["TX_NO_RECORD"]);
    const lookupRecords = [...labRecords(), record(5001, "0.0.0.0", UNKNOWN, PA2, { type: "L2Only" })];
    expect(ask(host("2012R2", { lookupRecords }), unknown)).toEqual(["forward"]);
  });

  it("2012R2: about a link-local address, which is on nobody's record, it goes by the MAC of any record but the router's", () => {
    const about = (of: string) => solicitation({ for: "fe80::7", by: "fe80::5", of });
    expect(host().send(about(MACS.blue2), HOST1.blue1).output).toBe(NIC);
    expect(copiesOf(host().decide(about(BLUE5), HOST1.blue1))).toEqual([BLUE5_PORT]);
    for (const of of [UNKNOWN, MACS.gateway5001]) expect(ask(host(), about(of))).toEqual(["TX_NO_RECORD"]);
  });

  it.each(MODES)("%s: to the gateway address it is answered by the host", (mode) => {
    const reply = arpReply(MACS.gateway5001, "10.0.0.1", MACS.blue1, "10.0.0.5");
    expect(ask(host(mode), arpRequest({ for: "10.0.0.1", of: MACS.gateway5001 }))).toEqual(["consume", reply]);
    const solicited = solicitation({ for: "fd00:10::1", of: MACS.gateway5001 });
    expect(ask(host(mode), solicited)).toHaveLength(2);
  });

  it("2012: the host answers for VMs elsewhere; the switch has brought it to those here", () => {
    const reply = arpReply(MACS.blue2, "10.0.0.7", MACS.blue1, "10.0.0.5");
    expect(ask(host("2012"), toBlue2)).toEqual(["consume", reply]);
    const toBlue5 = arpRequest({ for: "10.0.0.6", of: BLUE5 });
    expect(host("2012").forward(toBlue5, HOST1.blue1).output).toBe(BLUE5_PORT);
  });

  it("is too long for nothing, and needs a provider address like any packet", () => {
    expect(ask(host("2012R2", { providerAddresses: [] }), toBlue2)).toEqual(["TX_NO_PA"]);
  });
});

describe("row 6: an answer to one station", () => {
  const reply = (to: string, toAddress: string): Uint8Array =>
    frame(
      to,
      MACS.blue1,
      arp({ operation: 2, senderMac: MACS.blue1, sender: "10.0.0.5", targetMac: to, target: toAddress }),
    );
  const advertise = (to: string, toAddress: string): Uint8Array => {
    const message = neighborMessage(136, FLAG.solicited | FLAG.override, "fd00:10::5", [2, MACS.blue1]);
    return frame(to, MACS.blue1, icmpv6("fd00:10::5", toAddress, message));
  };

  it.each(MODES)("%s: goes to the VM that has the destination MAC in the virtual subnet", (mode) => {
    const toBlue2 = host(mode).send(reply(MACS.blue2, "10.0.0.7"), HOST1.blue1);
    expect(toBlue2.output).toBe(NIC);
    expect(hexOf(toBlue2.frame)).toContain(hexOf(nvgre(5001, 0, new Uint8Array(0))).slice(0, 14));
    expect(host(mode).forward(reply(BLUE5, "10.0.0.6"), HOST1.blue1).output).toBe(BLUE5_PORT);
    expect(host(mode).forward(advertise(MACS.blue2, "fd00:10::7"), HOST1.blue1).output).toBe(NIC);
    expect(host(mode).forward(advertise(BLUE5, "fd00:10::6"), HOST1.blue1).output).toBe(BLUE5_PORT);
  });

  it.each(MODES)("%s: ends where nobody has the MAC, and at the router, which knows", (mode) => {
    expect(ask(host(mode), reply(UNKNOWN, "10.0.0.9"))).toEqual(["TX_NO_RECORD"]);
    expect(ask(host(mode), reply(MACS.red2, "10.0.0.7")), "another tenant's").toEqual(["TX_NO_RECORD"]);
    expect(ask(host(mode), reply(MACS.gateway5001, "10.0.0.1"))).toEqual(["consume"]);
  });
});

describe("row 7: an announcement", () => {
  const gratuitous = [
    ["ARP request for the own address", arpRequest({ for: "10.0.0.5" })],
    [
      "ARP reply to all",
      frame(ALL, MACS.blue1, arp({ operation: 2, senderMac: MACS.blue1, sender: "10.0.0.5", target: "10.0.0.5" })),
    ],
    [
      "unsolicited neighbor advertisement",
      frame(
        "33-33-00-00-00-01",
        MACS.blue1,
        icmpv6("fd00:10::5", "ff02::1", neighborMessage(136, FLAG.override, "fd00:10::5", [2, MACS.blue1])),
      ),
    ],
  ] as const;

  it.each(gratuitous)("2012R2: %s is taken and told to nobody", (_title, bytes) => {
    expect(ask(host(), bytes)).toEqual(["consume"]);
  });
  it.each(gratuitous)("2012: %s reaches local ports only", (_title, bytes) => {
    expect(copiesOf(host("2012").decide(bytes, HOST1.blue1))).toEqual([BLUE5_PORT]);
    expect(ask(alone("2012"), bytes)).toEqual(["consume"]);
  });
});

describe("in a virtual subnet with an L2Only record what the records cannot answer goes to everybody, here and elsewhere", () => {
  const lookupRecords = [...labRecords(), record(5001, "0.0.0.0", UNKNOWN, PA2, { type: "L2Only" })];
  const toAll: readonly (readonly [what: string, bytes: Uint8Array])[] = [
    ["row 3: a question for an address without a record", arpRequest({ for: "10.0.0.9" })],
    ["row 3: a solicitation for an address without a record", solicitation({ for: "fd00:10::9" })],
    ["row 7: a gratuitous ARP", arpRequest({ for: "10.0.0.5" })],
    [
      "row 7: an unsolicited neighbor advertisement",
      frame(
        "33-33-00-00-00-01",
        MACS.blue1,
        icmpv6("fd00:10::5", "ff02::1", neighborMessage(136, FLAG.override, "fd00:10::5", [2, MACS.blue1])),
      ),
    ],
    [
      "row 9: a router solicitation",
      frame("33-33-00-00-00-02", MACS.blue1, icmpv6("fe80::5", "ff02::2", [133, 0, 0, 0, 0, 0, 0, 0])),
    ],
  ];
  const portsOf = ({ verdict }: Decision): readonly number[] =>
    verdict.kind === "forward" ? verdict.outputs.map(({ output }) => output) : [];

  it.each(toAll)("2012R2: %s", (_what, bytes) => {
    const decision = host("2012R2", { lookupRecords }).decide(bytes, HOST1.blue1);
    expect(portsOf(decision)).toEqual([BLUE5_PORT, NIC]);
    expect(decision.emissions ?? []).toEqual([]);
  });
  it.each(toAll)("2012, which knows no such records, keeps it among local ports: %s", (_what, bytes) => {
    expect(copiesOf(host("2012", { lookupRecords }).decide(bytes, HOST1.blue1))).toEqual([BLUE5_PORT]);
  });
  it("what the records can answer is answered all the same, and goes no further", () => {
    const decision = host("2012R2", { lookupRecords }).decide(arpRequest({ for: "10.0.0.7" }), HOST1.blue1);
    expect(outcomeOf(decision)).toEqual(["consume", arpReply(MACS.blue2, "10.0.0.7", MACS.blue1, "10.0.0.5")]);
  });
});

describe("row 8: is this address free? (RFC 5227 §2.1, RFC 4862 §5.4)", () => {
  it.each(MODES)("%s: the VM's own address, by its record, is not contested", (mode) => {
    expect(ask(alone(mode), arpRequest({ for: "10.0.0.5", by: null }))).toEqual(["consume"]);
    expect(ask(alone(mode), solicitation({ for: "fd00:10::5", by: null }))).toEqual(["consume"]);
  });

  it.each(MODES)("%s: an address that the record gives to another MAC is defended", (mode) => {
    expect(ask(alone(mode), arpRequest({ for: "10.0.0.7", by: null }))).toEqual([
      "consume",
      arpReply(MACS.blue2, "10.0.0.7", MACS.blue1, "0.0.0.0"),
    ]);
    expect(ask(alone(mode), solicitation({ for: "fd00:10::7", by: null }))).toEqual([
      "consume",
      advertisement(MACS.blue2, "fd00:10::7", "33-33-00-00-00-01", "ff02::1", FLAG.override),
    ]);
  });

  it.each(MODES)("%s: the gateway address is the router's", (mode) => {
    expect(ask(alone(mode), arpRequest({ for: "10.0.0.1", by: null }))).toEqual([
      "consume",
      arpReply(MACS.gateway5001, "10.0.0.1", MACS.blue1, "0.0.0.0"),
    ]);
  });
});

describe("row 9: a router solicitation", () => {
  const bytes = frame("33-33-00-00-00-02", MACS.blue1, icmpv6("fe80::5", "ff02::2", [133, 0, 0, 0, 0, 0, 0, 0]));
  it("2012R2: is not answered", () => {
    expect(ask(host(), bytes)).toEqual(["TX_UNANSWERED"]);
  });
  it.each(MODES)("%s: to one station, a guest that is a router, or a router's answer to one: goes there", (mode) => {
    const to = (mac: string): Uint8Array => Uint8Array.from([...macOctets(mac), ...bytes.subarray(6)]);
    expect(host(mode).forward(to(MACS.blue2), HOST1.blue1).output).toBe(NIC);
    expect(host(mode).forward(to(BLUE5), HOST1.blue1).output).toBe(BLUE5_PORT);
    expect(ask(host(mode), to(UNKNOWN))).toEqual(["TX_NO_RECORD"]);
    expect(ask(host(mode), to(MACS.gateway5001))).toEqual(["TX_UNANSWERED"]);
  });
  it("2012: is seen by local ports, and not answered either", () => {
    expect(copiesOf(host("2012").decide(bytes, HOST1.blue1))).toEqual([BLUE5_PORT]);
    expect(ask(alone("2012"), bytes)).toEqual(["TX_UNANSWERED"]);
  });
});

describe("source policy of messages: nobody speaks for another", () => {
  describe("nor as a host that looks for a router, as a router, or as one that knows a better one", () => {
    const lookupRecords = [...labRecords(), record(5001, "::", "06-06-00-00-00-08", PA2, { type: "L2Only" })];
    const rest = { 133: 4, 134: 12, 137: 36 } as const;
    const message = (type: keyof typeof rest, source: string, inside: string | null, from = MACS.blue1): Uint8Array => {
      const option = inside === null ? [] : [1, 1, ...macOctets(inside)];
      const octets = [type, 0, 0, 0, ...new Array<number>(rest[type]).fill(0), ...option];
      return frame("33-33-00-00-00-02", from, icmpv6(source, "ff02::2", octets));
    };
    const r2 = (changes: Changes = {}) => host("2012R2", { lookupRecords, ...changes });
    const verdictOf = (bytes: Uint8Array) => ask(r2(), bytes)[0];

    it.each([133, 134, 137] as const)("ICMPv6 type %i", (type) => {
      expect(verdictOf(message(type, "fe80::5", MACS.blue1)), "as itself").toBe("forward");
      expect(verdictOf(message(type, "fe80::5", null)), "as itself, by the frame").toBe("forward");
      expect(verdictOf(message(type, "fe80::5", MACS.blue2)), "with another's MAC").toBe("TX_SRC_POLICY");
      const linkLocal = [...lookupRecords, record(5001, "fe80::7", MACS.blue2, PA2)];
      const spoofed = message(type, "fe80::7", MACS.blue1);
      expect(ask(r2({ lookupRecords: linkLocal }), spoofed), "with another's address").toEqual(["TX_SRC_POLICY"]);
    });

    it("a solicitation from an address off the record, or from another's", () => {
      expect(verdictOf(message(133, "fd00:10::5", MACS.blue1))).toBe("forward");
      expect(verdictOf(message(133, "::", null))).toBe("forward");
      for (const other of ["fd00:10::77", "fd00:10::7", "fd00:10::1"]) {
        expect(verdictOf(message(133, other, MACS.blue1)), other).toBe("TX_SRC_POLICY");
      }
    });

    it("a solicitation leaves from the provider address of the sender's record, of several", () => {
      const host = r2({ providerAddresses: [providerAddress("192.168.4.10"), providerAddress(PA1)] });
      const { verdict } = host.decide(message(133, "fe80::5", MACS.blue1), HOST1.blue1);
      const pushed = verdict.kind === "forward" ? verdict.outputs.flatMap(({ push }) => push ?? []) : [];
      expect(pushed.map(({ source }) => source)).toEqual([ip(PA1)]);
    });

    it("RFC 4861 §6.1.1, §6.1.2, §8.1: a MAC without an address, an address beyond the link: discarded", () => {
      expect(verdictOf(message(133, "::", MACS.blue1))).toBe("INVALID_PACKET");
      for (const type of [134, 137] as const) {
        expect(verdictOf(message(type, "fd00:10::5", MACS.blue1)), `${type}`).toBe("INVALID_PACKET");
        expect(verdictOf(message(type, "::", null)), `${type}`).toBe("INVALID_PACKET");
      }
    });
  });

  it("an ARP message of another operation: nor there", () => {
    const rarp = (sender: string, senderMac: string = MACS.blue1) =>
      frame(ALL, MACS.blue1, arp({ operation: 3, senderMac, sender, target: "0.0.0.0" }));
    expect(ask(host(), rarp("10.0.0.5"))).toEqual(["TX_UNANSWERED"]);
    expect(ask(host(), rarp("10.0.0.7"))).toEqual(["TX_SRC_POLICY"]);
    expect(ask(host(), rarp("10.0.0.5", MACS.blue2))).toEqual(["TX_SRC_POLICY"]);
  });

  it.each(MODES)("%s: an address that the record gives to another MAC", (mode) => {
    expect(ask(alone(mode), arpRequest({ for: "10.0.0.6", by: "10.0.0.7" }))).toEqual(["TX_SRC_POLICY"]);
    expect(ask(alone(mode), solicitation({ for: "fd00:10::6", by: "fd00:10::7" }))).toEqual(["TX_SRC_POLICY"]);
    expect(ask(alone(mode), arpRequest({ for: "10.0.0.6", by: "10.0.0.99" })), "nobody's").toEqual(["TX_SRC_POLICY"]);
  });

  it.each(MODES)("%s: the gateway address is never a VM's, whatever type of record the VM has", (mode) => {
    const lookupRecords = [...labRecords(), record(5001, "0.0.0.0", MACS.blue1, PA1, { type: "L2Only" })];
    expect(ask(alone(mode, { lookupRecords }), arpRequest({ for: "10.0.0.1", by: "10.0.0.1" }))).toEqual([
      "TX_SRC_POLICY",
    ]);
    const message = neighborMessage(136, 0xa0, "fd00:10::1", [2, MACS.blue1]);
    const spoofed = frame(MACS.blue2, MACS.blue1, icmpv6("fd00:10::5", "fd00:10::7", message));
    expect(ask(alone(mode, { lookupRecords }), spoofed)).toEqual(["TX_SRC_POLICY"]);
  });

  it("another MAC inside than outside", () => {
    const other = frame(
      ALL,
      MACS.blue1,
      arp({ operation: 1, senderMac: UNKNOWN, sender: "10.0.0.5", target: "10.0.0.7" }),
    );
    expect(ask(host(), other)).toEqual(["TX_SRC_POLICY"]);
    const option = neighborMessage(135, 0, "fd00:10::7", [1, UNKNOWN]);
    const solicited = frame("33-33-FF-00-00-07", MACS.blue1, icmpv6("fd00:10::5", "ff02::1:ff00:7", option));
    expect(ask(host(), solicited)).toEqual(["TX_SRC_POLICY"]);
  });

  it("a MAC with an L2Only record may use any address that is nobody's", () => {
    const lookupRecords = [
      ...labRecords().filter(({ macAddress }) => macAddress !== mac(MACS.blue1)),
      record(5001, "0.0.0.0", MACS.blue1, PA1, { type: "L2Only" }),
    ];
    const dhcp = host("2012R2", { lookupRecords });
    expect(ask(dhcp, arpRequest({ for: "10.0.0.7", by: "10.0.0.99" }))[0]).toBe("consume");
    expect(ask(dhcp, arpRequest({ for: "10.0.0.6", by: "10.0.0.7" }))).toEqual(["TX_SRC_POLICY"]);
  });
});

describe("malformed messages are discarded (RFC 826; RFC 4861 §7.1.1, §7.1.2)", () => {
  const good = solicitation({ for: "fd00:10::7" });
  const message = neighborMessage(135, 0, "fd00:10::7", [1, MACS.blue1]);
  const nd = (
    octets: readonly number[],
    ttl = 255,
    source = "fd00:10::5",
    destination = "ff02::1:ff00:7",
  ): Uint8Array => frame("33-33-FF-00-00-07", MACS.blue1, icmpv6(source, destination, octets, ttl));
  const solicitedToAll = neighborMessage(136, FLAG.solicited, "fd00:10::5", [2, MACS.blue1]);
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ["ARP cut short", arpRequest({ for: "10.0.0.7" }).subarray(0, 41)],
    ["ARP for something else than IPv4", splice(arpRequest({ for: "10.0.0.7" }), 16, [0x86, 0xdd])],
    ["a hop limit below 255", nd(message, 254)],
    ["a code", nd([135, 1, ...message.slice(2)])],
    ["a wrong checksum", splice(good, good.length - 1, [0xff])],
    ["a target cut short", nd(message.slice(0, 20))],
    ["a multicast target", nd(neighborMessage(135, 0, "ff02::7", null))],
    ["an option of no length", nd([...message.slice(0, 25), 0, ...message.slice(26)])],
    ["an option that runs over the end", nd([...message.slice(0, 25), 2, ...message.slice(26)])],
    ["duplicate detection with the sender's MAC", nd(message, 255, "::")],
    ["duplicate detection to one station", nd(neighborMessage(135, 0, "fd00:10::7", null), 255, "::", "fd00:10::7")],
    ["an advertisement to all that claims to be solicited", nd(solicitedToAll, 255, "fd00:10::5", "ff02::1")],
  ];
  it.each(cases)("%s", (_title, bytes) => {
    expect(ask(host(), bytes)).toEqual(["INVALID_PACKET"]);
  });
  it("but the one that they are cut from is answered", () => {
    expect(ask(host(), good)).toHaveLength(2);
    expect(ask(host(), nd(message))).toHaveLength(2);
  });
  it("other operations of ARP are nobody's business", () => {
    expect(ask(host(), splice(arpRequest({ for: "10.0.0.7" }), 20, [0, 3]))).toEqual(["TX_UNANSWERED"]);
  });
});

describe("answers, by other hands", () => {
  const answers = (): Uint8Array[] =>
    [
      arpRequest({ for: "10.0.0.7" }),
      arpRequest({ for: "10.0.0.1", by: null }),
      solicitation({ for: "fd00:10::7" }),
      solicitation({ for: "fd00:10::1" }),
      solicitation({ for: "fd00:10::7", by: null }),
    ].map((bytes) => host().decide(bytes, HOST1.blue1).emissions![0]!.frame);

  it.skipIf(!isScapyAvailable())("Scapy writes the same octets", () => {
    const { blue1, blue2, gateway5001 } = Object.fromEntries(
      Object.entries(MACS).map(([name, text]) => [name, text.toLowerCase().replaceAll("-", ":")]),
    ) as typeof MACS;
    const expected = scapyFrames(`
emit(Ether(dst="${blue1}", src="${blue2}")/ARP(op=2, hwsrc="${blue2}", psrc="10.0.0.7", hwdst="${blue1}", pdst="10.0.0.5"))
emit(Ether(dst="${blue1}", src="${gateway5001}")/ARP(op=2, hwsrc="${gateway5001}", psrc="10.0.0.1", hwdst="${blue1}", pdst="0.0.0.0"))
def na(dst, to, mac, tgt, R, S):
    emit(Ether(dst=dst, src=mac)/IPv6(src=tgt, dst=to, hlim=255)/ICMPv6ND_NA(tgt=tgt, R=R, S=S, O=1)/ICMPv6NDOptDstLLAddr(lladdr=mac))
na("${blue1}", "fd00:10::5", "${blue2}", "fd00:10::7", 0, 1)
na("${blue1}", "fd00:10::5", "${gateway5001}", "fd00:10::1", 1, 1)
na("33:33:00:00:00:01", "ff02::1", "${blue2}", "fd00:10::7", 0, 0)`);
    expect(answers().map(hexOf)).toEqual(expected.map(hexOf));
  });

  it.skipIf(!isTsharkAvailable())("Wireshark finds nothing wrong with them", () => {
    const fields = tsharkFields(answers(), [
      "arp.opcode",
      "icmpv6.type",
      "icmpv6.checksum.status",
      "_ws.expert.severity",
    ]);
    expect(fields.map((each) => each["arp.opcode"])).toEqual([["2"], ["2"], [], [], []]);
    expect(fields.map((each) => each["icmpv6.type"])).toEqual([[], [], ["136"], ["136"], ["136"]]);
    for (const each of fields.slice(2)) expect(each["icmpv6.checksum.status"]).toEqual(["1"]);
    for (const each of fields) expect(each["_ws.expert.severity"]).toEqual([]);
  });
});

it("what VMs are told by the wire reaches them: ARP and ND inside NVGRE go to the port of (VSID, MAC)", () => {
  const inner = frame(
    MACS.blue1,
    MACS.blue2,
    arp({ operation: 1, senderMac: MACS.blue2, sender: "10.0.0.7", target: "10.0.0.5" }),
  );
  const outer = host1({}).send(arpRequest({ for: "10.0.0.7", of: MACS.blue2 }), HOST1.blue1).frame;
  const swapped = concatenate(
    outer.subarray(6, 12),
    outer.subarray(0, 6),
    outer.subarray(12, 26),
    outer.subarray(30, 34),
    outer.subarray(26, 30),
    outer.subarray(34, 42),
    inner,
  );
  const { output, pop } = host1().forward(swapped, NIC);
  expect({ output, pop }).toEqual({ output: HOST1.blue1, pop: true });
});
