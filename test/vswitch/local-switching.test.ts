/**
 * Windows Server 2012: the switch comes before network virtualization, so whatever a VM sends to all is with the VMs of its virtual subnet on
 * the same host, and policy decides only about what goes on from there. Through whole labs and the kernel.
 */
import { describe, expect, it } from "vitest";
import { createLab, type EmulatedLab } from "../../src/index.js";
import { arp, frame, hexOf, internetChecksum, ip, tagged, udp } from "../engine/build.js";
import { ALL, endsOf, packet, whoHas } from "./whole-labs.js";

const M = { blue1: "06-06-00-00-00-05", blue2: "06-06-00-00-00-07", blue5: "06-06-00-00-00-0A" } as const;
const BLUE1 = "host1/Blue1";
const HERE = ["delivered host1/Blue5"];

const labOf = (mode: "2012" | "2012R2", { blue1 = "", settings = "" } = {}): EmulatedLab =>
  createLab(`apiVersion: hnv/v1
mode: ${mode}
${settings}
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }, { vsid: 5002, prefixes: [10.0.1.0/24] }]
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1500 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms:
      - { name: Blue1, adapters: [{ mac: ${M.blue1}, vsid: 5001, addresses: [10.0.0.5]${blue1} }] }
      - { name: Blue5, adapters: [{ mac: ${M.blue5}, vsid: 5001, addresses: [10.0.0.10] }] }
      - { name: Blue8, adapters: [{ mac: 06-06-00-00-00-08, vsid: 5002, addresses: [10.0.1.8] }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms:
      - { name: Blue2, adapters: [{ mac: ${M.blue2}, vsid: 5001, addresses: [10.0.0.7] }] }
`);

