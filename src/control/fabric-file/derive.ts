/**
 * From a checked fabric file to plain lab settings: parses texts, fills in defaults, and derives records from the fabric.
 *
 *     adapter with VSID and addresses   -> a Static lookup record per address, with its host's first PA
 *     subnet with gatewayMac            -> a Static lookup record for the gateway address of each prefix
 *     subnet's prefixes                 -> an on-link customer route each, metric 255
 *     a routing domain's gateways       -> records and routes of `tenant-gateways.ts`
 *     several provider subnets          -> a default provider route per family, through the PA's subnet's gateway
 *     PAs and provider gateways         -> a neighbor each
 *
 * All derived records go to all hosts. Raw records of the same identity win: first those that name the host, then those for
 * every host, then the derived. Hosts that end up with the same records share the very tables, so a lab of many hosts costs the memory
 * of one.
 */
import {
  type CustomerRoute,
  DEFAULT_MTU,
  DEFAULT_NVE_SETTINGS,
  type LookupRecord,
  LookupRecords,
  type LookupRecordTable,
  lookupRecordInMode,
  type Neighbor,
  type NveSettings,
  type ProviderRoute,
} from "../../dataplane/policy/index.js";
import { DEFAULT_NIC_OFFLOAD, innerMtu, type NicOffload } from "../../dataplane/slowpath/index.js";
import {
  Address,
  formatPrefix,
  gatewayAddressOf,
  ipv4Address,
  isUnspecified,
  type Mac,
  type Prefix,
  prefixContains,
  type Vsid,
} from "../../dataplane/wire/index.js";
import type {
  AdapterSettings,
  HostSettings,
  LabSettings,
  NicSettings,
  ProviderAddressSettings,
} from "../../vswitch/index.js";
import { adapterPortName, addressKey, carriedIds, isolationPortName, listedIds } from "./consistency/index.js";
import { deriveEvents } from "./derive-events.js";
import { gatewaySettings } from "./gateways.js";
import { DEFAULT_ROUTER_MAC, type ProviderPlan, planProvider } from "./provider-plan.js";
import { readLookupRecord } from "./read-lookup-record.js";
import { readAddress, readGuid, readMac, readPrefix } from "./scalars.js";
import type {
  AdapterDocument,
  FabricFile,
  HostDocument,
  NicOffloadDocument,
  SettingsDocument,
  VmDocument,
} from "./schema.js";
import { DERIVED_ROUTE_METRIC, gatewayRecords, gatewayRoutes, tenantGateways } from "./tenant-gateways.js";

/**
 * The PA of derived gateway records. Packets to a gateway address are never encapsulated, so it has no meaning; operators' scripts
 * write this one, and no host can own it.
 */
export const GATEWAY_RECORD_PA: Address = ipv4Address(0xa9fe_fefe); // 169.254.254.254

export function deriveLab(file: FabricFile): LabSettings {
  const plan = planProvider(file);
  const derived = deriveLookupRecords(file, plan);
  // What a record without an address is depends on the host's mode; only then does each mode have its own layers.
  const isModal = (file.lookupRecords ?? []).some((raw) => isUnspecified(readAddress(raw.customerAddress)!));
  const recordsIn = oncePer((mode: NveSettings["mode"]) =>
    layers(derived, file.lookupRecords ?? [], (raw) => lookupRecordInMode(readLookupRecord(raw), mode), recordIdentity),
  );
  const gateways = tenantGateways(file);
  // Hosts without a gateway have the same routes.
  const routesAt = oncePer((h: number) =>
    layers(
      [...deriveCustomerRoutes(file), ...gatewayRoutes(gateways, h)],
      file.customerRoutes ?? [],
      readCustomerRoute,
      customerRouteIdentity,
    ),
  );
  const neighbors = layers(deriveNeighbors(file, plan), file.neighbors ?? [], readNeighbor, (n) =>
    addressKey(n.address),
  );
  const written = layers([], file.neighbors ?? [], readNeighbor, (n) => addressKey(n.address));
  const tableOf = oncePer<readonly LookupRecord[], LookupRecordTable>((list) => LookupRecords.from(list));

  const hosts = file.hosts.map((host, h): HostSettings => {
    const addresses = plan.addresses[h]!;
    const nve = nveSettings(file, host);
    const nics = nicSettings(host, addresses, plan);
    return {
      name: host.name,
      policyDelayMs: host.policyDelay ?? 0,
      nve,
      nics,
      adapters: adapterSettings(host, nve.mode, nics, addresses),
      distributeLearnedMs: host.settings?.distributeLearnedMs ?? file.settings?.distributeLearnedMs ?? null,
      providerAddresses: addresses,
      providerRoutes: providerRoutes(file, host, addresses, plan),
      neighbors: (nve.resolve === "wire" ? written : neighbors)(host.name), // the wire tells the others
      neighborsOnWire: saysResolve(file, host) ? null : written(host.name),
      customerRoutes: routesAt(gateways.some((gateway) => gateway.host === h) ? h : -1)(host.name),
      lookupRecords: tableOf(recordsIn(isModal ? nve.mode : "2012R2")(host.name)),
    };
  });
  return {
    hosts,
    provider: plan.provider,
    gateways: gatewaySettings(file, hosts, gateways),
    events: deriveEvents(file),
  };
}

