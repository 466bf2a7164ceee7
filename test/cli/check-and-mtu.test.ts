/** `hnv check` and `hnv mtu`: their contract with the outside; what they find and compute is tested in test/control. */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { hnv, LABS, workplace } from "./helpers.js";

it("check: the example labs have no errors", async () => {
  for (const lab of Object.values(LABS)) {
    const { status, stdout } = await hnv(["check", lab, "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 1, file: lab, errors: 0 });
  }
});

it("check: a finding has a place, a code and a cure, and errors make status 1", async () => {
  const at = workplace();
  const text = readFileSync(LABS.plain, "utf8").replace("addresses: [10.0.0.7,", "addresses: [10.0.9.7,");
  writeFileSync(at("lab.yaml"), text);
  const { status, stdout } = await hnv(["check", "lab.yaml", "--json"], { cwd: at(".") });
  const { findings, errors } = JSON.parse(stdout) as { findings: Record<string, unknown>[]; errors: number };
  expect(status).toBe(1);
  expect(errors).toBeGreaterThan(0);
  expect(findings[0]).toEqual({
    severity: "error",
    code: expect.stringMatching(/^[A-Z_]+$/),
    path: expect.stringContaining("hosts[1].vms[0].adapters[0].addresses"),
    line: text.split("\n").findIndex((line) => line.includes("10.0.9.7")) + 1,
    column: expect.any(Number),
    message: expect.stringContaining("10.0.9.7"),
    cure: null, // which of address and prefix is wrong, nobody knows
  });
  const asText = await hnv(["check", "lab.yaml"], { cwd: at(".") });
  expect(asText.stdout).toMatch(/^lab\.yaml:\d+:\d+: error: .* \[[A-Z_]+\]$/m);
});

it("check: a lab on standard input; an unreadable one is status 2", async () => {
  expect(await hnv(["check", "-"], { input: readFileSync(LABS.plain) })).toMatchObject({ status: 0 });
  expect(await hnv(["check", "missing.yaml"])).toMatchObject({
    status: 2,
    stderr: "hnv: missing.yaml: no such file\n",
  });
});

it("mtu: 1500 leaves 1458 for guests over IPv4 and 1438 over IPv6", async () => {
  const four = JSON.parse((await hnv(["mtu", "--path-mtu", "1500", "--json"])).stdout) as Record<string, unknown>;
  expect(four).toMatchObject({
    schemaVersion: 1,
    pathMtu: 1500,
    outerFamily: 4,
    innerIpMtu: 1458,
    pathMtuForGuests: 1542,
  });
  const six = JSON.parse((await hnv(["mtu", "--path-mtu", "1500", "--outer", "6", "--json"])).stdout) as Record<
    string,
    unknown
  >;
  expect(six).toMatchObject({ outerFamily: 6, innerIpMtu: 1438, pathMtuForGuests: 1562 });
});

it("mtu: between two ports of a lab, with the hops", async () => {
  const { status, stdout } = await hnv(["mtu", LABS.plain, "--from", "host1/Blue1", "--to", "host2/Blue2", "--json"]);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    from: "host1/Blue1",
    to: "host2/Blue2",
    source: "192.168.4.11",
    destination: "192.168.4.22",
    pathMtu: 1600,
    innerIpMtu: 1558,
    hops: expect.arrayContaining([{ where: "provider 192.168.4.0/24", mtu: 1600 }]),
  });
});

it.concurrent.each([
  [[LABS.plain, "--from", "host1/Blue1", "--to", "host2/Red2"], 1],
  [[LABS.plain, "--from", "host1/Blue1", "--to", "host2/Nobody"], 2],
  [[LABS.plain, "--from", "host1/Blue1"], 2],
  [[LABS.plain, "--from", "host1/Blue1", "--to", "host2/Blue2", "--path-mtu", "1500"], 2],
  [["--path-mtu", "67"], 2],
])("mtu %j: one line and status %i", async (args, expected) => {
  const { status, stderr } = await hnv(["mtu", ...args]);
  expect(status).toBe(expected);
  expect(stderr).toMatch(/^hnv: [^\n]+\n$/);
});

