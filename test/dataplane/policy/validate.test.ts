import { describe, expect, test } from "vitest";
import {
  type Checked,
  checkCustomerRoute,
  checkCustomerRoutes,
  checkLookupRecord,
  checkMacAddress,
  checkNeighbors,
  checkNewLookupRecord,
  checkPrefix,
  checkProviderAddresses,
  checkProviderRoutes,
  checkVlanID,
  checkVsid,
  lookupRecordInMode,
  type PolicyError,
  type ProviderAddress,
  parseRoutingDomainID,
} from "../../../src/dataplane/policy/index.js";
import { type Mac, ZERO_MAC } from "../../../src/dataplane/wire/index.js";
import { BLUE, ip, mac, prefix, RED, record, route } from "./samples.js";

const code = (checked: Checked): string | undefined => checked?.code;
const codes = (errors: readonly PolicyError[]): string[] => errors.map((error) => error.code);

describe("values", () => {
  test.each([
    [-1, false],
    [0, false],
    [4095, false],
    [4096, true],
    [16_777_214, true],
    [16_777_215, false],
    [5001.5, false],
    [Number.NaN, false],
  ])("VSID %d: %s", (vsid, good) => {
    expect(code(checkVsid(vsid))).toBe(good ? undefined : "VSID_OUT_OF_RANGE");
  });

  test.each([
    [0, true],
    [4094, true],
    [4095, false],
    [-1, false],
  ])("VLAN %d: %s", (vlan, good) => {
    expect(code(checkVlanID(vlan))).toBe(good ? undefined : "VLAN_OUT_OF_RANGE");
  });

  test("MAC addresses: no zero, no group bit, 48 bits", () => {
    expect(checkMacAddress(mac("06-06-00-00-00-05"))).toBeUndefined();
    expect(checkMacAddress(mac("FE-FF-FF-FF-FF-FF"))).toBeUndefined();
    for (const wrong of [ZERO_MAC, mac("01-00-5E-00-00-01"), mac("FF-FF-FF-FF-FF-FF"), (2 ** 48) as Mac, -1 as Mac]) {
      expect(code(checkMacAddress(wrong)), String(wrong)).toBe("MAC_ADDRESS_INVALID");
    }
  });

  test("prefixes: length within the family, no host bits; the error tells what would do", () => {
    expect(checkPrefix(prefix("0.0.0.0/0"))).toBeUndefined();
    expect(code(checkPrefix({ address: ip("10.0.0.0"), length: 33 }))).toBe("PREFIX_LENGTH_OUT_OF_RANGE");
    expect(checkPrefix({ address: ip("fd00::"), length: 33 })).toBeUndefined();
    expect(code(checkPrefix({ address: ip("fd00::"), length: 129 }))).toBe("PREFIX_LENGTH_OUT_OF_RANGE");
    expect(checkPrefix({ address: ip("10.0.0.5"), length: 24 })).toMatchObject({
      code: "PREFIX_HOST_BITS",
      accepted: "10.0.0.0/24",
    });
  });

  test("routing domain ids: braces optional, any case, stored in one form", () => {
    expect(parseRoutingDomainID("abcdef01-2222-3333-4444-000000005001")).toBe("{ABCDEF01-2222-3333-4444-000000005001}");
    expect(parseRoutingDomainID("{11111111-2222-3333-4444-000000005001}")).toBe(BLUE);
    expect(parseRoutingDomainID("Blue")).toBeUndefined();
  });
});

