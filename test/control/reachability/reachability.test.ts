/** Who can reach whom: the engine decides, every empty cell has its reason, and large domains are sampled. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { type DomainReach, reachabilityOf, settledLab } from "../../../src/control/index.js";
import { reasonName } from "../../../src/dataplane/index.js";
import { formatAddress, parseAddress, sameAddress } from "../../../src/dataplane/wire/index.js";
import { kernelModule } from "../../../src/kernel-file.js";
import { Lab } from "../../../src/vswitch/index.js";
import { change, load, TWO_HOSTS } from "../labs.js";

const makeLab = (text: string): Lab => new Lab(load(text).lab, { kernel: kernelModule(), flowCapacity: 1024 });

/** `10.0.0.5 > 10.0.0.7 TX_NO_RECORD at host1/Blue1` */
const gapsOf = ({ endpoints, gaps }: DomainReach): string[] =>
  gaps.flatMap(({ reason, at, pairs }) =>
    pairs.map(([from, to]) => {
      const [source, destination] = [endpoints[from]!, endpoints[to]!].map(({ address }) => formatAddress(address));
      return `${source} > ${destination} ${reasonName(reason)} at ${at}`;
    }),
  );

it("a sound lab: every address reaches every other of its routing domain, by family", () => {
  const text = readFileSync(new URL("../../../examples/two-tenants.yaml", import.meta.url), "utf8");
  const lab = makeLab(text);
  const reach = reachabilityOf(lab);
  expect(
    reach.map(({ routingDomainID, family, pairs, reached }) => [
      routingDomainID?.slice(-5, -1),
      family,
      pairs,
      reached,
    ]),
  ).toEqual([
    ["5001", 4, 6, 6],
    ["5001", 6, 2, 2],
    ["6001", 4, 2, 2],
  ]);
  expect(lab.engine.totals()).toMatchObject({ in: 0, delivered: 0, dropped: 0 }); // asking is not sending
});

it("records on one host only: both directions fail, each for its own reason", () => {
  const lab = makeLab(TWO_HOSTS);
  const record = lab.policyOf("host2")!.lookupRecords.find(5001 as never, parseAddress("10.0.0.5")!)!;
  lab.changePolicy("host2", { kind: "recordRemoved", record });
  const [blue, red] = reachabilityOf(lab);
  expect(gapsOf(blue!).sort()).toEqual([
    "10.0.0.5 > 10.0.0.7 RX_SRC_POLICY at host2/nic1",
    "10.0.0.5 > 10.0.1.9 RX_SRC_POLICY at host2/nic1",
    "10.0.0.7 > 10.0.0.5 TX_NO_RECORD at host2/Blue2",
    "10.0.1.9 > 10.0.0.5 TX_NO_RECORD at host2/Blue3",
  ]);
  expect(blue).toMatchObject({ pairs: 6, reached: 2 });
  expect(blue!.gaps[0]!.cures[0]!.command).toContain("New-NetVirtualizationLookupRecord -CimSession host2");
  expect(red).toMatchObject({ addresses: 1, pairs: 0, gaps: [] });
});

it("a missing route cuts two subnets apart in one direction", () => {
  const lab = makeLab(TWO_HOSTS);
  const routes = lab.policyOf("host1")!.customerRoutes.all.filter(({ virtualSubnetID }) => virtualSubnetID !== 5002);
  lab.changePolicy("host1", { kind: "customerRoutesReplaced", routes });
  expect(gapsOf(reachabilityOf(lab)[0]!)).toEqual([
    "10.0.0.5 > 10.0.1.9 TX_NO_ROUTE at host1/Blue1",
    "10.0.1.9 > 10.0.0.5 RX_SRC_POLICY at host1/nic1",
  ]);
});

it("a virtual subnet without any customer route has no routing domain: its VMs reach each other all the same", () => {
  const raw = change(TWO_HOSTS, "  - name: Red\n", "  - name: Green\n").replace(
    /routingDomains:[\s\S]*?provider:/,
    "provider:",
  );
  const [blue] = reachabilityOf(makeLab(raw.replaceAll(", addresses: [10.0.1.9]", "")));
  expect(blue).toMatchObject({ routingDomainID: null, pairs: 2, reached: 2 });
});

