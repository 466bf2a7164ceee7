/** `--capture` in a live run: what to write where, and the thread that does it. */
import { Worker } from "node:worker_threads";
import { CAPTURE_QUEUE_BYTES, type CaptureFormat, formatFor, makeCaptureQueue, ringBell } from "../../io/index.js";
import { CliError, type ExitStatus, failure, usageError } from "../errors.js";
import type { PortValue } from "../options.js";

/** Given to the thread at its birth. */
export interface CaptureJob {
  readonly captures: readonly {
    readonly file: string;
    readonly port: string;
    readonly format: CaptureFormat;
    /** For each forwarding thread. */
    readonly queues: readonly SharedArrayBuffer[];
    readonly fileBytes: number | undefined;
    readonly files: number | undefined;
  }[];
  /** Rung by whoever puts a piece into a queue; the second word is not 0 when no more will come. */
  readonly bell: SharedArrayBuffer;
}

/** What became of one capture. */
export interface CaptureEnd {
  /** Frames that could not be written any more. */
  readonly discarded: number;
  readonly failure: string | undefined;
  readonly files: number;
}

export type FromCaptureWriter =
  | { readonly kind: "ready" }
  | { readonly kind: "ended"; readonly ends: readonly CaptureEnd[] }
  | { readonly kind: "failed"; readonly exitStatus: ExitStatus; readonly lines: readonly string[] };

export interface CaptureOptions {
  readonly capture?: readonly PortValue[];
  /** In MiB. */
  readonly captureSize?: number;
  readonly captureFiles?: number;
}

export class CaptureThread {
  readonly job: CaptureJob;
  #thread: Worker | null = null;
  #ended: Promise<readonly CaptureEnd[]> = Promise.resolve([]);

  constructor({ capture = [], captureSize, captureFiles }: CaptureOptions, workers: number) {
    this.job = {
      captures: capture.map(({ port, value }) => {
        const format = formatFor(value, "pcapng");
        return {
          file: value,
          port,
          format,
          queues: Array.from({ length: workers }, () => makeCaptureQueue(CAPTURE_QUEUE_BYTES)),
          fileBytes: captureSize === undefined ? undefined : captureSize * 1024 * 1024,
          files: captureFiles,
        };
      }),
      bell: new SharedArrayBuffer(8),
    };
  }

  /** Opens the files. Throws if one cannot be written. */
  async start(): Promise<void> {
    if (this.job.captures.length === 0) return;
    const thread = new Worker(new URL("./capture-worker.js", import.meta.url), { workerData: this.job });
    this.#thread = thread;
    await new Promise<void>((ready, reject) => {
      this.#ended = new Promise((resolve, rejectLater) => {
        const fail = (error: unknown): void => {
          reject(error);
          rejectLater(error);
        };
        thread.on("message", (message: FromCaptureWriter) => {
          if (message.kind === "ready") ready();
          else if (message.kind === "ended") resolve(message.ends);
          else fail(new CliError(message.exitStatus, message.lines));
        });
        thread.on("error", fail);
        thread.on("exit", () => fail(failure("the thread that writes captures ended before its time")));
      });
      this.#ended.catch(() => {}); // `finish` may never be called
    });
  }

  /** Writes what waits and gives the files their names; what became of each, in the order of the options. */
  async finish(): Promise<readonly CaptureEnd[]> {
    if (!this.#thread) return [];
    const bell = new Int32Array(this.job.bell);
    Atomics.store(bell, 1, 1);
    ringBell(bell);
    return this.#ended;
  }
}

/** Refuses what cannot be meant. */
export function checkCaptures(
  { capture = [], captureSize, captureFiles }: CaptureOptions,
  bound: readonly string[],
): void {
  const ports = capture.map(({ port }) => port);
  const twice = ports.find((port, index) => ports.indexOf(port) !== index);
  if (twice !== undefined) throw usageError(`--capture ${twice} is given twice; a port has one capture`);
  const free = ports.find((port) => !bound.includes(port));
  if (free !== undefined) throw usageError(`--capture ${free}: expected a port that is bound: ${bound.join(", ")}`);
  if (capture.some(({ value }) => value === "-"))
    throw usageError("--capture needs a file; standard output is for the result");
  if (captureSize !== undefined && capture.length === 0) throw usageError("--capture-size is for --capture PORT=FILE");
  if (captureFiles !== undefined && captureSize === undefined)
    throw usageError("--capture-files needs --capture-size, which says when a file is full");
}
