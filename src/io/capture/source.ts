/**
 * Where the bytes of a capture come from: a file read in large pieces, or a pipe, socket or FIFO read as the data comes.
 *
 * Regular files and devices are read by the thread pool straight into the WebAssembly memory. Whatever can make us wait for
 * somebody else is read by polling instead, through a socket object: a read that blocks in the thread pool could not be
 * called off, and non-blocking standard input (EAGAIN) needs no special care that way.
 */
import { close, constants, fstat, open, read, type Stats } from "node:fs";
import { Socket } from "node:net";
import { isatty } from "node:tty";
import { promisify } from "node:util";
import { CaptureError, systemReason } from "./errors.js";

/** A stream of bytes that somebody pulls. One read at a time. */
export interface ByteSource {
  /**
   * Reads at least one byte into what `target` returns and says how many; 0 at the end. `target` is asked right before the
   * bytes are put down, so that it may follow a memory that grows.
   */
  read(target: () => Uint8Array): Promise<number>;
  /** Ends it; a read under way returns 0 or fails. */
  close(): Promise<void>;
}

const openAsync = promisify(open);
const closeAsync = promisify(close);
const statAsync = promisify(fstat) as (fd: number) => Promise<Stats>;
const readAsync = (fd: number, into: Uint8Array): Promise<number> =>
  new Promise((resolve, reject) => {
    read(fd, into, 0, into.length, null, (error, count) => (error ? reject(error) : resolve(count)));
  });

/** What "-" and other paths are called in messages. */
export const inputName = (path: string): string => (path === "-" ? "standard input" : path);

/** Opens a file, a FIFO, a device, or "-" for standard input. */
export async function openSource(path: string): Promise<ByteSource> {
  const name = inputName(path);
  try {
    // Without O_NONBLOCK, opening a FIFO would hold a thread until a writer comes. Regular files do not care.
    const fd = path === "-" ? 0 : await openAsync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await statAsync(fd);
    if (stats.isDirectory()) {
      if (path !== "-") await closeAsync(fd);
      throw new CaptureError("CAPTURE_DIRECTORY", name, "is a directory, not a capture file");
    }
    if (isatty(fd)) {
      if (path !== "-") await closeAsync(fd);
      throw new CaptureError("CAPTURE_TERMINAL", name, "is a terminal; a capture file, a pipe or a FIFO is needed");
    }
    return stats.isFIFO() || stats.isSocket() ? new PipeSource(fd) : new FileSource(fd);
  } catch (error) {
    if (error instanceof CaptureError) throw error;
    throw new CaptureError("CAPTURE_UNREADABLE", name, `cannot be opened: ${systemReason(error)}`);
  }
}

class FileSource implements ByteSource {
  readonly #fd: number;
  #reading: Promise<number> | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async read(target: () => Uint8Array): Promise<number> {
    this.#reading = readAsync(this.#fd, target());
    return this.#reading;
  }

  async close(): Promise<void> {
    await this.#reading?.catch(() => 0); // its buffer must not change under whoever comes next
    if (this.#fd !== 0) await closeAsync(this.#fd);
  }
}

class PipeSource implements ByteSource {
  readonly #socket: Socket;
  #error: Error | undefined;
  #isOver = false;
  #wake: () => void = () => {};
  #rest: Buffer | undefined;

  constructor(fd: number) {
    this.#socket = new Socket({ fd, readable: true, writable: false });
    const stop = () => {
      this.#isOver = true;
      this.#wake();
    };
    this.#socket.on("readable", () => this.#wake());
    this.#socket.on("end", stop);
    this.#socket.on("close", stop);
    this.#socket.on("error", (error) => {
      this.#error = error;
      stop();
    });
  }

  async read(target: () => Uint8Array): Promise<number> {
    for (;;) {
      const chunk: Buffer | null = this.#rest ?? this.#socket.read();
      if (chunk) {
        const into = target();
        const count = Math.min(into.length, chunk.length);
        into.set(chunk.subarray(0, count));
        this.#rest = count < chunk.length ? chunk.subarray(count) : undefined;
        return count;
      }
      if (this.#error) throw this.#error;
      if (this.#isOver) return 0;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async close(): Promise<void> {
    this.#socket.destroy();
  }
}

/** A source that first gives bytes which were already read from another one. */
export class ResumedSource implements ByteSource {
  #head: Uint8Array;
  readonly #rest: ByteSource;

  constructor(head: Uint8Array, rest: ByteSource) {
    this.#head = head;
    this.#rest = rest;
  }

  async read(target: () => Uint8Array): Promise<number> {
    if (this.#head.length === 0) return this.#rest.read(target);
    const into = target();
    const count = Math.min(into.length, this.#head.length);
    into.set(this.#head.subarray(0, count));
    this.#head = this.#head.subarray(count);
    return count;
  }

  close(): Promise<void> {
    return this.#rest.close();
  }
}
