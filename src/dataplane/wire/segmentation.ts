/**
 * Segmentation offload: one frame of TCP or UDP that stands for many is cut into those, as a NIC would cut it.
 *
 *     super-frame   [Ethernet, IP, TCP][              payload               ]
 *     segment 0     [headers][ size    ]                                        IP id n,   sequence s
 *     segment 1     [headers][ size    ]                                        IP id n+1, sequence s + size
 *     last          [headers][ rest ]                                           FIN and PSH, if the super-frame had them
 *
 * Of each segment all headers are copied, lengths and checksums are its own, the IPv4 identification counts up from that of the
 * super-frame (RFC 6864 §4.2 wants them distinct). UDP is cut into datagrams (UDP segmentation offload), each with a header of its own.
 * Where the sender put the super-frame into tunnels, the headers of these are in front of each segment, too.
 */
import { setU16, setU32, u8, u16, u32 } from "./bytes.js";
import { checksum, checksumOfSum, checksumSum, pseudoHeaderSum } from "./checksum.js";
import { IPV4_LENGTH, PROTOCOL_TCP, PROTOCOL_UDP } from "./ipv4.js";
import { IPV6_LENGTH } from "./ipv6.js";
import { TCP_CWR, TCP_FIN, TCP_LENGTH, TCP_PSH } from "./tcp.js";
import { behindIp, ipInsideTunnel } from "./tunnel.js";
import { UDP_LENGTH } from "./udp.js";
import { networkOffset } from "./vlan.js";

/** Fields of the transport headers that differ from segment to segment. */
const TCP = { SEQUENCE: 4, DATA_OFFSET: 12, FLAGS: 13, CHECKSUM: 16 } as const;
const UDP = { LENGTH: 4, CHECKSUM: 6 } as const;

/** How a frame is to be cut. */
export interface SegmentationRequest {
  readonly isTcp: boolean;
  /** From the frame's first octet to its transport header, the innermost where there are tunnels. */
  readonly transport: number;
  /** Octets of payload in every segment but the last. */
  readonly segmentSize: number;
}

/** Cuts one frame after the other; used again and again, so that cutting costs no objects. */
export class Segmenter {
  #at = 0;
  #end = 0;
  /** Length of all headers, and where two of them begin. */
  #headers = 0;
  #network = 0;
  #transport = 0;
  #isTcp = false;
  /** Of tunnels, the outermost first: where the IP header begins, and the UDP header if there is one. */
  readonly #tunnels: { readonly network: number; readonly udp: number | null }[] = [];
  #segmentSize = 0;
  /** Where the payload that is still to come begins. */
  #next = 0;
  #index = 0;

  /** Are there segments left? The frame must stay where it is until there are none. */
  get isBusy(): boolean {
    return this.#next < this.#end;
  }

  /** Octets of the longest segment, headers included. */
  get segmentLength(): number {
    return this.#headers + this.#segmentSize;
  }

  /** Takes the frame bytes[at, at + length). False if it is not what the request says. */
  start(
    bytes: Uint8Array,
    at: number,
    length: number,
    { isTcp, transport, segmentSize }: SegmentationRequest,
  ): boolean {
    if (segmentSize === 0) return false;
    const network = this.#findNetwork(bytes, at, length, transport);
    if (network === null) return false;
    if (transport + (isTcp ? TCP_LENGTH : UDP_LENGTH) > length) return false;
    const transportLength = isTcp ? (u8(bytes, at + transport + TCP.DATA_OFFSET) >>> 4) * 4 : UDP_LENGTH;
    const headers = transport + transportLength;
    if (headers >= length || (isTcp && transportLength < TCP_LENGTH)) return false;
    this.#at = at;
    this.#end = at + length;
    this.#headers = headers;
    this.#network = network;
    this.#transport = transport;
    this.#isTcp = isTcp;
    this.#segmentSize = segmentSize;
    this.#next = at + headers;
    this.#index = 0;
    return true;
  }

