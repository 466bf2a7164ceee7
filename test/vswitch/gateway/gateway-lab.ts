/** The lab of examples/gateway.yaml in a test's hands, and frames as its VMs and the outside would send them. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type PacketEnd, reasonName } from "../../../src/dataplane/index.js";
import { kernelModule } from "../../../src/kernel-file.js";
import { Lab } from "../../../src/vswitch/index.js";
import { load } from "../../control/labs.js";
import { concatenate, frame, ip, udp } from "../../engine/build.js";

export const EXAMPLE = readFileSync(fileURLToPath(new URL("../../../examples/gateway.yaml", import.meta.url)), "utf8");
export const GW = "00-15-5D-E2-AB-03";
export const CONTOSO1 = "00-15-5D-E2-AB-00";
export const FABRIKAM1 = "00-15-5D-E2-AB-01";
export const ROUTER = "02-00-5E-00-01-01";
export const EDGE = "02-00-CB-00-71-02";
export const UPSTREAM = "02-00-CB-00-71-01";

/** Where and how a frame ended, and the frame. */
export interface End {
  readonly verdict: string;
  readonly port: string;
  readonly reason: string;
  readonly frame: Uint8Array;
}

export class GatewayLab {
  readonly lab: Lab;
  #nowMs = 1000;

  constructor(text = EXAMPLE) {
    this.lab = new Lab(load(text).lab, { kernel: kernelModule() });
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Sends frames at one time, and lets the tick pass: what has waited for a binding is among the ends. Consumed ones are left out. */
  send(port: string, ...frames: readonly Uint8Array[]): End[] {
    const { engine } = this.lab;
    const at = this.lab.port(port)!;
    const ends = engine.send(
      frames.map((bytes) => ({ port: at, frame: bytes })),
      BigInt(this.#nowMs) * 1_000_000n,
    );
    return this.#readable([...ends, ...this.#pass(1)]);
  }

  /** Lets time go on without packets. */
  wait(ms: number): End[] {
    return this.#readable(this.#pass(ms));
  }

  #pass(ms: number): PacketEnd[] {
    this.#nowMs += ms;
    return this.lab.engine.sendNothing(BigInt(this.#nowMs) * 1_000_000n);
  }

  #readable(ends: readonly PacketEnd[]): End[] {
    return ends
      .filter(({ verdict }) => verdict !== "consumed")
      .map(({ verdict, port, reason, frame: bytes }) => ({
        verdict,
        port: this.lab.engine.ports[port]!.name,
        reason: reasonName(reason),
        frame: bytes,
      }));
  }
}

/** A UDP datagram as Contoso1 sends it to its router; `contoso` of others in another packet. */
export const fromContoso = (afterMacs: Uint8Array): Uint8Array => frame("00-11-22-33-44-55", CONTOSO1, afterMacs);
export const fromFabrikam = (afterMacs: Uint8Array): Uint8Array => frame(ROUTER, FABRIKAM1, afterMacs);
export const fromOutside = (afterMacs: Uint8Array): Uint8Array => frame(EDGE, UPSTREAM, afterMacs);

export const datagram = (
  source: string,
  destination: string,
  ports: readonly [number, number],
  options: { readonly ttl?: number; readonly data?: Uint8Array; readonly identification?: number } = {},
): Uint8Array =>
  ip({
    source,
    destination,
    protocol: 17,
    payload: udp(source, destination, ports, options.data ?? new Uint8Array(20).fill(7)),
    ttl: options.ttl ?? 64,
    identification: options.identification ?? 0,
  });

const word = (value: number): readonly number[] => [(value >>> 8) & 0xff, value & 0xff];

/** A TCP segment with a right checksum. */
export function segment(
  source: string,
  destination: string,
  ports: readonly [number, number],
  flags: number,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const address = (text: string): readonly number[] => text.split(".").map(Number);
  const head = [...word(ports[0]), ...word(ports[1]), 0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
  const pseudo = [...address(source), ...address(destination), 0, 6, ...word(head.length + data.length)];
  const covered = concatenate(pseudo, head, data);
  let sum = 0;
  for (let at = 0; at < covered.length; at += 2) sum += covered[at]! * 256 + (covered[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  head.splice(16, 2, ...word(~sum & 0xffff));
  return ip({ source, destination, protocol: 6, payload: concatenate(head, data) });
}

export interface Seen {
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
  /** Ports, or of ICMP type and code, and identifier. */
  readonly ports: readonly [number, number];
}

/** Of an IPv4 packet in an Ethernet frame without options. */
export function seen(bytes: Uint8Array, at = 14): Seen {
  const text = (from: number): string => [...bytes.subarray(from, from + 4)].join(".");
  const u16 = (from: number): number => bytes[from]! * 256 + bytes[from + 1]!;
  const isIcmp = bytes[at + 9] === 1;
  const ports: readonly [number, number] = isIcmp ? [u16(at + 20), u16(at + 24)] : [u16(at + 20), u16(at + 22)];
  return { source: text(at + 12), destination: text(at + 16), ttl: bytes[at + 8]!, ports };
}
