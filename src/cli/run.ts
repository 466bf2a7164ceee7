/** `hnv run`: captures in at ports of a lab, captures out at ports, and an account of every frame. */
import type { Command } from "commander";
import type { PortIndex } from "../dataplane/transposition/index.js";
import {
  type CaptureOutput,
  type CaptureReader,
  type CaptureReaderOptions,
  type CaptureWriter,
  createCapture,
  formatFor,
  isLiveUri,
  LIVE_SCHEMES,
  openCapture,
} from "../io/index.js";
import type { Lab } from "../vswitch/index.js";
import { arrivalsOf, type BurstLimits, FULL_BURST, type RowMemory } from "./arrivals.js";
import { demultiplexerFor, type HostDemultiplexer, type Leftover } from "./demultiplex.js";
import { createAll, createLog, type Departure, DropLog, PortTap, WholeLabCapture } from "./departures.js";
import { drive } from "./drive.js";
import { cutLink, type LabRecipe } from "./engines.js";
import { CliError, usageError } from "./errors.js";
import { EventLog } from "./events.js";
import { checkFiles } from "./files.js";
import { type FlowResult, flowReport, flowResults } from "./flows.js";
import { makeLab, readLabText, requirePort } from "./lab-file.js";
import { integer, type PortValue, portFile, portUri, speed, workerCount } from "./options.js";
import {
  type Counters,
  controlReport,
  controlResults,
  countersOf,
  engineReport,
  engineResult,
  learningReport,
  membershipReport,
  SCHEMA_VERSION,
} from "./results.js";
import { countOf, err, formatSeconds, out, painter, printJson, table } from "./terminal.js";
import { workersFor } from "./workers/workers-for.js";

interface RunOptions {
  readonly in?: readonly PortValue[];
  readonly out?: readonly PortValue[];
  readonly bind?: readonly PortValue[];
  readonly drops?: string;
  readonly captureAll?: string;
  readonly events?: string;
  readonly flowCapacity?: number;
  readonly flows?: boolean;
  readonly burst: number;
  readonly workers: number;
  readonly speed?: string;
  readonly capture?: readonly PortValue[];
  readonly captureSize?: number;
  readonly captureFiles?: number;
  readonly busyPoll?: boolean;
  readonly json?: boolean;
}

/** 256 bytes each, and the kernel's memory is 4 GiB at most. */
const FLOW_CAPACITY_MAX = 8_388_608;
/** `--capture-all` needs about a megabyte per port. */
const CAPTURE_ALL_PORTS_MAX = 1500;
const CAPTURE_ALL_COPIES = { frames: 256, bytes: 256 * 1024 };

export function addRunCommand(program: Command): void {
  program
    .command("run")
    .summary("drive captures through a lab")
    .description("Drives the frames of captures through the lab until they end, and counts what became of each.")
    .argument("<lab>", "fabric file, - for standard input")
    .option(
      "--in <PORT=FILE>",
      "frames that enter at this port, or for auto:HOST at its ports; may be repeated",
      portFile,
    )
    .option("--out <PORT=FILE>", "take the frames that leave the node at this port; may be repeated", portFile)
    .option(
      "--bind <PORT=URI>",
      "cut the port's link and bind it to pcap:FILE, tap:NAME, afpacket:IFACE, xdp:IFACE, cap:IFACE, rawip:ADDRESS or gen:SPEC; may be repeated",
      portUri,
    )
    .option("--drops <FILE>", "write every dropped frame, with its reason as comment (pcapng)")
    .option("--capture-all <FILE>", "write what every port sees into one file (pcapng)")
    .option("--events <FILE>", "write what happens to hosts and neighbors, one JSON object a line")
    .option("--flow-capacity <N>", "most flow entries at a time (default: 131072)", integer(1, FLOW_CAPACITY_MAX))
    .option("--flows", "list the flow entries that are left at the end (`flowTable` in JSON)")
    .option("--burst <N>", "most frames that are handled together", integer(1, FULL_BURST.frames), FULL_BURST.frames)
    .option("--workers <N>", "threads that share the frames, as far as lab and options allow", workerCount, 1)
    .option(
      "--speed <N>",
      "pcap: frames arrive by their timestamps, N times as fast; 0: as fast as they are taken. Beside interfaces: 1",
      speed,
    )
    .option(
      "--capture <PORT=FILE>",
      "live interfaces: write what passes this bound port, both ways; may be repeated",
      portFile,
    )
    .option(
      "--capture-size <MIB>",
      "begin another file, FILE with a number, when one has this size",
      integer(1, 1_000_000),
    )
    .option("--capture-files <N>", "keep the newest N files of each capture", integer(1, 1_000_000))
    .option("--busy-poll", "live interfaces: never sleep, for the lowest latency at the cost of a whole core")
    .option("--json", "print the result as JSON; live, one object per second and the result at the end, a line each")
    .addHelpText(
      "after",
      `
Examples:
  hnv run lab.yaml --in host1/Blue1=vm.pcap --out host1/nic1=wire.pcap --out host2/Blue2=received.pcap
  hnv run lab.yaml --in host1/nic1=wire.pcap --drops drops.pcapng --json
  hnv run lab.yaml --in host1/Blue1=a.pcap --in host1/Red1=b.pcap --capture-all everything.pcapng
  hnv run lab.yaml --in auto:host1=mirror.pcap --out host1/nic1=wire.pcap
  hnv run lab.yaml --bind host1/nic1=pcap:wire.pcap --out host1/Blue1=received.pcap

On interfaces of this machine, until a signal ends it:
hnv run lab.yaml --bind host1/nic1=afpacket:eth1 --bind host1/Blue1=tap:blue1

Frames of several inputs are merged by their timestamps. Exit status: 0 done, 1 an input is damaged, an output
failed or an interface cannot be used, 2 wrong usage or a lab with mistakes.`,
    )
    .action(runCommand);
}

