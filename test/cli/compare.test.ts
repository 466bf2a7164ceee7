/** `hnv compare`: what differs, and where. */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { hexOf, innerOf, workedPacket } from "../vectors/worked-packets.js";
import { hnv, pcapBytes, workplace, writePcap } from "./helpers.js";

/** Packet A's inner frame with another last octet, so that frames can be told apart. */
function marked(mark: number): Uint8Array {
  const frame = innerOf("a");
  frame[frame.length - 1] = mark;
  return frame;
}

const sameTime = (frames: readonly Uint8Array[]): { data: Uint8Array; time: number }[] =>
  frames.map((data) => ({ data, time: 1e6 }));

async function compare(a: readonly Uint8Array[], b: readonly Uint8Array[], ...more: string[]) {
  const at = workplace();
  writePcap(at("a.pcap"), sameTime(a));
  writePcap(at("b.pcap"), sameTime(b));
  const { status, stdout } = await hnv(["compare", at("a.pcap"), at("b.pcap"), "--json", ...more]);
  const result = JSON.parse(stdout) as {
    isSame: boolean;
    equal: number;
    changed: number;
    missing: number;
    extra: number;
    differences: {
      kind: string;
      a?: number;
      b?: number;
      frame?: string;
      fields?: { field: string; offset: number; a: string; b: string }[];
    }[];
  };
  expect(status).toBe(result.isSame ? 0 : 1);
  return result;
}

it("equal captures: status 0", async () => {
  const frames = [marked(1), marked(2)];
  expect(await compare(frames, frames)).toMatchObject({ isSame: true, equal: 2, changed: 0, differences: [] });
});

it("names the field, its offset and both values", async () => {
  const a = workedPacket("a");
  const b = workedPacket("a");
  b.set([0x00, 0x01], 18); // identification
  b[41] = 0x77; // FlowID
  b[42 + 14 + 8] = 63; // inner TTL
  b[b.length - 1] = 0;
  const { differences, changed } = await compare([a], [b]);
  expect(changed).toBe(1);
  expect(differences[0]).toEqual({
    kind: "changed",
    a: 1,
    b: 1,
    fields: [
      { field: "outer IPv4 identification", offset: 18, a: "1a2b", b: "0001" },
      { field: "NVGRE FlowID", offset: 41, a: "a5", b: "77" },
      { field: "inner IPv4 TTL", offset: 64, a: "80", b: "3f" },
      { field: "payload", offset: 115, a: "69", b: "00" },
    ],
  });
});

it("--ignore sets identification and checksum of the outer header aside, and nothing else", async () => {
  const b = workedPacket("a");
  b.set([0x00, 0x01], 18);
  b.set([0xab, 0xcd], 24);
  expect(await compare([workedPacket("a")], [b], "--ignore", "identification")).toMatchObject({ isSame: false });
  expect(await compare([workedPacket("a")], [b], "--ignore", "identification,checksum")).toMatchObject({
    isSame: true,
  });
  b.set([0x00, 0x02], 42 + 14 + 4); // the inner identification
  expect(await compare([workedPacket("a")], [b], "--ignore", "identification,checksum")).toMatchObject({
    isSame: false,
  });
});

it("finds missing and extra frames, and goes on behind them", async () => {
  const a = [1, 2, 3, 4, 5, 6].map(marked);
  const b = [1, 3, 4, 99, 5, 77].map(marked);
  const { differences, ...counts } = await compare(a, b);
  expect(counts).toMatchObject({ equal: 4, changed: 1, missing: 1, extra: 1 });
  expect(differences).toEqual([
    { kind: "missing", a: 2, frame: hexOf(marked(2)) },
    { kind: "extra", b: 4, frame: hexOf(marked(99)) },
    expect.objectContaining({ kind: "changed", a: 6, b: 6 }),
  ]);
});

it("tells of times and lengths", async () => {
  const at = workplace();
  writePcap(at("a.pcap"), [{ data: marked(1), time: 1_000_000 }]);
  writePcap(at("b.pcap"), [{ data: marked(1).slice(0, -1), time: 1_000_001 }]);
  const text = await hnv(["compare", "a.pcap", "b.pcap"], { cwd: at(".") });
  expect(text.status).toBe(1);
  expect(text.stdout).toContain("frame 1: timestamp: 1.000000000 | 1.000001000\n");
  expect(text.stdout).toContain("frame 1: length: 74 | 73\n");
  expect(text.stdout).toContain("0 equal, 1 changed, 0 only in a.pcap, 0 only in b.pcap\n");
  writePcap(at("b.pcap"), [{ data: marked(1), time: 1_000_001 }]);
  const ignoring = await hnv(["compare", at("a.pcap"), at("b.pcap"), "--ignore", "timestamps"]);
  expect(ignoring).toMatchObject({ status: 0, stdout: "no difference in 1 frame\n" });
});

it("--limit shows fewer and counts all", async () => {
  const result = await compare([1, 2, 3].map(marked), [7, 8, 9].map(marked), "--limit", "1");
  expect(result).toMatchObject({ changed: 3 });
  expect(result.differences).toHaveLength(1);
});

it("compares captures of different formats, and one from standard input", async () => {
  const at = workplace();
  const bytes = pcapBytes([marked(1)]);
  writeFileSync(at("a.pcap"), bytes);
  const big = Buffer.from(bytes);
  for (const [from, width] of [
    [0, 4],
    [4, 2],
    [6, 2],
    [16, 4],
    [20, 4],
    [24, 4],
    [28, 4],
    [32, 4],
    [36, 4],
  ] as const)
    big.subarray(from, from + width).reverse();
  expect(await hnv(["compare", at("a.pcap"), "-"], { input: big })).toMatchObject({ status: 0 });
});

it("a damaged capture: compared up to the damage, told, status 1", async () => {
  const at = workplace();
  writePcap(at("a.pcap"), sameTime([marked(1), marked(2)]));
  writeFileSync(at("b.pcap"), readFileSync(at("a.pcap")).subarray(0, 150));
  const { status, stdout, stderr } = await hnv(["compare", at("a.pcap"), at("b.pcap")]);
  expect(status).toBe(1);
  expect(stdout).toContain("1 equal, 0 changed, 1 only in");
  expect(stderr).toMatch(/^hnv: .*b\.pcap: .*at byte 114\n$/);
});

it("captures of which every frame differs take no longer than reading them, about", { timeout: 15_000 }, async () => {
  const at = workplace();
  const frames = (first: number) =>
    Array.from({ length: 20_000 }, (_, index) => {
      const frame = Buffer.from(innerOf("a"));
      frame.writeUInt32BE(index, 50);
      frame[0] = first;
      return frame;
    });
  writePcap(at("a.pcap"), frames(0x02));
  writePcap(at("b.pcap"), frames(0x06));
  const { stdout } = await hnv(["compare", "a.pcap", "b.pcap", "--limit", "0"], { cwd: at(".") });
  expect(stdout).toContain("0 equal, 20000 changed, 0 only in a.pcap, 0 only in b.pcap");
});
