/**
 * The frames that all peers get: a classic pcap file that holds every flow about equally often in random order. Flow i has its own
 * source and destination MAC, source address and UDP source port, so that a switch cannot tell flows apart by less than we do.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { overheadOf, writeFrame, writeWrapped } from "../support/frames.mjs";
import { shuffled } from "../support/measure.mjs";

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const MAGIC = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FAMILY = 4;
const FIRST_SOURCE = 0x0a000005;
/** A capture of one flow repeats it, so that bursts are full. */
const FRAMES_MIN = 1_024;
const RECORDS_PER_WRITE = 1_000;

/** Writes the capture of one case: tenant frames of `length` bytes for `encap`, the same on the wire for `decap`. */
export function writeCapture(path, { direction, length, flows }) {
  const order = shuffled(Math.max(flows, FRAMES_MIN), flows);
  const captured = direction === "decap" ? length + overheadOf(FAMILY) : length;
  const recordLength = RECORD_HEADER + captured;
  const file = openSync(path, "w");
  writeSync(file, fileHeader());
  for (let first = 0; first < order.length; first += RECORDS_PER_WRITE) {
    const some = order.subarray(first, first + RECORDS_PER_WRITE);
    const block = new DataView(new ArrayBuffer(some.length * recordLength));
    some.forEach((flow, index) => {
      const at = index * recordLength;
      block.setUint32(at + 8, captured, true);
      block.setUint32(at + 12, captured, true);
      writeFlow(block, at + RECORD_HEADER, { direction, length, flow });
    });
    writeSync(file, block);
  }
  closeSync(file);
}

/** The frames of such a file, or of one that DPDK wrote on this machine; one that is cut at the end is left out. */
export function framesOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (![MAGIC, MAGIC_NANOSECONDS].includes(view.getUint32(0, true))) throw new Error("not a little-endian pcap file");
  const frames = [];
  let at = FILE_HEADER;
  while (at + RECORD_HEADER <= bytes.length) {
    const from = at + RECORD_HEADER;
    at = from + view.getUint32(at + 8, true);
    if (at <= bytes.length) frames.push(bytes.subarray(from, at));
  }
  return frames;
}

function fileHeader() {
  const header = Buffer.alloc(FILE_HEADER);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(0x00040002, 4);
  header.writeUInt32LE(65_535, 16);
  header.writeUInt32LE(1, 20);
  return header;
}

/** The flow's number is the last four octets of both MAC addresses, too. */
function writeFlow(view, at, { direction, length, flow }) {
  const frame = { family: FAMILY, length, flow, source: FIRST_SOURCE + flow };
  const inner = direction === "decap" ? at + overheadOf(FAMILY) : at;
  if (direction === "decap") writeWrapped(view, at, FAMILY, frame);
  else writeFrame(view, at, frame);
  view.setUint32(inner + 2, flow);
  view.setUint32(inner + 8, flow);
}
