/**
 * What REDIRECT messages have said: for the time being the VM of (VSID, CA) is to be looked for at another provider address than its
 * lookup record names. The records themselves stay as the control plane has written them.
 */
import type { HostPolicy } from "../../policy/policy.js";
import { recordStamp } from "../../policy/stamps.js";
import type { NodeIndex, Stamp } from "../../transposition/transposition.js";
import { type Address, sameAddress } from "../../wire/address.js";
import type { Vsid } from "../../wire/bytes.js";

export interface Redirect {
  readonly virtualSubnetID: Vsid;
  readonly customerAddress: Address;
  /** Where the VM lives now. */
  readonly target: Address;
}

/** How long one holds if the record is not rewritten before. */
export const REDIRECT_LIFETIME_MS = 60_000;

/** Most redirects that a host keeps; beyond it the oldest goes. */
export const REDIRECTS_MAX = 4096;

export class RedirectTable {
  readonly #node: NodeIndex;
  /** By the stamp of the record, which a few may share. */
  readonly #byStamp = new Map<Stamp, readonly Redirect[]>();
  /** With the time when each ends; the oldest, which ends first, comes first. */
  readonly #all = new Map<Redirect, number>();

  constructor(node: NodeIndex) {
    this.#node = node;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The provider address that stands in for that of the Static or Dynamic record of (VSID, CA); undefined if none does. */
  find(vsid: Vsid, customerAddress: Address): Address | undefined {
    if (this.#all.size === 0) return undefined;
    return this.#at(vsid, customerAddress)?.target;
  }

  /** Where packets for (VSID, CA) are sent as NVGRE: by redirect, else by the Static or Dynamic record; undefined if nowhere. */
  destinationOf(policy: HostPolicy, vsid: Vsid, customerAddress: Address): Address | undefined {
    const record = policy.lookupRecords.find(vsid, customerAddress);
    if (record?.rule !== "TranslationMethodEncap") return undefined;
    return this.find(vsid, customerAddress) ?? record.providerAddress;
  }

  #at(vsid: Vsid, customerAddress: Address): Redirect | undefined {
    const bucket = this.#byStamp.get(recordStamp(this.#node, vsid, customerAddress));
    return bucket?.find((one) => one.virtualSubnetID === vsid && sameAddress(one.customerAddress, customerAddress));
  }

  /** Adds it, in the place of one for the same record. If there are too many the oldest has to go, and is returned. */
  put(redirect: Redirect, nowMs: number): Redirect | undefined {
    const former = this.#at(redirect.virtualSubnetID, redirect.customerAddress);
    if (former) this.#remove(former);
    const [oldest] = this.#all.size >= REDIRECTS_MAX ? this.#all.keys() : [];
    if (oldest) this.#remove(oldest);
    const stamp = this.stampOf(redirect);
    this.#byStamp.set(stamp, [...(this.#byStamp.get(stamp) ?? []), redirect]);
    this.#all.set(redirect, nowMs + REDIRECT_LIFETIME_MS);
    return oldest;
  }

  /** When the next one ends; null if there is none. */
  get nextEndMs(): number | null {
    for (const endMs of this.#all.values()) return endMs;
    return null;
  }

  /** Takes out those that end by now, and gives them. */
  expire(nowMs: number): readonly Redirect[] {
    const ended: Redirect[] = [];
    for (const [redirect, endMs] of this.#all) {
      if (endMs > nowMs) break;
      ended.push(redirect);
    }
    for (const redirect of ended) this.#remove(redirect);
    return ended;
  }

  #remove(redirect: Redirect): void {
    this.#all.delete(redirect);
    const stamp = this.stampOf(redirect);
    const rest = this.#byStamp.get(stamp)!.filter((one) => one !== redirect);
    if (rest.length > 0) this.#byStamp.set(stamp, rest);
    else this.#byStamp.delete(stamp);
  }

  /** Records have been written: what was said about them no longer holds. The stamps are moved by whoever wrote. */
  forget(stamps: Iterable<Stamp>): void {
    if (this.#all.size === 0) return;
    for (const stamp of stamps) for (const redirect of this.#byStamp.get(stamp) ?? []) this.#remove(redirect);
  }

  stampOf({ virtualSubnetID, customerAddress }: Redirect): Stamp {
    return recordStamp(this.#node, virtualSubnetID, customerAddress);
  }
}
