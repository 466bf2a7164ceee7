/**
 * Select-NetVirtualizationNextHop: where would a packet go, without one? The same decision that forwards, asked by hand.
 *
 * A packet has a destination MAC, a question has none. So it is taken to be what a VM would write that has resolved its neighbors: the
 * next hop's on the link, the distributed router's beyond it.
 */
import { Reason } from "../../drop-reasons.js";
import type { HostPolicy } from "../../policy/policy.js";
import { type Checked, checkVsid, PolicyError } from "../../policy/validate.js";
import { type Address, isLinkLocal, isUnicast, prefixContains } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Mac, Vsid } from "../../wire/bytes.js";
import type { Consultation } from "../layer.js";
import { keyText } from "./explain.js";
import { isNextHop, selectNextHop } from "./next-hop.js";
import { noNextHopText } from "./outbound.js";
import { gatewayOwner, isBroadcastOrMulticast } from "./packet-classes.js";
import { findRecord, unusableAddress, unusableText } from "./records.js";

export interface NextHopQuery {
  readonly source: Address | null;
  readonly destination: Address;
  readonly vsid: Vsid;
}

export interface NextHopAnswer {
  /** The CA that the packet goes to next: the destination's, or a router's. */
  readonly address: Address;
  /** The destination MAC with which the packet goes on. */
  readonly mac: Mac;
  /** The source MAC with which it goes on: the router's once routed, else the sender's; null if no record names the sender. */
  readonly sourceMac: Mac | null;
}

export interface NoNextHopAnswer {
  readonly reason: Reason;
  /** For people. */
  readonly why: string;
}

/** Throws a PolicyError where the question is not about a packet from one station to another. */
export function queryNextHop(policy: HostPolicy, query: NextHopQuery): NextHopAnswer | NoNextHopAnswer {
  const refused = checkQuery(policy, query);
  if (refused) throw refused;
  const { source, destination, vsid } = query;
  const asker: Consultation = { node: policy.node, consulted: () => {} };
  const sender = source && findRecord(policy, vsid, source, asker);
  const senderMac = sender?.macAddress ?? null;

  const owner = gatewayOwner(policy, vsid, destination);
  if (owner !== undefined) {
    const why = `${formatAddress(destination)} is the gateway address of virtual subnet ${owner}: the router itself`;
    return { reason: Reason.TX_ROUTER_SELF, why };
  }
  if (isLinkLocal(destination)) {
    const record = findRecord(policy, vsid, destination, asker);
    if (record) return { address: destination, mac: record.macAddress, sourceMac: senderMac };
    return { reason: Reason.TX_NO_RECORD, why: `no lookup record ${keyText(vsid, destination)}` };
  }
  const found = selectNextHop(policy, vsid, destination, destinationMacFor(policy, vsid, destination), asker);
  if (!isNextHop(found)) return { reason: found.reason, why: noNextHopText(policy, vsid, destination, found) };
  const unusable = unusableAddress(policy, found.record);
  if (unusable) return { reason: Reason.TX_NO_RECORD, why: unusableText(found.record, unusable) };
  const sourceMac = found.isRouted ? policy.gatewayMac(found.vsid, destination.family) : senderMac;
  return { address: found.address, mac: found.record.macAddress, sourceMac };
}

function checkQuery(policy: HostPolicy, { source, destination, vsid }: NextHopQuery): Checked {
  const refused = checkVsid(vsid);
  if (refused) return refused;
  const isOneStation = (address: Address): boolean =>
    isUnicast(address) && !isBroadcastOrMulticast(policy, vsid, address);
  for (const address of source === null ? [destination] : [source, destination]) {
    if (isOneStation(address)) continue;
    const message = `${formatAddress(address)} is not the address of one station.`;
    return new PolicyError("CUSTOMER_ADDRESS_INVALID", message, address, "a unicast address");
  }
  if (source === null || source.family === destination.family) return undefined;
  const message = `${formatAddress(source)} and ${formatAddress(destination)} are of two families.`;
  return new PolicyError("CUSTOMER_ADDRESS_INVALID", message, source, `an IPv${destination.family} address`);
}

const NO_MAC = 0 as Mac;

/** On the link the next hop's own MAC, which decides nothing; without a routing domain nobody knows another way. */
function destinationMacFor(policy: HostPolicy, vsid: Vsid, destination: Address): Mac {
  const prefixes = policy.customerRoutes.onLinkPrefixes(vsid);
  const isOnLink = prefixes.length === 0 || prefixes.some((prefix) => prefixContains(prefix, destination));
  return isOnLink ? NO_MAC : policy.gatewayMac(vsid, destination.family);
}
