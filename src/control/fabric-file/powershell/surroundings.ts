/**
 * The host around its policy: what a fabric file must say and the tables do not.
 *
 *     NICs        one per interface index; MAC of a provider address, else 02-00 and the address's last four octets, or the next that is free
 *     VMs         the MACs of records that name a provider address of this host, but not those of gateway addresses
 *     settings    what Get-NetVirtualizationGlobal says
 *     neighbors   with one host, whose wire ends outside of the lab: 02-00 and the last four octets of each other provider address and router
 *     provider    with several hosts: the subnets of the provider addresses, with the routers that the provider routes name
 */
import {
  type Address,
  formatAddress,
  formatMac,
  formatPrefix,
  gatewayAddressOf,
  isUnicast,
  isUnspecified,
  type Mac,
  maskAddress,
  prefixContains,
  sameAddress,
} from "../../../dataplane/wire/index.js";
import { DEFAULT_ROUTER_MAC } from "../provider-plan.js";
import { readAddress, readGuid, readMac, readPrefix, VSID_MAX, VSID_MIN } from "../scalars.js";
import type { ListName } from "./classes.js";

/** An object of the text, as a raw record of a fabric file. */
export interface PolicyObject {
  readonly raw: Record<string, unknown>;
  /** Where it begins. */
  readonly offset: number;
}

export type PolicyLists = Readonly<Record<ListName, PolicyObject[]>>;

/** The object that a part of the fabric file was made of. */
export interface Origin {
  /** null: global settings. */
  readonly list: ListName | null;
  readonly offset: number;
}

/** What is known of hosts beyond their tables. */
export interface Knowledge {
  /** The name of the NIC with this interface index. */
  nicName(host: string, index: unknown): string | undefined;
  /** VMs as they are; records make no other adapters with their MACs. */
  vms(host: string): readonly KnownVm[];
}

export interface KnownVm {
  readonly name: string;
  readonly adapters: readonly { readonly mac: string }[];
  /** Where it comes from. */
  readonly offset: number;
}

const NOTHING_KNOWN: Knowledge = { nicName: () => undefined, vms: () => [] };

/** The name of a host that the text does not name. */
const ONLY_HOST = "host1";

/** `hosts`, `provider` and `neighbors` of the fabric file; `origins` learns where they come from, by path. Interface indexes become places. */
export function surroundings(
  lists: PolicyLists,
  globals: readonly PolicyObject[],
  named: readonly string[],
  origins: Map<string, Origin>,
  knowledge = NOTHING_KNOWN,
): Record<string, unknown> {
  const names = named.length > 0 ? named : [ONLY_HOST];
  const makeUpMac = macMaker(lists);
  const hosts = names.map((name, index) =>
    hostAround(lists, globals, name, `hosts[${index}]`, origins, knowledge, makeUpMac),
  );
  numberInterfaces(lists, names);
  if (hosts.length > 1) return { hosts, provider: { subnets: providerSubnets(lists) } };
  return { hosts, neighbors: neighborsOf(lists) };
}

const text = ({ raw }: PolicyObject, field: string): string | undefined =>
  typeof raw[field] === "string" ? raw[field] : undefined;
const isOn =
  (host: string) =>
  ({ raw }: PolicyObject): boolean =>
    raw.host === undefined || raw.host === host;
const addressIn = (object: PolicyObject, field: string): Address | undefined => readAddress(text(object, field));

function hostAround(
  lists: PolicyLists,
  globals: readonly PolicyObject[],
  name: string,
  path: string,
  origins: Map<string, Origin>,
  knowledge: Knowledge,
  makeUpMac: (wanted: Mac) => Mac,
): object {
  const own = lists.providerAddresses.filter(isOn(name));
  const nics = interfacesOf(lists, name).map((index, place) => {
    const ofNic = own.filter(({ raw }) => raw.interfaceIndex === index);
    const mac = ofNic.map((object) => readMac(text(object, "macAddress"))).find((found) => found !== undefined);
    const address = ofNic[0] && addressIn(ofNic[0], "providerAddress");
    if (ofNic[0]) origins.set(`${path}.nics[${place}]`, { list: "providerAddresses", offset: ofNic[0].offset });
    const nicName = knowledge.nicName(name, index) ?? `nic${place + 1}`;
    return { name: nicName, mac: formatMac(mac ?? makeUpMac(address ? macOfAddress(address) : noMac(place))) };
  });
  const known = knowledge.vms(name);
  for (const [index, { offset }] of known.entries()) origins.set(`${path}.vms[${index}]`, { list: null, offset });
  const vms = [...known.map(({ offset: _, ...vm }) => vm), ...vmsOf(lists, name, nics, known, path, origins)];
  const global = globals.filter(isOn(name)).at(-1);
  if (!global || global.raw.useExternalRouter === false) return { name, nics, vms }; // as without
  origins.set(`${path}.settings`, { list: null, offset: global.offset });
  const { host: _, ...settings } = global.raw;
  return { name, settings, nics, vms };
}

