#!/usr/bin/env python3
"""Generates the captures in pcaps/ that no ordinary stack would send: tags, malformed headers, odd GRE, many flows.

Every byte is packed here with Python's struct, apart from the project's own encoder, so that a test may believe it. Random
choices come from the generator below, seeded per file; the seeds are printed and fixed, so equal seeds give equal files on
every machine and Python. Needs nothing but Python 3.

    generate.py                  all files, into pcaps/
    generate.py --out DIR        elsewhere
    generate.py --list           names and seeds
"""
import argparse
import ipaddress
import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PCAPS = os.path.normpath(os.path.join(HERE, "..", "..", "pcaps"))

# The two-tenant lab.
BLUE1_MAC, BLUE2_MAC, BLUE3_MAC = "06:06:00:00:00:05", "06:06:00:00:00:07", "06:06:00:00:00:09"
RED1_MAC, RED2_MAC = "08:08:00:00:00:05", "08:08:00:00:00:07"
GATEWAY_5001, GATEWAY_5002 = "06:06:00:00:01:01", "06:06:00:00:02:01"
CA1, CA2, CA3 = "10.0.0.5", "10.0.0.7", "10.0.1.9"
CA1_6, CA2_6 = "fd00:10::5", "fd00:10::7"
HOST1_MAC, HOST2_MAC = "02:00:c0:a8:04:0b", "02:00:c0:a8:04:16"
PA1, PA2 = "192.168.4.11", "192.168.4.22"
PA1_6, PA2_6 = "2001:db8:4::11", "2001:db8:4::22"
BROADCAST = "ff:ff:ff:ff:ff:ff"

IPV4, IPV6, ARP, VLAN, QINQ, LLDP, TEB = 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8, 0x88CC, 0x6558
ICMP, TCP, UDP, GRE, ICMP6 = 1, 6, 17, 47, 58
KEY_A = 0x001389A5

FIRST_NS = 1_700_000_000_000_000_000  # of each file: 2023-11-14 22:13:20 UTC
STEP_NS = 1_000_000


class Random:
    """Marsaglia's xorshift32: the same numbers on every machine, unlike a library's that may change its ways."""

    def __init__(self, seed):
        self.state = seed & 0xFFFFFFFF or 1

    def next(self):
        x = self.state
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self.state = x
        return x

    def below(self, limit):
        return self.next() % limit

    def choose(self, options):
        return options[self.below(len(options))]

    def data(self, length):
        return bytes(self.next() >> 8 & 0xFF for _ in range(length))


# ---------------------------------------------------------------------------------------------------------------------
# Headers


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination, source, ethertype, payload):
    return mac(destination) + mac(source) + struct.pack("!H", ethertype) + payload


def tagged(destination, source, tags, ethertype, payload):
    """`tags` are (TPID, TCI), outermost first."""
    middle = b"".join(struct.pack("!HH", tpid, tci) for tpid, tci in tags)
    return mac(destination) + mac(source) + middle + struct.pack("!H", ethertype) + payload


def ipv4(source, destination, protocol, payload, ttl=128, tos=0, identification=0, flags_offset=0, options=b"", **wrong):
    """`wrong` overrides a field: version, ihl, length, checksum."""
    ihl = wrong.get("ihl", 5 + len(options) // 4)
    length = wrong.get("length", 20 + len(options) + len(payload))
    header = struct.pack("!BBHHHBBH4s4s", wrong.get("version", 4) << 4 | ihl, tos, length, identification, flags_offset, ttl,
                         protocol, 0, ipaddress.IPv4Address(source).packed, ipaddress.IPv4Address(destination).packed) + options
    return header[:10] + struct.pack("!H", wrong.get("checksum", checksum(header))) + header[12:] + payload


def ipv6(source, destination, next_header, payload, hop_limit=64, traffic_class=0, flow_label=0, **wrong):
    """`wrong` overrides a field: version, length."""
    first = wrong.get("version", 6) << 28 | traffic_class << 20 | flow_label
    return struct.pack("!IHBB", first, wrong.get("length", len(payload)), next_header, hop_limit) + \
        ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(destination).packed + payload


def transport_checksum(source, destination, protocol, segment):
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    pseudo = struct.pack("!BBH", 0, protocol, len(segment)) if ":" not in source else struct.pack("!II", len(segment), protocol)
    return checksum(ends + pseudo + segment)


def udp(source, destination, source_port, destination_port, data):
    header = struct.pack("!HHHH", source_port, destination_port, 8 + len(data), 0)
    value = transport_checksum(source, destination, UDP, header + data) or 0xFFFF  # RFC 768: zero means none
    return header[:6] + struct.pack("!H", value) + data


def tcp(source, destination, source_port, destination_port, flags, data=b"", sequence=0, acknowledgment=0, window=64240, options=b""):
    header = struct.pack("!HHIIBBHHH", source_port, destination_port, sequence, acknowledgment, (5 + len(options) // 4) << 4, flags,
                         window, 0, 0) + options
    return header[:16] + struct.pack("!H", transport_checksum(source, destination, TCP, header + data)) + header[18:] + data


def icmp_echo(identifier, sequence, data, kind=8):
    message = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + data
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def icmp6(source, destination, kind, code, body):
    message = struct.pack("!BBH", kind, code, 0) + body
    return message[:2] + struct.pack("!H", transport_checksum(source, destination, ICMP6, message)) + message[4:]


def arp(operation, sender_mac, sender, target_mac, target):
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, operation) + mac(sender_mac) + ipaddress.IPv4Address(sender).packed + \
        mac(target_mac) + ipaddress.IPv4Address(target).packed


def gre(flags, protocol, key, rest, after_key=b"", before_key=b""):
    return struct.pack("!HH", flags, protocol) + before_key + (struct.pack("!I", key) if key is not None else b"") + after_key + rest


def outer(gre_packet, source=PA1, destination=PA2, vlan=None, **fields):
    """Outer Ethernet and IP of host 1's frames to host 2."""
    if ":" in source:
        ethertype, packet = IPV6, ipv6(source, destination, GRE, gre_packet, hop_limit=128, **fields)
    else:
        ethertype = IPV4
        packet = ipv4(source, destination, GRE, gre_packet, **{"identification": 0x1A2B, "flags_offset": 0x4000, **fields})
    return tagged(HOST2_MAC, HOST1_MAC, [] if vlan is None else [(VLAN, vlan)], ethertype, packet)


def from_blue1(ethertype, payload, destination=BLUE2_MAC):
    return ethernet(destination, BLUE1_MAC, ethertype, payload)


def blue4(payload, protocol=UDP, **fields):
    return from_blue1(IPV4, ipv4(CA1, CA2, protocol, payload, **fields))


def blue6(payload, next_header=UDP, **fields):
    return from_blue1(IPV6, ipv6(CA1_6, CA2_6, next_header, payload, **fields))


def udp4(data=b"hnv", source_port=49152, destination_port=7):
    return udp(CA1, CA2, source_port, destination_port, data)


def udp6(data=b"hnv", source_port=49152, destination_port=7):
    return udp(CA1_6, CA2_6, source_port, destination_port, data)


# ---------------------------------------------------------------------------------------------------------------------
# Capture files


def pcap(frames, nano=False, big=False, snap=None):
    order = ">" if big else "<"
    out = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snap or 262144, 1)
    for index, (frame, _) in enumerate(frames):
        at = FIRST_NS + index * STEP_NS + (index if nano else 0)
        kept = frame[:snap] if snap else frame
        fraction = at % 1_000_000_000 if nano else at % 1_000_000_000 // 1000
        out += struct.pack(order + "IIII", at // 1_000_000_000, fraction, len(kept), len(frame)) + kept
    return out


def pcap_modified(frames):
    """The header of Alexey Kuznetzov's patched libpcap: eight more octets per record (interface, protocol, packet type)."""
    out = struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 262144, 1)
    for index, (frame, _) in enumerate(frames):
        at = FIRST_NS + index * STEP_NS
        out += struct.pack("<IIIIIHBB", at // 1_000_000_000, at % 1_000_000_000 // 1000, len(frame), len(frame), 1, IPV4, 0, 0) + frame
    return out


def padded(data):
    return data + bytes(-len(data) % 4)


def option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + padded(value)


def block(order, kind, body):
    length = 12 + len(body)
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


END = b"\0\0\0\0"


def section(order="<", comment=None):
    options = option(order, 1, comment.encode()) + END if comment else b""
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + options)


