/** The send checklist and the unicast decision, from Blue1 on host 1 unless told otherwise. */
import { describe, expect, it } from "vitest";
import { hexOf, innerOf, workedPacket } from "../../../vectors/worked-packets.js";
import {
  adapter,
  BLUE,
  type Changes,
  type FrameOptions,
  HOST1,
  host1,
  ip,
  ipFrame,
  labRecords,
  labRoutes,
  MACS,
  mac,
  macOctets,
  NIC,
  nic,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  port,
  providerAddress,
  record,
  repairIpv4,
  route,
  splice,
  type TestHost,
} from "../fixture.js";

const toBlue2: FrameOptions = { destination: MACS.blue2, source: MACS.blue1, from: "10.0.0.5", to: "10.0.0.7" };
const viaGateway: FrameOptions = { ...toBlue2, destination: MACS.gateway5001, to: "10.0.1.9" };
const frame = (options: Partial<FrameOptions> = {}): Uint8Array => ipFrame({ ...toBlue2, ...options });
const lab = host1();
const verdict = (options: Partial<FrameOptions>, host: TestHost = lab): string =>
  host.verdict(frame(options), HOST1.blue1);
const withRecords = (...more: ReturnType<typeof record>[]): TestHost =>
  host1({ lookupRecords: [...labRecords(), ...more] });

describe("send checklist", () => {
  it("row 1: a port without a VSID is none of our business", () => {
    const host = host1({ ports: { 9: adapter(0, "06-06-00-00-00-44") } });
    expect(host.verdict(frame(), port(9))).toBe("pass NONE");
  });

  it("row 2: RFC 7637 §3.3: a priority tag is removed, a VLAN tag refused", () => {
    const tagged = lab.send(frame({ tci: 0xa000 }), HOST1.blue1);
    expect(hexOf(tagged.frame)).toBe(hexOf(lab.send(frame(), HOST1.blue1).frame));
    expect(verdict({ tci: 0x0005 })).toBe("TX_INNER_VLAN");
    expect(lab.verdict(splice(frame({ tci: 0 }), 12, [0x81, 0, 0, 0], 0), HOST1.blue1)).toBe("TX_INNER_VLAN");
    expect(lab.verdict(splice(frame(), 12, [0x88, 0xa8, 0, 5], 0), HOST1.blue1)).toBe("TX_INNER_VLAN");
  });

  it("row 3: LLDP, IPX and IEEE 802.2 frames are not carried", () => {
    for (const type of [
      [0x88, 0xcc],
      [0x81, 0x37],
      [0x00, 0x26],
    ]) {
      expect(lab.verdict(splice(frame(), 12, type), HOST1.blue1)).toBe("TX_NON_IP");
    }
  });

  it("a broken IP header is dropped, and not cached", () => {
    const broken = splice(frame(), 14, [0x65]);
    expect(lab.verdict(broken, HOST1.blue1)).toBe("INVALID_PACKET");
    expect(lab.decide(broken, HOST1.blue1).cacheable).toBe(false);
    expect(lab.verdict(frame().subarray(0, 13), HOST1.blue1)).toBe("INVALID_PACKET");
  });

  it("row 4: no customer route", () => {
    expect(verdict({ ...viaGateway, to: "10.9.9.9" })).toBe("TX_NO_ROUTE");
  });

  it("row 4: no lookup record", () => {
    expect(verdict({ to: "10.0.0.8" })).toBe("TX_NO_RECORD");
    expect(verdict({ ...viaGateway, to: "10.0.1.8" })).toBe("TX_NO_RECORD");
  });

  it("row 5: RFC 7637 §3.4: the vendor VSID is never sent, even if a port carries it", () => {
    const host = host1({
      ports: { 9: adapter(0xffffff, MACS.blue1) },
      lookupRecords: [record(0xffffff, "10.0.0.5", MACS.blue1, PA1), record(0xffffff, "10.0.0.7", MACS.blue2, PA2)],
    });
    expect(host.verdict(frame(), port(9))).toBe("TX_VSID_RANGE");
  });

  it("row 6: a next hop on this host is delivered by (VSID, MAC), routed like any other", () => {
    const routed = frame({ ...viaGateway, to: "10.0.1.4", ttl: 9 });
    const sent = lab.send(routed, HOST1.blue1);
    expect(sent.output).toBe(HOST1.blue4);
    const expected = splice(routed, 0, [...macOctets(MACS.blue4), ...macOctets(MACS.gateway5002)]);
    expected[22] = 8;
    expect(hexOf(sent.frame)).toBe(hexOf(repairIpv4(expected)));
  });

  it("row 6: a record of this host without a port, and a packet to its own sender", () => {
    const host = withRecords(record(5001, "10.0.0.6", "06-06-00-00-00-06", PA1));
    expect(verdict({ to: "10.0.0.6" }, host)).toBe("NOT_ACCEPTED");
    expect(verdict({ to: "10.0.0.5", destination: MACS.blue1 })).toBe("NOT_ACCEPTED");
  });

  it.each([
    ["TranslationMethodNone", "TX_RULE_NONE"],
    ["TranslationMethodNat", "TX_NAT_SOURCE"],
  ] as const)("a record with rule %s", (rule, expected) => {
    const host = withRecords(record(5001, "10.0.0.8", "06-06-00-00-00-08", PA2, { rule }));
    expect(verdict({ to: "10.0.0.8" }, host)).toBe(expected);
  });

  it("the rule does not matter for a VM on this host", () => {
    const rule = "TranslationMethodNone";
    const host = host1({
      ports: { 9: adapter(5001, "06-06-00-00-00-06") },
      lookupRecords: [...labRecords(), record(5001, "10.0.0.6", "06-06-00-00-00-06", PA1, { rule })],
    });
    expect(host.forward(frame({ to: "10.0.0.6" }), HOST1.blue1).output).toBe(port(9));
  });

  it("row 8: no provider route, and an unknown neighbor", () => {
    const far = record(5001, "10.0.0.8", "06-06-00-00-00-08", "203.0.113.1");
    expect(verdict({ to: "10.0.0.8" }, withRecords(far))).toBe("TX_NO_PROVIDER_ROUTE");
    const silent = record(5001, "10.0.0.8", "06-06-00-00-00-08", "192.168.4.77");
    expect(verdict({ to: "10.0.0.8" }, withRecords(silent))).toBe("TX_PA_UNRESOLVED");
  });

  it("row 8: the outer destination MAC is the provider router's where a route leads there", () => {
    const host = host1({
      lookupRecords: [...labRecords(), record(5001, "10.0.0.8", "06-06-00-00-00-08", "203.0.113.1")],
      providerRoutes: [
        {
          interfaceIndex: 1,
          destinationPrefix: { address: ip("0.0.0.0"), length: 0 },
          nextHop: ip("192.168.4.1"),
          metric: 256,
        },
      ],
    });
    const { push } = host.forward(frame({ to: "10.0.0.8" }), HOST1.blue1);
    expect(push?.ethernet.destination).toBe(mac(MACS.providerRouter));
    expect(push?.destination).toEqual(ip("203.0.113.1"));
  });

  it("RFC 7637 §3.2: a FlowID of zero where none is made", () => {
    const host = host1({ settings: { flowId: "zero" } });
    expect(host.send(innerOf("a"), HOST1.blue1).frame[0x29]).toBe(0);
  });
});

