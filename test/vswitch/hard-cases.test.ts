/**
 * The hard cases of the policy, on whole labs. docs/POLICY-COVERAGE.md lists them. The sixteenth, scripts with smart quotes and wrapped
 * parameters, belongs to the import of scripts.
 */
import { describe, expect, it } from "vitest";
import { loadFabricFile } from "../../src/control/index.js";
import type { ProviderAddress } from "../../src/dataplane/policy/index.js";
import {
  createLab,
  type EmulatedLab,
  type HostPolicyChange,
  type LabEvent,
  type LookupRecord,
  PolicyError,
  parseAddress,
  type Vsid,
} from "../../src/index.js";
import { arp, frame, hexOf, ip, udp } from "../engine/build.js";
import { ALL, endsOf, packet, ROUTER, whoHas, wireOf } from "./whole-labs.js";

const BLUE = "{11111111-2222-3333-4444-000000005001}";
const RED = "{11111111-2222-3333-4444-000000006001}";
const M = { 1: "06-06-00-00-00-05", 2: "06-06-00-00-00-07", 3: "06-06-00-00-00-09", 4: "06-06-00-00-00-04" } as const;
const PA2 = "192.168.4.22";

/** Blue1 (5001) and Blue4 (5002) on host1, Blue2 (5001) and Blue3 (5002) on host2; Red the same as Blue1 and Blue2, MACs included. */
const LAB = `apiVersion: hnv/v1
routingDomains:
  - { name: Blue, id: "${BLUE}", subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24, "fd00:10::/64"] }, { vsid: 5002, prefixes: [10.0.1.0/24] }] }
  - { name: Red, id: "${RED}", subnets: [{ vsid: 6001, prefixes: [10.0.0.0/24] }] }
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms:
      - { name: Blue1, adapters: [{ mac: ${M[1]}, vsid: 5001, addresses: [10.0.0.5] }] }
      - { name: Blue4, adapters: [{ mac: ${M[4]}, vsid: 5002, addresses: [10.0.1.4] }] }
      - { name: Red1, adapters: [{ mac: ${M[1]}, vsid: 6001, addresses: [10.0.0.5] }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: ${PA2} }]
    vms:
      - { name: Blue2, adapters: [{ mac: ${M[2]}, vsid: 5001, addresses: [10.0.0.7] }] }
      - { name: Blue3, adapters: [{ mac: ${M[3]}, vsid: 5002, addresses: [10.0.1.9] }] }
      - { name: Red2, adapters: [{ mac: ${M[2]}, vsid: 6001, addresses: [10.0.0.7] }] }
`;
const labWith = (more = "", text = LAB): EmulatedLab => createLab(`${text}${more}\n`);
const swapped = (from: string, to: string): string => {
  expect(LAB.split(from)).toHaveLength(2);
  return LAB.replace(from, () => to);
};
const TO_BLUE2 = packet(M[2], M[1], "10.0.0.5", "10.0.0.7");
const TO_OUTSIDE = packet(ROUTER, M[1], "10.0.0.5", "8.8.8.8");
const findRecord = (lab: EmulatedLab, host: string, vsid: number, address: string): LookupRecord =>
  lab.policyOf(host).lookupRecords.find(vsid as Vsid, parseAddress(address)!)!;
const refusalOf = (lab: EmulatedLab, host: string, change: HostPolicyChange): string => {
  try {
    lab.changePolicy(host, change);
  } catch (error) {
    return error instanceof PolicyError ? error.code : String(error);
  }
  return "accepted";
};
const changeState = (lab: EmulatedLab, host: string, addressState: ProviderAddress["addressState"]): void => {
  const providerAddresses = lab.policyOf(host).providerAddresses.all.map((pa) => ({ ...pa, addressState }));
  lab.changePolicy(host, { kind: "providerReplaced", providerAddresses });
};

it("hard case: the same CA, even the same MAC, in two routing domains", () => {
  const lab = labWith();
  expect(endsOf(lab, "host1/Blue1", TO_BLUE2)).toEqual(["delivered host2/Blue2"]);
  expect(endsOf(lab, "host1/Red1", TO_BLUE2)).toEqual(["delivered host2/Red2"]);
  expect(wireOf(lab, "host1/Blue1", TO_BLUE2)).toEqual({ ...wireOf(lab, "host1/Red1", TO_BLUE2), vsid: 5001 });
});