async function runCommand(labFile: string, options: RunOptions): Promise<void> {
  const bind = options.bind ?? [];
  checkBindings(bind);
  if (options.events === "-") throw usageError("--events needs a file; standard output is for the result");
  if (options.speed !== undefined && !bind.some(({ value }) => isCapture(value)))
    throw usageError("--speed is for captures that are bound (--bind PORT=pcap:FILE)");
  const isLive = options.speed !== undefined || bind.some(({ value }) => !isCapture(value) || hasSpeed(value));
  await (isLive ? runOnInterfaces(labFile, { ...options, bind }) : runOnFiles(labFile, options));
}

/** What goes by the clock, and captures that do not, keep different times, and do not go together. */
async function runOnInterfaces(labFile: string, options: RunOptions & Required<Pick<RunOptions, "bind">>) {
  const { refuseBesideLive, runLive } = await import("./live/run-live.js");
  const given: Readonly<Record<string, boolean>> = {
    "--in": options.in !== undefined,
    "--out": options.out !== undefined,
    "--drops": options.drops !== undefined,
    "--capture-all": options.captureAll !== undefined,
    "--flows": options.flows === true,
  };
  refuseBesideLive(Object.keys(given).filter((name) => given[name]));
  const paced = ({ port, value }: PortValue): PortValue => ({
    port,
    value: isCapture(value) && !hasSpeed(value) ? `${value}#speed=${options.speed ?? 1}` : value,
  });
  await runLive(labFile, { ...options, bind: options.bind.map(paced) });
}

