/** Hosts that find each other on the provider network by themselves (`resolve: wire`): whole labs, through the engine. */
import { describe, expect, test } from "vitest";
import type { ProviderAddress } from "../../src/dataplane/policy/index.js";
import { arp, frame, hexOf, icmpv6, ip, neighborMessage, tagged, udp } from "../engine/build.js";
import { isTsharkAvailable, tsharkFields } from "../oracles/tshark.js";
import { TimedLab } from "./timed-lab.js";

const BLUE1 = "06-06-00-00-00-05";
const BLUE2 = "06-06-00-00-00-07";
const NIC1 = "02-00-C0-A8-04-0B";
const STRANGER = "02-00-00-00-00-99";
const ALL = "FF-FF-FF-FF-FF-FF";

interface LabOptions {
  readonly settings?: string;
  readonly pa?: readonly [string, string];
  readonly subnets?: string;
}
const text = ({ settings = "", pa = ["192.168.4.11", "192.168.4.22"], subnets }: LabOptions): string => `
apiVersion: hnv/v1
settings: { resolve: wire${settings} }
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }]
provider: { subnets: [${subnets ?? "{ prefix: 192.168.4.0/24, vlan: 103, mtu: 1600 }"}] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: ${NIC1} }]
    providerAddresses: [{ address: "${pa[0]}" }]
    vms: [{ name: Blue1, adapters: [{ mac: ${BLUE1}, vsid: 5001, addresses: [10.0.0.5] }] }]
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: "${pa[1]}" }]
    vms: [{ name: Blue2, adapters: [{ mac: ${BLUE2}, vsid: 5001, addresses: [10.0.0.7] }] }]
`;

class Bench extends TimedLab {
  constructor(options: LabOptions = {}) {
    super(text(options));
  }
}

const data = (flow = 1): Uint8Array => {
  const payload = udp("10.0.0.5", "10.0.0.7", [1000 + flow, 4000], new Uint8Array(20));
  return frame(BLUE2, BLUE1, ip({ source: "10.0.0.5", destination: "10.0.0.7", protocol: 17, payload }));
};
const WITHOUT_DAD = ", duplicateAddressDetection: false";
const inVlan = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.from([...bytes.subarray(0, 12), ...tagged(103, bytes.subarray(12))]);

