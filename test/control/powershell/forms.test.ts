/** The forms in which operators write their scripts: one test for each. */
import { expect, it } from "vitest";
import { BLUE, complaint, fabricOf, hosts, importing, printed } from "./helpers.js";

const HOST = hosts("host1");
const record = (vsid = "5001", more = ""): string =>
  `New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.5 -VirtualSubnetID ${vsid} -MACAddress 060600000005 -ProviderAddress 192.168.4.22 -Rule TranslationMethodEncap ${more}\n`;
const RECORD = {
  customerAddress: "10.0.0.5",
  virtualSubnetID: 5001,
  macAddress: "060600000005",
  providerAddress: "192.168.4.22",
  rule: "TranslationMethodEncap",
};
const recordsOf = (text: string): unknown => fabricOf(HOST + text).lookupRecords;

it.each([["5001"], ['"5001"'], ["'5001'"], ["0x1389"]])("bare or quoted numbers: %s", (vsid) => {
  expect(recordsOf(record(vsid))).toEqual([RECORD]);
});

it("bare addresses, prefixes and MAC addresses with leading zeros", () => {
  const { customerRoutes } = fabricOf(
    `${HOST}New-NetVirtualizationCustomerRoute -RoutingDomainID "${BLUE}" -VirtualSubnetID 5001 -DestinationPrefix 10.0.0.0/24 -NextHop 0.0.0.0 -Metric 255`,
  );
  expect(customerRoutes).toEqual([
    { routingDomainID: BLUE, virtualSubnetID: 5001, destinationPrefix: "10.0.0.0/24", nextHop: "0.0.0.0", metric: 255 },
  ]);
  expect(recordsOf(record().replace("060600000005", "02e123456789"))).toMatchObject([{ macAddress: "02E123456789" }]);
});

it("double and single quotes", () => {
  expect(printed(`$vm = 'Blue1'; Write-Host "it is $vm, ""so"" to say"`)).toEqual(['it is Blue1, "so" to say']);
  expect(printed(`Write-Host 'and ''not'' $vm'`)).toEqual(["and 'not' $vm"]);
});

it("smart quotes and dashes from web pages", () => {
  const smart = record("\u201c5001\u201d")
    .replaceAll(" -", " \u2013")
    .replace("10.0.0.5", "\u201e10.0.0.5\u201c")
    .replace("TranslationMethodEncap", "\u2018TranslationMethodEncap\u2019")
    .replace("\u2013Rule", "\u2014Rule")
    .replace("\u2013MAC", "\u2015MAC");
  expect(recordsOf(smart)).toEqual([RECORD]);
  expect(printed("if (3 \u2013gt 2) { Write\u2013Host \u201cyes\u201d }")).toEqual(["yes"]);
});

it("a backtick at the end of a line, with LF and with CRLF", () => {
  for (const end of ["`\n", "`\r\n"]) expect(recordsOf(record().replaceAll(" -", ` ${end}    -`))).toEqual([RECORD]);
});

it("a backtick with blanks behind it, which PowerShell does not take: only with --lenient", () => {
  const blank = HOST + record().replace(" -MAC", " `  \n -MAC");
  expect(complaint(blank)).toMatchObject({ code: "SCRIPT_SYNTAX", line: 3 });
  expect(importing(blank, { lenient: true })).toMatchObject({ problems: [], errors: [], warnings: [] });
});

it("parameters on following lines: an error that names --lenient, and with it a part of the command above", () => {
  const wrapped = record().replaceAll(" -", "\n    -");
  expect(complaint(HOST + wrapped)).toMatchObject({
    code: "SCRIPT_SYNTAX",
    line: 3,
    cure: expect.stringContaining("--lenient"),
  });
  const lenient = importing(HOST + wrapped, { lenient: true });
  expect(lenient).toMatchObject({ problems: [], errors: [], warnings: [{ code: "JOINED_LINES", line: 3 }] });
  expect(lenient.lab).toContain("customerAddress: 10.0.0.5");
});

it("several spaces for alignment, no-break spaces, trailing semicolons", () => {
  expect(recordsOf(record("5001", ";;").replaceAll(" -", "\t   \u00a0-"))).toEqual([RECORD]);
});

it("comments: at line ends, in blocks, and # within a word is none", () => {
  expect(printed("Write-Host a # b\n<# Write-Host c\n#> Write-Host <# d #> e#f")).toEqual(["a", "e#f"]);
});

