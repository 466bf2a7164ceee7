import { describe, expect, test } from "vitest";
import {
  ANY_STAMP,
  changeHostPolicy,
  DEFAULT_GATEWAY_MAC,
  DEFAULT_NVE_SETTINGS,
  type HostPolicyChange,
  type HostPolicyParts,
  LookupRecords,
  macRecordStamp,
  makeHostPolicy,
  membersStamp,
  natStamp,
  providerStamp,
  recordStamp,
  routesStamp,
} from "../../../src/dataplane/policy/index.js";
import type { NodeIndex } from "../../../src/dataplane/transposition/transposition.js";
import { BLUE, ip, mac, prefix, record, route, vsid } from "./samples.js";

const NODE = 3 as NodeIndex;
const VM = record(5001, "10.0.0.5", "06-06-00-00-00-05", "192.168.4.11");
const GATEWAY_4 = record(5001, "10.0.0.1", "06-06-00-00-01-01", "192.168.4.11");
const GATEWAY_6 = record(5001, "fd00:10::1", "06-06-00-00-01-06", "192.168.4.11");
const ROUTES = [
  route(BLUE, 5001, "10.0.0.0/24"),
  route(BLUE, 5001, "fd00:10::/64", "::"),
  route(BLUE, 5002, "10.0.1.0/24"),
];
const PA = {
  providerAddress: ip("192.168.4.11"),
  interfaceIndex: 1,
  prefixLength: 24,
  vlanID: 0,
  macAddress: mac("02-00-C0-A8-04-0B"),
  addressState: "Preferred",
} as const;

const PARTS: HostPolicyParts = {
  node: NODE,
  settings: { ...DEFAULT_NVE_SETTINGS, dscp: { model: "uniform" } },
  lookupRecords: LookupRecords.from([VM]),
  customerRoutes: ROUTES,
  providerAddresses: [PA],
  providerRoutes: [],
  neighbors: [],
  interfaceMtus: [1600],
};
const policy = makeHostPolicy(PARTS);
const withRecords = (...records: (typeof VM)[]) =>
  makeHostPolicy({ ...PARTS, lookupRecords: LookupRecords.from([VM, ...records]) });

describe("gateway MAC", () => {
  const isRouter = (p: typeof policy, text: string): boolean => p.isGatewayMac(vsid(5001), mac(text));

  test("without a record, the default", () => {
    expect(DEFAULT_GATEWAY_MAC).toBe(mac("02-00-5E-00-01-01"));
    for (const family of [4, 6] as const) {
      expect(policy.gatewayMac(vsid(5001), family)).toBe(DEFAULT_GATEWAY_MAC);
      expect(policy.gatewayMac(vsid(7777), family)).toBe(DEFAULT_GATEWAY_MAC);
    }
    expect(isRouter(policy, "02-00-5E-00-01-01")).toBe(true);
    expect(isRouter(policy, "06-06-00-00-01-01")).toBe(false);
  });

  test("that of the gateway's record of each family; both count for both, and the default goes on counting", () => {
    const only6 = withRecords(GATEWAY_6);
    expect(only6.gatewayMac(vsid(5001), 6)).toBe(GATEWAY_6.macAddress);
    expect(only6.gatewayMac(vsid(5001), 4), "no record of IPv4").toBe(DEFAULT_GATEWAY_MAC);
    const both = withRecords(GATEWAY_6, GATEWAY_4);
    expect(both.gatewayMac(vsid(5001), 4)).toBe(GATEWAY_4.macAddress);
    expect(both.gatewayMac(vsid(5001), 6)).toBe(GATEWAY_6.macAddress);
    expect(both.gatewayMac(vsid(5002), 4), "of another subnet").toBe(DEFAULT_GATEWAY_MAC);
    expect(isRouter(both, "06-06-00-00-01-01")).toBe(true);
    expect(isRouter(both, "06-06-00-00-01-06")).toBe(true);
    expect(isRouter(both, "02-00-5E-00-01-01")).toBe(true);
    expect(isRouter(both, "06-06-00-00-00-05")).toBe(false);
    expect(both.isGatewayMac(vsid(5002), GATEWAY_4.macAddress)).toBe(false);
  });
});

test("MTU by interface, 1500 where nobody said", () => {
  expect(policy.interfaceMtu(1)).toBe(1600);
  expect(policy.interfaceMtu(2)).toBe(1500);
});

