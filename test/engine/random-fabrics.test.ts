/**
 * Random fabrics and random traffic from a printed seed, against a naive oracle of a page that knows only the fabric's plan:
 * where each packet must arrive, with which octets, or why not. HNV_TEST_SEED repeats a run.
 */
import { describe, expect, it } from "vitest";
import { loadFabricFile } from "../../src/control/index.js";
import { trace } from "../../src/dataplane/index.js";
import type { PortIndex } from "../../src/dataplane/transposition/index.js";
import { createLab, type HostPolicyChange, parseAddress, type Vsid } from "../../src/index.js";
import { Lab } from "../../src/vswitch/index.js";
import { kernelModule } from "../support/kernel.js";
import { type Random, seededRandom } from "../support/random.js";
import { frame as ethernet, hexOf, ip, udp } from "./build.js";

const DEFAULT_GATEWAY = "02-00-5E-00-01-01";

interface Subnet {
  readonly vsid: number;
  /** Third octet, and third group, of its prefixes. */
  readonly place: number;
  readonly families: readonly (4 | 6)[];
  readonly gatewayMac: string | null;
}
interface Vm {
  readonly port: string;
  readonly tenant: number;
  readonly host: number;
  readonly subnet: Subnet;
  readonly mac: string;
  readonly number: number;
}
interface Fabric {
  readonly yaml: string;
  readonly tenants: readonly (readonly Subnet[])[];
  readonly vms: readonly Vm[];
  readonly hosts: number;
  /** The longest inner IP packet between hosts. */
  readonly innerMtu: number;
  readonly pa: (host: number) => string;
}

const caOf = (family: 4 | 6, place: number, number: number): string =>
  family === 4 ? `10.0.${place}.${number}` : `fd00:10:${place.toString(16)}::${number.toString(16)}`;
const prefixOf = (family: 4 | 6, place: number): string =>
  family === 4 ? `10.0.${place}.0/24` : `"fd00:10:${place.toString(16)}::/64"`;
const hex2 = (value: number): string => value.toString(16).padStart(2, "0");

function randomFabric(random: Random): Fabric {
  const outer = random.pick([4, 6] as const);
  const hosts = random.between(1, 6);
  const mtu = random.pick([1500, 1600]);
  const vlans = [random.pick([0, 103]), random.pick([0, 7, 200])].slice(0, random.between(1, 2));
  const pa = (host: number): string => {
    const subnet = host % vlans.length;
    return outer === 4 ? `192.168.${4 + subnet}.${11 + host}` : `2001:db8:${4 + subnet}::${hex2(0x11 + host)}`;
  };
  const tenants = Array.from({ length: random.between(1, 4) }, (_, tenant) =>
    Array.from(
      { length: random.between(1, 3) },
      (_, place): Subnet => ({
        vsid: 5000 + tenant * 1000 + place,
        place,
        families: random.pick([[4], [6], [4, 6]] as const),
        gatewayMac: random.chance(0.5) ? `06-0F-00-00-0${tenant}-0${place}` : null,
      }),
    ),
  );
  const vms = tenants.flatMap((subnets, tenant) =>
    Array.from({ length: random.between(2, 6) }, (_, index): Vm => {
      const host = random.below(hosts);
      const mac = `06-06-00-00-0${tenant}-${hex2(index + 5)}`;
      const subnet = random.pick(subnets);
      return { port: `host${host}/T${tenant}V${index}`, tenant, host, subnet, mac, number: index + 5 };
    }),
  );
  const lines = ["apiVersion: hnv/v1", "routingDomains:"];
  tenants.forEach((subnets, tenant) => {
    lines.push(`  - name: T${tenant}`, `    id: "{11111111-2222-3333-4444-00000000000${tenant}}"`, "    subnets:");
    for (const { vsid, place, families, gatewayMac } of subnets) {
      const prefixes = families.map((family) => prefixOf(family, place)).join(", ");
      const gateway = gatewayMac ? `, gatewayMac: ${gatewayMac}` : "";
      lines.push(`      - { vsid: ${vsid}, prefixes: [${prefixes}]${gateway} }`);
    }
  });
  lines.push("provider:", "  subnets:");
  vlans.forEach((vlan, subnet) => {
    const [prefix, gateway] =
      outer === 4
        ? [`192.168.${4 + subnet}.0/24`, `192.168.${4 + subnet}.1`]
        : [`2001:db8:${4 + subnet}::/64`, `2001:db8:${4 + subnet}::1`];
    lines.push(`    - { prefix: "${prefix}", vlan: ${vlan}, mtu: ${mtu}, gateway: "${gateway}" }`);
  });
  lines.push("hosts:");
  for (let host = 0; host < hosts; host++) {
    lines.push(`  - name: host${host}`, `    nics: [{ name: nic1, mac: 02-00-00-00-00-1${host} }]`);
    lines.push(`    providerAddresses: [{ address: "${pa(host)}" }]`);
    const here = vms.filter((vm) => vm.host === host);
    if (here.length > 0) lines.push("    vms:");
    for (const { port, mac, subnet, number } of here) {
      const addresses = subnet.families.map((family) => `"${caOf(family, subnet.place, number)}"`).join(", ");
      lines.push(`      - name: ${port.split("/")[1]}`);
      lines.push(`        adapters: [{ mac: ${mac}, vsid: ${subnet.vsid}, addresses: [${addresses}] }]`);
    }
  }
  const innerMtu = mtu - (outer === 4 ? 42 : 62);
  return { yaml: lines.join("\n"), tenants, vms, hosts, innerMtu, pa };
}

