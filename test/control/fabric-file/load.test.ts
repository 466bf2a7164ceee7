import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadFabricFile } from "../../../src/control/index.js";
import { change, load, onlyProblem, problemsOf, problemsShown, TWO_HOSTS } from "../labs.js";

const example = (name: string): string => readFileSync(new URL(`../../../examples/${name}`, import.meta.url), "utf8");

describe("a fabric file with mistakes", () => {
  it("five different mistakes are five problems, each at its place", () => {
    let text = TWO_HOSTS;
    text = change(text, "mac: 02-00-C0-A8-04-16", "mac: 02-00-C0-A8-04"); // line 23: no MAC
    text = change(text, "prefix: 192.168.4.0/24, mtu: 1600", "prefix: 192.168.4.0/24, mtuu: 1600"); // 14: unknown field
    text = change(text, "vsid: 5002, prefixes", "vsid: 52, prefixes"); // 7: out of range
    text = change(text, "addresses: [10.0.0.7]", "addresses: [10.9.0.7]"); // 26: outside of its subnet
    text += "neighbors: [{ host: hots1, address: 192.168.4.1, mac: 02-00-C0-A8-04-01 }]\n"; // 28: unknown host
    expect(problemsShown(text)).toEqual([
      "7:17 OUT_OF_RANGE routingDomains[0].subnets[1].vsid",
      "14:33 UNKNOWN_FIELD provider.subnets[0].mtuu",
      "23:31 BAD_MAC hosts[1].nics[0].mac",
      "26:85 ADDRESS_OUTSIDE_SUBNET hosts[1].vms[0].adapters[0].addresses[0]",
      "28:21 UNKNOWN_HOST neighbors[0].host",
    ]);
  });

  it("says what would be accepted", () => {
    const [problem] = problemsOf(change(TWO_HOSTS, "mtu: 1600", "mtuu: 1600"));
    expect(problem).toEqual({
      file: "lab.yaml",
      line: 14,
      column: 33,
      path: "provider.subnets[0].mtuu",
      code: "UNKNOWN_FIELD",
      message: 'unknown field "mtuu"',
      cure: "did you mean mtu?",
    });
  });

  it.each([
    ["a missing field", change(TWO_HOSTS, "mac: 06-06-00-00-00-05, ", ""), "MISSING_FIELD", "{ vsid: 5001"],
    ["an empty list", change(TWO_HOSTS, "prefixes: [10.0.1.0/24]", "prefixes: []"), "OUT_OF_RANGE", "[]"],
    ["nothing where a list belongs", `${TWO_HOSTS}lookupRecords:\n`, "WRONG_TYPE", "lookupRecords:"],
    ["text where a number belongs", change(TWO_HOSTS, "mtu: 1600", "mtu: big"), "WRONG_TYPE", "big }"],
    ["a fraction", change(TWO_HOSTS, "mtu: 1600", "mtu: 1600.5"), "WRONG_TYPE", "1600.5 }"],
    ["a mapping where text belongs", change(TWO_HOSTS, "name: Blue\n", "name: { a: 1 }\n"), "WRONG_TYPE", "{ a: 1 }"],
    [
      "a VSID that RFC 7637 reserves",
      change(TWO_HOSTS, "vsid: 5002, prefixes", "vsid: 16777215, prefixes"),
      "OUT_OF_RANGE",
      "16777215,",
    ],
    [
      "a port's VSID below 4096",
      change(TWO_HOSTS, "mac: 06-06-00-00-00-09, vsid: 5002", "mac: 06-06-00-00-00-09, vsid: 1"),
      "OUT_OF_RANGE",
      "1, addr",
    ],
    ["a prefix with host bits", change(TWO_HOSTS, "10.0.1.0/24", "10.0.1.1/24"), "BAD_PREFIX", "10.0.1.1/24"],
    ["an address with leading zeros", change(TWO_HOSTS, "[10.0.0.7]", "[10.0.0.07]"), "BAD_ADDRESS", "10.0.0.07]"],
    ["half a GUID", change(TWO_HOSTS, "000000006001", "0000"), "BAD_GUID", '"{11111111'],
    ["an unknown mode", `${TWO_HOSTS}mode: 2016\n`, "NOT_ALLOWED", "2016"],
    ["an unknown switch value", `${TWO_HOSTS}settings: { dscp: copy }\n`, "NOT_ALLOWED", "copy }"],
    ["a DSCP of seven bits", `${TWO_HOSTS}settings: { dscp: 64 }\n`, "OUT_OF_RANGE", "64 }"],
    ["another version of the format", change(TWO_HOSTS, "hnv/v1", "hnv/v2"), "NOT_ALLOWED", "hnv/v2"],
    ["a field called __proto__", `${TWO_HOSTS}__proto__: { mode: 2012 }\n`, "UNKNOWN_FIELD", "__proto__: {"],
    [
      "a merge key",
      change(TWO_HOSTS, "{ prefix: 192.168.4.0/24,", "{ <<: {}, prefix: 192.168.4.0/24,"),
      "UNKNOWN_FIELD",
      "<<: {}",
    ],
  ])("%s", (_, text, code, at) => {
    const problem = onlyProblem(text);
    expect(problem.code).toBe(code);
    expect(problem.at.slice(0, at.length)).toBe(at);
  });

  it("a number beyond all is told the limit of its field", () => {
    const [problem] = problemsOf(change(TWO_HOSTS, "vsid: 5002, prefixes", "vsid: 99999999999999999999999, prefixes"));
    expect(problem!.message).toBe("1e+23 is out of range: expected at most 16777214");
  });
  it("an event that there is not is told by its name", () => {
    const [problem] = problemsOf(`${TWO_HOSTS}events: [{ at: 1, event: vmMove, vm: host1/Blue1, to: host2 }]\n`);
    expect(problem!.message).toMatch(/^expected recordAdded, .* or hostRebooted, found the text "vmMove"$/);
  });
  it("nothing but an apiVersion lacks its hosts", () => {
    expect(problemsShown("apiVersion: hnv/v1\n")).toEqual(["1:1 MISSING_FIELD hosts"]);
  });
});

