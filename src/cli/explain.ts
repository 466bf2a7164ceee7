/** `hnv explain`: a whole capture by the paths that its packets take, with the cause and the cure of every drop. */
import type { Command } from "commander";
import { type Cure, LabKnowledge } from "../control/index.js";
import {
  type Engine,
  Reason,
  reasonName,
  reasonText,
  type TraceNote,
  windowsNumber,
  windowsReason,
} from "../dataplane/index.js";
import { ROW, ROW_SIZE } from "../dataplane/packet/index.js";
import type { Memory } from "../io/index.js";
import { type CaptureReader, openCapture } from "../io/index.js";
import type { Lab } from "../vswitch/index.js";
import { type Arrival, arrivalsOf, FULL_BURST } from "./arrivals.js";
import { demultiplexerFor, HostDemultiplexer } from "./demultiplex.js";
import { oneLine, plain } from "./describe.js";
import { drive } from "./drive.js";
import { CliError, usageError } from "./errors.js";
import type { OffloadFault } from "./explain/offload-fault.js";
import { type Drop, type Path, PathAccount, reasonOf, type Witness } from "./explain/paths.js";
import { QueueFaults } from "./explain/queue-faults.js";
import { WireFaults } from "./explain/wire-faults.js";
import { checkFiles } from "./files.js";
import { openLab, requirePort } from "./lab-file.js";
import { integer, type PortValue, portFile } from "./options.js";
import { conservationLine, countersOf, engineResult, SCHEMA_VERSION } from "./results.js";
import { countOf, formatNumber, formatSeconds, out, painter, printJson } from "./terminal.js";

interface ExplainOptions {
  readonly in?: readonly PortValue[];
  readonly top: number;
  readonly json?: boolean;
}

const TOP = 10;
/** Causes per reason that have their layer's words in JSON: looking for the nearest record may walk a table of a million. */
const NOTED_CAUSES_MAX = 100;

export function addExplainCommand(program: Command): void {
  program
    .command("explain")
    .summary("explain what happens to a whole capture")
    .description(
      "Drives captures through a lab and tells which paths the packets take, and for each drop why, and what would cure it.",
    )
    .argument("<lab>", "fabric file, - for standard input")
    .option(
      "--in <PORT=FILE>",
      "frames that enter at this port, or for auto:HOST at its ports; may be repeated",
      portFile,
    )
    .option("--top <N>", "paths, and causes per reason, to show as text", integer(1, 100_000), TOP)
    .option("--json", "print the result as JSON, all of it")
    .addHelpText(
      "after",
      `
Examples:
  hnv explain lab.yaml --in host1/Blue1=vm.pcap
  hnv explain lab.yaml --in host1/Blue1=a.pcap --in host1/nic1=wire.pcap --json

Packets are numbered from 1 in each input, so that hnv trace LAB --port PORT --pcap FILE:N shows one in full. Exit status: 0 done,
whatever was dropped; 1 an input is damaged; 2 wrong usage or a lab with mistakes.`,
    )
    .action(explain);
}

async function explain(labFile: string, options: ExplainOptions): Promise<void> {
  const started = performance.now();
  const inputs = options.in ?? [];
  if (inputs.length === 0) throw usageError("nothing to explain: give at least one --in PORT=FILE");
  checkFiles([labFile, ...inputs.map(({ value }) => value)], []);
  const lab = openLab(labFile);
  const { engine } = lab;
  const ports = inputs.map(({ port }) => demultiplexerFor(lab, port) ?? requirePort(lab, port));
  const queueFaults = new QueueFaults(lab);
  const account = new PathAccount(engine, new LabKnowledge(lab), queueFaults);
  const wireFaults = new WireFaults(lab);
  const readers: CaptureReader[] = [];
  try {
    for (const { value } of inputs) readers.push(await openCapture(value, engine.memory));
    const entries = readers.map((reader, index) => ({
      port: ports[index]!,
      reader: numbered(engine.memory, reader, index),
    }));
    const arrivals = account.watch(wireFaults.watch(arrivalsOf(engine.memory, entries, FULL_BURST)));
    await drive({ engine, arrivals, departures: [wireFaults, account] });
    const elapsedMs = Math.round(performance.now() - started);
    const faults = [...wireFaults.found(), ...queueFaults.found()].sort((a, b) => b.packets - a.packets);
    const result: Result = { lab, inputs, ports, readers, account, faults, elapsedMs };
    if (options.json) printJson(toJson(result));
    else for (const line of report(result, options.top)) out(line);
    const damaged = readers.flatMap(({ damage }) => (damage ? [`hnv: ${damage.message}`] : []));
    if (damaged.length > 0) throw new CliError(1, damaged);
  } finally {
    for (const reader of readers) await reader.close();
  }
}

