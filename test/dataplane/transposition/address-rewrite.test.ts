/**
 * New IP addresses and ports, judged by Scapy: it writes a packet and the one that it shall become, with all checksums made from
 * scratch; the plain interpreter, and the kernel by its slow and its fast path, must make the second from the first.
 */
import { describe, expect, it } from "vitest";
import { Engine } from "../../../src/dataplane/engine.js";
import type { Node } from "../../../src/dataplane/slowpath/layer.js";
import {
  type AddressRewrite,
  apply,
  type Forward,
  type NodeIndex,
  type PortIndex,
} from "../../../src/dataplane/transposition/index.js";
import { parseAddress } from "../../../src/dataplane/wire/address-text.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { kernelModule } from "../../support/kernel.js";
import { hexOf } from "../../vectors/worked-packets.js";

const [IN, OUT] = [0 as PortIndex, 1 as PortIndex];
const forwardWith = (address: AddressRewrite, decrementTtl = false): Forward => ({
  output: OUT,
  pop: false,
  dscpInwards: false,
  ethernet: null,
  decrementTtl,
  address,
  push: null,
  lengthLimit: null,
});

/** What comes out for each frame of a burst, and how often the slow path was asked. */
function run(forward: Forward, frames: readonly Uint8Array[], cacheable = true, echo = true) {
  let asked = 0;
  const node: Node = {
    name: "n",
    decide() {
      asked++;
      return { verdict: { kind: "forward", outputs: [forward] }, cacheable, stamps: [] };
    },
  };
  const ports = ["in", "out"].map((name) => ({ name, node: 0 as NodeIndex, tunnel: false, peer: null, echo }));
  const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 2 });
  const ends = engine.send(frames.map((frame) => ({ port: IN, frame })));
  return { frames: ends.map(({ frame }) => hexOf(frame)), asked };
}

const NEW4: AddressRewrite = { source: parseAddress("192.168.4.101")!, destination: parseAddress("172.31.255.9")! };
const NEW6: AddressRewrite = {
  source: parseAddress("2001:db8:4::101")!,
  destination: parseAddress("2001:db8:ffff::9")!,
};
const PORTS: AddressRewrite = { sourcePort: 61_000, destinationPort: 8080 };

/** `packet(a, s, d, i)`: addresses for the packet, its ports, its ICMP identifier. */
const OLD_AND_NEW = `
def ether(p): return Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05")/p
def four(i, **more): return IP(src=["10.0.0.5","192.168.4.101"][i], dst=["10.0.0.7","172.31.255.9"][i], ttl=64, id=7, **more)
def six(i): return IPv6(src=["fd00:10::5","2001:db8:4::101"][i], dst=["fd00:10::7","2001:db8:ffff::9"][i], hlim=64)
def udp(i, **more): return UDP(sport=[49152,61000][i], dport=[5000,8080][i], **more)
def tcp(i, **more): return TCP(sport=[49152,61000][i], dport=[5000,8080][i], seq=1, ack=2, flags="PA", **more)
def both(packet):
    emit(packet(0)); emit(packet(1))
def balanced(packet):
    # The payload brings the new packet's UDP checksum to zero, which is sent as 0xffff.
    word = Ether(bytes(packet(1, bytes(2))))[UDP].chksum
    data = word.to_bytes(2, "big")
    emit(packet(0, data)); emit(packet(1, data))
`;

