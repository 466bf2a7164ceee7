/** The rules of the language, by their numbers in the importer's description (docs/IMPORT.md). */
import { describe, expect, it } from "vitest";
import { complaint, complaints, importing, printed } from "./helpers.js";

/** What expressions are, each printed on a line. */
const values = (...expressions: readonly string[]): readonly string[] =>
  printed(expressions.map((expression) => `Write-Host (${expression})`).join("\n"));

describe("rule 1: a statement ends at the end of its line or at ;", () => {
  it("unless it cannot end there: | , operators { ( [ and backticks", () => {
    const script = `1,
      2 |
      where { $_ -gt
        1 } | ForEach-Object {
          Write-Host (
            $_ +
            1
          )
        }
      if ($true)
      { Write-Host yes }
      else
      { Write-Host no }; Write-Host more`;
    expect(printed(script)).toEqual(["3", "yes", "more"]);
  });

  it("what else follows on the line is an error at its place", () => {
    expect(complaint("$a = 1 2")).toMatchObject({ code: "SCRIPT_SYNTAX", line: 1, column: 8 });
    expect(complaint("Write-Host a )")).toMatchObject({ code: "SCRIPT_SYNTAX", line: 1, column: 14 });
  });
});

it("rule 2: behind a command bare words are text and numbers numbers; elsewhere there are expressions", () => {
  expect(
    printed(
      'Write-Host 10.0.0.0/24; Write-Host a-b; Write-Host (2+3); Write-Host 2+3; Write-Host -5; Write-Host $("x" + 1)',
    ),
  ).toEqual(["10.0.0.0/24", "a-b", "5", "2+3", "-5", "x1"]);
  expect(printed("5001 | ForEach-Object { Write-Host ($_ + 1) }\n$a = 'x'; & { Write-Host $a }")).toEqual([
    "5002",
    "x",
  ]);
});

it("rule 3: texts in double quotes expand variables, scopes and $( ), not members; backticks escape", () => {
  const script = `$a = @{ b = 1 }; $n = 5; $script:s = "S"; $odd = @(1, 2)
Write-Host "$n \${n}th $script:s $($a.b) $odd[0] $n.b \`$n \`"q\`" ""d"" [\`t]"
Write-Host "port: $n: and $"`;
  expect(printed(script)).toEqual(['5 5th S 1 1 2[0] 5.b $n "q" "d" [\t]', "port: 5: and $"]);
  expect(printed('Write-Host "a`nb"')).toEqual(["a", "b"]);
});

it("rule 4: a here-string begins at the end of its line, and ends at the beginning of another", () => {
  expect(printed('Write-Host @"\none\n "@ no end\n"@')).toEqual(["one", ' "@ no end']);
  expect(complaint('$a = @" x\n"@')).toMatchObject({ code: "SCRIPT_SYNTAX", line: 1, column: 6 });
  expect(complaint("$a = @'\nx\n '@")).toMatchObject({
    line: 1,
    column: 6,
    message: expect.stringContaining("never closed"),
  });
});

it("rule 5: operators compare without regard to case; a list on the left is filtered", () => {
  expect(
    values(
      '"Blue" -eq "BLUE"',
      '"a" -ne "b"',
      '"b" -gt "a"',
      "10 -ge 9",
      '10 -lt "9"',
      '"10" -lt "9"',
      '"host12" -like "HOST?[0-9]"',
      '"host1" -notlike "*2"',
      '"vm-5001" -match "vm-(?<id>\\d+)"',
      '1,2,3 -contains "2"',
      "5 -in 1..4",
      "5 -notin 1..4",
      '"a","b","A" -eq "a"',
      "(1..6) -gt 4",
      "-not $true",
      "!0",
      '$true -and "x" -and !@()',
      "$false -or $null -or 1 -xor 1",
    ),
  ).toEqual([
    "True",
    "True",
    "True",
    "True",
    "False",
    "True",
    "True",
    "True",
    "True",
    "True",
    "False",
    "True",
    "a A",
    "5 6",
    "False",
    "True",
    "True",
    "False",
  ]);
  expect(printed('if ("vm-5001" -match "vm-(?<id>\\d+)") { Write-Host $Matches.id $Matches[0] }')).toEqual([
    "5001 vm-5001",
  ]);
});

