/**
 * A peer that is a process on one core: it prepares itself, describes its output in one line of JSON, and then runs for as many
 * seconds as it is told in a line, and answers how often. Between rounds it waits and leaves the core to others.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** The last core that this process may use, or null where processes cannot be bound to one. */
export function coreToUse() {
  if (spawnSync("taskset", ["--version"]).status !== 0) return null;
  const [, list] = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(/\d+$/.exec(list)[0]);
}

/**
 * Seconds for which a thread has run: steadier than wall clock where others use the core, too. Wall clock where the system does not
 * tell.
 */
export function threadSeconds(pid, thread = pid) {
  const file = `/proc/${pid}/task/${thread}/schedstat`;
  if (!existsSync(file)) return Number(process.hrtime.bigint()) / 1e9;
  return Number(readFileSync(file, "utf8").split(" ")[0]) / 1e9;
}

export class Program {
  #child;
  #lines;
  /** Its first line. */
  description;

  static async start(core, command, args) {
    const it = new Program();
    const line = core === null ? [command, ...args] : ["taskset", "--cpu-list", String(core), command, ...args];
    it.#child = spawn(line[0], line.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
    it.#lines = createInterface({ input: it.#child.stdout })[Symbol.asyncIterator]();
    it.description = await it.#answer();
    return it;
  }

  /** How often a second it did its work. */
  async round(seconds) {
    const before = threadSeconds(this.#child.pid);
    this.#child.stdin.write(`${seconds}\n`);
    const { count } = await this.#answer();
    return count / (threadSeconds(this.#child.pid) - before);
  }

  /** Lets it end; throws if it found fault with its own counters. */
  async stop() {
    this.#child.stdin.end();
    const [status] = this.#child.exitCode === null ? await once(this.#child, "exit") : [this.#child.exitCode];
    if (status !== 0) throw new Error(`${this.#child.spawnargs.join(" ")} ended with ${status}`);
  }

  async #answer() {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.#child.spawnargs.join(" ")} ended early`);
    return JSON.parse(value);
  }
}
