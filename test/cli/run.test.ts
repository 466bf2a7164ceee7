/** `hnv run`: what must hold of a lab on captures, with the worked packets as oracle. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { frame, ip, tcpSegment, udp } from "../engine/build.js";
import { blueUdp, labText, largeSend, tcpSyn } from "../engine/mtu/lab.js";
import { hexOf, innerOf, workedPacket } from "../vectors/worked-packets.js";
import {
  hnv,
  LABS,
  ROOT,
  readHex,
  readPcap,
  readPcapng,
  resultOf,
  withoutIdentification,
  workplace,
  writePcap,
} from "./helpers.js";

const PCAPS = join(ROOT, "pcaps");

/** The one frame in each file, without identification and checksum of the outer header, which begins at `outerAt`. */
const wireFrame = (path: string, outerAt = 14): string[] =>
  readHex(path).map((hex) => withoutIdentification(hex, outerAt));
const expected = (name: Parameters<typeof workedPacket>[0], outerAt = 14): string[] => [
  withoutIdentification(hexOf(workedPacket(name)), outerAt),
];

describe("worked packets", () => {
  it.each(["a", "c"] as const)("packet %s: host1/Blue1 to the wire, and unchanged to host2/Blue2", async (name) => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf(name)]);
    const outs = ["--out", `host1/nic1=${at("w.pcap")}`, "--out", `host2/Blue2=${at("b.pcap")}`];
    const ended = await hnv(["run", LABS.plain, "--in", `host1/Blue1=${at("in.pcap")}`, ...outs, "--json"]);
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    expect(wireFrame(at("w.pcap"))).toEqual(expected(name));
    expect(readPcap(at("b.pcap"))).toEqual(readPcap(at("in.pcap")));
    expect(resultOf(ended).totals).toMatchObject({ in: 1, delivered: 1, dropped: 0 });
  });

  it("packet a: --flows lists the entry of each node on its way", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf("a"), innerOf("a")]);
    const args = ["run", LABS.plain, "--in", `host1/Blue1=${at("in.pcap")}`, "--flows"];
    const { stdout } = await hnv([...args, "--json"]);
    const flows: Record<string, unknown>[] = JSON.parse(stdout).flowTable;
    expect(flows.map(({ ingress, output, packets }) => [ingress, output, packets])).toEqual([
      ["host1/Blue1", "host1/nic1", 2],
      ["provider/host1.nic1", "provider/host2.nic1", 2],
      ["host2/nic1", "host2/Blue2", 2],
    ]);
    expect(flows[2]).toMatchObject({ tunnel: { vsid: 5001, source: "192.168.4.11", destination: "192.168.4.22" } });
    const lines = (await hnv(args)).stdout.split("\n");
    expect(lines.filter((line) => /2 packets/.test(line))).toHaveLength(3);
    const shared = await hnv([...args, "--workers", "2"]);
    expect(shared.stderr).toBe("hnv: one worker instead of 2, because --flows lists the flow table of one engine\n");
  });

  it("packet B: routed from VSID 5001 to 5002 behind provider VLAN 103", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [workedPacket("bFromVm")]);
    const outs = ["--out", `host1/nic1=${at("w.pcap")}`, "--out", `host2/Blue3=${at("b.pcap")}`];
    const ended = await hnv(["run", LABS.vlan, "--in", `host1/Blue1=${at("in.pcap")}`, ...outs, "--json"]);
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    expect(wireFrame(at("w.pcap"), 18)).toEqual(expected("b", 18));
    expect(readHex(at("b.pcap"))).toEqual([hexOf(innerOf("b"))]);
    resultOf(ended);
  });

  it("packet D: over an IPv6 provider network", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf("d")]);
    const outs = ["--out", `host1/nic1=${at("w.pcap")}`, "--out", `host2/Blue2=${at("b.pcap")}`];
    const ended = await hnv(["run", LABS.v6, "--in", `host1/Blue1=${at("in.pcap")}`, ...outs, "--json"]);
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    expect(readHex(at("w.pcap"))).toEqual([hexOf(workedPacket("d"))]);
    expect(readPcap(at("b.pcap"))).toEqual(readPcap(at("in.pcap")));
    resultOf(ended);
  });

  it("raw records of one host: packets A-vlan (PCP 0) and B leave at host1/nic1", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf("aVlan"), workedPacket("bFromVm")]);
    const args = ["--in", `host1/Blue1=${at("in.pcap")}`, "--out", `host1/nic1=${at("w.pcap")}`, "--json"];
    const ended = await hnv(["run", LABS.records, ...args]);
    const aVlan = workedPacket("aVlan");
    aVlan[14] = 0x00; // PCP 5 in the worked packet; the lab does not map priorities
    expect(wireFrame(at("w.pcap"), 18)).toEqual([
      withoutIdentification(hexOf(aVlan), 18),
      withoutIdentification(hexOf(workedPacket("b")), 18),
    ]);
    resultOf(ended);
  });
});

