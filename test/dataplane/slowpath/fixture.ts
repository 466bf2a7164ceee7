/**
 * The two-tenant lab as plain objects: hosts 1 and 2 of the worked packets, with one more Blue VM on host 1.
 *
 *     host1   nic1 | Blue1 5001 10.0.0.5 fd00:10::5 | Red1 6001 10.0.0.5 | Blue4 5002 10.0.1.4
 *     host2   nic1 | Blue2 5001 10.0.0.7 fd00:10::7 | Blue3 5002 10.0.1.9 | Red2 6001 10.0.0.7
 */
import { Reason, reasonName } from "../../../src/dataplane/drop-reasons.js";
import {
  type CustomerRoute,
  DEFAULT_NVE_SETTINGS,
  type HostPolicy,
  type HostPolicyParts,
  type LookupRecord,
  LookupRecords,
  makeHostPolicy,
  type Neighbor,
  type NveSettings,
  type ProviderAddress,
} from "../../../src/dataplane/policy/index.js";
import {
  INBOUND_LAYERS,
  type LayerNote,
  type LocalPort,
  type LocalPorts,
  makeNode,
  type Node,
  type NveSnapshot,
  NveState,
  OUTBOUND_LAYERS,
  providerMembership,
  providerResolution,
  type Redirect,
} from "../../../src/dataplane/slowpath/index.js";
import {
  apply,
  type Decision,
  type Forward,
  type NodeIndex,
  type PortIndex,
} from "../../../src/dataplane/transposition/index.js";
import type { Address, Prefix } from "../../../src/dataplane/wire/address.js";
import { parseAddress, parsePrefix } from "../../../src/dataplane/wire/address-text.js";
import type { Mac, Vsid } from "../../../src/dataplane/wire/bytes.js";
import { parseMac } from "../../../src/dataplane/wire/mac.js";

export const ip = (text: string): Address => parseAddress(text)!;
export const prefix = (text: string): Prefix => parsePrefix(text) as Prefix;
export const mac = (text: string): Mac => parseMac(text)!;
export const vsid = (value: number): Vsid => value as Vsid;
export const port = (value: number): PortIndex => value as PortIndex;
export const node = (value: number): NodeIndex => value as NodeIndex;

export const BLUE = "{11111111-2222-3333-4444-000000005001}";
export const RED = "{11111111-2222-3333-4444-000000006001}";
export const MACS = {
  nic1: "02-00-C0-A8-04-0B",
  nic2: "02-00-C0-A8-04-16",
  providerRouter: "02-00-C0-A8-04-01",
  blue1: "06-06-00-00-00-05",
  blue2: "06-06-00-00-00-07",
  blue3: "06-06-00-00-00-09",
  blue4: "06-06-00-00-00-04",
  red1: "08-08-00-00-00-05",
  red2: "08-08-00-00-00-07",
  gateway5001: "06-06-00-00-01-01",
  gateway5002: "06-06-00-00-02-01",
} as const;

export const record = (
  vsidOf: number,
  customerAddress: string,
  macAddress: string,
  providerAddress: string,
  more: Partial<LookupRecord> = {},
): LookupRecord => ({
  virtualSubnetID: vsid(vsidOf),
  customerAddress: ip(customerAddress),
  macAddress: mac(macAddress),
  providerAddress: ip(providerAddress),
  rule: "TranslationMethodEncap",
  type: "Static",
  useVmMACAddress: false,
  customerID: null,
  context: null,
  vmName: null,
  ...more,
});

export const route = (
  routingDomainID: string,
  vsidOf: number,
  destinationPrefix: string,
  nextHop = destinationPrefix.includes(":") ? "::" : "0.0.0.0",
  metric = 0,
): CustomerRoute => ({
  routingDomainID,
  virtualSubnetID: vsid(vsidOf),
  destinationPrefix: prefix(destinationPrefix),
  nextHop: ip(nextHop),
  metric,
});

export const providerAddress = (address: string, more: Partial<ProviderAddress> = {}): ProviderAddress => ({
  providerAddress: ip(address),
  interfaceIndex: 1,
  prefixLength: address.includes(":") ? 64 : 24,
  vlanID: 0,
  macAddress: mac(address.endsWith("11") ? MACS.nic1 : MACS.nic2),
  addressState: "Preferred",
  ...more,
});

export const SETTINGS: NveSettings = DEFAULT_NVE_SETTINGS;

export const PA1 = "192.168.4.11";
export const PA2 = "192.168.4.22";
export const PA1_V6 = "2001:db8:4::11";
export const PA2_V6 = "2001:db8:4::22";

