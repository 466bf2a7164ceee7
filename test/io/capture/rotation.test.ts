import { existsSync, linkSync, readdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type CaptureFormat, portCaptureForm, RotatingCapture, type RotationLimits } from "../../../src/io/index.js";
import { runSync } from "../../oracles/programs.js";
import { isTsharkAvailable } from "../../oracles/tshark.js";
import { readAll, scratchFolder } from "../helpers.js";

const folder = scratchFolder();
const at = (name: string): string => join(folder, name);

/** Long and short ones, so that no file ends where the one before it in its place did. */
const lengthOf = (number: number): number => 14 + ((number * 7919) % 1500);

/** Frame `number`, which says so in its last four octets, as a record. */
function recordOf(number: number, format: CaptureFormat): Uint8Array {
  const length = lengthOf(number);
  const frame = Buffer.alloc(length + 4, number & 0xff);
  frame.writeUInt32BE(number, length);
  if (format === "pcap") {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(frame.length, 8);
    header.writeUInt32LE(frame.length, 12);
    return Buffer.concat([header, frame]);
  }
  const padded = Math.ceil(frame.length / 4) * 4;
  const block = Buffer.alloc(32 + padded);
  block.writeUInt32LE(6, 0);
  block.writeUInt32LE(block.length, 4);
  block.writeUInt32LE(frame.length, 20);
  block.writeUInt32LE(frame.length, 24);
  frame.copy(block, 28);
  block.writeUInt32LE(block.length, block.length - 4);
  return block;
}

const numberOf = (frame: Uint8Array): number => Buffer.from(frame).readUInt32BE(frame.length - 4);
const numbersIn = async (path: string): Promise<number[]> =>
  (await readAll(path)).frames.map(({ data }) => numberOf(data));

/** It fails at what follows, and says what came before. */
const lengthsByTshark = (path: string): number[] =>
  runSync("sh", ["-c", `tshark -r "${path}" -T fields -e frame.len 2>/dev/null || true`])!
    .trim()
    .split("\n")
    .map(Number);

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

const open = (name: string, limits: RotationLimits = { fileBytes: 20_000, files: 2 }): Promise<RotatingCapture> => {
  const format = name.endsWith(".pcap") ? "pcap" : "pcapng";
  return RotatingCapture.open(at(name), portCaptureForm(format, "host1/nic1"), limits);
};

/** Writes these frames, some at a time. */
async function write(capture: RotatingCapture, format: CaptureFormat, from: number, to: number): Promise<void> {
  for (let number = from; number < to; number += 5)
    await capture.write(Buffer.concat(range(number, Math.min(number + 5, to)).map((each) => recordOf(each, format))));
}

const filesOf = (name: string): string[] =>
  readdirSync(folder)
    .filter((file) => file.startsWith(name))
    .sort();

describe.each(["pcap", "pcapng"] as const)("files of bounded size, %s", (format) => {
  it("take the place of the oldest, and have nothing of it", async () => {
    const capture = await open(`place.${format}`);
    await write(capture, format, 0, 300);
    await capture.finish();
    const last = capture.fileCount;
    expect(last).toBeGreaterThan(8);
    expect(filesOf("place.").filter((file) => file.endsWith(`.${format}`))).toEqual(
      [`place.${last - 1}.${format}`, `place.${last}.${format}`].sort(),
    );
    const kept = [
      ...(await numbersIn(at(`place.${last - 1}.${format}`))),
      ...(await numbersIn(at(`place.${last}.${format}`))),
    ];
    expect(kept.length).toBeGreaterThan(10);
    expect(kept).toEqual(range(300 - kept.length, 300));
  });

  it.skipIf(!isTsharkAvailable())("are whole to tshark when they have taken a place", async () => {
    const capture = await open(`whole.${format}`);
    await write(capture, format, 0, 100);
    await capture.finish();
    const path = at(`whole.${capture.fileCount}.${format}`);
    const lengths = runSync("tshark", ["-r", path, "-T", "fields", "-e", "frame.len"])!; // null if it finds anything wrong
    const count = lengths.trim().split("\n").length;
    expect(lengths.trim().split("\n").map(Number)).toEqual(range(100 - count, 100).map((each) => lengthOf(each) + 4));
  });

  it.skipIf(!isTsharkAvailable())("can be read up to what was written, should nobody end them", async () => {
    const capture = await open(`killed.${format}`);
    let marked = 0;
    for (let number = 0; number < 200; number += 5) {
      await write(capture, format, number, number + 5);
      const partial = at(`killed.${capture.fileCount}.${format}.partial`);
      writeFileSync(at("copy"), readFileSync(partial));
      const { frames } = await readAll(at("copy"));
      const numbers = frames.map(({ data }) => numberOf(data));
      expect(numbers).toEqual(range(number + 5 - numbers.length, number + 5));
      if (number % 25 === 0) expect(lengthsByTshark(at("copy"))).toEqual(numbers.map((each) => lengthOf(each) + 4));
      if (readFileSync(at("copy")).includes(Buffer.alloc(16, 0xff))) marked++;
    }
    expect(marked).toBeGreaterThan(20); // or nothing was tried
    await capture.abandon();
  });

  it("that are given up are cut to what was written", async () => {
    const capture = await open(`given-up.${format}`);
    await write(capture, format, 0, 103);
    await capture.abandon();
    const { frames, error } = await readAll(at(`given-up.${capture.fileCount}.${format}.partial`));
    expect(error).toBeUndefined();
    expect(frames.map(({ data }) => numberOf(data))).toEqual(range(103 - frames.length, 103));
  });
});

describe("what is not written over", () => {
  it("a file that has another name: somebody keeps it", async () => {
    const capture = await open("linked.pcap");
    for (let number = 0; !existsSync(at("linked.1.pcap")); number += 5)
      await write(capture, "pcap", number, number + 5);
    linkSync(at("linked.1.pcap"), at("keep"));
    const before = readFileSync(at("keep"));
    await write(capture, "pcap", 1000, 1100);
    await capture.finish();
    expect(existsSync(at("linked.1.pcap"))).toBe(false);
    expect(readFileSync(at("keep"))).toEqual(before);
  });

  it("where a link leads that somebody put in a file's place", async () => {
    const capture = await open("replaced.pcap");
    for (let number = 0; !existsSync(at("replaced.1.pcap")); number += 5)
      await write(capture, "pcap", number, number + 5);
    writeFileSync(at("elsewhere"), "something else");
    unlinkSync(at("replaced.1.pcap"));
    symlinkSync(at("elsewhere"), at("replaced.1.pcap"));
    await write(capture, "pcap", 1000, 1100);
    await capture.finish();
    expect(readFileSync(at("elsewhere"), "utf8")).toBe("something else");
    expect(filesOf("replaced.")).toHaveLength(2);
  });

  it("nothing, where somebody took the oldest file away", async () => {
    const capture = await open("taken.pcap");
    for (let number = 0; !existsSync(at("taken.1.pcap")); number += 5) await write(capture, "pcap", number, number + 5);
    unlinkSync(at("taken.1.pcap"));
    await write(capture, "pcap", 1000, 1100);
    await capture.finish();
    expect(filesOf("taken.")).toHaveLength(2);
    expect(await numbersIn(at(filesOf("taken.").at(-1)!))).toContain(1099);
  });
});
