/**
 * Packets that lie in an engine's memory, and their rows, prepared once: a burst is then one copy of rows and one call, so that
 * filling does not decide what is measured.
 */
import { BURST_BYTES_MAX, BURST_MAX, ROW, ROW_SIZE } from "../../dist/dataplane/packet/index.js";

export class Bursts {
  #engine;
  #rows;
  #perBurst;
  #address;

  /** `write(view, at, index)` writes packet `index` at `at` and returns its length, at most `lengthMax`. */
  constructor(engine, { count, lengthMax, port, write }) {
    const { memory } = engine;
    this.count = count;
    this.stride = (lengthMax + 63) & ~63;
    this.#engine = engine;
    this.#perBurst = Math.min(BURST_MAX, Math.floor(BURST_BYTES_MAX / lengthMax));
    this.#address = memory.allocate(count * this.stride);
    this.#rows = memory.allocate(count * ROW_SIZE);
    const view = this.view;
    for (let index = 0; index < count; index++) {
      const row = this.#rows + index * ROW_SIZE;
      memory.setU32(row + ROW.OFFSET, this.addressOf(index));
      memory.setU32(row + ROW.LENGTH, write(view, this.addressOf(index), index));
      memory.setU16(row + ROW.PORT, port);
      memory.setU32(row + ROW.SEQUENCE, index);
    }
  }

  get view() {
    return new DataView(this.#engine.memory.memory.buffer);
  }

  addressOf(index) {
    return this.#address + index * this.stride;
  }

  /** Sends every packet once; `look`, if given, sees the engine after each burst. */
  send(look) {
    const { memory } = this.#engine;
    for (let first = 0; first < this.count; first += this.#perBurst) {
      const count = Math.min(this.#perBurst, this.count - first);
      const rows = this.#rows + first * ROW_SIZE;
      memory.bytes.copyWithin(memory.rows, rows, rows + count * ROW_SIZE);
      this.#engine.process(count, 1_000);
      look?.();
    }
  }
}