it("check: who can reach whom, as a matrix with the reason in each empty cell, and as JSON", async () => {
  const at = workplace();
  const text = readFileSync(LABS.plain, "utf8");
  const raw =
    "lookupRecords:\n  - { host: host2, virtualSubnetID: 5001, customerAddress: 10.0.0.5, macAddress: 060600000005, providerAddress: 192.168.4.99 }\n";
  writeFileSync(at("lab.yaml"), text + raw);
  const { stdout } = await hnv(["check", "lab.yaml"], { cwd: at(".") });
  const lines = stdout.split("\n").map((line) => line.replace(/\s+/g, " ").trim());
  expect(lines).toContain("Blue, IPv4: 3 addresses, 2 of 6 pairs reached");
  expect(lines).toContain("1 host1/Blue1 10.0.0.5 - a a");
  expect(lines).toContain("2 host2/Blue2 10.0.0.7 b - ok");
  expect(lines).toContain("3 host2/Blue3 10.0.1.9 c ok -");
  expect(lines.find((line) => line.startsWith("a "))).toContain("RX_SRC_POLICY at host2/nic1");
  expect(lines.find((line) => line.startsWith("b "))).toContain("TX_PA_UNRESOLVED at host2/Blue2");
  const asJson = JSON.parse((await hnv(["check", "lab.yaml", "--json"], { cwd: at(".") })).stdout) as {
    reachability: { routingDomain: object; reached: number; gaps: { reason: string; pairs: unknown }[] }[];
  };
  expect(asJson.reachability[0]).toMatchObject({
    routingDomain: { id: "{11111111-2222-3333-4444-000000005001}", name: "Blue" },
    family: 4,
    pairs: 6,
    reached: 2,
    endpoints: [{ port: "host1/Blue1", vsid: 5001, address: "10.0.0.5" }, {}, {}],
  });
  expect(asJson.reachability[0]!.gaps[0]).toMatchObject({
    reason: "RX_SRC_POLICY",
    windowsReason: "Wnv",
    windowsNumber: 29,
    pairs: [
      [0, 1],
      [0, 2],
    ],
  });
  const without = await hnv(["check", "lab.yaml", "--json", "--no-reach"], { cwd: at(".") });
  expect(JSON.parse(without.stdout)).toMatchObject({ reachability: null });
});

it("check: adapters without an address are named", async () => {
  const at = workplace();
  const seven = Array.from({ length: 7 }, (_, n) => `{ mac: 02-00-00-00-00-0${n}, vsid: 6001 }`).join(", ");
  const text = readFileSync(LABS.plain, "utf8").replace(
    "[{ mac: 08-08-00-00-00-07, vsid: 6001, addresses: [10.0.0.7] }]",
    `[${seven}]`,
  );
  writeFileSync(
    at("lab.yaml"),
    text.replace("08-08-00-00-00-05, vsid: 6001, addresses: [10.0.0.5]", "08-08-00-00-00-05, vsid: 6001"),
  );
  const { stdout } = await hnv(["check", "lab.yaml"], { cwd: at(".") });
  expect(stdout).toContain(
    "Red, IPv4: 0 addresses\n  8 adapters without an address left out: host1/Red1, host2/Red2, host2/Red2.2, host2/Red2.3, host2/Red2.4, …\n",
  );
  const { reachability } = JSON.parse((await hnv(["check", "lab.yaml", "--json"], { cwd: at(".") })).stdout) as {
    reachability: { withoutAddress: string[] }[];
  };
  expect(reachability.map(({ withoutAddress }) => withoutAddress.length)).toEqual([0, 0, 8]);
});

it.each([
  ["the UTF-16 that `>` of Windows PowerShell writes", (text: string) => Buffer.from(`\ufeff${text}`, "utf16le")],
  ["UTF-16, big-endian", (text: string) => Buffer.from(`\ufeff${text}`, "utf16le").swap16()],
  ["UTF-8 with a byte order mark", (text: string) => Buffer.from(`\ufeff${text}`)],
  ["the code page that Set-Content of Windows PowerShell writes", (text: string) => Buffer.from(text, "latin1")],
])("check: policy in %s", async (_, encode) => {
  const at = workplace();
  const policy = `[{ "AddressState": 4, "InterfaceIndex": 13, "PrefixLength": 24, "ProviderAddress": "192.168.4.11" },
    { "CustomerAddress": "10.0.0.5", "MACAddress": "06060000000X", "ProviderAddress": "192.168.4.11", "Rule": 1, "VirtualSubnetID": 5001 }]`;
  writeFileSync(at("policy.json"), encode(policy));
  const { status, stdout } = await hnv(["check", "policy.json"], { cwd: at(".") });
  expect(status).toBe(1);
  expect(stdout).toContain(
    `policy.json:2:${policy.split("\n")[1]!.indexOf('"06060000000X"') + 1}: error: "06060000000X" is not a MAC`,
  );
  writeFileSync(at("lab.yaml"), encode(readFileSync(LABS.plain, "utf8").replaceAll("Blue1", "Müller")));
  const reach = await hnv(["check", "lab.yaml", "--json"], { cwd: at(".") });
  expect(JSON.parse(reach.stdout)).toMatchObject({
    reachability: [{ endpoints: [{ port: "host1/Müller" }, {}, {}] }, {}, {}],
  });
});
