/** Two engines carry one host: what packets teach one of them, the other goes by, and whoever is outside hears one host. */
import { describe, expect, test } from "vitest";
import type { Effect, NodeIndex } from "../../src/dataplane/transposition/index.js";
import { arp, frame, icmp, ip, udp } from "../engine/build.js";
import { TimedLab } from "./timed-lab.js";

const BLUE1 = "06-06-00-00-00-05";
const BLUE2 = "06-06-00-00-00-07";
const BLUE4 = "06-06-00-00-00-04";
const NIC1 = "02-00-C0-A8-04-0B";
const PEER = "02-00-C0-A8-04-16";
const ALL = "FF-FF-FF-FF-FF-FF";
const PA1 = "192.168.4.11";
const PA2 = "192.168.4.22";

/** Host 1 alone; the network is whoever writes the test. Blue4 has whatever address it claims. */
const fabric = (settings: string): string => `
apiVersion: hnv/v1
settings: { resolve: wire${settings} }
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }]
hosts:
  - name: host1
    nics: [{ name: nic1, mac: ${NIC1} }]
    providerAddresses: [{ address: ${PA1}, prefixLength: 24 }]
    vms:
      - { name: Blue1, adapters: [{ mac: ${BLUE1}, vsid: 5001, addresses: [10.0.0.5] }] }
      - { name: Blue4, adapters: [{ mac: ${BLUE4}, vsid: 5001 }] }
lookupRecords:
  - { customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: ${BLUE2}, providerAddress: ${PA2} }
  - { customerAddress: 0.0.0.0, virtualSubnetID: 5001, macAddress: ${BLUE4}, providerAddress: ${PA1}, type: L2Only }
`;
const WITHOUT_DAD = ", duplicateAddressDetection: false";

/** Two labs that hear each other at once, through what threads can send each other. */
class Pair {
  readonly labs: readonly [TimedLab, TimedLab];
  #nowMs = 0;

  constructor(settings = "") {
    const make = (own: 0 | 1): TimedLab =>
      new TimedLab(fabric(settings), {
        isSpeaker: own === 0,
        tell: (node: NodeIndex, effect: Effect) => this.labs[1 - own]!.lab.engine.hear(node, structuredClone(effect)),
      });
    this.labs = [make(0), make(1)];
  }

