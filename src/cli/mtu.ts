/** `hnv mtu`: what the provider path leaves for the guests. */
import { type Command, Option } from "commander";
import { type ModeCost, type MtuTable, modeCosts, mtuTable, type PathHop, pathMtu } from "../control/index.js";
import { type AddressFamily, formatAddress } from "../dataplane/wire/index.js";
import { failure, usageError } from "./errors.js";
import { loadLabFile } from "./lab-file.js";
import { integer } from "./options.js";
import { SCHEMA_VERSION } from "./results.js";
import { out, painter, printJson, table } from "./terminal.js";

interface MtuOptions {
  readonly from?: string;
  readonly to?: string;
  readonly pathMtu?: number;
  readonly outer?: "4" | "6";
  readonly json?: boolean;
}

const MTU_MIN = 68;
const MTU_MAX = 65_535;
/** For what the path has no room for. */
const IMPOSSIBLE = "-";

export function addMtuCommand(program: Command): void {
  program
    .command("mtu")
    .summary("work out the MTU of guests")
    .description("Works out what NVGRE leaves of a provider path, for two ports of a lab or for a given path MTU.")
    .argument("[lab]", "fabric file, - for standard input")
    .option("--from <PORT>", "with a lab: the sending VM's port")
    .option("--to <PORT>", "with a lab: the receiving VM's port")
    .option("--path-mtu <N>", "without a lab: IP MTU of the provider path", integer(MTU_MIN, MTU_MAX))
    .addOption(new Option("--outer <family>", "without a lab: outer IP version (default: 4)").choices(["4", "6"]))
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  hnv mtu lab.yaml --from host1/Blue1 --to host2/Blue2
  hnv mtu --path-mtu 1500
  hnv mtu --path-mtu 1600 --outer 6 --json

Lengths are in bytes. Where guests' packets do not fit, each way of getting them over is shown with its cost. Exit status: 0 done, 1 there is no path between the ports, 2 wrong usage or a lab with mistakes.`,
    )
    .action(mtu);
}

function mtu(labFile: string | undefined, options: MtuOptions): void {
  if (labFile === undefined) {
    if (options.pathMtu === undefined || options.from !== undefined || options.to !== undefined) {
      throw usageError("give either a lab with --from and --to, or --path-mtu");
    }
    const family: AddressFamily = options.outer === "6" ? 6 : 4;
    print(mtuTable(options.pathMtu, family), null, options.json === true);
    return;
  }
  const { from, to } = options;
  if (from === undefined || to === undefined) throw usageError("with a lab, give --from and --to");
  if (options.pathMtu !== undefined || options.outer !== undefined) {
    throw usageError("--path-mtu and --outer are for use without a lab, which has its own");
  }
  const { lab } = loadLabFile(labFile);
  const path = pathMtu(lab, from, to);
  if (path.kind === "none") throw path.code === "UNKNOWN_PORT" ? usageError(path.message) : failure(path.message);
  if (path.kind === "local") {
    printLocal(from, to, options.json === true);
    return;
  }
  const { source, destination, hops } = path;
  const route = {
    from,
    to,
    source: formatAddress(source),
    destination: formatAddress(destination),
    tagged: path.tagged,
    hops,
  };
  if (path.kind === "rewritten") printRewritten(path.mtu, route, options.json === true);
  else print(mtuTable(path.mtu, path.outerFamily, path.guestMtu), route, options.json === true);
}

interface Route {
  readonly from: string;
  readonly to: string;
  readonly source: string;
  readonly destination: string;
  readonly tagged: boolean;
  readonly hops: readonly PathHop[];
}

function printLocal(from: string, to: string, isJson: boolean): void {
  if (isJson) printJson({ schemaVersion: SCHEMA_VERSION, kind: "local", from, to });
  else out(`${from} and ${to} are on one host: nothing is encapsulated, so no provider MTU applies.`);
}

function printRewritten(mtu: number, route: Route, isJson: boolean): void {
  if (isJson) {
    printJson({ schemaVersion: SCHEMA_VERSION, kind: "rewritten", ...route, pathMtu: mtu, innerIpMtu: mtu });
    return;
  }
  printRoute(route);
  out(`IP Rewrite adds nothing: guests may have an MTU of ${mtu}.`);
}

function printRoute({ from, to, source, destination, hops }: Route): void {
  out(`${from} to ${to}, by way of ${source} to ${destination}`);
  for (const line of table(hops.map(({ where, mtu }) => ["", where, mtu]))) out(line);
  out("");
}

function print(figures: MtuTable, route: Route | null, isJson: boolean): void {
  const modes = modeCosts({ ...figures, tagged: route?.tagged ?? false });
  if (isJson) {
    printJson({ schemaVersion: SCHEMA_VERSION, kind: "provider", ...route, ...figures, modes });
    return;
  }
  if (route) printRoute(route);
  const rows = [
    [`provider path MTU, outer IPv${figures.outerFamily}`, figures.pathMtu],
    ["MTU of the guests (inner IP packet)", figures.innerIpMtu],
    ["inner Ethernet frame", figures.innerFrame],
    ["TCP segment, inner IPv4", figures.mssIpv4 ?? IMPOSSIBLE],
    ["TCP segment, inner IPv6", figures.mssIpv6 ?? IMPOSSIBLE],
    ["frame on the wire", figures.wireFrame],
    ["frame on the wire, VLAN-tagged", figures.wireFrameTagged],
    ["frame on the wire, VLAN-tagged, with FCS", figures.wireFrameTaggedWithFcs],
  ] as const;
  for (const line of table(rows)) out(line);
  const { guestMtu, missingForGuests, pathMtuForGuests } = figures;
  const verdict =
    missingForGuests === 0
      ? painter()("green", `guests can keep their MTU of ${guestMtu}`)
      : painter()(
          "yellow",
          `for guests with an MTU of ${guestMtu} the path needs ${pathMtuForGuests}, ${missingForGuests} more`,
        );
  out(verdict);
  for (const line of modeLines(modes, guestMtu)) out(line);
}

/** What each way costs to get packets of that length over. */
function modeLines(modes: readonly ModeCost[], guestMtu: number): readonly string[] {
  if (modes.length === 0) return [];
  const rows = modes.map(({ mode, how, packets, bytes, extraPercent }) => [
    mode,
    packets?.toFixed(2) ?? IMPOSSIBLE,
    bytes?.toFixed(0) ?? IMPOSSIBLE,
    extraPercent === null ? IMPOSSIBLE : `${extraPercent.toFixed(1)} %`,
    how,
  ]);
  const head = ["for each of their packets", "packets", "bytes", "more", ""];
  return ["", painter()("bold", `an IPv4 packet of ${guestMtu} bytes over this path`), ...table([head, ...rows])];
}
