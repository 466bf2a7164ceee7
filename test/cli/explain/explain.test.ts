/** `hnv explain`: what it counts is what `run` counts, its paths are those of `trace`, and its witnesses can be looked up. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { innerOf } from "../../vectors/worked-packets.js";
import { hnv, hnvMany, inParallel, LABS, ROOT, type RunResult, readPcap, workplace, writePcap } from "../helpers.js";

interface Witness {
  readonly port: string;
  readonly file: string;
  readonly packet: number;
}
interface Explained {
  readonly schemaVersion: number;
  readonly inputs: { port: string; file: string; frames: number; damage: string | null }[];
  readonly totals: RunResult["totals"];
  readonly paths: {
    packets: number;
    bytes: number;
    flows: number;
    from: string;
    end: string;
    at: string;
    reason: string | null;
    witness: Witness;
    nodes: {
      node: string;
      port: string;
      layers: { layer: string; saw: string; decided: string }[];
      verdict: string;
      outputs: string[];
      answers: string[];
    }[];
  }[];
  readonly furtherDrops: DropGroup[];
  readonly drops: DropGroup[];
  readonly tracedFlows: number;
}
interface DropGroup {
  reason: string;
  windowsReason: string | null;
  windowsNumber: number | null;
  text: string;
  packets: number;
  bytes: number;
  otherCauses: number;
  causes: {
    packets: number;
    bytes: number;
    at: string;
    witness: Witness;
    layer: string | null;
    decided: string | null;
    nearest: { record: Record<string, unknown>; differs: string } | null;
    cures: { host: string | null; command: string | null; text: string }[];
  }[];
}

const explained = (text: string): Explained => JSON.parse(text) as Explained;

async function explain(lab: string, ...inputs: readonly string[]): Promise<Explained> {
  const { status, stdout, stderr } = await hnv([
    "explain",
    lab,
    ...inputs.flatMap((input) => ["--in", input]),
    "--json",
  ]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return explained(stdout);
}

/** The frame with some octets replaced. */
function changed(frame: Uint8Array, at: number, ...octets: number[]): Uint8Array {
  const copy = Uint8Array.from(frame);
  copy.set(octets, at);
  return copy;
}

/** With a right IPv4 header checksum (RFC 791 §3.1), so that nothing but the change is noticed. */
function repaired(frame: Uint8Array): Uint8Array {
  frame.set([0, 0], 24);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += (frame[at]! << 8) | frame[at + 1]!;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
  frame.set([sum >>> 8, sum & 0xff], 24);
  return frame;
}

const capturesSent = readdirSync(join(ROOT, "pcaps")).filter((name) => /\.pcap(?:ng)?$/.test(name));

it("every capture of the repository: packets, bytes, drops and reasons are those that run counts", async () => {
  const inputs = capturesSent.flatMap((name) =>
    ["host1/Blue1", "host2/nic1"].map((port) => `${port}=${join(ROOT, "pcaps", name)}`),
  );
  const commands = inputs.flatMap((input) =>
    ["explain", "run"].map((word) => [word, LABS.plain, "--in", input, "--json"]),
  );
  const results = await hnvMany(commands);
  for (const [index, input] of inputs.entries()) {
    const [one, other] = [results[2 * index]!, results[2 * index + 1]!];
    const account = explained(one.stdout);
    const run = JSON.parse(other.stdout) as RunResult;
    expect(account.totals, input).toEqual(run.totals);
    const packets = account.paths.reduce((sum, path) => sum + path.packets, 0);
    expect(packets, input).toBe(run.totals.in);
    const port = input.slice(0, input.indexOf("="));
    expect(
      account.paths.reduce((sum, { bytes }) => sum + bytes, 0),
      input,
    ).toBe(run.ports[port]!.rx.bytes);
    const counted = new Map<string, number>();
    for (const { reason, count } of run.drops) counted.set(reason, (counted.get(reason) ?? 0) + count);
    const told = new Map(account.drops.map(({ reason, packets: count }) => [reason, count]));
    for (const { reason, packets: count } of account.furtherDrops) told.set(reason, (told.get(reason) ?? 0) + count);
    expect(told, input).toEqual(counted);
    for (const { packets: count, causes, otherCauses } of [...account.drops, ...account.furtherDrops]) {
      expect(causes.reduce((sum, cause) => sum + cause.packets, 0) + otherCauses, input).toBe(count);
    }
  }
});

