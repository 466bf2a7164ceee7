/** The thread of a live run that writes captures of ports, so that no forwarding thread waits for a disk. */
import { setImmediate as turn } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { type CapturePiece, CaptureQueue, portCaptureForm, RotatingCapture } from "../../io/index.js";
import { explainError } from "../errors.js";
import type { CaptureJob, FromCaptureWriter } from "./capture-thread.js";

const parent = parentPort!;
const job = workerData as CaptureJob;
const bell = new Int32Array(job.bell);
const tell = (message: FromCaptureWriter): void => parent.postMessage(message);

/** A bell that was rung just before the thread fell asleep is heard after so long. */
const SLEEP_MS = 200;
/** While a pipe keeps one capture waiting, the others are looked at so often. */
const PATIENCE_MS = 5;

/** One capture: a queue for each forwarding thread, and the file. */
class PortWriter {
  discarded = 0;
  failure: string | undefined;
  isWriting = false;
  readonly #queues: readonly CaptureQueue[];
  /** The queue whose turn it is. */
  #next = 0;

  constructor(
    queues: readonly SharedArrayBuffer[],
    readonly file: RotatingCapture,
  ) {
    this.#queues = queues.map((shared) => new CaptureQueue(shared, bell));
  }

  /** Begins to write the oldest piece of the next queue that has one; false if none has. Calls `onEnd` when it is done with. */
  begin(onEnd: () => void): boolean {
    for (const _ of this.#queues) {
      const queue = this.#queues[this.#next]!;
      this.#next = (this.#next + 1) % this.#queues.length;
      const piece = queue.peek();
      if (!piece) continue;
      this.isWriting = true;
      void this.#write(piece).then((kept) => {
        this.discarded += piece.frames - kept;
        queue.release();
        this.isWriting = false;
        onEnd();
      });
      return true;
    }
    return false;
  }

  /** Gives how many frames of the piece are in the file now. */
  async #write({ bytes, frames }: CapturePiece): Promise<number> {
    if (this.failure !== undefined) return 0;
    await this.#try(() => this.file.write(bytes));
    return this.failure === undefined ? frames : this.file.form.count(bytes.subarray(0, this.file.kept));
  }

  async finish(): Promise<void> {
    if (this.failure === undefined) await this.#try(() => this.file.finish());
    else await this.file.abandon();
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.failure = explainError(error).lines.join(" ");
    }
  }
}

async function run(writers: PortWriter[]): Promise<void> {
  for (const { file, port, format, queues, ...limits } of job.captures) {
    const opened = await RotatingCapture.open(file, portCaptureForm(format, port), limits);
    writers.push(new PortWriter(queues, opened));
  }
  tell({ kind: "ready" });
  let onEnd = (): void => {};
  for (;;) {
    const rung = Atomics.load(bell, 0);
    const isOver = Atomics.load(bell, 1) !== 0;
    let isBusy = false;
    // A piece of each in turn, so that none keeps the others waiting.
    for (const writer of writers) isBusy = (!writer.isWriting && writer.begin(() => onEnd())) || isBusy;
    const isWaiting = writers.some(({ isWriting }) => isWriting);
    if (isBusy) {
      await turn(); // behind which a regular file has taken its piece
    } else if (isWaiting) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, PATIENCE_MS);
        onEnd = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    } else if (isOver) {
      break;
    } else {
      Atomics.wait(bell, 0, rung, SLEEP_MS);
    }
  }
  for (const writer of writers) await writer.finish();
  const ends = writers.map(({ discarded, failure, file }) => ({ discarded, failure, files: file.fileCount }));
  tell({ kind: "ended", ends });
}

const writers: PortWriter[] = [];
try {
  await run(writers);
} catch (error) {
  for (const { file } of writers) await file.abandon();
  const { exitStatus, lines } = explainError(error);
  tell({ kind: "failed", exitStatus, lines });
}
parent.close();
