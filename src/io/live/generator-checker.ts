/**
 * Judges what arrives of generators' frames: what was lost, came twice, out of order, damaged, and how long it took.
 *
 *     frame ─► headers, NVGRE's included ─► mark ─► right? ─► its stream: seen before? its flow: in order?
 *
 * Memory is bounded: each stream remembers its last 131,072 sequence numbers as bits, and the last number of each of 65,536 flows.
 */
import {
  checksumIsRight,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_TEB,
  ICMP_LENGTH,
  IPV4_LENGTH,
  IPV6_LENGTH,
  icmpChecksumIsRight,
  ipv4ChecksumIsRight,
  ipv4HeaderLengthAt,
  ipv4ProtocolAt,
  ipv4TotalLengthAt,
  ipv6NextHeaderAt,
  ipv6PayloadLengthAt,
  isTpid,
  NVGRE_LENGTH,
  PROTOCOL_GRE,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  pseudoHeaderSum,
  TCP_LENGTH,
  tcpHeaderLengthAt,
  UDP_LENGTH,
  u8,
  u16,
  udpChecksumAt,
  VLAN_TAG_LENGTH,
} from "../../dataplane/wire/index.js";
import { LatencyHistogram, type LatencySummary } from "./generator-latency.js";
import {
  hasMark,
  MARK_LENGTH,
  markFlowAt,
  markIsRight,
  markSentAt,
  markSequenceAt,
  markStreamAt,
  SENT_MODULUS,
} from "./generator-mark.js";

export interface CheckerReport {
  /** Frames of generators that were whole; each is counted once in `frames`, and may be counted below as well. */
  readonly frames: number;
  /** Frames that no generator made, or whose mark cannot be found any more. */
  readonly foreign: number;
  /** Frames with a mark, but with a wrong check or checksum. Their numbers are not believed, so they count as lost, too. */
  readonly corrupted: number;
  /** Numbers that are missing before the highest that came. What is lost behind it only the sender's count can tell. */
  readonly lost: number;
  readonly duplicated: number;
  /** Came behind a later frame of the same flow. */
  readonly reordered: number;
  /** Came so late that it is not known whether for the first time; counted as lost. */
  readonly late: number;
  /** From the writing of the frame to its arrival here; frames that came twice count once. Null before the first. */
  readonly latencyNs: LatencySummary | null;
}

const STREAMS_MAX = 64;
/** Powers of two. */
const WINDOW = 131_072;
const FLOW_SLOTS = 65_536;
/** Nothing stays under way for a day; a larger difference is a clock that went back, or another machine's. */
const LATENCY_MAX = 86_400e9;

export class GeneratorChecker {
  readonly #streams = new Map<number, Stream>();
  readonly #latency = new LatencyHistogram();
  #frames = 0;
  #foreign = 0;
  #corrupted = 0;
  // The frame in hand, where `#find` found it.
  #ip = 0;
  #transport = 0;
  #protocol = 0;
  #end = 0;

  /** Takes the frame bytes[at, at + length), which arrived at `now`, a time as marks hold it. */
  take(bytes: Uint8Array, at: number, length: number, now: number): void {
    const mark = this.#find(bytes, at, at + length);
    if (mark === 0) {
      this.#foreign++;
      return;
    }
    if (!this.#isWhole(bytes, mark)) {
      this.#corrupted++;
      return;
    }
    const stream = this.#streamOf(markStreamAt(bytes, mark));
    if (!stream) {
      this.#foreign++;
      return;
    }
    this.#frames++;
    if (!stream.take(markSequenceAt(bytes, mark), markFlowAt(bytes, mark))) return;
    const elapsed = (now - markSentAt(bytes, mark) + SENT_MODULUS) % SENT_MODULUS;
    if (elapsed <= LATENCY_MAX) this.#latency.add(elapsed);
  }

