/**
 * Our side of `xdp.bench.mjs`, with the arguments and the output of bench/peers/xdp.c:
 *
 *     node bench/live/xdp-program.mjs receive|forward IFACE SECONDS
 */
import koffi from "koffi";
import { PacketMemory, ROW, ROW_SIZE } from "../../dist/dataplane/packet/index.js";
import { XdpInterface } from "../../dist/io/live/xdp.js";

const [mode, device, seconds] = process.argv.slice(2);
const BURST = 256;
const WARM_UP_MS = 300;
const CLOCK_THREAD_CPUTIME_ID = 3;
const clockGettime = koffi.load(null).func("int clock_gettime(int clock, void *time)");
const time = new BigInt64Array(2);

const memory = new PacketMemory({ ports: 1, nodes: 1, stamps: 1, flowCapacity: 16 });
const live = new XdpInterface(device, memory);
const isForward = mode === "forward";
const epochNs = BigInt(Date.now()) * 1_000_000n;

let first = 0;
let start = 0;
let busy = 0;
let before = live.counters();
const isOver = () => start !== 0 && performance.now() >= start + Number(seconds) * 1000;
while (!isOver()) {
  const began = threadSeconds();
  const count = live.receive(memory.rows, BURST, epochNs);
  if (count === 0) continue;
  if (isForward) forward(count);
  live.release();
  busy += threadSeconds() - began;
  first ||= performance.now();
  if (start === 0 && performance.now() >= first + WARM_UP_MS) {
    start = performance.now();
    busy = 0;
    before = live.counters();
  }
}
const { received, sent } = live.counters();
console.log(received - before.received, sent - before.sent, (performance.now() - start) / 1000, busy);
live.close();

function forward(count) {
  for (let i = 0; i < count; i++) {
    const row = memory.rows + i * ROW_SIZE;
    const at = memory.u32(row + ROW.OFFSET);
    swapAddresses(memory.bytes, at);
    live.send(at, memory.u32(row + ROW.LENGTH));
  }
  live.flush();
}

function swapAddresses(bytes, at) {
  for (let i = at; i < at + 6; i++) {
    const octet = bytes[i];
    bytes[i] = bytes[i + 6];
    bytes[i + 6] = octet;
  }
}

function threadSeconds() {
  clockGettime(CLOCK_THREAD_CPUTIME_ID, time);
  return Number(time[0]) + Number(time[1]) * 1e-9;
}
