/**
 * ARP and neighbor discovery of VMs: what a VM asks before it can send.
 *
 * The host knows who has which address, so it answers in the name of the VM that is asked for, and what is broadcast goes no
 * further. What is sent to one station, to see whether it is still there, goes to that VM like any unicast packet. Nobody may speak
 * for an address that its records give to another.
 *
 *     question to all     gateway address ─► the router's MAC          a record ─► the record's MAC
 *                         the asker's own ─► silence                   no record ─► dropped, or flooded for L2Only
 *     question to one     gateway address ─► the router's MAC          else ─► to the VM of the target's record
 *     answer to one       to the VM that has the destination MAC
 *     announcement        taken note of, and told to nobody
 *
 * Windows Server 2012 differs: its switch has flooded what is for all to the local ports of the virtual subnet (`localSwitching` of
 * outbound.ts), so the host leaves it to VMs of its own to answer; and questions to one station on another host are answered as well.
 *
 * What a VM says about its own addresses is also what the host learns from (learning.ts).
 *
 * Messages are payload and not in any flow key, so nothing that rests on them is cached (docs/decisions/0013-responders.md).
 */
import { Reason } from "../../drop-reasons.js";
import type { ParsedFrame } from "../../packet/parse.js";
import type { HostPolicy, LookupRecord } from "../../policy/policy.js";
import { type Address, isLinkLocal } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Mac } from "../../wire/bytes.js";
import { ETHERTYPE_ARP } from "../../wire/ethernet.js";
import { PROTOCOL_ICMPV6 } from "../../wire/ipv4.js";
import { formatMac, isGroupMac } from "../../wire/mac.js";
import { dropFor } from "../evaluate.js";
import { CONSUME, CONTINUE, type Layer, type LayerContext, type Outcome, type PacketView } from "../layer.js";
import { arpReply, readArp } from "../responders/arp.js";
import type { Claims, Message, Question } from "../responders/message.js";
import { neighborAdvertisement, readNeighborDiscovery } from "../responders/neighbor-discovery.js";
import { frameText, nearestRecord, tell } from "./explain.js";
import { isGatewayAddress } from "./gateway.js";
import { learnFromClaims } from "./learning.js";
import { findAnyByMac, findByMac, findOwn, findRecord } from "./records.js";
import { replicate } from "./replicate.js";
import { takenBy } from "./senders.js";
import type { NveSnapshot } from "./snapshot.js";

/** Router Solicitation (RFC 4861 §4.1) to Redirect (§4.5), the types in between being the other three messages. */
const ND_TYPE_FIRST = 133;
const ND_TYPE_LAST = 137;

export const isArp = (frame: ParsedFrame): boolean => frame.etherType === ETHERTYPE_ARP;

export function isNeighborDiscovery({ ip }: ParsedFrame): boolean {
  if (ip?.protocol !== PROTOCOL_ICMPV6 || ip.family !== 6 || ip.ports === null) return false;
  const type = ip.ports.source >>> 8;
  return type >= ND_TYPE_FIRST && type <= ND_TYPE_LAST;
}

export const isAddressResolution = (frame: ParsedFrame): boolean => isArp(frame) || isNeighborDiscovery(frame);

/** What an ARP or ND frame says; null if it says it wrongly. */
export const readMessage = (bytes: Uint8Array, frame: ParsedFrame): Message | null =>
  isArp(frame) ? readArp(bytes, frame) : readNeighborDiscovery(bytes, frame);

/** The answer to a question: an ARP reply, or a neighbor advertisement. */
export const answerWith = (question: Question, mac: Mac, isRouter: boolean): Uint8Array =>
  question.target.family === 4 ? arpReply(question, mac) : neighborAdvertisement(question, mac, { isRouter });

export const addressResolution: Layer<NveSnapshot> = {
  name: "address resolution",
  evaluate(snapshot, packet, context) {
    const { parsed } = packet;
    if (!isAddressResolution(parsed)) {
      if (context.observer) tell(context.observer, frameText(parsed), "neither ARP nor neighbor discovery");
      return CONTINUE;
    }
    context.doNotCache();
    const message = readMessage(packet.bytes, parsed);
    if (message === null) {
      return drop(packet, context, Reason.INVALID_PACKET, "malformed: to be discarded unread");
    }
    if (message.kind !== "other") learnFromClaims(snapshot, packet, message.claims, context);
    if (!mayClaim(snapshot.policy, packet, message.claims, context)) {
      return drop(packet, context, Reason.TX_SRC_POLICY, "speaks for an address that is not the sender's");
    }
    switch (message.kind) {
      case "question":
        return answer(snapshot, packet, message, context);
      case "answer":
        return toOwnerOfMac(snapshot, packet, context);
      case "announcement":
        return flood(snapshot, packet, `announces ${formatAddress(message.target)}`, CONSUME, context);
      case "other": {
        const { vsid, destinationMac } = packet.plan;
        const isToStation = !isGroupMac(destinationMac) && !snapshot.policy.isGatewayMac(vsid, destinationMac);
        if (isToStation) return toOwnerOfMac(snapshot, packet, context);
        const decided = `${message.what}: nobody here answers`;
        return flood(snapshot, packet, decided, dropFor(Reason.TX_UNANSWERED), context);
      }
    }
  },
};

const drop = (packet: PacketView, context: LayerContext, reason: Reason, why: string): Outcome =>
  ended(packet, why, dropFor(reason), context);

