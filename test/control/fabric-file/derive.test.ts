import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkCustomerRoutes, checkLookupRecord, type LookupRecord } from "../../../src/dataplane/policy/index.js";
import { DEFAULT_NIC_OFFLOAD } from "../../../src/dataplane/slowpath/index.js";
import { formatAddress, formatMac, formatPrefix } from "../../../src/dataplane/wire/index.js";
import type { HostSettings } from "../../../src/vswitch/index.js";
import { change, hostOf, load, TWO_HOSTS } from "../labs.js";

const examples = new URL("../../../examples/", import.meta.url);
const example = (name: string): string => readFileSync(new URL(name, examples), "utf8");

/** One line per record, sorted. */
const recordsOf = (host: HostSettings): readonly string[] => [...host.lookupRecords].map(recordLine).sort();
const recordLine = (r: LookupRecord): string =>
  `${r.virtualSubnetID} ${formatAddress(r.customerAddress)} ${formatMac(r.macAddress)} -> ${formatAddress(r.providerAddress)} ${r.type} ${r.rule}`;
const routesOf = (host: HostSettings): readonly string[] =>
  host.customerRoutes.map(
    (r) =>
      `${r.routingDomainID} ${r.virtualSubnetID} ${formatPrefix(r.destinationPrefix)} ${formatAddress(r.nextHop)} ${r.metric}`,
  );
const neighborsOf = (host: HostSettings): readonly string[] =>
  host.neighbors.map((n) => `${formatAddress(n.address)} ${formatMac(n.mac)}`);
const providerRoutesOf = (host: HostSettings): readonly string[] =>
  host.providerRoutes.map(
    (r) => `if ${r.interfaceIndex} ${formatPrefix(r.destinationPrefix)} ${formatAddress(r.nextHop)} ${r.metric}`,
  );

