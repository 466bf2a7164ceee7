/** Gateway VMs in whole labs: the multi-tenant adapter's ports, and the way through a gateway in both directions. */
import { describe, expect, it } from "vitest";
import { createLab } from "../../src/index.js";
import { arp, frame, hexOf, ip, macBytes, readIp, udp } from "../engine/build.js";

const GW = "00-15-5D-E2-AB-03";
const CONTOSO1 = "00-15-5D-E2-AB-00";
const FABRIKAM1 = "00-15-5D-E2-AB-01";
const ROUTER = "02-00-5E-00-01-01";

/** Two tenants with the same addresses everywhere, as in Microsoft's multi-tenant sample: VMs on one host, the gateway on another. */
const LAB = `
apiVersion: hnv/v1
routingDomains:
  - name: Contoso
    id: "{12345678-1000-2000-3000-123456780001}"
    subnets: [{ vsid: 6000, prefixes: [10.0.1.0/24] }, { vsid: 6001, prefixes: [10.0.2.0/24], gatewayMac: 00-11-22-33-44-66 }]
    gateways: [{ adapter: gw1/GW, vsid: 6001, addresses: [10.0.2.2] }]
  - name: Fabrikam
    id: "{12345678-1000-2000-3000-123456780002}"
    subnets: [{ vsid: 7000, prefixes: [10.0.1.0/24] }, { vsid: 7001, prefixes: [10.0.2.0/24] }]
    gateways: [{ adapter: gw1/GW, vsid: 7001, addresses: [10.0.2.2] }]
provider: { subnets: [{ prefix: 192.168.0.0/24, mtu: 1600 }] }
hosts:
  - name: gw1
    nics: [{ name: nic1, mac: 02-00-C0-A8-00-0B }]
    providerAddresses: [{ address: 192.168.0.11 }]
    vms:
      - name: GW
        adapters:
          - mac: ${GW}
            isolation:
              mode: NativeVirtualSubnet
              multiTenantStack: true
              routingDomains:
                - { name: Contoso, isolationIDs: [6001], isolationNames: [ContosoGateway] }
                - { id: "{12345678-1000-2000-3000-123456780002}", isolationIDs: [7001] }
      - { name: Plain, adapters: [{ mac: 0A-00-00-00-00-01 }] }
  - name: hv1
    nics: [{ name: nic1, mac: 02-00-C0-A8-00-16 }]
    providerAddresses: [{ address: 192.168.0.22 }]
    vms:
      - { name: Contoso1, adapters: [{ mac: ${CONTOSO1}, vsid: 6000, addresses: [10.0.1.101] }] }
      - { name: Fabrikam1, adapters: [{ mac: ${FABRIKAM1}, vsid: 7000, addresses: [10.0.1.101] }] }
`;

const packet = (source: string, destination: string, ttl = 64): Uint8Array =>
  ip({ source, destination, protocol: 17, payload: udp(source, destination, [4000, 53], new Uint8Array(30)), ttl });

/** What one sees in a capture of the frame: MACs, addresses, TTL. */
function seen(bytes: Uint8Array): { to: string; from: string; source: string; destination: string; ttl: number } {
  const read = readIp(bytes)!;
  const dotted = (hex: string): string => [...Buffer.from(hex, "hex")].join(".");
  return {
    to: hexOf(bytes.subarray(0, 6)),
    from: hexOf(bytes.subarray(6, 12)),
    source: dotted(read.source),
    destination: dotted(read.destination),
    ttl: bytes[read.at + 8]!,
  };
}
const mac = (text: string): string => hexOf(macBytes(text));

/** The outer header of what host `host` sends: addresses and the VSID of the GRE key. */
function onTheWire(lab: ReturnType<typeof createLab>, port: string, bytes: Uint8Array) {
  const first = lab.explain(port, bytes)[0]!;
  const { after } = first.outputs[0]!;
  const outer = seen(after);
  const gre = readIp(after)!.payloadAt;
  return {
    from: outer.source,
    to: outer.destination,
    vsid: (after[gre + 4]! << 16) | (after[gre + 5]! << 8) | after[gre + 6]!,
    inner: seen(after.subarray(gre + 8)),
  };
}

