/** Random frames of every shape that the data plane tells apart, well-formed and not. */
import { setU16, setU32 } from "../../src/dataplane/wire/bytes.js";
import { checksum } from "../../src/dataplane/wire/checksum.js";
import type { Random } from "./random.js";

export interface FrameMix {
  /** Few values make flows repeat. */
  readonly hosts: number;
  readonly ports: number;
  readonly maxPayload: number;
}

export const DEFAULT_MIX: FrameMix = { hosts: 4, ports: 3, maxPayload: 200 };

const concatenate = (...parts: Uint8Array[]): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

const randomMac = (random: Random, hosts: number): Uint8Array =>
  random.chance(0.03) ? random.bytes(6) : Uint8Array.of(6, 6, 0, 0, 0, random.below(hosts));

function ethernet(random: Random, mix: FrameMix, etherType: number, mayTag: boolean): Uint8Array {
  const tag =
    mayTag && random.chance(0.15)
      ? Uint8Array.of(0x81, 0, random.pick([0, 0xa0, 0x10]), random.pick([0, 5, 103]))
      : new Uint8Array(0);
  const type = new Uint8Array(2);
  setU16(type, 0, etherType);
  return concatenate(randomMac(random, mix.hosts), randomMac(random, mix.hosts), tag, type);
}

function transport(random: Random, mix: FrameMix, protocol: number): Uint8Array {
  const body = random.bytes(random.below(mix.maxPayload + 1));
  const head = new Uint8Array(8);
  if (protocol === 6 || protocol === 17) {
    setU16(head, 0, 1000 + random.below(mix.ports));
    setU16(head, 2, 2000 + random.below(mix.ports));
    if (protocol === 17) setU16(head, 6, random.pick([0, 0, 0xffff, 1, 0xfffe, random.below(65536)]));
  } else {
    head[0] = random.pick([0, 8, 128, 135]);
    setU16(head, 4, random.below(3)); // the identifier of echo
  }
  const whole = concatenate(head, body);
  return random.chance(0.03) ? whole.subarray(0, random.below(whole.length)) : whole;
}

export function ipv4(
  random: Random,
  payload: Uint8Array,
  protocol: number,
  source: number,
  destination: number,
): Uint8Array {
  const options = random.chance(0.1) ? 4 * random.between(1, 10) : 0;
  const header = new Uint8Array(20 + options).fill(1);
  header[0] = 0x40 | (header.length / 4);
  header[1] = random.below(256);
  setU16(header, 2, header.length + payload.length);
  setU16(header, 4, random.below(65536));
  setU16(header, 6, random.chance(0.85) ? random.pick([0, 0x4000]) : random.pick([0x2000, 0x2010, 0x0010, 0x8000]));
  header[8] = random.pick([0, 1, 2, 64, 128, 255]);
  header[9] = protocol;
  setU16(header, 10, 0);
  setU32(header, 12, source);
  setU32(header, 16, destination);
  setU16(header, 10, checksum(header, 0, header.length));
  return concatenate(header, payload);
}

function extensions(random: Random, protocol: number): { chain: Uint8Array; first: number } {
  const kinds: number[] = [];
  while (random.chance(0.15) && kinds.length < 10) kinds.push(random.pick([0, 43, 60, 51, 44]));
  const parts = kinds.map((kind, index) => {
    const length = kind === 44 ? 8 : kind === 51 ? 12 : 8 * random.between(1, 3);
    const header = new Uint8Array(length);
    header[0] = kinds[index + 1] ?? protocol;
    if (kind === 51) header[1] = 1;
    else if (kind === 44) setU16(header, 2, random.pick([0, 1, 9, 0x100]));
    else header[1] = length / 8 - 1;
    return header;
  });
  return { chain: concatenate(...parts), first: kinds[0] ?? protocol };
}

const ipv6Address = (host: number): Uint8Array =>
  Uint8Array.of(0xfd, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host);

export function ipv6(
  random: Random,
  payload: Uint8Array,
  protocol: number,
  source: Uint8Array,
  destination: Uint8Array,
): Uint8Array {
  const { chain, first } = extensions(random, protocol);
  const header = new Uint8Array(8);
  setU32(header, 0, (0x6000_0000 | random.below(0x1000_0000)) >>> 0);
  setU16(header, 4, chain.length + payload.length);
  header[6] = first;
  header[7] = random.pick([0, 1, 64, 255]);
  return concatenate(header, source, destination, chain, payload);
}

/** A frame as a VM might send it, now and then with padding, a tag, or one thing wrong. */
export function tenantFrame(random: Random, mix: FrameMix = DEFAULT_MIX): Uint8Array {
  const shape = random.below(20);
  let frame: Uint8Array;
  if (shape < 10) {
    const protocol = random.pick([1, 6, 17, 17, 47]);
    const [a, b] = [0x0a00_0000 + random.below(mix.hosts), 0x0a00_0000 + random.below(mix.hosts)];
    frame = concatenate(
      ethernet(random, mix, 0x0800, true),
      ipv4(random, transport(random, mix, protocol), protocol, a, b),
    );
  } else if (shape < 17) {
    const protocol = random.pick([6, 17, 58]);
    const payload = transport(random, mix, protocol);
    frame = concatenate(
      ethernet(random, mix, 0x86dd, true),
      ipv6(random, payload, protocol, ipv6Address(random.below(mix.hosts)), ipv6Address(random.below(mix.hosts))),
    );
  } else {
    frame = concatenate(
      ethernet(random, mix, random.pick([0x0806, 0x88cc, 0x88a8, 0x0026]), true),
      random.bytes(random.below(60)),
    );
  }
  return spoil(random, frame);
}

