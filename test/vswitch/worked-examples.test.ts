/**
 * The worked examples: Blue and Red on two hosts, the same with two provider subnets, a gateway as Windows Server 2012 has it, two tenants
 * behind gateways as 2012 R2 has them, and IPv6. All as raw records, in the words of the cmdlets.
 */
import { describe, expect, it } from "vitest";
import { checkLab, loadFabricFile } from "../../src/control/index.js";
import { createLab, type EmulatedLab } from "../../src/index.js";
import { frame, hexOf, icmp, nvgre, ip as outerIp } from "../engine/build.js";
import { endsOf, packet, ROUTER, whoHas, wireOf } from "./whole-labs.js";

const BLUE = "{11111111-2222-3333-4444-000000005001}";
const RED = "{11111111-2222-3333-4444-000000006001}";

interface RawRecord {
  readonly ca: string;
  readonly vsid: number;
  readonly mac: string;
  readonly pa: string;
  readonly type?: string;
  readonly host?: string;
}
const recordLine = ({ ca, vsid, mac, pa, type, host }: RawRecord): string =>
  `  - { ${host ? `host: ${host}, ` : ""}customerAddress: "${ca}", virtualSubnetID: ${vsid}, macAddress: ${mac}, providerAddress: ${pa}, rule: TranslationMethodEncap${type ? `, type: ${type}` : ""} }`;
const routeLine = (rdid: string, vsid: number, prefix: string, nextHop: string, host?: string): string =>
  `  - { ${host ? `host: ${host}, ` : ""}routingDomainID: "${rdid}", virtualSubnetID: ${vsid}, destinationPrefix: "${prefix}", nextHop: "${nextHop}", metric: 255 }`;
const fabric = (head: string, records: readonly RawRecord[], routes: readonly string[]): string =>
  `apiVersion: hnv/v1\n${head}lookupRecords:\n${records.map(recordLine).join("\n")}\ncustomerRoutes:\n${routes.join("\n")}\n`;
const findingsOf = (text: string): readonly string[] => {
  const loaded = loadFabricFile(text, "lab.yaml");
  if (!loaded.ok) return loaded.problems.map(({ code, message }) => `${code} ${message}`);
  return checkLab(loaded.document, loaded.lab).map(({ code }) => code);
};

