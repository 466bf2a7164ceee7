/** The virtual switch around the NVE, and the provider network, through whole labs and the engine. */
import { describe, expect, test } from "vitest";
import { createLab, type EmulatedLab } from "../../src/index.js";
import { frame as frameOf, hexOf, internetChecksum, ip, nvgre, udp } from "../engine/build.js";
import { innerOf, workedPacket } from "../vectors/worked-packets.js";

const BLUE1 = "06 06 00 00 00 05";
const BLUE2 = "06 06 00 00 00 07";

const LAB = `
apiVersion: hnv/v1
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }]
provider:
  subnets:
    - { prefix: 192.168.4.0/24, vlan: 103, mtu: 1600, gateway: 192.168.4.1 }
    - { prefix: 192.168.5.0/24, vlan: 104, mtu: 1500, gateway: 192.168.5.1 }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11, vlan: 103 }]
    vms:
      - { name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5] }] }
      - { name: Plain1, adapters: [{ mac: 0A-00-00-00-00-01, vsid: 0 }] }
      - { name: Plain2, adapters: [{ mac: 0A-00-00-00-00-02, vsid: 0 }] }
      - { name: Free, adapters: [{ mac: 0A-00-00-00-00-03, vsid: 0, macAddressSpoofing: true }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-05-16 }]
    providerAddresses: [{ address: 192.168.5.22, vlan: 104 }]
    vms:
      - { name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }
`;

const lab = (): EmulatedLab => createLab(LAB);
const frame = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replace(/\s+/g, ""), "hex"));
const padded = (hex: string): Uint8Array => {
  const head = frame(hex);
  const whole = new Uint8Array(Math.max(60, head.length));
  whole.set(head);
  return whole;
};
/** The inner frame of the worked packet A: Blue1 pings Blue2. */
const ping = (): Uint8Array => innerOf("a");

/** Each end as one line: `dropped at host1/Blue1: MAC_SPOOFING`. */
const ends = (l: EmulatedLab, port: string, bytes: Uint8Array): string[] =>
  l
    .send(port, bytes)
    .map(({ verdict, port: at, reason }) => `${verdict} at ${at}${reason ? `: ${reason.reason}` : ""}`);

describe("ingress of a virtual subnet's port", () => {
  const withHeader = (header: string): Uint8Array => {
    const whole = ping();
    whole.set(frame(header), 0);
    return whole;
  };
  const cases: readonly [string, Uint8Array, string][] = [
    ["its own address and a known peer", ping(), "delivered at host2/Blue2"],
    ["another source MAC", withHeader(`${BLUE2} 06 06 00 00 00 99`), "dropped at host1/Blue1: MAC_SPOOFING"],
    ["a group source MAC", withHeader(`${BLUE2} 07 06 00 00 00 05`), "dropped at host1/Blue1: INVALID_SOURCE_MAC"],
    ["a zero source MAC", withHeader(`${BLUE2} 00 00 00 00 00 00`), "dropped at host1/Blue1: INVALID_SOURCE_MAC"],
    ["a zero destination MAC", withHeader(`00 00 00 00 00 00 ${BLUE1}`), "dropped at host1/Blue1: INVALID_DEST_MAC"],
    ["a bridge group address", withHeader(`01 80 c2 00 00 0e ${BLUE1}`), "dropped at host1/Blue1: BRIDGE_RESERVED"],
    ["a VLAN tag", padded(`${BLUE2} ${BLUE1} 81 00 00 05 08 06`), "dropped at host1/Blue1: UNAUTHORIZED_VLAN"],
    [
      "a tag behind a priority tag",
      padded(`${BLUE2} ${BLUE1} 81 00 a0 00 81 00 00 68 08 06`),
      "dropped at host1/Blue1: UNAUTHORIZED_VLAN",
    ],
    ["the reserved VID", padded(`${BLUE2} ${BLUE1} 81 00 0f ff 08 06`), "dropped at host1/Blue1: INVALID_VLAN_FORMAT"],
    ["LLDP-like EtherType", padded(`${BLUE2} ${BLUE1} 88 cc 00 00`), "dropped at host1/Blue1: TX_NON_IP"],
    ["13 octets", frame(`${BLUE2} ${BLUE1} 08`), "dropped at host1/Blue1: INVALID_PACKET"],
    ["an IP header cut off", frame(`${BLUE2} ${BLUE1} 08 00 45 00`), "dropped at host1/Blue1: INVALID_PACKET"],
  ];
  test.each(cases)("%s", (_what, bytes, wanted) => {
    expect(ends(lab(), "host1/Blue1", bytes)).toEqual([wanted]);
  });

  test("a priority tag is taken off, and the frame goes on without it", () => {
    const inner = ping();
    const tagged = new Uint8Array(inner.length + 4);
    tagged.set(inner.subarray(0, 12));
    tagged.set(frame("81 00 a0 00"), 12);
    tagged.set(inner.subarray(12), 16);
    const [end] = lab().send("host1/Blue1", tagged);
    expect(end).toMatchObject({ verdict: "delivered", port: "host2/Blue2" });
    expect(Buffer.from(end!.frame).equals(Buffer.from(inner))).toBe(true);
  });
});

