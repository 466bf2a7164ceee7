/** The cmdlets: their parameters, what they refuse, and what they leave in the tables. */
import { describe, expect, it } from "vitest";
import { BLUE, complaint, complaints, fabricOf, hosts, importing, printed, RED } from "./helpers.js";

const HOST = hosts("host1");
const record = (more = "", ca = "10.0.0.5", vsid = 5001): string =>
  `New-NetVirtualizationLookupRecord -CustomerAddress ${ca} -VirtualSubnetID ${vsid} -MACAddress 060600000005 -ProviderAddress 192.168.4.22 -Rule TranslationMethodEncap ${more} | Out-Null\n`;
const route = (prefix: string, more = "", vsid = 5001, id = BLUE, nextHop = "0.0.0.0"): string =>
  `New-NetVirtualizationCustomerRoute -RoutingDomainID "${id}" -VirtualSubnetID ${vsid} -DestinationPrefix ${prefix} -NextHop ${nextHop} ${more} | Out-Null\n`;

describe("NetVirtualizationLookupRecord", () => {
  it("New-: all parameters, as the fabric file has them", () => {
    const more = '-CustomerID "{x}" -Context "a note" -VMName "Blue 1" -Type L2Only -ThrottleLimit 4';
    const text = HOST + record(more, "0.0.0.0");
    expect(fabricOf(text).lookupRecords).toEqual([
      {
        customerAddress: "0.0.0.0",
        virtualSubnetID: 5001,
        macAddress: "060600000005",
        providerAddress: "192.168.4.22",
        rule: "TranslationMethodEncap",
        type: "L2Only",
        customerID: "{x}",
        context: "a note",
        vmName: "Blue 1",
      },
    ]);
  });

  it.each([
    ["-Rule 0", "rule", "TranslationMethodNat"],
    ["-Rule 1", "rule", "TranslationMethodEncap"],
    ["-Rule TranslationMethodNo", "rule", "TranslationMethodNone"],
    ["-Rule translationmethodencap", "rule", "TranslationMethodEncap"],
    ["-Rule 1 -Type 1", "type", "Dynamic"],
  ])("enumerations by name, by its beginning and by number: %s", (how, field, value) => {
    const text = HOST + record().replace("-Rule TranslationMethodEncap", how);
    expect(fabricOf(text).lookupRecords).toMatchObject([{ [field]: value }]);
  });

  it.each(["SkipAsSource $true", "MappingsType x", "ExternalDriver x", "Interface x", "Unusable $true"])(
    "New- has no -%s",
    (parameter) => expect(complaint(record(`-${parameter}`)).code).toBe("UNKNOWN_PARAMETER"),
  );

  it.each([
    ["-Rule TranslationMethod", "BAD_ARGUMENT"],
    ["-Rule 3", "BAD_ARGUMENT"],
  ])("an enumeration that is none: %s", (how, code) => {
    expect(complaint(record().replace("-Rule TranslationMethodEncap", how)).code).toBe(code);
  });

  it.each([
    [4095, "VSID_OUT_OF_RANGE"],
    [16777215, "VSID_OUT_OF_RANGE"],
    [4294967296, "BAD_ARGUMENT"],
  ])("VSID %i is refused", (vsid, code) => expect(complaint(record("", "10.0.0.5", vsid)).code).toBe(code));

  it("P-201: one record per VSID and address; P-203: a Static one replaces a Dynamic one", () => {
    expect(complaint(record() + record("-Type Dynamic")).code).toBe("LOOKUP_RECORD_CONFLICT");
    expect(fabricOf(HOST + record("-Type Dynamic") + record()).lookupRecords).toHaveLength(1);
  });

  it("P-202: several wildcards of several MACs in one VSID", () => {
    const wildcard = record("-Type GatewayWildcard", "0.0.0.0");
    const text = wildcard + wildcard.replace("0606", "0808") + wildcard.replace("0.0.0.0", "::");
    expect(fabricOf(HOST + text).lookupRecords).toHaveLength(3);
    expect(complaint(wildcard + wildcard).code).toBe("LOOKUP_RECORD_CONFLICT");
  });

  it("P-204: Set- changes what all filters pick; no match is an error with the filter's name", () => {
    const text = `${HOST}${record()}${record("", "10.0.0.6")}${record("", "10.0.0.5", 5002)}
      Set-NetVirtualizationLookupRecord -CustomerAddress "10.0.0.5","10.0.0.9" -VirtualSubnetID 5001 -ProviderAddress 172.23.1.1`;
    expect(fabricOf(text).lookupRecords?.map(({ providerAddress }) => providerAddress)).toEqual([
      "172.23.1.1",
      "192.168.4.22",
      "192.168.4.22",
    ]);
    const none = complaint(`${record()}Set-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.99 -Context x`);
    expect(none).toMatchObject({
      code: "NOT_FOUND",
      line: 2,
      message: expect.stringMatching(/CustomerAddress.*10\.0\.0\.99/),
    });
  });

  it("hard case 12: Set with no filter changes every record of the host, of all tenants, and of no other host", () => {
    const text = `${hosts("h1", "h2")}Invoke-Command -ComputerName h1, h2 { ${record()}${record("", "10.0.0.5", 6001)} }
      Set-NetVirtualizationLookupRecord -CimSession h1 -ProviderAddress 192.168.4.99`;
    const after = fabricOf(text).lookupRecords!.map(({ host, virtualSubnetID, providerAddress }) => [
      host,
      virtualSubnetID,
      providerAddress,
    ]);
    expect(after).toEqual([
      ["h1", 5001, "192.168.4.99"],
      ["h1", 6001, "192.168.4.99"],
      ["h2", 5001, "192.168.4.22"],
      ["h2", 6001, "192.168.4.22"],
    ]);
  });

  it("P-205: Remove- with filters combines them, without any removes all", () => {
    const all = HOST + record() + record("", "10.0.0.6") + record("", "10.0.0.5", 5002);
    const left = (remove: string) => fabricOf(`${all}${remove}`).lookupRecords?.length ?? 0;
    expect(left("Remove-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.5 -VirtualSubnetID 5001")).toBe(2);
    expect(left("Remove-NetVirtualizationLookupRecord -VirtualSubnetID 5001, 5002 -Rule 1")).toBe(0);
    expect(left("Remove-NetVirtualizationLookupRecord")).toBe(0);
    expect(left("Remove-NetVirtualizationLookupRecord -WhatIf")).toBe(3);
    expect(left("Get-NetVirtualizationLookupRecord -VirtualSubnetID 5001 | Remove-NetVirtualizationLookupRecord")).toBe(
      1,
    );
    expect(left("Get-NetVirtualizationLookupRecord | ? MACAddress -eq 0 | Remove-NetVirtualizationLookupRecord")).toBe(
      3,
    );
  });

  it("the type cannot be changed, Set- and Remove- print with -PassThru only", () => {
    expect(complaint(`${record()}Set-NetVirtualizationLookupRecord -Type Dynamic`).code).toBe("UNKNOWN_PARAMETER");
    expect(printed(`${record()}Set-NetVirtualizationLookupRecord -Context x`)).toEqual([]);
    expect(
      printed(`${record()}$r = Set-NetVirtualizationLookupRecord -Context x -PassThru; Write-Host $r.Context $r.Type`),
    ).toEqual(["x Static"]);
  });

  it("UseVmMACAddress goes with TranslationMethodNat only, and P-901: a provider address stands for one address then", () => {
    expect(complaint(record("-UseVmMACAddress $true")).code).toBe("LOOKUP_RECORD_USE_VM_MAC");
    const nat = (ca: string) => record("-UseVmMACAddress:$true", ca).replace("MethodEncap", "MethodNat");
    expect(fabricOf(HOST + nat("10.0.0.5")).lookupRecords).toMatchObject([{ useVmMACAddress: true }]);
    expect(complaint(nat("10.0.0.5") + nat("10.0.0.6")).code).toBe("LOOKUP_RECORD_NAT_SHARED_PA");
  });

  it("a record without address and type: left out, a gateway's with --assume-wildcard, and in 2012", () => {
    const text = HOST + record("", "0.0.0.0");
    expect(importing(text)).toMatchObject({
      errors: [],
      hosts: [{ lookupRecords: 0 }],
      warnings: [{ code: "RECORD_WITHOUT_TYPE", line: 2 }],
    });
    expect(fabricOf(text, { assumeWildcard: true }).lookupRecords).toMatchObject([{ type: "GatewayWildcard" }]);
    expect(fabricOf(text, { mode: "2012" })).toMatchObject({
      mode: "2012",
      lookupRecords: [{ type: "GatewayWildcard" }],
    });
  });

  it.each(["-Type Static", "-MACAddress 060600000006"])("what came with 2012 R2 is not in 2012: %s", (more) => {
    const pa = `New-NetVirtualizationProviderAddress -ProviderAddress 10.0.0.1 -InterfaceIndex 1 -PrefixLength 24 ${more}`;
    expect(complaint(more.startsWith("-Type") ? record(more) : pa, { mode: "2012" }).code).toBe("NEW_IN_R2");
  });
});

