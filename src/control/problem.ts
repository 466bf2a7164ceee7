/**
 * What control says about a fabric file: problems, which keep a lab from being built, and findings, which do not.
 *
 * Both carry the place in the file, a stable code and, where one is known, the change that would cure them.
 */

/** A place in a document: the keys and list indexes that lead there. */
export type Path = readonly (string | number)[];

/** A mistake that makes the file unusable. Nothing is applied while there is one. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** `hosts[0].nics[1].mac`; empty for the whole file. */
  readonly path: string;
  readonly code: string;
  readonly message: string;
  readonly cure?: string;
}

export type Severity = "error" | "warning" | "info";

/** Something worth knowing about a lab that can be built. */
export interface Finding {
  readonly severity: Severity;
  readonly code: string;
  readonly path: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly cure: string | null;
}

/** `hosts[0].nics[1].mac` */
export function formatPath(path: Path): string {
  return path.reduce<string>(
    (text, step) => (typeof step === "number" ? `${text}[${step}]` : text === "" ? step : `${text}.${step}`),
    "",
  );
}
