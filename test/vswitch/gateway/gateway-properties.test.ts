/** The built-in gateway under random traffic: nothing depends on bursts, and every answer finds who asked. */
import { describe, expect, it } from "vitest";
import { reasonName } from "../../../src/dataplane/index.js";
import { kernelModule } from "../../../src/kernel-file.js";
import { Lab } from "../../../src/vswitch/index.js";
import { load } from "../../control/labs.js";
import { addressBytes, concatenate, hexOf, icmp, internetChecksum, ip, macBytes } from "../../engine/build.js";
import { tenantFrame } from "../../support/frames.js";
import { type Random, seededRandom } from "../../support/random.js";
import {
  CONTOSO1,
  datagram,
  EXAMPLE,
  FABRIKAM1,
  fromContoso,
  fromFabrikam,
  fromOutside,
  GatewayLab,
  seen,
  segment,
} from "./gateway-lab.js";

const VM = "10.0.1.101";
const WEB = "198.51.100.80";
const PUBLIC = "203.0.113.2";
/** Behind Contoso's tunnel. */
const BRANCH = "172.16.1.1";
/** Few ports and short times, so that bindings run out and end. */
const BUSY = EXAMPLE.replaceAll("portStart: 1, portEnd: 49151", "portStart: 100, portEnd: 111").replace(
  "    external:\n      mac:",
  "    timeouts: { tcpTransitory: 1, tcpEstablished: 3, udp: 1, icmp: 1 }\n    external:\n      mac:",
);

interface Arrival {
  readonly timeUs: number;
  readonly port: string;
  readonly frame: Uint8Array;
}

/** Out of Contoso's tunnel. */
const fromBranch = (packet: Uint8Array): Uint8Array => {
  const gre = concatenate([0x20, 0, 8, 0, 0, 0, 0, 77], packet.subarray(2));
  return fromOutside(ip({ source: "198.51.100.7", destination: "203.0.113.3", protocol: 47, payload: gre }));
};

function someFrame(random: Random): Omit<Arrival, "timeUs"> {
  const data = random.bytes(random.chance(0.05) ? random.between(1400, 1500) : random.below(40));
  const padding = new Uint8Array(random.chance(0.1) ? random.below(20) : 0);
  const flags = random.pick([2, 16, 16, 16, 24, 17, 4]);
  const identification = random.below(4);
  const packet = (source: string, destination: string, from: number, to: number): Uint8Array => {
    const kind = random.below(10);
    if (kind < 4) return segment(source, destination, [from, to], flags, data);
    if (kind < 7)
      return datagram(source, destination, [from, to], { data, identification, ttl: random.pick([1, 2, 3, 64]) });
    if (kind === 7) {
      const identifier = source === VM ? from : to;
      const type = source === VM ? 8 : 0;
      return icmp(source, destination, [type, 0, 0, 0, identifier >> 8, identifier & 255, 0, 1, ...data]);
    }
    const quoted = datagram(destination, source, [to, from], { data }).subarray(2);
    if (kind === 8) return icmp(source, destination, [3, random.below(5), 0, 0, 0, 0, 0, 0, ...quoted]);
    const piece = datagram(source, destination, [from, to], { data, identification });
    const offset = random.pick([0x2000, 0x2001, 0x0003]);
    piece.set([offset >> 8, offset & 255], 8);
    piece.set([0, 0], 12);
    const sum = internetChecksum(piece.subarray(2, 22));
    piece.set([sum >> 8, sum & 255], 12);
    return piece;
  };
  const inside = 2000 + random.below(20);
  const bound = 99 + random.below(14);
  switch (random.below(5)) {
    case 0:
      if (random.chance(0.3)) return { port: "edge/external", frame: fromBranch(packet(BRANCH, VM, 80, inside)) };
      return { port: "edge/external", frame: fromOutside(packet(WEB, PUBLIC, 53, bound)) };
    case 1:
    case 2:
      return {
        port: "hv1/Fabrikam1",
        frame: fromFabrikam(packet(VM, random.pick([WEB, PUBLIC]), inside, random.pick([80, bound]))),
      };
    default:
      return {
        port: "hv1/Contoso1",
        frame: fromContoso(
          concatenate(packet(VM, random.pick([WEB, PUBLIC, BRANCH]), inside, random.pick([80, 8080, bound])), padding),
        ),
      };
  }
}

