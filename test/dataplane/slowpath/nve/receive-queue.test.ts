/** What a NIC hashes, and into which queue it leads: Microsoft's published values, with the packets inside NVGRE. */
import { describe, expect, it } from "vitest";
import { parseFrame } from "../../../../src/dataplane/packet/index.js";
import { chooseQueue, DEFAULT_NIC_OFFLOAD, type NicOffload } from "../../../../src/dataplane/slowpath/index.js";
import { concatenate, frame, icmp, ip, nvgre, tagged } from "../../../engine/build.js";
import { RSS_SUITE } from "../../../vectors/rss-suite.js";

const VM = "06-06-00-00-00-07";
const NIC = "02-00-C0-A8-04-16";
const [TO, TO_PORT, FROM, FROM_PORT, , HASH] = RSS_SUITE[0];
/** The outer addresses are those of another row, whose addresses alone hash to this. */
const [OUTER_TO, , OUTER_FROM, , OUTER_HASH] = RSS_SUITE[1];
const [OUTER_TO_V6, , OUTER_FROM_V6, , OUTER_HASH_V6] = RSS_SUITE[5];

const ports = (source: number, destination: number): number[] => [
  source >> 8,
  source & 255,
  destination >> 8,
  destination & 255,
];
/** A TCP header with so many octets of options. */
const tcp = (source: number, destination: number, options = 0): Uint8Array =>
  concatenate(
    ports(source, destination),
    new Array(8).fill(0),
    [(5 + options / 4) << 4, 0x10, 1, 0, 0, 0, 0, 0],
    new Array(options).fill(1),
  );
const udp = (source: number, destination: number): Uint8Array => concatenate(ports(source, destination), [0, 8, 0, 0]);

interface Shape {
  readonly protocol?: number;
  readonly payload?: Uint8Array;
  /** An octet of the inner IP header, and its new value. */
  readonly change?: readonly [at: number, value: number];
  readonly outer?: readonly [from: string, to: string];
  readonly outerTag?: number;
}

/** The first row's packet. */
const inner = ({ protocol = 6, payload = tcp(FROM_PORT, TO_PORT), change }: Shape = {}): Uint8Array => {
  const packet = ip({ source: FROM, destination: TO, protocol, payload });
  if (change) packet[2 + change[0]] = change[1]; // behind the EtherType
  return packet;
};
const inNvgre = (packet: Uint8Array, { outer = [OUTER_FROM, OUTER_TO], outerTag }: Shape = {}): Uint8Array => {
  const [source, destination] = outer;
  const payload = nvgre(5001, 0, frame(VM, VM, packet));
  const outerPacket = ip({ source, destination, protocol: 47, payload });
  return frame(NIC, NIC, outerTag === undefined ? outerPacket : tagged(outerTag, outerPacket));
};

function choice(bytes: Uint8Array, offload: Partial<NicOffload> = {}, queues = 128) {
  const shifted = concatenate(new Array(5).fill(0xa5), bytes); // offsets count from the frame
  const parsed = parseFrame(shifted, 5, shifted.length)!;
  const { hashed, ...rest } = chooseQueue(shifted, parsed, { ...DEFAULT_NIC_OFFLOAD, ...offload }, queues);
  return { ...rest, hashed: hashed() };
}
const hashOf = (bytes: Uint8Array, offload?: Partial<NicOffload>): number | null => choice(bytes, offload).hash;

describe("the inner header of NVGRE", () => {
  it.each(RSS_SUITE)("is hashed with its ports: to %s :%i from %s :%i", (to, toPort, from, fromPort, _bare, full) => {
    for (const [protocol, payload] of [
      [6, tcp(fromPort, toPort)],
      [17, udp(fromPort, toPort)],
    ] as const) {
      const packet = ip({ source: from, destination: to, protocol, payload });
      for (const outer of [
        [OUTER_FROM, OUTER_TO],
        [OUTER_FROM_V6, OUTER_TO_V6],
      ] as const) {
        for (const outerTag of [undefined, 103]) {
          const { hash, queue, isInner } = choice(inNvgre(packet, { outer, ...(outerTag && { outerTag }) }));
          expect({ hash, queue, isInner }).toEqual({ hash: full, queue: full % 128, isInner: true });
        }
      }
    }
  });

  it("IPv4 options make no difference", () => {
    const packet = inner();
    const withOptions = concatenate(packet.subarray(0, 22), [1, 1, 1, 1], packet.subarray(22));
    withOptions[2] = 0x46;
    withOptions[5]! += 4;
    expect(hashOf(inNvgre(withOptions))).toBe(HASH);
  });

  it("is not hashed by a NIC with the fault, over IPv4 and IPv6", () => {
    const faults = ["hashOnOuterHeader"] as const;
    expect(choice(inNvgre(inner()), { faults })).toMatchObject({
      hash: OUTER_HASH,
      isInner: false,
      hashed: `the outer addresses, ${OUTER_FROM} -> ${OUTER_TO}: fault hashOnOuterHeader`,
    });
    expect(hashOf(inNvgre(inner(), { outer: [OUTER_FROM_V6, OUTER_TO_V6] }), { faults })).toBe(OUTER_HASH_V6);
    expect(hashOf(inNvgre(inner()), { faults: ["badInnerChecksum", "mssNotLowered", "constantIpId"] })).toBe(HASH);
  });
});