/** A packet as its sender means it. */
interface Sent {
  readonly from: Vm;
  readonly family: 4 | 6;
  readonly place: number;
  readonly number: number;
  readonly destinationMac: string;
  readonly ttl: number;
  readonly ports: readonly [number, number];
  readonly data: Uint8Array;
}

function bytesOf(sent: Sent, ends?: { readonly to: string; readonly from: string; readonly ttl: number }): Uint8Array {
  const { from, family, place, number } = sent;
  const source = caOf(family, from.subnet.place, from.number);
  const destination = caOf(family, place, number);
  const payload = udp(source, destination, sent.ports, sent.data);
  const packet = ip({ source, destination, protocol: 17, payload, ttl: ends?.ttl ?? sent.ttl });
  return ethernet(ends?.to ?? sent.destinationMac, ends?.from ?? from.mac, packet);
}

const gatewayOf = (subnet: Subnet): string => subnet.gatewayMac ?? DEFAULT_GATEWAY;

function randomPacket(random: Random, fabric: Fabric, id: number): Sent {
  const from = random.pick(fabric.vms);
  const family = random.pick(from.subnet.families);
  const peer = random.pick(fabric.vms.filter(({ tenant }) => tenant === from.tenant));
  const isStray = random.chance(0.1);
  const isNeighbor = peer.subnet === from.subnet && random.chance(0.8);
  return {
    from,
    family,
    place: isStray ? random.below(5) : peer.subnet.place,
    number: isStray ? random.pick([1, 77]) : peer.number,
    destinationMac: isNeighbor ? peer.mac : random.pick([gatewayOf(from.subnet), DEFAULT_GATEWAY]),
    ttl: random.pick([1, 2, 64, 128, 255]),
    ports: [1000 + (id % 50_000), random.pick([53, 4000])],
    data: random.bytes(random.chance(0.05) ? random.between(1380, 1600) : random.below(80)),
  };
}

/** What must become of it: the octets at a port, or a reason. */
function expected(fabric: Fabric, sent: Sent): string {
  const { from, family, place, number } = sent;
  const subnets = fabric.tenants[from.tenant]!.filter(({ families }) => families.includes(family));
  const subnet = subnets.find((candidate) => candidate.place === place);
  if (subnet && number === 1) return "TX_ROUTER_SELF";
  if (!subnet) return "TX_NO_ROUTE";
  const to = fabric.vms.find((vm) => vm.tenant === from.tenant && vm.subnet === subnet && vm.number === number);
  if (!to) return "TX_NO_RECORD";
  const isRouted = subnet !== from.subnet || [gatewayOf(subnet), DEFAULT_GATEWAY].includes(sent.destinationMac);
  if (isRouted && sent.ttl <= 1) return "TX_TTL_EXCEEDED";
  if (to === from) return "NOT_ACCEPTED";
  const length = (family === 4 ? 20 : 40) + 8 + sent.data.length;
  if (to.host !== from.host && length > fabric.innerMtu) return family === 4 ? "TX_TOO_BIG_ICMP4" : "TX_TOO_BIG_ICMP6";
  const ends = isRouted
    ? { to: to.mac, from: gatewayOf(subnet), ttl: sent.ttl - 1 }
    : { to: to.mac, from: from.mac, ttl: sent.ttl };
  return `${to.port} ${hexOf(bytesOf(sent, ends))}`;
}

