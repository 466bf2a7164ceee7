/**
 * Checksums that a veth device's other end left to hardware which does not exist: the field of TCP or UDP holds the sum of the
 * pseudo header. The kernel knows it of each skb, but XDP is not told, so it is read off the frame: a checksum that is wrong and
 * equal to that sum is a partial one. A frame that was damaged on its way has a chance of 1 in 65,536 to look like that.
 */
import {
  checksumOfSum,
  checksumSum,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  foldSum,
  IPV4_LENGTH,
  IPV6_LENGTH,
  isTpid,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  pseudoHeaderSum,
  setU16,
  u8,
  u16,
  VLAN_TAG_LENGTH,
  VLAN_TAG_OFFSET,
} from "../../../dataplane/wire/index.js";

const FRAGMENT_BITS = 0x3fff;
const CHECKSUM_AT = { [PROTOCOL_TCP]: 16, [PROTOCOL_UDP]: 6 } as const;

/** Completes the checksum of the frame if it is partial. */
export function completePartialChecksum(bytes: Uint8Array, at: number, length: number): void {
  let type = at + VLAN_TAG_OFFSET;
  const end = at + length;
  while (type + VLAN_TAG_LENGTH + 2 <= end && isTpid(u16(bytes, type))) type += VLAN_TAG_LENGTH;
  const ip = type + 2;
  if (ip + IPV4_LENGTH > end) return;
  if (u16(bytes, type) === ETHERTYPE_IPV4) {
    if ((u16(bytes, ip + 6) & FRAGMENT_BITS) !== 0) return;
    const headerLength = (u8(bytes, ip) & 0x0f) * 4;
    complete(bytes, ip, ip + headerLength, u8(bytes, ip + 9), u16(bytes, ip + 2) - headerLength, end);
  } else if (u16(bytes, type) === ETHERTYPE_IPV6 && ip + IPV6_LENGTH <= end) {
    complete(bytes, ip, ip + IPV6_LENGTH, u8(bytes, ip + 6), u16(bytes, ip + 4), end);
  }
}

function complete(
  bytes: Uint8Array,
  ip: number,
  transport: number,
  protocol: number,
  length: number,
  end: number,
): void {
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return;
  const field = transport + CHECKSUM_AT[protocol];
  if (field + 2 > transport + length || transport + length > end) return;
  const pseudo = foldSum(pseudoHeaderSum(bytes, ip, protocol, length));
  if (u16(bytes, field) !== pseudo) return;
  const sum = checksumSum(bytes, transport, transport + length);
  if (foldSum(sum + pseudo) === 0xffff) return; // right as it is
  setU16(bytes, field, checksumOfSum(sum) || 0xffff);
}
