/** Learning of customer addresses: which packets teach what, limits, age and moves, through whole labs and the engine. */
import { describe, expect, test } from "vitest";
import { isScapyAvailable, scapyFrames } from "../oracles/scapy.js";
import {
  ALL_DHCP_SERVERS,
  advertise,
  announce,
  ask,
  BLUE1,
  BLUE2,
  BLUE4,
  BLUE6,
  BLUE8,
  BROADCAST,
  datagram,
  fromClient,
  fromClient6,
  fromServer,
  fromServer6,
  GATEWAY,
  LearningLab,
  linkLocal,
  PA1,
  PA2,
  probe,
  reply,
  solicit,
} from "./learning-lab.js";

const DISCOVER = 1;
const ACK = 5;
const OFFER = 2;
const NAK = 6;
const REPLY6 = 7;
const ADVERTISE6 = 2;
const DYNAMIC = `Dynamic 10.0.0.5 at ${BLUE1}, ${PA1}`;
const DYNAMIC6 = `Dynamic fd00:10::5 at ${BLUE1}, ${PA1}`;
const MINUTE = 60_000;

describe("sources of learning on the host that owns the port", () => {
  test("ARP with a sender address: gratuitous, a question, a reply", () => {
    const sent: [Uint8Array, string?][] = [
      [announce(BLUE1, "10.0.0.5")],
      [ask(BLUE1, "10.0.0.5", "10.0.0.7")],
      [reply(BLUE1, "10.0.0.5", GATEWAY, "10.0.0.1")],
    ];
    for (const [bytes] of sent) {
      const lab = new LearningLab();
      lab.send("host1/Blue1", bytes);
      expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
      expect(lab.events).toEqual([`1001 host1 Added 10.0.0.5 at ${BLUE1}, ${PA1}`]);
      expect(lab.record("host2", "10.0.0.5")).toBeUndefined();
    }
  });

  test("neighbor advertisements, and solicitations with a source address", () => {
    for (const bytes of [advertise(BLUE1, "fd00:10::5"), solicit(BLUE1, "fd00:10::5", "fd00:10::7")]) {
      const lab = new LearningLab();
      lab.send("host1/Blue1", bytes);
      expect(lab.record("host1", "fd00:10::5")).toBe(DYNAMIC6);
    }
  });

  test("a DHCP ACK towards the VM, by unicast and by broadcast", () => {
    for (const toMac of [BLUE1, BROADCAST]) {
      const lab = new LearningLab();
      const ends = lab.send("host2/Blue2", fromServer({ type: ACK, client: BLUE1, yours: "10.0.0.5" }, toMac));
      expect(ends).toContain("delivered at host1/Blue1");
      expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
      expect(lab.record("host2", "10.0.0.5")).toBeUndefined();
    }
  });

  test("a DHCP ACK from a VM of the same host", () => {
    const lab = new LearningLab();
    const ack = fromServer({ type: ACK, client: BLUE8, yours: "10.0.0.8" });
    expect(lab.send("host2/Blue2", ack)).toEqual(["delivered at host2/Blue8"]);
    expect(lab.record("host2", "10.0.0.8")).toBe(`Dynamic 10.0.0.8 at ${BLUE8}, ${PA2}`);
  });

  test("a DHCPv6 Reply towards the VM: every address that it leases", () => {
    const lab = new LearningLab();
    const ends = lab.send("host2/Blue2", fromServer6(REPLY6, BLUE1, ["fd00:10::5", "fd00:10::15"]));
    expect(ends).toEqual(["delivered at host1/Blue1"]);
    expect(lab.record("host1", "fd00:10::5")).toBe(DYNAMIC6);
    expect(lab.record("host1", "fd00:10::15")).toBeDefined();
  });

  test("what offers, refuses, or came for another VM or through a relay agent gives nothing", () => {
    for (const bytes of [
      fromServer({ type: OFFER, client: BLUE1, yours: "10.0.0.5" }),
      fromServer({ type: NAK, client: BLUE1, yours: "10.0.0.5" }),
      fromServer({ type: ACK, client: BLUE4, yours: "10.0.0.5" }, BLUE1),
      fromServer({ type: ACK, client: BLUE1, yours: "10.0.0.5", relay: "10.0.1.1" }),
      fromServer({ type: ACK, client: BLUE1 }),
      fromServer6(ADVERTISE6, BLUE1, ["fd00:10::5"]),
    ]) {
      const lab = new LearningLab();
      lab.send("host2/Blue2", bytes);
      expect(lab.events).toEqual([]);
    }
  });

  test("every message of a server is read: an offer of the same ports and addresses does not hide the ACK", () => {
    const lab = new LearningLab();
    lab.send("host2/Blue2", fromServer({ type: OFFER, client: BLUE1, yours: "10.0.0.5" }));
    lab.send("host2/Blue2", fromServer({ type: ACK, client: BLUE1, yours: "10.0.0.5" }));
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
  });

  test("ARP probes, duplicate address detection, and traffic teach nothing", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue1", probe(BLUE1, "10.0.0.5"), solicit(BLUE1, "::", "fd00:10::5"));
    lab.send("host1/Blue1", datagram([BLUE2, BLUE1], ["10.0.0.7", "10.0.0.5"]));
    expect(lab.events).toEqual([]);
  });

  test("learnFromTraffic: the source address of what the VM sends, in the virtual subnet's own prefix", () => {
    const lab = new LearningLab({ settings: "learnFromTraffic: true" });
    lab.send("host1/Blue1", datagram([BLUE2, BLUE1], ["10.0.0.7", "10.0.0.5"]));
    lab.send("host1/Blue1", datagram([BLUE2, BLUE1], ["fd00:10::7", "fd00:10::5"]));
    lab.send("host1/Blue1", datagram([GATEWAY, BLUE1], ["10.0.0.7", "10.9.9.9"]));
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
    expect(lab.record("host1", "fd00:10::5")).toBe(DYNAMIC6);
    expect(lab.record("host1", "10.9.9.9")).toBeUndefined();
    expect(lab.refused("host1")).toEqual({});
  });

  test("only a VM with an L2Only record teaches: hard case 9, L2Only and Static for the same MAC", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue6", ask(BLUE6, "10.0.0.66", "10.0.0.7"));
    lab.send("host2/Blue2", announce(BLUE2, "10.0.0.77"));
    expect(lab.events).toEqual([]);
    const address = { ...lab.lab.policyOf("host1")!.lookupRecords.find(5001 as never, staticAddress(lab))! };
    lab.lab.changePolicy("host1", {
      kind: "recordAdded",
      record: { ...address, type: "L2Only", customerAddress: { ...address.customerAddress, w3: 0 } },
    });
    lab.send("host1/Blue6", ask(BLUE6, "10.0.0.6", "10.0.0.7"), ask(BLUE6, "10.0.0.66", "10.0.0.7"));
    expect(lab.record("host1", "10.0.0.6")).toContain("Static");
    expect(lab.events).toEqual([`1005 host1 Added 10.0.0.66 at ${BLUE6}, ${PA1}`]);
  });

  test("IP Rewrite needs a provider address for each address, so its L2Only records teach nothing", () => {
    const lab = new LearningLab();
    for (const record of [...lab.lab.policyOf("host1")!.lookupRecords].filter(({ type }) => type === "L2Only")) {
      lab.lab.changePolicy("host1", { kind: "recordReplaced", record: { ...record, rule: "TranslationMethodNat" } });
    }
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"), advertise(BLUE1, "fd00:10::5"));
    expect(lab.events).toEqual([]);
    expect(lab.learning("host1")).toBeUndefined();
  });

  test("link-local addresses are not learnt, and use up nothing", () => {
    const lab = new LearningLab({ blue1: ", dynamicIPAddressLimit: 1" });
    lab.send("host1/Blue1", advertise(BLUE1, "fe80::5"), announce(BLUE1, "169.254.1.5"));
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    expect(lab.events).toHaveLength(1);
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
  });

  test("Windows Server 2012 learns nothing: there the record is a gateway's", () => {
    const lab = new LearningLab({ mode: '"2012"' });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    expect(lab.events).toEqual([]);
    expect(lab.record("host1", "10.0.0.5")).toBeUndefined();
  });
});