describe("row 9: RFC 7637 §4.4: an NVGRE packet is not fragmented", () => {
  // IP MTU 1600 leaves 1558 octets inside IPv4, 1538 inside IPv6.
  const ofLength = (length: number, more: Partial<FrameOptions> = {}): Uint8Array =>
    frame({ payload: new Uint8Array(length - (more.from?.includes(":") ? 40 : 20)).fill(0x11), ...more });
  const v6: Partial<FrameOptions> = { from: "fd00:10::5", to: "fd00:10::7" };

  it("1558 octets fit, 1559 do not", () => {
    expect(lab.send(ofLength(1558), HOST1.blue1).frame.length).toBe(1600 + 14);
    expect(lab.forward(ofLength(1558), HOST1.blue1).lengthLimit).toBe(1558);
    expect(lab.verdict(ofLength(1559, { dontFragment: true }), HOST1.blue1)).toBe("TX_TOO_BIG_ICMP4");
    expect(lab.verdict(ofLength(1559), HOST1.blue1)).toBe("consume TX_INNER_FRAGMENTED");
    expect(lab.verdict(ofLength(1558, v6), HOST1.blue1)).toBe("forward");
    expect(lab.verdict(ofLength(1559, v6), HOST1.blue1)).toBe("TX_TOO_BIG_ICMP6");
  });

  it("is not cached, as the length is not in the flow key", () => {
    expect(lab.decide(ofLength(1559), HOST1.blue1).cacheable).toBe(false);
    expect(lab.decide(ofLength(1558), HOST1.blue1).cacheable).toBe(true);
  });

  it("1538 octets fit an IPv6 outer header", () => {
    const host = host1({
      providerAddresses: [providerAddress(PA1_V6)],
      lookupRecords: labRecords(PA1_V6, PA2_V6),
    });
    expect(host.send(ofLength(1538), HOST1.blue1).frame.length).toBe(1600 + 14);
    expect(host.verdict(ofLength(1539), HOST1.blue1)).toBe("consume TX_INNER_FRAGMENTED");
  });

  it("padding counts, as it travels along", () => {
    expect(lab.verdict(ofLength(1558, { padding: 1 }), HOST1.blue1)).toBe("TX_TOO_BIG");
  });

  it("an outer VLAN tag takes nothing away from the inner packet", () => {
    const host = host1({ providerAddresses: [providerAddress(PA1, { vlanID: 103 })] });
    expect(host.verdict(ofLength(1558), HOST1.blue1)).toBe("forward");
  });
});

