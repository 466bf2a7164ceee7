/**
 * Why a packet ended other than by delivery: the one table of reasons, each with a name, a sentence, and the drop
 * reason that Windows' packet monitor would show.
 *
 * `RX_…` belongs to what arrives from the provider network, `TX_…` to what a VM sends; both are Windows' `Wnv` (29). Names
 * without a prefix are the virtual switch's own, `PROVIDER_…` the emulated provider network's, `GATEWAY_…` and `NAT_…` the built-in gateway's,
 * which Windows does not have.
 * The numbers are ours, dense and stable within a build only: they index counters and travel in packet rows.
 * Windows renumbers between tools, so outside of this table compare by name.
 */

interface ReasonRow {
  readonly name: string;
  /** One English sentence for people. */
  readonly text: string;
  readonly windowsReason: string | null;
  /** As Windows' packet monitor counts, from 0. */
  readonly windowsNumber: number | null;
}

const WNV = ["Wnv", 29] as const;
type Windows = readonly [string, number] | null;
const row = <Name extends string>(name: Name, windows: Windows, text: string): ReasonRow & { readonly name: Name } => ({
  name,
  text,
  windowsReason: windows ? windows[0] : null,
  windowsNumber: windows ? windows[1] : null,
});

const ROWS = [
  row("NONE", null, "No reason: the packet was not dropped."),

  // Receive checklist of the NVE.
  row("RX_ETH_SHORT", WNV, "The frame from the wire is shorter than an Ethernet header."),
  row("RX_IP_MALFORMED", WNV, "The outer IP header has an impossible version or length."),
  row("RX_IP_CSUM", WNV, "The outer IPv4 header checksum is wrong."),
  row("RX_OUTER_VLAN", WNV, "The outer VLAN is not that of the provider address."),
  row("RX_PA_STATE", WNV, "The provider address is not in a state that receives."),
  row("RX_OUTER_FRAGMENT", WNV, "The outer packet is a fragment, and reassembly is off, as RFC 7637 §4.4 allows."),
  row("RX_GRE_SHORT", WNV, "The GRE header is cut short."),
  row("RX_GRE_VERSION", null, "GRE of a version other than 0, left to other consumers."),
  row("RX_GRE_PROTO", null, "GRE that does not carry Ethernet, left to other consumers."),
  row("RX_GRE_FLAGS", WNV, "The GRE header has a flag set that NVGRE forbids (RFC 7637 §3.2)."),
  row("RX_GRE_NO_KEY", WNV, "The GRE header has no key, so no virtual subnet is named."),
  row("RX_GRE_CSUM", WNV, "The GRE checksum is wrong."),
  row("RX_INNER_SHORT", WNV, "The inner frame is shorter than an Ethernet header."),
  row("RX_VSID_RESERVED", WNV, "The VSID lies in the reserved range 0–4095."),
  row("RX_VSID_VENDOR", WNV, "The VSID 0xFFFFFF is kept for vendor messages, which are not supported."),
  row("RX_OUTER_SRC", WNV, "The outer source is not a foreign unicast address."),
  row("RX_INNER_VLAN", WNV, "The inner frame carries a VLAN tag (RFC 7637 §3.3)."),
  row("RX_INNER_SRC_MAC", WNV, "The inner source MAC is a group address or zero."),
  row("RX_INNER_ETHERTYPE", WNV, "The inner frame is neither IPv4, IPv6 nor ARP."),
  row("RX_INNER_IP_MALFORMED", WNV, "The inner IP header has an impossible version or length."),
  row("RX_VSID_UNKNOWN", WNV, "The VSID has neither a customer route nor a port on this host."),
  row("RX_SRC_POLICY", WNV, "No lookup record places the inner source at the outer source address."),
  row(
    "RX_ECN",
    WNV,
    "The outer header says congestion experienced, the inner transport cannot hear it (RFC 6040 §4.2).",
  ),
  row(
    "RX_NAT_SOURCE",
    WNV,
    "The provider address stands for a customer address (TranslationMethodNat), but the source stands for none of the same routing domain.",
  ),
  row("RX_NAT_FAMILY", WNV, "The customer address that a provider address stands for is of the other family."),
  row("RX_NAT_ERROR", WNV, "A router's ICMP error about a packet of IP Rewrite is not believed, or is of no use."),
  row("RX_MOVED", WNV, "The destination VM has moved to another host."),
  row("RX_NO_LOCAL_DST", WNV, "No port of the virtual subnet on this host owns the inner destination MAC."),
  row("RX_CTRL", WNV, "An NVGRE control message; this host does not act on them."),
  row("RX_CTRL_MALFORMED", WNV, "An NVGRE control message with a wrong checksum, or that quotes no NVGRE packet."),
  row("RX_CTRL_SPOOF", WNV, "An NVGRE control message that quotes no packet from this host to its sender."),
  row("RX_CTRL_STALE", WNV, "A REDIRECT from a host to which packets for that address are not sent, or not any more."),
  row("RX_CTRL_TARGET", WNV, "A REDIRECT to what is no provider address that this host knows."),
  row("RX_FRAGMENT_HELD", null, "The outer fragment waits for the rest of its packet."),
  row("RX_REASSEMBLY_LIMIT", WNV, "There is no room for what is to be put together of outer fragments."),
  row("RX_PATH_MTU", null, "A router of the provider network told the MTU of the path to a provider address."),
  row("RX_PATH_MTU_IGNORED", WNV, "A router's message about an NVGRE packet of ours is not believed, or is of no use."),

  // Send checklist of the NVE.
  row("TX_INNER_VLAN", WNV, "The frame carries a VLAN tag, which NVGRE does not transport (RFC 7637 §3.3)."),
  row("TX_NON_IP", WNV, "The frame is neither IPv4, IPv6 nor ARP; network virtualization carries nothing else."),
  row(
    "TX_SRC_POLICY",
    WNV,
    "No lookup record gives this source address to this MAC in the virtual subnet; or it is unspecified or link-local, and the packet would have to be routed.",
  ),
  row("TX_NO_ROUTE", WNV, "No customer route of the routing domain covers the destination."),
  row("TX_NO_RECORD", WNV, "No lookup record exists for the next hop in its virtual subnet."),
  row("TX_RULE_NONE", WNV, "The lookup record's rule is TranslationMethodNone."),
  row(
    "TX_RULE_NAT",
    WNV,
    "IP Rewrite (TranslationMethodNat) cannot carry it: its addresses are not those of the two lookup records, or it is ARP or neighbor discovery.",
  ),
  row(
    "TX_NAT_SOURCE",
    WNV,
    "The destination's rule is TranslationMethodNat, but the sender's own lookup record has another rule, so no provider address stands for it.",
  ),
  row(
    "TX_NAT_FAMILY",
    WNV,
    "IP Rewrite cannot put a provider address in the place of a customer address of the other family.",
  ),
  row("TX_ROUTER_SELF", WNV, "The packet is for the distributed router itself, which does not answer it."),
  row("TX_VSID_RANGE", WNV, "The VSID for the wire lies outside 4096–16777214."),
  row("TX_NO_PA", WNV, "This host has no provider address to send from."),
  row("TX_PA_FAMILY", WNV, "No provider address of the destination's family is usable on this host."),
  row("TX_NO_PROVIDER_ROUTE", WNV, "No provider route covers the destination provider address."),
  row("TX_PA_UNRESOLVED", WNV, "The provider next hop's MAC address is not known."),
  row("TX_LENGTH_FILLED", null, "The VM left its length to hardware; the packet with its length travels in its place."),
  row("TX_CHECKSUM_FINISHED", null, "The VM left its checksum to hardware; the finished packet travels in its place."),
  row("TX_MSS_CLAMPED", null, "The SYN announced too long segments; one with a lower MSS travels in its place."),
  row(
    "TX_OUTER_FRAGMENTED",
    null,
    "The NVGRE packet did not fit; its fragments travel in its place, against RFC 7637 §4.4.",
  ),
  row("TX_SEGMENTED", null, "The large send was cut; its segments travel in its place."),
  row("TX_INNER_FRAGMENTED", null, "The IPv4 packet without DF did not fit; its fragments travel in its place."),
  row("TX_TOO_BIG", WNV, "The packet does not fit the provider path and may not be cut."),
  row("TX_TOO_BIG_ICMP4", WNV, "The IPv4 packet with DF set does not fit the provider path."),
  row("TX_TOO_BIG_ICMP6", WNV, "The IPv6 packet does not fit the provider path."),
  row("TX_TTL_EXCEEDED", WNV, "The TTL or hop limit ran out at the distributed router."),
  row("TX_FLOOD_2012", WNV, "Windows Server 2012 does not carry broadcast or multicast between hosts."),
  row("TX_NO_FLOOD", WNV, "Broadcast or multicast, and no other member of the virtual subnet that could get a copy."),
  row(
    "TX_UNANSWERED",
    WNV,
    "ARP or neighbor discovery that asks for what this host does not know, or does not answer.",
  ),

  // The virtual switch.
  row("INVALID_PACKET", ["InvalidPacket", 2], "The frame is too short or its headers are broken."),
  row("RESOURCES", ["Resources", 3], "No buffer was left for the frame."),
  row("DISCONNECTED", ["Disconnected", 5], "The NIC has no link."),
  row("NOT_ACCEPTED", ["NotAccepted", 6], "No port takes the destination MAC address."),
  row(
    "UNAUTHORIZED_VLAN",
    ["UnauthorizedVLAN", 10],
    "The port may not send on this VLAN, nor hide a tag behind a priority tag.",
  ),
  row("MAC_SPOOFING", ["MacSpoofing", 16], "The source MAC is not the adapter's and spoofing is off."),
  row("DHCP_GUARD", ["DhcpGuard", 17], "A DHCP server's message from an adapter whose DHCP guard is on."),
  row("ROUTER_GUARD", ["RouterGuard", 18], "A router's message from an adapter whose router guard is on."),
  row("BRIDGE_RESERVED", ["BridgeReserved", 19], "The destination is a reserved bridge group address."),
  row("VIRTUAL_SUBNET_ID", ["VirtualSubnetId", 20], "The port belongs to another virtual subnet."),
  row("MTU_MISMATCH", ["MTUMismatch", 23], "The frame is larger than the destination adapter's MTU."),
  row(
    "FILTERED_ISOLATION_UNTAGGED",
    ["FilteredIsolationUntagged", 36],
    "The adapter takes frames with isolation ids only, and this one has none.",
  ),
  row("INVALID_VLAN_FORMAT", ["InvalidVlanFormat", 25], "The 802.1Q tag is malformed."),
  row("INVALID_DEST_MAC", ["InvalidDestMac", 26], "The destination MAC is all zero."),
  row("INVALID_SOURCE_MAC", ["InvalidSourceMac", 27], "The source MAC is a group address or zero."),
  row("NIC_DISABLED", ["NicDisabled", 33], "The VM of the adapter does not run."),

  row(
    "STORM_LIMIT",
    ["StormLimit", 30],
    "The port has sent more broadcast and multicast in this second than its storm limit.",
  ),

  // The emulated provider network.
  row("PROVIDER_MALFORMED", null, "The provider network cannot read the frame's headers."),
  row("PROVIDER_VLAN", null, "No provider subnet uses this VLAN."),
  row("PROVIDER_UNKNOWN_MAC", null, "No port of the provider network owns the destination MAC."),
  row("PROVIDER_NO_ROUTE", null, "No provider subnet holds the destination address."),
  row("PROVIDER_UNRESOLVED", null, "No host owns the destination address in its provider subnet."),
  row("PROVIDER_TTL", null, "The TTL or hop limit ran out at the provider router."),
  row("PROVIDER_FRAGMENTED", null, "The packet without DF did not fit; the provider router sends its fragments."),
  row("PROVIDER_MTU", null, "The packet is larger than the provider subnet's MTU."),
  row(
    "PROVIDER_GROUP",
    null,
    "Broadcast or multicast in a VLAN of the provider network in which no other host has an address.",
  ),

  // The built-in gateway.
  row("GATEWAY_NON_IP", null, "The gateway routes IPv4 and IPv6, and nothing else."),
  row("GATEWAY_GROUP", null, "Broadcast or multicast, which the gateway does not route."),
  row("GATEWAY_SELF", null, "The packet is for the gateway itself, which offers nothing."),
  row("GATEWAY_NO_ROUTE", null, "No route of the gateway covers the destination."),
  row("GATEWAY_UNRESOLVED", null, "The MAC address of the gateway's next hop is not known."),
  row("GATEWAY_TTL", null, "The TTL or hop limit ran out at the gateway."),
  row("GATEWAY_TOO_BIG", null, "The packet does not fit the gateway's external link or tunnel and may not be cut."),
  row("GATEWAY_FRAGMENTED", null, "Cut into fragments that fit the gateway's external link or tunnel."),
  row("GATEWAY_PATH_MTU", null, "A router outside told the MTU of the path to a tunnel's far end."),
  row("GATEWAY_PATH_MTU_IGNORED", null, "A router's message about a tunnel's packet is not believed, or is of no use."),
  row("GATEWAY_TUNNEL", null, "GRE that none of the gateway's tunnels sends, or that carries what lies not behind it."),
  row("NAT_SOURCE", null, "The source address lies outside of the tenant's internal prefixes."),
  row("NAT_PROTOCOL", null, "Neither TCP, UDP nor ICMP that address translation knows."),
  row("NAT_EXHAUSTED", null, "All external ports of the tenant are in use."),
  row("NAT_NO_BINDING", null, "Nobody inside has opened this external endpoint, and no static mapping is for it."),
  row("NAT_FRAGMENT", null, "A fragment whose first one, with the ports, has not come before it."),

  // The engine itself.
  row("CAPTURE_CUT", null, "The capture holds only a part of the frame."),
  row("FRAME_TOO_LONG", null, "The frame is longer than the engine handles."),
  row("HOP_LIMIT", null, "The frame passed through more nodes than any lab has: a loop."),
  row("RESPONDER_LIMIT", ["Busy", 7], "The port has asked for more answers than it is given in this time."),
  row("SLOWPATH_OVERLOAD", ["Busy", 7], "The slow path's budget for this burst was used up."),
] as const satisfies readonly ReasonRow[];

/** How many reasons exist; counters are arrays of this length. */
export const REASON_COUNT = ROWS.length;

declare const brand: unique symbol;
/** An index into the table of reasons. */
export type Reason = number & { readonly [brand]: "Reason" };

export type ReasonName = (typeof ROWS)[number]["name"];

/** `Reason.RX_ECN` and so on: the number of each reason by its name. */
export const Reason = Object.freeze(
  Object.fromEntries(ROWS.map((entry, index) => [entry.name, index])) as Record<ReasonName, Reason>,
);

export const reasonName = (reason: Reason): ReasonName => ROWS[reason]!.name;
export const reasonText = (reason: Reason): string => ROWS[reason]!.text;
export const windowsReason = (reason: Reason): string | null => ROWS[reason]!.windowsReason;
export const windowsNumber = (reason: Reason): number | null => ROWS[reason]!.windowsNumber;