describe("NetVirtualizationCustomerRoute", () => {
  it.each([
    [
      "P-211: a second on-link route of a VSID",
      route("10.0.0.0/24") + route("10.0.1.0/24"),
      "CUSTOMER_ROUTE_SECOND_ON_LINK",
    ],
    [
      "P-212: the subnet's own gateway address as next hop",
      route("10.0.0.0/24") + route("0.0.0.0/0", "", 5001, BLUE, "10.0.0.1"),
      "CUSTOMER_ROUTE_NEXT_HOP_IS_GATEWAY",
    ],
    ["P-213: bits behind the length", route("10.0.0.1/24"), "BAD_ARGUMENT"],
    [
      "P-214: prefixes that overlap in a routing domain",
      route("10.0.0.0/16") + route("10.0.1.0/24", "", 5002),
      "CUSTOMER_ROUTE_OVERLAP",
    ],
    ["P-215: the same route again", route("10.0.0.0/24") + route("10.0.0.0/24"), "CUSTOMER_ROUTE_EXISTS"],
    [
      "P-104: a VSID in two routing domains",
      route("10.0.0.0/24") + route("10.1.0.0/24", "", 5001, RED),
      "VSID_IN_TWO_ROUTING_DOMAINS",
    ],
    ["no GUID", route("10.0.0.0/24", "", 5001, "blue"), "BAD_ARGUMENT"],
    ["a VSID below 4096", route("10.0.0.0/24", "", 3001), "VSID_OUT_OF_RANGE"],
  ])("%s", (_, text, code) => expect(complaints(text).map((line) => line.split(" ")[1])).toEqual([code]));

  it("GUIDs in any spelling, both families, Metric the only thing to be set", () => {
    const text = `${HOST}${route("10.0.0.0/24", "", 5001, "11111111222233334444000000005001")}${route("2001:db8:ba::/48", "-Metric 7", 5001, BLUE.toLowerCase(), "::")}
      Set-NetVirtualizationCustomerRoute -DestinationPrefix 10.0.0.0/24 -Metric 9`;
    expect(fabricOf(text).customerRoutes).toEqual([
      { routingDomainID: BLUE, virtualSubnetID: 5001, destinationPrefix: "10.0.0.0/24", nextHop: "0.0.0.0", metric: 9 },
      { routingDomainID: BLUE, virtualSubnetID: 5001, destinationPrefix: "2001:db8:ba::/48", nextHop: "::", metric: 7 },
    ]);
  });
});