const staticAddress = (lab: LearningLab) =>
  [...lab.lab.policyOf("host1")!.lookupRecords].find(({ customerAddress }) => customerAddress.w3 === 0x0a00_0006)!
    .customerAddress;

describe("what is learnt decides", () => {
  test("about the next packets, not about those of the same tick", () => {
    const lab = new LearningLab();
    const question = ask(BLUE4, "10.0.0.4", "10.0.0.5");
    lab.ends("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    // Unknown yet: flooded to everybody.
    const early = lab.ends("host1/Blue4", question).map(({ verdict }) => verdict);
    expect(early.length).toBeGreaterThan(1);
    lab.pass(2);
    expect(lab.send("host1/Blue4", question)).toEqual(["consumed at host1/Blue4", "delivered at host1/Blue4"]);
  });

  test("flows that rested on nothing being there are decided again", () => {
    const lab = new LearningLab({ settings: "distributeLearnedMs: 5" });
    const ping = datagram([BLUE1, BLUE2], ["10.0.0.5", "10.0.0.7"]);
    const back = datagram([BLUE2, BLUE1], ["10.0.0.7", "10.0.0.5"]);
    expect(lab.send("host1/Blue1", back)).toEqual(["dropped at host2/nic1: RX_SRC_POLICY"]);
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.pass(10);
    expect(lab.send("host1/Blue1", back)).toEqual(["delivered at host2/Blue2"]);
    expect(lab.send("host2/Blue2", ping)).toEqual(["delivered at host1/Blue1"]);
  });

  test("explaining a packet teaches nothing", () => {
    const lab = new LearningLab();
    const { engine } = lab.lab;
    const bytes = announce(BLUE1, "10.0.0.5");
    const port = lab.lab.port("host1/Blue1")!;
    const decision = engine.decide({ bytes, start: 0, end: bytes.length, ingress: port }, 1000, null);
    expect(decision.effects).toHaveLength(1);
    lab.pass(10);
    expect(lab.events).toEqual([]);
  });
});

describe("hostile messages", () => {
  test("an ACK or Reply with any octets changed teaches nothing that could not be, and breaks nothing", () => {
    let seed = 0xd4c9;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 16) % below;
    };
    const lab = new LearningLab();
    const samples = [
      fromServer({ type: ACK, client: BLUE1, yours: "10.0.0.5" }, BROADCAST),
      fromServer6(REPLY6, BLUE1, ["fd00:10::5", "fd00:10::15"]),
      advertise(BLUE1, "fd00:10::5"),
      announce(BLUE1, "10.0.0.5"),
    ];
    samples[0]!.set([0, 0], 40); // no UDP checksum, so that changes pass
    for (let round = 0; round < 600; round++) {
      const which = random(samples.length);
      const bytes = samples[which]!.slice(0, random(4) ? undefined : 14 + random(samples[which]!.length - 14));
      for (let n = random(4); n > 0; n--) bytes[14 + random(bytes.length - 14)] = random(256);
      lab.send(which < 2 ? "host2/Blue2" : "host1/Blue1", bytes);
    }
    const dynamic = [...lab.lab.policyOf("host1")!.lookupRecords].filter(({ type }) => type === "Dynamic");
    expect(dynamic.length).toBe(lab.learning("host1").held);
    expect(dynamic.length).toBeGreaterThan(2);
    for (const { customerAddress, macAddress } of dynamic) {
      expect([0x0606_0000_0004, 0x0606_0000_0005]).toContain(macAddress);
      const { family, w0, w1, w3 } = customerAddress;
      expect(family === 4 ? w3 >>> 8 : [w0, w1]).toEqual(family === 4 ? 0x0a_0000 : [0xfd00_0010, 0]);
    }
  });
});

