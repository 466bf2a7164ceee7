/** The door of the wire formats: everything here works on (bytes, offset) and knows no packet, policy or flow. */

export * from "./address.js";
export * from "./address-text.js";
export * from "./arp.js";
export * from "./bytes.js";
export * from "./checksum.js";
export * from "./control-message.js";
export * from "./dhcp.js";
export * from "./dhcpv6.js";
export * from "./dissect.js";
export * from "./ecn.js";
export * from "./entropy.js";
export * from "./ethernet.js";
export * from "./fragmentation.js";
export * from "./gre.js";
export * from "./icmp.js";
export * from "./icmpv6.js";
export * from "./ipv4.js";
export * from "./ipv6.js";
export * from "./mac.js";
export * from "./nvgre.js";
export * from "./segmentation.js";
export * from "./tcp.js";
export * from "./toeplitz.js";
export * from "./transport.js";
export * from "./udp.js";
export * from "./vlan.js";