it("operators of texts and numbers", () => {
  expect(
    values(
      "2 + 3 * 4 - 6 / 4",
      "7 % 4",
      '"10.0.0." + 5',
      '"a" * 3',
      '"a,b;c" -split "[,;]"',
      '("10.0.0.5" -split "\\.", 2)[1]',
      '"a-b" -replace "-", ":"',
      "'AABB' -replace '(..)(..)', '$2$1'",
      '(1, 2 -join "+")',
      "6 -band 3",
      '[int]"0x10"',
      "[int]2.5",
      '"{0,5}|{1,-3}|{2}" -f 1, "b", "{}"',
      '"5001" -as [int]',
      "5 -is [int]",
      "-join (1, 2)",
    ),
  ).toEqual([
    "12.5",
    "3",
    "10.0.0.5",
    "aaa",
    "a b c",
    "0.0.5",
    "a:b",
    "BBAA",
    "1+2",
    "2",
    "16",
    "2",
    "    1|b  |{}",
    "5001",
    "True",
    "12",
  ]);
});

it("commas divide arguments of methods and parameters, and build lists elsewhere, by precedence", () => {
  expect(
    values(
      "[math]::Max(1 + 2 * 3, 4)",
      "[string]::Join('-', (1, 2 + 3))",
      '"a.b.c".Split(".", 2 - 0).Count',
      "[math]::Min((1, 2)[1], 9)",
    ),
  ).toEqual(["7", "1-2-3", "3", "2"]);
  expect(
    printed(
      'function F($a = 1 + 2 * 2, $b = @(1, 2), [string]$c = "x" + "y", $d = (3, 4)[0]) { "$a $($b.Count) $c $d" }\nWrite-Host (F)',
    ),
  ).toEqual(["5 2 xy 3"]);
});

it("a static method that is named and not called gives no more than nothing", () => {
  expect(values('"[$([string]::Format)]"')).toEqual(["[]"]);
});

it("members of texts, lists and tables", () => {
  expect(
    values(
      '" Blue ".Trim().ToUpper()',
      '"10.0.0.5".Split(".")[-1]',
      '"10.0.0.0/24".Substring(0, 8)',
      '"a-b-c".Replace("-", "")',
      '"host1".StartsWith("host")',
      '"5".PadLeft(3, "0")',
      '(5001).ToString("X4")',
      "(@{ a = 1; b = 2 }).Count",
      '(@{ a = 1 }).ContainsKey("A")',
      '(@{ a = 1; b = 2 }).Keys -join ","',
      '("x", "yy").Length',
      '[string]::Join("-", (1, 2))',
      "[math]::Max(3, 7)",
      '([guid]"11111111-2222-3333-4444-000000005001").ToString("B")',
      '@([pscustomobject]@{ N = "a" }, [pscustomobject]@{ N = "b" }).N',
    ),
  ).toEqual([
    "BLUE",
    "5",
    "10.0.0.0",
    "abc",
    "True",
    "005",
    "1389",
    "2",
    "True",
    "a,b",
    "2",
    "1-2",
    "7",
    "{11111111-2222-3333-4444-000000005001}",
    "a b",
  ]);
});

describe("rule 6: parameters are bound by name, by position, and from the pipeline", () => {
  const NEW = "New-NetVirtualizationProviderRoute";
  it.each([
    ["a missing one", `${NEW} -InterfaceIndex 1 -NextHop 0.0.0.0`, "MISSING_PARAMETER"],
    ["an unknown one", `${NEW} -Interface 1 -Gateway 1`, "UNKNOWN_PARAMETER"],
    ["given twice", `${NEW} -NextHop ::1 -NextHop ::2`, "PARAMETER_TWICE"],
    ["without a value", `${NEW} -NextHop`, "MISSING_VALUE"],
    ["by position, which there is none", `${NEW} 13`, "NO_POSITION"],
    ["from the pipeline, which is not taken", `1 | ${NEW} -NextHop ::1`, "INPUT_NOT_TAKEN"],
  ])("%s is an error", (_, text, code) => expect(complaint(text)).toMatchObject({ code, line: 1 }));

  it("switches take no value, positions count, blocks have their own", () => {
    expect(
      printed('function F { param([switch]$s, $a, $b) "$s $a $b" }\nWrite-Host (F 1 -s 2); Write-Host (F -s:$false x)'),
    ).toEqual(["True 1 2", "False x "]);
    expect(printed("Invoke-Command { param($x) Write-Host $x } -ComputerName h1 -ArgumentList 7")).toEqual(["7"]);
  });

  it("functions take the pipeline as $input, in a process part, or by a parameter", () => {
    const script = `function A { $input.Count }
      function B { begin { $n = 0 } process { $n += $_ } end { $n } }
      function C { param([Parameter(ValueFromPipeline=$true)]$x) process { "<$x>" } }
      filter D { $_ * 2 }
      Write-Host (1..4 | A); Write-Host (1..4 | B); Write-Host (1..2 | C); Write-Host (1..2 | D)`;
    expect(printed(script)).toEqual(["4", "10", "<1> <2>", "2 4"]);
  });

  it("an empty pipeline runs nothing, and so removes nothing", () => {
    expect(printed("@() | Remove-NetVirtualizationLookupRecord; @() | ForEach-Object { Write-Host never }")).toEqual(
      [],
    );
  });
});

