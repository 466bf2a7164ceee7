/** The built-in gateway in a whole lab: from a VM across the wire to the outside, and back. */
import { describe, expect, it } from "vitest";
import { reasonName } from "../../../src/dataplane/index.js";
import { arp, concatenate, frame, hexOf, icmp, icmpv6, internetChecksum, ip, macBytes } from "../../engine/build.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";
import {
  CONTOSO1,
  datagram,
  EDGE,
  type End,
  EXAMPLE,
  FABRIKAM1,
  fromContoso,
  fromFabrikam,
  fromOutside,
  GatewayLab,
  GW,
  seen,
  segment,
  UPSTREAM,
} from "./gateway-lab.js";

const SYN = 2;
const ACK = 16;
const VM = "10.0.1.101";
const WEB = "198.51.100.80";
const PUBLIC = "203.0.113.2";

describe("NAT", () => {
  it("a datagram of a VM leaves from an external endpoint, two routers on, and its answer comes back to the VM", () => {
    const lab = new GatewayLab();
    const [out] = lab.send("hv1/Contoso1", fromContoso(datagram(VM, WEB, [4000, 53])));
    expect([out!.verdict, out!.port]).toEqual(["delivered", "edge/external"]);
    expect(hexOf(out!.frame.subarray(0, 12))).toBe(hexOf(macBytes(UPSTREAM)) + hexOf(macBytes(EDGE)));
    const { source, destination, ttl, ports } = seen(out!.frame);
    expect([source, destination, ttl, ports[1]]).toEqual([PUBLIC, WEB, 62, 53]);
    expect(ports[0]).not.toBe(4000);

    const [back] = lab.send("edge/external", fromOutside(datagram(WEB, PUBLIC, [53, ports[0]])));
    expect([back!.verdict, back!.port]).toEqual(["delivered", "hv1/Contoso1"]);
    expect(seen(back!.frame)).toEqual({ source: WEB, destination: VM, ttl: 62, ports: [53, 4000] });
    expect(hexOf(back!.frame.subarray(0, 6))).toBe(hexOf(macBytes(CONTOSO1)));
  });

  it("two tenants with one address share the external one, and get their own answers", () => {
    const lab = new GatewayLab();
    const [contoso] = lab.send("hv1/Contoso1", fromContoso(datagram(VM, WEB, [4000, 53])));
    const [fabrikam] = lab.send("hv1/Fabrikam1", fromFabrikam(datagram(VM, WEB, [4000, 53])));
    const ports = [contoso, fabrikam].map((end) => seen(end!.frame).ports[0]);
    expect(ports[0]).not.toBe(ports[1]);
    const answers = ports.map((port) => lab.send("edge/external", fromOutside(datagram(WEB, PUBLIC, [53, port])))[0]!);
    expect(answers.map(({ port }) => port)).toEqual(["hv1/Contoso1", "hv1/Fabrikam1"]);
    expect(hexOf(answers[1]!.frame.subarray(0, 6))).toBe(hexOf(macBytes(FABRIKAM1)));
  });

  it("nobody outside gets in but by a static mapping or to who has come out", () => {
    const lab = new GatewayLab();
    const [unasked] = lab.send("edge/external", fromOutside(datagram(WEB, PUBLIC, [53, 7])));
    expect(unasked!.reason).toBe("NAT_NO_BINDING");
    const [mapped] = lab.send("edge/external", fromOutside(segment(WEB, PUBLIC, [999, 8080], SYN)));
    expect([mapped!.port, seen(mapped!.frame).destination, seen(mapped!.frame).ports]).toEqual([
      "hv1/Contoso1",
      VM,
      [999, 80],
    ]);
    const [answer] = lab.send("hv1/Contoso1", fromContoso(segment(VM, WEB, [80, 999], SYN | ACK)));
    expect([seen(answer!.frame).source, seen(answer!.frame).ports]).toEqual([PUBLIC, [8080, 999]]);
    const [elsewhere] = lab.send("edge/external", fromOutside(datagram(WEB, "203.0.113.9", [53, 7])));
    expect(elsewhere!.reason).toBe("GATEWAY_NO_ROUTE");
  });

  it("ping goes by identifier", () => {
    const lab = new GatewayLab();
    const echo = (type: number, identifier: number): readonly number[] => [
      type,
      0,
      0,
      0,
      identifier >> 8,
      identifier & 255,
      0,
      1,
      1,
      2,
    ];
    const [out] = lab.send("hv1/Contoso1", fromContoso(icmp(VM, WEB, echo(8, 0x1234))));
    const [type, identifier] = seen(out!.frame).ports;
    expect([out!.port, type]).toEqual(["edge/external", 0x0800]);
    const [back] = lab.send("edge/external", fromOutside(icmp(WEB, PUBLIC, echo(0, identifier))));
    expect([back!.port, seen(back!.frame).ports]).toEqual(["hv1/Contoso1", [0, 0x1234]]);
    const [asked] = lab.send("edge/external", fromOutside(icmp(WEB, PUBLIC, echo(8, identifier))));
    expect(asked!.reason).toBe("NAT_NO_BINDING");

    const { misses } = lab.lab.engine.flowCounters();
    for (let n = 0; n < 20; n++) {
      const [again] = lab.send("hv1/Contoso1", fromContoso(icmp(VM, WEB, echo(8, 0x1234))));
      expect(again!.frame).toEqual(out!.frame);
      const [answer] = lab.send("edge/external", fromOutside(icmp(WEB, PUBLIC, echo(0, identifier))));
      expect(answer!.frame).toEqual(back!.frame);
    }
    expect(lab.lab.engine.flowCounters().misses, "the kernel has the identifier in its key").toBe(misses);
    const [other] = lab.send("hv1/Contoso1", fromContoso(icmp(VM, WEB, echo(8, 0x1235))));
    expect(seen(other!.frame).ports[1], "another conversation").not.toBe(identifier);
  });
});

/** The example with other timeouts, in seconds. */
const withTimeouts = (timeouts: string): string =>
  EXAMPLE.replace("    external:\n      mac:", `    timeouts: { ${timeouts} }\n    external:\n      mac:`);
const outbound = (lab: GatewayLab, port = 4000) => lab.send("hv1/Contoso1", fromContoso(datagram(VM, WEB, [port, 53])));
const tcp = (lab: GatewayLab, flags: number, port = 5000) =>
  lab.send("hv1/Contoso1", fromContoso(segment(VM, WEB, [port, 80], flags)))[0]!;
const FIN = 1;
const RST = 4;

