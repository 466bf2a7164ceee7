import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkLab, type Finding } from "../../../src/control/index.js";
import { change, load, TWO_HOSTS } from "../labs.js";

const examples = new URL("../../../examples/", import.meta.url);

function findings(text: string): readonly Finding[] {
  const { document, lab } = load(text);
  return checkLab(document, lab);
}
const shown = (list: readonly Finding[]): readonly string[] => list.map((f) => `${f.severity} ${f.code} ${f.path}`);

const swap = (from: string, to: string) => change(TWO_HOSTS, from, to);
const add = (line: string) => `${TWO_HOSTS}${line}\n`;
const BLUE = 'routingDomainID: "{11111111-2222-3333-4444-000000005001}"';
const record = (ca: string, vsid: number, mac: string, pa: string, more = ""): string =>
  `{ customerAddress: ${ca}, virtualSubnetID: ${vsid}, macAddress: ${mac}, providerAddress: ${pa}${more} }`;

/** A lab of raw records, in which everything can be wrong. `records1` and `records2` are those of the two hosts. */
const raw = (records1: readonly string[], records2: readonly string[], more = ""): string => `apiVersion: hnv/v1
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms: [{ name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001 }] }]
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms: [{ name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001 }] }]
customerRoutes: [{ ${BLUE}, virtualSubnetID: 5001, destinationPrefix: 10.0.0.0/24, nextHop: 0.0.0.0 }]
lookupRecords:
${[...records1.map((r) => r.replace("{", "{ host: host1,")), ...records2.map((r) => r.replace("{", "{ host: host2,"))].map((r) => `  - ${r}\n`).join("")}${more}`;
const BLUE1 = record("10.0.0.5", 5001, "06-06-00-00-00-05", "192.168.4.11");
const BLUE2 = record("10.0.0.7", 5001, "06-06-00-00-00-07", "192.168.4.22");

describe("labs without a mistake", () => {
  it("derived", () => expect(shown(findings(TWO_HOSTS))).toEqual([]));
  it("raw", () => expect(shown(findings(raw([BLUE1, BLUE2], [BLUE1, BLUE2])))).toEqual([]));
  it.each(readdirSync(examples).filter((name) => name.startsWith("two-tenants")))("%s", (name) => {
    expect(shown(findings(readFileSync(new URL(name, examples), "utf8")))).toEqual([]);
  });
});

it("resolve: wire: nobody has to write down neighbors, which the wire knows", () => {
  expect(shown(findings(add("settings: { resolve: wire }")))).toEqual([]);
  const written = "neighbors: [{ host: host1, address: 192.168.4.77, mac: 02-00-C0-A8-04-4D }]";
  expect(shown(findings(`${add("settings: { resolve: wire }")}${written}\n`))).toEqual([]);
});

it("one-host-records.yaml: only the NIC's MTU is small", () => {
  const list = findings(readFileSync(new URL("one-host-records.yaml", examples), "utf8"));
  expect(shown(list)).toEqual(["warning MTU_TOO_SMALL hosts[0].nics[0]"]);
  // One of the PAs is IPv6, but all records name IPv4 ones.
  expect(list[0]?.message).toContain("need 1542, so 42 bytes are missing; the longest that passes has 1458");
});