describe("limits", () => {
  test("dynamicIPAddressLimit: no more addresses are learnt on the port, and that is counted", () => {
    const lab = new LearningLab({ blue1: ", dynamicIPAddressLimit: 2" });
    for (const address of ["10.0.0.5", "10.0.0.15", "10.0.0.25"]) lab.send("host1/Blue1", announce(BLUE1, address));
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5")); // known: not a further one
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.4")); // another port
    expect(lab.events).toHaveLength(3);
    expect(lab.refused("host1")).toEqual({ portLimit: 1 });
    expect(lab.learning("host1")).toMatchObject({ held: 3, added: 3 });
  });

  test("dynamicIPAddressLimit 0 is no limit", () => {
    const lab = new LearningLab();
    for (let n = 100; n < 150; n++) lab.send("host1/Blue1", announce(BLUE1, `10.0.0.${n}`));
    expect(lab.learning("host1").held).toBe(50);
  });

  test("learnedAddressLimit bounds the host, whoever teaches", () => {
    const lab = new LearningLab({ settings: "learnedAddressLimit: 3" });
    for (let n = 100; n < 110; n++)
      lab.send(n % 2 ? "host1/Blue1" : "host1/Blue4", announce(n % 2 ? BLUE1 : BLUE4, `10.0.0.${n}`));
    expect(lab.learning("host1").held).toBe(3);
    expect(lab.refused("host1")).toEqual({ hostLimit: 7 });
    expect(lab.events).toHaveLength(3);
  });

  test("an address outside of the virtual subnet, of the router, or for all cannot be learnt", () => {
    const lab = new LearningLab();
    for (const address of ["10.0.1.5", "10.0.0.1", "10.0.0.255", "192.168.4.11"]) {
      lab.send("host1/Blue1", ask(BLUE1, address, "10.0.0.7"));
    }
    expect(lab.events).toEqual([]);
    expect(lab.refused("host1")).toEqual({ foreign: 4 });
  });

  test("traffic of a VM that may teach no more stays in the flow table, until it may again", () => {
    const lab = new LearningLab({ settings: "learnFromTraffic: true", blue1: ", dynamicIPAddressLimit: 1" });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    const further = datagram([BLUE4, BLUE1], ["10.0.0.4", "10.0.0.15"]);
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.4"));
    lab.send("host1/Blue1", further);
    const before = lab.lab.engine.flowCounters().hits;
    lab.send("host1/Blue1", further);
    expect(lab.lab.engine.flowCounters().hits).toBe(before + 1);
    lab.lab.changePolicy("host1", {
      kind: "recordRemoved",
      record: [...lab.lab.policyOf("host1")!.lookupRecords].find(
        ({ customerAddress: { w3 }, type }) => type === "Dynamic" && w3 === 0x0a00_0005,
      )!,
    });
    lab.send("host1/Blue1", further);
    expect(lab.record("host1", "10.0.0.15")).toBeDefined();
  });
});

