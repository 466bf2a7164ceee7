import { describe, expect, test } from "vitest";
import {
  type LookupRecord,
  LookupRecords,
  LookupRecordsBuilder,
  PolicyError,
} from "../../../src/dataplane/policy/index.js";
import { formatAddress, ipv4Address, type Mac, sameAddress, type Vsid } from "../../../src/dataplane/wire/index.js";
import { type Chance, chanceFromSeed, ip, mac, record, vsid } from "./samples.js";

/** What the table shall be: a list, walked every time. */
class NaiveRecords {
  list: LookupRecord[] = [];

  find(virtualSubnetID: Vsid, ca: LookupRecord["customerAddress"]): LookupRecord | undefined {
    return this.list.find(
      (r) => !isByMac(r) && r.virtualSubnetID === virtualSubnetID && sameAddress(r.customerAddress, ca),
    );
  }
  findNat(pa: LookupRecord["providerAddress"]): LookupRecord | undefined {
    return this.list.find(
      (r) => !isByMac(r) && r.rule === "TranslationMethodNat" && sameAddress(r.providerAddress, pa),
    );
  }
  /** One record for each provider address of IP Rewrite. */
  asAllowed(record: LookupRecord): LookupRecord {
    const holder = this.findNat(record.providerAddress);
    const isAllowed = !holder || isByMac(record) || takesPlaceOf(record, holder);
    return isAllowed ? record : { ...record, rule: "TranslationMethodEncap", useVmMACAddress: false };
  }
  put(fresh: LookupRecord): void {
    this.list = this.list.filter((old) => !takesPlaceOf(fresh, old));
    this.list.push(fresh);
  }
  remove(gone: LookupRecord): void {
    this.list = this.list.filter(
      (r) => !(takesPlaceOf(gone, r) && gone.type === r.type && gone.macAddress === r.macAddress),
    );
  }
}

const isByMac = (r: LookupRecord): boolean => r.type === "L2Only" || r.type === "GatewayWildcard";
const takesPlaceOf = (a: LookupRecord, b: LookupRecord): boolean =>
  a.virtualSubnetID === b.virtualSubnetID &&
  sameAddress(a.customerAddress, b.customerAddress) &&
  (isByMac(a) ? a.type === b.type && a.macAddress === b.macAddress : !isByMac(b));

const MACS = ["06-06-00-00-00-05", "FE-FF-FF-FF-FF-FF", "06-06-80-00-00-00", "06-07-80-00-00-00"];
const ADDRESSES = ["10.0.0.5", "::ffff:10.0.0.5", "255.255.255.254", "fd00:10::5", "8000::ffff:ffff", "10.0.0.6"];
const PAS = ["192.168.4.11", "192.168.4.22", "2001:db8:4::11", "::ffff:192.168.4.11"];

function anyRecord(chance: Chance): LookupRecord {
  const type = chance.pick(["Static", "Static", "Dynamic", "L2Only", "GatewayWildcard"] as const);
  const byMac = type === "L2Only" || type === "GatewayWildcard";
  const address = byMac ? chance.pick(["0.0.0.0", "::"]) : chance.pick(ADDRESSES);
  return record(4096 + chance.below(3), address, chance.pick(MACS), chance.pick(PAS), type, {
    rule: chance.pick(["TranslationMethodNat", "TranslationMethodEncap", "TranslationMethodNone"]),
    useVmMACAddress: chance.below(2) === 1,
    customerID: chance.pick([null, "{BLUE}"]),
    context: chance.pick([null, "", "a comment"]),
    vmName: chance.pick([null, "Blue1"]),
  });
}

const sorted = (records: Iterable<LookupRecord>): string[] => [...records].map((r) => JSON.stringify(r)).sort();

