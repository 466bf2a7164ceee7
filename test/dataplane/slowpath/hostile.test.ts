/**
 * Whatever comes from the wire or from a VM: nothing throws, every decision can be carried out, and no frame reaches a port of
 * another virtual subnet. What a frame says is read here by a few lines of its own.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decapNode, encapNode } from "../../../src/dataplane/slowpath/index.js";
import { apply, type PortIndex } from "../../../src/dataplane/transposition/index.js";
import { macAt } from "../../../src/dataplane/wire/bytes.js";
import { hexOf, innerOf, WORKED_PACKETS, type WorkedPacketName, workedPacket } from "../../vectors/worked-packets.js";
import {
  decideWith,
  HOST1,
  host1,
  host2,
  ip,
  ipv4Checksum,
  labRecords,
  MACS,
  mac,
  NIC,
  node,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  port,
  providerAddress,
  record,
  type TestHost,
  vsid,
} from "./fixture.js";

const NAMES = Object.keys(WORKED_PACKETS) as WorkedPacketName[];
const RUNS = 1500;

/** A worked packet with a few octets overwritten, cut or padded, its outer IPv4 checksum mostly repaired. */
const mutated = fc
  .record({
    name: fc.constantFrom(...NAMES),
    edits: fc.array(fc.tuple(fc.nat(131), fc.nat(255)), { maxLength: 4 }),
    cut: fc.option(fc.nat(131), { freq: 3 }),
    padding: fc.nat(20),
    repair: fc.boolean(),
  })
  .map(({ name, edits, cut, padding, repair }) => {
    const bytes = Array.from(workedPacket(name));
    for (const [at, octet] of edits) if (at < bytes.length) bytes[at] = octet;
    const frame = Uint8Array.from([...bytes.slice(0, cut ?? bytes.length), ...new Array<number>(padding).fill(0x5a)]);
    const at = frame[12] === 0x81 ? 18 : 14;
    if (repair && frame.length >= at + 60) {
      const sum = ipv4Checksum(frame, at);
      frame[at + 10] = sum >>> 8;
      frame[at + 11] = sum & 0xff;
    }
    return frame;
  });
const garbage = fc.uint8Array({ maxLength: 150 });
const fromWire = fc.oneof({ weight: 1, arbitrary: garbage }, { weight: 4, arbitrary: mutated });

/** VSID and inner destination MAC of an NVGRE frame, by its own lengths; the caller knows that it was accepted. */
function whatItSays(frame: Uint8Array): { vsid: number; mac: number } {
  const ipAt = frame[12] === 0x81 && frame[13] === 0 ? 18 : 14;
  const greAt = frame[ipAt]! >>> 4 === 4 ? ipAt + (frame[ipAt]! & 15) * 4 : ipAt + 40;
  const optional = (frame[greAt]! & 0x80 ? 4 : 0) + (frame[greAt]! & 0x10 ? 4 : 0);
  const keyAt = greAt + 4 + (frame[greAt]! & 0x80 ? 4 : 0);
  return {
    vsid: (frame[keyAt]! << 16) | (frame[keyAt + 1]! << 8) | frame[keyAt + 2]!,
    mac: macAt(frame, greAt + 8 + optional),
  };
}

describe("from the wire", () => {
  const v6 = { lookupRecords: labRecords(PA1_V6, PA2_V6), providerAddresses: [providerAddress(PA2_V6)] };
  const hosts: [string, TestHost][] = [
    ["untagged", host2()],
    [
      "VLAN 103, lenient",
      host2({ providerAddresses: [providerAddress(PA2, { vlanID: 103 })], settings: { receive: "lenient" } }),
    ],
    ["IPv6", host2(v6)],
    ["2012", host2({ settings: { mode: "2012", dscp: { model: "uniform" } } })],
  ];

  it.each(hosts)(
    "%s: reaches only the port that VSID and inner MAC name, groups only ports of the VSID",
    (_title, host) => {
      let delivered = 0;
      fc.assert(
        fc.property(fromWire, (frame) => {
          const { verdict } = host.decide(frame, NIC);
          if (verdict.kind !== "forward") return;
          for (const forward of verdict.outputs) {
            const settings = host.ports.settingsOf(forward.output);
            const says = whatItSays(frame);
            expect(settings.kind).toBe("adapter");
            expect(settings.vsid).toBe(says.vsid);
            const isGroup = Math.floor(says.mac / 2 ** 40) % 2 === 1;
            if (!isGroup) expect(settings.mac).toBe(says.mac);
            expect(apply(forward, frame, () => 0)).toBeInstanceOf(Uint8Array);
            delivered++;
          }
        }),
        { numRuns: RUNS },
      );
      expect(delivered).toBeGreaterThan(0); // or nothing was tested
    },
  );
});