describe("the neighbor cache", () => {
  test("the first packet waits for the answer, and then goes", () => {
    const bench = new Bench({ settings: WITHOUT_DAD });
    expect(bench.send("host1/Blue1", data())).toEqual(["consumed at host1/Blue1"]);
    expect(bench.wait(10)).toEqual([
      "consumed at host2/nic1", // the question
      "consumed at host1/nic1", // the answer
      "delivered at host2/Blue2",
    ]);
    expect(bench.neighbors("host1")).toEqual(["192.168.4.22"]);
    expect(bench.send("host1/Blue1", data(), 20)).toEqual(["delivered at host2/Blue2"]);
  });

  test("a neighbor that management takes out of the policy, though it is known and there, is put back", () => {
    const bench = new Bench({ settings: WITHOUT_DAD });
    bench.send("host1/Blue1", data());
    bench.wait(10);
    bench.lab.changePolicy("host1", { kind: "providerReplaced", neighbors: [] });
    expect(bench.send("host1/Blue1", data(), 20)).toEqual(["consumed at host1/Blue1"]);
    expect(bench.wait(1_000)).toEqual(["delivered at host2/Blue2"]);
    expect(bench.neighbors("host1")).toEqual(["192.168.4.22"]);
    expect(bench.send("host1/Blue1", data(), 1_010)).toEqual(["delivered at host2/Blue2"]);
  });

  test("over IPv6, and through a provider router that answers for itself", () => {
    const v6 = new Bench({
      settings: WITHOUT_DAD,
      pa: ["2001:db8:4::11", "2001:db8:4::22"],
      subnets: '{ prefix: "2001:db8:4::/64", vlan: 103, mtu: 1600 }',
    });
    v6.send("host1/Blue1", data());
    expect(v6.wait(10).at(-1)).toBe("delivered at host2/Blue2");
    const routed = new Bench({
      settings: WITHOUT_DAD,
      pa: ["192.168.4.11", "192.168.5.22"],
      subnets:
        "{ prefix: 192.168.4.0/24, vlan: 103, mtu: 1600, gateway: 192.168.4.1 }, { prefix: 192.168.5.0/24, vlan: 104, mtu: 1600, gateway: 192.168.5.1 }",
    });
    routed.send("host1/Blue1", data());
    expect(routed.wait(10).at(-1)).toBe("delivered at host2/Blue2");
    expect(routed.neighbors("host1")).toEqual(["192.168.4.1"]);
  });

  test("three packets wait for a neighbor, more are dropped; after three tries all of them are, and a while later it is asked again", () => {
    const bench = new Bench({ settings: WITHOUT_DAD });
    bench.lab.engine.setPeer(bench.lab.port("provider/host2.nic1")!, null); // the cable is out
    for (let flow = 1; flow <= 3; flow++) {
      expect(bench.send("host1/Blue1", data(flow))).toEqual(["consumed at host1/Blue1"]);
    }
    bench.wait(1);
    expect(bench.send("host1/Blue1", data(4))).toEqual(["TX_PA_UNRESOLVED at host1/Blue1"]);
    const asked = "delivered at provider/host2.nic1";
    const lost = "TX_PA_UNRESOLVED at host1/Blue1";
    expect(bench.wait(3_500)).toEqual([asked, asked, lost, lost, lost]);
    expect(bench.events.map(({ timeMs, event }) => [timeMs, event.kind])).toEqual([[3_001, "neighborFailed"]]);
    expect(bench.send("host1/Blue1", data(5))).toEqual([lost]);
    bench.wait(6_100);
    expect(bench.send("host1/Blue1", data(5))).toEqual(["consumed at host1/Blue1"]);
  });

  test("what is in use is asked again by unicast after 30 s, and forgotten when nobody answers", () => {
    const bench = new Bench({ settings: WITHOUT_DAD });
    bench.send("host1/Blue1", data());
    bench.wait(10);
    bench.send("host1/Blue1", data(), 30_000);
    const { misses } = bench.lab.engine.flowCounters();
    expect(bench.wait(30_100)).toEqual(["consumed at host2/nic1", "consumed at host1/nic1"]);
    bench.send("host1/Blue1", data(), 31_000);
    expect(bench.lab.engine.flowCounters().misses).toBe(misses + 4); // question and answer, at two nodes each; the flow did not notice
    bench.lab.engine.setPeer(bench.lab.port("provider/host2.nic1")!, null);
    bench.wait(70_000);
    expect(bench.neighbors("host1")).toEqual([]);
  });

  test("a neighbor that moves tells so, and flows follow; one that nobody asked for is not taken up", () => {
    const bench = new Bench({ settings: WITHOUT_DAD });
    bench.send("host1/Blue1", data());
    bench.wait(10);
    const claim = (sender: string): Uint8Array =>
      inVlan(frame(ALL, STRANGER, arp({ operation: 1, senderMac: STRANGER, sender, target: sender })));
    bench.send("host1/nic1", claim("192.168.4.22"), 20);
    bench.send("host1/nic1", claim("192.168.4.77"), 20);
    bench.wait(30);
    expect(bench.neighbors("host1")).toEqual(["192.168.4.22"]);
    expect(bench.send("host1/Blue1", data(), 40)).toEqual(["PROVIDER_UNKNOWN_MAC at provider/host1.nic1"]);
  });

  test.each([
    ["no station's, but a group's", ALL],
    ["nobody's", "00-00-00-00-00-00"],
  ])("RFC 1812 §3.3.2: a MAC address that is %s is not believed, whoever gives it", (_what, senderMac) => {
    const bench = new Bench({ settings: WITHOUT_DAD });
    bench.cut("host1/nic1");
    bench.send("host1/Blue1", data());
    bench.wait(10);
    const answer = arp({ operation: 2, senderMac, sender: "192.168.4.22", targetMac: NIC1, target: "192.168.4.11" });
    expect(bench.send("host1/nic1", inVlan(frame(NIC1, STRANGER, answer)), 20)).toEqual(["passed at host1/nic1"]);
    bench.wait(30);
    expect(bench.neighbors("host1")).toEqual([]);
    const right = arp({ operation: 2, senderMac: STRANGER, sender: "192.168.4.22", target: "192.168.4.11" });
    bench.send("host1/nic1", inVlan(frame(NIC1, STRANGER, right)), 40);
    bench.wait(50);
    expect(bench.neighbors("host1")).toEqual(["192.168.4.22"]);
  });

  test("an answer for an adapter outside of network virtualization, which asks the same neighbor, is that adapter's", () => {
    const PLAIN = "0A-00-00-00-00-01";
    const plain = `    vms:\n      - { name: Plain, adapters: [{ mac: ${PLAIN}, vsid: 0 }] }\n      - { name: Blue1, `;
    const bench = new TimedLab(
      text({ settings: WITHOUT_DAD, subnets: "{ prefix: 192.168.4.0/24, mtu: 1600 }" }).replace(
        "    vms: [{ name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5] }] }]",
        `${plain}adapters: [{ mac: ${BLUE1}, vsid: 5001, addresses: [10.0.0.5] }] }`,
      ),
    );
    bench.send("host1/Blue1", data());
    bench.wait(10);
    expect(bench.neighbors("host1")).toEqual(["192.168.4.22"]);
    const answer = (to: string): Uint8Array =>
      frame(to, STRANGER, arp({ operation: 2, senderMac: STRANGER, sender: "192.168.4.22", target: "192.168.4.50" }));
    expect(bench.send("host1/nic1", answer(PLAIN), 20)).toEqual(["delivered at host1/Plain"]);
    expect(bench.send("host1/nic1", answer(NIC1), 30)).toEqual(["consumed at host1/nic1"]);
  });

  test.each([
    ["taken away", () => []],
    ["moved to another VLAN", ([own]: readonly ProviderAddress[]) => [{ ...own!, vlanID: 7 }]],
  ])("an address that is %s asks nobody any more, and what it had asked for is forgotten", (_what, changed) => {
    const bench = new Bench({ settings: WITHOUT_DAD });
    bench.send("host1/Blue1", data());
    bench.wait(10);
    const providerAddresses = changed(bench.lab.policyOf("host1")!.providerAddresses.all);
    bench.lab.changePolicy("host1", { kind: "providerReplaced", providerAddresses });
    expect(bench.wait(100_000)).toEqual([]);
    expect(bench.neighbors("host1")).toEqual([]);
  });

  /** Records of so many VMs besides, each at a host of its own in one large provider subnet, and no route. */
  const crowd = (count: number): Bench => {
    const bench = new Bench({ settings: WITHOUT_DAD });
    const policy = bench.lab.policyOf("host1")!;
    const [own] = policy.lookupRecords;
    for (let n = 0; n < count; n++) {
      const address = { ...own!.customerAddress, w3: own!.customerAddress.w3 + 100 + n } as never;
      const providerAddress = { ...own!.providerAddress, w3: own!.providerAddress.w3 + 100 + n } as never;
      bench.lab.changePolicy("host1", {
        kind: "recordAdded",
        record: { ...own!, customerAddress: address, providerAddress },
      });
    }
    bench.lab.changePolicy("host1", {
      kind: "providerReplaced",
      providerRoutes: [],
      providerAddresses: policy.providerAddresses.all.map((pa) => ({ ...pa, prefixLength: 16 })),
    });
    return bench;
  };

  test("at most 1,024 neighbors are kept, however many are wanted", () => {
    const bench = crowd(1_500);
    bench.send(
      "host1/Blue1",
      frame(
        ALL,
        BLUE1,
        ip({
          source: "10.0.0.5",
          destination: "10.0.0.255",
          protocol: 17,
          payload: udp("10.0.0.5", "10.0.0.255", [1, 2], new Uint8Array(4)),
        }),
      ),
    );
    bench.wait(1);
    const state = bench.lab.engine.nodes[0]!.state as unknown as {
      snapshot: { state: { neighbors: { size: number } } };
    };
    expect(state.snapshot.state.neighbors.size).toBe(1_024);
  });

  test("who has no place beside those 1,024 is dropped, and pushes out nobody who is still asked for", () => {
    const bench = crowd(1_030);
    bench.cut("host1/nic1"); // nobody answers
    const policy = bench.lab.policyOf("host1")!;
    const own = [...policy.lookupRecords].find(({ macAddress }) => macAddress === 0x0606_0000_0005)!;
    const others = [...policy.lookupRecords].filter(
      (record) => policy.providerAddresses.find(record.providerAddress) === undefined,
    );
    const to = others.slice(0, 1_030).map(({ customerAddress: { w3 } }) => `10.0.${(w3 >>> 8) & 255}.${w3 & 255}`);
    bench.lab.changePolicy("host1", {
      kind: "customerRoutesReplaced",
      routes: policy.customerRoutes.all.map((route) => ({
        ...route,
        destinationPrefix: { address: { ...own.customerAddress, w3: 0x0a00_0000 } as never, length: 16 },
      })),
    });
    for (const destination of to) {
      const payload = udp("10.0.0.5", destination, [1, 2], new Uint8Array(4));
      bench.send("host1/Blue1", frame(BLUE2, BLUE1, ip({ source: "10.0.0.5", destination, protocol: 17, payload })));
    }
    const asked = "delivered at host1/nic1";
    const lost = "TX_PA_UNRESOLVED at host1/Blue1";
    const count = (ends: readonly string[], end: string): number => ends.filter((one) => one === end).length;
    const soon = bench.wait(100);
    expect([count(soon, asked), count(soon, lost)]).toEqual([1_024, 6]);
    const later = bench.wait(4_000);
    expect([count(later, asked), count(later, lost)]).toEqual([2 * 1_024, 1_024]);
    expect(bench.wait(8_000)).toEqual([]);
  });
});

