/**
 * The fast path against the plain interpreter: a node with arbitrary, but for each flow constant, transpositions is run through an
 * engine, and every frame that comes out is compared with what `apply` makes of the same decision. The tests run a
 * fraction of what `npm run soak` runs.
 *
 * The node decides by a hash of what is in the flow key, as real layers do, so that a wrong key or a wrong entry shows as
 * wrong bytes. Guards are asked of the packet itself. Now and then a stamp moves, and all flows that name it are decided otherwise.
 *
 * Everything follows from a batch's seed: frames, ports, headroom, bursts, size of the flow table, streams.
 */
import { Reason, reasonName } from "../../src/dataplane/drop-reasons.js";
import { Engine, type EngineOptions, type PacketEnd } from "../../src/dataplane/engine.js";
import {
  BURST_BYTES_MAX,
  BURST_MAX,
  CONTROL,
  FRAME_LENGTH_MAX,
  ROW,
  ROW_SIZE,
  STREAM,
  STREAM_ITEM,
  STREAM_ITEM_SIZE,
  STREAM_SIZE,
} from "../../src/dataplane/packet/layout.js";
import { type ParsedFrame, type ParsedIp, parseBarePacket, parseFrame } from "../../src/dataplane/packet/parse.js";
import type { FrameAtPort, Node } from "../../src/dataplane/slowpath/layer.js";
import { apply } from "../../src/dataplane/transposition/apply.js";
import type {
  AddressRewrite,
  Decision,
  Forward,
  NodeIndex,
  NvgrePush,
  PortIndex,
  Stamp,
} from "../../src/dataplane/transposition/transposition.js";
import { type Address, ipv4Address, ipv6AddressAt } from "../../src/dataplane/wire/address.js";
import { type FlowId, type Mac, setU16, type Tci, u16, type Vsid } from "../../src/dataplane/wire/bytes.js";
import { checksum } from "../../src/dataplane/wire/checksum.js";
import { hasFlowPorts } from "../../src/dataplane/wire/entropy.js";
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "../../src/dataplane/wire/ethernet.js";
import { checkGre, greKeyAt, greLengthAt, greProtocolAt } from "../../src/dataplane/wire/gre.js";
import {
  IPV4_LENGTH,
  IPV4_PACKET_MAX,
  PROTOCOL_GRE,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_UDP,
} from "../../src/dataplane/wire/ipv4.js";
import { checkNvgre, NVGRE_LENGTH } from "../../src/dataplane/wire/nvgre.js";
import { transportChecksumOf } from "../../src/dataplane/wire/transport.js";
import { TPID_CTAG, VLAN_TAG_LENGTH } from "../../src/dataplane/wire/vlan.js";
import { type CheckedModule, EngineFences, recordRegions } from "./fences.js";
import { garbageFrame, mutatedFrame, tenantFrame, wireFrame } from "./frames.js";
import { Random } from "./random.js";
import { Tally } from "./tally.js";

const NODE = 0 as NodeIndex;
const VM = 0 as PortIndex;
const WIRE = 1 as PortIndex;
const OUT = 2 as PortIndex;
const OTHER = 3 as PortIndex;
/** Receive queues at WIRE. */
const QUEUES = 5;
const PORTS = [
  { name: "n/vm", node: NODE, tunnel: false, peer: null, echo: true },
  { name: "n/wire", node: NODE, tunnel: true, peer: null, receiveQueues: QUEUES },
  { name: "n/out", node: NODE, tunnel: false, peer: null },
  { name: "n/other", node: NODE, tunnel: false, peer: null },
];
/** Stamps 1 … of the node; 0 never moves. */
const STAMPS = 3;

/** One packet, and what happens before it. */
export interface Item {
  readonly port: PortIndex;
  readonly frame: Uint8Array;
  /** Bytes in front of the frame that the kernel may use. */
  readonly headroom: number;
  /** Bytes that the capture cut off. */
  readonly missing: number;
  /** The burst before ends here. */
  readonly cut: boolean;
  /** A stamp that moves before. */
  readonly moved: Stamp | null;
  readonly kind: "well-meant" | "mutated" | "garbage";
}

export interface Batch {
  readonly items: readonly Item[];
  readonly flowCapacity: number;
  /** Left out: the engine's own. */
  readonly idleTimeouts?: EngineOptions["idleTimeouts"];
  readonly streams: boolean;
}

