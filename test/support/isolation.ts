/**
 * Two tenants that differ in nothing but their virtual subnets: the same addresses, the same MACs, the same hosts. Random frames of
 * both enter at their VMs' ports and at the hosts' NICs, and none may reach the other tenant, whole or in part.
 *
 *     host1   Blue1 Red1  10.0.0.5  06-…-05     Blue4 Red4  10.0.0.6  06-…-06 (L2Only, spoofing allowed)
 *     host2   Blue2 Red2  10.0.0.7  06-…-07     Blue3 Red3  10.0.1.9  06-…-09
 *
 * A frame belongs to the tenant of the port where a VM sends it; on the wire to that of its VSID, the only thing there that names a
 * tenant; with any other VSID it belongs to nobody. What belongs to a tenant is full of the tenant's mark. Two judges look at each end:
 * one for marks in the octets that reach a VM's port or the wire, one for the tenant of the frame that it was made of or because of.
 */
import assert from "node:assert/strict";
import { loadFabricFile } from "../../src/control/index.js";
import type { PacketEnd } from "../../src/dataplane/index.js";
import { BURST_MAX } from "../../src/dataplane/packet/index.js";
import type { PortIndex } from "../../src/dataplane/transposition/index.js";
import { Lab } from "../../src/vswitch/index.js";
import type { Random } from "./random.js";
import { Tally } from "./tally.js";

type Tenant = "Blue" | "Red";
type Owner = Tenant | "nobody";

const SUBNETS = { Blue: [5001, 5002], Red: [6001, 6002] } as const;
const VSIDS: Readonly<Record<Owner, readonly number[]>> = { ...SUBNETS, nobody: [0, 4095, 4096, 7001, 0xffffff] };
const OWNERS: readonly Owner[] = ["Blue", "Red", "Blue", "Red", "nobody"];
/** Room for a frame of a burst. */
const SLOT_BYTES = 2048;
/** By owner: octets that no header and no other mark resembles. */
const MARKS: Readonly<Record<Owner, Buffer>> = {
  Blue: Buffer.from("b1d3a5977f6e2c41", "hex"),
  Red: Buffer.from("c2e4f60819a3b5d7", "hex"),
  nobody: Buffer.from("d3915f7b8c2ae466", "hex"),
};

const domain = (name: Tenant, id: string): string => `
  - name: ${name}
    id: "{11111111-2222-3333-4444-00000000${id}}"
    subnets:
      - { vsid: ${SUBNETS[name][0]}, prefixes: [10.0.0.0/24, "fd00:10::/64"], gatewayMac: 06-06-00-00-01-01 }
      - { vsid: ${SUBNETS[name][1]}, prefixes: [10.0.1.0/24] }`;
const host1Vms = (name: Tenant): string => `
      - { name: ${name}1, adapters: [{ mac: 06-06-00-00-00-05, vsid: ${SUBNETS[name][0]}, addresses: [10.0.0.5, "fd00:10::5"] }] }
      - { name: ${name}4, adapters: [{ mac: 06-06-00-00-00-06, vsid: ${SUBNETS[name][0]}, macAddressSpoofing: true }] }`;
const host2Vms = (name: Tenant): string => `
      - { name: ${name}2, adapters: [{ mac: 06-06-00-00-00-07, vsid: ${SUBNETS[name][0]}, addresses: [10.0.0.7, "fd00:10::7"] }] }
      - { name: ${name}3, adapters: [{ mac: 06-06-00-00-00-09, vsid: ${SUBNETS[name][1]}, addresses: [10.0.1.9] }] }`;
const l2Only = (name: Tenant, any: string): string => `
  - { customerAddress: ${any}, virtualSubnetID: ${SUBNETS[name][0]}, macAddress: 06-06-00-00-00-06, providerAddress: 192.168.4.11, type: L2Only }`;

const FABRIC = (settings: string): string => `apiVersion: hnv/v1
${settings}
routingDomains:${domain("Blue", "5001")}${domain("Red", "6001")}
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1500 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms:${host1Vms("Blue")}${host1Vms("Red")}
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms:${host2Vms("Blue")}${host2Vms("Red")}
lookupRecords:${(["Blue", "Red"] as const).map((name) => l2Only(name, "0.0.0.0") + l2Only(name, '"::"')).join("")}
`;

