/** Inner fragmentation: what a VM sends without DF arrives in fragments that its peer's stack puts together. */
import { expect, test } from "vitest";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";
import { hexOf } from "../build.js";
import { blueUdp, deliveredAt, endsOf, labOf } from "./lab.js";

const sent = blueUdp(3000, { dontFragment: false });

test("IPv4 without DF: fragments of at most 1458 octets reach the peer, the packet itself is consumed", () => {
  const lab = labOf({ mtus: [1500, 1500] });
  const ends = lab.send("host1/Blue1", sent);
  expect(endsOf(ends)).toEqual([
    "consumed at host1/Blue1: TX_INNER_FRAGMENTED",
    ...Array(3).fill("delivered at host2/Blue2"),
  ]);
  const fragments = deliveredAt(ends, "host2/Blue2");
  expect(fragments.map((one) => one.length - 14)).toEqual([1452, 1452, 136]);
  const { totals, reasons } = lab.counters();
  expect(totals).toMatchObject({ in: 1, injected: 3, delivered: 3, consumed: 1, dropped: 0 });
  expect(reasons.map(({ reason, count }) => [reason.reason, count])).toEqual([["TX_INNER_FRAGMENTED", 1]]);
  const data = Buffer.concat(fragments.map((one) => one.subarray(34)));
  expect(hexOf(data)).toBe(hexOf(sent.subarray(34)));
});

test.runIf(isTsharkAvailable())("tshark reassembles what is inside, and finds the UDP checksum right", () => {
  const fragments = deliveredAt(labOf({ mtus: [1500, 1500] }).send("host1/Blue1", sent), "host2/Blue2");
  const fields = tsharkFields(fragments, ["ip.checksum.status", "ip.reassembled.length", "udp.checksum.status"]);
  expect(fields.every((one) => one["ip.checksum.status"][0] === "1")).toBe(true);
  expect(fields.at(-1)).toMatchObject({ "ip.reassembled.length": ["2980"], "udp.checksum.status": ["1"] });
});

test("fragments of fragments: what the VM has cut itself, with pieces that are too long", () => {
  const wide = labOf({ mtus: [4000, 4000] });
  const narrow = labOf({ mtus: [1500, 1500] });
  const pieces = deliveredAt(wide.send("host1/Blue1", blueUdp(6000, { dontFragment: false })), "host2/Blue2");
  expect(pieces.map((one) => one.length - 14)).toEqual([3956, 2064]);
  const ends = pieces.flatMap((piece) => narrow.send("host1/Blue1", piece));
  const data = Buffer.concat(deliveredAt(ends, "host2/Blue2").map((one) => one.subarray(34)));
  expect(hexOf(data)).toBe(hexOf(blueUdp(6000).subarray(34)));
});

test("switched off, the packet is dropped", () => {
  const lab = labOf({ mtus: [1500, 1500], settings: "{ innerFragmentation: false }" });
  expect(endsOf(lab.send("host1/Blue1", sent))).toEqual(["dropped at host1/Blue1: TX_TOO_BIG"]);
});

test("between VMs of one host nothing is cut, and a path that is wide enough cuts nothing", () => {
  const local = blueUdp(3000, { dontFragment: false });
  local.set([6, 6, 0, 0, 0, 4], 0);
  local[33] = 4;
  expect(endsOf(labOf({ mtus: [1500, 1500] }).send("host1/Blue1", local))).toEqual(["delivered at host1/Blue4"]);
  expect(endsOf(labOf({ mtus: [4000, 4000] }).send("host1/Blue1", sent))).toEqual(["delivered at host2/Blue2"]);
});

test("the packets of a flow that fit go on by the flow entry, the others are decided one by one", () => {
  const lab = labOf({ mtus: [1500, 1500] });
  const mixed = Array.from({ length: 100 }, (_, at) => ({
    port: "host1/Blue1",
    frame: blueUdp(at % 10 === 9 ? 2000 : 500, { dontFragment: false }),
  }));
  lab.sendAll(mixed);
  const { totals, flows } = lab.counters();
  expect(totals).toMatchObject({ in: 100, consumed: 10, injected: 20, delivered: 110 });
  expect(flows.guarded).toBe(10);
});
