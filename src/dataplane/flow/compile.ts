/**
 * From a decision to a flow entry: the transposition's steps become one template and a few bits.
 *
 * All that stands before the network header that stays is the same for every packet of a flow, since the addresses, the tag
 * and the EtherType are in the flow key. So whatever the steps are, their result is: keep from here on, put these bytes before it.
 *
 *     pop        keep from the inner network header                    KEEP = INNER_NETWORK
 *     address    written over what is kept; the old ones are in the key, so what they add to checksums is known beforehand
 *     ethernet   14 or 18 bytes, with the addresses that shall be
 *     push       the outer headers before those; length, identification, checksum and traffic class are the packet's own
 *     pushGre    the outer headers in the place of those
 *
 * `transposition/apply.ts` does the same step by step on the packet; the tests hold the two together.
 */
import { Reason } from "../drop-reasons.js";
import type { KernelCalls } from "../kernel/kernel.js";
import {
  ACTION,
  CONTROL,
  ENTRY,
  GROUP_SIZE,
  KEEP,
  KIND,
  PORT,
  PORT_FLAG,
  PORT_SIZE,
  ROW,
  STAMPS_PER_ENTRY,
  TEMPLATE_SIZE,
  TRANSPORT,
  VERDICT,
} from "../packet/layout.js";
import type { PacketMemory } from "../packet/memory.js";
import { type ParsedFrame, type ParsedIp, parseBarePacket, parseFrame } from "../packet/parse.js";
import type {
  AddressRewrite,
  Decision,
  EthernetFields,
  Forward,
  OuterHeaders,
  PortIndex,
} from "../transposition/transposition.js";
import { addressLength, writeAddress } from "../wire/address.js";
import { setU16, u16 } from "../wire/bytes.js";
import { checksumSum, foldSum } from "../wire/checksum.js";
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, writeEthernet } from "../wire/ethernet.js";
import { greLengthAt, greProtocolAt, writeGre } from "../wire/gre.js";
import { ICMP_LENGTH, isIcmpEcho } from "../wire/icmp.js";
import { isIcmpv6Echo } from "../wire/icmpv6.js";
import { IPV4_LENGTH, PROTOCOL_GRE, writeIpv4 } from "../wire/ipv4.js";
import { IPV6_LENGTH, writeIpv6 } from "../wire/ipv6.js";
import { NVGRE_LENGTH, PROTOCOL_TRANSPARENT_ETHERNET, writeNvgre } from "../wire/nvgre.js";
import { ICMP_IDENTIFIER, transportChecksumOf } from "../wire/transport.js";
import { TPID_CTAG, VLAN_TAG_LENGTH } from "../wire/vlan.js";
import { countQueued } from "./queue-counts.js";

export interface CompileTarget {
  readonly memory: PacketMemory;
  readonly kernel: KernelCalls;
}

/** No IP packet is longer (RFC 791 §3.1; RFC 8200 §3 without jumbograms). */
const IP_LENGTH_MAX = 65_535;
const NO_LIMIT = 0xffff;
/** A packet with more outputs than this is decided anew each time, rather than fill the table with them. */
const OUTPUTS_KEPT_MAX = 64;
const VERDICTS = { drop: VERDICT.DROPPED, pass: VERDICT.PASSED, consume: VERDICT.CONSUMED } as const;
/** Which bits of the inner traffic class the outer header copies. */
const CLASS = { ECN: 0x03, DSCP: 0xfc } as const;

/**
 * Binds the packet at `place` of the kernel's list, whose row is at `row`, to an entry that carries out the decision: in the
 * table if `cache` says so and there is room, else for this packet alone. Returns whether it is in the table.
 */
