/**
 * Tenants stay apart, whatever they send: hostile frames from a VM and from the wire, from a printed seed.
 *
 * What may be delivered is written down here once more, from the lab's file and in plain words, and knows nothing of the
 * engine. HNV_TEST_SEED repeats a run.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createLab, type EmulatedLab, type FrameEnd } from "../../src/index.js";
import { tenantFrame, wireFrame } from "../support/frames.js";
import { type Random, seededRandom } from "../support/random.js";
import {
  addressBytes,
  concatenate,
  frame as ethernet,
  hexOf,
  internetChecksum,
  ip,
  macBytes,
  nvgre,
  readIp,
  tagged,
  udp,
} from "./build.js";

const LAB = readFileSync(fileURLToPath(new URL("../../examples/two-tenants.yaml", import.meta.url)), "utf8");
const BLUE_PORTS = ["host1/Blue1", "host2/Blue2", "host2/Blue3"];

/** The lab, told again. A gateway address is on record at a provider address that no host has. */
const PA1 = "192.168.4.11";
const PA2 = "192.168.4.22";
const NO_HOST = "169.254.254.254";
const RECORDS = [
  { tenant: "Blue", vsid: 5001, ca: "10.0.0.5", mac: "06-06-00-00-00-05", pa: PA1 },
  { tenant: "Blue", vsid: 5001, ca: "fd00:10::5", mac: "06-06-00-00-00-05", pa: PA1 },
  { tenant: "Blue", vsid: 5001, ca: "10.0.0.7", mac: "06-06-00-00-00-07", pa: PA2 },
  { tenant: "Blue", vsid: 5001, ca: "fd00:10::7", mac: "06-06-00-00-00-07", pa: PA2 },
  { tenant: "Blue", vsid: 5002, ca: "10.0.1.9", mac: "06-06-00-00-00-09", pa: PA2 },
  { tenant: "Blue", vsid: 5001, ca: "10.0.0.1", mac: "06-06-00-00-01-01", pa: NO_HOST },
  { tenant: "Blue", vsid: 5001, ca: "fd00:10::1", mac: "06-06-00-00-01-01", pa: NO_HOST },
  { tenant: "Blue", vsid: 5002, ca: "10.0.1.1", mac: "06-06-00-00-02-01", pa: NO_HOST },
  { tenant: "Red", vsid: 6001, ca: "10.0.0.5", mac: "08-08-00-00-00-05", pa: PA1 },
  { tenant: "Red", vsid: 6001, ca: "10.0.0.7", mac: "08-08-00-00-00-07", pa: PA2 },
] as const;
const PORTS: Readonly<Record<string, { readonly vsid: number; readonly mac: string; readonly tenant: string }>> = {
  "host2/Blue2": { vsid: 5001, mac: "060600000007", tenant: "Blue" },
  "host2/Blue3": { vsid: 5002, mac: "060600000009", tenant: "Blue" },
  "host2/Red2": { vsid: 6001, mac: "080800000007", tenant: "Red" },
};

const MACS = [
  ...new Set<string>(RECORDS.map(({ mac }) => mac)),
  "02-00-5E-00-01-01",
  "02-00-C0-A8-04-0B",
  "02-00-C0-A8-04-16",
  "FF-FF-FF-FF-FF-FF",
  "01-00-5E-00-00-FB",
  "33-33-00-00-00-01",
];
const ADDRESSES_V4 = ["10.0.0.5", "10.0.0.7", "10.0.1.9", "10.0.0.1", "10.0.0.255", PA1, PA2, "0.0.0.0", "169.254.1.1"];
const ADDRESSES_V6 = ["fd00:10::5", "fd00:10::7", "fd00:10::1", "fe80::5", "::", "ff02::1", "2001:db8:4::22"];
const VSIDS = [5001, 5001, 5002, 6001, 6001, 4096, 4095, 0xffffff];

describe("what the tenant Red sends", () => {
  it("never reaches a port of Blue: 100,000 hostile frames", () => {
    const random = seededRandom();
    const lab = createLab(LAB);
    let deliveredToRed = 0;
    inChunks(100_000, () => {
      const frames = Array.from({ length: 2_000 }, () => {
        const port = random.pick(["host1/Red1", "host2/Red2"]);
        return { port, frame: fromRed(random, port) };
      });
      for (const end of lab.sendAll(frames)) {
        expect(BLUE_PORTS.includes(end.port), `seed ${random.seed}: ${hexOf(end.frame)}`).toBe(false);
        if (end.verdict === "delivered") deliveredToRed++;
      }
    });
    const { ports } = lab.counters();
    for (const name of BLUE_PORTS) expect(ports[name]!.tx.packets, `seed ${random.seed}: ${name}`).toBe(0);
    // The attack is not just noise that dies at the first check.
    expect(deliveredToRed, `seed ${random.seed}`).toBeGreaterThan(500);
    expect(ports["provider/host1.nic1"]!.rx.packets).toBeGreaterThan(500);
  }, 20_000);
});