describe.skipIf(!isTsharkAvailable())("as tshark reads them", () => {
  const asked = (options: LabOptions): readonly Uint8Array[] => {
    const bench = new Bench(options);
    const { engine } = bench.lab;
    const nic = bench.lab.port("host1/nic1")!;
    engine.setPeer(nic, null);
    const sent = [
      ...engine.send([{ port: bench.lab.port("host1/Blue1")!, frame: data() }], 3_600_000n * 1_000_000n),
      ...engine.sendNothing(3_610_000n * 1_000_000n),
    ];
    return sent.filter(({ port, verdict }) => verdict === "delivered" && port === nic).map(({ frame: bytes }) => bytes);
  };
  const V6 = {
    pa: ["2001:db8:4::11", "2001:db8:4::22"],
    subnets: '{ prefix: "2001:db8:4::/64", vlan: 103, mtu: 1600 }',
  } as const;

  test("questions and probes of both families are whole: targets, senders, groups and checksums", () => {
    const v6 = [...asked({ ...V6, settings: WITHOUT_DAD }), ...asked(V6)];
    const fields = [
      "vlan.id",
      "ipv6.src",
      "ipv6.dst",
      "icmpv6.nd.ns.target_address",
      "icmpv6.opt.linkaddr",
      "icmpv6.checksum.status",
    ];
    const all = tsharkFields(v6, fields).map((each) => fields.map((field) => each[field]!.join()));
    const read = all.filter((each) => each[2] !== "ff02::16"); // groups are another test's
    const group = "ff02::1:ff00:22";
    const question = ["103", "2001:db8:4::11", group, "2001:db8:4::22", NIC1.toLowerCase().replaceAll("-", ":"), "1"];
    expect(read).toEqual([question, question, question, ["103", "::", "ff02::1:ff00:11", "2001:db8:4::11", "", "1"]]);
    const v4 = asked({ settings: WITHOUT_DAD });
    const names = ["vlan.id", "arp.opcode", "arp.src.proto_ipv4", "arp.dst.proto_ipv4", "_ws.expert.severity"];
    const arps = tsharkFields(v4, names).map((each) => names.map((field) => each[field]!.join()));
    expect(arps).toEqual(Array.from({ length: 3 }, () => ["103", "1", "192.168.4.11", "192.168.4.22", ""]));
  });
});

