/**
 * Putting outer fragments together (RFC 791 §3.2, RFC 8200 §4.5), for hosts that were told to; RFC 7637 §4.4 lets a receiver discard them,
 * and that is what hosts do unless told otherwise.
 *
 *     context   one per (VLAN, source, destination, protocol, identification)
 *               [0 ……… 1432)              [2864 …]          pieces in order, never overlapping
 *     whole     no gap from 0 to the piece without MF: the first piece's headers, all data
 *
 * A sender of fragments can make the receiver keep what never becomes whole, so all is bounded: contexts, octets, and the time that a
 * context may wait. Overlapping pieces, with which one part of a packet can be shown to a filter and another to the host, end their
 * context (RFC 5722); what was sent twice alike is taken once.
 */
import { type ParsedFrame, type ParsedIp, parseFrame } from "../../packet/parse.js";
import type { PortIndex } from "../../transposition/transposition.js";
import { formatAddress } from "../../wire/address-text.js";
import { setU8, setU16, u8, u16, u32 } from "../../wire/bytes.js";
import { IPV6_FRAGMENT_LENGTH } from "../../wire/fragmentation.js";
import {
  IPV4_PACKET_MAX,
  ipv4FragmentOffsetAt,
  ipv4IdentificationAt,
  ipv4MoreFragmentsAt,
  PROTOCOL_IPV6_FRAGMENT,
  setIpv4Checksum,
  setIpv4Ecn,
} from "../../wire/ipv4.js";
import { IPV6_LENGTH, ipv6NextHeaderAt, setIpv6Ecn } from "../../wire/ipv6.js";
import { vidOf } from "../../wire/vlan.js";
import type { NveWork } from "./work.js";

/** What decisions about fragments want of a host's reassembly. */
export type ReassemblyEffect =
  /** Nobody else holds the frame, so it can be kept as it is. */
  | { readonly kind: "fragment"; readonly port: PortIndex; readonly frame: Uint8Array }
  /** A timer: some packets may have waited for too long. */
  | { readonly kind: "fragmentsEnd" };

export interface ReassemblyCounters {
  /** Packets that became whole. */
  readonly whole: number;
  /** Packets that waited for too long. */
  readonly expired: number;
  /** Fragments refused, by cause. */
  readonly refused: Readonly<Record<ReassemblyRefusal, number>>;
}

export interface ReassemblyLimits {
  /** Packets that wait for further fragments. */
  readonly contexts: number;
  /** Octets of all fragments that wait. */
  readonly bytes: number;
  readonly timeoutMs: number;
}

/** RFC 8200 §4.5 gives the time; the rest is a few hundred packets of the greatest length in ordinary use, and not more. */
export const REASSEMBLY_LIMITS: ReassemblyLimits = Object.freeze({
  contexts: 256,
  bytes: 1024 * 1024,
  timeoutMs: 60_000,
});

export type Reassembled =
  | { readonly kind: "waiting" }
  | { readonly kind: "whole"; readonly frame: Uint8Array }
  | { readonly kind: "refused"; readonly why: ReassemblyRefusal };

export type ReassemblyRefusal =
  /** A piece that is no multiple of eight octets, empty, or behind the greatest length; two ends; extension headers in the way. */
  | "malformed"
  | "overlap"
  /** Congestion was marked on a part of a packet that says it does not understand (RFC 3168 §5.3). */
  | "congestion"
  | "contexts"
  | "bytes";

const WAITING: Reassembled = Object.freeze({ kind: "waiting" });
const refused = (why: ReassemblyRefusal): Reassembled => ({ kind: "refused", why });

/** One fragment: its data is frame[dataAt, end) and belongs at `offset`. */
interface Piece {
  readonly frame: Uint8Array;
  readonly parsed: ParsedFrame;
  readonly ip: ParsedIp;
  readonly dataAt: number;
  readonly end: number;
  readonly offset: number;
  readonly more: boolean;
}

interface Context {
  /** By offset. */
  readonly pieces: Piece[];
  bytes: number;
  readonly expiresMs: number;
}

const CONGESTION_EXPERIENCED = 3;