/** Name, how Scapy writes it, what changes. */
const CASES: readonly (readonly [name: string, python: string, rewrite: AddressRewrite])[] = [
  ["UDP in IPv4", 'both(lambda i: ether(four(i)/udp(i)/b"hello"))', { ...NEW4, ...PORTS }],
  ["UDP in IPv6", 'both(lambda i: ether(six(i)/udp(i)/b"hello"))', { ...NEW6, ...PORTS }],
  ["UDP without a checksum", 'both(lambda i: ether(four(i)/udp(i, chksum=0)/b"hello"))', { ...NEW4, ...PORTS }],
  [
    "UDP whose new checksum is zero: sent as 0xffff",
    "balanced(lambda i, data: ether(four(i)/udp(i)/data))",
    { ...NEW4, ...PORTS },
  ],
  [
    "UDP in IPv6 whose new checksum is zero",
    "balanced(lambda i, data: ether(six(i)/udp(i)/data))",
    { ...NEW6, ...PORTS },
  ],
  [
    "TCP with options in IPv4",
    'both(lambda i: ether(four(i)/tcp(i, options=[("MSS", 1460), ("NOP", None)])/b"odd"))',
    { ...NEW4, ...PORTS },
  ],
  ["TCP in IPv6", 'both(lambda i: ether(six(i)/tcp(i)/b"odd"))', { ...NEW6, ...PORTS }],
  [
    "TCP behind IPv4 options",
    "both(lambda i: ether(four(i, options=[IPOption_RR(length=7)])/tcp(i)))",
    { ...NEW4, ...PORTS },
  ],
  [
    "UDP behind IPv6 extension headers",
    'both(lambda i: ether(six(i)/IPv6ExtHdrHopByHop()/IPv6ExtHdrDestOpt()/udp(i)/b"x"))',
    { ...NEW6, ...PORTS },
  ],
  ["ICMP echo: no pseudo header", 'both(lambda i: ether(four(i)/ICMP(id=1, seq=2)/b"ping"))', NEW4],
  ["ICMPv6 echo: a pseudo header", 'both(lambda i: ether(six(i)/ICMPv6EchoRequest(id=1, seq=2, data=b"ping")))', NEW6],
  [
    "SCTP: its checksum knows no addresses",
    'both(lambda i: ether(four(i)/SCTP(sport=1, dport=2, tag=3)/b"data"))',
    NEW4,
  ],
  [
    "a tag, and padding behind the packet",
    'both(lambda i: ether(Dot1Q(vlan=5)/four(i)/udp(i)/b"x")/Padding(bytes(20)))',
    { ...NEW4, ...PORTS },
  ],
];