describe("what belongs together stays together", () => {
  it("keeps tenants apart: what Red sends reaches no Blue port, even with Blue's addresses", async () => {
    const at = workplace();
    const forged = innerOf("a"); // Blue1's own frame to Blue2
    const withRedMac = innerOf("a");
    withRedMac.set([0x08, 0x08, 0, 0, 0, 0x05], 6);
    const toRed2 = innerOf("a");
    toRed2.set([0x08, 0x08, 0, 0, 0, 0x07, 0x08, 0x08, 0, 0, 0, 0x05], 0);
    writePcap(at("in.pcap"), [forged, withRedMac, toRed2]);
    const ended = await hnv(["run", LABS.plain, "--in", `host1/Red1=${at("in.pcap")}`, "--json"]);
    const { ports, totals, drops } = resultOf(ended);
    expect(ports["host1/Blue1"]!.tx.packets + ports["host2/Blue2"]!.tx.packets + ports["host2/Blue3"]!.tx.packets).toBe(
      0,
    );
    expect(ports["host2/Red2"]!.tx.packets).toBeGreaterThanOrEqual(1);
    expect(drops).toContainEqual({
      node: "host1",
      port: "host1/Red1",
      reason: "MAC_SPOOFING",
      windowsReason: "MacSpoofing",
      windowsNumber: 16,
      count: 1,
    });
    expect(totals.in).toBe(3);
  });

  it("lets nothing in from the wire but what fits VSID, inner MAC and source policy", async () => {
    const at = workplace();
    const good = workedPacket("a");
    const otherVsid = workedPacket("a");
    otherVsid.set([0x00, 0x17, 0x71], 38); // 6001: Red's
    const otherMac = workedPacket("a");
    otherMac.set([0x06, 0x06, 0, 0, 0, 0x55], 42);
    const otherSource = workedPacket("a");
    otherSource.set([10, 0, 0, 99], 42 + 14 + 12);
    writePcap(at("in.pcap"), [good, otherVsid, otherMac, otherSource]);
    const args = ["--in", `host2/nic1=${at("in.pcap")}`, "--out", `host2/Blue2=${at("b.pcap")}`, "--json"];
    const { totals, ports } = resultOf(await hnv(["run", LABS.plain, ...args]));
    expect(readHex(at("b.pcap"))).toEqual([hexOf(innerOf("a"))]);
    expect(totals).toMatchObject({ in: 4, delivered: 1, dropped: 3 });
    expect(ports["host2/Red2"]!.tx.packets).toBe(0);
  });
});

