/**
 * `hnv run` with live interfaces: forwarding in threads of its own, until a signal comes. This thread keeps the signals, the status
 * and the summary; and it forwards as well, alone, if an interface takes the event loop of the main thread.
 */
import { Worker } from "node:worker_threads";
import { Reason } from "../../dataplane/index.js";
import type { Mac } from "../../dataplane/wire/index.js";
import {
  deviceOfLive,
  isShareable,
  type LiveShare,
  mtuOfLive,
  needsEventLoop,
  parsePacedCaptureUri,
  rememberDevices,
} from "../../io/index.js";
import type { Lab } from "../../vswitch/index.js";
import { SAME_WISH_MS } from "../drive.js";
import type { LabRecipe } from "../engines.js";
import { CliError, failure, usageError } from "../errors.js";
import { EventLog } from "../events.js";
import { checkFiles } from "../files.js";
import { buildLab, type LabChoices, loadLabText, readLabText, requirePort } from "../lab-file.js";
import type { PortValue } from "../options.js";
import {
  type Counters,
  controlReport,
  engineReport,
  engineResult,
  learningReport,
  membershipReport,
  SCHEMA_VERSION,
} from "../results.js";
import { countOf, err, formatNumber, formatSeconds, out, painter, table } from "../terminal.js";
import { workersFor } from "../workers/workers-for.js";
import { type CaptureEnd, type CaptureOptions, CaptureThread, checkCaptures } from "./capture-thread.js";
import { checkerLines } from "./checker-report.js";
import { makeCompanions } from "./companions.js";
import { forward } from "./forward.js";
import { hostsOnWire } from "./hosts-on-wire.js";
import type { FromForwarder, LiveJob, LiveState } from "./messages.js";
import { EventLoopPause } from "./pause.js";
import {
  addressLines,
  duplicateLines,
  eventLine,
  eventsBetween,
  type LiveEvent,
  type Rates,
  ratesBetween,
  StatusLine,
  statusText,
  sumStates,
} from "./status.js";

export interface LiveRunOptions extends CaptureOptions {
  readonly bind: readonly PortValue[];
  readonly flowCapacity?: number;
  readonly busyPoll?: boolean;
  readonly workers: number;
  /** Where what nodes tell is written. */
  readonly events?: string;
  readonly json?: boolean;
}

/** What strangers can make the slow path do per burst, so that known flows go on beside them (decision 0007). */
const DECISIONS_PER_BURST = 16;
/** What strangers can make responders say at one port, a second. */
const ANSWERS_PER_SECOND = 1000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Runs until a signal comes, or until every interface is at its end. */
export async function runLive(labFile: string, options: LiveRunOptions): Promise<void> {
  checkCaptures(
    options,
    options.bind.map(({ port }) => port),
  );
  checkDevices(options.bind);
  checkFiles([labFile, ...boundCaptures(options.bind)], writtenFiles(options));
  const text = readLabText(labFile);
  const { lab: settings } = loadLabText(text, labFile);
  const onWire = hostsOnWire(settings, options.bind);
  const plain = buildLab(settings, { onWire });
  const ports = options.bind.map(({ port }) => requirePort(plain, port));
  const mtus = mtusOf(plain, options.bind);
  for (const line of mtuLines(plain, mtus)) err(line);
  const choices: LabChoices = {
    mtus,
    onWire,
    decisionsPerBurst: DECISIONS_PER_BURST,
    answersPerSecond: ANSWERS_PER_SECOND,
    ...(options.flowCapacity === undefined ? {} : { flowCapacity: options.flowCapacity }),
  };
  const recipe: LabRecipe = { kind: "lab", text, file: labFile, choices, cutPorts: ports };
  const macs = nicMacs(plain);
  const bindings = options.bind.map(({ port, value }, index) => ({
    port: ports[index]!,
    uri: value,
    mac: macs.get(port),
  }));
  const stop = new SharedArrayBuffer(4);
  const workers = workersFor(options.workers, obstacleToWorkers(plain, options.bind));
  const companions = workers === 1 ? null : makeCompanions(workers);
  const share: LiveShare = { workers, group: process.pid & 0xffff };
  const captures = new CaptureThread(options, workers);
  const jobs = Array.from(
    { length: workers },
    (_, worker): LiveJob => ({
      recipe,
      bindings,
      captures: captures.job.captures.map(({ port, format, queues }) => ({
        binding: options.bind.findIndex((bind) => bind.port === port),
        format,
        queue: queues[worker]!,
      })),
      bell: captures.job.bell,
      worker,
      share,
      companions: companions?.jobs[worker] ?? null,
      busyPoll: options.busyPoll === true,
      stop,
    }),
  );
  try {
    const run = new LiveRun(plain, options, jobs, captures);
    await captures.start(); // from here on somebody must end it
    await run.until(stop);
  } finally {
    companions?.close();
  }
}

