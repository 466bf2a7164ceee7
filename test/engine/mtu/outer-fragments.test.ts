/** Outer fragmentation and reassembly, both off unless a lab asks for them: between hosts, and against Scapy. */
import { describe, expect, test } from "vitest";
import { createLab, type LabEvent } from "../../../src/index.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";
import { hexOf } from "../build.js";
import { blueUdp, deliveredAt, endsOf, labOf, labText } from "./lab.js";

const SECOND = 1_000_000_000n;
const both = { mtus: [1500, 1500] as const, settings: "{ outerFragmentation: true, reassembly: true }" };
const sent = blueUdp(4000);

describe("from host to host", () => {
  test("a packet with DF that does not fit arrives whole, though the wire carries only 1500 octets", () => {
    const lab = labOf(both);
    const ends = [...lab.send("host1/Blue1", sent, SECOND), ...lab.pass(2n * SECOND)];
    expect(endsOf(ends)).toEqual([
      "consumed at host1/Blue1: TX_OUTER_FRAGMENTED",
      ...Array(3).fill("consumed at host2/nic1: RX_FRAGMENT_HELD"),
      "delivered at host2/Blue2",
    ]);
    expect(hexOf(ends.at(-1)!.frame)).toBe(hexOf(sent));
  });

  test("without reassembly at the receiver the fragments are dropped, RFC 7637 §4.4", () => {
    const lab = labOf({ ...both, settings: "{ outerFragmentation: true }" });
    expect(endsOf(lab.send("host1/Blue1", sent))).toEqual([
      "consumed at host1/Blue1: TX_OUTER_FRAGMENTED",
      ...Array(3).fill("dropped at host2/nic1: RX_OUTER_FRAGMENT"),
    ]);
  });

  test("the provider router cuts further where the far subnet is narrower, and the host puts all together", () => {
    const lab = labOf({ ...both, mtus: [1500, 1000] });
    const ends = [...lab.send("host1/Blue1", sent, SECOND), ...lab.pass(2n * SECOND)];
    expect(endsOf(ends).filter((end) => end.includes("PROVIDER_FRAGMENTED"))).toHaveLength(3);
    expect(deliveredAt(ends, "host2/Blue2").map(hexOf)).toEqual([hexOf(sent)]);
  });

  test("packets of one flow in one millisecond are not mixed up, in bursts of any size", () => {
    const lab = labOf(both);
    const frames = Array.from({ length: 40 }, (_, n) => blueUdp(3000 + 8 * n, { identification: n }));
    lab.sendAll(
      frames.map((frame) => ({ port: "host1/Blue1", frame })),
      SECOND,
    );
    const arrived = deliveredAt(lab.pass(2n * SECOND), "host2/Blue2");
    expect(arrived.map(hexOf).toSorted()).toEqual(frames.map(hexOf).toSorted());
  });
});

test.runIf(isTsharkAvailable())(
  "tshark reassembles what leaves: DF clear, one identification, one NVGRE packet",
  () => {
    const lab = labOf({ ...both, settings: "{ outerFragmentation: true }" });
    const wire = lab.explain("host1/Blue1", sent)[0]!.answers.map(({ after }) => after);
    const fields = tsharkFields(wire, [
      "ip.flags.df",
      "ip.id",
      "ip.checksum.status",
      "gre.key",
      "udp.checksum.status",
      "ip.len",
    ]);
    expect(fields.every((one) => one["ip.flags.df"][0] === "0" || one["ip.flags.df"][0] === "False")).toBe(true);
    expect(new Set(fields.map((one) => one["ip.id"][0])).size).toBe(1);
    expect(fields.slice(0, -1).every((one) => Number(one["ip.len"][0]) <= 1500)).toBe(true);
    expect(fields.at(-1)!["gre.key"][0]).toMatch(/^0x001389/);
    expect(fields.at(-1)!["udp.checksum.status"]).toEqual(["1"]);
  },
);

describe.runIf(isScapyAvailable())("what Scapy sends in fragments", () => {
  const inner =
    "Ether(src='06:06:00:00:00:07',dst='06:06:00:00:00:05')/IP(src='10.0.0.7',dst='10.0.0.5')/UDP(sport=1,dport=2)/Raw(bytes(2000))";
  const cut = (identification: number, source = "192.168.5.22"): Uint8Array[] =>
    scapyFrames(`
link = Ether(dst='02:00:c0:a8:04:0b',src='02:00:5e:00:02:01')/Dot1Q(vlan=103)
packet = IP(src='${source}',dst='192.168.4.11',proto=47,id=${identification})/Raw(bytes.fromhex('2000655800138907')+bytes(${inner}))
for piece in fragment(packet, fragsize=1000): emit(link/piece)`);

  test("is delivered in any order, each fragment a millisecond after the other", () => {
    const lab = labOf(both);
    const ends = cut(77)
      .toReversed()
      .flatMap((piece, n) => lab.send("host1/nic1", piece, BigInt(n) * 1_000_000n));
    ends.push(...lab.pass(SECOND));
    expect(deliveredAt(ends, "host1/Blue1")).toHaveLength(1);
  });

  test("by somebody whom no lookup record names is not kept", () => {
    const lab = labOf(both);
    expect(endsOf(lab.send("host1/nic1", cut(1, "192.168.5.99")[0]!))).toEqual([
      "dropped at host1/nic1: RX_OUTER_FRAGMENT",
    ]);
  });

  test("beyond 256 packets there is no room, and after a minute there is again", () => {
    const lab = labOf(both);
    const first = cut(0)[0]!;
    const frames = Array.from({ length: 300 }, (_, identification) => {
      const frame = first.slice();
      frame[22] = identification >> 8;
      frame[23] = identification & 0xff;
      const header = frame.subarray(18, 38);
      header.set([0, 0], 10);
      const sum = header.reduce((total, octet, at) => total + (at % 2 ? octet : octet * 256), 0);
      const folded = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
      header.set([folded >> 8, folded & 0xff], 10);
      return { port: "host1/nic1", frame };
    });
    const reasons = () => Object.fromEntries(lab.counters().reasons.map(({ reason, count }) => [reason.reason, count]));
    for (const frame of frames) lab.sendAll([frame], SECOND);
    lab.sendAll(frames.slice(256), 2n * SECOND);
    expect(reasons()).toEqual({ RX_FRAGMENT_HELD: 300, RX_REASSEMBLY_LIMIT: 44 });
    lab.sendAll(frames.slice(256), 62n * SECOND);
    expect(reasons()).toEqual({ RX_FRAGMENT_HELD: 344, RX_REASSEMBLY_LIMIT: 44 });
  });
});

test("packets that never become whole are given up after a minute, and those who watch the lab are told", () => {
  const events: LabEvent[] = [];
  const lab = createLab(labText(both), { onEvent: (event) => events.push(event) });
  const [fragment] = lab.explain("host1/Blue1", sent)[0]!.answers;
  lab.send("provider/host1.nic1", fragment!.after, SECOND);
  lab.pass(100n * SECOND);
  expect(events).toEqual([{ timeMs: 61_001, node: "host2", kind: "fragmentsExpired", packets: 1 }]);
});
