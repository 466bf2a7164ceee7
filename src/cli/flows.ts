/** The flow table as a result: what `run --flows` lists. */
import { type Engine, type FlowEntryView, reasonName } from "../dataplane/index.js";
import { countOf, table } from "./terminal.js";

/** A flow entry with names in the place of numbers. */
export type FlowResult = Omit<FlowEntryView, "ingress" | "output" | "reason"> & {
  readonly ingress: string;
  readonly output: string | null;
  /** Of entries that end their packets. */
  readonly reason: string | null;
};

export const flowResults = (engine: Engine): FlowResult[] =>
  [...engine.flows()].map((flow) => ({
    ...flow,
    ingress: engine.ports[flow.ingress]!.name,
    output: flow.output === null ? null : engine.ports[flow.output]!.name,
    reason: flow.reason === 0 ? null : reasonName(flow.reason),
  }));

/** A line for each flow: where it enters and where it goes, who talks to whom, how much. */
export function flowReport(flows: readonly FlowResult[]): string[] {
  if (flows.length === 0) return ["no flow entries"];
  const rows = flows.map((flow) => [
    flow.ingress,
    flow.output ?? flow.reason ?? flow.verdict.toLowerCase(),
    flow.tunnel ? tunnelText(flow.tunnel) : "",
    talkers(flow),
    flow.state,
    countOf(flow.packets, "packet"),
    countOf(flow.bytes, "byte"),
  ]);
  return table(rows);
}

const tunnelText = ({ vsid, key }: NonNullable<FlowResult["tunnel"]>): string =>
  vsid === null ? `GRE key ${key}` : `VSID ${vsid}`;

function talkers({ ip, rewrite, sourceMac, destinationMac, etherType }: FlowResult): string {
  if (!ip) return `0x${etherType!.toString(16).padStart(4, "0")} ${sourceMac} > ${destinationMac}`;
  const became = rewrite ? `, as ${pairText(rewrite)}` : "";
  return `${PROTOCOLS[ip.protocol] ?? `protocol ${ip.protocol}`} ${pairText(ip)}${became}`;
}

function pairText({
  source,
  destination,
  ports,
  identifier,
}: Pick<NonNullable<FlowResult["ip"]>, "source" | "destination" | "ports" | "identifier">) {
  const [from, to] = ports ? ports.map((port) => `:${port}`) : ["", ""];
  const wrap = (address: string): string => (address.includes(":") && ports ? `[${address}]` : address);
  const id = identifier === null ? "" : ` id ${identifier}`;
  return `${wrap(source)}${from} > ${wrap(destination)}${to}${id}`;
}

const PROTOCOLS: Readonly<Record<number, string>> = { 1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6" };
