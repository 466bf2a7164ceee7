/**
 * The oracle itself, proven on worked packets whose bytes were made and checked without it: only then may it judge ours.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ovs, ovsMissing, startOvs } from "./ovs.js";
import { warnSkipped } from "./programs.js";

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replace(/\s+/g, ""), "hex"));
const hex = (frame: Uint8Array | null | undefined): string => Buffer.from(frame ?? []).toString("hex");

/** Packet A: an echo request from Blue1 to Blue2, VSID 5001, FlowID 0xa5. */
const PACKET_A = bytes(`
  02 00 c0 a8 04 16 02 00 c0 a8 04 0b 08 00 45 00 00 66 1a 2b 40 00 80 2f 56 cc c0 a8 04 0b c0 a8
  04 16 20 00 65 58 00 13 89 a5 06 06 00 00 00 07 06 06 00 00 00 05 08 00 45 00 00 3c 00 01 00 00
  80 01 26 b5 0a 00 00 05 0a 00 00 07 08 00 4d 5a 00 01 00 01 61 62 63 64 65 66 67 68 69 6a 6b 6c
  6d 6e 6f 70 71 72 73 74 75 76 77 61 62 63 64 65 66 67 68 69`);
/** Packet D: a TCP SYN in an outer IPv6 packet, VSID 5001, FlowID 0xbd. */
const PACKET_D = bytes(`
  02 00 c0 a8 04 16 02 00 c0 a8 04 0b 86 dd 60 0c b7 35 00 4a 2f 80 20 01 0d b8 00 04 00 00 00 00
  00 00 00 00 00 11 20 01 0d b8 00 04 00 00 00 00 00 00 00 00 00 22 20 00 65 58 00 13 89 bd 06 06
  00 00 00 07 06 06 00 00 00 05 08 00 45 00 00 34 00 03 40 00 80 06 e6 b5 0a 00 00 05 0a 00 00 07
  c0 02 00 50 11 22 33 44 00 00 00 00 80 02 fa f0 5b 99 00 00 02 04 05 76 01 03 03 08 01 01 04 02`);
const KEY_A = 0x001389a5;
const KEY_D = 0x001389bd;
const INNER_A = PACKET_A.slice(42);
const INNER_D = PACKET_D.slice(62);

const HOST1 = { mac: "02:00:c0:a8:04:0b", v4: "192.168.4.11", v6: "2001:db8:4::11" };
const HOST2 = { mac: "02:00:c0:a8:04:16", v4: "192.168.4.22", v6: "2001:db8:4::22" };
type Host = typeof HOST1;

const startHost = (me: Host, peer: Host, tunnelOptions?: Record<string, string>): Promise<Ovs> =>
  startOvs({
    mac: me.mac,
    addresses: [`${me.v4}/24`, `${me.v6}/64`],
    neighbours: [
      { address: peer.v4, mac: peer.mac },
      { address: peer.v6, mac: peer.mac },
    ],
    ...(tunnelOptions ? { tunnelOptions } : {}),
  });

const missing = ovsMissing();
if (missing) warnSkipped("Open vSwitch oracle", missing);