/** Twenty VMs of one subnet on each of two hosts. */
function crowd(): string {
  const vms = (host: number) =>
    Array.from({ length: 20 }, (_, vm) => {
      const last = 20 * host + vm + 2;
      return `      - { name: vm${vm}, adapters: [{ mac: 02-00-00-00-00-${last.toString(16).padStart(2, "0")}, vsid: 5001, addresses: [10.0.0.${last}] }] }\n`;
    }).join("");
  return TWO_HOSTS.replace(/ {6}- \{ name: Blue1.*\n.*\n/, () => vms(0)).replace(/ {6}- \{ name: Blue2.*\n.*\n/, () =>
    vms(1),
  );
}

it("a large domain is sampled evenly over the hosts; what the budget does not allow is not asked, and both are said", () => {
  const lab = makeLab(crowd());
  const [sampled] = reachabilityOf(lab, { endpoints: 10, probes: 1000 });
  expect(sampled).toMatchObject({ addresses: 40, pairs: 90, reached: 90 });
  expect(sampled!.endpoints.filter(({ host }) => host === "host1")).toHaveLength(5);
  const [unasked] = reachabilityOf(lab, { endpoints: 10, probes: 89 });
  expect(unasked).toMatchObject({ addresses: 40, endpoints: [], pairs: 0 });
  const [whole] = reachabilityOf(lab);
  expect(whole).toMatchObject({ pairs: 1560, reached: 1560 });
  expect(whole!.endpoints.some(({ address }) => sameAddress(address, parseAddress("10.0.0.41")!))).toBe(true);
});

it("resolve: wire: asked as if the hosts had found each other, of the lab or of one host", () => {
  const wire = `${TWO_HOSTS}settings: { resolve: wire }\n`;
  const one = change(TWO_HOSTS, "  - name: host1\n", "  - name: host1\n    settings: { resolve: wire }\n");
  for (const text of [wire, one]) {
    const lab = new Lab(settledLab({ ok: true, findings: [], ...load(text) }), { kernel: kernelModule() });
    expect(reachabilityOf(lab)[0]).toMatchObject({ pairs: 6, reached: 6 });
  }
  const plain = load(TWO_HOSTS);
  expect(settledLab({ ok: true, findings: [], ...plain })).toBe(plain.lab);
});

it("an adapter in the wrong virtual subnet has the address of its record, and is not reached; one without an address is left out, and named", () => {
  const misplaced = change(
    TWO_HOSTS,
    "{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }",
    "{ mac: 06-06-00-00-00-07, vsid: 5002 }, { mac: 06-06-00-00-00-99, vsid: 5002 }",
  );
  const record =
    'lookupRecords:\n  - { customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: "060600000007", providerAddress: 192.168.4.22 }\n';
  const [blue, ...others] = reachabilityOf(makeLab(misplaced + record));
  expect(gapsOf(blue!).sort()).toEqual(
    [
      "10.0.0.5 > 10.0.0.7 RX_NO_LOCAL_DST at host2/nic1",
      "10.0.0.7 > 10.0.0.5 TX_SRC_POLICY at host2/Blue2",
      "10.0.0.7 > 10.0.1.9 TX_SRC_POLICY at host2/Blue2",
      "10.0.1.9 > 10.0.0.7 NOT_ACCEPTED at host2/Blue3",
    ].sort(),
  );
  expect(blue).toMatchObject({ addresses: 3, withoutAddress: ["host2/Blue2.2"] });
  expect(others).toMatchObject([{ addresses: 1, withoutAddress: [] }]);
});

it("the same MAC in two tenants: one's record is no address of the other; a domain of which no VM has an address is told too", () => {
  const text = change(
    TWO_HOSTS,
    "{ mac: 08-08-00-00-00-05, vsid: 6001, addresses: [10.0.0.5] }",
    "{ mac: 06-06-00-00-00-05, vsid: 6001 }",
  );
  const [blue, red] = reachabilityOf(makeLab(text));
  expect(blue).toMatchObject({ addresses: 3, pairs: 6, reached: 6, withoutAddress: [] });
  expect(red).toMatchObject({ addresses: 0, endpoints: [], pairs: 0, withoutAddress: ["host1/Red1"] });
});