describe("the examples", () => {
  it.each(readdirSync(examples).filter((name) => name.endsWith(".yaml")))(
    "%s loads without findings, into valid records",
    (name) => {
      const { lab, findings } = load(example(name)) as ReturnType<typeof load> & { findings: unknown };
      expect(findings).toEqual([]);
      for (const host of lab.hosts) {
        expect(checkCustomerRoutes(host.customerRoutes)).toEqual([]);
        for (const record of host.lookupRecords) expect(checkLookupRecord(record)).toBeUndefined();
      }
    },
  );

  it("two-tenants.yaml: all records on both hosts, as one table", () => {
    const { lab } = load(example("two-tenants.yaml"));
    const host1 = hostOf(lab, "host1");
    const host2 = hostOf(lab, "host2");
    expect(host1.lookupRecords).toBe(host2.lookupRecords);
    expect(recordsOf(host1)).toEqual(
      [
        "5001 10.0.0.5 06-06-00-00-00-05 -> 192.168.4.11 Static TranslationMethodEncap",
        "5001 fd00:10::5 06-06-00-00-00-05 -> 192.168.4.11 Static TranslationMethodEncap",
        "5001 10.0.0.7 06-06-00-00-00-07 -> 192.168.4.22 Static TranslationMethodEncap",
        "5001 fd00:10::7 06-06-00-00-00-07 -> 192.168.4.22 Static TranslationMethodEncap",
        "5002 10.0.1.9 06-06-00-00-00-09 -> 192.168.4.22 Static TranslationMethodEncap",
        "6001 10.0.0.5 08-08-00-00-00-05 -> 192.168.4.11 Static TranslationMethodEncap",
        "6001 10.0.0.7 08-08-00-00-00-07 -> 192.168.4.22 Static TranslationMethodEncap",
        "5001 10.0.0.1 06-06-00-00-01-01 -> 169.254.254.254 Static TranslationMethodEncap",
        "5001 fd00:10::1 06-06-00-00-01-01 -> 169.254.254.254 Static TranslationMethodEncap",
        "5002 10.0.1.1 06-06-00-00-02-01 -> 169.254.254.254 Static TranslationMethodEncap",
      ].sort(),
    );
    expect(routesOf(host1)).toEqual([
      "{11111111-2222-3333-4444-000000005001} 5001 10.0.0.0/24 0.0.0.0 255",
      "{11111111-2222-3333-4444-000000005001} 5001 fd00:10::/64 :: 255",
      "{11111111-2222-3333-4444-000000005001} 5002 10.0.1.0/24 0.0.0.0 255",
      "{11111111-2222-3333-4444-000000006001} 6001 10.0.0.0/24 0.0.0.0 255",
    ]);
    expect(providerRoutesOf(host1)).toEqual([]);
    expect(neighborsOf(host1)).toEqual(["192.168.4.11 02-00-C0-A8-04-0B", "192.168.4.22 02-00-C0-A8-04-16"]);
    const nic1 = { name: "nic1", mac: 0x0200_c0a8_040b, mtu: 1600, offload: DEFAULT_NIC_OFFLOAD, rssQueues: 1 };
    expect(host1.nics).toEqual([nic1]);
    expect(host1.adapters.map(({ portName, vsid }) => [portName, vsid])).toEqual([
      ["Blue1", 5001],
      ["Red1", 6001],
    ]);
    expect(lab.provider?.subnets.map((s) => [formatPrefix(s.prefix), s.vlan, s.mtu, s.gateway])).toEqual([
      ["192.168.4.0/24", 0, 1600, null],
    ]);
  });

  it("two-tenants-vlan.yaml: the PAs have their subnet's VLAN and prefix length", () => {
    const { lab } = load(example("two-tenants-vlan.yaml"));
    expect(
      lab.hosts.map((host) => host.providerAddresses.map(({ vlan, prefixLength }) => [vlan, prefixLength])),
    ).toEqual([[[103, 24]], [[103, 24]]]);
  });

  it("one-host-records.yaml: raw records as they are, and NICs that end outside of the lab", () => {
    const { lab } = load(example("one-host-records.yaml"));
    expect(lab.provider).toBeNull();
    const host = hostOf(lab, "host1");
    expect(recordsOf(host)).toEqual(
      [
        "5001 10.0.0.5 06-06-00-00-00-05 -> 192.168.4.11 Static TranslationMethodEncap",
        "5001 10.0.0.7 06-06-00-00-00-07 -> 192.168.4.22 Static TranslationMethodEncap",
        "5002 10.0.1.9 06-06-00-00-00-09 -> 192.168.4.22 Static TranslationMethodEncap",
        "5001 10.0.0.1 06-06-00-00-01-01 -> 192.168.4.11 Static TranslationMethodEncap",
        "5002 10.0.1.1 06-06-00-00-02-01 -> 192.168.4.11 Static TranslationMethodEncap",
      ].sort(),
    );
    expect(
      host.providerAddresses.map((pa) => [formatAddress(pa.address), pa.prefixLength, pa.vlan, pa.interfaceIndex]),
    ).toEqual([
      ["192.168.4.11", 24, 103, 1],
      ["2001:db8:4::11", 64, 103, 1],
    ]);
    expect(providerRoutesOf(host)).toEqual(["if 1 0.0.0.0/0 192.168.4.1 256"]);
    expect(neighborsOf(host)).toContain("192.168.4.22 02-00-C0-A8-04-16");
    expect(host.nics[0]?.mtu).toBe(1500);
  });
});

