import { describe, expect, it } from "vitest";
import { change, load, onlyProblem, problemsShown, TWO_HOSTS } from "../labs.js";

/** A change of TWO_HOSTS that makes one mistake: what, from, to, code, where the problem points. */
type Mistake = readonly [what: string, text: () => string, code: string, at: string];

const swap = (from: string, to: string) => () => change(TWO_HOSTS, from, to);
const add = (line: string) => () => `${TWO_HOSTS}${line}\n`;
const both = (first: () => string, from: string, to: string) => () => change(first(), from, to);

const record = (fields: string): string => `lookupRecords: [{ ${fields} }]`;
const RECORD =
  "customerAddress: 10.0.0.99, virtualSubnetID: 5001, macAddress: 060600000099, providerAddress: 192.168.4.22";
const NAT_RECORD = `${RECORD}, rule: TranslationMethodNat`;
const BLUE = 'routingDomainID: "{11111111-2222-3333-4444-000000005001}"';
const RED = 'routingDomainID: "{11111111-2222-3333-4444-000000006001}"';

const MISTAKES: readonly Mistake[] = [
  // Names.
  ["two routing domains of one name", swap("name: Red\n", "name: Blue\n"), "DUPLICATE_NAME", "Blue"],
  ["two hosts of one name", swap("name: host2", "name: host1"), "DUPLICATE_NAME", "host1"],
  ["a host called provider", swap("name: host2", "name: provider"), "RESERVED_NAME", "provider"],
  ["two VMs of one name on a host", swap("name: Red1", "name: Blue1"), "DUPLICATE_NAME", "Blue1"],
  ["a VM called like a NIC", swap("name: Red1", "name: nic1"), "DUPLICATE_NAME", "nic1"],
  [
    "a VM called like another's second adapter",
    both(
      swap("name: Red1", "name: Blue1.2"),
      "addresses: [10.0.0.5] }] }\n      - { name: Blue1.2",
      "addresses: [10.0.0.5] }, { mac: 0606000000aa }] }\n      - { name: Blue1.2",
    ),
    "DUPLICATE_NAME",
    "Blue1.2",
  ],
  ["a name with a slash", swap("name: Blue1,", "name: a/b,"), "BAD_NAME", "a/b"],
  ["a name with an equals sign", swap("name: host1", "name: a=b"), "BAD_NAME", "a=b"],
  [
    "two provider ports of one name",
    both(
      swap("name: host2\n    nics: [{ name: nic1,", "name: host1.a\n    nics: [{ name: nic1,"),
      "nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }",
      "nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }, { name: a.nic1, mac: 02-00-C0-A8-04-0C }",
    ),
    "DUPLICATE_NAME",
    "nic1, mac: 02-00-C0-A8-04-16",
  ],
  ["a record of an unknown host", add(record(`host: host3, ${RECORD}`)), "UNKNOWN_HOST", "host3"],
  // Tenants.
  ["two routing domains of one id", swap("000000006001", "000000005001"), "DUPLICATE_ID", '"{1111'],
  [
    "a VSID in two routing domains",
    both(swap("vsid: 6001, prefixes", "vsid: 5002, prefixes"), "vsid: 6001, addresses: [10.0.0.5]", "vsid: 5002"),
    "DUPLICATE_VSID",
    "5002, prefixes: [10.0.0.0",
  ],
  ["overlapping prefixes in one routing domain", swap("10.0.1.0/24", "10.0.0.0/16"), "PREFIX_OVERLAP", "10.0.0.0/16"],
  [
    "two prefixes of a family in one subnet",
    swap("[10.0.1.0/24]", "[10.0.1.0/24, 10.0.2.0/24]"),
    "SECOND_PREFIX",
    "10.0.2.0/24",
  ],
  ["a group address as gateway MAC", swap("06-06-00-00-01-01", "01-00-5E-00-00-01"), "BAD_MAC", "01-00-5E"],
  [
    "an adapter in a VSID that is not there",
    swap("mac: 06-06-00-00-00-09, vsid: 5002", "mac: 06-06-00-00-00-09, vsid: 5003"),
    "UNKNOWN_VSID",
    "5003",
  ],
  ["a MAC twice in a VSID", swap("06-06-00-00-00-07", "06-06-00-00-00-05"), "DUPLICATE_MAC", "06-06-00-00-00-05"],
  ["the zero MAC", swap("06-06-00-00-00-07", "00-00-00-00-00-00"), "BAD_MAC", "00-00"],
  ["an address twice in a VSID", swap("[10.0.0.7]", "[10.0.0.5]"), "DUPLICATE_ADDRESS", "10.0.0.5]"],
  ["an address outside of its subnet", swap("[10.0.1.9]", "[10.0.2.9]"), "ADDRESS_OUTSIDE_SUBNET", "10.0.2.9"],
  [
    "an address of a family that its subnet lacks",
    swap("[10.0.1.9]", '[10.0.1.9, "fd00::9"]'),
    "ADDRESS_OUTSIDE_SUBNET",
    '"fd00::9"',
  ],
  ["a VM with the gateway address", swap("[10.0.1.9]", "[10.0.1.1]"), "ADDRESS_IS_GATEWAY", "10.0.1.1"],
  ["a VM with the broadcast address", swap("[10.0.1.9]", "[10.0.1.255]"), "ADDRESS_NOT_UNICAST", "10.0.1.255"],
  ["a VM with the subnet's address", swap("[10.0.1.9]", "[10.0.1.0]"), "ADDRESS_NOT_UNICAST", "10.0.1.0]"],
  ["a VM with a multicast address", swap("[10.0.1.9]", "[224.0.0.9]"), "ADDRESS_NOT_UNICAST", "224.0.0.9"],
  // The provider network.
  [
    "overlapping provider subnets",
    swap("mtu: 1600 }", "mtu: 1600 }\n    - { prefix: 192.168.0.0/16 }"),
    "PREFIX_OVERLAP",
    "192.168.0.0/16",
  ],
  [
    "a provider gateway outside of its subnet",
    swap("mtu: 1600", "gateway: 192.168.5.1"),
    "ADDRESS_OUTSIDE_SUBNET",
    "192.168.5.1",
  ],
  ["a PA in no provider subnet", swap("192.168.4.22", "192.168.5.22"), "PA_OUTSIDE_PROVIDER", "192.168.5.22"],
  [
    "a PA on another VLAN than its subnet",
    swap("{ address: 192.168.4.22 }", "{ address: 192.168.4.22, vlan: 103 }"),
    "VLAN_MISMATCH",
    "103",
  ],
  [
    "a PA that is the provider gateway",
    swap("mtu: 1600", "gateway: 192.168.4.22"),
    "ADDRESS_IS_GATEWAY",
    "192.168.4.22",
  ],
  ["a PA on two hosts", swap("192.168.4.22", "192.168.4.11"), "PROVIDER_ADDRESS_EXISTS", "192.168.4.11"],
  [
    "a PA on every host",
    add("providerAddresses: [{ providerAddress: 192.168.4.33 }]"),
    "PROVIDER_ADDRESS_EXISTS",
    "192.168.4.33",
  ],
  ["a multicast PA", swap("192.168.4.22", "239.0.0.1"), "PROVIDER_ADDRESS_INVALID", "239.0.0.1"],
  [
    "a PA on an unknown NIC",
    swap("{ address: 192.168.4.22 }", "{ address: 192.168.4.22, nic: nic9 }"),
    "UNKNOWN_NIC",
    "nic9",
  ],
  [
    "a PA on a host without NICs",
    swap("    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]\n", ""),
    "NO_NIC",
    "{ address: 192.168.4.22",
  ],
  [
    "a raw PA on an interface that is not there",
    add("providerAddresses: [{ host: host1, providerAddress: 192.168.4.33, interfaceIndex: 2 }]"),
    "UNKNOWN_NIC",
    "2 }",
  ],
  ["a NIC's MAC twice", swap("02-00-C0-A8-04-16", "02-00-C0-A8-04-0B"), "DUPLICATE_MAC", "02-00-C0-A8-04-0B"],
  [
    "a PA's MAC that is another host's NIC's",
    swap("{ address: 192.168.4.22 }", "{ address: 192.168.4.22, mac: 0200C0A8040B }"),
    "DUPLICATE_MAC",
    "0200C0A8040B",
  ],
  [
    "a team of two",
    swap(
      "nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]",
      "nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }, { name: nic2, mac: 02-00-C0-A8-04-17 }]\n    team: { name: t, members: [nic1, nic2] }",
    ),
    "TEAM_NOT_EMULATED",
    "[nic1, nic2]",
  ],
  [
    "a team of an unknown NIC",
    swap("mac: 02-00-C0-A8-04-16 }]", "mac: 02-00-C0-A8-04-16 }]\n    team: { name: t, members: [nic7] }"),
    "UNKNOWN_NIC",
    "nic7",
  ],
  [
    "a VM to be recorded on a host without PAs",
    swap(
      "    providerAddresses: [{ address: 192.168.4.11 }]\n    vms:\n      - { name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5] }] }\n      - { name: Red1,",
      "    vms:\n      - { name: Red1,",
    ),
    "NO_PROVIDER_ADDRESS",
    "10.0.0.5] }] }",
  ],
  // Raw records.
  [
    "a record twice",
    add(`lookupRecords:\n  - { ${RECORD} }\n  - { ${RECORD} }`),
    "LOOKUP_RECORD_CONFLICT",
    "10.0.0.99, v",
  ],
  [
    "P-901: two addresses rewritten to one provider address",
    add(
      `lookupRecords:\n  - { ${NAT_RECORD} }\n  - { ${NAT_RECORD.replace("10.0.0.99", "10.0.0.98").replace("192.168.4.22", '"192.168.4.22"')} }`,
    ),
    "LOOKUP_RECORD_NAT_SHARED_PA",
    '"192.168.4.22"',
  ],
  [
    "P-901: the same address rewritten in two virtual subnets, one of them for one host",
    add(
      `lookupRecords:\n  - { ${NAT_RECORD} }\n  - { host: host1, ${NAT_RECORD.replace("5001", "5002").replace("192.168.4.22", '"192.168.4.22"')} }`,
    ),
    "LOOKUP_RECORD_NAT_SHARED_PA",
    '"192.168.4.22"',
  ],
  [
    "a Static record without an address",
    add(record(RECORD.replace("10.0.0.99", "0.0.0.0"))),
    "LOOKUP_RECORD_CUSTOMER_ADDRESS",
    "0.0.0.0",
  ],
  [
    "an L2Only record with an address",
    add(record(`${RECORD}, type: L2Only`)),
    "LOOKUP_RECORD_CUSTOMER_ADDRESS",
    "10.0.0.99",
  ],
  [
    "a record with a multicast PA",
    add(record(RECORD.replace("192.168.4.22", "239.0.0.1"))),
    "LOOKUP_RECORD_PROVIDER_ADDRESS",
    "239.0.0.1",
  ],
  [
    "useVmMACAddress with encapsulation",
    add(record(`${RECORD}, useVmMACAddress: true`)),
    "LOOKUP_RECORD_USE_VM_MAC",
    "true",
  ],
  ["a record's group MAC", add(record(RECORD.replace("060600000099", "ff-ff-ff-ff-ff-ff"))), "BAD_MAC", "ff-ff"],
  [
    "a VSID bound to a second routing domain",
    add(`customerRoutes: [{ ${RED}, virtualSubnetID: 5001, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.0.9 }]`),
    "VSID_IN_TWO_ROUTING_DOMAINS",
    '"{1111',
  ],
  [
    "a second on-link route of a VSID",
    add(`customerRoutes: [{ ${BLUE}, virtualSubnetID: 5001, destinationPrefix: 10.7.0.0/24, nextHop: 0.0.0.0 }]`),
    "CUSTOMER_ROUTE_SECOND_ON_LINK",
    "10.7.0.0/24",
  ],
  [
    "an on-link route that overlaps another VSID's",
    add(`customerRoutes: [{ ${BLUE}, virtualSubnetID: 5005, destinationPrefix: 10.0.1.128/25, nextHop: 0.0.0.0 }]`),
    "CUSTOMER_ROUTE_OVERLAP",
    "10.0.1.128/25",
  ],
  [
    "a next hop that is the subnet's own gateway address",
    add(`customerRoutes: [{ ${BLUE}, virtualSubnetID: 5001, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.0.1 }]`),
    "CUSTOMER_ROUTE_NEXT_HOP_IS_GATEWAY",
    "10.0.0.1",
  ],
  [
    "a next hop of the other family",
    add(`customerRoutes: [{ ${BLUE}, virtualSubnetID: 5001, destinationPrefix: 0.0.0.0/0, nextHop: "fd00::2" }]`),
    "CUSTOMER_ROUTE_NEXT_HOP",
    '"fd00::2"',
  ],
  [
    "a customer route twice",
    add(
      `customerRoutes:\n${`  - { ${BLUE}, virtualSubnetID: 5001, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.0.2 }\n`.repeat(2)}`,
    ),
    "CUSTOMER_ROUTE_EXISTS",
    "{ routingDomainID",
  ],
  [
    "a provider route twice",
    add(`providerRoutes:\n${"  - { destinationPrefix: 0.0.0.0/0, nextHop: 192.168.4.1 }\n".repeat(2)}`),
    "PROVIDER_ROUTE_EXISTS",
    "{ destinationPrefix",
  ],
  [
    "a provider route to a multicast next hop",
    add("providerRoutes: [{ destinationPrefix: 0.0.0.0/0, nextHop: 224.0.0.1 }]"),
    "PROVIDER_ROUTE_NEXT_HOP",
    "224.0.0.1",
  ],
  [
    "a neighbor twice",
    add("neighbors:\n  - { address: 192.168.4.1, mac: 020000000001 }\n  - { address: 192.168.4.1, mac: 020000000002 }"),
    "NEIGHBOR_EXISTS",
    "192.168.4.1, mac: 020000000002",
  ],
  [
    "a multicast neighbor",
    add("neighbors: [{ address: 224.0.0.1, mac: 020000000001 }]"),
    "NEIGHBOR_ADDRESS_INVALID",
    "224.0.0.1",
  ],
];