describe("source policy", () => {
  it("a record with another MAC, and no record", () => {
    expect(verdict({ from: "10.0.0.7" })).toBe("TX_SRC_POLICY");
    expect(verdict({ from: "10.0.0.99" })).toBe("TX_SRC_POLICY");
    expect(verdict({ from: "10.0.0.1" })).toBe("TX_SRC_POLICY"); // the gateway's
  });

  it("a record of the same address in another virtual subnet does not help", () => {
    expect(lab.verdict(frame({ source: MACS.blue1, from: "10.0.1.4" }), HOST1.blue1)).toBe("TX_SRC_POLICY");
    expect(lab.verdict(frame({ source: MACS.red1, from: "10.0.0.5" }), HOST1.blue1)).toBe("TX_SRC_POLICY");
  });

  it.each(["GatewayWildcard", "L2Only"] as const)("a %s record of the MAC allows any source", (type) => {
    const host = withRecords(record(5001, "0.0.0.0", MACS.blue1, PA1, { type }));
    expect(verdict({ from: "203.0.113.5" }, host)).toBe("forward");
  });

  const notTheirs: [string, string][] = [
    ["the gateway address of its subnet, without a record", "fd00:10::1"],
    ["the gateway address of another subnet", "10.0.1.1"],
    ["another VM's", "10.0.0.7"],
    ["a VM's of another subnet", "10.0.1.9"],
    ["limited broadcast", "255.255.255.255"],
    ["directed broadcast", "10.0.0.255"],
    ["multicast", "224.0.0.5"],
    ["IPv6 multicast", "ff02::5"],
  ];
  it.each(notTheirs)("neither of them is %s: %s", (_title, from) => {
    const to = from.includes(":") ? "fd00:10::7" : "10.0.0.7";
    for (const type of ["GatewayWildcard", "L2Only"] as const) {
      const host = withRecords(record(5001, "0.0.0.0", MACS.blue1, PA1, { type }));
      expect(verdict({ from, to }, host), type).toBe("TX_SRC_POLICY");
    }
  });

  it("an address that another VM has taught: an L2Only VM may come to have it, a gateway never", () => {
    const taught = record(5001, "10.0.0.8", MACS.blue2, PA2, { type: "Dynamic" });
    const with_ = (type: "GatewayWildcard" | "L2Only") =>
      withRecords(taught, record(5001, "0.0.0.0", MACS.blue1, PA1, { type }));
    expect(verdict({ from: "10.0.0.8" }, with_("L2Only"))).toBe("forward");
    expect(verdict({ from: "10.0.0.8" }, with_("GatewayWildcard"))).toBe("TX_SRC_POLICY");
  });

  it("with an external router, what comes from it has the addresses of other subnets, and of the router itself", () => {
    const wildcard = record(5001, "0.0.0.0", MACS.blue1, PA1, { type: "GatewayWildcard" });
    const host = host1({ settings: { useExternalRouter: true }, lookupRecords: [...labRecords(), wildcard] });
    expect(verdict({ from: "10.0.1.9" }, host)).toBe("forward");
    expect(verdict({ from: "10.0.1.1" }, host)).toBe("forward");
    expect(verdict({ from: "fd00:10::7", to: "fd00:10::5" }, host)).toBe("TX_SRC_POLICY");
  });

  it("link-local and unspecified sources are accepted, and leave from the sender's own provider address", () => {
    const host = host1({
      providerAddresses: [providerAddress("192.168.4.10"), providerAddress(PA1)],
    });
    for (const options of [{ from: "0.0.0.0" }, { from: "169.254.3.4" }]) {
      expect(verdict(options)).toBe("forward");
      expect(host.forward(frame(options), HOST1.blue1).push?.source).toEqual(ip(PA1));
    }
    expect(verdict({ from: "fe80::5", to: "fd00:10::7" })).toBe("forward");
    expect(verdict({ from: "::", to: "fd00:10::7" })).toBe("forward");
  });

  it("a refused packet tells which record was nearest", () => {
    const notes = lab.explain(frame({ from: "10.0.0.7" }), HOST1.blue1).get("source policy")!;
    expect(notes[0]!.nearest).toMatchObject({ differs: "macAddress", record: { macAddress: mac(MACS.blue2) } });
    const elsewhere = lab.explain(frame({ from: "10.0.1.4" }), HOST1.blue1).get("source policy")!;
    expect(elsewhere[0]!.nearest).toMatchObject({ differs: "virtualSubnetID", record: { virtualSubnetID: 5002 } });
    const gateway = withRecords(record(5001, "0.0.0.0", MACS.blue1, PA1, { type: "GatewayWildcard" }));
    const inside = gateway.explain(frame({ from: "10.0.1.9" }), HOST1.blue1).get("source policy")!;
    expect(inside[0]).toMatchObject({
      decided: "a record gives this address to another MAC",
      nearest: { differs: "macAddress", record: { macAddress: mac(MACS.blue3) } },
    });
  });
});