const boundCaptures = (bind: readonly PortValue[]): string[] =>
  bind.filter(({ value }) => value.startsWith("pcap:")).map(({ value }) => parsePacedCaptureUri(value).file);

const writtenFiles = ({ capture = [], events }: LiveRunOptions): string[] => [
  ...capture.map(({ value }) => value),
  ...(events === undefined ? [] : [events]),
];

/** A device has one port, since each would get every frame; of AF_XDP as well, since it takes one program, which is that of a queue. */
function checkDevices(bind: readonly PortValue[]): void {
  bind.forEach(({ port, value }, index) => {
    const device = deviceOfLive(value);
    const other = bind.slice(0, index).find((before) => device !== null && deviceOfLive(before.value) === device);
    if (other)
      throw usageError(`--bind ${port}=${value}: ${device} is bound to ${other.port} already, as ${other.value}`);
  });
}

/** Goes on after "because". */
function obstacleToWorkers(lab: Lab, bind: readonly PortValue[]): string | undefined {
  const alone = bind.find(({ value }) => !isShareable(value));
  return alone ? `${alone.value} cannot be shared` : lab.obstacleToCompanions;
}

/** By the name of the port. */
const nicMacs = ({ settings }: Lab): ReadonlyMap<string, Mac> =>
  new Map(settings.hosts.flatMap((host) => host.nics.map((nic) => [`${host.name}/${nic.name}`, nic.mac] as const)));

/** MTUs of devices that NICs of the lab are bound to. */
function mtusOf(lab: Lab, binds: readonly PortValue[]): Record<string, number> {
  const nics = nicMacs(lab);
  const mtus: Record<string, number> = {};
  for (const { port, value } of binds) {
    const mtu = mtuOfLive(value);
    if (nics.has(port) && mtu !== null) mtus[port] = mtu;
  }
  return mtus;
}

const mtuLines = ({ settings }: Lab, mtus: Readonly<Record<string, number>>): string[] =>
  settings.hosts.flatMap((host) =>
    host.nics.flatMap((nic) => {
      const mtu = mtus[`${host.name}/${nic.name}`];
      return mtu === undefined || mtu === nic.mtu
        ? []
        : [`hnv: ${host.name}/${nic.name}: MTU ${mtu}, as its interface has it; the lab says ${nic.mtu}`];
    }),
  );

/** One capture of a port. */
interface CaptureResult {
  readonly port: string;
  readonly file: string;
  readonly frames: number;
  readonly lost: number;
  /** How many files it took; null while it goes on. */
  readonly files: number | null;
}

type Hear = (message: FromForwarder) => void;

/** A forwarding loop that has begun. */
interface Loop {
  /** Resolves when it is over. */
  readonly ended: Promise<void>;
  /** Ends it without draining. */
  terminate(): void;
}

function inThread(job: LiveJob, hear: Hear): Loop {
  const transferList = job.companions?.ports.filter((port) => port !== null) ?? [];
  const thread = new Worker(new URL("./worker.js", import.meta.url), { workerData: job, transferList });
  thread.on("message", hear);
  return {
    ended: new Promise((resolve, reject) => thread.once("error", reject).once("exit", () => resolve())),
    terminate: () => void thread.terminate(),
  };
}

/** Draining takes a moment only, and the interfaces that take the event loop have nothing that a drain would wait for. */
const here = (job: LiveJob, hear: Hear): Loop => ({
  ended: forward(job, hear, (interfaces, round) => new EventLoopPause(interfaces, round)),
  terminate: () => {},
});

/** The side of one run that people see. */
class LiveRun {
  readonly #status = new StatusLine();
  #before: LiveState | undefined;
  /** What each loop said last. */
  readonly #states: (LiveState | undefined)[];
  #boundCount = 0;
  #endedCount = 0;
  #failure: CliError | undefined;
  #captureEnds: readonly CaptureEnd[] = [];
  readonly #told: EventLog;

