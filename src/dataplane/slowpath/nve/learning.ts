/**
 * Learning customer addresses (docs/decisions/0019-learning.md): what packets teach about VMs of which only the MAC address is on record.
 *
 *     ARP with a sender address, neighbor solicitations and advertisements  ─┐ of a VM of this host
 *     a packet's source address (`learnFromTraffic`)                         ─┤
 *     a DHCP ACK, a DHCPv6 Reply                                             ─┘ to a VM of this host
 *     a DHCP or DHCPv6 RELEASE, or DECLINE                                      of a VM of this host: it does not have the address any more
 *     ARP and neighbor discovery that another host floods (`learnFromFloods`)   of a VM of that host
 *
 * Only a VM with an L2Only record teaches anything. Layers raise the lesson; `LearnedAddresses` takes it or refuses it between two ticks.
 */
import { Reason } from "../../drop-reasons.js";
import type { ParsedIp } from "../../packet/parse.js";
import type { LookupRecord } from "../../policy/policy.js";
import { portStamp, providerStamp } from "../../policy/stamps.js";
import { type Address, isLinkLocal, isUnicast, sameAddress } from "../../wire/address.js";
import type { Mac } from "../../wire/bytes.js";
import {
  BOOTP_REPLY,
  BOOTP_REQUEST,
  checkDhcp,
  DHCP_ACK,
  DHCP_CLIENT_PORT,
  DHCP_DECLINE,
  DHCP_RELEASE,
  DHCP_SERVER_PORT,
  dhcpClientAddressAt,
  dhcpClientMacAt,
  dhcpMessageType,
  dhcpOpAt,
  dhcpRequestedAddress,
  dhcpYourAddressAt,
  isDhcpRelayed,
} from "../../wire/dhcp.js";
import {
  checkDhcpv6,
  DHCPV6_CLIENT_PORT,
  DHCPV6_DECLINE,
  DHCPV6_RELEASE,
  DHCPV6_REPLY,
  DHCPV6_SERVER_PORT,
  dhcpv6LeasedAddresses,
  dhcpv6NamedAddresses,
  dhcpv6TypeAt,
} from "../../wire/dhcpv6.js";
import { PROTOCOL_UDP } from "../../wire/ipv4.js";
import { isGroupMac } from "../../wire/mac.js";
import { checkUdp, UDP_LENGTH, udpChecksumAt, udpChecksumIsRight, udpLengthAt } from "../../wire/udp.js";
import { ongoingFrame } from "../evaluate.js";
import type { LayerContext, PacketView } from "../layer.js";
import type { Claims } from "../responders/message.js";
import type { LearningEffect } from "./learned-addresses.js";
import { type Lesson, refusalOf, teachingRecord } from "./lesson.js";
import type { NveSnapshot } from "./snapshot.js";

/** ARP or neighbor discovery from a VM of this host, which says what its addresses are. */
export function learnFromClaims(
  snapshot: NveSnapshot,
  packet: PacketView,
  claims: Claims,
  context: LayerContext,
): void {
  const { vsid, sourceMac } = packet.plan;
  if (claims.mac !== sourceMac) return;
  for (const address of claims.addresses) {
    raise(snapshot, { vsid, address, mac: sourceMac, port: packet.ingress, by: "claim" }, null, context);
  }
}

/**
 * A packet from a VM of this host, which has passed the source policy by `record`. A watched VM has shown that it is alive; an unknown
 * source address is learnt where `learnFromTraffic` says so. What would be refused is not raised, since that would keep the whole flow from
 * being cached.
 */
