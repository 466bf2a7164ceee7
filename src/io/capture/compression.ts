/**
 * Compressed captures: recognised by their first bytes, never by their names. gzip is read; zstd where this Node.js brings
 * it; what else is known is refused by name, with the command that helps.
 */
import type { Transform } from "node:stream";
import * as zlib from "node:zlib";
import { CaptureError } from "./errors.js";
import type { ByteSource } from "./source.js";

interface Compression {
  readonly name: string;
  readonly magic: readonly number[];
  /** What undoes it on the command line. */
  readonly tool: string;
  readonly decompressor?: () => Transform;
  /** What would be needed to read it here. */
  readonly needs?: string;
}

/** Output comes in pieces of this size; more than that is never lost in front of damage in the compressed data. */
const PIECE = 16 * 1024;

const createZstdDecompress = (zlib as { createZstdDecompress?: (options: { chunkSize: number }) => Transform })
  .createZstdDecompress;

const COMPRESSIONS: readonly Compression[] = [
  { name: "gzip", magic: [0x1f, 0x8b], tool: "gunzip", decompressor: () => zlib.createGunzip({ chunkSize: PIECE }) },
  {
    name: "zstd",
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    tool: "unzstd",
    needs: "Node.js 22.15 or newer",
    ...(createZstdDecompress ? { decompressor: () => createZstdDecompress({ chunkSize: PIECE }) } : {}),
  },
  { name: "xz", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], tool: "unxz" },
  { name: "bzip2", magic: [0x42, 0x5a, 0x68], tool: "bunzip2" },
  { name: "lz4", magic: [0x04, 0x22, 0x4d, 0x18], tool: "unlz4" },
];

/** More than any magic number above. */
export const COMPRESSION_MAGIC_LENGTH = 6;

/** The source's data decompressed, or the source itself if `head`, its first bytes, is not compressed. */
export function decompressed(head: Uint8Array, source: ByteSource, file: string): ByteSource {
  const found = COMPRESSIONS.find(({ magic }) => magic.every((byte, index) => head[index] === byte));
  if (!found) return source;
  if (found.decompressor) return new DecompressedSource(source, found.decompressor(), found.name, file);
  const needs = found.needs ? `reading it needs ${found.needs}; or decompress it first` : "decompress it first";
  throw new CaptureError("CAPTURE_COMPRESSION", file, `is compressed with ${found.name}; ${needs} (${found.tool})`);
}

/**
 * Compressed bytes go in by small pieces, each only when what the one before gave is used up, so that even a file that
 * expands a thousandfold takes bounded memory.
 */
class DecompressedSource implements ByteSource {
  readonly #source: ByteSource;
  readonly #transform: Transform;
  readonly #name: string;
  readonly #file: string;
  readonly #input = new Uint8Array(PIECE);
  readonly #output: Buffer[] = [];
  #error: Error | undefined;
  #isOver = false;
  #settle: () => void = () => {};

  constructor(source: ByteSource, transform: Transform, name: string, file: string) {
    this.#source = source;
    this.#transform = transform;
    this.#name = name;
    this.#file = file;
    transform.on("data", (chunk: Buffer) => this.#output.push(chunk));
    const stop = () => {
      this.#isOver = true;
      this.#settle();
    };
    transform.on("end", stop);
    transform.on("close", stop);
    transform.on("error", (error) => {
      this.#error = error;
      this.#settle();
    });
  }

  async read(target: () => Uint8Array): Promise<number> {
    while (this.#output.length === 0) {
      if (this.#error) {
        const what = `the ${this.#name} data is damaged: ${this.#error.message}`;
        throw new CaptureError("CAPTURE_COMPRESSED_DATA", this.#file, what);
      }
      if (this.#isOver) return 0;
      await this.#feed();
    }
    const into = target();
    let count = 0;
    while (count < into.length && this.#output.length > 0) {
      const chunk = this.#output[0]!;
      const part = Math.min(chunk.length, into.length - count);
      into.set(chunk.subarray(0, part), count);
      count += part;
      if (part < chunk.length) this.#output[0] = chunk.subarray(part);
      else this.#output.shift();
    }
    return count;
  }

  async #feed(): Promise<void> {
    const count = await this.#source.read(() => this.#input);
    await new Promise<void>((resolve) => {
      this.#settle = resolve;
      if (count === 0) this.#transform.end();
      else this.#transform.write(this.#input.subarray(0, count), () => resolve());
    });
  }

  async close(): Promise<void> {
    this.#transform.destroy();
    await this.#source.close();
  }
}
