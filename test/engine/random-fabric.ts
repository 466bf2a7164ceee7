/**
 * Random fabrics and random traffic, and a naive oracle of a page that knows only the fabric's plan: where each packet must
 * arrive, with which octets, or why not.
 */
import assert from "node:assert/strict";
import { loadFabricFile } from "../../src/control/index.js";
import { reasonName, trace } from "../../src/dataplane/index.js";
import type { PortIndex } from "../../src/dataplane/transposition/index.js";
import { Lab } from "../../src/vswitch/index.js";
import { type CheckedModule, EngineFences, recordRegions } from "../support/fences.js";
import { kernelModule } from "../support/kernel.js";
import type { Random } from "../support/random.js";
import { Tally } from "../support/tally.js";
import { frame as ethernet, hexOf, icmp, icmpv6, ip, udp } from "./build.js";

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
  /** By IP Rewrite, its address of the provider network's family has this PA; null: it is encapsulated. */
  readonly ownPa: string | null;
}
export interface Fabric {
  readonly yaml: string;
  readonly tenants: readonly (readonly Subnet[])[];
  readonly vms: readonly Vm[];
  readonly hosts: number;
  /** The longest IP packet between hosts, and the longest that fits inside of one. */
  readonly mtu: number;
  readonly innerMtu: number;
  /** Of the provider network. */
  readonly outer: 4 | 6;
  readonly pa: (host: number) => string;
}

export const caOf = (family: 4 | 6, place: number, number: number): string =>
  family === 4 ? `10.0.${place}.${number}` : `fd00:10:${place.toString(16)}::${number.toString(16)}`;
const prefixOf = (family: 4 | 6, place: number): string =>
  family === 4 ? `10.0.${place}.0/24` : `"fd00:10:${place.toString(16)}::/64"`;
const hex2 = (value: number): string => value.toString(16).padStart(2, "0");

/** With `rewrites` some VMs are reached by IP Rewrite. */
export function randomFabric(random: Random, rewrites = false): Fabric {
  const outer = random.pick([4, 6] as const);
  const hosts = random.between(1, 6);
  const mtu = random.pick([1500, 1600]);
  const vlans = [random.pick([0, 103]), random.pick([0, 7, 200])].slice(0, random.between(1, 2));
  const paOf = (host: number, number: number): string => {
    const subnet = host % vlans.length;
    return outer === 4 ? `192.168.${4 + subnet}.${number}` : `2001:db8:${4 + subnet}::${hex2(number)}`;
  };
  const pa = (host: number): string => paOf(host, 0x11 + host);
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
      const isRewritten = rewrites && subnet.families.includes(outer as never) && random.chance(0.7);
      const ownPa = isRewritten ? paOf(host, 100 + tenant * 10 + index) : null;
      return { port: `host${host}/T${tenant}V${index}`, tenant, host, subnet, mac, number: index + 5, ownPa };
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
    const here = vms.filter((vm) => vm.host === host);
    const addresses = [pa(host), ...here.flatMap(({ ownPa }) => ownPa ?? [])];
    lines.push(`    providerAddresses: [${addresses.map((address) => `{ address: "${address}" }`).join(", ")}]`);
    if (here.length > 0) lines.push("    vms:");
    for (const { port, mac, subnet, number } of here) {
      const addresses = subnet.families.map((family) => `"${caOf(family, subnet.place, number)}"`).join(", ");
      lines.push(`      - name: ${port.split("/")[1]}`);
      lines.push(`        adapters: [{ mac: ${mac}, vsid: ${subnet.vsid}, addresses: [${addresses}] }]`);
    }
  }
  const rewritten = vms.filter(({ ownPa }) => ownPa !== null);
  if (rewritten.length > 0) lines.push("lookupRecords:");
  for (const { subnet, mac, number, ownPa } of rewritten) {
    const ca = caOf(outer, subnet.place, number);
    lines.push(
      `  - { virtualSubnetID: ${subnet.vsid}, customerAddress: "${ca}", macAddress: ${mac}, providerAddress: "${ownPa}",`,
    );
    lines.push(`      rule: TranslationMethodNat, useVmMACAddress: ${random.chance(0.3)} }`);
  }
  const innerMtu = mtu - (outer === 4 ? 42 : 62);
  return { yaml: lines.join("\n"), tenants, vms, hosts, mtu, innerMtu, outer, pa };
}