describe("the outer addresses are hashed in the place of the inner header", () => {
  const firstFragment = inner({ change: [6, 0x20] });
  const laterFragment = inner({ change: [7, 0x10] });
  const behindExtension = ip({
    source: "fd00:10::5",
    destination: "fd00:10::7",
    protocol: 60,
    payload: concatenate([6, 0, 1, 4, 0, 0, 0, 0], tcp(FROM_PORT, TO_PORT)),
  });

  it.each([
    ["ICMP", icmp(FROM, TO, [8, 0, 0, 0, 0, 1, 0, 1])],
    ["a first fragment, which has ports", firstFragment],
    ["a later fragment", laterFragment],
    ["ports that are cut off", inner({ payload: tcp(FROM_PORT, TO_PORT).subarray(0, 3) })],
    ["what is not IP", concatenate([8, 6], new Array(28).fill(0))],
    ["an IP header that is broken", inner({ change: [0, 0x44] })],
    ["an extension header before the TCP header", behindExtension],
  ])("%s", (_what, packet) => {
    const { hash, isInner, hashed } = choice(inNvgre(packet));
    expect({ hash, isInner }).toEqual({ hash: OUTER_HASH, isInner: false });
    expect(hashed).toContain(`the outer addresses, ${OUTER_FROM} -> ${OUTER_TO}`);
  });

  it("by a NIC without the capability", () => {
    expect(choice(inNvgre(inner()), { rss: false })).toMatchObject({ hash: OUTER_HASH, isInner: false });
  });

  it.each([
    [["innerIPv4", "outerIPv4"], HASH, OUTER_HASH_V6],
    [["innerIPv4", "outerIPv6"], OUTER_HASH, HASH],
    [["innerIPv6", "outerIPv4", "outerIPv6"], OUTER_HASH, OUTER_HASH_V6],
    [[], OUTER_HASH, OUTER_HASH_V6],
  ] as const)("families %j", (families, overV4, overV6) => {
    expect(hashOf(inNvgre(inner()), { families })).toBe(overV4);
    expect(hashOf(inNvgre(inner(), { outer: [OUTER_FROM_V6, OUTER_TO_V6] }), { families })).toBe(overV6);
  });

  // 14 Ethernet, 20 IPv4, 8 GRE, 14 Ethernet, 20 IPv4, 20 TCP.
  it.each([
    ["TCP", tcp(FROM_PORT, TO_PORT), 6, 96],
    ["TCP with 12 octets of options", tcp(FROM_PORT, TO_PORT, 12), 6, 108],
    ["UDP", udp(FROM_PORT, TO_PORT), 17, 84],
  ])("headers that are longer than the NIC reads: %s", (_what, payload, protocol, length) => {
    const packet = inNvgre(inner({ protocol, payload }));
    expect(choice(packet, { maxHeaderSize: length })).toMatchObject({ hash: HASH, isPacketsOwn: true });
    expect(choice(packet, { maxHeaderSize: length - 1 })).toMatchObject({
      hash: OUTER_HASH,
      isPacketsOwn: true,
      hashed: expect.stringContaining(`${length} octets of headers, the NIC reads ${length - 1}`) as string,
    });
    expect(hashOf(inNvgre(inner({ protocol, payload }), { outerTag: 103 }), { maxHeaderSize: length })).toBe(
      OUTER_HASH,
    );
    expect(choice(packet).isPacketsOwn).toBe(false);
  });

  it("GRE that is not NVGRE, and outer fragments", () => {
    const withSequence = inNvgre(inner());
    withSequence[34] = 0x30;
    const fragment = inNvgre(inner());
    fragment[20] = 0x20;
    for (const packet of [withSequence, fragment]) expect(hashOf(packet)).toBe(OUTER_HASH);
  });
});

describe("packets without GRE", () => {
  it.each(RSS_SUITE)(
    "TCP by addresses and ports, all else by addresses: %s :%i",
    (to, toPort, from, fromPort, bare, full) => {
      const plain = (protocol: number, payload: Uint8Array): Uint8Array =>
        frame(NIC, NIC, ip({ source: from, destination: to, protocol, payload }));
      expect(hashOf(plain(6, tcp(fromPort, toPort)))).toBe(full);
      expect(hashOf(plain(17, udp(fromPort, toPort)))).toBe(bare);
      expect(hashOf(plain(50, new Uint8Array(20)))).toBe(bare);
      expect(hashOf(plain(6, tcp(fromPort, toPort)), { rss: false, faults: ["hashOnOuterHeader"] })).toBe(full);
    },
  );

  it("fragments of TCP by addresses, what is not IP in queue 0", () => {
    const fragment = frame(NIC, NIC, inner({ change: [6, 0x20] }));
    expect(hashOf(fragment)).toBe(RSS_SUITE[0][4]);
    expect(choice(frame(NIC, NIC, concatenate([8, 6], new Array(28).fill(0))))).toMatchObject({ queue: 0, hash: null });
  });
});

it("the indirection table names the queues in turn", () => {
  const packet = inNvgre(inner());
  for (const queues of [1, 2, 3, 4, 7, 16, 128]) expect(choice(packet, {}, queues).queue).toBe((HASH & 127) % queues);
});