describe("VMs and routes", () => {
  it("a port whose VSID has no route", () => {
    const text = raw([BLUE1, BLUE2], [BLUE1, BLUE2]).replace(/customerRoutes.*\n/, "");
    expect(shown(findings(text)).filter((line) => line.includes("WITHOUT_ROUTE"))).toEqual([
      "error VSID_WITHOUT_ROUTE hosts[0].vms[0].adapters[0].vsid",
      "error VSID_WITHOUT_ROUTE hosts[1].vms[0].adapters[0].vsid",
    ]);
  });
  it("records of a VSID without a route cannot be reached; hosts with the same table are told once", () => {
    const text = raw([BLUE1, BLUE2], [BLUE1, BLUE2]).replace(/customerRoutes.*\n/, "");
    expect(shown(findings(text)).filter((line) => line.includes("UNREACHABLE"))).toEqual([
      "error VSID_UNREACHABLE lookupRecords[0]",
      "error VSID_UNREACHABLE lookupRecords[1]",
    ]);
  });
  it("VSID 16777215 on a port", () => {
    const list = findings(
      swap("mac: 06-06-00-00-00-09, vsid: 5002, addresses: [10.0.1.9]", "mac: 06-06-00-00-00-09, vsid: 16777215"),
    );
    expect(shown(list)).toEqual(["error VSID_UNMATCHABLE hosts[1].vms[1].adapters[0].vsid"]);
  });
  it("an adapter without any record", () => {
    expect(shown(findings(swap(", addresses: [10.0.1.9]", "")))).toEqual([
      "error ADAPTER_WITHOUT_RECORD hosts[1].vms[1].adapters[0]",
    ]);
  });
  it("records on one host only", () => {
    expect(shown(findings(raw([BLUE1, BLUE2], [BLUE2])))).toEqual(["error RECORD_ONE_WAY hosts[0].vms[0].adapters[0]"]);
  });
  it("a record missing on the VM's own host", () => {
    expect(shown(findings(raw([BLUE2], [BLUE1, BLUE2])))).toEqual([
      "error RECORD_MISSING_AT_HOME hosts[0].vms[0].adapters[0]",
    ]);
  });
  it("a host that runs nothing of the tenant needs no records", () => {
    const text = raw([BLUE1], [], "").replace(/ {4}vms: \[\{ name: Blue2.*\n/, "");
    expect(shown(findings(text))).toEqual([]);
  });
  it("a default route whose next hop has no record", () => {
    const list = findings(
      add(`customerRoutes: [{ ${BLUE}, virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.1.254 }]`),
    );
    expect(shown(list)).toEqual(["error NEXT_HOP_WITHOUT_RECORD customerRoutes[0].nextHop"]);
    expect(list[0]?.message).toContain("10.0.1.254 in VSID 5002");
  });
  it("two default routes of equal metric", () => {
    const route = (hop: string) =>
      `  - { ${BLUE}, virtualSubnetID: 5001, destinationPrefix: 0.0.0.0/0, nextHop: ${hop}, metric: 5 }\n`;
    const routes = route("10.0.0.5") + route("10.0.0.7");
    const ties = (text: string) => shown(findings(text)).filter((line) => line.includes("TIE"));
    expect(ties(add(`customerRoutes:\n${routes}`))).toEqual(["warning ROUTES_TIE customerRoutes[1]"]);
    expect(ties(add(`customerRoutes:\n${routes.replace("metric: 5", "metric: 6")}`))).toEqual([]);
  });
});

describe("records", () => {
  it("a PA that no host has", () => {
    const stray = BLUE2.replace("192.168.4.22", "192.168.4.99");
    expect(shown(findings(raw([BLUE1, stray], [BLUE1, BLUE2])))).toEqual(["error RECORD_PA_UNKNOWN lookupRecords[1]"]);
  });
  it("a VM whose port has another VSID", () => {
    const text = raw([BLUE1, BLUE2], [BLUE1, BLUE2]).replace(
      "mac: 06-06-00-00-00-07, vsid: 5001",
      "mac: 06-06-00-00-00-07, vsid: 5009",
    );
    expect(shown(findings(text))).toContain("error RECORD_WRONG_VSID lookupRecords[1]");
  });
  it("a VM with another MAC", () => {
    const list = findings(add(`lookupRecords: [${record("10.0.0.7", 5001, "06-06-00-00-00-77", "192.168.4.22")}]`));
    expect(shown(list)).toContain("error RECORD_WRONG_MAC lookupRecords[0]");
    expect(list.find((f) => f.code === "RECORD_WRONG_MAC")?.message).toContain("host2/Blue2 has 06-06-00-00-00-07");
  });
  it("a VM on another host", () => {
    const list = findings(add(`lookupRecords: [${record("10.0.0.7", 5001, "06-06-00-00-00-07", "192.168.4.11")}]`));
    expect(shown(list)).toContain("error RECORD_WRONG_HOST lookupRecords[0]");
  });
  it("no VM at all", () => {
    const list = findings(add(`lookupRecords: [${record("10.0.0.77", 5001, "06-06-00-00-00-77", "192.168.4.22")}]`));
    expect(shown(list)).toEqual(["warning RECORD_WITHOUT_PORT lookupRecords[0]"]);
  });
  it("an address that no route leads to", () => {
    const list = findings(add(`lookupRecords: [${record("10.7.0.7", 5001, "06-06-00-00-00-07", "192.168.4.22")}]`));
    expect(shown(list)).toEqual(["warning RECORD_UNREACHABLE lookupRecords[0]"]);
  });
  it("a written record that differs from the derived one, and how", () => {
    const list = findings(add(`lookupRecords: [${record("10.0.0.7", 5001, "06-06-00-00-00-07", "192.168.4.11")}]`));
    const finding = list.find((f) => f.code === "RECORD_DIFFERS_FROM_DERIVED");
    expect(finding).toMatchObject({ severity: "warning", path: "lookupRecords[0]", line: 28, column: 17 });
    expect(finding?.message).toContain("providerAddress (derived 192.168.4.22, written 192.168.4.11)");
  });
  it("a written record that says what would be derived is fine, as is any PA of a gateway address", () => {
    const same = record("10.0.0.7", 5001, "06-06-00-00-00-07", "192.168.4.22");
    const gateway = record("10.0.0.1", 5001, "06-06-00-00-01-01", "192.168.4.11");
    expect(shown(findings(add(`lookupRecords: [${same}, ${gateway}]`)))).toEqual([]);
  });
  it("a record that every host overrides", () => {
    const common = `  - ${BLUE2}\n`;
    expect(shown(findings(raw([BLUE1, BLUE2], [BLUE1, BLUE2], common)))).toEqual([
      "warning RECORD_SHADOWED lookupRecords[4]",
    ]);
  });
  it("findings of one kind are limited, and the rest is counted", () => {
    const many = Array.from(
      { length: 130 },
      (_, i) => `  - ${record(`10.0.0.${100 + i}`, 5001, `0606000001${(i + 16).toString(16)}`, "192.168.4.22")}\n`,
    );
    const list = findings(add(`lookupRecords:\n${many.join("")}`));
    expect(list).toHaveLength(101);
    expect(list.at(-1)?.message).toBe("30 more findings RECORD_WITHOUT_PORT are not listed");
  });
});

describe("the provider network", () => {
  it("PAs of different families", () => {
    let text = swap(
      "{ prefix: 192.168.4.0/24, mtu: 1600 }",
      '{ prefix: 192.168.4.0/24, mtu: 1600 }\n    - { prefix: "2001:db8:4::/64", mtu: 1600 }',
    );
    text = change(text, "192.168.4.22", '"2001:db8:4::22"');
    expect(shown(findings(text))).toEqual([
      "error PA_FAMILY_MISMATCH hosts[0].vms[0].adapters[0].addresses[0]",
      "error PA_FAMILY_MISMATCH hosts[1].vms[0].adapters[0].addresses[0]",
    ]);
  });
  it("no route between provider subnets", () => {
    let text = swap(
      "{ prefix: 192.168.4.0/24, mtu: 1600 }",
      "{ prefix: 192.168.4.0/24, mtu: 1600 }\n    - { prefix: 192.168.5.0/24, mtu: 1600 }",
    );
    text = change(text, "192.168.4.22", "192.168.5.22");
    expect(shown(findings(text))).toEqual([
      "error PROVIDER_ROUTE_MISSING hosts[0].providerAddresses[0]",
      "error PROVIDER_ROUTE_MISSING hosts[1].providerAddresses[0]",
    ]);
  });
  it("a far host that is not emulated, without a neighbor", () => {
    const text = readFileSync(new URL("one-host-records.yaml", examples), "utf8").replace(
      / {2}- \{ host: host1, address: 192.168.4.22.*\n/,
      "",
    );
    expect(shown(findings(text))).toContain("error NEIGHBOR_MISSING lookupRecords[1]");
  });
  it("a next hop without a neighbor", () => {
    let text = readFileSync(new URL("one-host-records.yaml", examples), "utf8").replace(
      / {2}- \{ host: host1, address: 192.168.4.1,.*\n/,
      "",
    );
    text = text.replaceAll("providerAddress: 192.168.4.22", "providerAddress: 172.16.0.9");
    const finding = findings(text).find((f) => f.code === "NEIGHBOR_MISSING");
    expect(finding?.message).toBe("host1 does not know the MAC of 192.168.4.1, the next hop to 172.16.0.9");
  });
  it("a PA whose prefix length is not its subnet's", () => {
    const list = findings(swap("{ address: 192.168.4.22 }", "{ address: 192.168.4.22, prefixLength: 16 }"));
    expect(shown(list)).toEqual(["warning PREFIX_LENGTH_MISMATCH hosts[1].providerAddresses[0]"]);
  });
  it("a provider MTU that is one byte short", () => {
    expect(shown(findings(swap("mtu: 1600", "mtu: 1542")))).toEqual([]);
    const list = findings(swap("mtu: 1600", "mtu: 1541"));
    expect(shown(list)).toEqual(["warning MTU_TOO_SMALL provider.subnets[0].mtu"]);
    expect(list[0]?.message).toContain("need 1542, so 1 bytes are missing; the longest that passes has 1499");
  });
  it("a tunnel that leaves less than 1280 for VMs with IPv6, over either family", () => {
    const ipv6 = (mtu: number): string =>
      swap("vsid: 5001, addresses: [10.0.0.5]", 'vsid: 5001, addresses: [10.0.0.5, "fd00:10::5"]')
        .replace("prefixes: [10.0.0.0/24],", 'prefixes: [10.0.0.0/24, "fd00:10::/64"],')
        .replace("mtu: 1600", `mtu: ${mtu}`);
    expect(shown(findings(ipv6(1322)))).toEqual(["warning MTU_TOO_SMALL provider.subnets[0].mtu"]);
    const list = findings(ipv6(1321));
    expect(shown(list)).toEqual([
      "error IPV6_MTU_TOO_SMALL provider.subnets[0].mtu",
      "warning MTU_TOO_SMALL provider.subnets[0].mtu",
    ]);
    expect(list[0]).toMatchObject({
      message: expect.stringContaining("leaves 1279, but IPv6, which VMs of host1 have"),
      cure: "set mtu: 1322 or more",
    });
    expect(shown(findings(swap("mtu: 1600", "mtu: 1000")))).toEqual(["warning MTU_TOO_SMALL provider.subnets[0].mtu"]);
    const overIpv6 = (mtu: number): string =>
      readFileSync(new URL("two-tenants-v6.yaml", examples), "utf8").replace(/mtu: \d+/, `mtu: ${mtu}`);
    const errors = (text: string) => shown(findings(text)).filter((line) => line.startsWith("error"));
    expect(errors(overIpv6(1342))).toEqual([]);
    expect(errors(overIpv6(1341))).toEqual(["error IPV6_MTU_TOO_SMALL provider.subnets[0].mtu"]);
    expect(errors(ipv6(1600).replace("mac: 02-00-C0-A8-04-0B }", "mac: 02-00-C0-A8-04-0B, mtu: 1300 }"))).toEqual([
      "error IPV6_MTU_TOO_SMALL hosts[0].nics[0].mtu",
    ]);
  });
  it("a provider MTU of 1500 is enough where all is rewritten (IP Rewrite)", () => {
    const nat = (text: string) => text.replace(" }", ", rule: TranslationMethodNat }");
    const records = [nat(BLUE1), nat(BLUE2)];
    expect(shown(findings(raw(records, records).replace("mtu: 1600", "mtu: 1500")))).toEqual([]);
    const one = [BLUE1, nat(BLUE2)];
    expect(shown(findings(raw(one, one).replace("mtu: 1600", "mtu: 1500")))).toEqual([
      "warning MTU_TOO_SMALL provider.subnets[0].mtu",
    ]);
  });
  it("a NIC's MTU that is smaller than its subnet's", () => {
    const list = findings(swap("mac: 02-00-C0-A8-04-0B }", "mac: 02-00-C0-A8-04-0B, mtu: 1500 }"));
    expect(shown(list)).toEqual(["warning MTU_TOO_SMALL hosts[0].nics[0].mtu"]);
  });
});

describe("combinations, each fine one by one", () => {
  it("L2Only and Static for the same MAC", () => {
    const list = findings(
      add(`lookupRecords: [${record("0.0.0.0", 5001, "06-06-00-00-00-07", "192.168.4.22", ", type: L2Only")}]`),
    );
    expect(shown(list)).toEqual(["warning L2ONLY_BESIDE_STATIC lookupRecords[0]"]);
    expect(
      shown(
        findings(raw([BLUE1, BLUE2.replace("10.0.0.7", '"::"').replace(" }", ", type: L2Only }")], [BLUE1, BLUE2])),
      ),
    ).not.toContain("warning L2ONLY_BESIDE_STATIC lookupRecords[1]");
  });
  const nat = (text: string) => text.replace(" }", ", rule: TranslationMethodNat }");
  const natFindings = (text: string) => shown(findings(text)).filter((line) => line.includes(" NAT_"));
  it("a provider address that stands for a customer address, and takes encapsulated packets besides", () => {
    const third = record("10.0.0.8", 5001, "06-06-00-00-00-07", "192.168.4.22");
    const text = raw([BLUE1, nat(BLUE2), third], [BLUE1, BLUE2, third]);
    expect(natFindings(text)).toEqual(["error NAT_BESIDE_ENCAP lookupRecords[2].providerAddress"]);
    expect(natFindings(raw([BLUE1, nat(BLUE2)], [BLUE1, nat(BLUE2)]))).toEqual([]);
  });
  it("mixed families, and no customer address at all", () => {
    const six = record('"fd00::7"', 5001, "06-06-00-00-00-07", "192.168.4.22");
    expect(natFindings(raw([BLUE1, nat(six)], [BLUE1, BLUE2]))).toEqual([
      "error NAT_FAMILY lookupRecords[1].providerAddress",
    ]);
    const unknown = record("0.0.0.0", 5001, "06-06-00-00-00-07", "192.168.4.22", ", type: L2Only");
    expect(natFindings(raw([BLUE1, nat(unknown)], [BLUE1, BLUE2]))).toEqual([
      "warning NAT_WITHOUT_ADDRESS lookupRecords[1]",
    ]);
  });
  it("a gateway among VMs, which Windows Server 2012 admits and 2012 R2 does not", () => {
    const route = `customerRoutes: [{ ${BLUE}, virtualSubnetID: 5001, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.0.7 }]`;
    const among = (text: string) => shown(findings(text)).filter((line) => line.includes("AMONG"));
    expect(among(add(route))).toEqual(["warning GATEWAY_AMONG_VMS customerRoutes[0].nextHop"]);
    expect(among(`${add(route)}mode: 2012\n`)).toEqual([]);
    const alone = route.replace("virtualSubnetID: 5001", "virtualSubnetID: 5002").replace("10.0.0.7", "10.0.1.9");
    expect(among(add(alone))).toEqual([]);
  });
  it("a port with VSID 0 bypasses network virtualization, whatever is on record", () => {
    const text = raw([BLUE1, BLUE2], [BLUE1, BLUE2]).replace(
      "mac: 06-06-00-00-00-07, vsid: 5001",
      "mac: 06-06-00-00-00-07",
    );
    const list = findings(text).filter(({ code }) => code === "PORT_NOT_VIRTUALIZED");
    expect(list[0]).toMatchObject({
      severity: "error",
      cure: "Set-VMNetworkAdapter -VMName Blue2 -VirtualSubnetId 5001",
    });
  });
});

describe("gateways and routers", () => {
  const GATEWAY_ROUTE = `customerRoutes: [{ ${BLUE}, virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.1.9 }]`;
  const wildcard = (vsid: number, mac: string, any = "0.0.0.0"): string =>
    record(any, vsid, mac, "192.168.4.22", ", type: GatewayWildcard");
  const BLUE3_WILDCARD = wildcard(5002, "06-06-00-00-00-09");

  it("a gateway without a GatewayWildcard record: what comes back is dropped", () => {
    const list = findings(add(GATEWAY_ROUTE));
    expect(shown(list)).toEqual(["warning GATEWAY_WITHOUT_WILDCARD customerRoutes[0].nextHop"]);
    expect(list[0]).toMatchObject({
      cure: "add a record of type GatewayWildcard with this MAC and provider address 192.168.4.22",
    });
    expect(shown(findings(add(`${GATEWAY_ROUTE}\nlookupRecords: [${BLUE3_WILDCARD}]`)))).toEqual([]);
  });

  it("hard case: wildcards in two virtual subnets of one routing domain", () => {
    const second = wildcard(5001, "06-06-00-00-00-07");
    const list = findings(add(`${GATEWAY_ROUTE}\nlookupRecords: [${BLUE3_WILDCARD}, ${second}]`));
    expect(shown(list)).toEqual(["warning WILDCARD_IN_TWO_SUBNETS lookupRecords[0]"]);
    expect(list[0]!.message).toContain("VSIDs 5001 and 5002");
    const ofBothFamilies = `${BLUE3_WILDCARD}, ${wildcard(5002, "06-06-00-00-00-09", '"::"')}`;
    expect(shown(findings(add(`${GATEWAY_ROUTE}\nlookupRecords: [${ofBothFamilies}]`)))).toEqual([]);
    const ofTwoTenants = `${BLUE3_WILDCARD}, ${wildcard(6001, "08-08-00-00-00-05").replace(".22", ".11")}`;
    expect(shown(findings(add(`${GATEWAY_ROUTE}\nlookupRecords: [${ofTwoTenants}]`)))).toEqual([]);
  });

  it("a VM on the gateway address: its record has an adapter's MAC", () => {
    const list = findings(add(`lookupRecords: [${record("10.0.0.1", 5001, "06-06-00-00-00-05", "192.168.4.11")}]`));
    expect(shown(list)).toContain("error VM_ON_GATEWAY_ADDRESS lookupRecords[0]");
    expect(list.find(({ code }) => code === "VM_ON_GATEWAY_ADDRESS")?.message).toContain("host1/Blue1");
  });

  it("an external router that no record places", () => {
    const text = `${TWO_HOSTS}settings: { useExternalRouter: true }\n`;
    const missing = (more: string) =>
      shown(findings(`${text}${more}`)).filter((line) => line.includes("EXTERNAL_ROUTER_MISSING"));
    expect(missing("")).toEqual([
      "error EXTERNAL_ROUTER_MISSING routingDomains[0].subnets[0].gatewayMac", // derived, at a dummy
      "error EXTERNAL_ROUTER_MISSING routingDomains[0].subnets[0].gatewayMac", // on both hosts
      "error EXTERNAL_ROUTER_MISSING hosts[0]", // Red's
      "error EXTERNAL_ROUTER_MISSING hosts[1]", // Blue's VSID 5002
    ]);
    const router = (vsid: number, address: string) => record(address, vsid, "02-00-00-00-00-FE", "192.168.4.99");
    const all = `lookupRecords: [${router(5001, "10.0.0.1")}, ${router(5002, "10.0.1.1")}, ${router(6001, "10.0.0.1")}]\n`;
    expect(missing(all)).toEqual([]);
    const red = BLUE.replaceAll("5001", "6001");
    const routes = [
      `${BLUE}, virtualSubnetID: 5001`,
      `${BLUE}, virtualSubnetID: 5002`,
      `${red}, virtualSubnetID: 6001`,
    ];
    const named = routes.map((route) => `{ ${route}, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.0.254 }`).join(", ");
    expect(missing(`customerRoutes: [${named}]\n`)).toEqual([]);
  });
});

describe("one address, two VMs", () => {
  it("hard case: a VM's address is on record for another VM, so its own probe is answered", () => {
    const list = findings(add(`lookupRecords: [${record("10.0.0.5", 5001, "06-06-00-00-00-07", "192.168.4.22")}]`));
    expect(shown(list)).toContain("error ADDRESS_OF_ANOTHER_VM lookupRecords[0]");
    expect(list.find(({ code }) => code === "ADDRESS_OF_ANOTHER_VM")?.message).toContain("host1/Blue1 has 10.0.0.5");
  });

  it("hosts that give one address to two MACs", () => {
    const other = BLUE2.replace("00-07", "00-77");
    const list = findings(raw([BLUE1, BLUE2], [BLUE1, other]));
    expect(shown(list)).toContain("error RECORDS_DISAGREE lookupRecords[3]");
    expect(shown(findings(raw([BLUE1, BLUE2], [BLUE1, BLUE2.replace(" }", ", vmName: x }")])))).toEqual([]);
  });
});

describe("flooding", () => {
  const DUMMY = BLUE2.replace("192.168.4.22", "169.254.254.254");
  const dummies = (text: string) => shown(findings(text)).filter((line) => line.includes("DUMMIES"));

  it("hard case: broadcast with only dummy provider addresses on record", () => {
    expect(dummies(raw([BLUE1, DUMMY], [BLUE1, BLUE2]))).toEqual(["warning FLOOD_TO_DUMMIES lookupRecords[1]"]);
    expect(dummies(`${raw([BLUE1, DUMMY], [BLUE1, BLUE2])}mode: 2012\n`)).toEqual([]);
    const third = record("10.0.0.9", 5001, "06-06-00-00-00-07", "192.168.4.22");
    expect(dummies(raw([BLUE1, DUMMY, third], [BLUE1, BLUE2, third]))).toEqual([]);
  });

  it("a group on record at a multicast PA, on one host only", () => {
    const group = record("239.1.2.3", 5001, "06-06-00-00-00-77", "239.9.9.9");
    expect(shown(findings(raw([BLUE1, BLUE2, group], [BLUE1, BLUE2])))).toEqual([
      "warning GROUP_NOT_JOINED lookupRecords[2]",
    ]);
    expect(shown(findings(raw([BLUE1, BLUE2, group], [BLUE1, BLUE2, group])))).toEqual([]);
  });

  it("a gateway address is on record at a dummy, which is as it should be", () => {
    const gateway = record("10.0.0.1", 5001, "06-06-00-00-01-01", "169.254.254.254");
    expect(dummies(raw([BLUE1, gateway], [BLUE1, gateway]))).toEqual([]);
  });
});

it("every finding is explained in docs/FABRIC-FILE.md", () => {
  const root = new URL("../../../", import.meta.url);
  const page = readFileSync(new URL("docs/FABRIC-FILE.md", root), "utf8");
  const folder = new URL("src/control/check/", root);
  const sources = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), "utf8"));
  const codes = sources.flatMap((text) =>
    [...text.matchAll(/findings\.add\(\s*"\w+",\s*"(\w+)"/g)].map(([, code]) => code!),
  );
  expect(codes.length).toBeGreaterThan(25);
  expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
});