/** Gives NICs the MAC address that is wanted, or the next one that no other NIC has: IPv6 addresses of several hosts may end alike. */
function macMaker({ providerAddresses }: PolicyLists): (wanted: Mac) => Mac {
  const written = providerAddresses.flatMap((pa) => readMac(text(pa, "macAddress")) ?? []);
  const taken = new Set<Mac>([DEFAULT_ROUTER_MAC, ...written]);
  return (wanted) => {
    let mac = wanted;
    while (taken.has(mac)) mac = (mac + 1) as Mac;
    taken.add(mac);
    return mac;
  };
}

/** Locally administered, from the last 32 bits of an address. */
const macOfAddress = (address: Address): Mac => (0x0200_0000_0000 + address.w3) as Mac;
const noMac = (place: number): Mac => (0x0200_0000_0000 + place + 1) as Mac;

/** The interface indexes of a host, in the order in which its provider addresses and routes name them. */
function interfacesOf({ providerAddresses, providerRoutes }: PolicyLists, host: string): readonly unknown[] {
  const all = [...providerAddresses, ...providerRoutes].filter(isOn(host));
  return [...new Set(all.map(({ raw }) => raw.interfaceIndex))].filter((index) => typeof index === "number");
}

/** In a fabric file an interface index is the place of a NIC. */
function numberInterfaces(lists: PolicyLists, names: readonly string[]): void {
  const places = new Map(names.map((name) => [name, interfacesOf(lists, name)]));
  for (const { raw } of [...lists.providerAddresses, ...lists.providerRoutes]) {
    const place = places.get(typeof raw.host === "string" ? raw.host : names[0]!)!.indexOf(raw.interfaceIndex);
    if (place >= 0) raw.interfaceIndex = place + 1;
  }
}

interface Vm {
  readonly name: string;
  readonly adapters: { readonly mac: string; readonly vsid: unknown }[];
}

function vmsOf(
  lists: PolicyLists,
  host: string,
  nics: readonly { readonly name: string }[],
  known: readonly KnownVm[],
  path: string,
  origins: Map<string, Origin>,
): readonly Vm[] {
  const own = new Set(lists.providerAddresses.filter(isOn(host)).flatMap((pa) => keyOf(pa, "providerAddress") ?? []));
  const isGateway = gatewayTest(lists.customerRoutes.filter(isOn(host)));
  const domainOf = new Map<unknown, string | undefined>();
  for (const route of lists.customerRoutes.filter(isOn(host))) {
    domainOf.set(route.raw.virtualSubnetID, readGuid(text(route, "routingDomainID") ?? ""));
  }
  const taken = new Set([...nics, ...known].map(({ name }) => name));
  const knownMacs = new Set(known.flatMap((vm) => vm.adapters.map(({ mac }) => mac)));
  const seen = new Set<string>();
  const vms = new Map<string, Vm & { readonly place: number }>();
  for (const record of lists.lookupRecords.filter(isOn(host))) {
    const { virtualSubnetID: vsid } = record.raw;
    const mac = readMac(text(record, "macAddress"));
    const address = addressIn(record, "customerAddress");
    if (mac === undefined || address === undefined || !own.has(keyOf(record, "providerAddress") ?? "")) continue;
    if (typeof vsid !== "number" || vsid < VSID_MIN || vsid > VSID_MAX) continue; // the record itself will be refused
    const adapterKey = `${String(vsid)} ${mac}`;
    if (isGateway(vsid, address) || seen.has(adapterKey) || knownMacs.has(formatMac(mac))) continue;
    seen.add(adapterKey);
    const wanted = usableName(text(record, "vmName")) ?? `vm-${formatMac(mac).replaceAll("-", "").toLowerCase()}`;
    const key = `${wanted} ${domainOf.get(vsid) ?? String(vsid)}`; // adapters of one name and tenant are one VM's
    let vm = vms.get(key);
    if (!vm) {
      vm = { place: known.length + vms.size, name: freeName(wanted, vsid, taken), adapters: [] };
      vms.set(key, vm);
    }
    const place = `${path}.vms[${vm.place}].adapters[${vm.adapters.length}]`;
    origins.set(place, { list: "lookupRecords", offset: record.offset });
    vm.adapters.push({ mac: formatMac(mac), vsid });
  }
  return [...vms.values()].map(({ name, adapters }) => ({ name, adapters }));
}