/** Room for each frame. */
const SLOT = 2048;

/** All ends in the order of their packets, with times, and counts by reason. */
function play(arrivals: readonly Arrival[], burst: number): { ends: string[]; reasons: string[] } {
  const lab = new Lab(load(BUSY).lab, { kernel: kernelModule() });
  const { engine } = lab;
  const { memory } = engine;
  const buffer = memory.allocate(256 * SLOT);
  const ends: string[] = [];
  const collect = (): void => {
    const some = [...engine.lastBurst()].filter(({ verdict }) => verdict !== "consumed");
    some.sort((a, b) => a.sequence - b.sequence); // stable
    for (const { sequence, verdict, port, reason, timestampNs, frame } of some) {
      ends.push(`${sequence} ${timestampNs} ${verdict} ${port} ${reasonName(reason)} ${hexOf(frame)}`);
    }
  };
  for (let first = 0; first < arrivals.length; first += burst) {
    const some = arrivals.slice(first, first + burst);
    some.forEach(({ port, frame, timeUs }, index) => {
      const place = buffer + index * SLOT;
      memory.bytes.set(frame, place);
      engine.setRow(index, place, frame.length, lab.port(port)!, BigInt(timeUs) * 1000n, first + index);
    });
    for (const _ of engine.run(some.length)) collect();
  }
  for (const _ of engine.passTime(engine.nowMs + 100)) collect();
  const { in: came, copies, injected, delivered, dropped, passed, consumed } = engine.totals();
  expect(came + copies + injected).toBe(delivered + dropped + passed + consumed);
  const reasons = engine.reasonCounts().map(({ port, reason, count }) => `${port} ${reasonName(reason)} ${count}`);
  return { ends, reasons };
}

/** Ends in the order of the engine's steps differ by how bursts are cut; of each port, in the order of their packets, they do not. */
const byPort = (ends: readonly string[]): readonly string[] =>
  ends
    .map((end, at) => [end, at] as const)
    .sort(([a, i], [b, j]) => Number(a.split(" ")[3]) - Number(b.split(" ")[3]) || i - j)
    .map(([end]) => end);

it("bursts of any size give the same frames, in the same order, with the same times and counts", () => {
  const random = seededRandom();
  let timeUs = 1_000_000;
  const arrivals = Array.from({ length: 2_000 }, (): Arrival => {
    timeUs += random.chance(0.01)
      ? random.below(900_000)
      : random.chance(0.3)
        ? random.below(3_000)
        : random.below(100);
    return { timeUs, ...someFrame(random) };
  });
  const expected = play(arrivals, 1);
  const told = expected.reasons.join(" ");
  for (const reason of ["NAT_EXHAUSTED", "NAT_NO_BINDING", "NAT_FRAGMENT", "GATEWAY_TTL"])
    expect(told).toContain(reason);
  for (const burst of [3, 32, 256]) {
    const { ends, reasons } = play(arrivals, burst);
    expect(reasons, `seed ${random.seed}, bursts of ${burst}`).toEqual(expected.reasons);
    expect(byPort(ends), `seed ${random.seed}, bursts of ${burst}`).toEqual(byPort(expected.ends));
  }
}, 120_000);