/** What can be counted; all of it comes up in a long run. */
const FRAMES = ["no Ethernet", "link", "IPv4", "IPv6", "broken IP"] as const;
const NVGRE = [
  "NVGRE/4 link",
  "NVGRE/4 IPv4",
  "NVGRE/4 IPv6",
  "NVGRE/4 broken IP",
  "NVGRE/6 link",
  "NVGRE/6 IPv4",
  "NVGRE/6 IPv6",
  "NVGRE/6 broken IP",
] as const;
const GRE = ["GRE/4 IPv4", "GRE/4 IPv6", "GRE/6 IPv4", "GRE/6 IPv6"] as const;
export const KINDS = {
  source: ["well-meant", "mutated", "garbage"],
  frame: [...FRAMES, ...NVGRE, ...GRE],
  with: [
    "tag",
    "fragment",
    "options",
    "extension headers",
    "over 1500 bytes",
    "over 9000 bytes",
    "headroom",
    "transport cut short",
    "UDP without checksum",
    "padding",
  ],
  decision: [
    "drop",
    "pass",
    "consume",
    "forward",
    "replicate",
    "copy refused",
    "untouched",
    "pop",
    "pop and push",
    "pop of IP in GRE",
    "push of IP in GRE",
    "push IPv4",
    "push IPv6",
    "Ethernet",
    "tag",
    "TTL",
    "address",
    "ports",
    "identifier",
    "DSCP inwards",
    "DSCP uniform",
    "DSCP pipe",
    "ECN normal",
    "ECN compat",
    "ECN linux",
    "length limit",
  ],
  end: ["delivered", "passed", "consumed", "delivered in place", "delivered in a slot", "delivered in a stream"],
  drop: [
    "INVALID_PACKET",
    "TX_NO_RECORD",
    "TX_NON_IP",
    "TX_NO_PA",
    "TX_TOO_BIG",
    "TX_TTL_EXCEEDED",
    "RX_ECN",
    "CAPTURE_CUT",
    "FRAME_TOO_LONG",
  ],
  flow: ["hits", "misses", "guarded", "evictions", "stale", "uncached"],
  burst: ["of 1", "of 2 to 31", "of 32", "of 33 to 255", "of 256"],
} as const satisfies Record<string, readonly string[]>;
export type KernelTally = Tally<typeof KINDS>;
export const makeTally = (): KernelTally => new Tally(KINDS);

// The node.

/** A decision that depends on the flow alone, drawn from a seed that is made of the flow's fields and its stamp's version. */
function decide({ bytes, start, end, ingress }: FrameAtPort, versions: readonly number[]): Decision {
  const frame = parseFrame(bytes, start, end);
  if (!frame) return dropOne(Reason.INVALID_PACKET);
  const inner = ingress === WIRE ? innerOf(bytes, frame) : null;
  // The outer source MAC is not in the key of an NVGRE packet; nothing is decided by it.
  const outer = inner ? { ...frame, source: 0 as Mac } : frame;
  const hash = hashOf(bytes, outer) ^ (inner ? hashOf(bytes, inner) ^ tunnelOf(bytes, frame) : 0) ^ ingress;
  const stamp = (1 + ((hash >>> 0) % STAMPS)) as Stamp;
  const random = new Random(hash ^ Math.imul(versions[stamp]!, 0x9e37_79b1));
  const decision = draw(random, frame, inner, [stamp]);
  return ingress === WIRE ? { ...decision, queue: (hash >>> 8) % QUEUES } : decision;
}

function draw(random: Random, frame: ParsedFrame, inner: ParsedFrame | null, stamps: readonly Stamp[]): Decision {
  const kind = random.below(12);
  if (kind === 0) return { verdict: { kind: "drop", reason: Reason.TX_NO_RECORD }, cacheable: true, stamps };
  if (kind === 1) return { verdict: { kind: "pass", reason: Reason.NONE }, cacheable: true, stamps };
  if (kind === 2) return { verdict: { kind: "consume" }, cacheable: true, stamps };
  const pop = inner !== null && random.chance(0.8);
  const goesOn = pop ? inner : frame;
  const length = goesOn.end - goesOn.networkAt;
  const decrementTtl = goesOn.ip !== null && random.chance(0.4);
  const lengthLimit = random.chance(0.3) ? random.between(40, 200) : null;
  if (lengthLimit !== null && length > lengthLimit) return dropOne(Reason.TX_TOO_BIG);
  if (decrementTtl && goesOn.ip!.ttl <= 1) return dropOne(Reason.TX_TTL_EXCEEDED);
  const isBare = pop && inner.networkAt === inner.start;
  const outputs: Forward[] = [];
  const count = random.chance(0.1) ? random.between(2, 4) : 1;
  const shared = goesOn.ip !== null && count > 1 && random.chance(0.3) ? addressRewrite(random, goesOn.ip) : null;
  for (let i = 0; i < count; i++) {
    const isGre = decrementTtl && random.chance(0.2);
    const outer = !isGre && random.chance(0.6) ? push(random) : null;
    const isRewritten = goesOn.ip !== null && !(pop && (outer || isGre)) && random.chance(0.3);
    outputs.push({
      output: random.pick([OUT, OTHER]),
      pop,
      dscpInwards: random.chance(0.3),
      ethernet: isBare || random.chance(0.6) ? ethernetFields(random) : null,
      decrementTtl,
      ...(shared && !outer && !isGre ? { address: shared } : {}),
      ...(isRewritten && !shared ? { address: addressRewrite(random, goesOn.ip!) } : {}),
      push: outer,
      ...(isGre ? { pushGre: { ...push(random), key: random.bits() >>> 0 } } : {}),
      lengthLimit,
    });
  }
  // What the tunnel does not carry is a guard of the first output, and so every packet's own.
  const isPadded = goesOn.ip !== null && goesOn.end > goesOn.ip.end;
  if (isPadded && outputs.some(({ pushGre }) => pushGre)) return dropOne(Reason.TX_NON_IP);
  if (outputs.some((forward) => isTooLong(forward, goesOn))) return dropOne(Reason.TX_TOO_BIG);
  if (outputs.some((forward) => uncoversTag(forward, goesOn))) return dropOne(Reason.INVALID_PACKET);
  const reasons = random.chance(0.05) ? [Reason.TX_NO_PA, Reason.TX_TOO_BIG].slice(random.below(2)) : [];
  const refused = reasons.map((reason) => ({ reason, copies: random.between(1, 3) }));
  return { verdict: { kind: "forward", outputs, ...(refused.length > 0 ? { refused } : {}) }, cacheable: true, stamps };
}

