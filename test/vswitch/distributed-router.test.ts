/**
 * What a packet looks like on the wire, by where it goes: the same virtual subnet, another one of the routing domain, outside
 * through a gateway VM. One test per line of that summary, its three columns in it.
 */
import { describe, expect, it } from "vitest";
import { createLab, type EmulatedLab } from "../../src/index.js";
import { endsOf, type OnTheWire, packet, ROUTER, whoHas, wireOf } from "./whole-labs.js";

const RDID = "{11111111-2222-3333-4444-000000005001}";
const MAC = {
  blue1: "06-06-00-00-00-05",
  blue2: "06-06-00-00-00-07",
  blue3: "06-06-00-00-00-09",
  gateway: "06-06-00-00-00-02",
  router5001: "06-06-00-00-01-01",
  router5003: "06-06-00-00-03-01",
};

/** Blue1 and Blue2 in VSID 5001, Blue3 in 5002; the gateway VM has 10.0.2.2 in 5003, where the default route leads. */
const lab = (mode = "2012R2", change = (text: string): string => text): EmulatedLab =>
  createLab(
    change(`apiVersion: hnv/v1
mode: ${mode}
routingDomains:
  - name: Blue
    id: "${RDID}"
    subnets:
      - { vsid: 5001, prefixes: [10.0.0.0/24], gatewayMac: ${MAC.router5001} }
      - { vsid: 5002, prefixes: [10.0.1.0/24] }
      - { vsid: 5003, prefixes: [10.0.2.0/24], gatewayMac: ${MAC.router5003} }
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms:
      - { name: Blue1, adapters: [{ mac: ${MAC.blue1}, vsid: 5001, addresses: [10.0.0.5] }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms:
      - { name: Blue2, adapters: [{ mac: ${MAC.blue2}, vsid: 5001, addresses: [10.0.0.7] }] }
      - { name: Blue3, adapters: [{ mac: ${MAC.blue3}, vsid: 5002, addresses: [10.0.1.9] }] }
      - { name: Gateway, adapters: [{ mac: ${MAC.gateway}, vsid: 5003, addresses: [10.0.2.2] }] }
lookupRecords:
  - { customerAddress: 0.0.0.0, virtualSubnetID: 5003, macAddress: ${MAC.gateway}, providerAddress: 192.168.4.22, type: GatewayWildcard }
customerRoutes:
  - { routingDomainID: "${RDID}", virtualSubnetID: 5003, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.2.2, metric: 255 }
`),
  );

const DESTINATIONS = ["10.0.0.7", "10.0.1.9", "8.8.8.8"] as const;

describe.each(["2012R2", "2012"])("same subnet, other subnet, through a gateway VM, mode %s", (mode) => {
  const here = lab(mode);
  /** What Blue1's ARP finds for a neighbor on its link, or for its gateway. */
  const neighborOf = (destination: string): string => (destination === "10.0.0.7" ? MAC.blue2 : MAC.router5001);
  const sent = (destination: string): Uint8Array =>
    packet(neighborOf(destination), MAC.blue1, "10.0.0.5", destination, 64);
  const each = <Field extends keyof OnTheWire>(field: Field): readonly OnTheWire[Field][] =>
    DESTINATIONS.map((destination) => wireOf(here, "host1/Blue1", sent(destination))[field]);

  it("inner destination MAC as the VM sends it: from the answered ARP, of the target or of the gateway", () => {
    const macs = ["10.0.0.7", "10.0.0.1", "10.0.0.1"].map((target) => {
      const [step] = here.explain("host1/Blue1", whoHas(target, MAC.blue1, "10.0.0.5"));
      return Buffer.from(step!.answers[0]!.after.slice(6, 12)).toString("hex").toUpperCase();
    });
    expect(macs).toEqual(DESTINATIONS.map((destination) => neighborOf(destination).replaceAll("-", "")));
  });
  it("record that is used: (own VSID, destination), (VSID of its prefix, destination), (VSID of the gateway, gateway CA)", () => {
    const used = DESTINATIONS.map((destination) => {
      const [step] = here.explain("host1/Blue1", sent(destination));
      return step!.layers.find(({ layer }) => layer === "next hop")!.record;
    });
    expect(used).toMatchObject([
      { virtualSubnetID: 5001, vmName: "Blue2" },
      { virtualSubnetID: 5002, vmName: "Blue3" },
      { virtualSubnetID: 5003, vmName: "Gateway" },
    ]);
  });
  it("wire VSID: the common one, the destination's, the gateway's", () =>
    expect(each("vsid")).toEqual([5001, 5002, 5003]));
  it("inner destination MAC on the wire: the record's", () =>
    expect(each("to")).toEqual([MAC.blue2, MAC.blue3, MAC.gateway]));
  it("inner source MAC on the wire: the VM's, the router's in the wire VSID", () =>
    expect(each("from")).toEqual([MAC.blue1, ROUTER, MAC.router5003]));
  it("TTL: unchanged, one less, one less", () => expect(each("ttl")).toEqual([64, 63, 63]));
  it("inner IP addresses: unchanged, always", () => {
    expect(each("source")).toEqual(["10.0.0.5", "10.0.0.5", "10.0.0.5"]);
    expect(each("destination")).toEqual([...DESTINATIONS]);
  });
  it("all arrive, the last one at the gateway VM, which takes packets for any address", () => {
    expect(DESTINATIONS.flatMap((destination) => endsOf(here, "host1/Blue1", sent(destination)))).toEqual([
      "delivered host2/Blue2",
      "delivered host2/Blue3",
      "delivered host2/Gateway",
    ]);
  });
  it("back from outside: the gateway VM sends from an address that nobody has on record, in the VM's subnet on the wire", () => {
    const back = packet(MAC.router5003, MAC.gateway, "8.8.8.8", "10.0.0.5");
    expect(wireOf(here, "host2/Gateway", back)).toMatchObject({
      vsid: 5001,
      to: MAC.blue1,
      from: MAC.router5001,
      ttl: 63,
    });
    expect(endsOf(here, "host2/Gateway", back)).toEqual(["delivered host1/Blue1"]);
  });
});

