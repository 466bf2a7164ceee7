/**
 * ARP as a responder sees it (RFC 826, RFC 5227): what a message says, and the reply to a request.
 */
import { Reason } from "../../drop-reasons.js";
import type { ParsedFrame } from "../../packet/parse.js";
import { type Address, ipv4Address, isUnspecified, sameAddress } from "../../wire/address.js";
import {
  ARP_LENGTH,
  ARP_REPLY,
  ARP_REQUEST,
  arpOperationAt,
  arpSenderAddressAt,
  arpSenderMacAt,
  arpTargetAddressAt,
  checkArp,
  writeArp,
} from "../../wire/arp.js";
import type { Mac } from "../../wire/bytes.js";
import { ETHERNET_LENGTH, ETHERTYPE_ARP, writeEthernet } from "../../wire/ethernet.js";
import { BROADCAST_MAC, isGroupMac } from "../../wire/mac.js";
import type { Message, Question } from "./message.js";

/** What the ARP message in a frame says; null if it is malformed, or not about IPv4 over Ethernet. */
export function readArp(bytes: Uint8Array, { networkAt: at, end, source, destination }: ParsedFrame): Message | null {
  if (checkArp(bytes, at, end) !== Reason.NONE) return null;
  const operation = arpOperationAt(bytes, at);
  const sender = arpSenderAddressAt(bytes, at);
  const target = arpTargetAddressAt(bytes, at);
  const isToAll = isGroupMac(destination);
  const claims = { mac: arpSenderMacAt(bytes, at), addresses: isUnspecified(sender) ? [] : [sender] };
  if (operation === ARP_REQUEST) {
    if (sameAddress(sender, target)) return { kind: "announcement", target, claims }; // RFC 5227 §3
    const isProbe = isUnspecified(sender); // RFC 5227 §1.1
    return { kind: "question", target, asker: isProbe ? null : sender, askerMac: source, isToAll, claims };
  }
  if (operation === ARP_REPLY) return { kind: isToAll ? "announcement" : "answer", target: sender, claims };
  return { kind: "other", what: `ARP operation ${operation}`, claims };
}

/** The reply that gives `mac` as that of the address in question (RFC 826, "Packet Reception"); a probe's reply names nobody. */
export function arpReply({ target, asker, askerMac }: Question, mac: Mac): Uint8Array {
  const frame = new Uint8Array(ETHERNET_LENGTH + ARP_LENGTH);
  writeEthernet(frame, 0, askerMac, mac, ETHERTYPE_ARP);
  writeArp(frame, ETHERNET_LENGTH, {
    operation: ARP_REPLY,
    senderMac: mac,
    senderAddress: target,
    targetMac: askerMac,
    targetAddress: asker ?? UNSPECIFIED_IPV4,
  });
  return frame;
}

/** Who asks for `target`, and from where: a request (RFC 826), or with no sender address a probe (RFC 5227 §2.1). */
export interface Asking {
  readonly mac: Mac;
  /** null: the asker has no address yet. */
  readonly address: Address | null;
  readonly target: Address;
  /** Where the target was last; null asks everybody. */
  readonly targetMac: Mac | null;
}

export function arpRequest({ mac, address, target, targetMac }: Asking): Uint8Array {
  const frame = new Uint8Array(ETHERNET_LENGTH + ARP_LENGTH);
  writeEthernet(frame, 0, targetMac ?? BROADCAST_MAC, mac, ETHERTYPE_ARP);
  writeArp(frame, ETHERNET_LENGTH, {
    operation: ARP_REQUEST,
    senderMac: mac,
    senderAddress: address ?? UNSPECIFIED_IPV4,
    targetMac: 0 as Mac, // RFC 5227 §1.1: ignored, and should be zero
    targetAddress: target,
  });
  return frame;
}

const UNSPECIFIED_IPV4 = ipv4Address(0);
