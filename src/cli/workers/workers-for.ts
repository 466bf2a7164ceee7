/** How many workers a command gets. */
import { err } from "../terminal.js";

/**
 * As many as were asked for, or one if there is an obstacle; then it says so on standard error. The obstacle goes on after
 * "because".
 */
export function workersFor(wanted: number, obstacle: string | undefined): number {
  if (wanted === 1 || obstacle === undefined) return wanted;
  err(`hnv: one worker instead of ${wanted}, because ${obstacle}`);
  return 1;
}
