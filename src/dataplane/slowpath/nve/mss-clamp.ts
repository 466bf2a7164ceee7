/**
 * The MSS clamp: a SYN that announces longer segments than the way back can carry is made to announce less, so that connections fit
 * a path whose ICMP errors somebody filters. Not a part of NVGRE, and no Windows host does it; off unless a lab asks for it.
 *
 * The option tells the far end what to send, over a path that is taken to be as wide in both directions. SYN packets that announce nothing are
 * left alone: their peers keep to 536 octets, or 1220 for IPv6 (RFC 9293 §3.7.1).
 */
import type { ParsedFrame } from "../../packet/parse.js";
import { setU16, u16 } from "../../wire/bytes.js";
import { updateChecksum } from "../../wire/checksum.js";
import { IPV4_LENGTH, PROTOCOL_TCP } from "../../wire/ipv4.js";
import { IPV6_LENGTH } from "../../wire/ipv6.js";
import {
  checkTcp,
  TCP_CHECKSUM_OFFSET,
  TCP_LENGTH,
  TCP_OPTION_MSS,
  TCP_SYN,
  tcpChecksumAt,
  tcpFlagsAt,
  tcpOptions,
} from "../../wire/tcp.js";

/** The frame with the segment size that an IP packet of `mtu` octets has room for (RFC 6691 §2); null if it announces no more. */
export function clampMss(bytes: Uint8Array, { start, end, ip }: ParsedFrame, mtu: number): Uint8Array | null {
  if (ip?.protocol !== PROTOCOL_TCP || ip.fragment !== "none" || checkTcp(bytes, ip.transportAt, ip.end)) return null;
  const tcpAt = ip.transportAt;
  if ((tcpFlagsAt(bytes, tcpAt) & TCP_SYN) === 0) return null;
  const { options } = tcpOptions(bytes, tcpAt);
  const option = options.find(({ kind, length }) => kind === TCP_OPTION_MSS && length === 4);
  const fits = mtu - (ip.family === 4 ? IPV4_LENGTH : IPV6_LENGTH) - TCP_LENGTH;
  if (!option || fits <= 0 || u16(bytes, option.at + 2) <= fits) return null;

  const frame = bytes.slice(start, end);
  const [at, valueAt] = [tcpAt - start, option.at + 2 - start];
  const old = wordUnderChecksum(u16(frame, valueAt), valueAt - at);
  setU16(frame, valueAt, fits);
  const checksum = updateChecksum(tcpChecksumAt(frame, at), old, wordUnderChecksum(fits, valueAt - at));
  setU16(frame, at + TCP_CHECKSUM_OFFSET, checksum); // RFC 1624 §3
  return frame;
}

/** A value at an odd place lies in two words of the checksum, with its octets the other way round (RFC 1071 §2). */
const wordUnderChecksum = (value: number, offset: number): number =>
  offset % 2 === 0 ? value : ((value & 0xff) << 8) | (value >>> 8);
