/** Policy as PowerShell prints it: every shape that ConvertTo-Json gives it, the host made up around it, mistakes at their place. */
import { describe, expect, it } from "vitest";
import { checkLab, loadFabricFile, reachabilityOf } from "../../../../src/control/index.js";
import type { PortIndex } from "../../../../src/dataplane/transposition/index.js";
import { formatMac } from "../../../../src/dataplane/wire/index.js";
import { kernelModule } from "../../../../src/kernel-file.js";
import { Lab } from "../../../../src/vswitch/index.js";
import { innerOf, workedPacket } from "../../../vectors/worked-packets.js";
import { load, problemsOf, show } from "../../labs.js";

const RDID = "{11111111-2222-3333-4444-000000005001}";

/** As Windows PowerShell 5.1 prints a CimInstance with -Depth 2: two spaces behind colons, enumerations as numbers, and what CIM adds. */
const cim = (fields: string, server = "", className = "MSFT_NetVirtualizationLookupRecordSettingData"): string => `    {
        "Caption":  null,
        "Description":  null,
        "ElementName":  null,
        "InstanceID":  "10.0.0.5\\u0027 } ] \\"",
        ${fields},
        "Unsynchronized":  false,
        "Unusable":  false,
        "PSComputerName":  null,
        "CimClass":  {
                         "CimSuperClassName":  "CIM_SettingData",
                         "CimSuperClass":  "ROOT/StandardCimv2:CIM_SettingData",
                         "CimClassProperties":  "Caption Description ElementName InstanceID",
                         "CimSystemProperties":  "Microsoft.Management.Infrastructure.CimSystemProperties"
                     },
        "CimInstanceProperties":  [
                                      "Caption",
                                      "CustomerAddress = \\"10.9.9.9\\""
                                  ],
        "CimSystemProperties":  {
                                    "Namespace":  "root/StandardCimv2",
                                    "ServerName":  "${server}",
                                    "ClassName":  "${className}",
                                    "Path":  null
                                }
    }`;

const record = (
  ca: string,
  mac: string,
  pa: string,
  more = '"Rule":  1,\n        "Type":  0,\n        "VMName":  ""',
  vsid = "5001",
) =>
  `"CustomerAddress":  "${ca}",\n        "MACAddress":  "${mac}",\n        "ProviderAddress":  "${pa}",\n        "VirtualSubnetID":  ${vsid},\n        ${more}`;
const BLUE1 = record("10.0.0.5", "060600000005", "192.168.4.11");
const BLUE2 = record("10.0.0.7", "060600000007", "192.168.4.22");
const route = (vsid = 5001, prefix = "10.0.0.0/24", nextHop = "0.0.0.0"): string =>
  `"DestinationPrefix":  "${prefix}", "Metric":  255, "NextHop":  "${nextHop}", "RoutingDomainID":  "${RDID}", "VirtualSubnetID":  ${vsid}`;
const providerAddress = (address: string, more = ""): string =>
  `"AddressState":  4, "InterfaceIndex":  13, "ManagedByCluster":  false, "PrefixLength":  24, "ProviderAddress":  "${address}", "VlanID":  0${more}`;
const list = (...objects: readonly string[]): string => `[\n${objects.join(",\n")}\n]\n`;

const HOST = [
  list(cim(BLUE1, "HV1"), cim(BLUE2, "HV1")),
  cim(route(), "HV1"),
  cim(providerAddress("192.168.4.11"), "HV1"),
].join("\n");

const makeLab = (text: string): Lab => new Lab(load(text).lab, { kernel: kernelModule(), flowCapacity: 1024 });
const hexOf = (frame: Uint8Array): string => Buffer.from(frame).toString("hex");

it("one host's tables as Windows PowerShell prints them: packet A leaves as it should, byte for byte", () => {
  const lab = makeLab(HOST);
  expect(lab.portNames).toEqual(["HV1/vm-060600000005", "HV1/nic1"]);
  const [end] = lab.engine.send([{ port: lab.port("HV1/vm-060600000005")!, frame: innerOf("a") }]);
  expect(end).toMatchObject({ verdict: "delivered", port: 1 as PortIndex });
  const wire = Uint8Array.from(workedPacket("a"));
  for (const frame of [end!.frame, wire]) {
    frame.fill(0, 18, 20); // identification
    frame.fill(0, 24, 26); // and its checksum
  }
  expect(hexOf(end!.frame)).toBe(hexOf(wire));
});

/** The records, routes and addresses of a text, without their order. */
function tablesOf(text: string): unknown {
  const { fabric } = load(text).document;
  const { lookupRecords, customerRoutes, providerAddresses, providerRoutes } = fabric;
  return { lookupRecords, customerRoutes, providerAddresses, providerRoutes, hosts: fabric.hosts };
}

