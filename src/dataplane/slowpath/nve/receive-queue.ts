/**
 * Receive-side scaling (RSS): in which of its receive queues a NIC puts a frame from the wire, before the host looks at it.
 *
 *     NVGRE that the NIC looks into    addresses and ports of the inner TCP or UDP packet  ─┐
 *     all other GRE                    outer addresses                                      ├─► hash
 *     TCP, unless it is a fragment     addresses and ports                                  │
 *     all other IP                     addresses                                           ─┘
 *     what is not IP                   no hash: queue 0
 *
 *     hash ─► its last seven bits ─► indirection table, 128 entries, which name the queues in turn ─► queue
 *
 * A NIC that hashes the outer header of NVGRE, because it cannot look further or because that is its fault, has all that two hosts send each
 * other in one queue. What is hashed is part of the flow key, so a flow has one queue, and packets after the first cost nothing
 * (docs/decisions/0022-receive-queues.md).
 */
import { type ParsedFrame, type ParsedIp, parseFrame } from "../../packet/parse.js";
import { formatAddress } from "../../wire/address-text.js";
import { hasFlowPorts } from "../../wire/entropy.js";
import { ETHERNET_LENGTH } from "../../wire/ethernet.js";
import { PROTOCOL_GRE, PROTOCOL_TCP } from "../../wire/ipv4.js";
import { IPV6_LENGTH } from "../../wire/ipv6.js";
import { checkNvgre, NVGRE_LENGTH } from "../../wire/nvgre.js";
import { checkTcp, TCP_LENGTH, tcpHeaderLengthAt } from "../../wire/tcp.js";
import { Toeplitz } from "../../wire/toeplitz.js";
import { UDP_LENGTH } from "../../wire/udp.js";
import { VLAN_TAG_LENGTH } from "../../wire/vlan.js";
import { CONTINUE, type Layer } from "../layer.js";
import { frameText, tell } from "./explain.js";
import { DEFAULT_NIC_OFFLOAD, handlesFamilies, hasFault, type NicOffload } from "./offload.js";
import type { NveSnapshot } from "./snapshot.js";

/** Entries of the indirection table: as many as NDIS allows, so no NIC uses more queues. */
export const INDIRECTION_TABLE_SIZE = 128;

/** IPv4 headers, outer and inner, and a TCP header with all the options that fit. */
const HEADERS_MAX = ETHERNET_LENGTH + VLAN_TAG_LENGTH + 60 + NVGRE_LENGTH + ETHERNET_LENGTH + 60 + 60;

const TOEPLITZ = new Toeplitz();

export interface QueueChoice {
  /** From 0. */
  readonly queue: number;
  /** null: there is nothing to hash. */
  readonly hash: number | null;
  /** Does the hash cover the inner header of NVGRE? */
  readonly isInner: boolean;
  /** Does it hang on something that is in no flow key, so that another packet of the flow may have another queue? */
  readonly isPacketsOwn: boolean;
  /** What the hash covers, in words. */
  readonly hashed: () => string;
}

/** The queue of a frame at a NIC with `queues` of them, at least 1. */
export function chooseQueue(bytes: Uint8Array, frame: ParsedFrame, nic: NicOffload, queues: number): QueueChoice {
  const { ip } = frame;
  if (!ip) return NOT_IP;
  const look = ip.protocol === PROTOCOL_GRE ? lookInside(bytes, frame, ip, nic) : null;
  const hashed = look?.inner ?? ip;
  const hasPorts = look ? look.inner !== null : ip.protocol === PROTOCOL_TCP && ip.ports !== null;
  const hash = TOEPLITZ.hashIp(bytes, hashed.family, hashed.at, hasPorts ? hashed.transportAt : -1);
  return {
    queue: (hash & (INDIRECTION_TABLE_SIZE - 1)) % queues,
    hash,
    isInner: look !== null && look.inner !== null,
    isPacketsOwn: look?.isPacketsOwn ?? false,
    hashed: () => hashedText(hashed, hasPorts, look),
  };
}