describe("bindings", () => {
  it("packets that come before the first one's binding wait for it, and leave in their order", () => {
    const lab = new GatewayLab();
    const frames = [1, 2, 3].map((data) => fromContoso(datagram(VM, WEB, [4000, 53], { data: Uint8Array.of(data) })));
    const ends = lab.send("hv1/Contoso1", ...frames);
    expect(ends.map(({ port, frame: bytes }) => [port, bytes[42]])).toEqual([1, 2, 3].map((n) => ["edge/external", n]));
    expect(new Set(ends.map((end) => seen(end.frame).ports[0])).size).toBe(1);
  });

  it("the kernel forwards what has one: no packet behind the second is decided", () => {
    const lab = new GatewayLab();
    const [out] = outbound(lab);
    const answer = fromOutside(datagram(WEB, PUBLIC, [53, seen(out!.frame).ports[0]]));
    outbound(lab);
    lab.send("edge/external", answer);
    const { misses } = lab.lab.engine.flowCounters();
    for (let i = 0; i < 20; i++) {
      expect(outbound(lab)[0]!.frame).toEqual(out!.frame);
      expect(lab.send("edge/external", answer)[0]!.port).toBe("hv1/Contoso1");
    }
    expect(lab.lab.engine.flowCounters().misses).toBe(misses);
  });

  it("UDP's ends when idle for its time, and then its port is free; not before", () => {
    const lab = new GatewayLab(withTimeouts("udp: 8"));
    const [first] = outbound(lab);
    const external = seen(first!.frame).ports[0];
    const inbound = fromOutside(datagram(WEB, PUBLIC, [53, external]));
    lab.wait(7_900);
    expect(lab.send("edge/external", inbound)[0]!.port).toBe("hv1/Contoso1");
    lab.wait(2_200);
    expect(lab.send("edge/external", inbound)[0]!.reason).toBe("NAT_NO_BINDING");
    expect(seen(outbound(lab)[0]!.frame).ports[0]).toBe(external); // no dice: the same again
  });

  it("a live flow keeps its binding although the kernel forwards it, with one visit per look", () => {
    const lab = new GatewayLab(withTimeouts("udp: 8"));
    const external = seen(outbound(lab)[0]!.frame).ports[0];
    outbound(lab);
    const { misses } = lab.lab.engine.flowCounters();
    for (let second = 0; second < 60; second++) {
      lab.wait(1_000);
      for (let i = 0; i < 5; i++) expect(seen(outbound(lab)[0]!.frame).ports[0]).toBe(external);
    }
    const visits = lab.lab.engine.flowCounters().misses - misses;
    expect(visits).toBeGreaterThan(20); // a look each two seconds: one visit to say so, and one to be cached again
    expect(visits).toBeLessThanOrEqual(2 * 31);
  });

  it("packets from outside do not keep a binding (RFC 4787 REQ-6)", () => {
    const lab = new GatewayLab(withTimeouts("udp: 8"));
    const external = seen(outbound(lab)[0]!.frame).ports[0];
    const ends = Array.from({ length: 12 }, () => {
      lab.wait(1_000);
      return lab.send("edge/external", fromOutside(datagram(WEB, PUBLIC, [53, external])))[0]!;
    });
    expect(ends[6]!.port).toBe("hv1/Contoso1");
    expect(ends[11]!.reason).toBe("NAT_NO_BINDING");
  });

  it("TCP: transitory until the handshake is over, then established, transitory again when it has ended (RFC 5382 REQ-5)", () => {
    const lab = new GatewayLab(withTimeouts("tcpTransitory: 4, tcpEstablished: 400"));
    const isBound = (external: number): boolean =>
      lab.send("edge/external", fromOutside(segment(WEB, PUBLIC, [80, external], ACK)))[0]!.verdict === "delivered";
    const opening = seen(tcp(lab, SYN, 5001).frame).ports[0];
    const established = seen(tcp(lab, SYN, 5002).frame).ports[0];
    lab.send("edge/external", fromOutside(segment(WEB, PUBLIC, [80, established], SYN | ACK)));
    for (let i = 0; i < 5; i++) tcp(lab, ACK, 5002);
    lab.wait(20_000);
    expect([isBound(opening), isBound(established)]).toEqual([false, true]);
    lab.wait(300_000);
    expect(isBound(established)).toBe(true);
    tcp(lab, ACK, 5002);
    tcp(lab, ACK, 5002);
    const { guarded } = lab.lab.engine.flowCounters();
    expect(tcp(lab, FIN | ACK, 5002).port).toBe("edge/external"); // the kernel leaves it to the slow path
    expect(lab.lab.engine.flowCounters().guarded).toBe(guarded + 1);
    tcp(lab, ACK, 5002);
    lab.wait(6_000);
    expect(isBound(established)).toBe(false);
  });

  it("TCP: the far end's end counts too; a connection that goes on beside it keeps the binding", () => {
    const lab = new GatewayLab(withTimeouts("tcpTransitory: 4, tcpEstablished: 400"));
    const external = seen(tcp(lab, SYN).frame).ports[0];
    const fromWeb = (flags: number) =>
      lab.send("edge/external", fromOutside(segment(WEB, PUBLIC, [80, external], flags)))[0]!;
    for (let i = 0; i < 3; i++) tcp(lab, ACK);
    fromWeb(ACK);
    expect(fromWeb(RST).port).toBe("hv1/Contoso1");
    lab.wait(2_000);
    tcp(lab, ACK);
    lab.wait(100_000);
    expect(fromWeb(ACK).port).toBe("hv1/Contoso1");
    fromWeb(RST);
    lab.wait(6_000);
    expect(fromWeb(ACK).reason).toBe("NAT_NO_BINDING");
  });

  it("a reset or an echo reply begins nothing", () => {
    const lab = new GatewayLab();
    expect(tcp(lab, RST).reason).toBe("NAT_NO_BINDING");
    const reply = fromContoso(icmp(VM, WEB, [0, 0, 0, 0, 0, 1, 0, 1]));
    expect(lab.send("hv1/Contoso1", reply)[0]!.reason).toBe("NAT_NO_BINDING");
  });

  it("when all ports are in use, the next endpoint is dropped by name, until one is free again", () => {
    const few = withTimeouts("udp: 8").replace(
      "externalAddresses: [{ address: 203.0.113.2, portStart: 1, portEnd: 49151 }]\n        staticMappings",
      "externalAddresses: [{ address: 203.0.113.2, portStart: 100, portEnd: 102 }]\n        staticMappings",
    );
    const lab = new GatewayLab(few);
    const together = [1, 2, 3, 4, 5].map((port) => fromContoso(datagram(VM, WEB, [port, 53])));
    const ends = lab.send("hv1/Contoso1", ...together);
    expect(ends.map(({ verdict, reason }) => [verdict, reason])).toEqual([
      ...[1, 2, 3].map(() => ["delivered", "NONE"]),
      ...[4, 5].map(() => ["dropped", "NAT_EXHAUSTED"]),
    ]);
    expect(new Set(ends.slice(0, 3).map((end) => seen(end.frame).ports[0]))).toEqual(new Set([100, 101, 102]));
    expect(outbound(lab, 6)[0]!.reason).toBe("NAT_EXHAUSTED");
    expect(lab.send("hv1/Fabrikam1", fromFabrikam(datagram(VM, WEB, [6, 53])))[0]!.port).toBe("edge/external");
    lab.wait(11_000);
    expect(outbound(lab, 6)[0]!.verdict).toBe("delivered");
  });

  it("what has ended counts no frame twice and loses none", () => {
    const lab = new GatewayLab();
    for (let i = 0; i < 50; i++) outbound(lab, 1000 + (i % 7));
    const { in: came, copies, injected, delivered, dropped, passed, consumed } = lab.lab.engine.totals();
    expect(came + copies + injected).toBe(delivered + dropped + passed + consumed);
    expect([came, delivered, consumed, injected]).toEqual([50, 50, 7, 7]);
  });
});