describe("bursts", () => {
  it("of 1 and of 256 frames give the same bytes, counters and drops", async () => {
    const at = workplace();
    const inputs = ["blue1-tcp-sent", "blue1-icmp-sent", "blue1-routed-sent", "blue1-fragments-sent", "blue1-arp-sent"];
    const ins = inputs.flatMap((name) => ["--in", `host1/Blue1=${join(PCAPS, `${name}.pcap`)}`]);
    const back = ["--in", `host2/Blue2=${join(PCAPS, "blue2-tcp-sent.pcap")}`];
    const runWith = async (burst: string): Promise<unknown> => {
      const name = (port: string): string => at(`${port}-${burst}`);
      const outs = ["host1/nic1", "host2/nic1", "host1/Blue1", "host2/Blue2"].flatMap((port) => [
        "--out",
        `${port}=${name(`${port.replace("/", "-")}.pcap`)}`,
      ]);
      const logs = ["--drops", name("drops.pcapng"), "--capture-all", name("all.pcapng")];
      const ended = await hnv(["run", LABS.plain, ...ins, ...back, ...outs, ...logs, "--burst", burst, "--json"]);
      const { ports, drops, passed, totals } = resultOf(ended);
      return { ports, drops, passed, totals };
    };
    const one = await runWith("1");
    const many = await runWith("256");
    expect(one).toEqual(many);
    const names = readdirSync(at(".")).filter((name) => name.endsWith("-1"));
    expect(names).toHaveLength(6);
    for (const name of names) {
      const other = readFileSync(at(name.replace(/-1$/, "-256")));
      expect(readFileSync(at(name)).equals(other), name).toBe(true);
      expect(other.length, name).toBeGreaterThan(24);
    }
  });

  it("bring what a packet is cut into, or becomes, onto the wire before later packets of the same millisecond", async () => {
    const at = workplace();
    const [small, cut, tcp] = [
      blueUdp(200, { dontFragment: false }),
      blueUdp(3000, { dontFragment: false }),
      largeSend(4),
    ];
    const syn = tcpSyn(1460);
    const frames = [small, cut, small, tcp, small, syn, small, cut, tcp, syn, small, small];
    writePcap(
      at("in.pcap"),
      Array.from({ length: 300 }, (_, n) => ({ data: frames[n % frames.length]!, time: 1_000_000 + n * 5 })),
    );
    for (const adapter of [", lso: true", ", lso: true, checksumOffload: true"]) {
      const settings = "{ mssClamp: true }";
      writeFileSync(at("lab.yaml"), labText({ mtus: [1500, 1500], settings, adapter }));
      for (const burst of ["1", "256"]) {
        const out = ["--out", `host1/nic1=${at(burst)}`, "--out", `host2/Blue2=${at(`${burst}-arrived`)}`];
        const ended = await hnv([
          "run",
          at("lab.yaml"),
          "--in",
          `host1/Blue1=${at("in.pcap")}`,
          ...out,
          "--burst",
          burst,
        ]);
        expect(ended.status).toBe(0);
      }
      const read = (name: string): Buffer => readFileSync(at(name));
      expect(readHex(at("1")).length).toBeGreaterThan(300 * 3);
      expect(read("256").equals(read("1"))).toBe(true);
      expect(read("256-arrived").equals(read("1-arrived"))).toBe(true);
    }
  });

  it("bring what comes back from a gateway, errors and answers, onto the wire in the order of its causes", async () => {
    const at = workplace();
    const [tenant, outside] = ["10.0.1.101", "203.0.113.2"];
    const query = (ttl: number): Uint8Array => {
      const payload = udp(tenant, "8.8.8.8", [5000, 53], Uint8Array.of(1, 2, 3));
      const packet = ip({ source: tenant, destination: "8.8.8.8", protocol: 17, payload, ttl });
      return frame("00-11-22-33-44-55", "00-15-5D-E2-AB-00", packet);
    };
    const segment = tcpSegment("9.9.9.9", outside, [999, 8080]);
    const request = frame(
      "02-00-CB-00-71-02",
      "02-00-CB-00-71-01",
      ip({ source: "9.9.9.9", destination: outside, protocol: 6, payload: segment }),
    );
    const every = (data: (n: number) => Uint8Array, after: number): { data: Uint8Array; time: number }[] =>
      Array.from({ length: 300 }, (_, n) => ({ data: data(n), time: 1_000_000 + n * 5 + after }));
    writePcap(
      at("tenant.pcap"),
      every((n) => query(n % 3 === 0 ? 64 : 2), 0),
    );
    writePcap(
      at("outside.pcap"),
      every(() => request, 2),
    );
    for (const burst of ["1", "7", "256"]) {
      const ins = ["--in", `hv1/Contoso1=${at("tenant.pcap")}`, "--in", `edge/external=${at("outside.pcap")}`];
      const ended = await hnv([
        "run",
        join(ROOT, "examples/gateway.yaml"),
        ...ins,
        "--out",
        `gw1/nic1=${at(burst)}`,
        "--burst",
        burst,
      ]);
      expect(ended.status).toBe(0);
    }
    const errorsAndRequests = readHex(at("1")).filter((hex) => hex.slice(52, 60) === "c0a8000b"); // from gw1
    expect(errorsAndRequests).toHaveLength(200 + 300);
    for (const burst of ["7", "256"]) expect(readFileSync(at(burst)).equals(readFileSync(at("1"))), burst).toBe(true);
  });

  it("of several captures are merged by time, equal times in the order of the command line", async () => {
    const at = workplace();
    const frame = (mark: number): Uint8Array => {
      const bytes = innerOf("a");
      bytes[bytes.length - 1] = mark; // no IP checksum covers it
      return bytes;
    };
    writePcap(at("x.pcap"), [
      { data: frame(1), time: 10 },
      { data: frame(2), time: 30 },
      { data: frame(3), time: 20 },
    ]);
    writePcap(at("y.pcap"), [
      { data: frame(4), time: 10 },
      { data: frame(5), time: 25 },
    ]);
    const ins = ["--in", `host1/Blue1=${at("x.pcap")}`, "--in", `host1/Blue1=${at("y.pcap")}`];
    await hnv(["run", LABS.plain, ...ins, "--out", `host2/Blue2=${at("out.pcap")}`]);
    expect(readPcap(at("out.pcap")).map(({ data, time }) => [data.at(-1), time])).toEqual([
      [1, 10],
      [4, 10],
      [5, 25],
      [2, 30],
      [3, 20],
    ]);
  });

  it.each(["1", "2"])(
    "of a capture without frames and others: these are read all the same, by %s workers",
    async (count) => {
      const at = workplace();
      writePcap(at("none.pcap"), []);
      writePcap(at("some.pcap"), [innerOf("a"), innerOf("c")]);
      writePcap(at("more.pcap"), Array<Uint8Array>(60_000).fill(innerOf("a"))); // more than a reader holds at a time
      const names = ["none", "some", "none", "more"];
      const ins = names.flatMap((name) => ["--in", `host1/Blue1=${at(`${name}.pcap`)}`]);
      const outs = ["--out", `host2/Blue2=${at("out.pcap")}`, "--workers", count, "--json"];
      const ended = await hnv(["run", LABS.plain, ...ins, ...outs]);
      expect(ended).toMatchObject({ status: 0, stderr: "" });
      expect(resultOf(ended).inputs.map(({ frames, damage }) => [frames, damage])).toEqual([
        [0, null],
        [2, null],
        [0, null],
        [60_000, null],
      ]);
      expect(readPcap(at("out.pcap"))).toHaveLength(60_002);
    },
  );
});