/** The reader, with the number of the input in each row's SOURCE and that of the packet, from 1, in its TAG. */
function numbered(memory: Memory & Engine["memory"], reader: CaptureReader, input: number): Arrival["reader"] {
  let packets = 0;
  return {
    fill(rows, firstRow, rowsMax, bytesMax) {
      const count = reader.fill(rows, firstRow, rowsMax, bytesMax);
      for (let index = firstRow; index < firstRow + count; index++) {
        memory.setU32(rows + index * ROW_SIZE + ROW.SOURCE, input);
        memory.setU32(rows + index * ROW_SIZE + ROW.TAG, ++packets);
      }
      return count;
    },
    more: () => reader.more(),
  };
}

interface Result {
  readonly lab: Lab;
  readonly inputs: readonly PortValue[];
  readonly ports: readonly Arrival["port"][];
  readonly readers: readonly CaptureReader[];
  readonly account: PathAccount;
  readonly faults: readonly OffloadFault[];
  readonly elapsedMs: number;
}

/** All drops for one reason, whatever path led there. */
interface DropGroup {
  readonly reason: Path["end"]["reason"];
  packets: number;
  bytes: number;
  /** Packets whose cause is not told apart. */
  uncounted: number;
  readonly causes: Drop[];
}

function dropGroups(paths: readonly Path[]): DropGroup[] {
  const groups = new Map<number, DropGroup>();
  for (const path of paths) {
    if (path.end.verdict !== "dropped") continue;
    const { reason, port } = path.end;
    const group = groups.get(reason) ?? { reason, packets: 0, bytes: 0, uncounted: 0, causes: [] };
    groups.set(reason, group);
    group.packets += path.packets;
    group.bytes += path.bytes;
    group.uncounted += path.uncounted;
    for (const cause of path.causes.values()) group.causes.push({ path, reason, port, cause });
  }
  for (const { causes } of groups.values()) causes.sort((a, b) => b.cause.packets - a.cause.packets);
  return byPackets([...groups.values()]);
}

/** What was dropped besides the packets of the capture: copies and pieces of them, answers, and what nodes sent by themselves. */
function furtherDropGroups(
  { lab: { engine }, account }: Pick<Result, "lab" | "account">,
  own: readonly DropGroup[],
): DropGroup[] {
  const left = new Map<Path["end"]["reason"], number>();
  for (const { reason, count } of engineResult(engine, countersOf(engine)).drops)
    left.set(Reason[reason], (left.get(Reason[reason]) ?? 0) + count);
  for (const { reason, packets } of own) left.set(reason, (left.get(reason) ?? 0) - packets);
  const further = account.furtherDrops();
  const groups = [...left].map(([reason, packets]) => {
    const causes = further.filter((drop) => drop.reason === reason);
    const counted = causes.reduce((sum, { cause }) => sum + cause.packets, 0);
    const bytes = causes.reduce((sum, { cause }) => sum + cause.bytes, 0);
    return { reason, packets, bytes, uncounted: packets - counted, causes };
  });
  return byPackets(groups.filter(({ packets }) => packets > 0));
}

const byPackets = (groups: readonly DropGroup[]): DropGroup[] => [...groups].sort((a, b) => b.packets - a.packets);

/** The note of the layer that dropped the witness, or what came of it; of several the one that knows a nearest record. */
function lastWord(account: PathAccount, drop: Drop): TraceNote | undefined {
  const isPlace = (step: Path["steps"][number]): boolean => reasonOf(step) === drop.reason && step.port === drop.port;
  const now = account.wayOf(drop).find(isPlace);
  // The lab may have become another since; of the path's own witness it is known what was said then.
  const { path, cause } = drop;
  const notes = (now ?? (cause.witness === path.witness ? path.steps.find(isPlace) : undefined))?.notes ?? [];
  const last = notes.at(-1);
  return notes.find(({ layer, nearest }) => nearest && layer === last?.layer) ?? last;
}

// JSON.

