/** Frames built octet by octet, and read again, without anything of `src`: so that these tests judge it from outside. */

export const concatenate = (...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** `06-06-00-00-00-05` or with colons. */
export const macBytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/[-:]/g, ""), "hex"));

/** Dotted IPv4, or IPv6 with at most one `::` and no dotted part. */
export function addressBytes(text: string): Uint8Array {
  if (!text.includes(":")) return Uint8Array.from(text.split(".").map(Number));
  const [head = "", tail] = text.split("::");
  const groups = (part: string): number[] => (part === "" ? [] : part.split(":").map((group) => parseInt(group, 16)));
  const front = groups(head);
  const back = groups(tail ?? "");
  const middle = new Array<number>(8 - front.length - back.length).fill(0);
  return Uint8Array.from([...front, ...middle, ...back].flatMap((group) => [group >>> 8, group & 0xff]));
}

const word = (value: number): readonly number[] => [(value >>> 8) & 0xff, value & 0xff];

/** The Internet checksum (RFC 1071), two octets at a time. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes[at]! * 256 + (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

export interface Ip {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  readonly ttl?: number;
  readonly tos?: number;
  readonly identification?: number;
}

/** The packet with its EtherType; the addresses say which family. */
export function ip({ source, destination, protocol, payload, ttl = 64, tos = 0, identification = 0 }: Ip): Uint8Array {
  const [from, to] = [addressBytes(source), addressBytes(destination)];
  if (from.length === 16) {
    const first = [0x86, 0xdd, 0x60 | (tos >>> 4), (tos & 15) << 4, 0, 0];
    return concatenate(first, word(payload.length), [protocol, ttl], from, to, payload);
  }
  const start = [0x45, tos, ...word(20 + payload.length), ...word(identification), 0x40, 0, ttl, protocol];
  const sum = internetChecksum(concatenate(start, [0, 0], from, to));
  return concatenate([8, 0], start, word(sum), from, to, payload);
}

/** UDP with a right checksum over the pseudo header. */
export function udp(
  source: string,
  destination: string,
  ports: readonly [number, number],
  data: Uint8Array,
): Uint8Array {
  const length = 8 + data.length;
  const head = [...word(ports[0]), ...word(ports[1]), ...word(length)];
  const pseudo = concatenate(addressBytes(source), addressBytes(destination), [0, 17], word(length));
  const sum = internetChecksum(concatenate(pseudo, head, [0, 0], data)) || 0xffff;
  return concatenate(head, word(sum), data);
}

/** `afterMacs` begins with a tag or an EtherType. */
export const frame = (destination: string, source: string, afterMacs: Uint8Array): Uint8Array =>
  concatenate(macBytes(destination), macBytes(source), afterMacs);

export const tagged = (tci: number, behind: Uint8Array): Uint8Array => concatenate([0x81, 0], word(tci), behind);

export const nvgre = (vsid: number, flowId: number, inner: Uint8Array, flags = 0x2000): Uint8Array =>
  concatenate(word(flags), [0x65, 0x58], [vsid >>> 16, (vsid >>> 8) & 0xff, vsid & 0xff, flowId], inner);

export interface ReadIp {
  readonly at: number;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payloadAt: number;
}

/** The network header of a frame, addresses as hex; undefined for what is not plain IP. */
export function readIp(bytes: Uint8Array, at = 12): ReadIp | undefined {
  while (bytes[at] === 0x81 && bytes[at + 1] === 0) at += 4;
  const etherType = bytes[at]! * 256 + bytes[at + 1]!;
  at += 2;
  const slice = (from: number, length: number): string => hexOf(bytes.slice(at + from, at + from + length));
  if (etherType === 0x0800) {
    const payloadAt = at + (bytes[at]! & 15) * 4;
    return { at, source: slice(12, 4), destination: slice(16, 4), protocol: bytes[at + 9]!, payloadAt };
  }
  if (etherType !== 0x86dd) return undefined;
  let protocol = bytes[at + 6]!;
  let payloadAt = at + 40;
  while ([0, 43, 44, 51, 60].includes(protocol) && payloadAt + 1 < bytes.length) {
    const length =
      protocol === 44 ? 8 : protocol === 51 ? 4 * (2 + bytes[payloadAt + 1]!) : 8 * (1 + bytes[payloadAt + 1]!);
    protocol = bytes[payloadAt]!;
    payloadAt += length;
  }
  return { at, source: slice(8, 16), destination: slice(24, 16), protocol, payloadAt };
}

export interface Arp {
  readonly operation: number;
  readonly senderMac: string;
  readonly sender: string;
  readonly targetMac?: string;
  readonly target: string;
}

/** An ARP message for IPv4 over Ethernet (RFC 826), with its EtherType. */
export const arp = ({ operation, senderMac, sender, targetMac = "00-00-00-00-00-00", target }: Arp): Uint8Array =>
  concatenate(
    [8, 6, 0, 1, 8, 0, 6, 4],
    word(operation),
    macBytes(senderMac),
    addressBytes(sender),
    macBytes(targetMac),
    addressBytes(target),
  );

/** ICMP in IPv4 (RFC 792) with a right checksum, with its EtherType. */
export function icmp(source: string, destination: string, message: readonly number[], ttl = 64, tos = 0): Uint8Array {
  const payload = Uint8Array.from(message);
  payload.set(word(internetChecksum(payload)), 2);
  return ip({ source, destination, protocol: 1, payload, ttl, tos });
}

/** ICMPv6 in IPv6 (RFC 4443) with a right checksum, with its EtherType. */
export function icmpv6(
  source: string,
  destination: string,
  message: readonly number[],
  ttl = 255,
  tos = 0,
): Uint8Array {
  const pseudo = [...addressBytes(source), ...addressBytes(destination), 0, 0, ...word(message.length), 0, 0, 0, 58];
  const sum = internetChecksum(Uint8Array.from([...pseudo, ...message]));
  const payload = Uint8Array.from(message);
  payload.set(word(sum), 2);
  return ip({ source, destination, protocol: 58, payload, ttl, tos });
}

/** A neighbor solicitation (135) or advertisement (136), RFC 4861 §4.3 and §4.4. `option`: type and MAC of the only option. */
export function neighborMessage(
  type: 135 | 136,
  flags: number,
  target: string,
  option: readonly [type: number, mac: string] | null,
): readonly number[] {
  const options = option === null ? [] : [option[0], 1, ...macBytes(option[1])];
  return [type, 0, 0, 0, flags, 0, 0, 0, ...addressBytes(target), ...options];
}

/** A TCP segment of 20 octets and options (a multiple of 4), with a right checksum over the pseudo header. */
export function tcpSegment(
  source: string,
  destination: string,
  [from, to]: readonly [number, number],
  { flags = 0x10, options = [] }: { readonly flags?: number; readonly options?: readonly number[] } = {},
): Uint8Array {
  const start = [
    ...word(from),
    ...word(to),
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    1,
    ((20 + options.length) / 4) << 4,
    flags,
    0xff,
    0xff,
  ];
  const whole = (checksum: number): Uint8Array => concatenate(start, word(checksum), [0, 0], options);
  const pseudo = concatenate(addressBytes(source), addressBytes(destination), [0, 6], word(20 + options.length));
  return whole(internetChecksum(concatenate(pseudo, whole(0))));
}
