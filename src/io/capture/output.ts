/**
 * The file, pipe or device that a capture is written to. Writes are large, in order, and go on behind the caller's back, one
 * at a time.
 *
 * A regular file grows under the name FILE.partial and gets its own name when it is whole, so that nothing half-written ever
 * stands under the name of a finished file. When a write fails, FILE.partial is cut back to the last whole record. Pipes and
 * devices are written in place.
 *
 * A file may take the place of one that is to go: its blocks and its pages in memory, which cost more to give back and get anew
 * than to write. Until such a file is whole, what the old one had may follow what was written, behind a mark at which readers stop.
 */
import {
  close,
  fchmod,
  fstat,
  ftruncate,
  lstat,
  open,
  realpath,
  rename,
  type Stats,
  stat,
  unlink,
  write,
  writeSync,
} from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { isatty } from "node:tty";
import { promisify } from "node:util";
import { CaptureError, systemCode, systemReason } from "./errors.js";

const openAsync = promisify(open);
const closeAsync = promisify(close);
const lstatAsync = promisify(lstat) as (path: string) => Promise<Stats>;
const statAsync = promisify(stat) as (path: string) => Promise<Stats>;
const fstatAsync = promisify(fstat) as (fd: number) => Promise<Stats>;
const truncateAsync = promisify(ftruncate);
const renameAsync = promisify(rename);
const unlinkAsync = promisify(unlink);
const chmodAsync = promisify(fchmod);
const realpathAsync = promisify(realpath) as (path: string) => Promise<string>;
const writeAsync = (fd: number, from: Uint8Array, at: number, length: number, position: number | null) =>
  new Promise<number>((resolve, reject) => {
    write(fd, from, at, length, position, (error, count) => (error ? reject(error) : resolve(count)));
  });

/** Writes in the calling thread: for one that has nothing else to do, and for regular files, which never let it wait for long. */
const writeHere: typeof writeAsync = async (fd, from, at, length, position) =>
  writeSync(fd, from, at, length, position);

/** What is to be written; asked anew before each system call, so that it may follow a memory that grows. */
export type Bytes = () => Uint8Array;
/** How many of these bytes, the first of which begins a record, belong to whole records. */
export type WholeRecords = (bytes: Uint8Array) => number;

/** What "-" and other paths are called in messages. */
export const outputName = (path: string): string => (path === "-" ? "standard output" : path);

const RETRY_MS = 1;
const BITS_OF_MODE = 0o777;

/** No record and no block of a capture can begin so: each says that it is longer than any can be. */
const END_MARK = new Uint8Array(16).fill(0xff);

export interface OutputOptions {
  /** The calling thread does nothing but write, so that a regular file needs no other to be written by. */
  readonly isOwnThread?: boolean;
  /** A regular file that goes, and in whose place this one is written. */
  readonly insteadOf?: string | undefined;
}

/** Throws a CaptureError. */
export async function openOutput(
  path: string,
  { isOwnThread = false, insteadOf }: OutputOptions = {},
): Promise<OutputFile> {
  const name = outputName(path);
  try {
    if (path === "-") {
      if (isatty(1)) throw new CaptureError("CAPTURE_TERMINAL", name, "is a terminal; redirect it to a file or a pipe");
      return new OutputFile(name, 1, undefined);
    }
    const existing = await statAsync(path).catch((error: unknown) => {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    });
    if (existing?.isDirectory()) throw new CaptureError("CAPTURE_DIRECTORY", name, "is a directory; a file is needed");
    if (existing && !existing.isFile()) return new OutputFile(name, await openAsync(path, "w"), undefined);

    // Where the name is a link, the file that it leads to is replaced, not the link.
    const finished = existing ? await realpathAsync(path) : path;
    const partial = `${finished}.partial`;
    const inherited = insteadOf === undefined ? undefined : await inherit(insteadOf, partial);
    const fd = inherited ?? (await openAsync(partial, "w"));
    if (existing) await chmodAsync(fd, existing.mode & BITS_OF_MODE);
    const stats = await fstatAsync(fd);
    if (!stats.isFile()) return new OutputFile(name, fd, undefined); // somebody may have put a FIFO there
    return new OutputFile(name, fd, { partial, finished }, stats.size, isOwnThread ? writeHere : writeAsync);
  } catch (error) {
    if (error instanceof CaptureError) throw error;
    throw new CaptureError("CAPTURE_UNWRITABLE", name, `cannot be opened for writing: ${systemReason(error)}`);
  }
}