function fromRed(random: Random, port: string): Uint8Array {
  const own = port === "host1/Red1" ? "08-08-00-00-00-05" : "08-08-00-00-00-07";
  const ownAddress = port === "host1/Red1" ? "10.0.0.5" : "10.0.0.7";
  const source = random.chance(0.9) ? own : random.pick(MACS);
  if (random.chance(0.25)) {
    // Anything at all, behind a source MAC that the port accepts.
    const bytes = (random.chance(0.5) ? tenantFrame(random) : wireFrame(random)).slice();
    if (bytes.length >= 14 && random.chance(0.9)) bytes.set(macBytes(source), 6);
    if (bytes.length >= 14 && random.chance(0.5)) bytes.set(macBytes(random.pick(MACS)), 0);
    return bytes;
  }
  const isIpv4 = random.chance(0.8);
  const addresses = isIpv4 ? ADDRESSES_V4 : ADDRESSES_V6;
  const from = isIpv4 && random.chance(0.8) ? ownAddress : random.pick(addresses);
  const to = random.pick(addresses);
  const packet = random.chance(0.4) ? nested(random, from, to) : udpPacket(random, from, to);
  const behind = random.chance(0.15) ? tagged(random.pick([0, 0xa000, 103, 0x389, 4095]), packet) : packet;
  return ethernet(random.pick(MACS), source, behind);
}

function udpPacket(random: Random, source: string, destination: string): Uint8Array {
  const data = udp(
    source,
    destination,
    [1000 + random.below(4), 2000 + random.below(4)],
    random.bytes(random.below(60)),
  );
  return ip({ source, destination, protocol: 17, payload: data, ttl: random.pick([1, 64, 128]), tos: random.below(4) });
}

/** NVGRE of a VM's own making that claims to be Blue's. */
function nested(random: Random, source: string, destination: string): Uint8Array {
  const inner = ethernet(
    random.pick(MACS),
    random.pick(MACS),
    udpPacket(random, "10.0.0.5", random.pick(["10.0.0.7", "10.0.1.9"])),
  );
  const payload = nvgre(
    random.pick([5001, 5002]),
    random.below(256),
    inner,
    random.chance(0.9) ? 0x2000 : random.below(65536),
  );
  return ip({ source, destination, protocol: 47, payload });
}

describe("what comes from the wire", () => {
  it("reaches a port only with its VSID, its MAC or a group's, and a source that lives at the outer source", () => {
    const random = seededRandom();
    const lab = createLab(LAB);
    const delivered: Record<string, number> = {};
    inChunks(40_000, () => {
      const frames = Array.from({ length: 2_000 }, () => ({ port: "host2/nic1", frame: fromWire(random) }));
      const ends = lab.sendAll(frames);
      expect(ends).toHaveLength(frames.length);
      ends.forEach((end, index) => {
        if (end.verdict !== "delivered") return;
        const sent = frames[index]!.frame;
        expect(whyNot(sent, end), `seed ${random.seed}: ${end.port} got ${hexOf(sent)}`).toBeNull();
        delivered[end.port] = (delivered[end.port] ?? 0) + 1;
      });
    });
    for (const name of Object.keys(PORTS)) expect(delivered[name], `seed ${random.seed}: ${name}`).toBeGreaterThan(50);
  }, 20_000);
});