def interface(order="<", name="eth0", resolution=9, snap=0):
    """`resolution` is the value of if_tsresol: 10^-n seconds, or 2^-n with the high bit set."""
    options = option(order, 2, name.encode()) + option(order, 9, bytes([resolution])) + END
    return block(order, 1, struct.pack(order + "HHI", 1, 0, snap) + options)


def enhanced(order, interface_id, ticks, frame, comment=None, flags=None, original=None):
    options = b""
    if comment:
        options += option(order, 1, comment.encode())
    if flags is not None:
        options += option(order, 2, struct.pack(order + "I", flags))
    body = struct.pack(order + "IIIII", interface_id, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), original or len(frame))
    return block(order, 6, body + padded(frame) + (options + END if options else b""))


def pcapng(frames, about):
    """One section, one interface, nanoseconds, each frame with its comment."""
    out = section(comment=about) + interface(name="generated")
    for index, (frame, comment) in enumerate(frames):
        out += enhanced("<", 0, FIRST_NS + index * STEP_NS + index, frame, comment)
    return out


# ---------------------------------------------------------------------------------------------------------------------
# Files

FILES = {}


def file(name, seed=0):
    """Registers a maker: it takes a `Random` and gives the file's bytes. Seed 0: nothing in it is random."""
    def register(make):
        FILES[name] = (seed, make)
        return make
    return register


PING_DATA = b"abcdefghijklmnopqrstuvwabcdefghi"


def inner_a():
    return blue4(icmp_echo(1, 1, PING_DATA), ICMP, identification=1)


def inner_b(routed=False):
    packet = ipv4(CA1, CA3, UDP, udp(CA1, CA3, 0xC000, 5000, b"HNV-B"), ttl=127 if routed else 128, tos=2, identification=2,
                  flags_offset=0x4000)
    return ethernet(BLUE3_MAC, GATEWAY_5002, IPV4, packet) if routed else ethernet(GATEWAY_5001, BLUE1_MAC, IPV4, packet)


def inner_c():
    return blue6(udp6(b"HNV-C6", 0xC001, 5001))


def inner_d():
    options = bytes.fromhex("020405760103030801010402")  # MSS 1398, NOP, window scale 8, NOP, NOP, SACK permitted
    segment = tcp(CA1, CA2, 0xC002, 80, 2, sequence=0x11223344, window=0xFAF0, options=options)
    return blue4(segment, TCP, identification=3, flags_offset=0x4000)


def inner_g():
    packet = ipv4(CA1, "10.0.0.255", UDP, udp(CA1, "10.0.0.255", 0xC003, 9, b"HNV-G"), identification=4)
    return from_blue1(IPV4, packet, BROADCAST)


WORKED = {"a": inner_a, "b": inner_b, "c": inner_c, "d": inner_d, "g": inner_g}


def control_message(kind, code, gateway, target, identification, inner_identification):
    """REDIRECT and UNREACHABLE from host 2 for packet A, quoting it from its outer IP header on."""
    message = struct.pack("!BBH4s", kind, code, 0, ipaddress.IPv4Address(gateway).packed) + worked_wire()[0][0][14:]
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    packet = ipv4(PA2, target, ICMP, message, identification=inner_identification, flags_offset=0x4000)
    inside = gre(0x2000, TEB, 0x00138900, ethernet(HOST1_MAC, HOST2_MAC, IPV4, packet))
    return ethernet(HOST1_MAC, HOST2_MAC, IPV4, ipv4(PA2, PA1, GRE, inside, identification=identification, flags_offset=0x4000))