describe("packet classes", () => {
  const groups: [string, Partial<FrameOptions>][] = [
    ["limited broadcast", { to: "255.255.255.255" }],
    ["directed broadcast", { to: "10.0.0.255" }],
    ["IPv4 multicast", { to: "239.1.2.3" }],
    ["IPv6 multicast", { from: "fd00:10::5", to: "ff02::fb" }],
  ];
  it.each(groups)("%s does not leave the host in 2012 mode", (_title, options) => {
    expect(verdict(options, host1({ settings: { mode: "2012" } }))).toBe("TX_FLOOD_2012");
  });

  it("the directed broadcast of another virtual subnet is an address without a record", () => {
    expect(verdict({ ...viaGateway, to: "10.0.1.255" })).toBe("TX_NO_RECORD");
  });

  it("the gateway address of any virtual subnet of the routing domain ends at the router", () => {
    expect(verdict({ destination: MACS.gateway5001, to: "10.0.0.1" })).toBe("TX_ROUTER_SELF");
    expect(verdict({ ...viaGateway, to: "10.0.1.1" })).toBe("TX_ROUTER_SELF");
    expect(verdict({ from: "fd00:10::5", to: "fd00:10::" })).not.toBe("TX_ROUTER_SELF");
    expect(verdict({ from: "fd00:10::5", to: "fd00:10::1" })).toBe("TX_ROUTER_SELF");
  });

  it("link-local: the record of the address, else of the MAC, within the virtual subnet, TTL as it was", () => {
    const sent = lab.send(frame({ from: "fe80::5", to: "fe80::7", ttl: 1 }), HOST1.blue1);
    expect(sent.output).toBe(NIC);
    expect(sent.frame[42 + 14 + 7]).toBe(1);
    expect(verdict({ from: "169.254.0.5", to: "169.254.0.7", destination: MACS.blue3 })).toBe("TX_NO_RECORD");
    const byAddress = withRecords(record(5001, "fe80::99", MACS.blue2, PA2));
    const { ethernet } = byAddress.forward(
      frame({ from: "fe80::5", to: "fe80::99", destination: "06-06-00-00-00-99" }),
      HOST1.blue1,
    );
    expect(ethernet?.destination).toBe(mac(MACS.blue2));
  });

  it("multicast listener reports are not neighbor discovery, though they are ICMPv6", () => {
    const report = Uint8Array.from([143, 0, 0, 0, 0, 0, 0, 0]);
    expect(verdict({ from: "fd00:10::5", to: "ff02::16", protocol: 58, payload: report })).toBe("forward");
  });
});

