/** `cap:IFACE` between two network namespaces: frames both ways, and an interface that goes down and away. */
import { setTimeout } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { PlainMemory } from "../../../src/io/capture/memory.js";
import { openCap } from "../../../src/io/live/cap.js";
import { liveErrorAt } from "../../../src/io/live/errors.js";
import { packageObstacle } from "../../../src/io/live/optional-package.js";
import { createNetnsLab, type NetnsLab, netnsMissing } from "../../oracles/netns.js";
import { run, warnSkipped } from "../../oracles/programs.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { Peer, untilUp } from "./peers.js";

const missing = packageObstacle("cap") ?? netnsMissing() ?? (isScapyAvailable() ? null : "scapy is not installed");
if (missing) warnSkipped("interfaces by libpcap", missing);

const hex = (frame: Uint8Array): string => Buffer.from(frame).toString("hex");

async function twoHosts(): Promise<NetnsLab> {
  const lab = await createNetnsLab(["a", "b"]);
  onTestFinished(() => lab.close());
  await lab.veth(
    { namespace: "a", device: "wire", mac: "02:00:00:00:00:0a", addresses: ["10.77.0.1/24"] },
    { namespace: "b", device: "wire", mac: "02:00:00:00:00:0b", addresses: ["10.77.0.2/24"] },
  );
  for (const name of ["a", "b"]) await untilUp(lab, name, "wire");
  return lab;
}

/** Frames that no kernel answers; IPv6's own chatter is left out of what was received. */
const FRAMES = `
for number, size in enumerate((0, 1, 46, 700, 1400)):
    ether = Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05", type=0x88b5)
    emit(ether/Raw(bytes([number]) * (46 + size)))
emit(Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05")/Dot1Q(vlan=7, prio=5, type=0x88b5)/Raw(b"tagged" * 10))`;
const isOurs = (digits: string): boolean => digits.startsWith("060600000007");

test.skipIf(missing)("a URI that cannot be opened says why", async () => {
  const open = (uri: string) => openCap(uri, new PlainMemory());
  await expect(open("cap:")).rejects.toThrow(
    liveErrorAt("LIVE_URI", "cap:", "expected cap: and the name of an interface"),
  );
  await expect(open("cap:hnv-none")).rejects.toThrow(/^cap:hnv-none: .*No such device/);
});

test.skipIf(missing)("frames go both ways as they are, tags too, and nobody hears himself", async () => {
  const lab = await twoHosts();
  const frames = scapyFrames(FRAMES).map(hex);
  const [a, b] = [new Peer(lab, "a", "cap:wire", "6"), new Peer(lab, "b", "cap:wire", "6")];
  expect([await a.line(), await b.line()]).toEqual(["ready", "ready"]);
  a.write(...frames);
  b.write(...frames.toReversed());
  // What a's own kernel sends is not a's to receive; what b's kernel sends is.
  await lab.exec("b", "ping", "-c", "2", "-i", "0.2", "10.77.0.1");
  await setTimeout(300);
  const [atA, atB] = [await a.stop(), await b.stop()];
  expect(atA.received.filter(isOurs)).toEqual(frames.toReversed());
  expect(atB.received.filter(isOurs)).toEqual(frames);
  expect(atA).toMatchObject({ mtu: 1500, counters: { sent: 6, sendDrops: 0, receiveDrops: 0, events: {} } });
  const echo = (type: string) => (digits: string) => digits.slice(24, 28) === "0800" && digits.slice(68, 70) === type;
  expect([atA.received.filter(echo("08")).length, atA.received.filter(echo("00")).length]).toEqual([2, 0]);
  expect([atB.received.filter(echo("08")).length, atB.received.filter(echo("00")).length]).toEqual([0, 2]);
});

test.skipIf(missing)("frames longer than the MTU are an offload's, and dropped", async () => {
  const lab = await twoHosts();
  await lab.exec("a", "ethtool", "-K", "wire", "gro", "on"); // else libpcap cuts them to the MTU
  const [a, b] = [new Peer(lab, "a", "cap:wire", "0"), new Peer(lab, "b", "cap:wire", "0")];
  expect([await a.line(), await b.line()]).toEqual(["ready", "ready"]);
  for (const name of ["a", "b"]) await lab.exec(name, "ip", "link", "set", "wire", "mtu", "9000");
  b.write(hex(scapyFrames('emit(Ether(dst="06:06:00:00:00:07", type=0x88b5)/Raw(b"x" * 5000))')[0]!));
  await until(async () => (await a.events())["longer than the MTU"] === 1);
  expect((await a.stop()).counters.receiveDrops).toBe(1);
  await b.stop();
});

test.skipIf(missing)("a frame that the interface refuses is not counted as sent as well", async () => {
  const lab = await twoHosts();
  const a = new Peer(lab, "a", "cap:wire", "0");
  expect(await a.line()).toBe("ready");
  a.write(
    ...scapyFrames('for size in (3000, 100): emit(Ether(dst="06:06:00:00:00:07", type=0x88b5)/Raw(b"x" * size))').map(
      hex,
    ),
  );
  await until(async () => Object.keys(await a.events()).length > 0);
  expect((await a.stop()).counters).toMatchObject({ sent: 1, sendDrops: 1 });
});

test.skipIf(missing)("an interface that goes down is waited for, one that goes away is missed", async () => {
  const lab = await twoHosts();
  const [a, b] = [new Peer(lab, "a", "cap:wire", "0"), new Peer(lab, "b", "cap:wire", "0")];
  expect([await a.line(), await b.line()]).toEqual(["ready", "ready"]);
  const [frame] = scapyFrames(FRAMES).map(hex);
  await lab.exec("a", "ip", "link", "set", "wire", "down");
  await until(async () => (await a.events()).down === 1);
  a.write(frame!);
  await lab.exec("a", "ip", "link", "set", "wire", "up");
  await until(async () => (await a.events()).up === 1);
  a.write(frame!);
  await setTimeout(300);
  expect((await b.stop()).received.filter(isOurs)).toEqual([frame]);
  await run("ip", ["-n", lab.name("a"), "link", "del", "wire"]);
  await until(async () => (await a.events()).gone === 1);
  const { counters } = await a.stop();
  expect(counters).toMatchObject({ sent: 1, sendDrops: 1 });
});

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let waits = 0; waits < 100; waits++) {
    if (await isSo()) return;
    await setTimeout(100);
  }
  throw new Error("waited for ten seconds");
}
