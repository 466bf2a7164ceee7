/** AF_XDP over veth pairs, in a namespace of this process; needs root. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PacketMemory, ROW, ROW_SIZE } from "../../../src/dataplane/packet/index.js";
import { checksumIsRight, pseudoHeaderSum } from "../../../src/dataplane/wire/index.js";
import { LiveError } from "../../../src/io/live/errors.js";
import { Poller } from "../../../src/io/live/poller.js";
import { CHUNK } from "../../../src/io/live/xdp/umem.js";
import { XdpInterface } from "../../../src/io/live/xdp.js";
import { enterNamespace, ip, moveAwayAndBack } from "./namespace.js";

const DIST = join(import.meta.dirname, "../../../dist");
const reason = existsSync(DIST) ? enterNamespace() : "dist is not built";
if (reason !== null) console.warn(`SKIPPED: tests of AF_XDP (${reason})`);

const newMemory = () => new PacketMemory({ ports: 1, nodes: 1, stamps: 1, flowCapacity: 16 });
const opened: XdpInterface[] = [];
let memory: PacketMemory;
let scratch: number;

function open(argument: string, ringSize?: number): XdpInterface {
  const made = new XdpInterface(argument, memory, ringSize === undefined ? {} : { ringSize });
  opened.push(made);
  return made;
}

/** A frame that is told by its number, in the memory outside of any UMEM. */
function frame(number: number, length: number): { at: number; length: number } {
  const { bytes } = memory;
  const at = scratch + 128;
  for (let i = 0; i < length; i++) bytes[at + i] = (number * 31 + i * 7) & 0xff;
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5], at);
  memory.setU32(at + 16, number);
  return { at, length };
}

/** The frame with this number, to be compared: what `frame` writes. */
function isFrame(at: number, number: number, length: number): boolean {
  const expected = frame(number, length).at;
  const { buffer } = memory.bytes;
  return Buffer.compare(Buffer.from(buffer, at, length), Buffer.from(buffer, expected, length)) === 0;
}

const rowOf = (index: number) => {
  const row = memory.rows + index * ROW_SIZE;
  return {
    at: memory.u32(row + ROW.OFFSET),
    length: memory.u32(row + ROW.LENGTH),
    headroom: memory.u32(row + ROW.HEADROOM),
  };
};

const chunksIn = ({ umem }: XdpInterface, state: number) => umem.states.filter((found) => found === state).length;

/** No chunk is lost: all that are not in the fill ring are free. */
function expectNothingLeaked(live: XdpInterface): void {
  expect(chunksIn(live, CHUNK.FREE) + chunksIn(live, CHUNK.FILLING)).toBe(live.umem.chunkCount);
  expect(live.umem.freeCount).toBe(chunksIn(live, CHUNK.FREE));
}

