#!/usr/bin/env python3
"""Records real traffic between network namespaces into pcaps/, as seen at the virtual NIC of Blue1.

Needs Linux, root, and Debian's iproute2, ethtool, tcpdump, iputils-ping, iperf3, dnsmasq-base, isc-dhcp-client; for the
`ovs-*` captures also openvswitch-switch. All traffic stays inside namespaces named hnv-cap-*, which are removed at the end,
however it ends. No package beyond Python's own is used.

      hnv-cap-blue1          hnv-cap-net             hnv-cap-blue2
      10.0.0.5      ---- br0 10.0.0.1 (router) ----  10.0.0.7
      fd00:10::5         fd00:10::1                  fd00:10::7
                         r3 10.0.1.1, fd00:11::1
                              |
                         hnv-cap-blue3  10.0.1.9, fd00:11::9

Addresses and MACs are those of the Blue tenant of examples/two-tenants.yaml, so that what Blue1 sent here can be given to
`host1/Blue1` there. (fd00:11::/64 is not in that lab: IPv6 routed traffic shows a real router's Packet Too Big.)

    record.py                      all captures
    record.py blue1-tcp ovs-gre    some of them
    record.py --list               their names
    record.py --out DIR            elsewhere than pcaps/
"""
import argparse
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PCAPS = os.path.normpath(os.path.join(HERE, "..", "..", "pcaps"))
PREFIX = "hnv-cap-"

BLUE1 = {"name": "blue1", "mac": "06:06:00:00:00:05", "v4": "10.0.0.5", "v6": "fd00:10::5", "gw4": "10.0.0.1", "gw6": "fd00:10::1"}
BLUE2 = {"name": "blue2", "mac": "06:06:00:00:00:07", "v4": "10.0.0.7", "v6": "fd00:10::7", "gw4": "10.0.0.1", "gw6": "fd00:10::1"}
BLUE3 = {"name": "blue3", "mac": "06:06:00:00:00:09", "v4": "10.0.1.9", "v6": "fd00:11::9", "gw4": "10.0.1.1", "gw6": "fd00:11::1"}
GATEWAY_MAC = {"10.0.0.1": "06:06:00:00:01:01", "10.0.1.1": "06:06:00:00:02:01"}
HOST1 = {"name": "host1", "mac": "02:00:c0:a8:04:0b", "v4": "192.168.4.11", "v6": "2001:db8:4::11"}
HOST2 = {"name": "host2", "mac": "02:00:c0:a8:04:16", "v4": "192.168.4.22", "v6": "2001:db8:4::22"}
VSID_5001 = 5001
UDP_PORT = 7  # echo; a number that dissectors do not take for something else


# ---------------------------------------------------------------------------------------------------------------------
# Namespaces, and programs in them


def run(*command, check=True, env=None):
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    if check and done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(command[:12]), (done.stderr or done.stdout).strip()))
    return done.stdout


def inside(namespace, *command):
    return ["ip", "netns", "exec", PREFIX + namespace, *command]