describe("texts that are no YAML, or hostile", () => {
  it("an empty file", () => expect(problemsShown("")).toEqual(["1:1 FILE_EMPTY "]));
  it("a comment only", () => expect(problemsShown("# nothing\n")).toEqual(["1:1 FILE_EMPTY "]));
  it("a list", () => expect(problemsShown("- a\n")).toEqual(["1:1 WRONG_TYPE "]));
  it("a zero byte", () => expect(problemsShown("a\u0000b")).toEqual(["1:1 FILE_NOT_TEXT "]));
  it("a file beyond the limit", () => {
    expect(problemsShown(`# ${"x".repeat(17 * 1024 * 1024)}`)).toEqual(["1:1 FILE_TOO_LARGE "]);
  });
  it.each(["[", "{a: ", "- ", "? "])("a hundred thousand times %j", (piece) => {
    expect(problemsShown(piece.repeat(100_000))).toEqual(["1:1 FILE_TOO_DEEP "]);
  });
  it("nesting that the parser stands but the schema has no use for", () => {
    expect(problemsShown(`apiVersion: hnv/v1\nhosts: ${"[".repeat(100)}${"]".repeat(100)}\n`)).toContain(
      "2:72 FILE_TOO_DEEP ",
    );
  });
  it("a field given twice, at the second", () => {
    const problem = onlyProblem(`${TWO_HOSTS}mode: 2012\nmode: 2012R2\n`);
    expect(problem).toMatchObject({ code: "DUPLICATE_KEY", line: 29, column: 1 });
  });
  it("a second document", () => {
    expect(problemsOf(`${TWO_HOSTS}---\n${TWO_HOSTS}`).map(({ code, line }) => [code, line])).toEqual([
      ["MULTIPLE_DOCS", 28],
    ]);
  });
  it("an IPv6 prefix that YAML takes for a key is told to be quoted", () => {
    const text = change(TWO_HOSTS, "    - { prefix: 192.168.4.0/24, mtu: 1600 }", "    - prefix: 2001: 64");
    expect(problemsOf(text)[0]).toMatchObject({
      code: "YAML_SYNTAX",
      line: 14,
      cure: expect.stringContaining("quotes"),
    });
  });
  it("a syntax error and a bad value before it: both; nothing is guessed about what follows", () => {
    const text = change(TWO_HOSTS, "hosts:\n  - name: host1", "hosts:\n  - name: 'host1").replace(
      "mtu: 1600",
      "mtu: 1",
    );
    expect(problemsShown(text)).toEqual(["14:38 OUT_OF_RANGE provider.subnets[0].mtu", "16:11 YAML_SYNTAX "]);
  });
  it("a bracket that is never closed, where it opens", () => {
    expect(problemsOf(`${TWO_HOSTS}neighbors: [{ address: 192.168.4.9,\n`)[0]).toMatchObject({
      code: "YAML_SYNTAX",
      line: 28,
      column: 12,
    });
  });
  it("a parser that lost its way is quoted once", () => {
    expect(problemsOf(`x\n${TWO_HOSTS}`).filter((problem) => problem.code === "YAML_SYNTAX")).toHaveLength(1);
  });
  it("an alias of nothing", () => {
    expect(problemsShown(`${TWO_HOSTS}settings: *none\n`)).toEqual(["28:11 YAML_SYNTAX "]);
  });
  it("an alias that contains itself", () => {
    expect(problemsShown(`${TWO_HOSTS}settings: &a { dscp: *a }\n`)).toEqual(["28:22 ALIAS_LOOP "]);
  });
  it("aliases that multiply to a billion values", () => {
    const levels = Array.from(
      { length: 9 },
      (_, i) => `x${i + 1}: &l${i + 1} [${Array(10).fill(`*l${i}`).join(", ")}]`,
    );
    const started = performance.now();
    const codes = problemsOf(`apiVersion: hnv/v1\nhosts: []\nx0: &l0 [a, b]\n${levels.join("\n")}\n`).map(
      ({ code }) => code,
    );
    expect(codes).toContain("ALIAS_BOMB");
    expect(performance.now() - started).toBeLessThan(5000);
  });
  it("every beginning of a lab is answered with problems, never thrown", () => {
    const text = example("two-tenants-vlan.yaml");
    for (let length = 0; length < text.length; length += 97) {
      const loaded = loadFabricFile(text.slice(0, length), "cut.yaml");
      if (!loaded.ok) expect(loaded.problems.length).toBeGreaterThan(0);
    }
  });
});

