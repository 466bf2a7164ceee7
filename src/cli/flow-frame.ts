/**
 * From `udp 10.0.0.5:4000 > 10.0.1.9:53` to a frame as the VM behind a port would send it: its MAC address, and that of the
 * destination or of the gateway.
 */
import { buildProbe, type Flow } from "../control/index.js";
import type { LookupRecord } from "../dataplane/policy/index.js";
import { type Address, formatAddress, parseAddress } from "../dataplane/wire/index.js";
import type { AdapterSettings, Lab } from "../vswitch/index.js";
import { usageError } from "./errors.js";

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
  const mac = record ? record.macAddress : policy.gatewayMac(adapter.vsid, flow.destination.family);
  const whose = record ? "from the lookup record of" : "the gateway's, since this virtual subnet has no record of";
  return {
    frame: buildProbe(flow, adapter.mac, mac, PAYLOAD),
    note: `destination MAC: ${whose} ${formatAddress(flow.destination)}`,
  };
}

/** What the payload is, to be found again in dumps. */
const PAYLOAD = new TextEncoder().encode("hnv trace");

function requireAdapter(lab: Lab, portName: string): { host: string; adapter: AdapterSettings } {
  for (const { name, adapters } of lab.settings.hosts) {
    const adapter = adapters.find((candidate) => `${name}/${candidate.portName}` === portName);
    if (!adapter) continue;
    if (adapter.vsid === 0) break;
    return { host: name, adapter };
  }
  throw usageError(`--flow needs the port of a VM in a virtual subnet, which ${portName} is not; use --hex or --pcap`);
}
