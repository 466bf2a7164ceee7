/**
 * What TCP, UDP and ICMP have in common for whoever changes IP addresses and ports under them: where their ports are, and where the
 * checksum that covers these.
 *
 *                0       2       4       6       8              16      18
 *     TCP        |source |dest.  |       |       |     …        | check |
 *     UDP        |source |dest.  |length | check |      zero: none (RFC 768)
 *     ICMP       |typ|cod| check | id.   |              identifier: of echo messages; the checksum covers no addresses
 *     ICMPv6     |typ|cod| check | id.   |
 */
import type { AddressFamily } from "./address.js";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from "./ipv4.js";

export interface TransportChecksum {
  /** Where it lies, from the beginning of the transport header. */
  readonly offset: number;
  /** Does it cover a pseudo header, and with it the IP addresses? */
  readonly coversAddresses: boolean;
  /** Zero says that there is none, so a checksum that comes out as zero is sent as 0xffff (RFC 768). */
  readonly zeroIsNone: boolean;
}

const TCP: TransportChecksum = { offset: 16, coversAddresses: true, zeroIsNone: false };
const UDP: TransportChecksum = { offset: 6, coversAddresses: true, zeroIsNone: true };
const ICMP: TransportChecksum = { offset: 2, coversAddresses: false, zeroIsNone: false };
const ICMPV6: TransportChecksum = { offset: 2, coversAddresses: true, zeroIsNone: false };

/** Where ICMP echo has its identifier; it ends two octets behind. */
export const ICMP_IDENTIFIER = 4;

/** Of TCP, UDP and the family's own ICMP; undefined for all others. */
export function transportChecksumOf(family: AddressFamily, protocol: number): TransportChecksum | undefined {
  if (protocol === PROTOCOL_TCP) return TCP;
  if (protocol === PROTOCOL_UDP) return UDP;
  if (family === 4) return protocol === PROTOCOL_ICMP ? ICMP : undefined;
  return protocol === PROTOCOL_ICMPV6 ? ICMPV6 : undefined;
}
