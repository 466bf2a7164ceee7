/** What a whole lab knows, beyond the tables of the host that is in want of it: where VMs are, and who has which record and route. */
import type { CustomerRoute, LookupRecord, RoutingDomain } from "../../dataplane/policy/index.js";
import {
  type Address,
  formatAddress,
  type Mac,
  prefixContains,
  sameAddress,
  type Vsid,
} from "../../dataplane/wire/index.js";
import type { AdapterSettings, HostSettings, Lab } from "../../vswitch/index.js";

export interface AdapterOnHost {
  readonly host: HostSettings;
  readonly adapter: AdapterSettings;
}

/** Settings are looked at once; policies, which may change, each time. */
export class LabKnowledge {
  readonly #adapters = new Map<Mac, AdapterOnHost[]>();
  readonly #owners = new Map<string, HostSettings>();
  readonly #ports = new Map<string, AdapterOnHost>();

  constructor(readonly lab: Lab) {
    for (const host of lab.settings.hosts) {
      for (const { address } of host.providerAddresses) this.#owners.set(formatAddress(address), host);
      for (const adapter of host.adapters) {
        const place = { host, adapter };
        this.#ports.set(`${host.name}/${adapter.portName}`, place);
        const others = this.#adapters.get(adapter.mac);
        if (others) others.push(place);
        else this.#adapters.set(adapter.mac, [place]);
      }
    }
  }

  /** The adapter behind a port; undefined for NICs. */
  adapterAt(portName: string): AdapterOnHost | undefined {
    return this.#ports.get(portName);
  }

  adaptersWith(mac: Mac): readonly AdapterOnHost[] {
    return this.#adapters.get(mac) ?? [];
  }

  host(name: string): HostSettings | undefined {
    return this.lab.settings.hosts.find((host) => host.name === name);
  }

  /** The host that has a provider address. */
  ownerOf(providerAddress: Address): HostSettings | undefined {
    return this.#owners.get(formatAddress(providerAddress));
  }

  /** The record of (VSID, CA) on any host but one. */
  recordElsewhere(vsid: Vsid, address: Address, notOn: string): { record: LookupRecord; host: string } | undefined {
    for (const { name } of this.#others(notOn)) {
      const record = this.lab.policyOf(name)!.lookupRecords.find(vsid, address);
      if (record && !this.#isNobodys(record)) return { record, host: name };
    }
    return undefined;
  }

  /** Does the record place at a host of the lab what nobody has? */
  #isNobodys({ macAddress, providerAddress }: LookupRecord): boolean {
    return this.ownerOf(providerAddress) !== undefined && this.adaptersWith(macAddress).length === 0;
  }

  /** Is the record's VM at this provider address, by the settings of its host, or by the record of any host but one? */
  isPlacedAt(
    { virtualSubnetID: vsid, customerAddress, macAddress }: LookupRecord,
    address: Address,
    notOn: string,
  ): boolean {
    const owner = this.ownerOf(address);
    const isAtHome = this.adaptersWith(macAddress).some(({ host, adapter }) => host === owner && adapter.vsid === vsid);
    const isRecordOf = ({ name }: HostSettings): boolean => {
      const record = this.lab.policyOf(name)!.lookupRecords.find(vsid, customerAddress);
      return record?.macAddress === macAddress && sameAddress(record.providerAddress, address);
    };
    return isAtHome || this.#others(notOn).some(isRecordOf);
  }

  /** The first customer route that fits, on any host but one. */
  routeElsewhere(
    notOn: string,
    fits: (route: CustomerRoute) => boolean,
  ): { route: CustomerRoute; host: string } | undefined {
    for (const { name } of this.#others(notOn)) {
      const route = this.lab.policyOf(name)!.customerRoutes.all.find(fits);
      if (route) return { route, host: name };
    }
    return undefined;
  }

  /** The routing domain that any host gives a virtual subnet, with the subnets that any of them knows there. */
  domainOf(vsid: Vsid): RoutingDomain | undefined {
    const domains = this.lab.settings.hosts.flatMap(
      ({ name }) => this.lab.policyOf(name)!.customerRoutes.routingDomainOf(vsid) ?? [],
    );
    const [first] = domains;
    if (!first) return undefined;
    const vsids = domains.flatMap((domain) => (domain.id === first.id ? domain.vsids : []));
    return { ...first, vsids: [...new Set(vsids)].sort((a, b) => a - b) };
  }

  /** The provider address that a VM's packets should come from, or go to: of the family, if one is given. */
  providerAddressOf(host: HostSettings, family?: 4 | 6): Address | undefined {
    return host.providerAddresses.find(({ address }) => family === undefined || address.family === family)?.address;
  }

  /** The provider subnet around an address. */
  providerSubnetOf(address: Address) {
    return this.lab.settings.provider?.subnets.find(({ prefix }) => prefixContains(prefix, address));
  }

  #others(notOn: string): readonly HostSettings[] {
    return this.lab.settings.hosts.filter(({ name }) => name !== notOn);
  }
}
