import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  allocateStream,
  CaptureError,
  type CaptureFormat,
  createCapture,
  formatFor,
  PlainMemory,
} from "../../../src/io/index.js";
import { HAS_TOOLS, hasTool, hex, PYTHON, putFrame, readAll, run, scratchFolder } from "../helpers.js";

const folder = scratchFolder();
const at = (name: string): string => join(folder, name);

/** An Ethernet frame of `length` bytes that tells its number. */
function frameOf(number: number, length: number): Uint8Array {
  const frame = Buffer.alloc(length, number & 0xff);
  frame.write("06060000000706060000000588b5", "hex");
  return new Uint8Array(frame);
}

const LENGTHS = [14, 15, 16, 17, 60, 1514, 9014, 65_549];
const timeOf = (number: number): bigint => 1_700_000_000_000_000_000n + BigInt(number) * 1_000_003n;

/** Writes frames 0…count-1 through a stream in the given order and returns the path. */
async function write(
  name: string,
  format: CaptureFormat,
  isNanoseconds: boolean,
  order: readonly number[],
): Promise<string> {
  const memory = new PlainMemory();
  const path = at(name);
  const writer = await createCapture(path, { format, isNanoseconds });
  const stream = allocateStream(memory, 300_000, 64, writer.gapBytes);
  for (const [place, number] of order.entries()) {
    const frame = frameOf(number, LENGTHS[number % LENGTHS.length]!);
    // A burst ends every 8 frames; frames are out of order within a burst only.
    if (place % 8 === 0 && !stream.hasRoom(200_000, 8)) await writer.drainStream(stream);
    putFrame(stream, frame, {
      timestampNs: timeOf(number),
      sequence: (number - 20) >>> 0,
      missing: number % 5 === 0 ? 7 : 0,
    });
  }
  await writer.drainStream(stream);
  await writer.finish();
  expect(writer.frameCount).toBe(order.length);
  expect(stream.overflow).toBe(0);
  return path;
}

const COUNT = 400;
const inOrder = Array.from({ length: COUNT }, (_, number) => number);
/** Every burst of 8 backwards. */
const disordered = inOrder.map((number) => (number & ~7) + 7 - (number & 7));

