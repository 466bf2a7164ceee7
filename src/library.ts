/**
 * A lab in a program's hands: one call from the text of a fabric file to frames that go in and come out.
 *
 * Everything is synchronous and deterministic: the same frames into the same lab give the same bytes. Ports go by their names
 * here (`host1/Blue1`), reasons by theirs (`TX_NO_RECORD`).
 */
import { readFileSync } from "node:fs";
import { decodeText, loadFabricFile, type Problem } from "./control/index.js";
import {
  type FlowCounters,
  type PacketEnd,
  type PortCounters,
  Reason,
  type ReasonName,
  reasonName,
  reasonText,
  type Totals,
  type TraceStep,
  trace,
  windowsNumber,
  windowsReason,
} from "./dataplane/index.js";
import { type HostPolicy, type HostPolicyChange, PolicyError } from "./dataplane/policy/index.js";
import {
  type ControlCounters,
  type LearningCounters,
  type MembershipCounters,
  queryNextHop,
} from "./dataplane/slowpath/index.js";
import type { PortIndex } from "./dataplane/transposition/index.js";
import { Address, formatAddress, formatMac, type Mac, parseAddress, type Vsid } from "./dataplane/wire/index.js";
import { kernelModule } from "./kernel-file.js";
import { Lab, type LabChange } from "./vswitch/index.js";

export interface CreateLabOptions {
  /** What problems call the text; no file is opened. */
  readonly fileName?: string;
  /** Most flow entries at a time; 131072 if left out. */
  readonly flowCapacity?: number;
  /** Hears what happens: neighbors found and lost, notifications of the hosts, `events:` of the file. */
  readonly onEvent?: (event: LabEvent) => void;
}

/** Something that happened, at a time of the frames. */
export interface LabEvent {
  readonly timeMs: number;
  /** The host, or another node. */
  readonly node: string;
  readonly kind: string;
  readonly [detail: string]: string | number | null;
}