const dropOne = (reason: Reason): Decision => ({ verdict: { kind: "drop", reason }, cacheable: false, stamps: [] });

/** Would the outer IP packet be longer than IP allows? */
function isTooLong({ push: nvgre, pushGre, ethernet }: Forward, frame: ParsedFrame): boolean {
  const outer = nvgre ?? pushGre;
  if (!outer) return false;
  const tag = ethernet === null ? frame.tag : ethernet.tag;
  const link = pushGre ? 0 : ETHERNET_LENGTH + (tag === null ? 0 : VLAN_TAG_LENGTH);
  const counted = outer.source.family === 4 ? IPV4_LENGTH : 0; // RFC 8200 §3: the payload length leaves the header out
  return counted + NVGRE_LENGTH + link + frame.end - frame.networkAt > IPV4_PACKET_MAX;
}

/** Of two tags the outer goes, and the inner comes to stand where tags are looked for; no layer decides so. */
const uncoversTag = ({ ethernet }: Forward, frame: ParsedFrame): boolean =>
  ethernet?.tag === null && frame.etherType === TPID_CTAG;

function innerOf(bytes: Uint8Array, frame: ParsedFrame): ParsedFrame | null {
  const { ip } = frame;
  if (ip?.protocol !== PROTOCOL_GRE || ip.fragment !== "none") return null;
  if (isBareGre(bytes, frame)) {
    const { transportAt } = ip;
    return parseBarePacket(
      bytes,
      transportAt + greLengthAt(bytes, transportAt),
      ip.end,
      greProtocolAt(bytes, transportAt),
    );
  }
  if (checkNvgre(bytes, ip.transportAt, ip.end, "lenient")) return null;
  const inner = parseFrame(bytes, ip.transportAt + greLengthAt(bytes, ip.transportAt), ip.end);
  // What the receive checklist refuses: these have no flow key, and no two of them need be decided alike.
  return inner && inner.tag === null ? inner : null;
}

/** GRE, with or without a key, that carries IP without Ethernet. */
function isBareGre(bytes: Uint8Array, { ip }: ParsedFrame): boolean {
  if (ip?.protocol !== PROTOCOL_GRE || checkGre(bytes, ip.transportAt, ip.end)) return false;
  const protocol = greProtocolAt(bytes, ip.transportAt);
  return protocol === ETHERTYPE_IPV4 || protocol === ETHERTYPE_IPV6;
}

/** Which tunnel: VSID, or the key of another one. The FlowID beside the VSID is nothing that a decision may rest on. */
function tunnelOf(bytes: Uint8Array, frame: ParsedFrame): number {
  const key = greKeyAt(bytes, frame.ip!.transportAt) ?? 0;
  return isBareGre(bytes, frame) ? key : key >>> 8;
}

