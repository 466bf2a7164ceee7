/**
 * Path MTU discovery for site-to-site tunnels: a router outside that cannot send on what a tunnel carries says so to the tunnel's own end, which
 * sent it with DF. From then on the tunnel is narrower, and the next inner packet that no longer fits is answered, as at any router
 * (RFC 2003 §5.1). The message quotes too little of the inner packet to tell its sender at once.
 *
 * Such a message is believed as hosts believe those about NVGRE: it must quote what this gateway sends, and be possible.
 */
import { Reason } from "../../dataplane/index.js";
import {
  believedMtu,
  consumeAs,
  dropFor,
  type LayerContext,
  messageIsIntact,
  type Outcome,
  type PacketView,
  quotedPacket,
} from "../../dataplane/slowpath/index.js";
import { formatAddress, greKeyAt, PROTOCOL_GRE, sameAddress } from "../../dataplane/wire/index.js";
import type { GreTunnel } from "../settings.js";
import type { GatewayEffect, GatewayState } from "./gateway-state.js";
import { tell } from "./reception.js";

/** Of flags, protocol and key. */
const GRE_WITH_KEY = 8;

/** Takes a "too big" message about a tunnel's packet; null if it is about another. */
export function takeTunnelPath(state: GatewayState, packet: PacketView, context: LayerContext): Outcome | null {
  context.doNotCache(); // what is quoted is payload
  const { bytes, parsed } = packet;
  const ip = parsed.ip!;
  const quoted = quotedPacket(bytes, ip);
  if (quoted?.protocol !== PROTOCOL_GRE) return null;
  const hasKey = quoted.end - quoted.transportAt >= GRE_WITH_KEY;
  const key = hasKey ? greKeyAt(bytes, quoted.transportAt) : undefined;
  const isIt = ({ source, destination, key: own }: GreTunnel): boolean =>
    sameAddress(source, quoted.source) && sameAddress(destination, quoted.destination) && (!hasKey || own === key);
  const tunnel = state.settings.tenants.flatMap(({ tunnels }) => tunnels).find(isIt);
  if (!tunnel) return null;

  const { destination, name } = tunnel;
  const mtu = messageIsIntact(bytes, ip) ? believedMtu(bytes, ip, quoted) : "its checksum is wrong";
  if (typeof mtu === "string" || mtu >= (state.pathMtus.find(destination) ?? Number.POSITIVE_INFINITY)) {
    const why = typeof mtu === "string" ? mtu : "no less than what is known";
    if (context.observer) tell(context, `an ICMP error about tunnel ${name}`, `drop: ${why}`, tunnel);
    return dropFor(Reason.GATEWAY_PATH_MTU_IGNORED);
  }
  context.raise<GatewayEffect>({ kind: "pathMtu", destination, mtu });
  const decided = `the path to ${formatAddress(destination)} carries ${mtu} octets`;
  if (context.observer) tell(context, `an ICMP error about tunnel ${name}`, decided, tunnel);
  return consumeAs(Reason.GATEWAY_PATH_MTU);
}