export function compileDecision(
  decision: Decision,
  target: CompileTarget,
  place: number,
  row: number,
  cache: boolean,
): boolean {
  const { kernel, memory } = target;
  const { verdict } = decision;
  const outputs = verdict.kind === "forward" ? verdict.outputs.length + (verdict.refused?.length ?? 0) : 1;
  const start = memory.u32(row + ROW.OFFSET);
  const frame =
    verdict.kind === "forward" ? parseFrame(memory.bytes, start, start + memory.u32(row + ROW.LENGTH)) : null;
  const mayKeep =
    cache &&
    keyCovers(verdict, memory.bytes[row + ROW.KIND]!) &&
    guardsAgree(verdict) &&
    keyCoversTransport(memory, verdict, row, frame);
  const kept = mayKeep ? kernel.install(place, outputs) >>> 0 : 0;
  const entry = kept || kernel.transient(0) >>> 0; // one for each packet of a group is kept back
  kernel.bind(place, entry);
  const queue = decision.queue ?? 0;
  memory.bytes[entry + ENTRY.QUEUE] = queue;
  if (queue !== 0 && !kept) countQueued(memory, memory.u16(row + ROW.PORT) as PortIndex, queue);

  if (verdict.kind !== "forward") {
    writeEnd(memory, entry, VERDICTS[verdict.kind], verdict.reason ?? Reason.NONE);
  } else {
    if (!frame) throw new Error("a frame without an Ethernet header was forwarded: a defect of a layer");
    memory.bytes[entry + ENTRY.REASON] = Reason.NONE; // it may have ended its packets before
    writeOutputs(target, entry, verdict, row, frame);
  }
  writeStamps(memory, entry, decision.stamps);
  memory.setU32(entry + ENTRY.STAMP_SUM, kernel.stampSum(entry));
  memory.setU32(entry + ENTRY.GENERATION, memory.u32(CONTROL.GENERATION));
  return kept !== 0;
}

/** The key of a tunnel's packet leaves out parts of the outer headers, which no template may then carry on. */
function keyCovers(verdict: Decision["verdict"], kind: number): boolean {
  if (verdict.kind !== "forward" || kind < KIND.NVGRE4_LINK) return true;
  return verdict.outputs.every((forward) => forward.pop || isUntouched(forward));
}

/**
 * New addresses need the old ones and the transport's place, which every packet of a flow shows alike; but new ports of a fragment, or a
 * new identifier where the old one is not in the key, cannot be kept, and a packet whose transport header is cut short speaks for itself
 * only.
 */
function keyCoversTransport(
  memory: PacketMemory,
  verdict: Decision["verdict"],
  row: number,
  frame: ParsedFrame | null,
): boolean {
  if (verdict.kind !== "forward" || !frame) return true;
  return verdict.outputs.every(({ address, pop }) => {
    const ip = address && (pop ? innerPacket(memory.bytes, frame) : frame).ip;
    if (!address || !ip) return true;
    const { sourcePort, destinationPort, identifier } = address;
    if (identifier !== undefined) return keyHasIdentifier(memory, row, ip);
    if (ip.fragment !== "none" && (sourcePort ?? destinationPort) !== undefined) return false;
    const checksum = transportChecksumOf(ip.family, ip.protocol);
    return !checksum || ip.fragment === "later" || ip.transportAt + checksum.offset + 2 <= ip.end;
  });
}

function keyHasIdentifier(memory: PacketMemory, row: number, { family, ports, transportAt, end }: ParsedIp): boolean {
  const port = memory.ports + memory.u16(row + ROW.PORT) * PORT_SIZE;
  if ((memory.u32(port + PORT.FLAGS) & PORT_FLAG.ECHO) === 0 || ports === null) return false;
  const isEcho = family === 4 ? isIcmpEcho : isIcmpv6Echo;
  return isEcho(ports.source >>> 8) && end - transportAt >= ICMP_LENGTH;
}

/**
 * The kernel tests the guards of the first output only, and sums up the lengths that all allow. What else may refuse one copy and not
 * another, TTL, a transport header cut short where only some get new addresses, and the congestion marks of a popped header, is
 * decided packet by packet.
 */
function guardsAgree(verdict: Decision["verdict"]): boolean {
  if (verdict.kind !== "forward" || verdict.outputs.length === 1) return true;
  const { outputs, refused = [] } = verdict;
  return (
    outputs.length + refused.length <= OUTPUTS_KEPT_MAX &&
    outputs.every(({ pop, decrementTtl, address }) => !pop && !decrementTtl && address === outputs[0]!.address)
  );
}

/**
 * The outputs, and after them what copies are dropped for, as a chain of entries. Where entries run out the whole packet is dropped, and
 * counted, rather than a part of it.
 */