describe("--drops and --capture-all", () => {
  it("writes each dropped frame as it was, with its reason and place", async () => {
    const at = workplace();
    const spoofed = innerOf("a");
    spoofed.set([0x06, 0x06, 0, 0, 0, 0x77], 6);
    writePcap(at("in.pcap"), [innerOf("a"), spoofed]);
    const args = ["--in", `host1/Blue1=${at("in.pcap")}`, "--drops", at("drops.pcapng"), "--json"];
    const { totals } = resultOf(await hnv(["run", LABS.plain, ...args]));
    const dropped = readPcapng(at("drops.pcapng"));
    expect(dropped).toHaveLength(totals.dropped);
    expect(dropped[0]).toMatchObject({ interface: "host1/Blue1", data: hexOf(spoofed) });
    expect(dropped[0]!.comments).toEqual([expect.stringMatching(/^MAC_SPOOFING at host1\/Blue1: The source MAC /)]);
  });

  it("shows one packet at every port of its way, in order, with direction and number", async () => {
    const at = workplace();
    writePcap(at("in.pcap"), [innerOf("a"), innerOf("c")]);
    const args = ["--in", `host1/Blue1=${at("in.pcap")}`, "--out", `host1/nic1=${at("w.pcap")}`];
    await hnv(["run", LABS.plain, ...args, "--capture-all", at("all.pcapng")]);
    const [inbound, outbound] = [1, 2];
    const way = [
      ["host1/Blue1", inbound],
      ["host1/nic1", outbound],
      ["provider/host1.nic1", inbound],
      ["provider/host2.nic1", outbound],
      ["host2/nic1", inbound],
      ["host2/Blue2", outbound],
    ];
    const seen = readPcapng(at("all.pcapng"));
    expect(seen.map((packet) => [packet.interface, packet.flags])).toEqual([...way, ...way]);
    expect(seen.map(({ packetId }) => packetId)).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    expect(seen[6]!.comments).toEqual(["packet 2"]);
    expect(seen[1]!.data).toBe(readHex(at("w.pcap"))[0]);
    expect(seen.filter(({ interface: name }) => name === "host2/Blue2").map(({ data }) => data)).toEqual([
      hexOf(innerOf("a")),
      hexOf(innerOf("c")),
    ]);
  });
});

