/** What senders leave to hardware: judged by the checks of the wire formats, and by putting the pieces together again. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PacketMemory, ROW, ROW_SIZE } from "../../../src/dataplane/packet/index.js";
import { checksumIsRight, pseudoHeaderSum, setU16, u16, u32 } from "../../../src/dataplane/wire/index.js";
import { Intake } from "../../../src/io/live/intake.js";
import { offloadAt } from "../../../src/io/live/offload.js";

const TCP = 6;
const UDP = 17;
const NO_TIME = { low: 0, high: 0 };

interface Shape {
  readonly version: 4 | 6;
  readonly protocol: typeof TCP | typeof UDP;
  readonly tags: number;
  readonly payload: Uint8Array;
}

/** A frame as a sender leaves it: the checksum field holds the sum of the pseudo header. */
function unfinished({ version, protocol, tags, payload }: Shape): {
  frame: Uint8Array;
  network: number;
  transport: number;
} {
  const network = 14 + 4 * tags;
  const transport = network + (version === 4 ? 20 : 40);
  const headers = transport + (protocol === TCP ? 32 : 8);
  const frame = new Uint8Array(headers + payload.length);
  const put = (at: number, hex: string): void => frame.set(Buffer.from(hex, "hex"), at);
  put(0, "060600000007060600000005");
  for (let tag = 0; tag < tags; tag++) put(12 + 4 * tag, "81000067");
  put(network - 2, version === 4 ? "0800" : "86dd");
  if (version === 4) put(network, "4500000012344000400600000a0000050a000007");
  else
    put(
      network,
      "600000000000 0640 fd001000000000000000000000000005 fd001000000000000000000000000007".replaceAll(" ", ""),
    );
  frame[network + (version === 4 ? 9 : 6)] = protocol;
  if (protocol === TCP) put(transport, "9c40138800001000000000018099ffff000000000101080a0000000100000002");
  else put(transport, "9c40138800000000");
  frame.set(payload, headers);
  const length = frame.length - transport;
  const pseudo = pseudoHeaderSum(frame, network, protocol, length);
  setU16(frame, transport + (protocol === TCP ? 16 : 6), (pseudo & 0xffff) + (pseudo >>> 16));
  return { frame, network, transport };
}

/** The offload header: flags, GSO type, header length, segment size, checksum start and offset. */
function header(flags: number, gsoType: number, size: number, start: number, offset: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(10));
  view.setUint8(0, flags);
  view.setUint8(1, gsoType);
  for (const [index, value] of [0, size, start, offset].entries()) view.setUint16(2 + 2 * index, value, true);
  return new Uint8Array(view.buffer);
}

class Bench {
  readonly memory = new PacketMemory({ ports: 1, nodes: 1, stamps: 1, flowCapacity: 64 });
  readonly intake = new Intake(this.memory);
  readonly #at = this.memory.allocate(80_000) + 256;

  add(head: Uint8Array, frame: Uint8Array): void {
    this.memory.bytes.set(head, this.#at - 10);
    this.memory.bytes.set(frame, this.#at);
    this.intake.add(this.#at, frame.length, 200, NO_TIME, offloadAt(this.memory, this.#at - 10, 0));
  }

  frames(): Uint8Array[] {
    return Array.from({ length: this.intake.count }, (_, index) => {
      const row = this.memory.rows + index * ROW_SIZE;
      const at = this.memory.u32(row + ROW.OFFSET);
      return this.memory.bytes.slice(at, at + this.memory.u32(row + ROW.LENGTH));
    });
  }
}

const bench = new Bench();
const shapes = fc.record({
  version: fc.constantFrom(4 as const, 6 as const),
  protocol: fc.constantFrom(TCP as typeof TCP, UDP as typeof UDP),
  tags: fc.nat(2),
  payload: fc.uint8Array({ minLength: 1, maxLength: 3000 }),
});

const transportIsRight = (frame: Uint8Array, network: number, transport: number, protocol: number): boolean =>
  checksumIsRight(frame, transport, frame.length, pseudoHeaderSum(frame, network, protocol, frame.length - transport));

describe("checksums left open", () => {
  test("are completed, and nothing else changes", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const { frame, network, transport } = unfinished(shape);
        const field = transport + (shape.protocol === TCP ? 16 : 6);
        bench.intake.begin(bench.memory.rows, 1);
        bench.add(header(1, 0, 0, transport, field - transport), frame);
        const [done] = bench.frames();
        expect(transportIsRight(done!, network, transport, shape.protocol)).toBe(true);
        expect(u16(done!, field)).not.toBe(0);
        setU16(done!, field, u16(frame, field));
        expect(done).toEqual(frame);
      }),
    );
  });