describe.skipIf(!HAS_TOOLS)("what is written", () => {
  for (const format of ["pcap", "pcapng"] as const)
    for (const isNanoseconds of [true, false])
      for (const [how, order] of [
        ["in order", inOrder],
        ["out of order", disordered],
      ] as const) {
        it(`${format}, ${isNanoseconds ? "ns" : "µs"}, frames that come ${how}: tshark reads them back`, async () => {
          const path = await write(`${format}-${isNanoseconds}-${how.length}`, format, isNanoseconds, order);
          const lines = run(
            "tshark",
            "-r",
            path,
            "-T",
            "fields",
            "-e",
            "frame.time_epoch",
            "-e",
            "frame.len",
            "-e",
            "frame.cap_len",
          )
            .trim()
            .split("\n");
          const expected = inOrder.map((number) => {
            const time = isNanoseconds ? timeOf(number) : (timeOf(number) / 1000n) * 1000n;
            const fraction = String(time % 1_000_000_000n).padStart(9, "0");
            const length = LENGTHS[number % LENGTHS.length]!;
            return `${time / 1_000_000_000n}.${fraction}\t${length + (number % 5 === 0 ? 7 : 0)}\t${length}`;
          });
          expect(lines).toEqual(expected);
          const { frames } = await readAll(path);
          for (const [number, { data }] of frames.entries())
            expect(hex(data)).toBe(hex(frameOf(number, LENGTHS[number % LENGTHS.length]!)));
          const type = run("capinfos", "-t", path);
          const pcapName = isNanoseconds ? "nanosecond pcap" : "Wireshark/tcpdump/... - pcap";
          expect(type).toContain(format === "pcapng" ? "Wireshark/... - pcapng" : pcapName);
        });
      }

  it("comments, direction, packet id and interface names are there for tshark", async () => {
    const path = at("comments.pcapng");
    const writer = await createCapture(path, { format: "pcapng", isNanoseconds: true });
    const vm = writer.addInterface({ name: "host1/Blue1", description: "a VM's port" });
    const nic = writer.addInterface({ name: "host1/nic1", isNanoseconds: false });
    const details = { timestampNs: 1_700_000_000_123_456_789n, packetId: 77n };
    writer.writeFrame(frameOf(1, 61), {
      ...details,
      interfaceId: vm,
      direction: "inbound",
      comments: ["TX_NO_ROUTE", "né"],
    });
    writer.writeFrame(frameOf(2, 60), { ...details, interfaceId: nic, direction: "outbound", originalLength: 99 });
    await writer.finish();
    const fields = ["interface_name", "time_epoch", "packet_flags_direction", "packet_id", "comment", "len", "cap_len"];
    const lines = run("tshark", "-r", path, "-T", "fields", ...fields.flatMap((field) => ["-e", `frame.${field}`]));
    expect(lines.trimEnd().split("\n")).toEqual([
      "host1/Blue1\t1700000000.123456789\t0x00000001\t77\tTX_NO_ROUTE,né\t61\t61",
      "host1/nic1\t1700000000.123456000\t0x00000002\t77\t\t99\t60",
    ]);
    const { frames } = await readAll(path);
    expect(frames.map(({ comments, interfaceId }) => [comments, interfaceId])).toEqual([
      [["TX_NO_ROUTE", "né"], 0],
      [[], 1],
    ]);
  });

  it("single frames and streams keep their order in one file", async () => {
    const memory = new PlainMemory();
    const writer = await createCapture(at("both.pcap"), { format: "pcap", isNanoseconds: true });
    const stream = allocateStream(memory, 100_000, 16, writer.gapBytes);
    for (let number = 0; number < 30; number += 3) {
      writer.writeFrame(frameOf(number, 60), { timestampNs: timeOf(number) });
      putFrame(stream, frameOf(number + 1, 60), { timestampNs: timeOf(number + 1), sequence: number });
      putFrame(stream, frameOf(number + 2, 60), { timestampNs: timeOf(number + 2), sequence: number });
      await writer.drainStream(stream);
    }
    await writer.finish();
    const { frames } = await readAll(at("both.pcap"));
    expect(frames.map(({ timestampNs }) => timestampNs)).toEqual(inOrder.slice(0, 30).map(timeOf));
    expect(run("tshark", "-r", at("both.pcap")).trim().split("\n").length).toBe(30);
  });

  it.each([
    ["the last second", 0xffff_ffffn, "pcap", true],
    ["the second behind it", 0x1_0000_0000n, "pcap", false],
    ["the second behind it", 0x1_0000_0000n, "pcapng", true],
    ["before 1970", BigInt.asUintN(64, -5_000_000_000n) / 1_000_000_000n, "pcap", false],
  ] as const)("%s that pcap can tell (%i) in %s: %s", async (_, seconds, format, fits) => {
    const timestampNs = seconds * 1_000_000_000n + 7n;
    const path = at(`late-${seconds}.${format}`);
    const memory = new PlainMemory();
    const writer = await createCapture(path, { format, isNanoseconds: true });
    const stream = allocateStream(memory, 10_000, 8, writer.gapBytes);
    putFrame(stream, frameOf(1, 60), { timestampNs: timeOf(1), sequence: 1 });
    putFrame(stream, frameOf(2, 60), { timestampNs, sequence: 2 });
    const written = writer.drainStream(stream).then(() => writer.finish());
    if (fits) {
      await written;
      expect((await readAll(path)).frames.map((frame) => frame.timestampNs)).toEqual([timeOf(1), timestampNs]);
    } else {
      await expect(written).rejects.toThrow(/a frame's time is not between 1970 and 2106, .* use a name in \.pcapng$/);
      await writer.abandon();
      expect((await readAll(`${path}.partial`)).frames.map((frame) => frame.timestampNs)).toEqual([timeOf(1)]);
    }
  });

  it("a pipe is written in place", async () => {
    const fifo = at("out-fifo");
    run("mkfifo", fifo);
    const shell = 'cat "$1" | tshark -r - -T fields -e frame.len';
    const tshark = spawn("sh", ["-c", shell, "sh", fifo], { stdio: ["ignore", "pipe", "ignore"] });
    let text = "";
    tshark.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    await write("out-fifo", "pcapng", true, inOrder);
    await once(tshark, "close");
    expect(text.trim().split("\n").length).toBe(COUNT);
    expect(existsSync(`${fifo}.partial`)).toBe(false);
  });
});

describe("files", () => {
  const OPTIONS = { format: "pcap", isNanoseconds: true } as const;

  it("the type follows the suffix, else the input", () => {
    expect(formatFor("a.pcapng", "pcap")).toBe("pcapng");
    expect(formatFor("a.PCAP", "pcapng")).toBe("pcap");
    expect(formatFor("-", "pcapng")).toBe("pcapng");
    expect(formatFor("a.cap", "pcap")).toBe("pcap");
  });

  it("a file has its name only when it is whole; a link stays a link", async () => {
    writeFileSync(at("real.pcap"), "old");
    symlinkSync("real.pcap", at("link.pcap"));
    const writer = await createCapture(at("link.pcap"), OPTIONS);
    writer.writeFrame(frameOf(1, 60), { timestampNs: 0n });
    expect(readFileSync(at("real.pcap"), "utf8")).toBe("old");
    expect(existsSync(at("real.pcap.partial"))).toBe(true);
    await writer.finish();
    expect(existsSync(at("real.pcap.partial"))).toBe(false);
    expect(statSync(at("real.pcap")).size).toBe(24 + 16 + 60);
    expect((await readAll(at("link.pcap"))).frames.length).toBe(1);
  });

  it("abandoned: what was written stays as FILE.partial, whole", async () => {
    const writer = await createCapture(at("abandoned.pcap"), OPTIONS);
    for (let number = 0; number < 3; number++) writer.writeFrame(frameOf(number, 60), { timestampNs: 0n });
    await writer.abandon();
    expect(existsSync(at("abandoned.pcap"))).toBe(false);
    expect((await readAll(at("abandoned.pcap.partial"))).frames.length).toBe(3);
  });

  it.each([
    ["a directory", () => folder, "CAPTURE_DIRECTORY"],
    ["a folder that is missing", () => at("no/such.pcap"), "CAPTURE_UNWRITABLE"],
  ])("%s cannot be written", async (_, path, code) => {
    mkdirSync(at("folder"), { recursive: true });
    await expect(createCapture(path(), OPTIONS)).rejects.toMatchObject({ code });
  });

  it("a full device ends the run with one typed error, again and again the same", async () => {
    const writer = await createCapture("/dev/full", OPTIONS);
    writer.writeFrame(frameOf(1, 60), { timestampNs: 0n });
    const error = await writer.finish().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(CaptureError);
    expect(error).toMatchObject({ code: "CAPTURE_DISK_FULL", offset: 0 });
    expect((error as CaptureError).message).toMatch(/^\/dev\/full: cannot be written on: no space left/);
    await writer.abandon();
  });

  it.skipIf(!hasTool(PYTHON, "--version"))("a closed pipe ends the run with one typed error", async () => {
    const fifo = at("closed");
    run("mkfifo", fifo);
    const script = "import sys; source = open(sys.argv[1], 'rb', buffering=0); source.read(100)";
    const reader = spawn(PYTHON, ["-c", script, fifo], { stdio: "ignore" });
    const memory = new PlainMemory();
    const writer = await createCapture(fifo, OPTIONS);
    const stream = allocateStream(memory, 1_000_000, 16, writer.gapBytes);
    const writing = (async () => {
      for (let number = 0; number < 1000; number++) {
        for (let i = 0; i < 10; i++)
          putFrame(stream, frameOf(i, 60_000), { timestampNs: 0n, sequence: 10 * number + i });
        await writer.drainStream(stream);
      }
    })();
    await expect(writing).rejects.toMatchObject({ code: "CAPTURE_PIPE_CLOSED" });
    await writer.abandon();
    if (reader.exitCode === null) await once(reader, "close");
  });

  // A limit on the size of files stands in for a full disk: the last write is cut anywhere.
  for (const format of ["pcap", "pcapng"] as const)
    it.skipIf(!hasTool("prlimit", "--version"))(
      `a ${format} that finds no more room keeps its whole frames`,
      async () => {
        const name = at(`limited.${format}`);
        const memory = new PlainMemory();
        const writer = await createCapture(name, { format, isNanoseconds: true });
        const stream = allocateStream(memory, 100_000, 64, writer.gapBytes);
        const ignore = (): void => {};
        process.on("SIGXFSZ", ignore);
        run("prlimit", "--pid", String(process.pid), "--fsize=100003:");
        try {
          const writing = (async () => {
            for (let number = 0; number < 1000; number++) {
              for (let i = 0; i < 10; i++)
                putFrame(stream, frameOf(i, 1001), { timestampNs: 0n, sequence: 10 * number + i });
              await writer.drainStream(stream);
            }
          })();
          await expect(writing).rejects.toBeInstanceOf(CaptureError);
          await writer.abandon();
        } finally {
          run("prlimit", "--pid", String(process.pid), "--fsize=unlimited:");
          process.off("SIGXFSZ", ignore);
        }
        expect(existsSync(name)).toBe(false);
        const { frames, error } = await readAll(`${name}.partial`);
        expect(error).toBeUndefined();
        expect(frames.length).toBe(format === "pcap" ? 98 : Math.floor((100_003 - 80) / (1001 + 3 + 32)));
      },
    );
});
