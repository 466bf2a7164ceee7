/**
 * At which provider addresses each virtual subnet has members, for broadcast: an index over the lookup records.
 *
 * It is made when the first broadcast asks for it, by a walk over all records, and from then on handed from each table to the one
 * made from it, with the records that changed. So whoever floods nothing pays nothing, and a change costs as much as it
 * changes; a table that is no longer the latest has to walk again, which only tests and dumps ever ask of it.
 */
import type { Vsid } from "../wire/bytes.js";

/** One record that came or went. */
export interface MemberChange {
  readonly vsid: Vsid;
  /** The number of its provider address (`AddressPool`). */
  readonly provider: number;
  readonly isL2Only: boolean;
  readonly records: 1 | -1;
}

export class SubnetMembers {
  /** Records by provider address. */
  readonly #subnets = new Map<Vsid, Map<number, number>>();
  readonly #l2Only = new Map<Vsid, number>();

  of(vsid: Vsid): Iterable<number> {
    return this.#subnets.get(vsid)?.keys() ?? [];
  }

  hasL2Only(vsid: Vsid): boolean {
    return (this.#l2Only.get(vsid) ?? 0) > 0;
  }

  /** Takes the change in; says whether the subnet has come to a provider address or left one. */
  apply({ vsid, provider, isL2Only, records }: MemberChange): boolean {
    if (isL2Only) this.#l2Only.set(vsid, (this.#l2Only.get(vsid) ?? 0) + records);
    const counts = this.#subnets.get(vsid) ?? new Map<number, number>();
    this.#subnets.set(vsid, counts);
    const before = counts.get(provider) ?? 0;
    const after = before + records;
    if (after > 0) counts.set(provider, after);
    else counts.delete(provider);
    return before === 0 || after === 0;
  }
}
