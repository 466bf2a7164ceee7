import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Mac } from "../../../src/dataplane/wire/bytes.js";
import {
  flowIdOfHash,
  flowLabelOfHash,
  fnv1a,
  hasFlowPorts,
  ipFlowHash,
  linkFlowHash,
} from "../../../src/dataplane/wire/entropy.js";
import { bytesOf, innerOf } from "../../vectors/worked-packets.js";
import { anyU32 } from "./classics.js";

describe("flow entropy", () => {
  it("FNV-1a: the published test values", () => {
    const hash = (text: string) => fnv1a(new TextEncoder().encode(text), 0, text.length);
    expect([hash(""), hash("a"), hash("foobar")]).toEqual([0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968]);
  });

  it("goes on from an earlier hash", () => {
    const bytes = bytesOf("0a000005 0a000007 01");
    expect(fnv1a(bytes, 3, 9, fnv1a(bytes, 0, 3))).toBe(fnv1a(bytes, 0, 9));
  });

  it.each([
    ["ICMP over IPv4 (A)", "a", 4, 1, -1, 0x2b8b_9b9e, 0xa5],
    ["UDP over IPv4 (B)", "b", 4, 17, 34, 0xdee0_7528, 0x63],
    ["UDP over IPv6 (C)", "c", 6, 17, 54, 0x1ffb_9f3d, 0x46],
    ["TCP over IPv4 (D)", "d", 4, 6, 34, 0x0b8c_b78d, 0xbd],
    ["broadcast (G)", "g", 4, 17, 34, 0xb808_6620, 0xf6],
  ] as const)("hashes %s", (_, name, family, protocol, portsAt, hash, flowId) => {
    const inner = innerOf(name);
    expect(ipFlowHash(inner, family, 14, protocol, portsAt)).toBe(hash);
    expect(flowIdOfHash(hash)).toBe(flowId);
  });

  it("hashes what is not IP by its MAC addresses and EtherType", () => {
    const hash = linkFlowHash(0xffff_ffff_ffff as Mac, 0x0606_0000_0005 as Mac, 0x0806);
    expect(hash).toBe(0x3cc0_fc32);
    expect(flowIdOfHash(hash)).toBe(0x32);
  });

  it("labels packet D's flow, and never says that it is unlabelled", () => {
    expect(flowLabelOfHash(0x0b8c_b78d)).toBe(0xcb735);
    expect(flowLabelOfHash(0)).toBe(1);
    expect(flowLabelOfHash(0xfff0_0fff)).toBe(1);
  });

  it("stays in its fields", () => {
    fc.assert(
      fc.property(anyU32, (hash) => {
        expect(flowIdOfHash(hash)).toBeGreaterThanOrEqual(0);
        expect(flowIdOfHash(hash)).toBeLessThanOrEqual(0xff);
        expect(flowLabelOfHash(hash)).toBeGreaterThanOrEqual(1);
        expect(flowLabelOfHash(hash)).toBeLessThanOrEqual(0xfffff);
      }),
    );
  });

  it("counts ports for TCP and UDP only", () => {
    expect([6, 17].map(hasFlowPorts)).toEqual([true, true]);
    expect([0, 1, 47, 58, 132].some(hasFlowPorts)).toBe(false);
  });

  it("spreads flows that differ in one port over all FlowIDs", () => {
    const seen = new Set<number>();
    const inner = innerOf("d");
    for (let port = 0; port < 4096; port++) {
      inner[34] = port >>> 8;
      inner[35] = port & 0xff;
      seen.add(flowIdOfHash(ipFlowHash(inner, 4, 14, 6, 34)));
    }
    expect(seen.size).toBe(256);
  });
});