  report(): CheckerReport {
    const total = (count: (stream: Stream) => number): number =>
      [...this.#streams.values()].reduce((sum, stream) => sum + count(stream), 0);
    return {
      frames: this.#frames,
      foreign: this.#foreign,
      corrupted: this.#corrupted,
      lost: total((stream) => stream.expected - stream.seen),
      duplicated: total(({ duplicated }) => duplicated),
      reordered: total(({ reordered }) => reordered),
      late: total(({ late }) => late),
      latencyNs: this.#latency.summary(),
    };
  }

  /** Where the mark lies; 0 if there is none. Looks into NVGRE, so that one may listen on a provider network. */
  #find(bytes: Uint8Array, at: number, end: number): number {
    for (;;) {
      if (end - at < ETHERNET_LENGTH) return 0;
      const tagged = isTpid(u16(bytes, at + ETHERNET_LENGTH - 2)) ? VLAN_TAG_LENGTH : 0;
      const ip = at + ETHERNET_LENGTH + tagged;
      if (!this.#findTransport(bytes, ip, end)) return 0;
      if (this.#protocol !== PROTOCOL_GRE) return this.#findMark(bytes);
      end = this.#end;
      if (end - this.#transport < NVGRE_LENGTH || u16(bytes, this.#transport + 2) !== ETHERTYPE_TEB) return 0;
      at = this.#transport + NVGRE_LENGTH;
    }
  }

  #findTransport(bytes: Uint8Array, ip: number, end: number): boolean {
    const room = end - ip;
    this.#ip = ip;
    if (room >= IPV4_LENGTH && u16(bytes, ip - 2) === ETHERTYPE_IPV4 && u8(bytes, ip) >>> 4 === 4) {
      this.#transport = ip + ipv4HeaderLengthAt(bytes, ip);
      this.#protocol = ipv4ProtocolAt(bytes, ip);
      this.#end = ip + ipv4TotalLengthAt(bytes, ip);
    } else if (room >= IPV6_LENGTH && u16(bytes, ip - 2) === ETHERTYPE_IPV6 && u8(bytes, ip) >>> 4 === 6) {
      this.#transport = ip + IPV6_LENGTH;
      this.#protocol = ipv6NextHeaderAt(bytes, ip);
      this.#end = this.#transport + ipv6PayloadLengthAt(bytes, ip);
    } else return false;
    return this.#end <= end;
  }

  #findMark(bytes: Uint8Array): number {
    const room = this.#end - this.#transport;
    let header = 0;
    if (this.#protocol === PROTOCOL_UDP) header = UDP_LENGTH;
    else if (this.#protocol === PROTOCOL_TCP)
      header = room < TCP_LENGTH ? 0 : tcpHeaderLengthAt(bytes, this.#transport);
    else if (this.#protocol === PROTOCOL_ICMP || this.#protocol === PROTOCOL_ICMPV6) header = ICMP_LENGTH;
    return header > 0 && room >= header + MARK_LENGTH && hasMark(bytes, this.#transport + header)
      ? this.#transport + header
      : 0;
  }

  #isWhole(bytes: Uint8Array, mark: number): boolean {
    return (
      markIsRight(bytes, mark, this.#end) &&
      (u8(bytes, this.#ip) >>> 4 === 6 || ipv4ChecksumIsRight(bytes, this.#ip)) &&
      this.#transportIsRight(bytes)
    );
  }

  #transportIsRight(bytes: Uint8Array): boolean {
    const transport = this.#transport;
    const end = this.#end;
    const protocol = this.#protocol;
    if (protocol === PROTOCOL_ICMP) return icmpChecksumIsRight(bytes, transport, end);
    // UDP over IPv4 may go without (RFC 768).
    if (protocol === PROTOCOL_UDP && udpChecksumAt(bytes, transport) === 0) return u8(bytes, this.#ip) >>> 4 === 4;
    return checksumIsRight(bytes, transport, end, pseudoHeaderSum(bytes, this.#ip, protocol, end - transport));
  }

  #streamOf(number: number): Stream | undefined {
    const known = this.#streams.get(number);
    if (known || this.#streams.size === STREAMS_MAX) return known;
    const stream = new Stream();
    this.#streams.set(number, stream);
    return stream;
  }
}

/** The frames of one generator. */
class Stream {
  /** Sequence numbers from the first that counts to the highest seen. */
  expected = 0;
  /** How many of them came. */
  seen = 0;
  duplicated = 0;
  reordered = 0;
  late = 0;
  #highest = 0;
  /** One bit for each of the last WINDOW numbers, at its number modulo WINDOW. */
  readonly #window = new Uint32Array(WINDOW / 32);
  /** By flow modulo FLOW_SLOTS: whose slot it is, and the highest number that came. A flow that loses its slot starts again. */
  readonly #owners = new Uint32Array(FLOW_SLOTS);
  readonly #lasts = new Uint32Array(FLOW_SLOTS);
  readonly #inUse = new Uint8Array(FLOW_SLOTS);

  /** Counts a frame; false if it came before, or if that cannot be told. */
  take(sequence: number, flow: number): boolean {
    if (this.expected === 0) this.#begin(sequence);
    const ahead = (sequence - this.#highest) | 0;
    if (ahead > 0) this.#advance(ahead);
    else if (-ahead >= Math.min(WINDOW, this.expected)) {
      this.late++;
      return false;
    } else if (this.#isKnownNumber(sequence)) {
      this.duplicated++;
      return false;
    }
    this.#remember(sequence);
    this.seen++;
    this.#judgeOrder(sequence, flow);
    return true;
  }

  /** A stream that is met within its first window counts from its beginning; one that is met later, from there. */
  #begin(sequence: number): void {
    this.#highest = sequence;
    this.expected = sequence < WINDOW ? sequence + 1 : 1;
  }

  #advance(ahead: number): void {
    if (ahead >= WINDOW) this.#window.fill(0);
    else for (let step = 1; step <= ahead; step++) this.#forget(this.#highest + step);
    this.#highest = (this.#highest + ahead) >>> 0;
    this.expected += ahead;
  }

  #judgeOrder(sequence: number, flow: number): void {
    const slot = flow & (FLOW_SLOTS - 1);
    const isKnown = this.#inUse[slot] === 1 && this.#owners[slot] === flow;
    if (isKnown && ((sequence - this.#lasts[slot]!) | 0) < 0) {
      this.reordered++;
      return;
    }
    this.#inUse[slot] = 1;
    this.#owners[slot] = flow;
    this.#lasts[slot] = sequence;
  }

  #isKnownNumber(sequence: number): boolean {
    return ((this.#window[(sequence & (WINDOW - 1)) >>> 5]! >>> (sequence & 31)) & 1) === 1;
  }
  #remember(sequence: number): void {
    this.#window[(sequence & (WINDOW - 1)) >>> 5]! |= 1 << (sequence & 31);
  }
  #forget(sequence: number): void {
    this.#window[(sequence & (WINDOW - 1)) >>> 5]! &= ~(1 << (sequence & 31));
  }
}