describe("moves", () => {
  test("learnFromTraffic takes no address from a VM that has it, known or taught in the same tick; its own word does", () => {
    const lab = new LearningLab({ settings: "learnFromTraffic: true" });
    const from = (mac: string) => datagram([BLUE2, mac], ["10.0.0.7", "10.0.0.5"]);
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.send("host1/Blue4", from(BLUE4));
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
    const { hits } = lab.lab.engine.flowCounters();
    lab.send("host1/Blue4", from(BLUE4));
    expect(lab.lab.engine.flowCounters().hits, "there is nothing to decide again").toBeGreaterThan(hits);
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.5"));
    expect(lab.record("host1", "10.0.0.5")).toBe(`Dynamic 10.0.0.5 at ${BLUE4}, ${PA1}`);

    const contended = new LearningLab({ settings: "learnFromTraffic: true" });
    contended.ends("host1/Blue1", from(BLUE1));
    contended.send("host1/Blue4", from(BLUE4));
    expect(contended.record("host1", "10.0.0.5")).toBe(DYNAMIC);
    expect(contended.refused("host1")).toEqual({ held: 1 });
  });

  test("the same address from another VM with an L2Only record, numbers as Windows has them", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.50"));
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.50"));
    expect(lab.record("host1", "10.0.0.50")).toBe(`Dynamic 10.0.0.50 at ${BLUE4}, ${PA1}`);
    expect(lab.events.at(-1)).toBe(`1003 host1 Moved 10.0.0.50 at ${BLUE4}, ${PA1}`);
    lab.pass(11 * MINUTE);
    expect(lab.events.at(-1)).toContain("Deleted 10.0.0.50");
    expect(lab.changeNumbers).toEqual([0, 2, 1]);
  });

  test("packets follow at once", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.50"));
    lab.lab.changePolicy("host2", { kind: "recordAdded", record: dynamicOf(lab, "host1") });
    const toCluster = datagram([BLUE1, BLUE2], ["10.0.0.50", "10.0.0.7"]);
    expect(lab.send("host2/Blue2", toCluster)).toEqual(["delivered at host1/Blue1"]);
    lab.lab.changePolicy("host2", { kind: "recordRemoved", record: dynamicOf(lab, "host1") });
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.50"));
    lab.lab.changePolicy("host2", { kind: "recordAdded", record: dynamicOf(lab, "host1") });
    expect(lab.send("host2/Blue2", toCluster)).toEqual(["delivered at host1/Blue4"]);
  });

  test("a Static record always wins: the claim is dropped, the learn refused and counted", () => {
    const lab = new LearningLab();
    expect(lab.send("host1/Blue1", announce(BLUE1, "10.0.0.6"))).toEqual(["dropped at host1/Blue1: TX_SRC_POLICY"]);
    lab.send("host2/Blue2", fromServer({ type: ACK, client: BLUE1, yours: "10.0.0.6" }, BROADCAST));
    expect(lab.record("host1", "10.0.0.6")).toContain("Static");
    expect(lab.refused("host1")).toEqual({ static: 2 });
    expect(lab.events).toEqual([]);
  });

  test("a Static record replaces a Dynamic one (P-203), and nothing is held any more", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.lab.changePolicy("host1", { kind: "recordAdded", record: { ...dynamicOf(lab, "host1"), type: "Static" } });
    expect(lab.record("host1", "10.0.0.5")).toContain("Static");
    expect(lab.learning("host1").held).toBe(0);
    lab.pass(30 * MINUTE);
    expect(lab.record("host1", "10.0.0.5")).toContain("Static");
    expect(lab.events).toHaveLength(1);
  });

  test("a lease takes no address from a VM that has it; hard case 10: its own word does, the stale record goes", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.send("host2/Blue2", fromServer({ type: ACK, client: BLUE4, yours: "10.0.0.5" }));
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
    expect(lab.refused("host1")).toEqual({ held: 1 });
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.5"));
    expect(lab.record("host1", "10.0.0.5")).toBe(`Dynamic 10.0.0.5 at ${BLUE4}, ${PA1}`);
    expect(lab.learning("host1").held).toBe(1);
  });

  test("a full port takes no moved address either", () => {
    const lab = new LearningLab({ blue4: ", dynamicIPAddressLimit: 1" });
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.4"));
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.5"));
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
    expect(lab.refused("host1")).toEqual({ portLimit: 1 });
  });

  test("two VMs that contend for an address forever need one timer", () => {
    const lab = new LearningLab();
    for (let n = 0; n < 200; n++)
      lab.send(n % 2 ? "host1/Blue1" : "host1/Blue4", announce(n % 2 ? BLUE1 : BLUE4, "10.0.0.50"));
    expect(lab.learning("host1")).toMatchObject({ held: 1, added: 1, moved: 199 });
    const probes = lab.pass(11 * MINUTE);
    expect(probes).toHaveLength(3);
  });
});

const dynamicOf = (lab: LearningLab, host: string) =>
  [...lab.lab.policyOf(host)!.lookupRecords].find(({ type }) => type === "Dynamic")!;