it("takes any frame at any port: nothing is thrown, each meets one end, and nothing is cut out of thin air", () => {
  const random = seededRandom();
  const lab = new Lab(load(BUSY).lab, { kernel: kernelModule() });
  const { engine } = lab;
  const ports = ["edge/external", "edge/6001", "edge/7001"].map((name) => lab.port(name)!);
  const macs = ["02-00-CB-00-71-02", "00-15-5D-E2-AB-03"].map(macBytes);
  const addresses = [VM, PUBLIC, WEB, "203.0.113.3", "198.51.100.7", "172.16.5.5", "10.0.2.2"].map(addressBytes);
  for (let burst = 0; burst < 100; burst++) {
    const frames = Array.from({ length: 100 }, () => {
      const whole = tenantFrame(random);
      whole.set(random.pick(macs).subarray(0, Math.min(6, whole.length)));
      if (whole[12] === 8 && whole[13] === 0 && whole.length >= 34 && random.chance(0.9)) {
        whole.set(random.pick(addresses), 26);
        whole.set(random.pick(addresses), 30);
        if (random.chance(0.3)) whole[23] = random.pick([1, 6, 17, 47]);
        if (random.chance(0.2) && whole.length > 90) whole.set(whole.subarray(14, 60), 42); // something that looks quoted, or carried
      }
      const frame = random.chance(0.05) ? whole.subarray(0, random.below(whole.length)) : whole;
      return { port: random.pick(ports), frame };
    });
    const timeNs = BigInt(burst) * 100_000_000n;
    const ends = [...engine.send(frames, timeNs), ...engine.sendNothing(timeNs + 5_000_000n)];
    for (const { frame } of ends) expect(frame.length, `seed ${random.seed}`).toBeLessThanOrEqual(1514 + 28);
  }
  const { in: came, copies, injected, delivered, dropped, passed, consumed } = engine.totals();
  expect(came + copies + injected, `seed ${random.seed}`).toBe(delivered + dropped + passed + consumed);
  expect(delivered).toBeGreaterThan(100);
});

describe("whoever asks", () => {
  it("gets the answer, and nobody else does, though tenants have the same addresses and ports", () => {
    const random = seededRandom();
    const lab = new GatewayLab();
    const asked = new Map<string, { tenant: string; port: number }>();
    for (let step = 0; step < 1_500; step++) {
      const isContoso = random.chance(0.5);
      const port = 1024 + random.below(400);
      const kind = random.pick(["udp", "tcp", "icmp"]);
      const ports = [port, 80] as const;
      const identifier = [port >> 8, port & 255];
      const packet =
        kind === "udp"
          ? datagram(VM, WEB, ports)
          : kind === "tcp"
            ? segment(VM, WEB, ports, 16)
            : icmp(VM, WEB, [8, 0, 0, 0, ...identifier, 0, 1]);
      const tenant = isContoso ? "hv1/Contoso1" : "hv1/Fabrikam1";
      const [out, ...more] = lab.send(tenant, isContoso ? fromContoso(packet) : fromFabrikam(packet));
      expect([out!.port, more.length], `seed ${random.seed}`).toEqual(["edge/external", 0]);
      const external = seen(out!.frame).ports[kind === "icmp" ? 1 : 0];
      const known = asked.get(`${kind} ${external}`);
      if (known) expect(known, `seed ${random.seed}`).toEqual({ tenant, port });
      asked.set(`${kind} ${external}`, { tenant, port });

      const [own, { tenant: to, port: at }] = random.pick([...asked].slice(-20));
      const [ownKind, number] = [own.split(" ")[0]!, Number(own.split(" ")[1])];
      const answer =
        ownKind === "udp"
          ? datagram(WEB, PUBLIC, [80, number])
          : ownKind === "tcp"
            ? segment(WEB, PUBLIC, [80, number], 16)
            : icmp(WEB, PUBLIC, [0, 0, 0, 0, number >> 8, number & 255, 0, 1]);
      const [back, ...others] = lab.send("edge/external", fromOutside(answer));
      expect([back!.port, others.length], `seed ${random.seed}`).toEqual([to, 0]);
      expect(seen(back!.frame).ports[1], `seed ${random.seed}`).toBe(at);
      const mac = to === "hv1/Contoso1" ? CONTOSO1 : FABRIKAM1;
      expect(hexOf(back!.frame.subarray(0, 6))).toBe(mac.replaceAll("-", "").toLowerCase());
    }
  });
});