const bare = (fields: string): string => `{ ${fields} }`;
const NAMED = BLUE1.replace('"Rule":  1', '"Rule": "TranslationMethodEncap"').replace('"Type":  0', '"Type": "Static"');

it.each([
  [
    "names in place of numbers, as PowerShell 7 with -EnumsAsStrings",
    `${list(bare(NAMED), bare(BLUE2))} ${bare(route())} ${bare(providerAddress("192.168.4.11"))}`,
  ],
  ["in one list", list(bare(BLUE1), bare(BLUE2), bare(route()), bare(providerAddress("192.168.4.11")))],
  [
    "documents without anything between",
    `${list(bare(BLUE1), bare(BLUE2)).trim()}${bare(route())}${bare(providerAddress("192.168.4.11"))}`,
  ],
  [
    "with a byte order mark before each",
    `\ufeff${list(bare(BLUE1), bare(BLUE2))}\ufeff${bare(route())}\r\n\ufeff${bare(providerAddress("192.168.4.11"))}`,
  ],
  [
    "lists in value and Count",
    `{ "value": ${list(bare(BLUE1), bare(BLUE2))}, "Count": 2 } ${bare(route())} ${bare(providerAddress("192.168.4.11"))}`,
  ],
  [
    "in an object by cmdlet",
    `{ "Get-NetVirtualizationLookupRecord": ${list(bare(BLUE1), bare(BLUE2))}, "NetVirtualizationCustomerRoute": ${bare(route())},
       "providerAddress": ${list(bare(providerAddress("192.168.4.11")))}, "ProviderRoute": null, "Global": { "UseExternalRouter": false } }`,
  ],
  [
    "numbers in quotes",
    `${list(bare(BLUE1), bare(BLUE2)).replaceAll("5001", '"5001"')} ${bare(route())} ${bare(providerAddress("192.168.4.11"))}`,
  ],
])("the same tables: %s", (_, text) => {
  expect(tablesOf(text)).toEqual(tablesOf(HOST.replaceAll('"HV1"', '""')));
});

it("rules and types by their numbers", () => {
  const numbered = (rule: number, type: number, last: number) =>
    bare(
      record(
        type < 2 ? `10.0.0.${last}` : "0.0.0.0",
        `0606000000${last}`,
        "192.168.4.11",
        `"Rule": ${rule}, "Type": ${type}`,
      ),
    );
  const text = list(
    numbered(0, 0, 10),
    numbered(1, 1, 11),
    numbered(2, 2, 12),
    numbered(1, 3, 13),
    bare(providerAddress("192.168.4.11")),
  );
  expect(load(text).document.fabric.lookupRecords).toMatchObject([
    { rule: "TranslationMethodNat", type: "Static" },
    { rule: "TranslationMethodEncap", type: "Dynamic" },
    { rule: "TranslationMethodNone", type: "GatewayWildcard" },
    { rule: "TranslationMethodEncap", type: "L2Only" },
  ]);
});

it("the tables of two hosts make a lab with a provider network, in which everybody reaches everybody", () => {
  const of = (host: string, own: string) => [
    ...[BLUE1, BLUE2].map((fields) => bare(`${fields}, "PSComputerName": "${host}"`)),
    bare(`${route()}, "PSComputerName": "${host}"`),
    bare(`${providerAddress(own)}, "PSComputerName": "${host}"`),
  ];
  const text = list(...of("HV1", "192.168.4.11"), ...of("HV2", "192.168.4.22"));
  const [reach] = reachabilityOf(makeLab(text));
  expect(reach).toMatchObject({ pairs: 2, reached: 2, endpoints: [{ host: "HV1" }, { host: "HV2" }] });
  const { document, lab } = load(text);
  expect(checkLab(document, lab).filter(({ severity }) => severity === "error")).toEqual([]);
});

