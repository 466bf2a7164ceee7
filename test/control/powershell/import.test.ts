/** Whole scripts: which host a command acts on, the worked examples, bounds, and what makes no lab. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkLab, importScripts, reachabilityOf } from "../../../src/control/index.js";
import { kernelModule } from "../../../src/kernel-file.js";
import { Lab } from "../../../src/vswitch/index.js";
import { load } from "../labs.js";
import { BLUE, complaint, fabricOf, hosts, importing, printed, RED } from "./helpers.js";

const record = (ca: string, vsid: number, mac: string, pa: string, more = ""): string =>
  `New-NetVirtualizationLookupRecord -CustomerAddress ${ca} -VirtualSubnetID ${vsid} -MACAddress ${mac} -ProviderAddress ${pa} -Rule TranslationMethodEncap ${more} | Out-Null\n`;
const reached = (text: string): readonly string[] => {
  const { lab, document } = load(text);
  expect(checkLab(document, lab).filter(({ severity }) => severity === "error")).toEqual([]);
  return reachabilityOf(new Lab(lab, { kernel: kernelModule(), flowCapacity: 1024 })).map(
    ({ routingDomainID, reached: count, pairs }) => `${routingDomainID} ${count}/${pairs}`,
  );
};

/** Blue and Red as an operator's page shows them: quotes and dashes of a word processor, parameters on lines of their own. */
const COPIED_FROM_A_PAGE = `\ufeff# Blue / Red \u2013 two hosts
param ( $Nic = \u201cWnv\u201d )
$Hosts = \u201cexample-host1\u201d, \u201cexample-host2\u201d
$Pa    = @(\u2018192.168.4.11\u2019, \u2018192.168.4.22\u2019)
$Blue  = \u201c${BLUE}\u201d;  $Red = \u201d${RED}\u201c

function Add-Vm {
    param ( $Ca, $Vsid, $Mac, $ProviderIp, $Name )
    foreach ($h in $Hosts) {
        New\u2013NetVirtualizationLookupRecord \u2013CimSession $h
            \u2013CustomerAddress $Ca
            \u2013VirtualSubnetID $Vsid \u2014MACAddress $Mac   # the adapter\u2019s
            \u2013ProviderAddress $ProviderIp \u2015Rule \u201cTranslationMethodEncap\u201d

            \u2013VMName $Name
    }
}
for ($i = 0; $i \u2013lt $Hosts.Length; $i++) {
    $nicObj = Get-NetAdapter $Nic \u2013CimSession $Hosts[$i]
    New-NetVirtualizationProviderAddress \u2013CimSession $Hosts[$i]
        \u2013ProviderAddress $Pa[$i] \u2013PrefixLength 24
        \u2013InterfaceIndex $nicObj.InterfaceIndex
    New-NetVirtualizationCustomerRoute \u2013CimSession $Hosts[$i] \u2013RoutingDomainID $Blue
        \u2013VirtualSubnetID 5001 \u2013DestinationPrefix \u201c10.0.0.0/24\u201d \u2013NextHop 0.0.0.0 \u2013Metric 255
    New-NetVirtualizationCustomerRoute \u2013CimSession $Hosts[$i] \u2013RoutingDomainID $Red
        \u2013VirtualSubnetID \u201c6001\u201d \u2013DestinationPrefix \u201c10.0.0.0/24\u201d \u2013NextHop \u201c0.0.0.0\u201d \u2013Metric 255
}
Add-Vm \u201c10.0.0.5\u201d 5001 \u201c060600000005\u201d $Pa[0] \u201cBlue1\u201d
Add-Vm \u201c10.0.0.7\u201d 5001 \u201c060600000007\u201d $Pa[1] \u201cBlue2\u201d
Add-Vm \u201c10.0.0.5\u201d 6001 \u201c080800000005\u201d $Pa[0] \u201cRed1\u201d
Add-Vm \u201c10.0.0.7\u201d 6001 \u201c080800000007\u201d $Pa[1] \u201cRed2\u201d
Invoke-Command \u2013ComputerName $Hosts[0] {
    Get-VMNetworkAdapter \u2013VMName \u201cBlue1\u201d | Where-Object { $_.MacAddress \u2013eq \u201c060600000005\u201d }
        | Set-VMNetworkAdapter \u2013VirtualSubnetID 5001
}
`;
const ON_ONE_LINE = COPIED_FROM_A_PAGE.replace("}\n        | Set-", "} | Set-");

