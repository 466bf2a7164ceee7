/**
 * The policy of one host as a snapshot, and its changes: each makes the next generation, which shares what stayed the
 * same, and names the stamps of what did not (`stamps.ts`). Whoever installs the new snapshot moves those stamps with it.
 */
import { strict as assert } from "node:assert";
import type { NodeIndex, Stamp } from "../transposition/transposition.js";
import {
  type Address,
  type AddressFamily,
  gatewayAddressOf,
  isLimitedBroadcast,
  isMulticast,
  type Prefix,
} from "../wire/address.js";
import type { Mac, Vsid } from "../wire/bytes.js";
import { CustomerRoutes } from "./customer-routes.js";
import { LookupRecords } from "./lookup-records.js";
import { PathMtus } from "./path-mtus.js";
import type {
  CustomerRoute,
  HostPolicy,
  LookupRecord,
  LookupRecordTable,
  Neighbor,
  NveSettings,
  PathMtu,
  ProviderAddress,
  ProviderRoute,
} from "./policy.js";
import { Neighbors, ProviderAddresses, ProviderRoutes } from "./provider-network.js";
import {
  ANY_STAMP,
  macRecordStamp,
  membersStamp,
  natStamp,
  providerStamp,
  recordStamp,
  routesStamp,
} from "./stamps.js";
import {
  type Checked,
  checkCustomerRoutes,
  checkLookupRecord,
  checkNatRecord,
  checkNeighbors,
  checkNewLookupRecord,
  checkProviderAddresses,
  checkProviderRoutes,
  type LookupRecordIdentity,
  lookupRecordInMode,
  lookupRecordNotFound,
} from "./validate.js";

/** The distributed router's MAC where no lookup record for a gateway address gives another. Locally administered. */
export const DEFAULT_GATEWAY_MAC = 0x0200_5e00_0101 as Mac;
/** IP MTU of an interface that nobody described. */
export const DEFAULT_MTU = 1500;

/** A host's policy as plain lists. Checked by whoever made them. */
export interface HostPolicyParts {
  readonly node: NodeIndex;
  readonly settings: NveSettings;
  readonly lookupRecords: LookupRecordTable;
  readonly customerRoutes: readonly CustomerRoute[];
  readonly providerAddresses: readonly ProviderAddress[];
  readonly providerRoutes: readonly ProviderRoute[];
  readonly neighbors: readonly Neighbor[];
  /** IP MTU of the interfaces 1, 2, … */
  readonly interfaceMtus: readonly number[];
}

/** The first generation of a host's policy. */
export const makeHostPolicy = (parts: HostPolicyParts): HostPolicySnapshot =>
  new HostPolicySnapshot(
    1,
    parts.node,
    parts.settings,
    parts.lookupRecords instanceof LookupRecords ? parts.lookupRecords : LookupRecords.from(parts.lookupRecords),
    CustomerRoutes.from(parts.customerRoutes),
    new ProviderAddresses(parts.providerAddresses),
    new ProviderRoutes(parts.providerRoutes, parts.providerAddresses),
    new Neighbors(parts.neighbors),
    parts.interfaceMtus,
    new PathMtus(),
  );

export class HostPolicySnapshot implements HostPolicy {
  constructor(
    readonly generation: number,
    readonly node: NodeIndex,
    readonly settings: NveSettings,
    readonly lookupRecords: LookupRecords,
    readonly customerRoutes: CustomerRoutes,
    readonly providerAddresses: ProviderAddresses,
    readonly providerRoutes: ProviderRoutes,
    readonly neighbors: Neighbors,
    readonly interfaceMtus: readonly number[],
    readonly pathMtus: PathMtus,
  ) {}

  gatewayMac(vsid: Vsid, family: AddressFamily): Mac {
    const prefix = this.customerRoutes.onLinkPrefixes(vsid).find(({ address }) => address.family === family);
    return (prefix && gatewayRecord(this, vsid, prefix))?.macAddress ?? DEFAULT_GATEWAY_MAC;
  }

