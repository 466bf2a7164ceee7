/** Where the checks of a fabric file put what they find: each problem once, at its place, in the order of the file. */
import { formatPath, type Path, type Problem } from "../problem.js";
import type { Source } from "./source.js";

/** A value of which any part may be missing: what is left of a document when its ill-formed parts are taken out. */
export type Loose<T> = T extends readonly (infer Item)[]
  ? readonly (Loose<Item> | undefined)[]
  : T extends object
    ? { readonly [Key in keyof T]?: Loose<T[Key]> | undefined }
    : T;

/** The items that are there, with their index. */
export function* each<T>(list: readonly (T | undefined)[] | undefined): Generator<[T, number]> {
  if (list === undefined) return;
  for (const [index, item] of list.entries()) if (item !== undefined) yield [item, index];
}

export class Report {
  private readonly found = new Map<string, Problem>();

  constructor(
    private readonly file: string,
    private readonly source: Source,
  ) {}

  /** A problem with the value at `path`, or, with `onKey`, with the field's being there. */
  add(path: Path, code: string, message: string, cure?: string, onKey = false): void {
    const at = onKey ? this.source.keyPosition(path) : this.source.position(path);
    this.put({
      file: this.file,
      ...at,
      path: formatPath(path),
      code,
      message,
      ...(cure === undefined ? {} : { cure }),
    });
  }

  /** One place, one problem: the first that was found there is the nearest to the cause. */
  put(problem: Problem): void {
    const key = `${problem.file}:${problem.line}:${problem.column}:${problem.code === "MISSING_FIELD" ? problem.path : ""}`;
    if (!this.found.has(key)) this.found.set(key, problem);
  }

  /**
   * Says of the second and every later user of a name, address or other key that it is taken. True if it was free.
   */
  claim(taken: Map<string, Path>, key: string, path: Path, code: string, message: string, cure?: string): boolean {
    const first = taken.get(key);
    if (first === undefined) {
      taken.set(key, path);
      return true;
    }
    this.add(path, code, `${message} (${formatPath(first)}, line ${this.lineOf(first)})`, cure);
    return false;
  }

  lineOf(path: Path): number {
    return this.source.position(path).line;
  }

  get isEmpty(): boolean {
    return this.found.size === 0;
  }

  problems(): Problem[] {
    return [...this.found.values()].sort((a, b) => a.line - b.line || a.column - b.column);
  }
}