it("a path is that of its witness, as trace shows it: nodes, layers and words", async () => {
  const input = join(ROOT, "pcaps/mixed-blue1-sent.pcap");
  const { paths, inputs } = await explain(LABS.plain, `host1/Blue1=${input}`);
  expect(inputs).toEqual([{ port: "host1/Blue1", file: input, frames: 1000, damage: null }]);
  expect(paths.map(({ end, at }) => [end, at])).toEqual([
    ["delivered", "host2/Blue2"],
    ["delivered", "host2/Blue3"],
  ]);
  await inParallel(paths, async ({ from, witness, nodes, packets, flows }) => {
    expect(flows).toBeLessThanOrEqual(packets);
    const { stdout } = await hnv([
      "trace",
      LABS.plain,
      "--port",
      from,
      "--pcap",
      `${witness.file}:${witness.packet}`,
      "--json",
    ]);
    const { steps } = JSON.parse(stdout) as { steps: { node: string; layer: string; saw: string; decision: string }[] };
    expect(nodes.flatMap(({ node, layers }) => layers.map((layer) => ({ node, ...layer })))).toEqual(
      steps.map(({ node, layer, saw, decision }) => ({ node, layer, saw, decided: decision })),
    );
  });
});

it("packets of one flow that end otherwise are told apart, each with its own witness", async () => {
  const at = workplace();
  const routed = readPcap(join(ROOT, "pcaps/worked-b-sent.pcap"))[0]!.data; // as Blue1 sends it to the gateway
  const dying = repaired(changed(routed, 22, 1));
  const long = new Uint8Array(14 + 1600);
  long.set(repaired(changed(routed.subarray(0, 42), 16, 1600 >> 8, 1600 & 0xff, 0, 0, 0x40)));
  writePcap(at("in.pcap"), [routed, routed, dying, routed, long, dying]);
  const { paths, drops } = await explain(LABS.plain, `host1/Blue1=${at("in.pcap")}`);
  expect(paths.map(({ packets, end, reason, witness }) => [packets, end, reason, witness.packet])).toEqual([
    [3, "delivered", null, 1],
    [2, "dropped", "TX_TTL_EXCEEDED", 3],
    [1, "dropped", "TX_TOO_BIG_ICMP4", 5],
  ]);
  expect(drops.map(({ reason, windowsReason, windowsNumber }) => [reason, windowsReason, windowsNumber])).toEqual([
    ["TX_TTL_EXCEEDED", "Wnv", 29],
    ["TX_TOO_BIG_ICMP4", "Wnv", 29],
  ]);
  expect(drops[1]!.causes[0]!.cures[0]!.text).toContain("1558"); // 1600 − 42
});

it("drops for one reason are divided by what would cure them", async () => {
  const at = workplace();
  const towards = (last: number) => repaired(changed(innerOf("a"), 33, last));
  writePcap(at("in.pcap"), [towards(99), towards(98), towards(99), innerOf("a")]);
  const { drops } = await explain(LABS.plain, `host1/Blue1=${at("in.pcap")}`);
  expect(drops).toHaveLength(1);
  const [{ reason, packets, causes }] = drops as [Explained["drops"][0]];
  expect({ reason, packets }).toEqual({ reason: "TX_NO_RECORD", packets: 3 });
  expect(causes.map((cause) => [cause.packets, cause.witness.packet, cause.at])).toEqual([
    [2, 1, "host1/Blue1"],
    [1, 2, "host1/Blue1"],
  ]);
  expect(causes[0]!.nearest).toMatchObject({ record: { virtualSubnetID: 5001 }, differs: "customerAddress" });
  expect(causes[0]!.cures).toEqual([
    {
      host: "host1",
      command:
        "New-NetVirtualizationLookupRecord -CimSession host1 -VirtualSubnetID 5001 -CustomerAddress 10.0.0.99 " +
        '-MACAddress "<MAC of the VM>" -ProviderAddress "<PA of its host>" -Rule TranslationMethodEncap',
      text: "no host of the lab has a record of 10.0.0.99 in VSID 5001; is it a VM's address?",
    },
  ]);
});