describe("a lab with one mistake has one problem", () => {
  it("and none without", () => expect(problemsShown(TWO_HOSTS)).toEqual([]));
  it.each(MISTAKES)("%s", (_, text, code, at) => {
    const problem = onlyProblem(text());
    expect(problem.code).toBe(code);
    expect(problem.at.slice(0, at.length)).toBe(at);
  });
});

describe("without provider subnets", () => {
  const bare = change(TWO_HOSTS, "provider:\n  subnets:\n    - { prefix: 192.168.4.0/24, mtu: 1600 }\n", "");
  const withLengths = (first: string, second: string): string =>
    change(
      change(bare, "{ address: 192.168.4.11 }", `{ address: 192.168.4.11, ${first} }`),
      "{ address: 192.168.4.22 }",
      `{ address: 192.168.4.22, ${second} }`,
    );

  it("PAs need their prefix length", () => {
    expect(problemsShown(bare)).toEqual([
      "15:36 PREFIX_LENGTH_MISSING hosts[0].providerAddresses[0].address",
      "21:36 PREFIX_LENGTH_MISSING hosts[1].providerAddresses[0].address",
    ]);
  });
  it("PAs of one prefix agree on the VLAN", () => {
    expect(onlyProblem(withLengths("prefixLength: 24, vlan: 5", "prefixLength: 24, vlan: 6"))).toMatchObject({
      code: "VLAN_MISMATCH",
      line: 21,
    });
  });
  it("PAs of overlapping prefixes agree on the length", () => {
    expect(onlyProblem(withLengths("prefixLength: 24", "prefixLength: 25"))).toMatchObject({
      code: "PREFIX_OVERLAP",
      line: 21,
    });
  });
});