it("hard case: a VSID bound to two routing domains is refused, in a file and by a command, and nothing changes", () => {
  const route = `{ routingDomainID: "${RED}", virtualSubnetID: 5001, destinationPrefix: 10.7.0.0/24, nextHop: 0.0.0.0 }`;
  const loaded = loadFabricFile(`${LAB}customerRoutes: [${route}]\n`, "lab.yaml");
  expect(loaded.ok ? [] : loaded.problems.map(({ code }) => code)).toEqual(["VSID_IN_TWO_ROUTING_DOMAINS"]);
  const lab = labWith();
  const { all } = lab.policyOf("host1").customerRoutes;
  const bound = { ...all[0]!, routingDomainID: RED, destinationPrefix: all[2]!.destinationPrefix };
  const change = { kind: "customerRoutesReplaced", routes: [...all, bound] } as const;
  expect(refusalOf(lab, "host1", change)).toBe("VSID_IN_TWO_ROUTING_DOMAINS");
  expect(lab.policyOf("host1").customerRoutes.all).toBe(all);
  expect(endsOf(lab, "host1/Blue1", TO_BLUE2)).toEqual(["delivered host2/Blue2"]);
});

it("hard case: routed traffic between two VMs on one host never sees the wire, and is routed all the same", () => {
  const lab = labWith();
  const [end, ...others] = lab.send("host1/Blue1", packet(ROUTER, M[1], "10.0.0.5", "10.0.1.4", 9));
  expect(others).toEqual([]);
  expect(end).toMatchObject({ verdict: "delivered", port: "host1/Blue4" });
  expect(hexOf(end!.frame)).toBe(hexOf(packet(M[4], ROUTER, "10.0.0.5", "10.0.1.4", 8)));
  expect(lab.counters().ports["host1/nic1"]!.tx.packets).toBe(0);
});

describe("hard case: overlapping routes with equal metric", () => {
  const route = (vsid: number, nextHop: string): string =>
    `\n  - { routingDomainID: "${BLUE}", virtualSubnetID: ${vsid}, destinationPrefix: 0.0.0.0/0, nextHop: ${nextHop}, metric: 7 }`;
  const used = (port: string, bytes: Uint8Array, ...routes: string[]): string => {
    const { vsid, to } = wireOf(labWith(`customerRoutes:${routes.join("")}`), port, bytes);
    return `${vsid} ${to}`;
  };
  const FROM_BLUE4 = packet(ROUTER, M[4], "10.0.1.4", "8.8.8.8");
  it("the one of the sender's own virtual subnet", () => {
    const both = [route(5001, "10.0.0.7"), route(5002, "10.0.1.9")];
    for (const routes of [both, [...both].reverse()]) {
      expect(used("host1/Blue1", TO_OUTSIDE, ...routes)).toBe(`5001 ${M[2]}`);
      expect(used("host1/Blue4", FROM_BLUE4, ...routes)).toBe(`5002 ${M[3]}`);
    }
  });
  it("a longer prefix is no tie, nor is a lower metric", () => {
    const longer = route(5002, "10.0.1.9").replace("0.0.0.0/0", "8.0.0.0/8").replace("metric: 7", "metric: 999");
    expect(used("host1/Blue1", TO_OUTSIDE, route(5001, "10.0.0.7"), longer)).toBe(`5002 ${M[3]}`);
    const cheaper = route(5002, "10.0.1.9").replace("metric: 7", "metric: 6");
    expect(used("host1/Blue1", TO_OUTSIDE, route(5001, "10.0.0.7"), cheaper)).toBe(`5002 ${M[3]}`);
  });
  it("within one virtual subnet the one that was written first", () => {
    const other = `\nlookupRecords: [{ customerAddress: 10.0.0.8, virtualSubnetID: 5001, macAddress: 06-06-00-00-00-08, providerAddress: ${PA2} }]`;
    const [a, b] = [route(5001, "10.0.0.7"), route(5001, "10.0.0.8")];
    expect(used("host1/Blue1", TO_OUTSIDE, a, b, other)).toBe(`5001 ${M[2]}`);
    expect(used("host1/Blue1", TO_OUTSIDE, b, a, other)).toBe("5001 06-06-00-00-00-08");
  });
});

it("hard case: wildcard in two virtual subnets of one routing domain: the route chooses the way out, both are let in", () => {
  const wildcard = (vsid: number, mac: string): string =>
    `\n  - { customerAddress: 0.0.0.0, virtualSubnetID: ${vsid}, macAddress: ${mac}, providerAddress: ${PA2}, type: GatewayWildcard }`;
  const lab = labWith(`lookupRecords:${wildcard(5001, M[2])}${wildcard(5002, M[3])}
customerRoutes: [{ routingDomainID: "${BLUE}", virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.1.9 }]`);
  expect(wireOf(lab, "host1/Blue1", TO_OUTSIDE)).toMatchObject({ vsid: 5002, to: M[3] });
  for (const [port, mac] of [
    ["host2/Blue3", M[3]],
    ["host2/Blue2", M[2]],
  ] as const) {
    expect(endsOf(lab, port, packet(ROUTER, mac, "8.8.8.8", "10.0.0.5"))).toEqual(["delivered host1/Blue1"]);
  }
});

