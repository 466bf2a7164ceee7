/**
 * One capture of a whole host, taken apart: which of its frames enter the host, and at which port.
 *
 * A mirror port, pktmon or netsh shows what a host's VMs send, what the host sends and receives on its NICs, and perhaps what it hands
 * to its VMs, all mixed. Only what enters the host is input; what the host made itself would be made again, and is left out.
 *
 *     NVGRE to one of the host's PAs        ─► the NIC of that PA         NVGRE from one of them        ─► left out
 *     IP Rewrite: likewise, by the PAs that stand for a customer address
 *     source MAC of one of its adapters     ─► that adapter               source MAC of one of its NICs ─► left out
 *     destination MAC of one of its NICs    ─► that NIC
 *     for an adapter without VSID, or a group, from elsewhere ─► the NIC of the frame's VLAN
 *     for an adapter with VSID, from elsewhere: what the host has unwrapped     ─► left out
 *
 * The same MAC in several virtual subnets, of this host or of VMs elsewhere, is told apart by the source address: (VSID, CA, MAC) has a
 * lookup record in one of them.
 */

import { ROW, ROW_SIZE } from "../dataplane/packet/index.js";
import type { HostPolicy } from "../dataplane/policy/index.js";
import type { PortIndex } from "../dataplane/transposition/index.js";
import {
  type Address,
  destinationMacAt,
  ETHERNET_LENGTH,
  ETHERTYPE_ARP,
  ETHERTYPE_CTAG,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_TEB,
  etherTypeAt,
  formatAddress,
  greProtocolAt,
  IPV4_LENGTH,
  IPV6_LENGTH,
  ipv4AddressAt,
  ipv4DestinationAt,
  ipv4FragmentOffsetAt,
  ipv4HeaderLengthAt,
  ipv4ProtocolAt,
  ipv4SourceAt,
  ipv6DestinationAt,
  ipv6NextHeaderAt,
  ipv6SourceAt,
  isGroupMac,
  type Mac,
  PROTOCOL_GRE,
  sourceMacAt,
  u16,
  VLAN_TAG_LENGTH,
  type Vsid,
} from "../dataplane/wire/index.js";
import type { HostSettings, Lab } from "../vswitch/index.js";
import type { Placement, RowMemory } from "./arrivals.js";
import { usageError } from "./errors.js";

/** Why a frame is no input; the words are those of the report. */
export const LEFT_OUT = {
  ownNvgre: "NVGRE that the host sent itself",
  own: "sent by the host itself",
  unwrapped: "for a VM of the host, already unwrapped",
  otherNvgre: "NVGRE between other hosts",
  ambiguousAdapter: "from a MAC that several adapters have; the source address does not tell which",
  ambiguousNic: "from outside; neither MAC nor VLAN tells the NIC",
  foreign: "neither from nor for this host",
  short: "shorter than an Ethernet header",
} as const;

type LeftOut = keyof typeof LEFT_OUT;

/** Frames of one kind that fitted no port. */
export interface Leftover {
  readonly why: string;
  readonly frames: number;
  /** The first of them, from 1. */
  readonly first: number;
}

const PREFIX = "auto:";

/** The demultiplexer that `auto:host1` names; undefined for the name of a port. */
export function demultiplexerFor(lab: Lab, name: string): HostDemultiplexer | undefined {
  if (!name.startsWith(PREFIX)) return undefined;
  const host = lab.settings.hosts.find((candidate) => candidate.name === name.slice(PREFIX.length));
  if (host) return new HostDemultiplexer(lab, host);
  const names = lab.settings.hosts.slice(0, 12).map((candidate) => candidate.name);
  throw usageError(`${name}: the lab has no host ${name.slice(PREFIX.length)}; it has ${names.join(", ")}`);
}

export class HostDemultiplexer implements Placement {
  readonly #policy: HostPolicy;
  readonly #adapters = new Map<Mac, { readonly port: PortIndex; readonly vsid: Vsid }[]>();
  readonly #vsids: ReadonlySet<Vsid>;
  /** MACs of NICs and of provider addresses. */
  readonly #nicMacs = new Map<Mac, PortIndex>();
  readonly #providerAddresses = new Map<string, PortIndex>();
  /** Those of them that stand for a customer address (TranslationMethodNat). */
  readonly #rewritten = new Map<string, PortIndex>();
  /** By VLAN; null where several NICs would do. */
  readonly #nicOfVlan = new Map<number, PortIndex | null>();
  readonly #nics: readonly PortIndex[];
  readonly #leftOut = new Map<LeftOut, { frames: number; first: number }>();
  readonly #placed = new Map<PortIndex, number>();
  #seen = 0;

