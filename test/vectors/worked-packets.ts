/**
 * Frames worked out by hand and by a script that shares nothing with this project, checked with Wireshark's engine: every IPv4,
 * ICMP, UDP and TCP checksum is right. None has an FCS.
 *
 *     host 1   PA 192.168.4.11, 2001:db8:4::11, MAC 02-00-C0-A8-04-0B
 *     host 2   PA 192.168.4.22, 2001:db8:4::22, MAC 02-00-C0-A8-04-16
 *     Blue1    on host 1, CA 10.0.0.5, fd00:10::5, MAC 06-06-00-00-00-05, VSID 5001
 *     Blue2    on host 2, CA 10.0.0.7, fd00:10::7, MAC 06-06-00-00-00-07, VSID 5001
 *     Blue3    on host 2, CA 10.0.1.9, MAC 06-06-00-00-00-09, VSID 5002
 *     gateway  06-06-00-00-01-01 in VSID 5001, 06-06-00-00-02-01 in VSID 5002
 *
 * Outer TTL and hop limit are 128, DF is set, ECN mode is normal, DSCP 0.
 */

/** Octets from hexadecimal digits; white space is skipped. */
export const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replace(/\s+/g, ""), "hex"));
export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** As hexadecimal digits, 16 octets a line. */
export const WORKED_PACKETS = {
  /** ICMP echo within VSID 5001, IPv4 in IPv4, untagged. 116 octets. */
  a: `
    0200 c0a8 0416 0200 c0a8 040b 0800 4500
    0066 1a2b 4000 802f 56cc c0a8 040b c0a8
    0416 2000 6558 0013 89a5 0606 0000 0007
    0606 0000 0005 0800 4500 003c 0001 0000
    8001 26b5 0a00 0005 0a00 0007 0800 4d5a
    0001 0001 6162 6364 6566 6768 696a 6b6c
    6d6e 6f70 7172 7374 7576 7761 6263 6465
    6667 6869`,
  /** Packet A with an outer tag of VID 103, PCP 5. */
  aVlan: `
    0200 c0a8 0416 0200 c0a8 040b 8100 a067
    0800 4500 0066 1a2b 4000 802f 56cc c0a8
    040b c0a8 0416 2000 6558 0013 89a5 0606
    0000 0007 0606 0000 0005 0800 4500 003c
    0001 0000 8001 26b5 0a00 0005 0a00 0007
    0800 4d5a 0001 0001 6162 6364 6566 6768
    696a 6b6c 6d6e 6f70 7172 7374 7576 7761
    6263 6465 6667 6869`,
  /** What Blue1 hands to the switch for packet B: UDP to another subnet, by way of the gateway MAC, ECT(0). */
  bFromVm: `
    0606 0000 0101 0606 0000 0005 0800 4502
    0021 0002 4000 8011 e5ba 0a00 0005 0a00
    0109 c000 1388 000d 36c2 484e 562d 42`,
  /** The same routed to VSID 5002: new MACs, TTL 127, outer VID 103, outer ECN copied. */
  b: `
    0200 c0a8 0416 0200 c0a8 040b 8100 0067
    0800 4502 004b 1a2c 4000 802f 56e4 c0a8
    040b c0a8 0416 2000 6558 0013 8a63 0606
    0000 0009 0606 0000 0201 0800 4502 0021
    0002 4000 7f11 e6ba 0a00 0005 0a00 0109
    c000 1388 000d 36c2 484e 562d 42`,
  /** UDP over IPv6 in IPv4, untagged. */
  c: `
    0200 c0a8 0416 0200 c0a8 040b 0800 4500
    0060 1a2d 4000 802f 56d0 c0a8 040b c0a8
    0416 2000 6558 0013 8946 0606 0000 0007
    0606 0000 0005 86dd 6000 0000 000e 1140
    fd00 0010 0000 0000 0000 0000 0000 0005
    fd00 0010 0000 0000 0000 0000 0000 0007
    c001 1389 000e 5068 484e 562d 4336`,
  /** TCP SYN over IPv4 in IPv6, untagged, with a flow label. */
  d: `
    0200 c0a8 0416 0200 c0a8 040b 86dd 600c
    b735 004a 2f80 2001 0db8 0004 0000 0000
    0000 0000 0011 2001 0db8 0004 0000 0000
    0000 0000 0022 2000 6558 0013 89bd 0606
    0000 0007 0606 0000 0005 0800 4500 0034
    0003 4000 8006 e6b5 0a00 0005 0a00 0007
    c002 0050 1122 3344 0000 0000 8002 faf0
    5b99 0000 0204 0576 0103 0308 0101 0402`,
  /** Packet D with an outer tag of VID 103. */
  dVlan: `
    0200 c0a8 0416 0200 c0a8 040b 8100 0067
    86dd 600c b735 004a 2f80 2001 0db8 0004
    0000 0000 0000 0000 0011 2001 0db8 0004
    0000 0000 0000 0000 0022 2000 6558 0013
    89bd 0606 0000 0007 0606 0000 0005 0800
    4500 0034 0003 4000 8006 e6b5 0a00 0005
    0a00 0007 c002 0050 1122 3344 0000 0000
    8002 faf0 5b99 0000 0204 0576 0103 0308
    0101 0402`,
  /** Subnet broadcast, the unicast copy for host 2. */
  g: `
    0200 c0a8 0416 0200 c0a8 040b 0800 4500
    004b 1a2e 4000 802f 56e4 c0a8 040b c0a8
    0416 2000 6558 0013 89f6 ffff ffff ffff
    0606 0000 0005 0800 4500 0021 0004 0000
    8011 25c5 0a00 0005 0a00 00ff c003 0009
    000d 4548 484e 562d 47`,
  /** REDIRECT control message from host 2, quoting packet A: Blue2 is now at 192.168.4.33. */
  e: `
    0200 c0a8 040b 0200 c0a8 0416 0800 4500
    00ac 0077 4000 802f 703a c0a8 0416 c0a8
    040b 2000 6558 0013 8900 0200 c0a8 040b
    0200 c0a8 0416 0800 4500 0082 0001 4000
    8001 70f2 c0a8 0416 c0a8 0421 050a 1303
    c0a8 0421 4500 0066 1a2b 4000 802f 56cc
    c0a8 040b c0a8 0416 2000 6558 0013 89a5
    0606 0000 0007 0606 0000 0005 0800 4500
    003c 0001 0000 8001 26b5 0a00 0005 0a00
    0007 0800 4d5a 0001 0001 6162 6364 6566
    6768 696a 6b6c 6d6e 6f70 7172 7374 7576
    7761 6263 6465 6667 6869`,
  /** UNREACHABLE control message from host 2, quoting packet A. */
  f: `
    0200 c0a8 040b 0200 c0a8 0416 0800 4500
    00ac 0078 4000 802f 7039 c0a8 0416 c0a8
    040b 2000 6558 0013 8900 0200 c0a8 040b
    0200 c0a8 0416 0800 4500 0082 0002 4000
    8001 7107 c0a8 0416 c0a8 040b 030a d9cc
    0000 0000 4500 0066 1a2b 4000 802f 56cc
    c0a8 040b c0a8 0416 2000 6558 0013 89a5
    0606 0000 0007 0606 0000 0005 0800 4500
    003c 0001 0000 8001 26b5 0a00 0005 0a00
    0007 0800 4d5a 0001 0001 6162 6364 6566
    6768 696a 6b6c 6d6e 6f70 7172 7374 7576
    7761 6263 6465 6667 6869`,
} as const;

export type WorkedPacketName = keyof typeof WORKED_PACKETS;

/** A fresh copy of the frame. */
export const workedPacket = (name: WorkedPacketName): Uint8Array => bytesOf(WORKED_PACKETS[name]);

/** Where the inner Ethernet frame begins, for those that are NVGRE. */
export const INNER_AT = { a: 42, aVlan: 46, b: 46, c: 42, d: 62, dVlan: 66, g: 42, e: 42, f: 42 } as const;

/** The inner frame of a worked packet: what the VM sent, or what the receiving one gets. */
export const innerOf = (name: keyof typeof INNER_AT): Uint8Array => workedPacket(name).slice(INNER_AT[name]);