describe("next hop", () => {
  it("longest prefix, whatever the metric", () => {
    const host = host1({
      customerRoutes: [...labRoutes(), route(BLUE, 5002, "10.0.0.7/32", "10.0.1.9", 99)],
    });
    const { push, ethernet } = host.forward(frame(), HOST1.blue1);
    expect(push?.vsid).toBe(5002);
    expect(ethernet?.destination).toBe(mac(MACS.blue3));
  });

  /** The VSID chosen among routes to 172.16.0.0/16 through one next hop, which each of the virtual subnets has a record of. */
  const tie = (...routes: [vsid: number, metric: number][]): number | undefined =>
    host1({
      customerRoutes: [
        ...labRoutes(),
        ...routes.map(([vsid, metric]) => route(BLUE, vsid, "172.16.0.0/16", "192.168.9.9", metric)),
      ],
      lookupRecords: [
        ...labRecords(),
        ...routes.map(([vsid]) => record(vsid, "192.168.9.9", "06-06-00-00-00-99", PA2)),
      ],
    }).forward(frame({ ...viaGateway, to: "172.16.0.9" }), HOST1.blue1).push?.vsid;

  it("tie: the lowest metric", () => {
    expect(tie([5001, 2], [5003, 1])).toBe(5003);
  });

  it("tie: then the sender's own virtual subnet", () => {
    expect(tie([5000, 1], [5002, 1], [5001, 1])).toBe(5001);
  });

  it("tie: then the lowest VSID", () => {
    expect(tie([5004, 1], [5003, 1])).toBe(5003);
  });

  it("tie: then the first that was written", () => {
    const host = host1({
      customerRoutes: [
        ...labRoutes(),
        route(BLUE, 5002, "172.16.0.0/16", "10.0.1.9"),
        route(BLUE, 5002, "172.16.0.0/16", "10.0.1.4"),
      ],
    });
    expect(host.forward(frame({ ...viaGateway, to: "172.16.0.1" }), HOST1.blue1).ethernet?.destination).toBe(
      mac(MACS.blue3),
    );
  });

  it("a route with a next hop: the gateway's record, VSID and MAC; the address stays", () => {
    const host = host1({
      customerRoutes: [...labRoutes(), route(BLUE, 5002, "0.0.0.0/0", "10.0.1.9")],
    });
    const sent = host.send(frame({ ...viaGateway, to: "203.0.113.80", ttl: 64 }), HOST1.blue1).frame;
    expect(Array.from(sent.subarray(0x26, 0x29))).toEqual([0x00, 0x13, 0x8a]);
    expect(Array.from(sent.subarray(0x2a, 0x36))).toEqual([...macOctets(MACS.blue3), ...macOctets(MACS.gateway5002)]);
    expect(sent[0x38 + 8]).toBe(63);
    expect(Array.from(sent.subarray(0x38 + 16, 0x38 + 20))).toEqual([203, 0, 113, 80]);
  });

  it("a default route whose next hop has no record", () => {
    const host = host1({ customerRoutes: [...labRoutes(), route(BLUE, 5002, "0.0.0.0/0", "10.0.1.77")] });
    expect(verdict({ ...viaGateway, to: "203.0.113.80" }, host)).toBe("TX_NO_RECORD");
  });

  it("same subnet: TTL and source MAC stay, the destination MAC is the record's", () => {
    const { decrementTtl, ethernet } = lab.forward(frame({ destination: "06-06-00-00-00-99" }), HOST1.blue1);
    expect(decrementTtl).toBe(false);
    expect(ethernet).toEqual({ destination: mac(MACS.blue2), source: mac(MACS.blue1), tag: null });
    expect(lab.forward(frame(), HOST1.blue1).ethernet).toBeNull();
  });

  it("same subnet by way of the gateway MAC is routed", () => {
    const { decrementTtl, ethernet } = lab.forward(frame({ destination: MACS.gateway5001 }), HOST1.blue1);
    expect(decrementTtl).toBe(true);
    expect(ethernet).toEqual({ destination: mac(MACS.blue2), source: mac(MACS.gateway5001), tag: null });
    expect(lab.forward(frame({ destination: "02-00-5E-00-01-01" }), HOST1.blue1).decrementTtl).toBe(true);
  });

  it("a VM that sends to another VM's MAC to have it routed is not obeyed", () => {
    const { push, ethernet } = lab.forward(frame({ to: "10.0.1.9", destination: MACS.blue2 }), HOST1.blue1);
    expect([push?.vsid, ethernet?.destination]).toEqual([5002, mac(MACS.blue3)]);
  });

  it("RFC 1812 §5.3.1: a TTL that runs out at the router, v4 and v6, is dropped and not cached", () => {
    for (const ttl of [0, 1]) {
      expect(verdict({ ...viaGateway, ttl })).toBe("TX_TTL_EXCEEDED");
      expect(verdict({ ttl })).toBe("forward"); // same subnet
    }
    expect(verdict({ ...viaGateway, ttl: 2 })).toBe("forward");
    expect(lab.decide(frame({ ...viaGateway, ttl: 1 }), HOST1.blue1).cacheable).toBe(false);
    const v6 = { destination: MACS.gateway5001, from: "fd00:10::5", to: "fd00:10::7", ttl: 1 };
    expect(verdict(v6)).toBe("TX_TTL_EXCEEDED");
  });

  it("a drop behind the TTL guard is not cached, or it would hide the TTL's", () => {
    const host = withRecords(record(5002, "10.0.1.8", MACS.blue3, PA2, { rule: "TranslationMethodNone" }));
    const decision = host.decide(frame({ ...viaGateway, to: "10.0.1.8" }), HOST1.blue1);
    expect(decision.verdict).toMatchObject({ kind: "drop" });
    expect(decision.cacheable).toBe(false);
  });

  it("by-MAC fallback: a unicast offer reaches a VM whose address is not known yet", () => {
    const unknown = "06-06-00-00-00-77";
    const host = withRecords(record(5001, "0.0.0.0", unknown, PA2, { type: "L2Only" }));
    expect(verdict({ to: "10.0.0.77", destination: unknown }, host)).toBe("forward");
    expect(verdict({ to: "10.0.0.77", destination: MACS.blue2 }, host)).toBe("TX_NO_RECORD"); // Static: by address only
    expect(verdict({ to: "10.0.1.77", destination: unknown }, host)).toBe("TX_NO_RECORD"); // not in another subnet
  });

  it("without a customer route: same-VSID records, nothing else", () => {
    const host = host1({ customerRoutes: [] });
    expect(verdict({}, host)).toBe("forward");
    expect(verdict({ to: "10.0.1.9" }, host)).toBe("TX_NO_ROUTE");
    expect(verdict({ to: "10.0.0.8" }, host)).toBe("TX_NO_ROUTE");
  });

  it("the same addresses in two routing domains lead to two VMs", () => {
    const red = ipFrame({ destination: MACS.red2, source: MACS.red1, from: "10.0.0.5", to: "10.0.0.7" });
    expect(lab.forward(red, HOST1.red1).push?.vsid).toBe(6001);
    expect(lab.forward(frame(), HOST1.blue1).push?.vsid).toBe(5001);
  });

  it("no route leads into another routing domain", () => {
    expect(lab.verdict(ipFrame({ ...viaGateway, source: MACS.red1, to: "10.0.1.9" }), HOST1.red1)).toBe("TX_NO_ROUTE");
  });
});

