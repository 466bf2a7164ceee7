/**
 * The header transposition: what the slow path decided for a flow, as plain frozen data (VFP's term).
 *
 * It is the contract between the slow path, which decides, `apply.ts`, the plain interpreter that one reads first, and the
 * kernel, for which `kernel/compile.ts` turns it into a flow entry. One `Forward` describes one outgoing copy:
 *
 *     pop        drop the outer headers of NVGRE; go on with the inner frame, cut where the outer IP packet ends. Of IP in GRE go on
 *                with the inner packet, cut where it ends itself, which needs an Ethernet header then
 *     ecn, dscp  carry congestion marks and class from the popped header into the inner one
 *     ttl        TTL or hop limit of the frame that is now outermost, minus one
 *     address    new IP addresses and ports for that frame
 *     ethernet   new addresses and tag for that frame
 *     push       outer Ethernet, IP and GRE headers in front of it; with `pushGre` in front of its packet, without Ethernet inside
 *     output     the port through which it leaves
 *
 * The steps happen in this order.
 */
import type { Reason } from "../drop-reasons.js";
import type { Address } from "../wire/address.js";
import type { FlowId, Mac, Tci, Vsid } from "../wire/bytes.js";

declare const brand: unique symbol;
/** A port of the engine; ports of all nodes share one number space. */
export type PortIndex = number & { readonly [brand]: "PortIndex" };
/** A node of the engine. */
export type NodeIndex = number & { readonly [brand]: "NodeIndex" };
/** An index into the versions of policy buckets; see `policy/stamps.ts`. */
export type Stamp = number & { readonly [brand]: "Stamp" };

/** How the outer ECN field follows the inner: RFC 6040 normal and compatibility mode, and what Linux does (RFC 3168). */
export type EcnMode = "normal" | "compat" | "linux";
/** Outer DSCP: a constant (RFC 2983 pipe model) or that of the inner header (uniform model). */
export type DscpMode = { readonly model: "pipe"; readonly value: number } | { readonly model: "uniform" };

export interface EthernetFields {
  readonly destination: Mac;
  readonly source: Mac;
  /** The 802.1Q tag that the frame shall carry; null for none. */
  readonly tag: Tci | null;
}

/** Outer headers of a tunnel. The EtherType follows from the addresses' family. */
export interface OuterHeaders {
  readonly ethernet: EthernetFields;
  readonly source: Address;
  readonly destination: Address;
  /** TTL or hop limit. */
  readonly ttl: number;
  readonly ecn: EcnMode;
  readonly dscp: DscpMode;
  /** IPv4 only. */
  readonly dontFragment: boolean;
  /** IPv6 only, 20 bits. */
  readonly flowLabel: number;
  /** IPv4 only: the node whose counter gives the identification. */
  readonly identification: NodeIndex;
}

/** Of NVGRE (RFC 7637 §3.2). */
export interface NvgrePush extends OuterHeaders {
  readonly vsid: Vsid;
  readonly flowId: FlowId;
}

/** Of GRE with a key that carries IP packets (RFC 2784, RFC 2890). */
export interface GrePush extends OuterHeaders {
  readonly key: number;
}

/**
 * New IP addresses and ports, of the packet's own family; what is left out stays. All checksums over them follow (RFC 1624):
 * IPv4's, and that of TCP, UDP and ICMP where the packet shows it, which later fragments do not.
 */
export interface AddressRewrite {
  readonly source?: Address;
  readonly destination?: Address;
  /** Of TCP and UDP. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Of ICMP echo. Where the old one is in no flow key (PORT_FLAG.ECHO) such a decision is for one packet only. */
  readonly identifier?: number;
}

export interface Forward {
  readonly output: PortIndex;
  readonly pop: boolean;
  /** With `pop`: also carry the outer DSCP inwards (RFC 2983 uniform model). */
  readonly dscpInwards: boolean;
  /** With null the Ethernet header stays as it is, tag included. */
  readonly ethernet: EthernetFields | null;
  readonly decrementTtl: boolean;
  /** None unless told. Not together with both `pop` and `push`. */
  readonly address?: AddressRewrite;
  /**
   * Guard, together with `address` only: TCP segments with FIN or RST are decided one by one, so that whoever keeps a state of the
   * connection learns that it ends. No unless told.
   */
  readonly guardsTcpEnd?: boolean;
  readonly push: NvgrePush | null;
  /** None unless told, and not together with `push`. Guard: what has padding behind its packet is decided one by one. */
  readonly pushGre?: GrePush;
  /**
   * Guard: the longest network-layer part, counted before `push` from the network header of the frame that goes on to its
   * last byte, for which this decision holds; longer packets are decided one by one. null: any length.
   */
  readonly lengthLimit: number | null;
  /** Guard: this decision does not hold for TCP packets with SYN, which are decided one by one. False unless told. */
  readonly guardsSyn?: boolean;
}

/** Copies of a replicated packet that cannot be sent: they are made, and dropped for this reason. */
export interface RefusedCopies {
  readonly reason: Reason;
  /** From 1 to 65535. */
  readonly copies: number;
}

export type Verdict =
  /** At least one output; several for replication, which may leave out copies. */
  | { readonly kind: "forward"; readonly outputs: readonly Forward[]; readonly refused?: readonly RefusedCopies[] }
  | { readonly kind: "drop"; readonly reason: Reason }
  /** Not ours: handed unchanged to whoever else lives on the host. The reason, if not NONE, is only counted. */
  | { readonly kind: "pass"; readonly reason: Reason }
  /** A responder took it. The reason, if there is one, is only counted. */
  | { readonly kind: "consume"; readonly reason?: Reason };

/**
 * A frame that a node has made because of a packet: it leaves through a port, or goes on as if it had just entered at one, as the pieces
 * of a packet do.
 */
export interface Emission {
  readonly port: PortIndex;
  readonly direction: "out" | "in";
  readonly frame: Uint8Array;
}

/** What a decision wants changed in the state of its node: plain data, which the node understands (`Node.state`). */
export interface Effect {
  readonly kind: string;
}

export interface Decision {
  readonly verdict: Verdict;
  /** May later packets with the same flow key get the same verdict without being decided again? */
  readonly cacheable: boolean;
  /** What the decision rests on; it is made again when one of these moves. */
  readonly stamps: readonly Stamp[];
  /** The receive queue, below 128, in which the NIC had the frame; left out where there is only one, and by nodes without NICs. */
  readonly queue?: number;
  /** Frames made because of the packet, besides its verdict; none if left out. Such a decision is for one packet only. */
  readonly emissions?: readonly Emission[];
  /** Changes of the node's state because of the packet; none if left out. Such a decision is for one packet only. */
  readonly effects?: readonly Effect[];
}
