/**
 * Labs damaged at random: whoever carries out the cures, one drop after the other, gets the packet through. So no cure is refused, none leaves
 * things as they were, and none does harm that the next would undo.
 */
import { expect, test } from "vitest";
import { curesFor, LabKnowledge } from "../../../src/control/index.js";
import { reasonName } from "../../../src/dataplane/index.js";
import { parseAddress, parseMac } from "../../../src/dataplane/wire/index.js";
import { kernelModule } from "../../../src/kernel-file.js";
import { Lab } from "../../../src/vswitch/index.js";
import { frame, ip, udp } from "../../engine/build.js";
import { Random } from "../../support/random.js";
import { load, TWO_HOSTS } from "../labs.js";
import { carryOut, follow } from "./carry-out.js";

const LABS = 200;
const PACKETS = 8;
/** As many as there may be damages, each on both sides of the packet's way. */
const ROUNDS_MAX = 10;

interface Vm {
  readonly port: string;
  readonly mac: string;
  readonly address: string;
  readonly vsid: number;
  readonly providerAddress: string;
}
const BLUE1 = { port: "host1/Blue1", mac: "06-06-00-00-00-05", address: "10.0.0.5", vsid: 5001 };
const BLUE2 = { port: "host2/Blue2", mac: "06-06-00-00-00-07", address: "10.0.0.7", vsid: 5001 };
const BLUE3 = { port: "host2/Blue3", mac: "06-06-00-00-00-09", address: "10.0.1.9", vsid: 5002 };
const VMS: readonly Vm[] = [
  { ...BLUE1, providerAddress: "192.168.4.11" },
  { ...BLUE2, providerAddress: "192.168.4.22" },
  { ...BLUE3, providerAddress: "192.168.4.22" },
];
const ROUTER = "02-00-5E-00-01-01";

const pick = <Item>(random: Random, items: readonly Item[]): Item => items[random.below(items.length)]!;

/** Breaks something at one host; says what. */
function damage(lab: Lab, random: Random): string {
  const host = pick(random, ["host1", "host2"]);
  const policy = lab.policyOf(host)!;
  const record = pick(random, [...policy.lookupRecords]);
  if (!record) return "";
  const what = `${host}: record of ${record.vmName} in ${record.virtualSubnetID}`;
  switch (random.below(6)) {
    case 0:
      lab.changePolicy(host, { kind: "recordRemoved", record });
      return `${what} is gone`;
    case 1: {
      const providerAddress = parseAddress(pick(random, ["192.168.4.11", "192.168.4.22", "192.168.4.77"]))!;
      lab.changePolicy(host, { kind: "recordReplaced", record: { ...record, providerAddress } });
      return `${what} names another provider address`;
    }
    case 2:
      lab.changePolicy(host, { kind: "recordReplaced", record: { ...record, rule: "TranslationMethodNone" } });
      return `${what} translates nothing`;
    case 3: {
      const gone = random.below(policy.customerRoutes.all.length);
      const routes = policy.customerRoutes.all.filter((_, index) => index !== gone);
      lab.changePolicy(host, { kind: "customerRoutesReplaced", routes });
      return `${host}: route ${gone} is gone`;
    }
    case 4:
      lab.changePolicy(host, { kind: "providerReplaced", providerAddresses: [] });
      return `${host}: no provider address`;
    default:
      lab.changePolicy(host, { kind: "recordRemoved", record });
      lab.changePolicy(host, {
        kind: "recordAdded",
        record: { ...record, macAddress: parseMac("06-06-00-00-AA-01")! },
      });
      return `${what} has another MAC address`;
  }
}

function packetBetween(from: Vm, to: Vm): Uint8Array {
  const ends = [from.address, to.address] as const;
  const payload = udp(...ends, [1000, 2000], new Uint8Array(8));
  const mac = from.vsid === to.vsid ? to.mac : ROUTER;
  return frame(mac, from.mac, ip({ source: from.address, destination: to.address, protocol: 17, payload }));
}

/** What the operator knows of the VM, or the virtual subnet, that a command names, else of the packet's destination, and the command leaves open. */
function blanksOf(command: string, to: Vm): Record<string, string> {
  const isNamed = ({ address }: Vm): boolean => command.includes(`-CustomerAddress ${address} `);
  const isInSubnet = ({ vsid }: Vm): boolean => command.includes(`-VirtualSubnetID ${vsid} `);
  const vm = VMS.find(isNamed) ?? VMS.find(isInSubnet) ?? to;
  return {
    RoutingDomainID: "{11111111-2222-3333-4444-000000005001}",
    VirtualSubnetID: String(vm.vsid),
    DestinationPrefix: vm.address.replace(/[0-9]+$/, "0/24"),
    NextHop: "0.0.0.0",
    MACAddress: vm.mac,
    ProviderAddress: vm.providerAddress,
  };
}

test("carrying out cures gets packets through again", () => {
  let cured = 0;
  for (let seed = 1; seed <= LABS; seed++) {
    const random = new Random(seed);
    const lab = new Lab(load(TWO_HOSTS).lab, { kernel: kernelModule() });
    const story = Array.from({ length: 1 + random.below(3) }, () => damage(lab, random));
    for (let count = 0; count < PACKETS; count++) {
      const from = pick(random, VMS);
      const to = pick(
        random,
        VMS.filter((vm) => vm !== from),
      );
      const bytes = packetBetween(from, to);
      for (let round = 0; ; round++) {
        const { dropped, ends } = follow(lab, from.port, bytes);
        if (!dropped) {
          // What a host without provider addresses gets is not its NVE's, so nothing is dropped that could be cured.
          const isStranger = lab.policyOf(to.port.split("/")[0]!)!.providerAddresses.all.length === 0;
          if (!isStranger) expect(ends, story.join("\n")).toContain(to.port);
          break;
        }
        const cures = curesFor(new LabKnowledge(lab), ...dropped);
        story.push(
          `${from.port} to ${to.port}: ${reasonName(dropped[1])}: ${cures.map(({ command, text }) => command ?? text).join(" & ")}`,
        );
        expect(round, story.join("\n")).toBeLessThan(ROUNDS_MAX);
        expect(cures, story.join("\n")).not.toEqual([]);
        for (const cure of cures) carryOut(lab, cure, blanksOf(cure.command ?? "", to));
        cured++;
      }
    }
  }
  expect(cured).toBeGreaterThan(LABS);
});
