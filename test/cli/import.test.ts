/** `hnv import`: its contract with the outside, and that an imported lab carries packets as the one written by hand does. */
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { hnv, LABS, ROOT, resultOf, shell, workplace } from "./helpers.js";

const SCRIPT = join(ROOT, "examples/operator-script.ps1");
const PCAPS = join(ROOT, "pcaps");
const PA =
  "New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.11 -InterfaceIndex 13 -PrefixLength 24 | Out-Null\n";

it("the imported two-tenant lab puts the same bytes on the wire, and hands the same to the VMs, as the one written by hand", async () => {
  const at = workplace();
  expect(await hnv(["import", SCRIPT, "-o", at("imported.yaml")])).toMatchObject({ status: 0, stderr: "" });
  // Scripts say nothing of the provider network's MTU, and the example has no IPv6.
  writeFileSync(
    at("imported.yaml"),
    readFileSync(at("imported.yaml"), "utf8").replace("vlan: 0 }", "vlan: 0, mtu: 1600 }"),
  );
  const byHand = readFileSync(LABS.plain, "utf8").replaceAll(/, "fd00:[^"]*"/g, "");
  writeFileSync(at("by-hand.yaml"), byHand);

  const inputs = readdirSync(PCAPS)
    .filter((name) =>
      /^(?:worked-[abc]|blue1-(?:tcp|udp|icmp|routed|arp|fragments)|mixed-(?:blue1|red1))-sent\.pcap$/.test(name),
    )
    .map((name) => `${name.includes("red1") ? "host1/Red1" : "host1/Blue1"}=${join(PCAPS, name)}`);
  inputs.push(`host2/Blue2=${join(PCAPS, "blue2-tcp-sent.pcap")}`);
  const ports = ["host1/nic1", "host2/nic1", "host1/Blue1", "host2/Blue2", "host2/Blue3", "host2/Red2"];
  const runs = ["imported", "by-hand"].map(async (lab) => {
    const outs = ports.flatMap((port) => ["--out", `${port}=${at(`${lab}-${port.replace("/", "-")}.pcap`)}`]);
    const ended = await hnv([
      "run",
      at(`${lab}.yaml`),
      ...inputs.flatMap((input) => ["--in", input]),
      ...outs,
      "--json",
    ]);
    expect(ended.status, ended.stderr).toBe(0);
    const { totals, drops } = resultOf(ended);
    return { totals, drops };
  });
  const [imported, written] = await Promise.all(runs);
  expect(imported).toEqual(written);
  expect(imported!.totals.delivered).toBeGreaterThan(1500);
  for (const port of ports) {
    const [a, b] = ["imported", "by-hand"].map((lab) => readFileSync(at(`${lab}-${port.replace("/", "-")}.pcap`)));
    expect(a!.equals(b!), port).toBe(true);
    expect(a!.length, port).toBeGreaterThan(24);
  }
});

