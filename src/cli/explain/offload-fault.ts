/** The known ways in which NICs get the offload of encapsulated packets wrong, as explain tells them. */
export type OffloadFaultCode = "BAD_INNER_CHECKSUM" | "CONSTANT_IP_ID" | "SEGMENT_TOO_LONG" | "HASH_ON_OUTER_HEADER";

/** One kind of fault that the packets of one sender show. */
export interface OffloadFault {
  readonly code: OffloadFaultCode;
  /** The provider address of the host that sent the packets. */
  readonly sender: string;
  packets: number;
  /** Packet `packet`, from 1, of an input shows it. */
  readonly witness: { readonly input: number; readonly packet: number };
  /** What the witness shows. */
  readonly text: string;
  readonly cure: string;
}

export const OFFLOAD_CURES: Readonly<Record<OffloadFaultCode, string>> = {
  BAD_INNER_CHECKSUM:
    "the sender's NIC gets checksum offload of NVGRE wrong: Disable-NetAdapterEncapsulatedPacketTaskOffload",
  CONSTANT_IP_ID:
    "the sender's NIC does not count identifications up when it cuts: Disable-NetAdapterEncapsulatedPacketTaskOffload",
  SEGMENT_TOO_LONG:
    "the sender's NIC does not leave room for the tunnel when it cuts: Disable-NetAdapterEncapsulatedPacketTaskOffload, or a wider provider network",
  HASH_ON_OUTER_HEADER:
    "the receiver's NIC hashes the outer header (Get-NetAdapterRss shows its queues): a driver that hashes the inner one; until then Disable-NetAdapterRss and Enable-NetAdapterVmq, which spreads by VM",
};