def worked_wire():
    """Wire frames of the worked packets A, A-vlan, B, C, D, D-vlan, G."""
    d = gre(0x2000, TEB, 0x001389BD, inner_d())
    return [
        (outer(gre(0x2000, TEB, KEY_A, inner_a())), "A: IPv4 in IPv4, echo request, VSID 5001, FlowID 0xa5"),
        (outer(gre(0x2000, TEB, KEY_A, inner_a()), vlan=0xA067), "A-vlan: as A with outer VLAN 103, PCP 5"),
        (outer(gre(0x2000, TEB, 0x00138A63, inner_b(True)), vlan=0x0067, identification=0x1A2C, tos=2),
         "B: routed into VSID 5002, outer VLAN 103, ECT(0) copied"),
        (outer(gre(0x2000, TEB, 0x00138946, inner_c()), identification=0x1A2D), "C: IPv6 in IPv4, UDP"),
        (outer(d, PA1_6, PA2_6, flow_label=0xCB735), "D: IPv4 in IPv6, TCP SYN, flow label 0xcb735"),
        (outer(d, PA1_6, PA2_6, flow_label=0xCB735, vlan=0x0067), "D-vlan: as D with outer VLAN 103"),
        (outer(gre(0x2000, TEB, 0x001389F6, inner_g()), identification=0x1A2E), "G: subnet broadcast, copy for host 2"),
    ]


for letter in WORKED:
    file("worked-%s-sent.pcap" % letter)(lambda _, letter=letter: pcap([(WORKED[letter](), "")]))


@file("worked-sent.pcapng")
def worked_sent(_):
    return pcapng([(make(), "packet %s as Blue1 sends it" % letter.upper()) for letter, make in WORKED.items()],
                  "Inner frames of the worked packets, before routing")


@file("worked-wire.pcapng")
def worked_wire_file(_):
    control = [
        (control_message(5, 10, "192.168.4.33", "192.168.4.33", 0x77, 1), "E: REDIRECT from host 2 for packet A; Blue2 is now at 192.168.4.33"),
        (control_message(3, 10, "0.0.0.0", PA1, 0x78, 2), "F: UNREACHABLE from host 2 for packet A"),
    ]
    return pcapng(worked_wire() + control, "The worked packets on the wire")


@file("layer2-tagged.pcapng", 0x7A66)
def layer2_tagged(random):
    payload = ipv4(CA1, CA2, UDP, udp4(random.data(20)))
    to = (BLUE2_MAC, BLUE1_MAC)
    return pcapng([
        (tagged(*to, [(VLAN, 0xA000)], IPV4, payload), "priority tag: VID 0, PCP 5"),
        (tagged(*to, [(VLAN, 0x0064)], IPV4, payload), "VID 100"),
        (tagged(*to, [(VLAN, 0x1FFF)], IPV4, payload), "VID 4095, DEI set"),
        (tagged(*to, [(VLAN, 0x0064)], IPV6, ipv6(CA1_6, CA2_6, UDP, udp6())), "VID 100, IPv6"),
        (tagged(*to, [(QINQ, 0x00C8), (VLAN, 0x0064)], IPV4, payload), "802.1ad: S-tag 200, C-tag 100"),
        (tagged(*to, [(0x9100, 0x00C8), (VLAN, 0x0064)], IPV4, payload), "old QinQ with TPID 0x9100"),
        (tagged(*to, [(VLAN, 0x0064), (VLAN, 0x0065)], IPV4, payload), "two C-tags"),
        (tagged(*to, [(VLAN, 0), (VLAN, 0x0064)], IPV4, payload), "priority tag before VID 100"),
        (tagged(*to, [(VLAN, n) for n in range(1, 9)], IPV4, payload), "eight tags"),
        (mac(BLUE2_MAC) + mac(BLUE1_MAC) + b"\x81\x00", "cut behind the TPID"),
        (mac(BLUE2_MAC) + mac(BLUE1_MAC) + b"\x81\x00\x00\x64", "cut behind the TCI: no EtherType"),
        (tagged(BROADCAST, BLUE1_MAC, [(VLAN, 0x0064)], ARP, arp(1, BLUE1_MAC, CA1, "00:00:00:00:00:00", CA2)), "ARP in VID 100"),
    ], "802.1Q and 802.1ad tags from a VM")