async function runOnFiles(labFile: string, options: RunOptions): Promise<void> {
  refuseWithoutLive({
    "--busy-poll": options.busyPoll === true,
    "--capture": options.capture !== undefined,
    "--capture-size": options.captureSize !== undefined,
    "--capture-files": options.captureFiles !== undefined,
  });
  const started = performance.now();
  const inputs = [...(options.in ?? []), ...(options.bind ?? []).map(boundFile)];
  const outputs = options.out ?? [];
  checkUsage(inputs, outputs, options);
  const logs = [options.drops, options.captureAll].filter((file) => file !== undefined);
  checkFiles(
    [labFile, ...inputs.map(({ value }) => value)],
    [...outputs.map(({ value }) => value), ...logs, ...(options.events === undefined ? [] : [options.events])],
  );

  const text = readLabText(labFile);
  const choices = options.flowCapacity === undefined ? {} : { flowCapacity: options.flowCapacity };
  const events = new EventLog(options.events);
  const lab = makeLab(text, labFile, choices, { onEvent: (event) => events.hear(event) });
  events.watch(lab);
  const { engine } = lab;
  const entries = inputs.map(({ port, value }) => ({ name: port, file: value, port: entryPort(lab, port) }));
  const exits = outputs.map(({ port, value }) => ({ name: port, file: value, port: requirePort(lab, port) }));
  if (options.captureAll !== undefined && engine.ports.length > CAPTURE_ALL_PORTS_MAX) {
    throw usageError(
      `--capture-all takes labs of at most ${CAPTURE_ALL_PORTS_MAX} ports; this one has ${engine.ports.length}`,
    );
  }
  const cutPorts = (options.bind ?? []).map(({ port }) => requirePort(lab, port));
  const recipe: LabRecipe = { kind: "lab", text, file: labFile, choices, cutPorts };
  // Of all ports at once, each with buffers of its own, the bursts are shorter.
  if (options.captureAll !== undefined) engine.limitCopies(CAPTURE_ALL_COPIES.frames, CAPTURE_ALL_COPIES.bytes);
  const copies = options.captureAll === undefined ? engine.memory.copyRoom : CAPTURE_ALL_COPIES;
  const limits: BurstLimits = { frames: options.burst, bytes: FULL_BURST.bytes, copies };
  const workers = workersFor(options.workers, obstacleToWorkers(lab, entries, options));
  const run = { lab, recipe, entries, exits, limits, workers, events };

  const readers: CaptureReader[] = [];
  try {
    const ran = workers === 1 ? await runAlone(run, options, readers) : await runWithWorkers(run, readers);
    const elapsedMs = Math.round(performance.now() - started);
    const account: Account = {
      lab,
      counters: ran.counters,
      workers,
      elapsedMs,
      inputs: entries.map((entry, index) => inputResult(entry, readers[index]!)),
      outputs: exits.map(({ name, file }, index) => ({ port: name, file, frames: ran.writers[index]!.frameCount })),
      logs: logs.map((file, index) => ({ file, frames: ran.logs[index]!.frameCount })),
      flows: options.flows ? flowResults(engine) : undefined,
      events,
    };
    if (options.json) printJson(toJson(account));
    else printReport(account, outputs.some(({ value }) => value === "-") ? err : out);
    const damaged = readers.flatMap(({ damage }) => (damage ? [`hnv: ${damage.message}`] : []));
    if (damaged.length > 0) throw new CliError(1, damaged);
  } finally {
    for (const reader of readers) await reader.close();
    events.end();
  }
}

function refuseWithoutLive(given: Readonly<Record<string, boolean>>): void {
  const name = Object.keys(given).find((option) => given[option]);
  if (name) throw usageError(`${name} is for live interfaces (--bind PORT=tap:… and the like)`);
}

/** What cannot be told by threads that each see a part of the frames only. */
function obstacleToWorkers(
  lab: Lab,
  entries: readonly EntryFile[],
  { drops, captureAll, events, flows }: RunOptions,
): string | undefined {
  if (drops !== undefined) return "--drops looks at every frame in the order of the input";
  if (captureAll !== undefined) return "--capture-all looks at every frame in the order of the input";
  if (events !== undefined) return "--events tells what happens in the order of the input";
  if (flows) return "--flows lists the flow table of one engine";
  return lab.obstacleToSharing(entries.flatMap(({ port }) => (typeof port === "number" ? [port] : port.ports)));
}

/** A file at a port, in or out. */
interface PortFile {
  readonly name: string;
  readonly file: string;
  readonly port: PortIndex;
}

/** A file whose frames enter at one port, or at the ports of one host. */
interface EntryFile extends Omit<PortFile, "port"> {
  readonly port: PortIndex | HostDemultiplexer;
}

/** `auto:host1`, or the name of a port. */
const entryPort = (lab: Lab, name: string): EntryFile["port"] => demultiplexerFor(lab, name) ?? requirePort(lab, name);

interface Run {
  readonly lab: Lab;
  readonly recipe: LabRecipe;
  readonly entries: readonly EntryFile[];
  readonly exits: readonly PortFile[];
  readonly limits: BurstLimits;
  readonly workers: number;
  readonly events: EventLog;
}

/** What a run has left behind. */
interface Ran {
  readonly counters: Counters;
  /** Those of the exits. */
  readonly writers: readonly CaptureWriter[];
  readonly logs: readonly CaptureOutput[];
}

async function runAlone(run: Run, options: RunOptions, readers: CaptureReader[]): Promise<Ran> {
  const { lab, recipe, entries, exits, limits, events } = run;
  const { engine } = lab;
  for (const port of recipe.cutPorts) cutLink(engine, port);
  await openAll(entries, engine.memory, {}, readers);
  events.open();
  const writers = await makeWriters(lab, exits, readers);
  const taps = new Map<PortIndex, PortTap>();
  try {
    for (const [index, { port }] of exits.entries())
      taps.set(port, new PortTap(engine, [port], writers[index]!, limits));
  } catch (error) {
    await abandonAll(writers, inWords(error, `${exits.length} outputs at a time`));
  }
  const logs = await makeLogs(lab, options, taps, limits).catch((error: unknown) => abandonAll(writers, error));
  const arrivals = arrivalsOf(engine.memory, arrivalsAt(entries, readers), limits);
  await drive({ engine, arrivals, departures: [...logs, ...taps.values()] });
  return { counters: countersOf(engine), writers, logs: logs.map(({ outputs }) => outputs[0]!) };
}