it("what responders do: questions that are answered, taken in silence and unanswered are paths of their own", async () => {
  const { paths, drops } = await explain(LABS.plain, `host1/Blue1=${join(ROOT, "pcaps/blue1-arp-sent.pcap")}`);
  const messages = paths.filter(({ end }) => end !== "delivered");
  expect(messages.map(({ packets, end, reason, nodes }) => [packets, end, reason, nodes[0]!.answers])).toEqual([
    [2, "consumed", null, ["host1/Blue1"]],
    [2, "dropped", "TX_UNANSWERED", []],
  ]);
  expect(messages[0]!.nodes[0]!.layers.at(-1)!.decided).toBe("answered: 10.0.0.7 is at 06-06-00-00-00-07");
  const [cause] = drops[0]!.causes;
  expect(cause).toMatchObject({
    decided: "no lookup record for 10.0.0.77 in virtual subnet 5001",
    nearest: { differs: "customerAddress" },
    cures: [{ host: "host1", command: expect.stringContaining("-CustomerAddress 10.0.0.77") }],
  });
});

it("what flooding does: copies are named where they are made, and each path of a broadcast once", async () => {
  const at = workplace();
  const third = "      - { name: Blue9, adapters: [{ mac: 060600000099, vsid: 5001, addresses: [10.0.0.99] }] }\n";
  writeFileSync(
    at("lab.yaml"),
    readFileSync(LABS.plain, "utf8").replace("      - name: Red1\n", `${third}      - name: Red1\n`),
  );
  const toAll = changed(innerOf("a"), 0, 255, 255, 255, 255, 255, 255);
  writePcap(at("in.pcap"), [repaired(changed(toAll, 30, 255, 255, 255, 255))]);
  const { paths, totals } = await explain(at("lab.yaml"), `host1/Blue1=${at("in.pcap")}`);
  expect(totals).toMatchObject({ in: 1, copies: 1, delivered: 2 });
  expect(paths.map(({ nodes }) => nodes[0]!.outputs)).toEqual([["host1/Blue9", "host1/nic1"]]);
  const { stdout } = await hnv(["explain", at("lab.yaml"), "--in", `host1/Blue1=${at("in.pcap")}`]);
  expect(stdout).toContain("2 copies: host1/Blue9, host1/nic1");
});

it("copies that are dropped have a cause of their own: where, because of which packet, and what cures it", async () => {
  const at = workplace();
  const beside = "      - { name: Blue9, adapters: [{ mac: 060600000099, vsid: 5001, addresses: [10.0.0.99] }] }\n";
  const text = readFileSync(LABS.plain, "utf8")
    .replace("      - name: Red1\n", `${beside}      - name: Red1\n`)
    .replaceAll("mac: 02-00", "mtu: 9000, mac: 02-00"); // of the NICs; the provider subnet carries 1600
  writeFileSync(at("lab.yaml"), text);
  const long = new Uint8Array(14 + 1700);
  long.set(changed(changed(innerOf("a"), 0, 255, 255, 255, 255, 255, 255), 30, 255, 255, 255, 255));
  const toAll = repaired(changed(long, 16, 1700 >> 8, 1700 & 0xff));
  writePcap(at("in.pcap"), [innerOf("a"), toAll, toAll]);
  const { drops, furtherDrops, totals } = await explain(at("lab.yaml"), `host1/Blue1=${at("in.pcap")}`);
  expect(totals).toMatchObject({ in: 3, copies: 2, delivered: 3, dropped: 2 });
  expect(drops).toEqual([]);
  const witness = { port: "host1/Blue1", file: at("in.pcap"), packet: 2 };
  const cures = [{ host: "host1", command: null, text: expect.stringContaining("carries 1600 octets") as string }];
  expect(furtherDrops).toMatchObject([
    {
      reason: "PROVIDER_MTU",
      packets: 2,
      otherCauses: 0,
      causes: [{ packets: 2, at: "provider/host1.nic1", witness, decided: expect.stringContaining("1600"), cures }],
    },
  ]);
});

it("witnesses are numbered within their own input, in merged inputs too", async () => {
  const at = workplace();
  const time = (seconds: number) => seconds * 1e6;
  writePcap(
    at("one.pcap"),
    [1, 3, 5].map((seconds) => ({ data: innerOf("a"), time: time(seconds) })),
  );
  const stray = repaired(changed(innerOf("a"), 33, 99));
  writePcap(at("two.pcap"), [
    { data: innerOf("a"), time: time(2) },
    { data: stray, time: time(4) },
  ]);
  const { drops, paths } = await explain(LABS.plain, `host1/Blue1=${at("one.pcap")}`, `host1/Blue1=${at("two.pcap")}`);
  expect(drops[0]!.causes[0]!.witness).toEqual({ port: "host1/Blue1", file: at("two.pcap"), packet: 2 });
  expect(paths[0]).toMatchObject({ packets: 4, witness: { file: at("one.pcap"), packet: 1 } });
});