it("variables, properties and elements", () => {
  const script = "$vsid = 5001; $Hosts = 'h1','h2'; $i = 1; $nic = Get-NetAdapter Wnv\n";
  expect(
    printed(`${script}Write-Host $vsid; Write-Host $HOSTS[$i]; Write-Host ($nic.InterfaceIndex -eq $nic.ifIndex)`),
  ).toEqual(["5001", "h2", "True"]);
});

it("arrays: lists with commas, @( ), +=", () => {
  expect(
    printed(
      `$a = "h1","h2"; $b = @("h3"); $b += "h4"; $c = $a + $b; Write-Host "$c $($c.Count) $(@().Length) $($c[-1])"`,
    ),
  ).toEqual(["h1 h2 h3 h4 4 0 h4"]);
});

it("loops: for, foreach, while, do, break and continue with labels", () => {
  const script = `
    for ($i=0; $i -lt 3; $i++) { Write-Host $i }
    foreach ($h in "a","b") { if ($h -eq "a") { continue }; Write-Host $h }
    while ($true) { break }
    do { $i-- } until ($i -eq 0)
    :outer foreach ($x in 1..3) { foreach ($y in 1..3) { if ($y -eq 2) { continue outer }; if ($x -eq 3) { break outer }; Write-Host "$x$y" } }
    Write-Host "i is $i"`;
  expect(printed(script)).toEqual(["0", "1", "2", "b", "11", "21", "i is 0"]);
});

it("pipelines: an adapter by its MAC address, to the VSID of its port", () => {
  const {
    hosts: [host],
  } = fabricOf(`${HOST}
    Get-VMNetworkAdapter -VMName Blue1 | where {$_.MacAddress -eq "060600000005"} | Set-VMNetworkAdapter -VirtualSubnetID 5001`);
  expect(host!.vms).toEqual([{ name: "Blue1", adapters: [{ mac: "06-06-00-00-00-05", vsid: 5001 }] }]);
});

it("remote: -CimSession, Invoke-Command with a credential, -ScriptBlock $sb and $using:", () => {
  const script = `
    $Hosts = "h1", "h2"; $cred = Get-Credential; $vsid = 5001
    $sb = { Set-VMNetworkAdapter -VMName "vm-$env:COMPUTERNAME" -StaticMacAddress 060600000005 -VirtualSubnetId $using:vsid }
    Invoke-Command -ComputerName $Hosts[0] -Credential $cred { Set-VMNetworkAdapter -VMName Red -StaticMacAddress 080800000005 -VirtualSubnetId 6001 }
    Invoke-Command -ComputerName $Hosts[1] -ScriptBlock $sb`;
  const { hosts: both } = fabricOf(hosts("h1", "h2") + script);
  expect(both.map(({ name, vms }) => [name, vms])).toEqual([
    ["h1", [{ name: "Red", adapters: [{ mac: "08-08-00-00-00-05", vsid: 6001 }] }]],
    ["h2", [{ name: "vm-h2", adapters: [{ mac: "06-06-00-00-00-05", vsid: 5001 }] }]],
  ]);
});

it("functions and param blocks", () => {
  const script = `
    function Add-Rec { param ($ca, [string]$pa = "192.168.4.22") Write-Host "$ca -> $pa" }
    function Plain($a, [int]$b) { $a + $b }
    function Strict { param([Parameter(Mandatory=$true)][Alias("Id")][string]$RDID, [switch]$Loud) "$RDID $Loud" }
    Add-Rec "10.0.0.5"
    Add-Rec -pa 1.2.3.4 -ca 10.0.0.6
    Write-Host (Plain 3 "4")
    Write-Host (Strict -Id x -Loud)`;
  expect(printed(script)).toEqual(["10.0.0.5 -> 192.168.4.22", "10.0.0.6 -> 1.2.3.4", "7", "x True"]);
  expect(complaint("function F { param([Parameter(Mandatory=$true)]$RDID) $RDID }\nF")).toMatchObject({
    code: "MISSING_PARAMETER",
  });
});

it("the script's own param block, with standard values and with given ones", () => {
  const script = 'param ( $Nic = "Wnv", [uint16]$Vlan )\nWrite-Host "$Nic $($Vlan + 1)"';
  expect(printed(script)).toEqual(["Wnv 1"]);
  expect(printed(script, { parameters: new Map([["vlan", "103"]]) })).toEqual(["Wnv 104"]);
  expect(complaint("param([Parameter(Mandatory)]$Nic) $Nic")).toMatchObject({
    cure: expect.stringContaining("--set Nic="),
  });
});