const KINDS = {
  sent: ["Blue from a VM", "Red from a VM", "Blue from the wire", "Red from the wire", "nobody from the wire"],
  got: ["Blue from a VM", "Red from a VM", "Blue from the wire", "Red from the wire", "Blue's wire", "Red's wire"],
  end: ["delivered", "dropped", "passed", "consumed"],
  made: ["copy", "answer"],
} as const;
export type IsolationTally = Tally<typeof KINDS>;
export const makeIsolationTally = (): IsolationTally => new Tally(KINDS);

/** What a port is to the judges. */
interface Place {
  readonly index: PortIndex;
  readonly name: string;
  /** null: a NIC, or the provider network. */
  readonly tenant: Tenant | null;
  readonly vm: Station;
}

/** A VM's MAC address, by its last octet, and addresses: fd00:10::N of IPv6 has N here. */
interface Station {
  readonly mac: readonly number[];
  readonly address: number;
  readonly last6: number;
}

export interface IsolationRun {
  readonly frames: number;
  readonly kernel: WebAssembly.Module;
  readonly tally: IsolationTally;
  /** Which of the six labs, from 0; drawn if left out. */
  readonly variant?: number;
}

/** Each once with a wire between the hosts, to see what comes of frames, and once with NICs where they leave the lab. */
const SETTINGS = ["mode: 2012R2", "mode: 2012R2\nsettings: { flood: l2only }", "mode: 2012"] as const;
export const ISOLATION_VARIANTS = 2 * SETTINGS.length;

/** Sends so many random frames, in bursts of any size. Throws at the first that reaches whom it must not. */
export function runIsolation(random: Random, run: IsolationRun): void {
  const { frames, kernel, tally, variant = random.below(ISOLATION_VARIANTS) } = run;
  const loaded = loadFabricFile(FABRIC(SETTINGS[variant >>> 1]!), "isolation.yaml");
  assert(loaded.ok, JSON.stringify(loaded));
  const lab = new Lab(loaded.lab, { kernel });
  const { engine } = lab;
  const places = engine.ports.map((port, index) => placeOf(port.name, index as PortIndex));
  const vms = places.filter(({ tenant }) => tenant !== null);
  const nics = places.filter(({ name }) => /^host\d\/nic/.test(name));
  if ((variant & 1) === 1) for (const { index } of nics) engine.setPeer(index, null);

  const buffer = engine.memory.allocate(BURST_MAX * SLOT_BYTES);
  const senders: { readonly owner: Owner; readonly isFromVm: boolean }[] = [];
  let sequence = 0;
  for (let left = frames; left > 0; ) {
    const count = Math.min(left, random.pick([1, 7, 64, BURST_MAX, BURST_MAX]));
    left -= count;
    senders.length = 0;
    for (let row = 0; row < count; row++) {
      const at = buffer + row * SLOT_BYTES;
      const bytes = engine.memory.bytes.subarray(at, at + SLOT_BYTES);
      const isFromVm = random.chance(0.6);
      const place = random.pick(isFromVm ? vms : nics);
      const owner = place.tenant ?? random.pick(OWNERS);
      const length = isFromVm ? vmFrame(bytes, random, place) : wireFrame(bytes, random, place, owner);
      engine.setRow(row, at, length, place.index, 0n, sequence + row);
      senders.push({ owner, isFromVm });
      tally.count("sent", `${owner} from ${isFromVm ? "a VM" : "the wire"}` as "Red from a VM");
    }
    engine.process(count, 0);
    for (const end of engine.lastBurst()) {
      const { owner, isFromVm } = senders[end.sequence - sequence]!;
      const place = places[end.port]!;
      tally.count("end", end.verdict);
      if (end.verdict !== "delivered") continue;
      judge(end, place, owner);
      const where = place.tenant === null ? "'s wire" : isFromVm ? " from a VM" : " from the wire";
      tally.count("got", `${owner}${where}` as "Red from a VM");
    }
    sequence += count;
  }
  const totals = engine.totals();
  assert.equal(totals.in, frames);
  assert.equal(
    totals.delivered + totals.dropped + totals.passed + totals.consumed,
    frames + totals.copies + totals.injected,
  );
  tally.count("made", "copy", totals.copies);
  tally.count("made", "answer", totals.injected);
}

