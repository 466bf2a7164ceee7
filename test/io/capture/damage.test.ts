import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CaptureError, openCapture, PlainMemory } from "../../../src/io/index.js";
import { HAS_TOOLS, hex, makeSpecimens, PYTHON, readAll, run, scratchFolder } from "../helpers.js";

const folder = scratchFolder();
const at = (name: string): string => join(folder, name);

function file(name: string, bytes: Uint8Array | string): string {
  writeFileSync(at(name), bytes);
  return at(name);
}

/** Where each record or block of a sound capture ends, and whether it is a packet; told without our reader. */
function recordEnds(bytes: Buffer): { end: number; isPacket: boolean }[] {
  const ends: { end: number; isPacket: boolean }[] = [];
  const magic = bytes.readUInt32BE(0);
  if (magic === 0x0a0d0d0a) {
    let big = true;
    for (let cursor = 0; cursor < bytes.length; ) {
      if (bytes.readUInt32BE(cursor) === 0x0a0d0d0a) big = bytes.readUInt32BE(cursor + 8) === 0x1a2b3c4d;
      const type = big ? bytes.readUInt32BE(cursor) : bytes.readUInt32LE(cursor);
      cursor += big ? bytes.readUInt32BE(cursor + 4) : bytes.readUInt32LE(cursor + 4);
      ends.push({ end: cursor, isPacket: [2, 3, 6].includes(type) });
    }
    return ends;
  }
  const big = magic >>> 16 === 0xa1b2;
  const header = magic === 0xa1b2cd34 || magic === 0x34cdb2a1 ? 24 : 16;
  ends.push({ end: 24, isPacket: false });
  for (let cursor = 24; cursor < bytes.length; ) {
    cursor += header + (big ? bytes.readUInt32BE(cursor + 8) : bytes.readUInt32LE(cursor + 8));
    ends.push({ end: cursor, isPacket: true });
  }
  return ends;
}

