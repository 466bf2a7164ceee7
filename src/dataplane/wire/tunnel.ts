/**
 * Tunnels that a frame may come through, as far as whoever cuts it must find their headers: IP in IP (RFC 2003, RFC 2473), GRE
 * (RFC 2784), and over UDP VXLAN (RFC 7348) and Geneve (RFC 8926).
 *
 *     Ethernet │ IP │ GRE            │ Ethernet │ IP │ TCP …
 *     Ethernet │ IP │ UDP │ VXLAN    │ Ethernet │ IP │ TCP …
 */
import { u8 } from "./bytes.js";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_TEB } from "./ethernet.js";
import {
  checkGre,
  GRE_CHECKSUM_PRESENT,
  GRE_SEQUENCE_PRESENT,
  greFlagsAt,
  greHeaderLength,
  greProtocolAt,
} from "./gre.js";
import { IPV4_LENGTH, PROTOCOL_GRE, PROTOCOL_UDP } from "./ipv4.js";
import { IPV6_LENGTH, walkIpv6Extensions } from "./ipv6.js";
import { UDP_LENGTH, udpDestinationPortAt } from "./udp.js";
import { networkOffset } from "./vlan.js";

const PROTOCOL_IPV4 = 4;
const PROTOCOL_IPV6 = 41;
const VXLAN_LENGTH = 8;
const GENEVE_LENGTH = 8;
const GENEVE_PORT = 6081;
/** Of a Geneve header: octets of options, in fours. */
const GENEVE_OPTIONS_BITS = 0x3f;

/** Where the header behind an IP header begins, and of which protocol it is. Null if no whole IP header is there. */
export function behindIp(frame: Uint8Array, ip: number, end: number): { protocol: number; at: number } | null {
  if (end - ip < IPV4_LENGTH) return null;
  const version = u8(frame, ip) >>> 4;
  if (version === 4) return { protocol: u8(frame, ip + 9), at: ip + (u8(frame, ip) & 0x0f) * 4 };
  if (version !== 6 || end - ip < IPV6_LENGTH) return null;
  const { protocol, transportAt } = walkIpv6Extensions(frame, ip, end);
  return { protocol, at: transportAt };
}

/**
 * Where the next IP header begins in the tunnel whose header is at `at`. Null if it is no tunnel, or one whose packets cannot be cut by their
 * lengths: GRE with a checksum or sequence numbers. Any port of UDP but Geneve's is taken for VXLAN's, which has several.
 */
export function ipInsideTunnel(frame: Uint8Array, protocol: number, at: number, end: number): number | null {
  if (protocol === PROTOCOL_IPV4 || protocol === PROTOCOL_IPV6) return at;
  if (protocol === PROTOCOL_GRE) {
    const flags = end - at < 2 ? 0 : greFlagsAt(frame, at);
    if (checkGre(frame, at, end) !== 0 || (flags & (GRE_CHECKSUM_PRESENT | GRE_SEQUENCE_PRESENT)) !== 0) return null;
    const inside = at + greHeaderLength(flags);
    const type = greProtocolAt(frame, at);
    if (type === ETHERTYPE_TEB) return inside + networkOffset(frame, inside, end - inside);
    return type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6 ? inside : null;
  }
  if (protocol !== PROTOCOL_UDP || end - at < UDP_LENGTH + VXLAN_LENGTH) return null;
  const header = at + UDP_LENGTH;
  const isGeneve = udpDestinationPortAt(frame, at) === GENEVE_PORT;
  const length = isGeneve ? GENEVE_LENGTH + (u8(frame, header) & GENEVE_OPTIONS_BITS) * 4 : VXLAN_LENGTH;
  return header + length + networkOffset(frame, header + length, end - header - length);
}