class Lab:
    """Namespaces, the programs running in them, and a scratch folder; everything goes when the `with` block ends."""

    def __init__(self, *namespaces):
        self.namespaces = namespaces
        self.running = []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix=PREFIX)
        for each in self.namespaces:
            run("ip", "netns", "del", PREFIX + each, check=False)  # left by a run that was killed
        try:
            for each in self.namespaces:
                run("ip", "netns", "add", PREFIX + each)
                # No address of its own making, no router solicitation: a capture starts when we say so.
                self.do(each, "sysctl", "-qw", "net.ipv6.conf.default.addr_gen_mode=1", "net.ipv6.conf.default.accept_dad=0",
                        "net.ipv6.conf.default.accept_ra=0", "net.ipv6.conf.default.router_solicitations=0")
                self.do(each, "ip", "link", "set", "lo", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            end(process)
        for each in self.namespaces:
            run("ip", "netns", "del", PREFIX + each, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def do(self, namespace, *command, check=True):
        return run(*inside(namespace, *command), check=check)

    def start(self, namespace, *command, env=None, wait_for=None):
        """Starts a program; `wait_for` is a text on its standard error that says that it is ready."""
        process = subprocess.Popen(inside(namespace, *command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE if wait_for else subprocess.DEVNULL, text=True, env=env)
        self.running.append(process)
        if wait_for:
            for line in process.stderr:
                if wait_for in line:
                    return process
            raise RuntimeError("%s ended before it was ready" % command[0])
        return process

    def veth(self, one, device, other, peer, mtu):
        run("ip", "link", "add", device, "netns", PREFIX + one, "mtu", str(mtu), "type", "veth",
            "peer", "name", peer, "netns", PREFIX + other, "mtu", str(mtu))
        for namespace, name in ((one, device), (other, peer)):
            # Otherwise the capture holds unfinished checksums and segments of 64 KiB that no wire ever saw.
            self.do(namespace, "ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off")

    def address(self, namespace, device, mac, *addresses):
        if mac:
            self.do(namespace, "ip", "link", "set", device, "address", mac)
        self.do(namespace, "ip", "link", "set", device, "up")
        for each in addresses:
            self.do(namespace, "ip", "addr", "add", each, "dev", device, *(["nodad"] if ":" in each else []))

    def script(self, namespace, role, *arguments):
        """One of the roles at the end of this file, in the background."""
        return self.start(namespace, sys.executable, os.path.abspath(__file__), "--role", role, *map(str, arguments),
                          wait_for="ready")


def end(process, how=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stderr:
        process.stderr.close()


class Capture:
    """tcpdump on one device while the `with` block runs."""

    def __init__(self, lab, namespace, device, path, nano=False):
        self.lab, self.namespace, self.device, self.path, self.nano = lab, namespace, device, path, nano

    def __enter__(self):
        self.process = self.lab.start(self.namespace, "tcpdump", "-i", self.device, "-n", "-s", "0", "-U", "--immediate-mode",
                                      "-Z", "root", "-w", self.path, "--time-stamp-precision=" + ("nano" if self.nano else "micro"),
                                      wait_for="listening on")
        time.sleep(0.2)
        return self

    def __exit__(self, *_):
        time.sleep(0.5)
        end(self.process, signal.SIGINT)


class Tenants(Lab):
    """The picture at the top of this file."""

    def __init__(self, mtu=1500, routed_mtu=None, known_neighbours=True):
        super().__init__("blue1", "blue2", "blue3", "net")
        self.mtu, self.routed_mtu, self.known = mtu, routed_mtu or mtu, known_neighbours

    def __enter__(self):
        super().__enter__()
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        self.do("net", "ip", "link", "add", "br0", "type", "bridge", "stp_state", "0", "mcast_snooping", "0")
        self.do("net", "ip", "link", "set", "br0", "mtu", str(self.mtu))
        self.do("net", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.icmp_ratelimit=0",
                "net.ipv4.conf.all.send_redirects=0")
        for vm in (BLUE1, BLUE2):
            self.veth(vm["name"], "eth0", "net", "to-" + vm["name"], self.mtu)
            self.do("net", "ip", "link", "set", "to-" + vm["name"], "master", "br0", "up")
            self.address(vm["name"], "eth0", vm["mac"], vm["v4"] + "/24", vm["v6"] + "/64")
        self.veth("blue3", "eth0", "net", "r3", self.mtu)
        self.address("blue3", "eth0", BLUE3["mac"], BLUE3["v4"] + "/24", BLUE3["v6"] + "/64")
        self.address("net", "br0", GATEWAY_MAC["10.0.0.1"], "10.0.0.1/24", "fd00:10::1/64")
        self.address("net", "r3", GATEWAY_MAC["10.0.1.1"], "10.0.1.1/24", "fd00:11::1/64")
        self.do("net", "ip", "link", "set", "r3", "mtu", str(self.routed_mtu))
        for vm in (BLUE1, BLUE2, BLUE3):
            self.do(vm["name"], "ip", "route", "add", "default", "via", vm["gw4"])
            self.do(vm["name"], "ip", "-6", "route", "add", "default", "via", vm["gw6"])
        if self.known:
            gateway = {"mac": GATEWAY_MAC["10.0.0.1"], "v4": "10.0.0.1", "v6": "fd00:10::1"}
            router = {"mac": GATEWAY_MAC["10.0.1.1"], "v4": "10.0.1.1", "v6": "fd00:11::1"}
            for where, device, others in (("blue1", "eth0", (BLUE2, gateway)), ("blue2", "eth0", (BLUE1, gateway)),
                                          ("blue3", "eth0", (router,)), ("net", "br0", (BLUE1, BLUE2)), ("net", "r3", (BLUE3,))):
                for other in others:
                    self.knows(where, device, other)
        time.sleep(2.5)  # until the multicast reports of freshly configured interfaces are out

    def knows(self, where, device, other):
        for family in ("v4", "v6"):
            self.do(where, "ip", "neigh", "replace", other[family], "lladdr", other["mac"], "dev", device, "nud", "permanent")

    def at_blue1(self, path, nano=False):
        return Capture(self, "blue1", "eth0", path, nano)

    def ping(self, address, *options, count=3):
        self.do("blue1", "ping", "-n", "-i", "0.05", "-c", str(count), "-W", "1", *options, address, check=False)


# ---------------------------------------------------------------------------------------------------------------------
# Capture files


def sent_by(path, mac, out):
    """The frames of a capture with this source MAC, records as they are."""
    source = bytes.fromhex(mac.replace(":", ""))
    with open(path, "rb") as file:
        data = file.read()
    with open(out, "wb") as file:
        file.write(data[:24])
        at, kept = 24, 0
        while at < len(data):
            end_of_record = at + 16 + struct.unpack_from("<I", data, at + 8)[0]
            if data[at + 22:at + 28] == source:
                file.write(data[at:end_of_record])
                kept += 1
            at = end_of_record
    if not kept:
        raise RuntimeError("%s: nothing was sent by %s" % (path, mac))


CAPTURES = {}


def capture(*names):
    """Registers a recorder; it is called with a function from file name to path."""
    def register(function):
        CAPTURES[function.__name__.replace("_", "-")] = (function, names)
        return function
    return register


@capture("blue1-tcp.pcap", "blue1-tcp-sent.pcap", "blue2-tcp-sent.pcap")
def blue1_tcp(path):
    with Tenants() as lab:
        lab.script("blue2", "tcp-serve", BLUE2["v4"], 80, 12000)
        with lab.at_blue1(path("blue1-tcp.pcap")):
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE2["v4"], "80", "20000")
    sent_by(path("blue1-tcp.pcap"), BLUE1["mac"], path("blue1-tcp-sent.pcap"))
    sent_by(path("blue1-tcp.pcap"), BLUE2["mac"], path("blue2-tcp-sent.pcap"))


@capture("blue1-tcp-plain.pcap", "blue1-tcp-plain-sent.pcap")
def blue1_tcp_plain(path):
    with Tenants() as lab:
        for vm in ("blue1", "blue2"):
            lab.do(vm, "sysctl", "-qw", "net.ipv4.tcp_window_scaling=0", "net.ipv4.tcp_timestamps=0", "net.ipv4.tcp_sack=0")
        lab.script("blue2", "tcp-serve", BLUE2["v4"], 80, 3000)
        with lab.at_blue1(path("blue1-tcp-plain.pcap")):
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE2["v4"], "80", "3000")
            # A closed port: the answer is a reset.
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE2["v4"], "81", "1", check=False)
    sent_by(path("blue1-tcp-plain.pcap"), BLUE1["mac"], path("blue1-tcp-plain-sent.pcap"))


@capture("blue1-tcp-ecn.pcap", "blue1-tcp-ecn-sent.pcap")
def blue1_tcp_ecn(path):
    with Tenants() as lab:
        for vm in ("blue1", "blue2"):
            lab.do(vm, "sysctl", "-qw", "net.ipv4.tcp_ecn=1")
        lab.script("blue2", "tcp-serve", BLUE2["v4"], 80, 6000)
        with lab.at_blue1(path("blue1-tcp-ecn.pcap"), nano=True):
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE2["v4"], "80", "6000", "0xb8")
    sent_by(path("blue1-tcp-ecn.pcap"), BLUE1["mac"], path("blue1-tcp-ecn-sent.pcap"))