describe.skipIf(!HAS_TOOLS)("damage", () => {
  mkdirSync(at("specimens"));
  const { files } = HAS_TOOLS ? makeSpecimens(at("specimens")) : { files: [] };

  for (const { name, path } of files) {
    it(`${name} cut at every 97th byte: all frames before the cut, then one error with its byte`, async () => {
      const bytes = readFileSync(path);
      const whole = (await readAll(path)).frames;
      const ends = recordEnds(bytes);
      const copy = file(`cut-${name}`, bytes);
      for (let cut = bytes.length - (bytes.length % 97); cut >= 0; cut -= 97) {
        truncateSync(copy, cut);
        const { frames, error } = await readAll(copy);
        const before = ends.filter(({ end }) => end <= cut);
        expect(frames).toEqual(whole.slice(0, before.filter(({ isPacket }) => isPacket).length));
        const lastEnd = before.at(-1)?.end ?? 0;
        if (cut === 0) expect(error?.code).toBe("CAPTURE_EMPTY");
        else if (lastEnd === cut) expect(error).toBeUndefined();
        else {
          expect(error?.code).toBe("CAPTURE_TRUNCATED");
          expect(error?.offset).toBe(lastEnd);
          expect(error?.message).toContain(`cut-${name}: `);
          expect(error?.message).toContain(`at byte ${lastEnd}`);
        }
      }
    });
  }

  it("random damage: frames or one CaptureError, the frames before the damage unharmed, never anything else", async () => {
    const originals = await Promise.all(
      files.map(async ({ path }) => ({ bytes: readFileSync(path), frames: (await readAll(path)).frames })),
    );
    const damage = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), fc.nat(255)), {
      minLength: 1,
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(fc.nat(files.length - 1), damage, async (index, hits) => {
        const { bytes, frames } = originals[index]!;
        const broken = Buffer.from(bytes);
        const places = hits.map(([where, value]) => {
          // Half of the hits go to the first 2,000 bytes, where the headers are dense.
          const place = Math.floor(
            where < 0.5 ? where * 2 * Math.min(2000, bytes.length) : (where - 0.5) * 2 * bytes.length,
          );
          broken[place] = value;
          return place;
        });
        const first = Math.min(...places);
        const result = await readAll(file("broken", broken));
        const unharmed = recordEnds(bytes).filter(({ end, isPacket }) => isPacket && end <= first).length;
        expect(result.frames.slice(0, unharmed)).toEqual(frames.slice(0, unharmed));
        if (result.error) expect(result.error.offset).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 400 },
    );
  });

  it("frames cut by the capture's own limit keep their length on the wire", async () => {
    run("editcap", "-s", "60", at("specimens/big-nano.pcap"), at("cut.pcap"));
    const { frames, error } = await readAll(at("cut.pcap"));
    expect(error).toBeUndefined();
    expect(frames.map(({ data, originalLength }) => [data.length, originalLength])).toEqual([
      [45, 45],
      [54, 54],
      [60, 762],
      [42, 42],
      [23, 23],
      [14, 14],
      [60, 8942],
      [60, 1043],
    ]);
  });

  it.each(["pcap", "pcapng"])("a foreign link type in %s is refused by name and number", async (format) => {
    const path = at(`sll.${format}`);
    execFileSync("text2pcap", ["-q", "-F", format, "-l", "113", "-", path], { input: "0000 00 00 00 01 00 06\n" });
    const { frames, error } = await readAll(path);
    expect(frames).toEqual([]);
    expect(error?.code).toBe("CAPTURE_LINK_TYPE");
    expect(error?.message).toMatch(/LINUX_SLL \(113\); only ETHERNET \(1\)/);
  });

  it("a foreign link type behind Ethernet frames ends the capture there", async () => {
    const sll = at("sll-2.pcap");
    execFileSync("text2pcap", ["-q", "-F", "pcap", "-l", "276", "-", sll], { input: "0000 00 00 00 01 00 06\n" }); // today
    run("mergecap", "-w", at("mixed.pcapng"), at("specimens/big-nano.pcap"), sll);
    const { frames, error } = await readAll(at("mixed.pcapng"));
    expect(frames.length).toBe(8);
    expect(error?.code).toBe("CAPTURE_LINK_TYPE");
    expect(error?.message).toMatch(/LINUX_SLL2 \(276\)/);
    expect(error?.offset).toBeGreaterThan(0);
  });

  it("gzip: read whole; cut: the frames before, then the damage", async () => {
    const path = at("specimens/blocks-big.pcapng");
    const { frames } = await readAll(path);
    const packed = gzipSync(readFileSync(path));
    expect((await readAll(file("packed", packed))).frames).toEqual(frames);
    expect(packed.length).toBeGreaterThan(300);

    const cut = await readAll(file("packed-cut", packed.subarray(0, packed.length - 100)));
    expect(cut.error?.code).toBe("CAPTURE_COMPRESSED_DATA");
    expect(cut.frames.length).toBeGreaterThan(0);
    expect(cut.frames).toEqual(frames.slice(0, cut.frames.length));
    const checksum = Buffer.from(packed);
    checksum[packed.length - 8]! ^= 0xff;
    const wrong = await readAll(file("packed-wrong", checksum));
    expect(wrong.error?.code).toBe("CAPTURE_COMPRESSED_DATA");
  });

  it("a FIFO is read as the bytes come", async () => {
    const fifo = at("fifo");
    run("mkfifo", fifo);
    const writer = `
import sys, time
data = open(sys.argv[1], "rb").read()
with open(sys.argv[2], "wb", buffering=0) as out:
    for at in range(0, len(data), 1000):
        out.write(data[at:at + 1000]); time.sleep(0.002)
`;
    spawn(PYTHON, ["-c", writer, at("specimens/blocks-little.pcapng"), fifo], { stdio: "ignore" });
    const { frames, error } = await readAll(fifo);
    expect(error).toBeUndefined();
    expect(frames).toEqual((await readAll(at("specimens/blocks-little.pcapng"))).frames);
  });
});

describe("not a capture", () => {
  const cases: readonly [name: string, make: () => string, code: string, words: RegExp][] = [
    ["a directory", () => folder, "CAPTURE_DIRECTORY", /is a directory/],
    ["nothing", () => at("missing.pcap"), "CAPTURE_UNREADABLE", /missing\.pcap: cannot be opened: no such file/],
    ["an empty file", () => file("empty", ""), "CAPTURE_EMPTY", /is empty/],
    ["an empty device", () => "/dev/null", "CAPTURE_EMPTY", /is empty/],
    ["zeros without end", () => "/dev/zero", "CAPTURE_UNKNOWN_FORMAT", /neither a pcap nor a pcapng/],
    ["text", () => file("text", "Destination,Source\n"), "CAPTURE_UNKNOWN_FORMAT", /neither a pcap nor a pcapng/],
    ["three bytes", () => file("three", "\xd4\xc3\xb2"), "CAPTURE_UNKNOWN_FORMAT", /neither/],
    ["bzip2", () => file("bz", "BZh91AY&SY"), "CAPTURE_COMPRESSION", /bzip2.*bunzip2/],
    ["xz", () => file("xz", Buffer.from("fd377a585a000004", "hex")), "CAPTURE_COMPRESSION", /xz.*unxz/],
  ];
  it.each(cases)("%s", async (_, make, code, words) => {
    const { frames, error } = await readAll(make());
    expect(frames).toEqual([]);
    expect(error?.code).toBe(code);
    expect(error?.message).toMatch(words);
  });

  it("zstd is read where Node.js can, else refused with what would be needed", async () => {
    const frame = Buffer.from("28b52ffd200100004e", "hex"); // a frame whose content is "N"
    const { error } = await readAll(file("zst", frame));
    const canRead = "createZstdDecompress" in (await import("node:zlib"));
    expect(error?.code).toBe(canRead ? "CAPTURE_UNKNOWN_FORMAT" : "CAPTURE_COMPRESSION");
    if (!canRead) expect(error?.message).toMatch(/zstd; reading it needs Node\.js 22\.15 or newer; .*unzstd/);
  });
});

