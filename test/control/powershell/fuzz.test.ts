/** Scripts of random tokens, and real ones with random damage: the importer ends, soon, and with errors of its own only. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { importScripts, loadFabricFile } from "../../../src/control/index.js";
import { type Random, seededRandom } from "../../support/random.js";

const TOKENS = [
  ..."(){}[]<>|;,.$@&!%?#'\"`=+-*/\\:~^ \n\t_0aZ".split(""),
  ...[
    "\r\n",
    "\u201c",
    "\u201d",
    "\u2018",
    "\u2019",
    "\u2013",
    "\u2014",
    "\u00a0",
    "\ufeff",
    "\u0000",
    "\ud800",
    "\u{1f4a9}",
  ],
  ...[
    "@(",
    "@{",
    "$(",
    "${",
    '@"\n',
    '\n"@',
    "@'\n",
    "\n'@",
    "<#",
    "#>",
    "::",
    "..",
    "++",
    "--",
    "+=",
    ">$null",
    "2>&1",
  ],
  ...[
    "if (",
    "} else {",
    "foreach ($x in ",
    "for (;;) {",
    "while ($true) {",
    "do {",
    "} until (1)",
    "switch (",
    "function F {",
    "param(",
    "process {",
  ],
  ...["try {", "} catch {", "} finally {", "return ", "throw ", "break", "continue", "exit", "in ", "default {"],
  ...[
    " -eq ",
    " -match ",
    " -replace ",
    " -split ",
    " -join ",
    " -f ",
    " -like ",
    " -contains ",
    " -and ",
    " -not ",
    " -is [int]",
    " -band ",
  ],
  ...[
    "$_",
    "$x",
    "$true",
    "$null",
    "$using:x",
    "$env:PATH",
    "$script:x",
    "$x[0]",
    "$x.Length",
    "$x.Trim()",
    "[int]",
    "[string[]]",
    "[GUID]::NewGuid()",
  ],
  ...[
    "constructor",
    "__proto__",
    ".constructor",
    "[constructor]",
    " -constructor ",
    "5001",
    "0x1389",
    "'a'",
    '"b $x"',
    "10.0.0.5",
    "060600000005",
    "1e999",
    "-1",
    "99999999999999999999",
    "(a+)+",
    "*",
  ],
  ...[
    "New-NetVirtualizationLookupRecord ",
    "Set-NetVirtualizationLookupRecord ",
    "Get-NetVirtualizationProviderAddress ",
    "Remove-NetVirtualizationCustomerRoute ",
  ],
  ...[
    "Set-VMNetworkAdapter ",
    "Get-VMNetworkAdapter ",
    "Get-NetAdapter ",
    "Invoke-Command ",
    "Where-Object ",
    "% {",
    "select ",
    "sort ",
    "Write-Host ",
    "F ",
  ],
  ...[
    " -VirtualSubnetID ",
    " -CimSession ",
    " -VMName ",
    " -MACAddress:",
    " -ScriptBlock {",
    " -First ",
    " -InputObject ",
    " -ComputerName h1 ",
    " -ErrorAction Stop",
  ],
];

const LIMITS = { steps: 50_000, textLength: 100_000, listLength: 20_000, depth: 400 };

function survives(text: string): void {
  for (const lenient of [false, true]) {
    const imported = importScripts([{ name: "fuzz.ps1", text }], {
      mode: lenient ? "2012" : "2012R2",
      known: [],
      assumeWildcard: lenient,
      lenient,
      parameters: new Map(),
      limits: LIMITS,
    });
    expect(imported.lab === null).toBe(imported.problems.length > 0);
    const lines = text.split("\n").length;
    for (const { line, column, code, message } of [...imported.problems, ...imported.errors]) {
      expect(code).toMatch(/^[A-Z0-9_]+$/);
      expect(message).not.toBe("");
      expect(line >= 1 && line <= lines && column >= 1).toBe(true);
    }
    if (imported.lab !== null) expect(loadFabricFile(imported.lab, "lab.yaml").ok).toBe(true);
  }
}

const random = seededRandom();

/** Names the seed and the text of what failed. */
function tried(work: (random: Random) => string, times: number): void {
  for (let round = 0; round < times; round++) {
    const text = work(random);
    const started = performance.now();
    try {
      survives(text);
    } catch (error) {
      throw new Error(`HNV_TEST_SEED=${random.seed} round ${round}: ${JSON.stringify(text)}`, { cause: error });
    }
    expect(performance.now() - started, `HNV_TEST_SEED=${random.seed} ${JSON.stringify(text)}`).toBeLessThan(10_000);
  }
}

it("random tokens", () => {
  tried((r) => Array.from({ length: r.between(1, 40) }, () => r.pick(TOKENS)).join(""), 4000);
});

it("a working script with some tokens put in, taken out and doubled", () => {
  const script = readFileSync(new URL("../../../examples/operator-script.ps1", import.meta.url), "utf8");
  tried((r) => {
    let text = script;
    for (let count = r.between(1, 6); count > 0; count--) {
      const at = r.below(text.length);
      const length = r.below(30);
      const what = r.below(3);
      const middle = what === 0 ? r.pick(TOKENS) : what === 1 ? "" : text.slice(at, at + length).repeat(2);
      text = text.slice(0, at) + middle + text.slice(what === 0 ? at : at + length);
    }
    return text;
  }, 150);
});