describe.each(["2012R2", "2012"] as const)("an external router (UseExternalRouter), mode %s", (mode) => {
  const ROUTER = "06-06-00-00-00-FE";
  const through = (router: readonly ReturnType<typeof record>[], routes = labRoutes()) =>
    host1({
      lookupRecords: [...labRecords().filter(({ macAddress }) => macAddress !== mac(MACS.gateway5001)), ...router],
      customerRoutes: routes,
      settings: { mode, useExternalRouter: true },
    });
  /** Of NVGRE in IPv4 without a tag. */
  const wireVsidOf = (bytes: Uint8Array): number => Number.parseInt(hexOf(bytes.subarray(38, 41)), 16);
  const ATTENDED = [record(5001, "10.0.0.1", ROUTER, PA2)];
  const OFF_LINK = {
    destination: ROUTER,
    source: MACS.blue1,
    from: "10.0.0.5",
    to: "10.0.1.9",
    ttl: 1,
  };

  it("gets what leaves the virtual subnet as it is: TTL, source MAC and VSID are the sender's", () => {
    const { frame } = through(ATTENDED).send(ipFrame(OFF_LINK), HOST1.blue1);
    expect(hexOf(frame.subarray(26, 34))).toBe("c0a8040bc0a80416"); // from PA1 to PA2
    expect(wireVsidOf(frame)).toBe(5001);
    expect(hexOf(frame.subarray(42))).toBe(hexOf(ipFrame(OFF_LINK)));
  });

  it("is the one that the virtual subnet's own route names, before its gateway address", () => {
    const other = record(5001, "10.0.0.254", "06-06-00-00-00-FD", PA2);
    const routes = [...labRoutes(), route(BLUE, 5001, "0.0.0.0/0", "10.0.0.254", 9)];
    const { frame } = through([...ATTENDED, other], routes).send(ipFrame(OFF_LINK), HOST1.blue1);
    expect(hexOf(frame.subarray(42, 54))).toBe("0606000000fd060600000005");
    const worse = route(BLUE, 5001, "0.0.0.0/0", "10.0.0.253", 10);
    const both = through([...ATTENDED, other], [worse, ...routes]);
    expect(hexOf(both.send(ipFrame(OFF_LINK), HOST1.blue1).frame.subarray(42, 48))).toBe("0606000000fd");
  });

  it("no record of it in the sender's own virtual subnet: dropped, whatever other subnets have", () => {
    expect(through([]).verdict(ipFrame(OFF_LINK), HOST1.blue1)).toBe("TX_NO_RECORD");
    const wildcard = record(5001, "0.0.0.0", ROUTER, PA2, { type: "GatewayWildcard" });
    expect(through([wildcard]).verdict(ipFrame(OFF_LINK), HOST1.blue1)).toBe("TX_NO_RECORD");
    const host = through([], [...labRoutes(), route(BLUE, 5002, "0.0.0.0/0", "10.0.1.9")]);
    expect(host.verdict(ipFrame({ ...OFF_LINK, to: "8.8.8.8" }), HOST1.blue1)).toBe("TX_NO_RECORD");
  });

  it("has no part in what stays on the link, even if it was sent to the router's MAC", () => {
    const inside = { ...OFF_LINK, to: "10.0.0.7" };
    const { frame } = through(ATTENDED).send(ipFrame(inside), HOST1.blue1);
    expect(hexOf(frame.subarray(42))).toBe(hexOf(ipFrame({ ...inside, destination: MACS.blue2 })));
  });

  it("a prefix without room for a gateway address, and no route: nowhere to go", () => {
    const routes = [route(BLUE, 5001, "10.0.0.4/31"), route(BLUE, 5002, "10.0.1.0/24")];
    expect(through(ATTENDED, routes).verdict(ipFrame(OFF_LINK), HOST1.blue1)).toBe("TX_NO_ROUTE");
  });

  it("the gateway address of the own subnet is still answered for and consumed here, others are the router's", () => {
    const host = through(ATTENDED);
    expect(host.verdict(ipFrame({ ...OFF_LINK, to: "10.0.0.1" }), HOST1.blue1)).toBe("TX_ROUTER_SELF");
    expect(host.verdict(ipFrame({ ...OFF_LINK, to: "10.0.1.1" }), HOST1.blue1)).toBe("forward");
  });

  it("explanations name it", () => {
    const words = (host: ReturnType<typeof host1>) =>
      host.explain(ipFrame(OFF_LINK), HOST1.blue1).get("next hop")!.at(-1)!.decided;
    expect(words(through(ATTENDED))).toBe(
      "left to an external router in virtual subnet 5001; next hop 10.0.0.1 by the record alone, " +
        "MAC 06-06-00-00-00-FE, source MAC 06-06-00-00-00-05",
    );
    expect(words(through([]))).toBe("no lookup record (VSID 5001, 10.0.0.1) of an external router");
  });

  it("it is one setting of the host: without it the same packet is routed here", () => {
    const routed = host1({ settings: { mode } }).send(
      ipFrame({ ...OFF_LINK, destination: MACS.gateway5001, ttl: 9 }),
      HOST1.blue1,
    );
    expect(wireVsidOf(routed.frame)).toBe(5002);
  });
});

