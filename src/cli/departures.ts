/**
 * Frames on their way out of the engine: what the streams of ports collect goes to capture files, dropped frames go to a log,
 * and on request everything at every port goes to one file.
 */
import { type Engine, reasonName, reasonText } from "../dataplane/index.js";
import { STREAM_ITEM } from "../dataplane/packet/index.js";
import type { PortIndex } from "../dataplane/transposition/index.js";
import {
  allocateStream,
  type CaptureFormat,
  type CaptureOutput,
  type CaptureWriter,
  createCapture,
  type Memory,
  type StreamBuffer,
} from "../io/index.js";
import type { BurstLimits } from "./arrivals.js";
import { failure } from "./errors.js";

/** Something that takes frames out of the engine. */
export interface Departure {
  readonly outputs: readonly CaptureOutput[];
  /** Called when a burst has met its end, and before the next one begins. */
  afterBurst(): Promise<void> | undefined;
  /** Writes out what the streams hold. */
  drain(): Promise<void>;
}

/** What a frame grows by at most on its way, with room to spare. */
const GROWTH_BYTES = 128;
/** Written at a time, about. */
const STREAM_BYTES = 2 * 1024 * 1024;
const STREAM_FRAMES = 16_384;
/** What the longest frame that a capture can hold asks for; such frames are dropped, but `rx` streams show them. */
const LONGEST_FRAME = 262_144;

const burstFrames = ({ frames, copies }: BurstLimits): number => frames + (copies?.frames ?? 0);
const burstBytes = (limits: BurstLimits): number =>
  Math.max(limits.bytes, LONGEST_FRAME) + (limits.copies?.bytes ?? 0) + burstFrames(limits) * GROWTH_BYTES;

/** A stream with room for many bursts, so that writes are large, or for one only. */
export function makeStream(memory: Memory, limits: BurstLimits, gapBytes: number, isLarge = true): StreamBuffer {
  const frames = burstFrames(limits);
  const bytes = burstBytes(limits) + frames * gapBytes + (isLarge ? STREAM_BYTES : 0);
  return allocateStream(memory, bytes, frames + (isLarge ? STREAM_FRAMES : 0), gapBytes);
}

export const hasRoomForBurst = (stream: StreamBuffer, limits: BurstLimits): boolean =>
  stream.hasRoom(burstBytes(limits), burstFrames(limits));

/** Streams have room for every burst; a single packet with copies to very many hosts may be more than that. */
export function checkOverflow({ overflow }: StreamBuffer): void {
  if (overflow > 0) throw failure(`${overflow} copies of a packet to many found no room in the buffer of an output`);
}

/** The frames that leave a node at a port, or at several, as a capture. */
export class PortTap implements Departure {
  readonly outputs: readonly CaptureOutput[];
  readonly stream: StreamBuffer;

  constructor(
    engine: Engine,
    ports: readonly PortIndex[],
    private readonly output: CaptureOutput,
    private readonly limits: BurstLimits,
  ) {
    this.outputs = [output];
    this.stream = makeStream(engine.memory, limits, output.gapBytes);
    for (const port of ports) engine.setStream(port, "tx", this.stream.address); // one stream keeps the order
  }

  afterBurst(): Promise<void> | undefined {
    return hasRoomForBurst(this.stream, this.limits) ? undefined : this.drain();
  }

  async drain(): Promise<void> {
    checkOverflow(this.stream);
    await this.output.drainStream(this.stream);
  }
}

/** Every dropped frame as it was where it was dropped, with the reason as comment. */
export class DropLog implements Departure {
  readonly outputs: readonly CaptureOutput[];
  readonly #interfaces = new Map<PortIndex, number>();
  #dropped = 0;

  constructor(
    private readonly engine: Engine,
    private readonly writer: CaptureWriter,
  ) {
    this.outputs = [writer];
  }

  afterBurst(): Promise<void> | undefined {
    const { dropped } = this.engine.totals();
    if (dropped === this.#dropped) return undefined;
    this.#dropped = dropped;
    for (const end of this.engine.lastBurst()) {
      if (end.verdict !== "dropped") continue;
      const port = this.engine.ports[end.port]!.name;
      this.writer.writeFrame(end.frame, {
        timestampNs: end.timestampNs,
        originalLength: end.frame.length + end.missing,
        interfaceId: this.#interfaceOf(end.port),
        comments: [`${reasonName(end.reason)} at ${port}: ${reasonText(end.reason)}`],
      });
    }
    return this.writer.ready();
  }

  #interfaceOf(port: PortIndex): number {
    let id = this.#interfaces.get(port);
    if (id === undefined) {
      id = this.writer.addInterface({ name: this.engine.ports[port]!.name });
      this.#interfaces.set(port, id);
    }
    return id;
  }

