/** `--in auto:HOST=FILE`: one capture of a whole host finds its way to the host's ports, and what is no input is listed. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { innerOf, workedPacket } from "../vectors/worked-packets.js";
import { hnv, LABS, ROOT, readHex, readPcapng, withoutIdentification, workplace, writePcap } from "./helpers.js";

interface Input {
  readonly port: string;
  readonly frames: number;
  readonly ports: { port: string; frames: number }[];
  readonly leftOut: { why: string; frames: number; first: number }[];
}

async function run(...args: readonly string[]): Promise<{ inputs: Input[]; totals: Record<string, number> }> {
  const { status, stdout, stderr } = await hnv(["run", ...args, "--json"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as { inputs: Input[]; totals: Record<string, number> };
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
/** An ARP request (RFC 826) from a MAC and an address, for 10.0.0.9. */
const arp = (mac: string, address: string, tag = ""): Uint8Array =>
  hex(`ffffffffffff ${mac} ${tag} 0806 0001 0800 0604 0001 ${mac} ${address} 000000000000 0a000009`);

it("the same frames as one mirror of host1 and as one capture per port: the same bytes come out", async () => {
  const at = workplace();
  const sent = ["blue1-icmp", "blue1-routed"].map((name) => join(ROOT, `pcaps/${name}-sent.pcap`));
  const back = join(ROOT, "pcaps/blue2-tcp-sent.pcap");
  const inputs = [...sent.map((file) => `host1/Blue1=${file}`), `host2/Blue2=${back}`].flatMap((input) => [
    "--in",
    input,
  ]);
  const one = await run(
    LABS.plain,
    ...inputs,
    "--capture-all",
    at("all.pcapng"),
    "--out",
    `host1/nic1=${at("wire.pcap")}`,
  );
  expect(one.totals.dropped).toBe(0);

  const atHost1 = readPcapng(at("all.pcapng")).filter((packet) => packet.interface.startsWith("host1/"));
  writePcap(
    at("mirror.pcap"),
    atHost1.map(({ data }) => hex(data)),
  );
  const fromVm = readHex(sent[0]!).length + readHex(sent[1]!).length;
  const fromWire = readHex(back).length;

  const mirror = ["--in", `auto:host1=${at("mirror.pcap")}`];
  const { inputs: results, totals } = await run(LABS.plain, ...mirror, "--out", `host1/nic1=${at("again.pcap")}`);
  expect(results[0]).toMatchObject({ port: "auto:host1", frames: 2 * (fromVm + fromWire) });
  expect(results[0]!.ports.toSorted((a, b) => a.port.localeCompare(b.port))).toEqual([
    { port: "host1/Blue1", frames: fromVm },
    { port: "host1/nic1", frames: fromWire },
  ]);
  expect(results[0]!.leftOut.map(({ why, frames }) => [why, frames]).sort()).toEqual([
    ["NVGRE that the host sent itself", fromVm],
    ["for a VM of the host, already unwrapped", fromWire],
  ]);
  expect(totals).toMatchObject({ in: fromVm + fromWire, dropped: 0 });
  const plain = (file: string) =>
    readHex(file)
      .map((frame) => withoutIdentification(frame, 14))
      .sort();
  expect(plain(at("again.pcap"))).toEqual(plain(at("wire.pcap")));

  // Hosts that listen to path MTUs and control messages would have one worker.
  const quiet = at("quiet.yaml");
  const settings = "settings: { sendControlMessages: false, acceptRedirect: false, learnPathMtu: false }";
  writeFileSync(quiet, `${readFileSync(LABS.plain, "utf8")}\n${settings}\n`);
  const workers = await run(quiet, ...mirror, "--workers", "2", "--out", `host1/nic1=${at("workers.pcap")}`);
  expect(workers.inputs[0]!.leftOut).toEqual(results[0]!.leftOut);
  expect(readHex(at("workers.pcap")).map((frame) => withoutIdentification(frame, 14))).toEqual(
    readHex(at("again.pcap")).map((frame) => withoutIdentification(frame, 14)),
  );
});

