/**
 * Row 10 of the receive checklist where a host puts fragments together: outer fragments are kept until their packet is whole, which then
 * enters the NIC again (`reassembly.ts`). Only those of senders that lookup records name are: others could not be delivered anyway.
 */
import { Reason } from "../../drop-reasons.js";
import { formatAddress } from "../../wire/address-text.js";
import { consumeAs, dropFor } from "../evaluate.js";
import type { LayerContext, Outcome, PacketView } from "../layer.js";
import { tell } from "./explain.js";
import type { NveSnapshot } from "./snapshot.js";
import type { NveEffect } from "./state.js";

export function holdFragment({ policy, state }: NveSnapshot, packet: PacketView, context: LayerContext): Outcome {
  context.doNotCache();
  const { source } = packet.parsed.ip!;
  const frame = packet.bytes.slice(packet.start, packet.end);
  const isKnown = policy.lookupRecords.hasProviderAddress(source);
  const lack = isKnown ? state.reassembly.refusal(frame) : null;
  if (context.observer) {
    const decided = isKnown
      ? lack
        ? `refused: ${lack}`
        : "kept until the packet is whole"
      : "no lookup record names it";
    tell(context.observer, `an outer fragment from ${formatAddress(source)}`, decided);
  }
  if (!isKnown || lack === "malformed") return dropFor(Reason.RX_OUTER_FRAGMENT);
  if (lack) return dropFor(Reason.RX_REASSEMBLY_LIMIT);
  context.raise<NveEffect>({ kind: "fragment", port: packet.ingress, frame });
  return consumeAs(Reason.RX_FRAGMENT_HELD);
}