const framesOf = (packets: readonly Sent[]) => packets.map((sent) => ({ port: sent.from.port, frame: bytesOf(sent) }));

describe("random fabrics", () => {
  it("deliver what the plan says, in bursts of 1 and of 256", () => {
    const random = seededRandom();
    const seen = new Set<string>();
    for (let round = 0; round < 25; round++) {
      const fabric = randomFabric(random);
      const packets = Array.from({ length: 300 }, (_, id) =>
        randomPacket(random, fabric, random.chance(0.5) ? id : id % 7),
      );
      const frames = framesOf(packets);
      const whole = createLab(fabric.yaml).sendAll(frames);
      const lab = createLab(fabric.yaml);
      const single = frames.flatMap(({ port, frame }) => lab.send(port, frame));
      expect(single, `seed ${random.seed}, round ${round}`).toEqual(whole);
      whole.forEach((end, index) => {
        const got =
          end.verdict === "delivered" ? `${end.port} ${hexOf(end.frame)}` : (end.reason?.reason ?? end.verdict);
        expect(got, `seed ${random.seed}, round ${round}, packet ${index} of\n${fabric.yaml}`).toBe(
          expected(fabric, packets[index]!),
        );
        seen.add(end.verdict === "delivered" ? "delivered" : got);
      });
    }
    expect(seen.size, `seed ${random.seed}: ${[...seen].join(" ")}`).toBeGreaterThan(5);
  });

  it("go through the kernel as through the plain interpreter, hop by hop", () => {
    const random = seededRandom();
    for (let round = 0; round < 10; round++) {
      const fabric = randomFabric(random);
      const loaded = loadFabricFile(fabric.yaml, "random.yaml");
      if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
      const lab = new Lab(loaded.lab, { kernel: kernelModule() });
      const { engine } = lab;
      const peers = engine.ports.map((_, port) => engine.peerOf(port as PortIndex));
      for (let port = 0; port < peers.length; port++) engine.setPeer(port as PortIndex, null); // every node for itself
      for (let id = 0; id < 100; id++) {
        const { port, frame } = framesOf([randomPacket(random, fabric, id % 20)])[0]!;
        let here: PortIndex | null = lab.port(port)!;
        let bytes = frame;
        while (here !== null) {
          const [step] = trace(engine, here, bytes);
          const [end] = engine.send([{ port: here, frame: bytes }]);
          const [output] = step!.outputs;
          const got = end!.verdict === "delivered" ? { port: end!.port, after: hexOf(end!.frame) } : null;
          expect(got, `seed ${random.seed}`).toEqual(output ? { port: output.port, after: hexOf(output.after) } : null);
          if (!output) expect(end!.verdict, `seed ${random.seed}`).toBe("dropped");
          here = output ? peers[output.port]! : null;
          bytes = output?.after ?? bytes;
        }
      }
    }
  });
});

