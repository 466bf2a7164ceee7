/**
 * ARP and neighbor discovery: what a VM asks before it can send. Answers come from responders; what the messages say is
 * payload and not in any flow key, so nothing that rests on it is cached.
 */
import { Reason } from "../../drop-reasons.js";
import type { ParsedFrame } from "../../packet/parse.js";
import { ETHERTYPE_ARP } from "../../wire/ethernet.js";
import { PROTOCOL_ICMPV6 } from "../../wire/ipv4.js";
import { dropFor } from "../evaluate.js";
import { CONTINUE, type Layer } from "../layer.js";
import { frameText, tell } from "./explain.js";
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

/** The place of the proxy that answers VMs; without one nobody does. */
export const addressResolution: Layer<NveSnapshot> = {
  name: "address resolution",
  evaluate(_snapshot, { parsed }, context) {
    const isAsked = isAddressResolution(parsed);
    if (context.observer) {
      tell(
        context.observer,
        frameText(parsed),
        isAsked ? "ARP or neighbor discovery; no responder runs here" : "neither ARP nor neighbor discovery",
      );
    }
    if (!isAsked) return CONTINUE;
    context.doNotCache();
    return dropFor(Reason.TX_UNANSWERED);
  },
};
