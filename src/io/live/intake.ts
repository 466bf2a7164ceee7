/**
 * Frames on their way in, from a device's buffer in the packet memory to rows. What their sender left to hardware is done
 * here: checksums where the frame lies, segments in an area of their own.
 */
import { BURST_BYTES_MAX, type PacketMemory, ROW, ROW_SIZE, SLOT_HEADROOM } from "../../dataplane/packet/index.js";
import { Segmenter } from "../../dataplane/wire/index.js";
import { completeChecksum, type Offload, segmentationOf } from "./offload.js";

/** A time in nanoseconds, in two words. */
export interface Time {
  low: number;
  high: number;
}

export class Intake {
  received = 0;
  /** Frames that contradict what was said about them. */
  malformed = 0;
  readonly #segmenter = new Segmenter();
  readonly #area: number;
  /** Where the next segment is written. */
  #cursor = 0;
  #rows = 0;
  #max = 0;
  #count = 0;
  #time: Time = { low: 0, high: 0 };

  constructor(private readonly memory: PacketMemory) {
    this.#area = memory.allocate(BURST_BYTES_MAX);
  }

  /** Rows described since `begin`. */
  get count(): number {
    return this.#count;
  }

  /** Must what was given first be released? Then the device's buffer must stay as it is, too, for a frame may be half cut. */
  get isFull(): boolean {
    return this.#count === this.#max || this.#segmenter.isBusy;
  }

  /** Starts over with rows at this address, and goes on with what was left of the last frame. */
  begin(rows: number, max: number): void {
    this.#rows = rows;
    this.#max = max;
    this.#count = 0;
    this.#cursor = this.#area;
    this.#cut();
  }

  /** Takes a frame unless `isFull`. `headroom` bytes before it are free. */
  add(at: number, length: number, headroom: number, time: Time, offload: Offload | null): void {
    this.#time = time;
    if (offload === null) {
      this.#describe(at, length, headroom);
    } else if (offload.gsoType !== 0) {
      const request = segmentationOf(offload);
      if (request !== null && this.#segmenter.start(this.memory.bytes, at, length, request)) this.#cut();
      else this.malformed++;
    } else if (completeChecksum(this.memory, at, length, offload)) {
      this.#describe(at, length, headroom);
    } else {
      this.malformed++;
    }
  }

  /** Writes as many segments as there is room for. */
  #cut(): void {
    const segmenter = this.#segmenter;
    const { bytes } = this.memory;
    const end = this.#area + BURST_BYTES_MAX;
    const slotBytes = (SLOT_HEADROOM + segmenter.segmentLength + 15) & ~15;
    while (segmenter.isBusy && this.#count < this.#max && this.#cursor + slotBytes <= end) {
      const at = this.#cursor + SLOT_HEADROOM;
      this.#cursor += slotBytes;
      this.#describe(at, segmenter.write(bytes, bytes, at), SLOT_HEADROOM);
    }
  }

  #describe(at: number, length: number, headroom: number): void {
    const { memory } = this;
    const row = this.#rows + this.#count * ROW_SIZE;
    memory.setU32(row + ROW.OFFSET, at);
    memory.setU32(row + ROW.LENGTH, length);
    memory.setU32(row + ROW.HEADROOM, headroom);
    memory.setU32(row + ROW.TIMESTAMP, this.#time.low);
    memory.setU32(row + ROW.TIMESTAMP + 4, this.#time.high);
    memory.setU32(row + ROW.MISSING, 0);
    this.#count++;
    this.received++;
  }
}

export function setTime(time: Time, nanoseconds: bigint): void {
  time.low = Number(nanoseconds & 0xffff_ffffn);
  time.high = Number(nanoseconds >> 32n);
}