export class Reassembly {
  /** In the order in which they expire. */
  readonly #contexts = new Map<string, Context>();
  #bytes = 0;
  readonly #counters = {
    whole: 0,
    expired: 0,
    refused: { malformed: 0, overlap: 0, congestion: 0, contexts: 0, bytes: 0 },
  };
  #isTimerSet = false;

  constructor(private readonly limits: ReassemblyLimits = REASSEMBLY_LIMITS) {}

  get counters(): ReassemblyCounters {
    return { ...this.#counters, refused: { ...this.#counters.refused } };
  }

  get contexts(): number {
    return this.#contexts.size;
  }

  /** Octets of the fragments that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Why there is no room for this fragment, as far as it is known before it comes; null if there is. */
  refusal(frame: Uint8Array): ReassemblyRefusal | null {
    const piece = pieceOf(frame);
    if (!piece) return "malformed";
    return this.#lacks(this.#contexts.has(keyOf(piece)), frame.length);
  }

  #lacks(isKnown: boolean, length: number): ReassemblyRefusal | null {
    if (!isKnown && this.#contexts.size >= this.limits.contexts) return "contexts";
    return this.#bytes + length > this.limits.bytes ? "bytes" : null;
  }

  settle(effect: ReassemblyEffect, work: NveWork): void {
    if (effect.kind === "fragment") {
      const result = this.add(effect.frame, work.nowMs);
      if (result.kind === "whole") work.resubmit(effect.port, result.frame);
      if (result.kind === "refused") work.notify({ kind: "fragmentRefused", why: result.why });
    } else {
      const packets = this.expire(work.nowMs);
      if (packets > 0) work.notify({ kind: "fragmentsExpired", packets });
      this.#isTimerSet = false;
    }
    this.#setTimer(work);
  }

  /** One timer, for the packet that has waited longest. */
  #setTimer(work: NveWork): void {
    const first = this.#contexts.values().next().value;
    if (this.#isTimerSet || !first) return;
    this.#isTimerSet = true;
    work.setTimer<ReassemblyEffect>(first.expiresMs, { kind: "fragmentsEnd" });
  }

  /** Takes a whole frame that `parseFrame` reads as an IP fragment; keeps it, so nobody may write to it any more. */
  add(frame: Uint8Array, nowMs: number): Reassembled {
    const result = this.#add(frame, nowMs);
    if (result.kind === "whole") this.#counters.whole++;
    if (result.kind === "refused") this.#counters.refused[result.why]++;
    return result;
  }

  #add(frame: Uint8Array, nowMs: number): Reassembled {
    const piece = pieceOf(frame);
    if (!piece) return refused("malformed");
    const key = keyOf(piece);
    const known = this.#contexts.get(key);
    const lack = this.#lacks(known !== undefined, frame.length);
    if (lack) return refused(lack);
    const context = known ?? { pieces: [], bytes: 0, expiresMs: nowMs + this.limits.timeoutMs };
    if (!known) this.#contexts.set(key, context);

    const fit = placeOf(context.pieces, piece);
    if (fit === "twice") return WAITING;
    if (fit === "overlap") {
      this.#forget(key, context);
      return refused("overlap");
    }
    context.pieces.splice(fit, 0, piece);
    context.bytes += frame.length;
    this.#bytes += frame.length;
    if (!isWhole(context.pieces)) return WAITING;
    this.#forget(key, context);
    return join(context.pieces);
  }

  /** Gives up the packets that have waited for too long; returns how many. */
  expire(nowMs: number): number {
    let count = 0;
    for (const [key, context] of this.#contexts) {
      if (context.expiresMs > nowMs) break;
      this.#forget(key, context);
      count++;
    }
    this.#counters.expired += count;
    return count;
  }

  #forget(key: string, context: Context): void {
    this.#contexts.delete(key);
    this.#bytes -= context.bytes;
  }
}

function pieceOf(frame: Uint8Array): Piece | null {
  const parsed = parseFrame(frame, 0, frame.length);
  const ip = parsed?.ip;
  if (!parsed || !ip || ip.fragment === "none") return null;
  const piece = ip.family === 4 ? ipv4Piece(frame, parsed, ip) : ipv6Piece(frame, parsed, ip);
  if (!piece) return null;
  const length = piece.end - piece.dataAt;
  const isPossible = piece.more ? length > 0 && length % 8 === 0 : length > 0 || piece.offset > 0;
  const longest = ip.family === 4 ? IPV4_PACKET_MAX - (piece.dataAt - ip.at) : 0xffff;
  return isPossible && piece.offset + length <= longest ? piece : null;
}

