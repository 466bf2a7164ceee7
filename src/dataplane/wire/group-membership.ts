/**
 * IGMP (RFC 1112, RFC 2236, RFC 3376) and MLD (RFC 2710, RFC 3810): which groups a host wants. One protocol in two dresses: an IP protocol
 * of its own under IPv4, messages of ICMPv6 under IPv6. MLD 1 is IGMP 2, and MLD 2 is IGMP 3; versions here are IGMP's.
 *
 *     octets         IGMP: 4              4            MLD: 8                       16
 *                    +------+-----+-------+-------+    +------+---+-------+-----+---+-------+
 *     1, 2           | type | max | check | group |    | type | 0 | check | max | 0 | group |     queries, reports, leaves
 *     3, query       |                    …       |    |                  …                 | S, QRV | QQIC | N | N sources |
 *                    +------+-----+-------+-------+    +------+---+-------+-----+---+-------+
 *     3, report      | type |  0  | check | 0 | M | M records        (in both)
 *                    +------+-----+-------+---+---+
 *     record         | type | aux | N | group | N sources |
 *
 * All of them travel one hop, and say so to routers by an option that makes them look (RFC 2113, RFC 2711).
 */
import { type Address, type AddressFamily, addressAt, addressLength, isUnspecified, writeAddress } from "./address.js";
import { setU8, setU16, setU32, u8, u16 } from "./bytes.js";
import { ipv4Options, PROTOCOL_HOP_BY_HOP, PROTOCOL_ICMPV6 } from "./ipv4.js";
import { IPV6_LENGTH, ipv6NextHeaderAt } from "./ipv6.js";

/** IGMP's; of MLD there are 2 and 3 only. */
export type MembershipVersion = 1 | 2 | 3;

export const IGMP_QUERY = 0x11;
export const IGMP_V1_REPORT = 0x12;
export const IGMP_V2_REPORT = 0x16;
export const IGMP_LEAVE = 0x17;
export const IGMP_V3_REPORT = 0x22;
export const MLD_QUERY = 130;
export const MLD_V1_REPORT = 131;
export const MLD_DONE = 132;
export const MLD_V2_REPORT = 143;

/** What a record of a report says about its group (RFC 3376 §4.2.12). */
export const GROUP_RECORD = { isInclude: 1, isExclude: 2, toInclude: 3, toExclude: 4 } as const;
export type GroupRecordType = (typeof GROUP_RECORD)[keyof typeof GROUP_RECORD];

export interface GroupRecord {
  readonly type: GroupRecordType;
  readonly group: Address;
  readonly sources: readonly Address[];
}

/** RFC 2113 §2.1: copied into fragments, and zero for "examine". */
export const IPV4_ROUTER_ALERT = Uint8Array.of(0x94, 4, 0, 0);
/** A whole hop-by-hop options header: the option for MLD (RFC 2711 §2.1) and two octets of padding. */
export const IPV6_ROUTER_ALERT = Uint8Array.of(PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0);
const IPV6_OPTION_ROUTER_ALERT = 5;
const IPV6_OPTION_PAD1 = 0;

const RECORD_COUNT = 6;
const RECORDS = 8;
/** Of a record: where its group begins. */
const RECORD_GROUP = 4;
/** Of versions 1 and 2: where the group begins. */
const groupOffset = (family: AddressFamily): number => (family === 4 ? 4 : 8);
/** Octets of a message of versions 1 and 2: 8 and 24. */
export const membershipLength = (family: AddressFamily): number => groupOffset(family) + addressLength(family);

export interface MembershipQuery {
  readonly version: MembershipVersion;
  /** Answers are spread over this time. */
  readonly maxResponseMs: number;
  /** null: about all groups. */
  readonly group: Address | null;
  /** Version 3: about these sources of the group only; none: about the group. */
  readonly sources: readonly Address[];
}

/** What the query in [at, end) asks; null for another message, and for lengths of no version (RFC 3376 §7.1, RFC 3810 §8.1). */
export function readMembershipQuery(
  frame: Uint8Array,
  family: AddressFamily,
  at: number,
  end: number,
): MembershipQuery | null {
  const fixed = membershipLength(family);
  const length = end - at;
  if (length < fixed || u8(frame, at) !== (family === 4 ? IGMP_QUERY : MLD_QUERY)) return null;
  const address = addressAt(family, frame, at + groupOffset(family));
  const group = isUnspecified(address) ? null : address;
  if (length === fixed) {
    const { version, maxResponseMs } = olderTimes(frame, family, at);
    return { version, maxResponseMs, group, sources: [] };
  }
  const sourcesAt = at + fixed + 4;
  const count = length < fixed + 4 ? Number.POSITIVE_INFINITY : u16(frame, sourcesAt - 2);
  if (end - sourcesAt < count * addressLength(family)) return null;
  const sources = Array.from({ length: count }, (_, n) =>
    addressAt(family, frame, sourcesAt + n * addressLength(family)),
  );
  const maxResponseMs = family === 4 ? 100 * expanded(u8(frame, at + 1), 4) : expanded(u16(frame, at + 4), 12);
  return { version: 3, maxResponseMs, group, sources };
}