describe("through a multi-tenant gateway", () => {
  it("a VM's packet to the outside travels in the gateway's virtual subnet to the port of its tenant", () => {
    const lab = createLab(LAB);
    const out = frame(ROUTER, CONTOSO1, packet("10.0.1.101", "8.8.8.8"));
    expect(onTheWire(lab, "hv1/Contoso1", out)).toEqual({
      from: "192.168.0.22",
      to: "192.168.0.11",
      vsid: 6001,
      inner: {
        to: mac(GW),
        from: mac("00-11-22-33-44-66"),
        source: "10.0.1.101",
        destination: "8.8.8.8",
        ttl: 63,
      },
    });
    const [end] = lab.send("hv1/Contoso1", out);
    expect([end!.verdict, end!.port]).toEqual(["delivered", "gw1/GW:6001"]);
    const [other] = lab.send("hv1/Fabrikam1", frame(ROUTER, FABRIKAM1, packet("10.0.1.101", "8.8.8.8")));
    expect([other!.verdict, other!.port]).toEqual(["delivered", "gw1/GW:7001"]);
  });

  it("the answer travels in the VM's virtual subnet, from any address, vouched for by the wildcard record at both ends", () => {
    const lab = createLab(LAB);
    const back = frame("00-11-22-33-44-66", GW, packet("8.8.8.8", "10.0.1.101", 57));
    expect(onTheWire(lab, "gw1/GW:6001", back)).toEqual({
      from: "192.168.0.11",
      to: "192.168.0.22",
      vsid: 6000,
      inner: { to: mac(CONTOSO1), from: mac(ROUTER), source: "8.8.8.8", destination: "10.0.1.101", ttl: 56 },
    });
    const [end] = lab.send("gw1/GW:6001", back);
    expect([end!.verdict, end!.port]).toEqual(["delivered", "hv1/Contoso1"]);
    const [other] = lab.send("gw1/GW:7001", frame(ROUTER, GW, packet("8.8.8.8", "10.0.1.101")));
    expect([other!.verdict, other!.port]).toEqual(["delivered", "hv1/Fabrikam1"]);
  });

  it("without the wildcard record the gateway's own host drops the answer; without it at the VM's host, that one does", () => {
    const wildcard = { customerAddress: "0.0.0.0", virtualSubnetID: 6001, type: "GatewayWildcard" } as const;
    const without = (host: string) => {
      const lab = createLab(LAB);
      const record = [...lab.policyOf(host)!.lookupRecords].find(
        ({ type, virtualSubnetID }) => type === wildcard.type && virtualSubnetID === wildcard.virtualSubnetID,
      )!;
      lab.changePolicy(host, { kind: "recordRemoved", record });
      const [end] = lab.send("gw1/GW:6001", frame(ROUTER, GW, packet("8.8.8.8", "10.0.1.101")));
      return [end!.verdict, end!.port, end!.reason?.reason];
    };
    expect(without("gw1")).toEqual(["dropped", "gw1/GW:6001", "TX_SRC_POLICY"]);
    expect(without("hv1")).toEqual(["dropped", "hv1/nic1", "RX_SRC_POLICY"]);
  });

  it("the gateway's own host has no default route, and the gateway finds its router by ARP", () => {
    const lab = createLab(LAB);
    const toNowhere = frame(ROUTER, GW, packet("8.8.8.8", "9.9.9.9"));
    expect(lab.send("gw1/GW:6001", toNowhere)[0]!.reason?.reason).toBe("TX_NO_ROUTE");
    const question = arp({ operation: 1, senderMac: GW, sender: "10.0.2.2", target: "10.0.2.1" });
    const answer = lab.send("gw1/GW:6001", frame("FF-FF-FF-FF-FF-FF", GW, question))[1]!;
    expect([answer.port, hexOf(answer.frame.subarray(22, 28))]).toEqual(["gw1/GW:6001", mac("00-11-22-33-44-66")]);
  });
});