describe("rule 7: values are converted to the parameter's type", () => {
  const route = (more: string): string =>
    `New-NetVirtualizationProviderAddress -ProviderAddress 10.0.0.1 -InterfaceIndex 1 -PrefixLength ${more}`;
  it.each([
    ["a number that is a text", route('"24" -VlanID "0x67"'), []],
    ["beyond UInt16", route("24 -VlanID 65536"), ["1:1 BAD_ARGUMENT"]],
    ["below zero", route("-1"), ["1:1 BAD_ARGUMENT"]],
    ["a byte beyond 255", route("256"), ["1:1 BAD_ARGUMENT"]],
    ["no number", route("abc"), ["1:1 BAD_ARGUMENT"]],
    ["nothing", route("$nothing"), ["1:1 BAD_ARGUMENT"]],
    ["a MAC with dashes", route("24 -MACAddress 00-15-5d-01-02-03"), []],
    ["no MAC", route("24 -MACAddress 00155d0102"), ["1:1 BAD_ARGUMENT"]],
    ["a text for a Boolean", 'Set-NetVirtualizationGlobal -UseExternalRouter "true"', ["1:1 BAD_ARGUMENT"]],
    ["a number for a Boolean", "Set-NetVirtualizationGlobal -UseExternalRouter 1", []],
    ["an address with a misprint", route("24").replace("10.0.0.1", "192.168.30.2229"), ["1:1 BAD_ARGUMENT"]],
  ])("%s", (_, text, expected) => expect(complaints(text)).toEqual(expected));
});

it("rule 8: names without regard to case; functions see the caller's variables, and assign their own", () => {
  const script = `$Vsid = 5001; $list = @()
    function Inner { "$VSID $local" }
    function Outer { $local = "L"; $vsid = 5002; Inner }
    function Count { $script:list += 1 }
    Write-Host (Outer); Write-Host $vsid; Count; count; Write-Host $list.Count`;
  expect(printed(script)).toEqual(["5002 L", "5001", "2"]);
});

describe("rule 9: errors of cmdlets do not end the script", () => {
  const BAD = "New-NetVirtualizationProviderRoute -InterfaceIndex 0 -DestinationPrefix 0.0.0.0/0 -NextHop 10.0.0.1";
  it("and are told with their places", () => {
    const { printed: lines, errors } = importing(`${BAD}\n  ${BAD}; Write-Host on`);
    expect(lines).toEqual(["on"]);
    expect(errors).toMatchObject([
      { file: "a.ps1", line: 1, column: 1, code: "INTERFACE_INDEX_INVALID" },
      { file: "a.ps1", line: 2, column: 3 },
    ]);
  });
  it("unless they are to stop it, and then make no lab", () => {
    for (const script of [
      `${BAD} -ErrorAction Stop\nWrite-Host on`,
      `$ErrorActionPreference = "Stop"\n${BAD}\nWrite-Host on`,
    ]) {
      expect(importing(script)).toMatchObject({
        lab: null,
        printed: [],
        problems: [{ code: "INTERFACE_INDEX_INVALID" }],
      });
    }
  });
  it("are caught when they stop, and silent when they are to be", () => {
    expect(printed(`try { ${BAD} -EA Stop } catch { Write-Host "no: $_" }`)).toEqual([
      "no: No interface has the index 0.",
    ]);
    expect(printed(`${BAD} -ErrorAction SilentlyContinue; Write-Host on`)).toEqual(["on"]);
  });
  it("a throw that nobody catches ends the script", () => {
    expect(importing('Write-Host a\nthrow "enough"\nWrite-Host b')).toMatchObject({
      lab: null,
      printed: ["a"],
      problems: [{ code: "SCRIPT_THROWN", message: "enough", line: 2, column: 1 }],
    });
  });
  it("an error of an expression ends its statement", () => {
    expect(importing("$a = 1 / 0; Write-Host on\n$null.Trim()\nWrite-Host more")).toMatchObject({
      printed: ["on", "more"],
      errors: [
        { line: 1, column: 8 },
        { line: 2, column: 6 },
      ],
    });
  });
});

