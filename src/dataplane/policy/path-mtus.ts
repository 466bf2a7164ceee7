/**
 * What a host has learnt about the paths to provider addresses: the smallest MTU on each, as routers have told it (RFC 1191, RFC 8201).
 * A snapshot like the rest of policy: learning makes another one.
 */
import { type Address, sameAddress } from "../wire/address.js";
import { AddressMap } from "./address-map.js";
import type { PathMtu, PathMtuTable } from "./policy.js";

/** After this time a path is taken to be as wide as its interface again; RFC 1191 §6.3 suggests ten minutes. */
export const PATH_MTU_LIFETIME_MS = 600_000;
/** Destinations about which something is kept; beyond them nothing is learnt. */
export const PATH_MTUS_MAX = 1024;

export class PathMtus implements PathMtuTable {
  readonly #byAddress = new AddressMap<PathMtu>();

  constructor(readonly all: readonly PathMtu[] = []) {
    for (const entry of all) this.#byAddress.set(0, entry.destination, entry);
  }

  get isFull(): boolean {
    return this.all.length >= PATH_MTUS_MAX;
  }

  find(destination: Address): number | undefined {
    return this.#byAddress.find(0, destination)?.mtu;
  }

  /** With this entry in the place of what was known about its destination; unchanged where there is no room for another. */
  with(entry: PathMtu): PathMtus {
    const others = this.#allBut(entry.destination);
    return others.length >= PATH_MTUS_MAX ? this : new PathMtus([...others, entry]);
  }

  /** Without the destination if what is known about it has expired by then, else unchanged. */
  expired(destination: Address, nowMs: number): PathMtus {
    const entry = this.#byAddress.find(0, destination);
    return entry && entry.expiresMs <= nowMs ? new PathMtus(this.#allBut(destination)) : this;
  }

  #allBut(destination: Address): readonly PathMtu[] {
    return this.all.filter((entry) => !sameAddress(entry.destination, destination));
  }
}
