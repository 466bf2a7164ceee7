/**
 * ARP and neighbor discovery of the provider network: the host answers for its provider addresses, each on its NIC and VLAN, so that
 * peers on a real wire find it, and so that nobody else takes such an address (RFC 5227 §2.1.1, RFC 4862 §5.4.3); and it hears where its
 * neighbors are (`provider-neighbors.ts`), and who else claims its addresses (`duplicate-detection.ts`).
 *
 * Only with `resolve: wire`. Otherwise neighbors are known on both sides, and what of this kind arrives is left to whoever else lives
 * on the host, as is what asks for other addresses.
 */
import type { ParsedFrame } from "../../packet/parse.js";
import type { ProviderAddress } from "../../policy/policy.js";
import { providerStamp } from "../../policy/stamps.js";
import type { Address } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import { isGroupMac, ZERO_MAC } from "../../wire/mac.js";
import { vidOf } from "../../wire/vlan.js";
import { CONSUME, CONTINUE, type Layer, type LayerContext, type PacketView } from "../layer.js";
import type { Claims, Question, Statement } from "../responders/message.js";
import { answerWith, isAddressResolution, readMessage } from "./address-resolution.js";
import { frameText, tell } from "./explain.js";
import { isOurMac } from "./inbound.js";
import { inVlan } from "./provider-frames.js";
import type { NveSnapshot } from "./snapshot.js";
import type { NveEffect } from "./state.js";

export const providerResolution: Layer<NveSnapshot> = {
  name: "provider address resolution",
  evaluate(snapshot, packet, context) {
    const { parsed } = packet;
    context.consulted(providerStamp(context.node));
    if (snapshot.policy.settings.resolve !== "wire" || !isAddressResolution(parsed)) {
      if (context.observer) tell(context.observer, frameText(parsed), "nothing that is answered on the wire");
      return CONTINUE;
    }
    context.doNotCache();
    const message = readMessage(packet.bytes, parsed);
    const saw = (): string => frameText(parsed);
    if (message === null || message.kind === "other") {
      if (context.observer) tell(context.observer, saw(), "nothing that hosts of the provider network ask or answer");
      return CONTINUE;
    }
    const conflict = conflictWith(snapshot, packet, message);
    if (conflict) {
      const { providerAddress: address } = conflict;
      context.raise<NveEffect>({ kind: "addressConflict", address, mac: message.claims.mac });
      if (context.observer)
        tell(context.observer, saw(), "somebody else has, or wants, this provider address", conflict);
      return CONTINUE;
    }
    const isHeard = noteNeighbors(snapshot, packet, message.claims, context);
    const pa = message.kind === "question" ? addressAt(snapshot, packet, message.target) : undefined;
    if (message.kind === "question" && pa) {
      context.emit(packet.ingress, inVlan(answerWith(message, pa.macAddress, false), pa.vlanID));
      if (context.observer) tell(context.observer, saw(), `answered for ${formatAddress(message.target)}`, pa);
      return CONSUME;
    }
    if (context.observer) tell(context.observer, saw(), isHeard ? "heard where a neighbor is" : "not for this host");
    // Adapters outside of network virtualization may have asked the same neighbor: an answer for them is theirs.
    const isTaken = isHeard && message.kind === "answer" && isOurMac(snapshot.policy, snapshot.ports, packet);
    return isTaken ? CONSUME : CONTINUE;
  },
};

/** The provider address here that the sender claims for itself, or while we do not have it yet wants too. */
function conflictWith(
  snapshot: NveSnapshot,
  packet: PacketView,
  message: Question | Statement,
): ProviderAddress | undefined {
  const { addresses, mac } = message.claims;
  const wanted = message.kind === "question" && message.asker === null ? [message.target] : [];
  for (const address of [...addresses, ...wanted]) {
    const pa = placedAt(snapshot, packet, address);
    if (!pa || mac === pa.macAddress) continue;
    if (pa.addressState === "Tentative" || addresses.includes(address)) return pa;
  }
  return undefined;
}

/** Notes where the sender is, if somebody has asked for it; returns whether. No neighbor has a group's MAC address (RFC 1812 §3.3.2). */
function noteNeighbors({ state }: NveSnapshot, packet: PacketView, claims: Claims, context: LayerContext): boolean {
  if (isGroupMac(claims.mac) || claims.mac === ZERO_MAC) return false;
  const known = claims.addresses.filter((address) => state.neighbors.isKnown(address));
  const at = { port: packet.ingress, vlan: vlanOf(packet.parsed) };
  for (const address of known) context.raise<NveEffect>({ kind: "neighborHeard", address, mac: claims.mac, ...at });
  return known.length > 0;
}

/** The provider address in use at the NIC and in the VLAN where the frame arrived. A tentative one is not ours yet. */
function addressAt(snapshot: NveSnapshot, packet: PacketView, address: Address): ProviderAddress | undefined {
  const { ports } = snapshot;
  const { ingress, parsed } = packet;
  const pa = placedAt(snapshot, packet, address);
  if (pa?.addressState !== "Preferred" && pa?.addressState !== "Deprecated") return undefined;
  const { destination } = parsed;
  const isForUs = isGroupMac(destination) || destination === pa.macAddress || destination === ports.nicMac(ingress);
  return isForUs ? pa : undefined;
}

/** The provider address of the NIC and the VLAN where the frame arrived, whatever its state. */
function placedAt({ policy, ports }: NveSnapshot, packet: PacketView, address: Address): ProviderAddress | undefined {
  const pa = policy.providerAddresses.find(address);
  const isHere = pa && ports.nicPort(pa.interfaceIndex) === packet.ingress && pa.vlanID === vlanOf(packet.parsed);
  return isHere ? pa : undefined;
}

const vlanOf = ({ tag }: ParsedFrame): number => (tag === null ? 0 : vidOf(tag));
