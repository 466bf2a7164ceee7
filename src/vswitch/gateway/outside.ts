/**
 * From the outside to a tenant.
 *
 *   frame, address resolution   for us, and readable; our external addresses are answered for
 *   destination                 one of our external addresses, and nothing else
 *   site-to-site                GRE of a tunnel: out of it, and on to its tenant; how wide its path is
 *   NAT                         the internal endpoint of a binding; nobody else is let in
 *
 * Filtering is endpoint-independent (RFC 4787 REQ-8): whoever knows an external endpoint that is bound may send to it.
 */
import { Reason } from "../../dataplane/index.js";
import {
  CONSUME,
  CONTINUE,
  dropFor,
  errorAbout,
  isTooBigMessage,
  type Layer,
  type LayerContext,
  type Outcome,
  type PacketView,
} from "../../dataplane/slowpath/index.js";
import type { AddressRewrite } from "../../dataplane/transposition/index.js";
import { formatAddress, PROTOCOL_GRE } from "../../dataplane/wire/index.js";
import { translateFragment } from "./fragments.js";
import type { GatewayEffect, GatewayState } from "./gateway-state.js";
import { ends, flowText, isTcpEnd, rewriteOf } from "./nat-flow.js";
import { type Link, type NatFlow, type QuotingError, readNatPacket, translatedError } from "./nat-packet.js";
import type { Binding } from "./nat-table.js";
import { reception, type Side, tell } from "./reception.js";
import { decapsulate, outOfTunnel } from "./tunnel.js";
import { takeTunnelPath } from "./tunnel-path.js";

const outsideSide = (state: GatewayState): Side => ({
  mac: state.settings.external.mac,
  isOurs: (address) => state.isExternal(address),
});

/** The side that fragments from outside are of, in `fragmentKey`. */
const OUTSIDE = -1;

const destination: Layer<GatewayState> = {
  name: "destination",
  evaluate(state, packet, context) {
    const ip = packet.parsed.ip!;
    const isOurs = state.isExternal(ip.destination);
    if (context.observer) {
      const saw = `destination ${formatAddress(ip.destination)}`;
      tell(context, saw, isOurs ? "an external address of the gateway" : "drop: not the gateway's");
    }
    return isOurs ? CONTINUE : dropFor(Reason.GATEWAY_NO_ROUTE);
  },
};

const siteToSite: Layer<GatewayState> = {
  name: "site-to-site",
  evaluate(state, packet, context) {
    const ip = packet.parsed.ip!;
    if (isTooBigMessage(packet.bytes, ip)) return takeTunnelPath(state, packet, context) ?? CONTINUE;
    if (ip.protocol !== PROTOCOL_GRE) return CONTINUE;
    const opened = decapsulate(packet.bytes, packet.parsed, state.settings);
    if (typeof opened === "number") {
      context.doNotCache(); // what is wrong with it is not in the flow key
      tell(context, "GRE", "drop: of no tunnel, or not what a tunnel carries");
      return dropFor(opened);
    }
    const { tenant, tunnel } = opened;
    tell(context, `GRE with key ${tunnel.key}`, `out of tunnel ${tunnel.name}`, tunnel);
    const output = state.ports.inside[tenant]!;
    return { kind: "forward", outputs: [outOfTunnel(linkInside(state, tenant), output)] };
  },
};

const addressTranslation: Layer<GatewayState> = {
  name: "NAT",
  evaluate(state, packet, context) {
    const ip = packet.parsed.ip!;
    const read = readNatPacket(packet.bytes, ip);
    switch (read.kind) {
      case "flow":
        return translateFlow(state, packet, read, null, context);
      case "fragment":
        return translateFragment(state, packet, context, {
          side: OUTSIDE,
          translateFlow: (flow, key) => translateFlow(state, packet, flow, key, context),
          follow: (binding) =>
            ip.ttl <= 1 ? dropFor(Reason.GATEWAY_TTL) : into(state, binding, { destination: binding.internal.address }),
        });
      case "error":
        return translateIncomingError(state, packet, read, context);
      default:
        context.doNotCache(); // what it says is not in the flow key
        tell(context, "the transport header", "drop: neither TCP, UDP, ICMP echo nor an error about them");
        return dropFor(read.kind === "malformed" ? Reason.INVALID_PACKET : Reason.NAT_PROTOCOL);
    }
  },
};