it("rule 10: what nobody takes is printed", () => {
  expect(
    printed(
      '"text"; 5; $null; Get-NetVirtualizationGlobal; $x = Get-NetVirtualizationGlobal; "gone" > $null; "gone" | Out-Null',
    ),
  ).toEqual(["text", "5", "", "UseExternalRouter : False", "PSComputerName    : host1", ""]);
});

it("rule 10: in the order in which it comes, also before the script ends itself", () => {
  expect(printed('"a"; Write-Host b; "c"; $null = "d"; [void]"e"; $null; return; "f"')).toEqual(["a", "b", "c", ""]);
  expect(printed('"a"; exit 3; "b"')).toEqual(["a"]);
});

it("lists that grow, new GUIDs, tables one entry after the other", () => {
  const script = `$list = New-Object System.Collections.ArrayList; $list.Add("a") | Out-Null; [void]$list.Add("b"); $list.AddRange(@("c", "d"))
    $other = [System.Collections.Generic.List[string]]::new(); $other.Add("x")
    Write-Host "$list $($list.Count) $other"
    foreach ($entry in ([ordered]@{ Blue = 5001; Red = 6001 }).GetEnumerator()) { Write-Host "$($entry.Key)=$($entry.Value)" }
    Write-Host (New-Guid).Guid.Length`;
  expect(printed(script)).toEqual(["a b c d 4 x", "Blue=5001", "Red=6001", "36"]);
});

it("Where-Object, ForEach-Object, Select-Object and Sort-Object in their short forms", () => {
  const script = `$all = @{ n = 3; v = "c" }, @{ n = 1; v = "a" }, @{ n = 2; v = "b" } | % { [pscustomobject]$_ }
    Write-Host ($all | ? n -gt 1 | select -ExpandProperty v)
    Write-Host ($all | sort n | foreach { $_.v })
    Write-Host ($all | sort n -Descending | select -First 1 -Property v, @{ n = "twice"; e = { $_.n * 2 } })
    Write-Host ($all | % v | select -Last 2)`;
  expect(printed(script)).toEqual(["c b", "a b c", "@{v=c; twice=6}", "a b"]);
});

it("switch: values, conditions, wildcards, regular expressions, default", () => {
  const script = `switch (7) { { $_ -gt 5 } { Write-Host many } 7 { Write-Host seven } }
    switch (2) { 1 { Write-Host one } 2 { Write-Host two; break } default { Write-Host none } }
    switch -Wildcard ("host12") { "host*" { Write-Host any } "*2" { Write-Host second } }
    switch -Regex ("b7") { "^a" { 1 } default { Write-Host other } }`;
  expect(printed(script)).toEqual(["many", "seven", "two", "any", "second", "other"]);
});

it("what is not known is skipped, with its line, and gives nothing", () => {
  const { skipped, errors } = importing(
    "Install-WindowsFeature Hyper-V\n$x = Get-Content C:\\secret.txt\n  rm -rf /\n. .\\other.ps1\n&'C:\\x.exe'\nGet-Content y",
  );
  expect(errors).toEqual([]);
  expect(skipped.map(({ line, column, command }) => `${line}:${column} ${command}`)).toEqual([
    "1:1 Install-WindowsFeature",
    "2:6 Get-Content",
    "3:3 rm",
    "4:1 .\\other.ps1",
    "5:1 C:\\x.exe",
    "6:1 Get-Content",
  ]);
});

it("nothing of this machine shows: neither its environment nor its files", () => {
  process.env.HNV_SECRET = "secret";
  expect(printed('Write-Host "[$env:HNV_SECRET][$env:PATH][$env:COMPUTERNAME][$PSScriptRoot]"')).toEqual([
    "[][][host1][]",
  ]);
  delete process.env.HNV_SECRET;
});

it("a block that runs on another computer sees nothing of the caller's without $using:", () => {
  const { printed: lines, warnings } = importing(
    '$x = 5\nInvoke-Command -ComputerName h2 { Write-Host "[$x][$using:x]" }',
  );
  expect(lines).toEqual(["[][5]"]);
  expect(warnings).toMatchObject([{ code: "REMOTE_VARIABLE", line: 2, cure: "write $using:x" }]);
});

it.each([
  ["class", "class A { }", 1],
  ["a bracket that is not closed", "if ($true) {\n  Write-Host a", 12],
  ["a quote that is not closed", '$a = "x\n\n', 6],
  ["a comment that is not closed", "Write-Host a\n <# b", 2],
  ["an operator without a right side", "$a = 5 +", 9],
  ["a value in the middle of a pipeline", "1 | 2", 5],
])("syntax: %s is told at its place", (_, text, column) => {
  expect(complaint(text)).toMatchObject({ code: "SCRIPT_SYNTAX", column, file: "a.ps1" });
});