async function runWithWorkers(run: Run, readers: CaptureReader[]): Promise<Ran> {
  const { lab, recipe, entries, exits, limits, workers } = run;
  const { Crew } = await import("./workers/crew.js");
  const crew = new Crew(workers);
  await openAll(entries, crew.memory, crew.readerOptions, readers);
  const writers = await makeWriters(lab, exits, readers);
  const outputs = exits.map(({ port }, index) => ({ ports: [port], output: writers[index]! }));
  const arrivals = crew.arrivalsOf(arrivalsAt(entries, readers));
  const counters = await crew.drive({ recipe, arrivals, outputs, limits });
  return { counters, writers, logs: [] };
}

/** Opens all inputs; `readers` has those that were opened even if one cannot be. */
async function openAll(
  entries: readonly EntryFile[],
  memory: RowMemory,
  options: CaptureReaderOptions,
  readers: CaptureReader[],
): Promise<void> {
  try {
    for (const { file } of entries) readers.push(await openCapture(file, memory, options));
  } catch (error) {
    throw inWords(error, `${entries.length} inputs at a time`);
  }
}

/** Buffers lie in one memory of at most 4 GiB, which is more than enough but for hundreds of files. */
const inWords = (error: unknown, what: string): unknown =>
  error instanceof RangeError ? usageError(`${what} need more memory than there is; use fewer`) : error;

const arrivalsAt = (entries: readonly EntryFile[], readers: readonly CaptureReader[]) =>
  entries.map(({ port }, index) => ({ port, reader: readers[index]! }));

function checkUsage(inputs: readonly PortValue[], outputs: readonly PortValue[], options: RunOptions): void {
  if (inputs.length === 0) throw usageError("nothing to run: give at least one --in PORT=FILE");
  const ports = outputs.map(({ port }) => port);
  const twice = ports.find((port, index) => ports.indexOf(port) !== index);
  if (twice !== undefined) throw usageError(`--out ${twice} is given twice; a port has one output`);
  for (const [name, file] of [
    ["--drops", options.drops],
    ["--capture-all", options.captureAll],
  ]) {
    if (file === "-") throw usageError(`${name} needs a file; standard output is for the result`);
    if (file?.toLowerCase().endsWith(".pcap"))
      throw usageError(`${name} ${file}: comments need pcapng; use a name in .pcapng`);
  }
  if (options.json && outputs.some(({ value }) => value === "-")) {
    throw usageError("--json and an output to standard output (-) exclude each other");
  }
}

const FILE_SCHEME = "pcap:";
const isCapture = (uri: string): boolean => uri.startsWith(FILE_SCHEME);
const hasSpeed = (uri: string): boolean => /#speed=[^#]*$/.test(uri);

function checkBindings(bindings: readonly PortValue[]): void {
  const bound = bindings.map(({ port }) => port);
  const again = bound.find((port, index) => bound.indexOf(port) !== index);
  if (again !== undefined) throw usageError(`--bind ${again} is given twice; a port is bound once`);
  for (const { port, value } of bindings) {
    if (isLiveUri(value) && value !== FILE_SCHEME) continue;
    const schemes = LIVE_SCHEMES.map((scheme) => `${scheme}:…`);
    throw usageError(`--bind ${port}=${value}: expected ${schemes.join(", ")}`);
  }
}

const boundFile = ({ port, value }: PortValue): PortValue => ({ port, value: value.slice(FILE_SCHEME.length) });

/** A writer for each exit. */
const makeWriters = (
  { engine }: Lab,
  exits: readonly PortFile[],
  readers: readonly CaptureReader[],
): Promise<CaptureWriter[]> => {
  const isNanoseconds = readers.some((reader) => reader.isFinerThanMicroseconds);
  return createAll(
    exits.map(({ file, port }) => async () => {
      const format = formatFor(file, readers[0]!.format);
      const writer = await createCapture(file, { format, isNanoseconds });
      if (format === "pcapng") writer.addInterface({ name: engine.ports[port]!.name });
      return writer;
    }),
  );
};