const saysResolve = (file: FabricFile, host: HostDocument): boolean =>
  (host.settings?.resolve ?? file.settings?.resolve) !== undefined;

function nveSettings(file: FabricFile, host: HostDocument): NveSettings {
  const settings: SettingsDocument = { ...file.settings, ...host.settings };
  const { dscp = "pipe" } = settings;
  const usual = DEFAULT_NVE_SETTINGS;
  return {
    mode: host.mode ?? file.mode ?? usual.mode,
    flowId: settings.flowId ?? usual.flowId,
    ecn: settings.ecn ?? usual.ecn,
    dscp: dscp === "uniform" ? { model: "uniform" } : { model: "pipe", value: dscp === "pipe" ? 0 : dscp },
    receive: settings.receive ?? usual.receive,
    flood: settings.flood ?? usual.flood,
    sendControlMessages: settings.sendControlMessages ?? usual.sendControlMessages,
    acceptRedirect: settings.acceptRedirect ?? usual.acceptRedirect,
    learnPathMtu: settings.learnPathMtu ?? usual.learnPathMtu,
    resolve: settings.resolve ?? usual.resolve,
    duplicateAddressDetection: settings.duplicateAddressDetection ?? usual.duplicateAddressDetection,
    innerFragmentation: settings.innerFragmentation ?? usual.innerFragmentation,
    mssClamp: settings.mssClamp ?? usual.mssClamp,
    outerFragmentation: settings.outerFragmentation ?? usual.outerFragmentation,
    reassembly: settings.reassembly ?? usual.reassembly,
    learnFromTraffic: settings.learnFromTraffic ?? usual.learnFromTraffic,
    learnFromFloods: settings.learnFromFloods ?? usual.learnFromFloods,
    learnedAddressLimit: settings.learnedAddressLimit ?? usual.learnedAddressLimit,
    useExternalRouter: settings.useExternalRouter ?? usual.useExternalRouter,
  };
}

function nicSettings(
  host: HostDocument,
  addresses: readonly ProviderAddressSettings[],
  plan: ProviderPlan,
): readonly NicSettings[] {
  return (host.nics ?? []).map((nic, n) => {
    const own = addresses.filter((pa) => pa.interfaceIndex === n + 1);
    const subnets = plan.subnets.filter((subnet) => own.some((pa) => prefixContains(subnet.prefix, pa.address)));
    const subnetMtu = subnets.length === 0 ? DEFAULT_MTU : Math.max(...subnets.map((subnet) => subnet.mtu));
    const mtu = nic.mtu ?? host.mtu ?? subnetMtu;
    return {
      name: nic.name,
      mac: readMac(nic.mac)!,
      mtu,
      offload: nicOffload(nic.encapsulatedTaskOffload),
      rssQueues: nic.rss?.numberOfReceiveQueues ?? 1,
    };
  });
}

