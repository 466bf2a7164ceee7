/** Rows of the packet memory, as live interfaces that keep frames themselves fill them. */
import { ROW } from "../../dataplane/packet/index.js";
import type { Memory } from "../capture/memory.js";

/** The packet memory, as far as live interfaces need to know it. */
export interface RowMemory extends Memory {
  u32(at: number): number;
  setU32(at: number, value: number): void;
}

/** A time in nanoseconds, cut into the two words that rows have for it, so that frames of one burst share the work. */
export interface TimeWords {
  low: number;
  high: number;
}

export function setTime(words: TimeWords, timeNs: bigint): void {
  words.low = Number(timeNs & 0xffff_ffffn);
  words.high = Number((timeNs >> 32n) & 0xffff_ffffn);
}

/** Describes a whole frame that has arrived. */
export function writeRow(
  memory: RowMemory,
  row: number,
  offset: number,
  length: number,
  headroom: number,
  time: TimeWords,
): void {
  memory.setU32(row + ROW.OFFSET, offset);
  memory.setU32(row + ROW.LENGTH, length);
  memory.setU32(row + ROW.HEADROOM, headroom);
  memory.setU32(row + ROW.TIMESTAMP, time.low);
  memory.setU32(row + ROW.TIMESTAMP + 4, time.high);
  memory.setU32(row + ROW.MISSING, 0);
}
