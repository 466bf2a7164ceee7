/**
 * Flow entropy for the outer headers: the hash of a flow, folded into NVGRE's FlowID (RFC 7637 §3.2) and the outer IPv6 flow
 * label (RFC 6438 §3).
 *
 * All packets of a flow must get the same values, or the underlay reorders them; so the ports count only where every
 * packet shows them, that is in unfragmented TCP and UDP. The hash is FNV-1a over the octets
 *
 *     IP      source address, destination address, protocol, and (TCP and UDP, whole datagrams) the two ports
 *     others  destination MAC, source MAC, EtherType
 *
 * as they are on the wire after all rewriting. RFC 7637 leaves the function open; this one is cheap, needs no table, and is
 * the same in the kernel.
 */
import type { AddressFamily } from "./address.js";
import type { FlowId, Mac } from "./bytes.js";
import { setU16, setU48, u8 } from "./bytes.js";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./ipv4.js";

const FNV_OFFSET = 0x811c_9dc5;
const FNV_PRIME = 0x0100_0193;

/** FNV-1a, 32 bits, over bytes[at, end), going on from `hash`. */
export function fnv1a(bytes: Uint8Array, at: number, end: number, hash = FNV_OFFSET): number {
  for (; at < end; at++) hash = Math.imul(hash ^ u8(bytes, at), FNV_PRIME);
  return hash >>> 0;
}

/** Do flows of this protocol have ports that count? */
export const hasFlowPorts = (protocol: number): boolean => protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP;

/**
 * The flow hash of an IP packet. `ipAt` is its header, `protocol` that of the transport behind all extension headers.
 * `portsAt` is where the four octets of the ports lie; -1 when they do not count or are not there.
 */
export function ipFlowHash(
  bytes: Uint8Array,
  family: AddressFamily,
  ipAt: number,
  protocol: number,
  portsAt: number,
): number {
  let hash = family === 4 ? fnv1a(bytes, ipAt + 12, ipAt + 20) : fnv1a(bytes, ipAt + 8, ipAt + 40);
  hash = Math.imul(hash ^ protocol, FNV_PRIME) >>> 0;
  return portsAt < 0 ? hash : fnv1a(bytes, portsAt, portsAt + 4, hash);
}

/** The flow hash of a frame that is not IP. */
export function linkFlowHash(destination: Mac, source: Mac, etherType: number): number {
  const tuple = new Uint8Array(14);
  setU48(tuple, 0, destination);
  setU48(tuple, 6, source);
  setU16(tuple, 12, etherType);
  return fnv1a(tuple, 0, tuple.length);
}

/** The flow hash folded to eight bits; 0 is as good as any other. */
export const flowIdOfHash = (hash: number): FlowId =>
  ((hash ^ (hash >>> 8) ^ (hash >>> 16) ^ (hash >>> 24)) & 0xff) as FlowId;

/** The flow hash folded to twenty bits. Never 0, which says "not labelled" (RFC 6437 §2). */
export const flowLabelOfHash = (hash: number): number => (hash ^ (hash >>> 20)) & 0xfffff || 1;