/** Throws if the frame that left here must not be here. */
function judge({ frame, sequence }: PacketEnd, place: Place, owner: Owner): void {
  const octets = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const what = (): string => `a frame of ${owner}'s, number ${sequence}, at ${place.name}: ${octets.toString("hex")}`;
  // On the wire the VSID says whose it is.
  const here = place.tenant ?? ownerOfVsid(octets);
  assert(here === owner, what());
  for (const other of ["Blue", "Red", "nobody"] as const) {
    if (other !== here) assert(octets.indexOf(MARKS[other]) < 0, `${other}'s mark in ${what()}`);
  }
}

/** Of NVGRE as hosts send it: in IPv4, without tag or options. */
function ownerOfVsid(octets: Buffer): Owner {
  assert(octets.length > 42 && octets.readUInt16BE(12) === 0x0800 && octets[23] === 47, octets.toString("hex"));
  const vsid = octets.readUIntBE(38, 3);
  return (
    (Object.keys(SUBNETS) as Tenant[]).find((tenant) => (SUBNETS[tenant] as readonly number[]).includes(vsid)) ??
    "nobody"
  );
}

// Stations, and frames of theirs, written in place: a million of them shall not take long.

const station = (last: number, address: number): Station => ({ mac: [6, 6, 0, 0, 0, last], address, last6: last });
const STATIONS = [
  station(5, 0x0a00_0005),
  station(7, 0x0a00_0007),
  station(9, 0x0a00_0109),
  station(6, 0x0a00_0006),
] as const;
const PLACES: Readonly<Record<string, Station>> = { 1: STATIONS[0], 2: STATIONS[1], 3: STATIONS[2], 4: STATIONS[3] };
/** What a NIC takes in comes from whom? */
const PA = [0xc0a8_040b, 0xc0a8_0416] as const;
const NIC_MACS = [
  [2, 0, 0xc0, 0xa8, 4, 0x0b],
  [2, 0, 0xc0, 0xa8, 4, 0x16],
] as const;

function placeOf(name: string, index: PortIndex): Place {
  const [, tenant, number] = /^host\d\/(Blue|Red)(\d)$/.exec(name) ?? [];
  return { index, name, tenant: (tenant as Tenant | undefined) ?? null, vm: PLACES[number ?? "1"]! };
}

const ALL = [255, 255, 255, 255, 255, 255];
const GATEWAY_MACS = [
  [6, 6, 0, 0, 1, 1],
  [2, 0, 0x5e, 0, 1, 1],
];
const MACS = [
  ...STATIONS.map(({ mac }) => mac),
  ...GATEWAY_MACS,
  ...GATEWAY_MACS,
  ALL,
  [1, 0, 0x5e, 0, 0, 0xfb],
  [0x33, 0x33, 0, 0, 0, 1],
  ...NIC_MACS,
];
const ADDRESSES = [
  ...STATIONS.map(({ address }) => address),
  ...STATIONS.map(({ address }) => address),
  0x0a00_0001, // the gateways
  0x0a00_0101,
  0x0a00_00ff, // to all
  0xffff_ffff,
  0xe000_00fb,
  0x0a00_004d, // nobody
  0xa9fe_0101, // link-local
  0,
  ...PA,
];
const LAST6 = [5, 6, 7, 9, 1, 77];

/** What the VM of a place sends, by its rights or against them. Returns the frame's length. */
function vmFrame(bytes: Uint8Array, random: Random, { vm, tenant }: Place): number {
  const length = tenantFrame(bytes, 0, random, vm, MARKS[tenant!]);
  return random.chance(0.05) ? spoil(bytes, random, length) : length;
}

/** NVGRE for a NIC's host, from the other host or somebody else. */
function wireFrame(bytes: Uint8Array, random: Random, { name }: Place, owner: Owner): number {
  const here = name.startsWith("host1") ? 0 : 1;
  const innerEnd = tenantFrame(bytes, 42, random, random.pick(STATIONS), MARKS[owner]);
  const [source, destination] = random.chance(0.9)
    ? [PA[1 - here]!, PA[here]!]
    : [random.pick(ADDRESSES), random.pick(PA)];
  macs(bytes, 0, random.chance(0.95) ? NIC_MACS[here]! : random.pick(MACS), NIC_MACS[1 - here]!);
  bytes[12] = 8;
  bytes[13] = 0;
  ipv4(bytes, 14, innerEnd, random.chance(0.98) ? 47 : 17, source, destination, random.pick([1, 64, 128]));
  put16(bytes, 34, random.chance(0.97) ? 0x2000 : random.below(0x1_0000));
  put16(bytes, 36, 0x6558);
  put32(bytes, 38, ((random.pick(VSIDS[owner]) << 8) | random.below(256)) >>> 0);
  return random.chance(0.05) ? spoil(bytes, random, innerEnd) : innerEnd;
}