  constructor(
    private readonly lab: Lab,
    host: HostSettings,
  ) {
    const portOf = (name: string): PortIndex => lab.port(`${host.name}/${name}`)!;
    this.#policy = lab.policyOf(host.name)!;
    this.#nics = host.nics.map(({ name }) => portOf(name));
    this.#vsids = new Set(host.adapters.map(({ vsid }) => vsid).filter((vsid) => vsid !== 0));
    for (const { mac, portName, vsid } of host.adapters) {
      const place = { port: portOf(portName), vsid };
      const others = this.#adapters.get(mac);
      if (others) others.push(place);
      else this.#adapters.set(mac, [place]);
    }
    for (const { name, mac } of host.nics) this.#nicMacs.set(mac, portOf(name));
    for (const { address, mac, vlan, interfaceIndex } of host.providerAddresses) {
      const nic = this.#nics[interfaceIndex - 1]!;
      this.#providerAddresses.set(formatAddress(address), nic);
      if (this.#policy.lookupRecords.findNat(address)) this.#rewritten.set(formatAddress(address), nic);
      if (mac !== null) this.#nicMacs.set(mac, nic);
      const known = this.#nicOfVlan.get(vlan);
      this.#nicOfVlan.set(vlan, known === undefined || known === nic ? nic : null);
    }
  }

  /** Where frames may enter. */
  get ports(): readonly PortIndex[] {
    return [...this.#nics, ...[...this.#adapters.values()].flatMap((places) => places.map(({ port }) => port))];
  }

  /** What fitted no port, most frames first. */
  leftOut(): Leftover[] {
    const all = [...this.#leftOut].map(([why, { frames, first }]) => ({ why: LEFT_OUT[why], frames, first }));
    return all.sort((a, b) => b.frames - a.frames);
  }

  /** How many frames entered at which port. */
  placed(): { readonly port: string; readonly frames: number }[] {
    return [...this.#placed].map(([port, frames]) => ({ port: this.lab.engine.ports[port]!.name, frames }));
  }

  place(memory: RowMemory, rows: number, count: number): number {
    let kept = 0;
    for (let index = 0; index < count; index++) {
      const row = rows + index * ROW_SIZE;
      const start = memory.u32(row + ROW.OFFSET);
      const port = this.#portOf(memory.bytes, start, start + memory.u32(row + ROW.LENGTH));
      this.#seen++;
      if (typeof port === "string") {
        this.#leaveOut(port);
        continue;
      }
      this.#placed.set(port, (this.#placed.get(port) ?? 0) + 1);
      memory.setU16(row + ROW.PORT, port);
      if (kept !== index) memory.bytes.copyWithin(rows + kept * ROW_SIZE, row, row + ROW_SIZE);
      kept++;
    }
    return kept;
  }

  #leaveOut(why: LeftOut): void {
    const known = this.#leftOut.get(why);
    if (known) known.frames++;
    else this.#leftOut.set(why, { frames: 1, first: this.#seen });
  }

  #portOf(bytes: Uint8Array, start: number, end: number): PortIndex | LeftOut {
    if (end - start < ETHERNET_LENGTH) return "short";
    const isTagged = etherTypeAt(bytes, start) === ETHERTYPE_CTAG && end - start >= ETHERNET_LENGTH + VLAN_TAG_LENGTH;
    const vlan = isTagged ? u16(bytes, start + ETHERNET_LENGTH) & 0x0fff : 0;
    const headerAt = start + (isTagged ? VLAN_TAG_LENGTH : 0);
    const etherType = etherTypeAt(bytes, headerAt);
    const networkAt = headerAt + ETHERNET_LENGTH;
    const destination = destinationMacAt(bytes, start);
    const source = sourceMacAt(bytes, start);

    // 1. The provider side: NVGRE belongs to the provider address, whatever router's MAC it bears.
    if (isNvgre(bytes, networkAt, end, etherType)) {
      const nic = this.#providerAddresses.get(formatAddress(destinationOf(bytes, networkAt, etherType)));
      if (nic !== undefined) return nic;
      const isOwn = this.#providerAddresses.has(formatAddress(sourceOf(bytes, networkAt, etherType)));
      return isOwn ? "ownNvgre" : (this.#nicMacs.get(destination) ?? "otherNvgre");
    }

    // 2. IP Rewrite too, for the source MAC may be a VM's (UseVmMACAddress).
    if (this.#rewritten.size > 0 && hasAddresses(networkAt, end, etherType)) {
      const nic = this.#rewritten.get(formatAddress(destinationOf(bytes, networkAt, etherType)));
      if (nic !== undefined) return nic;
      if (this.#rewritten.has(formatAddress(sourceOf(bytes, networkAt, etherType)))) return "own";
    }

    // 3. What the host's VMs and the host itself send.
    const senders = this.#adapters.get(source);
    if (senders) return this.#adapterOf(senders, source, bytes, networkAt, end, etherType);
    if (this.#nicMacs.has(source)) return "own";

    // 4. What comes from elsewhere.
    const nic = this.#nicMacs.get(destination);
    if (nic !== undefined) return nic;
    const receivers = this.#adapters.get(destination);
    if (receivers) return receivers.some(({ vsid }) => vsid === 0) ? this.#nicFor(vlan) : "unwrapped";
    if (!isGroupMac(destination)) return "foreign";
    return this.#isOnRecord(source) ? "unwrapped" : this.#nicFor(vlan);
  }

  #adapterOf(
    candidates: readonly { readonly port: PortIndex; readonly vsid: Vsid }[],
    mac: Mac,
    bytes: Uint8Array,
    networkAt: number,
    end: number,
    etherType: number,
  ): PortIndex | LeftOut {
    const address = senderAddress(bytes, networkAt, end, etherType);
    const { lookupRecords } = this.#policy;
    const isOnRecord = (vsid: Vsid): boolean =>
      address !== undefined && lookupRecords.find(vsid, address)?.macAddress === mac;
    const fitting = candidates.filter(({ vsid }) => isOnRecord(vsid));
    if (fitting.length === 1) return fitting[0]!.port;
    if (fitting.length === 0 && [...this.#vsids].some(isOnRecord)) return "unwrapped"; // from another tenant's VM elsewhere
    return candidates.length === 1 ? candidates[0]!.port : "ambiguousAdapter";
  }

  #nicFor(vlan: number): PortIndex | LeftOut {
    return this.#nicOfVlan.get(vlan) ?? (this.#nics.length === 1 ? this.#nics[0]! : "ambiguousNic");
  }

  /** Is it the MAC of a VM elsewhere, in a virtual subnet that this host has ports of? */
  #isOnRecord(mac: Mac): boolean {
    const { lookupRecords } = this.#policy;
    for (const vsid of this.#vsids) {
      if (lookupRecords.findByMac(vsid, mac).length > 0) return true;
    }
    return false;
  }
}

/** GRE with Ethernet inside, in an unfragmented packet or the first fragment of one. */
function isNvgre(bytes: Uint8Array, at: number, end: number, etherType: number): boolean {
  if (etherType === ETHERTYPE_IPV4) {
    if (end - at < IPV4_LENGTH || ipv4ProtocolAt(bytes, at) !== PROTOCOL_GRE || ipv4FragmentOffsetAt(bytes, at) !== 0)
      return false;
    return hasEthernetInside(bytes, at + ipv4HeaderLengthAt(bytes, at), end);
  }
  if (etherType !== ETHERTYPE_IPV6 || end - at < IPV6_LENGTH) return false;
  return ipv6NextHeaderAt(bytes, at) === PROTOCOL_GRE && hasEthernetInside(bytes, at + IPV6_LENGTH, end);
}

const hasEthernetInside = (bytes: Uint8Array, at: number, end: number): boolean =>
  end - at >= 4 && greProtocolAt(bytes, at) === ETHERTYPE_TEB;

const sourceOf = (bytes: Uint8Array, at: number, etherType: number): Address =>
  etherType === ETHERTYPE_IPV4 ? ipv4SourceAt(bytes, at) : ipv6SourceAt(bytes, at);
const destinationOf = (bytes: Uint8Array, at: number, etherType: number): Address =>
  etherType === ETHERTYPE_IPV4 ? ipv4DestinationAt(bytes, at) : ipv6DestinationAt(bytes, at);

const hasAddresses = (at: number, end: number, etherType: number): boolean =>
  (etherType === ETHERTYPE_IPV4 && end - at >= IPV4_LENGTH) ||
  (etherType === ETHERTYPE_IPV6 && end - at >= IPV6_LENGTH);

/** ARP for IPv4 over Ethernet (RFC 826): the sender's protocol address, and the packet's length. */
const ARP_SENDER_ADDRESS = 14;
const ARP_LENGTH = 28;

/** The customer address that a frame comes from. */
function senderAddress(bytes: Uint8Array, at: number, end: number, etherType: number): Address | undefined {
  if (etherType === ETHERTYPE_ARP && end - at >= ARP_LENGTH) return ipv4AddressAt(bytes, at + ARP_SENDER_ADDRESS);
  if (etherType === ETHERTYPE_IPV4 && end - at >= IPV4_LENGTH) return ipv4SourceAt(bytes, at);
  return etherType === ETHERTYPE_IPV6 && end - at >= IPV6_LENGTH ? ipv6SourceAt(bytes, at) : undefined;
}