function writeOutputs(
  { kernel, memory }: CompileTarget,
  first: number,
  { outputs, refused = [] }: Extract<Decision["verdict"], { kind: "forward" }>,
  row: number,
  frame: ParsedFrame,
): void {
  const copies = [...outputs, ...refused];
  let at = first;
  let limit = NO_LIMIT;
  for (const [index, copy] of copies.entries()) {
    if (index > 0) {
      // An entry of the table brought its chain along.
      const next = memory.u32(at + ENTRY.NEXT_OUTPUT) || kernel.transient(GROUP_SIZE) >>> 0;
      memory.setU32(at + ENTRY.NEXT_OUTPUT, next);
      if (next === 0) {
        writeEnd(memory, first, VERDICT.DROPPED, Reason.RESOURCES);
        return;
      }
      at = next;
      memory.bytes[at + ENTRY.QUEUE] = memory.bytes[first + ENTRY.QUEUE]!;
    }
    if ("copies" in copy) {
      writeEnd(memory, at, VERDICT.DROPPED, copy.reason);
      memory.setU16(at + ENTRY.OUTPUT, copy.copies);
      continue;
    }
    writeForward(memory, at, copy, row, frame);
    if (copies.length > 1) setAction(memory, at, memory.u32(at + ENTRY.ACTION) | ACTION.REPLICATE);
    limit = Math.min(limit, memory.u16(at + ENTRY.LIMIT));
  }
  memory.setU16(first + ENTRY.LIMIT, limit);
}

/** Makes an entry one that ends its packets. */
export function writeEnd(memory: PacketMemory, entry: number, verdict: number, reason: Reason): void {
  setAction(memory, entry, verdict << ACTION.VERDICT_SHIFT);
  memory.bytes[entry + ENTRY.REASON] = reason;
  memory.setU16(entry + ENTRY.LIMIT, NO_LIMIT);
}

/** Where the template begins: behind the key, whose length the kernel has noted. */
function templateOf(memory: PacketMemory, entry: number): number {
  const chunks = (memory.u32(entry + ENTRY.ACTION) & ACTION.KEY_CHUNKS_MASK) >>> ACTION.KEY_CHUNKS_SHIFT;
  return entry + ENTRY.KEY + chunks * 16;
}

function setAction(memory: PacketMemory, entry: number, action: number): void {
  const key = memory.u32(entry + ENTRY.ACTION) & ACTION.KEY_CHUNKS_MASK;
  memory.setU32(entry + ENTRY.ACTION, (key | action) >>> 0);
}

function writeStamps(memory: PacketMemory, entry: number, stamps: Decision["stamps"]): void {
  if (stamps.length > STAMPS_PER_ENTRY) throw new Error("a decision names more stamps than an entry holds");
  for (let i = 0; i < STAMPS_PER_ENTRY; i++) memory.setU32(entry + ENTRY.STAMPS + i * 4, stamps[i] ?? 0);
}

function writeForward(memory: PacketMemory, entry: number, forward: Forward, row: number, frame: ParsedFrame): void {
  const { bytes } = memory;
  memory.setU16(entry + ENTRY.OUTPUT, forward.output);
  if (isUntouched(forward)) {
    setAction(memory, entry, KEEP.FRAME);
    memory.setU16(entry + ENTRY.LIMIT, forward.lengthLimit ?? NO_LIMIT);
    return;
  }

  // 1. The frame that goes on: where its network header is, and its own Ethernet header.
  const inner = forward.pop ? innerFrame(memory, row, frame) : frame;
  let action: number = forward.pop ? KEEP.INNER_NETWORK : KEEP.NETWORK;
  if (inner.etherType === ETHERTYPE_IPV4 && inner.ip) action |= ACTION.INNER_IPV4;
  if (inner.etherType === ETHERTYPE_IPV6 && inner.ip) action |= ACTION.INNER_IPV6;
  if (inner.ip) {
    if (forward.pop) action |= ACTION.ECN_DECAP;
    if (forward.pop && forward.dscpInwards) action |= ACTION.DSCP_DECAP;
    if (forward.decrementTtl) action |= ACTION.DECREMENT_TTL;
  }
  if (forward.guardsSyn) action |= ACTION.GUARD_SYN;

  // 2. The template: outer headers, then that frame's Ethernet header.
  const template = templateOf(memory, entry);
  let length = 0;
  let limit = forward.lengthLimit ?? NO_LIMIT;
  const outer = forward.push ?? forward.pushGre;
  if (outer) {
    length = writeOuter(bytes, template, outer);
    action |= outerAction(outer);
  }
  if (forward.push) {
    writeNvgre(bytes, template + length, forward.push.vsid, forward.push.flowId);
    length += NVGRE_LENGTH;
  }
  if (forward.pushGre) {
    if (!forward.decrementTtl) throw new Error("plain GRE without a hop would have no guard: a defect of a layer");
    length += writeGre(bytes, template + length, { protocol: inner.etherType, key: forward.pushGre.key });
    action |= ACTION.GUARD_PADDING;
  } else {
    const ethernet = forward.ethernet ?? { destination: inner.destination, source: inner.source, tag: inner.tag };
    length += writeLink(bytes, template + length, ethernet, inner.etherType);
  }
  const room = forward.address ? entry + ENTRY.NEW_ADDRESSES - template : TEMPLATE_SIZE;
  if (length > room) throw new Error(`a template of ${length} bytes does not fit`);
  if (forward.address) {
    if (!inner.ip) throw new Error("new addresses for a frame that is not IP: a defect of a layer");
    writeAddresses(bytes, entry, forward.address, inner.ip);
    action |= ACTION.ADDRESS;
    if (forward.guardsTcpEnd) action |= ACTION.TCP_END_GUARD;
  }
  if (outer) {
    const ipOffset = outer.ethernet.tag === null ? ETHERNET_LENGTH : ETHERNET_LENGTH + VLAN_TAG_LENGTH;
    const countedFrom = outer.source.family === 4 ? ipOffset : ipOffset + IPV6_LENGTH;
    memory.setU16(entry + ENTRY.NODE, outer.identification);
    if (outer.source.family === 4) setU16(bytes, entry + ENTRY.CHECKSUM_BASE, checksumBase(bytes, template + ipOffset));
    limit = Math.min(limit, IP_LENGTH_MAX - (length - countedFrom));
  }
  bytes[entry + ENTRY.TEMPLATE_LENGTH] = length;
  setAction(memory, entry, action);
  memory.setU16(entry + ENTRY.LIMIT, limit);
}