describe.skipIf(!isScapyAvailable())("new addresses and ports, as Scapy would have written the packet", () => {
  const written = scapyFrames(OLD_AND_NEW + CASES.map(([, python]) => python).join("\n"));
  it.each(CASES.map(([name, , rewrite], index) => ({ name, rewrite, index })))("$name", ({ rewrite, index }) => {
    const [before, after] = [written[2 * index]!, written[2 * index + 1]!];
    expect(hexOf(before)).not.toBe(hexOf(after));
    const forward = forwardWith(rewrite);
    expect(hexOf(apply(forward, before, () => 0) as Uint8Array)).toBe(hexOf(after));
    expect(run(forward, [before, before, before])).toEqual({ frames: Array(3).fill(hexOf(after)), asked: 1 });
  });

  it("every fragment has new addresses; ports and checksum only the first, whose flow tells too little to be kept", () => {
    const frames = scapyFrames(`${OLD_AND_NEW}
for f in fragment(four(0)/udp(0)/(b"0123456789abcdef"*6), fragsize=48): emit(ether(f))
for f in fragment(four(1)/udp(1)/(b"0123456789abcdef"*6), fragsize=48): emit(ether(f))
`);
    const [before, after] = [frames.slice(0, frames.length / 2), frames.slice(frames.length / 2)];
    expect(before.length).toBeGreaterThan(2);
    const forward = forwardWith({ ...NEW4, ...PORTS });
    before.forEach((frame, index) => {
      expect(hexOf(apply(forward, frame, () => 0) as Uint8Array)).toBe(hexOf(after[index]!));
    });
    expect(run(forward, before)).toEqual({ frames: after.map(hexOf), asked: before.length });
    // Without new ports the first fragment's checksum follows the addresses, and later packets of the flow likewise.
    const noPorts = forwardWith(NEW4);
    const plain = before.map((frame) => hexOf(apply(noPorts, frame, () => 0) as Uint8Array));
    expect(run(noPorts, [...before, ...before])).toEqual({ frames: [...plain, ...plain], asked: 2 });
  });

  it("a new identifier of echo, whose old one is in the key; a header cut short has none", () => {
    const [first, second, cut, firstAfter, secondAfter, cutAfter, other, otherAfter] = scapyFrames(`${OLD_AND_NEW}
for i in range(2):
    for seq in (2, 3): emit(ether(four(i)/ICMP(id=[1, 777][i], seq=seq)/b"ping"))
    emit(ether(four(i, proto=1)/bytes(ICMP(id=1, seq=2))[:5]))
for i in range(2): emit(ether(four(i)/ICMP(id=[2, 777][i], seq=2)/b"ping"))`);
    const forward = forwardWith({ ...NEW4, identifier: 777 });
    expect(hexOf(apply(forward, first!, () => 0) as Uint8Array)).toBe(hexOf(firstAfter!));
    const sent = [first!, second!, cut!, other!, first!, cut!];
    const wanted = [firstAfter!, secondAfter!, cutAfter!, otherAfter!, firstAfter!, cutAfter!].map(hexOf);
    expect(run(forward, sent), "one for each identifier, and the cut ones").toEqual({ frames: wanted, asked: 4 });
    expect(run(forward, sent, true, false), "without it in the key").toEqual({ frames: wanted, asked: 6 });
  });

  it("one hop on, in the same step", () => {
    const [before, after] = scapyFrames(`${OLD_AND_NEW}
for i in range(2):
    p = four(i)/udp(i)/b"hello"
    p.ttl = 64 - i
    emit(ether(p))`);
    const forward = forwardWith({ ...NEW4, ...PORTS }, true);
    expect(run(forward, [before!, before!])).toEqual({ frames: Array(2).fill(hexOf(after!)), asked: 1 });
  });

  it("a header cut short keeps its ports and checksum, speaks for itself only, and does not spoil its flow", () => {
    const [whole, cut, wholeAfter, cutAfter] = scapyFrames(`${OLD_AND_NEW}
for i in range(2):
    emit(ether(four(i)/tcp(i)/b"data"))
    emit(ether(four(i, proto=6)/bytes(tcp(0))[:17]))`);
    const forward = forwardWith({ ...NEW4, ...PORTS });
    const wanted = [cutAfter!, wholeAfter!, cutAfter!, wholeAfter!].map(hexOf);
    const result = run(forward, [cut!, whole!, cut!, whole!]);
    expect(result).toEqual({ frames: wanted, asked: 3 });
    expect(hexOf(apply(forward, cut!, () => 0) as Uint8Array)).toBe(hexOf(cutAfter!));
  });

  it("a wrong checksum stays wrong by the same difference", () => {
    const [before, after] = scapyFrames(`${OLD_AND_NEW}\nboth(lambda i: ether(four(i)/udp(i)/b"hello"))`);
    const flip = (frame: Uint8Array): Uint8Array =>
      frame.map((octet, at) => (at === 24 || at === 40 ? octet ^ 0x40 : octet));
    const [broken] = run(forwardWith({ ...NEW4, ...PORTS }), [flip(before!)]).frames;
    const difference = (at: number): number => (word(broken!, at) - word(hexOf(after!), at) + 0xffff) % 0xffff;
    const original = (at: number): number =>
      (word(hexOf(flip(before!)), at) - word(hexOf(before!), at) + 0xffff) % 0xffff;
    expect([difference(24), difference(40)]).toEqual([original(24), original(40)]);
  });
});

const word = (hex: string, at: number): number => Number.parseInt(hex.slice(2 * at, 2 * at + 4), 16);

describe("what it refuses", () => {
  const arp = Uint8Array.from([...new Array(12).fill(2), 8, 6, ...new Array(28).fill(0)]);
  it("is a decision that cannot be about this frame", () => {
    expect(() => apply(forwardWith(NEW4), arp, () => 0)).toThrow("addresses");
    expect(() => run(forwardWith(NEW4), [arp])).toThrow("not IP");
  });
});
