/**
 * How the frames of a stream become records of a file where they lie, so that the region is the file's next piece as it stands. An
 * encoding is plain data: a worker can apply it for a writer that lives in another thread.
 */
import { EPB_GAP, RECORD } from "./layout.js";
import { scannerOf } from "./scanner.js";
import type { StreamBuffer } from "./stream.js";

export type Encoding =
  /** Classic records with times in steps of so many nanoseconds. */
  | { readonly kind: "records"; readonly unit: 1 | 1000 }
  /** Classic records whose headers are made from those of the records that the frames came from (STREAM_ITEM.SOURCE). */
  | { readonly kind: "rewritten records"; readonly headerLength: number; readonly isLittleEndian: boolean }
  /** Enhanced packet blocks of one interface. */
  | { readonly kind: "blocks"; readonly interfaceId: number; readonly unit: 1 | 1000 };

/** Records back to back from the stream's base. */
export interface Encoded {
  readonly bytes: number;
  readonly frames: number;
  readonly longestFrame: number;
}

/**
 * Encodes all frames of the stream, which has at least one. Undefined where they lie with another gap, or out of the order of their sequence
 * numbers, and where a time is none that a classic record can hold.
 */
export function encode(stream: StreamBuffer, encoding: Encoding): Encoded | undefined {
  const scanner = scannerOf(stream.memory.memory);
  const { list, count, base } = stream;
  if (stream.isDisordered) return undefined;
  switch (encoding.kind) {
    case "records":
      if (stream.gap !== RECORD.LENGTH || scanner.writeRecords(list, count, base, encoding.unit) === 0)
        return undefined;
      break;
    case "rewritten records": {
      const { headerLength, isLittleEndian } = encoding;
      const isSwapped = isLittleEndian ? 0 : 1;
      if (stream.gap !== headerLength || scanner.rewriteRecords(list, count, base, headerLength, isSwapped) === 0)
        return undefined;
      break;
    }
    case "blocks":
      if (stream.gap < EPB_GAP) return undefined;
      scanner.packBlocks(list, count, base, encoding.interfaceId, encoding.unit);
  }
  return { bytes: (scanner.cursor.value >>> 0) - base, frames: count, longestFrame: scanner.longest.value };
}