/**
 * Source policy for what a message says about its sender. The MAC must be the frame's own, so that nobody is sent elsewhere; the
 * addresses must be on record for it, or nobody else's if it is a MAC whose addresses are not known in advance. Notes the record that
 * vouches for the sender, for messages that go on.
 */
function mayClaim(policy: HostPolicy, packet: PacketView, claims: Claims, context: LayerContext): boolean {
  const { vsid, sourceMac } = packet.plan;
  packet.plan.sourceRecord = findOwn(policy, vsid, sourceMac, context) ?? null;
  const isOwner = (address: Address): boolean => {
    const record = findRecord(policy, vsid, address, context);
    if (record?.macAddress === sourceMac) {
      packet.plan.sourceRecord = record;
      return true;
    }
    const isOpen = isLinkLocal(address) || findByMac(policy, vsid, sourceMac, context) !== undefined;
    return isOpen && takenBy(policy, vsid, sourceMac, address, context) === undefined;
  };
  return claims.mac === sourceMac && claims.addresses.every(isOwner);
}

function answer(snapshot: NveSnapshot, packet: PacketView, question: Question, context: LayerContext): Outcome {
  const { policy } = snapshot;
  const { vsid, sourceMac } = packet.plan;
  const is2012 = policy.settings.mode === "2012";

  // 1. The distributed router answers for itself, whoever is addressed.
  if (isGatewayAddress(policy, vsid, question.target)) {
    const mac = policy.gatewayMac(vsid, question.target.family);
    context.emit(packet.ingress, answerWith(question, mac, true));
    const decided = `answered: the gateway address is the distributed router's, at ${formatMac(mac)}`;
    return ended(packet, decided, CONSUME, context);
  }

  // 2. Is that station still there? It will say so itself. Link-local addresses are not on record, but the asker knows whose they are.
  const record = findRecord(policy, vsid, question.target, context);
  if (!question.isToAll && !is2012) {
    const mac = packet.plan.destinationMac;
    const isOwned = isLinkLocal(question.target) && !policy.isGatewayMac(vsid, mac);
    const byMac = (): LookupRecord | undefined =>
      isOwned ? findAnyByMac(policy, vsid, mac, () => true, context) : findByMac(policy, vsid, mac, context);
    return sendTo(record ?? byMac(), packet, context);
  }

  // 3. The records know.
  if (!record) return unanswered(snapshot, packet, question.target, context);
  if (record.macAddress === sourceMac) {
    return ended(packet, "asks for the sender's own address", CONSUME, context);
  }
  if (is2012 && policy.providerAddresses.find(record.providerAddress)) {
    return ended(packet, "asks for a VM of this host, which answers itself", CONSUME, context);
  }
  context.emit(packet.ingress, answerWith(question, record.macAddress, false));
  const decided = `answered: ${formatAddress(question.target)} is at ${formatMac(record.macAddress)}`;
  return ended(packet, decided, CONSUME, context, record);
}

/** Nobody is known to have the address; the asker will find that out by itself. */
function unanswered(snapshot: NveSnapshot, packet: PacketView, target: Address, context: LayerContext): Outcome {
  if (context.observer) {
    const { vsid } = packet.plan;
    const why = `no lookup record for ${formatAddress(target)} in virtual subnet ${vsid}`;
    const nearest = nearestRecord(snapshot.policy.lookupRecords, vsid, target);
    tell(context.observer, frameText(packet.parsed), why, undefined, nearest);
  }
  return flood(snapshot, packet, "not answered", dropFor(Reason.TX_UNANSWERED), context);
}

/**
 * What the records cannot answer goes to everybody in subnets with members whose addresses are not known (L2Only records), who may
 * answer for themselves; elsewhere it ends here.
 */
function flood(
  snapshot: NveSnapshot,
  packet: PacketView,
  decided: string,
  outcome: Outcome,
  context: LayerContext,
): Outcome {
  const { lookupRecords, settings } = snapshot.policy;
  const isFlooded = settings.mode === "2012R2" && isGroupMac(packet.parsed.destination);
  if (!isFlooded || !lookupRecords.hasL2Only(packet.plan.vsid)) {
    return ended(packet, decided, outcome, context);
  }
  if (context.observer) tell(context.observer, frameText(packet.parsed), `${decided}; an L2Only record: to everybody`);
  return replicate(snapshot, packet, context);
}

function toOwnerOfMac({ policy }: NveSnapshot, packet: PacketView, context: LayerContext): Outcome {
  const { vsid, destinationMac } = packet.plan;
  if (!policy.isGatewayMac(vsid, destinationMac)) {
    return sendTo(
      findAnyByMac(policy, vsid, destinationMac, () => true, context),
      packet,
      context,
    );
  }
  if (context.observer) tell(context.observer, frameText(packet.parsed), "tells the distributed router, which knows");
  return CONSUME;
}

/** The message goes on as a unicast packet to the VM of this record. */
function sendTo(record: LookupRecord | undefined, packet: PacketView, context: LayerContext): Outcome {
  if (!record) return drop(packet, context, Reason.TX_NO_RECORD, "to one station, of which there is no lookup record");
  packet.plan.destinationRecord = record;
  packet.plan.destinationMac = record.macAddress;
  if (context.observer) tell(context.observer, frameText(packet.parsed), "to one station: goes to that VM", record);
  return CONTINUE;
}

/** The host has `decided` about a message, and it ends here as `outcome` says. */
function ended(
  packet: PacketView,
  decided: string,
  outcome: Outcome,
  context: LayerContext,
  record?: LookupRecord,
): Outcome {
  if (context.observer) tell(context.observer, frameText(packet.parsed), decided, record);
  return outcome;
}