const keyOf = (object: PolicyObject, field: string): string | undefined => {
  const address = addressIn(object, field);
  return address && formatAddress(address);
};

/** Is an address the gateway address of its virtual subnet? Its record names no VM. */
function gatewayTest(routes: readonly PolicyObject[]): (vsid: unknown, address: Address) => boolean {
  const gateways = new Map<unknown, Address[]>();
  for (const route of routes) {
    const prefix = readPrefix(text(route, "destinationPrefix"));
    const nextHop = addressIn(route, "nextHop");
    const gateway = prefix && nextHop && isUnspecified(nextHop) ? gatewayAddressOf(prefix) : undefined;
    if (gateway) gateways.set(route.raw.virtualSubnetID, [...(gateways.get(route.raw.virtualSubnetID) ?? []), gateway]);
  }
  return (vsid, address) => gateways.get(vsid)?.some((gateway) => sameAddress(gateway, address)) ?? false;
}

/** A VM's name as far as it can be part of a port's. */
function usableName(name: string | undefined): string | undefined {
  const usable = name
    ?.replace(/[/=\p{Cc}]/gu, "-")
    .slice(0, NAME_MAX)
    .trim();
  return usable === "" ? undefined : usable;
}

/** Names have 64 characters at most; some are for a number behind. */
const NAME_MAX = 50;

function freeName(wanted: string, vsid: unknown, taken: Set<string>): string {
  const names = [wanted, `${wanted}-${String(vsid)}`];
  for (let number = 2; names.every((name) => taken.has(name)); number++) names.push(`${wanted}-${number}`);
  const name = names.find((candidate) => !taken.has(candidate))!;
  taken.add(name);
  return name;
}

/** What ARP would find at the other provider addresses and at the routers. */
function neighborsOf(lists: PolicyLists): readonly object[] {
  const own = new Set(lists.providerAddresses.flatMap((pa) => keyOf(pa, "providerAddress") ?? []));
  const far = [
    ...lists.lookupRecords.map((record) => addressIn(record, "providerAddress")),
    ...lists.providerRoutes.map((route) => addressIn(route, "nextHop")),
  ];
  const neighbors = new Map<string, object>();
  for (const address of far) {
    if (!address || !isUnicast(address) || own.has(formatAddress(address))) continue; // a group has no neighbor
    neighbors.set(formatAddress(address), { address: formatAddress(address), mac: formatMac(macOfAddress(address)) });
  }
  return [...neighbors.values()];
}

/** The prefixes of the provider addresses, with the routers that lie in them. */
function providerSubnets({ providerAddresses, providerRoutes }: PolicyLists): readonly object[] {
  const routers = providerRoutes.flatMap((route) => addressIn(route, "nextHop") ?? []).filter((a) => !isUnspecified(a));
  const subnets = new Map<string, object>();
  for (const object of providerAddresses) {
    const address = addressIn(object, "providerAddress");
    const { prefixLength: length, vlanID: vlan } = object.raw;
    if (!address || typeof length !== "number" || length > (address.family === 4 ? 32 : 128)) continue;
    const prefix = { address: maskAddress(address, length), length };
    const gateway = routers.find((router) => prefixContains(prefix, router));
    subnets.set(formatPrefix(prefix), {
      prefix: formatPrefix(prefix),
      ...(typeof vlan === "number" ? { vlan } : {}),
      ...(gateway ? { gateway: formatAddress(gateway) } : {}),
    });
  }
  return [...subnets.values()];
}
