/**
 * Plain layer-2 switching for adapters without a virtual subnet: outside of network virtualization, side by side with it.
 *
 * The switch knows every adapter's address and learns none: known unicast goes to that adapter, unknown unicast from an
 * adapter to the NIC, group addresses to all others. What comes from the wire for nobody here is left to the NVE.
 */
import { Reason } from "../dataplane/index.js";
import { portStamp, providerStamp } from "../dataplane/policy/index.js";
import {
  CONTINUE,
  dropFor,
  forwardOf,
  forwardTo,
  type Layer,
  type Outcome,
  type PacketView,
} from "../dataplane/slowpath/index.js";
import type { Forward, PortIndex } from "../dataplane/transposition/index.js";
import { formatMac, isGroupMac, type Vsid } from "../dataplane/wire/index.js";
import type { HostSnapshot } from "./host-snapshot.js";

const NO_VSID = 0 as Vsid;

/** For frames from an adapter without a VSID; always decides. */
export const switchFromAdapter: Layer<HostSnapshot> = {
  name: "layer-2 switch",
  evaluate({ ports }, packet, context): Outcome {
    const { parsed, ingress } = packet;
    context.consulted(portStamp(ingress));
    context.consulted(providerStamp(context.node));
    const saw = () => `destination ${formatMac(parsed.destination)}`;
    if (isGroupMac(parsed.destination)) {
      const others = [...ports.plainAdapters(), ...ports.nicPorts()].filter((port) => port !== ingress);
      context.observer?.note({ saw: saw(), decided: `to all ${others.length} other ports` });
      return toAll(packet, others);
    }
    const owner = ports.portOf(NO_VSID, parsed.destination);
    if (owner === ingress) {
      context.observer?.note({ saw: saw(), decided: "drop: the destination is the sender" });
      return dropFor(Reason.NOT_ACCEPTED);
    }
    if (owner !== undefined && ports.isFiltered(owner)) {
      context.observer?.note({ saw: saw(), decided: "drop: its adapter takes frames with isolation ids only" });
      return dropFor(Reason.FILTERED_ISOLATION_UNTAGGED);
    }
    const output = owner ?? ports.nicPorts()[0];
    if (output === undefined) {
      context.observer?.note({ saw: saw(), decided: "drop: unknown, and the switch has no NIC" });
      return dropFor(Reason.NOT_ACCEPTED);
    }
    context.observer?.note({
      saw: saw(),
      decided: owner === undefined ? "unknown here: to the NIC" : "to the adapter with this address",
    });
    return forwardTo(packet, output, null);
  },
};

/** For frames from the wire: takes what is for adapters without a VSID, leaves the rest to the NVE. */
export const switchFromNic: Layer<HostSnapshot> = {
  name: "layer-2 switch",
  evaluate({ ports }, packet, context): Outcome {
    const { parsed } = packet;
    const saw = () => `destination ${formatMac(parsed.destination)}, ${parsed.tag === null ? "untagged" : "tagged"}`;
    context.consulted(providerStamp(context.node));
    if (parsed.tag === null && isGroupMac(parsed.destination) && ports.plainAdapters().length > 0) {
      packet.plan.besides = ports.plainAdapters().map((port) => forwardOf(packet, port, null));
      context.observer?.note({ saw: saw(), decided: "to the adapters outside of network virtualization, and on" });
      return CONTINUE; // it may be a virtual subnet's, in a provider group
    }
    const owner = parsed.tag === null ? ports.portOf(NO_VSID, parsed.destination) : undefined;
    if (owner !== undefined && !ports.isFiltered(owner)) {
      context.observer?.note({
        saw: saw(),
        decided: "to the adapter with this address, outside of network virtualization",
      });
      return forwardTo(packet, owner, null);
    }
    context.observer?.note({ saw: saw(), decided: "no adapter outside of network virtualization wants it" });
    return CONTINUE;
  },
};

function toAll(packet: PacketView, ports: readonly PortIndex[]): Outcome {
  const outputs: Forward[] = [];
  for (const port of ports) {
    const outcome = forwardTo(packet, port, null);
    if (outcome.kind === "forward") outputs.push(...outcome.outputs);
  }
  return outputs.length === 0 ? dropFor(Reason.NOT_ACCEPTED) : { kind: "forward", outputs };
}