describe("adapters outside of network virtualization", () => {
  const PLAIN1 = "0a 00 00 00 00 01";
  const PLAIN2 = "0a 00 00 00 00 02";
  test("known unicast goes to its adapter, unchanged", () => {
    const bytes = padded(`${PLAIN2} ${PLAIN1} 88 b5 01 02 03`);
    const [end, ...more] = lab().send("host1/Plain1", bytes);
    expect(more).toEqual([]);
    expect(end).toMatchObject({ verdict: "delivered", port: "host1/Plain2" });
    expect(end!.frame).toEqual(bytes);
  });
  test("a tag behind a priority tag, which comes off, does not lead into a VLAN of the provider network", () => {
    const l = lab();
    const inVlan103 = (tags: string): string[] =>
      ends(l, "host1/Plain1", padded(`02 00 c0 a8 05 16 ${PLAIN1} ${tags} 88 b5 01 02 03`));
    expect(inVlan103("81 00 a0 00 81 00 00 67")).toEqual(["dropped at host1/Plain1: UNAUTHORIZED_VLAN"]);
    expect(inVlan103("81 00 a0 00 88 a8 00 67")).toEqual(["dropped at host1/Plain1: UNAUTHORIZED_VLAN"]);
    expect(inVlan103("81 00 00 67")).toEqual(["dropped at host1/Plain1: UNAUTHORIZED_VLAN"]);
    expect(inVlan103("81 00 a0 00")).toEqual(["dropped at provider/host1.nic1: PROVIDER_VLAN"]);
  });
  test("unknown unicast goes to the wire only", () => {
    const [end, ...more] = ends(lab(), "host1/Plain1", padded(`0a 00 00 00 00 99 ${PLAIN1} 88 b5`));
    expect(more).toEqual([]);
    expect(end).toBe("dropped at provider/host1.nic1: PROVIDER_VLAN");
  });
  test("broadcast goes to all others and the wire, not to virtual subnets, and copies are counted", () => {
    const l = lab();
    const all = ends(l, "host1/Plain1", padded(`ff ff ff ff ff ff ${PLAIN1} 88 b5`));
    expect(all.toSorted()).toEqual([
      "delivered at host1/Free",
      "delivered at host1/Plain2",
      "dropped at provider/host1.nic1: PROVIDER_VLAN",
    ]);
    expect(l.counters().totals).toMatchObject({ in: 1, copies: 2, delivered: 2, dropped: 1 });
  });
  test("what comes for a provider group reaches the virtual subnet, too, where plain adapters hear every group", () => {
    const record =
      "{ virtualSubnetID: 5001, customerAddress: 255.255.255.255, macAddress: 06-06-00-00-00-77, providerAddress: 239.9.9.1 }";
    const untagged = LAB.replaceAll(/vlan: 10[34]/g, "vlan: 0").replace("hosts:", `lookupRecords: [${record}]\nhosts:`);
    const payload = udp("10.0.0.7", "10.0.0.255", [4000, 4000], Uint8Array.of(1, 2, 3));
    const inner = frameOf(
      "FF-FF-FF-FF-FF-FF",
      "06-06-00-00-00-07",
      ip({ source: "10.0.0.7", destination: "10.0.0.255", protocol: 17, payload }),
    );
    const outer = ip({
      source: "192.168.5.22",
      destination: "239.9.9.1",
      protocol: 47,
      payload: nvgre(5001, 0, inner),
    });
    const received = createLab(untagged).send("host1/nic1", frameOf("01-00-5E-09-09-01", "02-00-C0-A8-05-16", outer));
    const delivered = Object.fromEntries(received.map((end) => [`${end.verdict} at ${end.port}`, hexOf(end.frame)]));
    const whole = hexOf(frameOf("01-00-5E-09-09-01", "02-00-C0-A8-05-16", outer));
    expect(delivered).toEqual({
      "delivered at host1/Blue1": hexOf(inner),
      "delivered at host1/Plain1": whole,
      "delivered at host1/Plain2": whole,
      "delivered at host1/Free": whole,
    });
  });

  test("a plain adapter does not reach a virtual subnet's port, by whatever address", () => {
    expect(ends(lab(), "host1/Plain1", padded(`${BLUE1} ${PLAIN1} 88 b5`))).toEqual([
      "dropped at provider/host1.nic1: PROVIDER_VLAN",
    ]);
  });
  test("spoofing is a matter of the port", () => {
    const bytes = padded(`${PLAIN2} 0a 00 00 00 00 77 88 b5`);
    expect(ends(lab(), "host1/Plain1", bytes)).toEqual(["dropped at host1/Plain1: MAC_SPOOFING"]);
    expect(ends(lab(), "host1/Free", bytes)).toEqual(["delivered at host1/Plain2"]);
  });
  test("to itself: nobody takes it", () => {
    expect(ends(lab(), "host1/Plain1", padded(`${PLAIN1} ${PLAIN1} 88 b5`))).toEqual([
      "dropped at host1/Plain1: NOT_ACCEPTED",
    ]);
  });
  test("frames from the wire for a plain adapter reach it", () => {
    expect(ends(lab(), "host1/nic1", padded(`${PLAIN1} 0a 00 00 00 00 99 88 b5`))).toEqual([
      "delivered at host1/Plain1",
    ]);
  });
});

