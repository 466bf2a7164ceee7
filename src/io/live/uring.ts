/**
 * io_uring(7): calls are written into a ring that is shared with the kernel, which makes them all in one system call.
 *
 *     submissions   ours ─► kernel   an array of indexes of entries of 64 octets: what to call, and with what
 *     completions   kernel ─► ours   16 octets: which call it was, and what it gave
 *
 * Calls that do not wait are made at once and in order while we are in `io_uring_enter`, so nothing is under way between two runs, and
 * the kernel moves its ends of the rings only then.
 */
import { type CallBatch, SingleCalls } from "./call-batch.js";
import { SystemError } from "./errors.js";
import { block, ERRNO, MAP_SHARED, type Mapping, PROT_READ, PROT_WRITE, type System } from "./system.js";

/** What is mapped at which offset of the ring's descriptor. */
const OFFSET = { RINGS: 0, ENTRIES: 0x1000_0000 } as const;
/** One mapping holds both rings (Linux 5.4); read and write without iovecs are there (5.6, known by what came with them). */
const FEATURES = 1 | 8;
/** struct io_uring_params; within it what the kernel tells about the rings. */
const PARAMS = {
  SIZE: 120,
  FEATURES: 20,
  SUBMISSION: { HEAD: 40, TAIL: 44, ARRAY: 64 },
  COMPLETION: { HEAD: 80, TAIL: 84, ENTRIES: 100 },
} as const;
/** struct io_uring_sqe and io_uring_cqe, in words of 32 bits. */
const ENTRY = { WORDS: 16, OPERATION: 0, DESCRIPTOR: 1, ADDRESS: 4, LENGTH: 6, FLAGS: 7, WHICH: 8 } as const;
const COMPLETION = { WORDS: 4, WHICH: 0, RESULT: 2 } as const;
const OPERATION = { WRITEV: 2, READ: 22 } as const;
/** RWF_NOWAIT: a call that would have to wait gives EAGAIN instead. O_NONBLOCK alone does not say so: io_uring would wait aside. */
const NO_WAIT = 8;

/** A batch for `size` calls, a power of two, on this descriptor or one of its kind. */
export const openCalls = (system: System, size: number, descriptor: number): CallBatch =>
  openRing(system, size, descriptor) ?? new SingleCalls(system, size);

/** For calls on this descriptor. Null where the system has no io_uring, or not for us, or cannot help waiting (TAP before Linux 6.4). */
export function openRing(system: System, size: number, descriptor: number): CallBatch | null {
  const { bytes, view } = block(PARAMS.SIZE);
  const opened = system.ringSetup(size, bytes);
  if (opened < 0) return null;
  let ring: Ring;
  try {
    ring = new Ring(system, opened, size, view);
  } catch (error) {
    system.close(opened);
    if (error instanceof SystemError) return null; // a limit on locked memory, most likely
    throw error;
  }
  const isNew = (view.getUint32(PARAMS.FEATURES, true) & FEATURES) === FEATURES;
  if (isNew && doesNotWait(ring, descriptor)) return ring;
  ring.close();
  return null;
}

/** Asked by writing nothing. */
function doesNotWait(ring: Ring, descriptor: number): boolean {
  ring.writev(descriptor, 0, 0);
  ring.run();
  return ring.result(0) !== -ERRNO.EOPNOTSUPP;
}

class Ring implements CallBatch {
  readonly #entries: Mapping;
  readonly #rings: Mapping;
  readonly #entryWords: Uint32Array;
  readonly #ringWords: Uint32Array;
  /** Words of the rings' mapping. */
  readonly #submissionTail: number;
  readonly #completionHead: number;
  readonly #completionTail: number;
  readonly #completions: number;
  readonly #results: Int32Array;
  #added = 0;