  constructor(
    private readonly lab: Lab,
    private readonly options: LiveRunOptions,
    private readonly jobs: readonly LiveJob[],
    private readonly captures: CaptureThread,
  ) {
    this.#states = jobs.map(() => undefined);
    this.#told = new EventLog(options.events);
    this.#told.watch(lab);
    this.#told.open();
  }

  /** Until all loops have ended; `stop` tells them to. */
  async until(stop: SharedArrayBuffer): Promise<void> {
    const word = new Int32Array(stop);
    const start = this.options.bind.some(({ value }) => needsEventLoop(value)) ? here : inThread;
    const loops = this.jobs.map((job, index) => start(job, (message) => this.#hear(message, index, word)));
    const restoreDevices = rememberDevices(this.options.bind.map(({ value }) => value));
    let firstMs: number | undefined;
    let isForced = false;
    const end = (): void => {
      Atomics.store(word, 0, 1);
      firstMs ??= performance.now();
      if (performance.now() - firstMs < SAME_WISH_MS) return;
      isForced = true;
      for (const loop of loops) loop.terminate(); // a second signal: the user does not want to wait
      for (const signal of SIGNALS) process.off(signal, end); // a third one ends the process, whoever it waits for
    };
    for (const signal of SIGNALS) process.on(signal, end);
    try {
      await Promise.all(loops.map(({ ended }) => ended));
    } finally {
      Atomics.store(word, 0, 1); // one that threw ends the others, which give back what they hold
      await Promise.allSettled(loops.map(({ ended }) => ended));
      if (isForced) restoreDevices();
      this.#captureEnds = await this.captures.finish();
      this.#told.end();
      this.#status.clear();
      for (const signal of SIGNALS) process.off(signal, end);
    }
    const hasEnded = this.#endedCount === this.jobs.length;
    if (hasEnded) this.#show(sumStates(this.#states.map((state) => state!)), true);
    const failures = this.#captureEnds.flatMap((capture) => capture.failure ?? []);
    if (failures.length > 0) this.#failure ??= new CliError(1, failures);
    if (this.#failure) throw this.#failure;
    if (!hasEnded && isForced) throw failure("ended by a second signal, before all was forwarded and counted");
    if (!hasEnded) throw failure("the forwarding thread ended before its time");
  }

  #hear(message: FromForwarder, index: number, stop: Int32Array): void {
    if (message.kind === "failed") {
      this.#failure = new CliError(message.exitStatus, message.lines);
      Atomics.store(stop, 0, 1); // ends the others
    } else if (message.kind === "bound") {
      if (++this.#boundCount === this.jobs.length) this.#showBound(message.mtus);
    } else {
      this.#states[index] = message.state;
      for (const event of message.state.told) this.#told.hear(event);
      if (message.kind === "ended" && message.damage.length > 0)
        this.#failure = new CliError(
          1,
          message.damage.map((text) => `hnv: ${text}`),
        );
      this.#showAll(message.kind === "ended", index);
    }
  }

  /** The loops tell once a second each; the first one's word brings out what all have said. */
  #showAll(hasEnded: boolean, index: number): void {
    if (hasEnded) this.#endedCount++;
    const states = this.#states.filter((state) => state !== undefined);
    if (states.length === this.jobs.length && index === 0 && !hasEnded) this.#show(sumStates(states), false);
  }

  #showBound(mtus: readonly (number | null)[]): void {
    if (this.options.json) return;
    this.options.bind.forEach(({ port, value }, index) => {
      const mtu = mtus[index] === null ? "" : `, MTU ${mtus[index]}`;
      out(`bound ${port} to ${value}${mtu}`);
    });
  }