/** Of the fields that every flow key holds. */
function hashOf(bytes: Uint8Array, frame: ParsedFrame): number {
  const fields = [frame.destination, frame.source, frame.tag ?? -1, frame.etherType];
  const { ip } = frame;
  if (ip) {
    for (const address of [ip.source, ip.destination]) fields.push(address.w0, address.w1, address.w2, address.w3);
    fields.push(ip.protocol, ["none", "first", "later"].indexOf(ip.fragment));
    if (ip.family === 6 && ip.transportAt > ip.at + 40) fields.push(1); // extension headers
    if (ip.ports) fields.push(ip.ports.source, ip.ports.destination);
  } else if (isIpType(frame)) {
    for (let at = frame.start; at < frame.end; at++) fields.push(bytes[at]!); // malformed: no key, every one for itself
  }
  return fields.reduce(
    (h, field) => Math.imul(h ^ (field % 0x1_0000_0000) ^ (field >>> 3), 0x0100_0193) >>> 0,
    0x811c_9dc5,
  );
}

const isIpType = ({ etherType }: ParsedFrame): boolean => etherType === ETHERTYPE_IPV4 || etherType === ETHERTYPE_IPV6;

const ethernetFields = (random: Random) => ({
  destination: (0x0200_0000_0000 + random.below(256)) as Mac,
  source: (0x0200_0000_1000 + random.below(256)) as Mac,
  tag: random.chance(0.3) ? (random.below(65536) as Tci) : null,
});

function addressRewrite(random: Random, { family, protocol, ports }: ParsedIp): AddressRewrite {
  const address = (): Address => (family === 4 ? ipv4Address(random.bits()) : ipv6AddressAt(random.bytes(16), 0));
  const isEcho = ports !== null && (protocol === PROTOCOL_ICMP ? family === 4 : protocol === PROTOCOL_ICMPV6);
  return {
    ...(random.chance(0.7) ? { source: address() } : {}),
    ...(random.chance(0.7) ? { destination: address() } : {}),
    ...(hasFlowPorts(protocol) && random.chance(0.4) ? { sourcePort: random.below(65536) } : {}),
    ...(hasFlowPorts(protocol) && random.chance(0.4) ? { destinationPort: random.below(65536) } : {}),
    ...(isEcho && random.chance(0.4) ? { identifier: random.below(65536) } : {}),
  };
}

function push(random: Random): NvgrePush {
  const isIpv4 = random.chance(0.5);
  return {
    ethernet: ethernetFields(random),
    source: isIpv4 ? ipv4Address(random.bits()) : ipv6AddressAt(random.bytes(16), 0),
    destination: isIpv4 ? ipv4Address(random.bits()) : ipv6AddressAt(random.bytes(16), 0),
    ttl: random.between(1, 255),
    ecn: random.pick(["normal", "compat", "linux"]),
    dscp: random.chance(0.5) ? { model: "uniform" } : { model: "pipe", value: random.below(64) },
    dontFragment: random.chance(0.5),
    flowLabel: random.below(1 << 20),
    identification: NODE,
    vsid: (4096 + random.below(1 << 23)) as Vsid,
    flowId: random.below(256) as FlowId,
  };
}

// Traffic.

/** Packets of a batch, the same in tests and long runs, so that a seed means the same. */
export const BATCH_PACKETS = 1000;
const BURSTS = [1, 7, 32, 33, 256] as const;

/** Packets and the way they are run, all from the seed. */
export function randomBatch(seed: number, count = BATCH_PACKETS): Batch {
  const random = new Random(seed);
  const burst = random.pick([...BURSTS, "mixed"] as const);
  const headrooms = random.chance(0.5) ? [0] : [0, 13, 84, 128];
  const flowCapacity = random.pick([8, 64, 4096, 4096, 4096, 4096]);
  const streams = random.chance(0.3);
  const items: Item[] = [];
  for (let index = 0; index < count; index++) {
    const moved = random.chance(0.001) ? (random.between(1, STAMPS) as Stamp) : null;
    const ends = burst === "mixed" ? random.chance(0.02) : index % burst === 0;
    const packet = index > 0 && random.chance(0.7) ? samePath(random, items) : randomPacket(random);
    items.push({ ...packet, headroom: random.pick(headrooms), cut: ends || moved !== null, moved });
  }
  return { items, flowCapacity, streams };
}

/**
 * A packet of the flow of one of the last, with another class, TTL or hop limit; or of another flow, which differs in one bit.
 */
function samePath(random: Random, items: readonly Item[]): Pick<Item, "port" | "frame" | "missing" | "kind"> {
  const { port, frame, kind } = items[Math.max(0, items.length - 1 - random.below(50))]!;
  const copy = frame.slice();
  if (copy.length > 0 && random.chance(0.2)) copy[random.below(Math.min(copy.length, 120))]! ^= 1 << random.below(8);
  const outer = parseFrame(copy, 0, copy.length);
  const inner = outer && port === WIRE ? innerOf(copy, outer) : null;
  for (const parsed of [outer, inner]) if (parsed?.ip) changeClassAndTtl(random, copy, parsed.ip);
  return { port, frame: copy, missing: 0, kind };
}

