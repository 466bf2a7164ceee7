/**
 * What captures of the wire say about the NICs that sent them: the known ways in which segmentation and checksum offload of encapsulated
 * packets go wrong. No host drops such packets for it; guests do, or nobody, and connections are slow for no reason that a drop would name.
 *
 * Looked at are NVGRE packets that enter the lab at a NIC or in the provider network, and those that NICs of the lab send which have one of
 * these faults, for that fault. Frames of VMs are not: there, unfinished checksums and packets longer than the MTU are what offload
 * looks like.
 */
import { type ParsedIp, parseFrame, ROW, ROW_SIZE, STREAM_ITEM } from "../../dataplane/packet/index.js";
import type { NicFault } from "../../dataplane/slowpath/index.js";
import type { PortIndex } from "../../dataplane/transposition/index.js";
import {
  type Address,
  checkNvgre,
  checkTcp,
  checkUdp,
  foldSum,
  formatAddress,
  ipv4IdentificationAt,
  NVGRE_LENGTH,
  PROTOCOL_GRE,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  prefixContains,
  pseudoHeaderSum,
  sameAddress,
  TCP_CHECKSUM_OFFSET,
  tcpChecksumIsRight,
  tcpHeaderLengthAt,
  tcpSequenceAt,
  u16,
  udpChecksumAt,
  udpChecksumIsRight,
  vsidAt,
} from "../../dataplane/wire/index.js";
import type { CaptureOutput, StreamBuffer } from "../../io/index.js";
import type { HostSettings, Lab, LabSettings } from "../../vswitch/index.js";
import { type Arrivals, FULL_BURST } from "../arrivals.js";
import { checkOverflow, type Departure, makeStream } from "../departures.js";
import { OFFLOAD_CURES, type OffloadFault, type OffloadFaultCode } from "./offload-fault.js";

/** Segments of one connection in a row with one identification, from which on it is no chance. */
const CONSTANT_FROM = 3;
/** Connections that are kept in mind; beyond them all are forgotten, and a train that was under way is not seen. */
const CONNECTIONS_MAX = 100_000;

/** The last segment of a connection, and how many before it had its identification and followed without a gap. */
interface Train {
  identification: number;
  nextSequence: number;
  length: number;
}

/** What a fault that the lab switches on looks like on the wire. Where a NIC hashes the outer header, no frame shows it. */
const CODES: Readonly<Partial<Record<NicFault, OffloadFaultCode>>> = {
  badInnerChecksum: "BAD_INNER_CHECKSUM",
  constantIpId: "CONSTANT_IP_ID",
  mssNotLowered: "SEGMENT_TOO_LONG",
};
const ALL_CODES: ReadonlySet<OffloadFaultCode> = new Set(Object.values(CODES));

/** What is left to tell of a NIC without faults. */
const NO_CODES: ReadonlySet<OffloadFaultCode> = new Set();

export class WireFaults implements Departure {
  readonly outputs: readonly CaptureOutput[] = [];
  readonly #found = new Map<string, OffloadFault>();
  readonly #trains = new Map<string, Train>();
  /** Ports where what hosts sent enters. */
  readonly #ports: ReadonlySet<PortIndex>;
  /** What may be told of the lab's own NICs, by the provider addresses of those that have faults. */
  readonly #ownFaults = new Map<string, ReadonlySet<OffloadFaultCode>>();
  /** What those NICs send; null if there are none. */
  readonly #sent: StreamBuffer | null;

  /** To be made before anything enters the lab. */
  constructor(private readonly lab: Lab) {
    const { ports } = lab.engine;
    const isWire = (at: number): boolean => ports[at]!.tunnel || ports[at]!.node >= lab.settings.hosts.length;
    this.#ports = new Set(ports.map((_, at) => at as PortIndex).filter(isWire));
    const faulty = lab.settings.hosts.flatMap((host) => this.#findFaults(host));
    this.#sent = faulty.length > 0 ? streamOf(lab.engine, faulty) : null;
  }

  /** Takes note of the faults of a host's NICs; returns the ports of those NICs. */
  #findFaults({ name: host, nics, providerAddresses }: HostSettings): readonly PortIndex[] {
    return nics.flatMap(({ name, offload }, index) => {
      const codes = new Set(offload.faults.flatMap((fault) => CODES[fault] ?? []));
      if (codes.size === 0) return [];
      for (const { address, interfaceIndex } of providerAddresses)
        if (interfaceIndex === index + 1) this.#ownFaults.set(formatAddress(address), codes);
      return [this.lab.port(`${host}/${name}`)!];
    });
  }