it("string building", () => {
  const script = `$guid = "11111111-2222-3333-4444-000000005001"; $prefix = "10.0.0.0"; $x = @{ Name = "Blue" }
    Write-Host ("{" + $guid + "}")
    Write-Host "$prefix/24"
    Write-Host $prefix/24
    Write-Host "$($x.Name) of $x.Name"
    Write-Host ("10.0.{0}.{1:D3} {2:X4}" -f 1, 7, 5001)`;
  expect(printed(script)).toEqual([
    `${BLUE}`,
    "10.0.0.0/24",
    "10.0.0.0/24",
    "Blue of System.Collections.Hashtable.Name",
    "10.0.1.007 1389",
  ]);
});

it("GUIDs: new ones are the same at each import, with a warning; a call as an argument needs brackets", () => {
  const fresh = importing('$a = [GUID]::NewGuid(); $b = [guid]::NewGuid()\nWrite-Host ("{" + $a + "}") ($a -eq $b)');
  expect(fresh.warnings).toMatchObject([{ code: "NEW_GUID", line: 1 }, { code: "NEW_GUID" }]);
  expect(importing('$a = [GUID]::NewGuid(); Write-Host "$a"').printed).toEqual(
    importing('Write-Host "$([GUID]::NewGuid())"').printed,
  );
  const bare = `New-NetVirtualizationCustomerRoute -RoutingDomainID [GUID]::NewGuid() -VirtualSubnetID 5001 -DestinationPrefix 10.0.0.0/24 -NextHop 0.0.0.0`;
  expect(complaint(bare)).toMatchObject({
    code: "SCRIPT_SYNTAX",
    column: 53,
    cure: expect.stringContaining("([GUID]::NewGuid())"),
  });
  expect(importing(bare, { lenient: true })).toMatchObject({
    warnings: [{ code: "BARE_CALL" }, { code: "NEW_GUID" }],
    errors: [],
    hosts: [{ customerRoutes: 1 }],
  });
});

it("here-strings, of both kinds", () => {
  const script = '$v = 5001\n$a = @"\nVSID $v\n  "two" `$\n"@\n$b = @\'\nVSID $v\n\'@\nWrite-Host $a; Write-Host $b';
  const expected = ["VSID 5001", '  "two" $', "VSID $v"];
  expect(printed(script)).toEqual(expected);
  expect(printed(script.replaceAll("\n", "\r\n"))).toEqual(expected);
  expect(printed('Write-Host "[$(@"\n"@)]"')).toEqual(["[]"]);
});

it("splatting: a table for named parameters, a list for those by position", () => {
  const params = `$params = @{ CustomerAddress = "10.0.0.5"; VirtualSubnetID = 5001
      MACAddress = '060600000005'; "ProviderAddress" = "192.168.4.22" }`;
  expect(recordsOf(`${params}\nNew-NetVirtualizationLookupRecord @params -Rule TranslationMethodEncap`)).toEqual([
    RECORD,
  ]);
  expect(printed('function F($a, $b) { "$a-$b" }\n$list = 1, 2\nWrite-Host (F @list)')).toEqual(["1-2"]);
});

it("casts, $true, $True and $null", () => {
  expect(
    printed(
      'Write-Host ([int]"5" + 1); Write-Host $True; Write-Host ($null -eq $nothing); Write-Host ([string[]](1,2) -join "-")',
    ),
  ).toEqual(["6", "True", "True", "1-2"]);
});

it("try/catch/finally, workflow and inlinescript: the body runs", () => {
  const script = `
    try { throw "no" ; Write-Host never } catch [System.Exception] { Write-Host "caught $($_.Exception.Message)" } finally { Write-Host last }
    workflow Set-It { param($x) foreach -parallel ($y in 1..2) { inlinescript { Write-Host "$using:x $using:y" } } }
    Set-It -x 5`;
  expect(printed(script)).toEqual(["caught no", "last", "5 1", "5 2"]);
});

it("abbreviations of parameters, if there is one name that begins so", () => {
  expect(recordsOf(record().replace("-VirtualSubnetID", "-Virtual").replace("-CustomerAddress", "-CustomerA"))).toEqual(
    [RECORD],
  );
  expect(complaint(record().replace("-CustomerAddress", "-Customer"))).toMatchObject({
    code: "AMBIGUOUS_PARAMETER",
    message: expect.stringMatching(/-CustomerAddress, -CustomerID/),
  });
});

it("-Name:value, with and without a blank", () => {
  expect(
    recordsOf(
      record().replace("-VirtualSubnetID 5001", "-VirtualSubnetID:5001 -Confirm:$false").replace("-Rule ", "-Rule: "),
    ),
  ).toEqual([RECORD]);
});