describe("who may go out", () => {
  it("only internal prefixes of the tenant", () => {
    const narrow = "- routingDomain: Fabrikam\n        internalPrefixes: [10.0.1.0/26]";
    const lab = new GatewayLab(EXAMPLE.replace("- routingDomain: Fabrikam", narrow));
    expect(lab.send("hv1/Fabrikam1", fromFabrikam(datagram(VM, WEB, [4000, 53])))[0]!.reason).toBe("NAT_SOURCE");
  });

  it("only TCP, UDP and ICMP that is known", () => {
    const esp = ip({ source: VM, destination: WEB, protocol: 50, payload: new Uint8Array(20) });
    expect(new GatewayLab().send("hv1/Contoso1", fromContoso(esp))[0]!.reason).toBe("NAT_PROTOCOL");
    const timestamp = icmp(VM, WEB, [13, 0, 0, 0, 0, 1, 0, 1, ...new Array<number>(12).fill(0)]);
    expect(new GatewayLab().send("hv1/Contoso1", fromContoso(timestamp))[0]!.reason).toBe("NAT_PROTOCOL");
  });

  it("nothing for the gateway itself", () => {
    const toGateway = datagram(VM, "10.0.2.2", [4000, 53]);
    expect(new GatewayLab().send("hv1/Contoso1", fromContoso(toGateway))[0]!.reason).toBe("GATEWAY_SELF");
  });

  it("not where no route leads", () => {
    const partial = EXAMPLE.replace("destinationPrefix: 0.0.0.0/0", "destinationPrefix: 8.0.0.0/8");
    expect(outbound(new GatewayLab(partial))[0]!.reason).toBe("GATEWAY_NO_ROUTE");
    const onLink = EXAMPLE.replace("nextHop: 203.0.113.1 }", "nextHop: 0.0.0.0 }");
    expect(outbound(new GatewayLab(onLink))[0]!.reason).toBe("GATEWAY_UNRESOLVED");
  });
});

describe("a router's duties", () => {
  it("the TTL runs out: its sender hears of it, from the gateway's own address, across the wire", () => {
    const lab = new GatewayLab();
    const ends = lab.send("hv1/Contoso1", fromContoso(datagram(VM, WEB, [4000, 53], { ttl: 2 })));
    expect(ends.map(({ verdict, reason, port }) => [verdict, reason, port])).toEqual([
      ["dropped", "GATEWAY_TTL", "edge/6001"],
      ["delivered", "NONE", "hv1/Contoso1"],
    ]);
    expect(seen(ends[1]!.frame)).toMatchObject({ source: "10.0.2.2", destination: VM, ports: [0x0b00, 0] });
  });

  it("and from outside", () => {
    const lab = new GatewayLab();
    const external = seen(outbound(lab)[0]!.frame).ports[0];
    const ends = lab.send("edge/external", fromOutside(datagram(WEB, PUBLIC, [53, external], { ttl: 1 })));
    expect(ends.map(({ reason, port }) => [reason, port])).toEqual([
      ["GATEWAY_TTL", "edge/external"],
      ["NONE", "edge/external"],
    ]);
    expect(seen(ends[1]!.frame)).toMatchObject({ source: PUBLIC, destination: WEB, ports: [0x0b00, 0] });
  });

  it("what is too big for the outside is refused, and its sender told what would fit", () => {
    const lab = new GatewayLab(EXAMPLE.replace("mac: 02-00-CB-00-71-02", "mac: 02-00-CB-00-71-02\n      mtu: 1000"));
    const ends = lab.send("hv1/Contoso1", fromContoso(datagram(VM, WEB, [4000, 53], { data: new Uint8Array(980) })));
    expect(ends.map(({ reason }) => reason)).toEqual(["GATEWAY_TOO_BIG", "NONE"]);
    expect([seen(ends[1]!.frame).ports[0], hexOf(ends[1]!.frame.subarray(38, 42))]).toEqual([0x0304, "000003e8"]);
    expect(outbound(lab)[0]!.port).toBe("edge/external");
  });

  it("its external addresses are found by ARP, others not", () => {
    const lab = new GatewayLab();
    const ask = (target: string) =>
      lab.send(
        "edge/external",
        frame("FF-FF-FF-FF-FF-FF", UPSTREAM, arp({ operation: 1, senderMac: UPSTREAM, sender: "203.0.113.1", target })),
      )[0]!;
    const answer = ask(PUBLIC);
    expect([answer.port, hexOf(answer.frame.subarray(20, 32))]).toEqual([
      "edge/external",
      `0002${hexOf(macBytes(EDGE))}cb007102`,
    ]);
    expect(ask("203.0.113.3").port).toBe("edge/external"); // a tunnel's end
    expect(ask("203.0.113.9").reason).toBe("TX_UNANSWERED");
  });

  it.each([
    [
      "a tag",
      concatenate(macBytes(EDGE), macBytes(UPSTREAM), [0x81, 0, 0, 5, 8, 0], new Uint8Array(40)),
      "UNAUTHORIZED_VLAN",
    ],
    ["another MAC", frame(GW, UPSTREAM, datagram(WEB, PUBLIC, [1, 2])), "NOT_ACCEPTED"],
    ["broadcast", frame("FF-FF-FF-FF-FF-FF", UPSTREAM, datagram(WEB, PUBLIC, [1, 2])), "GATEWAY_GROUP"],
    ["not IP", frame(EDGE, UPSTREAM, Uint8Array.of(0x88, 0xb5, 1, 2, 3)), "GATEWAY_NON_IP"],
    ["a broken header", frame(EDGE, UPSTREAM, Uint8Array.of(8, 0, 0x45, 0)), "INVALID_PACKET"],
    ["an Ethernet header cut short", new Uint8Array(9), "INVALID_PACKET"],
    [
      "UDP cut short",
      frame(EDGE, UPSTREAM, ip({ source: WEB, destination: PUBLIC, protocol: 17, payload: new Uint8Array(6) })),
      "INVALID_PACKET",
    ],
  ])("refuses %s", (_, bytes, reason) => {
    expect(new GatewayLab().send("edge/external", bytes)[0]!.reason).toBe(reason);
  });
});

