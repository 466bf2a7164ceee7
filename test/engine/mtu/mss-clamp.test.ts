/** The MSS clamp: SYN packets that announce longer segments than the provider path holds. */
import { expect, test } from "vitest";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";
import { hexOf } from "../build.js";
import { deliveredAt, endsOf, labOf } from "./lab.js";

const ETHER = "Ether(dst='06:06:00:00:00:07',src='06:06:00:00:00:05')";
const V4 = "IP(src='10.0.0.5',dst='10.0.0.7',flags='DF')";
const V6 = "IPv6(src='fd00:10::5',dst='fd00:10::7')";
const tcp = (ip: string, flags: string, options: string): Uint8Array =>
  scapyFrames(`emit(${ETHER}/${ip}/TCP(sport=40000,dport=5001,seq=1000,flags='${flags}',options=${options}))`)[0]!;
const clamping = () => labOf({ mtus: [1500, 1500], settings: "{ mssClamp: true }" });

test.runIf(isScapyAvailable() && isTsharkAvailable()).each([
  ["IPv4", V4, "[('MSS',1460),('SAckOK',b''),('Timestamp',(1,0))]", 1458 - 40],
  ["IPv6", V6, "[('MSS',1440)]", 1458 - 60],
  ["an option at an odd place", V4, "[('NOP',None),('MSS',1460)]", 1458 - 40],
  ["another odd one", V4, "[('NOP',None),('NOP',None),('NOP',None),('MSS',9000)]", 1458 - 40],
])("%s: the SYN arrives with what fits, its checksum right, nothing else changed", (_, ip, options, fits) => {
  const sent = tcp(ip, "S", options);
  const ends = clamping().send("host1/Blue1", sent);
  expect(endsOf(ends)).toEqual(["consumed at host1/Blue1: TX_MSS_CLAMPED", "delivered at host2/Blue2"]);
  const [arrived] = deliveredAt(ends, "host2/Blue2");
  const [fields] = tsharkFields([arrived!], ["tcp.options.mss_val", "tcp.checksum.status"]);
  expect(fields).toEqual({ "tcp.options.mss_val": [String(fits)], "tcp.checksum.status": ["1"] });
  expect(arrived!.filter((octet, at) => octet !== sent[at]).length).toBeLessThanOrEqual(4);
});

test.runIf(isScapyAvailable()).each([
  ["a SYN that announces what fits", tcp(V4, "S", "[('MSS',1400)]")],
  ["a SYN that announces nothing", tcp(V4, "S", "[]")],
  ["data with what looks like the option", tcp(V4, "A", "[('MSS',1460)]")],
])("%s is left alone", (_, sent) => {
  const ends = clamping().send("host1/Blue1", sent);
  expect(endsOf(ends)).toEqual(["delivered at host2/Blue2"]);
  expect(hexOf(ends[0]!.frame)).toBe(hexOf(sent));
});

test.runIf(isScapyAvailable())("off by default; and the answer of the far host is clamped there", () => {
  const syn = tcp(V4, "S", "[('MSS',1460)]");
  expect(endsOf(labOf({ mtus: [1500, 1500] }).send("host1/Blue1", syn))).toEqual(["delivered at host2/Blue2"]);
  const [answer] = scapyFrames(
    "emit(Ether(src='06:06:00:00:00:07',dst='06:06:00:00:00:05')/IP(dst='10.0.0.5',src='10.0.0.7')/TCP(flags='SA',options=[('MSS',1460)]))",
  );
  expect(endsOf(clamping().send("host2/Blue2", answer!))[0]).toBe("consumed at host2/Blue2: TX_MSS_CLAMPED");
});

test.runIf(isScapyAvailable())(
  "a SYN of a flow with an entry is looked at all the same; data goes by the entry",
  () => {
    const lab = clamping();
    const [data, syn] = [tcp(V4, "A", "[]"), tcp(V4, "S", "[('MSS',1460)]")];
    lab.sendAll([data, data, syn, data, syn, data].map((frame) => ({ port: "host1/Blue1", frame })));
    const { totals, reasons, flows } = lab.counters();
    expect(totals).toMatchObject({ in: 6, consumed: 2, injected: 2, delivered: 6 });
    expect(reasons.map(({ reason, count }) => [reason.reason, count])).toEqual([["TX_MSS_CLAMPED", 2]]);
    expect(flows.guarded).toBe(4); // each SYN twice: as it came, and as it went on
    expect(flows.misses).toBe(3); // one flow at three nodes
  },
);