describe("Blue and Red, two hosts", () => {
  const PA = ["192.168.4.11", "192.168.4.22"] as const;
  const vm = (name: string, mac: string, vsid: number): string =>
    `      - { name: ${name}, adapters: [{ mac: ${mac}, vsid: ${vsid} }] }\n`;
  const HEAD = `provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
  - name: example-host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: ${PA[0]} }]
    vms:
${vm("Blue1", "060600000005", 5001)}${vm("Red1", "080800000005", 6001)}  - name: example-host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: ${PA[1]} }]
    vms:
${vm("Blue2", "060600000007", 5001)}${vm("Red2", "080800000007", 6001)}`;
  const RECORDS: readonly RawRecord[] = [
    { ca: "10.0.0.5", vsid: 5001, mac: "060600000005", pa: PA[0] },
    { ca: "10.0.0.7", vsid: 5001, mac: "060600000007", pa: PA[1] },
    { ca: "10.0.0.5", vsid: 6001, mac: "080800000005", pa: PA[0] },
    { ca: "10.0.0.7", vsid: 6001, mac: "080800000007", pa: PA[1] },
  ];
  const ROUTES = [routeLine(BLUE, 5001, "10.0.0.0/24", "0.0.0.0"), routeLine(RED, 6001, "10.0.0.0/24", "0.0.0.0")];
  const TEXT = fabric(HEAD, RECORDS, ROUTES);
  const lab = createLab(TEXT);
  const BLUE1 = "example-host1/Blue1";
  const [B1, B2, R1, R2] = ["06-06-00-00-00-05", "06-06-00-00-00-07", "08-08-00-00-00-05", "08-08-00-00-00-07"];

  it("hnv check finds nothing", () => expect(findingsOf(TEXT)).toEqual([]));

  it("Blue1 ARP who-has 10.0.0.7: host 1 answers 06:06:00:00:00:07, nothing on the wire", () => {
    const before = lab.counters().ports["example-host1/nic1"]!.tx.packets;
    const [, answer] = lab.send(BLUE1, whoHas("10.0.0.7", B1!, "10.0.0.5"));
    expect(hexOf(answer!.frame.slice(6, 12))).toBe("060600000007");
    expect(lab.counters().ports["example-host1/nic1"]!.tx.packets).toBe(before);
  });
  it("Blue1 to 10.0.0.7: VSID 5001, between the hosts' PAs, MACs and TTL unchanged", () => {
    expect(wireOf(lab, BLUE1, packet(B2!, B1!, "10.0.0.5", "10.0.0.7", 64))).toEqual({
      outerSource: PA[0],
      outerDestination: PA[1],
      vsid: 5001,
      to: B2,
      from: B1,
      source: "10.0.0.5",
      destination: "10.0.0.7",
      ttl: 64,
    });
  });
  it("Red1 to 10.0.0.7: VSID 6001, the same PAs, arrives at Red2 only", () => {
    const bytes = packet(R2!, R1!, "10.0.0.5", "10.0.0.7");
    expect(wireOf(lab, "example-host1/Red1", bytes)).toMatchObject({
      vsid: 6001,
      outerSource: PA[0],
      outerDestination: PA[1],
    });
    expect(endsOf(lab, "example-host1/Red1", bytes)).toEqual(["delivered example-host2/Red2"]);
  });
  it("Blue1 to 10.0.0.9: ARP unanswered; if sent anyway there is no record", () => {
    expect(endsOf(lab, BLUE1, whoHas("10.0.0.9", B1!, "10.0.0.5"))).toEqual([`dropped ${BLUE1} TX_UNANSWERED`]);
    expect(endsOf(lab, BLUE1, packet(B2!, B1!, "10.0.0.5", "10.0.0.9"))).toEqual([`dropped ${BLUE1} TX_NO_RECORD`]);
  });
  it("Blue1 to 10.0.0.1: ARP answered with the gateway MAC, no echo", () => {
    const [, answer] = lab.send(BLUE1, whoHas("10.0.0.1", B1!, "10.0.0.5"));
    expect(hexOf(answer!.frame.slice(6, 12))).toBe("02005e000101");
    const echo = frame(ROUTER, B1!, icmp("10.0.0.5", "10.0.0.1", [8, 0, 0, 0, 0, 1, 0, 1]));
    expect(endsOf(lab, BLUE1, echo)).toEqual([`dropped ${BLUE1} TX_ROUTER_SELF`]);
  });
  it("a packet with VSID 6001 and the inner MAC of Blue2 is dropped: no port has that MAC in VSID 6001", () => {
    const inner = packet(B2!, R1!, "10.0.0.5", "10.0.0.7");
    const outer = outerIp({ source: PA[0], destination: PA[1], protocol: 47, payload: nvgre(6001, 0, inner) });
    const bytes = frame("02-00-C0-A8-04-16", "02-00-C0-A8-04-0B", outer);
    expect(endsOf(lab, "example-host2/nic1", bytes)).toEqual(["dropped example-host2/nic1 RX_NO_LOCAL_DST"]);
  });
  it("with a routed subnet: Blue1 to Blue3 in VSID 5002", () => {
    const head = HEAD.replace(vm("Red2", "080800000007", 6001), (red) => red + vm("Blue3", "060600000009", 5002));
    const third = { ca: "10.0.1.9", vsid: 5002, mac: "060600000009", pa: PA[1] };
    const routed = createLab(
      fabric(head, [...RECORDS, third], [...ROUTES, routeLine(BLUE, 5002, "10.0.1.0/24", "0.0.0.0")]),
    );
    const bytes = packet(ROUTER, B1!, "10.0.0.5", "10.0.1.9", 64);
    expect(wireOf(routed, BLUE1, bytes)).toMatchObject({ vsid: 5002, to: "06-06-00-00-00-09", from: ROUTER, ttl: 63 });
    expect(endsOf(routed, BLUE1, bytes)).toEqual(["delivered example-host2/Blue3"]);
  });
});

