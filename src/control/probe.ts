/** Packets made up to ask what would become of them. */
import {
  type Address,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ICMP_ECHO_REQUEST,
  ICMP_LENGTH,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_LENGTH,
  IPV4_LENGTH,
  IPV6_LENGTH,
  type Mac,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  setIcmpChecksum,
  setIcmpv6Checksum,
  setTcpChecksum,
  setUdpChecksum,
  TCP_LENGTH,
  TCP_SYN,
  UDP_LENGTH,
  writeEthernet,
  writeIcmp,
  writeIcmpv6,
  writeIpv4,
  writeIpv6,
  writeTcp,
  writeUdp,
} from "../dataplane/wire/index.js";

export interface Flow {
  readonly protocol: "udp" | "tcp" | "icmp";
  readonly source: Address;
  readonly destination: Address;
  /** 0 for ICMP. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const TTL = 64;
const SYN_WINDOW = 64_240;

/** The first packet of a flow, with right checksums. A SYN carries no data. */
export function buildProbe(flow: Flow, sourceMac: Mac, destinationMac: Mac, data: Uint8Array): Uint8Array {
  const isIpv4 = flow.source.family === 4;
  const payload = flow.protocol === "tcp" ? new Uint8Array(0) : data;
  const transportLength = transportHeaderLength(flow.protocol, isIpv4) + payload.length;
  const ipAt = ETHERNET_LENGTH;
  const transportAt = ipAt + (isIpv4 ? IPV4_LENGTH : IPV6_LENGTH);
  const frame = new Uint8Array(transportAt + transportLength);

  writeEthernet(frame, 0, destinationMac, sourceMac, isIpv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
  const { source, destination } = flow;
  const protocol = protocolNumber(flow.protocol, isIpv4);
  if (isIpv4) {
    const payloadLength = transportLength;
    writeIpv4(frame, ipAt, { source, destination, protocol, ttl: TTL, payloadLength, dontFragment: true });
  } else {
    writeIpv6(frame, ipAt, {
      source,
      destination,
      nextHeader: protocol,
      hopLimit: TTL,
      payloadLength: transportLength,
    });
  }
  frame.set(payload, frame.length - payload.length);
  writeTransport(frame, flow, isIpv4, ipAt, transportAt, payload.length);
  return frame;
}

function transportHeaderLength(protocol: Flow["protocol"], isIpv4: boolean): number {
  if (protocol === "udp") return UDP_LENGTH;
  if (protocol === "tcp") return TCP_LENGTH;
  return isIpv4 ? ICMP_LENGTH : ICMPV6_LENGTH;
}

function protocolNumber(protocol: Flow["protocol"], isIpv4: boolean): number {
  if (protocol === "udp") return PROTOCOL_UDP;
  if (protocol === "tcp") return PROTOCOL_TCP;
  return isIpv4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
}

function writeTransport(
  frame: Uint8Array,
  { protocol, sourcePort, destinationPort }: Flow,
  isIpv4: boolean,
  ipAt: number,
  at: number,
  payloadLength: number,
): void {
  const end = frame.length;
  const firstEcho = 0x0001_0001; // identifier and sequence number 1
  if (protocol === "udp") {
    writeUdp(frame, at, { sourcePort, destinationPort, payloadLength });
    setUdpChecksum(frame, ipAt, at);
  } else if (protocol === "tcp") {
    writeTcp(frame, at, { sourcePort, destinationPort, sequence: 0, flags: TCP_SYN, window: SYN_WINDOW });
    setTcpChecksum(frame, ipAt, at, end);
  } else if (isIpv4) {
    writeIcmp(frame, at, ICMP_ECHO_REQUEST, 0, firstEcho);
    setIcmpChecksum(frame, at, end);
  } else {
    writeIcmpv6(frame, at, ICMPV6_ECHO_REQUEST, 0, firstEcho);
    setIcmpv6Checksum(frame, ipAt, at, end);
  }
}