describe("ICMP errors", () => {
  /** Type, code and rest of header, and what is quoted. */
  const error = (source: string, destination: string, type: number, code: number, quoted: Uint8Array): Uint8Array =>
    icmp(source, destination, [type, code, 0, 0, 0, 0, 0, 0, ...quoted]);
  const HOP = "192.0.2.9";

  it("from outside: the quoted packet is the VM's own again, checksums and all (RFC 5508 REQ-4)", () => {
    const lab = new GatewayLab();
    const [out] = outbound(lab);
    const quoted = out!.frame.subarray(14);
    const [end] = lab.send("edge/external", fromOutside(error(HOP, PUBLIC, 3, 3, quoted)));
    expect([end!.verdict, end!.port]).toEqual(["delivered", "hv1/Contoso1"]);
    expect(seen(end!.frame)).toMatchObject({ source: HOP, destination: VM, ports: [0x0303, 0] });
    expect(seen(end!.frame, 42)).toMatchObject({ source: VM, destination: WEB, ports: [4000, 53] });
    expect(internetChecksum(end!.frame.subarray(34))).toBe(0);
    expect(internetChecksum(end!.frame.subarray(42, 62))).toBe(0);
    const sent = datagram(VM, WEB, [4000, 53]);
    expect(hexOf(end!.frame.subarray(62))).toBe(hexOf(sent.subarray(22)));
  });

  it("from inside: the far end sees its own packet to the external endpoint (RFC 5508 REQ-5)", () => {
    const lab = new GatewayLab();
    const external = seen(outbound(lab)[0]!.frame).ports[0];
    const [arrived] = lab.send("edge/external", fromOutside(datagram(WEB, PUBLIC, [53, external])));
    const unreachable = error(VM, WEB, 3, 3, arrived!.frame.subarray(14, 14 + 28));
    const [end] = lab.send("hv1/Contoso1", fromContoso(unreachable));
    expect([end!.port, seen(end!.frame)]).toMatchObject([
      "edge/external",
      { source: PUBLIC, destination: WEB, ports: [0x0303, 0] },
    ]);
    expect(seen(end!.frame, 42)).toMatchObject({ source: WEB, destination: PUBLIC, ports: [53, external] });
    expect(internetChecksum(end!.frame.subarray(34))).toBe(0);
  });

  it("about a ping, and about TCP of which eight octets are quoted", () => {
    const lab = new GatewayLab();
    const [ping] = lab.send("hv1/Contoso1", fromContoso(icmp(VM, WEB, [8, 0, 0, 0, 0x12, 0x34, 0, 1])));
    const about = (sent: Uint8Array) =>
      lab.send("edge/external", fromOutside(error(HOP, PUBLIC, 11, 0, sent.subarray(14, 42))))[0]!;
    expect(seen(about(ping!.frame).frame, 42)).toMatchObject({ source: VM, ports: [0x0800, 0x1234] });
    expect(seen(about(tcp(lab, SYN).frame).frame, 42)).toMatchObject({ source: VM, ports: [5000, 80] });
  });

  it.each([
    ["about nobody's packet", (quoted: Uint8Array) => quoted.with(20, quoted[20]! ^ 1), "NAT_NO_BINDING"],
    ["that quotes too little", (quoted: Uint8Array) => quoted.subarray(0, 24), "NAT_PROTOCOL"],
    ["that quotes a later fragment", (quoted: Uint8Array) => quoted.with(7, 9), "NAT_PROTOCOL"],
  ])("one %s is dropped", (_, change, reason) => {
    const lab = new GatewayLab();
    const quoted = change(outbound(lab)[0]!.frame.slice(14, 42));
    expect(lab.send("edge/external", fromOutside(error(HOP, PUBLIC, 3, 3, quoted)))[0]!.reason).toBe(reason);
  });

  it("a redirect is no router's business", () => {
    const lab = new GatewayLab();
    const quoted = outbound(lab)[0]!.frame.slice(14, 42);
    expect(lab.send("edge/external", fromOutside(error(HOP, PUBLIC, 5, 1, quoted)))[0]!.reason).toBe("NAT_PROTOCOL");
  });

  it("one with a wrong checksum is dropped (RFC 5508 REQ-3)", () => {
    const lab = new GatewayLab();
    const bad = error(HOP, PUBLIC, 3, 3, outbound(lab)[0]!.frame.subarray(14));
    bad[30]! ^= 1;
    expect(lab.send("edge/external", fromOutside(bad))[0]!.reason).toBe("INVALID_PACKET");
  });

  it("the gateway host's own: a packet from outside that does not fit the provider network", () => {
    const small = EXAMPLE.replace("prefix: 192.168.0.0/24, mtu: 1600", "prefix: 192.168.0.0/24, mtu: 1000");
    const lab = new GatewayLab(small);
    const external = seen(outbound(lab)[0]!.frame).ports[0];
    const big = datagram(WEB, PUBLIC, [53, external], { data: new Uint8Array(1000) });
    const ends = lab.send("edge/external", fromOutside(big));
    const told = ends.find(({ port }) => port === "edge/external")!;
    expect(ends[0]!.reason).toBe("TX_TOO_BIG_ICMP4");
    expect(seen(told.frame)).toMatchObject({ source: PUBLIC, destination: WEB, ports: [0x0304, 0] });
    expect(hexOf(told.frame.subarray(40, 42))).toBe("03be"); // 958: what 1000 leave
    expect(seen(told.frame, 42)).toMatchObject({ source: WEB, destination: PUBLIC, ports: [53, external] });
  });
});

