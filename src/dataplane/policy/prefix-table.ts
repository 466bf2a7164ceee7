/**
 * Longest prefix match over either family: one hash lookup for each prefix length in use, longest first.
 *
 * Tenants use a handful of lengths, so this beats a trie in size, speed and lines. Filled once by whoever makes it, in the
 * order in which equal prefixes shall be found, then only read.
 */
import { type Address, type AddressFamily, maskAddress, type Prefix } from "../wire/address.js";
import { AddressMap } from "./address-map.js";

export class PrefixTable<Value> {
  private readonly byPrefix = new AddressMap<Value[]>();
  /** Prefix lengths in use, longest first. */
  private readonly lengths: Readonly<Record<AddressFamily, number[]>> = { 4: [], 6: [] };

  add(prefix: Prefix, value: Value): void {
    const values = this.byPrefix.find(prefix.length, prefix.address);
    if (values) {
      values.push(value);
      return;
    }
    this.byPrefix.set(prefix.length, prefix.address, [value]);
    const lengths = this.lengths[prefix.address.family];
    if (!lengths.includes(prefix.length)) {
      lengths.push(prefix.length);
      lengths.sort((a, b) => b - a);
    }
  }

  /** All values of the longest prefix that covers the address, in the order added; undefined if none does. */
  longest(address: Address): readonly Value[] | undefined {
    for (const length of this.lengths[address.family]) {
      const values = this.byPrefix.find(length, maskAddress(address, length));
      if (values) return values;
    }
    return undefined;
  }
}
