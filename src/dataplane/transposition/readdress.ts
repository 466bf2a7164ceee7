/**
 * New IP addresses and ports in a packet, the plain way: write them, and let each checksum follow by what it covers (RFC 1624 §3). A step of
 * `apply.ts`, and what is done to packets that error messages quote.
 */
import type { ParsedIp } from "../packet/parse.js";
import { setU16, u16 } from "../wire/bytes.js";
import { checksumSum, pseudoHeaderSum, updateChecksumOfPart } from "../wire/checksum.js";
import { hasFlowPorts } from "../wire/entropy.js";
import { setIpv4Addresses } from "../wire/ipv4.js";
import { setIpv6Addresses } from "../wire/ipv6.js";
import { ICMP_IDENTIFIER, type TransportChecksum, transportChecksumOf } from "../wire/transport.js";
import type { AddressRewrite } from "./transposition.js";

/**
 * Writes the new addresses and ports over those of the packet `ip` in `frame`. Behind a header that is cut short, as error messages quote
 * them, only the addresses are new. Throws when the rewrite cannot be meant for this packet.
 */
export function readdress(frame: Uint8Array, ip: ParsedIp, rewrite: AddressRewrite): void {
  const source = rewrite.source ?? ip.source;
  const destination = rewrite.destination ?? ip.destination;
  must(source.family === ip.family && destination.family === ip.family, "addresses of the packet's family");
  const transport = transportOf(ip, rewrite);
  const before = transport && coveredSum(frame, ip, transport);
  if (ip.family === 4) setIpv4Addresses(frame, ip.at, source, destination);
  else setIpv6Addresses(frame, ip.at, source, destination);
  if (transport === null) return;

  const { checksumAt, from, checksum } = transport;
  if (rewrite.identifier !== undefined) setU16(frame, from, rewrite.identifier);
  if (rewrite.sourcePort !== undefined) setU16(frame, from, rewrite.sourcePort);
  if (rewrite.destinationPort !== undefined) setU16(frame, from + 2, rewrite.destinationPort);
  const old = u16(frame, checksumAt);
  if (old === 0 && checksum.zeroIsNone) return;
  const updated = updateChecksumOfPart(old, before!, coveredSum(frame, ip, transport));
  setU16(frame, checksumAt, updated === 0 && checksum.zeroIsNone ? 0xffff : updated);
}

/** The checksum of a packet's transport, and the part [from, to) of that header where ports or identifier change. */
interface Transport {
  readonly checksum: TransportChecksum;
  readonly checksumAt: number;
  readonly from: number;
  readonly to: number;
}

/** Null if the packet shows none: of another protocol, not the first fragment, or cut short. */
function transportOf(ip: ParsedIp, rewrite: AddressRewrite): Transport | null {
  const checksum = transportChecksumOf(ip.family, ip.protocol);
  if (!checksum || ip.fragment === "later") return null;
  const { transportAt } = ip;
  const hasPorts = hasFlowPorts(ip.protocol);
  must(!hasPorts || rewrite.identifier === undefined, "an identifier is ICMP's");
  must(hasPorts || (rewrite.sourcePort ?? rewrite.destinationPort) === undefined, "ports are TCP's and UDP's");
  const from = transportAt + (hasPorts ? 0 : ICMP_IDENTIFIER);
  const to = from + (hasPorts ? 4 : rewrite.identifier === undefined ? 0 : 2);
  const checksumAt = transportAt + checksum.offset;
  const isWhole = checksumAt + 2 <= ip.end && (to === from || to <= ip.end);
  return isWhole ? { checksum, checksumAt, from, to } : null;
}

/** Of what the checksum covers, the sum of all that may change. */
const coveredSum = (frame: Uint8Array, ip: ParsedIp, { checksum, from, to }: Transport): number =>
  checksumSum(frame, from, to, checksum.coversAddresses ? pseudoHeaderSum(frame, ip.at, ip.protocol, 0) : 0);

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`transposition: ${what}`);
}