describe("fragments", () => {
  const whole = datagram(VM, WEB, [4000, 53], {
    data: Uint8Array.from({ length: 100 }, (_, i) => i),
    identification: 0x77,
  });

  /** The IPv4 packet in pieces of so many octets of payload, with right header checksums. */
  function pieces(packet: Uint8Array, octets: number): Uint8Array[] {
    const header = packet.slice(2, 22);
    const payload = packet.subarray(22);
    const parts: Uint8Array[] = [];
    for (let at = 0; at < payload.length; at += octets) {
      const part = payload.subarray(at, at + octets);
      const more = at + octets < payload.length ? 0x2000 : 0;
      const own = header.slice();
      own.set([(20 + part.length) >> 8, (20 + part.length) & 255], 2);
      own.set([(more | (at / 8)) >> 8, (more | (at / 8)) & 255], 6);
      own.set([0, 0], 10);
      const sum = internetChecksum(own);
      own.set([sum >> 8, sum & 255], 10);
      parts.push(concatenate([8, 0], own, part));
    }
    return parts;
  }

  /** The datagram that the fragments make, its header that of the first. */
  const together = (frames: readonly Uint8Array[]): Uint8Array =>
    concatenate(frames[0]!.subarray(14, 34), ...frames.map((bytes) => bytes.subarray(34)));

  /** Does UDP's checksum over the reassembled datagram add up? */
  function isSound(packet: Uint8Array): boolean {
    const udpLength = packet.length - 20;
    return (
      internetChecksum(
        concatenate(packet.subarray(12, 20), [0, 17, udpLength >> 8, udpLength & 255], packet.subarray(20)),
      ) === 0
    );
  }

  it("of a new flow, all at once: they make the translated datagram", () => {
    const lab = new GatewayLab();
    const ends = lab.send("hv1/Contoso1", ...pieces(whole, 40).map(fromContoso));
    expect(ends.map(({ port }) => port)).toEqual(["edge/external", "edge/external", "edge/external"]);
    const frames = ends.map((end) => end.frame);
    expect(frames.map((bytes) => seen(bytes).source)).toEqual([PUBLIC, PUBLIC, PUBLIC]);
    expect(frames.every((bytes) => internetChecksum(bytes.subarray(14, 34)) === 0)).toBe(true);
    expect(isSound(together(frames))).toBe(true);
  });

  it("one after the other, and back", () => {
    const lab = new GatewayLab();
    const sent = pieces(whole, 40).map((piece) => lab.send("hv1/Contoso1", fromContoso(piece))[0]!.frame);
    expect(isSound(together(sent))).toBe(true);
    const external = seen(sent[0]!).ports[0];
    const back = datagram(WEB, PUBLIC, [53, external], { data: new Uint8Array(90).fill(3), identification: 9 });
    const got = pieces(back, 48).map((piece) => lab.send("edge/external", fromOutside(piece))[0]!);
    expect(got.map(({ port }) => port)).toEqual(["hv1/Contoso1", "hv1/Contoso1", "hv1/Contoso1"].slice(0, got.length));
    expect(isSound(together(got.map((end) => end.frame)))).toBe(true);
  });

  it("too big without DF: translated in fragments that make the datagram (RFC 4787 REQ-13)", () => {
    const data = Uint8Array.from({ length: 2000 }, (_, i) => i & 0xff);
    const toWeb = datagram(VM, WEB, [4000, 53], { data, identification: 0x78 });
    const [big] = pieces(toWeb, 2008) as [Uint8Array]; // one, with DF cleared
    const lab = new GatewayLab(EXAMPLE.replace("mtu: 1600 }", "mtu: 3000 }"));
    for (let n = 0; n < 3; n++) {
      const left = lab.send("hv1/Contoso1", fromContoso(big));
      expect(left.map(({ port, frame: bytes }) => [port, bytes.length])).toEqual([
        ["edge/external", 1514],
        ["edge/external", 14 + 20 + 2008 - 1480],
      ]);
      const frames = left.map((end) => end.frame);
      expect(frames.map((bytes) => seen(bytes).source)).toEqual([PUBLIC, PUBLIC]);
      expect(isSound(together(frames))).toBe(true);
      expect(hexOf(together(frames).subarray(28))).toBe(hexOf(big.subarray(30)));
    }
    const [toBranch] = pieces(datagram(VM, "172.16.5.5", [1, 2], { data }), 2008) as [Uint8Array];
    const tunnelled = lab.send("hv1/Contoso1", fromContoso(toBranch));
    expect(tunnelled.map(({ frame: bytes }) => [bytes.length, seen(bytes, 42).destination])).toEqual([
      [1514 - 4, "172.16.5.5"], // 1472 inside, of which a multiple of eight is data
      [14 + 28 + 20 + 2008 - 1448, "172.16.5.5"],
    ]);
  });

  it("a later one before the first is dropped; those after it go through", () => {
    const lab = new GatewayLab();
    const [first, second, third] = pieces(whole, 40);
    expect(lab.send("hv1/Contoso1", fromContoso(second!))[0]!.reason).toBe("NAT_FRAGMENT");
    expect(lab.send("hv1/Contoso1", fromContoso(first!))[0]!.port).toBe("edge/external");
    expect(lab.send("hv1/Contoso1", fromContoso(third!))[0]!.port).toBe("edge/external");
    lab.wait(61_000);
    expect(lab.send("hv1/Contoso1", fromContoso(third!))[0]!.reason).toBe("NAT_FRAGMENT");
  });

  it("more datagrams in pieces than are remembered push out the oldest", () => {
    const lab = new GatewayLab();
    const numbered = (identification: number): Uint8Array[] =>
      pieces(datagram(VM, WEB, [4000, 53], { data: new Uint8Array(60), identification }), 40);
    lab.send("hv1/Contoso1", fromContoso(numbered(1)[0]!));
    const many = Array.from({ length: 4096 }, (_, i) => fromContoso(numbered(i + 2)[0]!));
    lab.send("hv1/Contoso1", ...many);
    expect(lab.send("hv1/Contoso1", fromContoso(numbered(4097)[1]!))[0]!.port).toBe("edge/external");
    expect(lab.send("hv1/Contoso1", fromContoso(numbered(1)[1]!))[0]!.reason).toBe("NAT_FRAGMENT");
  });
});

describe("hairpin (RFC 4787 REQ-9)", () => {
  it("a tenant reaches another's static mapping by its external address, from an external endpoint of its own", () => {
    const lab = new GatewayLab();
    const [came] = lab.send("hv1/Fabrikam1", fromFabrikam(segment(VM, PUBLIC, [999, 8080], SYN)));
    expect([came!.verdict, came!.port]).toEqual(["delivered", "hv1/Contoso1"]);
    const { source, destination, ports, ttl } = seen(came!.frame);
    expect([source, destination, ports[1], ttl]).toEqual([PUBLIC, VM, 80, 61]);
    const [back] = lab.send("hv1/Contoso1", fromContoso(segment(VM, PUBLIC, [80, ports[0]], SYN | ACK)));
    expect([back!.port, seen(back!.frame)]).toMatchObject([
      "hv1/Fabrikam1",
      { source: PUBLIC, destination: VM, ports: [8080, 999] },
    ]);
    expect(lab.lab.engine.portCounters(lab.lab.port("edge/external")!).tx.packets).toBe(0);

    // Established: both translations are one, and the kernel's.
    const data = (): End => lab.send("hv1/Fabrikam1", fromFabrikam(segment(VM, PUBLIC, [999, 8080], ACK)))[0]!;
    const answer = (): End => lab.send("hv1/Contoso1", fromContoso(segment(VM, PUBLIC, [80, ports[0]], ACK)))[0]!;
    const once = [data(), answer(), data(), answer()];
    expect(seen(once[0]!.frame)).toEqual({ source, destination, ports, ttl });
    const { misses } = lab.lab.engine.flowCounters();
    for (let n = 0; n < 20; n++) expect([data().frame, answer().frame]).toEqual([once[2]!.frame, once[3]!.frame]);
    expect(lab.lab.engine.flowCounters().misses).toBe(misses);
    const [end] = lab.send("hv1/Fabrikam1", fromFabrikam(segment(VM, PUBLIC, [999, 8080], FIN | ACK)));
    expect([end!.port, lab.lab.engine.flowCounters().guarded > 0]).toEqual(["hv1/Contoso1", true]);
  });

  it("an error about such a packet finds its sender too (RFC 5508 REQ-7)", () => {
    const lab = new GatewayLab();
    const [came] = lab.send("hv1/Fabrikam1", fromFabrikam(segment(VM, PUBLIC, [999, 8080], SYN)));
    const unreachable = icmp(VM, PUBLIC, [3, 3, 0, 0, 0, 0, 0, 0, ...came!.frame.subarray(14)]);
    const [end] = lab.send("hv1/Contoso1", fromContoso(unreachable));
    expect([end!.port, seen(end!.frame), seen(end!.frame, 42)]).toMatchObject([
      "hv1/Fabrikam1",
      { source: PUBLIC, destination: VM },
      { source: VM, destination: PUBLIC, ports: [999, 8080] },
    ]);
  });

  it("what nobody has bound is dropped as from outside", () => {
    const lab = new GatewayLab();
    const ends = lab.send("hv1/Fabrikam1", fromFabrikam(datagram(VM, PUBLIC, [999, 9])));
    expect(ends.map(({ reason, port }) => [reason, port])).toEqual([["NAT_NO_BINDING", "edge/external"]]);
  });
});

