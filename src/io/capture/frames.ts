/**
 * Captures frame by frame, as plain objects: for comparing, tracing and tests, where clarity is the budget.
 */
import { ROW, ROW_SIZE } from "../../dataplane/packet/index.js";
import { EPB_FRAME, FRAME_MAX } from "./layout.js";
import { type Memory, PlainMemory } from "./memory.js";
import { BLOCK, packetComments } from "./pcapng.js";
import { type CaptureReader, openCapture } from "./reader.js";

/** A frame of a capture, copied out. */
export interface CapturedFrame {
  readonly data: Uint8Array;
  readonly timestampNs: bigint;
  /** Length on the wire; more than `data` if the capture cut it. */
  readonly originalLength: number;
  /** Index into the interfaces of the file, counted through all its sections. */
  readonly interfaceId: number;
  readonly comments: readonly string[];
}

const ROWS = 64;
const CHUNK_BYTES = 256 * 1024;

/** All frames of a capture; damage is thrown after the last whole one. */
export async function* readFrames(path: string): AsyncGenerator<CapturedFrame, void, void> {
  const memory = new PlainMemory();
  const rows = memory.allocate(ROWS * ROW_SIZE);
  const reader = await openCapture(path, memory, { chunkBytes: CHUNK_BYTES });
  try {
    do {
      for (let count = reader.fill(rows, 0, ROWS, FRAME_MAX); count > 0; count = reader.fill(rows, 0, ROWS, FRAME_MAX))
        for (let row = 0; row < count; row++) yield copyFrame(reader, memory, rows + row * ROW_SIZE);
    } while (await reader.more());
    if (reader.damage) throw reader.damage;
  } finally {
    await reader.close();
  }
}

/** The frame of the row at this address, which `reader` filled since its last `more`. */
export function copyFrame(reader: CaptureReader, memory: Memory, row: number): CapturedFrame {
  const view = new DataView(memory.memory.buffer);
  const offset = view.getUint32(row + ROW.OFFSET, true);
  const length = view.getUint32(row + ROW.LENGTH, true);
  const source = view.getUint32(row + ROW.SOURCE, true);
  return {
    data: memory.bytes.slice(offset, offset + length),
    timestampNs: view.getBigUint64(row + ROW.TIMESTAMP, true),
    originalLength: length + view.getUint32(row + ROW.MISSING, true),
    interfaceId: view.getUint32(row + ROW.TAG, true),
    // Frames of simple packet blocks begin elsewhere; they have no options.
    comments: reader.format === "pcapng" && offset - source === EPB_FRAME ? commentsAt(view, source) : [],
  };
}

function commentsAt(view: DataView, block: number): string[] {
  const type = view.getUint32(block, true);
  const isLittleEndian = type === BLOCK.ENHANCED || type === BLOCK.OBSOLETE;
  return packetComments(view, block, view.getUint32(block + 4, isLittleEndian), isLittleEndian);
}
