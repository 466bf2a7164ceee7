/**
 * Two sequences of frames side by side: which are equal, which were changed and in what, which are missing and which are
 * new.
 *
 * Where the sequences part, the nearest place where they meet again is looked for within a window. Frames before it are
 * changed ones as far as they can be paired; what one sequence has more is missing or extra.
 */
import { parseFrame } from "../dataplane/packet/index.js";
import type { CapturedFrame } from "../io/index.js";
import { type FrameField, frameFields } from "./frame-fields.js";

/** What does not count as a difference. Identification and checksum are those of the outermost IPv4 header. */
export interface Ignored {
  readonly identification: boolean;
  readonly checksum: boolean;
  readonly timestamps: boolean;
}

export interface FieldDifference {
  readonly field: string;
  /** From the frame's beginning; null where the difference is not in its bytes. */
  readonly offset: number | null;
  readonly a: string;
  readonly b: string;
}

/** Frames are counted from 1. */
export type Difference =
  | { readonly kind: "changed"; readonly a: number; readonly b: number; readonly fields: readonly FieldDifference[] }
  | { readonly kind: "missing"; readonly a: number; readonly frame: Uint8Array }
  | { readonly kind: "extra"; readonly b: number; readonly frame: Uint8Array };

/** How far ahead the place is looked for where two captures meet again. */
const WINDOW = 64;

/** Yields differences in the order of the captures, and `equal` for frames without one. */
export async function* compareFrames(
  a: AsyncIterator<CapturedFrame>,
  b: AsyncIterator<CapturedFrame>,
  ignored: Ignored,
): AsyncGenerator<Difference | "equal", void, void> {
  const left = new Lookahead(a, ignored);
  const right = new Lookahead(b, ignored);
  for (;;) {
    await left.fill();
    await right.fill();
    const { frames: as } = left;
    const { frames: bs } = right;
    if (as.length === 0 && bs.length === 0) return;
    const [missing, extra] = as[0] && bs[0] && isEqual(as[0], bs[0]) ? [0, 0] : nextMeeting(as, bs);
    if (missing === 0 && extra === 0) yield compareTimes(as[0]!, bs[0]!, ignored);
    const paired = Math.min(missing, extra);
    for (let i = 0; i < paired; i++) yield changed(as[i]!, bs[i]!, ignored);
    for (const { number, original } of as.slice(paired, missing))
      yield { kind: "missing", a: number, frame: original.data };
    for (const { number, original } of bs.slice(paired, extra))
      yield { kind: "extra", b: number, frame: original.data };
    left.drop(Math.max(missing, missing + extra === 0 ? 1 : 0));
    right.drop(Math.max(extra, missing + extra === 0 ? 1 : 0));
  }
}

interface Numbered {
  readonly number: number;
  readonly original: CapturedFrame;
  /** The bytes without what is ignored. */
  readonly compared: Buffer;
  /** The same as a text, to be looked up by. */
  readonly key: string;
}

class Lookahead {
  readonly frames: Numbered[] = [];
  #count = 0;
  #isOver = false;

  constructor(
    private readonly source: AsyncIterator<CapturedFrame>,
    private readonly ignored: Ignored,
  ) {}