describe("differential: a naive list", () => {
  test("long random sequences of with and without; every old snapshot stays as it was", () => {
    const chance = chanceFromSeed();
    let table = LookupRecords.EMPTY;
    const naive = new NaiveRecords();
    const snapshots: [LookupRecords, string[]][] = [];
    for (let step = 0; step < 4_000; step++) {
      const change = naive.asAllowed(anyRecord(chance));
      if (chance.below(100) < 30 + 40 * Number(step % 1_000 > 500)) {
        table = table.without(change);
        naive.remove(change);
      } else {
        table = table.with(change);
        naive.put(change);
      }
      compare(table, naive, anyRecord(chance), `seed ${chance.seed} step ${step}`);
      if (step % 400 === 0) snapshots.push([table, sorted(naive.list)]);
    }
    for (const [snapshot, records] of snapshots) expect(sorted(snapshot), `seed ${chance.seed}`).toEqual(records);
    expect([...LookupRecords.EMPTY]).toEqual([]);
  });

  function compare(table: LookupRecords, naive: NaiveRecords, about: LookupRecord, hint: string): void {
    const { virtualSubnetID: v, customerAddress: ca, macAddress: m, providerAddress: pa } = about;
    expect(table.size, hint).toBe(naive.list.length);
    expect(table.findNat(pa), hint).toEqual(naive.findNat(pa));
    expect(table.find(v, ca), hint).toEqual(naive.find(v, ca));
    expect(sorted(table.findByMac(v, m)), hint).toEqual(
      sorted(naive.list.filter((r) => r.virtualSubnetID === v && r.macAddress === m)),
    );
    expect(sorted(table.wildcards(v)), hint).toEqual(
      sorted(naive.list.filter((r) => r.virtualSubnetID === v && r.type === "GatewayWildcard")),
    );
    expect(table.hasProviderAddress(pa), hint).toBe(naive.list.some((r) => sameAddress(r.providerAddress, pa)));
    expect(sorted(table.findAnywhere(ca)), hint).toEqual(
      sorted(naive.list.filter((r) => !isByMac(r) && sameAddress(r.customerAddress, ca))),
    );
    expect(table.providerAddressCount, hint).toBe(
      new Set(naive.list.map((r) => JSON.stringify(r.providerAddress))).size,
    );
  }

  test("a table of 30,000 records, filled at once, then changed one by one", () => {
    const chance = chanceFromSeed();
    const at = (n: number): LookupRecord =>
      record(
        5000 + (n % 40),
        formatAddress(ipv4Address(0x0a00_0000 + n)),
        "06-06-00-00-00-05",
        "192.168.4.11",
        "Static",
        {
          macAddress: (0x0606_0000_0000 + (n % 9_000)) as Mac, // a MAC has several addresses, also in one VSID
          providerAddress: ipv4Address(0xc0a8_0000 + (n % 3_000)),
          vmName: n % 5 ? null : `VM${n}`,
        },
      );
    const all = Array.from({ length: 30_000 }, (_, n) => at(n));
    const before = LookupRecords.from(all);
    let table = before;
    const gone = new Set<number>();
    for (let step = 0; step < 1_500; step++) {
      const n = chance.below(all.length);
      table = gone.has(n) ? table.with(at(n)) : table.without(at(n));
      if (!gone.delete(n)) gone.add(n);
    }
    const left = all.filter((_, n) => !gone.has(n));
    expect(sorted(table), `seed ${chance.seed}`).toEqual(sorted(left));
    expect(sorted(before)).toEqual(sorted(all));
    for (let n = 0; n < all.length; n++) {
      const { virtualSubnetID, customerAddress } = all[n]!;
      expect(table.find(virtualSubnetID, customerAddress), `seed ${chance.seed}`).toEqual(
        gone.has(n) ? undefined : all[n],
      );
    }
  });

  test("a MAC with 3,000 addresses, and a subnet with 3,000 wildcards, lose them in random order", () => {
    const chance = chanceFromSeed();
    const builder = new LookupRecordsBuilder();
    const records = Array.from({ length: 3_000 }, (_, n) => [
      record(5001, formatAddress(ipv4Address(0x0a00_0001 + n)), "06-06-00-00-00-05", "192.168.4.11"),
      record(5001, "0.0.0.0", "06-06-00-00-00-05", "192.168.4.11", "GatewayWildcard", {
        macAddress: (0x0a0a_0000_0000 + n) as Mac,
      }),
    ]).flat();
    for (const r of records) expect(builder.addRecord(r)).toBe(true);
    const full = builder.build();
    expect(full.findByMac(vsid(5001), mac("06-06-00-00-00-05"))).toHaveLength(3_000);
    expect(full.wildcards(vsid(5001))).toHaveLength(3_000);
    const order = records.map((r) => ({ r, key: chance.below(2 ** 32) })).sort((a, b) => a.key - b.key);
    const emptying = new LookupRecordsBuilder(full);
    for (const { r } of order.slice(0, 5_990)) expect(emptying.remove(r)).toBe(true);
    const rest = emptying.build();
    const left = order.slice(5_990).map(({ r }) => r);
    expect(sorted(rest)).toEqual(sorted(left));
    expect(sorted(rest.wildcards(vsid(5001)))).toEqual(sorted(left.filter(isByMac)));
    expect(sorted(rest.findByMac(vsid(5001), mac("06-06-00-00-00-05")))).toEqual(
      sorted(left.filter((r) => !isByMac(r))),
    );
  });
});