  async drain(): Promise<void> {}
}

/** One frame at one port. */
interface Sighting {
  readonly stream: StreamBuffer;
  readonly index: number;
  readonly port: number;
  readonly direction: "inbound" | "outbound";
  readonly sequence: number;
  readonly order: number;
}

/**
 * All frames at all ports in one capture: an interface per port, the direction as flag, and one number per packet along its
 * whole way. Shares the `tx` streams of ports that have a tap, and so must see them before the taps do, after every burst.
 */
export class WholeLabCapture implements Departure {
  readonly outputs: readonly CaptureOutput[];
  readonly #streams: {
    readonly port: number;
    readonly direction: "inbound" | "outbound";
    readonly stream: StreamBuffer;
  }[] = [];
  readonly #taps: readonly PortTap[];

  constructor(
    engine: Engine,
    private readonly writer: CaptureWriter,
    limits: BurstLimits,
    taps: ReadonlyMap<PortIndex, PortTap>,
  ) {
    this.outputs = [writer];
    this.#taps = [...taps.values()];
    for (const [index, { name }] of engine.ports.entries()) {
      const port = index as PortIndex;
      writer.addInterface({ name }); // ids follow the ports' numbers
      const inbound = makeStream(engine.memory, limits, 0, false);
      engine.setStream(port, "rx", inbound.address);
      this.#streams.push({ port, direction: "inbound", stream: inbound });
      const outbound = taps.get(port)?.stream ?? makeStream(engine.memory, limits, 0, false);
      engine.setStream(port, "tx", outbound.address);
      this.#streams.push({ port, direction: "outbound", stream: outbound });
    }
  }

  async afterBurst(): Promise<void> {
    for (const sighting of this.#sightings()) this.#write(sighting);
    for (const tap of this.#taps) await tap.drain();
    for (const { stream } of this.#streams) {
      checkOverflow(stream);
      stream.reset();
    }
    await this.writer.ready();
  }

  /** Packet by packet, each along its way. */
  #sightings(): Sighting[] {
    const found: Sighting[] = [];
    for (const { port, direction, stream } of this.#streams) {
      const view = new DataView(stream.memory.memory.buffer);
      for (let index = 0; index < stream.count; index++) {
        const item = stream.itemAt(index);
        const sequence = view.getUint32(item + STREAM_ITEM.SEQUENCE, true);
        const order = view.getUint32(item + STREAM_ITEM.ORDER, true);
        found.push({ stream, index, port, direction, sequence, order });
      }
    }
    // Both numbers wrap; within a burst their differences are small.
    return found.sort((a, b) => (a.sequence - b.sequence) | 0 || (a.order - b.order) | 0);
  }

  #write({ stream, index, port, direction, sequence }: Sighting): void {
    const { memory } = stream;
    const view = new DataView(memory.memory.buffer);
    const item = stream.itemAt(index);
    const at = view.getUint32(item + STREAM_ITEM.OFFSET, true);
    const length = view.getUint32(item + STREAM_ITEM.LENGTH, true);
    this.writer.writeFrame(memory.bytes.subarray(at, at + length), {
      timestampNs: view.getBigUint64(item + STREAM_ITEM.TIMESTAMP, true),
      originalLength: length + view.getUint32(item + STREAM_ITEM.MISSING, true),
      interfaceId: port,
      direction,
      packetId: BigInt(sequence + 1),
      comments: [`packet ${sequence + 1}`],
    });
  }

  async drain(): Promise<void> {}
}

/** Makes the outputs of a command; if one cannot be made, those before it are given up. */
export async function createAll<Output extends CaptureOutput>(
  makers: readonly (() => Promise<Output>)[],
): Promise<Output[]> {
  const outputs: Output[] = [];
  try {
    for (const make of makers) outputs.push(await make());
  } catch (error) {
    for (const output of outputs) await output.abandon();
    throw error;
  }
  return outputs;
}

/** A new pcapng file for frames with comments. */
export const createLog = (path: string): Promise<CaptureWriter> =>
  createCapture(path, { format: "pcapng" satisfies CaptureFormat, isNanoseconds: true });
