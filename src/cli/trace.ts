/** `hnv trace`: the way of one packet through every layer of every node, with reasons and bytes. */
import type { Command } from "commander";
import {
  Reason,
  reasonName,
  reasonText,
  type TraceStep,
  trace as traceFrame,
  windowsNumber,
  windowsReason,
} from "../dataplane/index.js";
import { FRAME_LENGTH_MAX } from "../dataplane/packet/index.js";
import type { PortIndex, Verdict } from "../dataplane/transposition/index.js";
import { dissect, hexDump } from "../dataplane/wire/index.js";
import { readFrames } from "../io/index.js";
import type { Lab } from "../vswitch/index.js";
import { oneLine, plain } from "./describe.js";
import { usageError } from "./errors.js";
import { checkFiles } from "./files.js";
import { buildFlowFrame, parseFlow } from "./flow-frame.js";
import { openLab, requirePort } from "./lab-file.js";
import { SCHEMA_VERSION } from "./results.js";
import { out, painter, printJson } from "./terminal.js";

interface TraceOptions {
  readonly port: string;
  readonly hex?: string;
  readonly pcap?: string;
  readonly flow?: string;
  readonly json?: boolean;
}

export function addTraceCommand(program: Command): void {
  program
    .command("trace")
    .summary("explain what happens to one packet")
    .description("Follows one packet through every layer of every node, and tells what each saw, decided and why.")
    .argument("<lab>", "fabric file, - for standard input")
    .requiredOption("--port <PORT>", "where the packet enters, such as host1/Blue1")
    .option(
      "--hex <digits>",
      "the frame, from the Ethernet header on; white space and : - . between octets are skipped",
    )
    .option("--pcap <FILE:N>", "the N-th frame of a capture, counted from 1")
    .option("--flow <text>", "a frame of this flow, as the VM at the port would send it")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  hnv trace lab.yaml --port host1/Blue1 --flow 'udp 10.0.0.5:4000 > 10.0.1.9:53'
  hnv trace lab.yaml --port host1/Blue1 --flow 'tcp [fd00:10::5]:4000 > [fd00:10::7]:80'
  hnv trace lab.yaml --port host1/Blue1 --flow 'icmp 10.0.0.5 > 10.0.0.7' --json
  hnv trace lab.yaml --port host1/nic1 --pcap wire.pcap:17
  hnv trace lab.yaml --port host1/Blue1 --hex '060600000007 060600000005 0806 0001'

Nothing is sent or counted. Exit status: 0 whatever became of the packet, 1 a damaged capture, 2 wrong usage or a lab with
mistakes.`,
    )
    .action(trace);
}

/** The packet to follow. */
interface Packet {
  readonly frame: Uint8Array;
  readonly timestampNs: bigint;
  /** Where it comes from, for people. */
  readonly origin: string;
}

async function trace(labFile: string, options: TraceOptions): Promise<void> {
  const given = [options.hex, options.pcap, options.flow].filter((value) => value !== undefined);
  if (given.length !== 1) throw usageError("give exactly one of --hex, --pcap and --flow");
  const place = options.pcap === undefined ? undefined : parsePlace(options.pcap);
  checkFiles(place ? [labFile, place.file] : [labFile], []);
  const lab = openLab(labFile);
  const port = requirePort(lab, options.port);
  const packet = place ? await readFrame(place) : packetOf(lab, options);
  const steps = traceFrame(lab.engine, port, packet.frame, Number(packet.timestampNs / 1_000_000n));
  if (options.json) printJson(toJson(lab, options.port, packet, steps));
  else for (const line of report(lab, packet, steps)) out(line);
}

function packetOf(lab: Lab, { port, hex, flow }: TraceOptions): Packet {
  if (hex !== undefined) return { frame: parseHex(hex), timestampNs: 0n, origin: "--hex" };
  const { frame, note } = buildFlowFrame(lab, port, parseFlow(flow!));
  return { frame, timestampNs: 0n, origin: `${flow} (${note})` };
}

function parseHex(text: string): Uint8Array {
  const digits = text.replace(/^\s*0x/i, "").replace(/[\s:.-]+/g, "");
  if (!/^(?:[0-9a-f]{2})+$/i.test(digits)) throw usageError("--hex: expected whole octets of hexadecimal digits");
  const frame = Uint8Array.from(Buffer.from(digits, "hex"));
  if (frame.length > FRAME_LENGTH_MAX)
    throw usageError(`--hex: a frame has at most ${FRAME_LENGTH_MAX} octets, not ${frame.length}`);
  return frame;
}

/** A frame of a capture. */
interface FramePlace {
  readonly file: string;
  /** From 1. */
  readonly number: number;
}

function parsePlace(text: string): FramePlace {
  const [, file, digits] = /^(.+):(\d{1,15})$/s.exec(text) ?? [];
  const number = Number(digits);
  if (file === undefined || number < 1) throw usageError(`--pcap ${text}: expected FILE:N, with frames counted from 1`);
  return { file, number };
}

async function readFrame({ file, number }: FramePlace): Promise<Packet> {
  let count = 0;
  for await (const { data, originalLength, timestampNs } of readFrames(file)) {
    if (++count < number) continue;
    if (data.length < originalLength)
      throw usageError(`${file}: frame ${number} was cut to ${data.length} of ${originalLength} octets by the capture`);
    if (data.length > FRAME_LENGTH_MAX)
      throw usageError(`${file}: frame ${number} is longer than ${FRAME_LENGTH_MAX} octets`);
    return { frame: data, timestampNs, origin: `${file}, frame ${number}` };
  }
  throw usageError(`${file}: has ${count} frames; there is no frame ${number}`);
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

// JSON.

function toJson(lab: Lab, port: string, packet: Packet, steps: readonly TraceStep[]): unknown {
  return {
    schemaVersion: SCHEMA_VERSION,
    port,
    origin: packet.origin,
    frame: hexOf(packet.frame),
    steps: steps.flatMap((step) => stepsToJson(lab, step)),
    ends: steps.flatMap((step) => endsToJson(lab, step)),
  };
}

/** A step per layer. Bytes change when a node has decided, so `after` differs from `before` in its last step only. */
function stepsToJson({ engine }: Lab, step: TraceStep): unknown[] {
  const port = engine.ports[step.port]!.name;
  const before = hexOf(step.before);
  const outputToJson = ({ port: to, after, peer }: TraceStep["outputs"][number]) => ({
    port: engine.ports[to]!.name,
    peer: peer === null ? null : engine.ports[peer]!.name,
    after: hexOf(after),
  });
  const outputs = step.outputs.map(outputToJson);
  const answers = step.answers.map(outputToJson);
  const queue = step.decision.queue === undefined ? {} : { queue: step.decision.queue };
  const notes = step.notes.length > 0 ? step.notes : [UNREAD];
  return notes.map((note, index) => {
    const isLast = index === notes.length - 1;
    return {
      node: step.node,
      port,
      layer: note.layer,
      saw: note.saw,
      decision: note.decided,
      record: plain(note.record ?? null),
      nearest: note.nearest ? { record: plain(note.nearest.record), differs: note.nearest.differs } : null,
      before,
      after: isLast ? (outputs[0]?.after ?? null) : before,
      ...(isLast ? { verdict: verdictToJson(step), ...queue, outputs, answers } : {}),
    };
  });
}

/** A node refuses what holds no Ethernet header before any layer sees it. */
const UNREAD: TraceStep["notes"][number] = { layer: "parser", saw: "less than an Ethernet header", decided: "drop" };

function verdictToJson({ decision, refused }: TraceStep): unknown {
  const reason = refused !== Reason.NONE ? refused : reasonOf(decision.verdict);
  return { kind: refused !== Reason.NONE ? "drop" : decision.verdict.kind, ...reasonToJson(reason) };
}

const reasonToJson = (reason: Reason): object => ({
  reason: reason === Reason.NONE ? null : reasonName(reason),
  windowsReason: windowsReason(reason),
  windowsNumber: windowsNumber(reason),
});

const reasonOf = (verdict: Verdict): Reason => ("reason" in verdict ? verdict.reason : Reason.NONE);

/** Where the packet, its copies and the answers to it ended. */
const endsToJson = (lab: Lab, step: TraceStep): unknown[] => [
  ...endsOfPacket(lab, step),
  ...step.answers.filter(leavesLab).map(({ port }) => deliveredAt(lab, port)),
];

const leavesLab = ({ peer }: TraceStep["outputs"][number]): boolean => peer === null;
const deliveredAt = ({ engine }: Lab, port: PortIndex) => ({
  end: "delivered",
  port: engine.ports[port]!.name,
  reason: null,
});

function endsOfPacket(lab: Lab, step: TraceStep): unknown[] {
  const { engine } = lab;
  const here = engine.ports[step.port]!.name;
  if (step.refused !== Reason.NONE) return [{ end: "dropped", port: here, reason: reasonName(step.refused) }];
  const { verdict } = step.decision;
  if (verdict.kind !== "forward") {
    const reason = reasonOf(verdict);
    return [{ end: ENDS[verdict.kind], port: here, reason: reason === Reason.NONE ? null : reasonName(reason) }];
  }
  return step.outputs.filter(leavesLab).map(({ port }) => deliveredAt(lab, port));
}

const ENDS = { drop: "dropped", pass: "passed", consume: "consumed" } as const;

// Text.

function report(lab: Lab, packet: Packet, steps: readonly TraceStep[]): string[] {
  const lines = [`packet  ${packet.origin}, ${packet.frame.length} octets`];
  for (const step of steps) lines.push("", ...stepReport(lab, step));
  return lines;
}

function stepReport({ engine }: Lab, step: TraceStep): string[] {
  const paint = painter();
  const lines = [
    paint("bold", `${step.node}  enters at ${engine.ports[step.port]!.name}`),
    ...frameReport(step.before),
    "",
  ];
  for (const { layer, saw, decided, record, nearest } of step.notes) {
    lines.push(`  ${paint("bold", layer)}`, `    saw      ${saw}`, `    decided  ${decided}`);
    if (record !== undefined) lines.push(`    record   ${oneLine(record)}`);
    if (nearest) lines.push(`    nearest  ${oneLine(nearest.record)}`, `             differs in ${nearest.differs}`);
  }
  lines.push(...verdictReport(engine.ports, step), ...answersReport(engine.ports, step));
  return lines;
}

/** What became of the frame in this node, and what it looks like now. */
function verdictReport(ports: Lab["engine"]["ports"], step: TraceStep): string[] {
  const paint = painter();
  const { verdict } = step.decision;
  const reason = step.refused !== Reason.NONE ? step.refused : reasonOf(verdict);
  const why = reason === Reason.NONE ? "" : ` ${reasonName(reason)}${windowsText(reason)}: ${reasonText(reason)}`;
  if (step.refused !== Reason.NONE || verdict.kind === "drop") return ["", `  ${paint("red", "dropped")}${why}`];
  if (verdict.kind === "pass") return ["", `  ${paint("yellow", "passed on")}, not ours${why}`];
  if (verdict.kind === "consume") return ["", `  ${paint("green", "consumed")} by a responder${why}`];
  return step.outputs.flatMap(({ port, peer, after }) => {
    const onward = peer === null ? paint("green", "delivered") : `linked to ${ports[peer]!.name}`;
    return ["", `  leaves at ${ports[port]!.name}, ${onward}`, ...frameReport(after)];
  });
}

/** What the node sends of its own because of the frame. */
function answersReport(ports: Lab["engine"]["ports"], { answers }: TraceStep): string[] {
  return answers.flatMap(({ port, peer, after }) => {
    const onward = peer === null ? "" : `, linked to ${ports[peer]!.name}`;
    return ["", `  ${painter()("green", "answered")} at ${ports[port]!.name}${onward}`, ...frameReport(after)];
  });
}

function windowsText(reason: Reason): string {
  const name = windowsReason(reason);
  return name === null ? "" : ` (Windows: ${name} ${windowsNumber(reason)})`;
}

/** One line per header, then the octets. */
const frameReport = (frame: Uint8Array): string[] => [
  ...dissect(frame).map((line) => `    ${line}`),
  ...hexDump(frame).map((line) => `      ${painter()("dim", line)}`),
];
