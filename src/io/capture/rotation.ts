/**
 * A capture in one file, or in a row of files of bounded size, of which the oldest make room: `wire.pcap` becomes `wire.1.pcap`,
 * `wire.2.pcap`, …. Takes whole records; each file begins with a header of its own, and has its name when it is whole.
 */
import { parse } from "node:path";
import { CaptureError } from "./errors.js";
import { type OutputFile, openOutput, type WholeRecords } from "./output.js";

export interface RotationLimits {
  /** Of a file, header included, and more than a record takes; undefined: one file without limit. */
  readonly fileBytes?: number | undefined;
  /** How many of this capture's files are kept, the one that is being written included; undefined: all. */
  readonly files?: number | undefined;
}

export interface RotationForm {
  /** What every file begins with. */
  readonly header: Uint8Array;
  readonly whole: WholeRecords;
  /** How many records these bytes are, all of them whole. */
  readonly count: (records: Uint8Array) => number;
}

const nothing: WholeRecords = () => 0;

export class RotatingCapture {
  #file: OutputFile;
  #fileCount = 1;
  /** Bytes that the file has been given. */
  #position: number;
  /** Bytes of the last `write` that are in files, all of whole records; fewer than all if it threw. */
  kept = 0;

  private constructor(
    private readonly path: string,
    readonly form: RotationForm,
    private readonly limits: RotationLimits,
    file: OutputFile,
  ) {
    this.#file = file;
    this.#position = this.#begin();
  }

  /** Opens the first file. Throws a CaptureError. */
  static async open(path: string, form: RotationForm, limits: RotationLimits): Promise<RotatingCapture> {
    return new RotatingCapture(path, form, limits, await openOutput(fileName(path, 1, limits), { isOwnThread: true }));
  }

  /** Files begun so far. */
  get fileCount(): number {
    return this.#fileCount;
  }

  /** Writes whole records, and goes on in the next file where one is full. Throws a CaptureError. */
  async write(records: Uint8Array): Promise<void> {
    this.kept = 0;
    while (this.kept < records.length) {
      const part = this.#fitting(records.subarray(this.kept));
      if (part.length === 0) await this.#rotate();
      else await this.#append(part);
    }
  }

  async #append(part: Uint8Array): Promise<void> {
    await this.#file.idle();
    this.#file.start(() => part, this.form.whole);
    try {
      await this.#file.idle();
    } catch (error) {
      if (error instanceof CaptureError) this.kept += Math.max(error.offset - this.#position, 0);
      throw error;
    }
    this.#position += part.length;
    this.kept += part.length;
  }

  /** Of these records, those that the file still takes. */
  #fitting(records: Uint8Array): Uint8Array {
    const room = (this.limits.fileBytes ?? Number.POSITIVE_INFINITY) - this.#position;
    return records.length <= room ? records : records.subarray(0, this.form.whole(records.subarray(0, room)));
  }

  async #rotate(): Promise<void> {
    await this.#file.finish();
    const { files } = this.limits;
    const oldest = this.#fileCount + 1 - (files ?? Number.POSITIVE_INFINITY);
    const insteadOf = oldest > 0 ? fileName(this.path, oldest, this.limits) : undefined;
    const next = fileName(this.path, ++this.#fileCount, this.limits);
    this.#file = await openOutput(next, { isOwnThread: true, insteadOf });
    this.#position = this.#begin();
  }

  #begin(): number {
    const { header } = this.form;
    this.#file.start(() => header, nothing);
    return header.length;
  }

  /** Gives the last file its name. Throws a CaptureError. */
  finish(): Promise<void> {
    return this.#file.finish();
  }

  /** Ends early: whole records stay in FILE.partial. Never throws. */
  abandon(): Promise<void> {
    return this.#file.abandon();
  }
}

function fileName(path: string, number: number, { fileBytes }: RotationLimits): string {
  if (fileBytes === undefined) return path;
  const { ext } = parse(path);
  return `${path.slice(0, path.length - ext.length)}.${number}${ext}`;
}