/**
 * Opens the file `old`, as it is, under the new name. Undefined if it is gone or cannot be written over; it is removed then, and so is
 * what is not to be written over: a link may lead anywhere, and of several names one may be there to keep the file.
 */
async function inherit(old: string, partial: string): Promise<number | undefined> {
  let at = old;
  try {
    const stats = await lstatAsync(old);
    if (stats.isFile() && stats.nlink === 1) {
      await renameAsync(old, partial);
      at = partial;
      return await openAsync(partial, "r+");
    }
  } catch {
    // Somebody has taken it, or its right to be written.
  }
  await unlinkAsync(at).catch(() => {});
  return undefined;
}

export class OutputFile {
  readonly name: string;
  /** Undefined for what is written in place. */
  readonly #paths: { readonly partial: string; readonly finished: string } | undefined;
  #fd: number;
  #writing: Promise<void> | undefined;
  #error: CaptureError | undefined;
  /** Bytes written, all of whole records. */
  #written = 0;
  readonly #patches: { readonly position: number; readonly bytes: Uint8Array }[] = [];

  constructor(
    name: string,
    fd: number,
    paths: { readonly partial: string; readonly finished: string } | undefined,
    /** Octets of what was in the file before; they are written over, and what is left of them is cut off at the end. */
    private readonly inherited = 0,
    private readonly writeSome = writeAsync,
  ) {
    this.name = name;
    this.#fd = fd;
    this.#paths = paths;
  }

  /** Can bytes written earlier be changed? */
  get isPatchable(): boolean {
    return this.#paths !== undefined;
  }

  /** Begins to write; nothing may be under way (`idle`). The bytes must stay as they are until the next `idle`. */
  start(bytes: Bytes, whole: WholeRecords): void {
    this.#writing = this.#write(bytes, whole);
  }

  /** Resolves when nothing is under way; throws the CaptureError of a write that failed, now or earlier. */
  async idle(): Promise<void> {
    await this.#writing;
    this.check();
  }

