/** Looks at the files of a command before any of them is opened, so that a slip of the pen destroys nothing. */
import { realpathSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { usageError } from "./errors.js";

/** Refuses inputs that are not there, outputs that have no place, and outputs that are inputs or name one file twice. */
export function checkFiles(inputs: readonly string[], outputs: readonly string[]): void {
  if (inputs.filter((file) => file === "-").length > 1) throw usageError("standard input (-) can be read only once");
  if (outputs.filter((file) => file === "-").length > 1)
    throw usageError("standard output (-) can take only one capture");
  for (const file of inputs) {
    if (file !== "-" && isMissing(file)) throw usageError(`${file}: no such file`);
  }
  for (const file of outputs) {
    if (file !== "-" && !lookAt(dirname(file))?.isDirectory()) {
      throw usageError(`${file}: there is no directory ${dirname(file)}`);
    }
  }
  const read = new Set(inputs.flatMap((file) => identityOf(file) ?? []));
  const written = new Set<string>();
  for (const file of outputs) {
    const identity = identityOf(file);
    if (identity === undefined) continue;
    if (read.has(identity)) throw usageError(`${file}: is both read and written; name another output`);
    if (read.has(identityOf(`${file}.partial`)!)) {
      throw usageError(`${file}: is written as ${file}.partial, which is an input; name another output`);
    }
    if (written.has(identity)) throw usageError(`${file}: is named as an output twice`);
    written.add(identity);
  }
}

/** What a path stands for; undefined where several users do no harm: standard streams, pipes, devices. */
function identityOf(file: string): string | undefined {
  if (file === "-") return undefined;
  const stats = lookAt(file);
  if (stats) return stats.isFile() ? `${stats.dev}:${stats.ino}` : undefined;
  const directory = resolve(dirname(file));
  return join(lookAt(directory) ? realpathSync(directory) : directory, basename(file));
}

/** Is there surely nothing? What we may not see is told of when it is opened. */
function isMissing(path: string): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
  }
}

/** Undefined if there is nothing, or nothing that we may see: opening it will tell. */
function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