  /** Where the IP header in front of the transport header begins; null if nothing leads there. Notes the tunnels that do. */
  #findNetwork(bytes: Uint8Array, at: number, length: number, transport: number): number | null {
    const end = at + length;
    this.#tunnels.length = 0;
    for (let ip: number | null = at + networkOffset(bytes, at, length); ip !== null; ) {
      const behind = behindIp(bytes, ip, end);
      if (behind === null || behind.at < ip + IPV4_LENGTH || behind.at > at + transport) return null;
      if (behind.at === at + transport) return ip - at;
      this.#tunnels.push({ network: ip - at, udp: behind.protocol === PROTOCOL_UDP ? behind.at - at : null });
      ip = ipInsideTunnel(bytes, behind.protocol, behind.at, end);
    }
    return null;
  }

  /** Writes the next segment of the frame, which lies in `bytes`, to `target` from `to` on, and gives its length. */
  write(bytes: Uint8Array, target: Uint8Array, to: number): number {
    const payload = Math.min(this.#segmentSize, this.#end - this.#next);
    const length = this.#headers + payload;
    copy(bytes, this.#at, this.#headers, target, to);
    copy(bytes, this.#next, payload, target, to + this.#headers);
    this.#next += payload;
    this.#fixNetwork(target, to + this.#network, length - this.#network);
    this.#fixTransport(target, to, length);
    for (let tunnel = this.#tunnels.length - 1; tunnel >= 0; tunnel--) this.#fixTunnel(target, to, length, tunnel);
    this.#index++;
    return length;
  }

  #fixNetwork(bytes: Uint8Array, ip: number, length: number): void {
    if (u8(bytes, ip) >>> 4 === 6) {
      setU16(bytes, ip + 4, length - IPV6_LENGTH);
      return;
    }
    setU16(bytes, ip + 2, length);
    setU16(bytes, ip + 4, u16(bytes, ip + 4) + this.#index);
    setU16(bytes, ip + 10, 0);
    setU16(bytes, ip + 10, checksum(bytes, ip, ip + (u8(bytes, ip) & 0x0f) * 4));
  }

  #fixTransport(bytes: Uint8Array, frame: number, length: number): void {
    const at = frame + this.#transport;
    const transportLength = length - this.#transport;
    if (this.#isTcp) {
      setU32(bytes, at + TCP.SEQUENCE, u32(bytes, at + TCP.SEQUENCE) + this.#index * this.#segmentSize);
      // The end of the data, and the answer to a congestion mark, are told once (RFC 3168 §6.1.2).
      let flags = u8(bytes, at + TCP.FLAGS);
      if (this.isBusy) flags &= ~(TCP_FIN | TCP_PSH);
      if (this.#index > 0) flags &= ~TCP_CWR;
      bytes[at + TCP.FLAGS] = flags;
    } else {
      setU16(bytes, at + UDP.LENGTH, transportLength);
    }
    const field = at + (this.#isTcp ? TCP.CHECKSUM : UDP.CHECKSUM);
    setU16(bytes, field, 0);
    const protocol = this.#isTcp ? PROTOCOL_TCP : PROTOCOL_UDP;
    const pseudo = pseudoHeaderSum(bytes, frame + this.#network, protocol, transportLength);
    setU16(bytes, field, checksumOfSum(checksumSum(bytes, at, frame + length, pseudo)) || 0xffff);
  }

  /** Its headers cover all that is behind them, so those further in come first. */
  #fixTunnel(bytes: Uint8Array, frame: number, length: number, tunnel: number): void {
    const { network, udp } = this.#tunnels[tunnel]!;
    this.#fixNetwork(bytes, frame + network, length - network);
    if (udp === null) return;
    const at = frame + udp;
    setU16(bytes, at + UDP.LENGTH, length - udp);
    if (u16(bytes, at + UDP.CHECKSUM) === 0) return; // none, as many tunnels have it
    setU16(bytes, at + UDP.CHECKSUM, 0);
    const pseudo = pseudoHeaderSum(bytes, frame + network, PROTOCOL_UDP, length - udp);
    setU16(bytes, at + UDP.CHECKSUM, checksumOfSum(checksumSum(bytes, at, frame + length, pseudo)) || 0xffff);
  }
}

/** Within one buffer without a view of it, for live interfaces cut every frame there. */
function copy(from: Uint8Array, at: number, length: number, to: Uint8Array, toAt: number): void {
  if (from === to) to.copyWithin(toAt, at, at + length);
  else to.set(from.subarray(at, at + length), toAt);
}

/** A TCP frame cut into segments of at most `segmentSize` octets of payload, as frames of their own; none if it is not such a frame. */
export function segmentTcp(frame: Uint8Array, transport: number, segmentSize: number): Uint8Array[] {
  const segmenter = new Segmenter();
  if (!segmenter.start(frame, 0, frame.length, { isTcp: true, transport, segmentSize })) return [];
  const segments: Uint8Array[] = [];
  while (segmenter.isBusy) {
    const segment = new Uint8Array(segmenter.segmentLength);
    segments.push(segment.subarray(0, segmenter.write(frame, segment, 0)));
  }
  return segments;
}
