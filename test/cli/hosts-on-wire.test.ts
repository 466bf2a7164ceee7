/** Which hosts of a live run resolve on the wire, and what that makes of their settings. */
import { describe, expect, it } from "vitest";
import { buildLab, loadLabText } from "../../src/cli/lab-file.js";
import { hostsOnWire } from "../../src/cli/live/hosts-on-wire.js";
import { formatAddress } from "../../src/dataplane/wire/index.js";
import type { LabSettings } from "../../src/vswitch/index.js";

const host = (n: number, more = ""): string => `  - name: host${n}
    nics: [{ name: nic1, mac: 02-00-00-00-0${n}-01 }, { name: nic2, mac: 02-00-00-00-0${n}-02 }]
    providerAddresses: [{ address: 192.168.4.${n} }, { address: 192.168.5.${n}, nic: nic2 }]
    vms: [{ name: Blue${n}, adapters: [{ mac: 06-06-00-00-00-0${n}, vsid: 5001, addresses: [10.0.0.1${n}] }] }]
${more}`;
const lab = (...more: readonly string[]): LabSettings =>
  loadLabText(
    `apiVersion: hnv/v1
routingDomains: [{ name: Blue, id: "{11111111-2222-3333-4444-000000005001}", subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }] }]
provider: { subnets: [{ prefix: 192.168.4.0/24, vlan: 4 }, { prefix: 192.168.5.0/24, vlan: 5 }] }
neighbors: [{ address: 192.168.4.99, mac: 02-00-00-00-00-99 }]
hosts:
${[1, 2, 3].map((n) => host(n, more[n - 1])).join("\n")}`,
    "lab.yaml",
  ).lab;
const at = (...binds: readonly string[]) => {
  const pairs = binds.map((bind) => bind.split("=") as [string, string]);
  return pairs.map(([port, value]) => ({ port, value }));
};

describe("hosts on a wire", () => {
  it.each(["afpacket:eth1", "xdp:eth1", "tap:eth1", "cap:eth1"])("both NICs on a network, one of them %s", (uri) => {
    expect(hostsOnWire(lab(), at(`host1/nic1=${uri}`, "host1/nic2=afpacket:eth2"))).toEqual(["host1"]);
  });

  it.each(["pcap:file.pcap", "gen:sink", "rawip:192.168.4.1"])("none behind %s, where nobody answers", (uri) => {
    expect(hostsOnWire(lab(), at(`host1/nic1=${uri}`, `host1/nic2=${uri}`))).toEqual([]);
  });

  it("none where guests are bound only", () => {
    expect(hostsOnWire(lab(), at("host1/Blue1=tap:blue1", "host2/Blue2=afpacket:blue2"))).toEqual([]);
  });

  it("all that a host with one NIC on a network and one within the lab meets there", () => {
    expect(hostsOnWire(lab(), at("host1/nic1=afpacket:eth1"))).toEqual(["host1", "host2", "host3"]);
  });

  it("all of the lab's provider network that a port of it opens to a stranger; the host in whose place that is has no part in it", () => {
    const opened = at("provider/host1.nic1=afpacket:eth1", "provider/host1.nic2=afpacket:eth2");
    expect(hostsOnWire(lab(), opened)).toEqual(["host2", "host3"]);
  });
});

describe("what a host on a wire is", () => {
  const resolved = (settings: LabSettings) => {
    const built = buildLab(settings, { onWire: ["host1", "host2"] });
    return ["host1", "host2", "host3"].map((name) => {
      const { settings: nve, neighbors } = built.policyOf(name)!;
      return `${nve.resolve} ${neighbors.all.map(({ address }) => formatAddress(address)).join(" ")}`;
    });
  };
  const known = "192.168.4.1 192.168.5.1 192.168.4.2 192.168.5.2 192.168.4.3 192.168.5.3 192.168.4.99";

  it("knows the neighbors that are written, and asks for the others", () => {
    expect(resolved(lab())).toEqual(["wire 192.168.4.99", "wire 192.168.4.99", `static ${known}`]);
  });

  it("is what the lab says, if it says so", () => {
    const settings = lab("    settings: { resolve: static }", "    settings: { resolve: wire }");
    expect(resolved(settings)).toEqual([`static ${known}`, "wire 192.168.4.99", `static ${known}`]);
  });
});
