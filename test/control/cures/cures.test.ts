/**
 * A cure is true if it cures: each command is carried out, as the cmdlet would, on the host that it names, and then the same packet
 * arrives. The commands are read here by a reader of their own.
 */
import { describe, expect, it } from "vitest";
import { type Cure, curesFor, LabKnowledge } from "../../../src/control/index.js";
import { REASON_COUNT, Reason, type ReasonName, reasonName, trace } from "../../../src/dataplane/index.js";
import type { CustomerRoute, LookupRecord, ProviderAddress } from "../../../src/dataplane/policy/index.js";
import { type Prefix, parseAddress, parseMac, parsePrefix, sameAddress } from "../../../src/dataplane/wire/index.js";
import { kernelModule } from "../../../src/kernel-file.js";
import { Lab } from "../../../src/vswitch/index.js";
import {
  arp,
  frame as ethernet,
  icmpv6,
  neighborMessage,
  nvgre,
  ip as packet,
  udp as udpOf,
} from "../../engine/build.js";
import { blueUdp, blueUdp6, labText } from "../../engine/mtu/lab.js";
import { workedPacket } from "../../vectors/worked-packets.js";
import { change, load, TWO_HOSTS } from "../labs.js";
import { carryOut, follow } from "./carry-out.js";

const makeLab = (text: string): Lab => new Lab(load(text).lab, { kernel: kernelModule() });

