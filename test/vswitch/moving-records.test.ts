/** Which lookup records go along with a VM that moves, and which provider address each gets (hnv-policy: the record's PA becomes the target's). */
import { describe, expect, test } from "vitest";
import { createLab, type EmulatedLab, formatAddress, type LabEvent, parseAddress, type Vsid } from "../../src/index.js";
import { endsOf, packet } from "./whole-labs.js";

const BLUE1 = "06-06-00-00-00-05";
const BLUE2 = "06-06-00-00-00-07";
const RED_SIDE = "06-06-00-00-00-08";
const NAT = "rule: TranslationMethodNat";

/** Blue2, on host2, has a foot in each tenant's network; Red1, on host3, has the MAC of Blue2's other adapter. */
const text = (addresses: string, events: string, more = ""): string => `
apiVersion: hnv/v1
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
routingDomains:
  - { name: Blue, id: "{11111111-2222-3333-4444-000000005001}", subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24, "fd00:10::/64"] }] }
  - { name: Red, id: "{11111111-2222-3333-4444-000000006001}", subnets: [{ vsid: 6001, prefixes: [10.0.0.0/24] }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms: [{ name: Blue1, adapters: [{ mac: ${BLUE1}, vsid: 5001, addresses: [10.0.0.5] }] }]
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }, { address: 192.168.4.23 }]
    vms:
      - name: Blue2
        adapters:
          - { mac: ${BLUE2}, vsid: 5001, addresses: [10.0.0.7, 10.0.0.8, "fd00:10::7"] }
          - { mac: ${RED_SIDE}, vsid: 6001, addresses: [10.0.0.8] }
  - name: host3
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-21 }]
    providerAddresses: [${addresses}]
    vms: [{ name: Red1, adapters: [{ mac: ${BLUE2}, vsid: 6001, addresses: [10.0.0.77] }] }]
  - name: host4
    policyDelay: 50
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-2C }]
    providerAddresses: [{ address: 192.168.4.44 }]
events: [${events}]
${more}`;

const moved = (from: string, at: number, to: string): string =>
  `{ at: ${at}, event: vmMoved, vm: ${from}/Blue2, to: ${to} }`;

const ONE = "{ address: 192.168.4.33 }";
const TWO = `${ONE}, { address: 192.168.4.34 }`;
const rewritten = (ca: string, mac: string, pa: string): string =>
  `  - { customerAddress: ${ca}, virtualSubnetID: 5001, macAddress: ${mac}, providerAddress: ${pa}, ${NAT} }\n`;

const ms = (time: number): bigint => BigInt(time) * 1_000_000n;

/** Where each host sends packets for a customer address. */
const placesOf = (lab: EmulatedLab, vsid: number, address: string): readonly (string | undefined)[] =>
  ["host1", "host2", "host3", "host4"].map((host) => {
    const record = lab.policyOf(host).lookupRecords.find(vsid as Vsid, parseAddress(address)!);
    return record && formatAddress(record.providerAddress);
  });
const everywhere = (address: string): readonly string[] => [address, address, address, address];

describe("the records of a VM that moves", () => {
  test("are those with its MAC in its virtual subnet: another tenant's VM with the same MAC keeps its own", () => {
    const lab = createLab(text(ONE, `${moved("host2", 10, "host1")}, ${moved("host1", 30, "host3")}`));
    lab.send("host1/Blue1", packet(BLUE2, BLUE1, "10.0.0.5", "10.0.0.7"), 0n);
    lab.pass(ms(20));
    expect(placesOf(lab, 6001, "10.0.0.77")).toEqual(everywhere("192.168.4.33"));
    for (const address of ["10.0.0.7", "10.0.0.8", "fd00:10::7"])
      expect(placesOf(lab, 5001, address).slice(0, 3), address).toEqual(everywhere("192.168.4.11").slice(1));
    lab.pass(ms(100));
    for (const address of ["10.0.0.7", "10.0.0.8", "fd00:10::7"])
      expect(placesOf(lab, 5001, address), address).toEqual(everywhere("192.168.4.33"));
    expect(placesOf(lab, 6001, "10.0.0.8")).toEqual(everywhere("192.168.4.33"));
  });
});

describe("records of IP Rewrite, whose provider address stands for one customer address", () => {
  const play = (addresses: string, records: string): { readonly lab: EmulatedLab; readonly refused: LabEvent[] } => {
    const refused: LabEvent[] = [];
    const file = text(addresses, moved("host2", 10, "host3"), `lookupRecords:\n${records}`);
    const lab = createLab(file, { onEvent: (event) => event.kind === "changeRefused" && refused.push(event) });
    lab.send("host1/Blue1", packet(BLUE2, BLUE1, "10.0.0.5", "10.0.0.7"), 0n);
    lab.pass(ms(100));
    return { lab, refused };
  };
  const sender = rewritten("10.0.0.5", BLUE1, "192.168.4.11");
  const both = rewritten("10.0.0.7", BLUE2, "192.168.4.22") + rewritten("10.0.0.8", BLUE2, "192.168.4.23");
  const fates = (lab: EmulatedLab): readonly string[] =>
    ["10.0.0.7", "10.0.0.8"].flatMap((address) =>
      endsOf(lab, "host1/Blue1", packet(BLUE2, BLUE1, "10.0.0.5", address)),
    );

  test("get one each, the same on every host", () => {
    const { lab, refused } = play(TWO, sender + both);
    const places = ["10.0.0.7", "10.0.0.8"].map((address) => placesOf(lab, 5001, address));
    expect([...places].sort()).toEqual([everywhere("192.168.4.33"), everywhere("192.168.4.34")]);
    expect(refused).toEqual([]);
    expect(fates(lab)).toEqual(["delivered host2/Blue2", "delivered host2/Blue2"]);
  });

  test("get none that stands for another VM on the new host", () => {
    const red = `  - { customerAddress: 10.0.0.77, virtualSubnetID: 6001, macAddress: ${BLUE2}, providerAddress: 192.168.4.33, ${NAT} }\n`;
    const { lab, refused } = play(`${TWO}, { address: 192.168.4.35 }`, sender + both + red);
    const places = ["10.0.0.7", "10.0.0.8"].map((address) => placesOf(lab, 5001, address));
    expect([...places].sort()).toEqual([everywhere("192.168.4.34"), everywhere("192.168.4.35")]);
    expect(placesOf(lab, 6001, "10.0.0.77")).toEqual(everywhere("192.168.4.33"));
    expect(refused).toEqual([]);
  });

  test("stay behind where the new host has too few, and each host tells that it refused", () => {
    const { lab, refused } = play(ONE, sender + both);
    const places = ["10.0.0.7", "10.0.0.8"].map((address) => placesOf(lab, 5001, address)[0]);
    expect(places.filter((place) => place === "192.168.4.33")).toHaveLength(1);
    expect(refused.map(({ node }) => node)).toEqual(["host1", "host2", "host3", "host4"]);
    expect(refused[0]!.message).toMatch(/^192\.168\.4\.33 stands for 10\.0\.0\.[78] of VSID 5001 already/);
  });
});
