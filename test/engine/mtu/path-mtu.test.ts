/**
 * Path MTU discovery on the provider network: the router of host2's narrower subnet tells host1, and host1 tells its VM.
 */
import { expect, test } from "vitest";
import { createLab, type LabEvent } from "../../../src/index.js";
import { concatenate, frame, icmp, ip, tagged } from "../build.js";
import { blueUdp, blueUdp6, deliveredAt, endsOf, labOf, labText } from "./lab.js";

const SECOND = 1_000_000_000n;
const mtus = [1600, 1500] as const;
const FITS_HOST1 = 1600 - 42;
const FITS_PATH = 1500 - 42;

/** The next-hop MTU of the fragmentation-needed that Blue1 got. */
const toldBlue1 = (ends: Parameters<typeof deliveredAt>[0]): number[] =>
  deliveredAt(ends, "host1/Blue1").map((error) => {
    expect([error[34], error[35]]).toEqual([3, 4]);
    return error[40]! * 256 + error[41]!;
  });

test("the first packet is lost at the router, whose message host1 takes; the next one is answered with what fits", () => {
  const lab = labOf({ mtus });
  expect(endsOf(lab.send("host1/Blue1", blueUdp(FITS_HOST1), 1n * SECOND))).toEqual([
    "dropped at provider/host1.nic1: PROVIDER_MTU",
    "consumed at host1/nic1: RX_PATH_MTU",
  ]);
  const second = lab.send("host1/Blue1", blueUdp(FITS_HOST1), 2n * SECOND);
  expect(endsOf(second)[0]).toBe("dropped at host1/Blue1: TX_TOO_BIG_ICMP4");
  expect(toldBlue1(second)).toEqual([FITS_PATH]);
  expect(endsOf(lab.send("host1/Blue1", blueUdp(FITS_PATH), 2n * SECOND))).toEqual(["delivered at host2/Blue2"]);
  expect(lab.policyOf("host1").pathMtus.all).toMatchObject([{ mtu: 1500, expiresMs: 601_001 }]);
});

test("flows that are known already are decided again: they lose one packet, not all", () => {
  const lab = labOf({ mtus });
  const small = { port: "host1/Blue1", frame: blueUdp(100) };
  lab.sendAll([small, small], 1n * SECOND);
  lab.send("host1/Blue1", blueUdp(FITS_HOST1), 1n * SECOND);
  const before = lab.counters().flows;
  lab.send("host1/Blue1", blueUdp(100), 2n * SECOND);
  expect(lab.counters().flows.stale - before.stale).toBe(1);
  expect(endsOf(lab.send("host1/Blue1", blueUdp(FITS_HOST1), 2n * SECOND))[0]).toContain("TX_TOO_BIG_ICMP4");
});

test("packets of one millisecond see the same path, however they are cut into bursts", () => {
  const frames = Array.from({ length: 300 }, () => ({ port: "host1/Blue1", frame: blueUdp(FITS_HOST1) }));
  const together = labOf({ mtus }).sendAll(frames, SECOND);
  const lab = labOf({ mtus });
  const apart = frames.flatMap(({ port, frame }) => lab.send(port, frame, SECOND));
  expect(endsOf(apart).toSorted()).toEqual(endsOf(together).toSorted());
});

test("of two routers that complain in one millisecond the narrower one counts, whichever is first", () => {
  const wire = ip({ source: "192.168.4.11", destination: "192.168.5.22", protocol: 47, payload: new Uint8Array(1500) });
  const complaint = (mtu: number): Uint8Array => {
    const quoted = concatenate(wire.subarray(2, 22), [0x20, 0, 0x65, 0x58, 0, 0x13, 0x89, 0]);
    const message = [3, 4, 0, 0, 0, 0, mtu >>> 8, mtu & 0xff, ...quoted];
    return frame("02-00-C0-A8-04-0B", "02-00-00-00-00-99", tagged(103, icmp("192.168.4.1", "192.168.4.11", message)));
  };
  for (const order of [
    [1300, 1400],
    [1400, 1300],
  ]) {
    const lab = labOf({ mtus });
    const ends = lab.sendAll(
      order.map((mtu) => ({ port: "host1/nic1", frame: complaint(mtu) })),
      SECOND,
    );
    expect(endsOf(ends)).toEqual(order.map(() => "consumed at host1/nic1: RX_PATH_MTU"));
    lab.pass(2n * SECOND);
    expect(lab.policyOf("host1").pathMtus.all).toMatchObject([{ mtu: 1300 }]);
  }
});

