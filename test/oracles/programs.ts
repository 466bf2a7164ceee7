/**
 * Outside programs that tests lean on: are they here, and run one to its end.
 */
import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Debian keeps daemons where a plain user's PATH does not look. */
const EXTRA_PATH = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

export const searchPath = (): string => [process.env.PATH ?? "/usr/bin:/bin", ...EXTRA_PATH].join(delimiter);

/** Is there a program of this name on the search path? */
export const hasProgram = (name: string): boolean =>
  searchPath()
    .split(delimiter)
    .some((folder) => folder !== "" && existsSync(join(folder, name)));

/** The first of `names` that is not installed, or null when all are. */
export const firstMissing = (names: readonly string[]): string | null =>
  names.find((name) => !hasProgram(name)) ?? null;

/** Says once and loudly that a test is skipped, and why. */
export function warnSkipped(what: string, why: string): void {
  console.warn(`SKIPPED: ${what}: ${why}`);
}

/** Runs a program to its end and gives its standard output; rejects with its standard error when it fails. */
export function run(
  program: string,
  args: readonly string[],
  options: { readonly env?: Record<string, string>; readonly timeoutMs?: number } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      program,
      [...args],
      {
        env: { ...process.env, PATH: searchPath(), ...options.env },
        timeout: options.timeoutMs ?? 20_000,
        maxBuffer: 64 << 20,
      },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`${program} ${args.slice(0, 8).join(" ")}: ${stderr.trim() || error.message}`));
        else resolve(stdout);
      },
    );
  });
}

/** As `run`, for the questions that must be answered before tests are declared. Null when it fails. */
export function runSync(program: string, args: readonly string[]): string | null {
  const done = spawnSync(program, [...args], { encoding: "utf8", env: { ...process.env, PATH: searchPath() } });
  return done.status === 0 ? done.stdout : null;
}