describe("provider network", () => {
  test("routes between its subnets: TTL one less, MACs and VLAN of the far subnet", () => {
    const steps = lab().explain("host1/Blue1", ping());
    expect(steps.map(({ node }) => node)).toEqual(["host1", "provider", "host2"]);
    const { before, outputs } = steps[1]!;
    const { after } = outputs[0]!;
    expect([before[22 + 4], after[22 + 4]]).toEqual([128, 127]); // TTL behind the 18 octets of tagged Ethernet
    expect(Buffer.from(after.subarray(0, 6)).toString("hex")).toBe("0200c0a80516");
    expect([before[15], after[15]]).toEqual([103, 104]);
  });

  const outer = (destination: string, vlan: string, rest: string): Uint8Array =>
    padded(`${destination} 02 00 c0 a8 04 0b 81 00 ${vlan} ${rest}`);
  const ipv4To = (destination: string, ttl = "40"): string =>
    `08 00 45 00 00 14 00 00 00 00 ${ttl} 11 00 00 c0 a8 04 0b ${destination}`;
  const ROUTER = "02 00 5e 00 02 01";
  const cases: readonly [string, Uint8Array, string][] = [
    ["a VLAN that no subnet uses", outer("02 00 c0 a8 05 16", "00 69", ipv4To("c0 a8 05 16")), "PROVIDER_VLAN"],
    ["a MAC that nobody has", outer("02 00 00 00 00 99", "00 67", ipv4To("c0 a8 05 16")), "PROVIDER_UNKNOWN_MAC"],
    ["the sender's own MAC", outer("02 00 c0 a8 04 0b", "00 67", ipv4To("c0 a8 05 16")), "PROVIDER_UNKNOWN_MAC"],
    ["broadcast", outer("ff ff ff ff ff ff", "00 67", ipv4To("ff ff ff ff")), "PROVIDER_GROUP"],
    ["no subnet for the destination", outer(ROUTER, "00 67", ipv4To("0a 00 00 01")), "PROVIDER_NO_ROUTE"],
    ["an address that no host has", outer(ROUTER, "00 67", ipv4To("c0 a8 05 63")), "PROVIDER_UNRESOLVED"],
    ["something else than IP at the router", outer(ROUTER, "00 67", "88 b5 00"), "PROVIDER_NO_ROUTE"],
    ["a header that does not add up", outer(ROUTER, "00 67", "08 00 41 00"), "PROVIDER_MALFORMED"],
  ];
  test.each(cases)("%s", (_what, bytes, reason) => {
    expect(ends(lab(), "provider/host1.nic1", bytes)).toEqual([`dropped at provider/host1.nic1: ${reason}`]);
  });

  test("a packet larger than the far subnet's MTU is dropped, a smaller one of the same flow is not", () => {
    const l = lab();
    const ofLength = (length: number): Uint8Array => {
      const bytes = new Uint8Array(18 + length);
      bytes.set(outer(ROUTER, "00 67", ipv4To("c0 a8 05 16")).subarray(0, 38));
      bytes[20] = length >> 8;
      bytes[21] = length & 0xff;
      bytes[24] = 0x40; // DF
      return bytes;
    };
    expect(ends(l, "provider/host1.nic1", ofLength(1500))).toEqual(["dropped at host2/nic1: RX_IP_CSUM"]);
    expect(ends(l, "provider/host1.nic1", ofLength(1501))).toContain("dropped at provider/host1.nic1: PROVIDER_MTU");
    expect(l.counters().flows).toMatchObject({ guarded: 1 });
    expect(ends(l, "provider/host1.nic1", ofLength(1499))).toEqual(["dropped at host2/nic1: RX_IP_CSUM"]);
  });
});

