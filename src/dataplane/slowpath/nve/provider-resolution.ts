/**
 * ARP and neighbor discovery of the provider network: the host answers for its provider addresses, each on its NIC and VLAN, so that
 * peers on a real wire find it, and so that nobody else takes such an address (RFC 5227 §2.1.1, RFC 4862 §5.4.3).
 *
 * Only with `resolve: wire`. Otherwise neighbors are known on both sides, and what of this kind arrives is left to whoever else lives
 * on the host, as is what asks for other addresses.
 */
import type { ParsedFrame } from "../../packet/parse.js";
import type { ProviderAddress } from "../../policy/policy.js";
import { providerStamp } from "../../policy/stamps.js";
import { formatAddress } from "../../wire/address-text.js";
import { isGroupMac } from "../../wire/mac.js";
import { makeTci, TPID_CTAG, VLAN_TAG_LENGTH, VLAN_TAG_OFFSET, vidOf, writeVlanTag } from "../../wire/vlan.js";
import { CONSUME, CONTINUE, type Layer, type PacketView } from "../layer.js";
import { answerWith, isAddressResolution, readMessage } from "./address-resolution.js";
import { frameText, tell } from "./explain.js";
import type { NveSnapshot } from "./snapshot.js";

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
    const pa = message?.kind === "question" ? addressAt(snapshot, packet, message.target) : undefined;
    if (message?.kind !== "question" || !pa) {
      if (context.observer) tell(context.observer, frameText(parsed), "does not ask for a provider address here");
      return CONTINUE;
    }
    context.emit(packet.ingress, inVlan(answerWith(message, pa.macAddress, false), pa.vlanID));
    if (context.observer)
      tell(context.observer, frameText(parsed), `answered for ${formatAddress(message.target)}`, pa);
    return CONSUME;
  },
};

/** The provider address in use at the NIC and in the VLAN where the frame arrived. A tentative one is not ours yet. */
function addressAt(
  { policy, ports }: NveSnapshot,
  { ingress, parsed }: PacketView,
  address: ProviderAddress["providerAddress"],
): ProviderAddress | undefined {
  const pa = policy.providerAddresses.find(address);
  const isInUse = pa?.addressState === "Preferred" || pa?.addressState === "Deprecated";
  if (!isInUse || ports.nicPort(pa.interfaceIndex) !== ingress || pa.vlanID !== vlanOf(parsed)) return undefined;
  const { destination } = parsed;
  const isForUs = isGroupMac(destination) || destination === pa.macAddress || destination === ports.nicMac(ingress);
  return isForUs ? pa : undefined;
}

const vlanOf = ({ tag }: ParsedFrame): number => (tag === null ? 0 : vidOf(tag));

/** The frame with a tag of this VLAN; 0: as it is. */
function inVlan(frame: Uint8Array, vlan: number): Uint8Array {
  if (vlan === 0) return frame;
  const tagged = new Uint8Array(frame.length + VLAN_TAG_LENGTH);
  tagged.set(frame.subarray(0, VLAN_TAG_OFFSET));
  writeVlanTag(tagged, VLAN_TAG_OFFSET, TPID_CTAG, makeTci(0, false, vlan));
  tagged.set(frame.subarray(VLAN_TAG_OFFSET), VLAN_TAG_OFFSET + VLAN_TAG_LENGTH);
  return tagged;
}