it("without -o the lab goes to standard output and everything about it beside; hnv check takes it from there", async () => {
  const { status, stdout, stderr } = await hnv(["import", SCRIPT]);
  expect(status).toBe(0);
  expect(stderr).toMatch(/^host1 +7 lookup records +3 customer routes +1 provider address/);
  expect(stdout).toMatch(/^# Imported from .*operator-script\.ps1\.\napiVersion: hnv\/v1\n/);
  expect(await hnv(["check", "-"], { input: Buffer.from(stdout) })).toMatchObject({ status: 0 });
});

const SMART = `${PA}New-NetVirtualizationLookupRecord \u2013CustomerAddress \u201c10.0.0.5\u201d -VirtualSubnetID 5001 -MACAddress \u2018060600000005\u2019 -ProviderAddress 192.168.4.11 -Rule 1 -VMName \u201cB\u00fcro 1\u201d > $null\n`;
it.each([
  ["UTF-8", Buffer.from(SMART)],
  ["UTF-8 with a byte order mark and CRLF", Buffer.from(`\ufeff${SMART.replaceAll("\n", "\r\n")}`)],
  ["UTF-16, little-endian", Buffer.from(`\ufeff${SMART}`, "utf16le")],
  ["UTF-16, big-endian", Buffer.from(`\ufeff${SMART}`, "utf16le").swap16()],
  [
    "the code page of Western Windows",
    Buffer.from(
      SMART.replaceAll("\u2013", "\u0096")
        .replaceAll("\u201c", "\u0093")
        .replaceAll("\u201d", "\u0094")
        .replaceAll("\u2018", "\u0091")
        .replaceAll("\u2019", "\u0092"),
      "latin1",
    ),
  ],
])("a script in %s", async (_, bytes) => {
  const { status, stdout } = await hnv(["import", "-"], { input: bytes });
  expect(status).toBe(0);
  expect(stdout).toContain(
    'customerAddress: 10.0.0.5, virtualSubnetID: 5001, macAddress: 060600000005, providerAddress: 192.168.4.11, rule: TranslationMethodEncap, vmName: "B\u00fcro 1"',
  );
});

it("status 1: commands of the script failed; the lab is what the others left, and each error has its place", async () => {
  const at = workplace();
  writeFileSync(
    at("a.ps1"),
    `${PA}${PA}Enable-Something x\nSet-VMNetworkAdapter -VMName A -StaticMacAddress 060600000005 -VmqWeight 5\n`,
  );
  const ended = await hnv(["import", "a.ps1", "-o", "lab.yaml"], { cwd: at(".") });
  expect(ended).toMatchObject({ status: 1, stderr: "" });
  expect(ended.stdout.split("\n")).toEqual([
    "a.ps1:2:1: error: There is one already: 192.168.4.11. [PROVIDER_ADDRESS_EXISTS]",
    "    cure: each address once per host",
    "a.ps1:3:1: skipped: Enable-Something is not known here",
    "a.ps1:4:1: Set-VMNetworkAdapter -VmqWeight has no effect in a lab",
    "host1  0 lookup records  0 customer routes  1 provider address  0 provider routes",
    "wrote lab.yaml",
    "",
  ]);
  expect(existsSync(at("lab.yaml"))).toBe(true);
  expect(existsSync(at("lab.yaml.partial"))).toBe(false);
});

it.each([
  ["a script that cannot be read", "Write-Host (\n", [], /^a\.ps1:2:1: expected/],
  ["wrapped parameters", `${PA.replace(" -PrefixLength", "\n  -PrefixLength")}`, [], /^a\.ps1:2:3: .*--lenient/m],
  ["a script that never ends", "while ($true) { }\n", [], /^a\.ps1:1:\d+: the script takes more than/],
  ["a script that gives up", 'throw "no way"\n', [], /^a\.ps1:1:1: no way$/m],
  ["a script that makes nothing", "Write-Host hello\n", [], /provider address/],
  [
    "a lab that contradicts itself",
    `${PA}Set-VMNetworkAdapter -VMName A -StaticMacAddress 010600000005\n`,
    [],
    /^a\.ps1:2:1: /m,
  ],
  ["a parameter that the script does not have", PA, ["--set", "Nic=x"], /no parameter -Nic/],
])(
  "status 2 and nothing is written: %s",
  async (_, text, more, expected) => {
    const at = workplace();
    writeFileSync(at("a.ps1"), text);
    const { status, stderr } = await hnv(["import", "a.ps1", "-o", "lab.yaml", ...more], { cwd: at(".") });
    expect(status).toBe(2);
    expect(stderr).toMatch(expected);
    expect(readdirSync(at("."))).toEqual(["a.ps1"]);
  },
  60_000,
);

it.each([
  [["missing.ps1"], /^hnv: missing\.ps1: no such file$/m],
  [["a.ps1", "-o", "a.ps1"], /both read and written/],
  [["a.ps1", "-o", "nowhere/lab.yaml"], /no directory nowhere/],
  [["a.ps1", "--mode", "2016"], /2012R2/],
  [["a.ps1", "--set", "x"], /NAME=VALUE/],
  [[], /missing required argument/],
])("status 2: %j", async (args, expected) => {
  const at = workplace();
  writeFileSync(at("a.ps1"), PA);
  const { status, stderr } = await hnv(["import", ...args], { cwd: at(".") });
  expect(status).toBe(2);
  expect(stderr).toMatch(expected);
});

it("--json: the whole result, with the lab inside unless it has a file", async () => {
  const at = workplace();
  writeFileSync(
    at("a.ps1"),
    `param($Nic)\n${PA}Write-Host "on $Nic"\nGet-Foo\nSet-VMNetworkAdapter A -VirtualSubnetId 3\n`,
  );
  const ended = await hnv(["import", "a.ps1", "--json", "--set", "nic=Wnv"], { cwd: at(".") });
  expect(ended.status).toBe(1);
  expect(JSON.parse(ended.stdout)).toEqual({
    schemaVersion: 1,
    scripts: ["a.ps1"],
    output: null,
    lab: expect.stringContaining("apiVersion: hnv/v1"),
    hosts: [{ name: "host1", lookupRecords: 0, customerRoutes: 0, providerAddresses: 1, providerRoutes: 0 }],
    problems: [],
    errors: [
      {
        file: "a.ps1",
        line: 5,
        column: 1,
        code: "BAD_ARGUMENT",
        message: "-VirtualSubnetId: 3 is out of range: 0, or 4096 to 16777215",
        cure: null,
      },
    ],
    warnings: [],
    skipped: [{ file: "a.ps1", line: 4, column: 1, command: "Get-Foo" }],
    ignored: [],
    printed: ["on Wnv"],
    leftOut: 0,
  });
  const written = await hnv(["import", "a.ps1", "-o", "lab.yaml", "--json"], { cwd: at(".") });
  expect(JSON.parse(written.stdout)).toMatchObject({ output: "lab.yaml", lab: null });
  const broken = await hnv(["import", "-", "--json"], { input: Buffer.from("(") });
  expect(broken).toMatchObject({ status: 2, stderr: "" });
  expect(JSON.parse(broken.stdout)).toMatchObject({
    lab: null,
    problems: [{ file: "-", line: 1, column: 2, code: "SCRIPT_SYNTAX" }],
  });
});

it("-o: pipes are written in place, and a link leads to the file that is replaced, with the mode it has", async () => {
  const at = workplace();
  writeFileSync(at("a.ps1"), PA);
  const piped = await shell("mkfifo f; cat f & hnv import a.ps1 -o f; wait; test -p f && ls", { cwd: at(".") });
  expect(piped.stdout).toContain("apiVersion: hnv/v1");
  expect(piped.stdout).toMatch(/wrote f\n.*a\.ps1\nf\n$/s);

  writeFileSync(at("real.yaml"), "", { mode: 0o600 });
  symlinkSync("real.yaml", at("link.yaml"));
  expect((await hnv(["import", "a.ps1", "-o", "link.yaml"], { cwd: at(".") })).status).toBe(0);
  expect(lstatSync(at("link.yaml")).isSymbolicLink()).toBe(true);
  expect(statSync(at("real.yaml")).mode & 0o777).toBe(0o600);
  expect(readFileSync(at("real.yaml"), "utf8")).toContain("apiVersion: hnv/v1");
});
