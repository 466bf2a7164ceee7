/** Built-in gateways in the fabric file: defaults, and each mistake at its place. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { formatAddress, formatMac, formatPrefix } from "../../../src/dataplane/wire/index.js";
import { change, load, onlyProblem, problemsShown } from "../labs.js";

const LAB = readFileSync(new URL("../../../examples/gateway.yaml", import.meta.url), "utf8");

describe("what is filled in", () => {
  const [gateway] = load(LAB).lab.gateways;
  it("the adapter's MAC and ports, and the router's MAC as the host's records give it", () => {
    expect(formatMac(gateway!.mac)).toBe("00-15-5D-E2-AB-03");
    expect(gateway!.tenants.map((t) => [t.routingDomain, t.vsid, t.adapterPort, formatMac(t.routerMac)])).toEqual([
      ["Contoso", 6001, "gw1/GW:6001", "00-11-22-33-44-66"],
      ["Fabrikam", 7001, "gw1/GW:7001", "02-00-5E-00-01-01"],
    ]);
    expect(gateway!.tenants.map((t) => t.addresses.map(formatAddress))).toEqual([["10.0.2.2"], ["10.0.2.2"]]);
  });
  it("internal prefixes, MTU and timeouts", () => {
    expect(gateway!.tenants[0]!.internalPrefixes.map(formatPrefix)).toEqual(["10.0.1.0/24", "10.0.2.0/24"]);
    expect(gateway!.external.mtu).toBe(1500);
    expect(gateway!.timeouts).toEqual({
      tcpEstablishedMs: 7_440_000,
      tcpTransitoryMs: 240_000,
      udpMs: 300_000,
      icmpMs: 60_000,
    });
  });
  it("a gateway for one tenant stands behind the plain port", () => {
    const text = `${LAB.split("  - name: Fabrikam")[0]!}provider: { subnets: [{ prefix: 192.168.0.0/24 }] }
hosts:
  - name: gw1
    nics: [{ name: nic1, mac: 02-00-C0-A8-00-0B }]
    providerAddresses: [{ address: 192.168.0.11 }]
    vms: [{ name: GW, adapters: [{ mac: 00-15-5D-E2-AB-03, vsid: 6001 }] }]
gateways:
  - name: edge
    adapter: gw1/GW
    external: { mac: 02-00-CB-00-71-02, routes: [{ destinationPrefix: 0.0.0.0/0, nextHop: 0.0.0.0 }] }
    tenants: [{ routingDomain: Contoso }]
`;
    expect(load(text).lab.gateways[0]!.tenants[0]!.adapterPort).toBe("gw1/GW");
  });
});

describe("mistakes", () => {
  it.each([
    ["a host's name", "name: edge", "name: hv1", "DUPLICATE_NAME", "hv1"],
    ["the provider's name", "name: edge", "name: provider", "RESERVED_NAME", "provider"],
    ["an unknown tenant", "routingDomain: Fabrikam", "routingDomain: Fabrikan", "UNKNOWN_ROUTING_DOMAIN", "Fabrikan"],
    ["a tenant twice", "routingDomain: Fabrikam", "routingDomain: Contoso", "DUPLICATE_NAME", "Contoso"],
    [
      "a tenant without a gateway here",
      "    gateways: [{ adapter: gw1/GW, vsid: 7001, addresses: [10.0.2.2] }]\n",
      "",
      "TENANT_WITHOUT_GATEWAY",
      "Fabrikam",
    ],
    [
      "a next hop without a MAC",
      "nextHop: 203.0.113.1 }",
      "nextHop: 203.0.113.9 }",
      "NEXT_HOP_WITHOUT_NEIGHBOR",
      "203.0.113.9",
    ],
    [
      "a next hop of the other family",
      "nextHop: 203.0.113.1 }",
      'nextHop: "2001:db8::1" }',
      "CUSTOMER_ROUTE_NEXT_HOP",
      '"2001',
    ],
    ["a group MAC", "mac: 02-00-CB-00-71-02", "mac: 03-00-CB-00-71-02", "BAD_MAC", "03"],
    [
      "an empty range",
      "portStart: 1, portEnd: 49151 }]\n        staticM",
      "portStart: 9, portEnd: 8 }]\n        staticM",
      "OUT_OF_RANGE",
      "8 }",
    ],
    ["port 0", "externalPort: 8080", "externalPort: 0", "OUT_OF_RANGE", "0"],
    ["a protocol without ports", "protocol: TCP", "protocol: ICMP", "NOT_ALLOWED", "ICMP"],
    ["families that do not meet", "internalAddress: 10.0.1.101", 'internalAddress: "fd00::1"', "BAD_ADDRESS", '"fd00'],
    ["a tunnel between families", "destination: 198.51.100.7", 'destination: "2001:db8::7"', "BAD_ADDRESS", '"2001'],
    [
      "an external group address",
      "{ address: 203.0.113.2, portStart: 1, portEnd: 49151 }]\n        staticM",
      "{ address: 224.0.0.2 }]\n        staticM",
      "ADDRESS_NOT_UNICAST",
      "224.0.0.2",
    ],
  ])("%s", (_, from, to, code, at) => {
    const problem = onlyProblem(change(LAB, from, to));
    expect([problem.code, problem.at.slice(0, at.length)]).toEqual([code, at]);
  });

  it("a mapping twice, also of two tenants; a tunnel twice", () => {
    const mapping =
      "{ protocol: TCP, externalAddress: 203.0.113.2, externalPort: 8080, internalAddress: 10.0.1.101, internalPort: 80 }";
    expect(onlyProblem(`${LAB}        staticMappings: [${mapping}]\n`).code).toBe("DUPLICATE_MAPPING");
    const tunnel =
      "{ name: again, key: 77, source: 203.0.113.3, destination: 198.51.100.7, prefixes: [172.17.0.0/16] }";
    expect(onlyProblem(`${LAB}        tunnels: [${tunnel}]\n`).code).toBe("DUPLICATE_TUNNEL");
  });

  it("a mapping to an address outside of the internal prefixes", () => {
    const narrow = change(
      LAB,
      "routingDomain: Contoso",
      "routingDomain: Contoso\n        internalPrefixes: [10.0.1.0/26]",
    );
    expect(onlyProblem(narrow).code).toBe("ADDRESS_OUTSIDE_SUBNET");
  });

  it("isolation ids that the adapter hides from its guest", () => {
    const problems = problemsShown(change(LAB, "multiTenantStack: true", "multiTenantStack: false"));
    expect(problems.map((problem) => problem.split(" ").slice(1))).toEqual([
      ["GATEWAY_WITHOUT_VSID", "gateways[0].tenants[0].routingDomain"],
      ["GATEWAY_WITHOUT_VSID", "gateways[0].tenants[1].routingDomain"],
    ]);
  });

  it("two gateways behind one adapter", () => {
    const twice = LAB + LAB.slice(LAB.indexOf("  - name: edge")).replace("name: edge", "name: edge2");
    expect(onlyProblem(twice).code).toBe("DUPLICATE_ADAPTER");
  });
});
