/** `hnv encap`: every frame of a capture into one NVGRE tunnel, without a lab. */
import { type Command, Option } from "commander";
import type { EncapOptions } from "../dataplane/slowpath/index.js";
import {
  type Address,
  ETHERNET_LENGTH,
  IPV4_LENGTH,
  IPV6_LENGTH,
  MAX_VSID,
  type Mac,
  MIN_VSID,
  makeTci,
  NVGRE_LENGTH,
  VID_MAX,
  VLAN_TAG_LENGTH,
  type Vsid,
} from "../dataplane/wire/index.js";
import { checkCodecFiles, runCodec } from "./codec.js";
import { OUTPUT } from "./engines.js";
import { usageError } from "./errors.js";
import { integer, macAddress, unicastAddress, workerCount } from "./options.js";

interface EncapFlags {
  readonly vsid: Vsid;
  readonly paSrc: Address;
  readonly paDst: Address;
  readonly macSrc?: Mac;
  readonly macDst?: Mac;
  readonly vlan?: number;
  readonly pcp?: number;
  readonly ttl?: number;
  readonly dscp?: number;
  readonly ecn: "normal" | "compat" | "linux";
  readonly flowId: "hash" | "zero";
  readonly ipId: number;
  readonly mtu?: number;
  readonly tagged: "strip" | "drop";
  readonly workers: number;
  readonly json?: boolean;
}

/** Locally administered. */
const DEFAULT_SOURCE_MAC = 0x0200_0000_0001 as Mac;
const DEFAULT_DESTINATION_MAC = 0x0200_0000_0002 as Mac;
/** Every IPv4 link carries this much (RFC 791 §3.2). */
const MTU_MIN = 68;
const MTU_MAX = 65_535;

export function addEncapCommand(program: Command): void {
  program
    .command("encap")
    .summary("wrap a capture into an NVGRE tunnel")
    .description(
      "Wraps every frame of a capture into one NVGRE tunnel. Times, comments and interfaces stay as they are.",
    )
    .argument("<in>", "capture to read, - for standard input")
    .argument("<out>", "capture to write, - for standard output")
    .requiredOption("--vsid <N>", `virtual subnet, ${MIN_VSID} to ${MAX_VSID}`, integer(MIN_VSID, MAX_VSID))
    .requiredOption("--pa-src <A>", "outer source address, IPv4 or IPv6", unicastAddress)
    .requiredOption("--pa-dst <A>", "outer destination address, of the same family", unicastAddress)
    .option("--mac-src <M>", "outer source MAC (default: 02-00-00-00-00-01)", macAddress)
    .option("--mac-dst <M>", "outer destination MAC (default: 02-00-00-00-00-02)", macAddress)
    .option("--vlan <N>", "outer VLAN; 0 makes a priority tag (default: no tag)", integer(0, VID_MAX))
    .option("--pcp <N>", "priority of the outer tag (default: 0)", integer(0, 7))
    .option("--ttl <N>", "outer TTL or hop limit (default: 128)", integer(1, 255))
    .option("--dscp <N>", "outer DSCP (default: 0)", integer(0, 63))
    .addOption(
      new Option("--ecn <mode>", "outer ECN from the inner").choices(["normal", "compat", "linux"]).default("normal"),
    )
    .addOption(
      new Option("--flow-id <mode>", "FlowID from the inner flow, or none").choices(["hash", "zero"]).default("hash"),
    )
    .option("--ip-id <N>", "IPv4 identification of the first outer packet; it counts up", integer(0, 65_535), 0)
    .option(
      "--mtu <N>",
      "IP MTU of the provider path; what does not fit is dropped (default: none)",
      integer(MTU_MIN, MTU_MAX),
    )
    .addOption(
      new Option("--tagged <how>", "what to do with VLAN-tagged frames").choices(["strip", "drop"]).default("drop"),
    )
    .option("--workers <N>", "threads that encapsulate", workerCount, 1)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  hnv encap vm.pcap wire.pcap --vsid 5001 --pa-src 192.168.4.11 --pa-dst 192.168.4.22
  hnv encap vm.pcapng wire.pcapng --vsid 5001 --pa-src 2001:db8:4::11 --pa-dst 2001:db8:4::22 --vlan 103 --pcp 5
  zcat vm.pcap.gz | hnv encap - - --vsid 5001 --pa-src 192.168.4.11 --pa-dst 192.168.4.22 | hnv decap - back.pcap

The summary goes to standard error. Exit status: 0 done, 1 the input is damaged or the output failed, 2 wrong usage.`,
    )
    .action(encap);
}

async function encap(input: string, output: string, flags: EncapFlags): Promise<void> {
  const files = { input, output, json: flags.json === true };
  if (flags.paSrc.family !== flags.paDst.family) throw usageError("--pa-src and --pa-dst must be of one family");
  if (flags.pcp !== undefined && flags.vlan === undefined)
    throw usageError("--pcp needs --vlan; --vlan 0 makes a priority tag");
  checkCodecFiles(files);

  const options = encapOptions(flags);
  await runCodec({
    files,
    recipe: { kind: "encap", options, identification: flags.ipId },
    workers: flags.workers,
    frameGrowth: () => outerLength(options),
  });
}

const encapOptions = (flags: EncapFlags): EncapOptions => ({
  output: OUTPUT,
  vsid: flags.vsid,
  source: flags.paSrc,
  destination: flags.paDst,
  ethernet: {
    source: flags.macSrc ?? DEFAULT_SOURCE_MAC,
    destination: flags.macDst ?? DEFAULT_DESTINATION_MAC,
    tag: flags.vlan === undefined ? null : makeTci(flags.pcp ?? 0, false, flags.vlan),
  },
  ecn: flags.ecn,
  flowId: flags.flowId,
  tagged: flags.tagged,
  ...(flags.ttl === undefined ? {} : { ttl: flags.ttl }),
  ...(flags.dscp === undefined ? {} : { dscp: { model: "pipe", value: flags.dscp } }),
  ...(flags.mtu === undefined ? {} : { mtu: flags.mtu }),
});

/** By how much each frame grows. */
const outerLength = ({ ethernet, source }: EncapOptions): number =>
  ETHERNET_LENGTH +
  (ethernet.tag === null ? 0 : VLAN_TAG_LENGTH) +
  (source.family === 4 ? IPV4_LENGTH : IPV6_LENGTH) +
  NVGRE_LENGTH;