describe("hard case 16: a script with smart quotes and wrapped parameters", () => {
  it("hard case 16: smart quotes and wrapped parameters make the lab that the script means", () => {
    const imported = importing(ON_ONE_LINE, { lenient: true });
    expect(imported).toMatchObject({ problems: [], errors: [], skipped: [], warnings: [{ code: "JOINED_LINES" }] });
    const { fabric } = load(imported.lab!).document;
    expect(fabric.lookupRecords).toHaveLength(4);
    expect(
      fabric.hosts.map(({ name, nics, vms }) => [name, nics!.map((nic) => nic.name), vms!.map((vm) => vm.name)]),
    ).toEqual([
      ["example-host1", ["Wnv"], ["Blue1", "Red1"]],
      ["example-host2", ["Wnv"], ["Blue2", "Red2"]],
    ]);
    expect(reached(imported.lab!)).toEqual([`${BLUE} 2/2`, `${RED} 2/2`]);
  });

  it("without --lenient it is refused at its first wrapped line, and the message says what would help", () => {
    expect(complaint(ON_ONE_LINE)).toMatchObject({
      code: "SCRIPT_SYNTAX",
      line: 11,
      column: 13,
      cure: expect.stringMatching(/backtick.*--lenient/),
    });
    const ticked = ON_ONE_LINE.replace(/(?: {2}#[^\n]*)?\n+(?=\s+\u2013[A-Z])/g, " `\n");
    expect(importing(ticked)).toMatchObject({ problems: [], errors: [], warnings: [] });
  });
});

describe("which host a command acts on", () => {
  it("each that -CimSession names, and each object tells from where it comes", () => {
    const script = `${hosts("h1", "h2")}$s = New-CimSession -ComputerName h1
      New-NetVirtualizationProviderRoute -CimSession $s, h2 -InterfaceIndex 13 -DestinationPrefix 0.0.0.0/0 -NextHop 192.168.4.1 | Out-Null
      Write-Host (Get-NetVirtualizationProviderRoute -CimSession h1, h2 | select -ExpandProperty PSComputerName)
      Write-Host (Get-NetVirtualizationProviderRoute | measure).Count
      Get-NetVirtualizationProviderRoute -CimSession h2 | Remove-NetVirtualizationProviderRoute`; // there, where the objects are from
    expect(printed(script)).toEqual(["h1 h2", "0"]);
    expect(fabricOf(script).providerRoutes).toEqual([
      { host: "h1", interfaceIndex: 1, destinationPrefix: "0.0.0.0/0", nextHop: "192.168.4.1", metric: 0 },
    ]);
  });

  it("without a session: that of the enclosing Invoke-Command, else the standard one", () => {
    const script = `New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.1 -InterfaceIndex 1 -PrefixLength 24 | Out-Null
      Invoke-Command -ComputerName other { Set-NetVirtualizationGlobal -UseExternalRouter $true; Set-NetVirtualizationGlobal -CimSession localhost -UseExternalRouter $false }`;
    expect(fabricOf(script, { known: ["First", "Other"] }).hosts.map(({ name, settings }) => [name, settings])).toEqual(
      [
        ["First", undefined],
        ["Other", undefined],
      ],
    );
  });

  it("a host that is not there is an error for that host only", () => {
    const script = `Set-NetVirtualizationGlobal -CimSession h1, h3, h2 -UseExternalRouter $true
      Invoke-Command -ComputerName h4, h2 { Write-Host $env:COMPUTERNAME }`;
    const { errors, hosts: touched, printed: lines } = importing(script, { known: ["h1", "h2"] });
    expect(errors.map(({ code, message }) => `${code} ${message}`)).toEqual([
      'UNKNOWN_HOST there is no host "h3"',
      'UNKNOWN_HOST there is no host "h4"',
    ]);
    expect(touched.map(({ name }) => name)).toEqual(["h1", "h2"]);
    expect(lines).toEqual(["h2"]);
  });

  it("policy that differs between hosts stays apart; what all have is written once", () => {
    const script = `${hosts("h1", "h2")}Invoke-Command -ComputerName h1, h2 { ${record("10.0.0.5", 5001, "060600000005", "192.168.4.11")} }
      Invoke-Command -ComputerName h2 { ${record("10.0.0.6", 5001, "060600000006", "192.168.4.22")} }`;
    expect(fabricOf(script).lookupRecords).toMatchObject([
      { customerAddress: "10.0.0.5" },
      { host: "h2", customerAddress: "10.0.0.6" },
    ]);
    expect(fabricOf(script).lookupRecords![0]).not.toHaveProperty("host");
  });

  it("a VM that a script sets on every host is on the one where its records place it", () => {
    const script = `${hosts("h1", "h2")}Invoke-Command -ComputerName h1, h2 {
        ${record("10.0.0.5", 5001, "060600000005", "192.168.4.22", "-VMName Blue1")}
        Set-VMNetworkAdapter -VMName Blue1 -VirtualSubnetId 5001 }`;
    expect(fabricOf(script).hosts.map(({ vms }) => vms?.length)).toEqual([0, 1]);
  });
});

describe("worked examples", () => {
  it("the operator's script of examples/ is the lab of two-tenants.yaml, without IPv6", () => {
    const text = readFileSync(new URL("../../../examples/operator-script.ps1", import.meta.url), "utf8");
    const imported = importing(text);
    expect(imported).toMatchObject({ problems: [], errors: [], warnings: [], skipped: [], ignored: [], printed: [] });
    expect(reached(imported.lab!)).toEqual([`${BLUE} 6/6`, `${RED} 2/2`]);
  });

  it("a gateway of Windows Server 2012, with a wildcard without a type", () => {
    const domain = "{11111111-2222-3333-4444-000000000000}";
    const route = (prefix: string, vsid: number, nextHop: string): string =>
      `New-NetVirtualizationCustomerRoute -RoutingDomainID "${domain}" -VirtualSubnetID ${vsid} -DestinationPrefix ${prefix} -NextHop ${nextHop} -Metric 255 | Out-Null\n`;
    const script = `$PAs = @{ "vm1" = "192.168.1.101"; "vm2" = "192.168.1.102"; "gw" = "192.168.1.103" }
      foreach ($h in "vm1", "vm2", "gw") { Invoke-Command -ComputerName $h -ScriptBlock {
        New-NetVirtualizationProviderAddress -ProviderAddress $using:PAs[$env:COMPUTERNAME] -InterfaceIndex 12 -PrefixLength 24 | Out-Null
        New-NetVirtualizationProviderRoute -InterfaceIndex 12 -DestinationPrefix 0.0.0.0/0 -NextHop 192.168.1.1 | Out-Null
        ${record("10.0.0.5", 6000, "101010101105", "192.168.1.101", "-VMName A")}
        ${record("10.0.0.7", 6000, "101010101107", "192.168.1.102", "-VMName B")}
        ${record("10.0.0.1", 6000, "101010101101", "169.254.254.254")}
        ${record("10.0.1.2", 5000, "101010101002", "192.168.1.103", "-VMName Blue-GW")}
        ${record("0.0.0.0", 5000, "101010101002", "192.168.1.103")}
        ${record("10.0.1.1", 5000, "101010101001", "169.254.254.254")}
        ${route("10.0.0.0/24", 6000, "0.0.0.0")}${route("10.0.1.0/24", 5000, "0.0.0.0")}${route("0.0.0.0/0", 5000, "10.0.1.2")}
      } }`;
    const imported = importing(script, { mode: "2012" });
    expect(imported).toMatchObject({ problems: [], errors: [], warnings: [] });
    const { lab } = load(imported.lab!);
    expect(lab.hosts.map(({ adapters }) => adapters.map(({ portName }) => portName))).toEqual([
      ["A"],
      ["B"],
      ["Blue-GW"],
    ]);
    const [vm] = lab.hosts;
    expect(vm!.nve.mode).toBe("2012");
    expect([...vm!.lookupRecords].filter(({ type }) => type === "GatewayWildcard")).toHaveLength(1);
  });

  it("VSIDs below 4096, as one published variant has them, are refused one by one", () => {
    const script = `foreach ($v in 3000, 3001, 6000) { ${record("10.0.0.5", 1, "060600000005", "192.168.4.11").replace("-VirtualSubnetID 1 ", "-VirtualSubnetID $v ")} }`;
    const { errors, hosts: touched } = importing(script);
    expect(errors.map(({ code, message }) => `${code} ${message}`)).toEqual([
      "VSID_OUT_OF_RANGE VSID 3000 is out of range.",
      "VSID_OUT_OF_RANGE VSID 3001 is out of range.",
    ]);
    expect(touched).toMatchObject([{ lookupRecords: 1 }]);
  });

  it("clean-up: bare removes and pipelines leave nothing, and a VSID of 0 takes a port out", () => {
    const script = `${hosts("h1", "h2")}foreach ($h in "h1", "h2") { Invoke-Command -ComputerName $h { ${record("10.0.0.5", 5001, "060600000005", "192.168.4.11")}
        Set-VMNetworkAdapter -VMName Blue1 -StaticMacAddress 060600000005 -VirtualSubnetId 5001 } }
      Remove-NetVirtualizationLookupRecord -CimSession h1; Remove-NetVirtualizationCustomerRoute -CimSession h1; Remove-NetVirtualizationProviderRoute -CimSession h1
      Get-NetVirtualizationLookupRecord -CimSession h2 | Remove-NetVirtualizationLookupRecord -CimSession h2
      Invoke-Command -ComputerName h1, h2 { Get-VMNetworkAdapter -VMName * | Set-VMNetworkAdapter -VirtualSubnetId 0 }`;
    expect(importing(script).warnings).toMatchObject([{ code: "VM_ON_SEVERAL_HOSTS" }]);
    const fabric = fabricOf(script);
    expect(fabric.lookupRecords).toBeUndefined();
    expect(fabric.hosts.map(({ vms }) => vms)).toEqual([
      [{ name: "Blue1", adapters: [{ mac: "06-06-00-00-00-05", vsid: 0 }] }],
      [],
    ]);
    const gone = importing(`${script}\nRemove-NetVirtualizationProviderAddress -CimSession h1, h2`);
    expect(gone).toMatchObject({ lab: null, errors: [], problems: [{ code: "NO_PROVIDER_ADDRESS" }] });
  });
});

describe("what makes no lab", () => {
  it("a script that cannot be read; all of them are told", () => {
    const imported = importScripts(
      [
        { name: "a.ps1", text: "Write-Host a\nif (" },
        { name: "b.ps1", text: "'x" },
        { name: "c.ps1", text: "Write-Host c" },
      ],
      { mode: "2012R2", known: [], assumeWildcard: false, lenient: false, parameters: new Map() },
    );
    expect(imported.problems.map(({ file, line, column }) => `${file}:${line}:${column}`)).toEqual([
      "a.ps1:2:5",
      "b.ps1:1:1",
    ]);
    expect(imported).toMatchObject({ lab: null, printed: [] });
  });

  it("several scripts are one session, and each place names its file", () => {
    const imported = importScripts(
      [
        { name: "lib.ps1", text: "function Add-It { param($x) New-NetVirtualizationProviderRoute -NextHop $x }" },
        { name: "main.ps1", text: `${hosts("host1")}Add-It 10.0.0.1` },
      ],
      { mode: "2012R2", known: [], assumeWildcard: false, lenient: false, parameters: new Map() },
    );
    expect(imported.errors).toMatchObject([{ file: "lib.ps1", line: 1, column: 29, code: "MISSING_PARAMETER" }]);
    expect(imported.lab).toContain("# Imported from lib.ps1, main.ps1.");
  });

  it("contradictions that only the whole lab shows are told at their commands", () => {
    const twoVlans = `${hosts("h1", "h2").replace(/24 (?=\| Out-Null\n$)/, "24 -VlanID 7 ")}`;
    expect(importing(twoVlans)).toMatchObject({
      lab: null,
      problems: [{ file: "a.ps1", line: 1, column: 1, code: "VLAN_MISMATCH" }],
    });
  });
});

describe("bounds: each ends the import with one clear error", () => {
  const few = { steps: 20_000, textLength: 1000, listLength: 500, depth: 60 };
  it.each([
    ["an endless loop", "while ($true) { }", "SCRIPT_TOO_LONG"],
    [
      "an endless loop with a catch that takes all",
      "while ($true) { try { throw 1 } catch { } finally { } }",
      "SCRIPT_TOO_LONG",
    ],
    ["an endless for", "for (;;) { $i++ }", "SCRIPT_TOO_LONG"],
    ["an endless do", "do { } until ($false)", "SCRIPT_TOO_LONG"],
    ["a function that calls itself", "function F { F }\nF", "SCRIPT_CALLS_TOO_DEEP"],
    ["a block that calls itself", "$f = { & $f }; & $f", "SCRIPT_CALLS_TOO_DEEP"],
    ["a text that doubles", '$a = "x"; while ($true) { $a = $a + $a }', "SCRIPT_TEXT_TOO_LONG"],
    ["a text that doubles in quotes", '$a = "xy"; while ($true) { $a = "$a$a" }', "SCRIPT_TEXT_TOO_LONG"],
    ["a repeated text", '"x" * 2000000000', "SCRIPT_TEXT_TOO_LONG"],
    ["a padded text", '"x".PadLeft(2000000000)', "SCRIPT_TEXT_TOO_LONG"],
    ["a list that doubles", "$a = 1, 2; while ($true) { $a += $a }", "SCRIPT_LIST_TOO_LONG"],
    ["a range", "1..2000000000", "SCRIPT_LIST_TOO_LONG"],
    ["a table that grows", "$t = @{}; for ($i = 0; ; $i++) { $t[$i] = 1 }", "SCRIPT_LIST_TOO_LONG"],
    ["a pipeline that feeds itself", "1..400 | % { 1..400 } | % { 1..400 }", "SCRIPT_TOO_LONG"],
  ])("%s", (_, text, code) => {
    const imported = importing(text, { limits: few });
    expect(imported).toMatchObject({ lab: null, problems: [{ code }] });
    expect(imported.problems).toHaveLength(1);
  });

  it("the usual bounds hold within seconds", () => {
    const started = performance.now();
    expect(importing('while ($true) { $a = "$a.".Substring(0, 1) }').problems).toMatchObject([
      { code: "SCRIPT_TOO_LONG" },
    ]);
    expect(importing("function F($n) { if ($n -gt 0) { 1 + (F ($n + 1)) } }\nF 1").problems).toMatchObject([
      { code: "SCRIPT_CALLS_TOO_DEEP" },
    ]);
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  it.each([
    ["brackets", "(".repeat(5000)],
    ["blocks", "{".repeat(5000)],
    ["expressions in texts", '"$('.repeat(5000)],
    ["ifs", "if (1) { ".repeat(5000)],
    ["casts", "[int]".repeat(5000)],
    ["signs", `$a = ${"-".repeat(5000)}1`],
  ])("nesting: %s", (_, text) => {
    const { problems } = importing(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]!.code).toMatch(/^SCRIPT_(?:TOO_DEEP|SYNTAX)$/);
  });

  it("an expression without end is no end of ours", () => {
    const long = importing(`Write-Host (${"1+".repeat(20_000)}1)`);
    expect(long.problems.map(({ code }) => code)).toEqual(["SCRIPT_TOO_DEEP"]);
    expect(printed(`Write-Host (${"1+".repeat(300)}1)`)).toEqual(["301"]);
  });

  it("patterns that could take for ever are refused", () => {
    for (const pattern of ["(a+)+$", "(a|a)*$", "(a*)*b", "a*a*a*a*a*a*a*b", "(.*)\\1"]) {
      expect(complaint(`("a" * 5000) -match '${pattern}'`)).toMatchObject({
        code: "SCRIPT_ERROR",
        message: expect.stringContaining("pattern"),
      });
    }
    expect(printed("Write-Host ('192.168.4.11' -match '^(\\d{1,3}\\.){3}\\d{1,3}$')")).toEqual(["True"]);
  });

  it("lists that hold themselves can be printed and compared", () => {
    expect(printed('$a = 1, 2; $a[0] = $a; Write-Host ($a -eq 5).Count; Write-Host "$a".Length')).toHaveLength(2);
  });

  it("messages and lines are counted beyond a thousand of them", () => {
    const { printed: lines, leftOut } = importing("1..1500 | % { Write-Host $_ }");
    expect([lines.length, leftOut]).toEqual([1000, 500]);
    const ofOneText = importing('Write-Host (("a`n" * 1499) + "a")');
    expect([ofOneText.printed.length, ofOneText.leftOut]).toEqual([1000, 500]);
  });
});
