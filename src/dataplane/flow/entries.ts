/**
 * Reads flow entries back out of the kernel's memory, for dumps and live views. Nothing is kept for their sake while packets
 * pass: all that a view shows is the entry's key (packet/layout.ts, KEY), its action and its counters.
 */
import type { Reason } from "../drop-reasons.js";
import type { KernelCalls } from "../kernel/kernel.js";
import {
  ACTION,
  CONTROL,
  ENTRY,
  ENTRY_SIZE,
  KEY,
  KEY_FLAG,
  KIND,
  PORT,
  PORT_FLAG,
  PORT_SIZE,
  TRANSPORT,
  VERDICT,
} from "../packet/layout.js";
import type { PacketMemory } from "../packet/memory.js";
import type { PortIndex } from "../transposition/transposition.js";
import { type AddressFamily, addressAt, addressLength } from "../wire/address.js";
import { formatAddress } from "../wire/address-text.js";
import { macAt, u8, u16, u32 } from "../wire/bytes.js";
import { isIcmpEcho } from "../wire/icmp.js";
import { isIcmpv6Echo } from "../wire/icmpv6.js";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/ipv4.js";
import { formatMac } from "../wire/mac.js";
import { type FlowState, flowStateOf } from "./idle-timeouts.js";

/** One flow, in one direction, at one node. Of an NVGRE packet MAC addresses and `ip` are the inner frame's; of IP in GRE `ip` is. */
export interface FlowEntryView {
  readonly ingress: PortIndex;
  readonly kind: keyof typeof KIND;
  /** The tag's sixteen bits; null if the frame had none. */
  readonly tci: number | null;
  readonly tunnel: TunnelView | null;
  /** As Windows prints them: `06-06-00-00-00-05`. */
  readonly sourceMac: string;
  readonly destinationMac: string;
  /** Null for IP, whose version is that of the addresses. */
  readonly etherType: number | null;
  readonly ip: IpView | null;
  /** What the packet has instead when it leaves; null if its addresses and ports stay. */
  readonly rewrite: RewriteView | null;
  readonly state: FlowState;
  /** All TCP flags that the flow has shown. */
  readonly tcpFlags: number;
  readonly verdict: keyof typeof VERDICT | "FORWARD";
  readonly output: PortIndex | null;
  readonly reason: Reason;
  readonly packets: number;
  readonly bytes: number;
  /** Since the last packet, by the clock of the last burst. */
  readonly idleMs: number;
}

export interface TunnelView {
  /** Of NVGRE; null for IP in GRE. */
  readonly vsid: number | null;
  /** Of IP in GRE; null for NVGRE. */
  readonly key: number | null;
  /** Provider addresses. */
  readonly source: string;
  readonly destination: string;
}

export interface IpView {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly fragment: "first" | "later" | null;
  /** Source and destination port of TCP and UDP, type and code of ICMP; null for others and for fragments. */
  readonly ports: readonly [number, number] | null;
  /** Of ICMP echo, where it counts: at the ports of a NAT; else null. */
  readonly identifier: number | null;
}

export interface RewriteView {
  readonly source: string;
  readonly destination: string;
  /** Null if they stay. */
  readonly ports: readonly [number, number] | null;
  readonly identifier: number | null;
}

/** What the views are read from; a `CompileTarget` is one. */
export interface EntrySource {
  readonly memory: PacketMemory;
  readonly kernel: KernelCalls;
}

const KIND_NAMES = Object.keys(KIND) as (keyof typeof KIND)[];
const VERDICT_NAMES = Object.keys(VERDICT) as (keyof typeof VERDICT)[];

/**
 * Every entry that is in the table, in no particular order. Each is read when it is asked for, so a large table may be read in
 * pieces, with bursts between them; flows that come or go meanwhile may then be missed or be seen twice.
 */
export function* flowEntries({ memory, kernel }: EntrySource): IterableIterator<FlowEntryView> {
  for (let entry = memory.u32(CONTROL.ENTRIES); entry < memory.u32(CONTROL.ENTRY_UNUSED); entry += ENTRY_SIZE) {
    if (memory.u32(entry + ENTRY.HASH) === 0) continue; // given back
    const action = memory.u32(entry + ENTRY.ACTION);
    const keyLength = 16 * ((action & ACTION.KEY_CHUNKS_MASK) >>> ACTION.KEY_CHUNKS_SHIFT);
    const key = memory.bytes.slice(entry + ENTRY.KEY, entry + ENTRY.KEY + keyLength);
    const ingress = memory.u16(entry + ENTRY.KEY + KEY.PORT);
    const hasIdentifier = (memory.u32(memory.ports + ingress * PORT_SIZE + PORT.FLAGS) & PORT_FLAG.ECHO) !== 0;
    const verdict = (action & ACTION.VERDICT_MASK) >>> ACTION.VERDICT_SHIFT;
    const forwards = verdict === VERDICT.PENDING;
    yield {
      ingress: ingress as PortIndex,
      ...viewOfKey(key, hasIdentifier),
      rewrite: forwards && action & ACTION.ADDRESS ? rewriteView(memory, entry, action) : null,
      state: flowStateOf(kernel.stateOf(entry)),
      tcpFlags: memory.bytes[entry + ENTRY.TCP_FLAGS]!,
      verdict: forwards ? "FORWARD" : VERDICT_NAMES[verdict]!,
      output: forwards ? (memory.u16(entry + ENTRY.OUTPUT) as PortIndex) : null,
      reason: memory.bytes[entry + ENTRY.REASON]! as Reason,
      packets: memory.count(entry + ENTRY.PACKETS),
      bytes: memory.count(entry + ENTRY.BYTES),
      idleMs: Math.max(0, (memory.u32(CONTROL.NOW_MS) - memory.u32(entry + ENTRY.LAST_USED_MS)) | 0),
    };
  }
}