function nicOffload(document: NicOffloadDocument = {}): NicOffload {
  const usual = DEFAULT_NIC_OFFLOAD;
  return {
    lso: document.lso ?? usual.lso,
    checksum: document.checksum ?? usual.checksum,
    rss: document.rss ?? usual.rss,
    vmq: document.vmq ?? usual.vmq,
    families: document.families ?? usual.families,
    maxHeaderSize: document.maxHeaderSize ?? usual.maxHeaderSize,
    faults: document.faults ?? usual.faults,
  };
}

function adapterSettings(
  host: HostDocument,
  mode: NveSettings["mode"],
  nics: readonly NicSettings[],
  addresses: readonly ProviderAddressSettings[],
): readonly AdapterSettings[] {
  const bootMtu = guestMtuAtBoot(mode, nics, addresses);
  return (host.vms ?? []).flatMap((vm) =>
    vm.adapters.flatMap((adapter, index) => adapterPorts(vm, adapter, index, bootMtu)),
  );
}

/** The ports of an adapter: the plain one, then one for each isolation id that its guest is told. */
export function adapterPorts(
  vm: VmDocument,
  adapter: AdapterDocument,
  index: number,
  bootMtu = DEFAULT_MTU,
): readonly AdapterSettings[] {
  const { isolation } = adapter;
  const plain: AdapterSettings = {
    portName: adapterPortName(vm.name, index),
    vmName: vm.name,
    mac: readMac(adapter.mac)!,
    vsid: (adapter.vsid ?? 0) as Vsid,
    macAddressSpoofing: adapter.macAddressSpoofing ?? false,
    ieeePriorityTag: adapter.ieeePriorityTag ?? false,
    guest: {
      mtu: adapter.mtu ?? ((adapter.vsid ?? 0) === 0 && isolation === undefined ? DEFAULT_MTU : bootMtu),
      lso: adapter.lso ?? false,
      mss: adapter.mss ?? null,
      checksum: adapter.checksumOffload ?? false,
    },
    dhcpGuard: adapter.dhcpGuard ?? false,
    routerGuard: adapter.routerGuard ?? false,
    stormLimit: adapter.stormLimit ?? 0,
    dynamicIPAddressLimit: adapter.dynamicIPAddressLimit ?? 0,
    isolation: null,
  };
  if (isolation === undefined || isolation.mode === "None") return [plain];
  const { mode } = isolation;
  const allowsUntagged = isolation.allowUntaggedTraffic ?? false;
  const hiddenVsids = isolation.multiTenantStack ? [] : (listedIds(isolation) as Vsid[]);
  return [
    {
      ...plain,
      vsid: (allowsUntagged ? (isolation.defaultIsolationID ?? 0) : 0) as Vsid,
      isolation: { mode, isFiltered: !allowsUntagged, hiddenVsids },
    },
    ...carriedIds(isolation).map((id) => ({
      ...plain,
      portName: isolationPortName(plain.portName, id),
      vsid: id as Vsid,
      isolation: { mode, isFiltered: false, hiddenVsids: [] },
    })),
  ];
}

/**
 * The MTU of virtualized adapters after boot. Windows Server 2012 R2 lowers it by what NVGRE takes, if the NIC of the provider network
 * has no jumbo frames; guests older than Windows Server 2008, and Linux of that time, kept 1500 and say so by `mtu`.
 */
function guestMtuAtBoot(
  mode: NveSettings["mode"],
  nics: readonly NicSettings[],
  [first]: readonly ProviderAddressSettings[],
): number {
  const nic = first && nics[first.interfaceIndex - 1];
  if (mode === "2012" || !nic || nic.mtu > DEFAULT_MTU) return DEFAULT_MTU;
  return innerMtu(DEFAULT_MTU, first.address.family);
}

// Lookup records.

