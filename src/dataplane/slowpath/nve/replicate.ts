/**
 * Broadcast and multicast within a virtual subnet: a copy for every other adapter of the subnet on this host, and one for every
 * other host that has members of it (N-way unicast replication, RFC 7637 §3.4), or one for a provider group of all of them
 * (`provider-groups.ts`).
 *
 *   what the records say   one copy for each distinct provider address, not for each record, and none for our own
 *   what never happens     a copy into another virtual subnet, of the same routing domain or not; a copy of what came from the
 *                          wire back to the wire
 *
 * A copy that cannot be sent is counted, and dropped for its reason. What is too long for it is cut, where that is allowed.
 *
 * Windows Server 2012 carries no such frames between hosts: its switch serves the local adapters, the rest is dropped.
 */
import { Reason } from "../../drop-reasons.js";
import type { HostPolicy } from "../../policy/policy.js";
import { macRecordStamp, membersStamp, providerStamp } from "../../policy/stamps.js";
import type { Forward } from "../../transposition/transposition.js";
import { type Address, isLinkLocal, isMulticast, isUnicast } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import { MAX_VSID, MIN_VSID } from "../../wire/nvgre.js";
import { dropFor, forwardOf, ongoingFrame } from "../evaluate.js";
import type { LayerContext, Outcome, PacketView } from "../layer.js";
import { isRefusal, isTooBig, nvgrePush, type Refusal, type Way, wayTo } from "./encapsulate.js";
import { tell } from "./explain.js";
import { learnFromDelivery } from "./learning.js";
import { asFragments } from "./oversize.js";
import { groupRecord } from "./provider-groups.js";
import type { NveSnapshot } from "./snapshot.js";
import type { NveEffect } from "./state.js";

/** The copy for a next hop that is not known yet is not made, but later ones shall be. */
function askForCopies({ settings }: HostPolicy, { unresolved }: Refusal, context: LayerContext): void {
  if (!unresolved || settings.resolve !== "wire") return;
  context.raise<NveEffect>({ kind: "neighborWanted", ...unresolved, packet: null });
}

/**
 * From an adapter to all others of its virtual subnet, here and elsewhere. `rewritten`: the copy of IP Rewrite that serves all other
 * hosts, or why there can be none.
 */
export function replicate(
  snapshot: NveSnapshot,
  packet: PacketView,
  context: LayerContext,
  rewritten?: Forward | Reason,
): Outcome {
  const { policy, ports } = snapshot;
  const { plan } = packet;
  const receivers = typeof rewritten === "object" ? [] : elsewhereTo(policy, packet, context);
  const ways = receivers.map((member) => wayTo(policy, packet, member));
  const cut = asPieces(snapshot, packet, ways, context);
  if (cut) return cut;

  const here = copiesHere(snapshot, packet, context);
  const elsewhere: Forward[] = [];
  const refused = new Map<Reason, number>();
  const refuse = (reason: Reason): unknown => refused.set(reason, (refused.get(reason) ?? 0) + 1);
  for (const [index, way] of ways.entries()) {
    const isUnsent = isRefusal(way) ? way.reason : tooBigFor(way.innerMtu, packet, context);
    if (isUnsent !== undefined || isRefusal(way)) {
      if (isUnsent !== undefined) refuse(isUnsent);
      if (isRefusal(way)) askForCopies(policy, way, context);
      const why = isRefusal(way) ? way.why() : `longer than the inner MTU of ${way.innerMtu}`;
      if (context.observer) tell(context.observer, `member at ${formatAddress(receivers[index]!)}`, `no copy: ${why}`);
      continue;
    }
    const forward = forwardOf(packet, ports.nicPort(way.interfaceIndex), nvgrePush(packet, way));
    elsewhere.push({ ...forward, lengthLimit: way.innerMtu });
  }
  if (typeof rewritten === "object") elsewhere.push(rewritten);
  else if (rewritten !== undefined) refuse(rewritten);
  const outputs = [...here, ...elsewhere];
  if (context.observer) {
    const [group] = receivers.filter(isMulticast);
    const others = group ? `the hosts in provider group ${formatAddress(group)}` : `${elsewhere.length} other hosts`;
    const decided = `a copy each for ${here.length} adapters here${group ? ", one for " : " and "}${others}`;
    tell(context.observer, `broadcast or multicast in VSID ${plan.vsid}`, decided);
  }
  const copies = [...refused].map(([reason, count]) => ({ reason, copies: count }));
  if (outputs.length > 0) return { kind: "forward", outputs, ...(copies.length > 0 ? { refused: copies } : {}) };
  const reason = copies.at(-1)?.reason ?? Reason.TX_NO_FLOOD;
  return dropFor(policy.settings.mode === "2012" ? Reason.TX_FLOOD_2012 : reason);
}

/** IPv4 without DF that is too long for a way to another host is cut, for all at once: each piece is replicated by itself. */
function asPieces(
  snapshot: NveSnapshot,
  packet: PacketView,
  ways: readonly (Way | Refusal)[],
  context: LayerContext,
): Outcome | undefined {
  const room = Math.min(...ways.map((way) => (isRefusal(way) ? Number.POSITIVE_INFINITY : way.innerMtu)));
  if (!isTooBig(ongoingFrame(packet), room)) return undefined;
  context.doNotCache(); // the length is in no flow key
  const instead = asFragments(snapshot, packet, room, context);
  if (instead && context.observer)
    tell(context.observer, `broadcast or multicast in VSID ${packet.plan.vsid}`, instead.text());
  return instead?.outcome;
}

/** What came from the wire, for every adapter of the virtual subnet; none if there is no such adapter. */
export function copiesHere(snapshot: NveSnapshot, packet: PacketView, context: LayerContext): Forward[] {
  context.consulted(providerStamp(context.node));
  learnFromDelivery(snapshot, packet, context);
  return snapshot.ports
    .portsOf(packet.plan.vsid)
    .filter((port) => port !== packet.ingress)
    .map((port) => forwardOf(packet, port, null));
}

/** The provider group that carries the packet, or else every other host with members of the subnet. */
function elsewhereTo(policy: HostPolicy, packet: PacketView, context: LayerContext): readonly Address[] {
  const members = membersElsewhere(policy, packet, context);
  const hasGroups = members.some(isMulticast);
  const group = hasGroups ? groupRecord(policy, packet, context) : undefined;
  return group ? [group.providerAddress] : members.filter(isUnicast);
}

/** The provider addresses of the subnet's members, but for our own and for the dummies of gateway records; and its provider groups. */
function membersElsewhere(policy: HostPolicy, packet: PacketView, context: LayerContext): readonly Address[] {
  const { vsid } = packet.plan;
  const { mode, flood } = policy.settings;
  if (mode === "2012" || vsid < MIN_VSID || vsid > MAX_VSID) return [];
  if (flood === "l2only") {
    context.consulted(macRecordStamp(context.node, vsid));
    if (!policy.lookupRecords.hasL2Only(vsid)) return [];
  }
  context.consulted(membersStamp(context.node, vsid));
  return policy.lookupRecords
    .providerAddressesOf(vsid)
    .filter(
      (pa) => (isUnicast(pa) || isMulticast(pa)) && !isLinkLocal(pa) && policy.providerAddresses.find(pa) === undefined,
    );
}

/** A copy that does not fit is not made; whether one fits is asked for every longer packet. */
function tooBigFor(innerMtu: number, packet: PacketView, context: LayerContext): Reason | undefined {
  if (!isTooBig(ongoingFrame(packet), innerMtu)) return undefined;
  context.doNotCache();
  return Reason.TX_TOO_BIG;
}
