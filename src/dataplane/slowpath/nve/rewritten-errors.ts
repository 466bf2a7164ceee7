/**
 * ICMP errors where IP Rewrite is. An error quotes the packet that it is about; so that its sender knows it again, the quoted addresses
 * are those that the sender has seen (RFC 5508 §4). That is payload, which the kernel does not change: such a message is made here, and
 * sent in the packet's place.
 *
 *   a VM's error      is a packet of IP Rewrite like any other: its addresses change at both ends, those that it quotes too
 *   a router's error  comes from the provider network, about a packet on the wire, to the provider address that stands for its sender:
 *
 *     wire  [router        > 192.168.4.101][ICMP …][192.168.4.101 > 192.168.4.102][TCP …]
 *     VM    [10.0.0.1      > 10.0.0.5     ][ICMP …][10.0.0.5      > 10.0.0.7     ][TCP …]     MACs as from the gateway
 *
 * The VM hears it from the gateway of its subnet, the only router that it knows: an address of the provider network is none of the
 * tenant's business, and may be that of another VM of his. So path MTU discovery and traceroute work for rewritten flows.
 */
import { Reason } from "../../drop-reasons.js";
import { type ParsedIp, parseFrame } from "../../packet/parse.js";
import type { HostPolicy, LookupRecord } from "../../policy/policy.js";
import { apply } from "../../transposition/index.js";
import { type Address, type AddressFamily, isMulticast, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Vsid } from "../../wire/bytes.js";
import {
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
  icmpNextHopMtuAt,
  icmpTypeAt,
  setIcmpChecksum,
  setIcmpNextHopMtu,
} from "../../wire/icmp.js";
import { dropFor } from "../evaluate.js";
import { CONSUME, type LayerContext, type Outcome, type PacketView } from "../layer.js";
import { isErrorMessage, messageIsIntact, quotedPacket, rewriteQuoted } from "../quoted-packet.js";
import { deliverLocally } from "./deliver.js";
import { frameText, keyText, tell } from "./explain.js";
import { gatewayAddress } from "./gateway.js";
import { believedMtu, isTooBigMessage, takePathMtu } from "./path-mtu.js";
import type { NveSnapshot } from "./snapshot.js";

/** Without customer routes a virtual subnet is all by itself. */
export function inOneDomain({ customerRoutes }: HostPolicy, a: Vsid, b: Vsid): boolean {
  return a === b || (customerRoutes.routingDomainOf(a)?.vsids.includes(b) ?? false);
}

/** For a virtual subnet: the customer address of its routing domain that a provider address stands for. */
export const customerAddressIn =
  (policy: HostPolicy, vsid: Vsid) =>
  (address: Address): Address | undefined => {
    const record = policy.lookupRecords.findNat(address);
    return record && inOneDomain(policy, record.virtualSubnetID, vsid) ? record.customerAddress : undefined;
  };

/**
 * Takes an error message from a stranger for the VM of `record`, which has sent the packet that it is about. Anybody could make one up, so it
 * must quote what that VM does send, and a path MTU must be believable (`path-mtu.ts`); others are dropped.
 */
export function tellOfRouter(
  snapshot: NveSnapshot,
  packet: PacketView,
  record: LookupRecord,
  context: LayerContext,
): Outcome {
  context.doNotCache(); // what is quoted is payload
  const { policy } = snapshot;
  const { plan, bytes, parsed } = packet;
  const complaint = judge(policy, bytes, parsed.ip!, record);
  if (typeof complaint === "string") {
    // The VM sends NVGRE too, where the far VM is encapsulated; then the host is the one to be told.
    const pa = policy.providerAddresses.find(record.providerAddress);
    const told = pa && isTooBigMessage(bytes, parsed.ip!) ? takePathMtu(policy, packet, pa, context) : null;
    if (told) return told;
    if (context.observer) tell(context.observer, frameText(parsed), `an ICMP error, ignored: ${complaint}`, record);
    return dropFor(Reason.RX_NAT_ERROR);
  }

  const { virtualSubnetID: vsid } = record;
  plan.vsid = vsid;
  plan.removeTag = true;
  plan.destinationMac = record.macAddress;
  plan.sourceMac = policy.gatewayMac(vsid, complaint.gateway.family);
  plan.address = { source: complaint.gateway, destination: record.customerAddress };
  if (context.observer) {
    const decided = `an error about a packet of ${keyText(vsid, record.customerAddress)}, told as from ${formatAddress(complaint.gateway)}`;
    tell(context.observer, frameText(parsed), decided, record);
  }
  const outcome = deliverLocally(snapshot, packet, context, Reason.RX_NO_LOCAL_DST);
  return withQuote(packet, outcome, customerAddressIn(policy, vsid), context, complaint.mtu);
}

