/** What became of generators' frames, for people. */
import type { CheckerReport } from "../../io/index.js";
import { countOf, formatNumber, painter, table } from "../terminal.js";

/**
 *     gen:sink checked 10,000 frames: 3 lost, 0 duplicated, 0 reordered, 0 late, 0 corrupted; 2 foreign
 *     latency in µs   min 12.1   mean 40.2   50 % 38.0   90 % 66.0   99 % 120.0   99.9 % 410.0   max 530.3
 */
export function checkerLines(uri: string, report: CheckerReport): string[] {
  const { frames, lost, duplicated, reordered, late, corrupted, foreign, latencyNs } = report;
  const counts = Object.entries({ lost, duplicated, reordered, late, corrupted });
  const text = counts.map(([name, count]) => `${formatNumber(count)} ${name}`).join(", ");
  const lines = ["", `${uri} checked ${countOf(frames, "frame")}: ${text}; ${formatNumber(foreign)} foreign`];
  if (latencyNs === null) return lines;
  const { min, mean, p50, p90, p99, p999, max } = latencyNs;
  const times = { min, mean, "50 %": p50, "90 %": p90, "99 %": p99, "99.9 %": p999, max };
  const [head, row] = table([
    ["latency", ...Object.keys(times)],
    ["µs", ...Object.values(times).map((ns) => Math.round(ns / 100) / 10)],
  ]);
  return [...lines, painter()("bold", head!), row!];
}
