/** Small fabric files for the tests, and the words to speak about them. */
import { expect } from "vitest";
import { type FabricDocument, loadFabricFile, type Problem } from "../../src/control/index.js";
import type { HostSettings, LabSettings } from "../../src/vswitch/index.js";

/** Two hosts, Blue with two subnets and Red with one; every line has one thing, so that a change is one line. */
export const TWO_HOSTS = `apiVersion: hnv/v1
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets:
      - { vsid: 5001, prefixes: [10.0.0.0/24], gatewayMac: 06-06-00-00-01-01 }
      - { vsid: 5002, prefixes: [10.0.1.0/24] }
  - name: Red
    id: "{11111111-2222-3333-4444-000000006001}"
    subnets:
      - { vsid: 6001, prefixes: [10.0.0.0/24] }
provider:
  subnets:
    - { prefix: 192.168.4.0/24, mtu: 1600 }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms:
      - { name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5] }] }
      - { name: Red1, adapters: [{ mac: 08-08-00-00-00-05, vsid: 6001, addresses: [10.0.0.5] }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22 }]
    vms:
      - { name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }
      - { name: Blue3, adapters: [{ mac: 06-06-00-00-00-09, vsid: 5002, addresses: [10.0.1.9] }] }
`;

/** The text with one part replaced; fails when the part is not there exactly once. */
export function change(text: string, from: string, to: string): string {
  expect(text.split(from).length - 1, `occurrences of ${from}`).toBe(1);
  return text.replace(from, () => to);
}

export function load(text: string): { lab: LabSettings; document: FabricDocument } {
  const loaded = loadFabricFile(text, "lab.yaml");
  if (!loaded.ok) throw new Error(`the lab does not load:\n${loaded.problems.map(show).join("\n")}`);
  return loaded;
}

export function problemsOf(text: string): readonly Problem[] {
  const loaded = loadFabricFile(text, "lab.yaml");
  return loaded.ok ? [] : loaded.problems;
}

/** `7:13 BAD_MAC hosts[0].nics[0].mac` */
export const show = (problem: Problem): string => `${problem.line}:${problem.column} ${problem.code} ${problem.path}`;

export const problemsShown = (text: string): readonly string[] => problemsOf(text).map(show);

/** The one problem of a text, and the piece of the text that it points at. */
export function onlyProblem(text: string): Problem & { readonly at: string } {
  const problems = problemsOf(text);
  expect(problems.map(show)).toHaveLength(1);
  const problem = problems[0]!;
  const line = text.split("\n")[problem.line - 1] ?? "";
  return { ...problem, at: line.slice(problem.column - 1) };
}

export const hostOf = (lab: LabSettings, name: string): HostSettings => lab.hosts.find((host) => host.name === name)!;