describe("NetVirtualizationProviderAddress, -ProviderRoute, -Global", () => {
  it("P-222: a VLAN, and an IPv6 address; routes by interface; NICs of the names that scripts give them", () => {
    const text = `$nic = Get-NetAdapter "Wnv"
      New-NetVirtualizationProviderAddress -InterfaceIndex $nic.ifIndex -PrefixLength 24 -ProviderAddress "10.0.1.23" -VlanID 103 -MACAddress 00:15:5d:00:00:01 | Out-Null
      New-NetVirtualizationProviderAddress -InterfaceIndex 13 -PrefixLength 48 -ProviderAddress 2001:db8:4::11 | Out-Null
      $r = New-NetVirtualizationProviderRoute -InterfaceIndex $nic.InterfaceIndex -DestinationPrefix 0.0.0.0/0 -NextHop 10.0.1.1
      Set-NetVirtualizationProviderRoute -Metric 256
      Set-NetVirtualizationGlobal -UseExternalRouter $true`;
    expect(fabricOf(text)).toMatchObject({
      hosts: [
        {
          name: "host1",
          settings: { useExternalRouter: true },
          nics: [{ name: "Wnv", mac: "00-15-5D-00-00-01" }, { name: "nic2" }],
        },
      ],
      providerAddresses: [
        { providerAddress: "10.0.1.23", interfaceIndex: 1, prefixLength: 24, vlanID: 103, macAddress: "00155D000001" },
        { providerAddress: "2001:db8:4::11", interfaceIndex: 2, prefixLength: 48, vlanID: 0 },
      ],
      providerRoutes: [{ interfaceIndex: 1, destinationPrefix: "0.0.0.0/0", nextHop: "10.0.1.1", metric: 256 }],
      neighbors: [{ address: "10.0.1.1" }],
    });
  });

  it.each([
    ["the same address twice", HOST + HOST, "PROVIDER_ADDRESS_EXISTS"],
    [
      "a length beyond the family's",
      HOST.replace("-PrefixLength 24", "-PrefixLength 33"),
      "PREFIX_LENGTH_OUT_OF_RANGE",
    ],
    ["a VLAN beyond 4094", HOST.replace("24", "24 -VlanID 4095"), "VLAN_OUT_OF_RANGE"],
    ["without an interface", HOST.replace("-InterfaceIndex 13", ""), "MISSING_PARAMETER"],
    ["a state is no one's to set", HOST.replace("24", "24 -AddressState 4"), "UNKNOWN_PARAMETER"],
  ])("%s is an error", (_, text, code) => expect(complaint(text).code).toBe(code));

  it("Get- filters by what is shown only", () => {
    expect(
      printed(
        `${HOST}Write-Host (Get-NetVirtualizationProviderAddress -AddressState Preferred -ManagedByCluster $false).ProviderAddress`,
      ),
    ).toEqual(["192.168.4.11"]);
  });
});

