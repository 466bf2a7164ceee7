/** `hnv encap` and `hnv decap`: the worked packets byte for byte, and each as the other's undoing. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hexOf, INNER_AT, innerOf, workedPacket } from "../vectors/worked-packets.js";
import {
  hnv,
  hnvMany,
  pcapBytes,
  ROOT,
  readHex,
  readPcap,
  readPcapng,
  shell,
  workplace,
  writePcap,
} from "./helpers.js";

const PCAPS = join(ROOT, "pcaps");
const TUNNEL = ["--vsid", "5001", "--pa-src", "192.168.4.11", "--pa-dst", "192.168.4.22"];
const TUNNEL6 = ["--vsid", "5001", "--pa-src", "2001:db8:4::11", "--pa-dst", "2001:db8:4::22"];
const MACS = ["--mac-src", "02-00-C0-A8-04-0B", "--mac-dst", "02-00-C0-A8-04-16"];

describe("worked packets", () => {
  it.each([
    ["a", TUNNEL, ["--ip-id", String(0x1a2b)]],
    ["aVlan", TUNNEL, ["--ip-id", String(0x1a2b), "--vlan", "103", "--pcp", "5"]],
    ["c", TUNNEL, ["--ip-id", String(0x1a2d)]],
    ["d", TUNNEL6, []],
    ["dVlan", TUNNEL6, ["--vlan", "103"]],
  ] as const)("packet %s, every octet of it, and back", async (name, tunnel, more) => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf(name)]);
    const encap = await hnv(["encap", at("in.pcap"), at("wire.pcap"), ...tunnel, ...MACS, ...more]);
    expect(encap).toMatchObject({ status: 0, stdout: "" });
    expect(readHex(at("wire.pcap"))).toEqual([hexOf(workedPacket(name))]);
    await hnv(["decap", at("wire.pcap"), at("out.pcap")]);
    expect(readFileSync(at("out.pcap")).equals(readFileSync(at("in.pcap")))).toBe(true);
  });

  it("identification counts up from --ip-id, and wraps", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf("a"), innerOf("a"), innerOf("a")]);
    await hnv(["encap", at("in.pcap"), at("wire.pcap"), ...TUNNEL, "--ip-id", "65534"]);
    expect(readPcap(at("wire.pcap")).map(({ data }) => Buffer.from(data).readUInt16BE(18))).toEqual([
      65_534, 65_535, 0,
    ]);
  });

  it("--ttl, --dscp, --flow-id zero and default MAC addresses stand where they belong", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf("a")]);
    await hnv(["encap", at("in.pcap"), at("wire.pcap"), ...TUNNEL, "--ttl", "7", "--dscp", "46", "--flow-id", "zero"]);
    const { data } = readPcap(at("wire.pcap"))[0]!;
    expect(hexOf(data.slice(0, 14))).toBe("0200000000020200000000010800");
    expect([data[15], data[22], data[41]]).toEqual([46 << 2, 7, 0]);
    expect(hexOf(data.slice(38, 41))).toBe("001389");
  });
});

describe("decap undoes encap, bit for bit", () => {
  const captures = readdirSync(PCAPS).filter((name) => /\.pcap(?:ng)?$/.test(name));

  it("over all captures without tagged and oversize frames", { timeout: 60_000 }, async () => {
    expect(captures.length).toBeGreaterThan(20);
    const at = workplace();
    const wire = (name: string): string => at(`wire-${name}`);
    const encaps = await hnvMany(captures.map((name) => ["encap", join(PCAPS, name), wire(name), ...TUNNEL, "--json"]));
    const decaps = await hnvMany(captures.map((name) => ["decap", wire(name), at(name), "--json"]));
    const restored = captures.filter((name, index) => {
      expect([encaps[index]!.status, decaps[index]!.status], name).toEqual([0, 0]);
      const { drops } = JSON.parse(encaps[index]!.stdout) as { drops: { reason: string }[] };
      for (const { reason } of drops) expect(DROPPED, name).toContain(reason);
      const isSame = readFileSync(at(name)).equals(readFileSync(join(PCAPS, name)));
      expect(isSame, name).toBe(drops.length === 0);
      return isSame;
    });
    expect(restored.length).toBeGreaterThan(captures.length * 0.8);
  });

  /**
   * A tag may not go inside, what is too long for the outer IP packet cannot, less than an Ethernet header is no frame, and of
   * some frames the capture holds a part only. Files with such frames cannot come back whole.
   */
  const DROPPED = ["TX_INNER_VLAN", "TX_TOO_BIG", "INVALID_PACKET", "CAPTURE_CUT"];

  it.each([
    ["IPv6 outside", TUNNEL6],
    ["an outer tag", [...TUNNEL, "--vlan", "103"]],
    ["ECN as Linux has it", [...TUNNEL, "--ecn", "linux"]],
  ])("with %s", async (_what, tunnel) => {
    const at = workplace();
    const file = join(PCAPS, "blue1-tcp-ecn.pcap");
    await hnv(["encap", file, at("wire.pcap"), ...tunnel]);
    await hnv(["decap", at("wire.pcap"), at("out.pcap")]);
    expect(readFileSync(at("out.pcap")).equals(readFileSync(file))).toBe(true);
  });

  it("through pipes, and from a compressed capture", async () => {
    const at = workplace();
    const file = join(PCAPS, "blue1-tcp.pcap");
    const line = `cat ${file} | hnv encap - - ${TUNNEL.join(" ")} | hnv decap - - | cmp - ${file}`;
    expect(await shell(`set -o pipefail; ${line}`)).toMatchObject({ status: 0, stdout: "" });
    const zipped = await shell(
      `gzip -c ${file} > ${at("z.pcap.gz")} && hnv encap ${at("z.pcap.gz")} ${at("w.pcap")} ${TUNNEL.join(" ")}`,
    );
    expect(zipped.status).toBe(0);
    expect(readPcap(at("w.pcap"))).toHaveLength(readPcap(file).length);
  });

  it("through a pipe whose writer sends a pcapng's header first and its packets later, as a live capture does", async () => {
    const at = workplace();
    const file = join(PCAPS, "worked-sent.pcapng");
    await hnv(["encap", file, at("whole.pcapng"), ...TUNNEL]);
    const bytes = readFileSync(file);
    let firstPacket = 0;
    while (bytes.readUInt32LE(firstPacket) !== 6) firstPacket += bytes.readUInt32LE(firstPacket + 4);
    for (const first of [firstPacket, firstPacket - 4, firstPacket + 20]) {
      const pieces = `(head -c ${first} ${file}; sleep 0.3; tail -c +${first + 1} ${file})`;
      const line = `${pieces} | hnv encap - out.pcapng ${TUNNEL.join(" ")} && cmp out.pcapng whole.pcapng`;
      expect({ first, status: (await shell(line, { cwd: at(".") })).status }).toEqual({ first, status: 0 });
    }
  });

  it("keeps frames of 14 octets, LLDP, spanning tree and malformed IP as they are", async () => {
    const lldp = Buffer.concat([Buffer.from("0180c200000e02000000000188cc", "hex"), Buffer.alloc(46, 7)]);
    const stp = Buffer.concat([Buffer.from("0180c200000002000000000100264242", "hex"), Buffer.alloc(44)]);
    const badIp = innerOf("a");
    badIp[14] = 0x4f; // a header longer than the packet
    const shortest = innerOf("a").slice(0, 14);
    const bytes = pcapBytes([lldp, stp, badIp, shortest]);
    const line = `hnv encap - - ${TUNNEL.join(" ")} | hnv decap - -`;
    expect((await shell(line, { input: bytes })).bytes.equals(bytes)).toBe(true);
  });
});