export const OUTSIDE_LAYERS: readonly Layer<GatewayState>[] = [
  ...reception(outsideSide),
  destination,
  siteToSite,
  addressTranslation,
];

function translateFlow(
  state: GatewayState,
  packet: PacketView,
  flow: NatFlow,
  fragments: string | null,
  context: LayerContext,
): Outcome {
  const { protocol } = flow;
  context.consulted(state.outsideStamp(protocol, flow.destination));
  const isQuery = protocol === "icmp" && !flow.isReply; // nobody inside has asked
  const binding = isQuery ? undefined : state.table.fromOutside(protocol, flow.destination);
  if (context.observer) {
    tell(
      context,
      flowText(flow),
      binding ? `translated: ${ends(binding)}` : "drop: nobody inside has opened it",
      binding,
    );
  }
  if (!binding) return dropFor(Reason.NAT_NO_BINDING);
  if (packet.parsed.ip!.ttl <= 1) return expired(state, packet, context);
  if (fragments !== null) context.raise<GatewayEffect>({ kind: "firstFragment", key: fragments, binding: binding.id });
  return translatedInwards(state, binding, flow, rewriteOf("destination", protocol, binding.internal), context);
}

/** To the internal endpoint of a binding. A connection's end counts, whoever has ended it. */
export function translatedInwards(
  state: GatewayState,
  binding: Binding,
  flow: NatFlow,
  address: AddressRewrite,
  context: LayerContext,
): Outcome {
  if (isTcpEnd(flow) && binding.phase === "established") {
    context.raise<GatewayEffect>({ kind: "used", binding: binding.id, phase: "closing" });
  }
  return into(state, binding, address);
}

/** Time exceeded, as from any router on the way. */
function expired(state: GatewayState, packet: PacketView, context: LayerContext): Outcome {
  context.doNotCache();
  const { mac } = state.settings.external;
  const error = errorAbout(
    packet.bytes,
    packet.parsed,
    { kind: "timeExceeded" },
    { address: packet.parsed.ip!.destination, mac },
  );
  if (error) context.emit(packet.ingress, error);
  return dropFor(Reason.GATEWAY_TTL);
}

const linkInside = (state: GatewayState, tenant: number): Link => ({
  destination: state.tenant(tenant).routerMac,
  source: state.settings.mac,
});

function into(state: GatewayState, { tenant }: Binding, address: AddressRewrite): Outcome {
  return {
    kind: "forward",
    outputs: [
      {
        output: state.ports.inside[tenant]!,
        pop: false,
        dscpInwards: false,
        ethernet: { ...linkInside(state, tenant), tag: null },
        decrementTtl: true,
        address,
        guardsTcpEnd: true,
        push: null,
        lengthLimit: null,
      },
    ],
  };
}

/** About a packet that went out: its sender knows its own endpoint only. Errors do not keep bindings (RFC 5508 REQ-6). */
function translateIncomingError(
  state: GatewayState,
  packet: PacketView,
  { quoted }: QuotingError,
  context: LayerContext,
): Outcome {
  context.doNotCache();
  const binding = state.table.fromOutside(quoted.protocol, quoted.source);
  if (context.observer) {
    tell(
      context,
      `error about ${flowText(quoted)}`,
      binding ? `translated: ${ends(binding)}` : "drop: no binding",
      binding,
    );
  }
  if (!binding) return dropFor(Reason.NAT_NO_BINDING);
  if (packet.parsed.ip!.ttl <= 1) return dropFor(Reason.GATEWAY_TTL);
  const { internal, tenant } = binding;
  const link = linkInside(state, tenant);
  const outer = { destination: internal.address };
  context.emit(
    state.ports.inside[tenant]!,
    translatedError(packet.bytes, packet.parsed, link, outer, { source: internal }),
  );
  return CONSUME;
}
