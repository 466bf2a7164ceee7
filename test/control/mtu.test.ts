import { describe, expect, it } from "vitest";
import { modeCosts, mtuTable, pathMtu } from "../../src/control/index.js";
import { parseAddress } from "../../src/dataplane/wire/index.js";
import { change, load, TWO_HOSTS } from "./labs.js";

describe("the arithmetic", () => {
  // Path MTU, largest inner IP packet over IPv4 and over IPv6: header lengths of RFC 7637 §3.2 added up by hand.
  it.each([
    [1500, 1458, 1438],
    [1542, 1500, 1480],
    [1562, 1520, 1500],
    [1600, 1558, 1538],
    [4074, 4032, 4012],
    [9000, 8958, 8938],
    [9042, 9000, 8980],
    [9062, 9020, 9000],
  ])("a path of %i carries %i over IPv4 and %i over IPv6", (path, over4, over6) => {
    expect(mtuTable(path, 4).innerIpMtu).toBe(over4);
    expect(mtuTable(path, 6).innerIpMtu).toBe(over6);
  });

  it("every row over IPv4", () => {
    expect(mtuTable(1500, 4)).toEqual({
      pathMtu: 1500,
      outerFamily: 4,
      innerFrame: 1472,
      innerIpMtu: 1458,
      mssIpv4: 1418,
      mssIpv6: 1398,
      wireFrame: 1514,
      wireFrameTagged: 1518,
      wireFrameWithFcs: 1518,
      wireFrameTaggedWithFcs: 1522,
      guestMtu: 1500,
      pathMtuForGuests: 1542,
      missingForGuests: 42,
    });
  });

  it("every row over IPv6, with room for guests", () => {
    expect(mtuTable(1562, 6)).toMatchObject({
      innerFrame: 1514,
      mssIpv4: 1460,
      mssIpv6: 1440,
      wireFrame: 1576,
      wireFrameTagged: 1580,
      missingForGuests: 0,
    });
  });
});

describe("the path between two ports", () => {
  const between = (text: string, from: string, to: string) => pathMtu(load(text).lab, from, to);

  it("is the smallest MTU on the way", () => {
    let text = change(TWO_HOSTS, "mac: 02-00-C0-A8-04-16 }", "mac: 02-00-C0-A8-04-16, mtu: 1580 }");
    text = change(text, "mac: 02-00-C0-A8-04-0B }", "mac: 02-00-C0-A8-04-0B, mtu: 9000 }");
    expect(between(text, "host1/Blue1", "host2/Blue2")).toMatchObject({
      kind: "provider",
      mtu: 1580,
      outerFamily: 4,
      tagged: false,
      hops: [
        { where: "host1/nic1", mtu: 9000 },
        { where: "provider 192.168.4.0/24", mtu: 1600 },
        { where: "host2/nic1", mtu: 1580 },
      ],
    });
  });

  it("passes both subnets when they differ", () => {
    let text = change(
      TWO_HOSTS,
      "{ prefix: 192.168.4.0/24, mtu: 1600 }",
      "{ prefix: 192.168.4.0/24, vlan: 103, mtu: 1600, gateway: 192.168.4.1 }\n    - { prefix: 192.168.5.0/24, mtu: 1550, gateway: 192.168.5.1 }",
    );
    text = change(text, "192.168.4.22", "192.168.5.22");
    const path = between(text, "host1/Blue1", "host2/Blue3");
    expect(path).toMatchObject({ kind: "provider", mtu: 1550, tagged: true });
    expect(path.kind === "provider" && path.hops.map((hop) => hop.where)).toEqual([
      "host1/nic1",
      "provider 192.168.4.0/24 vlan 103",
      "provider 192.168.5.0/24",
      "host2/nic1",
    ]);
  });

  it("within a host nothing is encapsulated", () => {
    const text = change(TWO_HOSTS, "vsid: 6001, addresses: [10.0.0.5]", "vsid: 5002, addresses: [10.0.1.5]");
    expect(between(text, "host1/Blue1", "host1/Red1")).toEqual({ kind: "local" });
  });

  it.each([
    ["host1/Blue1", "host2/Blue9", "UNKNOWN_PORT"],
    ["host1/nic1", "host2/Blue2", "UNKNOWN_PORT"],
    ["host1/Red1", "host2/Blue2", "OTHER_ROUTING_DOMAIN"],
  ])("from %s to %s: %s", (from, to, code) => {
    expect(between(TWO_HOSTS, from, to)).toMatchObject({ kind: "none", code });
  });

  it("a port outside of HNV has no path", () => {
    const text = change(TWO_HOSTS, "vsid: 5002, addresses: [10.0.1.9]", "vsid: 0");
    expect(between(text, "host1/Blue1", "host2/Blue3")).toMatchObject({ kind: "none", code: "NOT_VIRTUALIZED" });
  });

  it("PAs of two families make no path", () => {
    let text = change(
      TWO_HOSTS,
      "{ prefix: 192.168.4.0/24, mtu: 1600 }",
      '{ prefix: 192.168.4.0/24 }\n    - { prefix: "2001:db8:4::/64" }',
    );
    text = change(text, "192.168.4.22", '"2001:db8:4::22"');
    expect(between(text, "host1/Blue1", "host2/Blue2")).toMatchObject({ kind: "none", code: "PA_FAMILY" });
  });

  it("IP Rewrite adds nothing, from the VM's own address of the family", () => {
    const record = (ca: string, mac: string, pa: string): string =>
      `  - { virtualSubnetID: 5001, customerAddress: ${ca}, macAddress: ${mac}, providerAddress: ${pa}, rule: TranslationMethodNat }\n`;
    const blue2 = record("10.0.0.7", "06-06-00-00-00-07", "192.168.4.102");
    const pas = change(
      change(TWO_HOSTS, "{ address: 192.168.4.11 }", "{ address: 192.168.4.11 }, { address: 192.168.4.101 }"),
      "{ address: 192.168.4.22 }",
      "{ address: 192.168.4.22 }, { address: 192.168.4.102 }",
    );
    const blue1 = record("10.0.0.5", "06-06-00-00-00-05", "192.168.4.101");
    expect(between(`${pas}lookupRecords:\n${blue1}${blue2}`, "host1/Blue1", "host2/Blue2")).toMatchObject({
      kind: "rewritten",
      mtu: 1600,
      source: parseAddress("192.168.4.101"),
      destination: parseAddress("192.168.4.102"),
    });
    expect(between(`${pas}lookupRecords:\n${blue2}`, "host1/Blue1", "host2/Blue2")).toMatchObject({ code: "NO_PA" });
  });

  it("a VM without a record has no path", () => {
    const text = change(TWO_HOSTS, ", addresses: [10.0.1.9]", "");
    expect(between(text, "host1/Blue1", "host2/Blue3")).toMatchObject({ kind: "none", code: "NO_RECORD" });
  });
});

