/** `hnv ifaces`: the interfaces of this machine, and what each kind of live interface can do with them, or why not. */
import type { Command } from "commander";
import { BACKENDS, type Backend, type HostInterface, type HostSurvey, surveyInterfaces } from "../io/index.js";
import { SCHEMA_VERSION } from "./results.js";
import { out, painter, printJson, table } from "./terminal.js";

export function addIfacesCommand(program: Command): void {
  program
    .command("ifaces")
    .summary("show what live interfaces can be had here")
    .description(
      "Shows the network interfaces of this machine, and what could be bound to each; for each no, the reason.",
    )
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  hnv ifaces
  hnv ifaces --json

Nothing is opened or changed, and no privilege is needed to ask. Exit status: 0.`,
    )
    .action(({ json }: { readonly json?: boolean }) => {
      const survey = surveyInterfaces();
      if (json) printJson(toJson(survey));
      else print(survey);
    });
}

function toJson({ platform, kernel, interfaces, newTap }: HostSurvey): unknown {
  return {
    schemaVersion: SCHEMA_VERSION,
    platform,
    kernel,
    newTap: { isUsable: newTap.length === 0, obstacles: newTap },
    interfaces: interfaces.map(({ obstacles, xdpMode, ...face }) => ({
      ...face,
      backends: Object.fromEntries(
        BACKENDS.map((backend) => [
          backend,
          {
            isUsable: obstacles[backend].length === 0,
            ...(backend === "xdp" ? { mode: xdpMode } : {}),
            obstacles: obstacles[backend],
          },
        ]),
      ),
    })),
  };
}

function print(survey: HostSurvey): void {
  const { interfaces } = survey;
  const heading = ["interface", "kind", "driver", "state", "MTU", "MAC", "Mbit/s", "queues", ...BACKENDS];
  const paint = painter();
  const [first, ...lines] = table([heading, ...interfaces.map(cellsOf)]);
  out(paint("bold", first!));
  for (const line of lines) out(line);
  const reasons = [...reasonsOf(survey)];
  if (reasons.length > 0) out("");
  for (const line of table(reasons)) out(line);
}

const cellsOf = (face: HostInterface): readonly (string | number)[] => [
  face.name,
  face.kind,
  face.driver ?? "-",
  face.state,
  face.mtu === null ? "-" : String(face.mtu),
  face.mac ?? "-",
  face.speedMbps === null ? "-" : String(face.speedMbps),
  face.receiveQueues === null ? "-" : `${face.receiveQueues}/${face.sendQueues}`,
  ...BACKENDS.map((backend) => answerOf(face, backend)),
];

function answerOf({ obstacles, xdpMode }: HostInterface, backend: Backend): string {
  if (obstacles[backend].length > 0) return "no";
  return backend === "xdp" ? xdpMode : "yes";
}

/** A line for each obstacle of each backend, with the interfaces that it stands before. */
function* reasonsOf({ interfaces, newTap }: HostSurvey): Generator<[string, string, string]> {
  for (const backend of BACKENDS) {
    const where = new Map<string, string[]>();
    for (const { name, obstacles } of interfaces) {
      for (const obstacle of obstacles[backend]) where.set(obstacle, [...(where.get(obstacle) ?? []), name]);
    }
    for (const [obstacle, names] of where) {
      yield [backend, names.length === interfaces.length ? "all" : names.join(" "), obstacle];
    }
  }
  if (newTap.length === 0) yield ["tap", "NAME", "can be made: tap:NAME makes the device if there is none"];
}