it("at most 1,000 causes are told apart, 100 with their words; further packets are counted", async () => {
  const at = workplace();
  const scan = Array.from({ length: 1200 }, (_, index) => {
    const frame = changed(innerOf("a"), 32, index >>> 8, index & 0xff);
    return repaired(changed(frame, 31, 1)); // 10.1.x.y
  });
  writeFileSync(
    at("lab.yaml"),
    readFileSync(LABS.plain, "utf8").replace("10.0.1.0/24", "10.1.0.0/16").replace("10.0.1.9", "10.1.200.9"),
  );
  writePcap(at("in.pcap"), scan);
  const { drops, totals } = await explain(at("lab.yaml"), `host1/Blue1=${at("in.pcap")}`);
  const unknown = drops.find(({ reason }) => reason === "TX_NO_RECORD")!;
  expect(unknown.causes).toHaveLength(1000);
  expect(unknown.causes.filter(({ decided }) => decided !== null)).toHaveLength(100);
  expect(unknown.otherCauses).toBe(unknown.packets - 1000);
  expect(drops.reduce((sum, { packets }) => sum + packets, 0)).toBe(totals.dropped);
});

it("as text: the path, the reason with its Windows name, witness, nearest record, cure", async () => {
  const at = workplace();
  const text = readFileSync(LABS.plain, "utf8").replace("10.0.0.7, ", "10.0.0.8, ");
  writeFileSync(at("lab.yaml"), text);
  writePcap(at("in.pcap"), [innerOf("a")]);
  const { stdout, status } = await hnv(["explain", at("lab.yaml"), "--in", `host1/Blue1=${at("in.pcap")}`]);
  expect(status).toBe(0);
  for (const part of [
    "1 packet, 74 bytes in 1 flow, such as packet 1",
    "host1/Blue1 through host1, dropped at host1/Blue1: TX_NO_RECORD",
    "dropped TX_NO_RECORD (Windows: Wnv 29): 1 packet, 74 bytes",
    "nearest  ",
    "differs in virtualSubnetID",
    "cure     New-NetVirtualizationLookupRecord -CimSession host1",
    "1 in = 0 delivered + 1 dropped + 0 passed + 0 consumed",
  ])
    expect(stdout).toContain(part);
});

it("a damaged input is explained up to the damage, with status 1; no input is wrong usage", async () => {
  const at = workplace();
  writePcap(at("whole.pcap"), [innerOf("a"), innerOf("a")]);
  writeFileSync(at("cut.pcap"), readFileSync(at("whole.pcap")).subarray(0, -10));
  const ended = await hnv(["explain", LABS.plain, "--in", `host1/Blue1=${at("cut.pcap")}`, "--json"]);
  expect(ended.status).toBe(1);
  expect(ended.stderr).toContain("cut.pcap");
  expect(explained(ended.stdout)).toMatchObject({ totals: { in: 1, delivered: 1 }, inputs: [{ frames: 1 }] });
  expect(await hnv(["explain", LABS.plain])).toMatchObject({ status: 2 });
  expect(await hnv(["explain", LABS.plain, "--in", "host9/Blue1=x.pcap"])).toMatchObject({ status: 2 });
});

it("resolve: wire, and a capture that ends before duplicate address detection: what was said then, and that the address is Tentative", async () => {
  const at = workplace();
  writeFileSync(at("wire.yaml"), `${readFileSync(LABS.plain, "utf8")}settings: { resolve: wire }\n`);
  writePcap(at("one.pcap"), [innerOf("a")]);
  const { drops } = await explain(at("wire.yaml"), `host1/Blue1=${at("one.pcap")}`);
  expect(drops).toMatchObject([{ reason: "TX_NO_PA", causes: [{ layer: "encapsulation" }] }]);
  expect(drops[0]!.causes[0]!.cures).toEqual([
    { host: "host1", command: null, text: expect.stringContaining("192.168.4.11 is Tentative") },
  ]);
  const { status, stdout } = await hnv(["check", at("wire.yaml")]);
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: expect.stringContaining("Blue, IPv4: 3 addresses, 6 of 6 pairs reached"),
  });
});
