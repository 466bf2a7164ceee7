/** `rawip:ADDRESS` between two network namespaces, with scapy's frames and tcpdump as witness. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { parseAddress } from "../../../src/dataplane/wire/index.js";
import { PlainMemory } from "../../../src/io/capture/memory.js";
import { readFrames } from "../../../src/io/index.js";
import { liveErrorAt } from "../../../src/io/live/errors.js";
import { packageObstacle } from "../../../src/io/live/optional-package.js";
import { openRawIp, RawIpInterface } from "../../../src/io/live/rawip.js";
import { createNetnsLab, type NetnsLab, netnsMissing } from "../../oracles/netns.js";
import { hasProgram, warnSkipped } from "../../oracles/programs.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { scratchFolder } from "../helpers.js";
import { Peer, untilUp } from "./peers.js";

const folder = scratchFolder();
const missing =
  packageObstacle("raw-socket") ?? netnsMissing() ?? (isScapyAvailable() ? null : "scapy is not installed");
if (missing) warnSkipped("raw IP sockets", missing);

const hex = (frame: Uint8Array): string => Buffer.from(frame).toString("hex");

async function twoHosts(): Promise<NetnsLab> {
  const lab = await createNetnsLab(["a", "b"]);
  onTestFinished(() => lab.close());
  await lab.veth(
    { namespace: "a", device: "wire", addresses: ["10.77.0.1/24", "10.77.0.9/24", "fd77::1/64"] },
    { namespace: "b", device: "wire", addresses: ["10.77.0.2/24", "fd77::2/64"] },
    1400,
  );
  for (const name of ["a", "b"]) await untilUp(lab, name, "wire");
  return lab;
}

test("a URI that cannot be opened says why", () => {
  const open = (uri: string) => () => openRawIp(uri, new PlainMemory());
  expect(open("rawip:here")).toThrow(
    liveErrorAt("LIVE_URI", "rawip:here", "expected rawip: and an IPv4 or IPv6 address of this machine"),
  );
  expect(open("rawip:203.0.113.7")).toThrow(
    "rawip:203.0.113.7: no interface of this machine that is up has this address",
  );
});

test("an answer to what is being sent does not ask for a round in the midst of the one that sends", () => {
  const memory = new PlainMemory();
  const address = parseAddress("10.77.0.1")!;
  let arrive: (packet: Buffer, source: string) => void = () => {};
  const socket = {
    on: (event: string, listener: typeof arrive) => {
      if (event === "message") arrive = listener;
    },
    close: () => {},
  };
  const face = new RawIpInterface("rawip:10.77.0.1", memory, socket as never, address, 1500, undefined);
  const packet = Buffer.from("450000140000400040110000 0a4d0002 0a4d0001".replaceAll(" ", ""), "hex");
  for (let waiting = 0; waiting < 3000; waiting++) arrive(packet, "10.77.0.2");
  const told: boolean[] = [];
  face.onArrival = (isFull) => told.push(isFull);
  const request = Buffer.from(
    "ffffffffffff 021111111111 0806 0001080006040001 021111111111 0a4d0001 000000000000 0a4d0002".replaceAll(" ", ""),
    "hex",
  );
  const at = memory.allocate(request.length);
  memory.bytes.set(request, at);
  expect(face.send(at, request.length)).toBe(true);
  expect(told).not.toContain(true);
  arrive(packet, "10.77.0.2"); // from outside of a round
  expect(told).toContain(true);
  const rows = memory.allocate(64 * 256);
  let received = 0;
  for (let count = 256; count === 256; received += count) {
    count = face.receive(rows, 256, 0n);
    face.release();
  }
  expect(received).toBe(3002);
});

const INNER =
  'Ether(dst="06:06:00:00:00:07", src="06:06:00:00:00:05")/IP(src="10.0.0.5", dst="10.0.0.7")/UDP()/Raw(b"x" * size)';
const GRE = "GRE(key_present=1, proto=0x6558, key=0x138907)";

test.skipIf(missing)(
  "IPv4: what the lab sends arrives with its own IP header, behind a made-up Ethernet header",
  async () => {
    const lab = await twoHosts();
    const [frames, arrived] = [[], []] as [Uint8Array[], Uint8Array[]];
    const outer = (destination: string, source: string) => `Ether(dst="${destination}", src="${source}")`;
    const ip = 'IP(src="10.77.0.1", dst="10.77.0.2", ttl=99, tos=0xb9, id=4660, flags="DF")';
    for (const [list, ether] of [
      [frames, outer("02:00:0a:4d:00:02", "02:11:11:11:11:11")],
      [arrived, outer("02:22:22:22:22:22", "02:00:0a:4d:00:01")],
    ] as const) {
      list.push(...scapyFrames(`for size in (0, 1, 100, 1300): emit(${ether}/${ip}/${GRE}/${INNER})`));
    }
    const path = join(folder, "wire.pcap");
    const receiver = new Peer(lab, "b", "rawip:10.77.0.2", "4", String(0x0222_2222_2222));
    const sender = new Peer(lab, "a", "rawip:10.77.0.1", "1");
    expect([await receiver.line(), await sender.line()]).toEqual(["ready", "ready"]);
    const witness = hasProgram("tcpdump")
      ? lab.start("b", "tcpdump", "-i", "wire", "-U", "-w", path, "ip proto 47")
      : null;
    for (let waits = 0; witness && !existsSync(path) && waits < 100; waits++) await setTimeout(50);
    sender.write(...frames.map(hex));
    const there = await receiver.finish();
    expect(there.received).toEqual(arrived.map(hex));
    expect(there).toMatchObject({ mtu: 1400, counters: { received: 4, receiveDrops: 0, events: {} } });
    if (witness) {
      // The kernel may fill the Ethernet header as it likes; the IP packet is the lab's.
      const seen: string[] = [];
      for (let waits = 0; seen.length < 4 && waits < 50; waits++) {
        await setTimeout(50);
        seen.length = 0;
        for await (const frame of readFrames(path)) seen.push(hex(frame.data.subarray(14)));
      }
      expect(seen).toEqual(frames.map((frame) => hex(frame.subarray(14))));
    }
    await sender.stop();
  },
);

test.skipIf(missing)("only what arrives at its own address; what is no GRE, or too long, is refused", async () => {
  const lab = await twoHosts();
  const packet = (source: string, destination: string, size = 20) =>
    scapyFrames(
      `size=${size}; emit(Ether()/IP(src="${source}", dst="${destination}", flags="DF")/${GRE}/${INNER})`,
    )[0]!;
  const receiver = new Peer(lab, "a", "rawip:10.77.0.1", "1");
  const sender = new Peer(lab, "b", "rawip:10.77.0.2", "0");
  expect([await receiver.line(), await sender.line()]).toEqual(["ready", "ready"]);
  const [wrong] = scapyFrames('emit(Ether()/IP(src="10.77.0.2", dst="10.77.0.1")/UDP()/Raw(b"x" * 30))');
  const long = packet("10.77.0.2", "10.77.0.1", 1400);
  sender.write(...[packet("10.77.0.2", "10.77.0.9"), wrong!, long, packet("10.77.0.2", "10.77.0.1")].map(hex));
  const { received, counters } = await receiver.finish();
  expect(received.map((digits) => digits.slice(52, 68))).toEqual(["0a4d00020a4d0001"]);
  expect(counters.received).toBe(1);
  expect((await sender.stop()).counters).toMatchObject({
    sent: 2,
    sendDrops: 2,
    events: { "neither GRE over IPv4 nor ARP": 1, "Message too long": 1 },
  });
});

test.skipIf(missing)("IPv6: the header that the kernel keeps is made up", async () => {
  const lab = await twoHosts();
  const packet = (destination: string, source: string, hopLimit: number) =>
    scapyFrames(`size=700
emit(Ether(dst="${destination}", src="${source}")/IPv6(src="fd77::1", dst="fd77::2", nh=47, hlim=${hopLimit})/${GRE}/${INNER})`)[0]!;
  const receiver = new Peer(lab, "b", "rawip:fd77::2", "1", String(0x0222_2222_2222));
  const sender = new Peer(lab, "a", "rawip:fd77::1", "0");
  expect([await receiver.line(), await sender.line()]).toEqual(["ready", "ready"]);
  sender.write(hex(packet("02:00:00:00:00:02", "02:11:11:11:11:11", 77)));
  expect((await receiver.finish()).received).toEqual([hex(packet("02:22:22:22:22:22", "02:00:00:00:00:01", 64))]);
  await sender.stop();
});

test.skipIf(missing)(
  "the lab resolves its partners' made-up MAC addresses, and finds no duplicate of its own",
  { timeout: 60_000 },
  async () => {
    const lab = await twoHosts();
    const arp = (target: string, source = "10.77.0.1") =>
      scapyFrames(
        `emit(Ether(dst="ff:ff:ff:ff:ff:ff", src="02:11:11:11:11:11")/ARP(op=1, hwsrc="02:11:11:11:11:11", psrc="${source}", pdst="${target}"))`,
      )[0]!;
    const ipv4 = new Peer(lab, "a", "rawip:10.77.0.1", "1");
    expect(await ipv4.line()).toBe("ready");
    ipv4.write(hex(arp("10.77.0.1")), hex(arp("10.77.0.1", "0.0.0.0")), hex(arp("192.168.4.22")));
    const [reply] = scapyFrames(`emit(Ether(dst="02:11:11:11:11:11", src="02:00:c0:a8:04:16")/
    ARP(op=2, hwsrc="02:00:c0:a8:04:16", psrc="192.168.4.22", hwdst="02:11:11:11:11:11", pdst="10.77.0.1"))`);
    expect((await ipv4.finish()).received).toEqual([hex(reply!)]);

    const solicitation = (target: string, source: string) =>
      scapyFrames(`emit(Ether(dst="33:33:ff:00:00:02", src="02:11:11:11:11:11")/IPv6(src="${source}", dst="ff02::1:ff00:2", hlim=255)/
    ICMPv6ND_NS(tgt="${target}")/ICMPv6NDOptSrcLLAddr(lladdr="02:11:11:11:11:11"))`)[0]!;
    const ipv6 = new Peer(lab, "a", "rawip:fd77::1", "1");
    expect(await ipv6.line()).toBe("ready");
    ipv6.write(hex(solicitation("fd77::1", "::")), hex(solicitation("fd77::2", "fd77::1")));
    const [advertisement] = scapyFrames(`emit(Ether(dst="02:11:11:11:11:11", src="02:00:00:00:00:02")/
    IPv6(src="fd77::2", dst="fd77::1", hlim=255)/ICMPv6ND_NA(R=0, S=1, O=1, tgt="fd77::2")/ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:02"))`);
    expect((await ipv6.finish()).received).toEqual([hex(advertisement!)]);
  },
);