/** One wrong bit in the headers, or an end that comes too soon. */
function spoil(bytes: Uint8Array, random: Random, length: number): number {
  if (random.chance(0.3)) return 1 + random.below(length);
  bytes[random.below(Math.min(length, 100))]! ^= 1 << random.below(8);
  return length;
}

function tenantFrame(bytes: Uint8Array, at: number, random: Random, vm: Station, mark: Buffer): number {
  const isOwn = random.chance(0.9);
  const source = isOwn ? vm.mac : random.pick(MACS);
  macs(bytes, at, random.chance(0.5) ? random.pick(STATIONS).mac : random.pick(MACS), source);
  const kind = random.below(100);
  let end: number;
  if (kind < 12) end = arp(bytes, at, random, vm);
  else if (kind < 18) end = neighborDiscovery(bytes, at, random, vm);
  else if (kind < 32) end = packet6(bytes, at, random, vm, mark);
  else if (kind < 38) end = dhcp(bytes, at, mark);
  else if (kind < 46) end = nested(bytes, at, random, vm, mark);
  else if (kind < 48) end = other(bytes, at, random);
  else end = packet4(bytes, at, random, vm, mark);
  return marks(bytes, end, end + random.below(24), mark);
}

function packet4(bytes: Uint8Array, at: number, random: Random, { address }: Station, mark: Buffer): number {
  const protocol = random.pick([17, 17, 6, 1]);
  const size = random.chance(0.03) ? random.between(1380, 1500) : random.below(120);
  const end = marks(bytes, at + 42, at + 42 + size, mark);
  put16(bytes, at + 12, 0x0800);
  put32(bytes, at + 34, ports(random));
  put32(bytes, at + 38, 0);
  const source = random.chance(0.9) ? address : random.pick(ADDRESSES);
  const ttl = random.chance(0.05) ? 1 : 64;
  ipv4(bytes, at + 14, end, protocol, source, random.pick(ADDRESSES), ttl);
  return end;
}

/** Few flows, so that most packets find an entry in the flow table, and some that are new. */
const ports = (random: Random): number =>
  random.chance(0.1) ? random.bits() : (0x03e8_07d0 + 0x1_0000 * random.below(3) + random.below(2)) >>> 0;

function packet6(bytes: Uint8Array, at: number, random: Random, { last6 }: Station, mark: Buffer): number {
  const end = marks(bytes, at + 62, at + 62 + random.below(120), mark);
  ipv6(bytes, at, end, 17, random.chance(0.9) ? last6 : random.pick(LAST6), random.chance(0.05) ? 1 : 64);
  put32(bytes, at + 54, ports(random));
  put32(bytes, at + 58, 0);
  if (random.chance(0.15))
    bytes.set([0xff, 2], at + 38); // a group
  else bytes[at + 53] = random.pick(LAST6);
  return end;
}

/** NVGRE that a VM makes up, with the other tenant's VSIDs as well as its own: to the tenant nothing but payload. */
function nested(bytes: Uint8Array, at: number, random: Random, { address }: Station, mark: Buffer): number {
  put16(bytes, at + 12, 0x0800);
  put32(bytes, at + 34, 0x2000_6558);
  put32(bytes, at + 38, ((random.pick([5001, 5002, 6001, 6002]) << 8) | random.below(256)) >>> 0);
  macs(bytes, at + 42, random.pick(STATIONS).mac, random.pick(STATIONS).mac);
  put16(bytes, at + 54, 0x0800);
  const end = marks(bytes, at + 76, at + 76 + random.below(80), mark);
  ipv4(bytes, at + 56, end, 17, random.pick(STATIONS).address, random.pick(STATIONS).address, 64);
  ipv4(bytes, at + 14, end, 47, address, random.pick([...PA, ...STATIONS.map((peer) => peer.address)]), 64);
  return end;
}

