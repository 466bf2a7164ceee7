/**
 * The committed captures: all described, all readable by another program, small, and what their descriptions say they are.
 * The generated ones come out of their generator byte for byte.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Reason } from "../src/dataplane/drop-reasons.js";
import { firstMissing, run, warnSkipped } from "./oracles/programs.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PCAPS = join(ROOT, "pcaps");
const GENERATOR = join(ROOT, "scripts", "captures", "generate.py");

const README = readFileSync(join(PCAPS, "README.md"), "utf8");
const FILES = readdirSync(PCAPS).filter((name) => name !== "README.md");
const CAPTURES = FILES.filter((name) => /\.pcap(ng)?$/.test(name));
const RECORDED = CAPTURES.filter((name) => /^(blue|ovs|guests)/.test(name));

const MAX_FILE_BYTES = 200_000;
const MAX_TOTAL_BYTES = 1_500_000;

const read = (name: string): Buffer => readFileSync(join(PCAPS, name));
const bytes = (hex: string): Buffer => Buffer.from(hex.replace(/\s+/g, ""), "hex");

/** Frames of a little-endian pcap file; our own reader is not to be trusted here. */
function framesOf(name: string): Buffer[] {
  const file = read(name);
  expect(["d4c3b2a1", "4d3cb2a1"], name).toContain(file.toString("hex", 0, 4));
  const frames: Buffer[] = [];
  for (let at = 24; at < file.length; ) {
    const length = file.readUInt32LE(at + 8);
    expect(file.readUInt32LE(at + 12), `${name}: nothing was cut`).toBe(length);
    frames.push(file.subarray(at + 16, at + 16 + length));
    at += 16 + length;
  }
  return frames;
}

const sourceMac = (frame: Buffer): string => frame.toString("hex", 6, 12);

