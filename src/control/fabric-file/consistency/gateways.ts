/** Isolation of adapters, and the gateways of routing domains: they name what is there, and what belongs together. */
import { type Address, formatAddress, formatPrefix } from "../../../dataplane/wire/index.js";
import type { Path } from "../../problem.js";
import { each, type Loose } from "../report.js";
import { readAddress, readGuid, readPrefix } from "../scalars.js";
import type { AdapterDocument, FabricFile } from "../schema.js";
import { nearestName } from "../validate.js";
import type { Checking } from "./context.js";
import { adapterPortName, vsidsOf } from "./names.js";
import { checkCustomerAddress, type Subnets } from "./tenants.js";

/** What the routing domains of a file are called, and their VSIDs, of both levels. */
interface Domains {
  readonly byName: ReadonlyMap<string, string>;
  /** By RDID. */
  readonly vsids: ReadonlyMap<string, ReadonlySet<number>>;
  /** Is any of it in doubt, so that one cannot say what is missing? */
  readonly isCertain: boolean;
}

export function checkGateways(checking: Checking, subnets: Subnets): void {
  const { file } = checking;
  const domains = domainsOf(file);
  for (const [host, h] of each(file.hosts)) {
    for (const [vm, v] of each(host.vms)) {
      for (const [adapter, a] of each(vm.adapters)) {
        if (adapter.isolation !== undefined) {
          checkIsolation(checking, adapter, ["hosts", h, "vms", v, "adapters", a], domains);
        }
      }
    }
  }
  checkTenantGateways(checking, subnets);
}

function domainsOf(file: Loose<FabricFile>): Domains {
  const byName = new Map<string, string>();
  const vsids = new Map<string, Set<number>>();
  let isCertain = true;
  const put = (id: string | undefined, vsid: number | undefined): void => {
    if (id === undefined || vsid === undefined) isCertain = false;
    else vsids.set(id, (vsids.get(id) ?? new Set()).add(vsid));
  };
  for (const [domain] of each(file.routingDomains)) {
    const id = domain.id === undefined ? undefined : readGuid(domain.id);
    if (id !== undefined && domain.name !== undefined) byName.set(domain.name, id);
    else isCertain = false;
    if (domain.subnets === undefined || domain.subnets.includes(undefined)) isCertain = false;
    for (const [subnet] of each(domain.subnets)) put(id, subnet.vsid);
  }
  for (const route of file.customerRoutes ?? []) {
    put(route?.routingDomainID === undefined ? undefined : readGuid(route.routingDomainID), route?.virtualSubnetID);
  }
  return { byName, vsids, isCertain };
}

function checkIsolation({ report }: Checking, adapter: Loose<AdapterDocument>, path: Path, domains: Domains): void {
  const isolation = adapter.isolation!;
  if (isolation.mode === undefined || isolation.mode === "None") return;
  if ((adapter.vsid ?? 0) !== 0) {
    const message = `the adapter has VSID ${adapter.vsid} and isolation mode ${isolation.mode}`;
    const cure = "Set-VMNetworkAdapter -VirtualSubnetId counts in isolation mode None only: leave one of them out";
    report.add([...path, "vsid"], "VSID_AND_ISOLATION", message, cure);
  }
  if ((isolation.defaultIsolationID ?? 0) !== 0 && isolation.allowUntaggedTraffic !== true) {
    const message = "defaultIsolationID has a meaning with allowUntaggedTraffic only";
    report.add([...path, "isolation", "defaultIsolationID"], "DEFAULT_ISOLATION_ID_UNUSED", message);
  }
  const isNative = isolation.mode === "NativeVirtualSubnet";
  const seen = new Map<string, Path>();
  for (const [mapping, m] of each(isolation.routingDomains)) {
    const at = [...path, "isolation", "routingDomains", m];
    if (mapping.name === undefined && mapping.id === undefined) {
      report.add(at, "MISSING_FIELD", "a mapping names its routing domain by name or id");
      continue;
    }
    const named = mapping.name === undefined ? undefined : domains.byName.get(mapping.name);
    const id = mapping.id === undefined ? named : readGuid(mapping.id);
    if (isNative && mapping.name !== undefined && named === undefined && mapping.id === undefined) {
      const nearest = nearestName(mapping.name, domains.byName.keys());
      const cure =
        nearest === undefined ? "routing domains of raw records are named by id" : `did you mean ${nearest}?`;
      if (domains.isCertain) {
        report.add([...at, "name"], "UNKNOWN_ROUTING_DOMAIN", `no routing domain is called ${mapping.name}`, cure);
      }
      continue;
    }
    const vsids = id === undefined ? undefined : domains.vsids.get(id);
    if (isNative && domains.isCertain && vsids === undefined) {
      const field = mapping.id === undefined ? "name" : "id";
      report.add([...at, field], "UNKNOWN_ROUTING_DOMAIN", `no customer route belongs to routing domain ${id}`);
      continue;
    }
    for (const [vsid, i] of each(mapping.isolationIDs)) {
      const place = [...at, "isolationIDs", i];
      if (!report.claim(seen, String(vsid), place, "DUPLICATE_VSID", `the adapter already has isolation id ${vsid}`)) {
        continue;
      }
      if (!isNative || !domains.isCertain || vsids?.has(vsid)) continue;
      const cure = `its VSIDs: ${[...(vsids ?? [])].slice(0, 8).join(", ")}`;
      const message = `VSID ${vsid} does not belong to routing domain ${mapping.name ?? id}`;
      report.add(place, "VSID_OF_OTHER_ROUTING_DOMAIN", message, cure);
    }
    const names = mapping.isolationNames?.length ?? 0;
    if (names > (mapping.isolationIDs?.length ?? names)) {
      report.add([...at, "isolationNames"], "OUT_OF_RANGE", "more names than isolation ids");
    }
  }
}