@capture("blue1-iperf3.pcap", "blue1-iperf3-sent.pcap")
def blue1_iperf3(path):
    with Tenants() as lab:
        lab.start("blue2", "iperf3", "-s")
        time.sleep(0.7)
        with lab.at_blue1(path("blue1-iperf3.pcap"), nano=True):
            lab.do("blue1", "iperf3", "-c", BLUE2["v4"], "-n", "32K", "-l", "2K", "-P", "2")
            lab.do("blue1", "iperf3", "-c", BLUE2["v4"], "-u", "-n", "16K", "-l", "700", "-b", "2M")
    sent_by(path("blue1-iperf3.pcap"), BLUE1["mac"], path("blue1-iperf3-sent.pcap"))


@capture("blue1-udp.pcap", "blue1-udp-sent.pcap")
def blue1_udp(path):
    with Tenants() as lab:
        lab.script("blue2", "udp-echo", BLUE2["v4"], UDP_PORT)
        with lab.at_blue1(path("blue1-udp.pcap")):
            for tos in ("0x00", "0x01", "0x02", "0x03", "0xb8"):  # each ECN codepoint, and DSCP EF
                lab.do("blue1", sys.executable, __file__, "--role", "udp-ask", BLUE2["v4"], str(UDP_PORT), tos, "0", "1", "64", "1000", "1472")
            # A closed port: the answer is ICMP port unreachable.
            lab.do("blue1", sys.executable, __file__, "--role", "udp-ask", BLUE2["v4"], "5999", "0", "10", check=False)
    sent_by(path("blue1-udp.pcap"), BLUE1["mac"], path("blue1-udp-sent.pcap"))