/** A packet as its sender means it. */
export interface Sent {
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

export function randomPacket(random: Random, fabric: Fabric, id: number): Sent {
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
export function expected(fabric: Fabric, sent: Sent): string {
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
  const ttl = isRouted ? sent.ttl - 1 : sent.ttl;
  if (to.host !== from.host) {
    const isRewritten = to.ownPa !== null && family === fabric.outer;
    if (isRewritten && from.ownPa === null) return "TX_NAT_SOURCE";
    const length = (family === 4 ? 20 : 40) + 8 + sent.data.length;
    if (length > mtuTo(fabric, to, family)) return family === 4 ? "TX_TOO_BIG_ICMP4" : "TX_TOO_BIG_ICMP6";
    if (isRewritten) return rewritten(fabric, sent, to, ttl);
  }
  const ends = { to: to.mac, from: isRouted ? gatewayOf(subnet) : from.mac, ttl };
  return `${to.port} ${hexOf(bytesOf(sent, ends))}`;
}

const mtuTo = ({ outer, mtu, innerMtu }: Fabric, to: Vm, family: 4 | 6): number =>
  to.ownPa !== null && family === outer ? mtu : innerMtu;

/** The provider's router counts as a hop of the packet itself, and the far host tells by the subnets whether it was routed. */
function rewritten({ pa }: Fabric, sent: Sent, to: Vm, ttl: number): string {
  const { from } = sent;
  const networkOf = (host: number): string => pa(host).replace(/[.:][^.:]*$/, "");
  const hops = networkOf(from.host) === networkOf(to.host) ? 0 : 1;
  if (ttl <= hops) return hops === 0 ? assert.fail("a packet without a TTL") : "PROVIDER_TTL";
  const ends = { to: to.mac, from: to.subnet === from.subnet ? from.mac : gatewayOf(to.subnet), ttl: ttl - hops };
  return `${to.port} ${hexOf(bytesOf(sent, ends))}`;
}

/** What the sender is told by its gateway: the octets at its port; null if nothing. */
function expectedError(fabric: Fabric, sent: Sent, end: string): string | null {
  const { from, family, place, number } = sent;
  const isExpired = end === "TX_TTL_EXCEEDED";
  if (!isExpired && !end.startsWith("TX_TOO_BIG")) return null;
  const [gateway, source] = [caOf(family, from.subnet.place, 1), caOf(family, from.subnet.place, from.number)];
  const to = fabric.vms.find((vm) => vm.tenant === from.tenant && vm.subnet.place === place && vm.number === number);
  const mtu = isExpired ? 0 : mtuTo(fabric, to!, family);
  const [type, code] = family === 4 ? (isExpired ? [11, 0] : [3, 4]) : isExpired ? [3, 0] : [2, 0];
  const room = family === 4 ? 576 - 28 : 1280 - 48;
  const message = [type!, code!, 0, 0, 0, 0, mtu >>> 8, mtu & 0xff, ...bytesOf(sent).subarray(14, 14 + room)];
  const packet = family === 4 ? icmp(gateway, source, message, 128, 0xc0) : icmpv6(gateway, source, message, 128, 0xc0);
  return `${from.port} ${hexOf(ethernet(from.mac, gatewayOf(from.subnet), packet))}`;
}

export const framesOf = (packets: readonly Sent[]) =>
  packets.map((sent) => ({ port: sent.from.port, frame: bytesOf(sent) }));

const KINDS = {
  end: [
    "delivered",
    "rewritten",
    "NOT_ACCEPTED",
    "PROVIDER_TTL",
    "TX_NAT_SOURCE",
    "TX_NO_RECORD",
    "TX_NO_ROUTE",
    "TX_ROUTER_SELF",
    "TX_TOO_BIG_ICMP4",
    "TX_TOO_BIG_ICMP6",
    "TX_TTL_EXCEEDED",
  ],
  hop: ["forwarded", "dropped"],
} as const;
export type FabricTally = Tally<typeof KINDS>;
export const makeFabricTally = (): FabricTally => new Tally(KINDS);

export interface FabricRun {
  readonly packets: number;
  readonly tally: FabricTally;
  /** Runs the packets once more behind fences. */
  readonly checked?: CheckedModule;
}

/** One random fabric: all packets in bursts of 256, then one by one, must end as planned. Throws at the first that does not. */
export function runRandomFabric(random: Random, { packets: count, tally, checked }: FabricRun): void {
  const fabric = randomFabric(random, random.chance(0.5));
  const packets = Array.from({ length: count }, (_, id) =>
    randomPacket(random, fabric, random.chance(0.5) ? id : id % 7),
  );
  const frames = framesOf(packets);
  const whole = endsOf(labOf(fabric), frames);
  for (const [index, sent] of packets.entries()) {
    const wanted = expected(fabric, sent);
    const told = expectedError(fabric, sent, wanted);
    // The provider's router complains to the sending host, which does not translate such errors back.
    const isComplaint = wanted === "PROVIDER_TTL" && ["NONE", "RX_NAT_SOURCE"].includes(whole[index]![1]!);
    assert.deepEqual(
      isComplaint ? whole[index]!.slice(0, 1) : whole[index],
      told ? [wanted, told] : [wanted],
      `packet ${index}, ${hexOf(frames[index]!.frame)} at ${frames[index]!.port}`,
    );
    tally.count("end", wanted.includes(" ") ? "delivered" : (wanted as "TX_NO_ROUTE"));
    const to = fabric.vms.find(({ port }) => wanted.startsWith(`${port} `));
    const isRewritten = to && to.host !== sent.from.host && to.ownPa !== null && sent.family === fabric.outer;
    if (isRewritten) tally.count("end", "rewritten");
  }
  const lab = labOf(fabric);
  const single = frames.flatMap((frame) => endsOf(lab, [frame]));
  assert.deepEqual(single, whole, "bursts of 1 differ from bursts of 256");
  if (checked) assert.deepEqual(endsOf(fencedLabOf(fabric, checked), frames), whole, "with assertions it differs");
}

/** One random fabric: at every node on its way, the kernel must do with a packet what the plain interpreter does. */
export function runRandomFabricByHops(random: Random, { packets, tally }: FabricRun): void {
  const fabric = randomFabric(random, random.chance(0.5));
  const lab = labOf(fabric);
  const { engine } = lab;
  const peers = engine.ports.map((_, port) => engine.peerOf(port as PortIndex));
  for (let port = 0; port < peers.length; port++) engine.setPeer(port as PortIndex, null); // every node for itself
  for (let id = 0; id < packets; id++) {
    const { port, frame } = framesOf([randomPacket(random, fabric, id % 20)])[0]!;
    let here: PortIndex | null = lab.port(port)!;
    let bytes = frame;
    while (here !== null) {
      const [step] = trace(engine, here, bytes);
      const [end] = engine.send([{ port: here, frame: bytes }]);
      const [output] = step!.outputs;
      const got = end!.verdict === "delivered" ? { port: end!.port, after: hexOf(end!.frame) } : null;
      const what: string = `${hexOf(bytes)} at ${engine.ports[here]!.name}`;
      assert.deepEqual(got, output ? { port: output.port, after: hexOf(output.after) } : null, what);
      if (!output) assert.equal(end!.verdict, "dropped", what);
      tally.count("hop", output ? "forwarded" : "dropped");
      here = output ? peers[output.port]! : null;
      bytes = output?.after ?? bytes;
    }
  }
}

type Frames = readonly { readonly port: string; readonly frame: Uint8Array }[];

function labOf(fabric: Fabric, kernel = kernelModule()): Lab {
  const loaded = loadFabricFile(fabric.yaml, "random.yaml");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return new Lab(loaded.lab, { kernel });
}

function fencedLabOf(fabric: Fabric, { module, sites }: CheckedModule): Lab {
  const { made: lab, regions } = recordRegions(() => labOf(fabric, module));
  lab.engine.send([{ port: 0 as PortIndex, frame: new Uint8Array(14) }]); // lets the engine take its buffer first
  new EngineFences(lab.engine, regions, sites, { isSingleHop: false });
  return lab;
}

/** How the frames end, as `expected` says it, each followed by the answers to it. */
function endsOf(lab: Lab, frames: Frames): string[][] {
  const ends = lab.engine.send(frames.map(({ port, frame }) => ({ port: lab.port(port)!, frame })));
  const first = ends[0]!.sequence;
  const bySequence: string[][] = frames.map(() => []);
  for (const { verdict, port, frame, reason, sequence } of ends) {
    const text = verdict === "delivered" ? `${lab.engine.ports[port]!.name} ${hexOf(frame)}` : reasonName(reason);
    bySequence[sequence - first]!.push(text);
  }
  return bySequence;
}
