/**
 * One worker's frames, laid out in the engine's memory before anything is timed, and the bursts that they come in. What is
 * timed of this file is five words written per row; with new flows, two bytes per frame on top.
 */
import { type Engine, reasonName } from "../../dataplane/index.js";
import { BURST_BYTES_MAX, BURST_MAX, ROW, ROW_SIZE } from "../../dataplane/packet/index.js";
import { ETHERNET_LENGTH, ipv4ChecksumIsRight } from "../../dataplane/wire/index.js";
import { allocateStream, type StreamBuffer } from "../../io/index.js";
import { type BenchCase, framesPerPass, inputLengthOf, outputLengthOf, strideOf } from "./cases.js";
import { FrameWriter } from "./frames.js";
import type { BenchLab } from "./lab.js";
import { digestOf, makeRandom } from "./measure.js";

/** Of a classic capture; what the stream leaves free before each frame. */
const RECORD_HEADER_BYTES = 16;
const STREAM_BYTES = 1024 * 1024;
const NOW_MS = 1_000;
const ROW_WORDS = ROW_SIZE / 4;
/** What a burst leaves changed of its rows, by 32-bit words. HOPS and VERDICT share the word of PORT, and are zero at first. */
const WORD = {
  OFFSET: ROW.OFFSET / 4,
  LENGTH: ROW.LENGTH / 4,
  HEADROOM: ROW.HEADROOM / 4,
  PORT: ROW.PORT / 4,
  SEQUENCE: ROW.SEQUENCE / 4,
} as const;

/** Which flows are a worker's: those whose number, divided by `count`, leaves `index`. */
export interface Share {
  readonly index: number;
  readonly count: number;
}

export class Traffic {
  readonly #engine: Engine;
  readonly #lab: BenchLab;
  readonly #case: BenchCase;
  readonly #writer: FrameWriter;
  /** Place in the pass over all workers of each of this worker's frames. */
  readonly #places: Uint32Array;
  readonly #frames: number;
  readonly #framesPerBurst: number;
  readonly #stream: StreamBuffer | null;
  readonly #words: Uint32Array;
  /** The next frame to be sent, and how many passes came before. */
  #position = 0;
  #passes = 0;

  constructor(lab: BenchLab, one: BenchCase, share: Share) {
    const { engine, exit } = lab;
    const { memory } = engine;
    const order = flowOrder(one);
    this.#engine = engine;
    this.#lab = lab;
    this.#case = one;
    this.#writer = new FrameWriter(one);
    this.#places = order.map((_, place) => place).filter((place) => order[place]! % share.count === share.index);
    this.#framesPerBurst = Math.min(
      BURST_MAX,
      Math.floor(BURST_BYTES_MAX / Math.max(inputLengthOf(one), outputLengthOf(one))),
    );
    this.#frames = memory.allocate(this.count * strideOf(one));
    this.#stream =
      one.output === "capture" ? allocateStream(memory, STREAM_BYTES, BURST_MAX, RECORD_HEADER_BYTES) : null;
    if (this.#stream) engine.setStream(exit, "tx", this.#stream.address);
    this.#words = new Uint32Array(memory.memory.buffer);
    this.#places.forEach((place, index) => {
      this.#writer.write(memory.bytes, this.#addressOf(index), order[place]!);
    });
  }

  /** Frames of one pass. */
  get count(): number {
    return this.#places.length;
  }

  /** Sends the next burst, or what is left of the pass, and returns how many frames that were. */
  sendBurst(): number {
    const first = this.#position;
    const count = Math.min(this.#framesPerBurst, this.count - first);
    if (this.#case.traffic === "misses" && this.#passes > 0) this.#renewFlows(first, count);
    this.#fillRows(first, count);
    this.#stream?.reset();
    this.#engine.process(count, NOW_MS);
    this.#position = first + count;
    if (this.#position === this.count) {
      this.#position = 0;
      this.#passes++;
    }
    return count;
  }

  /**
   * Sends a whole pass and returns a digest over every byte of every frame that left, which does not depend on how the frames
   * are shared between workers: add up (modulo 2^32) those of all. The outer IPv4 identification, which counts per worker, is
   * left out, and the header checksum with it, which is verified instead. Throws if a frame did not leave where it should.
   */
  sendForDigest(): number {
    while (this.#position > 0) this.sendBurst(); // what is left of a pass
    const { direction, outer } = this.#case;
    const hasIdentification = direction === "encap" && outer === 4;
    let digest = 0;
    let sent = 0;
    do {
      const first = sent;
      sent += this.sendBurst();
      let left = 0;
      for (const { sequence, verdict, port, reason, frame } of this.#engine.lastBurst()) {
        if (verdict !== "delivered" || port !== this.#lab.exit) {
          throw new Error(
            `frame ${sequence} was ${verdict} at ${this.#engine.ports[port]!.name}: ${reasonName(reason)}`,
          );
        }
        if (hasIdentification) hideIdentification(frame);
        digest = (digest + digestOf(frame, digestOf(bytesOf(this.#places[sequence]!)))) >>> 0;
        left++;
      }
      if (left !== sent - first) throw new Error(`${left} frames left of ${sent - first}`);
    } while (this.#position > 0);
    return digest;
  }

  #addressOf(index: number): number {
    return this.#frames + index * strideOf(this.#case);
  }

  #fillRows(first: number, count: number): void {
    const words = this.#words;
    const stride = strideOf(this.#case);
    const length = inputLengthOf(this.#case);
    const port = this.#lab.entry;
    let address = this.#addressOf(first);
    let at = this.#engine.memory.rows / 4;
    for (let sequence = first; sequence < first + count; sequence++) {
      words[at + WORD.OFFSET] = address;
      words[at + WORD.LENGTH] = length;
      words[at + WORD.HEADROOM] = 0;
      words[at + WORD.PORT] = port;
      words[at + WORD.SEQUENCE] = sequence;
      at += ROW_WORDS;
      address += stride;
    }
  }

  #renewFlows(first: number, count: number): void {
    const { bytes } = this.#engine.memory;
    for (let index = first; index < first + count; index++)
      this.#writer.renewFlow(bytes, this.#addressOf(index), this.#passes);
  }
}

/** The flow of each frame of a pass: each about equally often, in random order. */
function flowOrder(one: BenchCase): Uint32Array {
  const random = makeRandom(1);
  const order = Uint32Array.from({ length: framesPerPass(one) }, (_, index) => index % one.flows);
  for (let index = order.length - 1; index > 0; index--) {
    const other = random(index + 1);
    [order[index], order[other]] = [order[other]!, order[index]!];
  }
  return order;
}

function hideIdentification(frame: Uint8Array): void {
  if (!ipv4ChecksumIsRight(frame, ETHERNET_LENGTH)) throw new Error("an outer IPv4 header has a wrong checksum");
  frame.fill(0, ETHERNET_LENGTH + 4, ETHERNET_LENGTH + 6);
  frame.fill(0, ETHERNET_LENGTH + 10, ETHERNET_LENGTH + 12);
}

const bytesOf = (value: number): Uint8Array =>
  Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