@capture("blue1-icmp.pcap", "blue1-icmp-sent.pcap")
def blue1_icmp(path):
    with Tenants() as lab, lab.at_blue1(path("blue1-icmp.pcap")):
        for size in ("0", "32", "56", "1000", "1472"):
            lab.ping(BLUE2["v4"], "-s", size)
    sent_by(path("blue1-icmp.pcap"), BLUE1["mac"], path("blue1-icmp-sent.pcap"))


@capture("blue1-ipv6.pcap", "blue1-ipv6-sent.pcap")
def blue1_ipv6(path):
    with Tenants() as lab:
        lab.script("blue2", "tcp-serve", BLUE2["v6"], 80, 5000)
        lab.script("blue2", "udp-echo", BLUE2["v6"], UDP_PORT)
        with lab.at_blue1(path("blue1-ipv6.pcap")):
            for size in ("32", "1452"):
                lab.ping(BLUE2["v6"], "-6", "-s", size)
            lab.do("blue1", sys.executable, __file__, "--role", "udp-ask", BLUE2["v6"], str(UDP_PORT), "0x02", "0", "14", "1452")
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE2["v6"], "80", "5000")
            lab.do("blue1", sys.executable, __file__, "--role", "udp-ask", BLUE2["v6"], "5999", "0", "10", check=False)
    sent_by(path("blue1-ipv6.pcap"), BLUE1["mac"], path("blue1-ipv6-sent.pcap"))


@capture("blue1-arp.pcap", "blue1-arp-sent.pcap")
def blue1_arp(path):
    with Tenants(known_neighbours=False) as lab, lab.at_blue1(path("blue1-arp.pcap")):
        lab.ping(BLUE2["v4"])
        lab.ping(BLUE3["v4"])
        lab.ping("10.0.0.77", count=1)  # nobody
    sent_by(path("blue1-arp.pcap"), BLUE1["mac"], path("blue1-arp-sent.pcap"))


@capture("blue1-nd.pcap", "blue1-nd-sent.pcap")
def blue1_nd(path):
    with Tenants(known_neighbours=False) as lab:
        # The router advertises fd00:10::/64; Blue1 comes up as a host does: duplicate detection, solicitation, reports.
        lab.do("net", "ip", "addr", "add", "fe80::1/64", "dev", "br0", "nodad")
        lab.start("net", "dnsmasq", "-k", "-p", "0", "-C", "/dev/null", "-i", "br0", "--bind-interfaces", "-u", "root", "--enable-ra",
                  "--dhcp-range=fd00:10::,ra-only", "--dhcp-leasefile=" + os.path.join(lab.folder, "leases"), "--pid-file=")
        time.sleep(1)
        with lab.at_blue1(path("blue1-nd.pcap")):
            lab.do("blue1", "ip", "link", "set", "eth0", "down")
            time.sleep(0.3)
            lab.do("blue1", "sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1", "net.ipv6.conf.eth0.accept_ra=2",
                   "net.ipv6.conf.eth0.router_solicitations=2", "net.ipv6.conf.eth0.addr_gen_mode=0")
            lab.do("blue1", "ip", "link", "set", "eth0", "up")
            lab.do("blue1", "ip", "addr", "add", BLUE1["v6"] + "/64", "dev", "eth0")
            time.sleep(6)
            lab.ping(BLUE2["v6"], "-6", "-I", BLUE1["v6"])
            lab.ping("fd00:10::77", "-6", "-I", BLUE1["v6"], count=1)  # nobody
            time.sleep(6)  # until the neighbour is probed again
    sent_by(path("blue1-nd.pcap"), BLUE1["mac"], path("blue1-nd-sent.pcap"))