it("--bind cuts the link: frames leave there, and those of the file enter", async () => {
  const at = workplace();
  writePcap(at("vm.pcap"), [innerOf("a")]);
  const reply = workedPacket("a"); // as if host2 had sent it, to Blue1
  reply.set([0x02, 0, 0xc0, 0xa8, 0x04, 0x0b, 0x02, 0, 0xc0, 0xa8, 0x04, 0x16], 0);
  reply.set([192, 168, 4, 22, 192, 168, 4, 11], 26); // the sum of the header stays the same
  reply.set([0x06, 0x06, 0, 0, 0, 0x05, 0x06, 0x06, 0, 0, 0, 0x07], 42);
  reply.set([10, 0, 0, 7, 10, 0, 0, 5], 42 + 14 + 12);
  writePcap(at("wire.pcap"), [reply]);
  const args = ["--in", `host1/Blue1=${at("vm.pcap")}`, "--bind", `host1/nic1=pcap:${at("wire.pcap")}`];
  const outs = ["--out", `host1/nic1=${at("w.pcap")}`, "--out", `host1/Blue1=${at("b.pcap")}`, "--json"];
  const { totals, ports } = resultOf(await hnv(["run", LABS.plain, ...args, ...outs]));
  expect(totals).toMatchObject({ in: 2, delivered: 2 });
  expect(ports["provider/host1.nic1"]).toEqual({ rx: { packets: 0, bytes: 0 }, tx: { packets: 0, bytes: 0 } });
  expect(wireFrame(at("w.pcap"))).toEqual(expected("a"));
  expect(readHex(at("b.pcap"))).toEqual([hexOf(reply.slice(42))]);
});

it("--json has every port, the reasons in both tongues, flows and files", async () => {
  const at = workplace();
  writePcap(at("in.pcap"), [innerOf("a"), innerOf("a"), new Uint8Array(10)]);
  const ended = await hnv(["run", LABS.plain, "--in", `host1/Blue1=${at("in.pcap")}`, "--json"]);
  const result = resultOf(ended);
  expect(result.schemaVersion).toBe(1);
  expect(Object.keys(result.ports)).toEqual([
    "host1/Blue1",
    "host1/Red1",
    "host1/nic1",
    "host2/Blue2",
    "host2/Blue3",
    "host2/Red2",
    "host2/nic1",
    "provider/host1.nic1",
    "provider/host2.nic1",
  ]);
  expect(result.ports["host1/Blue1"]).toEqual({
    rx: { packets: 3, bytes: 74 + 74 + 10 },
    tx: { packets: 0, bytes: 0 },
  });
  expect(result.ports["host1/Red1"]).toEqual({ rx: { packets: 0, bytes: 0 }, tx: { packets: 0, bytes: 0 } });
  expect(result.drops).toEqual([
    {
      node: "host1",
      port: "host1/Blue1",
      reason: "INVALID_PACKET",
      windowsReason: "InvalidPacket",
      windowsNumber: 2,
      count: 1,
    },
  ]);
  expect(result.totals).toEqual({ in: 3, delivered: 2, dropped: 1, passed: 0, consumed: 0, copies: 0, injected: 0 });
  expect(result.flows).toMatchObject({ hits: 3, misses: 4, entries: 3 }); // three nodes; the runt asks the slow path once
  expect(result.elapsedMs).toBeGreaterThanOrEqual(0);
});

