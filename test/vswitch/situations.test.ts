/** What operators meet, one test per situation, each named by it: see docs/POLICY-COVERAGE.md. */
import { describe, expect, it } from "vitest";
import { createLab, type EmulatedLab, parseAddress, type Vsid } from "../../src/index.js";
import { frame, icmp, icmpv6 } from "../engine/build.js";
import { ALL, endsOf, packet, ROUTER, whoHas, wireOf } from "./whole-labs.js";

const BLUE = "{11111111-2222-3333-4444-000000005001}";
const M = { 1: "06-06-00-00-00-05", 2: "06-06-00-00-00-07", 3: "06-06-00-00-00-09" } as const;

const LAB = `apiVersion: hnv/v1
routingDomains:
  - name: Blue
    id: "${BLUE}"
    subnets:
      - { vsid: 5001, prefixes: [10.0.0.0/24, "fd00:10::/64"] }
      - { vsid: 5002, prefixes: [10.0.1.0/24] }
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms:
      - { name: Blue1, adapters: [{ mac: ${M[1]}, vsid: 5001, addresses: [10.0.0.5, "fd00:10::5"] }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms:
      - { name: Blue2, adapters: [{ mac: ${M[2]}, vsid: 5001, addresses: [10.0.0.7] }] }
      - { name: Blue3, adapters: [{ mac: ${M[3]}, vsid: 5002, addresses: [10.0.1.9] }] }
`;
const labOf = (...changes: readonly (readonly [from: string, to: string])[]): EmulatedLab => {
  let text = LAB;
  for (const [from, to] of changes) {
    expect(text.split(from), from).toHaveLength(2);
    text = text.replace(from, () => to);
  }
  return createLab(text);
};
const BLUE1 = "host1/Blue1";
const TO_BLUE2 = packet(M[2], M[1], "10.0.0.5", "10.0.0.7");
const FROM_BLUE2 = packet(M[1], M[2], "10.0.0.7", "10.0.0.5");
const withoutRecord = (lab: EmulatedLab, host: string, vsid: number, address: string): EmulatedLab => {
  const record = lab.policyOf(host).lookupRecords.find(vsid as Vsid, parseAddress(address)!)!;
  lab.changePolicy(host, { kind: "recordRemoved", record });
  return lab;
};

it("situation: port VSID 0: bypasses network virtualization, untouched, on the wire as a plain frame", () => {
  const lab = labOf([`mac: ${M[1]}, vsid: 5001, addresses: [10.0.0.5, "fd00:10::5"]`, `mac: ${M[1]}`]);
  const [step] = lab.explain(BLUE1, TO_BLUE2);
  expect(step!.outputs.map(({ port, after }) => [port, Buffer.from(after)])).toEqual([
    ["host1/nic1", Buffer.from(TO_BLUE2)],
  ]);
});

it("situation: port VSID set, no customer route: only same-VSID records work", () => {
  const lab = labOf();
  for (const host of ["host1", "host2"]) lab.changePolicy(host, { kind: "customerRoutesReplaced", routes: [] });
  expect(endsOf(lab, BLUE1, TO_BLUE2)).toEqual(["delivered host2/Blue2"]);
  expect(endsOf(lab, BLUE1, packet(ROUTER, M[1], "10.0.0.5", "10.0.1.9"))).toEqual([`dropped ${BLUE1} TX_NO_ROUTE`]);
  expect(endsOf(lab, BLUE1, whoHas("10.0.0.1", M[1], "10.0.0.5")), "no router either").toEqual([
    `dropped ${BLUE1} TX_UNANSWERED`,
  ]);
});

it("situation: CA unknown, no L2Only: ARP unanswered, IP dropped", () => {
  const lab = labOf();
  expect(endsOf(lab, BLUE1, whoHas("10.0.0.9", M[1], "10.0.0.5"))).toEqual([`dropped ${BLUE1} TX_UNANSWERED`]);
  expect(endsOf(lab, BLUE1, packet(M[2], M[1], "10.0.0.5", "10.0.0.9"))).toEqual([`dropped ${BLUE1} TX_NO_RECORD`]);
});

it("situation: record exists, VM not at that PA: the far host drops", () => {
  const lab = labOf();
  const record = lab.policyOf("host1").lookupRecords.find(5002 as Vsid, parseAddress("10.0.1.9")!)!;
  lab.changePolicy("host1", {
    kind: "recordAdded",
    record: {
      ...record,
      customerAddress: parseAddress("10.0.1.8")!,
      macAddress: 0x0606_0000_0008 as typeof record.macAddress,
    },
  });
  const ends = endsOf(lab, BLUE1, packet(ROUTER, M[1], "10.0.0.5", "10.0.1.8"));
  expect(ends[0]).toMatch(/^dropped host2\/nic1 RX_/);
});