describe("changes: the next generation, and exactly the stamps of what changed", () => {
  const record5001 = recordStamp(NODE, vsid(5001), ip("10.0.0.5"));
  const members = (of: number): number => membersStamp(NODE, vsid(of));
  const newVm = record(5002, "10.0.1.9", "06-06-00-00-00-09", "192.168.4.22");
  const moved = { ...VM, providerAddress: ip("192.168.4.22") };
  const l2 = record(5001, "0.0.0.0", "06-06-00-00-00-0A", "192.168.4.11", "L2Only");
  const gatewayStamp = recordStamp(NODE, vsid(5001), ip("10.0.0.1"));
  const otherRoutes = [...ROUTES, route(BLUE, 5003, "10.0.3.0/24")];

  const ledger: [string, HostPolicyChange, number[]][] = [
    [
      "a record where none was",
      { kind: "recordAdded", record: newVm },
      [recordStamp(NODE, vsid(5002), ip("10.0.1.9")), members(5002)],
    ],
    ["a record gone, the last of its host", { kind: "recordRemoved", record: VM }, [record5001, members(5001)]],
    ["a record changed", { kind: "recordReplaced", record: moved }, [record5001, members(5001)]],
    [
      "a record changed that stays where it was",
      { kind: "recordReplaced", record: { ...VM, vmName: "other" } },
      [record5001],
    ],
    ["a record found by MAC", { kind: "recordAdded", record: l2 }, [macRecordStamp(NODE, vsid(5001))]],
    ["a gateway's record", { kind: "recordAdded", record: GATEWAY_4 }, [gatewayStamp, routesStamp(NODE)]],
    [
      "all records: those that differ",
      { kind: "recordsReplaced", records: LookupRecords.from([moved, newVm]) },
      [record5001, recordStamp(NODE, vsid(5002), ip("10.0.1.9")), members(5001), members(5002)],
    ],
    ["all records, none differs", { kind: "recordsReplaced", records: LookupRecords.from([{ ...VM }]) }, []],
    ["routes", { kind: "customerRoutesReplaced", routes: otherRoutes }, [routesStamp(NODE)]],
    ["neighbors", { kind: "providerReplaced", neighbors: [] }, [providerStamp(NODE)]],
    ["settings", { kind: "settingsReplaced", settings: { ...PARTS.settings, flowId: "zero" } }, [providerStamp(NODE)]],
  ];
  test.each(ledger)("%s", (_, change, stamps) => {
    const before = [...policy.lookupRecords];
    policy.lookupRecords.providerAddressesOf(vsid(5001)); // somebody floods, so it is known who came and who left
    const result = changeHostPolicy(policy, change);
    expect(result.policy.generation).toBe(2);
    expect(result.policy.node).toBe(NODE);
    expect(result.stamps).toEqual([ANY_STAMP, ...stamps]);
    expect(policy.generation).toBe(1);
    expect([...policy.lookupRecords], "the old snapshot").toEqual(before);
  });

  test("IP Rewrite: what a provider address stands for moves when a record gets it, loses it or changes", () => {
    const [pa, other] = [ip("192.168.4.101"), ip("192.168.4.102")];
    const nat = { ...newVm, rule: "TranslationMethodNat", providerAddress: pa } as const;
    const added = changeHostPolicy(policy, { kind: "recordAdded", record: nat });
    expect(added.stamps).toContain(natStamp(NODE, pa));
    const renamed = changeHostPolicy(added.policy, { kind: "recordReplaced", record: { ...nat, vmName: "other" } });
    expect(renamed.stamps).toContain(natStamp(NODE, pa));
    const moving = changeHostPolicy(added.policy, {
      kind: "recordReplaced",
      record: { ...nat, providerAddress: other },
    });
    expect(moving.stamps).toEqual(expect.arrayContaining([natStamp(NODE, pa), natStamp(NODE, other)]));
    expect(moving.policy.lookupRecords.findNat(pa)).toBeUndefined();
    const encap = changeHostPolicy(added.policy, {
      kind: "recordReplaced",
      record: { ...nat, rule: "TranslationMethodEncap" },
    });
    expect(encap.stamps).toContain(natStamp(NODE, pa));
    expect(encap.policy.lookupRecords.findNat(pa)).toBeUndefined();
    expect(changeHostPolicy(added.policy, { kind: "recordRemoved", record: nat }).stamps).toContain(natStamp(NODE, pa));

    const second = { ...VM, rule: "TranslationMethodNat", providerAddress: pa } as const;
    const refused = expect.objectContaining({ code: "LOOKUP_RECORD_NAT_SHARED_PA" });
    expect(() => changeHostPolicy(added.policy, { kind: "recordReplaced", record: second })).toThrowError(refused);
    const third = { ...second, customerAddress: ip("10.0.0.99") };
    expect(() => changeHostPolicy(added.policy, { kind: "recordAdded", record: third })).toThrowError(refused);
  });

  test("who floods nothing hears that its members may have moved", () => {
    const quiet = makeHostPolicy({ ...PARTS, lookupRecords: LookupRecords.from([VM]) });
    const { stamps } = changeHostPolicy(quiet, { kind: "recordReplaced", record: { ...VM, vmName: "other" } });
    expect(stamps).toEqual([ANY_STAMP, record5001, members(5001)]);
  });

  test("what changed is there, the rest is shared", () => {
    const step1 = changeHostPolicy(policy, { kind: "recordReplaced", record: moved }).policy;
    expect(step1.lookupRecords.find(vsid(5001), ip("10.0.0.5"))).toEqual(moved);
    expect(policy.lookupRecords.find(vsid(5001), ip("10.0.0.5"))).toEqual(VM);
    expect(step1.customerRoutes).toBe(policy.customerRoutes);
    const far = { interfaceIndex: 1, destinationPrefix: prefix("0.0.0.0/0"), nextHop: ip("192.168.4.1"), metric: 0 };
    const step2 = changeHostPolicy(step1, {
      kind: "providerReplaced",
      providerRoutes: [far],
      interfaceMtus: [9000],
    }).policy;
    expect(step2.generation).toBe(3);
    expect(step2.providerRoutes.nextHop(1, ip("198.51.100.1"))).toEqual(ip("192.168.4.1"));
    expect(step2.providerRoutes.nextHop(1, ip("192.168.4.22")), "addresses stayed").toEqual(ip("192.168.4.22"));
    expect(step2.interfaceMtu(1)).toBe(9000);
    expect(step2.lookupRecords).toBe(step1.lookupRecords);
  });

  test("a Static record in place of a Dynamic one moves their common bucket", () => {
    const dynamic = { ...VM, type: "Dynamic", macAddress: mac("06-06-00-00-00-99") } as const;
    const learnt = makeHostPolicy({ ...PARTS, lookupRecords: LookupRecords.from([dynamic]) });
    learnt.lookupRecords.providerAddressesOf(vsid(5001));
    expect(changeHostPolicy(learnt, { kind: "recordAdded", record: VM }).stamps).toEqual([ANY_STAMP, record5001]);
  });

  test.each<[string, HostPolicyChange]>([
    ["LOOKUP_RECORD_CONFLICT", { kind: "recordAdded", record: moved }],
    ["VSID_OUT_OF_RANGE", { kind: "recordAdded", record: { ...newVm, virtualSubnetID: vsid(5) } }],
    ["LOOKUP_RECORD_NOT_FOUND", { kind: "recordRemoved", record: newVm }],
    ["LOOKUP_RECORD_NOT_FOUND", { kind: "recordReplaced", record: { ...VM, macAddress: mac("06-06-00-00-00-06") } }],
    [
      "CUSTOMER_ROUTE_OVERLAP",
      { kind: "customerRoutesReplaced", routes: [...ROUTES, route(BLUE, 5009, "10.0.0.0/25")] },
    ],
    ["PROVIDER_ADDRESS_EXISTS", { kind: "providerReplaced", providerAddresses: [PA, PA] }],
  ])("refused: %s", (code, change) => {
    expect(() => changeHostPolicy(policy, change)).toThrowError(expect.objectContaining({ name: "PolicyError", code }));
  });
});

