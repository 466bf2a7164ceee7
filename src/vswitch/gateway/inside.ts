/**
 * From a tenant to the outside.
 *
 *   frame, address resolution   for us, and readable; our address in the tenant's virtual subnet is answered for
 *   gateway                     not for the gateway itself
 *   site-to-site                behind one of the tenant's tunnels: into GRE
 *   hairpin                     one of our own external addresses: translated, and in again from outside
 *   route                       next hop, its MAC, TTL and size
 *   NAT                         the external endpoint of its binding
 */
import { Reason } from "../../dataplane/index.js";
import { providerStamp } from "../../dataplane/policy/index.js";
import {
  CONSUME,
  CONTINUE,
  consumeAs,
  dropFor,
  errorAbout,
  type Layer,
  type LayerContext,
  type Outcome,
  type PacketView,
  type Problem,
} from "../../dataplane/slowpath/index.js";
import { type AddressRewrite, apply, type Forward } from "../../dataplane/transposition/index.js";
import {
  type Address,
  formatAddress,
  formatPrefix,
  fragmentIpv4,
  isUnspecified,
  prefixContains,
  sameAddress,
} from "../../dataplane/wire/index.js";
import { translateFragment } from "./fragments.js";
import type { GatewayEffect, GatewayState } from "./gateway-state.js";
import { ends, flowText, isTcpReset, phaseAfter, rewriteOf } from "./nat-flow.js";
import { type Link, type NatFlow, type QuotingError, readNatPacket, translatedError } from "./nat-packet.js";
import type { Binding, Endpoint } from "./nat-table.js";
import { translatedInwards } from "./outside.js";
import { reception, type Side, tell } from "./reception.js";
import { intoTunnel, tunnelMtu } from "./tunnel.js";

function insideSide(state: GatewayState, packet: PacketView): Side {
  const { addresses } = state.tenant(state.tenantAt(packet.ingress));
  return { mac: state.settings.mac, isOurs: (address) => addresses.some((own) => sameAddress(own, address)) };
}

const gatewayItself: Layer<GatewayState> = {
  name: "gateway",
  evaluate(state, packet, context) {
    const { destination } = packet.parsed.ip!;
    const isOurs = insideSide(state, packet).isOurs(destination);
    if (context.observer) {
      tell(context, `destination ${formatAddress(destination)}`, isOurs ? "drop: the gateway's own" : "to be routed");
    }
    return isOurs ? dropFor(Reason.GATEWAY_SELF) : CONTINUE;
  },
};

const siteToSite: Layer<GatewayState> = {
  name: "site-to-site",
  evaluate(state, packet, context) {
    const tenant = state.tenant(state.tenantAt(packet.ingress));
    const ip = packet.parsed.ip!;
    const tunnel = state.tunnelTo(tenant, ip.destination);
    if (!tunnel) return CONTINUE;
    const saw = `destination ${formatAddress(ip.destination)}`;
    if (context.observer) tell(context, saw, `through GRE tunnel ${tunnel.name}, key ${tunnel.key}`, tunnel);
    const link = linkTo(state, tunnel.destination);
    if (typeof link === "number") return dropFor(link);
    context.consulted(providerStamp(context.node)); // the path's MTU
    const mtu = tunnelMtu(state.pathMtuOf(tunnel), tunnel);
    const forward = intoTunnel(tunnel, link, mtu, state.ports.external, context.node);
    // What is made here leaves behind its burst, so it takes no part in counting identifications; DF is set.
    const send = (frame: Uint8Array): void => {
      const whole = apply(forward, frame, () => 0);
      if (typeof whole !== "number") context.emit(state.ports.external, whole);
    };
    const bare = withoutPadding(packet);
    const refused = mayGoOn(state, bare, mtu, send, context);
    if (refused) return refused;
    if (bare === packet) return { kind: "forward", outputs: [forward] };
    send(packet.bytes.slice(bare.start, bare.end));
    if (context.observer) tell(context, saw, "without the padding behind the packet, which no tunnel carries", tunnel);
    return CONSUME;
  },
};