describe("encap refuses and counts", () => {
  const tagged = (): Uint8Array =>
    Uint8Array.from([...innerOf("a").slice(0, 12), 0x81, 0x00, 0x00, 0x05, ...innerOf("a").slice(12)]);

  it("tagged frames, or takes the tag off", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [tagged()]);
    const dropped = await hnv(["encap", at("in.pcap"), at("w.pcap"), ...TUNNEL]);
    expect(dropped.stderr).toContain("TX_INNER_VLAN");
    expect(dropped.stderr).toContain("1 in = 0 delivered + 1 dropped + 0 passed + 0 consumed");
    expect(readPcap(at("w.pcap"))).toEqual([]);
    await hnv(["encap", at("in.pcap"), at("w.pcap"), ...TUNNEL, "--tagged", "strip"]);
    expect(hexOf(readPcap(at("w.pcap"))[0]!.data.slice(42))).toBe(hexOf(innerOf("a")));
  });

  it("what does not fit --mtu", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf("a")]); // an inner packet of 60 octets: 102 outside
    const fits = await hnv(["encap", at("in.pcap"), at("w.pcap"), ...TUNNEL, "--mtu", "102", "--json"]);
    expect(JSON.parse(fits.stdout)).toMatchObject({ totals: { in: 1, delivered: 1 } });
    const tooBig = await hnv(["encap", at("in.pcap"), at("w.pcap"), ...TUNNEL, "--mtu", "101", "--json"]);
    expect(JSON.parse(tooBig.stdout)).toMatchObject({
      schemaVersion: 1,
      input: { file: at("in.pcap"), frames: 1, damage: null },
      outputs: [{ file: at("w.pcap"), frames: 0 }],
      drops: [{ node: "encap", port: "in", reason: "TX_TOO_BIG", windowsReason: "Wnv", windowsNumber: 29, count: 1 }],
      totals: { in: 1, delivered: 0, dropped: 1 },
    });
  });

  it.concurrent.each([
    [["--vsid", "4095"], "4096"],
    [["--vsid", "16777215"], "16777214"],
    [["--pa-src", "2001:db8::1"], "one family"],
    [["--pa-dst", "224.0.0.1"], "unicast"],
    [["--pcp", "3"], "--vlan"],
    [["--ttl", "0"], "1 to 255"],
    [["--ecn", "loud"], "compat"],
    [["--mac-src", "1-2-3"], "MAC address"],
  ])("%j", async (flags, hint) => {
    // Refused before any file is looked at.
    const { status, stderr } = await hnv(["encap", "no-such-input.pcap", "never-written.pcap", ...TUNNEL, ...flags]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^hnv: .*\n$/);
    expect(stderr).toContain(hint);
  });
});

