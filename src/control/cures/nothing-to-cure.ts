/**
 * Why there is nothing that an operator could write into the policy, by drop reason: the frame itself is wrong, or the host does what it
 * should. Also for reasons that `cures.ts` has cures for, where those find nothing to say.
 */
import { Reason } from "../../dataplane/index.js";

/** Sentences that go on after "nothing to cure: ". */
export const NOTHING_TO_CURE: ReadonlyMap<Reason, string> = new Map([
  // What comes from the wire.
  [Reason.RX_ETH_SHORT, "no host sends such a frame; it was damaged, or made up"],
  [Reason.RX_IP_MALFORMED, "no host sends such a header; it was damaged, or made up"],
  [Reason.RX_IP_CSUM, "the header was damaged on its way, or captured before a NIC has filled in the checksum"],
  [Reason.RX_OUTER_VLAN, "the lab does not know the address"],
  [Reason.RX_PA_STATE, "the address will be usable once duplicate address detection is over"],
  [Reason.RX_OUTER_FRAGMENT, "hosts do not fragment; somebody else on the provider network does"],
  [Reason.RX_GRE_SHORT, "no host sends such a header; it was damaged, or made up"],
  [Reason.RX_GRE_VERSION, "it is not NVGRE, and was left to whoever else lives on the host"],
  [Reason.RX_GRE_PROTO, "it is not NVGRE, and was left to whoever else lives on the host"],
  [
    Reason.RX_GRE_FLAGS,
    "the sender does not speak NVGRE; checksums and sequence numbers alone pass with receive: lenient",
  ],
  [Reason.RX_GRE_NO_KEY, "the sender does not speak NVGRE: its tunnel needs a key"],
  [Reason.RX_GRE_CSUM, "the packet was damaged on its way"],
  [Reason.RX_INNER_SHORT, "no VM's frame is so short; it was damaged, or made up"],
  [Reason.RX_VSID_RESERVED, "the sender uses a reserved VSID; those of tenants begin at 4096"],
  [Reason.RX_VSID_VENDOR, "the VSID is for messages of some vendor's hosts, not for tenants"],
  [Reason.RX_VSID_UNKNOWN, "no host of the lab knows the VSID"],
  [Reason.RX_OUTER_SRC, "the sender bears this host's own address, or a group's; no host does"],
  [Reason.RX_INNER_VLAN, "the sender has to take VLAN tags off before it encapsulates (RFC 7637 §3.3)"],
  [Reason.RX_INNER_SRC_MAC, "no station has such an address"],
  [Reason.RX_INNER_ETHERTYPE, "network virtualization carries IPv4, IPv6 and ARP, nothing else"],
  [Reason.RX_INNER_IP_MALFORMED, "the inner header was damaged, or made up"],
  [Reason.RX_SRC_POLICY, "the packet does not say whose it is"],
  [Reason.RX_ECN, "the drop is the sign of congestion that this transport understands (RFC 6040 §4.2)"],
  [Reason.RX_MOVED, "the sender will learn where the VM is now"],
  [Reason.RX_NO_LOCAL_DST, "no VM of the lab has this MAC in this virtual subnet, and no record says so"],
  [Reason.RX_CTRL, "hosts tell each other about moved VMs so; this one goes by its records"],

  // What a VM sends.
  [Reason.TX_INNER_VLAN, "a virtual subnet carries no VLANs; the guest has to send untagged"],
  [Reason.TX_NON_IP, "network virtualization carries IPv4, IPv6 and ARP, nothing else"],
  [
    Reason.TX_SRC_POLICY,
    "the message names a MAC address that is not its sender's; the host keeps VMs from speaking for others",
  ],
  [Reason.TX_NO_RECORD, "the frame does not say for whom it is"],
  [Reason.TX_NO_ROUTE, "the frame does not say for whom it is"],
  [Reason.TX_RULE_NONE, "the record says that nothing is sent"],
  [Reason.TX_RULE_NAT, "this host does not run IP Rewrite"],
  [Reason.TX_ROUTER_SELF, "the distributed router answers nobody, no ping either"],
  [Reason.TX_VSID_RANGE, "no tenant's packet may carry such a VSID"],
  [Reason.TX_NO_PA, "the frame does not say for whom it is"],
  [Reason.TX_PA_FAMILY, "the frame does not say for whom it is"],
  [Reason.TX_NO_PROVIDER_ROUTE, "the record's provider address is a dummy"],
  [Reason.TX_PA_UNRESOLVED, "the record is right, and the provider network does not answer"],
  [Reason.TX_TOO_BIG, "the sender may not be told, and the host does not fragment"],
  [Reason.TX_TOO_BIG_ICMP4, "the sender was told by ICMP, and will send shorter packets"],
  [Reason.TX_TOO_BIG_ICMP6, "the sender was told by ICMP, and will send shorter packets"],
  [Reason.TX_TTL_EXCEEDED, "the sender gave the packet no more hops, as traceroute does, and was told by ICMP"],
  [Reason.TX_FLOOD_2012, "Windows Server 2012 carries no broadcast or multicast between hosts; 2012 R2 does"],
  [Reason.TX_NO_FLOOD, "no other VM is in this virtual subnet"],
  [Reason.TX_UNANSWERED, "hosts answer questions for addresses, nothing else"],

  // The virtual switch.
  [Reason.INVALID_PACKET, "the guest's frame is malformed"],
  [Reason.RESOURCES, "more copies or answers at once than there are buffers; the sender may try again"],
  [Reason.DISCONNECTED, "the NIC has no link at this time"],
  [Reason.NIC_DISABLED, "the VM does not run on this host at this time"],
  [Reason.NOT_ACCEPTED, "nobody here has the MAC address, or the frame is for its own sender"],
  [Reason.UNAUTHORIZED_VLAN, "the port has no VLANs; the guest has to send untagged"],
  [Reason.MAC_SPOOFING, "the port is no VM's of this lab"],
  [Reason.BRIDGE_RESERVED, "bridges keep such frames to themselves (IEEE 802.1D)"],
  [Reason.VIRTUAL_SUBNET_ID, "virtual subnets are kept apart"],
  [Reason.MTU_MISMATCH, "the guest has to send shorter frames"],
  [Reason.INVALID_VLAN_FORMAT, "the guest's 802.1Q tag is malformed"],
  [Reason.INVALID_DEST_MAC, "no station has such an address"],
  [Reason.INVALID_SOURCE_MAC, "no station has such an address"],

  // The emulated provider network.
  [Reason.PROVIDER_MALFORMED, "no host sends such a header; it was damaged, or made up"],
  [Reason.PROVIDER_VLAN, "the frame is not a host's"],
  [Reason.PROVIDER_UNKNOWN_MAC, "the frame is not a host's"],
  [Reason.PROVIDER_NO_ROUTE, "the packet is not a host's"],
  [Reason.PROVIDER_UNRESOLVED, "the packet is not a host's"],
  [Reason.PROVIDER_TTL, "hosts send with a TTL of 128; somebody else sent this"],
  [Reason.PROVIDER_MTU, "hosts of the lab know the MTU of their own subnet; raise that of the far one (hnv mtu)"],
  [Reason.PROVIDER_GROUP, "the provider network carries no groups; hosts send a copy to each other host"],

  // The engine.
  [Reason.CAPTURE_CUT, "the frame is not all there; capture anew without a snap length (tcpdump -s 0)"],
  [Reason.FRAME_TOO_LONG, "no link carries such a frame; captures of offloads may hold one"],
  [Reason.HOP_LIMIT, "the frame runs in a circle of the lab's links"],
  [Reason.RESPONDER_LIMIT, "who asks so much gets no more answers for a while; others are not hurt"],
  [Reason.SLOWPATH_OVERLOAD, "too many new flows at once; known ones went on"],
]);