/** The fabric file has mistakes: all of them, each with its place. Nothing was built. */
export class FabricError extends Error {
  override readonly name = "FabricError";
  constructor(readonly problems: readonly Problem[]) {
    super(problems.map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`).join("\n"));
  }
}

/** Builds the lab that a fabric file (YAML or JSON) describes. Throws a FabricError if it has mistakes. */
export function createLab(
  text: string,
  { fileName = "fabric", flowCapacity, onEvent }: CreateLabOptions = {},
): EmulatedLab {
  const loaded = loadFabricFile(text, fileName);
  if (!loaded.ok) throw new FabricError(loaded.problems);
  const limits = flowCapacity === undefined ? {} : { flowCapacity };
  const lab: Lab = new Lab(loaded.lab, {
    kernel: kernelModule(),
    ...limits,
    onEvent: ({ timeMs, node, event }) => onEvent?.({ timeMs, node: lab.engine.nodes[node]!.name, ...event }),
  });
  return new EmulatedLab(lab);
}

/** As `createLab`, from a file. */
export const loadLab = (path: string, options: CreateLabOptions = {}): EmulatedLab =>
  createLab(decodeText(readFileSync(path)), { fileName: path, ...options });

/** Why a packet ended, in our words and in those of Windows' packet monitor. */
export interface ReasonText {
  readonly reason: ReasonName;
  readonly text: string;
  readonly windowsReason: string | null;
  readonly windowsNumber: number | null;
}

/** What became of a frame. Every frame that is sent, every copy that the lab makes of one, and every answer of the lab's own meets one end. */
export interface FrameEnd {
  readonly verdict: Exclude<PacketEnd["verdict"], "pending">;
  /** Where it left the lab, or where it stood when it met its end. */
  readonly port: string;
  /** null for frames that met no obstacle. */
  readonly reason: ReasonText | null;
  /** As it was in the end. */
  readonly frame: Uint8Array;
}

/** One node's part of a frame's way. */
export interface Explanation {
  readonly node: string;
  readonly port: string;
  readonly before: Uint8Array;
  /** What each layer saw and decided, and the records that it went by. */
  readonly layers: TraceStep["notes"];
  readonly verdict: "forward" | "drop" | "pass" | "consume";
  readonly reason: ReasonText | null;
  readonly outputs: readonly {
    readonly port: string;
    /** Where the link leads; null where the lab ends. */
    readonly peer: string | null;
    readonly after: Uint8Array;
  }[];
  /** What the node sends because of the frame: answers and error messages. */
  readonly answers: Explanation["outputs"];
}

/** What Select-NetVirtualizationNextHop is asked. */
export interface NextHopQuestion {
  /** Left out: who sends is not known. */
  readonly sourceCustomerAddress?: Address | string;
  readonly destinationCustomerAddress: Address | string;
  /** 4096–16777214. */
  readonly sourceVirtualSubnetID: number;
}

/** What Select-NetVirtualizationNextHop prints, spelled as the cmdlets spell addresses; MACs as `060600000005`. */
export interface SelectedNextHop {
  readonly sourceCustomerAddress: string | null;
  readonly destinationCustomerAddress: string;
  /** The CA that a packet goes to next: the destination itself, or a gateway VM or router. */
  readonly nextHopAddress: string;
  readonly sourceVirtualSubnetID: number;
  /** The destination MAC with which it goes on. */
  readonly nextHopMACAddress: string;
  /** The source MAC with which it goes on: the distributed router's once routed, else the sender's; null if no record names the sender. */
  readonly sourceMACAddress: string | null;
}

/** Why there is no next hop: what a packet would be dropped for. */
export interface NoSelectedNextHop {
  readonly reason: ReasonText;
  readonly why: string;
}

export interface LabCounters {
  readonly ports: Readonly<Record<string, PortCounters>>;
  readonly reasons: readonly { readonly port: string; readonly reason: ReasonText; readonly count: number }[];
  readonly totals: Totals;
  readonly flows: FlowCounters;
  /** What hosts have learnt of VMs' addresses, by name; those that were taught nothing are left out. */
  readonly learning: Readonly<Record<string, LearningCounters>>;
  /** The provider groups that hosts are in, by name; hosts without any are left out. */
  readonly memberships: Readonly<Record<string, MembershipCounters>>;
}

export interface FrameAtPort {
  readonly port: string;
  readonly frame: Uint8Array;
}

export class EmulatedLab {
  readonly #lab: Lab;

  /** Use `createLab` or `loadLab`. */
  constructor(lab: Lab) {
    this.#lab = lab;
  }

  get portNames(): readonly string[] {
    return this.#lab.portNames;
  }

  /** Sends one frame into the node at a port. */
  send(port: string, frame: Uint8Array, timestampNs = 0n): FrameEnd[] {
    return this.sendAll([{ port, frame }], timestampNs);
  }

  /**
   * Sends frames in order, all at one time; their ends come in order too, those of copies behind the originals of their burst, and last
   * those of frames that hosts sent by themselves before that time.
   */
  sendAll(frames: readonly FrameAtPort[], timestampNs = 0n): FrameEnd[] {
    const rows = frames.map(({ port, frame }) => ({ port: this.#port(port), frame }));
    return this.#lab.engine.send(rows, timestampNs).map((end) => this.#end(end));
  }

  #end({ verdict, port, reason, frame }: PacketEnd): FrameEnd {
    return { verdict, port: this.#name(port), reason: describeReason(reason), frame };
  }

  /** Lets time pass without frames until then; the ends of what the hosts sent by themselves. */
  pass(untilNs: bigint): FrameEnd[] {
    return this.#lab.engine.sendNothing(untilNs).map((end) => this.#end(end));
  }

  /** Makes something happen to the lab now, as `events:` of a fabric file do. */
  change(change: LabChange): void {
    this.#lab.change(change);
  }

  /** What would happen to a frame and why, node by node. Nothing is sent and nothing is counted. */
  explain(port: string, frame: Uint8Array, nowMs = 0): Explanation[] {
    return trace(this.#lab.engine, this.#port(port), frame, nowMs).map((step) => this.#explanation(step));
  }

  #explanation({ node, port, before, notes, decision, refused, outputs, answers }: TraceStep): Explanation {
    const { verdict } = decision;
    const outputOf = ({ port: to, peer, after }: TraceStep["outputs"][number]): Explanation["outputs"][number] => ({
      port: this.#name(to),
      peer: peer === null ? null : this.#name(peer),
      after,
    });
    const reason = refused === Reason.NONE && "reason" in verdict ? verdict.reason : refused;
    return {
      node,
      port: this.#name(port),
      before,
      layers: notes,
      verdict: refused === Reason.NONE ? verdict.kind : "drop",
      reason: describeReason(reason),
      outputs: outputs.map(outputOf),
      answers: answers.map(outputOf),
    };
  }

  /** The policy in force on a host. */
  policyOf(host: string): HostPolicy {
    const policy = this.#lab.policyOf(host);
    if (!policy) throw new RangeError(`no host is named ${host}`);
    return policy;
  }

  /** What a host has sent and obeyed of REDIRECT and UNREACHABLE. */
  controlCounters(host: string): ControlCounters {
    const counters = this.#lab.controlCounters(host);
    if (!counters) throw new RangeError(`no host is named ${host}`);
    return counters;
  }

  /**
   * Select-NetVirtualizationNextHop on a host: the decision that forwards, asked without a packet. `reason` in the answer: there is
   * no next hop. Throws a PolicyError where the question is not about a packet from one station to another.
   */
  selectNextHop(host: string, question: NextHopQuestion): SelectedNextHop | NoSelectedNextHop {
    const source = question.sourceCustomerAddress === undefined ? null : asAddress(question.sourceCustomerAddress);
    const destination = asAddress(question.destinationCustomerAddress);
    const vsid = question.sourceVirtualSubnetID as Vsid; // checked there
    const answer = queryNextHop(this.policyOf(host), { source, destination, vsid });
    if ("reason" in answer) return { reason: describeReason(answer.reason)!, why: answer.why };
    return {
      sourceCustomerAddress: source && formatAddress(source),
      destinationCustomerAddress: formatAddress(destination),
      nextHopAddress: formatAddress(answer.address),
      sourceVirtualSubnetID: vsid,
      nextHopMACAddress: bareMac(answer.mac),
      sourceMACAddress: answer.sourceMac === null ? null : bareMac(answer.sourceMac),
    };
  }

  /** Changes a host's policy as the NetWNV cmdlets do. The next frame sees all of the change; a PolicyError means that it sees none. */
  changePolicy(host: string, change: HostPolicyChange): void {
    this.#lab.changePolicy(host, change);
  }

  counters(): LabCounters {
    const { engine } = this.#lab;
    return {
      ports: Object.fromEntries(this.portNames.map((name) => [name, engine.portCounters(this.#port(name))])),
      reasons: engine
        .reasonCounts()
        .map(({ port, reason, count }) => ({ port: this.#name(port), reason: describeReason(reason)!, count })),
      totals: engine.totals(),
      flows: engine.flowCounters(),
      learning: this.#lab.learning(),
      memberships: this.#lab.memberships(),
    };
  }

  #port(name: string): PortIndex {
    const port = this.#lab.port(name);
    if (port === undefined) throw new RangeError(`no port is named ${name}`);
    return port;
  }

  #name(port: PortIndex): string {
    return this.#lab.engine.ports[port]!.name;
  }
}

function asAddress(value: Address | string): Address {
  const address = typeof value === "string" ? parseAddress(value) : value;
  if (address instanceof Address) return address;
  throw new PolicyError(
    "CUSTOMER_ADDRESS_INVALID",
    `"${String(value)}" is no address.`,
    value,
    "an IPv4 or IPv6 address",
  );
}

const bareMac = (mac: Mac): string => formatMac(mac).replaceAll("-", "");

const describeReason = (reason: Reason): ReasonText | null =>
  reason === Reason.NONE
    ? null
    : {
        reason: reasonName(reason),
        text: reasonText(reason),
        windowsReason: windowsReason(reason),
        windowsNumber: windowsNumber(reason),
      };
