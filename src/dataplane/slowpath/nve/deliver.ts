/**
 * Delivery within the host, in both directions: the port of the virtual subnet that owns the destination MAC.
 *
 * (VSID, MAC) alone decides. The inner destination CA is not compared with anything, because a gateway VM takes packets for
 * any address. A port of another virtual subnet can not be reached, whatever the frame holds.
 */
import type { Reason } from "../../drop-reasons.js";
import { providerStamp } from "../../policy/stamps.js";
import { formatMac } from "../../wire/mac.js";
import { dropFor, forwardTo } from "../evaluate.js";
import type { LayerContext, Outcome, PacketView } from "../layer.js";
import { tell } from "./explain.js";
import { learnFromDelivery } from "./learning.js";
import type { NveSnapshot } from "./snapshot.js";

/** Hands the packet to the port of (VSID, destination MAC); drops it for `missing` if there is none, or if it came from there. */
export function deliverLocally(
  snapshot: NveSnapshot,
  packet: PacketView,
  context: LayerContext,
  missing: Reason,
): Outcome {
  const { vsid, destinationMac } = packet.plan;
  context.consulted(providerStamp(context.node));
  learnFromDelivery(snapshot, packet, context);
  const port = snapshot.ports.portOf(vsid, destinationMac);
  const isFound = port !== undefined && port !== packet.ingress;
  if (context.observer) {
    const saw = `VSID ${vsid}, destination MAC ${formatMac(destinationMac)}`;
    const decided = isFound
      ? `delivered to port ${port} of this host`
      : port === undefined
        ? `no adapter of this host has this MAC in virtual subnet ${vsid}`
        : "the adapter with this MAC is the one that sent the packet";
    tell(context.observer, saw, decided);
  }
  return isFound ? forwardTo(packet, port, null) : dropFor(missing);
}