describe("changes of policy while traffic runs", () => {
  it("hold for the very next packet, and only flows that rest on them are decided again", () => {
    const random = seededRandom();
    let changes = 0;
    for (let round = 0; round < 200 && changes < 40; round++) {
      const fabric = randomFabric(random);
      const packets = Array.from({ length: 200 }, (_, id) => ({ ...randomPacket(random, fabric, id), ttl: 64 }));
      const flows = packets.filter((sent) => expected(fabric, sent).includes(" "));
      const moved = flows.find((sent) => sent.from.host !== hostOf(fabric, sent));
      if (!moved) continue;
      changes++;
      const lab = createLab(fabric.yaml);
      const what = `seed ${random.seed}, round ${round}`;
      const run = (): string[] =>
        lab
          .sendAll(framesOf(flows))
          .map(({ verdict, port, frame, reason }) =>
            verdict === "delivered" ? `${port} ${hexOf(frame)}` : reason!.reason,
          );
      const planned = flows.map((sent) => expected(fabric, sent));
      expect(run(), what).toEqual(planned);

      const host = `host${moved.from.host}`;
      const address = parseAddress(caOf(moved.family, moved.place, moved.number))!;
      const vsid = fabric.tenants[moved.from.tenant]!.find(({ place }) => place === moved.place)!.vsid as Vsid;
      const record = lab.policyOf(host).lookupRecords.find(vsid, address)!;
      const isTo = (sent: Sent): boolean =>
        sent.from.tenant === moved.from.tenant &&
        sent.family === moved.family &&
        sent.place === moved.place &&
        sent.number === moved.number;
      const isFrom = (sent: Sent): boolean =>
        sent.from.tenant === moved.from.tenant &&
        sent.from.subnet.vsid === vsid &&
        sent.from.number === moved.number &&
        sent.family === moved.family;
      const leaves = (sent: Sent): boolean => sent.from.host === moved.from.host;
      const arrives = (sent: Sent): boolean => hostOf(fabric, sent) === moved.from.host;
      // The host knows the record as sender (destination) and as receiver (source); the VM itself lives elsewhere.
      const touched = flows.filter((sent) => (leaves(sent) && isTo(sent)) || (arrives(sent) && isFrom(sent))).length;

      const change = (kind: HostPolicyChange, refused: { to: string; from: string }): void => {
        const before = lab.counters().flows;
        lab.changePolicy(host, kind);
        const wanted = flows.map((sent, index) =>
          leaves(sent) && isTo(sent)
            ? refused.to || planned[index]
            : arrives(sent) && isFrom(sent)
              ? refused.from || planned[index]
              : planned[index],
        );
        expect(run(), `${what}: ${kind.kind}`).toEqual(wanted);
        const after = lab.counters().flows;
        const stale = after.stale - before.stale;
        // The flow is decided again; its entry was outdated, or gone because the last decision could not be cached.
        expect(after.misses - before.misses, `${what}: ${kind.kind}`).toBeGreaterThanOrEqual(1);
        // Buckets are shared by hashing, so a flow or two may be asked without need.
        expect(stale, `${what}: ${kind.kind}, ${flows.length} flows`).toBeLessThanOrEqual(touched + 2);
      };
      change({ kind: "recordRemoved", record }, { to: "TX_NO_RECORD", from: "RX_SRC_POLICY" });
      change({ kind: "recordAdded", record }, { to: "", from: "" });
      const elsewhere = parseAddress(fabric.pa(moved.from.host))!;
      change(
        { kind: "recordReplaced", record: { ...record, providerAddress: elsewhere } },
        { to: "NOT_ACCEPTED", from: "RX_SRC_POLICY" },
      );
      change({ kind: "recordReplaced", record }, { to: "", from: "" });

      const routes = lab.policyOf(host).customerRoutes.all;
      const isGone = (route: (typeof routes)[number]): boolean =>
        route.virtualSubnetID === vsid && route.destinationPrefix.address.family === moved.family;
      const others = routes.filter((route) => !isGone(route));
      const ownRoutes = others.filter(
        ({ routingDomainID }) => routingDomainID === routes.find(isGone)!.routingDomainID,
      );
      if (moved.from.subnet.vsid === vsid && !ownRoutes.some((route) => route.virtualSubnetID === vsid)) continue; // no domain left to route in
      lab.changePolicy(host, { kind: "customerRoutesReplaced", routes: others });
      const [end] = lab.sendAll(framesOf([moved]));
      expect(end!.reason?.reason, `${what}: route removed`).toBe("TX_NO_ROUTE");
      lab.changePolicy(host, { kind: "customerRoutesReplaced", routes });
      expect(run(), `${what}: routes back`).toEqual(planned);
    }
    expect(changes).toBe(40);
  });
});

const hostOf = (fabric: Fabric, { from, place, number }: Sent): number | undefined =>
  fabric.vms.find((vm) => vm.tenant === from.tenant && vm.subnet.place === place && vm.number === number)?.host;
