/** Address translation of fragments: a first fragment has the ports; the others follow it, or wait for it until the end of the tick. */
import { Reason } from "../../dataplane/index.js";
import { CONSUME, dropFor, type LayerContext, type Outcome, type PacketView } from "../../dataplane/slowpath/index.js";
import type { GatewayEffect, GatewayState } from "./gateway-state.js";
import { ends, fragmentKey } from "./nat-flow.js";
import { type NatFlow, readFirstFragment } from "./nat-packet.js";
import type { Binding } from "./nat-table.js";
import { tell } from "./reception.js";

/** What a side of the gateway does with fragments. */
export interface FragmentSide {
  /** The side that `fragmentKey` tells fragments apart by. */
  readonly side: number;
  /** For a first fragment, which later ones will find by the key. */
  translateFlow(flow: NatFlow, key: string): Outcome;
  /** For a later one of a binding. */
  follow(binding: Binding): Outcome;
}

export function translateFragment(
  state: GatewayState,
  packet: PacketView,
  context: LayerContext,
  { side, translateFlow, follow }: FragmentSide,
): Outcome {
  context.doNotCache();
  const ip = packet.parsed.ip!;
  const key = fragmentKey(packet.bytes, ip, side);
  if (ip.fragment === "first") {
    const flow = readFirstFragment(packet.bytes, ip);
    return flow ? translateFlow(flow, key) : dropFor(Reason.NAT_PROTOCOL);
  }
  const saw = "a later fragment";
  const binding = state.bindingOfFragments(key);
  if (binding) {
    tell(context, saw, `translated: ${ends(binding)}`, binding);
    return follow(binding);
  }
  if (binding === null) {
    tell(context, saw, "drop: the first has not come");
    return dropFor(Reason.NAT_FRAGMENT);
  }
  tell(context, saw, "waits");
  const frame = packet.bytes.slice(packet.start, packet.end);
  context.raise<GatewayEffect>({ kind: "laterFragment", key, ingress: packet.ingress, frame });
  return CONSUME;
}
