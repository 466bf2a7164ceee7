/** Responders in a whole lab: what is answered on the way, and that the rest of the traffic never waits for them. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { createLab } from "../../src/index.js";
import { arp, frame, hexOf, ip, udp } from "./build.js";

const LAB = readFileSync(fileURLToPath(new URL("../../examples/two-tenants.yaml", import.meta.url)), "utf8");
const BLUE1 = "06-06-00-00-00-05";
const BLUE2 = "06-06-00-00-00-07";
const ALL = "FF-FF-FF-FF-FF-FF";

const question = (target: string): Uint8Array =>
  frame(ALL, BLUE1, arp({ operation: 1, senderMac: BLUE1, sender: "10.0.0.5", target }));
function data(flow: number, ttl = 64, destinationMac = BLUE2, destination = "10.0.0.7"): Uint8Array {
  const payload = udp("10.0.0.5", destination, [1000 + flow, 4000], new Uint8Array(20));
  return frame(destinationMac, BLUE1, ip({ source: "10.0.0.5", destination, protocol: 17, payload, ttl }));
}

it("packets that need no responder enter the slow path once per flow and node, whatever is answered between them", () => {
  const lab = createLab(LAB);
  const flows = 10;
  const entries = flows + 1 + flows; // the provider network sees one flow, from host to host
  const frames = Array.from({ length: 2000 }, (_, at) => ({
    port: "host1/Blue1",
    frame: at % 20 === 7 ? question("10.0.0.7") : data(at % flows),
  }));
  lab.sendAll(frames);
  const questions = 2000 / 20;
  const { totals, flows: counters } = lab.counters();
  expect(totals).toEqual({
    in: 2000,
    delivered: 2000,
    dropped: 0,
    passed: 0,
    consumed: questions,
    copies: 0,
    injected: questions,
  });
  expect(counters.entries).toBe(entries);
  expect(counters.misses).toBe(entries + questions);
  expect(counters.hits).toBe((2000 - questions) * 3 - entries);
});

it("a guest finds its peer by ARP, and the far host's VM gets what it sends to the answer's MAC", () => {
  const lab = createLab(LAB);
  const [taken, answer] = lab.send("host1/Blue1", question("10.0.0.7"));
  expect([taken!.verdict, answer!.verdict, answer!.port]).toEqual(["consumed", "delivered", "host1/Blue1"]);
  const mac = hexOf(answer!.frame.subarray(22, 28));
  const [end] = lab.send("host1/Blue1", data(1, 64, mac));
  expect([end!.verdict, end!.port]).toEqual(["delivered", "host2/Blue2"]);
});

it("a path of routers as traceroute sees it: the distributed router is one hop", () => {
  const lab = createLab(LAB);
  const gateway = hexOf(lab.send("host1/Blue1", question("10.0.0.1"))[1]!.frame.subarray(22, 28));
  const first = lab.send("host1/Blue1", data(1, 1, gateway, "10.0.1.9"));
  expect(first.map(({ verdict, reason }) => [verdict, reason?.reason ?? null])).toEqual([
    ["dropped", "TX_TTL_EXCEEDED"],
    ["delivered", null],
  ]);
  const second = lab.send("host1/Blue1", data(1, 2, gateway, "10.0.1.9"));
  expect(second.map(({ verdict, port }) => [verdict, port])).toEqual([["delivered", "host2/Blue3"]]);
});

it("explain tells the answer and sends none", () => {
  const lab = createLab(LAB);
  const [step] = lab.explain("host1/Blue1", question("10.0.0.7"));
  const [sent] = lab.send("host1/Blue1", question("10.0.0.7")).slice(1);
  expect(step!.verdict).toBe("consume");
  expect(step!.outputs).toEqual([]);
  expect(step!.answers).toEqual([{ port: "host1/Blue1", peer: null, after: sent!.frame }]);
  expect(lab.counters().totals.injected).toBe(1);
  const routed = lab.explain("host1/Blue1", data(1, 1, "02-00-5E-00-01-01", "10.0.1.9"))[0]!;
  expect([routed.verdict, routed.reason?.reason, routed.answers.length]).toEqual(["drop", "TX_TTL_EXCEEDED", 1]);
});
