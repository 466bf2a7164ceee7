/** Flows and bindings as both directions look at them. */
import type { ParsedIp } from "../../dataplane/packet/index.js";
import type { AddressRewrite } from "../../dataplane/transposition/index.js";
import { formatAddress, ipv4IdentificationAt, TCP_FIN, TCP_RST, TCP_SYN, u32 } from "../../dataplane/wire/index.js";
import type { NatProtocol } from "../settings.js";
import type { NatFlow } from "./nat-packet.js";
import type { Binding, Endpoint, Phase } from "./nat-table.js";

/**
 * What a binding is after a packet from inside (RFC 5382 REQ-5): TCP is established once its sender has acknowledged the far end's SYN, and
 * closing once one side has finished. As a binding may be for several connections, one that goes on, long after another has ended,
 * makes it established again; shortly after, it may be the end's own acknowledgment.
 */
export function phaseAfter({ phase, isInUse }: Binding, { protocol, tcpFlags }: NatFlow): Phase {
  if (protocol !== "tcp") return "open";
  if (tcpFlags & (TCP_FIN | TCP_RST)) return "closing";
  if (tcpFlags & TCP_SYN) return phase === "closing" ? "opening" : phase;
  return phase === "closing" && isInUse ? "closing" : "established";
}

/** Does the packet end a connection? */
export const isTcpEnd = ({ tcpFlags }: NatFlow): boolean => (tcpFlags & (TCP_FIN | TCP_RST)) !== 0;
export const isTcpReset = ({ tcpFlags }: NatFlow): boolean => (tcpFlags & TCP_RST) !== 0;

/** New address and port, or identifier, of one end. */
export function rewriteOf(
  end: "source" | "destination",
  protocol: NatProtocol,
  { address, port }: Endpoint,
): AddressRewrite {
  if (protocol === "icmp") return { [end]: address, identifier: port };
  return { [end]: address, [`${end}Port`]: port };
}

/** Names a datagram in pieces (RFC 791 §3.2, RFC 8200 §4.5). `side`: the tenant that sends it, or -1 for outside. */
export function fragmentKey(bytes: Uint8Array, ip: ParsedIp, side: number): string {
  const identification = ip.family === 4 ? ipv4IdentificationAt(bytes, ip.at) : u32(bytes, ip.transportAt - 4);
  return `${side} ${formatAddress(ip.source)} ${formatAddress(ip.destination)} ${ip.protocol} ${identification}`;
}

export const flowText = ({ protocol, source, destination }: NatFlow): string =>
  `${protocol} ${endText(source)} > ${endText(destination)}`;

export const ends = ({ internal, external }: Binding): string => `${endText(internal)} is ${endText(external)} outside`;

const endText = ({ address, port }: Endpoint): string =>
  address.family === 4 ? `${formatAddress(address)}:${port}` : `[${formatAddress(address)}]:${port}`;