/** NVGRE as it might come from a wire, with a tenant's frame inside; now and then another tunnel's GRE, with a packet inside. */
export function wireFrame(random: Random, mix: FrameMix = DEFAULT_MIX): Uint8Array {
  const payload = random.chance(0.15) ? bareGre(random, mix) : nvgre(random, mix);
  const frame = random.chance(0.7)
    ? concatenate(ethernet(random, mix, 0x0800, true), ipv4(random, payload, 47, 0xc0a8_040b, 0xc0a8_0416))
    : concatenate(ethernet(random, mix, 0x86dd, true), ipv6(random, payload, 47, ipv6Address(11), ipv6Address(22)));
  return spoil(random, frame);
}

function nvgre(random: Random, mix: FrameMix): Uint8Array {
  const inner = tenantFrame(random, mix);
  const gre = new Uint8Array(8);
  setU16(gre, 0, random.chance(0.9) ? 0x2000 : random.pick([0x0000, 0x2008, 0x2800, 0x3000, 0xa000, 0x2001, 0x6000]));
  setU16(gre, 2, random.chance(0.97) ? 0x6558 : 0x0800);
  setU32(gre, 4, ((random.pick([5001, 5001, 6001, 4095, 0xffffff]) << 8) | random.below(256)) >>> 0);
  return concatenate(gre, inner);
}

function bareGre(random: Random, mix: FrameMix): Uint8Array {
  const isIpv4 = random.chance(0.5);
  const [a, b] = [random.below(mix.hosts), random.below(mix.hosts)];
  const protocol = random.pick([isIpv4 ? 1 : 58, 6, 17]);
  const body = transport(random, mix, protocol);
  const inner = isIpv4
    ? ipv4(random, body, protocol, 0x0a00_0000 + a, 0x0a00_0000 + b)
    : ipv6(random, body, protocol, ipv6Address(a), ipv6Address(b));
  const gre = new Uint8Array(8);
  setU16(gre, 0, random.chance(0.9) ? 0x2000 : random.pick([0x0000, 0x2008, 0x2800, 0x3000, 0xa000, 0x2001]));
  setU16(gre, 2, isIpv4 !== random.chance(0.03) ? 0x0800 : 0x86dd);
  setU32(gre, 4, random.pick([77, 78, 0x4d00_0000]));
  return concatenate(gre, inner, new Uint8Array(random.chance(0.1) ? random.below(30) : 0));
}

function spoil(random: Random, frame: Uint8Array): Uint8Array {
  if (random.chance(0.1)) return concatenate(frame, new Uint8Array(random.between(1, 30)));
  if (random.chance(0.04)) return frame.slice(0, random.below(frame.length + 1));
  if (random.chance(0.06) && frame.length > 0) {
    const copy = frame.slice();
    for (let flips = random.between(1, 3); flips > 0; flips--)
      copy[random.below(Math.min(copy.length, 80))]! ^= 1 << random.below(8);
    return copy;
  }
  return frame;
}

/** Octets without any sense, now and then with an EtherType and a first nibble that make a parser look further. */
export function garbageFrame(random: Random): Uint8Array {
  const frame = random.bytes(random.below(201));
  if (frame.length < 16 || random.chance(0.3)) return frame;
  setU16(frame, 12, random.pick([0x0800, 0x86dd, 0x8100]));
  const at = frame[12] === 0x81 && frame.length > 20 ? 18 : 14;
  if (at === 18) setU16(frame, 16, random.pick([0x0800, 0x86dd, 0x8100]));
  frame[at] = random.pick([0x45, 0x46, 0x4f, 0x40, 0x60, 0x6f]);
  if (frame.length > at + 9) frame[at + (random.chance(0.5) ? 9 : 6)] = random.pick([47, 0, 43, 44, 51, 60, 17]);
  return frame;
}

/** The frame with a few octets of its headers at their limits, cut or prolonged; outer IPv4 checksums mostly still hold. */
export function mutatedFrame(random: Random, original: Uint8Array): Uint8Array {
  let frame: Uint8Array = original.slice(0, random.chance(0.3) ? random.below(original.length + 1) : original.length);
  if (random.chance(0.1)) frame = concatenate(frame, random.bytes(random.below(64)));
  if (frame.length === 0) return frame;
  for (let changes = random.between(1, 4); changes > 0; changes--) {
    const at = 12 + random.below(120);
    if (at >= frame.length) continue;
    frame[at] = random.pick([0, 1, 0x7f, 0x80, 0xfe, 0xff, frame[at]! ^ (1 << random.below(8)), frame[at]! + 1]);
  }
  const at = frame[12] === 0x81 ? 18 : 14;
  const length = (frame[at]! & 15) * 4;
  if (random.chance(0.8) && length >= 20 && frame.length >= at + length) {
    setU16(frame, at + 10, 0);
    setU16(frame, at + 10, checksum(frame, at, at + length));
  }
  return frame;
}