export function deriveLookupRecords(file: FabricFile, plan: ProviderPlan): readonly LookupRecord[] {
  const records: LookupRecord[] = [];
  for (const domain of file.routingDomains ?? []) {
    const customerID = readGuid(domain.id)!;
    for (const subnet of domain.subnets) {
      const macAddress = readMac(subnet.gatewayMac);
      if (macAddress === undefined) continue;
      for (const text of subnet.prefixes) {
        const customerAddress = gatewayAddressOf(readPrefix(text)!);
        if (customerAddress === undefined) continue;
        const virtualSubnetID = subnet.vsid as Vsid;
        const providerAddress = GATEWAY_RECORD_PA;
        records.push(
          staticRecord({ customerAddress, virtualSubnetID, macAddress, providerAddress, customerID, vmName: null }),
        );
      }
    }
  }
  const domainOf = new Map<number, string>();
  for (const domain of file.routingDomains ?? []) {
    for (const subnet of domain.subnets) domainOf.set(subnet.vsid, readGuid(domain.id)!);
  }
  for (const [h, host] of file.hosts.entries()) {
    const providerAddress = plan.addresses[h]![0]?.address;
    if (providerAddress === undefined) continue; // the checks saw to it that raw records cover its VMs
    for (const vm of host.vms ?? []) {
      for (const adapter of vm.adapters) {
        if ((adapter.vsid ?? 0) === 0) continue;
        const virtualSubnetID = adapter.vsid as Vsid;
        const customerID = domainOf.get(virtualSubnetID) ?? null;
        const macAddress = readMac(adapter.mac)!;
        for (const text of adapter.addresses ?? []) {
          const customerAddress = readAddress(text)!;
          records.push(
            staticRecord({
              customerAddress,
              virtualSubnetID,
              macAddress,
              providerAddress,
              customerID,
              vmName: vm.name,
            }),
          );
        }
      }
    }
  }
  records.push(...gatewayRecords(file, plan));
  return records;
}

type Derived = Pick<
  LookupRecord,
  "customerAddress" | "virtualSubnetID" | "macAddress" | "providerAddress" | "customerID" | "vmName"
>;

const staticRecord = (derived: Derived): LookupRecord => ({
  ...derived,
  rule: "TranslationMethodEncap",
  type: "Static",
  useVmMACAddress: false,
  context: null,
});

/** What a host has at most one record of. */
export function recordIdentity(record: LookupRecord): string {
  const { customerAddress: ca, virtualSubnetID: vsid, type } = record;
  const isByMac = type === "L2Only" || type === "GatewayWildcard";
  return isByMac ? `${vsid}/${type}/${ca.family}/${record.macAddress}` : `${vsid}/${addressKey(ca)}`;
}

// Customer routes.

function deriveCustomerRoutes(file: FabricFile): readonly CustomerRoute[] {
  return (file.routingDomains ?? []).flatMap((domain) =>
    domain.subnets.flatMap((subnet) =>
      subnet.prefixes.map((text) => {
        const destinationPrefix = readPrefix(text)!;
        return {
          routingDomainID: readGuid(domain.id)!,
          virtualSubnetID: subnet.vsid as Vsid,
          destinationPrefix,
          nextHop: onLink(destinationPrefix),
          metric: DERIVED_ROUTE_METRIC,
        };
      }),
    ),
  );
}

const onLink = (prefix: Prefix): Address => (prefix.address.family === 4 ? ipv4Address(0) : new Address(6, 0, 0, 0, 0));

const readCustomerRoute = (raw: NonNullable<FabricFile["customerRoutes"]>[number]): CustomerRoute => ({
  routingDomainID: readGuid(raw.routingDomainID)!,
  virtualSubnetID: raw.virtualSubnetID as Vsid,
  destinationPrefix: readPrefix(raw.destinationPrefix)!,
  nextHop: readNextHop(raw),
  metric: raw.metric ?? 0,
});

/** On-link may be written 0.0.0.0 or :: for either family; one spelling is kept. */
function readNextHop(raw: { readonly nextHop: string; readonly destinationPrefix: string }): Address {
  const nextHop = readAddress(raw.nextHop)!;
  return isUnspecified(nextHop) ? onLink(readPrefix(raw.destinationPrefix)!) : nextHop;
}

const customerRouteIdentity = (route: CustomerRoute): string =>
  [route.routingDomainID, route.virtualSubnetID, formatPrefix(route.destinationPrefix), addressKey(route.nextHop)].join(
    "|",
  );

// Provider side.