describe("decap", () => {
  const otherVsid = (): Uint8Array => {
    const bytes = workedPacket("a");
    bytes.set([0x00, 0x17, 0x71], 38); // 6001
    return bytes;
  };
  const mixed = (): Uint8Array[] => [workedPacket("a"), innerOf("c"), otherVsid(), workedPacket("d")];

  it("unwraps one virtual subnet and passes the rest", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), mixed());
    const ended = await hnv(["decap", at("in.pcap"), at("out.pcap"), "--vsid", "6001", "--json"]);
    expect(JSON.parse(ended.stdout)).toMatchObject({ totals: { in: 4, delivered: 1, passed: 3, dropped: 0 } });
    expect(readHex(at("out.pcap"))).toEqual([hexOf(innerOf("a"))]);
  });

  it("--keep-other writes the rest as it is, in its place", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), mixed());
    const ended = await hnv(["decap", at("in.pcap"), at("out.pcap"), "--vsid", "5001", "--keep-other", "--json"]);
    expect(JSON.parse(ended.stdout)).toMatchObject({ totals: { in: 4, delivered: 2, passed: 2, dropped: 0 } });
    const frames = [innerOf("a"), innerOf("c"), otherVsid(), innerOf("d")];
    expect(readFileSync(at("out.pcap")).equals(pcapBytes(frames))).toBe(true);
  });

  it("--split-by vsid makes a file for each", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), mixed());
    const ended = await hnv(["decap", at("in.pcap"), at("out.pcap"), "--split-by", "vsid", "--keep-other"], {
      cwd: at("."),
    });
    expect(ended.status).toBe(0);
    expect(readdirSync(at(".")).sort()).toEqual(["in.pcap", "out-5001.pcap", "out-6001.pcap", "out-other.pcap"]);
    expect(readHex(at("out-5001.pcap"))).toEqual([hexOf(innerOf("a")), hexOf(innerOf("d"))]);
    expect(readHex(at("out-6001.pcap"))).toEqual([hexOf(innerOf("a"))]);
    expect(readHex(at("out-other.pcap"))).toEqual([hexOf(innerOf("c"))]);
    expect(readPcap(at("out-5001.pcap"))[1]!.time).toBe(readPcap(at("in.pcap"))[3]!.time);
  });

  it("splits many virtual subnets, more than a burst can bring, and says where it ends", async () => {
    const at = workplace();
    const ofVsid = (vsid: number): Uint8Array => {
      const bytes = Buffer.from(workedPacket("a"));
      bytes.writeUIntBE(vsid, 38, 3);
      return bytes;
    };
    const vsids = (count: number): number[] => Array.from({ length: count }, (_, index) => 5000 + index);
    writePcap(at("in.pcap"), [...vsids(300), ...vsids(300)].map(ofVsid));
    const ended = await hnv(["decap", at("in.pcap"), at("t.pcap"), "--split-by", "vsid", "--json"]);
    const { outputs, totals } = JSON.parse(ended.stdout) as { outputs: { frames: number }[]; totals: object };
    expect(totals).toMatchObject({ in: 600, delivered: 600 });
    expect(outputs.map(({ frames }) => frames)).toEqual(vsids(300).map(() => 2));
    expect(readHex(at("t-5299.pcap"))).toEqual([hexOf(innerOf("a")), hexOf(innerOf("a"))]);

    writePcap(at("many.pcap"), vsids(1001).map(ofVsid));
    const tooMany = await hnv(["decap", at("many.pcap"), at("m.pcap"), "--split-by", "vsid"]);
    expect(tooMany.status).toBe(1);
    expect(tooMany.stderr).toMatch(/^hnv: .*more than 1000 virtual subnets/m);
  });

  it("names what is wrong with NVGRE, and leaves other GRE alone", async () => {
    const at = workplace();
    const noKey = workedPacket("a");
    noKey[34] = 0x00;
    const pptp = workedPacket("a");
    pptp[35] = 0x01; // version 1
    const withSequence = workedPacket("a");
    withSequence[34] = 0x30;
    writePcap(at("in.pcap"), [noKey, pptp, withSequence]);
    const ended = await hnv(["decap", at("in.pcap"), at("out.pcap"), "--json"]);
    const result = JSON.parse(ended.stdout) as {
      drops: { reason: string }[];
      passed: { reason: string }[];
      totals: object;
    };
    expect(result.drops.map(({ reason }) => reason).sort()).toEqual(["RX_GRE_FLAGS", "RX_GRE_NO_KEY"]);
    expect(result.passed.map(({ reason }) => reason)).toEqual(["RX_GRE_VERSION"]);
    expect(result.totals).toMatchObject({ in: 3, delivered: 0, dropped: 2, passed: 1 });
  });

  it("the inner frames of worked packets are what the VM sent", () => {
    expect(hexOf(workedPacket("d").slice(INNER_AT.d))).toBe(hexOf(innerOf("d")));
  });
});

it("pcapng: comments and interfaces survive, in both directions", async () => {
  const at = workplace();
  const file = join(PCAPS, "format-blocks.pcapng");
  const before = readPcapng(file);
  await hnv(["encap", file, at("wire.pcapng"), ...TUNNEL]);
  const wire = readPcapng(at("wire.pcapng"));
  expect(wire.map(({ interface: name, comments }) => ({ name, comments }))).toEqual(
    before.map(({ interface: name, comments }) => ({ name, comments })),
  );
  expect(wire[0]!.data.endsWith(before[0]!.data)).toBe(true);
});

it("an output in place of an input is refused, also by another name", async () => {
  const at = workplace();
  writePcap(at("in.pcap"), [innerOf("a")]);
  writeFileSync(at("keep"), readFileSync(at("in.pcap")));
  const ended = await shell(`ln -s in.pcap link.pcap; hnv encap in.pcap link.pcap ${TUNNEL.join(" ")}`, {
    cwd: at("."),
  });
  expect(ended).toMatchObject({ status: 2, stderr: "hnv: link.pcap: is both read and written; name another output\n" });
  expect(readFileSync(at("in.pcap")).equals(readFileSync(at("keep")))).toBe(true);
});
