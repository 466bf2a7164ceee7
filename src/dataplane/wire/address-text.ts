/**
 * IP addresses and prefixes as text. Reading is left to the `ip-address` package, which is strict (no leading zeros, no
 * short forms); writing IPv6 follows RFC 5952. Not for the packet path.
 */
import { Address4, Address6 } from "ip-address";
import type { Prefix } from "./address.js";
import { Address, ipv4Address, maskAddress, sameAddress } from "./address.js";

/**
 * Reads `10.0.0.5` or `fd00::5`. Undefined for anything else, prefixes and zones (`fe80::1%eth0`) included.
 * `::ffff:10.0.0.5` is an IPv6 address, not another spelling of 10.0.0.5.
 */
export function parseAddress(text: string): Address | undefined {
  if (/[/%]/.test(text)) return undefined;
  if (!text.includes(":")) return Address4.isValid(text) ? fromAddress4(new Address4(text)) : undefined;
  return Address6.isValid(text) ? fromAddress6(new Address6(text)) : undefined;
}

/**
 * Reads `10.0.0.0/24` or `fd00::/64`; the length is required. `host-bits` when bits behind the length are set, so that the
 * caller can say so; undefined when the text is no prefix at all.
 */
export function parsePrefix(text: string): Prefix | undefined | "host-bits" {
  const slash = text.indexOf("/");
  const address = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (!address || !/^(?:0|[1-9]\d{0,2})$/.test(digits)) return undefined;
  const length = Number(digits);
  if (length > (address.family === 4 ? 32 : 128)) return undefined;
  return sameAddress(maskAddress(address, length), address) ? { address, length } : "host-bits";
}

/** `10.0.0.5`, or IPv6 in the form of RFC 5952 §4; IPv4-mapped addresses keep their dotted end (RFC 5952 §5). */
export function formatAddress(address: Address): string {
  if (address.family === 4) return dotted(address.w3);
  const { w0, w1, w2, w3 } = address;
  if (w0 === 0 && w1 === 0 && w2 === 0xffff) return `::ffff:${dotted(w3)}`;
  const groups = [w0, w1, w2, w3].flatMap((word) => [word >>> 16, word & 0xffff]);
  return compress(groups);
}

export const formatPrefix = (prefix: Prefix): string => `${formatAddress(prefix.address)}/${prefix.length}`;

const dotted = (value: number): string =>
  `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`;

/** The longest run of two or more zero groups, the first of equals, becomes `::` (RFC 5952 §4.2). */
function compress(groups: readonly number[]): string {
  let best = { at: 0, length: 1 };
  for (let at = 0; at < groups.length; at++) {
    let length = 0;
    while (groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  if (best.length < 2) return text(groups);
  return `${text(groups.slice(0, best.at))}::${text(groups.slice(best.at + best.length))}`;
}

const fromAddress4 = (parsed: Address4): Address => ipv4Address(Number(parsed.bigInt()));

function fromAddress6(parsed: Address6): Address {
  const value = parsed.bigInt();
  const word = (shift: bigint): number => Number((value >> shift) & 0xffff_ffffn);
  return new Address(6, word(96n), word(64n), word(32n), word(0n));
}