describe("duplicate address detection", () => {
  test("an address is probed three times, then used and announced", () => {
    const bench = new Bench();
    expect(bench.send("host1/Blue1", data())).toContain("TX_NO_PA at host1/Blue1");
    expect(bench.states("host1")).toEqual(["Tentative"]);
    bench.wait(2_999);
    expect(bench.states("host1")).toEqual(["Tentative"]);
    bench.wait(3_001);
    expect(bench.states("host1")).toEqual(["Preferred"]);
    bench.send("host1/Blue1", data(), 3_100);
    expect(bench.wait(3_200)).toContain("delivered at host2/Blue2");
  });

  test("probes and announcements look as RFC 5227 wants them", () => {
    const bench = new Bench();
    const wire = bench.lab.port("provider/host1.nic1")!;
    bench.lab.engine.setPeer(bench.lab.port("host1/nic1")!, null);
    const { engine } = bench.lab;
    const sent = [
      ...engine.send([{ port: bench.lab.port("host1/Blue1")!, frame: data() }]),
      ...engine.sendNothing(10_000n * 1_000_000n),
    ].filter(({ port, verdict }) => verdict === "delivered" && port === bench.lab.port("host1/nic1")!);
    const probe = hexOf(
      inVlan(frame(ALL, NIC1, arp({ operation: 1, senderMac: NIC1, sender: "0.0.0.0", target: "192.168.4.11" }))),
    );
    const announcement = hexOf(
      inVlan(frame(ALL, NIC1, arp({ operation: 1, senderMac: NIC1, sender: "192.168.4.11", target: "192.168.4.11" }))),
    );
    expect(sent.map(({ frame: bytes }) => hexOf(bytes))).toEqual([probe, probe, probe, announcement, announcement]);
    expect(sent.map(({ timestampNs }) => Number(timestampNs / 1_000_000n))).toEqual([0, 1_000, 2_000, 3_000, 5_000]);
    expect(wire).toBeGreaterThan(0);
  });

  const probe = (): Uint8Array =>
    inVlan(frame(ALL, STRANGER, arp({ operation: 1, senderMac: STRANGER, sender: "0.0.0.0", target: "192.168.4.11" })));
  const claim = (): Uint8Array =>
    inVlan(
      frame(ALL, STRANGER, arp({ operation: 1, senderMac: STRANGER, sender: "192.168.4.11", target: "192.168.4.22" })),
    );

  test.each([
    ["somebody who has it", claim],
    ["somebody who wants it too", probe],
  ])("%s makes the address a duplicate, with which nothing is sent", (_who, bytes) => {
    const bench = new Bench();
    bench.send("host1/Blue1", data());
    bench.send("host1/nic1", bytes(), 500);
    bench.wait(5_000);
    expect(bench.states("host1")).toEqual(["Duplicate"]);
    expect(bench.send("host1/Blue1", data())).toEqual(["TX_NO_PA at host1/Blue1"]);
    expect(bench.events.map(({ event }) => [event.address, event.addressState, event.mac ?? null])).toEqual([
      ["192.168.4.11", "Tentative", null],
      ["192.168.4.22", "Tentative", null],
      ["192.168.4.11", "Duplicate", STRANGER],
      ["192.168.4.22", "Preferred", null],
    ]);
  });

  test("an address in use is defended, once in ten seconds", () => {
    const bench = new Bench({ settings: WITHOUT_DAD });
    bench.lab.engine.setPeer(bench.lab.port("host1/nic1")!, null);
    bench.send("host1/nic1", claim(), 100);
    bench.send("host1/nic1", claim(), 200);
    expect(bench.wait(300)).toEqual([]);
    expect(bench.send("host1/nic1", claim(), 10_200)).toContain("passed at host1/nic1");
    bench.wait(10_300);
    expect(bench.events.map(({ timeMs, event }) => [timeMs, event.kind])).toEqual([
      [101, "addressDefended"],
      [10_201, "addressDefended"],
    ]);
    expect(bench.states("host1")).toEqual(["Preferred"]);
  });

  test.each([
    ["in use", 10_000, 14_000, "Preferred"],
    ["probed when nobody could answer", 1_500, 5_500, "Preferred"],
    ["still being probed", 1_500, 1_700, "Tentative"],
  ])(
    "RFC 5227 §2.1: a NIC that has a link again begins anew, with an address that was %s",
    (_what, downMs, upMs, was) => {
      const bench = new TimedLab(
        `${text({})}events: [{ at: ${downMs}, event: linkDown, port: host1/nic1 }, { at: ${upMs}, event: linkUp, port: host1/nic1 }]\n`,
      );
      bench.send("host1/Blue1", data());
      bench.wait(upMs - 1);
      expect(bench.states("host1")).toEqual([was]);
      bench.wait(upMs + 500);
      expect(bench.states("host1")).toEqual(["Tentative"]);
      bench.wait(upMs + 2_999);
      expect(bench.states("host1")).toEqual(["Tentative"]);
      bench.wait(upMs + 3_010);
      expect([bench.states("host1"), bench.states("host2")]).toEqual([["Preferred"], ["Preferred"]]);
    },
  );

  test("who took the address while the link was down is found out when it is back; and so is that he has gone", () => {
    const bench = new TimedLab(
      `${text({})}events: [${[5_000, 20_000].map((at) => `{ at: ${at}, event: linkDown, port: host1/nic1 }, { at: ${at + 1_000}, event: linkUp, port: host1/nic1 }`).join(", ")}]\n`,
    );
    bench.send("host1/Blue1", data());
    bench.wait(6_100);
    bench.send("host1/nic1", claim(), 6_200);
    bench.wait(15_000);
    expect(bench.states("host1")).toEqual(["Duplicate"]);
    bench.wait(25_000);
    expect(bench.states("host1")).toEqual(["Preferred"]);
  });

  test("over IPv6 by one solicitation from the unspecified address", () => {
    const bench = new Bench({
      pa: ["2001:db8:4::11", "2001:db8:4::22"],
      subnets: '{ prefix: "2001:db8:4::/64", vlan: 103, mtu: 1600 }',
    });
    bench.send("host1/Blue1", data());
    bench.wait(900);
    expect(bench.states("host1")).toEqual(["Tentative"]);
    bench.send(
      "host1/nic1",
      inVlan(
        frame(
          "33-33-FF-00-00-11",
          STRANGER,
          icmpv6("::", "ff02::1:ff00:11", neighborMessage(135, 0, "2001:db8:4::11", null)),
        ),
      ),
    );
    bench.wait(1_100);
    expect([bench.states("host1"), bench.states("host2")]).toEqual([["Duplicate"], ["Preferred"]]);
  });
});