it("IP Rewrite: what a VM has sent is told from what the host made of it, also with the VM's MAC on the wire", async () => {
  const at = workplace();
  const lab = at("lab.yaml");
  const record = (ca: string, mac: string, pa: string): string =>
    `  - { virtualSubnetID: 5001, customerAddress: ${ca}, macAddress: "${mac}", providerAddress: ${pa}, rule: TranslationMethodNat, useVmMACAddress: true }\n`;
  const plain = readFileSync(LABS.plain, "utf8")
    .replace("{ address: 192.168.4.11 }", "{ address: 192.168.4.11 }, { address: 192.168.4.101 }")
    .replace("{ address: 192.168.4.22 }", "{ address: 192.168.4.22 }, { address: 192.168.4.102 }");
  const records =
    record("10.0.0.5", "060600000005", "192.168.4.101") + record("10.0.0.7", "060600000007", "192.168.4.102");
  writeFileSync(lab, `${plain}\nlookupRecords:\n${records}`);
  const inputs = ["host1/Blue1=pcaps/blue1-icmp-sent.pcap", "host2/Blue2=pcaps/blue2-tcp-sent.pcap"];
  const [sent, received] = inputs.map((input) => readHex(join(ROOT, input.split("=")[1]!)).length);
  const files = inputs.flatMap((input) => ["--in", input.replace("pcaps/", `${ROOT}/pcaps/`)]);
  const wire = ["--out", `host1/nic1=${at("wire.pcap")}`];
  const one = await run(lab, ...files, "--capture-all", at("all.pcapng"), ...wire);
  expect(one.totals.dropped).toBe(0);
  const atHost1 = readPcapng(at("all.pcapng")).filter((packet) => packet.interface.startsWith("host1/"));
  writePcap(
    at("mirror.pcap"),
    atHost1.map(({ data }) => hex(data)),
  );
  const again = await run(lab, "--in", `auto:host1=${at("mirror.pcap")}`, "--out", `host1/nic1=${at("again.pcap")}`);
  expect(again.inputs[0]!.ports.toSorted((a, b) => a.port.localeCompare(b.port))).toEqual([
    { port: "host1/Blue1", frames: sent },
    { port: "host1/nic1", frames: received },
  ]);
  expect(again.inputs[0]!.leftOut.map(({ why, frames }) => [why, frames]).sort()).toEqual([
    ["for a VM of the host, already unwrapped", received],
    ["sent by the host itself", sent],
  ]);
  expect(readHex(at("again.pcap"))).toEqual(readHex(at("wire.pcap")));
});

it("another tenant's VM elsewhere has the MAC of an adapter here: its unwrapped frames are not that adapter's", async () => {
  const at = workplace();
  const lab = at("lab.yaml");
  writeFileSync(lab, readFileSync(LABS.plain, "utf8").replace("08-08-00-00-00-05", "06-06-00-00-00-07")); // Red1, as Blue2
  const fromBlue2 = readHex(join(ROOT, "pcaps/blue2-tcp-sent.pcap")).slice(0, 3).map(hex);
  const fromRed1 = fromBlue2[0]!.slice();
  fromRed1[14 + 15] = 5; // 10.0.0.5
  const unknown = fromBlue2[0]!.slice();
  unknown[14 + 15] = 99;
  writePcap(at("mirror.pcap"), [...fromBlue2, fromRed1, unknown]);
  const { inputs } = await run(lab, "--in", `auto:host1=${at("mirror.pcap")}`);
  expect(inputs[0]!.leftOut).toMatchObject([{ why: "for a VM of the host, already unwrapped", frames: 3, first: 1 }]);
  expect(inputs[0]!.ports).toEqual([{ port: "host1/Red1", frames: 2 }]); // what nobody else can have sent, too
});

it("what fits no port is listed by kind, with the first frame of each; frames of others are not taken in", async () => {
  const at = workplace();
  writePcap(at("mirror.pcap"), [
    innerOf("a"), // from Blue1
    workedPacket("a"), // host1 to host2
    hex("02112233445502112233446608004500"), // two strangers
    hex("0102030405"),
    innerOf("a"),
    hex("02112233445502112233446608004500"),
    hex("0200c0a8040b 02112233446608004500"), // a stranger to the NIC: whatever it is, it enters there
  ]);
  const { inputs, totals } = await run(LABS.plain, "--in", `auto:host1=${at("mirror.pcap")}`);
  expect(inputs[0]).toMatchObject({
    frames: 7,
    ports: [
      { port: "host1/Blue1", frames: 2 },
      { port: "host1/nic1", frames: 1 },
    ],
    leftOut: [
      { why: "neither from nor for this host", frames: 2, first: 3 },
      { why: "NVGRE that the host sent itself", frames: 1, first: 2 },
      { why: "shorter than an Ethernet header", frames: 1, first: 4 },
    ],
  });
  expect(totals.in).toBe(3);
  // The same wire frame enters where it arrives, and between other hosts it is nobody's.
  const there = await run(LABS.plain, "--in", `auto:host2=${at("mirror.pcap")}`);
  expect(there.inputs[0]!.ports).toContainEqual({ port: "host2/nic1", frames: 1 });
});

