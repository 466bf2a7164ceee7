"""Makes captures for the tests in the folder of the first argument: frames by scapy, files by scapy and by struct.

frames.hex holds the frames, one line each: IPv4, IPv6, ARP, LLDP, a runt, a jumbo.
"""
import struct
import sys

from scapy.all import ARP, ICMP, IP, TCP, UDP, Ether, IPv6, PcapNgWriter, wrpcap

folder = sys.argv[1]
mac = dict(src="06:06:00:00:00:05", dst="06:06:00:00:00:07")
frames = [
    Ether(**mac)/IP(src="10.0.0.5", dst="10.0.0.7", id=1)/UDP(sport=4000, dport=53)/b"abc",
    Ether(**mac)/IP(src="10.0.0.5", dst="10.0.0.7", id=2)/TCP(sport=4001, dport=80, flags="S"),
    Ether(**mac)/IPv6(src="fd00:10::5", dst="fd00:10::7")/UDP(sport=1, dport=2)/(b"x" * 700),
    Ether(src=mac["src"], dst="ff:ff:ff:ff:ff:ff")/ARP(psrc="10.0.0.5", pdst="10.0.0.7"),
    Ether(src=mac["src"], dst="01:80:c2:00:00:0e", type=0x88cc)/b"\x02\x07\x04\x06\x06\x00\x00\x00\x05",
    Ether(**mac),
    Ether(**mac)/IP(src="10.0.0.5", dst="10.0.0.7", id=3)/UDP(sport=5, dport=6)/(b"j" * 8900),
    Ether(**mac)/IP(src="10.0.0.5", dst="10.0.0.7", id=4)/ICMP()/(b"p" * 1001),
]
raw = [bytes(frame) for frame in frames]
times = [1700000000.000001, 1700000000.25, 1700000001.5, 1700000001.499999, 1700000002.0, 1700000003.125, 1700000003.125, 1700000004.999999]
with open(folder + "/frames.hex", "w") as out:
    for data in raw: out.write(data.hex() + "\n")

# Captures that no installed tool writes: other byte orders, headers, resolutions and blocks.
def times_in(unit): return [(int(t), round((t - int(t)) * unit)) for t in times]
def classic(name, order, magic, unit, extra=b"", snaplen=262144):
    with open(folder + "/" + name, "wb") as out:
        out.write(struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, 1))
        for (sec, frac), data in zip(times_in(unit), raw):
            out.write(struct.pack(order + "IIII", sec, frac, len(data), len(data)) + extra + data)
classic("big-micro.pcap", ">", 0xa1b2c3d4, 10**6)
classic("big-nano.pcap", ">", 0xa1b23c4d, 10**9)
classic("little-nano.pcap", "<", 0xa1b23c4d, 10**9)
classic("modified-big.pcap", ">", 0xa1b2cd34, 10**6, struct.pack(">IHBB", 7, 0x0800, 2, 0))
classic("snaplen.pcap", "<", 0xa1b2c3d4, 10**6, snaplen=9014)

def pad(data): return data + bytes(-len(data) % 4)
def option(order, code, data): return struct.pack(order + "HH", code, len(data)) + pad(data)
def block(order, kind, body): return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)
def shb(order, length=-1, options=b""): return block(order, 0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, length) + options)
def idb(order, options=b"", snaplen=0, link=1): return block(order, 1, struct.pack(order + "HHI", link, 0, snaplen) + options)
def epb(order, face, time, data, options=b""):
    return block(order, 6, struct.pack(order + "IIIII", face, time >> 32, time & 0xffffffff, len(data), len(data)) + pad(data) + options)
def obsolete(order, face, time, data, options=b""):
    return block(order, 2, struct.pack(order + "HHIIII", face, 3, time >> 32, time & 0xffffffff, len(data), len(data)) + pad(data) + options)
def simple(order, data): return block(order, 3, struct.pack(order + "I", len(data)) + pad(data))

for order, name in ((">", "big"), ("<", "little")):
    end = option(order, 0, b"")
    resolution = lambda value: option(order, 9, bytes([value]))
    body = idb(order, option(order, 2, b"eth-micro") + end)
    body += idb(order, resolution(9) + end)
    body += idb(order, resolution(0x80 | 20) + end, snaplen=9014)
    body += idb(order, resolution(10) + option(order, 14, struct.pack(order + "q", -3600)) + end)
    body += block(order, 4, struct.pack(order + "HH", 1, 14) + pad(bytes([10, 0, 0, 5]) + b"blue.test\0") + struct.pack(order + "HH", 0, 0))
    comment = option(order, 1, b"first of its kind") + option(order, 1, b"second")
    body += epb(order, 0, int(times[0] * 10**6), raw[0], comment + option(order, 2, struct.pack(order + "I", 1)) + end)
    body += epb(order, 1, 1700000000250000001, raw[1])
    body += block(order, 0x0000abcd, b"an unknown block")
    body += epb(order, 2, int(1700000001.5 * 2**20), raw[2])
    body += epb(order, 3, (1700000001 + 3600) * 10**10 + 4999990000, raw[3])
    body += obsolete(order, 0, int(times[4] * 10**6), raw[4], option(order, 1, b"an old one") + end)
    body += simple(order, raw[5]) + simple(order, raw[7])
    body += block(order, 5, struct.pack(order + "III", 0, 0, 0) + option(order, 4, struct.pack(order + "Q", 8)) + end)
    section = shb(order, len(body), option(order, 4, b"a test") + end) + body
    other = ">" if order == "<" else "<"
    second = shb(other) + idb(other) + epb(other, 0, int(times[6] * 10**6), raw[6]) + block(other, 0x80000abc, b"")
    with open(folder + "/blocks-" + name + ".pcapng", "wb") as out: out.write(section + second)

wrpcap(folder + "/scapy.pcap", [Ether(data) for data in raw])
writer = PcapNgWriter(folder + "/scapy.pcapng")
for data, time in zip(raw, times):
    packet = Ether(data); packet.time = time; writer.write(packet)
writer.close()