const withoutPadding = (packet: PacketView): PacketView => {
  const { end } = packet.parsed.ip!;
  return packet.end === end ? packet : { ...packet, end, parsed: { ...packet.parsed, end } };
};

/**
 * Not across the wire and back (RFC 4787 REQ-9): both translations at once where both ends have a binding, as later packets of a
 * flow do; else the packet as it would leave enters again from outside.
 */
const hairpin: Layer<GatewayState> = {
  name: "hairpin",
  evaluate(state, packet, context) {
    const { destination } = packet.parsed.ip!;
    if (!state.isExternal(destination)) return CONTINUE;
    if (context.observer) {
      tell(
        context,
        `destination ${formatAddress(destination)}`,
        "an external address of the gateway: translated, and back in",
      );
    }
    const refused = mayGoOn(state, packet, Number.POSITIVE_INFINITY, () => {}, context);
    if (refused) return refused;
    const tenant = state.tenantAt(packet.ingress);
    const turned = turnedAround(state, tenant, packet, context);
    if (turned) return turned;
    const { mac } = state.settings.external;
    const send = (frame: Uint8Array): void => context.resubmit(state.ports.external, frame);
    const outcome = translate({ state, tenant, packet, link: { destination: mac, source: mac }, send, context });
    if (outcome.kind !== "forward") return outcome;
    // The TTL counts once, on the way in.
    const leaving = { ...outcome.outputs[0]!, decrementTtl: false, lengthLimit: null };
    const frame = apply(leaving, packet.bytes.subarray(packet.start, packet.end), () => 0);
    if (typeof frame === "number") return dropFor(frame);
    send(frame);
    return CONSUME;
  },
};

/** Null if one end has no binding, or the packet is none that the flow table knows. */
function turnedAround(state: GatewayState, tenant: number, packet: PacketView, context: LayerContext): Outcome | null {
  const flow = readNatPacket(packet.bytes, packet.parsed.ip!);
  if (flow.kind !== "flow" || flow.protocol === "icmp") return null; // nobody is asked from outside
  const { protocol, source, destination } = flow;
  const from = isInternal(state, tenant, source) ? state.table.fromInside(tenant, protocol, source) : undefined;
  const to = state.table.fromOutside(protocol, destination);
  if (!from || !to) return null;
  context.consulted(state.insideStamp(tenant, protocol, source));
  context.consulted(state.outsideStamp(protocol, destination));
  if (context.observer) tell(context, flowText(flow), `translated: ${ends(from)}, ${ends(to)}`, to);
  use(from, flow, context);
  const address = {
    ...rewriteOf("source", protocol, from.external),
    ...rewriteOf("destination", protocol, to.internal),
  };
  return translatedInwards(state, to, flow, address, context);
}

const route: Layer<GatewayState> = {
  name: "route",
  evaluate(state, packet, context) {
    const { destination } = packet.parsed.ip!;
    const { external } = state.settings;
    const link = linkTo(state, destination);
    if (context.observer) {
      const by = state.routeTo(destination);
      const decided =
        link === Reason.GATEWAY_NO_ROUTE
          ? "drop: no route"
          : link === Reason.GATEWAY_UNRESOLVED
            ? "drop: the next hop's MAC is not known"
            : `by ${formatPrefix(by!.destinationPrefix)}`;
      tell(context, `destination ${formatAddress(destination)}`, decided, by);
    }
    if (typeof link === "number") return dropFor(link);
    const enterAgain = (fragment: Uint8Array): void => context.resubmit(packet.ingress, fragment);
    const refused = mayGoOn(state, packet, external.mtu, enterAgain, context);
    if (refused) return refused;
    packet.plan.destinationMac = link.destination;
    packet.plan.sourceMac = link.source;
    packet.plan.lengthLimit = external.mtu;
    packet.plan.decrementTtl = true; // what is dropped from here on has passed a guard, and is not cached
    return CONTINUE;
  },
};