describe("Contoso and Fabrikam, provider addresses in two subnets", () => {
  const TENANTS = [
    { name: "Contoso", rdid: BLUE, vsid: 5001, sql: "060600000011", web: "060600000012" },
    { name: "Fabrikam", rdid: RED, vsid: 6001, sql: "080800000011", web: "080800000012" },
  ] as const;
  const vms = (role: "sql" | "web"): string =>
    TENANTS.map(
      (tenant) =>
        `      - { name: ${tenant.name}-${role}, adapters: [{ mac: "${tenant[role]}", vsid: ${tenant.vsid} }] }\n`,
    ).join("");
  const head = (routes: string): string => `provider:
  subnets:
    - { prefix: 192.168.1.0/24, mtu: 1600, gateway: 192.168.1.1 }
    - { prefix: 192.168.2.0/24, mtu: 1600, gateway: 192.168.2.1 }
hosts:
  - name: h1
    nics: [{ name: nic1, mac: 02-00-00-00-00-01 }]
    providerAddresses: [{ address: 192.168.1.10 }]
    vms:
${vms("sql")}  - name: h2
    nics: [{ name: nic1, mac: 02-00-00-00-00-02 }]
    providerAddresses: [{ address: 192.168.2.20 }]
    vms:
${vms("web")}${routes}`;
  const RECORDS = TENANTS.flatMap(({ vsid, sql, web }): RawRecord[] => [
    { ca: "10.1.1.11", vsid, mac: `"${sql}"`, pa: "192.168.1.10" },
    { ca: "10.1.1.12", vsid, mac: `"${web}"`, pa: "192.168.2.20" },
  ]);
  const ROUTES = TENANTS.map(({ rdid, vsid }) => routeLine(rdid, vsid, "10.1.1.0/24", "0.0.0.0"));
  const PROVIDER_ROUTES = `providerRoutes:
  - { host: h1, destinationPrefix: 0.0.0.0/0, nextHop: 192.168.1.1 }
  - { host: h2, destinationPrefix: 0.0.0.0/0, nextHop: 192.168.2.1 }
`;
  const sqlToWeb = ({ sql, web }: (typeof TENANTS)[number]): Uint8Array => {
    const dashed = (mac: string): string => mac.replace(/(..)(?=.)/g, "$1-");
    return packet(dashed(web), dashed(sql), "10.1.1.11", "10.1.1.12");
  };

  it("SQL reaches Web by way of the provider router, each tenant its own", () => {
    const lab = createLab(fabric(head(PROVIDER_ROUTES), RECORDS, ROUTES));
    for (const tenant of TENANTS) {
      const port = `h1/${tenant.name}-sql`;
      expect(wireOf(lab, port, sqlToWeb(tenant))).toMatchObject({
        outerSource: "192.168.1.10",
        outerDestination: "192.168.2.20",
        vsid: tenant.vsid,
      });
      expect(endsOf(lab, port, sqlToWeb(tenant))).toEqual([`delivered h2/${tenant.name}-web`]);
    }
  });
  it("without a provider route there is no way from one subnet into the other", () => {
    const lab = createLab(fabric(head(PROVIDER_ROUTES), RECORDS, ROUTES));
    for (const host of ["h1", "h2"]) lab.changePolicy(host, { kind: "providerReplaced", providerRoutes: [] });
    const [contoso] = TENANTS;
    expect(endsOf(lab, "h1/Contoso-sql", sqlToWeb(contoso))).toEqual(["dropped h1/Contoso-sql TX_NO_PROVIDER_ROUTE"]);
  });
});