/** DISCOVER, as far as a switch can see. */
function dhcp(bytes: Uint8Array, at: number, mark: Buffer): number {
  bytes.set(ALL, at);
  put16(bytes, at + 12, 0x0800);
  put32(bytes, at + 34, 0x0044_0043);
  put32(bytes, at + 38, 0);
  const end = marks(bytes, at + 42, at + 120, mark);
  ipv4(bytes, at + 14, end, 17, 0, 0xffff_ffff, 128);
  return end;
}

function arp(bytes: Uint8Array, at: number, random: Random, vm: Station): number {
  if (random.chance(0.7)) bytes.set(ALL, at);
  put16(bytes, at + 12, 0x0806);
  bytes.set([0, 1, 8, 0, 6, 4, 0, random.pick([1, 1, 1, 2])], at + 14);
  bytes.copyWithin(at + 22, at + 6, at + 12);
  put32(bytes, at + 28, random.chance(0.85) ? vm.address : random.pick([0, 0x0a00_0005, 0x0a00_0001]));
  bytes.fill(0, at + 32, at + 38);
  put32(bytes, at + 38, random.pick(ADDRESSES));
  return at + 42;
}

/** A solicitation to all, or an advertisement. */
function neighborDiscovery(bytes: Uint8Array, at: number, random: Random, vm: Station): number {
  const end = at + 54 + 32;
  const target = random.pick(LAST6);
  const isQuestion = random.chance(0.8);
  ipv6(bytes, at, end, 58, vm.last6, 255);
  bytes.set(isQuestion ? [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, target] : [0xff, 2], at + 38);
  if (!isQuestion) bytes.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], at + 40);
  bytes.set(isQuestion ? [0x33, 0x33, 0xff, 0, 0, target] : [0x33, 0x33, 0, 0, 0, 1], at);
  bytes.fill(0, at + 54, end);
  bytes[at + 54] = isQuestion ? 135 : 136;
  if (!isQuestion) bytes[at + 58] = 0x20;
  bytes.set([0xfd, 0, 0, 0x10], at + 62);
  bytes[at + 77] = target;
  bytes.set([isQuestion ? 1 : 2, 1], at + 78);
  bytes.copyWithin(at + 80, at + 6, at + 12);
  put16(bytes, at + 56, checksum(bytes, at + 22, end, end - at - 54 + 58)); // addresses, length, next header, message
  return end;
}

function other(bytes: Uint8Array, at: number, random: Random): number {
  put16(bytes, at + 12, random.pick([0x88cc, 0x8100, 0x88a8, 0x0026, 0x86dd, 0x0800]));
  for (let octet = at + 14; octet < at + 30; octet++) bytes[octet] = random.bits();
  return at + 30;
}

function marks(bytes: Uint8Array, from: number, to: number, mark: Buffer): number {
  for (let at = from; at < to; at++) bytes[at] = mark[(at - from) & 7]!;
  return to;
}

function macs(bytes: Uint8Array, at: number, destination: readonly number[], source: readonly number[]): void {
  bytes.set(destination, at);
  bytes.set(source, at + 6);
}

function ipv4(
  bytes: Uint8Array,
  at: number,
  end: number,
  protocol: number,
  source: number,
  destination: number,
  ttl: number,
): void {
  put16(bytes, at, 0x4500);
  put16(bytes, at + 2, end - at);
  put32(bytes, at + 4, 0x4000); // DF
  put16(bytes, at + 8, (ttl << 8) | protocol);
  put16(bytes, at + 10, 0);
  put32(bytes, at + 12, source);
  put32(bytes, at + 16, destination);
  put16(bytes, at + 10, checksum(bytes, at, at + 20, 0));
}

/** From fd00:10::`last` to fd00:10::, which the caller completes. */
function ipv6(bytes: Uint8Array, at: number, end: number, next: number, last: number, hops: number): void {
  put16(bytes, at + 12, 0x86dd);
  put32(bytes, at + 14, 0x6000_0000);
  put16(bytes, at + 18, end - at - 54);
  put16(bytes, at + 20, (next << 8) | hops);
  bytes.fill(0, at + 22, at + 54);
  bytes.set([0xfd, 0, 0, 0x10], at + 22);
  bytes[at + 37] = last;
  bytes.set([0xfd, 0, 0, 0x10], at + 38);
}

function checksum(bytes: Uint8Array, from: number, to: number, start: number): number {
  let sum = start;
  for (let at = from; at < to; at += 2) sum += bytes[at]! * 256 + bytes[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value);
}