  test("outside of the frame: the frame is counted as malformed", () => {
    const { frame } = unfinished({ version: 4, protocol: UDP, tags: 0, payload: new Uint8Array(4) });
    const before = bench.intake.malformed;
    bench.intake.begin(bench.memory.rows, 1);
    bench.add(header(1, 0, 0, frame.length - 1, 2), frame);
    expect(bench.intake.count).toBe(0);
    expect(bench.intake.malformed).toBe(before + 1);
  });

  test("of finished frames are not touched", () => {
    const { frame } = unfinished({ version: 4, protocol: TCP, tags: 0, payload: new Uint8Array(100).fill(7) });
    bench.intake.begin(bench.memory.rows, 1);
    bench.add(new Uint8Array(10), frame);
    expect(bench.frames()).toEqual([frame]);
  });
});

describe("frames that stand for many", () => {
  test("are cut into whole ones, whatever room there is at a time", () => {
    const random = fc.record({
      shape: shapes,
      size: fc.integer({ min: 1, max: 1500 }),
      max: fc.integer({ min: 1, max: 256 }),
    });
    fc.assert(
      fc.property(random, ({ shape, size, max }) => {
        const { frame, network, transport } = unfinished(shape);
        const isTcp = shape.protocol === TCP;
        const gso = isTcp ? (shape.version === 4 ? 1 : 4) : 5;
        bench.intake.begin(bench.memory.rows, max);
        bench.add(header(1, gso, size, transport, isTcp ? 16 : 6), frame);
        const frames = bench.frames();
        while (bench.intake.isFull && frames.length * size < shape.payload.length) {
          bench.intake.begin(bench.memory.rows, max);
          expect(bench.intake.count).toBeGreaterThan(0);
          frames.push(...bench.frames());
        }
        const headers = frame.length - shape.payload.length;
        expect(frames.length).toBe(Math.ceil(shape.payload.length / size));
        expect(Buffer.concat(frames.map((one) => one.subarray(headers)))).toEqual(Buffer.from(shape.payload));
        for (const [index, one] of frames.entries()) {
          expect(transportIsRight(one, network, transport, shape.protocol)).toBe(true);
          if (shape.version === 4) {
            expect(checksumIsRight(one, network, network + 20)).toBe(true);
            expect(u16(one, network + 2)).toBe(one.length - network);
            expect(u16(one, network + 4)).toBe(0x1234 + index);
          } else {
            expect(u16(one, network + 4)).toBe(one.length - network - 40);
          }
          if (!isTcp) {
            expect(u16(one, transport + 4)).toBe(one.length - transport);
            continue;
          }
          expect(u32(one, transport + 4)).toBe(0x1000 + index * size);
          // FIN and PSH belong to the last one, CWR to the first; ACK to all (the frame has 0x99: CWR, ACK, PSH, FIN).
          const isLast = index === frames.length - 1;
          expect(one[transport + 13]).toBe(0x10 | (isLast ? 0x09 : 0) | (index === 0 ? 0x80 : 0));
        }
      }),
    );
  });

  test.each([
    ["an unknown type", { gso: 7, size: 100, start: 34 }],
    ["segments of no length", { gso: 1, size: 0, start: 34 }],
    ["a transport header inside of the network header", { gso: 1, size: 100, start: 20 }],
    ["a transport header behind the end", { gso: 1, size: 100, start: 60_000 }],
  ])("with %s are counted as malformed", (_, { gso, size, start }) => {
    const { frame } = unfinished({ version: 4, protocol: TCP, tags: 0, payload: new Uint8Array(500) });
    const before = bench.intake.malformed;
    bench.intake.begin(bench.memory.rows, 256);
    bench.add(header(1, gso, size, start, 16), frame);
    expect(bench.intake.count).toBe(0);
    expect(bench.intake.malformed).toBe(before + 1);
  });
});