describe("a gateway, as in Windows Server 2012", () => {
  const RDID = "{11111111-2222-3333-4444-000000000000}";
  const TEXT = (mode: string): string =>
    fabric(
      `mode: ${mode}
provider: { subnets: [{ prefix: 192.168.1.0/24, mtu: 1600, gateway: 192.168.1.1 }] }
hosts:
  - name: h101
    nics: [{ name: nic1, mac: 02-00-00-00-01-01 }]
    providerAddresses: [{ address: 192.168.1.101 }]
    vms: [{ name: Blue1, adapters: [{ mac: 10-10-10-10-11-05, vsid: 6000 }] }]
  - name: h102
    nics: [{ name: nic1, mac: 02-00-00-00-01-02 }]
    providerAddresses: [{ address: 192.168.1.102 }]
    vms: [{ name: Blue2, adapters: [{ mac: 10-10-10-10-11-07, vsid: 6000 }] }]
  - name: h103
    nics: [{ name: nic1, mac: 02-00-00-00-01-03 }]
    providerAddresses: [{ address: 192.168.1.103 }]
    vms: [{ name: Blue-GW, adapters: [{ mac: 10-10-10-10-10-02, vsid: 5000 }] }]
providerRoutes: [{ destinationPrefix: 0.0.0.0/0, nextHop: 192.168.1.1 }]
`,
      [
        { ca: "10.0.0.5", vsid: 6000, mac: "10-10-10-10-11-05", pa: "192.168.1.101" },
        { ca: "10.0.0.7", vsid: 6000, mac: "10-10-10-10-11-07", pa: "192.168.1.102" },
        { ca: "10.0.0.1", vsid: 6000, mac: "10-10-10-10-11-01", pa: "169.254.254.254" },
        { ca: "10.0.1.2", vsid: 5000, mac: "10-10-10-10-10-02", pa: "192.168.1.103" },
        { ca: "0.0.0.0", vsid: 5000, mac: "10-10-10-10-10-02", pa: "192.168.1.103" },
        { ca: "10.0.1.1", vsid: 5000, mac: "10-10-10-10-10-01", pa: "169.254.254.254" },
      ],
      [
        routeLine(RDID, 6000, "10.0.0.0/24", "0.0.0.0"),
        routeLine(RDID, 5000, "10.0.1.0/24", "0.0.0.0"),
        routeLine(RDID, 5000, "0.0.0.0/0", "10.0.1.2"),
      ],
    );

  it("2012 R2 refuses the record without address and type, and says what it would take", () => {
    expect(findingsOf(TEXT("2012R2"))).toEqual([expect.stringMatching(/^LOOKUP_RECORD_CUSTOMER_ADDRESS/)]);
  });
  it("hnv check finds nothing in 2012 mode", () => expect(findingsOf(TEXT("2012"))).toEqual([]));
  it("a VM's ARP for its gateway is answered with the record's invented MAC", () => {
    const [, answer] = createLab(TEXT("2012")).send("h101/Blue1", whoHas("10.0.0.1", "10-10-10-10-11-05", "10.0.0.5"));
    expect(hexOf(answer!.frame.slice(6, 12))).toBe("101010101101");
  });
  it("out: in the gateway's virtual subnet, with its MAC; back: in the VM's, let in by the wildcard", () => {
    const lab = createLab(TEXT("2012"));
    const out = packet("10-10-10-10-11-01", "10-10-10-10-11-05", "10.0.0.5", "8.8.8.8", 64);
    expect(wireOf(lab, "h101/Blue1", out)).toMatchObject({
      outerSource: "192.168.1.101",
      outerDestination: "192.168.1.103",
      vsid: 5000,
      to: "10-10-10-10-10-02",
      from: "10-10-10-10-10-01",
      ttl: 63,
    });
    expect(endsOf(lab, "h101/Blue1", out)).toEqual(["delivered h103/Blue-GW"]);
    const back = packet("10-10-10-10-10-01", "10-10-10-10-10-02", "8.8.8.8", "10.0.0.5", 64);
    expect(wireOf(lab, "h103/Blue-GW", back)).toMatchObject({
      vsid: 6000,
      to: "10-10-10-10-11-05",
      from: "10-10-10-10-11-01",
    });
    expect(endsOf(lab, "h103/Blue-GW", back)).toEqual(["delivered h101/Blue1"]);
  });
});