it("NICs by interface index, routers as neighbors; VMs by name and tenant, without the distributed router's addresses", () => {
  const named = (name: string) => `"Rule": 1, "Type": 0, "VMName": "${name}"`;
  const text = list(
    bare(record("10.0.0.5", "060600000005", "192.168.4.11", named("web/1"))),
    bare(record("10.0.1.5", "060600000015", "192.168.4.11", named("web/1"), "5002")),
    bare(record("10.0.0.6", "060600000005", "192.168.4.11", named("web/1"))), // a second address, no second adapter
    bare(record("10.9.0.5", "080800000005", "192.168.4.11", named("web/1"), "6001")),
    bare(record("10.0.0.1", "060600000101", "192.168.4.11", named("gateway"))),
    bare(record("10.0.0.9", "060600000009", "192.168.5.22", named("far"))),
    bare(route(5001)),
    bare(route(5002, "10.0.1.0/24")),
    bare(providerAddress("192.168.4.11", ', "MACAddress": "00155D010203"')),
    bare(`"DestinationPrefix": "0.0.0.0/0", "InterfaceIndex": 13, "Metric": 0, "NextHop": "192.168.4.1"`),
    bare(`"DestinationPrefix": "192.168.5.0/24", "InterfaceIndex": 21, "Metric": 0, "NextHop": "192.168.4.2"`),
  );
  const { fabric } = load(text).document;
  expect(fabric.hosts).toEqual([
    {
      name: "host1",
      nics: [
        { name: "nic1", mac: "00-15-5D-01-02-03" },
        { name: "nic2", mac: "02-00-00-00-00-02" },
      ],
      vms: [
        {
          name: "web-1",
          adapters: [
            { mac: "06-06-00-00-00-05", vsid: 5001 },
            { mac: "06-06-00-00-00-15", vsid: 5002 },
          ],
        },
        { name: "web-1-6001", adapters: [{ mac: "08-08-00-00-00-05", vsid: 6001 }] },
      ],
    },
  ]);
  expect(fabric.providerRoutes).toMatchObject([{ interfaceIndex: 1 }, { interfaceIndex: 2 }]);
  expect(fabric.neighbors).toEqual([
    { address: "192.168.5.22", mac: "02-00-C0-A8-05-16" },
    { address: "192.168.4.1", mac: "02-00-C0-A8-04-01" },
    { address: "192.168.4.2", mac: "02-00-C0-A8-04-02" },
  ]);
});

it("NICs have MAC addresses of their own, also where addresses end alike or a NIC has none; groups are no neighbors", () => {
  const hosts = ["HV1", "HV2"].flatMap((host, index) => [
    cim(`"InterfaceIndex":  13, "PrefixLength":  64, "ProviderAddress":  "fd00:${index}::10"`, host),
    cim(`"DestinationPrefix":  "10.9.0.0/16", "InterfaceIndex":  7, "Metric":  0, "NextHop":  "10.8.0.1"`, host),
  ]);
  expect(load(list(...hosts)).lab.hosts.map(({ nics }) => nics.map(({ mac }) => formatMac(mac)))).toEqual([
    ["02-00-00-00-00-10", "02-00-00-00-00-02"],
    ["02-00-00-00-00-11", "02-00-00-00-00-03"],
  ]);
  const group = cim(record("ff05::5", "060600000099", "ff0e::5"), "HV1");
  expect(load(`${HOST}${group}`).document.fabric.neighbors).toEqual([
    { address: "192.168.4.22", mac: "02-00-C0-A8-04-16" },
  ]);
});

it("mistakes are told at the value that makes them, with line and column", () => {
  const text = HOST.replace('"060600000007"', '"06060000000Z"').replace('"10.0.0.0/24"', '"10.0.0.0/33"');
  const places = (needle: string): string => {
    const offset = text.indexOf(needle);
    const lines = text.slice(0, offset).split("\n");
    return `${lines.length}:${lines.at(-1)!.length + 1}`;
  };
  expect(problemsOf(text).map(show)).toEqual([
    `${places('"06060000000Z"')} BAD_MAC lookupRecords[1].macAddress`,
    `${places('"10.0.0.0/33"')} BAD_PREFIX customerRoutes[0].destinationPrefix`,
  ]);
  const tooLow = HOST.replace(
    '"VirtualSubnetID":  5001,\n        "Rule":  1',
    '"VirtualSubnetID":  3001,\n        "Rule":  1',
  );
  expect(problemsOf(tooLow)[0]).toMatchObject({ code: "OUT_OF_RANGE", path: "lookupRecords[0].virtualSubnetID" });
  const unknownRule = HOST.replace('"Rule":  1', '"Rule":  9');
  expect(problemsOf(unknownRule)[0]).toMatchObject({ path: "lookupRecords[0].rule" });
  const twice = HOST.replace("10.0.0.7", "10.0.0.5");
  expect(problemsOf(twice)[0]).toMatchObject({
    code: "LOOKUP_RECORD_CONFLICT",
    path: "lookupRecords[1].customerAddress",
  });
});

it("what a finding says of a VM made up from a record points at that record", () => {
  const text = HOST.replace(cim(route(), "HV1"), "");
  const { document, lab } = load(text);
  const finding = checkLab(document, lab).find(({ code }) => code === "VSID_WITHOUT_ROUTE");
  expect(finding).toMatchObject({ line: 2 });
});