const addressTranslation: Layer<GatewayState> = {
  name: "NAT",
  evaluate(state, packet, context) {
    const { destinationMac: destination, sourceMac: source } = packet.plan;
    const tenant = state.tenantAt(packet.ingress);
    const send = (frame: Uint8Array): void => context.emit(state.ports.external, frame);
    return translate({ state, tenant, packet, link: { destination, source }, send, context });
  },
};

export const INSIDE_LAYERS: readonly Layer<GatewayState>[] = [
  ...reception(insideSide),
  gatewayItself,
  siteToSite,
  hairpin,
  route,
  addressTranslation,
];

/** The Ethernet addresses towards an outside address, or why there are none. */
function linkTo(state: GatewayState, destination: Address): Link | Reason {
  const { external } = state.settings;
  const by = state.routeTo(destination);
  if (!by) return Reason.GATEWAY_NO_ROUTE;
  const hop = isUnspecified(by.nextHop) ? destination : by.nextHop;
  const neighbor = external.neighbors.find(({ address }) => sameAddress(address, hop));
  return neighbor ? { destination: neighbor.mac, source: external.mac } : Reason.GATEWAY_UNRESOLVED;
}

/** A router's duties: TTL, and size. The sender is told, or each fragment that fits is handed to `goOn`. Null: nothing is in the way. */
function mayGoOn(
  state: GatewayState,
  packet: PacketView,
  mtu: number,
  goOn: (fragment: Uint8Array) => void,
  context: LayerContext,
): Outcome | null {
  const ip = packet.parsed.ip!;
  if (ip.ttl <= 1) {
    context.doNotCache();
    tellSender(state, packet, { kind: "timeExceeded" }, context);
    return dropFor(Reason.GATEWAY_TTL);
  }
  if (packet.parsed.end - packet.parsed.networkAt <= mtu) return null;
  context.doNotCache();
  if (ip.dontFragment) {
    tellSender(state, packet, { kind: "tooBig", mtu }, context);
    return dropFor(Reason.GATEWAY_TOO_BIG);
  }
  const { bytes, start, end } = packet;
  const fragments = fragmentIpv4(bytes.subarray(start, end), ip.at - start, mtu); // RFC 4787 REQ-13, RFC 1812 §5.2.6
  for (const fragment of fragments) goOn(fragment);
  return fragments.length > 0 ? consumeAs(Reason.GATEWAY_FRAGMENTED) : dropFor(Reason.GATEWAY_TOO_BIG);
}

function tellSender(state: GatewayState, packet: PacketView, problem: Problem, context: LayerContext): void {
  const { addresses } = state.tenant(state.tenantAt(packet.ingress));
  const address = addresses.find(({ family }) => family === packet.parsed.ip!.family);
  if (!address) return;
  const error = errorAbout(packet.bytes, packet.parsed, problem, { address, mac: state.settings.mac });
  if (error) context.emit(packet.ingress, error); // to the distributed router, from which the packet came
}

/** A packet on its way out. */
interface Passage {
  readonly state: GatewayState;
  /** Index of the tenant that it comes from. */
  readonly tenant: number;
  readonly packet: PacketView;
  /** Its Ethernet addresses outside. */
  readonly link: Link;
  /** Sends what is made in its place. */
  readonly send: (frame: Uint8Array) => void;
  readonly context: LayerContext;
}

/** The packet with the external endpoint of its sender's binding. */
function translate(passage: Passage): Outcome {
  const { state, tenant, packet, context } = passage;
  const read = readNatPacket(packet.bytes, packet.parsed.ip!);
  switch (read.kind) {
    case "flow":
      return translateFlow(passage, read, null);
    case "fragment":
      return translateFragment(state, packet, context, {
        side: tenant,
        translateFlow: (flow, key) => translateFlow(passage, flow, key),
        follow: (binding) => out(passage, { source: binding.external.address }),
      });
    case "error":
      return translateError(passage, read);
    default:
      context.doNotCache(); // what it says is not in the flow key
      tell(context, "the transport header", "drop: neither TCP, UDP, ICMP echo nor an error about them");
      return dropFor(read.kind === "malformed" ? Reason.INVALID_PACKET : Reason.NAT_PROTOCOL);
  }
}