it("one MAC in two virtual subnets: the source address tells, where it can", async () => {
  const at = workplace();
  const text = readFileSync(LABS.plain, "utf8").replace(
    "mac: 08-08-00-00-00-05, vsid: 6001, addresses: [10.0.0.5]",
    "mac: 06-06-00-00-00-05, vsid: 6001, addresses: [10.0.0.6]",
  );
  writeFileSync(at("lab.yaml"), text);
  writePcap(at("mirror.pcap"), [
    innerOf("a"),
    arp("060600000005", "0a000006"),
    arp("060600000005", "0a000005"),
    arp("060600000005", "00000000"),
  ]);
  const { inputs } = await run(at("lab.yaml"), "--in", `auto:host1=${at("mirror.pcap")}`);
  expect(inputs[0]).toMatchObject({
    ports: [
      { port: "host1/Blue1", frames: 2 },
      { port: "host1/Red1", frames: 1 },
    ],
    leftOut: [
      {
        why: "from a MAC that several adapters have; the source address does not tell which",
        frames: 1,
        first: 4,
      },
    ],
  });
});

it("frames for no MAC of the host, from outside: the VLAN tells the NIC", async () => {
  const at = workplace();
  const text = readFileSync(LABS.plain, "utf8")
    .replace(
      "- { prefix: 192.168.4.0/24, mtu: 1600 }",
      "- { prefix: 192.168.4.0/24, mtu: 1600 }\n    - { prefix: 192.168.5.0/24, vlan: 104 }",
    )
    .replace(
      "nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]\n    providerAddresses: [{ address: 192.168.4.11 }]",
      "nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }, { name: nic2, mac: 02-00-C0-A8-05-0B }]\n    providerAddresses: [{ address: 192.168.4.11 }, { address: 192.168.5.11, nic: nic2 }]",
    );
  writeFileSync(at("lab.yaml"), text);
  const stranger = "021122334466";
  writePcap(at("mirror.pcap"), [
    arp(stranger, "c0a80501", "8100 0068"), // VLAN 104
    arp(stranger, "c0a80401"),
    arp(stranger, "c0a80401", "8100 0069"), // VLAN 105
  ]);
  const { inputs } = await run(at("lab.yaml"), "--in", `auto:host1=${at("mirror.pcap")}`);
  expect(inputs[0]).toMatchObject({
    ports: [
      { port: "host1/nic2", frames: 1 },
      { port: "host1/nic1", frames: 1 },
    ],
    leftOut: [{ why: "from outside; neither MAC nor VLAN tells the NIC", frames: 1, first: 3 }],
  });
});

it("in text, beside other inputs, and for explain, whose witnesses keep the numbers of the capture", async () => {
  const at = workplace();
  writePcap(at("mirror.pcap"), [workedPacket("a"), workedPacket("a"), innerOf("a")]);
  const text = await hnv([
    "run",
    LABS.plain,
    "--in",
    `auto:host1=${at("mirror.pcap")}`,
    "--in",
    `host1/Blue1=${at("mirror.pcap")}`,
  ]);
  expect(text.stdout).toMatch(/2 frames\s+left out\s+NVGRE that the host sent itself, such as frame 1/);
  expect(text.stdout).toMatch(/1 frame\s+into host1\/Blue1/);
  const explained = await hnv(["explain", LABS.plain, "--in", `auto:host1=${at("mirror.pcap")}`, "--json"]);
  expect(JSON.parse(explained.stdout)).toMatchObject({
    inputs: [{ frames: 3, leftOut: [{ frames: 2 }], ports: [{ port: "host1/Blue1", frames: 1 }] }],
    paths: [{ packets: 1, from: "host1/Blue1", witness: { port: "auto:host1", packet: 3 } }],
  });
});

it("a host that is not there is wrong usage", async () => {
  expect(await hnv(["run", LABS.plain, "--in", "auto:host9=x.pcap"])).toMatchObject({ status: 2 });
  const at = workplace();
  writePcap(at("x.pcap"), [innerOf("a")]);
  const { status, stderr } = await hnv(["run", LABS.plain, "--in", `auto:host9=${at("x.pcap")}`]);
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: "hnv: auto:host9: the lab has no host host9; it has host1, host2\n",
  });
});