describe("impossible headers", () => {
  const PCAP = "d4c3b2a1" + "02000400" + "00000000" + "00000000" + "00000400" + "01000000";
  const RECORD = "00f15365" + "01000000" + "0e000000" + "0e000000" + "060600000007060600000005" + "88b5";
  const SECTION = "0a0d0d0a" + "1c000000" + "4d3c2b1a" + "01000000" + "ffffffffffffffff" + "1c000000";
  const INTERFACE = "01000000" + "14000000" + "01000000" + "00000000" + "14000000";
  const packet = (length: string, id: string, captured: string, trailer = length): string =>
    `06000000${length}${id}0000000000000000${captured}0e000000${"06".repeat(14)}0000${trailer}`;
  const PACKET = packet("30000000", "00000000", "0e000000");

  const cases: readonly [name: string, content: string, frames: number, code: string, offset: number, words: RegExp][] =
    [
      ["pcap 2.2", PCAP.replace("02000400", "02000200"), 0, "CAPTURE_VERSION", 0, /version 2\.2; only 2\.4/],
      ["frame check sequences", PCAP.replace(/01000000$/, "01000024"), 0, "CAPTURE_FCS", 0, /frame check sequence/],
      ["an unknown link type", PCAP.replace(/01000000$/, "2b010000"), 0, "CAPTURE_LINK_TYPE", 0, /\(299\)/],
      [
        "a huge record",
        `${PCAP}${RECORD}${"01000400".repeat(4)}`,
        1,
        "CAPTURE_LENGTH",
        54,
        /impossible 262145 captured/,
      ],
      ["an empty record", `${PCAP}${RECORD}${"00".repeat(16)}`, 2, "", 0, /^$/],
      ["pcapng 2.0", SECTION.replace("4d3c2b1a01", "4d3c2b1a02"), 0, "CAPTURE_VERSION", 0, /version 2\.0; only 1\.x/],
      [
        "a wrong byte-order magic",
        SECTION.replace("4d3c2b1a", "4d3c2b1b"),
        0,
        "CAPTURE_CORRUPT",
        0,
        /byte-order magic/,
      ],
      [
        "a block of length 0",
        SECTION + INTERFACE + PACKET + "00".repeat(12),
        1,
        "CAPTURE_LENGTH",
        96,
        /length of 0 bytes/,
      ],
      [
        "a block of odd length",
        `${SECTION}${INTERFACE}${PACKET}050000000d000000000000000d`,
        1,
        "CAPTURE_LENGTH",
        96,
        /length of 13 bytes/,
      ],
      [
        "a block of a gigabyte",
        `${SECTION}${INTERFACE}${PACKET}050000000000004000000000`,
        1,
        "CAPTURE_LENGTH",
        96,
        /length of 1073741824 bytes/,
      ],
      [
        "a frame longer than its block",
        SECTION + INTERFACE + PACKET + packet("30000000", "00000000", "18000000"),
        1,
        "CAPTURE_LENGTH",
        96,
        /block of 48 bytes claims 24 captured/,
      ],
      [
        "an interface that is not there",
        SECTION + INTERFACE + PACKET + packet("30000000", "01000000", "0e000000"),
        1,
        "CAPTURE_CORRUPT",
        96,
        /interface 1, which is not described/,
      ],
      [
        "two lengths that differ",
        SECTION + INTERFACE + PACKET + packet("30000000", "00000000", "0e000000", "34000000"),
        1,
        "CAPTURE_CORRUPT",
        96,
        /two lengths of a block differ/,
      ],
      [
        "a simple packet block without interface",
        `${SECTION}03000000100000000000000010000000`,
        0,
        "CAPTURE_CORRUPT",
        28,
        /interface 0, which is not described/,
      ],
    ];
  it.each(cases)("%s", async (_, content, count, code, offset, words) => {
    const { frames, error } = await readAll(file("impossible", Buffer.from(content, "hex")));
    expect(frames.length).toBe(count);
    expect(error?.code ?? "").toBe(code);
    expect(error?.message ?? "").toMatch(words);
    expect(error?.offset ?? 0).toBe(offset);
  });

  it("a frame whose original length is below its captured one is whole", async () => {
    const record = RECORD.replace("0e0000000e000000", "0e0000000a000000");
    const { frames } = await readAll(file("odd", Buffer.from(PCAP + record, "hex")));
    expect(frames.map(({ data, originalLength }) => [hex(data), originalLength])).toEqual([
      ["06060000000706060000000588b5", 14],
    ]);
  });

  it("an unknown block larger than the buffers is passed over", async () => {
    const length = 3_000_000;
    const block = Buffer.alloc(length);
    block.writeUInt32LE(0x0abc, 0);
    block.writeUInt32LE(length, 4);
    block.writeUInt32LE(length, length - 4);
    const bytes = (text: string): Buffer => Buffer.from(text, "hex");
    const path = file("large", Buffer.concat([bytes(SECTION + INTERFACE + PACKET), block, bytes(PACKET)]));
    const { frames, error } = await readAll(path);
    expect(error).toBeUndefined();
    expect(frames.length).toBe(2);
    truncateSync(path, 2_000_000);
    const cut = await readAll(path);
    expect(cut.frames.length).toBe(1);
    expect(cut.error?.code).toBe("CAPTURE_TRUNCATED");
    expect(cut.error?.offset).toBe(96);
  });

  it.each([65_536, 4_194_304])(
    "a packet block larger than the buffers' front is damage in pieces of %i octets too",
    async (chunkBytes) => {
      const bytes = (text: string): Buffer => Buffer.from(text, "hex");
      const length = 600_000;
      const block = Buffer.alloc(length); // with options of zero octets behind its frame
      bytes(PACKET).copy(block);
      block.writeUInt32LE(length, 4);
      block.writeUInt32LE(length, length - 4);
      const before = Array<Buffer>(10_000).fill(bytes(PACKET));
      const path = file("wide", Buffer.concat([bytes(SECTION + INTERFACE), ...before, block, bytes(PACKET)]));
      const memory = new PlainMemory();
      const rows = memory.allocate(256 * 64);
      const reader = await openCapture(path, memory, { chunkBytes });
      do {
        while (reader.fill(rows, 0, 256, 1_000_000) > 0);
      } while (await reader.more());
      await reader.close();
      expect(reader.frameCount).toBe(10_000);
      expect(reader.damage).toMatchObject({ code: "CAPTURE_LENGTH", offset: 48 + 10_000 * 48 });
      expect(reader.damage!.message).toContain("impossible length of 600000 bytes");
    },
  );

  it("reading takes the same memory whatever the size of the file", async () => {
    const record = Buffer.from(RECORD, "hex");
    const path = file("long", Buffer.concat([Buffer.from(PCAP, "hex"), ...Array<Buffer>(400_000).fill(record)]));
    const memory = new PlainMemory();
    const rows = memory.allocate(256 * 64);
    const reader = await openCapture(path, memory, { chunkBytes: 65_536 });
    const size = memory.memory.buffer.byteLength;
    let count = 0;
    do {
      for (let found = 1; found > 0; count += found) found = reader.fill(rows, 0, 256, 1_000_000);
    } while (await reader.more());
    await reader.close();
    expect(reader.damage).toBeUndefined();
    expect([count, reader.frameCount]).toEqual([400_000, 400_000]);
    expect(memory.memory.buffer.byteLength).toBe(size);
    expect(size).toBeLessThan(2 * 1024 * 1024);
  });

  it("a burst holds no more bytes than asked for, but at least one frame", async () => {
    const record = Buffer.from(RECORD, "hex");
    const path = file("burst", Buffer.concat([Buffer.from(PCAP, "hex"), record, record, record]));
    const memory = new PlainMemory();
    const rows = memory.allocate(256 * 64);
    const reader = await openCapture(path, memory);
    expect(reader.fill(rows, 0, 256, 28)).toBe(2);
    expect(reader.fill(rows, 0, 256, 1)).toBe(1);
    expect(reader.fill(rows, 0, 256, 1)).toBe(0);
    await reader.close();
    await expect(openCapture(folder, memory)).rejects.toBeInstanceOf(CaptureError);
  });
});
