/** DHCP guard and router guard, through whole labs and the engine. */
import { describe, expect, test } from "vitest";
import { createLab } from "../../src/index.js";
import { concatenate, frame, icmp, icmpv6, ip, udp } from "../engine/build.js";

const MAC = "0A-00-00-00-00-01";
const OTHER = "0A-00-00-00-00-02";
const BROADCAST = "FF-FF-FF-FF-FF-FF";

/** Adapters outside of network virtualization, so that nothing but the guards has an opinion. */
const lab = (guards: string) =>
  createLab(`
apiVersion: hnv/v1
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    vms:
      - { name: Guarded, adapters: [{ mac: ${MAC}, vsid: 0${guards} }] }
      - { name: Other, adapters: [{ mac: ${OTHER}, vsid: 0 }] }
`);

const BOTH = ", dhcpGuard: true, routerGuard: true";
type Sent = ReturnType<ReturnType<typeof createLab>["send"]>;
const endOf = (ends: Sent): string => ends.map(({ verdict, reason }) => reason?.reason ?? verdict).join(" ");
const sent = (bytes: Uint8Array, guards = BOTH): string => endOf(lab(guards).send("host1/Guarded", bytes));

const dhcp = (from: number, to: number, op: number | null, destination = "255.255.255.255"): Uint8Array => {
  const data = op === null ? new Uint8Array(0) : Uint8Array.of(op, 1, 6, 0);
  const packet = udp("10.0.0.7", destination, [from, to], data);
  return frame(
    destination.endsWith("255") ? BROADCAST : OTHER,
    MAC,
    ip({ source: "10.0.0.7", destination, protocol: 17, payload: packet }),
  );
};
const dhcp6 = (from: number, to: number, type: number | null): Uint8Array => {
  const data = type === null ? new Uint8Array(0) : Uint8Array.of(type, 1, 2, 3);
  const payload = udp("fe80::7", "fe80::5", [from, to], data);
  return frame(OTHER, MAC, ip({ source: "fe80::7", destination: "fe80::5", protocol: 17, payload }));
};

describe("DHCP guard", () => {
  test.each([
    ["a reply by broadcast", dhcp(67, 68, 2)],
    ["a reply by unicast", dhcp(67, 68, 2, "10.0.0.5")],
    ["a reply to a relay agent", dhcp(67, 67, 2, "10.0.0.5")],
    ["a datagram of a server that holds nothing", dhcp(67, 68, null)],
    ["DHCPv6 advertise", dhcp6(547, 546, 2)],
    ["DHCPv6 reply", dhcp6(547, 546, 7)],
    ["DHCPv6 reconfigure", dhcp6(547, 546, 10)],
    ["DHCPv6 relay-reply", dhcp6(547, 547, 13)],
  ])("drops %s", (_what, bytes) => {
    expect(sent(bytes)).toBe("DHCP_GUARD");
    expect(sent(bytes, ", routerGuard: true")).not.toContain("DHCP_GUARD");
    expect(sent(bytes, "")).toMatch(/^(delivered ?)+$/);
  });

  test.each([
    ["a client's DISCOVER or REQUEST", dhcp(68, 67, 1)],
    ["a relay agent's request", dhcp(67, 67, 1, "10.0.0.5")],
    ["a client's DHCPv6 message", dhcp6(546, 547, 1)],
    ["a DHCPv6 relay-forward", dhcp6(547, 547, 12)],
    ["UDP to port 68 from elsewhere", dhcp(1067, 68, 2)],
  ])("lets %s pass", (_what, bytes) => {
    expect(sent(bytes)).toMatch(/^(delivered ?)+$/);
  });

  test("reads each message: a request of the same ports and addresses opens no way for a reply", () => {
    const l = lab(BOTH);
    expect(endOf(l.send("host1/Guarded", dhcp(67, 67, 1, "10.0.0.5")))).toBe("delivered");
    expect(endOf(l.send("host1/Guarded", dhcp(67, 67, 2, "10.0.0.5")))).toBe("DHCP_GUARD");
  });

  test("looks into first fragments", () => {
    const fragment = (bytes: Uint8Array): Uint8Array => {
      const copy = bytes.slice();
      copy[20] = 0x20; // more fragments
      return fixedChecksum(copy);
    };
    expect(sent(fragment(dhcp(67, 68, 2)))).toBe("DHCP_GUARD");
    expect(sent(fragment(dhcp(67, 68, null)))).toBe("DHCP_GUARD");
    expect(sent(fragment(dhcp(68, 67, 1)))).toMatch(/^(delivered ?)+$/);
    const l = lab(BOTH);
    expect(endOf(l.send("host1/Guarded", fragment(dhcp(68, 67, 1))))).toContain("delivered");
    expect(endOf(l.send("host1/Guarded", fragment(dhcp(67, 68, 2))))).toBe("DHCP_GUARD");
  });

  test("finds DHCPv6 behind extension headers", () => {
    const payload = concatenate(
      [17, 0, 0, 0, 0, 0, 0, 0],
      udp("fe80::7", "fe80::5", [547, 546], Uint8Array.of(7, 1, 2, 3)),
    );
    const bytes = frame(OTHER, MAC, ip({ source: "fe80::7", destination: "fe80::5", protocol: 0, payload }));
    expect(sent(bytes)).toBe("DHCP_GUARD");
  });
});