export function learnFromTraffic(
  snapshot: NveSnapshot,
  packet: PacketView,
  record: LookupRecord,
  context: LayerContext,
): void {
  const { policy, ports, state } = snapshot;
  const { vsid, sourceMac } = packet.plan;
  const address = packet.parsed.ip!.source;
  const lesson = { vsid, address, mac: sourceMac, port: packet.ingress, by: "traffic" } as const;
  if (record.type === "Dynamic") {
    if (state.learned.isWatched(vsid, address)) raise(snapshot, lesson, null, context);
    return;
  }
  if (record.type !== "L2Only" || !policy.settings.learnFromTraffic) return;
  if (policy.lookupRecords.find(vsid, address) !== undefined) return; // another VM's, until this one says otherwise
  if (refusalOf(policy, { ...lesson, providerAddress: record.providerAddress }) !== undefined) return;
  if (state.learned.hasRoom(packet.ingress, policy, ports)) raise(snapshot, lesson, null, context);
  else {
    context.consulted(portStamp(packet.ingress));
    context.consulted(providerStamp(context.node));
  }
}

/** ARP or neighbor discovery that another host has flooded for one of its VMs, where `learnFromFloods` says so. */
export function learnFromFlood(snapshot: NveSnapshot, packet: PacketView, claims: Claims, context: LayerContext): void {
  const { vsid, sourceMac: mac } = packet.plan;
  if (claims.mac !== mac) return;
  for (const address of claims.addresses) {
    raise(snapshot, { vsid, address, mac, port: null, by: "flood" }, packet.parsed.ip!.source, context);
  }
}

/**
 * A packet that is being delivered to adapters of this host: if it is a DHCP server's, it is decided alone, for what it says is in no flow key;
 * and if it gives an address to the VM that it goes to, that is learnt.
 */
export function learnFromDelivery(snapshot: NveSnapshot, packet: PacketView, context: LayerContext): void {
  const frame = ongoingFrame(packet);
  const { ip } = frame;
  if (!ip || !isToDhcpClient(ip) || !learns(snapshot)) return;
  context.doNotCache();
  const { vsid, destinationMac } = packet.plan;
  const lease = readLease(packet.bytes, ip);
  const mac = isGroupMac(destinationMac) ? lease?.mac : destinationMac;
  if (!lease || mac === undefined || mac === null || (lease.mac ?? mac) !== mac) return;
  const port = snapshot.ports.portOf(vsid, mac);
  if (port === undefined || port === packet.ingress) return;
  for (const address of lease.addresses) raise(snapshot, { vsid, address, mac, port, by: "lease" }, null, context);
}

/**
 * A packet from a VM of this host, which is not vouched for by a Static record: if it goes to a DHCP server, it is decided alone; and
 * if it gives addresses up, they are forgotten.
 */
export function forgetWhatIsGivenUp(snapshot: NveSnapshot, packet: PacketView, context: LayerContext): void {
  const ip = packet.parsed.ip!;
  if (!isToDhcpServer(ip) || !learns(snapshot)) return;
  context.doNotCache();
  const { vsid, sourceMac: mac } = packet.plan;
  for (const address of readGivenUp(packet.bytes, ip, mac)) {
    const isIts = snapshot.policy.lookupRecords.find(vsid, address)?.macAddress === mac;
    if (isIts) context.raise<LearningEffect>({ kind: "addressGivenUp", vsid, address, mac, port: packet.ingress });
  }
}

const isToDhcpServer = ({ family, protocol, ports }: ParsedIp): boolean =>
  protocol === PROTOCOL_UDP &&
  (family === 4
    ? ports?.source === DHCP_CLIENT_PORT && ports.destination === DHCP_SERVER_PORT
    : ports?.source === DHCPV6_CLIENT_PORT && ports.destination === DHCPV6_SERVER_PORT);