describe("Windows Server 2012 has no types: a record without an address is a gateway's there", () => {
  const in2012 = makeHostPolicy({ ...PARTS, settings: { ...DEFAULT_NVE_SETTINGS, mode: "2012" } });
  const written = (type: "Static" | "L2Only", pa = "192.168.4.11") => ({
    ...record(5001, "0.0.0.0", "06-06-00-00-00-60", pa),
    type,
  });
  const typesIn = (changed: typeof policy): readonly string[] =>
    [...changed.lookupRecords]
      .filter(({ macAddress }) => macAddress === mac("06-06-00-00-00-60"))
      .map(({ type }) => type);

  test.each(["Static", "L2Only"] as const)(
    "written as %s it is added, replaced and removed as a GatewayWildcard",
    (type) => {
      const added = changeHostPolicy(in2012, { kind: "recordAdded", record: written(type) }).policy;
      expect(typesIn(added)).toEqual(["GatewayWildcard"]);
      const replaced = changeHostPolicy(added, {
        kind: "recordReplaced",
        record: written(type, "192.168.4.12"),
      }).policy;
      expect(replaced.lookupRecords.wildcards(vsid(5001)).map(({ providerAddress }) => providerAddress)).toEqual([
        ip("192.168.4.12"),
      ]);
      const removed = changeHostPolicy(replaced, { kind: "recordRemoved", record: written(type) }).policy;
      expect(typesIn(removed)).toEqual([]);
    },
  );

  test("and in a whole table", () => {
    const records = LookupRecords.from([VM, written("L2Only")]);
    expect(typesIn(changeHostPolicy(in2012, { kind: "recordsReplaced", records }).policy)).toEqual(["GatewayWildcard"]);
    const same = LookupRecords.from([VM]);
    expect(changeHostPolicy(in2012, { kind: "recordsReplaced", records: same }).policy.lookupRecords).toBe(same);
  });

  test("2012R2 has them", () => {
    expect(typesIn(changeHostPolicy(policy, { kind: "recordAdded", record: written("L2Only") }).policy)).toEqual([
      "L2Only",
    ]);
    expect(() => changeHostPolicy(policy, { kind: "recordAdded", record: written("Static") })).toThrow(
      "A record of type Static cannot be for 0.0.0.0",
    );
  });

  test("a record that was written when the host was of 2012R2 can still be removed", () => {
    const before = changeHostPolicy(policy, { kind: "recordAdded", record: written("L2Only") }).policy;
    const now = changeHostPolicy(before, { kind: "settingsReplaced", settings: in2012.settings }).policy;
    expect(typesIn(changeHostPolicy(now, { kind: "recordRemoved", record: written("L2Only") }).policy)).toEqual([]);
  });
});
