/** Who can reach whom, for people and for programs. */
import type { Cure, DomainReach, Endpoint, FabricFile, Gap } from "../../control/index.js";
import { Reason, reasonName, reasonText, windowsNumber, windowsReason } from "../../dataplane/index.js";
import { formatAddress } from "../../dataplane/wire/index.js";
import { countOf, formatNumber, painter, table } from "../terminal.js";

type Domains = FabricFile["routingDomains"];

/** A wider matrix does not fit a terminal; the gaps are listed all the same. */
const MATRIX_MAX = 24;

/** The name of a routing domain; ids are compared without braces and case. */
function nameOf(id: string | null, domains: Domains): string | null {
  const bare = (text: string): string => text.replace(/[{}]/g, "").toUpperCase();
  return domains?.find((domain) => id !== null && bare(domain.id) === bare(id))?.name ?? null;
}

const endpointToJson = ({ port, vsid, address }: Endpoint) => ({ port, vsid, address: formatAddress(address) });

export function reachToJson(reach: DomainReach, domains: Domains): unknown {
  const { routingDomainID, family, addresses, endpoints, withoutAddress, pairs, reached, gaps } = reach;
  return {
    routingDomain: { id: routingDomainID, name: nameOf(routingDomainID, domains) },
    family,
    addresses,
    endpoints: endpoints.map(endpointToJson),
    withoutAddress,
    pairs,
    reached,
    gaps: gaps.map((gap) => ({
      reason: gap.reason === Reason.NONE ? null : reasonName(gap.reason),
      windowsReason: windowsReason(gap.reason),
      windowsNumber: windowsNumber(gap.reason),
      at: gap.at,
      decided: gap.decided,
      cures: gap.cures,
      pairs: gap.pairs,
    })),
  };
}

/** One line when all is well; else the matrix, a letter for each reason, and what the letters mean. */
export function reachReport(reach: DomainReach, domains: Domains): string[] {
  const { routingDomainID: id, family, addresses, endpoints, withoutAddress, pairs, reached, gaps } = reach;
  const paint = painter();
  const name = nameOf(id, domains) ?? id ?? "without routing domain";
  const head = `${name}, IPv${family}: ${countOf(addresses, "address", "addresses")}`;
  const leftOut = withoutAddress.length === 0 ? [] : [leftOutLine(withoutAddress)];
  if (addresses === 0) return [head, ...leftOut];
  if (endpoints.length === 0) return [`${head}, not tried: the lab is too large`, ...leftOut];
  const sample = endpoints.length < addresses ? ` (a sample of ${endpoints.length})` : "";
  const result = `${formatNumber(reached)} of ${countOf(pairs, "pair")} reached`;
  const lines = [`${head}${sample}, ${paint(gaps.length > 0 ? "yellow" : "green", result)}`];
  lines.push(...leftOut);
  if (gaps.length > 0 && endpoints.length <= MATRIX_MAX) lines.push(...matrix(endpoints, gaps));
  for (const [index, gap] of gaps.entries()) lines.push(...gapLines(endpoints, gap, letter(index)));
  return lines;
}

const LEFT_OUT_SHOWN = 5;

function leftOutLine(ports: readonly string[]): string {
  const more = ports.length > LEFT_OUT_SHOWN ? ", …" : "";
  const names = ports.slice(0, LEFT_OUT_SHOWN).join(", ");
  return `  ${countOf(ports.length, "adapter")} without an address left out: ${names}${more}`;
}

/** a … z, then aa, ab, … */
const letter = (index: number): string =>
  (index < 26 ? "" : letter(Math.floor(index / 26) - 1)) + String.fromCharCode(97 + (index % 26));

function matrix(endpoints: readonly Endpoint[], gaps: readonly Gap[]): string[] {
  const cells: string[][] = endpoints.map((from) => endpoints.map((to) => (from.port === to.port ? "-" : "ok")));
  for (const [index, { pairs }] of gaps.entries()) {
    for (const [from, to] of pairs) cells[from]![to] = letter(index);
  }
  const head = ["from", "", "", "to", ...endpoints.slice(1).map(() => "")];
  const numbers = ["", "", "", ...endpoints.map((_, index) => `${index + 1}`)];
  const rows = endpoints.map(({ port, address }, index) => [
    `${index + 1}`,
    port,
    formatAddress(address),
    ...cells[index]!,
  ]);
  return table([head, numbers, ...rows], "  ");
}

function gapLines(endpoints: readonly Endpoint[], { reason, at, decided, cures, pairs }: Gap, mark: string): string[] {
  const [from, to] = pairs[0]!;
  const example = `${formatAddress(endpoints[from]!.address)} to ${formatAddress(endpoints[to]!.address)}`;
  const what = reason === Reason.NONE ? "another end" : `${reasonName(reason)} at ${at}: ${reasonText(reason)}`;
  return [
    `  ${mark}  ${countOf(pairs.length, "pair")}, such as ${example}: ${what}`,
    `     ${decided}`,
    ...cures.map((cure) => `     cure: ${cureText(cure)}`),
  ];
}

const cureText = ({ command, text }: Cure): string => (command === null ? text : `${command} (${text})`);
