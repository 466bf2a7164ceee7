/**
 * Checksum offload: a VM whose adapter has it leaves TCP and UDP checksums unfinished, with the sum of the pseudo header in the field, and
 * what carries the packet on wire adds the rest, over the inner pseudo header (NDIS: TransmitChecksumOffloadSupported). It has to be
 * done before anything is cut, and it is in no flow key: packets of such adapters are decided one by one.
 */
import type { ParsedFrame, ParsedIp } from "../../packet/parse.js";
import { setU16, u16 } from "../../wire/bytes.js";
import { checksum, checksumIsRight, foldSum, pseudoHeaderSum } from "../../wire/checksum.js";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../wire/ipv4.js";
import { checkTcp, TCP_CHECKSUM_OFFSET } from "../../wire/tcp.js";
import { checkUdp, UDP_CHECKSUM_OFFSET } from "../../wire/udp.js";

/** The frame with its checksum finished; null if it is no such packet, or if its checksum holds something else. */
export function finishChecksum(bytes: Uint8Array, { start, end, ip }: ParsedFrame): Uint8Array | null {
  const offset = ip && checksumOffset(bytes, ip);
  if (!ip || offset === null) return null;
  const { at, transportAt } = ip;
  const pseudo = pseudoHeaderSum(bytes, at, ip.protocol, ip.end - transportAt);
  if (u16(bytes, transportAt + offset) !== foldSum(pseudo)) return null;
  if (checksumIsRight(bytes, transportAt, ip.end, pseudo)) return null; // the rest adds up to nothing
  const frame = bytes.slice(start, end);
  // The field holds what the pseudo header adds. A sum of zero is sent as all ones: zero means "none" in UDP (RFC 768).
  setU16(frame, transportAt - start + offset, checksum(frame, transportAt - start, ip.end - start) || 0xffff);
  return frame;
}

function checksumOffset(bytes: Uint8Array, { protocol, fragment, transportAt, end }: ParsedIp): number | null {
  if (fragment !== "none") return null;
  if (protocol === PROTOCOL_TCP) return checkTcp(bytes, transportAt, end) ? null : TCP_CHECKSUM_OFFSET;
  return protocol === PROTOCOL_UDP && !checkUdp(bytes, transportAt, end) ? UDP_CHECKSUM_OFFSET : null;
}