/** `fragments`: the datagram of which the packet is the first piece; null if it is whole. */
function translateFlow(passage: Passage, flow: NatFlow, fragments: string | null): Outcome {
  const { state, tenant, context } = passage;
  const { protocol, source } = flow;
  const saw = context.observer ? flowText(flow) : "";
  if (!isInternal(state, tenant, source)) {
    tell(context, saw, "drop: not an internal address of the tenant");
    return dropFor(Reason.NAT_SOURCE);
  }
  context.consulted(state.insideStamp(tenant, protocol, source));
  const binding = state.table.fromInside(tenant, protocol, source);
  if (!binding) return open(passage, flow, fragments);

  if (context.observer) tell(context, saw, `translated: ${ends(binding)}`, binding);
  use(binding, flow, context);
  if (fragments !== null) context.raise<GatewayEffect>({ kind: "firstFragment", key: fragments, binding: binding.id });
  return out(passage, rewriteOf("source", protocol, binding.external));
}

const isInternal = (state: GatewayState, tenant: number, { address }: Endpoint): boolean =>
  state.tenant(tenant).internalPrefixes.some((prefix) => prefixContains(prefix, address));

/** No binding yet: the packet waits for one, if it may have one and there is room. */
function open({ state, tenant, packet, context }: Passage, flow: NatFlow, fragments: string | null): Outcome {
  context.doNotCache();
  const { protocol, source: internal } = flow;
  const saw = context.observer ? flowText(flow) : "";
  if (flow.isReply || isTcpReset(flow)) {
    tell(context, saw, "drop: it belongs to no binding, and none begins with it");
    return dropFor(Reason.NAT_NO_BINDING);
  }
  if (!state.table.hasRoom(tenant, protocol, internal)) {
    tell(context, saw, "drop: all external ports of the tenant are in use");
    return dropFor(Reason.NAT_EXHAUSTED);
  }
  tell(context, saw, "gets a binding, and then enters again");
  const { ingress } = packet;
  const frame = packet.bytes.slice(packet.start, packet.end);
  context.raise<GatewayEffect>({ kind: "open", tenant, protocol, internal, fragments, ingress, frame });
  return CONSUME;
}

/** Keeps the binding, and follows what TCP says; nothing is raised if that is known. */
function use(binding: Binding, flow: NatFlow, context: LayerContext): void {
  if (binding.isStatic) return;
  const phase = phaseAfter(binding, flow);
  if (phase === "opening") context.doNotCache(); // to see the handshake's end
  if (binding.isInUse && phase === binding.phase) return;
  context.raise<GatewayEffect>({ kind: "used", binding: binding.id, phase });
}

function out({ state, packet, link }: Passage, address: AddressRewrite): Outcome {
  const forward: Forward = {
    output: state.ports.external,
    pop: false,
    dscpInwards: false,
    ethernet: { ...link, tag: null },
    decrementTtl: true,
    address,
    guardsTcpEnd: true,
    push: null,
    lengthLimit: packet.plan.lengthLimit,
  };
  return { kind: "forward", outputs: [forward] };
}

/** About a packet that came in: its sender knows the external endpoint only. */
function translateError({ state, tenant, packet, link, send, context }: Passage, { quoted }: QuotingError): Outcome {
  context.doNotCache();
  const binding = state.table.fromInside(tenant, quoted.protocol, quoted.destination);
  if (context.observer) {
    const decided = binding ? `translated: ${ends(binding)}` : "drop: no binding";
    tell(context, `error about ${flowText(quoted)}`, decided, binding);
  }
  if (!binding) return dropFor(Reason.NAT_NO_BINDING);
  const { external } = binding;
  send(translatedError(packet.bytes, packet.parsed, link, { source: external.address }, { destination: external }));
  return CONSUME;
}