describe("isolation of an adapter", () => {
  it("frames without an isolation id end at the plain port, both ways", () => {
    const lab = createLab(LAB);
    const [sent] = lab.send("gw1/GW", frame("0A-00-00-00-00-01", GW, packet("10.0.2.2", "10.0.2.1")));
    expect([sent!.verdict, sent!.reason]).toMatchObject([
      "dropped",
      { reason: "FILTERED_ISOLATION_UNTAGGED", windowsReason: "FilteredIsolationUntagged", windowsNumber: 36 },
    ]);
    const [got] = lab.send("gw1/Plain", frame(GW, "0A-00-00-00-00-01", packet("10.0.2.2", "10.0.2.1")));
    expect(got!.reason?.reason).toBe("FILTERED_ISOLATION_UNTAGGED");
    const all = lab.send("gw1/Plain", frame("FF-FF-FF-FF-FF-FF", "0A-00-00-00-00-01", packet("10.0.2.2", "10.0.2.1")));
    expect(all.map(({ port }) => port)).not.toContain("gw1/GW");
  });

  it("AllowUntaggedTraffic: frames without an id are those of DefaultIsolationID, in both directions", () => {
    const lab = createLab(
      LAB.replace(
        "multiTenantStack: true",
        "multiTenantStack: true\n              allowUntaggedTraffic: true\n              defaultIsolationID: 6001",
      ),
    );
    expect(lab.portNames).not.toContain("gw1/GW:6001");
    expect(lab.portNames).toContain("gw1/GW:7001");
    const [out] = lab.send("hv1/Contoso1", frame(ROUTER, CONTOSO1, packet("10.0.1.101", "8.8.8.8")));
    expect(out!.port).toBe("gw1/GW");
    const [back] = lab.send("gw1/GW", frame(ROUTER, GW, packet("8.8.8.8", "10.0.1.101")));
    expect([back!.verdict, back!.port]).toEqual(["delivered", "hv1/Contoso1"]);
  });

  it("without a multi-tenant stack the guest gets its virtual subnets' frames and can not answer into them", () => {
    const lab = createLab(LAB.replace("multiTenantStack: true", "multiTenantStack: false"));
    expect(lab.portNames.filter((name) => name.startsWith("gw1/GW"))).toEqual(["gw1/GW"]);
    const [out] = lab.send("hv1/Fabrikam1", frame(ROUTER, FABRIKAM1, packet("10.0.1.101", "8.8.8.8")));
    expect([out!.verdict, out!.port]).toEqual(["delivered", "gw1/GW"]);
    const [back] = lab.send("gw1/GW", frame(ROUTER, GW, packet("8.8.8.8", "10.0.1.101")));
    expect(back!.reason?.reason).toBe("FILTERED_ISOLATION_UNTAGGED");
  });

  it("ExternalVirtualSubnet: network virtualization neither carries its frames nor has any for it", () => {
    const lab = createLab(LAB.replace("NativeVirtualSubnet", "ExternalVirtualSubnet"));
    const [sent] = lab.send("gw1/GW:6001", frame(ROUTER, GW, packet("8.8.8.8", "10.0.1.101")));
    expect([sent!.verdict, sent!.port]).toEqual(["passed", "gw1/GW:6001"]);
    const [got] = lab.send("hv1/Contoso1", frame(ROUTER, CONTOSO1, packet("10.0.1.101", "8.8.8.8")));
    expect(got!.reason?.reason).toBe("RX_NO_LOCAL_DST");
  });

  it("two adapters may share a MAC where they share no virtual subnet", () => {
    const twin = `      - { name: Twin, adapters: [{ mac: ${GW}, vsid: 6000, addresses: [10.0.1.7] }] }\n`;
    const lab = createLab(LAB.replace("      - { name: Plain", `${twin}      - { name: Plain`));
    const [end] = lab.send("gw1/Twin", frame("00-15-5D-E2-AB-00", GW, packet("10.0.1.7", "10.0.1.101")));
    expect([end!.verdict, end!.port]).toEqual(["delivered", "hv1/Contoso1"]);
  });
});

/** Microsoft's gateway sample of 2012: one tenant, the gateway VM's adapter has a VSID of its own. */
describe("through a forwarding gateway", () => {
  const FORWARDING = `
apiVersion: hnv/v1
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000000000}"
    subnets:
      - { vsid: 6000, prefixes: [10.0.0.0/24], gatewayMac: 10-10-10-10-11-01 }
      - { vsid: 5000, prefixes: [10.0.1.0/24, "fd00:1::/64"], gatewayMac: 10-10-10-10-10-01 }
    gateways: [{ adapter: host3/BlueGW, vsid: 5000, addresses: [10.0.1.2], destinations: [0.0.0.0/0, 10.9.0.0/16] }]
provider: { subnets: [{ prefix: 192.168.1.0/24, mtu: 1600 }] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-01-65 }]
    providerAddresses: [{ address: 192.168.1.101 }]
    vms: [{ name: Blue1, adapters: [{ mac: 10-10-10-10-11-05, vsid: 6000, addresses: [10.0.0.5] }] }]
  - name: host3
    nics: [{ name: nic1, mac: 02-00-C0-A8-01-67 }]
    providerAddresses: [{ address: 192.168.1.103 }]
    vms: [{ name: BlueGW, adapters: [{ mac: 10-10-10-10-10-02, vsid: 5000 }] }]
`;
  it.each([
    ["2012R2", "the route decides"],
    ["2012", "records before routes, and the route in the end"],
  ])("both ways in mode %s: %s", (mode) => {
    const lab = createLab(FORWARDING.replace("apiVersion: hnv/v1", `apiVersion: hnv/v1\nmode: ${mode}`));
    const out = frame("10-10-10-10-11-01", "10-10-10-10-11-05", packet("10.0.0.5", "10.9.1.1"));
    expect(onTheWire(lab, "host1/Blue1", out)).toMatchObject({
      vsid: 5000,
      inner: { to: "101010101002", from: "101010101001", ttl: 63 },
    });
    expect(lab.send("host1/Blue1", out)[0]!.port).toBe("host3/BlueGW");
    const back = frame("10-10-10-10-10-01", "10-10-10-10-10-02", packet("10.9.1.1", "10.0.0.5"));
    expect(onTheWire(lab, "host3/BlueGW", back)).toMatchObject({
      vsid: 6000,
      inner: { to: "101010101105", from: "101010101101", ttl: 63 },
    });
    expect(lab.send("host3/BlueGW", back)[0]!.port).toBe("host1/Blue1");
  });

  it("an outside host that no wildcard record vouches for is refused", () => {
    const lab = createLab(FORWARDING);
    const forged = frame("10-10-10-10-11-01", "10-10-10-10-11-05", packet("8.8.8.8", "10.0.1.2"));
    expect(lab.send("host1/Blue1", forged)[0]!.reason?.reason).toBe("TX_SRC_POLICY");
  });
});