@file("layer2-control.pcapng", 0x11DF)
def layer2_control(random):
    def tlv(kind, value):
        return struct.pack("!H", kind << 9 | len(value)) + value
    lldp = tlv(1, b"\4" + mac(BLUE1_MAC)) + tlv(2, b"\3" + mac(BLUE1_MAC)) + tlv(3, struct.pack("!H", 120)) + tlv(5, b"Blue1") + tlv(0, b"")
    bridge = struct.pack("!H6s", 0x8000, mac(BLUE1_MAC))
    stp = b"\x42\x42\x03" + struct.pack("!HBBB8sI8sHHHHH", 0, 0, 0, 0, bridge, 0, bridge, 0x8001, 0, 20 << 8, 2 << 8, 15 << 8)
    lacp = b"\1\1" + b"\1\x14" + struct.pack("!H6sHHHB3x", 0x8000, mac(BLUE1_MAC), 1, 0xFF, 1, 0x3D) + \
        b"\2\x14" + bytes(18) + b"\3\x10" + struct.pack("!H12x", 0) + bytes(52)
    zero = "00:00:00:00:00:00"
    return pcapng([
        (ethernet("01:80:c2:00:00:0e", BLUE1_MAC, LLDP, lldp), "LLDP"),
        (ethernet("01:80:c2:00:00:00", BLUE1_MAC, len(stp), stp + bytes(46 - len(stp))), "STP in 802.2 LLC, padded to 60"),
        (ethernet("01:80:c2:00:00:02", BLUE1_MAC, 0x8809, lacp), "LACP"),
        (ethernet("01:80:c2:00:00:01", BLUE1_MAC, 0x8808, b"\0\1\xff\xff" + bytes(42)), "PAUSE"),
        (ethernet(BROADCAST, BLUE1_MAC, ARP, arp(1, BLUE1_MAC, CA1, zero, CA2)), "ARP request for Blue2"),
        (ethernet(BROADCAST, BLUE1_MAC, ARP, arp(1, BLUE1_MAC, CA1, zero, "10.0.0.1")), "ARP request for the gateway"),
        (ethernet(BROADCAST, BLUE1_MAC, ARP, arp(1, BLUE1_MAC, "0.0.0.0", zero, CA1)), "ARP probe"),
        (ethernet(BROADCAST, BLUE1_MAC, ARP, arp(1, BLUE1_MAC, CA1, zero, CA1)), "gratuitous ARP"),
        (from_blue1(ARP, arp(2, BLUE1_MAC, CA1, BLUE2_MAC, CA2)), "ARP reply"),
        (from_blue1(ARP, arp(2, BLUE1_MAC, CA2, BLUE2_MAC, CA2)), "ARP reply that claims Blue2's address"),
        (from_blue1(ARP, arp(1, BLUE1_MAC, CA1, zero, CA2)[:20]), "ARP cut short"),
        (ethernet(BROADCAST, BLUE1_MAC, 0x0842, b"\xff" * 6 + mac(BLUE2_MAC) * 16), "wake on LAN"),
        (from_blue1(0x88B5, random.data(46)), "local experimental EtherType"),
        (from_blue1(0x8847, b"\0\1\x01\x40" + ipv4(CA1, CA2, UDP, udp4())), "MPLS"),
        (from_blue1(0x8863, b"\x11\x09\0\0\0\4\1\1\0\0"), "PPPoE discovery"),
        (from_blue1(IPV4, b""), "14 octets: an Ethernet header and nothing else"),
        (from_blue1(IPV4, b"")[:13], "13 octets: less than an Ethernet header"),
        (ethernet(BLUE2_MAC, "01:00:00:00:00:05", IPV4, ipv4(CA1, CA2, UDP, udp4())), "group address as source MAC"),
        (ethernet(BLUE2_MAC, zero, IPV4, ipv4(CA1, CA2, UDP, udp4())), "zero as source MAC"),
        (ethernet(zero, BLUE1_MAC, IPV4, ipv4(CA1, CA2, UDP, udp4())), "zero as destination MAC"),
        (ethernet(BLUE2_MAC, RED1_MAC, IPV4, ipv4(CA1, CA2, UDP, udp4())), "Red1's MAC as source: spoofing"),
        (blue4(udp4()) + bytes(60 - len(blue4(udp4()))), "padded to 60 octets behind the IP packet"),
    ], "Frames without IP, reserved addresses, odd lengths, from Blue1's port")


@file("ipv4-malformed.pcapng", 0x0401)
def ipv4_malformed(random):
    data = udp4(random.data(12))
    whole = blue4(data)
    return pcapng([
        (blue4(data, version=5), "version 5"),
        (blue4(data, version=6), "version 6 under EtherType 0x0800"),
        (blue4(data, version=0), "version 0"),
        (blue4(data, ihl=4), "IHL 4"),
        (blue4(data, ihl=0), "IHL 0"),
        (blue4(data, ihl=15), "IHL 15: the header is longer than the packet"),
        (blue4(data, length=19), "total length 19, less than the header"),
        (blue4(data, length=0), "total length 0"),
        (blue4(data, length=len(whole) - 14 + 1), "total length one more than there is"),
        (blue4(data, length=65535), "total length 65535"),
        (blue4(data, checksum=0xBEEF), "wrong header checksum"),
        (whole[:14 + 19], "cut to 19 octets of header"),
        (whole[:14 + 1], "one octet of header"),
        (blue4(data, ttl=0), "TTL 0"),
        (blue4(data, ttl=1), "TTL 1"),
        (blue4(data, flags_offset=0x8000), "the reserved flag set"),
        (blue4(data, flags_offset=0x6000), "DF and MF set"),
        (blue4(data, flags_offset=0x1FFF), "fragment at the last offset: beyond 65535 octets"),
        (from_blue1(IPV4, ipv4("127.0.0.1", CA2, UDP, data)), "source loopback"),
        (from_blue1(IPV4, ipv4("255.255.255.255", CA2, UDP, data)), "source broadcast"),
        (from_blue1(IPV4, ipv4("224.0.0.1", CA2, UDP, data)), "source multicast"),
        (from_blue1(IPV4, ipv4(CA1, CA1, UDP, data)), "source and destination alike (LAND)"),
        (from_blue1(IPV4, ipv4("10.0.0.66", CA2, UDP, data)), "source that Blue1 does not own"),
        (from_blue1(IPV4, ipv4(CA1, "0.0.0.0", UDP, data)), "destination 0.0.0.0"),
        (from_blue1(IPV4, ipv4(CA1, "203.0.113.1", UDP, data), GATEWAY_5001), "destination without a route"),
    ], "IPv4 headers that are wrong or odd, from Blue1's port")


@file("ipv4-options.pcapng", 0x0402)
def ipv4_options(random):
    data = udp4(random.data(16))

    def address(text):
        return ipaddress.IPv4Address(text).packed
    cases = [
        ("01010100", "three NOPs and end of list"),
        ("94040000", "router alert"),
        ("070704" + "00000000" + "00", "record route, one empty place"),
        ("44080500" + "00000000", "timestamp"),
        ("830704" + address(CA3).hex() + "00", "loose source route through Blue3"),
        ("890704" + address(CA3).hex() + "00", "strict source route through Blue3"),
        ("86060000000101" + "00", "CIPSO-like, 6 octets"),
        ("01" * 40, "40 octets of NOP: the longest header"),
        ("07ff0400", "record route whose length runs over the header"),
        ("07000400", "record route of length 0"),
        ("07010400", "record route of length 1"),
    ]
    return pcapng([(blue4(data, options=bytes.fromhex(text)), comment) for text, comment in cases], "IPv4 with options")


