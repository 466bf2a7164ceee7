/** What the tests of live interfaces share: a packet memory with rows, and what interfaces put there, copied out. */
import { ROW, ROW_SIZE } from "../../../src/dataplane/packet/layout.js";
import { PlainMemory } from "../../../src/io/capture/memory.js";
import type { LiveInterface } from "../../../src/io/live/live-interface.js";

export interface ReceivedFrame {
  readonly data: Uint8Array;
  readonly timestampNs: bigint;
  readonly headroom: number;
  readonly missing: number;
}

const ROWS = 256;

export class LiveBench {
  readonly memory = new PlainMemory();
  readonly rows = this.memory.allocate(ROWS * ROW_SIZE);
  readonly #scratch = this.memory.allocate(65_536);

  /** One round: what the interface has, copied out, and released. */
  receive(face: LiveInterface, nowNs: bigint, max = ROWS): ReceivedFrame[] {
    const count = face.receive(this.rows, max, nowNs);
    const frames = Array.from({ length: count }, (_, index) => this.#frame(this.rows + index * ROW_SIZE));
    face.release();
    return frames;
  }

  /** Sends frames as one burst; which of them found room. */
  send(face: LiveInterface, frames: readonly Uint8Array[]): boolean[] {
    const taken = frames.map((frame) => {
      this.memory.bytes.set(frame, this.#scratch);
      const isTaken = face.send(this.#scratch, frame.length);
      this.memory.bytes.fill(0xa5, this.#scratch, this.#scratch + frame.length); // whoever needs it must have copied it
      return isTaken;
    });
    face.flush();
    return taken;
  }

  #frame(row: number): ReceivedFrame {
    const view = new DataView(this.memory.memory.buffer);
    const offset = view.getUint32(row + ROW.OFFSET, true);
    return {
      data: this.memory.bytes.slice(offset, offset + view.getUint32(row + ROW.LENGTH, true)),
      timestampNs: view.getBigUint64(row + ROW.TIMESTAMP, true),
      headroom: view.getUint32(row + ROW.HEADROOM, true),
      missing: view.getUint32(row + ROW.MISSING, true),
    };
  }
}