function toJson({ lab, inputs, ports, readers, account, faults, elapsedMs }: Result): unknown {
  const paths = account.paths();
  const groups = dropGroups(paths);
  const name = (port: Path["port"]): string => lab.engine.ports[port]!.name;
  const witness = ({ input, packet }: Witness) => ({ port: inputs[input]!.port, file: inputs[input]!.value, packet });
  const reason = (path: Path["end"]["reason"]) => ({
    reason: path === 0 ? null : reasonName(path),
    windowsReason: windowsReason(path),
    windowsNumber: windowsNumber(path),
  });
  const dropped = (group: DropGroup) => ({
    ...reason(group.reason),
    text: reasonText(group.reason),
    packets: group.packets,
    bytes: group.bytes,
    otherCauses: group.uncounted,
    causes: group.causes.map((drop, index) => {
      const { path, port, cause } = drop;
      const last = index < NOTED_CAUSES_MAX ? lastWord(account, drop) : undefined;
      return {
        packets: cause.packets,
        bytes: cause.bytes,
        from: name(path.port),
        at: name(port),
        witness: witness(cause.witness),
        layer: last?.layer ?? null,
        saw: last?.saw ?? null,
        decided: last?.decided ?? null,
        nearest: last?.nearest ? { record: plain(last.nearest.record), differs: last.nearest.differs } : null,
        cures: cause.cures,
      };
    }),
  });
  return {
    schemaVersion: SCHEMA_VERSION,
    inputs: inputs.map(({ port, value }, index) => ({
      port,
      file: value,
      frames: readers[index]!.frameCount,
      damage: readers[index]!.damage?.message ?? null,
      ...(ports[index] instanceof HostDemultiplexer
        ? { ports: ports[index].placed(), leftOut: ports[index].leftOut() }
        : {}),
    })),
    totals: lab.engine.totals(),
    paths: paths.map((path) => ({
      packets: path.packets,
      bytes: path.bytes,
      flows: path.flows,
      from: name(path.port),
      end: path.end.verdict,
      at: name(path.end.port),
      ...reason(path.end.reason),
      witness: witness(path.witness),
      nodes: path.steps.map((step) => ({
        node: step.node,
        port: name(step.port),
        layers: step.notes.map(({ layer, saw, decided }) => ({ layer, saw, decided })),
        verdict: step.decision.verdict.kind,
        outputs: step.outputs.map(({ port }) => name(port)),
        answers: step.answers.map(({ port }) => name(port)),
      })),
    })),
    drops: groups.map(dropped),
    findings: faults.map((fault) => ({
      ...fault,
      witness: {
        port: inputs[fault.witness.input]!.port,
        file: inputs[fault.witness.input]!.value,
        packet: fault.witness.packet,
      },
    })),
    furtherDrops: furtherDropGroups({ lab, account }, groups).map(dropped),
    tracedFlows: account.traced,
    elapsedMs,
  };
}

// Text.

function report(result: Result, top: number): string[] {
  const { lab, inputs, readers, account, elapsedMs } = result;
  const paint = painter();
  const lines = inputs.map(
    ({ port, value }, index) => `read ${countOf(readers[index]!.frameCount, "frame")} from ${value} into ${port}`,
  );
  for (const port of result.ports) {
    if (!(port instanceof HostDemultiplexer)) continue;
    for (const { why, frames, first } of port.leftOut())
      lines.push(`left out ${countOf(frames, "frame")}: ${why}, such as frame ${formatNumber(first)}`);
  }
  const paths = account.paths();
  lines.push("", paint("bold", countOf(paths.length, "path")));
  for (const path of paths.slice(0, top)) lines.push(...pathLines(result, path));
  if (paths.length > top) lines.push(paint("dim", `  and ${countOf(paths.length - top, "path")} more (--top)`));
  const groups = dropGroups(paths);
  for (const group of groups) lines.push("", ...dropLines(result, group, top, PACKETS));
  for (const group of furtherDropGroups(result, groups)) lines.push("", ...dropLines(result, group, top, FURTHER));
  for (const fault of result.faults) lines.push("", ...faultLines(result, fault));
  const { totals } = countersOf(lab.engine);
  lines.push("", conservationLine(totals));
  const rate = elapsedMs > 1000 ? `, ${countOf(Math.round(totals.in / (elapsedMs / 1000)), "frame")}/s` : "";
  lines.push(paint("dim", `done in ${formatSeconds(elapsedMs)}, ${countOf(account.traced, "flow")} traced${rate}`));
  return lines;
}

