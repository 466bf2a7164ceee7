/** The program: its commands, and how they end. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { explainError } from "./errors.js";
import { err } from "./terminal.js";

/** Runs one command line, without the program's name, and returns the exit status: 0 done, 1 failed, 2 wrong usage or invalid input. */
export async function main(args: readonly string[]): Promise<number> {
  endQuietlyWithReader();
  try {
    const program = await makeProgram(args);
    await program.parseAsync([...args], { from: "user" });
    return exitStatus;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const explained = explainError(error);
    for (const line of explained.lines) err(line);
    return explained.exitStatus;
  } finally {
    exitStatus = 0;
  }
}

let exitStatus = 0;
/** For results that are no errors and yet not 0: captures that differ, a lab with mistakes. */
const setExitStatus = (status: number): void => {
  exitStatus = status;
};

type AddCommand = (program: Command, setExitStatus: (status: number) => void) => void;

/** In the order of the help. Each is loaded when it is needed: reading fabric files takes libraries that `encap` can do without. */
const COMMANDS: Readonly<Record<string, () => Promise<AddCommand>>> = {
  run: async () => (await import("./run.js")).addRunCommand,
  encap: async () => (await import("./encap.js")).addEncapCommand,
  decap: async () => (await import("./decap.js")).addDecapCommand,
  trace: async () => (await import("./trace.js")).addTraceCommand,
  explain: async () => (await import("./explain.js")).addExplainCommand,
  compare: async () => (await import("./compare.js")).addCompareCommand,
  check: async () => (await import("./check.js")).addCheckCommand,
  mtu: async () => (await import("./mtu.js")).addMtuCommand,
  import: async () => (await import("./import.js")).addImportCommand,
  bench: async () => (await import("./bench.js")).addBenchCommand,
  ifaces: async () => (await import("./ifaces.js")).addIfacesCommand,
};

/** The program with the command that `args` begins with, or with all of them when they begin otherwise. */
export async function makeProgram(args: readonly string[]): Promise<Command> {
  const program = new Command("hnv")
    .description(
      "Emulates the data plane of Hyper-V Network Virtualization (NVGRE), packet by packet, on capture files.",
    )
    .version(packageVersion(), "-V, --version", "print the version")
    .helpCommand(false)
    .showHelpAfterError(false)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`hnv: ${oneLine(text)}\n`) })
    .addHelpText(
      "after",
      `
Examples:
  hnv run lab.yaml --in host1/Blue1=vm.pcap --out host1/nic1=wire.pcap
  hnv encap vm.pcap wire.pcap --vsid 5001 --pa-src 192.168.4.11 --pa-dst 192.168.4.22
  hnv trace lab.yaml --port host1/Blue1 --flow 'udp 10.0.0.5:4000 > 10.0.0.7:53'

Each command has its own --help. Ports are called node/port, such as host1/Blue1 or host1/nic1.`,
    );
  const named = args[0] !== undefined && Object.hasOwn(COMMANDS, args[0]) ? COMMANDS[args[0]] : undefined;
  for (const load of named ? [named] : Object.values(COMMANDS)) {
    const add = await load();
    add(program, setExitStatus);
  }
  return program;
}

/** commander's `error: …`, perhaps with a suggestion on a second line. */
const oneLine = (text: string): string =>
  text
    .trim()
    .replace(/^error: /, "")
    .replace(/\s*\n\s*/g, " ");

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return version;
}

/**
 * Whoever reads our text may stop reading: `hnv trace … | head`. Captures have errors of their own for that. What has to be given back
 * first, as interfaces have, is as with SIGTERM. Messages that nobody reads end nothing.
 */
function endQuietlyWithReader(): void {
  const ignoringClosed = (then: () => void) => (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    then();
  };
  if (process.stderr.listenerCount("error") === 0)
    process.stderr.on(
      "error",
      ignoringClosed(() => {}),
    );
  if (process.stdout.listenerCount("error") > 0) return;
  process.stdout.on(
    "error",
    ignoringClosed(() => {
      if (!process.emit("SIGTERM", "SIGTERM")) process.exit();
    }),
  );
}
