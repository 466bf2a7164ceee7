/**
 * Site-to-site GRE (Add-VpnS2SInterface -GreTunnel -GreKey): a tenant's packets in GRE with key (RFC 2784, RFC 2890), without an
 * Ethernet header inside.
 *
 *     Ethernet | IP: tunnel's source to destination | GRE: key, 0x0800 or 0x86dd | the tenant's packet
 *
 * Congestion marks go along by RFC 6040; the outer packet is never cut (DF).
 */
import { Reason } from "../../dataplane/index.js";
import { type ParsedFrame, parseBarePacket } from "../../dataplane/packet/index.js";
import type { Forward, GrePush, NodeIndex, PortIndex } from "../../dataplane/transposition/index.js";
import {
  checkGre,
  ECN_DROP,
  GRE_KEYED_LENGTH,
  greChecksumIsRight,
  greKeyAt,
  greLengthAt,
  greProtocolAt,
  IPV4_LENGTH,
  IPV6_LENGTH,
  innerEcn,
  prefixContains,
  sameAddress,
} from "../../dataplane/wire/index.js";
import type { GatewaySettings, GreTunnel } from "../settings.js";
import type { Link } from "./nat-packet.js";

const TTL = 128;
const outerLength = ({ source }: GreTunnel): number =>
  (source.family === 4 ? IPV4_LENGTH : IPV6_LENGTH) + GRE_KEYED_LENGTH;

/** The longest packet that fits the tunnel, where its path carries so much. */
export const tunnelMtu = (pathMtu: number, tunnel: GreTunnel): number => pathMtu - outerLength(tunnel);

/** Packets without padding, one hop on, into the tunnel; `mtu` is the tunnel's. */
export const intoTunnel = (
  { source, destination, key }: GreTunnel,
  link: Link,
  mtu: number,
  output: PortIndex,
  node: NodeIndex,
): Forward => {
  const pushGre: GrePush = {
    ethernet: { ...link, tag: null },
    source,
    destination,
    ttl: TTL,
    ecn: "normal", // RFC 6040 §4.1
    dscp: { model: "pipe", value: 0 }, // RFC 2983 §3.1
    dontFragment: true,
    flowLabel: 0,
    identification: node,
    key,
  };
  return { ...ONE_HOP, output, pushGre, lengthLimit: mtu };
};

/** Packets out of a tunnel, one hop on, to a tenant's link. */
export const outOfTunnel = (link: Link, output: PortIndex): Forward => ({
  ...ONE_HOP,
  output,
  pop: true,
  ethernet: { ...link, tag: null },
});

const ONE_HOP = { pop: false, dscpInwards: false, ethernet: null, decrementTtl: true, push: null, lengthLimit: null };

export interface Decapsulated {
  /** Index of the tunnel's tenant. */
  readonly tenant: number;
  readonly tunnel: GreTunnel;
}

/** Whose packet a GRE packet from the far end of a tunnel carries; or why it carries none. */
export function decapsulate(bytes: Uint8Array, frame: ParsedFrame, gateway: GatewaySettings): Decapsulated | Reason {
  const ip = frame.ip!;
  const at = ip.transportAt;
  if (ip.fragment !== "none" || checkGre(bytes, at, ip.end) !== Reason.NONE) return Reason.GATEWAY_TUNNEL;
  if (!greChecksumIsRight(bytes.subarray(0, ip.end), at, ip.end)) return Reason.GATEWAY_TUNNEL;
  const found = findTunnel(frame, greKeyAt(bytes, at), gateway);
  const inner = parseBarePacket(bytes, at + greLengthAt(bytes, at), ip.end, greProtocolAt(bytes, at))?.ip;
  if (!found || !inner) return Reason.GATEWAY_TUNNEL;
  // Who is at the far end may speak for what lies behind it, and for nobody else.
  if (!found.tunnel.prefixes.some((prefix) => prefixContains(prefix, inner.source))) return Reason.GATEWAY_TUNNEL;
  if (inner.ttl <= 1) return Reason.GATEWAY_TTL;
  const isLost = innerEcn(ip.trafficClass & 3, inner.trafficClass & 3) === ECN_DROP; // RFC 6040 §4.2
  return isLost ? Reason.RX_ECN : found;
}

function findTunnel({ ip }: ParsedFrame, key: number | null, { tenants }: GatewaySettings): Decapsulated | undefined {
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