  #show(state: LiveState, isLast: boolean): void {
    const rates = ratesBetween(this.#before, state);
    this.#status.clear();
    const events = eventsBetween(this.options.bind, this.#before, state);
    for (const event of events) err(eventLine(event));
    if (!this.options.json) for (const line of addressLines(this.#before, state)) out(line);
    for (const line of duplicateLines(this.#before, state)) err(line);
    if (this.options.json) out(JSON.stringify(isLast ? this.#result(state) : this.#statusResult(state, rates, events)));
    else if (isLast) this.#printReport(state);
    else this.#status.show(statusText(state, rates));
    this.#before = state;
  }

  #statusResult(state: LiveState, rates: Rates, events: readonly LiveEvent[]): unknown {
    const { elapsedMs, counters, heldAnswers } = state;
    return {
      schemaVersion: SCHEMA_VERSION,
      kind: "status",
      elapsedMs,
      rates,
      totals: counters.totals,
      flows: counters.flows,
      slowPathOverload: overloadOf(counters),
      heldAnswers,
      ...(Object.keys(state.memberships).length > 0 && { memberships: state.memberships }),
      providerAddresses: state.providerAddresses,
      interfaceEvents: events.map(({ port, event }) => ({ port, event })),
      events: { count: this.#told.count },
      interfaces: this.#interfaces(state),
      captures: this.#captures(state),
    };
  }

  #result(state: LiveState): unknown {
    const { elapsedMs, counters, heldAnswers, untold, inByWorker, controlled, learning, memberships } = state;
    return {
      schemaVersion: SCHEMA_VERSION,
      kind: "result",
      ...engineResult(this.lab.engine, counters),
      slowPathOverload: overloadOf(counters),
      heldAnswers,
      events: { count: this.#told.count, first: this.#told.results() },
      ...(Object.keys(controlled).length > 0 && { controlMessages: controlled }),
      ...(Object.keys(learning).length > 0 && { learning }),
      ...(Object.keys(memberships).length > 0 && { memberships }),
      providerAddresses: state.providerAddresses,
      interfaces: this.#interfaces(state),
      captures: this.#captures(state),
      inByWorker,
      ...(untold > 0 && { untold }),
      elapsedMs,
    };
  }

  #interfaces({ interfaces, mtus }: LiveState): unknown {
    return this.options.bind.map(({ port, value }, index) => ({
      port,
      uri: value,
      mtu: mtus[index]!,
      ...interfaces[index]!,
    }));
  }

  /** What of the frames that were handed over is in the files is known at the end. */
  #captures({ captures }: LiveState): readonly CaptureResult[] {
    return captures.map(({ frames, lost }, index) => {
      const { port, file } = this.captures.job.captures[index]!;
      const { discarded = 0, files = null } = this.#captureEnds[index] ?? {};
      return { port, file, frames: frames - discarded, lost: lost + discarded, files };
    });
  }

  #printReport(state: LiveState): void {
    const { elapsedMs, counters, interfaces, heldAnswers, untold, controlled, learning, memberships } = state;
    const paint = painter();
    const [head, ...rows] = table([
      ["interface", "bound to", "received", "sent", "lost before", "refused"],
      ...this.options.bind.map(({ port, value }, index) => {
        const { received, sent, receiveDrops, sendDrops } = interfaces[index]!;
        return [value, port, received, sent, receiveDrops, sendDrops];
      }),
    ]);
    out(paint("bold", head!));
    for (const row of rows) out(row);
    interfaces.forEach(({ checker }, index) => {
      if (checker) for (const line of checkerLines(this.options.bind[index]!.value, checker)) out(line);
    });
    out("");
    for (const line of engineReport(engineResult(this.lab.engine, counters))) out(line);
    for (const line of controlReport(controlled)) out(line);
    for (const line of [...membershipReport(memberships), ...learningReport(learning)]) out(line);
    const told = this.#told.report(state.startMs);
    for (const line of told.length > 0 ? ["", ...told, ""] : []) out(line);
    for (const { port, file, frames, lost, files } of this.#captures(state)) {
      const names = files !== null && files > 1 ? `${countOf(files, "file")} like ${file}` : file;
      out(
        `captured ${countOf(frames, "frame")} of ${port} into ${names}${lost > 0 ? `, lost ${formatNumber(lost)}` : ""}`,
      );
    }
    if (untold > 0) out(`${countOf(untold, "lesson")} not told to all workers: too many waited`);
    if (heldAnswers > 0)
      out(`${countOf(heldAnswers, "answer")} held back: ports over ${formatNumber(ANSWERS_PER_SECOND)} a second`);
    out(paint("dim", `ended after ${formatSeconds(elapsedMs)}`));
  }
}

/** Packets that the slow path had no time for. */
const overloadOf = ({ reasons }: Counters): number =>
  reasons.filter(({ reason }) => reason === Reason.SLOWPATH_OVERLOAD).reduce((sum, { count }) => sum + count, 0);

/** Refuses what has no meaning, or none yet, beside live interfaces. `names` are the options that were given. */
export function refuseBesideLive(names: readonly string[]): void {
  if (names.length === 0) return;
  throw usageError(
    `${names.join(", ")}: cannot be given together with live interfaces (--bind PORT=tap:… and the like)`,
  );
}