  /** The default stays the router's also where a record gives another: a VM may have learnt it before the record came. */
  isGatewayMac(vsid: Vsid, mac: Mac): boolean {
    if (mac === DEFAULT_GATEWAY_MAC) return true;
    const prefixes = this.customerRoutes.onLinkPrefixes(vsid);
    return prefixes.some((prefix) => gatewayRecord(this, vsid, prefix)?.macAddress === mac);
  }

  interfaceMtu(interfaceIndex: number): number {
    return this.interfaceMtus[interfaceIndex - 1] ?? DEFAULT_MTU;
  }
}

/** The lookup record of the gateway address that a virtual subnet has in this prefix. */
function gatewayRecord({ lookupRecords }: HostPolicy, vsid: Vsid, prefix: Prefix): LookupRecord | undefined {
  const gateway = gatewayAddressOf(prefix);
  return gateway && lookupRecords.find(vsid, gateway);
}

/**
 * What one command, or one run of the reconciler, does to a host's policy. Records are taken as a host of its mode understands them
 * (`lookupRecordInMode`).
 */
export type HostPolicyChange =
  /** New-NetVirtualizationLookupRecord */
  | { readonly kind: "recordAdded"; readonly record: LookupRecord }
  /** Remove-NetVirtualizationLookupRecord */
  | { readonly kind: "recordRemoved"; readonly record: LookupRecordIdentity }
  /** Set-NetVirtualizationLookupRecord: the record of the same identity gets these contents. */
  | { readonly kind: "recordReplaced"; readonly record: LookupRecord }
  /** The whole table. Costs as much as both tables have records. */
  | { readonly kind: "recordsReplaced"; readonly records: LookupRecordTable }
  | { readonly kind: "customerRoutesReplaced"; readonly routes: readonly CustomerRoute[] }
  /** What is left out stays. */
  | {
      readonly kind: "providerReplaced";
      readonly providerAddresses?: readonly ProviderAddress[];
      readonly providerRoutes?: readonly ProviderRoute[];
      readonly neighbors?: readonly Neighbor[];
      readonly interfaceMtus?: readonly number[];
    }
  | { readonly kind: "settingsReplaced"; readonly settings: NveSettings }
  /** A router of the provider network has told the MTU of a path. Nothing changes where there is no room for it. */
  | { readonly kind: "pathMtuLearnt"; readonly pathMtu: PathMtu }
  /** What is known about the path to this provider address is forgotten, if its time is over. */
  | { readonly kind: "pathMtuExpired"; readonly destination: Address; readonly nowMs: number };

export interface ChangedPolicy {
  readonly policy: HostPolicySnapshot;
  /** What moves with the change, ANY_STAMP first; no stamp twice. */
  readonly stamps: readonly Stamp[];
}

/** A host that nobody has told anything else. */
export const DEFAULT_NVE_SETTINGS: NveSettings = Object.freeze<NveSettings>({
  mode: "2012R2",
  flowId: "hash",
  ecn: "normal",
  dscp: { model: "pipe", value: 0 },
  receive: "strict",
  flood: "always",
  sendControlMessages: true,
  acceptRedirect: true,
  learnPathMtu: true,
  resolve: "static",
  duplicateAddressDetection: true,
  innerFragmentation: true,
  mssClamp: false,
  outerFragmentation: false,
  reassembly: false,
  learnFromTraffic: false,
  learnFromFloods: false,
  learnedAddressLimit: 10_000,
  useExternalRouter: false,
});

/**
 * The policy after the change; `policy` comes from `makeHostPolicy` or from here, and stays as it is. Throws a PolicyError, and
 * nothing has changed, where a cmdlet would refuse.
 */
export function changeHostPolicy(policy: HostPolicy, change: HostPolicyChange): ChangedPolicy {
  assert(policy instanceof HostPolicySnapshot, "a policy that makeHostPolicy made");
  switch (change.kind) {
    case "recordAdded":
      return addRecord(policy, change.record);
    case "recordRemoved":
      return removeRecord(policy, change.record);
    case "recordReplaced":
      return replaceRecord(policy, change.record);
    case "recordsReplaced":
      return replaceRecords(policy, change.records);
    case "customerRoutesReplaced":
      return replaceCustomerRoutes(policy, change.routes);
    case "providerReplaced":
      return replaceProvider(policy, change);
    case "settingsReplaced":
      return next(policy, { settings: change.settings }, [providerStamp(policy.node)]);
    case "pathMtuLearnt":
      return withPathMtus(policy, policy.pathMtus.with(change.pathMtu), change.pathMtu.destination);
    case "pathMtuExpired":
      return withPathMtus(policy, policy.pathMtus.expired(change.destination, change.nowMs), change.destination);
  }
}