it("hard case: a default route whose next hop has no record: dropped, and the explanation names route and next hop", () => {
  const lab = labWith(
    `customerRoutes: [{ routingDomainID: "${BLUE}", virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.1.254 }]`,
  );
  expect(endsOf(lab, "host1/Blue1", TO_OUTSIDE)).toEqual(["dropped host1/Blue1 TX_NO_RECORD"]);
  const note = lab.explain("host1/Blue1", TO_OUTSIDE)[0]!.layers.at(-1)!;
  expect(note.decided).toBe("no lookup record (VSID 5002, 10.0.1.254)");
  expect(note.record).toMatchObject({ virtualSubnetID: 5002, destinationPrefix: { length: 0 } });
});

it("hard case: an IPv6 CA over an IPv4 PA and the reverse in one virtual subnet", () => {
  const text = LAB.replace("mtu: 1600 }", 'mtu: 1600 }, { prefix: "2001:db8:4::/64", mtu: 1600 }')
    .replace("{ address: 192.168.4.11 }", '{ address: 192.168.4.11 }, { address: "2001:db8:4::11" }')
    .replace(`{ address: ${PA2} }`, `{ address: ${PA2} }, { address: "2001:db8:4::22" }`);
  const record = (ca: string, mac: string, pa: string): string =>
    `\n  - { customerAddress: "${ca}", virtualSubnetID: 5001, macAddress: ${mac}, providerAddress: "${pa}" }`;
  const records = [
    record("10.0.0.5", M[1], "2001:db8:4::11"),
    record("10.0.0.7", M[2], "2001:db8:4::22"),
    record("fd00:10::5", M[1], "192.168.4.11"),
    record("fd00:10::7", M[2], PA2),
  ];
  const lab = labWith(`lookupRecords:${records.join("")}`, text);
  const six = packet(M[2], M[1], "fd00:10::5", "fd00:10::7");
  expect(wireOf(lab, "host1/Blue1", TO_BLUE2)).toMatchObject({
    outerSource: "2001:db8:4::11",
    outerDestination: "2001:db8:4::22",
    source: "10.0.0.5",
  });
  expect(wireOf(lab, "host1/Blue1", six)).toMatchObject({ outerDestination: PA2, destination: "fd00:10::7" });
  for (const bytes of [TO_BLUE2, six]) expect(endsOf(lab, "host1/Blue1", bytes)).toEqual(["delivered host2/Blue2"]);
});

it("hard case: a record with the PA of a host where the VM's port has another VSID: refused there, in both VSIDs", () => {
  const text = swapped(
    `mac: ${M[2]}, vsid: 5001, addresses: [10.0.0.7]`,
    `mac: ${M[2]}, vsid: 5002, addresses: [10.0.1.7]`,
  );
  const lab = labWith(
    `lookupRecords: [{ customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: ${M[2]}, providerAddress: ${PA2} }]`,
    text,
  );
  expect(endsOf(lab, "host1/Blue1", TO_BLUE2)).toEqual([expect.stringMatching(/^dropped host2\/nic1 RX_/)]);
  const answer = packet(M[1], M[2], "10.0.0.7", "10.0.0.5");
  expect(endsOf(lab, "host2/Blue2", answer)).toEqual(["dropped host2/Blue2 TX_SRC_POLICY"]);
});

it("hard case: L2Only and Static for the same MAC: the Static address and any that is nobody's", () => {
  const lab = labWith(
    `lookupRecords: [{ customerAddress: 0.0.0.0, virtualSubnetID: 5001, macAddress: ${M[1]}, providerAddress: 192.168.4.11, type: L2Only }]`,
  );
  expect(endsOf(lab, "host1/Blue1", TO_BLUE2)).toEqual(["delivered host2/Blue2"]);
  expect(wireOf(lab, "host1/Blue1", packet(M[2], M[1], "10.0.0.55", "10.0.0.7"))).toMatchObject({
    source: "10.0.0.55",
  });
  expect(endsOf(lab, "host1/Blue1", whoHas("10.0.0.7", M[1], "10.0.0.7")), "another's address is Static").toEqual([
    "dropped host1/Blue1 TX_SRC_POLICY",
  ]);
  expect(endsOf(lab, "host2/Blue2", whoHas("10.0.0.55", M[2], "10.0.0.7")), "a flooding subnet now").toEqual([
    "delivered host1/Blue1",
  ]);
});