describe("2012: what is for all reaches the local ports of the virtual subnet, once, whatever becomes of it behind them", () => {
  const cases: readonly (readonly [what: string, bytes: Uint8Array, r2: string])[] = [
    ["no IP", frame(ALL, M.blue1, Uint8Array.from([0x81, 0x37, ...new Array<number>(46).fill(0)])), "TX_NON_IP"],
    ["a source address off the record", packet(ALL, M.blue1, "10.0.0.99", "255.255.255.255"), "TX_SRC_POLICY"],
    ["a gratuitous ARP for one", whoHas("10.0.0.99", M.blue1, "10.0.0.99"), "TX_SRC_POLICY"],
    ["ARP in another VM's name", whoHas("10.0.0.10", M.blue1, "10.0.0.7"), "TX_SRC_POLICY"],
    ["ARP cut short", frame(ALL, M.blue1, Uint8Array.from([8, 6, 0, 1])), "INVALID_PACKET"],
    ["the router's address", packet(ALL, M.blue1, "10.0.0.5", "10.0.0.1"), "TX_ROUTER_SELF"],
    ["an address without a record", packet(ALL, M.blue1, "10.0.0.5", "10.0.0.98"), "TX_NO_RECORD"],
  ];
  it.each(cases)("%s", (_what, bytes, r2) => {
    const lab = labOf("2012");
    for (let round = 0; round < 2; round++) {
      const [end, ...others] = lab.send(BLUE1, bytes);
      expect(others).toEqual([]);
      expect([end!.port, hexOf(end!.frame)]).toEqual(["host1/Blue5", hexOf(bytes)]);
    }
    expect(endsOf(labOf("2012R2"), BLUE1, bytes), "2012 R2 decides about everything").toEqual([
      `dropped ${BLUE1} ${r2}`,
    ]);
  });

  it("a broadcast and its kin: no second copy by what network virtualization makes of them", () => {
    const lab = labOf("2012");
    expect(endsOf(lab, BLUE1, packet(ALL, M.blue1, "10.0.0.5", "255.255.255.255"))).toEqual(HERE);
    expect(endsOf(lab, BLUE1, packet("01-00-5E-01-02-03", M.blue1, "10.0.0.5", "239.1.2.3"))).toEqual(HERE);
    expect(endsOf(lab, BLUE1, packet(ALL, M.blue1, "10.0.0.5", "10.0.0.10")), "one VM's address").toEqual(HERE);
  });

  it("the address of a VM elsewhere: a copy here, and the packet goes there", () => {
    const lab = labOf("2012");
    const bytes = packet(ALL, M.blue1, "10.0.0.5", "10.0.0.7");
    for (let round = 0; round < 2; round++) {
      const ends = lab.send(BLUE1, bytes);
      expect(ends.map(({ port }) => port).sort()).toEqual(["host1/Blue5", "host2/Blue2"]);
      expect(hexOf(ends.find(({ port }) => port === "host1/Blue5")!.frame)).toBe(hexOf(bytes));
    }
    const routed = packet(ALL, M.blue1, "10.0.0.5", "10.0.1.8");
    expect([...endsOf(lab, BLUE1, routed)].sort(), "another subnet's").toEqual([...HERE, "delivered host1/Blue8"]);
  });

  it("a flow that is known does not hide a TTL that runs out", () => {
    const lab = labOf("2012");
    const to = (ttl: number) => lab.send(BLUE1, packet(ALL, M.blue1, "10.0.0.5", "10.0.1.8", ttl));
    expect(
      to(64)
        .map(({ port }) => port)
        .sort(),
    ).toEqual(["host1/Blue5", "host1/Blue8"]);
    expect(to(1).map(({ port }) => port)).toEqual(["host1/Blue5"]);
  });

  it("a packet that is cut for the tunnel reaches local ports in the same pieces, once each", () => {
    const bytes = frame(
      ALL,
      M.blue1,
      ip({ source: "10.0.0.5", destination: "10.0.0.7", protocol: 17, payload: new Uint8Array(1470) }),
    );
    bytes.set([0, 0], 20); // may be fragmented
    bytes.set([0, 0], 24);
    const sum = internetChecksum(bytes.slice(14, 34));
    bytes.set([sum >>> 8, sum & 0xff], 24);
    const ends = labOf("2012").send(BLUE1, bytes);
    const at = (port: string) => ends.filter((end) => end.port === port).map((end) => hexOf(end.frame.slice(14)));
    expect(at("host1/Blue5")).toHaveLength(2);
    expect(at("host1/Blue5")).toEqual(at("host2/Blue2"));
  });

  it("a packet whose next hop is asked for does not wait and come by again", () => {
    const lab = labOf("2012", { settings: "settings: { resolve: wire, duplicateAddressDetection: false }" });
    const bytes = packet(ALL, M.blue1, "10.0.0.5", "10.0.0.7");
    const delivered = (ends: readonly { verdict: string; port: string }[]) =>
      ends.flatMap(({ verdict, port }) => (verdict === "delivered" ? port : []));
    expect(delivered([...lab.send(BLUE1, bytes, 0n), ...lab.pass(1_000_000_000n)])).toEqual(["host1/Blue5"]);
    expect(delivered(lab.send(BLUE1, bytes)).sort(), "asked for by now").toEqual(["host1/Blue5", "host2/Blue2"]);
  });

  it("a priority tag comes off", () => {
    const bytes = packet(ALL, M.blue1, "10.0.0.99", "255.255.255.255");
    const withTag = frame(ALL, M.blue1, tagged(0xe000, bytes.slice(12)));
    const [end] = labOf("2012").send(BLUE1, withTag);
    expect([end!.port, hexOf(end!.frame)]).toEqual(["host1/Blue5", hexOf(bytes)]);
  });

  it("what the checks of the switch refuse reaches nobody", () => {
    const offer = frame(
      ALL,
      M.blue1,
      ip({
        source: "10.0.0.5",
        destination: "255.255.255.255",
        protocol: 17,
        payload: udp("10.0.0.5", "255.255.255.255", [67, 68], Uint8Array.from([2, 1, 6, 0, ...new Array(296).fill(0)])),
      }),
    );
    expect(endsOf(labOf("2012", { blue1: ", dhcpGuard: true" }), BLUE1, offer)).toEqual([
      `dropped ${BLUE1} DHCP_GUARD`,
    ]);
    const lab = labOf("2012", { blue1: ", stormLimit: 1" });
    const bytes = packet(ALL, M.blue1, "10.0.0.99", "255.255.255.255");
    expect([endsOf(lab, BLUE1, bytes), endsOf(lab, BLUE1, bytes)]).toEqual([HERE, [`dropped ${BLUE1} STORM_LIMIT`]]);
    const borrowed = packet(ALL, M.blue2, "10.0.0.7", "255.255.255.255");
    expect(endsOf(lab, BLUE1, borrowed)).toEqual([`dropped ${BLUE1} MAC_SPOOFING`]);
    const bridge = packet("01-80-C2-00-00-00", M.blue1, "10.0.0.5", "255.255.255.255");
    expect(endsOf(labOf("2012"), BLUE1, bridge)).toEqual([`dropped ${BLUE1} BRIDGE_RESERVED`]);
  });

  it("an answer of the host goes out besides", () => {
    const question = frame(
      ALL,
      M.blue1,
      arp({ operation: 1, senderMac: M.blue1, sender: "10.0.0.5", target: "10.0.0.7" }),
    );
    const ends = labOf("2012").send(BLUE1, question);
    expect(ends.map(({ port }) => port).sort()).toEqual([BLUE1, "host1/Blue5"]);
  });
});