/** The lookup records of both hosts, with these provider addresses. */
export const labRecords = (pa1 = PA1, pa2 = PA2): LookupRecord[] => [
  record(5001, "10.0.0.5", MACS.blue1, pa1),
  record(5001, "fd00:10::5", MACS.blue1, pa1),
  record(5001, "10.0.0.7", MACS.blue2, pa2),
  record(5001, "fd00:10::7", MACS.blue2, pa2),
  record(5002, "10.0.1.9", MACS.blue3, pa2),
  record(5002, "10.0.1.4", MACS.blue4, pa1),
  record(6001, "10.0.0.5", MACS.red1, pa1),
  record(6001, "10.0.0.7", MACS.red2, pa2),
  record(5001, "10.0.0.1", MACS.gateway5001, pa1),
  record(5001, "fd00:10::1", MACS.gateway5001, pa1),
  record(5002, "10.0.1.1", MACS.gateway5002, pa1),
];

export const labRoutes = (): CustomerRoute[] => [
  route(BLUE, 5001, "10.0.0.0/24"),
  route(BLUE, 5001, "fd00:10::/64"),
  route(BLUE, 5002, "10.0.1.0/24"),
  route(RED, 6001, "10.0.0.0/24"),
];

export interface Changes extends Partial<Omit<HostPolicyParts, "lookupRecords" | "settings">> {
  readonly lookupRecords?: readonly LookupRecord[];
  readonly settings?: Partial<NveSettings>;
  readonly ports?: Readonly<Record<number, LocalPort>>;
  readonly redirects?: readonly Redirect[];
}

export const adapter = (vsidOf: number, macOf: string): LocalPort => ({
  kind: "adapter",
  mac: mac(macOf),
  vsid: vsid(vsidOf),
  interfaceIndex: 0,
});
export const nic = (macOf: string, interfaceIndex = 1): LocalPort => ({
  kind: "nic",
  mac: mac(macOf),
  vsid: vsid(0),
  interfaceIndex,
});

export const NIC = port(0);
export const HOST1 = { blue1: port(1), red1: port(2), blue4: port(3) } as const;
export const HOST2 = { blue2: port(1), blue3: port(2), red2: port(3) } as const;
const HOST1_PORTS = {
  0: nic(MACS.nic1),
  1: adapter(5001, MACS.blue1),
  2: adapter(6001, MACS.red1),
  3: adapter(5002, MACS.blue4),
};
const HOST2_PORTS = {
  0: nic(MACS.nic2),
  1: adapter(5001, MACS.blue2),
  2: adapter(5002, MACS.blue3),
  3: adapter(6001, MACS.red2),
};

class TestPorts implements LocalPorts {
  constructor(private readonly ports: Readonly<Record<number, LocalPort>>) {}
  settingsOf(index: PortIndex): LocalPort {
    return this.ports[index]!;
  }
  private find(matches: (settings: LocalPort) => boolean): PortIndex | undefined {
    const found = Object.entries(this.ports).find(([, settings]) => matches(settings));
    return found && port(Number(found[0]));
  }
  portOf(vsidOf: Vsid, macOf: Mac): PortIndex | undefined {
    return this.find((settings) => settings.kind === "adapter" && settings.vsid === vsidOf && settings.mac === macOf);
  }
  portsOf(vsidOf: Vsid): readonly PortIndex[] {
    const owned = Object.entries(this.ports).filter(([, { kind, vsid }]) => kind === "adapter" && vsid === vsidOf);
    return owned.map(([index]) => port(Number(index)));
  }
  hasVsid(vsidOf: Vsid): boolean {
    return this.find((settings) => settings.kind === "adapter" && settings.vsid === vsidOf) !== undefined;
  }
  vsids(): Iterable<Vsid> {
    const adapters = Object.values(this.ports).filter(({ kind }) => kind === "adapter");
    return new Set(adapters.map(({ vsid }) => vsid));
  }
  isUp(): boolean {
    return true;
  }
  nicPort(interfaceIndex: number): PortIndex {
    return this.find((settings) => settings.kind === "nic" && settings.interfaceIndex === interfaceIndex)!;
  }
  nicMac(index: PortIndex): Mac {
    return this.ports[index]!.mac;
  }
}