describe("lookup records", () => {
  const good = record(5001, "10.0.0.5", "06-06-00-00-00-05", "192.168.4.11");

  test.each([
    [good, undefined],
    [{ ...good, customerAddress: ip("fd00::5") }, undefined], // the families of CA and PA are free
    [record(4095, "10.0.0.5", "06-06-00-00-00-05", "192.168.4.11"), "VSID_OUT_OF_RANGE"],
    [record(5001, "10.0.0.5", "07-06-00-00-00-05", "192.168.4.11"), "MAC_ADDRESS_INVALID"],
    [record(5001, "0.0.0.0", "06-06-00-00-00-05", "192.168.4.11"), "LOOKUP_RECORD_CUSTOMER_ADDRESS"],
    [record(5001, "::", "06-06-00-00-00-05", "192.168.4.11", "Dynamic"), "LOOKUP_RECORD_CUSTOMER_ADDRESS"],
    [record(5001, "::", "06-06-00-00-00-05", "192.168.4.11", "L2Only"), undefined],
    [record(5001, "::5", "06-06-00-00-00-05", "192.168.4.11", "GatewayWildcard"), "LOOKUP_RECORD_CUSTOMER_ADDRESS"],
    [record(5001, "10.0.0.5", "06-06-00-00-00-05", "0.0.0.0"), "LOOKUP_RECORD_PROVIDER_ADDRESS"],
    [record(5001, "10.0.0.5", "06-06-00-00-00-05", "239.1.1.1"), "LOOKUP_RECORD_PROVIDER_ADDRESS"],
    [record(5001, "224.0.0.5", "06-06-00-00-00-05", "239.1.1.1"), undefined],
    [{ ...good, useVmMACAddress: true }, "LOOKUP_RECORD_USE_VM_MAC"],
    [{ ...good, useVmMACAddress: true, rule: "TranslationMethodNat" } as const, undefined],
  ])("%#: %o", (candidate, expected) => {
    expect(code(checkLookupRecord(candidate))).toBe(expected);
  });

  test("a record may be new, or Static in place of Dynamic", () => {
    const dynamic = { ...good, type: "Dynamic" } as const;
    expect(checkNewLookupRecord(good, undefined)).toBeUndefined();
    expect(checkNewLookupRecord(good, dynamic)).toBeUndefined();
    expect(code(checkNewLookupRecord(dynamic, good))).toBe("LOOKUP_RECORD_CONFLICT");
    expect(code(checkNewLookupRecord(dynamic, dynamic))).toBe("LOOKUP_RECORD_CONFLICT");
    expect(code(checkNewLookupRecord(good, good))).toBe("LOOKUP_RECORD_CONFLICT");
  });

  test("2012 has no types: a record for 0.0.0.0 is a gateway's there", () => {
    const any = { ...good, customerAddress: ip("0.0.0.0") };
    expect(lookupRecordInMode(any, "2012").type).toBe("GatewayWildcard");
    expect(lookupRecordInMode(any, "2012R2")).toBe(any);
    expect(lookupRecordInMode(good, "2012")).toBe(good);
  });
});

describe("customer routes", () => {
  test.each([
    [route(BLUE, 5001, "10.0.0.0/24"), undefined],
    [route(BLUE, 5001, "fd00::/64"), undefined], // 0.0.0.0 means on-link, whatever the family
    [route(BLUE, 5001, "10.0.0.0/24", "fd00::2"), "CUSTOMER_ROUTE_NEXT_HOP"],
    [route(BLUE, 5001, "10.0.0.0/24", "224.0.0.1"), "CUSTOMER_ROUTE_NEXT_HOP"],
    [route(BLUE.toLowerCase().slice(1), 5001, "10.0.0.0/24"), "ROUTING_DOMAIN_ID_INVALID"],
    [route(BLUE, 16_777_215, "10.0.0.0/24"), "VSID_OUT_OF_RANGE"],
    [route(BLUE, 5001, "10.0.0.0/24", "0.0.0.0", 2 ** 32), "METRIC_OUT_OF_RANGE"],
    [
      { ...route(BLUE, 5001, "10.0.0.0/24"), destinationPrefix: { address: ip("10.0.0.1"), length: 24 } },
      "PREFIX_HOST_BITS",
    ],
  ])("%#: %o", (candidate, expected) => {
    expect(code(checkCustomerRoute(candidate))).toBe(expected);
  });

  const subnets = [
    route(BLUE, 5001, "10.0.0.0/24"),
    route(BLUE, 5001, "fd00:10::/64"),
    route(BLUE, 5002, "10.0.1.0/24"),
  ];

  test("one on-link prefix per VSID and family; routes by a gateway beside it are fine", () => {
    const second = route(BLUE, 5001, "10.7.0.0/24");
    expect(checkCustomerRoutes([...subnets, route(BLUE, 5001, "0.0.0.0/0", "10.0.0.2")])).toEqual([]);
    expect(checkCustomerRoutes([...subnets, second])).toMatchObject([
      { code: "CUSTOMER_ROUTE_SECOND_ON_LINK", value: second },
    ]);
  });

  test("on-link prefixes of one routing domain do not overlap; those of two may", () => {
    for (const overlapping of ["10.0.1.0/24", "10.0.1.128/25", "10.0.0.0/16"]) {
      const later = route(BLUE, 5003, overlapping);
      const errors = checkCustomerRoutes([...subnets, later]);
      expect(new Set(codes(errors)), overlapping).toEqual(new Set(["CUSTOMER_ROUTE_OVERLAP"]));
      expect(
        errors.every((error) => error.value === later),
        overlapping,
      ).toBe(true);
    }
    expect(checkCustomerRoutes([...subnets, route(BLUE, 5003, "10.0.2.0/24")])).toEqual([]);
    expect(checkCustomerRoutes([...subnets, route(RED, 6001, "10.0.1.0/24")])).toEqual([]);
  });

  test("a VSID in two routing domains, a route twice", () => {
    expect(codes(checkCustomerRoutes([...subnets, route(RED, 5002, "10.5.0.0/24", "10.5.0.9")]))).toEqual([
      "VSID_IN_TWO_ROUTING_DOMAINS",
    ]);
    expect(codes(checkCustomerRoutes([...subnets, { ...subnets[0]!, metric: 7 }]))).toEqual(["CUSTOMER_ROUTE_EXISTS"]);
  });

  test("the distributed router is no next hop, whichever of the two routes came first", () => {
    const wrong = route(BLUE, 5001, "0.0.0.0/0", "10.0.0.1");
    expect(checkCustomerRoutes([...subnets, wrong])).toMatchObject([
      { code: "CUSTOMER_ROUTE_NEXT_HOP_IS_GATEWAY", value: wrong },
    ]);
    expect(codes(checkCustomerRoutes([wrong, ...subnets]))).toEqual(["CUSTOMER_ROUTE_NEXT_HOP_IS_GATEWAY"]);
    expect(checkCustomerRoutes([...subnets, route(BLUE, 5001, "0.0.0.0/0", "10.0.0.11")])).toEqual([]);
  });
});

