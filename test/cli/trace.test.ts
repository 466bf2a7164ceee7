/** `hnv trace`: reasons, records and bytes of one packet's way, from each of its three kinds of input. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { bytesOf, hexOf, innerOf, workedPacket } from "../vectors/worked-packets.js";
import { hnv, LABS, withoutIdentification, workplace, writePcap } from "./helpers.js";

interface Step {
  readonly node: string;
  readonly port: string;
  readonly layer: string;
  readonly saw: string;
  readonly decision: string;
  readonly record: Record<string, unknown> | null;
  readonly nearest: { readonly record: Record<string, unknown>; readonly differs: string } | null;
  readonly before: string;
  readonly after: string | null;
}
interface Traced {
  readonly schemaVersion: number;
  readonly frame: string;
  readonly steps: readonly Step[];
  readonly ends: readonly { readonly end: string; readonly port: string; readonly reason: string | null }[];
}

async function trace(...args: readonly string[]): Promise<Traced> {
  const { status, stdout, stderr } = await hnv(["trace", ...args, "--json"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as Traced;
}

it("follows packet A over three nodes; the bytes between are those of the worked packet", async () => {
  const { schemaVersion, steps, ends } = await trace(LABS.plain, "--port", "host1/Blue1", "--hex", hexOf(innerOf("a")));
  expect(schemaVersion).toBe(1);
  expect([...new Set(steps.map(({ node }) => node))]).toEqual(["host1", "provider", "host2"]);
  const onTheWire = steps.find(({ node }) => node === "provider")!.before;
  expect(withoutIdentification(onTheWire, 14)).toBe(withoutIdentification(hexOf(workedPacket("a")), 14));
  expect(steps[0]).toMatchObject({ port: "host1/Blue1", before: hexOf(innerOf("a")) });
  expect(steps.at(-1)).toMatchObject({ node: "host2", after: hexOf(innerOf("a")) });
  expect(ends).toEqual([{ end: "delivered", port: "host2/Blue2", reason: null }]);
  const records = steps.filter(({ record }) => record !== null).map(({ record }) => record!);
  expect(records).toContainEqual(
    expect.objectContaining({
      virtualSubnetID: 5001,
      customerAddress: "10.0.0.7",
      macAddress: "06-06-00-00-00-07",
      providerAddress: "192.168.4.22",
    }),
  );
});

it("names the reason, and the nearest record with the field that differed", async () => {
  const at = workplace();
  const spoofed = innerOf("a");
  spoofed.set([10, 0, 0, 77], 14 + 12); // an address that is nobody's
  writePcap(at("in.pcap"), [innerOf("c"), spoofed]);
  const { steps, ends } = await trace(LABS.plain, "--port", "host1/Blue1", "--pcap", `${at("in.pcap")}:2`);
  expect(ends).toEqual([{ end: "dropped", port: "host1/Blue1", reason: "TX_SRC_POLICY" }]);
  const last = steps.at(-1)!;
  expect(last).toMatchObject({ layer: "source policy", after: null });
  expect(last.nearest?.differs).toBe("customerAddress");
  expect(last.nearest?.record).toMatchObject({ virtualSubnetID: 5001 });
});

it.concurrent.each([
  ["udp 10.0.0.5:4000 > 10.0.0.7:53", "06-06-00-00-00-07", "host2/Blue2"],
  ["tcp 10.0.0.5:4000 > 10.0.1.9:80", "06-06-00-00-01-01", "host2/Blue3"],
  ["icmp 10.0.0.5 > 10.0.0.7", "06-06-00-00-00-07", "host2/Blue2"],
  ["udp [fd00:10::5]:4000 > [fd00:10::7]:53", "06-06-00-00-00-07", "host2/Blue2"],
  ["icmp fd00:10::5 > fd00:10::7", "06-06-00-00-00-07", "host2/Blue2"],
])("--flow '%s' makes a frame that arrives", async (flow, mac, port) => {
  const { frame, ends } = await trace(LABS.plain, "--port", "host1/Blue1", "--flow", flow);
  expect(frame.slice(0, 24)).toBe(hexOf(bytesOf(`${mac}06-06-00-00-00-05`.replaceAll("-", ""))));
  expect(ends).toEqual([{ end: "delivered", port, reason: null }]);
});

it("--flow builds checksums that tshark would not complain about", async () => {
  const { frame } = await trace(LABS.plain, "--port", "host1/Blue1", "--flow", "udp 10.0.0.5:4000 > 10.0.0.7:53");
  const bytes = Buffer.from(frame, "hex");
  const sum = (from: number, to: number, start = 0): number => {
    let total = start;
    for (let at = from; at < to; at += 2) total += at + 1 < to ? bytes.readUInt16BE(at) : bytes[at]! << 8;
    while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
    return total;
  };
  expect(sum(14, 34)).toBe(0xffff);
  // RFC 768: pseudo header of both addresses, protocol 17 and the length.
  expect(sum(34, bytes.length, sum(26, 34) + 17 + bytes.readUInt16BE(38))).toBe(0xffff);
});

it("as text: layers, decisions, dissected frames and octets before and after", async () => {
  const { stdout } = await hnv(["trace", LABS.plain, "--port", "host1/Blue1", "--hex", hexOf(innerOf("a"))]);
  expect(stdout).toContain("host1  enters at host1/Blue1\n");
  expect(stdout).toContain("  next hop\n    saw      VSID 5001, 10.0.0.5 -> 10.0.0.7\n");
  expect(stdout).toContain("  leaves at host1/nic1, linked to provider/host1.nic1\n");
  expect(stdout).toContain("    NVGRE VSID 5001, FlowID 0xa5\n");
  expect(stdout).toContain("      0020  04 16 20 00 65 58 00 13 89 a5 06 06 00 00 00 07\n");
  expect(stdout).toContain("  leaves at host2/Blue2, delivered\n");
  const dropped = await hnv(["trace", LABS.plain, "--port", "host1/Blue1", "--hex", "00"]);
  expect(dropped.stdout).toContain("  dropped INVALID_PACKET (Windows: InvalidPacket 2): ");
});

it("a whole lab decides as `run` does", async () => {
  const at = workplace();
  writePcap(at("in.pcap"), [workedPacket("a")]);
  const { ends } = await trace(LABS.plain, "--port", "host2/nic1", "--pcap", `${at("in.pcap")}:1`);
  expect(ends).toEqual([{ end: "delivered", port: "host2/Blue2", reason: null }]);
  const { ends: foreign } = await trace(LABS.plain, "--port", "host1/nic1", "--pcap", `${at("in.pcap")}:1`);
  expect(foreign[0]!.end).not.toBe("delivered");
});

it.concurrent.each([
  [[], "exactly one of"],
  [["--hex", "00", "--flow", "icmp 10.0.0.5 > 10.0.0.7"], "exactly one of"],
  [["--hex", "0g"], "hexadecimal"],
  [["--hex", "000"], "whole octets"],
  [["--flow", "sctp 10.0.0.5:1 > 10.0.0.7:2"], "expected such as"],
  [["--flow", "udp 10.0.0.5 > 10.0.0.7"], "expected such as"],
  [["--flow", "udp 10.0.0.5:70000 > 10.0.0.7:1"], "expected such as"],
  [["--flow", "icmp 10.0.0.5 > fd00::7"], "one family"],
  [["--pcap", "nothing.pcap:1"], "no such file"],
  [["--pcap", "nothing.pcap"], "FILE:N"],
])("refuses %j", async (args, words) => {
  const { status, stderr } = await hnv(["trace", LABS.plain, "--port", "host1/Blue1", ...args]);
  expect(status).toBe(2);
  expect(stderr).toMatch(/^hnv: [^\n]+\n$/);
  expect(stderr).toContain(words);
});

it("refuses frames that are not there, and flows from where no VM sends", async () => {
  const at = workplace();
  writePcap(at("in.pcap"), [innerOf("a")]);
  const beyond = await hnv(["trace", LABS.plain, "--port", "host1/Blue1", "--pcap", `${at("in.pcap")}:2`]);
  expect(beyond).toMatchObject({ status: 2, stderr: `hnv: ${at("in.pcap")}: has 1 frames; there is no frame 2\n` });
  const nic = await hnv(["trace", LABS.plain, "--port", "host1/nic1", "--flow", "icmp 10.0.0.5 > 10.0.0.7"]);
  expect(nic.status).toBe(2);
  expect(nic.stderr).toContain("host1/nic1 is not");
  const both = await hnv(["trace", "-", "--port", "host1/Blue1", "--pcap", "-:1"], { input: readFileSync(LABS.plain) });
  expect(both).toMatchObject({ status: 2, stderr: "hnv: standard input (-) can be read only once\n" });
});
