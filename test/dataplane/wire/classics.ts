/** What the five classic tests of every header share. */
import fc from "fast-check";
import { expect } from "vitest";
import type { Reason } from "../../../src/dataplane/drop-reasons.js";
import { Reason as Reasons, reasonName } from "../../../src/dataplane/drop-reasons.js";
import { Address, ipv4Address } from "../../../src/dataplane/wire/address.js";
import type { Mac } from "../../../src/dataplane/wire/bytes.js";
import { hexOf } from "../../vectors/worked-packets.js";

type Check = (frame: Uint8Array, at: number, end: number) => Reason;

/** Octets before and behind what is written: they must stay as they were. */
const MARGIN = 5;
const FILLER = 0xa5;

/** Lets `write` write at some offset of a buffer full of 0xa5 and returns, as hex, the `length` octets that it should have written. */
export function written(length: number, write: (frame: Uint8Array, at: number) => void): string {
  const frame = new Uint8Array(length + 2 * MARGIN).fill(FILLER);
  write(frame, MARGIN);
  const margins = [...frame.subarray(0, MARGIN), ...frame.subarray(MARGIN + length)];
  expect(
    margins.every((octet) => octet === FILLER),
    "wrote outside of its header",
  ).toBe(true);
  return hexOf(frame.subarray(MARGIN, MARGIN + length));
}

/**
 * The check passes with `needed` octets and more, and names a reason with any fewer, both when the buffer ends there and when
 * only `end` does.
 */
export function expectEveryTruncation(check: Check, header: Uint8Array, needed: number, reason?: Reason): void {
  for (let length = 0; length <= header.length; length++) {
    for (const [frame, at] of [
      [header.slice(0, length), 0],
      [Uint8Array.of(0, 0, 0, ...header), 3],
    ] as const) {
      const result = check(frame, at, at + length);
      if (length >= needed) expect(reasonName(result), `${length} octets`).toBe("NONE");
      else if (reason !== undefined) expect(reasonName(result), `${length} octets`).toBe(reasonName(reason));
      else expect(result, `${length} octets`).not.toBe(Reasons.NONE);
    }
  }
}

/** A copy with some octets replaced: `patched(bytes, { 0: 0x45 })`. */
export function patched(bytes: Uint8Array, changes: Readonly<Record<number, number>>): Uint8Array {
  const copy = bytes.slice();
  for (const [at, value] of Object.entries(changes)) copy[Number(at)] = value;
  return copy;
}

export const anyU8 = fc.integer({ min: 0, max: 0xff });
export const anyU16 = fc.integer({ min: 0, max: 0xffff });
export const anyU32 = fc.integer({ min: 0, max: 0xffff_ffff });
export const anyMac = fc.integer({ min: 0, max: 0xffff_ffff_ffff }).map((value) => value as Mac);
export const anyIpv4 = anyU32.map(ipv4Address);
export const anyIpv6 = fc.tuple(anyU32, anyU32, anyU32, anyU32).map(([a, b, c, d]) => new Address(6, a, b, c, d));
export const anyPayload = fc.uint8Array({ minLength: 0, maxLength: 64 });
