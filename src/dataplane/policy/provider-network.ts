/**
 * A host's view of the provider network: its own provider addresses, its provider routes, and the neighbors that ARP or ND would
 * find. Small tables, rebuilt whole on every change.
 */
import { type Address, isUnspecified, maskAddress } from "../wire/address.js";
import type { Mac } from "../wire/bytes.js";
import { AddressMap } from "./address-map.js";
import type {
  Neighbor,
  NeighborTable,
  ProviderAddress,
  ProviderAddressTable,
  ProviderRoute,
  ProviderRouteTable,
} from "./policy.js";
import { PrefixTable } from "./prefix-table.js";

export class ProviderAddresses implements ProviderAddressTable {
  private readonly byAddress = new AddressMap<ProviderAddress>();

  constructor(readonly all: readonly ProviderAddress[]) {
    for (const entry of all) this.byAddress.set(0, entry.providerAddress, entry);
  }

  find(address: Address): ProviderAddress | undefined {
    return this.byAddress.find(0, address);
  }
}

export class ProviderRoutes implements ProviderRouteTable {
  private readonly byInterface = new Map<number, PrefixTable<Address>>();

  /** The subnets of the provider addresses are on-link on their interfaces, with metric 0 and before any written route of that metric. */
  constructor(
    readonly all: readonly ProviderRoute[],
    addresses: readonly ProviderAddress[],
  ) {
    const onLink = addresses.map(subnetRouteOf);
    for (const route of [...onLink, ...all].sort((a, b) => a.metric - b.metric)) {
      const table = this.byInterface.get(route.interfaceIndex) ?? new PrefixTable<Address>();
      this.byInterface.set(route.interfaceIndex, table);
      table.add(route.destinationPrefix, route.nextHop);
    }
  }

  nextHop(interfaceIndex: number, destination: Address): Address | undefined {
    const best = this.byInterface.get(interfaceIndex)?.longest(destination)?.[0];
    return best && isUnspecified(best) ? destination : best;
  }
}

function subnetRouteOf({ interfaceIndex, providerAddress, prefixLength }: ProviderAddress): ProviderRoute {
  const destinationPrefix = { address: maskAddress(providerAddress, prefixLength), length: prefixLength };
  return { interfaceIndex, destinationPrefix, nextHop: maskAddress(providerAddress, 0), metric: 0 };
}

export class Neighbors implements NeighborTable {
  private readonly byAddress = new AddressMap<Mac>();

  constructor(readonly all: readonly Neighbor[]) {
    for (const { address, mac } of all) this.byAddress.set(0, address, mac);
  }

  find(address: Address): Mac | undefined {
    return this.byAddress.find(0, address);
  }
}
