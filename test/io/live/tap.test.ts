/** TAP devices, in a namespace of this process; needs root. */
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PacketMemory, ROW } from "../../../src/dataplane/packet/index.js";
import { deviceRequest } from "../../../src/io/live/net-device.js";
import { int32, O_RDWR, system } from "../../../src/io/live/system.js";
import { TapInterface } from "../../../src/io/live/tap.js";
import { enterNamespace, ip } from "./namespace.js";

const reason = enterNamespace();
if (reason !== null) console.warn(`SKIPPED: tests of TAP devices (${reason})`);

const GUEST = "02:00:00:00:00:01";
const HOST = "02:00:00:00:00:02";
const TUNSETIFF = 0x400454ca;
const TUNSETVNETHDRSZ = 0x400454d8;

const opened: TapInterface[] = [];
let memory: PacketMemory;

function open(device: string): TapInterface {
  const made = new TapInterface(device, memory);
  opened.push(made);
  return made;
}

/** As a program does that has had the device before, such as QEMU. */
function leaveLongHeaders(device: string): void {
  const descriptor = system().open("/dev/net/tun", O_RDWR);
  const { bytes, view } = deviceRequest(device);
  view.setUint16(16, 0x5002, true); // IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
  system().ioctl(descriptor, TUNSETIFF, bytes, "TUNSETIFF");
  system().ioctl(descriptor, TUNSETVNETHDRSZ, int32(12), "TUNSETVNETHDRSZ");
  system().close(descriptor);
}

/** The next frame that the guest sends with this EtherType. */
async function frameFrom(live: TapInterface, etherType: number): Promise<Buffer> {
  for (let look = 0; look < 100; look++) {
    const count = live.receive(memory.rows, 1, 0n);
    const at = memory.u32(memory.rows + ROW.OFFSET);
    const frame = Buffer.from(memory.bytes.slice(at, at + memory.u32(memory.rows + ROW.LENGTH)));
    if (count > 0 && frame.readUInt16BE(12) === etherType) return frame;
    await setTimeout(10);
  }
  throw new Error("no such frame has come");
}

describe.skipIf(reason !== null)("tap", () => {
  beforeEach(() => {
    memory = new PacketMemory({ ports: 1, nodes: 1, stamps: 1, flowCapacity: 16 });
  });
  afterEach(() => {
    while (opened.length > 0) opened.pop()!.close();
    for (const device of ["tap0", "eth0"]) spawnSync("ip", ["link", "del", device]);
  });

  test("a device that others have used with longer offload headers gives and takes whole frames", async () => {
    ip("tuntap add tap0 mode tap");
    leaveLongHeaders("tap0");
    const live = open("tap0");
    ip(`link set tap0 address ${GUEST} addrgenmode none up`);
    ip("addr add 10.9.0.1/24 dev tap0");
    ip(`neigh add 10.9.0.2 lladdr ${HOST} dev tap0`);
    const socket = createSocket("udp4");
    await new Promise((sent) => socket.send("hello", 5000, "10.9.0.2", sent));
    socket.close();
    const frame = await frameFrom(live, 0x0800);
    expect([frame.toString("hex", 0, 6), frame.toString("latin1", 42)]).toEqual([HOST.replaceAll(":", ""), "hello"]);

    memory.bytes.set(frame, memory.rows + 4096);
    live.send(memory.rows + 4096, frame.length);
    live.flush();
    const [{ stats64 }] = JSON.parse(ip("-s -j link show tap0"));
    expect(stats64.rx).toMatchObject({ packets: 1, bytes: frame.length });
  });

  test("a device that is in another namespace is not judged by one here that has its name", () => {
    const live = open("tap0");
    const other = `hnv-t-${process.pid}-guest`;
    ip(`netns add ${other}`);
    try {
      ip(`link set tap0 netns ${other}`);
      ip(`-n ${other} link set tap0 name eth0 up`);
      ip("link add eth0 type veth peer name eth1"); // down
      live.check();
      expect(live.counters().events).toEqual({});
    } finally {
      ip(`netns del ${other}`);
    }
  });

  test("what cannot be attached to is one line that says why", () => {
    const refusal = (workers: number): string => {
      try {
        opened.push(new TapInterface("tap0", memory, { workers, group: 0 }));
      } catch (error) {
        return (error as Error).message;
      }
      return "it was opened";
    };
    ip("link add tap0 type veth");
    expect(refusal(1)).toMatch(/^tap:tap0: what is there is no TAP device, or has several queues, .*EINVAL/);
    ip("link del tap0");
    ip("tuntap add tap0 mode tap");
    expect(refusal(2)).toMatch(/^tap:tap0: what is there is no TAP device, or has one queue, .*EINVAL/);
    expect(refusal(1)).toBe("it was opened");
    expect(refusal(1)).toBe("tap:tap0: another program has it (TUNSETIFF: EBUSY, resource busy or locked)");
  });
});