describe("age", () => {
  const learned = (settings = ""): LearningLab => {
    const lab = new LearningLab({ settings });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    return lab;
  };

  test("10 min without traffic, then three unicast probes from the gateway address, then Deleted", () => {
    const lab = learned();
    expect(lab.pass(10 * MINUTE - 10)).toEqual([]);
    const probes = lab.pass(2500);
    expect(probes.map(({ port }) => lab.lab.engine.ports[port]!.name)).toEqual(new Array(3).fill("host1/Blue1"));
    for (const { frame } of probes)
      expect(Buffer.from(frame).toString("hex")).toBe(
        // RFC 826: 10.0.0.1 at the gateway MAC asks 10.0.0.5 at its MAC
        "06060000000502005e00010108060001080006040001" + "02005e0001010a000001" + "0000000000000a000005",
      );
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
    lab.pass(1000);
    expect(lab.record("host1", "10.0.0.5")).toBeUndefined();
    expect(lab.events.at(-1)).toBe(`604001 host1 Deleted 10.0.0.5 at ${BLUE1}, ${PA1}`);
    expect(lab.learning("host1")).toMatchObject({ held: 0, added: 1, deleted: 1 });
  });

  test("over IPv6 the probe is a neighbor solicitation, and an advertisement answers it", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue1", advertise(BLUE1, "fd00:10::5"));
    const [first, ...more] = lab.pass(10 * MINUTE + 500);
    expect(more).toEqual([]);
    const text = Buffer.from(first!.frame).toString("hex");
    expect(text.slice(0, 28)).toBe(`06060000000502005e00010186dd`);
    expect(text.slice(44, 108)).toBe("fd000010000000000000000000000001" + "fd000010000000000000000000000005");
    expect(text.slice(108, 112)).toBe("8700");
    lab.send("host1/Blue1", advertise(BLUE1, "fd00:10::5"));
    expect(lab.pass(5000)).toEqual([]);
    expect(lab.record("host1", "fd00:10::5")).toBe(DYNAMIC6);
  });

  test("an answer counts as traffic: the record lives for another 10 min", () => {
    const lab = learned();
    expect(lab.pass(10 * MINUTE + 500)).toHaveLength(1);
    const answer = reply(BLUE1, "10.0.0.5", GATEWAY, "10.0.0.1");
    expect(lab.send("host1/Blue1", answer)).toEqual(["consumed at host1/Blue1"]);
    expect(lab.pass(10 * MINUTE - 3000)).toEqual([]);
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
    expect(lab.pass(10_000)).toHaveLength(3);
    expect(lab.record("host1", "10.0.0.5")).toBeUndefined();
  });

  test("a flow whose packets pass by the flow table keeps its address alive, with one decision in 9 min", () => {
    const lab = learned("distributeLearnedMs: 1");
    lab.pass(5);
    const traffic = datagram([BLUE2, BLUE1], ["10.0.0.7", "10.0.0.5"]);
    lab.send("host1/Blue1", traffic);
    const { misses, stale } = lab.lab.engine.flowCounters();
    for (let n = 0; n < 30 * 60; n += 5) {
      lab.pass(5000);
      expect(lab.send("host1/Blue1", traffic)).toEqual(["delivered at host2/Blue2"]);
    }
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
    expect(lab.events).toHaveLength(1);
    const after = lab.lab.engine.flowCounters();
    expect(after.stale - stale).toBe(3); // 30 min
    expect(after.hits).toBeGreaterThan(700);
    expect(after.misses - misses).toBeLessThan(10);
  });

  test("an address that an operator takes off the records is forgotten without a word: no probes, no event", () => {
    const lab = learned();
    lab.lab.changePolicy("host1", { kind: "recordRemoved", record: dynamicOf(lab, "host1") });
    expect(lab.learning("host1").held).toBe(0);
    expect(lab.pass(20 * MINUTE)).toEqual([]);
    expect(lab.events).toHaveLength(1);
  });
});

