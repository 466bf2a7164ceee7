/**
 * DHCP guard and router guard: an adapter that is guarded may use servers and routers, but not play one
 * (Set-VMNetworkAdapter -DhcpGuard, -RouterGuard; both off by default).
 *
 *     DHCP guard      UDP from port 67 with BOOTP's op "reply";  from port 547: advertise, reply, reconfigure, relay-reply
 *     router guard    ICMP redirect (5), router advertisement (9);  ICMPv6 router advertisement (134), redirect (137)
 *
 * First fragments are looked into as well, and behind extension headers, however many; what they keep back for the next one is taken for the
 * worst. What a guard reads behind the ports is in no flow key, so such packets are decided one by one.
 */
import { Reason } from "../dataplane/index.js";
import type { ParsedIp } from "../dataplane/packet/index.js";
import { portStamp } from "../dataplane/policy/index.js";
import {
  CONTINUE,
  dropFor,
  type Layer,
  type LayerContext,
  type Outcome,
  type PacketView,
} from "../dataplane/slowpath/index.js";
import {
  BOOTP_REPLY,
  DHCP_SERVER_PORT,
  DHCPV6_ADVERTISE,
  DHCPV6_RECONFIGURE,
  DHCPV6_RELAY_REPLY,
  DHCPV6_REPLY,
  DHCPV6_SERVER_PORT,
  ICMP_REDIRECT,
  ICMP_ROUTER_ADVERTISEMENT,
  ND_REDIRECT,
  ND_ROUTER_ADVERTISEMENT,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_UDP,
  UDP_LENGTH,
  u8,
  udpSourcePortAt,
  walkIpv6ExtensionsFrom,
} from "../dataplane/wire/index.js";
import type { HostSnapshot } from "./host-snapshot.js";

const DHCPV6_FROM_SERVERS: readonly number[] = [DHCPV6_ADVERTISE, DHCPV6_REPLY, DHCPV6_RECONFIGURE, DHCPV6_RELAY_REPLY];
const FROM_ROUTERS = {
  4: { protocol: PROTOCOL_ICMP, types: [ICMP_REDIRECT, ICMP_ROUTER_ADVERTISEMENT] },
  6: { protocol: PROTOCOL_ICMPV6, types: [ND_ROUTER_ADVERTISEMENT, ND_REDIRECT] },
} as const;

export const guards: Layer<HostSnapshot> = {
  name: "guards",
  evaluate({ ports }, packet, context): Outcome {
    context.consulted(portStamp(packet.ingress));
    const { dhcpGuard, routerGuard } = ports.adapterAt(packet.ingress);
    const isServer = dhcpGuard && isFromDhcpServer(packet, context);
    const isRouter = !isServer && routerGuard && isFromRouter(packet, context);
    context.observer?.note({
      saw: `DHCP guard ${onOff(dhcpGuard)}, router guard ${onOff(routerGuard)}`,
      decided: isServer
        ? "drop: speaks as a DHCP server"
        : isRouter
          ? "drop: speaks as a router"
          : "nothing that they hold back",
    });
    if (isServer) return dropFor(Reason.DHCP_GUARD);
    return isRouter ? dropFor(Reason.ROUTER_GUARD) : CONTINUE;
  },
};

const onOff = (flag: boolean): string => (flag ? "on" : "off");

function isFromDhcpServer({ bytes, parsed }: PacketView, context: LayerContext): boolean {
  const { ip } = parsed;
  const transport = transportOf(bytes, ip, context);
  if (transport === null) return true;
  if (!ip || transport?.protocol !== PROTOCOL_UDP) return false;
  const { transportAt } = transport;
  if (ip.end - transportAt < 2) return true;
  const serverPort = ip.family === 4 ? DHCP_SERVER_PORT : DHCPV6_SERVER_PORT;
  if (udpSourcePortAt(bytes, transportAt) !== serverPort) return false;
  context.doNotCache();
  const at = transportAt + UDP_LENGTH;
  if (at >= ip.end) return true;
  const first = u8(bytes, at); // `op`, or the message type
  return ip.family === 4 ? first === BOOTP_REPLY : DHCPV6_FROM_SERVERS.includes(first);
}

function isFromRouter({ bytes, parsed }: PacketView, context: LayerContext): boolean {
  const { ip } = parsed;
  const transport = transportOf(bytes, ip, context);
  if (transport === null) return true;
  if (!ip || !transport) return false;
  const { protocol, types } = FROM_ROUTERS[ip.family];
  if (transport.protocol !== protocol) return false;
  return ip.end === transport.transportAt || (types as readonly number[]).includes(u8(bytes, transport.transportAt));
}

type Transport = Pick<ParsedIp, "protocol" | "transportAt">;

/**
 * The transport header of a packet: behind all extension headers, those too that a first fragment has behind its Fragment header. Undefined if
 * the packet has none, null if it ends before it. What the flow key does not show is read packet by packet.
 */
function transportOf(bytes: Uint8Array, ip: ParsedIp | null, context: LayerContext): Transport | undefined | null {
  if (!ip || ip.fragment === "later") return undefined;
  if (ip.ports === null && MAY_BE_GUARDED.includes(ip.protocol)) context.doNotCache();
  if (ip.family === 4) return ip;
  let last: Transport = ip;
  for (;;) {
    const chain = walkIpv6ExtensionsFrom(bytes, last.protocol, last.transportAt, ip.end);
    const isCut = !chain.ok && chain.transportAt === last.transportAt;
    if (isCut || chain.transportAt !== ip.transportAt) context.doNotCache();
    if (isCut) return null;
    if (chain.ok && chain.fragment === "none") return chain;
    last = chain;
  }
}

const MAY_BE_GUARDED: readonly number[] = [PROTOCOL_UDP, PROTOCOL_ICMP, PROTOCOL_ICMPV6];
