/** Isolation and gateways in the fabric file: what is derived, and each mistake at its place. */
import { describe, expect, it } from "vitest";
import { formatAddress, formatMac, formatPrefix } from "../../../src/dataplane/wire/index.js";
import type { HostSettings } from "../../../src/vswitch/index.js";
import { change, hostOf, load, onlyProblem, TWO_HOSTS } from "../labs.js";

const MAPPED = `routingDomains: [{ name: Blue, isolationIDs: [5002] }, { name: Red, isolationIDs: [6001] }]`;
const GATEWAY = `      - { name: GW, adapters: [{ mac: 06-06-00-00-00-F0, isolation: { mode: NativeVirtualSubnet, multiTenantStack: true, ${MAPPED} } }] }\n`;
const LAB = `${change(
  TWO_HOSTS,
  "prefixes: [10.0.1.0/24] }\n",
  "prefixes: [10.0.1.0/24] }\n    gateways:\n      - { adapter: host2/GW, vsid: 5002, addresses: [10.0.1.2] }\n",
)}${GATEWAY}`;

const ofGateway = (host: HostSettings): readonly string[] =>
  [...host.lookupRecords]
    .filter(({ macAddress }) => formatMac(macAddress) === "06-06-00-00-00-F0")
    .map(
      (r) => `${r.virtualSubnetID} ${formatAddress(r.customerAddress)} ${formatAddress(r.providerAddress)} ${r.type}`,
    );
const through = (host: HostSettings): readonly string[] =>
  host.customerRoutes
    .filter(({ nextHop }) => formatAddress(nextHop) !== "0.0.0.0")
    .map((r) => `${r.virtualSubnetID} ${formatPrefix(r.destinationPrefix)} ${formatAddress(r.nextHop)} ${r.metric}`);

describe("a routing domain's gateways", () => {
  it("an address becomes a Static and a GatewayWildcard record on every host, and a default route", () => {
    const { lab } = load(LAB);
    for (const name of ["host1", "host2"]) {
      expect(ofGateway(hostOf(lab, name))).toEqual([
        "5002 0.0.0.0 192.168.4.22 GatewayWildcard",
        "5002 10.0.1.2 192.168.4.22 Static",
      ]);
    }
    expect(through(hostOf(lab, "host1"))).toEqual(["5002 0.0.0.0/0 10.0.1.2 255"]);
  });

  it("the gateway's own host has the route if it has other VMs of the tenant", () => {
    expect(through(hostOf(load(LAB).lab, "host2"))).toHaveLength(1);
    const alone = LAB.split("\n").filter((line) => !/name: Blue[23],/.test(line));
    expect(through(hostOf(load(alone.join("\n")).lab, "host2"))).toEqual([]);
  });

  it("destinations take the place of the default route; a raw route of a host wins over derived ones", () => {
    const some = change(
      LAB,
      "addresses: [10.0.1.2]",
      "addresses: [10.0.1.2], destinations: [172.16.0.0/12, 10.9.0.0/16]",
    );
    const raw = `${some}customerRoutes:\n  - { host: host1, routingDomainID: "{11111111-2222-3333-4444-000000005001}", virtualSubnetID: 5002, destinationPrefix: 10.9.0.0/16, nextHop: 10.0.1.2, metric: 1 }\n`;
    expect(through(hostOf(load(raw).lab, "host1"))).toEqual([
      "5002 172.16.0.0/12 10.0.1.2 255",
      "5002 10.9.0.0/16 10.0.1.2 1",
    ]);
    expect(through(hostOf(load(raw).lab, "host2"))).toContain("5002 10.9.0.0/16 10.0.1.2 255");
  });
});

it("an adapter with isolation ids is a port for each, and a plain one", () => {
  const ports = hostOf(load(LAB).lab, "host2").adapters.filter(({ vmName }) => vmName === "GW");
  expect(ports.map(({ portName, vsid, isolation }) => [portName, vsid, isolation?.isFiltered])).toEqual([
    ["GW", 0, true],
    ["GW:5002", 5002, false],
    ["GW:6001", 6001, false],
  ]);
});

describe("mistakes", () => {
  it.each([
    ["a VSID beside isolation", "06-06-00-00-00-F0, ", "06-06-00-00-00-F0, vsid: 5001, ", "VSID_AND_ISOLATION", "5001"],
    [
      "an unknown routing domain",
      "name: Red, isolationIDs",
      "name: Rde, isolationIDs",
      "UNKNOWN_ROUTING_DOMAIN",
      "Rde",
    ],
    [
      "an unknown RDID",
      "name: Red, isolationIDs",
      'id: "{11111111-2222-3333-4444-000000000099}", isolationIDs',
      "UNKNOWN_ROUTING_DOMAIN",
      '"{11',
    ],
    ["another tenant's VSID", "isolationIDs: [6001]", "isolationIDs: [5001]", "VSID_OF_OTHER_ROUTING_DOMAIN", "5001"],
    ["an id twice", "isolationIDs: [6001]", "isolationIDs: [6001, 6001]", "DUPLICATE_VSID", "6001]"],
    ["an id below 4096", "isolationIDs: [6001]", "isolationIDs: [3000]", "OUT_OF_RANGE", "3000"],
    ["a mapping of nobody", "name: Red, isolationIDs", "isolationIDs", "MISSING_FIELD", "{ isolationIDs"],
    [
      "a default without use",
      "multiTenantStack: true,",
      "defaultIsolationID: 5002,",
      "DEFAULT_ISOLATION_ID_UNUSED",
      "5002",
    ],
    ["mode Vlan", "mode: NativeVirtualSubnet", "mode: Vlan", "NOT_ALLOWED", "Vlan"],
    ["an unknown adapter", "adapter: host2/GW", "adapter: host2/GV", "UNKNOWN_ADAPTER", "host2/GV"],
    ["no port's name", "adapter: host2/GW", "adapter: GW", "BAD_NAME", "GW"],
    [
      "a gateway without the VSID",
      "5002, addresses: [10.0.1.2]",
      "5001, addresses: [10.0.0.2]",
      "GATEWAY_WITHOUT_VSID",
      "5001",
    ],
    [
      "a VSID of nobody here",
      "5002, addresses: [10.0.1.2]",
      "6001, addresses: [10.0.0.2]",
      "VSID_OF_OTHER_ROUTING_DOMAIN",
      "6001",
    ],
    ["the router's address", "[10.0.1.2]", "[10.0.1.1]", "ADDRESS_IS_GATEWAY", "10.0.1.1"],
    ["an address from elsewhere", "[10.0.1.2]", "[10.0.2.2]", "ADDRESS_OUTSIDE_SUBNET", "10.0.2.2"],
    ["two of a family", "[10.0.1.2]", "[10.0.1.2, 10.0.1.3]", "SECOND_ADDRESS", "10.0.1.3"],
    [
      "a destination of the other family",
      "addresses: [10.0.1.2]",
      'addresses: [10.0.1.2], destinations: ["::/0"]',
      "CUSTOMER_ROUTE_NEXT_HOP",
      '"::/0"',
    ],
  ])("%s", (_, from, to, code, at) => {
    const problem = onlyProblem(change(LAB, from, to));
    expect([problem.code, problem.at.slice(0, at.length)]).toEqual([code, at]);
  });

  it("a VM that is called like the port of an isolation id", () => {
    const twin = `      - { name: "GW:6001", adapters: [{ mac: 0A-00-00-00-00-01 }] }\n`;
    expect(onlyProblem(LAB + twin).code).toBe("DUPLICATE_NAME");
  });
});