/** The example with IPv6 beside IPv4, inside and outside. */
const V6 = EXAMPLE.replace(
  "prefixes: [10.0.1.0/24], gatewayMac: 00-11-22-33-44-55",
  'prefixes: [10.0.1.0/24, "fd00:1::/64"], gatewayMac: 00-11-22-33-44-55',
)
  .replace(
    "prefixes: [10.0.2.0/24], gatewayMac: 00-11-22-33-44-66",
    'prefixes: [10.0.2.0/24, "fd00:2::/64"], gatewayMac: 00-11-22-33-44-66',
  )
  .replace("vsid: 6001, addresses: [10.0.2.2]", 'vsid: 6001, addresses: [10.0.2.2, "fd00:2::2"]')
  .replace("vsid: 6000, addresses: [10.0.1.101]", 'vsid: 6000, addresses: [10.0.1.101, "fd00:1::101"]')
  .replace("nextHop: 203.0.113.1 }]", 'nextHop: 203.0.113.1 }, { destinationPrefix: "::/0", nextHop: "2001:db8::1" }]')
  .replace("neighbors: [", 'neighbors: [{ address: "2001:db8::1", mac: 02-00-CB-00-71-01 }, ')
  .replace(
    "portEnd: 49151 }]\n        staticMappings",
    'portEnd: 49151 }, { address: "2001:db8::2", portStart: 7, portEnd: 7 }]\n        staticMappings',
  );
/** A tunnel over IPv6 that carries both. */
const V6_TUNNEL = 'source: "2001:db8::3", destination: "2001:db8:9::7", prefixes: [172.16.0.0/16, "fd00:99::/64"]';
/** A frame of IP with UDP, back to where it came from: all that is swapped leaves the checksums as they are. */
function answerTo(bytes: Uint8Array): Uint8Array {
  const answer = bytes.slice();
  const swap = (a: number, b: number, length: number): void => {
    answer.set(bytes.subarray(a, a + length), b);
    answer.set(bytes.subarray(b, b + length), a);
  };
  const isIpv4 = bytes[12] === 8;
  swap(0, 6, 6);
  if (isIpv4) swap(26, 30, 4);
  else swap(22, 38, 16);
  swap(isIpv4 ? 34 : 54, isIpv4 ? 36 : 56, 2);
  return answer;
}