describe("pcaps/", () => {
  it("has every file in the README, and the README no other", () => {
    const named = [...README.matchAll(/`([a-z0-9-]+\.(?:pcap|pcapng|json))`/g)].map((match) => match[1]!);
    expect([...new Set(named)].sort()).toEqual([...FILES].sort());
  });

  it("stays small", () => {
    const sizes = FILES.map((name) => ({ name, size: statSync(join(PCAPS, name)).size }));
    expect(sizes.filter(({ size }) => size > MAX_FILE_BYTES)).toEqual([]);
    expect(sizes.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(MAX_TOTAL_BYTES);
  });
});

const missingPython = firstMissing(["python3"]);
if (missingPython) warnSkipped("generator of captures", "python3 is not installed");

describe.skipIf(missingPython !== null)("scripts/captures/generate.py", () => {
  it("makes the committed files again, byte for byte", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hnv-pcaps-"));
    try {
      await run("python3", [GENERATOR, "--out", folder]);
      const made = readdirSync(folder);
      expect(made.length).toBeGreaterThan(20);
      expect([...made].sort()).toEqual(FILES.filter((name) => !RECORDED.includes(name)).sort());
      for (const name of made) expect(readFileSync(join(folder, name)).equals(read(name)), name).toBe(true);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

const missingShark = firstMissing(["tshark", "mergecap", "capinfos"]);
if (missingShark) warnSkipped("captures read by tshark", `${missingShark} is not installed (Debian package tshark)`);

describe.skipIf(missingShark !== null)("the captures, read by Wireshark's engine", () => {
  const paths = CAPTURES.map((name) => join(PCAPS, name));

  it("are whole: no error in any file", async () => {
    // Fails at the first file that is cut, corrupt or of an unknown kind.
    const counts = await run("capinfos", ["-C", "-T", "-r", "-c", "-M", ...paths]);
    const rows = counts.trim().split("\n");
    expect(rows).toHaveLength(CAPTURES.length);
    expect(rows.filter((row) => row.endsWith("\t0"))).toHaveLength(1); // format-empty.pcap
  });

  it("are dissected to the last frame", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hnv-pcaps-"));
    try {
      const all = join(folder, "all.pcapng");
      await run("mergecap", ["-w", all, ...paths]);
      // The filter leaves out the custom block of format-blocks.pcapng, a record that is no frame.
      const listed = await run("tshark", [
        "-r",
        all,
        "-Y",
        "frame.encap_type == 1",
        "-T",
        "fields",
        "-e",
        "frame.number",
      ]);
      const counts = await run("capinfos", ["-T", "-r", "-c", "-M", ...paths]);
      const sum = counts
        .trim()
        .split("\n")
        .reduce((total, row) => total + Number(row.split("\t").at(-1)), 0);
      expect(listed.trim().split("\n")).toHaveLength(sum);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("hold no wrong checksum where none is meant: offloads were off, and the generator can add", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hnv-pcaps-"));
    try {
      const sound = join(folder, "sound.pcapng");
      await run("mergecap", [
        "-w",
        sound,
        ...paths.filter((path) => /^(blue|ovs|guests|mixed|worked)/.test(basename(path))),
      ]);
      // No reassembly: the same stream occurs in several of the merged files.
      const preferences = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"]
        .concat("tcp.desegment_tcp_streams:FALSE")
        .flatMap((preference) => ["-o", preference]);
      const bad = ["ip", "tcp", "udp", "icmp", "icmpv6"].map((name) => `${name}.checksum.status == 0`).join(" or ");
      const good = ["ip", "tcp", "udp", "icmp", "icmpv6"].map((name) => `${name}.checksum.status == 1`).join(" or ");
      // Errors quote only a part of a packet, whose transport checksum cannot come out right.
      const quotes = "icmp.type in {3, 11} or icmpv6.type in {1, 2, 3}";
      const frames = async (filter: string): Promise<number> => {
        const columns = ["-T", "fields", "-e", "frame.number"];
        const out = await run("tshark", ["-r", sound, ...preferences, "-Y", filter, ...columns]);
        return out.split("\n").filter((line) => line !== "").length;
      };
      expect(await frames(`(${bad}) and not (${quotes})`)).toBe(0);
      expect(await frames(good)).toBeGreaterThan(2500);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("recorded captures", () => {
  const MACS: Record<string, string> = { blue1: "060600000005", blue2: "060600000007", blue3: "060600000009" };

  it("named -sent hold one VM's frames only, and all of them", () => {
    const sent = RECORDED.filter((name) => name.endsWith("-sent.pcap"));
    expect(sent.length).toBeGreaterThan(10);
    for (const name of sent) {
      const mac = MACS[name.slice(0, 5)];
      const frames = framesOf(name);
      expect(frames.length, name).toBeGreaterThan(0);
      expect(
        frames.every((frame) => sourceMac(frame) === mac),
        name,
      ).toBe(true);
      const whole = name.replace("-sent", "");
      if (CAPTURES.includes(whole))
        expect(
          framesOf(whole).filter((frame) => sourceMac(frame) === mac),
          name,
        ).toEqual(frames);
    }
  });

  it("pair each frame that Blue1 routed with the one that the router delivered to Blue3", () => {
    const sent = framesOf("blue1-routed-sent.pcap");
    const received = framesOf("blue3-routed-received.pcap");
    expect(received).toHaveLength(sent.length);
    for (const [index, frame] of received.entries()) {
      expect(frame.toString("hex", 0, 12)).toBe("060600000009060600000201");
      expect(frame[22]).toBe(sent[index]![22]! - 1); // TTL
      expect(frame.subarray(26)).toEqual(sent[index]!.subarray(26)); // from the addresses on
    }
  });

  it("pair each GRE frame of Open vSwitch with the inner frame that it delivered", () => {
    for (const [host, vm] of [
      ["host1", "blue2"],
      ["host2", "blue1"],
    ]) {
      const wire = framesOf(`ovs-gre-from-${host}.pcap`);
      expect(wire.length).toBeGreaterThan(20);
      expect(wire.every((frame) => frame.toString("hex", 34, 41) === "20006558001389")).toBe(true);
      expect(wire.map((frame) => frame.subarray(42).toString("hex"))).toEqual(
        framesOf(`ovs-gre-${vm}-received.pcap`).map((frame) => frame.toString("hex")),
      );
    }
  });
});

/** The worked packets on the wire, as made and checked elsewhere. */
const PACKET_A = bytes(`
  02 00 c0 a8 04 16 02 00 c0 a8 04 0b 08 00 45 00 00 66 1a 2b 40 00 80 2f 56 cc c0 a8 04 0b c0 a8
  04 16 20 00 65 58 00 13 89 a5 06 06 00 00 00 07 06 06 00 00 00 05 08 00 45 00 00 3c 00 01 00 00
  80 01 26 b5 0a 00 00 05 0a 00 00 07 08 00 4d 5a 00 01 00 01 61 62 63 64 65 66 67 68 69 6a 6b 6c
  6d 6e 6f 70 71 72 73 74 75 76 77 61 62 63 64 65 66 67 68 69`);
const PACKET_B_SENT = bytes(`
  06 06 00 00 01 01 06 06 00 00 00 05 08 00 45 02 00 21 00 02 40 00 80 11 e5 ba 0a 00 00 05 0a 00
  01 09 c0 00 13 88 00 0d 36 c2 48 4e 56 2d 42`);
const PACKET_B = bytes(`
  02 00 c0 a8 04 16 02 00 c0 a8 04 0b 81 00 00 67 08 00 45 02 00 4b 1a 2c 40 00 80 2f 56 e4 c0 a8
  04 0b c0 a8 04 16 20 00 65 58 00 13 8a 63 06 06 00 00 00 09 06 06 00 00 02 01 08 00 45 02 00 21
  00 02 40 00 7f 11 e6 ba 0a 00 00 05 0a 00 01 09 c0 00 13 88 00 0d 36 c2 48 4e 56 2d 42`);
const PACKET_C = bytes(`
  02 00 c0 a8 04 16 02 00 c0 a8 04 0b 08 00 45 00 00 60 1a 2d 40 00 80 2f 56 d0 c0 a8 04 0b c0 a8
  04 16 20 00 65 58 00 13 89 46 06 06 00 00 00 07 06 06 00 00 00 05 86 dd 60 00 00 00 00 0e 11 40
  fd 00 00 10 00 00 00 00 00 00 00 00 00 00 00 05 fd 00 00 10 00 00 00 00 00 00 00 00 00 00 00 07
  c0 01 13 89 00 0e 50 68 48 4e 56 2d 43 36`);
const PACKET_D = bytes(`
  02 00 c0 a8 04 16 02 00 c0 a8 04 0b 86 dd 60 0c b7 35 00 4a 2f 80 20 01 0d b8 00 04 00 00 00 00
  00 00 00 00 00 11 20 01 0d b8 00 04 00 00 00 00 00 00 00 00 00 22 20 00 65 58 00 13 89 bd 06 06
  00 00 00 07 06 06 00 00 00 05 08 00 45 00 00 34 00 03 40 00 80 06 e6 b5 0a 00 00 05 0a 00 00 07
  c0 02 00 50 11 22 33 44 00 00 00 00 80 02 fa f0 5b 99 00 00 02 04 05 76 01 03 03 08 01 01 04 02`);
const PACKET_G = bytes(`
  02 00 c0 a8 04 16 02 00 c0 a8 04 0b 08 00 45 00 00 4b 1a 2e 40 00 80 2f 56 e4 c0 a8 04 0b c0 a8
  04 16 20 00 65 58 00 13 89 f6 ff ff ff ff ff ff 06 06 00 00 00 05 08 00 45 00 00 21 00 04 00 00
  80 11 25 c5 0a 00 00 05 0a 00 00 ff c0 03 00 09 00 0d 45 48 48 4e 56 2d 47`);
/** What precedes the quoted packet A in E and F. */
const PACKET_E_HEAD = bytes(`
  02 00 c0 a8 04 0b 02 00 c0 a8 04 16 08 00 45 00 00 ac 00 77 40 00 80 2f 70 3a c0 a8 04 16 c0 a8
  04 0b 20 00 65 58 00 13 89 00 02 00 c0 a8 04 0b 02 00 c0 a8 04 16 08 00 45 00 00 82 00 01 40 00
  80 01 70 f2 c0 a8 04 16 c0 a8 04 21 05 0a 13 03 c0 a8 04 21`);
const PACKET_F_HEAD = bytes(`
  02 00 c0 a8 04 0b 02 00 c0 a8 04 16 08 00 45 00 00 ac 00 78 40 00 80 2f 70 39 c0 a8 04 16 c0 a8
  04 0b 20 00 65 58 00 13 89 00 02 00 c0 a8 04 0b 02 00 c0 a8 04 16 08 00 45 00 00 82 00 02 40 00
  80 01 71 07 c0 a8 04 16 c0 a8 04 0b 03 0a d9 cc 00 00 00 00`);

/** The frame with an outer tag behind the MAC addresses. */
const withTag = (frame: Buffer, tag: string): Buffer =>
  Buffer.concat([frame.subarray(0, 12), bytes(tag), frame.subarray(12)]);

describe("generated captures", () => {
  it("hold the worked packets byte for byte", () => {
    const quoted = PACKET_A.subarray(14);
    const wire = {
      A: PACKET_A,
      "A-vlan": withTag(PACKET_A, "8100a067"),
      B: PACKET_B,
      C: PACKET_C,
      D: PACKET_D,
      "D-vlan": withTag(PACKET_D, "81000067"),
      E: Buffer.concat([PACKET_E_HEAD, quoted]),
      F: Buffer.concat([PACKET_F_HEAD, quoted]),
      G: PACKET_G,
    };
    const file = read("worked-wire.pcapng");
    for (const [name, frame] of Object.entries(wire)) expect(file.includes(frame), `packet ${name}`).toBe(true);
    const sent = {
      a: PACKET_A.subarray(42),
      b: PACKET_B_SENT,
      c: PACKET_C.subarray(42),
      d: PACKET_D.subarray(62),
      g: PACKET_G.subarray(42),
    };
    for (const [name, frame] of Object.entries(sent)) {
      expect(framesOf(`worked-${name}-sent.pcap`), `packet ${name}`).toEqual([frame]);
      expect(read("worked-sent.pcapng").includes(frame), `packet ${name}`).toBe(true);
    }
  });

  it("give each negative vector an outcome under a reason that exists", () => {
    interface Outcome {
      readonly action: string;
      readonly reason: string | null;
    }
    const { vectors, innerFrame, capture } = JSON.parse(read("negative-vectors.json").toString()) as {
      vectors: { frame: number; name: string; strict: Outcome; lenient: Outcome }[];
      innerFrame: string;
      capture: string;
    };
    const frames = framesOf(capture);
    expect(vectors.map(({ frame }) => frame)).toEqual(frames.map((_, index) => index + 1));
    expect(new Set(vectors.map(({ name }) => name.split("-")[0])).size, "N1 to N19").toBe(19);
    expect(innerFrame).toBe(PACKET_A.toString("hex", 42));
    for (const { frame, name, strict, lenient } of vectors) {
      expect(frames[frame - 1]!.equals(PACKET_A), `${name} differs from packet A`).toBe(false);
      for (const { action, reason } of [strict, lenient]) {
        expect(["accept", "drop", "pass"], name).toContain(action);
        if (reason === null) expect(action, name).toBe("accept");
        else expect(Object.keys(Reason), name).toContain(reason);
      }
    }
  });

  it("name only reasons that exist in their comments", () => {
    const comments = read("gre-variants.pcapng").toString("latin1");
    const reasons = [...comments.matchAll(/RX_[A-Z_]+[A-Z]/g)].map((match) => match[0]);
    expect(reasons.length).toBeGreaterThan(5);
    for (const reason of reasons) expect(Object.keys(Reason)).toContain(reason);
  });
});