describe.skipIf(reason !== null)("xdp", () => {
  beforeEach(() => {
    memory = newMemory();
    scratch = memory.allocate(4096);
    ip("link add va type veth peer name vb");
    ip("link set va addrgenmode none");
    ip("link set vb addrgenmode none");
    ip("link set va up");
    ip("link set vb up");
  });
  afterEach(() => {
    while (opened.length > 0) opened.pop()!.close();
    spawnSync("ip", ["link", "del", "va"]);
  });

  it("carries frames of all sizes both ways, byte for byte, through small rings", () => {
    const a = open("va", 64);
    const b = open("vb", 64);
    expect(a.mode).toBe("native, copy");
    const COUNT = 50_000;
    const lengthOf = (number: number) => 60 + ((number * 7) % 1455);
    let wrong = 0;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      let sent = 0;
      let received = 0;
      for (let idle = 0; received < COUNT && idle < 1000; idle++) {
        for (let i = 0; i < 48 && sent < COUNT; i++, sent++) {
          const { at, length } = frame(sent, lengthOf(sent));
          expect(from.send(at, length)).toBe(true);
        }
        from.flush();
        const count = to.receive(memory.rows, 256, 1_700_000_000_123_456_789n);
        for (let i = 0; i < count; i++, received++) {
          const { at, length, headroom } = rowOf(i);
          if (length !== lengthOf(received) || headroom < 128 || !isFrame(at, received, length)) wrong++;
        }
        if (count > 0) idle = 0;
        expect(memory.u64(memory.rows + ROW.TIMESTAMP)).toBe(1_700_000_000_123_456_789n);
        to.release();
        from.release();
      }
      expect(received).toBe(COUNT);
      expect(from.counters()).toMatchObject({ sent: COUNT, sendDrops: 0 });
      expect(to.counters()).toMatchObject({ received: COUNT, receiveDrops: 0 });
    }
    expect(wrong).toBe(0);
    expectNothingLeaked(a);
    expectNothingLeaked(b);
  });

  it("sends a received frame from where it lies, with its start moved into the headroom", () => {
    const a = open("va");
    const b = open("vb");
    const { at } = frame(1, 100);
    a.send(at, 100);
    a.flush();
    expect(b.receive(memory.rows, 256, 0n)).toBe(1);
    const row = rowOf(0);
    memory.bytes.set(memory.bytes.slice(row.at, row.at + 14), row.at - 42);
    memory.bytes.fill(0x5a, row.at - 28, row.at + 14);
    const free = b.umem.freeCount;
    expect(b.send(row.at - 42, 142)).toBe(true);
    expect([b.umem.freeCount, chunksIn(b, CHUNK.LENT)]).toEqual([free, 1]);
    // The same frame once more, as for a second port: a copy, since the chunk is on its way.
    expect(b.send(row.at - 42, 142)).toBe(true);
    expect(b.umem.freeCount).toBe(free - 1);
    b.flush();
    expect(a.receive(memory.rows, 256, 0n)).toBe(2);
    for (const index of [0, 1]) {
      const back = rowOf(index);
      expect(back.length).toBe(142);
      expect(memory.bytes.slice(back.at, back.at + 142)).toEqual(memory.bytes.slice(row.at - 42, row.at + 100));
    }
    for (const live of [a, b, a, b]) live.release();
    expectNothingLeaked(a);
    expectNothingLeaked(b);
  });

  it("a chunk that was sent is not used again before it is released", () => {
    const a = open("va", 64);
    const b = open("vb", 64);
    const { at } = frame(7, 80);
    a.send(at, 80);
    a.flush();
    expect(b.receive(memory.rows, 256, 0n)).toBe(1);
    const row = rowOf(0);
    b.send(row.at, row.length);
    for (let i = 0; i < 500; i++) b.send(scratch + 2048, 60); // fills the ring several times
    b.flush();
    expect(chunksIn(b, CHUNK.RETURNED)).toBe(1);
    expect(isFrame(row.at, 7, 80)).toBe(true);
    b.release();
    b.receive(memory.rows, 256, 0n);
    b.release();
    expectNothingLeaked(b);
  });

  it("counts every frame that finds no room", () => {
    const a = open("va", 64);
    const b = open("vb", 64);
    const { at } = frame(0, 60);
    for (let i = 0; i < 1000; i++) a.send(at, 60);
    a.flush();
    let received = 0;
    for (let count = 1; count > 0; received += count) {
      count = b.receive(memory.rows, 256, 0n);
      b.release();
    }
    expect(received).toBeGreaterThanOrEqual(64);
    expect(received).toBeLessThan(1000);
    expect(a.counters().sent).toBe(1000);
    expect(received + b.counters().receiveDrops).toBe(1000);
    expect(a.send(at, 1523)).toBe(false);
    expect(a.send(at, 13)).toBe(false);
    expect(a.counters().sendDrops).toBe(2);
    expectNothingLeaked(b);
  });

  it("the memory may grow while interfaces are open", () => {
    const a = open("va");
    const b = open("vb");
    memory.allocate(64 * 1024 * 1024);
    const { at } = frame(3, 200);
    a.send(at, 200);
    a.flush();
    expect(b.receive(memory.rows, 256, 0n)).toBe(1);
    expect(isFrame(rowOf(0).at, 3, 200)).toBe(true);
    b.release();
  });

  it("its descriptor tells of frames", () => {
    const a = open("va");
    const b = open("vb");
    const poller = new Poller([b]);
    const started = performance.now();
    poller.wait(50);
    expect(performance.now() - started).toBeGreaterThan(40);
    a.send(frame(0, 60).at, 60);
    a.flush();
    const waited = performance.now();
    poller.wait(5000);
    expect(performance.now() - waited).toBeLessThan(1000);
    expect(b.receive(memory.rows, 256, 0n)).toBe(1);
    b.release();
  });

  it("completes checksums that the host left to hardware", async () => {
    ip("addr add 10.9.0.1/24 dev va");
    ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev va");
    const b = open("vb");
    const socket = createSocket("udp4");
    try {
      for (let i = 0; i < 32; i++) {
        const text = Buffer.alloc(i * 40, `payload ${i}`);
        await new Promise((done) => socket.send(text, 5000 + i, "10.9.0.2", done));
      }
    } finally {
      socket.close();
    }
    const lengths: number[] = [];
    const count = b.receive(memory.rows, 256, 0n);
    for (let i = 0; i < count; i++) {
      const { at, length } = rowOf(i);
      const ipAt = at + 14;
      if (memory.bytes[ipAt + 9] !== 17) continue;
      const pseudo = pseudoHeaderSum(memory.bytes, ipAt, 17, length - 34);
      expect(checksumIsRight(memory.bytes, ipAt + 20, at + length, pseudo)).toBe(true);
      lengths.push(length);
    }
    expect(lengths).toEqual(Array.from({ length: 32 }, (_, i) => 42 + i * 40));
    b.release();
  });

  it("notices link down and up, and goes on", () => {
    const a = open("va");
    const b = open("vb");
    ip("link set vb down");
    for (const live of [a, b]) live.check();
    expect(b.counters().events).toEqual({ down: 1 });
    expect(b.send(frame(0, 60).at, 60)).toBe(false);
    a.send(frame(0, 60).at, 60); // into the void
    a.flush();
    expect(b.receive(memory.rows, 256, 0n)).toBe(0);
    ip("link set vb up");
    for (const live of [a, b]) live.check();
    expect(b.counters().events).toEqual({ down: 1, up: 1 });
    a.send(frame(5, 90).at, 90);
    a.flush();
    const count = b.receive(memory.rows, 256, 0n);
    expect(isFrame(rowOf(count - 1).at, 5, 90)).toBe(true);
    for (const live of [a, b]) live.release();
  });

  it("counts as refused what the device drops, as without a carrier, and keeps nothing of it", () => {
    const a = open("va");
    ip("link set vb down");
    for (let i = 0; i < 300; i++) a.send(frame(i, 60).at, 60);
    a.flush();
    expect(a.counters()).toMatchObject({ sent: 0, sendDrops: 300 });
    a.check();
    expectNothingLeaked(a);
    ip("link set vb up");
    const b = open("vb");
    a.send(frame(8, 70).at, 70);
    a.flush();
    expect(b.receive(memory.rows, 256, 0n)).toBe(1);
    b.release();
    expect(a.counters()).toMatchObject({ sent: 1, sendDrops: 300 });
  });

  it("an MTU that is raised meanwhile does not lead beyond the chunk", () => {
    const b = open("vb");
    ip("link set vb mtu 3000");
    b.check();
    expect(b.mtu).toBe(2048 - 256 - 22);
    expect(b.send(frame(0, 1792).at, 1792)).toBe(true);
    expect(b.send(frame(0, 1793).at, 1793)).toBe(false);
    b.flush();
  });

  it("notices another name, and goes on", () => {
    const a = open("va");
    const b = open("vb");
    ip("link set vb name vx");
    for (let i = 0; i < 2; i++) b.check();
    expect(b.counters().events).toEqual({ renamed: 1 });
    a.send(frame(6, 64).at, 64);
    a.flush();
    expect(b.receive(memory.rows, 256, 0n)).toBe(1);
    b.release();
  });

  it("notices a device that is removed, and takes it again when it is back", () => {
    const a = open("va");
    const b = open("vb");
    a.send(frame(0, 60).at, 60);
    a.flush();
    ip("link del va");
    expect(b.receive(memory.rows, 256, 0n)).toBeLessThanOrEqual(1);
    a.send(frame(0, 60).at, 60);
    a.flush();
    for (const live of [a, b]) {
      live.release();
      live.check();
      expect(live.counters().events).toEqual({ gone: 1 });
      expect([live.descriptor, live.isOpen, live.mode]).toEqual([-1, true, "gone"]);
      expect(live.send(frame(0, 60).at, 60)).toBe(false);
      live.flush();
      expect(live.receive(memory.rows, 256, 0n)).toBe(0);
      live.check();
    }
    ip("link add va type veth peer name vb");
    ip("link set va up");
    ip("link set vb up");
    for (const live of [a, b]) {
      live.check();
      expect(live.counters().events).toEqual({ gone: 1, back: 1 });
    }
    b.receive(memory.rows, 256, 0n);
    b.release();
    a.send(frame(9, 77).at, 77);
    a.flush();
    const count = b.receive(memory.rows, 256, 0n);
    expect(isFrame(rowOf(count - 1).at, 9, 77)).toBe(true);
    b.release();
    expect(a.counters().sent).toBe(3);
  });

  it("does not take a device for the one that it was before it went into another namespace", () => {
    const [a, b] = [open("va"), open("vb")];
    moveAwayAndBack("vb");
    for (let second = 0; second < 2; second++) b.check();
    expect(b.counters().events).toMatchObject({ gone: 1, back: 1 });
    a.send(frame(4, 80).at, 80);
    a.flush();
    const count = b.receive(memory.rows, 256, 0n);
    expect(isFrame(rowOf(count - 1).at, 4, 80)).toBe(true);
    b.release();
  });

  it("leaves the interface as it was, after close and after a kill", async () => {
    const hasProgram = () => /xdp/.test(ip("link show dev va"));
    const live = open("va");
    expect(hasProgram()).toBe(true);
    live.close();
    expect(hasProgram()).toBe(false);

    const script = `
      import { PacketMemory } from ${JSON.stringify(join(DIST, "dataplane/packet/index.js"))};
      import { XdpInterface } from ${JSON.stringify(join(DIST, "io/live/xdp.js"))};
      const live = new XdpInterface("va", new PacketMemory({ ports: 1, nodes: 1, stamps: 1, flowCapacity: 16 }));
      setInterval(() => live.check(), 1000);
      console.log(live.mode);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise((resolve) => child.once("exit", resolve));
    await new Promise((resolve) => child.stdout.once("data", resolve));
    expect(hasProgram()).toBe(true);
    child.kill("SIGKILL");
    await ended;
    await expect.poll(hasProgram, { timeout: 5000 }).toBe(false);
    expect(open("va").mode).toBe("native, copy");
  });

  it("where the driver cannot, the program runs in front of the stack, and frames are not joined meanwhile", () => {
    ip("link set vb mtu 3800"); // longer than veth's native XDP takes
    execFileSync("ethtool", ["-K", "va", "gro", "on"]);
    const joins = () => /generic-receive-offload: on/.test(execFileSync("ethtool", ["-k", "va"], { encoding: "utf8" }));
    const a = open("va");
    const b = open("vb");
    expect([a.mode, joins()]).toEqual(["generic, copy", false]);
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.send(frame(4, 1514).at, 1514);
      from.flush();
      expect(to.receive(memory.rows, 256, 0n)).toBe(1);
      expect(isFrame(rowOf(0).at, 4, 1514)).toBe(true);
      expect(rowOf(0).headroom).toBe(256);
      to.release();
    }
    a.close();
    expect(joins()).toBe(true);
  });

  describe("refusals are one line", () => {
    const refusal = (argument: string): string => {
      try {
        open(argument);
      } catch (error) {
        expect(error).toBeInstanceOf(LiveError);
        expect((error as Error).message).not.toContain("\n");
        return (error as Error).message;
      }
      throw new Error(`${argument} was not refused`);
    };

    it("of what is not there", () => {
      expect(refusal("nothing0")).toBe("xdp:nothing0: there is no such interface here");
      expect(refusal("va#3")).toBe("xdp:va#3: there is no such queue, the only queue is #0");
      expect(refusal("va#x")).toBe("xdp:va#x: expected xdp:IFACE or xdp:IFACE#QUEUE");
    });

    it("of several queues, unless one is named", () => {
      ip("link add vc numrxqueues 2 numtxqueues 2 type veth peer name vd");
      spawnSync("ethtool", ["-L", "vc", "rx", "2"]);
      expect(refusal("vc")).toMatch(/^xdp:vc: frames arrive at 2 queues; .* name one: xdp:vc#0 to #1$/);
      expect(open("vc#1").uri).toBe("xdp:vc#1");
      ip("link del vc");
    });

    it("of an MTU above a chunk", () => {
      ip("link set va mtu 9000");
      expect(refusal("va")).toMatch(/^xdp:va: the MTU of 9000 is more than the 3818 that AF_XDP takes here/);
      ip("link set va mtu 3818");
      expect(open("va").umem.chunkSize).toBe(4096);
    });

    it("of an interface with another program", () => {
      open("va");
      expect(refusal("va")).toMatch(/^xdp:va: the interface or its queue belongs to another XDP program/);
    });

    it("of missing privilege", () => {
      const script = `
        import { PacketMemory } from ${JSON.stringify(join(DIST, "dataplane/packet/index.js"))};
        import { XdpInterface } from ${JSON.stringify(join(DIST, "io/live/xdp.js"))};
        try {
          new XdpInterface("va", new PacketMemory({ ports: 1, nodes: 1, stamps: 1, flowCapacity: 16 }));
        } catch (error) {
          console.log(error.code, error.message);
        }`;
      const drop = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"];
      const { stdout } = spawnSync("setpriv", [...drop, process.execPath, "--input-type=module", "-e", script], {
        encoding: "utf8",
      });
      expect(stdout).toMatch(/^LIVE_NOT_PERMITTED xdp:va: needs root or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF .*\n$/);
    });
  });
});