it("the report names files, ports, drops in English, and the sum", async () => {
  const at = workplace();
  writePcap(at("in.pcap"), [innerOf("a"), new Uint8Array(10)]);
  const { stdout, stderr } = await hnv(["run", LABS.plain, "--in", `host1/Blue1=${at("in.pcap")}`]);
  expect(stderr).toBe("");
  expect(stdout).toContain(`read  2 frames  ${at("in.pcap")}  into host1/Blue1\n`);
  expect(stdout).toMatch(/^host1\/Blue1 +2 +84 +0 +0$/m);
  expect(stdout).toContain("1  host1/Blue1  INVALID_PACKET  The frame is too short or its headers are broken.\n");
  expect(stdout).toContain("2 in = 1 delivered + 1 dropped + 0 passed + 0 consumed\n");
  expect(stdout).not.toContain("\u001b");
});

it("type of an output: by suffix, else the first input's; nanoseconds stay", async () => {
  const at = workplace();
  writePcap(at("in.pcap"), [innerOf("a")]);
  const outs = ["--out", `host1/nic1=${at("w.pcapng")}`, "--out", `host2/Blue2=${at("plain")}`];
  await hnv(["run", LABS.plain, "--in", `host1/Blue1=${at("in.pcap")}`, ...outs]);
  expect(readPcapng(at("w.pcapng"))).toHaveLength(1);
  expect(readPcapng(at("w.pcapng"))[0]!.interface).toBe("host1/nic1");
  expect(readPcap(at("plain"))).toHaveLength(1);

  const nano = readFileSync(at("in.pcap"));
  nano.writeUInt32LE(0xa1b23c4d, 0);
  nano.writeUInt32LE(123_456_789, 28);
  const ended = await hnv(["run", LABS.plain, "--in", "host1/Blue1=-", "--out", "host2/Blue2=-"], { input: nano });
  expect(ended.bytes.readUInt32LE(0)).toBe(0xa1b23c4d);
  expect(ended.bytes.readUInt32LE(28)).toBe(123_456_789);
  expect(ended.stderr).toContain("1 in = 1 delivered"); // the report makes room for the capture
});

describe("a host whose record is out of date", () => {
  /** Host 1 looks for Blue2 at host 3, which knows better. */
  const STALE = `${readFileSync(LABS.plain, "utf8")}
  - name: host3
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-21 }]
    providerAddresses: [{ address: 192.168.4.33 }]
lookupRecords:
  - { host: host1, customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 060600000007, providerAddress: 192.168.4.33 }
`;
  const counts = { held: 0, redirectsEvicted: 0, eventsHeld: 0 };

  async function run(lab: string): Promise<{ result: ReturnType<typeof resultOf>; arrived: number; report: string }> {
    const at = workplace();
    writeFileSync(at("lab.yaml"), lab);
    const start = 1_700_000_000e6;
    writePcap(
      at("in.pcap"),
      Array.from({ length: 10 }, (_, index) => ({ data: innerOf("a"), time: start + index * 10_000 })),
    );
    const args = [
      "run",
      at("lab.yaml"),
      "--in",
      `host1/Blue1=${at("in.pcap")}`,
      "--out",
      `host2/Blue2=${at("b.pcap")}`,
    ];
    const [ended, report] = [await hnv([...args, "--json"]), await hnv(args)];
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    return { result: resultOf(ended), arrived: readPcap(at("b.pcap")).length, report: report.stdout };
  }

  it("is redirected after the first packet", async () => {
    const { result, arrived, report } = await run(STALE);
    expect(arrived).toBe(9);
    expect(result.totals).toMatchObject({ in: 10, delivered: 9, dropped: 1, consumed: 1, injected: 1 });
    expect(result).toMatchObject({
      controlMessages: { host1: { ...counts, sent: 0, redirects: 1 }, host3: { ...counts, sent: 1, redirects: 0 } },
    });
    expect(report).toContain("host3: 1 control message sent, 0 held back, 0 redirects obeyed\n");
  });

  it("loses all packets with acceptRedirect off", async () => {
    const { result, arrived } = await run(`${STALE}settings: { acceptRedirect: false }\n`);
    expect(arrived).toBe(0);
    expect(result.drops.map(({ port, reason, count }) => [port, reason, count])).toEqual([
      ["host1/nic1", "RX_CTRL", 1],
      ["host3/nic1", "RX_MOVED", 10],
    ]);
  });
});
