/** All cmdlets that are known here, by lower-case name and alias. */
import type { Cmdlet } from "./cmdlet.js";
import { LANGUAGE } from "./language.js";
import { NET_ADAPTER } from "./net-adapter.js";
import { NET_VIRTUALIZATION } from "./net-virtualization.js";
import { SELECT_NEXT_HOP } from "./select-next-hop.js";
import { SESSIONS } from "./sessions.js";
import { VM_NETWORK_ADAPTER } from "./vm-network-adapter.js";

export type { Cmdlet, ParameterSpec } from "./cmdlet.js";

const ALIASES: Readonly<Record<string, string>> = {
  where: "Where-Object",
  "?": "Where-Object",
  foreach: "ForEach-Object",
  "%": "ForEach-Object",
  select: "Select-Object",
  sort: "Sort-Object",
  measure: "Measure-Object",
  echo: "Write-Output",
  write: "Write-Output",
  ipmo: "Import-Module",
  icm: "Invoke-Command",
  ncms: "New-CimSession",
  nsn: "New-PSSession",
  sleep: "Start-Sleep",
  ft: "Format-Table",
  fl: "Format-List",
  oh: "Out-Host",
};

const ALL: readonly Cmdlet[] = [
  ...NET_VIRTUALIZATION,
  SELECT_NEXT_HOP,
  ...VM_NETWORK_ADAPTER,
  ...NET_ADAPTER,
  ...SESSIONS,
  ...LANGUAGE,
];

export const CMDLETS: ReadonlyMap<string, Cmdlet> = new Map([
  ...ALL.map((cmdlet) => [cmdlet.name.toLowerCase(), cmdlet] as const),
  ...Object.entries(ALIASES).map(([alias, name]) => [alias, ALL.find((cmdlet) => cmdlet.name === name)!] as const),
]);