/** What is wrong with packets that nobody drops for it. */
const faultLines = (result: Result, { code, sender, packets, witness, text, cure }: OffloadFault): string[] => [
  painter()("bold", `found ${code}, ${countOf(packets, "packet")} from ${sender}`),
  `  such as ${witnessText(result, witness)}: ${text}`,
  `    cure     ${cure}`,
];

/** One of what is counted, and several. */
type Words = readonly [one: string, several: string];
const PACKETS: Words = ["packet", "packets"];
const FURTHER: Words = ["copy or frame of the nodes' own", "copies or frames of the nodes' own"];

const amount = (
  { packets, bytes }: { readonly packets: number; readonly bytes: number },
  words: Words = PACKETS,
): string => `${countOf(packets, ...words)}, ${countOf(bytes, "byte")}`;

const witnessText = ({ inputs }: Result, { input, packet }: Pick<Witness, "input" | "packet">): string =>
  inputs.length === 1 ? `packet ${formatNumber(packet)}` : `packet ${formatNumber(packet)} of ${inputs[input]!.value}`;

/** `12 packets, 1,234 bytes: host1/Blue1 > host1 > provider > host2 > host2/Blue2, such as packet 1`, and the layers. */
function pathLines(result: Result, path: Path): string[] {
  const { engine } = result.lab;
  const paint = painter();
  const { verdict, port, reason } = path.end;
  const nodes = path.steps.map(({ node }) => node).join(" > ");
  const at = engine.ports[port]!.name;
  const end =
    verdict === "delivered"
      ? `${paint("green", "delivered")} at ${at}`
      : verdict === "dropped"
        ? `${paint("red", "dropped")} at ${at}: ${reasonName(reason)}`
        : `${paint("yellow", verdict)} at ${at}`;
  const way = nodes === "" ? "" : ` through ${nodes}`;
  const head = `  ${amount(path)} in ${countOf(path.flows, "flow")}, such as ${witnessText(result, path.witness)}`;
  const lines = [head, `    ${engine.ports[path.port]!.name}${way}, ${end}`];
  for (const step of path.steps) {
    lines.push(paint("dim", `      ${step.node}: ${step.layers.join(", ")}`));
    lines.push(...doneBy(engine, step).map((text) => `        ${text}`));
  }
  return lines;
}

/** What a node did besides sending the packet on: copies, answers, or why it took the packet. */
function doneBy(engine: Engine, { outputs, answers, decision, notes }: Path["steps"][number]): string[] {
  const at = (ports: Path["steps"][number]["outputs"]): string =>
    ports.map(({ port }) => engine.ports[port]!.name).join(", ");
  const done = decision.verdict.kind === "consume" ? [`took it: ${notes.at(-1)?.decided ?? ""}`] : [];
  if (outputs.length > 1) done.push(`${outputs.length} copies: ${at(outputs)}`);
  if (answers.length > 0) done.push(`${countOf(answers.length, "answer")}: ${at(answers)}`);
  return done;
}

function dropLines(result: Result, group: DropGroup, top: number, words: Words): string[] {
  const paint = painter();
  const name = windowsReason(group.reason);
  const windows = name === null ? "" : ` (Windows: ${name} ${windowsNumber(group.reason)})`;
  const lines = [
    `${paint("red", `dropped ${reasonName(group.reason)}`)}${windows}: ${amount(group, words)}`,
    `  ${reasonText(group.reason)}`,
  ];
  for (const drop of group.causes.slice(0, top)) {
    const { port, cause } = drop;
    const at = result.lab.engine.ports[port]!.name;
    lines.push(
      `  ${amount(cause, words)} at ${at}, ${words === FURTHER ? "because of" : "such as"} ${witnessText(result, cause.witness)}`,
    );
    const last = lastWord(result.account, drop);
    if (last) lines.push(`    saw      ${last.saw}`, `    decided  ${last.decided}`);
    if (last?.nearest) {
      const { record, differs } = last.nearest;
      lines.push(`    nearest  ${oneLine(record)}`, `             differs in ${differs}`);
    }
    for (const cure of cause.cures) lines.push(...cureLines(cure));
  }
  const more = group.causes.length - top;
  if (more > 0) lines.push(paint("dim", `  and ${countOf(more, "cause")} more (--top)`));
  if (group.uncounted > 0) lines.push(`  ${countOf(group.uncounted, ...words)} for causes that are not told apart`);
  return lines;
}

const cureLines = ({ command, text }: Cure): string[] =>
  command === null ? [`    cure     ${text}`] : [`    cure     ${command}`, `             (${text})`];