  /** Throws the CaptureError of a write that has failed by now. */
  check(): void {
    if (this.#error) throw this.#error;
  }

  /** Changes bytes written earlier once the file is whole. */
  patch(position: number, bytes: Uint8Array): void {
    this.#patches.push({ position, bytes });
  }

  /** Waits for the last bytes and gives the file its name. */
  async finish(): Promise<void> {
    try {
      await this.idle();
      for (const { position, bytes } of this.#patches)
        await this.#inWords(writeAsync(this.#fd, bytes, 0, bytes.length, position));
      await this.#inWords(this.#cut());
    } finally {
      await this.#close();
    }
    if (this.#paths) await this.#inWords(renameAsync(this.#paths.partial, this.#paths.finished));
  }

  /** Ends without giving the file its name: what was written stays as FILE.partial. Never throws. */
  async abandon(): Promise<void> {
    await this.#writing;
    await this.#cut().catch(() => {});
    await this.#close().catch(() => {});
  }

  async #write(bytes: Bytes, whole: WholeRecords): Promise<void> {
    const length = bytes().length;
    let done = 0;
    while (done < length) {
      try {
        if (done === 0) await this.#mark(this.#written + length);
        done += await this.writeSome(this.#fd, bytes(), done, length - done, null);
      } catch (error) {
        if (systemCode(error) === "EAGAIN") {
          await delay(RETRY_MS); // a pipe that somebody set to non-blocking
          continue;
        }
        this.#written += whole(bytes().subarray(0, done));
        if (this.#paths) await truncateAsync(this.#fd, this.#written).catch(() => {});
        this.#error = this.#failure(error);
        return;
      }
    }
    this.#written += length;
  }

  /** Before anything is written up to here, so that at no time what the file had before seems to go on behind it. */
  async #mark(end: number): Promise<void> {
    if (end < this.inherited) await this.writeSome(this.#fd, END_MARK, 0, END_MARK.length, end);
  }

  /** Takes away what an inherited file has behind what was written. */
  async #cut(): Promise<void> {
    if (this.inherited > 0) await truncateAsync(this.#fd, this.#written);
  }

  #failure(error: unknown): CaptureError {
    const code = systemCode(error);
    const kind =
      code === "ENOSPC" || code === "EDQUOT"
        ? "CAPTURE_DISK_FULL"
        : code === "EPIPE"
          ? "CAPTURE_PIPE_CLOSED"
          : "CAPTURE_UNWRITABLE";
    const where = this.#paths ? ` in ${this.#paths.partial}` : "";
    const what = `cannot be written on: ${systemReason(error)}; ${this.#written} bytes of whole records were written${where}`;
    return new CaptureError(kind, this.name, what, this.#written);
  }

  async #inWords<Result>(call: Promise<Result>): Promise<Result> {
    try {
      return await call;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async #close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd > 1) await this.#inWords(closeAsync(fd));
  }
}

const FLUSH_BYTES = 1024 * 1024;

/**
 * An output that also takes small pieces: they are collected, and written as one. Pieces and large regions keep the order in
 * which they were given.
 */
export class StagedOutput {
  readonly file: OutputFile;
  readonly #whole: WholeRecords;
  #bytes = new Uint8Array(FLUSH_BYTES + 65_536);
  #length = 0;
  /** The buffer that is being written, or was last. */
  #spare = new Uint8Array(0);
  /** Bytes given so far, which is where the next piece will lie. */
  position: number;

  /** `header` begins the file and is written at once. */
  constructor(file: OutputFile, header: Uint8Array, whole: WholeRecords) {
    this.file = file;
    this.#whole = whole;
    this.position = header.length;
    file.start(
      () => header,
      () => 0,
    );
  }

  /** Room for a piece of `length` bytes, zeroed: where it begins in `bytes`. */
  reserve(length: number): number {
    const at = this.#length;
    if (at + length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, at + length));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
    }
    this.#bytes.fill(0, at, at + length);
    this.#length += length;
    this.position += length;
    return at;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  append(piece: Uint8Array): void {
    const at = this.reserve(piece.length);
    this.#bytes.set(piece, at);
  }

  /** Hands over what was collected if it is worth a write. Await it now and then: it holds back who is too fast. */
  async ready(): Promise<void> {
    if (this.#length >= FLUSH_BYTES) await this.#flush();
    else this.file.check();
  }

  /** Resolves when no region given to `write` is in use any more. */
  idle(): Promise<void> {
    return this.file.idle();
  }

  /** Writes a large region behind all that was given before; it must stay as it is until the next call here. */
  async write(bytes: Bytes): Promise<void> {
    if (this.#length > 0) await this.#flush();
    await this.file.idle();
    this.position += bytes().length;
    this.file.start(bytes, this.#whole);
  }

  async finish(): Promise<void> {
    try {
      await this.#flush();
    } catch (error) {
      await this.file.abandon();
      throw error;
    }
    await this.file.finish();
  }

  /** Ends early: all whole records given so far are written, as far as that is possible. Never throws. */
  async abandon(): Promise<void> {
    await this.#flush().catch(() => {});
    await this.file.abandon();
  }

  async #flush(): Promise<void> {
    await this.file.idle();
    if (this.#length === 0) return;
    const bytes = this.#bytes.subarray(0, this.#length);
    this.file.start(() => bytes, this.#whole);
    const spare = this.#spare.length > 0 ? this.#spare : new Uint8Array(this.#bytes.length);
    this.#spare = this.#bytes;
    this.#bytes = spare;
    this.#length = 0;
  }
}

/** Whole classic records at the beginning of these bytes. */
export const wholeRecords =
  (headerLength: number, isLittleEndian: boolean): WholeRecords =>
  (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    while (at + headerLength <= bytes.length) {
      const next = at + headerLength + view.getUint32(at + 8, isLittleEndian);
      if (next > bytes.length) break;
      at = next;
    }
    return at;
  };

/**
 * Whole pcapng blocks at the beginning of these bytes. Their sections may have either byte order: the right one is that in
 * which a block ends with the same length that it begins with.
 */
export const wholeBlocks: WholeRecords = (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + 8 <= bytes.length) {
    const next = [view.getUint32(at + 4, true), view.getUint32(at + 4, false)]
      .map((length) => at + length)
      .find((end) => end >= at + 12 && end <= bytes.length && view.getUint32(end - 4) === view.getUint32(at + 4));
    if (next === undefined) break;
    at = next;
  }
  return at;
};
