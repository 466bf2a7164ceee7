/** Collects findings: at most so many per code, sorted as in the file. */
import type { FabricDocument } from "../fabric-file/load.js";
import { type Finding, formatPath, type Path, type Severity } from "../problem.js";

/** Findings of one code that are told one by one. A lab of a million records may have one mistake a million times. */
const FINDINGS_PER_CODE_MAX = 100;

export class Findings {
  private readonly found: Finding[] = [];
  private readonly counts = new Map<string, { count: number; severity: Severity }>();

  constructor(private readonly document: FabricDocument) {}

  add(severity: Severity, code: string, path: Path, message: string, cure: string): void {
    const known = this.counts.get(code) ?? { count: 0, severity };
    known.count++;
    this.counts.set(code, known);
    if (known.count > FINDINGS_PER_CODE_MAX) return;
    this.found.push({ severity, code, path: formatPath(path), ...this.document.position(path), message, cure });
  }

  /** In the order of the file, then of the checks; what was too much comes last. */
  list(): readonly Finding[] {
    const sorted = [...this.found].sort((a, b) => a.line - b.line || a.column - b.column);
    for (const [code, { count, severity }] of this.counts) {
      const more = count - FINDINGS_PER_CODE_MAX;
      if (more <= 0) continue;
      const message = `${more} more findings ${code} are not listed`;
      sorted.push({ severity, code, path: "", line: 1, column: 1, message, cure: null });
    }
    return sorted;
  }
}