interface Complaint {
  /** Who tells the VM. */
  readonly gateway: Address;
  /** Of a "too big" message: the path MTU, as far as it is believed. */
  readonly mtu: number | null;
}

/** What the message says to the VM of `record`, or why it is not told. */
function judge(policy: HostPolicy, bytes: Uint8Array, ip: ParsedIp, record: LookupRecord): Complaint | string {
  const { virtualSubnetID: vsid, customerAddress, providerAddress } = record;
  const quoted = quotedPacket(bytes, ip);
  if (!quoted) return "it quotes no packet";
  if (isMulticast(ip.destination) || !sameAddress(quoted.source, providerAddress)) {
    return `it quotes a packet of ${formatAddress(quoted.source)}`;
  }
  const far = policy.lookupRecords.findNat(quoted.destination);
  if (!far || !inOneDomain(policy, vsid, far.virtualSubnetID)) {
    return `${formatAddress(quoted.destination)} stands for no customer address of the routing domain`;
  }
  if ([customerAddress, far.customerAddress].some(({ family }) => family !== ip.family)) {
    return "customer addresses of the other family";
  }
  if (!messageIsIntact(bytes, ip)) return "its checksum is wrong";
  if (!isForSenders(ip.family, icmpTypeAt(bytes, ip.transportAt))) return "it is none for senders";
  const mtu = isTooBigMessage(bytes, ip) ? believedMtu(bytes, ip, quoted) : null;
  if (typeof mtu === "string") return mtu;
  const gateway = gatewayAddress(policy, vsid, ip.family);
  return gateway ? { gateway, mtu } : "the virtual subnet has no gateway address to tell it from";
}

/** A redirect means nothing behind a router; source quench is to be ignored (RFC 6633 §4). */
const isForSenders = (family: AddressFamily, type: number): boolean =>
  family === 6 || (type !== ICMP_REDIRECT && type !== ICMP_SOURCE_QUENCH);

/**
 * If the packet is an error message, it is made here and leaves in the place of `outcome`: the addresses that it quotes are changed
 * like its own, each that `translate` knows. `mtu`: what it shall tell at least, if it is a "too big" message.
 */
export function withQuote(
  packet: PacketView,
  outcome: Outcome,
  translate: (address: Address) => Address | undefined,
  context: LayerContext,
  mtu: number | null = null,
): Outcome {
  if (outcome.kind !== "forward" || !isErrorMessage(packet.parsed)) return outcome;
  for (const forward of outcome.outputs) {
    const frame = apply(forward, packet.bytes.subarray(packet.start, packet.end), noIdentification);
    if (typeof frame === "number") return dropFor(frame);
    rewriteQuoted(frame, ({ source, destination, family }) => {
      const inFamily = (address: Address | undefined, old: Address): Address =>
        address?.family === family ? address : old;
      return {
        source: inFamily(translate(source), source),
        destination: inFamily(translate(destination), destination),
      };
    });
    if (mtu !== null) raiseMtu(frame, mtu);
    context.emit(forward.output, frame);
  }
  if (context.observer) tell(context.observer, frameText(packet.parsed), "changed in the packet that it quotes too");
  return CONSUME;
}

const noIdentification = (): number => {
  throw new Error("no outer header is written");
};

/** Routers that tell less of IPv4 than every path carries are not to be taken at their word. */
function raiseMtu(frame: Uint8Array, mtu: number): void {
  const { family, transportAt, end } = parseFrame(frame, 0, frame.length)!.ip!;
  if (family === 6 || icmpNextHopMtuAt(frame, transportAt) >= mtu) return;
  setIcmpNextHopMtu(frame, transportAt, mtu);
  setIcmpChecksum(frame, transportAt, end);
}