describe("what it costs to get packets of 1500 bytes over a path of 1500", () => {
  const costs = (outerFamily: 4 | 6, tagged = false) =>
    Object.fromEntries(
      modeCosts({ pathMtu: 1500, outerFamily, tagged, guestMtu: 1500 }).map(({ mode, packets, bytes }) => [
        mode,
        [packets, bytes],
      ]),
    );

  it("over IPv4, added up by hand", () => {
    // 1480 octets of data in 1438 each, frames of 1514; 1460 in 1418; fragments of 1432 and 48; 1522 in 1480 and 42.
    expect(costs(4)).toEqual({
      smallerPackets: [1.029, 1558],
      mssClamp: [1.03, 1559],
      innerFragmentation: [2, 1452 + 56 + 68 + 56],
      outerFragmentation: [2, 14 + 1500 + 14 + 62],
    });
  });

  it("over IPv6, where outer fragments have a header more, and on a VLAN", () => {
    expect(costs(6, true)).toEqual({
      smallerPackets: [1.044, 1584],
      mssClamp: [1.044, 1585],
      innerFragmentation: [2, 1436 + 80 + 84 + 80],
      outerFragmentation: [2, 18 + 1496 + 18 + 48 + 74],
    });
  });

  it("nothing where they fit", () => {
    expect(modeCosts({ pathMtu: 1542, outerFamily: 4, tagged: false, guestMtu: 1500 })).toEqual([]);
  });
});

describe("the MTU of guests after boot", () => {
  const mtuIn = (more: (text: string) => string): number => {
    const path = pathMtu(load(more(TWO_HOSTS)).lab, "host1/Blue1", "host2/Blue2");
    return path.kind === "provider" ? path.guestMtu : 0;
  };
  const narrow = (text: string): string => change(text, "mtu: 1600", "mtu: 1500");
  it.each<[string, number, (text: string) => string]>([
    ["with jumbo frames it stays 1500", 1500, (text) => text],
    ["without, Windows Server 2012 R2 takes off what NVGRE needs", 1458, narrow],
    ["Windows Server 2012 does not", 1500, (text) => `${narrow(text)}mode: 2012\n`],
    [
      "62 over an IPv6 provider network",
      1438,
      (text) =>
        change(
          change(narrow(text), "prefix: 192.168.4.0/24", 'prefix: "2001:db8:4::/64"'),
          "{ address: 192.168.4.11 }",
          '{ address: "2001:db8:4::11" }',
        ).replace("{ address: 192.168.4.22 }", '{ address: "2001:db8:4::22" }'),
    ],
    [
      "a guest that says otherwise",
      1400,
      (text) => change(narrow(text), "mac: 06-06-00-00-00-05,", "mac: 06-06-00-00-00-05, mtu: 1400,"),
    ],
  ])("%s: %i", (_, mtu, more) => {
    expect(mtuIn(more)).toBe(mtu);
  });
});

describe("a path that is too narrow", () => {
  const costs = (pathMtu: number) =>
    modeCosts({ pathMtu, outerFamily: 4, tagged: false, guestMtu: 1500 }).map(({ packets, bytes, extraPercent }) => [
      packets,
      bytes,
      extraPercent,
    ]);
  const nothing = [null, null, null];

  it("IPv6 has no segments where less than 1280 is left", () => {
    expect(mtuTable(1322, 4)).toMatchObject({ innerIpMtu: 1280, mssIpv4: 1240, mssIpv6: 1220 });
    expect(mtuTable(1321, 4)).toMatchObject({ innerIpMtu: 1279, mssIpv4: 1239, mssIpv6: null });
    expect(mtuTable(1342, 6).mssIpv6).toBe(1220);
    expect(mtuTable(1341, 6).mssIpv6).toBeNull();
    expect([mtuTable(83, 4).mssIpv4, mtuTable(82, 4).mssIpv4]).toEqual([1, null]);
  });

  it("ways that have no room for their headers cost nothing that could be told", () => {
    const [smaller, clamp, inner, outer] = costs(68); // 26 octets for guests: 6 behind an IPv4 header, none behind TCP's
    expect(smaller).toEqual([246.667, Math.round(246.6667 * 82), 1199.9]);
    expect([clamp, inner]).toEqual([nothing, nothing]);
    expect(outer?.[0]).toBe(32);
    expect(costs(70)[2]?.[0]).toBe(185); // 8 octets of data in each
    expect(costs(82)[1]).toEqual(nothing);
    expect(costs(83)[1]?.[0]).toBe(1460);
  });
});