function ipv4Piece(frame: Uint8Array, parsed: ParsedFrame, ip: ParsedIp): Piece {
  const [offset, more] = [ipv4FragmentOffsetAt(frame, ip.at), ipv4MoreFragmentsAt(frame, ip.at)];
  return { frame, parsed, ip, dataAt: ip.transportAt, end: ip.end, offset, more };
}

/** Only where the Fragment header follows the IPv6 header: tunnels put nothing between them. */
function ipv6Piece(frame: Uint8Array, parsed: ParsedFrame, ip: ParsedIp): Piece | null {
  if (ipv6NextHeaderAt(frame, ip.at) !== PROTOCOL_IPV6_FRAGMENT) return null;
  const word = u16(frame, ip.at + IPV6_LENGTH + 2);
  return { frame, parsed, ip, dataAt: ip.transportAt, end: ip.end, offset: word & 0xfff8, more: (word & 1) !== 0 };
}

function keyOf({ frame, parsed, ip }: Piece): string {
  const vlan = parsed.tag === null ? 0 : vidOf(parsed.tag);
  const id = ip.family === 4 ? ipv4IdentificationAt(frame, ip.at) : u32(frame, ip.at + IPV6_LENGTH + 4);
  return `${vlan} ${formatAddress(ip.source)} ${formatAddress(ip.destination)} ${ip.protocol} ${id}`;
}

const lengthOf = ({ dataAt, end }: Piece): number => end - dataAt;

/** Where in the list the piece belongs, if nothing stands in its way. */
function placeOf(pieces: readonly Piece[], piece: Piece): number | "twice" | "overlap" {
  const next = pieces.findIndex(({ offset }) => offset >= piece.offset);
  const at = next < 0 ? pieces.length : next;
  const before = pieces[at - 1];
  const after = pieces[at];
  if (after && after.offset === piece.offset && isSame(after, piece)) return "twice";
  if (before && before.offset + lengthOf(before) > piece.offset) return "overlap";
  if (after && piece.offset + lengthOf(piece) > after.offset) return "overlap";
  // Nothing can stand behind the end, nor can there be two ends.
  if (before && !before.more) return "overlap";
  return after && !piece.more ? "overlap" : at;
}

const isSame = (a: Piece, b: Piece): boolean =>
  a.more === b.more && Buffer.compare(a.frame.subarray(a.dataAt, a.end), b.frame.subarray(b.dataAt, b.end)) === 0;

function isWhole(pieces: readonly Piece[]): boolean {
  let expected = 0;
  for (const piece of pieces) {
    if (piece.offset !== expected) return false;
    expected += lengthOf(piece);
  }
  return !pieces.at(-1)!.more;
}

/** The headers of the first piece, without what makes it one, and all data. */
function join(pieces: readonly Piece[]): Reassembled {
  const marks = new Set(pieces.map(({ ip }) => ip.trafficClass & 3));
  const isMarked = marks.has(CONGESTION_EXPERIENCED);
  if (isMarked && marks.has(0)) return refused("congestion");

  const { frame: first, ip, dataAt } = pieces[0]!;
  const headersEnd = ip.family === 4 ? dataAt : dataAt - IPV6_FRAGMENT_LENGTH;
  const length = pieces.reduce((sum, piece) => sum + lengthOf(piece), 0);
  if (ip.family === 4 && headersEnd - ip.at + length > IPV4_PACKET_MAX) return refused("malformed"); // the first one has the longer header
  const frame = new Uint8Array(headersEnd + length);
  frame.set(first.subarray(0, headersEnd));
  for (const piece of pieces) frame.set(piece.frame.subarray(piece.dataAt, piece.end), headersEnd + piece.offset);
  if (ip.family === 4) {
    setU16(frame, ip.at + 2, frame.length - ip.at);
    setU16(frame, ip.at + 6, 0);
    setIpv4Checksum(frame, ip.at);
    if (isMarked) setIpv4Ecn(frame, ip.at, CONGESTION_EXPERIENCED);
  } else {
    setU16(frame, ip.at + 4, length);
    setU8(frame, ip.at + 6, u8(first, headersEnd)); // the Fragment header's next header
    if (isMarked) setIpv6Ecn(frame, ip.at, CONGESTION_EXPERIENCED);
  }
  return { kind: "whole", frame };
}
