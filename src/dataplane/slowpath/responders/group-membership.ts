/**
 * Group membership as a host of the provider network sees it (RFC 3376, RFC 3810, and their elders): what queriers and other hosts say,
 * and the frames in which a host says which groups it is in.
 */
import type { ParsedFrame, ParsedIp } from "../../packet/parse.js";
import { Address, type AddressFamily, isLinkLocal } from "../../wire/address.js";
import { parseAddress } from "../../wire/address-text.js";
import type { Mac } from "../../wire/bytes.js";
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, writeEthernet } from "../../wire/ethernet.js";
import {
  type GroupRecord,
  groupRecordLength,
  hasRouterAlert,
  IGMP_LEAVE,
  IGMP_V1_REPORT,
  IGMP_V2_REPORT,
  IPV4_ROUTER_ALERT,
  IPV6_ROUTER_ALERT,
  MEMBERSHIP_REPORT_HEAD,
  type MembershipQuery,
  MLD_DONE,
  MLD_QUERY,
  MLD_V1_REPORT,
  MLD_V2_REPORT,
  membershipLength,
  membershipReportLength,
  readMembershipQuery,
  reportedGroupAt,
  writeMembershipMessage,
  writeMembershipReport,
} from "../../wire/group-membership.js";
import { icmpChecksumIsRight, setIcmpChecksum } from "../../wire/icmp.js";
import { icmpv6ChecksumIsRight, icmpv6TypeAt, setIcmpv6Checksum } from "../../wire/icmpv6.js";
import { IPV4_LENGTH, PROTOCOL_HOP_BY_HOP, PROTOCOL_ICMPV6, PROTOCOL_IGMP, writeIpv4 } from "../../wire/ipv4.js";
import { IPV6_LENGTH, writeIpv6 } from "../../wire/ipv6.js";
import { groupMacOf } from "../../wire/mac.js";

export type MembershipMessage =
  | ({ readonly kind: "query" } & MembershipQuery)
  /** Version 1 or 2: another host is in the group, which spares our own report (RFC 2236 §3). */
  | { readonly kind: "report"; readonly group: Address };

/** Whole IGMP, or MLD. */
export function isMembershipMessage(bytes: Uint8Array, { ip }: ParsedFrame): boolean {
  if (ip === null || ip.fragment !== "none") return false;
  if (ip.family === 4) return ip.protocol === PROTOCOL_IGMP;
  return ip.protocol === PROTOCOL_ICMPV6 && ip.end > ip.transportAt && isMld(icmpv6TypeAt(bytes, ip.transportAt));
}

const isMld = (type: number): boolean => (type >= MLD_QUERY && type <= MLD_DONE) || type === MLD_V2_REPORT;

/** What the message in a frame says; null if it is nothing that hosts listen to, or if they must not. */
export function readMembershipMessage(bytes: Uint8Array, ip: ParsedIp): MembershipMessage | null {
  const { family, transportAt: at, end } = ip;
  if (!isWhole(bytes, ip)) return null;
  const group = reportedGroupAt(bytes, family, at, end);
  if (group) return { kind: "report", group };
  const query = readMembershipQuery(bytes, family, at, end);
  // RFC 3376 §9.1: without the option a query may come from afar. Version 1 has none.
  if (!query || (query.version > 1 && !hasRouterAlert(bytes, family, ip.at))) return null;
  return { kind: "query", ...query };
}

/** RFC 3810 §6.2: MLD comes from a link-local address and has a hop limit of one. */
function isWhole(bytes: Uint8Array, ip: ParsedIp): boolean {
  const { at, transportAt, end } = ip;
  if (ip.family === 4) return icmpChecksumIsRight(bytes, transportAt, end);
  return ip.ttl === 1 && isLinkLocal(ip.source) && icmpv6ChecksumIsRight(bytes, at, transportAt, end);
}

/** Who reports: a provider address, and the MAC that its frames come from. */
export interface Reporter {
  readonly address: Address;
  readonly mac: Mac;
}