@capture("blue1-dhcp.pcap", "blue1-dhcp-sent.pcap")
def blue1_dhcp(path):
    with Tenants(known_neighbours=False) as lab:
        lab.do("blue1", "ip", "addr", "flush", "dev", "eth0")
        lab.do("blue2", "ip", "addr", "add", "fe80::406:6ff:fe00:7/64", "dev", "eth0", "nodad")  # DHCPv6 speaks link-local
        lab.start("blue2", "dnsmasq", "-k", "-p", "0", "-C", "/dev/null", "-i", "eth0", "--bind-interfaces", "-u", "root", "--no-ping",
                  "--dhcp-range=10.0.0.5,10.0.0.5,255.255.255.0,600", "--dhcp-range=fd00:10::5,fd00:10::5,64,600",
                  "--dhcp-option=option:router,10.0.0.1", "--dhcp-leasefile=" + os.path.join(lab.folder, "leases"), "--pid-file=",
                  "--dhcp-authoritative")
        time.sleep(2.5)
        script = os.path.join(lab.folder, "configure")
        with open(script, "w") as file:
            file.write('#!/bin/sh\n[ "$reason" != BOUND ] || ip addr add "$new_ip_address/24" dev "$interface"\n')
        os.chmod(script, 0o755)

        def client(family, *options):
            files = [os.path.join(lab.folder, name + family) for name in ("leases", "pid")]
            return ["dhclient", family, "-lf", files[0], "-pf", files[1], "-sf", script, "-cf", "/dev/null", *options, "eth0"]

        with lab.at_blue1(path("blue1-dhcp.pcap")):
            lab.start("blue1", *client("-4", "-d"))
            time.sleep(3)
            lab.do("blue1", *client("-4", "-r"))
            lab.do("blue1", "ip", "addr", "add", "fe80::406:6ff:fe00:5/64", "dev", "eth0", "nodad")
            lab.start("blue1", *client("-6", "-d"))
            time.sleep(3)
            lab.do("blue1", *client("-6", "-r"))
    sent_by(path("blue1-dhcp.pcap"), BLUE1["mac"], path("blue1-dhcp-sent.pcap"))


@capture("blue1-multicast.pcap", "blue1-multicast-sent.pcap")
def blue1_multicast(path):
    with Tenants() as lab, lab.at_blue1(path("blue1-multicast.pcap")):
        lab.do("blue1", sys.executable, __file__, "--role", "multicast", BLUE1["v4"], "239.1.2.3", "ff15::1:2:3")
        lab.ping("10.0.0.255", "-b", count=2)
        time.sleep(2)
    sent_by(path("blue1-multicast.pcap"), BLUE1["mac"], path("blue1-multicast-sent.pcap"))


@capture("blue1-jumbo.pcap", "blue1-jumbo-sent.pcap")
def blue1_jumbo(path):
    with Tenants(mtu=9000) as lab:
        lab.script("blue2", "tcp-serve", BLUE2["v4"], 80, 30000)
        with lab.at_blue1(path("blue1-jumbo.pcap")):
            lab.ping(BLUE2["v4"], "-M", "do", "-s", "8972", count=2)
            lab.ping(BLUE2["v6"], "-6", "-M", "do", "-s", "8952", count=1)
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE2["v4"], "80", "30000")
    sent_by(path("blue1-jumbo.pcap"), BLUE1["mac"], path("blue1-jumbo-sent.pcap"))


@capture("blue1-fragments.pcap", "blue1-fragments-sent.pcap")
def blue1_fragments(path):
    with Tenants() as lab:
        lab.script("blue2", "udp-echo", BLUE2["v4"], UDP_PORT)
        with lab.at_blue1(path("blue1-fragments.pcap")):
            lab.ping(BLUE2["v4"], "-M", "dont", "-s", "4000", count=2)
            lab.ping(BLUE2["v4"], "-M", "dont", "-s", "1480", count=1)  # the last fragment carries 8 bytes
            lab.ping(BLUE2["v6"], "-6", "-s", "4000", count=2)
            lab.do("blue1", sys.executable, __file__, "--role", "udp-ask", BLUE2["v4"], str(UDP_PORT), "0", "5000")
            lab.do("blue1", "ip", "link", "set", "eth0", "mtu", "1280")
            lab.ping(BLUE2["v4"], "-M", "dont", "-s", "1400", count=1)
    sent_by(path("blue1-fragments.pcap"), BLUE1["mac"], path("blue1-fragments-sent.pcap"))


@capture("blue1-routed.pcap", "blue1-routed-sent.pcap", "blue3-routed-received.pcap", "blue3-routed-sent.pcap")
def blue1_routed(path):
    with Tenants() as lab:
        at_blue3 = os.path.join(lab.folder, "blue3.pcap")
        lab.script("blue3", "tcp-serve", BLUE3["v4"], 80, 4000)
        lab.script("blue3", "udp-echo", BLUE3["v4"], UDP_PORT)
        with lab.at_blue1(path("blue1-routed.pcap")), Capture(lab, "blue3", "eth0", at_blue3):
            lab.ping(BLUE3["v4"])
            lab.ping(BLUE3["v4"], "-t", "2", count=1)
            lab.do("blue1", sys.executable, __file__, "--role", "udp-ask", BLUE3["v4"], str(UDP_PORT), "0x02", "5", "500")
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE3["v4"], "80", "4000")
        sent_by(at_blue3, GATEWAY_MAC["10.0.1.1"], path("blue3-routed-received.pcap"))
        sent_by(at_blue3, BLUE3["mac"], path("blue3-routed-sent.pcap"))
    sent_by(path("blue1-routed.pcap"), BLUE1["mac"], path("blue1-routed-sent.pcap"))


