import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CaptureReader } from "../../../src/io/capture/reader.js";
import { createRewriter, openCapture, PlainMemory } from "../../../src/io/index.js";
import { HAS_TOOLS, hex, makeSpecimens, pump, readAll, rewrite, run, scratchFolder } from "../helpers.js";

const folder = scratchFolder();
const at = (name: string): string => join(folder, name);

/** Per frame: time, length, interface and comment, as tshark reads them. */
function described(path: string): string[][] {
  const fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.interface_id", "frame.comment"];
  return run("tshark", "-r", path, "-T", "fields", ...fields.flatMap((field) => ["-e", field]))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}

describe.skipIf(!HAS_TOOLS)("rewriting", () => {
  const { files } = HAS_TOOLS ? makeSpecimens(folder) : { files: [] };
  const GROWTH = 42;

  for (const { name, path } of files) {
    it(`${name}: longer frames in the same form, and the identical file after the way back`, async () => {
      const longer = at(`longer-${name}`);
      const back = at(`back-${name}`);
      await rewrite(path, longer, GROWTH);
      await rewrite(longer, back, -GROWTH);

      const expected = described(path).map(([time, length, captured, ...rest]) => [
        time,
        String(Number(length) + GROWTH),
        String(Number(captured) + GROWTH),
        ...rest,
      ]);
      expect(described(longer)).toEqual(expected);
      const frames = (await readAll(path)).frames.map(({ data }) => "5a".repeat(GROWTH) + hex(data));
      expect((await readAll(longer)).frames.map(({ data }) => hex(data))).toEqual(frames);
      expect(readFileSync(back).equals(readFileSync(path))).toBe(true);
    });
  }

  it("a length limit that does not hold the longer frames is raised", async () => {
    await rewrite(at("snaplen.pcap"), at("raised.pcap"), GROWTH);
    expect(readFileSync(at("raised.pcap")).readUInt32LE(16)).toBe(9014 + 66);
  });

  it("a length limit is not lowered below the longest frame", async () => {
    await rewrite(at("snaplen.pcap"), at("lowered.pcap"), -1);
    expect(readFileSync(at("lowered.pcap")).readUInt32LE(16)).toBe(9014 - 66);
    // The longest frame has 8942 bytes; seen through a limit of 8942 it stands in the way.
    const bytes = readFileSync(at("snaplen.pcap"));
    bytes.writeUInt32LE(8942, 16);
    const { writeFileSync } = await import("node:fs");
    writeFileSync(at("tight.pcap"), bytes);
    await rewrite(at("tight.pcap"), at("lowered.pcap"), -1);
    expect(readFileSync(at("lowered.pcap")).readUInt32LE(16)).toBe(8942);
  });

  it("unknown blocks, names and statistics stay in their places when frames are left out", async () => {
    const memory = new PlainMemory();
    const reader = await openCapture(at("blocks-big.pcapng"), memory, { keepsBlocks: true, chunkBytes: 4096 });
    const output = await createRewriter(reader, at("sparse.pcapng"), { frameGrowth: 0 });
    const seen = await pump(reader, memory, output, (frame, index) => (index % 2 === 0 ? frame : undefined));
    await reader.close();
    await output.finish();
    expect([seen, output.frameCount]).toEqual([8, 4]);
    const types = (path: string): number[] => {
      const bytes = readFileSync(path);
      const list: number[] = [];
      let isBig = true;
      for (let cursor = 0; cursor < bytes.length; ) {
        if (bytes.readUInt32BE(cursor) === 0x0a0d0d0a) isBig = bytes.readUInt32BE(cursor + 8) === 0x1a2b3c4d;
        list.push(isBig ? bytes.readUInt32BE(cursor) : bytes.readUInt32LE(cursor));
        cursor += isBig ? bytes.readUInt32BE(cursor + 4) : bytes.readUInt32LE(cursor + 4);
      }
      return list;
    };
    const SHB = 0x0a0d0d0a;
    expect(types(at("blocks-big.pcapng"))).toEqual([
      ...[SHB, 1, 1, 1, 1, 4, 6, 6, 0xabcd, 6, 6, 2, 3, 3, 5],
      ...[SHB, 1, 6, 0x80000abc],
    ]);
    expect(types(at("sparse.pcapng"))).toEqual([SHB, 1, 1, 1, 1, 4, 6, 0xabcd, 6, 2, 3, 5, SHB, 1, 0x80000abc]);
    expect(described(at("sparse.pcapng")).length).toBe(4);
  });

  it.each([1, 13, 100, 5000])(
    "a file that comes in pieces of %i octets, as from a pipe, stays what it is",
    async (size) => {
      const input = readFileSync(at("blocks-little.pcapng"));
      let cursor = 0;
      const pieces = {
        read: async (target: () => Uint8Array) => {
          const piece = input.subarray(cursor, cursor + size);
          target().set(piece);
          cursor += piece.length;
          return piece.length;
        },
        close: async () => {},
      };
      const memory = new PlainMemory();
      const reader = new CaptureReader("pieces", pieces, memory, { keepsBlocks: true });
      await reader.begin();
      const output = await createRewriter(reader, at("pieces.pcapng"), { frameGrowth: 0 });
      await pump(reader, memory, output, (frame) => frame);
      await reader.close();
      await output.finish();
      expect(reader.damage).toBeUndefined();
      expect(readFileSync(at("pieces.pcapng")).equals(input)).toBe(true);
    },
  );

  it("an output that begins later starts with the section and its interfaces", async () => {
    const memory = new PlainMemory();
    const reader = await openCapture(at("mergecap.pcapng"), memory, { keepsBlocks: true, chunkBytes: 4096 });
    const rows = memory.allocate(64);
    for (let read = 0; read < 9; ) {
      const found = reader.fill(rows, 0, 1, 1_000_000);
      read += found;
      if (found === 0) expect(await reader.more()).toBe(true);
    }
    expect(await reader.more()).toBe(true);
    const output = await createRewriter(reader, at("late.pcapng"), { frameGrowth: 0 });
    const seen = await pump(reader, memory, output, (frame) => frame);
    await reader.close();
    await output.finish();
    expect(seen).toBeGreaterThan(0);
    expect(described(at("late.pcapng"))).toEqual(described(at("mergecap.pcapng")).slice(-seen));
  });

  it.each([
    ["big-nano.pcap", "converted.pcapng"],
    ["blocks-little.pcapng", "converted.pcap"],
  ])("%s to %s: frames and times are carried over", async (from, to) => {
    const memory = new PlainMemory();
    const reader = await openCapture(at(from), memory, { keepsBlocks: true });
    const output = await createRewriter(reader, at(to), { frameGrowth: 0 });
    await pump(reader, memory, output, (frame) => frame);
    await reader.close();
    await output.finish();
    const [before, after] = [await readAll(at(from)), await readAll(at(to))];
    expect(after.error).toBeUndefined();
    expect(after.frames.map(({ data, timestampNs }) => [hex(data), timestampNs])).toEqual(
      before.frames.map(({ data, timestampNs }) => [hex(data), timestampNs]),
    );
    expect(described(at(to)).length).toBe(8);
  });
});
