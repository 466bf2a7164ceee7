/** What a run says about events: when, counted from the first frame, and which of the lab's it did not come to. */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { innerOf } from "../vectors/worked-packets.js";
import { hnv, LABS, workplace, writePcap } from "./helpers.js";

const LINK = "event: linkDown, port: host2/nic1";

it("times count from the first frame; what is later than ten seconds after the last one is not reached, and said to be", async () => {
  const at = workplace();
  const events = `events:\n  - { at: 250, ${LINK} }\n  - { at: 10500, ${LINK.replace("Down", "Up")} }\n  - { at: 30000, ${LINK} }\n`;
  writeFileSync(at("lab.yaml"), readFileSync(LABS.plain, "utf8") + events);
  const frame = innerOf("a");
  writePcap(at("in.pcap"), [
    { data: frame, time: 5_000_000 },
    { data: frame, time: 6_000_000 },
  ]);
  const args = ["run", at("lab.yaml"), "--in", `host1/Blue1=${at("in.pcap")}`];
  const { stdout } = await hnv(args);
  expect(stdout).toContain(`2 events
+0.250 s   host2  linkDown  host host2, nic nic1
+10.500 s  host2  linkUp    host host2, nic nic1
1 event not reached: later than ten seconds after the last frame

done`);
  const asJson = JSON.parse((await hnv([...args, "--json"])).stdout) as { events: unknown };
  expect(asJson.events).toMatchObject({ count: 2, first: [{ timeMs: 5250 }, { timeMs: 15_500 }], notReached: 1 });

  writeFileSync(at("late.yaml"), `${readFileSync(LABS.plain, "utf8")}events:\n  - { at: 30000, ${LINK} }\n`);
  const late = await hnv(["run", at("late.yaml"), "--in", `host1/Blue1=${at("in.pcap")}`]);
  expect(late.stdout).toMatch(/\n\n1 event not reached: .*\n\ndone/);
});

it("a file of events is begun when nothing can be refused any more, and standard output is none", async () => {
  const at = workplace();
  writePcap(at("in.pcap"), [innerOf("a")]);
  writeFileSync(at("no.pcap"), "this is no capture, although it is long enough to hold a header\n");
  writeFileSync(at("broken.yaml"), "apiVersion: hnv/v1\n");
  writeFileSync(at("told"), "kept\n");
  for (const args of [
    [LABS.plain, "--in", "host1/Typo=in.pcap"],
    [LABS.plain, "--in", "host1/Blue1=no.pcap"],
    ["broken.yaml", "--in", "host1/Blue1=in.pcap"],
  ]) {
    expect((await hnv(["run", ...args, "--events", "told"], { cwd: at(".") })).status).toBe(2);
    expect(readFileSync(at("told"), "utf8")).toBe("kept\n");
  }
  const args = ["run", LABS.plain, "--in", "host1/Blue1=in.pcap", "--events"];
  expect((await hnv([...args, "told"], { cwd: at(".") })).status).toBe(0);
  expect(readFileSync(at("told"), "utf8")).toBe("");
  const { status, stderr } = await hnv([...args, "-"], { cwd: at(".") });
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: "hnv: --events needs a file; standard output is for the result\n",
  });
});