  /** By packets, most first. */
  found(): readonly OffloadFault[] {
    return [...this.#found.values()].sort((a, b) => b.packets - a.packets);
  }

  /** The same bursts; each frame is looked at before they are handed on. */
  watch(arrivals: Arrivals): Arrivals {
    return {
      fill: (rows) => {
        const count = arrivals.fill(rows);
        for (let index = 0; index < count; index++) this.#look(rows + index * ROW_SIZE);
        return count;
      },
      more: () => arrivals.more(),
    };
  }

  #look(row: number): void {
    const { memory } = this.lab.engine;
    if (!this.#ports.has(memory.u16(row + ROW.PORT) as PortIndex) || memory.u32(row + ROW.MISSING) !== 0) return;
    const start = memory.u32(row + ROW.OFFSET);
    const witness = { input: memory.u32(row + ROW.SOURCE), packet: memory.u32(row + ROW.TAG) };
    this.#lookAt(start, start + memory.u32(row + ROW.LENGTH), witness, false);
  }

  /** Looks at what the lab's own NICs have sent. The witness is the packet that it was made of; what no packet has caused has none. */
  afterBurst(): undefined {
    const { memory } = this.lab.engine;
    const stream = this.#sent;
    if (!stream) return;
    checkOverflow(stream);
    for (let index = 0; index < stream.count; index++) {
      const item = stream.itemAt(index);
      const witness = { input: memory.u32(item + STREAM_ITEM.SOURCE), packet: memory.u32(item + STREAM_ITEM.TAG) };
      const start = memory.u32(item + STREAM_ITEM.OFFSET);
      if (witness.packet > 0) this.#lookAt(start, start + memory.u32(item + STREAM_ITEM.LENGTH), witness, true);
    }
    stream.reset();
  }

  async drain(): Promise<void> {}

  #lookAt(start: number, end: number, witness: OffloadFault["witness"], isOwn: boolean): void {
    const { bytes } = this.lab.engine.memory;
    const outer = parseFrame(bytes, start, end)?.ip;
    if (outer?.protocol !== PROTOCOL_GRE || outer.fragment !== "none") return;
    if (checkNvgre(bytes, outer.transportAt, outer.end, "strict")) return;
    const inner = parseFrame(bytes, outer.transportAt + NVGRE_LENGTH, outer.end)?.ip;
    if (inner?.fragment !== "none") return;
    const codes = isOwn ? (this.#ownFaults.get(formatAddress(outer.source)) ?? NO_CODES) : ALL_CODES;
    const tell = (code: OffloadFaultCode, text: string): void => {
      if (codes.has(code)) this.#tell(code, outer.source, witness, text);
    };

    const checksum = checksumFault(bytes, inner);
    if (checksum) tell("BAD_INNER_CHECKSUM", checksum);
    if (inner.protocol !== PROTOCOL_TCP || checkTcp(bytes, inner.transportAt, inner.end)) return;
    const train = this.#train(bytes, outer, inner);
    if (train) tell("CONSTANT_IP_ID", train);
    const pathMtu = pathMtuOf(this.lab.settings, outer);
    const length = outer.end - outer.at;
    if (length > pathMtu)
      tell("SEGMENT_TOO_LONG", `an IP packet of ${length} octets, where the path carries ${pathMtu}`);
  }

  #tell(code: OffloadFaultCode, source: Address, witness: OffloadFault["witness"], text: string): void {
    const sender = formatAddress(source);
    const key = `${code} ${sender}`;
    const known = this.#found.get(key);
    if (known) known.packets++;
    else this.#found.set(key, { code, sender, packets: 1, witness, text, cure: OFFLOAD_CURES[code] });
  }