describe("the provider router tells senders why it drops their packets", () => {
  /** A frame on VLAN 103 from host1's provider address to host2's, by way of the router. */
  const routed = (length: number, { ttl = 64, flags = 0x40 } = {}): Uint8Array => {
    const head = [0x45, 0, length >> 8, length & 0xff, 0, 1, flags, 0, ttl, 17];
    const addresses = [192, 168, 4, 11, 192, 168, 5, 22];
    const checksum = internetChecksum(Uint8Array.from([...head, ...addresses]));
    const header = [...head, checksum >> 8, checksum & 0xff, ...addresses];
    const link = frame("02 00 5e 00 02 01 02 00 c0 a8 04 0b 81 00 00 67 08 00");
    return Uint8Array.from([...link, ...header, ...new Uint8Array(length - 20)]);
  };
  const answersTo = (bytes: Uint8Array, port = "provider/host1.nic1", l = lab()) => l.explain(port, bytes)[0]!.answers;

  test("too big with DF: fragmentation needed, from its address in the sender's subnet, with the far subnet's MTU", () => {
    expect(ends(lab(), "provider/host1.nic1", routed(1501))).toEqual([
      "dropped at provider/host1.nic1: PROVIDER_MTU",
      "passed at host1/nic1",
    ]);
    const [answer, ...others] = answersTo(routed(1501));
    expect(others).toEqual([]);
    expect(answer!.port).toBe("provider/host1.nic1");
    const error = answer!.after;
    expect(Buffer.from(error.subarray(0, 18)).toString("hex")).toBe("0200c0a8040b02005e000201810000670800");
    const header = error.subarray(18, 38);
    expect([...header.subarray(12)]).toEqual([192, 168, 4, 1, 192, 168, 4, 11]);
    expect(internetChecksum(header)).toBe(0);
    expect(internetChecksum(error.subarray(38))).toBe(0);
    expect([...error.subarray(38, 40), ...error.subarray(42, 46)]).toEqual([3, 4, 0, 0, 1500 >> 8, 1500 & 0xff]);
    expect(Buffer.from(error.subarray(46)).equals(Buffer.from(routed(1501).subarray(18, 18 + 548)))).toBe(true);
  });

  test("a TTL that runs out: time exceeded", () => {
    expect(ends(lab(), "provider/host1.nic1", routed(100, { ttl: 1 }))).toEqual([
      "dropped at provider/host1.nic1: PROVIDER_TTL",
      "passed at host1/nic1",
    ]);
    expect([...answersTo(routed(100, { ttl: 1 }))[0]!.after.subarray(38, 40)]).toEqual([11, 0]);
  });

  test("too big without DF: it goes on in fragments, RFC 1812 §5.2.6, one hop older", () => {
    const [first, last, ...others] = answersTo(routed(3000, { flags: 0 })).map(({ after }) => after);
    expect(others).toEqual([expect.any(Uint8Array)]);
    expect([first!.length, last!.length, others[0]!.length]).toEqual([18 + 1500, 18 + 1500, 18 + 40]);
    expect(internetChecksum(first!.subarray(18, 38))).toBe(0);
    expect([first![26], first![24]! >> 5, others[0]![24]! >> 5]).toEqual([63, 1, 0]);
    const l = lab();
    l.send("provider/host1.nic1", routed(3000, { flags: 0 }));
    expect(l.counters().reasons.map(({ reason, count }) => [reason.reason, count])).toEqual([
      ["PROVIDER_FRAGMENTED", 1],
    ]);
  });

  test("in a subnet without a router's address nobody is told", () => {
    const silent = createLab(LAB.replace(", gateway: 192.168.4.1 }", " }"));
    expect(answersTo(routed(1501), "provider/host1.nic1", silent)).toEqual([]);
  });
});