function addRecord(policy: HostPolicySnapshot, written: LookupRecord): ChangedPolicy {
  const record = lookupRecordInMode(written, policy.settings.mode);
  refuse(checkLookupRecord(record));
  const occupant = policy.lookupRecords.occupant(record);
  refuse(checkNewLookupRecord(record, occupant));
  refuse(checkNatRecord(record, policy.lookupRecords.findNat(record.providerAddress)));
  return withRecords(policy, policy.lookupRecords.with(record), [record]);
}

function removeRecord(policy: HostPolicySnapshot, written: LookupRecordIdentity): ChangedPolicy {
  const isThere = policy.lookupRecords.get(written) !== undefined;
  const identity = isThere ? written : lookupRecordInMode(written, policy.settings.mode);
  if (!policy.lookupRecords.get(identity)) throw lookupRecordNotFound(identity);
  return withRecords(policy, policy.lookupRecords.without(identity), [identity]);
}

function replaceRecord(policy: HostPolicySnapshot, written: LookupRecord): ChangedPolicy {
  const record = lookupRecordInMode(written, policy.settings.mode);
  refuse(checkLookupRecord(record));
  if (!policy.lookupRecords.get(record)) throw lookupRecordNotFound(record);
  refuse(checkNatRecord(record, policy.lookupRecords.findNat(record.providerAddress)));
  return withRecords(policy, policy.lookupRecords.with(record), [record]);
}

function replaceRecords(policy: HostPolicySnapshot, records: LookupRecordTable): ChangedPolicy {
  const lookupRecords = tableInMode(records, policy.settings.mode);
  return withRecords(policy, lookupRecords, changedRecords(policy.lookupRecords, lookupRecords));
}

/** The table as a host of this mode understands it: the same one, unless a record is another there. */
function tableInMode(records: LookupRecordTable, mode: NveSettings["mode"]): LookupRecords {
  const inMode = (record: LookupRecord): LookupRecord => lookupRecordInMode(record, mode);
  const isOther = mode === "2012" && Array.from(records).some((record) => inMode(record) !== record);
  if (records instanceof LookupRecords && !isOther) return records;
  return LookupRecords.from(Array.from(records, inMode));
}

/** The policy with these records, of which `changed` came, went or became others. */
function withRecords(
  policy: HostPolicySnapshot,
  lookupRecords: LookupRecords,
  changed: Iterable<LookupRecordIdentity>,
): ChangedPolicy {
  const stamps: Stamp[] = [];
  const vsids = new Set<Vsid>();
  const groups = new Set<Vsid>();
  for (const record of changed) {
    stamps.push(...stampsOf(policy, record));
    stamps.push(...natStampsOf(policy, policy.lookupRecords.occupant(record)));
    stamps.push(...natStampsOf(policy, lookupRecords.occupant(record)));
    if (isMulticast(record.customerAddress) || isLimitedBroadcast(record.customerAddress))
      groups.add(record.virtualSubnetID);
    vsids.add(record.virtualSubnetID);
  }
  for (const vsid of vsids) {
    // Where nobody has asked for the members yet, it is not known, and costs nothing to say so.
    if (groups.has(vsid) || (lookupRecords.membersMoved?.has(vsid) ?? true))
      stamps.push(membersStamp(policy.node, vsid));
  }
  return next(policy, { lookupRecords }, stamps);
}

/** The records that are in one table only or differ between the two. */
function* changedRecords(old: LookupRecords, fresh: LookupRecords): Iterable<LookupRecord> {
  if (old === fresh) return;
  for (const record of old) if (!isSameRecord(record, fresh.get(record))) yield record;
  for (const record of fresh) if (!isSameRecord(record, old.get(record))) yield record;
}