it("hard case: a move with a stale Dynamic record: the old host drops, a Static record takes its place", () => {
  const lab = labWith(
    `lookupRecords: [{ host: host1, customerAddress: 10.0.0.4, virtualSubnetID: 5001, macAddress: 06-06-00-00-00-44, providerAddress: ${PA2}, type: Dynamic }]`,
    swapped(`mac: ${M[4]}, vsid: 5002, addresses: [10.0.1.4]`, "mac: 06-06-00-00-00-44, vsid: 5001"), // it lives on host1 by now
  );
  const toMoved = packet("06-06-00-00-00-44", M[1], "10.0.0.5", "10.0.0.4");
  expect(endsOf(lab, "host1/Blue1", toMoved)[0]).toMatch(/^dropped host2\/nic1 RX_/);
  const stale = findRecord(lab, "host1", 5001, "10.0.0.4");
  const moved: LookupRecord = { ...stale, providerAddress: parseAddress("192.168.4.11")!, type: "Static" };
  lab.changePolicy("host1", { kind: "recordAdded", record: moved });
  expect(endsOf(lab, "host1/Blue1", toMoved)).toEqual(["delivered host1/Blue4"]);
  expect(refusalOf(lab, "host1", { kind: "recordAdded", record: stale }), "and stays").toBe("LOOKUP_RECORD_CONFLICT");
});

it("hard case: VSID 16777215 on a port: no record or route can match it, and nothing of it is on the wire", () => {
  const lab = labWith("", swapped(`mac: ${M[1]}, vsid: 5001, addresses: [10.0.0.5]`, `mac: ${M[1]}, vsid: 16777215`));
  expect(endsOf(lab, "host1/Blue1", TO_BLUE2)).toEqual(["dropped host1/Blue1 TX_SRC_POLICY"]);
  const discover = udp("0.0.0.0", "255.255.255.255", [68, 67], new Uint8Array(240));
  const dhcp = ip({ source: "0.0.0.0", destination: "255.255.255.255", protocol: 17, payload: discover });
  expect(endsOf(lab, "host1/Blue1", frame(ALL, M[1], dhcp))).toEqual(["dropped host1/Blue1 TX_NO_FLOOD"]);
  expect(endsOf(lab, "host1/Blue1", whoHas("10.0.0.7", M[1], "10.0.0.5"))[0]).toMatch(/^dropped host1\/Blue1/);
  expect(lab.counters().ports["host1/nic1"]!.tx.packets).toBe(0);
  const change = {
    kind: "recordAdded",
    record: { ...findRecord(lab, "host1", 5001, "10.0.0.7"), virtualSubnetID: 16777215 as Vsid },
  } as const;
  expect(refusalOf(lab, "host1", change)).toBe("VSID_OUT_OF_RANGE");
});

it("hard case: a Set without a filter changes every record of the host, all at once and of all tenants", () => {
  const lab = labWith();
  expect(endsOf(lab, "host1/Blue1", TO_BLUE2)).toEqual(["delivered host2/Blue2"]);
  const elsewhere = parseAddress("192.168.4.99")!;
  const records = lab.policyOf("host1").lookupRecords;
  const all = {
    ...records,
    [Symbol.iterator]: () => map(records, (record) => ({ ...record, providerAddress: elsewhere })),
  };
  lab.changePolicy("host1", { kind: "recordsReplaced", records: all as typeof records });
  for (const [port, bytes] of [
    ["host1/Blue1", TO_BLUE2],
    ["host1/Red1", TO_BLUE2],
    ["host1/Blue1", packet(ROUTER, M[1], "10.0.0.5", "10.0.1.4")],
  ] as const) {
    expect(endsOf(lab, port, bytes)).toEqual([`dropped ${port} TX_PA_UNRESOLVED`]);
  }
  expect(lab.policyOf("host2").lookupRecords.hasProviderAddress(elsewhere)).toBe(false);
});

function* map<From, To>(items: Iterable<From>, change: (item: From) => To): IterableIterator<To> {
  for (const item of items) yield change(item);
}

it("hard case: a PA in state Tentative neither sends nor receives, until it is Preferred", () => {
  const lab = labWith();
  changeState(lab, "host1", "Tentative");
  expect(endsOf(lab, "host1/Blue1", TO_BLUE2)).toEqual(["dropped host1/Blue1 TX_NO_PA"]);
  expect(endsOf(lab, "host2/Blue2", packet(M[1], M[2], "10.0.0.7", "10.0.0.5"))).toEqual([
    "dropped host1/nic1 RX_PA_STATE",
  ]);
  changeState(lab, "host1", "Preferred");
  expect(endsOf(lab, "host1/Blue1", TO_BLUE2)).toEqual(["delivered host2/Blue2"]);
});

