/** Frames of a host's own on the provider network, each in the VLAN of the provider address that sends it. */
import type { ProviderAddress } from "../../policy/policy.js";
import type { Address } from "../../wire/address.js";
import type { Mac } from "../../wire/bytes.js";
import { makeTci, TPID_CTAG, VLAN_TAG_LENGTH, VLAN_TAG_OFFSET, writeVlanTag } from "../../wire/vlan.js";
import { type Asking, arpRequest } from "../responders/arp.js";
import { neighborSolicitation } from "../responders/neighbor-discovery.js";

/** Asks who has `target`: everybody, or the station where it was last. */
export const askFor = (from: ProviderAddress, target: Address, targetMac: Mac | null): Uint8Array =>
  inVlan(ask({ mac: from.macAddress, address: from.providerAddress, target, targetMac }), from.vlanID);

/** Asks whether somebody else has the provider address (RFC 5227 §2.1.1, RFC 4862 §5.4.2). */
export const probeFor = ({ macAddress: mac, providerAddress: target, vlanID }: ProviderAddress): Uint8Array =>
  inVlan(ask({ mac, address: null, target, targetMac: null }), vlanID);

/** Tells everybody that the provider address is here (RFC 5227 §2.3). IPv4 only: ND has no need of it (RFC 4861 §7.2.6). */
export const announcementOf = ({ macAddress: mac, providerAddress: address, vlanID }: ProviderAddress): Uint8Array =>
  inVlan(arpRequest({ mac, address, target: address, targetMac: null }), vlanID);

const ask = (asking: Asking): Uint8Array =>
  asking.target.family === 4 ? arpRequest(asking) : neighborSolicitation(asking);

/** The frame with a tag of this VLAN; 0: as it is. */
export function inVlan(frame: Uint8Array, vlan: number): Uint8Array {
  if (vlan === 0) return frame;
  const tagged = new Uint8Array(frame.length + VLAN_TAG_LENGTH);
  tagged.set(frame.subarray(0, VLAN_TAG_OFFSET));
  writeVlanTag(tagged, VLAN_TAG_OFFSET, TPID_CTAG, makeTci(0, false, vlan));
  tagged.set(frame.subarray(VLAN_TAG_OFFSET), VLAN_TAG_OFFSET + VLAN_TAG_LENGTH);
  return tagged;
}