describe("from a VM", () => {
  const innerMutated = fc
    .record({
      name: fc.constantFrom("a" as const, "b" as const, "c" as const, "d" as const, "g" as const, "e" as const),
      edits: fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 4 }),
      from: fc.constantFrom(MACS.blue1, MACS.red1),
    })
    .map(({ name, edits, from }) => {
      const bytes = innerOf(name);
      for (const [at, octet] of edits) if (at < bytes.length) bytes[at] = octet;
      return Uint8Array.from([
        ...bytes.subarray(0, 6),
        ...from.split("-").map((o) => Number.parseInt(o, 16)),
        ...bytes.subarray(12),
      ]);
    });
  const wildcard = record(6001, "0.0.0.0", MACS.red1, PA1, { type: "GatewayWildcard" });
  const hosts: [string, TestHost][] = [
    ["2012R2", host1({ lookupRecords: [...labRecords(), wildcard] })],
    ["2012", host1({ settings: { mode: "2012" }, lookupRecords: [...labRecords(), wildcard] })],
  ];

  it.each(hosts)("%s: what Red sends stays Red, on the wire and on this host", (_title, host) => {
    let sent = 0;
    fc.assert(
      fc.property(
        fc.oneof(garbage, innerMutated),
        fc.constantFrom<PortIndex>(HOST1.red1, HOST1.blue1),
        (frame, from) => {
          const { verdict } = host.decide(frame, from);
          if (verdict.kind !== "forward") return;
          const isRed = from === HOST1.red1;
          for (const forward of verdict.outputs) {
            const settings = host.ports.settingsOf(forward.output);
            const reached = settings.kind === "nic" ? forward.push?.vsid : settings.vsid;
            expect(isRed ? [6001] : [5001, 5002]).toContain(reached);
            const frameOut = apply(forward, frame, () => 0);
            expect(frameOut).toBeInstanceOf(Uint8Array);
            sent++;
          }
        },
      ),
      { numRuns: RUNS },
    );
    expect(sent).toBeGreaterThan(0);
  });
});

describe("the codec", () => {
  const ethernet = { destination: mac(MACS.nic2), source: mac(MACS.nic1), tag: null };
  const tunnel = { output: port(2), vsid: vsid(5001), source: ip(PA1), destination: ip(PA2), ethernet };
  const encap = encapNode("encap", { ...tunnel, tagged: "strip" });
  const decap = decapNode("decap", { outputOf: () => port(2), receive: "lenient" });

  it("every decision can be carried out, in both directions", () => {
    fc.assert(
      fc.property(fromWire, (frame) => {
        for (const codec of [encap, decap]) {
          const { verdict } = decideWith(codec, node(1), frame, port(1));
          if (verdict.kind !== "forward") continue;
          for (const forward of verdict.outputs) expect(apply(forward, frame, () => 0)).toBeInstanceOf(Uint8Array);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it("does not look outside of the frame: what lies around it changes nothing", () => {
    fc.assert(
      fc.property(fromWire, fc.nat(255), (frame, filler) => {
        const embed = (start: number) => {
          const bytes = new Uint8Array(frame.length + 64).fill(filler);
          bytes.set(frame, start);
          const place = { bytes, start, end: start + frame.length, ingress: port(1) };
          return decap.decide(place, { node: node(1), nowMs: 0, observe: null });
        };
        expect(embed(0)).toEqual(decideWith(decap, node(1), frame, port(1)));
        expect(embed(33)).toEqual(decideWith(decap, node(1), frame, port(1)));
      }),
      { numRuns: 500 },
    );
  });

  it("a worked packet in the middle of garbage decapsulates as if alone", () => {
    const { verdict } = decideWith(decap, node(1), workedPacket("a"), port(1));
    if (verdict.kind !== "forward") throw new Error("dropped");
    const result = apply(verdict.outputs[0]!, workedPacket("a"), () => 0);
    expect(hexOf(result as Uint8Array)).toBe(hexOf(innerOf("a")));
  });
});
