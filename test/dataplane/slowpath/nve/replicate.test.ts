/** Broadcast and multicast from a VM: who gets a copy, and who never does. */
import { describe, expect, it } from "vitest";
import { loadFabricFile } from "../../../../src/control/index.js";
import { createLab, type EmulatedLab, parseAddress, type Vsid } from "../../../../src/index.js";
import { kernelModule } from "../../../../src/kernel-file.js";
import { Lab } from "../../../../src/vswitch/index.js";
import { frame as ethernet, hexOf, internetChecksum, ip, macBytes, readIp, udp } from "../../../engine/build.js";

/** Three hosts; Blue's first subnet has members on all three, two of them on host3, and one more on host1; its second on host2. */
const LAB = `
apiVersion: hnv/v1
routingDomains:
  - { name: Blue, id: "{11111111-2222-3333-4444-000000005001}", subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }, { vsid: 5002, prefixes: [10.0.1.0/24] }] }
  - { name: Red, id: "{11111111-2222-3333-4444-000000006001}", subnets: [{ vsid: 6001, prefixes: [10.0.0.0/24] }] }
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms:
      - { name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5] }] }
      - { name: Blue4, adapters: [{ mac: 06-06-00-00-00-08, vsid: 5001, addresses: [10.0.0.8] }] }
      - { name: Red1, adapters: [{ mac: 08-08-00-00-00-05, vsid: 6001, addresses: [10.0.0.5] }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms:
      - { name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }
      - { name: Blue3, adapters: [{ mac: 06-06-00-00-00-09, vsid: 5002, addresses: [10.0.1.9] }] }
      - { name: Red2, adapters: [{ mac: 08-08-00-00-00-07, vsid: 6001, addresses: [10.0.0.7] }] }
  - name: host3
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-21 }]
    providerAddresses: [{ address: 192.168.4.33 }]
    vms:
      - { name: Blue5, adapters: [{ mac: 06-06-00-00-00-0A, vsid: 5001, addresses: [10.0.0.10] }] }
      - { name: Blue6, adapters: [{ mac: 06-06-00-00-00-0B, vsid: 5001, addresses: [10.0.0.11] }] }
`;
const withSettings = (text: string): string => `${LAB}${text}\n`;
const BROADCAST = "FF-FF-FF-FF-FF-FF";
const BLUE1 = "06-06-00-00-00-05";

function datagram(destination: string, mac: string, { length = 20, ttl = 64, source = "10.0.0.5", from = BLUE1 } = {}) {
  const payload = udp(source, destination, [68, 67], new Uint8Array(length).fill(7));
  return ethernet(mac, from, ip({ source, destination, protocol: 17, payload, ttl, tos: 0 }));
}

/** Where copies ended, by port; or the reason of the one drop. */
function sent(lab: EmulatedLab, frame: Uint8Array, port = "host1/Blue1"): string[] {
  return lab
    .send(port, frame)
    .map(({ verdict, port: at, reason }) => (verdict === "delivered" ? at : (reason?.reason ?? `${verdict} at ${at}`)))
    .sort();
}