  constructor(
    private readonly system: System,
    private readonly descriptor: number,
    private readonly size: number,
    params: DataView,
  ) {
    const offset = (at: number): number => params.getUint32(at, true);
    const array = offset(PARAMS.SUBMISSION.ARRAY);
    const completions = offset(PARAMS.COMPLETION.ENTRIES);
    // There are twice as many completions as submissions.
    const length = Math.max(array + size * 4, completions + 2 * size * COMPLETION.WORDS * 4);
    this.#rings = this.#map(length, OFFSET.RINGS);
    try {
      this.#entries = this.#map(size * ENTRY.WORDS * 4, OFFSET.ENTRIES);
    } catch (error) {
      system.unmap(this.#rings);
      throw error;
    }
    this.#ringWords = new Uint32Array(this.#rings.bytes, 0, length >>> 2);
    this.#entryWords = new Uint32Array(this.#entries.bytes);
    this.#submissionTail = offset(PARAMS.SUBMISSION.TAIL) >>> 2;
    this.#completionHead = offset(PARAMS.COMPLETION.HEAD) >>> 2;
    this.#completionTail = offset(PARAMS.COMPLETION.TAIL) >>> 2;
    this.#completions = completions >>> 2;
    this.#results = new Int32Array(size);
    // Slot n of the ring always stands for entry n: runs begin wherever the last one ended.
    for (let slot = 0; slot < size; slot++) this.#ringWords[(array >>> 2) + slot] = slot;
  }

  #map(length: number, offset: number): Mapping {
    return this.system.map(length, PROT_READ | PROT_WRITE, MAP_SHARED, this.descriptor, offset);
  }

  read(descriptor: number, to: number, length: number): void {
    this.#add(OPERATION.READ, descriptor, to, length);
  }

  writev(descriptor: number, iovecs: number, count: number): void {
    this.#add(OPERATION.WRITEV, descriptor, iovecs, count);
  }

  #add(operation: number, descriptor: number, address: number, length: number): void {
    const words = this.#entryWords;
    const tail = this.#ringWords[this.#submissionTail]! + this.#added;
    const at = (tail & (this.size - 1)) * ENTRY.WORDS;
    words[at + ENTRY.OPERATION] = operation; // no flags, no priority
    words[at + ENTRY.DESCRIPTOR] = descriptor;
    words[at + ENTRY.ADDRESS] = address >>> 0;
    words[at + ENTRY.ADDRESS + 1] = Math.floor(address / 0x1_0000_0000);
    words[at + ENTRY.LENGTH] = length;
    words[at + ENTRY.FLAGS] = NO_WAIT;
    words[at + ENTRY.WHICH] = this.#added;
    this.#results[this.#added++] = 0;
  }

  run(): number {
    const added = this.#added;
    this.#added = 0;
    if (added === 0) return 0;
    const words = this.#ringWords;
    Atomics.store(words, this.#submissionTail, words[this.#submissionTail]! + added);
    for (let left = added, waiting = added; waiting > 0; ) {
      const submitted = this.system.ringEnter(this.descriptor, left, waiting);
      if (submitted > 0) left -= submitted;
      waiting -= this.#collect();
      if (submitted < 0 && submitted !== -ERRNO.EINTR) {
        this.#takeBack(added, left, submitted);
        break;
      }
    }
    return added;
  }

  /** The last `left` of the calls added could not be submitted: this is what each of them gave. */
  #takeBack(added: number, left: number, error: number): void {
    const words = this.#ringWords;
    Atomics.store(words, this.#submissionTail, words[this.#submissionTail]! - left);
    this.#results.fill(error, added - left, added);
  }

  /** Takes what has been completed; gives how many. */
  #collect(): number {
    const words = this.#ringWords;
    const head = words[this.#completionHead]!;
    const count = (Atomics.load(words, this.#completionTail) - head) >>> 0;
    for (let i = 0; i < count; i++) {
      const at = this.#completions + ((head + i) & (2 * this.size - 1)) * COMPLETION.WORDS;
      this.#results[words[at + COMPLETION.WHICH]!] = words[at + COMPLETION.RESULT]! | 0;
    }
    Atomics.store(words, this.#completionHead, head + count);
    return count;
  }

  result(index: number): number {
    return this.#results[index]!;
  }

  close(): void {
    this.system.unmap(this.#entries);
    this.system.unmap(this.#rings);
    this.system.close(this.descriptor);
  }
}
