/**
 * The lookup records that a host has missed lately: a policy mismatch, of which a management agent wants to hear.
 *
 * In a minute, which begins with the first, each (VSID, CA) is told once, and a thousand of them in all. Drops are cached as soon as nobody is
 * to be told of them. At the end of the minute they are decided again, so that what is told does not depend on what the flow table has kept.
 */
import { ANY_STAMP, recordStamp } from "../../policy/stamps.js";
import type { NodeIndex, Stamp } from "../../transposition/transposition.js";
import { type Address, sameAddress } from "../../wire/address.js";
import type { Vsid } from "../../wire/bytes.js";
import type { LayerContext } from "../layer.js";
import type { NveWork } from "./work.js";

export const MISSING_RECORDS_MAX = 1000;
export const MISSING_RECORDS_PERIOD_MS = 60_000;

/** What decisions want of this state. */
export type MissingRecordEffect =
  /** A packet was dropped since (VSID, CA) has no lookup record. */
  | MissingRecord
  /** A timer: the minute is over. */
  | { readonly kind: "missingRecordsEnd" };

export interface MissingRecord {
  readonly kind: "recordMissing";
  readonly virtualSubnetID: Vsid;
  readonly customerAddress: Address;
}

export class MissingRecords {
  readonly #node: NodeIndex;
  /** By the stamp of the record, which a few may share. */
  readonly #told = new Map<Stamp, MissingRecord[]>();
  #count = 0;

  constructor(node: NodeIndex) {
    this.#node = node;
  }

  /** Has it told of this one? */
  #has(vsid: Vsid, customerAddress: Address): boolean {
    const bucket = this.#told.get(recordStamp(this.#node, vsid, customerAddress));
    return (
      bucket?.some((one) => one.virtualSubnetID === vsid && sameAddress(one.customerAddress, customerAddress)) ?? false
    );
  }

  /** A packet is dropped since (VSID, CA) has no lookup record, whose stamp was consulted: wants it told, if it is due. */
  missed(vsid: Vsid, customerAddress: Address, context: LayerContext): void {
    if (this.#has(vsid, customerAddress)) return;
    if (this.#count >= MISSING_RECORDS_MAX)
      context.consulted(ANY_STAMP); // it is no other's turn before the end of the minute
    else context.raise<MissingRecord>({ kind: "recordMissing", virtualSubnetID: vsid, customerAddress });
  }

  /** Takes it among those that are told: `known` if it is one, `full` if there are too many. */
  note(missing: MissingRecord, work: NveWork): "told" | "known" | "full" {
    const { virtualSubnetID, customerAddress } = missing;
    if (this.#has(virtualSubnetID, customerAddress)) return "known";
    if (this.#count >= MISSING_RECORDS_MAX) return "full";
    if (this.#count === 0) {
      work.setTimer<MissingRecordEffect>(work.nowMs + MISSING_RECORDS_PERIOD_MS, { kind: "missingRecordsEnd" });
    }
    this.#count++;
    const stamp = recordStamp(this.#node, virtualSubnetID, customerAddress);
    this.#told.set(stamp, [...(this.#told.get(stamp) ?? []), missing]);
    return "told";
  }

  /** The minute is over. */
  end(work: NveWork): void {
    work.moveStamps([ANY_STAMP, ...this.#told.keys()]);
    this.#told.clear();
    this.#count = 0;
  }
}