describe("situation: records on one host only: one direction works, the reply is dropped", () => {
  it("the far host lacks its own VM's record: the packet arrives, the reply fails the source check", () => {
    const lab = withoutRecord(labOf(), "host2", 5001, "10.0.0.7");
    expect(endsOf(lab, BLUE1, TO_BLUE2)).toEqual(["delivered host2/Blue2"]);
    expect(endsOf(lab, "host2/Blue2", FROM_BLUE2)).toEqual(["dropped host2/Blue2 TX_SRC_POLICY"]);
  });
  it("the far host lacks the sender's record: neither its check nor its lookup finds it", () => {
    const lab = withoutRecord(labOf(), "host2", 5001, "10.0.0.5");
    expect(endsOf(lab, BLUE1, TO_BLUE2)).toEqual(["dropped host2/nic1 RX_SRC_POLICY"]);
    expect(endsOf(lab, "host2/Blue2", FROM_BLUE2)).toEqual(["dropped host2/Blue2 TX_NO_RECORD"]);
    expect(endsOf(lab, BLUE1, packet(ROUTER, M[1], "10.0.0.5", "10.0.1.9")), "by whatever route").toEqual([
      "dropped host2/nic1 RX_SRC_POLICY",
    ]);
  });
});

it("situation: the same CA in two tenants: no interference, different VSIDs", () => {
  const red = "{11111111-2222-3333-4444-000000006001}";
  const lab = labOf(
    ["provider:", `  - { name: Red, id: "${red}", subnets: [{ vsid: 6001, prefixes: [10.0.0.0/24] }] }\nprovider:`],
    [
      `[10.0.0.7] }] }`,
      `[10.0.0.7] }] }\n      - { name: Red2, adapters: [{ mac: 08-08-00-00-00-05, vsid: 6001, addresses: [10.0.0.5] }] }`,
    ],
  );
  const lookup = (mac: string) => endsOf(lab, "host2/Red2", packet(mac, "08-08-00-00-00-05", "10.0.0.5", "10.0.0.7"));
  expect(endsOf(lab, BLUE1, TO_BLUE2)).toEqual(["delivered host2/Blue2"]);
  expect(lookup(M[2]), "Blue's address is nobody's in Red").toEqual(["dropped host2/Red2 TX_NO_RECORD"]);
});

describe("situation: the VSID differs between port and record", () => {
  const lab = labOf([`mac: ${M[2]}, vsid: 5001, addresses: [10.0.0.7]`, `mac: ${M[2]}, vsid: 5002`]);
  const record = lab.policyOf("host1").lookupRecords.find(5001 as Vsid, parseAddress("10.0.0.5")!)!;
  for (const host of ["host1", "host2"]) {
    const providerAddress = parseAddress("192.168.4.22")!;
    const macAddress = 0x0606_0000_0007 as typeof record.macAddress;
    const added = { ...record, customerAddress: parseAddress("10.0.0.7")!, macAddress, providerAddress };
    lab.changePolicy(host, { kind: "recordAdded", record: added });
  }
  it("what the VM sends fails the source check", () => {
    expect(endsOf(lab, "host2/Blue2", FROM_BLUE2)).toEqual(["dropped host2/Blue2 TX_SRC_POLICY"]);
  });
  it("what is sent to it is refused at the port", () => {
    expect(endsOf(lab, BLUE1, TO_BLUE2)[0]).toMatch(/^dropped host2\/nic1 RX_/);
  });
});

it.each([
  ["IPX", [0x81, 0x37]],
  ["LLDP", [0x88, 0xcc]],
  ["STP, which is IEEE 802.2", [0x00, 0x26]],
])("situation: non-IP is dropped: %s", (_name, etherType) => {
  const bytes = frame(M[2], M[1], Uint8Array.from([...etherType, ...new Uint8Array(46)]));
  expect(endsOf(labOf(), BLUE1, bytes)).toEqual([`dropped ${BLUE1} TX_NON_IP`]);
});

describe("situation: a VM uses the gateway address itself", () => {
  const lab = labOf();
  it("its ARP and IP are dropped by source policy", () => {
    expect(endsOf(lab, BLUE1, whoHas("10.0.0.7", M[1], "10.0.0.1"))).toEqual([`dropped ${BLUE1} TX_SRC_POLICY`]);
    expect(endsOf(lab, BLUE1, packet(M[2], M[1], "10.0.0.1", "10.0.0.7"))).toEqual([`dropped ${BLUE1} TX_SRC_POLICY`]);
  });
  it.each(["L2Only", "GatewayWildcard"])("of whatever record: %s", (type) => {
    const own = `lookupRecords: [{ customerAddress: 0.0.0.0, virtualSubnetID: 5001, macAddress: ${M[1]}, providerAddress: 192.168.4.11, type: ${type} }]\n`;
    const lab = createLab(`${LAB}${own}`);
    const refused = [`dropped ${BLUE1} TX_SRC_POLICY`];
    for (const router of ["10.0.0.1", "10.0.1.1"]) {
      expect(endsOf(lab, BLUE1, whoHas("10.0.0.7", M[1], router)), router).toEqual(refused);
      expect(endsOf(lab, BLUE1, packet(M[2], M[1], router, "10.0.0.7")), router).toEqual(refused);
    }
  });
  it("others get the gateway MAC", () => {
    const [, answer] = lab.send("host2/Blue2", whoHas("10.0.0.1", M[2], "10.0.0.7"));
    expect(Buffer.from(answer!.frame.slice(22, 28)).toString("hex")).toBe("02005e000101");
  });
});

