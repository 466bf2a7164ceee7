/** Scripts for the tests of the importer, and short ways to say what came of them. */
import { expect } from "vitest";
import { type Imported, type ImportOptions, importScripts } from "../../../src/control/index.js";
import { load } from "../labs.js";

const OPTIONS: ImportOptions = {
  mode: "2012R2",
  known: [],
  assumeWildcard: false,
  lenient: false,
  parameters: new Map(),
};

export const importing = (text: string, options: Partial<ImportOptions> = {}): Imported =>
  importScripts([{ name: "a.ps1", text }], { ...OPTIONS, ...options });

/** What a script prints; it must be free of mistakes. That it makes no lab is none. */
export function printed(text: string, options: Partial<ImportOptions> = {}): readonly string[] {
  const { printed: lines, problems, errors, skipped } = importing(text, options);
  expect({ problems: problems.filter(({ code }) => code !== "NO_PROVIDER_ADDRESS"), errors, skipped }).toEqual({
    problems: [],
    errors: [],
    skipped: [],
  });
  return lines;
}

/** The fabric file that a script makes, without a word of complaint. */
export function fabricOf(text: string, options: Partial<ImportOptions> = {}) {
  const { lab, problems, errors } = importing(text, options);
  expect({ problems, errors }).toEqual({ problems: [], errors: [] });
  return load(lab!).document.fabric;
}

/** `2:7 CODE` of all that went wrong: what failed on the way, and why there is no lab. */
export const complaints = (text: string, options: Partial<ImportOptions> = {}): readonly string[] => {
  const { errors, problems } = importing(text, options);
  return [...errors, ...problems.filter(({ code }) => code !== "NO_PROVIDER_ADDRESS")].map(
    ({ line, column, code }) => `${line}:${column} ${code}`,
  );
};

/** The one error or problem of a script. */
export function complaint(text: string, options: Partial<ImportOptions> = {}) {
  const { errors, problems } = importing(text, options);
  const all = [...errors, ...problems.filter(({ code }) => code !== "NO_PROVIDER_ADDRESS")];
  expect(all).toHaveLength(1);
  return all[0]!;
}

/** A provider address on each of these hosts, so that a script makes a lab. */
export const hosts = (...names: readonly string[]): string =>
  names
    .map(
      (name, index) =>
        `New-NetVirtualizationProviderAddress -CimSession ${name} -ProviderAddress 192.168.4.${11 * (index + 1)} -InterfaceIndex 13 -PrefixLength 24 | Out-Null\n`,
    )
    .join("");

export const BLUE = "{11111111-2222-3333-4444-000000005001}";
export const RED = "{11111111-2222-3333-4444-000000006001}";