describe("identity", () => {
  const first = record(5001, "10.0.0.5", "06-06-00-00-00-05", "192.168.4.11");

  test("one Static or Dynamic record per (VSID, CA): from refuses the second by name", () => {
    const second = record(5001, "10.0.0.5", "06-06-00-00-00-06", "192.168.4.22");
    const load = (): unknown => LookupRecords.from([first, second]);
    expect(load).toThrowError(PolicyError);
    expect(load).toThrowError(expect.objectContaining({ code: "LOOKUP_RECORD_CONFLICT", value: second }));
  });

  test("P-901: one record with TranslationMethodNat per provider address, whatever its VSID; those found by MAC do not count", () => {
    const nat = { rule: "TranslationMethodNat" } as const;
    const one = record(5001, "10.0.0.5", "06-06-00-00-00-05", "192.168.4.101", "Static", nat);
    const load = (other: LookupRecord) => (): unknown => LookupRecords.from([one, other]);
    const refused = expect.objectContaining({ code: "LOOKUP_RECORD_NAT_SHARED_PA" });
    expect(load({ ...one, virtualSubnetID: vsid(6001) })).toThrowError(refused);
    expect(load({ ...one, customerAddress: ip("10.0.0.6") })).toThrowError(refused);
    expect(load({ ...one, customerAddress: ip("fd00::5") })).toThrowError(refused);
    const byMac = record(5001, "0.0.0.0", "06-06-00-00-00-05", "192.168.4.101", "L2Only", nat);
    const encap = record(5001, "10.0.0.7", "06-06-00-00-00-07", "192.168.4.101");
    expect(LookupRecords.from([byMac, encap, one]).findNat(ip("192.168.4.101"))).toEqual(one);
    expect(LookupRecords.from([byMac, encap]).findNat(ip("192.168.4.101"))).toBeUndefined();
    const learnt = { ...one, type: "Dynamic", macAddress: mac("06-06-00-00-00-99") } as const;
    expect(LookupRecords.from([learnt, one]).findNat(ip("192.168.4.101"))).toEqual(one);
  });

  test("a Static record replaces a Dynamic one, not the other way round", () => {
    const dynamic = record(5001, "10.0.0.5", "06-06-00-00-00-99", "192.168.4.22", "Dynamic");
    const table = LookupRecords.from([dynamic, first]);
    expect([...table]).toEqual([first]);
    expect(table.findByMac(vsid(5001), mac("06-06-00-00-00-99"))).toEqual([]);
    expect(table.hasProviderAddress(ip("192.168.4.22"))).toBe(false);
    expect(() => LookupRecords.from([first, dynamic])).toThrowError(PolicyError);
    expect(table.without(dynamic), "withdrawing the Dynamic one later leaves the Static one").toBe(table);
  });

  test("L2Only and GatewayWildcard: one per (VSID, family, MAC, type)", () => {
    const l2 = record(5001, "0.0.0.0", "06-06-00-00-00-05", "192.168.4.11", "L2Only");
    const others = [
      record(5001, "::", "06-06-00-00-00-05", "192.168.4.11", "L2Only"),
      record(5001, "0.0.0.0", "06-06-00-00-00-06", "192.168.4.11", "L2Only"),
      record(5002, "0.0.0.0", "06-06-00-00-00-05", "192.168.4.11", "L2Only"),
      record(5001, "0.0.0.0", "06-06-00-00-00-05", "192.168.4.11", "GatewayWildcard"),
    ];
    expect(LookupRecords.from([l2, ...others]).size).toBe(5);
    expect(() => LookupRecords.from([l2, ...others, { ...l2, providerAddress: ip("192.168.4.22") }])).toThrowError(
      PolicyError,
    );
    expect(LookupRecords.from([l2]).find(vsid(5001), ip("0.0.0.0"))).toBeUndefined();
  });

  test("a record found by MAC that names an address is refused", () => {
    const wrong = record(5001, "10.0.0.5", "06-06-00-00-00-05", "192.168.4.11", "L2Only");
    expect(() => LookupRecords.EMPTY.with(wrong)).toThrowError(
      expect.objectContaining({ code: "LOOKUP_RECORD_CUSTOMER_ADDRESS" }),
    );
  });

  test("every field comes back, and the VSID, MAC and addresses at their limits", () => {
    const extreme = record(
      0xff_fffe,
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
      "FE-FF-FF-FF-FF-FF",
      "fe80::1",
      "Dynamic",
      {
        rule: "TranslationMethodNone",
        useVmMACAddress: true,
        customerID: "{id}",
        context: "context",
        vmName: "name",
      },
    );
    const table = LookupRecords.EMPTY.with(extreme);
    expect([...table]).toEqual([extreme]);
    expect(table.find(vsid(0xff_fffe), extreme.customerAddress)).toEqual(extreme);
    expect(table.find(vsid(0), ip("0.0.0.0")), "a free slot is no record").toBeUndefined();
  });
});