function changeClassAndTtl(random: Random, frame: Uint8Array, { at, family, transportAt }: ParsedIp): void {
  const ttl = random.pick([0, 1, 2, 64, 255]);
  if (family === 6) {
    setU16(frame, at, 0x6000 | (random.below(256) << 4));
    frame[at + 7] = ttl;
    return;
  }
  frame[at + 1] = random.below(256);
  frame[at + 8] = ttl;
  setU16(frame, at + 10, 0);
  setU16(frame, at + 10, checksum(frame, at, transportAt));
}

function randomPacket(random: Random): Pick<Item, "port" | "frame" | "missing" | "kind"> {
  const port = random.pick([VM, WIRE]);
  const missing = random.chance(0.002) ? random.between(1, 2000) : 0;
  if (random.chance(0.05)) return { port, frame: garbageFrame(random), missing, kind: "garbage" };
  if (random.chance(0.001))
    return { port, frame: new Uint8Array(FRAME_LENGTH_MAX + random.below(3)), missing, kind: "garbage" };
  const mix = { hosts: 2, ports: 2, maxPayload: randomLength(random) };
  const frame = port === WIRE && random.chance(0.9) ? wireFrame(random, mix) : tenantFrame(random, mix);
  if (random.chance(0.1)) return { port, frame: mutatedFrame(random, frame), missing, kind: "mutated" };
  return { port, frame, missing, kind: "well-meant" };
}

function randomLength(random: Random): number {
  if (random.chance(0.98)) return 200;
  if (random.chance(0.98)) return 3000;
  return random.pick([12_000, 65_000]);
}

/** The same packets in bursts of another size; stamps move where they did. */
export const inBursts = (batch: Batch, size: number): Batch => ({
  ...batch,
  items: batch.items.map((item, index) => ({ ...item, cut: index % size === 0 || item.moved !== null })),
});

// The run.

/** How a packet, or a copy of it, ended; or what one expects. */
interface End {
  readonly verdict: PacketEnd["verdict"];
  readonly port: number;
  readonly reason: Reason;
  readonly frame: Uint8Array;
  /** Of what is delivered. */
  readonly queue?: number;
}

/** A batch whose engine did not do as the interpreter. */
export interface Difference {
  readonly message: string;
  /** The packet, by its place in the batch. */
  readonly index: number;
}

export interface BatchRun {
  readonly difference: Difference | null;
  readonly engine: Engine;
}

export interface RunOptions {
  /** The kernel as it ships, or one with assertions, which then must hold. */
  readonly kernel: WebAssembly.Module | CheckedModule;
  readonly tally?: KernelTally;
}

/** Runs a batch through a new engine and through the interpreter, and stops at the first difference. */
export function runBatch(batch: Batch, { kernel, tally = makeTally() }: RunOptions): BatchRun {
  const run = new Run(batch, kernel, tally);
  return { difference: run.go(), engine: run.engine };
}

/** Between the frames of a burst, so that a read behind one does not hit the next. */
const GAP = 48;
const STREAM_GAP = 16;
const STREAM_BYTES = 4 * BURST_BYTES_MAX;
const STREAM_ITEMS = 4 * BURST_MAX;

class Run {
  readonly engine: Engine;
  readonly #batch: Batch;
  readonly #tally: KernelTally;
  /** Of each stamp; moved by hand, for both sides. */
  readonly #versions = new Array<number>(STAMPS + 1).fill(0);
  readonly #input: number;
  readonly #streams: ReadonlyMap<PortIndex, number>;
  #identification = 0;
  /** Packets that stood in each queue at WIRE. */
  readonly #queued = new Array<number>(QUEUES).fill(0);