test("a lab of one host ends at its NIC", () => {
  const one = createLab(`
apiVersion: hnv/v1
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    vms: [{ name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001 }] }]
providerAddresses: [{ host: host1, providerAddress: 192.168.4.11, prefixLength: 24, vlanID: 0 }]
customerRoutes:
  - { host: host1, routingDomainID: "{11111111-2222-3333-4444-000000005001}", virtualSubnetID: 5001, destinationPrefix: 10.0.0.0/24, nextHop: 0.0.0.0 }
lookupRecords:
  - { host: host1, customerAddress: 10.0.0.5, virtualSubnetID: 5001, macAddress: 060600000005, providerAddress: 192.168.4.11 }
  - { host: host1, customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 060600000007, providerAddress: 192.168.4.22 }
neighbors: [{ host: host1, address: 192.168.4.22, mac: 02-00-C0-A8-04-16 }]
`);
  const [end] = one.send("host1/Blue1", ping());
  expect(end).toMatchObject({ verdict: "delivered", port: "host1/nic1" });
  const wanted = workedPacket("a");
  const got = end!.frame.slice();
  // Identification and header checksum aside: the worked packet has an identification of its own.
  for (const at of [18, 19, 24, 25]) got[at] = wanted[at]!;
  expect(Buffer.from(got).toString("hex")).toBe(Buffer.from(wanted).toString("hex"));
});

test("a storm of broadcasts to many ports leaves out none of them", () => {
  const adapters = Array.from({ length: 200 }, (_, i) => {
    const mac = (0x0a0000000000 + i).toString(16).padStart(12, "0");
    return `      - { name: P${i}, adapters: [{ mac: "${mac}", vsid: 0 }] }`;
  });
  const l = createLab(`
apiVersion: hnv/v1
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    vms:
${adapters.join("\n")}
`);
  const storm = padded("ff ff ff ff ff ff 0a 00 00 00 00 00 88 b5");
  const met = l.sendAll(Array.from({ length: 256 }, () => ({ port: "host1/P0", frame: storm })));
  expect(l.counters().totals).toMatchObject({ in: 256, copies: 256 * 199, delivered: 256 * 200, dropped: 0 });
  expect(met).toHaveLength(256 * 200);
});

test("nor does one over the wire, to many hosts, in long frames", () => {
  const hosts = Array.from({ length: 60 }, (_, i) => {
    const mac = (0x060600000000 + i).toString(16).padStart(12, "0");
    return `
  - name: host${i}
    mtu: 9000
    nics: [{ name: nic1, mac: "${(0x0200c0a80400 + i).toString(16).padStart(12, "0")}" }]
    providerAddresses: [{ address: 192.168.4.${i + 1} }]
    vms: [{ name: V, adapters: [{ mac: "${mac}", vsid: 5001, addresses: [10.0.0.${i + 2}] }] }]`;
  });
  const l = createLab(`
apiVersion: hnv/v1
routingDomains:
  - { name: Blue, id: "{11111111-2222-3333-4444-000000005001}", subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }] }
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 9000 }] }
hosts:${hosts.join("")}
`);
  const storm = new Uint8Array(8000);
  storm.set(
    padded("ff ff ff ff ff ff 06 06 00 00 00 00 08 00 45 00 1f 32 00 00 00 00 40 11 00 00 0a 00 00 02 0a 00 00 ff"),
  );
  l.sendAll(Array.from({ length: 64 }, () => ({ port: "host0/V", frame: storm })));
  expect(l.counters().totals).toMatchObject({ in: 64, delivered: 64 * 59, dropped: 0 });
});