@capture("blue1-icmp-errors.pcap", "blue1-icmp-errors-sent.pcap")
def blue1_icmp_errors(path):
    """A router's time exceeded, fragmentation needed, packet too big; and a TCP stream that obeys."""
    with Tenants(routed_mtu=1400) as lab:
        lab.script("blue3", "tcp-serve", BLUE3["v4"], 80, 100)
        with lab.at_blue1(path("blue1-icmp-errors.pcap")):
            lab.ping(BLUE3["v4"], "-t", "1", count=1)
            lab.ping(BLUE3["v6"], "-6", "-t", "1", count=1)
            lab.ping(BLUE3["v4"], "-M", "do", "-s", "1472", count=2)
            lab.ping(BLUE3["v6"], "-6", "-M", "do", "-s", "1452", count=2)
            lab.do("blue1", "ip", "route", "flush", "cache")
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE3["v4"], "80", "12000")
    sent_by(path("blue1-icmp-errors.pcap"), BLUE1["mac"], path("blue1-icmp-errors-sent.pcap"))


# ---------------------------------------------------------------------------------------------------------------------
# GRE from Open vSwitch


class Switch:
    """Open vSwitch's userspace data path, private, in one host's namespace, with a GRE port to the other host."""

    def __init__(self, lab, me, peer, tunnel):
        self.lab, self.host = lab, me["name"]
        self.folder = os.path.join(lab.folder, self.host)
        os.mkdir(self.folder)
        self.env = dict(os.environ, **{name: self.folder for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")})
        database = os.path.join(self.folder, "db.sock")
        run("ovsdb-tool", "create", os.path.join(self.folder, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema", env=self.env)
        lab.start(self.host, "ovsdb-server", os.path.join(self.folder, "conf.db"), "--remote=punix:" + database,
                  "--unixctl=" + os.path.join(self.folder, "db.ctl"), env=self.env)
        self.appears(database)
        self.database = "unix:" + database
        self.vsctl("--no-wait", "init")
        self.control = os.path.join(self.folder, "switch.ctl")
        lab.start(self.host, "ovs-vswitchd", self.database, "--unixctl=" + self.control, env=self.env)
        self.appears(self.control)
        v6 = tunnel["type"] == "ip6gre"
        family = "v6" if v6 else "v4"
        for bridge, mac in (("int", "02:00:00:00:00:f0"), ("phy", me["mac"])):
            self.vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail-mode=secure",
                       'other-config:hwaddr="%s"' % mac)
        self.vsctl("add-port", "phy", "wire", "--", "set", "interface", "wire", "ofport_request=1",
                   "--", "set", "interface", "phy", "mtu_request=1600")
        self.vsctl("add-port", "int", "vm", "--", "set", "interface", "vm", "ofport_request=1")
        self.vsctl("add-port", "int", "tunnel", "--", "set", "interface", "tunnel", "ofport_request=2", "type=" + tunnel["type"],
                   'options:remote_ip="%s"' % peer[family], *["options:" + each for each in tunnel["options"]])
        lab.address(self.host, "phy", None, me[family] + ("/64" if v6 else "/24"))
        time.sleep(0.7)
        run("ovs-appctl", "-t", self.control, "tnl/neigh/set", "phy", peer[family], peer["mac"], env=self.env)
        self.flows("phy", ["in_port=1,actions=LOCAL", "in_port=LOCAL,actions=output:1"])
        self.flows("int", tunnel["flows"])

    @staticmethod
    def appears(path):
        for _ in range(200):
            if os.path.exists(path):
                return
            time.sleep(0.05)
        raise RuntimeError(path + " did not appear")

    def vsctl(self, *arguments):
        run("ovs-vsctl", "--db=" + self.database, "--timeout=20", *arguments, env=self.env)

    def flows(self, bridge, flows):
        for flow in flows:
            run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "unix:%s/%s.mgmt" % (self.folder, bridge), flow, env=self.env)


def keyed_flows():
    """Open vSwitch has no FlowID; its rules put a different low octet into the key for each kind of traffic."""
    to_wire = ["in_port=1,%s,actions=set_field:%d->tun_id,output:2" % (match, VSID_5001 << 8 | flow_id)
               for match, flow_id in (("icmp", 0xA5), ("tcp", 0xBD), ("udp", 0x63), ("ipv6", 0x46), ("arp", 0x00))]
    return to_wire + ["in_port=2,tun_id=%d/0xffffff00,actions=output:1" % (VSID_5001 << 8)]


class Hosts(Lab):
    """Blue1 on host1 and Blue2 on host2, each host an Open vSwitch, with one cable between the hosts."""

    def __init__(self, kind="gre", options=("key=flow",), flows=None, known_neighbours=True):
        super().__init__("blue1", "blue2", "host1", "host2")
        self.tunnel = {"type": kind, "options": options, "flows": flows or keyed_flows()}
        self.known = known_neighbours

    def __enter__(self):
        super().__enter__()
        try:
            self.veth("host1", "wire", "host2", "wire", 1600)
            for vm, host in ((BLUE1, HOST1), (BLUE2, HOST2)):
                self.veth(vm["name"], "eth0", host["name"], "vm", 1500)
                self.address(host["name"], "vm", None)
                self.address(host["name"], "wire", None)
                self.address(vm["name"], "eth0", vm["mac"], vm["v4"] + "/24", vm["v6"] + "/64")
            for vm, other in ((BLUE1, BLUE2), (BLUE2, BLUE1)):
                if self.known:
                    Tenants.knows(self, vm["name"], "eth0", other)
            Switch(self, HOST1, HOST2, self.tunnel)
            Switch(self, HOST2, HOST1, self.tunnel)
            time.sleep(2)
        except BaseException:
            self.__exit__()
            raise
        return self

    def ping(self, address, *options, count=3):
        self.do("blue1", "ping", "-n", "-i", "0.05", "-c", str(count), "-W", "2", *options, address)


@capture("ovs-gre.pcap", "ovs-gre-from-host1.pcap", "ovs-gre-from-host2.pcap", "ovs-gre-blue2-received.pcap", "ovs-gre-blue1-received.pcap")
def ovs_gre(path):
    with Hosts() as lab:
        vm = {name: os.path.join(lab.folder, name + ".pcap") for name in ("blue1", "blue2")}
        lab.script("blue2", "tcp-serve", BLUE2["v4"], 80, 8000)
        lab.script("blue2", "tcp-serve", BLUE2["v6"], 80, 2000)
        lab.script("blue2", "udp-echo", BLUE2["v4"], UDP_PORT)
        with Capture(lab, "host1", "wire", path("ovs-gre.pcap"), nano=True), \
                Capture(lab, "blue1", "eth0", vm["blue1"]), Capture(lab, "blue2", "eth0", vm["blue2"]):
            lab.ping(BLUE2["v4"])
            lab.ping(BLUE2["v4"], "-s", "1472", count=1)
            lab.ping(BLUE2["v6"], "-6")
            lab.do("blue1", sys.executable, __file__, "--role", "udp-ask", BLUE2["v4"], str(UDP_PORT), "0x02", "5", "1000")
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE2["v4"], "80", "12000")
            lab.do("blue1", sys.executable, __file__, "--role", "tcp-fetch", BLUE2["v6"], "80", "2000")
        sent_by(vm["blue2"], BLUE1["mac"], path("ovs-gre-blue2-received.pcap"))
        sent_by(vm["blue1"], BLUE2["mac"], path("ovs-gre-blue1-received.pcap"))
    sent_by(path("ovs-gre.pcap"), HOST1["mac"], path("ovs-gre-from-host1.pcap"))
    sent_by(path("ovs-gre.pcap"), HOST2["mac"], path("ovs-gre-from-host2.pcap"))


@capture("ovs-gre-arp.pcap")
def ovs_gre_arp(path):
    with Hosts(known_neighbours=False) as lab, Capture(lab, "host1", "wire", path("ovs-gre-arp.pcap")):
        lab.ping(BLUE2["v4"])
        lab.ping(BLUE2["v6"], "-6")


@capture("ovs-gre-ipv6.pcap")
def ovs_gre_ipv6(path):
    with Hosts("ip6gre") as lab, Capture(lab, "host1", "wire", path("ovs-gre-ipv6.pcap")):
        lab.ping(BLUE2["v4"])
        lab.ping(BLUE2["v6"], "-6")


@capture("ovs-gre-checksum.pcap")
def ovs_gre_checksum(path):
    with Hosts(options=("key=flow", "csum=true")) as lab, Capture(lab, "host1", "wire", path("ovs-gre-checksum.pcap")):
        lab.ping(BLUE2["v4"])


@capture("ovs-gre-sequence.pcap")
def ovs_gre_sequence(path):
    with Hosts(options=("key=flow", "seq=true")) as lab, Capture(lab, "host1", "wire", path("ovs-gre-sequence.pcap")):
        lab.ping(BLUE2["v4"])


@capture("ovs-gre-no-key.pcap")
def ovs_gre_no_key(path):
    plain = ["in_port=1,actions=output:2", "in_port=2,actions=output:1"]
    with Hosts(options=(), flows=plain) as lab, Capture(lab, "host1", "wire", path("ovs-gre-no-key.pcap")):
        lab.ping(BLUE2["v4"])


# ---------------------------------------------------------------------------------------------------------------------
# Roles: what runs inside a namespace


def pattern(length):
    return bytes(33 + i % 94 for i in range(length))


def ready():
    print("ready", file=sys.stderr, flush=True)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def role_tcp_serve(address, port, length):
    """Answers one connection after another: reads until the peer has finished, sends `length` bytes, closes."""
    server = socket.socket(family_of(address), socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, int(port)))
    server.listen()
    ready()
    while True:
        peer, _ = server.accept()
        while peer.recv(65536):
            pass
        peer.sendall(pattern(int(length)))
        peer.close()