describe.each(["2012R2", "2012"])(
  "what no router sends on (RFC 1812 §5.3.7, RFC 3927 §2.7, RFC 4291 §2.5.6), mode %s",
  (mode) => {
    const both = lab(mode, (text) =>
      text.replaceAll(
        /(?:prefixes|addresses): \[10\.0\.(\d)\.(\d+)(\/24)?\]/g,
        (all, subnet, host, prefix) => `${all.slice(0, -1)}, "fd00:1${subnet}::${prefix ? "/64" : host}"]`,
      ),
    );
    it.each([
      ["169.254.0.7", "10.0.0.5", "10.0.1.9"],
      ["0.0.0.0", "10.0.0.5", "10.0.1.9"],
      ["fe80::7", "fd00:10::5", "fd00:11::9"],
      ["::", "fd00:10::5", "fd00:11::9"],
    ])("%s reaches its own virtual subnet, no other", (source, near, far) => {
      expect(endsOf(both, "host2/Blue2", packet(MAC.blue1, MAC.blue2, source, near))).toEqual([
        "delivered host1/Blue1",
      ]);
      expect(endsOf(both, "host2/Blue2", packet(MAC.router5001, MAC.blue2, source, far))).toEqual([
        "dropped host2/Blue2 TX_SRC_POLICY",
      ]);
      expect(endsOf(both, "host2/Blue2", packet(MAC.router5001, MAC.blue2, source, near)), "nor back").toEqual([
        "dropped host2/Blue2 TX_SRC_POLICY",
      ]);
    });
  },
);

it.each(["169.254.0.8", "fe80::8"])(
  "P-108: to %s at the router's MAC address: its record, with whatever provider address, leads nowhere",
  (to) => {
    const [source, here] = to.includes(":") ? ["fe80::5", "fe80::5"] : ["10.0.0.5", "169.254.0.5"];
    for (const from of [source, here])
      expect(endsOf(lab(), "host1/Blue1", packet(MAC.router5001, MAC.blue1, from, to))).toEqual([
        "dropped host1/Blue1 TX_NO_RECORD",
      ]);
  },
);

it("a destination inside the gateway subnet's prefix needs a record like any other", () => {
  expect(endsOf(lab(), "host1/Blue1", packet(MAC.router5001, MAC.blue1, "10.0.0.5", "10.0.2.9"))).toEqual([
    "dropped host1/Blue1 TX_NO_RECORD",
  ]);
});

describe("useExternalRouter: a router VM with an adapter in each virtual subnet", () => {
  const wildcard = (vsid: number, mac: string): string =>
    `\n  - { customerAddress: 0.0.0.0, virtualSubnetID: ${vsid}, macAddress: ${mac}, providerAddress: 192.168.4.22, type: GatewayWildcard }`;
  const gateway = (vsid: number, ca: string, mac: string): string =>
    `\n  - { customerAddress: ${ca}, virtualSubnetID: ${vsid}, macAddress: ${mac}, providerAddress: 192.168.4.22 }`;
  const [R1, R2] = ["06-06-00-00-0F-01", "06-06-00-00-0F-02"];
  const routed = createLab(`apiVersion: hnv/v1
settings: { useExternalRouter: true }
routingDomains:
  - name: Blue
    id: "${RDID}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }, { vsid: 5002, prefixes: [10.0.1.0/24] }]
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms:
      - { name: Blue1, adapters: [{ mac: ${MAC.blue1}, vsid: 5001, addresses: [10.0.0.5] }] }
      - { name: Blue3, adapters: [{ mac: ${MAC.blue3}, vsid: 5002, addresses: [10.0.1.9] }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms:
      - { name: Router, adapters: [{ mac: ${R1}, vsid: 5001 }, { mac: ${R2}, vsid: 5002 }] }
lookupRecords:${gateway(5001, "10.0.0.1", R1)}${gateway(5002, "10.0.1.1", R2)}${wildcard(5001, R1)}${wildcard(5002, R2)}
`);

  it("ARP for the gateway address finds the router's MAC", () => {
    const [, answer] = routed.send("host1/Blue1", whoHas("10.0.0.1", MAC.blue1, "10.0.0.5"));
    expect(Buffer.from(answer!.frame.slice(22, 28)).toString("hex")).toBe("060600000f01");
  });
  it("gets what leaves a virtual subnet in that subnet, and what it sends on arrives in the other", () => {
    const first = packet(R1, MAC.blue1, "10.0.0.5", "10.0.1.9", 64);
    expect(wireOf(routed, "host1/Blue1", first)).toMatchObject({ vsid: 5001, to: R1, from: MAC.blue1, ttl: 64 });
    const [end] = routed.send("host1/Blue1", first);
    expect([end!.port, Buffer.from(end!.frame)]).toEqual(["host2/Router", Buffer.from(first)]);
    const second = packet(MAC.blue3, R2, "10.0.0.5", "10.0.1.9", 63);
    const [last] = routed.send("host2/Router.2", second);
    expect([last!.port, Buffer.from(last!.frame)]).toEqual(["host1/Blue3", Buffer.from(second)]);
  });
  it("even between two VMs of one host, whose own router is not asked", () => {
    expect(endsOf(routed, "host1/Blue1", packet(ROUTER, MAC.blue1, "10.0.0.5", "10.0.1.9"))).toEqual([
      "delivered host2/Router",
    ]);
  });
});
