/**
 * Which provider address each record of a VM that has moved gets on its new host. Decided once, so that all hosts come to the same records
 * whenever they hear of them.
 *
 * The first provider address of the same family, which many records may share. A record of IP Rewrite needs one that stands for no other
 * customer address, since there the address alone says whose packet it is.
 */
import { isRewritten, type LookupRecord } from "../dataplane/policy/index.js";
import { type Address, formatAddress, sameAddress } from "../dataplane/wire/index.js";
import type { HostState } from "./host-state.js";

export class Placement {
  /** The provider addresses of rewritten records, by VSID and customer address. */
  readonly #chosen = new Map<string, Address>();

  constructor(private readonly target: HostState) {}

  /**
   * Undefined where the target has no address of the family. Where it has too few for all that is rewritten the record shares one, which a
   * host refuses.
   */
  addressOf(record: LookupRecord): Address | undefined {
    const { family } = record.providerAddress;
    const addresses = this.target.intended.providerAddresses.all
      .map(({ providerAddress }) => providerAddress)
      .filter((address) => address.family === family);
    if (!isRewritten(record)) return addresses[0];
    const key = `${record.virtualSubnetID} ${formatAddress(record.customerAddress)}`;
    const address =
      this.#chosen.get(key) ?? addresses.find((candidate) => this.#isFreeFor(record, candidate)) ?? addresses[0];
    if (address) this.#chosen.set(key, address);
    return address;
  }

  #isFreeFor({ virtualSubnetID, customerAddress }: LookupRecord, address: Address): boolean {
    const holder = this.target.intended.lookupRecords.findNat(address);
    const isOwn = holder?.virtualSubnetID === virtualSubnetID && sameAddress(holder.customerAddress, customerAddress);
    if (holder && !isOwn) return false;
    return ![...this.#chosen.values()].some((chosen) => sameAddress(chosen, address));
  }
}
