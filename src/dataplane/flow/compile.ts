/**
 * From a decision to a flow entry: the transposition's steps become one template and a few bits.
 *
 * All that stands before the network header that stays is the same for every packet of a flow, since the addresses, the tag
 * and the EtherType are in the flow key. So whatever the steps are, their result is: keep from here on, put these bytes before it.
 *
 *     pop        keep from the inner network header                    KEEP = INNER_NETWORK
 *     ethernet   14 or 18 bytes, with the addresses that shall be
 *     push       the outer headers before those; length, identification, checksum and traffic class are the packet's own
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
  ROW,
  STAMPS_PER_ENTRY,
  TEMPLATE_SIZE,
  VERDICT,
} from "../packet/layout.js";
import type { PacketMemory } from "../packet/memory.js";
import { type ParsedFrame, parseFrame } from "../packet/parse.js";
import type { Decision, EthernetFields, Forward, NvgrePush } from "../transposition/transposition.js";
import { setU16, u16 } from "../wire/bytes.js";
import { checksumSum, foldSum } from "../wire/checksum.js";
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, writeEthernet } from "../wire/ethernet.js";
import { greHeaderLength } from "../wire/gre.js";
import { IPV4_LENGTH, PROTOCOL_GRE, writeIpv4 } from "../wire/ipv4.js";
import { IPV6_LENGTH, writeIpv6 } from "../wire/ipv6.js";
import { NVGRE_LENGTH, writeNvgre } from "../wire/nvgre.js";
import { TPID_CTAG, VLAN_TAG_LENGTH } from "../wire/vlan.js";

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
  const outputs = verdict.kind === "forward" ? verdict.outputs.length : 1;
  const mayKeep = cache && keyCovers(verdict, memory.bytes[row + ROW.KIND]!) && guardsAgree(verdict);
  const kept = mayKeep ? kernel.install(place, outputs) >>> 0 : 0;
  const entry = kept || kernel.transient(0) >>> 0; // one for each packet of a group is kept back
  kernel.bind(place, entry);

  if (verdict.kind !== "forward") {
    const reason = verdict.kind === "consume" ? Reason.NONE : verdict.reason;
    writeEnd(memory, entry, VERDICTS[verdict.kind], reason);
  } else {
    const start = memory.u32(row + ROW.OFFSET);
    const frame = parseFrame(memory.bytes, start, start + memory.u32(row + ROW.LENGTH));
    if (!frame) throw new Error("a frame without an Ethernet header was forwarded: a defect of a layer");
    writeOutputs(target, entry, verdict.outputs, row, frame);
  }
  writeStamps(memory, entry, decision.stamps);
  memory.setU32(entry + ENTRY.STAMP_SUM, kernel.stampSum(entry));
  memory.setU32(entry + ENTRY.GENERATION, memory.u32(CONTROL.GENERATION));
  return kept !== 0;
}

/** The key of an NVGRE packet leaves out the outer source MAC, which no template may then carry on. */
function keyCovers(verdict: Decision["verdict"], kind: number): boolean {
  if (verdict.kind !== "forward" || kind < KIND.NVGRE4_LINK) return true;
  return verdict.outputs.every((forward) => forward.pop || isUntouched(forward));
}

/**
 * The kernel tests the guards of the first output only, and sums up the lengths that all allow. What else may refuse one copy and not
 * another, TTL and the congestion marks of a popped header, is decided packet by packet.
 */
function guardsAgree(verdict: Decision["verdict"]): boolean {
  if (verdict.kind !== "forward" || verdict.outputs.length === 1) return true;
  const { outputs } = verdict;
  return outputs.length <= OUTPUTS_KEPT_MAX && outputs.every(({ pop, decrementTtl }) => !pop && !decrementTtl);
}