async function makeLogs(
  { engine }: Lab,
  { drops, captureAll }: RunOptions,
  taps: ReadonlyMap<PortIndex, PortTap>,
  limits: BurstLimits,
): Promise<Departure[]> {
  const logs: Departure[] = [];
  const make = (file: string): Promise<CaptureWriter> =>
    createLog(file).catch((error: unknown) =>
      abandonAll(
        logs.flatMap(({ outputs }) => outputs),
        error,
      ),
    );
  if (drops !== undefined) logs.push(new DropLog(engine, await make(drops)));
  if (captureAll !== undefined) logs.push(new WholeLabCapture(engine, await make(captureAll), limits, taps));
  return logs;
}

/** Gives up what was begun, because of an error. */
async function abandonAll(outputs: readonly CaptureOutput[], error: unknown): Promise<never> {
  for (const output of outputs) await output.abandon();
  throw error;
}

interface InputResult {
  readonly port: string;
  readonly file: string;
  readonly frames: number;
  /** Why the input ended early. */
  readonly damage: { readonly code: string; readonly offset: number; readonly message: string } | null;
  /** Of `auto:HOST`: where its frames entered, and what fitted no port. */
  readonly ports?: ReturnType<HostDemultiplexer["placed"]>;
  readonly leftOut?: readonly Leftover[];
}

const inputResult = ({ name, file, port }: EntryFile, { frameCount, damage }: CaptureReader): InputResult => ({
  port: name,
  file,
  frames: frameCount,
  damage: damage ? { code: damage.code, offset: damage.offset, message: damage.message } : null,
  ...(typeof port === "number" ? {} : { ports: port.placed(), leftOut: port.leftOut() }),
});

interface Account {
  readonly lab: Lab;
  readonly counters: Counters;
  readonly workers: number;
  readonly elapsedMs: number;
  readonly inputs: readonly InputResult[];
  readonly outputs: readonly { readonly port: string; readonly file: string; readonly frames: number }[];
  readonly logs: readonly { readonly file: string; readonly frames: number }[];
  readonly flows: readonly FlowResult[] | undefined;
  readonly events: EventLog;
}

function toJson({ lab, counters, workers, elapsedMs, inputs, outputs, flows, events }: Account): unknown {
  const controlled = controlResults(lab);
  const learning = lab.learning();
  const memberships = lab.memberships();
  return {
    schemaVersion: SCHEMA_VERSION,
    ...engineResult(lab.engine, counters),
    inputs,
    outputs,
    ...(flows && { flowTable: flows }),
    events: workers > 1 ? null : { count: events.count, first: events.results(), notReached: lab.eventsAhead },
    ...(Object.keys(controlled).length > 0 && { controlMessages: controlled }),
    ...(Object.keys(learning).length > 0 && { learning }),
    ...(Object.keys(memberships).length > 0 && { memberships }),
    workers,
    elapsedMs,
  };
}

const leftoverRow = ({ why, frames, first }: Leftover): string[] => [
  "",
  countOf(frames, "frame"),
  "left out",
  `${why}, such as frame ${first}`,
];

function printReport(
  { lab, counters, elapsedMs, inputs, outputs, logs, flows, events }: Account,
  print: (text: string) => void,
): void {
  const files = [
    ...inputs.flatMap(({ port, file, frames, ports, leftOut }) => [
      ["read", countOf(frames, "frame"), file, ports ? `at ${port.slice("auto:".length)}` : `into ${port}`],
      ...(ports ?? []).map((place) => ["", countOf(place.frames, "frame"), "", `into ${place.port}`]),
      ...(leftOut ?? []).map(leftoverRow),
    ]),
    ...outputs.map(({ port, file, frames }) => ["wrote", countOf(frames, "frame"), file, `out of ${port}`]),
    ...logs.map(({ file, frames }) => ["wrote", countOf(frames, "frame"), file, ""]),
  ];
  for (const line of table(files)) print(line);
  print("");
  for (const line of engineReport(engineResult(lab.engine, counters))) print(line);
  for (const line of controlReport(controlResults(lab))) print(line);
  for (const line of membershipReport(lab.memberships())) print(line);
  for (const line of learningReport(lab.learning())) print(line);
  const told = events.report(lab.engine.startMs, lab.eventsAhead);
  if (told.length > 0) {
    print("");
    for (const line of told) print(line);
  }
  if (flows) {
    print("");
    for (const line of flowReport(flows)) print(line);
  }
  if (told.length > 0 || flows) print("");
  const rate = elapsedMs > 1000 ? `, ${countOf(Math.round(counters.totals.in / (elapsedMs / 1000)), "frame")}/s` : "";
  print(painter()("dim", `done in ${formatSeconds(elapsedMs)}${rate}`));
}