describe("extension headers of IPv6", () => {
  const advertisement = icmpv6("fe80::7", "fe80::5", [134, 0, 0, 0, ...new Array<number>(12).fill(0)]).subarray(42);
  const solicitation = icmpv6("fe80::7", "fe80::5", [133, 0, 0, 0, 0, 0, 0, 0]).subarray(42);
  const reply = udp("fe80::7", "fe80::5", [547, 546], Uint8Array.of(7, 1, 2, 3));
  const query = udp("fe80::7", "fe80::5", [546, 547], Uint8Array.of(1, 1, 2, 3));
  const options = (next: number): number[] => [next, 0, 1, 4, 0, 0, 0, 0];
  const fragment = (next: number, more: number): number[] => [next, 0, 0, more, 0, 0, 0, 9];
  const sixth = (protocol: number, ...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array =>
    frame(OTHER, MAC, ip({ source: "fe80::7", destination: "fe80::5", protocol, payload: concatenate(...parts) }));
  const behindMany = (last: number, transport: Uint8Array): Uint8Array =>
    sixth(60, ...Array.from({ length: 11 }, () => options(60)), options(last), transport);

  test.each([
    [
      "behind those of a first fragment",
      (last: number, it: Uint8Array) => sixth(44, fragment(60, 1), options(last), it),
    ],
    [
      "behind those of an atomic fragment",
      (last: number, it: Uint8Array) => sixth(44, fragment(60, 0), options(last), it),
    ],
    [
      "behind two Fragment headers",
      (last: number, it: Uint8Array) => sixth(44, fragment(44, 0), fragment(last, 0), it),
    ],
    ["behind twelve of them", behindMany],
  ])("%s the guards find what they look for, and nothing else", (_where, made) => {
    expect(sent(made(58, advertisement))).toBe("ROUTER_GUARD");
    expect(sent(made(17, reply))).toBe("DHCP_GUARD");
    for (const bytes of [made(58, solicitation), made(17, query), made(6, new Uint8Array(20))])
      expect(sent(bytes)).toBe("delivered");
    expect(sent(made(58, advertisement), "")).toBe("delivered");
    const l = lab(BOTH);
    expect(endOf(l.send("host1/Guarded", made(6, new Uint8Array(20))))).toBe("delivered");
    expect(endOf(l.send("host1/Guarded", made(17, reply)))).toBe("DHCP_GUARD"); // of the same flow key, as far as that goes
    expect(endOf(l.send("host1/Guarded", made(58, advertisement)))).toBe("ROUTER_GUARD");
  });

  test("a first fragment whose headers do not end in it is taken for the worst (RFC 7113 §3)", () => {
    const cut = sixth(44, fragment(60, 1), [58, 4, 1, 4, 0, 0, 0, 0]);
    expect(sent(cut)).toBe("DHCP_GUARD");
    expect(sent(cut, ", routerGuard: true")).toBe("ROUTER_GUARD");
    expect(sent(cut, "")).toBe("delivered");
  });
});

/** With the IPv4 header's checksum made right again. */
function fixedChecksum(bytes: Uint8Array): Uint8Array {
  bytes.set([0, 0], 24);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += bytes[at]! * 256 + bytes[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.set([(~sum >>> 8) & 0xff, ~sum & 0xff], 24);
  return bytes;
}

describe("router guard", () => {
  const v4 = (type: number): Uint8Array => frame(OTHER, MAC, icmp("10.0.0.7", "10.0.0.5", [type, 0, 0, 0, 0, 0, 0, 0]));
  const v6 = (type: number): Uint8Array =>
    frame(OTHER, MAC, icmpv6("fe80::7", "fe80::5", [type, 0, 0, 0, ...new Array<number>(40).fill(0)]));

  test.each([
    ["ICMP redirect (5)", v4(5)],
    ["ICMP router advertisement (9)", v4(9)],
    ["ICMPv6 router advertisement (134)", v6(134)],
    ["ICMPv6 redirect (137)", v6(137)],
    [
      "ICMP of one octet",
      frame(OTHER, MAC, ip({ source: "10.0.0.7", destination: "10.0.0.5", protocol: 1, payload: Uint8Array.of(5) })),
    ],
    [
      "ICMP that holds its type back",
      frame(OTHER, MAC, ip({ source: "10.0.0.7", destination: "10.0.0.5", protocol: 1, payload: new Uint8Array(0) })),
    ],
  ])("drops %s", (_what, bytes) => {
    expect(sent(bytes)).toBe("ROUTER_GUARD");
    expect(sent(bytes, ", dhcpGuard: true")).toBe("delivered");
  });

  test.each([
    ["ICMP router solicitation (10)", v4(10)],
    ["echo request", v4(8)],
    ["ICMPv6 router solicitation (133)", v6(133)],
    ["neighbor solicitation (135)", v6(135)],
    ["neighbor advertisement (136)", v6(136)],
    [
      "ICMPv6 in IPv4, which nobody reads",
      frame(
        OTHER,
        MAC,
        ip({ source: "10.0.0.7", destination: "10.0.0.5", protocol: 58, payload: Uint8Array.of(134, 0, 0, 0) }),
      ),
    ],
  ])("lets %s pass", (_what, bytes) => {
    expect(sent(bytes)).toBe("delivered");
  });
});