const isUntouched = (forward: Forward): boolean =>
  !forward.pop &&
  !forward.push &&
  !forward.pushGre &&
  !forward.ethernet &&
  !forward.decrementTtl &&
  !forward.address &&
  !forward.guardsSyn;

/** What the new addresses and ports are, and what they add to checksums in exchange for those of this packet. */
function writeAddresses(bytes: Uint8Array, entry: number, rewrite: AddressRewrite, ip: ParsedIp): void {
  // 1. The addresses, and the header's checksum over them.
  const at = entry + ENTRY.NEW_ADDRESSES;
  const oldAt = ip.at + (ip.family === 4 ? 12 : 8);
  const length = addressLength(ip.family);
  writeAddress(bytes, at, rewrite.source ?? ip.source);
  writeAddress(bytes, at + length, rewrite.destination ?? ip.destination);
  const addresses: Sums = {
    before: checksumSum(bytes, oldAt, oldAt + 2 * length),
    after: checksumSum(bytes, at, at + 2 * length),
  };
  if (ip.family === 4) setU16(bytes, entry + ENTRY.HEADER_DELTA, deltaOf(addresses));

  // 2. The transport, as far as the packet shows it.
  bytes[entry + ENTRY.TRANSPORT] = 0;
  const checksum = transportChecksumOf(ip.family, ip.protocol);
  if (!checksum || ip.fragment === "later") return;
  const needed = rewrite.identifier === undefined ? checksum.offset + 2 : ICMP_IDENTIFIER + 2;
  if (ip.transportAt + needed > ip.end) return;
  const ports = writePorts(bytes, entry + ENTRY.NEW_PORTS, rewrite, ip.transportAt);
  const covered = checksum.coversAddresses ? addresses : NOTHING;
  if (covered === NOTHING && ports.bit === 0) return;
  const sums = { before: covered.before + ports.before, after: covered.after + ports.after };
  bytes[entry + ENTRY.TRANSPORT] = checksum.offset | (checksum.zeroIsNone ? TRANSPORT.ZERO_IS_NONE : 0) | ports.bit;
  setU16(bytes, entry + ENTRY.TRANSPORT_DELTA, deltaOf(sums));
}

interface Sums {
  readonly before: number;
  readonly after: number;
}
const NOTHING: Sums = { before: 0, after: 0 };

/** What is to be added to the sum under a checksum (RFC 1624 §3, equation 3). */
const deltaOf = ({ before, after }: Sums): number => foldSum((~foldSum(before) & 0xffff) + foldSum(after));