describe("Select-NetVirtualizationNextHop", () => {
  const TENANT =
    route("10.0.0.0/24") +
    route("10.0.1.0/24", "", 5002) +
    record() +
    record("", "10.0.1.9", 5002).replace("060600000005", "060600000009");
  it("says where a packet would go, by position and by name", () => {
    const script = `${TENANT}$a = Select-NetVirtualizationNextHop 10.0.0.5 10.0.1.9 5001
      Write-Host $a.NextHopAddress $a.NextHopMACAddress $a.SourceMACAddress
      (Select-NetVirtualizationNextHop -DestinationCustomerAddress 10.0.0.5 -SourceVirtualSubnetID 5001).NextHopMACAddress`;
    expect(printed(script)).toEqual(["10.0.1.9 060600000009 02005E000101", "060600000005"]);
  });
  it("and why there is no way", () => {
    const ask = (more: string) =>
      complaint(`${TENANT}Select-NetVirtualizationNextHop -SourceV 5001 -Destination ${more}`).code;
    expect(ask("10.0.0.99")).toBe("NO_NEXT_HOP");
    expect(ask("224.0.0.1")).toBe("CUSTOMER_ADDRESS_INVALID");
  });
});

describe("Set-VMNetworkAdapter", () => {
  const adapterOf = (text: string, options = {}): unknown =>
    fabricOf(HOST + text, options).hosts[0]!.vms?.map(({ name, adapters }) => [name, ...adapters]);

  it.each([0, 4096, 5001, 16777215])("VSID %i is one of ports", (vsid) => {
    expect(adapterOf(`Set-VMNetworkAdapter Blue1 -StaticMacAddress 060600000005 -VirtualSubnetId ${vsid}`)).toEqual([
      ["Blue1", { mac: "06-06-00-00-00-05", vsid }],
    ]);
  });
  it.each([1, 4095, 16777216])("VSID %i is none", (vsid) => {
    expect(complaint(`Set-VMNetworkAdapter Blue1 -VirtualSubnetId ${vsid}`).code).toBe("BAD_ARGUMENT");
  });

  it("settings that a lab knows become the adapter's, others are noted", () => {
    const text = `Set-VMNetworkAdapter -VMName Blue1 -StaticMacAddress 06-06-00-00-00-05 -VirtualSubnetId 5001 -MacAddressSpoofing On -DhcpGuard On -RouterGuard Off -IeeePriorityTag On -StormLimit 100 -DynamicIPAddressLimit 4 -VmqWeight 100 -AllowTeaming On`;
    expect(adapterOf(text)).toEqual([
      [
        "Blue1",
        {
          mac: "06-06-00-00-00-05",
          vsid: 5001,
          macAddressSpoofing: true,
          dhcpGuard: true,
          routerGuard: false,
          ieeePriorityTag: true,
          stormLimit: 100,
          dynamicIPAddressLimit: 4,
        },
      ],
    ]);
    expect(importing(HOST + text).ignored.map(({ parameter }) => parameter)).toEqual([
      "Set-VMNetworkAdapter -VmqWeight",
      "Set-VMNetworkAdapter -AllowTeaming",
    ]);
  });

  it("by object, by position, by -Input as on slides, by VM, by adapter name, and of the management OS", () => {
    const text = `$a = Get-VMNetworkAdapter -VMName Blue1 | where { $_.MacAddress -eq "060600000005" }
      Set-VMNetworkAdapter $a -VirtualSubnetId 5001
      Set-VMNetworkAdapter -Input $a -StormLimit 7
      Get-VM Blue1 | Get-VMNetworkAdapter | where MacAddress -eq "06-06-00-00-00-06" | Set-VMNetworkAdapter -VirtualSubnetId 5002
      Set-VMNetworkAdapter -VMName GW -VMNetworkAdapterName Inner -StaticMacAddress 0A0A00000001 -VirtualSubnetId 5003
      Set-VMNetworkAdapter -VMName GW -Name Outer -StaticMacAddress 0A0A00000002
      Set-VMNetworkAdapter -ManagementOS -Name vNic -StaticMacAddress 0A0A00000003 -VirtualSubnetId 5004`;
    expect(adapterOf(text)).toEqual([
      ["Blue1", { mac: "06-06-00-00-00-05", vsid: 5001, stormLimit: 7 }, { mac: "06-06-00-00-00-06", vsid: 5002 }],
      ["GW", { mac: "0A-0A-00-00-00-01", vsid: 5003 }, { mac: "0A-0A-00-00-00-02" }],
      ["ManagementOS", { mac: "0A-0A-00-00-00-03", vsid: 5004 }],
    ]);
  });

  it("a MAC that the script leaves open is that of the record with the VM's name, or of the one that it could be, or made up", () => {
    const named = record("-VMName blue1").replace("192.168.4.22", "192.168.4.11");
    const set = "Set-VMNetworkAdapter -VMName Blue1 -VirtualSubnetId 5001\n";
    expect(adapterOf(set + named)).toEqual([["Blue1", { mac: "06-06-00-00-00-05", vsid: 5001 }]]);
    const nameless = named.replace("-VMName blue1", "");
    const supposed = importing(HOST + set + nameless);
    expect(supposed.warnings).toMatchObject([{ code: "VM_MAC_SUPPOSED", line: 2 }]);
    expect(supposed.lab).toContain("{ name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001 }] }");
    const made = importing(HOST + set);
    expect(made.warnings).toMatchObject([{ code: "VM_MAC_MADE_UP" }]);
    expect(made.lab).toContain("mac: 02-15-5D-00-00-01");
  });

  it("a MAC that the script wants to have is made up, once, and goes into its records", () => {
    const text = `${HOST}$mac = (Get-VMNetworkAdapter -VMName Blue1).MacAddress
      ${record().replace("060600000005", "$mac").replace("192.168.4.22", "192.168.4.11")}
      Get-VMNetworkAdapter -VMName Blue1 | where { $_.MacAddress -eq "$mac" } | Set-VMNetworkAdapter -VirtualSubnetId 5001`;
    const imported = importing(text);
    expect(imported).toMatchObject({ errors: [], problems: [], warnings: [{ code: "VM_MAC_MADE_UP", line: 2 }] });
    expect(imported.lab).toContain("{ name: Blue1, adapters: [{ mac: 02-15-5D-00-00-01, vsid: 5001 }] }");
    expect(imported.lab).toContain("macAddress: 02155D000001");
  });

  it("VMs that no command names are those of the records, with their VSIDs", () => {
    const far = record("", "10.0.0.7").replace("060600000005", "060600000007");
    expect(adapterOf(record("-VMName Blue1").replace("192.168.4.22", "192.168.4.11") + far)).toEqual([
      ["Blue1", { mac: "06-06-00-00-00-05", vsid: 5001 }],
    ]);
  });
});

