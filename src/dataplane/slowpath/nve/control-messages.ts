/**
 * Control messages between NVEs: REDIRECT and UNREACHABLE of the NVGRE extensions ([MS-NVGREE]).
 *
 *     host 1, sends                                   host 2, which the VM has left
 *     record: 10.0.0.7 at host 2  ── packet ────────► no such port; record: 10.0.0.7 at host 3
 *     redirect: … at host 3       ◄─ REDIRECT ─────── dropped, RX_MOVED
 *                 └─ next packet ─► host 3
 *
 * Whether a packet earns a message, and what a message says, is decided here; how often one is sent, and how long one holds, is the
 * business of the host's state (`control-state.ts`). A forged REDIRECT would steal a VM's packets, and GRE authenticates nobody; so a
 * message must come from the host that was sent to, quote what was sent there, and name a provider address that this host knows.
 */
import { Reason } from "../../drop-reasons.js";
import type { ParsedIp } from "../../packet/parse.js";
import type { HostPolicy, LookupRecord, ProviderAddress } from "../../policy/policy.js";
import { apply } from "../../transposition/apply.js";
import type { Forward, PortIndex } from "../../transposition/transposition.js";
import { type Address, isLinkLocal, isUnicast, maskAddress, prefixContains, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Vsid } from "../../wire/bytes.js";
import {
  type ControlKind,
  controlKindOf,
  makeControlMessage,
  type Quote,
  quoteLengthMax,
  readQuote,
} from "../../wire/control-message.js";
import { IPV4_LENGTH, ipv4ChecksumIsRight, PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../../wire/ipv4.js";
import { IPV6_LENGTH } from "../../wire/ipv6.js";
import { isGroupMac } from "../../wire/mac.js";
import { dropFor } from "../evaluate.js";
import { CONSUME, CONTINUE, type Layer, type LayerContext, type PacketView } from "../layer.js";
import { messageIsIntact } from "../quoted-packet.js";
import { isRefusal, NO_FLOW_ID, outerHeaders, type Way, wayFrom } from "./encapsulate.js";
import { frameText, keyText, tell } from "./explain.js";
import { recordOnTheWay } from "./records.js";
import { isKnownVsid, type NveSnapshot } from "./snapshot.js";
import type { NveEffect } from "./state.js";

// Sending.

/**
 * Rows 27, 28, 31 and 32: the host that sent the packet is to be told that it is dropped, and by the record of a VM that has `moved`, where that
 * lives now. Returns whether that is done, but for the limits; what these hold back is not made at all.
 */
export function tellSendingHost(
  { policy, ports, state }: NveSnapshot,
  packet: PacketView,
  moved: LookupRecord | null,
  context: LayerContext,
): boolean {
  const { plan } = packet;
  const outer = packet.parsed.ip!;
  const inner = plan.inner!.ip;
  const { settings } = policy;
  if (!settings.sendControlMessages || settings.mode === "2012") return false;
  const own = policy.providerAddresses.find(outer.destination);
  if (!own || inner === null || !mayTellOf(packet, inner, own)) return false; // none about what came for a group

  const way = wayFrom(policy, own, outer.source);
  if (isRefusal(way)) return false;
  const room = quoteLengthMax(outer.family, way.innerMtu);
  if (room < neededOf(outer, inner)) return false;
  const about = {
    message: moved ? "redirect" : "unreachable",
    receiver: outer.source,
    virtualSubnetID: plan.vsid,
    customerAddress: moved?.customerAddress ?? inner.destination,
  } as const;
  if (!state.control.maySend(about, context.nowMs)) {
    context.raise<NveEffect>({ kind: "controlMessageHeld" });
    return true;
  }
  const output = ports.nicPort(way.interfaceIndex);
  const message = makeControlMessage({
    kind: about.message,
    // Behind a router the frame's own source is the router.
    destinationMac: policy.neighbors.find(outer.source) ?? packet.parsed.source,
    sourceMac: own.macAddress,
    source: own.providerAddress,
    destination: moved?.providerAddress ?? outer.source,
    quote: packet.bytes.subarray(outer.at, Math.min(outer.end, outer.at + room)),
  });
  context.raise<NveEffect>({
    kind: "controlMessage",
    ...about,
    output,
    frame: inNvgre(message, way, plan.vsid, output),
  });
  return true;
}

/** Octets that must be quoted: all up to the inner IP header. */
const neededOf = (outer: ParsedIp, inner: ParsedIp): number =>
  inner.at + (inner.family === 4 ? IPV4_LENGTH : IPV6_LENGTH) - outer.at;

/**
 * Nothing is said about control messages and what resembles one, or two hosts might never stop; nor about what was sent to many; nor
 * about packets from or to addresses that no record can be asked for.
 */
function mayTellOf(packet: PacketView, inner: ParsedIp, own: ProviderAddress): boolean {
  const { destinationMac } = packet.plan;
  if (isGroupMac(packet.parsed.destination) || isGroupMac(destinationMac) || destinationMac === own.macAddress)
    return false;
  if (!isOnRecord(inner.source) || !isOnRecord(inner.destination)) return false;
  return kindOf(inner) === null;
}

const isOnRecord = (address: Address): boolean => isUnicast(address) && !isLinkLocal(address);

/** By type and code alone. */
function kindOf({ family, protocol, ports }: ParsedIp): ControlKind | null {
  const isIcmp = protocol === (family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6);
  return isIcmp && ports ? controlKindOf(family, ports.source) : null;
}

/** A message belongs to no flow, so FlowID and flow label are 0; whole as it is, it needs no identification (RFC 6864 §4.1). */
function inNvgre(message: Uint8Array, way: Way, vsid: Vsid, output: PortIndex): Uint8Array {
  const forward: Forward = {
    output,
    pop: false,
    dscpInwards: false,
    ethernet: null,
    decrementTtl: false,
    push: outerHeaders(way, vsid, NO_FLOW_ID, 0),
    lengthLimit: null,
  };
  return apply(forward, message, () => 0) as Uint8Array; // what is only wrapped is never refused
}

/** What the sending host hears. */
export const controlText = (isTold: boolean, what: string): string =>
  isTold ? `the sending host is told: ${what}` : `no ${what}`;

// Receiving.

/**
 * Row 24. A control message is told from tenants' ICMP by the inner MAC of our provider address, which no tenant's frame has, and by
 * the sending host's own address inside.
 */
export const controlMessage: Layer<NveSnapshot> = {
  name: "control message",
  evaluate(snapshot, packet, context) {
    const kind = controlKind(snapshot, packet, context);
    if (kind === null) {
      if (context.observer) tell(context.observer, frameText(packet.plan.inner!), "no control message");
      return CONTINUE;
    }
    context.doNotCache();
    const { reason, decided, record } = judge(kind, snapshot, packet, context);
    if (context.observer) tell(context.observer, NAMES[kind], decided, record);
    return reason === Reason.NONE ? CONSUME : dropFor(reason);
  },
};

const NAMES = { redirect: "REDIRECT", unreachable: "UNREACHABLE" } as const;

function controlKind(snapshot: NveSnapshot, packet: PacketView, context: LayerContext): ControlKind | null {
  const { plan } = packet;
  const outer = packet.parsed.ip!;
  const inner = plan.inner!.ip;
  const kind = inner && kindOf(inner);
  if (!inner || !kind) return null;
  const own = snapshot.policy.providerAddresses.find(outer.destination);
  const isFromHost = plan.destinationMac === own?.macAddress && sameAddress(inner.source, outer.source);
  return isFromHost && isKnownVsid(snapshot, plan.vsid, context) ? kind : null;
}

interface Judgement {
  /** NONE: the message is obeyed. */
  readonly reason: Reason;
  readonly decided: string;
  readonly record?: unknown;
}

function judge(kind: ControlKind, snapshot: NveSnapshot, packet: PacketView, context: LayerContext): Judgement {
  const outer = packet.parsed.ip!;
  const inner = packet.plan.inner!.ip!;
  if (snapshot.policy.settings.mode === "2012") {
    return { reason: Reason.RX_CTRL, decided: "Windows Server 2012 knows no control messages" };
  }
  if (!isIntact(packet.bytes, inner)) {
    return { reason: Reason.RX_CTRL_MALFORMED, decided: "a checksum is wrong" };
  }
  const quote = readQuote(packet.bytes, inner.transportAt, inner.end);
  if (!quote) return { reason: Reason.RX_CTRL_MALFORMED, decided: "quotes no NVGRE packet" };
  const { outer: sent } = quote;
  if (sent && !(sameAddress(sent.source, outer.destination) && sameAddress(sent.destination, outer.source))) {
    return { reason: Reason.RX_CTRL_SPOOF, decided: "quotes no packet from here to the host that complains" };
  }
  if (kind === "redirect") return judgeRedirect(snapshot, quote, outer.source, inner.destination, context);
  const { vsid: virtualSubnetID, customerAddress } = quote;
  context.raise<NveEffect>({
    kind: "policyMismatch",
    virtualSubnetID,
    customerAddress,
    providerAddress: outer.source,
  });
  const about = keyText(virtualSubnetID, customerAddress);
  return { reason: Reason.NONE, decided: `policy mismatch: ${formatAddress(outer.source)} cannot deliver to ${about}` };
}

const isIntact = (bytes: Uint8Array, ip: ParsedIp): boolean =>
  (ip.family === 6 || ipv4ChecksumIsRight(bytes, ip.at)) && messageIsIntact(bytes, ip);

/** `complainer` says that the VM in question lives at `target`: the one with the packet's destination, or a gateway VM on its way. */
function judgeRedirect(
  { policy, state }: NveSnapshot,
  { vsid, customerAddress, destinationMac }: Quote,
  complainer: Address,
  target: Address,
  context: LayerContext,
): Judgement {
  if (!policy.settings.acceptRedirect) return { reason: Reason.RX_CTRL, decided: "this host takes no REDIRECT" };
  const record =
    policy.lookupRecords.find(vsid, customerAddress) ?? recordOnTheWay(policy, vsid, customerAddress, destinationMac);
  const moved = record?.customerAddress ?? customerAddress;
  const key = keyText(vsid, moved);
  const sentTo = state.control.redirects.destinationOf(policy, vsid, moved);
  if (!sentTo || !sameAddress(sentTo, complainer)) {
    const decided = `packets for ${key} are not sent to ${formatAddress(complainer)}`;
    return { reason: Reason.RX_CTRL_STALE, decided, record };
  }
  if (sameAddress(target, complainer) || !isKnownProviderAddress(policy, target)) {
    const decided = `${formatAddress(target)} is no provider address that this host knows`;
    return { reason: Reason.RX_CTRL_TARGET, decided, record };
  }
  const redirect = { virtualSubnetID: vsid, customerAddress: moved, target };
  context.raise<NveEffect>({ kind: "redirect", providerAddress: complainer, redirect });
  return { reason: Reason.NONE, decided: `${key} is at ${formatAddress(target)} for the time being`, record };
}

/** A neighbor, the provider address of any record, or in a provider prefix: that of an own address, or of a route other than the default. */
function isKnownProviderAddress(policy: HostPolicy, address: Address): boolean {
  if (!isUnicast(address)) return false;
  if (policy.neighbors.find(address) !== undefined || policy.lookupRecords.hasProviderAddress(address)) return true;
  const prefixes = [
    ...policy.providerAddresses.all.map(({ providerAddress, prefixLength: length }) => ({
      address: maskAddress(providerAddress, length),
      length,
    })),
    ...policy.providerRoutes.all.map(({ destinationPrefix }) => destinationPrefix),
  ];
  return prefixes.some((prefix) => prefix.length > 0 && prefixContains(prefix, address));
}