describe("hard cases", () => {
  test("1: the same CA and even the same MAC in two routing domains", () => {
    const blue = record(5001, "10.0.0.5", "06-06-00-00-00-05", "192.168.4.11");
    const red = record(6001, "10.0.0.5", "06-06-00-00-00-05", "192.168.4.22");
    const table = LookupRecords.from([blue, red]);
    expect(table.find(vsid(5001), ip("10.0.0.5"))).toEqual(blue);
    expect(table.find(vsid(6001), ip("10.0.0.5"))).toEqual(red);
    expect(table.findByMac(vsid(6001), mac("06-06-00-00-00-05"))).toEqual([red]);
    expect(table.findAnywhere(ip("10.0.0.5"))).toHaveLength(2);
    expect([...table.without(blue)]).toEqual([red]);
  });

  test("5: wildcards in two VSIDs of one routing domain", () => {
    const wildcards = [
      record(5001, "0.0.0.0", "06-06-00-00-00-F1", "192.168.4.11", "GatewayWildcard"),
      record(5001, "0.0.0.0", "06-06-00-00-00-F2", "192.168.4.22", "GatewayWildcard"),
      record(5002, "0.0.0.0", "06-06-00-00-00-F1", "192.168.4.11", "GatewayWildcard"),
    ];
    const table = LookupRecords.from(wildcards);
    expect(sorted(table.wildcards(vsid(5001)))).toEqual(sorted(wildcards.slice(0, 2)));
    expect(table.wildcards(vsid(5002))).toEqual([wildcards[2]]);
    expect(table.wildcards(vsid(5003))).toEqual([]);
  });

  test("7: an IPv6 CA over an IPv4 PA and the reverse in one VSID", () => {
    const records = [
      record(5001, "fd00:10::5", "06-06-00-00-00-05", "192.168.4.11"),
      record(5001, "10.0.0.7", "06-06-00-00-00-07", "2001:db8:4::22"),
    ];
    const table = LookupRecords.from(records);
    expect(table.find(vsid(5001), ip("fd00:10::5"))).toEqual(records[0]);
    expect(table.find(vsid(5001), ip("10.0.0.7"))).toEqual(records[1]);
  });

  test("9: L2Only and Static for the same MAC", () => {
    const fixed = record(5001, "10.0.0.5", "06-06-00-00-00-05", "192.168.4.11");
    const learnt = record(5001, "0.0.0.0", "06-06-00-00-00-05", "192.168.4.11", "L2Only");
    const table = LookupRecords.from([fixed, learnt]);
    expect(table.find(vsid(5001), ip("10.0.0.5"))).toEqual(fixed);
    expect(table.find(vsid(5001), ip("10.0.0.6"))).toBeUndefined();
    expect(sorted(table.findByMac(vsid(5001), mac("06-06-00-00-00-05")))).toEqual(sorted([fixed, learnt]));
    expect(table.without(fixed).findByMac(vsid(5001), mac("06-06-00-00-00-05"))).toEqual([learnt]);
  });
});