test("ten minutes later the path is tried again; what was told again meanwhile is known for longer", () => {
  const lab = labOf({ mtus });
  const tryAt = (second: bigint): string => endsOf(lab.send("host1/Blue1", blueUdp(FITS_HOST1), second * SECOND))[0]!;
  expect(tryAt(0n)).toContain("PROVIDER_MTU");
  expect(tryAt(599n)).toContain("TX_TOO_BIG_ICMP4");
  expect(tryAt(601n)).toContain("PROVIDER_MTU");
  expect(tryAt(602n)).toContain("TX_TOO_BIG_ICMP4");
  expect(tryAt(1300n)).toContain("PROVIDER_MTU");
});

test("without DF inside, the fragments follow the path too", () => {
  const lab = labOf({ mtus });
  const sent = blueUdp(3000, { dontFragment: false });
  expect(endsOf(lab.send("host1/Blue1", sent, SECOND)).filter((end) => end.includes("PROVIDER_MTU"))).toHaveLength(2);
  const ends = lab.send("host1/Blue1", sent, 2n * SECOND);
  expect(deliveredAt(ends, "host2/Blue2").map((one) => one.length - 14)).toEqual([1452, 1452, 136]);
});

test("what is learnt and forgotten is told to those who watch the lab", () => {
  const events: LabEvent[] = [];
  const lab = createLab(labText({ mtus }), { onEvent: (event) => events.push(event) });
  lab.send("host1/Blue1", blueUdp(FITS_HOST1), SECOND);
  lab.pass(700n * SECOND);
  expect(events).toEqual([
    { timeMs: 1001, node: "host1", kind: "pathMtu", providerAddress: "192.168.5.22", mtu: 1500 },
    { timeMs: 601_001, node: "host1", kind: "pathMtu", providerAddress: "192.168.5.22", mtu: null },
  ]);
});

test("IPv6 over a path that leaves less than 1280: no VM is told, the operator is, once in a second for each path", () => {
  const events: LabEvent[] = [];
  const lab = createLab(labText({ mtus: [1321, 1600] }), { onEvent: (event) => events.push(event) });
  const endAt = (ms: bigint, length: number): string[] =>
    endsOf(lab.send("host1/Blue1", blueUdp6(length), SECOND + ms * 1_000_000n));
  for (const ms of [0n, 0n, 500n, 1500n]) expect(endAt(ms, 1280)).toEqual(["dropped at host1/Blue1: TX_TOO_BIG_ICMP6"]);
  expect(endAt(1600n, 1279)).toContain("delivered at host2/Blue2");
  lab.pass(10n * SECOND);
  const error = { node: "host1", kind: "configurationError", error: "IPV6_MTU_TOO_SMALL" };
  const path = { providerAddress: "192.168.4.11", pathMtu: 1321, innerMtu: 1279 };
  expect(events).toEqual([
    { timeMs: 1001, ...error, ...path },
    { timeMs: 2501, ...error, ...path },
  ]);
  expect(lab.controlCounters("host1")).toMatchObject({ eventsHeld: 2 });
});

test("a router tells of a path that leaves IPv6 too little: the same", () => {
  const events: LabEvent[] = [];
  const lab = createLab(labText({ mtus: [1600, 1300] }), { onEvent: (event) => events.push(event) });
  lab.send("host1/Blue1", blueUdp6(1400), SECOND);
  expect(endsOf(lab.send("host1/Blue1", blueUdp6(1400), 2n * SECOND))).toEqual([
    "dropped at host1/Blue1: TX_TOO_BIG_ICMP6",
  ]);
  lab.pass(3n * SECOND);
  expect(events.map(({ kind }) => kind)).toEqual(["pathMtu", "configurationError"]);
  expect(events[1]).toMatchObject({ providerAddress: "192.168.4.11", pathMtu: 1300, innerMtu: 1258 });
});

test("a path that leaves 1280 is no mistake, and IPv4 may be told of less", () => {
  const events: LabEvent[] = [];
  const wide = createLab(labText({ mtus: [1322, 1600] }), { onEvent: (event) => events.push(event) });
  const tooBig = wide.send("host1/Blue1", blueUdp6(1281), SECOND);
  expect(endsOf(tooBig)[0]).toBe("dropped at host1/Blue1: TX_TOO_BIG_ICMP6");
  expect(deliveredAt(tooBig, "host1/Blue1")).toHaveLength(1);
  const narrow = createLab(labText({ mtus: [1000, 1600] }), { onEvent: (event) => events.push(event) });
  expect(toldBlue1(narrow.send("host1/Blue1", blueUdp(1400), SECOND))).toEqual([958]);
  for (const lab of [wide, narrow]) lab.pass(3n * SECOND);
  expect(events).toEqual([]);
});
