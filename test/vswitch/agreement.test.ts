/** A lab of one mind never sends a control message because of its own VMs; each thing that may divide the hosts is found. */
import { describe, expect, it } from "vitest";
import { disagreement } from "../../src/vswitch/agreement.js";
import { Lab } from "../../src/vswitch/index.js";
import { change, load, TWO_HOSTS } from "../control/labs.js";
import { frame as ethernet, icmp, ip } from "../engine/build.js";
import { randomFabric } from "../engine/random-fabric.js";
import { kernelModule } from "../support/kernel.js";
import { type Random, seededRandom } from "../support/random.js";

const said = (text: string) => disagreement(load(text).lab);
const RECORD =
  "{ customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 060600000007, providerAddress: 192.168.4.22";

describe("what may divide hosts", () => {
  it("nothing does, where records are derived or say the same", () => {
    expect(said(TWO_HOSTS)).toBeUndefined();
    expect(said(`${TWO_HOSTS}lookupRecords:\n  - ${RECORD} }\n`)).toBeUndefined();
  });

  it.each([
    [
      "a record of one host",
      `${TWO_HOSTS}lookupRecords:\n  - ${RECORD}, vmName: X, host: host1 }\n`,
      "host1 and host2 have different records or routes",
    ],
    [
      "a route of one host",
      `${TWO_HOSTS}customerRoutes:\n  - { host: host2, routingDomainID: "{11111111-2222-3333-4444-000000005001}", virtualSubnetID: 5001, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.0.7 }\n`,
      "host1 and host2 have different records or routes",
    ],
    [
      "a record that places an adapter at the other host",
      `${TWO_HOSTS}lookupRecords:\n  - ${RECORD.replace("4.22", "4.11")} }\n`,
      "host2/Blue2 is on record at another host",
    ],
    [
      "a record for an adapter that is not there",
      `${TWO_HOSTS}lookupRecords:\n  - ${RECORD.replace("0007", "0099").replace("10.0.0.7", "10.0.0.8")} }\n`,
      "host2 lacks an adapter that is on record there",
    ],
    [
      "an L2Only record",
      `${TWO_HOSTS}lookupRecords:\n  - ${RECORD.replace("10.0.0.7", "0.0.0.0")}, type: L2Only }\n`,
      "a VM with an L2Only record may send from addresses that no record has",
    ],
    [
      "MAC spoofing",
      change(TWO_HOSTS, "mac: 06-06-00-00-00-09,", "mac: 06-06-00-00-00-09, macAddressSpoofing: true,"),
      "host2/Blue3 may send in other names",
    ],
    [
      "provider addresses of both families",
      change(
        TWO_HOSTS,
        "[{ address: 192.168.4.22 }]",
        '[{ address: 192.168.4.22 }, { address: "2001:db8:4::22", prefixLength: 64 }]',
      ).replace("mtu: 1600 }", 'mtu: 1600 }\n    - { prefix: "2001:db8:4::/64" }'),
      "packets may leave from an address of another family than their sender's record has",
    ],
  ])("%s", (_what, text, why) => {
    expect(said(text)).toBe(why);
  });

  it("a host that is alone, or whose NICs end outside of the lab, hears of nobody", () => {
    const { hosts, provider } = load(`${TWO_HOSTS}lookupRecords:\n  - ${RECORD}, vmName: X, host: host1 }\n`).lab;
    expect([
      disagreement({ hosts, provider: null, gateways: [], events: [] }),
      disagreement({ hosts: hosts.slice(0, 1), provider, gateways: [], events: [] }),
    ]).toEqual([undefined, undefined]);
  });
});

it("a lab of one mind: whatever its VMs send, no host has anything to say to another", () => {
  const random = seededRandom();
  let crossed = 0;
  for (let round = 0; round < 20; round++) {
    const fabric = randomFabric(random);
    const { lab: settings } = load(fabric.yaml);
    expect(disagreement(settings)).toBeUndefined();
    const lab = new Lab(settings, { kernel: kernelModule() });
    const adapters = settings.hosts.flatMap((host) =>
      host.adapters.map(({ portName, mac }) => ({ port: `${host.name}/${portName}`, mac })),
    );
    if (adapters.length === 0) continue;
    const macText = (mac: number) => mac.toString(16).padStart(12, "0").match(/../g)!.join("-");
    const frames = Array.from({ length: 300 }, () => {
      const from = random.pick(adapters);
      const destination = random.chance(0.5) ? macText(random.pick(adapters).mac) : random.pick(GATEWAYS);
      return { port: lab.port(from.port)!, frame: ethernet(destination, macText(from.mac), anything(random)) };
    });
    lab.engine.send(frames);
    lab.engine.sendNothing(5_000_000_000n);
    crossed += settings.hosts.reduce(
      (sum, { name }) => sum + lab.engine.portCounters(lab.port(`${name}/nic1`)!).rx.packets,
      0,
    );
    for (const { name } of settings.hosts)
      expect(lab.controlCounters(name), `seed ${random.seed}, round ${round}`).toMatchObject({ sent: 0, held: 0 });
  }
  expect(crossed).toBeGreaterThan(0);
});

const GATEWAYS = ["02-00-5E-00-01-01", "FF-FF-FF-FF-FF-FF", "01-00-5E-00-00-FB", "06-0F-00-00-00-00"];

/** A packet between addresses of the labs, and others that VMs may use or make up. */
function anything(random: Random): Uint8Array {
  const isV6 = random.chance(0.4);
  const address = (): string =>
    random.chance(0.7)
      ? isV6
        ? `fd00:10:${random.below(3)}::${random.between(1, 10).toString(16)}`
        : `10.0.${random.below(3)}.${random.between(1, 10)}`
      : random.pick(
          isV6
            ? ["fe80::5", "fe80::6", "::", "ff02::1", "2001:db8::9"]
            : ["169.254.1.5", "0.0.0.0", "255.255.255.255", "224.0.0.251", "8.8.8.8"],
        );
  if (!isV6 && random.chance(0.2)) return icmp(address(), address(), [random.pick([3, 5, 8]), 10, 0, 0, 0, 0, 0, 0]);
  const payload = new Uint8Array(16);
  return ip({ source: address(), destination: address(), protocol: random.pick([6, 17, 1, 58]), payload, ttl: 64 });
}
