/** The lab with a built-in gateway, as a user runs it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { datagram, fromContoso, fromFabrikam, fromOutside, seen } from "../vswitch/gateway/gateway-lab.js";
import { hnv, ROOT, readPcap, resultOf, type TimedFrame, workplace, writePcap } from "./helpers.js";

const LAB = join(ROOT, "examples/gateway.yaml");
const START = 1_700_000_000 * 1e6;
const VM = "10.0.1.101";
const WEB = "198.51.100.80";

/** Seven flows of a tenant, a packet each 300 microseconds: the first ones of several flows in one millisecond. */
const sent = (from: (packet: Uint8Array) => Uint8Array, count: number): TimedFrame[] =>
  Array.from({ length: count }, (_, i) => ({
    data: from(datagram(VM, WEB, [4000 + (i % 7), 53], { data: Uint8Array.of(i >> 8, i & 255) })),
    time: START + i * 300,
  }));

it("run: two captures through the gateway and the answers back, the same bytes each time", async () => {
  const at = workplace();
  writePcap(at("contoso.pcap"), sent(fromContoso, 500));
  writePcap(at("fabrikam.pcap"), sent(fromFabrikam, 500));
  const args = ["--in", `hv1/Contoso1=${at("contoso.pcap")}`, "--in", `hv1/Fabrikam1=${at("fabrikam.pcap")}`];
  const out = (name: string): string[] => ["--out", `edge/external=${at(name)}`];
  const { totals } = resultOf(await hnv(["run", LAB, ...args, ...out("out.pcap"), "--json"]));
  expect(totals).toMatchObject({ in: 1000, delivered: 1000, dropped: 0 });
  expect(totals.consumed).toBe(totals.injected);
  const again = await hnv(["run", LAB, ...args, ...out("again.pcap"), "--workers", "3"]);
  expect(again.stderr).toContain("one worker instead of 3, because address translation gives out ports");
  expect(readFileSync(at("again.pcap"))).toEqual(readFileSync(at("out.pcap")));

  // Each external port answers to the data that it sent: what comes back to each tenant is its own.
  const left = readPcap(at("out.pcap"));
  expect(left).toHaveLength(1000);
  const answers = left.map(({ data, time }) => ({
    data: fromOutside(datagram(WEB, "203.0.113.2", [53, seen(data).ports[0]], { data: data.slice(42) })),
    time: time + 1e6,
  }));
  writePcap(at("answers.pcap"), answers);
  const back = ["--in", `edge/external=${at("answers.pcap")}`, "--out", `hv1/Contoso1=${at("back.pcap")}`];
  resultOf(await hnv(["run", LAB, ...args, ...back, "--json"]));
  const got = readPcap(at("back.pcap")).map(({ data }) => [seen(data).ports[1], data[42]! * 256 + data[43]!]);
  expect(got.map(([, number]) => number).sort((a, b) => a! - b!)).toEqual(Array.from({ length: 500 }, (_, i) => i));
  expect(got.every(([port, number]) => port === 4000 + (number! % 7))).toBe(true);
}, 60_000);

it("explain counts each packet once, those that wait for a binding too", async () => {
  const at = workplace();
  writePcap(at("contoso.pcap"), sent(fromContoso, 500));
  const { stdout } = await hnv(["explain", LAB, "--in", `hv1/Contoso1=${at("contoso.pcap")}`, "--json"]);
  const { totals, paths } = JSON.parse(stdout) as {
    totals: { consumed: number };
    paths: { packets: number; end: string; at: string }[];
  };
  expect(paths.map(({ packets, end, at: port }) => [packets, end, port])).toEqual([
    [500 - totals.consumed, "delivered", "edge/external"],
    [totals.consumed, "consumed", "edge/6001"],
  ]);
}, 60_000);

it("check finds nothing wrong with it", async () => {
  const { status, stdout } = await hnv(["check", LAB]);
  expect(status).toBe(0);
  expect(stdout).toContain("Contoso, IPv4: 2 addresses, 2 of 2 pairs reached");
});
