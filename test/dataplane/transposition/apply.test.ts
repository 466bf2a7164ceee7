/** The plain interpreter on its own: each step of a Forward, with bytes from outside. */
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { apply, type Forward, type NvgrePush } from "../../../src/dataplane/transposition/index.js";
import type { FlowId, Tci } from "../../../src/dataplane/wire/bytes.js";
import { hexOf, innerOf, workedPacket } from "../../vectors/worked-packets.js";
import {
  ip,
  ipFrame,
  MACS,
  mac,
  macOctets,
  node,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  port,
  repairIpv4,
  splice,
  vsid,
} from "../slowpath/fixture.js";

const NOTHING: Forward = {
  output: port(1),
  pop: false,
  dscpInwards: false,
  ethernet: null,
  decrementTtl: false,
  push: null,
  lengthLimit: null,
};
const PUSH: NvgrePush = {
  ethernet: { destination: mac(MACS.nic2), source: mac(MACS.nic1), tag: null },
  source: ip(PA1),
  destination: ip(PA2),
  ttl: 128,
  ecn: "normal",
  dscp: { model: "pipe", value: 0 },
  dontFragment: true,
  flowLabel: 0,
  identification: node(1),
  vsid: vsid(5001),
  flowId: 0xa5 as FlowId,
};
const POP: Forward = { ...NOTHING, pop: true };

const run = (forward: Forward, frame: Uint8Array, identification = 0): Uint8Array => {
  const result = apply(forward, frame, () => identification);
  if (typeof result === "number") throw new Error(`dropped for ${result}`);
  return result;
};
const a = innerOf("a");

describe("push", () => {
  it("packet A", () => {
    expect(hexOf(run({ ...NOTHING, push: PUSH }, a, 0x1a2b))).toBe(hexOf(workedPacket("a")));
  });

  it("packet A-vlan: RFC 7637 §3.2: an outer tag", () => {
    const push = { ...PUSH, ethernet: { ...PUSH.ethernet, tag: 0xa067 as Tci } };
    expect(hexOf(run({ ...NOTHING, push }, a, 0x1a2b))).toBe(hexOf(workedPacket("aVlan")));
  });

  it("packet D: IPv6 outside, flow label, no identification asked for", () => {
    const push = {
      ...PUSH,
      source: ip(PA1_V6),
      destination: ip(PA2_V6),
      flowLabel: 0xcb735,
      flowId: 0xbd as FlowId,
    };
    const never = (): number => {
      throw new Error("IPv6 has no identification");
    };
    expect(apply({ ...NOTHING, push }, innerOf("d"), never)).toEqual(workedPacket("d"));
  });

  it("asks the named node for its identification, once, and takes 16 bits", () => {
    const asked: number[] = [];
    const frame = apply({ ...NOTHING, push: PUSH }, a, (of) => {
      asked.push(of);
      return 0x7_1a2b;
    });
    expect(asked).toEqual([1]);
    expect(frame).toEqual(workedPacket("a"));
  });

  it("keeps the frame's own Ethernet header, tag included, and its padding", () => {
    const padded = splice(ipFrame({ ...BLUE, tci: 0x2005 }), 54, [1, 2, 3], 0);
    const wrapped = run({ ...NOTHING, push: PUSH }, padded);
    expect(hexOf(wrapped.subarray(42))).toBe(hexOf(padded));
    expect((wrapped[16]! << 8) | wrapped[17]!).toBe(28 + padded.length);
  });

  it("takes what is not IP, and broken IP, as of no class", () => {
    const broken = splice(ipFrame({ ...BLUE, trafficClass: 0xbb }), 14, [0x55]);
    const push: NvgrePush = { ...PUSH, dscp: { model: "uniform" } };
    expect(run({ ...NOTHING, push }, broken)[15]).toBe(0);
    expect(run({ ...NOTHING, push }, ipFrame({ ...BLUE, trafficClass: 0xbb }))[15]).toBe(0xbb);
    expect(run({ ...NOTHING, push }, a.subarray(0, 14)).length).toBe(56);
  });
});

const BLUE = { destination: MACS.blue2, source: MACS.blue1, from: "10.0.0.5", to: "10.0.0.7" };

describe("packet B: the steps of a routed packet together", () => {
  it("TTL, MACs, push, tag", () => {
    const forward: Forward = {
      ...NOTHING,
      ethernet: { destination: mac(MACS.blue3), source: mac(MACS.gateway5002), tag: null },
      decrementTtl: true,
      push: {
        ...PUSH,
        ethernet: { ...PUSH.ethernet, tag: 103 as Tci },
        vsid: vsid(5002),
        flowId: 0x63 as FlowId,
      },
    };
    expect(hexOf(run(forward, workedPacket("bFromVm"), 0x1a2c))).toBe(hexOf(workedPacket("b")));
  });
});