/** Reports of version 3, as many as these records need where no IP packet is longer than `mtu` (RFC 3376 §4.2.16). */
export function membershipReports(from: Reporter, records: readonly GroupRecord[], mtu: number): Uint8Array[] {
  const { family } = from.address;
  const room = mtu - headerLength(family) - MEMBERSHIP_REPORT_HEAD;
  const reports: GroupRecord[][] = [];
  let left = 0;
  for (const record of records) {
    const length = groupRecordLength(record);
    if (length > left) {
      reports.push([]);
      left = room;
    }
    reports.at(-1)!.push(record);
    left -= length;
  }
  return reports.map((part) =>
    framed(from, V3_ROUTERS[family], membershipReportLength(part), (frame, at) =>
      writeMembershipReport(frame, at, family, part),
    ),
  );
}

/** A report of version 1 or 2: "I am in this group", to the group. */
export const olderReport = (from: Reporter, group: Address, version: 1 | 2): Uint8Array =>
  framed(from, group, membershipLength(group.family), (frame, at) =>
    writeMembershipMessage(frame, at, group.family === 6 ? MLD_V1_REPORT : OLDER_REPORT[version], group),
  );

/** Version 2: "I leave this group", to all routers (RFC 2236 §3, RFC 2710 §4). */
export const leaveMessage = (from: Reporter, group: Address): Uint8Array =>
  framed(from, ALL_ROUTERS[group.family], membershipLength(group.family), (frame, at) =>
    writeMembershipMessage(frame, at, group.family === 6 ? MLD_DONE : IGMP_LEAVE, group),
  );

const OLDER_REPORT = { 1: IGMP_V1_REPORT, 2: IGMP_V2_REPORT } as const;
const V3_ROUTERS = { 4: parseAddress("224.0.0.22")!, 6: parseAddress("ff02::16")! } as const;
const ALL_ROUTERS = { 4: parseAddress("224.0.0.2")!, 6: parseAddress("ff02::2")! } as const;
/** DSCP CS6, Internetwork Control (RFC 3376 §4). */
const TOS = 0xc0;

/** The IP header with its option. */
const headerLength = (family: AddressFamily): number =>
  family === 4 ? IPV4_LENGTH + IPV4_ROUTER_ALERT.length : IPV6_LENGTH + IPV6_ROUTER_ALERT.length;

/** The frame around a message of `length` octets: one hop, router alert, checksum. */
function framed(
  { address, mac }: Reporter,
  destination: Address,
  length: number,
  write: (frame: Uint8Array, at: number) => void,
): Uint8Array {
  const { family } = address;
  const ipAt = ETHERNET_LENGTH;
  const at = ipAt + headerLength(family);
  const end = at + length;
  const frame = new Uint8Array(end);
  writeEthernet(frame, 0, groupMacOf(destination), mac, family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
  write(frame, at);
  if (family === 4) {
    writeIpv4(frame, ipAt, {
      source: address,
      destination,
      protocol: PROTOCOL_IGMP,
      ttl: 1,
      payloadLength: length,
      tos: TOS,
      dontFragment: true,
      options: IPV4_ROUTER_ALERT,
    });
    setIcmpChecksum(frame, at, end);
    return frame;
  }
  const source = isLinkLocal(address) ? address : linkLocalOf(mac);
  const payloadLength = IPV6_ROUTER_ALERT.length + length;
  writeIpv6(frame, ipAt, { source, destination, nextHeader: PROTOCOL_HOP_BY_HOP, hopLimit: 1, payloadLength });
  frame.set(IPV6_ROUTER_ALERT, ipAt + IPV6_LENGTH);
  setIcmpv6Checksum(frame, ipAt, at, end);
  return frame;
}

/** The address that an interface gives itself (RFC 4291 §2.5.6 and appendix A): routers heed reports from no other kind (RFC 3810 §5.2.13). */
function linkLocalOf(mac: Mac): Address {
  const [high, low] = [Math.floor(mac / 0x100_0000), mac % 0x100_0000];
  const w2 = (((high ^ 0x02_0000) << 8) | 0xff) >>> 0;
  return new Address(6, 0xfe80_0000, 0, w2, (0xfe00_0000 | low) >>> 0);
}