/** UDP from one address to another, from the MACs given; made by hand. */
function udp(destinationMac: string, sourceMac: string, source: string, destination: string): Uint8Array {
  const ip = (text: string) =>
    text
      .split(".")
      .map((part) => Number(part).toString(16).padStart(2, "0"))
      .join("");
  const header = `4500001c0000400040110000${ip(source)}${ip(destination)}`;
  const words = header.match(/.{4}/g)!.map((word) => Number.parseInt(word, 16));
  let sum = words.reduce((total, word) => total + word, 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  const checksum = (~sum & 0xffff).toString(16).padStart(4, "0");
  const hex = `${destinationMac}${sourceMac}0800${header.slice(0, 20)}${checksum}${header.slice(24)}0fa0003500080000`;
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

const BLUE1 = "060600000005";
const BLUE2 = "060600000007";
const DEFAULT_GATEWAY = "02005e000101";
const TO_BLUE2 = udp(BLUE2, BLUE1, "10.0.0.5", "10.0.0.7");
const TO_BLUE3 = udp("060600000101", BLUE1, "10.0.0.5", "10.0.1.9");

interface Case {
  readonly why: string;
  readonly lab: () => Lab;
  readonly port?: string;
  readonly frame: Uint8Array;
  readonly reason: ReasonName;
  readonly blanks?: Readonly<Record<string, string>>;
  readonly end: string;
}

const without = (lab: Lab, host: string, address: string): Lab => {
  const record = [...lab.policyOf(host)!.lookupRecords].find(({ customerAddress }) =>
    sameAddress(customerAddress, parseAddress(address)!),
  )!;
  lab.changePolicy(host, { kind: "recordRemoved", record });
  return lab;
};
const replaced = (lab: Lab, host: string, address: string, change: Partial<LookupRecord>): Lab => {
  const record = [...lab.policyOf(host)!.lookupRecords].find(
    (candidate) => sameAddress(candidate.customerAddress, parseAddress(address)!) && candidate.virtualSubnetID !== 6001,
  )!;
  lab.changePolicy(host, { kind: "recordReplaced", record: { ...record, ...change } });
  return lab;
};
const withRoutes = (lab: Lab, host: string, keeps: (route: CustomerRoute) => boolean): Lab => {
  const routes = lab.policyOf(host)!.customerRoutes.all.filter(keeps);
  lab.changePolicy(host, { kind: "customerRoutesReplaced", routes });
  return lab;
};

/** Blue1 and Blue2 reach each other by IP Rewrite. */
function rewrittenLab(): Lab {
  const nat = (ca: string, mac: string, pa: string): string =>
    `  - { virtualSubnetID: 5001, customerAddress: ${ca}, macAddress: "${mac}", providerAddress: ${pa}, rule: TranslationMethodNat }\n`;
  const first = change(TWO_HOSTS, "{ address: 192.168.4.11 }", "{ address: 192.168.4.11 }, { address: 192.168.4.101 }");
  const both = change(first, "{ address: 192.168.4.22 }", "{ address: 192.168.4.22 }, { address: 192.168.4.102 }");
  const records = nat("10.0.0.5", BLUE1, "192.168.4.101") + nat("10.0.0.7", BLUE2, "192.168.4.102");
  return makeLab(`${both}lookupRecords:\n${records}`);
}
const ENCAPSULATED: Partial<LookupRecord> = {
  rule: "TranslationMethodEncap",
  providerAddress: parseAddress("192.168.4.11")!,
};

const CASES: readonly Case[] = [
  {
    why: "the sender's host lacks the record that the other host has",
    lab: () => without(makeLab(TWO_HOSTS), "host1", "10.0.0.7"),
    frame: TO_BLUE2,
    reason: "TX_NO_RECORD",
    end: "host2/Blue2",
  },
  {
    why: "nobody has a record: blanks",
    lab: () => without(without(makeLab(TWO_HOSTS), "host1", "10.0.1.9"), "host2", "10.0.1.9"),
    frame: TO_BLUE3,
    reason: "TX_NO_RECORD",
    blanks: { MACAddress: "060600000009", ProviderAddress: "192.168.4.22" },
    end: "host2/Blue3",
  },
  {
    why: "VM without a record of its own",
    lab: () => makeLab(TWO_HOSTS),
    frame: udp(BLUE2, BLUE1, "10.0.0.6", "10.0.0.7"),
    reason: "TX_SRC_POLICY",
    end: "", // the far host wants the record too
  },
  {
    why: "the routing domain lacks the route of the other subnet",
    lab: () => withRoutes(makeLab(TWO_HOSTS), "host1", (route) => route.virtualSubnetID !== 5002),
    frame: TO_BLUE3,
    reason: "TX_NO_ROUTE",
    end: "host2/Blue3",
  },
  {
    why: "the rule is none",
    lab: () => replaced(makeLab(TWO_HOSTS), "host1", "10.0.0.7", { rule: "TranslationMethodNone" }),
    frame: TO_BLUE2,
    reason: "TX_RULE_NONE",
    end: "host2/Blue2",
  },
  {
    why: "IP Rewrite, but not of the sender",
    lab: () => replaced(rewrittenLab(), "host1", "10.0.0.5", ENCAPSULATED),
    frame: TO_BLUE2,
    reason: "TX_NAT_SOURCE",
    blanks: { ProviderAddress: "192.168.4.101" },
    end: "host2/Blue2",
  },
  {
    why: "IP Rewrite with a provider address of the other family",
    lab: () => replaced(rewrittenLab(), "host1", "10.0.0.7", { providerAddress: parseAddress("2001:db8::1")! }),
    frame: TO_BLUE2,
    reason: "TX_NAT_FAMILY",
    blanks: { ProviderAddress: "192.168.4.102" },
    end: "host2/Blue2",
  },
  {
    why: "IP Rewrite of what the far host has no record of",
    lab: () => without(rewrittenLab(), "host2", "10.0.0.5"),
    frame: TO_BLUE2,
    reason: "RX_NAT_SOURCE",
    end: "host2/Blue2",
  },
  {
    why: "IP Rewrite of what the far host takes for encapsulated",
    lab: () => replaced(rewrittenLab(), "host2", "10.0.0.5", ENCAPSULATED),
    frame: TO_BLUE2,
    reason: "RX_NAT_SOURCE",
    end: "host2/Blue2",
  },
  {
    why: "the far host does not know the VSID",
    lab: () =>
      withRoutes(
        makeLab(
          change(
            TWO_HOSTS,
            "      - { name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }\n",
            "",
          ),
        ),
        "host2",
        (route) => route.virtualSubnetID !== 5002,
      ),
    port: "host1/Blue1",
    frame: TO_BLUE3,
    reason: "RX_SRC_POLICY", // VSID 5002 has a port there, but no routing domain in which the sender could be looked for
    end: "host2/Blue3",
  },
  {
    why: "records on one host only: the far host lacks the sender's",
    lab: () => without(makeLab(TWO_HOSTS), "host2", "10.0.0.5"),
    frame: TO_BLUE2,
    reason: "RX_SRC_POLICY",
    end: "host2/Blue2",
  },
  {
    why: "the far host has the sender at another provider address",
    lab: () => replaced(makeLab(TWO_HOSTS), "host2", "10.0.0.5", { providerAddress: parseAddress("192.168.4.77")! }),
    frame: TO_BLUE2,
    reason: "RX_SRC_POLICY",
    end: "host2/Blue2",
  },
  {
    why: "record exists, VM not at that PA",
    lab: () => replaced(makeLab(TWO_HOSTS), "host1", "10.0.0.7", { providerAddress: parseAddress("192.168.4.11")! }),
    frame: TO_BLUE2,
    reason: "NOT_ACCEPTED",
    end: "host2/Blue2",
  },
  {
    why: "the record names a provider address that nobody has",
    lab: () => replaced(makeLab(TWO_HOSTS), "host1", "10.0.0.7", { providerAddress: parseAddress("192.168.4.77")! }),
    frame: TO_BLUE2,
    reason: "TX_PA_UNRESOLVED",
    end: "host2/Blue2",
  },
  {
    why: "the host's provider address was never written",
    lab: () => {
      const lab = makeLab(TWO_HOSTS);
      lab.changePolicy("host1", { kind: "providerReplaced", providerAddresses: [] });
      return lab;
    },
    frame: TO_BLUE2,
    reason: "TX_NO_PA",
    end: "host2/Blue2",
  },
  {
    why: "the VM has moved and the sender's host does not know",
    lab: () => makeLab(moved()),
    frame: TO_BLUE2,
    reason: "RX_MOVED",
    end: "host3/Blue2",
  },
];

/** Blue2 has moved to a third host, which host 1 has not been told. */
const moved = (): string => `${change(
  TWO_HOSTS,
  "      - { name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }\n",
  "",
)}  - name: host3
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-21 }]
    providerAddresses: [{ address: 192.168.4.33 }]
    vms: [{ name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }]
lookupRecords:
  - { host: host1, customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 060600000007, providerAddress: 192.168.4.22 }
`;

it.each(CASES)("$reason: $why", ({ lab: make, port = "host1/Blue1", frame, reason, blanks = {}, end }) => {
  const lab = make();
  const before = follow(lab, port, frame);
  const [step, found] = before.dropped!;
  expect(reasonName(found)).toBe(reason);
  const cures = curesFor(new LabKnowledge(lab), step, found);
  expect(cures).not.toEqual([]);
  for (const cure of cures) carryOut(lab, cure, blanks);
  const after = follow(lab, port, frame);
  if (end !== "") expect(after.ends).toEqual([end]);
  else expect(after.dropped?.[1]).not.toBe(found);
});

it("what no command cures: an address that belongs to another VM, a packet that is too long", () => {
  const lab = makeLab(TWO_HOSTS);
  const stolen = follow(lab, "host1/Blue1", udp(BLUE2, BLUE1, "10.0.0.7", "10.0.0.5")).dropped!;
  expect(curesFor(new LabKnowledge(lab), ...stolen)).toEqual([
    { host: "host1", command: null, text: "10.0.0.7 belongs to host2/Blue2; give this VM an address of its own" },
  ]);
  const toRouter = follow(lab, "host1/Blue1", udp(DEFAULT_GATEWAY, BLUE1, "10.0.0.5", "10.0.0.1")).dropped!;
  expect(reasonName(toRouter[1])).toBe("TX_ROUTER_SELF");
  expect(curesFor(new LabKnowledge(lab), ...toRouter)).toEqual([
    {
      host: null,
      command: null,
      text: "nothing to cure: the distributed router answers nobody, no ping either",
    },
  ]);
});

describe("a sender that is not where its record says (RX_SRC_POLICY)", () => {
  const at = (pa: string, ca = "10.0.0.5") =>
    ethernet(
      "02-00-C0-A8-04-16",
      "02-00-C0-A8-04-0B",
      packet({
        source: pa,
        destination: "192.168.4.22",
        protocol: 47,
        payload: nvgre(5001, 0, udp(BLUE2, BLUE1, ca, "10.0.0.7")),
      }),
    );
  const cureOf = (frame: Uint8Array, lab = makeLab(TWO_HOSTS)) => {
    const dropped = follow(lab, "host2/nic1", frame).dropped!;
    expect(reasonName(dropped[1])).toBe("RX_SRC_POLICY");
    return curesFor(new LabKnowledge(lab), ...dropped);
  };

  it("nobody in the lab places the VM there: the record stays as it is", () => {
    const text = "the packet came from 192.168.4.99, where nobody in the lab has this VM: look for its sender";
    expect(cureOf(at("192.168.4.99"))).toEqual([{ host: "host2", command: null, text }]);
  });

  it("another host's record places it there, as after a migration: Set", () => {
    const providerAddress = parseAddress("192.168.4.99")!;
    const lab = replaced(makeLab(TWO_HOSTS), "host1", "10.0.0.5", { providerAddress });
    expect(cureOf(at("192.168.4.99"), lab)).toMatchObject([
      {
        host: "host2",
        command: expect.stringMatching(/^Set-NetVirtualizationLookupRecord .*-ProviderAddress 192.168.4.99$/),
      },
    ]);
  });
});

it("a gateway VM that speaks as a VM of the virtual network, as the router, or as nobody: another address, and no record of its own", () => {
  const wildcard =
    "lookupRecords:\n  - { customerAddress: 0.0.0.0, virtualSubnetID: 5001, macAddress: 060600000005, providerAddress: 192.168.4.11, type: GatewayWildcard }\n";
  const lab = makeLab(TWO_HOSTS + wildcard);
  const cureFor = (source: string) => {
    const dropped = follow(lab, "host1/Blue1", udp(BLUE2, BLUE1, source, "10.0.0.7")).dropped!;
    expect(reasonName(dropped[1])).toBe("TX_SRC_POLICY");
    return curesFor(new LabKnowledge(lab), ...dropped).map(({ command, text }) => command ?? text);
  };
  expect(cureFor("10.0.1.9")).toEqual(["10.0.1.9 belongs to host2/Blue3; give this VM an address of its own"]);
  expect(cureFor("10.0.1.1")).toEqual(["10.0.1.1 is the distributed router's address; give this VM another"]);
  expect(cureFor("224.0.0.5")).toEqual(["224.0.0.5 is not the address of one station; give this VM another"]);
});

it("an adapter in the wrong virtual subnet, and one that sends in another name: Set-VMNetworkAdapter", () => {
  const wrong = change(
    TWO_HOSTS,
    "06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7]",
    "06-06-00-00-00-07, vsid: 5002",
  );
  const record =
    "lookupRecords:\n  - { customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 060600000007, providerAddress: 192.168.4.22 }\n";
  const lab = makeLab(wrong + record);
  const [step, reason] = follow(lab, "host1/Blue1", TO_BLUE2).dropped!;
  expect(reasonName(reason)).toBe("RX_NO_LOCAL_DST");
  expect(curesFor(new LabKnowledge(lab), step, reason)).toMatchObject([
    { host: "host2", command: "Set-VMNetworkAdapter -ComputerName host2 -VMName Blue2 -VirtualSubnetId 5001" },
  ]);
  const spoofed = follow(lab, "host1/Blue1", udp(BLUE2, "02aabbccddee", "10.0.0.5", "10.0.0.7")).dropped!;
  expect(curesFor(new LabKnowledge(lab), ...spoofed)).toMatchObject([
    { host: "host1", command: "Set-VMNetworkAdapter -ComputerName host1 -VMName Blue1 -MacAddressSpoofing On" },
  ]);
});

it.each([
  ["Blue 1", "Blue 1"],
  ["a$(Stop-Computer)`b", "a`$(Stop-Computer)``b"],
  ["a\u201d; Stop-Computer \u201c", "a`\u201d; Stop-Computer `\u201c"],
  ["-Force", "-Force"],
])("a VM called %s is named so that PowerShell takes the name for nothing else", (name, quoted) => {
  const text = change(TWO_HOSTS, "name: Blue1,", `name: ${JSON.stringify(name)},`);
  const [, cures] = curesOf(text, `host1/${name}`, udp(BLUE2, "060600000055", "10.0.0.5", "10.0.0.7"));
  expect(cures).toMatchObject([
    { command: `Set-VMNetworkAdapter -ComputerName host1 -VMName "${quoted}" -MacAddressSpoofing On` },
  ]);
});

it("a VM with several adapters: its MAC address tells which one Set-VMNetworkAdapter changes", () => {
  const second = "{ mac: 06-06-00-00-00-99, vsid: 5002, addresses: [10.0.1.99] }";
  const both = change(
    change(
      TWO_HOSTS,
      "[{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }]",
      `[{ mac: 06-06-00-00-00-07, vsid: 5002 }, ${second}]`,
    ),
    "[{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5] }]",
    "[{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5], dhcpGuard: true }, { mac: 06-06-00-00-00-98, vsid: 5001 }]",
  );
  const record =
    "lookupRecords:\n  - { customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 060600000007, providerAddress: 192.168.4.22 }\n";
  const lab = makeLab(both + record);
  const cureOf = (port: string, frame: Uint8Array): readonly (string | null)[] => {
    const [step, reason] = follow(lab, port, frame).dropped!;
    return [reasonName(reason), ...curesFor(new LabKnowledge(lab), step, reason).map(({ command }) => command)];
  };
  const set = (host: string, vm: string, mac: string, value: string): string =>
    `Get-VMNetworkAdapter -ComputerName ${host} -VMName ${vm} | Where-Object { $_.MacAddress -eq "${mac}" } | Set-VMNetworkAdapter ${value}`;
  const intoPlace = set("host2", "Blue2", "060600000007", "-VirtualSubnetId 5001");
  expect(cureOf("host1/Blue1", TO_BLUE2)).toEqual(["RX_NO_LOCAL_DST", intoPlace]);
  // What the misplaced adapter sends is cured by the same, not by a record in the wrong virtual subnet.
  const answer = udp(BLUE1, BLUE2, "10.0.0.7", "10.0.0.5");
  expect(cureOf("host2/Blue2", answer)).toEqual(["TX_SRC_POLICY", intoPlace]);
  const spoofed = udp(BLUE2, "02aabbccddee", "10.0.0.5", "10.0.0.7");
  expect(cureOf("host1/Blue1", spoofed)).toEqual([
    "MAC_SPOOFING",
    set("host1", "Blue1", "060600000005", "-MacAddressSpoofing On"),
  ]);
  const offer = udp(BLUE2, BLUE1, "10.0.0.5", "10.0.0.7");
  offer.set([0, 67, 0, 68], 34);
  expect(cureOf("host1/Blue1", offer)).toEqual(["DHCP_GUARD", set("host1", "Blue1", "060600000005", "-DhcpGuard Off")]);
});

it("a guard that is on, a storm limit that is reached: Set-VMNetworkAdapter", () => {
  const guarded = change(
    TWO_HOSTS,
    "addresses: [10.0.0.5] }] }\n      - { name: Red1",
    "addresses: [10.0.0.5], dhcpGuard: true, routerGuard: true, stormLimit: 1 }] }\n      - { name: Red1",
  );
  const lab = makeLab(guarded);
  const cureOf = (frame: Uint8Array, withinLimits = true) => {
    const [step] = trace(lab.engine, lab.port("host1/Blue1")!, frame, 0, "notes", withinLimits);
    const { verdict } = step!.decision;
    const reason = verdict.kind === "drop" ? verdict.reason : (0 as Reason);
    return [reasonName(reason), ...curesFor(new LabKnowledge(lab), step!, reason).map(({ command }) => command)];
  };
  const offer = udp(BLUE2, BLUE1, "10.0.0.5", "10.0.0.7");
  offer.set([0, 67, 0, 68], 34);
  const redirect = udp(BLUE2, BLUE1, "10.0.0.5", "10.0.0.7");
  redirect.set([1], 23);
  redirect.set([5, 1], 34);
  const set = "Set-VMNetworkAdapter -ComputerName host1 -VMName Blue1";
  expect(cureOf(offer)).toEqual(["DHCP_GUARD", `${set} -DhcpGuard Off`]);
  expect(cureOf(redirect)).toEqual(["ROUTER_GUARD", `${set} -RouterGuard Off`]);
  const broadcast = udp("ffffffffffff", BLUE1, "10.0.0.5", "255.255.255.255");
  expect(cureOf(broadcast, false)).toEqual(["STORM_LIMIT", `${set} -StormLimit 0`]);
  expect(cureOf(broadcast)[0]).not.toBe("STORM_LIMIT");
});

it("names with blanks are quoted", () => {
  const text = change(TWO_HOSTS, "name: Blue1,", 'name: "Blue one",');
  const lab = makeLab(text);
  const spoofed = follow(lab, "host1/Blue one", udp(BLUE2, "02aabbccddee", "10.0.0.5", "10.0.0.7")).dropped!;
  expect(curesFor(new LabKnowledge(lab), ...spoofed)[0]!.command).toContain('-VMName "Blue one"');
});

it("control messages that are not obeyed: what would let them, or why nothing will", () => {
  const settings = "settings: { acceptRedirect: false }\n";
  const ofReason = (text: string, change: (frame: Uint8Array) => void = () => {}) => {
    const lab = makeLab(text);
    const frame = workedPacket("e");
    change(frame);
    const { dropped } = follow(lab, "host1/nic1", frame);
    return [reasonName(dropped![1]), ...curesFor(new LabKnowledge(lab), ...dropped!)];
  };
  expect(ofReason(TWO_HOSTS + settings)).toEqual([
    "RX_CTRL",
    { host: "host1", command: null, text: "acceptRedirect is off for this host" },
  ]);
  expect(ofReason(`${TWO_HOSTS}mode: 2012\n`)).toMatchObject(["RX_CTRL", { command: null }]);
  const damaged = (frame: Uint8Array): void => void frame.fill(0, frame.length - 1);
  expect(ofReason(TWO_HOSTS, damaged)).toMatchObject(["RX_CTRL_MALFORMED", { command: null }]);
  const other = change(TWO_HOSTS, "192.168.4.22", "192.168.4.44");
  expect(ofReason(other)).toMatchObject(["RX_CTRL_STALE", { host: "host1", command: null }]);
});

/** What is said of the first drop of a frame. */
function curesOf(text: string, portName: string, frame: Uint8Array): readonly [ReasonName, readonly Cure[]] {
  const lab = makeLab(text);
  const [step, reason] = follow(lab, portName, frame).dropped!;
  return [reasonName(reason), curesFor(new LabKnowledge(lab), step, reason)];
}

it("a provider subnet that is narrower than the sender's NIC: what the path carries, and who was told", () => {
  const narrow = labText({ mtus: [1600, 1500] });
  expect(curesOf(narrow, "host1/Blue1", blueUdp(1558))).toEqual([
    "PROVIDER_MTU",
    [
      {
        host: "host1",
        command: null,
        text: expect.stringContaining("carries 1500 octets, which the router has told host1"),
      },
    ],
  ]);
  const silent = narrow.replace(", gateway: 192.168.4.1", "").replace("host1\n", "host1\n    mtu: 1600\n");
  const routed = `${silent}providerRoutes: [{ host: host1, destinationPrefix: 0.0.0.0/0, nextHop: 192.168.4.1 }]
neighbors: [{ host: host1, address: 192.168.4.1, mac: 02-00-5E-00-02-01 }]
`;
  expect(curesOf(routed, "host1/Blue1", blueUdp(1558))[1]).toMatchObject([
    { text: expect.stringContaining("no router tells so") },
  ]);
});

describe("a packet that does not fit", () => {
  const cureOf = (lab: Lab, bytes: Uint8Array): [string, string] => {
    const [step, reason] = follow(lab, "host1/Blue1", bytes).dropped!;
    return [reasonName(reason), curesFor(new LabKnowledge(lab), step, reason)[0]!.text];
  };

  it("by the NIC's MTU, and by less once a router has told so", () => {
    const lab = makeLab(labText({ mtus: [1600, 1300] }));
    expect(cureOf(lab, blueUdp(1559))).toEqual([
      "TX_TOO_BIG_ICMP4",
      "the path to 192.168.5.22 carries 1600 octets: this guest's MTU may be 1558 at most; or raise that of the provider network (hnv mtu)",
    ]);
    lab.engine.send([{ port: lab.port("host1/Blue1")!, frame: blueUdp(1400) }]);
    lab.engine.sendNothing(1_000_000_000n);
    expect(cureOf(lab, blueUdp(1400))).toEqual([
      "TX_TOO_BIG_ICMP4",
      "the path to 192.168.5.22 carries 1300 octets, as a router has told (1600 by the NIC): this guest's MTU may be 1258 at most; " +
        "or raise that of the provider network (hnv mtu)",
    ]);
  });

  it("IPv6 over a path that leaves less than 1280: no MTU of the guest is the cure", () => {
    expect(cureOf(makeLab(labText({ mtus: [1321, 1600] })), blueUdp6(1280))).toEqual([
      "TX_TOO_BIG_ICMP6",
      "the path to 192.168.5.22 carries 1321 octets and leaves 1279, where IPv6 needs 1280 (RFC 8200 §5): " +
        "no guest can cure that, only a path of 1322 or more",
    ]);
    const wide = makeLab(labText({ mtus: [1322, 1600] }));
    expect(follow(wide, "host1/Blue1", blueUdp6(1280)).dropped).toBeUndefined();
    expect(cureOf(wide, blueUdp6(1281))[1]).toContain("may be 1280 at most");
  });

  it("broadcast and multicast: a wider network cures it, for the narrowest of the paths", () => {
    const toAll = (length: number): Uint8Array => blueUdp(length).fill(255, 0, 6).fill(255, 30, 34);
    const cure = (path: string, most: number): [string, string] => [
      "TX_TOO_BIG",
      `the path to ${path}: broadcast and multicast, whose sender is not told, may have ${most} at most; ` +
        "or raise that of the provider network (hnv mtu)",
    ];
    const withBlue4 = labText({ mtus: [1600, 1300] });
    const text = withBlue4.replace(/ +- \{ name: Blue4.*\n/, "");
    expect(follow(makeLab(withBlue4), "host1/Blue1", toAll(1559)).dropped).toBeUndefined(); // it gets its copy, on the same host
    expect(cureOf(makeLab(text), toAll(1559))).toEqual(cure("192.168.5.22 carries 1600 octets", 1558));
    const host3 = `  - name: host3
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-21 }]
    providerAddresses: [{ address: 192.168.4.33 }]
    vms: [{ name: Blue3, adapters: [{ mac: 06-06-00-00-00-03, vsid: 5001, addresses: [10.0.0.3] }] }]
`;
    const lab = makeLab(text + host3);
    lab.engine.send([{ port: lab.port("host1/Blue1")!, frame: blueUdp(1400) }]);
    lab.engine.sendNothing(1_000_000_000n);
    const told = "192.168.5.22 carries 1300 octets, as a router has told (1600 by the NIC)";
    expect(cureOf(lab, toAll(1559))).toEqual(cure(told, 1258));
  });

  it("IP Rewrite adds nothing: all that the NIC carries", () => {
    const nat = (ca: number, pa: string): string =>
      `  - { virtualSubnetID: 5001, customerAddress: 10.0.0.${ca}, macAddress: "06060000000${ca}", providerAddress: ${pa}, rule: TranslationMethodNat }\n`;
    const text = labText({ mtus: [1500, 1500] })
      .replace("{ address: 192.168.4.11 }", "{ address: 192.168.4.11 }, { address: 192.168.4.101 }")
      .replace("{ address: 192.168.5.22 }", "{ address: 192.168.5.22 }, { address: 192.168.5.102 }");
    const lab = makeLab(`${text}lookupRecords:\n${nat(5, "192.168.4.101")}${nat(7, "192.168.5.102")}`);
    expect(cureOf(lab, blueUdp(1501))[1]).toContain("may be 1500 at most");
  });
});

it("fragments of NVGRE: the sender should not make them, or this host should put them together", () => {
  const [reason, cures] = curesOf(
    labText({ mtus: [1500, 1500], settings: "{ outerFragmentation: true }" }),
    "host1/Blue1",
    blueUdp(3000),
  );
  expect(reason).toBe("RX_OUTER_FRAGMENT");
  expect(cures).toMatchObject([{ host: "host1", command: null, text: expect.stringContaining("settings.reassembly") }]);
});

describe("packets from outside of the routing domain, which a gateway brings in (GatewayWildcard)", () => {
  /** Blue3 on host2 is the next hop of the default route. */
  const BLUE3 = "060600000009";
  const withRoute = (route: string): string =>
    `${TWO_HOSTS}customerRoutes:\n  - { routingDomainID: "{11111111-2222-3333-4444-000000005001}", ${route} }\n`;
  const GATEWAY = withRoute("virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.1.9");
  const from = (source: string, mac = BLUE3): Uint8Array => udp(DEFAULT_GATEWAY, mac, source, "10.0.0.5");
  const wildcard =
    "-VirtualSubnetID 5002 -CustomerAddress 0.0.0.0 -MACAddress 060600000009 -ProviderAddress 192.168.4.22";
  const GATEWAY_TEXT = expect.stringContaining("the sender is the next hop 10.0.1.9 in VSID 5002, a gateway");
  const first = (lab: Lab, port: string, frame: Uint8Array): readonly [ReasonName, readonly Cure[]] => {
    const [step, reason] = follow(lab, port, frame).dropped!;
    return [reasonName(reason), curesFor(new LabKnowledge(lab), step, reason)];
  };

  it("one record for all sources, on the gateway's host and then on the VM's, and they arrive", () => {
    const lab = makeLab(GATEWAY);
    const onHost = (host: string): unknown => [
      {
        host,
        command: `New-NetVirtualizationLookupRecord -CimSession ${host} ${wildcard} -Rule TranslationMethodEncap -Type GatewayWildcard`,
        text: GATEWAY_TEXT,
      },
    ];
    const [sent, atGateway] = first(lab, "host2/Blue3", from("8.8.8.8"));
    expect([sent, atGateway]).toEqual(["TX_SRC_POLICY", onHost("host2")]);
    expect(first(lab, "host2/Blue3", from("1.1.1.1"))[1]).toEqual(atGateway);
    for (const cure of atGateway) carryOut(lab, cure, {});

    const [received, atVm] = first(lab, "host2/Blue3", from("8.8.8.8"));
    expect([received, atVm]).toEqual(["RX_SRC_POLICY", onHost("host1")]);
    for (const cure of atVm) carryOut(lab, cure, {});
    for (const source of ["8.8.8.8", "1.1.1.1"])
      expect(follow(lab, "host2/Blue3", from(source)).ends).toEqual(["host1/Blue1"]);
  });

  it("only the VMs' hosts have the default route, as in the sample of R2: the gateway's host gets the record all the same", () => {
    const lab = withRoutes(makeLab(GATEWAY), "host2", ({ destinationPrefix }) => destinationPrefix.length > 0);
    expect(first(lab, "host2/Blue3", from("8.8.8.8"))[1]).toMatchObject([{ host: "host2", text: GATEWAY_TEXT }]);
  });

  it("IPv6, and Windows Server 2012, which has no types", () => {
    const commandOf = (text: string, frame: Uint8Array) =>
      first(makeLab(text), "host2/Blue3", frame)[1].map(({ command }) => command);
    const six = ethernet(
      "02-00-5E-00-01-01",
      "06-06-00-00-00-09",
      packet({ source: "2001:db8::8", destination: "fd00:10::5", protocol: 59, payload: new Uint8Array(0) }),
    );
    expect(commandOf(GATEWAY, six)).toEqual([expect.stringMatching(/-CustomerAddress :: .* -Type GatewayWildcard$/)]);
    expect(commandOf(`${GATEWAY}mode: 2012\n`, from("8.8.8.8"))).toEqual([
      `New-NetVirtualizationLookupRecord -CimSession host2 ${wildcard} -Rule TranslationMethodEncap`,
    ]);
  });

  it("the gateway has moved, and its wildcard has not: Set-NetVirtualizationLookupRecord", () => {
    const record = `  - { virtualSubnetID: 5002, customerAddress: 0.0.0.0, macAddress: "${BLUE3}", providerAddress: 192.168.4.PA, type: GatewayWildcard, host: HOST }\n`;
    const at = (host: string, last: string) => record.replace("HOST", host).replace("PA", last);
    const lab = makeLab(`${GATEWAY}lookupRecords:\n${at("host1", "77")}${at("host2", "22")}`);
    const [reason, cures] = first(lab, "host2/Blue3", from("8.8.8.8"));
    expect([reason, cures]).toEqual([
      "RX_SRC_POLICY",
      [
        {
          host: "host1",
          command: `Set-NetVirtualizationLookupRecord -CimSession host1 ${wildcard}`,
          text: GATEWAY_TEXT,
        },
      ],
    ]);
    for (const cure of cures) carryOut(lab, cure, {});
    expect(follow(lab, "host2/Blue3", from("8.8.8.8")).ends).toEqual(["host1/Blue1"]);
  });

  it("an external router is a gateway for the domain's other virtual subnets too", () => {
    const record = (vsid: number, ca: string, mac: string, pa = "192.168.4.22"): string =>
      `  - { virtualSubnetID: ${vsid}, customerAddress: ${ca}, macAddress: "${mac}", providerAddress: ${pa} }\n`;
    const records = [record(5001, "10.0.0.1", "0606000000f1"), record(5002, "10.0.1.1", "0606000000f2")];
    const elsewhere = record(5002, "10.0.1.9", BLUE3, "192.168.4.11"); // not where the router is
    const [R1, R2] = ["0606000000f1", "0606000000f2"];
    const text = change(
      TWO_HOSTS,
      "      - { name: Blue3,",
      `      - { name: Router, adapters: [{ mac: "${R1}", vsid: 5001 }, { mac: "${R2}", vsid: 5002 }] }\n      - { name: Blue3,`,
    ).replace(", gatewayMac: 06-06-00-00-01-01", "");
    const lab = makeLab(
      `${text}settings: { useExternalRouter: true }\nlookupRecords:\n${records.join("")}${elsewhere}`,
    );
    const routed = udp(BLUE1, R1, "10.0.1.9", "10.0.0.5"); // Blue3 to Blue1, in Blue1's virtual subnet
    for (const [reason, host] of [
      ["TX_SRC_POLICY", "host2"],
      ["RX_SRC_POLICY", "host1"],
    ]) {
      const [found, cures] = first(lab, "host2/Router", routed);
      expect([found, cures]).toMatchObject([
        reason,
        [
          {
            command: `New-NetVirtualizationLookupRecord -CimSession ${host} -VirtualSubnetID 5001 -CustomerAddress 0.0.0.0 -MACAddress 0606000000F1 -ProviderAddress 192.168.4.22 -Rule TranslationMethodEncap -Type GatewayWildcard`,
          },
        ],
      ]);
      for (const cure of cures) carryOut(lab, cure, {});
    }
    expect(follow(lab, "host2/Router", routed).ends).toEqual(["host1/Blue1"]);
  });

  it("no next hop has sent it: no record, but whose address it may be", () => {
    const stranger = { command: null, text: expect.stringContaining("is in no virtual subnet of the routing domain") };
    expect(first(makeLab(GATEWAY), "host1/Blue1", from("8.8.8.8", BLUE1))[1]).toMatchObject([stranger]);
    expect(first(makeLab(TWO_HOSTS), "host2/Blue3", from("8.8.8.8"))[1]).toMatchObject([stranger]);
    // An address of the domain is none from outside: that record is missing.
    expect(first(makeLab(GATEWAY), "host2/Blue3", from("10.0.1.77"))[1]).toMatchObject([
      { command: expect.stringContaining("-CustomerAddress 10.0.1.77 -MACAddress 060600000009") },
    ]);
  });
});

it("an unknown sender behind a provider address that no host has is not put on record", () => {
  const inner = udp(BLUE2, "060600000055", "10.0.0.55", "10.0.0.7");
  const received = (source: string): Uint8Array => {
    const outer = packet({ source, destination: "192.168.4.22", protocol: 47, payload: nvgre(5001, 0, inner) });
    return ethernet("02-00-C0-A8-04-16", "02-00-C0-A8-04-63", outer);
  };
  expect(curesOf(TWO_HOSTS, "host2/nic1", received("192.168.4.99"))).toEqual([
    "RX_SRC_POLICY",
    [
      {
        host: "host2",
        command: null,
        text: expect.stringContaining("no host of the lab has provider address 192.168.4.99"),
      },
    ],
  ]);
  expect(curesOf(TWO_HOSTS, "host2/nic1", received("192.168.4.11"))[1]).toMatchObject([
    { command: expect.stringContaining("-CustomerAddress 10.0.0.55"), text: "as the packet itself says" },
  ]);
});

it("an unknown sender without an address yet: L2Only", () => {
  const inner = udp("ffffffffffff", "060600000055", "0.0.0.0", "255.255.255.255");
  const outer = packet({
    source: "192.168.4.11",
    destination: "192.168.4.22",
    protocol: 47,
    payload: nvgre(5001, 0, inner),
  });
  const lab = makeLab(TWO_HOSTS);
  const received = ethernet("02-00-C0-A8-04-16", "02-00-C0-A8-04-0B", outer);
  const [step, reason] = follow(lab, "host2/nic1", received).dropped!;
  const cures = curesFor(new LabKnowledge(lab), step, reason);
  expect(cures).toMatchObject([{ command: expect.stringMatching(/-CustomerAddress 0\.0\.0\.0 .* -Type L2Only$/) }]);
  for (const cure of cures) carryOut(lab, cure, {});
  expect(follow(lab, "host2/nic1", received).ends).toEqual(["host2/Blue2"]);
});

describe("ARP and neighbor discovery that end as drops", () => {
  const ALL = "FF-FF-FF-FF-FF-FF";
  const who = (target: string, sender = "10.0.0.5", senderMac = "06-06-00-00-00-05"): Uint8Array =>
    ethernet(ALL, "06-06-00-00-00-05", arp({ operation: 1, senderMac, sender, target }));
  const curesOf = (lab: Lab, bytes: Uint8Array, port = "host1/Blue1"): { reason: string; cures: readonly Cure[] } => {
    const [step, reason] = follow(lab, port, bytes).dropped!;
    return { reason: reasonName(reason), cures: curesFor(new LabKnowledge(lab), step, reason) };
  };

  it("unanswered, and another host has the record: New-NetVirtualizationLookupRecord, and it is answered", () => {
    const lab = without(makeLab(TWO_HOSTS), "host1", "10.0.0.7");
    const { reason, cures } = curesOf(lab, who("10.0.0.7"));
    expect(reason).toBe("TX_UNANSWERED");
    expect(cures).toHaveLength(1);
    carryOut(lab, cures[0]!, {});
    const [step] = follow(lab, "host1/Blue1", who("10.0.0.7")).steps;
    expect(step!.decision.verdict.kind).toBe("consume");
    expect(step!.answers).toHaveLength(1);
  });

  it("unanswered, and nobody has a record: blanks, whose name is the address that was asked for", () => {
    const { cures } = curesOf(makeLab(TWO_HOSTS), who("10.0.0.99"));
    expect(cures[0]!.command).toContain('-CustomerAddress 10.0.0.99 -MACAddress "<MAC of the VM>"');
    const solicitation = icmpv6("fe80::5", "ff02::1:ff00:63", neighborMessage(135, 0, "fd00:10::63", null));
    const asked = ethernet("33-33-FF-00-00-63", "06-06-00-00-00-05", solicitation);
    expect(curesOf(makeLab(TWO_HOSTS), asked)).toMatchObject({
      reason: "TX_UNANSWERED",
      cures: [{ command: expect.stringContaining("-CustomerAddress fd00:10::63") }],
    });
  });

  it("from an address without a record: the record; from another VM's or the router's: another address", () => {
    const { reason, cures } = curesOf(makeLab(TWO_HOSTS), who("10.0.0.7", "10.0.0.66"));
    expect(reason).toBe("TX_SRC_POLICY");
    expect(cures[0]!.command).toContain("-CustomerAddress 10.0.0.66 -MACAddress 060600000005");
    const texts = (bytes: Uint8Array) => curesOf(makeLab(TWO_HOSTS), bytes).cures.map(({ text }) => text);
    expect(texts(who("10.0.0.5", "10.0.0.7"))).toEqual([
      "10.0.0.7 belongs to host2/Blue2; give this VM an address of its own",
    ]);
    expect(texts(who("10.0.0.7", "10.0.0.1"))).toEqual([
      "10.0.0.1 is the distributed router's address; give this VM another",
    ]);
    expect(texts(who("10.0.0.7", "10.0.0.5", "06-06-00-00-00-07"))).toEqual([
      expect.stringMatching(/^nothing to cure/),
    ]);
  });

  it("from the wire, of a VM that the host does not know: its record", () => {
    const lab = without(makeLab(TWO_HOSTS), "host2", "10.0.0.5");
    const asked = ethernet(
      "06-06-00-00-00-07",
      "06-06-00-00-00-05",
      arp({ operation: 1, senderMac: "06-06-00-00-00-05", sender: "10.0.0.5", target: "10.0.0.7" }),
    );
    const outer = packet({
      source: "192.168.4.11",
      destination: "192.168.4.22",
      protocol: 47,
      payload: nvgre(5001, 0, asked),
    });
    const { reason, cures } = curesOf(lab, ethernet("02-00-C0-A8-04-16", "02-00-C0-A8-04-0B", outer), "host2/nic1");
    expect(reason).toBe("RX_SRC_POLICY");
    for (const cure of cures) carryOut(lab, cure, {});
    expect(follow(lab, "host2/nic1", ethernet("02-00-C0-A8-04-16", "02-00-C0-A8-04-0B", outer)).ends).toEqual([
      "host2/Blue2",
    ]);
  });

  it("router solicitations are nobody's business", () => {
    const solicitation = ethernet(
      "33-33-00-00-00-02",
      "06-06-00-00-00-05",
      icmpv6("fe80::5", "ff02::2", [133, 0, 0, 0, 0, 0, 0, 0]),
    );
    expect(curesOf(makeLab(TWO_HOSTS), solicitation)).toEqual({
      reason: "TX_UNANSWERED",
      cures: [
        { host: null, command: null, text: "nothing to cure: hosts answer questions for addresses, nothing else" },
      ],
    });
  });
});

describe("broadcasts that nobody gets", () => {
  const broadcast = ethernet(
    "FF-FF-FF-FF-FF-FF",
    "06-06-00-00-00-05",
    packet({
      source: "10.0.0.5",
      destination: "10.0.0.255",
      protocol: 17,
      payload: udpOf("10.0.0.5", "10.0.0.255", [4000, 4000], new Uint8Array(4)),
    }),
  );

  it("a VM of the subnet on another host, which has no record here", () => {
    const lab = without(makeLab(TWO_HOSTS), "host1", "10.0.0.7");
    const [step, reason] = follow(lab, "host1/Blue1", broadcast).dropped!;
    expect(reasonName(reason)).toBe("TX_NO_FLOOD");
    const [cure] = curesFor(new LabKnowledge(lab), step, reason);
    expect(cure!.text).toBe("host2/Blue2 is in this virtual subnet too");
    carryOut(lab, cure!, {});
    expect(follow(lab, "host1/Blue1", broadcast).ends).toEqual(["host2/Blue2"]);
  });

  it.each([
    ["settings: { flood: l2only }", "TX_NO_FLOOD", /^the setting flood: l2only keeps/],
    ["mode: 2012", "TX_FLOOD_2012", /^nothing to cure: Windows Server 2012 carries no/],
  ])("%s", (setting, name, text) => {
    const lab = makeLab(`${TWO_HOSTS}${setting}\n`);
    const [step, reason] = follow(lab, "host1/Blue1", broadcast).dropped!;
    expect(reasonName(reason)).toBe(name);
    expect(curesFor(new LabKnowledge(lab), step, reason)[0]!.text).toMatch(text);
  });
});

/** Of a packet from host1 to host2, when the provider address of one of them is in this state. */
function curesInState(
  lab: Lab,
  host: string,
  addressState: ProviderAddress["addressState"],
  expected: ReasonName,
): readonly Cure[] {
  const [own] = lab.policyOf(host)!.providerAddresses.all;
  lab.changePolicy(host, { kind: "providerReplaced", providerAddresses: [{ ...own!, addressState }] });
  const [step, reason] = follow(lab, "host1/Blue1", TO_BLUE2).dropped!;
  expect(reasonName(reason)).toBe(expected);
  return curesFor(new LabKnowledge(lab), step, reason);
}

it("a provider address in use elsewhere, and one in the wrong VLAN", () => {
  const lab = makeLab(TWO_HOSTS);
  const stateOf = (state: ProviderAddress["addressState"]) => curesInState(lab, "host2", state, "RX_PA_STATE");
  expect(stateOf("Duplicate")).toMatchObject([{ host: "host2", text: expect.stringContaining("another station") }]);
  expect(stateOf("Tentative")).toMatchObject([
    { host: null, text: expect.stringContaining("duplicate address detection") },
  ]);

  const tagged = makeLab(TWO_HOSTS);
  const [first] = tagged.policyOf("host1")!.providerAddresses.all;
  tagged.changePolicy("host1", { kind: "providerReplaced", providerAddresses: [{ ...first!, vlanID: 7 }] });
  const [step, reason] = follow(tagged, "host1/Blue1", TO_BLUE2).dropped!;
  expect(reasonName(reason)).toBe("PROVIDER_VLAN");
  expect(curesFor(new LabKnowledge(tagged), step, reason)).toMatchObject([
    { command: "Set-NetVirtualizationProviderAddress -CimSession host1 -ProviderAddress 192.168.4.11 -VlanID 0" },
  ]);
});

it("a provider address that nothing can be sent from yet, or ever: no second one, but why", () => {
  const lab = makeLab(TWO_HOSTS);
  const stateOf = (state: ProviderAddress["addressState"]) => curesInState(lab, "host1", state, "TX_NO_PA");
  const text = (start: string) => [{ host: "host1", command: null, text: expect.stringMatching(start) }];
  expect(stateOf("Tentative")).toEqual(text("^192.168.4.11 is Tentative: .*duplicate address detection"));
  expect(stateOf("Duplicate")).toEqual(text("^192.168.4.11 is Duplicate: another station"));
  // The VM has moved here, where the address that its record still names is another host's.
  const record = [...lab.policyOf("host1")!.lookupRecords].find(({ vmName }) => vmName === "Blue1")!;
  const providerAddress = parseAddress("192.168.4.22")!;
  lab.changePolicy("host1", { kind: "recordReplaced", record: { ...record, providerAddress } });
  expect(stateOf("Tentative")).toEqual(text("^192.168.4.11 is Tentative"));
});

it("a VM here whose record is Unusable: the state of its provider address, and no second record", () => {
  const text = change(
    TWO_HOSTS,
    "vsid: 5001, addresses: [10.0.0.5] }] }",
    "vsid: 5001, addresses: [10.0.0.5] }] }\n      - { name: Blue6, adapters: [{ mac: 06-06-00-00-00-06, vsid: 5001, addresses: [10.0.0.6] }] }",
  );
  const lab = makeLab(text);
  const [own] = lab.policyOf("host1")!.providerAddresses.all;
  lab.changePolicy("host1", {
    kind: "providerReplaced",
    providerAddresses: [{ ...own!, addressState: "Duplicate" }],
  });
  const request = { operation: 1, senderMac: "06-06-00-00-00-05", sender: "10.0.0.5", target: "10.0.0.6" };
  const question = ethernet("06-06-00-00-00-06", "06-06-00-00-00-05", arp(request));
  for (const bytes of [udp("060600000006", BLUE1, "10.0.0.5", "10.0.0.6"), question]) {
    const [step, reason] = follow(lab, "host1/Blue1", bytes).dropped!;
    expect(reasonName(reason)).toBe("TX_NO_RECORD");
    expect(curesFor(new LabKnowledge(lab), step, reason)).toEqual([
      { host: "host1", command: null, text: expect.stringMatching("^192.168.4.11 is Duplicate: another station") },
    ]);
  }
});

it("an answer to a station without a record: the record of that station, not of the one that answers", () => {
  const lab = without(makeLab(TWO_HOSTS), "host1", "10.0.0.7");
  const mac = { from: "06-06-00-00-00-05", to: "06-06-00-00-00-07" };
  const answer = { operation: 2, senderMac: mac.from, sender: "10.0.0.5", targetMac: mac.to, target: "10.0.0.7" };
  const reply = ethernet(mac.to, mac.from, arp(answer));
  const [step, reason] = follow(lab, "host1/Blue1", reply).dropped!;
  expect(reasonName(reason)).toBe("TX_NO_RECORD");
  const [cure, ...more] = curesFor(new LabKnowledge(lab), step, reason);
  expect(more).toEqual([]);
  expect(cure!.text).toBe("host2/Blue2 has MAC 06-06-00-00-00-07 in VSID 5001");
  carryOut(lab, cure!, { CustomerAddress: "10.0.0.7" });
  expect(follow(lab, "host1/Blue1", reply).ends).toEqual(["host2/Blue2"]);
});

it("a VM that has moved here, among several provider addresses: its record, and never another host's address on this one", () => {
  const two = "providerAddresses: [{ address: 192.168.4.11 }, { address: 192.168.4.12 }]";
  const lab = makeLab(change(TWO_HOSTS, "providerAddresses: [{ address: 192.168.4.11 }]", two));
  replaced(lab, "host1", "10.0.0.5", { providerAddress: parseAddress("192.168.4.22")! });
  const [step, reason] = follow(lab, "host1/Blue1", TO_BLUE2).dropped!;
  expect(reasonName(reason)).toBe("TX_NO_PA");
  const cures = curesFor(new LabKnowledge(lab), step, reason);
  expect(cures).toMatchObject([{ command: expect.stringMatching(/^Set-NetVirtualizationLookupRecord .*4\.11$/) }]);
  for (const cure of cures) carryOut(lab, cure, {});
  expect(follow(lab, "host1/Blue1", TO_BLUE2).ends).toEqual(["host2/Blue2"]);
});

it("the address of a VM at a host outside of the lab: that VM's record stays", () => {
  const lab = replaced(makeLab(TWO_HOSTS), "host1", "10.0.0.7", { providerAddress: parseAddress("192.168.4.77")! });
  const record = [...lab.policyOf("host1")!.lookupRecords].find(({ vmName }) => vmName === "Blue2")!;
  lab.changePolicy("host1", { kind: "recordRemoved", record });
  lab.changePolicy("host1", { kind: "recordAdded", record: { ...record, macAddress: parseMac("060600000077")! } });
  const [step, reason] = follow(lab, "host1/Blue1", udp("060600000009", BLUE1, "10.0.0.7", "10.0.0.5")).dropped!;
  expect(reasonName(reason)).toBe("TX_SRC_POLICY");
  const text =
    "10.0.0.7 belongs to a VM at 192.168.4.77, where no host of the lab is; give this VM an address of its own";
  expect(curesFor(new LabKnowledge(lab), step, reason)).toEqual([{ host: "host1", command: null, text }]);
});

it("what no router sends on: an address of the VM's own", () => {
  const lab = makeLab(TWO_HOSTS);
  const [step, reason] = follow(lab, "host1/Blue1", udp("060600000101", BLUE1, "169.254.0.5", "10.0.1.9")).dropped!;
  expect(reasonName(reason)).toBe("TX_SRC_POLICY");
  const text = expect.stringMatching("^no router sends on what comes from 169.254.0.5: ");
  expect(curesFor(new LabKnowledge(lab), step, reason)).toEqual([{ host: "host1", command: null, text }]);
});

it("a question to one station over IP Rewrite: what the guest does next", () => {
  const lab = rewrittenLab();
  const request = { operation: 1, senderMac: "06-06-00-00-00-05", sender: "10.0.0.5", target: "10.0.0.7" };
  const question = ethernet("06-06-00-00-00-07", "06-06-00-00-00-05", arp(request));
  const [step, reason] = follow(lab, "host1/Blue1", question).dropped!;
  expect(reasonName(reason)).toBe("TX_RULE_NAT");
  expect(curesFor(new LabKnowledge(lab), step, reason)).toEqual([
    { host: null, command: null, text: expect.stringMatching("asks all, and the host answers$") },
  ]);
});

/** The cures of what is dropped; with those that are commands carried out, where the packet gets then. */
function cured(lab: Lab, bytes: Uint8Array, reason: ReasonName, port = "host1/Blue1", blanks = {}) {
  const [step, found] = follow(lab, port, bytes).dropped!;
  expect(reasonName(found)).toBe(reason);
  const cures = curesFor(new LabKnowledge(lab), step, found);
  for (const cure of cures) if (cure.command) carryOut(lab, cure, blanks);
  return { cures, texts: cures.map(({ text }) => text), ends: follow(lab, port, bytes).ends };
}

describe("what random damage to a lab has shown", () => {
  const noRouteOf = (vsid: number) => (route: CustomerRoute) => route.virtualSubnetID !== vsid;

  it("the sender's own subnet is in no routing domain here: its route, and not again the destination's", () => {
    const { cures, ends } = cured(withRoutes(makeLab(TWO_HOSTS), "host1", noRouteOf(5001)), TO_BLUE3, "TX_NO_ROUTE");
    expect(cures).toMatchObject([{ host: "host1", command: expect.stringContaining("-VirtualSubnetID 5001 ") }]);
    expect(ends).toEqual(["host2/Blue3"]);
  });

  it("the far host has the sender's record, and no route that binds its subnet to the domain: that route", () => {
    const lab = withRoutes(makeLab(TWO_HOSTS), "host2", noRouteOf(5001));
    const { cures, ends } = cured(lab, TO_BLUE3, "RX_SRC_POLICY");
    expect(cures).toMatchObject([{ host: "host2", command: expect.stringContaining("-VirtualSubnetID 5001 ") }]);
    expect(ends).toEqual(["host2/Blue3"]);
  });

  it("a record in the wrong virtual subnet, where the VM's own host has the right one: that one, and the adapter stays", () => {
    const lab = makeLab(TWO_HOSTS);
    const right = [...lab.policyOf("host1")!.lookupRecords].find(({ vmName }) => vmName === "Blue3")!;
    lab.changePolicy("host1", { kind: "recordRemoved", record: right });
    lab.changePolicy("host1", { kind: "recordAdded", record: { ...right, virtualSubnetID: 5001 as never } });
    const answer = { operation: 2, senderMac: "06-06-00-00-00-05", sender: "10.0.0.5", target: "10.0.1.9" };
    const reply = ethernet("06-06-00-00-00-09", "06-06-00-00-00-05", arp(answer));
    const { cures } = cured(lab, reply, "RX_NO_LOCAL_DST");
    expect(cures).toMatchObject([
      { host: "host1", command: expect.stringMatching(/^Remove-.* -VirtualSubnetID 5001 -CustomerAddress 10.0.1.9 /) },
      { host: "host1", command: expect.stringMatching(/^New-.* -VirtualSubnetID 5002 -CustomerAddress 10.0.1.9 /) },
    ]);
    expect(follow(lab, "host1/Blue1", TO_BLUE3).ends).toEqual(["host2/Blue3"]);
  });

  it("the broadcast address of another virtual subnet, and an address of one that is asked for on the link: no record", () => {
    const far = udp("060600000101", BLUE1, "10.0.0.5", "10.0.1.255");
    expect(cured(makeLab(TWO_HOSTS), far, "TX_NO_RECORD").cures).toEqual([
      {
        host: "host1",
        command: null,
        text: expect.stringMatching("^10.0.1.255 is the broadcast address of VSID 5002"),
      },
    ]);
    const request = { operation: 1, senderMac: "06-06-00-00-00-05", sender: "10.0.0.5", target: "10.0.1.9" };
    const question = ethernet("FF-FF-FF-FF-FF-FF", "06-06-00-00-00-05", arp(request));
    expect(cured(makeLab(TWO_HOSTS), question, "TX_UNANSWERED").cures).toEqual([
      {
        host: "host1",
        command: null,
        text: expect.stringMatching("^10.0.1.9 is on record in VSID 5002, which the guest"),
      },
    ]);
  });

  it.each([
    ["a copy of a broadcast", udp("ffffffffffff", BLUE1, "10.0.0.5", "10.0.0.255")],
    [
      "ARP to one station",
      ethernet(
        "06-06-00-00-00-07",
        "06-06-00-00-00-05",
        arp({ operation: 1, senderMac: "06-06-00-00-00-05", sender: "10.0.0.5", target: "10.0.0.7" }),
      ),
    ],
  ])("%s to a provider address that nobody has: the record that names it", (_what, bytes) => {
    const gateway = "prefix: 192.168.4.0/24, mtu: 1600, gateway: 192.168.4.1";
    const lab = makeLab(change(TWO_HOSTS, "prefix: 192.168.4.0/24, mtu: 1600", gateway));
    lab.changePolicy("host1", {
      kind: "providerReplaced",
      providerRoutes: [
        {
          interfaceIndex: 1,
          destinationPrefix: parsePrefix("0.0.0.0/0") as Prefix,
          nextHop: parseAddress("192.168.4.1")!,
          metric: 0,
        },
      ],
      neighbors: [
        { address: parseAddress("192.168.4.1")!, mac: lab.settings.provider!.routerMac },
        ...lab
          .policyOf("host1")!
          .neighbors.all.filter(({ address }) => !sameAddress(address, parseAddress("192.168.4.1")!)),
      ],
    });
    replaced(lab, "host1", "10.0.0.7", { providerAddress: parseAddress("172.16.0.1")! });
    const { ends } = cured(lab, bytes, "PROVIDER_NO_ROUTE", "host1/Blue1", { ProviderAddress: "192.168.4.22" });
    expect(ends).toEqual(["host2/Blue2"]);
  });

  it("a routed packet whose next hop is at a provider address that nobody has: that record, not the gateway address's", () => {
    const lab = replaced(makeLab(TWO_HOSTS), "host1", "10.0.1.9", { providerAddress: parseAddress("192.168.4.77")! });
    const routed = udp("060600000101", BLUE1, "10.0.0.5", "10.0.1.9");
    const blanks = { ProviderAddress: "192.168.4.22" };
    const { cures, ends } = cured(lab, routed, "TX_PA_UNRESOLVED", "host1/Blue1", blanks);
    expect(cures).toMatchObject([
      { command: expect.stringMatching(/^Set-.* -VirtualSubnetID 5002 -CustomerAddress 10.0.1.9 /) },
    ]);
    expect(ends).toEqual(["host2/Blue3"]);
  });

  it("ARP of a VM whose address the far host has on record for another MAC: remove that record, then write the right one", () => {
    const lab = makeLab(TWO_HOSTS);
    const record = [...lab.policyOf("host2")!.lookupRecords].find(({ vmName }) => vmName === "Blue1")!;
    lab.changePolicy("host2", { kind: "recordRemoved", record });
    lab.changePolicy("host2", { kind: "recordAdded", record: { ...record, macAddress: parseMac("060600000077")! } });
    const request = { operation: 1, senderMac: "06-06-00-00-00-05", sender: "10.0.0.5", target: "10.0.0.7" };
    const question = ethernet("06-06-00-00-00-07", "06-06-00-00-00-05", arp(request));
    const { cures, ends } = cured(lab, question, "RX_SRC_POLICY");
    expect(cures.map(({ command }) => command!.split(" ")[0])).toEqual([
      "Remove-NetVirtualizationLookupRecord",
      "New-NetVirtualizationLookupRecord",
    ]);
    expect(ends).toEqual(["host2/Blue2"]);
  });

  it("NVGRE to a provider address that stands for one customer address: another one for that record", () => {
    const lab = makeLab(TWO_HOSTS);
    const providerAddress = parseAddress("192.168.4.22")!;
    replaced(lab, "host2", "10.0.0.7", { rule: "TranslationMethodNat", providerAddress });
    const { texts, ends } = cured(lab, TO_BLUE3, "RX_NAT_SOURCE", "host1/Blue1", { ProviderAddress: "192.168.4.102" });
    expect(texts).toEqual([expect.stringMatching("^192.168.4.22 stands for 10.0.0.7 alone")]);
    expect(ends).toEqual(["host2/Blue3"]);
  });
});

it("every reason has something to say, also where a frame tells nothing", () => {
  const knowledge = new LabKnowledge(makeLab(TWO_HOSTS));
  const reasons = Array.from({ length: REASON_COUNT }, (_, reason) => reason as Reason);
  const silent = reasons.filter((reason) => curesFor(knowledge, undefined, reason).length === 0);
  expect(silent.map(reasonName)).toEqual(["NONE"]);
  const [step] = follow(makeLab(TWO_HOSTS), "host1/Blue1", TO_BLUE2).steps;
  const empty = { ...step!, before: new Uint8Array(14) };
  for (const reason of reasons) {
    if (reason === Reason.NONE) continue;
    expect(curesFor(knowledge, empty, reason), reasonName(reason)).not.toEqual([]);
  }
});