  /**
   * Does the segment go on where the last one of its connection ended, with the same identification? Tenants may have the same addresses.
   * A guest may leave the field zero where it sets DF (RFC 6864 §4.1), and no NIC is to be blamed for that.
   */
  #train(bytes: Uint8Array, outer: ParsedIp, ip: ParsedIp): string | null {
    if (ip.family === 6) return null;
    const identification = ipv4IdentificationAt(bytes, ip.at);
    if (identification === 0 && ip.dontFragment) return null;
    const payload = ip.end - ip.transportAt - tcpHeaderLengthAt(bytes, ip.transportAt);
    if (payload === 0) return null;
    const { source, destination } = ip.ports!;
    const tenant = `${formatAddress(outer.source)} ${vsidAt(bytes, outer.transportAt)}`;
    const key = `${tenant} ${ip.source.w3} ${ip.destination.w3} ${source} ${destination}`;
    const sequence = tcpSequenceAt(bytes, ip.transportAt);
    const nextSequence = (sequence + payload) >>> 0;
    const last = this.#trains.get(key);
    if (!last) {
      if (this.#trains.size >= CONNECTIONS_MAX) this.#trains.clear();
      this.#trains.set(key, { identification, nextSequence, length: 1 });
      return null;
    }
    const goesOn = last.nextSequence === sequence && last.identification === identification;
    last.length = goesOn ? last.length + 1 : 1;
    last.identification = identification;
    last.nextSequence = nextSequence;
    if (last.length < CONSTANT_FROM) return null;
    return `${last.length} segments in a row, each with identification ${identification}`;
  }
}

/** All that these ports send, in its order. */
function streamOf(engine: Lab["engine"], ports: readonly PortIndex[]): StreamBuffer {
  const stream = makeStream(engine.memory, { ...FULL_BURST, copies: engine.memory.copyRoom }, 0);
  for (const port of ports) engine.setStream(port, "tx", stream.address);
  return stream;
}

/** What is wrong with the checksum of TCP or UDP; null if it is right, or there is none. */
function checksumFault(bytes: Uint8Array, ip: ParsedIp): string | null {
  const { at, transportAt, end, protocol } = ip;
  if (protocol === PROTOCOL_TCP) {
    if (checkTcp(bytes, transportAt, end) || tcpChecksumIsRight(bytes, at, transportAt, end)) return null;
    return describeChecksum("TCP", bytes, ip, u16(bytes, transportAt + TCP_CHECKSUM_OFFSET));
  }
  if (protocol !== PROTOCOL_UDP || checkUdp(bytes, transportAt, end)) return null;
  const checksum = udpChecksumAt(bytes, transportAt);
  if (checksum === 0 || udpChecksumIsRight(bytes, at, transportAt)) return null;
  return describeChecksum("UDP", bytes, ip, checksum);
}

function describeChecksum(name: string, bytes: Uint8Array, ip: ParsedIp, checksum: number): string {
  const pseudo = foldSum(pseudoHeaderSum(bytes, ip.at, ip.protocol, ip.end - ip.transportAt));
  const how = checksum === pseudo ? "unfinished, as a VM leaves it to hardware" : "wrong";
  return `an inner ${name} checksum that is ${how}: 0x${checksum.toString(16).padStart(4, "0")}`;
}

/** The narrowest of the provider subnets that the packet's addresses lie in, and of the receiver's NIC. */
function pathMtuOf({ hosts, provider }: LabSettings, { source, destination }: ParsedIp): number {
  const mtus = (provider?.subnets ?? [])
    .filter(({ prefix }) => prefixContains(prefix, source) || prefixContains(prefix, destination))
    .map(({ mtu }) => mtu);
  for (const { providerAddresses, nics } of hosts) {
    const own = providerAddresses.find(({ address }) => sameAddress(address, destination));
    if (own) mtus.push(nics[own.interfaceIndex - 1]!.mtu);
  }
  return Math.min(...mtus);
}