describe.skipIf(missing !== null)("Open vSwitch as an oracle", () => {
  let host1: Ovs;
  let host2: Ovs;
  beforeAll(async () => {
    host1 = await startHost(HOST1, HOST2);
    host2 = await startHost(HOST2, HOST1);
  });
  afterAll(async () => {
    await host1?.stop();
    await host2?.stop();
  });

  it("encapsulates packet A: addresses, protocol, GRE header and inner frame are the worked packet's", async () => {
    const outer = await host1.encapsulate(INNER_A, { key: KEY_A, pa: HOST2.v4 });
    expect(outer).toHaveLength(PACKET_A.length);
    expect(hex(outer?.slice(0, 18)), "Ethernet, version, TOS, total length").toBe(hex(PACKET_A.slice(0, 18)));
    // Open vSwitch's own choices: identification 0, DF, TTL 64 of the system, and the checksum that follows from them.
    expect(hex(outer?.slice(18, 26))).toBe("00004000402fb0f7");
    expect(hex(outer?.slice(26)), "addresses, GRE, inner frame").toBe(hex(PACKET_A.slice(26)));
  });

  it("encapsulates packet D over IPv6, but for flow label and hop limit", async () => {
    const outer = await host1.encapsulate(INNER_D, { key: KEY_D, pa: HOST2.v6 });
    expect(hex(outer?.slice(0, 14))).toBe(hex(PACKET_D.slice(0, 14)));
    expect(hex(outer?.slice(14, 22))).toBe("60000000004a2f40");
    expect(hex(outer?.slice(22))).toBe(hex(PACKET_D.slice(22)));
  });

  it("decapsulates packets A and D to the right tunnel id and inner frame", async () => {
    const a = await host2.decapsulate(PACKET_A);
    expect({ tunId: a?.tunId, inner: hex(a?.inner) }).toEqual({ tunId: KEY_A, inner: hex(INNER_A) });
    const d = await host2.decapsulate(PACKET_D);
    expect({ tunId: d?.tunId, inner: hex(d?.inner) }).toEqual({ tunId: KEY_D, inner: hex(INNER_D) });
  });

  it("keeps all 32 bits of the key, the highest included", async () => {
    const outer = await host1.encapsulate(INNER_A, { key: 0xfffffeff, pa: HOST2.v4 });
    expect(hex(outer?.slice(38, 42))).toBe("fffffeff");
    expect((await host2.decapsulate(outer!))?.tunId).toBe(0xfffffeff);
  });

  it("answers null where Open vSwitch refuses, and the next question is not disturbed", async () => {
    expect(await host1.decapsulate(PACKET_A), "not addressed to this host").toBeNull();
    const routing = PACKET_A.slice();
    routing[0x22] = 0x60; // the routing bit of RFC 1701
    expect(await host2.decapsulate(routing)).toBeNull();
    expect(await host1.encapsulate(INNER_A, { key: KEY_A, pa: "198.51.100.1" }), "no route").toBeNull();
    expect((await host2.decapsulate(PACKET_A))?.tunId).toBe(KEY_A);
  });

  it("judges the generated negative vectors as GRE alone would: optional words yes, wrong checksum and routing no", async () => {
    const at = (name: string): string => fileURLToPath(new URL(`../../pcaps/${name}`, import.meta.url));
    const { vectors } = JSON.parse(readFileSync(at("negative-vectors.json"), "utf8")) as {
      vectors: { name: string }[];
    };
    const file = readFileSync(at("negative-vectors.pcap"));
    const verdicts: Record<string, string> = {};
    let offset = 24;
    for (const { name } of vectors) {
      const end = offset + 16 + file.readUInt32LE(offset + 8);
      const got = await host2.decapsulate(file.subarray(offset + 16, end));
      verdicts[name] = got === null ? "refused" : hex(got.inner) === hex(INNER_A) ? got.tunId.toString(16) : "other";
      offset = end;
    }
    // What every GRE receiver must agree with us about: the words that follow the flags, the checksum, the key.
    const accepted = { N2: "1389a5", N3: "1389a5", "N17-00": "138900", "N17-5a": "13895a", "N17-ff": "1389ff" };
    const refused = ["N3-wrong", "N4", "N5", "N6", "N11", "N12", "N13", "N19"];
    expect(verdicts).toMatchObject({ ...accepted, ...Object.fromEntries(refused.map((name) => [name, "refused"])) });
    // Where it differs from an NVE: no key means key 0, low reserved bits are not ignored, Ethernet padding stays inside.
    expect(verdicts).toMatchObject({ N1: "0", N18: "refused", N16: "other" });
    // It knows neither virtual subnets nor lookup records.
    expect(verdicts).toMatchObject({ N7: "fffa5", N8: "ffffffa5", N9: "1000a5", N14: "1389a5" });
  });

  it("carries what does not fit a usual MTU", async () => {
    const jumbo = new Uint8Array(8000).fill(0x5a);
    jumbo.set(INNER_A.slice(0, 12));
    jumbo.set([0x88, 0xb5], 12); // an experimental EtherType
    const outer = await host1.encapsulate(jumbo, { key: KEY_A, pa: HOST2.v4 });
    expect(outer).toHaveLength(8042);
    expect(hex((await host2.decapsulate(outer!))?.inner)).toBe(hex(jumbo));
  });

  it("sends checksum or sequence number when its port is told to", async () => {
    const checksum = await startHost(HOST1, HOST2, { csum: "true" });
    const sequence = await startHost(HOST1, HOST2, { seq: "true" });
    try {
      const c = await checksum.encapsulate(INNER_A, { key: KEY_A, pa: HOST2.v4 });
      expect(hex(c?.slice(34, 38))).toBe("a0006558");
      expect(hex(c?.slice(42))).toBe(`${hex(PACKET_A.slice(38, 42))}${hex(INNER_A)}`);
      expect((await host2.decapsulate(c!))?.tunId).toBe(KEY_A);
      const s = await sequence.encapsulate(INNER_A, { key: KEY_A, pa: HOST2.v4 });
      expect(hex(s?.slice(34, 42))).toBe("30006558001389a5");
      expect(hex(s?.slice(46))).toBe(hex(INNER_A));
    } finally {
      await checksum.stop();
      await sequence.stop();
    }
  });
});