const NOT_IP: QueueChoice = {
  queue: 0,
  hash: null,
  isInner: false,
  isPacketsOwn: false,
  hashed: () => "no hash, for it is not IP",
};

/** What a NIC makes of GRE. */
interface Look {
  /** The packet whose addresses and ports it hashes; null: it hashes the outer addresses. */
  readonly inner: ParsedIp | null;
  /** Why it does so. */
  readonly why: string;
  readonly isPacketsOwn: boolean;
}

function lookInside(bytes: Uint8Array, frame: ParsedFrame, outer: ParsedIp, nic: NicOffload): Look {
  const blind = (why: string, isPacketsOwn = false): Look => ({ inner: null, why, isPacketsOwn });
  if (outer.fragment !== "none" || checkNvgre(bytes, outer.transportAt, outer.end, "strict")) return blind("not NVGRE");
  const inner = parseFrame(bytes, outer.transportAt + NVGRE_LENGTH, outer.end)?.ip;
  if (!inner?.ports || !hasFlowPorts(inner.protocol)) return blind("no TCP or UDP header that it could read inside");
  if (!nic.rss) return blind("the NIC cannot spread what is encapsulated");
  if (!handlesFamilies(nic, inner.family, outer.family))
    return blind(`the NIC cannot spread IPv${inner.family} in IPv${outer.family}`);
  if (inner.family === 6 && inner.transportAt !== inner.at + IPV6_LENGTH)
    return blind("extension headers before the inner TCP or UDP header");
  const length = headersEnd(bytes, inner) - frame.start;
  const isPacketsOwn = nic.maxHeaderSize < HEADERS_MAX;
  if (length > nic.maxHeaderSize)
    return blind(`${length} octets of headers, the NIC reads ${nic.maxHeaderSize}`, isPacketsOwn);
  if (hasFault(nic, "hashOnOuterHeader")) return blind("fault hashOnOuterHeader");
  return { inner, why: "", isPacketsOwn };
}

/** Where the TCP or UDP header ends; of a TCP header that is cut, what it has at least. */
function headersEnd(bytes: Uint8Array, { protocol, transportAt, end }: ParsedIp): number {
  if (protocol !== PROTOCOL_TCP) return transportAt + UDP_LENGTH;
  return transportAt + (checkTcp(bytes, transportAt, end) ? TCP_LENGTH : tcpHeaderLengthAt(bytes, transportAt));
}

function hashedText({ source, destination, ports }: ParsedIp, hasPorts: boolean, look: Look | null): string {
  const header = look === null ? "" : look.inner ? "inner " : "outer ";
  const [from, to] = [formatAddress(source), formatAddress(destination)];
  if (hasPorts && ports)
    return `the ${header}addresses and ports, ${from} ${ports.source} -> ${to} ${ports.destination}`;
  return `the ${header}addresses, ${from} -> ${to}${look ? `: ${look.why}` : ""}`;
}

/** For NICs with several receive queues. */
export const receiveQueue: Layer<NveSnapshot> = {
  name: "receive queue",
  evaluate({ ports }, { bytes, parsed, plan, ingress }, context) {
    const { rssQueues = 1, nicOffload = DEFAULT_NIC_OFFLOAD } = ports.settingsOf(ingress);
    const { queue, hash, isPacketsOwn, hashed } = chooseQueue(bytes, parsed, nicOffload, rssQueues);
    plan.queue = queue;
    if (isPacketsOwn) context.doNotCache();
    if (context.observer) {
      const what = hash === null ? hashed() : `hash 0x${hash.toString(16).padStart(8, "0")} of ${hashed()}`;
      tell(context.observer, frameText(parsed), `queue ${queue} of ${rssQueues}: ${what}`);
    }
    return CONTINUE;
  },
};