function checkTenantGateways(checking: Checking, subnets: Subnets): void {
  const { file, report } = checking;
  const adapters = portsOf(file);
  for (const [domain, d] of each(file.routingDomains)) {
    const vsids = new Set((domain.subnets ?? []).map((subnet) => subnet?.vsid));
    for (const [gateway, g] of each(domain.gateways)) {
      const path = ["routingDomains", d, "gateways", g];
      const place = gateway.adapter === undefined ? undefined : adapters.get(gateway.adapter);
      if (gateway.adapter !== undefined && place === undefined) {
        const nearest = nearestName(gateway.adapter, adapters.keys());
        const cure = nearest === undefined ? "write host/VM" : `did you mean ${nearest}?`;
        report.add([...path, "adapter"], "UNKNOWN_ADAPTER", `no adapter is called ${gateway.adapter}`, cure);
      }
      const { vsid } = gateway;
      if (vsid === undefined || vsids.has(undefined)) continue;
      if (!vsids.has(vsid)) {
        report.add(
          [...path, "vsid"],
          "VSID_OF_OTHER_ROUTING_DOMAIN",
          `VSID ${vsid} does not belong to routing domain ${domain.name}`,
        );
      } else if (place !== undefined && hasKnownVsids(place.adapter) && !vsidsOf(place.adapter).includes(vsid)) {
        const message = `${gateway.adapter} takes no frames of VSID ${vsid}`;
        report.add([...path, "vsid"], "GATEWAY_WITHOUT_VSID", message, "give the adapter this vsid or isolation id");
      }
      if (place !== undefined && !place.hasProviderAddress) {
        const message = `no lookup record can be derived for ${gateway.adapter}: its host has no provider address`;
        report.add([...path, "adapter"], "NO_PROVIDER_ADDRESS", message, "add providerAddresses: to the host");
      }
      checkGatewayAddresses(checking, gateway, path, subnets);
    }
  }
}

/** While its mode is in doubt, one cannot say what the adapter takes. */
const hasKnownVsids = ({ isolation }: Loose<AdapterDocument>): boolean =>
  isolation === undefined || isolation.mode !== undefined;

type GatewayDocument = NonNullable<NonNullable<FabricFile["routingDomains"]>[number]["gateways"]>[number];

function checkGatewayAddresses(
  checking: Checking,
  gateway: Loose<GatewayDocument>,
  path: Path,
  subnets: Subnets,
): void {
  const { report } = checking;
  const found: Address[] = [];
  for (const [text, i] of each(gateway.addresses)) {
    const address = readAddress(text);
    if (address === undefined) continue;
    const at = [...path, "addresses", i];
    if (found.some(({ family }) => family === address.family)) {
      report.add(at, "SECOND_ADDRESS", `the gateway has a second IPv${address.family} address`);
    } else checkCustomerAddress(checking, address, at, subnets.get(gateway.vsid!), gateway.vsid!);
    found.push(address);
  }
  if (gateway.addresses?.includes(undefined)) return;
  for (const [text, i] of each(gateway.destinations)) {
    const prefix = readPrefix(text);
    if (prefix === undefined || found.some(({ family }) => family === prefix.address.family)) continue;
    const message = `${formatPrefix(prefix)} needs a gateway address of its family; there is ${found.map(formatAddress).join(", ")}`;
    report.add([...path, "destinations", i], "CUSTOMER_ROUTE_NEXT_HOP", message);
  }
}

interface Place {
  readonly adapter: AdapterDocument;
  readonly hasProviderAddress: boolean;
}

/** Adapters by port name. */
function portsOf(file: Loose<FabricFile>): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  for (const [host] of each(file.hosts)) {
    const isOurs = (pa: { readonly host?: string | undefined } | undefined): boolean =>
      pa?.host === undefined || pa.host === host.name;
    const hasProviderAddress = (host.providerAddresses?.length ?? 0) > 0 || (file.providerAddresses ?? []).some(isOurs);
    for (const [vm] of each(host.vms)) {
      for (const [adapter, a] of each(vm.adapters)) {
        if (host.name === undefined || vm.name === undefined) continue;
        places.set(`${host.name}/${adapterPortName(vm.name, a)}`, {
          adapter: adapter as AdapterDocument,
          hasProviderAddress,
        });
      }
    }
  }
  return places;
}
