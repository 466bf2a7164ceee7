/**
 * Site-to-site GRE (Add-VpnS2SInterface -GreTunnel -GreKey): a tenant's packets in GRE with key (RFC 2784, RFC 2890), without an
 * Ethernet header inside.
 *
 *     Ethernet | IP: tunnel's source to destination | GRE: key, 0x0800 or 0x86dd | the tenant's packet
 *
 * Made and opened in the slow path, packet by packet. Congestion marks go along by RFC 6040; the outer packet is never cut (DF).
 */
import { Reason } from "../../dataplane/index.js";
import { type ParsedFrame, parseFrame } from "../../dataplane/packet/index.js";
import {
  checkGre,
  ECN_DROP,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  greChecksumIsRight,
  greKeyAt,
  greLengthAt,
  greProtocolAt,
  IPV4_LENGTH,
  IPV6_LENGTH,
  innerEcn,
  outerEcn,
  PROTOCOL_GRE,
  prefixContains,
  sameAddress,
  setIpv4Ecn,
  setIpv6Ecn,
  writeEthernet,
  writeGre,
  writeIpv4,
  writeIpv6,
} from "../../dataplane/wire/index.js";
import type { GatewaySettings, GreTunnel } from "../settings.js";
import { forwarded, type Link } from "./nat-packet.js";

const TTL = 128;
const GRE_WITH_KEY = 8;
const outerLength = ({ source }: GreTunnel): number => (source.family === 4 ? IPV4_LENGTH : IPV6_LENGTH) + GRE_WITH_KEY;

/** The longest packet that fits the tunnel, where its path carries so much. */
export const tunnelMtu = (pathMtu: number, tunnel: GreTunnel): number => pathMtu - outerLength(tunnel);

/** The packet of `frame`, one hop on, in the tunnel; what lies behind the packet stays behind. */
export function encapsulate(bytes: Uint8Array, frame: ParsedFrame, link: Link, tunnel: GreTunnel): Uint8Array {
  const ip = frame.ip!;
  const { source, destination } = tunnel;
  const inner = forwarded(bytes, frame, link).subarray(ETHERNET_LENGTH, ETHERNET_LENGTH + ip.end - ip.at);
  const payloadLength = GRE_WITH_KEY + inner.length;
  const out = new Uint8Array(ETHERNET_LENGTH + outerLength(tunnel) + inner.length);
  const isIpv4 = source.family === 4;
  const trafficClass = outerEcn("normal", ip.trafficClass & 3); // RFC 6040 §4.1; DSCP 0, the pipe model of RFC 2983
  writeEthernet(out, 0, link.destination, link.source, isIpv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
  let at = ETHERNET_LENGTH;
  if (isIpv4) {
    // No identification: RFC 6864 §4.1 leaves atomic datagrams without one.
    at += writeIpv4(out, at, {
      source,
      destination,
      protocol: PROTOCOL_GRE,
      ttl: TTL,
      payloadLength,
      tos: trafficClass,
      dontFragment: true,
    });
  } else {
    at += writeIpv6(out, at, {
      source,
      destination,
      nextHeader: PROTOCOL_GRE,
      hopLimit: TTL,
      payloadLength,
      trafficClass,
    });
  }
  at += writeGre(out, at, { protocol: ip.family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6, key: tunnel.key });
  out.set(inner, at);
  return out;
}

export interface Decapsulated {
  /** Index of the tunnel's tenant. */
  readonly tenant: number;
  readonly tunnel: GreTunnel;
  /** On the tenant's link. */
  readonly frame: Uint8Array;
}

/** The tenant's packet of a GRE packet from the far end of a tunnel; or why it is none. */
export function decapsulate(bytes: Uint8Array, frame: ParsedFrame, gateway: GatewaySettings): Decapsulated | Reason {
  const ip = frame.ip!;
  const at = ip.transportAt;
  if (ip.fragment !== "none" || checkGre(bytes, at, ip.end) !== Reason.NONE) return Reason.GATEWAY_TUNNEL;
  if (!greChecksumIsRight(bytes.subarray(0, ip.end), at, ip.end)) return Reason.GATEWAY_TUNNEL;
  const found = findTunnel(frame, greKeyAt(bytes, at), gateway);
  const inner = innerFrame(bytes, at, ip.end);
  if (!found || inner?.ip == null) return Reason.GATEWAY_TUNNEL;
  const { tenant, tunnel } = found;
  const { source, ttl, trafficClass } = inner.ip;
  // Who is at the far end may speak for what lies behind it, and for nobody else.
  if (!tunnel.prefixes.some((prefix) => prefixContains(prefix, source))) return Reason.GATEWAY_TUNNEL;
  if (ttl <= 1) return Reason.GATEWAY_TTL;
  const ecn = innerEcn(ip.trafficClass & 3, trafficClass & 3); // RFC 6040 §4.2
  if (ecn === ECN_DROP) return Reason.RX_ECN;
  const link = { destination: gateway.tenants[tenant]!.routerMac, source: gateway.mac };
  const out = forwarded(inner.bytes, inner, link);
  if (inner.ip.family === 4) setIpv4Ecn(out, ETHERNET_LENGTH, ecn);
  else setIpv6Ecn(out, ETHERNET_LENGTH, ecn);
  return { tenant, tunnel, frame: out };
}

function findTunnel(
  { ip }: ParsedFrame,
  key: number | null,
  { tenants }: GatewaySettings,
): { tenant: number; tunnel: GreTunnel } | undefined {
  for (const [tenant, { tunnels }] of tenants.entries()) {
    for (const tunnel of tunnels) {
      const isIt =
        tunnel.key === key &&
        sameAddress(tunnel.destination, ip!.source) &&
        sameAddress(tunnel.source, ip!.destination);
      if (isIt) return { tenant, tunnel };
    }
  }
  return undefined;
}

/** The packet inside as a frame of its own, for the parser, which knows frames only. */
function innerFrame(bytes: Uint8Array, greAt: number, end: number): (ParsedFrame & { bytes: Uint8Array }) | null {
  const packet = bytes.subarray(greAt + greLengthAt(bytes, greAt), end);
  const frame = new Uint8Array(ETHERNET_LENGTH + packet.length);
  writeEthernet(frame, 0, 0 as Link["source"], 0 as Link["source"], greProtocolAt(bytes, greAt));
  frame.set(packet, ETHERNET_LENGTH);
  const parsed = parseFrame(frame, 0, frame.length);
  return parsed && { ...parsed, bytes: frame };
}