/** A right packet for some port in which some fields are then somebody else's. */
function fromWire(random: Random): Uint8Array {
  if (random.chance(0.1)) return wireFrame(random);
  const isForged = (): boolean => random.chance(0.2);
  const port = random.pick(Object.values(PORTS));
  const to = random.pick(RECORDS.filter((r) => r.tenant === port.tenant && r.vsid === port.vsid && r.pa === PA2));
  const isIpv6 = to.ca.includes(":");
  const peers = RECORDS.filter((r) => r.tenant === port.tenant && r.pa === PA1 && r.ca.includes(":") === isIpv6);
  const from = random.pick(peers);
  const addresses = isIpv6 ? ADDRESSES_V6 : ADDRESSES_V4;
  const packet = udpPacket(
    random,
    isForged() ? random.pick(addresses) : from.ca,
    isForged() ? random.pick(addresses) : to.ca,
  );
  const arp = concatenate(
    [8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
    macBytes(random.pick(MACS)),
    addressBytes(from.ca).slice(0, 4),
    new Uint8Array(10),
  );
  const inner = ethernet(
    isForged() ? random.pick(MACS) : to.mac,
    isForged() ? random.pick(MACS) : from.mac,
    random.chance(0.05) ? arp : random.chance(0.05) ? tagged(random.below(65536), packet) : packet,
  );
  const outer = ip({
    source: isForged() ? random.pick([PA1, PA2, NO_HOST, "192.168.4.33", "224.0.0.1", "10.0.0.5"]) : PA1,
    destination: isForged() ? random.pick([PA1, PA2, "10.0.0.7"]) : PA2,
    protocol: random.chance(0.03) ? 17 : 47,
    payload: nvgre(
      isForged() ? random.pick(VSIDS) : port.vsid,
      random.below(256),
      inner,
      random.chance(0.95) ? 0x2000 : random.below(65536),
    ),
    tos: random.below(4),
    ttl: random.pick([1, 64, 128]),
  });
  const behind = random.chance(0.05) ? tagged(random.pick([0, 103, 5]), outer) : outer;
  const whole = ethernet(random.chance(0.9) ? "02-00-C0-A8-04-16" : random.pick(MACS), random.pick(MACS), behind);
  if (random.chance(0.1)) whole[random.below(Math.min(whole.length, 100))]! ^= 1 << random.below(8);
  return whole;
}

/** Why this frame may not be delivered there; null if it may. */
function whyNot(sent: Uint8Array, end: FrameEnd): string | null {
  const port = PORTS[end.port];
  if (!port) return "no VM port of host 2";
  const outer = readIp(sent);
  if (outer?.protocol !== 47) return "no GRE";
  if (sent[outer.at]! >>> 4 === 4 && internetChecksum(sent.slice(outer.at, outer.payloadAt)) !== 0)
    return "outer checksum";
  const gre = outer.payloadAt;
  const vsid = (sent[gre + 4]! << 16) | (sent[gre + 5]! << 8) | sent[gre + 6]!;
  if (vsid !== port.vsid) return `VSID ${vsid}`;
  const inner = sent.slice(gre + 8);
  const isGroup = inner[0]! % 2 === 1;
  if (!isGroup && hexOf(inner.slice(0, 6)) !== port.mac) return `inner destination MAC ${hexOf(inner.slice(0, 6))}`;
  const sourceMac = hexOf(inner.slice(6, 12));
  const records = RECORDS.filter((r) => r.tenant === port.tenant && hexOf(addressBytes(r.pa)) === outer.source);
  if (inner[12] === 0x81) return "an inner tag";
  const source = readIp(inner)?.source;
  if (source !== undefined && records.some((r) => hexOf(addressBytes(r.ca)) === source)) return null;
  // ARP, neighbor discovery and sources that name nobody go by the MAC, within the virtual subnet.
  const isNameless = source === undefined || /^(00000000|0{32}|a9fe....|fe[89ab].*)$/.test(source);
  const isKnownMac = records.some((r) => r.vsid === vsid && hexOf(macBytes(r.mac)) === sourceMac);
  return isNameless && isKnownMac ? null : `source ${source} of ${sourceMac} is not at ${outer.source}`;
}

describe("conservation", () => {
  it("every frame has one end, every drop one reason, at every port of the lab", () => {
    const random = seededRandom();
    const lab = createLab(LAB);
    let sent = 0;
    let reasonless = 0;
    let passedWithReason = 0;
    const verdicts: Record<string, number> = { delivered: 0, dropped: 0, passed: 0, consumed: 0 };
    inChunks(30_000, () => {
      const frames = Array.from({ length: 1 + random.below(600) }, () => {
        const port = random.pick(lab.portNames);
        const kind = random.below(4);
        const bytes =
          kind === 0
            ? tenantFrame(random)
            : kind === 1
              ? wireFrame(random)
              : kind === 2
                ? fromWire(random)
                : fromRed(random, "host1/Red1");
        return { port, frame: bytes };
      });
      const before = madeHere(lab);
      const ends = lab.sendAll(frames);
      expect(ends.length).toBe(frames.length + madeHere(lab) - before);
      for (const { verdict, reason } of ends) {
        verdicts[verdict]!++;
        if (verdict === "dropped" && reason === null) reasonless++;
        if ((verdict === "passed" || verdict === "consumed") && reason !== null) passedWithReason++;
      }
      sent += frames.length;
      expectConserved(lab, sent, random.seed);
      return frames.length;
    });
    const { totals, reasons } = lab.counters();
    expect(totals).toMatchObject(verdicts);
    expect(reasonless, "drops without a reason").toBe(0);
    const counted = reasons.reduce((sum, { count }) => sum + count, 0);
    expect(counted, `seed ${random.seed}`).toBe(totals.dropped + passedWithReason);
    expect(passedWithReason).toBeGreaterThan(0);
    expect(new Set(reasons.map(({ reason }) => reason.reason)).size).toBeGreaterThan(25);
  }, 20_000);
});

function expectConserved(lab: EmulatedLab, sent: number, seed: number): void {
  const { totals } = lab.counters();
  expect(totals.in, `seed ${seed}`).toBe(sent);
  const ended = totals.delivered + totals.dropped + totals.passed + totals.consumed;
  expect(ended, `seed ${seed}`).toBe(totals.in + madeHere(lab));
}

/** Frames that nobody sent: copies of others, and answers. */
function madeHere(lab: EmulatedLab): number {
  const { copies, injected } = lab.counters().totals;
  return copies + injected;
}

/** Repeats `chunk`, which says how many frames it took (2,000 if it does not), until there were `count`. */
function inChunks(count: number, chunk: () => unknown): void {
  for (let done = 0; done < count; ) {
    const took = chunk();
    done += typeof took === "number" ? took : 2_000;
  }
}