describe("2012 mode", () => {
  const mode: Changes = { settings: { mode: "2012" } };
  const local = { 9: adapter(5001, "06-06-00-00-00-06") };

  it("switches unicast to a port of the same virtual subnet by MAC, before policy and whatever it carries", () => {
    const host = host1({ ...mode, ports: local });
    expect(host.forward(frame({ destination: "06-06-00-00-00-06", from: "10.0.0.99" }), HOST1.blue1).output).toBe(
      port(9),
    );
    const lldp = splice(frame({ destination: "06-06-00-00-00-06" }), 12, [0x88, 0xcc]);
    expect(host.forward(lldp, HOST1.blue1).output).toBe(port(9));
    expect(host1({ ports: local }).verdict(lldp, HOST1.blue1)).toBe("TX_NON_IP");
  });

  it("does not switch to a port of another virtual subnet", () => {
    const host = host1(mode);
    expect(host.verdict(frame({ destination: MACS.blue4, to: "10.0.0.99" }), HOST1.blue1)).toBe("TX_NO_RECORD");
  });

  it("asks the records of the whole routing domain before the routes", () => {
    const changes: Changes = { lookupRecords: [...labRecords(), record(5002, "172.16.0.1", MACS.blue3, PA2)] };
    const packet = frame({ ...viaGateway, to: "172.16.0.1" });
    expect(host1(changes).verdict(packet, HOST1.blue1)).toBe("TX_NO_ROUTE");
    const { push, decrementTtl } = host1({ ...mode, ...changes }).forward(packet, HOST1.blue1);
    expect([push?.vsid, decrementTtl]).toEqual([5002, true]);
  });

  it("falls back to the routes", () => {
    const host = host1({ ...mode, customerRoutes: [...labRoutes(), route(BLUE, 5002, "0.0.0.0/0", "10.0.1.9")] });
    expect(host.forward(frame({ ...viaGateway, to: "203.0.113.80" }), HOST1.blue1).push?.vsid).toBe(5002);
  });

  it("packet B all the same", () => {
    const host = host1({ ...mode, providerAddresses: [providerAddress(PA1, { vlanID: 103 })] });
    expect(hexOf(host.send(workedPacket("bFromVm"), HOST1.blue1, 0x1a2c).frame)).toBe(hexOf(workedPacket("b")));
  });
});

describe("row 7: the source provider address", () => {
  const second = providerAddress("192.168.4.12", { interfaceIndex: 2 });
  const sourceOf = (changes: Changes, options: Partial<FrameOptions> = {}) =>
    host1({ ports: { 8: nic("02-00-C0-A8-04-0C", 2) }, ...changes }).forward(frame(options), HOST1.blue1);

  it("is that of the sender's own record, and its interface is the way out", () => {
    const records = labRecords().map((r) =>
      r.macAddress === mac(MACS.blue1) ? { ...r, providerAddress: ip("192.168.4.12") } : r,
    );
    const found = sourceOf({
      providerAddresses: [providerAddress(PA1), second],
      lookupRecords: records,
      interfaceMtus: [1600, 1500],
    });
    expect(found.push?.source).toEqual(ip("192.168.4.12"));
    expect(found.output).toBe(port(8));
    expect(found.lengthLimit).toBe(1458);
  });

  it("the only Preferred one stands in for one that is not here, several do not", () => {
    const records = labRecords("192.168.4.99");
    expect(sourceOf({ lookupRecords: records }).push?.source).toEqual(ip(PA1));
    const two: Changes = { lookupRecords: records, providerAddresses: [providerAddress(PA1), second] };
    expect(host1(two).verdict(frame(), HOST1.blue1)).toBe("TX_NO_PA");
    const oneUsable = [providerAddress(PA1, { addressState: "Duplicate" as const }), second];
    expect(sourceOf({ ...two, providerAddresses: oneUsable }).push?.source).toEqual(ip("192.168.4.12"));
  });

  it("none at all", () => {
    expect(verdict({}, host1({ providerAddresses: [] }))).toBe("TX_NO_PA");
  });

  it.each(["Tentative", "Duplicate", "Deprecated", "Invalid"] as const)("is not used in state %s", (addressState) => {
    const host = host1({ providerAddresses: [providerAddress(PA1, { addressState }), second] });
    expect(verdict({}, host)).toBe("TX_NO_PA");
  });

  it("must be of the destination's family; a v6 CA over v4 PAs is normal", () => {
    const far = labRecords(PA1, PA2_V6);
    expect(verdict({}, host1({ lookupRecords: far }))).toBe("TX_PA_FAMILY");
    const dual = [providerAddress(PA1), providerAddress(PA1_V6)];
    expect(sourceOf({ lookupRecords: far, providerAddresses: dual }).push?.source).toEqual(ip(PA1_V6));
    expect(verdict({ from: "fd00:10::5", to: "fd00:10::7" })).toBe("forward");
  });
});