/** The addresses that the client with this MAC gives up in a RELEASE, or will not have in a DECLINE. */
function readGivenUp(bytes: Uint8Array, ip: ParsedIp, client: Mac): readonly Address[] {
  const message = dhcpMessageIn(bytes, ip);
  if (!message) return [];
  const { at, end } = message;
  if (ip.family === 6) {
    const type = dhcpv6TypeAt(bytes, at);
    return type === DHCPV6_RELEASE || type === DHCPV6_DECLINE ? dhcpv6NamedAddresses(bytes, at, end) : [];
  }
  if (dhcpOpAt(bytes, at) !== BOOTP_REQUEST || dhcpClientMacAt(bytes, at) !== client) return [];
  const type = dhcpMessageType(bytes, at, end);
  if (type === DHCP_RELEASE) return [dhcpClientAddressAt(bytes, at)];
  const declined = type === DHCP_DECLINE ? dhcpRequestedAddress(bytes, at, end) : undefined;
  return declined ? [declined] : [];
}

const isToDhcpClient = ({ family, protocol, ports }: ParsedIp): boolean =>
  protocol === PROTOCOL_UDP &&
  (family === 4
    ? ports?.source === DHCP_SERVER_PORT && ports.destination === DHCP_CLIENT_PORT
    : ports?.source === DHCPV6_SERVER_PORT && ports.destination === DHCPV6_CLIENT_PORT);

/** What a server gives in an ACK or a Reply; `mac` is null where the message does not say for which adapter. */
interface Lease {
  readonly mac: Mac | null;
  readonly addresses: readonly Address[];
}

/** The lease in a packet from a server's to a client's port. Undefined if it gives none, or is one that the client may not believe. */
function readLease(bytes: Uint8Array, ip: ParsedIp): Lease | undefined {
  const message = dhcpMessageIn(bytes, ip);
  if (!message) return undefined;
  const { at, end } = message;
  if (ip.family === 6) {
    if (dhcpv6TypeAt(bytes, at) !== DHCPV6_REPLY) return undefined;
    return { mac: null, addresses: dhcpv6LeasedAddresses(bytes, at, end) };
  }
  if (dhcpOpAt(bytes, at) !== BOOTP_REPLY || dhcpMessageType(bytes, at, end) !== DHCP_ACK) return undefined;
  return { mac: dhcpClientMacAt(bytes, at), addresses: [dhcpYourAddressAt(bytes, at)] };
}

/** The message [at, end) in UDP between a client and a server, without a relay agent; undefined if it is malformed or its checksum wrong. */
function dhcpMessageIn(bytes: Uint8Array, ip: ParsedIp): { readonly at: number; readonly end: number } | undefined {
  const { transportAt: udpAt, family } = ip;
  if (checkUdp(bytes, udpAt, ip.end) !== Reason.NONE || !udpChecksumIsRight(bytes, ip.at, udpAt)) return undefined;
  const at = udpAt + UDP_LENGTH;
  const end = udpAt + udpLengthAt(bytes, udpAt);
  const isSound =
    family === 6
      ? udpChecksumAt(bytes, udpAt) !== 0 && !checkDhcpv6(bytes, at, end) // RFC 8200 §8.1
      : !checkDhcp(bytes, at, end) && !isDhcpRelayed(bytes, at);
  return isSound ? { at, end } : undefined;
}

/**
 * Raises the lesson if an L2Only record places the VM where it was heard: at the provider address given, or with null on this host.
 * Link-local addresses are never learnt: they need no record, and would use up what the port may teach.
 */
function raise(
  snapshot: NveSnapshot,
  lesson: Omit<Lesson, "providerAddress">,
  at: Address | null,
  context: LayerContext,
): void {
  const { policy } = snapshot;
  const { address, vsid, mac } = lesson;
  if (!learns(snapshot) || isLinkLocal(address) || !isUnicast(address)) return;
  const record = teachingRecord(policy, vsid, mac, address.family);
  if (!record) return;
  const { providerAddress } = record;
  const isThere = at ? sameAddress(providerAddress, at) : policy.providerAddresses.find(providerAddress) !== undefined;
  if (isThere) context.raise<LearningEffect>({ kind: "addressTaught", lesson: { ...lesson, providerAddress } });
}

/** Windows Server 2012 knows no types of records, and learns nothing. */
const learns = ({ policy }: NveSnapshot): boolean => policy.settings.mode === "2012R2";