describe.skipIf(!isScapyAvailable())("an address that its VM gives up, as Scapy writes it", () => {
  const mac = (text: string): string => text.replaceAll("-", ":").toLowerCase();
  interface GivenUp {
    readonly type?: "release" | "decline" | "inform";
    readonly from?: string;
    readonly client?: string;
    readonly address?: string;
    readonly relay?: string;
    readonly checksum?: string;
  }
  /** A RELEASE goes to the server from the address itself (RFC 2131 §4.4.6), a DECLINE to all from none (§4.4.4). */
  const python = (what: GivenUp): string => {
    const {
      type = "release",
      from = BLUE1,
      client = from,
      address = "10.0.0.5",
      relay = "0.0.0.0",
      checksum = "",
    } = what;
    const isDecline = type === "decline";
    const [to, source, destination] = isDecline
      ? [BROADCAST, "0.0.0.0", "255.255.255.255"]
      : [BLUE2, address, "10.0.0.7"];
    const own = isDecline ? "0.0.0.0" : address;
    const wanted = isDecline ? `("requested_addr", "${address}"), ` : "";
    return `emit(Ether(dst="${mac(to)}", src="${mac(from)}")/IP(src="${source}", dst="${destination}")/UDP(sport=68, dport=67${checksum})/BOOTP(op=1, ciaddr="${own}", giaddr="${relay}", chaddr=bytes.fromhex("${mac(client).replaceAll(":", "")}"))/DHCP(options=[("message-type", "${type}"), ${wanted}("server_id", "10.0.0.7"), "end"]))`;
  };
  const python6 = (kind: "Release" | "Decline" | "Renew", addresses: readonly string[], from = BLUE1): string =>
    `emit(Ether(dst="33:33:00:01:00:02", src="${mac(from)}")/IPv6(src="${linkLocal(from)}", dst="ff02::1:2")/UDP(sport=546, dport=547)/DHCP6_${kind}(trid=7)/DHCP6OptClientId(duid=DUID_LL(lladdr="${mac(from)}"))/DHCP6OptIA_NA(iaid=5, T1=0, T2=0, ianaopts=[${addresses.map((address) => `DHCP6OptIAAddress(addr="${address}", preflft=0, validlft=0)`).join(", ")}]))`;
  const made = (...statements: readonly string[]): Uint8Array[] => scapyFrames(statements.join("\n"));
  /** Blue1 with a lease of each family. */
  const leased = (settings = ""): LearningLab => {
    const lab = new LearningLab({ settings });
    lab.send("host2/Blue2", fromServer({ type: ACK, client: BLUE1, yours: "10.0.0.5" }));
    lab.send("host2/Blue2", fromServer6(REPLY6, BLUE1, ["fd00:10::5", "fd00:10::15"]));
    expect(lab.learning("host1")).toMatchObject({ held: 3, added: 3 });
    return lab;
  };
  const last = (lab: LearningLab): string => lab.events.at(-1)!.split(" ").slice(1, 4).join(" ");

  test("DHCP RELEASE and DECLINE end the record at once, and go their way", () => {
    const [release, decline] = made(python({}), python({ type: "decline" }));
    const lab = leased("distributeLearnedMs: 5");
    lab.pass(10);
    expect(lab.send("host1/Blue1", release!)).toEqual(["delivered at host2/Blue2"]);
    expect([lab.record("host1", "10.0.0.5"), last(lab)]).toEqual([undefined, "host1 Deleted 10.0.0.5"]);
    lab.pass(10);
    expect(lab.record("host2", "10.0.0.5"), "the other hosts hear of it as of all others").toBeUndefined();
    lab.send("host2/Blue2", fromServer({ type: ACK, client: BLUE1, yours: "10.0.0.5" }));
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
    lab.send("host1/Blue1", decline!);
    expect(lab.record("host1", "10.0.0.5")).toBeUndefined();
    expect(lab.learning("host1")).toMatchObject({ held: 2, deleted: 2 });
  });

  test("the next VM to lease it gets it without a word of its own", () => {
    const [release] = made(python({})) as [Uint8Array];
    const next = fromServer({ type: ACK, client: BLUE4, yours: "10.0.0.5" });
    const lab = leased();
    lab.send("host2/Blue2", next);
    expect(lab.record("host1", "10.0.0.5"), "as long as another holds it").toBe(DYNAMIC);
    lab.send("host1/Blue1", release);
    lab.send("host2/Blue2", next);
    expect(lab.record("host1", "10.0.0.5")).toBe(`Dynamic 10.0.0.5 at ${BLUE4}, ${PA1}`);
  });

  test("DHCPv6 RELEASE and DECLINE: every address that they name, whatever its lifetime", () => {
    const [release, decline] = made(
      python6("Release", ["fd00:10::5", "fd00:10::15"]),
      python6("Decline", ["fd00:10::15"]),
    );
    const lab = leased();
    lab.send("host1/Blue1", decline!);
    expect([lab.record("host1", "fd00:10::5"), lab.record("host1", "fd00:10::15")]).toEqual([DYNAMIC6, undefined]);
    lab.send("host1/Blue1", release!);
    expect(lab.record("host1", "fd00:10::5")).toBeUndefined();
    expect(lab.learning("host1")).toMatchObject({ held: 1, deleted: 2 });
  });

  test("what another says, what is damaged, relayed or says something else ends nothing", () => {
    const frames = made(
      python({ from: BLUE4, address: "10.0.0.5", type: "decline" }),
      python({ from: BLUE4, client: BLUE1, type: "decline" }),
      python({ checksum: ", chksum=0x1234" }),
      python({ relay: "10.0.1.1" }),
      python({ type: "inform" }),
      python({ address: "10.0.0.99" }),
      python6("Renew", ["fd00:10::5"]),
      python6("Release", ["fd00:10::5"], BLUE4),
    );
    const lab = leased();
    frames.forEach((bytes, at) => {
      lab.send(bytes[11] === 4 ? "host1/Blue4" : "host1/Blue1", bytes);
      expect(lab.learning("host1"), `message ${at}`).toMatchObject({ held: 3, deleted: 0 });
    });
  });

  test("each message to a server is read: a DISCOVER of the same ports and addresses does not hide a DECLINE", () => {
    const [decline] = made(python({ type: "decline" })) as [Uint8Array];
    const lab = leased();
    lab.send("host1/Blue1", fromClient(BLUE1, DISCOVER));
    lab.send("host1/Blue1", fromClient(BLUE1, DISCOVER), decline);
    expect(lab.record("host1", "10.0.0.5")).toBeUndefined();
  });

  test("a Static record is nobody's to give up", () => {
    const [release] = made(python({ from: BLUE6, address: "10.0.0.6" })) as [Uint8Array];
    const lab = new LearningLab();
    lab.send("host1/Blue6", release);
    expect(lab.record("host1", "10.0.0.6")).toBe(`Static 10.0.0.6 at ${BLUE6}, ${PA1}`);
    expect(lab.events).toEqual([]);
  });
});

describe("hosts and VMs that come and go", () => {
  test("a VM that migrates keeps its addresses, and the new host looks after them from its first word on", () => {
    const lab = new LearningLab({ settings: "distributeLearnedMs: 5" });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.pass(20);
    lab.lab.change({ kind: "vmMoved", from: "host1", vm: "Blue1", to: "host2", downtimeMs: 50 });
    lab.pass(100);
    const moved = `Dynamic 10.0.0.5 at ${BLUE1}, ${PA2}`;
    expect([lab.record("host1", "10.0.0.5"), lab.record("host2", "10.0.0.5")]).toEqual([moved, moved]);
    expect(lab.learning("host1")).toMatchObject({ held: 0, deleted: 0 });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5")); // its port keeps its name
    const probes = lab.pass(10 * MINUTE + 500);
    expect(probes.map(({ port }) => lab.lab.engine.ports[port]!.name)).toEqual(["host1/Blue1"]);
    lab.pass(5000);
    expect([lab.record("host1", "10.0.0.5"), lab.record("host2", "10.0.0.5")]).toEqual([undefined, undefined]);
    expect(lab.events).toHaveLength(2);
  });

  test("a host that reboots has forgotten what it learnt (P-106), and its timers with it", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.lab.change({ kind: "hostRebooted", host: "host1", downtimeMs: 10, restoreMs: 10 });
    lab.pass(50);
    expect(lab.record("host1", "10.0.0.5")).toBeUndefined();
    expect(lab.pass(20 * MINUTE)).toEqual([]);
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    expect(lab.record("host1", "10.0.0.5")).toBe(DYNAMIC);
  });
});