export interface TestHost {
  readonly node: Node;
  readonly policy: HostPolicy;
  readonly ports: LocalPorts;
  decide(frame: Uint8Array, ingress: PortIndex): Decision;
  /** `forward`, or the name of the reason of a drop or pass, prefixed by `pass ` for the latter. */
  verdict(frame: Uint8Array, ingress: PortIndex): string;
  /** The only output of a frame that must be forwarded. */
  forward(frame: Uint8Array, ingress: PortIndex): Forward;
  /** What leaves, by the plain interpreter; the first outer IPv4 header gets `identification`. */
  send(frame: Uint8Array, ingress: PortIndex, identification?: number): { output: PortIndex; frame: Uint8Array };
  /** The notes of each layer. */
  explain(frame: Uint8Array, ingress: PortIndex): Map<string, LayerNote[]>;
}

function makeHost(
  index: number,
  portsOf: Readonly<Record<number, LocalPort>>,
  pa: ProviderAddress,
  neighbors: readonly Neighbor[],
  changes: Changes,
): TestHost {
  const { settings, lookupRecords, ports: otherPorts, redirects = [], ...parts } = changes;
  const policy = makeHostPolicy({
    node: node(index),
    customerRoutes: labRoutes(),
    providerAddresses: [pa],
    providerRoutes: [],
    neighbors,
    interfaceMtus: [1600],
    ...parts,
    lookupRecords: LookupRecords.from(lookupRecords ?? labRecords()),
    settings: { ...SETTINGS, ...settings },
  });
  const ports = new TestPorts({ ...portsOf, ...otherPorts });
  const state = new NveState(node(index));
  for (const redirect of redirects) state.control.redirects.put(redirect, 0);
  const snapshot: NveSnapshot = { policy, ports, state };
  const testNode = makeNode(
    `host${index}`,
    () => snapshot,
    (_snapshot, ingress) =>
      ports.settingsOf(ingress).kind === "nic"
        ? { layers: [providerResolution, providerMembership, ...INBOUND_LAYERS], unreadable: Reason.RX_ETH_SHORT }
        : { layers: OUTBOUND_LAYERS, unreadable: Reason.INVALID_PACKET },
  );
  return testHost(testNode, policy, ports, node(index));
}

export function testHost(testNode: Node, policy: HostPolicy, ports: LocalPorts, nodeIndex: NodeIndex): TestHost {
  const decide = (frame: Uint8Array, ingress: PortIndex): Decision => decideWith(testNode, nodeIndex, frame, ingress);
  const forward = (frame: Uint8Array, ingress: PortIndex): Forward => outputOf(decide(frame, ingress));
  return {
    node: testNode,
    policy,
    ports,
    decide,
    forward,
    verdict: (frame, ingress) => verdictName(decide(frame, ingress)),
    send(frame, ingress, identification = 0) {
      const found = forward(frame, ingress);
      return { output: found.output, frame: carryOut(found, frame, identification) };
    },
    explain(frame, ingress) {
      const notes = new Map<string, LayerNote[]>();
      const observe = (layer: string) => ({
        note: (note: LayerNote) => void notes.set(layer, [...(notes.get(layer) ?? []), note]),
      });
      testNode.decide({ bytes: frame, start: 0, end: frame.length, ingress }, { node: nodeIndex, nowMs: 0, observe });
      return notes;
    },
  };
}

/** Decides a frame that lies in the middle of a larger buffer, as it does in a burst; what surrounds it must not matter. */
export function decideWith(testNode: Node, nodeIndex: NodeIndex, frame: Uint8Array, ingress: PortIndex): Decision {
  const start = 7;
  const bytes = new Uint8Array(frame.length + 2 * start).fill(0xa5);
  bytes.set(frame, start);
  return testNode.decide(
    { bytes, start, end: start + frame.length, ingress },
    { node: nodeIndex, nowMs: 0, observe: null },
  );
}

export function outputOf(decision: Decision): Forward {
  if (decision.verdict.kind !== "forward") throw new Error(`not forwarded: ${verdictName(decision)}`);
  if (decision.verdict.outputs.length !== 1) throw new Error(`${decision.verdict.outputs.length} outputs`);
  return decision.verdict.outputs[0]!;
}

export function carryOut(forward: Forward, frame: Uint8Array, identification = 0): Uint8Array {
  const result = apply(forward, frame, () => identification++);
  if (!(result instanceof Uint8Array)) throw new Error(`apply dropped it: ${reasonName(result)}`);
  return result;
}

export function verdictName({ verdict }: Decision): string {
  switch (verdict.kind) {
    case "forward":
      return "forward";
    case "drop":
      return reasonName(verdict.reason);
    case "pass":
      return `pass ${reasonName(verdict.reason)}`;
    case "consume":
      return verdict.reason === undefined ? "consume" : `consume ${reasonName(verdict.reason)}`;
  }
}