describe("what is no mistake", () => {
  it.each([
    ["one MAC and one address in two VSIDs", change(TWO_HOSTS, "08-08-00-00-00-05", "06-06-00-00-00-05")],
    ["a raw record in place of a derived one", `${TWO_HOSTS}${record(RECORD.replace("10.0.0.99", "10.0.0.7"))}\n`],
    [
      "a raw record for all hosts and one for a host",
      `${TWO_HOSTS}lookupRecords:\n  - { ${RECORD} }\n  - { host: host1, ${RECORD} }\n`,
    ],
    [
      "L2Only records of two MACs",
      `${TWO_HOSTS}lookupRecords:\n${["a1", "a2"].map((end) => `  - { customerAddress: 0.0.0.0, virtualSubnetID: 5001, macAddress: 0606000000${end}, providerAddress: 192.168.4.22, type: L2Only }\n`).join("")}`,
    ],
    [
      "a port with VSID 16777215",
      change(
        TWO_HOSTS,
        "mac: 06-06-00-00-00-09, vsid: 5002, addresses: [10.0.1.9]",
        "mac: 06-06-00-00-00-09, vsid: 16777215",
      ),
    ],
    [
      "P-901: one provider address rewritten for another customer address, on the host where the record for all is another",
      `${TWO_HOSTS}lookupRecords:
  - { ${NAT_RECORD} }
  - { host: host1, ${NAT_RECORD.replace("192.168.4.22", "192.168.4.23")} }
  - { host: host1, ${NAT_RECORD.replace("10.0.0.99", "10.0.0.98")} }
`,
    ],
    [
      "a port without a VSID, with addresses",
      change(TWO_HOSTS, "mac: 06-06-00-00-00-09, vsid: 5002", "mac: 06-06-00-00-00-09"),
    ],
    [
      "a /31, which has no gateway address",
      change(change(TWO_HOSTS, "10.0.1.0/24", "10.0.1.8/31"), "[10.0.1.9]", "[10.0.1.8, 10.0.1.9]"),
    ],
    [
      "on-link written as 0.0.0.0 for an IPv6 route",
      `${TWO_HOSTS}customerRoutes: [{ ${BLUE}, virtualSubnetID: 5002, destinationPrefix: "fd00::/64", nextHop: 0.0.0.0 }]\n`,
    ],
    [
      "a raw PA in place of the fabric's",
      `${TWO_HOSTS}providerAddresses: [{ host: host1, providerAddress: 192.168.4.11, macAddress: 020000000011 }]\n`,
    ],
  ])("%s", (_, text) => expect(() => load(text)).not.toThrow());
});