type KeyView = Pick<FlowEntryView, "kind" | "tci" | "tunnel" | "sourceMac" | "destinationMac" | "etherType" | "ip">;

function viewOfKey(key: Uint8Array, hasIdentifier: boolean): KeyView {
  const kind = u8(key, KEY.KIND);
  const family = familyOf(kind);
  return {
    kind: KIND_NAMES[kind]!,
    tci: u8(key, KEY.FLAGS) & KEY_FLAG.TAGGED ? u16(key, KEY.TCI) : null,
    tunnel: kind >= KIND.NVGRE4_LINK ? tunnelView(key, kind, family === 6 ? 56 : 32) : null,
    sourceMac: formatMac(macAt(key, KEY.MACS + 6)),
    destinationMac: formatMac(macAt(key, KEY.MACS)),
    etherType: family === null ? u16(key, KEY.BODY) : null,
    ip: family === null ? null : ipView(key, family, hasIdentifier),
  };
}

/** Of the frame that is looked into; null if it is not IP. */
function familyOf(kind: number): AddressFamily | null {
  const name = KIND_NAMES[kind]!;
  if (name.endsWith("IPV4")) return 4;
  return name.endsWith("IPV6") ? 6 : null;
}

/** The outer part of the key begins at `at`. The low half of the VSID, behind the outer MAC address, is little-endian. */
function tunnelView(key: Uint8Array, kind: number, at: number): TunnelView {
  const isGre = kind >= KIND.GRE4_IPV4;
  const family = kind >= (isGre ? KIND.GRE6_IPV4 : KIND.NVGRE6_LINK) ? 6 : 4;
  const length = addressLength(family);
  const behind = at + 2 * length;
  const low = behind + 6;
  return {
    vsid: isGre ? null : (u8(key, KEY.VSID_HIGH) << 16) | (u8(key, low + 1) << 8) | u8(key, low),
    key: isGre ? u32(key, behind) : null,
    source: formatAddress(addressAt(family, key, at)),
    destination: formatAddress(addressAt(family, key, at + length)),
  };
}

const WITHOUT_PORTS = KEY_FLAG.FIRST_FRAGMENT | KEY_FLAG.LATER_FRAGMENT | KEY_FLAG.TRANSPORT_CUT;

function ipView(key: Uint8Array, family: AddressFamily, hasIdentifier: boolean): IpView {
  const protocol = u8(key, KEY.PROTOCOL);
  const flags = u8(key, KEY.FLAGS);
  const length = addressLength(family);
  const ports = KEY.BODY + 2 * length;
  return {
    source: formatAddress(addressAt(family, key, KEY.BODY)),
    destination: formatAddress(addressAt(family, key, KEY.BODY + length)),
    protocol,
    fragment: flags & KEY_FLAG.FIRST_FRAGMENT ? "first" : flags & KEY_FLAG.LATER_FRAGMENT ? "later" : null,
    ports: flags & WITHOUT_PORTS ? null : portsOf(key, protocol, ports),
    identifier: flags & WITHOUT_PORTS || !hasIdentifier ? null : identifierOf(key, protocol, ports),
  };
}

function rewriteView({ bytes }: PacketMemory, entry: number, action: number): RewriteView {
  const family = action & ACTION.INNER_IPV4 ? 4 : 6;
  const at = entry + ENTRY.NEW_ADDRESSES;
  const changed = bytes[entry + ENTRY.TRANSPORT]!;
  const portsAt = entry + ENTRY.NEW_PORTS;
  return {
    source: formatAddress(addressAt(family, bytes, at)),
    destination: formatAddress(addressAt(family, bytes, at + addressLength(family))),
    ports: changed & TRANSPORT.NEW_PORTS ? [u16(bytes, portsAt), u16(bytes, portsAt + 2)] : null,
    identifier: changed & TRANSPORT.NEW_IDENTIFIER ? u16(bytes, portsAt) : null,
  };
}

function portsOf(key: Uint8Array, protocol: number, at: number): IpView["ports"] {
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) return [u16(key, at), u16(key, at + 2)];
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) return [u8(key, at), u8(key, at + 1)];
  return null;
}

function identifierOf(key: Uint8Array, protocol: number, at: number): number | null {
  const isEcho = protocol === PROTOCOL_ICMP ? isIcmpEcho : protocol === PROTOCOL_ICMPV6 ? isIcmpv6Echo : undefined;
  return isEcho?.(u8(key, at)) ? u16(key, at + 2) : null;
}
