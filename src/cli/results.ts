/** What an engine has counted, as the JSON of `hnv run --json` and as text. The shapes are documented in docs/CLI.md. */
import {
  type Engine,
  type FlowCounters,
  type PortCounters,
  Reason,
  type ReasonCount,
  type ReasonName,
  reasonName,
  reasonText,
  type Totals,
  windowsNumber,
  windowsReason,
} from "../dataplane/index.js";
import type { ControlCounters, LearningCounters, MembershipCounters } from "../dataplane/slowpath/index.js";
import type { PortIndex } from "../dataplane/transposition/index.js";
import type { Lab } from "../vswitch/index.js";
import { countOf, formatNumber, painter, table } from "./terminal.js";

/** Of every JSON result. Grows when a field changes its meaning or goes; new fields do not count. */
export const SCHEMA_VERSION = 1;

export interface ReasonResult {
  readonly node: string;
  readonly port: string;
  readonly reason: ReasonName;
  readonly windowsReason: string | null;
  readonly windowsNumber: number | null;
  readonly count: number;
}

export interface EngineResult {
  readonly ports: Readonly<Record<string, PortCounters>>;
  readonly drops: readonly ReasonResult[];
  /** Reasons for which packets were passed on, not dropped. */
  readonly passed: readonly ReasonResult[];
  /** Reasons for which packets were taken: others were sent in their place, or something was learnt from them. */
  readonly consumed: readonly ReasonResult[];
  readonly totals: Totals;
  readonly flows: FlowCounters;
}

/** GRE that is not ours is left to other consumers. */
const PASS_REASONS: ReadonlySet<Reason> = new Set([Reason.RX_GRE_VERSION, Reason.RX_GRE_PROTO]);
/** Every reason that is in neither list is a drop. */
const CONSUME_REASONS: ReadonlySet<Reason> = new Set([
  Reason.RX_FRAGMENT_HELD,
  Reason.RX_PATH_MTU,
  Reason.TX_LENGTH_FILLED,
  Reason.TX_CHECKSUM_FINISHED,
  Reason.TX_MSS_CLAMPED,
  Reason.TX_OUTER_FRAGMENTED,
  Reason.TX_SEGMENTED,
  Reason.TX_INNER_FRAGMENTED,
  Reason.PROVIDER_FRAGMENTED,
  Reason.GATEWAY_FRAGMENTED,
  Reason.GATEWAY_PATH_MTU,
]);

/** All counters of an engine, or of several that did one work (`workers/counters.ts`), as plain data. */
export interface Counters {
  /** By port index. */
  readonly ports: readonly PortCounters[];
  readonly reasons: readonly ReasonCount[];
  readonly totals: Totals;
  readonly flows: FlowCounters;
}

export const countersOf = (engine: Engine): Counters => ({
  ports: engine.ports.map((_, port) => engine.portCounters(port as PortIndex)),
  reasons: engine.reasonCounts(),
  totals: engine.totals(),
  flows: engine.flowCounters(),
});

/** The names of what was counted come from the engine. */
export function engineResult(
  engine: Pick<Engine, "nodes" | "ports">,
  { ports, reasons, totals, flows }: Counters,
): EngineResult {
  const resultOf = ({ port, reason, count }: ReasonCount): ReasonResult => ({
    node: engine.nodes[engine.ports[port]!.node]!.name,
    port: engine.ports[port]!.name,
    reason: reasonName(reason),
    windowsReason: windowsReason(reason),
    windowsNumber: windowsNumber(reason),
    count,
  });
  return {
    ports: Object.fromEntries(engine.ports.map(({ name }, port) => [name, ports[port]!])),
    drops: reasons.filter(({ reason }) => !PASS_REASONS.has(reason) && !CONSUME_REASONS.has(reason)).map(resultOf),
    passed: reasons.filter(({ reason }) => PASS_REASONS.has(reason)).map(resultOf),
    consumed: reasons.filter(({ reason }) => CONSUME_REASONS.has(reason)).map(resultOf),
    totals,
    flows,
  };
}

/** Every frame that came in, and every one that was made here, has met one end. */
export const isConserved = ({ in: entered, copies, injected, delivered, dropped, passed, consumed }: Totals): boolean =>
  entered + copies + injected === delivered + dropped + passed + consumed;