describe("a host that is written again after a reboot", () => {
  const reboot = (lab: LearningLab, host: string): void =>
    lab.lab.change({ kind: "hostRebooted", host, downtimeMs: 50, restoreMs: 50 });

  test("has the records that others learnt before and meanwhile, and not those that went", () => {
    const lab = new LearningLab({ settings: "distributeLearnedMs: 5" });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"), announce(BLUE1, "10.0.0.55"));
    lab.pass(10);
    reboot(lab, "host2");
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.4"));
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.55")); // it has changed hands
    lab.pass(40);
    expect(lab.record("host2", "10.0.0.5")).toBeUndefined();
    lab.pass(100);
    expect(lab.record("host2", "10.0.0.5")).toBe(DYNAMIC);
    expect(lab.record("host2", "10.0.0.4")).toBe(`Dynamic 10.0.0.4 at ${BLUE4}, ${PA1}`);
    expect(lab.record("host2", "10.0.0.55")).toBe(`Dynamic 10.0.0.55 at ${BLUE4}, ${PA1}`);
  });

  test("is told of as Deleted, for what it had learnt, so that the other hosts do not keep it; it counts on", () => {
    const lab = new LearningLab({ settings: "distributeLearnedMs: 5" });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.send("host1/Blue1", advertise(BLUE1, "fd00:10::5"));
    lab.send("host1/Blue4", announce(BLUE4, "10.0.0.6")); // Blue6's: refused
    lab.pass(10);
    expect(lab.record("host2", "10.0.0.5")).toBe(DYNAMIC);
    reboot(lab, "host1");
    lab.pass(10);
    expect([lab.record("host2", "10.0.0.5"), lab.record("host2", "fd00:10::5")]).toEqual([undefined, undefined]);
    expect(lab.events.slice(2).map((event) => event.split(" ").slice(1).join(" "))).toEqual([
      `host1 Deleted 10.0.0.5 at ${BLUE1}, ${PA1}`,
      `host1 Deleted fd00:10::5 at ${BLUE1}, ${PA1}`,
    ]);
    lab.pass(200);
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.pass(10);
    expect([lab.record("host1", "10.0.0.5"), lab.record("host2", "10.0.0.5")]).toEqual([DYNAMIC, DYNAMIC]);
    expect(lab.learning("host1")).toMatchObject({ held: 1, added: 3, deleted: 2, refused: { static: 1 } });
  });

  test("has nothing of what it learnt itself", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    reboot(lab, "host1");
    lab.pass(200);
    expect(lab.record("host1", "10.0.0.6")).toBe(`Static 10.0.0.6 at ${BLUE6}, ${PA1}`);
    expect(lab.record("host1", "10.0.0.5")).toBeUndefined();
  });
});

