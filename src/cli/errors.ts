/**
 * How commands end early: with lines for people and an exit status. 1: the work failed; 2: it could not begin, because of how the
 * program was called or what it was given.
 */
import { CaptureError, type CaptureErrorCode, LiveError } from "../io/index.js";

export type ExitStatus = 0 | 1 | 2;

/** Ends the command with these lines on standard error. */
export class CliError extends Error {
  override readonly name = "CliError";
  constructor(
    readonly exitStatus: ExitStatus,
    readonly lines: readonly string[],
  ) {
    super(lines.join("\n"));
  }
}

/** Wrong usage or invalid input. */
export const usageError = (message: string): CliError => new CliError(2, [`hnv: ${message}`]);
/** The work began, or could have, and failed. */
export const failure = (message: string): CliError => new CliError(1, [`hnv: ${message}`]);

/** Captures that are refused as they are; everything else that can be wrong with one is a failure on the way. */
const REFUSED: ReadonlySet<CaptureErrorCode> = new Set([
  "CAPTURE_DIRECTORY",
  "CAPTURE_TERMINAL",
  "CAPTURE_UNKNOWN_FORMAT",
  "CAPTURE_VERSION",
  "CAPTURE_LINK_TYPE",
  "CAPTURE_FCS",
  "CAPTURE_COMPRESSION",
  "CAPTURE_FORMAT",
]);

/** What a thrown error says to people. Errors that nobody foresaw are defects, and show where they come from. */
export function explainError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (error instanceof CaptureError) {
    return new CliError(REFUSED.has(error.code) ? 2 : 1, [`hnv: ${error.message}`]);
  }
  if (error instanceof LiveError) return new CliError(error.code === "LIVE_URI" ? 2 : 1, [`hnv: ${error.message}`]);
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new CliError(1, [`hnv: internal error, please report it: ${trace}`]);
}