/** Raw routes of the host, and default routes where the provider has more than one subnet of the family. */
function providerRoutes(
  file: FabricFile,
  host: HostDocument,
  addresses: readonly ProviderAddressSettings[],
  plan: ProviderPlan,
): readonly ProviderRoute[] {
  const derived: ProviderRoute[] = [];
  if (plan.provider !== null) {
    for (const pa of addresses) {
      const { family } = pa.address;
      const subnet = plan.subnets.find((candidate) => prefixContains(candidate.prefix, pa.address));
      const others = plan.subnets.filter((candidate) => candidate.prefix.address.family === family);
      if (subnet?.gateway == null || others.length < 2) continue;
      const destinationPrefix: Prefix = {
        address: family === 4 ? ipv4Address(0) : new Address(6, 0, 0, 0, 0),
        length: 0,
      };
      derived.push({
        interfaceIndex: pa.interfaceIndex,
        destinationPrefix,
        nextHop: subnet.gateway,
        metric: DERIVED_ROUTE_METRIC,
      });
    }
  }
  return layers(derived, file.providerRoutes ?? [], readProviderRoute, providerRouteIdentity)(host.name);
}

const readProviderRoute = (raw: NonNullable<FabricFile["providerRoutes"]>[number]): ProviderRoute => ({
  interfaceIndex: raw.interfaceIndex ?? 1,
  destinationPrefix: readPrefix(raw.destinationPrefix)!,
  nextHop: readNextHop(raw),
  metric: raw.metric ?? 0,
});

const providerRouteIdentity = (route: ProviderRoute): string =>
  [route.interfaceIndex, formatPrefix(route.destinationPrefix), addressKey(route.nextHop)].join("|");

/** Every PA with its own or its NIC's MAC, and the provider router in each subnet. */
function deriveNeighbors(file: FabricFile, plan: ProviderPlan): readonly Neighbor[] {
  const neighbors: Neighbor[] = [];
  for (const [h, host] of file.hosts.entries()) {
    for (const pa of plan.addresses[h]!) {
      const nicMac = readMac(host.nics?.[pa.interfaceIndex - 1]?.mac) as Mac;
      neighbors.push({ address: pa.address, mac: pa.mac ?? nicMac });
    }
  }
  if (plan.provider === null) return neighbors;
  const { subnets, routerMac = DEFAULT_ROUTER_MAC } = plan.provider;
  for (const { gateway } of subnets) if (gateway !== null) neighbors.push({ address: gateway, mac: routerMac });
  return neighbors;
}

const readNeighbor = (raw: NonNullable<FabricFile["neighbors"]>[number]): Neighbor => ({
  address: readAddress(raw.address)!,
  mac: readMac(raw.mac)!,
});

// Derived and raw records, laid over each other.

/**
 * The effective rows of a host: derived ones, over them raw ones for every host, over them those that name it; of equal identity the
 * last laid stays, at the place of the first. Hosts with equal rows get the very same list.
 */
function layers<Raw extends { readonly host?: string | undefined }, Row>(
  derived: readonly Row[],
  raw: readonly Raw[],
  read: (raw: Raw) => Row,
  identityOf: (row: Row) => string,
): (host: string) => readonly Row[] {
  const base = new Map<string, Row>();
  for (const row of derived) base.set(identityOf(row), row);
  const ofHosts = new Map<string, Map<string, Row>>();
  for (const item of raw) {
    const row = read(item);
    if (item.host === undefined) base.set(identityOf(row), row);
    else {
      const rows = ofHosts.get(item.host) ?? new Map<string, Row>();
      ofHosts.set(item.host, rows.set(identityOf(row), row));
    }
  }
  const common = [...base.values()];
  const bySignature = new Map<string, readonly Row[]>();
  return (host) => {
    const own = ofHosts.get(host);
    if (own === undefined) return common;
    const signature = [...own.values()]
      .map((row) => JSON.stringify(row))
      .sort()
      .join("\n");
    const known = bySignature.get(signature);
    if (known !== undefined) return known;
    const merged = new Map(base);
    for (const [identity, row] of own) merged.set(identity, row);
    const list = [...merged.values()];
    bySignature.set(signature, list);
    return list;
  };
}

/** The function, called once per argument. */
export function oncePer<From, To>(make: (from: From) => To): (from: From) => To {
  const made = new Map<From, To>();
  return (from) => {
    const known = made.get(from) ?? make(from);
    made.set(from, known);
    return known;
  };
}