describe("derivation", () => {
  it("settings of the lab, overridden one by one by those of a host", () => {
    const text = `${change(TWO_HOSTS, "  - name: host2", "  - name: host2\n    mode: 2012\n    settings: { dscp: uniform }")}mode: 2012R2\nsettings: { dscp: 46, ecn: linux, flowId: zero }\n`;
    const { lab } = load(text);
    expect(hostOf(lab, "host1").nve).toEqual({
      mode: "2012R2",
      flowId: "zero",
      ecn: "linux",
      dscp: { model: "pipe", value: 46 },
      receive: "strict",
      flood: "always",
      sendControlMessages: true,
      acceptRedirect: true,
      learnPathMtu: true,
      resolve: "static",
      duplicateAddressDetection: true,
      innerFragmentation: true,
      mssClamp: false,
      outerFragmentation: false,
      reassembly: false,
      learnFromTraffic: false,
      learnFromFloods: false,
      learnedAddressLimit: 10_000,
      useExternalRouter: false,
    });
    expect(hostOf(lab, "host2").nve).toEqual({
      mode: "2012",
      flowId: "zero",
      ecn: "linux",
      dscp: { model: "uniform" },
      receive: "strict",
      flood: "always",
      sendControlMessages: true,
      acceptRedirect: true,
      learnPathMtu: true,
      resolve: "static",
      duplicateAddressDetection: true,
      innerFragmentation: true,
      mssClamp: false,
      outerFragmentation: false,
      reassembly: false,
      learnFromTraffic: false,
      learnFromFloods: false,
      learnedAddressLimit: 10_000,
      useExternalRouter: false,
    });
  });

  it("further adapters of a VM are VM.2, VM.3", () => {
    const text = change(
      TWO_HOSTS,
      "vsid: 5001, addresses: [10.0.0.5] }]",
      "vsid: 5001, addresses: [10.0.0.5] }, { mac: 0606000000aa }]",
    );
    expect(load(text).lab.hosts[0]!.adapters.map(({ portName, vmName, vsid }) => [portName, vmName, vsid])).toEqual([
      ["Blue1", "Blue1", 5001],
      ["Blue1.2", "Blue1", 0],
      ["Red1", "Red1", 6001],
    ]);
  });

  it("the first PA is the one in the records, whatever its family", () => {
    let text = change(
      TWO_HOSTS,
      "{ prefix: 192.168.4.0/24, mtu: 1600 }",
      '{ prefix: 192.168.4.0/24 }\n    - { prefix: "2001:db8:4::/64" }',
    );
    text = change(text, "{ address: 192.168.4.11 }", '{ address: "2001:db8:4::11" }, { address: 192.168.4.11 }');
    const record = [...load(text).lab.hosts[1]!.lookupRecords].find((r) => r.vmName === "Blue1");
    expect(formatAddress(record!.providerAddress)).toBe("2001:db8:4::11");
  });

  it("a raw record wins over the derived one, one that names its host over both", () => {
    const raw = (host: string, pa: string): string =>
      `  - { ${host}customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 06-06-00-00-00-07, providerAddress: ${pa} }\n`;
    const { lab } = load(
      `${TWO_HOSTS}lookupRecords:\n${raw("", "192.168.4.33")}${raw("host: host2, ", "192.168.4.44")}`,
    );
    const pas = lab.hosts.map((host) => recordsOf(host).filter((line) => line.startsWith("5001 10.0.0.7 ")));
    expect(pas.map((lines) => lines.map((line) => line.split(" ")[4]))).toEqual([["192.168.4.33"], ["192.168.4.44"]]);
    expect(lab.hosts[0]!.lookupRecords).not.toBe(lab.hosts[1]!.lookupRecords);
  });

  it("hosts that are told the same, each by name, share one table", () => {
    const raw = (host: string): string =>
      `  - { host: ${host}, customerAddress: 10.0.0.77, virtualSubnetID: 5001, macAddress: 060600000077, providerAddress: 192.168.4.22 }\n`;
    const { lab } = load(`${TWO_HOSTS}lookupRecords:\n${raw("host1")}${raw("host2")}`);
    expect(lab.hosts[0]!.lookupRecords.size).toBe(6);
    expect(lab.hosts[0]!.lookupRecords).toBe(lab.hosts[1]!.lookupRecords);
  });

  it("Windows Server 2012 takes a record for 0.0.0.0 as a gateway's", () => {
    const raw =
      "lookupRecords: [{ customerAddress: 0.0.0.0, virtualSubnetID: 5002, macAddress: 060600000009, providerAddress: 192.168.4.22 }]\n";
    const { lab } = load(`${TWO_HOSTS}mode: 2012\n${raw}`);
    expect(recordsOf(lab.hosts[0]!)).toContain(
      "5002 0.0.0.0 06-06-00-00-00-09 -> 192.168.4.22 GatewayWildcard TranslationMethodEncap",
    );
  });

  it("several provider subnets: default routes through the gateways, which are neighbors", () => {
    let text = change(
      TWO_HOSTS,
      "    - { prefix: 192.168.4.0/24, mtu: 1600 }",
      "    - { prefix: 192.168.4.0/24, vlan: 103, mtu: 1600, gateway: 192.168.4.1 }\n    - { prefix: 192.168.5.0/24, vlan: 104, mtu: 9000, gateway: 192.168.5.1 }\n  routerMac: 02-00-00-00-00-FE",
    );
    text = change(text, "192.168.4.22", "192.168.5.22");
    const { lab } = load(text);
    expect(lab.hosts.map(providerRoutesOf)).toEqual([
      ["if 1 0.0.0.0/0 192.168.4.1 255"],
      ["if 1 0.0.0.0/0 192.168.5.1 255"],
    ]);
    expect(neighborsOf(lab.hosts[0]!)).toEqual([
      "192.168.4.11 02-00-C0-A8-04-0B",
      "192.168.5.22 02-00-C0-A8-04-16",
      "192.168.4.1 02-00-00-00-00-FE",
      "192.168.5.1 02-00-00-00-00-FE",
    ]);
    expect(lab.hosts.map((host) => [host.nics[0]?.mtu, host.providerAddresses[0]?.vlan])).toEqual([
      [1600, 103],
      [9000, 104],
    ]);
  });

  it("without provider subnets they follow from the PAs, and the router from the provider routes", () => {
    let text = change(TWO_HOSTS, "provider:\n  subnets:\n    - { prefix: 192.168.4.0/24, mtu: 1600 }\n", "");
    text = change(text, "{ address: 192.168.4.11 }", "{ address: 192.168.4.11, prefixLength: 24, vlan: 103 }");
    text = change(text, "{ address: 192.168.4.22 }", "{ address: 192.168.5.22, prefixLength: 26 }");
    text += "providerRoutes: [{ host: host1, destinationPrefix: 0.0.0.0/0, nextHop: 192.168.4.1 }]\n";
    const { lab } = load(text);
    expect(
      lab.provider?.subnets.map((s) => [formatPrefix(s.prefix), s.vlan, s.mtu, s.gateway && formatAddress(s.gateway)]),
    ).toEqual([
      ["192.168.4.0/24", 103, 1500, "192.168.4.1"],
      ["192.168.5.0/26", 0, 1500, null],
    ]);
  });

  it("MTUs: the NIC's own, else the host's, else the subnet's", () => {
    let text = change(
      TWO_HOSTS,
      "mac: 02-00-C0-A8-04-0B }",
      "mac: 02-00-C0-A8-04-0B, mtu: 1700 }, { name: nic2, mac: 02-00-C0-A8-04-0C }",
    );
    text = change(text, "  - name: host1", "  - name: host1\n    mtu: 1650");
    expect(load(text).lab.hosts.map((host) => host.nics.map((nic) => nic.mtu))).toEqual([[1700, 1650], [1600]]);
  });

  it("a team of one NIC stands for that NIC", () => {
    let text = change(
      TWO_HOSTS,
      "[{ name: nic1, mac: 02-00-C0-A8-04-0B }]",
      "[{ name: nic1, mac: 02-00-C0-A8-04-0B }, { name: nic2, mac: 02-00-C0-A8-04-0C }]\n    team: { name: team1, members: [nic2] }",
    );
    text = change(text, "{ address: 192.168.4.11 }", "{ address: 192.168.4.11, nic: team1 }");
    expect(load(text).lab.hosts[0]!.providerAddresses[0]?.interfaceIndex).toBe(2);
  });

  it("a thousand hosts share one table and one list of neighbors", () => {
    const hosts = Array.from({ length: 1000 }, (_, i) => {
      const n = i.toString(16).padStart(4, "0");
      const low = `${i >> 8}.${(i & 255) + 0}`;
      return `  - { name: h${i}, nics: [{ name: nic1, mac: 02000000${n} }], providerAddresses: [{ address: 10.200.${low} }], vms: [{ name: vm, adapters: [{ mac: 06060000${n}, vsid: 5001, addresses: [10.1.${low}] }] }] }`;
    });
    const text = `apiVersion: hnv/v1
routingDomains: [{ name: Blue, id: "{11111111-2222-3333-4444-000000005001}", subnets: [{ vsid: 5001, prefixes: [10.0.0.0/15] }] }]
provider: { subnets: [{ prefix: 10.192.0.0/12 }] }
hosts:
${hosts.join("\n")}
`;
    const { lab } = load(text);
    expect(new Set(lab.hosts.map((host) => host.lookupRecords)).size).toBe(1);
    expect(new Set(lab.hosts.map((host) => host.neighbors)).size).toBe(1);
    expect(lab.hosts[0]!.lookupRecords.size).toBe(1000);
  });
});
