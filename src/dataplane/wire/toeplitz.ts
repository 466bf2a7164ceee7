/**
 * The Toeplitz hash of receive-side scaling (Microsoft, "RSS Hashing Functions"): 32 bits over addresses and ports in network
 * order, source first. Bit i of the input, counted from its first, brings in bits i … i+31 of the key.
 *
 * All eight bits of an octet are looked up at once: what an octet brings in depends on its place and its value only, so a
 * table of 256 words for each of 36 places holds every answer (docs/decisions/0011 has what was tried).
 */
import type { AddressFamily } from "./address.js";
import { u8 } from "./bytes.js";

export const TOEPLITZ_KEY_LENGTH = 40;
/** Two IPv6 addresses and two ports; the window of the last bit ends with the key. */
export const TOEPLITZ_INPUT_MAX = 36;

/** The key of Microsoft's verification suite; what NICs and drivers use unless told. */
export const TOEPLITZ_DEFAULT_KEY: Uint8Array = Uint8Array.of(
  ...[
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb,
  ],
  ...[
    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01,
    0xfa,
  ],
);

/** A key of period 16 bits: both directions of a flow hash alike, at the price of 16 bits of entropy. */
export const TOEPLITZ_SYMMETRIC_KEY: Uint8Array = Uint8Array.from({ length: TOEPLITZ_KEY_LENGTH }, (_, at) =>
  at % 2 === 0 ? 0x6d : 0x5a,
);

export class Toeplitz {
  /** What octet `value` at place `at` brings in: `[at << 8 | value]`. */
  readonly #table = new Uint32Array(TOEPLITZ_INPUT_MAX * 256);

  /** Throws RangeError unless the key has 40 octets. */
  constructor(key: Uint8Array = TOEPLITZ_DEFAULT_KEY) {
    if (key.length !== TOEPLITZ_KEY_LENGTH) throw new RangeError(`a Toeplitz key has 40 octets, not ${key.length}`);
    for (let at = 0; at < TOEPLITZ_INPUT_MAX; at++) {
      const row = at << 8;
      for (let bit = 0; bit < 8; bit++) this.#table[row | (0x80 >>> bit)] = window(key, at * 8 + bit);
      // Any other value is a smaller one with its lowest bit added.
      for (let value = 3; value < 256; value++) {
        const rest = value & (value - 1);
        if (rest !== 0) this.#table[row | value] = this.#table[row | rest]! ^ this.#table[row | (value ^ rest)]!;
      }
    }
  }

  /** The hash of bytes[at, end), at most 36 octets. */
  hash(bytes: Uint8Array, at: number, end: number): number {
    return this.#add(0, 0, bytes, at, end) >>> 0;
  }

  /**
   * The hash over the IP header at `ipAt`: both addresses, and both ports if `portsAt` is not −1. The caller decides by the hash
   * types in force and by fragmentation which of the two it is.
   */
  hashIp(bytes: Uint8Array, family: AddressFamily, ipAt: number, portsAt: number): number {
    const addresses = family === 4 ? ipAt + 12 : ipAt + 8;
    const length = family === 4 ? 8 : 32;
    const hash = this.#add(0, 0, bytes, addresses, addresses + length);
    return (portsAt < 0 ? hash : this.#add(hash, length, bytes, portsAt, portsAt + 4)) >>> 0;
  }

  #add(hash: number, place: number, bytes: Uint8Array, at: number, end: number): number {
    const table = this.#table;
    for (let row = place << 8; at < end; at++, row += 256) hash ^= table[row | u8(bytes, at)]!;
    return hash;
  }
}

/** Bits first … first+31 of the key. */
function window(key: Uint8Array, first: number): number {
  const at = first >>> 3;
  const shift = first & 7;
  const word = ((key[at]! << 24) | (key[at + 1]! << 16) | (key[at + 2]! << 8) | key[at + 3]!) >>> 0;
  return shift === 0 ? word : ((word << shift) | ((key[at + 4] ?? 0) >>> (8 - shift))) >>> 0;
}