describe("how scalars are read", () => {
  const withMac = (mac: string) => load(change(TWO_HOSTS, "06-06-00-00-00-05", mac)).lab.hosts[0]!.adapters[0]!.mac;

  it.each([
    ["060600000005", 0x0606_0000_0005],
    ["02e123456789", 0x02e1_2345_6789],
    ["020000000000", 0x0200_0000_0000],
    ["12e456789012", 0x12e4_5678_9012],
    ['"06:06:00:00:00:05"', 0x0606_0000_0005],
    ["0606.0000.0005", 0x0606_0000_0005],
  ])("the MAC %s", (text, mac) => expect(withMac(text)).toBe(mac));

  it.each(["2012", "2012R2", '"2012"'])("the mode %s", (mode) => {
    const { lab } = load(`${TWO_HOSTS}mode: ${mode}\n`);
    expect(lab.hosts.map((host) => host.nve.mode)).toEqual(Array(2).fill(mode.replaceAll('"', "")));
  });

  it("names that look like numbers stay as written", () => {
    const { lab } = load(change(TWO_HOSTS, "name: Blue1,", "name: 0010,"));
    expect(lab.hosts[0]!.adapters[0]!.portName).toBe("0010");
  });

  it("GUIDs without braces, in lower case", () => {
    const text = change(TWO_HOSTS, '"{11111111-2222-3333-4444-000000006001}"', "aaaaaaaa-2222-3333-4444-000000006001");
    const route = load(text).lab.hosts[0]!.customerRoutes.find((candidate) => candidate.virtualSubnetID === 6001);
    expect(route?.routingDomainID).toBe("{AAAAAAAA-2222-3333-4444-000000006001}");
  });

  it("anchors and aliases repeat values", () => {
    let text = change(TWO_HOSTS, "{ address: 192.168.4.11 }", "&pa { address: 192.168.4.11 }");
    text = change(text, "mac: 06-06-00-00-00-05", "mac: &mac 060600000005");
    text = change(text, "mac: 08-08-00-00-00-05", "mac: *mac");
    expect(load(text).lab.hosts[0]!.adapters.map((adapter) => adapter.mac)).toEqual([
      0x0606_0000_0005, 0x0606_0000_0005,
    ]);
  });

  it("JSON is YAML", () => {
    const json = JSON.stringify(load(TWO_HOSTS).document.fabric, null, 1);
    expect(load(json).lab.hosts.map((host) => host.adapters)).toEqual(
      load(TWO_HOSTS).lab.hosts.map((host) => host.adapters),
    );
    expect(onlyProblem(json.replace('"vsid": 5002,\n', '"vsid": 2,\n')).at).toMatch(/^2,/);
  });
});
