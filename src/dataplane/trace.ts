/**
 * The way of one frame through all nodes, with every layer's reasons and the bytes before and after each node.
 *
 * The decisions are those of the evaluation that forwards, asked with an observer; the bytes are made by the plain
 * interpreter. Nothing is counted and nothing is cached.
 */
import { Reason } from "./drop-reasons.js";
import type { Engine } from "./engine.js";
import { HOPS_MAX } from "./packet/layout.js";
import type { LayerNote, Observer } from "./slowpath/layer.js";
import { apply } from "./transposition/apply.js";
import type { Decision, PortIndex } from "./transposition/transposition.js";

export interface TraceNote extends LayerNote {
  readonly layer: string;
}

/** One node's part of the way. */
export interface TraceStep {
  readonly node: string;
  /** Where the frame entered the node. */
  readonly port: PortIndex;
  readonly before: Uint8Array;
  /** The layers that looked at the frame, in order. */
  readonly layers: readonly string[];
  /** What they said. */
  readonly notes: readonly TraceNote[];
  readonly decision: Decision;
  readonly outputs: readonly TraceOutput[];
  /** What responders of the node send because of the frame. */
  readonly answers: readonly TraceOutput[];
  /** What goes on as if it had entered the node, such as the pieces of the frame. */
  readonly pieces: readonly { readonly port: PortIndex; readonly frame: Uint8Array }[];
  /** Set when the transposition itself refused the frame. */
  readonly refused: Reason;
}

export interface TraceOutput {
  readonly port: PortIndex;
  readonly after: Uint8Array;
  /** Where the link leads; null where the lab ends. */
  readonly peer: PortIndex | null;
}

/** How much a trace tells: with `layers`, no notes, whose search for the nearest record may walk whole tables. */
export type TraceDetail = "notes" | "layers";

/**
 * Steps in the order in which nodes are reached; replicated frames, and answers, are followed one after the other. Limits that count
 * packets are taken to have room, unless `withinLimits` is false.
 */
export function trace(
  engine: Engine,
  port: PortIndex,
  frame: Uint8Array,
  nowMs = 0,
  detail: TraceDetail = "notes",
  withinLimits = true,
): TraceStep[] {
  const steps: TraceStep[] = [];
  const waiting: { port: PortIndex; frame: Uint8Array; hops: number }[] = [{ port, frame, hops: 0 }];
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const step = traceNode(engine, next.port, next.frame, nowMs, detail, withinLimits);
    steps.push(step);
    if (next.hops === HOPS_MAX) break;
    const hops = next.hops + 1;
    for (const { peer, after } of [...step.outputs, ...step.answers]) {
      if (peer !== null) waiting.push({ port: peer, frame: after, hops });
    }
    for (const { port: at, frame: piece } of step.pieces) waiting.push({ port: at, frame: piece, hops });
  }
  return steps;
}

function traceNode(
  engine: Engine,
  port: PortIndex,
  frame: Uint8Array,
  nowMs: number,
  detail: TraceDetail,
  withinLimits: boolean,
): TraceStep {
  const layers: string[] = [];
  const notes: TraceNote[] = [];
  const observe = (layer: string): Observer | null => {
    layers.push(layer);
    return detail === "notes" ? { note: (note) => notes.push({ layer, ...note }) } : null;
  };
  const decision = engine.decide(
    { bytes: frame, start: 0, end: frame.length, ingress: port },
    nowMs,
    observe,
    withinLimits,
  );
  const outputs: TraceOutput[] = [];
  let refused = Reason.NONE;
  if (decision.verdict.kind === "forward") {
    for (const forward of decision.verdict.outputs) {
      const after = apply(forward, frame, (node) => engine.identificationOf(node));
      if (typeof after === "number") refused = after;
      else outputs.push({ port: forward.output, after, peer: engine.peerOf(forward.output) });
    }
  }
  const emissions = decision.emissions ?? [];
  const answers = emissions
    .filter(({ direction }) => direction === "out")
    .map(({ port: output, frame: after }) => ({ port: output, after, peer: engine.peerOf(output) }));
  const pieces = emissions.filter(({ direction }) => direction === "in");
  const { name: node } = engine.nodes[engine.ports[port]!.node]!;
  return { node, port, before: frame, layers, notes, decision, outputs, answers, pieces, refused };
}