  async fill(): Promise<void> {
    while (!this.#isOver && this.frames.length < WINDOW) {
      const { done, value } = await this.source.next();
      if (done) this.#isOver = true;
      else {
        const compared = withoutIgnored(value.data, this.ignored);
        this.frames.push({ number: ++this.#count, original: value, compared, key: compared.toString("latin1") });
      }
    }
  }

  drop(count: number): void {
    this.frames.splice(0, count);
  }
}

const IDENTIFICATION = 4;
const CHECKSUM = 10;

function withoutIgnored(frame: Uint8Array, { identification, checksum }: Ignored): Buffer {
  const copy = Buffer.from(frame);
  if (!identification && !checksum) return copy;
  const ip = parseFrame(copy, 0, copy.length)?.ip;
  if (ip?.family !== 4) return copy;
  if (identification) copy.writeUInt16BE(0, ip.at + IDENTIFICATION);
  if (checksum) copy.writeUInt16BE(0, ip.at + CHECKSUM);
  return copy;
}

const isEqual = (a: Numbered, b: Numbered): boolean => a.key === b.key;

/** How many frames of either side lie before the nearest pair of equal frames; one each, or the rest of one side, if there is none. */
function nextMeeting(as: readonly Numbered[], bs: readonly Numbered[]): readonly [number, number] {
  const places = new Map<string, number[]>();
  for (const [j, { key }] of bs.entries()) {
    const known = places.get(key);
    if (known) known.push(j);
    else places.set(key, [j]);
  }
  let best: readonly [number, number] | undefined;
  for (const [i, { key }] of as.entries()) {
    for (const j of places.get(key) ?? []) if (!best || isNearer([i, j], best)) best = [i, j];
  }
  return best ?? [Math.min(as.length, 1), Math.min(bs.length, 1)];
}

/** Of two at the same distance the one in the middle: a changed frame is likelier than one missing here and another extra. */
function isNearer([i, j]: readonly [number, number], [i0, j0]: readonly [number, number]): boolean {
  return i + j === i0 + j0 ? Math.abs(i - j) < Math.abs(i0 - j0) : i + j < i0 + j0;
}

function compareTimes(a: Numbered, b: Numbered, ignored: Ignored): Difference | "equal" {
  const fields = aroundBytes(a, b, ignored);
  return fields.length === 0 ? "equal" : { kind: "changed", a: a.number, b: b.number, fields };
}

const changed = (a: Numbered, b: Numbered, ignored: Ignored): Difference => ({
  kind: "changed",
  a: a.number,
  b: b.number,
  fields: [...aroundBytes(a, b, ignored), ...inBytes(a, b)],
});

/** What differs in the records around the frames. */
function aroundBytes({ original: a }: Numbered, { original: b }: Numbered, { timestamps }: Ignored): FieldDifference[] {
  const fields: FieldDifference[] = [];
  const add = (field: string, left: string, right: string): void => {
    if (left !== right) fields.push({ field, offset: null, a: left, b: right });
  };
  if (!timestamps) add("timestamp", seconds(a.timestampNs), seconds(b.timestampNs));
  add("length", String(a.data.length), String(b.data.length));
  if (a.originalLength !== a.data.length || b.originalLength !== b.data.length) {
    add("original length", String(a.originalLength), String(b.originalLength));
  }
  return fields;
}

const seconds = (ns: bigint): string => `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, "0")}`;

/** Fields that differ, by the headers of the first frame; then runs of differing octets behind them. */
function inBytes(a: Numbered, b: Numbered): FieldDifference[] {
  const fields = frameFields(a.original.data).filter((field) => !isSamePart(a.compared, b.compared, field));
  const headersEnd = Math.max(0, ...frameFields(a.original.data).map(({ at, length }) => at + length));
  return [...fields, ...payloadRuns(a.compared, b.compared, headersEnd)].map(({ name, at, length }) => ({
    field: name,
    offset: at,
    a: hexOf(a.original.data, at, length),
    b: hexOf(b.original.data, at, length),
  }));
}

const isSamePart = (a: Buffer, b: Buffer, { at, length }: FrameField): boolean =>
  a.subarray(at, at + length).equals(b.subarray(at, at + length));

const RUNS_MAX = 8;
const SHOWN_MAX = 16;

function payloadRuns(a: Buffer, b: Buffer, from: number): FrameField[] {
  const runs: FrameField[] = [];
  const end = Math.max(a.length, b.length);
  for (let at = from; at < end && runs.length < RUNS_MAX; at++) {
    if (a[at] === b[at]) continue;
    const start = at;
    while (at < end && a[at] !== b[at]) at++;
    runs.push({ name: "payload", at: start, length: at - start });
  }
  return runs;
}

function hexOf(bytes: Uint8Array, at: number, length: number): string {
  const part = Buffer.from(bytes.subarray(at, at + Math.min(length, SHOWN_MAX))).toString("hex");
  if (part === "") return "nothing";
  return length > SHOWN_MAX ? `${part}…` : part;
}