  constructor(batch: Batch, kernel: WebAssembly.Module | CheckedModule, tally: KernelTally) {
    this.#batch = batch;
    this.#tally = tally;
    const node: Node = { name: "n", decide: (frame) => decide(frame, this.#versions) };
    const { flowCapacity, idleTimeouts = {} } = batch;
    const module = kernel instanceof WebAssembly.Module ? kernel : kernel.module;
    const { made: engine, regions } = recordRegions(
      () =>
        new Engine({ kernel: module, nodes: [node], ports: PORTS, stampCount: STAMPS + 1, flowCapacity, idleTimeouts }),
    );
    this.engine = engine;
    const bytesPerPacket = GAP + Math.max(0, ...batch.items.map(({ headroom }) => headroom));
    this.#input = engine.memory.allocate(BURST_BYTES_MAX + 2 * FRAME_LENGTH_MAX + BURST_MAX * bytesPerPacket);
    this.#streams = new Map(batch.streams ? [OUT, OTHER].map((port) => [port, this.#makeStream(port)]) : []);
    if (!(kernel instanceof WebAssembly.Module)) new EngineFences(engine, regions, kernel.sites, { isSingleHop: true });
  }

  #makeStream(port: PortIndex): number {
    const { memory } = this.engine;
    const stream = memory.allocate(STREAM_SIZE);
    const list = memory.allocate(STREAM_ITEMS * STREAM_ITEM_SIZE);
    const base = memory.allocate(STREAM_BYTES);
    memory.setU32(stream + STREAM.BASE, base);
    memory.setU32(stream + STREAM.CURSOR, base);
    memory.setU32(stream + STREAM.END, base + STREAM_BYTES);
    memory.setU32(stream + STREAM.GAP, STREAM_GAP);
    memory.setU32(stream + STREAM.LIST, list);
    memory.setU32(stream + STREAM.LIST_CAPACITY, STREAM_ITEMS);
    this.engine.setStream(port, "tx", stream);
    return stream;
  }

  go(): Difference | null {
    const { items } = this.#batch;
    for (let first = 0; first < items.length; ) {
      const { moved } = items[first]!;
      if (moved !== null) {
        this.#versions[moved]!++;
        this.engine.moveStamps([moved]);
      }
      const count = this.#burst(first);
      const difference = this.#runBurst(first, count);
      if (difference) return difference;
      first += count;
    }
    const { hits, misses, guarded, evictions, stale, uncached } = this.engine.flowCounters();
    for (const [kind, count] of Object.entries({ hits, misses, guarded, evictions, stale, uncached }))
      this.#tally.count("flow", kind as "hits", count);
    const counted = this.engine.portCounters(WIRE).queues!.join();
    const queued = this.#queued.join();
    return counted === queued ? null : { message: `by queue ${counted}, wanted ${queued}`, index: items.length - 1 };
  }

  /** Lays the next packets out as rows; how many. */
  #burst(first: number): number {
    const { items } = this.#batch;
    const { memory } = this.engine;
    let at = this.#input;
    let bytes = 0;
    let count = 0;
    while (count < BURST_MAX && first + count < items.length) {
      const { port, frame, headroom, missing, cut } = items[first + count]!;
      if (count > 0 && (cut || bytes + frame.length > BURST_BYTES_MAX)) break;
      at += GAP + headroom;
      memory.bytes.set(frame, at);
      this.engine.setRow(count, at, frame.length, port, 0n, first + count);
      const row = memory.rows + count * ROW_SIZE;
      memory.setU32(row + ROW.HEADROOM, headroom);
      memory.setU32(row + ROW.MISSING, missing);
      at += frame.length;
      bytes += frame.length;
      count++;
    }
    return count;
  }

