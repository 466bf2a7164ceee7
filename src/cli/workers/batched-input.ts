/**
 * A reader as rewriters see it when frames come back later, in batches: the reader itself has long gone on. Blocks that are no
 * packets are taken from it with every batch, and shown to the rewriter with the frames of that batch.
 */
import type { CaptureReader, KeptBlock, RewriterInput } from "../../io/index.js";

export class BatchedInput implements RewriterInput {
  /** Those of the batch that is being written. */
  keptBlocks: KeptBlock[] = [];
  /** No frame has been taken yet when a rewriter begins, so all blocks are still to come. */
  readonly sectionBlocks: KeptBlock[] = [];
  #seen: readonly KeptBlock[] = [];
  #taken = 0;

  constructor(private readonly reader: CaptureReader) {}

  get format() {
    return this.reader.format;
  }
  get header() {
    return this.reader.header;
  }
  get isFinerThanMicroseconds(): boolean {
    return this.reader.isFinerThanMicroseconds;
  }

  /** Blocks that the reader has met since the last call. Must be called before each `more`. */
  takeBlocks(): KeptBlock[] {
    const { keptBlocks } = this.reader;
    if (keptBlocks !== this.#seen) this.#taken = 0;
    this.#seen = keptBlocks;
    const blocks = keptBlocks.slice(this.#taken);
    this.#taken = keptBlocks.length;
    return blocks;
  }

  /** Called before frames among these blocks are written, or blocks alone. */
  show(blocks: readonly KeptBlock[]): void {
    this.keptBlocks = [...blocks];
  }
}