describe("isolation and routing domain mappings", () => {
  const ROUTES = route("10.0.2.0/24", "", 6001) + route("10.0.3.0/24", "", 7001, RED);
  const GATEWAY = `${HOST}${ROUTES}Set-VMNetworkAdapter -VMName GW -StaticMacAddress 0A0A00000001
    Set-VMNetworkAdapterIsolation -VMName GW -IsolationMode NativeVirtualSubnet -MultiTenantStack On
    Add-VMNetworkAdapterRoutingDomainMapping GW "${BLUE}" Contoso 6001 Contoso_GW
    Get-VMNetworkAdapter GW | Add-VMNetworkAdapterRoutingDomainMapping -RoutingDomainID "${RED}" -RoutingDomainName Fabrikam -IsolationID @(7001)\n`;
  const domainsOf = (more: string) =>
    fabricOf(GATEWAY + more).hosts[0]!.vms![0]!.adapters[0]!.isolation!.routingDomains;

  it("a multi-tenant gateway's adapter", () => {
    expect(fabricOf(GATEWAY).hosts[0]!.vms).toEqual([
      {
        name: "GW",
        adapters: [
          {
            mac: "0A-0A-00-00-00-01",
            isolation: {
              mode: "NativeVirtualSubnet",
              multiTenantStack: true,
              routingDomains: [
                { id: BLUE, isolationIDs: [6001], isolationNames: ["Contoso_GW"] },
                { id: RED, isolationIDs: [7001] },
              ],
            },
          },
        ],
      },
    ]);
    expect(
      printed(
        `${GATEWAY}Write-Host (Get-VMNetworkAdapterIsolation GW).MultiTenantStack (Get-VMNetworkAdapterRoutingDomainMapping GW).RoutingDomainName`,
      ),
    ).toEqual(["On Contoso Fabrikam"]);
  });

  it("Set- and Remove- by name, by id and by object", () => {
    expect(
      domainsOf("Set-VMNetworkAdapterRoutingDomainMapping GW -RoutingDomainName contoso -IsolationName New"),
    ).toMatchObject([{ isolationNames: ["New"] }, {}]);
    expect(
      domainsOf(`Remove-VMNetworkAdapterRoutingDomainMapping -VMName GW -RoutingDomainID ${BLUE.slice(1, -1)}`),
    ).toEqual([{ id: RED, isolationIDs: [7001] }]);
    expect(
      domainsOf(
        "Get-VMNetworkAdapterRoutingDomainMapping -RoutingDomainName Fabrikam | Remove-VMNetworkAdapterRoutingDomainMapping",
      ),
    ).toHaveLength(1);
    expect(complaint(`${GATEWAY}Remove-VMNetworkAdapterRoutingDomainMapping GW -RoutingDomainName Nobody`).code).toBe(
      "NOT_FOUND",
    );
    expect(complaint(`${GATEWAY}Add-VMNetworkAdapterRoutingDomainMapping GW "${BLUE}" Contoso 6001`).code).toBe(
      "MAPPING_EXISTS",
    );
  });

  it("isolation by VLAN is refused, and in 2012 there is none", () => {
    expect(complaint("Set-VMNetworkAdapterIsolation GW -IsolationMode Vlan").code).toBe("ISOLATION_MODE_VLAN");
    expect(complaint("Set-VMNetworkAdapterIsolation GW -IsolationMode None", { mode: "2012" }).code).toBe("NEW_IN_R2");
  });

  it("what cannot be in a lab is told at the command that asks for it", () => {
    const text = `${GATEWAY}Set-VMNetworkAdapter GW -VirtualSubnetId 5001`;
    expect(importing(text)).toMatchObject({
      lab: null,
      problems: [{ line: text.split("\n").length, code: "VSID_AND_ISOLATION" }],
    });
  });
});

describe("Get-NetAdapter and bindings", () => {
  it("NICs by name, by position, by pattern, from the pipeline, and one that is found by its name", () => {
    const script = `$a = Get-NetAdapter Wnv; $b = Get-NetAdapter -Name "Mgmt*"; $c = "Wnv" | Get-NetAdapter
      Write-Host $a.Name $b.Name ($a.ifIndex -eq $c.ifIndex) ($a.ifIndex -eq $b.ifIndex) $a.Status
      Invoke-Command -ComputerName h2 { Write-Host ((Get-NetAdapter | where { $_.Name -eq "Team1" }).ifIndex -eq (Get-NetAdapter Team1).ifIndex) }`;
    expect(printed(script)).toEqual(["Wnv Mgmt True False Up", "True"]);
  });

  it("ms_netwnv is bound, its misprint with a warning", () => {
    expect(
      importing(
        "Enable-NetAdapterBinding Wnv -ComponentID ms_netwnv; Get-NetAdapter Wnv | Disable-NetAdapterBinding -ComponentID ms_netwv",
      ),
    ).toMatchObject({
      errors: [],
      skipped: [],
      warnings: [{ code: "COMPONENT_MISPRINT" }],
    });
  });
});
