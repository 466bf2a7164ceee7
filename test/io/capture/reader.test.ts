import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { HAS_TOOLS, hex, makeSpecimens, readAll, run, scratchFolder } from "../helpers.js";

const folder = scratchFolder();

/** What tshark reads: one line per frame. */
function tsharkFrames(path: string): { time: string; length: number; captured: number }[] {
  const fields = ["frame.time_epoch", "frame.len", "frame.cap_len"].flatMap((field) => ["-e", field]);
  return run("tshark", "-r", path, "-T", "fields", ...fields)
    .trim()
    .split("\n")
    .map((line) => {
      const [time, length, captured] = line.split("\t");
      return { time: time!, length: Number(length), captured: Number(captured) };
    });
}

/** Nanoseconds as tshark prints an epoch. */
const epoch = (ns: bigint): string => `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, "0")}`;

describe.skipIf(!HAS_TOOLS)("captures written by others", () => {
  const { frames: raw, files } = HAS_TOOLS ? makeSpecimens(folder) : { frames: [], files: [] };

  for (const { name, path } of files) {
    it(`${name}: frames, times and lengths as tshark reads them`, async () => {
      const { frames, error } = await readAll(path);
      expect(error).toBeUndefined();
      const expected = tsharkFrames(path);
      expect(frames.length).toBe(expected.length);
      expect(frames.length).toBeGreaterThanOrEqual(8);
      for (const [index, frame] of frames.entries()) {
        const { time, length, captured } = expected[index]!;
        expect(frame.originalLength).toBe(length);
        expect(frame.data.length).toBe(captured);
        // Simple packet blocks have no time; ours is that of the frame before, so that merging keeps their place.
        if (time) expect(epoch(frame.timestampNs)).toBe(time);
      }
      const order = name.startsWith("blocks") ? [0, 1, 2, 3, 4, 5, 7, 6] : raw.map((_, index) => index);
      const once = order.map((index) => raw[index]);
      expect(frames.map(({ data }) => hex(data))).toEqual(name.startsWith("mergecap") ? [...once, ...once] : once);
    });
  }

  it("text2pcap", async () => {
    const path = join(folder, "text2pcap.pcapng");
    execFileSync("text2pcap", ["-q", "-", path], { input: "0000 06 06 00 00 00 07 06 06 00 00 00 05 88 b5 01\n" });
    const { frames } = await readAll(path);
    expect(frames.map(({ data }) => hex(data))).toEqual(["06060000000706060000000588b501"]);
  });
});