def fragment_header(next_header, offset, more, identification):
    return struct.pack("!BBHI", next_header, 0, offset << 3 | more, identification)


def options_header(next_header, body=b"\1\4\0\0\0\0"):
    """Hop-by-hop or destination options; the body must fill whole units of eight octets with the first two."""
    return bytes([next_header, (len(body) + 2) // 8 - 1]) + body


@file("ipv6-extensions.pcapng", 0x0600)
def ipv6_extensions(random):
    data = udp6(random.data(24))
    routing0 = bytes([60, 2, 0, 1, 0, 0, 0, 0]) + ipaddress.IPv6Address(CA2_6).packed
    routing_done = bytes([17, 2, 2, 0, 0, 0, 0, 0]) + ipaddress.IPv6Address(CA2_6).packed
    segment = bytes([17, 2, 4, 0, 0, 0, 0, 0]) + ipaddress.IPv6Address(CA2_6).packed
    return pcapng([
        (blue6(options_header(17) + data, 0), "hop-by-hop"),
        (blue6(options_header(17, b"\5\2\0\0\1\0") + data, 0), "hop-by-hop with router alert"),
        (blue6(options_header(17) + data, 60), "destination options"),
        (blue6(routing_done + data, 43), "routing type 2, no segments left"),
        (blue6(segment + data, 43), "segment routing header, no segments left"),
        (blue6(routing0 + options_header(17) + data, 43), "routing type 0 with a segment left, then destination options"),
        (blue6(options_header(60) + options_header(43) + routing_done + data, 0), "hop-by-hop, destination options, routing, UDP"),
        (blue6(options_header(17, b"\1\xfc" + bytes(252)) + data, 60), "destination options of 256 octets"),
        (blue6(b"".join(options_header(60) for _ in range(9)) + options_header(17) + data, 60), "ten headers of destination options"),
        (blue6(fragment_header(17, 0, 0, 0x1111) + data, 44), "atomic fragment"),
        (blue6(fragment_header(17, 0, 1, 0x2222) + data, 44), "first fragment"),
        (blue6(fragment_header(17, 4, 0, 0x2222) + random.data(20), 44), "last fragment"),
        (blue6(options_header(44) + fragment_header(17, 0, 1, 0x3333) + data, 0), "hop-by-hop, then a first fragment"),
        (blue6(bytes([17, 4]) + bytes(2) + struct.pack("!II", 1, 1) + random.data(12) + data, 51), "authentication header"),
        (blue6(struct.pack("!II", 1, 1) + random.data(40), 50), "ESP"),
        (blue6(b"", 59), "no next header"),
        (blue6(random.data(16), 59), "no next header, octets behind it"),
        (blue6(bytes([59, 0, 5, 0]) + bytes(4), 135), "mobility"),
        (blue6(random.data(16), 253), "experimental protocol 253"),
        (blue6(options_header(0) + options_header(17) + data, 60), "hop-by-hop that is not first"),
        (blue6(bytes([17, 255]) + bytes(6), 0), "hop-by-hop longer than the packet"),
        (blue6(bytes([17]), 0), "extension header of one octet"),
        (blue6(fragment_header(17, 0, 1, 1)[:6], 44), "fragment header cut short"),
        (blue6(options_header(17), 0), "hop-by-hop, then UDP of no octets"),
        (blue6(data, version=4), "version 4 under EtherType 0x86dd"),
        (blue6(data, length=len(data) + 1), "payload length one more than there is"),
        (blue6(data, length=0), "payload length 0 without jumbo option"),
        (blue6(data, length=65535), "payload length 65535"),
        (blue6(data)[:14 + 39], "cut to 39 octets of header"),
        (blue6(data, hop_limit=0), "hop limit 0"),
        (from_blue1(IPV6, ipv6("::", CA2_6, UDP, data)), "source unspecified"),
        (from_blue1(IPV6, ipv6("ff02::1", CA2_6, UDP, data)), "source multicast"),
        (from_blue1(IPV6, ipv6("::1", CA2_6, UDP, data)), "source loopback"),
        (from_blue1(IPV6, ipv6("::ffff:10.0.0.5", CA2_6, UDP, data)), "IPv4-mapped source"),
    ], "IPv6 extension header chains and wrong IPv6 headers, from Blue1's port")


@file("transport-truncated.pcapng", 0x7200)
def transport_truncated(random):
    segment = tcp(CA1, CA2, 49152, 80, 0x18, random.data(10))
    echo = icmp_echo(7, 7, random.data(8))
    cases = []
    for length in (0, 1, 3, 4, 13, 19):
        cases.append((blue4(segment[:length], TCP), "TCP cut to %d octets" % length))
    for length in (0, 2, 4, 7):
        cases.append((blue4(udp4()[:length]), "UDP cut to %d octets" % length))
        cases.append((blue6(udp6()[:length]), "UDP over IPv6 cut to %d octets" % length))
    for length in (0, 1, 4, 7):
        cases.append((blue4(echo[:length], ICMP), "ICMP cut to %d octets" % length))
    neighbour = icmp6(CA1_6, CA2_6, 135, 0, bytes(4) + ipaddress.IPv6Address(CA2_6).packed)
    for length in (0, 3, 8, 23):
        cases.append((blue6(neighbour[:length], ICMP6, hop_limit=255), "neighbor solicitation cut to %d octets" % length))
    good = udp4(random.data(20))
    cases += [
        (blue4(good[:4] + struct.pack("!H", 7) + good[6:]), "UDP length 7"),
        (blue4(good[:4] + struct.pack("!H", 500) + good[6:]), "UDP length more than the packet"),
        (blue4(good[:6] + b"\0\0" + good[8:]), "UDP without a checksum"),
        (blue6(udp6()[:6] + b"\0\0" + udp6()[8:]), "UDP over IPv6 without a checksum"),
        (blue4(good[:6] + b"\x12\x34" + good[8:]), "UDP with a wrong checksum"),
        (blue4(segment[:12] + b"\x40" + segment[13:], TCP), "TCP data offset 4"),
        (blue4(segment[:12] + b"\xf0" + segment[13:], TCP), "TCP data offset 15, beyond the packet"),
        (blue4(tcp(CA1, CA2, 49152, 80, 0), TCP), "TCP without flags"),
        (blue4(tcp(CA1, CA2, 49152, 80, 0xFF), TCP), "TCP with every flag"),
        (blue4(tcp(CA1, CA2, 0, 0, 2), TCP), "TCP with ports 0"),
        (blue4(b"", 255), "protocol 255, no payload"),
        (blue4(random.data(32), 132), "SCTP's number, random octets"),
        (blue4(gre(0x2000, TEB, 0x00177100, inner_a()), GRE), "a VM's own GRE: key of another tenant inside"),
    ]
    return pcapng(cases, "Transport headers cut short or wrong, from Blue1's port")


@file("fragments.pcapng", 0xF4A6)
def fragments(random):
    datagram = udp4(random.data(192))

    def piece(start, end, identification, **fields):
        more = 0x2000 if end < len(datagram) else 0
        return blue4(datagram[start:end], identification=identification, flags_offset=more | start // 8, **fields)
    pieces = [piece(0, 80, 1), piece(80, 160, 1), piece(160, 200, 1)]
    six = udp6(random.data(192))

    def piece6(start, end, identification):
        return blue6(fragment_header(17, start // 8, int(end < len(six)), identification) + six[start:end], 44)
    return pcapng(
        [(each, "IPv4, in order, part %d of 3" % (n + 1)) for n, each in enumerate(pieces)]
        + [(piece(160, 200, 2), "IPv4, last part first"), (piece(80, 160, 2), "IPv4, middle"), (piece(0, 80, 2), "IPv4, first part last")]
        + [(piece(0, 8, 3), "IPv4, tiny first fragment: eight octets, the ports and no more"),
           (piece(0, 80, 4), "IPv4, overlap: 0-79"), (piece(40, 160, 4), "IPv4, overlap: 40-159"),
           (piece(0, 80, 5), "IPv4, first fragment alone"),
           (piece(0, 80, 6, tos=3), "IPv4, first fragment with CE"), (piece(80, 200, 6, tos=2), "IPv4, second with ECT(0)")]
        + [(piece6(a, b, 9), "IPv6, in order") for a, b in ((0, 80), (80, 160), (160, 200))]
        + [(piece6(a, b, 10), "IPv6, out of order") for a, b in ((160, 200), (0, 80), (80, 160))],
        "IP fragments that Blue1 sends")


@file("gre-variants.pcapng", 0x0047)
def gre_variants(random):
    """GRE in all forms that share protocol 47, from host 1 to host 2; `pass` = not ours, left to others."""
    inner, packet = inner_a(), inner_a()[14:]

    def summed(flags, key):
        before = gre(flags, TEB, key, inner, before_key=bytes(4))
        return gre(flags, TEB, key, inner, before_key=struct.pack("!HH", checksum(before), 0))
    pptp = struct.pack("!HHHHI", 0x3001, 0x880B, 4, 0x1234, 1) + b"\xff\x03\xc0\x21"
    erspan = struct.pack("!HHI", 0x1000, 0x88BE, 5) + struct.pack("!HHI", 0x1001, 0x0001, 0) + inner
    return pcapng([
        (outer(gre(0x2000, TEB, KEY_A, inner)), "NVGRE: accept"),
        (outer(gre(0x0000, TEB, None, inner)), "EoGRE without key: drop RX_GRE_NO_KEY"),
        (outer(summed(0xA000, KEY_A)), "EoGRE with checksum: strict drop RX_GRE_FLAGS, lenient accept"),
        (outer(gre(0x3000, TEB, KEY_A, inner, after_key=struct.pack("!I", 7))), "EoGRE with sequence: strict drop RX_GRE_FLAGS, lenient accept"),
        (outer(gre(0xB000, TEB, KEY_A, inner, before_key=bytes(4), after_key=struct.pack("!I", 8))),
         "EoGRE with checksum (wrong) and sequence: drop RX_GRE_FLAGS, lenient RX_GRE_CSUM"),
        (outer(summed(0x8000, None)), "EoGRE with checksum and no key: drop RX_GRE_NO_KEY"),
        (outer(gre(0x0000, IPV4, None, packet)), "IPv4 in GRE: pass"),
        (outer(gre(0x2000, IPV4, 5, packet)), "IPv4 in GRE with key: pass"),
        (outer(gre(0x0000, IPV6, None, inner_c()[14:])), "IPv6 in GRE: pass"),
        (outer(gre(0x0000, 0x0000, None, b"")), "GRE keepalive: pass"),
        (outer(pptp), "PPTP, version 1: pass"),
        (outer(erspan), "ERSPAN II: pass"),
        (outer(gre(0x1000, 0x22EB, None, random.data(24), after_key=struct.pack("!I", 6))), "ERSPAN III, random body: pass"),
        (outer(gre(0x0000, 0x883E, None, packet)), "WCCP: pass"),
        (outer(gre(0x0000, 0x2001, None, random.data(20))), "NHRP, random body: pass"),
        (outer(gre(0x0000, 0x8847, None, b"\0\1\x01\x40" + packet)), "MPLS in GRE: pass"),
        (outer(gre(0x4000, TEB, None, bytes(8) + inner)), "RFC 1701 routing, Ethernet: drop RX_GRE_FLAGS"),
        (outer(gre(0x4000, IPV4, None, bytes(8) + packet)), "RFC 1701 routing, IPv4: pass"),
        (outer(b"\x20\x00\x65"), "three octets of GRE: drop RX_GRE_SHORT"),
        (outer(gre(0x2000, TEB, KEY_A, b"")[:6]), "key cut short: drop RX_INNER_SHORT"),
        (outer(gre(0x2000, TEB, KEY_A, inner[:13])), "inner frame of 13 octets: drop RX_INNER_SHORT"),
        (outer(gre(0x2000, TEB, KEY_A, inner), PA1_6, PA2_6), "NVGRE over IPv6: accept where the host has that PA"),
        (ethernet(HOST2_MAC, HOST1_MAC, IPV4, ipv4(PA1, PA2, UDP, udp(PA1, PA2, 50000, 4754, gre(0x2000, TEB, KEY_A, inner)))),
         "GRE in UDP: pass"),
        (ethernet(HOST2_MAC, HOST1_MAC, IPV4, ipv4(PA1, PA2, UDP, udp(PA1, PA2, 50000, 4789, b"\x08\0\0\0\0\x13\x89\0" + inner))),
         "VXLAN: pass"),
    ], "Forms of GRE on protocol 47")


def negative_vectors():
    """(name, change, frame, strict outcome, lenient outcome); an outcome is (action, reason)."""
    inner = inner_a()
    good = gre(0x2000, TEB, KEY_A, inner)
    accept, a = ("accept", None), outer(good)

    def drop(reason):
        return ("drop", reason)

    def keyed(flags, protocol=TEB, key=KEY_A, rest=inner, **more):
        return outer(gre(flags, protocol, key, rest, **more))

    with_zero = gre(0xA000, TEB, KEY_A, inner, before_key=bytes(4))
    right_sum = struct.pack("!HH", checksum(with_zero), 0)
    wrong_sum = struct.pack("!HH", checksum(with_zero) ^ 0x0101, 0)
    vector = [
        ("N1", "no key", keyed(0x0000, key=None), drop("RX_GRE_NO_KEY")),
        ("N2", "sequence number present", keyed(0x3000, after_key=struct.pack("!I", 1)), drop("RX_GRE_FLAGS"), accept),
        ("N3", "checksum present and right", keyed(0xA000, before_key=right_sum), drop("RX_GRE_FLAGS"), accept),
        ("N3-wrong", "checksum present and wrong", keyed(0xA000, before_key=wrong_sum), drop("RX_GRE_FLAGS"), drop("RX_GRE_CSUM")),
        ("N4", "routing bit", keyed(0x6000), drop("RX_GRE_FLAGS")),
        ("N5", "version 1", keyed(0x2001), ("pass", "RX_GRE_VERSION")),
        ("N6", "protocol 0x0800", keyed(0x2000, IPV4), ("pass", "RX_GRE_PROTO")),
        ("N7", "VSID 4095", keyed(0x2000, key=0x000FFFA5), drop("RX_VSID_RESERVED")),
        ("N8", "VSID 0xFFFFFF", keyed(0x2000, key=0xFFFFFFA5), drop("RX_VSID_VENDOR")),
        ("N9", "VSID 4096, not configured", keyed(0x2000, key=0x001000A5), drop("RX_VSID_UNKNOWN")),
        ("N10", "inner 802.1Q tag", keyed(0x2000, rest=inner[:12] + b"\x81\x00\x00\x05" + inner[12:]), drop("RX_INNER_VLAN")),
        ("N11", "outer checksum wrong", a[:0x18] + b"\x57" + a[0x19:], drop("RX_IP_CSUM")),
        ("N12", "outer packet is a fragment: MF set", outer(good, flags_offset=0x2000), drop("RX_OUTER_FRAGMENT")),
        ("N13", "outer CE over inner Not-ECT", outer(good, tos=3), drop("RX_ECN")),
        ("N14", "outer source that no record names", outer(good, source="192.168.4.99"), drop("RX_SRC_POLICY")),
        ("N15", "inner Ethernet header and no IP", keyed(0x2000, rest=inner[:14]), drop("RX_INNER_IP_MALFORMED")),
        ("N16", "ten octets of padding behind the IP packet", a + bytes(10), accept),
        ("N17-00", "FlowID 0x00", keyed(0x2000, key=0x00138900), accept),
        ("N17-5a", "FlowID 0x5a", keyed(0x2000, key=0x0013895A), accept),
        ("N17-ff", "FlowID 0xff", keyed(0x2000, key=0x001389FF), accept),
        ("N18", "a low bit of Reserved0", keyed(0x2008), accept),
        ("N19", "bit 4, strict source route", keyed(0x2800), drop("RX_GRE_FLAGS")),
    ]
    return [(each[0], each[1], each[2], each[3], each[4] if len(each) > 4 else each[3]) for each in vector]


@file("negative-vectors.pcap")
def negative_vectors_file(_):
    return pcap([(frame, "") for _, _, frame, _, _ in negative_vectors()], nano=True)


@file("negative-vectors.json")
def negative_vectors_json(_):
    def outcome(pair):
        return {"action": pair[0], "reason": pair[1]}
    rows = [{"frame": index + 1, "name": name, "change": change, "strict": outcome(strict), "lenient": outcome(lenient)}
            for index, (name, change, _, strict, lenient) in enumerate(negative_vectors())]
    about = {
        "about": "Packet A with one change each, as it reaches host2/nic1 of examples/two-tenants.yaml. accept: Blue2 gets "
                 "innerFrame unchanged; pass: not ours, counted under the reason; drop: counted under the reason.",
        "capture": "negative-vectors.pcap",
        "innerFrame": inner_a().hex(),
        "vectors": rows,
    }
    return (json.dumps(about, indent=2) + "\n").encode()


def mixed(random, count, source_mac, peers):
    """`count` frames of some 60 flows: UDP, TCP, echo; `peers` are (destination MAC, source, destination)."""
    flows = []
    for number in range(60):
        peer_mac, source, destination = random.choose(peers)
        flows.append((random.choose([TCP, TCP, UDP, UDP, ICMP]), peer_mac, source, destination, 32768 + random.below(28000),
                      random.choose([22, 53, 80, 443, 3389, 5000]), number))
    out = []
    for number in range(count):
        protocol, peer_mac, source, destination, port, service, flow = random.choose(flows)
        data = random.data(random.choose([0, 1, 8, 20, 20, 40, 64, 64, 90, 150] if number % 200 else [1400]))
        six = ":" in source
        tos = random.choose([0, 0, 0, 0x02, 0x01, 0x03, 0xB8, 0x28])
        if protocol == TCP:
            payload = tcp(source, destination, port, service, 0x18 if data else 0x10, data, random.next(), random.next())
        elif protocol == UDP:
            payload = udp(source, destination, port, service, data)
        elif six:
            protocol, payload = ICMP6, icmp6(source, destination, 128, 0, struct.pack("!HH", flow, number & 0xFFFF) + data)
        else:
            payload = icmp_echo(flow, number & 0xFFFF, data)
        if six:
            packet = ipv6(source, destination, protocol, payload, 64, tos, 1 + flow)
        else:
            packet = ipv4(source, destination, protocol, payload, random.choose([64, 128, 255]), tos, number & 0xFFFF,
                          random.choose([0, 0x4000]))
        out.append((ethernet(peer_mac, source_mac, IPV6 if six else IPV4, packet), ""))
    return out


@file("mixed-blue1-sent.pcap", 0xB10E)
def mixed_blue1(random):
    peers = [(BLUE2_MAC, CA1, CA2), (BLUE2_MAC, CA1, CA2), (GATEWAY_5001, CA1, CA3), (BLUE2_MAC, CA1_6, CA2_6)]
    return pcap(mixed(random, 1000, BLUE1_MAC, peers))


@file("mixed-red1-sent.pcap", 0x4ED1)
def mixed_red1(random):
    return pcap(mixed(random, 1000, RED1_MAC, [(RED2_MAC, CA1, CA2)]), nano=True)


def some_frames():
    return [(make(), "packet %s" % letter.upper()) for letter, make in WORKED.items()]


@file("format-big-endian.pcap")
def format_big_endian(_):
    return pcap(some_frames(), big=True)


@file("format-big-endian-nano.pcap")
def format_big_endian_nano(_):
    return pcap(some_frames(), nano=True, big=True)


@file("format-modified.pcap")
def format_modified(_):
    return pcap_modified(some_frames())


@file("format-snapped.pcap")
def format_snapped(_):
    return pcap(some_frames(), snap=48)


@file("format-empty.pcap")
def format_empty(_):
    return pcap([])


@file("format-big-endian.pcapng")
def format_big_endian_ng(_):
    out = section(">", "big-endian") + interface(">", "big", 6)
    for index, (frame, comment) in enumerate(some_frames()):
        out += enhanced(">", 0, FIRST_NS // 1000 + index * STEP_NS // 1000, frame, comment)
    return out


@file("format-blocks.pcapng")
def format_blocks(_):
    """Three sections, each block type that holds packets, resolutions of both kinds, blocks that nobody knows."""
    frames = [frame for frame, _ in some_frames()]

    def binary(ns, bits):
        return ns // 1_000_000_000 << bits | (ns % 1_000_000_000 << bits) // 1_000_000_000
    # 1. Little-endian: four interfaces with four resolutions, direction flags, a comment in UTF-8.
    out = section("<", "first section, little-endian")
    for name, resolution in (("micro", 6), ("nano", 9), ("binary", 0x80 | 20), ("milli", 3)):
        out += interface("<", name, resolution)
    out += enhanced("<", 0, FIRST_NS // 1000, frames[0], "microseconds; größer als ASCII", 1)
    out += enhanced("<", 1, FIRST_NS + 1, frames[1], "nanoseconds", 2)
    out += enhanced("<", 2, binary(FIRST_NS + 500_000_000, 20), frames[2], "units of 2^-20 s")
    out += enhanced("<", 3, FIRST_NS // 1_000_000 + 2, frames[3], "milliseconds")
    # 2. A name resolution block, a custom block (private enterprise number 32473 is kept for examples), an unknown block.
    record = struct.pack("<HH", 1, 10) + padded(ipaddress.IPv4Address(CA2).packed + b"Blue2\0")
    out += block("<", 4, record + END)
    out += block("<", 0xBAD, struct.pack("<I", 32473) + b"hnv!")
    out += block("<", 0x7FFF1234, b"nobody knows this block.")
    # 3. The obsolete packet block: interface, drop count, then as an enhanced packet.
    out += block("<", 2, struct.pack("<HHIIII", 1, 0xFFFF, (FIRST_NS + 3) >> 32, (FIRST_NS + 3) & 0xFFFFFFFF, len(frames[4]), len(frames[4]))
                 + padded(frames[4]))
    # 4. Interface statistics.
    out += block("<", 5, struct.pack("<III", 0, 0, 0) + option("<", 4, struct.pack("<Q", 1)) + END)
    # 5. Big-endian section with simple packets: no time, length cut by the interface's snap length.
    out += section(">", "second section, big-endian") + interface(">", "simple", 6, 64)
    out += block(">", 3, struct.pack(">I", len(frames[1])) + padded(frames[1]))
    out += block(">", 3, struct.pack(">I", len(frames[0])) + padded(frames[0][:64]))
    # 6. A section without packets.
    out += section("<", "third section, empty")
    return out


# ---------------------------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description="Generates the captures in pcaps/ that no ordinary stack would send.")
    parser.add_argument("--out", default=PCAPS)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if not arguments.list:
        os.makedirs(arguments.out, exist_ok=True)
    for name, (seed, make) in FILES.items():
        if not arguments.list:
            data = make(Random(seed))
            with open(os.path.join(arguments.out, name), "wb") as out:
                out.write(data)
        print("%-30s %s" % (name, "seed 0x%04x" % seed if seed else "nothing random"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
