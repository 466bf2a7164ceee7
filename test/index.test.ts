/** The library door, used as a program would: everything comes from `hnv` itself. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import {
  createCapture,
  createLab,
  dissect,
  type EmulatedLab,
  FabricError,
  formatAddress,
  formatMac,
  loadLab,
  PolicyError,
  parseAddress,
  readFrames,
  type Vsid,
} from "../src/index.js";
import { hexOf, innerOf, workedPacket } from "./vectors/worked-packets.js";

const LAB = fileURLToPath(new URL("../examples/two-tenants.yaml", import.meta.url));
const BLUE = 5001 as Vsid;

describe("a lab", () => {
  let lab: EmulatedLab;
  beforeAll(() => {
    lab = loadLab(LAB);
  });

  it("delivers packet A's inner frame unchanged", () => {
    expect(lab.send("host1/Blue1", innerOf("a"))).toEqual([
      { verdict: "delivered", port: "host2/Blue2", reason: null, frame: innerOf("a") },
    ]);
  });

  it("may be in UTF-16, as Windows PowerShell writes its policy", () => {
    const directory = mkdtempSync(join(tmpdir(), "hnv-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, "lab.yaml");
    writeFileSync(path, `\ufeff${readFileSync(LAB, "utf8")}`, "utf16le");
    expect(loadLab(path).portNames).toEqual(lab.portNames);
  });

  it("says where and why a frame was dropped, in its words and Windows'", () => {
    const spoofed = innerOf("a");
    spoofed[11] = 0x77;
    const [end] = lab.send("host1/Blue1", spoofed);
    expect(end).toMatchObject({
      verdict: "dropped",
      port: "host1/Blue1",
      reason: { reason: "MAC_SPOOFING", windowsReason: "MacSpoofing", windowsNumber: 16 },
      frame: spoofed,
    });
  });

  it("explains without sending: the bytes on the wire are packet A's", () => {
    const before = lab.counters();
    const steps = lab.explain("host1/Blue1", innerOf("a"));
    expect(steps.map(({ node, verdict }) => [node, verdict])).toEqual([
      ["host1", "forward"],
      ["provider", "forward"],
      ["host2", "forward"],
    ]);
    const { port, peer, after } = steps[0]!.outputs[0]!;
    expect([port, peer]).toEqual(["host1/nic1", "provider/host1.nic1"]);
    expect(hexOf(after.slice(34))).toBe(hexOf(workedPacket("a").slice(34))); // GRE and all behind it
    expect(dissect(after)).toContainEqual(expect.stringContaining("VSID 5001"));
    expect(steps[0]!.layers.map(({ layer }) => layer)).toContain("next hop");
    expect(lab.counters()).toEqual(before);
  });

  it("counts what it did", () => {
    const { totals, ports, reasons } = lab.counters();
    expect(totals.in).toBe(totals.delivered + totals.dropped + totals.passed + totals.consumed);
    expect(ports["host1/Blue1"]!.rx.packets).toBe(2);
    expect(reasons).toEqual([
      { port: "host1/Blue1", reason: expect.objectContaining({ reason: "MAC_SPOOFING" }), count: 1 },
    ]);
  });
});

it("changes of policy hold from the next frame on, cached flows or not", () => {
  const lab = loadLab(LAB);
  const frame = innerOf("a");
  expect(lab.send("host1/Blue1", frame)[0]!.verdict).toBe("delivered");
  const address = parseAddress("10.0.0.7")!;
  const record = lab.policyOf("host1").lookupRecords.find(BLUE, address)!;
  expect([formatAddress(record.providerAddress), formatMac(record.macAddress)]).toEqual([
    "192.168.4.22",
    "06-06-00-00-00-07",
  ]);

  lab.changePolicy("host1", { kind: "recordRemoved", record });
  expect(lab.send("host1/Blue1", frame)[0]).toMatchObject({ verdict: "dropped", reason: { reason: "TX_NO_RECORD" } });
  expect(() => lab.changePolicy("host1", { kind: "recordRemoved", record })).toThrow(PolicyError);

  lab.changePolicy("host1", { kind: "recordAdded", record });
  expect(lab.send("host1/Blue1", frame)[0]!.verdict).toBe("delivered");
});

it("many frames keep their order", () => {
  const lab = loadLab(LAB);
  const frames = Array.from({ length: 600 }, (_, mark) => {
    const frame = innerOf("a");
    frame[frame.length - 1] = mark & 0xff;
    frame[frame.length - 2] = mark >>> 8;
    return { port: "host1/Blue1", frame };
  });
  const ends = lab.sendAll(frames);
  expect(ends.map(({ frame }) => hexOf(frame))).toEqual(frames.map(({ frame }) => hexOf(frame)));
});

it("a text with mistakes throws all of them, with their places", () => {
  let error: unknown;
  try {
    createLab("apiVersion: hnv/v1\nhosts:\n  - { nics: 7 }\ncolour: blue\n", { fileName: "mine.yaml" });
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(FabricError);
  const { problems } = error as FabricError;
  expect(problems.length).toBeGreaterThanOrEqual(3);
  expect(problems.every(({ file, line, column }) => file === "mine.yaml" && line > 0 && column > 0)).toBe(true);
  expect((error as FabricError).message).toContain("mine.yaml:4:1: ");
});

it("names that are nobody's are refused", () => {
  const lab = loadLab(LAB);
  expect(() => lab.send("host1/Nobody", innerOf("a"))).toThrow(RangeError);
  expect(() => lab.policyOf("host9")).toThrow(RangeError);
});

it("captures are written and read", async () => {
  const directory = mkdtempSync(join(tmpdir(), "hnv-index-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "out.pcapng");
  const writer = await createCapture(path, { format: "pcapng", isNanoseconds: true });
  writer.writeFrame(innerOf("a"), { timestampNs: 1_700_000_000_123_456_789n, comments: ["the first"] });
  await writer.finish();
  const frames = [];
  for await (const frame of readFrames(path)) frames.push(frame);
  expect(frames).toEqual([
    expect.objectContaining({ data: innerOf("a"), timestampNs: 1_700_000_000_123_456_789n, comments: ["the first"] }),
  ]);
});