function replaceCustomerRoutes(policy: HostPolicySnapshot, routes: readonly CustomerRoute[]): ChangedPolicy {
  refuse(checkCustomerRoutes(routes)[0]);
  return next(policy, { customerRoutes: policy.customerRoutes.withRoutes(routes) }, [routesStamp(policy.node)]);
}

function replaceProvider(
  policy: HostPolicySnapshot,
  change: Extract<HostPolicyChange, { kind: "providerReplaced" }>,
): ChangedPolicy {
  const addresses = change.providerAddresses ?? policy.providerAddresses.all;
  const routes = change.providerRoutes ?? policy.providerRoutes.all;
  const neighbors = change.neighbors ?? policy.neighbors.all;
  refuse(checkProviderAddresses(addresses)[0] ?? checkProviderRoutes(routes)[0] ?? checkNeighbors(neighbors)[0]);
  const changed = {
    providerAddresses: new ProviderAddresses(addresses),
    providerRoutes: new ProviderRoutes(routes, addresses),
    neighbors: new Neighbors(neighbors),
    interfaceMtus: change.interfaceMtus ?? policy.interfaceMtus,
  };
  return next(policy, changed, [providerStamp(policy.node)]);
}

/** Where the MTU to `destination` is still the same, no flow has to be decided again. */
function withPathMtus(policy: HostPolicySnapshot, pathMtus: PathMtus, destination: Address): ChangedPolicy {
  const changed = next(policy, { pathMtus }, [providerStamp(policy.node)]);
  return pathMtus.find(destination) === policy.pathMtus.find(destination) ? { ...changed, stamps: [] } : changed;
}

function refuse(error: Checked): void {
  if (error) throw error;
}

/** The next generation, with some parts changed. */
function next(
  policy: HostPolicySnapshot,
  changed: Partial<Omit<HostPolicySnapshot, "generation" | "node">>,
  stamps: readonly Stamp[],
): ChangedPolicy {
  const parts = { ...policy, ...changed };
  const fresh = new HostPolicySnapshot(
    policy.generation + 1,
    policy.node,
    parts.settings,
    parts.lookupRecords,
    parts.customerRoutes,
    parts.providerAddresses,
    parts.providerRoutes,
    parts.neighbors,
    parts.interfaceMtus,
    parts.pathMtus,
  );
  return { policy: fresh, stamps: [...new Set([ANY_STAMP, ...stamps])] };
}

/**
 * What moves when a record comes, goes or changes: the bucket of its (VSID, CA), or of its subnet's records that are found by
 * MAC; and the routes, if it is for a gateway address, since it gives the gateway MAC.
 */
function stampsOf(policy: HostPolicySnapshot, record: LookupRecordIdentity): readonly Stamp[] {
  const { node } = policy;
  const { virtualSubnetID: vsid, customerAddress, type } = record;
  if (type === "L2Only" || type === "GatewayWildcard") return [macRecordStamp(node, vsid)];
  const bucket = recordStamp(node, vsid, customerAddress);
  return isGatewayAddress(policy, vsid, customerAddress) ? [bucket, routesStamp(node)] : [bucket];
}

/**
 * What a provider address stands for. Whether one of the host's own does, and for whom, belongs to its provider side, which all that
 * comes from the wire rests on anyway.
 */
function natStampsOf(policy: HostPolicySnapshot, record: LookupRecord | undefined): readonly Stamp[] {
  if (record?.rule !== "TranslationMethodNat") return [];
  const stamp = natStamp(policy.node, record.providerAddress);
  return policy.providerAddresses.find(record.providerAddress) ? [stamp, providerStamp(policy.node)] : [stamp];
}

function isGatewayAddress(policy: HostPolicySnapshot, vsid: Vsid, address: Address): boolean {
  const domain = policy.customerRoutes.routingDomainOf(vsid);
  return domain !== undefined && policy.customerRoutes.gatewayOwner(domain, address) === vsid;
}

const isSameRecord = (a: LookupRecord, b: LookupRecord | undefined): boolean =>
  b !== undefined && JSON.stringify(a) === JSON.stringify(b);