  /** What each does until then; they have one clock. */
  wait(ms: number): [string[], string[]] {
    const ends: [string[], string[]] = [[], []];
    for (; this.#nowMs <= ms; this.#nowMs++) {
      this.labs.forEach((lab, index) => void ends[index]!.push(...lab.wait(this.#nowMs)));
    }
    return ends;
  }
}

const data = (flow: number, length = 20): Uint8Array => {
  const payload = udp("10.0.0.5", "10.0.0.7", [1000 + flow, 4000], new Uint8Array(length));
  return frame(BLUE2, BLUE1, ip({ source: "10.0.0.5", destination: "10.0.0.7", protocol: 17, payload }));
};
const ASKED = { senderMac: NIC1, sender: PA1, target: PA2 };
const ANSWER = frame(NIC1, PEER, arp({ operation: 2, senderMac: PEER, sender: PA2, targetMac: NIC1, target: PA1 }));
const SENT = ["delivered at host1/nic1"];
const WAITS = ["consumed at host1/Blue1"];

describe("neighbors", () => {
  test("a packet waits where it came, the question is asked there, and the answer may come to the other", () => {
    const pair = new Pair(WITHOUT_DAD);
    const [speaker, other] = pair.labs;
    pair.wait(0);
    expect(other.send("host1/Blue1", data(1), 10)).toEqual(WAITS);
    const [byOther, bySpeaker] = [other.waitFor(11), speaker.waitFor(11)];
    expect(byOther.map(({ frame }) => frame)).toEqual([frame(ALL, NIC1, arp({ operation: 1, ...ASKED }))]);
    expect(bySpeaker).toEqual([]);
    expect(speaker.send("host1/nic1", ANSWER, 12)).toEqual(["consumed at host1/nic1"]);
    expect(pair.wait(14)).toEqual([[], SENT]); // the packet, once
    expect(speaker.send("host1/Blue1", data(2), 20)).toEqual(SENT);
    expect(other.send("host1/Blue1", data(3), 20)).toEqual(SENT);
    expect([...speaker.events, ...other.events].map(({ event }) => event.kind)).toEqual(["neighborChanged"]);
  });

  test("the speaker alone repeats questions, and packets fail where they wait", () => {
    const pair = new Pair(WITHOUT_DAD);
    const [speaker, other] = pair.labs;
    pair.wait(0);
    other.send("host1/Blue1", data(1), 10);
    expect(other.wait(11)).toEqual(SENT); // the question
    expect(pair.wait(2_500)).toEqual([[...SENT, ...SENT], []]);
    expect(pair.wait(3_500)).toEqual([[], ["TX_PA_UNRESOLVED at host1/Blue1"]]);
    expect(speaker.send("host1/Blue1", data(2))).toEqual(["TX_PA_UNRESOLVED at host1/Blue1"]);
    expect(speaker.events.map(({ event }) => event.kind)).toEqual(["neighborFailed"]);
    expect(other.events).toEqual([]);
  });
});

describe("duplicate address detection", () => {
  const statesOf = ({ labs }: Pair): string[] => labs.flatMap((lab) => lab.states("host1"));

  test("probes and announcements leave once", () => {
    const pair = new Pair();
    pair.wait(0);
    expect(statesOf(pair)).toEqual(["Tentative", "Tentative"]);
    const [bySpeaker, byOther] = pair.wait(6_000);
    expect([bySpeaker.length, byOther.length]).toEqual([4, 0]); // two probes more, and two announcements
    expect(statesOf(pair)).toEqual(["Preferred", "Preferred"]);
  });

  test("who has the address is heard by both, whoever it came to", () => {
    const pair = new Pair();
    pair.wait(0);
    const claim = frame(ALL, PEER, arp({ operation: 1, senderMac: PEER, sender: PA1, target: PA2 }));
    pair.labs[1].send("host1/nic1", claim, 500);
    pair.wait(5_000);
    expect(statesOf(pair)).toEqual(["Duplicate", "Duplicate"]);
    const told = pair.labs.map(({ events }) => events.map(({ event }) => event.addressState));
    expect(told).toEqual([["Tentative"], ["Duplicate"]]);
  });
});

test("path MTUs that a router told one of them hold for both", () => {
  const pair = new Pair(WITHOUT_DAD);
  const [speaker, other] = pair.labs;
  pair.wait(0);
  speaker.send("host1/Blue1", data(1, 1400), 10);
  speaker.wait(11);
  speaker.send("host1/nic1", ANSWER, 12);
  const [sent] = speaker.waitFor(14);
  const quoted = [...sent!.frame.subarray(14, 14 + 20 + 8)];
  const tooBig = frame(NIC1, PEER, icmp("192.168.4.1", PA1, [3, 4, 0, 0, 0, 0, 900 >>> 8, 900 & 0xff, ...quoted]));
  other.send("host1/nic1", tooBig, 20);
  pair.wait(30);
  const known = pair.labs.map(({ lab }) => lab.policyOf("host1")!.pathMtus.all.map(({ mtu }) => mtu));
  expect(known).toEqual([[900], [900]]);
});

test("an address that a VM claims at one of them is its at both, and is told once", () => {
  const pair = new Pair(WITHOUT_DAD);
  const [speaker, other] = pair.labs;
  pair.wait(0);
  const claim = arp({ operation: 1, senderMac: BLUE4, sender: "10.0.0.4", target: "10.0.0.7" });
  other.send("host1/Blue4", frame(ALL, BLUE4, claim), 10);
  pair.wait(12);
  const owners = pair.labs.map(({ lab }) =>
    [...lab.policyOf("host1")!.lookupRecords]
      .filter(({ type }) => type === "Dynamic")
      .map(({ virtualSubnetID }) => virtualSubnetID),
  );
  expect(owners).toEqual([[5001], [5001]]);
  expect([speaker.events.length, other.events.length]).toEqual([0, 1]);
});