/** IGMP counts in tenths of a second, 0 in version 1, which gives ten seconds (RFC 2236 §4); MLD in milliseconds (RFC 2710 §3.4). */
function olderTimes(frame: Uint8Array, family: AddressFamily, at: number): Omit<MembershipQuery, "group" | "sources"> {
  if (family === 6) return { version: 2, maxResponseMs: u16(frame, at + 4) };
  const tenths = u8(frame, at + 1);
  return tenths === 0 ? { version: 1, maxResponseMs: 10_000 } : { version: 2, maxResponseMs: 100 * tenths };
}

/** RFC 3376 §4.1.1, RFC 3810 §5.1.3: with the first bit set, three bits of exponent and the rest of a mantissa without its leading one. */
function expanded(code: number, mantissaBits: number): number {
  const first = 1 << (mantissaBits + 3);
  if (code < first) return code;
  const exponent = (code >>> mantissaBits) & 7;
  return ((code & ((1 << mantissaBits) - 1)) | (1 << mantissaBits)) << (exponent + 3);
}

/** The group of a report of version 1 or 2; null for another message. */
export function reportedGroupAt(frame: Uint8Array, family: AddressFamily, at: number, end: number): Address | null {
  if (end - at < membershipLength(family)) return null;
  const type = u8(frame, at);
  const isReport = family === 4 ? type === IGMP_V1_REPORT || type === IGMP_V2_REPORT : type === MLD_V1_REPORT;
  return isReport ? addressAt(family, frame, at + groupOffset(family)) : null;
}

/** Writes a report of version 1 or 2, or a leave; its checksum is zero: IGMP's lies and counts as that of ICMP (`setIcmpChecksum`), MLD's is that of ICMPv6. */
export function writeMembershipMessage(frame: Uint8Array, at: number, type: number, group: Address): void {
  frame.fill(0, at, at + groupOffset(group.family));
  setU8(frame, at, type);
  writeAddress(frame, at + groupOffset(group.family), group);
}

/** Octets of a report of version 3 with these records. */
export const membershipReportLength = (records: readonly GroupRecord[]): number =>
  records.reduce((length, record) => length + groupRecordLength(record), RECORDS);
export const groupRecordLength = ({ group, sources }: GroupRecord): number =>
  RECORD_GROUP + (1 + sources.length) * addressLength(group.family);
/** Octets of a report of version 3 before its records. */
export const MEMBERSHIP_REPORT_HEAD = RECORDS;

/** Writes a report of version 3, its checksum zero. */
export function writeMembershipReport(
  frame: Uint8Array,
  at: number,
  family: AddressFamily,
  records: readonly GroupRecord[],
): void {
  setU32(frame, at, 0);
  setU32(frame, at + 4, 0);
  setU8(frame, at, family === 4 ? IGMP_V3_REPORT : MLD_V2_REPORT);
  setU16(frame, at + RECORD_COUNT, records.length);
  let cursor = at + RECORDS;
  for (const { type, group, sources } of records) {
    setU16(frame, cursor, type << 8); // no auxiliary data (RFC 3376 §4.2.6)
    setU16(frame, cursor + 2, sources.length);
    cursor += RECORD_GROUP;
    for (const address of [group, ...sources]) {
      writeAddress(frame, cursor, address);
      cursor += addressLength(family);
    }
  }
}

/** Does the checked packet whose IP header begins at `ipAt` bear the router alert option? */
export function hasRouterAlert(frame: Uint8Array, family: AddressFamily, ipAt: number): boolean {
  if (family === 4) return ipv4Options(frame, ipAt).options.some(({ type }) => type === IPV4_ROUTER_ALERT[0]);
  if (ipv6NextHeaderAt(frame, ipAt) !== PROTOCOL_HOP_BY_HOP) return false;
  const at = ipAt + IPV6_LENGTH;
  const end = at + (u8(frame, at + 1) + 1) * 8;
  for (let option = at + 2; option < end; ) {
    const type = u8(frame, option);
    if (type === IPV6_OPTION_ROUTER_ALERT) return true;
    option += type === IPV6_OPTION_PAD1 || option + 1 === end ? 1 : 2 + u8(frame, option + 1);
  }
  return false;
}