/** `3 in = 2 delivered + 1 dropped + 0 passed + 0 consumed` */
export function conservationLine(totals: Totals): string {
  const { in: entered, copies, injected, delivered, dropped, passed, consumed } = totals;
  const made = copies > 0 ? ` + ${countOf(copies, "copy", "copies")}` : "";
  const answered = injected > 0 ? ` + ${formatNumber(injected)} injected` : "";
  const left = `${formatNumber(entered)} in${made}${answered}`;
  const parts = { delivered, dropped, passed, consumed };
  const right = Object.entries(parts).map(([name, count]) => `${formatNumber(count)} ${name}`);
  return `${left} ${isConserved(totals) ? "=" : "≠"} ${right.join(" + ")}`;
}

/** Per-port table, drops with their English text, conservation, flows. */
export function engineReport({ ports, drops, passed, consumed, totals, flows }: EngineResult): string[] {
  const paint = painter();
  const busy = Object.entries(ports).filter(([, { rx, tx }]) => rx.packets + tx.packets > 0);
  const idle = Object.keys(ports).length - busy.length;
  const lines: string[] = [];
  if (busy.length > 0) {
    const [head, ...rows] = table([
      ["port", "rx packets", "rx bytes", "tx packets", "tx bytes"],
      ...busy.map(([name, { rx, tx }]) => [name, rx.packets, rx.bytes, tx.packets, tx.bytes]),
    ]);
    lines.push(paint("bold", head!), ...rows);
  }
  for (const [name, { queues }] of busy) {
    if (queues) lines.push(`${name} by receive queue: ${queues.map(formatNumber).join(" ")}`);
  }
  if (idle > 0) lines.push(paint("dim", `${countOf(idle, "port")} without traffic`));
  lines.push(
    ...reasonLines("dropped", drops),
    ...reasonLines("passed on", passed),
    ...reasonLines("consumed", consumed),
  );
  lines.push("", conservationLine(totals), flowLine(flows));
  return lines;
}

/** The hosts that have sent or obeyed control messages. */
export const controlResults = (lab: Lab): Readonly<Record<string, ControlCounters>> =>
  Object.fromEntries(
    lab.settings.hosts
      .map(({ name }) => [name, lab.controlCounters(name)!] as const)
      .filter(([, counters]) => Object.values(counters).some((count) => count > 0)),
  );

/** A line for each of these. */
export const controlReport = (results: Readonly<Record<string, ControlCounters>>): string[] =>
  Object.entries(results).map(
    ([host, { sent, held, redirects }]) =>
      `${host}: ${countOf(sent, "control message")} sent, ${held} held back, ${countOf(redirects, "redirect")} obeyed`,
  );

/** A line for each host that is in provider groups. */
export const membershipReport = (memberships: Readonly<Record<string, MembershipCounters>>): string[] =>
  Object.entries(memberships).map(
    ([host, { groups, refused, sent, queries, held }]) =>
      `${host}: in ${countOf(groups, "provider group")}${refused > 0 ? ` (${refused} too many)` : ""}, ${countOf(sent, "message")} sent, ${countOf(queries, "query", "queries")} heeded, ${held} held back`,
  );

/** What each host has learnt, and what it was taught in vain. */
export function learningReport(learning: Readonly<Record<string, LearningCounters>>): string[] {
  const rows = Object.entries(learning).map(([host, { held, added, moved, deleted, refused }]) => {
    const why = Object.entries(refused).filter(([, count]) => count > 0);
    const vain = why.map(([name, count]) => `${formatNumber(count)} refused (${name})`);
    return [
      host,
      `${countOf(held, "address", "addresses")} learnt`,
      [`${added} added, ${moved} moved, ${deleted} deleted`, ...vain].join(", "),
    ];
  });
  return rows.length === 0 ? [] : ["", ...table(rows)];
}

function reasonLines(title: string, reasons: readonly ReasonResult[]): string[] {
  if (reasons.length === 0) return [];
  const rows = reasons.map(({ port, reason, count }) => [count, port, reason, reasonText(Reason[reason])]);
  return ["", painter()("bold", title), ...table(rows)];
}

const flowLine = ({ hits, misses, guarded, entries }: FlowCounters): string =>
  `flows: ${countOf(hits, "hit")}, ${countOf(misses, "miss", "misses")}, ${formatNumber(guarded)} guarded, ${countOf(entries, "entry", "entries")}`;