describe("the provider side", () => {
  const pa = (address: string, more: Partial<ProviderAddress> = {}): ProviderAddress => ({
    providerAddress: ip(address),
    interfaceIndex: 1,
    prefixLength: 24,
    vlanID: 0,
    macAddress: mac("02-00-C0-A8-04-0B"),
    addressState: "Preferred",
    ...more,
  });

  test.each([
    [pa("192.168.4.11"), []],
    [pa("2001:db8::1", { prefixLength: 64 }), []],
    [pa("192.168.4.11", { prefixLength: 33 }), ["PREFIX_LENGTH_OUT_OF_RANGE"]],
    [pa("192.168.4.11", { vlanID: 4095 }), ["VLAN_OUT_OF_RANGE"]],
    [pa("192.168.4.11", { interfaceIndex: 0 }), ["INTERFACE_INDEX_INVALID"]],
    [pa("192.168.4.11", { macAddress: ZERO_MAC }), ["MAC_ADDRESS_INVALID"]],
    [pa("239.1.1.1"), ["PROVIDER_ADDRESS_INVALID"]],
    [pa("255.255.255.255"), ["PROVIDER_ADDRESS_INVALID"]],
  ])("%#: %o", (candidate, expected) => {
    expect(codes(checkProviderAddresses([candidate]))).toEqual(expected);
  });

  test("nothing twice", () => {
    const route = { interfaceIndex: 1, destinationPrefix: prefix("10.0.0.0/8"), nextHop: ip("192.168.4.1"), metric: 0 };
    const neighbor = { address: ip("192.168.4.1"), mac: mac("02-00-C0-A8-04-01") };
    expect(codes(checkProviderAddresses([pa("192.168.4.11"), pa("192.168.4.11", { interfaceIndex: 2 })]))).toEqual([
      "PROVIDER_ADDRESS_EXISTS",
    ]);
    expect(codes(checkProviderRoutes([route, { ...route, metric: 9 }]))).toEqual(["PROVIDER_ROUTE_EXISTS"]);
    expect(codes(checkProviderRoutes([{ ...route, nextHop: ip("fe80::1") }]))).toEqual(["PROVIDER_ROUTE_NEXT_HOP"]);
    expect(codes(checkNeighbors([neighbor, neighbor]))).toEqual(["NEIGHBOR_EXISTS"]);
    expect(codes(checkNeighbors([{ ...neighbor, address: ip("224.0.0.1") }]))).toEqual(["NEIGHBOR_ADDRESS_INVALID"]);
  });
});
