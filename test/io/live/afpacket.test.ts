/** Packet sockets over veth pairs, in a namespace of this process; needs root. */
import { spawnSync } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { PacketMemory, ROW } from "../../../src/dataplane/packet/index.js";
import { AfPacketInterface } from "../../../src/io/live/afpacket.js";
import { SystemError } from "../../../src/io/live/errors.js";
import { ERRNO, system } from "../../../src/io/live/system.js";
import { enterNamespace, ip, moveAwayAndBack } from "./namespace.js";

const reason = enterNamespace();
if (reason !== null) console.warn(`SKIPPED: tests of packet sockets (${reason})`);

const opened: AfPacketInterface[] = [];
let memory: PacketMemory;

function open(device: string, workers = 1): AfPacketInterface {
  const made = new AfPacketInterface(device, memory, { workers, group: 4711 });
  opened.push(made);
  return made;
}

/** Sends so many frames of nobody's protocol. */
function send(live: AfPacketInterface, count = 1): void {
  const at = memory.allocate(64);
  memory.bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5], at);
  for (let i = 0; i < count; i++) live.send(at, 60);
  live.flush();
}

/** How many frames have come, as soon as all must have. */
async function arrived(...interfaces: readonly AfPacketInterface[]): Promise<number> {
  let count = 0;
  for (let look = 0; look < 10; look++) {
    await setTimeout(5);
    for (const live of interfaces) count += live.receive(memory.rows, 256, 0n);
  }
  return count;
}

describe.skipIf(reason !== null)("afpacket", () => {
  beforeEach(() => {
    memory = new PacketMemory({ ports: 1, nodes: 1, stamps: 1, flowCapacity: 16 });
    for (const [a, b] of ["va vb", "vc vd"].map((pair) => pair.split(" "))) {
      ip(`link add ${a} type veth peer name ${b}`);
      for (const device of [a, b]) ip(`link set ${device} addrgenmode none up`);
    }
  });
  afterEach(() => {
    vi.restoreAllMocks();
    while (opened.length > 0) opened.pop()!.close();
    for (const device of ["va", "vc"]) spawnSync("ip", ["link", "del", device]);
  });

  test("threads share several devices: of each, every frame comes to one of them", async () => {
    const [va, vc] = [open("va"), open("vc")];
    const [vb, vd] = ["vb", "vd"].map((device) => [open(device, 2), open(device, 2)]);
    send(va, 20);
    send(vc, 30);
    expect([await arrived(...vb!), await arrived(...vd!)]).toEqual([20, 30]);
  });

  test("frames that come while a thread joins the others come once", async () => {
    const va = open("va");
    const first = open("vb", 2);
    const { setSocketOption } = system();
    vi.spyOn(system(), "setSocketOption").mockImplementation((...values) => {
      if (values[4] === "PACKET_FANOUT") send(va, 5);
      setSocketOption(...values);
    });
    expect(await arrived(first, open("vb", 2))).toBe(5);
  });

  test("what cannot be opened leaves the device as it was", () => {
    const gro = (): string =>
      spawnSync("ethtool", ["-k", "va"])
        .stdout.toString()
        .match(/^generic-receive.*$/m)![0];
    spawnSync("ethtool", ["-K", "va", "gro", "on"]);
    expect(gro()).toContain(": on");
    const { bind } = system();
    const isReceiver = (address: Uint8Array): boolean => address[3] !== 0; // with a protocol
    vi.spyOn(system(), "bind").mockImplementation((socket, address) => {
      if (isReceiver(address)) throw new SystemError("bind", ERRNO.ENOBUFS);
      bind(socket, address);
    });
    expect(() => open("va")).toThrow("afpacket:va: bind: ENOBUFS");
    expect(gro()).toContain(": on");
  });

  test("a device that was in another namespace for a moment is not taken for the one that it was", async () => {
    const [va, vb] = [open("va"), open("vb")];
    moveAwayAndBack("vb");
    for (let second = 0; second < 2; second++) vb.check();
    expect(vb.counters().events).toMatchObject({ gone: 1, back: 1 });
    send(va, 3);
    expect(await arrived(vb)).toBe(3);
  });

  test("frames have the time of the round that receives them, not that of the system's clock, which may step", async () => {
    const [va, vb] = [open("va"), open("vb")];
    send(va, 2);
    await setTimeout(10);
    expect(vb.receive(memory.rows, 256, 7_000_000_123n)).toBeGreaterThan(0);
    expect(memory.u64(memory.rows + ROW.TIMESTAMP)).toBe(7_000_000_123n);
  });
});