it("texts that are not policy, or not whole", () => {
  const shown = (text: string) => problemsOf(text).map(show);
  expect(shown(HOST.slice(0, HOST.indexOf("MACAddress") + 4))).toEqual(["8:9 JSON_SYNTAX "]); // the quote
  expect(shown(HOST.slice(0, HOST.indexOf('"MACAddress')))).toEqual(["1:1 JSON_SYNTAX "]); // the list
  expect(shown(list(bare(BLUE1), bare(BLUE2)))).toEqual(["1:1 NO_PROVIDER_ADDRESS "]);
  expect(shown(`${HOST}\n{ "Name": "Blue1", "State": 2 }`)).toEqual([
    expect.stringMatching(/^\d+:1 POLICY_UNKNOWN_OBJECT $/),
  ]);
  expect(shown(`${HOST}\n[[ 7 ]]`)).toEqual([expect.stringMatching(/^\d+:4 POLICY_NO_OBJECT $/)]);
  expect(shown(`${HOST}\n{ "CustomerAddress" "10.0.0.5" }`)).toEqual([expect.stringMatching(/^\d+:21 JSON_SYNTAX $/)]);
  expect(shown(`${HOST}\n{ "CustomerAddress": 10.0.0.5 }`)).toEqual([expect.stringMatching(/^\d+:22 JSON_SYNTAX $/)]);
  expect(shown(`${HOST}\n${"[".repeat(5000)}`)).toEqual([expect.stringMatching(/JSON_SYNTAX/)]);
  expect(shown(`${HOST}\n${"[".repeat(5000)}${"]".repeat(5000)}`)).toEqual([expect.stringMatching(/POLICY_NO_OBJECT/)]);
});

it("every cut of a text is refused, never thrown", () => {
  for (let length = 2; length < HOST.length; length += 7) {
    expect(loadFabricFile(HOST.slice(0, length), "cut.json").ok).toBe(false);
  }
});

it("a fabric file in JSON stays one", () => {
  const text =
    '{ "apiVersion": "hnv/v1", "hosts": [{ "name": "h", "nics": [{ "name": "nic1", "mac": "020000000001" }] }] }';
  expect(load(text).document.fabric.hosts[0]!.name).toBe("h");
});

it("what Windows knows and the lab does not obey is a finding", () => {
  const text = `${HOST.replace('"Unusable":  false', '"Unusable":  true').replace('"AddressState":  4', '"AddressState":  2')}`;
  const loaded = loadFabricFile(text, "policy.json");
  expect(loaded.ok && loaded.findings.map(({ severity, code }) => `${severity} ${code}`)).toEqual([
    "warning RECORD_UNUSABLE",
    "warning PA_STATE",
  ]);
});

describe("global settings", () => {
  it("become those of the host that they are of", () => {
    expect(load(`${HOST} { "UseExternalRouter": true }`).lab.hosts[0]!.nve.useExternalRouter).toBe(true);
    expect(load(`${HOST} { "UseExternalRouter": false }`).lab.hosts[0]!.nve.useExternalRouter).toBe(false);
    const other = HOST.replaceAll('"HV1"', '"HV2"')
      .replaceAll("192.168.4.11", "192.168.4.22")
      .replaceAll("5001", "5002");
    const { hosts } = load(`${HOST} ${other} { "UseExternalRouter": true, "PSComputerName": "HV2" }`).lab;
    expect(hosts.map(({ name, nve }) => `${name} ${nve.useExternalRouter}`)).toEqual(["HV1 false", "HV2 true"]);
  });

  it("a value that is none is told where it stands", () => {
    const loaded = loadFabricFile(`${HOST}\n{ "UseExternalRouter": "yes" }`, "policy.json");
    const problems = loaded.ok ? [] : loaded.problems.map(({ path, column }) => `${path} ${column}`);
    expect(problems).toEqual(["hosts[0].settings.useExternalRouter 24"]);
  });
});

it("twenty thousand records with all that CIM adds: 27 MB, more than a fabric file may have", () => {
  const records = Array.from({ length: 20_000 }, (_, index) => {
    const last = `${index >>> 8}.${index & 0xff}`;
    return cim(
      record(`10.1.${last}`, (0x0606_0001_0000 + index).toString(16).padStart(12, "0"), "192.168.4.22"),
      "HV1",
    );
  });
  const text = `${list(...records)}${cim(providerAddress("192.168.4.11"), "HV1")}`;
  expect(text.length).toBeGreaterThan(16 * 1024 * 1024);
  expect(load(text).lab.hosts[0]!.lookupRecords.size).toBe(20_000);
});

it("forty hosts with the thousand routes of one tenant each: time goes by the routes, not by their pairs", {
  timeout: 15_000,
}, () => {
  const hosts = Array.from({ length: 40 }, (_, host) => {
    const named = (fields: string): string => bare(`${fields}, "PSComputerName": "HV${host}"`);
    const routes = Array.from({ length: 1000 }, (_, index) =>
      named(route(5001 + index, `10.${index >>> 8}.${index & 0xff}.0/24`)),
    );
    return list(named(providerAddress(`192.168.4.${host + 1}`)), ...routes);
  });
  expect(load(hosts.join("\n")).lab.hosts.map(({ customerRoutes }) => customerRoutes.length)).toEqual(
    Array(40).fill(1000),
  );
});