it("a gateway VM speaks for the outside, and for a VM of the virtual network once no record gives the address to another", () => {
  const wildcard = `lookupRecords: [{ customerAddress: 0.0.0.0, virtualSubnetID: 5002, macAddress: ${M[3]}, providerAddress: 192.168.4.22, type: GatewayWildcard }]\n`;
  const lab = createLab(`${LAB}${wildcard}`);
  const as = (source: string) => endsOf(lab, "host2/Blue3", packet(ROUTER, M[3], source, "10.0.0.7"));
  expect(as("203.0.113.5")).toEqual(["delivered host2/Blue2"]);
  expect(as("10.0.0.5"), "Blue1's, of another virtual subnet and host").toEqual(["dropped host2/Blue3 TX_SRC_POLICY"]);
  const { misses } = lab.counters().flows;
  expect(as("10.0.0.5"), "again").toEqual(["dropped host2/Blue3 TX_SRC_POLICY"]);
  expect(lab.counters().flows.misses, "known by now").toBe(misses);
  withoutRecord(lab, "host2", 5001, "10.0.0.5");
  expect(as("10.0.0.5"), "the cached refusal is decided again").toEqual(["delivered host2/Blue2"]);
});

it("situation: gateway down: packets leave for its PA, and nothing comes back", () => {
  const route = `customerRoutes: [{ routingDomainID: "${BLUE}", virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.1.9 }]\n`;
  const lab = createLab(
    `${LAB}${route}`.replace(/ {6}- \{ name: Blue3.*\n/, "") +
      `lookupRecords: [{ customerAddress: 10.0.1.9, virtualSubnetID: 5002, macAddress: ${M[3]}, providerAddress: 192.168.4.22 }]\n`,
  );
  const bytes = packet(ROUTER, M[1], "10.0.0.5", "8.8.8.8");
  expect(wireOf(lab, BLUE1, bytes)).toMatchObject({ outerDestination: "192.168.4.22", vsid: 5002, to: M[3] });
  expect(endsOf(lab, BLUE1, bytes)[0]).toMatch(/^dropped host2\/nic1 RX_/);
  expect(lab.counters().ports[BLUE1]!.tx.packets).toBe(0);
});

it("situation: PA Duplicate: no sending with it, and what arrives for it is dropped", () => {
  const lab = labOf();
  const providerAddresses = lab
    .policyOf("host1")
    .providerAddresses.all.map((pa) => ({ ...pa, addressState: "Duplicate" as const }));
  lab.changePolicy("host1", { kind: "providerReplaced", providerAddresses });
  expect(endsOf(lab, BLUE1, TO_BLUE2)).toEqual([`dropped ${BLUE1} TX_NO_PA`]);
  expect(endsOf(lab, "host2/Blue2", FROM_BLUE2)).toEqual(["dropped host1/nic1 RX_PA_STATE"]);
});

it.each(["2012R2", "2012"])(
  "situation: ping to the gateway address: no answer, of the own subnet or another, mode %s",
  (mode) => {
    const lab = labOf(["apiVersion: hnv/v1", `apiVersion: hnv/v1\nmode: ${mode}`]);
    const echo = [8, 0, 0, 0, 0, 1, 0, 1];
    for (const target of ["10.0.0.1", "10.0.1.1"]) {
      expect(endsOf(lab, BLUE1, frame(ROUTER, M[1], icmp("10.0.0.5", target, echo)))).toEqual([
        `dropped ${BLUE1} TX_ROUTER_SELF`,
      ]);
    }
    const echo6 = icmpv6("fd00:10::5", "fd00:10::1", [128, 0, 0, 0, 0, 1, 0, 1]);
    expect(endsOf(lab, BLUE1, frame(ROUTER, M[1], echo6))).toEqual([`dropped ${BLUE1} TX_ROUTER_SELF`]);
    expect(endsOf(lab, BLUE1, packet(ALL, M[1], "10.0.0.5", "10.0.0.1")), "to all by MAC").toEqual([
      `dropped ${BLUE1} TX_ROUTER_SELF`,
    ]);
  },
);