describe("two tenants behind gateways, as in Windows Server 2012 R2", () => {
  const TENANTS = [
    {
      name: "Contoso",
      rdid: "{12345678-1000-2000-3000-123456780001}",
      vm: 6000,
      gw: 6001,
      vmMac: "00-15-5D-E2-AB-00",
      gwMac: "00-15-5D-E2-AB-02",
    },
    {
      name: "Fabrikam",
      rdid: "{12345678-1000-2000-3000-123456780002}",
      vm: 7000,
      gw: 7001,
      vmMac: "00-15-5D-E2-AB-01",
      gwMac: "00-15-5D-E2-AB-03",
    },
  ] as const;
  const PA = { gatewayHost: "192.168.0.11", vmHost: "192.168.0.22" } as const;
  const text = (vsids = (vsid: number): number => vsid): string =>
    fabric(
      `provider: { subnets: [{ prefix: 192.168.0.0/24, mtu: 1600 }] }
hosts:
  - name: gatewayHost
    nics: [{ name: nic1, mac: 02-00-00-00-00-11 }]
    providerAddresses: [{ address: ${PA.gatewayHost} }]
    vms:
${TENANTS.map(({ name, gw, gwMac }) => `      - { name: ${name}-GW, adapters: [{ mac: ${gwMac}, vsid: ${vsids(gw)} }] }`).join("\n")}
  - name: vmHost
    nics: [{ name: nic1, mac: 02-00-00-00-00-22 }]
    providerAddresses: [{ address: ${PA.vmHost} }]
    vms:
${TENANTS.map(({ name, vm, vmMac }) => `      - { name: ${name}-VM, adapters: [{ mac: ${vmMac}, vsid: ${vsids(vm)} }] }`).join("\n")}
`,
      TENANTS.flatMap(({ vm, gw, vmMac, gwMac }): RawRecord[] => [
        { ca: "10.0.1.101", vsid: vsids(vm), mac: vmMac, pa: PA.vmHost },
        { ca: "10.0.2.2", vsid: vsids(gw), mac: gwMac, pa: PA.gatewayHost },
        { ca: "0.0.0.0", vsid: vsids(gw), mac: gwMac, pa: PA.gatewayHost, type: "GatewayWildcard" },
        ...(["gatewayHost", "vmHost"] as const).flatMap((host) => [
          { host, ca: "10.0.1.1", vsid: vsids(vm), mac: "001122334455", pa: PA[host] },
          { host, ca: "10.0.2.1", vsid: vsids(gw), mac: "001122334466", pa: PA[host] },
        ]),
      ]),
      TENANTS.flatMap(({ rdid, vm, gw }) => [
        routeLine(rdid, vsids(vm), "10.0.1.0/24", "0.0.0.0"),
        routeLine(rdid, vsids(gw), "10.0.2.0/24", "0.0.0.0"),
        routeLine(rdid, vsids(gw), "0.0.0.0/0", "10.0.2.2", "vmHost"),
      ]),
    );

  it("hnv check finds nothing", () => expect(findingsOf(text())).toEqual([]));
  it("VSIDs below 4096, as one published variant has them, are refused", () => {
    const found = findingsOf(text((vsid) => vsid - 3000));
    expect(found.length).toBeGreaterThan(0);
    expect(found.every((line) => line.startsWith("OUT_OF_RANGE"))).toBe(true);
  });
  it.each(TENANTS)("$name: out through its own gateway and back", ({ name, gw, vm, vmMac, gwMac }) => {
    const lab: EmulatedLab = createLab(text());
    const out = packet("00-11-22-33-44-55", vmMac, "10.0.1.101", "8.8.8.8", 64);
    expect(wireOf(lab, `vmHost/${name}-VM`, out)).toMatchObject({
      outerDestination: PA.gatewayHost,
      vsid: gw,
      to: gwMac,
      from: "00-11-22-33-44-66",
      ttl: 63,
    });
    expect(endsOf(lab, `vmHost/${name}-VM`, out)).toEqual([`delivered gatewayHost/${name}-GW`]);
    const back = packet("00-11-22-33-44-66", gwMac, "8.8.8.8", "10.0.1.101", 64);
    expect(wireOf(lab, `gatewayHost/${name}-GW`, back)).toMatchObject({
      vsid: vm,
      to: vmMac,
      from: "00-11-22-33-44-55",
    });
    expect(endsOf(lab, `gatewayHost/${name}-GW`, back)).toEqual([`delivered vmHost/${name}-VM`]);
  });
  it("the default route stands on the VM host only: from the gateway host nothing goes out twice", () => {
    const lab = createLab(text());
    const { gwMac } = TENANTS[0];
    expect(endsOf(lab, "gatewayHost/Contoso-GW", packet("00-11-22-33-44-66", gwMac, "8.8.8.8", "9.9.9.9"))).toEqual([
      "dropped gatewayHost/Contoso-GW TX_NO_ROUTE",
    ]);
  });
});

it("IPv6 beside IPv4: its own on-link route, gateway wildcard :: and records, for one VM", () => {
  const records: readonly RawRecord[] = [
    { ca: "10.0.0.5", vsid: 5001, mac: "06-06-00-00-00-05", pa: "192.168.4.11" },
    { ca: "2001:db8:ba::5", vsid: 5001, mac: "06-06-00-00-00-05", pa: "192.168.4.11" },
    { ca: "2001:db8:bb::2", vsid: 5002, mac: "06-06-00-00-00-02", pa: "192.168.4.22" },
    { ca: "::", vsid: 5002, mac: "06-06-00-00-00-02", pa: "192.168.4.22", type: "GatewayWildcard" },
  ];
  const routes = [
    routeLine(BLUE, 5001, "10.0.0.0/24", "0.0.0.0"),
    routeLine(BLUE, 5001, "2001:db8:ba::/48", "::"),
    routeLine(BLUE, 5002, "2001:db8:bb::/48", "::"),
    routeLine(BLUE, 5002, "::/0", "2001:db8:bb::2"),
  ];
  const lab = createLab(
    fabric(
      `provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:
  - name: h1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms: [{ name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001 }] }]
  - name: h2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms: [{ name: Gateway, adapters: [{ mac: 06-06-00-00-00-02, vsid: 5002 }] }]
`,
      records,
      routes,
    ),
  );
  const out = packet(ROUTER, "06-06-00-00-00-05", "2001:db8:ba::5", "2001:db8:ffff::8", 64);
  expect(wireOf(lab, "h1/Blue1", out)).toMatchObject({ vsid: 5002, to: "06-06-00-00-00-02", ttl: 63 });
  expect(endsOf(lab, "h1/Blue1", out)).toEqual(["delivered h2/Gateway"]);
  const back = packet(ROUTER, "06-06-00-00-00-02", "2001:db8:ffff::8", "2001:db8:ba::5");
  expect(endsOf(lab, "h2/Gateway", back)).toEqual(["delivered h1/Blue1"]);
});