describe("the other hosts", () => {
  test("are reached by flooding as long as nobody tells them", () => {
    const lab = new LearningLab();
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    const ends = lab.send("host2/Blue2", ask(BLUE2, "10.0.0.7", "10.0.0.5"));
    expect(ends).toContain("delivered at host1/Blue1");
  });

  test("learnFromFloods: learn from the request that another host floods, with its provider address", () => {
    const lab = new LearningLab({ settings: "learnFromFloods: true" });
    const ends = lab.send("host1/Blue1", ask(BLUE1, "10.0.0.5", "10.0.0.8"));
    expect(ends).toContain("delivered at host2/Blue8");
    expect(lab.record("host2", "10.0.0.5")).toBe(DYNAMIC);
    expect(lab.events.map((event) => event.split(" ").slice(1, 3).join(" "))).toEqual(["host1 Added", "host2 Added"]);
    expect(lab.send("host2/Blue2", datagram([BLUE1, BLUE2], ["10.0.0.5", "10.0.0.7"]))).toEqual([
      "delivered at host1/Blue1",
    ]);
  });

  test("learnFromFloods: the record of another host's VM goes unprobed at the end of the watch", () => {
    const lab = new LearningLab({ settings: "learnFromFloods: true" });
    lab.send("host1/Blue1", solicit(BLUE1, "fd00:10::5", "fd00:10::8"));
    expect(lab.record("host2", "fd00:10::5")).toBe(DYNAMIC6);
    const probes = lab.pass(10 * MINUTE + 100);
    expect(probes.map(({ port }) => lab.lab.engine.ports[port]!.name)).toEqual(["host1/Blue1"]);
    expect(lab.record("host2", "fd00:10::5")).toBeUndefined();
  });

  test("off by default, and only from the host where the L2Only record places the VM", () => {
    const off = new LearningLab();
    off.send("host1/Blue1", ask(BLUE1, "10.0.0.5", "10.0.0.8"));
    expect(off.record("host2", "10.0.0.5")).toBeUndefined();
    const lab = new LearningLab({ settings: "learnFromFloods: true" });
    const l2Only = [...lab.lab.policyOf("host2")!.lookupRecords].filter(
      ({ macAddress }) => macAddress === 0x0606_0000_0005,
    );
    for (const record of l2Only) {
      const elsewhere = { ...record, providerAddress: { ...record.providerAddress, w3: 0xc0a8_0463 } };
      lab.lab.changePolicy("host2", { kind: "recordReplaced", record: elsewhere });
    }
    lab.send("host1/Blue1", ask(BLUE1, "10.0.0.5", "10.0.0.8"));
    expect(lab.record("host2", "10.0.0.5")).toBeUndefined();
  });

  test("distributeLearnedMs: the record is written to the hosts of the routing domain, so much later", () => {
    const lab = new LearningLab({ settings: "distributeLearnedMs: 20" });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.5"));
    lab.pass(18);
    expect(lab.record("host2", "10.0.0.5")).toBeUndefined();
    lab.pass(2);
    expect(lab.record("host2", "10.0.0.5")).toBe(DYNAMIC);
    expect(lab.events).toHaveLength(1); // host2 has not learnt it
    lab.pass(11 * MINUTE);
    expect(lab.record("host2", "10.0.0.5")).toBeUndefined();
  });

  test("distributeLearnedMs: a move to another host is told to the first, which forgets it", () => {
    const lab = new LearningLab({ settings: "distributeLearnedMs: 20" });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.50"));
    lab.pass(50);
    lab.send("host2/Blue8", announce(BLUE8, "10.0.0.50"));
    expect(lab.events.at(-1)).toContain(`host2 Moved 10.0.0.50 at ${BLUE8}, ${PA2}`);
    lab.pass(50);
    expect(lab.record("host1", "10.0.0.50")).toBe(`Dynamic 10.0.0.50 at ${BLUE8}, ${PA2}`);
    expect(lab.learning("host1").held).toBe(0);
    expect(lab.learning("host2").held).toBe(1);
  });

  test("distributeLearnedMs: of two contenders the later one wins on all hosts", () => {
    const lab = new LearningLab({ settings: "distributeLearnedMs: 20" });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.50"));
    lab.send("host2/Blue8", announce(BLUE8, "10.0.0.50"));
    lab.pass(100);
    const winner = `Dynamic 10.0.0.50 at ${BLUE8}, ${PA2}`;
    expect([lab.record("host1", "10.0.0.50"), lab.record("host2", "10.0.0.50")]).toEqual([winner, winner]);
  });

  test("distributeLearnedMs: a Static record of another host stands", () => {
    const lab = new LearningLab({ settings: "distributeLearnedMs: 1" });
    lab.send("host1/Blue1", announce(BLUE1, "10.0.0.50"));
    const record = { ...dynamicOf(lab, "host1"), type: "Static", macAddress: 0x0606_0000_0007 as never } as const;
    lab.lab.changePolicy("host2", { kind: "recordAdded", record });
    lab.pass(20);
    expect(lab.record("host2", "10.0.0.50")).toContain("Static");
  });
});

describe("DHCP through the overlay", () => {
  test("DISCOVER and REQUEST from 0.0.0.0 reach everybody of an L2Only subnet", () => {
    const lab = new LearningLab({ settings: "flood: l2only" });
    for (const type of [1, 3]) {
      const ends = lab.send("host1/Blue1", fromClient(BLUE1, type));
      expect(ends.toSorted()).toEqual(
        ["host1/Blue4", "host1/Blue6", "host2/Blue2", "host2/Blue8"].map((port) => `delivered at ${port}`),
      );
    }
  });

  test("unicast OFFER and ACK find the VM by its MAC address, before its address is known", () => {
    const lab = new LearningLab();
    for (const type of [OFFER, ACK]) {
      const ends = lab.send("host2/Blue2", fromServer({ type, client: BLUE1, yours: "10.0.0.5" }));
      expect(ends).toEqual(["delivered at host1/Blue1"]);
    }
  });

  test("broadcast OFFER and ACK reach everybody, and teach the host of the client only", () => {
    const lab = new LearningLab();
    const ends = lab.send("host2/Blue2", fromServer({ type: ACK, client: BLUE1, yours: "10.0.0.5" }, BROADCAST));
    expect(ends).toHaveLength(4);
    expect(lab.events).toEqual([`1001 host1 Added 10.0.0.5 at ${BLUE1}, ${PA1}`]);
  });

  test("DHCPv6: what is for all servers reaches everybody, the answer goes to the client alone", () => {
    const lab = new LearningLab();
    const ends = lab.send("host1/Blue1", fromClient6(BLUE1));
    expect(ends).toHaveLength(4);
    expect(ALL_DHCP_SERVERS.startsWith("33-33")).toBe(true);
    expect(lab.send("host2/Blue2", fromServer6(ADVERTISE6, BLUE1, ["fd00:10::5"]))).toEqual([
      "delivered at host1/Blue1",
    ]);
  });
});

describe("the order of things", () => {
  test("a lab that learns has one thread, and says why; one without L2Only records need not", () => {
    expect(new LearningLab().lab.keepsStateAcrossFlows).toMatch(/^what VMs of host1 say/);
  });
});