it.each(["Invalid", "Tentative", "Duplicate"] as const)(
  "hard case: within a host whose PA is in state %s its records are Unusable, as if there were none",
  (state) => {
    const events: LabEvent[] = [];
    const rule = { ...findRecord(labWith(), "host1", 5002, "10.0.1.4"), rule: "TranslationMethodNone" } as const;
    const lab = createLab(LAB, { onEvent: (event) => events.push(event) });
    const toBlue4 = packet(ROUTER, M[1], "10.0.0.5", "10.0.1.4");
    const question = { destinationCustomerAddress: "10.0.1.4", sourceVirtualSubnetID: 5001 };
    expect(endsOf(lab, "host1/Blue1", toBlue4)).toEqual(["delivered host1/Blue4"]);
    changeState(lab, "host1", state);
    expect(endsOf(lab, "host1/Blue1", toBlue4)).toEqual(["dropped host1/Blue1 TX_NO_RECORD"]);
    expect(lab.explain("host1/Blue1", toBlue4)[0]!.layers.at(-1)).toMatchObject({
      decided: `the record of 10.0.1.4 is Unusable: provider address 192.168.4.11 is ${state}`,
    });
    expect(lab.selectNextHop("host1", question)).toMatchObject({ reason: { reason: "TX_NO_RECORD" } });
    lab.pass(2_000_000n);
    expect(events).toMatchObject([{ kind: "policyMismatch", customerAddress: "10.0.1.4", providerAddress: null }]);

    lab.changePolicy("host1", { kind: "recordReplaced", record: rule });
    expect(endsOf(lab, "host1/Blue1", toBlue4), "None is not Unusable").toEqual(["delivered host1/Blue4"]);
    lab.changePolicy("host1", { kind: "recordReplaced", record: { ...rule, rule: "TranslationMethodEncap" } });
    for (const usable of ["Deprecated", "Preferred"] as const) {
      changeState(lab, "host1", usable);
      expect(endsOf(lab, "host1/Blue1", toBlue4), usable).toEqual(["delivered host1/Blue4"]);
      expect(lab.selectNextHop("host1", question)).toMatchObject({ nextHopAddress: "10.0.1.4" });
    }
  },
);

it("hard case: an ARP probe for another VM's CA is answered with that VM's MAC, one for the own CA is not", () => {
  const lab = labWith();
  const probe = (target: string): Uint8Array =>
    frame(ALL, M[1], arp({ operation: 1, senderMac: M[1], sender: "0.0.0.0", target }));
  const [taken, answer] = lab.send("host1/Blue1", probe("10.0.0.7"));
  expect([taken!.verdict, answer!.verdict, answer!.port]).toEqual(["consumed", "delivered", "host1/Blue1"]);
  expect(hexOf(answer!.frame.slice(22, 32))).toBe("0606000000070a000007");
  expect(endsOf(lab, "host1/Blue1", probe("10.0.0.5"))).toEqual(["consumed host1/Blue1"]);
});

it("hard case: a broadcast with only dummy-PA records goes to local ports, and is dropped where there are none", () => {
  const dummies = `lookupRecords:
  - { customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: ${M[2]}, providerAddress: 169.254.254.254 }
  - { customerAddress: 10.0.1.9, virtualSubnetID: 5002, macAddress: ${M[3]}, providerAddress: 192.168.4.11 }`;
  const lab = labWith(dummies);
  const toAll = (mac: string, from: string, to: string): Uint8Array => packet(ALL, mac, from, to);
  expect(endsOf(lab, "host1/Blue1", toAll(M[1], "10.0.0.5", "10.0.0.255"))).toEqual([
    "dropped host1/Blue1 TX_NO_FLOOD",
  ]);
  expect(endsOf(lab, "host1/Blue4", toAll(M[4], "10.0.1.4", "255.255.255.255")), "the host's own PA").toEqual([
    "dropped host1/Blue4 TX_NO_FLOOD",
  ]);
  const neighbor = swapped(
    `mac: ${M[4]}, vsid: 5002, addresses: [10.0.1.4]`,
    `mac: ${M[4]}, vsid: 5001, addresses: [10.0.0.4]`,
  );
  expect(endsOf(labWith(dummies, neighbor), "host1/Blue1", toAll(M[1], "10.0.0.5", "10.0.0.255"))).toEqual([
    "delivered host1/Blue4",
  ]);
});
