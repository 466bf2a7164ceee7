/** Opens fabric files for commands: a lab, or one line per mistake. */
import { readFileSync, readSync } from "node:fs";
import { decodeText, type Loaded, loadFabricFile, type Problem } from "../control/index.js";
import type { EngineLimits } from "../dataplane/index.js";
import type { PortIndex } from "../dataplane/transposition/index.js";
import { kernelModule } from "../kernel-file.js";
import { type HostSettings, Lab, type LabOptions, type LabSettings } from "../vswitch/index.js";
import { CliError, usageError } from "./errors.js";

export type LoadedLab = Extract<Loaded, { readonly ok: true }>;

/** The text of a fabric file. */
export const readLabText = (path: string): string => readText(path, "a fabric file");

/** The text of a file, or of standard input; `what` it is meant to be is for the refusal. */
export function readText(path: string, what: string): string {
  try {
    return decodeText(path === "-" ? readStandardInput() : readFileSync(path));
  } catch (error) {
    throw usageError(`${path}: ${reasonOf(error, what)}`);
  }
}

const STANDARD_INPUT = 0;
const CHUNK_BYTES = 65_536;
const RETRY_MS = 5;

/** All of it, also where somebody has set it to non-blocking. */
function readStandardInput(): Buffer {
  const pieces: Buffer[] = [];
  for (;;) {
    const piece = Buffer.alloc(CHUNK_BYTES);
    try {
      const count = readSync(STANDARD_INPUT, piece);
      if (count === 0) return Buffer.concat(pieces);
      pieces.push(piece.subarray(0, count));
    } catch (error) {
      if (codeOf(error) !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);

function reasonOf(error: unknown, what: string): string {
  const code = codeOf(error);
  if (code === "ENOENT") return "no such file";
  if (code === "EISDIR") return `is a directory, not ${what}`;
  if (code === "EACCES") return "permission denied";
  if (code === "ERR_FS_FILE_TOO_LARGE" || code === "ERR_STRING_TOO_LONG") return `is too large for ${what}`;
  return error instanceof Error ? error.message : String(error);
}

/** A fabric file without mistakes; all of them at once otherwise. */
export const loadLabFile = (path: string): LoadedLab => loadLabText(readLabText(path), path);

/** As `loadLabFile`, of the file's text. */
export function loadLabText(text: string, path: string): LoadedLab {
  const loaded = loadFabricFile(text, path);
  if (!loaded.ok) throw new CliError(2, loaded.problems.map(problemLine));
  return loaded;
}

export const problemLine = ({ file, line, column, message, cure }: Problem): string =>
  `${file}:${line}:${column}: ${message}${cure === undefined ? "" : ` (${cure})`}`;

/** A lab, ready to run. */
export const openLab = (path: string): Lab => makeLab(readLabText(path), path);

/** What a command adds to a lab. */
export interface LabChoices extends EngineLimits {
  /** MTUs that NICs have in fact, by port name. */
  readonly mtus?: Readonly<Record<string, number>>;
  /** Hosts that look for their neighbors on a wire, unless the lab says otherwise. */
  readonly onWire?: readonly string[];
}

/** Who hears of a lab. */
export type LabWatch = Pick<LabOptions, "onEvent" | "companions">;

/** A lab of the text of a fabric file, ready to run. */
export const makeLab = (text: string, path: string, choices: LabChoices = {}, watch: LabWatch = {}): Lab =>
  buildLab(loadLabText(text, path).lab, choices, watch);

/** A lab of settings that were read, ready to run. */
export function buildLab(
  settings: LabSettings,
  { mtus = {}, onWire = [], ...limits }: LabChoices = {},
  watch: LabWatch = {},
): Lab {
  const hosts = settings.hosts.map((host) => {
    const nics = host.nics.map((nic) => ({ ...nic, mtu: mtus[`${host.name}/${nic.name}`] ?? nic.mtu }));
    return { ...(onWire.includes(host.name) ? withWire(host) : host), nics };
  });
  return new Lab({ ...settings, hosts }, { kernel: kernelModule(), ...watch, ...limits });
}

const withWire = (host: HostSettings): HostSettings =>
  host.neighborsOnWire === null
    ? host
    : { ...host, nve: { ...host.nve, resolve: "wire" }, neighbors: host.neighborsOnWire };

const PORTS_SHOWN = 12;

/** The port with this name, or a refusal that shows which ones there are. */
export function requirePort(lab: Lab, name: string): PortIndex {
  const port = lab.port(name);
  if (port !== undefined) return port;
  const names = lab.portNames;
  const more = names.length > PORTS_SHOWN ? ` and ${names.length - PORTS_SHOWN} more` : "";
  throw usageError(`the lab has no port ${name}; it has ${names.slice(0, PORTS_SHOWN).join(", ")}${more}`);
}