  #runBurst(first: number, count: number): Difference | null {
    const tally = this.#tally;
    try {
      this.engine.process(count, first);
    } catch (error) {
      return {
        message: `in the burst that begins with packet ${first}: ${(error as Error).message}`,
        index: first + count - 1,
      };
    }
    tally.count("burst", burstKind(count));
    const ends = [...this.engine.lastBurst()];
    const emitted = new Map<PortIndex, Uint8Array[]>([...this.#streams.keys()].map((port) => [port, []]));
    let copy = count; // the rows of copies follow those of the burst, in order
    for (let i = 0; i < count; i++) {
      const item = this.#batch.items[first + i]!;
      const [original, ...copies] = this.#expected(item);
      const wanted: [End, PacketEnd | undefined][] = copies.map((end) => [end, ends[copy++]]);
      wanted.push([original!, ends[i]]);
      for (const [end, got] of wanted) {
        const message = differenceOf(got, end, first + i);
        if (message) return { message, index: first + i };
        this.#countEnd(end, got!);
        if (end.verdict === "delivered") emitted.get(end.port as PortIndex)?.push(end.frame);
      }
    }
    if (copy !== ends.length) return { message: `${ends.length - copy} copies too many`, index: first + count - 1 };
    for (const [port, stream] of this.#streams) {
      const message = this.#streamDifference(stream, emitted.get(port)!);
      if (message) return { message: `stream of ${PORTS[port]!.name}: ${message}`, index: first + count - 1 };
    }
    const totals = this.engine.totals();
    if (totals.in + totals.copies !== totals.delivered + totals.dropped + totals.passed + totals.consumed)
      return { message: `not conserved: ${JSON.stringify(totals)}`, index: first + count - 1 };
    return null;
  }

  /** What must come out, by the interpreter, the original first. Copies get their identifications first, the original the last. */
  #expected(item: Item): End[] {
    const { port, frame, missing } = item;
    this.#countPacket(item);
    const { verdict, queue = 0 } =
      missing > 0
        ? dropOne(Reason.CAPTURE_CUT)
        : frame.length > FRAME_LENGTH_MAX
          ? dropOne(Reason.FRAME_TOO_LONG)
          : decide({ bytes: frame, start: 0, end: frame.length, ingress: port }, this.#versions);
    if (port === WIRE) this.#queued[queue]!++;
    this.#tally.count("decision", verdict.kind);
    if (verdict.kind === "drop") return [{ verdict: "dropped", port, reason: verdict.reason, frame }];
    if (verdict.kind === "pass") return [{ verdict: "passed", port, reason: verdict.reason, frame }];
    if (verdict.kind === "consume") return [{ verdict: "consumed", port, reason: Reason.NONE, frame }];
    const [original, ...copies] = verdict.outputs;
    if (copies.length > 0) this.#tally.count("decision", "replicate");
    if (verdict.refused) this.#tally.count("decision", "copy refused");
    const ends = copies.map((forward) => this.#applied(forward, item, queue));
    const dropped = (verdict.refused ?? []).flatMap(({ reason, copies: count }) =>
      Array<End>(count).fill({ verdict: "dropped", port, reason, frame }),
    );
    return [this.#applied(original!, item, queue), ...ends, ...dropped];
  }

  #applied(forward: Forward, { port, frame }: Item, queue: number): End {
    this.#countForward(forward, isBareGre(frame, parseFrame(frame, 0, frame.length)!));
    const result = apply(forward, frame, () => this.#identification++);
    return typeof result === "number"
      ? { verdict: "dropped", port, reason: result, frame }
      : { verdict: "delivered", port: forward.output, reason: Reason.NONE, frame: result, queue };
  }

  /** The frames that a stream holds must be these, in order; then it is emptied. */
  #streamDifference(stream: number, wanted: readonly Uint8Array[]): string | null {
    const { memory } = this.engine;
    const count = memory.u32(stream + STREAM.LIST_COUNT);
    if (count !== wanted.length) return `holds ${count} frames, not ${wanted.length}`;
    for (const [index, frame] of wanted.entries()) {
      const item = memory.u32(stream + STREAM.LIST) + index * STREAM_ITEM_SIZE;
      const at = memory.u32(item + STREAM_ITEM.OFFSET);
      const got = memory.bytes.subarray(at, at + memory.u32(item + STREAM_ITEM.LENGTH));
      if (Buffer.compare(got, frame) !== 0) return `frame ${index} is ${hexOf(got)}, not ${hexOf(frame)}`;
    }
    memory.setU32(stream + STREAM.CURSOR, memory.u32(stream + STREAM.BASE));
    memory.setU32(stream + STREAM.LIST_COUNT, 0);
    memory.setU32(stream + STREAM.DISORDERED, 0);
    return null;
  }

  // Counts.

  #countPacket({ frame, port, headroom, kind }: Item): void {
    const tally = this.#tally;
    const parsed = parseFrame(frame, 0, frame.length);
    const inner = parsed && port === WIRE ? innerOf(frame, parsed) : null;
    const tunnel = inner && isBareGre(frame, parsed!) ? "GRE" : "NVGRE";
    const outer = inner ? `${tunnel}/${parsed!.ip!.family} ` : "";
    if (parsed?.ip && parsed.ip.end < parsed.end) tally.count("with", "padding");
    tally.count("source", kind);
    tally.count("frame", `${outer}${frameKind(inner ?? parsed)}` as (typeof KINDS.frame)[number]);
    if (headroom > 0) tally.count("with", "headroom");
    if (frame.length > 1500) tally.count("with", "over 1500 bytes");
    if (frame.length > 9000) tally.count("with", "over 9000 bytes");
    if (parsed && parsed.tag !== null) tally.count("with", "tag");
    for (const { ip } of [parsed, inner].filter((one) => one !== null)) {
      if (ip === null) continue;
      if (ip.fragment !== "none") tally.count("with", "fragment");
      if (ip.family === 4 && ip.transportAt > ip.at + 20) tally.count("with", "options");
      if (ip.family === 6 && ip.transportAt > ip.at + 40) tally.count("with", "extension headers");
      const checksum = transportChecksumOf(ip.family, ip.protocol);
      if (!checksum || ip.fragment === "later") continue;
      const checksumAt = ip.transportAt + checksum.offset;
      if (checksumAt + 2 > ip.end) tally.count("with", "transport cut short");
      else if (ip.protocol === PROTOCOL_UDP && u16(frame, checksumAt) === 0)
        tally.count("with", "UDP without checksum");
    }
  }

  #countForward(forward: Forward, isBare: boolean): void {
    const { pop, push, pushGre, ethernet, decrementTtl, dscpInwards, lengthLimit, address } = forward;
    const count = (kind: (typeof KINDS.decision)[number]): void => this.#tally.count("decision", kind);
    const outer = push ?? pushGre;
    if (pop && isBare) count("pop of IP in GRE");
    if (pushGre) count("push of IP in GRE");
    if (!pop && !outer && !ethernet && !decrementTtl && !address) count("untouched");
    if (address) count("address");
    if (address && (address.sourcePort ?? address.destinationPort) !== undefined) count("ports");
    if (address?.identifier !== undefined) count("identifier");
    if (pop) count(outer ? "pop and push" : "pop");
    if (pop && dscpInwards) count("DSCP inwards");
    if (ethernet) count(ethernet.tag === null ? "Ethernet" : "tag");
    if (decrementTtl) count("TTL");
    if (lengthLimit !== null) count("length limit");
    if (!outer) return;
    count(outer.source.family === 4 ? "push IPv4" : "push IPv6");
    count(outer.dscp.model === "uniform" ? "DSCP uniform" : "DSCP pipe");
    count(`ECN ${outer.ecn}`);
  }