describe("site-to-site GRE", () => {
  const BRANCH = "172.16.5.5";
  const FAR = "198.51.100.7";
  const OURS = "203.0.113.3";
  const gre = (key: number, packet: Uint8Array, flags = 0x20): Uint8Array =>
    concatenate([flags, 0, 8, 0, key >>> 24, (key >>> 16) & 255, (key >>> 8) & 255, key & 255], packet);
  const inTunnel = (key: number, packet: Uint8Array, source = FAR, tos = 0): Uint8Array =>
    fromOutside(ip({ source, destination: OURS, protocol: 47, payload: gre(key, packet.subarray(2)), tos }));

  it("a tenant's packet to the branch leaves in GRE with the key, untranslated", () => {
    const lab = new GatewayLab();
    const [out] = lab.send("hv1/Contoso1", fromContoso(datagram(VM, BRANCH, [4000, 53])));
    expect([out!.port, seen(out!.frame)]).toMatchObject([
      "edge/external",
      { source: OURS, destination: FAR, ttl: 128 },
    ]);
    expect(hexOf(out!.frame.subarray(34, 42))).toBe("200008000000004d");
    expect(seen(out!.frame, 42)).toEqual({ source: VM, destination: BRANCH, ttl: 62, ports: [4000, 53] });
    const [other] = lab.send("hv1/Fabrikam1", fromFabrikam(datagram(VM, BRANCH, [4000, 53])));
    expect(seen(other!.frame).source).toBe(PUBLIC); // not Fabrikam's branch
  });

  it("the branch's packet reaches the VM", () => {
    const [end] = new GatewayLab().send("edge/external", inTunnel(77, datagram(BRANCH, VM, [53, 4000])));
    expect([end!.port, seen(end!.frame)]).toEqual([
      "hv1/Contoso1",
      { source: BRANCH, destination: VM, ttl: 62, ports: [53, 4000] },
    ]);
  });

  it("later packets never leave the kernel, both ways; another flow, or padding, is asked for", () => {
    const lab = new GatewayLab();
    const out = (data: number): End =>
      lab.send("hv1/Contoso1", fromContoso(datagram(VM, BRANCH, [4000, 53], { data: Uint8Array.of(data, 2) })))[0]!;
    const back = (data: number): End =>
      lab.send("edge/external", inTunnel(77, datagram(BRANCH, VM, [53, 4000], { data: Uint8Array.of(data, 2) })))[0]!;
    const misses = (): number => lab.lab.engine.flowCounters().misses;
    out(0);
    back(0);
    const before = misses();
    for (let data = 1; data < 20; data++) {
      expect([out(data), back(data)].map(({ port }) => port)).toEqual(["edge/external", "hv1/Contoso1"]);
      expect(seen(out(data).frame, 42)).toEqual({ source: VM, destination: BRANCH, ttl: 62, ports: [4000, 53] });
      expect(out(data).frame[42 + 28]).toBe(data);
    }
    expect(misses()).toBe(before);
    const refused = lab.send("edge/external", inTunnel(78, datagram(BRANCH, VM, [53, 4000])))[0]!;
    expect([refused.reason, misses()], "another key is another flow").toEqual(["GATEWAY_TUNNEL", before + 1]);

    const bare = out(7).frame;
    const padded = concatenate(
      fromContoso(datagram(VM, BRANCH, [4000, 53], { data: Uint8Array.of(7, 2) })),
      new Uint8Array(9),
    );
    const [end] = lab.send("hv1/Contoso1", padded);
    expect(hexOf(end!.frame.subarray(34)), "what lies behind the packet stays behind").toBe(hexOf(bare.subarray(34)));
    const longer = concatenate(datagram(BRANCH, VM, [53, 4000], { data: Uint8Array.of(7, 2) }), new Uint8Array(9));
    expect(lab.send("edge/external", inTunnel(77, longer))[0]!.frame).toEqual(back(7).frame);
  });

  it("the table of flows shows the key and whose packets are inside", () => {
    const lab = new GatewayLab();
    lab.send("edge/external", inTunnel(77, datagram(BRANCH, VM, [53, 4000])));
    const flow = [...lab.lab.engine.flows()].find(({ kind }) => kind === "GRE4_IPV4")!;
    expect([flow.tunnel, flow.ip]).toMatchObject([
      { vsid: null, key: 77, source: FAR, destination: OURS },
      { source: BRANCH, destination: VM, ports: [53, 4000] },
    ]);
  });

  it.skipIf(!isScapyAvailable() || !isTsharkAvailable())(
    "over IPv6, with IPv4 and IPv6 inside: as Scapy writes it, and tshark reads it",
    () => {
      const text = V6.replace("source: 203.0.113.3, destination: 198.51.100.7, prefixes: [172.16.0.0/16]", V6_TUNNEL);
      expect(text).not.toBe(V6);
      const script = (outer: string, link: string, hops: number): string => `
for inside in (IP(src="172.16.5.5", dst="10.0.1.101", ttl=${hops}, id=7), IPv6(src="fd00:99::5", dst="fd00:1::101", hlim=${hops})):
    emit(${link}/${outer}inside/UDP(sport=53, dport=4000)/b"branch")`;
      const wires = scapyFrames(
        script(
          `IPv6(src="2001:db8:9::7", dst="2001:db8::3", hlim=60, fl=9)/GRE(key_present=1, key=77)/`,
          `Ether(dst="${EDGE.replaceAll("-", ":")}", src="${UPSTREAM.replaceAll("-", ":")}")`,
          64,
        ),
      );
      const wanted = scapyFrames(
        script("", `Ether(dst="${CONTOSO1.replaceAll("-", ":")}", src="00:11:22:33:44:55")`, 62),
      );
      const lab = new GatewayLab(text);
      for (let n = 0; n < 3; n++) {
        const ends = wires.map((wire) => lab.send("edge/external", wire)[0]!);
        expect(ends.map(({ port, frame: bytes }) => [port, hexOf(bytes)])).toEqual(
          wanted.map((bytes) => ["hv1/Contoso1", hexOf(bytes)]),
        );
      }
      const answers = wanted.map((bytes) => answerTo(bytes));
      for (let n = 0; n < 3; n++) {
        const left = answers.map((bytes) => lab.send("hv1/Contoso1", bytes)[0]!.frame);
        const rows = tsharkFields(left, [
          "ipv6.dst",
          "ip.dst",
          "gre.key",
          "ipv6.plen",
          "udp.checksum.status",
          "ip.checksum.status",
        ]);
        expect(rows).toEqual([
          {
            "ipv6.dst": ["2001:db8:9::7"],
            "ip.dst": ["172.16.5.5"],
            "gre.key": ["0x0000004d"],
            "ipv6.plen": ["42"],
            "udp.checksum.status": ["1"],
            "ip.checksum.status": ["1"],
          },
          {
            "ipv6.dst": ["2001:db8:9::7", "fd00:99::5"],
            "ip.dst": [],
            "gre.key": ["0x0000004d"],
            "ipv6.plen": ["62", "14"],
            "udp.checksum.status": ["1"],
            "ip.checksum.status": [],
          },
        ]);
      }
      expect(lab.lab.engine.flowCounters().guarded).toBe(0);
    },
  );

  it("congestion marks go along both ways (RFC 6040)", () => {
    const lab = new GatewayLab();
    const marked = ip({ source: VM, destination: BRANCH, protocol: 17, payload: new Uint8Array(8), tos: 0x03 });
    expect(lab.send("hv1/Contoso1", fromContoso(marked))[0]!.frame[15]).toBe(3);
    const capable = ip({ source: BRANCH, destination: VM, protocol: 17, payload: new Uint8Array(8), tos: 0xba });
    const [end] = lab.send("edge/external", inTunnel(77, capable, FAR, 3));
    expect(end!.frame[15]).toBe(0xbb);
    expect(internetChecksum(end!.frame.subarray(14, 34))).toBe(0);
    expect(lab.send("edge/external", inTunnel(77, datagram(BRANCH, VM, [1, 2]), FAR, 3))[0]!.reason).toBe("RX_ECN");
  });

  it.each([
    ["another key", inTunnel(78, datagram(BRANCH, VM, [1, 2])), "GATEWAY_TUNNEL"],
    ["another far end", inTunnel(77, datagram(BRANCH, VM, [1, 2]), WEB), "GATEWAY_TUNNEL"],
    ["a source that is not behind it", inTunnel(77, datagram(WEB, VM, [1, 2])), "GATEWAY_TUNNEL"],
    ["the last hop", inTunnel(77, datagram(BRANCH, VM, [1, 2], { ttl: 1 })), "GATEWAY_TTL"],
    ["no packet inside", inTunnel(77, Uint8Array.of(8, 0, 0x45, 0, 0)), "GATEWAY_TUNNEL"],
    [
      "no key",
      fromOutside(ip({ source: FAR, destination: OURS, protocol: 47, payload: gre(0, new Uint8Array(20), 0) })),
      "GATEWAY_TUNNEL",
    ],
  ])("refuses %s", (_, bytes, reason) => {
    expect(new GatewayLab().send("edge/external", bytes)[0]!.reason).toBe(reason);
  });

  it("what does not fit the tunnel is told to its sender", () => {
    const lab = new GatewayLab();
    const fitting = datagram(VM, BRANCH, [1, 2], { data: new Uint8Array(1500 - 28 - 28) });
    expect(lab.send("hv1/Contoso1", fromContoso(fitting))[0]!.frame.length).toBe(1514);
    const big = datagram(VM, BRANCH, [1, 2], { data: new Uint8Array(1500 - 28 - 27) });
    const ends = lab.send("hv1/Contoso1", fromContoso(big));
    expect(ends.map(({ reason }) => reason)).toEqual(["GATEWAY_TOO_BIG", "NONE"]);
    expect(hexOf(ends[1]!.frame.subarray(40, 42))).toBe("05c0"); // 1472
  });

  describe.skipIf(!isScapyAvailable())("a router on the tunnel's path", () => {
    interface Complaint {
      readonly mtu: number;
      readonly key?: number;
      readonly far?: string;
      readonly flags?: string;
      /** Octets that are quoted. */
      readonly cut?: number;
      readonly extra?: string;
    }
    /** To the tunnel's end, about packets that came out of it; all written at once, as Scapy takes its time to start. */
    const tooBig = (...complaints: readonly Complaint[]): Uint8Array[] =>
      scapyFrames(
        complaints
          .map(
            ({ mtu, key = 77, far = FAR, flags = "DF", cut = 28, extra = "" }) => `
inside = IP(src="${VM}", dst="${BRANCH}", flags="DF")/UDP(sport=1, dport=2)/Raw(bytes(1400))
quoted = bytes(IP(src="${OURS}", dst="${far}", flags="${flags}", proto=47)/GRE(key_present=1, key=${key}, proto=0x800)/inside)[:${cut}]
emit(Ether(dst="${EDGE.replaceAll("-", ":")}", src="${UPSTREAM.replaceAll("-", ":")}")/IP(src="198.51.100.1", dst="${OURS}")/ICMP(type=3, code=4, nexthopmtu=${mtu}${extra})/Raw(quoted))`,
          )
          .join("\n"),
      );
    const inner = (length: number): Uint8Array =>
      fromContoso(datagram(VM, BRANCH, [1, 2], { data: new Uint8Array(length - 28) }));
    const reasons = (lab: GatewayLab, length: number): string[] =>
      lab.send("hv1/Contoso1", inner(length)).map(({ reason }) => reason);

    it("makes it narrower: the next inner packet that no longer fits is answered with what does, for ten minutes", () => {
      const lab = new GatewayLab();
      expect(reasons(lab, 1400)).toEqual(["NONE"]);
      expect(lab.send("edge/external", ...tooBig({ mtu: 1300 }))).toEqual([]);
      expect(lab.lab.engine.reasonCounts().map(({ reason }) => reasonName(reason))).toEqual(["GATEWAY_PATH_MTU"]);
      expect(reasons(lab, 1300 - 28)).toEqual(["NONE"]);
      const [dropped, told] = lab.send("hv1/Contoso1", inner(1300 - 27));
      expect([dropped!.reason, told!.port]).toEqual(["GATEWAY_TOO_BIG", "hv1/Contoso1"]);
      expect(hexOf(told!.frame.subarray(40, 42))).toBe("04f8"); // 1272
      lab.wait(601_000);
      expect(reasons(lab, 1400)).toEqual(["NONE"]);
    });

    it("is not believed about what the tunnel does not send, or cannot be", () => {
      const frames = tooBig(
        { mtu: 1456 },
        { mtu: 0 },
        { mtu: 1300, flags: "" },
        { mtu: 1300, extra: ", chksum=1" },
        { mtu: 1300, key: 78 },
        { mtu: 1300, far: WEB },
        { mtu: 1300, cut: 12 },
        { mtu: 68 },
        { mtu: 1300 },
      );
      const lab = new GatewayLab();
      const reasonsOf = (bytes: Uint8Array): string[] => lab.send("edge/external", bytes).map(({ reason }) => reason);
      for (const bytes of frames.slice(0, 4)) expect(reasonsOf(bytes)).toEqual(["GATEWAY_PATH_MTU_IGNORED"]);
      for (const bytes of frames.slice(4, 7)) expect(reasonsOf(bytes)).toEqual(["NAT_PROTOCOL"]);
      expect(reasons(lab, 1400)).toEqual(["NONE"]);
      expect(reasonsOf(frames[7]!)).toEqual([]);
      expect(reasons(lab, 576 - 28), "576 octets at least").toEqual(["NONE"]);
      const again = reasonsOf(frames[8]!);
      expect(again, "no less than what is known").toEqual(["GATEWAY_PATH_MTU_IGNORED"]);
    });
  });
});