describe("DSCP and ECN on encapsulation", () => {
  const outerTos = (trafficClass: number, settings: Changes["settings"], from = "10.0.0.5", to = "10.0.0.7"): number =>
    host1({ ...(settings ? { settings } : {}) }).send(frame({ trafficClass, from, to }), HOST1.blue1).frame[15]!;

  it.each([
    ["RFC 6040 §4.1: normal mode copies", "normal", [0, 1, 2, 3]],
    ["RFC 6040 §4.1: compatibility mode clears", "compat", [0, 0, 0, 0]],
    ["as Linux: CE becomes ECT(0)", "linux", [0, 1, 2, 2]],
  ] as const)("%s", (_title, ecn, expected) => {
    expect([0, 1, 2, 3].map((inner) => outerTos(0xb8 | inner, { ecn }))).toEqual(expected);
    expect([0, 1, 2, 3].map((inner) => outerTos(0xb8 | inner, { ecn }, "fd00:10::5", "fd00:10::7"))).toEqual(expected);
  });

  it("RFC 2983 §3.1: pipe: a constant; uniform: the inner class", () => {
    expect(outerTos(0x28, { dscp: { model: "pipe", value: 46 } })).toBe(0xb8);
    expect(outerTos(0x28, { dscp: { model: "uniform" } })).toBe(0x28);
    expect(outerTos(0x2a, { dscp: { model: "uniform" }, ecn: "compat" })).toBe(0x28);
  });
});

describe("what the decision rests on", () => {
  it("an encapsulated flow fits the four names of a flow entry: both records, routes, provider side", () => {
    const decision = lab.decide(frame(), HOST1.blue1);
    expect(decision.cacheable).toBe(true);
    expect(decision.stamps).toHaveLength(4);
    expect(lab.decide(frame(viaGateway), HOST1.blue1).stamps).toHaveLength(4);
    expect(lab.decide(frame({ ...viaGateway, to: "10.0.1.4" }), HOST1.blue1).stamps).toHaveLength(4);
  });

  it("a record that was not found is named too", () => {
    const found = lab.decide(frame(), HOST1.blue1).stamps;
    const missed = lab.decide(frame({ to: "10.0.0.8" }), HOST1.blue1);
    expect(missed.effects, "told first, cached then").toMatchObject([{ kind: "recordMissing" }]);
    expect(missed.stamps.filter((stamp) => !found.includes(stamp)).length).toBeGreaterThan(0);
  });
});

describe("explanations", () => {
  it("every layer that was walked has a note", () => {
    const notes = lab.explain(frame(viaGateway), HOST1.blue1);
    expect([...notes.keys()]).toEqual([
      "virtual subnet",
      "local switching",
      "EtherType",
      "address resolution",
      "source policy",
      "packet class",
      "next hop",
      "wire VSID",
      "redirect",
      "local delivery",
      "translation rule",
      "encapsulation",
    ]);
    expect(notes.get("next hop")![0]).toMatchObject({ record: { macAddress: mac(MACS.blue3) } });
  });

  it("a link-local address without a record", () => {
    const notes = lab.explain(frame({ from: "fe80::5", to: "fe80::9", destination: MACS.blue3 }), HOST1.blue1);
    expect(notes.get("packet class")![1]!.decided).toContain("no lookup record (VSID 5001, fe80::9)");
  });

  it("a missing record: the same CA elsewhere, else the nearest CA", () => {
    const elsewhere = lab.explain(frame({ to: "10.0.0.8" }), HOST1.blue1).get("next hop")![0]!;
    expect(elsewhere.nearest).toMatchObject({ differs: "customerAddress" });
    const host = withRecords(record(6001, "10.0.0.8", MACS.red2, PA2));
    const other = host.explain(frame({ to: "10.0.0.8" }), HOST1.blue1).get("next hop")![0]!;
    expect(other.nearest).toMatchObject({ differs: "virtualSubnetID", record: { virtualSubnetID: 6001 } });
  });
});