describe("broadcast and multicast in a virtual subnet", () => {
  const groups = [
    ["limited broadcast", "255.255.255.255", BROADCAST],
    ["directed broadcast", "10.0.0.255", BROADCAST],
    ["multicast", "239.1.2.3", "01-00-5E-01-02-03"],
  ] as const;

  it.each(groups)("%s: every other member once, on every host, and nobody else", (_title, to, mac) => {
    const lab = createLab(LAB);
    const frame = datagram(to, mac);
    const everyone = ["host1/Blue4", "host2/Blue2", "host3/Blue5", "host3/Blue6"];
    expect(sent(lab, frame)).toEqual(everyone);
    for (const end of lab.send("host1/Blue1", frame))
      expect(hexOf(end.frame), "TTL and addresses stay").toBe(hexOf(frame));
    expect(lab.counters().ports["provider/host1.nic1"]!.rx.packets, "one copy for each host, twice").toBe(4);
  });

  it("DHCP from a VM without an address yet", () => {
    const discover = datagram("255.255.255.255", BROADCAST, { source: "0.0.0.0" });
    expect(sent(createLab(LAB), discover)).toHaveLength(4);
  });

  it("the wire carries the subnet's VSID, one FlowID for all copies, and an identification for each", () => {
    const loaded = loadFabricFile(LAB, "lab.yaml");
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const lab = new Lab(loaded.lab, { kernel: kernelModule() });
    const [blue1, nic1] = ["host1/Blue1", "host1/nic1"].map((name) => lab.port(name)!);
    lab.engine.setPeer(nic1!, null);
    const ends = lab.engine.send([{ port: blue1!, frame: datagram("255.255.255.255", BROADCAST) }]);
    const copies = ends.filter(({ port }) => port === nic1);
    expect(copies).toHaveLength(2);
    const outer = copies.map(({ frame }) => readIp(frame)!);
    expect(outer.map(({ destination }) => destination).sort()).toEqual(["c0a80416", "c0a80421"]);
    const keys = copies.map(({ frame }, index) =>
      hexOf(frame.slice(outer[index]!.payloadAt + 4, outer[index]!.payloadAt + 8)),
    );
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]!.slice(0, 6)).toBe("001389");
    const identifications = copies.map(({ frame }) => hexOf(frame.slice(18, 20)));
    expect(new Set(identifications).size).toBe(2);
  });

  it("is decided once: later packets of the flow are hits, with the same copies", () => {
    const lab = createLab(LAB);
    const frame = datagram("239.1.2.3", "01-00-5E-01-02-03");
    const first = sent(lab, frame);
    const before = lab.counters().flows;
    for (let n = 0; n < 10; n++) expect(sent(lab, frame)).toEqual(first);
    const after = lab.counters().flows;
    // host3 pops a header for two adapters, which a packet's congestion mark may forbid: it decides each time.
    expect(after.misses - before.misses).toBe(10);
    const { totals } = lab.counters();
    expect(totals.in + totals.copies).toBe(totals.delivered + totals.dropped + totals.passed + totals.consumed);
  });

  it("follows the records: a member that comes to a new host, and the last that leaves one", () => {
    const lab = createLab(LAB);
    const frame = datagram("255.255.255.255", BROADCAST);
    expect(sent(lab, frame)).toHaveLength(4);
    const record = lab
      .policyOf("host1")
      .lookupRecords.findByMac(5001 as never, macNumber("06-06-00-00-00-07") as never)[0]!;
    lab.changePolicy("host1", { kind: "recordRemoved", record });
    expect(sent(lab, frame)).toEqual(["host1/Blue4", "host3/Blue5", "host3/Blue6"]);
    lab.changePolicy("host1", { kind: "recordAdded", record });
    expect(sent(lab, frame)).toHaveLength(4);
  });

  describe("a copy that cannot be sent is counted, and dropped for its reason; the local ones are delivered", () => {
    const isConserved = ({ totals }: ReturnType<EmulatedLab["counters"]>): boolean =>
      totals.in + totals.copies + totals.injected ===
      totals.delivered + totals.dropped + totals.passed + totals.consumed;

    it("one that does not fit the provider's MTU, with DF", () => {
      const lab = createLab(LAB);
      const long = datagram("255.255.255.255", BROADCAST, { length: 1540 });
      expect(sent(lab, long)).toEqual(["TX_TOO_BIG", "TX_TOO_BIG", "host1/Blue4"]);
      const counters = lab.counters();
      expect(counters.totals).toMatchObject({ in: 1, copies: 2, delivered: 1, dropped: 2 });
      expect(counters.reasons).toMatchObject([{ port: "host1/Blue1", reason: { reason: "TX_TOO_BIG" }, count: 2 }]);
      expect(isConserved(counters)).toBe(true);
    });

    it("one that has no provider address to leave from, by a flow entry too", () => {
      const lab = createLab(LAB);
      const { all } = lab.policyOf("host1").providerAddresses;
      const providerAddresses = all.map((one) => ({ ...one, addressState: "Duplicate" as const }));
      lab.changePolicy("host1", { kind: "providerReplaced", providerAddresses });
      const frame = datagram("255.255.255.255", BROADCAST);
      for (let n = 0; n < 5; n++) expect(sent(lab, frame)).toEqual(["TX_NO_PA", "TX_NO_PA", "host1/Blue4"]);
      const counters = lab.counters();
      expect(counters.reasons).toMatchObject([{ port: "host1/Blue1", reason: { reason: "TX_NO_PA" }, count: 10 }]);
      expect(counters.flows).toMatchObject({ misses: 1, hits: 4 });
      expect(isConserved(counters)).toBe(true);
    });

    it("one whose next hop is not known yet", () => {
      const lab = createLab(withSettings("settings: { resolve: wire, duplicateAddressDetection: false }"));
      const ends = sent(lab, datagram("255.255.255.255", BROADCAST));
      expect(ends).toEqual(["TX_PA_UNRESOLVED", "TX_PA_UNRESOLVED", "host1/Blue4"]);
    });

    it("one that would leave by a NIC that is down", () => {
      const lab = createLab(LAB);
      lab.change({ kind: "linkDown", host: "host1", nic: "nic1" });
      const ends = sent(lab, datagram("255.255.255.255", BROADCAST));
      expect(ends).toEqual(["DISCONNECTED", "DISCONNECTED", "host1/Blue4"]);
    });
  });

  it("IPv4 without DF that is too long for the way to others is cut, and every member gets all pieces", () => {
    const lab = createLab(LAB);
    const frame = datagram("255.255.255.255", BROADCAST, { length: 1540 });
    frame[20] = 0;
    frame.set([0, 0], 24);
    const sum = internetChecksum(frame.subarray(14, 34));
    frame.set([sum >> 8, sum & 255], 24);
    const ends = lab.send("host1/Blue1", frame);
    const members = ["host1/Blue4", "host2/Blue2", "host3/Blue5", "host3/Blue6"];
    for (const member of members) {
      const pieces = ends.filter(({ verdict, port }) => verdict === "delivered" && port === member);
      const data = pieces.map((piece) => hexOf(piece.frame.slice(34))).join("");
      expect([pieces.length, data], member).toEqual([2, hexOf(frame.slice(34))]);
    }
    expect(ends).toHaveLength(1 + 2 * members.length);
    expect(lab.counters().reasons).toMatchObject([{ reason: { reason: "TX_INNER_FRAGMENTED" }, count: 1 }]);
    const whole = createLab(withSettings("settings: { innerFragmentation: false }"));
    expect(sent(whole, frame)).toEqual(["TX_TOO_BIG", "TX_TOO_BIG", "host1/Blue4"]);
  });

  it("flood: l2only carries nothing to other hosts without an L2Only record", () => {
    const frame = datagram("255.255.255.255", BROADCAST);
    expect(sent(createLab(withSettings("settings: { flood: l2only }")), frame)).toEqual(["host1/Blue4"]);
    const lab = createLab(
      withSettings(`settings: { flood: l2only }
lookupRecords:
  - { virtualSubnetID: 5001, customerAddress: 0.0.0.0, macAddress: 06-06-00-00-00-77, providerAddress: 192.168.4.22, rule: TranslationMethodEncap, type: L2Only }`),
    );
    expect(sent(lab, frame)).toHaveLength(4);
  });

  it("ARP for an address without a record is flooded where a record is L2Only, and ends unanswered elsewhere", () => {
    const question = Uint8Array.from([
      ...[...macBytes(BROADCAST), ...macBytes(BLUE1), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
      ...[...macBytes(BLUE1), 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 10, 0, 0, 99],
    ]);
    expect(sent(createLab(LAB), question)).toEqual(["TX_UNANSWERED"]);
    const lab = createLab(
      withSettings(`lookupRecords:
  - { virtualSubnetID: 5001, customerAddress: 0.0.0.0, macAddress: 06-06-00-00-00-77, providerAddress: 192.168.4.22, rule: TranslationMethodEncap, type: L2Only }`),
    );
    expect(sent(lab, question)).toEqual(["host1/Blue4", "host2/Blue2", "host3/Blue5", "host3/Blue6"]);
  });

  describe("provider groups", () => {
    const record = (ca: string, group = "239.9.9.9", more = ""): string =>
      `  - { virtualSubnetID: 5001, customerAddress: "${ca}", macAddress: 06-06-00-00-00-77, providerAddress: "${group}"${more} }`;
    const grouped = (...records: readonly string[]): EmulatedLab =>
      createLab(withSettings(`lookupRecords:\n${records.join("\n")}`));
    const all = ["host1/Blue4", "host2/Blue2", "host3/Blue5", "host3/Blue6"];
    const chat = datagram("239.1.2.3", "01-00-5E-01-02-03");

    it("a group on record at a multicast PA: one copy to that group, from which every member host delivers", () => {
      const lab = grouped(record("239.1.2.3"));
      expect(sent(lab, chat)).toEqual(all);
      const [step] = lab.explain("host1/Blue1", chat);
      const wire = step!.outputs.filter(({ port }) => port === "host1/nic1");
      expect(wire.map(({ after }) => hexOf(after.subarray(0, 6)))).toEqual(["01005e090909"]);
      expect(wire.map(({ after }) => [...after.subarray(30, 34)])).toEqual([[239, 9, 9, 9]]);
      const others = datagram("239.1.2.4", "01-00-5E-01-02-04");
      expect(lab.explain("host1/Blue1", others)[0]!.outputs.filter(({ port }) => port === "host1/nic1")).toHaveLength(
        2,
      );
    });

    it("the record of 255.255.255.255 stands for the subnet's broadcasts and for groups without a record", () => {
      const lab = grouped(record("255.255.255.255"));
      for (const frame of [chat, datagram("255.255.255.255", BROADCAST), datagram("10.0.0.255", BROADCAST)]) {
        expect(sent(lab, frame)).toEqual(all);
        expect(lab.explain("host1/Blue1", frame)[0]!.outputs.filter(({ port }) => port === "host1/nic1")).toHaveLength(
          1,
        );
      }
    });

    it("a host without the record is not in the group, and passes the packet on", () => {
      const lab = grouped(
        record("239.1.2.3", "239.9.9.9", ", host: host1"),
        record("239.1.2.3", "239.9.9.9", ", host: host2"),
      );
      expect(sent(lab, chat)).toEqual(["host1/Blue4", "host2/Blue2", "passed at host3/nic1"]);
    });

    it("two virtual subnets may share a group; the receiver goes by the VSID", () => {
      const other = `  - { virtualSubnetID: 6001, customerAddress: 239.1.2.3, macAddress: 06-06-00-00-00-78, providerAddress: 239.9.9.9 }`;
      expect(sent(grouped(record("239.1.2.3"), other), chat)).toEqual(all);
    });

    it("comes and goes with its record, also for flows that are known", () => {
      const lab = createLab(LAB);
      const copies = (): number => lab.explain("host1/Blue1", chat)[0]!.outputs.length;
      expect([sent(lab, chat), copies()]).toEqual([all, 3]);
      const [one] = lab.policyOf("host1").lookupRecords;
      const group = {
        ...one!,
        customerAddress: parseAddress("239.1.2.3")!,
        providerAddress: parseAddress("239.9.9.9")!,
      };
      for (const host of ["host1", "host2", "host3"]) {
        lab.changePolicy(host, { kind: "recordAdded", record: { ...group, virtualSubnetID: 5001 as Vsid } });
      }
      expect([sent(lab, chat), copies()]).toEqual([all, 2]);
    });
  });

  it("2012: local members only, and a drop where there are none", () => {
    const lab = createLab(withSettings("mode: 2012"));
    const frame = datagram("255.255.255.255", BROADCAST);
    expect(sent(lab, frame)).toEqual(["host1/Blue4"]);
    const alone = datagram("255.255.255.255", BROADCAST, { source: "10.0.0.7", from: "06-06-00-00-00-07" });
    expect(sent(lab, alone, "host2/Blue2")).toEqual(["TX_FLOOD_2012"]);
  });

  it("alone in its subnet: TX_NO_FLOOD", () => {
    const frame = datagram("255.255.255.255", BROADCAST, { source: "10.0.1.9", from: "06-06-00-00-00-09" });
    expect(sent(createLab(LAB), frame, "host2/Blue3")).toEqual(["TX_NO_FLOOD"]);
  });
});

const macNumber = (text: string): number => macBytes(text).reduce((sum, octet) => sum * 256 + octet, 0);
