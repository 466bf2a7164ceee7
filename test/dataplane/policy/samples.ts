/** Short ways to write policy in tests, and chance from a seed that a failing test prints. */
import type { CustomerRoute, LookupRecord, RecordType } from "../../../src/dataplane/policy/index.js";
import { parseRoutingDomainID } from "../../../src/dataplane/policy/index.js";
import {
  type Address,
  type Mac,
  type Prefix,
  parseAddress,
  parseMac,
  parsePrefix,
  type Vsid,
} from "../../../src/dataplane/wire/index.js";

export const ip = (text: string): Address => parseAddress(text)!;
export const mac = (text: string): Mac => parseMac(text)!;
export const vsid = (value: number): Vsid => value as Vsid;

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (typeof parsed !== "object") throw new Error(`no prefix: ${text}`);
  return parsed;
}

export const BLUE = parseRoutingDomainID("11111111-2222-3333-4444-000000005001")!;
export const RED = parseRoutingDomainID("11111111-2222-3333-4444-000000006001")!;

export const record = (
  virtualSubnetID: number,
  customerAddress: string,
  macAddress: string,
  providerAddress: string,
  type: RecordType = "Static",
  more: Partial<LookupRecord> = {},
): LookupRecord => ({
  customerAddress: ip(customerAddress),
  virtualSubnetID: vsid(virtualSubnetID),
  macAddress: mac(macAddress),
  providerAddress: ip(providerAddress),
  rule: "TranslationMethodEncap",
  type,
  useVmMACAddress: false,
  customerID: null,
  context: null,
  vmName: null,
  ...more,
});

export const route = (
  routingDomainID: string,
  virtualSubnetID: number,
  destinationPrefix: string,
  nextHop = "0.0.0.0",
  metric = 0,
): CustomerRoute => ({
  routingDomainID,
  virtualSubnetID: vsid(virtualSubnetID),
  destinationPrefix: prefix(destinationPrefix),
  nextHop: ip(nextHop),
  metric,
});

export interface Chance {
  readonly seed: number;
  /** 0 … limit - 1. */
  below(limit: number): number;
  pick<Item>(items: readonly Item[]): Item;
}

/** Seeded by HNV_SEED, else by the clock; put `chance.seed` into every assertion's message. */
export function chanceFromSeed(): Chance {
  const seed = Number(process.env.HNV_SEED ?? Date.now() % 1_000_000_000);
  let state = seed >>> 0;
  const below = (limit: number): number => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
  return { seed, below, pick: (items) => items[below(items.length)]! };
}
