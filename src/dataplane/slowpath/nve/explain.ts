/**
 * Words for explanations: what a layer saw, and the record that nearly matched. Called only while somebody listens.
 */
import type { ParsedFrame } from "../../packet/parse.js";
import type { LookupRecord, LookupRecordTable } from "../../policy/policy.js";
import type { Address } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Vsid } from "../../wire/bytes.js";
import { formatMac } from "../../wire/mac.js";
import type { LayerNote, Observer } from "../layer.js";

export interface Nearest {
  readonly record: unknown;
  readonly differs: string;
}

/** Hands a note over; `record` and `nearest` are left out where there is none. */
export function tell(
  observer: Observer | null,
  saw: string,
  decided: string,
  record?: unknown,
  nearest?: Nearest | undefined,
): void {
  const note: LayerNote = {
    saw,
    decided,
    ...(record === undefined || record === null ? {} : { record }),
    ...(nearest ? { nearest } : {}),
  };
  observer?.note(note);
}

/** `VSID 5001, 10.0.0.5 -> 10.0.0.7`. */
export const flowText = (vsid: Vsid, frame: ParsedFrame): string => `VSID ${vsid}, ${frameText(frame)}`;

/** `10.0.0.5 -> 10.0.0.7`, or MAC addresses and EtherType for what is not IP. */
export function frameText(frame: ParsedFrame): string {
  const { ip } = frame;
  if (ip) return `${formatAddress(ip.source)} -> ${formatAddress(ip.destination)}`;
  return `${formatMac(frame.source)} -> ${formatMac(frame.destination)}, EtherType ${hex(frame.etherType)}`;
}

/** Whether the sender hears of it. */
export const icmpText = (isTold: boolean, what: string): string =>
  isTold ? `the router tells the sender: ICMP ${what}` : `no ICMP ${what}: the sender may not be told of such a packet`;

export const hex = (value: number): string => `0x${value.toString(16).padStart(4, "0")}`;

/** `(VSID 5001, 10.0.0.7)`. */
export const keyText = (vsid: Vsid, address: Address): string => `(VSID ${vsid}, ${formatAddress(address)})`;

/**
 * The record nearest to (VSID, CA), which itself is not there: the same CA in another virtual subnet, else the CA with the
 * longest common prefix in this one. Walks the whole table.
 */
export function nearestRecord(records: LookupRecordTable, vsid: Vsid, address: Address): Nearest | undefined {
  const elsewhere = records.findAnywhere(address).find((record) => record.virtualSubnetID !== vsid);
  if (elsewhere) return { record: elsewhere, differs: "virtualSubnetID" };
  let best: LookupRecord | undefined;
  let bestLength = -1;
  for (const record of records) {
    if (record.virtualSubnetID !== vsid) continue;
    const length = commonPrefixLength(record.customerAddress, address);
    if (length > bestLength) {
      best = record;
      bestLength = length;
    }
  }
  return best && { record: best, differs: "customerAddress" };
}

/** Equal leading bits of the 128; 0 across families. */
function commonPrefixLength(a: Address, b: Address): number {
  if (a.family !== b.family) return 0;
  const words = [a.w0 ^ b.w0, a.w1 ^ b.w1, a.w2 ^ b.w2, a.w3 ^ b.w3];
  const differing = words.findIndex((word) => word !== 0);
  return differing < 0 ? 128 : differing * 32 + Math.clz32(words[differing]!);
}