describe("IPv6", () => {
  it("echo and its answer, and an error about it, go through a range of their family", () => {
    const lab = new GatewayLab(V6);
    const [vm, web, own] = ["fd00:1::101", "2001:db8:9::9", "2001:db8::2"];
    const echo = [128, 0, 0, 0, 0x12, 0x34, 0, 1, 5];
    const [out] = lab.send("hv1/Contoso1", fromContoso(icmpv6(vm, web, echo, 64)));
    const translated = icmpv6(own, web, [128, 0, 0, 0, 0, 7, 0, 1, 5], 62);
    expect([out!.port, hexOf(out!.frame.subarray(12))]).toEqual(["edge/external", hexOf(translated)]);
    const [back] = lab.send("edge/external", fromOutside(icmpv6(web, own, [129, 0, 0, 0, 0, 7, 0, 1, 5], 64)));
    const answer = icmpv6(web, vm, [129, 0, 0, 0, 0x12, 0x34, 0, 1, 5], 62);
    expect([back!.port, hexOf(back!.frame.subarray(12))]).toEqual(["hv1/Contoso1", hexOf(answer)]);
    const error = icmpv6(web, own, [3, 0, 0, 0, 0, 0, 0, 0, ...out!.frame.subarray(14)], 64);
    const [told] = lab.send("edge/external", fromOutside(error));
    const quoted = icmpv6(vm, web, echo, 62).subarray(2);
    const expected = icmpv6(web, vm, [3, 0, 0, 0, 0, 0, 0, 0, ...quoted], 62);
    expect(hexOf(told!.frame.subarray(12))).toBe(hexOf(expected));
  });
});

describe.skipIf(!isTsharkAvailable())("tshark", () => {
  it("finds every checksum right in what leaves on both sides", () => {
    const lab = new GatewayLab();
    const frames = [
      outbound(lab)[0]!,
      outbound(lab)[0]!,
      tcp(lab, SYN),
      tcp(lab, ACK),
      tcp(lab, FIN | ACK),
      ...lab.send("hv1/Contoso1", fromContoso(icmp(VM, WEB, [8, 0, 0, 0, 0x12, 0x34, 0, 1]))),
      ...lab.send("hv1/Contoso1", fromContoso(datagram(VM, "172.16.5.5", [4000, 53]))),
    ];
    const back = fromOutside(datagram(WEB, PUBLIC, [53, seen(frames[0]!.frame).ports[0]]));
    frames.push(...lab.send("edge/external", back), ...lab.send("edge/external", back));
    const names = [
      "ip.checksum.status",
      "udp.checksum.status",
      "tcp.checksum.status",
      "icmp.checksum.status",
      "gre.key",
    ] as const;
    const rows = tsharkFields(
      frames.map((end) => end.frame),
      names,
    );
    for (const row of rows) {
      const found = names.slice(0, 4).flatMap((name) => row[name]);
      expect(found.length).toBeGreaterThan(1);
      expect(
        found.every((status) => status === "1" || status === "Good"),
        JSON.stringify(row),
      ).toBe(true);
    }
    expect(rows[6]!["gre.key"]).toEqual(["0x0000004d"]);
  });
});