export const host1 = (changes: Changes = {}): TestHost =>
  makeHost(
    1,
    HOST1_PORTS,
    providerAddress(PA1),
    [
      { address: ip(PA2), mac: mac(MACS.nic2) },
      { address: ip(PA2_V6), mac: mac(MACS.nic2) },
      { address: ip("192.168.4.1"), mac: mac(MACS.providerRouter) },
    ],
    changes,
  );
export const host2 = (changes: Changes = {}): TestHost =>
  makeHost(2, HOST2_PORTS, providerAddress(PA2), [{ address: ip(PA1), mac: mac(MACS.nic1) }], changes);

export interface FrameOptions {
  readonly destination: string;
  readonly source: string;
  readonly from: string;
  readonly to: string;
  readonly ttl?: number;
  readonly trafficClass?: number;
  readonly dontFragment?: boolean;
  readonly protocol?: number;
  /** Octets behind the IP header. */
  readonly payload?: Uint8Array;
  readonly tci?: number;
  readonly padding?: number;
}

/** An IP frame, written octet by octet, without help of the code under test. UDP 49152 to 5000 unless told otherwise. */
export function ipFrame(options: FrameOptions): Uint8Array {
  const payload = options.payload ?? Uint8Array.from([0xc0, 0x00, 0x13, 0x88, 0x00, 0x08, 0x00, 0x00]);
  const from = ip(options.from);
  const isV4 = from.family === 4;
  const header = isV4 ? ipv4Header(options, payload.length) : ipv6Header(options, payload.length);
  const type = isV4 ? [0x08, 0x00] : [0x86, 0xdd];
  const tag = options.tci === undefined ? [] : [0x81, 0x00, options.tci >>> 8, options.tci & 0xff];
  return Uint8Array.from([
    ...macOctets(options.destination),
    ...macOctets(options.source),
    ...tag,
    ...type,
    ...header,
    ...payload,
    ...new Array<number>(options.padding ?? 0).fill(0),
  ]);
}

export const macOctets = (text: string): number[] => text.split("-").map((octet) => Number.parseInt(octet, 16));

const wordOctets = (word: number): number[] => [word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff];
const addressOctets = (text: string): number[] => {
  const a = ip(text);
  return a.family === 4 ? wordOctets(a.w3) : [a.w0, a.w1, a.w2, a.w3].flatMap(wordOctets);
};

function ipv4Header(options: FrameOptions, payloadLength: number): number[] {
  const length = 20 + payloadLength;
  const header = [
    0x45,
    options.trafficClass ?? 0,
    length >>> 8,
    length & 0xff,
    0x00,
    0x01,
    options.dontFragment ? 0x40 : 0,
    0,
    options.ttl ?? 64,
    options.protocol ?? 17,
    0,
    0,
    ...addressOctets(options.from),
    ...addressOctets(options.to),
  ];
  const sum = ipv4Checksum(Uint8Array.from(header), 0);
  header[10] = sum >>> 8;
  header[11] = sum & 0xff;
  return header;
}

function ipv6Header(options: FrameOptions, payloadLength: number): number[] {
  const trafficClass = options.trafficClass ?? 0;
  return [
    0x60 | (trafficClass >>> 4),
    (trafficClass & 15) << 4,
    0,
    0,
    payloadLength >>> 8,
    payloadLength & 0xff,
    options.protocol ?? 17,
    options.ttl ?? 64,
    ...addressOctets(options.from),
    ...addressOctets(options.to),
  ];
}

/** The checksum of the IPv4 header at `at`, its field counted as zero: RFC 1071, the long way. */
export function ipv4Checksum(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (let i = at; i < at + (bytes[at]! & 15) * 4; i += 2) {
    if (i === at + 10) continue;
    sum += (bytes[i]! << 8) | bytes[i + 1]!;
    if (sum > 0xffff) sum -= 0xffff;
  }
  return ~sum & 0xffff;
}

/** Repairs total length (to the end of the frame less `padding`) and checksum of the outer IPv4 header at `at`. */
export function repairIpv4(frame: Uint8Array, at = 14, padding = 0): Uint8Array {
  const length = frame.length - at - padding;
  frame[at + 2] = length >>> 8;
  frame[at + 3] = length & 0xff;
  const sum = ipv4Checksum(frame, at);
  frame[at + 10] = sum >>> 8;
  frame[at + 11] = sum & 0xff;
  return frame;
}

/** The frame with `octets` instead of the `removed` octets at `at`. */
export const splice = (frame: Uint8Array, at: number, octets: readonly number[], removed = octets.length): Uint8Array =>
  Uint8Array.from([...frame.subarray(0, at), ...octets, ...frame.subarray(at + removed)]);