  #countEnd({ verdict, reason, port }: End, got: PacketEnd): void {
    const tally = this.#tally;
    if (verdict === "dropped") {
      tally.count("drop", reasonName(reason) as (typeof KINDS.drop)[number]);
      return;
    }
    tally.count("end", verdict);
    if (verdict !== "delivered") return;
    const { memory } = this.engine;
    const at = got.frame.byteOffset;
    const isInSlot = at >= memory.u32(CONTROL.ARENA) && at < memory.u32(CONTROL.ARENA_END);
    const isInStream = this.#streams.has(port as PortIndex);
    tally.count("end", `delivered in ${isInStream ? "a stream" : isInSlot ? "a slot" : "place"}`);
  }
}

function burstKind(count: number): (typeof KINDS.burst)[number] {
  if (count === 1) return "of 1";
  if (count < 32) return "of 2 to 31";
  if (count === 32) return "of 32";
  return count < 256 ? "of 33 to 255" : "of 256";
}

function frameKind(frame: ParsedFrame | null): (typeof FRAMES)[number] {
  if (frame === null) return "no Ethernet";
  if (frame.ip) return frame.ip.family === 4 ? "IPv4" : "IPv6";
  return isIpType(frame) ? "broken IP" : "link";
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const endText = ({ verdict, port, reason, frame }: End): string =>
  `${verdict} at ${PORTS[port]?.name ?? port}, ${reasonName(reason)}: ${hexOf(frame)}`;

function differenceOf(got: PacketEnd | undefined, wanted: End, sequence: number): string | null {
  if (got === undefined) return `no end, wanted\n  ${endText(wanted)}`;
  const isSame =
    got.sequence === sequence &&
    got.verdict === wanted.verdict &&
    got.port === wanted.port &&
    (wanted.queue === undefined || got.queue === wanted.queue) &&
    got.reason === wanted.reason &&
    Buffer.compare(got.frame, wanted.frame) === 0;
  return isSame ? null : `got\n  ${endText(got)}\nwanted\n  ${endText(wanted)}`;
}

// What went wrong, as small as possible.

/**
 * Leaves packets out of a batch as long as it still differs: what remains is little enough to read. `differs` runs a batch.
 */
export function smallest(batch: Batch, { index }: Difference, differs: (batch: Batch) => boolean): Batch {
  let items = batch.items.slice(0, index + 1);
  for (let size = Math.max(1, items.length >> 1); size >= 1; size >>= 1) {
    for (let at = 0; at + size <= items.length; ) {
      const without = items.toSpliced(at, size);
      if (without.length > 0 && differs({ ...batch, items: without })) items = without;
      else at += size;
    }
  }
  return { ...batch, items };
}

/** The difference of a run in words: its seed, and the fewest packets that show it. */
export function explain(batch: Batch, difference: Difference, seed: number, options: RunOptions): string {
  const again = (smaller: Batch): Difference | null => runBatch(smaller, { kernel: options.kernel }).difference;
  const small = smallest(batch, difference, (smaller) => again(smaller) !== null);
  const lines = small.items.map(({ port, headroom, missing, cut, moved, frame }) => {
    const before = `${cut ? "new burst, " : ""}${moved === null ? "" : `stamp ${moved} moves, `}`;
    return `  ${before}${PORTS[port]!.name}, headroom ${headroom}, missing ${missing}: ${hexOf(frame)}`;
  });
  return [
    `seed ${seed}, packet ${difference.index} of ${batch.items.length}: ${difference.message}`,
    `The smallest case, with ${batch.flowCapacity} entries${batch.streams ? " and streams" : ""}:`,
    ...lines,
    again(small)?.message ?? "(which does not show it again)",
  ].join("\n");
}