describe("pop", () => {
  it.each(["a", "aVlan", "b", "c", "d", "dVlan", "g"] as const)("packet %s", (name) => {
    expect(hexOf(run(POP, workedPacket(name)))).toBe(hexOf(innerOf(name)));
  });

  it("cuts the inner frame where the outer packet ends", () => {
    const padded = splice(workedPacket("a"), 116, [9, 9, 9, 9], 0);
    expect(hexOf(run(POP, padded))).toBe(hexOf(a));
  });

  it("finds the inner frame behind outer IPv4 options and optional GRE words", () => {
    const options = splice(workedPacket("a"), 0x22, [1, 1, 1, 0], 0);
    options[14] = 0x46;
    expect(hexOf(run(POP, repairIpv4(options)))).toBe(hexOf(a));
    const sequence = splice(workedPacket("a"), 0x2a, [0, 0, 0, 1], 0);
    sequence[0x22] = 0x30;
    expect(hexOf(run(POP, repairIpv4(sequence)))).toBe(hexOf(a));
  });

  it("drops CE over Not-ECT (RFC 6040 §4.2)", () => {
    const frame = workedPacket("a");
    frame[15] = 3;
    expect(apply(POP, repairIpv4(frame), () => 0)).toBe(Reason.RX_ECN);
  });

  it("carries the class inwards on request, with its checksum", () => {
    const frame = workedPacket("a");
    frame[15] = 0xb8;
    repairIpv4(frame);
    const popped = run({ ...POP, dscpInwards: true }, frame);
    expect(popped[15]).toBe(0xb8);
    expect(repairIpv4(popped.slice())).toEqual(popped);
    expect(hexOf(run(POP, frame))).toBe(hexOf(a));
  });

  it("popped, rewritten and pushed again in one Forward", () => {
    const forward: Forward = { ...POP, push: PUSH };
    expect(hexOf(run(forward, workedPacket("aVlan"), 0x1a2b))).toBe(hexOf(workedPacket("a")));
  });
});

describe("ttl", () => {
  it("RFC 1624 §3: a wrong checksum stays wrong by the same difference", () => {
    const wrong = a.slice();
    wrong[24] = wrong[24]! ^ 0x40;
    const routed = run({ ...NOTHING, decrementTtl: true }, wrong);
    const right = run({ ...NOTHING, decrementTtl: true }, a);
    expect(right[22]).toBe(127);
    expect(repairIpv4(right.slice())).toEqual(right);
    expect(routed[24]! ^ right[24]!).toBe(0x40);
    expect(routed[25]).toBe(right[25]);
  });

  it("IPv6 has no checksum to follow", () => {
    const c = innerOf("c");
    const expected = splice(c, 14 + 7, [63]);
    expect(hexOf(run({ ...NOTHING, decrementTtl: true }, c))).toBe(hexOf(expected));
  });

  it.each([0, 1])("a TTL of %i runs out", (ttl) => {
    expect(apply({ ...NOTHING, decrementTtl: true }, ipFrame({ ...BLUE, ttl }), () => 0)).toBe(Reason.TX_TTL_EXCEEDED);
  });
});

describe("ethernet", () => {
  const macs = { destination: mac(MACS.blue3), source: mac(MACS.gateway5002) };

  it("replaces both addresses, and the tag by none, one, or another", () => {
    const plain = ipFrame(BLUE);
    const tagged = ipFrame({ ...BLUE, tci: 0x2005 });
    const [to, from] = [macOctets(MACS.blue3), macOctets(MACS.gateway5002)];
    for (const frame of [plain, tagged]) {
      const none = run({ ...NOTHING, ethernet: { ...macs, tag: null } }, frame);
      expect(hexOf(none)).toBe(hexOf(splice(plain, 0, [...to, ...from])));
      const one = run({ ...NOTHING, ethernet: { ...macs, tag: 0x6007 as Tci } }, frame);
      expect(hexOf(one)).toBe(hexOf(splice(plain, 0, [...to, ...from, 0x81, 0x00, 0x60, 0x07], 12)));
    }
  });

  it("null changes nothing", () => {
    const tagged = ipFrame({ ...BLUE, tci: 0x2005, padding: 6 });
    expect(hexOf(run(NOTHING, tagged))).toBe(hexOf(tagged));
  });
});

describe("what it promises", () => {
  it("leaves the input alone, also when that is a Buffer, whose slices share memory", () => {
    const frame = Buffer.from(workedPacket("b"));
    const before = frame.toString("hex");
    const result = run({ ...POP, decrementTtl: true, dscpInwards: true }, frame);
    result.fill(0);
    expect(frame.toString("hex")).toBe(before);
  });

  it("refuses a Forward that can not have been decided for this frame", () => {
    expect(() => run(POP, a)).toThrow("only GRE");
    expect(() => run({ ...NOTHING, decrementTtl: true }, splice(a, 12, [8, 6]))).toThrow("TTL");
    expect(() => run({ ...NOTHING, lengthLimit: 59 }, a)).toThrow("longer");
    expect(run({ ...NOTHING, lengthLimit: 60 }, a).length).toBe(74);
    expect(() => run({ ...NOTHING, push: PUSH }, new Uint8Array(65_535 - 27))).toThrow("too long");
    expect(() => run(NOTHING, new Uint8Array(13))).toThrow("Ethernet");
  });
});
