/** What VMs leave to hardware, and what hardware does with encapsulated packets: capabilities, and the faults that a lab can switch on. */
import type { AddressFamily } from "../../wire/address.js";

/** What a VM leaves to hardware, and what its own stack would have done. */
export interface GuestOffload {
  /** IP MTU of the VM's adapter. */
  readonly mtu: number;
  /** Large send offload: TCP packets longer than the MTU are to be cut. */
  readonly lso: boolean;
  /** Octets of payload that the VM wants in each segment; null: as many as its MTU holds. */
  readonly mss: number | null;
  /** Checksum offload: TCP and UDP checksums hold the sum of the pseudo header only. */
  readonly checksum: boolean;
}

/** A VM that leaves nothing to hardware. */
export const DEFAULT_GUEST_OFFLOAD: GuestOffload = Object.freeze({ mtu: 1500, lso: false, mss: null, checksum: false });

/**
 * NDIS_ENCAPSULATED_PACKET_TASK_OFFLOAD, for GRE; that has the families apart for each offload. A NIC neither encapsulates nor
 * decapsulates; it finishes what is encapsulated.
 */
export interface NicOffload {
  readonly lso: boolean;
  readonly checksum: boolean;
  readonly rss: boolean;
  readonly vmq: boolean;
  readonly families: readonly TunnelFamily[];
  /** From the packet's first octet to the end of the inner TCP or UDP header. */
  readonly maxHeaderSize: number;
  readonly faults: readonly NicFault[];
}

export const TUNNEL_FAMILIES = ["innerIPv4", "outerIPv4", "innerIPv6", "outerIPv6"] as const;
export type TunnelFamily = (typeof TUNNEL_FAMILIES)[number];

/** Known ways in which NICs get the offload of encapsulated packets wrong. */
export const NIC_FAULTS = ["badInnerChecksum", "mssNotLowered", "constantIpId", "hashOnOuterHeader"] as const;
export type NicFault = (typeof NIC_FAULTS)[number];

/** A NIC that nobody has told anything else. NDIS recommends the header size. */
export const DEFAULT_NIC_OFFLOAD: NicOffload = Object.freeze({
  lso: true,
  checksum: true,
  rss: true,
  vmq: true,
  families: TUNNEL_FAMILIES,
  maxHeaderSize: 256,
  faults: [],
});

export const handlesFamilies = ({ families }: NicOffload, inner: AddressFamily, outer: AddressFamily): boolean =>
  families.includes(`innerIPv${inner}`) && families.includes(`outerIPv${outer}`);

export const hasFault = (nic: NicOffload | null | undefined, fault: NicFault): boolean =>
  nic?.faults.includes(fault) ?? false;
