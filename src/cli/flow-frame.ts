/**
 * From `udp 10.0.0.5:4000 > 10.0.1.9:53` to a frame as the VM behind a port would send it: its MAC address, and that of the
 * destination or of the gateway.
 */
import type { LookupRecord } from "../dataplane/policy/index.js";
import {
  type Address,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  formatAddress,
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
  parseAddress,
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
import type { AdapterSettings, Lab } from "../vswitch/index.js";
import { usageError } from "./errors.js";

export interface Flow {
  readonly protocol: "udp" | "tcp" | "icmp";
  readonly source: Address;
  readonly destination: Address;
  /** 0 for ICMP. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const FORM =
  "expected such as 'udp 10.0.0.5:4000 > 10.0.1.9:53', 'tcp [fd00::5]:4000 > [fd00::7]:80' or 'icmp 10.0.0.5 > 10.0.0.7'";

export function parseFlow(text: string): Flow {
  const refuse = (): never => {
    throw usageError(`--flow '${text}': ${FORM}`);
  };
  const [, protocol, left, right] = /^\s*(udp|tcp|icmp)\s+(\S+)\s*>\s*(\S+)\s*$/i.exec(text) ?? refuse();
  const name = protocol!.toLowerCase() as Flow["protocol"];
  const from = parseEndpoint(left!, name !== "icmp") ?? refuse();
  const to = parseEndpoint(right!, name !== "icmp") ?? refuse();
  if (from.address.family !== to.address.family)
    throw usageError(`--flow '${text}': both addresses must be of one family`);
  return {
    protocol: name,
    source: from.address,
    destination: to.address,
    sourcePort: from.port,
    destinationPort: to.port,
  };
}

function parseEndpoint(text: string, hasPort: boolean): { address: Address; port: number } | undefined {
  const [, bracketed, bare, digits] = /^(?:\[(.+)\]|([^[\]]+?))(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (hasPort) {
    const address = parseAddress(bracketed ?? bare ?? "");
    const port = Number(digits);
    return address && digits !== undefined && port <= 65_535 ? { address, port } : undefined;
  }
  const address = parseAddress(bracketed ?? text); // without ports, every colon belongs to the address
  return address && { address, port: 0 };
}

export interface BuiltFrame {
  readonly frame: Uint8Array;
  /** How the addresses of the Ethernet header were chosen. */
  readonly note: string;
}

/** A frame of the flow as the adapter at this port would send it. */
export function buildFlowFrame(lab: Lab, portName: string, flow: Flow): BuiltFrame {
  const { host, adapter } = requireAdapter(lab, portName);
  const policy = lab.policyOf(host)!;
  const record: LookupRecord | undefined = policy.lookupRecords.find(adapter.vsid, flow.destination);
  const mac = record ? record.macAddress : policy.gatewayMac(adapter.vsid);
  const whose = record ? "from the lookup record of" : "the gateway's, since this virtual subnet has no record of";
  return {
    frame: buildFrame(flow, adapter.mac, mac),
    note: `destination MAC: ${whose} ${formatAddress(flow.destination)}`,
  };
}

function requireAdapter(lab: Lab, portName: string): { host: string; adapter: AdapterSettings } {
  for (const { name, adapters } of lab.settings.hosts) {
    const adapter = adapters.find((candidate) => `${name}/${candidate.portName}` === portName);
    if (!adapter) continue;
    if (adapter.vsid === 0) break;
    return { host: name, adapter };
  }
  throw usageError(`--flow needs the port of a VM in a virtual subnet, which ${portName} is not; use --hex or --pcap`);
}

const TTL = 64;
/** What the payload is, to be found again in dumps. */
const PAYLOAD = new TextEncoder().encode("hnv trace");
const SYN_WINDOW = 64_240;

function buildFrame(flow: Flow, sourceMac: Mac, destinationMac: Mac): Uint8Array {
  const isIpv4 = flow.source.family === 4;
  const payload = flow.protocol === "tcp" ? new Uint8Array(0) : PAYLOAD; // a SYN carries none
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
