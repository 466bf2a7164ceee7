/** The thread of a live run that writes captures of ports, so that no forwarding thread waits for a disk. */
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

/** One capture: a queue for each forwarding thread, and the file. */
class PortWriter {
  discarded = 0;
  failure: string | undefined;
  readonly #queues: readonly CaptureQueue[];

  constructor(
    queues: readonly SharedArrayBuffer[],
    readonly file: RotatingCapture,
  ) {
    this.#queues = queues.map((shared) => new CaptureQueue(shared, bell));
  }

  /** Writes what waits; false if nothing did. */
  async drain(): Promise<boolean> {
    let isBusy = false;
    for (const queue of this.#queues) {
      for (let piece = queue.peek(); piece; piece = queue.peek()) {
        isBusy = true;
        this.discarded += piece.frames - (await this.#write(piece));
        queue.release();
      }
    }
    return isBusy;
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
  for (;;) {
    const rung = Atomics.load(bell, 0);
    const isOver = Atomics.load(bell, 1) !== 0;
    let isBusy = false;
    for (const writer of writers) isBusy = (await writer.drain()) || isBusy;
    if (isBusy) continue;
    if (isOver) break;
    Atomics.wait(bell, 0, rung, SLEEP_MS);
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