/** The outputs as a chain of entries. Where entries run out the whole packet is dropped, and counted, rather than a part of it. */
function writeOutputs(
  { kernel, memory }: CompileTarget,
  first: number,
  outputs: readonly Forward[],
  row: number,
  frame: ParsedFrame,
): void {
  let at = first;
  let limit = NO_LIMIT;
  for (const [index, forward] of outputs.entries()) {
    if (index > 0) {
      // An entry of the table brought its chain along.
      const next = memory.u32(at + ENTRY.NEXT_OUTPUT) || kernel.transient(GROUP_SIZE) >>> 0;
      memory.setU32(at + ENTRY.NEXT_OUTPUT, next);
      if (next === 0) {
        writeEnd(memory, first, VERDICT.DROPPED, Reason.RESOURCES);
        return;
      }
      at = next;
    }
    writeForward(memory, at, forward, row, frame);
    if (outputs.length > 1) setAction(memory, at, memory.u32(at + ENTRY.ACTION) | ACTION.REPLICATE);
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
  bytes[entry + ENTRY.QUEUE] = forward.queue ?? 0;
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

  // 2. The template: outer headers, then that frame's Ethernet header.
  const template = templateOf(memory, entry);
  let length = 0;
  let limit = forward.lengthLimit ?? NO_LIMIT;
  if (forward.push) {
    length = writeOuter(bytes, template, forward.push);
    action |= outerAction(forward.push);
  }
  const ethernet = forward.ethernet ?? { destination: inner.destination, source: inner.source, tag: inner.tag };
  length += writeLink(bytes, template + length, ethernet, inner.etherType);
  if (length > TEMPLATE_SIZE) throw new Error(`a template of ${length} bytes does not fit`);
  if (forward.push) {
    const ipOffset = forward.push.ethernet.tag === null ? ETHERNET_LENGTH : ETHERNET_LENGTH + VLAN_TAG_LENGTH;
    const countedFrom = forward.push.source.family === 4 ? ipOffset : ipOffset + IPV6_LENGTH;
    memory.setU16(entry + ENTRY.NODE, forward.push.identification);
    if (forward.push.source.family === 4)
      setU16(bytes, entry + ENTRY.CHECKSUM_BASE, checksumBase(bytes, template + ipOffset));
    limit = Math.min(limit, IP_LENGTH_MAX - (length - countedFrom));
  }
  bytes[entry + ENTRY.TEMPLATE_LENGTH] = length;
  setAction(memory, entry, action);
  memory.setU16(entry + ENTRY.LIMIT, limit);
}

const isUntouched = (forward: Forward): boolean =>
  !forward.pop && !forward.push && !forward.ethernet && !forward.decrementTtl;

/**
 * The inner frame. The kernel's parser has noted it in the row if the packet is plain NVGRE; for the rarer forms that only the
 * slow path reads (optional GRE words, outer extension headers) it is noted here, so that the kernel pops there.
 */
function innerFrame(memory: PacketMemory, row: number, outer: ParsedFrame): ParsedFrame {
  const { bytes } = memory;
  if (!outer.ip) throw new Error("a frame without outer IP was popped: a defect of a layer");
  const start = outer.ip.transportAt + greHeaderLength(u16(bytes, outer.ip.transportAt));
  const inner = parseFrame(bytes, start, outer.ip.end);
  if (!inner) throw new Error("a frame without an inner frame was popped: a defect of a layer");
  memory.setU16(row + ROW.INNER_NETWORK, inner.networkAt - outer.start);
  memory.setU32(row + ROW.KEEP_END, inner.end - outer.start);
  return inner;
}

function writeLink(bytes: Uint8Array, at: number, fields: EthernetFields, etherType: number): number {
  writeEthernet(bytes, at, fields.destination, fields.source, fields.tag === null ? etherType : TPID_CTAG);
  if (fields.tag === null) return ETHERNET_LENGTH;
  setU16(bytes, at + ETHERNET_LENGTH, fields.tag);
  setU16(bytes, at + ETHERNET_LENGTH + 2, etherType);
  return ETHERNET_LENGTH + VLAN_TAG_LENGTH;
}

function writeOuter(bytes: Uint8Array, at: number, push: NvgrePush): number {
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
  writeNvgre(bytes, at + length, push.vsid, push.flowId);
  return length + NVGRE_LENGTH;
}

function outerAction(push: NvgrePush): number {
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