def role_tcp_fetch(address, port, length, tos="0"):
    client = socket.socket(family_of(address), socket.SOCK_STREAM)
    client.settimeout(15)
    if int(tos, 0):
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(tos, 0))
    client.connect((address, int(port)))
    client.sendall(pattern(int(length)))
    client.shutdown(socket.SHUT_WR)
    while client.recv(65536):
        pass
    client.close()


def role_udp_echo(address, port):
    server = socket.socket(family_of(address), socket.SOCK_DGRAM)
    server.bind((address, int(port)))
    ready()
    while True:
        data, peer = server.recvfrom(65536)
        server.sendto(data, peer)


def role_udp_ask(address, port, tos, *lengths):
    client = socket.socket(family_of(address), socket.SOCK_DGRAM)
    client.settimeout(3)
    if ":" in address:
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, int(tos, 0))
    else:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(tos, 0))
    client.connect((address, int(port)))
    for length in lengths:
        client.send(pattern(int(length)))
        client.recv(65536)


def role_multicast(own, group4, group6):
    """Joins both groups (IGMPv3 and MLDv2 reports follow), sends to both, leaves."""
    four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    membership = socket.inet_aton(group4) + socket.inet_aton(own)
    four.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    index = socket.if_nametoindex("eth0")
    joined = socket.inet_pton(socket.AF_INET6, group6) + struct.pack("@I", index)
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    time.sleep(1.2)
    for _ in range(3):
        four.sendto(pattern(40), (group4, 5000))
        six.sendto(pattern(40), (group6, 5000))
    four.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, membership)
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, joined)