/** Writes both ports, or the identifier, as they shall be; with the bit of TRANSPORT that says which, 0 if they stay. */
function writePorts(
  bytes: Uint8Array,
  at: number,
  { sourcePort, destinationPort, identifier }: AddressRewrite,
  transportAt: number,
): Sums & { readonly bit: number } {
  if (identifier !== undefined) {
    setU16(bytes, at, identifier);
    return { before: u16(bytes, transportAt + ICMP_IDENTIFIER), after: identifier, bit: TRANSPORT.NEW_IDENTIFIER };
  }
  if (sourcePort === undefined && destinationPort === undefined) return { ...NOTHING, bit: 0 };
  setU16(bytes, at, sourcePort ?? u16(bytes, transportAt));
  setU16(bytes, at + 2, destinationPort ?? u16(bytes, transportAt + 2));
  const before = checksumSum(bytes, transportAt, transportAt + 4);
  return { before, after: checksumSum(bytes, at, at + 4), bit: TRANSPORT.NEW_PORTS };
}

/**
 * The inner frame. The kernel's parser has noted it in the row if the packet is plain NVGRE; for the rarer forms that only the
 * slow path reads (optional GRE words, outer extension headers) it is noted here, so that the kernel pops there.
 */
function innerFrame(memory: PacketMemory, row: number, outer: ParsedFrame): ParsedFrame {
  const inner = innerPacket(memory.bytes, outer);
  memory.setU16(row + ROW.INNER_NETWORK, inner.networkAt - outer.start);
  memory.setU32(row + ROW.KEEP_END, inner.end - outer.start);
  return inner;
}

function innerPacket(bytes: Uint8Array, outer: ParsedFrame): ParsedFrame {
  if (!outer.ip) throw new Error("a frame without outer IP was popped: a defect of a layer");
  const start = outer.ip.transportAt + greLengthAt(bytes, outer.ip.transportAt);
  const protocol = greProtocolAt(bytes, outer.ip.transportAt);
  const isFrame = protocol === PROTOCOL_TRANSPARENT_ETHERNET;
  const inner = (isFrame ? parseFrame : parseBarePacket)(bytes, start, outer.ip.end, protocol);
  if (!inner) throw new Error("a frame without an inner frame was popped: a defect of a layer");
  return inner;
}

function writeLink(bytes: Uint8Array, at: number, fields: EthernetFields, etherType: number): number {
  writeEthernet(bytes, at, fields.destination, fields.source, fields.tag === null ? etherType : TPID_CTAG);
  if (fields.tag === null) return ETHERNET_LENGTH;
  setU16(bytes, at + ETHERNET_LENGTH, fields.tag);
  setU16(bytes, at + ETHERNET_LENGTH + 2, etherType);
  return ETHERNET_LENGTH + VLAN_TAG_LENGTH;
}

/** Up to the GRE header; returns the length. */
function writeOuter(bytes: Uint8Array, at: number, push: OuterHeaders): number {
  const { family } = push.source;
  const trafficClass = push.dscp.model === "pipe" ? push.dscp.value << 2 : 0;
  let length = writeLink(bytes, at, push.ethernet, family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
  if (family === 4) {
    length += writeIpv4(bytes, at + length, {
      source: push.source,
      destination: push.destination,
      protocol: PROTOCOL_GRE,
      ttl: push.ttl,
      payloadLength: 0,
      tos: trafficClass,
      dontFragment: push.dontFragment,
    });
  } else {
    length += writeIpv6(bytes, at + length, {
      source: push.source,
      destination: push.destination,
      nextHeader: PROTOCOL_GRE,
      hopLimit: push.ttl,
      payloadLength: 0,
      trafficClass,
      flowLabel: push.flowLabel,
    });
  }
  return length;
}

function outerAction(push: OuterHeaders): number {
  const patch = push.source.family === 4 ? ACTION.PATCH_IPV4 : ACTION.PATCH_IPV6;
  const copied = (push.dscp.model === "uniform" ? CLASS.DSCP : 0) | (push.ecn === "compat" ? 0 : CLASS.ECN);
  const linux = push.ecn === "linux" ? ACTION.ECN_LINUX : 0;
  const tagged = push.ethernet.tag === null ? 0 : ACTION.OUTER_TAGGED;
  return patch | linux | tagged | (copied << ACTION.CLASS_SHIFT);
}

/** The sum of the template's IPv4 header; the fields that each packet adds to it (length, identification, TOS) are zero there. */
function checksumBase(bytes: Uint8Array, ip: number): number {
  setU16(bytes, ip + 2, 0);
  setU16(bytes, ip + 10, 0);
  return foldSum(checksumSum(bytes, ip, ip + IPV4_LENGTH));
}
