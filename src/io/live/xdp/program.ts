/**
 * The XDP program, assembled by hand: a frame goes to the socket that is registered for the queue at which it arrived, and to the
 * host's own stack if there is none.
 *
 * The program is attached by a bpf link, which belongs to its file descriptor: when the process ends, however it ends, the kernel
 * closes the descriptor and detaches the program.
 */
import { SystemError } from "../errors.js";
import { block } from "../system.js";
import type { XdpSystem } from "./system-calls.js";

const BPF = { MAP_CREATE: 0, MAP_UPDATE_ELEM: 2, PROG_LOAD: 5, LINK_CREATE: 28 } as const;
const MAP_TYPE_XSKMAP = 17;
const PROGRAM_TYPE_XDP = 6;
const ATTACH_TYPE_XDP = 37;
/** The license that the kernel is told; it matters only for helpers that are reserved to the GPL, of which none is called. */
const LICENSE = "Apache-2.0";
/** struct xdp_md */
const RX_QUEUE_INDEX = 16;
const XDP_PASS = 2;
const REDIRECT_MAP = 51;

/** Where the program runs: in the driver, or on an skb in front of the host's stack. */
export type XdpMode = "native" | "generic";
const MODE_FLAG: Readonly<Record<XdpMode, number>> = { native: 1 << 2, generic: 1 << 1 };

/**
 *     r2 = context->rx_queue_index
 *     r1 = the map                     takes two places; source register 1 says that the value is a map's descriptor
 *     r3 = XDP_PASS                    what happens if the map has nothing for r2
 *     r0 = bpf_redirect_map(r1, r2, r3)
 *     exit
 */
export function assembleRedirect(map: number): Uint8Array {
  const { bytes, view } = block(6 * 8);
  const write = (place: number, opcode: number, source: number, destination: number, offset: number, value: number) => {
    view.setUint8(place * 8, opcode);
    view.setUint8(place * 8 + 1, (source << 4) | destination);
    view.setInt16(place * 8 + 2, offset, true);
    view.setInt32(place * 8 + 4, value, true);
  };
  write(0, OPCODE.LOAD_WORD, 1, 2, RX_QUEUE_INDEX, 0);
  write(1, OPCODE.LOAD_VALUE_64, 1, 1, 0, map);
  write(3, OPCODE.MOVE_VALUE, 0, 3, 0, XDP_PASS);
  write(4, OPCODE.CALL, 0, 0, 0, REDIRECT_MAP);
  write(5, OPCODE.EXIT, 0, 0, 0, 0);
  return bytes;
}

const OPCODE = { LOAD_WORD: 0x61, LOAD_VALUE_64: 0x18, MOVE_VALUE: 0xb7, CALL: 0x85, EXIT: 0x95 } as const;

/** Sockets by queue, and the program that sends them frames while it is attached. */
export class XdpProgram {
  readonly #system: XdpSystem;
  readonly #map: number;
  #program = -1;
  #link = -1;

  constructor(system: XdpSystem, queueCount: number) {
    this.#system = system;
    this.#map = createMap(system, queueCount);
    try {
      this.#program = load(system, this.#map);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Frames of the queue go to this socket, which must be bound to it. */
  register(queue: number, socket: number): void {
    const [key, value, attributes] = [block(4), block(4), block(32)];
    key.view.setUint32(0, queue, true);
    value.view.setUint32(0, socket, true);
    attributes.view.setUint32(0, this.#map, true);
    attributes.view.setBigUint64(8, BigInt(this.#system.addressOf(key.bytes)), true);
    attributes.view.setBigUint64(16, BigInt(this.#system.addressOf(value.bytes)), true);
    this.#system.bpf(BPF.MAP_UPDATE_ELEM, attributes.bytes, "bpf(BPF_MAP_UPDATE_ELEM)");
  }

  /** Native if the driver can, else generic. Throws EBUSY or EEXIST if the interface has another program. */
  attach(interfaceIndex: number): XdpMode {
    try {
      this.#link = this.#createLink(interfaceIndex, "native");
      return "native";
    } catch (error) {
      if (!(error instanceof SystemError) || !DRIVER_CANNOT.includes(error.code)) throw error;
      this.#link = this.#createLink(interfaceIndex, "generic");
      return "generic";
    }
  }

  /** Detaches the program. */
  close(): void {
    for (const descriptor of [this.#link, this.#program, this.#map])
      if (descriptor >= 0) this.#system.close(descriptor);
  }

  #createLink(interfaceIndex: number, mode: XdpMode): number {
    const { bytes, view } = block(48);
    view.setUint32(0, this.#program, true);
    view.setUint32(4, interfaceIndex, true);
    view.setUint32(8, ATTACH_TYPE_XDP, true);
    view.setUint32(12, MODE_FLAG[mode], true);
    return this.#system.bpf(BPF.LINK_CREATE, bytes, "bpf(BPF_LINK_CREATE)");
  }
}

/** What drivers say that have no XDP (EOPNOTSUPP), or not with this MTU or setting (veth: ERANGE, others: EINVAL). */
const DRIVER_CANNOT: readonly string[] = ["EOPNOTSUPP", "ENOTSUP", "EINVAL", "ERANGE", "ENOMEM", "ENOSPC"];

function createMap(system: XdpSystem, entryCount: number): number {
  const { bytes, view } = block(48);
  view.setUint32(0, MAP_TYPE_XSKMAP, true);
  view.setUint32(4, 4, true); // bytes of a key
  view.setUint32(8, 4, true); // bytes of a value
  view.setUint32(12, entryCount, true);
  bytes.set(new TextEncoder().encode("hnv_sockets"), 28);
  return system.bpf(BPF.MAP_CREATE, bytes, "bpf(BPF_MAP_CREATE)");
}

function load(system: XdpSystem, map: number): number {
  const code = assembleRedirect(map);
  const license = block(LICENSE.length + 1);
  license.bytes.set(new TextEncoder().encode(LICENSE));
  const { bytes, view } = block(72);
  view.setUint32(0, PROGRAM_TYPE_XDP, true);
  view.setUint32(4, code.length / 8, true);
  view.setBigUint64(8, BigInt(system.addressOf(code)), true);
  view.setBigUint64(16, BigInt(system.addressOf(license.bytes)), true);
  bytes.set(new TextEncoder().encode("hnv_redirect"), 48);
  return system.bpf(BPF.PROG_LOAD, bytes, "bpf(BPF_PROG_LOAD)");
}