ROLES = {"tcp-serve": role_tcp_serve, "tcp-fetch": role_tcp_fetch, "udp-echo": role_udp_echo, "udp-ask": role_udp_ask,
         "multicast": role_multicast}


# ---------------------------------------------------------------------------------------------------------------------


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--role":
        return ROLES[sys.argv[2]](*sys.argv[3:])
    parser = argparse.ArgumentParser(description="Records real traffic between network namespaces into pcaps/.")
    parser.add_argument("names", nargs="*", help="captures to record; all by default")
    parser.add_argument("--out", default=PCAPS)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        for name, (_, files) in CAPTURES.items():
            print(name + ": " + ", ".join(files))
        return None
    unknown = [name for name in arguments.names if name not in CAPTURES]
    if unknown:
        parser.error("no capture is called %s; try --list" % ", ".join(unknown))
    if os.geteuid() != 0:
        parser.error("network namespaces need root")
    missing = [program for program in ("ip", "ethtool", "tcpdump", "ping", "iperf3", "dnsmasq", "dhclient") if not shutil.which(program)]
    if missing:
        parser.error("not installed: " + ", ".join(missing))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that namespaces go also then
    os.makedirs(arguments.out, exist_ok=True)
    failed = 0
    for name in arguments.names or CAPTURES:
        function, files = CAPTURES[name]
        if name.startswith("ovs-") and not shutil.which("ovs-vswitchd"):
            print("SKIPPED %s: Open vSwitch is not installed" % name, file=sys.stderr)
            continue
        # Recorded aside, so that a failure leaves the committed capture as it was.
        with tempfile.TemporaryDirectory(prefix=PREFIX) as aside:
            try:
                function(lambda file, folder=aside: os.path.join(folder, file))
                for file in files:
                    shutil.move(os.path.join(aside, file), os.path.join(arguments.out, file))
                    os.chmod(os.path.join(arguments.out, file), 0o644)
                print("%s: %s" % (name, ", ".join(files)), file=sys.stderr)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                failed += 1
                print("FAILED %s: %s" % (name, error), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
